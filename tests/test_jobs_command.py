"""`saltlite jobs`, `run` and `events` on files of jobs: what they read, what they print, what they move."""

from __future__ import annotations

import json
import os
import re
import shlex
import time

import pytest
from leaves import WRITER, JobFiles
from live import command, write_config

import saltlite

salt, times = saltlite.packed_leaf("commands", "salt"), saltlite.packed_leaf("terminal", "times")
BASE = 1_790_000_000.0
MINIONS = ["db1", "web1", "web2"]


def ret(minion, value=True, retcode=0, **more):
    line = {"event": "ret", "id": minion, "fun": "x", "return": value, "retcode": retcode, "success": not retcode}
    return line | {"time": BASE} | more


class Tree:
    """A master's directory of jobs; no master runs."""

    def __init__(self, conf):
        self.conf, self.jobs = conf, conf / "var/cache/salt/master/jobs"
        for directory in ("new", "active", "done", "bad"):
            (self.jobs / directory).mkdir(parents=True)
        write_config(conf / "master", {})

    def job(self, at, lines=(), state="done", **header):
        jid = saltlite.jid_of(BASE + at)
        directory = self.jobs / ("active" if state == "active" else f"done/{jid[:8]}")
        directory.mkdir(exist_ok=True)
        first = {"event": "new", "jid": jid, "fun": "test.ping", "arg": [], "tgt": "*", "tgt_type": "glob"}
        first |= {
            "user": "root",
            "minions": MINIONS,
            "time": BASE + at,
            "timeout": 5,
            "gather_job_timeout": 5,
            "ret": "",
        }
        text = "".join(saltlite.to_json(line) + "\n" for line in [first | header, *lines])
        (directory / f"{jid}.jsonl").write_text(text)
        return jid

    def ended(self, at, returned=3, failed=0, silent=0, late=(), **header):
        lines = [ret(minion, retcode=int(n < failed)) for n, minion in enumerate(MINIONS[:returned])]
        end = {"event": "end", "returned": returned, "failed": failed, "silent": silent, "seconds": 0.5, "time": BASE}
        return self.job(at, [*lines, end, *late], **header)

    def run(self, *words, **options):
        return command(*words, "-c", self.conf, **options)

    def json(self, *words):
        done = self.run(*words, "--out", "json")
        assert done.stderr == "", done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


# The reader


def test_a_job_that_ends_while_it_is_looked_for_is_there_once_and_whole(tree):
    jid = tree.job(0, [ret("web1"), ret("web2")], state="active")
    files = JobFiles(tree.jobs)
    (found,) = files.unended()
    (day := tree.jobs / "done" / jid[:8]).mkdir()
    (tree.jobs / f"active/{jid}.jsonl").rename(day / f"{jid}.jsonl")
    with open(day / f"{jid}.jsonl", "a") as file:
        file.write(saltlite.to_json({"event": "end", "returned": 2, "failed": 0, "silent": 1, "seconds": 1}) + "\n")
    assert files.header(found)["minions"] == MINIONS
    assert [line["event"] for line in files.lines(found)] == ["new", "ret", "ret", "end"]
    assert files.missing(found) == ["db1"]
    assert files.summary(found)["state"] == "done"
    (day / f"{jid}.jsonl").unlink()
    with pytest.raises(saltlite.Failure, match=f"there is no job {jid}"):
        files.summary(found)


def test_a_job_that_is_listed_in_both_places_comes_once(tree):
    jid = tree.job(0, state="active")
    tree.job(0)  # as one who reads jobs/active before, and the day behind its end, sees it
    assert [(job.jid, job.active) for job in JobFiles(tree.jobs).newest()] == [(jid, False)]


def test_the_newest_come_first_across_days_and_states(tree):
    days = [tree.ended(-86400 * day) for day in range(3)]
    active = [tree.job(-86400 * day + 1, state="active") for day in range(3)]
    (tree.jobs / "done" / days[0][:8] / "junk").write_text("x")
    (tree.jobs / "done" / "junk").mkdir()
    files = JobFiles(tree.jobs)
    assert [job.jid for job in files.newest()] == sorted([*days, *active], reverse=True)
    assert [job.jid for job in files.newest(since=days[1])] == [active[0], days[0], active[1], days[1]]
    assert [job.jid for job in files.unended()] == active


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_of_a_day_with_many_jobs_all_come_in_order(tree, more):
    few = saltlite.packed_leaf("clients", "JobFiles").FEW
    jids = [tree.ended(number) for number in range(few + more)]
    assert [job.jid for job in JobFiles(tree.jobs).newest()] == jids[::-1]


