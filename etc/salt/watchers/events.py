"""CACHE/events.jsonl: every event, one JSON object a line: {"tag", "time": seconds since the epoch, "data"}.

Events are told, not kept safe: what cannot be written is said in the log, and lost."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from saltlite import Master, append, log, to_json


def write(path: Path, events: list[tuple[str, dict[str, Any]]], now: float, most: int) -> None:
    """Append events. From `most` bytes on the file is renamed to events.jsonl.1, and the next begin another."""
    text = "".join(to_json({"tag": tag, "time": now, "data": data}) + "\n" for tag, data in events)
    try:
        if text and append(path, text, sync=False, create=True) + len(text) > most:  # JSON is ASCII
            os.rename(path, path.with_name("events.jsonl.1"))
    except OSError as error:
        log.warning("events cannot be written: %s", error)


class Watcher:
    """Writes them as they come."""

    def __init__(self, master: Master) -> None:
        self.master, self.path = master, master.tree.cache / "events.jsonl"

    def told(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        write(self.path, events, time.time(), self.master.opts["max_event_size"])

    def reload(self) -> None:
        pass

    def stop(self) -> None:
        pass
