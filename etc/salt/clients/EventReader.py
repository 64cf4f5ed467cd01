"""Events as they come: what the master writes into events.jsonl."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saltlite import from_json


class EventReader:
    """What watchers/events.py writes, read as it comes, across rotations; `everything`: what is there already, too."""

    def __init__(self, path: Path, everything: bool = False) -> None:
        self._path, self._rest = path, b""
        self._file = self._open()
        if self._file and not everything:
            self._file.seek(0, os.SEEK_END)

    def _open(self) -> io.FileIO | None:
        try:
            return open(self._path, "rb", buffering=0)
        except FileNotFoundError:
            return None

    def read(self) -> list[dict[str, Any]]:
        """The events that have come since the last call, {"tag", "time", "data"}; lines that are none are left out."""
        found = self._lines()
        if self._rotated():
            found += self._lines()  # of what was written to the old file until it was rotated
            if self._file:
                self._file.close()
            self._file, self._rest = self._open(), b""
            found += self._lines()
        return found

    def follow(self) -> Iterator[dict[str, Any]]:
        """The events as they come, for ever."""
        while True:
            yield from self.read()
            time.sleep(0.1)

    def _rotated(self) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        return not self._file or not os.path.samestat(there, os.fstat(self._file.fileno()))

    def _lines(self) -> list[dict[str, Any]]:
        found = []
        while self._file and (chunk := self._file.read(1 << 20)):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError):
                    event = from_json(line)
                    if isinstance(event, dict) and isinstance(event.get("tag"), str):
                        found.append(event)
        return found
