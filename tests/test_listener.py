"""The listener of the master's ports, with sockets of libzmq as its peers, and with peers that are none."""

import contextlib
import os
import resource
import select
import socket
import struct
import subprocess
import sys
import time

import pytest
import zmq
from leaves import MASTER_OPTIONS, ZEROMQ
from live import WireMinion, free_port, running_master, running_minion, until

import saltlite
from saltlite import GOT_CREDENTIALS

GREETING, message = ZEROMQ.greeting(), ZEROMQ.message
HELLO = {"REQ": GREETING + ZEROMQ.ready(b"REQ"), "SUB": GREETING + ZEROMQ.ready(b"SUB")}
LARGE = 1 << 20


class Served:
    """A listener on loopback that answers each request with what was asked, or with what `answer` makes of it.

    A body that begins with `I am ID` proves the connection to be of that minion. It goes on in `go`, which the test
    calls: so nothing happens behind its back."""

    def __init__(self, most=0, answer=None, **opts):
        self.opts = {name: option.default for name, option in MASTER_OPTIONS.items()}
        self.opts |= {"interface": "127.0.0.1", "publish_port": free_port(), "ret_port": free_port()} | opts
        self.listener = ZEROMQ.Listener(self.opts, most)
        self.answer = answer or (lambda body: body)
        self.asked = []
        self.longest = 0.0
        self.sockets, self.context = [], zmq.Context()
        self.ticked = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for each in self.sockets:
            each.close()
        self.context.destroy(0)
        self.listener.stop()

    def go(self, seconds=0.1, condition=lambda: False):
        """Serve for some time, or until something is true, which is given back."""
        end = time.monotonic() + seconds
        poller = select.poll()
        poller.register(self.listener.fileno(), select.POLLIN)
        while not (found := condition()) and time.monotonic() < end:
            poller.poll(0 if self.listener.busy else 5)
            began = time.monotonic()
            replies = []
            for connection, envelope, body in self.listener.turn():
                if body.startswith(b"I am "):
                    connection.minion = body.split()[2].decode()
                self.asked.append(body)
                replies.append((connection, envelope, self.answer(body)))
            for connection, envelope, body in replies:
                connection.reply(envelope, body)
            self.longest = max(self.longest, time.monotonic() - began)
            if time.monotonic() > self.ticked + 0.2:
                self.listener.tick()
                self.ticked = time.monotonic()
        return found

    def wait(self, condition, what=""):
        """Serve until it is true."""
        assert self.go(20, condition), what

    def late(self, seconds, *connections):
        """As if the connections had come, asked and moved so much earlier."""
        for each in connections or self.all:
            each.since -= seconds
            each.mark -= seconds
            each.wait_until -= seconds
        self.listener.tick()

    @property
    def all(self):
        return list(self.listener._all.values())

    def raw(self, data=b"", port="ret_port", size=0):
        """A plain connection that has sent something."""
        sock = socket.socket()
        if size:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        sock.connect(("127.0.0.1", self.opts[port]))
        self.sockets.append(sock)
        sock.sendall(data)
        return sock

    def peer(self, kind, port="ret_port", **options):
        """A socket of libzmq."""
        sock = self.context.socket(kind)
        for name, value in options.items():
            sock.setsockopt(getattr(zmq, name), value)
        sock.connect(f"tcp://127.0.0.1:{self.opts[port]}")
        return sock

    def hung_up(self, sock):
        """Serve until the other end of a plain connection is closed."""

        def ended():
            try:
                return sock.recv(65536, socket.MSG_DONTWAIT) == b""
            except BlockingIOError:
                return False
            except OSError:
                return True

        self.wait(ended, "it is not hung up on")

    def stays(self, sock, seconds=0.3):
        self.go(seconds)
        with contextlib.suppress(BlockingIOError):
            while data := sock.recv(65536, socket.MSG_DONTWAIT):
                pass
            assert data, "it was hung up on"

    def answered(self, sock):
        self.wait(lambda: sock.poll(0), "no answer")
        return sock.recv_multipart()

    def proven(self, minion_id="m"):
        """A DEALER that has proven itself."""
        sock = self.peer(zmq.DEALER)
        sock.send_multipart([b"", b"I am " + minion_id.encode()])
        self.answered(sock)
        return sock


@pytest.fixture
def served():
    with Served() as made:
        yield made


# Peers of libzmq


