"""The options that masters and minions share, and the kinds of value that an option may have.

One row an option; what a row says is told at saltlite.Option."""

from __future__ import annotations

import re
from typing import Any

from saltlite import Kind, Option


def one_of(*words: str) -> Kind:
    return Kind((str,), ", ".join(words[:-1]) + f" or {words[-1]}", lambda value: value in words)


def all_regexes(value: list[Any]) -> bool:
    try:
        return all(re.compile(pattern) for pattern in value)
    except (re.error, TypeError):
        return False


def all_roots(value: dict[Any, Any]) -> bool:
    lists = [[named] if isinstance(named, str) else named or [] for named in value.values()]
    return all(isinstance(each, list) and all(type(path) is str and path for path in each) for each in lists)


LEVELS = ("quiet", "critical", "error", "warning", "info", "profile", "debug", "trace", "garbage", "all")
STATE_OUTPUTS = tuple(how + by for how in ("full", "terse", "mixed", "changes") for by in ("", "_id"))
BOOL = Kind((bool,), "True or False")
INT = Kind((int,), "a whole number that is not negative", lambda value: value >= 0)
SIGNED = Kind((int,), "a whole number from -1 on", lambda value: value >= -1)
NUMBER = Kind((int, float), "a number that is not negative", lambda value: value >= 0)
PORT = Kind((int,), "a port number from 1 to 65535", lambda value: 0 < value < 65536)
KEYSIZE = Kind((int,), "a whole number from 2048 to 8192", lambda value: 2048 <= value <= 8192)
STR = Kind((str,), "a text")
LIST = Kind((list,), "a list")
MAP = Kind((dict,), "a map")
FUNCTIONS = Kind((dict, list), "a map or a list")
HOSTS = Kind((str, list), "a host name or an address")
ENC = one_of("OAEP-SHA1", "OAEP-SHA224")
SIG = one_of("PKCS1v15-SHA1", "PKCS1v15-SHA224")
TRANSPORT = Kind((str,), "zeromq", "zeromq".__eq__)
WATCH = one_of("auto", "inotify", "polling", "none")
MASTERS = one_of("str", "standard", "failover")
STATE_OUTPUT = Kind((str,), "full, terse, mixed or changes, each with or without _id", STATE_OUTPUTS.__contains__)
MERGING = one_of("smart", "recurse", "aggregate", "overwrite", "none")
HASH = one_of("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
TOPS = one_of("merge", "same", "merge_all")
AGGREGATE = Kind((bool, list), "True, False or a list of state modules")
REGEXES = Kind((list,), "a list of regular expressions", all_regexes)
ROOTS = Kind((dict,), "a map of environments to lists of directories", all_roots)
LEVEL = one_of(*LEVELS)
COMMANDS = ("cmd.run", "cmd.shell", "cmd.run_stdout", "cmd.retcode")
PILLAR_FUNCTIONS = Kind(
    (list,), f"a list of {', '.join(COMMANDS)}", lambda value: set(map(str, value)) <= set(COMMANDS)
)


OPTIONS = {
    "root_dir": Option("", STR, "the directory that all other paths lie below", restart=True, private=True),
    "pki_dir": Option("", STR, "the key tree", restart=True, private=True),
    "cachedir": Option(
        "", STR, "jobs, sessions, outbox: all that is not keys or configuration", restart=True, private=True
    ),
    "user": Option("", STR, "the user to run as, when started as root", restart=True, private=True),
    "keysize": Option(2048, KEYSIZE, "bits of a new RSA key, 2048 to 8192", restart=True),
    "log_level": Option("info", LEVEL, "how much is said on stderr"),
    "transport": Option(
        "zeromq", TRANSPORT, "what carries the wire; real masters and minions have others too", restart=True
    ),
    "ipv6": Option(
        False, BOOL, "use IPv6 addresses too; to listen there, a master needs interface: '::'", restart=True
    ),
    "permissive_pki_access": Option(False, BOOL, "trust autosign files that their group may write"),
    "sign_pub_messages": Option(True, BOOL, "publications are signed, and unsigned ones ignored; cannot be off"),
    "hash_type": Option("sha256", HASH, "how minions compare files, and of what kind fingerprints are"),
    "timeout": Option(5, NUMBER, "seconds to wait for returns before the silent minions are asked (find_job)"),
    "gather_job_timeout": Option(10, NUMBER, "seconds to wait for the answers to find_job"),
    "zmq_filtering": Option(
        False, BOOL, "publications carry a topic; only if master and minions all have it on", restart=True
    ),
    "tcp_keepalive": Option(True, BOOL, "let the kernel probe idle connections", restart=True),
    "tcp_keepalive_idle": Option(300, INT, "seconds before the first probe", restart=True),
    "tcp_keepalive_cnt": Option(
        -1, SIGNED, "probes before a connection is given up; -1: the system's value", restart=True
    ),
    "tcp_keepalive_intvl": Option(-1, SIGNED, "seconds between probes; -1: the system's value", restart=True),
    "nodegroups": Option({}, MAP, "named compound targets", told="state"),
    "state_output": Option("full", STATE_OUTPUT, "how much of each state is shown; with _id by its id, not its name"),
    "state_verbose": Option(True, BOOL, "show the states that were right already"),
    "state_output_pct": Option(False, BOOL, "say behind the counts of states how many in a hundred that is"),
    "state_compress_ids": Option(False, BOOL, "show the states of one ID that ended alike as one"),
}
