"""Large requests: opened in a process of their own, with the same result as those that are opened at once."""

from __future__ import annotations

import logging
import os
import time

import pytest
from in_memory import JID, KEYS, Site
from leaves import APART, RETURNS, ZEROMQ

import saltlite

LOAD = {"cmd": "_return", "jid": JID, "fun": "test.arg", "retcode": 0, "success": True}


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def submit(site):
    site.submit(JID, tgt="*", fun="test.arg")


def finished(site):
    """All replies to what is under way."""
    replies = []
    while site.master.under_way:
        time.sleep(site.master.pause)
        replies += site.master.go_on(site.now)
    return replies


def returned(site):
    return [line for line in site.lines(JID)[1] if line["event"] == "ret"]


def request_of(minion, site, size):
    """A return whose box has this many bytes, which must be a multiple of 16."""
    text = "x" * (size - 16)
    for _ in range(3):
        box = saltlite.unpack_envelope(request := minion.request(LOAD | {"return": text}, site.now))["load"]
        text = text[: len(text) + size - len(box)]
    assert len(box) == size
    return request


VALUES = [
    "x" * 200_000,
    "\u20ac\n\x00'\"\U0001f600" * 30_000,
    [{"a": None, "b": [True, 1.5, -(2**63)]}] * 20_000,
    [b"\xff\xfe"] * 20_000,
    {1: {b"\xff": "k"}, "s": {str(number): number for number in range(50_000)}},
    {"retcode": 7, "long": ["\u00e4" * 40] * 5_000},
]


RETCODES = [0, 3, {"f": 1}, 0, "x" * 100_000, 0]


@pytest.mark.parametrize("value, retcode", list(zip(VALUES, RETCODES, strict=True)), ids=range(len(VALUES)))
def test_the_line_of_a_large_return_is_the_one_that_is_made_at_once(tmp_path, monkeypatch, value, retcode):
    load = LOAD | {"return": value, "retcode": retcode, "fun_args": ["a", {"b": 1}], "out": "nested"}
    found, job = [], []
    for apart in (True, False):
        site = Site(tmp_path / str(apart))
        minion = site.joined("m")
        submit(site)
        site.master.events.clear()
        site.jobs.events.clear()
        if not apart:
            monkeypatch.setattr(saltlite, "LARGE", 1 << 30)
            monkeypatch.setattr(saltlite, "MANY", 1 << 30)
        reply = site.master.receive(b"e", minion.request(load, 1000.0), 1000.0)
        assert (reply is None) == apart
        if apart:
            site.now = 1000.0
            (reply,) = finished(site)
        assert minion.reply(reply.data) is None and site.jobs.flush() == set()
        found.append((returned(site), site.jobs.events, site.peers.taken[-1].split()[0]))
        job.append({name: getattr(site.jobs.active[JID], name) for name in ("parts", "failed", "counts")})
    assert found[0] == found[1] and job[0] == job[1]
    (line,) = found[0][0]
    assert line["return"] == saltlite.from_json(saltlite.to_json(saltlite.unpack(saltlite.pack(value))))


@pytest.mark.parametrize("more, later", [(-16, False), (0, False), (16, True)])
def test_bytes_of_a_request_that_is_opened_at_once(site, more, later):
    minion = site.joined("m")
    submit(site)
    reply = site.master.receive(b"e", request_of(minion, site, saltlite.LARGE + more), site.now)
    assert (reply is None) == later and len(finished(site)) == later
    site.jobs.flush()
    assert len(returned(site)) == 1


