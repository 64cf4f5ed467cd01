"""What sys.doc prints: each function once, whatever number of minions ({id: {function: doc}}) has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def output(data: Any, opts: Mapping[str, Any]) -> str:
    docs: dict[str, str] = {}
    said: dict[str, list[str]] = {}  # errors: whose
    for minion_id, found in data.items():
        if isinstance(found, str) and found.startswith("ERROR: "):
            said.setdefault(str(found), []).append(str(minion_id))
        for function, doc in found.items() if isinstance(found, dict) else ():
            if doc:
                docs.setdefault(str(function), str(doc))
    lines = [f"{function}:\n{docs[function]}\n" for function in sorted(docs)]
    lines += [f"{', '.join(ids)}: {text}\n" for text, ids in said.items()]
    return "\n".join(lines)
