"""Events: what minions fire, under which tag the master keeps it, and the command that shows it."""

from __future__ import annotations

import collections
import contextlib
import json
import signal
import subprocess
import time
import types
from pathlib import Path

import pytest
from leaves import WRITER, EventReader
from live import ENVIRONMENT, MINION_CONFIG, PROGRAM, command, running_master, until, write_config

import saltlite
from saltlite import pack, unpack


@pytest.fixture
def m1(site):
    minion = site.joined("m1")
    site.master.events.clear()
    return minion


def fire(site, minion, **load):
    assert site.ask(minion, {"cmd": "_minion_event", "id": minion.id, "pretag": None, **load}) is None
    events = list(site.master.events)
    site.master.events.clear()
    return events


# What the master makes of events


def test_an_event_is_kept_under_its_minions_name(site, m1):
    assert fire(site, m1, tag="my/tag", data={"a": 1}) == [
        ("salt/minion/m1/custom/my/tag", {"id": "m1", "data": {"a": 1}})
    ]
    own = "salt/minion/m1/start"
    assert fire(site, m1, tag=own, data="up") == [(own, {"id": "m1", "data": "up"})]


@pytest.mark.parametrize("tag", ["salt/auth", "salt/key", "salt/minion/m2/start", "salt/job/1/ret/m2", "../x"])
def test_no_minion_speaks_as_the_master_or_as_another(site, m1, tag):
    for pretag in (None, "salt", "", 5):
        found = fire(site, m1, tag=tag, data={}, pretag=pretag)
        assert [event[0] for event in found] == [f"salt/minion/m1/custom/{tag}"]


def test_many_events_come_in_one_request(site, m1):
    many = [{"tag": f"t/{number}", "data": {"n": number}} for number in range(3)]
    odd = [5, None, {}, {"tag": 5}, {"tag": "x\ny"}, {"tag": "x" * 300}]
    found = fire(site, m1, events=[*odd, *many], pretag="ignored")
    assert found == [(f"salt/minion/m1/custom/t/{n}", {"id": "m1", "data": {"n": n}}) for n in range(3)]


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_events_of_one_request_and_the_letters_of_a_tag_are_counted(site, m1, more):
    most = saltlite.MAX_EVENTS
    assert len(fire(site, m1, events=[{"tag": "t", "data": {}}] * (most + more))) == min(most, most + more)
    assert len(fire(site, m1, tag="t" * (saltlite.MAX_TAG + more), data={})) == (more < 1)


def test_an_event_that_is_too_large_or_too_deep_is_left_out(site, m1, caplog):
    deep = []
    for _ in range(40):
        deep = [deep]
    room = saltlite.MAX_EVENT - 5
    many = [{"tag": "large", "data": "x" * (room + 1)}, {"tag": "deep", "data": deep}]
    found = fire(site, m1, events=[*many, {"tag": "fits", "data": "x" * room}])
    assert [event[0] for event in found] == ["salt/minion/m1/custom/fits"]
    assert "the event large of m1 is not taken" in caplog.text and "the event deep" in caplog.text


def test_event_functions_fire_at_the_master(site, m1):
    execution = saltlite.Execution(m1.opts, m1.tree, {"jid": "1" * 20}, master=lambda load: site.ask(m1, load))
    execution.grains, execution.pillar = {"os": "Debian", "id": "m1"}, {"a": 1, "b": 2}

    def run(fun, *args, **kwargs):
        assert execution.run(fun, [*args, {"__kwarg__": True, **kwargs}]) == (True, 0, True)
        [(tag, found)] = site.master.events
        site.master.events.clear()
        assert tag == "salt/minion/m1/custom/my/tag" and found["id"] == "m1"
        return found["data"]

    assert run("event.send", "my/tag") == {}
    assert run("event.send", "my/tag", {"foo": 2}, foo=1, bar=3) == {"foo": 2, "bar": 3}
    assert run("event.send", "my/tag", with_grains=True) == {"grains": {"os": "Debian", "id": "m1"}}
    assert run("event.send", "my/tag", with_grains=["os"], with_pillar=["b"]) == {
        "grains": {"os": "Debian"},
        "pillar": {"b": 2},
    }
    assert run("event.send", "my/tag", with_env=["PATH"])["environ"].keys() == {"PATH"}
    assert run("event.send", "my/tag", with_env_opts=True) == {"saltenv": "base", "pillarenv": None}
    assert run("event.fire_master", {"x": 1}, "my/tag") == run("event.fire", {"x": 1}, "my/tag") == {"x": 1}
    assert run("event.fire_master", {"x": 1}, "t", preload={"tag": "my/tag", "cmd": "publish"}) == {"x": 1}


