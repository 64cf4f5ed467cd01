"""Each minion's value on a line of its own, without the id, for the shell; of a list each item. Salt 3007 has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def output(data: Any, opts: Mapping[str, Any]) -> str:
    values = data.values() if isinstance(data, Mapping) else [data]
    return "\n".join(str(item) for value in values for item in (value if isinstance(value, list) else [value]))
