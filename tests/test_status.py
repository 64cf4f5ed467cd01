"""What the master tells of itself (reports), and `saltlite status` and `key`, which read it."""

from __future__ import annotations

import json
import os
import re
import time

import pytest
from in_memory import KEYS
from leaves import PILLAR, RETENTION
from live import command, public, running_master, running_minion, until
from screen import on_terminal

import saltlite

DAY = 86400
NOW = 1_790_000_000.0


# What is kept of finished jobs


@pytest.fixture
def jobs(tmp_path):
    for directory in ("new", "done", "bad"):
        (tmp_path / directory).mkdir()
    return tmp_path


def finished(jobs, at, size=100):
    jid = saltlite.jid_of(at)
    (jobs / "done" / jid[:8]).mkdir(exist_ok=True)
    (jobs / "done" / jid[:8] / f"{jid}.jsonl").write_bytes(b"x" * size)
    return jid


def left(jobs):
    return sorted(name[:-6] for _, _, found in os.walk(jobs / "done") for name in found)


def clean(jobs, keep=0, most=0, now=NOW):
    return list(RETENTION.cleaned(jobs, keep, most, now))


@pytest.mark.parametrize("age, stays", [(0, True), (1, True), (2, False), (9, False)])
def test_days_go_whole_when_they_are_over_for_long_enough(jobs, age, stays):
    finished(jobs, NOW - age * DAY)
    clean(jobs, keep=DAY)
    assert bool(left(jobs)) is stays
    assert len(os.listdir(jobs / "done")) == int(stays)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_what_a_killed_cp_has_left_goes_after_a_day_some_files_at_a_time(tmp_path, monkeypatch, more):
    offers = saltlite.packed_leaf("reports", "offers")
    monkeypatch.setattr(offers, "AT_ONCE", 4)
    now = time.time()
    for name, age in (("old", offers.KEPT + 9), ("young", offers.KEPT - 9)):
        (tmp_path / "offers" / name / "web1").mkdir(parents=True)
        for number in range(4 + more):
            (tmp_path / "offers" / name / "web1" / str(number)).touch()
        os.utime(tmp_path / "offers" / name, (now - age,) * 2)
    (tmp_path / "offers/link").symlink_to(tmp_path / "offers/young")
    os.utime(tmp_path / "offers/link", (now - 2 * offers.KEPT,) * 2, follow_symlinks=False)
    (directory,) = offers.old(tmp_path / "offers", now)
    assert len(list(offers.remove(directory))) == (1 if more < 0 else 2)
    assert sorted(os.listdir(tmp_path / "offers")) == ["link", "young"]
    assert len(os.listdir(tmp_path / "offers/young/web1")) == 4 + more


def test_what_was_refused_goes_with_its_age(jobs):
    for name, age in (("bad/old", 2), ("bad/new", 0), ("new/.half", 2), ("new/20260101000000000000", 2)):
        (jobs / name).touch()
        os.utime(jobs / name, (NOW - age * DAY,) * 2)
    clean(jobs, keep=DAY)
    assert sorted([*os.listdir(jobs / "bad"), *os.listdir(jobs / "new")]) == ["20260101000000000000", "new"]


@pytest.mark.parametrize("over, gone", [(-1, 0), (0, 0), (1, 1)])
def test_the_oldest_go_when_all_take_too_much(jobs, over, gone):
    jids = [finished(jobs, NOW - at) for at in (2 * DAY, DAY + 2, DAY + 1, 0)]
    paths = (jobs / "done").glob("*/*")
    total = sum(RETENTION.size_of(path.stat()) for path in paths)
    clean(jobs, most=total - over)
    assert left(jobs) == jids[gone:]


def test_whole_days_and_then_single_jobs(jobs):
    jids = [finished(jobs, NOW - at) for at in (3 * DAY, 3 * DAY - 1, DAY + 2, DAY + 1, 0)]
    size = RETENTION.size_of(next((jobs / "done").glob("*/*")).stat())
    clean(jobs, most=2 * size)
    assert left(jobs) == jids[3:] and len(os.listdir(jobs / "done")) == 2
    assert clean(jobs) == [] and left(jobs) == jids[3:]  # 0 is no limit


def test_much_goes_in_steps(jobs, monkeypatch):
    for number in range(200):
        finished(jobs, NOW - 9 * DAY + number)
    monkeypatch.setattr(RETENTION, "STEP", 0.0)
    assert len(clean(jobs, keep=DAY)) >= 200 and left(jobs) == []


def test_odd_things_in_done_stop_nobody(jobs):
    (jobs / "done/link").symlink_to("/etc")
    (jobs / "done/20200101").symlink_to("/etc")
    (jobs / "done/20200102/deep").mkdir(parents=True)
    clean(jobs, keep=DAY, most=1)
    assert sorted(os.listdir(jobs / "done")) == ["20200101", "link"]


