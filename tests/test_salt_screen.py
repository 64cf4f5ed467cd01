"""`salt` on a terminal with 200 simulated minions: what is on the screen while a job runs, and when it is over."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from bench import Settings, SimProcess, public_pem
from cryptography.hazmat.primitives import serialization
from live import Master, pem, running_master, until
from screen import Terminal, on_terminal

IDS = [f"m{number:03d}" for number in range(200)]


class Fleet(NamedTuple):
    master: Master
    sims: SimProcess

    def returns(self, what: dict[str, Any], failed: tuple[str, ...] = ()) -> str:
        """Have simulated minions return this to the newest job; gives its jid."""
        active = self.master.jobs / "active"
        jid = until(lambda: max((name[:20] for name in os.listdir(active) if name[0] != "."), default=""))
        self.sims("hold", ids=list(what), jobs=1)
        self.sims("return", jid=jid, returns={name: (value, name not in failed) for name, value in what.items()})
        return jid

    def salt(self, *words: object, **options: Any) -> Any:
        return on_terminal("salt", "-c", self.master.conf, *words, **options)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Iterator[Fleet]:
    root = tmp_path_factory.mktemp("screen")
    key = serialization.load_pem_private_key(pem(), None)
    minions = root / "master/pki/master/minions"
    minions.mkdir(parents=True, mode=0o700)
    for directory in (minions.parent, minions):
        directory.chmod(0o700)
    for name in IDS:
        (minions / name).write_text(public_pem(key.public_key()))  # type: ignore[arg-type]
    with running_master(root, {"timeout": 60}) as master:
        ports = master.options["ret_port"], master.options["publish_port"]
        sims = SimProcess(Settings(*ports, pem(), True))
        try:
            sims("add", ids=IDS)
            assert sims("authenticate", ids=IDS)["accepted"] == len(IDS)
            yield Fleet(master, sims)
        finally:
            sims.close()


def test_the_line_at_the_bottom_says_who_is_missing_and_goes_away(fleet):
    with fleet.salt("*", "test.sleep", "9") as terminal:
        terminal.shows(lambda screen: re.match(r"0/200 returned +\d s +missing m\[000-199\]$", screen.last))
        assert not terminal.screen.cursor
        fleet.returns(dict.fromkeys(IDS[:150], True) | {"m000": "no"}, failed=("m000",))
        terminal.shows(lambda screen: re.match(r"150/200 returned +1 failed .*missing m\[150-199\]$", screen.last))
        terminal.shows(lambda screen: "m[001-149] (149):\n    True\n" in screen.text)
        fleet.returns(dict.fromkeys(IDS[150:], True))
        assert terminal.end() == 1
        assert terminal.screen.cursor and "missing" not in terminal.screen.text
        assert "m000 (retcode 1):\n    no" in terminal.screen.text
        assert "m[150-199] (50): the same as m001" in terminal.screen.text


def test_identical_returns_are_shown_once_the_majority_first(fleet):
    with fleet.salt("--group", "*", "test.sleep", "9") as terminal:
        terminal.shows(lambda screen: screen.last.startswith("0/200"))
        fleet.returns({"m007": "4.19"} | {name: "5.10" for name in IDS if name != "m007"})
        assert terminal.end() == 0
    text = terminal.screen.text
    assert text.startswith("m[000-006,008-199] (199):\n    5.10\nm007:\n    4.19\n200 of 200 returned in "), text
    assert terminal.screen.colors


def test_others_are_shown_as_what_differs_from_the_majority(fleet):
    with fleet.salt("--diff", "m00*", "test.sleep", "9") as terminal:
        terminal.shows(lambda screen: screen.last.startswith("0/10"))
        fleet.returns(dict.fromkeys(IDS[:9], "a\nb\nc") | {"m009": "a\nB\nc"})
        terminal.end()
    assert "m[000-008] (9):\n    a\n    b\n    c\n" in terminal.screen.text
    assert "m009:\n@@ -2,3 +2,3 @@\n     a\n-    b\n+    B\n     c\n" in terminal.screen.text


def test_five_minions_are_shown_one_by_one_as_they_return(fleet):
    with fleet.salt("m00[0-4]", "test.sleep", "9") as terminal:
        terminal.shows(lambda screen: screen.last.startswith("0/5"))
        fleet.returns({"m003": True})
        terminal.shows(lambda screen: "m003:\n    True" in screen.text and screen.last.startswith("1/5"))
        fleet.returns(dict.fromkeys(("m000", "m001", "m002", "m004"), True))
        assert terminal.end() == 0
    assert terminal.screen.text.count(":\n    True") == 5


def test_ctrl_c_leaves_a_clean_screen_and_the_job_alone(fleet):
    with fleet.salt("m00*", "test.sleep", "9") as terminal:
        terminal.shows(lambda screen: screen.last.startswith("0/10"))
        jid = fleet.returns({"m001": "early"})
        terminal.shows(lambda screen: screen.last.startswith("1/10"))
        terminal.type("\x03")
        assert terminal.end() == 1
    text = terminal.screen.text
    assert "m001:\n    early" in text and "returned" not in text and "^C" not in text.split("\n")[-1]
    assert f"This job's jid is: {jid}" in text and f"saltlite jobs follow {jid}" in text
    assert terminal.screen.cursor and fleet.master.job_file(jid, "active").exists()
    fleet.returns(dict.fromkeys((name for name in IDS[:10] if name != "m001"), True))
    assert fleet.master.job(jid)[-1]["returned"] == 10


@pytest.mark.parametrize("answer, there", [("y\r", False), ("\r", True), ("\x03", True)])
def test_a_second_ctrl_c_offers_to_cancel(fleet, answer, there):
    with fleet.salt("m000", "test.sleep", "9") as terminal:
        terminal.shows(lambda screen: screen.last.startswith("0/1 "))
        terminal.type("\x03")
        terminal.shows(lambda screen: "Ctrl-C once more" in screen.text)
        terminal.type("\x03")
        terminal.shows(lambda screen: "[y/N]" in screen.text)
        terminal.type(answer)
        assert terminal.end() == 1
    found = re.search("jid is: ([0-9]{20})", terminal.screen.text)
    assert found and fleet.master.job_file(found[1], "active").exists() == there
    fleet.returns({"m000": True}) if there else until(lambda: f"job {found[1]} is cancelled" in fleet.master.text())


def test_words_of_minions_are_no_controls(fleet):
    evil = "a\x1b[2Jb\x9bK\u202ec"
    with fleet.salt("--force-color", "m00*", "test.sleep", "9") as terminal:
        terminal.shows(lambda screen: screen.last.startswith("0/10"))
        fleet.returns(dict.fromkeys(IDS[:10], evil))
        terminal.end()
    assert "a?[2Jb\\u009bK\\u202ec" in terminal.screen.text


def test_a_narrow_terminal_is_not_broken(fleet):
    with fleet.salt("*", "test.sleep", "9", columns=30) as terminal:
        terminal.shows(lambda screen: screen.last.startswith("0/200"))
        fleet.returns(dict.fromkeys(IDS[::2], True))
        terminal.shows(lambda screen: screen.last.startswith("100/200") and screen.last.endswith("…"))
        fleet.returns(dict.fromkeys(IDS[1::2], True))
        assert terminal.end() == 0
    assert "missing" not in terminal.screen.text


@pytest.mark.parametrize("words, environment", [(["--no-color"], {}), ([], {"NO_COLOR": "1"})])
def test_without_colour_there_is_none(fleet, words, environment):
    with fleet.salt(*words, "m00*", "test.sleep", "9", environment=environment) as terminal:
        terminal.shows(lambda screen: screen.last.startswith("0/10"))
        fleet.returns(dict.fromkeys(IDS[:10], True), failed=("m001",))
        terminal.end()
    assert not terminal.screen.colors


def test_without_progress_the_screen_is_quiet(fleet):
    with fleet.salt("--no-progress", "m00*", "test.sleep", "9") as terminal:
        fleet.returns(dict.fromkeys(IDS[:10], True))
        terminal.end()
    assert terminal.screen.text.startswith("m[000-009] (10):\n    True\n10 of 10 returned in ")


def test_a_pipe_stays_plain(fleet):
    done = fleet.master.salt("m00*", "test.ping")
    assert done.stdout.count("\n") == 20 and not re.search(r"[\x1b(]", done.stdout) and done.stderr == ""
    assert json.loads(fleet.master.salt("--static", "--out", "json", "*", "test.ping").stdout) == dict.fromkeys(IDS, True)


def test_a_failure_in_a_pipe_is_told_on_stderr(fleet):
    done = fleet.master.salt("m00[0-5]", "no.such")
    assert done.stdout.count(" (retcode 1):\n") == 6 and done.returncode == 1
    assert "6 of 6 returned, 6 failed in " in done.stderr
    found = re.search(r"again for the failed: saltlite salt -c (\S+) @([0-9]{20})\.failed no\.such\n", done.stderr)
    assert found, done.stderr
    again = fleet.master.salt("--out", "json", f"@{found[2]}.failed", "test.ping")
    assert again.stdout.count("true") == 6 and again.returncode == 0
    assert fleet.master.salt("@last.ok!m000", "test.ping").stdout.count("True") == 5


def test_terminal_of_a_test_knows_its_end(fleet):
    """The model itself: an unknown control is an error."""
    with pytest.raises(AssertionError), on_terminal("--version") as terminal:
        assert isinstance(terminal, Terminal) and terminal.end() == 0
        terminal.screen.feed("\x1b[2J")
