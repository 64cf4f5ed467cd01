"""A master's large requests, opened where nobody has to wait for them; its large answers, sealed there, and the disk.

To open and to write down what one message of 32 MiB holds takes a second; a short one made of many small parts takes
as long. Nearly always it is a return, and of a return the loop needs little more than its line: so a process of its
own opens it and makes the line, and gives back the line with the small members of the load."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from saltlite import (
    MAX_TOLD,
    AuthError,
    Failure,
    PayloadError,
    Prepared,
    from_json,
    pack,
    packed_leaf,
    return_line,
    to_json,
    unpack,
)

process = packed_leaf("apart", "process")

MAX_APART = max(1, min(4, (os.cpu_count() or 2) - 1))  # processes at once; who comes later waits for one to end
MAX_SECONDS = 20.0  # of one
CHECKED = 4 << 20  # bytes of a box whose MAC is computed in one step
MAX_LINE = 64 << 20  # bytes of a return's line that are kept
MAX_OTHER = 4 << 20  # bytes of a request that is no return: events and mine have their bounds below it
MAX_OTHER_CONTAINERS = 10_000  # maps and lists in it, with five times as many members
KEPT = ("cmd", "id", "jid", "nonce", "tok", "ts")  # of a return's members, besides those that its line has
RUNNING: set[int] = set()
MAX_OPENED = 10_000  # boxes that are known, by their MACs: what somebody in the path repeats costs no process
OPENED: dict[bytes, None] = {}
SEALED_AT_ONCE = 2 << 20  # bytes of an answer; a larger one is sealed apart, which takes the loop 6 ms for each MiB
SEALING: set[int] = set()
MAX_SYNCING, MAX_SYNC_SECONDS = 8, 60.0  # processes at once that wait for the disk, and seconds of one
SYNCING: set[int] = set()


def opened(
    crypticle: Any, box: bytes, check: Callable[[dict[str, Any]], None], now: float
) -> Generator[float, None, Any]:
    """The load in a box; yields seconds to wait before the next step. AuthError, PayloadError, Failure.

    A return comes as Prepared, once `check(load)` has raised nothing; any other request as it is. A box that this
    key did not seal costs no process."""
    for _ in crypticle.verified(box, CHECKED):
        yield 0.0
    if (mac := box[-32:]) in OPENED:
        raise AuthError("it repeats itself")
    OPENED[mac] = None
    if len(OPENED) > MAX_OPENED:
        del OPENED[next(iter(OPENED))]
    found = yield from process.apart(lambda: prepared(crypticle.bare(box), check, now), MAX_SECONDS, RUNNING, MAX_APART)
    if not found:
        if len(box) > MAX_OTHER:
            raise PayloadError(f"a request of {len(box)} bytes that is no return")
        load = unpack(crypticle.bare(box), MAX_OTHER_CONTAINERS)
        yield 0.0
        return load
    end = found.find(b"\n") + 1
    load, line = from_json(found[:end])
    return Prepared(load, line, memoryview(found)[end:])


def prepared(data: bytes, check: Callable[[dict[str, Any]], None], now: float) -> bytes:
    """In the process apart: what the loop needs of a return, as JSON, and its line; nothing if it is no return."""
    load = unpack(data)
    if not isinstance(load, dict):
        raise PayloadError("a load that is no map")
    if load.get("cmd") != "_return" or "return" not in load:
        return b""
    if "jid" not in load:
        raise PayloadError("a return without jid")
    check(load)
    small = {name: value for name in KEPT if is_small(value := load.get(name))}
    arguments = load.get("fun_args", [])
    size = len(to_json(arguments))
    small["fun_args"] = arguments if size <= MAX_TOLD else [f"{size} bytes"]
    line = return_line(str(load.get("id")), load, now)
    text = to_json(line)
    if len(text) > MAX_LINE:
        why = f"not kept: what was returned takes {len(text)} bytes here, and {MAX_LINE} are kept"
        line |= {"return": why, "retcode": 1, "success": False}
        text = to_json(line)
    del line["return"]
    return to_json([small, line]).encode() + b"\n" + text.encode()


def sealed(peer: Any, load: dict[str, Any], result: Any, size: int) -> Generator[float, None, Any]:
    """The answer to a request, of `size` bytes: as it is, or where it is large a memoryview of it sealed. Failure.

    A minion that answers itself (file_client: local) has no nonce, and nothing is sealed."""
    if size <= SEALED_AT_ONCE or "nonce" not in load:
        return result
    box = process.apart(lambda: pack(peer.crypticle.dumps(result, load["nonce"])), MAX_SECONDS, SEALING, MAX_APART)
    return memoryview((yield from box))


def is_small(value: Any) -> bool:
    """Whether a member is what it should be: a short text, a number, nothing."""
    return len(value) <= 1024 if isinstance(value, str | bytes) else value is None or isinstance(value, int)


def synced(path: Path) -> Generator[float, None, None]:
    """Have the disk keep what was written to a file, and that it is there. OSError.

    The file is opened in the first step: its job may end, and its name be another, before the disk has it."""
    with contextlib.ExitStack() as stack:
        files = []
        for each, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
            files.append(fd := os.open(each, flags | os.O_NOFOLLOW | os.O_CLOEXEC))
            stack.callback(os.close, fd)

        def sync() -> bytes:
            for fd in files:
                os.fsync(fd)
            return b""

        try:
            yield from process.apart(sync, MAX_SYNC_SECONDS, SYNCING, MAX_SYNCING, files)
        except Failure as failure:
            raise OSError(errno.EIO, f"cannot be synced ({failure})", str(path)) from None