# Who came twice


def test_an_id_that_two_machines_use_in_turn_is_told(site, caplog):
    machines = PILLAR.Machines(site.tree)
    machines.came("m", None, "a", NOW)
    machines.came("m", "a", "b", NOW + 1)  # set up anew
    assert machines.told == {}
    machines.came("m", "b", "a", NOW + machines.AT_ONCE)
    assert "two machines in turn" in caplog.text and machines.told["m"].keys() == {"a", "b"}
    assert json.loads((site.tree.cache / "twins.json").read_text()).keys() == {"m"}
    machines.came("n", "a", "b", NOW)
    machines.came("n", "b", "a", NOW + machines.AT_ONCE + 1)  # and back again, much later
    assert machines.told.keys() == {"m"}


def test_grains_of_a_second_machine_reach_that(site):
    minion = site.joined("m")
    for machine in ("a", "b", "a"):
        site.ask(minion, {"cmd": "_pillar", "id": "m", "grains": {"id": "m", "machine_id": machine}})
    assert (site.tree.cache / "twins.json").exists()


# Live


def test_a_key_waits_with_its_fingerprint_on_both_sides(tmp_path):
    options = {"auth_timeout": 1}
    with running_master(tmp_path) as master, running_minion(master, "web1", options, ready=False) as minion:
        until((master.pki / "minions_pre/web1").exists)
        finger = json.loads(master.key("-f", "web1", "--out", "json").stdout)["minions_pre"]["web1"]
        assert finger in minion.says("pending")
        shown = command("call", "--local", "-c", minion.conf, "key.finger", "--out", "json")
        assert json.loads(shown.stdout)["local"] == finger
        present = master.cache / "present.json"
        until(lambda: present.exists() and "127.0.0.1" in present.read_text())
        assert "127.0.0.1" in master.key("-l", "pre", "-v").stdout
        assert finger in master.key("-L", "-v").stdout
        assert finger in master.key("-a", "web1", input="n\n").stdout
        (master.pki / "minions/bad1").write_text(public() + "\n" + public(1))
        assert "not one PEM block" in master.says("minions/bad1 is no key")
        minions = {}

        def known():
            minions.update(json.loads(command("status", "-c", master.conf, "--out", "json").stdout)["minions"])
            return "bad1" in minions and minions["bad1"]["state"] == "bad key"

        until(lambda: "bad1" in present.read_text())
        until(known)
        assert minions["web1"]["state"] == "pending" and minions["web1"]["address"] == "127.0.0.1"
        assert "minions/bad1 is no key" in master.key("-L").stderr
        os.unlink(master.pki / "minions/bad1")
        done = master.key("-y", "-a", finger.replace(":", "").upper(), "--by-fingerprint")
        assert "mv minions_pre/web1 minions/" in done.stdout, done.stderr
        minion.ready()
        status = ["status", "-c", master.conf]
        until(lambda: command(*status).returncode == 0)
        assert re.search(r"\b1 up\b", command(*status).stdout)
        assert json.loads(command("run", "-c", master.conf, "manage.status", "--out", "json").stdout) == {
            "up": ["web1"],
            "down": [],
        }
        versions = json.loads(command("run", "-c", master.conf, "manage.versions", "--out", "json").stdout)
        assert versions == {"Master": saltlite.SALT_VERSION, "Up to date": {"web1": saltlite.SALT_VERSION}}
        minion.stop()
        until(lambda: " late" in command(*status).stdout)
        assert command(*status).returncode == 1
        master.stop()
        done = command(*status)
        assert "No master runs" in done.stdout and "unknown" in done.stdout and done.returncode == 1


def test_an_idle_minion_is_present_after_a_restart_of_the_master(tmp_path):
    options = {"presence_events": True, "loop_interval": 0.2}
    with running_master(tmp_path, options) as master, running_minion(master, "m1"):
        master.stop()
        began = time.time()
        master.start()

        def present():
            found = [event for event in master.events() if event["time"] > began]
            return any(event["data"]["present"] == ["m1"] for event in found if event["tag"] == "salt/presence/present")

        until(present)
        path = master.cache / "present.json"
        until(path.exists)
        until(lambda: json.loads(path.read_text())["present"].keys() == {"m1"})
        until(lambda: "saltlite_minions_up 1" in (master.cache / "metrics.prom").read_text(), 40)


def test_metrics_are_what_a_textfile_collector_takes(site, tmp_path):
    metrics = saltlite.packed_leaf("reports", "metrics")
    text = metrics.text_of([metrics.Figure("a_total", "counter", "Things.", [('{x="y"}', 3), ("", 0.25)])])
    assert text.splitlines() == [
        "# HELP saltlite_a_total Things.",
        "# TYPE saltlite_a_total counter",
        'saltlite_a_total{x="y"} 3',
        "saltlite_a_total 0.25",
    ]
    site.joined("m")
    assert site.master.admission.auths == 1 and site.master.counted["_return"] == 0


