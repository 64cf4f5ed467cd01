"""timezone: what is called, and what is not. See tests/functions.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PRIVATE = ["/etc", "/usr/bin"]
AFTER = True


def prepare(scratch: Path) -> None:
    """Without timedatectl, which asks a daemon, Salt reads and writes the files itself."""
    Path("/usr/bin/timedatectl").unlink(missing_ok=True)
    Path("/etc/timezone").write_text("Europe/Berlin\n")
    localtime = Path("/etc/localtime")
    localtime.unlink(missing_ok=True)
    localtime.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    Path("/etc/adjtime").write_text("0.0 0 0.0\n0\nUTC\n")


CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("timezone.get_zone", [], {}),
    ("timezone.get_offset", [], {}),
    ("timezone.get_zonecode", [], {}),
    ("timezone.zone_compare", ["Europe/Berlin"], {}),
    ("timezone.zone_compare", ["America/Denver"], {}),
    ("timezone.get_hwclock", [], {}),
    ("timezone.set_zone", ["America/Denver"], {}),
    ("timezone.set_zone", ["Atlantis/Capital"], {}),
    ("timezone.get_zone", [], {}),
    ("timezone.get_offset", [], {}),
    ("timezone.get_zonecode", [], {}),
]
NOT_COMPARED = {"timezone.set_hwclock": "it would set the hardware clock of the machine that this runs on"}
NORMAL = {"AFTER": lambda tree: {path: row for path, row in tree.items() if path.startswith("/etc/")}}
DIFFERS = {"timezone.set_zone Atlantis/Capital": "the sentence is an error, and so is the job"}
