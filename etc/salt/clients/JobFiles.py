"""The jobs of a master, read from their files: nothing is asked of anybody, and no more is read than is wanted."""

from __future__ import annotations

import contextlib
import heapq
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from saltlite import JID, Failure, all_well, from_json, names

FEW = 200  # names of a day that are put in order at first
TAIL = 16 << 10  # bytes at the end of a file, where its last line is sought first
MAX_TAIL = 16 << 20  # and at most, for returns that came late stand behind it
END = (b'{"event": "end"', b'{"event": "cancelled"')
CHANGES = ("paused", "resumed", "stopped")
ACTIVE, PAUSED, STOPPING, DONE, CANCELLED = "active", "paused", "stopping", "done", "cancelled"


class JobFile(NamedTuple):
    """One job's file, and whether it is in jobs/active."""

    jid: str
    path: Path
    active: bool


def last_line(file: BinaryIO) -> tuple[dict[str, Any], bool]:
    """The line that ended a job, {} where there is none yet, and whether returns that came late stand behind it."""
    size, length = os.fstat(file.fileno()).st_size, TAIL
    while True:
        file.seek(max(0, size - length))
        tail = file.read(length)
        # JSON has no line end inside, so what begins a line is one
        at = max(tail.rfind(b"\n" + mark) for mark in END)
        if at >= 0:
            line, _, behind = tail[at + 1 :].partition(b"\n")
            return from_json(line), bool(behind)
        if length >= min(size, MAX_TAIL):
            return {}, False
        length *= 8


