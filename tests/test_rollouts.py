"""Careful roll-outs, the queue for the absent, and what is told of a job while it runs."""

from __future__ import annotations

import os
import time

import pytest
from in_memory import JID, KEYS, Site
from leaves import ROLLOUTS
from live import running_master, running_minion, until

import saltlite

Rollout = ROLLOUTS.Rollout


def fleet(site, number):
    for count in range(number):
        site.tree.put_key(saltlite.ACCEPTED, f"m{count}", KEYS[0].public.pem)
    site.look()


def started(site):
    """Who was published to since the last time, of each publication of the job."""
    loads, site.jobs.outgoing[:] = list(site.jobs.outgoing), []
    return [load["tgt"] for load in loads if load["jid"] == JID]


def back(site, *ids, retcode=0, seconds=1.0):
    for minion_id in ids:
        load = {"jid": JID, "fun": "test.ping", "return": True, "retcode": retcode, "success": not retcode}
        site.jobs.ret(minion_id, load, site.now)
    site.jobs.flush()
    go(site, seconds)


def go(site, seconds=1.0):
    """Time passes, in steps as small as the loop's."""
    end = site.now + seconds
    while site.now < end:
        site.now += 0.1
        site.jobs.look(site.now)
        site.jobs.tick(site.now)
    site.jobs.flush()


def lines(site, *events):
    return [line for line in site.lines(JID)[1] if line["event"] in events]


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path, timeout=2, gather_job_timeout=1)


def submit(site, **request):
    site.submit(JID, tgt="*", fun="test.ping", **request)
    go(site, 0.1)


# the window


def test_a_window_of_two_slides(site):
    fleet(site, 5)
    submit(site, batch=2)
    assert started(site) == [["m0", "m1"]]
    back(site, "m1")
    assert started(site) == [["m2"]]
    back(site, "m0", "m2")
    assert started(site) == [["m3", "m4"]]
    back(site, "m3", "m4")
    state, found = site.lines(JID)
    assert state == "done" and [line["event"] for line in found if line["event"] != "ret"] == [
        "new",
        *["batch"] * 3,
        "end",
    ]
    assert found[-1]["returned"] == 5 and found[-1]["not_started"] == 0


@pytest.mark.parametrize(
    "amount, whole, number", [(3, 10, 3), ("3", 10, 3), ("10%", 10, 1), ("25%", 10, 2), ("1%", 10, 1), ("100%", 10, 10)]
)
def test_the_width_of_a_window_is_salts(amount, whole, number):
    """salt.cli.batch.Batch.get_bnum: a fraction does not count, and at least one minion runs."""
    assert Rollout({"minions": ["m"] * whole, "batch": amount}).width == number


@pytest.mark.parametrize("seconds, more", [(4.8, []), (5.2, [["m1"]])])
def test_a_place_is_free_again_after_batch_wait(site, seconds, more):
    fleet(site, 2)
    submit(site, batch=1, batch_wait=5)
    started(site)
    back(site, "m0", seconds=seconds)
    assert started(site) == more


def test_canaries_go_first_and_one_that_fails_is_enough(site):
    fleet(site, 10)
    submit(site, canary=["1", "30%", "100%"])
    assert started(site) == [["m0"]]
    back(site, "m0")
    assert started(site) == [["m1", "m2"]]
    back(site, "m1")
    assert started(site) == []
    back(site, "m2")
    assert started(site) == [[f"m{n}" for n in range(3, 10)]]


@pytest.mark.parametrize("request_, runs", [({"canary": ["2"]}, 2), ({"batch": 2, "failhard": True}, 2)])
def test_it_stops_at_the_first_failure(site, request_, runs):
    fleet(site, 5)
    submit(site, **request_)
    started(site)
    back(site, "m0", retcode=1)
    back(site, "m1")
    go(site, 10)
    state, found = site.lines(JID)
    assert state == "done" and not started(site)
    assert found[-1]["not_started"] == 5 - runs and found[-1]["failed"] == 1 and lines(site, "stopped")[0]["why"]


