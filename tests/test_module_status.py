"""status: against /proc, real processes and real connections."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import msgpack
import pytest
import zmq
from one_minion import Minion


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "m", None)


def test_the_numbers_are_those_of_proc(minion):
    before = float(Path("/proc/uptime").read_text().split()[0])
    up = minion("status.uptime")
    assert 0 <= up["seconds"] - int(before) < 60 and abs(up["since_t"] + up["seconds"] - time.time()) < 60
    assert up["days"] == up["seconds"] // 86400 and up["since_iso"].count(":") == 2
    assert minion("status.loadavg").keys() == {"1-min", "5-min", "15-min"}
    total = next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    assert minion("status.meminfo")["MemTotal"] == {"value": total, "unit": "kB"}
    cpu = minion("status.cpustats")
    assert list(cpu["cpu"]) == "user nice system idle iowait irq softirq steal".split() and cpu["cpu"]["user"] > 0
    assert cpu["intr"]["total"] >= sum(cpu["intr"]["irqs"]) > 0 and cpu["ctxt"] > 0
    assert minion("status.netdev")["lo"]["iface"] == "lo"
    assert minion("status.netstats")["TcpExt"]["DelayedACKs"] >= 0
    assert minion("status.vmstats")["pgfault"] > 0 and "Linux version" in minion("status.version")
    assert "flags" not in minion("status.cpuinfo") or isinstance(minion("status.cpuinfo")["flags"], list)
    assert minion("status.all_status").keys() >= {"cpuinfo", "w", "uptime"}


def test_disk_usage_is_by_path_and_by_type(minion, tmp_path):
    stat = os.statvfs(tmp_path)
    found = minion("status.diskusage", str(tmp_path), "/nowhere")
    assert list(found) == [str(tmp_path)] and found[str(tmp_path)]["total"] == stat.f_blocks * stat.f_frsize
    types = {line.split()[2] for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1] == "/proc"}
    assert "/proc" in minion("status.diskusage", *types) and minion("status.diskusage", "no such type") == {}
    assert minion("status.diskusage").keys() >= {"/proc"}


def test_processes_are_found_by_what_they_are(minion, tmp_path):
    program = tmp_path / "status-sleeper"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([program, "60"])
    try:
        found = minion("status.procs")[str(process.pid)]
        assert found["cmd"].endswith("status-sleeper 60")
        assert minion("status.pid", "status-sleeper [0-9]+") == str(process.pid)
        assert minion("status.pid", f"^{found['user']} {process.pid} {os.getpid()} ") == str(process.pid)
    finally:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        dead = minion("status.procs")[str(process.pid)]
        process.wait()
    assert dead["cmd"] == "[status-sleeper] <defunct>" and minion("status.pid", "status-sleeper") == ""
    assert "is no regular expression" in minion.error("status.pid", "(")


def test_time_and_processors(minion):
    assert minion("status.time", "%Y") == time.strftime("%Y")
    assert minion("status.nproc") == len(os.sched_getaffinity(0))


def test_without_the_program_the_sentence_names_it(minion, tmp_path):
    minion.execution.functions["status.w"].__globals__["SEARCHED"] = str(tmp_path)
    assert "w is not installed" in minion.error("status.w") and "users" not in minion("status.uptime")


def test_the_configuration_chooses_parts(tmp_path):
    minion = Minion(
        tmp_path / "m", None, **{"status.cpustats.custom": ["ctxt", "nothing"], "status.nothing.custom": ["x"]}
    )
    found = minion("status.custom")
    assert found["ctxt"] > 0 and found["nothing"] == "UNKNOWN" and "x" not in found


# the master


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_connection_to_the_master_is_seen(tmp_path, host, family):
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        minion = Minion(tmp_path / "m", None, master=host, publish_port=port)
        assert minion("status.master") is False and minion("status.master", "no.such.host.invalid") is None
        with socket.create_connection((host, port)):
            assert minion("status.master") is True and minion("status.master", host) is True
            written = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            other = Minion(tmp_path / "n", None, master=["no.such.host.invalid", written])
            assert other("status.master") is True, "where the publish port is the master's to say, its other port tells"


def answering(reply):
    """A REP socket that answers once."""
    context = zmq.Context()
    channel = context.socket(zmq.REP)
    port = channel.bind_to_random_port("tcp://127.0.0.1")

    def run():
        if channel.poll(10000):
            channel.send(reply(channel.recv()))
        channel.close(linger=1000)
        context.term()

    thread = threading.Thread(target=run)
    thread.start()
    return port, thread


@pytest.mark.parametrize(("reply", "answers"), [
    (lambda asked: msgpack.packb(msgpack.unpackb(asked)["load"]), True),
    (lambda asked: b"\xc1", False), (lambda asked: msgpack.packb("bad load"), False),
])  # fmt: skip
def test_a_master_that_answers_a_ping_is_one(minion, reply, answers):
    port, thread = answering(reply)
    assert minion("status.ping_master", f"127.0.0.1:{port}") is answers
    thread.join()


def test_nobody_is_no_master(minion):
    module = minion.execution.functions["status.ping_master"].__globals__
    module["PING_SECONDS"] = 0.2
    assert minion("status.ping_master", "127.0.0.1:1") is False
    assert minion("status.ping_master", "") is False and minion("status.ping_master", "no.such.host.invalid") is False