# key


@pytest.fixture
def keys(tmp_path):
    pki = tmp_path / "pki/master"
    for directory in ("minions", "minions_pre", "minions_rejected", "minions_denied"):
        (pki / directory).mkdir(parents=True)
    (tmp_path / "master").touch()
    return pki


def test_one_key_under_two_ids_is_told_and_not_accepted_by_its_fingerprint(keys, tmp_path):
    for name in ("minions/a", "minions_pre/b"):
        (keys / name).write_text(public())
    (keys / "minions_pre/c").write_text(KEYS[1].public.pem)
    done = command("key", "-c", tmp_path, "-L")
    assert "a, b have one and the same key" in done.stderr
    assert "a, b have" in command("key", "-c", tmp_path, "-a", "b", input="n\n").stdout
    fingers = [saltlite.fingerprint((keys / name).read_text()) for name in ("minions/a", "minions_pre/c")]
    both = "minions_pre/d"
    (keys / both).write_text(public())
    done = command("key", "-c", tmp_path, "-y", "-a", fingers[0], "--by-fingerprint")
    assert done.returncode == 1 and "several ids (b, d)" in done.stderr
    md5 = saltlite.fingerprint((keys / "minions_pre/c").read_text(), "md5")
    assert command("key", "-c", tmp_path, "-y", "-a", md5, "--by-fingerprint").returncode == 0
    assert sorted(os.listdir(keys / "minions")) == ["a", "c"]


@pytest.mark.parametrize("word", ["b", "", "zz" * 32, "ab" * 31, "*"])
def test_what_is_no_fingerprint_accepts_nothing(keys, tmp_path, word):
    (keys / "minions_pre/b").write_text(public())
    done = command("key", "-c", tmp_path, "-y", "-a", word, "--by-fingerprint")
    assert done.returncode == 64 and "is no fingerprint" in done.stderr and os.listdir(keys / "minions") == []


def test_of_a_list_what_matches_none_is_named(keys, tmp_path):
    (keys / "minions_pre/b").write_text(public())
    done = command("key", "-c", tmp_path, "-y", "-a", "b,nobody")
    assert "'nobody' does not match" in done.stderr and os.listdir(keys / "minions") == ["b"]


# status without a master


def test_status_of_a_tree_in_which_no_master_runs(keys, tmp_path):
    for name in ("minions/a", "minions_pre/b", "minions_denied/a", "minions_rejected/c"):
        (keys / name).write_text(public())
    found = json.loads(command("status", "-c", tmp_path, "--out", "json").stdout)
    assert {name: entry["state"] for name, entry in found["minions"].items()} == {
        "a": "never seen",
        "b": "pending",
        "c": "rejected",
    }
    assert found["denied"].keys() == {"a"} and found["master"]["running"] is False
    kept = json.loads(command("status", "-c", tmp_path, "--out", "json", "--state", "pending").stdout)
    assert kept["minions"].keys() == {"b"}
    assert command("status", "-c", tmp_path, "x*").returncode == 2
    done = command("status", "-c", tmp_path, "--state", "dead")
    assert done.returncode == 64 and "never seen" in done.stderr


def test_the_clock_of_a_minion_is_compared_with_ours(keys, tmp_path):
    (keys / "minions/a").write_text(public())
    sessions = tmp_path / "var/cache/salt/master/sessions"
    sessions.mkdir(parents=True)
    (sessions / ".heard").write_text(json.dumps({"a": [int(NOW) + 100, NOW, [], "192.0.2.1"]}))
    entry = json.loads(command("status", "-c", tmp_path, "--out", "json").stdout)["minions"]["a"]
    assert (entry["clock_skew"], entry["address"], entry["last_heard"]) == (100, "192.0.2.1", NOW)
    assert "+100 s" in command("status", "-c", tmp_path, "--all").stdout


def test_status_watched_on_a_terminal_changes_in_its_place_and_leaves_nothing(tmp_path):
    with running_master(tmp_path) as master:
        for name in ("web1", "web2"):
            (master.pki / "minions_pre" / name).write_text(public())
        with on_terminal("status", "-c", master.conf, "--watch") as terminal:
            terminal.shows(lambda screen: "2 pending\n" in screen.text and "web2" in screen.text)
            assert not terminal.screen.cursor and "Ctrl-C ends" in terminal.screen.text.splitlines()[0]
            master.mv("web1", "minions_pre", "minions")
            terminal.shows(lambda screen: "1 never seen, 1 pending\n" in screen.text)
            assert terminal.screen.text.count("Ctrl-C ends") == 1 and terminal.screen.text.count("web1") == 1
            terminal.type("\x03")
            assert terminal.end() == 0
            assert (terminal.screen.text.strip("^C"), terminal.screen.cursor) == ("", True)
