"""sysctl: what is called, and what is not. See tests/functions.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NETWORK = True  # in which net.* is its own
PRIVATE = ["/etc"]
AFTER = True


def prepare(scratch: Path) -> None:
    text = "# net.ipv4.ip_forward = 1\n\nnet.ipv4.tcp_rmem = 4096  131072 6291456\nvm.swappiness=60\n"
    (scratch / "some.conf").write_text(text)


CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("sysctl.default_config", [], {}),
    ("sysctl.show", [], {}),
    ("sysctl.show", ["{scratch}/some.conf"], {}),
    ("sysctl.show", ["{scratch}/none.conf"], {}),
    ("sysctl.get", ["kernel.ostype"], {}),
    ("sysctl.get", ["net.ipv4.tcp_rmem"], {}),
    ("sysctl.get", ["no.such.name"], {}),
    ("sysctl.assign", ["net.ipv4.ip_forward", 1], {}),
    ("sysctl.get", ["net.ipv4.ip_forward"], {}),
    ("sysctl.assign", ["net.ipv4.ip_forward", "nonsense"], {}),
    ("sysctl.assign", ["no.such.name", 1], {}),
    ("sysctl.persist", ["net.ipv4.ip_forward", 0], {"config": "{scratch}/some.conf"}),
    ("sysctl.persist", ["net.ipv4.ip_forward", 0], {"config": "{scratch}/some.conf"}),
    ("sysctl.persist", ["net.ipv4.tcp_rmem", "4096 131072 6291456"], {"config": "{scratch}/some.conf"}),
    ("sysctl.persist", ["net.ipv4.tcp_rmem", "4096 131072 6291000"], {"config": "{scratch}/some.conf"}),
    ("sysctl.persist", ["net.ipv4.ip_forward", 1], {"config": "{scratch}/deep/new.conf"}),
    ("sysctl.persist", ["net.ipv4.ip_forward", 1], {}),
    ("sysctl.get", ["net.ipv4.ip_forward"], {}),
]
NOT_COMPARED: dict[str, str] = {}


def lasting(value: Any) -> Any:
    """Without what changes by itself."""
    moving = ("kernel.random.", "kernel.pty.nr", "fs.", "kernel.ns_last_pid", "vm.", "kernel.sched_domain")
    return {key: each for key, each in value.items() if not key.startswith(moving)} if value else value


NORMAL = {"sysctl.show": lasting}
DIFFERS = {
    "sysctl.get no.such.name": "the sentence is an error, and so is the job",
    "sysctl.assign net.ipv4.ip_forward nonsense": "our own sentence",
}