@pytest.mark.parametrize("more, later", [(-1, False), (0, False), (1, True)])
def test_parts_of_a_request_that_is_opened_at_once(site, more, later):
    data = b"\x91" * (saltlite.MANY + more) + b"\x7f" * 1000
    assert saltlite.has_many_parts(data) == later
    minion = site.joined("m")
    submit(site)
    few = saltlite.pack(LOAD | {"return": [], "id": "m", "nonce": "0" * 32, "tok": b"", "ts": 1})
    heads = len(few) - len(few.translate(None, saltlite.HIGH))
    request = minion.request(LOAD | {"return": [[]] * (saltlite.MANY - heads - 600)}, site.now)
    assert site.master.receive(b"e", request, site.now) is not None
    request = minion.request(LOAD | {"return": [[]] * (saltlite.MANY + 1)}, site.now)
    assert site.master.receive(b"e", request, site.now) is None and len(finished(site)) == 1


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_large_requests_of_one_minion_that_wait(site, monkeypatch, more):
    monkeypatch.setattr(saltlite, "MAX_OPENING", most := 6)
    minion, other = site.joined("m"), site.joined("other", 1)
    submit(site)
    large = LOAD | {"return": "x" * 200_000}
    for number in range(most + more):
        assert site.master.receive(number, minion.request(large, site.now), site.now) is None
    assert site.master.receive("other", other.request(large, site.now), site.now) is None
    assert 200_000 * (min(most, most + more) + 1) < site.master.kept < 201_000 * (most + 1)
    replies = finished(site)
    assert {reply.envelope for reply in replies} == {*range(min(most, most + more)), "other"}
    assert site.master.kept == 0 and not APART.RUNNING
    site.jobs.flush()
    assert sorted(line["id"] for line in returned(site)) == ["m", "other"]


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_bytes_of_large_requests_that_wait(site, monkeypatch, more):
    """Until a return is written: it may have been opened long before."""
    minion = site.joined("m")
    submit(site)
    requests = [minion.request(LOAD | {"return": "x" * 200_000}, site.now) for _ in range(2)]
    size = sum(len(saltlite.unpack_envelope(request)["load"]) for request in requests)
    monkeypatch.setattr(saltlite, "OPENING_BYTES", size - more)
    assert [site.master.receive(number, request, site.now) for number, request in enumerate(requests)] == [None, None]
    assert site.master.kept == (size if more < 1 else size // 2)
    while not APART.SYNCING:
        time.sleep(site.master.pause)
        site.master.go_on(site.now)
        assert site.master.kept >= 200_000
    assert len(finished(site)) == (2 if more < 1 else 1) and site.master.kept == 0


def test_what_its_key_did_not_seal_costs_no_process(site, monkeypatch):
    minion = site.joined("m")
    monkeypatch.setattr(os, "fork", None)
    request = bytearray(minion.request(LOAD | {"return": "x" * (9 << 20)}, site.now))
    request[5_000_000] ^= 1
    assert site.master.receive(b"e", bytes(request), site.now) is None
    (reply,) = finished(site)
    assert reply.data == saltlite.BAD_LOAD and site.master.counted["bad load"] == 1 and site.master.kept == 0


@pytest.mark.parametrize("more", [b"", b"x"])
def test_a_large_request_that_can_be_no_box_is_answered_too(site, more):
    """One whose length is none that a box has is refused in the first step."""
    message = saltlite.unpack_envelope(
        site.joined("m").request(LOAD | {"return": "x" * 200_000}, site.now), "enc", "id"
    )
    request = saltlite.pack(message | {"load": bytes(len(message["load"])) + more})
    reply = site.master.receive("e", request, site.now)
    assert (reply is None) == (more == b"")
    assert [each.data for each in [*([reply] if reply else []), *finished(site)]] == [saltlite.BAD_LOAD]
    assert site.master.counted["bad load"] == 1


def test_a_large_return_is_taken_once(site, monkeypatch):
    """And costs processes once: one opens it, one has the disk keep it."""
    minion = site.joined("m")
    submit(site)
    fork, forks = os.fork, []
    monkeypatch.setattr(os, "fork", lambda: forks.append(1) or fork())
    request = minion.request(LOAD | {"return": "x" * 200_000}, site.now)
    assert [site.master.receive(number, request, site.now) for number in (1, 2, 3)] == [None, None, None]
    replies = {reply.envelope: reply.data for reply in finished(site)}
    assert replies.keys() == {1, 2, 3} and list(replies.values()).count(saltlite.BAD_LOAD) == 2
    assert len(forks) == 2


@pytest.mark.parametrize("number", [2, 3, 4])
def test_boxes_that_are_known(site, monkeypatch, number):
    monkeypatch.setattr(APART, "MAX_OPENED", 3)
    APART.OPENED.clear()
    minion = site.joined("m")
    for _ in range(number):
        assert site.ask(minion, LOAD | {"jid": "req", "return": "x" * 200_000}) is None
    assert len(APART.OPENED) == min(number, 3)


def test_no_large_return_is_acknowledged_that_is_not_there(site, monkeypatch):
    """However many of one minion are under way: MAX_UNDER_WAY is for other requests."""
    monkeypatch.setattr(saltlite, "MAX_UNDER_WAY", 2)
    monkeypatch.setattr(APART, "MAX_SYNCING", 1)
    minion = site.joined("m")
    for number in range(6):
        request = minion.request(LOAD | {"jid": "req", "return": [number, "x" * 200_000]}, site.now)
        assert site.master.receive(number, request, site.now) is None
    acks = [minion.session.open(saltlite.unpack_bounded(reply.data, raw=True)) for reply in finished(site)]
    assert [ack[-1:] for ack in acks] == [saltlite.pack(None)] * 6
    kept = [
        saltlite.from_json(path.read_bytes().splitlines()[1]) for path in (site.tree.jobs / "done").rglob("*.m.jsonl")
    ]
    assert sorted(line["return"][0] for line in kept) == list(range(6))


def test_what_one_request_raises_harms_no_other(site):
    minion, other = site.joined("m"), site.joined("other", 1)
    submit(site)
    grains = {f"x{number}": "y" * 40 for number in range(3_000)}
    box = saltlite.unpack_envelope(minion.request({"cmd": "_pillar", "grains": grains}, site.now), "enc", "id")
    odd = saltlite.pack(box | {"enc_algo": "none that there is"})
    assert site.master.receive("odd", odd, site.now) is None
    large = other.request(LOAD | {"return": "x" * 200_000}, site.now)
    assert site.master.receive("large", large, site.now) is None
    replies = {reply.envelope: reply.data for reply in finished(site)}
    assert replies.keys() == {"odd", "large"} and replies["odd"] == saltlite.BAD_LOAD
    assert other.reply(replies["large"]) is None and [line["id"] for line in returned(site)] == ["other"]


def test_a_key_that_moves_before_its_request_is_open_refuses_it(site):
    minion = site.joined("m")
    submit(site)
    load = {"cmd": "_rekey", "padding": "x" * 200_000}
    for each in (load, LOAD | {"return": "x" * 200_000}):
        assert site.master.receive("e", minion.request(each, site.now), site.now) is None
    site.move("m", "minions", "minions_rejected")  # and nobody has looked yet
    assert [reply.data for reply in finished(site)] == [saltlite.BAD_LOAD] * 2 and returned(site) == []


def test_a_large_answer_to_find_job_says_that_it_runs(site):
    site.joined("m")
    submit(site)
    site.now += 100
    site.jobs.tick(site.now)
    (probe,) = site.jobs.probes
    site.jobs.ret("m", saltlite.Prepared({"jid": probe}, {}, memoryview(b"")), site.now)
    assert site.jobs.active[JID].parts["m"] == saltlite.ALIVE


def test_a_process_that_cannot_be_made_costs_nothing(site, monkeypatch, caplog):
    minion = site.joined("m")

    def fork():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    caplog.set_level(logging.ERROR, "saltlite")
    before = len(os.listdir("/proc/self/fd"))
    assert site.master.receive("e", minion.request(LOAD | {"return": "x" * 200_000}, site.now), site.now) is None
    assert [reply.data for reply in finished(site)] == [saltlite.BAD_LOAD]
    assert len(os.listdir("/proc/self/fd")) == before and "Resource temporarily unavailable" in caplog.text


def test_a_large_return_of_who_is_accepted_no_more_is_not_taken(site):
    minion = site.joined("m")
    submit(site)
    assert site.master.receive(1, minion.request(LOAD | {"return": "x" * 200_000}, site.now), site.now) is None
    site.move("m", "minions", "minions_rejected")
    site.look()
    assert finished(site) == [] and site.master.kept == 0 and not APART.RUNNING


def test_a_large_return_for_which_there_is_no_room_comes_again(tmp_path):
    site = Site(tmp_path, keep_free=1 << 60)
    minion = site.joined("m")
    submit(site)
    assert site.master.receive(1, minion.request(LOAD | {"return": "x" * 200_000}, site.now), site.now) is None
    assert finished(site) == [] and returned(site) == []
    site.opts["keep_free"] = 0
    assert site.ask(minion, LOAD | {"return": "x" * 200_000}) is None and len(returned(site)) == 1


def test_a_large_return_that_cannot_be_written_is_not_acknowledged(site):
    minion = site.joined("m")
    submit(site)
    assert site.master.receive(1, minion.request(LOAD | {"return": "x" * 200_000}, site.now), site.now) is None
    (kept := site.jobs.path(JID, "kept")).unlink()
    (active := site.jobs.path(JID, "active")).rename(site.path / "aside")
    kept.mkdir()
    assert finished(site) == [] and site.jobs.active[JID].counts["returned"] == 0
    kept.rmdir()
    (site.path / "aside").rename(active)
    os.link(active, kept)
    assert site.ask(minion, LOAD | {"return": "x" * 200_000}) is None and len(returned(site)) == 1


def test_a_large_return_that_cannot_be_synced_is_not_acknowledged(site):
    with pytest.raises(FileNotFoundError):
        next(APART.synced(site.path / "none/file"))
    os.mkfifo(site.path / "fifo")  # which no disk keeps
    other = os.open(site.path / "fifo", os.O_RDWR)
    with pytest.raises(OSError, match="cannot be synced .*Invalid argument"):
        for _ in APART.synced(site.path / "fifo"):
            time.sleep(0.01)
    os.close(other)
    assert not APART.SYNCING


def test_a_large_return_may_be_the_one_that_ends_its_job(site):
    """The file has another name by the time that the disk has it."""
    minion = site.joined("m")
    submit(site)
    assert site.master.receive(1, minion.request(LOAD | {"return": "x" * 200_000}, site.now), site.now) is None
    before, replies = len(os.listdir("/proc/self/fd")), []
    while site.master.under_way:
        time.sleep(site.master.pause)
        replies += site.master.go_on(site.now)
        site.jobs.flush()
        site.jobs.tick(site.now)  # as the loop has it
    (reply,) = replies
    assert minion.reply(reply.data) is None and JID not in site.jobs.active and len(returned(site)) == 1
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("signs", ["well", "wrongly", "not"])
def test_the_signature_of_a_large_return_is_looked_at(tmp_path, signs):
    required = {"require_minion_sign_messages": True, "drop_messages_signature_fail": True}
    site = Site(tmp_path, **required)
    minion = site.joined("m")
    submit(site)
    load = LOAD | {"return": {str(number): "x" * 100 for number in range(5_000)}, "id": "m"}
    if signs != "not":
        load["ts"] = int(site.now)
        load["sig"] = KEYS[0].sign("PKCS1v15-SHA1", saltlite.signed_form(load))
        load |= {"retcode": 1} if signs == "wrongly" else {}
    assert site.master.receive(b"e", minion.request(load, site.now), site.now) is None
    (reply,) = finished(site)
    site.jobs.flush()
    assert (reply.data == saltlite.BAD_LOAD) == (signs != "well") and len(returned(site)) == (signs == "well")


def test_late_and_own_returns_may_be_large(site):
    minion = site.joined("m")
    submit(site)
    site.now += 100
    site.jobs.look(site.now)
    while JID in site.jobs.active:
        site.now += 1
        site.jobs.tick(site.now)
        site.jobs.flush()
    assert site.ask(minion, LOAD | {"return": ["x" * 200_000]}) is None
    (path,) = (site.tree.jobs / "done").rglob(f"{JID}.jsonl")
    late = saltlite.from_json(path.read_bytes().splitlines()[-1])
    assert late["late"] is True and late["return"] == ["x" * 200_000] and late["id"] == "m"
    own = {"cmd": "_return", "jid": "req", "fun": "f", "fun_args": ["y" * 100_000], "return": "x" * 200_000}
    assert site.ask(minion, own) is None
    (path,) = (site.tree.jobs / "done").rglob("*.m.jsonl")
    header, line = map(saltlite.from_json, path.read_bytes().splitlines())
    assert header["arg"] == ["100004 bytes"] and line["return"] == "x" * 200_000


def test_what_is_beyond_the_quota_is_not_kept(tmp_path):
    site = Site(tmp_path, return_quota=300_000)
    minion = site.joined("m")
    submit(site)
    assert site.ask(minion, LOAD | {"return": "x" * 400_000}) is None
    (line,) = returned(site)
    assert "return_quota allows" in line["return"] and line["success"] is False


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_bytes_of_a_line(site, monkeypatch, more):
    minion = site.joined("m")
    submit(site)
    line = saltlite.return_line("m", LOAD | {"return": "x" * 200_000}, site.now + 1)
    monkeypatch.setattr(APART, "MAX_LINE", len(saltlite.to_json(line)) - more)
    assert site.ask(minion, LOAD | {"return": "x" * 200_000}) is None
    (kept,) = returned(site)
    assert (kept["return"] == "x" * 200_000) == (more < 1) and kept["success"] is (more < 1)
    assert more < 1 or kept["return"].startswith("not kept: what was returned takes 2001")


@pytest.mark.parametrize("more", [-16, 0, 16])
def test_bytes_of_a_large_request_that_is_no_return(site, monkeypatch, more):
    minion = site.joined("m")
    request = minion.request({"cmd": "_mine", "id": "m", "data": {"f": "x" * 400_000}, "clear": False}, site.now)
    box = saltlite.unpack_envelope(request)["load"]
    monkeypatch.setattr(APART, "MAX_OTHER", len(box) - more)
    site.master.receive(b"e", request, site.now)
    (reply,) = finished(site)
    assert (reply.data == saltlite.BAD_LOAD) == (more > 0)
    assert site.tree.data.mine("m") == ({} if more > 0 else {"f": "x" * 400_000})


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_containers_of_a_large_request_that_is_no_return(site, more):
    minion = site.joined("m")
    data = {"f": [[]] * (APART.MAX_OTHER_CONTAINERS - 3 + more), "g": "x" * 200_000}
    site.master.receive(
        b"e", minion.request({"cmd": "_mine", "id": "m", "data": data, "clear": False}, site.now), site.now
    )
    (reply,) = finished(site)
    assert (reply.data == saltlite.BAD_LOAD) == (more > 0)


@pytest.mark.parametrize("size", [1023, 1024, 1025])
def test_members_that_go_with_a_line_are_small(size):
    assert APART.is_small("x" * size) == APART.is_small(b"x" * size) == (size <= 1024)
    assert APART.is_small(None) and APART.is_small(2**60) and not APART.is_small([])


@pytest.mark.parametrize("standing", [ZEROMQ.PROVEN, ZEROMQ.ASKING])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_bytes_that_wait_to_be_opened_keep_others_from_being_read(more, standing):
    incoming = ZEROMQ.Incoming()
    connection = type("Proven", (), {"standing": standing, "counted": ZEROMQ.SMALL + 1, "believed": "m"})()
    incoming.kept = ZEROMQ.MAX_KEPT + more
    assert incoming.has_turn(connection) == (more < 1)
    connection.counted = ZEROMQ.SMALL
    assert incoming.has_turn(connection)


def test_returns_of_its_own_that_are_kept(monkeypatch):
    monkeypatch.setattr(RETURNS, "MAX_OWN", 3)
    quota = RETURNS.Quota({"return_quota": 0})
    assert [quota.may_keep_own("m", 1000.0) for _ in range(4)] == [True, True, True, False]
    assert quota.may_keep_own("m", 1000.0 + 86400)
