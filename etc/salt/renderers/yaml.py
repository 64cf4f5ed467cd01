"""The renderer `yaml`: a text becomes data."""

from __future__ import annotations

from typing import Any

from saltlite import Failure


def render(pillar: Any, sls: Any, data: Any, words: str, defaults: Any) -> Any:
    """The data of a YAML text, {} for nothing; they are remembered, and not to be changed."""
    if not isinstance(data, str):
        raise Failure("the renderer yaml wants a text: what stands before it has made data already.")
    return pillar.files.parse(data)
