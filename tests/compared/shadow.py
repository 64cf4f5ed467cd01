"""shadow: what is called. See tests/functions.py. Each side has a copy of /etc that it may change."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

PRIVATE = ["/etc", "/home"]
AFTER = True
HASH = "$5$saltsalt$CV/k67s0DbV7QXiMY0PtiKu/kz4ttRdT3r/6kV.wFC5"


def prepare(scratch: Path) -> None:
    """A user to change."""
    subprocess.run(["useradd", "-u", "5171", "slalice"], check=True)


CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("shadow.default_hash", [], {}),
    ("shadow.info", ["root"], {}),
    ("shadow.info", ["nosuch"], {}),
    ("shadow.list_users", [], {}),
    ("shadow.gen_password", ["I_am_password"], {"crypt_salt": "saltsalt", "algorithm": "sha256"}),
    ("shadow.gen_password", ["I_am_password"], {"crypt_salt": "saltsalt"}),
    ("shadow.gen_password", ["I_am_password"], {"crypt_salt": "saltsalt", "algorithm": "md5"}),
    ("shadow.set_password", ["slalice", HASH], {}),
    ("shadow.info", ["slalice"], {}),
    ("shadow.set_password", ["slalice", "secret"], {}),
    ("shadow.set_password", ["slalice", HASH], {}),
    ("shadow.set_password", ["nosuch", HASH], {}),
    ("shadow.lock_password", ["slalice"], {}),
    ("shadow.lock_password", ["slalice"], {}),
    ("shadow.info", ["slalice"], {}),
    ("shadow.unlock_password", ["slalice"], {}),
    ("shadow.set_maxdays", ["slalice", 90], {}),
    ("shadow.set_mindays", ["slalice", 7], {}),
    ("shadow.set_warndays", ["slalice", 5], {}),
    ("shadow.set_inactdays", ["slalice", 3], {}),
    ("shadow.set_expire", ["slalice", 22279], {}),
    ("shadow.set_expire", ["slalice", "2031-01-02"], {}),
    ("shadow.set_date", ["slalice", 0], {}),
    ("shadow.set_maxdays", ["nosuch", 90], {}),
    ("shadow.info", ["slalice"], {}),
    ("shadow.del_password", ["slalice"], {}),
    ("shadow.info", ["slalice"], {}),
]
NORMAL = {"AFTER": lambda tree: {path: state[3] for path, state in tree.items() if not path.endswith("-")}}
NOT_COMPARED: dict[str, str] = {}
DIFFERS = {
    "shadow.set_password slalice secret": "what is no hash is refused: Salt writes it, and nobody can log in",
    "shadow.set_password nosuch "
    + HASH: "a user that is not there is an error with a sentence, where Salt returns False",
    "shadow.set_maxdays nosuch 90": "a user that is not there is an error with a sentence, where Salt returns False",
}