@pytest.mark.parametrize("size", [1, 255, 256, 65_536, 20 << 20])
@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER], ids=["REQ", "DEALER"])
def test_requests_are_answered(served, kind, size):
    sock, body = served.peer(kind), os.urandom(size)
    for _ in range(3):
        sock.send_multipart([body] if kind == zmq.REQ else [b"", body])
        assert served.answered(sock)[-1] == body


def test_an_envelope_comes_back_as_it_was(served):
    sock = served.peer(zmq.DEALER)
    sock.send_multipart([b"one", b"two", b"", b"x"])
    assert served.answered(sock) == [b"one", b"two", b"", b"x"]
    numbered = served.peer(zmq.REQ, REQ_CORRELATE=1)
    numbered.send(b"y")
    assert served.answered(numbered) == [b"y"]


def test_many_requests_of_one_connection_are_answered_in_their_order(served):
    sock = served.peer(zmq.DEALER)
    for number in range(1000):
        sock.send_multipart([b"", b"%d" % number])
    served.wait(lambda: len(served.asked) == 1000)
    assert [served.answered(sock)[-1] for _ in range(1000)] == [b"%d" % number for number in range(1000)]


def test_a_reply_goes_to_who_has_asked_whatever_he_calls_himself(served):
    peers = [served.peer(zmq.DEALER, IDENTITY=b"the same") for _ in range(3)]
    for number, sock in enumerate(peers):
        sock.send_multipart([b"", b"%d" % number])
    assert [served.answered(sock)[-1] for sock in peers] == [b"0", b"1", b"2"]


def test_who_has_gone_is_not_answered(served):
    sock = served.raw(HELLO["REQ"] + message(b"", b"x"))
    (connection, envelope, _), *_ = until(lambda: list(served.listener.turn()))
    sock.close()
    served.wait(lambda: not len(served.listener))
    connection.reply(envelope, b"x")


@pytest.mark.parametrize("kind", [zmq.SUB, zmq.XSUB], ids=["SUB", "XSUB"])
@pytest.mark.parametrize("filtering", [False, True])
def test_publications_reach_those_who_have_subscribed(kind, filtering):
    topic = b"broadcast" if filtering else b""
    with Served(zmq_filtering=filtering) as served:

        def subscriber(wanted):
            if kind == zmq.SUB:
                return served.peer(kind, "publish_port", SUBSCRIBE=wanted)
            sock = served.peer(kind, "publish_port")
            sock.send(b"\x01" + wanted)
            return sock

        mine, other, none = subscriber(topic), subscriber(b"something else"), served.peer(zmq.SUB, "publish_port")
        served.wait(lambda: sum(bool(each.topics) for each in served.all) == 1 and len(served.all) == 3)
        for number in range(3):
            served.listener.publish(b"publication %d" % number)
        for number in range(3):
            assert served.answered(mine) == [b"broadcast"] * filtering + [b"publication %d" % number]
        served.go()
        assert not other.poll(0) and not none.poll(0)
        if kind == zmq.SUB:
            mine.setsockopt(zmq.UNSUBSCRIBE, topic)
        else:
            mine.send(b"\x00" + topic)
        served.wait(lambda: not any(each.topics for each in served.all))
        served.listener.publish(b"more")
        served.go()
        assert not mine.poll(0)


def test_whoever_subscribes_twice_hears_once(served):
    sock = served.peer(zmq.XSUB, "publish_port")
    sock.send(b"\x01")
    sock.send(b"\x01")
    served.wait(lambda: any(each.topics for each in served.all))
    served.listener.publish(b"once")
    assert served.answered(sock) == [b"once"]
    served.go()
    assert not sock.poll(0)


def test_publications_keep_their_order_and_come_whole_to_all(monkeypatch, served):
    monkeypatch.setattr(ZEROMQ, "SLICE", 7)
    peers = [served.peer(zmq.SUB, "publish_port", SUBSCRIBE=b"", RCVHWM=0) for _ in range(40)]
    served.wait(lambda: sum(bool(each.topics) for each in served.all) == 40)
    bodies = [bytes([number]) * 100_000 for number in range(20)]
    for body in bodies:
        served.listener.publish(body)
    for sock in peers:
        assert [served.answered(sock)[-1] for _ in bodies] == bodies


