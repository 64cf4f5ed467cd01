"""A line for each line of a text, behind the id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saltlite import packed_leaf

terminal = packed_leaf("terminal", "text")
outputter = terminal.outputter


def output(data: Any, opts: Mapping[str, Any]) -> str:
    """`id: line` for each line of a text, `id: value` for anything else; of a failure that printed nothing the id."""
    if not isinstance(data, Mapping):
        return data if isinstance(data, str) else outputter("pprint")(data, {})
    lines = []
    for key, value in data.items():
        parts: list[Any] = value.splitlines() if isinstance(value, str | bytes) else [value]
        lines += [f"{key}: {part}" for part in parts] or ([f"{key}:"] if opts.get("retcode") else [])
    return "\n".join(lines)
