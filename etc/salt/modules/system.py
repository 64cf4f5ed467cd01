"""The machine as a whole: its end and its new start, its clock, its description. For Linux.

What ends the machine answers first, and acts a moment later, so that the answer arrives."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

if TYPE_CHECKING:
    import subprocess

__salt__: Mapping[str, Any]

ACT_SECONDS = 3  # between the answer and the act
COMMAND_SECONDS = 30
SEARCHED = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
LATER = "import os, sys, time; time.sleep(float(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"
TIMES = ("%I:%M:%S %p", "%I:%M %p", "%H:%M:%S", "%H:%M")
DATES = ("%Y-%m-%d", "%m-%d-%Y", "%m-%d-%y", "%m/%d/%Y", "%m/%d/%y", "%Y/%m/%d")
MACHINE_INFO = "/etc/machine-info"
PRETTY = re.compile(r"^\s*PRETTY_HOSTNAME=(.*)$", re.MULTILINE)


def _program(name: str) -> str:
    """The path of a program. Raises CommandExecutionError if it is not installed."""
    found = shutil.which(name, path=SEARCHED)
    if not found:
        raise CommandExecutionError(f"{name} is not installed on this machine.")
    return found


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    import subprocess

    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
    try:
        return subprocess.run([_program(command[0]), *command[1:]], timeout=COMMAND_SECONDS, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandExecutionError(f"{command[0]} could not be run: {error}") from None


def _soon(test: Any, *command: str) -> str:
    """Run a command a moment after this function has answered; gives a sentence that says so."""
    import subprocess

    program = _program(command[0])
    if test:
        return f"This would run: {' '.join(command)}"
    if os.geteuid() != 0:
        raise CommandExecutionError(f"Only root may run: {' '.join(command)}")
    subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", LATER, str(ACT_SECONDS), program, *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # the end of this job is not its end
        cwd="/",
    )
    return f"This runs in {ACT_SECONDS} seconds: {' '.join(command)}"


def _shut_down(flag: str, at_time: Any, test: Any) -> str:
    """`shutdown` now, which is soon, or at a time."""
    if at_time in (None, "", "now"):
        return _soon(test, "shutdown", flag, "now")
    when = str(at_time)
    if not re.fullmatch(r"\+?\d+|\d\d?:\d\d", when):
        raise SaltInvocationError(f"at_time: {at_time!r} must be minutes, hh:mm or now.")
    if test:
        return _soon(test, "shutdown", flag, when)
    done = _run("shutdown", flag, when)
    if done.returncode:
        raise CommandExecutionError(f"shutdown failed: {done.stderr.strip()}")
    return (done.stdout + done.stderr).strip()


def halt(test=False):
    """Halt this machine, three seconds after the answer.

    test: say only what would be run.

    Returns a sentence.

    CLI Example: salt '*' system.halt"""
    return _soon(test, "halt")


def init(runlevel, test=False):
    """Change the runlevel, three seconds after the answer.

    runlevel: a digit, or s.
    test: say only what would be run.

    Returns a sentence.

    CLI Example: salt '*' system.init 3"""
    if not re.fullmatch(r"[0-9sSaAbBcCqQ]", str(runlevel)):
        raise SaltInvocationError(f"runlevel: {runlevel!r} must be a digit or s.")
    return _soon(test, "init", str(runlevel))


def poweroff(test=False):
    """Switch this machine off, three seconds after the answer.

    test: say only what would be run.

    Returns a sentence.

    CLI Example: salt '*' system.poweroff"""
    return _soon(test, "poweroff")


def reboot(at_time=None, test=False):
    """Start this machine anew: three seconds after the answer, or at a time.

    at_time: minutes from now, or hh:mm.
    test: say only what would be run.

    Returns a sentence, or what `shutdown` prints.

    CLI Example:
        salt '*' system.reboot
        salt '*' system.reboot 5"""
    return _shut_down("-r", at_time, test)


def shutdown(at_time=None, test=False):
    """Shut this machine down: three seconds after the answer, or at a time.

    at_time: minutes from now, or hh:mm.
    test: say only what would be run.

    Returns a sentence, or what `shutdown` prints.

    CLI Example:
        salt '*' system.shutdown
        salt '*' system.shutdown 5"""
    return _shut_down("-h", at_time, test)


# the clock


def _now(utc_offset: Any) -> datetime.datetime:
    """The time here, or that far from UTC, `+0500`."""
    if utc_offset is None:
        return datetime.datetime.now()
    found = re.fullmatch(r"([+-]?)(\d\d)(\d\d)", str(utc_offset))
    if not found or int(found[2]) > 23 or int(found[3]) > 59:
        raise SaltInvocationError("Invalid UTC offset")
    ahead = datetime.timedelta(hours=int(found[2]), minutes=int(found[3]))
    return datetime.datetime.now(datetime.timezone(-ahead if found[1] == "-" else ahead))


def _parsed(text: Any, formats: tuple[str, ...]) -> datetime.datetime | None:
    for each in formats:
        with contextlib.suppress(ValueError):
            return datetime.datetime.strptime(str(text), each)
    return None


def get_system_time(utc_offset=None):
    """The time of this machine.

    utc_offset: not here but so far from UTC: "'+0500'".

    Returns text, "08:05:00 PM".

    CLI Example: salt '*' system.get_system_time"""
    return _now(utc_offset).strftime("%I:%M:%S %p")


def get_system_date(utc_offset=None):
    """The date of this machine.

    utc_offset: not here but so far from UTC: "'+0500'".

    Returns text, "Tue 05/12/2015".

    CLI Example: salt '*' system.get_system_date"""
    return _now(utc_offset).strftime("%a %m/%d/%Y")


def get_system_date_time(utc_offset=None):
    """The date and the time of this machine.

    utc_offset: not here but so far from UTC: "'+0500'".

    Returns text, "2015-05-12 11:37:53".

    CLI Example: salt '*' system.get_system_date_time "'-0500'\""""
    return _now(utc_offset).strftime("%Y-%m-%d %H:%M:%S")