def test_heartbeats_are_answered_and_whoever_stops_them_is_missed(served):
    kept = served.peer(zmq.DEALER, HEARTBEAT_IVL=100, HEARTBEAT_TIMEOUT=1000, HEARTBEAT_TTL=2000)
    kept.send_multipart([b"", b"I am m"])
    served.answered(kept)
    monitor = kept.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    served.go(1.5)
    assert not monitor.poll(0), "libzmq has missed us"
    (connection,) = served.all
    assert connection.wait_until > time.monotonic()
    served.late(1, connection)
    assert served.all == [connection]
    served.late(3, connection)
    assert served.all == []


@pytest.mark.parametrize("ttl", [ZEROMQ.MAX_TTL - 1, ZEROMQ.MAX_TTL, ZEROMQ.MAX_TTL + 1])
def test_nobody_is_waited_for_longer_than_that(served, ttl):
    served.raw(HELLO["SUB"] + ZEROMQ.command(b"PING", int(ttl * 10).to_bytes(2, "big")), "publish_port")
    served.wait(lambda: any(each.wait_until for each in served.all))
    (connection,) = served.all
    assert connection.wait_until - time.monotonic() <= min(ttl, ZEROMQ.MAX_TTL)
    assert connection.wait_until - time.monotonic() > min(ttl, ZEROMQ.MAX_TTL) - 5


# Peers that are none

JUNK = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: salt\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303"),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "ZMTP 1": b"\x01\x00",
    "ZMTP 2": GREETING[:10] + b"\x01\x05\x00\x00",
    "CURVE": GREETING[:12] + b"CURVE".ljust(20, b"\0") + bytes(32),
    "a wrong kind": GREETING + ZEROMQ.ready(b"PUSH"),
    "no READY": GREETING + message(b"", b"x"),
    "a frame of 2^60 bytes": HELLO["REQ"] + b"\x02" + (1 << 60).to_bytes(8, "big"),
    "an endless message": HELLO["REQ"] + b"\x01\x01a" * 100,
    "an unknown command": HELLO["REQ"] + ZEROMQ.command(b"HELLO", b""),
    "no delimiter": HELLO["REQ"] + message(b"a", b"x"),
}


@pytest.mark.parametrize("name", JUNK)
def test_whoever_does_not_speak_the_wire_is_hung_up_on(served, name):
    served.hung_up(served.raw(JUNK[name]))
    assert served.all == [] and served.asked == []


@pytest.mark.parametrize("port", ["ret_port", "publish_port"])
@pytest.mark.parametrize("said", [0, 1, 10, 63, 64, 80])
def test_who_has_not_greeted_in_time_is_hung_up_on(served, said, port):
    sock = served.raw(HELLO["REQ"][:said], port)
    served.wait(lambda: served.all)
    served.go()
    served.late(ZEROMQ.HANDSHAKE_SECONDS - 1)
    served.stays(sock, 0.1)
    served.late(1)
    served.hung_up(sock)


def test_who_has_greeted_and_asks_nothing_is_hung_up_on(served):
    sock = served.raw(HELLO["REQ"])
    served.stays(sock)
    served.late(ZEROMQ.IDLE_SECONDS - 1)
    served.stays(sock)
    sock.sendall(message(b"", b"x"))
    served.wait(lambda: served.asked)
    served.late(ZEROMQ.IDLE_SECONDS - 1)
    served.stays(sock)
    served.late(1)
    served.hung_up(sock)


def test_minions_and_subscribers_may_be_silent_for_ever(served):
    asker = served.proven()
    subscriber = served.peer(zmq.SUB, "publish_port", SUBSCRIBE=b"")
    served.wait(lambda: any(each.topics for each in served.all))
    served.late(1_000_000)
    served.listener.publish(b"x")
    assert served.answered(subscriber) == [b"x"]
    asker.send_multipart([b"", b"y"])
    assert served.answered(asker)[-1] == b"y"


def test_a_message_that_does_not_grow_ends_its_connection(served):
    for proof in (b"", message(b"", b"I am m")):
        sock = served.raw(HELLO["REQ"] + proof + message(b"", b"x" * LARGE)[: 2 * ZEROMQ.GROWTH])
        served.wait(lambda: any(each.counted for each in served.all))
        served.late(ZEROMQ.STALL_SECONDS - 1)
        served.stays(sock)
        served.late(2)
        served.stays(sock)  # it has grown by more than it must
        sock.sendall(b"x" * (ZEROMQ.GROWTH - 1))
        served.go()
        served.late(ZEROMQ.STALL_SECONDS)
        served.hung_up(sock)
    assert served.all == []


