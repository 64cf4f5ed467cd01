"""cron: what is called, where there is crontab. See tests/functions.py. Each side has crontabs of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

SPOOL = next((path for path in ("/var/spool/cron", "/var/cron/tabs") if os.path.isdir(path)), "/var/spool")
PRIVATE = [SPOOL]
AFTER = True
EVERY = ["*", "*", "*", "*", "*"]


def prepare(scratch: Path) -> None:
    """A file to be the crontab."""
    (scratch / "tab").write_text("0 5 * * * /bin/theirs\nMAILTO=me\n")
    (scratch / "wrong").write_text("nonsense\n")


CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("cron.raw_cron", ["daemon"], {}),
    ("cron.list_tab", ["daemon"], {}),
    ("cron.write_cron_file", ["daemon", "{scratch}/tab"], {}),
    ("cron.write_cron_file", ["daemon", "{scratch}/wrong"], {}),
    ("cron.write_cron_file_verbose", ["daemon", "{scratch}/wrong"], {}),
    ("cron.set_job", ["daemon", "0", "3", "*", "*", "1", "/bin/a  b"], {}),
    ("cron.set_job", ["daemon", "0", "3", "*", "*", "1", "/bin/a  b"], {}),
    ("cron.set_job", ["daemon", 5, 3, "*", "*", 1, "/bin/a  b"], {"comment": "two\nlines"}),
    ("cron.set_job", ["daemon", *EVERY, "/bin/c"], {"identifier": "one"}),
    ("cron.set_job", ["daemon", *EVERY, "/bin/c"], {"identifier": "two", "commented": True}),
    ("cron.set_job", ["daemon", *EVERY, "/bin/d"], {"identifier": "one", "comment": "said"}),
    ("cron.set_job", ["daemon", *EVERY, "/bin/a  b"], {"identifier": "named"}),
    ("cron.list_tab", ["daemon"], {}),
    ("cron.ls", ["daemon"], {}),
    ("cron.get_entry", ["daemon"], {"identifier": "one"}),
    ("cron.get_entry", ["daemon"], {"cmd": "/bin/c"}),
    ("cron.get_entry", ["daemon"], {"cmd": "/bin/nosuch"}),
    ("cron.set_special", ["daemon", "@daily", "/bin/s"], {}),
    ("cron.set_special", ["daemon", "@daily", "/bin/s"], {}),
    ("cron.set_special", ["daemon", "@hourly", "/bin/s"], {"identifier": "s"}),
    ("cron.set_special", ["daemon", "@reboot", "/bin/d"], {"identifier": "one"}),
    ("cron.set_env", ["daemon", "MAILTO", "a@example.org"], {}),
    ("cron.set_env", ["daemon", "MAILTO", "b@example.org"], {}),
    ("cron.set_env", ["daemon", "MAILTO", "b@example.org"], {}),
    ("cron.set_env", ["daemon", "EMPTY"], {}),
    ("cron.raw_cron", ["daemon"], {}),
    ("cron.rm_env", ["daemon", "EMPTY"], {}),
    ("cron.rm_env", ["daemon", "EMPTY"], {}),
    ("cron.rm_job", ["daemon", "/bin/c"], {"identifier": "nosuch"}),
    ("cron.rm_job", ["daemon", "/bin/c"], {"identifier": "two", "minute": 7}),
    ("cron.rm_job", ["daemon", "/bin/c"], {"identifier": "two"}),
    ("cron.rm", ["daemon", "/bin/a  b"], {"identifier": "named"}),
    ("cron.rm_special", ["daemon", "/bin/s"], {"identifier": "s"}),
    ("cron.rm_special", ["daemon", "/bin/nosuch"], {}),
    ("cron.set_job", ["nosuch", *EVERY, "/bin/a"], {}),
    ("cron.raw_cron", ["daemon"], {}),
]
NORMAL = {
    "cron.write_cron_file_verbose": lambda found: found["retcode"],
    "AFTER": lambda tree: {path: state[3].splitlines()[3:] for path, state in tree.items() if path.endswith("/daemon")},
}
SAME = "`present`, where Salt writes the same entry again and says `updated`"
NOT_COMPARED: dict[str, str] = {}
DIFFERS = {
    'cron.set_job daemon 0 3 * * 1 "/bin/a  b"': SAME,
    "cron.set_special daemon @daily /bin/s": SAME,
    "cron.set_job nosuch * * * * * /bin/a": "what is wrong is raised, where Salt returns it",
}
if not shutil.which("crontab"):
    NOT_COMPARED = {case[0]: "there is no crontab here" for case in CASES}
    CASES, DIFFERS = [], {}