@pytest.mark.parametrize("size", [0, 16 << 10, 200 << 10])
def test_the_end_is_found_in_front_of_what_came_late(tree, size):
    jid = tree.ended(0, failed=1, late=[ret("db1", "x" * size, late=True)])
    files = JobFiles(tree.jobs)
    summary = files.summary(files.find(jid))
    assert (summary["state"], summary["returned"], summary["failed"], summary["seconds"]) == ("done", 3, 1, 0.5)


def test_a_return_that_came_late_counts(tree):
    """Before, a job whose only answer came after its end was 0/1 for ever."""
    silent = [{"event": "silent", "id": name, "time": BASE} for name in MINIONS]
    end = {"event": "end", "returned": 0, "failed": 0, "silent": 3, "seconds": 9.5, "time": BASE}
    tree.job(0, [*silent, end, ret("db1", late=True), ret("web1", retcode=2, late=True), ret("db1", late=True)])
    (job,) = tree.json("jobs").values()
    wanted = {"state": "done", "expected": 3, "returned": 2, "failed": 1, "silent": 1, "seconds": 9.5}
    assert {name: job[name] for name in wanted} == wanted
    assert re.search(r"done +2/3 +1 +1 +9\.5 s", tree.run("jobs").stdout)


def test_an_active_job_is_counted_line_by_line(tree):
    silent = {"event": "silent", "id": "web2", "since": None, "time": BASE}
    jid = tree.job(0, [ret("db1"), ret("web1", retcode=2), silent], "active", batch=1)
    files = JobFiles(tree.jobs)
    summary = files.summary(files.find(jid))
    assert [summary[name] for name in ("state", "returned", "failed", "silent")] == ["active", 2, 1, 1]
    assert files.missing(files.find(jid)) == ["web2"]
    for suffix, state in ((".pause", "paused"), (".stop", "stopping")):
        (tree.jobs / "active" / f"{jid}{suffix}").touch()
        assert files.summary(files.find(jid))["state"] == state


# The command


def test_list_shows_the_newest_last(tree):
    jids = [tree.ended(number) for number in range(25)]
    done = tree.run("jobs")
    head, *rows = done.stdout.splitlines()
    assert head.split()[:4] == ["JID", "when", "state", "returned"]
    assert [row.split()[0] for row in rows] == jids[5:]
    assert "3/3" in rows[0] and (done.returncode, done.stderr) == (0, "")
    assert list(tree.json("jobs", "list", "--last", "2")) == jids[:-3:-1]
    assert len(tree.json("jobs", "--last", "0")) == 25


CHOICES = {
    ("--fun", "cmd.*"): [1],
    ("--fun", "cmd.*,state.*"): [1, 2],
    ("--target", "web*"): [0, 1, 2],
    ("--target", "db2"): [3],
    ("--user", "ann"): [2],
    ("--failed",): [1, 3],
}


@pytest.mark.parametrize("words", CHOICES, ids=" ".join)
def test_list_is_narrowed(tree, words):
    jids = [
        tree.ended(0),
        tree.ended(1, failed=1, fun="cmd.run", arg=["uptime"]),
        tree.ended(2, fun=["test.ping", "state.apply"], user="ann"),
        tree.ended(3, returned=0, silent=1, tgt="db2", minions=["db2"]),
    ]
    assert sorted(tree.json("jobs", *words)) == [jids[number] for number in CHOICES[words]]


def test_since_is_a_span_or_a_moment(tree):
    tree.ended(0)
    jid = tree.ended(time.time() - BASE - 60)
    for since in ("2m", "1h30m", time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() - 300))):
        assert list(tree.json("jobs", "--since", since)) == [jid]
    assert tree.json("jobs", "--since", "30s") == {}
    done = tree.run("jobs", "--since", "yesterday")
    assert done.returncode == 64 and "2h" in done.stderr and done.stderr.count("\n") == 1


def test_since_is_also_what_list_jobs_prints():
    for text in ("2026, Nov 27", "2026, Nov 27 00:00", "2026, Nov 27 00:00:00", "2026, Nov 27 00:00:00.000000"):
        assert times.moment(text, 0) == times.moment("2026-11-27", 0)
    for text in ("2026, Nov", "2026, Nov 31", "27", "Nov 27 2026"):
        with pytest.raises(saltlite.Failure, match="is wanted"):
            times.moment(text, 0)


