"""The schedule, with a clock that is passed in; its functions on a real tree; one live minion."""

from __future__ import annotations

import json
import multiprocessing
import time
from datetime import date, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from leaves import SCHEDULES
from live import running_master, running_minion, until

import saltlite

NEVER, Schedule = SCHEDULES.NEVER, SCHEDULES.Schedule
next_fire, scheduled_job = SCHEDULES.next_fire, SCHEDULES.scheduled_job


def at(text):
    return datetime.fromisoformat(text).timestamp()


NOON = at("2026-11-25T12:00:00")  # a Wednesday


def shown(moment):
    return "never" if moment == NEVER else datetime.fromtimestamp(moment).isoformat(" ")


@pytest.mark.parametrize(
    "entry, expected",
    [
        ({"seconds": 90}, "2026-11-25 12:01:30"),
        ({"hours": 1, "minutes": 1.5, "seconds": 30}, "2026-11-25 13:02:00"),
        ({"days": 2}, "2026-11-27 12:00:00"),
        ({"seconds": 0}, "2026-11-25 12:00:01"),
        ({"cron": "*/15 * * * *"}, "2026-11-25 12:15:00"),
        ({"cron": "0 12 * * *"}, "2026-11-26 12:00:00"),
        ({"cron": "30 2 1 * *"}, "2026-12-01 02:30:00"),
        ({"when": "13:30"}, "2026-11-25 13:30:00"),
        ({"when": "5:00pm"}, "2026-11-25 17:00:00"),
        ({"when": "11:00"}, "2026-11-26 11:00:00"),
        ({"when": "Monday 5:00pm"}, "2026-11-30 17:00:00"),
        ({"when": "2027-01-02 03:04:05"}, "2027-01-02 03:04:05"),
        ({"when": "2025-01-02 03:04:05"}, "never"),
        ({"when": ["11:00", "19:00", "18:00"]}, "2026-11-25 18:00:00"),
        ({"when": date(2026, 11, 26)}, "2026-11-26 00:00:00"),
        ({"when": datetime(2026, 11, 26, 1)}, "2026-11-26 01:00:00"),
        ({"once": "2026-12-24T18:00:00"}, "2026-12-24 18:00:00"),
        ({"once": "24.12.2026 18:00", "once_fmt": "%d.%m.%Y %H:%M"}, "2026-12-24 18:00:00"),
        ({"once": "2026-11-24T18:00:00"}, "never"),
    ],
    ids=str,
)
def test_an_entry_fires_next(entry, expected):
    assert shown(next_fire(entry, NOON)) == expected


DAY = {"start": "8:00", "end": "17:00"}


@pytest.mark.parametrize(
    "gate, open_at, closed_at",
    [
        ({"range": DAY}, "12:00", "18:00"),
        ({"range": DAY | {"invert": True}}, "18:00", "12:00"),
        ({"skip_during_range": DAY}, "18:00", "12:00"),
        ({"until": "2026-11-25 15:00"}, "14:59", "15:00"),
        ({"after": "2026-11-25 15:00"}, "15:01", "15:00"),
        ({"range": DAY, "until": "2027-01-01"}, "12:00", "18:00"),
    ],
    ids=str,
)
def test_a_gate_is_open_or_closed(gate, open_at, closed_at):
    assert SCHEDULES.closed(gate, at(f"2026-11-25T{open_at}")) == ""
    assert SCHEDULES.closed(gate, at(f"2026-11-25T{closed_at}")) in gate


def fires(entries, hours, start=NOON, step=1.0, whens=None):
    """{name: seconds after the start} of what is due, looked at every `step` seconds."""
    schedule, found = Schedule(), {name: [] for name in entries}
    schedule.load(entries, whens or {}, start)
    assert schedule.problems == []
    for tick in range(int(hours * 3600 / step)):
        for name in schedule.due(start + tick * step, 1000.0 + tick * step):
            found[name].append(tick * step)
    return found


def entry(**words):
    return {"function": "test.ping", **words}


def fired(hours, **words):
    return fires({"job": entry(**words)}, hours)["job"]


def test_an_interval_begins_at_the_start_unless_run_on_start_is_off():
    assert fired(1, minutes=20) == [0, 1200, 2400]
    assert fired(1, minutes=20, run_on_start=False) == [1200, 2400]


def test_other_kinds_wait_unless_run_on_start_is_on():
    assert fired(1, cron="*/20 * * * *") == [1200, 2400]
    assert fired(1, cron="*/20 * * * *", run_on_start=True) == [0, 1200, 2400]


def test_a_date_of_this_very_moment_is_not_missed():
    assert fired(0.1, when="12:00") == fired(0.1, once="2026-11-25T12:00:00") == [0]


def test_a_time_of_day_comes_back_every_day_and_a_date_does_not():
    found = fires({"daily": entry(when="13:00"), "once": entry(when="2026-11-25 13:00")}, 50, step=60)
    assert found == {"daily": [3600, 90000, 176400], "once": [3600]}


def test_when_may_name_a_time_of_pillar_or_grains():
    assert fires({"job": entry(when="tea")}, 2, whens={"tea": "13:00"})["job"] == [3600]


