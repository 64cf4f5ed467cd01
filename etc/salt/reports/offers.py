"""What a `cp` has laid down in CACHE/offers goes with it; what one that was killed has left goes after a day."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from saltlite import Master, names

KEPT = 86400.0  # seconds since something was last put into the directory of a transfer
EVERY = 3600.0  # seconds between two looks
AT_ONCE = 200  # files that are removed in one step of the loop


def old(offers: Path, now: float) -> Iterator[Path]:
    """The directories of transfers that nobody goes on with; what is a link is none."""
    for name in names(offers):
        with contextlib.suppress(OSError):
            info = os.lstat(offers / name)
            if stat.S_ISDIR(info.st_mode) and info.st_mtime < now - KEPT:
                yield offers / name


def remove(top: Path) -> Iterator[float]:
    """Remove a directory with what is in it, in steps."""
    count = 0
    for directory, inner, files in os.walk(top, topdown=False):
        for name in files:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(directory, name))
            count += 1
            if count % AT_ONCE == 0:
                yield 0.0
        for name in inner:
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(directory, name))
    with contextlib.suppress(OSError):
        top.rmdir()
    yield 0.0


def report(master: Master) -> Iterator[float]:
    """Once an hour."""
    while True:
        yield EVERY
        for directory in list(old(master.tree.cache / "offers", time.time())):
            yield from remove(directory)