@pytest.mark.parametrize(
    "most, failed, goes_on", [(2, 1, True), (2, 2, True), (2, 3, False), ("20%", 2, True), ("20%", 3, False)]
)
def test_max_errors(site, most, failed, goes_on):
    fleet(site, 10)
    submit(site, batch=5, max_errors=most)
    started(site)
    back(site, *[f"m{n}" for n in range(failed)], retcode=1)
    assert bool(started(site)) == goes_on


def test_who_is_revoked_before_his_turn_is_named_and_the_others_go_on(site):
    """He is neither started nor a failure, so a canary that allows no error goes on; who is back in time runs it."""
    fleet(site, 4)
    submit(site, canary=["1", "100%"])
    assert started(site) == [["m0"]]
    for minion_id in ("m1", "m2"):
        site.move(minion_id, "minions", "minions_rejected")
    site.move("m2", "minions_rejected", "minions")
    back(site, "m0")
    assert started(site) == [["m2", "m3"]]
    (line,) = lines(site, "silent")
    assert (line["id"], line["revoked"]) == ("m1", True)
    back(site, "m2", "m3")
    (end,) = lines(site, "end")
    assert (end["returned"], end["silent"], end["not_started"], lines(site, "stopped")) == (3, 1, 0, [])


def test_a_roll_out_of_which_only_revoked_ones_are_left_ends(site):
    fleet(site, 3)
    submit(site, batch=1)
    for minion_id in ("m1", "m2"):
        site.move(minion_id, "minions", "minions_rejected")
    back(site, "m0")
    state, found = site.lines(JID)
    assert state == "done" and (found[-1]["returned"], found[-1]["silent"]) == (1, 2)
    assert started(site) == [["m0"]]


def test_the_silent_count_as_errors_and_leave_their_place(site):
    fleet(site, 4)
    submit(site, batch=1, max_errors=1)
    assert started(site) == [["m0"]]
    go(site, 4)
    assert started(site) == [["m1"]]
    go(site, 4)
    assert [line["id"] for line in lines(site, "silent")] == ["m0", "m1"]
    assert site.lines(JID)[0] == "done" and lines(site, "end")[0]["not_started"] == 2


def test_nobody_is_asked_before_its_own_timeout(site):
    fleet(site, 3)
    submit(site, batch=2)
    go(site, 1.5)
    back(site, "m1", seconds=0.2)  # m2 starts
    started(site)
    go(site, 0.5)
    assert [load["tgt"] for load in site.jobs.outgoing if load["fun"] == "saltutil.find_job"] == [["m0"]]


@pytest.mark.parametrize("rate, within, number", [(1, 3.95, 4), (2, 1.95, 4), (0.5, 3.95, 2)])
def test_rate(site, rate, within, number):
    fleet(site, 10)
    site.submit(JID, tgt="*", fun="test.ping", rate=rate)
    go(site, within)
    assert sum(map(len, started(site))) == number


def test_an_operator_pauses_goes_on_and_stops(site):
    fleet(site, 4)
    submit(site, batch=1)
    started(site)
    pause, stop = (site.tree.jobs / "active" / f"{JID}.{word}" for word in ("pause", "stop"))
    pause.touch()
    go(site, 0.2)
    back(site, "m0", seconds=30)
    assert not started(site) and site.lines(JID)[0] == "active"
    pause.unlink()
    go(site, 0.5)
    assert started(site) == [["m1"]]
    stop.touch()
    go(site, 0.2)
    back(site, "m1")
    assert not started(site) and site.lines(JID)[0] == "done"
    assert [line["event"] for line in lines(site, "paused", "resumed", "stopped")] == ["paused", "resumed", "stopped"]
    assert os.listdir(site.tree.jobs / "active") == []


@pytest.mark.parametrize("word", ["", "pause", "stop"])
def test_a_restart_goes_on_where_it_was(site, word):
    fleet(site, 4)
    submit(site, batch=2)
    back(site, "m0")
    if word:
        (site.tree.jobs / "active" / f"{JID}.{word}").touch()
        go(site, 0.2)
    site.start()
    assert started(site) == [["m1", "m2"]]  # again, by the jid that nobody runs twice
    back(site, "m1", "m2")
    assert started(site) == ([["m3"]] if not word else [])
    assert site.lines(JID)[0] == ("done" if word == "stop" else "active")


