"""What a `cp` has laid down in CACHE/offers goes with it; what one that was killed has left goes after a day."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saltlite import Master, names

KEPT = 86400.0  # seconds since something was last put into the directory of a transfer
EVERY = 3600.0  # seconds between two looks
AT_ONCE = 200  # files that are removed in one step of the loop


class Watcher:
    """Looks once an hour; nothing follows from an event."""

    def __init__(self, master: Master) -> None:
        self.loop, self.offers = master.loop, master.tree.cache / "offers"
        self._under_way: Iterator[None] = iter(())
        self.loop.every("offers", EVERY, self.look)

    def reload(self) -> None:
        """No option says anything about it."""

    def told(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        """Nothing follows from an event."""

    def stop(self) -> None:
        """What is not removed yet is removed the next time."""

    def look(self) -> None:
        """Remove what is old, in steps."""
        now = time.time()
        old = []
        for name in names(self.offers):
            with contextlib.suppress(OSError):
                if os.lstat(self.offers / name).st_mtime < now - KEPT:
                    old.append(self.offers / name)
        self._under_way = self._removed(old)
        self._step()

    def _step(self) -> None:
        for _ in range(AT_ONCE):
            if next(self._under_way, self) is self:
                return
        self.loop.at("offers go", 0, self._step)

    def _removed(self, paths: list[Path]) -> Iterator[None]:
        """Remove directories with what is in them; a step for each file."""
        for top in paths:
            for directory, inner, files in os.walk(top, topdown=False):
                for name in files:
                    with contextlib.suppress(OSError):
                        os.unlink(os.path.join(directory, name))
                    yield None
                for name in inner:
                    with contextlib.suppress(OSError):
                        os.rmdir(os.path.join(directory, name))
            with contextlib.suppress(OSError):
                top.rmdir()
