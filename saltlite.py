#!/usr/bin/env python3
# /// script
# requires-python = ">=3.10"
# dependencies = [
#     "pyzmq==27.3.0",
#     "cryptography==50.0.2",
#     "cffi==2.1.1",
#     "msgpack==1.2.4",
#     "PyYAML==6.0.3",
#     "Jinja2==3.1.6",
#     "MarkupSafe==3.0.4",
#     "watchdog==6.0.0; python_version < '3.11'",
#     "watchdog==7.1.0; python_version >= '3.11'",
#     "distro==1.9.0",
#     "psutil==7.2.2",
#     "croniter==7.0.0",
#     "python-dateutil==2.9.0.post0",
#     "six==1.17.0",
# ]
# ///
"""saltlite: a Salt master and a Salt minion in one script, which speak SaltStack's own wire.

    saltlite master          run the master          saltlite salt 'web*' test.ping    run a function on minions
    saltlite minion          run the minion          saltlite call test.ping           run a function here
    saltlite key -L          list the keys           saltlite events                 show what happens at the master

The directory tree is the program's state. A job's way through it, and the wire's:

    salt ──▶ jobs/new/JID ──▶ master ══ 4505 PUB ══▶ every minion: meant? never run before?
      ▲                         │                          │ proc/JID, a child process runs it
      └── jobs/active/JID.jsonl ◀── `_return` ══ 4506 ◀════ outbox/JID, until the master has acknowledged it
              └──▶ jobs/done/DAY/JID.jsonl

A key's way is the operator's: `mv minions_pre/ID minions/` accepts, `mv minions/ID minions_rejected/` revokes.

The tree: who writes a path, what its existence means, what a crash can leave there and who removes that.
PKI is <config>/pki/master, CACHE <root>/var/cache/salt/master; on a minion <config>/pki/minion, …/salt/minion.

    PKI/master.pem .pub            master, once      the master's identity
    PKI/master_sign.pem .pub       master, once      vouches for master.pub, with master_sign_pubkey
    PKI/minions_pre/ID             master            ID has asked with this key and waits
    PKI/minions/ID                 operator, master  this key, and no other, is ID
    PKI/minions_rejected/ID        operator, master  ID is refused, whatever its key
    PKI/minions_denied/ID          master            somebody came as ID with this other key; blocks nobody
    PKI/minions_autosign/ID        operator          accept ID's key when it comes; consumed by that
    CACHE/jobs/new/JID             anybody allowed   a request; a crash leaves `.JID`, which nobody reads
    CACHE/jobs/active/JID.jsonl    master            published; removing it cancels; a cut last line is cut off at start
    CACHE/jobs/done/DAY/JID.jsonl  master            finished; whole days go after keep_jobs_seconds
    CACHE/jobs/bad/NAME, .why      master            a request that was refused, and the reason
    CACHE/sessions/ID              master            the session key of ID, and the fingerprint it was made for
    CACHE/sessions/.heard          master            what is needed to refuse repeats after a restart
    CACHE/aes.key                  master            the shared key of all publications
    CACHE/minions/ID/grains.json   master            what ID last said of itself
    CACHE/minions/ID/mine.json     master            what ID has put into the mine
    CACHE/minions/ID/pillar.json   master            the pillar ID was last sent, for targets by pillar; 0600
    CACHE/events.jsonl             master            what has happened; rotated by size
    CACHE/.lock                    master, minion    held (flock): a daemon runs here, its pid is inside

    <config>/minion_id             minion, once      this minion's name
    <config>/minion.d/_schedule.conf  minion, job    the saved schedule, as real minions write it
    PKI/minion.pem .pub            minion, once      the minion's identity
    PKI/minion_master.pub          minion            the master's key, pinned at the first contact
    CACHE/proc/JID                 minion, job       the job runs (its pid is inside); one whose process is gone is
                                                     answered for, by the minion at its next look
    CACHE/outbox/JID               job               a return that no master has acknowledged
    CACHE/files/ENV/PATH           job               a file of the master's, as its hash says (extrn_files: the web's)
    CACHE/parts/HASH               job               a file on its way; the next transfer goes on there
    CACHE/extmods/KIND             job               what saltutil.sync_KIND has fetched
    CACHE/salt-call                job               configuration and cache of the salt-call that applies states
    CACHE/executed                 minion            the last jids: nothing runs twice
    CACHE/grains, pillar           job, minion       the grains as last collected, the pillar as last sent
    CACHE/.ask                     minion            a socket: jobs ask the master through it
    CACHE/.schedule.lock           job               held (flock): a job changes _schedule.conf

A crash in the middle of a write leaves a dot-name, `.NAME.` and 8 hex digits, removed at the next start.

Contents, each section using what stands above it:
     1. Errors and small tools    pure: no files, sockets, clock    12. Master protocol       protocol: bytes in, bytes
     2. Options                   or threads                        13. Minion protocol       out; the tree and the time
     3. Payload                                                     14. Execution functions   are arguments
     4. Crypt                                                       15. Wire                  io: sockets, processes,
     5. Targeting                                                   16. Master                signals, the terminal
     6. Keys                                                        17. Minion
     7. Schedule                                                    18. Local client
     8. Tree                      tree: files only                  19. Output
     9. File server                                                 20. Commands
    10. Pillar   11. Jobs
"""

from __future__ import annotations

import binascii
import contextlib
import errno
import fnmatch
import functools
import importlib
import io
import itertools
import json
import os
import re
import signal
import stat
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

VERSION = "0.1.0"
SALT_VERSION = "3008.3"  # the release whose wire this is; what `saltversion` and test.version say
EX_OK, EX_FAILED, EX_NO_MATCH, EX_MINION, EX_USAGE = 0, 1, 2, 11, 64
PROTOCOL_VERSION = 3  # per-minion sessions; nothing older is spoken (SECURITY.md R4, PROTOCOL.md 2)


class Lazy:
    """A module that is imported when it is first used, for start-up time and idle memory are features."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value


if TYPE_CHECKING:
    import argparse
    import inspect
    import io
    import ipaddress
    import logging
    import socket
    import traceback

    import jinja2.nodes
    import jinja2.sandbox
    import msgpack
    import watchdog.events
    import watchdog.observers
    import watchdog.observers.polling
    import yaml
    import zmq
    from cryptography.hazmat.primitives import ciphers, hashes, hmac, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    watchdog_events, watchdog_observers = watchdog.events, watchdog.observers
    watchdog_polling = watchdog.observers.polling
    jinja2_nodes, jinja2_sandbox = jinja2.nodes, jinja2.sandbox
else:
    for _name in "argparse inspect ipaddress jinja2 logging msgpack socket traceback yaml zmq".split():
        globals()[_name] = Lazy(_name)
    for _name in "ciphers hashes hmac serialization".split():
        globals()[_name] = Lazy(f"cryptography.hazmat.primitives.{_name}")
    padding = Lazy("cryptography.hazmat.primitives.asymmetric.padding")
    rsa = Lazy("cryptography.hazmat.primitives.asymmetric.rsa")
    jinja2_nodes = Lazy("jinja2.nodes")
    jinja2_sandbox = Lazy("jinja2.sandbox")
    watchdog_events = Lazy("watchdog.events")
    watchdog_observers = Lazy("watchdog.observers")
    watchdog_polling = Lazy("watchdog.observers.polling")


# ---- 1. Errors and small tools ----------------------------------------------------------------------------------


class SaltError(Exception):
    """Base of all errors raised here; never raised itself."""


class Failure(SaltError):
    """A sentence for the person at the terminal; only `main` catches it, prints it and ends with `exit_code`."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class AuthError(SaltError):
    """The peer is not who it must be, or what it sent was not sealed by whom it says: answered with `bad load`."""


class PayloadError(SaltError):
    """The peer sent something that is not a Salt message: answered with `bad load`."""


class StateError(SaltError):
    """A state table has no row for what happened: our own mistake."""


class CommandExecutionError(SaltError):
    """An execution function cannot do what it was asked; the sentence becomes the job's return."""


class Log(Lazy):
    """The logger `saltlite`, which imports logging only when a daemon says something."""

    def __init__(self) -> None:
        super().__init__("logging")

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(logging.getLogger("saltlite"), attribute)
        setattr(self, attribute, value)
        return value


log: Any = Log()
token: Callable[[int], bytes] = os.urandom  # every random byte of the program comes from here


MINION_ID = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_-])?")
JID = re.compile(r"[0-9]{20}")
MINION_JID = re.compile(r"[0-9]{20}(?:_[0-9]{1,10})?")  # a real master with `unique_jid` appends its pid
FUN = re.compile(r"[A-Za-z0-9_]{1,64}\.[A-Za-z0-9_]{1,64}")
NONCE = re.compile(r"[0-9a-f]{32}")


def valid_id(value: object) -> bool:
    """Whether `value` may name a minion: a str of 1 to 253 of A-Z a-z 0-9 _ . - that begins with none of . and -,
    does not end in a dot and has no two dots in a row (SECURITY.md R5; Salt's own rule is wider)."""
    return isinstance(value, str) and MINION_ID.fullmatch(value) is not None and ".." not in value


def printable(text: str) -> str:
    """The text on one line, controls and what reorders text as escapes (SECURITY.md R21)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def jid_of(now: float) -> str:
    """The job id of a moment, in seconds since the epoch: 20 digits, %Y%m%d%H%M%S%f in UTC (PROTOCOL.md 6)."""
    return jid_at(int(now * 1_000_000))


def jid_at(microseconds: int) -> str:
    seconds, micro = divmod(microseconds, 1_000_000)
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(seconds)) + f"{micro:06d}"


# ---- 2. Options -------------------------------------------------------------------------------------------------
# One table for each role; `merge` lays the configuration files over it. Pure: files are read in section 8.


class Option(NamedTuple):
    """One configuration option: what it is without a word in a file, what may be written there, what it does."""

    default: Any
    kind: str
    help: str


KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "True or False"),
    "int": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "port": ((int,), "a port number from 1 to 65535"),
    "str": ((str,), "a text"),
    "list": ((list,), "a list"),
    "map": ((dict,), "a map"),
    "functions": ((dict, list), "a map or a list"),
    "hosts": ((str, list), "a host name or an address"),
    "enc": ((str,), "OAEP-SHA1 or OAEP-SHA224"),
    "sig": ((str,), "PKCS1v15-SHA1 or PKCS1v15-SHA224"),
    "watch": ((str,), "auto, inotify, polling or none"),
    "masters": ((str,), "str or failover"),
    "states": ((str,), "full, terse, mixed or changes, each with or without _id"),
    "merging": ((str,), "smart, recurse, aggregate, overwrite or none"),
    "hash": ((str,), "md5, sha1, sha224, sha256, sha384 or sha512"),
    "tops": ((str,), "merge, same or merge_all"),
    "aggregate": ((bool, list), "True, False or a list of state modules"),
    "regexes": ((list,), "a list of regular expressions"),
    "roots": ((dict,), "a map of environments to lists of directories"),
    "level": ((str,), "one of quiet, critical, error, warning, info, debug, trace, all"),
}
CHOICES = {
    "enc": ("OAEP-SHA1", "OAEP-SHA224"),
    "sig": ("PKCS1v15-SHA1", "PKCS1v15-SHA224"),
    "watch": ("auto", "inotify", "polling", "none"),
    "masters": ("str", "standard", "failover"),
    "states": ("full", "terse", "mixed", "changes", "full_id", "terse_id", "mixed_id", "changes_id"),
    "merging": ("smart", "recurse", "aggregate", "overwrite", "none"),
    "hash": ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"),
    "tops": ("merge", "same", "merge_all"),
    "level": ("quiet", "critical", "error", "warning", "info", "profile", "debug", "trace", "garbage", "all"),
}

BOTH_OPTIONS = {
    "root_dir": Option("", "str", "the directory that all other paths lie below"),
    "pki_dir": Option("", "str", "the key tree"),
    "cachedir": Option("", "str", "jobs, sessions, outbox: all that is not keys or configuration"),
    "user": Option("", "str", "the user to run as, when started as root"),
    "keysize": Option(2048, "int", "bits of a new RSA key, 2048 to 8192"),
    "log_level": Option("info", "level", "how much is said on stderr"),
    "ipv6": Option(False, "bool", "use IPv6 addresses too; to listen there, a master needs interface: '::'"),
    "permissive_pki_access": Option(False, "bool", "trust autosign files that their group may write"),
    "sign_pub_messages": Option(True, "bool", "publications are signed, and unsigned ones ignored; cannot be off"),
    "timeout": Option(5, "number", "seconds to wait for returns before the silent minions are asked (find_job)"),
    "gather_job_timeout": Option(10, "number", "seconds to wait for the answers to find_job"),
    "zmq_filtering": Option(False, "bool", "publications carry a topic; only if master and minions all have it on"),
    "master_sign_key_name": Option("master_sign", "str", "the name of the files that hold the signing key"),
    "tcp_keepalive": Option(True, "bool", "let the kernel probe idle connections"),
    "tcp_keepalive_idle": Option(300, "int", "seconds before the first probe"),
    "tcp_keepalive_cnt": Option(-1, "int", "probes before a connection is given up; -1: the system's value"),
    "tcp_keepalive_intvl": Option(-1, "int", "seconds between probes; -1: the system's value"),
    "nodegroups": Option({}, "map", "named compound targets"),
    "state_output": Option("full", "states", "how much of each state is shown; with _id by its id, not its name"),
    "state_verbose": Option(True, "bool", "show the states that were right already"),
}

MASTER_OPTIONS: dict[str, Option] = BOTH_OPTIONS | {
    "interface": Option("0.0.0.0", "str", "the address to listen on"),
    "publish_port": Option(4505, "port", "where publications go out"),
    "ret_port": Option(4506, "port", "where requests and returns come in"),
    "auto_accept": Option(False, "bool", "accept every key unseen"),
    "open_mode": Option(False, "bool", "accept everything and replace keys: no protection at all"),
    "autosign_file": Option("", "str", "a file of ids, globs or regular expressions whose keys are accepted"),
    "autoreject_file": Option("", "str", "the same for keys that are rejected; it wins over every autosign"),
    "autosign_grains_dir": Option("", "str", "a directory with a file for each grain, which lists accepted values"),
    "autosign_timeout": Option(120, "number", "minutes a file in minions_autosign/ is good for; 0: for ever"),
    "max_minions": Option(0, "int", "how many minions may be connected; 0: no limit"),
    "max_pending_keys": Option(1000, "int", "how many keys may wait in minions_pre; others are told `full`"),
    "max_message_size": Option(33554432, "int", "bytes of the largest message taken on ret_port"),
    "publish_session": Option(86400, "int", "seconds until the shared key and the session keys are renewed"),
    "rotate_aes_key": Option(True, "bool", "renew the shared key when an accepted key is removed"),
    "require_minion_sign_messages": Option(False, "bool", "refuse returns that their minion has not signed"),
    "drop_messages_signature_fail": Option(False, "bool", "refuse returns with a wrong signature"),
    "master_sign_pubkey": Option(False, "bool", "vouch for the master's key with a signing key that minions hold"),
    "master_use_pubkey_signature": Option(False, "bool", "take that signature from a file, and need no signing key"),
    "master_pubkey_signature": Option("master_pubkey_signature", "str", "the name of that file in the key tree"),
    "publish_signing_algorithm": Option("PKCS1v15-SHA1", "sig", "how publications are signed"),
    "presence_events": Option(False, "bool", "events that say which minions are connected"),
    "loop_interval": Option(60, "number", "seconds between two looks at that"),
    "keep_jobs_seconds": Option(86400, "int", "how long finished jobs stay in jobs/done"),
    "key_watch": Option("auto", "watch", "how renames are noticed; without: looked for every key_rescan seconds"),
    "key_rescan": Option(10, "number", "seconds between two looks at the trees, whatever the watch says"),
    "max_event_size": Option(16777216, "int", "bytes of events.jsonl before it is rotated"),
    "publisher_acl": Option({}, "map", "user name: list of functions (globs) that this user may publish"),
    "allow_minion_key_revoke": Option(True, "bool", "a minion may have its own key deleted"),
    "mine_get": Option({}, "map", "minions: list of mine functions they may get, all regular expressions; empty: all"),
    "pillar_roots": Option({"base": ["/srv/pillar"]}, "roots", "environment: the directories its pillar is made from"),
    "pillar_source_merging_strategy": Option("smart", "merging", "how the pillars of several files become one"),
    "pillar_merge_lists": Option(False, "bool", "lists under one key are joined; without: the later one wins"),
    "pillar_includes_override_sls": Option(False, "bool", "what is included wins over the file that includes it"),
    "pillar_safe_render_error": Option(True, "bool", "minions are told that a file failed, and not why"),
    "pillar_opts": Option(False, "bool", "minions get the master's options, as the key `master` of their pillar"),
    "pillarenv": Option("", "str", "the only environment that pillar comes from, unless a minion names one"),
    "minion_data_cache": Option(True, "bool", "keep the grains and the pillar of minions, to foresee who will answer"),
    "file_roots": Option({"base": ["/srv/salt"]}, "roots", "environment: the directories its files are served from"),
    "hash_type": Option("sha256", "hash", "how minions compare files"),
    "file_buffer_size": Option(262144, "int", "bytes of a file in one reply, up to 16 MiB"),
    "file_ignore_regex": Option([], "regexes", "files that are not served: these are found in their path"),
    "file_ignore_glob": Option([], "list", "files that are not served: one of these globs is their path"),
    "fileserver_followsymlinks": Option(
        True, "bool", "links may lead to another root, and directories behind links are listed"
    ),
    "fileserver_ignoresymlinks": Option(False, "bool", "list no links at all"),
    "top_file_merging_strategy": Option("merge", "tops", "how minions merge the top files of several environments"),
    "env_order": Option([], "list", "the order of the environments in that"),
    "default_top": Option("base", "str", "the environment whose top file counts in `same`"),
    "state_top": Option("top.sls", "str", "the name of the top file"),
    "state_top_saltenv": Option(None, "str", "the only environment that a top file is taken from"),
    "renderer": Option("jinja|yaml", "str", "how minions render states"),
    "failhard": Option(False, "bool", "the first state that fails ends a run"),
    "state_auto_order": Option(True, "bool", "states run in the order in which they are written"),
    "state_events": Option(False, "bool", "minions send an event for each state that has run"),
    "state_aggregate": Option(False, "aggregate", "states of one kind are done at once where their module can"),
    "jinja_env": Option({}, "map", "options of Jinja, for files"),
    "jinja_sls_env": Option({}, "map", "options of Jinja, for states"),
    "jinja_lstrip_blocks": Option(False, "bool", "Jinja takes away the blanks before a block"),
    "jinja_trim_blocks": Option(False, "bool", "Jinja takes away the line end after a block"),
}

MINION_OPTIONS: dict[str, Option] = BOTH_OPTIONS | {
    "master": Option("salt", "hosts", "the master's host name or address, or a list of masters with the same key"),
    "master_type": Option("str", "masters", "several masters: str: connected to all; failover: to one, in this order"),
    "master_alive_interval": Option(0, "number", "failover: seconds without a connection until the next; 0: 30"),
    "master_shuffle": Option(False, "bool", "take the masters in a random order"),
    "master_port": Option(4506, "port", "the master's ret_port"),
    "publish_port": Option(0, "int", "the master's publish_port; 0: as the master says"),
    "id": Option("", "str", "this minion's name; without: the host name, kept in minion_id"),
    "minion_id_caching": Option(True, "bool", "write the id found to minion_id"),
    "append_domain": Option("", "str", "appended to the host name when the id is made from it"),
    "master_finger": Option("", "str", "fingerprint that the master's key must have at the first contact"),
    "acceptance_wait_time": Option(10, "number", "seconds between two tries while the key is pending"),
    "acceptance_wait_time_max": Option(0, "number", "the longest such wait; 0: it does not grow"),
    "auth_timeout": Option(5, "number", "seconds to wait for a master's first answer"),
    "random_reauth_delay": Option(10, "number", "seconds over which a refused minion spreads its next try"),
    "request_channel_timeout": Option(60, "number", "seconds to wait for the reply to a request"),
    "verify_master_pubkey_sign": Option(False, "bool", "take a new master's key if the signing key vouches for it"),
    "always_verify_signature": Option(False, "bool", "have the signing key vouch for the key that is known, too"),
    "encryption_algorithm": Option("OAEP-SHA1", "enc", "how keys are sealed for this minion"),
    "signing_algorithm": Option("PKCS1v15-SHA1", "sig", "how the master signs for this minion"),
    "autosign_grains": Option([], "list", "grains that are shown to the master with the key"),
    "grains": Option({}, "map", "grains of your own"),
    "minion_sign_messages": Option(False, "bool", "sign every message to the master"),
    "return_retry_timer_max": Option(10, "number", "the longest such wait"),
    "recon_default": Option(200, "int", "milliseconds until a lost connection is tried again"),
    "recon_max": Option(5000, "int", "the longest such wait"),
    "loop_interval": Option(1, "number", "seconds between two looks at the outbox"),
    "max_return_size": Option(16777216, "int", "bytes of a function's output that are kept"),
    "saltenv": Option("", "str", "the environment that files and states come from"),
    "pillarenv": Option("", "str", "the environment that pillar comes from"),
    "shell": Option("", "str", "the shell of cmd.run; without: /bin/sh"),
    "module_dirs": Option([], "list", "directories with modules/ of your own"),
    "salt_call": Option("", "str", "Salt's salt-call, which applies states; without: looked for in PATH"),
    "mine_functions": Option(
        {}, "functions", "functions whose returns other minions may ask for, with their arguments"
    ),
    "mine_enabled": Option(True, "bool", "call mine.update of itself"),
    "mine_interval": Option(60, "int", "minutes between two mine.update"),
    "mine_return_job": Option(False, "bool", "return what mine.update gives to the master, as a job"),
    "schedule": Option({}, "map", "jobs that the minion runs by itself, by name; of several files all count"),
}


def _regexes(value: list[Any]) -> bool:
    try:
        return all(re.compile(pattern) for pattern in value)
    except (re.error, TypeError):
        return False


def _roots(value: dict[Any, Any]) -> bool:
    lists = [[named] if isinstance(named, str) else named or [] for named in value.values()]
    return all(isinstance(each, list) and all(type(path) is str and path for path in each) for each in lists)


FORMS: dict[str, Callable[[Any], bool]] = {"regexes": _regexes, "roots": _roots}  # what goes beyond the type


def check(name: str, value: Any, option: Option, source: str) -> Any:
    """`value` as the option `name` wants it; Failure names the file and the option otherwise."""
    types, wanted = KINDS[option.kind]
    number = value if isinstance(value, int | float) else 0
    if isinstance(value, bool) and bool not in types or not isinstance(value, types):
        if value is None:  # `interface:` with nothing behind it, as Salt reads it
            return option.default
        if option.kind == "str" and isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)  # `id: 4711`
        raise Failure(f"{source}: {name} must be {wanted}, not {value!r}; correct it or remove the line.")
    if option.kind in CHOICES and value not in CHOICES[option.kind]:
        raise Failure(f"{source}: {name} must be {wanted}, not {value!r}.")
    if option.kind in FORMS and not FORMS[option.kind](value):
        raise Failure(f"{source}: {name} must be {wanted}, not {value!r}.")
    if option.kind == "port" and not 0 < number < 65536:
        raise Failure(f"{source}: {name} must be {wanted}, not {value!r}.")
    if option.kind in ("int", "number") and number < 0 <= option.default:
        raise Failure(f"{source}: {name} must not be negative, and is {value!r}.")
    if name == "keysize" and not 2048 <= number <= 8192:
        raise Failure(f"{source}: keysize must be from 2048 to 8192, not {value!r}.")
    return value


def merge(options: Mapping[str, Option], documents: Iterable[tuple[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Lay configuration documents, pairs (file name, parsed YAML), over the defaults, the later over the earlier.

    Returns the options and a warning for each unknown name; raises Failure on a wrong type."""
    opts = {name: option.default for name, option in options.items()}
    warnings = []
    for source, document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            raise Failure(f"{source}: a configuration file must be a map of `option: value` lines.")
        for name, value in document.items():
            if name in options:
                value = check(name, value, options[name], source)
                opts[name] = opts[name] | value if name == "schedule" else value
            else:
                opts[str(name)] = value
                warnings.append(f"{source}: unknown option {name!r} is ignored{nearest(str(name), options)}.")
    if not opts["sign_pub_messages"]:
        warnings.append("sign_pub_messages: False has no effect: publications are always signed and verified.")
    return opts, warnings


def host_and_port(master: str, port: int) -> tuple[str, int]:
    """The option master as host and ret_port: `host:4506` and `[::1]:4506` bring their own port. Failure otherwise."""
    found = re.fullmatch(r"\[([^]]*:[^]]*)\](?::(\d+))?|([^][:]+)(?::(\d+))?|([^][]*:[^][]*:[^][]*)", master)
    if not found:
        raise Failure(f"master: {master!r} must be a host, an address, host:port or [IPv6 address]:port.")
    return found[1] or found[3] or found[5], int(found[2] or found[4] or port)


def master_list(opts: Mapping[str, Any]) -> list[str]:
    """The masters that the option names, each once; Failure if there is none, or one is no host."""
    found = opts["master"] if isinstance(opts["master"], list) else opts["master"].split(",")
    found = list(dict.fromkeys(host for each in found if (host := str(each).strip())))
    if not found:
        raise Failure("master must name a host, or a list of hosts.")
    for host in found:
        host_and_port(host, 0)
    return found


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word that `word` resembles most, or nothing."""
    import difflib

    close = difflib.get_close_matches(word, list(known), 1, 0.7)
    return f"; did you mean {close[0]!r}?" if close else ""


# ---- 3. Payload -------------------------------------------------------------------------------------------------
# Salt's msgpack dialect (PROTOCOL.md 1.1): text and binary share one wire type, so a reader decides by UTF-8.

EXT_DATETIME = 78
MAX_DEPTH = 64
MAX_NODES = 1_000_000  # members of all maps and lists in one message
MAX_CONTAINERS = 200_000  # maps and lists in one message


def pack(value: Any) -> bytes:
    """Salt's msgpack of `value`; sets, paths and numbers beyond 64 bits go as Salt sends them."""
    try:
        return msgpack.packb(value, use_bin_type=False, unicode_errors="surrogateescape", default=_plain)
    except OverflowError:
        return msgpack.packb(_small_ints(value), use_bin_type=False, unicode_errors="surrogateescape", default=_plain)


def signed_form(load: Mapping[str, Any]) -> bytes:
    """What a minion's `sig` covers: the load without its fields of the transport, in today's msgpack, in which texts
    and bytes differ, and in the order of the wire."""
    bare = {name: value for name, value in load.items() if name not in ("nonce", "tok", "sig")}
    return msgpack.packb(bare, unicode_errors="surrogateescape", default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if hasattr(value, "strftime"):
        return msgpack.ExtType(EXT_DATETIME, value.strftime("%Y%m%dT%H:%M:%S.%f").encode())
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def _small_ints(value: Any) -> Any:
    if isinstance(value, dict):
        return {_small_ints(key): _small_ints(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_small_ints(item) for item in value]
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value


def unpack(data: bytes) -> Any:
    """The object in `data`, one whole msgpack message; raises PayloadError, and nothing else, on anything odd.

    Byte strings that are UTF-8 come out as str, the others as bytes. Refused: trailing bytes, a map with a key twice,
    more than 64 levels, unknown extension types (SECURITY.md R11)."""
    try:
        try:
            return _unpackb(data, raw=False)
        except UnicodeDecodeError:
            return _text(_unpackb(data, raw=True))
    except PayloadError:
        raise
    except Exception as error:  # msgpack raises a dozen kinds, among them bare ValueError and TypeError
        raise PayloadError(f"not a msgpack message ({type(error).__name__})") from None


def _unpackb(data: bytes, raw: bool, most: int = MAX_CONTAINERS, length: int = MAX_NODES) -> Any:
    """msgpack with all its bounds: `most` maps and lists in all, `length` members in one, MAX_NODES in all of them."""
    count, members = itertools.count(1), 0

    def container(value: Any) -> Any:
        nonlocal members
        members += len(value)
        if next(count) > most or members > MAX_NODES:
            raise PayloadError(f"more than {most} maps and lists, or {MAX_NODES} members")
        return value

    return msgpack.unpackb(
        data,
        raw=raw,
        strict_map_key=False,
        ext_hook=_ext,
        object_pairs_hook=lambda pairs: container(_unique(pairs)),
        list_hook=container,
        max_map_len=length,
        max_array_len=length,
    )


def _ext(code: int, data: bytes) -> Any:
    if code != EXT_DATETIME:
        raise PayloadError(f"extension type {code}")
    return data.decode("ascii")


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise PayloadError("a map has a key twice")
    return found


def _text(value: Any, depth: int = 0) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if depth > MAX_DEPTH:
        raise PayloadError(f"more than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {_text(key, depth + 1): _text(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_text(item, depth + 1) for item in value]
    return value


def as_bytes(value: Any) -> bytes:
    """A binary field, which arrives as str when its bytes happen to be UTF-8; PayloadError if it is neither."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise PayloadError("a binary field is missing")


def to_json(value: Any) -> str:
    """One line of JSON; bytes that are not text travel as {"__bytes__": base64} (DESIGN.md 5)."""
    try:
        return json.dumps(value, default=_json_default, separators=(", ", ": "))
    except TypeError:  # a key that JSON does not know, bytes above all
        return json.dumps(_text_keys(value), default=_json_default, separators=(", ", ": "))


def _text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {k if isinstance(k, str | int | float | None) else str(k): _text_keys(v) for k, v in value.items()}
    return [_text_keys(item) for item in value] if isinstance(value, list | tuple) else value


def _json_default(value: Any) -> Any:
    import base64

    return {"__bytes__": base64.b64encode(value).decode()} if isinstance(value, bytes) else _plain(value)


def from_json(line: str | bytes) -> Any:
    """The reverse of `to_json`; raises ValueError."""
    try:
        return json.loads(line, object_hook=_json_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _json_object(value: dict[str, Any]) -> Any:
    import base64

    if list(value) == ["__bytes__"] and isinstance(value["__bytes__"], str):
        with contextlib.suppress(ValueError):  # else it is somebody's map that looks alike
            return base64.b64decode(value["__bytes__"], validate=True)
    return value


# ---- 4. Crypt ---------------------------------------------------------------------------------------------------
# PROTOCOL.md 1.2 and 1.3. Errors of the cryptography package never leave this section.

ENC_ALGOS = {"OAEP-SHA1": "SHA1", "OAEP-SHA224": "SHA224"}
SIG_ALGOS = {"PKCS1v15-SHA1": "SHA1", "PKCS1v15-SHA224": "SHA224"}
PREFIX = b"pickle::"  # the literal that opens every box; it has nothing to do with pickle
MAX_PEM = 8192


def clean(pem: str) -> str:
    """A PEM text as it travels: LF only, no newline at the end (PROTOCOL.md 1.3)."""
    return "\n".join(pem.strip().splitlines())


def fingerprint(pem: str) -> str:
    """The SHA-256 fingerprint that salt-key -f and master_finger know: hex pairs of a hash of the inner lines."""
    lines = [line for line in clean(pem).splitlines() if line.strip()]
    digest = _digest("\n".join(lines[1:-1]).encode() + b"\n" if len(lines) > 2 else b"").hex()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _digest(data: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize()


def _oaep(algo: str) -> padding.OAEP:
    algorithm = getattr(hashes, ENC_ALGOS[algo])()
    return padding.OAEP(padding.MGF1(algorithm), algorithm, None)


class PublicKey:
    """An RSA public key, 2048 to 8192 bits with exponent 65537 (SECURITY.md R13), made from one PEM block.

    Raises AuthError if the text is anything else."""

    def __init__(self, pem: str) -> None:
        if len(pem) > MAX_PEM or pem.count("-----BEGIN") != 1 or not pem.isascii():
            raise AuthError("the public key is not one PEM block")
        try:
            key = serialization.load_pem_public_key(pem.strip().encode())
        except Exception:
            raise AuthError("the public key cannot be read") from None
        if not isinstance(key, rsa.RSAPublicKey) or not 2048 <= key.key_size <= 8192:
            raise AuthError("the public key is not an RSA key of 2048 to 8192 bits")
        if key.public_numbers().e != 65537:
            raise AuthError("the public key's exponent is not 65537")
        self._key = key

    @functools.cached_property
    def pem(self) -> str:
        """The canonical clean PEM, so that equal keys are equal texts."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return clean(self._key.public_bytes(serialization.Encoding.PEM, form).decode())

    def encrypt(self, algo: str, data: bytes) -> bytes:
        return self._key.encrypt(data, _oaep(algo))

    def verify(self, algo: str, sig: bytes, data: bytes) -> bool:
        if algo not in SIG_ALGOS:
            return False
        try:
            self._key.verify(sig, data, padding.PKCS1v15(), getattr(hashes, SIG_ALGOS[algo])())
        except Exception:
            return False
        return True

    def recover(self, sig: bytes) -> bytes:
        """The message inside an X9.31 `private encrypt`; AuthError if there is none."""
        numbers = self._key.public_numbers()
        size = (numbers.n.bit_length() + 7) // 8
        value = pow(int.from_bytes(sig, "big"), numbers.e, numbers.n) if len(sig) == size else 0
        if value & 0xF != 0xC:
            value = numbers.n - value
        found = re.fullmatch(rb"(?:\x6b\xbb*\xba|\x6a)(.*)\xcc", value.to_bytes(size, "big"), re.DOTALL)
        if not found:
            raise AuthError("an X9.31 block does not open")
        return found[1]


class PrivateKey:
    """An RSA private key from its PEM bytes; raises AuthError if they are not an unencrypted RSA key."""

    def __init__(self, pem: bytes) -> None:
        try:  # the package's own check of its numbers takes 45 ms, a quarter of a start; `_sound` takes 3
            key = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
        except Exception:
            raise AuthError("the private key cannot be read") from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise AuthError("the private key is not an RSA key")
        self._key = key
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        self.public = PublicKey(key.public_key().public_bytes(serialization.Encoding.PEM, form).decode())
        if not self._sound():
            raise AuthError("the private key is damaged: its numbers do not belong together")

    def __repr__(self) -> str:
        return "PrivateKey(…)"

    def _sound(self) -> bool:
        """Whether all of p, q, dmp1, dmq1, iqmp belong to the public key: a signature made with a wrong one of them
        would betray the others."""
        try:
            return self.public.recover(self.private_encrypt(b"salt")) == b"salt"
        except (AuthError, ValueError, OverflowError, ArithmeticError):
            return False

    @staticmethod
    def generate(bits: int) -> bytes:
        """A new key as PKCS#1 PEM, as Salt keeps it on disk."""
        form = serialization.PrivateFormat.TraditionalOpenSSL
        key = rsa.generate_private_key(65537, bits)
        return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())

    def decrypt(self, algo: str, data: bytes) -> bytes:
        try:
            return self._key.decrypt(data, _oaep(algo))
        except Exception:
            raise AuthError("a sealed key does not open") from None

    def sign(self, algo: str, data: bytes) -> bytes:
        return self._key.sign(data, padding.PKCS1v15(), getattr(hashes, SIG_ALGOS[algo])())

    def private_encrypt(self, data: bytes) -> bytes:
        """X9.31 `private encrypt` of a short message: what `tok` and the inner `sig` are made with."""
        numbers = self._key.private_numbers()
        n = numbers.public_numbers.n
        size = (n.bit_length() + 7) // 8
        fill = size - len(data) - 2
        block = (b"\x6b" + b"\xbb" * (fill - 1) + b"\xba" if fill else b"\x6a") + data + b"\xcc"
        value = int.from_bytes(block, "big")
        at_p, at_q = pow(value, numbers.dmp1, numbers.p), pow(value, numbers.dmq1, numbers.q)
        s = at_q + (at_p - at_q) * numbers.iqmp % numbers.p * numbers.q
        return min(s, n - s).to_bytes(size, "big")


class Crypticle:
    """Salt's authenticated box: AES-192-CBC, then HMAC-SHA256 over IV and cipher text (PROTOCOL.md 1.2)."""

    __slots__ = ("_aes", "_hmac", "key")

    def __init__(self, key: str) -> None:
        import base64

        try:
            raw = base64.b64decode(key, validate=True)
        except ValueError:
            raw = b""
        if len(raw) != 56:
            raise AuthError("a session key is not 56 bytes in base64")
        self.key, self._aes, self._hmac = key, raw[:24], raw[24:]

    def __repr__(self) -> str:
        return "Crypticle(…)"

    @staticmethod
    def generate() -> str:
        import base64

        return base64.b64encode(token(56)).decode()

    def seal(self, data: bytes) -> bytes:
        iv = token(16)
        fill = 16 - len(data) % 16
        cipher = ciphers.Cipher(ciphers.algorithms.AES(self._aes), ciphers.modes.CBC(iv)).encryptor()
        box = iv + cipher.update(data + bytes([fill]) * fill)
        return box + self._mac(box).finalize()

    def open(self, box: bytes) -> bytes:
        """The bytes inside; AuthError unless this key sealed them. Nothing is deciphered before the MAC is right."""
        if len(box) < 64 or len(box) % 16:
            raise AuthError("a box does not open")
        try:
            self._mac(box[:-32]).verify(box[-32:])
        except Exception:
            raise AuthError("a box does not open") from None
        cipher = ciphers.Cipher(ciphers.algorithms.AES(self._aes), ciphers.modes.CBC(box[:16])).decryptor()
        data = cipher.update(box[16:-32])
        fill = data[-1]
        if not 1 <= fill <= 16 or data[-fill:] != bytes([fill]) * fill:
            raise AuthError("a box does not open")
        return data[:-fill]

    def _mac(self, data: bytes) -> hmac.HMAC:
        mac = hmac.HMAC(self._hmac, hashes.SHA256())
        mac.update(data)
        return mac

    def dumps(self, value: Any, nonce: str = "") -> bytes:
        return self.seal(PREFIX + nonce.encode() + pack(value))

    def loads(self, box: bytes, nonce: str = "") -> Any:
        """The object inside; AuthError unless sealed by this key with this nonce, PayloadError unless msgpack."""
        data = self.open(box)
        head = PREFIX + nonce.encode()
        if not data.startswith(head):
            raise AuthError("a reply answers another request" if data.startswith(PREFIX) else "a box has no prefix")
        return unpack(data[len(head) :])


# ---- 5. Targeting: which minions are meant ----------------------------------------------------------------------
# A target is parsed once into a Parsed, which then judges any number of minions. A minion judges itself, exactly as
# Salt's matchers do (PROTOCOL.md 7). The master only foresees who will answer: where it does not know enough, the
# verdict is None, `may match`.

Verdict = bool | None
REGEX_BUDGET = 100_000  # steps on the master, some milliseconds
NESTING = 200  # Python's own bound on parentheses, which Salt inherits


class Facts(NamedTuple):
    """The minion a target is held against; grains or pillar None: not known here. A regular expression that may take
    more steps than `budget` is not run; 0: no bound, for a minion runs what its master sends, as Salt does."""

    id: str
    grains: Mapping[str, Any] | None = None
    pillar: Mapping[str, Any] | None = None
    budget: int = 0


class Parsed(NamedTuple):
    """A parsed target: its verdict on a minion; why (a part of) it can never match, or ''."""

    verdict: Callable[[Facts], Verdict]
    complaint: str = ""


class Matcher(NamedTuple):
    """A tgt_type: its letter in compound targets; what makes a Parsed of (target, delimiter), or raises Failure."""

    letter: str | None
    test: Callable[[Any, str], Parsed]


def never(complaint: str) -> Parsed:
    return Parsed(lambda facts: False, complaint)


# Words as YAML: the keys of pillar need it here, the arguments of the command line below.

MAX_YAML_DEPTH = 500
MAX_MERGED = 1_000_000  # keys that the merge keys of one text may bring
PLAIN_WORD = re.compile(r"(?!(?:true|false|yes|no|on|off|null|none)$)[a-z_][a-z0-9_.-]*", re.ASCII | re.IGNORECASE)


@functools.cache
def yaml_loader() -> Any:
    """PyYAML's safe loader with Salt's changes: dates stay text, 010 is ten, a key may not appear twice."""

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def __init__(self, stream: str) -> None:
            if too_deep(stream):
                raise yaml.YAMLError("it is nested too deeply")
            super().__init__(stream)
            self.merged = 0
            self.merging: set[int] = set()

        def flatten_mapping(self, node: Any) -> None:
            """`<<: [*a, *a]`, thirty times over, would be a thousand million keys: count before they are made."""
            if id(node) in self.merging:
                return
            self.merging.add(id(node))
            for _, value in [pair for pair in node.value if pair[0].tag == "tag:yaml.org,2002:merge"]:
                for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(part, yaml.MappingNode):
                        self.flatten_mapping(part)
                        self.merged += len(part.value)
                    if self.merged > MAX_MERGED:
                        raise yaml.YAMLError(f"its merge keys bring more than {MAX_MERGED} keys")
            self.merging.discard(id(node))
            super().flatten_mapping(node)

        def construct_scalar(self, node: Any) -> Any:
            if node.tag == "tag:yaml.org,2002:int" and re.match("0(?!b|x)", node.value):
                node.value = node.value.lstrip("0") or "0"
            return super().construct_scalar(node)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key) for key, _ in node.value if not key.tag.endswith((":merge", ":value"))]
            if len(set(keys)) < len(keys):
                raise yaml.YAMLError("a key appears twice")
            return super().construct_mapping(node, deep)

    Loader.add_constructor("tag:yaml.org,2002:timestamp", Loader.construct_scalar)
    return Loader


def too_deep(text: str) -> bool:
    """Whether a YAML text nests so deeply that the C loader, which recurses, would run out of stack and end us."""
    if sum(map(text.count, "[{-?")) < MAX_YAML_DEPTH:
        return False
    depth = 0
    for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_YAML_DEPTH:
            return True
    return False


def yaml_word(word: str) -> Any:
    """A word as the value Salt takes it for; itself where YAML would lose something (comments, line ends, 1_000) or
    make a map or list that was not written as {…} or […]."""
    bare = word.strip()
    if word == "None":
        return None
    if PLAIN_WORD.fullmatch(word) or bare in ("", "---", "...") or word in ("|", "!") or re.search("[\t\r\n]", word):
        return word
    if "_" in word and not bare.strip("0123456789_"):
        return word
    try:
        value = yaml.load(word, yaml_loader())
    except Exception:  # PyYAML's constructors let ValueError, TypeError, OverflowError … through
        return word
    if "#" in word and (value is None or isinstance(value, str)):
        return word
    begins = "{" if isinstance(value, dict) else "[" if isinstance(value, list) else ""
    plain = value is None or isinstance(value, dict | list | str | int | float)
    return value if "#" in word or plain and word.startswith(begins) else word


# Regular expressions


def mistake(expression: str) -> str:
    """Why a text is not a regular expression, or ''."""
    try:
        re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        return f"{expression!r} is not a regular expression: {error}."
    return ""


def steps(expression: str, length: int) -> float:
    """An upper bound of the steps to hold an expression against a text of that length: a repetition may try every
    position, an option or alternative doubles; a repeated group or a back reference has no useful bound."""
    if len(expression) > 1000 or re.search(r"\)[*+{]|\\[1-9]|\(\?P=|\(\?\(", expression):
        return float("inf")
    repeats, forks = len(re.findall(r"[*+{]", expression)), len(re.findall(r"[?|]", expression))
    return max(length, 2.0) ** min(repeats, 40) * 2.0 ** min(forks, 40)


# Grains and pillar: sub-dict matching

Same = Callable[[Any, str], bool]


class Costly(Exception):
    """A regular expression is beyond the budget."""


def same(how: str, budget: int, value: Any, pattern: str) -> bool:
    """Whether one value is as the pattern says; both are lowered, expressions too: Salt's \\S is \\s."""
    text, pattern = str(value).lower(), pattern.lower()
    if how == "glob":
        return fnmatch.fnmatchcase(text, pattern)
    if how == "exact":
        return text == pattern
    if budget and steps(pattern, len(text)) > budget:
        raise Costly
    return not mistake(pattern) and re.match(pattern, text) is not None


NOTHING: Mapping[str, Any] = {}


def traverse(data: Any, keys: list[str], missing: Any = NOTHING) -> Any:
    """What lies under a path of keys, else `missing`. A list is entered by index, or through its maps."""
    for key in keys:
        if isinstance(data, list):
            try:
                index: int | str = int(key)
            except ValueError:
                index = key
            inside = next((member for member in data if isinstance(member, dict) and index in member), None)
            if inside is None and not (isinstance(index, int) and -len(data) <= index < len(data)):
                return missing
            data = data[index] if inside is None else inside[index]  # type: ignore[index]
        elif not isinstance(data, Mapping):
            return missing
        else:
            name = key if key in data else yaml_word(key)  # the key 8080 of a pillar is an int
            if isinstance(name, dict | list) or name not in data:
                return missing
            data = data[name]
    return data


def subdict_match(data: Any, tgt: str, delimiter: str, like: Same) -> bool:
    """Whether `a:b:pattern` holds in nested data. Values may contain the delimiter: all cuts are tried."""
    parts = tgt.split(delimiter)
    for cut in range(len(parts) - 1, 0, -1):
        found, pattern = traverse(data, parts[:cut]), delimiter.join(parts[cut:])
        if parts[:cut] == ["*"]:
            found, pattern = data, tgt
        if isinstance(found, dict):
            hit = bool(found) and map_match(found, pattern, like)
        elif isinstance(found, list | tuple):
            hit = any(isinstance(m, dict) and map_match(m, pattern, like) or like(m, pattern) for m in found)
        else:
            hit = like(found, pattern)
        if hit:
            return True
    return False


def map_match(data: Mapping[Any, Any], pattern: str, like: Same) -> bool:
    """Whether a pattern names a key of a map or holds below it; `*:`, whatever the delimiter, skips a level."""
    wildcard = pattern.startswith("*:")
    pattern = pattern.removeprefix("*:")
    if pattern == "*" or pattern in data or any(like(key, pattern) for key in data):
        return True
    if subdict_match(data, pattern, ":", like):
        return True
    for value in data.values() if wildcard else ():
        if isinstance(value, dict):
            if map_match(value, pattern, like):
                return True
        elif any(like(member, pattern) for member in (value if isinstance(value, list) else [value])):
            return True
    return False


# The matchers


def data_test(source: str, how: str, tgt: str, delimiter: str) -> Parsed:
    """Grains or pillar (the `source`, a field of Facts), compared by glob, pcre or exactly."""
    if not delimiter or delimiter not in tgt:
        return never(f"{tgt!r} must be key{delimiter or ':'}value.")
    parts = tgt.split(delimiter)
    mistakes = [mistake(delimiter.join(parts[cut:]).lower()) if how == "pcre" else "" for cut in range(1, len(parts))]
    complaint = mistakes[-1] if all(mistakes) and parts[-1] != "*" else ""  # `key:*` is no expression: any value

    def verdict(facts: Facts) -> Verdict:
        data = getattr(facts, source)
        if data is None or facts.budget and tgt.count("*:") > 8:  # each wildcard level multiplies the work
            return None
        spent = 0

        def like(value: Any, pattern: str) -> bool:
            nonlocal spent
            if facts.budget:  # grains are written by minions, and targets of the mine too
                spent += 100 + len(str(value)) * len(pattern)
                if spent > 10 * facts.budget:
                    raise Costly
            return same(how, facts.budget, value, pattern)

        try:
            return subdict_match(data, tgt, delimiter, like)
        except Costly:
            return None

    return Parsed(verdict, complaint)


def pcre_test(tgt: str, _: str) -> Parsed:
    if problem := mistake(tgt):
        raise Failure(problem)

    def verdict(facts: Facts) -> Verdict:
        if facts.budget and steps(tgt, len(facts.id)) > facts.budget:
            return None
        return re.match(tgt, facts.id) is not None

    return Parsed(verdict)


def list_test(tgt: str | Sequence[str], _: str) -> Parsed:
    ids = set(tgt.split(",") if isinstance(tgt, str) else filter(lambda name: isinstance(name, str), tgt))
    return Parsed(lambda facts: facts.id in ids)


def ipcidr_test(tgt: str, _: str) -> Parsed:
    try:
        wanted: Any = ipaddress.ip_network(tgt) if "/" in tgt else ipaddress.ip_address(tgt)
    except ValueError as error:
        return never(f"not an address or a network: {error}.")
    key = f"ipv{wanted.version}"

    def verdict(facts: Facts) -> Verdict:
        if facts.grains is None:
            return None
        addresses = facts.grains.get(key, [])
        try:
            if "/" not in tgt:
                return str(wanted) in addresses
            addresses = addresses if isinstance(addresses, list | tuple) else [addresses]
            if facts.budget and len(addresses) > 1000:
                return None
            return any(ipaddress.ip_address(address) in wanted for address in addresses)
        except (TypeError, ValueError):  # Salt gives up the whole target
            raise Failure(f"the grain {key} of {facts.id} is not a list of addresses.") from None

    return Parsed(verdict)


def range_test(tgt: str, _: str) -> Parsed:
    raise Failure(f"{tgt!r}: range targets are not supported.")


# Compound targets

OPERATORS = ("and", "or", "not", "(", ")")
STRENGTH = {"or": 1, "and": 2, "not": 3}
BROKEN = "broken"  # `a ( b )`: Salt stumbles over it only if the expression's value depends on it
NEGATION = {True: False, False: True, None: None, BROKEN: BROKEN}
COMPOUND_WORD = re.compile(r"(?:([GPIJ])(.)?|([LNSERTM]))@(.+)$")


def compound_test(
    tgt: str | Sequence[str], _: str, parts: Mapping[str, Callable[[Any, str], Parsed]] | None = None
) -> Parsed:
    """`G@os:Debian and not ( L@a,b or web* )`, a text or its words. Every part is judged before the expression is:
    one that cannot be judged makes the whole fail, even in `a or …`. `parts` replaces COMPOUND."""
    tokens: list[str | int] = []
    tests: list[Parsed] = []
    for word in tgt.split() if isinstance(tgt, str) else tgt:
        if not isinstance(word, str):
            raise Failure(f"compound target: {word!r} is not a text.")
        if word in OPERATORS:
            if word in ("and", "or", ")") and not tokens or word in ("and", "or") and tokens[-1] == "(":
                raise Failure(f"compound target: nothing stands before {word!r}.")
            if word == "not" and tokens and tokens[-1] not in ("and", "or", "("):
                tokens.append("and")
            tokens.append(word)
            continue
        parsed = COMPOUND_WORD.match(word)
        letter, pattern = (parsed[1] or parsed[3], parsed[4]) if parsed else ("", word)
        if letter == "N":
            continue  # expanded before; what is left is unknown, and Salt drops it
        tokens.append(len(tests))
        tests.append((parts or COMPOUND)[letter](pattern, parsed and parsed[2] or ":"))
    unknown = evaluate(tokens, [None] * len(tests))
    complaint = next((test.complaint for test in tests if test.complaint), "")
    if unknown == BROKEN:
        complaint = complaint or "compound target: an operator is missing before '('."

    def verdict(facts: Facts) -> Verdict:
        value = evaluate(tokens, [test.verdict(facts) for test in tests])
        return False if value == BROKEN else value

    return Parsed(verdict, complaint)


def conjunction(left: Any, right: Any) -> Any:
    if left is None:
        return False if right is False else None
    return right if left is True else left


def evaluate(tokens: Iterable[str | int], values: Sequence[Verdict]) -> Any:
    """The value of an expression: True, False, None or BROKEN. Numbers among the tokens are indexes of `values`.
    Raises Failure where Python, by whose eval Salt judges, finds a syntax error."""
    rest = list(tokens)[::-1]

    def expression(strength: int, depth: int) -> Any:
        left: Any = rest.pop() if rest else None
        if left == "not":
            left = NEGATION[expression(STRENGTH["not"], depth)]
        elif left == "(":
            left = parenthesis(depth)
        elif isinstance(left, int):
            left = values[left]
        else:
            raise Failure("compound target: " + (f"nothing stands before {left!r}." if left else "it ends too early."))
        while rest and (rest[-1] == "(" or STRENGTH.get(str(rest[-1]), 0) > strength):
            operator = rest.pop()
            if operator == "(":
                parenthesis(depth)
                left = BROKEN
            elif operator == "and":
                left = conjunction(left, expression(2, depth))
            else:
                left = NEGATION[conjunction(NEGATION[left], NEGATION[expression(1, depth)])]
        return left

    def parenthesis(depth: int) -> Any:
        if depth == NESTING:
            raise Failure(f"compound target: more than {NESTING} nested parentheses.")
        value = False if rest and rest[-1] == ")" else expression(0, depth + 1)  # `( )` is an empty tuple to Python
        if not rest or rest.pop() != ")":
            raise Failure("compound target: a ')' or an operator is missing.")
        return value

    value = expression(0, 0)
    if rest:
        raise Failure(f"compound target: {'a ( is missing' if rest[-1] == ')' else 'an operator is missing'}.")
    return value


MATCHERS = {  # tgt_type: its letter in compound targets (None: not allowed there), its Parsed
    "glob": Matcher("", lambda tgt, _: Parsed(lambda facts: fnmatch.fnmatchcase(facts.id, tgt))),
    "pcre": Matcher("E", pcre_test),
    "list": Matcher("L", list_test),
    "grain": Matcher("G", functools.partial(data_test, "grains", "glob")),
    "grain_pcre": Matcher("P", functools.partial(data_test, "grains", "pcre")),
    "pillar": Matcher("I", functools.partial(data_test, "pillar", "glob")),
    "pillar_pcre": Matcher("J", functools.partial(data_test, "pillar", "pcre")),
    "pillar_exact": Matcher(None, functools.partial(data_test, "pillar", "exact")),
    "ipcidr": Matcher("S", ipcidr_test),
    "compound": Matcher(None, compound_test),
    "nodegroup": Matcher(None, lambda tgt, _: never("nodegroups are expanded where a job starts.")),
    "range": Matcher("R", range_test),
    "data": Matcher(None, lambda tgt, _: never("data targets are not supported.")),
    "managing_minion": Matcher("M", lambda tgt, _: Parsed(lambda facts: facts.id == tgt)),
    "resource": Matcher("T", lambda tgt, _: never("resource targets are not supported.")),
}
COMPOUND = {matcher.letter: matcher.test for matcher in MATCHERS.values() if matcher.letter is not None}


def parse(tgt: Any, tgt_type: str, delimiter: str = ":") -> Parsed:
    """A target as a Parsed; Failure says why it can match nothing."""
    if not isinstance(tgt_type, str) or tgt_type not in MATCHERS:
        raise Failure(f"{tgt_type!r} is not a kind of target.")
    if not isinstance(tgt, str) and not (tgt_type in ("list", "compound") and isinstance(tgt, list | tuple)):
        raise Failure(f"the {tgt_type} target {tgt!r} is not a text.")
    return MATCHERS[tgt_type].test(tgt, delimiter)


def match(tgt: Any, tgt_type: str, facts: Facts, delimiter: str = ":") -> bool:
    """Whether a minion is meant, which decides about itself: facts not known count as none."""
    try:
        known = facts._replace(grains=facts.grains or {}, pillar=facts.pillar or {})
        return parse(tgt, tgt_type, delimiter).verdict(known) is True
    except Failure:
        return False


def target_error(tgt: Any, tgt_type: str, delimiter: str = ":") -> str | None:
    """A sentence why the target, or a part of it, can match no minion at all; None if it is well made."""
    try:
        return parse(tgt, tgt_type, delimiter).complaint or None
    except Failure as failure:
        return str(failure)


def expected(
    tgt: Any,
    tgt_type: str,
    ids: Iterable[str],
    grains_of: Callable[[str], Mapping[str, Any] | None],
    delimiter: str = ":",
    pillar_of: Callable[[str], Mapping[str, Any] | None] = lambda _: None,
) -> list[str]:
    """The ids that match, or may match for all the master knows: `grains_of` and `pillar_of` give None for a minion of
    which it knows none, and are only asked where they decide. Regular expressions are run within REGEX_BUDGET, for
    grains are written by minions: what would take longer may match."""
    try:
        test = parse(tgt, tgt_type, delimiter)
    except Failure:
        return []

    def verdict(minion: str) -> Verdict:
        facts = Facts(minion, budget=REGEX_BUDGET)
        try:
            guess = test.verdict(facts)
            if guess is None and (grains := grains_of(minion)) is not None:
                facts = facts._replace(grains=grains)
                guess = test.verdict(facts)
            if guess is None and (pillar := pillar_of(minion)) is not None:
                guess = test.verdict(facts._replace(pillar=pillar))
        except Failure:
            return False
        return guess

    return [minion for minion in ids if verdict(minion) is not False]


def expand_nodegroups(words: Iterable[str], nodegroups: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[str]:
    """The words of a compound target with each N@name replaced by what the group is; Failure: unknown, or a loop.

    As in Salt, a group gets parentheses only if it contains groups or is contained in one: mind `not N@a`. A group
    without operators, `*` or letters is a list of ids, or an expression if a word looks like one."""
    expanded: list[str] = []
    for word in words:
        if not word.startswith("N@") or len(word) < 3:
            expanded.append(word)
            continue
        name = word[2:]
        if name in path:
            raise Failure(f"the nodegroup {name} contains itself: {' > '.join((*path, name))}.")
        group = nodegroups.get(name)
        if not isinstance(group, str | list | tuple):
            raise Failure(f"there is no nodegroup {name}" + (": it must be a text or a list." if group else "."))
        inner = group.split() if isinstance(group, str) else [str(word) for word in group]
        if not any(word in OPERATORS or "*" in word or re.match("[A-Z]@", word) for word in inner):
            letter = "E" if any(set(word) & set("([{\\?}])") for word in inner) else "L"
            expanded.append(f"{letter}@{','.join(inner)}")
            continue
        nested = path or any(word.startswith("N@") and len(word) > 2 for word in inner)
        inner = expand_nodegroups(inner, nodegroups, (*path, name))
        expanded += ["(", *inner, ")"] if nested else inner
    return " ".join(expanded).split()


# Targets that minions make: the mine

MAX_TARGET = {"": 1000, ":": 40, "*:": 3}  # characters, steps into grains or pillar and wildcards among these
PILLAR_EXACT = dict.fromkeys("IJ", MATCHERS["pillar_exact"].test)


def certainly(
    tgt: Any,
    tgt_type: Any,
    nodegroups: Mapping[str, Any],
    facts_of: Callable[[str], Facts],
    exact: bool = False,
) -> Callable[[str], bool]:
    """A test of ids, true only of minions that match for certain: where the target is malformed, or a fact unknown or
    too costly to judge, nobody does. `facts_of` is only asked where the id does not decide. `exact` is Salt's rule for
    those who ask for others: pillar is compared exactly, for a pattern would let them guess at it."""
    nobody = never("")
    try:
        text = tgt if isinstance(tgt, str) else " ".join(map(str, tgt)) if isinstance(tgt, list) else None
        if text is None or tgt_type != "list" and any(text.count(what) > most for what, most in MAX_TARGET.items()):
            raise Failure("not a target, or one that costs too much.")
        if tgt_type in ("compound", "nodegroup"):
            words = [f"N@{tgt}"] if tgt_type == "nodegroup" else text.split()
            test = compound_test(expand_nodegroups(words, nodegroups), ":", COMPOUND | (PILLAR_EXACT if exact else {}))
        else:
            test = parse(tgt, "pillar_exact" if exact and tgt_type in ("pillar", "pillar_pcre") else tgt_type)
    except Failure:
        test = nobody

    def verdict(minion: str) -> bool:
        try:
            guess = False if test.complaint else test.verdict(Facts(minion, budget=1))
            return (test.verdict(facts_of(minion)) if guess is None else guess) is True
        except Failure:
            return False

    return verdict


# ---- 6. Keys: who may join --------------------------------------------------------------------------------------
# Two tables (DESIGN.md 4): what an `_auth` does to the tree, and what a rename by the operator does to the master.
# All transition logic is here; the first row that fits wins; ANY fits everything. Denied keys never block.

ANY = None
REJECTED, ACCEPTED, PENDING, BLOCKED, UNKNOWN = "rejected", "accepted", "pending", "blocked", "unknown"
REJECT, SIGN, ASK = "reject", "sign", "ask"
DIRECTORIES = {ACCEPTED: "minions", PENDING: "minions_pre", REJECTED: "minions_rejected", "denied": "minions_denied"}


class KeyRule(NamedTuple):
    """A row: four facts about an `_auth`, then the event's act, its result, the directory the key file ends in
    (none: the tree stays as it is) and the reply: credentials, True held until the key moves, or False."""

    open_mode: bool | None
    stored: str | None
    same: bool | None
    policy: str | None
    act: str
    result: bool
    directory: str
    reply: str


CREDENTIALS, HELD, FALSE = "credentials", "held", "false"
KEY_RULES = (
    #       open   stored    same   policy  act       result directory           reply
    KeyRule(True, ANY, ANY, ANY, "accept", True, "minions", CREDENTIALS),
    KeyRule(False, REJECTED, ANY, ANY, "", False, "", FALSE),
    KeyRule(False, ACCEPTED, True, ANY, "accept", True, "", CREDENTIALS),
    KeyRule(False, ACCEPTED, False, ANY, "denied", False, "minions_denied", FALSE),
    KeyRule(False, BLOCKED, ANY, ANY, "", False, "", FALSE),
    KeyRule(False, UNKNOWN, ANY, REJECT, "reject", False, "minions_rejected", FALSE),
    KeyRule(False, UNKNOWN, ANY, SIGN, "accept", True, "minions", CREDENTIALS),
    KeyRule(False, UNKNOWN, ANY, ASK, "pend", True, "minions_pre", HELD),
    KeyRule(False, PENDING, ANY, REJECT, "reject", False, "minions_rejected", FALSE),
    KeyRule(False, PENDING, True, SIGN, "accept", True, "minions", CREDENTIALS),
    KeyRule(False, PENDING, False, ANY, "denied", False, "minions_denied", FALSE),
    KeyRule(False, PENDING, True, ASK, "pend", True, "", HELD),
)


def key_rule(open_mode: bool, stored: str, same: bool, policy: str) -> KeyRule:
    """The row for these facts; StateError if the table has none."""
    facts = (open_mode, stored, same, policy)
    for row in KEY_RULES:
        if all(wanted is ANY or wanted == fact for wanted, fact in zip(row[:4], facts, strict=True)):
            return row
    raise StateError(f"no key rule for {facts}")


ANSWER, REFUSE, FORGET = "answer", "refuse", "forget"
KEY_MOVES: dict[tuple[str, str], tuple[str, ...]] = {
    # what a key was and is -> what the master does: ANSWER the held `_auth` with credentials, REFUSE it with False,
    # FORGET the session and renew the shared key. "replaced": still accepted, but another key.
    (PENDING, ACCEPTED): (ANSWER,),
    (UNKNOWN, ACCEPTED): (ANSWER,),
    (REJECTED, ACCEPTED): (ANSWER,),
    (PENDING, REJECTED): (REFUSE,),
    (UNKNOWN, REJECTED): (REFUSE,),
    (ACCEPTED, REJECTED): (FORGET, REFUSE),
    (ACCEPTED, PENDING): (FORGET,),
    (ACCEPTED, UNKNOWN): (FORGET,),
    (ACCEPTED, "replaced"): (FORGET, ANSWER),
    (PENDING, UNKNOWN): (),
    (UNKNOWN, PENDING): (),
    (REJECTED, PENDING): (),
    (REJECTED, UNKNOWN): (),
}


def line_matches(name: str, lines: Iterable[str]) -> bool:
    """Whether a line of an autosign or autoreject file means `name`: the name itself, a glob or a whole regular
    expression; `#` begins a comment line (Salt's expr_match)."""
    for line in lines:
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line == name or fnmatch.fnmatchcase(name, line):
            return True
        with contextlib.suppress(re.error):
            if re.fullmatch(line, name):
                return True
    return False


# ---- 7. Schedule: what is due -----------------------------------------------------------------------------------
# Salt's entries: one of FIRES says when one fires, each of GATES may forbid it. They speak of local time; `now` and
# all moments are seconds since the epoch. A clock that jumps makes nothing fire twice, nor all that it jumped over.

SCHEDULE_SETTINGS = ("enabled", "skip_function", "skip_during_range", "splay")  # of the whole, beside its entries
UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
UNUSED = ("returner", "return_config", "return_kwargs")
MISTAKES = (ArithmeticError, AttributeError, KeyError, TypeError, ValueError)  # what reading an entry may raise
NEVER = float("inf")
LATE = 60.0  # seconds after which a date or a time of day is missed; a minion that slept may be late

croniter: Any = Lazy("croniter")
dateutil_parser: Any = Lazy("dateutil.parser")
Entry = dict[str, Any]


def moment(value: Any, day: float) -> float:
    """When a date string is, or a time of day on the day of `day`; ValueError if it is neither."""
    from datetime import date, datetime

    if not isinstance(value, str | date):
        raise ValueError(f"{value!r} is no date or time (put quotes around it)")
    midnight = datetime.fromtimestamp(day).replace(hour=0, minute=0, second=0, microsecond=0)
    return dateutil_parser.parse(str(value), default=midnight).timestamp()


def interval(entry: Entry) -> float:
    seconds = sum(float(entry.get(unit, 0)) * length for unit, length in UNITS.items())
    if not 0 <= seconds <= 1e10:
        raise ValueError(f"it cannot fire every {seconds} seconds")
    return max(1.0, seconds)


def next_when(entry: Entry, since: float) -> float:
    whens = entry["when"] if isinstance(entry["when"], list) else [entry["when"]]
    found = [moment(when, day) for when in whens for day in (since, since + 86400)]
    return min((at for at in found if at > since), default=NEVER)


def next_cron(entry: Entry, since: float) -> float:
    from datetime import datetime

    at = croniter.croniter(entry["cron"], datetime.fromtimestamp(since)).get_next(datetime).timestamp()
    return at if at > since else at + 3600  # in the hour that summer time's end repeats


def next_once(entry: Entry, since: float) -> float:
    from datetime import datetime

    at = entry["once"]
    if not isinstance(at, datetime):
        at = datetime.strptime(at, entry.get("once_fmt", "%Y-%m-%dT%H:%M:%S"))
    return at.timestamp() if at.timestamp() > since else NEVER


FIRES: dict[str, Callable[[Entry, float], float]] = {
    "seconds": lambda entry, since: since + interval(entry),
    "when": next_when,
    "cron": next_cron,
    "once": next_once,
}


def kind_of(entry: Entry) -> str:
    """The key of FIRES that an entry fires by; ValueError unless it is exactly one."""
    kinds = [kind for kind in FIRES if kind in entry or kind == "seconds" and UNITS.keys() & entry.keys()]
    if len(kinds) != 1:
        raise ValueError("it needs one of when, cron, once and seconds (with minutes, hours, days)")
    return kinds[0]


def next_fire(entry: Entry, since: float) -> float:
    """The first moment after `since` at which an entry fires, its splay left out; NEVER if there is none.

    Raises one of MISTAKES for an entry that is none."""
    return FIRES[kind_of(entry)](entry, since)


def in_range(span: Mapping[str, Any], now: float, invert: bool = False) -> bool:
    """Whether now is from start to end; with `invert` not between them. Both edges are in either."""
    start, end = moment(span["start"], now), moment(span["end"], now)
    if end <= start:
        raise ValueError("the end of a range must be later than its start")
    return not start < now < end if invert else start <= now <= end


GATES: dict[str, Callable[[Any, float], bool]] = {
    "range": lambda span, now: in_range(span, now, bool(span.get("invert"))),
    "skip_during_range": lambda span, now: not in_range(span, now),
    "until": lambda until, now: now < moment(until, now),
    "after": lambda after, now: now > moment(after, now),
}


def closed(entry: Entry, now: float) -> str:
    """The first gate that keeps an entry from running now, or ''."""
    return next((gate for gate, is_open in GATES.items() if entry.get(gate) and not is_open(entry[gate], now)), "")


def opens(gate: str, span: Mapping[str, Any], now: float) -> float:
    """When a range lets an entry run again."""
    edges = [moment(span[edge], day) + s for day in (now, now + 86400) for edge in ("start", "end") for s in (0, 1)]
    return min((at for at in edges if at > now and GATES[gate](span, at)), default=NEVER)


def splay(entry: Entry) -> float:
    """Seconds by which an entry fires later than it says, drawn anew each time."""
    span = entry.get("splay")
    if not span:
        return 0
    low, high = (int(span["start"]), int(span["end"])) if isinstance(span, dict) else (1, int(span))
    if high < low:
        raise ValueError("the end of splay must not be before its start")
    return low + int.from_bytes(token(8), "big") % (high - low + 1)


ENTRY_TYPES = {"args": list, "kwargs": dict, "metadata": dict, "maxrunning": int}


def function_of(entry: Entry) -> str | list[str]:
    fun = next((entry[name] for name in ("function", "func", "fun") if entry.get(name)), "")
    if not fun or not all(isinstance(one, str) for one in ([fun] if isinstance(fun, str) else list(fun))):
        raise ValueError("function must name a function, or be a list of names")
    return fun


def checked_entry(entry: Any, defaults: Mapping[str, Any], whens: Mapping[str, Any], now: float) -> Entry:
    """An entry with what the whole schedule says of all, and with the named times put in; raises MISTAKES."""
    if not isinstance(entry, dict):
        raise ValueError("it must be a map")
    made = {word: value for word, value in {**defaults, **entry}.items() if value is not None}
    if "when" in made:
        listed = made["when"] if isinstance(made["when"], list) else [made["when"]]
        made["when"] = [whens.get(when, when) if isinstance(when, str) else when for when in listed]
    for name, wanted in ENTRY_TYPES.items():
        if name in made and not isinstance(made[name], wanted):
            raise ValueError(f"{name} must be a {wanted.__name__}, not {made[name]!r}")
    if made.get("dry_run"):
        raise ValueError("it is marked as dry_run")
    function_of(made)
    next_fire(made, now)
    splay(made)
    for gate in GATES:
        if made.get(gate):
            GATES[gate](made[gate], now)
    return made


class Schedule:
    """The entries of a minion, by name, and when each is due. `problems` collects sentences for the log."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.enabled = True
        self.problems: list[str] = []
        self._known: list[str] = []  # those of the last load, which need not be said again
        self.asked: list[str] = []  # names to run at once, whatever they say
        self._at: dict[str, float] = {}
        self._starting: set[str] = set()  # run_on_start, and did not yet
        self._offset: float | None = None  # the clock without the time that has passed
        self._again = 0.0  # when dates that lay too far ahead are looked at again

    def load(self, entries: Mapping[str, Any], whens: Mapping[str, Any], now: float) -> None:
        """Take these entries; one that was here before goes on as it was, even if it was enabled or disabled."""
        before, self.entries = self.entries, {}
        problems: list[str] = []
        self.enabled = bool(entries.get("enabled", True))
        defaults = {name: entries[name] for name in ("skip_during_range", "splay") if entries.get(name)}
        for name, value in [(str(name), value) for name, value in entries.items()]:
            if name in SCHEDULE_SETTINGS:
                problems += ["skip_function has no effect."] if name == "skip_function" else []
                continue
            try:
                entry = self.entries[name] = checked_entry(value, defaults, whens, now)
            except MISTAKES as error:
                problems.append(f"{name} is skipped: {error or type(error).__name__}.")
                continue
            problems += [f"{name}: {word} has no effect." for word in UNUSED if word in entry]
            if before.get(name, {}) | {"enabled": 0} != entry | {"enabled": 0}:
                self._begin(name, entry, now)
        self._at = {name: at for name, at in self._at.items() if name in self.entries}
        self.problems += [problem for problem in problems if problem not in self._known]
        self._known = problems

    def _begin(self, name: str, entry: Entry, now: float) -> None:
        kind = kind_of(entry)
        self._starting.discard(name)
        if entry.get("run_on_start", kind == "seconds"):
            self._starting.add(name)
            self._at[name] = now
        else:
            self._plan(name, now - 1 if kind in ("once", "when") else now)

    def _plan(self, name: str, since: float, gate: str = "") -> None:
        """Set when an entry is due next; a closed range is waited for where Salt waits."""
        entry = self.entries[name]
        waits = kind_of(entry) == "seconds" if gate == "range" else gate and entry.get("run_after_skip_range")
        try:
            self._at[name] = opens(gate, entry[gate], since) if waits else next_fire(entry, since) + splay(entry)
        except MISTAKES as error:
            self._at[name] = NEVER
            self.problems.append(f"{name} does not fire any more: {error}.")

    def next(self) -> float:
        """When something is due."""
        return min(self._at.values(), default=NEVER)

    def next_of(self, name: str) -> float:
        return self._at.get(name, NEVER)

    def due(self, now: float, mono: float) -> list[str]:
        """The names of the entries to run now. `mono`: the monotonic clock, by which jumps of the other are seen."""
        before, self._offset = self._offset, now - mono
        if before is not None and abs(self._offset - before) > 1:
            self._jump(self._offset - before, now)
        if now >= self._again:
            self._again = now + 3600
            for name in [name for name, at in self._at.items() if at == NEVER]:
                self._plan(name, now)
        asked, self.asked = [name for name in self.asked if name in self.entries], []
        return asked + [name for name, at in list(self._at.items()) if at <= now and self._fires(name, now - at, now)]

    def _jump(self, seconds: float, now: float) -> None:
        """The clock was set: intervals go on as they were, times of day are sought again if it was set back."""
        for name, entry in self.entries.items():
            if kind_of(entry) == "seconds":
                self._at[name] += seconds
            elif seconds < 0:
                self._plan(name, now)

    def _fires(self, name: str, late: float, now: float) -> bool:
        entry, starting = self.entries[name], name in self._starting
        self._starting.discard(name)
        try:
            gate = "" if starting else closed(entry, now)
        except MISTAKES as error:
            gate = str(error)
            self.problems.append(f"{name} does not run now: {error}.")
        self._plan(name, now, gate if gate in GATES else "")
        missed = late > LATE and kind_of(entry) in ("once", "when") and not starting
        return self.enabled and entry.get("enabled", True) and not gate and not missed


def scheduled_job(name: str, entry: Entry, jid: str, minion: str) -> dict[str, Any]:
    """The load of an entry's job, as a publication would bring it; `no_return`: its return is for nobody."""
    fun, args = function_of(entry), entry.get("args") or []
    kwargs: list[Any] = [{"__kwarg__": True, **entry["kwargs"]}] if entry.get("kwargs") else []
    if isinstance(fun, list):  # args is a list for each
        arg = [[*(args[n] if n < len(args) and isinstance(args[n], list) else []), *kwargs] for n in range(len(fun))]
    else:
        arg = [*args, *kwargs]
    load: dict[str, Any] = {"fun": fun, "arg": arg, "jid": jid, "tgt": minion, "tgt_type": "list", "ret": ""}
    load |= {"user": "root", "schedule": name}
    if entry.get("return_job", True) in (False, "nocache"):
        load["no_return"] = True
    return load | ({"metadata": entry["metadata"]} if entry.get("metadata") else {})


def schedule_of(opts: Mapping[str, Any], pillar: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
    """All entries of a minion: pillar, over that the configuration files, over that what schedule.add has saved."""
    told = pillar.get("schedule")
    entries = {**(told if isinstance(told, dict) else {}), **opts["schedule"], **saved}
    mine = entries.pop("__mine_interval", None)
    functions = opts.get("mine_functions") or pillar.get("mine_functions")
    if isinstance(mine, dict) and functions and opts.get("mine_enabled", True):
        entries["__mine_interval"] = mine | {"minutes": opts.get("mine_interval", 60)}
    return entries


def whens_of(grains: Mapping[str, Any], pillar: Mapping[str, Any]) -> dict[str, Any]:
    """The named times that `when` may use."""
    found = [source["whens"] for source in (grains, pillar) if isinstance(source.get("whens"), dict)]
    return {name: when for whens in found for name, when in whens.items()}


def schedule_text(entries: Mapping[str, Any]) -> str:
    """minion.d/_schedule.conf byte for byte as Salt writes it."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return yaml.dump({"schedule": dict(entries)}, Dumper=dumper, allow_unicode=True, default_flow_style=None)


# ---- 8. Tree ----------------------------------------------------------------------------------------------------
# Files only. A change is one rename: write a dot-name beside the target, fsync, rename, fsync the directory.
# Readers ignore dot-names, so a crash leaves at most a dot-name, which `sweep` removes at the next start.

MAX_KEY_FILE = MAX_PEM
NO_KEY_FILE = {errno.EINVAL, errno.EFBIG, errno.EMLINK, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO}
RACY = 0.05  # seconds: a directory changed this shortly before it was read may change again within the same mtime


def put(path: Path, data: bytes | str, mode: int = 0o600, sync: bool = True) -> None:
    """Make `path` hold `data`, all or nothing; `sync`: it must survive a power cut. Raises OSError."""
    raw = data.encode() if isinstance(data, str) else data
    temporary = path.parent / f".{path.name[:200]}.{token(4).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, mode)
    try:
        try:
            os.fchmod(fd, mode)
            write_all(fd, raw)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if sync:
        sync_directory(path.parent)


def write_all(fd: int, data: bytes) -> None:
    """os.write until everything is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(path: Path) -> None:
    """Make the renames in a directory survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def move(source: Path, target: Path) -> None:
    """Rename, durably on both sides."""
    os.rename(source, target)
    sync_directory(target.parent)
    sync_directory(source.parent)


def read(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes, never through a symlink and never waiting on a FIFO.

    Raises FileNotFoundError, or another OSError that says what is odd about it."""
    return read_with_owner(path, limit)[0]


def read_with_owner(path: Path, limit: int) -> tuple[bytes, os.stat_result]:
    """The same, with the stat of the very file that was read, whatever has the name by now."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if info.st_size > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
        parts = []
        while chunk := os.read(fd, 1 << 20):
            parts.append(chunk)
        return b"".join(parts), info
    finally:
        os.close(fd)


def names(directory: Path) -> list[str]:
    """The names in a directory that are no dot-names, sorted; none if it is not there."""
    try:
        return sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except FileNotFoundError:
        return []


def sweep(directory: Path) -> None:
    """Remove the dot-names that a crash in `put` left."""
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            if name.startswith(".") and re.fullmatch(r"\..+\.[0-9a-f]{8}", name):
                with contextlib.suppress(OSError):
                    os.unlink(directory / name)


def make_directory(path: Path, shared: bool = False) -> None:
    """Make a directory of mode 0700 with its parents, or check that an existing one is ours to trust (R19), and close
    it to others; a `shared` one stays as open as its owner has made it."""
    try:
        if not path.is_dir():
            make_parents(path)
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
        info = os.stat(path)
        if not stat.S_ISDIR(info.st_mode):
            raise Failure(f"{path} is in the way: a directory must be there.")
        if info.st_uid not in (0, os.geteuid()):
            raise Failure(f"{path} belongs to {user_name(info.st_uid)}, who could replace keys: chown it first.")
        mode = stat.S_IMODE(info.st_mode)
        right = mode & ~0o022 if shared and path.name != "new" else mode if shared else 0o700
        if mode != right and info.st_uid == os.geteuid():
            os.chmod(path, right)
    except OSError as error:
        raise Failure(f"{path} cannot be made: {error.strerror}.") from None


def make_parents(path: Path) -> None:
    """Make the directories above a path, open to read as they are everywhere, but for the one named pki."""
    for parent in reversed(path.parents):
        with contextlib.suppress(FileExistsError):
            os.mkdir(parent)
            os.chmod(parent, 0o700 if parent.name == "pki" else 0o755)


def user_name(uid: int) -> str:
    """The name of a user id, or the number where there is no name."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def lock(path: Path, who: str) -> int:
    """Hold a lock file for as long as this process lives; Failure with the holder's pid if it is held already."""
    import fcntl

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pid = os.read(fd, 32).decode(errors="replace").strip()
        os.close(fd)
        raise Failure(f"another {who} (pid {pid}) runs on this tree: {path.parent}.") from None
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


def locked(path: Path) -> bool:
    """Whether somebody holds the lock file; False where it is not there, PermissionError where we may not look."""
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def read_documents(conf_dir: Path, role: str) -> Iterator[tuple[str, Any]]:
    """The configuration of a role: the file `role`, then `role`.d/*.conf in order, parsed; Failure if one cannot be."""
    main = conf_dir / role
    directory = conf_dir / f"{role}.d"
    extra = [directory / name for name in names(directory) if name.endswith(".conf") and name != "_schedule.conf"]
    for path in ([main] if main.exists() or main.is_symlink() else []) + extra:
        yield str(path), read_yaml(path)


def read_yaml(path: Path) -> Any:
    """A YAML file, parsed by the safe loader; Failure says where it is wrong."""
    try:
        info = os.stat(path)
        if info.st_mode & stat.S_IWOTH and not stat.S_ISLNK(info.st_mode):
            raise Failure(f"{path} can be written by everybody: `chmod o-w {path}` first.")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Failure(f"{path} is not UTF-8 text.") from None
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.") from None
    if not text.strip():
        return None
    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).replace("\n", " ")
        raise Failure(f"{path}{where}: this is not YAML: {problem}.") from None


def place_roots(roots: Mapping[Any, Any], root: Path, default: bool) -> dict[str, list[str]]:
    """Environment -> absolute directories: relative ones, and the `default`, lie below the root; others are as given,
    for Salt puts root_dir before no file root."""
    lists = {str(env): [named] if isinstance(named, str) else named or [] for env, named in roots.items()}
    return {
        env: [str(root / (path.lstrip("/") if default else path)) for path in named] for env, named in lists.items()
    }


def load_opts(role: str, conf_dir: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The options of a role with all paths resolved (DESIGN.md 3); warnings stand under "__warnings__".

    conf_dir, root_dir, pki_dir and cachedir come out as absolute str. Raises Failure."""
    conf = Path(os.path.abspath(conf_dir))
    if not conf.is_dir():
        raise Failure(f"{conf} is not a directory; make it, or name the configuration directory with -c.")
    table = MASTER_OPTIONS if role == "master" else MINION_OPTIONS
    opts, warnings = merge(table, read_documents(conf, role))
    opts.update(overrides or {})
    inside = conf.parts[-2:] == ("etc", "salt")
    root = Path(opts["root_dir"] or (conf.parent.parent if inside else conf))

    def place(name: str, default: Path) -> str:
        value = opts[name]
        if not value:
            return str(default)
        path = Path(value)
        if opts["root_dir"] and path.is_absolute() and not path.is_relative_to(root):
            path = path.relative_to("/")  # Salt: root_dir goes before every path
        return str(root / path)

    if role == "master":
        for name in ("file_roots", "pillar_roots"):
            opts[name] = place_roots(opts[name], root, opts[name] is MASTER_OPTIONS[name].default)
        if opts["file_roots"].pop("__env__", None) is not None:
            warnings.append("file_roots: __env__ is ignored: minions would name directories; name each environment.")
    home = root / "etc/salt" if opts["root_dir"] else conf
    opts["pki_dir"] = place("pki_dir", home / "pki" / role)
    opts["cachedir"] = place("cachedir", root / "var/cache/salt" / role)
    for path in itertools.chain(*opts["file_roots"].values()) if role == "master" else ():
        if any(Path(opts[name]).is_relative_to(path) for name in ("pki_dir", "cachedir")):
            raise Failure(f"file_roots: {path} holds the master's keys; serve a directory of its own instead.")
    opts |= {"conf_dir": str(conf), "root_dir": str(root), "role": role, "__role": role, "__warnings__": warnings}
    return opts


class MasterTree:
    """The master's files: keys, sessions, the shared key, what is remembered of minions. One method a path."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self.pki = Path(opts["pki_dir"])
        self.cache = Path(opts["cachedir"])
        self.jobs = self.cache / "jobs"
        self.open_mode = opts["open_mode"]  # in which a rejected key is as good as any
        self._scanned: dict[str, tuple[int, bool]] = {}
        self._kept: dict[str, tuple[tuple[int, int, int], Any]] = {}  # what minions said, by path
        self._kept_bytes = 0

    def prepare(self, keysize: int) -> None:
        """Make what a start makes: directories (0700) and the key pair (master.pem 0400, master.pub 0644)."""
        for directory in ("", *DIRECTORIES.values(), "minions_autosign"):
            make_directory(self.pki / directory)
        for directory in ("", "jobs", "jobs/new", "jobs/active", "jobs/done", "jobs/bad", "minions", "sessions"):
            # who may publish is who may write into jobs/new, and read what comes back: the operator's to open
            make_directory(
                self.cache / directory, shared=directory in ("", "jobs", "jobs/new", "jobs/active", "jobs/done")
            )
            sweep(self.cache / directory)
        for directory in DIRECTORIES.values():
            sweep(self.pki / directory)
        make_key_pair(self.pki, "master", keysize)

    def pub_signatures(self, opts: Mapping[str, Any], pem: str) -> dict[str, bytes]:
        """The signature of the master's public key in base64, for each algorithm; {} without master_sign_pubkey.

        The signing key (NAME.pem, NAME.pub) is made if it is not there. Raises Failure."""
        if not opts["master_sign_pubkey"]:
            return {}
        if opts["master_use_pubkey_signature"]:
            path = self.pki / opts["master_pubkey_signature"]
            try:
                return dict.fromkeys(SIG_ALGOS, read(path, 8192))
            except OSError as error:
                fix = "put the signature there, or set master_use_pubkey_signature: False"
                raise Failure(f"{path} cannot be read ({error.strerror}): {fix}.") from None
        name = opts["master_sign_key_name"]
        make_key_pair(self.pki, name, opts["keysize"])
        key = read_private_key(self.pki / f"{name}.pem")
        return {algo: binascii.b2a_base64(key.sign(algo, pem.encode())) for algo in SIG_ALGOS}

    # keys

    def key_path(self, state: str, minion: str) -> Path:
        return self.pki / DIRECTORIES[state] / minion

    def key_stat(self, minion: str) -> tuple[int, int, int] | None:
        """(inode, ctime in ns, size) of the accepted key's file: equal means unchanged. None if not accepted."""
        if not self.open_mode and os.path.lexists(f"{self.pki}/minions_rejected/{minion}"):
            return None
        try:
            info = os.lstat(f"{self.pki}/minions/{minion}")
        except FileNotFoundError:
            return None
        return info.st_ino, info.st_ctime_ns, info.st_size

    def stored_key(self, minion: str) -> tuple[str, PublicKey | None]:
        """The state of a minion's key and the key: rejected before accepted before pending.

        What is no regular file of one link that holds one public key is BLOCKED, with None."""
        if os.path.lexists(self.key_path(REJECTED, minion)):
            return REJECTED, None
        for state in (ACCEPTED, PENDING):
            try:
                return state, self.read_key(self.key_path(state, minion))
            except FileNotFoundError:
                continue
            except (OSError, AuthError) as error:
                if isinstance(error, OSError) and error.errno not in NO_KEY_FILE:
                    raise  # our own trouble, no descriptors left say, is nobody's rejection
                log.warning("%s is no key file, so %s stays out: %s", self.key_path(state, minion), minion, error)
                return BLOCKED, None
        return UNKNOWN, None

    def read_key(self, path: Path) -> PublicKey:
        """The key in a file; FileNotFoundError, OSError or AuthError."""
        raw, info = read_with_owner(path, MAX_KEY_FILE)
        if info.st_nlink != 1:
            raise OSError(errno.EMLINK, "the file has a second name", str(path))
        if info.st_uid not in (0, os.geteuid()):
            raise OSError(errno.EPERM, f"the file belongs to {user_name(info.st_uid)}", str(path))
        return PublicKey(raw.decode("ascii", "replace"))

    def put_key(self, directory: str, minion: str, pem: str) -> None:
        put(self.pki / directory / minion, pem, 0o644)

    def remove_key(self, minion: str) -> None:
        """Remove the accepted key of a minion, durably."""
        path = self.key_path(ACCEPTED, minion)
        path.unlink(missing_ok=True)
        sync_directory(path.parent)

    def count(self, state: str) -> int:
        return len(names(self.pki / DIRECTORIES[state]))

    def changed(self) -> bool:
        """Whether a key directory may have changed since `scan`: its mtime differs, or was too fresh to tell."""
        return any(self._scanned.get(d) != (self._mtime(d), False) for d in list(DIRECTORIES.values())[:3])

    def _mtime(self, directory: str) -> int:
        return os.stat(self.pki / directory).st_mtime_ns

    def scan(self, now: float) -> dict[str, tuple[str, int]]:
        """Every known id with its state and its file's inode; `now` in seconds since the epoch."""
        found: dict[str, tuple[str, int]] = {}
        for state in (PENDING, ACCEPTED, REJECTED):
            directory = DIRECTORIES[state]
            mtime = self._mtime(directory)
            self._scanned[directory] = (mtime, abs(now - mtime / 1e9) < RACY)
            with os.scandir(self.pki / directory) as entries:
                found.update({e.name: (state, e.inode()) for e in entries if valid_id(e.name)})
        return found

    def scan_one(self, minion: str) -> tuple[str, int]:
        """What `scan` says of one id; (UNKNOWN, 0) if there is no file."""
        for state in (REJECTED, ACCEPTED, PENDING):
            with contextlib.suppress(FileNotFoundError):
                return state, os.lstat(self.key_path(state, minion)).st_ino
        return UNKNOWN, 0

    def denied_lately(self, minion: str, now: float) -> bool:
        """Whether minions_denied/ID was written within the last minute."""
        try:
            return abs(now - os.lstat(self.key_path("denied", minion)).st_mtime) < 60
        except FileNotFoundError:
            return False

    def autosign_stub(self, minion: str, timeout: float, now: float) -> bool:
        """Whether minions_autosign/ID is there and young enough (minutes); stubs that are too old are removed."""
        path = self.pki / "minions_autosign" / minion
        try:
            age = now - os.lstat(path).st_mtime
        except FileNotFoundError:
            return False
        if timeout and age > timeout * 60:
            path.unlink(missing_ok=True)
            return False
        return True

    def use_autosign_stub(self, minion: str) -> None:
        (self.pki / "minions_autosign" / minion).unlink(missing_ok=True)

    # sessions

    def session(self, minion: str, finger: str) -> str | None:
        """The session key made for this id and this public key, or None."""
        try:
            key, owner = read(self.cache / "sessions" / minion, 4096).decode().splitlines()
            Crypticle(key)
        except (OSError, ValueError, AuthError):
            return None
        return key if owner == finger else None

    def has_session(self, minion: str) -> bool:
        return os.path.lexists(self.cache / "sessions" / minion)

    def session_age(self, minion: str, now: float) -> float:
        return now - os.stat(self.cache / "sessions" / minion).st_mtime

    def put_session(self, minion: str, key: str, finger: str) -> None:
        put(self.cache / "sessions" / minion, f"{key}\n{finger}\n", sync=False)

    def forget(self, minion: str) -> None:
        """Remove what belonged to an identity that is gone: its session, grains, pillar and mine (R27)."""
        (self.cache / "sessions" / minion).unlink(missing_ok=True)
        directory = self.cache / "minions" / minion
        for name in ("grains.json", "pillar.json", "mine.json"):
            (directory / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            directory.rmdir()

    def strangers(self) -> list[str]:
        """The ids with a session whose key is no longer accepted, or that was made under another key of the master:
        what happened while no master ran."""
        found, made = [], os.stat(self.pki / "master.pem").st_mtime
        for minion in names(self.cache / "sessions"):
            try:
                owner = read(self.cache / "sessions" / minion, 4096).decode().splitlines()[1]
                pem = read(self.key_path(ACCEPTED, minion), MAX_KEY_FILE).decode()
                gone = fingerprint(pem) != owner or self.key_stat(minion) is None
                gone = gone or os.stat(self.cache / "sessions" / minion).st_mtime < made
            except (OSError, ValueError, IndexError):
                gone = True
            if gone:
                found.append(minion)
        return found

    def shared_key(self) -> tuple[str, float, float] | None:
        """The shared AES key, when it was made and when it last sealed a publication; None if there is none."""
        path = self.cache / "aes.key"
        try:
            info = os.stat(path)
            key = read(path, 4096).decode().strip()
            Crypticle(key)
        except (OSError, ValueError, AuthError):
            return None
        return key, info.st_mtime, info.st_atime

    def put_shared_key(self, key: str) -> None:
        put(self.cache / "aes.key", key + "\n")

    def stamp_shared_key(self, made: float, used: float) -> None:
        """Keep in the file's access time when the key was last used, so that a clock set back is noticed at a start."""
        with contextlib.suppress(OSError):
            os.utime(self.cache / "aes.key", (used, made))

    def heard(self) -> dict[str, tuple[int, float, list[str], str]]:
        """id -> the newest `ts` of its session, when it was last heard (both in seconds since the epoch), the nonces of
        that newest second, and the address it was heard from: what the last run left."""
        try:
            found = from_json(read(self.cache / "sessions" / ".heard", 1 << 28))
            return {
                minion: (int(ts), float(heard), list(nonces), "".join(address))
                for minion, (ts, heard, nonces, *address) in found.items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def put_heard(self, heard: dict[str, tuple[int, float, list[str], str]]) -> None:
        put(self.cache / "sessions" / ".heard", to_json(heard), sync=False)

    # what minions said

    def grains(self, minion: str) -> dict[str, Any] | None:
        """The grains an accepted minion last sent, or None; not to be changed."""
        return self._said(minion, "grains.json")

    def put_grains(self, minion: str, grains: dict[str, Any]) -> None:
        self._put_said(minion, "grains.json", grains)

    def pillar(self, minion: str) -> dict[str, Any] | None:
        """The pillar an accepted minion was last sent, or None; not to be changed."""
        return self._said(minion, "pillar.json")

    def put_pillar(self, minion: str, pillar: dict[str, Any]) -> None:
        if self.pillar(minion) != from_json(to_json(pillar)):
            self._put_said(minion, "pillar.json", pillar)

    def mine(self, minion: str) -> dict[str, Any]:
        """What an accepted minion has put into the mine; not to be changed."""
        return self._said(minion, "mine.json") or {}

    def put_mine(self, minion: str, mine: dict[str, Any]) -> None:
        self._put_said(minion, "mine.json", mine)

    def flush_mine(self, minion: str) -> None:
        """Remove what a minion has put into the mine; FileNotFoundError if there is nothing."""
        (self.cache / "minions" / minion / "mine.json").unlink()

    MAX_KEPT = 32 << 20  # bytes of files that are kept in memory

    def _said(self, minion: str, name: str) -> dict[str, Any] | None:
        """The map in minions/ID/NAME. It stays in memory while the file is as it was: thousands of minions may ask for
        the mine of thousands."""
        path = f"{self.cache}/minions/{minion}/{name}"
        try:
            info = os.stat(path)
            stamp = info.st_ino, info.st_mtime_ns, info.st_size
            if (kept := self._kept.get(path)) and kept[0] == stamp:
                return kept[1]
            found = from_json(read(Path(path), 1 << 28))
        except (OSError, ValueError):
            self._drop(path)
            return None
        if not isinstance(found, dict):
            return None
        self._drop(path)
        self._kept[path] = stamp, found
        self._kept_bytes += info.st_size
        while self._kept_bytes > self.MAX_KEPT:
            self._drop(next(iter(self._kept)))
        return found

    def _put_said(self, minion: str, name: str, value: dict[str, Any]) -> None:
        directory = self.cache / "minions" / minion
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o700)
        put(directory / name, to_json(value), sync=False)
        self._drop(f"{directory}/{name}")  # a stamp may repeat within one tick of the clock

    def _drop(self, path: str) -> None:
        if kept := self._kept.pop(path, None):
            self._kept_bytes -= kept[0][2]


def make_key_pair(pki: Path, role: str, keysize: int) -> None:
    """ROLE.pem (0400) and ROLE.pub (0644) where they are not there yet; a .pub that is missing is made again."""
    private, public = pki / f"{role}.pem", pki / f"{role}.pub"
    try:
        if not private.exists():
            put(private, PrivateKey.generate(keysize), 0o400)
            public.unlink(missing_ok=True)
        if not public.exists():
            put(public, read_private_key(private).public.pem + "\n", 0o644)
    except OSError as error:
        raise Failure(f"{private} cannot be made: {error.strerror}.") from None


def read_private_key(path: Path) -> PrivateKey:
    """The key in a PEM file; Failure if it is none."""
    try:
        return PrivateKey(read(path, 1 << 16))
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.") from None
    except AuthError as error:
        raise Failure(f"{path}: {error}; restore it, or remove it to have a new one made.") from None


class MinionTree:
    """The minion's files: its id and keys, the master's key, running jobs, returns on their way, executed jids."""

    MAX_EXECUTED = 10_000

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self.conf = Path(opts["conf_dir"])
        self.pki = Path(opts["pki_dir"])
        self.cache = Path(opts["cachedir"])
        self.proc, self.outbox = self.cache / "proc", self.cache / "outbox"
        self._executed: dict[str, None] = {}
        self._executed_lines = 0
        self._seen: dict[str, int] = {}

    def changed(self, name: str, path: Path) -> bool:
        """Whether a file's mtime is another than when this was last asked under this name."""
        try:
            mtime = os.stat(path).st_mtime_ns
        except OSError:
            mtime = 0
        before, self._seen[name] = self._seen.get(name, 0), mtime
        return before != mtime

    def prepare(self, opts: Mapping[str, Any]) -> None:
        """Make what a start makes: minion.d/, the key pair, the cache."""
        for directory in (self.pki, self.cache, self.proc, self.outbox):
            make_directory(directory)
        (self.conf / "minion.d").mkdir(exist_ok=True)
        make_key_pair(self.pki, "minion", opts["keysize"])

    def sweep(self) -> None:
        """Remove what a crash left; only for who holds the lock."""
        for directory in (self.pki, self.cache, self.proc, self.outbox):
            sweep(directory)

    def master_key(self) -> PublicKey | None:
        """The pinned key of the master, or None before the first contact; Failure if the file holds no key."""
        path = self.pki / "minion_master.pub"
        try:
            return PublicKey(read(path, MAX_KEY_FILE).decode("ascii", "replace"))
        except FileNotFoundError:
            return None
        except (OSError, AuthError) as error:
            raise Failure(f"{path}: {error}; remove it to accept the master's key anew.") from None

    def signing_key(self, name: str) -> PublicKey:
        """The key that vouches for masters; raises OSError or AuthError."""
        return PublicKey(read(self.pki / f"{name}.pub", MAX_KEY_FILE).decode("ascii", "replace"))

    def put_master_key(self, pem: str) -> None:
        put(self.pki / "minion_master.pub", pem, 0o644)

    def put_schedule(self) -> None:
        """minion.d/_schedule.conf, byte for byte as every real release writes it (PROTOCOL.md 11), if not there."""
        path = self.conf / "minion.d" / "_schedule.conf"
        if not path.exists():
            put(path, MINE_SCHEDULE, 0o644)

    def schedule(self) -> dict[str, Any]:
        """The entries saved in minion.d/_schedule.conf; Failure if it cannot be read."""
        path = self.conf / "minion.d" / "_schedule.conf"
        try:
            found = read_yaml(path) if path.exists() else None
            saved = (found["schedule"] if found else None) or {}
            return {str(name): entry for name, entry in saved.items()}
        except MISTAKES as error:  # a date that is none, too
            raise Failure(f"{path} must hold a map `schedule` of entries: {error}; correct or remove it.") from None

    @contextlib.contextmanager
    def changed_schedule(self) -> Iterator[dict[str, Any]]:
        """Gives the saved entries and saves what was made of them; of two jobs, one waits for the other."""
        import fcntl

        path = self.conf / "minion.d" / "_schedule.conf"
        make_directory(self.cache)
        fd = os.open(self.cache / ".schedule.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            entries = self.schedule()
            before = schedule_text(entries)
            yield entries
            if schedule_text(entries) != before:
                path.parent.mkdir(exist_ok=True)
                put(path, schedule_text(entries), 0o644)
        except OSError as error:
            raise Failure(f"{path} cannot be changed: {error.strerror}.") from None
        finally:
            os.close(fd)

    # jobs

    def start_job(self, load: dict[str, Any], pid: int = 0) -> None:
        """proc/JID: this job runs, in process `pid` (0: about to)."""
        maker = os.getpid()
        record = load | {"pid": pid, "started": process_start(pid), "maker": [maker, process_start(maker)]}
        put(self.proc / load["jid"], msgpack.packb(record), sync=False)

    def job(self, jid: str) -> dict[str, Any] | None:
        """The record in proc/JID, or None."""
        try:
            return msgpack.unpackb(read(self.proc / jid, 1 << 28), strict_map_key=False)
        except (OSError, ValueError):
            return None

    def jobs(self) -> list[dict[str, Any]]:
        """The records of all jobs that run: their process lives, or is about to be started."""
        records = [record for jid in names(self.proc) if (record := self.job(jid))]
        return [r for r in records if _lives(r["pid"], r["started"]) or not r["pid"] and _lives(*r["maker"])]

    def end_job(self, jid: str) -> None:
        (self.proc / jid).unlink(missing_ok=True)

    def put_return(self, load: dict[str, Any], sync: bool = True) -> None:
        """outbox/JID: a return no master has acknowledged; from here on it survives everything but the disk."""
        data = msgpack.packb(load, default=_plain, unicode_errors="surrogateescape")
        put(self.outbox / load["jid"], data, sync=sync)

    def get_return(self, jid: str) -> dict[str, Any] | None:
        try:
            return msgpack.unpackb(read(self.outbox / jid, 1 << 30), strict_map_key=False, unicode_errors="replace")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.error("%s is put aside: %s", self.outbox / jid, error)
            os.rename(self.outbox / jid, self.outbox / f".bad-{jid}")
            return None

    def acknowledged(self, jid: str) -> None:
        (self.outbox / jid).unlink(missing_ok=True)

    # executed jids

    def load_executed(self) -> None:
        try:
            lines = read(self.cache / "executed", 1 << 26).decode(errors="replace").split()
        except OSError:
            lines = []
        self._executed = dict.fromkeys(lines[-self.MAX_EXECUTED :])
        self._executed_lines = len(lines)

    def was_executed(self, jid: str) -> bool:
        return jid in self._executed

    def remember(self, jid: str) -> None:
        """Keep a jid, on disk, so that it does not run again; raises OSError."""
        self._executed[jid] = None
        if len(self._executed) > self.MAX_EXECUTED:
            del self._executed[next(iter(self._executed))]
        if self._executed_lines >= 2 * self.MAX_EXECUTED:
            put(self.cache / "executed", "\n".join(self._executed) + "\n", sync=False)
            self._executed_lines = len(self._executed)
            return
        fd = os.open(self.cache / "executed", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, f"{jid}\n".encode())
        finally:
            os.close(fd)
        self._executed_lines += 1

    # grains

    def grains(self) -> dict[str, Any]:
        """The grains as last collected, {} before that."""
        try:
            return msgpack.unpackb(read(self.cache / "grains", 1 << 26), strict_map_key=False)
        except (OSError, ValueError):
            return {}

    def put_grains(self, grains: dict[str, Any]) -> None:
        put(self.cache / "grains", msgpack.packb(grains, default=_plain), sync=False)

    # pillar

    def pillar(self) -> dict[str, Any]:
        """The pillar as the master last sent it, {} before that."""
        try:
            return msgpack.unpackb(read(self.cache / "pillar", 1 << 28), strict_map_key=False)
        except (OSError, ValueError):
            return {}

    def put_pillar(self, pillar: dict[str, Any]) -> None:
        put(self.cache / "pillar", msgpack.packb(pillar, default=_plain), sync=False)


MINE_SCHEDULE = """schedule:
  __mine_interval: {enabled: true, function: mine.update, jid_include: true, maxrunning: 2,
    minutes: 60, return_job: false, run_on_start: true}
"""


def _lives(pid: int, started: int) -> bool:
    return bool(pid) and process_start(pid) == started


def process_start(pid: int) -> int:
    """When a process began, in clock ticks since boot, 0 if there is none: pids come back, this pair does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in b"ZX" else int(fields[19])


def find_id(opts: Mapping[str, Any]) -> str:
    """The minion's id: `id`, else minion_id, else the host's own name, found without asking DNS. Raises Failure."""
    given = opts["id"]
    path = Path(opts["conf_dir"]) / "minion_id"
    where = "the option id"
    if not given and path.exists():
        where = str(path)
        try:
            given = (path.read_text(encoding="utf-8-sig").splitlines() or [""])[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"{path} cannot be read: {error}.") from None
    if not given:
        where = "the host name"
        given = host_name()
        if opts["append_domain"] and not given.endswith(opts["append_domain"]):
            given = f"{given}.{opts['append_domain'].lstrip('.')}"
    if not valid_id(given):
        raise Failure(f"{where} gives {given!r}, which cannot be a minion's id: letters, digits, `_`, `-`, dots.")
    return given


def host_name() -> str:
    """This host's name, with its domain when /etc/hosts knows one."""
    name = os.uname().nodename
    if "." in name or not name:
        return name or "localhost"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in Path("/etc/hosts").read_text().splitlines():
            words = line.partition("#")[0].split()[1:]
            full = [word for word in words if word.startswith(f"{name}.")]
            if name in words and full and not full[0].endswith(".localdomain"):
                return full[0]
    return name


# ---- 9. File server ---------------------------------------------------------------------------------------------
# What lies beneath file_roots, as Salt's own file server tells it (PROTOCOL.md 9). A path from the wire is walked name
# by name without following a link; a link counts for the place it leads to, if that is beneath a root of the same
# environment, and that place is walked likewise. What is outside looks like what is not there (SECURITY.md R6).

ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}
LISTING_AGE = 1.0  # seconds a listing is good for: a thousand minions ask at once
LISTED_A_SECOND = 20_000  # a larger listing is good for longer: this many of its paths are looked at in a second
MAX_CHUNK = 16 << 20  # bytes of one reply, uncompressed; masters send 256 KiB
MAX_HASHES = 100_000
LEAF = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def relative(path: object) -> str:
    """A path from the wire as names with one slash between them; "" if it is no path, absolute or leads upwards.

    As Salt has it, `|` in front takes the rest as it is, and `?` begins what is no part of the path."""
    text = os.fsdecode(path) if isinstance(path, str | bytes) else ""
    text = text[1:] if text.startswith("|") else text.partition("?")[0]
    parts = [name for name in text.split("/") if name not in ("", ".")]
    refused = text.startswith("/") or ".." in parts or "\0" in text or len(text) > 4096
    return "" if refused else "/".join(parts)


def beneath(path: str, roots: Iterable[str]) -> tuple[str, str]:
    """Where a path leads when its links are followed: (one of the real `roots`, the path below it). ELOOP: outside."""
    real = os.path.realpath(path)
    for root in roots:
        if f"{real}/".startswith(f"{root.rstrip('/')}/"):
            return root, real[len(root) :].strip("/")
    raise OSError(errno.ELOOP, "outside of the file roots", path)


def open_beneath(root: str, path: str, flags: int = LEAF) -> int:
    """A descriptor of `path` below the directory `root`; a link on the way, or `..`, is an OSError."""
    names = path.split("/") if path else ["."]
    if ".." in names:
        raise OSError(errno.ELOOP, "outside of the file roots", path)
    fd = os.open(root, STEP)
    for at, name in enumerate(names, 1):
        try:
            inner = os.open(name, flags if at == len(names) else STEP, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


Place = tuple[str, str]  # one of the real roots, and a path below it on which there is no link
Listed = tuple[str, Place | None, str]  # a name, its place if it is a directory, its target if it is a link


class Found(NamedTuple):
    """An open regular file: its path as asked for and as it is, and its path below the root."""

    fd: int
    path: str
    real: str
    rel: str
    info: os.stat_result


class Listing(NamedTuple):
    """All paths of an environment, relative to their roots, each with its target if it is a link."""

    files: dict[str, str]
    dirs: dict[str, str]
    empty_dirs: dict[str, str]
    links: dict[str, str]


class FileServer:
    """The files of the master. Public methods take a load from the wire, whatever it holds, and give the reply."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self.opts = opts  # read at each use, for SIGHUP changes them
        self._listings: dict[str, tuple[float, float, Listing]] = {}
        self._hashes: dict[str, tuple[tuple[Any, ...], str]] = {}

    def envs(self, load: dict[str, Any], now: float) -> list[str]:
        return sorted(self.opts["file_roots"])

    def file_list(self, load: dict[str, Any], now: float) -> list[str]:
        return self._chosen(self._listing(load, now).files, load)

    def dir_list(self, load: dict[str, Any], now: float) -> list[str]:
        return self._chosen(self._listing(load, now).dirs, load)

    def empty_dirs(self, load: dict[str, Any], now: float) -> list[str]:
        return self._chosen(self._listing(load, now).empty_dirs, load)

    def symlink_list(self, load: dict[str, Any], now: float) -> dict[str, str]:
        links = self._listing(load, now).links
        return {path: links[path] for path in self._chosen(links, load)}

    def hash(self, load: dict[str, Any], now: float) -> dict[str, str] | str:
        """{hash_type, hsum: hex}; "" if there is no such file."""
        return self.hash_and_stat(load, now)[0]

    def hash_and_stat(self, load: dict[str, Any], now: float) -> list[Any]:
        """[the same, the ten integers of stat]; ["", None] if there is no such file."""
        with self._open(load) as found:
            return [self._hash(found, now), list(found.info)] if found else ["", None]

    def find(self, load: dict[str, Any], now: float) -> dict[str, Any]:
        """{path: on the master, rel, stat: ten integers, back}; both paths "" if there is no such file."""
        with self._open({"saltenv": "base"} | load) as found:
            if found is None:
                return {"path": "", "rel": ""}
            return {"path": found.path, "rel": found.rel, "stat": list(found.info), "back": "roots"}

    def serve(self, load: dict[str, Any], now: float) -> dict[str, Any]:
        """{data: bytes from `loc` on, dest: the relative path}, and `gzip`, the level, if the data is compressed. The
        end of a file has no data; what is no file has no dest either."""
        loc, level = load.get("loc"), load.get("gzip")
        with self._open(load) as found:
            if found is None or type(loc) is not int or loc < 0:
                return {"data": "", "dest": ""}
            most = min(self.opts["file_buffer_size"] or MAX_CHUNK, MAX_CHUNK)
            data = os.pread(found.fd, most, loc) if loc < found.info.st_size else b""
        if not data or type(level) is not int or not 1 <= level <= 9:
            return {"data": data, "dest": found.rel}
        import gzip

        return {"data": gzip.compress(data, level, mtime=0), "dest": found.rel, "gzip": level}

    # one file

    @contextlib.contextmanager
    def _open(self, load: dict[str, Any]) -> Iterator[Found | None]:
        found = self._find(relative(load.get("path")), self._roots(load))
        try:
            yield found
        finally:
            if found:
                os.close(found.fd)

    def _find(self, rel: str, roots: Sequence[str]) -> Found | None:
        if not rel or self._ignored(rel):
            return None
        places = [os.path.realpath(root) for root in roots]
        for root, place in zip(roots, places, strict=True):
            try:
                base, path = beneath(f"{place}/{rel}", self._may_lead_to(place, places))
                fd = open_beneath(base, path)
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
                continue
            info = os.fstat(fd)
            if stat.S_ISREG(info.st_mode):
                return Found(fd, f"{root}/{rel}", f"{base}/{path}", rel, info)
            os.close(fd)
        return None

    def _roots(self, load: dict[str, Any]) -> list[str]:
        return self.opts["file_roots"].get(str(load.get("saltenv")), [])

    def _may_lead_to(self, place: str, places: list[str]) -> list[str]:
        return places if self.opts["fileserver_followsymlinks"] else [place]

    def _ignored(self, rel: str) -> bool:
        """Salt shows the patterns a relative path in listings and an absolute one otherwise; here both, always."""
        globs, regexes = self.opts["file_ignore_glob"], self.opts["file_ignore_regex"]
        return any(
            any(re.search(regex, path) for regex in regexes) or any(fnmatch.fnmatch(path, str(glob)) for glob in globs)
            for path in (rel, f"/{rel}")
        )

    def _hash(self, found: Found, now: float) -> dict[str, str]:
        kind, info = self.opts["hash_type"], found.info
        stamp = (kind, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        known, hsum = self._hashes.get(found.real, ((), ""))
        if known != stamp:
            import hashlib

            digest = hashlib.new(kind, usedforsecurity=False)
            while chunk := os.read(found.fd, 1 << 20):
                digest.update(chunk)
            hsum = digest.hexdigest()
            if len(self._hashes) >= MAX_HASHES:
                self._hashes.clear()
            if abs(now - info.st_ctime) >= RACY:
                self._hashes[found.real] = stamp, hsum
        return {"hash_type": kind, "hsum": hsum}

    # all files

    @staticmethod
    def _chosen(paths: Iterable[str], load: dict[str, Any]) -> list[str]:
        prefix = load.get("prefix")
        prefix = os.fsdecode(prefix).strip("/") if isinstance(prefix, str | bytes) else ""
        return [path for path in paths if path.startswith(prefix)]

    def _listing(self, load: dict[str, Any], now: float) -> Listing:
        env, roots = str(load.get("saltenv")), self._roots(load)
        listing = Listing({}, {}, {}, {})
        if not roots:
            return listing
        made, until, known = self._listings.get(env, (0.0, 0.0, listing))
        if made <= now < until:
            return known
        places = [os.path.realpath(root) for root in roots]
        for place in places:
            self._walk(listing, place, self._may_lead_to(place, places))
        listing = Listing(*(dict(sorted(paths.items())) for paths in listing))
        # a tree that takes long to list must not be listed all the time
        age = max(LISTING_AGE, (len(listing.files) + len(listing.dirs)) / LISTED_A_SECOND)
        self._listings[env] = now, now + age, listing
        return listing

    def _walk(self, listing: Listing, place: str, places: list[str]) -> None:
        """Add what one root holds. A directory that a link leads back into is not gone through again."""
        follow = self.opts["fileserver_followsymlinks"]
        todo: list[tuple[str, Place, tuple[Place, ...]]] = [("", (place, ""), ())]
        while todo:
            rel, here, above = todo.pop()
            above = (*above, here)
            entries = self._entries(here, places)
            if entries == [] and rel in listing.dirs:
                listing.empty_dirs[rel] = ""
            for name, there, link in entries or []:
                path = f"{rel}/{name}" if rel else name
                if not self._ignored(path):
                    (listing.dirs if there else listing.files)[path] = link
                    if link:
                        listing.links[path] = link
                if there and there not in above and (follow or not link):
                    todo.append((path, there, above))

    def _entries(self, here: Place, places: list[str]) -> list[Listed] | None:
        """What is in a directory and can be served; None if the directory cannot be read."""
        found: list[Listed] = []
        try:
            fd = open_beneath(*here, LEAF | os.O_DIRECTORY)
        except OSError as error:
            if error.errno not in ABSENT | {errno.EACCES}:
                raise
            return None
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    path = f"{here[1]}/{entry.name}" if here[1] else entry.name
                    if entry.is_symlink():
                        with contextlib.suppress(OSError):  # gone, changed, or closed to us
                            found += self._link(here[0], path, entry.name, places)
                    elif entry.is_dir(follow_symlinks=False):
                        found.append((entry.name, (here[0], path), ""))
                    elif entry.is_file(follow_symlinks=False):
                        found.append((entry.name, None, ""))
        finally:
            os.close(fd)
        return found

    def _link(self, root: str, path: str, name: str, places: list[str]) -> list[Listed]:
        """A link as an entry, or none. One that leads outside is told only where links are not followed, and whatever
        it leads to."""
        if self.opts["fileserver_ignoresymlinks"]:
            return []
        target = os.readlink(f"{root}/{path}")
        try:
            there = beneath(f"{root}/{path}", places)
        except OSError:
            return [] if self.opts["fileserver_followsymlinks"] else [(name, None, target)]
        real = "/".join(there)
        if os.path.isdir(real):
            return [(name, there, target)]
        return [(name, None, target)] if os.path.isfile(real) or not os.path.lexists(real) else []


# ---- 10. Pillar -------------------------------------------------------------------------------------------------
# What each minion is to know, compiled from the files of pillar_roots as Salt compiles it. The grains of a minion are
# data, never source. Templates run in a sandbox, with a bound on their steps and on what they can make, and see files
# of the pillar roots only. What a compilation makes belongs to one minion; only files and code are kept between two.

MAX_PILLAR = 16 << 20  # bytes of a file, of what it becomes, and of a whole pillar
MAX_PILLAR_DEPTH = 60  # levels; a minion refuses a message of more than MAX_DEPTH
MAX_STEPS = 1_000_000  # rounds of loops, calls, filters, imports: some seconds
MAX_PARSED = 1 << 14  # characters of a text whose data are remembered
RENDERERS = {"jinja|yaml": True, "yaml_jinja": True, "yaml": False}  # what a `#!` line may say: with Jinja?
PRIVATE_OPTIONS = {"pki_dir", "cachedir", "conf_dir", "publisher_acl", "autosign_file", "autoreject_file"}
PRIVATE_OPTIONS |= {
    "autosign_grains_dir",
    "user",
    "root_dir",
    "pillar_roots",
    "file_roots",
    "mine_get",
    "master_sign_key_name",
}
NO_SALT = "pillar templates of this master have no `salt` functions; use grains, or values in the file"
SWELLING = frozenset("center ljust rjust zfill expandtabs replace translate join format format_map to_bytes".split())
SWELLING_FILTERS = SWELLING | set("indent batch slice tojson json yaml pprint string".split())
COUNTED, WEIGHED = "counted!", "weighed!"  # filters that no template can name
# a width beyond 9999, or one that comes from the arguments
FORMAT_BOMB = re.compile(r"%(\([^)]*\))?[^a-zA-Z%]*(\*|\d{5})|\{[^{}]*:[^{}]*(\{|\d{5})")


def weigh(value: Any, most: int = MAX_PILLAR) -> int:
    """The size of data, about its bytes; what is shared counts each time it is met, as when it is written out. What
    is larger than `most`, deeper than MAX_PILLAR_DEPTH or inside itself gives `most` + 1."""
    total, level = 0, [value]
    for _ in range(MAX_PILLAR_DEPTH):
        inside: list[Any] = []
        for item in level:
            total += 8
            if isinstance(item, str | bytes):
                total += len(item)
            elif isinstance(item, int):
                total += item.bit_length() // 3
            elif isinstance(item, dict | list | tuple | set):
                inside.extend(item)
                inside.extend(item.values() if isinstance(item, dict) else ())
            if total + 8 * len(inside) > most:
                return most + 1
        level = inside
    return most + 1 if level else total


def growth(operator: str, left: Any, right: Any) -> int:
    """About how large the result of an operator in a template becomes, in characters, items or bits."""
    numbers = [value for value in (left, right) if isinstance(value, int)]
    sizes = [len(value) for value in (left, right) if isinstance(value, str | bytes | list | tuple)]
    if operator == "%" and isinstance(left, str):
        return MAX_PILLAR + 1 if FORMAT_BOMB.search(left) else len(left) * weigh(right)
    if operator == "*" and sizes and numbers:
        return sizes[0] * abs(numbers[0])
    if operator == "**" and len(numbers) == 2:
        return numbers[0].bit_length() * abs(numbers[1]) << 10
    return sum(sizes) + sum(value.bit_length() << 10 for value in numbers if operator == "*")


@functools.cache
def pillar_sandbox() -> Any:
    """The Jinja environment that pillar is compiled in; a compilation renders in overlays of it, which have their own
    globals, so that nothing of a minion stays. `meter` holds the steps and the bytes that are left."""

    class Sandbox(jinja2_sandbox.SandboxedEnvironment):
        intercepted_binops = frozenset(("*", "**", "%", "+"))
        meter = [0, 0]
        files: PillarFiles
        path: Callable[[str], str]
        templates: dict[str, Any]

        def spend(self, steps: int = 1, size: int = 0) -> None:
            self.meter[0] -= steps
            self.meter[1] -= size
            if min(self.meter) < 0:
                what = f"{MAX_STEPS:,} steps" if self.meter[0] < 0 else f"{MAX_PILLAR >> 20} MiB"
                raise Failure(f"the templates of one pillar take more than {what}.")

        def swell(self, name: str, first: Any, rest: Iterable[Any]) -> None:
            """Refuse a call whose result may be larger than any pillar."""
            formats, size = name.startswith("format"), weigh(first)
            if formats and FORMAT_BOMB.search(str(first)):
                raise Failure("a template formats a text with a width beyond 9999.")
            factors = [abs(v) if isinstance(v, int) and not formats else weigh(v) for v in rest]
            self.spend(1 + size // 100)
            if size * max([1, *factors]) > MAX_PILLAR:
                raise Failure(f"a template makes a value of more than {MAX_PILLAR >> 20} MiB.")

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            self.spend()
            if growth(operator, left, right) > MAX_PILLAR:
                raise Failure(f"a template makes a value of more than {MAX_PILLAR >> 20} MiB with {operator}.")
            return super().call_binop(context, operator, left, right)

        def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
            method = getattr(__obj, "__wrapped__", __obj)  # str.format, which the sandbox has wrapped
            owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
            given = [list(arg) if isinstance(arg, types.GeneratorType) else arg for arg in args]
            # a loop that calls itself goes through its argument
            __self.spend(1 + sum(len(arg) for arg in given if isinstance(arg, list | tuple | dict | str)))
            if name in SWELLING and isinstance(owner, str | bytes | int):
                __self.swell(name, owner, [*given, *kwargs.values()])
            result = super().call(__context, __obj, *given, **kwargs)
            __self.spend(0, len(result) if isinstance(result, str) else 0)
            return result

        def _parse(self, source: str, name: str | None, filename: str | None) -> Any:
            """Have loops counted and joined texts weighed: neither passes through a method of the sandbox."""
            tree = super()._parse(source, name, filename)
            filter_, const = jinja2_nodes.Filter, jinja2_nodes.Const
            for node in list(tree.find_all(jinja2_nodes.For)):
                written = sum(len(data.data) for data in node.find_all(jinja2_nodes.TemplateData))
                node.iter = filter_(node.iter, COUNTED, [const(written)], [], None, None, lineno=node.lineno)
            for joined in list(tree.find_all(jinja2_nodes.Concat)):
                joined.nodes = [filter_(n, WEIGHED, [], [], None, None, lineno=n.lineno) for n in joined.nodes]
            return tree

        def join_path(self, template: str, parent: str) -> str:
            if template.split("/")[0] in (".", ".."):
                return os.path.normpath(f"{os.path.dirname(parent)}/{template}".lstrip("/"))
            return template

        def _load_template(self, name: str, globals: Any) -> Any:  # noqa: A002
            """A template of the pillar roots; its code is shared, the template is this overlay's own."""
            if name not in self.templates:
                if not (path := self.path(name)):
                    raise jinja2.TemplateNotFound(name)
                code = self.files.code(path, name)
                self.templates[name] = self.template_class.from_code(self, code, self.globals, None)
            self.spend(1, len(self.files.text(self.templates[name].filename)))
            return self.templates[name]

    def counted(environment: Any, items: Any, written: int) -> Iterator[Any]:
        for item in items:
            environment.spend(1, written)
            yield item

    def weighed(environment: Any, value: Any) -> Any:
        environment.spend(1, len(value) if isinstance(value, str) else weigh(value))
        return value

    def guarded(name: str, function: Any) -> Any:
        @functools.wraps(function)
        def guard(*args: Any, **kwargs: Any) -> Any:
            given = [list(arg) if isinstance(arg, types.GeneratorType) else arg for arg in args]
            values = given[1:] if hasattr(function, "jinja_pass_arg") else given
            if name in SWELLING_FILTERS:
                sandbox.swell(name, values[0], [*values[1:], *kwargs.values()])
            sandbox.spend()
            return function(*given, **kwargs)

        return guard

    sandbox = Sandbox(
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"],
        optimized=False,  # nothing is evaluated while it is compiled
        finalize=jinja2.pass_context(lambda context, value: weighed(context.environment, value)),
    )
    del sandbox.globals["lipsum"]
    sandbox.filters |= {"yaml": yaml_flow, "json": lambda value: json.dumps(value, sort_keys=True)}
    sandbox.filters |= {"yaml_encode": yaml_scalar, "to_bool": to_bool}
    sandbox.filters |= {"load_yaml": lambda text: yaml.load(text, yaml_loader()), "load_json": json.loads}
    sandbox.filters = {name: guarded(name, function) for name, function in sandbox.filters.items()}
    sandbox.filters |= {COUNTED: jinja2.pass_environment(counted), WEIGHED: jinja2.pass_environment(weighed)}
    return sandbox


def yaml_flow(value: Any, flow_style: bool = True) -> str:
    """The filter `yaml`: one line, or `flow_style=False`."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(value, Dumper=dumper, default_flow_style=flow_style, allow_unicode=True)
    return text.strip().removesuffix("\n...")


def yaml_scalar(value: Any) -> str:
    """The filter `yaml_encode`: one value as YAML reads it back, a text always in double quotes."""
    if not isinstance(value, str | int | float | None):
        raise Failure(f"yaml_encode takes a text, a number or a truth value, not a {type(value).__name__}.")
    return json.dumps(value, ensure_ascii=False)


def to_bool(value: Any) -> bool:
    """The filter `to_bool`: yes, 1 and true, numbers above 0 and what is not empty."""
    if isinstance(value, str):
        return value.lower() in ("yes", "1", "true")
    return value > 0 if isinstance(value, int) else isinstance(value, list | dict | set) and len(value) > 0


class PillarFiles:
    """The files of pillar roots, with what was made of them, kept until a file changes; shared by all minions."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[tuple[int, ...], str]] = {}
        self._codes: dict[tuple[str, str], tuple[str, Any]] = {}
        self._parsed: dict[str, Any] = {}
        self._targets: dict[tuple[Any, str], Parsed] = {}
        self._listed: dict[tuple[str, ...], tuple[dict[str, int], list[str]]] = {}

    def text(self, path: str) -> str:
        """What a file holds; Failure, OSError."""
        info = os.stat(path)
        stamp = (info.st_mtime_ns, info.st_size, info.st_ctime_ns, info.st_ino)
        known = self._texts.get(path)
        if known is None or known[0] != stamp:
            try:
                known = self._texts[path] = (stamp, read(Path(path), MAX_PILLAR).decode())
            except UnicodeDecodeError:
                raise Failure(f"{path} is not UTF-8 text.") from None
        return known[1]

    def code(self, path: str, name: str) -> Any:
        """The compiled template of a file, which knows itself as `name`, relative to its root."""
        text = self.text(path)
        known = self._codes.get((path, name))
        if known is None or known[0] is not text:
            known = self._codes[path, name] = text, pillar_sandbox().compile(text, name, path)
        return known[1]

    def parse(self, text: str) -> Any:
        """The data of a YAML text, {} for nothing; not to be changed, for it is remembered. Failure, YAMLError."""
        if text in self._parsed:
            return self._parsed[text]
        data = yaml.load(text, yaml_loader()) or {}
        if weigh(data) > MAX_PILLAR:
            raise Failure(f"its data are more than {MAX_PILLAR >> 20} MiB or {MAX_PILLAR_DEPTH} levels.")
        if len(text) <= MAX_PARSED:
            if len(self._parsed) >= 500:
                self._parsed.clear()
            self._parsed[text] = data
        return data

    def target(self, tgt: str | tuple[str, ...], tgt_type: Any) -> Parsed:
        """A target of a top file, parsed; Failure."""
        key = tgt, str(tgt_type)
        if key not in self._targets:
            if len(self._targets) >= 1000:
                self._targets.clear()
            self._targets[key] = parse(tgt, key[1])
        return self._targets[key]

    def states(self, roots: Sequence[str]) -> list[str]:
        """The names of all SLS files in roots, sorted."""
        key = tuple(roots)
        stamps, found = self._listed.get(key, ({}, []))
        if not stamps or any(_directory_stamp(directory) != stamp for directory, stamp in stamps.items()):
            stamps, found = {}, []
            for root in roots:
                for directory, _, files in os.walk(root):
                    stamps[directory] = _directory_stamp(directory)
                    inside = os.path.relpath(directory, root).replace("/", ".") + "."
                    inside = "" if inside == ".." else inside
                    found += [inside + file[:-4] for file in files if file.endswith(".sls")]
            found = sorted({name.removesuffix(".init") for name in found})
            self._listed[key] = stamps, found
        return found


def _directory_stamp(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def merge_pillar(ours: dict[Any, Any], theirs: dict[Any, Any], strategy: str, lists: bool) -> dict[Any, Any]:
    """Two pillars as one, in which `theirs` wins; neither is changed (the strategies of Salt's dictupdate)."""
    if strategy == "aggregate":
        return ours | theirs
    if strategy == "overwrite":
        ours = {key: theirs.get(key, value) for key, value in ours.items()}
    merged = dict(ours)
    for key, value in theirs.items():
        mine = merged.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            value = merge_pillar(mine, value, "recurse", lists and strategy != "none")
        elif lists and strategy != "none" and isinstance(mine, list) and isinstance(value, list):
            there = {_hashable(item) for item in mine}  # a minion's pillar_override may be long
            value = mine + [item for item in value if _hashable(item) not in there]
        merged[key] = value
    return merged


def _hashable(value: Any) -> Any:
    return (to_json(value),) if isinstance(value, list | dict | set) else value


def public_options(opts: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the options that minions and templates may see: none tells where secrets are, or who may do what."""
    import copy

    return copy.deepcopy({n: v for n, v in opts.items() if n in MASTER_OPTIONS and n not in PRIVATE_OPTIONS})


class Sls(NamedTuple):
    """A file of pillar roots: its SLS name ('': a top file), its environment, its real path ('': there is none), and
    its path below the root."""

    name: str
    saltenv: str
    path: str
    file: str

    def variables(self) -> dict[str, str]:
        """What a template may ask about itself."""
        directory = os.path.dirname(self.file)
        found = {"sls": self.name, "tplpath": self.path, "tplfile": self.file, "saltenv": self.saltenv}
        found |= {"tpldir": directory or ".", "tpldot": directory.replace("/", ".")}
        found |= {"slspath": directory, "slsdotpath": directory.replace("/", ".")}
        return found | {"slscolonpath": directory.replace("/", ":"), "sls_path": directory.replace("/", "_")}


class Pillar:
    """One compilation: the pillar of one minion, whose id is proven and whose grains are as it says."""

    def __init__(
        self, files: PillarFiles, opts: Mapping[str, Any], minion: str, grains: dict[str, Any], load: Mapping[str, Any]
    ) -> None:
        self.files, self.opts, self.minion = files, opts, minion
        self.grains = grains | {"id": minion}
        saltenv, pillarenv, override = (load.get(name) for name in ("saltenv", "pillarenv", "pillar_override"))
        self.saltenv = saltenv if isinstance(saltenv, str) else ""
        self.pillarenv = pillarenv if isinstance(pillarenv, str) else opts["pillarenv"]
        self.override = override if isinstance(override, dict) else {}
        self.errors: list[str] = []
        self.optional: set[tuple[str, str]] = set()  # (environment, sls) with ignore_missing
        self.metered = False
        self.seen: dict[tuple[str, str], dict[Any, Any]] = {}  # what an SLS file itself has rendered to
        self.paths: dict[tuple[str, str], str] = {}  # looked up once: a compilation sees one state of the tree
        self.directories: dict[tuple[str, str], tuple[str, str]] = {}
        self.roots = dict(opts["pillar_roots"])
        if "__env__" in self.roots:
            env, dynamic = self.pillarenv or self.saltenv or "base", self.roots.pop("__env__")
            if env not in self.roots and re.fullmatch(r"\w[\w.-]*", env):
                self.roots[env] = [root.replace("__env__", env) for root in dynamic]

    def merge(self, ours: dict[Any, Any], theirs: dict[Any, Any]) -> dict[Any, Any]:
        strategy = self.opts["pillar_source_merging_strategy"]
        return merge_pillar(ours, theirs, strategy, self.opts["pillar_merge_lists"])

    def compile(self) -> dict[str, Any]:
        """The pillar; what went wrong stands in it under `_errors`, as sentences."""
        matches = self.matches(self.top())
        top_errors, self.errors = self.errors, []
        pillar = self.render(matches)
        self.errors += top_errors
        if self.opts["pillar_opts"]:
            pillar["master"] = public_options(self.opts) | {"saltversion": SALT_VERSION}
        if self.errors:
            pillar["_errors"] = self.errors
        pillar = self.merge(pillar, self.override) if self.override else pillar
        if weigh(pillar) > MAX_PILLAR:
            log.error("the pillar of %s is larger than %s bytes or too deep, so it gets none", self.minion, MAX_PILLAR)
            return {"_errors": [f"The pillar is larger than {MAX_PILLAR >> 20} MiB or nested too deeply."]}
        return pillar

    def failed(self, what: str, error: Exception, sentence: str) -> None:
        """Take down an error: its cause for the master's log, a sentence for the minion."""
        trace, line = error.__traceback__, getattr(error, "lineno", 0)
        while trace:
            line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == what else line
            trace = trace.tb_next
        where = f"{what} line {line}" if line else what
        cause = f"{type(error).__name__}: {str(error)[:1000]}"
        log.error("pillar of %s: %s: %s", self.minion, where, printable(cause.replace("\n", " ")))
        detail = f"{sentence}, render error:\n{error}"
        safe = f"{sentence}. Please see master log for details."
        self.errors.append(safe if self.opts["pillar_safe_render_error"] else detail)

    # the top file

    def top(self) -> dict[str, dict[str, list[Any]]]:
        """environment -> target -> its options, then its SLS names: all top files laid over one another."""
        tops: list[tuple[str, Any]] = []
        sls = Sls("", "base", "", "top.sls")
        try:
            for saltenv in self.environments():
                sls = Sls("", saltenv, self.path(saltenv, "top.sls"), "top.sls")
                if sls.path:
                    tops.append((saltenv, self.rendered(sls, {})))
        except Exception as error:
            self.failed(sls.path, error, "Rendering Primary Top file failed")
        try:
            for saltenv, top in tops[:]:
                for name in dict.fromkeys(top.get("include") or []):
                    tops.append((saltenv, self.included_top(name, saltenv)))
            return self.merged_tops([top for _, top in tops])
        except (TypeError, ValueError, AttributeError) as error:
            what = printable(str(error)[:1000])
            log.error("pillar of %s: the top file is not environment: {target: [sls]}: %s", self.minion, what)
            self.errors.append("Error encountered while rendering pillar top file.")
            return {}

    def included_top(self, name: str, saltenv: str) -> Any:
        sls = self.find(name, saltenv)
        try:
            return self.rendered(sls._replace(name=""), {}) if sls.path else {}
        except Exception as error:
            self.failed(sls.path, error, f"Rendering Top file {name} failed")
            return {}

    def environments(self) -> list[str]:
        if self.pillarenv:
            return [self.pillarenv] if self.pillarenv in self.roots else []
        if self.opts["pillar_source_merging_strategy"] == "none":
            only = self.saltenv or "base"
            return [only] if only == "base" or only in self.roots else []
        return ["base", *(env for env in self.roots if env != "base")]

    def merged_tops(self, tops: list[dict[str, Any]]) -> dict[str, dict[str, list[Any]]]:
        merged: dict[str, dict[str, list[Any]]] = {}
        orders: dict[tuple[str, str], int] = {}
        for saltenv, targets in (item for top in tops for item in top.items() if item[0] != "include"):
            for tgt, items in targets.items():
                if isinstance(items, str):
                    raise TypeError(f"{tgt}: not a list")
                options = [item for item in items if isinstance(item, dict)]
                states = list(dict.fromkeys(item for item in items if isinstance(item, str)))
                if any(option.get("ignore_missing") for option in options):
                    self.optional |= {(saltenv, state) for state in states}
                orders[saltenv, tgt] = next((_order(o["order"]) for o in options[::-1] if "order" in o), 0)
                merged.setdefault(saltenv, {})[tgt] = [*(option for option in options if "match" in option), *states]
        return {
            env: dict(sorted(targets.items(), key=lambda target: orders[env, target[0]]))
            for env, targets in merged.items()
        }

    def matches(self, top: dict[str, dict[str, list[Any]]]) -> dict[str, list[str]]:
        """environment -> the SLS names that this minion is to have."""
        found: dict[str, list[str]] = {}
        for saltenv, targets in top.items():
            if self.pillarenv and saltenv != self.pillarenv:
                continue
            for tgt, items in targets.items():
                kinds = [item["match"] for item in items if isinstance(item, dict)]
                if self.meant(tgt, kinds[-1] if kinds else "compound"):
                    names = [item for item in items if isinstance(item, str)]
                    found[saltenv] = list(dict.fromkeys(found.get(saltenv, []) + names))
        return found

    def meant(self, tgt: Any, tgt_type: Any) -> bool:
        """Whether a target of the top file is this minion. Its pillar is not there yet, so no target by it is."""
        facts = Facts(self.minion, self.grains, {}, REGEX_BUDGET)
        try:
            if tgt_type == "nodegroup":
                tgt, tgt_type = expand_nodegroups([f"N@{tgt}"], self.opts["nodegroups"]), "compound"
            elif tgt_type == "compound":
                tgt = expand_nodegroups(str(tgt).split(), self.opts["nodegroups"])
            verdict = self.files.target(tuple(tgt) if isinstance(tgt, list) else str(tgt), tgt_type).verdict(facts)
        except Failure as failure:
            log.error("pillar of %s: the target %r of the top file: %s", self.minion, tgt, failure)
            return False
        if verdict is None:
            log.error("pillar of %s: the target %r of the top file may take too long to match", self.minion, tgt)
            self.errors.append(f"The target {tgt!r} of the top file may take too long to match; it is left out.")
        return verdict is True

    # SLS files

    def find(self, name: str, saltenv: str) -> Sls:
        base = name.replace(".", "/")
        files = [f"{base}.sls", f"{base}/init.sls"]
        found = ((self.path(saltenv, file), file) for file in files)
        return Sls(name, saltenv, *next((pair for pair in found if pair[0]), ("", "")))

    def path(self, saltenv: str, name: str) -> str:
        """The real path of a file in the first root that has it; '' if none has, or if it leads out of it (R6)."""
        if (saltenv, name) not in self.paths:
            parts = name.split("/")
            known = all(parts) and not {".", ".."} & set(parts) and "\0" not in name and len(name) < 1000
            roots = self.roots.get(saltenv, []) if known else []
            self.paths[saltenv, name] = next(filter(None, (self._path(root, name) for root in roots)), "")
        return self.paths[saltenv, name]

    def _path(self, root: str, name: str) -> str:
        directory, _, file = name.rpartition("/")
        if (root, directory) not in self.directories:
            top = os.path.realpath(root)
            self.directories[root, directory] = top, os.path.realpath(f"{top}/{directory}")
        top, real = self.directories[root, directory]
        try:
            path = f"{real}/{file}"
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                path = os.path.realpath(path)
                mode = os.stat(path).st_mode
        except OSError:
            return ""
        if not path.startswith(f"{top}/"):
            log.warning("%s leads out of the pillar root and is not read", printable(f"{top}/{name}"))
            return ""
        return path if stat.S_ISREG(mode) else ""

    def named(self, pattern: str, saltenv: str) -> list[str]:
        """The SLS names that a glob stands for."""
        if "/" in pattern:
            return []
        if not set(pattern) & set("*?["):
            return [pattern] if self.find(pattern, saltenv).path else []
        return fnmatch.filter(self.files.states(self.roots.get(saltenv, [])), pattern)

    def rendered(self, sls: Sls, defaults: Mapping[str, Any]) -> Any:
        """The data of a file: not to be changed. Raises what Jinja and YAML raise, Failure, OSError."""
        text = self.files.text(sls.path)
        if not text.strip():
            return {}
        first = text.split("\n", 1)[0].strip()
        renderer = first[2:].strip() if first.startswith("#!") and not first.startswith("#!/") else "jinja|yaml"
        if renderer not in RENDERERS:
            raise Failure(f"the renderer {renderer!r} is not there; it may be {' or '.join(RENDERERS)}.")
        if RENDERERS[renderer] and re.search(r"\{[{%#]", text):
            text = self.fill(sls, defaults)
        return self.files.parse(text)

    @functools.cached_property
    def public(self) -> dict[str, Any]:
        """What templates find in `opts`."""
        opts = public_options(self.opts) | {"id": self.minion, "minion_id": self.minion, "grains": self.grains}
        return opts | {"saltenv": self.saltenv or None, "pillarenv": self.pillarenv or None}

    def fill(self, sls: Sls, defaults: Mapping[str, Any]) -> str:
        """A template, filled in for this minion."""
        import copy

        environment = pillar_sandbox().overlay(cache_size=0)
        if not self.metered:
            environment.meter[:], self.metered = (MAX_STEPS, MAX_PILLAR), True
        environment.path = functools.partial(self.path, sls.saltenv)
        environment.files, environment.templates = self.files, {}
        values = {**copy.deepcopy(dict(defaults)), "grains": self.grains, "pillar": {}, "opts": self.public}
        values["salt"] = environment.undefined(NO_SALT)
        environment.globals = environment.globals | values | sls.variables()
        code = self.files.code(sls.path, sls.file)
        template = environment.template_class.from_code(environment, code, environment.globals, None)
        return "".join(template.generate())

    def state(self, name: str, saltenv: str, defaults: Mapping[str, Any], depth: int = 0) -> dict[Any, Any]:
        """The pillar of an SLS file with what it includes, {} for none; what it rendered to itself goes to `seen`."""
        sls = self.find(name, saltenv)
        if not sls.path:
            if (saltenv, name) not in self.optional and self.roots.get(saltenv):
                sentence = f"Specified SLS '{name}' in environment '{saltenv}' is not available on the salt master"
                log.error("pillar of %s: %s", self.minion, printable(sentence))
                self.errors.append(sentence)
            return {}
        state = {}
        try:
            if depth > MAX_PILLAR_DEPTH:
                raise Failure("files include one another too deeply.")
            state = self.rendered(sls, defaults)
        except Exception as error:
            self.failed(sls.path, error, f"Rendering SLS '{name}' failed")
        if not isinstance(state, dict):
            self.errors.append(f"SLS '{name}' does not render to a dictionary")
            state = {}
        include = state.get("include", [])
        if not isinstance(include, list):
            self.errors.append(f"Include Declaration in SLS '{name}' is not formed as a list")
        elif "include" in state:
            state = {key: value for key, value in state.items() if key != "include"}
        self.seen[saltenv, name] = state
        parts = self.included(sls, include, defaults, depth) if isinstance(include, list) else []
        parts = [state, *parts] if self.opts["pillar_includes_override_sls"] else [*parts, state]
        return functools.reduce(self.merge, parts)

    def included(self, sls: Sls, include: list[Any], defaults: Any, depth: int) -> list[dict[Any, Any]]:
        """The pillars of the files that a file includes, each below the key that it asks for."""
        found = []
        package = sls.name if sls.file.endswith("/init.sls") else sls.name.rpartition(".")[0]
        for item in include:
            key, word = "", item
            if isinstance(item, dict) and item:  # as in Salt, defaults last until the next ones
                word, given = next(iter(item.items()))
                given = given if isinstance(given, dict) else {}
                key, defaults = given.get("key") or "", given.get("defaults") or {}
            if not isinstance(word, str) or not isinstance(key, str) or not isinstance(defaults, dict):
                self.errors.append(f"Include Declaration in SLS '{sls.name}' is not formed as a list")
                continue
            full = f"{package}.{word[1:]}".lstrip(".") if word.startswith(".") else word
            names = self.named(word.lstrip(".").replace("/", "."), sls.saltenv) + self.named(full, sls.saltenv)
            for name in dict.fromkeys(names or [full]):
                part = self.seen.get((sls.saltenv, name))
                if part is None:
                    part = self.state(name, sls.saltenv, defaults, depth + 1)
                for fragment in reversed(key.split(":") if key and part else []):
                    part = {fragment: part}
                found.append(part)
        return found

    def render(self, matches: Mapping[str, list[str]]) -> dict[str, Any]:
        """All SLS files of all environments as one pillar."""
        pillar = dict(self.override)
        for saltenv, patterns in matches.items():
            if saltenv not in self.roots and saltenv != "base":
                self.errors.append(f"No matching pillar environment for environment '{saltenv}' found")
            for name in (name for pattern in patterns for name in self.named(pattern, saltenv) or [pattern]):
                pillar = self.merge(pillar, self.state(name, saltenv, {}))
        return pillar


def _order(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


# ---- 11. Jobs ---------------------------------------------------------------------------------------------------
# A job is a file and its directory is its state: new -> active -> done (DESIGN.md 5). No socket and no clock here:
# publications go into `outgoing`, `now` is an argument. A return is on disk before `flush` has come back.

REQUEST_FIELDS = {
    "fun": (str, list),
    "tgt": (str, list),
    "tgt_type": (str,),
    "arg": (list,),
    "kwarg": (dict,),
    "timeout": (int, float),
    "gather_job_timeout": (int, float),
    "ret": (str,),
    "user": (str,),
    "metadata": (dict,),
}
MAX_REQUEST = 16 << 20
MAX_TIMEOUT = 31_536_000
REMEMBERED = 500  # finished jobs whose returned ids are kept in memory


class Job:
    """A published job: what was asked, who is expected, who has answered."""

    def __init__(self, header: dict[str, Any], now: float) -> None:
        self.header = header
        self.jid: str = header["jid"]
        self.expected: set[str] = set(header["minions"])
        self.missing = set(self.expected)
        self.returned: dict[str, bool] = {}  # id -> whether all went well
        self.silent: dict[str, bool] = {}  # id -> whether it said that the job does not run there
        self.probe = ""  # the jid of the find_job under way
        self.asked: set[str] = set()
        self.alive: set[str] = set()
        self.seen_running: set[str] = set()
        self.started = min(header.get("time", now), now)
        self.deadline = now + max(1, header["timeout"])
        self.end_at = 0.0  # not before: the disk was full
        self.lines: list[str] = []
        self.unwritten: list[str] = []  # ids whose return is in `lines`

    def load(self) -> dict[str, Any]:
        """The load of its publication, `serial` excepted (PROTOCOL.md 6)."""
        fields = ("fun", "arg", "tgt", "jid", "ret", "tgt_type", "user")
        load = {name: self.header[name] for name in fields}
        if "metadata" in self.header:
            load["metadata"] = self.header["metadata"]
        return load


class Jobs:
    """All jobs of a master, in its tree.

    `accepted()` gives the accepted ids, `heard(id)` when one was last heard (seconds since the epoch, 0: never)."""

    def __init__(
        self,
        tree: MasterTree,
        opts: Mapping[str, Any],
        accepted: Callable[[], Iterable[str]],
        heard: Callable[[str], float],
    ) -> None:
        self.tree, self.opts, self.accepted, self.heard = tree, opts, accepted, heard
        self.active: dict[str, Job] = {}
        self.probes: dict[str, Job] = {}
        self.passed: dict[str, None] = {}  # our own jids, and cancelled ones: late answers to them are dropped
        self.ended: dict[str, set[str]] = {}
        self.dirty: set[Job] = set()
        self.outgoing: list[dict[str, Any]] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._newest = 0  # microseconds since the epoch, of the last jid
        self._today: dict[str, int] = {}  # id -> jobs of its own today
        self._own_day = ""

    def new_jid(self, now: float) -> str:
        """A jid later than every one given out before."""
        self._newest = max(int(now * 1_000_000), self._newest + 1)
        return jid_at(self._newest)

    def path(self, jid: str, state: str) -> Path:
        return self.tree.jobs / ("active" if state == "active" else f"done/{jid[:8]}") / f"{jid}.jsonl"

    # requests

    def take_requests(self, now: float) -> None:
        """Publish every file in jobs/new; what cannot be published goes to jobs/bad with the reason beside it."""
        for name in names(self.tree.jobs / "new"):
            path = self.tree.jobs / "new" / name
            try:
                self.start(name, self.read_request(path), now)
                path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue
            except Exception as error:  # whatever a file may hold, the ones behind it must have their turn
                why = str(error) if isinstance(error, Failure) else f"it cannot be taken: {error}."
                log.warning("jobs/new/%s is refused: %s", name, why)
                with contextlib.suppress(OSError):
                    put(self.tree.jobs / "bad" / f"{name}.why", why + "\n")
                try:
                    os.rename(path, self.tree.jobs / "bad" / name)
                except OSError:
                    with contextlib.suppress(OSError):
                        os.rename(path, self.tree.jobs / "bad" / f"{name[:200]}.{token(4).hex()}")

    def read_request(self, path: Path) -> dict[str, Any]:
        """The request in a file of jobs/new, checked: whole, known fields, right types, an owner who may. Failure."""
        try:
            raw, info = read_with_owner(path, MAX_REQUEST)
        except FileNotFoundError:
            raise
        except OSError as error:
            link = error.errno == errno.ELOOP
            why = "it is a symbolic link, not a regular file" if link else f"it cannot be read: {error.strerror}"
            raise Failure(f"{why}.") from None
        if info.st_nlink != 1:
            raise Failure("it is not a regular file with one name.")
        try:
            request = from_json(raw)
        except ValueError as error:
            raise Failure(f"it is not JSON: {error}.") from None
        if not isinstance(request, dict):
            raise Failure('it must be a JSON object such as {"tgt": "*", "fun": "test.ping"}.')
        for name, value in request.items():
            if name not in REQUEST_FIELDS:
                raise Failure(f"unknown field {name!r}{nearest(name, REQUEST_FIELDS)}.")
            if not isinstance(value, REQUEST_FIELDS[name]) or isinstance(value, bool):
                raise Failure(f"{name} is of the wrong type: {value!r}.")
            if isinstance(value, int | float) and not 0 <= value <= MAX_TIMEOUT:  # nor NaN
                raise Failure(f"{name} must be from 0 to {MAX_TIMEOUT} seconds, and is {value!r}.")
            if name == "tgt" and isinstance(value, list) and not all(isinstance(word, str) for word in value):
                raise Failure(f"tgt must be a text or a list of texts, and is {value!r}.")
        for name in ("fun", "tgt"):
            if not request.get(name):
                raise Failure(f"{name} is missing.")
        functions = request["fun"] if isinstance(request["fun"], list) else [request["fun"]]
        for fun in functions:
            if not isinstance(fun, str) or not FUN.fullmatch(fun):
                raise Failure(f"{fun!r} is not a function; say module.function, as in test.ping.")
        if len(functions) > 1 and [type(arg) for arg in request.get("arg", [])] != [list] * len(functions):
            raise Failure("with several functions arg must be a list of lists, one for each.")
        request["user"] = self.allowed(info.st_uid, functions, request.get("user", ""))
        return request

    def allowed(self, uid: int, functions: list[str], user: str) -> str:
        """Who publishes, if the file's owner may: root, the master's own user, or as publisher_acl says. Failure."""
        owner = user_name(uid)
        if uid in (0, os.geteuid()):
            return user if user and user.isprintable() else owner
        globs = self.opts["publisher_acl"].get(owner, [])
        if isinstance(globs, list) and all(any(fnmatch.fnmatchcase(f, str(g)) for g in globs) for f in functions):
            return owner
        raise Failure(f"its owner {owner} may not publish {', '.join(functions)}; see publisher_acl.")

    def start(self, name: str, request: dict[str, Any], now: float) -> None:
        """Write the job's file and put its publication into `outgoing`; Failure if its target is malformed."""
        jid = name if JID.fullmatch(name) else self.new_jid(now)
        if self.path(jid, "active").exists() or self.path(jid, "done").exists():
            raise Failure(f"the jid {jid} is taken.")
        tgt, tgt_type = request["tgt"], request.get("tgt_type", "glob")
        if tgt_type == "nodegroup":
            tgt, tgt_type = expand_nodegroups(["N@" + str(tgt)], self.opts["nodegroups"]), "compound"
        elif tgt_type == "compound":
            tgt = expand_nodegroups(tgt.split() if isinstance(tgt, str) else tgt, self.opts["nodegroups"])
        if problem := target_error(tgt, tgt_type):
            raise Failure(problem)
        arg = request.get("arg", [])
        if kwarg := request.get("kwarg"):
            arg = [*arg, {"__kwarg__": True, **kwarg}]
        header = {
            "event": "new",
            "jid": jid,
            "fun": request["fun"],
            "arg": arg,
            "tgt": tgt,
            "tgt_type": tgt_type,
            "ret": request.get("ret", ""),
            "user": request["user"],
            "timeout": request.get("timeout", self.opts["timeout"]),
            "gather_job_timeout": request.get("gather_job_timeout", self.opts["gather_job_timeout"]),
            "time": now,
            "minions": expected(tgt, tgt_type, self.accepted(), self.tree.grains, pillar_of=self.tree.pillar),
        }
        if "metadata" in request:
            header["metadata"] = request["metadata"]
        if name != jid:
            header["request"] = name  # for `recover`: a crash now must not publish it twice
        job = Job(header, now)
        try:
            pack(job.load())
        except Exception as error:  # half a surrogate pair, a thousand levels
            raise Failure(f"it cannot be sent: {error}.") from None
        if not job.expected:
            self._day(jid)
            end = {"event": "end", "returned": 0, "failed": 0, "silent": 0, "seconds": 0.0, "time": now}
            put(self.path(jid, "done"), f"{to_json(header)}\n{to_json(end)}\n", sync=False)
            return
        # not synced: the first return's fsync makes the file last, and until then a power cut loses no more than the
        # command that waits for it on this same machine
        put(self.path(jid, "active"), to_json(header) + "\n", sync=False)
        self.active[jid] = job
        self.outgoing.append(job.load())
        self.events.append((f"salt/job/{jid}/new", {k: header[k] for k in ("fun", "tgt", "tgt_type", "user")}))
        count, user = len(job.expected), request["user"]
        log.info("job %s: %s for %s minions of %s, by %s", jid, request["fun"], count, tgt, user)

    def _day(self, jid: str) -> None:
        (self.tree.jobs / "done" / jid[:8]).mkdir(mode=0o700, exist_ok=True)

    # returns

    def ret(self, minion: str, load: dict[str, Any], now: float) -> str:
        """Take a minion's return; gives the jid whose file must be flushed before it is acknowledged, or ''.

        First write wins, and only minions that the job was published to may answer it (R23)."""
        jid = str(load.get("jid", ""))
        if jid in self.probes:
            self._probed(self.probes[jid], minion, load.get("return"), now)
            return ""
        if jid in self.passed:
            return ""
        if job := self.active.get(jid):
            if minion in job.returned:
                return jid if minion in job.unwritten else ""
            if not self.addressed(job.header, minion):
                log.warning("%s sent a return for job %s, which was not meant for it", minion, jid)
                return ""
            self._add(job, minion, load, now)
            return jid
        if MINION_JID.fullmatch(jid) and self.path(jid, "done").exists():
            self._late(jid, minion, load, now)
        elif jid == "req" or MINION_JID.fullmatch(jid):
            self._own_job(jid, minion, load, now)
        else:
            log.warning("%s sent a return with the jid %.40r, which is none", minion, jid)
        return ""

    def addressed(self, header: dict[str, Any], minion: str) -> bool:
        """Whether a publication may have been meant for a minion; grains decide there, not here."""
        if minion in header["minions"]:
            return True
        return bool(expected(header["tgt"], header["tgt_type"], [minion], lambda _: None))

    def _add(self, job: Job, minion: str, load: dict[str, Any], now: float) -> None:
        line = return_line(minion, load, now)
        job.lines.append(to_json(line))
        job.unwritten.append(minion)
        job.returned[minion] = all_well(line)
        job.missing.discard(minion)
        job.silent.pop(minion, None)
        self.dirty.add(job)
        event = {"id": minion, "fun": line["fun"], "retcode": line["retcode"], "success": line["success"]}
        self.events.append((f"salt/job/{job.jid}/ret/{minion}", event))

    def _probed(self, job: Job, minion: str, answer: Any, now: float) -> None:
        if minion not in job.asked:
            return
        job.asked.discard(minion)
        if answer:
            job.alive.add(minion)
        elif minion in job.missing:
            job.silent[minion] = True
        if not job.asked:
            job.deadline = min(job.deadline, now)

    def _late(self, jid: str, minion: str, load: dict[str, Any], now: float) -> None:
        """Append a return that came after the job's end to its file; raises OSError."""
        path = self.path(jid, "done")
        with open(path, "rb") as file:
            header = from_json(file.readline())
        if not self.addressed(header, minion):
            log.warning("%s sent a return for job %s, which was not meant for it", minion, jid)
            return
        if jid not in self.ended:
            lines = [from_json(line) for line in read(path, 1 << 30).splitlines() if line.startswith(b'{"event": "')]
            self._remember(jid, {line["id"] for line in lines if line["event"] == "ret"})
        if minion in self.ended[jid]:
            return
        append(path, to_json(return_line(minion, load, now) | {"late": True}) + "\n")
        self.ended[jid].add(minion)
        self.events.append((f"salt/job/{jid}/ret/{minion}", {"id": minion, "late": True}))

    def _own_job(self, jid: str, minion: str, load: dict[str, Any], now: float) -> None:
        """Keep what a minion ran on its own account (call, schedule) under its own name, 10,000 a day at most."""
        if self._own_day != jid_of(now)[:8]:
            self._own_day, self._today = jid_of(now)[:8], {}
        self._today[minion] = self._today.get(minion, 0) + 1
        if self._today[minion] > 10_000:
            log.warning("%s sent more than 10,000 returns of its own today; they are not kept", minion)
            return
        if jid == "req" or not jid_of(now - 86400)[:8] <= jid[:8] <= jid_of(now + 86400)[:8]:
            jid = self.new_jid(now)
        self._day(jid)
        line = return_line(minion, load, now)
        header = {"event": "new", "jid": jid, "fun": line["fun"], "arg": load.get("fun_args", []), "tgt": minion}
        header |= {"tgt_type": "list", "user": f"minion:{minion}", "minions": [minion], "time": now}
        name = minion if len(minion) <= 200 else _digest(minion.encode()).hex()  # a file name has 255 bytes
        path = self.tree.jobs / "done" / jid[:8] / f"{jid}.{name}.jsonl"
        if not path.exists():
            put(path, f"{to_json(header)}\n{to_json(line)}\n")

    def flush(self) -> set[str]:
        """Write what came in, one write and one fsync a file. Gives the jids that could not be written: their
        returns are forgotten again, must not be acknowledged, and will come once more."""
        failed = set()
        for job in self.dirty:
            try:
                append(self.path(job.jid, "active"), "\n".join(job.lines) + "\n")
            except FileNotFoundError:
                pass  # the operator took the file away: the job is cancelled, `look` says so
            except OSError as error:
                log.error("the returns of job %s cannot be written and will be asked for again: %s", job.jid, error)
                failed.add(job.jid)
                for minion in job.unwritten:
                    del job.returned[minion]
                    if minion in job.expected:
                        job.missing.add(minion)
            job.lines, job.unwritten = [], []
        self.dirty.clear()
        return failed

    # time

    def deadline(self) -> float | None:
        """When `tick` has something to do, in the clock of its `now`."""
        return min((job.deadline if job.missing else job.end_at for job in self.active.values()), default=None)

    def tick(self, now: float) -> None:
        """Ask the minions that are silent, end the jobs that are complete; call after `flush`."""
        for job in list(self.active.values()):
            if not job.missing:
                if now >= job.end_at:
                    self._end(job, now)
            elif now >= job.deadline:
                if job.probe:
                    self._judge(job, now)
                else:
                    self._probe(job, now)

    def _own(self, now: float, jid: str = "") -> str:
        """A jid of our own, or a cancelled one, whose late answers nobody wants."""
        jid = jid or self.new_jid(now)
        self.passed[jid] = None
        if len(self.passed) > REMEMBERED:
            del self.passed[next(iter(self.passed))]
        return jid

    def _probe(self, job: Job, now: float) -> None:
        job.probe = self._own(now)
        job.asked, job.alive = set(job.missing), set()
        job.deadline = now + job.header["gather_job_timeout"]
        self.probes[job.probe] = job
        load = {"fun": "saltutil.find_job", "arg": [job.jid], "tgt": sorted(job.asked), "jid": job.probe}
        self.outgoing.append(load | {"ret": "", "tgt_type": "list", "user": job.header["user"]})

    def _judge(self, job: Job, now: float) -> None:
        """The answers to find_job are in, or late: who runs it is waited for, who does not is silent."""
        del self.probes[job.probe]
        job.probe = ""
        lines = []
        for minion in sorted(job.alive - job.seen_running):
            lines.append({"event": "running", "id": minion, "time": now})
        job.seen_running |= job.alive
        for minion in sorted(job.missing - job.alive):
            answered = job.silent.setdefault(minion, False)
            since = self.heard(minion) or None
            lines.append({"event": "silent", "id": minion, "since": since, "answered": answered, "time": now})
        job.missing &= job.alive
        job.deadline = now + max(1, job.header["timeout"])
        if lines:
            job.lines += [to_json(line) for line in lines]
            self.dirty.add(job)
            self.flush()
        if not job.missing:
            self._end(job, now)

    def _end(self, job: Job, now: float) -> None:
        failed = sum(not well for well in job.returned.values())
        end = {"event": "end", "returned": len(job.returned), "failed": failed, "silent": len(job.silent)}
        end |= {"seconds": round(now - job.started, 3), "time": now}
        active = self.path(job.jid, "active")
        try:
            append(active, to_json(end) + "\n", sync=False)  # `recover` ends a job whose last line is lost
            self._day(job.jid)
            os.rename(active, self.path(job.jid, "done"))
        except FileNotFoundError:
            pass
        except OSError as error:
            log.error("job %s cannot be ended yet: %s", job.jid, error)
            job.end_at = now + 5
            return
        self._drop(job)
        self._remember(job.jid, set(job.returned))

    def _drop(self, job: Job) -> None:
        self.active.pop(job.jid, None)
        self.probes.pop(job.probe, None)
        self.dirty.discard(job)

    def _remember(self, jid: str, ids: set[str]) -> None:
        self.ended[jid] = ids
        if len(self.ended) > REMEMBERED:
            del self.ended[next(iter(self.ended))]

    def look(self, now: float) -> None:
        """Cancel the jobs whose file the operator has taken out of jobs/active: publish saltutil.kill_job."""
        for job in list(self.active.values()):
            if not self.path(job.jid, "active").exists():
                log.info("job %s is cancelled: its file is gone from jobs/active", job.jid)
                self._drop(job)
                fields = {name: job.header[name] for name in ("tgt", "tgt_type", "user")}
                self._own(now, job.jid)
                load = {"fun": "saltutil.kill_job", "arg": [job.jid], "jid": self._own(now), "ret": ""}
                self.outgoing.append(load | fields)

    def shift(self, seconds: float) -> None:
        """The clock was set by so much: what was to come in five seconds still comes in five seconds."""
        for job in self.active.values():
            job.deadline += seconds
            job.started += seconds

    def recover(self, now: float) -> None:
        """After a start: go on with the jobs in jobs/active. One that nobody has answered is published again, with
        the same jid, so that it cannot run twice: the master may have died before it had published it."""
        for name in names(self.tree.jobs / "active"):
            path = self.tree.jobs / "active" / name
            try:
                raw = read(path, 1 << 30)
                whole = raw[: raw.rfind(b"\n") + 1]
                if whole != raw:  # a write that a crash cut short
                    os.truncate(path, len(whole))
                lines = [from_json(line) for line in whole.splitlines()]
                job = Job(lines[0], now)
                job.returned = {line["id"]: all_well(line) for line in lines if line["event"] == "ret"}
            except (OSError, ValueError, LookupError, TypeError) as error:
                log.error("%s cannot be read and is moved to jobs/bad: %s", path, error)
                with contextlib.suppress(OSError):
                    os.rename(path, self.tree.jobs / "bad" / name)
                continue
            job.missing -= set(job.returned)
            if lines[-1]["event"] == "end":
                self._day(job.jid)
                os.rename(path, self.path(job.jid, "done"))
                continue
            self.active[job.jid] = job
            (self.tree.jobs / "new" / job.header.get("request", job.jid)).unlink(missing_ok=True)
            if len(lines) == 1:
                self.outgoing.append(job.load())

    def clean(self, now: float) -> None:
        """Remove the whole days of jobs/done that ended keep_jobs_seconds ago, and what is as old in jobs/bad."""
        import shutil

        last = jid_of(now - self.opts["keep_jobs_seconds"])[:8]
        for day in names(self.tree.jobs / "done"):
            if re.fullmatch(r"[0-9]{8}", day) and day < last:
                shutil.rmtree(self.tree.jobs / "done" / day, ignore_errors=True)
        for directory in (self.tree.jobs / "bad", self.tree.jobs / "new"):
            for name in os.listdir(directory):
                if directory.name == "bad" or name.startswith("."):
                    with contextlib.suppress(OSError):
                        if os.lstat(directory / name).st_mtime < now - self.opts["keep_jobs_seconds"]:
                            os.unlink(directory / name)


def return_line(minion: str, load: dict[str, Any], now: float) -> dict[str, Any]:
    """The `ret` line of a job's file for a `_return` load (PROTOCOL.md 8)."""
    line = {"event": "ret", "id": minion, "fun": load.get("fun", ""), "return": load.get("return")}
    line |= {"retcode": load.get("retcode", 0), "success": load.get("success", True), "time": now}
    return line | {"out": load["out"]} if isinstance(load.get("out"), str) else line


def all_well(line: dict[str, Any]) -> bool:
    """Whether a `ret` line tells of success; of several functions all must have gone well."""
    codes, oks = line.get("retcode", 0), line.get("success", True)
    codes = codes.values() if isinstance(codes, dict) else [codes]
    oks = oks.values() if isinstance(oks, dict) else [oks]
    return not any(codes) and all(ok is not False for ok in oks)


def append(path: Path, text: str, sync: bool = True) -> None:
    """Append to a file that is there: the whole text or, when the disk is full, nothing. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        try:
            write_all(fd, text.encode("utf-8", "surrogateescape"))
            if sync:
                os.fsync(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)


# ---- 12. Master protocol ----------------------------------------------------------------------------------------
# Bytes in, bytes out; the tree and the time are arguments. `receive` is the one place where an exception becomes a
# reply. An identity is a Peer, made by `authenticate` and by nothing else; handlers receive it (SECURITY.md R2).

BAD_LOAD = b"\xa8bad load"  # msgpack of the string that makes a real minion authenticate again
MAX_CLEAR = 16384
MAX_PING = 1024
MAX_GRAINS = 1 << 20  # bytes, as `weigh` counts them, of the grains or the pillar_override of one minion
MAX_MINE = 1 << 20  # bytes that one minion may have in the mine
MAX_FUNCTIONS = 100  # of the mine, in one request
MAX_EVENT = 1 << 20  # bytes of the data of the events in one request
MAX_HELD = 10_000
FRESH = 300  # seconds: how far behind the newest `ts` of its session a request may be
MAX_NONCES = 100_000
REFUSALS_PER_SECOND = 100


class Peer:
    """An accepted minion that has proven its key: made by MasterProtocol.authenticate, never from a body."""

    __slots__ = "address auth crypticle finger heard id key_stat newest nonces oldest stale tok".split()

    def __init__(self, minion: str, finger: str, key_stat: tuple[int, int, int], session: str) -> None:
        self.id, self.finger, self.key_stat = minion, finger, key_stat
        self.crypticle = Crypticle(session)
        self.tok = b""
        self.auth = ""  # the nonce of its last `_auth`
        self.nonces: dict[bytes, int] = {}
        self.newest = 0  # the newest `ts` seen in this session
        self.oldest = 0  # a `ts` below this one is not taken any more
        self.stale = False  # its clock went back: the next authentication gives a new session
        self.heard = 0.0
        self.address = ""  # where it was heard from, if that was noted

    def fresh(self, nonce: str, ts: int) -> bool:
        """Whether this is no repeat: a new nonce, and a `ts` for which all nonces are still known (R14). Compares
        the minion's clock with itself only."""
        key = bytes.fromhex(nonce)
        if key in self.nonces:
            return False
        if ts < self.oldest or len(self.nonces) >= MAX_NONCES:
            self.stale = True
            return False
        self.nonces[key] = ts
        if ts > self.newest:
            self.newest = ts
            if ts - FRESH > self.oldest:
                self.oldest = ts - FRESH
                if self.nonces and next(iter(self.nonces.values())) < self.oldest:
                    self.nonces = {n: t for n, t in self.nonces.items() if t >= self.oldest}
        return True


class Reply(NamedTuple):
    """What goes back: the envelope it came with, the bytes, and the job that must be on disk before."""

    envelope: Any
    data: bytes
    jid: str = ""


class Held(NamedTuple):
    """An `_auth` that waits for the operator: the newest of its id."""

    envelope: Any
    load: dict[str, Any]
    finger: str


AES, PRIVATE, ACK = "aes", "private", "ack"


class Request(NamedTuple):
    """A row of REQUESTS: the handler (protocol, peer, load, now) -> object, and how its reply is sealed: AES in the
    session box; PRIVATE under a key of its own; ACK None in the session box, once the jid it gave is on disk."""

    handler: Callable[[MasterProtocol, Peer, dict[str, Any], float], Any]
    seal: str = AES


class MasterProtocol:
    """A master without sockets: `receive` takes a request's bytes, `publication` seals a job.

    `notes` collects the events of the keys; `rotations` and `auths` count what the name says."""

    def __init__(self, opts: Mapping[str, Any], tree: MasterTree, key: PrivateKey, jobs: Jobs, now: float) -> None:
        self.opts, self.tree, self.key, self.jobs = opts, tree, key, jobs
        self.pillar_files = PillarFiles()
        self.files = FileServer(opts)
        self.peers: dict[str, Peer] = {}
        self.held: dict[Any, Held] = {}
        self.heard = tree.heard()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.auths = self.rotations = self.moved = 0
        self.sender = ""  # the address that the request under way comes from
        self.ready: dict[str, str] = {}  # held ids whose key has moved, and what to do
        self.parted: dict[str, float] = {}  # id -> when one was last heard whose key is gone since
        self._refusals = (0, 0)
        self._hour, self._told = 0, dict[str, int]()  # id -> bytes of its events in this hour
        self._rotate_wanted = False
        stored = tree.shared_key()
        self.aes, self.made, self.serial = Crypticle.generate(), now, 0
        strangers = tree.strangers()
        for minion in strangers:
            tree.forget(minion)
        # a key that sealed at a time this clock has not reached would have its next publications ignored
        if stored and not strangers and stored[2] <= now and now - stored[1] < opts["publish_session"]:
            self.aes, self.made = stored[0], stored[1]
        else:
            tree.put_shared_key(self.aes)
        self.crypticle = Crypticle(self.aes)
        self._aes_sig = b""
        self.pub_signatures = tree.pub_signatures(opts, key.public.pem)
        self.keys = tree.scan(now)

    # requests

    def receive(self, envelope: Any, data: bytes, now: float) -> Reply | None:
        """Answer one message from ret_port: exactly one reply, or None for an `_auth` that is held or not worth one."""
        try:
            if len(data) > self.opts["max_message_size"]:
                raise PayloadError("the message is too large")
            message = self._envelope(data)
            if message.get("enc") == "clear":
                if len(data) > MAX_CLEAR:
                    raise PayloadError("the message is too large")
                reply = self._clear(envelope, message, now)
                return None if reply is None else Reply(envelope, reply)
            peer, load = self.authenticate(message, now)
            return self._dispatch(envelope, message, peer, load, now)
        except (AuthError, PayloadError, OSError) as error:
            log.log(logging.ERROR if isinstance(error, OSError) else logging.DEBUG, "a request is refused: %s", error)
            return Reply(envelope, BAD_LOAD)
        except Exception:
            log.exception("a request could not be handled; the peer is told `bad load`")
            return Reply(envelope, BAD_LOAD)

    @staticmethod
    def _envelope(data: bytes) -> dict[str, Any]:
        """The outer map; only its small fields become text."""
        try:
            message = _unpackb(data, raw=True, most=256, length=64)
            found = {key.decode("ascii"): value for key, value in message.items()}
        except Exception as error:
            raise PayloadError(f"not an envelope ({type(error).__name__})") from None
        for name in ("enc", "id", "enc_algo", "sig_algo"):
            if name in found:
                found[name] = _text(found[name])
        version = found.get("version", 0)
        if not isinstance(version, int) or isinstance(version, bool) or version < PROTOCOL_VERSION:
            raise PayloadError("an older protocol")
        return found

    def _clear(self, envelope: Any, message: dict[str, Any], now: float) -> bytes | None:
        load = _text(message.get("load"))
        if isinstance(load, dict) and load.get("cmd") == "ping" and len(pong := pack(load)) <= MAX_PING:
            return pong  # what it was given and no more: nobody is answered with more than he has sent
        if not isinstance(load, dict) or load.get("cmd") != "_auth":
            raise PayloadError("clear requests other than _auth are not served")
        return self.auth(envelope, load, now)

    def authenticate(self, message: dict[str, Any], now: float) -> tuple[Peer, dict[str, Any]]:
        """Who sent an encrypted request, and its load. Every request looks at the tree."""
        minion, box = message.get("id"), message.get("load")
        if message.get("enc") != "aes" or not valid_id(minion) or not isinstance(box, bytes):
            raise PayloadError("not an encrypted request")
        assert isinstance(minion, str)
        peer = self.peer(minion, now)
        load = peer.crypticle.loads(box)
        if not isinstance(load, dict) or load.get("id") != minion:
            raise AuthError("the id inside is not the id outside")
        tok = as_bytes(load.get("tok"))
        if tok != peer.tok or not tok:
            key = self.tree.read_key(self.tree.key_path(ACCEPTED, minion))
            if fingerprint(key.pem) != peer.finger or key.recover(tok) != b"salt":
                raise AuthError("the token is of another key")
            peer.tok = tok
        nonce, ts = load.get("nonce"), load.get("ts")
        if not isinstance(nonce, str) or not NONCE.fullmatch(nonce) or not isinstance(ts, int):
            raise PayloadError("no nonce or no ts")
        if not peer.fresh(nonce, ts):
            raise AuthError(f"{minion} repeats itself, or its clock went back")
        peer.heard, peer.address = now, self.sender
        return peer, load

    def peer(self, minion: str, now: float) -> Peer:
        """The peer of an accepted id whose session stands; AuthError otherwise."""
        key_stat = self.tree.key_stat(minion)
        if key_stat is None:
            raise AuthError(f"{minion} is not accepted")
        peer = self.peers.get(minion)
        if peer and peer.key_stat == key_stat:
            return peer
        state, key = self.tree.stored_key(minion)
        if state != ACCEPTED or key is None:
            raise AuthError(f"{minion} is not accepted")
        finger = fingerprint(key.pem)
        session = self.tree.session(minion, finger)
        if session is None:
            raise AuthError(f"{minion} has no session")
        return self._new_peer(minion, finger, key_stat, session)

    def _new_peer(self, minion: str, finger: str, key_stat: tuple[int, int, int], session: str) -> Peer:
        peer = self.peers.get(minion)
        if peer and peer.finger == finger and peer.crypticle.key == session:
            peer.key_stat = key_stat  # the same key in a file that was touched: what was seen stays seen
            return peer
        peer = self.peers[minion] = Peer(minion, finger, key_stat, session)
        newest, peer.heard, nonces, peer.address = self.heard.get(minion, (0, 0.0, [], ""))
        # of the time before this run only the last second's nonces are known, so only later requests are taken
        peer.newest = peer.oldest = newest
        peer.nonces = {bytes.fromhex(nonce): newest for nonce in nonces}
        return peer

    def _dispatch(
        self, envelope: Any, message: dict[str, Any], peer: Peer, load: dict[str, Any], now: float
    ) -> Reply | None:
        cmd, nonce = load.get("cmd"), load["nonce"]
        request = REQUESTS.get(cmd) if isinstance(cmd, str) else None
        if request is None:
            return Reply(envelope, pack(peer.crypticle.dumps({}, nonce)))
        try:
            result = request.handler(self, peer, load, now)
        except (SaltError, OSError, LookupError, TypeError, ValueError) as error:
            log.warning("%s of %s failed: %s: %s", cmd, peer.id, type(error).__name__, error)
            if request.seal == ACK and not isinstance(error, SaltError):
                return None  # not on disk, so not acknowledged: it will come again
            return Reply(envelope, pack(peer.crypticle.dumps("", nonce)))
        if request.seal == ACK:
            return Reply(envelope, pack(peer.crypticle.dumps(None, nonce)), result)
        if request.seal == PRIVATE:
            return Reply(envelope, self._private(peer, message, nonce, result))
        return Reply(envelope, pack(peer.crypticle.dumps(result, nonce)))

    def _private(self, peer: Peer, message: dict[str, Any], nonce: str, result: Any) -> bytes:
        """A reply under a key of its own, sealed to the minion's public key and signed (PROTOCOL.md 9, _pillar)."""
        enc, sig = message.get("enc_algo", "OAEP-SHA1"), message.get("sig_algo", "PKCS1v15-SHA1")
        if str(enc) not in ENC_ALGOS or str(sig) not in SIG_ALGOS:
            raise PayloadError("unknown algorithms")
        key = Crypticle.generate()
        sealed = self.tree.read_key(self.tree.key_path(ACCEPTED, peer.id)).encrypt(enc, key.encode())
        data = pack({"key": sealed, "pillar": result, "nonce": nonce})
        signed = {"data": data, "sig": self.key.sign(sig, data)}
        return pack({"key": sealed, "pillar": Crypticle(key).dumps(signed)})

    # authentication

    def auth(self, envelope: Any, load: dict[str, Any], now: float) -> bytes | None:
        """The whole of `_auth` (PROTOCOL.md 3): facts, one look at KEY_RULES, the tree, the reply. None: held."""
        if str(load.get("enc_algo", "OAEP-SHA1")) not in ENC_ALGOS:
            return pack({"enc": "clear", "load": {"ret": "bad enc algo"}})
        if str(load.get("sig_algo", "PKCS1v15-SHA1")) not in SIG_ALGOS:
            return pack({"enc": "clear", "load": {"ret": "bad sig algo"}})
        minion, pem, nonce = load.get("id"), load.get("pub"), load.get("nonce")
        if not isinstance(nonce, str) or not NONCE.fullmatch(nonce):
            raise PayloadError("no nonce")
        if not valid_id(minion) or not isinstance(pem, str):
            return self._refuse(load, now)
        assert isinstance(minion, str)
        if self.opts["max_minions"] and minion not in self.peers and len(self.peers) >= self.opts["max_minions"]:
            log.warning("%s is told `full`: max_minions is %s", minion, self.opts["max_minions"])
            return self._refuse(load, now, "full")
        try:
            key = PublicKey(pem)
        except AuthError as error:
            log.warning("%s is refused: %s", minion, error)
            return self._refuse(load, now)
        state, stored = self.tree.stored_key(minion)
        policy = ASK if state == REJECTED else self.policy(minion, load, now)
        rule = key_rule(self.opts["open_mode"], state, stored is None or stored.pem == key.pem, policy)
        kept = {"pend": PENDING, "reject": REJECTED}.get(rule.act)
        if kept and state == UNKNOWN and self.tree.count(kept) >= self.opts["max_pending_keys"]:
            log.warning("%s is told `full`: as many keys are %s as max_pending_keys allows", minion, kept)
            return self._refuse(load, now, "full")
        self._apply(rule, minion, state, key, now)
        if rule.reply == CREDENTIALS:
            self.held.pop(minion, None)
            return self.credentials(load, key, now)
        if rule.reply == HELD and self._hold(envelope, load, fingerprint(key.pem)):
            return None
        return self._signed(load, {"ret": True}) if rule.result else self._refuse(load, now)

    def policy(self, minion: str, load: dict[str, Any], now: float) -> str:
        """What the operator has laid down for unknown keys of this id: reject, sign or ask."""
        opts = self.opts
        if self._listed(opts["autoreject_file"], minion):
            return REJECT
        if opts["auto_accept"] or self._listed(opts["autosign_file"], minion):
            return SIGN
        if self.tree.autosign_stub(minion, opts["autosign_timeout"], now):
            return SIGN
        shown = load.get("autosign_grains")
        if opts["autosign_grains_dir"] and isinstance(shown, dict):
            for grain, value in shown.items():
                if isinstance(grain, str) and valid_id(grain):
                    path = Path(opts["autosign_grains_dir"]) / grain
                    lines = [line.strip() for line in self._trusted_lines(path)]
                    if str(value) in [line for line in lines if line and not line.startswith("#")]:
                        return SIGN
        return ASK

    def _listed(self, file: str, minion: str) -> bool:
        return bool(file) and line_matches(minion, self._trusted_lines(Path(file)))

    def _trusted_lines(self, path: Path) -> list[str]:
        """The lines of an autosign file, none where others could have written them."""
        try:
            mode = path.stat().st_mode
            if mode & stat.S_IWOTH or mode & stat.S_IWGRP and not self.opts["permissive_pki_access"]:
                log.warning("%s is ignored: others may write it; `chmod go-w` it", path)
                return []
            return path.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning("%s is ignored: %s", path, error)
            return []

    def _apply(self, rule: KeyRule, minion: str, state: str, key: PublicKey, now: float) -> None:
        """Do to the tree what the row says; raises OSError, and then nothing is answered but `bad load`."""
        tree = self.tree
        was, is_now = self.keys.get(minion, (UNKNOWN, 0)), tree.scan_one(minion)
        if was != is_now:  # the operator has moved the key since the last look: that first
            self._moved(minion, was, is_now)
        pending = tree.key_path(PENDING, minion)
        if rule.directory == "minions" and state == PENDING and not rule.open_mode:
            move(pending, tree.key_path(ACCEPTED, minion))
        elif rule.directory == "minions_rejected" and state == PENDING:
            move(pending, tree.key_path(REJECTED, minion))
        elif rule.open_mode and self._holds(tree.key_path(ACCEPTED, minion), key):
            pass
        elif rule.act == "denied" and tree.denied_lately(minion, now):
            return  # two strangers who take turns must not keep the disk busy
        elif rule.directory:
            tree.put_key(rule.directory, minion, key.pem)
        if rule.act == "accept" and state != ACCEPTED:
            tree.use_autosign_stub(minion)
        new = rule.act == "accept" and state != ACCEPTED or rule.directory
        if new:
            event = {"result": rule.result, "act": rule.act, "id": minion, "pub": key.pem}
            self.events.append(("salt/auth", event))
            log.info("%s: key %s (%s)", minion, rule.act, fingerprint(key.pem))
        if rule.act == "denied":
            log.warning("%s came with another key than the %s one: see minions_denied", minion, state)
        if rule.directory and rule.directory != "minions_denied":
            # our own rename is no move of the operator's; what he has done since, even with this file, still shows
            written = next(state for state, directory in DIRECTORIES.items() if directory == rule.directory)
            self.keys[minion] = (written, tree.scan_one(minion)[1])

    def _holds(self, path: Path, key: PublicKey) -> bool:
        try:
            return self.tree.read_key(path).pem == key.pem
        except (OSError, AuthError):
            return False

    def _hold(self, envelope: Any, load: dict[str, Any], finger: str) -> bool:
        minion = load["id"]
        if minion not in self.held and len(self.held) >= MAX_HELD:
            return False
        kept: dict[str, Any] = {
            name: load[name] for name in ("id", "nonce", "enc_algo", "sig_algo", "token") if name in load
        }
        if len(kept.get("token") or "") > 1024:
            return False
        self.held[minion] = Held(envelope, kept, finger)
        return True

    def _refuse(self, load: dict[str, Any], now: float, ret: bool | str = False) -> bytes | None:
        """`False` or `full`, signed; beyond REFUSALS_PER_SECOND there is no answer, for a signature is what costs."""
        second, count = self._refusals
        self._refusals = (int(now), count + 1 if second == int(now) else 1)
        return self._signed(load, {"ret": ret}) if self._refusals[1] <= REFUSALS_PER_SECOND else None

    def _signed(self, load: dict[str, Any], inner: dict[str, Any]) -> bytes:
        data = pack(inner | {"nonce": load["nonce"]})
        sig = self.key.sign(load.get("sig_algo", "PKCS1v15-SHA1"), data)
        return pack({"enc": "clear", "load": data, "sig": sig})

    def credentials(self, load: dict[str, Any], key: PublicKey, now: float) -> bytes | None:
        """The accepting reply: shared key and session key, sealed to the minion (PROTOCOL.md 3.2)."""
        minion, algo = load["id"], load.get("enc_algo", "OAEP-SHA1")
        reply: dict[str, Any] = {"enc": "pub", "pub_key": self.key.public.pem}
        reply["publish_port"] = self.opts["publish_port"]
        if "token" in load:
            try:
                opened = self.key.decrypt(algo, as_bytes(load["token"]))[:190]
            except (AuthError, PayloadError, ValueError):
                opened = token(32)  # sealed for another master, and our key in the reply tells the minion so
            reply["token"] = key.encrypt(algo, opened)
        session = self._session(minion, key, now)
        if (peer := self.peers.get(minion)) and peer.auth == load["nonce"]:
            return None  # somebody plays a recording
        if peer:
            peer.auth = load["nonce"]
        self.auths += 1
        reply["aes"] = key.encrypt(algo, self.aes.encode())
        reply["session"] = key.encrypt(algo, session.encode())
        if not self._aes_sig:
            self._aes_sig = self.key.private_encrypt(_digest(self.aes.encode()).hex().encode())
        reply["sig"] = self._aes_sig
        if self.pub_signatures:
            reply["pub_sig"] = self.pub_signatures[load.get("sig_algo", "PKCS1v15-SHA1")]
        return self._signed(load, reply)

    def _session(self, minion: str, key: PublicKey, now: float) -> str:
        """The session key of an accepted minion: the one that stands, or a new one where the public key is another,
        the old one is worn out, or the minion's clock went back."""
        finger, key_stat = fingerprint(key.pem), self.tree.key_stat(minion)
        if key_stat is None and not self.opts["open_mode"]:
            raise AuthError(f"{minion} is not accepted any more")
        peer = self.peers.get(minion)
        session = self.tree.session(minion, finger)
        if session is None and self.tree.has_session(minion) and self.opts["rotate_aes_key"]:
            self.rotate(now)  # the key was replaced in place: its former holder must read nothing more
        if session and (peer and peer.stale or self.tree.session_age(minion, now) > self.opts["publish_session"]):
            session = None
        if session is None:
            session = Crypticle.generate()
            self.tree.put_session(minion, session, finger)
            self.heard.pop(minion, None)
            self.peers.pop(minion, None)
            peer = None
        if key_stat and (peer is None or peer.key_stat != key_stat):
            peer = self._new_peer(minion, finger, key_stat, session)
        return session

    # keys that moved

    def look(self, now: float) -> list[Reply]:
        """Compare the tree with what it was, and do what KEY_MOVES says; gives the replies to held requests, in
        slices: call `answer_held` again while `ready` is not empty."""
        self.moved = 0
        if self.tree.changed():
            before, self.keys = self.keys, self.tree.scan(now)
            moved = [(minion, before[minion], (UNKNOWN, 0)) for minion in before.keys() - self.keys.keys()]
            moved += [
                (minion, before.get(minion, (UNKNOWN, 0)), after)
                for minion, after in self.keys.items()
                if before.get(minion) != after
            ]
            self.moved = len(moved)
            told = [words for move_ in moved if (words := self._moved(*move_))]
            for words in told if len(told) <= 20 else [f"{len(told)} keys, from {told[0]} to {told[-1]}"]:
                log.info("%s", words)
        if self._rotate_wanted:
            self.rotate(now)
        return self.answer_held(now)

    def _moved(self, minion: str, before: tuple[str, int], after: tuple[str, int]) -> str:
        """Do what KEY_MOVES says of one key; gives the words for the log, '' if there is nothing to tell."""
        was, now_is = before[0], after[0]
        if was == now_is:
            if was != ACCEPTED or not self._replaced(minion):
                return ""
            now_is = "replaced"
        for act in KEY_MOVES[was, now_is]:
            if act == FORGET:
                self.parted[minion] = self.last_heard(minion)
                self.peers.pop(minion, None)
                self.heard.pop(minion, None)
                self._rotate_wanted = self.opts["rotate_aes_key"]
                try:
                    self.tree.forget(minion)
                except OSError as error:
                    log.error("what is kept of %s cannot be removed: %s", minion, error)
            elif minion in self.held:
                self.ready[minion] = act
        if ACCEPTED not in (was, now_is) and now_is not in (REJECTED, "replaced"):
            return ""
        act = {ACCEPTED: "accept", REJECTED: "reject", "replaced": "accept"}.get(now_is, "delete")
        self.events.append(("salt/key", {"id": minion, "act": act, "result": True}))
        return f"{minion}: was {was}, is {now_is}"

    def _replaced(self, minion: str) -> bool:
        """Whether an accepted id's file holds another key than the one its session was made for."""
        try:
            key = self.tree.read_key(self.tree.key_path(ACCEPTED, minion))
        except (OSError, AuthError):
            return True
        return self.tree.session(minion, fingerprint(key.pem)) is None

    def answer_held(self, now: float, most: int = 20) -> list[Reply]:
        """Replies to held requests whose key has moved, `most` at a time: each costs a signature."""
        replies: list[Reply] = []
        for minion in list(self.ready)[:most]:
            act, held = self.ready.pop(minion), self.held.pop(minion, None)
            if held is None:
                continue
            try:
                reply = self._answer(act, minion, held, now)
            except (SaltError, OSError) as error:
                log.warning("%s could not be answered, and will ask again: %s", minion, error)
                continue
            if reply is not None:
                replies.append(Reply(held.envelope, reply))
        return replies

    def _answer(self, act: str, minion: str, held: Held, now: float) -> bytes | None:
        """The reply to a held `_auth`, decided by the tree as it is now, not by the event that woke us."""
        state, key = self.tree.stored_key(minion)
        if act == ANSWER and state == ACCEPTED and key and fingerprint(key.pem) == held.finger:
            event = {"result": True, "act": "accept", "id": minion, "pub": key.pem}
            self.events.append(("salt/auth", event))
            return self.credentials(held.load, key, now)
        return self._refuse(held.load, now) if state == REJECTED else None

    # the shared key

    def rotate(self, now: float) -> None:
        """A new shared key, on disk before it is used."""
        key = Crypticle.generate()
        self.tree.put_shared_key(key)
        self.aes, self.crypticle, self._aes_sig = key, Crypticle(key), b""
        self.made, self.serial, self._rotate_wanted = now, 0, False
        self.rotations += 1
        log.info("the shared key is renewed")

    def publication(self, load: dict[str, Any], now: float) -> bytes:
        """The frame that carries a job to all minions. The caller looks at the tree first, so that no minion whose
        key was removed before can read it."""
        if now - self.made > self.opts["publish_session"]:
            self.rotate(now)
        self.serial = max(self.serial + 1, int(now * 1_000_000))
        self.tree.stamp_shared_key(self.made, now)
        box = self.crypticle.dumps(load | {"serial": self.serial})
        algo = self.opts["publish_signing_algorithm"]
        return pack({"enc": "aes", "load": box, "sig_algo": algo, "sig": self.key.sign(algo, box)})

    def last_heard(self, minion: str) -> float:
        """When a minion last sent something, in seconds since the epoch; 0: never."""
        peer = self.peers.get(minion)
        return peer.heard if peer else self.heard.get(minion, (0, self.parted.get(minion, 0.0)))[1]

    def address(self, minion: str) -> str:
        """Where an accepted minion was last heard from, '' if that is not known."""
        peer = self.peers.get(minion)
        return peer.address if peer else self.heard[minion][3] if minion in self.heard else ""

    def save(self) -> None:
        """Remember across a restart what is needed to refuse repeats and to say when a minion was last heard."""
        for minion, peer in self.peers.items():
            last = [nonce.hex() for nonce, ts in peer.nonces.items() if ts == peer.newest]
            self.heard[minion] = (peer.newest, peer.heard, last, peer.address)
        self.tree.put_heard(self.heard)

    # handlers: (peer, load, now) -> object

    def ret(self, peer: Peer, load: dict[str, Any], now: float) -> str:
        """A minion's return; the jid that must be flushed before the ack."""
        if "return" not in load or "jid" not in load:
            raise PayloadError("a return without jid or return")
        self._check_signature(peer, load)
        return self.jobs.ret(peer.id, load, now)

    def _check_signature(self, peer: Peer, load: dict[str, Any]) -> None:
        """AuthError if a return is not signed, or signed wrongly, and the options refuse that."""
        if "sig" not in load:
            if self.opts["require_minion_sign_messages"]:
                raise AuthError("it is not signed, and require_minion_sign_messages is on")
            return
        key, sig = self.tree.read_key(self.tree.key_path(ACCEPTED, peer.id)), as_bytes(load["sig"])
        form = signed_form(load)
        if not any(key.verify(algo, sig, form) for algo in SIG_ALGOS):
            if self.opts["drop_messages_signature_fail"]:
                raise AuthError("its signature is wrong, and drop_messages_signature_fail is on")
            log.info("a return of %s is signed wrongly, and taken", peer.id)

    def minion_event(self, peer: Peer, load: dict[str, Any], now: float) -> None:
        """Events of a minion, under its own name only: the master composes the tag (R22). In an hour no minion fills
        more than an eighth of events.jsonl (R25), so that it cannot rotate away what others have done."""
        if self._hour != int(now // 3600):
            self._hour, self._told = int(now // 3600), {}
        told = self._told.get(peer.id, 0)
        many, left = load.get("events"), min(MAX_EVENT, self.opts["max_event_size"] // 8 - told)
        for event in many[:1000] if isinstance(many, list) else [load]:
            tag = event.get("tag") if isinstance(event, dict) else None
            if not isinstance(tag, str) or len(tag) > 256 or not tag.isprintable():
                continue
            try:
                data = bounded(event.get("data"), left)
                size = 256 + len(pack(data))
            except PayloadError as error:
                log.warning("the event %s of %s is not taken: %s", tag, peer.id, error)
                continue
            left, told = left - size, told + size
            self._told[peer.id] = told
            own = f"salt/minion/{peer.id}/"
            if tag == "minion_start":
                continue  # the same once more, as minions said it before salt/minion/ID/start
            if tag == f"{own}start":
                log.info("%s is up", peer.id)
            else:
                tag = f"{own}custom/{tag.removeprefix(own)}"
            self.events.append((tag, {"id": peer.id, "data": data}))

    def mine(self, peer: Peer, load: dict[str, Any], now: float) -> bool:
        """Put {fun: result} into the peer's mine, with `clear` in place of what is there; False if it is refused."""
        data, old = load.get("data"), self.tree.mine(peer.id)
        if not isinstance(data, dict):
            return False
        try:
            new = bounded(data if load.get("clear") else old | data, MAX_MINE)
        except PayloadError as error:
            log.warning("the mine of %s is not changed: %s", peer.id, error)
            return False
        if new != old:
            self.tree.put_mine(peer.id, new)
        return True

    def mine_delete(self, peer: Peer, load: dict[str, Any], now: float) -> bool:
        mine, fun = self.tree.mine(peer.id), load.get("fun")
        if fun in mine:
            self.tree.put_mine(peer.id, {name: value for name, value in mine.items() if name != fun})
        return True

    def mine_flush(self, peer: Peer, load: dict[str, Any], now: float) -> bool:
        """Remove all of the peer's mine; False, as in Salt, if there is nothing."""
        try:
            self.tree.flush_mine(peer.id)
        except FileNotFoundError:
            return False
        return True

    def mine_get(self, peer: Peer, load: dict[str, Any], now: float) -> dict[str, Any]:
        """What minions have put into the mine and the peer may see: {minion: value}, of several functions (or a list
        of one) {fun: {minion: value}}. Who is not known to match a target, or an entry's allow_tgt, is left out."""
        fun = load.get("fun")
        wanted = list(dict.fromkeys(fun.split(","))) if isinstance(fun, str) else fun
        if not isinstance(wanted, list) or len(wanted) > MAX_FUNCTIONS or not all(isinstance(f, str) for f in wanted):
            return {}
        minions = [minion for minion, (state, _) in self.keys.items() if state == ACCEPTED]
        # each of them may cost a regular expression that the peer has chosen
        facts = functools.partial(self.facts, budget=max(1000, 100 * REGEX_BUDGET // max(100, len(minions))))
        tgt_type = load.get("tgt_type", load.get("expr_form", "glob"))
        meant = certainly(load.get("tgt"), tgt_type, self.opts["nodegroups"], facts, exact=True)
        found: dict[str, dict[str, Any]] = {name: {} for name in wanted if self.may_get(peer, name)}
        allowed: dict[str, bool] = {}
        size = 0
        for minion in minions:
            mine = self.tree.mine(minion)
            entries = {name: mine[name] for name in found if name in mine}
            for name, entry in entries.items() if entries and meant(minion) else ():
                if isinstance(entry, dict) and MINE_ACL in entry:
                    key = to_json([entry.get("allow_tgt"), entry.get("allow_tgt_type")])
                    if key not in allowed:
                        allowed[key] = self.mine_allows(entry, peer)
                    if not allowed[key]:
                        continue
                    entry = entry.get("__data__")
                found[name][minion] = entry
                size += len(pack(entry))
                if size > self.opts["max_message_size"]:
                    raise PayloadError(f"the mine's {name} of all minions meant is larger than max_message_size")
        if isinstance(fun, str) and len(wanted) == 1:
            return found.get(fun, {})
        return {name: values for name, values in found.items() if values}

    def may_get(self, peer: Peer, fun: str) -> bool:
        """Whether the option mine_get lets the peer ask for a function's returns at all."""
        rules = self.opts["mine_get"]
        lists = [functions for minion, functions in rules.items() if _begins(minion, peer.id)]
        return not rules or any(_begins(each, fun) for listed in lists if isinstance(listed, list) for each in listed)

    def mine_allows(self, entry: dict[str, Any], peer: Peer) -> bool:
        """Whether an entry with an allow_tgt, or without, is for the peer."""
        if "allow_tgt" not in entry:
            return True
        tgt_type = entry.get("allow_tgt_type", "glob")
        return certainly(entry["allow_tgt"], tgt_type, self.opts["nodegroups"], self.facts)(peer.id)

    def facts(self, minion: str, budget: int = REGEX_BUDGET) -> Facts:
        """What is known here of an accepted minion."""
        grains = self.tree.grains(minion)
        grains = None if grains is None else grains | {"id": minion}  # whatever it says of itself
        return Facts(minion, grains, self.tree.pillar(minion), budget)

    def revoke_auth(self, peer: Peer, load: dict[str, Any], now: float) -> bool:
        """A minion has its own key deleted, which is then as if the operator had done so."""
        if not self.opts["allow_minion_key_revoke"]:
            log.warning("%s may not delete its key: allow_minion_key_revoke is False", peer.id)
            return False
        self.tree.remove_key(peer.id)
        log.info("%s: key deleted, as the minion asked", peer.id)
        return True

    def pillar(self, peer: Peer, load: dict[str, Any], now: float) -> dict[str, Any]:
        """The pillar of the asking minion, compiled for the grains it sends; both are kept to foresee who answers.

        A pillar with the minion's own additions is not what it will be targeted by, and is not kept."""
        grains = load["grains"] if isinstance(load.get("grains"), dict) else {}
        for name in ("grains", "pillar_override"):
            if weigh(load.get(name), MAX_GRAINS) > MAX_GRAINS:
                raise PayloadError(f"its {name} are more than {MAX_GRAINS} bytes or {MAX_PILLAR_DEPTH} levels")
        keep = self.opts["minion_data_cache"]
        if grains and keep:
            self.tree.put_grains(peer.id, grains)
        pillar = Pillar(self.pillar_files, self.opts, peer.id, grains, load).compile()
        if keep and not load.get("pillar_override"):
            self.tree.put_pillar(peer.id, pillar)
        return pillar

    def rekey(self, peer: Peer, load: dict[str, Any], now: float) -> dict[str, str]:
        """The shared key, for a minion that could not open a publication: no RSA at all (DESIGN.md 4)."""
        return {"aes": self.aes}

    def master_opts(self, peer: Peer, load: dict[str, Any], now: float) -> dict[str, Any]:
        """The options that state.* of a real minion asks for; of the file roots only the environments."""
        names = ENV_OPTIONS if load.get("env_only") else ENV_OPTIONS + STATE_OPTIONS
        roots: dict[str, list[str]] = {env: [] for env in self.files.envs(load, now)}
        return {"file_roots": roots} | {name: self.opts[name] for name in names}


ENV_OPTIONS = ("top_file_merging_strategy", "env_order", "default_top")
STATE_OPTIONS = (
    *("renderer", "failhard", "state_top", "state_top_saltenv", "nodegroups", "state_auto_order", "state_events"),
    *("state_aggregate", "jinja_env", "jinja_sls_env", "jinja_lstrip_blocks", "jinja_trim_blocks"),
)


def from_files(method: Callable[[FileServer, dict[str, Any], float], Any]) -> Request:
    """A request to the file server, which tells every minion the same."""
    return Request(lambda protocol, peer, load, now: method(protocol.files, load, now))


def _begins(expression: Any, text: str) -> bool:
    """Whether a regular expression of the operator matches from the beginning; one that is malformed does not."""
    return isinstance(expression, str) and not mistake(expression) and re.match(expression, text) is not None


MINE_ACL = "__saltmine_acl__"  # marks a mine entry that is {"__data__": value, "allow_tgt": …, "allow_tgt_type": …}


def bounded(value: Any, most: int) -> Any:
    """A value of a peer that will be kept; PayloadError if it takes more than `most` bytes, or is nested more deeply
    than those it is given to can read."""
    value = _text(value, MAX_DEPTH // 2)
    if (size := len(pack(value))) > most:
        raise PayloadError(f"it has {size} bytes, and {most} are allowed")
    return value


def empty(value: Any) -> Request:
    """A request for something this master has none of: the reply real Salt gives for nothing."""
    return Request(lambda protocol, peer, load, now: value)


REQUESTS = {  # the wire surface: cmd -> handler and sealing; `_auth` and `ping` are the only clear ones
    "_minion_event": Request(MasterProtocol.minion_event),
    "_return": Request(MasterProtocol.ret, ACK),
    "_pillar": Request(MasterProtocol.pillar, PRIVATE),
    "_rekey": Request(MasterProtocol.rekey),
    "_master_opts": Request(MasterProtocol.master_opts),
    "_master_tops": empty({}),
    "_ext_nodes": empty({}),
    "_register_resources": empty({}),
    "_mine": Request(MasterProtocol.mine),
    "_mine_get": Request(MasterProtocol.mine_get),
    "_mine_delete": Request(MasterProtocol.mine_delete),
    "_mine_flush": Request(MasterProtocol.mine_flush),
    "revoke_auth": Request(MasterProtocol.revoke_auth),
    "_file_envs": from_files(FileServer.envs),
    "_file_list": from_files(FileServer.file_list),
    "_file_list_emptydirs": from_files(FileServer.empty_dirs),
    "_dir_list": from_files(FileServer.dir_list),
    "_symlink_list": from_files(FileServer.symlink_list),
    "_file_hash": from_files(FileServer.hash),
    "_file_hash_and_stat": from_files(FileServer.hash_and_stat),
    "_file_find": from_files(FileServer.find),
    "_serve_file": from_files(FileServer.serve),
    "_file_recv": empty(False),  # cp.push: what a master says that takes no files
}


# ---- 13. Minion protocol ----------------------------------------------------------------------------------------
# One master's view of this minion, and what the minion does with what it hears. Nothing here ends the process, and
# nothing unsigned changes more than the time until the next try (SECURITY.md R16, R17).

START, AUTHENTICATING, WAITING, CONNECTED, REFUSED = "start", "authenticating", "pending", "connected", "refused"
GOT_CREDENTIALS, KEY_PENDING, KEY_REFUSED, FULL = "credentials", "key pending", "key refused", "full"
BAD_SIGNATURE, MASTER_CHANGED, TIMEOUT = "bad signature", "master changed", "timeout"
UNDECIPHERABLE, LOST, TOO_OFTEN, WAKE = "undecipherable", "lost", "lost too often", "wake"

MINION_STATES: dict[str, dict[str, tuple[str, str]]] = {
    # state -> event -> (next state, what the minion does). An event that a state does not list cannot happen there.
    START: {WAKE: (AUTHENTICATING, "authenticate")},
    AUTHENTICATING: {
        GOT_CREDENTIALS: (CONNECTED, "connect"),
        KEY_PENDING: (WAITING, "wait"),
        KEY_REFUSED: (REFUSED, "back_off"),
        FULL: (REFUSED, "back_off"),
        BAD_SIGNATURE: (REFUSED, "back_off"),
        MASTER_CHANGED: (REFUSED, "back_off"),
        TIMEOUT: (AUTHENTICATING, "authenticate"),
    },
    WAITING: {WAKE: (AUTHENTICATING, "authenticate")},
    REFUSED: {WAKE: (AUTHENTICATING, "authenticate")},
    CONNECTED: {
        UNDECIPHERABLE: (CONNECTED, "rekey"),
        LOST: (AUTHENTICATING, "authenticate"),
        TIMEOUT: (CONNECTED, "resend"),
        TOO_OFTEN: (REFUSED, "back_off"),
    },
}


class Undecipherable(AuthError):
    """A publication that the master signed, under a shared key that this minion has not got yet."""


class Unverified(Undecipherable):
    """A publication that this master's key, as it is known here, has not signed: a new key's, or anybody's."""


class MinionProtocol:
    """The conversation with one master, without sockets.

    `state` is a key of MINION_STATES; `why` says in a sentence what the last refusal was."""

    def __init__(self, opts: Mapping[str, Any], tree: MinionTree, key: PrivateKey) -> None:
        self.opts, self.tree, self.key = opts, tree, key
        self.id: str = opts["id"]
        self.state = START
        self.why = ""
        self.master = tree.master_key()
        self.publish_port = 0
        self.tok = key.private_encrypt(b"salt")
        self.session: Crypticle | None = None
        self.aes: Crypticle | None = None
        self._serial = 0
        self._nonce = self._token = ""

    def step(self, event: str) -> str:
        """Go to the next state; gives the action. StateError where the table has no row."""
        try:
            self.state, action = MINION_STATES[self.state][event]
        except KeyError:
            raise StateError(f"{event} cannot happen in state {self.state}") from None
        return action

    # authentication

    def auth_request(self) -> bytes:
        """An `_auth` (PROTOCOL.md 3.1); its nonce and token are kept for `auth_reply`."""
        opts = self.opts
        self._nonce, self._token = token(16).hex(), ""
        load: dict[str, Any] = {"cmd": "_auth", "id": self.id, "nonce": self._nonce, "pub": self.key.public.pem}
        load |= {"enc_algo": opts["encryption_algorithm"], "sig_algo": opts["signing_algorithm"]}
        if opts["autosign_grains"]:
            grains = self.tree.grains()
            load["autosign_grains"] = {name: grains.get(name) for name in opts["autosign_grains"]}
        if self.master:
            self._token = Crypticle.generate()
            load["token"] = self.master.encrypt(opts["encryption_algorithm"], self._token.encode())
        return pack({"enc": "clear", "load": load, "version": PROTOCOL_VERSION})

    def auth_reply(self, data: bytes) -> str:
        """Check a reply as PROTOCOL.md 3.3 lists it and give the event it is; `why` explains a refusal.

        Raises AuthError or PayloadError for what is no answer to our request: to be ignored."""
        outer = unpack(data)
        if not isinstance(outer, dict) or "load" not in outer:
            raise PayloadError("not an answer to _auth")
        if isinstance(outer["load"], dict):  # unsigned: `bad enc algo`, or anybody's invention
            self.why = f"the master, or somebody in between, answers {outer['load'].get('ret')!r}, unsigned"
            return KEY_REFUSED
        signed = as_bytes(outer["load"])
        inner = unpack(signed)
        if not isinstance(inner, dict) or inner.get("nonce") != self._nonce:
            raise AuthError("an answer to another _auth")
        master = self.master
        if "pub_key" in inner:
            master = PublicKey(str(inner["pub_key"]))
            if event := self._unwanted(master, inner):
                return event
        if master and not master.verify(self.opts["signing_algorithm"], as_bytes(outer.get("sig")), signed):
            self.why = "the answer is not signed by the master's key"
            return BAD_SIGNATURE
        if "aes" in inner:
            if master is None or "pub_key" not in inner:
                raise PayloadError("credentials without the master's key")
            return self._credentials(master, inner)
        self.why = "the master refuses this key: it is rejected or denied there (salt-key -L), or its id is not valid"
        return KEY_PENDING if inner.get("ret") is True else FULL if inner.get("ret") == "full" else KEY_REFUSED

    def _unwanted(self, master: PublicKey, inner: dict[str, Any]) -> str:
        """MASTER_CHANGED if this is not the pinned key, or not the one of master_finger, or if the signing key should
        vouch for it and does not; '' if it is welcome."""
        found, wanted, verify = fingerprint(master.pem), self.opts["master_finger"], "verify_master_pubkey_sign"
        known = self.master and self.master.pem == master.pem
        if self.opts[verify] and (not known or self.opts["always_verify_signature"]):
            if not self._vouched(inner):
                return MASTER_CHANGED
        elif self.master and not known:
            path = self.tree.pki / "minion_master.pub"
            self.why = f"the master's key has changed: {path} holds {fingerprint(self.master.pem)}, the master has "
            self.why += f"{found}; if that is right, remove the file"
            return MASTER_CHANGED
        if wanted and not self.master and wanted.lower() != found:
            self.why = f"the master's key has the fingerprint {found}, but master_finger is {wanted}"
            return MASTER_CHANGED
        return ""

    def _vouched(self, inner: dict[str, Any]) -> bool:
        """Whether `pub_sig` is the signing key's signature of this master's key (PROTOCOL.md 3.3)."""
        name, algo = self.opts["master_sign_key_name"], self.opts["signing_algorithm"]
        self.why = f"{self.tree.pki / name}.pub does not vouch for the master's key, as verify_master_pubkey_sign wants"
        try:
            sig = binascii.a2b_base64(as_bytes(inner.get("pub_sig")))
            return self.tree.signing_key(name).verify(algo, sig, as_bytes(inner["pub_key"]))
        except (OSError, ValueError, SaltError) as error:
            self.why += f": {error}"
            return False

    def _credentials(self, master: PublicKey, inner: dict[str, Any]) -> str:
        algo = self.opts["encryption_algorithm"]
        try:
            aes = self.key.decrypt(algo, as_bytes(inner["aes"])).decode()
            session = self.key.decrypt(algo, as_bytes(inner.get("session"))).decode()
            if master.recover(as_bytes(inner.get("sig"))).decode() != _digest(aes.encode()).hex():
                raise AuthError("the shared key is not signed by the master")
            changed = self.master and self.master.pem != master.pem
            sent = "" if changed else self._token  # else it was sealed for the former key
            if sent and self.key.decrypt(algo, as_bytes(inner.get("token"))).decode() != sent:
                raise AuthError("the master could not open our token")
            self.session = Crypticle(session)
            self.new_aes(aes)
        except (AuthError, PayloadError, UnicodeDecodeError) as error:
            self.why = f"the credentials do not hold: {error}"
            return BAD_SIGNATURE
        port = inner.get("publish_port")
        self.publish_port = port if isinstance(port, int) and 0 < port < 65536 else 4505
        if self.master is None or changed:
            self.tree.put_master_key(master.pem)  # last of all: whatever is refused pins nothing
            self.master = master
        return GOT_CREDENTIALS

    def new_aes(self, key: str) -> None:
        """Take the shared key; the same key again keeps the serials counted so far (PROTOCOL.md 1.2)."""
        if self.aes is None or self.aes.key != key:
            self.aes, self._serial = Crypticle(key), 0

    # requests

    def request(self, load: dict[str, Any], now: float) -> bytes:
        """A request in the session box; its nonce is kept for `reply`."""
        assert self.session
        self._nonce = token(16).hex()
        opts = self.opts
        load = load | {"nonce": self._nonce, "ts": int(now), "tok": self.tok, "id": self.id}
        if opts["minion_sign_messages"]:
            with contextlib.suppress(PayloadError):  # too large for saltlite's own masters
                load = unpack(pack(load)) | {"tok": self.tok}  # as its reader has it: bytes may be texts there
                load["sig"] = self.key.sign(opts["signing_algorithm"], signed_form(load))
        message = {"enc": "aes", "load": self.session.dumps(load), "version": PROTOCOL_VERSION, "id": self.id}
        return pack(message | {"enc_algo": opts["encryption_algorithm"], "sig_algo": opts["signing_algorithm"]})

    def reply(self, data: bytes) -> Any:
        """The object in the reply to the last request; AuthError if the master refuses the session (`bad load`)."""
        assert self.session
        outer = unpack(data)
        if isinstance(outer, dict) and "key" in outer and "pillar" in outer:
            return self._private(outer)
        box = as_bytes(outer)
        if box == b"bad load" or len(box) < 64:
            raise AuthError("the master refuses the session")
        return self.session.loads(box, self._nonce)

    def _private(self, outer: dict[str, Any]) -> Any:
        """A pillar reply: its own key, the master's signature over key, pillar and nonce (PROTOCOL.md 9)."""
        assert self.master
        sealed = as_bytes(outer["key"])
        key = self.key.decrypt(self.opts["encryption_algorithm"], sealed).decode("ascii", "replace")
        signed = Crypticle(key).loads(as_bytes(outer["pillar"]))
        if not isinstance(signed, dict):
            raise PayloadError("not a pillar")
        data = as_bytes(signed.get("data"))
        if not self.master.verify(self.opts["signing_algorithm"], as_bytes(signed.get("sig")), data):
            raise AuthError("the pillar is not signed by the master")
        inner = unpack(data)
        if inner.get("nonce") != self._nonce or as_bytes(inner.get("key")) != sealed:
            raise AuthError("the pillar answers another request")
        return inner.get("pillar")

    # publications

    def publication(self, frames: list[bytes]) -> dict[str, Any]:
        """The load of a publication of one or two frames, verified before it is opened (R15).

        Raises Undecipherable if the shared key is another, AuthError or PayloadError if it is to be ignored."""
        outer = unpack(frames[-1])
        if not isinstance(outer, dict) or outer.get("enc") != "aes":
            raise PayloadError("not an encrypted publication")
        box, algo = as_bytes(outer.get("load")), str(outer.get("sig_algo"))
        if self.master is None or self.aes is None:
            raise Undecipherable("not authenticated yet")
        if "sig" not in outer or not self.master.verify(algo, as_bytes(outer["sig"]), box):
            # a master that may have a new key is asked; its refusal brings an authentication, which shows the key
            kind = Unverified if self.opts["verify_master_pubkey_sign"] else AuthError
            raise kind("a publication is not signed by the master")
        try:
            load = self.aes.loads(box)
        except AuthError as error:
            raise Undecipherable(str(error)) from None
        if not isinstance(load, dict) or not {"tgt", "jid", "fun", "arg"} <= load.keys():
            raise PayloadError("a publication without tgt, jid, fun or arg")
        serial = load.pop("serial", None)
        if serial is not None:
            if not isinstance(serial, int) or serial <= self._serial:
                raise AuthError("a publication is repeated")
            self._serial = serial
        jid, functions = str(load["jid"]), load["fun"] if isinstance(load["fun"], list) else [load["fun"]]
        if not MINION_JID.fullmatch(jid) or not functions or not all(isinstance(fun, str) for fun in functions):
            raise PayloadError("a publication with an odd jid or function")
        return load | {"jid": jid}


def pillar_load(
    opts: Mapping[str, Any],
    grains: Mapping[str, Any],
    override: Mapping[str, Any] | None = None,
    pillarenv: str | None = None,
) -> dict[str, Any]:
    """A `_pillar` request, which carries the grains (PROTOCOL.md 9)."""
    load = {"cmd": "_pillar", "grains": grains, "saltenv": opts["saltenv"] or None}
    load |= {"pillarenv": pillarenv or opts["pillarenv"] or None, "pillar_override": dict(override or {})}
    return load | {"extra_minion_data": {}, "ver": "2"}


# ---- 14. Execution functions ------------------------------------------------------------------------------------
# The functions that the wire itself needs, with the signature (minion, ...). All others are module files in Salt's
# own form, etc/salt/modules/NAME.py, which the child of a job reads when it needs them: an idle minion holds none.

EXECUTION: dict[str, Callable[..., Any]] = {}  # "test.ping" -> function
INSTANT = {"test.echo", "test.false", "test.ping", "test.true", "test.version"}  # touch nothing: run in the loop


def execution(function: Callable[..., Any]) -> Callable[..., Any]:
    """Record a function under its name, the first underscore a dot: sys_list_functions is sys.list_functions."""
    EXECUTION[function.__name__.rstrip("_").replace("_", ".", 1)] = function
    return function


@execution
def sys_argspec(minion, module=""):
    """The arguments of the functions that match: args, defaults, varargs, kwargs by name.

    CLI Example: salt '*' sys.argspec test.arg"""
    found = {}
    for name in _selected(minion, module):
        parameters = inspect.signature(minion.functions[name]).parameters.values()
        args = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        found[name] = {
            "args": [p.name for p in args] or None,
            "defaults": [p.default for p in args if p.default is not p.empty] or None,
            "varargs": True if any(p.kind is p.VAR_POSITIONAL for p in parameters) else None,
            "kwargs": True if any(p.kind is p.VAR_KEYWORD for p in parameters) else None,
        }
    return found


@execution
def sys_doc(minion, *args):
    """The documentation of all functions, or of those named or matched by a glob.

    CLI Example: salt '*' sys.doc test.ping"""
    wanted = [name for arg in args or ("",) for name in _selected(minion, arg)]
    docs = {name: inspect.getdoc(minion.functions[name]) or "" for name in wanted}
    return {name: doc + "\n" for name, doc in docs.items() if doc}


@execution
def sys_list_functions(minion, *args):
    """The names of all functions, or of those of the modules named or matched by a glob.

    CLI Example: salt '*' sys.list_functions test"""
    return sorted({name for arg in args or ("",) for name in _selected(minion, arg)})


@execution
def sys_list_modules(minion, *args):
    """The names of all modules, or of those that match a glob.

    CLI Example: salt '*' sys.list_modules 'c*'"""
    modules = {name.partition(".")[0] for name in minion.functions}
    return sorted(m for m in modules if not args or any(fnmatch.fnmatchcase(m, str(arg)) for arg in args))


def _selected(minion: Execution, word: str) -> list[str]:
    """The functions that a word means: all, a module's, one, or a glob's."""
    return [
        name
        for name in minion.functions
        if not word or name == word or name.startswith(f"{word.rstrip('.')}.") or fnmatch.fnmatchcase(name, word)
    ]


@execution
def test_echo(minion, text):
    """Give back the text.

    CLI Example: salt '*' test.echo 'foo bar'"""
    return text


@execution
def test_false_(minion):
    """Always False.

    CLI Example: salt '*' test.false"""
    return False


@execution
def test_ping(minion):
    """True: this minion is up and hears its master. No ICMP is sent.

    CLI Example: salt '*' test.ping"""
    return True


@execution
def test_true_(minion):
    """Always True.

    CLI Example: salt '*' test.true"""
    return True


@execution
def test_version(minion):
    """The Salt release whose wire this minion speaks.

    CLI Example: salt '*' test.version"""
    return SALT_VERSION


# How a function is run: what comes out is the load of a `_return` (PROTOCOL.md 8).

Function = Callable[..., Any]


class Functions(Mapping[str, Function]):
    """All execution functions by name, `cmd.run`: the script's own, then those of module files.

    A module file is a Salt custom module, NAME.py (or its __virtualname__), in one of `directories`; of two files of
    one name the one in the later directory counts. A file is read when a function of it is asked for."""

    def __init__(self, minion: Execution, directories: Iterable[Path], own: Mapping[str, Function] = EXECUTION) -> None:
        self.minion = minion
        self.files: dict[str, Path] = {}
        for directory in directories:
            with contextlib.suppress(OSError):
                self.files |= {path.stem: path for path in sorted(directory.glob("*.py")) if path.stem[0] != "_"}
        self.why: dict[str, str] = {}  # module -> why it is not there
        self.outputter: dict[str, str | None] = {}  # function -> the `out` of its return
        self._found: dict[str, Function] = {n: types.MethodType(function, minion) for n, function in own.items()}
        self._unread = dict(self.files)

    def __getitem__(self, name: str) -> Function:
        module = name.partition(".")[0]
        if module in self._unread:
            self._read(module)
        if name not in self._found:
            self._read_all()  # it may be a __virtualname__
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        self._read_all()
        return iter(sorted(self._found))

    def __len__(self) -> int:
        self._read_all()
        return len(self._found)

    def _read_all(self) -> None:
        for stem in list(self._unread):
            self._read(stem)

    def _read(self, stem: str) -> None:
        path = self._unread.pop(stem)
        try:
            module = read_module(path, self.dunders())
            verdict, why = verdict_of(module)
        except Exception as error:  # whatever a site's file may raise
            self.why[stem] = why_not(path, error)
            return
        name = verdict if isinstance(verdict, str) else getattr(module, "__virtualname__", stem)
        if not verdict:
            self.why[stem] = why
            self.why.setdefault(name, why)  # unless another file gives the module, or has said why it does not
            return
        self.why[name] = ""
        alias, outputter = getattr(module, "__func_alias__", {}), getattr(module, "__outputter__", {})
        for attribute, function in vars(module).items():
            own = callable(function) and getattr(function, "__module__", None) == module.__name__
            if own and not attribute.startswith("_") and not isinstance(function, type):
                fun = f"{name}.{alias.get(attribute, attribute)}"
                self._found[fun] = function
                self.outputter[fun] = outputter.get(attribute)

    def dunders(self) -> dict[str, Any]:
        """What a Salt module finds among its globals."""
        minion = self.minion
        opts = dict(minion.opts) | {"grains": minion.grains, "pillar": minion.pillar}
        return {
            "__opts__": opts,
            "__grains__": minion.grains,
            "__pillar__": minion.pillar,
            "__salt__": minion.functions,
            "__utils__": minion.utils,
            "__context__": minion.context,
        }


def read_module(path: Path, dunders: Mapping[str, Any]) -> types.ModuleType:
    """Execute a module file with Salt's dunders among its globals, and its __init__(opts) if it has one; raises
    whatever the file raises."""
    import importlib.util

    name = f"saltlite_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look for it there
    vars(module).update(dunders)
    spec.loader.exec_module(module)
    if isinstance(start := vars(module).get("__init__"), types.FunctionType):
        start(dunders["__opts__"])
    return module


def verdict_of(module: types.ModuleType) -> tuple[Any, str]:
    """What __virtual__ says: False, True or a name, and why not; raises whatever it raises."""
    verdict = module.__virtual__() if hasattr(module, "__virtual__") else True
    verdict, *reasons = verdict if isinstance(verdict, tuple) else (verdict,)
    why = " ".join(str(reason) for reason in reasons) or f"{module.__file__} says that it is not for this machine"
    return verdict, "" if verdict else why.rstrip(".")


def why_not(path: Path, error: Exception) -> str:
    """Why a module file is not there, whatever it has raised."""
    if isinstance(error, ImportError) and str(error.name).partition(".")[0] == "salt":
        return f"{path} needs Salt's own library ({error.name}), and Salt is not installed here"
    return f"{path} cannot be read: {type(error).__name__}: {error}"


def module_directories(opts: Mapping[str, Any], kind: str) -> list[Path]:
    """Where files of a kind (`modules`, `_grains`) are looked for, the later winning: packed with this script,
    <config>/KIND, module_dirs, and what was synchronised from the master."""
    packed = Path(__file__).resolve().parent / "etc" / "salt" / kind
    found = [packed, Path(opts["conf_dir"]) / kind]
    found += [Path(directory) / kind.strip("_") for directory in opts.get("module_dirs", [])]
    return [*found, Path(opts["cachedir"]) / "extmods" / kind.strip("_")]


def collect_grains(opts: Mapping[str, Any]) -> dict[str, Any]:
    """This machine's grains: what the functions in the `_grains` files give, over that the file <config>/grains, over
    that the option `grains`. A function that fails costs its own grains only."""
    files: dict[str, Path] = {}
    for directory in module_directories(opts, "_grains"):
        with contextlib.suppress(OSError):
            files |= {path.stem: path for path in sorted(directory.glob("*.py"))}
    grains: dict[str, Any] = {"id": opts["id"], "master": master_list(opts)[0], "saltlite": VERSION}
    grains["saltpath"] = str(Path(__file__).resolve().parent)
    grains["saltversion"] = SALT_VERSION
    grains["saltversioninfo"] = [int(part) for part in SALT_VERSION.split(".")]
    for path in files.values():
        try:
            module = read_module(path, {"__opts__": dict(opts), "__grains__": grains})
            verdict, why = verdict_of(module)
        except Exception as error:
            verdict, why = False, why_not(path, error)
            log.error("the grains of %s are missing: %s", path, why)
        if not verdict:
            continue
        for name, function in list(vars(module).items()):
            own = getattr(function, "__module__", None) == module.__name__ and not isinstance(function, type)
            if own and callable(function) and not name.startswith("_"):
                try:
                    grains |= (
                        function(grains) if "grains" in inspect.signature(function).parameters else function()
                    ) or {}
                except Exception as error:
                    log.error("the grains of %s, %s() are missing: %s: %s", path, name, type(error).__name__, error)
    path = Path(opts["conf_dir"]) / "grains"
    try:
        own_grains = read_yaml(path) if path.exists() else None
    except Failure as error:
        own_grains = None
        log.error("%s", error)
    return grains | (own_grains if isinstance(own_grains, dict) else {}) | opts["grains"]


class Execution:
    """What execution functions get as `minion`: this machine's options, grains and pillar, and the job they run in."""

    def __init__(
        self,
        opts: Mapping[str, Any],
        tree: MinionTree,
        load: Mapping[str, Any] | None = None,
        directories: Iterable[Path] | None = None,
        master: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self.opts, self.tree, self.load, self.directories = opts, tree, dict(load or {}), directories
        self.jid: str = self.load.get("jid", "")
        self.schedule: Schedule | None = None  # the minion's own, for functions that run in its loop
        self.context: dict[str, Any] = {}  # a function sets "retcode" here to make its job fail
        self._master = master

    @functools.cached_property
    def grains(self) -> dict[str, Any]:
        return self.tree.grains() or collect_grains(self.opts)

    @functools.cached_property
    def pillar(self) -> dict[str, Any]:
        return self.tree.pillar()

    def ask(self, load: dict[str, Any]) -> Any:
        """The master's answer to a request, {"cmd": "_mine_get", …}; CommandExecutionError where none can be had."""
        if self._master is None:
            raise CommandExecutionError("There is no master to ask: this runs with --local.")
        try:
            return self._master(load)
        except (SaltError, OSError) as error:
            raise CommandExecutionError(f"The master could not be asked: {error}") from None

    @functools.cached_property
    def functions(self) -> Functions:
        where = module_directories(self.opts, "modules") if self.directories is None else self.directories
        return Functions(self, where)

    @functools.cached_property
    def utils(self) -> Functions:
        return Functions(self, module_directories(self.opts, "utils"), {})

    def run(self, fun: str, arg: list[Any]) -> tuple[Any, int, bool]:
        """Run one function of a job; gives return, retcode, success, and whatever it raises becomes a return."""
        self.context.pop("retcode", None)
        try:
            function = self.functions[fun]
        except KeyError:
            why = self.functions.why.get(fun.partition(".")[0])
            close = "" if why else nearest(fun, self.functions)
            return f"'{fun}' is not available." + (f" {why}." if why else close.replace("; did", " Did")), 1, False
        try:
            args, kwargs = self.arguments(function, arg)
        except CommandExecutionError as error:
            return f"ERROR executing '{fun}': {error}", 1, False
        try:
            inspect.signature(function).bind(*args, **kwargs)
        except TypeError as error:
            doc = inspect.cleandoc(function.__doc__ or "")
            return f"Passed invalid arguments to {fun}: {error}\n\n{doc}", 1, False
        try:
            result = function(*args, **kwargs)
        except SystemExit as error:
            return f"The function {fun} wanted to end the minion ({error!r}), which it may not.", 1, False
        except Exception as error:
            if {kind.__name__ for kind in type(error).__mro__} & SENTENCES:
                return f"ERROR: {error}", 1, False
            return f"The minion function caused an exception: {traceback.format_exc()}", 1, False
        failed = isinstance(result, dict) and not all(result.get(name, True) for name in ("result", "success"))
        return result, self.context.get("retcode", 0) or int(failed), True

    def arguments(self, function: Function, arg: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        """args and kwargs of a job's `arg`: the map with `__kwarg__`, and `k=v` words that the function knows."""
        known = inspect.signature(function).parameters
        raw = "schedule" in self.load  # its args were never words of a command line
        anything = any(p.kind is p.VAR_KEYWORD for p in known.values())
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for item in arg:
            if isinstance(item, dict) and item.get("__kwarg__"):
                kwargs |= {str(k): v for k, v in item.items() if k != "__kwarg__"}
            elif isinstance(item, str) and not raw and (found := re.match(r"([^\d\W]\w*)=(?!=)(.*)", item, re.DOTALL)):
                if found[1] in known or anything:
                    kwargs[found[1]] = yaml_word(found[2])
                else:
                    args.append(item)
            else:
                args.append(item)
        unknown = [name for name in kwargs if not anything and name not in known and not name.startswith("__pub_")]
        if unknown:
            raise CommandExecutionError(
                "The following keyword arguments are not valid: " + ", ".join(f"{n}={kwargs[n]}" for n in unknown)
            )
        if anything:
            kwargs |= {f"__pub_{name}": self.load[name] for name in PUB_FIELDS if name in self.load}
        return args, {name: value for name, value in kwargs.items() if anything or name in known}

    def run_job(self) -> dict[str, Any]:
        """Run the job this was made for, one function or several; gives the load of its `_return`."""
        load = self.load
        many = isinstance(load["fun"], list)
        functions = load["fun"] if many else [load["fun"]]
        args = load["arg"] if many else [load["arg"]]
        results = {}
        for number, fun in enumerate(functions):
            arg = args[number] if number < len(args) and isinstance(args[number], list) else []
            results[fun] = self.run(fun, arg)
        returns: list[Any] = [{fun: r[i] for fun, r in results.items()} for i in range(3)]
        if not many:
            returns = list(results[load["fun"]])
        made = make_return(self.opts, load, *returns)
        if not many and (out := self.functions.outputter.get(load["fun"])):
            made.setdefault("out", out)
        return made


SENTENCES = {"CommandExecutionError", "Failure", "SaltInvocationError"}  # errors whose text is meant for the user
PUB_FIELDS = ("fun", "arg", "tgt", "jid", "ret", "tgt_type", "user")


def make_return(
    opts: Mapping[str, Any], load: Mapping[str, Any], ret: Any, retcode: Any, success: Any
) -> dict[str, Any]:
    """The load of a `_return`; a return of more than max_return_size bytes becomes a sentence that says so."""
    most, problem = opts["max_return_size"], ""
    try:
        packed = pack(ret)
        if (size := len(packed)) > most + 65536:  # the output of commands alone is cut to max_return_size
            problem = f"The return is not sent: it is larger than max_return_size ({size} > {most} bytes)."
        _text(unpack(packed), 1)  # what a master would refuse for its depth or its keys, again and again
    except Exception as error:  # an object that no msgpack can carry, or one that contains itself
        problem = f"The return cannot be sent: {type(error).__name__}: {error}"
    if problem:
        ret, retcode, success = problem, 1, False
    made = {"cmd": "_return", "id": opts["id"], "return": ret, "retcode": retcode}
    if isinstance(success, dict):
        made["success"] = {fun: ran and not retcode[fun] for fun, ran in success.items()}
    else:
        made["success"] = success and not retcode
    made |= {"jid": load["jid"], "fun": load["fun"], "fun_args": load["arg"], "user": load.get("user", "root")}
    made |= {name: load[name] for name in ("metadata", "master") if name in load}
    if "schedule" in load:  # the master has never heard of this job
        made |= {name: load[name] for name in ("schedule", "tgt", "tgt_type", "arg") if name in load}
    if success is False:
        made["out"] = "nested"  # as Salt marks what could not be run at all
    return made


# event, mine and pillar: what is said to the master, and asked of it


@execution
def event_fire(minion, data, tag):
    """Fire an event. A minion has no event bus of its own here, so this is event.fire_master.

    CLI Example: salt '*' event.fire '{"data": "mine"}' my/tag"""
    return event_fire_master(minion, data, tag)


@execution
def event_fire_master(minion, data, tag, preload=None):
    """Fire an event at the master; a map `preload` is laid over the request.

    CLI Example: salt '*' event.fire_master '{"data": "mine"}' my/tag"""
    load = {"id": minion.opts["id"], "tag": tag, "data": data or {}, "pretag": None}
    minion.ask(load | (preload if isinstance(preload, dict) else {}) | {"cmd": "_minion_event"})
    return True


@execution
def event_send(
    minion,
    tag,
    data=None,
    preload=None,
    with_env=False,
    with_grains=False,
    with_pillar=False,
    with_env_opts=False,
    **kwargs,
):
    """Fire an event at the master, with the keyword arguments and, over them, the map `data` as its data. with_env,
    with_grains and with_pillar add that as well: all of it, or the names in a list; with_env_opts adds saltenv and
    pillarenv.

    CLI Example: salt-call event.send my/tag foo=bar with_grains='[os]'"""
    sources = {"environ": (with_env, dict(os.environ)), "grains": (with_grains, minion.grains)}
    sources["pillar"] = with_pillar, minion.pillar
    found = {
        name: {key: value for key, value in source.items() if not isinstance(wanted, list) or key in wanted}
        for name, (wanted, source) in sources.items()
        if wanted
    }
    options = {"saltenv": minion.opts["saltenv"] or "base", "pillarenv": minion.opts["pillarenv"] or None}
    given = _own(kwargs) | (data if isinstance(data, dict) else {})
    return event_fire_master(minion, {**found, **(options if with_env_opts else {}), **given}, tag, preload)


def _own(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments without those that tell of the job."""
    return {name: value for name, value in kwargs.items() if not name.startswith("__pub_")}


@execution
def mine_delete(minion, fun):
    """Remove one function's return from this minion's mine.

    CLI Example: salt '*' mine.delete network.ip_addrs"""
    return bool(minion.ask({"cmd": "_mine_delete", "id": minion.opts["id"], "fun": fun}))


@execution
def mine_flush(minion):
    """Remove all of this minion's mine; False if there is nothing.

    CLI Example: salt '*' mine.flush"""
    return bool(minion.ask({"cmd": "_mine_flush", "id": minion.opts["id"]}))


@execution
def mine_get(minion, tgt, fun, tgt_type="glob", exclude_minion=False):
    """What minions have put into the mine: {minion: value}, for several functions (a list, or with commas between)
    {function: {minion: value}}. In targets pillar is compared exactly.

    CLI Example: salt '*' mine.get 'os:Debian' network.ip_addrs grain"""
    load = {"cmd": "_mine_get", "id": minion.opts["id"], "tgt": tgt, "fun": fun, "tgt_type": tgt_type}
    found = minion.ask(load)
    if not isinstance(found, dict):
        raise CommandExecutionError("The master could not look into the mine; its log says why.")
    if exclude_minion:
        found.pop(minion.opts["id"], None)
    return found


@execution
def mine_send(minion, name, *args, **kwargs):
    """Run a function and put its return into the mine, by its name or, with mine_function=, by any other. Only minions
    that match allow_tgt (allow_tgt_type: glob) may then ask for it. False if it could not be run or was not taken.

    CLI Example: salt '*' mine.send eth0 network.ip_addrs mine_function=network.ip_addrs interface=eth0"""
    found = _mine_returns(minion, {name: [*args, _own(kwargs)]})
    return bool(found) and _mine_put(minion, found, False)


@execution
def mine_update(minion, clear=False, mine_functions=None):
    """Run the functions in mine_functions (of the pillar, of the configuration, or as given) and put their returns into
    the mine, with clear=True in place of all that is there. A function that fails costs its own value only.

    CLI Example: salt '*' mine.update"""
    wanted = _mine_functions(mine_functions) or _mine_functions(*_mine_sources(minion))
    return _mine_put(minion, _mine_returns(minion, wanted), clear) if wanted else None


@execution
def mine_valid(minion):
    """The functions of mine_functions that are there: {name: arguments}, or {name: {function: arguments}}.

    CLI Example: salt '*' mine.valid"""
    found = {}
    wanted = _mine_functions(*_mine_sources(minion))
    for name, definition in wanted.items():
        fun, args, kwargs, _ = _mine_definition(name, definition)
        if fun in minion.functions:
            listed = [*args, *({key: value} for key, value in kwargs.items())]
            found[name] = definition if fun == name else {fun: listed}
    return found if wanted else None


def _mine_sources(minion: Execution) -> tuple[Any, ...]:
    """mine_functions of the master (in the pillar with pillar_opts), of the pillar and of the options, which win."""
    master = minion.pillar.get("master")
    found = (minion.pillar, master if isinstance(master, dict) else {}, minion.opts)
    return tuple(source.get("mine_functions") for source in found)


def _mine_functions(*sources: Any) -> dict[str, Any]:
    """{name: definition} of maps, and of lists whose members are names or maps; the later win."""
    found: dict[str, Any] = {}
    for source in sources:
        for each in source if isinstance(source, list) else [source]:
            found |= each if isinstance(each, dict) else {each: []} if isinstance(each, str) else {}
    return found


def _mine_definition(name: str, definition: Any) -> tuple[str, list[Any], dict[str, Any], dict[str, Any]]:
    """The function, args, kwargs and allow_tgt of an entry of mine_functions: a map of keyword arguments, or a list of
    arguments and such maps."""
    listed = definition if isinstance(definition, list) else [definition] if isinstance(definition, dict) else []
    args = [item for item in listed if not isinstance(item, dict)]
    kwargs = {key: value for item in listed if isinstance(item, dict) for key, value in item.items()}
    acl = {key: value for key in ("allow_tgt", "allow_tgt_type") if (value := kwargs.pop(key, None))}
    return kwargs.pop("mine_function", None) or name, args, kwargs, acl


def _mine_returns(minion: Execution, definitions: Mapping[str, Any]) -> dict[str, Any]:
    """{name: what goes into the mine}; a function that fails is logged, and left out."""
    found = {}
    for name, definition in definitions.items():
        fun, args, kwargs, acl = _mine_definition(name, definition)
        try:
            if fun not in minion.functions:
                raise CommandExecutionError("it is not available")
            value = minion.functions[fun](*args, **kwargs)
        except Exception as error:
            log.error("%s does not go into the mine: %s: %s", fun, type(error).__name__, error)
            continue
        found[name] = {"__data__": value, MINE_ACL: 1, **acl} if "allow_tgt" in acl else value
    return found


def _mine_put(minion: Execution, data: dict[str, Any], clear: bool) -> bool:
    return bool(minion.ask({"cmd": "_mine", "id": minion.opts["id"], "data": data, "clear": clear}))


@execution
def pillar_get(
    minion,
    key,
    default="",
    merge=False,
    merge_nested_lists=False,
    delimiter=":",
    pillarenv=None,
    saltenv=None,
    unmask=True,  # of Salt 3008, which masks values; here they are shown, as in all releases before
):
    """A value of the pillar in memory, `a:b` of map in map, else the default; merge=True lays it over the default.
    With pillarenv the master is asked for that environment's.

    CLI Example: salt '*' pillar.get pkg:apache"""
    found = traverse(_pillar(minion, pillarenv, saltenv), str(key).split(delimiter))
    if found is NOTHING:
        return default
    if merge and isinstance(default, dict) and isinstance(found, dict):
        return merged(default, found, merge_nested_lists)
    if merge and isinstance(default, list) and isinstance(found, list):
        return [*default, *(each for each in found if each not in default)]
    return found


@execution
def pillar_item(minion, *args, default="", delimiter=":", pillarenv=None, saltenv=None, unmask=True):
    """{key: value} of one or more keys of the pillar in memory.

    CLI Example: salt '*' pillar.item foo bar:baz"""
    pillar = _pillar(minion, pillarenv, saltenv)
    return {key: traverse(pillar, str(key).split(delimiter), default) for key in args}


@execution
def pillar_items(minion, *args, pillar=None, pillarenv=None, saltenv=None, unmask=True):
    """The pillar, fetched anew from the master; `pillar` is laid over it there. With keys: pillar.item.

    CLI Example: salt '*' pillar.items"""
    if args:
        return pillar_item(minion, *args, pillarenv=pillarenv, saltenv=saltenv)
    found = minion.ask(pillar_load(minion.opts, minion.grains, pillar, pillarenv))
    if not isinstance(found, dict):
        raise CommandExecutionError("The master could not make the pillar; its log says why.")
    return found


@execution
def pillar_keys(minion, key, delimiter=":"):
    """The keys of a map in the pillar in memory.

    CLI Example: salt '*' pillar.keys web:sites"""
    found = traverse(minion.pillar, str(key).split(delimiter))
    if found is NOTHING or not isinstance(found, dict):
        raise CommandExecutionError(f"Pillar key not found: {key}" if found is NOTHING else f"{key} is not a map.")
    return list(found)


@execution
def pillar_ls(minion, *args, **kwargs):
    """The keys of the pillar, fetched anew from the master.

    CLI Example: salt '*' pillar.ls"""
    return list(pillar_items(minion, *args, **_own(kwargs)))


@execution
def pillar_raw(minion, key=None):
    """The pillar in memory, or what it has under one key.

    CLI Example: salt '*' pillar.raw key=roles"""
    return minion.pillar.get(key, {}) if key else minion.pillar


EXECUTION |= {"pillar.data": pillar_items, "pillar.fetch": pillar_get}


def _pillar(minion: Execution, pillarenv: str | None, saltenv: str | None) -> Any:
    """The pillar in memory or, where an environment is named, that environment's."""
    return minion.pillar if pillarenv is saltenv is None else pillar_items(minion, pillarenv=pillarenv)


def merged(under: Mapping[Any, Any], over: Mapping[Any, Any], lists: bool = False) -> dict[Any, Any]:
    """Both maps, `over` winning, maps in maps likewise, and with `lists` lists put together."""
    found = dict(under)
    for key, value in over.items():
        old = found.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = merged(old, value, lists)
        elif lists and isinstance(old, list) and isinstance(value, list):
            value = [*old, *(each for each in value if each not in old)]
        found[key] = value
    return found


# saltutil and match: what looks at jobs and targets from inside


@execution
def match_compound(minion, tgt, minion_id=None):
    """Whether this minion matches the compound target.

    CLI Example: salt '*' match.compound 'L@web1,web2 and G@os:Debian'"""
    return _matches(minion, tgt, "compound", minion_id)


@execution
def match_data(minion, tgt):
    """Whether this minion matches the data target; there is no data store, so never.

    CLI Example: salt '*' match.data 'spam:eggs'"""
    return _matches(minion, tgt, "data")


@execution
def match_glob(minion, tgt, minion_id=None):
    """Whether this minion's id matches the glob.

    CLI Example: salt '*' match.glob 'web*'"""
    return _matches(minion, tgt, "glob", minion_id)


@execution
def match_grain(minion, tgt, delimiter=":"):
    """Whether this minion's grains match.

    CLI Example: salt '*' match.grain 'os:Debian'"""
    return _matches(minion, tgt, "grain", None, delimiter)


@execution
def match_grain_pcre(minion, tgt, delimiter=":"):
    """Whether this minion's grains match the regular expression.

    CLI Example: salt '*' match.grain_pcre 'os:(Debian|Ubuntu)'"""
    return _matches(minion, tgt, "grain_pcre", None, delimiter)


@execution
def match_ipcidr(minion, tgt):
    """Whether one of this minion's addresses is the address, or lies in the network.

    CLI Example: salt '*' match.ipcidr '192.0.2.0/24'"""
    return _matches(minion, tgt, "ipcidr")


@execution
def match_list(minion, tgt, minion_id=None):
    """Whether this minion's id stands in the list.

    CLI Example: salt '*' match.list 'web1,web2'"""
    return _matches(minion, tgt, "list", minion_id)


@execution
def match_pcre(minion, tgt, minion_id=None):
    """Whether this minion's id matches the regular expression, from its beginning.

    CLI Example: salt '*' match.pcre 'web[0-9]+'"""
    return _matches(minion, tgt, "pcre", minion_id)


@execution
def match_pillar(minion, tgt, delimiter=":"):
    """Whether this minion's pillar matches.

    CLI Example: salt '*' match.pillar 'role:web'"""
    return _matches(minion, tgt, "pillar", None, delimiter)


def _matches(minion: Execution, tgt: Any, tgt_type: str, minion_id: str | None = None, delimiter: str = ":") -> bool:
    return match(tgt, tgt_type, Facts(minion_id or minion.opts["id"], minion.grains, minion.pillar), delimiter)


@execution
def saltutil_find_job(minion, jid):
    """The record of a job that runs here, or an empty map.

    CLI Example: salt '*' saltutil.find_job 20261123205107331456"""
    for record in minion.tree.jobs():
        if record["jid"] == str(jid):
            return _shown(record)
    waiting = minion.tree.get_return(str(jid)) if MINION_JID.fullmatch(str(jid)) else None
    return {"jid": waiting["jid"], "fun": waiting["fun"], "arg": waiting["fun_args"]} if waiting else {}


@execution
def saltutil_is_running(minion, fun):
    """The records of the running jobs whose function matches the glob.

    CLI Example: salt '*' saltutil.is_running 'cmd.*'"""
    return [r for r in saltutil_running(minion) if fnmatch.fnmatch(str(r["fun"]), fun)]


@execution
def saltutil_kill_job(minion, jid):
    """Send SIGKILL to a job and all processes it has started.

    CLI Example: salt '*' saltutil.kill_job 20261123205107331456"""
    return saltutil_signal_job(minion, jid, signal.SIGKILL)


@execution
def saltutil_refresh_grains(minion, **kwargs):
    """Collect the grains anew and show them to the master.

    CLI Example: salt '*' saltutil.refresh_grains"""
    minion.grains = collect_grains(minion.opts)
    minion.tree.put_grains(minion.grains)
    return True


@execution
def saltutil_running(minion):
    """The records of all jobs that run here.

    CLI Example: salt '*' saltutil.running"""
    return [_shown(record) for record in minion.tree.jobs()]


@execution
def saltutil_signal_job(minion, jid, sig):
    """Send a signal to a job and all processes it has started; says what it did, nothing if the job does not run.

    CLI Example: salt '*' saltutil.signal_job 20261123205107331456 15"""
    for record in minion.tree.jobs():
        if record["jid"] == str(jid) and record["pid"]:
            try:
                signal_session(record["pid"], int(sig))
            except (OSError, ValueError) as error:
                raise CommandExecutionError(f"signal {sig} could not be sent to job {jid}: {error}") from None
            return f"Signal {int(sig)} sent to job {jid} at pid {record['pid']}"
    return ""


@execution
def saltutil_term_job(minion, jid):
    """Send SIGTERM to a job and all processes it has started.

    CLI Example: salt '*' saltutil.term_job 20261123205107331456"""
    return saltutil_signal_job(minion, jid, signal.SIGTERM)


INSTANT |= {f"saltutil.{name}" for name in ("find_job", "is_running", "running", "kill_job", "signal_job", "term_job")}


def signal_session(session: int, number: int) -> None:
    """Signal a job, which leads a session, and all that it has started, whatever process groups they have made."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(name)) == session:
                    os.kill(int(name), number)


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ("started", "maker", "master")}


# cp: files of the master. What comes is a part in CACHE/parts, named by a hash of where it comes from; once the whole
# has the hash that the master says, it is renamed, or copied and renamed, to its place. So the next transfer goes on
# where a broken one ended, and neither the cache nor a destination ever holds half a file.

HASHES = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}  # by hexadecimal digits


def below(root: Path, name: Any) -> Path:
    """The file below `root` that a relative name means; CommandExecutionError if it means none, or leaves `root`."""
    with contextlib.suppress(AttributeError, ValueError):
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if parts and ".." not in parts and "\0" not in name and len(os.fsencode(name)) <= 2048:
            return root.joinpath(*parts)
    raise CommandExecutionError(f"{str(name)[:200]!r} cannot be a file's path here.")


@contextlib.contextmanager
def in_a_sentence(what: str) -> Iterator[None]:
    """Say what could not be done, and why, as the error of an execution function."""
    try:
        yield
    except (OSError, PayloadError) as error:
        why = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise CommandExecutionError(f"{what}: {why}.") from None


def file_hash(path: Path | str, kind: str = "sha256") -> str:
    """The hexadecimal hash of a file, "" if there is no regular one."""
    import hashlib

    if kind not in HASHES.values():
        raise CommandExecutionError(
            f"{kind[:100]!r} is no hash_type; the master's must be one of {[*HASHES.values()]}."
        )
    digest = hashlib.new(kind)
    if not os.path.isfile(path):
        return ""
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def clear_way(path: Path, root: Path) -> None:
    """Make the directories from `root` down to a file to come; what else stands there in their place goes."""
    import shutil

    root.mkdir(0o700, parents=True, exist_ok=True)
    for parent in reversed(path.relative_to(root).parents):
        directory = root / parent
        if directory.is_symlink() or directory.is_file():
            directory.unlink()
        directory.mkdir(0o700, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)


def put_copy(source: Path, dest: str) -> str:
    """Make `dest` a copy, all or nothing; a file that it replaces leaves it owner and mode. Gives `dest`."""
    # PermissionError for a symlink of somebody's in /tmp (protected_symlinks)
    parent = os.open(os.path.dirname(dest) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        real = Path(os.readlink(f"/proc/self/fd/{parent}"), os.path.basename(dest))
    finally:
        os.close(parent)
    old = None
    with contextlib.suppress(FileNotFoundError):
        old = os.lstat(real)
        if stat.S_ISLNK(old.st_mode):  # through a symlink, as writing would go, but in /tmp only through our own
            if os.stat(real.parent).st_mode & 0o1002 == 0o1002 and old.st_uid not in (0, os.geteuid()):
                raise CommandExecutionError(f"{dest} is a symlink of {user_name(old.st_uid)}, which is not followed.")
            real, old = Path(os.path.realpath(real)), None
            old = os.stat(real)
    if old and not stat.S_ISREG(old.st_mode):
        raise CommandExecutionError(f"{dest} is no regular file, so nothing is written there.")
    temporary = real.parent / f".{real.name[:200]}.{token(4).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o600 if old else 0o666)
    try:
        try:
            if old:
                if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(fd, old.st_uid, old.st_gid)
                os.fchmod(fd, stat.S_IMODE(old.st_mode))
            with open(source, "rb") as file:
                while chunk := file.read(1 << 20):
                    write_all(fd, chunk)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, real)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(real.parent)
    return dest


@contextlib.contextmanager
def open_part(minion: Execution, origin: str) -> Iterator[tuple[int, Path]]:
    """The part of what comes from `origin`, held against other jobs that fetch the same."""
    import fcntl
    import hashlib

    path = minion.tree.cache / "parts" / hashlib.sha256(origin.encode(errors="surrogateescape")).hexdigest()
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(fd), os.stat(path)):  # else: another job has moved it
                yield fd, path
                return
        finally:
            os.close(fd)


def settle(minion: Execution, part: Path, place: Path, dest: str) -> str:
    """Bring a whole part to `dest`, or to its place in the cache; gives where it is."""
    if dest:
        put_copy(part, dest)
        part.unlink()
        return dest
    clear_way(place, minion.tree.cache)
    os.rename(part, place)
    return str(place)


def destination(dest: str, name: str, makedirs: Any) -> str | None:
    """`dest`, or the file `name` in it if it is a directory; None if its directory is not there and is not to be."""
    if dest and (dest.endswith("/") or os.path.isdir(dest)):
        dest = os.path.join(dest, name)
    directory = os.path.dirname(dest) or "."
    if dest and makedirs:
        with in_a_sentence(f"{directory} cannot be made"):
            os.makedirs(directory, exist_ok=True)
    return dest if not dest or os.path.isdir(directory) else None


def source_of(minion: Execution, path: Any, saltenv: str | None) -> tuple[str, str]:
    """The path and the environment that an address, salt://PATH?saltenv=ENV, means."""
    address, _, env = str(path).partition("?saltenv=")
    if not address.startswith("salt://"):
        raise CommandExecutionError(f"Unsupported path: {address[:200]!r} does not begin with salt://")
    return address[7:].lstrip("/"), env or environment(minion, saltenv)


def environment(minion: Execution, saltenv: str | None) -> str:
    return str(saltenv or minion.opts["saltenv"] or "base")


def cached(minion: Execution, path: str, saltenv: str, kind: str = "files") -> Path:
    """Where a file is kept in the cache, as Salt keeps it."""
    return below(below(minion.tree.cache / kind, saltenv), path.lstrip("|"))


def listed(minion: Execution, cmd: str, saltenv: str, prefix: str = "") -> list[str]:
    """What the master lists, `_file_list` and its like, of the names that a file can have."""
    found = minion.ask({"cmd": cmd, "saltenv": saltenv, "prefix": prefix})
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def fetch(minion: Execution, path: str, saltenv: str, dest: str = "", gzip: Any = None) -> str:
    """Bring a file of the master's to `dest`, or into the cache; gives where it is, "" if the master has none."""
    place = cached(minion, path, saltenv)
    with in_a_sentence(f"salt://{path} cannot be brought to {dest or place}"):
        for _ in range(3):  # it may change while it comes
            said = minion.ask({"cmd": "_file_hash", "path": path, "saltenv": saltenv})
            if not isinstance(said, dict) or not said.get("hsum"):
                return ""
            kind, wanted = str(said.get("hash_type", "sha256")), said["hsum"]
            if dest and file_hash(dest, kind) == wanted:
                return dest
            if file_hash(place, kind) == wanted:
                return put_copy(place, dest) if dest else str(place)
            with open_part(minion, f"{saltenv}\0{path}") as (fd, part):
                receive(minion, fd, path, saltenv, gzip)
                if file_hash(part, kind) == wanted:
                    return settle(minion, part, place, dest)
                os.ftruncate(fd, 0)
    raise CommandExecutionError(f"salt://{path} came three times with another hash than the master says.")


def receive(minion: Execution, fd: int, path: str, saltenv: str, gzip: Any) -> None:
    """Append to a part what it lacks of the file."""
    load = {"cmd": "_serve_file", "path": path, "saltenv": saltenv} | ({"gzip": int(gzip)} if gzip else {})
    loc = os.lseek(fd, 0, os.SEEK_END)
    while data := chunk_of(minion.ask(load | {"loc": loc})):
        write_all(fd, data)
        loc += len(data)


def chunk_of(answer: Any) -> bytes:
    """The bytes in a reply to `_serve_file`, none at the end; PayloadError if it is no such reply."""
    import zlib

    if not isinstance(answer, dict):
        raise PayloadError("the master's reply is no part of a file")
    data = as_bytes(answer.get("data"))
    if not answer.get("gzip") or not data:
        return data
    try:
        unzip = zlib.decompressobj(31)
        data = unzip.decompress(data, MAX_CHUNK)
    except zlib.error as error:
        raise PayloadError(f"the master's reply is not gzip ({error})") from None
    if not unzip.eof:
        raise PayloadError("the master's reply is cut, or far too long")
    return data


def fetch_url(minion: Execution, url: str, place: Path, dest: str, source_hash: str | None) -> str:
    """Bring what is at an http or https address to `dest` or `place`; gives where it is."""
    wanted = str(source_hash or "").rpartition("=")[2].lower()
    if wanted and len(wanted) not in HASHES:
        raise CommandExecutionError("source_hash must be a hash in hexadecimal digits, `sha256=…` say.")
    if wanted and file_hash(dest or place, HASHES[len(wanted)]) == wanted:
        return dest or str(place)
    with in_a_sentence(f"{dest or place} cannot be written"), open_part(minion, url) as (fd, part):
        os.ftruncate(fd, 0)
        for chunk in download(url):
            write_all(fd, chunk)
        if wanted and file_hash(part, HASHES[len(wanted)]) != wanted:
            part.unlink()
            raise CommandExecutionError("What was downloaded does not have the hash in source_hash, and is not kept.")
        return settle(minion, part, place, dest)


def download(url: str) -> Iterator[bytes]:
    """What is at an http or https address, in pieces; certificates are always verified, and no redirection leaves
    https, or these two."""
    import base64
    import http.client
    import ssl
    import urllib.parse
    import urllib.request

    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    shown = parts._replace(netloc=host).geturl()

    class Redirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req: Any, *args: Any) -> Any:
            new = super().redirect_request(req, *args)
            if new and new.type not in ("https", req.type):
                raise CommandExecutionError(f"{shown} leads from {req.type} to {new.type}, which is not followed.")
            return new

    request = urllib.request.Request(shown)
    if at:
        request.add_unredirected_header(
            "Authorization", "Basic " + base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        )
    opener = urllib.request.build_opener(Redirects, urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    try:
        with opener.open(request, timeout=60) as response:
            left = int(response.headers.get("Content-Length") or -1)
            while chunk := response.read(1 << 18):
                left -= len(chunk)
                yield chunk
            if left > 0:
                raise CommandExecutionError(f"{shown} broke off, {left} bytes before its end.")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CommandExecutionError(f"{shown} cannot be downloaded: {getattr(error, 'reason', error)}.") from None


def cached_url(minion: Execution, url: str, saltenv: str | None) -> Path:
    """Where what is at an http or https address is kept, as Salt keeps it: without user and password."""
    import urllib.parse

    parts = urllib.parse.urlsplit(url)
    host, name = parts.netloc.rpartition("@")[2].replace(":", ""), parts.path.lstrip("/") or "index.html"
    name += f"-{parts.query}" if parts.query else ""
    return cached(minion, f"{host}/{name}", environment(minion, saltenv), "extrn_files")


def get_url(
    minion: Execution, path: str, dest: str | None, saltenv: str | None, makedirs: Any, source_hash: Any
) -> Any:
    """A file at any address: where it is now, or what is in it if `dest` is None; "" or False if there is none."""

    scheme, colon, rest = str(path).partition("://")
    if not colon or scheme == "file":
        local = rest if colon else scheme
        if not os.path.isabs(local):
            raise CommandExecutionError(f"Path {local!r} is not absolute")
        return content(minion, local) if dest is None else local
    if scheme not in ("salt", "http", "https"):
        raise CommandExecutionError(f"{scheme[:20]}:// is not supported: salt://, https://, http:// and file:// are.")
    if scheme == "salt":
        name, env = source_of(minion, path, saltenv)
        if (target := destination(dest or "", name.rpartition("/")[2], makedirs)) is None:
            return False
        found = fetch(minion, name, env, target)
        return content(minion, found) if found and dest is None else found or False
    if dest is None:
        return kept(minion, download(path))
    if (target := destination(dest, path.rpartition("/")[2] or "index.html", makedirs)) is None:
        return ""
    return fetch_url(minion, path, cached_url(minion, path, saltenv), target, source_hash)


def content(minion: Execution, path: str) -> Any:
    """What is in a file, as text if it is UTF-8."""
    with in_a_sentence(f"{path} cannot be read"), open(path, "rb") as file:
        return kept(minion, iter(lambda: file.read(1 << 18), b""))


def kept(minion: Execution, chunks: Iterable[bytes]) -> Any:
    """The chunks as one text or bytes; CommandExecutionError if they are more than a return may be."""
    data = b""
    for chunk in chunks:
        data += chunk
        if len(data) > minion.opts["max_return_size"]:
            raise CommandExecutionError(f"It is larger than max_return_size ({minion.opts['max_return_size']} bytes).")
    return _text(data)


def no_template(template: Any) -> None:
    if template:
        raise CommandExecutionError("template is not supported: write the path as it is, and leave template out.")


@execution
def cp_cache_dir(minion, path, saltenv=None, include_empty=False, include_pat=None, exclude_pat=None):
    """Bring all files of a directory of the master's into the cache; a pattern is a glob, or E@ and an expression.

    CLI Example: salt '*' cp.cache_dir salt://path/to/dir include_pat='E@[.]py$'"""
    top, env = source_of(minion, path, saltenv)
    top = top.rstrip("/") + "/" if top else ""

    def chosen(name: str) -> bool:
        def meets(pattern: str) -> bool:
            return bool(re.search(pattern[2:], name) if pattern.startswith("E@") else fnmatch.fnmatch(name, pattern))

        return (not include_pat or meets(include_pat)) and not (exclude_pat and meets(exclude_pat))

    names = [name for name in listed(minion, "_file_list", env, top.rstrip("/")) if name.startswith(top)]
    found = [place for name in names if chosen(name) and (place := fetch(minion, name, env))]
    if include_empty:
        empty = [n for n in listed(minion, "_file_list_emptydirs", env, top.rstrip("/")) if n.startswith(top)]
        for directory in (cached(minion, name, env) for name in empty):
            clear_way(directory / "file", minion.tree.cache)
            found.append(str(directory))
    return found


@execution
def cp_cache_file(minion, path, saltenv=None, source_hash=None):
    """Bring one file into the cache; gives where it is, False if there is none.

    CLI Example: salt '*' cp.cache_file salt://path/to/file"""
    return get_url(minion, path, "", saltenv, True, source_hash)


@execution
def cp_cache_files(minion, paths, saltenv=None):
    """Bring files into the cache, a list or separated by commas; gives where they are.

    CLI Example: salt '*' cp.cache_files salt://path/to/one,salt://path/to/other"""
    return [cp_cache_file(minion, path, saltenv) for path in (paths.split(",") if isinstance(paths, str) else paths)]


@execution
def cp_envs(minion):
    """The environments that the master has.

    CLI Example: salt '*' cp.envs"""
    return minion.ask({"cmd": "_file_envs"})


@execution
def cp_get_dir(minion, path, dest, saltenv=None, template=None, gzip=None):
    """Copy a directory of the master's, with all below it, into the directory `dest`.

    CLI Example: salt '*' cp.get_dir salt://path/to/dir/ /minion/dest"""
    no_template(template)
    top, env = source_of(minion, path, saltenv)
    top = top.rstrip("/")
    above = len(top.rpartition("/")[0])
    found = []
    for cmd in ("_file_list", "_file_list_emptydirs"):
        for name in listed(minion, cmd, env, top):
            if not top or name.startswith(f"{top}/"):
                place = str(below(Path(dest), name[above:].lstrip("/")))
                if cmd == "_file_list":
                    place = fetch(minion, name, env, destination(place, "", True) or place, gzip)
                else:
                    destination(f"{place}/", "", True)
                found.append(place)
    return sorted(filter(None, found))


@execution
def cp_get_file(minion, path, dest, saltenv=None, makedirs=False, template=None, gzip=None):
    """Copy a file of the master's; gives where it is, "" if there is none, False if the directory is not there.

    CLI Example: salt '*' cp.get_file salt://path/to/file /minion/dest"""
    no_template(template)
    name, env = source_of(minion, path, saltenv)
    if (target := destination(dest or "", name.rpartition("/")[2], makedirs)) is None:
        return False
    return fetch(minion, name, env, target, gzip)


@execution
def cp_get_file_str(minion, path, saltenv=None):
    """What is in a file of the master's, or at another address; False if there is none.

    CLI Example: salt '*' cp.get_file_str salt://path/to/file"""
    place = cp_cache_file(minion, path, saltenv)
    return content(minion, place) if place else False


@execution
def cp_get_url(minion, path, dest="", saltenv=None, makedirs=False, source_hash=None):
    """Bring a file at salt://, https://, http:// to `dest`, or into the cache; gives where it is. With None as `dest`
    it gives what is in it. What comes by http must have source_hash, if there is one.

    CLI Example: salt '*' cp.get_url https://example.com/index.html /tmp/index.html"""
    return get_url(minion, path, dest, saltenv, makedirs, source_hash)


@execution
def cp_hash_file(minion, path, saltenv=None):
    """The hash of a file of the master's, or of one here: hsum and hash_type.

    CLI Example: salt '*' cp.hash_file salt://path/to/file"""
    if not str(path).startswith("salt://"):
        return {"hsum": file_hash(path), "hash_type": "sha256"} if os.path.isfile(path) else {}
    name, env = source_of(minion, path, saltenv)
    return minion.ask({"cmd": "_file_hash", "path": name, "saltenv": env})


@execution
def cp_is_cached(minion, path, saltenv=None):
    """Where a file of the master's, or one from a web server, is in the cache, "" if it is not.

    CLI Example: salt '*' cp.is_cached salt://path/to/file"""
    if str(path).startswith(("http://", "https://")):
        place = cached_url(minion, path, saltenv)
    else:
        place = cached(minion, *source_of(minion, path, saltenv))
    return str(place) if place.exists() else ""


@execution
def cp_list_master(minion, saltenv=None, prefix=""):
    """The files that the master has.

    CLI Example: salt '*' cp.list_master"""
    return listed(minion, "_file_list", environment(minion, saltenv), prefix)


@execution
def cp_list_master_dirs(minion, saltenv=None, prefix=""):
    """The directories that the master has.

    CLI Example: salt '*' cp.list_master_dirs"""
    return listed(minion, "_dir_list", environment(minion, saltenv), prefix)


@execution
def cp_list_master_symlinks(minion, saltenv=None, prefix=""):
    """The symlinks that the master has, with what they lead to.

    CLI Example: salt '*' cp.list_master_symlinks"""
    return minion.ask({"cmd": "_symlink_list", "saltenv": environment(minion, saltenv), "prefix": prefix})


@execution
def cp_list_minion(minion, saltenv=None):
    """The files of an environment that are in the cache.

    CLI Example: salt '*' cp.list_minion"""
    home = below(minion.tree.cache / "files", environment(minion, saltenv))
    return sorted(str(path) for path in home.rglob("*") if path.is_file())


@execution
def cp_list_states(minion, saltenv=None):
    """The state files that the master has, as state.apply takes their names.

    CLI Example: salt '*' cp.list_states"""
    found = [name[:-4] for name in cp_list_master(minion, saltenv) if name.endswith(".sls")]
    return sorted({name.removesuffix("/init").replace("/", ".") for name in found})


@execution
def cp_stat_file(minion, path, saltenv=None, octal=True):
    """The mode of a file of the master's, or of one here, in octal; None if there is none.

    CLI Example: salt '*' cp.stat_file salt://path/to/file"""
    if str(path).startswith("salt://"):
        name, env = source_of(minion, path, saltenv)
        found = minion.ask({"cmd": "_file_find", "path": name, "saltenv": env})
        info = found.get("stat") if isinstance(found, dict) else None
    else:
        info = os.stat(path) if os.path.exists(path) else None
    return None if not info else oct(info[0])[-4:] if octal is True else info[0]


# saltutil: what the master keeps of ours

SYNCED = {  # saltutil.sync_NAME: the directory is salt://_KIND; in the order of saltutil.sync_all
    name: name.replace("proxymodules", "proxy")
    for name in """clouds beacons modules states sdb grains renderers returners output utils log_handlers executors
        proxymodules engines thorium serializers matchers resources""".split()
}


def sync(minion: Execution, kind: str, saltenv: str | list[str] | None) -> list[str]:
    """Make CACHE/extmods/KIND what salt://_KIND is in the environments, the later winning; gives what is new."""
    envs = saltenv if isinstance(saltenv, list) else environment(minion, saltenv).split(",")
    home = minion.tree.cache / "extmods" / kind
    remote: dict[Path, str] = {}
    for env in envs:
        for name in listed(minion, "_file_list", env, f"_{kind}"):
            if name.startswith(f"_{kind}/") and re.search(r"\.(pyx?|so|zip)$", name):
                target = below(home, name[len(kind) + 2 :])
                if place := fetch(minion, name, env):
                    remote[target] = place
    new = []
    with in_a_sentence(f"{home} cannot be written"):
        for target, place in remote.items():
            if file_hash(target) != file_hash(place):
                clear_way(target, minion.tree.cache)
                put_copy(Path(place), str(target))
                new.append(".".join((kind, *target.relative_to(home).with_suffix("").parts)))
        for path in sorted(home.rglob("*"), reverse=True):  # what is below a directory before the directory
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):  # it is not empty
                    path.rmdir()
            elif path not in remote:  # bytecode of what was there before goes too
                path.unlink()
    return new


def sync_function(name: str, kind: str) -> Callable[..., Any]:
    def function(minion, saltenv=None, refresh=True):
        new = sync(minion, kind, saltenv)
        if new and refresh and kind == "grains":
            saltutil_refresh_grains(minion)
        saltutil_refresh_modules(minion)
        return new

    function.__doc__ = f"""Fetch the files of salt://_{kind}; gives what is new; what the master has no more goes.

    CLI Example: salt '*' saltutil.sync_{name}"""
    return function


EXECUTION |= {f"saltutil.sync_{name}": sync_function(name, kind) for name, kind in SYNCED.items()}


@execution
def saltutil_sync_all(minion, saltenv=None, refresh=True):
    """Fetch the files of all kinds, and the pillar after that; gives what is new of each kind.

    CLI Example: salt '*' saltutil.sync_all"""
    new = {name: EXECUTION[f"saltutil.sync_{name}"](minion, saltenv, refresh) for name in SYNCED}
    if refresh:
        saltutil_refresh_pillar(minion)
    return new


@execution
def saltutil_list_extmods(minion):
    """The files that were fetched, by kind.

    CLI Example: salt '*' saltutil.list_extmods"""
    home = minion.tree.cache / "extmods"
    found = {kind: sorted({n.partition(".")[0] for n in names(home / kind)} - {"__pycache__"}) for kind in names(home)}
    return {kind: stems for kind, stems in found.items() if stems}


@execution
def saltutil_refresh_modules(minion, **kwargs):
    """True: every job reads the module files that are there.

    CLI Example: salt '*' saltutil.refresh_modules"""
    for name in ("functions", "utils"):
        vars(minion).pop(name, None)
    return True


@execution
def saltutil_refresh_pillar(minion, wait=False, timeout=30, clean_cache=True):
    """Fetch the pillar from the master; it is there when this is done, so there is nothing to wait for.

    CLI Example: salt '*' saltutil.refresh_pillar"""
    pillar = minion.ask(pillar_load(minion.opts, minion.grains))
    if not isinstance(pillar, dict):
        raise CommandExecutionError("The master has sent no pillar, so it stays as it was.")
    minion.tree.put_pillar(pillar)
    minion.pillar = pillar
    return True


EXECUTION["saltutil.pillar_refresh"] = saltutil_refresh_pillar


@execution
def saltutil_clear_cache(minion):
    """Remove the files that were fetched; running jobs, returns on their way and the keys stay.

    CLI Example: salt '*' saltutil.clear_cache"""
    import shutil

    for name in ("files", "extrn_files", "parts", "extmods"):
        shutil.rmtree(minion.tree.cache / name, ignore_errors=True)
    return True


@execution
def saltutil_regen_keys(minion):
    """Remove this minion's key pair: the next start makes another, which the master has to accept.

    CLI Example: salt '*' saltutil.regen_keys"""
    for name in ("minion.pem", "minion.pub"):
        (minion.tree.pki / name).unlink(missing_ok=True)
    return True


@execution
def saltutil_revoke_auth(minion, preserve_minion_cache=False):
    """Have the master remove this minion's key; the return of this may not reach it any more.

    CLI Example: salt '*' saltutil.revoke_auth"""
    load = {"cmd": "revoke_auth", "id": minion.opts["id"], "preserve_minion_cache": bool(preserve_minion_cache)}
    return minion.ask(load) is True


# schedule: the file minion.d/_schedule.conf is the schedule that these change; the minion sees it at its next look,
# which comes with the end of this very job.

SCHEDULE_WORDS = (
    "maxrunning function splay range when once once_fmt returner jid_include args kwargs seconds minutes hours days "
    "enabled return_job metadata cron until after return_config return_kwargs run_on_start skip_during_range "
    "run_after_skip_range name"
).split()


def _entries(minion: Execution, where: str | None = None) -> dict[str, Any]:
    """The entries of all sources, or those not from pillar (`opts`), or from pillar alone; with names and `enabled`."""
    pillar = minion.pillar.get("schedule")
    own = {} if where == "pillar" else {**minion.opts["schedule"], **minion.tree.schedule()}
    entries = {**(pillar if isinstance(pillar, dict) and where != "opts" else {}), **own}
    return {
        str(name): {"name": name, "enabled": True, **{k: v for k, v in entry.items() if v is not None}}
        if isinstance(entry, dict)
        else entry
        for name, entry in entries.items()
    }


def _answer(comment: Any, result: bool = True, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"comment": comment, "result": result, "changes": changes or {}}


def _unchangeable(minion: Execution, name: str, verb: str) -> dict[str, Any] | None:
    """The answer for an entry that cannot be changed from here, or None."""
    if name in _entries(minion, "opts") and name not in SCHEDULE_SETTINGS:
        return None
    if name in _entries(minion, "pillar"):
        return _answer(f"Failed to {verb} job {name} in schedule: it is in the pillar.", False)
    return _answer(f"Job {name} does not exist.", False)


@execution
def schedule_list_(minion, show_all=False, show_disabled=True, where=None, return_yaml=True, offline=False):
    """The entries of the schedule, as YAML text or as a map; `where`: opts or pillar. Salt's own are hidden.

    CLI Example: salt '*' schedule.list show_disabled=False"""
    found: dict[str, Any] = {}
    saved = minion.tree.schedule()
    for name, entry in (_entries(minion, where) if not offline else saved).items():
        if not isinstance(entry, dict):
            found[name] = entry
        elif (show_all or not name.startswith("__")) and (show_disabled or entry.get("enabled", True)):
            found[name] = {word: value for word, value in entry.items() if word in SCHEDULE_WORDS}
            found[name] |= {"saved": name in saved} if return_yaml else {}
    if return_yaml:
        return yaml.dump({"schedule": found}, Dumper=yaml.SafeDumper, allow_unicode=True, default_flow_style=False)
    return found


@execution
def schedule_is_enabled(minion, name=None):
    """The entry of this name, or without one whether the schedule as a whole is enabled.

    CLI Example: salt '*' schedule.is_enabled name=job1"""
    found = schedule_list_(minion, return_yaml=False)
    return found.get(name, {}) if name else found.get("enabled", True)


@execution
def schedule_build_schedule_item(minion, name, **kwargs):
    """The entry that schedule.add would add.

    CLI Example: salt '*' schedule.build_schedule_item job1 function=test.ping seconds=3600"""
    words = {"job_args": "args", "job_kwargs": "kwargs"}
    entry = {words.get(word, word): value for word, value in kwargs.items()}
    given = {word: value for word, value in entry.items() if word in SCHEDULE_WORDS}
    made = {"name": name, "maxrunning": 1, "enabled": True, "jid_include": True, **given}
    if not name or not isinstance(name, str) or name in SCHEDULE_SETTINGS:
        return {"comment": "Job name is required.", "result": False}
    try:
        checked_entry(made, {}, whens_of(minion.grains, minion.pillar), time.time())
    except MISTAKES as error:
        return {"comment": f"Job {name} is not valid: {str(error).rstrip('.')}.", "result": False}
    return made


@execution
def schedule_add(minion, name, test=False, **kwargs):
    """Add a job to the schedule and save it; `job_args` and `job_kwargs` are the function's.

    CLI Example: salt '*' schedule.add job1 function=cmd.run job_args="['date >> /tmp/log']" seconds=60"""
    if name in _entries(minion):
        return _answer(f"Job {name} already exists in schedule.", False)
    entry = schedule_build_schedule_item(minion, name, **kwargs)
    if entry.get("result") is False:
        return _answer(entry["comment"], False)
    if test:
        return _answer(f"Job: {name} would be added to schedule.")
    with minion.tree.changed_schedule() as saved:
        saved[name] = entry
    return _answer(f"Added job: {name} to schedule.", True, {name: "added"})


@execution
def schedule_modify(minion, name, test=False, **kwargs):
    """Replace a job of the schedule; its function stays unless another is given.

    CLI Example: salt '*' schedule.modify job1 seconds=3600"""
    if name not in _entries(minion):
        return _answer(f"Job {name} does not exist in schedule.", False)
    if refusal := _unchangeable(minion, name, "modify"):
        return refusal
    before = schedule_list_(minion, show_all=True, return_yaml=False)[name]
    entry = schedule_build_schedule_item(minion, name, **{"function": before.get("function"), **kwargs})
    if entry.get("result") is False:
        return _answer(entry["comment"], False)
    if entry == before:
        return _answer(f"Job {name} in correct state")
    changes = {name: {"old": before, "new": entry}}
    if test:
        return _answer(f"Job: {name} would be modified in schedule.", True, changes)
    with minion.tree.changed_schedule() as saved:
        saved[name] = entry
    return _answer(f"Modified job: {name} in schedule.", True, changes)


@execution
def schedule_delete(minion, name, test=False, **kwargs):
    """Delete a saved job from the schedule; those of pillar and of configuration files are deleted there.

    CLI Example: salt '*' schedule.delete job1"""
    if test:
        return _answer(f"Job: {name} would be deleted from schedule.")
    with minion.tree.changed_schedule() as saved:
        deleted = name not in SCHEDULE_SETTINGS and saved.pop(name, None) is not None
    if name in _entries(minion):
        place = "a configuration file" if name in minion.opts["schedule"] else "the pillar"
        return _answer(f"Failed to delete job {name} from schedule: it is in {place}.", False)
    if not deleted:
        return _answer(f"Job {name} does not exist.", False)
    return _answer(f"Deleted Job {name} from schedule.", True, {name: "removed"})


@execution
def schedule_purge(minion, test=False, **kwargs):
    """Delete all saved jobs from the schedule, Salt's own excepted.

    CLI Example: salt '*' schedule.purge"""
    found = [name for name in _entries(minion) if not name.startswith("__") and name not in SCHEDULE_SETTINGS]
    answers = {name: schedule_delete(minion, name, test=test) for name in found}
    changes = {name: change for answer in answers.values() for name, change in answer["changes"].items()}
    said = [f"Deleted job: {name} from schedule." if name in changes else a["comment"] for name, a in answers.items()]
    return _answer(said, True, changes)


def _switch(minion: Execution, name: str, on: bool, test: bool) -> dict[str, Any]:
    verb, done = ("enable", "enabled") if on else ("disable", "disabled")
    if test:
        return _answer(f"Job: {name} would be {done} in schedule.")
    if refusal := _unchangeable(minion, name, verb):
        return refusal
    with minion.tree.changed_schedule() as saved:
        saved[name] = {**minion.opts["schedule"].get(name, {}), **saved.get(name, {}), "enabled": on}
    return _answer(f"{done.capitalize()} Job {name} in schedule.", True, {name: done})


@execution
def schedule_enable_job(minion, name, test=False, **kwargs):
    """Let a job of the schedule run again.

    CLI Example: salt '*' schedule.enable_job job1"""
    return _switch(minion, name, True, test)


@execution
def schedule_disable_job(minion, name, test=False, **kwargs):
    """Keep a job of the schedule from running.

    CLI Example: salt '*' schedule.disable_job job1"""
    return _switch(minion, name, False, test)


def _switch_all(minion: Execution, on: bool, test: bool) -> dict[str, Any]:
    done = "enabled" if on else "disabled"
    if test:
        return _answer(f"Schedule would be {done}.")
    with minion.tree.changed_schedule() as saved:
        saved["enabled"] = on
    return _answer(f"{done.capitalize()} schedule on minion.", True, {"schedule": done})


@execution
def schedule_enable(minion, test=False, **kwargs):
    """Let the jobs of the schedule run again.

    CLI Example: salt '*' schedule.enable"""
    return _switch_all(minion, True, test)


@execution
def schedule_disable(minion, test=False, **kwargs):
    """Keep all jobs of the schedule from running.

    CLI Example: salt '*' schedule.disable"""
    return _switch_all(minion, False, test)


@execution
def schedule_save(minion, test=False, **kwargs):
    """Save the schedule, which every change of it has done already.

    CLI Example: salt '*' schedule.save"""
    comment = "Schedule would be saved." if test else "Schedule (non-pillar items) saved."
    return {"comment": comment, "result": True}


@execution
def schedule_reload_(minion):
    """Read the saved schedule again.

    CLI Example: salt '*' schedule.reload"""
    with contextlib.suppress(FileNotFoundError):
        os.utime(minion.tree.conf / "minion.d" / "_schedule.conf")
    return {"comment": ["Reloaded schedule on minion from schedule.conf."], "result": True}


@execution
def schedule_run_job(minion, name, force=False):
    """Run a job of the schedule at once; `force`: even if it is disabled.

    CLI Example: salt '*' schedule.run_job job1"""
    if minion.schedule is None:
        why = "only a running minion can, and only as a job with no other function"
        return {"comment": f"Failed to run job {name} on minion: {why}.", "result": False}
    entry = minion.schedule.entries.get(name)
    if entry is None:
        return {"comment": f"Job {name} does not exist.", "result": False}
    if not entry.get("enabled", True) and not force:
        return {"comment": f"Job {name} is disabled.", "result": True}
    minion.schedule.asked.append(name)
    return {"comment": f"Scheduling Job {name} on minion.", "result": True}


@execution
def schedule_show_next_fire_time(minion, name):
    """When a job of the schedule runs next, as far as this is known.

    CLI Example: salt '*' schedule.show_next_fire_time job1"""
    at = minion.schedule.next_of(name) if minion.schedule else NEVER
    if at == NEVER:
        return {"result": True, "next_fire_time": None}
    return {"result": True, "next_fire_time": time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(at))}


INSTANT |= {"schedule.run_job", "schedule.show_next_fire_time"}


# ---- 15. Wire ---------------------------------------------------------------------------------------------------
# From here on: sockets, processes, signals, the clock. One thread and one poll loop for each role.


class Loop:
    """A poll loop over zmq sockets and file descriptors, with named timers, that signals and threads can wake.

    A timer has a name: setting it again moves it. Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._poller = zmq.Poller()
        self._handlers: dict[Any, Callable[[], None]] = {}
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self._signals: dict[int, Callable[[], None]] = {}
        self.running = True
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._read, self._woken)
        self._rung: Callable[[], None] = lambda: None

    def watch(self, source: Any, handler: Callable[[], None]) -> None:
        self._poller.register(source, zmq.POLLIN)
        self._handlers[source] = handler

    def unwatch(self, source: Any) -> None:
        if self._handlers.pop(source, None):
            self._poller.unregister(source)

    def at(self, name: str, delay: float, call: Callable[[], None]) -> None:
        """Call in `delay` seconds."""
        self._timers[name] = (time.monotonic() + delay, call)

    def waits(self, name: str) -> bool:
        return name in self._timers

    def cancel(self, name: str) -> None:
        self._timers.pop(name, None)

    def every(self, name: str, interval: float, call: Callable[[], None]) -> None:
        """Call every `interval` seconds."""

        def again() -> None:
            self.at(name, interval, again)
            call()

        self.at(name, interval, again)

    def on_signal(self, number: int, call: Callable[[], None]) -> None:
        self._signals[number] = call
        signal.signal(number, lambda *_: None)  # the wake-up descriptor below is what tells us
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def on_ring(self, call: Callable[[], None]) -> None:
        self._rung = call

    def ring(self) -> None:
        """Wake the loop from another thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"\0")

    def stop(self) -> None:
        self.running = False

    def _woken(self) -> None:
        rung = False
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._read, 4096):
                rung = rung or 0 in data
                for number in set(data) & self._signals.keys():
                    self._signals[number]()
        if rung:
            self._rung()

    def run(self) -> None:
        """Until `stop`: handle what is ready, then what is due. An error in a handler is logged and survived."""
        while self.running:
            due = min((when for when, _ in self._timers.values()), default=None)
            wait = None if due is None else max(0, int((due - time.monotonic()) * 1000 + 0.999))
            for source, _ in self._poller.poll(wait):
                if handler := self._handlers.get(source):
                    self._guard(handler)
            now = time.monotonic()
            for name, (when, call) in list(self._timers.items()):
                if when <= now and self._timers.get(name) == (when, call):
                    del self._timers[name]
                    self._guard(call)

    def _guard(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            log.exception("this should not happen; the work goes on")


class Doorbell:
    """watchdog as a doorbell: it rings when something was made, moved or removed; what, it does not say.

    `kind` is the option key_watch. Without a watch, renames are seen at the next rescan."""

    def __init__(self, kind: str, ring: Callable[[], None]) -> None:
        self.kind, self._ring = kind, ring
        self._observer: Any = None
        self._paths: list[tuple[Path, bool]] = []

    def start(self, paths: Iterable[tuple[Path, bool]]) -> None:
        """Watch directories, pairs (path, with those below it); where inotify fails, by polling, with a warning."""
        self._paths = list(paths)
        for kind in {"auto": ("inotify", "polling"), "none": ()}.get(self.kind, (self.kind,)):
            try:
                self._start(kind)
                self.kind = kind
                return
            except OSError as error:
                wait = "polling them every second" if kind == "inotify" else "looking at them at every rescan"
                log.warning("the trees cannot be watched by %s (%s); %s", kind, error.strerror or error, wait)
                self.stop()
        self.kind = "none"

    def _start(self, kind: str) -> None:
        logging.getLogger("watchdog").setLevel(logging.CRITICAL)  # it complains of being stopped
        self._observer = (
            watchdog_polling.PollingObserver(timeout=1) if kind == "polling" else watchdog_observers.Observer()
        )
        self._observer.daemon = True
        self._schedule()
        self._observer.start()

    def _schedule(self) -> None:
        events = watchdog_events
        wanted: list[Any] = [events.FileCreatedEvent, events.FileMovedEvent, events.FileDeletedEvent]
        handler = events.FileSystemEventHandler()
        handler.on_any_event = lambda event: self._ring()  # type: ignore[method-assign]
        for path, recursive in self._paths:
            self._observer.schedule(handler, str(path), recursive=recursive, event_filter=wanted)

    def hush(self) -> None:
        """Take the bell off. watchdog pairs the halves of renames by search, so ten thousand keep it, and us, busy for
        seconds; whoever hushes it looks for himself, and calls `listen` when things are quiet."""
        if self._observer:
            self._observer.unschedule_all()

    def listen(self) -> None:
        if self._observer:
            try:
                self._schedule()
            except OSError as error:
                log.warning("the trees cannot be watched any more (%s); they are looked at every rescan", error)

    def stop(self) -> None:
        if self._observer and self._observer.is_alive():
            self._observer.stop()
        self._observer = None


def keep_alive(socket_: zmq.Socket[Any], opts: Mapping[str, Any], host: str) -> None:
    """The socket options both roles share: no lingering, keep-alive, IPv6 where wanted or where `host` is such an
    address."""
    socket_.setsockopt(zmq.LINGER, 0)
    socket_.setsockopt(zmq.TCP_KEEPALIVE, 1 if opts["tcp_keepalive"] else 0)
    for name in ("IDLE", "CNT", "INTVL"):
        socket_.setsockopt(getattr(zmq, f"TCP_KEEPALIVE_{name}"), opts[f"tcp_keepalive_{name.lower()}"])
    if opts["ipv6"] or ":" in host:
        socket_.setsockopt(zmq.IPV6, 1)


def tcp(host: str, port: int) -> str:
    """A zmq address; an IPv6 address goes in brackets."""
    return f"tcp://[{host}]:{port}" if ":" in host and not host.startswith("[") else f"tcp://{host}:{port}"


def connected(port: int) -> set[str]:
    """The addresses that have a TCP connection to a port of this machine, from /proc/net/tcp and tcp6."""
    words: set[str] = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(path) as file:
            fields = [line.split(None, 4) for line in file]
            words |= {remote for _, local, remote, state, _ in fields if state == "01" and local[-4:] == f"{port:04X}"}
    order = -1 if sys.byteorder == "little" else 1  # the kernel prints 32 bits at a time as a number
    hosts = {word.partition(":")[0] for word in words}
    return {plain_address(b"".join(bytes.fromhex(h[i : i + 8])[::order] for i in range(0, len(h), 8))) for h in hosts}


def plain_address(address: str | bytes) -> str:
    """One text for an address, however it was written; '' if it is none."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0] if isinstance(address, str) else address)
    except ValueError:
        return ""
    return str(getattr(found, "ipv4_mapped", None) or found)


def become(user: str, directories: Iterable[Path]) -> None:
    """Give the directories to `user` and go on as that user, for good (SECURITY.md R24); Failure if that fails."""
    import pwd

    if not user:
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise Failure(f"the option user names {user!r}, who does not exist here.") from None
    if entry.pw_uid == os.geteuid():
        return
    if os.geteuid() != 0:
        raise Failure(f"only root can become {user}; run it as {user}, or remove the option user.")
    for directory in directories:
        if directory.parent.name == "pki":
            os.chmod(directory.parent, 0o711)  # it stays root's, and must be passed through
        for top, _, files in os.walk(directory):
            for path in [top, *(os.path.join(top, file) for file in files)]:
                os.lchown(path, entry.pw_uid, entry.pw_gid)
    os.setgroups(os.getgrouplist(user, entry.pw_gid))
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if os.geteuid() != entry.pw_uid or os.getegid() != entry.pw_gid:
        raise Failure(f"this process could not become {user}.")


def harden() -> None:
    """No core files, which would hold keys; as many connections as the system allows."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.umask(0o077)


# ---- 16. Master -------------------------------------------------------------------------------------------------


class EventLog:
    """events.jsonl: every event, one JSON object a line, rotated by size; the previous file is events.jsonl.1."""

    def __init__(self, path: Path, most: int) -> None:
        self._path, self._most = path, most

    def write(self, events: list[tuple[str, dict[str, Any]]], now: float) -> None:
        if not events:
            return
        text = "".join(to_json({"tag": tag, "time": now, "data": data}) + "\n" for tag, data in events)
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                write_all(fd, text.encode("utf-8", "surrogateescape"))
                if os.fstat(fd).st_size > self._most:
                    os.rename(self._path, self._path.with_name("events.jsonl.1"))
            finally:
                os.close(fd)
        except OSError as error:
            log.warning("events cannot be written: %s", error)


class EventReader:
    """What an EventLog writes, read as it comes and across its rotations; `everything`: also what is there already."""

    def __init__(self, path: Path, everything: bool = False) -> None:
        self._path, self._rest = path, b""
        self._file = self._open()
        if self._file and not everything:
            self._file.seek(0, os.SEEK_END)

    def _open(self) -> io.FileIO | None:
        try:
            return open(self._path, "rb", buffering=0)
        except FileNotFoundError:
            return None

    def read(self) -> list[dict[str, Any]]:
        """The events that have come since the last call, {"tag", "time", "data"}; lines that are none are left out."""
        found = self._lines()
        if self._rotated():
            found += self._lines()  # of what was written to the old file until it was rotated
            if self._file:
                self._file.close()
            self._file, self._rest = self._open(), b""
            found += self._lines()
        return found

    def follow(self) -> Iterator[dict[str, Any]]:
        """The events as they come, for ever."""
        while True:
            yield from self.read()
            time.sleep(0.1)

    def _rotated(self) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        return not self._file or not os.path.samestat(there, os.fstat(self._file.fileno()))

    def _lines(self) -> list[dict[str, Any]]:
        found = []
        while self._file and (chunk := self._file.read(1 << 20)):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError):
                    event = from_json(line)
                    if isinstance(event, dict) and isinstance(event.get("tag"), str):
                        found.append(event)
        return found


class Master:
    """The sockets, the clock and the watch around a MasterProtocol and its Jobs."""

    BATCH = 500  # requests handled before their returns are written and they are answered
    BATCH_SECONDS = 0.05
    STORM = 100  # keys that move between two looks

    def __init__(self, opts: dict[str, Any]) -> None:
        self.opts = opts
        self.tree = MasterTree(opts)
        for directory in (self.tree.cache, self.tree.pki):
            make_parents(directory / "x")
        self._lock = lock(self.tree.cache / ".lock", "master")
        become(opts["user"], [self.tree.cache, self.tree.pki])
        self.context = zmq.Context()
        self.context.setsockopt(zmq.MAX_SOCKETS, 64)
        self.router = self._bind(zmq.ROUTER, "ret_port", opts["max_message_size"])
        self.pub = self._bind(zmq.PUB, "publish_port", 512)  # subscriptions are a byte and a topic
        self.tree.prepare(opts["keysize"])
        now = time.time()
        self.jobs = Jobs(self.tree, opts, self.accepted, self.last_heard)
        key = read_private_key(self.tree.pki / "master.pem")
        self.protocol = MasterProtocol(opts, self.tree, key, self.jobs, now)
        self.events = EventLog(self.tree.cache / "events.jsonl", opts["max_event_size"])
        self.present: set[str] = set()
        self.loop = Loop()
        self.doorbell = Doorbell(opts["key_watch"], self.loop.ring)
        self._look_again = 0.0
        self._offset = time.time() - time.monotonic()  # changes when somebody sets the clock

    def _bind(self, kind: int, option: str, most: int) -> zmq.Socket[Any]:
        opts = self.opts
        socket_ = self.context.socket(kind)
        keep_alive(socket_, opts, opts["interface"])
        settings = {"MAXMSGSIZE": most, "BACKLOG": 1000, "SNDHWM": 1000, "HANDSHAKE_IVL": 10000}
        if kind == zmq.ROUTER:
            settings |= {"ROUTER_HANDOVER": 1, "RCVHWM": 100}
        for name, value in settings.items():
            socket_.setsockopt(getattr(zmq, name), value)
        try:
            socket_.bind(tcp(opts["interface"], opts[option]))
        except zmq.ZMQError as error:
            where = f"{opts['interface']} port {opts[option]}"
            if error.errno == errno.EADDRINUSE:
                raise Failure(f"{where} is in use by another program: stop it, or set {option}.") from None
            raise Failure(f"{where} cannot be listened on ({error.strerror}): see interface and {option}.") from None
        return socket_

    def accepted(self) -> list[str]:
        self.reply(self.protocol.look(time.time()))  # a request that came after a rename must see it
        return [minion for minion, (state, _) in self.protocol.keys.items() if state == ACCEPTED]

    def last_heard(self, minion: str) -> float:
        return self.protocol.last_heard(minion)

    def run(self) -> int:
        """Until SIGTERM or SIGINT."""
        loop = self.loop
        loop.on_signal(signal.SIGTERM, loop.stop)
        loop.on_signal(signal.SIGINT, loop.stop)
        loop.on_signal(signal.SIGHUP, self.reload)
        loop.on_ring(self.rung)
        loop.watch(self.router, self.requests)
        loop.every("rescan", max(0.1, self.opts["key_rescan"]), self.look)
        loop.every("save", 10, self.save)
        loop.every("clean", 3600, self.clean)
        loop.at("clean now", 60, self.clean)
        if self.opts["presence_events"]:
            loop.every("presence", max(0.1, self.opts["loop_interval"]), self.presence)
        self.jobs.recover(time.time())
        loop.at(
            "watch", 0, self.watch
        )  # who has waited for this start is answered first: the watch takes a third of it
        loop.run()
        self.write_events()
        self.save()
        self.doorbell.stop()
        self.context.destroy(linger=200)
        log.info("the master ends")
        return 0

    def watch(self) -> None:
        """Hang up the doorbell, look at what came before it rang, and say that all is ready."""
        tree, opts = self.tree, self.opts
        self.doorbell.start([(tree.pki, True), (tree.jobs / "new", False), (tree.jobs / "active", False)])
        log.info("ready: publications on port %s, requests on port %s of %s; %s keys accepted; trees watched by %s",
                 opts["publish_port"], opts["ret_port"], opts["interface"], len(self.accepted()),
                 self.doorbell.kind)  # fmt: skip
        self.look()

    def requests(self) -> None:
        """Answer what has come in, as one batch: handle, write, then reply."""
        replies: list[Reply] = []
        end = time.monotonic() + self.BATCH_SECONDS
        for _ in range(self.BATCH):
            try:
                parts = self.received()
            except zmq.Again:
                break
            if len(parts) >= 3 and parts[-2] == b"":
                reply = self.protocol.receive(parts[:-1], parts[-1], time.time())
                if reply:
                    replies.append(reply)
            if time.monotonic() > end:
                break
        failed = self.jobs.flush()
        self.reply(reply for reply in replies if reply.jid not in failed)
        self.work()

    def received(self) -> list[bytes]:
        """The frames of a request, and for presence_events where it comes from; raises zmq.Again."""
        if not self.opts["presence_events"]:
            return self.router.recv_multipart(zmq.NOBLOCK)
        frames = self.router.recv_multipart(zmq.NOBLOCK, copy=False)
        self.protocol.sender = plain_address(str(frames[-1].get("Peer-Address")))
        return [frame.bytes for frame in frames]

    def presence(self) -> None:
        """Tell whose address has a connection to publish_port: minions of one address come and go together."""
        here = connected(self.opts["publish_port"])
        before, self.present = self.present, {m for m in self.accepted() if self.protocol.address(m) in here}
        new, lost = sorted(self.present - before), sorted(before - self.present)
        if new or lost:
            self.protocol.events.append(("salt/presence/change", {"new": new, "lost": lost}))
        self.protocol.events.append(("salt/presence/present", {"present": sorted(self.present)}))
        self.work()

    def reply(self, replies: Iterable[Reply]) -> None:
        for reply in replies:
            with contextlib.suppress(zmq.ZMQError):
                self.router.send_multipart([*reply.envelope, reply.data], zmq.NOBLOCK)

    def rung(self) -> None:
        """The doorbell: look now, or in a moment if we have just looked; looking takes a third of the time at most."""
        wait = self._look_again - time.monotonic()
        if wait > 0:
            self.loop.at("look", wait, self.look)
        else:
            self.look()

    def look(self) -> None:
        """What the trees say now: keys that moved, jobs that came or went."""
        now, began = time.time(), time.monotonic()
        self.reply(self.protocol.look(now))
        if self.protocol.moved > (0 if self.loop.waits("storm") else self.STORM):
            self.storm()
        self.jobs.look(now)
        self.jobs.take_requests(now)
        self.work()
        ended = time.monotonic()
        self._look_again = ended + 2 * (ended - began)

    def work(self) -> None:
        """What follows from requests and looks: publications, the jobs' deadlines, events, held requests in slices."""
        now = time.time()
        step = now - time.monotonic() - self._offset
        if abs(step) > 1:
            self.jobs.shift(step)
            self._offset += step
        self.jobs.tick(now)
        self.publish(now)
        if (self.protocol.events or self.jobs.events) and not self.loop.waits("events"):
            self.loop.at("events", 0.1, self.write_events)  # nobody waits for them
        deadline = self.jobs.deadline()
        if deadline is None:
            self.loop.cancel("jobs")
        else:
            self.loop.at("jobs", max(0.0, deadline - now), self.work)
        if self.protocol.ready:
            self.loop.at("held", 0, self.held)

    def storm(self) -> None:
        """Many keys move: leave the bell off, and look twenty times a second until nothing has moved for a second."""
        if not self.loop.waits("storm"):
            self.doorbell.hush()
            self.loop.every("storm", 0.05, self.look)
        self.loop.at("listen", 1.0, self.listen)

    def listen(self) -> None:
        self.loop.cancel("storm")
        self.doorbell.listen()
        self.look()

    def write_events(self) -> None:
        events = self.protocol.events + self.jobs.events
        self.protocol.events.clear()
        self.jobs.events.clear()
        self.events.write(events, time.time())

    def held(self) -> None:
        self.reply(self.protocol.answer_held(time.time()))
        self.work()

    def publish(self, now: float) -> None:
        """Send what the jobs want sent, sealed after one more look at the keys (DESIGN.md 4)."""
        topic = [b"broadcast"] if self.opts["zmq_filtering"] else []  # that every minion hears, filtering or not
        if self.jobs.outgoing:
            self.reply(self.protocol.look(now))
        while self.jobs.outgoing:
            load = self.jobs.outgoing.pop(0)
            try:
                self.pub.send_multipart([*topic, self.protocol.publication(load, now)], zmq.NOBLOCK)
            except (zmq.Again, OSError, ValueError, TypeError, RecursionError) as error:
                log.error("job %s could not be published: %s", load["jid"], error)

    def save(self) -> None:
        try:
            self.protocol.save()
        except OSError as error:
            log.warning("sessions cannot be saved: %s", error)

    def clean(self) -> None:
        self.jobs.clean(time.time())

    def reload(self) -> None:
        """SIGHUP: read the configuration again; what needs new sockets or paths waits for a restart, and is named."""
        reload_opts(self.opts, MASTER_FIXED)


FIXED = "root_dir pki_dir cachedir user keysize ipv6 tcp_keepalive tcp_keepalive_idle tcp_keepalive_cnt".split()
FIXED += ["tcp_keepalive_intvl", "zmq_filtering"]
MASTER_FIXED = (
    "interface",
    "publish_port",
    "ret_port",
    "key_watch",
    "key_rescan",
    "max_message_size",
    "max_event_size",
    "presence_events",
    "loop_interval",
    "master_sign_pubkey",
    "master_sign_key_name",
    "master_use_pubkey_signature",
    "master_pubkey_signature",
)
MINION_FIXED = (
    "master",
    "master_type",
    "master_shuffle",
    "master_port",
    "publish_port",
    "loop_interval",
    "recon_default",
    "recon_max",
)


def reload_opts(opts: dict[str, Any], fixed: tuple[str, ...]) -> None:
    """Read the configuration again, in place; options in `fixed`, and the paths, keep their values."""
    try:
        new = load_opts(opts["role"], opts["conf_dir"], opts["__given__"])
    except Failure as error:
        log.error("the configuration is not taken over: %s", error)
        return
    for name in (*fixed, *FIXED):
        if new[name] != opts[name]:
            log.warning("%s is changed at the next start only", name)
            new[name] = opts[name]
    opts.update(new)
    for warning in new["__warnings__"]:
        log.warning("%s", warning)
    setup_log(opts["log_level"])
    log.info("the configuration is read again")


# ---- 17. Minion -------------------------------------------------------------------------------------------------
# The minion's loop never runs a function that can hang: a process without threads or sockets, the forker, forks a
# child for each job. The child leads a session of its own, writes outbox/JID and ends; it outlives the minion.


class Forker:
    """The helper process that job children are forked from; made before the first thread and the first socket.

    Packets to it: `J jid` run the job in proc/JID, `G` collect grains, `O` read the options again.
    Packets from it: `J jid` the job has ended, `G` there are new grains."""

    def __init__(self, opts: dict[str, Any], lock_fd: int) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.umask = os.umask(0o077)
        self.opts, self.socket = opts, ours
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            os.close(lock_fd)  # a job that outlives the minion must not keep the next one from starting
            self.socket = theirs
            try:
                self._serve()
            finally:
                os._exit(0)
        theirs.close()

    def send(self, packet: str) -> None:
        self.socket.send(packet.encode())

    def received(self) -> list[str]:
        """The packets that have come; raises EOFError if the forker is gone."""
        packets = []
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self.socket.recv(256, socket.MSG_DONTWAIT)
                if not data:
                    raise EOFError
                packets.append(data.decode())
        return packets

    def close(self) -> None:
        """Tell the forker to end; the jobs go on."""
        self.socket.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _serve(self) -> None:
        import select

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        tree = MinionTree(self.opts)
        children: dict[int, str] = {}
        while True:
            sources: list[Any] = [self.socket, wake]
            ready = select.select(sources, [], [])[0]
            if wake in ready:
                os.read(wake, 4096)
                self._reap(tree, children)
            if self.socket in ready:
                packet = self.socket.recv(256).decode()
                if not packet:
                    return
                if packet == "O":
                    with contextlib.suppress(Failure):
                        new = load_opts("minion", self.opts["conf_dir"], self.opts["__given__"])
                        self.opts.update(new | {name: self.opts[name] for name in FIXED})
                    continue
                try:
                    pid = os.fork()
                except OSError as error:
                    self._lost(tree, packet, f"no process could be made for it: {error.strerror}")
                    continue
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    self._child(tree, packet)
                children[pid] = packet

    def _reap(self, tree: MinionTree, children: dict[int, str]) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                packet = children.pop(pid, "")
                if packet.startswith("J") and os.path.exists(tree.proc / packet[2:]):
                    code = os.waitstatus_to_exitcode(status)
                    how = f"it was killed by signal {-code}" if code < 0 else f"it ended itself with exit code {code}"
                    self._lost(tree, packet, how)
                elif packet:
                    self._tell(packet)

    def _lost(self, tree: MinionTree, packet: str, how: str) -> None:
        if packet.startswith("J") and (load := tree.job(packet[2:])):
            lost_job(tree, self.opts, load, how)
        self._tell(packet)

    def _tell(self, packet: str) -> None:
        with contextlib.suppress(OSError):
            self.socket.send(packet.encode())

    def _child(self, tree: MinionTree, packet: str) -> None:
        """In the forked child: do it and end, whatever happens."""
        code = 1
        try:
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            self.socket.close()
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            os.umask(self.umask)
            if packet == "G":
                tree.put_grains(collect_grains(self.opts))
            else:
                run_child(tree, self.opts, packet[2:])
            code = 0
        finally:
            os._exit(code)


def run_child(tree: MinionTree, opts: Mapping[str, Any], jid: str) -> None:
    """Run the job in proc/JID and leave its return in the outbox; a full disk is waited for, an hour long."""
    load = tree.job(jid)
    if load is None:
        return
    tree.start_job(load, os.getpid())
    master = functools.partial(ask_minion, tree, load.get("master", ""))
    result = Execution(opts, tree, load, master=master).run_job()
    for pause in [] if load.get("no_return") else [0.5, 1, 2, 5] + [10] * 360:
        try:
            tree.put_return(result)
            break
        except OSError:
            time.sleep(pause)
    tree.end_job(jid)


def lost_job(tree: MinionTree, opts: Mapping[str, Any], load: dict[str, Any], how: str) -> None:
    """The return of a job whose process is gone."""
    if not load.get("no_return") and not os.path.exists(tree.outbox / load["jid"]):
        with contextlib.suppress(OSError):
            tree.put_return(make_return(opts, load, f"The job's process did not finish: {how}.", 1, False))
    tree.end_job(load["jid"])


class Ask(NamedTuple):
    """A request on its way to the master: the load, who is told of the answer, and until when it is worth asking (in
    seconds of the monotonic clock)."""

    load: dict[str, Any]
    done: Callable[[Any], None]
    until: float = float("inf")


class Link:
    """The two connections to one master: a DEALER with one request at a time, and a SUB.

    The protocol decides what an answer means; MINION_STATES says what follows, by the names of methods here."""

    MAX_WAIT = 30.0  # seconds between two _auth of a minion whose key is pending: each is held by the master
    MAX_BACK_OFF = 60.0
    MAX_UNREAD = 100

    def __init__(self, minion: Minion, host: str) -> None:
        self.minion, self.opts, self.loop = minion, minion.opts, minion.loop
        self.name = host
        self.host, self.ret_port = host_and_port(host, minion.opts["master_port"])
        self.protocol = MinionProtocol(minion.opts, minion.tree, minion.key)
        self.dealer: zmq.Socket[Any] | None = None
        self.sub: zmq.Socket[Any] | None = None
        self.queue: list[Ask] = []
        self.current: Ask | None = None
        self.unread: list[list[bytes]] = []
        self.up = self.greeted = self.rekeying = False
        self.tries = self.refusals = self.losses = 0
        self.said = self.sending = ""
        self.since = time.monotonic()  # when `up` became what it is

    # requests

    def ask(self, load: dict[str, Any], done: Callable[[Any], None], first: bool = False, wait: float = 0) -> None:
        """Queue a request; `done` gets the object in the reply. It is sent again until there is one, or `wait` seconds
        have passed."""
        asked = Ask(load, done, time.monotonic() + wait if wait else float("inf"))
        self.queue.insert(0, asked) if first else self.queue.append(asked)
        self.pump()

    def pump(self) -> None:
        """Send the next request, or the next return in the outbox, if nothing is under way."""
        if self.protocol.state != CONNECTED or self.current:
            return
        while self.queue and self.queue[0].until < time.monotonic():
            self.queue.pop(0)
        self.current = self.queue.pop(0) if self.queue else self.minion.next_return(self)
        if self.current:
            self._send(self.protocol.request(self.current.load, time.time()), self._request_timeout())

    def _request_timeout(self) -> float:
        # a lost return is found by its silence: soon at first, and seldom while the master is down
        return min(self.opts["return_retry_timer_max"] * 2**self.tries, self.opts["request_channel_timeout"])

    def _send(self, data: bytes, timeout: float) -> None:
        if self.dealer is None:
            self.dealer = self._socket(zmq.DEALER)
            self.dealer.connect(tcp(self.host, self.ret_port))
            self.loop.watch(self.dealer, self.answered)
        with contextlib.suppress(zmq.Again):
            self.dealer.send_multipart([b"", data], zmq.NOBLOCK)
        self.loop.at(self.timer("answer"), timeout, self.timed_out)

    def timer(self, name: str) -> str:
        return f"{name} {self.host} {self.ret_port}"

    def _socket(self, kind: int) -> zmq.Socket[Any]:
        socket_ = self.minion.context.socket(kind)
        keep_alive(socket_, self.opts, self.host)
        settings = {"RECONNECT_IVL": self.opts["recon_default"], "RECONNECT_IVL_MAX": self.opts["recon_max"]}
        # a NAT that forgets a connection says nothing: heartbeats notice within 30 s, at the master within 60; a name
        # is resolved at each try to connect, which without an end would last two minutes where packets are dropped
        settings |= {"HEARTBEAT_IVL": 15000, "HEARTBEAT_TIMEOUT": 15000, "HEARTBEAT_TTL": 60000}
        settings |= {"CONNECT_TIMEOUT": 10000, "HANDSHAKE_IVL": 10000, "SNDHWM": 100, "RCVHWM": 1000}
        settings["MAXMSGSIZE"] = 256 << 20
        for name, value in settings.items():
            socket_.setsockopt(getattr(zmq, name), value)
        return socket_

    def _close_dealer(self) -> None:
        if self.dealer:
            self.loop.unwatch(self.dealer)
            self.dealer.close(0)
            self.dealer = None

    def answered(self) -> None:
        while self.dealer:
            try:
                data = self.dealer.recv_multipart(zmq.NOBLOCK)[-1]
            except zmq.Again:
                return
            try:
                if self.protocol.state == AUTHENTICATING:
                    self.happened(self.protocol.auth_reply(data))
                elif self.current:
                    result = self.protocol.reply(data)
                    self.loop.cancel(self.timer("answer"))
                    asked, self.current = self.current, None
                    self.tries = self.refusals = self.losses = 0
                    asked.done(result)
                    self.pump()
            except PayloadError as error:
                log.debug("a reply of %s is ignored: %s", self.host, error)
            except AuthError as error:
                if self.protocol.state == CONNECTED:
                    log.info("%s: %s; authenticating again", self.host, error)
                    self.lost(str(error))
                else:
                    log.debug("a reply of %s is ignored: %s", self.host, error)

    def lost(self, why: str) -> None:
        """The master does not take our session: authenticate; where that does not help, not all the time, and
        without the return that it will not have."""
        self.losses += 1
        if self.losses < 3:
            self.happened(LOST)
            return
        self.protocol.why = f"{why}, {self.losses} times since its last answer"
        if self.current and self.minion.put_aside(self):
            self.current = None
        self._requeue()
        self.happened(TOO_OFTEN)

    def timed_out(self) -> None:
        self.tries = min(self.tries + 1, 10)
        where, minion = f"{self.host} port {self.ret_port}", self.protocol.id
        if self.protocol.state == AUTHENTICATING and self.protocol.session is None:
            why = f"it is down, or the key of {minion} is pending there (accept it: mv minions_pre/{minion} minions/)"
            self._say(logging.INFO, f"no answer from the master {where} yet: {why}; trying on")
        elif self.tries == 2:
            self._say(logging.WARNING, f"the master {where} does not answer; trying on")
        self.happened(TIMEOUT)

    # what MINION_STATES names

    def happened(self, event: str) -> None:
        getattr(self, self.protocol.step(event))()

    def wake(self) -> None:
        self.happened(WAKE)

    def authenticate(self) -> None:
        self._requeue()
        self._close_dealer()
        wait = min(self.opts["auth_timeout"] * 2**self.tries, self.MAX_WAIT)
        self._send(self.protocol.auth_request(), wait)

    def resend(self) -> None:
        self._requeue()
        self._close_dealer()
        self.pump()

    def _requeue(self) -> None:
        if self.current:
            self.queue.insert(0, self.current)
            self.current = None

    def wait(self) -> None:
        self._say(
            logging.INFO,
            f"the key of {self.protocol.id} is pending at {self.host}; the operator accepts it with "
            f"`mv minions_pre/{self.protocol.id} minions/` or salt-key -a {self.protocol.id}",
        )
        most = self.opts["acceptance_wait_time_max"]
        pause = self.opts["acceptance_wait_time"] * (2**self.refusals if most else 1)
        self.refusals = min(self.refusals + 1, 10)
        self._pause(min(pause, most) if most else pause)

    def back_off(self) -> None:
        self._say(logging.ERROR, f"{self.host}: {self.protocol.why}; trying again")
        # spread, and never for ever: what one reply has said, the next may take back
        pause = self.opts["random_reauth_delay"] * (0.5 + token(1)[0] / 256) * 2**self.refusals
        self.refusals = min(self.refusals + 1, 4)
        self._pause(max(1.0, min(pause, self.MAX_BACK_OFF)))

    def _pause(self, seconds: float) -> None:
        self.unread.clear()  # what was published while this minion was not accepted is not for it
        self.greeted = False
        self._close_dealer()
        self.loop.cancel(self.timer("answer"))
        self.loop.at(self.timer("wake"), seconds, self.wake)

    def _say(self, level: int, text: str) -> None:
        if text != self.said:
            log.log(level, "%s", text)
            self.said = text

    def connect(self) -> None:
        """Credentials are there: listen to publications, and go on with what waited for them."""
        self.loop.cancel(self.timer("answer"))
        self.tries, self.said, self.rekeying = 0, "", False
        if self.sub is None:
            self.sub = self._socket(zmq.SUB)
            for topic in topics(self.protocol.id) if self.opts["zmq_filtering"] else (b"",):
                self.sub.setsockopt(zmq.SUBSCRIBE, topic)
            self.monitor = self.sub.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
            self.loop.watch(self.sub, self.published)
            self.loop.watch(self.monitor, self.monitored)
            self.sub.connect(tcp(self.host, self.port()))
        self.read_unread()
        self.minion.connected(self)
        self.pump()
        try:
            self.minion.tree.put_schedule()
        except OSError as error:
            log.warning("minion.d/_schedule.conf cannot be written: %s", error)

    def port(self) -> int:
        """Where the master publishes: as our configuration says, else as it told us itself."""
        return self.opts["publish_port"] or self.protocol.publish_port

    def monitored(self) -> None:
        from zmq.utils.monitor import recv_monitor_message

        event = recv_monitor_message(self.monitor)["event"]
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            log.info("connected to %s, listening on port %s", self.host, self.port())
            self.up, self.since = True, time.monotonic()
            if self.current:  # it may have gone down with the connection before
                self.loop.at(self.timer("answer"), 1.0, self.timed_out)
            self.minion.connected(self)
        elif event == zmq.EVENT_DISCONNECTED:
            log.info("the connection to %s is lost; connecting again", self.host)
            self.up, self.since = False, time.monotonic()
            if self.current:  # its answer will not come; after a restart the master waits for it
                self.loop.at(self.timer("answer"), 1.0, self.timed_out)

    def rekey(self) -> None:
        """Ask for the shared key, which costs the master no RSA; one that does not know `_rekey` answers {}."""
        if not self.rekeying:
            self.rekeying = True
            self.ask({"cmd": "_rekey"}, self._rekeyed, first=True)

    def _rekeyed(self, answer: Any) -> None:
        self.rekeying = False
        try:
            self.protocol.new_aes(answer["aes"])
        except (TypeError, KeyError, AuthError):
            self.happened(LOST)
        else:
            self.read_unread()

    # publications

    def published(self) -> None:
        assert self.sub
        for _ in range(100):
            try:
                self.publication(self.sub.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return

    def publication(self, frames: list[bytes], again: bool = True) -> None:
        """Open a publication and run it if it is meant; one under a new shared key waits for that key."""
        try:
            load = self.protocol.publication(frames)
        except Undecipherable as error:
            if again and len(self.unread) < self.MAX_UNREAD:
                self.unread.append(frames)
            if again and isinstance(error, Unverified):  # anybody's, perhaps: the master is asked seldom (R17)
                again = not self.loop.waits(self.timer("unverified"))
                if again:
                    self.loop.at(self.timer("unverified"), max(1.0, self.opts["random_reauth_delay"]), lambda: None)
            if again and self.protocol.state == CONNECTED:
                self.happened(UNDECIPHERABLE)
        except SaltError as error:
            log.warning("a publication is ignored: %s", error)
        else:
            self.minion.job(load | {"master": self.name})

    def read_unread(self) -> None:
        unread, self.unread = self.unread, []
        for frames in unread:
            self.publication(frames, again=False)

    def close(self) -> list[Ask]:
        """Leave this master; gives the requests that it has not answered, a return under way excepted."""
        self._requeue()
        self._close_dealer()
        self.loop.cancel(self.timer("answer"))
        self.loop.cancel(self.timer("wake"))
        if self.sub:
            self.loop.unwatch(self.sub)
            self.loop.unwatch(self.monitor)
            self.sub.disable_monitor()
            self.sub.close(0)
        self.sub = None
        left = [asked for asked in self.queue if asked.load.get("jid") != self.sending or not self.sending]
        self.queue, self.sending = [], ""
        return left


def topics(minion: str) -> tuple[bytes, bytes]:
    """What a minion subscribes to with zmq_filtering (PROTOCOL.md 6)."""
    import hashlib  # costs an idle process 3 MB, so only here

    return b"broadcast", hashlib.sha1(minion.encode()).hexdigest().encode()


class Relay:
    """CACHE/.ask: a zmq socket of the file system, at which jobs ask the master through the minion's own connection,
    so that no job needs one of its own. A message is msgpack: [master or "", load], and back [answer, or None; why]."""

    WAIT = 60.0

    def __init__(self, minion: Minion) -> None:
        self.minion = minion
        self.socket = minion.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        with in_directory(minion.tree.cache) as place:
            Path(place, ".ask").unlink(missing_ok=True)
            self.socket.bind(f"ipc://{place}/.ask")
            os.chmod(f"{place}/.ask", 0o600)
        minion.loop.watch(self.socket, self.asked)

    def asked(self) -> None:
        for _ in range(100):
            try:
                *envelope, data = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                host, load = msgpack.unpackb(data, strict_map_key=False)
                if len(pack(dict(load))) > self.minion.opts["max_return_size"] + 65536:
                    raise ValueError("it is larger than max_return_size")
            except Exception as error:  # what cannot be sent must not get into the way of what can
                self.answer(envelope, None, f"it cannot be sent: {error}")
            else:
                self.minion.link_to(str(host)).ask(load, functools.partial(self.answer, envelope), wait=self.WAIT)

    def answer(self, envelope: list[bytes], answer: Any, why: str = "") -> None:
        with contextlib.suppress(zmq.ZMQError):
            self.socket.send_multipart([*envelope, msgpack.packb([answer, why])], zmq.NOBLOCK)


@contextlib.contextmanager
def in_directory(path: Path) -> Iterator[str]:
    """A short name for a directory: that of a socket may have no more than 107 bytes."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def ask_minion(tree: MinionTree, host: str, load: dict[str, Any]) -> Any:
    """In a job's process: the master's answer to a request, through the minion; raises OSError if there is none,
    PayloadError if it cannot be sent."""
    socket_: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    socket_.setsockopt(zmq.LINGER, 0)
    with in_directory(tree.cache) as place:
        try:
            socket_.connect(f"ipc://{place}/.ask")
            socket_.send_multipart([b"", msgpack.packb([host, load], default=_plain)])
            if not socket_.poll(int(Relay.WAIT * 1000)):
                raise OSError(errno.ETIMEDOUT, f"no answer within {Relay.WAIT:.0f} s")
            answer, why = msgpack.unpackb(socket_.recv_multipart()[-1], strict_map_key=False)
        finally:
            socket_.close(0)
    if why:
        raise PayloadError(why)
    return answer


class Minion:
    """The minion's loop: its link to the master, its jobs, its outbox."""

    def __init__(self, opts: dict[str, Any]) -> None:
        self.opts = opts
        self.tree = MinionTree(opts)
        make_directory(self.tree.cache)
        self._lock = lock(self.tree.cache / ".lock", "minion")
        self.tree.prepare(opts)
        self.tree.sweep()
        become(opts["user"], [self.tree.cache, self.tree.pki, self.tree.conf / "minion.d"])
        _ = zmq.DEALER  # imported before the fork, so that jobs that ask the master share it
        self.forker = Forker(opts, self._lock)
        self.forked: set[str] = set()  # jids of this run that the forker will answer for
        self.tree.load_executed()
        self.key = read_private_key(self.tree.pki / "minion.pem")
        self.grains, self.pillar = self.tree.grains(), self.tree.pillar()
        self.grains_ready = self.failed = False
        self.context = zmq.Context()
        self.loop = Loop()
        self.relay = Relay(self)
        self.outbox: dict[str, str] = {}  # jid -> the host of the master that wants it, "" if anyone does
        self.masters = master_list(opts)
        if opts["master_shuffle"]:
            self.masters.sort(key=lambda _: token(8))
        self.failover = opts["master_type"] == "failover" and len(self.masters) > 1
        self.links = [Link(self, host) for host in (self.masters[:1] if self.failover else self.masters)]
        self.schedule = Schedule()
        self.newest = 0  # microseconds since the epoch, of the last jid of our own

    def run(self) -> int:
        """Until SIGTERM or SIGINT; jobs that run go on, and their returns wait in the outbox."""
        loop = self.loop
        loop.on_signal(signal.SIGTERM, loop.stop)
        loop.on_signal(signal.SIGINT, loop.stop)
        loop.on_signal(signal.SIGHUP, self.reload)
        loop.watch(self.forker.socket.fileno(), self.forker_said)
        loop.every("outbox", 10 * max(0.1, self.opts["loop_interval"]), self.look)
        self.forker.send("G")
        self.read_schedule()
        self.look()
        log.info("minion %s, master %s", self.opts["id"], ", ".join(link.host for link in self.links))
        if not self.opts["autosign_grains"]:  # else the first `_auth` shows grains, and waits for them
            self.wake()
        loop.run()
        self.forker.close()
        self.context.destroy(linger=200)
        log.info("the minion ends")
        return 1 if self.failed else 0

    # jobs

    def job(self, load: dict[str, Any]) -> None:
        """Run a job if it is meant for this minion and was never run before."""
        facts = Facts(self.opts["id"], self.grains, self.pillar)
        delimiter = load.get("delimiter", ":")
        if not match(load["tgt"], load.get("tgt_type", "glob"), facts, delimiter):
            return
        if self.tree.was_executed(load["jid"]):
            log.debug("job %s was executed already", load["jid"])
            return
        functions = load["fun"] if isinstance(load["fun"], list) else [load["fun"]]
        log.info("job %s: %s", load["jid"], ", ".join(functions))
        try:
            if INSTANT.issuperset(functions):
                self.tree.remember(load["jid"])
                execution = Execution(self.opts, self.tree, load, [])
                execution.schedule = self.schedule
                self.tree.put_return(execution.run_job(), sync=False)
                self.returned(load["jid"], load["master"])
                if self.schedule.asked:
                    self.run_due()
            else:
                self.tree.start_job(load)  # first: from here on a crash is answered for
                self.tree.remember(load["jid"])
                self.forker.send(f"J {load['jid']}")
                self.forked.add(load["jid"])
        except OSError as error:
            log.error("job %s cannot be run: %s", load["jid"], error)
            made = make_return(self.opts, load, f"The minion cannot run this: {error}.", 1, False)
            self.link_to(made.pop("master", "")).ask(made, lambda _: None)

    def forker_said(self) -> None:
        try:
            packets = self.forker.received()
        except (EOFError, OSError):
            log.critical("the process that jobs are forked from is gone; start the minion again")
            self.failed = True
            self.loop.stop()
            return
        for packet in packets:
            if packet == "G":
                first, self.grains_ready = not self.grains_ready, True
                if first and self.opts["autosign_grains"]:
                    self.wake()
            else:
                self.forked.discard(packet[2:])
                self.returned(packet[2:])
        self.look_at_tree()
        self.look_at_schedule()

    def look(self) -> None:
        """Find returns that nobody rang for, and jobs whose process is gone."""
        alive = {record["jid"] for record in self.tree.jobs()}
        for jid in names(self.tree.proc):
            if jid not in alive and jid not in self.forked and (load := self.tree.job(jid)):
                lost_job(self.tree, self.opts, load, "the minion, or the machine, was restarted")
        for jid in names(self.tree.outbox):
            self.returned(jid)
        self.look_at_tree()
        self.look_at_schedule()
        if self.failover:
            self.look_at_master()

    # the schedule

    def look_at_schedule(self) -> None:
        """Read the entries again where a file of theirs has changed, and run what is due."""
        tree = self.tree
        sources = [tree.conf / "minion.d/_schedule.conf", tree.cache / "pillar", tree.cache / "grains"]
        if any(tree.changed(f"schedule {path.name}", path) for path in sources):
            self.read_schedule()
        self.run_due()

    def read_schedule(self) -> None:
        try:
            saved = self.tree.schedule()
        except Failure as error:
            log.error("the schedule stays as it was: %s", error)
            return
        pillar = self.tree.pillar()
        entries = schedule_of(self.opts, pillar, saved)
        self.schedule.load(entries, whens_of(self.grains, pillar), time.time())

    def run_due(self) -> None:
        """Run what is due, and come again when the next entry is."""
        for name in self.schedule.due(time.time(), time.monotonic()):
            self.run_scheduled(name)
        for problem in self.schedule.problems:
            log.error("schedule: %s", problem)
        self.schedule.problems.clear()
        pause = min(self.schedule.next() - time.time(), 3600.0)
        self.loop.at("schedule", max(0.01, pause), self.run_due)

    def run_scheduled(self, name: str) -> None:
        """Start the job of an entry, unless as many of them as its maxrunning run still."""
        entry = self.schedule.entries[name]
        if entry.get("jid_include", True):
            running = sum(record.get("schedule") == name for record in self.tree.jobs())
            if running >= entry.get("maxrunning", 1):
                log.debug("schedule: %s is skipped: %d of its jobs run still", name, running)
                return
        self.newest = max(int(time.time() * 1_000_000), self.newest + 1)
        load = scheduled_job(name, entry, jid_at(self.newest), self.opts["id"])
        log.info("job %s of the schedule, %s: %s", load["jid"], name, load["fun"])
        try:
            self.tree.start_job(load)
            self.forker.send(f"J {load['jid']}")
            self.forked.add(load["jid"])
        except OSError as error:
            log.error("job %s of the schedule cannot be run: %s", load["jid"], error)

    # returns

    def returned(self, jid: str, host: str | None = None) -> None:
        """A return is in the outbox: have it sent, by the link to the master that published the job."""
        if jid not in self.outbox and all(link.sending != jid for link in self.links):
            if host is None:
                host = (self.tree.get_return(jid) or {}).get("master", "")
            if os.path.exists(self.tree.outbox / jid):
                self.outbox[jid] = host
        for link in self.links:
            link.pump()

    def next_return(self, link: Link) -> Ask | None:
        """The next return to send over a link; its file goes when the master has acknowledged it."""
        while jid := next((jid for jid, host in self.outbox.items() if self.link_to(host) is link), ""):
            del self.outbox[jid]
            if load := self.tree.get_return(jid):
                load.pop("master", None)
                link.sending = jid
                return Ask(load, functools.partial(self.acknowledged, link, jid))
        return None

    def put_aside(self, link: Link) -> bool:
        """Take a return that the master refuses again and again out of the way of the others."""
        jid = link.sending
        if not jid or not link.current or link.current.load.get("jid") != jid:
            return False
        log.error("the return of job %s is refused by the master; it is kept as outbox/.bad-%s", jid, jid)
        with contextlib.suppress(OSError):
            os.rename(self.tree.outbox / jid, self.tree.outbox / f".bad-{jid}")
        link.sending = ""
        return True

    def acknowledged(self, link: Link, jid: str, answer: Any) -> None:
        link.sending = ""
        self.tree.acknowledged(jid)

    # the masters

    def wake(self) -> None:
        for link in self.links:
            link.wake()

    def link_to(self, host: str) -> Link:
        """The link to a master; to another one if there is none, one that is connected if possible."""
        named = [link for link in self.links if link.name == host]
        return min(named or self.links, key=lambda link: link.protocol.state != CONNECTED)

    def look_at_master(self) -> None:
        """failover: after master_alive_interval seconds without a connection the next master has its turn."""
        link = self.links[0]
        if link.up or time.monotonic() - link.since < (self.opts["master_alive_interval"] or 30):
            return
        host = self.masters[(self.masters.index(link.name) + 1) % len(self.masters)]
        log.warning("no connection to the master %s; going on with %s", link.name, host)
        left = link.close()
        self.links = [Link(self, host)]
        self.links[0].queue = left
        for jid in names(self.tree.outbox):
            self.returned(jid)
        self.wake()

    # the master

    def connected(self, link: Link) -> None:
        """The SUB is up: say so, once the grains are there to be targeted by."""
        if not link.greeted and link.up and self.grains_ready:
            link.greeted = True
            link.ask(self.pillar_load(), self.got_pillar)
            for tag in ("minion_start", f"salt/minion/{self.opts['id']}/start"):
                text = f"Minion {self.opts['id']} started at {time.ctime()}"
                link.ask({"cmd": "_minion_event", "data": text, "tag": tag, "pretag": None}, lambda _: None)

    def pillar_load(self) -> dict[str, Any]:
        """A `_pillar` request, which carries the grains (PROTOCOL.md 9)."""
        return pillar_load(self.opts, self.grains)

    def got_pillar(self, pillar: Any) -> None:
        """Take over the pillar that the master sent; what is no pillar leaves the old one."""
        if not isinstance(pillar, dict) or pillar == self.pillar:
            return
        if "_errors" in pillar:
            log.error("the master could not make all of the pillar: %s", pillar["_errors"])
        self.pillar = pillar
        try:
            self.tree.put_pillar(pillar)
        except OSError as error:
            log.error("the pillar cannot be kept for jobs: %s", error)
        self.tree.changed("pillar", self.tree.cache / "pillar")

    def look_at_tree(self) -> None:
        """Take over grains that were collected anew, and show them; a changed grains file has them collected. Take
        over a pillar that a job has fetched."""
        if self.tree.changed("conf", self.tree.conf / "grains"):
            self.forker.send("G")
        if self.tree.changed("pillar", self.tree.cache / "pillar"):
            self.pillar = self.tree.pillar()
        if self.tree.changed("grains", self.tree.cache / "grains"):
            before, self.grains = self.grains, self.tree.grains()
            for link in self.links if before != self.grains else []:
                if link.greeted:
                    link.ask(self.pillar_load(), self.got_pillar)
        for link in self.links:
            self.connected(link)

    def reload(self) -> None:
        """SIGHUP: read the configuration again; what is fixed at the start is named."""
        reload_opts(self.opts, MINION_FIXED)
        self.forker.send("O")
        self.forker.send("G")
        self.read_schedule()
        self.run_due()


# ---- 18. Local client -------------------------------------------------------------------------------------------
# The command line's side of a job: write jobs/new/JID, follow its file. No socket, no crypto, no msgpack.


class LocalClient:
    """Publish jobs through the tree of the master whose configuration is in `conf_dir`, and read what comes back.

    `LocalClient("/etc/salt").cmd("web*", "test.ping")` gives {id: return}. Raises Failure."""

    def __init__(self, conf_dir: str = "/etc/salt") -> None:
        self.opts = load_opts("master", conf_dir)
        self.cache = Path(self.opts["cachedir"])
        self.jobs = self.cache / "jobs"

    def cmd(
        self,
        tgt: str | list[str],
        fun: str | list[str],
        arg: Iterable[Any] = (),
        timeout: float | None = None,
        tgt_type: str = "glob",
        kwarg: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run a function and wait: {id: return} of the minions that have returned."""
        jid = self.submit(tgt, fun, list(arg), kwarg or {}, tgt_type, timeout)
        return {line["id"]: line["return"] for line in self.follow(jid) if line["event"] == "ret"}

    def check_master(self) -> None:
        """Failure unless a master runs on this tree."""
        try:
            if locked(self.cache / ".lock"):
                return
        except OSError as error:
            raise Failure(f"{self.cache} is closed to you ({error.strerror}): run this as the master's user.") from None
        raise Failure(f"no master runs on {self.cache}: start one with `saltlite master -c {self.opts['conf_dir']}`.")

    def submit(
        self,
        tgt: str | list[str],
        fun: str | list[str],
        arg: list[Any],
        kwarg: dict[str, Any],
        tgt_type: str = "glob",
        timeout: float | None = None,
    ) -> str:
        """Put a request into jobs/new, by rename; gives its jid."""
        self.check_master()
        request: dict[str, Any] = {"fun": fun, "tgt": tgt, "tgt_type": tgt_type, "arg": arg, "user": caller()}
        if kwarg:
            request["kwarg"] = kwarg
        if timeout is not None:
            request["timeout"] = timeout
        now = time.time()
        while True:
            jid = jid_of(now)
            temporary = self.jobs / "new" / f".{jid}"
            try:
                fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                break
            except FileExistsError:
                now += 1e-6
            except OSError as error:
                raise Failure(f"{temporary.parent} does not take a job from you: {error.strerror}.") from None
        try:
            write_all(fd, to_json(request).encode("utf-8", "surrogateescape"))
            owner = os.stat(self.jobs / "new").st_uid
            if os.geteuid() == 0 and owner:
                os.fchown(fd, owner, -1)  # root publishes through a master that is not root
            os.rename(temporary, self.jobs / "new" / jid)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise Failure(f"the job could not be written: {error.strerror}.") from None
        finally:
            os.close(fd)
        return jid

    def follow(self, jid: str) -> Iterator[dict[str, Any]]:
        """The lines of a job's file as they come, `new` first, until its `end`; Failure if it was refused."""
        rest = b""
        with self._wait(jid) as file:
            pause, checked = 0.002, time.monotonic()
            while True:
                chunk = file.read(1 << 20)
                if not chunk:
                    if os.fstat(file.fileno()).st_nlink == 0:
                        raise Failure(f"job {jid} was cancelled: its file was removed from jobs/active.")
                    time.sleep(pause)
                    pause = min(pause * 1.2, 0.05)
                    if time.monotonic() - checked > 1:
                        checked = time.monotonic()
                        self._check_job(jid)
                    continue
                pause = 0.002
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    found = from_json(line)
                    yield found
                    if found["event"] == "end":
                        return

    def _places(self, jid: str) -> list[Path]:
        return [self.jobs / "active" / f"{jid}.jsonl", self.jobs / "done" / jid[:8] / f"{jid}.jsonl"]

    def _check_job(self, jid: str) -> None:
        """Failure if nothing can come any more: the file was taken away, or the master is gone."""
        if not any(place.exists() for place in self._places(jid)) and not self._places(jid)[1].exists():
            raise Failure(f"job {jid} was cancelled: its file was taken out of jobs/active.")
        try:
            self.check_master()
        except Failure as failure:
            raise Failure(f"{failure} Job {jid} goes on when it does.") from None

    def _wait(self, jid: str) -> io.FileIO:
        """The job's file, open, once the master has taken the request."""
        places = self._places(jid)
        why = self.jobs / "bad" / f"{jid}.why"
        began = asked = time.monotonic()
        while True:
            for place in places:
                with contextlib.suppress(FileNotFoundError):  # it moves from one to the other
                    return io.FileIO(place)
            if why.exists() and not (self.jobs / "new" / jid).exists():
                raise Failure(why.read_text().strip(), EX_USAGE)
            if time.monotonic() - asked > 1:
                asked = time.monotonic()
                self.check_master()
            if time.monotonic() - began > 60:
                raise Failure(f"the master does not take {self.jobs / 'new' / jid}; it stays there.")
            time.sleep(0.002 if time.monotonic() - began < 0.2 else 0.02)


def caller() -> str:
    """Who calls, as Salt names it: sudo_NAME behind sudo."""
    name = user_name(os.geteuid())
    sudo = os.environ.get("SUDO_USER", "")
    return f"sudo_{sudo}" if sudo and sudo != name and os.geteuid() == 0 else name


# ---- 19. Output: what a terminal or a pipe gets -----------------------------------------------------------------
# Each outputter makes the text that Salt 3008 prints for the same data. Their `opts` (see `style`): color (bool),
# terminal (bool), output_indent (int, "pretty" or None: not given), retcode (int, colours a failed return).

COLOR_NAMES = ("RED", "GREEN", "YELLOW", "BLUE", "MAGENTA", "CYAN")
COLORS = {name: f"\x1b[0;{number}m" for number, name in enumerate(COLOR_NAMES, 31)}
COLORS |= {f"LIGHT_{name}": code.replace("0;", "0;1;") for name, code in COLORS.items()} | {"END": "\x1b[0;0m"}
PLAIN = dict.fromkeys(COLORS, "")

# Controls (C0 but tab and line end, DEL, C1), marks that reorder text, line separators, halves of surrogate pairs
UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
SURROGATE = re.compile("[\ud800-\udfff]")  # cannot be written as UTF-8

KWARG = re.compile(r"([^\d\W][\w.-]*)=(?!=)(.*)$")


def style(terminal: bool, no_color: bool = False, force_color: bool = False, indent: Any = None) -> dict[str, Any]:
    """The opts of the outputters, from the command line's options and whether stdout is a terminal."""
    color = force_color or terminal and not no_color
    return {"color": color, "terminal": terminal, "output_indent": indent, "retcode": 0}


def colors(opts: Mapping[str, Any]) -> Mapping[str, str]:
    return COLORS if opts.get("color") else PLAIN


def no_escape(value: Any) -> str:
    """A value's text without ESC, so that in coloured output every ESC is ours."""
    return str(value).replace("\x1b", "?")


def one_line(value: Any) -> str:
    """The same on one line: what a minion says must not look like what another one says."""
    return no_escape(value).replace("\n", "\\n").replace("\r", "\\r")


def out_nested(data: Any, opts: Mapping[str, Any]) -> str:
    """Indented text. What is not a text, a number, a list or a map (bytes that are no UTF-8 …) is left out, as in
    Salt; an empty text, list or map has no line either."""
    color = colors(opts)
    failed = opts.get("retcode", 0) != 0
    key_color = color["RED" if failed else "CYAN"]
    lines: list[str] = []

    def line(indent: int, shade: str, text: str, prefix: str = "", suffix: str = "") -> None:
        lines.append(f"{' ' * indent}{shade}{prefix}{text}{color['END']}{suffix}")

    def display(value: Any, indent: int, prefix: str) -> None:
        if isinstance(value, bytes):
            value = decoded(value)
        if value is None or isinstance(value, int | float):
            line(indent, color["LIGHT_YELLOW"], repr(value), prefix)
        elif isinstance(value, str):
            for text in value.splitlines():
                line(indent, color["GREEN"], no_escape(text), prefix)
                prefix = " " * len(prefix)
        elif isinstance(value, list | tuple):
            for member in value:
                if isinstance(member, list | tuple | Mapping):
                    line(indent, color["RED" if failed else "GREEN"], "|_")
                    display(member, indent + 2, "" if isinstance(member, Mapping) else "- ")
                else:
                    display(member, indent, "- ")
        elif isinstance(value, Mapping):
            if indent:
                line(indent, key_color, "----------")
            for key, inner in items(value):
                line(indent, key_color, one_line(key), prefix, ":")
                display(inner, indent + 4, "")

    display(data, opts.get("nested_indent", 0), "")
    return "\n".join(lines)


def decoded(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def items(value: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """A map's items, sorted by key; keys of different types as texts."""
    try:
        return [(key, value[key]) for key in sorted(value)]
    except TypeError:
        return sorted({str(key): inner for key, inner in value.items()}.items(), key=lambda item: item[0])


def out_no_return(data: Any, opts: Mapping[str, Any]) -> str:
    """{id: sentence} of minions that did not return."""
    color = colors(opts)
    lines = []
    for minion in sorted(data):
        lines.append(f"{color['CYAN']}{no_escape(minion)}{color['END']}:")
        lines += [f"{color['RED']}    {no_escape(line)}{color['END']}" for line in str(data[minion]).split("\n")]
    return "\n".join(lines)


KEY_STATES = {  # directory: heading, colour
    "local": ("Local Keys:", "MAGENTA"),
    "minions": ("Accepted Keys:", "GREEN"),
    "minions_denied": ("Denied Keys:", "MAGENTA"),
    "minions_pre": ("Unaccepted Keys:", "RED"),
    "minions_rejected": ("Rejected Keys:", "BLUE"),
}


def out_key(data: Any, opts: Mapping[str, Any]) -> str:
    """{directory: [id…]} or {directory: {id: fingerprint or key}}, as salt-key prints it."""
    color = colors(opts)
    lines = []
    for state in sorted(data):
        heading, name = KEY_STATES[state]
        lines.append(f"{color['LIGHT_' + name]}{heading}{color['END']}")
        for minion in sorted(data[state]):
            detail = f":  {no_escape(data[state][minion])}" if isinstance(data[state], dict) else ""
            lines.append(f"{color[name]}{no_escape(minion)}{detail}{color['END']}")
    return "\n".join(lines)


def out_highstate(data: Any, opts: Mapping[str, Any]) -> str:
    """{id: what state.apply returns}: {"module_|-id_|-name_|-function": {result, comment, changes …}}, or a list of
    errors, or a text. Of `opts` also state_output and state_verbose. ValueError if a state lacks its number."""
    return "\n".join(highstate(no_escape(minion), found, opts) for minion, found in data.items())


def highstate(minion: str, data: Any, opts: Mapping[str, Any]) -> str:
    """The states of one minion in their order, and the summary."""
    color = colors(opts)
    shade, lines = color["CYAN"], []
    if isinstance(data, int | str):
        lines = [f"{color['GREEN']}    {no_escape(line)}{color['END']}" for line in str(data).splitlines()]
    elif isinstance(data, list):
        shade = color["LIGHT_RED"]
        lines = [f"    {shade}Data failed to compile:{color['END']}"]
        indented = (no_escape(error).replace("\n", "\n    ") for error in data)
        lines += [f"{shade}----------\n    {error}{color['END']}" for error in indented]
    else:
        shade = color["GREEN"]
        states = {tag: state for tag, state in (data or {}).items() if isinstance(state, dict) and "result" in state}
        if any("__run_num__" not in state for state in states.values()):
            raise ValueError("these are no states")
        counts: dict[Any, int] = {}
        for tag, state in sorted(states.items(), key=lambda item: item[1]["__run_num__"]):
            result, changes = state["result"], state["changes"]
            counts[result] = counts.get(result, 0) + 1
            counts["changed"] = counts.get("changed", 0) + bool(changes)
            if result and not changes and not opts.get("state_verbose", True):
                continue
            own = color[{False: "RED", None: "LIGHT_YELLOW"}.get(result, "CYAN" if changes else "GREEN")]
            shade = shade if result else own
            mode, _, by_id = opts.get("state_output", "full").partition("_")
            parts = [one_line(part) for part in tag.split("_|-")]
            name = parts[1] if by_id else parts[2]
            terse = {"terse": True, "mixed": result is not False, "changes": result and not changes}
            if terse.get(mode):
                lines.append(terse_state(state, parts, name, own, color))
            else:
                counts["warnings"] = counts.get("warnings", 0) + ("warnings" in state)
                lines += full_state(state, parts, name, own, opts)
        lines += summary(minion, states, counts, color)
    return "\n".join([f"{shade}{minion}:{color['END']}", *lines])


def terse_state(state: dict[str, Any], parts: list[str], name: str, shade: str, color: Mapping[str, str]) -> str:
    words = {False: "Failed", None: "Differs"}
    result = words.get(state["result"], "Changed" if state["changes"] else "Clean")
    told = warnings_of(state).replace("\n", "\n    ") if "warnings" in state else ""
    warned = f"{color['LIGHT_RED']}Warnings:\n    {told}{color['END']}" if "warnings" in state else ""
    text = f"{warned} {shade} Name: {name} - Function: {parts[0]}.{parts[-1]} - Result: {result}"
    if "start_time" in state:
        text += one_line(f" - Started: {state['start_time']} - Duration: {state['duration']} ms")
    return text + color["END"]


def warnings_of(state: dict[str, Any]) -> str:
    return no_escape("\n".join(state["warnings"]))


def full_state(
    state: dict[str, Any], parts: list[str], name: str, shade: str, opts: Mapping[str, Any]
) -> Iterator[str]:
    """A state as a block of `Word: value` lines."""
    color = colors(opts)
    rows = {"ID": parts[1], "Function": f"{parts[0]}.{parts[3]}", "Result": state["result"]}
    if name != parts[1]:
        rows = {"ID": parts[1], "Function": rows["Function"], "Name": name, "Result": state["result"]}
    rows["Comment"] = str(state["comment"]).strip().replace("\n", "\n" + " " * 14)
    more = state.get("data", [])
    for item in more if isinstance(more, list) else [] if isinstance(more, dict) else [more]:
        rows["Comment"] += f" {item}"
    for key, value in more.items() if isinstance(more, dict) else ():
        rows["Comment"] += f"\n\t\t{key}: {value}"
    if "start_time" in state:
        duration = state.get("duration", "")
        rows |= {"Started": state["start_time"], "Duration": duration if duration == "" else f"{duration} ms"}
    yield f"{shade}----------{color['END']}"
    for word, value in rows.items():
        text = one_line(value) if word != "Comment" else re.sub(r"\n(?![ \t])", "\n" + " " * 14, no_escape(value))
        yield f"    {shade}{word:>8}: {text}{color['END']}"
    changes, text = state["changes"], ""
    if changes and isinstance(changes, dict):
        text = "\n" + out_nested(changes, {"color": opts.get("color"), "nested_indent": 14}).rstrip()
    elif changes:
        text = one_line(f"Invalid Changes data: {changes}")
    yield f"{shade}     Changes:   {text}{color['END']}"
    if "warnings" in state:
        import textwrap

        filled = textwrap.fill(warnings_of(state), 80, initial_indent=" " * 14, subsequent_indent=" " * 14)
        yield f"   {color['LIGHT_RED']} Warnings: {filled.lstrip()}{color['END']}"


def summary(
    minion: str, states: Mapping[str, dict[str, Any]], counts: dict[Any, int], color: Mapping[str, str]
) -> Iterator[str]:
    """How many states did what, and how long they took; those that ran in parallel as long as the longest."""
    changed, warned = counts.pop("changed", 0), counts.pop("warnings", 0)
    width = 11 + max((len(str(count)) for count in [*counts.values(), *[warned] * bool(warned)]), default=0)

    def count(word: str, number: int) -> str:
        return f"{word}: {number:>{width - len(word) - 2}}"

    failed, dry = counts.get(False, 0), counts.get(None, 0)
    notes = [f"{color['LIGHT_YELLOW']}unchanged={dry}{color['END']}"] if dry else []
    notes += [f"{color['GREEN']}changed={changed}{color['END']}"] if changed else []
    yield f"{color['CYAN']}\nSummary for {minion}\n{'-' * width}{color['END']}"
    yield f"{color['GREEN']}{count('Succeeded', counts.get(True, 0) + dry)}{color['END']}" + (
        f" ({', '.join(notes)})" if notes else ""
    )
    yield f"{color['RED' if failed else 'CYAN']}{count('Failed', failed)}{color['END']}"
    if warned:
        yield f"{color['LIGHT_RED']}{count('Warnings', warned)}{color['END']}"
    yield f"{color['CYAN']}{'-' * width}\nTotal states run: {sum(counts.values()):>{width - 7}}{color['END']}"
    took: dict[bool, list[float]] = {True: [0.0], False: []}
    for state in states.values():
        took["__parallel__" in state].append(float(str(state.get("duration", 0)).removesuffix(" ms") or 0))
    total = sum(took[False]) + max(took[True])
    run_time = f"{total / 1000 if total > 999 else total:.3f}"
    yield f"{color['CYAN']}Total run time: {run_time:>{width - 5}} {'s' if total > 999 else 'ms'}{color['END']}"


def out_json(data: Any, opts: Mapping[str, Any]) -> str:
    """One document; what JSON has no word for as its repr, and {} if a key is none that JSON can have."""
    indent = opts.get("output_indent")
    spaces = 4 if indent is None or indent == "pretty" else None if indent < 0 else indent
    try:
        return json.dumps(data, default=repr, indent=spaces, sort_keys=indent == "pretty", ensure_ascii=False)
    except TypeError:
        return "{}"


def out_yaml(data: Any, opts: Mapping[str, Any]) -> str:
    indent = opts.get("output_indent")

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """The safe dumper, with NULL for what YAML has no word for."""

    Dumper.add_multi_representer(dict, lambda dumper, value: dumper.represent_dict(value))
    Dumper.add_representer(None, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:null", "NULL"))
    layout = {} if indent is None or indent == "pretty" else {"indent": max(indent, 0)}
    flow = isinstance(indent, int) and indent < 0
    return str(yaml.dump(data, Dumper=Dumper, allow_unicode=True, default_flow_style=flow, **layout))


def out_txt(data: Any, opts: Mapping[str, Any]) -> str:
    """`id: line` for each line of a text, `id: value` for anything else."""
    if not isinstance(data, Mapping):
        return data if isinstance(data, str) else out_pprint(data, {})
    lines = []
    for key, value in data.items():
        parts: list[Any] = value.splitlines() if isinstance(value, str | bytes) else [value]
        lines += [f"{key}: {part}" for part in parts]
    return "\n".join(lines)


def out_pprint(data: Any, opts: Mapping[str, Any]) -> str:
    import pprint

    indent = opts.get("output_indent")
    return pprint.pformat(data, indent=indent if isinstance(indent, int) and indent >= 0 else 1)


Outputter = Callable[[Any, Mapping[str, Any]], str]
OUTPUTTERS: dict[str, Outputter] = {
    "nested": out_nested,
    "json": out_json,
    "yaml": out_yaml,
    "txt": out_txt,
    "text": out_txt,
    "raw": lambda data, opts: str(data),
    "quiet": lambda data, opts: "",
    "key": out_key,
    "pprint": out_pprint,
    "no_return": out_no_return,
    "highstate": out_highstate,
}
COLORED = (out_nested, out_key, out_no_return, out_highstate)


def printed(data: Any, out: str | None, opts: Mapping[str, Any]) -> str:
    """The text for stdout, which gets a line end behind it, and nothing at all if it is empty.

    Without a name, with a wrong one, or for data that the outputter cannot show: nested. On a terminal, nothing that
    a minion sent can move the cursor, change colours or reorder the text (SECURITY.md R21)."""
    outputter = OUTPUTTERS.get(out or "nested", out_nested)
    try:
        text = outputter(data, opts)
    except (LookupError, AttributeError, TypeError, ValueError):
        outputter = out_nested
        text = out_nested(data, opts)

    def escape(found: re.Match[str]) -> str:
        ours = found[0] == "\x1b" and outputter in COLORED
        return "\x1b" if ours else f"\\u{ord(found[0]):04x}"

    return (UNSAFE if opts.get("terminal") else SURROGATE).sub(escape, text.rstrip())


def event_text(event: Mapping[str, Any], opts: Mapping[str, Any]) -> str:
    """An event as Salt's state.event runner prints it; `_stamp`, in UTC, says when it came."""
    data, at = event.get("data"), event.get("time")
    if isinstance(data, dict) and isinstance(at, int | float):
        import datetime

        moment = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
        data = data | {"_stamp": moment.isoformat(timespec="microseconds")}
    return f"{printed(event['tag'], 'txt', opts)}\t{printed(data, 'json', opts)}"


def printed_docs(returns: Mapping[str, Any], opts: Mapping[str, Any]) -> str:
    """What `sys.doc` prints: each function once, whatever number of minions ({id: {function: doc}}) has it."""
    docs: dict[str, str] = {}
    for found in returns.values():
        for function, doc in found.items() if isinstance(found, dict) else ():
            if doc:
                docs.setdefault(str(function), str(doc))
    return printed("\n".join(f"{function}:\n{docs[function]}\n" for function in sorted(docs)), "raw", opts)


def load_yaml_args(words: Iterable[str], no_parse: Iterable[str] = ()) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a function as written on the command line: words become values by YAML, `name=value` a keyword
    argument, whose value stays text if the name is in `no_parse`. A number that may be a jid stays text too."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        if found := KWARG.match(word):
            kwargs[found[1]] = found[2] if found[1] in no_parse else yaml_word(found[2])
            continue
        value = yaml_word(word)
        args.append(str(value) if isinstance(value, int) and len(str(value)) == 20 else value)
    return args, kwargs


# ---- 20. Commands -----------------------------------------------------------------------------------------------


class Command(NamedTuple):
    """A row of COMMANDS: its name, its function (arguments -> exit code), one line of help, what adds its options."""

    name: str
    main: Callable[[argparse.Namespace], int]
    help: str
    arguments: tuple[Callable[[argparse.ArgumentParser], None], ...]


def config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config-dir", default="/etc/salt", metavar="DIR", help="configuration directory")


def log_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-l", "--log-level", metavar="LEVEL", help="quiet, error, warning, info, debug …")


def daemon_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--daemon", action="store_true", help=argparse.SUPPRESS)


def target_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_mutually_exclusive_group()
    for flag, name, tgt_type in TARGET_FLAGS:
        text = f"the target is a {tgt_type.replace('_', ' ')}"
        kinds.add_argument(flag, name, dest="tgt_type", action="store_const", const=tgt_type, help=text)
    parser.add_argument(
        "-t", "--timeout", type=float, metavar="SEC", help="wait this long before asking silent minions"
    )
    parser.add_argument("--async", dest="is_async", action="store_true", help="print the jid and do not wait")
    parser.add_argument("-s", "--static", action="store_true", help="print everything at once, at the end")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the jid, and who does not return")
    parser.add_argument("tgt", metavar="TARGET")
    parser.add_argument("fun", metavar="FUNCTION")
    parser.add_argument("arg", nargs="*", metavar="ARG", help="YAML; k=v is a keyword argument")


TARGET_FLAGS = (
    ("-E", "--pcre", "pcre"),
    ("-L", "--list", "list"),
    ("-G", "--grain", "grain"),
    ("-P", "--grain-pcre", "grain_pcre"),
    ("-I", "--pillar", "pillar"),
    ("-J", "--pillar-pcre", "pillar_pcre"),
    ("-N", "--nodegroup", "nodegroup"),
    ("-R", "--range", "range"),
    ("-S", "--ipcidr", "ipcidr"),
    ("-C", "--compound", "compound"),
)


def out_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", "--output", metavar="OUT", choices=sorted(OUTPUTTERS), help=", ".join(sorted(OUTPUTTERS))
    )
    parser.add_argument("--out-indent", "--output-indent", type=int, metavar="N", help="indentation of json output")
    parser.add_argument("--no-color", "--no-colour", action="store_true", help="never colour the output")
    parser.add_argument("--force-color", "--force-colour", action="store_true", help="colour it even in a pipe")
    parser.add_argument("--state-output", metavar="HOW", choices=CHOICES["states"], help=KINDS["states"][1])
    parser.add_argument("--state-verbose", metavar="BOOL", choices=["True", "False"], help="with states already right")


def call_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--local", action="store_true", help="do not speak to a master")
    parser.add_argument("--id", metavar="ID", help="run as this minion")
    parser.add_argument("--master", metavar="HOST", help="the master to speak to")
    parser.add_argument("--retcode-passthrough", action="store_true", help="exit with the function's retcode")
    parser.add_argument("fun", metavar="FUNCTION")
    parser.add_argument("arg", nargs="*", metavar="ARG", help="YAML; k=v is a keyword argument")


def event_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-a", "--all", action="store_true", help="begin with the events that are there already")
    parser.add_argument("-n", "--count", type=int, default=-1, metavar="N", help="end after so many events")
    parser.add_argument("--pretty", action="store_true", help="indent the data, as on a terminal")
    parser.add_argument("tag", nargs="*", metavar="TAG", help="show only events whose tag matches one of these globs")


def key_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_mutually_exclusive_group()
    verbs.add_argument(
        "-L", "--list-all", dest="verb", action="store_const", const=("list", "all"), help="list all keys"
    )
    verbs.add_argument("-l", "--list", dest="list", metavar="STATE", help="list pre, acc, rej, den or all")
    for flag, verb, _, text in KEY_VERBS:
        verbs.add_argument(f"-{flag}", f"--{verb}", dest=verb, metavar="GLOB", help=f"{text} the matching keys")
        one = {"dest": "verb", "action": "store_const", "const": (verb, "*"), "help": f"{text} all keys"}
        verbs.add_argument(f"-{flag.upper()}", f"--{verb}-all", **one)  # type: ignore[arg-type]
    for name in ("all", "accepted", "rejected", "denied"):
        parser.add_argument(f"--include-{name}", action="store_true", help=f"take {name} keys too")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


KEY_VERBS = (
    # flag, verb, the states it takes of itself, what it does
    ("a", "accept", (PENDING,), "accept"),
    ("r", "reject", (PENDING,), "reject"),
    ("d", "delete", (ACCEPTED, PENDING, REJECTED, "denied"), "delete"),
    ("f", "finger", (ACCEPTED, PENDING, REJECTED, "denied"), "print the fingerprints of"),
    ("p", "print", (ACCEPTED, PENDING, REJECTED, "denied"), "print"),
)
LISTED = (ACCEPTED, "denied", PENDING, REJECTED)
STATE_PREFIXES = (("acc", ACCEPTED), ("pre", PENDING), ("un", PENDING), ("rej", REJECTED), ("den", "denied"))


def main_master(args: argparse.Namespace) -> int:
    opts = daemon_opts("master", args)
    return Master(opts).run()


def main_minion(args: argparse.Namespace) -> int:
    opts = daemon_opts("minion", args)
    opts["id"] = opts["__given__"]["id"] = minion_id_of(opts)
    return Minion(opts).run()


def minion_id_of(opts: dict[str, Any]) -> str:
    """The id, written to minion_id when no option gives it."""
    found = find_id(opts)
    path = Path(opts["conf_dir"]) / "minion_id"
    if opts["minion_id_caching"] and not opts["id"] and not path.exists():
        try:
            put(path, found, 0o644)
        except OSError as error:
            raise Failure(f"{path} cannot be written: {error.strerror}.") from None
    return found


def daemon_opts(role: str, args: argparse.Namespace) -> dict[str, Any]:
    """The options of a daemon, with its log set up and its configuration's warnings said."""
    if args.daemon:
        raise Failure("saltlite stays in the foreground: let systemd, runit or `&` put it behind.", EX_USAGE)
    given = {"log_level": level_of(args)} if args.log_level else {}
    opts = load_opts(role, args.config_dir, given) | {"__given__": given}
    setup_log(opts["log_level"])
    for warning in opts["__warnings__"]:
        log.warning("%s", warning)
    if not os.path.exists(path := os.path.join(opts["conf_dir"], role)):
        log.warning("there is no %s: every option has its default, but for those in %s.d", path, role)
    harden()
    return opts


def level_of(args: argparse.Namespace) -> str:
    """The level that -l names; Failure if it is none."""
    level = str(args.log_level).lower()
    if level not in CHOICES["level"]:
        raise Failure(f"-l {level}: the level is {KINDS['level'][1]}.", EX_USAGE)
    return level


def setup_log(level: str) -> None:
    """Log to stderr from `level` on. One record is one line, whatever bytes it quotes; a flood is counted, not told."""
    names_: dict[str, str | int] = {
        "quiet": 100,
        "trace": "DEBUG",
        "all": "DEBUG",
        "garbage": "DEBUG",
        "profile": "INFO",
    }
    handler = logging.StreamHandler()
    handler.setFormatter(log_formatter())
    handler.addFilter(FloodGate())
    logger = logging.getLogger("saltlite")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(names_.get(level, level.upper()))


def log_formatter() -> logging.Formatter:
    class OneLine(logging.Formatter):
        def formatMessage(self, record: logging.LogRecord) -> str:
            record.message = printable(record.message)
            return super().formatMessage(record)

        def formatException(self, ei: Any) -> str:
            return "\n".join(map(printable, super().formatException(ei).splitlines()))

    return OneLine("%(asctime)s [%(levelname)-8s] %(message)s")


class FloodGate:
    """A log filter: of one kind of message, ten a second pass; the rest are counted and the count is told."""

    MOST = 10

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        second, count = self._seen.get(str(record.msg), (0, 0))
        if second != int(record.created):
            if count > self.MOST:
                record.msg = f"{record.msg} (and {count - self.MOST} more such messages before)"
            if len(self._seen) > 1000:
                self._seen.clear()
            second, count = int(record.created), 0
        key = str(record.msg).partition(" (and ")[0]
        self._seen[key] = (second, count + 1)
        return count < self.MOST


def main_salt(args: argparse.Namespace) -> int:
    """Publish, print returns as they come, name the silent. Exit codes: README, `What salt exits with`."""
    client = LocalClient(args.config_dir)
    state_style(args, client.opts)
    fun, arg, kwarg = job_words(args)
    jid = client.submit(args.tgt, fun, arg, kwarg, args.tgt_type or "glob", args.timeout)
    if args.is_async:
        next(iter(client.follow(jid)))
        say(f"Executed command with job ID: {jid}")
        return EX_OK
    if args.verbose:
        say(f"Executing job with jid {jid}\n{'-' * 43}\n")
    try:
        return show_job(args, client, jid)
    except KeyboardInterrupt:
        print(f"\nExiting gracefully on Ctrl-c\nThis job's jid is: {jid}", file=sys.stderr)
        return EX_FAILED


def job_words(args: argparse.Namespace) -> tuple[str | list[str], list[Any], dict[str, Any]]:
    """fun, arg and kwarg from the words of the command line; `a.b,c.d X , Y` is two functions, parted by a comma."""
    if "," not in args.fun:
        arg, kwarg = load_yaml_args(args.arg)
        return args.fun, arg, kwarg
    functions = args.fun.split(",")
    groups: list[list[str]] = [[]]
    for word in args.arg:
        if word == ",":
            groups.append([])
        elif word.startswith(",") and len(word) > 1:
            groups.append([word[1:]])
        else:
            groups[-1].append(word)
    lists = []
    for group in (groups + [[] for _ in functions])[: len(functions)]:
        arg, kwarg = load_yaml_args(group)
        lists.append([*arg, {"__kwarg__": True, **kwarg}] if kwarg else arg)
    return functions, lists, {}


def show_job(args: argparse.Namespace, client: LocalClient, jid: str) -> int:
    """Print a job's returns; gives the exit code."""
    bad: set[int] = set()
    everything: dict[str, Any] = {}
    silent: dict[str, str] = {}
    count, wanted, began = 0, 0, time.monotonic()
    progress = sys.stderr.isatty() and sys.stdout.isatty()
    for line in client.follow(jid):
        if line["event"] == "new":
            wanted = len(line["minions"])
        elif line["event"] == "ret":
            count += 1
            silent.pop(line["id"], None)
            well = all_well(line)
            if not well:
                bad.add(EX_MINION if line.get("success") is False and line.get("out") == "nested" else EX_FAILED)
            if args.static or args.fun == "sys.doc":
                everything[line["id"]] = line["return"]
            else:
                show({line["id"]: line["return"]}, args, line.get("out"), not well)
        elif line["event"] == "silent":
            silent[line["id"]] = silence(line)
        if progress and time.monotonic() - began > 1:
            print(f"\r\x1b[K{count} of {wanted} returned", end="\r", file=sys.stderr)
    if progress:
        print("\r\x1b[K", end="", file=sys.stderr)
    if not wanted:
        say("No minions matched the target. No command was sent, no jid was assigned.")
        return EX_NO_MATCH
    if args.fun == "sys.doc" and not args.out:
        say(printed_docs(everything, style(sys.stdout.isatty())))
        everything = {}
    if everything or args.static:
        show(everything | (silent if args.static else {}), args, None)
    if silent:
        bad.add(EX_FAILED)
        if not args.static:
            show(silent, args, "no_return")
    return min(bad, default=EX_OK)


def silence(line: dict[str, Any]) -> str:
    """What is printed for a minion that did not return."""
    since = line.get("since")
    heard = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since)) if since else "never"
    why = "It answers, but does not run the job" if line.get("answered") else "No response"
    return f"Minion did not return. [{why}; last heard: {heard}]"


def say(text: str) -> None:
    print(text, flush=True)


def state_style(args: argparse.Namespace, opts: Mapping[str, Any]) -> None:
    """The options of the configuration behind those of the command line that show states."""
    args.state_output = args.state_output or opts["state_output"]
    args.state_verbose = args.state_verbose or str(opts["state_verbose"])


def show(data: Any, args: argparse.Namespace, out: str | None, retcode: int = 0) -> None:
    """Print with the outputter that was asked for, or the one that fits."""
    terminal = sys.stdout.isatty()
    opts = style(terminal, args.no_color or "NO_COLOR" in os.environ, args.force_color, args.out_indent) | {
        "retcode": retcode,
        "state_output": args.state_output,
        "state_verbose": args.state_verbose != "False",
    }
    if text := printed(data, args.out or out, opts):
        say(text)


def main_call(args: argparse.Namespace) -> int:
    """Run a function on this machine, with pillar and a return at the master unless --local."""
    opts = load_opts("minion", args.config_dir, {"id": args.id} if args.id else None)
    setup_log(level_of(args) if args.log_level else "warning")
    if args.master:
        opts["master"] = args.master
    state_style(args, opts)
    opts["id"] = find_id(opts)
    tree = MinionTree(opts)
    arg, kwarg = load_yaml_args(args.arg)
    load = {"jid": jid_of(time.time()), "fun": args.fun, "tgt": opts["id"], "tgt_type": "glob", "ret": ""}
    load |= {"arg": [*arg, {"__kwarg__": True, **kwarg}] if kwarg else arg, "user": caller()}
    conversation = None if args.local else converse(opts, tree)
    execution_ = Execution(opts, tree, load, master=conversation.ask if conversation else None)
    execution_.grains = collect_grains(opts)
    if conversation:
        found = conversation.ask(pillar_load(opts, execution_.grains))
        execution_.pillar = found if isinstance(found, dict) else {}
    made = execution_.run_job()
    if args.fun == "sys.doc" and not args.out:
        say(printed_docs({"local": made["return"]}, style(sys.stdout.isatty())))
    else:
        show({"local": made["return"]}, args, made.get("out"), made["retcode"])
    if conversation:
        conversation.ask(made)
    if args.retcode_passthrough:
        return int(made["retcode"])
    return EX_FAILED if made["retcode"] or made["success"] is False else EX_OK


class Conversation:
    """One question after the other to the master, waiting for each answer: what `call` needs. Raises Failure."""

    def __init__(self, opts: dict[str, Any], tree: MinionTree, master: str) -> None:
        try:
            tree.prepare(opts)
        except OSError as error:
            raise Failure(f"the minion's tree cannot be used ({error}); run this as root, or with --local.") from None
        self.opts = opts
        self.host, self.ret_port = host_and_port(master, opts["master_port"])
        self.protocol = MinionProtocol(opts, tree, read_private_key(tree.pki / "minion.pem"))
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        keep_alive(self.socket, opts, self.host)
        self.socket.connect(tcp(self.host, self.ret_port))
        self._authenticate()

    def _authenticate(self) -> None:
        self._send(self.protocol.auth_request())
        try:
            event = self.protocol.auth_reply(self._receive(2 * self.opts["auth_timeout"]))
        except SaltError as error:
            raise Failure(f"{self.host} is no master that can be spoken to: {error}") from None
        if event == KEY_PENDING:
            self.protocol.why = "the key of this minion is pending"
        if event != GOT_CREDENTIALS:
            raise Failure(f"{self.host}: {self.protocol.why}; use --local to go without a master.")

    def _send(self, data: bytes) -> None:
        self.socket.send_multipart([b"", data])

    def _receive(self, seconds: float) -> bytes:
        if not self.socket.poll(int(seconds * 1000)):
            port, key = self.ret_port, self.protocol.id
            raise Failure(
                f"{self.host} port {port} does not answer: it is down, or the key of {key} is pending there; "
                "use --local to go without a master."
            )
        return self.socket.recv_multipart()[-1]

    def ask(self, load: dict[str, Any]) -> Any:
        """The object in the master's reply."""
        for _ in range(2):
            self._send(self.protocol.request(load, time.time()))
            try:
                return self.protocol.reply(self._receive(self.opts["request_channel_timeout"]))
            except AuthError:
                self._authenticate()
        raise Failure(f"{self.host} refuses this minion's session.")


def main_events(args: argparse.Namespace) -> int:
    """Print the master's events as they come, `TAG<tab>JSON`, until there were --count of them or ^C."""
    opts = load_opts("master", args.config_dir)
    cache, terminal = Path(opts["cachedir"]), sys.stdout.isatty()
    if not cache.is_dir():
        raise Failure(f"{cache} is no master's tree; start the master once, or name its directory with -c.")
    how = {"terminal": terminal, "output_indent": "pretty" if args.pretty or terminal else -1}
    count = None if args.count < 0 else args.count
    try:
        events = EventReader(cache / "events.jsonl", args.all).follow()
        wanted = (event for event in events if any(fnmatch.fnmatchcase(event["tag"], tag) for tag in args.tag or ["*"]))
        for event in itertools.islice(wanted, count):
            say(event_text(event, how))
    except PermissionError as error:
        raise Failure(f"{error.filename} is closed to you: run this as the master's user.") from None
    except KeyboardInterrupt:
        pass
    return EX_OK


def converse(opts: dict[str, Any], tree: MinionTree) -> Conversation:
    """A conversation with the first master that lets itself be spoken to; Failure of the last if none does."""
    *others, last = master_list(opts)
    for master in others:
        with contextlib.suppress(Failure):
            return Conversation(opts, tree, master)
    return Conversation(opts, tree, last)


# key: every verb moves files and says which


def main_key(args: argparse.Namespace) -> int:
    """salt-key on the tree: no master needs to run, and none is told; it sees the files move."""
    opts = load_opts("master", args.config_dir)
    tree = MasterTree(opts)
    if not (tree.pki / "minions").is_dir():
        raise Failure(f"{tree.pki} is no master's key tree; start the master once, or name its directory with -c.")
    try:
        for _, verb, states, _ in KEY_VERBS:
            glob = getattr(args, verb)
            if args.verb and args.verb[0] == verb:
                glob = "*"
            if glob is not None:
                return key_verb(args, tree, verb, glob, states)
        return key_list(args, tree, args.list or "all")
    except PermissionError as error:
        raise Failure(f"{error.filename} is closed to you: run this as the master's user.") from None


def keys_of(tree: MasterTree, glob: str, states: Iterable[str]) -> dict[str, list[str]]:
    """{state: ids} of the key files that match."""
    wanted = glob.split(",")
    return {
        state: [
            name for name in names(tree.pki / DIRECTORIES[state]) if any(fnmatch.fnmatchcase(name, w) for w in wanted)
        ]
        for state in LISTED
        if state in states
    }


def key_list(args: argparse.Namespace, tree: MasterTree, which: str) -> int:
    states = [state for prefix, state in STATE_PREFIXES if which.startswith(prefix)] or list(LISTED)
    if which != "all" and len(states) != 1:
        raise Failure(f"-l {which}: the states are acc, pre (or un), rej, den and all.", EX_USAGE)
    show({DIRECTORIES[state]: ids for state, ids in keys_of(tree, "*", states).items()}, args, "key")
    return EX_OK


def key_verb(args: argparse.Namespace, tree: MasterTree, verb: str, glob: str, states: tuple[str, ...]) -> int:
    """Do what a verb says to the keys that match, after asking; every move is named."""
    extra = {ACCEPTED: args.include_accepted, REJECTED: args.include_rejected, "denied": args.include_denied}
    target = {"accept": ACCEPTED, "reject": REJECTED}.get(verb)
    if target:
        states = tuple(s for s in LISTED if s != target and (s in states or args.include_all or extra.get(s)))
    found = {state: ids for state, ids in keys_of(tree, glob, states).items() if ids}
    if not found:
        say(f"The key glob {glob!r} does not match any{' unaccepted' if target else ''} keys.")
        return EX_OK
    if verb in ("finger", "print"):
        return key_show(args, tree, verb, found)
    structured = args.out in ("json", "yaml", "raw")
    if structured and verb == "delete" and not args.yes:
        raise Failure(f"with --out {args.out} nobody is asked: add -y to delete keys.", EX_USAGE)
    if not args.yes and not structured:
        say(f"The following keys are going to be {verb.removesuffix('e')}ed:")
        show({DIRECTORIES[state]: ids for state, ids in found.items()}, args, "key")
        if not agreed("n" if verb == "delete" else "y"):
            return EX_OK
    for state, ids in found.items():
        for minion in ids:
            source = tree.key_path(state, minion)
            if target:
                with contextlib.suppress(FileNotFoundError):  # somebody was faster
                    move(source, tree.key_path(target, minion))
                text = f"mv {DIRECTORIES[state]}/{minion} {DIRECTORIES[target]}/"
            else:
                source.unlink(missing_ok=True)
                text = f"rm {DIRECTORIES[state]}/{minion}"
            if not structured:
                say(printable(f"Key for minion {minion} {verb.removesuffix('e')}ed: {text}"))
    if structured:
        show({DIRECTORIES[target or state]: ids for state, ids in found.items()}, args, None)
    return EX_OK


def agreed(default: str) -> bool:
    """Ask at the terminal; no answer (no terminal) is the careful one."""
    try:
        answer = input("Proceed? [n/Y] " if default == "y" else "Proceed? [N/y] ")
    except EOFError:
        return False
    return (answer.strip() or default).lower() in ("y", "yes")


def key_show(args: argparse.Namespace, tree: MasterTree, verb: str, found: dict[str, list[str]]) -> int:
    """Fingerprints or key texts by state; `finger` of everything names the master's own key too."""
    shown: dict[str, dict[str, str]] = {}
    if verb == "finger" and args.verb:
        shown["local"] = {"master.pub": fingerprint(read(tree.pki / "master.pub", MAX_KEY_FILE).decode())}
    for state, ids in found.items():
        for minion in ids:
            try:
                text = read(tree.key_path(state, minion), MAX_KEY_FILE).decode("ascii", "backslashreplace")
            except OSError as error:
                shown.setdefault(DIRECTORIES[state], {})[minion] = f"(no key file: {error.strerror})"
                continue
            shown.setdefault(DIRECTORIES[state], {})[minion] = fingerprint(text) if verb == "finger" else clean(text)
    show(shown, args, "key")
    return EX_OK


COMMANDS = (
    Command("master", main_master, "run the master", (config_arguments, log_arguments, daemon_arguments)),
    Command("minion", main_minion, "run the minion", (config_arguments, log_arguments, daemon_arguments)),
    Command(
        "salt",
        main_salt,
        "run a function on minions",
        (config_arguments, log_arguments, out_arguments, target_arguments),
    ),
    Command("key", main_key, "list, accept, reject, delete keys", (config_arguments, out_arguments, key_arguments)),
    Command("events", main_events, "show what happens at the master", (config_arguments, event_arguments)),
    Command("call", main_call, "run a function here", (config_arguments, log_arguments, out_arguments, call_arguments)),
)


def parser_of(command: Command, program: str) -> argparse.ArgumentParser:
    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            self.print_usage(sys.stderr)
            self.exit(EX_USAGE, f"{self.prog}: error: {message}\n")

    parser = Parser(prog=program, description=command.help.capitalize() + ".", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"saltlite {VERSION} (speaks as Salt {SALT_VERSION})")
    for add in command.arguments:
        add(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; gives the exit code. Called as salt-key, salt-call … by a link, it is that command."""
    argv = list(sys.argv[1:] if argv is None else argv)
    program = os.path.basename(sys.argv[0])
    table = {command.name: command for command in COMMANDS}
    linked = "salt" if program == "salt" else program.removeprefix("salt-")
    if linked in table and program.startswith("salt"):
        name = linked
    elif argv and argv[0] in table:
        name = argv.pop(0)
        program = f"{program} {name}"
    else:
        return usage(argv, program, table)
    try:
        args = parser_of(table[name], program).parse_intermixed_args(argv)
        return table[name].main(args)
    except Failure as failure:
        print(f"saltlite: {failure}", file=sys.stderr)
        return failure.exit_code
    except OSError as error:
        if error.errno != errno.EPIPE:
            print(f"saltlite: {error.filename or 'a system call'}: {error.strerror}.", file=sys.stderr)
            return EX_FAILED
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EX_FAILED
    except KeyboardInterrupt:
        return 130


def usage(argv: list[str], program: str, table: Mapping[str, Command]) -> int:
    """What there is to type; asked for, or because what was typed is no command."""
    if argv[:1] == ["--version"]:
        say(f"saltlite {VERSION} (speaks as Salt {SALT_VERSION})")
        return EX_OK
    lines = [f"usage: {program} COMMAND …   ({program} COMMAND --help tells more)", ""]
    lines += [f"  {command.name:8}{command.help}" for command in table.values()]
    if argv and argv[0] not in ("-h", "--help", "help"):
        hint = "; options come behind the command" if argv[0].startswith("-") else nearest(argv[0], table)
        print(f"saltlite: {argv[0]!r} is no command{hint}.", *lines, sep="\n", file=sys.stderr)
        return EX_USAGE
    say("\n".join(lines))
    return EX_OK if argv else EX_USAGE


if __name__ == "__main__":
    sys.exit(main())