# Bounds


def test_topics_of_a_subscriber():
    with Served(zmq_filtering=True) as served:
        sock = served.peer(zmq.XSUB, "publish_port")
        for topic in (b"", b"b", *(b"other %d" % number for number in range(1000))):
            sock.send(b"\x01" + topic)
        served.wait(lambda: any(len(each.topics) == ZEROMQ.MAX_TOPICS for each in served.all))
        served.go()
        assert len(served.all) == 1
        monitor = sock.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        sock.send(b"\x01br")
        served.wait(lambda: monitor.poll(0), "one more is too many")


def test_what_strangers_are_sending_is_bounded_and_minions_are_not_in_their_way(monkeypatch, served):
    monkeypatch.setattr(ZEROMQ, "BUDGET_UNPROVEN", 3 * LARGE)
    half = message(b"", b"x" * 2 * LARGE)[:LARGE]
    strangers = [served.raw(HELLO["REQ"] + half) for _ in range(3)]
    served.wait(lambda: sum(each.counted for each in served.all) > 2.9 * LARGE)
    assert len(served.all) == 3
    strangers.append(served.raw(HELLO["REQ"] + half))
    served.hung_up(strangers[0])  # the oldest
    served.go()
    assert sum(each.counted for each in served.all) <= 3 * LARGE
    for proof in (b"I am m", b"\0" * ZEROMQ.SMALL):
        sock = served.peer(zmq.DEALER)
        sock.send_multipart([b"", proof])
        assert served.answered(sock)[-1] == proof


def test_large_messages_of_minions_wait_their_turn(monkeypatch, served):
    monkeypatch.setattr(ZEROMQ, "BUDGET", 3 * LARGE)
    peers = [served.proven(f"m{number}") for number in range(8)]
    bodies = [bytes([number]) * 2 * LARGE for number in range(8)]
    most = 0

    def done():
        nonlocal most
        most = max(most, sum(each.counted for each in served.all))
        return len(served.asked) == 16

    for sock, body in zip(peers, bodies, strict=True):
        sock.send_multipart([b"", body])
    served.wait(done, "all of them come")
    assert most <= 3 * LARGE + 2 * LARGE + 8 * ZEROMQ.READ_LARGE
    assert [served.answered(sock)[-1] for sock in peers] == bodies
    assert not served.listener.incoming.paused and set(served.listener.incoming.bytes.values()) == {0}


def test_whoever_goes_while_waiting_for_his_turn_is_forgotten(monkeypatch, served):
    monkeypatch.setattr(ZEROMQ, "BUDGET", LARGE)
    half = message(b"", b"I am m") + message(b"", b"x" * 2 * LARGE)[: 2 * LARGE]
    peers = [served.raw(HELLO["REQ"] + half[:LARGE]) for _ in range(3)]
    for sock in peers:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.send(half[LARGE:])
    served.wait(lambda: served.listener.incoming.paused)
    waiting = next(iter(served.listener.incoming.paused))
    address = waiting.socket.getpeername()
    sock = next(sock for sock in peers if sock.getsockname() == address)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    served.wait(lambda: waiting.standing == ZEROMQ.CLOSED)
    assert waiting not in served.listener.incoming.paused


def test_the_budgets_are_empty_when_all_have_gone(served):
    for proof in (b"", message(b"", b"I am m")):
        for _ in range(3):
            served.raw(HELLO["REQ"] + proof + message(b"", b"x" * LARGE)[:100_000])
    served.wait(lambda: sum(served.listener.incoming.bytes.values()) > 590_000)
    for sock in served.sockets:
        sock.close()
    served.wait(lambda: not served.all)
    listener = served.listener
    empty(listener)


def test_whoever_does_not_take_answers_is_not_read(served):
    sock = served.raw(HELLO["REQ"], size=4096)
    sock.setblocking(False)
    request = message(b"", b"x" * 60_000)
    left = memoryview(request * 500)
    end = time.monotonic() + 10
    while left and time.monotonic() < end:
        with contextlib.suppress(BlockingIOError):
            left = left[sock.send(left) :]
        served.go(0.01)
        if not served.listener.busy and served.all[0].unsent:
            break
    served.go()
    (connection,) = served.all
    assert 0 < connection.unsent <= ZEROMQ.AT_ONCE * 60_100
    asked = len(served.asked)
    served.go()
    assert len(served.asked) == asked < 500
    sock.setblocking(True)
    sock.settimeout(0.05)
    got = 0
    while len(served.asked) < asked + 5:  # it takes some, and is read again
        with contextlib.suppress(TimeoutError):
            got += len(sock.recv(1 << 20))
        served.go(0.01)
    served.late(ZEROMQ.STALL_SECONDS)
    served.go()
    served.late(ZEROMQ.STALL_SECONDS)
    assert served.all == [], "and in the end it is hung up on"


