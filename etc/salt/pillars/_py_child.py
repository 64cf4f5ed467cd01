"""What runs a file of pillar with `#!py` at its top: a process of its own, which knows nothing of the master.

It is told all that it needs in the first line of its input, asks for functions of the table `salt` by a line of its
output each, and says in the last line what `run` gave."""

import base64
import json
import os
import sys
import types
from typing import Any


def to_wire(value: Any) -> Any:
    """Data as JSON can have them: keys that are no texts, and bytes, too."""
    if isinstance(value, dict):
        return {"map": [[to_wire(key), to_wire(each)] for key, each in value.items()]}
    if isinstance(value, list | tuple | set):
        return [to_wire(each) for each in value]
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    return value if isinstance(value, str | int | float | None) else str(value)


def from_wire(value: Any) -> Any:
    if isinstance(value, dict) and "map" in value:
        return {from_wire(key): from_wire(each) for key, each in value["map"]}
    if isinstance(value, dict):
        return base64.b64decode(value["bytes"])
    return [from_wire(each) for each in value] if isinstance(value, list) else value


class Salt(dict[str, Any]):
    """The table `salt`: each function is one of the master's, which is asked for its result."""

    def __init__(self, names: list[str], lines: Any, out: Any) -> None:
        super().__init__({name: self.asking(name) for name in names})
        self.lines, self.out = lines, out

    def asking(self, name: str) -> Any:
        def ask(*args: Any, **kwargs: Any) -> Any:
            self.out.write(json.dumps({"call": name, "args": to_wire(args), "kwargs": to_wire(kwargs)}) + "\n")
            self.out.flush()
            answer = json.loads(self.lines.readline())
            if "error" in answer:
                raise RuntimeError(answer["error"])
            return from_wire(answer["result"])

        return ask

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"pillar files of this master have no function {name}")


def main() -> None:
    lines, out = sys.stdin, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the file prints is no answer
    told = json.loads(lines.readline())
    values = from_wire(told["values"])
    salt = Salt(told["functions"], lines, out)
    module = types.ModuleType("pillar_py")
    module.__file__ = told["path"]
    for name in ("salt", "grains", "opts", "pillar", "sls", "env"):
        vars(module)[f"__{name}__"] = salt if name == "salt" else values[name]
    vars(module).update(values, salt=salt, saltenv=values["env"])
    try:
        exec(compile(told["text"], told["path"], "exec"), vars(module))  # noqa: S102
        said = {"done": to_wire(vars(module)["run"]())}
    except Exception as error:
        trace = error.__traceback__
        line = 0
        while trace:
            line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == told["path"] else line
            trace = trace.tb_next
        said = {"failed": f"line {line}: {type(error).__name__}: {error}"}
    out.write(json.dumps(said) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