BAD: dict[str, list[object]] = {
    "batch": ["0", 0, "x", "10 %", "-1", 1.5, "0%", True],
    "max_errors": ["x", -1, 1.5],
    "canary": ["1", [0], ["x"], [None]],
    "rate": ["1", -1, float("nan"), True],
    "batch_wait": ["1", -1],
    "failhard": [1, "True"],
    "stream": [1],
    "subset": ["1", -1, True],
    "queue": ["24h", -1],
}


@pytest.mark.parametrize("name, value", [(name, value) for name, values in BAD.items() for value in values])
def test_a_malformed_request_is_refused_by_name(name, value):
    with pytest.raises(saltlite.Failure, match=name):
        saltlite.checked_request({"tgt": "*", "fun": "test.ping", name: value})


@pytest.mark.parametrize("number, drawn", [(1, 1), (3, 3), (9, 4)])
def test_a_subset_is_drawn(site, number, drawn):
    fleet(site, 4)
    submit(site, subset=number)
    header = site.lines(JID)[1][0]
    assert len(set(header["minions"])) == drawn and started(site) == [header["minions"]]
    assert header["tgt_type"] == "list"


# who has no connection


@pytest.mark.parametrize(
    "gone, seconds, state", [({"m0"}, 1.9, "done"), ({"m0"}, 0.7, "active"), (set(), 1.9, "active")]
)
def test_who_is_gone_is_silent_within_two_seconds(tmp_path, gone, seconds, state):
    site = Site(tmp_path)
    fleet(site, 2)
    site.jobs.gone = gone
    submit(site)
    back(site, "m1", seconds=seconds)
    assert site.lines(JID)[0] == state


def test_who_is_gone_for_an_update_has_the_timeout(tmp_path):
    site = Site(tmp_path)
    fleet(site, 1)
    site.jobs.gone = {"m0"}
    site.submit(JID, tgt="*", fun="saltlite.update")
    go(site, site.opts["timeout"] - 0.2)
    assert [load["fun"] for load in site.jobs.outgoing] == ["saltlite.update"]
    go(site, 1.2)
    assert site.lines(JID)[0] == "done"


def test_who_is_gone_and_runs_it_all_the_same_is_waited_for(tmp_path):
    site = Site(tmp_path)
    fleet(site, 1)
    site.jobs.gone = {"m0"}
    submit(site)
    go(site, 1)
    asked = next(load["jid"] for load in site.jobs.outgoing if load["fun"] == "saltutil.find_job")
    site.jobs.ret("m0", {"jid": asked, "return": {"jid": JID}}, site.now)
    go(site, 3)
    assert site.lines(JID)[0] == "active" and lines(site, "running")


def test_who_was_only_started_again_is_waited_for(tmp_path):
    """As when a job upgrades the minion: it goes on, and find_job could not reach the new one in time."""
    site = Site(tmp_path)
    fleet(site, 1)
    submit(site)
    site.jobs.gone = {"m0"}
    go(site, 1)
    assert [load["fun"] for load in site.jobs.outgoing] == ["test.ping", "saltutil.find_job"]
    site.jobs.heard = lambda minion_id, now=site.now: now
    site.jobs.gone = set()
    go(site, 1)
    assert site.lines(JID)[0] == "active" and not lines(site, "silent")
    go(site, site.opts["timeout"])
    assert [load["fun"] for load in site.jobs.outgoing][2:] == ["saltutil.find_job"]
    back(site, "m0")
    assert site.lines(JID)[0] == "done"


# the queue


def queued(site):
    return {m: os.listdir(site.tree.jobs / "queued" / m) for m in saltlite.names(site.tree.jobs / "queued")}


