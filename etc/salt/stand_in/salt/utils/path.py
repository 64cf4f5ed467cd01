"""Paths and programs, by the names of Salt 3008's salt.utils.path, as they are on Linux."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from salt.exceptions import CommandNotFoundError, SaltInvocationError
from saltlite import as_text

PROGRAMS = ["/sbin", "/bin", "/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]  # looked in behind PATH

HAS_WIN32FILE = False
islink, readlink = os.path.islink, os.readlink


def _runs(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def which(exe: str | None = None) -> str | None:
    """Where a program is, in PATH or where programs usually are; None if it is not there."""
    if not exe:
        return None
    if _runs(exe):
        return exe
    listed = os.environ.get("PATH", "").split(os.pathsep)
    places = [join(os.path.expandvars(place), exe) for place in [*listed, *PROGRAMS]]
    return next((path for path in places if _runs(path)), None)


def which_bin(exes: Any) -> str | None:
    """Where the first of these programs is that is there."""
    names = [exes] if isinstance(exes, str) else exes if isinstance(exes, Iterable) else []
    return next((path for path in map(which, names) if path), None)


def join(*parts: Any, use_posixpath: bool = False, **unknown: Any) -> str:
    """One path of several, of which each is relative to the one before, whatever it begins with."""
    if unknown := {name: value for name, value in unknown.items() if not name.startswith("__")}:
        words = ", ".join(f"{name}={value}" for name, value in unknown.items())
        raise SaltInvocationError(f"The following keyword arguments are not valid: {words}")
    first, *others = [os.path.normpath(as_text(part)) for part in parts] or [""]
    return os.path.normpath(os.path.join(first, *(part.lstrip("/") for part in others))) if parts else ""


def check_or_die(command: str | None) -> None:
    """CommandNotFoundError unless a program is there."""
    if command is None:
        raise CommandNotFoundError("'None' is not a valid command.")
    if not which(command):
        raise CommandNotFoundError(f"'{command}' is not in the path")


def sanitize_win_path(winpath: Any) -> Any:
    """A path without what Windows has in none."""
    return re.sub(r"[<>:|?*]", "_", winpath) if isinstance(winpath, str) else winpath


def safe_path(path: str, allow_path: Any = None) -> bool:
    """Whether a path of Windows is neither a drive nor its system, or is below one of `allow_path`."""
    allowed = [allow_path] if isinstance(allow_path, str) else allow_path or []
    root = re.escape(os.environ.get("SystemRoot", "C:\\Windows"))
    if not any(re.match(denied, path, re.IGNORECASE) for denied in (r"[a-z]\:\\$", r"\\$", root)):
        return True
    return any(re.match(re.escape(each), path, re.IGNORECASE) for each in allowed)


def os_walk(top: Any, *args: Any, **kwargs: Any) -> Iterator[tuple[str, list[str], list[str]]]:
    """os.walk, of which all is text."""
    yield from os.walk(os.fsdecode(top), *args, **kwargs)


def expand(path: str) -> str:
    """A path without ~, variables and links."""
    return os.path.realpath(os.path.expandvars(os.path.expanduser(path)))
