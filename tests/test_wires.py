"""A minion's connection to a port of a master, held against whoever answers there: plain sockets that speak ZMTP."""

import contextlib
import socket
import threading

import pytest
import zmq
from leaves import ZEROMQ
from live import until

import saltlite

WIRES = saltlite.packed_leaf("wires", "minion")
OPTS = {name: option.default for name, option in saltlite.options_of("minion").items()}
OPTS |= {"recon_default": 50, "recon_max": 50}
MOST = 1 << 20
HELLO = {kind: ZEROMQ.greeting() + ZEROMQ.ready(kind.encode()) for kind in ("PUB", "ROUTER")}


class Wired:
    """A wire in a loop of its own thread, and who answers at its other end."""

    def __init__(self, kind):
        self.kind, self.taken, self.ups = kind, list[list[bytes]](), list[bool]()
        self.takes = True
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(20)
        self.context = zmq.Context()
        self.loop = saltlite.Loop(zmq.Poller())
        made, topics = (self.context.socket(getattr(zmq, kind)), (b"",) if kind == "SUB" else ())
        place = self.server.getsockname()
        self.wire = WIRES.Wire(self.loop, made, OPTS, place, self.heard, self.ups.append, topics)
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    def heard(self):
        while self.takes:
            try:
                self.taken.append(self.wire.recv())
            except zmq.Again:
                return
        self.loop.unwatch(self.wire.socket)  # else it is called all the time

    @contextlib.contextmanager
    def peer(self):
        """The next connection, greeted."""
        connection, _ = self.server.accept()
        connection.settimeout(20)
        with connection:
            hello = HELLO["PUB" if self.kind == "SUB" else "ROUTER"]
            connection.sendall(hello)
            self.greeted = len(hello)
            until(lambda: self.ups and self.ups[-1], what="it is connected")
            yield connection

    def close(self):
        self.loop.at("end", 0, self.loop.stop)
        self.loop.ring()
        self.thread.join()
        self.wire.close()
        self.context.destroy(0)
        self.server.close()


@pytest.fixture(params=["SUB", "DEALER"])
def wired(request, monkeypatch):
    monkeypatch.setattr(WIRES, "MAX_WAITING", MOST)
    monkeypatch.setattr(WIRES, "EVERY", 0.05)
    wired = Wired(request.param)
    yield wired
    wired.close()


def hung_up(connection):
    """Whether the other side ends the connection, and what it says before; it has half a second."""
    connection.settimeout(0.5)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def frame(data, more):
    return bytes([2 + more]) + len(data).to_bytes(8, "big") + data


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_message_that_has_no_end_ends_the_connection(wired, more):
    with wired.peer() as connection:
        left = MOST - wired.greeted + more
        while left:  # each part says that there are more
            part = min(left - 9, 1000) if left > 2000 else left - 9
            connection.sendall(frame(bytes(part), True))
            left -= part + 9
        assert hung_up(connection) == (more > 0)
    with wired.peer() as connection:  # it has come again, and what was begun is forgotten
        connection.sendall(frame(b"", True) + frame(b"whole", False))
        until(lambda: wired.taken, what="a message is taken")
    assert wired.taken == [[b"", b"whole"]]


def test_however_much_comes_may_be_taken(wired):
    with wired.peer() as connection:
        for number in range(40):
            connection.sendall(frame(bytes(100_000), False))
            until(lambda number=number: len(wired.taken) > number, what="a message is taken")
        assert not hung_up(connection)


def test_who_sends_more_than_is_taken_is_hung_up_on(wired):
    wired.takes = False
    with wired.peer() as connection:
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                connection.sendall(frame(bytes(100_000), False))
        assert hung_up(connection)
