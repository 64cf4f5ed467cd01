"""Data as Python writes it, on one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BYTES = True


def output(data: Any, opts: Mapping[str, Any]) -> str:
    return str(data)
