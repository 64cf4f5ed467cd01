"""hosts: what is called, with copies of /etc. See tests/functions.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PRIVATE = ["/etc"]
AFTER = True
TEXT = """127.0.0.1\tlocalhost
# the servers
10.0.0.1\tone uno # first

10.0.0.2\ttwo
10.0.0.2\tzwei
::1\tlocalhost ip6-localhost
"""
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("hosts.list_hosts", [], {}),
    *(("hosts.get_ip", [name], {}) for name in ("one", "zwei", "localhost", "missing")),
    *(("hosts.get_alias", [address], {}) for address in ("10.0.0.1", "10.0.0.2", "10.9.9.9")),
    *(("hosts.has_pair", ["10.0.0.1", name], {}) for name in ("one", "two", ["one", "uno"], ["one", "two"])),
    ("hosts.has_pair", ["10.9.9.9", "x"], {}),
    ("hosts.add_host", ["10.0.0.1", "one"], {}),
    ("hosts.add_host", ["10.0.0.1", "eins"], {}),
    ("hosts.add_host", ["10.0.0.3", "three"], {}),
    ("hosts.rm_host", ["10.0.0.1", "uno"], {}),
    ("hosts.rm_host", ["10.0.0.3", "three"], {}),
    ("hosts.rm_host", ["10.0.0.3", "three"], {}),
    ("hosts.set_host", ["10.0.0.4", "four vier"], {}),
    ("hosts.set_host", ["10.0.0.4", "four"], {"comment": "the fourth"}),
    ("hosts.set_host", ["10.0.0.2", "two"], {}),
    ("hosts.set_host", ["::1", " "], {}),
    ("hosts.set_comment", ["10.0.0.1", "other"], {}),
    ("hosts.set_comment", ["10.9.9.9", "other"], {}),
    ("hosts.list_hosts", [], {}),
]


def prepare(scratch: Path) -> None:
    Path("/etc/hosts").write_text(TEXT)


def words(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree, with one blank for all white space, and without empty lines."""
    return {
        name: [*what[:3], [line.split() for line in (what[3] or "").splitlines() if re.search(r"\S", line)]]
        for name, what in tree.items()
        if name == "/etc/hosts"
    }


NORMAL = {"AFTER": words}