def test_the_absent_run_it_when_they_come_back(site):
    fleet(site, 2)
    submit(site, queue=3600)
    back(site, "m1", seconds=4)
    assert site.lines(JID)[0] == "done" and queued(site) == {"m0": [JID]}
    assert lines(site, "queued")[0]["id"] == "m0"
    started(site)
    site.start()
    site.jobs.came(["m1"])
    assert started(site) == []
    site.jobs.came(["m0", "m1"])
    assert started(site) == [["m0"]]
    back(site, "m0")
    assert queued(site) == {} and lines(site, "ret")[-1]["late"] is True
    site.jobs.came(["m0"])
    assert started(site) == []


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_many_are_queued_in_steps(site, monkeypatch, more):
    monkeypatch.setattr(saltlite.Jobs, "QUEUED", 4)
    fleet(site, 4 + more)
    submit(site, queue=3600)
    while not (job := site.jobs.active[JID]).unqueued:
        go(site, 0.1)
    site.jobs.tick(site.now)
    assert len(queued(site)) == min(4, 4 + more) and len(job.unqueued) == max(0, more)
    go(site, 0.5)
    assert len(queued(site)) == 4 + more and site.lines(JID)[0] == "done"


def test_what_is_queued_can_be_taken_back(site):
    fleet(site, 1)
    submit(site, queue=3600)
    go(site, 4)
    started(site)
    (site.tree.jobs / "queued/m0" / JID).unlink()
    site.jobs.came(["m0"])
    assert started(site) == []


@pytest.mark.parametrize("seconds, waits", [(3590, True), (3610, False)])
def test_the_queue_has_an_end(site, seconds, waits):
    fleet(site, 1)
    submit(site, queue=3600)
    go(site, 4)
    started(site)
    site.jobs.expire(site.now + seconds)
    site.jobs.came(["m0"])
    assert bool(started(site)) == waits == bool(queued(site)) and bool(lines(site, "expired")) != waits


def test_odd_things_in_the_queue_stop_no_master(site):
    for number, text in enumerate(("", "[]", "{}", '{"until": "x"}', '{"until": 5}')):
        saltlite.make_directory(site.tree.jobs / "queued" / "m0")
        (site.tree.jobs / "queued/m0" / f"{JID[:-1]}{number}").write_text(text)
    site.start()
    site.jobs.came(["m0"])
    site.jobs.expire(site.now)
    assert not site.jobs.outgoing


# what is told while it runs


def tell(site, minion, data, jid=JID):
    """One event of a minion about a job."""
    load = {"cmd": "_minion_event", "tag": f"salt/job/{jid}/prog/{minion.id}/stream", "data": data}
    site.ask(minion, load)
    site.jobs.flush()


def told(site):
    return [tag for tag, _ in site.master.events if tag.startswith("salt/job")]


def test_the_output_of_a_job_is_in_its_file_while_it_runs(site):
    minion = site.joined("m")
    submit(site, stream=True)
    assert site.jobs.outgoing[0]["stream"] is True
    tell(site, minion, {"lines": ["a", "b"]})
    assert [line["lines"] for line in lines(site, "progress")] == [["a", "b"]]
    assert told(site) == []  # what is streamed is no event


def test_states_that_were_done_are_in_it_and_are_events(site):
    """What a real minion sends with state_events: salt.state.State.event."""
    minion = site.joined("m")
    submit(site)
    tell(site, minion, {"ret": {"name": "vim", "result": True, "__run_num__": 1, "__id__": "editor"}, "len": 3})
    (line,) = lines(site, "progress")
    assert (line["done"], line["total"], line["doing"], line["result"]) == (2, 3, "editor: vim", True)
    assert told(site) == [f"salt/job/{JID}/prog/m/stream"]


@pytest.mark.parametrize(
    "data", [None, "x", {}, {"lines": "x"}, {"ret": 1, "len": 2}, {"ret": {"__run_num__": "1"}, "len": 2}, {"len": 1}]
)
def test_what_is_no_progress_is_none(site, data):
    minion = site.joined("m")
    submit(site)
    tell(site, minion, data)
    assert not lines(site, "progress")


def test_nobody_tells_of_jobs_that_are_not_its_own(site):
    minion = site.joined("m")
    submit(site)
    for jid in ("2" * 20, "", "..", "x/y"):
        tell(site, minion, {"lines": ["a"]}, jid)
    load = {"cmd": "_minion_event", "tag": f"salt/job/{JID}/prog/other/stream", "data": {"lines": ["a"]}}
    site.ask(minion, load)
    site.jobs.flush()
    assert not lines(site, "progress")


