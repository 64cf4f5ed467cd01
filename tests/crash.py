"""A crash after every step: the call runs in a child process that ends, as by kill -9, at its n-th line of saltlite."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import saltlite

CRASHED, DONE, ODD = 99, 0, 1


def run_until(step: int, call: Callable[[], Any], functions: frozenset[str]) -> int:
    """Run `call` in a child that ends before the `step`-th line that one of the functions reaches; its exit code, ODD
    too where it comes to its end without one of them: it may have another name by now."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    lines, reached = 0, set[str]()

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal lines
        code = frame.f_code
        if code.co_filename != saltlite.__file__ or code.co_name not in functions:
            return None
        reached.add(code.co_name)
        if event == "line":
            lines += 1
            if lines == step:
                os._exit(CRASHED)
        return trace

    try:
        sys.settrace(trace)
        call()
        assert reached == functions, f"never reached: {', '.join(functions - reached)}"
        os._exit(DONE)
    except BaseException:
        traceback.print_exc()
        os._exit(ODD)


def crashes(prepare: Callable[[], Callable[[], Any]], *functions: str) -> Iterator[int]:
    """Prepare, crash at the next step, yield; until the call, which `prepare` gives, comes to its end.

    The last yield is that of the call that was not disturbed."""
    for step in range(1, 1000):
        code = run_until(step, prepare(), frozenset(functions))
        assert code in (CRASHED, DONE), f"an exception at step {step}"
        yield step
        if code == DONE:
            return
    raise AssertionError("no end")
