"""Thousands of strangers at the master's ports: what is done for one of them does not take longer as others come."""

import contextlib
import random
import socket
import time

import pytest
from in_memory import JID
from leaves import ZEROMQ
from live import WireMinion, public, running_master, until
from test_listener import HELLO, Served

import saltlite

STANDINGS = (ZEROMQ.NEW, ZEROMQ.ASKING, ZEROMQ.SUBSCRIBED, ZEROMQ.PROVEN, ZEROMQ.CLOSED)


class Known:
    """As much of a connection as a crowd asks for."""

    def __init__(self, block):
        self.block = block


@pytest.mark.parametrize("seed", range(5))
def test_the_block_that_has_most_is_known(seed):
    """As if all were counted anew each time."""
    chance, crowds = random.Random(seed), ZEROMQ.Crowds()
    everybody = {id(each): (each, ZEROMQ.CLOSED) for each in (Known(f"b{chance.randrange(7)}") for _ in range(60))}
    for _ in range(2000):
        each, before = chance.choice(list(everybody.values()))
        after = chance.choice([standing for standing in STANDINGS if standing != ZEROMQ.NEW or before == ZEROMQ.CLOSED])
        crowds.move(each, before, after)
        everybody[id(each)] = each, after
        counts = dict.fromkeys((other.block for other, _ in everybody.values()), 0)
        for other, standing in everybody.values():
            counts[other.block] += ZEROMQ.WEIGHT[standing]
        block, count = crowds.largest()
        assert count == max(0, *counts.values()) and (not count or counts[block] == count)
        members = {other for known in crowds.members.values() for other in map(id, known)}
        assert members == {key for key, (_, standing) in everybody.items() if standing in ZEROMQ.UNPROVEN}
    for each, standing in everybody.values():
        crowds.move(each, standing, ZEROMQ.CLOSED)
    assert not crowds


def test_whose_place_is_taken_is_found_without_a_search():
    """A stranger may have as many addresses as there is room for connections; each that comes costs one its place."""
    crowds, began = ZEROMQ.Crowds(), time.thread_time()
    for number in range(50_000):
        crowds.move(Known(f"b{number}"), ZEROMQ.CLOSED, ZEROMQ.NEW)
        crowds.largest()
    assert time.thread_time() - began < 10, "a search through all of them takes a minute"


def test_who_is_late_is_hung_up_on_in_steps(monkeypatch):
    """Thousands may have come in one second, and so be late in one; others have their turn in between."""
    monkeypatch.setattr(ZEROMQ, "ENDING_SECONDS", 0.0)
    with Served(most=64) as served:
        for _ in range(10):
            served.raw()
        served.wait(lambda: len(served.all) == 10)
        served.late(3.0)
        assert len(served.all) == 9 and served.listener.busy
        spared = served.all[0]
        spared.since = time.monotonic()  # has said something before it was its turn
        turns = 0
        while served.listener.busy:
            list(served.listener.turn())
            turns += 1
        assert served.all == [spared] and turns >= 9


def test_what_the_proven_say_does_not_wait_for_a_crowd(monkeypatch):
    """Six thousand that talked all the time had kept a minion waiting for 0.8 s."""
    with Served(most=64) as served:
        minion = served.proven("m")
        crowd = [served.raw(HELLO["SUB"], "publish_port") for _ in range(20)]
        served.wait(lambda: served.listener.subscribers["127.0.0.1"] == len(crowd))
        monkeypatch.setattr(ZEROMQ, "SLICE", 4)
        for sock in crowd:
            sock.sendall(ZEROMQ.command(b"PONG", b""))
        minion.send_multipart([b"", b"asked"])
        until(lambda: len(served.listener._epoll.poll(0)) == 2 and len(served.listener._others.poll(0)) == len(crowd))
        assert [body for _, _, body in served.listener.turn()] == [b"asked"]
        served.listener.forget("m")
        minion.send_multipart([b"", b"asked as anybody"])
        served.wait(lambda: b"asked as anybody" in served.asked)
        assert len(served.all) == 1 + len(crowd)


def test_what_waits_for_a_minion_is_published_when_it_comes_whoever_has_been_at_its_address(tmp_path):
    """A subscriber does not say who it is: any user of the minion's machine may have seemed to be it meanwhile."""
    options = {"timeout": 1, "gather_job_timeout": 1}
    with running_master(tmp_path, options) as master:
        (master.pki / "minions/m").write_text(public())
        with WireMinion(master, "m") as minion:
            assert minion.auth() == saltlite.GOT_CREDENTIALS
            minion.ask(cmd="_rekey")
        with socket.create_connection(("127.0.0.1", master.options["publish_port"])) as somebody:
            somebody.sendall(HELLO["SUB"] + ZEROMQ.message(b"\x01"))
            (master.jobs / "new" / JID).write_text(saltlite.to_json({"tgt": "m", "fun": "x.y", "queue": 3600}))
            until((master.jobs / "queued/m" / JID).exists, 30)
            somebody.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while somebody.recv(1 << 16):
                    pass
            with WireMinion(master, "m") as minion:
                assert minion.auth() == saltlite.GOT_CREDENTIALS
                minion.ask(cmd="_rekey")
                somebody.settimeout(20)
                assert b"load" in somebody.recv(1 << 16)