def test_an_interval_that_is_closed_out_fires_as_soon_as_its_range_begins():
    words = {"minutes": 30, "run_on_start": False, "range": {"start": "12:45", "end": "13:45"}}
    assert fired(4, **words) == [2700, 4500, 6300]


def test_a_skipped_job_is_made_up_for_after_the_range_if_it_says_so():
    words = {"minutes": 30, "run_on_start": False, "skip_during_range": {"start": "12:20", "end": "12:50"}}
    assert fired(1.7, **words) == [3600, 5400]
    assert fired(1.7, **words, run_after_skip_range=True) == [3001, 4801]


@pytest.mark.parametrize("splay, low, high", [(10, 1, 10), ({"start": 5, "end": 7}, 5, 7)])
def test_splay_delays_every_firing_but_the_first(splay, low, high):
    found = fired(2, minutes=10, splay=splay)
    pauses = [b - a - 600 for a, b in zip(found, found[1:], strict=False)]
    assert found[0] == 0 and len(pauses) > 5 and all(low <= pause <= high for pause in pauses)


def test_who_waits_for_a_range_is_spread_by_splay_too():
    words = {"minutes": 30, "run_on_start": False, "range": {"start": "12:45", "end": "13:45"}, "splay": 600}
    first = {fired(2, **words)[0] for _ in range(20)}
    assert len(first) > 5 and all(2701 <= at <= 3300 for at in first)


RECORDED = json.loads((Path(__file__).parent / "expected/schedule.json").read_text())


def test_entries_run_when_they_run_with_salt():
    entries = {str(number): row["entry"] for number, row in enumerate(RECORDED)}
    found = fires(entries, 2600 / 3600, start=NOON + 0.5)
    assert {name: (entries[name], found[name]) for name in entries} == {
        str(number): (row["entry"], row["ran"]) for number, row in enumerate(RECORDED)
    }
    assert len(RECORDED) == 120 and sum(bool(row["ran"]) for row in RECORDED) > 80


def test_a_single_run_is_not_delayed_by_splay():
    """As in Salt: the one time of `once`, what is made up for after a range, and what was postponed."""
    assert fired(1, once="2026-11-25T12:20:00", splay=600) == [1200]
    words = {"minutes": 30, "run_on_start": False, "splay": {"start": 60, "end": 60}}
    skip = {"start": "12:20", "end": "12:50"}
    assert fired(1, **words, skip_during_range=skip, run_after_skip_range=True) == [3001]
    assert fired(1, **words, run_explicit=moments("12:10:00")) == [600, 2460]


def test_what_is_made_up_for_is_what_a_skipped_range_kept_back():
    words = {"cron": "*/20 * * * *", "run_after_skip_range": True}
    assert fired(1.2, **words, after="2026-11-25 12:30") == [2400, 3600]
    assert fired(1.2, **words, until="2026-11-25 12:30") == [1200]
    assert fired(1, once="2026-11-25T12:30:00", skip_during_range={"start": "12:20", "end": "12:50"}) == []
    span = {"start": "12:20", "end": "12:50"}
    assert fired(1, once="2026-11-25T12:30:00", skip_during_range=span, run_after_skip_range=True) == [3001]


def test_what_is_all_in_the_past_does_not_run_at_the_start():
    for words in ({"once": "2026-11-25T11:50:00"}, {"when": "2026-11-25 11:50"}):
        assert fired(0.1, **words, run_on_start=True) == []
    assert fired(0.1, once="2026-11-25T12:05:00", run_on_start=True) == [0, 300]


def moments(*times):
    return [{"time": f"2026-11-25T{time}", "time_fmt": "%Y-%m-%dT%H:%M:%S"} for time in times]


def test_a_moment_that_is_skipped_costs_one_run_and_a_postponed_one_is_made_up_for():
    words = {"cron": "*/20 * * * *"}
    assert fired(1.5, **words, skip_explicit=moments("12:40:00")) == [1200, 3600, 4800]
    both = {"skip_explicit": moments("12:20:00", "12:40:00"), "run_explicit": moments("12:25:00")}
    assert fired(1.5, **words, **both) == [1500, 3600, 4800]
    assert fired(1, once="2026-11-25T12:20:00", **both) == [1500]
    gone = {"run_explicit": moments("11:25:00")}
    assert fired(1.5, **words, **gone) == [1200, 2400, 3600, 4800]


@pytest.mark.parametrize(
    "seconds, runs", [(-0.1, True), (0, False), (SCHEDULES.SKIPPED - 0.1, False), (SCHEDULES.SKIPPED, True)]
)
def test_how_long_a_moment_is(seconds, runs):
    assert SCHEDULES.closed({"skip_explicit": moments("12:00:00")}, NOON + seconds) == ("" if runs else "skip_explicit")


def test_a_moment_that_is_given_to_an_entry_changes_nothing_else_of_it():
    schedule = Schedule()
    schedule.load({"job": entry(minutes=20)}, {}, NOON)
    assert schedule.due(NOON, 0) == ["job"]
    more = {"skip_explicit": moments("12:20:00"), "run_explicit": moments("12:25:00")}
    schedule.load({"job": entry(minutes=20, **more)}, {}, NOON + 60)
    assert schedule.next_of("job") == NOON + 1200
    assert [s for s in range(61, 4000) for _ in schedule.due(NOON + s, s)] == [1500, 2700, 3900]
    for at in ("12:00:30", "12:00:61"):
        schedule = Schedule()
        schedule.load({"bad": entry(minutes=20, skip_explicit=[{"time": at}])}, {}, NOON)
        assert "time_fmt" in schedule.problems[0]