@pytest.mark.parametrize(
    "fun, arg, words",
    [
        ("cmd.run", ["exit 3; # no", {"__kwarg__": True, "env": {"A": "1", "b": [None]}}], ["'exit 3; # no'", "env="]),
        ("test.arg", [5, "5", "a=b", "no", "", "-x", True, 1.5, {"a": "b, c"}, [1, "2"]], ["-- 5 '\"5\"'"]),
        (["test.arg", "test.ping"], [["x y"], []], ["test.arg,test.ping 'x y' ,"]),
    ],
)
def test_what_a_job_shows_to_repeat_it_has_its_arguments(tree, fun, arg, words):
    jid = tree.ended(0, fun=fun, arg=arg, failed=1)
    done = tree.run("jobs", "show", jid)
    line = next(line for line in done.stderr.splitlines() if line.startswith("again for the failed: "))
    assert all(word in line for word in words), line
    args = saltlite.parse_words(saltlite.parser_of(saltlite.command("salt"), "salt"), shlex.split(line)[6:])
    found, *rest = salt.job_words(args)
    if isinstance(fun, str):
        kwarg = [{"__kwarg__": True, **rest[1]}] if rest[1] else []
        assert (found, rest[0] + kwarg) == (fun, arg)
    else:
        assert (found, rest[0]) == (fun, arg)


def test_show_prints_what_salt_has_printed(tree):
    jid = tree.ended(0, returned=2, silent=0, late=[ret("web2", "late!")])
    done = tree.run("jobs", "show", jid)
    assert "web2:\n    late!" in done.stdout and "db1:\n    True" in done.stdout and done.returncode == 0
    assert tree.json("jobs", jid) == {"db1": True, "web1": True, "web2": "late!"}
    assert tree.run("jobs", "follow", "last").returncode == 0


def test_show_of_an_active_job_does_not_wait_and_says_how_to(tree):
    jid = tree.job(0, [ret("db1")], "active")
    done = tree.run("jobs", "show", jid)
    assert "db1:" in done.stdout and f"jobs follow {jid}" in done.stdout


