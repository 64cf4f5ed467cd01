"""A process of its own for what takes long: a daemon's loop goes on meanwhile, and looks now and then what came of it.

A handler that comes to something long is a generator which yields what `apart` yields."""

from __future__ import annotations

import contextlib
import itertools
import logging
import mmap
import os
import resource
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from saltlite import Failure, write_all

COPIED = 1 << 20  # bytes that a process says: more than these stay where it has written them
PAUSE = 0.01  # seconds between two looks at a process
NICE = 5  # the loop goes first
KILLED: set[int] = set()  # which may be long in ending, if the disk is: they are asked for when the next begins


def apart(
    function: Callable[[], bytes], seconds: float, running: set[int], most: int, files: Iterable[int] = ()
) -> Generator[float, None, bytes | mmap.mmap]:
    """The bytes that a function gives in a process of its own; yields seconds to wait before the next look.

    `running` are the pids of its kind, `most` at once: who comes later waits for one to end. `files` are descriptors
    that it needs. Failure where it takes more than so many seconds, fails, or ends before its time."""
    while len(running) >= most:
        yield PAUSE
    KILLED.difference_update({pid for pid in KILLED if os.waitpid(pid, os.WNOHANG)[0]})
    said = os.memfd_create("apart", os.MFD_CLOEXEC)
    try:
        pid = os.fork()
    except OSError:
        os.close(said)
        raise
    if pid == 0:
        in_child(function, seconds, said, files)
    running.add(pid)
    status, end = None, time.monotonic() + seconds + 1
    try:
        while status is None:
            yield PAUSE
            ended, code = os.waitpid(pid, os.WNOHANG)
            status = code if ended else None
            if status is None and time.monotonic() > end:
                raise Failure(f"it takes more than {seconds:g} seconds.")
        size = os.fstat(said).st_size
        found = mmap.mmap(said, size, prot=mmap.PROT_READ) if size > COPIED else os.pread(said, size, 0)
    finally:
        os.close(said)
        running.discard(pid)
        if status is None:
            end_with_programs(pid)
    if status == WELL << 8:
        return found
    raise Failure(
        found[:].decode(errors="replace") if status == FAILED << 8 else "its process has ended before its time."
    )


def end_with_programs(pid: int) -> None:
    """End a process apart, of which nobody wants to know any more, and the programs that it has started: each leads a
    session of its own, and would go on."""
    os.kill(pid, signal.SIGSTOP)  # it starts no other meanwhile
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as file:
        for program in map(int, file.read().split()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    for _ in range(20):
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        time.sleep(0.001)
    KILLED.add(pid)


WELL, FAILED, CUT = 10, 11, 12  # how it ends: all is said, a sentence is, or not even that


def in_child(function: Callable[[], bytes], seconds: float, said: int, files: Iterable[int]) -> None:
    """In the process apart: nothing of the daemon's is open but its log and these files, nor is it signalled. Does not
    come back."""

    def late(number: int, frame: Any) -> None:
        """Its time is over; what it has started ends with what it was doing."""
        raise TimeoutError(f"it takes more than {seconds:g} seconds")

    end = CUT
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)
        close_all_but({said, *log_files(), *files})
        os.nice(NICE)
        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, seconds, PAUSE)  # again, where one is taken for a fault
        try:
            found, how = function(), WELL
        except Exception as error:
            found, how = f"{type(error).__name__}: {error}".encode(errors="replace"), FAILED
        signal.setitimer(signal.ITIMER_REAL, 0)
        write_all(said, found)
        end = how
    finally:
        os._exit(end)


def log_files() -> Iterator[int]:
    """The descriptors that the log is written to: what is logged must not go into what is opened next."""
    for handler in (*logging.root.handlers, *logging.getLogger("saltlite").handlers):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            yield handler.stream.fileno()  # type: ignore[attr-defined]


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor from 3 on but these."""
    bounds = [2, *sorted(fd for fd in kept if fd > 2), resource.getrlimit(resource.RLIMIT_NOFILE)[1]]
    for before, after in itertools.pairwise(bounds):
        os.closerange(before + 1, after)