def test_an_entry_without_a_time_runs_when_it_is_asked_for():
    schedule = Schedule()
    schedule.load({"job": entry()}, {}, NOON)
    assert schedule.problems == ["job has no time to run at: only schedule.run_job runs it."]
    assert schedule.due(NOON, 0) == [] and schedule.next() == NEVER
    schedule.asked.append("job")
    assert schedule.due(NOON + 1, 1) == ["job"]
    assert schedule.due(NOON + 4000, 4000) == []


def test_settings_of_the_whole_schedule_hold_for_entries_without_their_own():
    skip = {"start": "12:10", "end": "12:50"}
    entries = {"a": entry(cron="*/20 * * * *"), "skip_during_range": skip, "b": entry(cron="15 * * * *")}
    entries["b"]["skip_during_range"] = {"start": "13:00", "end": "14:00"}
    schedule = Schedule()
    schedule.load(entries, {}, NOON)
    assert list(schedule.entries) == ["a", "b"]
    assert [n for minute in range(59) for n in schedule.due(NOON + minute * 60, minute * 60.0)] == ["b"]


def test_disabled_entries_wait_and_go_on_when_they_are_enabled():
    for off in ({"job": entry(seconds=10, enabled=False)}, {"job": entry(seconds=10), "enabled": False}):
        schedule = Schedule()
        schedule.load(off, {}, NOON)
        assert [n for s in range(25) for n in schedule.due(NOON + s, s)] == []
        schedule.load({"job": entry(seconds=10, enabled=True)}, {}, NOON + 25)
        assert [s for s in range(25, 50) for _ in schedule.due(NOON + s, s)] == [30, 40]


def test_an_entry_that_is_read_again_goes_on_and_one_that_changed_begins_anew():
    schedule = Schedule()
    schedule.load({"same": entry(seconds=100), "other": entry(seconds=100)}, {}, NOON)
    assert schedule.due(NOON, 0) == ["same", "other"]
    schedule.load({"same": entry(seconds=100), "other": entry(seconds=99), "new": entry(seconds=9)}, {}, NOON + 50)
    assert schedule.due(NOON + 50, 50) == ["other", "new"]
    schedule.load({}, {}, NOON + 60)
    assert schedule.next() == NEVER and schedule.due(NOON + 1000, 1000) == []


@pytest.mark.parametrize("jump", [-86400, -5, 5, 86400])
def test_an_interval_does_not_care_when_the_clock_is_set(jump):
    schedule = Schedule()
    schedule.load({"job": entry(seconds=100)}, {}, NOON)
    assert schedule.due(NOON, 0) == ["job"]
    found = [s for s in range(1, 250) for _ in schedule.due(NOON + s + (jump if s > 30 else 0), s)]
    assert found == [100, 200]


def test_a_clock_that_is_set_forward_makes_no_crowd_and_one_set_back_waits_for_the_time_again():
    schedule = Schedule()
    schedule.load({"cron": entry(cron="0 * * * *"), "when": entry(when="12:30")}, {}, NOON)
    assert schedule.due(NOON, 0) == []
    assert schedule.due(NOON + 36000, 10) == ["cron"]  # as Salt: one of those missed, and no time of day
    assert schedule.due(NOON + 36010, 20) == []
    assert schedule.due(NOON, 30) == []
    assert schedule.due(NOON + 1800, 1830) == ["when"]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04"])
