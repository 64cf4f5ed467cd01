"""disk: df and blkid, and what may stand in their lines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from one_minion import Minion

LINES = """Filesystem     1024-blocks     Used Available Capacity Mounted on
/dev/sda1         20509264 11343116   8098276      59% /
server: odd name         4        0         4       0% /mnt/a b/c
none                     0        0         0       -  /empty
garbage
"""


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "m", None)


def program(tmp_path, monkeypatch, minion, name, text, code=0):
    """A program of this name that prints a text."""
    path = tmp_path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    (tmp_path / f"{name}.txt").write_text(text)
    path.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat {tmp_path}/{name}.txt\nexit {code}\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    return tmp_path / "arguments"


@pytest.mark.skipif(not os.path.ismount("/") or " / " not in Path("/proc/mounts").read_text(), reason="in a chroot")
def test_this_machine(minion):
    found = minion("disk.usage")
    assert found["/"].keys() == {"filesystem", "1K-blocks", "used", "available", "capacity"}
    assert minion("disk.percent", "/") == minion("disk.percent")["/"] and minion("disk.percent", "/nowhere") == {}
    assert minion("disk.inodeusage")["/"].keys() == {"inodes", "used", "free", "use", "filesystem"}
    assert minion("disk.fstype", "/") == minion("disk.get_fstype_from_path", "/not/there/yet") != ""


def test_names_with_blanks_are_whole(minion, tmp_path, monkeypatch):
    arguments = program(tmp_path, monkeypatch, minion, "df", LINES, 1)
    found = minion("disk.usage", "l")
    assert arguments.read_text() == "-P -l\n" and list(found) == ["/", "/mnt/a b/c", "/empty"]
    assert found["/mnt/a b/c"]["filesystem"] == "server: odd name" and found["/empty"]["capacity"] == "-"
    assert minion("disk.percent")["/"] == "59%"


def test_flags_are_letters_of_df(minion, tmp_path, monkeypatch):
    arguments = program(tmp_path, monkeypatch, minion, "df", LINES)
    for flags in ("l; rm -rf /", "-l", "z", ["l", "/etc"]):
        assert minion.error("disk.usage", flags) == "Invalid flag passed to disk.usage"
    assert not arguments.exists()


def test_what_fails_says_so(minion, tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, minion, "df", "", 1)
    assert minion.error("disk.usage") == "df failed: "


def test_attributes_of_devices(minion, tmp_path, monkeypatch):
    text = '/dev/sda1: LABEL="my disk" UUID="1-2" TYPE="ext4" PARTUUID="x=y"\n/dev/sdb: TYPE="LVM2_member"\n'
    arguments = program(tmp_path, monkeypatch, minion, "blkid", text)
    assert minion("disk.blkid", token="TYPE=ext4") == {
        "/dev/sda1": {"LABEL": "my disk", "UUID": "1-2", "TYPE": "ext4", "PARTUUID": "x=y"},
        "/dev/sdb": {"TYPE": "LVM2_member"},
    }
    assert arguments.read_text() == "-t TYPE=ext4\n"
    program(tmp_path, monkeypatch, minion, "blkid", text, 2)
    assert minion("disk.blkid", "/dev/none") == {}


def test_a_program_that_is_not_there_or_does_not_answer(minion, tmp_path):
    module = minion.execution.functions["disk.usage"].__globals__
    module["SEARCHED"] = str(tmp_path)
    assert minion.error("disk.blkid") == "blkid is not installed on this machine."
    Path(tmp_path, "df").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    Path(tmp_path, "df").chmod(0o755)
    module["COMMAND_SECONDS"] = 0.2
    assert minion.error("disk.usage") == "df has not answered for 0.2 seconds: a file server may be away."


def test_a_device_is_no_option_of_blkid(minion, tmp_path, monkeypatch):
    arguments = program(tmp_path, monkeypatch, minion, "blkid", "")
    assert minion("disk.blkid", "-w/etc/x") == {} and arguments.read_text() == "-- -w/etc/x\n"
