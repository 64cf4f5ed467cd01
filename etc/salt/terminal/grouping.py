"""Identical returns once: which are alike, the majority first, and how the others differ from it.

States count as alike when they differ in their times alone. What is kept of a group is its first return and its ids,
so ten thousand equal returns need no more room than one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from saltlite import packed_leaf

terminal = packed_leaf("terminal", "text")

TIMES = ("duration", "start_time")  # of a state: no two runs have them in common
DIFF_SECONDS = 1.0  # that one difference may take
ALL_DIFFS_SECONDS = 10.0  # and all of them


def timeless(value: Any) -> Any:
    """What a state run returned without its times; anything else as it is."""
    if not isinstance(value, dict) or not any("_|-" in key for key in value if isinstance(key, str)):
        return value
    return {
        key: {word: item for word, item in state.items() if word not in TIMES} if isinstance(state, dict) else state
        for key, state in value.items()
    }


def digest(line: Mapping[str, Any]) -> bytes:
    """What is equal for `ret` lines that are alike: their returns, retcodes and outputters."""
    import hashlib

    parts = [timeless(line["return"]), line.get("retcode"), line.get("success"), line.get("out")]
    try:
        text = json.dumps(parts, sort_keys=True, default=repr)
    except TypeError:  # keys of several types
        text = repr(parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class Group:
    """Minions whose returns are alike: the first `ret` line, and all ids."""

    def __init__(self, line: dict[str, Any]) -> None:
        self.line, self.ids = line, list[str]()


class Groups:
    """Returns by what they are alike in."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, Group] = {}

    def add(self, line: dict[str, Any]) -> Group:
        """Put a `ret` line to those it is like; gives its group."""
        group = self._by_digest.setdefault(digest(line), Group(line))
        group.ids.append(line["id"])
        return group

    def ordered(self) -> list[Group]:
        """The majority first; of equal number, in the order in which they came."""
        return sorted(self._by_digest.values(), key=lambda group: -len(group.ids))

    def as_they_came(self) -> list[Group]:
        """The same in the order in which they came."""
        return list(self._by_digest.values())

    def some_alike(self) -> bool:
        """Whether grouping makes anything shorter."""
        return any(len(group.ids) > 1 for group in self._by_digest.values())


class Differences:
    """How texts differ from one other text; what takes too long is given whole."""

    def __init__(self, text: str, color: bool) -> None:
        self._lines, self._end = text.splitlines(), time.monotonic() + ALL_DIFFS_SECONDS
        self._colors: Mapping[str, str] = terminal.colors({"color": color})

    def of(self, text: str) -> str:
        """A unified diff without a head, or the text itself where there was no time for one."""
        if time.monotonic() > self._end:
            return text
        import difflib

        try:
            with terminal.at_most(DIFF_SECONDS):
                found = list(difflib.unified_diff(self._lines, text.splitlines(), lineterm="", n=1))[2:]
        except terminal.Slow:
            return text
        return "\n".join(map(self._colored, found)) or text

    def _colored(self, line: str) -> str:
        name = {"+": "GREEN", "-": "RED", "@": "CYAN"}.get(line[:1], "")
        return f"{self._colors[name]}{line}{self._colors['END']}" if name else line