def test_the_days_on_which_summer_time_begins_and_ends_have_no_double_firing(zone, day, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        entries = {"cron": entry(cron="*/10 * * * *"), "daily": entry(cron="30 2 * * *"), "when": entry(when="02:30")}
        found = fires(entries, 26, start=at(f"{day}T00:05:00"), step=60)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert 125 <= len(found["cron"]) <= 157 and min(b - a for a, b in zip(found["cron"], found["cron"][1:])) >= 600  # noqa: B905
    assert 1 <= len(found["daily"]) <= 2 and 1 <= len(found["when"]) <= 2


@given(st.floats(0, 500), st.lists(st.floats(0, 400), max_size=40), st.integers(0, 20))
def test_an_interval_never_fires_twice_within_itself(seconds, pauses, splay):
    schedule, now, last = Schedule(), NOON, -NEVER
    schedule.load({"job": entry(seconds=seconds, splay=splay)}, {}, now)
    for pause in pauses:
        now += pause
        if schedule.due(now, now - NOON):
            assert now - last >= max(1, seconds) - 1e-3
            last = now
        assert schedule.next() > now


@pytest.mark.parametrize(
    "bad, why",
    [
        (entry(seconds=5, cron="* * * * *"), "may have one of"),
        (entry(when="12:00", once="2026-11-25T12:00:00"), "may have one of"),
        (entry(seconds="soon"), "soon"),
        (entry(seconds=float("nan")), "cannot fire"),
        (entry(minutes=-1), "cannot fire"),
        (entry(when=1020), "quotes"),
        (entry(when="tea"), "tea"),
        (entry(when=[["12:00"]]), "quotes"),
        (entry(cron="* * * *"), ""),
        (entry(cron="0 0 31 2 *"), ""),
        (entry(cron=5), ""),
        (entry(once="tomorrow"), "tomorrow"),
        (entry(seconds=5, until="noonish"), "noonish"),
        (entry(seconds=5, after=5), "quotes"),
        (entry(seconds=5, range={"start": "22:00", "end": "6:00"}), "later than its start"),
        (entry(seconds=5, range="8:00"), ""),
        (entry(seconds=5, skip_during_range={"start": "8:00"}), "end"),
        (entry(seconds=5, splay={"start": 7, "end": 5}), "end of splay"),
        (entry(seconds=5, args="x"), "args must be a list"),
        (entry(seconds=5, kwargs=["x"]), "kwargs must be a dict"),
        (entry(seconds=5, maxrunning="2"), "maxrunning"),
        (entry(seconds=5, dry_run=True), "dry_run"),
        ({"seconds": 5}, "function"),
        ({"seconds": 5, "function": [5]}, "function"),
        (None, "a map"),
        ("test.ping", "a map"),
    ],
    ids=str,
)
def test_an_entry_that_is_none_is_skipped_with_a_sentence(bad, why):
    schedule = Schedule()
    schedule.load({"bad": bad, "good": entry(seconds=5)}, {}, NOON)
    assert len(schedule.problems) == 1 and schedule.problems[0].startswith("bad is skipped: "), schedule.problems
    assert why in schedule.problems[0] and schedule.problems[0].endswith(".")
    assert schedule.due(NOON, 0) == ["good"]


def test_a_misspelt_key_of_an_entry_is_named():
    schedule = Schedule()
    schedule.load({"job": {"function": "test.ping", "secnods": 5, "_last_run": 1, "minutes": 1}}, {}, 0)
    assert schedule.problems == ["job: secnods is no key of an entry, and is ignored; did you mean 'seconds'?"]
    schedule.load({"job": {"functoin": "test.ping", "seconds": 5}}, {}, 0)
    assert schedule.problems[1].startswith("job: functoin is no key") and "job is skipped" in schedule.problems[2]


def test_a_word_without_a_value_counts_as_absent_and_a_name_may_be_a_number():
    schedule = Schedule()
    schedule.load({5: entry(seconds=5, when=None, maxrunning=None, args=None, range=None)}, {}, NOON)
    assert schedule.problems == [] and schedule.due(NOON, 0) == ["5"]
    assert "maxrunning" not in schedule.entries["5"]


def test_what_has_no_effect_is_said():
    schedule = Schedule()
    schedule.load({"job": entry(seconds=5, returner="mysql"), "skip_function": "test.echo"}, {}, NOON)
    assert schedule.problems == ["job: returner has no effect.", "skip_function has no effect."]


def test_a_problem_is_said_once_and_again_when_it_comes_back():
    schedule = Schedule()
    for entries, said in (({"bad": 5}, 1), ({"bad": 5}, 1), ({}, 1), ({"bad": 5}, 2)):
        schedule.load(entries, {}, NOON)
        assert len(schedule.problems) == said


# jobs


def test_an_entry_becomes_a_job_like_any_other():
    load = scheduled_job("j", entry(args=["a"], kwargs={"b": 1}, metadata={"c": 2}), "20261125120000000000", "m")
    assert load["arg"] == ["a", {"__kwarg__": True, "b": 1}] and load["metadata"] == {"c": 2}
    assert (load["fun"], load["schedule"], load["tgt"]) == ("test.ping", "j", "m") and "no_return" not in load
    for quiet in (False, "nocache"):
        assert scheduled_job("j", entry(return_job=quiet), "20261125120000000000", "m")["no_return"]


def test_several_functions_have_arguments_each():
    load = scheduled_job("j", {"function": ["a.b", "c.d"], "args": [["x"]], "kwargs": {"k": 1}}, "2" * 20, "m")
    assert load["arg"] == [["x", {"__kwarg__": True, "k": 1}], [{"__kwarg__": True, "k": 1}]]


@pytest.mark.parametrize("words, returns", [({}, 1), ({"return_job": False}, 0)])
def test_a_return_that_is_for_nobody_is_not_left_even_for_a_lost_job(minion, words, returns):
    tree = minion.tree
    tree.proc.mkdir()
    tree.outbox.mkdir()
    load = scheduled_job("j", entry(**words), "2" * 20, "web1")
    ends = (
        lambda: saltlite.run_child(tree, minion.opts, load["jid"]),
        lambda: saltlite.lost_job(tree, minion.opts, load, "it is gone"),
    )
    for end in ends:
        tree.start_job(load)
        end()
        assert saltlite.names(tree.proc) == [] and len(saltlite.names(tree.outbox)) == returns
        if returns:
            made = tree.get_return(load["jid"])
            assert (made["schedule"], made["jid"], made["tgt"]) == ("j", load["jid"], "web1")
            tree.acknowledged(load["jid"])


# functions


class Tree:
    """A minion's tree, and its functions run as a job runs them."""

    def __init__(self, conf, pillar=None, config=None):
        (conf / "minion.d").mkdir(parents=True)
        (conf / "minion").write_text(yaml.safe_dump(config or {}))
        self.file = conf / "minion.d/_schedule.conf"
        self.opts = saltlite.load_opts("minion", str(conf), {"id": "web1"})
        self.tree = saltlite.MinionTree(self.opts)
        self.tree.cache.mkdir(parents=True)
        self.tree.put_schedule()
        self.pillar = pillar or {}

    def execution(self):
        execution = saltlite.Execution(self.opts, self.tree, {"jid": "2" * 20})
        execution.grains, execution.pillar = {}, self.pillar
        return execution

    def __call__(self, fun, *args, **kwargs):
        ret, _, success = self.execution().run(f"schedule.{fun}", [*args, {"__kwarg__": True, **kwargs}])
        assert success is True, ret
        return ret

    def saved(self):
        return yaml.safe_load(self.file.read_text())["schedule"]


@pytest.fixture
def minion(tmp_path):
    pillar = {"schedule": {"told": {"function": "test.ping", "seconds": 5}}}
    config = {"schedule": {"conf": {"function": "test.ping", "minutes": 5}}}
    return Tree(tmp_path / "conf", pillar, config)


def test_add_writes_the_file_as_salt_writes_it(minion):
    answer = minion("add", "job1", function="cmd.run", job_args=["date"], seconds=60)
    assert answer == {"comment": "Added job: job1 to schedule.", "result": True, "changes": {"job1": "added"}}
    own = """\
  job1:
    args: [date]
    enabled: true
    function: cmd.run
    jid_include: true
    maxrunning: 1
    name: job1
    seconds: 60
"""
    assert minion.file.read_text() == saltlite.MINE_SCHEDULE + own
    assert minion.file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "name, words, comment",
    [
        ("conf", {"seconds": 5}, "Job conf already exists in schedule."),
        ("told", {"seconds": 5}, "Job told already exists in schedule."),
        ("", {"seconds": 5}, "Job name is required."),
        ("enabled", {"seconds": 5}, "Job name is required."),
        ("job1", {"seconds": 5, "cron": "* * * * *"}, "Job job1 is not valid: it may have one of when, cron, once and"),
        ("job1", {"when": "tea"}, "Job job1 is not valid: Unknown string format: tea"),
    ],
)
def test_add_refuses_what_could_not_run(minion, name, words, comment):
    answer = minion("add", name, function="test.ping", **words)
    assert (answer["result"], answer["changes"]) == (False, {}) and answer["comment"].startswith(comment)
    assert minion.file.read_text() == saltlite.MINE_SCHEDULE


