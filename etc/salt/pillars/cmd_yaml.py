"""ext_pillar `cmd_yaml`: what a command of the operator prints, as YAML; `%s` in it is the minion's id."""

from __future__ import annotations

from typing import Any

from saltlite import Failure, packed_leaf, valid_id


def printed(pillar: Any, kind: str, command: Any) -> str:
    """What a command prints for a minion; Failure if it fails, for half of its data are worse than none."""
    if not isinstance(command, str) or not command.strip():
        raise Failure(f"{kind} wants a command as a text.")
    if not valid_id(pillar.minion_id):
        raise Failure(f"{pillar.minion_id!r} is no id that may stand in a command.")
    words = command.replace("%s", pillar.minion_id)
    ended = packed_leaf("pillars", "process").run(f"the command {words[:100]!r}", words, rests=command, cwd="/")
    if ended.returncode:
        complaint = ended.complaint.decode(errors="replace").strip()[-300:]
        raise Failure(f"the command {words[:100]!r} ends with {ended.returncode}: {complaint}")
    text: str = ended.output.decode(errors="replace")
    pillar.outside.append(text)
    return text


def ext_pillar(pillar: Any, compiled: Any, command: Any) -> Any:
    return packed_leaf("pillars", "serial").load_yaml(printed(pillar, "cmd_yaml", command)) or {}
