"""The codec of the master's ports: bytes in, events and answers out, with no socket and no clock."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaves import ZEROMQ

from saltlite import Sender

Codec, Wrong, message, command, frame = (getattr(ZEROMQ, name) for name in "Codec Wrong message command frame".split())
ROUTER, PUB = ZEROMQ.ROUTER, ZEROMQ.PUB
LIMIT = 1000

GREETING = bytes.fromhex("ff00000000000000017f03014e554c4c") + bytes(48)
PADDED = bytes.fromhex("ff00000000000000037f03014e554c4c") + bytes(
    48
)  # the padding is the length of a name, as in ZMTP 1
OLDER = bytes.fromhex("ff00000000000000017f03004e554c4c") + bytes(48)  # ZMTP 3.0, of libzmq 4.2


def ready(kind, identity=None):
    more = b"" if identity is None else ZEROMQ.property_of(b"Identity", identity)
    return command(b"READY", ZEROMQ.property_of(b"Socket-Type", kind) + more)


# What sockets of libzmq 4.3.5 said to a listener, byte by byte, and the events that this is
SPOKEN = {
    "REQ": (
        ROUTER,
        GREETING + b"\x04&\x05READY\x0bSocket-Type\0\0\0\x03REQ\x08Identity\0\0\0\0\x01\0\0\ta request",
        [("ready", "REQ"), ("request", ((b"",), b"a request"))],
    ),
    "REQ that numbers its requests": (
        ROUTER,
        GREETING
        + b"\x04&\x05READY\x0bSocket-Type\0\0\0\x03REQ\x08Identity\0\0\0\0\x01\x04K\x94\xe8*\x01\0\0\ta request",
        [("ready", "REQ"), ("request", ((b"K\x94\xe8*", b""), b"a request"))],
    ),
    "DEALER with a name and heartbeats": (
        ROUTER,
        PADDED
        + b"\x04+\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x02me"
        + b"\x01\x03tag\x01\0\x02\0\0\0\0\0\0\x01,"
        + b"x" * 300
        + b"\x04\x07\x04PING\x02X",
        [("ready", "DEALER"), ("request", ((b"tag", b""), b"x" * 300)), ("ping", 60.0)],
    ),
    "SUB with heartbeats": (
        PUB,
        PADDED
        + b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB\x04\n\tSUBSCRIBE\x04\x13\tSUBSCRIBEbroadcast"
        + b"\x04\x07\x04PING\x02X\x04\x10\x06CANCELbroadcast",
        [("ready", "SUB"), ("subscribe", b""), ("subscribe", b"broadcast"), ("ping", 60.0), ("cancel", b"broadcast")],
    ),
    "XSUB": (
        PUB,
        GREETING + b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04XSUB\0\n\x01broadcast\0\n\0broadcast",
        [("ready", "XSUB"), ("subscribe", b"broadcast"), ("cancel", b"broadcast")],
    ),
    "SUB of libzmq 4.2": (
        PUB,
        OLDER + b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB\0\x01\x01\0\n\x01broadcast",
        [("ready", "SUB"), ("subscribe", b""), ("subscribe", b"broadcast")],
    ),
}


def events(codec):
    found = []
    while (event := codec.next_event()) is not None:
        found.append(event)
        if event[0] == "error":
            break
    return found


def heard(role, data, limit=LIMIT):
    codec = Codec(role, limit)
    codec.receive(data)
    return events(codec)


def opened(role, limit=LIMIT):
    """A codec of a connection that both sides have greeted."""
    codec = Codec(role, limit)
    codec.receive(GREETING + ready(ZEROMQ.PEERS[role][0]))
    assert [event[0] for event in events(codec)] == ["ready"]
    codec.answers = b""
    return codec


def said(role, data, limit=LIMIT):
    """The events of bytes on an open connection."""
    codec = opened(role, limit)
    codec.receive(data)
    return events(codec)


def wrong(role, data, limit=LIMIT, begin=None):
    codec = opened(role, limit) if begin is None else Codec(role, limit)
    codec.receive((begin or b"") + data)
    with pytest.raises(Wrong):
        events(codec)


# What is said


@pytest.mark.parametrize("name", SPOKEN)
def test_what_libzmq_says_is_understood_however_it_is_cut(name):
    role, data, meant = SPOKEN[name]
    assert heard(role, data) == meant
    for cut in range(len(data)):
        codec = Codec(role, LIMIT)
        codec.receive(data[:cut])
        found = events(codec)
        codec.receive(data[cut:])
        assert found + events(codec) == meant, cut
    codec, found = Codec(role, LIMIT), []
    for at in range(len(data)):
        codec.receive(data[at : at + 1])
        found += events(codec)
    assert found == meant
    assert not codec.begun and codec.pending == 0


@pytest.mark.parametrize("name", SPOKEN)
def test_a_wrong_byte_ends_it_or_says_something_else_that_is_allowed(name):
    """Every byte of a conversation, with every single bit and some whole bytes changed."""
    role, data, _ = SPOKEN[name]
    kinds = {"ready", "request", "ping", "pong", "error"} if role == ROUTER else {
        "ready", "subscribe", "cancel", "ping", "pong", "error"}  # fmt: skip
    for at in range(len(data)):
        for byte in {data[at] ^ 1 << bit for bit in range(8)} | {0, 1, 0x7F, 0xFF}:
            codec = Codec(role, LIMIT)
            codec.receive(data[:at] + bytes([byte]) + data[at + 1 :])
            try:
                assert {event[0] for event in events(codec)} <= kinds
            except Wrong:
                with pytest.raises(Wrong):
                    codec.next_event()


ANSWERS = [
    (ROUTER, GREETING, b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06ROUTER"),
    (PUB, GREETING, b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB"),
    (ROUTER, GREETING + ready(b"REQ"), b""),
    (ROUTER, GREETING + ready(b"REQ") + command(b"PING", b"\0\0"), b"\x04\x05\x04PONG"),
    (ROUTER, GREETING + ready(b"REQ") + command(b"PING", b"\0\0why"), b"\x04\x08\x04PONGwhy"),
    (PUB, GREETING + ready(b"SUB") + command(b"PING", b"\0\0why"), b"\x04\x08\x04PONGwhy"),
    (ROUTER, GREETING + ready(b"REQ") + command(b"PONG", b"why"), b""),
]


@pytest.mark.parametrize(("role", "data", "answer"), ANSWERS)
def test_what_is_answered(role, data, answer):
    codec = Codec(role, LIMIT)
    assert codec.answers == ZEROMQ.greeting()
    before = b""
    for byte in data:
        before = codec.answers
        codec.receive(bytes([byte]))
        events(codec)
    assert codec.answers[len(before) :] == answer


@pytest.mark.parametrize("parts", [(b"", b"x"), (b"", b"x" * 255), (b"tag", b"", b"x" * 256), (b"", b"x" * 70_000)])
def test_messages_are_written_as_they_are_read(parts):
    assert said(ROUTER, message(*parts), limit=100_000) == [("request", (parts[:-1], parts[-1]))]


# What is not


WRONG_FROM_THE_START = {
    "HTTP": b"GET / HTTP/1.1\r\n",
    "TLS": b"\x16\x03\x01\x02\x00",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "ZMTP 1": b"\x01\x00\x01\x00",
    "ZMTP 2": GREETING[:10] + b"\x01\x05",
    "CURVE": GREETING[:12] + b"CURVE".ljust(20, b"\0"),
    "PLAIN": GREETING[:12] + b"PLAIN".ljust(20, b"\0"),
    "NULLX": GREETING[:12] + b"NULLX".ljust(20, b"\0"),
}


@pytest.mark.parametrize("name", WRONG_FROM_THE_START)
def test_whoever_speaks_something_else_is_known_by_the_first_byte_that_differs(name):
    data = WRONG_FROM_THE_START[name]
    first = next(at for at, (one, other) in enumerate(zip(data, GREETING, strict=False)) if one != other)
    codec = Codec(ROUTER, LIMIT)
    codec.receive(data[:first])
    assert events(codec) == []
    codec.receive(data[first : first + 1])
    with pytest.raises(Wrong):
        codec.next_event()


NOT_YET = [message(b"", b"x"), command(b"PING", b"\0\0"), command(b"PONG", b""), command(b"SUBSCRIBE", b"")]


@pytest.mark.parametrize("data", NOT_YET)
@pytest.mark.parametrize("role", [ROUTER, PUB])
def test_nothing_comes_before_ready(role, data):
    wrong(role, data, begin=GREETING)


@pytest.mark.parametrize("kind", [b"REP", b"PUSH", b"PULL", b"PAIR", b"PUB", b"STREAM", b"", b"req", b"REQX"])
@pytest.mark.parametrize("role", [ROUTER, PUB])
def test_sockets_of_other_kinds_are_not_spoken_with(role, kind):
    wrong(role, ready(kind), begin=GREETING)


def test_subscribers_do_not_ask_and_askers_do_not_subscribe():
    wrong(ROUTER, ready(b"SUB"), begin=GREETING)
    wrong(PUB, ready(b"REQ"), begin=GREETING)
    for name in (b"SUBSCRIBE", b"CANCEL"):
        wrong(ROUTER, command(name, b""))
    wrong(PUB, message(b"", b"x"))


ODD = {
    "an unknown flag": b"\x08\x01x",
    "a command that goes on": b"\x05\x05\x04PING",
    "READY twice": ready(b"REQ"),
    "an unknown command": command(b"HELLO", b""),
    "a command without a name": frame(4, b"\x00"),
    "a command whose name does not end": frame(4, b"\x09PING"),
    "a name of controls": command(b"PI\n", b""),
    "an empty command": frame(4, b""),
    "PING without a TTL": command(b"PING", b"\0"),
    "one frame": message(b"x"),
    "a body behind no delimiter": message(b"tag", b"x"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_frames_end_it(name):
    wrong(ROUTER, ODD[name])


@pytest.mark.parametrize("body", [b"\x03abc", b"\x00\0\0\0\0", b"\x01a\0\0\0\x05x", b"\x01a\xff\xff\xff\xff", b"\x01a"])
def test_a_ready_whose_properties_do_not_end(body):
    wrong(ROUTER, command(b"READY", body), begin=GREETING)


def test_error_ends_it_and_nothing_comes_after():
    codec = opened(ROUTER)
    codec.receive(command(b"ERROR", b"\x02no") + message(b"", b"x"))
    assert codec.next_event() == ("error", b"no")
    with pytest.raises(Wrong):
        codec.next_event()


# Bounds, each one below, at it, and one above


def at_bound(role, build, bound, limit=LIMIT):
    for size in (bound - 1, bound):
        assert len(said(role, build(size), limit)) == 1, size
    wrong(role, build(bound + 1), limit)


def test_frames_of_a_request():
    at_bound(ROUTER, lambda frames: message(*[b"a"] * (frames - 2), b"", b"x"), ZEROMQ.MAX_FRAMES)


def test_bytes_of_an_envelope():
    at_bound(ROUTER, lambda size: message(b"a" * size, b"", b"x"), ZEROMQ.MAX_ENVELOPE)
    at_bound(ROUTER, lambda size: message(b"a" * 100, b"a" * (size - 100), b"", b"x"), ZEROMQ.MAX_ENVELOPE)


def test_bytes_of_a_message():
    at_bound(ROUTER, lambda size: message(b"", b"x" * size), LIMIT)
    at_bound(ROUTER, lambda size: message(b"tag", b"", b"x" * (size - 3)), LIMIT)


def test_bytes_of_a_command():
    begin = ZEROMQ.property_of(b"Socket-Type", b"REQ")

    def padded(size):
        return frame(4, b"\x05READY" + begin + b"\x01x" + (size - len(begin) - 12).to_bytes(4, "big")
                     + bytes(size - len(begin) - 12))  # fmt: skip

    for size in (ZEROMQ.MAX_COMMAND - 1, ZEROMQ.MAX_COMMAND):
        assert heard(ROUTER, GREETING + padded(size)) == [("ready", "REQ")]
    wrong(ROUTER, padded(ZEROMQ.MAX_COMMAND + 1), begin=GREETING)


def test_bytes_of_a_topic():
    at_bound(PUB, lambda size: command(b"SUBSCRIBE", b"t" * size), ZEROMQ.MAX_TOPIC)
    at_bound(PUB, lambda size: command(b"CANCEL", b"t" * size), ZEROMQ.MAX_TOPIC)
    at_bound(PUB, lambda size: message(b"\x01" + b"t" * size), ZEROMQ.MAX_TOPIC)


def test_bytes_that_come_back_with_a_pong():
    at_bound(ROUTER, lambda size: command(b"PING", b"\0\0" + b"c" * size), ZEROMQ.MAX_CONTEXT)


@pytest.mark.parametrize("size", [LIMIT + 1, 2**31, 2**40, 2**63, 2**64 - 1])
def test_what_is_too_large_is_refused_before_any_of_it_is_there(size):
    wrong(ROUTER, message(b"", b"")[:2] + b"\x02" + size.to_bytes(8, "big"))
    wrong(PUB, b"\x02" + size.to_bytes(8, "big"))
    wrong(ROUTER, b"\x06" + size.to_bytes(8, "big"))


def test_what_is_kept_is_counted_and_let_go():
    codec = opened(ROUTER, 100_000)
    data = message(b"tag", b"", b"x" * 50_000)
    for at in range(0, len(data) - 1, 1000):
        codec.receive(data[at : min(at + 1000, len(data) - 1)])
        assert events(codec) == []
        assert codec.begun and abs(min(at + 1000, len(data) - 1) - codec.pending) < 10
    codec.receive(data[-1:])
    assert len(events(codec)) == 1
    assert not codec.begun and codec.pending == 0


# Anything


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.data())
@settings(max_examples=200)
def test_messages_come_whole_however_they_are_cut(bodies, data):
    stream = b"".join(message(b"", body) + command(b"PING", b"\0\0") for body in bodies)
    codec, found, at = opened(ROUTER), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, 400))
        codec.receive(stream[at : at + size])
        found += events(codec)
        at += size
    assert [event for event in found if event[0] == "request"] == [("request", ((b"",), body)) for body in bodies]
    assert len(found) == 2 * len(bodies)


@pytest.mark.parametrize("role", [ROUTER, PUB])
def test_no_bytes_do_anything_else_than_events_or_wrong(role):
    """Mutations of what is right, from a seed: `./build.sh attack` does the same for as long as one likes."""
    chance = random.Random(7)
    right = [data for which, data, _ in SPOKEN.values() if which == role]
    for _ in range(3000):
        data = bytearray(chance.choice(right) * 2)
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(data))
            cut = chance.choice([0, 0, 1, 9])
            data[at : at + cut] = chance.randbytes(chance.randint(0, 2))
        codec = Codec(role, LIMIT)
        try:
            for at in range(0, len(data), step := chance.choice([1, 7, 64, 1000])):
                codec.receive(bytes(data[at : at + step]))
                for event in events(codec):
                    assert event[0] in ("ready", "request", "subscribe", "cancel", "ping", "pong", "error")
                assert codec.pending <= LIMIT + 1000
        except Wrong:
            pass


def test_a_connection_is_a_sender():
    assert issubclass(ZEROMQ.Connection, Sender)