def test_a_subscriber_that_takes_nothing_is_dropped_and_nobody_waits_for_it(monkeypatch, served):
    monkeypatch.setattr(ZEROMQ, "MAX_UNSENT", 4 * LARGE)
    slow = served.raw(HELLO["SUB"] + message(b"\x01"), "publish_port", size=4096)
    quick = served.peer(zmq.SUB, "publish_port", SUBSCRIBE=b"", RCVHWM=0)
    served.wait(lambda: sum(bool(each.topics) for each in served.all) == 2)
    for number in range(20):
        body = bytes([number]) * LARGE
        served.listener.publish(body)
        assert served.answered(quick)[-1] == body
        assert max(each.unsent for each in served.all) <= 5 * LARGE
    assert len(served.all) == 1
    served.hung_up(slow)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_connections_on_which_one_minion_is_believed(monkeypatch, served, more):
    monkeypatch.setattr(ZEROMQ, "MAX_OWN", 4)
    first, *_ = [served.proven() for _ in range(4 + more)]
    assert len(served.listener.minions["m"]) == min(4, 4 + more)
    assert sum(each.standing == ZEROMQ.ASKING for each in served.all) == max(0, more)
    first.send_multipart([b"", b"still"])
    assert served.answered(first)[-1] == b"still"


def test_who_is_forgotten_has_proven_nothing(served):
    sock = served.proven()
    served.listener.forget("m")
    assert not served.listener.minions and served.all[0].standing == ZEROMQ.ASKING and not served.all[0].minion
    sock.send_multipart([b"", b"I am m"])
    served.answered(sock)
    assert list(served.listener.minions) == ["m"]


def test_where_there_is_no_room_the_unproven_go_and_the_oldest_first():
    with Served(most=8, interface="127.0.0.1") as served:
        served.listener.know("127.0.0.1")  # of several addresses the share of one is no matter
        minions = [served.proven(f"m{number}") for number in range(4)]
        junk = []
        for number in range(20):
            junk.append(served.raw(HELLO["REQ"] if number % 2 else b""))
            served.go(0.02)
            assert len(served.all) <= 8
        for sock in junk[:16:2]:
            served.hung_up(sock)
        for number, sock in enumerate(minions):
            sock.send_multipart([b"", b"%d" % number])
            assert served.answered(sock)[-1] == b"%d" % number
        newcomer = served.proven("new")
        newcomer.send_multipart([b"", b"let in"])
        assert served.answered(newcomer)[-1] == b"let in"


def test_where_all_are_proven_nobody_else_comes_in():
    with Served(most=8) as served:
        served.listener.know("127.0.0.1")
        minions = [served.proven(f"m{number}") for number in range(8)]
        served.hung_up(served.raw(HELLO["REQ"]))
        for sock in minions:
            sock.send_multipart([b"", b"x"])
            assert served.answered(sock)[-1] == b"x"


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_unproven_of_one_address_have_a_share(more):
    with Served(most=32) as served:
        for _ in range(16 + more):
            served.raw(HELLO["SUB"], "publish_port")
        served.go()
        assert len(served.all) == min(16, 16 + more)


def test_where_a_minion_lives_there_may_be_many():
    with Served(most=64) as served:
        served.proven()
        for _ in range(40):
            served.raw(HELLO["SUB"] + message(b"\x01"), "publish_port")
        served.wait(lambda: served.listener.subscribers["127.0.0.1"] == 40)


def test_many_subscriptions_are_not_kept(served):
    many = b"".join(message(b"\x01%d" % number) for number in range(200_000))
    sock = served.raw(HELLO["SUB"], "publish_port")
    sock.setblocking(False)
    left, before = memoryview(many), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while left:
        with contextlib.suppress(BlockingIOError):
            left = left[sock.send(left) :]
        served.go(0.001)
    assert served.all[0].codec.pending < 2 * ZEROMQ.READ and served.all[0].topics == ()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10  # KiB