class JobFiles:
    """Jobs in `jobs`, the directory CACHE/jobs. OSError where it is closed to us."""

    def __init__(self, jobs: Path) -> None:
        self.jobs = jobs

    def newest(self, since: str = "", own: bool = False) -> Iterator[JobFile]:
        """All jobs, the newest first, down to the jid `since`; `own`: those, too, that minions ran of themselves.

        Day by day, and of a day only as much is put in order as is taken."""
        active = sorted(self._files(self.jobs / "active", False), reverse=True)
        days = [day for day in names(self.jobs / "done") if re.fullmatch(r"[0-9]{8}", day) and day >= since[:8]]
        for day in [*reversed(days), ""]:
            directory = self.jobs / "done" / day
            young = [(name, self.jobs / "active", True) for name in active if name[:8] >= day]
            active = active[len(young) :]
            ended = ((name, directory, False) for name in (self._newest_of(directory, own) if day else ()))
            before = ""
            for name, place, is_active in heapq.merge(young, ended, reverse=True):
                if name[:20] < since:
                    return
                if name == before:
                    continue  # it was listed in jobs/active, and ended before its day was
                before = name
                yield JobFile(name[:-6], place / name, is_active)

    def unended(self) -> list[JobFile]:
        """The files in jobs/active, the newest first."""
        directory = self.jobs / "active"
        return [JobFile(name[:-6], directory / name, True) for name in sorted(self._files(directory, False))[::-1]]

    def _newest_of(self, directory: Path, own: bool) -> Iterator[str]:
        """The names of a day's job files, the newest first: most callers want a few of a hundred thousand."""
        listed = self._listed(directory)
        few = heapq.nlargest(FEW, listed)
        yield from self._only(few, own)
        if len(few) < len(listed):
            yield from self._only(sorted(listed, reverse=True)[len(few) :], own)

    def _listed(self, directory: Path) -> list[str]:
        try:
            return os.listdir(directory)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _only(self, listed: Iterable[str], own: bool) -> list[str]:
        """Of these names those of job files: JID.jsonl, and with `own` JID.ID.jsonl."""
        if own:
            return [name for name in listed if name.endswith(".jsonl") and JID.match(name)]
        return [name for name in listed if len(name) == 26 and name[20:] == ".jsonl" and name[:20].isdigit()]

    def _files(self, directory: Path, own: bool) -> list[str]:
        return self._only(self._listed(directory), own)

    def find(self, jid: str) -> JobFile:
        """The job of a jid, `last` for the newest; Failure if there is none."""
        if jid == "last":
            if found := next(self.newest(), None):
                return found
            raise Failure("no job has been published yet, or all are removed (keep_jobs_seconds).")
        if not re.fullmatch(r"[0-9]{20}(?:\.[A-Za-z0-9_.-]{1,253})?", jid) or ".." in jid:
            raise Failure(f"{jid!r} is no jid: it has 20 digits, as `jobs list` shows them; `last` is the newest.")
        for _ in range(2):  # it may move from one to the other
            for directory in ("active", f"done/{jid[:8]}"):
                if (path := self.jobs / directory / f"{jid}.jsonl").exists():
                    return JobFile(jid, path, directory == "active")
        raise Failure(self._why_not(jid))

    def _why_not(self, jid: str) -> str:
        """A sentence why there is no file of a jid."""
        if (self.jobs / "new" / jid).exists():
            return f"job {jid} was not taken yet: its request lies in jobs/new; does a master run?"
        if (why := self.jobs / "bad" / f"{jid}.why").exists():
            return f"job {jid} was refused: {why.read_text(errors='replace').strip()}"
        if self.queue(jid):
            return f"job {jid} waits for absent minions: see `jobs queued`."
        return f"there is no job {jid}: it never was, or it is removed (keep_jobs_seconds, keep_jobs_size)."

    def opened(self, job: JobFile) -> BinaryIO:
        """Its file, also when the job has ended since it was found. Failure if it is gone."""
        while True:
            try:
                return open(job.path, "rb")
            except FileNotFoundError:
                job = self.find(job.jid)

    def header(self, job: JobFile) -> dict[str, Any]:
        """The job's first line: what was asked of whom. Failure if it cannot be read."""
        found = None
        with self.opened(job) as file, contextlib.suppress(ValueError):
            found = from_json(file.readline())
        if not isinstance(found, dict) or "fun" not in found:
            raise Failure(f"{job.path} does not begin with a job: it is not a file of this master.")
        return found

    def lines(self, job: JobFile) -> Iterator[dict[str, Any]]:
        """The whole lines that are in its file now; what is no JSON is left out."""
        with self.opened(job) as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    if line.endswith(b"\n") and isinstance(found := from_json(line), dict) and "event" in found:
                        yield found

    def summary(self, job: JobFile) -> dict[str, Any]:
        """{jid, fun, arg, tgt, tgt_type, user, time, state, expected, returned, failed, silent, seconds}; of an active
        job its whole file is read, and of one with late returns, which count; of others the first line and the last."""
        header = self.header(job)
        wanted = ("fun", "arg", "tgt", "tgt_type", "user", "time")
        found: dict[str, Any] = {"jid": job.jid[:20]} | {name: header.get(name) for name in wanted}
        found |= {"state": DONE, "expected": len(header.get("minions", ()))}
        end: dict[str, Any] = {}
        late = False
        with self.opened(job) as file, contextlib.suppress(ValueError):
            end, late = last_line(file)
        if end:
            found["state"] = CANCELLED if end["event"] == "cancelled" else DONE
        if "returned" not in end:
            lines = list(self.lines(job))
            end = counted(lines) | end
            if found["state"] == DONE and job.active:
                found["state"] = self._state(job, lines)
        elif late:
            end |= counted(self.lines(job)) | {"seconds": end.get("seconds")}
        return found | {name: end.get(name) for name in ("returned", "failed", "silent", "seconds")}

    def _state(self, job: JobFile, lines: Iterable[Mapping[str, Any]]) -> str:
        """Of a job that has not ended."""
        last = next((line["event"] for line in reversed(list(lines)) if line["event"] in CHANGES), "")
        if last == "stopped" or job.path.with_suffix(".stop").exists():
            return STOPPING
        return PAUSED if last == "paused" or job.path.with_suffix(".pause").exists() else ACTIVE

    def missing(self, job: JobFile) -> list[str]:
        """Who has not returned yet."""
        returned = {line.get("id") for line in self.lines(job) if line["event"] == "ret"}
        return sorted(set(self.header(job).get("minions", ())) - returned)

    def queue(self, jid: str = "") -> dict[str, dict[str, dict[str, Any]]]:
        """Jobs that wait for absent minions: {jid: {id: {"fun", "until", …}}}, of all jobs or of one."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for minion_id in names(self.jobs / "queued"):
            directory = self.jobs / "queued" / minion_id
            for name in [jid] if jid else names(directory):
                with contextlib.suppress(OSError, ValueError):
                    entry = from_json((directory / name).read_bytes())
                    if isinstance(entry, dict):
                        found.setdefault(name, {})[minion_id] = entry
        return found


def counted(lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What an `end` line would say of a job that has none."""
    returned: set[str] = set()
    failed: set[str] = set()
    silent: set[str] = set()
    for line in lines:
        if line["event"] == "ret":
            returned.add(line["id"])
            failed |= set() if all_well(dict(line)) else {line["id"]}
        elif line["event"] == "silent":
            silent.add(line["id"])
    counts = {"returned": len(returned), "failed": len(failed), "silent": len(silent - returned)}
    return counts | {"seconds": None}
