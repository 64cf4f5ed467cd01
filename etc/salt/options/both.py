"""The options that masters and minions share, and the kinds of value that an option may have.

One row an option; what a row says is told at saltlite.Option."""

from __future__ import annotations

import re
from typing import Any

from saltlite import Kind, Option


def as_text(value: Any) -> Any:
    """`id: 4711`."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def as_number(value: Any) -> Any:
    """`timeout: '15'`."""
    if isinstance(value, str) and NUMERAL.fullmatch(value.strip()):
        number = float(value)
        return int(number) if number.is_integer() else number
    return value


def as_int(value: Any) -> Any:
    """`master_port: '4506'`, and 4506.0."""
    value = as_number(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def as_bool(value: Any) -> Any:
    """1, 'true' and 'Yes': what was meant, though for Salt any text is true."""
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else value
    return SWITCHES.get(value.strip().lower(), value) if isinstance(value, str) else value


def as_strict(value: Any) -> Any:
    """What a switch that takes down a wall is: Salt leaves it off for 1 and 'true'."""
    return value is True if isinstance(as_bool(value), bool) else value


def as_list(value: Any) -> Any:
    """One text, or one number, where a list is meant."""
    single = isinstance(value, str | int | float) and not isinstance(value, bool)
    return ([value] if value != "" else []) if single else value


def as_map(value: Any) -> Any:
    """A list of maps, as Salt takes nodegroups."""
    if isinstance(value, list) and all(isinstance(each, dict) and len(each) == 1 for each in value):
        return {name: item for each in value for name, item in each.items()}
    return value


def none_below(value: Any) -> Any:
    """-1 for never, where 0 says that."""
    return max(value, 0) if isinstance(value := as_number(value), int | float) and value == -1 else value


def one_of(*words: str) -> Kind:
    """One of these words, in whatever case."""
    known = {word.lower(): word for word in words}
    wanted = ", ".join(words[:-1]) + f" or {words[-1]}" if words[1:] else words[0]
    return Kind((str,), wanted, words.__contains__, lambda value: known.get(str(value).strip().lower(), value))


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
MERGINGS = ("smart", "recurse", "aggregate", "overwrite", "none")
TOP_MERGINGS = ("merge", "same", "merge_all")
TAKEN_FOR = {  # another word is no error for Salt, which takes it for the one that stands last here
    "state_output": (STATE_OUTPUTS, "full"),
    "pillar_source_merging_strategy": (MERGINGS, "recurse"),
    "top_file_merging_strategy": (TOP_MERGINGS, "merge"),
}
NUMERAL = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?")
SWITCHES = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
BOOL = Kind((bool,), "True or False", read=as_bool)
STRICT = Kind((bool,), "True or False; True alone, and not 1 or 'true', switches it on", read=as_strict)
INT = Kind((int,), "a whole number that is not negative", lambda value: value >= 0, as_int)
SIGNED = Kind((int,), "a whole number from -1 on", lambda value: value >= -1, as_int)
NUMBER = Kind((int, float), "a number that is not negative", lambda value: value >= 0, as_number)
MOST = Kind((int,), "a whole number that is not negative; -1 is 0", INT.right, lambda value: none_below(as_int(value)))
SPAN = Kind((int, float), "a number that is not negative; -1 is 0", NUMBER.right, none_below)
PORT = Kind((int,), "a port number from 1 to 65535", lambda value: 0 < value < 65536, as_int)
KEYSIZE = Kind((int,), "a whole number from 2048 to 8192", lambda value: 2048 <= value <= 8192, as_int)
STR = Kind((str,), "a text", read=as_text)
LIST = Kind((list,), "a list", read=as_list)
MAP = Kind((dict,), "a map")
GROUPS = Kind((dict,), "a map", read=as_map)
FUNCTIONS = Kind((dict, list), "a map or a list", read=as_list)
HOSTS = Kind((str, list), "a host name or an address", read=as_text)
ENC = one_of("OAEP-SHA1", "OAEP-SHA224")
SIG = one_of("PKCS1v15-SHA1", "PKCS1v15-SHA224")
TRANSPORT = one_of("zeromq")
WATCH = one_of("auto", "inotify", "polling", "none")
MASTERS = one_of("str", "standard", "failover")
STATE_OUTPUT = one_of(*STATE_OUTPUTS)._replace(wanted="full, terse, mixed or changes, each with or without _id")
ANY_OUTPUT = STATE_OUTPUT._replace(right=bool)
MERGING = one_of(*MERGINGS)._replace(right=bool)
HASH = one_of("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
TOPS = one_of(*TOP_MERGINGS)._replace(right=bool)
AGGREGATE = Kind((bool, list), "True, False or a list of state modules", read=lambda value: as_list(as_bool(value)))
PHRASE = Kind((str,), "a text, and no sdb:// address", lambda value: not value.startswith("sdb://"), as_text)
DOMAIN = Kind((bool, str), "True, False or a domain", read=as_bool)
REGEXES = Kind((list,), "a list of regular expressions", all_regexes, as_list)
ROOTS = Kind((dict,), "a map of environments to lists of directories", all_roots)
LEVEL = one_of(*LEVELS)
LOG_FILE_LEVEL = one_of("", *LEVELS)._replace(wanted=LEVEL.wanted)
COMMANDS = ("cmd.run", "cmd.shell", "cmd.run_stdout", "cmd.retcode")
PILLAR_FUNCTIONS = Kind(
    (list,), f"a list of {', '.join(COMMANDS)}", lambda value: set(map(str, value)) <= set(COMMANDS), as_list
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
    "log_file": Option(
        "", STR, "a file for the log as well; without: stderr alone, or with -d a file in /var/log/salt", private=True
    ),
    "log_level_logfile": Option("", LOG_FILE_LEVEL, "how much is said in that file; without: as log_level says"),
    "pidfile": Option("", STR, "a file for the process id; without: none but with -d", restart=True),
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
    "tcp_keepalive_idle": Option(300, SIGNED, "seconds before the first probe; -1: the system's value", restart=True),
    "tcp_keepalive_cnt": Option(
        -1, SIGNED, "probes before a connection is given up; -1: the system's value", restart=True
    ),
    "tcp_keepalive_intvl": Option(-1, SIGNED, "seconds between probes; -1: the system's value", restart=True),
    "gpg_keydir": Option(
        "", STR, "the directory of the keys of gpg, for PGP messages in pillar; without: gpgkeys/ here", private=True
    ),
    "nodegroups": Option({}, GROUPS, "named compound targets", told="state"),
    "state_output": Option("full", ANY_OUTPUT, "how much of each state is shown; with _id by its id, not its name"),
    "state_verbose": Option(True, BOOL, "show the states that were right already"),
    "state_output_pct": Option(False, BOOL, "say behind the counts of states how many in a hundred that is"),
    "state_compress_ids": Option(False, BOOL, "show the states of one ID that ended alike as one"),
}