def test_nothing_is_changed_by_a_test(minion):
    minion("add", "a", function="test.ping", seconds=5)
    before = minion.file.stat().st_mtime_ns, minion.file.read_bytes()
    for fun, args in (("add", ["b"]), ("modify", ["a"]), ("delete", ["a"]), ("purge", []), ("disable", [])):
        words = {"function": "test.ping", "seconds": 9} if fun in ("add", "modify") else {}
        assert "would be" in str(minion(fun, *args, test=True, **words)["comment"])
    assert minion("disable_job", "a", test=True)["comment"] == "Job: a would be disabled in schedule."
    assert before == (minion.file.stat().st_mtime_ns, minion.file.read_bytes())


def test_what_is_not_saved_counts_until_the_minion_starts_again(minion):
    minion("add", "kept", function="test.ping", seconds=5)
    before = minion.file.read_text()
    assert minion("add", "a", function="test.ping", seconds=5, persist=False)["changes"] == {"a": "added"}
    minion("modify", "kept", seconds=7, persist=False)
    minion("disable_job", "conf", persist=False)
    assert minion.file.read_text() == before
    listed = minion("list", return_yaml=False)
    assert listed.keys() == {"a", "kept", "conf", "told"} and listed["kept"]["seconds"] == 7
    assert yaml.safe_load(minion("list"))["schedule"]["a"]["saved"] is False
    assert minion("is_enabled", "conf")["enabled"] is False
    assert minion.tree.schedule().keys() == {"__mine_interval", "a", "kept", "conf"}
    minion("delete", "kept", persist=False)
    assert "kept" not in minion.tree.schedule() and "kept" in minion.tree.schedule(saved=True)
    minion.tree.schedule_path(saved=False).unlink()
    assert minion.tree.schedule().keys() == {"__mine_interval", "kept"}


@pytest.mark.parametrize("how", ["save", "add"])
def test_who_saves_saves_all(minion, how):
    minion("add", "a", function="test.ping", seconds=5, persist=False)
    minion(how, *["b"] * (how == "add"), **({"function": "test.ping"} if how == "add" else {}))
    assert minion.saved().keys() >= {"a"} and not minion.tree.schedule_path(saved=False).exists()


@pytest.mark.parametrize(("fun", "args"), [
    ("add", ["a"]), ("modify", ["conf"]), ("delete", ["a"]), ("purge", []), ("enable_job", ["conf"]), ("save", []),
    ("disable_job", ["conf"]), ("enable", []), ("disable", []), ("build_schedule_item", ["a"]),
])  # fmt: skip
def test_a_keyword_that_is_none_is_refused(minion, fun, args):
    ret, retcode, _ = minion.execution().run(f"schedule.{fun}", [*args, {"__kwarg__": True, "secods": 5}])
    assert retcode == 1 and ret.startswith("ERROR: There is no keyword secods; there are: offline, where")
    assert minion.file.read_text() == saltlite.MINE_SCHEDULE


