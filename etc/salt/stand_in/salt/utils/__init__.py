"""What modules written for Salt use most of salt.utils, as far as it needs nothing else of Salt: each file whole."""

from typing import Any

from salt import part


def __getattr__(name: str) -> Any:
    return part(__name__, name)
