"""What follows from all of a minion's configuration."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from saltlite import packed_leaf

files, salts = packed_leaf("configuration", "files"), packed_leaf("configuration", "salts")
documents = functools.partial(files.documents, "minion")


def finish(opts: dict[str, Any], others: Mapping[str, str]) -> list[tuple[int, str]]:
    """What is to be told at the start."""
    return list(salts.verdicts("minion", opts, others))