def test_modify_keeps_the_function_and_says_what_has_changed(minion):
    minion("add", "a", function="test.ping", seconds=5)
    answer = minion("modify", "a", seconds=6)
    assert answer["comment"] == "Modified job: a in schedule." and minion.saved()["a"]["seconds"] == 6
    assert answer["changes"]["a"]["old"]["seconds"] == 5 and answer["changes"]["a"]["new"] == minion.saved()["a"]
    assert minion("modify", "a", seconds=6) == {"comment": "Job a in correct state", "result": True, "changes": {}}
    assert minion("modify", "b", seconds=6)["comment"] == "Job b does not exist in schedule."


def test_entries_of_pillar_and_configuration_are_not_deleted(minion):
    for name, place in (("told", "the pillar"), ("conf", "a configuration file")):
        answer = minion("delete", name)
        assert answer["comment"] == f"Failed to delete job {name} from schedule: it is in {place}."
        assert (answer["result"], answer["changes"]) == (False, {})
    assert minion("delete", "nobody")["comment"] == "Job nobody does not exist."
    assert minion("disable_job", "told")["comment"] == "Failed to disable job told in schedule: it is in the pillar."


def test_a_job_of_the_configuration_is_disabled_by_a_saved_copy(minion):
    assert minion("disable_job", "conf")["changes"] == {"conf": "disabled"}
    assert minion.saved()["conf"] == {"function": "test.ping", "minutes": 5, "enabled": False}
    assert minion("list", return_yaml=False, show_disabled=False).keys() == {"told"}
    assert minion("enable_job", "conf")["comment"] == "Enabled Job conf in schedule."
    assert minion("is_enabled", "conf")["enabled"] is True


def test_the_whole_schedule_is_disabled_and_enabled(minion):
    assert minion("is_enabled") is True
    assert minion("disable")["comment"] == "Disabled schedule on minion."
    assert minion("is_enabled") is False and minion.saved()["enabled"] is False
    assert minion("enable")["changes"] == {"schedule": "enabled"} and minion.saved()["enabled"] is True


def test_list_shows_what_there_is_as_salt_prints_it(minion):
    minion("add", "a", function="test.ping", seconds=5)
    listed = minion("list")
    told = "  told:\n    enabled: true\n    function: test.ping\n    name: told\n    saved: false\n    seconds: 5\n"
    assert listed.startswith("schedule:\n  a:\n    enabled: true\n") and listed.endswith(told)
    assert yaml.safe_load(listed)["schedule"].keys() == {"a", "conf", "told"}
    assert minion("list", return_yaml=False, show_all=True).keys() == {"a", "conf", "told", "__mine_interval"}
    assert minion("list", return_yaml=False, where="pillar").keys() == {"told"}
    assert minion("list", return_yaml=False, where="opts").keys() == {"a", "conf"}


def test_next_fire_time_and_run_job_are_the_running_minions(minion):
    execution = minion.execution()
    ret = execution.run("schedule.run_job", ["conf"])[0]
    assert ret["result"] is False and "only a running minion" in ret["comment"]
    assert execution.run("schedule.show_next_fire_time", ["conf"])[0] == {"result": True, "next_fire_time": None}
    execution.schedule = Schedule()
    execution.schedule.load(SCHEDULES.schedule_of(minion.opts, minion.pillar, {}), {}, NOON)
    assert execution.schedule.due(NOON, 0) == ["told", "conf"]
    ret = execution.run("schedule.show_next_fire_time", ["conf"])[0]
    assert ret == {"result": True, "next_fire_time": "2026-11-25T12:05:00"}
    assert execution.run("schedule.run_job", ["conf"])[0]["comment"] == "Scheduling Job conf on minion."
    assert execution.schedule.due(NOON + 1, 1) == ["conf"]
    assert execution.schedule.due(NOON + 2, 2) == []


def test_status_of_a_job_is_what_the_running_minion_has(minion):
    execution = minion.execution()
    assert execution.run("schedule.job_status", ["conf"])[0] == {}
    execution.schedule = Schedule()
    execution.schedule.load(SCHEDULES.schedule_of(minion.opts, minion.pillar, {}), {}, NOON)
    shown = execution.run("schedule.job_status", ["conf"])[0]
    assert shown == {
        "name": "conf",
        "enabled": True,
        "function": "test.ping",
        "minutes": 5,
        "_next_fire_time": "2026-11-25T12:00:00",
    }
    assert execution.run("schedule.job_status", ["conf", "%H.%M"])[0]["_next_fire_time"] == "12.00"
    assert execution.run("schedule.job_status", ["other"])[0] == {}


def test_skip_and_postpone_give_a_job_moments_until_the_minion_starts(minion):
    times, before = ("2030-01-02T03:04:05", "2030-01-02T04:04:05"), minion.file.read_bytes()
    assert minion("skip_job", "conf", times[0]) == {"comment": "Added Skip Job conf in schedule.", "result": True}
    done = minion("postpone_job", "conf", "04:05 2.1.2030", "05:05 2.1.2030", time_fmt="%H:%M %d.%m.%Y")
    assert done == {"comment": "Postponed Job conf in schedule.", "result": True}
    kept = minion.tree.schedule()["conf"]
    assert [one["time"] for one in kept["skip_explicit"]] == [times[0], "04:05 2.1.2030"]
    assert kept["run_explicit"] == [{"time": "05:05 2.1.2030", "time_fmt": "%H:%M %d.%m.%Y"}]
    assert (kept["function"], kept["minutes"]) == ("test.ping", 5) and minion.file.read_bytes() == before
    minion("skip_job", "conf", "2020-01-02T03:04:05")
    minion("skip_job", "conf", times[1])
    left = [one["time"] for one in minion.tree.schedule()["conf"]["skip_explicit"]]
    assert left == [times[0], "04:05 2.1.2030", times[1]], "what has passed goes with the next"


