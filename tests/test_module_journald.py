"""journald: what is asked of journalctl, and how its records are read."""

import json
import shutil

import pytest
from one_minion import Minion

pytestmark = pytest.mark.skipif(not shutil.which("journalctl"), reason="there is no journalctl")
RECORD = {
    "__REALTIME_TIMESTAMP": "1764180000123456", "_SYSTEMD_UNIT": "nginx.service", "SYSLOG_IDENTIFIER": "nginx",
    "_PID": "7", "PRIORITY": "3", "MESSAGE": [104, 195, 164], "_UID": "33",
}  # fmt: skip


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "minion", None)


def test_an_empty_journal_is_empty(minion, tmp_path):
    """The real journalctl, which checks what it is asked."""
    here = {"directory": str(tmp_path)}
    assert minion("journald.tail", "nginx,redis", 5, "-1h", "now", "err", "x.*y", **here) == ""
    assert minion("journald.records", ["nginx"], since="2026-11-26 12:00", **here) == []
    assert "Failed to parse timestamp" in minion.error("journald.tail", since="teatime", **here)
    assert minion("journald.disk_usage", **here) == 0


@pytest.mark.parametrize(("lines", "well"), [(0, False), (1, True), (9_999, True), (10_000, True), (10_001, False)])
def test_lines_have_a_bound(minion, tmp_path, lines, well):
    ret, _, success = minion.run("journald.tail", lines=lines, directory=str(tmp_path))
    assert success is well and ("lines must be a number from 1 to 10000" in ret) is not well


def test_other_words_are_refused(minion):
    assert "priority must be" in minion.error("journald.tail", priority="loud")
    assert "is no way in which journalctl prints" in minion.error("journald.tail", output="json --x")


def test_records_are_maps(minion, tmp_path, monkeypatch):
    program = tmp_path / "bin/journalctl"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat <<'E'\n{json.dumps(RECORD)}\nE\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    assert minion("journald.records", fields="_UID") == [
        {
            "time": "2025-11-26T18:00:00.123456+00:00", "unit": "nginx.service", "identifier": "nginx", "pid": "7",
            "priority": "3", "message": "hä", "_UID": "33",
        }
    ]  # fmt: skip
