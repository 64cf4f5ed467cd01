"""What sys.doc prints: each function once, whatever number of minions ({id: {function: doc}}) has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def output(data: Any, opts: Mapping[str, Any]) -> str:
    docs: dict[str, str] = {}
    for found in data.values():
        for function, doc in found.items() if isinstance(found, dict) else ():
            if doc:
                docs.setdefault(str(function), str(doc))
    return "\n".join(f"{function}:\n{docs[function]}\n" for function in sorted(docs))