WRONG = {
    "show": (64, "wants a jid"),
    "shw last": (64, "did you mean 'show'?"),
    "xyz": (64, "resume, stop."),
    "show 20260101000000000000": (1, "there is no job"),
    "show ../../x": (1, "is no jid"),
    "show last": (1, "no job has been published yet"),
    "list 20260101000000000000": (64, "takes no jid"),
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_said_in_a_sentence(tree, words):
    done = tree.run("jobs", *words.split())
    code, said = WRONG[words]
    assert done.returncode == code and said in done.stderr and done.stderr.count("\n") == 1


def test_kill_removes_the_file_and_what_is_queued(tree):
    jid, ended = tree.job(0, [], "active"), tree.ended(1)
    (tree.jobs / "queued/web9").mkdir(parents=True)
    (tree.jobs / "queued/web9" / jid).write_text(
        json.dumps({"jid": jid, "fun": "test.ping", "until": time.time() + 90})
    )
    assert list(tree.json("jobs", "queued")) == [jid]
    assert "web9" in tree.run("jobs", "queued").stdout
    done = tree.run("jobs", "kill", jid)
    assert done.stdout.splitlines() == [f"rm jobs/active/{jid}.jsonl", f"rm jobs/queued/web9/{jid}"]
    assert os.listdir(tree.jobs / "active") == os.listdir(tree.jobs / "queued/web9") == []
    done = tree.run("jobs", "kill", ended)
    assert done.returncode == 1 and "has ended already" in done.stderr


def test_a_roll_out_is_held_up_by_files(tree):
    jid, plain = tree.job(0, [], "active", batch=1), tree.job(1, [], "active")
    for verb, there in (("pause", ["pause"]), ("resume", []), ("stop", ["stop"])):
        assert tree.run("jobs", verb, jid).returncode == 0
        assert [name[21:] for name in sorted(os.listdir(tree.jobs / "active")) if "jsonl" not in name] == there
    assert "is not paused" in tree.run("jobs", "resume", jid).stderr
    assert "is no roll-out" in tree.run("jobs", "pause", plain).stderr


def test_nothing_of_a_job_moves_the_cursor(tree):
    tree.ended(0, fun="cmd.run", arg=["\x1b[2J\nx"], user="a\x1bb", tgt="\u202eweb")
    done = tree.run("jobs")
    assert done.stdout.count("\n") == 2 and not re.search("[\x1b\u202e]", done.stdout)


@pytest.mark.parametrize(
    "fun, arg",
    [("a.b", "x"), ("a.b", None), (["a.b", "c.d"], ["x", None]), (["a.b"], []), ("a.b", [b"\xff".hex(), [None]])],
)
def test_a_job_with_odd_arguments_is_shown(tree, fun, arg):
    jid = tree.ended(0, fun=fun, arg=arg, failed=1)
    done = tree.run("jobs", "show", jid)
    assert "again for the failed: " in done.stderr and "Traceback" not in done.stderr
    evil = tree.ended(1, fun="cmd.run", arg=["\x1b[2J\nx", {"__kwarg__": True, "a": "\x1b]0;x\a"}], failed=1)
    assert "\x1b" not in tree.run("jobs", "show", evil).stderr


# run


def test_runners_have_salts_names_and_shapes(tree):
    jid = tree.ended(0, fun="cmd.run", arg=["uptime"], metadata={"a": 1})
    started = time.strftime("%Y, %b %d %H:%M:%S", time.gmtime(BASE)) + ".000000"
    told = {"Function": "cmd.run", "Arguments": ["uptime"], "Target": "*", "Target-type": "glob", "User": "root"}
    told |= {"Metadata": {"a": 1}, "StartTime": started}
    assert tree.json("run", "jobs.list_jobs") == {jid: told}
    assert tree.json("run", "jobs.list_jobs", "search_function=test.*") == {}
    found = tree.json("run", "jobs.list_job", jid)
    assert found == told | {"jid": jid, "Minions": MINIONS, "Result": found["Result"]}
    assert found["Result"]["web1"] == {"return": True, "retcode": 0, "success": True}
    assert tree.json("run", "jobs.lookup_jid", jid) == dict.fromkeys(MINIONS, True)
    assert tree.json("run", "jobs.print_job", jid) == tree.json("run", "jobs.last_run", "function=cmd.run")
    assert tree.json("run", "jobs.last_run", "target=nobody") is False
    active = tree.job(1, [ret("db1")], "active")
    found = tree.json("run", "jobs.active")
    assert found[active]["Running"] == [{"web1": None}, {"web2": None}] and found[active]["Returned"] == ["db1"]


def test_runners_that_are_not_here_are_named(tree):
    for words, said in (
        (["jobs.list_job"], "it takes jid"),
        (["jobs.lookup"], "did you mean"),
        (["state.orchestrate", "x"], "a shell script"),
        (["jobs.list_jobs", "typo=1"], "typo"),
        (["pillar.show_pillar", "web1"], "here: use `salt ID pillar.items`"),
        (["fileserver.update"], "not needed: files are read when they are asked for."),
        (["manage.stauts"], "did you mean 'manage.status'? `run -d` lists them all."),
        (["-d", "nope"], "nope is no runner function here."),
    ):
        done = tree.run("run", *words)
        assert done.returncode == 64 and said in done.stderr and done.stderr.count("\n") == 1
    assert "manage.up" in tree.run("run", "-d").stdout.split()
    assert tree.run("run", "-d", "jobs.lookup_jid").stdout == "jobs.lookup_jid(jid, returned=True, missing=False)\n"
    assert {line.partition(".")[0] for line in tree.run("run", "-d", "jobs").stdout.splitlines()} == {"jobs"}


# events


def test_events_tell_what_was_returned(tree):
    jid = tree.ended(0)
    data = {"id": "web1", "fun": "x", "retcode": 0, "success": True}
    events = [(f"salt/job/{jid}/ret/{minion}", data | {"id": minion}) for minion in ("web1", "db1", "gone")]
    path = tree.jobs.parent / "events.jsonl"
    WRITER.write(path.with_name("events.jsonl.1"), [("old", {})], BASE - 10, 1 << 20)
    WRITER.write(path, events, BASE, 1 << 20)
    words = ["events", "--since", "2000-01-01", "--no-follow", "--json"]
    shown = [json.loads(line) for line in tree.run(*words).stdout.splitlines()]
    assert [event["tag"] for event in shown] == ["old", *(tag for tag, _ in events)]
    assert shown[1] == {"tag": events[0][0], "time": BASE, "data": data | {"jid": jid, "return": True}}
    assert "return" in shown[2]["data"] and "return" not in shown[3]["data"]
    assert "return" not in tree.run(*words, "--no-returns").stdout
    assert tree.run("events", "--since", "1m", "--no-follow").stdout == ""
    assert tree.run("run", "state.event", "count=0").stdout == ""
