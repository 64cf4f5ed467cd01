"""Who but root and the master's own user may publish what: publisher_acl and publisher_acl_blacklist, in Salt's forms.

    publisher_acl:
      fred: [test.ping, 'pkg\\..*']               # functions, as regular expressions that fit their beginning
      'admin|ops_.*': ['.*']                     # users, as globs or whole regular expressions
      '%wheel': [service.status]                 # members of a group of the system
      web_.*:
        - 'web* and not web9': [test.*]          # only minions that this compound target has
        - '*': [{cmd.run: {args: ['uptime']}}]   # only with arguments that begin so

What cannot be taken in one of these forms is refused at the start. A rule with a target allows a job only if the ids
of all accepted minions say that it can reach no other: what the master was told of a minion's grains may be old."""

from __future__ import annotations

import contextlib
import grp
import logging
import os
import pwd
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from saltlite import (
    KWARG,
    REGEX_BUDGET,
    Facts,
    Failure,
    MasterTree,
    expand_nodegroups,
    expected,
    functions_in,
    glob_match,
    jid_of,
    log,
    parse,
    printable,
    put,
    steps,
    token,
    user_name,
)

DAY = 86400  # seconds
MAX_ARGUMENT = 1024  # characters of an argument that are held against an expression; a longer one fits none
GLOB = re.compile(r"[*?[]")
ACL = "system.posix_acl_access"  # a version, then entries of tag, rights, id; as setfacl(1) writes them
NOBODY = 0xFFFFFFFF  # the id of an entry that needs none


class Rule(NamedTuple):
    """One thing that is allowed: on these minions, functions of this expression, with one of these `args`, `kwargs`."""

    target: str
    function: str
    conditions: list[Mapping[str, Any]]


def fits(pattern: str, text: str, whole: bool = False) -> bool:
    """Whether a text begins as the expression says, or is `whole` what it says; no expression is a glob."""
    try:
        return (re.fullmatch if whole else re.match)(pattern, text) is not None
    except re.error:
        return glob_match(text, pattern)


def pattern_of(value: Any, where: str) -> str:
    """A text that is an expression or a glob; Failure otherwise."""
    good = isinstance(value, str) and value != ""
    if good:
        try:
            re.compile(value)
        except re.error:
            good = GLOB.search(value) is not None
    if not good:
        raise Failure(f"{where}: {value!r} is no regular expression and no glob; correct it or remove it.")
    return value


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def conditions_of(value: Any, where: str) -> list[Mapping[str, Any]]:
    for each in listed(value):
        args, kwargs = (each.get("args", []), each.get("kwargs", {})) if isinstance(each, dict) else (None, None)
        if not isinstance(args, list) or not isinstance(kwargs, dict) or set(each) - {"args", "kwargs"}:
            raise Failure(
                f"{where}: behind a function stand `args:` with a list and `kwargs:` with a map, not {each!r}."
            )
        for pattern in [*args, *kwargs.values()]:
            if pattern is not None and steps(pattern_of(pattern, where), MAX_ARGUMENT) == float("inf"):
                raise Failure(f"{where}: {pattern!r} may take too long: say it without groups that repeat.")
    return listed(value)


def rules_of(value: Any, where: str, target: str = "") -> Iterator[Rule]:
    """The rules of one user, or of one `target` of his; Failure for what is in no form that is known."""
    for each in listed(value):
        if not isinstance(each, dict):
            yield Rule(target or "*", pattern_of(each, where), [])
            continue
        if len(each) != 1:
            raise Failure(f"{where}: one target or function stands in each map, not {', '.join(map(str, each))}.")
        [(key, inner)] = each.items()
        if target:
            yield Rule(target, pattern_of(key, where), conditions_of(inner, f"{where}: {key}"))
        else:
            yield from rules_of(inner, f"{where}: {key}", str(key))


def groups_of(user: str) -> set[str]:
    """The groups of the system that a user is in."""
    try:
        numbers = os.getgrouplist(user, pwd.getpwnam(user).pw_gid)
    except KeyError:
        return set()
    return {found.gr_name for found in grp.getgrall() if found.gr_gid in numbers}


def is_meant(key: str, user: str, groups: Callable[[], set[str]]) -> bool:
    """Whether a key of publisher_acl is this user, a pattern of him, or a group of his: `%group`, or `group%`."""
    if key.strip("%") != key:
        return key.strip("%") in groups()
    return glob_match(user, key) or fits(key, user, whole=True)


def has_arguments(conditions: list[Mapping[str, Any]], arg: Any) -> bool:
    """Whether the arguments of one function are as one of the conditions says; None in it stands for any."""
    if not conditions:
        return True
    if not isinstance(arg, list):
        return False
    kwargs = {
        name: each for word in arg if isinstance(word, dict) and "__kwarg__" in word for name, each in word.items()
    }
    args = [word for word in arg if not (isinstance(word, dict) and "__kwarg__" in word)]
    if any(isinstance(word, str) and KWARG.match(word) for word in args):
        return False  # it may become a keyword on the minion

    def good(pattern: Any, value: Any) -> bool:
        text = str(value)
        bounded = len(text) <= MAX_ARGUMENT and (pattern is None or steps(pattern, len(text)) <= REGEX_BUDGET)
        return pattern is None or bounded and fits(pattern, text)

    return any(
        len(each.get("args", [])) <= len(args)
        and all(good(pattern, value) for pattern, value in zip(each.get("args", []), args, strict=False))
        and all(name in kwargs and good(pattern, kwargs[name]) for name, pattern in each.get("kwargs", {}).items())
        for each in conditions
    )


