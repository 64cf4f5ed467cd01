"""What of the returns of minions is kept, for the disk is everybody's; those that come late; what a crash has left."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import sys
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import saltlite
from saltlite import (
    MINION_JID,
    RETURN,
    RETURNED,
    STARTED,
    Job,
    Prepared,
    Returns,
    addressed,
    all_well,
    append,
    from_json,
    jid_of,
    log,
    make_day,
    put,
    return_line,
    sha256,
    to_json,
)

PIECE = 1 << 20  # bytes of a job's file that are looked at at once
LINE = re.compile(rb'\n\{"event": "ret", "id": "([A-Za-z0-9_.-]{1,253})"')  # as return_line begins, in JSON
MAX_START = 300  # bytes of that
PIECES_AT_ONCE = 8  # that are looked at in one step of the loop
MAX_OWN = 10_000  # returns to no job of ours that are kept of one minion in a day


class Quota:
    """What is taken of each minion in a day: bytes of returns (return_quota), and MAX_OWN returns to no job of ours."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self.opts, self.events = opts, list[tuple[str, dict[str, Any]]]()
        self._day, self._bytes, self._own = "", collections.Counter[str](), collections.Counter[str]()

    def line(self, minion_id: str, load: dict[str, Any], now: float) -> tuple[dict[str, Any], bytes | memoryview]:
        """The line of a return, and its text. Where the minion has sent too much today, a sentence that says so stands
        in the place of what was returned, and the return has failed: it is not lost without a word."""
        self._begin(now)
        line = load.line if isinstance(load, Prepared) else return_line(minion_id, load, now)
        text = load.text if isinstance(load, Prepared) else to_json(line).encode()
        most = self.opts["return_quota"]
        self._bytes[minion_id] += len(text)
        if self._bytes[minion_id] > most > 0:
            why = f"not kept: {minion_id} has returned more than {most} bytes today, which return_quota allows"
            log.warning("a return for job %s is %s", load.get("jid"), why)
            self.events.append((f"salt/quota/{minion_id}", {"id": minion_id, "jid": str(load.get("jid"))[:64]}))
            line |= {"return": why, "retcode": 1, "success": False}
            text = to_json(line).encode()
        return line, text

    def may_tell(self, minion_id: str, size: int, now: float) -> bool:
        """Whether there is room for so many bytes of progress today, which counts as returns do."""
        self._begin(now)
        self._bytes[minion_id] += size
        return not self._bytes[minion_id] > self.opts["return_quota"] > 0

    def may_keep_own(self, minion_id: str, now: float) -> bool:
        """Count one more return to no job of ours; whether it may be kept. What a minion runs on its own account can
        be much (a schedule of seconds), and none of it was asked for here, so the rest of a day is not even failed."""
        self._begin(now)
        self._own[minion_id] += 1
        if self._own[minion_id] > MAX_OWN:
            log.warning("%s sent more than %s returns of its own today; they are not kept", minion_id, MAX_OWN)
        return self._own[minion_id] <= MAX_OWN

    def _begin(self, now: float) -> None:
        """Count anew each day."""
        if self._day != jid_of(now)[:8]:
            self._day, self._bytes, self._own = jid_of(now)[:8], collections.Counter(), collections.Counter()

    def keep_own(
        self, jobs: Path, jid: str, load: dict[str, Any], line: dict[str, Any], text: bytes | memoryview
    ) -> Path:
        """Keep what a minion ran on its own account (call, schedule), a line and its text, under its own name, as a
        finished job, and give its path. One that is there already stays as it is; a large one is not synced."""
        minion_id, fun, arg = line["id"], line["fun"], load.get("fun_args", [])
        # the first line is the master's word: whoever reads it finds there what a job has, whatever the minion sent
        several = isinstance(fun, list) and all(isinstance(each, str) for each in fun)
        header = {"event": "new", "jid": jid, "fun": fun if several or isinstance(fun, str) else "", "tgt": minion_id}
        header["arg"] = arg if isinstance(arg, list) else [arg]
        header |= {"tgt_type": "list", "user": f"minion:{minion_id}", "minions": [minion_id], "time": line["time"]}
        name = minion_id if len(minion_id) <= 200 else sha256(minion_id.encode()).hex()  # a file name has 255 bytes
        path = make_day(jobs, jid) / f"{jid}.{name}.jsonl"
        if not path.exists():
            put(path, [to_json(header).encode(), b"\n", text, b"\n"], sync=not isinstance(load, Prepared))
        return path


