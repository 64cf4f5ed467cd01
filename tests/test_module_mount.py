"""mount: scratch fstabs, this machine's mounts, and programs of ours in the place of mount and umount."""

from __future__ import annotations

import os

import pytest
from one_minion import Minion

FSTAB = b"""# \xff kept \x0c \xc2\x85 \r
UUID=1 / ext4 errors=remount-ro 0 1
/dev/sdb1\t/data\txfs\tdefaults,noatime\t0 2
server:/x /nfs nfs rw
/dev/sdc1 /data ext4 defaults
/dev/sdd1 /my\\040disk ext4 defaults 0 0"""


@pytest.fixture
def fstab(tmp_path):
    path = tmp_path / "fstab"
    path.write_bytes(FSTAB)
    return path


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "m", None, grains={"os_family": "Debian"})


def test_a_line_is_a_row(minion, fstab):
    found = minion("mount.fstab", str(fstab))
    assert list(found) == ["/", "/data", "/nfs", "/data_", "/my\\040disk"]
    assert found["/nfs"] == {"device": "server:/x", "fstype": "nfs", "opts": ["rw"], "dump": "0", "pass": "0"}
    assert found["/data"]["opts"] == ["defaults", "noatime"] and found["/data"]["pass"] == "2"
    assert minion("mount.fstab", "/no/such/file") == {}


@pytest.mark.parametrize(("args", "kwargs", "state", "line"), [
    (["/data", "/dev/sdb1", "xfs", "noatime,defaults", 0, 2], {}, "present", None),
    (["/data2", "/dev/sdb1", "xfs"], {"not_change": True}, "present", None),
    (["/data2", "/dev/sdb1", "xfs", ["ro", "nodev"], 1, 2], {}, "change", b"/dev/sdb1\t\t/data2\txfs\tro,nodev\t1 2\n"),
    (["/nfs", "other:/x", "nfs"], {}, "change", b"other:/x\t\t/nfs\tnfs\tdefaults\t0 0\n"),
    (["/new", "/dev/sde1", "ext4"], {}, "new", b"/dev/sde1\t\t/new\text4\tdefaults\t0 0\n"),
    (["/a b", "/dev/sde1", "ext4"], {}, "new", b"/dev/sde1\t\t/a\\040b\text4\tdefaults\t0 0\n"),
    (["/data2", "/dev/sdb1", "xfs"], {"match_on": ["name"]}, "new", b"/dev/sdb1\t\t/data2\txfs\tdefaults\t0 0\n"),
])  # fmt: skip
def test_fstab_says_what_it_is_to_say(minion, fstab, args, kwargs, state, line):
    fstab.chmod(0o640)
    assert minion("mount.set_fstab", *args, config=str(fstab), test=True, **kwargs) == state
    assert fstab.read_bytes() == FSTAB
    assert minion("mount.set_fstab", *args, config=str(fstab), **kwargs) == state
    text = fstab.read_bytes()
    assert text == FSTAB if line is None else line in text and text.startswith(FSTAB[:30])
    assert b"/dev/sdd1 /my\\040disk ext4 defaults 0 0" in text.splitlines(), "a last line without its end is a line"
    assert fstab.stat().st_mode & 0o777 == 0o640
    assert minion("mount.set_fstab", *args, config=str(fstab), **kwargs) == "present"
    assert sorted(os.listdir(fstab.parent)) == ["fstab", "m"]


def test_what_cannot_be_a_line_changes_nothing(minion, fstab):
    at = {"config": str(fstab)}
    for args in (["/a\n/dev/x / ext4 defaults 0 0", "/dev/x", "ext4"], ["/a", "/dev/x", ""], ["/a", "b\0", "ext4"]):
        assert "cannot stand in a line of fstab" in minion.error("mount.set_fstab", *args, **at)
    assert 'Unrecognized keys in match_on: "place"' in minion.error(
        "mount.set_fstab", "/", "x", "y", match_on="place", **at
    )
    assert "must be a string or list" in minion.error("mount.set_fstab", "/", "x", "y", match_on=7, **at)
    assert "Bad config file" in minion.error("mount.set_fstab", "/", "x", "y", config="/no/such/file")
    assert fstab.read_bytes() == FSTAB