# Clear ping


def test_clear_ping_gives_back_what_came_and_changes_nothing(site):
    load = {"cmd": "ping", "n": 1, "text": "é"}
    before = site.digest()
    reply = site.master.receive(b"e", pack({"enc": "clear", "load": load, "version": 3}), site.now)
    assert unpack(reply.data) == load
    assert site.digest() == before and not site.master.events


def test_clear_ping_echoes_only_what_is_small(site):
    room = saltlite.MAX_PING - len(pack({"cmd": "ping", "x": "x" * 300})) + 300
    for size, echoed in ((room, True), (room + 1, False)):
        message = pack({"enc": "clear", "load": {"cmd": "ping", "x": "x" * size}, "version": 3})
        assert (site.master.receive(b"e", message, site.now).data != saltlite.BAD_LOAD) is echoed


@pytest.mark.parametrize(("count", "told"), [(3, 3), (10, 3), (11, 3), (13, 3), (14, 6), (20, 12)])
def test_events_are_told_in_steps_and_few_wait(tmp_path, count, told):
    """Three at once, and then the time of a step is over; but no more than ten wait for the next one."""
    heard, waits = [], []
    watcher = types.SimpleNamespace(told=lambda events: (heard.extend(events), time.sleep(0.05)))
    loop = types.SimpleNamespace(running=True, at=lambda name, *when: waits.append(name))
    events = [(f"t{number}", {}) for number in range(count)]
    half = count // 2
    protocol, jobs = types.SimpleNamespace(events=events[:half]), types.SimpleNamespace(events=events[half:])
    master = saltlite.Master.__new__(saltlite.Master)
    told_to = types.SimpleNamespace(tree=types.SimpleNamespace(cache=tmp_path), opts={"max_event_size": 1 << 20})
    watchers = [WRITER.Watcher(told_to), watcher]
    vars(master).update(untold=collections.deque(), protocol=protocol, jobs=jobs, loop=loop, watchers=watchers)
    vars(master).update(EVENTS=3, UNTOLD=10)
    master.tell_events()
    assert heard == events[:told] and not protocol.events and not jobs.events and bool(waits) is (count > told)
    while master.untold:
        master.tell_events()
    assert heard == events
    kept = [json.loads(line)["tag"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert kept == [tag for tag, _ in events]


# Reading events.jsonl


def write(path, *tags, most=10_000_000):
    WRITER.write(path, [(tag, {"id": "m1"}) for tag in tags], 1.5, most)


def tags(reader):
    return [event["tag"] for event in reader.read()]


def test_a_reader_gives_what_is_new(tmp_path):
    path = tmp_path / "events.jsonl"
    write(path, "old")
    reader, whole = EventReader(path), EventReader(path, everything=True)
    assert (tags(reader), tags(whole)) == ([], ["old"])
    write(path, "a", "b")
    assert tags(reader) == tags(whole) == ["a", "b"]
    assert tags(reader) == []


def test_a_reader_waits_for_the_file_and_for_the_end_of_a_line(tmp_path):
    path = tmp_path / "events.jsonl"
    reader = EventReader(path)
    assert tags(reader) == []
    write(path, "a")
    with path.open("a") as file:
        file.write('{"tag": "b", "da')
    assert tags(reader) == ["a"]
    with path.open("a") as file:
        file.write('ta": {}}\njunk\n[]\n{"tag": 5}\n')
    assert tags(reader) == ["b"]


def test_a_reader_goes_on_across_rotations(tmp_path):
    path = tmp_path / "events.jsonl"
    reader = EventReader(path)
    write(path, "a")
    assert tags(reader) == ["a"]
    write(path, "b", most=1)  # into the old file, which is then rotated
    assert not path.exists()
    assert tags(reader) == ["b"]
    write(path, "c")
    assert tags(reader) == ["c"]
    write(path, "d", most=1)
    write(path, "e")
    assert tags(reader) == ["d", "e"]


# The command


@pytest.fixture
def conf(tmp_path):
    (tmp_path / "var/cache/salt/master").mkdir(parents=True)
    write(tmp_path / "var/cache/salt/master/events.jsonl", "salt/auth", "salt/key", "salt/minion/m1/start")
    return tmp_path


def test_events_prints_tag_tab_json(conf):
    done = command("events", "-c", conf, "--all", "--count", 3)
    stamp = "1970-01-01T00:00:01.500000+00:00"
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [tag for tag, _ in lines] == ["salt/auth", "salt/key", "salt/minion/m1/start"]
    assert all(json.loads(data) == {"id": "m1", "_stamp": stamp} for _, data in lines)
    assert (done.returncode, done.stderr) == (0, "")


def test_events_selects_by_globs_and_indents(conf):
    done = command("events", "-c", conf, "-a", "-n", 2, "--pretty", "salt/k*", "*/start")
    stamp = '    "_stamp": "1970-01-01T00:00:01.500000+00:00"'
    assert done.stdout == "".join(
        f'{tag}\t{{\n{stamp},\n    "id": "m1"\n}}\n' for tag in ("salt/key", "salt/minion/m1/start")
    )


def test_events_follows_until_it_is_interrupted(conf):
    words = [*PROGRAM, "events", "-c", str(conf)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout and process.stderr
    path, proc = conf / "var/cache/salt/master/events.jsonl", f"/proc/{process.pid}/fd"

    def follows():
        with contextlib.suppress(OSError):
            return any(link.resolve() == path for link in Path(proc).iterdir())

    until(follows)
    write(path, "new", most=1)
    assert process.stdout.readline().startswith("new\t")
    write(path, "newer")
    assert process.stdout.readline().startswith("newer\t")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert process.stdout.read() == process.stderr.read() == ""


def test_events_without_a_masters_tree_says_so(tmp_path):
    done = command("events", "-c", tmp_path)
    assert done.returncode == 1 and "is no master's tree; start the master once" in done.stderr


def test_mine_and_events_go_between_processes(tmp_path):
    with running_master(tmp_path, {"auto_accept": True}) as master:

        def call(minion, *words):
            options = MINION_CONFIG | {"id": minion, "master_port": master.options["ret_port"]}
            write_config(tmp_path / minion / "minion", options | {"mine_functions": {"test.echo": [minion]}})
            done = command("call", "-c", tmp_path / minion, "--out", "json", *words)
            assert (done.returncode, done.stderr) == (0, "")
            return json.loads(done.stdout)["local"]

        assert call("m1", "mine.update") is True
        assert call("m2", "mine.get", "*", "test.echo") == {"m1": "m1"}
        assert call("m2", "pillar.items") == {}
        assert call("m2", "event.send", "my/tag", "a=1") is True
        shown = command("events", "-c", master.conf, "--all", "--count", 1, "*/my/tag")
        tag, data = shown.stdout.split("\t")
        assert (tag, json.loads(data)["data"]) == ("salt/minion/m2/custom/my/tag", {"a": 1})
