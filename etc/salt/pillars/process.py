"""Programs that pillar needs (gpg, the commands of ext_pillar), run with a bound on their time and on what they say."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from saltlite import Failure

MAX_SECONDS = 10.0  # of one program; the master answers nobody else meanwhile
MAX_OUTPUT = 16 << 20  # bytes of what it prints, and of a file that it writes
MAX_MEMORY = 2 << 30  # bytes of its address space
CHUNK = 1 << 16


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


def run(what: str, words: Sequence[str] | str, data: bytes = b"", seconds: float = MAX_SECONDS, **how: Any) -> Ended:
    """Run a program to its end; Failure, with `what` as its name, if it cannot be started or goes beyond a bound.

    A text is given to the shell, a list of words is not."""
    end = time.monotonic() + seconds
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(  # noqa: S603
            words, shell=isinstance(words, str), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, **how
        )
    except OSError as error:
        raise Failure(f"{what} cannot be run: {error.strerror}.") from None
    try:
        for limit, most in ((resource.RLIMIT_AS, MAX_MEMORY), (resource.RLIMIT_FSIZE, MAX_OUTPUT)):
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, limit, (most, most))
        said = exchange(what, process, data, end)
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failure(f"{what} takes more than {seconds:g} seconds.") from None
        return Ended(process.returncode, *said)
    except TimeoutError:
        raise Failure(f"{what} takes more than {seconds:g} seconds.") from None
    finally:
        stop(process)


def exchange(what: str, process: subprocess.Popen[bytes], data: bytes, end: float) -> tuple[bytes, bytes]:
    """Give a program its input and take what it prints, until it closes both; TimeoutError, Failure."""
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    assert stdin and stdout and stderr
    said: dict[Any, bytearray] = {stdout: bytearray(), stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for pipe in (stdin, stdout, stderr):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_WRITE if pipe is stdin else selectors.EVENT_READ)
        while selector.get_map():
            if (left := end - time.monotonic()) <= 0:
                raise TimeoutError
            for key, _ in selector.select(left):
                stream: Any = key.fileobj
                if stream is stdin:
                    try:
                        data = data[os.write(stdin.fileno(), data[:CHUNK]) :] if data else b""
                    except BrokenPipeError:
                        data = b""
                    if not data:
                        selector.unregister(stdin)
                        stdin.close()
                elif chunk := os.read(key.fd, CHUNK):
                    said[stream] += chunk
                    if len(said[stream]) > MAX_OUTPUT:
                        raise Failure(f"{what} prints more than {MAX_OUTPUT >> 20} MiB.")
                else:
                    selector.unregister(stream)
    return bytes(said[stdout]), bytes(said[stderr])
