"""Users' crontabs, through the program crontab, which checks and installs them.

Salt's entries stand below a line that says so; what is above it is yours and stays as it is. An entry is known by its
identifier, which stands in a comment above it, or else by its command."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

__context__: dict[str, Any]
__grains__: dict[str, Any]
__opts__: dict[str, Any]
__salt__: Mapping[str, Any]

TAG = "# Lines below here are managed by Salt, do not edit"
MARK = "SALT_CRON_IDENTIFIER"
OFF = "#DISABLED#"
NO_IDENTIFIER = "NO ID SET"
TIMES = ("minute", "hour", "daymonth", "month", "dayweek")
RANGES = {"minute": (0, 59), "hour": (0, 23), "daymonth": (1, 28), "month": (1, 12), "dayweek": (0, 6)}
MONTHS = dict.fromkeys("1 3 5 7 8 10 12".split(), 31) | dict.fromkeys("4 6 9 11".split(), 30)  # days
VENDORS_LINES = 3  # which some crontab programs print above what is in the file
Tab = dict[str, list[Any]]


def _crontab(user: Any, *words: str, stdin: str | None = None) -> tuple[int, str, str]:
    """Run crontab for a user: (exit code, stdout, stderr). Only root may name another one."""
    import pwd
    import subprocess

    name = str(user)
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        raise CommandExecutionError(f"User '{name}' does not exist") from None
    if uid != os.geteuid() and os.geteuid() != 0:
        raise CommandExecutionError(f"Only root sees and changes another user's crontab, {name}'s for one")
    argv = ["crontab", *(["-u", name] if uid != os.geteuid() else []), *words]
    env = {**os.environ, "LC_ALL": "C"}
    given = stdin.encode("utf-8", "surrogateescape") if stdin is not None else b""
    try:
        done = subprocess.run(argv, input=given, capture_output=True, env=env, check=False)
    except OSError as error:
        raise CommandExecutionError(f"crontab cannot be run: {error.strerror}") from None
    return done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode(errors="replace")


def _true(value: Any) -> bool:
    return value.lower() in ("true", "yes", "1", "on") if isinstance(value, str) else bool(value)


def _parsed(text: str) -> Tab:
    """A crontab: {"pre": [lines that are not Salt's], "crons", "special", "env": [entries]}."""
    tab: Tab = {"pre": [], "crons": [], "special": [], "env": []}
    lines = text.removesuffix("\n").split("\n") if text else []  # and at nothing else: cron sees no other line end
    if TAG not in lines:
        return {**tab, "pre": lines}
    at = lines.index(TAG)
    tab["pre"] = lines[:at]
    about: dict[str, Any] = {"identifier": None, "comment": None}
    for line in lines[at + 1 :]:
        off = line.startswith(OFF)
        line = line.removeprefix(OFF)
        if line.startswith("#"):
            said, mark, identifier = line.lstrip("# ").partition(MARK)
            if mark:
                said, about["identifier"] = said.rstrip(), identifier[1:] or about["identifier"]
            about["comment"] = said if about["comment"] is None else f"{about['comment']}\n{said}"
            continue
        words = line.split(" ")
        if line.startswith("@") and len(line.split()) > 1:
            entry = {"spec": line.split()[0], "cmd": " ".join(line.split()[1:])}
            tab["special"].append({**entry, **about, "commented": off})
        elif not line.startswith("@") and re.match(r"[^ =]+=", line):
            name, _, value = line.partition("=")
            tab["env"].append({"name": name, "value": value})
            continue
        elif not line.startswith("@") and len(words) > len(TIMES):
            entry = dict(zip(TIMES, words[: len(TIMES)], strict=True))
            tab["crons"].append({**entry, "cmd": " ".join(words[len(TIMES) :]), **about, "commented": off})
        else:
            continue
        about = {"identifier": None, "comment": None}
    return tab


def _written(tab: Tab) -> str:
    """The text of a crontab."""
    lines = [*tab["pre"], TAG] if tab["pre"][-1:] != [TAG] else list(tab["pre"])
    lines += [
        f"{env['name']}={env['value']}" if env["value"] not in (None, "") else f'{env["name"]}=""' for env in tab["env"]
    ]
    for entry in [*tab["crons"], *tab["special"]]:
        if entry["comment"] is not None or entry["identifier"] is not None:
            comment = str(entry["comment"] or "").rstrip().replace("\n", "\n# ")
            said = f"# {comment}" if comment else "#"
            lines.append(f"{said} {MARK}:{entry['identifier']}" if entry["identifier"] else said)
        when = entry["spec"] if "spec" in entry else " ".join(entry[part] for part in TIMES)
        lines.append(f"{OFF if entry['commented'] is True else ''}{when} {entry['cmd']}")
    return "".join(f"{line}\n" for line in lines)


def _one_line(**values: Any) -> None:
    """What would become another line, or another field, is refused."""
    for name, value in values.items():
        if value is not None and re.search(r"[\x00-\x08\x0a-\x1f\x7f]", str(value)):
            raise SaltInvocationError(f"{name} may have no line end and no control character: {str(value)!r}")


def _install(user: Any, tab: Tab, done: str, test: Any) -> str:
    """Give the user this crontab; raises with what crontab says."""
    if _true(test):
        words = {"new": "add an entry", "updated": "change an entry", "removed": "remove an entry"}
        return f"Would {words[done]}. Nothing was changed." if done in words else done
    code, out, err = _crontab(user, "-", stdin=_written(tab))
    if code:
        raise CommandExecutionError((err.strip() or out.strip()) or f"crontab ended with exit code {code}")
    return done


def _matches(entry: Mapping[str, Any], cmd: Any, identifier: Any) -> bool:
    """Whether an entry is meant: by its identifier; by its command only where one of them has no identifier.

    An entry without identifier and the same command is taken over by whoever names one."""
    own, asked = entry["identifier"] or NO_IDENTIFIER, str(identifier) if identifier else NO_IDENTIFIER
    if own == NO_IDENTIFIER:
        return bool(entry["cmd"] == cmd)
    return bool(own == asked)


def _times(given: Mapping[str, Any]) -> dict[str, str]:
    """When, as cron has it: `random` and two numbers with a colon, 5:20, are chosen here once and for all."""
    import random

    found: dict[str, str] = {}
    for part in ("minute", "hour", "month", "dayweek", "daymonth"):
        value, (low, high) = str(given[part]).lower(), RANGES[part]
        if part == "daymonth":
            high = MONTHS.get(found["month"], high)
        if value == "random":
            value = str(random.randint(low, high))
        elif re.fullmatch(r"\d+:\d+", value):
            value = str(random.randint(*sorted(map(int, value.split(":")))))
        if not re.fullmatch(r"[0-9A-Za-z*/,~?#-]+", value):
            raise SaltInvocationError(f"{part} is not what cron knows: {value!r}")
        found[part] = value
    return found


def _differs(old: Any, new: Any) -> bool:
    """Whether a part of an entry is to be changed: None means as it is, and `random` is what it has become."""
    return bool(old != new and (old == "*" if new == "random" else new is not None))


def _set(user: Any, wanted: dict[str, Any], when: Mapping[str, Any], test: Any) -> str:
    """Add an entry, or change the one that is meant."""
    tab, cmd, identifier = list_tab(user), wanted["cmd"], wanted["identifier"]
    found = next((each for each in tab["crons"] + tab["special"] if _matches(each, cmd, identifier)), None)
    kind = "special" if "spec" in when else "crons"
    if found is not None:
        same_kind = ("spec" in found) == ("spec" in when)
        parts = {**when, "comment": wanted["comment"], "commented": wanted["commented"], "cmd": cmd}
        changed = {part for part, value in parts.items() if _differs(found.get(part), value)}
        if same_kind and not changed and (not identifier or identifier == found["identifier"]):
            return "present"
        for entries in (tab["crons"], tab["special"]):
            if found in entries:
                entries.remove(found)
        kept = {part: value if part in changed else found.get(part, value) for part, value in parts.items()}
        wanted = {**kept, "identifier": identifier or found["identifier"]}
        when = {part: kept[part] for part in when}
    entry = {"cmd": wanted["cmd"], "identifier": wanted["identifier"], "comment": wanted["comment"]}
    entry |= {"commented": wanted["commented"], **(when if kind == "special" else _times(when))}
    tab[kind].append(entry)
    return _install(user, tab, "updated" if found else "new", test)


def _remove(user: Any, kind: str, cmd: Any, identifier: Any, when: Mapping[str, Any], test: Any) -> str:
    """Remove the first entry that is meant, and whose times are those that are given."""
    tab = list_tab(user)
    asked = {part: str(value) for part, value in when.items() if value is not None}
    for entry in tab[kind]:
        fits = (entry[part] == value or (value == "random" and entry[part] != "*") for part, value in asked.items())
        if _matches(entry, cmd, identifier) and all(fits):
            tab[kind].remove(entry)
            return _install(user, tab, "removed", test)
    return "absent"


def get_entry(user, identifier=None, cmd=None):
    """Returns one entry of a user's crontab, by its identifier or else by its command, as cron.list_tab gives it; False
    if there is none.

    CLI Example: salt '*' cron.get_entry root identifier=task1"""
    tab = list_tab(user)
    key, value = ("identifier", identifier) if identifier else ("cmd", cmd)
    return next((each for each in tab["crons"] + tab["special"] if value and each[key] == value), False)


def list_tab(user):
    """A user's crontab. Returns {"pre": [lines that are not Salt's], "crons": [{"minute", "hour", "daymonth", "month",
    "dayweek", "cmd", "identifier", "comment", "commented"}], "special": [the same with "spec", @daily say], "env":
    [{"name", "value"}]}.

    CLI Example: salt '*' cron.list_tab root"""
    return _parsed(raw_cron(user))


def ls(user):
    """Returns what cron.list_tab does.

    CLI Example: salt '*' cron.ls root"""
    return list_tab(user)


def raw_cron(user):
    """Returns a user's crontab as it is, "" if there is none.

    CLI Example: salt '*' cron.raw_cron root"""
    code, out, err = _crontab(user, "-l")
    if code and "no crontab" not in err.lower() and "can't open" not in err.lower():
        raise CommandExecutionError(err.strip() or f"crontab ended with exit code {code}")
    vendors = VENDORS_LINES if out.startswith("# DO NOT EDIT THIS FILE - edit the master") else 0
    return "".join(out.split("\n", vendors)[vendors:])


def rm_env(user, name, test=False):
    """Remove a variable of a user's crontab. Returns "removed" or "absent".

    CLI Example: salt '*' cron.rm_env root MAILTO"""
    tab = list_tab(user)
    left = [env for env in tab["env"] if env["name"] != name]
    if len(left) == len(tab["env"]):
        return "absent"
    return _install(user, {**tab, "env": left}, "removed", test)


def rm_job(
    user,
    cmd,
    minute=None,
    hour=None,
    daymonth=None,
    month=None,
    dayweek=None,
    identifier=None,
    test=False,
):
    """Remove an entry of a user's crontab, by its identifier or its command, and by those times that are given.
    Returns "removed" or "absent". test=True says what would be done.

    CLI Example:
        salt '*' cron.rm_job root /usr/local/weekly
        salt '*' cron.rm_job root /usr/bin/foo dayweek=1"""
    when = dict(zip(TIMES, (minute, hour, daymonth, month, dayweek), strict=True))
    return _remove(user, "crons", cmd, identifier, when, test)


def rm(user, cmd, minute=None, hour=None, daymonth=None, month=None, dayweek=None, identifier=None, test=False):
    """Does what cron.rm_job does. Returns "removed" or "absent".

    CLI Example: salt '*' cron.rm root /usr/local/weekly"""
    return rm_job(user, cmd, minute, hour, daymonth, month, dayweek, identifier, test)


def rm_special(user, cmd, special=None, identifier=None, test=False):
    """Remove an entry like @daily of a user's crontab. Returns "removed" or "absent".

    CLI Example: salt '*' cron.rm_special root /usr/bin/foo"""
    return _remove(user, "special", cmd, identifier, {"spec": special}, test)


def set_env(user, name, value=None, test=False):
    """Set a variable of a user's crontab. Returns "new", "updated" or "present".

    CLI Example: salt '*' cron.set_env root MAILTO user@example.org"""
    _one_line(name=name, value=value)
    if not re.fullmatch(r"[^\s=#@]+", str(name)):
        raise SaltInvocationError(f"{name!r} is no name of a variable")
    tab = list_tab(user)
    found = next((env for env in tab["env"] if env["name"] == name), None)
    if found and found["value"] == value:
        return "present"
    tab["env"] = [env for env in tab["env"] if env is not found] + [{"name": name, "value": value}]
    return _install(user, tab, "updated" if found else "new", test)


def set_job(
    user, minute, hour, daymonth, month, dayweek, cmd, commented=False, comment=None, identifier=None, test=False
):
    """Add an entry to a user's crontab, or change the one with this identifier, else with this command. Returns "new",
    "updated" or "present". Times are cron's, `random`, or two numbers with a colon of which one between is chosen;
    commented=True: it is there but does not run. test=True says what would be done.

    CLI Example: salt '*' cron.set_job root 0 3 '*' '*' 1 /usr/local/weekly identifier=weekly"""
    _one_line(cmd=cmd, identifier=identifier)
    values = (str(value).lower() for value in (minute, hour, daymonth, month, dayweek))
    when = dict(zip(TIMES, values, strict=True))
    _times(when)  # or it is refused before anything is read
    wanted = {"cmd": str(cmd), "commented": _true(commented), "comment": comment, "identifier": identifier}
    return _set(user, wanted, when, test)


def set_special(user, special, cmd, commented=False, comment=None, identifier=None, test=False):
    """Add an entry like @hourly to a user's crontab, or change the one that is meant. Returns "new", "updated" or
    "present".

    CLI Example: salt '*' cron.set_special root @hourly 'echo foobar'"""
    _one_line(cmd=cmd, identifier=identifier)
    if not re.fullmatch(r"@[a-z]+", str(special)):
        raise SaltInvocationError(f"{special!r} is not what cron knows: @reboot, @daily, @hourly …")
    wanted = {"cmd": str(cmd), "commented": _true(commented), "comment": comment, "identifier": identifier}
    return _set(user, wanted, {"spec": str(special)}, test)


def write_cron_file(user, path, test=False):
    """Let a file be a user's crontab. Returns whether crontab takes it.

    CLI Example: salt '*' cron.write_cron_file root /tmp/new_cron"""
    return write_cron_file_verbose(user, path)["retcode"] == 0 if not _true(test) else _would_write(user, path)


def write_cron_file_verbose(user, path, test=False):
    """Let a file be a user's crontab. Returns what crontab says, {"retcode", "stdout", "stderr"}.

    CLI Example: salt '*' cron.write_cron_file_verbose root /tmp/new_cron"""
    if _true(test):
        return _would_write(user, path)
    try:
        with open(str(path), encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except OSError as error:
        raise CommandExecutionError(f"{path} cannot be read: {error.strerror}") from None
    code, out, err = _crontab(user, "-", stdin=text)
    __context__["retcode"] = code
    return {"retcode": code, "stdout": out.strip(), "stderr": err.strip()}


def _would_write(user: Any, path: Any) -> str:
    return f"Would let {path} be the crontab of {user}. Nothing was changed."
