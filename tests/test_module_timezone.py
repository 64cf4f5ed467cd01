"""timezone: on a directory that stands for /etc."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from one_minion import Minion

ZONES = Path("/usr/share/zoneinfo")
pytestmark = pytest.mark.skipif(not (ZONES / "America/Denver").exists(), reason="there are no time zones here")


@pytest.fixture
def etc(tmp_path):
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


@pytest.fixture
def minion(tmp_path, etc):
    minion = Minion(tmp_path / "m", None)
    module = minion.execution.functions["timezone.get_zone"].__globals__
    paths = {"LOCALTIME": "localtime", "NAMES": "timezone", "CLOCK": "clock", "ADJTIME": "adjtime"}
    module |= {name: str(etc / file) for name, file in paths.items()}
    return minion


def test_the_link_says_which_zone(minion, etc):
    (etc / "localtime").symlink_to(ZONES / "America/Denver")
    assert minion("timezone.get_zone") == "America/Denver" and minion("timezone.zone_compare", "America/Denver") is True
    assert minion("timezone.zone_compare", "Europe/Berlin") is False
    (etc / "localtime").unlink()
    (etc / "localtime").symlink_to("/somewhere/else")
    assert "is no time zone of" in minion.error("timezone.get_zone")


def test_a_copy_is_known_by_its_bytes(minion, etc):
    data = (ZONES / "Asia/Kolkata").read_bytes()
    (etc / "localtime").write_bytes(data)
    assert (ZONES / minion("timezone.get_zone")).read_bytes() == data
    (etc / "timezone").write_text("Asia/Kolkata\n")
    assert minion("timezone.get_zone") == "Asia/Kolkata"
    (etc / "timezone").write_text("America/Denver\n")
    assert minion("timezone.get_zone") != "America/Denver"
    (etc / "localtime").write_bytes(b"TZif no zone")
    assert minion.error("timezone.get_zone") == "Unable to determine timezone"


def test_without_a_link_a_file_may_name_it(minion, etc):
    assert minion("timezone.get_zone") == "UTC"
    (etc / "clock").write_text('# ZONE=Wrong\nZONE="America/Denver"\n')
    assert minion("timezone.get_zone") == "America/Denver"


def test_a_zone_is_set_at_once_and_only_if_it_is_one(minion, etc):
    (etc / "localtime").symlink_to(ZONES / "America/Denver")
    (etc / "timezone").write_text("America/Denver\n")
    (etc / "timezone").chmod(0o600)
    (etc / "clock").write_text('UTC=true\nZONE="America/Denver"\n')
    for wrong in ("Atlantis/Capital", "../../../etc/passwd", "/etc/passwd", "", "America", "tzdata.zi", "a\0b"):
        assert "Zone does not exist" in minion.error("timezone.set_zone", wrong)
    said = minion("timezone.set_zone", "Europe/Berlin", test=True)
    assert said == f"{etc}/localtime would point to {ZONES}/Europe/Berlin."
    assert minion("timezone.get_zone") == "America/Denver"
    assert minion("timezone.set_zone", "Europe/Berlin") is True and minion("timezone.get_zone") == "Europe/Berlin"
    assert os.readlink(etc / "localtime") == str(ZONES / "Europe/Berlin")
    assert (etc / "timezone").read_text() == "Europe/Berlin\n" and (etc / "timezone").stat().st_mode & 0o777 == 0o600
    assert (etc / "clock").read_text() == 'UTC=true\nZONE="Europe/Berlin"\n'
    assert sorted(os.listdir(etc)) == ["clock", "localtime", "timezone"]


def test_the_hardware_clock_runs_in_utc_unless_it_is_said(minion, etc):
    assert minion("timezone.get_hwclock") == "UTC"
    (etc / "adjtime").write_text("0.1 2 0.0\n2\nLOCAL\n")
    assert minion("timezone.get_hwclock") == "localtime"
    assert "would run in UTC" in minion("timezone.set_hwclock", "UTC", test=True)
    assert minion("timezone.get_hwclock") == "localtime"
    module = minion.execution.functions["timezone.set_hwclock"].__globals__
    module |= {"SEARCHED": str(etc), "RTC": str(etc)}
    (etc / "hwclock").write_text(f'#!/bin/sh\necho "$@" > {etc}/called\n')
    (etc / "hwclock").chmod(0o755)
    assert minion("timezone.set_hwclock", "UTC") is True and (etc / "adjtime").read_text() == "0.1 2 0.0\n2\nUTC\n"
    assert (etc / "called").read_text() == "--systohc --utc\n" and minion("timezone.get_hwclock") == "UTC"
    (etc / "adjtime").unlink()
    assert minion("timezone.set_hwclock", "localtime") is True
    assert (etc / "adjtime").read_text() == "0.0 0 0.0\n0\nLOCAL\n"
    (etc / "hwclock").write_text("#!/bin/sh\nexit 1\n")
    assert "The hardware clock could not be set" in minion.error("timezone.set_hwclock", "UTC")
    assert "must be UTC or localtime" in minion.error("timezone.set_hwclock", "moon time")


def test_what_cannot_be_written_is_said(minion, etc):
    module = minion.execution.functions["timezone.set_zone"].__globals__
    module |= {"LOCALTIME": str(etc / "none/localtime"), "ADJTIME": str(etc / "none/adjtime")}
    assert "cannot be changed: No such file" in minion.error("timezone.set_zone", "Europe/Berlin")
    assert "cannot be written: No such file" in minion.error("timezone.set_hwclock", "UTC")


def test_offset_and_code_are_those_of_this_machine(minion):
    assert minion("timezone.get_offset") == time.strftime("%z") and minion("timezone.get_zonecode") == time.strftime(
        "%Z"
    )