class Late:
    """Returns that come after their job has ended. `ended`: jid -> who has returned; the oldest are forgotten."""

    def __init__(self) -> None:
        self.ended: dict[str, set[str]] = {}

    def remember(self, jid: str, ids: set[str]) -> None:
        """Who returned to a finished job, for a return that comes twice."""
        self.ended[jid] = ids
        if len(self.ended) > saltlite.REMEMBERED:
            del self.ended[next(iter(self.ended))]

    def unread(self, jobs: Returns, load: Mapping[str, Any]) -> Path | None:
        """The file of the finished job that a return is for, if it is still to be read and that takes several steps."""
        jid = str(load.get("jid"))
        if jid in self.ended or jid in jobs.active or not MINION_JID.fullmatch(jid):
            return None
        path = jobs.path(jid, "done")
        try:
            return path if os.stat(path).st_size > PIECES_AT_ONCE * PIECE else None
        except OSError:
            return None

    def reading(self, jobs: Returns, load: Mapping[str, Any]) -> Generator[float, None, None]:
        """Read it in steps, if there is one, for `take`."""
        if path := self.unread(jobs, load):
            yield from self._read(path)

    def _read(self, path: Path) -> Generator[float, None, None]:
        """Learn from a job's file who has returned, in steps."""
        mend(path)
        found: set[str] = set()
        for number, _ in enumerate(returned(path, found), 1):
            if number % PIECES_AT_ONCE == 0:
                yield 0.0
        if path.stem not in self.ended:  # else another one has read it meanwhile
            self.remember(path.stem, found)

    def header(self, path: Path) -> dict[str, Any] | None:
        """The first line of a finished job's file; None if there is none, or somebody has made it another file: what
        comes for that is kept as the minion's own, for a return that is not acknowledged would come for ever."""
        found = None
        try:
            with open(path, "rb") as file, contextlib.suppress(ValueError):
                found = from_json(file.readline())
        except FileNotFoundError:
            return None
        if isinstance(found, dict) and {"minions", "tgt", "tgt_type"} <= found.keys():
            return found
        log.warning("%s does not begin with a job: what comes for it stands in files of its own beside it", path)
        return None

    def take(
        self, jobs: Returns, header: dict[str, Any], minion_id: str, load: dict[str, Any], now: float
    ) -> Path | None:
        """Append a late return to the file of the job with this header, and give its path if that was done; raises
        OSError. A large one is not synced."""
        jid = str(load["jid"])
        path = jobs.path(jid, "done")
        if not addressed(header, minion_id, jobs.tree.data.grains):
            log.warning("%s sent a return for job %s, which was not meant for it", minion_id, jid)
            return None
        if jid not in self.ended:  # for the first time in this run
            collections.deque(self._read(path), 0)
        if minion_id in self.ended[jid]:
            return None
        text = memoryview(jobs.quota.line(minion_id, load, now)[1])[:-1]  # without its last bracket
        append(path, [text, b', "late": true}\n'], sync=not isinstance(load, Prepared))
        self.ended[jid].add(minion_id)
        jobs.queue.done(minion_id, jid)
        jobs.events.append((f"salt/job/{jid}/ret/{minion_id}", {"id": minion_id, "late": True}))
        return path


def mend(path: Path) -> None:
    """Cut off a last line that a crash has cut short, so that the next one is not lost with it. Only the end of the
    file is read; `recovered`, which reads all of it, does it by the way."""
    with open(path, "rb") as file:
        at = size = file.seek(0, os.SEEK_END)
        while at:
            start = max(0, at - PIECE)
            file.seek(start)
            if end := file.read(at - start).rfind(b"\n") + 1:
                if start + end < size:
                    os.truncate(path, start + end)
                return
            at = start


def returned(path: Path, found: set[str]) -> Iterator[None]:
    """Put into `found` who has returned to a finished job, by how the lines of its file begin, a piece in each step: to
    make data of ten thousand returns would keep all others waiting."""
    rest = b"\n"
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            text = rest + piece
            found.update(sys.intern(each.decode()) for each in LINE.findall(text))  # one fleet's ids, for many jobs
            rest = text[-MAX_START:]
            yield


def recovered(path: Path, now: float) -> tuple[Job, list[str]]:
    """The job in a file, and the `event` of each of its lines; a last line that a crash cut short is cut off. Each line
    is let go when it was read, for all that many minions have returned may be more than there is memory.

    Raises OSError where the file cannot be read, and one of many others where it holds something else."""
    job, events, size = None, list[str](), 0
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
        for text in file:
            if not text.endswith(b"\n"):
                break
            size += len(text)
            line = from_json(text)
            job = job or Job(line, now)
            events.append(take_up(job, line))
        if job is None:
            raise ValueError("there is no whole line in it")
        if size < os.fstat(file.fileno()).st_size:
            os.truncate(path, size)
    return job, events


def take_up(job: Job, line: dict[str, Any]) -> str:
    """Bring a job that a master has left to where a line of its file says that it was; gives the line's event."""
    event: str = line["event"]
    for minion_id in line["minions"] if event == "batch" else ():
        job.step(minion_id, STARTED)
    if event == "ret":
        if job.parts.get(line["id"]) != RETURNED:
            job.step(line["id"], RETURN)
        if not all_well(line):
            job.failed.add(line["id"])
    elif job.rollout and event in ("paused", "resumed", "stopped"):
        job.rollout.told(event, line["why"])
    return event
