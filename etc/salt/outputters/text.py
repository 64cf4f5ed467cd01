"""The same as txt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saltlite import outputter


def output(data: Any, opts: Mapping[str, Any]) -> str:
    return outputter("txt")(data, opts)
