"""A minion's connections to its masters: libzmq's, with an end for what has none.

libzmq bounds a frame and not the frames of a message, nor how much waits in large messages that nobody takes. Whoever
answers at a master's address could fill a minion so. Linux counts the bytes that came over a connection (tcp(7),
TCP_INFO); what is beyond the last moment at which nothing waited is being put together, or waits."""

from __future__ import annotations

import _socket  # of socket the minion needs no more than this, and that would take half a megabyte
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import zmq

from saltlite import Lazy, Loop, log

MAX_FRAME = 256 << 20  # bytes, of what a real master may send
MAX_WAITING = MAX_FRAME + (1 << 20)  # bytes of one connection that came, and were not taken
EVERY = 1.0  # seconds between two looks
RECEIVED = slice(128, 136)  # tcpi_bytes_received in struct tcp_info, linux/tcp.h: bytes since the connection was made


def tcp(host: str, port: int) -> str:
    """A zmq address; an IPv6 address goes in brackets."""
    return f"tcp://[{host}]:{port}" if ":" in host and not host.startswith("[") else f"tcp://{host}:{port}"


def keep_alive(socket: zmq.Socket[Any], opts: Mapping[str, Any], host: str) -> None:
    """The options of a minion's sockets: no lingering, keep-alive, IPv6 where wanted or where `host` is such an
    address."""
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1 if opts["tcp_keepalive"] else 0)
    for name in ("IDLE", "CNT", "INTVL"):
        socket.setsockopt(getattr(zmq, f"TCP_KEEPALIVE_{name}"), opts[f"tcp_keepalive_{name.lower()}"])
    if opts["ipv6"] or ":" in host:
        socket.setsockopt(zmq.IPV6, 1)


class Wire:
    """A connection to a port of a master, made again whenever it is lost.

    `heard` is called when there is something to `recv`, `changed` with whether it is there when that changes."""

    def __init__(
        self,
        loop: Loop,
        socket: zmq.Socket[Any],
        opts: Mapping[str, Any],
        place: tuple[str, int],
        heard: Callable[[], None],
        changed: Callable[[bool], object] = bool,
        topics: Iterable[bytes] = (),
    ) -> None:
        self.loop, self.socket, self.name = loop, socket, f"the connection to {place[0]} port {place[1]}"
        self._changed = changed
        self._fd = -1  # of the connection; libzmq's thread may close it at any time
        self._taken = self._empty = False  # whether something was taken, and then nothing waited, since the last look
        self._before = 0  # bytes that had come when nothing waited
        keep_alive(socket, opts, place[0])
        # a NAT that forgets a connection says nothing: heartbeats notice within 30 s, at the master within 60; a name
        # is resolved at each try to connect, which without an end would last two minutes where packets are dropped
        settings = {"HEARTBEAT_IVL": 15000, "HEARTBEAT_TIMEOUT": 15000, "HEARTBEAT_TTL": 60000}
        settings |= {"RECONNECT_IVL": opts["recon_default"], "RECONNECT_IVL_MAX": opts["recon_max"]}
        settings |= {"CONNECT_TIMEOUT": 10000, "HANDSHAKE_IVL": 10000, "SNDHWM": 100, "RCVHWM": 1000}
        for name, value in (settings | {"MAXMSGSIZE": MAX_FRAME}).items():
            socket.setsockopt(getattr(zmq, name), value)
        for topic in topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        wanted = zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        self.monitor: zmq.Socket[Any] = socket.get_monitor_socket(wanted)
        loop.watch(socket, heard)
        loop.watch(self.monitor, self._monitored)
        loop.every(self.name, EVERY, self.look)
        socket.connect(tcp(*place))

    def send(self, frames: list[bytes]) -> None:
        """Send, unless too much waits to be sent already."""
        with contextlib.suppress(zmq.Again):
            self.socket.send_multipart(frames, zmq.NOBLOCK)

    def recv(self) -> list[bytes]:
        """The frames of a message; zmq.Again where none waits."""
        try:
            frames = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            self._empty = self._empty or self._taken
            raise
        self._taken = True
        return frames

    def look(self) -> None:
        """Hang up where too much has come that is no message, or was not taken."""
        try:
            connection = _socket.socket(fileno=os.dup(self._fd))
        except OSError:
            return  # there is none
        with contextlib.closing(connection), contextlib.suppress(OSError):
            told = connection.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_INFO, RECEIVED.stop)
            received = int.from_bytes(told[RECEIVED], sys.byteorder)
            if self._empty:
                self._before, self._taken, self._empty = received, False, False
            elif received - self._before > MAX_WAITING:
                log.warning("%s: what comes has no end, or is more than can be taken; hanging up", self.name)
                connection.shutdown(_socket.SHUT_RDWR)

    def _monitored(self) -> None:
        """The connection came up or went down, says libzmq."""
        said = Lazy("zmq.utils.monitor").recv_monitor_message(self.monitor)
        if said["event"] == zmq.EVENT_CONNECTED:
            self._fd, self._before = said["value"], 0
        else:
            self._fd = self._fd if (up := said["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED) else -1
            self._changed(up)

    def close(self) -> None:
        """For good; what comes late finds nobody."""
        self.loop.cancel(self.name)
        self.loop.unwatch(self.socket)
        self.loop.unwatch(self.monitor)
        self.socket.disable_monitor()
        self.socket.close(0)
