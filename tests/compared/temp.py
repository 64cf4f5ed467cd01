"""temp: what is called. See tests/functions.py."""

from __future__ import annotations

import os
from typing import Any

KINDS = ("dir", "file")
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    (f"temp.{kind}", [], {**how, "parent": "{scratch}"})
    for kind in KINDS
    for how in ({}, {"prefix": "mine-"}, {"suffix": ".x"})
]
CASES += [(f"temp.{kind}", [], {"parent": "{scratch}/missing"}) for kind in KINDS]
AFTER = True


def without_chance(name: str) -> str:
    """A name of which the part that is random is left out."""
    head, base = os.path.split(name)
    return f"{head}/{'mine-' * base.startswith('mine-')}{'.x' * base.endswith('.x')}"


NORMAL: dict[str, Any] = {
    "temp.dir": without_chance,
    "temp.file": without_chance,
    "AFTER": lambda tree: sorted([without_chance(name), *what[:3]] for name, what in tree.items()),
}
DIFFERS = dict.fromkeys(
    ("temp.dir parent={scratch}/missing", "temp.file parent={scratch}/missing"),
    "an error is a sentence, and no traceback",
)
