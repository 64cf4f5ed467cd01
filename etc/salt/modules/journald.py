"""The end of systemd's journal, as text or as maps. This module is saltlite's own; Salt has a beacon of this name."""

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

MOST_LINES = 10_000  # of one call
FIELDS = {  # what a record has here -> its name in the journal
    "time": "__REALTIME_TIMESTAMP",
    "unit": "_SYSTEMD_UNIT",
    "identifier": "SYSLOG_IDENTIFIER",
    "pid": "_PID",
    "priority": "PRIORITY",
    "message": "MESSAGE",
}
PRIORITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


def _argv(lines: Any, unit: Any, since: Any, until: Any, priority: Any, grep: Any, boot: Any, more: Mapping[str, Any]):
    """The words of journalctl."""
    if not re.fullmatch(r"\d+", str(lines)) or not 1 <= int(lines) <= MOST_LINES:
        raise SaltInvocationError(f"lines must be a number from 1 to {MOST_LINES}, not {lines}")
    if priority is not None and str(priority) not in (*PRIORITIES, *map(str, range(len(PRIORITIES)))):
        raise SaltInvocationError(f"priority must be a number from 0 to 7 or one of {', '.join(PRIORITIES)}")
    argv = ["journalctl", "--no-pager", "--quiet", f"--lines={int(lines)}"]
    units = unit if isinstance(unit, list) else [] if unit is None else str(unit).split(",")
    argv += [f"--unit={each}" for each in units]
    given = {"since": since, "until": until, "priority": priority, "grep": grep, **more}
    argv += [f"--{name}={value}" for name, value in given.items() if value is not None]
    return argv + ([] if boot in (None, False) else ["--boot" if boot is True else f"--boot={int(boot)}"])


def _run(argv: list[str]) -> str:
    """What journalctl prints; "" if it found nothing."""
    import subprocess

    env = {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, env=env, check=False)
    except OSError as error:
        raise CommandExecutionError(f"journalctl cannot be run: {error.strerror}") from None
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode and said:
        raise CommandExecutionError(said)
    return done.stdout.decode(errors="replace")


def tail(
    unit=None, lines=20, since=None, until=None, priority=None, grep=None, boot=None, directory=None, output="short-iso"
):
    """Returns the last lines of the journal, as text.

    unit: of this unit, or of several with commas; since, until: as journalctl knows them, `-1h`, `2026-11-26 12:00`;
    priority: as important as this, `err`, or more; grep: with this in the message; boot=True: since the last start;
    output: as journalctl knows it.

    CLI Example:
        salt '*' journald.tail nginx lines=50
        salt '*' journald.tail since=-1h priority=err"""
    if not re.fullmatch(r"[a-z-]+", str(output)):
        raise SaltInvocationError(f"{output!r} is no way in which journalctl prints")
    more = {"directory": directory, "output": output}
    return _run(_argv(lines, unit, since, until, priority, grep, boot, more)).rstrip("\n")


def records(
    unit=None, lines=20, since=None, until=None, priority=None, grep=None, boot=None, directory=None, fields=None
):
    """Returns the last records of the journal. Each is {"time" (UTC, ISO 8601), "unit", "identifier", "pid",
    "priority", "message"}, with those of `fields` besides, under the names that the journal has for them. The arguments
    are journald.tail's.

    CLI Example: salt '*' journald.records sshd lines=5 fields=_UID,_HOSTNAME"""
    import datetime
    import json

    more = {"directory": directory, "output": "json"}
    besides = fields.split(",") if isinstance(fields, str) else fields or []
    found = []
    for line in _run(_argv(lines, unit, since, until, priority, grep, boot, more)).splitlines():
        record = json.loads(line)
        made = {key: _text(record.get(name)) for key, name in FIELDS.items()}
        moment = datetime.datetime.fromtimestamp(int(made["time"] or 0) / 1e6, datetime.timezone.utc)
        found.append(made | {"time": moment.isoformat()} | {key: _text(record.get(key)) for key in besides})
    return found


def _text(value: Any) -> Any:
    """A field: text; one that is not text stands in JSON as a list of bytes."""
    if isinstance(value, list) and all(isinstance(each, int) for each in value):
        return bytes(value).decode(errors="replace")
    return value


def disk_usage(directory=None):
    """Returns the bytes that the journal takes.

    CLI Example: salt '*' journald.disk_usage"""
    said = _run(["journalctl", "--no-pager", "--disk-usage", *([f"--directory={directory}"] if directory else [])])
    found = re.search(r"take up ([\d.]+)([BKMGT])", said)
    if not found:
        raise CommandExecutionError(f"journalctl does not say how much it takes: {said.strip()}")
    return int(float(found[1]) * 1024 ** "BKMGT".index(found[2]))
