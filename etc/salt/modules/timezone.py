"""The time zone of this machine: the link /etc/localtime, which every Linux system reads, and the files beside it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

__salt__: Mapping[str, Any]

ZONES = "/usr/share/zoneinfo"
LOCALTIME = "/etc/localtime"
NAMES = "/etc/timezone"  # of Debian's family, with the name alone
CLOCK = "/etc/sysconfig/clock"  # of old Red Hat and SUSE systems: ZONE= or TIMEZONE=
ADJTIME = "/etc/adjtime"  # its third line: UTC or LOCAL
RTC = "/dev/rtc"
ADJTIME_HEAD = ["0.0 0 0.0", "0"]
ZONE_MARK = b"TZif"  # how a file of a time zone begins
COMMAND_SECONDS = 30
SEARCHED = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


def _zone_file(timezone: Any) -> Path:
    """The file of a zone. Raises CommandExecutionError if there is none."""
    path = Path(ZONES, str(timezone))
    try:
        inside = ".." not in path.parts and path.is_relative_to(ZONES)
        if inside and path.open("rb").read(len(ZONE_MARK)) == ZONE_MARK:
            return path
    except (OSError, ValueError):
        pass
    raise CommandExecutionError(f"Zone does not exist: {path}")


def _named(path: str) -> str:
    """The zone that a file names; "" if it names none."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    if path == NAMES:
        return text.strip()
    found = re.search(r'^\s*(?:TIME)?ZONE\s*=\s*["\']?([^"\'\s]+)', text, re.MULTILINE)
    return found[1] if found else ""


def get_zone():
    """The time zone: where /etc/localtime points to or, if it is a copy, the zone that it is a copy of.

    Returns text, "America/Denver"; "UTC" where there is no such file.

    CLI Example: salt '*' timezone.get_zone"""
    try:
        target = os.path.normpath(os.path.join("/etc", os.readlink(LOCALTIME)))
    except FileNotFoundError:
        return _named(NAMES) or _named(CLOCK) or "UTC"
    except OSError:
        return _copied_zone(Path(LOCALTIME).read_bytes())
    _, inside, name = target.partition("/zoneinfo/")
    if not inside:
        raise CommandExecutionError(f"{LOCALTIME} points to {target}, which is no time zone of {ZONES}.")
    return re.sub(r"^(posix|right)/", "", name)


def _copied_zone(data: bytes) -> str:
    """The zone with these bytes: that which a file names, if it has them, else the first."""
    names = [name for name in (_named(NAMES), _named(CLOCK)) if name]
    names += sorted(str(path.relative_to(ZONES)) for path in Path(ZONES).rglob("*") if path.is_file())
    for name in names:
        path = Path(ZONES, name)
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return name
    raise CommandExecutionError("Unable to determine timezone")


def get_zonecode():
    """The abbreviation of the time zone.

    Returns text, "MST".

    CLI Example: salt '*' timezone.get_zonecode"""
    time.tzset()
    return time.strftime("%Z")


def get_offset():
    """How far the clock is from UTC.

    Returns text, "-0700".

    CLI Example: salt '*' timezone.get_offset"""
    time.tzset()
    return time.strftime("%z")


def zone_compare(timezone):
    """Whether this is the time zone of this machine.

    timezone: America/Denver.

    Returns True or False.

    CLI Example: salt '*' timezone.zone_compare America/Denver"""
    try:
        return get_zone() == timezone
    except CommandExecutionError:
        pass
    try:
        return _zone_file(timezone).read_bytes() == Path(LOCALTIME).read_bytes()
    except CommandExecutionError:
        raise SaltInvocationError(f'Can\'t find a local timezone "{timezone}"') from None
    except OSError as error:
        raise CommandExecutionError(f"{error.filename} cannot be read: {error.strerror}") from None


def set_zone(timezone, test=False):
    """Set the time zone: the link /etc/localtime, and /etc/timezone or /etc/sysconfig/clock where they are in use.

    Programs that run keep the old one until they start anew.

    timezone: America/Denver.
    test: say only what would be done.

    Returns True; with test=True a sentence.

    CLI Example: salt '*' timezone.set_zone America/Denver"""
    target = _zone_file(timezone)
    if test:
        return f"{LOCALTIME} would point to {target}."
    try:
        with tempfile.TemporaryDirectory(prefix=".localtime.", dir=os.path.dirname(LOCALTIME)) as directory:
            os.symlink(target, f"{directory}/link")
            os.rename(f"{directory}/link", LOCALTIME)
    except OSError as error:
        raise CommandExecutionError(f"{LOCALTIME} cannot be changed: {error.strerror}") from None
    if os.path.exists(NAMES) or os.path.exists("/etc/debian_version"):
        _write(NAMES, [timezone])
    if os.path.exists(CLOCK):
        text = Path(CLOCK).read_bytes().decode("utf-8", "surrogateescape")
        text = re.sub(r"^((?:TIME)?ZONE)=.*$", rf'\1="{timezone}"', text, flags=re.MULTILINE)
        _write(CLOCK, [text.removesuffix("\n")])
    return True


def get_hwclock():
    """Whether the hardware clock runs in UTC or in local time.

    Returns "UTC" or "localtime".

    CLI Example: salt '*' timezone.get_hwclock"""
    try:
        lines = Path(ADJTIME).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    return "localtime" if lines[2:3] and lines[2].strip() == "LOCAL" else "UTC"


def set_hwclock(clock, test=False):
    """Let the hardware clock run in UTC or in local time, and set it.

    clock: UTC or localtime.
    test: say only what would be done.

    Returns True; with test=True a sentence.

    CLI Example: salt '*' timezone.set_hwclock UTC"""
    kind = {"utc": "UTC", "localtime": "LOCAL", "local": "LOCAL"}.get(str(clock).lower())
    if not kind:
        raise SaltInvocationError(f"clock: {clock!r} must be UTC or localtime.")
    if test:
        return f"The hardware clock would run in {'UTC' if kind == 'UTC' else 'local time'}."
    path = Path(ADJTIME)
    lines = path.read_text(encoding="ascii", errors="replace").splitlines() if path.exists() else []
    _write(ADJTIME, [*(lines + ADJTIME_HEAD[len(lines) :])[:2], kind])
    import subprocess

    program = shutil.which("hwclock", path=SEARCHED)
    if program and os.path.exists(RTC):
        option = "--utc" if kind == "UTC" else "--localtime"
        try:
            subprocess.run([program, "--systohc", option], capture_output=True, check=True, timeout=COMMAND_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            raise CommandExecutionError(f"The hardware clock could not be set: {error}") from None
    return True


def _write(name: str, lines: list[str]) -> None:
    try:
        __salt__["file.write"](name, args=lines)
    except CommandExecutionError as error:
        why = str(error).removeprefix(f"{name}: ")
        raise CommandExecutionError(f"{name} cannot be written: {why}") from None
