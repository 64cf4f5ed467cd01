"""A running master makes pillar by other programs: as in the tests in memory, and with its own signals and sockets."""

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest
from leaves import PROCESS
from live import running_master, running_minion, until
from roots import write

import saltlite

TOP = "base: {'*': [a, b]}\n"
PROGRAM = "#!py\ndef run():\n    return {'py': __grains__['id'], 'os': __salt__['grains.get']('kernel')}\n"


@pytest.mark.skipif(shutil.which("gpg") is None, reason="NOT TESTED: gpg is not installed")
def test_a_running_master_decrypts_and_runs_programs(tmp_path):
    with tempfile.TemporaryDirectory(prefix="gpg-") as keydir:
        gpg = ["gpg", "--homedir", keydir, "--batch", "--no-tty", "--quiet"]
        make = ["--passphrase", "", "--quick-generate-key", "pillar@x", "rsa2048", "encr", "never"]
        subprocess.run([*gpg, *make], check=True, capture_output=True, timeout=60)
        seal = [*gpg, "--trust-model", "always", "-e", "-a", "-r", "pillar@x"]
        sealed = subprocess.run(seal, input=b"secret", check=True, capture_output=True, timeout=60).stdout.decode()
        files = {"top.sls": TOP, "a.sls": PROGRAM, "b.sls": f"#!yaml|gpg\nb: {json.dumps(sealed)}\n"}
        options = {"pillar_py": True, "gpg_keydir": keydir, "ext_pillar": [{"cmd_yaml": "echo 'ext: %s'"}]}
        with running_master(tmp_path, options) as master, running_minion(master, "web1"):
            write(tmp_path / "master/srv/pillar", files)
            found = master.returns("web1", "saltutil.refresh_pillar")
            assert found["web1"] is True
            items = master.returns("web1", "pillar.items")["web1"]
            assert items == {"py": "web1", "os": "Linux", "b": "secret", "ext": "web1"}
        subprocess.run(["gpgconf", "--homedir", keydir, "--kill", "all"], check=False, timeout=20)


def test_nobody_waits_for_the_programs_of_another_minions_pillar(tmp_path):
    slow, go = "#!yaml\na: 1\n", tmp_path / "go"
    waits = f"while [ %s = web1 ] && [ ! -e {go} ]; do sleep 0.02; done; echo 'ext: %s'"
    with running_master(tmp_path, {"ext_pillar": [{"cmd_yaml": waits}]}) as master:
        write(tmp_path / "master/srv/pillar", {"top.sls": TOP, "a.sls": slow, "b.sls": "b: 2\n"})
        with running_minion(master, "web2"), running_minion(master, "web1", ready=False):
            master.accept("web1")
            until(lambda: programs(master.process.pid), what="the program runs")
            assert master.returns("web2", "test.ping") == {"web2": True}
            assert master.returns("web2", "pillar.items") == {"web2": {"a": 1, "b": 2, "ext": "web2"}}
            assert programs(master.process.pid)
            go.touch()
            until(lambda: master.up("web1"))
            assert master.returns("web1", "pillar.items") == {"web1": {"a": 1, "b": 2, "ext": "web1"}}
            until(lambda: not programs(master.process.pid))


def programs(pid):
    """The processes that a master has started and that run."""
    children = open(f"/proc/{pid}/task/{pid}/children").read().split()
    return children


@pytest.mark.parametrize("how", ["exits", "fails", "hangs", "is killed"])
def test_what_a_process_apart_may_do(how, monkeypatch):
    process = PROCESS
    monkeypatch.setattr(process, "MAX_COMPILING", 0.3)

    def function():
        if how == "exits":
            os._exit(3)
        if how == "fails":
            raise ValueError("no")
        if how == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        while True:
            with contextlib.suppress(Exception):
                process.run("sleep", ["sleep", "60"])

    steps = process.apart(function)
    with pytest.raises(saltlite.Failure, match="ended before|ValueError: no|more than 0.3 seconds"):
        for pause in steps:
            time.sleep(pause)
    assert not process.APART


def test_what_a_process_apart_logs_is_in_the_log_and_nowhere_else(tmp_path, monkeypatch):
    """The next file that is opened would have had the log's descriptor."""
    logger = logging.getLogger("saltlite")
    handler = saltlite.packed_leaf("terminal", "log").to_file(tmp_path / "log", "info", "")
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)

    def function():
        with open(tmp_path / "next", "w"):
            saltlite.log.error("said apart")

    for pause in PROCESS.apart(function):
        time.sleep(pause)
    handler.stream.close()
    assert "said apart" in (tmp_path / "log").read_text() and (tmp_path / "next").read_text() == ""


def test_the_programs_of_a_process_apart_end_with_it(tmp_path):
    """Who has asked for pillar is accepted no more, say: nobody goes on."""
    steps = PROCESS.apart(lambda: PROCESS.run("ours", f"sleep 60 & echo $$ $! > {tmp_path}/pids; wait"))
    next(steps)
    pids = until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().split())
    steps.close()
    until(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids), what="both have ended")


@pytest.mark.parametrize("what", ["grains", "pillar_override"])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_pillar_of_large_grains_keeps_nobody_waiting(site, what, more):
    pillars = saltlite.packed_leaf("requests", "pillar")
    value = {"a": ""}
    value["a"] = "x" * (pillars.LARGE_GRAINS - pillars.weigh(value) + more)
    assert pillars.weigh(value) == pillars.LARGE_GRAINS + more
    minion = site.joined("m")

    def asked(load):
        """The reply, and whether it was there at once."""
        reply = site.master.receive("to", minion.request({"cmd": "_pillar"} | load, site.now), site.now)
        at_once = reply is not None
        while site.master.under_way:
            time.sleep(0.01)
            reply = next(iter(site.master.go_on(site.now)), reply)
        return reply, at_once

    asked({})  # the first one of a process has modules to import
    reply, at_once = asked({what: value})
    assert at_once is (more <= 0)
    assert minion.reply(reply.data) == (value if what == "pillar_override" else {})


def test_what_the_first_pillar_imports_is_a_step_of_its_own(site, monkeypatch):
    for name in (names := saltlite.packed_leaf("requests", "pillar").IMPORTED):
        monkeypatch.delitem(sys.modules, name)
    minion = site.joined("m")
    assert site.master.receive("to", minion.request({"cmd": "_pillar"}, site.now), site.now) is None
    replies = [site.master.go_on(site.now) for _ in names]
    assert [len(each) for each in replies] == [0] * (len(names) - 1) + [1]
    assert minion.reply(replies[-1][0].data) == {}


@pytest.mark.parametrize("number", [3, 4, 5])
def test_so_many_processes_apart_at_once(number):
    steps = [PROCESS.apart(lambda: time.sleep(0.2) or {1: "a", "b": b"\xff"}) for _ in range(number)]
    for step in steps:
        next(step)
    assert len(PROCESS.APART) == min(number, PROCESS.MAX_APART)
    for step in steps:
        step.close()
    assert not PROCESS.APART
    with pytest.raises(StopIteration) as end:
        step = PROCESS.apart(lambda: {1: "a", "b": b"\xff"})
        while True:
            time.sleep(next(step))
    assert end.value.value == {1: "a", "b": b"\xff"}
