"""ext_pillar `cmd_json`: what a command of the operator prints, as JSON; `%s` in it is the minion's id."""

from __future__ import annotations

from typing import Any

from saltlite import packed_leaf


def ext_pillar(pillar: Any, compiled: Any, command: Any) -> Any:
    text = packed_leaf("pillars", "cmd_yaml").printed(pillar, "cmd_json", command)
    return packed_leaf("pillars", "serial").load_json(text)
