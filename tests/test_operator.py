"""`salt` and LocalClient with 200 simulated minions: what is on the screen while a job runs and when it is over, what
stays plain in a pipe, what Python programs get."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from bench import Settings, SimProcess, public_pem
from cryptography.hazmat.primitives import serialization
from live import ENVIRONMENT, SCRIPT, Master, pem, running_master, until
from screen import Terminal, on_terminal

import saltlite

IDS = [f"m{number:03d}" for number in range(200)]


class Fleet(NamedTuple):
    master: Master
    sims: SimProcess

    def returns(self, what: dict[str, Any], failed: tuple[str, ...] = ()) -> str:
        """Have simulated minions return this to the newest job; gives its jid."""
        active = self.master.jobs / "active"
        jid = until(lambda: max((name[:20] for name in os.listdir(active) if name[0] != "."), default=""))
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
    assert json.loads(fleet.master.salt("--static", "--out", "json", "*", "test.ping").stdout) == dict.fromkeys(
        IDS, True
    )


def test_neither_rich_nor_clustershell_is_imported_for_a_pipe(fleet):
    program = (
        "import sys, saltlite; code = saltlite.main(sys.argv[1:]); "
        "print({'rich', 'ClusterShell'} & sys.modules.keys()); sys.exit(code)"
    )
    words = [sys.executable, "-c", program, "salt", "-c", fleet.master.conf, "m00*", "test.ping"]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=30)
    assert done.stdout.endswith("    True\nset()\n") and done.returncode == 0


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


def test_a_name_that_nobody_has_is_told_and_one_is_the_exit_code(fleet):
    for words in (["-L", "m000,m0000"], ["m[000,0000]"], ["--async", "-L", "m000,m0000"]):
        done = fleet.master.salt(*words, "test.ping")
        assert done.returncode == 1 and "no accepted key is named m0000; did you mean 'm000'?\n" in done.stderr, done
    done = fleet.master.salt("-L", "m000,m0000", "--static", "--out", "json", "test.ping")
    nobody = "Minion did not return. [No accepted key has this name]"
    assert json.loads(done.stdout) == {"m000": True, "m0000": nobody} and done.returncode == 1
    assert fleet.master.salt("--async", "nobody", "test.ping").returncode == 2
    assert fleet.master.salt("m00*", "test.ping", "--preview").stdout == (
        "m[000-009] (10): glob m00*\n10 of 200 accepted minions would run it.\n"
    )


def test_a_key_that_is_taken_away_ends_the_wait(fleet):
    minions = fleet.master.pki / "minions"
    (minions / "gone1").write_text((minions / "m000").read_text())
    with fleet.salt("-t", "50", "gone1", "test.ping") as terminal:
        terminal.shows(lambda screen: screen.last.startswith("0/1 "))
        (minions / "gone1").unlink()
        assert terminal.end(10) == 1
    assert "gone1:\n    Minion did not return. [Its key is not accepted any more]" in terminal.screen.text


# A job's file that another writes: what the master will tell of states that run


def test_the_lines_at_the_bottom_show_which_state_runs(fleet):
    jid, new = "20261126190000000000", {"event": "new", "fun": "state.apply", "arg": [], "tgt": "*", "tgt_type": "glob"}
    path = fleet.master.jobs / f"active/{jid}.jsonl"

    def write(*lines: dict[str, Any]) -> None:
        with path.open("a") as file:
            file.write("".join(f"{json.dumps(line)}\n" for line in lines))

    def progress(name: str, done: int, doing: str) -> dict[str, Any]:
        return {"event": "progress", "id": name, "done": done, "total": 40, "doing": doing, "time": 2}

    write(new | {"jid": jid, "minions": ["web1", "web2"], "time": 1}, progress("web1", 12, "pkg: \x1b[2Jnginx"))
    program = (
        "import sys, saltlite; s = saltlite.packed_leaf('commands', 'salt'); "
        "a = saltlite.parse_words(saltlite.parser_of(s.COMMAND, 'salt'), sys.argv[2:] + ['*', 'state.apply']); "
        "c = saltlite.client('LocalClient')(a.config_dir); s.state_style(a, c.opts); "
        "sys.exit(s.show_job(a, c, sys.argv[1]))"
    )
    words = [sys.executable, "-c", program, jid, "-c", str(fleet.master.conf)]
    with contextlib.closing(Terminal(words, program=[])) as terminal:
        terminal.shows(lambda screen: re.search(r"web1 ━\S+ 12/40 pkg: \?\[2Jnginx\n0/2 returned ", screen.text))
        write(progress("web2", 3, "file: a"), progress("web1", 13, "cmd: b"))
        terminal.shows(lambda screen: re.search(r"web1 .*13/40 cmd: b\nweb2 .* 3/40 file: a\n0/2", screen.text))
        write({"event": "ret", "id": "web1", "return": "x", "retcode": 0, "success": True, "time": 2})
        terminal.shows(lambda screen: re.search(r"web1:\n    x\nweb2 .*\n1/2 ", screen.text))
        write({"event": "ret", "id": "web2", "return": "x", "retcode": 0, "success": True, "time": 2}, {"event": "end"})
        assert terminal.end() == 0 and "━" not in terminal.screen.text and terminal.screen.cursor
    path.unlink()


# LocalClient


@pytest.fixture(scope="module")
def client(fleet) -> Any:
    return saltlite.client("LocalClient")(str(fleet.master.conf))


def test_cmd_gives_what_salts_gives(client):
    assert client.cmd("m00[0-2]", "test.ping") == {"m000": True, "m001": True, "m002": True}
    assert client.cmd("m000,m001", "test.ping", [], 5, "list") == {"m000": True, "m001": True}
    full = client.cmd("m000", "no.such", full_return=True)["m000"]
    assert full.keys() >= {"ret", "retcode", "success", "jid"} and full["retcode"] == 1
    assert client.cmd("nobody", "test.ping") == {} and client.cmd_async("nobody", "test.ping") == 0


def test_a_minion_that_does_not_return_is_false(client, fleet):
    (fleet.master.pki / "minions/down").write_text((fleet.master.pki / "minions/m000").read_text())
    try:
        found = client.cmd(["m000", "down"], "test.ping", timeout=1, gather_job_timeout=0.5, tgt_type="list")
        assert found == {"m000": True, "down": False}
    finally:
        (fleet.master.pki / "minions/down").unlink()


def test_returns_come_one_by_one(client, fleet):
    assert sorted(name for one in client.cmd_iter("m00*", "test.ping") for name in one) == IDS[:10]
    assert list(client.cmd_iter("m000", "test.ping", expect_minions=True))[0].keys() == {"m000"}
    found = client.cmd_iter_no_block("m00[01]", "test.sleep", [9])
    assert next(found) is None
    jid = fleet.returns({"m000": "a", "m001": "b"})
    rest = {name: value for one in found if one for name, value in one.items()}
    assert rest["m001"] == {"ret": "b", "retcode": 0, "success": True, "jid": jid} and len(rest) == 2


def test_a_job_that_nobody_waits_for_is_looked_up_later(client, fleet):
    jid = client.cmd_async("m00[01]", "test.sleep", [9], kwarg={"a": 1})
    assert client.get_cache_returns(jid) == {}
    fleet.returns({"m000": {"x": 1}})
    assert client.get_cache_returns(jid) == {"m000": {"ret": {"x": 1}, "retcode": 0, "success": True, "jid": jid}}
    fleet.returns({"m001": 1})
    header = fleet.master.job(jid)[0]
    assert sorted(header["minions"]) == ["m000", "m001"] and header["arg"] == [9, {"__kwarg__": True, "a": 1}]
    assert client.get_cache_returns("../../x") == {}
    own = client.run_job("m000", "test.ping", jid="20261126190000000007")
    assert own == {"jid": "20261126190000000007", "minions": ["m000"]}


def test_what_is_not_there_is_refused_in_a_sentence(client):
    with pytest.raises(saltlite.Failure, match="no returners"):
        client.cmd("*", "test.ping", ret="redis")
    with pytest.raises(saltlite.Failure, match="eauth: who may publish"):
        client.cmd("*", "test.ping", eauth="pam", username="me")
    with pytest.raises(TypeError, match="'bach' is no keyword of this method; did you mean 'batch'"):
        client.run_job("*", "test.ping", bach=3)
    with pytest.raises(saltlite.Failure, match="is no jid"):
        client.run_job("*", "test.ping", jid="17")
    with pytest.raises(saltlite.Failure, match="malformed|nothing stands before"):
        client.cmd("and", "test.ping", tgt_type="compound")


@pytest.mark.parametrize(
    "call, field",
    [
        (lambda client: list(client.cmd_batch("m00*", "test.ping", batch="30%")), {"batch": "30%"}),
        (lambda client: list(client.cmd_batch("m00*", "test.ping", batch="3", batch_wait=0.1)), {"batch": 3}),
        (lambda client: client.cmd_subset("m00*", "test.ping", subset=2), {"subset": 2}),
        (lambda client: client.cmd_subset("m00*", "test.ping", sub=2), {"subset": 2}),
    ],
)
def test_what_the_master_does_is_in_the_request(client, monkeypatch, call, field):
    """What is written into jobs/new; a master that does not know a field says so."""
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(
        saltlite.packed_leaf("clients", "LocalClient"), "to_json", lambda what: written.append(what) or json.dumps(what)
    )
    with contextlib.suppress(saltlite.Failure):
        call(client)
    assert field.items() <= written[0].items()


def test_the_example_of_readme_runs(fleet):
    text = (SCRIPT.parent / "README.md").read_text()
    found = re.search(r"(?:^    .*\n|^\n)*?^    import saltlite\n(?:^    .*\n|^\n)+", text, re.MULTILINE)
    if not found:
        pytest.skip("NOT TESTED: README has no example of LocalClient")
    said: list[Any] = []
    example = textwrap.dedent(found[0]).replace("/etc/salt", str(fleet.master.conf)).replace("web*", "m00*")
    exec(example.replace("web1", "m000"), {"print": lambda *words: said.append(words)})
    assert said
