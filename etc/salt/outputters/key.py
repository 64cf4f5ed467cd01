"""Keys as salt-key prints them: {directory: [id…]}, or {directory: {id: fingerprint or key}}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saltlite import packed_leaf

terminal = packed_leaf("terminal", "text")
colors, no_escape, one_line = terminal.colors, terminal.no_escape, terminal.one_line


COLORED = True
KEY_STATES = {  # directory: heading, colour
    "local": ("Local Keys:", "MAGENTA"),
    "minions": ("Accepted Keys:", "GREEN"),
    "minions_denied": ("Denied Keys:", "MAGENTA"),
    "minions_pre": ("Unaccepted Keys:", "RED"),
    "minions_rejected": ("Rejected Keys:", "BLUE"),
}


def output(data: Any, opts: Mapping[str, Any]) -> str:
    color = colors(opts)
    lines = []
    for state in sorted(data):
        heading, name = KEY_STATES[state]
        lines.append(f"{color['LIGHT_' + name]}{heading}{color['END']}")
        for minion_id in sorted(data[state]):
            detail = f":  {no_escape(data[state][minion_id])}" if isinstance(data[state], dict) else ""
            lines.append(f"{color[name]}{one_line(minion_id)}{detail}{color['END']}")
    return "\n".join(lines)
