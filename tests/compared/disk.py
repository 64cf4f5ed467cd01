"""disk: what is called, and what is not. See tests/functions.py."""

from __future__ import annotations

from typing import Any

from compared import stays

CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("disk.usage", [], {}),
    ("disk.usage", ["al"], {}),
    ("disk.usage", [["l"]], {}),
    ("disk.usage", ["z"], {}),
    ("disk.usage", [], {"args": "h"}),
    ("disk.inodeusage", [], {}),
    ("disk.inodeusage", ["l"], {}),
    ("disk.inodeusage", ["Z"], {}),
    ("disk.percent", [], {}),
    ("disk.percent", ["/"], {}),
    ("disk.percent", ["/nowhere"], {}),
    ("disk.blkid", [], {}),
    ("disk.blkid", ["/dev/nothing"], {}),
    ("disk.blkid", [], {"token": "TYPE=nothing"}),
    ("disk.fstype", ["/"], {}),
    ("disk.fstype", ["/dev/nothing"], {}),
    ("disk.get_fstype_from_path", ["/etc"], {}),
]
ONLY_SALT = {
    **dict.fromkeys(
        ("disk.format", "disk.resize2fs", "disk.tune", "disk.wipe"), "what changes disks is left to people"
    ),
    **dict.fromkeys(
        ("disk.hpa", "disk.hdparms", "disk.smart_attributes", "disk.iostat", "disk.dump"),
        "the answers of hdparm, smartctl, iostat and blockdev, which cmd.run shows, too",
    ),
}
NOT_COMPARED: dict[str, str] = {}


def at_rest(value: Any) -> Any:
    """Without what another process may change meanwhile."""
    moving = {"used", "available", "capacity", "free", "use"}
    rows = {place: row for place, row in value.items() if stays(place)}
    return {place: {key: each for key, each in row.items() if key not in moving} for place, row in rows.items()}


NORMAL = {
    "disk.usage": at_rest,
    "disk.inodeusage": at_rest,
}
DIFFERS = {
    "disk.usage args=h": "with units the rows are there, too",
    "disk.blkid /dev/nothing": "finding nothing is no failure",
    "disk.blkid token=TYPE=nothing": "finding nothing is no failure",
    "disk.fstype /": "the type alone, where lsblk does not know it",
    "disk.fstype /dev/nothing": "finding nothing is no failure",
    "disk.get_fstype_from_path": "the type alone",
}
