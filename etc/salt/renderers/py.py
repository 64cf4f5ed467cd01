"""The renderer `py`: a file of pillar is a Python program, whose `run()` gives the data. Off unless `pillar_py: True`.

It runs as the master's user, in a process of its own, with a bound on its time and memory. The functions of `__salt__`
are those of templates; what a minion says of itself it finds in `__grains__`."""

from __future__ import annotations

import functools
import json
import os
import sys
from typing import Any

from saltlite import PACKED, Failure, packed_leaf, read_leaf

process: Any = packed_leaf("pillars", "process")
PROGRAM = PACKED / "pillars" / "_py_child.py"
MAX_CALLS = 10_000  # of functions, by one file


@functools.cache
def child() -> Any:
    return read_leaf(PROGRAM)


class Talk:
    """What is said to a program: all it must know, and the results of the functions that it calls."""

    def __init__(self, pillar: Any) -> None:
        self.functions, self.calls = pillar.table, 0
        self.names = sorted(pillar.functions)
        self.last: dict[str, Any] = {}

    def answer(self, line: bytes) -> bytes:
        """The answer to a line of the program; nothing to its last."""
        try:
            said = json.loads(line)
            if not isinstance(said, dict):
                raise ValueError
        except ValueError:
            raise Failure("the program does not say what run() gives.") from None
        if "call" not in said:
            self.last = said
            return b""
        self.calls += 1
        if self.calls > MAX_CALLS:
            raise Failure(f"the program calls more than {MAX_CALLS:,} functions.")
        try:
            if said["call"] not in self.names:
                raise Failure(f"there is no function {said['call']}.")
            function, from_wire = self.functions[said["call"]], child().from_wire
            result = child().to_wire(function(*from_wire(said["args"]), **from_wire(said["kwargs"])))
            return json.dumps({"result": result}).encode() + b"\n"
        except Exception as error:
            return json.dumps({"error": str(error)[:1000]}).encode() + b"\n"


def render(pillar: Any, sls: Any, data: Any, words: str, defaults: Any) -> Any:
    """What the file's `run()` gives; Failure if it may not run, fails, or goes beyond a bound."""
    if not pillar.opts["pillar_py"]:
        raise Failure(f"{sls.path} is a Python program; with `pillar_py: True` the master's user runs such files.")
    if not isinstance(data, str):
        raise Failure("the renderer py wants a text: what stands before it has made data already.")
    values = {**dict(defaults), "grains": pillar.shown, "opts": pillar.public, "pillar": pillar.known}
    values |= {"sls": sls.name, "env": sls.saltenv}
    talk = Talk(pillar)
    told = {"path": sls.path, "text": data, "values": child().to_wire(values), "functions": talk.names}
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    ended = process.run(
        sls.path,
        [sys.executable, "-I", "-B", str(PROGRAM)],
        json.dumps(told).encode() + b"\n",
        rests=f"{sls.path} {pillar.minion_id}",  # whose grains may be why
        answer=talk.answer,
        cwd="/",
        env=environment,
    )
    if "done" not in talk.last:
        complaint = ended.complaint.decode(errors="replace").strip()[-300:]
        raise Failure(str(talk.last.get("failed") or f"the program ends with {ended.returncode}: {complaint}"))
    return pillar.files.weighed(child().from_wire(talk.last["done"]))
