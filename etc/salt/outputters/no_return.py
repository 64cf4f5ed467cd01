"""Minions that did not return, with the reason: {id: sentence}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saltlite import packed_leaf

terminal = packed_leaf("terminal", "text")
colors, no_escape = terminal.colors, terminal.no_escape


COLORED = True


def output(data: Any, opts: Mapping[str, Any]) -> str:
    color = colors(opts)
    lines = []
    for minion_id in sorted(data):
        lines.append(f"{color['CYAN']}{no_escape(minion_id)}{color['END']}:")
        lines += [f"{color['RED']}    {no_escape(line)}{color['END']}" for line in str(data[minion_id]).split("\n")]
    return "\n".join(lines)
