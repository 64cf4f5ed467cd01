"""journald: Salt has no such module. See tests/functions.py."""

from __future__ import annotations

from typing import Any

CASES: list[tuple[str, list[Any], dict[str, Any]]] = []
NOT_COMPARED = dict.fromkeys(("journald.tail", "journald.records", "journald.disk_usage"), "Salt has no such module")
