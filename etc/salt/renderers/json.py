"""The renderer `json`: a text becomes data."""

from __future__ import annotations

from typing import Any

from saltlite import Failure, packed_leaf


def render(pillar: Any, sls: Any, data: Any, words: str, defaults: Any) -> Any:
    """The data of a JSON text, below its `#!` line, {} for nothing."""
    if not isinstance(data, str):
        raise Failure("the renderer json wants a text: what stands before it has made data already.")
    if data.startswith("#!"):
        data = data.partition("\n")[2]
    found = packed_leaf("pillars", "serial").load_json(data) if data.strip() else {}
    return pillar.files.weighed(found)
