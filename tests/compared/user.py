"""user: what is called. See tests/functions.py. Each side has copies of /etc and /home that it may change."""

from __future__ import annotations

from typing import Any

PRIVATE = ["/etc", "/home"]
AFTER = True
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("user.info", ["root"], {}),
    ("user.info", ["nosuch"], {}),
    ("user.list_users", [], {}),
    ("user.getent", [], {}),
    ("user.primary_group", ["daemon"], {}),
    ("user.list_groups", ["root"], {}),
    ("user.add", ["slalice"], {"uid": 5151, "shell": "/bin/bash", "fullname": "Alice L", "other": "a,b"}),
    ("user.add", ["slbob"], {"uid": 5152, "groups": ["adm", "games"], "createhome": False, "usergroup": False}),
    ("user.add", ["slsys"], {"uid": 515, "system": True, "home": "/var/lib/slsys", "createhome": False}),
    ("user.add", ["slalice"], {}),
    ("user.info", ["slalice"], {}),
    ("user.info", ["slbob"], {}),
    ("user.chshell", ["slalice", "/bin/sh"], {}),
    ("user.chshell", ["slalice", "/bin/sh"], {}),
    ("user.chshell", ["nosuch", "/bin/sh"], {}),
    ("user.chhome", ["slbob", "/home/bob"], {}),
    ("user.chuid", ["slbob", 5153], {}),
    ("user.chgid", ["slbob", 100], {}),
    ("user.chgroups", ["slalice", "adm,games"], {}),
    ("user.chgroups", ["slalice", ["audio"]], {"append": True}),
    ("user.list_groups", ["slalice"], {}),
    ("user.chfullname", ["slalice", "Alice Liddell"], {}),
    ("user.chroomnumber", ["slalice", 12], {}),
    ("user.chworkphone", ["slalice", "1"], {}),
    ("user.chhomephone", ["slalice", "2"], {}),
    ("user.chother", ["slalice", "x"], {}),
    ("user.rename", ["slbob", "slbobby"], {}),
    ("user.rename", ["slbobby", "root"], {}),
    ("user.info", ["slbobby"], {}),
    ("user.delete", ["slalice"], {"remove": True}),
    ("user.delete", ["slsys"], {}),
    ("user.delete", ["nosuch"], {}),
]


def _accounts(tree: dict[str, Any]) -> dict[str, Any]:
    """Texts alone: passwd's programs write the files anew, and backups of what was there before."""
    return {path: state[3] for path, state in tree.items() if path.startswith("/home") or not path.endswith("-")}


NORMAL = {"AFTER": _accounts}
ONLY_SALT = {
    **dict.fromkeys(("user.chloginclass", "user.get_loginclass"), "of BSD"),
}
NOT_COMPARED: dict[str, str] = {}
DIFFERS = {
    "user.rename slbob slbobby": "True, where Salt looks for the new name under the old one and says False",
    "user.add slalice": "useradd's message is raised, where Salt returns False",
    "user.delete nosuch": "a user that is not there is an error with a sentence, where Salt returns False",
}
