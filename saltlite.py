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
#     "rich==15.0.0",
#     "ClusterShell==1.10.1",
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
    CACHE/jobs/active/JID.pause, .stop  operator     lets no more of a roll-out's minions start, for now or for good
    CACHE/jobs/active/.JID.jsonl   master            the same file: a job that is cancelled stays on record by it
    CACHE/jobs/queued/ID/JID       master            ID was absent and runs it when it comes; removing it takes it back
    CACHE/jobs/done/DAY/JID.jsonl  master            finished; goes after keep_jobs_seconds, or above keep_jobs_size
    CACHE/jobs/done/DAY/JID.ID.jsonl  master         what ID ran on its own account (call, schedule); goes likewise
    CACHE/jobs/bad/NAME, .why      master            a request that was refused, and the reason
    CACHE/sessions/ID              master            the session key of ID, and the fingerprint it was made for
    CACHE/sessions/.heard          master            what is needed to refuse repeats after a restart
    CACHE/sessions/.seen, .seen.old  master          requests taken since: a crash takes nothing twice
    CACHE/aes.key                  master            the shared key of all publications
    CACHE/minions/ID/grains.json   master            what ID last said of itself
    CACHE/minions/ID/mine.json     master            what ID has put into the mine
    CACHE/minions/ID/pillar.json   master            the pillar ID was last sent, for targets by pillar; 0600
    CACHE/minions/ID/preserve      key               these stay when ID's key goes, and this file goes in their place
    CACHE/events.jsonl             master            what has happened; rotated by size
    CACHE/present.json             master            who is connected, who waits, whose key is none; some seconds old
    CACHE/twins.json               master            ids that come from two machines in turn, and when each last did
    CACHE/metrics.prom             master            figures for a node exporter's textfile collector (metrics_file)
    CACHE/audit.jsonl              master, key       who published, was refused, moved a key; rotated by size
    CACHE/.alive                   master            a pipe whose reader is the master: others see by it that one runs
    CACHE/offers/NAME              cp, master        files of a `cp` under way; what a crash leaves goes after a day
    CACHE/.lock                    master, minion    held (flock): a daemon runs here, its pid is inside

    <config>/minion_id             minion, once      this minion's name
    <config>/minion.d/_schedule.conf  minion, job    the saved schedule, as real minions write it
    PKI/minion.pem .pub            minion, once      the minion's identity
    PKI/minion_master.pub          minion            the master's key, pinned at the first contact
    CACHE/proc/JID                 minion, job       the job runs (its pid is inside); one whose process is gone is
                                                     answered for, by the minion at its next look
    CACHE/outbox/JID               job               a return that no master has acknowledged; .bad-JID: cannot be read
    CACHE/files/ENV/PATH           job               a file of the master's, as its hash says (extrn_files: the web's)
    CACHE/parts/HASH               job               a file on its way; the next transfer goes on there
    CACHE/extmods/KIND             job               what saltutil.sync_KIND has fetched
    CACHE/salt-call                job               configuration and cache of the salt-call of a Salt that is here
    CACHE/executed                 minion            the last jids: nothing runs twice
    CACHE/grains, pillar           job, minion       the grains as last collected, the pillar as last sent
    CACHE/.ask                     minion            a socket: jobs ask the master through it
    CACHE/update                   job, minion       a new program on trial, and the old one; see terminal/trial.py
    CACHE/schedule                 job               what persist=False has kept out of _schedule.conf; until the start
    CACHE/.schedule.lock           job               held (flock): a job changes _schedule.conf, or that

A crash in the middle of a write leaves a dot-name, `.NAME.` and 8 hex digits, removed at the next start.

How to read it. The script has four parts, by role: who reads the master need not read the minion. In each part the
rings follow one another: pure (values in, values out: no file, socket, clock or thread), tree (files), protocol (bytes
in, bytes out; the tree and the time are arguments), io (sockets, processes, signals, the terminal). Everything uses
only what stands above it, so the script can be read from top to bottom, and `tests/test_shape.py` keeps it so.

    Ground
         1. Errors and small tools
         2. Options
         3. Payload
         4. Crypt
         5. YAML, words and nested data
         6. Targeting: which minions are meant
         7. Files
         8. Leaves: files that are read when they are asked for
         9. Configuration
        10. The log
        11. The loop
    Master
        12. Keys: who may join
        13. The life of a job
        14. Master tree
        15. Jobs
        16. Who speaks: peers and their sessions
        17. The shared key
        18. Who may join: admission
        19. Requests: bytes in, bytes out
        20. Master loop
    Minion
        21. Minion tree
        22. Minion protocol
        23. Running a function
        24. The forker
        25. Link: the connections to one master
        26. Minion loop
    Person
        27. Commands

What is a list that only grows, or what who trusts the master and the minion need not read, stands in files of its own
below etc/salt (section 8): options and configuration, transports (the master's ports), wires (a minion's connections),
requests (pillar, files, the mine), apart (what other processes do for a daemon), returns (what of them is kept),
rollouts and queues (which minions of a job start now, and which later), schedules, reports, watchers, renderers and
pillars (what pillar is made by), commands, clients, terminal, outputters, modules, elsewhere, grains.
"""

from __future__ import annotations

import base64
import binascii
import collections
import contextlib
import errno
import fcntl
import functools
import importlib
import itertools
import json
import operator
import os
import pwd
import re
import resource
import select
import signal
import stat
import sys
import time
import types
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeGuard

VERSION = "0.1.0"
SALT_VERSION = "3008.3"  # the release whose wire this is; what `saltversion` and test.version say
EX_OK, EX_FAILED, EX_NO_MATCH, EX_MINION, EX_USAGE = 0, 1, 2, 11, 64
PROTOCOL_VERSION = 3  # a session key for each minion; what is older lets one minion speak for another

sys.modules.setdefault("saltlite", sys.modules[__name__])  # so that a leaf's `from saltlite import …` means this script


class Lazy:
    """A module that is imported when it is first used, for start-up time and idle memory are features; with `of`, what
    that makes of the module. What was asked for once is kept, so the next time is an ordinary look-up."""

    def __init__(self, name: str, of: Callable[[Any], Any] = lambda module: module) -> None:
        self.__dict__.update(_name=name, _of=of)

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._of(importlib.import_module(self._name)), attribute)
        setattr(self, attribute, value)
        return value


if TYPE_CHECKING:
    import argparse
    import difflib
    import hashlib
    import inspect
    import ipaddress
    import logging
    import socket
    import traceback

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
else:
    for _name in "argparse difflib hashlib inspect ipaddress logging msgpack socket traceback yaml zmq".split():
        globals()[_name] = Lazy(_name)
    for _name in "ciphers hashes hmac serialization".split():
        globals()[_name] = Lazy(f"cryptography.hazmat.primitives.{_name}")
    padding = Lazy("cryptography.hazmat.primitives.asymmetric.padding")
    rsa = Lazy("cryptography.hazmat.primitives.asymmetric.rsa")
    watchdog_events = Lazy("watchdog.events")
    watchdog_observers = Lazy("watchdog.observers")
    watchdog_polling = Lazy("watchdog.observers.polling")


# ==== Ground =========================================================================================================
# What both roles stand on. Values that travel have one form each: an option is a row of a table, a message is msgpack
# with all its bounds checked, a key is read from one PEM block, a target is parsed once and then judges any number of
# minions. Files are changed by one rename. Errors say whose fault they are: Failure is a sentence for a person, and
# only `main` catches it; AuthError and PayloadError are the peer's fault, and become `bad load` or silence on the wire
# in one place; StateError is ours, a table without a row for what happened.
#
# Every bound of what a peer may send, which is anything, is a constant with a name, beside what it bounds: the limits
# count before something is parsed, while it is, and once more on what came out of a box.


# ---- 1. Errors and small tools --------------------------------------------------------------------------------------
# Words that mean one thing everywhere: an id, a jid, a function, a nonce have a form, and what has it not is none.


class SaltError(Exception):
    """Base of all errors raised here; never raised itself. `message` and `strerror` are what Salt's own errors have."""

    message = strerror = property(str)


class Failure(SaltError):
    """A sentence for the person at the terminal; only `main` catches it, prints it and ends with `exit_code`."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        """`message`: one sentence that says what is wrong, with which file or option, and what to do."""
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

    def __init__(self, message: object = "", info: Any = None) -> None:
        """As Salt's own: `info` is what a module may add for whoever catches it."""
        super().__init__(str(message))
        self.error, self.info = str(message), info


log: Any = Lazy("logging", lambda module: module.getLogger("saltlite"))  # for a command that says nothing, nothing
token: Callable[[int], bytes] = os.urandom  # every random byte of the program comes from here
MINION_ID = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_-])?")
JID = re.compile(r"[0-9]{20}")
MINION_JID = re.compile(r"[0-9]{20}(?:_[0-9]{1,10})?")  # a real master with `unique_jid` appends its pid
FUN = re.compile(r"[A-Za-z0-9_]{1,64}\.[A-Za-z0-9_]{1,64}")
NONCE = re.compile(r"[0-9a-f]{32}")


def valid_id(value: object) -> TypeGuard[str]:
    """Whether `value` may name a minion: a str of 1 to 253 of A-Z a-z 0-9 _ . - that begins with none of . and -,
    does not end in a dot and has no two dots in a row. Salt's own rule is wider: no slash, no backslash, no NUL."""
    return isinstance(value, str) and MINION_ID.fullmatch(value) is not None and ".." not in value


def printable(text: str) -> str:
    """The text on one line, controls and what reorders text as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def functions_in(load: Mapping[str, Any]) -> list[Any]:
    """The functions of a job: `fun` is one name or a list of them."""
    return load["fun"] if isinstance(load["fun"], list) else [load["fun"]]


def jid_at(microseconds: int) -> str:
    """The job id of a moment, in microseconds since the epoch: 20 digits, %Y%m%d%H%M%S%f in UTC."""
    seconds, micro = divmod(microseconds, 1_000_000)
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(seconds)) + f"{micro:06d}"


def jid_of(now: float) -> str:
    """The same of a moment in seconds."""
    return jid_at(int(now * 1_000_000))


class Ticks:
    """Microseconds since the epoch, each later than the one before whatever the clock does: for jids and serials."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, now: float) -> int:
        """The tick for a moment in seconds since the epoch."""
        self._last = max(self._last + 1, int(now * 1_000_000))
        return self._last


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word that `word` resembles most, or nothing."""
    close = difflib.get_close_matches(word, list(known), 1, 0.7)
    return f"; did you mean {close[0]!r}?" if close else ""


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


# ---- 2. Options -----------------------------------------------------------------------------------------------------
# A table for each role says all that is known of an option; configuration files are laid over the defaults. Whoever
# uses an option reads it from `opts` at that moment, so that SIGHUP takes effect, or its row says that it needs a
# restart. The tables are leaves: etc/salt/options. Here is what a row is, and how a value is checked.


class Kind(NamedTuple):
    """What an option's value may be: of these types, and `right`, once it is `read`, for Salt takes '4506' for a port
    too. `wanted` says so, in errors and in the samples."""

    types: tuple[type, ...]
    wanted: str
    right: Callable[[Any], bool] = lambda value: True
    read: Callable[[Any], Any] = lambda value: value


class Option(NamedTuple):
    """One row of a table of options, `OPTIONS` in etc/salt/options/: all that the program knows of the option."""

    default: Any  # what it is without a word in a file
    kind: Kind
    help: str
    restart: bool = False  # a change is taken over at the next start only; SIGHUP says so
    private: bool = False  # neither pillar templates nor minions see it
    told: str = ""  # minions that apply states ask for it: "state", or "env" for the few they always ask for


def check(name: str, value: Any, option: Option, source: str) -> Any:
    """`value` as the option `name` wants it; Failure names the file and the option otherwise."""
    kind = option.kind
    if value is None:  # `interface:` with nothing behind it, as Salt reads it
        return option.default
    found = kind.read(value)
    typed = isinstance(found, kind.types) and (bool in kind.types or not isinstance(found, bool))
    if not typed or not kind.right(found):
        raise Failure(f"{source}: {name} must be {kind.wanted}, not {value!r}; correct it or remove the line.")
    return found


def merge_options(
    options: Mapping[str, Option], documents: Iterable[tuple[str, Any]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Lay configuration documents, pairs (file name, parsed YAML), over the defaults, the later over the earlier.

    Returns the options, and for each name that is not in the table the file that names it; Failure on a wrong type."""
    opts = {name: option.default for name, option in options.items()}
    others = {}
    for source, document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            raise Failure(f"{source}: a configuration file must be a map of `option: value` lines.")
        for name, value in document.items():
            if name in options:
                opts[name] = check(name, value, options[name], source)
            else:
                opts[str(name)] = value
                others[str(name)] = source
    return opts, others


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


# ---- 3. Payload -----------------------------------------------------------------------------------------------------
# Salt's msgpack dialect. Writers pack text and bytes alike as "raw", so a reader decides by whether it is UTF-8: a
# cipher text or a signature that happens to be would come as str, and `as_bytes` takes both. Integers may be keys of
# maps; what has more than 64 bits travels as decimal text; extension 78 is a moment, as ASCII %Y%m%dT%H:%M:%S.%f. In
# files the same data is JSON, a line each, so that `tail -f` and jq can read it; what JSON has no word for is marked.
#
# Why so many bounds: before a box opens, a message is a stranger's; after that it is a minion's, who may have been
# taken over. msgpack can say "a map of a million entries" in five bytes, name an extension that a reader would build an
# object of, or bring one key twice for two readers to disagree about. What this section gives is plain data of bounded
# size.

EXT_DATETIME = 78
MAX_DEPTH = 64
MAX_CONTAINERS = 200_000  # maps and lists in one message, with five times as many members
MAX_OUTER, MAX_FIELDS = 256, 64  # the same of a message that nobody has vouched for, and members of one map or list
KEY_TYPES = {str, bytes, int, bool, type(None)}  # of maps: what Salt's data has