def test_interfaces_may_be_named():
    assert ZEROMQ.address_of("*") == "0.0.0.0"
    assert ZEROMQ.address_of("lo") == "127.0.0.1"
    assert ZEROMQ.address_of("[::1]") == "::1"
    for same in ("127.0.0.1", "::", "salt.example", "..", "nothing0"):
        assert ZEROMQ.address_of(same) == same


def test_a_port_that_is_taken_or_an_address_that_is_not_here_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(saltlite.Failure, match="set ret_port"):
        Served(ret_port=other.getsockname()[1])
    with pytest.raises(saltlite.Failure, match="see interface and publish_port"):
        Served(interface="198.51.100.7")


# What a hostile reader has found


def reset(sock):
    """Close with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def empty(listener):
    """Nothing is kept of anybody."""
    incoming = listener.incoming
    assert set(incoming.bytes.values()) == {0} and not any(incoming.partial.values()) and not incoming.holds
    assert not listener.minions and not listener.subscribers and not listener._unsent_bytes
    kept = (incoming.paused, listener._unsent, listener._beating, listener._crowds)
    assert not any(kept) and not any(listener._standing.values()) and not any(listener._more.values())


def test_who_resets_the_connection_when_he_is_answered_leaves_nothing(served):
    """The answer cannot be sent, and what has begun to come in goes with the connection."""
    for _ in range(5):
        sock = served.raw()
        served.go(0.02)
        sock.recv(64)
        sock.sendall(HELLO["REQ"] + message(b"", b"x" * 60_000)[:15_000])
        reset(sock)
    served.wait(lambda: not served.all)
    empty(served.listener)


def test_what_the_doubted_hold_is_counted_and_bounded(monkeypatch, served):
    monkeypatch.setattr(ZEROMQ, "BUDGET_UNPROVEN", 40_000)
    monkeypatch.setattr(ZEROMQ, "MAX_OWN", 4)
    begun = HELLO["REQ"] + message(b"", b"I am m") + message(b"", b"x" * 60_000)[:12_000]
    for _ in range(20):
        served.raw(begun)
    served.go(0.5)
    stranger = served.raw(HELLO["REQ"] + message(b"", b"x" * 60_000)[:12_000])
    served.go(0.5)
    assert served.listener.incoming.bytes[False] <= 40_000 and len(served.listener.minions["m"]) <= 4
    served.listener.forget("m")
    assert served.listener.incoming.bytes == {True: 0, False: sum(each.counted for each in served.all)}
    assert served.listener.incoming.bytes[False] <= 40_000
    stranger.close()
    for sock in served.sockets:
        sock.close()
    served.wait(lambda: not served.all)
    empty(served.listener)


def test_a_large_message_is_let_go_though_another_has_begun(served):
    sock = served.raw(HELLO["REQ"])
    sock.sendall(message(b"", b"x" * LARGE) + b"\x01")
    served.wait(lambda: served.asked)
    served.go()
    (connection,) = served.all
    assert len(connection.codec._buffer) == 1 and connection.counted == 1


def test_a_connection_of_two_minions_is_that_of_the_last(served):
    sock = served.proven("a")
    sock.send_multipart([b"", b"I am b"])
    served.answered(sock)
    assert list(served.listener.minions) == ["b"]
    served.listener.forget("a")
    assert list(served.listener.minions) == ["b"]
    sock.close(0)
    served.wait(lambda: not served.all)
    empty(served.listener)


def test_a_crowd_of_subscribers_keeps_no_newcomer_out():
    """Nor one of an address where a minion lives, beyond what its minions have."""
    with Served(most=32) as served:
        served.listener.know("127.0.0.1")
        crowd = [served.raw(HELLO["SUB"] + message(b"\x01"), "publish_port") for _ in range(40)]
        served.wait(lambda: served.listener.subscribers["127.0.0.1"] > 20)
        for number in range(5):
            crowd.append(served.raw(HELLO["SUB"] + message(b"\x01"), "publish_port"))
            newcomer = socket.socket()
            newcomer.bind(("127.0.0.2", 0))
            newcomer.connect(("127.0.0.1", served.opts["ret_port"]))
            served.sockets.append(newcomer)
            for data in (HELLO["REQ"], message(b"", b"I am %d" % number)):
                newcomer.sendall(data)
                served.go(0.02)
                crowd.append(served.raw(HELLO["SUB"] + message(b"\x01"), "publish_port"))
            served.wait(lambda number=number: b"I am %d" % number in served.asked)
        assert len(served.listener.minions) == 5


def test_subscribers_of_minions_stay_when_a_crowd_of_many_addresses_comes():
    with Served(most=32) as served:
        minions = [served.proven(f"m{number}") for number in range(5)]
        mine = [served.peer(zmq.SUB, "publish_port", SUBSCRIBE=b"") for _ in range(5)]
        served.wait(lambda: served.listener.subscribers["127.0.0.1"] == 5)
        for number in range(60):
            sock = socket.socket()
            sock.bind((f"127.0.0.{2 + number}", 0))
            sock.connect(("127.0.0.1", served.opts["publish_port"]))
            served.sockets.append(sock)
            sock.sendall(HELLO["SUB"])
            served.go(0.005)
        served.listener.publish(b"x")
        assert [served.answered(sock) for sock in mine] == [[b"x"]] * 5
        assert len(served.listener.minions) == len(minions)


def test_networks_of_ipv6_are_one_customer():
    assert ZEROMQ.block_of("2001:db8::1") == ZEROMQ.block_of("2001:db8::ffff:1") != ZEROMQ.block_of("2001:db8:0:1::1")
    assert ZEROMQ.block_of("192.0.2.1") == "192.0.2.1"


def paused(served, monkeypatch, count=3):
    """The raw connections of minions m0 …, of whom all but the first wait for their turn."""
    monkeypatch.setattr(ZEROMQ, "BUDGET", LARGE)
    peers = []
    for number in range(count):
        sock = served.raw(HELLO["REQ"] + message(b"", b"I am m%d" % number))
        sock.setblocking(False)
        served.wait(lambda number=number: f"m{number}" in served.listener.minions)
        peers.append((sock, memoryview(message(b"", b"x" * 2 * LARGE))))
    left = [data for _, data in peers]
    for _ in range(200):
        for number, (sock, _) in enumerate(peers):
            most = len(left[number]) - 100_000
            with contextlib.suppress(BlockingIOError):
                left[number] = left[number][sock.send(left[number][: max(0, most)]) :] if most > 0 else left[number]
        served.go(0.002)
        if len(served.listener.incoming.paused) >= count - 1:
            break
    assert served.listener.incoming.paused
    return peers, left


def test_the_paused_go_on_when_who_was_in_their_way_is_forgotten(served, monkeypatch):
    peers, left = paused(served, monkeypatch)
    waiting = next(iter(served.listener.incoming.paused))
    for minion_id in list(served.listener.minions):
        if minion_id != waiting.believed:
            served.listener.forget(minion_id)
    assert waiting not in served.listener.incoming.paused


def test_the_paused_are_not_missed_and_take_what_they_are_sent(served, monkeypatch):
    paused(served, monkeypatch)
    waiting = next(iter(served.listener.incoming.paused))
    waiting.ttl, waiting.wait_until = 1.0, time.monotonic() - 1
    served.listener._beating[waiting] = None
    served.listener.tick()
    assert waiting.standing == ZEROMQ.PROVEN
    waiting.reply((b"",), b"x" * (8 << 20))
    assert waiting.unsent
    address = waiting.socket.getpeername()
    sock = next(sock for sock in served.sockets if sock.getsockname() == address)

    def taken():
        with contextlib.suppress(BlockingIOError):
            sock.recv(1 << 20)
        return not waiting.unsent

    served.wait(taken)
    assert waiting.standing == ZEROMQ.PROVEN


def test_a_minion_that_holds_little_has_its_turn(served, monkeypatch):
    paused(served, monkeypatch)
    sock = served.peer(zmq.DEALER)
    for body in (b"I am small", b"x" * 60_000):
        sock.send_multipart([b"", body])
        assert served.answered(sock)[-1] == body


def test_who_sends_one_large_message_after_the_other_is_moving(served):
    sock = served.raw(HELLO["REQ"] + message(b"", b"I am m"))
    data = message(b"", b"x" * 200_000)
    for _ in range(6):
        sock.sendall(data[100_000:] if served.asked[1:] or served.all and served.all[0].counted else data[:0])
        sock.sendall(data[:100_000])
        served.go(0.05)
        served.late(20)
        assert len(served.all) == 1
    assert len(served.asked) == 6


def test_answers_that_wait_for_all_are_bounded(monkeypatch):
    monkeypatch.setattr(ZEROMQ, "BUDGET_UNSENT", 20 * LARGE)
    with Served(answer=lambda body: b"x" * 8 * LARGE if body == b"much" else body) as served:
        for _ in range(8):
            served.raw(HELLO["REQ"] + message(b"", b"I am m") + message(b"", b"much"), size=4096)
        served.go(1)
        assert sum(each.unsent for each in served.all) == served.listener._unsent_bytes <= 20 * LARGE
        assert 0 < len(served.all) < 8
        sock = served.proven()
        sock.send_multipart([b"", b"y"])
        assert served.answered(sock)[-1] == b"y"


def test_minions_are_answered_before_a_flood_of_strangers(served):
    minion = served.proven()
    flood = message(b"", b"x" * 10) * 3000
    strangers = [served.raw(HELLO["REQ"]) for _ in range(50)]
    for sock in strangers:
        sock.setblocking(False)
        sock.send(flood)
    served.go(0.05)
    before = len(served.asked)
    minion.send_multipart([b"", b"mine"])
    served.wait(lambda: b"mine" in served.asked)
    assert served.asked.index(b"mine") - before <= 50 * ZEROMQ.AT_ONCE_UNPROVEN * 12


def test_a_turn_has_its_time(served):
    served.answer = lambda body: time.sleep(0.001) or body
    peers = [served.proven(f"m{number}") for number in range(20)]
    for sock in peers:
        for _ in range(30):
            sock.send_multipart([b"", b"x"])
    served.longest = 0.0
    served.wait(lambda: len(served.asked) >= 620)
    assert served.longest < 2, "600 requests of a millisecond each, and nowhere near a second in one turn"


# A master


def test_a_master_that_may_open_few_files_works_on_among_many_strangers(tmp_path):
    """More strangers than descriptors, on both ports, some silent, some not; minions come, go and work."""
    limits = ["prlimit", "--nofile=128:128"] if os.path.exists("/usr/bin/prlimit") else [
        sys.executable, "-c", "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128));"
        "os.execvp(sys.argv[1], sys.argv[1:])"]  # fmt: skip
    from live import Master

    master = Master(tmp_path / "master", {"timeout": 2, "gather_job_timeout": 2})
    try:
        master.start(limits)
        with running_minion(master, "web1"), contextlib.ExitStack() as stack:
            for number in range(400):
                data = list(JUNK.values())[number % len(JUNK)] if number % 3 else (b"", GREETING)[number % 2]
                port = master.options["publish_port" if number % 5 == 0 else "ret_port"]
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                with contextlib.suppress(OSError):
                    sock.sendall(data)
            assert master.returns("*", "test.ping") == {"web1": True}
            with WireMinion(master, "new") as minion:
                minion.pend()
                master.accept("new")
                assert minion.told() == GOT_CREDENTIALS
            assert master.returns("web1", "cmd.run", "echo here") == {"web1": "here"}
        master.stop()
    finally:
        master.close()


def test_a_minion_that_reads_no_answers_costs_the_master_little(tmp_path):
    with running_master(tmp_path, {}) as master, running_minion(master, "web1"):
        assert master.process
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", master.options["ret_port"]))
        ping = message(b"", saltlite.pack({"enc": "clear", "version": 3, "load": {"cmd": "ping", "x": "x" * 900}}))
        sock.settimeout(0.5)
        before = memory(master.process.pid)
        with contextlib.suppress(TimeoutError):
            sock.sendall(HELLO["REQ"])
            for _ in range(100_000):
                sock.sendall(ping)
        assert memory(master.process.pid) - before < 16 << 10
        assert master.returns("*", "test.ping") == {"web1": True}
        sock.close()


def memory(pid):
    """KiB of a process."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def test_a_master_needs_no_library_of_zeromq(tmp_path):
    options = {"publish_port": free_port(), "ret_port": free_port()}
    saltlite_dir = os.path.dirname(saltlite.__file__)
    (tmp_path / "master").write_text(saltlite.to_json(options))
    program = "import sys, saltlite; opts = saltlite.load_opts('master', sys.argv[1]); saltlite.Master(opts);"
    program += "print([name for name in sys.modules if name.partition('.')[0] == 'zmq'])"
    words = [sys.executable, "-c", program, tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, cwd=saltlite_dir, timeout=30)
    assert done.stdout == "[]\n", done.stderr
