"""mount: what is called, and what is not. See tests/functions.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compared import stays

PRIVATE = ["/etc"]  # with it a mount namespace, in which mounting harms nobody
AFTER = True
FSTAB = """# a comment
UUID=1234-5678 / ext4 errors=remount-ro 0 1
/dev/sdb1\t/data\txfs\tdefaults,noatime\t0 2
server:/export /mnt/nfs nfs rw,soft
/dev/sdc1 /data ext4 defaults 0 0
too many words in this line to be one
tmpfs /tmp tmpfs size=1G 0 0
"""


def prepare(scratch: Path) -> None:
    (scratch / "fstab").write_text(FSTAB)
    (scratch / "place").mkdir()
    Path("/etc/fstab").write_text(f"tmpfs {scratch}/from-fstab tmpfs size=1M 0 0\n")
    (scratch / "from-fstab").mkdir()


AT = {"config": "{scratch}/fstab"}
PLACE = "{scratch}/place"
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("mount.active", [], {}),
    ("mount.active", [], {"extended": True}),
    ("mount.swaps", [], {}),
    ("mount.swapoff", ["/no/such/file"], {}),
    ("mount.is_mounted", ["/proc"], {}),
    ("mount.is_mounted", [PLACE], {}),
    ("mount.mount", [PLACE, "tmpfs"], {"fstype": "tmpfs", "opts": "size=1M,noexec"}),
    ("mount.is_mounted", [PLACE], {}),
    ("mount.remount", [PLACE, "tmpfs"], {"fstype": "tmpfs", "opts": ["size=2M"]}),
    ("mount.get_mount_from_path", ["{scratch}/place/deep"], {}),
    ("mount.get_device_from_path", ["{scratch}/place/deep"], {}),
    ("mount.umount", [PLACE], {}),
    ("mount.umount", [PLACE], {}),
    ("mount.mount", ["{scratch}/made/for/it", "tmpfs"], {"mkmnt": True, "fstype": "tmpfs"}),
    ("mount.umount", ["{scratch}/made/for/it"], {"lazy": True}),
    ("mount.mount", [PLACE, "/no/such/device"], {}),
    ("mount.mount", ["{scratch}/from-fstab"], {}),
    ("mount.umount", ["{scratch}/from-fstab"], {}),
    ("mount.fstab", [], AT),
    ("mount.fstab", ["/no/such/file"], {}),
    ("mount.set_fstab", ["/data", "/dev/sdb1", "xfs", "noatime,defaults", 0, 2], AT),
    ("mount.set_fstab", ["/data", "/dev/sdb1", "xfs", ["ro"], 0, 2], AT | {"test": True}),
    ("mount.set_fstab", ["/data2", "/dev/sdb1", "xfs"], AT | {"not_change": True}),
    ("mount.set_fstab", ["/data2", "/dev/sdb1", "xfs", ["ro"], 1, 2], AT),
    ("mount.set_fstab", ["/mnt/nfs", "other:/export", "nfs"], AT),
    ("mount.set_fstab", ["/new", "/dev/sdd1", "ext4"], AT),
    ("mount.set_fstab", ["/new2", "/dev/sdd1", "ext4"], AT | {"match_on": ["name", "device"]}),
    ("mount.set_fstab", ["/new", "/dev/sdd1", "ext4"], {"config": "/no/such/file"}),
    ("mount.set_fstab", ["/new", "/dev/sdd1", "ext4"], AT | {"match_on": 7}),
    ("mount.rm_fstab", ["/", "UUID=1234-5678"], AT),
    ("mount.rm_fstab", ["/nothing", "/dev/nothing"], AT),
    ("mount.rm_fstab", ["/tmp", None], AT),
    ("mount.fstab", [], AT),
]
ONLY_SALT = {
    **dict.fromkeys(
        (
            "mount.automaster",
            "mount.rm_automaster",
            "mount.set_automaster",
            "mount.rm_vfstab",
            "mount.set_vfstab",
            "mount.vfstab",
            "mount.filesystems",
            "mount.rm_filesystems",
            "mount.set_filesystems",
        ),
        "of macOS, Solaris and AIX",
    ),
    **dict.fromkeys(
        ("mount.delete_mount_cache", "mount.read_mount_cache", "mount.write_mount_cache", "mount.is_fuse_exec"),
        "the inside of the state mount.mounted, which needs Salt",
    ),
}
NOT_COMPARED = {"mount.swapon": "it would change the swap space of the machine that this runs on"}


def without_ids(value: dict[str, dict[str, Any]]) -> Any:
    """Mounts without what is another number in each namespace, and without the layers of this run."""
    moving = {"mountid", "parentid", "major", "minor"}
    rows = {place: row for place, row in value.items() if row["fstype"] != "overlay" and "overlays" not in place}
    rows = {place: row for place, row in rows.items() if stays(place)}
    return {place: {key: each for key, each in row.items() if key not in moving} for place, row in rows.items()}


NORMAL = {"mount.active": without_ids}
DIFFERS: dict[str, str] = {}
