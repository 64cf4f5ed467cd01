"""Grains that programs of a site's print: the executable files in <config>/grains.d, of whatever language.

One prints `key=value` lines, a text each, or one JSON object. They run side by side, with the minion's user, without
input, and all of them end within SECONDS; one that fails, prints something else or too much costs its own grains only,
and the log says so. A later name wins."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

from saltlite import log

__opts__: dict[str, Any]

SECONDS = 10.0  # for all of them together
MAX_OUTPUT = 65536  # bytes that one may print
MAX_FILES = 64  # executables that are run


def _unsafe(info: os.stat_result) -> bool:
    return info.st_uid not in (0, os.geteuid()) or bool(info.st_mode & stat.S_IWOTH)


def _programs(directory: Path) -> list[Path]:
    """The executables in the directory by name, but those that others could have written."""
    found = []
    try:
        if _unsafe(directory.stat()):
            log.error("%s is not read: others could put programs there; chown and `chmod o-w` it", directory)
            return []
        names = sorted(path for path in directory.iterdir() if path.name[0] != "." and path.name[-1] != "~")
    except FileNotFoundError:
        return []
    except OSError as error:
        log.error("%s cannot be read: %s", directory, error.strerror)
        return []
    for path in names:
        with contextlib.suppress(OSError):
            if not path.is_file() or not os.access(path, os.X_OK):
                continue
            if _unsafe(path.stat()):
                log.error("%s is not run: others could have written it; chown and `chmod o-w` it", path)
            else:
                found.append(path)
    if len(found) > MAX_FILES:
        log.error("%s holds %d programs; those behind the first %d are not run", directory, len(found), MAX_FILES)
    return found[:MAX_FILES]


def _said(programs: list[Path]) -> dict[Path, tuple[bytes, str]]:
    """What each has printed, and why that does not count; they run side by side until the time is over."""
    started: dict[Path, subprocess.Popen[bytes]] = {}
    why: dict[Path, str] = {}
    for path in programs:
        try:
            started[path] = subprocess.Popen(
                [path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                start_new_session=True, cwd=path.parent,
            )  # fmt: skip
        except OSError as error:
            why[path] = f"it cannot be run: {error.strerror}"
    output = dict.fromkeys(started, b"")
    deadline = time.monotonic() + SECONDS
    with selectors.DefaultSelector() as selector:
        for path, process in started.items():
            assert process.stdout
            selector.register(process.stdout, selectors.EVENT_READ, path)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                path, data = key.data, os.read(key.fd, 65536)
                output[path] += data
                if len(output[path]) > MAX_OUTPUT:
                    why[path] = f"it prints more than {MAX_OUTPUT} bytes"
                if not data or path in why:
                    selector.unregister(key.fileobj)
        why |= {key.data: f"it did not end within {SECONDS:g} s" for key in selector.get_map().values()}
    for path, process in started.items():
        _end(path, process, deadline, why)
    return {path: (output.get(path, b""), why.get(path, "")) for path in programs}


def _end(path: Path, process: subprocess.Popen[bytes], deadline: float, why: dict[Path, str]) -> None:
    """Wait for a program that has closed its output; end it, with all it has started, if it does not count."""
    assert process.stdout
    with contextlib.suppress(subprocess.TimeoutExpired):
        if path not in why:
            process.wait(max(deadline - time.monotonic(), 0.1))
    if process.poll() is None:
        why.setdefault(path, f"it did not end within {SECONDS:g} s")
    if path in why:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close()
    if code := process.wait():
        why.setdefault(path, f"it ended with exit code {code}" if code > 0 else f"signal {-code} ended it")


def _grains(output: bytes) -> dict[str, Any]:
    """What is printed, as grains; ValueError says what is wrong with it."""
    text = output.decode()  # UnicodeDecodeError is a ValueError
    if text.lstrip().startswith("{"):
        found = json.loads(text)
        return dict(found)
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition("=") for line in lines if line and line[0] != "#"]
    for key, equals, _ in pairs:
        if not equals or not key.strip():
            raise ValueError(f"{key[:80]!r} is neither `key=value` nor JSON")
    return {key.strip(): value.strip() for key, _, value in pairs}


def executables() -> dict[str, Any]:
    """The grains of all executables in <config>/grains.d."""
    grains: dict[str, Any] = {}
    programs = _programs(Path(__opts__.get("conf_dir") or "/nonexistent", "grains.d"))
    for path, (output, why) in _said(programs).items() if programs else ():
        try:
            if why:
                raise ValueError(why)
            grains |= _grains(output)
        except (ValueError, RecursionError) as error:
            log.error("the grains of %s are missing: %s", path, error)
    return grains
