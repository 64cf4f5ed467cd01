"""system: what is called, and what is not. See tests/functions.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PRIVATE = ["/etc", "/usr/bin"]
AFTER = True


def prepare(scratch: Path) -> None:
    """Without hostnamectl, which asks a daemon, Salt reads and writes /etc/machine-info itself."""
    Path("/usr/bin/hostnamectl").unlink(missing_ok=True)
    Path("/etc/machine-info").write_text('CHASSIS=server\nPRETTY_HOSTNAME="before"\n')


CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("system.get_system_time", [], {}),
    ("system.get_system_time", ["+0600"], {}),
    ("system.get_system_date", [], {}),
    ("system.get_system_date", [], {"utc_offset": "-1100"}),
    ("system.get_system_date_time", [], {}),
    ("system.get_system_date_time", ["0530"], {}),
    ("system.get_system_date_time", ["five"], {}),
    ("system.set_system_time", ["25 o'clock"], {}),
    ("system.set_system_date", ["some day"], {}),
    ("system.get_computer_name", [], {}),
    ("system.get_computer_desc", [], {}),
    ("system.set_computer_desc", ['Michael\'s "laptop"\tx'], {}),
    ("system.get_computer_desc", [], {}),
    ("system.has_settable_hwclock", [], {}),
]
WHOLE = "it would end the machine that this runs on"
NOT_COMPARED = {
    "system.halt": WHOLE,
    "system.init": WHOLE,
    "system.poweroff": WHOLE,
    "system.reboot": WHOLE,
    "system.shutdown": WHOLE,
    "system.set_computer_name": "it is network.mod_hostname",
    "system.set_system_date_time": "it would set the clock of the machine that this runs on",
}
NORMAL = {
    "system.get_system_time": lambda value: (value[:5], value[8:]),  # without the seconds
    "system.get_system_date_time": lambda value: value[:16],
    "AFTER": lambda tree: {
        path: row[:3] + [sorted(row[3].split())] for path, row in tree.items() if path == "/etc/machine-info"
    },
}
DIFFERS: dict[str, str] = {}
