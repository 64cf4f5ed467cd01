"""Jobs: a job is a file and its directory is its state. The clock is passed; a crash is a process's end."""

import json
import os
import subprocess
import tracemalloc

import pytest
from crash import crashes
from in_memory import JID, KEYS, Site
from leaves import RETENTION, RETURNS, JobFiles

import saltlite

OTHER = "20261123000000000002"


def ret(value=True, jid=JID, **more):
    return {"cmd": "_return", "jid": jid, "fun": "test.ping", "return": value, "retcode": 0, "success": True} | more


def events(site, jid=JID):
    state, lines = site.lines(jid)
    return state, [line["event"] for line in lines]


def pass_time(site, seconds, steps=4):
    for _ in range(steps):
        site.now += seconds / steps
        site.jobs.flush()
        site.jobs.tick(site.now)


def yesterday(site):
    """A jid that a minion may still call its own: of another day than the site's."""
    return saltlite.jid_of(site.now - 86400)


def files(directory):
    return sorted(name for _, _, names in os.walk(directory) for name in names)


# crashes


def restart(site):
    """A new start of the part that this page is about; keys are not read again, which takes its time."""
    site.tree.prepare(2048)
    site.jobs = saltlite.Jobs(site.tree, site.opts, lambda minion_id: 0.0)
    site.jobs.recover(site.now)


@pytest.mark.parametrize("name", [JID, "by-hand"])
def test_a_request_is_one_job_whatever_the_step_the_master_dies_at(tmp_path, name):
    """Never lost, never two: before, during and after `take_requests`."""
    site = Site(tmp_path)
    site.tree.put_key(saltlite.ACCEPTED, "m", KEYS[0].public.pem)
    site.look()
    new = site.tree.jobs / "new" / name

    def prepare():
        for directory in ("active", "done", "new"):
            for file in files(site.tree.jobs / directory):
                next((site.tree.jobs / directory).rglob(file)).unlink()
        restart(site)
        new.write_text('{"tgt": "*", "fun": "test.ping"}')
        return lambda: site.jobs.take_requests(site.jobs.requests(), site.now)

    for _ in crashes(prepare, "take_requests", "start", "put"):
        assert new.exists() or files(site.tree.jobs / "active"), "the request is lost"
        restart(site)
        site.jobs.take_requests(site.jobs.requests(), site.now)
        assert not files(site.tree.jobs / "new") and not files(site.tree.jobs / "bad")
        assert len(saltlite.names(site.tree.jobs / "active")) == len(site.jobs.active) == 1
        assert {load["jid"] for load in site.jobs.outgoing} == site.jobs.active.keys()


def test_a_return_is_kept_once_whatever_the_step_the_master_dies_at(tmp_path):
    """What was written before the crash, or comes again after it, stands in the file once; the job ends."""
    site = Site(tmp_path)
    site.tree.put_key(saltlite.ACCEPTED, "m", KEYS[0].public.pem)
    site.look()

    def take():
        site.jobs.ret("m", ret("x" * 500), site.now)
        site.jobs.flush()
        site.jobs.tick(site.now)

    def prepare():
        for file in files(site.tree.jobs):
            next(site.tree.jobs.rglob(file)).unlink()
        restart(site)
        site.submit(JID, tgt="*", fun="test.ping")
        return take

    for _ in crashes(
        prepare, "ret", "_take", "_add", "flush", "_write", "append", "write_all", "tick", "end", "make_day", "drop"
    ):
        restart(site)
        take()
        state, lines = site.lines(JID)
        assert state == "done" and [line["event"] for line in lines].count("ret") == 1
        assert lines[-1]["event"] == "end" or lines[-1].get("late")
        assert files(site.tree.jobs) == [f"{JID}.jsonl"]


def test_a_cancelled_job_stays_on_record_whatever_the_step_the_master_dies_at(tmp_path):
    """With what was returned until then, once; and the start after it cancels what the one before could not."""
    site = Site(tmp_path)
    for number, minion_id in enumerate("mn"):
        site.tree.put_key(saltlite.ACCEPTED, minion_id, KEYS[number].public.pem)
    site.look()

    def prepare():
        for file in files(site.tree.jobs):
            next(site.tree.jobs.rglob(file)).unlink()
        restart(site)
        site.submit(JID, tgt="*", fun="test.ping")
        site.jobs.ret("m", ret(), site.now)
        site.jobs.flush()
        site.jobs.path(JID, "active").unlink()
        return lambda: site.jobs.look(site.now)

    for _ in crashes(prepare, "look", "cancel", "_note", "_write", "append", "make_day", "drop"):
        restart(site)
        site.jobs.look(site.now)
        assert site.lines(JID)[0] == "done" and files(site.tree.jobs) == [f"{JID}.jsonl"]
        told = [line["event"] for line in site.lines(JID)[1]]
        assert told[:2] == ["new", "ret"] and set(told[2:]) == {"cancelled"} and not site.jobs.active


@pytest.mark.parametrize("size", [*range(0, 400, 13), -1])
def test_a_file_cut_anywhere_goes_on_or_is_put_aside(site, size):
    site.joined("m")
    site.submit(JID, tgt="*", fun="test.ping")
    whole = site.jobs.path(JID, "active").stat().st_size
    size = whole - 1 if size < 0 else size  # all of it but the line's end
    site.jobs.ret("m", ret("x" * 100), site.now)
    site.jobs.flush()
    os.truncate(site.jobs.path(JID, "active"), size)
    site.start()
    assert (JID in site.jobs.active) == (size >= whole)
    assert (f"{JID}.jsonl" in files(site.tree.jobs / "bad")) == (size < whole)