@pytest.mark.parametrize(
    "name, at, comment",
    [
        ("conf", "tomorrow", "Date string could not be parsed: 'tomorrow'"),
        ("conf", 5, "Date string could not be parsed"),
        ("other", "2030-01-02T03:04:05", "Job other does not exist."),
        ("enabled", "2030-01-02T03:04:05", "Job enabled does not exist."),
        ("told", "2030-01-02T03:04:05", "it is in the pillar."),
        ("off", "2030-01-02T03:04:05", "it is disabled."),
    ],
)
def test_what_cannot_be_skipped_or_postponed_is_said(minion, name, at, comment):
    minion("add", "off", function="test.ping", seconds=5, enabled=False)
    for answer in (minion("skip_job", name, at), minion("postpone_job", name, "2030-01-02T03:04:05", at)):
        assert answer["result"] is False and comment in answer["comment"], answer
    assert not minion.tree.schedule_path(False).exists()


def test_a_file_without_a_change_is_not_written(minion):
    before = minion.file.stat().st_ino
    assert minion("delete", "nobody")["result"] is minion("delete", "enabled")["result"] is False
    assert minion.file.stat().st_ino == before


def test_a_tree_where_no_minion_ever_ran_will_do(tmp_path):
    opts = saltlite.load_opts("minion", str(tmp_path), {"id": "web1"})
    execution = saltlite.Execution(opts, saltlite.MinionTree(opts), {"jid": "2" * 20})
    execution.run("schedule.add", ["a", {"__kwarg__": True, "function": "test.ping", "seconds": 5}])
    assert "a:" in (tmp_path / "minion.d/_schedule.conf").read_text()


def test_purge_deletes_what_is_saved(minion):
    minion("add", "a", function="test.ping", seconds=5)
    answer = minion("purge")
    assert answer["changes"] == {"a": "removed"} and "Deleted job: a from schedule." in answer["comment"]
    assert minion.file.read_text() == saltlite.MINE_SCHEDULE


def add_many(conf, number):
    opts = saltlite.load_opts("minion", str(conf), {"id": "web1"})
    execution = saltlite.Execution(opts, saltlite.MinionTree(opts), {"jid": "2" * 20})
    execution.pillar, execution.grains = {}, {}
    for n in range(10):
        execution.run("schedule.add", [f"job{number}-{n}", {"__kwarg__": True, "function": "test.ping", "seconds": 5}])


