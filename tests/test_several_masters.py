"""Several masters, and what jobs ask a master through their minion: real processes on loopback."""

import contextlib
import json
import shutil
import signal

import pytest
from live import running_master, running_minion, until

import saltlite


@contextlib.contextmanager
def twins(tmp_path):
    """Two masters with one key, as Salt's redundant masters have it."""
    with running_master(tmp_path, name="first") as first:
        pki = tmp_path / "second/pki/master"
        pki.mkdir(parents=True, mode=0o700)
        for name in ("master.pem", "master.pub"):
            shutil.copy2(first.pki / name, pki)
        with running_master(tmp_path, name="second") as second:
            yield first, second


def join(minion_id, *masters):
    """Accept a minion at each of its masters, and wait until each has heard it start."""
    for master in masters:
        master.accept(minion_id)
        until(lambda master=master: master.up(minion_id))


def address(master):
    return f"127.0.0.1:{master.options['ret_port']}"


def test_a_minion_of_two_masters_serves_both(tmp_path):
    with twins(tmp_path) as (first, second):
        options = {"master": [address(first), address(second)]}
        with running_minion(first, "m", options, ready=False) as minion:
            join("m", first, second)
            for master in (first, second):
                assert master.returns("*", "test.ping") == {"m": True}
                assert master.returns("*", "cmd.run", "echo here") == {"m": "here"}
            assert not list(minion.cache.glob("outbox/*"))


def test_one_jid_from_two_masters_runs_once_and_is_returned_to_the_first(tmp_path):
    with twins(tmp_path) as (first, second):
        options = {"master": [address(first), address(second)]}
        with running_minion(first, "m", options, ready=False):
            join("m", first, second)
            jid = saltlite.jid_of(1_800_000_000)
            fields = {"tgt": "m", "fun": "cmd.run", "arg": [f"echo x >> {tmp_path}/ran"], "timeout": 1}
            first.request(jid, **fields)
            assert [line["event"] for line in first.job(jid)] == ["new", "ret", "end"]
            second.request(jid, **fields | {"gather_job_timeout": 1})
            second.job(jid)
            assert (tmp_path / "ran").read_text() == "x\n"


def test_a_return_goes_to_the_master_that_asked_even_when_it_comes_back_later(tmp_path):
    with twins(tmp_path) as (first, second):
        options = {"master": [address(first), address(second)]}
        with running_minion(first, "m", options, ready=False) as minion:
            join("m", first, second)
            jid = second.submit("m", "cmd.run", f"until test -e {tmp_path}/go; do sleep 0.05; done; echo done")
            until(lambda: minion.job_pid(jid))
            second.stop(signal.SIGKILL)
            (tmp_path / "go").touch()
            until((minion.cache / "outbox" / jid).exists)
            assert first.returns("m", "test.ping") == {"m": True}
            second.start()
            assert [line["return"] for line in second.job(jid) if line["event"] == "ret"] == ["done"]
            assert not first.job_file(jid).exists()


def test_failover_goes_to_the_next_master_and_takes_its_returns_along(tmp_path):
    with twins(tmp_path) as (first, second):
        options = {"master": [address(first), address(second)], "master_type": "failover", "master_alive_interval": 1}
        with running_minion(first, "m", options, ready=False) as minion:
            first.accept("m")
            until(lambda: first.up("m"))
            assert first.returns("*", "test.ping") == {"m": True}
            shutil.copy2(first.pki / "minions/m", second.pki / "minions/m")
            jid = first.submit("m", "cmd.run", f"until test -e {tmp_path}/go; do sleep 0.05; done; echo done")
            until(lambda: minion.job_pid(jid))
            first.stop(signal.SIGKILL)
            (tmp_path / "go").touch()
            minion.says("going on with", address(second))
            until(lambda: second.up("m"))
            assert second.returns("*", "test.ping") == {"m": True}
            until(lambda: not list(minion.cache.glob("outbox/*")), what="the return is taken by the second master")
            kept = list(second.jobs.glob(f"done/*/{jid}.m.jsonl"))
            assert [json.loads(line)["return"] for line in kept[0].read_text().splitlines()[1:]] == ["done"]


def test_a_failover_minion_finds_the_second_master_when_the_first_never_answered(tmp_path):
    with twins(tmp_path) as (first, second):
        gone = address(first)
        first.stop()
        options = {"master": [gone, address(second)], "master_type": "failover", "master_alive_interval": 1}
        with running_minion(second, "m", options, ready=False):
            second.accept("m")
            until(lambda: second.up("m"))


def test_a_job_asks_the_master_through_its_minion(tmp_path):
    with running_master(tmp_path) as master, running_minion(master, "m" * 60) as minion:
        opts = saltlite.load_opts("minion", str(minion.conf))
        tree = saltlite.MinionTree(opts)
        assert saltlite.ask_minion(tree, "", {"cmd": "_file_envs"}) == ["base"]
        assert saltlite.ask_minion(tree, "somebody", {"cmd": "_unknown"}) == {}
        for odd in ["x", [1], {"cmd": "_mine", "data": "x" * (20 << 20)}]:
            with pytest.raises(saltlite.PayloadError, match="cannot be sent"):
                saltlite.ask_minion(tree, "", odd)
        assert saltlite.ask_minion(tree, "", {"cmd": "_file_envs"}) == ["base"]
        assert (minion.cache / ".ask").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("value", [[], "", ["a:b"], [""]])
def test_a_master_option_that_names_no_host_is_refused(tmp_path, value):
    with pytest.raises(saltlite.Failure, match="master"):
        saltlite.master_list({"master": value})
