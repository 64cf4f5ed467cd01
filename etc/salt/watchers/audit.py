"""CACHE/audit.jsonl: who did what to whom, one JSON object a line, `time` and `what` first, 0600, synced.

    publish    user, uid (the file's owner), jid, fun, tgt, tgt_type, minions (how many); arg with audit_args: True
    refuse     user, uid, name of the request, why; fun, tgt, tgt_type where it could be read
    cancel     jid, fun, tgt, user (whose job it was)
    key        act (accept, reject, delete), ids, by: `command` (saltlite key) with user and uid, `hand` (a file was
               moved in the tree), `master` (auto_accept, autosign, autoreject), `minion` (it gave up its own key)

`saltlite key` writes its own line before it moves anything, so the master, which sees all moves, knows its own by that:
what it finds no such line for was done by hand. Arguments may be passwords, and are left out unless the option
audit_args says otherwise. Of one user's refusals TOLD are written a minute, then their number."""

from __future__ import annotations

import collections
import contextlib
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saltlite import Master, append, from_json, log, to_json

MAX_AUDIT = 16 << 20  # bytes of audit.jsonl before it is rotated
KEPT = 8  # older files, audit.jsonl.1 is the youngest
MAX_TARGET = 1024  # characters of a target that are written
MAX_NOTES = 16 << 20  # bytes of lines of `key` that are read at once
TOLD = 60  # refusals of one user that are written in a minute
NOTED = 600.0  # seconds: how long a line of `key` explains a move


def write(path: Path, records: list[dict[str, Any]], now: float) -> tuple[int, int]:
    """Append lines, synced; gives the file's size before and after. OSError. A new file is the tree's owner's."""
    new = not path.exists()
    text = "".join(to_json({"time": round(now, 3), **record}) + "\n" for record in records)
    size = append(path, text, create=True)
    if new and (owner := os.stat(path.parent)).st_uid != os.geteuid():
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    return size, size + len(text)


def note_keys(cache: Path, act: str, ids: list[str], user: str, done: bool = True) -> None:
    """What `saltlite key` writes before it moves the keys of these minions; not `done`: which of them it did not move
    after all. OSError."""
    record = {"what": "key", "act": act, "ids": ids, "by": "command", "user": user, "uid": os.getuid()}
    write(cache / "audit.jsonl", [record | ({} if done else {"done": False})], time.time())


