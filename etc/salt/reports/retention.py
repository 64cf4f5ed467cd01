"""What is kept of finished jobs: by age (keep_jobs_seconds) and by size (keep_jobs_size). What is as old in jobs/bad
goes too, and what is left of requests in jobs/new.

The oldest go first: jids sort by time, and so do the days. Nothing is read but names and sizes. All of it is done in
small steps, for a hundred thousand files take seconds and others wait meanwhile; a directory is looked at again an hour
later."""

from __future__ import annotations

import contextlib
import heapq
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from saltlite import Master, jid_of, log, names

FIRST, EVERY = 60.0, 3600.0  # seconds after the start, and between two rounds
STEP = 0.01  # seconds that a step takes
PIECE = 256 << 20  # bytes: a larger file is shortened by so much in a step before it goes, for that takes time too


class Steps:
    """Gives way whenever a step has taken its time: `yield from steps.rest()` between any two small pieces of work."""

    def __init__(self) -> None:
        self._until = time.monotonic() + STEP

    def rest(self) -> Iterator[float]:
        if time.monotonic() > self._until:
            yield 0.0
            self._until = time.monotonic() + STEP


def size_of(info: os.stat_result) -> int:
    """Bytes of disk that a file takes; where the system has not said yet, its length."""
    return max(info.st_size, info.st_blocks * 512)


def days_of(jobs: Path) -> list[Path]:
    """The directories of finished jobs, the oldest first; what has no day's name, or is a link, is none."""
    found = [jobs / "done" / name for name in names(jobs / "done") if re.fullmatch(r"[0-9]{8}", name)]
    return [day for day in found if day.is_dir() and not day.is_symlink()]


def unlink(path: str, size: int) -> Iterator[float]:
    """Remove a file, a large one in pieces; one that cannot be removed stays."""
    with contextlib.suppress(OSError):
        while size > PIECE:
            size -= PIECE
            os.truncate(path, size)
            yield 0.0
        os.unlink(path)


def remove_day(day: Path, steps: Steps) -> Iterator[float]:
    """Remove a whole day, with whatever somebody has put there."""
    with contextlib.suppress(OSError), os.scandir(day) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                yield from unlink(entry.path, entry.stat(follow_symlinks=False).st_size)
            yield from steps.rest()
    # in a child, though it is empty: what has held a hundred thousand names takes a file system 60 ms
    try:
        pid = os.posix_spawnp("rm", ["rm", "-rf", "--", str(day)], os.environ)
    except OSError:
        shutil.rmtree(day, ignore_errors=True)
        return
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        yield 0.01


def remove_old(jobs: Path, keep: float, now: float, steps: Steps) -> Iterator[float]:
    """Remove the days that have ended `keep` seconds ago, and refused and half written requests that are as old."""
    last = jid_of(now - keep)[:8]
    for day in days_of(jobs):
        if day.name < last:
            yield from remove_day(day, steps)
            log.info("the jobs of %s are removed: keep_jobs_seconds is over", day.name)
    for directory in (jobs / "bad", jobs / "new"):
        with contextlib.suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                if directory.name == "bad" or entry.name.startswith("."):
                    with contextlib.suppress(OSError):
                        if entry.stat(follow_symlinks=False).st_mtime < now - keep:
                            os.unlink(entry.path)
                yield from steps.rest()


def files_of(day: Path, found: list[tuple[str, int]], steps: Steps) -> Iterator[float]:
    """Put the files of a day into `found`, each name with its size."""
    with contextlib.suppress(OSError), os.scandir(day) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_file(follow_symlinks=False):
                    found.append((entry.name, size_of(entry.stat(follow_symlinks=False))))
            yield from steps.rest()


def remove_above(jobs: Path, most: int, steps: Steps) -> Iterator[float]:
    """Remove the oldest finished jobs until all together take no more than `most` bytes."""
    sizes: dict[Path, int] = {}
    for day in days_of(jobs):
        found: list[tuple[str, int]] = []
        yield from files_of(day, found, steps)
        sizes[day] = sum(size for _, size in found)
    over, count = sum(sizes.values()) - most, 0
    for day, total in sizes.items():
        if over <= 0:
            break
        if total <= over:
            yield from remove_day(day, steps)
            log.info("the jobs of %s are removed: all together took more than keep_jobs_size", day.name)
            over -= total
            continue
        found = []
        yield from files_of(day, found, steps)
        heapq.heapify(found)  # sorting a hundred thousand names would be one long step
        while found and over > 0:
            name, size = heapq.heappop(found)
            yield from unlink(f"{day}/{name}", size)
            yield from steps.rest()
            over, count = over - size, count + 1
        log.info("the oldest %s jobs of %s are removed: keep_jobs_size", count, day.name)


def cleaned(jobs: Path, keep: float, most: int, now: float) -> Iterator[float]:
    """One round: what is too old, then what is too much; 0 is no limit."""
    steps = Steps()
    if keep:
        yield from remove_old(jobs, keep, now, steps)
    if most:
        yield from remove_above(jobs, most, steps)


def report(master: Master) -> Iterator[float]:
    """Once an hour."""
    yield FIRST
    while True:
        opts = master.opts
        yield from cleaned(master.tree.jobs, opts["keep_jobs_seconds"], opts["keep_jobs_size"], time.time())
        yield EVERY
