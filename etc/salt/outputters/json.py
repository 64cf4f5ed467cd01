"""JSON, one document for each minion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def output(data: Any, opts: Mapping[str, Any]) -> str:
    """One document; what JSON has no word for as its repr, and {} if a key is none that JSON can have."""
    indent = opts.get("output_indent")
    spaces = 4 if indent is None or indent == "pretty" else None if indent < 0 else indent
    try:
        ascii_only = bool(opts.get("ascii"))
        return json.dumps(data, default=repr, indent=spaces, sort_keys=indent == "pretty", ensure_ascii=ascii_only)
    except TypeError:
        return "{}"
