"""File systems and block devices: how full they are, and what they are. For Linux; `df` and `blkid` are asked."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    import subprocess

__salt__: Mapping[str, Any]

COMMAND_SECONDS = 60  # df waits for a file server that is away
SEARCHED = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
FLAGS = "aBhHiklPtTxv"  # of df
# FILE SYSTEM  SIZE  USED  AVAILABLE  CAPACITY  PLACE; the first and the last may hold blanks
ROW = re.compile(
    r"(?P<filesystem>\S.*?)\s+(?P<size>{0})\s+(?P<used>{0})\s+(?P<free>{0})\s+(?P<part>\d+%|-)\s+(?P<place>/.*)".format(
        r"-?[\d.]+[KMGTPEZY]?|-"
    )
)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    """A command's output. Raises CommandExecutionError if it is not installed or does not end."""
    import subprocess

    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            env={**os.environ, "LC_ALL": "C", "PATH": SEARCHED},
        )
    except (FileNotFoundError, PermissionError):  # the latter, too, where PATH names what this user may not see
        raise CommandExecutionError(f"{command[0]} is not installed on this machine.") from None
    except subprocess.TimeoutExpired:
        what = f"{command[0]} has not answered for {COMMAND_SECONDS} seconds"
        raise CommandExecutionError(f"{what}: a file server may be away.") from None
    except OSError as error:
        raise CommandExecutionError(f"{command[0]} could not be run: {error}") from None


def _rows(caller: str, args: Any, *options: str) -> list[dict[str, str]]:
    """The rows of df, as maps; `args` are more of its flags, a text or a list of letters."""
    flags = "".join(map(str, args)) if args else ""
    if set(flags) - set(FLAGS):
        raise CommandExecutionError(f"Invalid flag passed to {caller}")
    done = _run("df", *options, *([f"-{flags}"] if flags else []))
    found = [match.groupdict() for line in done.stdout.split("\n") if (match := ROW.fullmatch(line.rstrip()))]
    if not found and done.returncode:
        raise CommandExecutionError(f"df failed: {done.stderr.strip()}")
    return found


def usage(args=None):
    """How full the mounted file systems are.

    args: more flags for df, `l` for local ones only, say.

    Returns {place: {"filesystem", "1K-blocks", "used", "available", "capacity"}}, all texts; capacity with a %.

    CLI Example:
        salt '*' disk.usage
        salt '*' disk.usage l"""
    names = {"filesystem": "filesystem", "1K-blocks": "size", "used": "used", "available": "free", "capacity": "part"}
    rows = _rows("disk.usage", args, "-P")
    return {row["place"]: {name: row[group] for name, group in names.items()} for row in rows}


def inodeusage(args=None):
    """How many inodes of the mounted file systems are used.

    args: more flags for df, `l` for local ones only, say.

    Returns {place: {"filesystem", "inodes", "used", "free", "use"}}, all texts; use with a %, or -.

    CLI Example: salt '*' disk.inodeusage"""
    names = {"inodes": "size", "used": "used", "free": "free", "use": "part", "filesystem": "filesystem"}
    rows = _rows("disk.inodeusage", args, "-iP")
    return {row["place"]: {name: row[group] for name, group in names.items()} for row in rows}


def percent(args=None):
    """How full the mounted file systems are, in per cent.

    args: the place of one of them; without, all.

    Returns {place: "12%"}, or the text of the one; an empty map if nothing is mounted there.

    CLI Example:
        salt '*' disk.percent
        salt '*' disk.percent /var"""
    found = {row["place"]: row["part"] for row in _rows("disk.percent", None, "-P")}
    return found.get(str(args), {}) if args else found


def blkid(device=None, token=None):
    """What is on block devices: UUID, LABEL, TYPE and so on.

    device: one of them; without, all.
    token: only what has it, 'TYPE=ext4' say.

    Returns {device: {name: text}}, an empty map if there is none.

    CLI Example:
        salt '*' disk.blkid
        salt '*' disk.blkid /dev/sda
        salt '*' disk.blkid token='TYPE=ext4'"""
    done = _run("blkid", *(["--", str(device)] if device else ["-t", str(token)] if token else []))
    found = {}
    for line in done.stdout.splitlines() if not done.returncode else ():
        name, _, rest = line.partition(": ")
        found[name] = dict(re.findall(r'([^\s="]+)="([^"]*)"', rest))
    return found


def fstype(device):
    """The type of the file system on a device, or of the one that a path is on.

    device: its path.

    Returns text, "" if it has none.

    CLI Example: salt '*' disk.fstype /dev/sda1"""
    if shutil.which("lsblk", path=SEARCHED):
        lines = _run("lsblk", "-n", "-o", "FSTYPE", "--", str(device)).stdout.splitlines()
        if lines and lines[0].strip():
            return lines[0].strip()
    lines = _run("df", "--output=fstype", "--", str(device)).stdout.splitlines()
    return lines[1].strip() if len(lines) > 1 else ""


def get_fstype_from_path(path):
    """The type of the file system that a path is on.

    path: a file or a directory; what is not there yet counts as what is above it.

    Returns text.

    CLI Example: salt '*' disk.get_fstype_from_path /root"""
    path = os.path.realpath(str(path))
    while not os.path.exists(path):
        path = os.path.dirname(path)
    lines = _run("df", "--output=fstype", "--", path).stdout.splitlines()
    return lines[1].strip() if len(lines) > 1 else ""