def short(value: Any) -> Any:
    """A target, cut where it is longer than MAX_TARGET."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= MAX_TARGET else f"{text[:MAX_TARGET]}…"


class Watcher:
    """Makes lines of events, and reads those of `key` as they come."""

    def __init__(self, master: Master) -> None:
        self.master, self.opts = master, master.opts
        self.path = master.tree.cache / "audit.jsonl"
        self._read = 0  # how much of the file was looked at
        with contextlib.suppress(OSError):
            self._read = os.stat(self.path).st_size
        self._noted: dict[tuple[str, str], float] = {}  # act and id -> when `key` wrote that it would do so
        self._moved = set[str]()  # accepted by a move, for which a held `_auth` is answered
        self._minute, self._refused = 0, collections.Counter[int]()

    def reload(self) -> None:
        """Options are read when they are used."""

    def stop(self) -> None:
        """Nothing waits."""

    def told(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        """Write what these events are lines of; where that fails, say so: the work goes on."""
        now, records = time.time(), list[dict[str, Any]]()
        if any(tag == "salt/key" for tag, _ in events):
            self._notes(now)
        for tag, data in events:
            place = tag.split("/")  # salt/job/NAME/WHAT of the master's own; what minions have named is longer
            kind = place[3] if len(place) == 4 and place[:2] == ["salt", "job"] else tag
            if handler := getattr(self, f"_{HANDLED[kind]}", None) if kind in HANDLED else None:
                records += handler(tag, data, now)
        if not records:
            return
        try:
            before, after = write(self.path, joined(records), now)
            self._read = after if before == self._read else self._read  # else `key` has written something
            if after > MAX_AUDIT:
                self._notes(now)
                self._rotate()
        except OSError as error:
            log.error("%s cannot be written: %s", self.path, error.strerror)

    def _published(self, tag: str, data: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
        jid = tag.split("/")[2]
        header = self._header(jid)
        record = {"what": "publish", "user": data.get("user"), "uid": header.get("uid"), "jid": jid}
        record |= {"fun": data.get("fun"), "tgt": short(data.get("tgt")), "tgt_type": data.get("tgt_type")}
        record["minions"] = len(header.get("minions", []))
        return [record | ({"arg": header.get("arg")} if self.opts["audit_args"] else {})]

    def _header(self, jid: str) -> Mapping[str, Any]:
        """The first line of a job's file, which may be over by now."""
        jobs = self.master.jobs
        if job := jobs.active.get(jid):
            return job.header
        with contextlib.suppress(OSError):
            return jobs.late.header(jobs.path(jid, "done")) or {}
        return {}

    def _refusal(self, tag: str, data: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
        found, uid = list[dict[str, Any]](), data["uid"]
        if self._minute != int(now // 60):
            over = {each: count - TOLD for each, count in self._refused.items() if count > TOLD}
            found += [{"what": "refuse", "uid": each, "more": count} for each, count in over.items()]
            self._minute, self._refused = int(now // 60), collections.Counter()
        self._refused[uid] += 1
        if self._refused[uid] > TOLD:
            return found
        record = {"what": "refuse", "user": data["user"], "uid": uid, "name": tag.split("/")[2], "why": data["why"]}
        record |= {"fun": data["fun"], "tgt": short(data["tgt"])} if "fun" in data else {}
        return [*found, record | ({"tgt_type": data["tgt_type"]} if "tgt_type" in data else {})]

    def _cancelled(self, tag: str, data: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
        jid = tag.split("/")[2]
        job = self._header(jid) or data
        record = {"what": "cancel", "jid": jid, "fun": job.get("fun"), "tgt": short(job.get("tgt"))}
        return [record | {"user": job.get("user")}]

    def _key(self, tag: str, data: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
        """The tree has changed: by `key`, by a minion that gave up its key, or by hand."""
        act, minion_id = data["act"], data["id"]
        self._moved.add(minion_id) if act == "accept" else self._moved.discard(minion_id)
        if self._noted.pop((act, minion_id), float("-inf")) > now - NOTED:
            return []  # its line is there
        return [{"what": "key", "act": act, "ids": [minion_id], "by": "hand"}]

    def _auth(self, tag: str, data: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
        """The master has changed the tree itself; or it answers who was accepted by a move, which is no change."""
        act, minion_id = data["act"], data["id"]
        if act == "revoke":
            self._noted["delete", minion_id] = now
            return [{"what": "key", "act": "delete", "ids": [minion_id], "by": "minion"}]
        if act not in ("accept", "reject") or minion_id in self._moved:
            self._moved.discard(minion_id)
            return []
        return [{"what": "key", "act": act, "ids": [minion_id], "by": "master"}]

    def _notes(self, now: float) -> None:
        """Take in the lines that `key` has written since the last time."""
        with contextlib.suppress(OSError), open(self.path, "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                return
            file.seek(max(self._read if self._read <= info.st_size else 0, info.st_size - MAX_NOTES))
            text = file.read(MAX_NOTES)
            self._read = info.st_size
            for line in text.splitlines() if b'"command"' in text else []:
                if b'"command"' not in line:
                    continue
                with contextlib.suppress(ValueError, LookupError, TypeError):
                    record = from_json(line)
                    if record["what"] == "key" and record["by"] == "command":
                        self._noted |= {(record["act"], minion_id): record["time"] for minion_id in record["ids"]}
        self._noted = {key: at for key, at in self._noted.items() if at > now - NOTED}

    def _rotate(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{self.path}.{number}", f"{self.path}.{number + 1}")
        os.rename(self.path, f"{self.path}.1")
        self._read = 0


HANDLED = {
    "new": "published",
    "refused": "refusal",
    "cancelled": "cancelled",
    "salt/key": "key",
    "salt/auth": "auth",
}


def joined(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records, moves of keys that were done alike as one line with all their ids."""
    found = list[dict[str, Any]]()
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for record in records:
        how = (record.get("act", ""), record.get("by", ""))
        if record["what"] == "key" and how in last:
            last[how]["ids"] += record["ids"]
        else:
            found.append(record)
            last[how] = record
    return found
