"""system: what ends the machine answers first; clock and description. Nothing here ends it: the programs are ours."""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path

import pytest
from one_minion import Minion

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may end the machine")
PROGRAMS = ("shutdown", "halt", "poweroff", "init")


@pytest.fixture
def minion(tmp_path):
    """One whose programs write down how they were called, and do nothing else."""
    minion = Minion(tmp_path / "m", None)
    (tmp_path / "bin").mkdir()
    for name in PROGRAMS:
        path = tmp_path / "bin" / name
        path.write_text(f'#!/bin/sh\necho "$0 $@" | sed "s|.*/||" >> {tmp_path}/called\necho "said $1"\n')
        path.chmod(0o755)
    module = minion.execution.functions["system.halt"].__globals__
    module |= {"SEARCHED": str(tmp_path / "bin"), "ACT_SECONDS": 0.2, "MACHINE_INFO": str(tmp_path / "machine-info")}
    minion.called = tmp_path / "called"
    return minion


ENDS = [
    ("system.halt", [], "halt"), ("system.poweroff", [], "poweroff"), ("system.init", [3], "init 3"),
    ("system.reboot", [], "shutdown -r now"), ("system.shutdown", ["now"], "shutdown -h now"),
]  # fmt: skip


@as_root
@pytest.mark.parametrize(("fun", "args", "command"), ENDS)
def test_the_answer_comes_before_the_end(minion, fun, args, command):
    begun = time.monotonic()
    assert minion(fun, *args) == f"This runs in 0.2 seconds: {command}"
    assert not minion.called.exists() or time.monotonic() - begun > 0.15
    while not minion.called.exists() or not minion.called.read_text().endswith("\n"):
        assert time.monotonic() - begun < 20
        time.sleep(0.02)
    assert minion.called.read_text().strip() == command


@pytest.mark.parametrize(("fun", "args", "command"), ENDS)
def test_a_test_ends_nothing(minion, fun, args, command):
    assert minion(fun, *args, test=True) == f"This would run: {command}"
    time.sleep(0.05)
    assert not minion.called.exists()


def test_a_time_is_given_to_shutdown_at_once(minion):
    assert minion("system.reboot", 5) == "said -r" and minion("system.shutdown", "23:00") == "said -h"
    assert minion.called.read_text() == "shutdown -r 5\nshutdown -h 23:00\n"
    assert minion("system.reboot", "+5", test=True) == "This would run: shutdown -r +5"


@pytest.mark.parametrize("when", ["-c", "soon", "5; halt", "1:2:3"])
def test_what_is_no_time_is_refused(minion, when):
    assert f"at_time: {when!r} must be minutes" in minion.error("system.reboot", when)
    assert f"runlevel: {when!r}" in minion.error("system.init", when) and not minion.called.exists()


def test_a_program_that_is_not_there_is_named(minion, tmp_path):
    (tmp_path / "bin/halt").unlink()
    assert minion.error("system.halt") == "halt is not installed on this machine."


def test_the_clock_is_told_here_and_elsewhere(minion):
    here = datetime.datetime.strptime(minion("system.get_system_date_time"), "%Y-%m-%d %H:%M:%S")
    assert abs(datetime.datetime.now() - here).total_seconds() < 60
    there = datetime.datetime.strptime(minion("system.get_system_date_time", "-0530"), "%Y-%m-%d %H:%M:%S")
    ahead = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - there
    assert abs(ahead.total_seconds() - 5.5 * 3600) < 60
    assert time.strptime(minion("system.get_system_time"), "%I:%M:%S %p")
    assert time.strptime(minion("system.get_system_date"), "%a %m/%d/%Y")
    for wrong in ("500", "+2500", "+0560", "UTC"):
        assert minion.error("system.get_system_time", wrong) == "Invalid UTC offset"


def test_what_would_be_set_is_said(minion):
    said = minion("system.set_system_date_time", 2015, 5, 12, 11, 37, 53, "+0200", test=True)
    assert said == "The clock would be set to 2015-05-12 11:37:53+02:00."
    assert " 11:20:00." in minion("system.set_system_time", "11:20 AM", test=True)
    assert "to 2013-03-28 " in minion("system.set_system_date", "03-28-13", test=True)
    assert minion("system.set_system_time", "half past", test=True) is False
    assert minion.error("system.set_system_date", "yesterday") == "Invalid date format"
    assert "This is no date and time" in minion.error("system.set_system_date_time", 2015, 13)


def test_the_description_is_kept_with_what_is_beside_it(minion, tmp_path):
    path = tmp_path / "machine-info"
    assert minion("system.get_computer_desc") is False
    text = 'Michael\'s "own"\t\\n $x'
    assert "would have the line" in minion("system.set_computer_desc", text, test=True) and not path.exists()
    assert minion("system.set_computer_desc", text) is True and minion("system.get_computer_desc") == text
    path.write_text("# kept\nPRETTY_HOSTNAME=old\nCHASSIS=server\n")
    path.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(path)
    minion.execution.functions["system.halt"].__globals__["MACHINE_INFO"] = str(link)
    assert minion("system.get_computer_desc") == "old" and minion("system.set_computer_desc", "new") is True
    assert path.read_text() == '# kept\nCHASSIS=server\nPRETTY_HOSTNAME="new"\n'
    assert path.stat().st_mode & 0o777 == 0o640 and link.is_symlink()
    assert [each.name for each in Path(tmp_path).glob(".machine*")] == []
    minion.execution.functions["system.halt"].__globals__["MACHINE_INFO"] = str(tmp_path / "none/x")
    assert minion("system.set_computer_desc", "new") is False
