"""A daemon's program in its place: saltlite.update with its trial, a master and a minion that are run anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archive import make_archive
from live import ENVIRONMENT, Master, Minion, running_master, running_minion, until

import saltlite

trial = saltlite.packed_leaf("terminal", "trial")


@pytest.fixture(scope="module")
def master(tmp_path_factory) -> Iterator[Master]:
    """A master that is one file itself; it serves the programs below `files`."""
    home = tmp_path_factory.mktemp("update")
    (home / "files").mkdir()
    make_archive(home / "master.pyz")
    options = {"file_roots": {"base": [str(home / "files")]}, "timeout": 1, "gather_job_timeout": 1}
    with running_master(home, options, program=[sys.executable, "-I", str(home / "master.pyz")]) as it:
        yield it


@pytest.fixture
def files(master) -> Path:
    return master.root.parent / "files"


class Updated:
    """A minion of version 1.0 that runs from a file of its own."""

    def __init__(self, master: Master, name: str, seconds: float = 20.0) -> None:
        self.program = master.root.parent / f"{name}.pyz"
        self.digest = make_archive(self.program, seconds=seconds)
        self.command = [sys.executable, "-I", str(self.program)]


@pytest.fixture
def update(master, request):
    """Run a minion and update it; gives it, the file and the return."""
    name = request.node.name.translate(str.maketrans("[] ", "---")).strip("-")
    mine = Updated(master, name, 1.0 if "back_by_itself" in name else 20.0)
    with running_minion(master, name, program=mine.command) as minion:
        yield mine, minion


def runs(minion: Minion) -> int:
    """The process of the minion, 0 if none holds the lock."""
    lock = minion.cache / ".lock"
    return int(lock.read_text() or 0) if saltlite.packed_leaf("clients", "LocalClient").locked(lock) else 0


def returned(master: Master, jid: str) -> dict[str, Any]:
    """The return in a job's file, {} if there is none yet: whoever is away for long is silent first."""
    path = master.job_file(jid)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return next((line for line in lines if line["event"] == "ret"), {})


def test_an_update_that_reaches_the_master_stays(master, files, update):
    mine, minion = update
    digest = make_archive(files / "new.pyz", "2.0")
    before = minion.process.pid
    words = "saltlite.update", "salt://new.pyz", f"hash={digest}", "version='2.0'"
    ret = master.returns("-t", "20", minion.name, *words)  # while it starts anew it answers no question
    assert ret == {
        minion.name: {
            "result": True,
            "comment": f"{mine.program} is saltlite 2.0 now.",
            "from": "1.0",
            "to": "2.0",
        }
    }
    assert runs(minion) == before, "the same process, for whoever supervises it"
    assert trial.hash_of(mine.program) == digest and not (minion.cache / "update").exists()
    assert master.returns(minion.name, "saltlite.version") == {minion.name: "2.0"}
    again = master.returns(minion.name, "saltlite.update", "salt://new.pyz", f"hash={digest}")
    assert "already" in again[minion.name]["comment"]


@pytest.mark.parametrize("fault", ["does not reach the master", "does not start", "hangs"])
def test_an_update_that_does_not_goes_back_by_itself(master, files, update, fault):
    mine, minion = update
    digest = make_archive(files / "bad.pyz", "3.0", fault, 1.0)
    jid = master.submit(minion.name, "saltlite.update", "salt://bad.pyz", f"hash={digest}")
    line = until(lambda: returned(master, jid), what="the job returns, however late")
    ret = line["return"]
    assert (line["retcode"], ret["result"], ret["to"]) == (1, False, "1.0"), ret
    assert f"{mine.program} is saltlite 1.0 again" in ret["comment"]
    assert trial.hash_of(mine.program) == mine.digest and not (minion.cache / "update").exists()
    assert master.returns(minion.name, "saltlite.version") == {minion.name: "1.0"}
    if (pid := runs(minion)) != minion.process.pid:  # the job has started it, for nobody else did
        minion.process.wait(10)
        os.kill(pid, signal.SIGTERM)
        until(lambda: not runs(minion), what="the minion ends")
        minion.process = None


@pytest.mark.parametrize(
    "version, fault, more, said",
    [
        ("2.0", "", {"hash": "a" * 64}, "has the SHA256"),
        ("2.0", "", {"hash": "cafe"}, "64 hexadecimal digits"),
        ("2.0", "", {"version": "'2.1'"}, "is saltlite 2.0, and not 2.1"),
        ("2.0", "refuses the configuration", {}, "it is not to my taste"),
        ("", "", {}, "salt://nothing.pyz is not there"),
        ("no", "", {}, "nothing was replaced"),
    ],
)
def test_an_update_that_is_not_what_was_meant_changes_nothing(steady, master, files, version, fault, more, said):
    mine, minion = steady
    name = "new.pyz" if version else "nothing.pyz"
    digest = make_archive(files / "new.pyz", version, fault)
    if version == "no":
        (files / "new.pyz").write_text("#!/bin/sh\n")
        digest = trial.hash_of(files / "new.pyz")
    words = [f"{key}={value}" for key, value in ({"hash": digest} | more).items()]
    done = master.salt(minion.name, "saltlite.update", f"salt://{name}", *words)
    assert said in " ".join(done.stdout.split()) and done.returncode in (1, 11), done.stdout
    assert trial.hash_of(mine.program) == mine.digest and not (minion.cache / "update").exists()


