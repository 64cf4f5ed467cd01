"""group: what is called. See tests/functions.py. Each side has a copy of /etc that it may change."""

from __future__ import annotations

from typing import Any

PRIVATE = ["/etc"]
AFTER = True
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("group.info", ["root"], {}),
    ("group.info", ["nosuch"], {}),
    ("group.getent", [], {}),
    ("group.add", ["sleditors"], {"gid": 5161}),
    ("group.add", ["slsys"], {"gid": 516, "system": True}),
    ("group.add", ["sltwin"], {"gid": 5161, "non_unique": True}),
    ("group.add", ["sleditors"], {}),
    ("group.chgid", ["sleditors", 5162], {}),
    ("group.chgid", ["sleditors", 5162], {}),
    ("group.adduser", ["sleditors", "daemon"], {}),
    ("group.adduser", ["sleditors", "daemon"], {}),
    ("group.adduser", ["sleditors", "nosuch"], {}),
    ("group.info", ["sleditors"], {}),
    ("group.deluser", ["sleditors", "daemon"], {}),
    ("group.deluser", ["sleditors", "daemon"], {}),
    ("group.members", ["sleditors", "daemon,games"], {}),
    ("group.members", ["sleditors", "nosuch"], {}),
    ("group.info", ["sleditors"], {}),
    ("group.delete", ["slsys"], {}),
    ("group.delete", ["nosuch"], {}),
]
NORMAL = {"AFTER": lambda tree: {path: state[3] for path, state in tree.items() if not path.endswith("-")}}
NOT_COMPARED: dict[str, str] = {}
DIFFERS = {
    "group.add sleditors": "groupadd's message is raised, where Salt returns False",
    "group.adduser sleditors nosuch": "gpasswd's message is raised, where Salt returns False",
    "group.members sleditors nosuch": "gpasswd's message is raised, where Salt returns False",
    "group.delete nosuch": "groupdel's message is raised, where Salt returns False",
}
