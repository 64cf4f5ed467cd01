"""What the process of a job tells of itself while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from saltlite import MAX_PROGRESS, SaltError


class Told:
    """What a job puts out, told to the master while it runs: whole lines, some times a second, up to MAX_PROGRESS."""

    SECONDS, BYTES = 0.25, 32768  # between two messages; in one

    def __init__(self, tell: Callable[[list[str]], Any]) -> None:
        self._tell, self._lines, self._rest, self._last = tell, list[str](), "", 0.0
        self._left = MAX_PROGRESS

    def __call__(self, text: str, end: bool = False) -> None:
        """Take some more of it. What goes wrong ends the telling, not the job, whose return has all of it anyway."""
        *lines, self._rest = (self._rest + text[: max(0, self._left)]).split("\n")
        self._lines += lines
        self._left -= len(text)
        if (end or len(self._rest) > self.BYTES) and self._rest:
            self._lines, self._rest = [*self._lines, self._rest], ""
        if not self._lines or not end and time.monotonic() < self._last + self.SECONDS:
            return
        told, self._lines = "\n".join(self._lines), []
        try:
            for start in range(0, max(1, len(told)), self.BYTES):
                self._tell(told[start : start + self.BYTES].split("\n"))
        except (SaltError, OSError):
            self._left = 0
        self._last = time.monotonic()
