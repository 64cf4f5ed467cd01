"""Completion: what `saltlite complete` says, and what the shells make of it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from live import ENVIRONMENT, PROGRAM, command, write_config

import saltlite

shells = saltlite.packed_leaf("terminal", "shells")
complete = saltlite.packed_leaf("commands", "complete")


@pytest.fixture(scope="module")
def conf(tmp_path_factory) -> Path:
    """A master's tree with keys, jobs, a group and a module of the site's."""
    home = tmp_path_factory.mktemp("complete")
    write_config(
        home / "master", {"nodegroups": {"web": "web*", "a$(id)": "x"}, "file_roots": {"base": [str(home / "files")]}}
    )
    for path in ("minions/web1", "minions/web2", "minions/db1", "minions_pre/new1", "minions_rejected/old1"):
        (home / "pki/master" / path).parent.mkdir(parents=True, exist_ok=True)
        (home / "pki/master" / path).write_text("")
    for name in ("$(reboot)", "`id`", "a b", "-rf", "x;y", "*", "~root", "é"):  # another master may have made these
        (home / "pki/master/minions_pre" / name).write_text("")
    day = home / "var/cache/salt/master/jobs/done/20260101"
    day.mkdir(parents=True)
    (day / "20260101000000000001.jsonl").write_text("")
    (home / "files/_modules").mkdir(parents=True)
    (home / "files/_modules/own.py").write_text("raise SystemExit\ndef one(): pass\ndef _two(): pass\n")
    write_config(home / "minion", {})
    return home


def answers(*words: object) -> list[str]:
    done = command("complete", "--", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_commands_and_options(conf):
    commands = answers("saltlite", "")
    assert {"key", "master", "salt"} <= set(commands) and "complete" not in commands
    assert answers("/usr/bin/saltlite", "mi") == ["minion"]
    assert {"--list", "--pcre"} <= set(answers("salt", "--")) and answers("salt", "--pc") == ["--pcre"]
    assert answers("salt-key", "--out", "js") == ["json"] == [a[6:] for a in answers("salt-key", "--out=js")]
    assert answers("salt-master", "--log-level", "err") == ["error"]
    assert answers("saltlite", "key", "-l", "") == ["acc", "all", "den", "pre", "rej"]


def test_targets_functions_and_keys_come_from_the_tree(conf):
    there = ("-c", conf)
    assert answers("salt", *there, "w") == ["web1", "web2"] and answers("salt", *there, "-N", "") == ["web"]
    commands = "cmd.retcode cmd.run cmd.run_all cmd.run_bg cmd.run_chroot cmd.run_stderr cmd.run_stdout"
    assert answers("salt", *there, "web1", "cmd.r") == commands.split()
    assert {"cmd.", "own.", "test.", "schedule."} <= set(answers("salt", *there, "-t", "5", "web1", ""))
    assert answers("salt", *there, "*", "own.") == ["own.one"], "a file for minions is looked at, and not run"
    assert "test.ping" in answers("salt-call", *there, "--local", "test.")
    assert answers("salt-key", *there, "-a", "") == ["new1"]
    assert answers("salt-key", *there, "-d", "") == ["db1", "new1", "old1", "web1", "web2"]
    words = complete.Words(str(conf), "master")
    assert words.jids() == ["20260101000000000001"]


def test_nothing_is_said_where_nothing_is_known(tmp_path):
    for words in (["salt", "-c", tmp_path / "none", ""], ["salt-key", "-c", ""], ["nothing", "x"], [], ["saltlite"]):
        command("complete", "--", *words).check_returncode()
    assert answers("salt", "-c", tmp_path / "none", "") == [] == answers("saltlite", "nothing", "")


@pytest.mark.parametrize(
    "line, wanted",
    [
        ("salt 'we", "we"),
        ("salt -C 'web1 or ", "web1 or "),
        ('salt "a b', "a b"),
        ("salt a ", ""),
        ("salt a\\ b", "a b"),
    ],
)
def test_a_line_that_is_not_whole_is_split(line, wanted):
    assert complete.split(line)[-1] == wanted


@pytest.fixture(scope="module")
def saltlite_program(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bin") / "saltlite"
    path.write_text(f'#!/bin/sh\nexec {" ".join(PROGRAM)} "$@"\n')
    path.chmod(0o755)
    return path


def in_shell(shell: str, script: str) -> str:
    if not shutil.which(shell):
        pytest.skip(f"NOT TESTED: there is no {shell} here")
    with tempfile.TemporaryDirectory(prefix="saltlite-home-") as home:
        environment = ENVIRONMENT | {"TERM": "dumb", "HOME": home}
        done = subprocess.run(
            [shell, "-c", script], capture_output=True, text=True, env=environment, timeout=60, check=False
        )
    return done.stdout


def test_bash(conf, saltlite_program, tmp_path):
    (tmp_path / "script").write_text(shells.script(shells.BASH, str(saltlite_program)))

    def replies(line: str, words: str) -> list[str]:
        where = f"COMP_LINE={line!r} COMP_POINT={len(line)} COMP_WORDS=({words})"
        asked = f"{where} COMP_CWORD={len(words.split()) - 1}; _saltlite 2>&1"
        return in_shell("bash", f". {tmp_path}/script; {asked}; printf '%s\\n' \"${{COMPREPLY[@]}}\"").split()

    assert replies(f"salt -c {conf} we", f"salt -c {conf} we") == ["web1", "web2"]
    assert replies("salt-key --out=js", "salt-key --out = js") == ["json"], "bash parts words at ="
    shown = in_shell("bash", f". {tmp_path}/script; complete -p salt-key salt")
    assert shown.count("-F _saltlite") == 2


def test_zsh(conf, saltlite_program, tmp_path):
    """The function is run with stand-ins for what zsh offers to completions only: they print what they are given."""
    (tmp_path / "_saltlite").write_text(shells.script(shells.ZSH, str(saltlite_program)))
    asked = "compadd() { print -l -- $@ }; _files() { print files }; "
    for words in (f"salt -c {conf} we", f"salt -c {conf} web1 cm", "salt -c ''"):
        asked += f"words=({words}); CURRENT={len(words.split())}; . {tmp_path}/_saltlite; "
    shown = in_shell("zsh", asked)
    if shown:
        assert shown.split() == ["--", "web1", "web2", "-S", "--", "cmd.", "files"]


def test_fish(conf, saltlite_program, tmp_path):
    (tmp_path / "script").write_text(shells.script(shells.FISH, str(saltlite_program)))
    shown = in_shell("fish", f"source {tmp_path}/script; complete -C 'salt -c {conf} we'")
    if shown:
        assert shown.split() == ["web1", "web2"]
        assert in_shell("fish", f"source {tmp_path}/script; complete -C 'salt -c {conf} '").split() == [
            "db1",
            "web1",
            "web2",
        ]