def _plain(value: Any) -> Any:
    """What msgpack and JSON have no word for, as Salt sends it: a set as a sorted list, a date as an extension type."""
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if hasattr(value, "strftime"):
        return msgpack.ExtType(EXT_DATETIME, value.strftime("%Y%m%dT%H:%M:%S.%f").encode())
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def _small_ints(value: Any) -> Any:
    """The same data, with decimal text in place of integers that 64 bits cannot hold."""
    if isinstance(value, dict):
        return {_small_ints(key): _small_ints(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_small_ints(item) for item in value]
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value


def pack(value: Any) -> bytes:
    """Salt's msgpack of `value`; sets, paths and numbers beyond 64 bits go as Salt sends them.

    Text and bytes both become msgpack's "raw" (use_bin_type off), as every release packs what it sends; recorded
    in tests/vectors. Raises what msgpack raises for an object that it has no form for, or that contains itself."""
    try:
        return msgpack.packb(value, use_bin_type=False, unicode_errors="surrogateescape", default=_plain)
    except OverflowError:
        return msgpack.packb(_small_ints(value), use_bin_type=False, unicode_errors="surrogateescape", default=_plain)


def signed_form(load: Mapping[str, Any]) -> bytes:
    """What a minion's `sig` covers: the load without its fields of the transport, in today's msgpack, in which texts
    and bytes differ, and in the order of the wire.

    Recorded from a real minion with minion_sign_messages: it signs what its reader will have, and its reader
    unpacks with today's defaults."""
    bare = {name: value for name, value in load.items() if name not in ("nonce", "tok", "sig")}
    return msgpack.packb(bare, unicode_errors="surrogateescape", default=_plain)


def _ext(code: int, data: bytes) -> Any:
    """An extension type: a moment comes out as the text that it travelled as."""
    if code != EXT_DATETIME:
        raise PayloadError(f"extension type {code}")
    return data.decode("ascii")


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """A map, unless one of its keys comes twice: two readers could then see two different messages. Keys are looked at
    before the map is made: of other types a sender could choose a hundred thousand with one hash."""
    if not {type(key) for key, _ in pairs} <= KEY_TYPES:
        raise PayloadError("a map has a key that is no text and no whole number")
    found = dict(pairs)
    if len(found) != len(pairs):
        raise PayloadError("a map has a key twice")
    return found


def as_text(value: Any, depth: int = 0) -> Any:
    """Data with every byte string in it that is UTF-8 as str; PayloadError beyond MAX_DEPTH levels."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if depth > MAX_DEPTH:
        raise PayloadError(f"more than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {as_text(key, depth + 1): as_text(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [as_text(item, depth + 1) for item in value]
    return value


def unpack_bounded(data: bytes, raw: bool, most: int = MAX_CONTAINERS, length: int = 0) -> Any:
    """msgpack with all its bounds: `most` maps and lists in all, `length` members in one, 5 * `most` in all of them."""
    count, members = itertools.count(1), 0

    def container(value: Any) -> Any:
        nonlocal members
        members += len(value)
        if next(count) > most or members > 5 * most:
            raise PayloadError(f"more than {most} maps and lists, or {5 * most} members")
        if msgpack.Timestamp in map(type, value.values() if isinstance(value, dict) else value):
            raise PayloadError("extension type -1")  # which msgpack itself makes an object of
        return value

    return msgpack.unpackb(
        data,
        raw=raw,
        strict_map_key=False,
        ext_hook=_ext,
        object_pairs_hook=lambda pairs: container(_unique(pairs)),
        list_hook=container,
        max_map_len=length or 5 * most,
        max_array_len=length or 5 * most,
    )


def unpack(data: bytes, most: int = MAX_CONTAINERS) -> Any:
    """The object in `data`, one whole msgpack message; raises PayloadError, and nothing else, on anything odd.

    Byte strings that are UTF-8 come out as str, the others as bytes. Refused: trailing bytes, a map with a key twice,
    more than 64 levels, keys that are neither text nor whole number, unknown extension types; more than `most` maps
    and lists, or five times as many members of them."""
    try:
        try:
            return unpack_bounded(data, False, most)
        except UnicodeDecodeError:
            return as_text(unpack_bounded(data, True, most))
    except PayloadError:
        raise
    except Exception as error:  # msgpack raises a dozen kinds, among them bare ValueError and TypeError
        raise PayloadError(f"not a msgpack message ({type(error).__name__})") from None


def unpack_envelope(data: bytes, *fields: str) -> dict[str, Any]:
    """The outer map of a message that nobody has vouched for yet: its members as bytes, these `fields` as text."""
    try:
        message = unpack_bounded(data, raw=True, most=MAX_OUTER, length=MAX_FIELDS)
        found = {key.decode("ascii"): value for key, value in message.items()}
    except Exception as error:
        raise PayloadError(f"not an envelope ({type(error).__name__})") from None
    return found | {name: as_text(found[name]) for name in fields if name in found}


def as_bytes(value: Any) -> bytes:
    """A binary field, which arrives as str when its bytes happen to be UTF-8; PayloadError if it is neither.

    A reader cannot know which it will be; 64 random bytes are practically never UTF-8, shorter ones may be."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise PayloadError("a binary field is missing")


def bounded(value: Any, most: int) -> Any:
    """A value of a peer that will be kept; PayloadError if it takes more than `most` bytes, or is nested more deeply
    than those it is given to can read."""
    value = as_text(value, MAX_DEPTH // 2)
    if (size := len(pack(value))) > most:
        raise PayloadError(f"it has {size} bytes, and {most} are allowed")
    return value


MINE_ACL = "__saltmine_acl__"  # marks a mine entry that is {"__data__": value, "allow_tgt": …, "allow_tgt_type": …}


SCALARS = KEY_TYPES | {float}
MARKS = ("__bytes__", "__map__")  # the only key of what stands for data that JSON has no word for


def _keeps(value: Any) -> bool:
    """Whether JSON gives back the keys that it is given, as with nearly all data: they are texts, and no marks. Asked
    for every line that is written, so it looks at containers only and builds nothing."""
    if isinstance(value, dict):
        texts = {str}.issuperset(map(type, value)) or all(isinstance(key, str) for key in value)
        if not texts or len(value) == 1 and next(iter(value)) in MARKS:
            return False
        value = value.values()
    elif not isinstance(value, list | tuple):
        return True
    return all(_keeps(item) for item in value if type(item) not in SCALARS)


def _key(key: Any) -> Any:
    """A key as it may stand under the mark: of a type that Salt's data has, and no number beyond 64 bits."""
    return key if type(key) in SCALARS and key == _small_ints(key) else str(key)


def _mark(value: Any) -> Any:
    """Data in which each map whose keys JSON cannot keep is a list of pairs under a mark."""
    if isinstance(value, dict):
        marked = {key: _mark(item) for key, item in value.items()}
        keeps = _keeps(dict.fromkeys(value))
        return marked if keeps else {"__map__": [[_key(key), item] for key, item in marked.items()]}
    return [_mark(item) for item in value] if isinstance(value, list | tuple) else value


def _json_default(value: Any) -> Any:
    """What JSON has no word for."""
    return {"__bytes__": base64.b64encode(value).decode()} if isinstance(value, bytes) else _mark(_plain(value))


def to_json(value: Any) -> str:
    """One line of JSON, of which `from_json` makes the same data: bytes that are not text travel as {"__bytes__":
    base64}, a map with keys that are not text, or that looks like one of these, as {"__map__": [[key, value], …]}."""
    return json.dumps(value if _keeps(value) else _mark(value), default=_json_default, separators=(", ", ": "))


def _json_object(value: dict[str, Any]) -> Any:
    """A map out of JSON, or the data that it stands for; what only looks like that is somebody's map."""
    mark, inner = next(iter(value.items())) if len(value) == 1 else ("", None)
    if mark == "__bytes__" and isinstance(inner, str):
        with contextlib.suppress(ValueError):
            return base64.b64decode(inner, validate=True)
    if (
        mark == "__map__"
        and isinstance(inner, list)
        and all(isinstance(pair, list) and len(pair) == 2 for pair in inner)
    ):
        if all(type(key) in SCALARS and _key(key) == key for key, _ in inner):
            return dict(inner)
    return value


def from_json(line: str | bytes) -> Any:
    """The reverse of `to_json`; raises ValueError."""
    try:
        return json.loads(line, object_hook=_json_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


# ---- 4. Crypt -------------------------------------------------------------------------------------------------------
# The wire's three primitives. RSA: OAEP seals keys to a peer, PKCS#1 v1.5 signs; the algorithms' names are Salt's, and
# SHA-1 is what real minions use by default. X9.31 "private encrypt", for two short proofs: `tok`, which every request
# carries, and the `sig` of the shared key in the credentials. And the box for everything else. Errors of the
# cryptography package never leave this section, and say no more than that something does not open.
#
# X9.31 of a message m under a key of k bytes: the block 6B BB … BB BA m CC (6A m CC where it fits exactly), raised to
# d; of the result s and n - s the smaller one is sent. Who recovers raises it to e, and takes n minus that where the
# last half byte is not C. A box: IV (16 bytes), AES-192-CBC, HMAC-SHA256 of both at the end; inside, the eight letters
# `pickle::`, in a reply the nonce of its request, and msgpack. The key is 24 bytes for AES and 32 for the HMAC, as 76
# characters of base64. A key travels as "clean" PEM: LF only, no line end at the end, 450 bytes for 2048 bits.

ENC_ALGOS = {"OAEP-SHA1": "SHA1", "OAEP-SHA224": "SHA224"}
SIG_ALGOS = {"PKCS1v15-SHA1": "SHA1", "PKCS1v15-SHA224": "SHA224"}
PREFIX = b"pickle::"  # the literal that opens every box; it has nothing to do with pickle
MAX_PEM = 8192  # letters of a public key, and bytes of the file of one


def clean(pem: str) -> str:
    """A PEM text as it travels: LF only, no newline at the end."""
    return "\n".join(pem.strip().splitlines())


def sha256(data: bytes) -> bytes:
    """The digest, 32 bytes. hashlib would map the system's libcrypto beside the one that is there already."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize()


def fingerprint(pem: str, hash_type: str = "sha256") -> str:
    """The fingerprint that salt-key -f and master_finger know: hex pairs of a hash of the inner lines.

    Taken from Salt: the PEM's lines without the first and the last, each with its line end."""
    lines = [line for line in clean(pem).splitlines() if line.strip()]
    inner = "\n".join(lines[1:-1]).encode() + b"\n" if len(lines) > 2 else b""
    digest = sha256(inner).hex() if hash_type == "sha256" else hashlib.new(hash_type, inner).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _oaep(algo: str) -> padding.OAEP:
    """The padding of a name in ENC_ALGOS: its hash, for the mask as well, and no label."""
    algorithm = getattr(hashes, ENC_ALGOS[algo])()
    return padding.OAEP(padding.MGF1(algorithm), algorithm, None)


class PublicKey:
    """An RSA public key, 2048 to 8192 bits with exponent 65537, made from one PEM block.

    Raises AuthError if the text is anything else."""

    def __init__(self, pem: str) -> None:
        """Refuses before anything is stored or computed: the text first, then the kind of key, then its numbers."""
        if len(pem) > MAX_PEM or pem.count("-----BEGIN") != 1 or not pem.isascii():
            raise AuthError("the public key is not one PEM block")
        try:
            key = serialization.load_pem_public_key(pem.strip().encode())
        except Exception:
            raise AuthError("the public key cannot be read") from None
        if not isinstance(key, rsa.RSAPublicKey) or not 2048 <= key.key_size <= 8192:
            raise AuthError("the public key is not an RSA key of 2048 to 8192 bits")
        numbers = key.public_numbers()
        if numbers.e != 65537 or numbers.n % 2 == 0:
            raise AuthError("the public key's exponent is not 65537, or its modulus is even")
        self._key = key

    @functools.cached_property
    def pem(self) -> str:
        """The canonical clean PEM, so that equal keys are equal texts."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return clean(self._key.public_bytes(serialization.Encoding.PEM, form).decode())

    def encrypt(self, algo: str, data: bytes) -> bytes:
        """Sealed so that only the holder of the private key can open it; at most some 200 bytes."""
        return self._key.encrypt(data, _oaep(algo))

    def verify(self, algo: str, sig: bytes, data: bytes) -> bool:
        """Whether the private key has signed this data. An unknown algorithm is no signature."""
        if algo not in SIG_ALGOS:
            return False
        try:
            self._key.verify(sig, data, padding.PKCS1v15(), getattr(hashes, SIG_ALGOS[algo])())
        except Exception:
            return False
        return True

    def recover(self, sig: bytes) -> bytes:
        """The message inside an X9.31 `private encrypt`; AuthError if there is none.

        `sig` has the size of the modulus; a block that does not end in CC, or has no filling, is refused."""
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
    """An RSA private key from its PEM bytes, and the pass phrase that they are encrypted with; raises AuthError if they
    are no RSA key, or not encrypted so.

    Its text never shows it, in logs and tracebacks neither."""

    def __init__(self, pem: bytes, phrase: str = "") -> None:
        closed = b"ENCRYPTED" in pem
        if phrase and not closed:
            raise AuthError("the private key is not encrypted, and a pass phrase is given (openssl pkey -aes256)")
        word = phrase.encode() or None
        try:  # the package's own check of its numbers takes 45 ms, a quarter of a start; `_tok` takes 3
            key = serialization.load_pem_private_key(pem, word, unsafe_skip_rsa_key_validation=True)
        except Exception:
            why = "; its pass phrase is missing or another one" if closed else ""
            raise AuthError(f"the private key cannot be read{why}") from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise AuthError("the private key is not an RSA key")
        self._key = key
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        self.public = PublicKey(key.public_key().public_bytes(serialization.Encoding.PEM, form).decode())
        self.tok = self._tok()
        if not self.tok:
            raise AuthError("the private key is damaged: its numbers do not belong together")

    def __repr__(self) -> str:
        return "PrivateKey(…)"

    def _tok(self) -> bytes:
        """What requests prove their sender with; b"" if not all of p, q, dmp1, dmq1, iqmp belong to the public key: a
        signature made with a wrong one of them would betray the others."""
        try:
            tok = self.private_encrypt(b"salt")
            return tok if self.public.recover(tok) == b"salt" else b""
        except (AuthError, ValueError, OverflowError, ArithmeticError):
            return b""

    @staticmethod
    def generate(bits: int, phrase: str = "") -> bytes:
        """A new key as PKCS#1 PEM, as Salt keeps it on disk, encrypted if there is a pass phrase.

        65537 as the exponent, always: others have been chosen so small that the plain text could be read off."""
        form = serialization.PrivateFormat.TraditionalOpenSSL
        key = rsa.generate_private_key(65537, bits)
        how = serialization.BestAvailableEncryption(phrase.encode()) if phrase else serialization.NoEncryption()
        return key.private_bytes(serialization.Encoding.PEM, form, how)

    def decrypt(self, algo: str, data: bytes) -> bytes:
        """What was sealed with `encrypt`; AuthError, and no word why, if it does not open."""
        try:
            return self._key.decrypt(data, _oaep(algo))
        except Exception:
            raise AuthError("a sealed key does not open") from None

    def sign(self, algo: str, data: bytes) -> bytes:
        """A PKCS#1 v1.5 signature; 0.8 ms for 2048 bits, the dearest thing that a master does."""
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
    """Salt's authenticated box: AES-192-CBC, then HMAC-SHA256 over IV and cipher text.

    `key` is the text that travels. A box that was changed by one bit does not open, and is not deciphered; all ways of
    not opening are one error."""

    __slots__ = ("_aes", "_hmac", "key")

    def __init__(self, key: str) -> None:
        """`key`: 76 characters, base64 of 24 bytes for AES and 32 for the HMAC."""
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
        """A new key."""
        return base64.b64encode(token(56)).decode()

    def seal(self, data: bytes) -> bytes:
        """IV (16), cipher text padded to blocks of 16 by bytes that hold their number, HMAC of both (32)."""
        iv = token(16)
        fill = 16 - len(data) % 16
        cipher = ciphers.Cipher(ciphers.algorithms.AES(self._aes), ciphers.modes.CBC(iv)).encryptor()
        box = iv + cipher.update(data + bytes([fill]) * fill)
        mac = hmac.HMAC(self._hmac, hashes.SHA256())
        mac.update(box)
        return box + mac.finalize()

    def open(self, box: bytes) -> bytes:
        """The bytes inside; AuthError unless this key sealed them. Nothing is deciphered before the MAC is right.

        The shortest box has an IV, one block and the HMAC: 64 bytes."""
        for _ in self.verified(box, len(box)):
            pass
        cipher = ciphers.Cipher(ciphers.algorithms.AES(self._aes), ciphers.modes.CBC(box[:16])).decryptor()
        data = cipher.update(box[16:-32])
        fill = data[-1]
        if not 1 <= fill <= 16 or data[-fill:] != bytes([fill]) * fill:
            raise AuthError("a box does not open")
        return data[:-fill]

    def verified(self, box: bytes, most: int) -> Iterator[None]:
        """Look at the MAC of a box in steps of `most` bytes; AuthError unless it is this key's."""
        if len(box) < 64 or len(box) % 16:
            raise AuthError("a box does not open")
        mac, view = hmac.HMAC(self._hmac, hashes.SHA256()), memoryview(box)[:-32]
        for at in range(0, len(view), most):
            mac.update(view[at : at + most])
            yield
        try:
            mac.verify(box[-32:])
        except Exception:
            raise AuthError("a box does not open") from None

    def dumps(self, value: Any, nonce: str = "") -> bytes:
        """A value in a box, behind the prefix and, in a reply, the nonce of its request."""
        return self.seal(PREFIX + nonce.encode() + pack(value))

    def loads(self, box: bytes, nonce: str = "") -> Any:
        """The object inside; AuthError unless sealed by this key with this nonce, PayloadError unless msgpack."""
        return unpack(self.bare(box, nonce))

    def bare(self, box: bytes, nonce: str = "") -> bytes:
        """The same before it is unpacked."""
        data = self.open(box)
        head = PREFIX + nonce.encode()
        if not data.startswith(head):
            raise AuthError("a reply answers another request" if data.startswith(PREFIX) else "a box has no prefix")
        return data[len(head) :]


# ---- 5. YAML, words and nested data ---------------------------------------------------------------------------------
# Configuration, pillar and the words of a command line are YAML as Salt reads it. The loader is the safe one, in C, and
# counts before it makes anything that a short text can make large.
#
# What a word of a command line becomes was taken from Salt's own parser over some hundred thousand words: YAML decides,
# but for what YAML would lose (a comment, a line end, 1_000) or turn into a map or list that nobody has written as one.

MAX_YAML_DEPTH = 500
MAX_MERGED = 1_000_000  # keys that the merge keys of one text may bring
MAX_DIGITS = 100  # of a number, in whatever base: to read one takes the square of its length
PLAIN_WORD = re.compile(r"(?!(?:true|false|yes|no|on|off|null|none)$)[a-z_][a-z0-9_.-]*", re.ASCII | re.IGNORECASE)
KWARG = re.compile(r"([^\d\W][\w.-]*)=(?!=)(.*)$")  # which a word of several lines never is


def safe_yaml(what: str) -> Any:
    """PyYAML's safe `Loader` or `Dumper`, in C, which is ten times as fast, where it was built."""
    return getattr(yaml, f"CSafe{what}", None) or getattr(yaml, f"Safe{what}")


def too_deep(text: str) -> bool:
    """Whether a YAML text nests so deeply that the C loader, which recurses, would run out of stack and end us."""
    if sum(map(text.count, "[{-?")) < MAX_YAML_DEPTH:
        return False
    depth = 0
    for event in yaml.parse(text, safe_yaml("Loader")):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_YAML_DEPTH:
            return True
    return False


@functools.cache
def yaml_loader() -> Any:
    """PyYAML's safe loader with Salt's changes: dates stay text, 010 is ten, a key may not appear twice, and !!binary
    needs no padding."""

    class Loader(safe_yaml("Loader")):  # type: ignore[misc]
        def __init__(self, stream: str) -> None:
            if too_deep(stream):
                raise yaml.YAMLError("it is nested too deeply")
            super().__init__(stream)
            self.merged, self.merging = 0, set[int]()

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
            """`id: 0777` is 777 in Salt, where YAML 1.1 would have an octal number; and no number is a long text."""
            if len(node.value) > MAX_DIGITS and node.tag.endswith((":int", ":float")):
                raise yaml.YAMLError(f"a number has more than {MAX_DIGITS} digits")
            if node.tag == "tag:yaml.org,2002:int" and re.match("0(?!b|x)", node.value):
                node.value = node.value.lstrip("0") or "0"
            return super().construct_scalar(node)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            """A key twice is a mistake, of which YAML itself would silently take the last."""
            keys = [key for key, _ in node.value if not key.tag.endswith((":merge", ":value"))]
            found, first = super().construct_mapping(node, deep), dict[Any, Any]()  # super refuses a list as a key
            for key in keys:
                if first.setdefault(self.construct_object(key), key) is not key:
                    raise yaml.YAMLError(f"line {key.start_mark.line + 1}: the key {key.value!r} appears twice")
            return found

        def construct_yaml_binary(self, node: Any) -> Any:
            node.value = "".join(self.construct_scalar(node).split())
            node.value += "=" * (-len(node.value) % 4)
            return super().construct_yaml_binary(node)

    Loader.add_constructor("tag:yaml.org,2002:timestamp", Loader.construct_scalar)
    Loader.add_constructor("tag:yaml.org,2002:binary", Loader.construct_yaml_binary)
    return Loader


def yaml_word(word: str) -> Any:
    """A word as the value Salt takes it for; itself where YAML would lose something (comments, line ends, 1_000) or
    make a map or list that was not written as {…} or […].

    The rules are those of Salt's salt.utils.args.yamlify_arg, found by asking it; but `echo a: b # c` stays a word."""
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
    return value if plain and word.startswith(begins) else word


NOTHING: Mapping[str, Any] = {}


def traverse(data: Any, keys: list[str], missing: Any = NOTHING) -> Any:
    """What lies under a path of keys, else `missing`. A list is entered by index, or through its maps.

    As Salt's traverse_dict_and_list: in a list a number is first a key of one of its maps, and then an index; in a
    map a key is also what YAML makes of the text."""
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


# ---- 6. Targeting: which minions are meant --------------------------------------------------------------------------
# A target is parsed once into a Parsed, which then judges any number of minions. A minion judges itself, exactly as
# Salt's matchers do (60,000 random targets were judged by both, and none differed). The master only foresees who will
# answer: where it does not know enough, the verdict is None, `may match`. Compound targets are boolean expressions with
# the precedence of Python, by whose eval Salt judges them; here they are parsed.
#
# The kinds are rows of MATCHERS, with the letter that stands for each in a compound target. In grains and pillar a path
# is cut at every delimiter, the longest key first, for keys and values may hold the delimiter; both sides are lowered.
# A budget bounds what the master spends on a target that somebody else wrote: what would take longer `may match`. Globs
# are compared without compiling them, so nobody fills a cache with his own; expressions of others than root have a
# bound that is read off their text before they are compiled.

Verdict = bool | None
REGEX_BUDGET = 100_000  # steps on the master, some milliseconds
MAX_TARGET = {"": 1001, ":": 40, "*:": 3}  # of others than root: characters, steps into data, wildcards among these
NESTING = 200  # Python's own bound on parentheses, which Salt inherits


class Facts(NamedTuple):
    """The minion a target is held against; grains or pillar None: not known here.

    A regular expression that may take more steps than `budget` is not run; 0: no bound, for a minion runs what its
    master sends, as Salt does."""

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


def nobody(complaint: str) -> Parsed:
    """A target that can match no minion, and why."""
    return Parsed(lambda facts: False, complaint)


def mistake(expression: str) -> str:
    """Why a text is not a regular expression, or ''."""
    try:
        re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        return f"{expression!r} is not a regular expression: {error}."
    return ""


@functools.lru_cache(256)
def glob_items(pattern: str) -> list[Any]:
    """A glob in pieces: None for `*`, '' for `?`, a character, or of `[…]` whether it excludes, and its ranges."""
    items, at = list[Any](), 0
    while at < len(pattern):
        char, at = pattern[at], at + 1
        end = pattern.find("]", at + (2 if pattern[at : at + 1] == "!" else 1)) if char == "[" else -1
        if end < 0:
            items.append({"*": None, "?": ""}.get(char, char))
            continue
        negated = pattern[at] == "!"
        ranges = re.findall("(.)-(.)|(.)", pattern[at + negated : end], re.DOTALL)
        items.append((negated, [(low or one, high or one) for low, high, one in ranges]))
        at = end + 1
    return items


def glob_match(text: str, pattern: str) -> bool:
    """What fnmatch.fnmatchcase says, in no more steps than text times pattern; nothing is compiled, for a pattern may
    be a stranger's."""
    items, at, item, star, mark = glob_items(pattern), 0, 0, -1, 0
    while at < len(text):
        wanted = items[item] if item < len(items) else "no more"
        if wanted is None:
            star, mark = item, at
            item += 1
            if item == len(items):
                return True
        elif (
            wanted in ("", text[at])
            or isinstance(wanted, tuple)
            and wanted[0] != any(low <= text[at] <= high for low, high in wanted[1])
        ):
            at, item = at + 1, item + 1
        elif star >= 0:
            mark += 1
            at, item = mark, star + 1
        else:
            return False
    return all(rest is None for rest in items[item:])


def steps(expression: str, length: int) -> float:
    """An upper bound of the steps to hold an expression against a text of that length: a repetition may try every
    position, an option or alternative doubles; a repeated group, a back reference or `(?…)` has no useful bound."""
    plain = expression.removeprefix("(?i)") if expression.isascii() else expression
    if len(plain) > 1000 or re.search(r"\)[*+{]|\\[1-9]|\(\?(?!:)", plain):
        return float("inf")
    repeats, forks = len(re.findall(r"[*+{]", plain)), len(re.findall(r"[?|]", plain))
    return max(length, 2.0) ** min(repeats, 40) * 2.0 ** min(forks, 40)


Same = Callable[[Any, str], bool]


class Costly(Exception):
    """A regular expression is beyond the budget."""


def alike(how: str, budget: int, value: Any, pattern: str) -> bool:
    """Whether one value is as the pattern says; both are lowered, expressions too: Salt's \\S is \\s."""
    text, pattern = str(value).lower(), pattern.lower()
    if how == "glob":
        return glob_match(text, pattern)
    if how == "exact":
        return text == pattern
    if budget and steps(pattern, len(text)) > budget:
        raise Costly
    return not mistake(pattern) and re.match(pattern, text) is not None


def subdict_match(data: Any, tgt: str, delimiter: str, like: Same) -> bool:
    """Whether `a:b:pattern` holds in nested data. Values may contain the delimiter: all cuts are tried."""

    def in_map(data: Mapping[Any, Any], pattern: str) -> bool:
        """Whether a pattern names a key of a map or holds below it; `*:`, whatever the delimiter, skips a level."""
        wildcard = pattern.startswith("*:")
        pattern = pattern.removeprefix("*:")
        if pattern == "*" or pattern in data or any(like(key, pattern) for key in data):
            return True
        if subdict_match(data, pattern, ":", like):
            return True
        for value in data.values() if wildcard else ():
            if isinstance(value, dict):
                if in_map(value, pattern):
                    return True
            elif any(like(member, pattern) for member in (value if isinstance(value, list) else [value])):
                return True
        return False

    parts = tgt.split(delimiter)
    for cut in range(len(parts) - 1, 0, -1):
        found, pattern = traverse(data, parts[:cut]), delimiter.join(parts[cut:])
        if parts[:cut] == ["*"]:
            found, pattern = data, tgt
        if isinstance(found, dict):
            hit = bool(found) and in_map(found, pattern)
        elif isinstance(found, list | tuple):
            hit = any(isinstance(m, dict) and in_map(m, pattern) or like(m, pattern) for m in found)
        else:
            hit = like(found, pattern)
        if hit:
            return True
    return False


def data_test(source: str, how: str, tgt: str, delimiter: str) -> Parsed:
    """Grains or pillar (the `source`, a field of Facts), compared by glob, pcre or exactly."""
    if not delimiter or delimiter not in tgt:
        return nobody(f"{tgt!r} must be key{delimiter or ':'}value.")
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
            return alike(how, facts.budget, value, pattern)

        try:
            return subdict_match(data, tgt, delimiter, like)
        except Costly:
            return None

    return Parsed(verdict, complaint)


def pcre_test(tgt: str, _: str) -> Parsed:
    """Ids by a regular expression, anchored at its start only, as Salt's is."""
    if problem := mistake(tgt):
        raise Failure(problem)

    def verdict(facts: Facts) -> Verdict:
        if facts.budget and steps(tgt, len(facts.id)) > facts.budget:
            return None
        return re.match(tgt, facts.id) is not None

    return Parsed(verdict)


def list_test(tgt: str | Sequence[str], _: str) -> Parsed:
    """Ids by name."""
    ids = set(tgt.split(",") if isinstance(tgt, str) else filter(lambda name: isinstance(name, str), tgt))
    return Parsed(lambda facts: facts.id in ids)


def ipcidr_test(tgt: str, _: str) -> Parsed:
    """An address, or a network, against the grains ipv4 or ipv6."""
    try:
        wanted: Any = ipaddress.ip_network(tgt) if "/" in tgt else ipaddress.ip_address(tgt)
    except ValueError as error:
        return nobody(f"not an address or a network: {error}.")
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
    """seco.range, which needs a server of its own."""
    raise Failure(f"{tgt!r}: range targets are not supported.")


OPERATORS = ("and", "or", "not", "(", ")")
STRENGTH = {"or": 1, "and": 2, "not": 3}
BROKEN = "broken"  # `a ( b )`: Salt stumbles over it only if the expression's value depends on it
NEGATION = {True: False, False: True, None: None, BROKEN: BROKEN}
COMPOUND_WORD = re.compile(r"(?:([GPIJ])(.)?|([LNSERTM]))@(.+)$")


def conjunction(left: Any, right: Any) -> Any:
    """`and` of three values. BROKEN stays what it is."""
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


def compound_test(letters: Mapping[str, Callable[[Any, str], Parsed]], tgt: str | Sequence[str], _: str) -> Parsed:
    """`G@os:Debian and not ( L@a,b or web* )`, a text or its words. Every part is judged before the expression is:
    one that cannot be judged makes the whole fail, even in `a or …`."""
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
        tests.append(letters[letter](pattern, parsed and parsed[2] or ":"))
    unknown = evaluate(tokens, [None] * len(tests))
    complaint = next((test.complaint for test in tests if test.complaint), "")
    if unknown == BROKEN:
        complaint = complaint or "compound target: an operator is missing before '('."

    def verdict(facts: Facts) -> Verdict:
        value = evaluate(tokens, [test.verdict(facts) for test in tests])
        return False if value == BROKEN else value

    return Parsed(verdict, complaint)


ATOMS = {  # tgt_type: its Matcher; the letter is None where compound targets must not have it
    "glob": Matcher("", lambda tgt, _: Parsed(lambda facts: glob_match(facts.id, tgt))),
    "pcre": Matcher("E", pcre_test),
    "list": Matcher("L", list_test),
    "grain": Matcher("G", functools.partial(data_test, "grains", "glob")),
    "grain_pcre": Matcher("P", functools.partial(data_test, "grains", "pcre")),
    "pillar": Matcher("I", functools.partial(data_test, "pillar", "glob")),
    "pillar_pcre": Matcher("J", functools.partial(data_test, "pillar", "pcre")),
    "pillar_exact": Matcher(None, functools.partial(data_test, "pillar", "exact")),
    "ipcidr": Matcher("S", ipcidr_test),
    "nodegroup": Matcher(None, lambda tgt, _: nobody("nodegroups are expanded where a job starts.")),
    "range": Matcher("R", range_test),
    "data": Matcher(None, lambda tgt, _: nobody("data targets are not supported.")),
    "managing_minion": Matcher("M", lambda tgt, _: Parsed(lambda facts: facts.id == tgt)),
    "resource": Matcher("T", lambda tgt, _: nobody("resource targets are not supported.")),
}
COMPOUND = {matcher.letter: matcher.test for matcher in ATOMS.values() if matcher.letter is not None}
MATCHERS = ATOMS | {"compound": Matcher(None, functools.partial(compound_test, COMPOUND))}


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


def too_long(text: str) -> bool:
    """Whether a target has more of anything than MAX_TARGET allows others than root."""
    return any(text.count(what) > most for what, most in MAX_TARGET.items())


def costly(tgt: Any, tgt_type: str) -> str:
    """A sentence why nobody but root may have a target judged, for it may take too long; '' if it may not."""
    text = tgt if isinstance(tgt, str) else " ".join(map(str, tgt))
    if tgt_type == "list":
        return ""
    if too_long(text):
        return "the target is too long: say it in fewer words, or as a list of minions."
    found = [COMPOUND_WORD.match(word) for word in text.split()] if tgt_type in ("compound", "nodegroup") else []
    regexes = [word[4] for word in found if word and (word[1] or word[3]) in ("E", "P", "J")]
    for regex in regexes + ([text] if "pcre" in tgt_type else []):
        if steps(regex, 253) > REGEX_BUDGET:
            return f"{regex!r} may take too long to be judged: say it without groups that repeat, or in fewer parts."
    return ""


def target_error(tgt: Any, tgt_type: str) -> str | None:
    """A sentence why the target, or a part of it, can match no minion at all; None if it is well made."""
    try:
        return parse(tgt, tgt_type).complaint or None
    except Failure as failure:
        return str(failure)


def expected(
    tgt: Any,
    tgt_type: str,
    ids: Iterable[str],
    grains_of: Callable[[str], Mapping[str, Any] | None] = lambda _: None,
    pillar_of: Callable[[str], Mapping[str, Any] | None] = lambda _: None,
) -> list[str]:
    """The ids that match, or may match for all the master knows: `grains_of` and `pillar_of` give None for a minion of
    which it knows none, and are only asked where they decide. Regular expressions are run within REGEX_BUDGET, for
    grains are written by minions: what would take longer may match."""
    try:
        test = parse(tgt, tgt_type)
    except Failure:
        return []

    def verdict(minion_id: str) -> Verdict:
        facts = Facts(minion_id, budget=REGEX_BUDGET)
        try:
            guess = test.verdict(facts)
            if guess is None and (grains := grains_of(minion_id)) is not None:
                facts = facts._replace(grains=grains)
                guess = test.verdict(facts)
            if guess is None and (pillar := pillar_of(minion_id)) is not None:
                guess = test.verdict(facts._replace(pillar=pillar))
        except Failure:
            return False
        return guess

    return [minion_id for minion_id in ids if verdict(minion_id) is not False]


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


# ---- 7. Files -------------------------------------------------------------------------------------------------------
# A change is one rename: write a dot-name beside the target, fsync, rename, fsync the directory. Readers ignore
# dot-names, so a crash leaves at most a dot-name, which `sweep` removes at the next start. Nobody locks to read. Files
# are opened once and judged by their descriptor, never through a link, so what is checked is what is read.
#
# The tree's owner is asked at the start: a directory that others own or may write to is no place for keys. A file that
# is read for a decision must be a regular file, of a bounded size, and for keys with one name only, since a second name
# could be in somebody else's hands.

NO_KEY_FILE = {errno.EINVAL, errno.EFBIG, errno.EMLINK, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO}
RACY = 0.05  # seconds: a directory changed this shortly before it was read may change again within the same mtime


def write_all(fd: int, *parts: str | bytes | memoryview) -> None:
    """Write all parts, one behind the other; what is large is not copied for it."""
    left = [memoryview(part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part) for part in parts]
    while left:
        written = os.writev(fd, left[:1024])  # IOV_MAX
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        left[:1] = [part[written:] for part in left[:1]]


def sync_directory(path: Path) -> None:
    """Make the renames in a directory survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def put(path: Path, data: str | bytes | list[Any], mode: int = 0o600, sync: bool = True) -> None:
    """Make `path` hold `data` (of a list: its parts), all or nothing. Raises OSError.

    A reader sees the old or the new file; without `sync` a power cut may bring the old one back, never a mixture."""
    temporary = path.parent / f".{path.name[:200]}.{token(4).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, mode)
    try:
        try:
            os.fchmod(fd, mode)
            write_all(fd, *(data if isinstance(data, list) else [data]))
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


def move(source: Path, target: Path) -> None:
    """Rename, durably on both sides."""
    os.rename(source, target)
    sync_directory(target.parent)
    sync_directory(source.parent)


def read_with_owner(path: Path, limit: int) -> tuple[bytes, os.stat_result]:
    """The content of a regular file of at most `limit` bytes, never through a symlink and never waiting on a FIFO; and
    the stat of the very file that was read, whatever has the name by now.

    Raises FileNotFoundError, or another OSError that says what is odd about it."""
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


def read(path: Path, limit: int) -> bytes:
    """The same without the stat."""
    return read_with_owner(path, limit)[0]


def names(directory: Path, files: bool = False) -> list[str]:
    """The names in a directory that are no dot-names, of `files` no directories, sorted; none if it is not there."""
    try:
        with os.scandir(directory) as found:
            return sorted(e.name for e in found if e.name[0] != "." and not (files and e.is_dir(follow_symlinks=False)))
    except FileNotFoundError:
        return []


def sweep(directory: Path) -> None:
    """Remove the dot-names that a crash in `put` left."""
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            if name.startswith(".") and re.fullmatch(r"\..+\.[0-9a-f]{8}", name):
                with contextlib.suppress(OSError):
                    os.unlink(directory / name)


def append(path: Path, text: str | bytes | list[Any], sync: bool = True, create: bool = False) -> int:
    """Append to a file that is there, or with `create` may not be: the whole text or, when the disk is full, nothing.
    Gives how long the file was before. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_CREAT * create, 0o600)
    try:
        size = os.fstat(fd).st_size
        try:
            write_all(fd, *(text if isinstance(text, list) else [text]))
            if sync:
                os.fsync(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)
    return size


def user_name(uid: int) -> str:
    """The name of a user id, or the number where there is no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def make_parents(path: Path) -> None:
    """Make the directories above a path, open to read as they are everywhere, but for the one named pki."""
    for parent in reversed(path.parents):
        with contextlib.suppress(FileExistsError):
            os.mkdir(parent)
            os.chmod(parent, 0o700 if parent.name == "pki" else 0o755)


def make_directory(path: Path, shared: bool = False) -> None:
    """Make a directory of mode 0700 with its parents, or check that an existing one is ours to trust, and close
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


def lock(path: Path, who: str) -> int:
    """Hold a lock file for as long as this process lives; Failure with the holder's pid if it is held already.

    The kernel frees it when the process ends, however that ends, so no stale lock has to be recognised."""
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


@contextlib.contextmanager
def in_directory(path: Path) -> Iterator[str]:
    """A short name for a directory: that of a socket may have no more than 107 bytes."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def below(root: Path, name: Any) -> Path:
    """The file below `root` that a relative name means; CommandExecutionError if it means none, or leaves `root`."""
    with contextlib.suppress(AttributeError, ValueError):
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if parts and ".." not in parts and "\0" not in name and len(os.fsencode(name)) <= 2048:
            return root.joinpath(*parts)
    raise CommandExecutionError(f"{str(name)[:200]!r} cannot be a file's path here.")


# ---- 8. Leaves: files that are read when they are asked for ---------------------------------------------------------
# A leaf says `from saltlite import …`, as ordinary Python, and offers one thing under one agreed name; it is read when
# it is first asked for. This is a layout and no plugin framework: the kinds are closed, and what the daemons answer to
# strangers (requests) or begin with (commands, options) comes from the packed tree only. For the other kinds a site's
# own file replaces the packed one of the same name, whole, as in Salt: dropping a file in is how a site adds to them.

PACKED = Path(__file__).resolve().parent / "etc" / "salt"
KINDS_OF_LEAVES = {  # kind -> its name below module_dirs and extmods; "": no site may add to it
    "options": "",  # OPTIONS: {name: Option}
    "configuration": "",  # documents: what a role's files say; finish: what follows from all of them
    "requests": "",  # Requests: a class of handlers of what minions ask
    "apart": "",  # what other processes do for a daemon, so that its loop need not wait, and what they tell it
    "transports": "",  # Listener: a class of a master's ports; the option `transport` says which
    "wires": "",  # Wire: a class of a minion's connections
    "returns": "",  # Quota: what is kept of returns; Late: those after the end; recovered: what a crash has left
    "rollouts": "",  # Rollout: how many minions of a job may start now
    "queues": "",  # Queue: jobs that wait for absent minions
    "reports": "",  # report(master): steps that say how things are, or keep the tree small
    "schedules": "",  # Schedule: what is due of a role's schedule, and when to ask again
    "watchers": "",  # Watcher: a class of what follows from a master's events: events.jsonl, hooks, the audit
    "renderers": "",  # render(pillar, sls, data, words, defaults) -> data: a step on the way from a file to pillar
    "pillars": "",  # FILTERS, TESTS, FUNCTIONS of pillar's templates; ext_pillar(pillar, compiled, …) -> more of it
    "commands": "",  # COMMAND: a Command
    "clients": "",  # a class of the file's own name, for Python programs
    "terminal": "",  # what commands and outputters share: colours, texts without controls, `show`
    "outputters": "output",  # output(data, opts) -> text
    "modules": "modules",  # every public function: an execution function
    "elsewhere": "",  # function(minion, fun): what answers a function that no module file here has
    "_grains": "grains",  # every public function gives grains
    "utils": "utils",  # every public function: one of `__utils__`, for modules
}


def leaf_files(kind: str, opts: Mapping[str, Any] | None = None) -> dict[str, Path]:
    """The files of a kind by name. Of one name the file in the later directory counts, whole: packed with the script;
    and, for a kind that sites may add to, <config>/KIND, module_dirs, and what saltutil.sync_* has fetched."""
    directories, short = [PACKED / kind], KINDS_OF_LEAVES[kind]
    if opts and short:
        directories.append(Path(opts["conf_dir"]) / kind)
        directories += [Path(directory) / short for directory in opts.get("module_dirs", [])]
        directories += [Path(opts["cachedir"]) / "extmods" / short] if "cachedir" in opts else []
    found: dict[str, Path] = {}
    for directory in directories:
        with contextlib.suppress(OSError):
            info = os.stat(directory)
            if info.st_uid not in (0, os.geteuid()) or info.st_mode & stat.S_IWOTH:
                log.warning("%s is not read: others could put code there; chown and `chmod o-w` it", directory)
                continue
            files = [path for path in sorted(directory.iterdir()) if path.name[0] not in "_."]
            found |= {path.name: path / "__init__.py" for path in files if (path / "__init__.py").is_file()}
            found |= {path.stem: path for path in files if path.suffix == ".py" and not path.is_dir()}
    return found


def read_leaf(path: Path, dunders: Mapping[str, Any] | None = None) -> types.ModuleType:
    """Execute a file; raises whatever it raises. With Salt's `dunders` it is a module written for Salt: they are among
    its globals, its __init__(opts) is called, and where Salt is not installed it finds what stands in for it."""
    util = Lazy("importlib.util")
    if dunders is not None and str(PACKED / "stand_in") not in sys.path:
        sys.path.append(str(PACKED / "stand_in"))  # last: a Salt that is installed comes first
    name = f"saltlite_{path.parent.name}_{path.stem}"  # a package has its modules below it
    spec = util.spec_from_file_location(name, path)
    module = sys.modules[name] = util.module_from_spec(spec)  # dataclasses look for it there
    vars(module).update(dunders or {})
    place = str(path.parent.parent if path.stem == "__init__" else path.parent)  # what is there it may import
    beside = [place] if dunders is not None and place not in sys.path else []
    sys.path += beside
    try:
        spec.loader.exec_module(module)
    finally:
        for directory in beside:
            sys.path.remove(directory)
    if dunders and isinstance(start := vars(module).get("__init__"), types.FunctionType):
        start(dunders["__opts__"])
    return module


@functools.cache
def packed_leaf(kind: str, name: str) -> types.ModuleType:
    """A file that is packed with the script; KeyError if there is none of this name."""
    return read_leaf(leaf_files(kind)[name])


def client(name: str) -> Any:
    """A class for Python programs, LocalClient say; AttributeError if there is none of this name."""
    if name not in leaf_files("clients"):
        raise AttributeError(f"saltlite has no {name}")
    return getattr(packed_leaf("clients", name), name)


if not TYPE_CHECKING:
    __getattr__ = client  # so that saltlite.LocalClient is it


@functools.cache
def options_of(role: str) -> Mapping[str, Option]:
    """All options of a role, `master` or `minion`: of all files but the one that has the other role's name."""
    other = {"master": "minion", "minion": "master"}[role]
    files = [packed_leaf("options", name) for name in leaf_files("options") if name != other]
    return {name: option for file in files for name, option in file.OPTIONS.items()}


def functions_of(module: types.ModuleType) -> dict[str, Callable[..., Any]]:
    """The public functions that a file, or a package, defines itself, by the names they have there; of __load__ or
    __all__ only those that are listed."""
    listed = getattr(module, "__load__", getattr(module, "__all__", vars(module)))
    return {
        name: function
        for name, function in vars(module).items()
        if name in listed and name[0] != "_" and callable(function) and not isinstance(function, type)
        if f"{getattr(function, '__module__', None)}.".startswith(f"{module.__name__}.")
    }


def verdict_of(module: types.ModuleType) -> tuple[Any, str]:
    """What a module's __virtual__ says: False, True or a name, and why not; raises whatever it raises."""
    verdict = module.__virtual__() if hasattr(module, "__virtual__") else True
    verdict, *reasons = verdict if isinstance(verdict, tuple) else (verdict,)
    why = " ".join(str(reason) for reason in reasons) or f"{module.__file__} says that it is not for this machine"
    return verdict, "" if verdict else why.rstrip(".")


def why_not(path: Path, error: Exception) -> str:
    """Why a file is not there, whatever it has raised."""
    if isinstance(error, ImportError) and str(error.name).partition(".")[0] == "salt":
        return f"{path} needs Salt's own library ({error.name}), and Salt is not installed here"
    return f"{path} cannot be read: {type(error).__name__}: {error}"


# ---- 9. Configuration -----------------------------------------------------------------------------------------------
# <config>/ROLE and what it includes, then the paths; which files those are, and what is said of options that are not
# here, stands in leaves, for no loop needs it. If the configuration directory ends in etc/salt, all other paths lie
# below the directory that holds etc, else below the configuration directory itself: so `-c` relocates everything.


def read_yaml(path: Path) -> Any:
    """A YAML file, parsed by the safe loader; Failure says where it is wrong.

    A file that everybody may write to is refused; of a link its target is looked at."""
    try:
        if os.stat(path).st_mode & stat.S_IWOTH:
            raise Failure(f"{path} can be written by everybody: `chmod o-w {path}` first.")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Failure(f"{path} is not UTF-8 text.") from None
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.") from None
    if not text.strip():
        return None
    try:
        return yaml.load(text, yaml_loader())
    except (ValueError, yaml.YAMLError) as error:
        where = f" line {mark.line + 1}" if (mark := getattr(error, "problem_mark", None)) else ""
        problem = getattr(error, "problem", None) or str(error).replace("\n", " ")
        tab = " (a tab: YAML wants blanks)" if mark and text[mark.index : mark.index + 1] == "\t" else ""
        raise Failure(f"{path}{where}: this is not YAML: {problem}{tab}.") from None


def load_opts(role: str, conf_dir: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The options of a role with all paths resolved; warnings stand under "__warnings__",
    pairs (a level of the log, a sentence).

    conf_dir, root_dir, pki_dir and cachedir come out as absolute str. Raises Failure.

    `overrides` are laid over the files: what was said on the command line. It is kept by the daemons as
    "__given__", so that SIGHUP does not lose it. `__role` says whose options they are, as Salt's modules ask
    for it: no name of a site's own, as `role` would be, is one of these."""
    conf = Path(os.path.abspath(conf_dir))
    if not conf.is_dir():
        raise Failure(f"{conf} is not a directory; make it, or name the configuration directory with -c.", EX_USAGE)
    told: list[tuple[int, str]] = []
    opts, others = merge_options(options_of(role), packed_leaf("configuration", role).documents(conf, told))
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

    home = root / "etc/salt" if opts["root_dir"] else conf
    opts["pki_dir"] = place("pki_dir", home / "pki" / role)
    opts["cachedir"] = place("cachedir", root / "var/cache/salt" / role)
    opts |= {name: place(name, root) for name in ("log_file", "pidfile") if opts[name] and "://" not in opts[name]}
    opts |= {"conf_dir": str(conf), "root_dir": str(root), "__role": role, "__warnings__": told}
    told += packed_leaf("configuration", role).finish(opts, others)
    return opts


def read_private_key(path: Path, phrase: str = "") -> PrivateKey:
    """The key in a PEM file, which a pass phrase may be needed for; Failure if it is none."""
    try:
        return PrivateKey(read(path, 1 << 16), phrase)
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.") from None
    except AuthError as error:
        raise Failure(f"{path}: {error}; restore it, or remove it to have a new one made.") from None


def make_key_pair(pki: Path, role: str, keysize: int, phrase: str = "") -> None:
    """ROLE.pem (0400) and ROLE.pub (0644) where they are not there yet; a .pub that is missing is made again."""
    private, public = pki / f"{role}.pem", pki / f"{role}.pub"
    try:
        if not private.exists():
            put(private, PrivateKey.generate(keysize, phrase), 0o400)
            public.unlink(missing_ok=True)
        if not public.exists():
            put(public, read_private_key(private, phrase).public.pem + "\n", 0o644)
    except OSError as error:
        raise Failure(f"{private} cannot be made: {error.strerror}.") from None


# ---- 10. The log ----------------------------------------------------------------------------------------------------
# What is said goes where a leaf has it go, etc/salt/terminal/log.py: one record is one line, and a flood is counted.
# What the configuration brings is said here, at the start and at each SIGHUP.


def say_warnings(opts: Mapping[str, Any]) -> None:
    """Log what there is to say of a configuration; each sentence as a kind of its own, so that no flood gate shuts."""
    for level, sentence in opts["__warnings__"]:
        log.log(level, sentence)


def reload_opts(opts: dict[str, Any]) -> None:
    """Read the configuration again, in place; what needs a restart keeps its value, and is named."""
    try:
        new = load_opts(opts["__role"], opts["conf_dir"], opts["__given__"])
    except Failure as error:
        log.error("the configuration is not taken over: %s", error)
        return
    for name, option in options_of(opts["__role"]).items():
        if option.restart and new[name] != opts[name]:
            log.warning("%s is changed at the next start only", name)
            new[name] = opts[name]
    opts.update(new)
    try:
        opts["__log__"](opts)
    except Failure as error:
        log.error("the log goes on where it was: %s", error)
    say_warnings(opts)
    log.info("the configuration is read again")


# ---- 11. The loop ---------------------------------------------------------------------------------------------------
# One thread and one loop for each role. What may wake it: a socket, a timer, a signal, the doorbell; all of them end in
# a call of a method, one after the other, so nothing needs a lock.
#
# A handler must not wait. What may take long is cut into slices that come back through a timer of no delay, so that the
# next request is looked at in between. A daemon gives up its rights before it opens its first key: `become` is for
# good.


class Loop:
    """A poll loop over file descriptors, with named timers, that signals and threads can wake; over zmq sockets as
    well if the poller is zmq's.

    A timer has a name: setting it again moves it, so nobody has to remember whether one is set. Times are seconds of
    the monotonic clock, which nobody sets. Signals and `ring` write a byte into a pipe that the loop reads: so a
    handler is never interrupted by another, and what a signal does is done in the loop."""

    LONG = 0.05  # seconds: a step that takes longer is told, with log_level debug

    def __init__(self, poller: Any) -> None:
        self._poller = poller
        self._handlers: dict[Any, Callable[[], None]] = {}
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self._signals: dict[int, Callable[[], None]] = {}
        self.running, self.longest = True, 0.0  # longest: of the steps since it was set to 0
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._read, self._woken)
        self._rung: Callable[[], None] = lambda: None

    def watch(self, source: Any, handler: Callable[[], None]) -> None:
        """Call the handler whenever there is something to read; `source`: a descriptor, or a zmq socket."""
        self._poller.register(source, 1)  # POLLIN, which is the same for both pollers
        self._handlers[source] = handler

    def unwatch(self, source: Any) -> None:
        """Forget a source, if it is watched."""
        if self._handlers.pop(source, None):
            self._poller.unregister(source)

    def at(self, name: str, delay: float, call: Callable[[], None]) -> None:
        """Call in `delay` seconds.

        A name that is set already is moved. With no delay it is called after the sources that are ready now."""
        self._timers[name] = (time.monotonic() + delay, call)

    def waits(self, name: str) -> bool:
        """Whether a timer of this name is set."""
        return name in self._timers

    def cancel(self, name: str) -> None:
        """Unset a timer, if it is set."""
        self._timers.pop(name, None)

    def every(self, name: str, interval: float, call: Callable[[], None]) -> None:
        """Call every `interval` seconds."""

        @functools.wraps(call)
        def again() -> None:
            self.at(name, interval, again)
            call()

        self.at(name, interval, again)

    def on_signal(self, number: int, call: Callable[[], None]) -> None:
        """Call when the signal has come: in the loop, between two handlers, not in the middle of one."""
        self._signals[number] = call
        signal.signal(number, lambda *_: None)  # the wake-up descriptor below is what tells us
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def on_ring(self, call: Callable[[], None]) -> None:
        """What `ring` calls; rings that come close together are one."""
        self._rung = call

    def ring(self) -> None:
        """Wake the loop from another thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"\0")

    def stop(self) -> None:
        """Let `run` come back after the handler that is running."""
        self.running = False

    def _woken(self) -> None:
        """Empty the wake-up pipe: signals have written their numbers there, `ring` zeros."""
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
        """Call it; whatever it raises is ours to mend, and no reason to end."""
        began, busy = time.monotonic(), time.thread_time()
        try:
            call()
        except Exception:
            log.exception("this should not happen; the work goes on")
        self.longest = max(self.longest, took := time.monotonic() - began)
        if took > self.LONG:  # computing, or kept waiting by a busy machine or a slow disk
            busy, name = time.thread_time() - busy, getattr(call, "__qualname__", call)
            log.debug("a step of the loop took %d ms, %d of them computing: %s", took * 1000, busy * 1000, name)


class Doorbell:
    """watchdog as a doorbell: it rings when something was made, moved or removed; what, it does not say.

    `kind` is the option key_watch. An event can be lost, and then the rescan finds what has changed; nothing is
    decided by an event. Without a watch, renames are seen at the next rescan."""

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
        """Ask for the events that a rename, a new file and a removed one make; contents do not count."""
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
        """Hang the bell up again."""
        if self._observer:
            try:
                self._schedule()
            except OSError as error:
                log.warning("the trees cannot be watched any more (%s); they are looked at every rescan", error)

    def stop(self) -> None:
        """Take the bell down for good."""
        if self._observer and self._observer.is_alive():
            self._observer.stop()
        self._observer = None


def become(user: str, directories: Iterable[Path]) -> None:
    """Give the directories to `user` and go on as that user, for good; Failure if that fails.

    Supplementary groups first, then the group, then the user: in any other order the right to change the next is
    gone."""
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
        # by descriptor, for a name may lead elsewhere a moment later; a directory when all in it is done
        for _, _, files, fd in os.fwalk(directory, topdown=False):
            for name in files:
                info = os.lstat(name, dir_fd=fd)
                if info.st_uid == 0 and info.st_nlink == 1:
                    os.chown(name, entry.pw_uid, entry.pw_gid, dir_fd=fd, follow_symlinks=False)
            os.fchown(fd, entry.pw_uid, entry.pw_gid)
    os.setgroups(os.getgrouplist(user, entry.pw_gid))
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if os.geteuid() != entry.pw_uid or os.getegid() != entry.pw_gid:
        raise Failure(f"this process could not become {user}.")


# ==== Master =========================================================================================================
# A master is its tree. Keys lie in directories that say what they are, jobs in directories that say how far they have
# come, and each request is decided by what lies there now. So nothing has to be told to a running master: `mv` is the
# command, watchdog is the doorbell, and a ring says no more than `look`.
#
# Four objects share the work, each with its own tables. Peers: who is speaking, is this new, when was he last heard?
# Admission: who may join, who waits, what follows when a key file moves? SharedKey: what seals publications, and when
# is it renewed? Jobs: what was asked of whom, and what came back? MasterProtocol takes a request's bytes to one of
# them; Master has the sockets and the clock.
#
# What a crash leaves: a dot-name in a directory (removed at the next start), a job whose last line is cut (cut off), a
# publication that went out or did not (published again under its jid, which no minion runs twice). Which requests were
# taken is written down before they are answered, so none is taken again.


# ---- 12. Keys: who may join -----------------------------------------------------------------------------------------
# Two tables: what an `_auth` does to the tree, and what a rename by the operator does to the master. All decisions are
# rows, taken from what a real master does; the first row that fits wins, ANY fits everything. Of an id with files in
# several directories the state is rejected before accepted before pending; a denied key never blocks the good one.
#
# An autosign stub is used up only by the authentication that it accepts, where Salt uses it up at any that comes by.

ANY = None
REJECTED, ACCEPTED, PENDING, DENIED = "rejected", "accepted", "pending", "denied"  # each a directory
BLOCKED, UNKNOWN = "blocked", "unknown"  # what is there is no key file; nothing is there
DIRECTORIES = {ACCEPTED: "minions", PENDING: "minions_pre", REJECTED: "minions_rejected", DENIED: "minions_denied"}
REJECT, SIGN, ASK = "reject", "sign", "ask"  # policy: autoreject beats autosign beats the question to the operator
KEEP, PUT, MOVE = "keep", "put", "move"  # the tree stays; the key is written; the pending file is renamed
CREDENTIALS, HELD, FALSE = "credentials", "held", "false"


class KeyRule(NamedTuple):
    """A row: four facts about an `_auth`, then the act that the event names, its result, what is done to the tree, the
    state in which the key file ends, and the reply: credentials; True, held until the key moves; or False."""

    open_mode: bool | None
    stored: str | None
    same: bool | None
    policy: str | None
    act: str
    result: bool
    change: str
    becomes: str
    reply: str


KEY_RULES = (
    #       open   stored    same   policy  act       result change becomes   reply
    KeyRule(True, ACCEPTED, True, ANY, "accept", True, KEEP, ACCEPTED, CREDENTIALS),
    KeyRule(True, ANY, ANY, ANY, "accept", True, PUT, ACCEPTED, CREDENTIALS),
    KeyRule(False, REJECTED, ANY, ANY, "", False, KEEP, REJECTED, FALSE),
    KeyRule(False, ACCEPTED, True, ANY, "accept", True, KEEP, ACCEPTED, CREDENTIALS),
    KeyRule(False, ACCEPTED, False, ANY, "denied", False, PUT, DENIED, FALSE),
    KeyRule(False, BLOCKED, ANY, ANY, "", False, KEEP, BLOCKED, FALSE),
    KeyRule(False, UNKNOWN, ANY, REJECT, "reject", False, PUT, REJECTED, FALSE),
    KeyRule(False, UNKNOWN, ANY, SIGN, "accept", True, PUT, ACCEPTED, CREDENTIALS),
    KeyRule(False, UNKNOWN, ANY, ASK, "pend", True, PUT, PENDING, HELD),
    KeyRule(False, PENDING, ANY, REJECT, "reject", False, MOVE, REJECTED, FALSE),
    KeyRule(False, PENDING, True, SIGN, "accept", True, MOVE, ACCEPTED, CREDENTIALS),
    KeyRule(False, PENDING, False, ANY, "denied", False, PUT, DENIED, FALSE),
    KeyRule(False, PENDING, True, ASK, "pend", True, KEEP, PENDING, HELD),
)


def key_rule(open_mode: bool, stored: str, same: bool, policy: str) -> KeyRule:
    """The row for these facts; StateError if the table has none.

    `same`: whether the key that came is the stored one, True where there is none. The rows were compared with a
    real master's method over all 60 combinations."""
    facts = (open_mode, stored, same, policy)
    for row in KEY_RULES:
        if all(wanted is ANY or wanted == fact for wanted, fact in zip(row[:4], facts, strict=True)):
            return row
    raise StateError(f"no key rule for {facts}")


ANSWER, REFUSE, FORGET = "answer", "refuse", "forget"
REPLACED = "replaced"  # still accepted, but another key
KEY_MOVES: dict[tuple[str, str], tuple[str, ...]] = {
    # what a key was and is -> what the master does: ANSWER the held `_auth` with credentials, REFUSE it with False,
    # FORGET the session and renew the shared key
    (PENDING, ACCEPTED): (ANSWER,),
    (UNKNOWN, ACCEPTED): (ANSWER,),
    (REJECTED, ACCEPTED): (ANSWER,),
    (PENDING, REJECTED): (REFUSE,),
    (UNKNOWN, REJECTED): (REFUSE,),
    (ACCEPTED, REJECTED): (FORGET, REFUSE),
    (ACCEPTED, PENDING): (FORGET,),
    (ACCEPTED, UNKNOWN): (FORGET,),
    (ACCEPTED, REPLACED): (FORGET, ANSWER),
    (PENDING, UNKNOWN): (),
    (UNKNOWN, PENDING): (),
    (REJECTED, PENDING): (),
    (REJECTED, UNKNOWN): (),
}
TOLD_MOVES = {ACCEPTED: "accept", REPLACED: "accept", REJECTED: "reject"}  # the act of `salt/key`; else: delete


def line_matches(name: str, lines: Iterable[str]) -> Verdict:
    """Whether a line of an autosign or autoreject file means `name`: the name itself, a glob or a whole regular
    expression (Salt's expr_match).

    The expression is the operator's, but an id is a stranger's choice. None: one that takes too long may mean it."""
    verdict: Verdict = False
    for line in lines:
        if line == name or glob_match(name, line):
            return True
        if steps(line, len(name)) > REGEX_BUDGET:
            verdict = None
            continue
        with contextlib.suppress(re.error):
            if re.fullmatch(line, name):
                return True
    return verdict


# ---- 13. The life of a job ------------------------------------------------------------------------------------------
# Two machines: a job, and each minion that it was published to. A job waits for returns; when its time is over the
# minions that have said nothing are asked whether they run it (saltutil.find_job); who does is waited for once more,
# and who does not, or gives no answer, is silent. A return counts whenever it comes. Nothing here waits or writes:
# Jobs, below, brings the events and does what the rows name.
#
# A careful job is a roll-out: its minions wait until a Rollout lets them start, and it ends with those that have, once
# too many have failed. What has started stands in its file (`batch`), so a restart of the master goes on from there.

RUNNING, ASKING, COMPLETE, ENDED, CANCELLED = "running", "asking", "complete", "ended", "cancelled"
ALL_IN, OVERDUE, MOVED, GONE = "all in", "overdue", "moved", "gone"
MAX_TOLD = 16_384  # bytes of what an event tells of a return, for each of its values
JOB_STATES: dict[str, dict[str, tuple[str, str]]] = {
    # state -> event -> (next state, what Jobs does)
    RUNNING: {ALL_IN: (COMPLETE, "end"), OVERDUE: (ASKING, "probe"), GONE: (CANCELLED, "cancel")},
    ASKING: {ALL_IN: (COMPLETE, "end"), OVERDUE: (RUNNING, "judge"), GONE: (CANCELLED, "cancel")},
    # its file could not be moved to done/: the disk is full. A return that could not be written opens it again
    COMPLETE: {
        ALL_IN: (COMPLETE, "end"),
        OVERDUE: (ASKING, "probe"),
        MOVED: (ENDED, "drop"),
        GONE: (CANCELLED, "drop"),
    },
    ENDED: {},
    CANCELLED: {},
}

UNSTARTED, STARTED = "unstarted", "started"
EXPECTED, ASKED, ALIVE, IDLE, SILENT, RETURNED = "expected", "asked", "alive", "idle", "silent", "returned"
DROPPED = "dropped"
RETURN, PROBE, RUNS, RUNS_NOT, JUDGED, UNWRITTEN = "return", "ask", "runs", "runs not", "judged", "unwritten"
AWAY, LEFT, BACK, REVOKED = "away", "left", "back", "revoked"
PARTS: dict[str, dict[str, str]] = {
    # a minion in a job: state -> event -> next state
    UNSTARTED: {STARTED: EXPECTED, RETURN: RETURNED, JUDGED: UNSTARTED, REVOKED: DROPPED},  # for its turn in a roll-out
    EXPECTED: {RETURN: RETURNED, PROBE: ASKED, JUDGED: EXPECTED, REVOKED: SILENT},
    ASKED: {RETURN: RETURNED, RUNS: ALIVE, RUNS_NOT: IDLE, LEFT: AWAY, JUDGED: SILENT, REVOKED: SILENT},
    # no connection: an answer has AWAY_SECONDS; BACK: heard since, it was started again, and its job may have gone on
    AWAY: {RETURN: RETURNED, RUNS: ALIVE, RUNS_NOT: IDLE, BACK: EXPECTED, JUDGED: SILENT, REVOKED: SILENT},
    ALIVE: {RETURN: RETURNED, PROBE: ASKED, JUDGED: ALIVE, REVOKED: SILENT},
    # it has said that it does not run the job; its return may be under way, so it is not silent at once
    IDLE: {RETURN: RETURNED, JUDGED: SILENT, REVOKED: SILENT},
    SILENT: {RETURN: RETURNED, JUDGED: SILENT},
    DROPPED: {RETURN: RETURNED, JUDGED: DROPPED},  # its key was not accepted any more when it was its turn
    RETURNED: {UNWRITTEN: EXPECTED, JUDGED: RETURNED},  # the disk was full: it is asked for again
}
OPEN = {EXPECTED, ASKED, ALIVE, IDLE, AWAY}  # what the job waits for
AWAY_SECONDS = 0.8  # for a return of minions without a connection, and once more for their answer to find_job


def addressed(header: Mapping[str, Any], minion_id: str, grains_of: Callable[..., Any]) -> bool:
    """Whether a publication may have been meant for a minion which was not foreseen, for all that is known of it."""
    return minion_id in header["minions"] or bool(expected(header["tgt"], header["tgt_type"], [minion_id], grains_of))


def return_line(minion_id: str, load: dict[str, Any], now: float) -> dict[str, Any]:
    """The `ret` line of a job's file for the load of a `_return`. What is told of it in an event, too, is small: a
    larger value counts as not given, and for success as False."""
    line = {"event": "ret", "id": minion_id, "fun": "", "return": load.get("return"), "retcode": 0, "success": True}
    for name in ("fun", "retcode", "success"):
        if name in load:
            small = type(load[name]) in (bool, int) or len(to_json(load[name])) <= MAX_TOLD
            line[name] = load[name] if small else {"fun": "", "retcode": 1, "success": False}[name]
    line["time"] = now
    return line | {"out": load["out"]} if isinstance(load.get("out"), str) and len(load["out"]) <= MAX_TOLD else line


class Prepared(dict[str, Any]):
    """The load of a large return, without it: its line, which lacks it too, and the text of the whole line."""

    def __init__(self, load: Mapping[str, Any], line: dict[str, Any], text: memoryview) -> None:
        super().__init__(load)
        self.line, self.text = line, text


def all_well(line: dict[str, Any]) -> bool:
    """Whether a `ret` line tells of success; of several functions all must have gone well.

    `retcode` and `success` are maps by function where there were several; a return that says neither went well."""
    codes, oks = line.get("retcode", 0), line.get("success", True)
    codes = codes.values() if isinstance(codes, dict) else [codes]
    oks = oks.values() if isinstance(oks, dict) else [oks]
    return not any(codes) and all(ok is not False for ok in oks)


def progress_line(minion_id: str, data: Any, now: float) -> dict[str, Any] | None:
    """The `progress` line for what a minion tells of a job that runs: {"lines": texts} of its output, or as Salt's
    minions tell with state_events, {"ret": {name, result, __run_num__, …}, "len": number of states}; else None."""
    line: dict[str, Any] = {"event": "progress", "id": minion_id, "time": now}
    if not isinstance(data, dict):
        return None
    if isinstance(lines := data.get("lines"), list):
        return line | {"lines": [text for text in lines if isinstance(text, str)]}
    ret, total = data.get("ret"), data.get("len")
    if not isinstance(ret, dict) or not isinstance(total, int) or not isinstance(ret.get("__run_num__"), int):
        return None
    done = min(ret["__run_num__"] + 1, total)  # states that a state brings in are not in Salt's total
    doing = f"{ret.get('__id__', '')}: {ret.get('name', '')}"[:MAX_TOLD]
    return line | {"done": done, "total": total, "doing": doing, "result": bool(ret.get("result"))}


class Job:
    """A published job: what was asked (`header`, the first line of its file), its state, and that of each minion.

    `parts` has a state of PARTS for everyone who was expected, and for who has answered without that; `counts` how
    many are in each. `lines` are not in the file yet, and `unwritten` the ids whose returns are among them. `deadline`
    is when the job is overdue, in seconds since the epoch."""

    def __init__(self, header: dict[str, Any], now: float) -> None:
        self.header = header
        self.jid: str = header["jid"]
        self.state = RUNNING
        careful = ROLLOUT & header.keys()
        self.rollout: Any = packed_leaf("rollouts", "master").Rollout(header) if careful else None
        self.parts: dict[str, str] = dict.fromkeys(header["minions"], UNSTARTED if self.rollout else EXPECTED)
        self.counts = collections.Counter(self.parts.values())
        self.failed: set[str] = set()  # who returned, and not all went well
        self.told_running: set[str] = set()
        self.probe = ""  # the jid of the find_job under way
        self.started = min(header.get("time", now), now)
        self.deadline = now + max(1, header["timeout"])
        self.lines: list[bytes | memoryview] = []
        self.unwritten: list[str] = []
        self.since: dict[str, float] = {}  # when those of a roll-out have started
        self.asked = 0.0  # when find_job was last published
        self.told = collections.Counter[str]()  # bytes of progress of each minion
        self.unqueued: list[str] = []  # who is silent and is to be queued, some in each step

    def step(self, minion_id: str, event: str) -> str:
        """Bring a minion to its next state, and give the one it was in; StateError where PARTS has no row."""
        if minion_id not in self.parts:  # it was not foreseen, and answers: nobody waits for it
            self.parts[minion_id] = SILENT
            self.counts[SILENT] += 1
        before = self.parts[minion_id]
        if event not in PARTS[before]:
            raise StateError(f"{event} cannot happen to a minion that is {before}")
        after = self.parts[minion_id] = PARTS[before][event]
        self.counts[before] -= 1
        self.counts[after] += 1
        return before

    def all_in(self) -> bool:
        """Whether nobody is waited for any more."""
        over = not self.rollout or self.rollout.stopped or not self.counts[UNSTARTED]
        return bool(over) and not self.going() and not self.unqueued

    def going(self) -> int:
        """How many are waited for."""
        return sum(self.counts[state] for state in OPEN)

    def due(self) -> float:
        """When something is to be done, in seconds since the epoch; 0: at once."""
        if self.unqueued or self.all_in() and self.state != COMPLETE:
            return 0.0
        if not self.rollout:
            return self.deadline
        return min(self.deadline, self.rollout.again) if self.going() else self.rollout.again

    def overdue(self, now: float) -> list[str]:
        """Who is waited for since the timeout, sorted."""
        young = now - max(1, self.header["timeout"])
        return sorted(m for m, state in self.parts.items() if state in OPEN and self.since.get(m, young) <= young)

    def load(self) -> dict[str, Any]:
        """The load of its publication, all but `serial`; of a roll-out, to those that have started and are not back."""
        fields = ("fun", "arg", "tgt", "jid", "ret", "tgt_type", "user", "metadata", "stream")
        load = {name: self.header[name] for name in fields if name in self.header}
        if self.rollout:
            load |= {"tgt": [m for m, state in self.parts.items() if state in OPEN], "tgt_type": "list"}
        return load


REQUEST_FIELDS: dict[str, tuple[type, ...]] = {
    "fun": (str, list),
    "tgt": (str, list),
    "arg": (list,),
    "kwarg": (dict,),
    "metadata": (dict,),
}
REQUEST_FIELDS |= dict.fromkeys(("tgt_type", "ret", "user"), (str,))
REQUEST_FIELDS |= dict.fromkeys(("timeout", "gather_job_timeout", "batch_wait", "rate", "queue"), (int, float))
REQUEST_FIELDS |= {"subset": (int,), "stream": (bool,), "failhard": (bool,), "canary": (list,)}
REQUEST_FIELDS |= dict.fromkeys(("batch", "max_errors"), (int, str))
ROLLOUT = {"batch", "canary", "max_errors", "failhard", "rate"}  # with one of these a job is a roll-out
ASKED_FOR = (*sorted(ROLLOUT), "batch_wait", "queue", "stream")  # what a header has only where it was asked for
AMOUNT = re.compile(r"[0-9]{1,9}|[0-9]{1,9}(\.[0-9]{1,9})?%")
MAX_TIMEOUT = 31_536_000


def check_field(name: str, value: Any) -> None:
    """Failure unless a field of a request is known, of its type, and within its bounds."""
    if name not in REQUEST_FIELDS:
        raise Failure(f"unknown field {name!r}{nearest(name, REQUEST_FIELDS)}.")
    kinds: Any = REQUEST_FIELDS[name]
    if not isinstance(value, kinds) or isinstance(value, bool) and bool not in kinds:
        raise Failure(f"{name} is of the wrong type: {value!r}.")
    if isinstance(value, int | float) and not 0 <= value <= MAX_TIMEOUT:  # nor NaN
        raise Failure(f"{name} must be from 0 to {MAX_TIMEOUT}, and is {value!r}.")
    for amount in value if name == "canary" else [value] if name in ("batch", "max_errors") else ():
        if not AMOUNT.fullmatch(str(amount)) or name != "max_errors" and not float(str(amount).rstrip("%")):
            raise Failure(f"{name} must be a number of minions or a percentage such as 10%, and is {amount!r}.")
    if name == "tgt" and isinstance(value, list) and not all(isinstance(word, str) for word in value):
        raise Failure(f"tgt must be a text or a list of texts, and is {value!r}.")


def checked_request(request: Any) -> dict[str, Any]:
    """What a file in jobs/new holds, if it is a request: whole, with fields that are right. Failure."""
    if not isinstance(request, dict):
        raise Failure('it must be a JSON object such as {"tgt": "*", "fun": "test.ping"}.')
    for name, value in request.items():
        check_field(name, value)
    for name in ("fun", "tgt"):
        if not request.get(name):
            raise Failure(f"{name} is missing.")
    functions = functions_in(request)
    for fun in functions:
        if not isinstance(fun, str) or not FUN.fullmatch(fun):
            raise Failure(f"{fun!r} is not a function; say module.function, as in test.ping.")
    if len(functions) > 1 and [type(arg) for arg in request.get("arg", [])] != [list] * len(functions):
        raise Failure("with several functions arg must be a list of lists, one for each.")
    return request


def job_header(jid: str, request: Mapping[str, Any], opts: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The first line of a job's file, but for who is expected; Failure if its target is malformed.

    Nodegroups are expanded here: minions do not know them. A number that a request leaves out is the option's."""
    tgt, tgt_type = request["tgt"], request.get("tgt_type", "glob")
    if tgt_type == "nodegroup":
        tgt, tgt_type = expand_nodegroups(["N@" + str(tgt)], opts["nodegroups"]), "compound"
    elif tgt_type == "compound":
        tgt = expand_nodegroups(tgt.split() if isinstance(tgt, str) else tgt, opts["nodegroups"])
    if problem := target_error(tgt, tgt_type):
        raise Failure(problem)
    arg = request.get("arg", [])
    if kwarg := request.get("kwarg"):
        arg = [*arg, {"__kwarg__": True, **kwarg}]
    header = {"event": "new", "jid": jid, "fun": request["fun"], "arg": arg, "tgt": tgt, "tgt_type": tgt_type}
    header |= {"ret": request.get("ret", ""), "user": request["user"], "time": now}
    header |= {name: request.get(name, opts[name]) for name in ("timeout", "gather_job_timeout")}
    header |= {name: request[name] for name in ASKED_FOR if name in request}
    return header | ({"metadata": request["metadata"]} if "metadata" in request else {})


# ---- 14. Master tree ------------------------------------------------------------------------------------------------
# One method a path, so that the layout stands in one place. What minions said of themselves stays in memory while its
# file is as it was, within a bound: thousands of minions may ask for the mine of thousands.


PRESERVE = "preserve"  # the file beside them that saves them once


class MinionData:
    """minions/ID/{grains,pillar,mine}.json: what an accepted minion last said of itself, was last sent, and has put
    into the mine. What a method gives is not to be changed."""

    MAX_KEPT = 32 << 20  # bytes of files that are kept in memory

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept: dict[str, tuple[tuple[int, int, int], Any]] = {}  # what files held, by path
        self._kept_bytes = 0

    def grains(self, minion_id: str) -> dict[str, Any] | None:
        """The grains that a minion last sent, or None."""
        return self._read(minion_id, "grains")

    def pillar(self, minion_id: str) -> dict[str, Any] | None:
        """The pillar that a minion was last sent, or None."""
        return self._read(minion_id, "pillar")

    def mine(self, minion_id: str) -> dict[str, Any]:
        """What a minion has put into the mine."""
        return self._read(minion_id, "mine") or {}

    def put(self, minion_id: str, kind: str, value: dict[str, Any]) -> None:
        """Keep a map of a kind, if it is not what is there: it is asked for far more often than it changes."""
        if self._read(minion_id, kind) == from_json(text := to_json(value)):
            return
        directory = self._directory / minion_id
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o700)
        put(directory / f"{kind}.json", text, sync=False)
        self._drop(f"{directory}/{kind}.json")  # a stamp may repeat within one tick of the clock

    def remove(self, minion_id: str, kind: str) -> None:
        """Remove what is kept of a kind; FileNotFoundError if there is nothing."""
        (self._directory / minion_id / f"{kind}.json").unlink()

    def preserve(self, minion_id: str) -> None:
        """Have the next `forget` leave what is kept of a minion, if there is anything."""
        with contextlib.suppress(FileNotFoundError):
            put(self._directory / minion_id / PRESERVE, "", sync=False)

    def forget(self, minion_id: str) -> None:
        """Remove all that is kept of a minion, but what `key --preserve-minions` has said is to stay."""
        with contextlib.suppress(FileNotFoundError):
            (self._directory / minion_id / PRESERVE).unlink()
            return
        for kind in ("grains", "pillar", "mine"):
            with contextlib.suppress(FileNotFoundError):
                self.remove(minion_id, kind)
        with contextlib.suppress(OSError):
            (self._directory / minion_id).rmdir()

    def _read(self, minion_id: str, kind: str) -> dict[str, Any] | None:
        """The map in a file, from memory while the file is as it was."""
        path = f"{self._directory}/{minion_id}/{kind}.json"
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

    def _drop(self, path: str) -> None:
        if kept := self._kept.pop(path, None):
            self._kept_bytes -= kept[0][2]


KeyStat = tuple[int, int, int]  # inode, ctime in nanoseconds, size: equal means unchanged


class MasterTree:
    """The master's files: keys, sessions, the shared key; one method a path.

    `keys` is what `scan` found last, and `data` what minions said. What a method here decides, it decides by looking
    at the file then and there; `keys` only tells who is expected to answer."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self.pki = Path(opts["pki_dir"])
        self.cache = Path(opts["cachedir"])
        self.jobs, self.sessions = self.cache / "jobs", self.cache / "sessions"
        self.opts = opts
        self.keys: dict[str, tuple[str, int]] = {}  # id -> state and inode of the file
        self.data = MinionData(self.cache / "minions")
        self._scanned: dict[str, tuple[int, bool]] = {}

    def prepare(self, keysize: int) -> None:
        """Make what a start makes: directories (0700) and the key pair (master.pem 0400, master.pub 0644)."""
        for directory in ("", *DIRECTORIES.values(), "minions_autosign"):
            make_directory(self.pki / directory)
        for directory in ("", "jobs", "jobs/new", "jobs/active", "jobs/done", "jobs/bad", "minions", "sessions"):
            # who may publish is who may write into jobs/new, and read what comes back: the operator's to open
            shared = directory in ("", "jobs", "jobs/new", "jobs/active", "jobs/done")
            make_directory(self.cache / directory, shared)
            sweep(self.cache / directory)
        for directory in DIRECTORIES.values():
            sweep(self.pki / directory)
        make_key_pair(self.pki, "master", keysize, self.opts["key_pass"])

    def pub_signatures(self, pem: str) -> dict[str, bytes]:
        """The signature of the master's public key in base64, for each algorithm; {} without master_sign_pubkey.

        The signing key (NAME.pem, NAME.pub) is made if it is not there. Raises Failure."""
        opts = self.opts
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
        make_key_pair(self.pki, name, opts["keysize"], opts["signing_key_pass"])
        key = read_private_key(self.pki / f"{name}.pem", opts["signing_key_pass"])
        return {algo: binascii.b2a_base64(key.sign(algo, pem.encode())) for algo in SIG_ALGOS}

    # keys

    def key_path(self, state: str, minion_id: str) -> Path:
        """Where the key of an id lies that is in this state."""
        return self.pki / DIRECTORIES[state] / minion_id

    def key_stat(self, minion_id: str) -> KeyStat | None:
        """What tells the accepted key's file from any other and from its changes. None if the id is not accepted."""
        if not self.opts["open_mode"] and os.path.lexists(f"{self.pki}/minions_rejected/{minion_id}"):
            return None
        try:
            info = os.lstat(f"{self.pki}/minions/{minion_id}")
        except FileNotFoundError:
            return None
        return info.st_ino, info.st_ctime_ns, info.st_size

    def stored_key(self, minion_id: str) -> tuple[str, PublicKey | None]:
        """The state of a minion's key and the key: rejected (but in open mode, where no key is) before accepted before
        pending. What is no regular file of one link that holds one public key is BLOCKED, with None."""
        if not self.opts["open_mode"] and os.path.lexists(self.key_path(REJECTED, minion_id)):
            return REJECTED, None
        for state in (ACCEPTED, PENDING):
            try:
                return state, self.read_key(self.key_path(state, minion_id))
            except FileNotFoundError:
                continue
            except (OSError, AuthError) as error:
                if isinstance(error, OSError) and error.errno not in NO_KEY_FILE:
                    raise  # our own trouble, no descriptors left say, is nobody's rejection
                log.warning("%s is no key file, so %s stays out: %s", self.key_path(state, minion_id), minion_id, error)
                return BLOCKED, None
        return UNKNOWN, None

    def read_key(self, path: Path) -> PublicKey:
        """The key in a file; FileNotFoundError, OSError or AuthError."""
        raw, info = read_with_owner(path, MAX_PEM)
        if info.st_nlink != 1:
            raise OSError(errno.EMLINK, "the file has a second name", str(path))
        if info.st_uid not in (0, os.geteuid()):
            raise OSError(errno.EPERM, f"the file belongs to {user_name(info.st_uid)}", str(path))
        return PublicKey(raw.decode("ascii", "replace"))

    def put_key(self, state: str, minion_id: str, pem: str) -> None:
        """Write a key into the directory of a state."""
        put(self.key_path(state, minion_id), pem, 0o644)

    def remove_key(self, minion_id: str) -> None:
        """Remove the accepted key of a minion, durably."""
        path = self.key_path(ACCEPTED, minion_id)
        path.unlink(missing_ok=True)
        sync_directory(path.parent)

    def check_room(self) -> None:
        """OSError where less than keep_free is free, which is left to whoever runs this machine."""
        info = os.statvfs(self.cache)
        if info.f_bavail * info.f_frsize < self.opts["keep_free"]:
            raise OSError(errno.ENOSPC, "less is free than keep_free says: make room", str(self.cache))

    def count(self, state: str) -> int:
        """How many keys are in a state, whatever their names."""
        return len(names(self.pki / DIRECTORIES[state]))

    def changed(self) -> bool:
        """Whether a key directory may have changed since `scan`: its mtime differs, or was too fresh to tell.

        A change within the same tick of the clock would not show, so what was read too freshly counts as changed."""
        return any(self._scanned.get(d) != (self._mtime(d), False) for d in list(DIRECTORIES.values())[:3])

    def _mtime(self, directory: str) -> int:
        return os.stat(self.pki / directory).st_mtime_ns

    def scan(self, now: float) -> dict[str, tuple[str, int]]:
        """Look at all key files: every known id with its state and its file's inode, which `keys` is from here on."""
        found: dict[str, tuple[str, int]] = {}
        for state in (PENDING, ACCEPTED, REJECTED):
            directory = DIRECTORIES[state]
            mtime = self._mtime(directory)
            self._scanned[directory] = (mtime, abs(now - mtime / 1e9) < RACY)
            with os.scandir(self.pki / directory) as entries:
                found.update({e.name: (state, e.inode()) for e in entries if valid_id(e.name)})
        self.keys = found
        return found

    def accepted(self) -> list[str]:
        """The ids that were accepted at the last look."""
        return [minion_id for minion_id, (state, _) in self.keys.items() if state == ACCEPTED]

    def scan_one(self, minion_id: str) -> tuple[str, int]:
        """What `scan` says of one id; (UNKNOWN, 0) if there is no file."""
        for state in (REJECTED, ACCEPTED, PENDING):
            with contextlib.suppress(FileNotFoundError):
                return state, os.lstat(self.key_path(state, minion_id)).st_ino
        return UNKNOWN, 0

    def denied_lately(self, minion_id: str, now: float) -> bool:
        """Whether minions_denied/ID was written within the last minute."""
        try:
            return abs(now - os.lstat(self.key_path(DENIED, minion_id)).st_mtime) < 60
        except FileNotFoundError:
            return False

    def autosign_stub(self, minion_id: str, timeout: float, now: float) -> bool:
        """Whether minions_autosign/ID is there and young enough (minutes); stubs that are too old are removed."""
        path = self.pki / "minions_autosign" / minion_id
        try:
            age = now - os.lstat(path).st_mtime
        except FileNotFoundError:
            return False
        if timeout and age > timeout * 60:
            path.unlink(missing_ok=True)
            return False
        return True

    def use_autosign_stub(self, minion_id: str) -> None:
        """The authentication that a stub accepts uses it up; no other does."""
        (self.pki / "minions_autosign" / minion_id).unlink(missing_ok=True)

    # sessions

    def session(self, minion_id: str, finger: str) -> str | None:
        """The session key made for this id and this public key, or None."""
        try:
            key, owner = read(self.sessions / minion_id, 4096).decode().splitlines()
            Crypticle(key)
        except (OSError, ValueError, AuthError):
            return None
        return key if owner == finger else None

    def has_session(self, minion_id: str) -> bool:
        """Whether an id has a session, made for whatever key."""
        return os.path.lexists(self.sessions / minion_id)

    def session_age(self, minion_id: str, now: float) -> float:
        """Seconds since the session key was made; OSError if there is none."""
        return now - os.stat(self.sessions / minion_id).st_mtime

    def put_session(self, minion_id: str, key: str, finger: str) -> None:
        """Keep a session key, with the fingerprint it was made for. Not synced: a lost one is made anew."""
        put(self.sessions / minion_id, f"{key}\n{finger}\n", sync=False)

    def forget(self, minion_id: str) -> None:
        """Remove what belonged to an identity that is gone: its session, grains, pillar and mine."""
        (self.sessions / minion_id).unlink(missing_ok=True)
        if not self.opts["preserve_minion_cache"]:
            self.data.forget(minion_id)

    def strangers(self) -> list[str]:
        """The ids with a session whose key is no longer accepted, or that was made under another key of the master:
        what happened while no master ran.

        Two comparisons: the fingerprint that the session was made for with the key that lies there, and the
        session's age with that of the master's own key."""
        found, made = [], os.stat(self.pki / "master.pem").st_mtime
        for minion_id in names(self.sessions):
            try:
                owner = read(self.sessions / minion_id, 4096).decode().splitlines()[1]
                pem = read(self.key_path(ACCEPTED, minion_id), MAX_PEM).decode()
                gone = fingerprint(pem) != owner or self.key_stat(minion_id) is None
                gone = gone or os.stat(self.sessions / minion_id).st_mtime < made
            except (OSError, ValueError, IndexError):
                gone = True
            if gone:
                found.append(minion_id)
        return found

    def shared_key(self) -> tuple[str, float, float] | None:
        """The shared AES key, when it was made and when it last sealed a publication; None if there is none.

        The file's mtime is when it was made; its atime, set by hand, when it was last used."""
        path = self.cache / "aes.key"
        try:
            info = os.stat(path)
            key = read(path, 4096).decode().strip()
            Crypticle(key)
        except (OSError, ValueError, AuthError):
            return None
        return key, info.st_mtime, info.st_atime

    def put_shared_key(self, key: str) -> None:
        """Keep the shared key, durably: a key is on disk before it seals anything."""
        put(self.cache / "aes.key", key + "\n")

    def stamp_shared_key(self, made: float, used: float) -> None:
        """Keep in the file's access time when the key was last used, so that a clock set back is noticed at a start."""
        with contextlib.suppress(OSError):
            os.utime(self.cache / "aes.key", (used, made))

    def heard(self) -> dict[str, list[Any]]:
        """What `put_heard` was given in the last run; nothing if it cannot be read."""
        try:
            found = from_json(read(self.sessions / ".heard", 1 << 28))
            return {
                minion_id: [int(ts), float(when), list(nonces), *map(str, address)]
                for minion_id, (ts, when, nonces, *address) in found.items()
            }
        except (OSError, ValueError, TypeError, AttributeError, LookupError):
            return {}

    def seen(self) -> list[tuple[str, int, str]]:
        """What `note_seen` was given since the last `put_heard`, as id, `ts` and nonce; a line that was cut is none."""
        text = ""
        for name in (".seen.old", ".seen"):
            with contextlib.suppress(OSError):
                text += read(self.sessions / name, 1 << 28).decode(errors="replace")
        return [(each[0], int(each[1]), each[2]) for each in re.findall(r"(?m)^(\S+) (-?\d+) ([0-9a-f]{32})\n", text)]

    def note_seen(self, text: str) -> None:
        """Append lines `ID TS NONCE`. Not synced: a process that is killed loses nothing of them."""
        append(self.sessions / ".seen", text, sync=False, create=True)

    def part_seen(self) -> None:
        """Set aside what was noted so far, which the next `put_heard` will know; what comes from here on it may not."""
        old = self.sessions / ".seen.old"
        if not old.exists():  # else what could not be put the last time lies there still
            with contextlib.suppress(FileNotFoundError):
                os.rename(old.with_suffix(""), old)

    def put_heard(self, heard: list[bytes]) -> None:
        """JSON, in parts: id -> [the newest `ts` of its session, when it was last heard, the nonces of that second, the
        address it was heard from]."""
        put(self.sessions / ".heard", heard, sync=False)
        (self.sessions / ".seen.old").unlink(missing_ok=True)


# ---- 15. Jobs -------------------------------------------------------------------------------------------------------
# A job is a file and its directory is its state: new -> active -> done. No socket and no clock here: publications go
# into `outgoing`, events into `events`, `now` is an argument. Why a return can be acknowledged: `flush` has brought it
# to the disk. A crash leaves a job in active/, with at most its last line cut; `recover` goes on with it.
#
# Lines of a job's file, `event` first: `new` (the whole job: jid, fun, arg, tgt, tgt_type, user, the minions that are
# expected, timeouts), `ret` (id, return, retcode, success), `running` (find_job said so), `silent` (id, since when it
# was not heard, whether it said that it does not run the job), `end` (counts and seconds). A minion that is late has
# its line behind the end. Of roll-outs: `batch` (minions: these start now), `paused`, `resumed`, `stopped` (why); of
# the queue: `queued` (id, until), `expired`; `progress` (see progress_line); `cancelled`, the last where the file was
# removed. Whoever may write into jobs/new may publish; root and the master's own user may publish anything, others
# what publisher_acl says of the owner of their file.
#
# In jobs/active the operator's hand works, too: JID.pause beside a roll-out's file lets none of its minions start while
# it is there, JID.stop none any more. .JID.jsonl is a second name of a job's file, so that removing the first, which
# cancels the job, does not remove what was returned.

MAX_REQUEST, MAX_USERS = 16 << 20, 1 << 18  # bytes of a request, and of one that is not root's or the master's user's
REMEMBERED = 500  # finished jobs of which something is kept in memory
MAX_PROGRESS = 1 << 20  # bytes of what one minion tells of one job while it runs


def read_request(path: Path) -> dict[str, Any]:
    """The request in a file of jobs/new, checked, with `user`, who publishes, and `owner`, of whose file publisher_acl
    must say that he may; '' for root and the master's own user; `uid` is his. Failure, FileNotFoundError."""
    try:
        raw, info = read_with_owner(path, MAX_REQUEST)
    except FileNotFoundError:
        raise
    except OSError as error:
        link, why = error.errno == errno.ELOOP, f"it cannot be read: {error.strerror}."
        raise Failure("it is a symbolic link, not a regular file." if link else why) from None
    if info.st_nlink != 1:
        raise Failure("it is not a regular file with one name.")
    if info.st_uid not in (0, os.geteuid()) and len(raw) > MAX_USERS:
        raise Failure(f"it has {len(raw)} bytes, and {MAX_USERS} are allowed to others than root.")
    try:
        request = checked_request(from_json(raw))
    except ValueError as error:
        raise Failure(f"it is not JSON: {error}.") from None
    name, user = user_name(info.st_uid), request.get("user", "")
    if info.st_uid in (0, os.geteuid()):
        return request | {"user": user if user and user.isprintable() else name, "owner": "", "uid": info.st_uid}
    if why := costly(request["tgt"], request.get("tgt_type", "glob")):
        raise Failure(why)
    return request | {"user": name, "owner": name, "uid": info.st_uid}


def acl() -> Any:
    """Who may publish what, and who reads what came of it."""
    return packed_leaf("configuration", "master").acl


def put_job(path: Path, text: str, uid: int) -> None:
    """Begin the file of a job, which its publisher may read. Not synced: the first return's fsync makes the file last,
    and until then a power cut loses no more than the command that waits for it on this same machine."""
    put(path, text, sync=False)
    acl().permit(path, uid)


def addressees(header: Mapping[str, Any], owner: str, opts: Mapping[str, Any], tree: MasterTree) -> list[str]:
    """The minions that are expected to answer a job; Failure if publisher_acl or its blacklist is against it."""
    if why := acl().refusal(opts, header, owner, tree):
        raise Failure(why)
    return expected(header["tgt"], header["tgt_type"], tree.accepted(), tree.data.grains, tree.data.pillar)


def make_day(jobs: Path, jid: str) -> Path:
    """The directory for the finished jobs of a jid's day."""
    with contextlib.suppress(FileExistsError):
        (day := jobs / "done" / jid[:8]).mkdir(mode=0o700)
        day.chmod(stat.S_IMODE(os.stat(jobs / "done").st_mode))  # as open as its parent
    return day


class Returns:
    """What minions bring to the jobs of a master, and its way to the disk.

    `events` are pairs of tag and data; whoever calls takes them from here. After any number of `ret` comes one
    `flush`."""

    def __init__(self, tree: MasterTree, opts: Mapping[str, Any]) -> None:
        self.tree, self.opts = tree, opts
        self.active: dict[str, Job] = {}
        self.probes: dict[str, Job] = {}  # by the jid of the find_job under way
        self.passed: dict[str, None] = {}  # our own jids, and cancelled ones: late answers to them are dropped
        self.dirty: set[Job] = set()  # with lines that are not on disk
        self.queue = packed_leaf("queues", "master").Queue(tree.jobs / "queued")
        self.ticks = Ticks()
        returns = packed_leaf("returns", "master")
        self.quota, self.late = returns.Quota(opts), returns.Late()
        self.events = self.quota.events

    def new_jid(self, now: float) -> str:
        """A jid later than every one given out before."""
        return jid_at(self.ticks.next(now))

    def path(self, jid: str, state: str) -> Path:
        """Where a job's file is in a state, `active` or `done`; `kept`: the second name of an active one."""
        directory = f"done/{jid[:8]}" if state == "done" else "active"
        return self.tree.jobs / directory / f"{'.' * (state == 'kept')}{jid}.jsonl"

    def ret(self, minion_id: str, load: dict[str, Any], now: float) -> str:
        """Take a minion's return; gives the jid whose file must be flushed before it is acknowledged, or ''.

        The first return counts, and only minions that the job was published to may answer it.

        The load is {jid, return, retcode, success, fun, fun_args, …}; jid "req": the minion ran it on its own
        account, as do jids that this master never gave out. OSError where less than keep_free is free."""
        return self._take(minion_id, load, now)[0]

    def _take(self, minion_id: str, load: dict[str, Any], now: float) -> tuple[str, Path | None]:
        """The same, and the file that was written at once, because no job waits for the return."""
        jid = str(load.get("jid", ""))
        if jid in self.probes:
            answer = {"jid": jid} if isinstance(load, Prepared) else load.get("return")  # what is large is not {}
            self._probed(self.probes[jid], minion_id, answer, now)
            return "", None
        if jid in self.passed:
            return "", None
        self.tree.check_room()
        if not (job := self.active.get(jid)):
            return "", self._unasked(jid, minion_id, load, now)
        if job.parts.get(minion_id) == RETURNED:
            return jid if minion_id in job.unwritten else "", None
        if minion_id not in job.parts and not addressed(job.header, minion_id, self.tree.data.grains):
            log.warning("%s sent a return for job %s, which was not meant for it", minion_id, jid)
            return "", None
        self._add(job, minion_id, load, now)
        return jid, None

    def _unasked(self, jid: str, minion_id: str, load: dict[str, Any], now: float) -> Path | None:
        """Write down a return that no job waits for, late or of the minion's own, and give its file if it is kept."""
        if MINION_JID.fullmatch(jid) and (header := self.late.header(self.path(jid, "done"))):
            return self.late.take(self, header, minion_id, load, now)
        if jid != "req" and not MINION_JID.fullmatch(jid):
            log.warning("%s sent a return with the jid %.40r, which is none", minion_id, jid)
            return None
        if not self.quota.may_keep_own(minion_id, now):
            return None  # it has said so
        # the days of jobs/done are days of this clock, for what is too old goes by them
        near = jid != "req" and jid_of(now - 86400)[:8] <= jid[:8] <= jid_of(now + 86400)[:8]
        line, text = self.quota.line(minion_id, load, now)
        return self.quota.keep_own(self.tree.jobs, jid if near else self.new_jid(now), load, line, text)

    def _add(self, job: Job, minion_id: str, load: dict[str, Any], now: float) -> None:
        """Take down a return; it reaches the file with the next `flush`."""
        line, text = self.quota.line(minion_id, load, now)
        job.lines.append(text)
        job.unwritten.append(minion_id)
        job.step(minion_id, RETURN)
        if not all_well(line):
            job.failed.add(minion_id)
        self.dirty.add(job)
        self.queue.done(minion_id, job.jid)
        event = {"id": minion_id, "fun": line["fun"], "retcode": line["retcode"], "success": line["success"]}
        self.events.append((f"salt/job/{job.jid}/ret/{minion_id}", event))

    def _probed(self, job: Job, minion_id: str, answer: Any, now: float) -> None:
        """An answer to find_job: {} for no, the running record for yes. The last one ends the wait."""
        if job.parts.get(minion_id) in (ASKED, AWAY):
            job.step(minion_id, RUNS if isinstance(answer, dict) and answer else RUNS_NOT)
            if not job.counts[ASKED]:
                job.deadline = min(job.deadline, max(now, job.asked + AWAY_SECONDS) if job.counts[AWAY] else now)

    def progress(self, minion_id: str, jid: str, data: Any, now: float) -> bool:
        """Take down what a minion tells of a job while it runs, up to MAX_PROGRESS bytes; whether it was a step of a
        state run, which is an event too."""
        job, line = self.active.get(jid), progress_line(minion_id, data, now)
        if line is None or job is None or job.parts.get(minion_id) in (None, RETURNED):
            return False
        before, text = job.told[minion_id], to_json(line).encode()
        job.told[minion_id] += len(text)
        if before <= MAX_PROGRESS < job.told[minion_id]:
            line |= {"lines": [f"more than {MAX_PROGRESS} bytes: the rest comes with the return"]}
            text = to_json(line).encode()
        if before <= MAX_PROGRESS and self.quota.may_tell(minion_id, len(text), now):
            job.lines.append(text)
            self.dirty.add(job)
        return "done" in line

    def flush(self) -> set[str]:
        """Write what came in, one write and one fsync a file. Gives the jids that could not be written: their
        returns are forgotten again, must not be acknowledged, and will come once more."""
        failed = {job.jid for job in self.dirty if not self._write(job, bool(job.unwritten))}
        self.dirty.clear()
        return failed

    def _write(self, job: Job, sync: bool) -> bool:
        """Write the lines of a job; whether that was possible."""
        lines, ids, job.lines, job.unwritten = job.lines, job.unwritten, [], []
        try:
            append(self.path(job.jid, "kept"), [part for line in lines for part in (line, b"\n")], sync)
        except FileNotFoundError:
            pass  # both its names are gone: the job is cancelled, `look` says so
        except OSError as error:
            log.error("the returns of job %s cannot be written and will be asked for again: %s", job.jid, error)
            for minion_id in ids:
                job.step(minion_id, UNWRITTEN)
                job.failed.discard(minion_id)
            return False
        return True

    def ret_large(self, minion_id: str, load: dict[str, Any], now: float) -> tuple[str, Path | None]:
        """`ret` of a large return, and the file that is written and has still to be synced, if there is one: the disk
        may be long in it, and nobody else needs to wait."""
        waits = set(self.dirty)  # jobs of which other returns came in this batch: `flush` syncs this one with them
        jid, written = self._take(minion_id, load, now)
        job = self.active.get(jid)
        if job in self.dirty - waits:
            self.dirty.discard(job)
            if not self._write(job, sync=False):
                raise OSError(errno.EIO, "not written", jid)
            return "", self.path(jid, "kept")
        return jid, written

    def _unheeded(self, jid: str) -> str:
        """Have late answers to a jid dropped, to one of our own or a cancelled one; gives it."""
        self.passed[jid] = None
        if len(self.passed) > REMEMBERED:
            del self.passed[next(iter(self.passed))]
        return jid


class Jobs(Returns):
    """All jobs of a master, in its tree. `heard(id)`: when a minion was last heard, seconds since the epoch, or 0.

    `outgoing` are loads that want to be published; whoever calls takes them from here. After `flush` comes `tick`,
    which may end jobs. `gone`: who is accepted and has no connection."""

    QUEUED = 100  # absent minions that a job is queued for in one step

    def __init__(self, tree: MasterTree, opts: Mapping[str, Any], heard: Callable[[str], float]) -> None:
        super().__init__(tree, opts)
        self.heard, self.gone, self.finished = heard, set[str](), 0
        self.outgoing: list[dict[str, Any]] = []

    def requests(self) -> list[str]:
        """The names in jobs/new, without directories where those of others stay in the way. Who looks at the keys after
        this, and before `take_requests`, has seen every key that was accepted before its request was made."""
        return names(self.tree.jobs / "new", files=os.geteuid() != 0)

    def take_requests(self, requests: Iterable[str], now: float) -> None:
        """Publish these files of jobs/new; what cannot be published goes to jobs/bad with the reason beside it."""
        for name in requests:
            path, request = self.tree.jobs / "new" / name, dict[str, Any]()
            try:
                request |= read_request(path)
                self.start(name, request, now)
                path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue
            except Exception as error:  # whatever a file may hold, the ones behind it must have their turn
                why = str(error) if isinstance(error, Failure) else f"it cannot be taken: {error}."
                self.events.append(acl().refuse(path, self.tree.jobs / "bad", why, request))

    def start(self, name: str, request: dict[str, Any], now: float) -> None:
        """Write the job's file and put its publication into `outgoing`; Failure if it cannot be published."""
        jid = name if JID.fullmatch(name) else self.new_jid(now)
        if self.path(jid, "active").exists() or self.path(jid, "done").exists():
            raise Failure(f"the jid {jid} is taken.")
        header = job_header(jid, request, self.opts, now)
        header |= {"minions": addressees(header, request["owner"], self.opts, self.tree), "uid": request["uid"]}
        if "subset" in request:
            header["tgt"] = sorted(header["minions"], key=lambda minion_id: token(8))[: request["subset"]]
            header |= {"minions": header["tgt"], "tgt_type": "list"}
        header["minions"].sort()
        if name != jid:
            header["request"] = name  # for `recover`: a crash now must not publish it twice
        job = Job(header, now)
        try:
            pack(job.load())
        except Exception as error:  # half a surrogate pair, a thousand levels
            raise Failure(f"it cannot be sent: {error}.") from None
        if not job.parts:
            make_day(self.tree.jobs, jid)
            end = {"event": "end", "returned": 0, "failed": 0, "silent": 0, "seconds": 0.0, "time": now}
            put_job(self.path(jid, "done"), f"{to_json(header)}\n{to_json(end)}\n", request["uid"])
            return
        put_job(self.path(jid, "active"), to_json(header) + "\n", request["uid"])
        os.link(self.path(jid, "active"), self.path(jid, "kept"))
        self.active[jid] = job
        if job.rollout:
            self.heed(job, set(os.listdir(self.tree.jobs / "active")), now)
        else:
            self.outgoing.append(job.load())
        self.events.append((f"salt/job/{jid}/new", {k: header[k] for k in ("fun", "tgt", "tgt_type", "user")}))
        typed = f"N@{request['tgt']}" if request.get("tgt_type") == "nodegroup" else request["tgt"]
        what = (jid, header["fun"], typed, len(job.parts), header["user"])
        log.info("job %s: %s for %.200s (minions: %s), by %s%s", *what, f", jobs/new/{name}" if name != jid else "")

    # time

    def deadline(self) -> float | None:
        """When `tick` has something to do, in the clock of its `now`."""
        return min((job.due() for job in self.active.values()), default=None)

    def tick(self, now: float) -> None:
        """Ask the minions that are silent, end the jobs that are complete, let more of a roll-out start; call after
        `flush`."""
        for job in list(self.active.values()):
            if job.unqueued:
                self.enqueue(job, now)
            if job.rollout:
                self.advance(job, now)
            elif self.gone and job.state == RUNNING and self._in_vain(job):
                job.deadline = min(job.deadline, max(now, job.started + AWAY_SECONDS))
            if job.all_in() and job.state != COMPLETE:
                self._happened(job, ALL_IN, now)
            elif now >= job.deadline and (job.going() or job.all_in()):
                self._happened(job, ALL_IN if job.all_in() else OVERDUE, now)

    def enqueue(self, job: Job, now: float) -> None:
        """Queue a job for some more of the absent; for those of whom that cannot be written it is over."""
        ids, job.unqueued = job.unqueued[: self.QUEUED], job.unqueued[self.QUEUED :]
        try:
            self._note(job, *(self.queue.add(m, job, now) for m in ids if job.parts[m] != RETURNED))
        except OSError as error:
            log.error("job %s cannot be queued for the absent: %s", job.jid, error)
            job.unqueued = []

    def _in_vain(self, job: Job) -> bool:
        """Whether all that a job waits for have no connection, none said it runs it, and it is no update."""
        going = job.counts[EXPECTED]
        if not 0 < going <= len(self.gone) or going < job.going() or job.header["fun"] == "saltlite.update":
            return False
        return all(minion_id in self.gone for minion_id, state in job.parts.items() if state == EXPECTED)

    def advance(self, job: Job, now: float) -> None:
        """Let as many minions of a roll-out start as may, and publish it to them."""
        rollout = job.rollout
        if not rollout.stopped and (why := rollout.verdict(len(job.failed), job.counts[SILENT])):
            self.halt(job, "stopped", why, now)
        number = rollout.may_start(job.going(), job.counts[RETURNED] + job.counts[SILENT], now)
        ids, lines = rollout.turn(job, number, self.tree.key_stat, now) if number else ([], [])
        if ids:
            self._note(job, {"event": "batch", "minions": ids, "time": now})
            self.outgoing.append(job.load() | {"tgt": ids})
        if lines:
            self._note(job, *lines)

    def halt(self, job: Job, event: str, why: str, now: float) -> None:
        """`paused`, `resumed` or `stopped`: no more minions of a roll-out start, or again."""
        job.rollout.told(event, why)
        log.info("job %s is %s: %s", job.jid, event, why)
        self._note(job, {"event": event, "why": why, "time": now})
        self.events.append((f"salt/job/{job.jid}/{event}", {"why": why}))

    def _note(self, job: Job, *lines: dict[str, Any]) -> None:
        """Write lines to a job's file."""
        job.lines += [to_json(line).encode() for line in lines]
        self.dirty.add(job)
        self.flush()

    def look(self, now: float) -> None:
        """Cancel the jobs whose file the operator has taken out of jobs/active; pause and stop roll-outs."""
        there = set(os.listdir(self.tree.jobs / "active")) if self.active else set()
        for job in list(self.active.values()):
            if f"{job.jid}.jsonl" not in there:
                self._happened(job, GONE, now)
            elif job.rollout and not job.rollout.stopped:
                self.heed(job, there, now)

    def heed(self, job: Job, there: set[str], now: float) -> None:
        """Pause, resume or stop a roll-out, as the names in jobs/active say."""
        if f"{job.jid}.stop" in there:
            self.halt(job, "stopped", f"there is jobs/active/{job.jid}.stop", now)
        elif (paused := f"{job.jid}.pause" in there) != job.rollout.paused:
            is_there = "there is" if paused else "there is no more"
            self.halt(job, "paused" if paused else "resumed", f"{is_there} jobs/active/{job.jid}.pause", now)

    def came(self, new: Iterable[str]) -> None:
        """These minions have connected: publish what is queued for them."""
        self.outgoing += self.queue.loads(new)

    def expire(self, now: float) -> None:
        """Take out of the queue what has waited too long, and say so in the job's file."""
        for minion_id, jid in self.queue.expire(now):
            log.info("job %s waits no longer for %s", jid, minion_id)
            with contextlib.suppress(OSError):
                append(self.path(jid, "done"), to_json({"event": "expired", "id": minion_id, "time": now}) + "\n")

    def _happened(self, job: Job, event: str, now: float) -> None:
        """Go to the job's next state and do what the row says; StateError where the table has no row."""
        if event not in JOB_STATES[job.state]:
            raise StateError(f"{event} cannot happen to a job that is {job.state}")
        job.state, act = JOB_STATES[job.state][event]
        getattr(self, act)(job, now)

    def probe(self, job: Job, now: float) -> None:
        """Ask everyone who is waited for whether the job runs there.

        find_job goes to all of them as one publication, with a jid of our own and the master's patience of
        gather_job_timeout; for an answer of those whose connections are gone AWAY_SECONDS are enough."""
        missing = job.overdue(now)
        for minion_id in missing:
            job.step(minion_id, PROBE)
            if minion_id in self.gone:
                job.step(minion_id, LEFT)
        job.probe, job.asked = self._unheeded(self.new_jid(now)), now
        patience = job.header["gather_job_timeout"]
        job.deadline = now + (patience if job.counts[ASKED] else min(patience, AWAY_SECONDS) if missing else 0)
        self.probes[job.probe] = job
        load = {"fun": "saltutil.find_job", "arg": [job.jid], "tgt": missing, "jid": job.probe}
        self.outgoing += [load | {"ret": "", "tgt_type": "list", "user": job.header["user"]}] if missing else []

    def judge(self, job: Job, now: float) -> None:
        """The answers to find_job are in, or late: who runs it is waited for, who does not is silent."""
        del self.probes[job.probe]
        job.probe = ""
        job.deadline = now + max(1, job.header["timeout"])
        lines: list[dict[str, Any]] = []
        for minion_id in sorted(job.parts):
            if job.parts[minion_id] == AWAY and self.heard(minion_id) > job.asked:
                job.step(minion_id, BACK)
            before = job.step(minion_id, JUDGED)
            if before == ALIVE and minion_id not in job.told_running:
                job.told_running.add(minion_id)
                lines.append({"event": "running", "id": minion_id, "time": now})
            elif before in (ASKED, IDLE, AWAY):
                line = {"event": "silent", "id": minion_id, "since": self.heard(minion_id) or None}
                lines.append(line | {"answered": before == IDLE, "time": now})
                job.unqueued += [minion_id] if "queue" in job.header and before != IDLE else []
        if lines:
            self._note(job, *lines)
        if job.all_in():
            self._happened(job, ALL_IN, now)

    def end(self, job: Job, now: float) -> None:
        """Write the last line and move the file to done/; where that fails it is tried again in 5 s."""
        end = {"event": "end", "returned": job.counts[RETURNED], "failed": len(job.failed)}
        silent = job.counts[SILENT] + job.counts[DROPPED]
        end |= {"silent": silent, "seconds": round(now - job.started, 3), "time": now}
        end |= {"not_started": job.counts[UNSTARTED]} if job.rollout else {}
        active = self.path(job.jid, "active")
        try:
            append(active, to_json(end) + "\n", sync=False)  # `recover` ends a job whose last line is lost
            make_day(self.tree.jobs, job.jid)
            os.rename(active, self.path(job.jid, "done"))
        except FileNotFoundError:
            pass
        except OSError as error:
            log.error("job %s cannot be ended yet: %s", job.jid, error)
            job.deadline = now + 5
            return
        self._happened(job, MOVED, now)

    def drop(self, job: Job, now: float) -> None:
        """The job is over, in memory too; who returned is remembered, so that nobody does twice."""
        self.path(job.jid, "kept").unlink(missing_ok=True)
        for word in ("pause", "stop") if job.rollout else ():
            (self.tree.jobs / "active" / f"{job.jid}.{word}").unlink(missing_ok=True)
        self.finished += self.active.pop(job.jid, None) is not None
        self.probes.pop(job.probe, None)
        self.dirty.discard(job)
        self.late.remember(job.jid, {minion_id for minion_id, state in job.parts.items() if state == RETURNED})

    def cancel(self, job: Job, now: float) -> None:
        """The operator has taken the file away: keep what there is of it, and publish saltutil.kill_job to those the
        job went to."""
        log.info("job %s is cancelled: its file is gone from jobs/active", job.jid)
        self._note(job, {"event": "cancelled", "time": now})
        with contextlib.suppress(FileNotFoundError):
            make_day(self.tree.jobs, job.jid)
            os.rename(self.path(job.jid, "kept"), self.path(job.jid, "done"))
        self.events.append((f"salt/job/{job.jid}/cancelled", {k: job.header[k] for k in ("fun", "tgt", "user")}))
        self.drop(job, now)
        fields = {name: job.header[name] for name in ("tgt", "tgt_type", "user")}
        self._unheeded(job.jid)
        load = {"fun": "saltutil.kill_job", "arg": [job.jid], "jid": self._unheeded(self.new_jid(now)), "ret": ""}
        self.outgoing.append(load | fields)

    def shift(self, seconds: float) -> None:
        """The clock was set by so much: what was to come in five seconds still comes in five seconds."""
        for job in self.active.values():
            job.deadline += seconds
            job.started += seconds

    # starts

    def recover(self, now: float) -> None:
        """After a start: go on with the jobs in jobs/active. One that nobody has answered is published again, with
        the same jid, so that it cannot run twice: the master may have died before it had published it."""
        active = self.tree.jobs / "active"
        there = {name for name in os.listdir(active) if not name.endswith((".pause", ".stop"))}
        for name in sorted({name.removeprefix(".") for name in there if name[0] != "." or name.endswith(".jsonl")}):
            path = active / (name if name in there else f".{name}")
            try:
                job, events = packed_leaf("returns", "master").recovered(path, now)
            except (OSError, ValueError, LookupError, TypeError, SaltError) as error:
                log.error("%s cannot be read and is moved to jobs/bad: %s", path, error)
                with contextlib.suppress(OSError):
                    os.rename(path, self.tree.jobs / "bad" / name)
                continue
            if events[-1] in ("end", "cancelled"):
                make_day(self.tree.jobs, job.jid)
                os.rename(path, self.path(job.jid, "done"))
                self.path(job.jid, "kept").unlink(missing_ok=True)
                continue
            with contextlib.suppress(FileExistsError):
                os.link(path, self.path(job.jid, "kept"))
            self.active[job.jid] = job
            (self.tree.jobs / "new" / job.header.get("request", job.jid)).unlink(missing_ok=True)
            if name in there and (job.going() if job.rollout else events == ["new"]):
                self.outgoing.append(job.load())


def revoke(jobs: Jobs, ids: set[str], now: float) -> None:
    """Wait no longer for minions whose key was taken away: what they return is refused."""
    for job in jobs.active.values():
        left = [each for each in sorted(ids) if job.parts.get(each) in OPEN]
        for minion_id in left:
            job.step(minion_id, REVOKED)
            line = {"event": "silent", "id": minion_id, "since": jobs.heard(minion_id) or None, "answered": False}
            job.lines.append(to_json(line | {"revoked": True, "time": now}).encode())
        jobs.dirty |= {job} if left else set()
    jobs.flush()


# ---- 16. Who speaks: peers and their sessions -----------------------------------------------------------------------
# A request comes in a box of the session key that its minion got with its credentials. An identity is a Peer, made by
# `authenticate` and by nothing else; handlers receive it, and whatever id a body holds must be the same. Every request
# looks at the tree, so a key that was moved away is refused from the rename on. What a minion has sent is not taken a
# second time: a session knows its nonces, and of the time before a restart only later requests are taken.
#
# The envelope of a request is a map: `enc` (clear or aes), `load` (a map, or a box), `version` (3), and with a box the
# minion's `id` and the algorithms it wants for private replies. Inside the box every load has `cmd`, `id`, `nonce` (32
# hex digits, which the reply repeats), `ts` (seconds) and `tok`: X9.31 of `salt` by the minion's private key, a
# constant, and so looked at once a session. Whatever is wrong is answered with the text `bad load`, unsealed: a real
# minion then authenticates, and sends the same request once more.
#
# The clock of a minion is compared with itself only: a nonce is new, and its `ts` not older than FRESH seconds before
# the newest one, for that long all nonces are kept. A minion whose clock goes back is told `bad load` and gets a new
# session. Sessions are files, so a restart of the master costs no minion an authentication.

FRESH = 300  # seconds: how far behind the newest `ts` of its session a request may be
MAX_NONCES = 100_000
SAVED_AT_ONCE = 1000  # minions of which is written down in one step when they were heard; 50 nonces count as one


class Sender:
    """The connection a request comes from: its address, whether it is `open` still, and `minion`, the id that has
    proven itself with it, '' until one has. The transport makes it and believes what it says."""

    __slots__ = ("address", "minion", "open")

    def __init__(self, address: str = "") -> None:
        self.address, self.minion, self.open = address, "", True


class Heard:
    """What is remembered of an id: when it was last heard (seconds since the epoch) and from where; and, for the time
    after a restart, the newest `ts` of its session with the nonces of that second."""

    __slots__ = ("address", "nonces", "ts", "when")

    def __init__(self, ts: int = 0, when: float = 0.0, nonces: Iterable[str] = (), address: str = "") -> None:
        self.ts, self.when, self.nonces, self.address = ts, when, list(nonces), address


class Peer:
    """An accepted minion that has proven its key; made by Peers alone, and given to handlers.

    `finger` is the key's fingerprint, `key_stat` tells its file from any other, `tok` the proof that was looked at
    last, `auth` the nonce of its last `_auth`, by which one that is played again is known."""

    __slots__ = "auth crypticle finger heard id key_stat newest nonces oldest stale tok".split()

    def __init__(self, minion_id: str, finger: str, key_stat: KeyStat, session: str, heard: Heard) -> None:
        self.id, self.finger, self.key_stat, self.heard = minion_id, finger, key_stat, heard
        self.crypticle = Crypticle(session)
        self.tok = b""
        self.auth = ""
        # of the time before this run only the last second's nonces are known, so only later requests are taken
        self.newest = self.oldest = heard.ts  # the newest `ts` seen in this session; a `ts` below `oldest` is refused
        self.nonces = {bytes.fromhex(nonce): heard.ts for nonce in heard.nonces}
        self.stale = False  # its clock went back: the next authentication gives a new session

    def fresh(self, nonce: str, ts: int) -> bool:
        """Whether this is no repeat: a new nonce, and a `ts` for which all nonces are still known. Compares the
        minion's clock with itself only."""
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
                if next(iter(self.nonces.values())) < self.oldest:
                    self.nonces = {n: t for n, t in self.nonces.items() if t >= self.oldest}
        return True


class Peers:
    """The accepted minions that have a session, and when every minion was last heard.

    `known` are those of this run, by id; `heard` is the one place that knows when and from where an id was last heard,
    those included whose key is gone since. `sender` is set by whoever receives, before `authenticate`; `gone` is called
    with an id that nobody has proven to be any more."""

    def __init__(self, opts: Mapping[str, Any], tree: MasterTree) -> None:
        self.opts, self.tree = opts, tree
        self.known: dict[str, Peer] = {}
        self.heard: dict[str, Heard] = {}
        self.sender = Sender()  # whose request is under way
        self.gone: Callable[[str], None] = lambda minion_id: None
        self.taken: list[str] = []  # what `note` is to write

    def prepare(self) -> bool:
        """Read what the last run left, and forget the ids whose key has gone since; whether there were any."""
        self.heard = {minion_id: Heard(*what) for minion_id, what in self.tree.heard().items()}
        for minion_id, ts, nonce in self.tree.seen():
            heard = self.heard.setdefault(minion_id, Heard())
            if ts > heard.ts:
                heard.ts, heard.nonces = ts, []
            heard.nonces += [nonce] if ts == heard.ts else []
        strangers = self.tree.strangers()
        for minion_id in strangers:
            self.forget(minion_id)
        return bool(strangers)

    def claimed(self, message: dict[str, Any]) -> tuple[Peer, bytes]:
        """Who an encrypted request says it is from, and its box; AuthError, PayloadError."""
        minion_id, box = message.get("id"), message.get("load")
        if message.get("enc") != "aes" or not valid_id(minion_id) or not isinstance(box, bytes):
            raise PayloadError("not an encrypted request")
        return self.peer(minion_id), box

    def authenticate(self, peer: Peer, load: Any, now: float) -> dict[str, Any]:
        """The load of its box, once that was opened, if it is this peer's and new; AuthError, PayloadError."""
        minion_id = peer.id
        if not isinstance(load, dict) or load.get("id") != minion_id:
            raise AuthError("the id inside is not the id outside")
        tok = as_bytes(load.get("tok"))
        if tok != peer.tok or not tok:
            key = self.tree.read_key(self.tree.key_path(ACCEPTED, minion_id))
            if fingerprint(key.pem) != peer.finger or key.recover(tok) != b"salt":
                raise AuthError("the token is of another key")
            peer.tok = tok
        nonce, ts = load.get("nonce"), load.get("ts")
        if not isinstance(nonce, str) or not NONCE.fullmatch(nonce) or not isinstance(ts, int):
            raise PayloadError("no nonce or no ts")
        if not peer.fresh(nonce, ts):
            raise AuthError(f"{minion_id} repeats itself, or its clock went back")
        peer.heard.when, peer.heard.address = now, self.sender.address
        self.sender.minion = minion_id
        self.taken.append(f"{minion_id} {ts} {nonce}\n")
        return load

    def note(self) -> None:
        """Write down which requests were taken; before they are answered, so that none is taken again after a crash."""
        text, self.taken = "".join(self.taken), []
        if not text:
            return
        try:
            self.tree.note_seen(text)
        except OSError as error:
            log.warning("requests cannot be noted, and could be repeated after a crash: %s", error)

    def peer(self, minion_id: str) -> Peer:
        """The peer of an accepted id whose session stands; AuthError otherwise."""
        key_stat = self.tree.key_stat(minion_id)
        if key_stat is None:
            raise AuthError(f"{minion_id} is not accepted")
        peer = self.known.get(minion_id)
        if peer and peer.key_stat == key_stat:
            return peer
        state, key = self.tree.stored_key(minion_id)
        if state != ACCEPTED or key is None:
            raise AuthError(f"{minion_id} is not accepted")
        finger = fingerprint(key.pem)
        session = self.tree.session(minion_id, finger)
        if session is None:
            raise AuthError(f"{minion_id} has no session")
        return self._peer(minion_id, finger, key_stat, session)

    def _peer(self, minion_id: str, finger: str, key_stat: KeyStat, session: str) -> Peer:
        """The peer of this key and session, the one that is known already if there is one."""
        peer = self.known.get(minion_id)
        if peer and peer.finger == finger and peer.crypticle.key == session:
            peer.key_stat = key_stat  # the same key in a file that was touched: what was seen stays seen
            return peer
        heard = self.heard.setdefault(minion_id, Heard())
        peer = self.known[minion_id] = Peer(minion_id, finger, key_stat, session, heard)
        return peer

    def session(self, minion_id: str, finger: str, now: float) -> str:
        """The session key of an accepted minion: the one that stands, or a new one where the public key is another,
        the old one is worn out, or the minion's clock went back. AuthError: it is not accepted any more."""
        key_stat = self.tree.key_stat(minion_id)
        if key_stat is None and not self.opts["open_mode"]:
            raise AuthError(f"{minion_id} is not accepted any more")
        peer = self.known.get(minion_id)
        session = self.tree.session(minion_id, finger)
        old = self.opts["publish_session"]
        if session and (peer and peer.stale or self.tree.session_age(minion_id, now) > old):
            session = None
        if session is None:
            session = Crypticle.generate()
            self.tree.put_session(minion_id, session, finger)
            self._end_session(minion_id)
            peer = None
        if key_stat and (peer is None or peer.key_stat != key_stat):
            self._peer(minion_id, finger, key_stat, session)
        return session

    def _end_session(self, minion_id: str) -> None:
        """What was remembered to refuse repeats goes with the session; when it was heard stays."""
        self.known.pop(minion_id, None)
        self.gone(minion_id)
        heard = self.last(minion_id)
        self.heard[minion_id] = Heard(0, heard.when, (), heard.address)

    def forget(self, minion_id: str) -> None:
        """An identity is gone, and with it all that belonged to it; when it was last heard is still told."""
        self._end_session(minion_id)
        try:
            self.tree.forget(minion_id)
        except OSError as error:
            log.error("what is kept of %s cannot be removed: %s", minion_id, error)

    def last(self, minion_id: str) -> Heard:
        """When and from where a minion was last heard; `when` 0 and no address if it never was."""
        return self.heard.get(minion_id) or Heard()

    def saving(self) -> Iterator[None]:
        """Remember, in steps, what a restart needs to refuse repeats and to say when a minion was last heard."""
        self.tree.part_seen()
        ids = [minion_id for minion_id in self.tree.accepted() if minion_id in self.heard]
        texts, saved, weight = list[bytes](), dict[str, Any](), 0
        for number, minion_id in enumerate(ids, 1):
            heard = self.heard.get(minion_id, Heard())
            if peer := self.known.get(minion_id):
                heard.ts, weight = peer.newest, weight + len(peer.nonces) // 50
                heard.nonces = [nonce.hex() for nonce, ts in peer.nonces.items() if ts == peer.newest]
            saved[minion_id] = (heard.ts, heard.when, heard.nonces, heard.address)
            if weight + len(saved) >= SAVED_AT_ONCE or number == len(ids):
                texts.append((b", " if texts else b"{") + to_json(saved)[1:-1].encode())
                saved, weight = {}, 0
                yield
        self.tree.put_heard([*(texts or [b"{"]), b"}"])


# ---- 17. The shared key ---------------------------------------------------------------------------------------------
# All publications are sealed with one key, which every accepted minion gets with its credentials, and signed by the
# master, for whoever has the shared key could seal one as well. When an accepted key goes, the shared key is renewed
# before the next publication. It survives a restart, so that a restart causes no authentication.
#
# A publication is {enc, load, sig_algo, sig}: a box of the job with a `serial`, which grows, and the master's signature
# over the box. A minion that cannot open one, since the key was renewed, asks for the new key with `_rekey`, an
# ordinary request that costs no RSA; a real minion authenticates. Either then opens the same publication, and no job is
# lost.


class SharedKey:
    """The key of all publications.

    `aes` is the key as it travels, `made` when it was, in seconds since the epoch, `rotations` how often it was
    renewed in this run. `prepare` comes before anything else."""

    def __init__(self, opts: Mapping[str, Any], tree: MasterTree, key: PrivateKey) -> None:
        self.opts, self.tree, self.key = opts, tree, key
        self.aes, self.made = "", 0.0
        self.rotations = 0

    def prepare(self, now: float, renew: bool) -> None:
        """Take over the key of the last run, or make one: where `renew` says so, where it is worn out, and where it has
        sealed at a time that this clock has not reached, for minions would ignore what is sealed now."""
        stored = None if renew else self.tree.shared_key()
        if stored and stored[2] <= now and now - stored[1] < self.opts["publish_session"]:
            self._take(stored[0], stored[1])
        else:
            self._make(now)

    def rotate(self, now: float) -> None:
        """A new shared key, on disk before it is used."""
        self._make(now)
        self.rotations += 1
        log.info("the shared key is renewed")

    def _make(self, now: float) -> None:
        """A new key, on disk first."""
        aes = Crypticle.generate()
        self.tree.put_shared_key(aes)
        self._take(aes, now)

    def _take(self, aes: str, made: float) -> None:
        """Use this key from here on; serials count for each key."""
        self.aes, self.made = aes, made
        self.crypticle, self._serials, self._signature = Crypticle(aes), Ticks(), b""

    def signature(self) -> bytes:
        """What proves in the credentials that the key is the master's; the same for every minion, so made once."""
        if not self._signature:
            self._signature = self.key.private_encrypt(sha256(self.aes.encode()).hex().encode())
        return self._signature

    def publication(self, load: dict[str, Any], now: float) -> bytes:
        """The frame that carries a job to all minions. Whoever calls this looks at the tree first, so that no minion
        whose key was removed before can read it."""
        if now - self.made > self.opts["publish_session"]:
            self.rotate(now)
        serial = self._serials.next(now)  # minions ignore one that is not larger than the last
        self.tree.stamp_shared_key(self.made, now)
        box = self.crypticle.dumps(load | {"serial": serial})
        algo = self.opts["publish_signing_algorithm"]
        return pack({"enc": "aes", "load": box, "sig_algo": algo, "sig": self.key.sign(algo, box)})


# ---- 18. Who may join: admission ------------------------------------------------------------------------------------
# `_auth` is the one request that anybody may send, so each is checked from cheap to dear: its form, the options, the
# tree; a signature, the dearest, comes last, and refusals have a budget. A key that waits for the operator is not
# answered at all: its request is held, the newest of each id, and answered when the file moves. A real minion asks
# again every five seconds and takes the answer to its latest request, so accepting one takes no time.
#
# The load of `_auth`: id, nonce, enc_algo, sig_algo, pub (clean PEM) and, from a minion that knows the master's key, a
# token sealed for it. The reply is {enc, load, sig}: packed bytes, and the master's signature over them. Of an accepted
# minion: pub_key, publish_port, the shared key and a session key sealed for the minion, the token sealed back, `sig`
# (X9.31 of the shared key's hash) and the nonce. Of others: ret, true for pending, false for refused, or "full".

MAX_HELD = 10_000
ANSWERED_AT_ONCE = 20  # held requests: each costs a signature, these some 30 ms
MAX_TOKEN = 1024  # bytes of what a request that is held has sealed for the master
SHARED_FROM = 100  # keys that may wait: where they are fewer, all may come from one address
REFUSALS_PER_SECOND = 100


class Reply(NamedTuple):
    """What goes back: the envelope it came with, the bytes, and the job that must be on disk before. An envelope is
    whatever the caller needs to find the way back; for Master it is a function that is given the bytes."""

    envelope: Any
    data: bytes
    jid: str = ""


class Held(NamedTuple):
    """An `_auth` that waits for the operator: the newest of its id that came on the same connection, or on another when
    that was closed, for whoever plays a recording must not be answered in place of the minion."""

    envelope: Any
    load: dict[str, Any]
    finger: str
    sender: Sender


class Admission:
    """Keys: who may join, who waits, what follows when a key file moves.

    `held` are the requests that wait for the operator, `ready` those of them whose key has moved, with what to do.
    `events` collects what is told; `auths` and `refused` count answers, `moved` the keys of the last look."""

    def __init__(
        self, opts: Mapping[str, Any], tree: MasterTree, key: PrivateKey, peers: Peers, shared: SharedKey
    ) -> None:
        self.opts, self.tree, self.key, self.peers, self.shared = opts, tree, key, peers, shared
        self.held: dict[str, Held] = {}
        self.ready: dict[str, str] = {}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.auths = self.refused = self.moved = 0
        self.revoked: set[str] = set()  # ids whose key was accepted, and is not any more; the caller clears it
        self.newcomers: dict[str, str] = {}  # pending ids of this run, and the address each came from
        self.pub_signatures: dict[str, bytes] = {}  # of the master's key, by the signing key
        self._refusals = (0, 0)  # a second, and how many there were in it
        self._rotate_wanted = False

    def prepare(self, now: float) -> None:
        """Look at the keys for the first time, and make what vouches for the master's own."""
        self.pub_signatures = self.tree.pub_signatures(self.key.public.pem)
        self.tree.scan(now)

    # `_auth`

    def auth(self, envelope: Any, load: dict[str, Any], now: float) -> bytes | None:
        """The whole of `_auth`: facts, one look at KEY_RULES, the tree, the reply. None: held, or not worth one."""
        if str(load.get("enc_algo", "OAEP-SHA1")) not in ENC_ALGOS:
            return pack({"enc": "clear", "load": {"ret": "bad enc algo"}})
        if str(load.get("sig_algo", "PKCS1v15-SHA1")) not in SIG_ALGOS:
            return pack({"enc": "clear", "load": {"ret": "bad sig algo"}})
        minion_id, pem, nonce = load.get("id"), load.get("pub"), load.get("nonce")
        if not isinstance(nonce, str) or not NONCE.fullmatch(nonce):
            raise PayloadError("no nonce")
        if not valid_id(minion_id) or not isinstance(pem, str):
            log.warning("%.260r cannot join: that is no id, or it comes without a key", minion_id)
            return self._refuse(load, now)
        known, most = self.peers.known, self.opts["max_minions"]
        if most and minion_id not in known and len(known) >= most:
            log.warning("%s is told `full`: max_minions is %s", minion_id, most)
            return self._refuse(load, now, "full")
        try:
            key = PublicKey(pem)
        except AuthError as error:
            log.warning("%s is refused: %s", minion_id, error)
            return self._refuse(load, now)
        state, stored = self.tree.stored_key(minion_id)
        policy = ASK if state == REJECTED else self.policy(minion_id, load, now)
        rule = key_rule(self.opts["open_mode"], state, stored is None or stored.pem == key.pem, policy)
        kept = rule.becomes if rule.change == PUT and rule.becomes in (PENDING, REJECTED) else ""
        if kept and (self.tree.count(kept) >= self.opts["max_pending_keys"] or self._crowded()):
            where = self.peers.sender.address
            log.warning("%s is told `full`: as many keys are %s as max_pending_keys allows, half of them to one address"
                        " (%s)", minion_id, kept, where)  # fmt: skip
            return self._refuse(load, now, "full")
        self._apply(rule, minion_id, state, key, now)
        if rule.reply == CREDENTIALS:
            self.held.pop(minion_id, None)
            return self.credentials(load, key, now)
        if rule.reply == HELD and self._hold(envelope, load, fingerprint(key.pem)):
            return None
        return self._signed(load, {"ret": True}) if rule.result else self._refuse(load, now)

    def policy(self, minion_id: str, load: dict[str, Any], now: float) -> str:
        """What the operator has laid down for unknown keys of this id: reject, sign or ask."""
        opts = self.opts

        def listed(file: str) -> Verdict:
            verdict = line_matches(minion_id, self._trusted_lines(Path(file))) if file else False
            if verdict is None:
                log.warning("%s: a line takes too long to be held against %s: it rejects, and signs nothing; say it"
                            " without groups that repeat, and with fewer * and +", file, minion_id)  # fmt: skip
            return verdict

        if listed(opts["autoreject_file"]) is not False:
            return REJECT
        if opts["auto_accept"] or listed(opts["autosign_file"]):
            return SIGN
        if self.tree.autosign_stub(minion_id, opts["autosign_timeout"], now):
            return SIGN
        shown, directory = load.get("autosign_grains"), opts["autosign_grains_dir"]
        for grain, value in shown.items() if directory and isinstance(shown, dict) else ():
            if valid_id(grain) and str(value) in self._trusted_lines(Path(directory) / grain):
                return SIGN
        return ASK

    def _trusted_lines(self, path: Path) -> list[str]:
        """The lines of an autosign file but for `#` comments, none where others could have written them."""
        try:
            mode = path.stat().st_mode
            if mode & stat.S_IWOTH or mode & stat.S_IWGRP and not self.opts["permissive_pki_access"]:
                log.warning("%s is ignored: others may write it; `chmod go-w` it", path)
                return []
            lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
            return [line for line in lines if line and line[0] != "#"]
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning("%s is ignored: %s", path, error)
            return []

    def _apply(self, rule: KeyRule, minion_id: str, state: str, key: PublicKey, now: float) -> None:
        """Do to the tree what the row says; raises OSError, and then nothing is answered but `bad load`."""
        tree = self.tree
        was, now_is = tree.keys.get(minion_id, (UNKNOWN, 0)), tree.scan_one(minion_id)
        if was != now_is:  # the operator has moved the key since the last look: that first
            self._moved(minion_id, was, now_is)
        if rule.change == KEEP or rule.act == "denied" and tree.denied_lately(minion_id, now):
            return  # two strangers who take turns must not keep the disk busy
        if rule.change == MOVE:
            move(tree.key_path(PENDING, minion_id), tree.key_path(rule.becomes, minion_id))
        else:
            tree.put_key(rule.becomes, minion_id, key.pem)
        if rule.act == "accept":
            tree.use_autosign_stub(minion_id)
        self.events.append(("salt/auth", {"result": rule.result, "act": rule.act, "id": minion_id, "pub": key.pem}))
        log.info("%s: its key is %s (%s)", minion_id, rule.becomes, fingerprint(key.pem))
        if rule.becomes == DENIED:
            log.warning("%s came with another key than the %s one: see minions_denied", minion_id, state)
        else:  # our own rename is no move of the operator's; what he has done since, even with this file, still shows
            tree.keys[minion_id] = (rule.becomes, tree.scan_one(minion_id)[1])
        if rule.becomes == PENDING:
            self.newcomers[minion_id] = self.peers.sender.address

    def _crowded(self) -> bool:
        """Whether half of all keys that may wait came from the address that asks now."""
        address, keys, most = self.peers.sender.address, self.tree.keys, self.opts["max_pending_keys"]
        if not address or most < SHARED_FROM or len(self.newcomers) < most // 2:
            return False
        # the operator has moved some of them meanwhile
        self.newcomers = {each: where for each, where in self.newcomers.items() if keys.get(each, ("",))[0] == PENDING}
        return list(self.newcomers.values()).count(address) >= most // 2

    def _hold(self, envelope: Any, load: dict[str, Any], finger: str) -> bool:
        """Keep a request until its key moves, with no more of it than an answer needs; False if there is no room."""
        minion_id, sender = load["id"], self.peers.sender
        other = self.held.get(minion_id)
        if len(self.held) >= MAX_HELD if other is None else other.sender.open and other.sender is not sender:
            return False
        fields = ("id", "nonce", "enc_algo", "sig_algo", "token")
        kept: dict[str, Any] = {name: load[name] for name in fields if name in load}
        if len(as_bytes(kept.get("token") or b"")) > MAX_TOKEN:
            return False
        self.held[minion_id] = Held(envelope, kept, finger, sender)
        return True

    def _refuse(self, load: dict[str, Any], now: float, ret: bool | str = False) -> bytes | None:
        """`False` or `full`, signed; beyond REFUSALS_PER_SECOND there is no answer, for a signature is what costs."""
        self.refused += 1
        second, count = self._refusals
        self._refusals = (int(now), count + 1 if second == int(now) else 1)
        return self._signed(load, {"ret": ret}) if self._refusals[1] <= REFUSALS_PER_SECOND else None

    def _signed(self, load: dict[str, Any], inner: dict[str, Any]) -> bytes:
        """A reply that proves whose it is: signed by the master, with the nonce that was asked with."""
        data = pack(inner | {"nonce": load["nonce"]})
        sig = self.key.sign(load.get("sig_algo", "PKCS1v15-SHA1"), data)
        return pack({"enc": "clear", "load": data, "sig": sig})

    def credentials(self, load: dict[str, Any], key: PublicKey, now: float) -> bytes | None:
        """The accepting reply: shared key and session key, sealed to the minion. None: somebody plays a recording."""
        minion_id, algo, finger = load["id"], load.get("enc_algo", "OAEP-SHA1"), fingerprint(key.pem)
        reply: dict[str, Any] = {"enc": "pub", "pub_key": self.key.public.pem}
        reply["publish_port"] = self.opts["publish_port"]
        if "token" in load:
            try:
                opened = self.key.decrypt(algo, as_bytes(load["token"]))[:190]  # what fits into every seal
            except (AuthError, PayloadError, ValueError):
                opened = token(32)  # sealed for another master, and our key in the reply tells the minion so
            reply["token"] = key.encrypt(algo, opened)
        other = self.tree.has_session(minion_id) and self.tree.session(minion_id, finger) is None
        if other and self.opts["rotate_aes_key"]:
            self.shared.rotate(now)  # the key was replaced in place: its former holder must read nothing more
        session = self.peers.session(minion_id, finger, now)
        if peer := self.peers.known.get(minion_id):
            if peer.auth == load["nonce"]:
                return None
            peer.auth = load["nonce"]
        self.auths += 1
        reply["aes"] = key.encrypt(algo, self.shared.aes.encode())
        reply["session"] = key.encrypt(algo, session.encode())
        reply["sig"] = self.shared.signature()
        if self.pub_signatures:
            reply["pub_sig"] = self.pub_signatures[load.get("sig_algo", "PKCS1v15-SHA1")]
        return self._signed(load, reply)

    # keys that moved

    def look(self, now: float) -> list[Reply]:
        """Compare the tree with what it was, and do what KEY_MOVES says; gives the replies to held requests, in
        slices: call `answer_held` again while `ready` is not empty."""
        self.moved = 0
        if self.tree.changed():
            before, after = self.tree.keys, self.tree.scan(now)
            nothing = (UNKNOWN, 0)
            moved = [(minion_id, before[minion_id], nothing) for minion_id in before.keys() - after.keys()]
            moved += [(each, before.get(each, nothing), key) for each, key in after.items() if before.get(each) != key]
            self.moved = len(moved)
            told = [words for move_ in moved if (words := self._moved(*move_))]
            for words in told if len(told) <= 20 else [f"{len(told)} keys, from {told[0]} to {told[-1]}"]:
                log.info("%s", words)
        if self._rotate_wanted:
            self._rotate_wanted = False
            self.shared.rotate(now)
        return self.answer_held(now)

    def _moved(self, minion_id: str, before: tuple[str, int], after: tuple[str, int]) -> str:
        """Do what KEY_MOVES says of one key; gives the words for the log, '' if there is nothing to tell."""
        was, now_is = before[0], after[0]
        if was == now_is:
            if was != ACCEPTED or not self._replaced(minion_id):
                return ""
            now_is = REPLACED
        for act in KEY_MOVES[was, now_is]:
            if act == FORGET:
                self.peers.forget(minion_id)
                self.revoked.add(minion_id)
                self._rotate_wanted = self.opts["rotate_aes_key"]
            elif minion_id in self.held:
                self.ready[minion_id] = act
        if ACCEPTED not in (was, now_is) and now_is not in (REJECTED, REPLACED):
            return ""
        self.events.append(("salt/key", {"id": minion_id, "act": TOLD_MOVES.get(now_is, "delete"), "result": True}))
        return f"{minion_id}: was {was}, is {now_is}"

    def _replaced(self, minion_id: str) -> bool:
        """Whether an accepted id's file holds another key than the one its session was made for."""
        try:
            key = self.tree.read_key(self.tree.key_path(ACCEPTED, minion_id))
        except (OSError, AuthError):
            return True
        return self.tree.session(minion_id, fingerprint(key.pem)) is None

    def answer_held(self, now: float) -> list[Reply]:
        """Replies to held requests whose key has moved, some at a time, so that others are looked at in between."""
        replies: list[Reply] = []
        for minion_id in list(self.ready)[:ANSWERED_AT_ONCE]:
            act, held = self.ready.pop(minion_id), self.held.pop(minion_id, None)
            if held is None:
                continue
            try:
                reply = self._answer(act, minion_id, held, now)
            except (SaltError, OSError) as error:
                log.warning("%s could not be answered, and will ask again: %s", minion_id, error)
                continue
            if reply is not None:
                replies.append(Reply(held.envelope, reply))
        return replies

    def _answer(self, act: str, minion_id: str, held: Held, now: float) -> bytes | None:
        """The reply to a held `_auth`, decided by the tree as it is now, not by the event that woke us."""
        state, key = self.tree.stored_key(minion_id)
        if act == ANSWER and state == ACCEPTED and key and fingerprint(key.pem) == held.finger:
            event = {"result": True, "act": "accept", "id": minion_id, "pub": key.pem}
            self.events.append(("salt/auth", event))
            return self.credentials(held.load, key, now)
        return self._refuse(held.load, now) if state == REJECTED else None


# ---- 19. Requests: bytes in, bytes out ------------------------------------------------------------------------------
# `receive` is the one place where an exception becomes a reply. In clear there are two requests, `_auth` and `ping`;
# all others come from a Peer, and are the rows of one table: those below, and those that the files of etc/salt/requests
# bring (pillar, files, mine), which are read once, when the master starts. What is in no row gets the empty map of a
# real master. There is no command of an administrator: who may publish writes into jobs/new.
#
# A request has exactly one reply, which is sealed as its row says and carries its nonce: a client that gets none waits
# out its whole timeout. Handlers raise; `_answer` answers for them: with an empty text where a real master's handler
# fails, and not at all where a return could not be written, for then it must come again.
#
# A handler that may take long is a generator, which yields where others may have their turn, every few milliseconds,
# and returns the result. Its first step is taken at once; what is not done by then is `under_way`, and goes on with
# each call of `go_on`, which need not come before the seconds that it has yielded have passed. Whoever is waited for
# there holds nothing but its request until its turn has come.
#
# What is large, or of many parts, is opened by another process (etc/salt/apart). Of a return only its line comes back;
# the loop writes it in one step, and one more process waits until the disk has it. So what a request asks, and whether
# it is true, is known later than that it is there: until then it is OPENING.

BAD_LOAD = b"\xa8bad load"  # msgpack of the string that makes a real minion authenticate again
MAX_CLEAR = 16384  # bytes of a clear request
MAX_PING = 1024
MAX_EVENT, MAX_EVENTS, MAX_TAG = 1 << 20, 1000, 256  # of one request's events: bytes of data, number; of a tag: letters
LARGE, MANY = 1 << 17, 10_000  # bytes of a request, and bytes of it that may begin a part, that are opened at once
MAX_OPENING, OPENING_BYTES = 1000, 256 << 20  # larger requests of one minion that wait, and bytes of those of all
MAX_UNDER_WAY, MAX_PAUSE = 16, 0.01  # requests of one minion that take several steps; seconds between two steps
HIGH = bytes(range(128, 256))
AES, PRIVATE, ACK = "aes", "private", "ack"


class Request(NamedTuple):
    """A row of the table of requests: the handler (peer, load, now) -> object, or a generator that returns it, and how
    its reply is sealed: AES in the session box, which a memoryview is already; PRIVATE under a key of its own; ACK None
    in the session box, once the jid it gave is on disk."""

    handler: Callable[[Peer, dict[str, Any], float], Any]
    seal: str = AES


class Asked(NamedTuple):
    """A request that is being answered, with all that its reply needs; `steps` if it takes several."""

    envelope: Any
    message: dict[str, Any]
    peer: Peer
    load: dict[str, Any]
    request: Request
    steps: Iterator[Any] | None = None


OPENING = Request(lambda peer, load, now: None)  # what a large request asks is not known yet


def is_large(asked: Asked) -> bool:
    """Whether it waits to be opened, or is a large return on its way to the disk: MAX_OPENING is for these."""
    return asked.request is OPENING or isinstance(asked.load, Prepared)


def has_many_parts(data: bytes) -> bool:
    """Whether packed data may have more than MANY maps, lists, byte strings or texts that are no UTF-8: each of these
    is, or begins with, a byte above 127. What has not is opened and written down in some 20 ms at most."""
    return len(data) - len(data.translate(None, HIGH)) > MANY


def constant(value: Any) -> Request:
    """A request for something this master has none of: the reply a real master gives for nothing."""
    return Request(lambda peer, load, now: value)


class MasterProtocol:
    """A master without sockets: `receive` takes a request's bytes and gives what goes back.

    `requests` is the whole wire surface, `events` what is to be told. `prepare` comes before the first request."""

    def __init__(self, opts: Mapping[str, Any], tree: MasterTree, key: PrivateKey, peers: Peers, jobs: Jobs) -> None:
        self.opts, self.tree, self.key, self.peers, self.jobs = opts, tree, key, peers, jobs
        self.shared = SharedKey(opts, tree, key)
        self.admission = Admission(opts, tree, key, peers, self.shared)
        self.events = self.admission.events
        self._hour, self._told = 0, collections.Counter[str]()  # bytes of events of each id in this hour
        self.under_way: collections.deque[Asked] = collections.deque()
        self.pause = 0.0  # seconds until `go_on` makes sense
        self.counted = collections.Counter[str]()  # requests of this run, by what was asked for, or `bad load`
        self.requests = {  # the wire surface: cmd -> handler and sealing
            "_minion_event": Request(self.minion_event),
            "_return": Request(self.ret, ACK),
            "_rekey": Request(self.rekey),
            "revoke_auth": Request(self.revoke_auth),
            "_register_resources": constant({}),
        }
        for name in leaf_files("requests"):
            brought = packed_leaf("requests", name).Requests(opts, tree).commands
            if twice := self.requests.keys() & brought.keys():
                raise StateError(f"etc/salt/requests/{name}.py brings {', '.join(twice)}, which is there already")
            self.requests |= brought

    def prepare(self, now: float) -> None:
        """What a start does: forget who has left meanwhile, take over the shared key, look at the keys."""
        strangers = self.peers.prepare()
        self.shared.prepare(now, renew=strangers)
        self.admission.prepare(now)

    def receive(self, envelope: Any, data: bytes, now: float) -> Reply | None:
        """Answer one message from ret_port: exactly one reply, or None for an `_auth` that is held or not worth one."""
        return self._safely(envelope, self._receive, envelope, data, now)

    def _receive(self, envelope: Any, data: bytes, now: float) -> Reply | None:
        """The same, but that what is wrong is raised."""
        if len(data) > self.opts["max_message_size"]:
            raise PayloadError("the message is too large")
        message = unpack_envelope(data, "enc", "id", "enc_algo", "sig_algo")
        version = message.get("version", 0)
        if not isinstance(version, int) or isinstance(version, bool) or version < PROTOCOL_VERSION:
            asks = as_text(message.get("load")) if len(data) <= MAX_CLEAR else None
            who = asks.get("id") if isinstance(asks, dict) else message.get("id")
            log.warning("%.260r at %s speaks an older protocol (%.20r, not %s): it needs a newer Salt", who,
                        self.peers.sender.address or "?", version, PROTOCOL_VERSION)  # fmt: skip
            raise PayloadError("an older protocol")
        if message.get("enc") == "clear":
            if len(data) > MAX_CLEAR:
                raise PayloadError("the message is too large")
            reply = self._clear(envelope, message, now)
            return None if reply is None else Reply(envelope, reply)
        peer, box = self.peers.claimed(message)
        if len(box) > LARGE or has_many_parts(bare := peer.crypticle.bare(box)):
            return self._later(Asked(envelope, message, peer, {}, OPENING), box, now)
        load = self.peers.authenticate(peer, unpack(bare), now)
        return self._dispatch(envelope, message, peer, load, now)

    def _safely(self, envelope: Any, call: Callable[..., Reply | None], *args: Any) -> Reply | None:
        """What a call gives, and `bad load` where it raises something: nothing else is harmed by it."""
        try:
            return call(*args)
        except (AuthError, PayloadError, Failure, OSError) as error:
            level = logging.WARNING if isinstance(error, Failure) else logging.DEBUG
            log.log(logging.ERROR if isinstance(error, OSError) else level, "a request is refused: %s", error)
            self.counted["bad load"] += 1
            return Reply(envelope, BAD_LOAD)
        except Exception:
            log.exception("a request could not be handled; the peer is told `bad load`")
            return Reply(envelope, BAD_LOAD)

    @property
    def kept(self) -> int:
        """Bytes of large requests that wait to be opened, and of large returns that wait to be written."""
        waits = [asked.message["load"] for asked in self.under_way if asked.request is OPENING]
        return sum(map(len, waits + [asked.load.text for asked in self.under_way if isinstance(asked.load, Prepared)]))

    def _later(self, asked: Asked, box: bytes, now: float) -> Reply | None:
        """Have a large request opened apart. One too many is left unanswered, and comes again."""
        number = sum(each.peer is asked.peer and is_large(each) for each in self.under_way)
        if number >= MAX_OPENING or self.kept + len(box) > OPENING_BYTES:
            return None
        return self._answer(asked._replace(steps=self._opened(asked.peer, box, self.peers.sender, now)), now)

    def _opened(self, peer: Peer, box: bytes, sender: Sender, now: float) -> Generator[float, None, dict[str, Any]]:
        """Steps that end in the load of a box, of which nothing is believed before."""
        signed = functools.partial(self._check_signature, peer)
        try:
            load = yield from packed_leaf("apart", "master").opened(peer.crypticle, box, signed, now)
        except Failure as failure:
            raise Failure(f"a large one of {peer.id}: {failure}") from None
        if self.peers.peer(peer.id) is not peer:
            raise AuthError(f"{peer.id} has another key or session by now")
        self.peers.sender = sender
        return self.peers.authenticate(peer, load, now)

    def _clear(self, envelope: Any, message: dict[str, Any], now: float) -> bytes | None:
        """The two requests that anybody may send."""
        load = as_text(message.get("load"))
        if isinstance(load, dict) and load.get("cmd") == "ping" and len(pong := pack(load)) <= MAX_PING:
            return pong  # what it was given and no more: nobody is answered with more than he has sent
        if not isinstance(load, dict) or load.get("cmd") != "_auth":
            raise PayloadError("clear requests other than _auth are not served")
        return self.admission.auth(envelope, load, now)

    def _dispatch(
        self, envelope: Any, message: dict[str, Any], peer: Peer, load: dict[str, Any], now: float
    ) -> Reply | None:
        """Have the handler of a command answer a peer, and seal what it gives as its row says."""
        cmd = load.get("cmd")
        request = self.requests.get(cmd) if isinstance(cmd, str) else None
        if request is None:
            return Reply(envelope, pack(peer.crypticle.dumps({}, load["nonce"])))
        self.counted[str(cmd)] += 1
        return self._answer(Asked(envelope, message, peer, load, request), now)

    def _answer(self, asked: Asked, now: float) -> Reply | None:
        """Call the handler, or have it take its next step; None if it is under way."""
        peer, load, request = asked.peer, asked.load, asked.request
        try:
            result: Any = None if asked.steps else request.handler(peer, load, now)
            if isinstance(result, types.GeneratorType):
                others = sum(other.peer is peer and not is_large(other) for other in self.under_way)
                if others >= MAX_UNDER_WAY and not is_large(asked):
                    raise StateError(f"{MAX_UNDER_WAY} requests of it are under way")
                asked = asked._replace(steps=result)
            if asked.steps:
                pause = next(asked.steps) or 0.0
                self.pause = min(self.pause, pause) if self.under_way else pause
                self.under_way.append(asked)
                return None
        except StopIteration as end:
            if request is OPENING:
                return self._dispatch(asked.envelope, asked.message | {"load": b""}, peer, end.value, now)
            result = end.value
        except (SaltError, OSError, LookupError, TypeError, ValueError) as error:
            if request is OPENING:
                raise  # there is no nonce yet to answer with
            log.warning("%s of %s failed: %s: %s", load.get("cmd"), peer.id, type(error).__name__, error)
            if request.seal == ACK and not isinstance(error, SaltError):
                return None  # not on disk, so not acknowledged: it will come again
            return Reply(asked.envelope, pack(peer.crypticle.dumps("", load["nonce"])))
        if request.seal == ACK:
            return Reply(asked.envelope, pack(peer.crypticle.dumps(None, load["nonce"])), result)
        if request.seal == PRIVATE:
            return Reply(asked.envelope, self._private(peer, asked.message, load["nonce"], result))
        sealed = isinstance(result, memoryview)  # by a process apart, for it is large
        return Reply(asked.envelope, bytes(result) if sealed else pack(peer.crypticle.dumps(result, load["nonce"])))

    def go_on(self, now: float, enough: Callable[[], bool] = bool) -> list[Reply]:
        """One more step of each request under way, until it is `enough`: the others are first the next time. Those of
        who is accepted no more are dropped. Gives what is answered."""
        self.pause, replies = MAX_PAUSE, list[Reply | None]()
        for _ in itertools.takewhile(lambda _: not enough(), range(len(self.under_way))):
            each = self.under_way.popleft()
            if self.peers.known.get(each.peer.id) is each.peer:
                replies.append(self._safely(each.envelope, self._answer, each, now))
        return [reply for reply in replies if reply]

    def _private(self, peer: Peer, message: dict[str, Any], nonce: str, result: Any) -> bytes:
        """A reply under a key of its own, sealed to the minion's public key and signed: what `_pillar` gets.

        {key, pillar}: a fresh key sealed to the minion, and a box under it of {data, sig}; data is packed {key,
        pillar, nonce}, so that neither part can be taken for another minion's or another request's. Recorded in
        tests/vectors."""
        enc, sig = message.get("enc_algo", "OAEP-SHA1"), message.get("sig_algo", "PKCS1v15-SHA1")
        if str(enc) not in ENC_ALGOS or str(sig) not in SIG_ALGOS:
            raise PayloadError("unknown algorithms")
        key = Crypticle.generate()
        sealed = self.tree.read_key(self.tree.key_path(ACCEPTED, peer.id)).encrypt(enc, key.encode())
        data = pack({"key": sealed, "pillar": result, "nonce": nonce})
        signed = {"data": data, "sig": self.key.sign(sig, data)}
        return pack({"key": sealed, "pillar": Crypticle(key).dumps(signed)})

    # handlers: (peer, load, now) -> object

    def ret(self, peer: Peer, load: dict[str, Any], now: float) -> Any:
        """A minion's return; the jid that must be flushed before the ack."""
        if isinstance(load, Prepared):
            return self._ret_large(peer, load, now)
        if "return" not in load or "jid" not in load:
            raise PayloadError("a return without jid or return")
        self._check_signature(peer, load)
        late = self.jobs.late.unread(self.jobs, load)
        return self._ret_large(peer, load, now) if late else self.jobs.ret(peer.id, load, now)

    def _ret_large(self, peer: Peer, load: dict[str, Any], now: float) -> Generator[float, None, str]:
        """The same in steps: it is large, or late for a job that is."""
        yield from self.jobs.late.reading(self.jobs, load)
        jid, written = self.jobs.ret_large(peer.id, load, now)
        if written:
            yield from packed_leaf("apart", "master").synced(written)
        return jid

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
        """Events of a minion, under its own name only, for the master composes the tag. In an hour no minion fills
        more than an eighth of events.jsonl, so that it cannot rotate away what others have done.

        One event is {tag, data}, several are {events: [{tag, data}…]}; the tag that a minion wishes for is only
        the end of its own."""
        if self._hour != int(now // 3600):
            self._hour, self._told = int(now // 3600), collections.Counter()
        many, left = load.get("events"), min(MAX_EVENT, self.opts["max_event_size"] // 8 - self._told[peer.id])
        for event in many[:MAX_EVENTS] if isinstance(many, list) else [load]:
            tag = event.get("tag") if isinstance(event, dict) else None
            if not isinstance(tag, str) or len(tag) > MAX_TAG or not tag.isprintable():
                continue
            try:
                said = {"data": bounded(event.get("data"), left)}
                if "grains" in event:  # start_event_grains
                    said = bounded(said | {"grains": event["grains"]}, left)
                size = 256 + len(pack(said))
            except PayloadError as error:
                log.warning("the event %s of %s is not taken: %s", tag, peer.id, error)
                continue
            found = re.fullmatch("salt/job/([0-9]+)/prog/([^/]+)(/stream|/[0-9]+)?", tag)  # of a job that runs
            of_job = found is not None and found[2] == peer.id
            if found and of_job and not self.jobs.progress(peer.id, found[1], said["data"], now):
                continue
            left -= size
            self._told[peer.id] += size
            own = f"salt/minion/{peer.id}/"
            if tag == "minion_start":
                continue  # the same once more, as minions said it before salt/minion/ID/start
            if tag == f"{own}start":
                log.info("%s is up", peer.id)
            elif not of_job:
                tag = f"{own}custom/{tag.removeprefix(own)}"
            self.events.append((tag, {"id": peer.id} | said))

    def revoke_auth(self, peer: Peer, load: dict[str, Any], now: float) -> bool:
        """A minion has its own key deleted, which is then as if the operator had done so."""
        if not self.opts["allow_minion_key_revoke"]:
            log.warning("%s may not delete its key: allow_minion_key_revoke is False", peer.id)
            return False
        if load.get("preserve_minion_cache") is True:
            self.tree.data.preserve(peer.id)
        self.tree.remove_key(peer.id)
        log.info("%s: key deleted, as the minion asked", peer.id)
        self.events.append(("salt/auth", {"result": True, "act": "revoke", "id": peer.id}))
        return True

    def rekey(self, peer: Peer, load: dict[str, Any], now: float) -> dict[str, str]:
        """The shared key, for a minion that could not open a publication: it costs no RSA at all, where a new
        authentication costs two operations."""
        return {"aes": self.shared.aes}


# ---- 20. Master loop ------------------------------------------------------------------------------------------------
# Requests are taken in batches: all that has come in is handled, then the jobs' files are written, one write and one
# fsync each, then the replies go out. So a thousand returns cost a handful of writes, and none is acknowledged before
# it is on disk. A look at the trees follows each ring of the doorbell, and a rescan comes in any case.
#
# The ports are a leaf's, etc/salt/transports: its Listener gives requests with the connection each came on, believes of
# a connection what the protocol has found out (Sender), and bounds what one peer may cost.
#
# No step of the loop should take longer than 50 ms, for all others wait for it: what has many parts is done in slices
# (publications, held requests, long requests) or by another process (large returns), and what had to take longer is
# told at the log level debug. One piece is to write and sync the lines of a batch, which waits for the disk.


class Master:
    """The sockets, the clock and the watch around a MasterProtocol and its Jobs.

    Whatever happens ends in `work`: what jobs want published goes out, deadlines become timers, held requests come in
    slices."""

    BATCH = 500  # requests handled before their returns are written and they are answered
    BATCH_SECONDS = 0.03
    STORM = 100  # keys that move between two looks
    SETTLED = 60.0  # seconds after a start in which minions find their way back: then who has no connection is gone
    PUBLISHED = 20  # publications in one step
    REQUESTS_SECONDS = 0.02  # in which files of jobs/new are taken in one look
    EVENTS, EVENTS_SECONDS = 250, 0.02  # that are told at once, and how long in one step
    UNTOLD = 50_000  # events that may wait for the next step
    AGAIN = 10.0  # seconds: publications younger than this are sent again when the shared key is renewed

    def __init__(self, opts: dict[str, Any]) -> None:
        self.opts = opts
        self.tree = MasterTree(opts)
        for directory in (self.tree.cache, self.tree.pki):
            make_parents(directory / "x")
        lock(self.tree.cache / ".lock", "master")
        become(opts["user"], [self.tree.cache, self.tree.pki])
        self.listener = packed_leaf("transports", opts["transport"]).Listener(opts)
        self.tree.prepare(opts["keysize"])
        self.peers = Peers(opts, self.tree)
        self.jobs = Jobs(self.tree, opts, lambda minion_id: self.peers.last(minion_id).when)
        key = read_private_key(self.tree.pki / "master.pem", opts["key_pass"])
        self.protocol = MasterProtocol(opts, self.tree, key, self.peers, self.jobs)
        self.protocol.prepare(time.time())
        self.admission = self.protocol.admission
        self.peers.gone = self.listener.forget
        for heard in self.peers.heard.values():
            self.listener.know(heard.address)
        self.present: set[str] = set()
        self.untold: collections.deque[tuple[str, dict[str, Any]]] = collections.deque()
        self.loop = Loop(select.poll())
        self.doorbell = Doorbell(opts["key_watch"], self.loop.ring)
        self._look_again, self._began = 0.0, time.monotonic()
        self.watchers = [packed_leaf("watchers", name).Watcher(self) for name in leaf_files("watchers")]
        self._rotations = self.protocol.shared.rotations
        self._offset = time.time() - time.monotonic()  # changes when somebody sets the clock

    def run(self) -> int:
        """Until SIGTERM or SIGINT."""
        loop = self.loop
        loop.on_signal(signal.SIGTERM, loop.stop)
        loop.on_signal(signal.SIGINT, loop.stop)
        loop.on_ring(self.rung)
        loop.watch(self.listener.fileno(), self.requests)
        loop.every("connections", 1, self.connections)
        loop.every("rescan", max(0.1, self.opts["key_rescan"]), self.look)
        loop.every("save", 10, self.save)
        loop.at("settled", self.SETTLED, self.come_and_gone)
        for name in leaf_files("reports"):
            loop.at(f"report {name}", 1, functools.partial(self.report, name))
        if self.opts["presence_events"]:
            loop.every("presence", max(0.1, self.opts["loop_interval"]), self.presence)
        self.jobs.recover(time.time())
        loop.at("watch", 0, self.watch)  # later: it takes a third of a start, and somebody may wait for an answer
        loop.run()
        self.protocol.under_way.clear()  # what runs apart ends, for the next program would not know of it
        self.tell_events()
        while self.untold:
            self.tell_events()
        for watcher in self.watchers:
            watcher.stop()
        self.save()
        self.doorbell.stop()
        self.listener.stop()
        log.info("the master ends")
        return 0

    def watch(self) -> None:
        """Hang up the doorbell, look at what came before it rang, and say that all is ready."""
        tree, opts = self.tree, self.opts
        self.doorbell.start([(tree.pki, True), (tree.jobs / "new", False), (tree.jobs / "active", False)])
        log.info("ready: publications on port %s, requests on port %s of %s; accepted keys: %s; trees watched by %s",
                 opts["publish_port"], opts["ret_port"], opts["interface"], len(self.tree.accepted()),
                 self.doorbell.kind)  # fmt: skip
        self.look()

    def requests(self) -> None:
        """Answer what has come in, as one batch: handle, write, then reply."""
        replies: list[Reply] = []
        for sender, envelope, data in self.listener.turn(self.BATCH, self.BATCH_SECONDS):
            self.peers.sender = sender
            if reply := self.protocol.receive(functools.partial(sender.reply, envelope), data, time.time()):
                replies.append(reply)
        self.answer(replies)

    def go_on(self) -> None:
        """Take the next step of what is under way."""
        until = time.monotonic() + self.BATCH_SECONDS
        self.answer(self.protocol.go_on(time.time(), lambda: time.monotonic() > until))

    def answer(self, replies: list[Reply]) -> None:
        """Bring to the disk what these replies vouch for, and then send them."""
        failed = self.jobs.flush()
        self.peers.note()
        self.reply(reply for reply in replies if reply.jid not in failed)
        self.work()

    def connections(self) -> None:
        """Once a second: hang up on whoever takes too long, and say which minions have come and gone."""
        self.listener.tick()
        self.come_and_gone() if self.listener.changed else self.work()

    def come_and_gone(self) -> None:
        """Say which minions have come and gone since the last time."""
        self.listener.changed = False
        addresses = {minion_id: self.peers.last(minion_id).address for minion_id in self.tree.accepted()}
        before, self.present = self.present, self.listener.present(addresses)
        new, lost = sorted(self.present - before), sorted(before - self.present)
        settled = time.monotonic() > self._began + self.SETTLED
        self.jobs.gone = (addresses.keys() if settled else self.jobs.gone | set(lost)) - self.present
        self.jobs.came(sorted({*new, *self.listener.arrived() & self.present}))
        for minion_id in lost:
            log.info("%s is down: it has no connection any more", minion_id)
        if self.opts["presence_events"] and (new or lost):
            self.protocol.events.append(("salt/presence/change", {"new": new, "lost": lost}))
        self.work()

    def presence(self) -> None:
        """Tell who is connected."""
        self.reply(self.admission.look(time.time()))
        self.come_and_gone()
        self.protocol.events.append(("salt/presence/present", {"present": sorted(self.present)}))
        self.work()

    def reply(self, replies: Iterable[Reply]) -> None:
        """Send replies; to whom has gone meanwhile nothing is sent."""
        for reply in replies:
            reply.envelope(reply.data)

    def rung(self) -> None:
        """The doorbell: look now, or soon if we have just looked, which computes for a third of the time at most."""
        self.loop.at("look", max(0.0, self._look_again - time.monotonic()), self.look)

    def look(self) -> None:
        """What the trees say now: keys that moved, jobs that came or went."""
        now, began = time.time(), time.thread_time()
        requests = self.jobs.requests()
        self.reply(self.admission.look(now))
        if self.admission.moved > (0 if self.loop.waits("storm") else self.STORM):
            self.storm()
        self.jobs.look(now)
        if self.admission.revoked:
            revoke(self.jobs, self.admission.revoked, now)
            self.admission.revoked.clear()
        until = time.monotonic() + self.REQUESTS_SECONDS
        while requests and time.monotonic() < until:
            self.jobs.take_requests([requests.pop(0)], now)
        if requests:
            self.loop.at("look", 0, self.look)
        self.work()
        self._look_again = time.monotonic() + 2 * (time.thread_time() - began)  # a slow disk makes nobody wait longer

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
            self.loop.at("events", 0.1, self.tell_events)  # nobody waits for them
        deadline = self.jobs.deadline()
        if deadline is None:
            self.loop.cancel("jobs")
        else:
            self.loop.at("jobs", max(0.0, deadline - now), self.work)
        if self.admission.ready:
            self.loop.at("held", 0, self.held)
        self.listener.keep(self.protocol.kept)
        if self.listener.busy:
            self.loop.at("requests", 0, self.requests)
        if self.protocol.under_way and not (self.protocol.pause and self.loop.waits("under way")):
            self.loop.at("under way", self.protocol.pause, self.go_on)

    def storm(self) -> None:
        """Many keys move: leave the bell off, and look twenty times a second until nothing has moved for a second."""
        if not self.loop.waits("storm"):
            self.doorbell.hush()
            self.loop.every("storm", 0.05, self.look)
        self.loop.at("listen", 1.0, self.listen)

    def listen(self) -> None:
        """Nothing has moved for a second: back to the doorbell."""
        self.loop.cancel("storm")
        self.doorbell.listen()
        self.look()

    def tell_events(self) -> None:
        """Give the watchers what has been told since the last time, in steps: one request may be a thousand events."""
        self.untold += self.protocol.events + self.jobs.events
        self.protocol.events.clear()
        self.jobs.events.clear()
        until = time.monotonic() + self.EVENTS_SECONDS
        while self.untold and (time.monotonic() < until or len(self.untold) > self.UNTOLD):
            events = [self.untold.popleft() for _ in range(min(self.EVENTS, len(self.untold)))]
            for watcher in self.watchers:
                try:
                    watcher.told(events)
                except Exception:  # what follows from events harms nothing else
                    log.exception("%s fails", type(watcher).__module__)
        if self.untold and self.loop.running:
            self.loop.at("events", 0, self.tell_events)

    def held(self) -> None:
        """Answer some more of the held requests whose key has moved."""
        self.reply(self.admission.answer_held(time.time()))
        self.work()

    def publish(self, now: float) -> None:
        """Send what the jobs want sent, sealed after one more look at the keys.

        A minion that could not open a publication asks for the shared key; if that was renewed once more meanwhile, it
        gets a key that does not open it either. So what was published just before is sent again under the new key, by
        its jid, which nobody runs twice."""
        if self.jobs.outgoing:
            self.reply(self.admission.look(now))
        if self._rotations != self.protocol.shared.rotations:
            self._rotations = self.protocol.shared.rotations
            waiting = {load["jid"] for load in self.jobs.outgoing}
            young = [job for job in self.jobs.active.values() if now - job.header["time"] < self.AGAIN]
            self.jobs.outgoing[:0] = [job.load() for job in young if job.jid not in waiting and not job.all_in()]
        for load in self.jobs.outgoing[: self.PUBLISHED]:
            del self.jobs.outgoing[0]
            try:
                self.listener.publish(self.protocol.shared.publication(load, now))
            except (OSError, ValueError, TypeError, RecursionError) as error:
                log.error("job %s could not be published: %s", load["jid"], error)
        if self.jobs.outgoing:
            self.loop.at("publish", 0, self.work)

    def save(self, going: Iterator[None] | None = None) -> None:
        """Every ten seconds, in steps, and at the end."""
        if going is None:
            self.jobs.expire(time.time())
            going = self.peers.saving()
        try:
            for _ in going:
                if self.loop.running:
                    return self.loop.at("saving", 0, functools.partial(self.save, going))
        except OSError as error:
            log.warning("sessions cannot be saved: %s", error)

    def report(self, name: str, going: Iterator[float] | None = None) -> None:
        """Take the next step of a report, which says how many seconds it rests then; twice as long as the step took at
        least. One that fails begins anew in a minute."""
        self.loop.at(f"report {name}", 60, functools.partial(self.report, name))
        began, going = time.monotonic(), going or packed_leaf("reports", name).report(self)
        rest = max(next(going), 2 * (time.monotonic() - began))
        self.loop.at(f"report {name}", rest, functools.partial(self.report, name, going))

    def reload(self) -> None:
        """SIGHUP: read the configuration again; what needs new sockets or paths waits for a restart, and is named."""
        reload_opts(self.opts)
        for watcher in self.watchers:
            watcher.reload()


# ==== Minion =========================================================================================================
# A minion hears every publication, verifies the master's signature, opens it and decides for itself whether it is
# meant. It runs a job once: its jid is on disk before the job begins, and a job's return is in outbox/ until a master
# has acknowledged it. What is asked of it in between goes through three hands, so that nothing that hangs, crashes or
# leaks can hurt the loop: the Link speaks with one master; the loop decides; the forker, a process without threads or
# sockets, forks a child for each job, which runs the function, writes outbox/JID and ends.
#
# Every state a Link can be in is a row of MINION_STATES, and none ends the process: a refusal is answered with
# patience, for what one reply has said the next may take back. Nothing unsigned changes more than the time until the
# next try. At the first contact the master's key is pinned (or checked against master_finger), last of all: whatever is
# refused leaves nothing behind.
#
# What a crash leaves: proc/JID of a job whose process lives on, or is gone (then the minion answers for it); outbox/JID
# of a return that is sent again, and that the master takes once.


# ---- 21. Minion tree ------------------------------------------------------------------------------------------------
# What a minion keeps. proc/ and outbox/ are written by the children of jobs and read by the loop; the schedule by jobs
# and by people; everything else by the loop alone.
#
# A job's record in proc/ holds its process and the tick at which that began, for pids come back and this pair does not;
# and the same of whoever was about to start it, for between the record and the fork there is a moment.


def process_start(pid: int) -> int:
    """When a process began, in clock ticks since boot, 0 if there is none: pids come back, this pair does not.

    Field 22 of /proc/PID/stat. A zombie is none: its work is over."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in b"ZX" else int(fields[19])


def _lives(pid: int, started: int) -> bool:
    """Whether a process is still the one that began at this tick."""
    return bool(pid) and process_start(pid) == started


MINE_SCHEDULE = """schedule:
  __mine_interval: {enabled: true, function: mine.update, jid_include: true, maxrunning: 2,
    minutes: 60, return_job: false, run_on_start: true}
"""


class MinionTree:
    """The minion's files: its id and keys, the master's key, running jobs, returns on their way, executed jids.

    The loop, the children of jobs and `saltlite call` each have one of their own on the same files."""

    MAX_EXECUTED = 10_000

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self.conf = Path(opts["conf_dir"])
        self.pki = Path(opts["pki_dir"])
        self.cache = Path(opts["cachedir"])
        self.proc, self.outbox = self.cache / "proc", self.cache / "outbox"
        self.executed: dict[str, None] = {}
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
            return PublicKey(read(path, MAX_PEM).decode("ascii", "replace"))
        except FileNotFoundError:
            return None
        except (OSError, AuthError) as error:
            raise Failure(f"{path}: {error}; remove it to accept the master's key anew.") from None

    def signing_key(self, name: str) -> PublicKey:
        """The key that vouches for masters; raises OSError or AuthError."""
        return PublicKey(read(self.pki / f"{name}.pub", MAX_PEM).decode("ascii", "replace"))

    def put_master_key(self, pem: str) -> None:
        """Pin the master's key."""
        put(self.pki / "minion_master.pub", pem, 0o644)

    def schedule_path(self, saved: bool = True) -> Path:
        """Where the schedule is saved, and where what was changed in it without that."""
        return self.conf / "minion.d" / "_schedule.conf" if saved else self.cache / "schedule"

    def put_schedule(self) -> None:
        """minion.d/_schedule.conf, byte for byte as every real release writes it, if not there."""
        path = self.schedule_path()
        if not path.exists():
            put(path, MINE_SCHEDULE, 0o644)

    def schedule(self, saved: bool | None = None) -> dict[str, Any]:
        """The entries of schedule.*, or of one of its files; where both count, None of the unsaved takes an entry away.

        Failure if a file cannot be read."""
        entries: dict[str, Any] = {}
        for path in [self.schedule_path(which) for which in (True, False) if saved in (None, which)]:
            try:
                found = read_yaml(path) if path.exists() else None
                entries |= {str(name): entry for name, entry in ((found["schedule"] if found else None) or {}).items()}
            except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:  # it is something else
                raise Failure(f"{path} must hold a map `schedule` of entries: {error}; correct or remove it.") from None
        return entries if saved is not None else {name: entry for name, entry in entries.items() if entry is not None}

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
        """The job runs no more."""
        (self.proc / jid).unlink(missing_ok=True)

    def put_return(self, load: dict[str, Any], sync: bool = True) -> None:
        """outbox/JID: a return no master has acknowledged; from here on it survives everything but the disk."""
        data = msgpack.packb(load, default=_plain, unicode_errors="surrogateescape")
        put(self.outbox / load["jid"], data, sync=sync)

    def get_return(self, jid: str) -> dict[str, Any] | None:
        """A return that waits, or None. One that cannot be read is put aside, so that the others go on."""
        try:
            return msgpack.unpackb(read(self.outbox / jid, 1 << 30), strict_map_key=False, unicode_errors="replace")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.error("%s is put aside: %s", self.outbox / jid, error)
            os.rename(self.outbox / jid, self.outbox / f".bad-{jid}")
            return None

    def acknowledged(self, jid: str) -> None:
        """The master has it: only now does it go."""
        (self.outbox / jid).unlink(missing_ok=True)

    # executed jids

    def load_executed(self) -> None:
        """Read the jids of earlier runs; without the file nothing was executed."""
        try:
            lines = read(self.cache / "executed", 1 << 26).decode(errors="replace").split()
        except OSError:
            lines = []
        self.executed = dict.fromkeys(lines[-self.MAX_EXECUTED :])
        self._executed_lines = len(lines)

    def remember(self, jid: str) -> None:
        """Keep a jid, on disk, so that it does not run again; raises OSError."""
        self.executed[jid] = None
        if len(self.executed) > self.MAX_EXECUTED:
            del self.executed[next(iter(self.executed))]
        if self._executed_lines >= 2 * self.MAX_EXECUTED:
            put(self.cache / "executed", "\n".join(self.executed) + "\n", sync=False)
            self._executed_lines = len(self.executed)
            return
        append(self.cache / "executed", f"{jid}\n", sync=False, create=True)
        self._executed_lines += 1

    # grains and pillar

    def grains(self) -> dict[str, Any]:
        """The grains as last collected, {} before that."""
        return self._kept("grains")

    def pillar(self) -> dict[str, Any]:
        """The pillar as the master last sent it, {} before that."""
        return self._kept("pillar")

    def put_grains(self, grains: dict[str, Any]) -> None:
        """Keep them for jobs, which read them instead of collecting them anew."""
        put(self.cache / "grains", msgpack.packb(grains, default=_plain), sync=False)

    def put_pillar(self, pillar: dict[str, Any]) -> None:
        """Keep it for jobs, and for the time until a master is reached."""
        put(self.cache / "pillar", msgpack.packb(pillar, default=_plain), sync=False)

    def _kept(self, name: str) -> dict[str, Any]:
        try:
            return msgpack.unpackb(read(self.cache / name, 1 << 28), strict_map_key=False)
        except (OSError, ValueError):
            return {}


# ---- 22. Minion protocol --------------------------------------------------------------------------------------------
# One master's view of this minion, and what the minion makes of what it hears. An event that a state does not list
# cannot happen there, and is an error of ours. A reply counts only if it answers our request: it must carry its nonce,
# and be sealed in our session or signed by the master.
#
# What is checked of credentials, in the order of a real minion: the nonce is ours; the master's key is the pinned one,
# or a signing key vouches for it, or this is the first contact and master_finger agrees; the signature over the reply;
# the shared key's own signature; the token that we sent. Only then is the key pinned. Of a publication: the signature
# first, over the box as it came; then the box; then the serial, which must be larger than the last under this key.

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

    `state` is a key of MINION_STATES; `why` says in a sentence what the last refusal was. `session` and `aes` are the
    boxes of requests and of publications, None before the first credentials; `master` is the pinned key, None before
    the first contact; `publish_port` is where the master says that it publishes."""

    def __init__(self, opts: Mapping[str, Any], tree: MinionTree, key: PrivateKey) -> None:
        self.opts, self.tree, self.key = opts, tree, key
        self.id: str = opts["id"]
        self.state = START
        self.why = ""
        self.master = tree.master_key()
        self.publish_port = 0
        self.tok = key.tok
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
        """An `_auth`; its nonce and token are kept for `auth_reply`."""
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
        """Check a reply, in the order of a real minion, and give the event it is; `why` explains a refusal.

        Raises AuthError or PayloadError for what is no answer to our request: to be ignored."""
        outer = unpack(data)
        if not isinstance(outer, dict) or "load" not in outer:
            raise PayloadError("not an answer to _auth")
        if isinstance(outer["load"], dict):  # unsigned: `bad enc algo`, or anybody's invention
            self.why = f"the master, or somebody in between, answers {outer['load'].get('ret')!r:.99}, unsigned"
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
        finger = functools.partial(fingerprint, hash_type=self.opts["hash_type"])
        found, wanted, verify = finger(master.pem), self.opts["master_finger"], "verify_master_pubkey_sign"
        known = self.master and self.master.pem == master.pem
        if self.opts[verify] and (not known or self.opts["always_verify_signature"]):
            if not self._vouched(inner):
                return MASTER_CHANGED
        elif self.master and not known:
            path = self.tree.pki / "minion_master.pub"
            self.why = f"the master's key has changed: {path} holds {finger(self.master.pem)}, the master has "
            self.why += f"{found}; if that is right, remove the file"
            return MASTER_CHANGED
        if wanted and not self.master and wanted.lower() != found:
            self.why = f"the master's key has the fingerprint {found}, but master_finger is {wanted}"
            return MASTER_CHANGED
        return ""

    def _vouched(self, inner: dict[str, Any]) -> bool:
        """Whether `pub_sig` is the signing key's signature of this master's key."""
        name, algo = self.opts["master_sign_key_name"], self.opts["signing_algorithm"]
        self.why = f"{self.tree.pki / name}.pub does not vouch for the master's key, as verify_master_pubkey_sign wants"
        try:
            sig = binascii.a2b_base64(as_bytes(inner.get("pub_sig")))
            return self.tree.signing_key(name).verify(algo, sig, as_bytes(inner["pub_key"]))
        except (OSError, ValueError, SaltError) as error:
            self.why += f": {error}"
            return False

    def _credentials(self, master: PublicKey, inner: dict[str, Any]) -> str:
        """Open what was sealed for us, and check that it is the master's; GOT_CREDENTIALS or BAD_SIGNATURE."""
        algo = self.opts["encryption_algorithm"]
        try:
            aes = self.key.decrypt(algo, as_bytes(inner["aes"])).decode()
            session = self.key.decrypt(algo, as_bytes(inner.get("session"))).decode()
            if master.recover(as_bytes(inner.get("sig"))).decode() != sha256(aes.encode()).hex():
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
        """Take the shared key; the same key again keeps the serials counted so far."""
        if self.aes is None or self.aes.key != key:
            self.aes, self._serial = Crypticle(key), 0

    # requests

    def request(self, load: dict[str, Any], now: float) -> bytes:
        """A request in the session box; its nonce is kept for `reply`.

        {enc, load, version, id, enc_algo, sig_algo}; with minion_sign_messages the load has `sig`, over
        `signed_form`."""
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
        """A pillar reply: its own key, the master's signature over key, pillar and nonce."""
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
        """The load of a publication of one or two frames, verified before it is opened.

        Raises Undecipherable if the shared key is another, AuthError or PayloadError if it is to be ignored.

        A job: {fun, arg, tgt, jid, tgt_type, ret, user, serial …}; what it must have is checked, what else it has
        is left alone. Recorded in tests/vectors as publish_*."""
        outer = unpack_envelope(frames[-1], "enc", "sig_algo")
        if outer.get("enc") != "aes":
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
        jid, functions = str(load["jid"]), functions_in(load)
        if not MINION_JID.fullmatch(jid) or not functions or not all(isinstance(fun, str) for fun in functions):
            raise PayloadError("a publication with an odd jid or function")
        return load | {"jid": jid}


def pillar_load(
    opts: Mapping[str, Any],
    grains: Mapping[str, Any],
    override: Mapping[str, Any] | None = None,
    pillarenv: str | None = None,
) -> dict[str, Any]:
    """A `_pillar` request, which carries the grains.

    `override` is laid over the pillar there, for this answer only; without `pillarenv` that of the options."""
    load = {"cmd": "_pillar", "grains": grains, "saltenv": opts["saltenv"] or None}
    load |= {"pillarenv": pillarenv or opts["pillarenv"] or None, "pillar_override": dict(override or {})}
    return load | {"extra_minion_data": {}, "ver": "2"}


# ---- 23. Running a function -----------------------------------------------------------------------------------------
# What comes out is the load of a `_return`, whatever the function does. It is found by its name: a few the loop answers
# itself, the others stand in module files, in Salt's own form or, where a function asks the master, with the minion as
# its first argument.
#
# The return of a function that is not there, of wrong arguments and of an exception are Salt's texts, for people and
# programs read them. A retcode comes from `__context__["retcode"]`, or is 1 for a map with a false `result` or
# `success`.

Function = Callable[..., Any]


def signal_session(session: int, number: int) -> None:
    """Signal a job, which leads a session, and all that it has started, whatever process groups they have made."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(name)) == session:
                    os.kill(int(name), number)


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    """A record of proc/ without what is only ours."""
    return {name: value for name, value in record.items() if name not in ("started", "maker", "master")}


def test_ping(minion: Execution):
    """True: this minion is up and hears its master. No ICMP is sent.

    CLI Example: salt '*' test.ping"""
    return True


def saltutil_find_job(minion: Execution, jid):
    """The record of a job that runs here, or an empty map.

    CLI Example: salt '*' saltutil.find_job 20261123205107331456"""
    for record in minion.tree.jobs():
        if record["jid"] == str(jid):
            return _shown(record)
    waiting = minion.tree.get_return(str(jid)) if MINION_JID.fullmatch(str(jid)) else None
    return {"jid": waiting["jid"], "fun": waiting["fun"], "arg": waiting["fun_args"]} if waiting else {}


def saltutil_running(minion: Execution):
    """The records of all jobs that run here.

    CLI Example: salt '*' saltutil.running"""
    return [_shown(record) for record in minion.tree.jobs()]


def saltutil_is_running(minion: Execution, fun):
    """The records of the running jobs whose function matches the glob.

    CLI Example: salt '*' saltutil.is_running 'cmd.*'"""
    return [r for r in saltutil_running(minion) if glob_match(str(r["fun"]), fun)]


def saltutil_signal_job(minion: Execution, jid, sig):
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


def saltutil_kill_job(minion: Execution, jid):
    """Send SIGKILL to a job and all processes it has started.

    CLI Example: salt '*' saltutil.kill_job 20261123205107331456"""
    return saltutil_signal_job(minion, jid, signal.SIGKILL)


def saltutil_term_job(minion: Execution, jid):
    """Send SIGTERM to a job and all processes it has started.

    CLI Example: salt '*' saltutil.term_job 20261123205107331456"""
    return saltutil_signal_job(minion, jid, signal.SIGTERM)


def schedule_run_job(minion: Execution, name, force=False):
    """Run a job of the schedule at once; `force`: even if it is disabled.

    CLI Example: salt '*' schedule.run_job job1"""
    if minion.schedule is None:
        why = "only a running minion can, and only as a job with no other function"
        return {"comment": f"Failed to run job {name} on minion: {why}.", "result": False}
    return minion.schedule.ask(name, force)


def schedule_job_status(minion: Execution, name, time_fmt="%Y-%m-%dT%H:%M:%S"):
    """The entry of a job of the schedule as the running minion has it, and when it runs next; or an empty map.

    CLI Example: salt '*' schedule.job_status job1"""
    return minion.schedule.status(name, time_fmt) if minion.schedule else {}


def schedule_show_next_fire_time(minion: Execution, name):
    """When a job of the schedule runs next, as far as this is known.

    CLI Example: salt '*' schedule.show_next_fire_time job1"""
    return {"result": True, "next_fire_time": schedule_job_status(minion, name).get("_next_fire_time")}


INSTANT: dict[str, Function] = {  # what the loop answers itself, for it neither waits nor fails
    "test.ping": test_ping,
    "saltutil.find_job": saltutil_find_job,
    "saltutil.running": saltutil_running,
    "saltutil.is_running": saltutil_is_running,
    "saltutil.signal_job": saltutil_signal_job,
    "saltutil.kill_job": saltutil_kill_job,
    "saltutil.term_job": saltutil_term_job,
    "schedule.run_job": schedule_run_job,
    "schedule.show_next_fire_time": schedule_show_next_fire_time,
    "schedule.job_status": schedule_job_status,
}


def with_minion(function: Function) -> Function:
    """Mark a function of a module file that wants the minion, an Execution, as its first argument: whoever looks it up
    gets it bound. Only an attribute is set, so functions of one file call one another as they stand there."""
    vars(function)["with_minion"] = True
    return function


class Functions(Mapping[str, Function]):
    """All execution functions by name, `cmd.run`: the loop's own, then those of module files (kind `modules`, a module
    known by its file's name or its __virtualname__). A file is read when a function of it is asked for."""

    def __init__(self, minion: Execution, files: Mapping[str, Path], own: Mapping[str, Function]) -> None:
        self.minion = minion
        self.why: dict[str, str] = {}  # module -> why it is not there
        self.outs: dict[str, str | None] = {}  # function -> the `out` of its return
        disabled = [str(name) for name in minion.opts.get("disable_modules", [])]
        self.why |= dict.fromkeys(disabled, "The option disable_modules names it")
        own = {name: function for name, function in own.items() if name.partition(".")[0] not in disabled}
        self._found: dict[str, Function] = {name: types.MethodType(function, minion) for name, function in own.items()}
        self._unread = {stem: path for stem, path in files.items() if stem not in disabled}

    def __getitem__(self, name: str) -> Function:
        """The function; KeyError if no file has it, and `why` may say why its module is not there."""
        module = name.partition(".")[0]
        if module in self._unread:
            self._read(module)
        if name not in self._found:
            self._read_all()  # it may be a __virtualname__
        return self._found[name]

    def __getattr__(self, module: str) -> types.SimpleNamespace:
        """The functions of a module, for `__salt__.cmd.run`."""
        names_of = [] if module[0] == "_" else [name for name in self if name.startswith(f"{module}.")]
        if not names_of:
            raise AttributeError(f"there is no module {module!r}")
        return types.SimpleNamespace(**{name.partition(".")[2]: self[name] for name in names_of})

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
        """Read one module file, and take down its functions or why it has none."""
        path = self._unread.pop(stem)
        try:
            module = read_leaf(path, self.dunders())
            verdict, why = verdict_of(module)
        except Exception as error:  # whatever a site's file may raise
            self.why[stem] = why_not(path, error)
            return
        name = verdict if isinstance(verdict, str) else getattr(module, "__virtualname__", stem)
        if name in self.minion.opts.get("disable_modules", []):
            return
        if not verdict:
            self.why[stem] = why
            said = self.why.setdefault(name, why)  # "": another file gives the module
            self.why[name] = f"{said}; {why}" if said and why not in said else said
            return
        self.why[name] = ""
        alias, outs = getattr(module, "__func_alias__", {}), getattr(module, "__outputter__", {})
        for attribute, function in functions_of(module).items():
            fun = f"{name}.{alias.get(attribute, attribute)}"
            bound = getattr(function, "with_minion", False)
            self._found[fun] = types.MethodType(function, self.minion) if bound else function
            self.outs[fun] = outs.get(attribute)

    def dunders(self) -> dict[str, Any]:
        """What a Salt module finds among its globals."""
        minion = self.minion
        found: dict[str, Any] = {"opts": minion.all_opts, "grains": minion.grains, "pillar": minion.pillar}
        found |= {"salt": minion.functions, "utils": minion.utils, "context": minion.context}
        found["salt_system_encoding"] = "utf-8"
        return {f"__{name}__": value for name, value in found.items()}


def grains_in(path: Path, opts: Mapping[str, Any], before: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """What the functions of a `_grains` file give, and whether all of them could; one that fails costs its own only."""
    found, well = dict[str, Any](), True
    lay = merged if opts["grains_deep_merge"] else operator.or_
    try:
        module = read_leaf(path, {"__opts__": dict(opts), "__grains__": before})
        verdict, _ = verdict_of(module)
    except Exception as error:
        log.error("the grains of %s are missing: %s", path, why_not(path, error))
        return found, False
    for name, function in functions_of(module).items() if verdict else ():
        wants = "grains" in inspect.signature(function).parameters
        try:
            found = lay(found, as_text(function({**before, **found}) if wants else function()) or {})
        except Exception as error:
            well = False
            log.error("the grains of %s, %s() are missing: %s: %s", path, name, type(error).__name__, error)
    return found, well


def collect_grains(opts: Mapping[str, Any]) -> dict[str, Any]:
    """This machine's grains: what the functions in the `_grains` files give, over that the file <config>/grains, over
    that the option `grains`. A file of a site's that fails does not take those of the packed one with it.

    `id`, `master` and Salt's version first, so that other grains may use them."""
    grains: dict[str, Any] = {"id": opts["id"], "master": master_list(opts)[0], "saltlite": VERSION}
    grains["saltpath"] = str(Path(__file__).resolve().parent)
    grains["saltversion"] = SALT_VERSION
    grains["saltversioninfo"] = [int(part) for part in SALT_VERSION.split(".")]
    packed, lay = leaf_files("_grains"), merged if opts["grains_deep_merge"] else operator.or_
    for stem, path in leaf_files("_grains", opts).items():
        found, well = grains_in(path, opts, grains)
        if not well and packed.get(stem, path) != path:
            found = grains_in(packed[stem], opts, grains)[0] | found
        grains = lay(grains, found)
    path = Path(opts["conf_dir"]) / "grains"
    try:
        own_grains = read_yaml(path) if path.exists() else None
    except Failure as error:
        own_grains = None
        log.error("%s", error)
    return lay(grains, own_grains if isinstance(own_grains, dict) else {}) | opts["grains"]


SENTENCES = {"CommandExecutionError", "Failure", "SaltInvocationError"}  # errors whose text is meant for the user
PUB_FIELDS = ("fun", "arg", "tgt", "jid", "ret", "tgt_type", "user")


def make_return(
    opts: Mapping[str, Any], load: Mapping[str, Any], ret: Any, retcode: Any, success: Any
) -> dict[str, Any]:
    """The load of a `_return`; a return of more than max_return_size bytes becomes a sentence that says so.

    What a master would refuse for its form or size would be sent again and again, so it is found here."""
    most, problem = opts["max_return_size"], ""
    try:
        packed = pack(ret)
        if (size := len(packed)) > most + 65536:  # the output of commands alone is cut to max_return_size
            problem = f"The return is not sent: it is larger than max_return_size ({size} > {most} bytes)."
        as_text(unpack(packed), 1)  # what a master would refuse for its depth or its keys, again and again
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


class Execution:
    """What execution functions get as `minion`: this machine's options, grains and pillar, and the job they run in.

    It is made for one job and forgotten with it. `files` are the module files by name, those that are there without;
    `master` answers `ask`. A function sets "retcode" in `context` to make its job fail."""

    def __init__(
        self,
        opts: Mapping[str, Any],
        tree: MinionTree,
        load: Mapping[str, Any] | None = None,
        files: Mapping[str, Path] | None = None,
        master: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self.opts, self.tree, self.load, self._files = opts, tree, dict(load or {}), files
        self.jid: str = self.load.get("jid", "")
        self.schedule: Any = None  # the minion's own, for functions that run in its loop
        self.context: dict[str, Any] = {}
        self.heeds_blackout = True  # `call` does not, as with Salt: who runs it is on this machine
        self._master, self.local = master, master is None
        if master and self.load.get("stream"):
            tells = packed_leaf("apart", "minion").Told(self.tell)
            self.context["stream"] = tells  # functions that have much to say while they run call it

    @functools.cached_property
    def grains(self) -> dict[str, Any]:
        """This machine's grains, as last collected or, where that never was, collected now."""
        return self.tree.grains() or collect_grains(self.opts)

    @functools.cached_property
    def pillar(self) -> dict[str, Any]:
        """The pillar in memory."""
        return self.tree.pillar()

    @property
    def all_opts(self) -> dict[str, Any]:
        """The options as functions written for Salt know them: with grains and pillar among them."""
        return {**self.opts, "grains": self.grains, "pillar": self.pillar}

    def ask(self, load: dict[str, Any]) -> Any:
        """The master's answer to a request, {"cmd": "_mine_get", …}; CommandExecutionError where none can be had."""
        if self._master is None:
            raise CommandExecutionError("There is no master to ask: this runs with --local.")
        try:
            return self._master(load)
        except (SaltError, OSError) as error:
            raise CommandExecutionError(f"The master could not be asked: {error}") from None

    def tell(self, lines: list[str]) -> None:
        """Tell the master some lines of what this job puts out."""
        tag = f"salt/job/{self.jid}/prog/{self.opts['id']}/stream"
        self.ask({"cmd": "_minion_event", "id": self.opts["id"], "tag": tag, "data": {"lines": lines}})

    @functools.cached_property
    def functions(self) -> Functions:
        """All execution functions, the files read anew for this job."""
        return Functions(self, leaf_files("modules", self.opts) if self._files is None else self._files, INSTANT)

    @functools.cached_property
    def utils(self) -> Functions:
        """What modules find as `__utils__`."""
        return Functions(self, leaf_files("utils", self.opts), {})

    def barred(self, fun: str) -> str:
        """Why the option whitelist_modules, or blackout mode in pillar or grains, keeps a function from running."""
        if (listed := self.opts.get("whitelist_modules")) and fun.partition(".")[0] not in listed:
            return f"'{fun}' is not available. The option whitelist_modules does not name its module."
        for where in ("pillar", "grains") if self.heeds_blackout else ():
            facts = getattr(self, where)
            allowed = facts.get("minion_blackout_whitelist") or []
            allowed = ["saltutil.refresh_pillar", *(allowed if isinstance(allowed, list) else [allowed])]
            if facts.get("minion_blackout") and fun not in allowed:
                only = "only saltutil.refresh_pillar and what minion_blackout_whitelist names may run"
                problem = f"Minion in blackout mode: {only} until minion_blackout is False in the {where}."
                return f"ERROR executing '{fun}': {problem}"
        return ""

    def run(self, fun: str, arg: list[Any]) -> tuple[Any, int, bool]:
        """Run one function of a job; gives return, retcode, success, and whatever it raises becomes a return."""
        self.context.pop("retcode", None)
        if problem := self.barred(fun):
            return problem, 1, False
        try:
            function = self.functions.get(fun) or self._elsewhere(fun)
        except CommandExecutionError as error:
            return str(error), 1, False
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

    def _elsewhere(self, fun: str) -> Function:
        """What answers a function that no file here has; CommandExecutionError says why nothing does."""
        (leaf,) = leaf_files("elsewhere")
        return packed_leaf("elsewhere", leaf).function(self, fun)

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
            elif isinstance(item, str) and not raw and (found := KWARG.match(item)):
                kwargs[found[1]] = yaml_word(found[2])
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
        args = load["arg"] if many else [load["arg"]]
        results = {}
        for number, fun in enumerate(functions_in(load)):
            arg = args[number] if number < len(args) and isinstance(args[number], list) else []
            results[fun] = self.run(fun, arg)
        if stream := self.context.get("stream"):
            stream("", end=True)
        returns: list[Any] = [{fun: r[i] for fun, r in results.items()} for i in range(3)]
        if not many:
            returns = list(results[load["fun"]])
        made = make_return(self.opts, load, *returns)
        if not many and (out := self.functions.outs.get(load["fun"])):
            made.setdefault("out", out)
        return made


def own_kwargs(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments without those that tell of the job."""
    return {name: value for name, value in kwargs.items() if not name.startswith("__pub_")}


# ---- 24. The forker -------------------------------------------------------------------------------------------------
# A fork of a process with threads or sockets inherits trouble. So before the first of either the minion forks the
# forker, which does nothing but fork: a child for each job. The child leads a session of its own, so that it and all it
# starts can be killed together, and it outlives the minion: its return waits in outbox/ for the next one.

ASK_SECONDS = 60.0  # how long a job waits for the master's answer


def ask_minion(tree: MinionTree, host: str, load: dict[str, Any]) -> Any:
    """In a job's process: the master's answer to a request, through the minion; raises OSError if there is none,
    PayloadError if it cannot be sent.

    One socket for one question: nothing has to be matched."""
    socket_: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    socket_.setsockopt(zmq.LINGER, 0)
    with in_directory(tree.cache) as place:
        try:
            socket_.connect(f"ipc://{place}/.ask")
            socket_.send_multipart([b"", msgpack.packb([host, load], default=_plain)])
            if not socket_.poll(int(ASK_SECONDS * 1000)):
                raise OSError(errno.ETIMEDOUT, f"no answer within {ASK_SECONDS:.0f} s")
            answer, why = msgpack.unpackb(socket_.recv_multipart()[-1], strict_map_key=False)
        finally:
            socket_.close(0)
    if why:
        raise PayloadError(why)
    return answer


def run_child(tree: MinionTree, opts: Mapping[str, Any], jid: str) -> None:
    """Run the job in proc/JID and leave its return in the outbox; a full disk is waited for, an hour long.

    The record gets this process's id before the function begins, so that whoever looks can signal it."""
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


class Forker:
    """The helper process that job children are forked from; made before the first thread and the first socket.

    Packets to it: `J jid` run the job in proc/JID, `G` collect grains, `O` read the options again. Packets from it: `J
    jid` the job has ended, `G` there are new grains. It ends when the minion's end of the socket closes; the jobs go
    on."""

    def __init__(self, opts: dict[str, Any], lock_fd: int) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
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
        """Give it a packet; it is never more than a word and a jid."""
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
        """The forker's own loop: packets to fork for, children that have ended."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        tree = MinionTree(self.opts)
        children: dict[int, str] = {}
        while True:
            ready = select.select([self.socket.fileno(), wake], [], [])[0]
            if wake in ready:
                os.read(wake, 4096)
                self._reap(tree, children)
            if self.socket.fileno() in ready:
                packet = self.socket.recv(256).decode()
                if not packet:
                    return
                if packet == "O":
                    with contextlib.suppress(Failure):
                        new = load_opts("minion", self.opts["conf_dir"], self.opts["__given__"])
                        fixed = [name for name, option in options_of("minion").items() if option.restart]
                        self.opts.update(new | {name: self.opts[name] for name in fixed})
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
        """Say which jobs have ended, and answer for those that left no return."""
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
        """A job's child is gone before its time."""
        if packet.startswith("J") and (load := tree.job(packet[2:])):
            lost_job(tree, self.opts, load, how)
        self._tell(packet)

    def _tell(self, packet: str) -> None:
        """Tell the minion; it may have gone, and then its next one looks for itself."""
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
            umask, core, files = self.opts["__limits__"]  # a job makes files as whoever started the minion would
            os.umask(umask)
            resource.setrlimit(resource.RLIMIT_CORE, core)
            resource.setrlimit(resource.RLIMIT_NOFILE, files)
            if packet == "G":
                tree.put_grains(collect_grains(self.opts))
            else:
                run_child(tree, self.opts, packet[2:])
            code = 0
        finally:
            os._exit(code)


# ---- 25. Link: the connections to one master ------------------------------------------------------------------------
# A DEALER with one request at a time, for a real master answers nothing else, and a SUB for publications. A request is
# sent again until it is answered. A publication under a shared key that is not known yet waits for that key.
#
# How long to wait: auth_timeout for the first answer, doubled at each try up to MAX_WAIT, since a master holds the
# request of a key that is pending; return_retry_timer_max for others, doubled up to request_channel_timeout; after a
# refusal random_reauth_delay, spread by half, doubled up to MAX_BACK_OFF. A connection that comes up again shortens
# each wait.


class Ask(NamedTuple):
    """A request on its way to the master: the load, who is told of the answer, and until when it is worth asking (in
    seconds of the monotonic clock)."""

    load: dict[str, Any]
    done: Callable[[Any], None]
    until: float = float("inf")


def topics(minion_id: str) -> tuple[bytes, bytes]:
    """What a minion subscribes to with zmq_filtering; without that it spares the 3 MB that hashlib takes."""
    return b"broadcast", hashlib.sha1(minion_id.encode()).hexdigest().encode()


class Link:
    """The two connections to one master: a DEALER with one request at a time, and a SUB.

    The protocol decides what an answer means; MINION_STATES says what follows, by the names of methods here. `name` is
    the master as the option calls it. `queue` waits for `current`, and returns in the outbox wait for the queue. `up`:
    publications are heard; `greeted`: the master was told that this minion is there. `unread` are publications that
    could not be opened yet, `sending` the jid of the return under way, `tries`, `refusals` and `losses` what has gone
    wrong since the last answer."""

    MAX_WAIT = 30.0  # seconds between two _auth of a minion whose key is pending: each is held by the master
    MAX_BACK_OFF = 60.0
    MAX_LOSSES = 3  # of a session, without an answer in between
    MAX_UNREAD = 100  # publications that wait for a key, which may be anybody's
    MAX_UNREAD_BYTES = 16 << 20

    def __init__(self, minion: Minion, host: str) -> None:
        self.minion, self.opts, self.loop = minion, minion.opts, minion.loop
        self.name = host
        self.host, self.ret_port = host_and_port(host, minion.opts["master_port"])
        self.protocol = MinionProtocol(minion.opts, minion.tree, minion.key)
        self.dealer: Any = None  # a Wire, while there is something to ask
        self.sub: Any = None  # a Wire
        self.queue: list[Ask] = []
        self.current: Ask | None = None
        self.unread: list[bytes] = []
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
        """How long to wait for an answer, longer each time."""
        # a lost return is found by its silence: soon at first, and seldom while the master is down
        return min(self.opts["return_retry_timer_max"] * 2**self.tries, self.opts["request_channel_timeout"])

    def _send(self, data: bytes, timeout: float) -> None:
        """Send bytes, and set the timer that misses their answer."""
        if self.dealer is None:
            self.dealer = self._wire(zmq.DEALER, self.ret_port, self.answered)
        self.dealer.send([b"", data])
        self.loop.at(self.timer("answer"), timeout, self.timed_out)

    def timer(self, name: str) -> str:
        """The name of a timer of this link."""
        return f"{name} {self.host} {self.ret_port}"

    def _close_dealer(self) -> None:
        """A late answer finds nobody; what was on its way is first in the queue again."""
        self.queue[:0] = [self.current] if self.current else []
        self.current = None
        if self.dealer:
            self.dealer.close()
            self.dealer = None

    def answered(self) -> None:
        """Replies have come."""
        while self.dealer:
            try:
                data = self.dealer.recv()[-1]
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
            except (AuthError, PayloadError) as error:
                if isinstance(error, AuthError) and self.protocol.state == CONNECTED:
                    log.info("%s: %s; authenticating again", self.host, error)
                    self.lost(str(error))
                else:
                    log.debug("a reply of %s is ignored: %s", self.host, error)

    def lost(self, why: str) -> None:
        """The master does not take our session: authenticate, and where that does not help not all the time."""
        self.losses += 1
        if self.losses < self.MAX_LOSSES:
            self.happened(LOST)
            return
        self.protocol.why = f"{why}, {self.losses} times since its last answer"
        self.minion.later(self)
        self.happened(TOO_OFTEN)

    def timed_out(self) -> None:
        """No reply has come in time. The first contact says why that may be."""
        self.tries = min(self.tries + 1, 10)
        if self.protocol.state == AUTHENTICATING and self.protocol.session is None:
            self.opts["__probe__"](self.loop, self.host, self.ret_port, self.unheard)
        elif self.tries == 2:
            self._say(logging.WARNING, f"the master {self.host} port {self.ret_port} does not answer; trying on")
        self.happened(TIMEOUT)

    def unheard(self, problem: str) -> None:
        """Say why a master has never answered: the `problem`, in words, or that the key may be pending."""
        if self.protocol.session is None and not self.refusals:
            why = problem or self._pending()
            text = f"no answer from the master {self.host} port {self.ret_port} yet: {why}; trying on"
            self._say(logging.WARNING if problem else logging.INFO, text)

    # what MINION_STATES names

    def happened(self, event: str) -> None:
        """Take an event to the state machine, and do what its row names."""
        getattr(self, self.protocol.step(event))()

    def wake(self) -> None:
        """The pause is over."""
        self.happened(WAKE)

    def authenticate(self) -> None:
        """Ask for credentials, with a new nonce and over a new connection."""
        self._close_dealer()
        wait = min(self.opts["auth_timeout"] * 2**self.tries, self.MAX_WAIT)
        self._send(self.protocol.auth_request(), wait)

    def resend(self) -> None:
        """The same request once more, over a new connection."""
        self._close_dealer()
        self.pump()

    def wait(self) -> None:
        """The key is pending. Asking again costs nobody anything, and is what makes a minion hear that it was
        accepted."""
        self._say(logging.INFO, f"{self.host}: {self._pending()}")
        most = self.opts["acceptance_wait_time_max"]
        pause = self.opts["acceptance_wait_time"] * (2**self.refusals if most else 1)
        self.refusals = min(self.refusals + 1, 10)
        self._pause(min(pause, most) if most else pause)

    def _pending(self) -> str:
        """What the operator does who compares keys before he accepts one."""
        minion_id, finger = self.protocol.id, fingerprint(self.minion.key.public.pem, self.opts["hash_type"])
        accept = f"the operator accepts it with `mv minions_pre/{minion_id} minions/` or salt-key -a {minion_id}"
        return f"the key of {minion_id} is pending there; {accept}; its fingerprint here is {finger}"

    def back_off(self) -> None:
        """Refused. The next try comes later each time, and at a moment of its own for each minion."""
        self._say(logging.ERROR, f"{self.host}: {self.protocol.why}; trying again within a minute")
        # spread, and never for ever: what one reply has said, the next may take back
        pause = self.opts["random_reauth_delay"] * (0.5 + token(1)[0] / 256) * 2**self.refusals
        self.refusals = min(self.refusals + 1, 4)
        self._pause(max(1.0, min(pause, self.MAX_BACK_OFF)))

    def _pause(self, seconds: float) -> None:
        """Leave the master alone for a while."""
        self.unread.clear()  # what was published while this minion was not accepted is not for it
        self.greeted = False
        self._close_dealer()
        self.loop.cancel(self.timer("answer"))
        self.loop.at(self.timer("wake"), seconds, self.wake)

    def _say(self, level: int, text: str) -> None:
        """Say something once, not at each try."""
        if text != self.said:
            log.log(level, "%s", text)
            self.said = text

    def connect(self) -> None:
        """Credentials are there: listen to publications, and go on with what waited for them."""
        self.loop.cancel(self.timer("answer"))
        self.tries, self.said, self.rekeying = 0, "", False
        if self.sub is None:
            wanted = topics(self.protocol.id) if self.opts["zmq_filtering"] else (b"",)
            self.sub = self._wire(zmq.SUB, self.port(), self.published, self.changed, wanted)
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

    def _wire(self, kind: int, port: int, heard: Callable[[], None], *more: Any) -> Any:
        """One of the two connections; `more`: what is called when it comes or goes, and the topics."""
        made = packed_leaf("wires", "minion").Wire
        return made(self.loop, self.minion.context.socket(kind), self.opts, (self.host, port), heard, *more)

    def changed(self, up: bool) -> None:
        """The connection for publications came up or went down."""
        self.up, self.since = up, time.monotonic()
        if self.current:  # it, or its answer, has gone down with a connection; a master that was restarted waits for it
            self.loop.at(self.timer("answer"), 1.0, self.timed_out)
        if self.up:
            log.info("connected to %s, listening on port %s", self.host, self.port())
            self.minion.connected(self)
        else:
            log.info("the connection to %s is lost; connecting again", self.host)

    def rekey(self) -> None:
        """Ask for the shared key, which costs the master no RSA; one that does not know `_rekey` answers {}."""
        if not self.rekeying:
            self.rekeying = True
            self.ask({"cmd": "_rekey"}, self._rekeyed, first=True)

    def _rekeyed(self, answer: Any) -> None:
        """The shared key has come, or the master does not know this request: then it authenticates."""
        self.rekeying = False
        try:
            self.protocol.new_aes(answer["aes"])
        except (TypeError, KeyError, AuthError):
            self.happened(LOST)
        else:
            self.read_unread()

    # publications

    def published(self) -> None:
        """Publications have come; some at a time, so that nothing else starves."""
        for _ in range(100):
            try:
                self.publication(self.sub.recv())
            except zmq.Again:
                return

    def publication(self, frames: list[bytes], again: bool = True) -> None:
        """Open a publication and run it if it is meant; one under a new shared key waits for that key."""
        try:
            load = self.protocol.publication(frames)
        except Undecipherable as error:
            if again:
                self._undecipherable(frames[-1], isinstance(error, Unverified))
        except SaltError as error:
            log.warning("a publication is ignored: %s", error)
        else:
            self.minion.job(load | {"master": self.name})

    def _undecipherable(self, message: bytes, unverified: bool) -> None:
        """Keep a publication until there is another key, and ask for that; seldom where it may be anybody's."""
        if len(self.unread) < self.MAX_UNREAD and sum(map(len, self.unread)) + len(message) <= self.MAX_UNREAD_BYTES:
            self.unread.append(message)
        if unverified:
            if self.loop.waits(asked := self.timer("unverified")):
                return
            self.loop.at(asked, max(1.0, self.opts["random_reauth_delay"]), lambda: None)
        if self.protocol.state == CONNECTED:
            self.happened(UNDECIPHERABLE)

    def read_unread(self) -> None:
        """Try again what could not be opened before."""
        unread, self.unread = self.unread, []
        for message in unread:
            self.publication([message], again=False)

    def close(self) -> list[Ask]:
        """Leave this master; gives the requests that it has not answered, a return under way excepted."""
        self._close_dealer()
        self.loop.cancel(self.timer("answer"))
        self.loop.cancel(self.timer("wake"))
        if self.sub:
            self.sub.close()
        self.sub = None
        left = [asked for asked in self.queue if asked.load.get("jid") != self.sending or not self.sending]
        self.queue, self.sending = [], ""
        return left


# ---- 26. Minion loop ------------------------------------------------------------------------------------------------
# Jobs that need the master ask it through the minion, over a socket in the cache: none of them authenticates.
#
# Once every ten loop_intervals the loop looks at everything that may have changed without a bell: returns in the
# outbox, jobs whose process is gone, grains, pillar, schedule. With master_type failover it also looks at the master:
# one without a connection for master_alive_interval seconds gives way to the next.


class AskSocket:
    """CACHE/.ask: a zmq socket of the file system, at which jobs ask the master through the minion's own connection,
    so that no job needs one of its own. A message is msgpack: [master or "", load], and back [answer, or None; why]."""

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
        """Pass requests on to the master, each for some time."""
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
                self.minion.link_to(str(host)).ask(load, functools.partial(self.answer, envelope), wait=ASK_SECONDS)

    def answer(self, envelope: list[bytes], answer: Any, why: str = "") -> None:
        """Give a job its answer; it may have ended."""
        with contextlib.suppress(zmq.ZMQError):
            self.socket.send_multipart([*envelope, msgpack.packb([answer, why])], zmq.NOBLOCK)


class Minion:
    """The minion's loop: its links to masters, its jobs, its outbox, its schedule.

    `outbox` names the returns that wait, each with the master that wants it ("" if any may have it); `forked` the jobs
    of this run that the forker will answer for; `failover` that there is one link at a time."""

    def __init__(self, opts: dict[str, Any]) -> None:
        self.opts = opts
        self.tree = MinionTree(opts)
        for directory in (self.tree.cache, self.tree.pki):
            make_parents(directory / "x")
        (self.tree.conf / "minion.d").mkdir(exist_ok=True)
        lock_fd = lock(self.tree.cache / ".lock", "minion")
        become(opts["user"], [self.tree.cache, self.tree.pki, self.tree.conf / "minion.d"])
        self.tree.prepare(opts)
        self.tree.sweep()
        self.tree.schedule_path(saved=False).unlink(missing_ok=True)
        _ = zmq.DEALER  # imported before the fork, so that jobs that ask the master share it
        self.forker = Forker(opts, lock_fd)
        self.forked: set[str] = set()
        self.tree.load_executed()
        self.key = read_private_key(self.tree.pki / "minion.pem")
        self.grains, self.pillar = self.tree.grains(), self.tree.pillar()
        self.grains_ready = self.failed = False
        self.context = zmq.Context()
        self.loop = Loop(zmq.Poller())
        AskSocket(self)  # the loop has it from here on
        self.outbox: dict[str, str] = {}
        self.masters = master_list(opts)
        if opts["master_shuffle"]:
            self.masters.sort(key=lambda _: token(8))
        self.failover = opts["master_type"] == "failover" and len(self.masters) > 1
        self.links = [Link(self, host) for host in (self.masters[:1] if self.failover else self.masters)]
        self.schedule = packed_leaf("schedules", "minion").Schedule()
        self.ticks = Ticks()  # for jids of our own

    def run(self) -> int:
        """Until SIGTERM or SIGINT; jobs that run go on, and their returns wait in the outbox."""
        loop = self.loop
        loop.on_signal(signal.SIGTERM, loop.stop)
        loop.on_signal(signal.SIGINT, loop.stop)
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
        if load["jid"] in self.tree.executed:
            log.debug("job %s was executed already", load["jid"])
            return
        functions = functions_in(load)
        log.info("job %s: %s", load["jid"], ", ".join(functions))
        try:
            if INSTANT.keys() >= set(functions):
                self.tree.remember(load["jid"])
                execution = Execution(self.opts, self.tree, load, {})
                execution.schedule, execution.grains, execution.pillar = self.schedule, self.grains, self.pillar
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
        """A job has ended, or there are new grains."""
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
        sources = [*map(tree.schedule_path, (True, False)), tree.cache / "pillar", tree.cache / "grains"]
        if any(tree.changed(f"schedule {path.name}", path) for path in sources):
            self.read_schedule()
        self.run_due()

    def read_schedule(self) -> None:
        """Put the entries of pillar, configuration and _schedule.conf together; a broken file changes nothing."""
        try:
            saved = self.tree.schedule()
        except Failure as error:
            log.error("the schedule stays as it was: %s", error)
            return
        self.schedule.read(self.opts, self.grains, self.tree.pillar(), saved)

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
        load = self.schedule.job(name, jid_at(self.ticks.next(time.time())), self.opts["id"])
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

    def later(self, link: Link) -> None:
        """A master that does not know our session refuses whatever comes, and says so unsigned, as anybody could: so
        the return that was under way stays in the outbox, and has its next turn behind all others."""
        jid, link.sending = link.sending, ""
        if jid and link.current and link.current.load.get("jid") == jid:
            link.current, self.outbox[jid] = None, link.name

    def acknowledged(self, link: Link, jid: str, answer: Any) -> None:
        """The master has a return."""
        link.sending = ""
        self.tree.acknowledged(jid)

    # the masters

    def wake(self) -> None:
        """Speak to the masters."""
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
            link.ask(pillar_load(self.opts, self.grains), self.got_pillar)
            told = [name for name in self.opts["start_event_grains"] if name in self.grains]
            more = {"grains": {name: self.grains[name] for name in told}} if told else {}
            for tag in ("minion_start", f"salt/minion/{self.opts['id']}/start"):
                text = f"Minion {self.opts['id']} started at {time.ctime()}"
                link.ask({"cmd": "_minion_event", "data": text, "tag": tag, "pretag": None} | more, lambda _: None)

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
                    link.ask(pillar_load(self.opts, self.grains), self.got_pillar)
        for link in self.links:
            self.connected(link)

    def reload(self) -> None:
        """SIGHUP: read the configuration again; what is fixed at the start is named."""
        reload_opts(self.opts)
        self.forker.send("O")
        self.forker.send("G")
        self.read_schedule()
        self.run_due()


# ==== Person =========================================================================================================
# What stands between a person and the two daemons: `main`, and how a command is found. The commands themselves, the
# outputters and what brings text to a terminal are leaves.


# ---- 27. Commands ---------------------------------------------------------------------------------------------------
# A command is a row with its options; argparse is made from it. Called by a link named salt, salt-key, salt-call … the
# script is that command. Options come behind the command, as in `saltlite key -c DIR -L`.


class Command(NamedTuple):
    """A command line verb, COMMAND in the file of etc/salt/commands that has its name: one line of help, its function
    (arguments -> exit code), what adds its options; one of those may set `check`, which is called before; lines to
    type, with what each does. Without help it is for programs, and not listed."""

    help: str
    main: Callable[[argparse.Namespace], int]
    arguments: tuple[Callable[[argparse.ArgumentParser], None], ...]
    examples: str = ""


def say(text: str) -> None:
    """A line for stdout, at once."""
    print(text, flush=True)


def command(name: str) -> Command:
    """The command of a name; KeyError if there is none."""
    return packed_leaf("commands", name).COMMAND


def parser_of(row: Command, program: str) -> argparse.ArgumentParser:
    """argparse for one command, which ends with EX_USAGE where the words are wrong."""

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            if message.startswith("unrecognized arguments: -"):
                word = message.split()[2]
                message = f"there is no option {word}{nearest(word, self._option_string_actions)}"
            end = "" if message.endswith("?") else "."
            self.exit(EX_USAGE, f"{words}   ({program} --help tells more)\nsaltlite: {message}{end}\n")

    how: Any = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    examples = "examples:" + row.examples.rstrip().replace("\n", "\n  ") if row.examples else None
    parser = Parser(prog=program, description=row.help.capitalize() + ".", epilog=examples, **how)
    parser.add_argument("--version", action="version", version=f"saltlite {VERSION} (speaks as Salt {SALT_VERSION})")
    parser.set_defaults(check=lambda args: None)
    for add in row.arguments:
        add(parser)
    # what an error shows of all this; made now, for parse_intermixed_args takes the positional words away meanwhile
    short = argparse.HelpFormatter(f"{program} [OPTION ...]", width=1000)
    short.add_usage(None, parser._get_positional_actions(), [])
    words = short.format_help().strip()
    return parser


def parse_words(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    """A command line's words: behind `--` none is an option, for a mark before it that no word can have."""
    at = argv.index("--") if "--" in argv else len(argv)
    args = parser.parse_intermixed_args([*argv[:at], *(f"\0{word}" for word in argv[at + 1 :])])
    plain = {name: value.lstrip("\0") for name, value in vars(args).items() if isinstance(value, str)}
    lists = {name: [word.lstrip("\0") for word in value] for name, value in vars(args).items() if type(value) is list}
    return argparse.Namespace(**vars(args) | plain | lists)


def usage(argv: list[str], program: str) -> int:
    """What there is to type; asked for, or because what was typed is no command."""
    if argv[:1] == ["--version"]:
        say(f"saltlite {VERSION} (speaks as Salt {SALT_VERSION})")
        return EX_OK
    lines = [f"usage: {program} COMMAND ...   ({program} COMMAND --help tells more)", ""]
    lines += [f"  {name:11}{row.help}" for name in leaf_files("commands") if (row := command(name)).help]
    if argv and argv[0] not in ("-h", "--help", "help"):
        behind = "; options come behind the command."
        hint = behind if argv[0].startswith("-") else nearest(argv[0], leaf_files("commands"))
        print(*lines, f"\nsaltlite: {argv[0]!r} is no command{hint or '.'}", sep="\n", file=sys.stderr)
        return EX_USAGE
    say("\n".join(lines))
    return EX_OK if argv else EX_USAGE


def main(argv: list[str] | None = None) -> int:
    """Run one command; gives the exit code. Called as salt-key, salt-call … by a link, it is that command.

    A Failure is printed as one sentence; a reader of our output that went away ends us quietly."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.reconfigure(errors="backslashreplace")  # for a terminal that is not UTF-8
    program = os.path.basename(sys.argv[0])
    known = leaf_files("commands")
    linked = "salt" if program == "salt" else program.removeprefix("salt-")
    if linked in known and program.startswith("salt"):
        name = linked
    elif argv and argv[0] in known:
        name = argv.pop(0)
        program = f"{program} {name}"
    else:
        return usage(argv, program)
    try:
        row = command(name)
        args = parse_words(parser_of(row, program), argv)
        return args.check(args) or row.main(args)
    except Failure as failure:
        print(f"saltlite: {failure}", file=sys.stderr)
        return failure.exit_code
    except OSError as error:
        if error.errno == errno.EPIPE:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        else:
            print(f"saltlite: {error.filename or 'a system call'}: {error.strerror}.", file=sys.stderr)
        return EX_FAILED
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
