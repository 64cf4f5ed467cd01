"""Jobs that wait for absent minions, as files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from saltlite import MAX_REQUEST, Job, from_json, make_directory, names, put, read, to_json

EXPIRED_AT_ONCE = 500  # waits that end at one look: each removes a file and writes a line


class Queue:
    """jobs/queued/ID/JID, {"jid", "fun", "until", "load"}: what an absent minion is to run when it comes back. Removing
    the file takes it back."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.waiting: dict[str, dict[str, dict[str, Any]]] = {}  # id -> jid -> what its file holds
        for minion_id in names(directory):
            for jid in names(directory / minion_id):
                with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                    found = from_json(read(directory / minion_id / jid, MAX_REQUEST))
                    self.waiting.setdefault(minion_id, {})[jid] = {
                        **found,
                        "until": float(found["until"]),
                        "load": dict(found["load"]),
                    }

    def add(self, minion_id: str, job: Job, now: float) -> dict[str, Any]:
        """Queue a job for a minion, and give the line that says so; raises OSError."""
        entry = {"jid": job.jid, "fun": job.header["fun"], "until": now + job.header["queue"], "load": job.load()}
        make_directory(self.directory / minion_id)
        put(self.directory / minion_id / job.jid, to_json(entry), sync=False)
        self.waiting.setdefault(minion_id, {})[job.jid] = entry
        return {"event": "queued", "id": minion_id, "until": entry["until"], "time": now}

    def loads(self, came: Iterable[str]) -> list[dict[str, Any]]:
        """What is to be published now that these have come: one load a job, to all of them that it waits for."""
        found: dict[str, dict[str, Any]] = {}
        for minion_id in came:
            for jid, entry in list(self.waiting.get(minion_id, {}).items()):
                if not (self.directory / minion_id / jid).exists():
                    self.done(minion_id, jid)  # somebody has taken it back
                    continue
                if entry["until"] < time.time():
                    continue  # `expire` has not come to it yet
                load = found.setdefault(jid, {**entry["load"], "tgt": [], "tgt_type": "list"})
                load["tgt"].append(minion_id)
        return list(found.values())

    def done(self, minion_id: str, jid: str) -> None:
        """It has returned, or waits no more."""
        if self.waiting.get(minion_id, {}).pop(jid, None):
            (self.directory / minion_id / jid).unlink(missing_ok=True)
            if not self.waiting[minion_id]:
                del self.waiting[minion_id]
                with contextlib.suppress(OSError):
                    (self.directory / minion_id).rmdir()

    def expire(self, now: float) -> list[tuple[str, str]]:
        """End the wait of those whose time is over, the others at the next look; gives pairs of id and jid."""
        waiting = ((m, jid, entry) for m, jobs in self.waiting.items() for jid, entry in jobs.items())
        over = [(minion_id, jid) for minion_id, jid, entry in waiting if entry["until"] < now]
        over = over[:EXPIRED_AT_ONCE]
        for minion_id, jid in over:
            self.done(minion_id, jid)
        return over
