"""Programs that pillar needs (gpg, the commands of ext_pillar), run with a bound on their time and on what they say.

A master's loop waits for no program: a compilation that comes to one there is begun again in a process of its own
(`apart`), which says what came of it, and which of its programs rest."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

from saltlite import Failure, from_json, packed_leaf, to_json

own = packed_leaf("apart", "process")

MAX_SECONDS = 10.0  # of one program
MAX_COMPILING = 60.0  # seconds of a process apart, with all its programs
MAX_APART = 4  # such processes at once; who comes later waits for one to end
MAX_OUTPUT = 16 << 20  # bytes of what it prints, and of a file that it writes
MAX_MEMORY = 2 << 30  # bytes of its address space
REST = 60.0  # seconds in which what took too long is not run again
MAX_RESTING = 1000  # programs of which this is known
CHUNK = 1 << 16
RESTING: dict[str, float] = {}  # what took too long, and until when it rests


Answer = Callable[[bytes], bytes]
WAITS = [True]  # whether whoever runs a program here can wait for it
APART: set[int] = set()  # the processes apart


class Wanted(BaseException):
    """A program is to be run where nobody can wait for it."""


def unless_wanted(function: Callable[[], Any]) -> Any:
    """What a function gives; Wanted, in the middle of it, where it comes to run a program."""
    WAITS[0] = False
    try:
        return function()
    finally:
        WAITS[0] = True


def apart(function: Callable[[], Any]) -> Generator[float, None, Any]:
    """What a function gives in a process of its own; yields seconds to wait before the next look. Failure."""
    said = yield from own.apart(lambda: told_of(function), MAX_COMPILING, APART, MAX_APART)
    told = from_json(said[:])
    RESTING.update(told["resting"])
    if "error" in told:
        raise Failure(told["error"])
    return told["result"]


def told_of(function: Callable[[], Any]) -> bytes:
    """What a compilation gives, or the sentence it fails with, and which programs rest since then."""
    try:
        told = {"result": function()}
    except Exception as error:
        told = {"error": f"{type(error).__name__}: {error}"}
    return to_json(told | {"resting": RESTING}).encode()


class Ended(NamedTuple):
    """How a program has ended, and what it has printed."""

    returncode: int
    output: bytes
    complaint: bytes


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it has started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def run(
    what: str,
    words: Sequence[str] | str,
    data: bytes = b"",
    seconds: float | None = None,
    rests: str = "",
    answer: Answer | None = None,
    **how: Any,
) -> Ended:
    """Run a program to its end; Failure, with `what` as its name, if it cannot be started or goes beyond a bound.

    A text is given to the shell, a list of words is not. `answer` gives what is to be said to a line of its output.
    What has taken too long, by its name or by `rests`, is not run again for a while: every minion asks for pillar."""
    seconds, rests = MAX_SECONDS if seconds is None else seconds, rests or what
    end = time.monotonic() + seconds
    if not WAITS[0]:
        raise Wanted
    if RESTING.get(rests, 0.0) > time.monotonic():
        raise Failure(f"{what} took too long, and is not run again for {REST:g} seconds.")
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            words, shell=isinstance(words, str), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, **how
        )
    except OSError as error:
        raise Failure(f"{what} cannot be run: {error.strerror}.") from None
    try:
        for limit, most in ((resource.RLIMIT_AS, MAX_MEMORY), (resource.RLIMIT_FSIZE, MAX_OUTPUT)):
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, limit, (most, most))
        said = Exchange(what, process, data, answer).until(end)
        process.wait(max(0.0, end - time.monotonic()))
        return Ended(process.returncode, *said)
    except (TimeoutError, subprocess.TimeoutExpired):
        if len(RESTING) >= MAX_RESTING:
            RESTING.clear()
        RESTING[rests] = time.monotonic() + REST
        raise Failure(f"{what} takes more than {seconds:g} seconds.") from None
    finally:
        stop(process)


class Exchange:
    """What is said to a program and by it, until it closes its output."""

    def __init__(self, what: str, process: subprocess.Popen[bytes], data: bytes, answer: Answer | None) -> None:
        assert process.stdin and process.stdout and process.stderr
        self.what, self.answer, self.data = what, answer, data
        self.stdin, self.streams = process.stdin, (process.stdout, process.stderr)
        self.said = {stream: bytearray() for stream in self.streams}
        self.selector = selectors.DefaultSelector()
        self.taken = 0  # bytes of its lines that were answered
        for stream in (self.stdin, *self.streams):
            os.set_blocking(stream.fileno(), False)

    def until(self, end: float) -> tuple[bytes, bytes]:
        """All that it prints on its two streams; TimeoutError, Failure."""
        with self.selector:
            for stream in self.streams:
                self.selector.register(stream, selectors.EVENT_READ)
            self.selector.register(self.stdin, selectors.EVENT_WRITE)
            while self.selector.get_map().keys() - {self.stdin.fileno() if not self.stdin.closed else -1}:
                if (left := end - time.monotonic()) <= 0:
                    raise TimeoutError
                for key, _ in self.selector.select(left):
                    if key.fileobj is self.stdin:
                        self.write()
                    else:
                        self.read(key.fileobj)
        output, complaint = (bytes(self.said[stream]) for stream in self.streams)
        return output, complaint

    def write(self) -> None:
        try:
            self.data = self.data[os.write(self.stdin.fileno(), self.data[:CHUNK]) :] if self.data else b""
        except BrokenPipeError:
            self.data = b""
        if not self.data:
            self.selector.unregister(self.stdin)
            if self.answer is None:
                self.stdin.close()

    def read(self, stream: Any) -> None:
        chunk = os.read(stream.fileno(), CHUNK)
        if not chunk:
            self.selector.unregister(stream)
            return
        said = self.said[stream]
        said += chunk
        if len(said) > MAX_OUTPUT:
            raise Failure(f"{self.what} prints more than {MAX_OUTPUT >> 20} MiB.")
        while self.answer and stream is self.streams[0] and (end := said.find(b"\n", self.taken) + 1):
            line, self.taken = bytes(said[self.taken : end]), end
            if reply := self.answer(line):
                if not self.data:
                    self.selector.register(self.stdin, selectors.EVENT_WRITE)
                self.data += reply
