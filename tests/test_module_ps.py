"""ps: on processes that these tests have started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import pytest
from one_minion import Minion

import saltlite


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "m", None)


@pytest.fixture
def start(tmp_path):
    """Starts a program under a name of one's own."""
    started = []

    def start(name, *args, program="/bin/sleep"):
        (tmp_path / name).exists() or (tmp_path / name).symlink_to(program)
        started.append(subprocess.Popen([tmp_path / name, *args]))
        deadline = time.monotonic() + 10
        while name[:15].encode() not in _comm(started[-1].pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def _comm(pid):
    with open(f"/proc/{pid}/comm", "rb") as file:
        return file.read()


def test_processes_are_found(minion, start):
    one, two = start("ps-sleeper-one", "61"), start("ps-sleeper-two", "62")
    assert sorted(minion("ps.pgrep", "ps-sleeper")) == sorted([one.pid, two.pid])
    assert minion("ps.pgrep", "two 62", full=True) == [two.pid] and minion("ps.pgrep", "two 62") is None
    assert minion("ps.pgrep", "^ps-.*one$", pattern_is_regex=True) == [one.pid]
    assert minion("ps.pgrep", "ps-sleeper", user="no such user") is None
    assert minion("ps.pgrep", "ps.sleeper") is None, "a dot is a dot"
    info = minion("ps.proc_info", one.pid, ["pid", "name", "ppid"])
    assert info == {"pid": one.pid, "name": "ps-sleeper-one", "ppid": os.getpid()}
    assert {"pid": one.pid, "name": "ps-sleeper-one"} in minion("ps.status", "sleeping")
    assert one.pid in minion("ps.get_pid_list")
    name, lines, count = minion("ps.psaux", "ps-sleeper-(one|two)")
    assert len(lines) == 2 and count == "2 occurrence(s)." and name == "ps-sleeper-(one|two)"


def test_everything_of_a_process_can_be_sent(minion):
    made = minion.job("ps.proc_info", os.getpid())
    assert made["success"] is True and made["return"]["memory_info"][0] > 0
    assert saltlite.unpack(saltlite.pack(made))["return"]["pid"] == os.getpid()
    assert minion("ps.proc_info", os.getpid(), "name") == {"name": made["return"]["name"]}
    assert "not found" in minion.error("ps.proc_info", 2**22 + 1)
    assert "invalid attr" in minion.error("ps.proc_info", 1, ["nothing"])


@pytest.mark.parametrize("given", [9, "9", "KILL", "sigkill"])
def test_a_process_is_signalled_by_number_or_name(minion, start, given):
    process = start("ps-signalled", "60")
    assert minion("ps.kill_pid", process.pid, given, test=True) == (
        f"Signal 9 would go to process {process.pid}, ps-signalled."
    )
    assert process.poll() is None
    assert minion("ps.kill_pid", process.pid, given) is True
    assert process.wait(10) == -signal.SIGKILL and minion("ps.kill_pid", process.pid, given) is False


@pytest.mark.parametrize("pid", [-1, "x", 2**40])
def test_what_is_no_process_gets_no_signal(minion, pid):
    assert minion("ps.kill_pid", pid) is False
    assert "is no signal" in minion.error("ps.kill_pid", os.getpid(), "SIGNOTHING")
    assert "is no signal" in minion.error("ps.kill_pid", os.getpid(), 999)


def test_many_are_signalled_but_not_who_runs_this(minion, start):
    one, two = start("ps-many", "61"), start("ps-many", "62")
    assert sorted(minion("ps.pkill", "ps-many", test=True)["would be killed"]) == sorted([one.pid, two.pid])
    assert minion("ps.pkill", "ps-many 61", full=True) == {"killed": [one.pid]} and one.wait(10) == -signal.SIGTERM
    with open("/proc/self/cmdline") as file:
        own = file.read().replace("\0", " ").strip()
    assert (
        os.getpid() not in (minion("ps.pkill", own, full=True, test=True) or {"would be killed": []})["would be killed"]
    )
    assert minion("ps.pkill", "no such process, surely") is None and two.poll() is None
    for fun in ("ps.pkill", "ps.pgrep"):
        assert "would mean every process" in minion.error(fun, "")
    assert "is no regular expression" in minion.error("ps.pgrep", "(", pattern_is_regex=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_processes_are_left_alone_and_named(minion, start):
    process = start("ps-others", "60")
    assert minion("ps.pkill", "ps-others", test=True)  # what it imports may lie where others cannot read
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setuid(65534)
            said = [minion.run(fun, arg)[0] for fun, arg in (("ps.kill_pid", process.pid), ("ps.pkill", "ps-others"))]
            code = 0 if all(f"Process {process.pid} may not be signalled" in text for text in said) else 1
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0 and process.poll() is None


def test_who_is_busy_comes_first(minion, start):
    busy = start("ps-busy", "-c", "while :; do :; done", program="/bin/sh")
    idle = start("ps-idle", "60")
    assert len(minion("ps.top", 3, 0)) == 3
    found = minion("ps.top", 100_000, 0.5)
    order = [row["pid"] for row in found]
    assert order.index(busy.pid) < order.index(idle.pid)
    row = next(row for row in found if row["pid"] == busy.pid)
    assert row["cmd"][1:] == ["-c", "while :; do :; done"] and row["cpu"]["user"] > 0 and row["mem"]["rss"] > 0
    largest = minion("ps.top_memory", 4)
    sizes = [row["mem"]["rss"] for row in largest]
    assert len(sizes) == 4 and sizes[0] == max(sizes) and minion("ps.top", 0, 0) == []
    for wrong in (-1, "x", 3601):
        assert f"interval: {wrong!r} must be a number" in minion.error("ps.top", 1, wrong)
    assert "num_processes" in minion.error("ps.top", "all")
    number = minion.execution.functions["ps.top"].__globals__["_number"]
    assert [number("interval", each, 3600) for each in (0, 3599, "3600")] == [0, 3599, 3600]


def test_numbers_of_the_machine(minion):
    assert minion("ps.num_cpus") == os.cpu_count()
    memory = minion("ps.virtual_memory")
    assert memory["total"] == minion("ps.total_physical_memory") > memory["available"] > 0
    assert minion("ps.boot_time", "%Y") == time.strftime("%Y", time.localtime(minion("ps.boot_time")))
    assert minion("ps.cpu_times").keys() >= {"user", "system", "idle", "iowait"}
    assert len(minion("ps.cpu_times", True)) == len(minion("ps.cpu_percent", 0.05, True)) == os.cpu_count()
    assert 0 <= minion("ps.cpu_percent", 0.05) <= 100
    assert minion("ps.disk_usage", "/")["total"] > 0 and "No such file" in minion.error("ps.disk_usage", "/none")
    assert minion("ps.network_io_counters", "lo")["bytes_sent"] >= 0
    assert minion("ps.network_io_counters", "none") is False and minion("ps.disk_io_counters", "none") is False
    assert isinstance(minion("ps.get_users"), list) and minion("ps.swap_memory")["total"] >= 0
