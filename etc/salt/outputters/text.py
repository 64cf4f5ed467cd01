"""The same as txt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saltlite import packed_leaf

terminal = packed_leaf("terminal", "text")
outputter = terminal.outputter


def output(data: Any, opts: Mapping[str, Any]) -> str:
    return outputter("txt")(data, opts)