@pytest.mark.parametrize("end", ["", "/7", "/stream", "/ret/other", "/new", "/7/8", "/x"])
def test_what_a_minion_tells_of_a_job_cannot_look_like_anything_else(site, end):
    """A hook of salt/job/*/ret/* would take it for the return of another: in its glob a * also means slashes."""
    minion = site.joined("m")
    submit(site)
    tag, data = f"salt/job/{JID}/prog/m{end}", {"ret": {"name": "vim", "result": True, "__run_num__": 1}, "len": 3}
    site.ask(minion, {"cmd": "_minion_event", "tag": tag, "data": data})
    (event,) = [tag for tag, data in site.master.events if data.get("id") == "m" and "salt/job" in tag]
    assert event == (tag if end in ("", "/7", "/stream") else f"salt/minion/m/custom/{tag}")


@pytest.mark.parametrize("more, said", [(-1, False), (0, False), (1, True)])
def test_progress_is_bounded(site, monkeypatch, more, said):
    minion = site.joined("m")
    submit(site)
    size = len(saltlite.to_json(saltlite.progress_line("m", {"lines": ["x" * 100]}, site.now)))
    monkeypatch.setattr(saltlite, "MAX_PROGRESS", 2 * size - more)
    for _ in range(5):
        tell(site, minion, {"lines": ["x" * 100]})
    found = [line["lines"][0] for line in lines(site, "progress")]
    assert found[:1] == ["x" * 100] and found[-1].startswith("more than")
    assert len(found) == (2 if said else 3)


def test_a_job_that_is_cancelled_stays_on_record(site):
    minion = site.joined("m")
    submit(site)
    tell(site, minion, {"lines": ["a"]})
    site.jobs.path(JID, "active").unlink()
    go(site, 0.2)
    state, found = site.lines(JID)
    assert state == "done" and [line["event"] for line in found] == ["new", "progress", "cancelled"]
    assert f"salt/job/{JID}/cancelled" in [tag for tag, _ in site.jobs.events]


def test_a_job_that_was_cancelled_while_no_master_ran_is_cancelled_at_the_start(site):
    site.joined("m")
    submit(site)
    site.jobs.path(JID, "active").unlink()
    site.start()
    go(site, 0.2)
    assert site.lines(JID)[0] == "done" and lines(site, "cancelled")
    assert [load["fun"] for load in site.jobs.outgoing] == ["saltutil.kill_job"]


# with real processes


def text(master, jid):
    """What is in a job's file now."""
    for state in ("active", "done"):
        if (path := master.job_file(jid, state)).exists():
            return path.read_text()
    return ""


def test_a_roll_out_of_real_minions_streams_pauses_and_reaches_the_absent(tmp_path):
    with running_master(tmp_path, {"timeout": 1, "gather_job_timeout": 1}) as master:
        with running_minion(master, "web1"), running_minion(master, "web2"):
            jid = saltlite.jid_of(time.time())
            (master.jobs / "active" / f"{jid}.pause").touch()
            lines = "for n in 1 2 3; do echo line $n; sleep 0.3; done"
            master.request(jid, tgt="web*", fun="cmd.run", arg=[lines], batch=1, stream=True)
            until(lambda: '"paused"' in text(master, jid))
            assert '"event": "batch"' not in text(master, jid)
            (master.jobs / "active" / f"{jid}.pause").unlink()
            until(master.job_file(jid, "done").exists)
            found = [saltlite.from_json(line) for line in text(master, jid).splitlines()]
            told = [text for line in found if line["event"] == "progress" for text in line["lines"]]
            assert sorted(told) == sorted(2 * [f"line {n}" for n in (1, 2, 3)])
            assert [line["id"] for line in found if line["event"] == "ret"] == ["web1", "web2"]
        until(lambda: "web1 is down" in master.text() and "web2 is down" in master.text())
        jid = saltlite.jid_of(time.time())
        master.request(jid, tgt="web1", fun="test.arg", arg=["later"], queue=600)
        until(master.job_file(jid, "done").exists, 10)
        assert (master.jobs / "queued/web1" / jid).exists()
        with running_minion(master, "web1"):
            until(lambda: '"ret"' in text(master, jid))
            until(lambda: not (master.jobs / "queued/web1").exists())