def test_lines_are_taken_out_by_place_and_device(minion, fstab):
    at = {"config": str(fstab)}
    assert minion("mount.rm_fstab", "/data", "/dev/sdc1", test=True, **at) == f"1 lines would be taken out of {fstab}."
    assert minion("mount.rm_fstab", "/none", "/dev/none", **at) is True and fstab.read_bytes() == FSTAB
    assert minion("mount.rm_fstab", "/data", "/dev/sdc1", **at) is True
    assert list(minion("mount.fstab", str(fstab))) == ["/", "/data", "/nfs", "/my\\040disk"]
    assert minion("mount.rm_fstab", "/my disk", None, **at) is True and "/my\\040disk" not in minion(
        "mount.fstab", str(fstab)
    )
    assert "Couldn't read from" in minion.error("mount.rm_fstab", "/", None, config="/no/such/file")


def test_this_machine_s_mounts(minion):
    found = minion("mount.active")
    assert found["/proc"]["fstype"] == "proc" and isinstance(found["/proc"]["opts"], list)
    assert minion("mount.is_mounted", "/proc") is True and minion("mount.is_mounted", "/nowhere") is False
    assert minion("mount.get_mount_from_path", "/proc/self/status") == "/proc"
    assert minion("mount.get_device_from_path", "/proc/1") == found["/proc"]["device"]
    more = minion("mount.active", extended=True)["/proc"]
    assert more["fstype"] == "proc" and more["major"].isdigit() and more["device_uuid"] is None
    assert isinstance(minion("mount.swaps"), dict) and minion("mount.swapoff", "/no/such/file") is None


def test_tables_with_blanks_and_names(minion, tmp_path):
    module = minion.execution.functions["mount.active"].__globals__
    module["MOUNTS"], module["SWAPS"] = str(tmp_path / "mounts"), str(tmp_path / "swaps")
    (tmp_path / "mounts").write_text("/dev/a /a\\040b\u00a0\u2028c ext4 rw,uid=root,gid=7,uid=nosuchuser 0 0\n")
    assert minion("mount.active") == {
        "/a b\u00a0\u2028c": {
            "device": "/dev/a",
            "alt_device": "/dev/a",
            "fstype": "ext4",
            "opts": ["rw", "uid=0", "gid=7", "uid=nosuchuser"],
        }
    }
    (tmp_path / "swaps").write_text("Filename Type Size Used Priority\n/swap\\040file file 100 5 -2\n")
    row = {"type": "file", "size": "100", "used": "5", "priority": "-2"}
    assert minion("mount.swaps") == {"/swap file": row}
    assert minion("mount.swapon", "/swap file") == {"stats": row, "new": False}


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """mount and umount that print how they were called and fail where they are told to."""
    (tmp_path / "bin").mkdir()
    for name in ("mount", "umount", "swapon", "swapoff"):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nfor each; do echo "[$each]"; done > {tmp_path}/called\n'
                                             f"echo no >&2\nexit $(cat {tmp_path}/code)\n")  # fmt: skip
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "code").write_text("0")
    return tmp_path


def test_words_stay_words_on_their_way_to_mount(minion, programs):
    place = "/mnt/a b'; reboot"
    said = minion("mount.mount", place, "-dev", fstype="ext4", opts=["ro", "uid=7"], test=True)
    assert said == f"This would run: mount -o ro,uid=7 -t ext4 -- -dev {place}" and not (programs / "called").exists()
    assert minion("mount.mount", place, "-dev", fstype="ext4", opts=["ro", "uid=7"]) is True
    assert (programs / "called").read_text() == f"[-o]\n[ro,uid=7]\n[-t]\n[ext4]\n[--]\n[-dev]\n[{place}]\n"
    assert minion("mount.mount", place) is True and (programs / "called").read_text() == f"[--]\n[{place}]\n"
    assert minion("mount.mount", str(programs / "made/deep"), "x", True) is True and (programs / "made/deep").is_dir()
    assert minion("mount.remount", "/proc", "x", opts="ro") is True
    assert (programs / "called").read_text() == "[-o]\n[ro,remount]\n[--]\n[x]\n[/proc]\n"
    assert minion("mount.umount", "/proc", lazy=True) is True
    assert (programs / "called").read_text() == "[-l]\n[--]\n[/proc]\n"


def test_what_mount_says_is_the_return_and_fails_the_job(minion, programs):
    (programs / "code").write_text("32")
    assert minion.run("mount.mount", "/x", "/dev/none") == ("no", 32, True)
    assert minion.run("mount.umount", "/nowhere") == ("/nowhere does not have anything mounted", 0, True)
    assert minion.error("mount.swapon", "/none") == "no"
    assert "util: 'guestfs' is not there" in minion.error("mount.mount", "/x", "y", util="guestfs")