def set_system_time(newtime, utc_offset=None, test=False):
    """Set the time of this machine; the date stays.

    newtime: HH:MM or HH:MM:SS, also with AM or PM behind it.
    utc_offset: it is meant so far from UTC: "'+0500'".
    test: say only what would be set.

    Returns True, or False for what is no time; with test=True a sentence.

    CLI Example: salt '*' system.set_system_time "'11:20'\""""
    found = _parsed(newtime, TIMES)
    if found is None:
        return False
    parts = {"hours": found.hour, "minutes": found.minute, "seconds": found.second}
    return set_system_date_time(**parts, utc_offset=utc_offset, test=test)


def set_system_date(newdate, utc_offset=None, test=False):
    """Set the date of this machine; the time stays.

    newdate: YYYY-MM-DD, MM-DD-YYYY, MM-DD-YY, or the same with slashes.
    utc_offset: it is meant so far from UTC: "'+0500'".
    test: say only what would be set.

    Returns True; with test=True a sentence.

    CLI Example: salt '*' system.set_system_date '03-28-13'"""
    found = _parsed(newdate, DATES)
    if found is None:
        raise SaltInvocationError("Invalid date format")
    parts = {"years": found.year, "months": found.month, "days": found.day}
    return set_system_date_time(**parts, utc_offset=utc_offset, test=test)


def set_system_date_time(
    years=None, months=None, days=None, hours=None, minutes=None, seconds=None, utc_offset=None, test=False
):
    """Set the date and the time of this machine, and its hardware clock where it has one.

    years, months, days, hours, minutes, seconds: what is not given stays.
    utc_offset: they are meant so far from UTC: "'+0500'".
    test: say only what would be set.

    Returns True; with test=True a sentence.

    CLI Example: salt '*' system.set_system_date_time 2015 5 12 11 37 53 "'-0500'\""""
    now = _now(utc_offset)
    given = {"year": years, "month": months, "day": days, "hour": hours, "minute": minutes, "second": seconds}
    try:
        parts: dict[str, Any] = {name: int(part) for name, part in given.items() if part is not None}
        wanted = now.replace(microsecond=0, **parts)
    except (ValueError, TypeError) as error:
        raise SaltInvocationError(f"This is no date and time: {error}") from None
    if test:
        return f"The clock would be set to {wanted.isoformat(' ')}."
    try:
        time.clock_settime(time.CLOCK_REALTIME, wanted.timestamp())
    except OSError as error:
        raise CommandExecutionError(f"The clock cannot be set: {error.strerror}") from None
    if has_settable_hwclock():
        _run("hwclock", "--systohc")
    return True


def has_settable_hwclock():
    """Whether this machine has a hardware clock that can be set.

    Returns True or False.

    CLI Example: salt '*' system.has_settable_hwclock"""
    if not shutil.which("hwclock", path=SEARCHED):
        return False
    return _run("hwclock", "--test", "--systohc").returncode == 0


# what it is called


def get_computer_name():
    """The name of this machine.

    Returns text.

    CLI Example: salt '*' system.get_computer_name"""
    return socket.gethostname()


def set_computer_name(hostname, test=False):
    """Give this machine another name, as network.mod_hostname does.

    Returns True; with test=True a sentence.

    CLI Example: salt '*' system.set_computer_name web1.example.com"""
    return __salt__["network.mod_hostname"](hostname, test=test)


def get_computer_desc():
    """The description of this machine: PRETTY_HOSTNAME in /etc/machine-info.

    Returns text, or False if there is none.

    CLI Example: salt '*' system.get_computer_desc"""
    try:
        found = PRETTY.findall(Path(MACHINE_INFO).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return False
    if not found:
        return False
    text = found[-1].strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    named = {"n": "\n", "t": "\t"}
    return re.sub(r'\\([\\"nt$`])', lambda match: named.get(match[1], match[1]), text)


def set_computer_desc(desc, test=False):
    """Set the description of this machine: PRETTY_HOSTNAME in /etc/machine-info, which is made if it is not there.

    desc: the text.
    test: say only what would be written.

    Returns True; False if the file cannot be written; with test=True a sentence.

    CLI Example: salt '*' system.set_computer_desc "Michael's laptop\""""
    text = re.sub(r'([\\"$`])', r"\\\1", str(desc)).replace("\n", r"\n").replace("\t", r"\t")
    line = f'PRETTY_HOSTNAME="{text}"'
    path = Path(MACHINE_INFO)
    try:
        old = path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
        lines = [each for each in old.removesuffix("\n").split("\n") if each and not PRETTY.match(each)]
        if test:
            return f"{path} would have the line: {line}"
        __salt__["file.write"](str(path), args=[*lines, line])
    except (OSError, CommandExecutionError):
        return False
    return True