def test_two_jobs_do_not_lose_one_anothers_change(minion):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=add_many, args=(minion.file.parent.parent, n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(minion.saved()) == 31


@pytest.mark.parametrize(
    "text",
    [
        "schedule: [",
        "schedule: 5",
        "5",
        "a: b",
        "schedule: {a: {seconds: 1}, a: {seconds: 2}}",
        "schedule: !!python/name:os.system",
    ],
)
def test_a_broken_file_is_a_sentence_and_stays_as_it_is(minion, text):
    minion.file.write_text(text)
    ret, retcode, _ = minion.execution().run(
        "schedule.add", ["a", {"__kwarg__": True, "function": "x.y", "seconds": 5}]
    )
    assert retcode == 1 and ret.startswith("ERROR: ") and "_schedule.conf" in ret
    assert minion.file.read_text() == text


# where entries come from


def test_several_files_are_merged_by_name(tmp_path):
    (tmp_path / "minion.d").mkdir()
    (tmp_path / "minion").write_text("schedule: {z: {seconds: 1}}\n")  # in whose place those count
    (tmp_path / "minion.d/a.conf").write_text("schedule: {a: {seconds: 1}, b: {seconds: 1}}\n")
    (tmp_path / "minion.d/x.conf").write_text("schedule: {b: {seconds: 2}, c: {seconds: 2}}\n")
    opts = saltlite.load_opts("minion", str(tmp_path))
    assert {name: item["seconds"] for name, item in opts["schedule"].items()} == {"a": 1, "b": 2, "c": 2}


def test_saved_entries_win_over_configured_ones_and_those_over_pillar():
    opts = {"schedule": {"b": 2, "c": 2}}
    assert SCHEDULES.schedule_of(opts, {"schedule": {"a": 1, "b": 1}}, {"c": 3}) == {"a": 1, "b": 2, "c": 3}
    assert SCHEDULES.schedule_of({"schedule": {}}, {"schedule": "no map"}, {}) == {}


def test_the_mine_is_left_alone_when_there_is_nothing_to_put_there():
    saved = yaml.safe_load(saltlite.MINE_SCHEDULE)["schedule"]
    assert SCHEDULES.schedule_of({"schedule": {}}, {}, saved) == {}
    assert SCHEDULES.schedule_of({"schedule": {}, "mine_enabled": False, "mine_functions": {"x": []}}, {}, saved) == {}
    found = SCHEDULES.schedule_of({"schedule": {}, "mine_interval": 5}, {"mine_functions": {"x": []}}, saved)
    assert found["__mine_interval"]["minutes"] == 5


# live


def own_returns(master, name):
    """The returns in jobs/done that a minion's schedule has left."""
    files = sorted((master.jobs / "done").glob(f"*/*.{name}.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines() if '"event": "ret"' in line]


STARTUP = saltlite.packed_leaf("commands", "minion").startup


@pytest.mark.parametrize(
    "options, function, args",
    [
        ({"startup_states": "highstate"}, "state.highstate", []),
        ({"startup_states": "sls", "sls_list": ["web", "db"]}, "state.sls", [["web", "db"]]),
        ({"startup_states": "top", "top_file": "other.sls"}, "state.top", ["other.sls"]),
    ],
)
def test_states_of_the_start_are_an_entry_that_runs_once(options, function, args):
    found = STARTUP({"sls_list": [], "top_file": "", **options})
    (made,) = found.values()
    assert (made["function"], made["args"]) == (function, args)
    assert fires(found, 0.1) == {"__startup_states": [0]}


def test_states_of_the_start_need_what_they_name():
    nothing = {"sls_list": [], "top_file": ""}
    assert STARTUP({"startup_states": "", **nothing}) == {}
    for kind, option in (("sls", "sls_list"), ("top", "top_file")):
        with pytest.raises(saltlite.Failure, match=f"startup_states: {kind} .* {option}"):
            STARTUP({"startup_states": kind, **nothing})


def test_a_minion_applies_states_when_it_starts(tmp_path):
    """Salt itself would apply them: without it the return says so, and has come from the right function."""
    options = {"startup_states": "highstate", "salt_call": str(tmp_path / "none")}
    with running_master(tmp_path) as master, running_minion(master, "m", options):
        (line,) = until(lambda: own_returns(master, "m"), what="the return of the start")
        assert line["fun"] == "state.highstate" and "needs Salt on this machine" in line["return"]
        assert "__startup" not in str(master.returns("m", "schedule.list"))


def test_a_schedule_is_added_runs_and_is_deleted(tmp_path):
    quiet = tmp_path / "quiet"
    config = {"schedule": {"quiet": {"function": "cmd.run", "args": [f"A=1 && echo $A >> {quiet}"], "seconds": 1}}}
    config["schedule"]["quiet"]["return_job"] = False
    config["schedule"]["slow"] = {"function": "cmd.run", "args": ["sleep 60"], "seconds": 1}
    with running_master(tmp_path) as master, running_minion(master, "m", config) as minion:
        added = master.returns("m", "schedule.add", "echo", "function=test.echo", "job_args=['a=b']", "seconds=1")
        assert added["m"]["comment"] == "Added job: echo to schedule."
        until(lambda: len(own_returns(master, "m")) >= 2, what="two returns of the schedule")
        assert {line["return"] for line in own_returns(master, "m")} == {"a=b"}
        jids = [path.name[:20] for path in (master.jobs / "done").glob("*/*.m.jsonl")]
        assert len(set(jids)) == len(jids)
        fire = master.returns("m", "schedule.show_next_fire_time", "echo")["m"]
        assert abs(at(fire["next_fire_time"]) - time.time()) < 10
        assert master.returns("m", "schedule.postpone_job", "slow", "2030-01-02T03:04:05", "2030-01-02T04:04:05")["m"]
        status = until(lambda: master.returns("m", "schedule.job_status", "slow")["m"])
        assert (status["function"], status["run_explicit"][0]["time"]) == ("cmd.run", "2030-01-02T04:04:05")
        assert master.returns("m", "schedule.delete", "echo")["m"]["changes"] == {"echo": "removed"}
        words = ["function=cmd.run", f"job_args=['touch {tmp_path}/passing']", "seconds=1", "persist=False"]
        assert master.returns("m", "schedule.add", "passing", *words)["m"]["result"] is True
        until((tmp_path / "passing").exists)
        assert "passing" not in (minion.conf / "minion.d/_schedule.conf").read_text()
        master.returns("m", "saltutil.running")
        minion.says("saltutil.running")
        ended = minion.text().rpartition("schedule.delete")[2]
        assert "of the schedule, echo" not in ended.partition("saltutil.running")[2]
        slow = [job for job in master.returns("m", "saltutil.running")["m"] if job.get("schedule") == "slow"]
        assert len(slow) == 1  # maxrunning
        until(quiet.exists)
        assert set(quiet.read_text().split()) == {"1"}
        assert master.returns("m", "schedule.run_job", "nothing")["m"]["comment"] == "Job nothing does not exist."
        assert master.returns("m", "schedule.disable_job", "quiet")["m"]["result"] is True
        size = len(quiet.read_text())
        assert master.returns("m", "schedule.run_job", "quiet")["m"]["comment"] == "Job quiet is disabled."
        assert master.returns("m", "schedule.run_job", "quiet", "force=True")["m"]["result"] is True
        until(lambda: len(quiet.read_text()) > size)
        assert not [name for name in Path(minion.cache / "outbox").iterdir() if not name.name.startswith(".")]