def test_a_start_takes_the_memory_of_one_line_however_much_was_returned(tmp_path):
    header = {"event": "new", "jid": JID, "minions": [f"m{number}" for number in range(40)], "timeout": 5}
    with open(tmp_path / "job", "w") as file:
        file.write(saltlite.to_json(header) + "\n")
        for minion_id in header["minions"]:
            file.write(saltlite.to_json({"event": "ret", "id": minion_id, "return": "x" * (1 << 20)}) + "\n")
        file.write('{"event": "ret", "id"')
    tracemalloc.start()
    try:
        job, told = RETURNS.recovered(tmp_path / "job", 5.0)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert told == ["new"] + ["ret"] * 40 and job.all_in()
    assert (tmp_path / "job").read_bytes().count(b"\n") == 41 and (tmp_path / "job").read_bytes()[-1:] == b"\n"


@pytest.mark.parametrize(
    "line",
    ["", "5", "null", "[]", "{}", '{"event": "ret"}', '{"event": "ret", "id": []}', "x", "[" * 100_000, "\xff"],
    ids=lambda line: f"{line:.20}" or "empty",
)
def test_an_odd_line_in_an_active_file_stops_no_master(site, line):
    site.joined("m")
    site.submit(JID, tgt="*", fun="test.ping")
    with open(site.jobs.path(JID, "active"), "ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    site.start()
    assert files(site.tree.jobs / "bad") == [f"{JID}.jsonl"] and not site.jobs.active


def test_odd_things_in_the_job_directories_stop_no_master(site):
    for directory in ("new", "active", "done"):
        (site.tree.jobs / directory / "directory").mkdir()
        (site.tree.jobs / directory / "link").symlink_to("/dev/zero")
        os.mkfifo(site.tree.jobs / directory / "fifo")
        (site.tree.jobs / directory / "text").write_text("hello")
        (site.tree.jobs / directory / ".hidden").write_text("hello")
    site.joined("m")
    site.start()
    site.jobs.take_requests(site.jobs.requests(), site.now)
    site.jobs.look(site.now)
    for _ in RETENTION.cleaned(site.tree.jobs, 86400, 1 << 30, site.now):
        pass
    site.submit(JID, tgt="*", fun="test.ping")
    site.jobs.ret("m", ret(), site.now)
    pass_time(site, 1)
    assert events(site) == ("done", ["new", "ret", "end"])
    assert saltlite.names(site.tree.jobs / "new") == saltlite.names(site.tree.jobs / "active") == []


# requests


REFUSED = {
    "nested": ("[" * 200_000, "deeply"),
    "NaN": ('{"tgt": "*", "fun": "a.b", "timeout": NaN}', "timeout"),
    "for ever": ('{"tgt": "*", "fun": "a.b", "timeout": Infinity}', "timeout"),
    "negative": ('{"tgt": "*", "fun": "a.b", "gather_job_timeout": -1}', "gather_job_timeout"),
    "number as target": ('{"tgt": [5], "fun": "a.b", "tgt_type": "compound"}', "tgt"),
    "list as target": ('{"tgt": [["m"]], "fun": "a.b", "tgt_type": "list"}', "tgt"),
    "no nodegroup": ('{"tgt": "x", "fun": "a.b", "tgt_type": "nodegroup"}', "nodegroup"),
    "dunder": ('{"tgt": "*", "fun": "__class__"}', "not a function"),
    "two in one": ('{"tgt": "*", "fun": "test.ping,cmd.run"}', "not a function"),
    "arguments of two": ('{"tgt": "*", "fun": ["a.b", "c.d"], "arg": [1]}', "list of lists"),
    "true": ('{"tgt": "*", "fun": "a.b", "timeout": true}', "timeout"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_that_could_harm_is_put_aside_with_the_reason(site, name):
    site.joined("m")
    text, reason = REFUSED[name]
    (site.tree.jobs / "new" / "request").write_text(text)
    site.jobs.take_requests(site.jobs.requests(), site.now)
    assert reason in (site.tree.jobs / "bad" / "request.why").read_text()
    assert not site.jobs.outgoing and not files(site.tree.jobs / "new")


def test_a_request_with_the_longest_name_does_not_stay(site):
    (site.tree.jobs / "new" / ("x" * 255)).write_text("{")
    site.jobs.take_requests(site.jobs.requests(), site.now)
    assert not files(site.tree.jobs / "new") and files(site.tree.jobs / "bad") == ["x" * 255]


def test_a_jid_is_taken_once(site):
    site.joined("m")
    site.submit(JID, tgt="*", fun="test.ping")
    site.submit(JID, tgt="*", fun="cmd.run", arg=["reboot"])
    assert len(site.jobs.outgoing) == 1 and "taken" in (site.tree.jobs / "bad" / f"{JID}.why").read_text()
    site.jobs.ret("m", ret(), site.now)
    pass_time(site, 1)
    site.submit(JID, tgt="*", fun="cmd.run", arg=["reboot"])
    assert len(site.jobs.outgoing) == 1 and events(site) == ("done", ["new", "ret", "end"])


def test_jids_rise_whatever_the_clock_does(site):
    given = [site.jobs.new_jid(site.now + shift) for shift in (0, 0, 0, -100, 5, 5, -1e6, 5)]
    assert given == sorted(set(given)) and all(saltlite.JID.fullmatch(jid) for jid in given)


def test_a_target_that_matches_nobody_is_finished_at_once_and_not_published(site):
    site.joined("m")
    site.submit(JID, tgt="nobody", fun="test.ping")
    assert events(site) == ("done", ["new", "end"]) and not site.jobs.outgoing


def test_kwargs_travel_as_salt_sends_them(site):
    site.joined("m")
    site.submit(JID, tgt="*", fun="cmd.run", arg=["ls"], kwarg={"cwd": "/"}, metadata={"a": 1})
    load = site.jobs.outgoing[0]
    assert load["arg"] == ["ls", {"__kwarg__": True, "cwd": "/"}] and load["metadata"] == {"a": 1}


def test_nodegroups_are_expanded_before_publishing(tmp_path):
    site = Site(tmp_path, nodegroups={"web": "L@m,n"})
    site.joined("m")
    site.submit(JID, tgt="web", tgt_type="nodegroup", fun="test.ping")
    load = site.jobs.outgoing[0]
    assert load["tgt_type"] == "compound" and "L@m,n" in str(load["tgt"]) and site.lines(JID)[1][0]["minions"] == ["m"]


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can give files away")
@pytest.mark.parametrize(
    "acl, fun, allowed",
    [
        ({}, "test.ping", False),
        ({"daemon": ["test.*"]}, "test.ping", True),
        ({"daemon": ["test.*"]}, "cmd.run", False),
        ({"daemon": ["test.*"]}, ["test.ping", "cmd.run"], False),
        ({"daemon": "test.*"}, "test.ping", True),
        ({"daemon": []}, "test.ping", False),
        ({"bin": ["*"]}, "test.ping", False),
        ({"daemon": ["*"]}, ["test.ping", "cmd.run"], True),
        ({"daemon": [r"test\.ping$"]}, "test.ping", True),
        ({"daemon": [r"test\.ping$"]}, "test.ping_", False),
        ({"daemon": ["test.ping"]}, "test.ping_", True),  # as in Salt: an expression fits the beginning
        ({"daemon": ["st"]}, "test.ping", False),
        ({"daemon": [".*"]}, ["test.ping", "cmd.run"], True),
        ({"dae*": ["test.*"]}, "test.ping", True),
        ({"dae": ["test.*"]}, "test.ping", False),
        ({"root|dae.*n": ["test.*"]}, "test.ping", True),
        ({".*": ["test.ping"], "daemon": ["cmd.run"]}, ["test.ping", "cmd.run"], True),
        ({"%daemon": ["test.*"]}, "test.ping", True),
        ({"daemon%": ["test.*"]}, "test.ping", True),
        ({"%nosuchgroup": ["test.*"]}, "test.ping", False),
        ({"daemon": [{"m*": ["test.*"]}]}, "test.ping", False),  # there is n too
        ({"daemon": [{"m* or n": ["test.*"]}]}, "test.ping", True),
        ({"daemon": [{"*": ["test.*"]}]}, "test.ping", True),
        ({"daemon": [{"*": "test.*"}, "cmd.run"]}, ["test.ping", "cmd.run"], True),
        ({"daemon": [{"*": ["test.*"]}]}, "cmd.run", False),
        ({"daemon": [{"L@m,n": ["test.*"]}]}, "test.ping", True),
        ({"daemon": [{"G@os:Debian": ["test.*"]}]}, "test.ping", False),  # nobody has said what it is
        ({"daemon": [{"not G@os:Debian": ["test.*"]}]}, "test.ping", False),
    ],
)
def test_the_owner_of_a_request_decides_what_it_may(tmp_path, acl, fun, allowed):
    """publisher_acl, on the file's owner; what the file says of its user counts for root only."""
    site = Site(tmp_path, publisher_acl=acl)
    site.joined("m")
    site.joined("n")
    arg = [[], []] if isinstance(fun, list) else []
    path = site.tree.jobs / "new" / JID
    path.write_text(json.dumps({"tgt": "*", "fun": fun, "arg": arg, "user": "root"}))
    os.chown(path, 1, 1)  # daemon
    site.jobs.take_requests(site.jobs.requests(), site.now)
    assert [load["user"] for load in site.jobs.outgoing] == (["daemon"] if allowed else [])


@pytest.mark.parametrize("owner", [0, 1])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_bytes_of_a_request_of_others_than_root(tmp_path, owner, more):
    """Whoever may write into jobs/new could have the master read 16 MB of small parts, which takes it a second."""
    site = Site(tmp_path, publisher_acl={"daemon": [".*"]})
    site.joined("m")
    path, text = site.tree.jobs / "new" / JID, json.dumps({"tgt": "*", "fun": "test.ping"})
    path.write_text(text + " " * (saltlite.MAX_USERS + more - len(text)))
    os.chown(path, owner, owner)
    site.jobs.take_requests(site.jobs.requests(), site.now)
    assert bool(site.jobs.outgoing) == (owner == 0 or more <= 0)


def test_a_directory_of_another_user_is_in_nobodys_way(tmp_path, monkeypatch):
    """Who is not root cannot move it out of jobs/new; it would be refused at each look, before all that sort behind."""
    site = Site(tmp_path)
    site.joined("m")
    new = site.tree.jobs / "new"
    (new / "0").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    (new / JID).write_text(json.dumps({"tgt": "*", "fun": "test.ping"}))
    assert site.jobs.requests() == [JID]
    site.jobs.take_requests(site.jobs.requests(), site.now)
    assert [load["jid"] for load in site.jobs.outgoing] == [JID] and os.listdir(new) == ["0"]


def of_daemon(site, **request):
    """What becomes of a request of the user daemon: '' if it is published, else why not."""
    path = site.tree.jobs / "new" / JID
    path.write_text(json.dumps({"tgt": "*", "fun": "test.ping"} | request))
    os.chown(path, 1, 1)
    site.jobs.take_requests(site.jobs.requests(), site.now)
    why = site.tree.jobs / "bad" / f"{JID}.why"
    return why.read_text().strip() if why.exists() else ""


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can give files away")
@pytest.mark.parametrize(
    "tgt, tgt_type, allowed",
    [
        ("web1", "glob", True),
        ("web*", "glob", False),
        ("web9", "glob", False),
        ("*", "glob", False),
        ("web1,web2", "list", True),
        ("web1,db1", "list", False),
        ("web[12]", "pcre", True),
        ("nobody", "glob", True),
        ("web1 or web2", "compound", True),
        ("web1 and G@os:Debian", "compound", True),
        ("os:Debian", "grain", False),  # a grain may be another now
        ("ab", "nodegroup", True),
        ("all", "nodegroup", False),
    ],
)
def test_a_rule_with_a_target_allows_what_surely_reaches_no_other(tmp_path, tgt, tgt_type, allowed):
    groups = {"ab": "L@web1,web2", "all": "web* or db*"}
    site = Site(tmp_path, publisher_acl={"daemon": [{"web* and not web9": ["test.*"]}]}, nodegroups=groups)
    for minion_id in ("web1", "web2", "web9", "db1"):
        site.joined(minion_id)
        site.tree.data.put(minion_id, "grains", {"os": "Debian" if minion_id == "web1" else "SUSE"})
    why = of_daemon(site, tgt=tgt, tgt_type=tgt_type)
    assert why == (
        ""
        if allowed
        else "its owner daemon may not publish test.ping there; name minions by their ids; see publisher_acl."
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can give files away")
@pytest.mark.parametrize(
    "conditions, request_, allowed",
    [
        ({"args": ["up"]}, {"arg": ["uptime"]}, True),
        ({"args": ["up"]}, {"arg": ["rm"]}, False),
        ({"args": ["up"]}, {}, False),
        ({"args": ["up$"]}, {"arg": ["uptime"]}, False),
        ({"args": [None, "b"]}, {"arg": ["x", "b"]}, True),
        ({"args": [None, "b"]}, {"arg": ["x"]}, False),
        ({"args": ["1"]}, {"arg": [1]}, True),
        ({"kwargs": {"cwd": "/tmp"}}, {"arg": ["x"], "kwarg": {"cwd": "/tmp"}}, True),
        ({"kwargs": {"cwd": "/tmp"}}, {"arg": ["x", {"__kwarg__": True, "cwd": "/tmp"}]}, True),
        ({"kwargs": {"cwd": "/tmp"}}, {"arg": ["x"], "kwarg": {"cwd": "/"}}, False),
        ({"kwargs": {"cwd": "/tmp"}}, {"arg": ["x"]}, False),
        ({"kwargs": {"cwd": None}}, {"arg": ["x"], "kwarg": {"cwd": "/"}}, True),
        ({"args": [".*"]}, {"arg": ["x", "cwd=/"]}, False),  # which a minion may take for a keyword
        ([{"args": ["a"]}, {"args": ["b"]}], {"arg": ["b"]}, True),
        ({"args": [".*"]}, {"arg": ["x" * 1023]}, True),
        ({"args": [".*"]}, {"arg": ["x" * 1024]}, True),
        ({"args": [".*"]}, {"arg": ["x" * 1025]}, False),
        ({"args": ["a*a*a*b"]}, {"arg": ["a" * 1024]}, False),  # beyond the budget of steps
        ({"args": ["a"]}, {"fun": ["cmd.run"], "arg": [["a"]]}, True),
        ({"args": ["a"]}, {"fun": ["cmd.run"], "arg": ["a"]}, False),
        ({"args": ["a"]}, {"fun": ["cmd.run"], "arg": [["a"]], "kwarg": {"b": 1}}, False),
    ],
)
def test_a_rule_may_want_arguments(tmp_path, conditions, request_, allowed):
    site = Site(tmp_path, publisher_acl={"daemon": [{"*": [{"cmd.run": conditions}]}]})
    site.joined("m")
    why = of_daemon(site, **{"fun": "cmd.run"} | request_)
    assert why == (
        "" if allowed else "its owner daemon may not publish cmd.run with these arguments; see publisher_acl."
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can give files away")
@pytest.mark.parametrize(
    "black, said",
    [
        ({"users": ["daemon"]}, "daemon may publish nothing"),
        ({"users": ["d*"]}, "daemon may publish nothing"),
        ({"users": [r"^(?!root$).*$"]}, "daemon may publish nothing"),
        ({"users": ["root"], "modules": ["cmd.*"]}, ""),
        ({"modules": ["test.*"]}, "nobody may publish test.ping"),
        ({"modules": "test.ping"}, "nobody may publish test.ping"),
        ({"modules": ["test"], "users": None}, ""),
    ],
)
def test_the_blacklist_wins(tmp_path, black, said):
    site = Site(tmp_path, publisher_acl={"daemon": [".*"]}, publisher_acl_blacklist=black)
    site.joined("m")
    why = of_daemon(site)
    assert why == (f"{said}; see publisher_acl_blacklist." if said else "")


def test_the_blacklist_counts_for_root_too(tmp_path):
    site = Site(tmp_path, publisher_acl_blacklist={"users": ["sudo_fred"], "modules": ["cmd.*"]})
    site.joined("m")
    site.submit(JID, tgt="*", fun="test.ping", user="sudo_fred")
    site.submit(JID[:-1] + "9", tgt="*", fun="cmd.run", user="root")
    assert site.jobs.outgoing == []
    site.submit(JID[:-1] + "8", tgt="*", fun="test.ping", user="sudo_jane")
    assert [load["user"] for load in site.jobs.outgoing] == ["sudo_jane"]


def test_a_request_with_a_second_name_is_refused(site):
    path = site.tree.jobs / "new" / JID
    (site.path / "elsewhere").write_text('{"tgt": "*", "fun": "test.ping"}')
    os.link(site.path / "elsewhere", path)
    site.jobs.take_requests(site.jobs.requests(), site.now)
    assert not site.jobs.outgoing and not path.exists()


# returns


def test_a_return_is_acknowledged_only_when_it_is_on_disk(site):
    minion = site.joined("m")
    site.submit(JID, tgt="*", fun="test.ping")
    reply = site.master.receive(b"e", minion.request(ret(), site.now), site.now)
    assert reply.jid == JID and events(site)[1] == ["new"]
    again = site.master.receive(b"e", minion.request(ret(), site.now), site.now)
    assert again.jid == JID, "a repeat waits for the same write"
    site.jobs.flush()
    assert events(site)[1] == ["new", "ret"]
    assert site.master.receive(b"e", minion.request(ret("other"), site.now), site.now).jid == ""
    site.jobs.flush()
    assert events(site)[1] == ["new", "ret"]


@pytest.mark.parametrize(
    "value",
    [None, "", b"\xff\xfe", {b"\xff": b"\xfe"}, {1: 2}, 2**70, [[]] * 100, "\u2028\x1b[0m\n", float("nan")],
    ids=repr,
)
def test_whatever_a_function_gives_is_one_line_in_the_file(site, value):
    minion = site.joined("m")
    site.submit(JID, tgt="*", fun="test.ping")
    assert site.ask(minion, ret(value)) is None
    pass_time(site, 1)
    assert events(site) == ("done", ["new", "ret", "end"])


@pytest.mark.parametrize("field", ["fun", "retcode", "success", "out", "fun_args"])
def test_odd_fields_of_a_return_harm_nothing(site, field):
    minion = site.joined("m")
    for number, value in enumerate([None, [], {}, {"a": []}, "x", b"\xff", -1]):
        jid = f"{int(JID) + number}"
        site.submit(jid, tgt="*", fun="test.ping")
        for name in (jid, "req", f"{jid}_5"):
            site.ask(minion, ret(jid=name) | {field: value})
        pass_time(site, 1)
        assert events(site, jid) == ("done", ["new", "ret", "end"]), value


def test_a_return_with_an_odd_jid_is_stored_nowhere(site):
    minion = site.joined("m")
    before = files(site.tree.jobs)
    odd = ["../../x", "/etc/passwd", "1" * 19, "1" * 21, "1" * 20 + "\n", "_1", "-1", "", None, [], {"a": 1}, 5]
    odd += ["\u0661" * 20, "\uff11" * 20, "1" * 20 + "_", "1" * 20 + "_x", "1" * 20 + "/../x"]
    for jid in odd:
        assert site.ask(minion, ret(jid=jid)) is None
    assert files(site.tree.jobs) == before


def test_what_a_minion_runs_by_itself_is_kept_under_its_own_name_only(site):
    m, n = site.joined("m", 0), site.joined("n", 1)
    own = yesterday(site)
    for minion in (m, n):
        site.ask(minion, ret("mine", jid=own))
        site.ask(minion, ret("again", jid=own))
        site.ask(minion, ret(jid="req"))
    kept = [name for name in files(site.tree.jobs / "done") if name.startswith(own)]
    assert kept == [f"{own}.m.jsonl", f"{own}.n.jsonl"]
    assert len(files(site.tree.jobs / "done")) == 4
    lines = (site.tree.jobs / "done" / own[:8] / kept[0]).read_text()
    assert '"mine"' in lines and '"again"' not in lines and '"user": "minion:m"' in lines


@pytest.mark.parametrize("fun", ["x.y", ["x.y", "x.z"], [], 5, None, {"a": 1}, ["x.y", 5], [["x"]], b"\xff"], ids=repr)
@pytest.mark.parametrize("arg", [[1], 5, None, {"a": 1}, "text"], ids=repr)
def test_the_first_line_of_a_minions_own_job_has_what_a_job_has(site, fun, arg):
    """Every command that lists jobs reads it, and would stop at another form."""
    site.jobs.ret("m", ret(jid="req", fun=fun, fun_args=arg), site.now)
    (job,) = JobFiles(site.tree.jobs).newest(own=True)
    header = JobFiles(site.tree.jobs).header(job)
    good = fun if isinstance(fun, str) or fun in (["x.y", "x.z"], []) else ""
    assert (header["fun"], header["arg"]) == (good, arg if isinstance(arg, list) else [arg])


def test_the_longest_id_can_return_too(site):
    site.jobs.ret("a" * 253, ret(jid="req"), site.now)
    assert len(files(site.tree.jobs / "done")) == 1


def test_a_minion_may_keep_ten_thousand_jobs_of_its_own_a_day(site):
    site.jobs.ret("m", ret(jid="req"), site.now)
    day = site.tree.jobs / "done" / saltlite.jid_of(site.now)[:8]
    own = yesterday(site)
    for _ in range(10_004):
        site.jobs.ret("m", ret(jid=own), site.now)  # the same file, so that this is quick
    site.jobs.ret("m", ret(jid="req"), site.now)
    assert len(files(day)) == 1, "the quota is used up"
    site.jobs.ret("n", ret(jid="req"), site.now)
    assert len(files(day)) == 2, "but it is each minion's own"
    site.jobs.ret("m", ret(jid="req"), site.now + 86400)
    assert len(files(site.tree.jobs / "done" / saltlite.jid_of(site.now + 86400)[:8])) == 1


@pytest.mark.parametrize(
    "tgt, tgt_type", [("os:Debian", "grain"), ("G@os:Debian", "compound"), ("os:D.*", "grain_pcre")]
)
def test_known_grains_say_who_may_return_for_a_job_by_grains(site, tgt, tgt_type):
    """Of m and n the grains are known, of new they are not."""
    m, n, new = (site.joined(name, key) for key, name in enumerate(["m", "n", "new"]))
    site.tree.data.put("m", "grains", {"os": "Debian"})
    site.tree.data.put("n", "grains", {"os": "Suse"})
    site.submit(JID, tgt=tgt, tgt_type=tgt_type, fun="test.ping")
    for minion in (n, m, new):
        site.ask(minion, ret())
    pass_time(site, 1)
    assert {line["id"] for line in site.lines(JID)[1] if line.get("kind", "ret") == "ret" and "id" in line} == {
        "m",
        "new",
    }
    before = site.lines(JID)
    site.ask(n, ret("late"))
    assert site.lines(JID) == before


def test_a_minion_that_was_not_asked_cannot_answer_late_either(site):
    m, n = site.joined("m", 0), site.joined("n", 1)
    site.submit(JID, tgt="m", fun="test.ping")
    site.ask(m, ret())
    pass_time(site, 1)
    before = site.lines(JID)
    site.ask(n, ret("lie"))
    site.ask(m, ret("changed"))
    site.start()  # nor when the master has forgotten who answered
    site.ask(n, ret("lie"))
    site.ask(m, ret("changed"))
    assert site.lines(JID) == before


def test_who_has_returned_to_a_forgotten_job_is_found_whatever_was_returned(tmp_path):
    """A line may lie on any border of the pieces that are read; what looks like one within a return is none."""
    lie = {"event": "ret", "id": "web9", "text": '\n{"event": "ret", "id": "web8"'}
    longest = "a" + "b." * 125 + "c"
    for size in (0, 1, RETURNS.PIECE - 90, RETURNS.PIECE - 60, RETURNS.PIECE - 30, RETURNS.PIECE, 2 * RETURNS.PIECE):
        lines = [{"event": "new", "minions": ["web7"], "arg": [lie]}]
        for name, value in (("m", [lie, "x" * size]), (longest, [lie]), ("n", ["y" * 300, lie])):
            lines.append(saltlite.return_line(name, {"return": value, "retcode": 0}, 1.0))
        lines.append({"event": "silent", "id": "web6"})
        (tmp_path / "job").write_text("".join(saltlite.to_json(line) + "\n" for line in lines))
        found = set()
        assert len(list(RETURNS.returned(tmp_path / "job", found))) == -(
            -os.stat(tmp_path / "job").st_size // RETURNS.PIECE
        )
        assert found == {"m", longest, "n"}


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_large_job_is_read_in_steps_for_a_late_return(site, monkeypatch, more):
    """Its file may have the returns of ten thousand; and each counts once, whoever else comes meanwhile."""
    minions = [site.joined(name, key) for key, name in enumerate("mno")]
    site.submit(JID, tgt="*", fun="test.ping")
    site.ask(minions[2], ret("x" * 1000))
    while JID in site.jobs.active:
        site.now += 1
        site.jobs.tick(site.now)
        site.jobs.flush()
    monkeypatch.setattr(RETURNS, "PIECE", os.stat(site.jobs.path(JID, "done")).st_size - more)
    monkeypatch.setattr(RETURNS, "PIECES_AT_ONCE", 1)
    site.start()
    replies = []
    for number, minion in enumerate([*minions, minions[0]]):
        site.now += 1
        replies.append(site.master.receive(number, minion.request(ret("late"), site.now), site.now))
    assert len(site.master.under_way) == (4 if replies[0] is None else 0) and (replies[0] is None) == (more > 0)
    while site.master.under_way:
        replies += site.master.go_on(site.now)
    assert sorted(reply.envelope for reply in replies if reply) == [0, 1, 2, 3]
    assert [line["id"] for line in site.lines(JID)[1] if line["event"] == "ret"] == ["o", "m", "n"]


@pytest.mark.parametrize("size", [1, RETURNS.PIECE - 1, RETURNS.PIECE, RETURNS.PIECE + 1, 2 * RETURNS.PIECE])
def test_a_late_return_stands_on_a_line_of_its_own_after_a_crash(site, size):
    m, n = site.joined("m"), site.joined("n", 1)
    site.submit(JID, tgt="*", fun="test.ping")
    site.ask(n, ret())
    while JID in site.jobs.active:
        site.now += 1
        site.jobs.tick(site.now)
        site.jobs.flush()
    path = site.jobs.path(JID, "done")
    before = path.read_bytes()
    with path.open("ab") as file:
        file.write((b'{"event": "ret", "id": "m", ' + b"x" * size)[:size])
    site.start()
    site.ask(m, ret("late"))
    assert path.read_bytes().startswith(before + b'{"event": "ret", "id": "m"')
    assert [line["id"] for line in site.lines(JID)[1] if line["event"] == "ret"] == ["n", "m"]


@pytest.mark.parametrize("content", ["", "\n", "[1]\n", '{"event": "new"}\n', "edited"])
def test_a_late_return_to_a_file_that_is_no_job_any_more_is_kept_and_acknowledged(site, content):
    """Else the minion would send it for ever, and nothing else."""
    m, n, jid = site.joined("m"), site.joined("n", 1), yesterday(site)
    site.submit(jid, tgt="*", fun="test.ping")
    site.ask(n, ret(jid=jid))
    while jid in site.jobs.active:
        site.now += 1
        site.jobs.tick(site.now)
        site.jobs.flush()
    (path := site.jobs.path(jid, "done")).write_text(content)
    assert site.ask(m, ret("late", jid)) is None
    assert path.read_text() == content
    header, line = map(json.loads, path.with_suffix(".m.jsonl").read_text().splitlines())
    assert header["user"] == "minion:m" and line["return"] == "late"


def test_a_minion_that_joined_later_may_answer_what_was_meant_for_it(site):
    m, n = site.joined("m", 0), site.joined("n", 1)
    site.tree.put_key(saltlite.ACCEPTED, "late", KEYS[2].public.pem)
    site.submit(JID, tgt="m,late", tgt_type="list", fun="test.ping")
    site.ask(site.joined("late", 2), ret())
    site.ask(n, ret())
    site.ask(m, ret())
    pass_time(site, 1)
    assert [line["id"] for line in site.lines(JID)[1] if line["event"] == "ret"] == ["late", "m"]


@pytest.mark.parametrize(
    "retcode, success, failed",
    [(0, True, 0), (1, True, 1), (0, False, 1), ({"a.b": 0, "c.d": 0}, {"a.b": True, "c.d": True}, 0),
     ({"a.b": 0, "c.d": 2}, {"a.b": True, "c.d": True}, 1), (0, {"a.b": False}, 1), (None, None, 0)],
)  # fmt: skip
def test_the_end_counts_what_failed(site, retcode, success, failed):
    minion = site.joined("m")
    site.submit(JID, tgt="*", fun="test.ping")
    site.ask(minion, ret(retcode=retcode, success=success))
    pass_time(site, 1)
    assert site.lines(JID)[1][-1] | {"seconds": 0, "time": 0} == {
        "event": "end", "returned": 1, "failed": failed, "silent": 0, "seconds": 0, "time": 0,
    }  # fmt: skip


# silence


def probe(site):
    """Let the job's timeout pass; the find_job that is published then."""
    site.jobs.outgoing.clear()
    pass_time(site, 6, 1)
    (load,) = site.jobs.outgoing
    assert load["fun"] == "saltutil.find_job" and load["arg"] == [JID]
    return load


def test_a_running_job_is_waited_for_as_long_as_it_runs_and_said_once(site):
    minion = site.joined("m")
    site.submit(JID, tgt="*", fun="test.sleep", arg=[3600])
    for _ in range(5):
        jid = probe(site)["jid"]
        site.ask(minion, ret({"jid": JID, "pid": 5}, jid=jid))
        site.jobs.tick(site.now)
    assert events(site) == ("active", ["new", "running"])
    site.jobs.outgoing.clear()
    site.ask(minion, ret())
    pass_time(site, 1)
    assert events(site) == ("done", ["new", "running", "ret", "end"])


def test_a_minion_that_stops_running_without_a_return_is_silent_at_last(site):
    minion = site.joined("m")
    site.submit(JID, tgt="*", fun="test.sleep")
    site.ask(minion, ret({"jid": JID}, jid=probe(site)["jid"]))
    site.jobs.tick(site.now)
    site.ask(minion, ret({}, jid=probe(site)["jid"]))
    site.jobs.tick(site.now)
    assert events(site) == ("done", ["new", "running", "silent", "end"])
    assert site.lines(JID)[1][2]["answered"] is True


def test_who_does_not_answer_find_job_is_silent_after_its_timeout(site):
    site.joined("m")
    site.submit(JID, tgt="*", fun="test.ping", timeout=5, gather_job_timeout=10)
    probe(site)
    pass_time(site, 9.9)
    assert events(site)[0] == "active"
    pass_time(site, 1)
    state, lines = site.lines(JID)
    assert state == "done" and lines[1]["event"] == "silent" and lines[1]["answered"] is False


def test_a_return_during_the_question_counts(site):
    m, n = site.joined("m", 0), site.joined("n", 1)
    site.submit(JID, tgt="*", fun="test.ping")
    jid = probe(site)["jid"]
    site.ask(m, ret())
    site.ask(m, ret({}, jid=jid))
    site.ask(n, ret({}, jid=jid))
    site.ask(n, ret())
    site.jobs.tick(site.now)
    assert events(site) == ("done", ["new", "ret", "ret", "end"])
    assert site.lines(JID)[1][-1]["silent"] == 0


def test_nobody_can_answer_find_job_for_another(site):
    site.joined("m", 0)
    n = site.joined("n", 1)
    site.submit(JID, tgt="m", fun="test.ping")
    jid = probe(site)["jid"]
    site.ask(n, ret({"jid": JID}, jid=jid))
    pass_time(site, 11)
    assert events(site) == ("done", ["new", "silent", "end"])


@pytest.mark.parametrize("away", [False, True], ids=["removed", "moved"])
def test_a_cancelled_job_publishes_kill_job_once_and_asks_nobody(site, away):
    minion = site.joined("m")
    site.submit(JID, tgt="*", fun="test.sleep")
    probe(site)
    site.jobs.outgoing.clear()
    path = site.jobs.path(JID, "active")
    os.rename(path, site.path / "kept") if away else os.unlink(path)
    for _ in range(3):
        site.jobs.look(site.now)
    assert [load["fun"] for load in site.jobs.outgoing] == ["saltutil.kill_job"]
    site.jobs.outgoing.clear()
    pass_time(site, 60)
    assert not site.jobs.outgoing and not site.jobs.active and site.jobs.deadline() is None
    site.ask(minion, ret())
    assert not path.exists()


def test_a_return_that_comes_while_the_file_is_taken_away_is_in_the_record(site):
    minion = site.joined("m")
    site.submit(JID, tgt="*", fun="test.sleep")
    os.unlink(site.jobs.path(JID, "active"))
    site.ask(minion, ret())
    site.jobs.look(site.now)
    pass_time(site, 1)
    assert events(site) == ("done", ["new", "ret", "cancelled"])


def test_memory_of_finished_jobs_is_bounded(site, monkeypatch):
    monkeypatch.setattr(saltlite, "REMEMBERED", 20)
    site.tree.put_key(saltlite.ACCEPTED, "m", KEYS[0].public.pem)
    site.look()
    for number in range(2 * 20):
        site.submit(f"20261123{number:012}", tgt="*", fun="test.ping")
        site.jobs.outgoing.clear()
        site.jobs.ret("m", ret(jid=f"20261123{number:012}"), site.now)
        site.jobs.flush()
        site.jobs.tick(site.now)
    assert len(site.jobs.late.ended) <= 20 and not site.jobs.active and not site.jobs.probes


# a full disk


@pytest.fixture
def small(tmp_path):
    """A Site whose cache is a file system of 1 MiB."""
    (tmp_path / "var").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path / "var")]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("NOT TESTED: mounting a small file system needs root; the limit in test_protocol stands in for it")
    try:
        yield Site(tmp_path, keep_free=0)
    finally:
        subprocess.run(["umount", str(tmp_path / "var")], check=True)


def fill(path):
    with pytest.raises(OSError), open(path, "wb", buffering=0) as file:
        for size in (4096, 1):
            while True:
                file.write(b"x" * size)


def test_a_full_disk_loses_no_return_and_the_master_goes_on(small):
    site, ballast = small, small.path / "var" / "ballast"
    minion = site.joined("m")
    site.submit(JID, tgt="*", fun="test.ping")
    fill(ballast)
    before = site.lines(JID)
    reply = site.master.receive(b"e", minion.request(ret("x" * 9000), site.now), site.now)
    assert site.jobs.flush() == {reply.jid} == {JID}, "not acknowledged"
    assert site.lines(JID) == before
    pass_time(site, 1)
    assert site.ask(minion, {"cmd": "_rekey"})["aes"] == site.shared.aes
    (site.tree.jobs / "new" / OTHER).touch()
    site.jobs.take_requests(site.jobs.requests(), site.now)
    os.unlink(ballast)
    site.ask(minion, ret("x" * 9000))
    pass_time(site, 10)
    assert events(site)[0] == "done" and events(site)[1].count("ret") == 1


def test_on_a_full_disk_nobody_is_half_accepted(small):
    site, ballast = small, small.path / "var" / "ballast"
    site.tree.put_key(saltlite.ACCEPTED, "m", KEYS[0].public.pem)
    site.look()
    minion = site.minion("m")
    fill(ballast)
    reply = site.master.receive("m", minion.auth_request(), site.now)
    assert reply.data == saltlite.BAD_LOAD and files(site.tree.cache / "sessions") == []
    os.unlink(ballast)
    assert site.auth(minion) == saltlite.GOT_CREDENTIALS