@pytest.fixture(scope="module")
def steady(master):
    mine = Updated(master, "steady")
    with running_minion(master, "steady", program=mine.command) as minion:
        yield mine, minion


def noted(minion: Minion, mine: Updated, new: str, **more: object) -> None:
    """The tree after step 4 of an update to a program with the hash `new`."""
    (home := minion.cache / "update").mkdir()
    (home / "old").write_bytes(mine.program.read_bytes())
    state = {
        "state": "trying",
        "program": str(mine.program),
        "old": mine.digest,
        "new": new,
        "from": "1.0",
        "to": "2.0",
    }
    trial.note(home, state | {"starts": 0, "jid": "1", "cwd": "/", "argv": []} | more)


@pytest.mark.parametrize("starts, kept", [(trial.STARTS - 1, True), (trial.STARTS, False)])
def test_a_new_program_has_so_many_starts_whatever_ends_it(master, update, starts, kept):
    """A crash behind step 5, the job gone with it: who is started next finds the state."""
    mine, minion = update
    minion.stop(signal.SIGKILL)
    noted(minion, mine, make_archive(mine.program.with_name("next"), "2.0"), starts=starts)
    os.rename(mine.program.with_name("next"), mine.program)
    minion.start()
    state = until(lambda: (found := trial.state_of(minion.cache / "update")).get("state") != "trying" and found)
    assert state["state"] == ("reached" if kept else "back")
    if not kept:
        until(lambda: trial.hash_of(mine.program) == mine.digest)
    minion.connected()
    assert master.returns(minion.name, "saltlite.version") == {minion.name: "2.0" if kept else "1.0"}


def test_a_crash_before_the_program_was_replaced_changes_nothing(master, update):
    mine, minion = update
    minion.stop(signal.SIGKILL)
    noted(minion, mine, "f" * 64)
    minion.start()
    minion.connected()
    assert master.returns(minion.name, "saltlite.version") == {minion.name: "1.0"}
    assert trial.hash_of(mine.program) == mine.digest


# a master that is run anew


def test_a_master_is_run_anew_when_its_file_was_replaced_and_loses_no_job(master, steady):
    program = master.root.parent / "master.pyz"
    minion, pid = steady[1], master.process.pid
    watching = subprocess.Popen(
        [*master.program, "salt", "-c", str(master.conf), minion.name, "cmd.run", "sleep 1.5; echo done"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
    )
    until(lambda: list(master.jobs.glob("active/*")), what="the job runs")
    for version in ("1.1", "1.2"):  # a second time, for what a program hands on to the next
        make_archive(program, version)
        said = master.text().count("ready:")
        master.process.send_signal(signal.SIGHUP)
        until(lambda said=said: master.text().count("ready:") == said + 1, what="the master is run anew")
        assert master.process.poll() is None and master.process.pid == pid
    assert "done" in watching.communicate(timeout=20)[0] and watching.returncode == 0
    assert master.returns(minion.name, "test.ping") == {minion.name: True}


def test_a_file_that_cannot_take_over_leaves_the_master_as_it_is(master):
    program = master.root.parent / "master.pyz"
    for spoil, said in [
        (lambda: make_archive(program, "1.3", "refuses the configuration"), "it is not to my taste"),
        (lambda: program.write_text("half a file"), "cannot take over"),
    ]:
        spoil()
        master.process.send_signal(signal.SIGHUP)
        master.says("cannot take over", said)
    starts = master.text().count("ready:")
    make_archive(program, "1.4")
    (master.conf / "master.d").mkdir(exist_ok=True)
    (master.conf / "master.d/wrong.conf").write_text("ret_port: many\n")
    master.process.send_signal(signal.SIGUSR2)
    master.says("cannot take over", "ret_port must be")
    (master.conf / "master.d/wrong.conf").unlink()
    time.sleep(0.05)
    master.process.send_signal(signal.SIGUSR2)
    until(lambda: master.text().count("ready:") == starts + 1, what="the master is run anew")


def test_what_a_minion_was_started_with_survives_being_run_anew(steady, master):
    minion = steady[1]
    limits = master.returns(minion.name, "cmd.run", "umask; ulimit -c; ulimit -n")
    times = minion.text().count("connected to")
    minion.process.send_signal(signal.SIGUSR2)
    until(lambda: "is run anew" in minion.text() and minion.text().count("connected to") > times)
    assert master.returns(minion.name, "cmd.run", "umask; ulimit -c; ulimit -n") == limits
    shown = master.returns(minion.name, "cmd.run", "grep SigIgn /proc/self/status")[minion.name]
    ignored = int(shown.split()[1], 16)
    assert not ignored & (1 << signal.SIGHUP - 1 | 1 << signal.SIGUSR2 - 1), "no signal is ignored by what jobs start"