def covers(target: str, reached: list[str], nodegroups: Mapping[str, Any], tree: MasterTree) -> bool:
    """Whether a rule's target surely has all the minions that a job may reach."""
    if target == "*":
        return True
    try:
        test = parse(expand_nodegroups(target.split(), nodegroups), "compound")
        return all(
            test.verdict(Facts(each, tree.data.grains(each), tree.data.pillar(each), REGEX_BUDGET)) is True
            for each in reached
        )
    except Failure:
        return False


def checked(opts: Mapping[str, Any]) -> list[tuple[int, str]]:
    """What is to be told of the two options; Failure if something in them can never be what was meant."""
    told = []
    for user, value in opts["publisher_acl"].items():
        where = f"publisher_acl: {user}"
        pattern_of(str(user), "publisher_acl")
        for rule in rules_of(value, where):
            if "@" in (rule.target[0], rule.function[0]):  # @runner, @wheel, @jobs
                word = rule.function if rule.function[0] == "@" else rule.target
                sentence = f"{where}: {word} allows nothing: there are no runners; remove it if that is meant."
                told.append((logging.WARNING, sentence))
            if problem := parse(expand_nodegroups(rule.target.split(), opts["nodegroups"]), "compound").complaint:
                raise Failure(f"{where}: {rule.target}: {problem}")
    for name, value in opts["publisher_acl_blacklist"].items():
        if name not in ("users", "modules"):
            raise Failure(f"publisher_acl_blacklist: {name!r} is neither users nor modules; correct it or remove it.")
        for each in listed(value if value is not None else []):
            pattern_of(each, f"publisher_acl_blacklist: {name}")
    return told


def refusal(opts: Mapping[str, Any], load: Mapping[str, Any], owner: str, tree: MasterTree) -> str:
    """Why a job may not be published, or ''; `owner`: whose request it is, unless it is root's or the master's."""
    functions, user = functions_in(load), load["user"]
    black = {name: listed(value or []) for name, value in opts["publisher_acl_blacklist"].items()}
    if any(is_meant(key, user, set) for key in black.get("users", [])):
        return f"{user} may publish nothing; see publisher_acl_blacklist."
    if any(glob_match(fun, key) or fits(key, fun, True) for key in black.get("modules", []) for fun in functions):
        return f"nobody may publish {', '.join(functions)}; see publisher_acl_blacklist."
    if not owner:
        return ""
    if load.get("jid", "")[:8] > jid_of(load.get("time", 0) + DAY)[:8]:  # its day's directory would stay for ever
        return f"the jid {load['jid']}, its name, is of a day to come: leave the name of a request to `salt`."
    acl = opts["publisher_acl"]
    meant = [key for key in acl if is_meant(str(key), owner, lambda: groups_of(owner))]
    rules = [rule for key in meant for rule in rules_of(acl[key], f"publisher_acl: {key}")]
    reached = expected(load["tgt"], load["tgt_type"], tree.accepted())  # by their ids alone
    args = load["arg"] if isinstance(load["fun"], list) else [load["arg"]]
    args = args if len(args) == len(functions) else [None] * len(functions)  # what belongs to whom is not said
    for number, fun in enumerate(functions):
        rules_for = [rule for rule in rules if fits(rule.function, fun)]
        with_them = [rule for rule in rules_for if has_arguments(rule.conditions, args[number])]
        if not any(covers(rule.target, reached, opts["nodegroups"], tree) for rule in with_them):
            what = "there; name minions by their ids" if with_them else "with these arguments" if rules_for else ""
            return f"its owner {owner} may not publish {', '.join(functions)}{what and ' '}{what}; see publisher_acl."
    return ""


def permit(path: Path, uid: int) -> None:
    """Let one more user read a file of ours, by an entry in its access list, which a master that is not root can write
    as well: no owner and no group is changed, so nobody can write to it who could not before."""
    if uid in (0, os.geteuid()):
        return
    entries = ((0x01, 6, NOBODY), (0x02, 4, uid), (0x04, 0, NOBODY), (0x10, 4, NOBODY), (0x20, 0, NOBODY))
    try:
        os.setxattr(path, ACL, struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries))
    except FileNotFoundError:
        pass  # the operator was faster
    except OSError as error:
        log.warning("%s cannot be opened to %s, whose it is (%s): the file system of cachedir must have POSIX access "
                    "lists", path, user_name(uid), error.strerror)  # fmt: skip


def refuse(path: Path, bad: Path, why: str, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Move a request to jobs/bad, with the reason beside it, which its owner may read; where a name is in the way
    there, under another. Gives the tag and the data of an event; of the request only what is no argument."""
    log.warning("jobs/new/%s is refused: %s", path.name, why)
    uid = os.geteuid()
    with contextlib.suppress(OSError):
        uid = os.lstat(path).st_uid
    with contextlib.suppress(OSError):
        put(reason := bad / f"{path.name}.why", why + "\n")
        permit(reason, uid)
    try:
        os.rename(path, bad / path.name)
    except OSError:
        with contextlib.suppress(OSError):
            os.rename(path, bad / f"{path.name[:200]}.{token(4).hex()}")
    told = {"user": request.get("user", user_name(uid)), "uid": uid, "why": why.partition(" of the wrong type: ")[0]}
    told |= {name: request[name] for name in ("fun", "tgt", "tgt_type") if name in request}
    return f"salt/job/{printable(path.name)[:64]}/refused", told
