"""Data as Python writes it, in columns."""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from typing import Any

BYTES = True


def output(data: Any, opts: Mapping[str, Any]) -> str:
    indent = opts.get("output_indent")
    return pprint.pformat(data, indent=indent if isinstance(indent, int) and indent >= 0 else 1)
