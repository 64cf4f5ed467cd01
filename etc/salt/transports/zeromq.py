"""The master's two ports: ZMTP 3.1 with the NULL mechanism, as libzmq speaks it, served by plain sockets.

Two layers. `Codec` is pure: bytes of one connection in, events and bytes to send out; no socket, no clock. `Listener`
holds the sockets, the clock and the bounds: who may connect, how much may be on its way, and who goes first when there
is no room. A master needs of ZeroMQ the server's half of two patterns, requests (its peers are REQ and DEALER) and
publications (SUB and XSUB); in exchange every bound is one of a peer and not of a process:

    NEW         has said nothing yet, or half of its greeting       READY within HANDSHAKE seconds
    ASKING      may ask, and has proven nothing                     a request within IDLE seconds
    SUBSCRIBED  hears publications; who it is, it never says        takes what it is sent
    PROVEN      a session of an accepted minion was used here       may be silent for ever

When there are no more descriptors whoever has proven nothing goes, of the address that has most of those, beyond its
proven ones: new ones first, then those that ask, then subscribers. The proven are never sacrificed; a minion has at
most MAX_OWN of them, and the requests of the proven come first in each turn.

Nothing that a peer calls itself is believed. A reply goes to the connection that asked, or nowhere.

Source: ZeroMQ RFC 37 (ZMTP 3.1), 23 (ZMTP 3.0), 28 (REQ and ROUTER), 29 (PUB and SUB); conversations of libzmq 4.3.5.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import fcntl
import itertools
import os
import resource
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from saltlite import Failure, Sender, log

# ---- The codec: bytes in, events out --------------------------------------------------------------------------------

ROUTER, PUB = "ROUTER", "PUB"
PEERS = {ROUTER: (b"REQ", b"DEALER", b"ROUTER"), PUB: (b"SUB", b"XSUB")}

MAX_FRAMES = 4  # of a request: two addresses, the delimiter, the body
MAX_ENVELOPE = 256  # bytes of all frames before the body
MAX_COMMAND = 512  # bytes: READY with an identity of 255 is the longest that libzmq sends
MAX_TOPIC = 255  # bytes
MAX_CONTEXT = 16  # bytes that come back with a PONG
MAX_CONSUMED = 16 << 10  # bytes that were looked at and are kept with what comes after them

MORE, LONG, COMMAND = 1, 2, 4

GREETING, HANDSHAKE, OPEN, CLOSED = "greeting", "handshake", "open", "closed"
MACHINE = {  # (state, what came) -> the state after it; what has no row here ends the connection
    ROUTER: {
        (GREETING, "greeting"): HANDSHAKE,
        (HANDSHAKE, "READY"): OPEN,
        (HANDSHAKE, "ERROR"): CLOSED,
        (OPEN, "message"): OPEN,
        (OPEN, "PING"): OPEN,
        (OPEN, "PONG"): OPEN,
        (OPEN, "ERROR"): CLOSED,
    },
    PUB: {
        (GREETING, "greeting"): HANDSHAKE,
        (HANDSHAKE, "READY"): OPEN,
        (HANDSHAKE, "ERROR"): CLOSED,
        (OPEN, "message"): OPEN,  # ZMTP 3.0: a subscription is a message
        (OPEN, "SUBSCRIBE"): OPEN,
        (OPEN, "CANCEL"): OPEN,
        (OPEN, "PING"): OPEN,
        (OPEN, "PONG"): OPEN,
        (OPEN, "ERROR"): CLOSED,
    },
}


class Wrong(Exception):
    """A peer does not speak ZMTP 3 with NULL, or more of it than it may: it is hung up on."""


def frame(flags: int, body: bytes) -> bytes:
    """One frame: flags, its size in one byte or in eight, the body."""
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return struct.pack(">BQ", flags | LONG, len(body)) + body


def message(*parts: bytes) -> bytes:
    """A message of these frames, as it travels."""
    return b"".join([frame(MORE, part) for part in parts[:-1]]) + frame(0, parts[-1])


def command(name: bytes, body: bytes) -> bytes:
    """A command as it travels."""
    return frame(COMMAND, bytes((len(name),)) + name + body)


def greeting() -> bytes:
    """64 bytes: signature, version, mechanism, not as a server, filler."""
    return b"\xff" + bytes(8) + b"\x7f" + bytes((3, 1)) + b"NULL".ljust(20, b"\0") + bytes(32)


def ready(kind: bytes) -> bytes:
    """READY of a socket of this kind."""
    return command(b"READY", property_of(b"Socket-Type", kind))


def property_of(name: bytes, value: bytes) -> bytes:
    """A property of READY."""
    return bytes((len(name),)) + name + struct.pack(">I", len(value)) + value


def properties(body: bytes) -> dict[bytes, bytes]:
    """What READY says of a peer, names in lower case; Wrong."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(body):
        name_end = at + 1 + body[at]
        end = name_end + 4 + int.from_bytes(body[name_end : name_end + 4], "big")
        if name_end + 4 > len(body) or end > len(body) or not body[at]:
            raise Wrong("READY with a property that does not end")
        found[body[at + 1 : name_end].lower()] = body[name_end + 4 : end]
        at = end
    return found


def check_greeting(begin: bytes) -> None:
    """Wrong as soon as the beginning of a greeting is none. The eight bytes of padding are whatever they are."""
    wanted = {0: 0xFF, 9: 0x7F} | dict(enumerate(b"NULL".ljust(20, b"\0"), 12))
    for at, byte in enumerate(begin):
        if at == 10 and byte < 3 or wanted.get(at, byte) != byte:
            raise Wrong("not ZMTP 3 with NULL")


class Codec:
    """One connection without its socket: `receive` bytes, then ask for events with `next_event` until there is none.

    Events are pairs: ("ready", kind), ("request", (envelope, body)) where the envelope is the frames up to and with the
    delimiter, ("subscribe", topic), ("cancel", topic), ("ping", seconds the peer wants to be missed after, 0: never),
    ("pong", context), ("error", reason). `answers` is what must be sent, and is emptied by whoever sends it; `pending`
    counts the bytes that are kept because more must come; `limit` is how many a message may have. Wrong comes with the
    first byte that is, and from then on every time."""

    __slots__ = ("answers", "frames", "limit", "role", "size", "state", "_at", "_buffer")

    def __init__(self, role: str, limit: int) -> None:
        self.role, self.limit, self.state = role, limit, GREETING
        self.answers = greeting()
        self.frames: tuple[bytes, ...] = ()  # of the message that is coming in
        self.size = 0  # bytes of those
        self._buffer: bytes | bytearray = b""
        self._at = 0  # where in it what was not looked at begins

    @property
    def pending(self) -> int:
        """Bytes that are kept."""
        return len(self._buffer) + self.size

    @property
    def begun(self) -> bool:
        """Whether something has begun that is not there as a whole."""
        return len(self._buffer) > self._at or bool(self.frames)

    def receive(self, data: bytes) -> None:
        """Take bytes as they came; what an event needs is looked at by `next_event`."""
        if self._at >= len(self._buffer):
            self._buffer, self._at = data, 0
            return
        if not isinstance(self._buffer, bytearray) or self._at:
            self._buffer, self._at = bytearray(memoryview(self._buffer)[self._at :]), 0
        self._buffer += data

    def next_event(self) -> tuple[str, Any] | None:
        """The next event, None if more bytes are needed for one; Wrong."""
        try:
            return self._next_event()
        except Wrong:
            self.state = CLOSED
            raise

    def _next_event(self) -> tuple[str, Any] | None:
        """The same, before a fault is remembered."""
        if self.state == CLOSED:
            raise Wrong("something after the end")
        if self.state == GREETING and not self._greeted():
            return None
        while found := self._frame():
            flags, body = found
            if flags & COMMAND:
                return self._command(body)
            if self.role == PUB:
                return ("subscribe" if body[0] else "cancel"), body[1:]
            if not flags & MORE:
                envelope, self.frames, self.size = self.frames, (), 0
                return "request", (envelope, body)
            self.frames += (body,)
            self.size += len(body)
        return None

    def _step(self, what: str) -> None:
        """Go on in the machine; Wrong if there is no such row."""
        try:
            self.state = MACHINE[self.role][self.state, what]
        except KeyError:
            raise Wrong(f"{what} in the state {self.state}") from None

    def _greeted(self) -> bool:
        """Take the greeting if it is there as a whole."""
        begin = bytes(self._buffer[self._at : self._at + 64])
        check_greeting(begin)
        if len(begin) < 64:
            return False
        self._at += 64
        self._step("greeting")
        self.answers += ready(self.role.encode())
        return True

    def _frame(self) -> tuple[int, bytes] | None:
        """The next frame (flags, body), None if it is not there as a whole; Wrong before its body is waited for."""
        buffer, at = self._buffer, self._at
        have = len(buffer) - at
        if not have:
            return None
        flags = buffer[at]
        if flags > 7 or flags & COMMAND and flags & MORE:
            raise Wrong("flags that no frame has")
        head = 9 if flags & LONG else 2
        if have < head:
            return None
        size = int.from_bytes(buffer[at + 1 : at + 9], "big") if flags & LONG else buffer[at + 1]
        if flags & COMMAND:
            if not 0 < size <= MAX_COMMAND:
                raise Wrong("a command of no size that one has")
        else:
            self._check_message(flags, size, buffer[at + head] if have > head else 1)
        if have < head + size:
            return None
        end = at + head + size
        body = bytes(memoryview(buffer)[at + head : end])
        if end == len(buffer):
            self._buffer, self._at = b"", 0
        elif end > MAX_CONSUMED:
            self._buffer, self._at = bytes(memoryview(buffer)[end:]), 0
        else:
            self._at = end
        return flags, body

    def forget(self) -> None:
        """Let go of everything that is kept; nothing comes after."""
        self._buffer, self._at, self.frames, self.size, self.state = b"", 0, (), 0, CLOSED

    def _check_message(self, flags: int, size: int, first: int) -> None:
        """Whether a frame of a message may be there; `first` is the first byte of its body, where it has come."""
        self._step("message")
        if self.role == PUB:
            if flags & MORE or not 0 < size <= 1 + MAX_TOPIC or first > 1:
                raise Wrong("no subscription")
            return
        if self.size + size > self.limit:
            raise Wrong("a message of more bytes than this peer may send")
        if flags & MORE:
            if self.size + size > MAX_ENVELOPE or len(self.frames) >= MAX_FRAMES - 1:
                raise Wrong("an envelope that is too large")
        elif not self.frames or self.frames[-1]:
            raise Wrong("a request without a delimiter before its body")

    def _command(self, body: bytes) -> tuple[str, Any]:
        """Take a command; Wrong if it is none that a peer sends now."""
        name, rest = body[1 : 1 + body[0]], body[1 + body[0] :]
        if len(name) != body[0] or not name.isalpha() or not name.isupper():
            raise Wrong("a command without a name")
        self._step(name.decode())
        if name == b"READY":
            kind = properties(rest).get(b"socket-type", b"")
            if kind not in PEERS[self.role]:
                raise Wrong(f"a peer of a kind that does not go with {self.role}")
            return "ready", kind.decode()
        if name == b"PING":
            if not 2 <= len(rest) <= 2 + MAX_CONTEXT:
                raise Wrong("a PING without a TTL or with too much of a context")
            self.answers += command(b"PONG", rest[2:])
            return "ping", int.from_bytes(rest[:2], "big") / 10
        if name == b"PONG":
            return "pong", rest
        if name == b"ERROR":
            return "error", rest[1:]
        if len(rest) > MAX_TOPIC:
            raise Wrong("a topic that is too long")
        return name.decode().lower(), rest


# ---- The listener: sockets, deadlines, bounds -----------------------------------------------------------------------

HANDSHAKE_SECONDS = 2.0  # from the connection to READY
IDLE_SECONDS = 60.0  # between two requests of somebody who has proven nothing
STALL_SECONDS = 60.0  # in which what is on its way must have grown, either way, by GROWTH
GROWTH = 60 << 10  # bytes
MAX_TTL = 120.0  # seconds after which a peer that wants to be missed is missed, whatever it says

SMALL = 16 << 10  # bytes: a message up to this makes room only where there are no larger ones
BUDGET_UNPROVEN = 64 << 20  # bytes of all messages of the unproven that are on their way; beyond it one of them goes
MAX_KEPT = 64 << 20  # bytes of messages that wait to be opened; beyond it only small ones are read
BUDGET = 256 << 20  # bytes of all messages of the proven that are on their way; beyond it they wait their turn
MAX_UNSENT = 32 << 20  # bytes that wait for one peer to take them, beyond the one message that it is taking
MAX_TOPICS = 2  # that a subscriber may have: `broadcast`, its own, and none besides that could match
MAX_OWN = 512  # connections on which one minion is believed; an older one then has proven nothing
MAX_ADDRESSES = 65_536  # that are remembered as those of minions
BUDGET_UNSENT = 256 << 20  # bytes of replies that wait to be taken; beyond it who has most of them is hung up on
AT_ONCE = 16  # requests, or whatever else was said, of one connection in a row
AT_ONCE_UNPROVEN = 2  # the same of one that has proven nothing: READY and its first request
ACCEPTS = 16  # connections taken in a row
RESERVE = 48  # descriptors left for files, jobs and the daemon itself
ENDING_SECONDS = 0.005  # of one turn, in which those are looked for, and hung up on, whose time is over
SHARE = 2  # of all descriptors the unproven of one address have half at most: a site may stand behind one
SLICE, SLICE_BYTES = 500, 4 << 20  # subscribers that a publication goes to, and bytes, before others have their turn
READ, READ_LARGE = 16 << 10, 256 << 10  # bytes of one read

NEW, ASKING, SUBSCRIBED, PROVEN = "new", "asking", "subscribed", "proven"
UNPROVEN = (NEW, ASKING, SUBSCRIBED)  # who goes first when there is no room
WEIGHT = dict.fromkeys(UNPROVEN, 1) | {PROVEN: -1, CLOSED: 0}  # in the crowd of a block


class Connection(Sender):
    """One peer. `standing` says what it has proven, `believed` the minion it is filed under; times are seconds of the
    monotonic clock.

    `address`, and `minion` once it has proven to be one, are what the protocol knows of it; `block` is the address, or
    the /64 of IPv6, which is one customer. `mark` and `marked` are when what is on its way was last looked at and how
    much of it there was; `counted` and `filed` where the bytes of ours that it holds stand in the books."""

    __slots__ = (
        *("believed", "block", "codec", "counted", "fd", "filed", "listener", "mark", "marked", "queue", "since"),
        *("socket", "standing", "topics", "ttl", "unsent", "wait_until"),
    )

    def __init__(self, listener: Listener, sock: socket.socket, codec: Codec, address: str, now: float) -> None:
        super().__init__(address)
        self.listener, self.socket, self.codec = listener, sock, codec
        self.fd, self.standing, self.since = sock.fileno(), NEW, now
        self.block = block_of(address)
        self.believed = ""
        self.topics: tuple[bytes, ...] = ()
        self.queue: collections.deque[bytes | memoryview] | None = None  # what waits to be sent, None: nothing
        self.unsent = self.counted = 0  # bytes of `queue`, and bytes that have begun to come in
        self.filed = (False, "")
        self.mark, self.marked = now, 0
        self.ttl = self.wait_until = 0.0  # seconds after which it wants to be missed, and when that is

    def reply(self, envelope: tuple[bytes, ...], body: bytes) -> None:
        """Answer what it has asked; nothing happens if it has gone."""
        if self.standing in (ASKING, PROVEN):
            self.listener.send(self, message(*envelope, body))


class Incoming:
    """Messages that have begun to come in and are not whole: how many bytes of them are kept, and whose turn it is.

    `partial` are their connections, the oldest first, those of the proven (True) and of the others (False) apart, and
    `bytes` what they hold; `holds` says it of each minion. `paused` are not read until it is their turn."""

    def __init__(self) -> None:
        self.partial: dict[bool, dict[Connection, None]] = {True: {}, False: {}}
        self.bytes = {True: 0, False: 0}
        self.holds: collections.Counter[str] = collections.Counter()
        self.paused: dict[Connection, None] = {}
        self.kept = 0  # bytes of messages that came whole and are not open yet

    def count(self, connection: Connection, size: int, now: float) -> None:
        """A connection holds so many bytes now, under what it has proven by now."""
        proven, minion_id = connection.filed
        if connection.counted:
            self.bytes[proven] -= connection.counted
            self.holds[minion_id] -= connection.counted if proven else 0
            if not self.holds[minion_id]:
                del self.holds[minion_id]
        else:
            connection.mark, connection.marked = now, 0
        filed = connection.standing == PROVEN, connection.believed
        if not size or filed[0] != proven:
            self.partial[proven].pop(connection, None)
        if size:
            self.partial[filed[0]][connection] = None
            self.bytes[filed[0]] += size
            self.holds[filed[1]] += size if filed[0] else 0
        connection.counted, connection.filed = size, filed

    def has_turn(self, connection: Connection) -> bool:
        """Whether more of what a connection is sending may be read: there is room, or its minion holds no more than its
        share, or it is the oldest, so that there is always one that can come to its end."""
        if self.kept > MAX_KEPT and connection.counted > SMALL:
            return False
        if connection.standing != PROVEN or self.bytes[True] <= BUDGET:
            return True
        if self.holds[connection.believed] <= BUDGET // len(self.holds):
            return True
        return connection is next(iter(self.partial[True]), connection)

    def too_much(self) -> Connection | None:
        """Of the unproven whoever must go, for they hold more than they may together."""
        if self.bytes[False] <= BUDGET_UNPROVEN:
            return None
        known = self.partial[False]
        large = [each for each in known if each.counted > SMALL]
        strangers = (each for each in large if each.address not in each.listener.known)
        return next(strangers, None) or next(iter(large or known), None)


class Crowds:
    """The connections of each block that have proven nothing, by standing, the oldest first. `count` says how many they
    are beyond the proven ones of the block, and the block that has most is known without a search: strangers may come
    from as many addresses as there are connections, and each that comes may need the place of another."""

    def __init__(self) -> None:
        self.count = collections.Counter[str]()
        self.members: dict[tuple[str, str], dict[Connection, None]] = {}  # by block and standing
        self._blocks: dict[int, dict[str, None]] = {}  # those of each count
        self._most = 0  # the highest count that a block may have

    def __bool__(self) -> bool:
        return bool(self.count or self.members or self._blocks)

    def move(self, connection: Connection, before: str, after: str) -> None:
        """A connection has another standing, or the same once more, and is the youngest of it."""
        block = connection.block
        if own := self.members.get((block, before)):
            own.pop(connection, None)
            if not own:
                del self.members[block, before]
        if after in UNPROVEN:
            self.members.setdefault((block, after), {})[connection] = None
        if step := WEIGHT[after] - WEIGHT[before]:
            self._file(block, self.count[block] + step)

    def _file(self, block: str, count: int) -> None:
        """A block has this count from here on."""
        if equal := self._blocks.get(self.count[block]):
            equal.pop(block, None)
            if not equal:
                del self._blocks[self.count[block]]
        if count:
            self.count[block] = count
            self._blocks.setdefault(count, {})[block] = None
        else:
            del self.count[block]
        self._most = max(self._most, count)
        while self._most > 0 and self._most not in self._blocks:
            self._most -= 1

    def largest(self) -> tuple[str, int]:
        """The block that has most, and its count; no block and 0 where none has more unproven than proven ones."""
        return (next(iter(self._blocks[self._most])), self._most) if self._most > 0 else ("", 0)


def block_of(address: str) -> str:
    """The address, or of an IPv6 address its /64: a customer has that many."""
    if ":" not in address:
        return address
    with contextlib.suppress(OSError):
        return sys.intern(socket.inet_pton(socket.AF_INET6, address)[:8].hex())
    return address


def address_of(interface: str) -> str:
    """An address to listen on: itself, that of a network interface, or all for `*`."""
    if interface == "*":
        return "0.0.0.0"
    if os.path.isdir(f"/sys/class/net/{interface}") and "/" not in interface and interface.strip("."):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            request = struct.pack("256s", interface.encode()[:15])
            return socket.inet_ntoa(fcntl.ioctl(probe, 0x8915, request)[20:24])  # SIOCGIFADDR
    return interface.strip("[]")


def plain(address: str) -> str:
    """One text for an address, however it was written: of ::ffff:192.0.2.1%eth0 what a peer of IPv4 would have."""
    return address.partition("%")[0].removeprefix("::ffff:")


def listen(opts: Mapping[str, Any], option: str) -> socket.socket:
    """A socket that listens at the port an option names; Failure with a sentence that mends it."""
    where = f"{opts['interface']} port {opts[option]}"
    try:
        found = socket.getaddrinfo(address_of(opts["interface"]), opts[option], type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # connections inherit what follows
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1 if opts["tcp_keepalive"] else 0)
        names = {"idle": socket.TCP_KEEPIDLE, "cnt": socket.TCP_KEEPCNT, "intvl": socket.TCP_KEEPINTVL}
        for name, number in names.items():
            if opts[f"tcp_keepalive_{name}"] > 0:
                sock.setsockopt(socket.IPPROTO_TCP, number, opts[f"tcp_keepalive_{name}"])
        sock.bind(address)
        sock.listen(1000)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Failure(f"{where} is in use by another program: stop it, or set {option}.") from None
        why = error.strerror or error
        raise Failure(f"{where} cannot be listened on ({why}): see interface and {option}.") from None
    return sock


class Listener:
    """The two ports of a master, publish_port and ret_port, and everybody connected to them.

    Watch `fileno()`, and when it is readable take the requests of `turn`; call `tick` once a second. `minions` are the
    connections on which an accepted minion has proven itself, by id, and `subscribers` counts those of publications by
    address; `changed` says that one of either came or went since somebody set it to False. `known` are the addresses
    of minions."""

    def __init__(self, opts: Mapping[str, Any], most: int = 0) -> None:
        self.opts = opts
        self.most = most or max(4 * ACCEPTS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVE)
        self.topic = b"broadcast" if opts["zmq_filtering"] else b""  # the one that every minion hears, filtering or not
        self.minions: dict[str, list[Connection]] = {}
        self.subscribers: collections.Counter[str] = collections.Counter()
        self.known: dict[str, None] = {}
        self.changed = False
        self._arrived: set[str] = set()
        self.incoming = Incoming()
        self._all: dict[int, Connection] = {}
        self._standing: dict[str, dict[Connection, None]] = {each: {} for each in (NEW, ASKING, SUBSCRIBED, PROVEN)}
        self._crowds = Crowds()
        self._ending: Iterator[None] | None = None  # what `tick` has begun
        self._unsent: dict[Connection, None] = {}  # has not taken what it was sent
        self._unsent_bytes = 0  # of replies
        self._beating: dict[Connection, None] = {}  # wants to be missed
        self._more: dict[bool, dict[Connection, None]] = {True: {}, False: {}}  # with bytes to look at; by proven
        self._publications: collections.deque[tuple[bytes, collections.deque[Connection]]] = collections.deque()
        self._now = self._until = time.monotonic()
        self._left = 0  # requests that `turn` still gives
        self._behind = False  # whether the last turn has left something unread
        self._epoll = select.epoll()  # of the ports, the proven, and of `_others` as a whole
        self._others = select.epoll()  # of those who have proven nothing, who wait for their turn, however many
        self._epoll.register(self._others.fileno(), select.EPOLLIN)
        self._ports: dict[int, tuple[socket.socket, str]] = {}
        for option, role in (("publish_port", PUB), ("ret_port", ROUTER)):
            sock = listen(opts, option)
            self._ports[sock.fileno()] = sock, role
        self._resting = True
        self._rest(False)

    def fileno(self) -> int:
        """What to watch for reading."""
        return self._epoll.fileno()

    @property
    def busy(self) -> bool:
        """Whether `turn` has something to do although nothing is readable."""
        return bool(self._more[True] or self._more[False] or self._publications or self._ending)

    def __len__(self) -> int:
        return len(self._all)

    # what comes in

    def turn(self, most: int = 500, seconds: float = 0.05) -> Iterator[tuple[Connection, tuple[bytes, ...], bytes]]:
        """Requests (connection, envelope, body) that have come in, `most` of them or those of so many seconds; to be
        taken to its end. The proven go first; the others have a fifth of the time left.

        Whoever takes one sets `minion` of the connection when an accepted minion has proven itself with it."""
        began = self._now = time.monotonic()
        self._distribute()
        self._end_some()
        self._receive(self._epoll, began + 0.3 * seconds)
        self._receive(self._others, began + 0.4 * seconds)
        for proven, part, share in ((True, most, 0.8), (False, most // 5, 1.0)):
            self._left, self._until = part, began + share * seconds
            for connection in list(self._more[proven]):
                if self._left <= 0 or time.monotonic() > self._until:
                    break
                if connection in self._more[proven]:  # who went meanwhile is not
                    del self._more[proven][connection]
                    yield from self._requests(connection)

    def _receive(self, epoll: select.epoll, until: float) -> None:
        """Take what the system has: connections, bytes, room to send."""
        found = epoll.poll(0, SLICE)
        self._behind = len(found) == SLICE
        for fd, mask in found:
            if time.monotonic() > until:
                self._behind = True
                break
            if fd in self._ports:
                self._accept(*self._ports[fd])
            elif connection := self._all.get(fd):
                if connection in self.incoming.paused and mask & (select.EPOLLHUP | select.EPOLLERR):
                    self.close(connection, "")  # nothing is asked of it, so it would be told for ever
                    continue
                if mask & select.EPOLLOUT:
                    self._flush(connection)
                if mask & ~select.EPOLLOUT and connection not in self._more[connection.standing == PROVEN]:
                    self._read(connection)

    def _read(self, connection: Connection) -> None:
        """Read once from a connection, and put it among those whose bytes are to be looked at."""
        if connection.standing == CLOSED:
            return
        if connection.counted and not self.incoming.has_turn(connection):
            self.incoming.paused[connection] = None
            return self._watch(connection)
        try:
            data = connection.socket.recv(READ_LARGE if connection.counted > READ else READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self.close(connection, "")
        connection.codec.receive(data)
        if connection.ttl:
            connection.wait_until = self._now + connection.ttl
        self._look(connection)

    def _look(self, connection: Connection) -> None:
        """There are bytes to look at."""
        self._more[connection.standing == PROVEN][connection] = None

    def _requests(self, connection: Connection) -> Iterator[tuple[Connection, tuple[bytes, ...], bytes]]:
        """What a connection has asked, and everything else that it has said, some of it in a row.

        Of one that does not take its answers nothing is looked at until it has."""
        codec, more = connection.codec, False
        for _ in range(0 if connection.unsent else AT_ONCE if connection.standing == PROVEN else AT_ONCE_UNPROVEN):
            try:
                event = codec.next_event()
            except Wrong as error:
                return self.close(connection, str(error))
            if event is None:
                break
            if event[0] == "request":
                self._asks(connection)
                yield connection, *event[1]
                self._left -= 1
                if connection.standing != CLOSED:
                    self._believe(connection)
            else:
                self._heard(connection, *event)
            if connection.standing == CLOSED:
                return
            if self._left <= 0 or time.monotonic() > self._until:
                more = codec.begun
                break
        else:
            more = codec.begun
        if codec.answers:
            answers, codec.answers = codec.answers, b""
            self.send(connection, answers)
        if connection.standing == CLOSED:
            return
        if more and not connection.unsent:
            self._look(connection)
        if codec.begun or connection.counted:
            self._count(connection, codec.pending)

    def _heard(self, connection: Connection, what: str, value: Any) -> None:
        """Something that is no request."""
        if what == "ready":
            connection.since = self._now
            self._stand(connection, SUBSCRIBED if connection.codec.role == PUB else ASKING)
        elif what == "subscribe":
            if self.topic.startswith(value) and value not in connection.topics:
                if len(connection.topics) >= MAX_TOPICS:
                    return self.close(connection, "more topics than a minion has")
                connection.topics += (value,)
        elif what == "cancel":
            connection.topics = tuple(topic for topic in connection.topics if topic != value)
        elif what == "ping":
            connection.ttl = min(value, MAX_TTL)
            connection.wait_until = self._now + connection.ttl
            self._beating.pop(connection, None)
            if value:
                self._beating[connection] = None
        elif what == "error":
            self.close(connection, "")

    def _asks(self, connection: Connection) -> None:
        """Somebody asks, so its message is whole: whoever does not is sacrificed before."""
        connection.since = self._now
        if connection.standing == ASKING:
            self._stand(connection, ASKING)  # the youngest of these
        if connection.counted:
            self._count(connection, 0)

    # who is who

    def _believe(self, connection: Connection) -> None:
        """Take over what the protocol has found out of a connection; it may say another thing than before."""
        if not connection.minion or connection.believed == connection.minion:
            return
        if connection.believed:
            minion_id = connection.minion
            self._doubt(connection)
            connection.minion = minion_id
        connection.believed = connection.minion
        self._stand(connection, PROVEN)
        own = self.minions.setdefault(connection.believed, [])
        if not own:
            self._arrived.add(connection.believed)
        own.append(connection)
        if len(own) > MAX_OWN:
            self._doubt(own[0])
        self.know(connection.address)

    def _doubt(self, connection: Connection) -> None:
        """What a connection has proven counts no more."""
        own = self.minions.get(connection.believed, [])
        if connection in own:
            own.remove(connection)
            if not own:
                del self.minions[connection.believed]
        connection.minion = connection.believed = ""
        if connection.standing == PROVEN:
            connection.since = self._now
            self._more[True].pop(connection, None)
            self._stand(connection, ASKING)
            self._look(connection)
            self._count(connection, connection.counted)

    def forget(self, minion_id: str) -> None:
        """A minion is accepted no more, or under another key: nobody is it."""
        own = list(self.minions.get(minion_id, ()))
        for connection in own:
            self._doubt(connection)
        living = {each.address for each in self._standing[PROVEN]} if own else set()
        for connection in own:
            if connection.address not in living:
                self.known.pop(connection.address, None)

    def present(self, addresses: Mapping[str, str]) -> set[str]:
        """Which minions, of these by id with the address of each, are connected: those that have proven themselves on
        a connection, and those of whose address there are more subscribers than such minions, for a subscriber does
        not say who it is."""
        proven = self.minions.keys() & addresses.keys()
        spare = collections.Counter(self.subscribers)
        spare.subtract(addresses[minion_id] for minion_id in proven)
        return proven | {minion_id for minion_id, address in addresses.items() if spare[address] > 0}

    def arrived(self) -> set[str]:
        """Which minions have proven themselves since this was asked for the last time, having been connected before or
        not, as far as `present` can tell: somebody else at the address of one may have subscribed."""
        arrived, self._arrived = self._arrived, set()
        return arrived

    def know(self, address: str) -> None:
        """A minion lives at this address, so many of them may: the bounds of one address do not hold there."""
        self.known.pop(address, None)
        self.known[address] = None
        if len(self.known) > MAX_ADDRESSES:
            del self.known[next(iter(self.known))]

    # what is on its way

    def _count(self, connection: Connection, size: int) -> None:
        """Keep the books of what has begun to come in, make room where there is none, and read on where there is."""
        incoming = self.incoming
        incoming.count(connection, size, self._now)
        while victim := incoming.too_much():
            self.close(victim, "no room for what it sends")
        if size == 0 or connection.standing != PROVEN:
            self._resume()

    def keep(self, size: int) -> None:
        """So many bytes of messages wait to be opened; beyond MAX_KEPT the rest of others is not read."""
        fewer, self.incoming.kept = size < self.incoming.kept, size
        if fewer:
            self._resume()

    def _resume(self) -> None:
        """Read on from those whose turn it is."""
        for connection in list(self.incoming.paused):
            if self.incoming.has_turn(connection):
                del self.incoming.paused[connection]
                connection.mark, connection.marked = time.monotonic(), connection.counted
                self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        """Tell the system what is wanted of a connection now: to read, unless it has not taken what it was sent."""
        self._epoll_of(connection.standing).modify(connection.fd, self._mask(connection))

    def _mask(self, connection: Connection) -> int:
        reading = 0 if connection in self.incoming.paused else select.EPOLLIN
        return select.EPOLLOUT if connection.unsent else reading

    def _epoll_of(self, standing: str) -> select.epoll:
        """Where a connection of this standing is watched."""
        return self._epoll if standing == PROVEN else self._others

    # what goes out

    def send(self, connection: Connection, data: bytes) -> None:
        """Send bytes; what is not taken waits, in bounds, and while it does nothing is read from there."""
        if connection.standing == CLOSED:
            return
        if connection.queue is None:
            try:
                sent = connection.socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return self.close(connection, "")
            if sent == len(data):
                return
            connection.queue = collections.deque([memoryview(data)[sent:]])
            connection.mark, connection.marked = self._now, 0
            self._unsent[connection] = None
            self._owe(connection, len(data) - sent)
            self._watch(connection)
        elif connection.unsent + len(data) > MAX_UNSENT:
            self._drop(connection)
        else:
            connection.queue.append(data)
            self._owe(connection, len(data))
        if self._unsent_bytes > BUDGET_UNSENT:
            self._drop(max((each for each in self._unsent if each.codec.role == ROUTER), key=lambda each: each.unsent))

    def _owe(self, connection: Connection, size: int) -> None:
        """So many bytes more, or less, wait for a connection. Those of a publication are there once for all."""
        connection.unsent += size
        if connection.codec.role == ROUTER:
            self._unsent_bytes += size

    def _drop(self, connection: Connection) -> None:
        """Hang up on somebody who does not take what he is sent."""
        log.warning("a peer at %s is dropped: it does not take what it is sent", connection.address)
        self.close(connection, "")

    def _flush(self, connection: Connection) -> None:
        """Send on what has waited."""
        if connection not in self._unsent or (queue := connection.queue) is None:
            return
        while queue:
            try:
                sent = connection.socket.send(queue[0])
            except BlockingIOError:
                return
            except OSError:
                return self.close(connection, "")
            self._owe(connection, -sent)
            connection.marked += sent
            if sent < len(queue[0]):
                queue[0] = memoryview(queue[0])[sent:]
                return
            queue.popleft()
        connection.queue = None
        connection.mark, connection.marked = self._now, connection.counted
        del self._unsent[connection]
        self._watch(connection)
        if connection.codec.begun:
            self._look(connection)

    def publish(self, data: bytes) -> None:
        """Send a publication to everybody who has subscribed by now; its bytes are there once, however many there are.

        Some get it at once, the others in the next turns, each one publication after the other."""
        parts = [self.topic, data] if self.topic else [data]
        subscribers = collections.deque(each for each in self._standing[SUBSCRIBED] if each.topics)
        self._publications.append((message(*parts), subscribers))
        if len(self._publications) == 1:
            self._distribute()

    def _distribute(self) -> None:
        """Send the publication under way to some more."""
        if not self._publications:
            return
        data, left = self._publications[0]
        for _ in range(min(len(left), max(1, min(SLICE, SLICE_BYTES // len(data))))):
            self.send(left.popleft(), data)
        if not left:
            self._publications.popleft()

    # who comes, who goes

    def _accept(self, port: socket.socket, role: str) -> None:
        """Take the next connections; where there is no room, somebody who has proven less goes."""
        for _ in range(ACCEPTS):
            try:
                sock, where = port.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    if not self._sacrifice():
                        return self._rest(True)
                continue
            address = sys.intern(where[0] if port.family == socket.AF_INET else plain(where[0]))
            crowded = address not in self.known and self._crowds.count[block_of(address)] >= max(1, self.most // SHARE)
            if crowded or len(self._all) >= self.most and not self._sacrifice():
                sock.close()
                continue
            sock.setblocking(False)
            codec = Codec(role, self.opts["max_message_size"] + MAX_ENVELOPE)
            self._admit(Connection(self, sock, codec, address, self._now))

    def _admit(self, connection: Connection) -> None:
        """Begin with a connection: our greeting goes out without waiting for the other."""
        try:
            self._others.register(connection.fd, select.EPOLLIN)
        except OSError as error:
            log.warning("a connection from %s cannot be watched: %s", connection.address, error)
            return connection.socket.close()
        self._all[connection.fd] = connection
        self._standing[NEW][connection] = None
        self._crowds.move(connection, CLOSED, NEW)
        answers, connection.codec.answers = connection.codec.answers, b""
        self.send(connection, answers)

    def _sacrifice(self) -> bool:
        """Make room: of the address that has most connections which have proven nothing, beyond those that have, the
        oldest go, those first that have said least, and of a crowd some at once; whether there was one."""
        log.warning("as many connections as there may be, %s: one that has proven nothing goes; raise the limit of open"
                    " files (ulimit -n, LimitNOFILE) if these are minions", self.most)  # fmt: skip
        block, count = self._crowds.largest()
        victims: list[Connection] = []
        for standing in UNPROVEN:
            known = self._crowds.members.get((block, standing), {}) if count else self._standing[standing]
            victims += itertools.islice(known, min(count // 16, AT_ONCE) + 1 - len(victims))
        for connection in victims:
            self.close(connection, "no room, and its address has more that have proven nothing than any other")
        return bool(victims)

    def _rest(self, resting: bool) -> None:
        """Take no connections until the next tick, for there is nothing to take them with; or take them again."""
        for fd in self._ports if resting != self._resting else ():
            if resting:
                self._epoll.unregister(fd)
            else:
                self._epoll.register(fd, select.EPOLLIN)
        self._resting = resting

    def _stand(self, connection: Connection, standing: str) -> None:
        """Change what a connection has proven."""
        before, connection.standing = connection.standing, standing
        if self._epoll_of(before) is not self._epoll_of(standing) or standing == CLOSED:
            with contextlib.suppress(OSError):
                self._epoll_of(before).unregister(connection.fd)
            if standing != CLOSED:
                self._epoll_of(standing).register(connection.fd, self._mask(connection))
        self._standing[before].pop(connection, None)
        if standing != CLOSED:
            self._standing[standing][connection] = None
        self._crowds.move(connection, before, standing)
        if step := (standing == SUBSCRIBED) - (before == SUBSCRIBED):
            self.subscribers[connection.address] += step
            if not self.subscribers[connection.address]:
                del self.subscribers[connection.address]
        if {before, standing} & {SUBSCRIBED, PROVEN}:
            self.changed = True

    def close(self, connection: Connection, why: str) -> None:
        """Hang up; `why` for the log of somebody who looks for it, '' when the peer has gone by itself."""
        if connection.standing == CLOSED:
            return
        if why:
            log.debug("a connection from %s is closed: %s", connection.address, why)
        del self._all[connection.fd]
        self._stand(connection, CLOSED)
        for kept in (self.incoming.paused, self._unsent, self._beating, *self._more.values()):
            kept.pop(connection, None)
        self._owe(connection, -connection.unsent)
        connection.queue, connection.open = None, False
        connection.socket.close()
        connection.codec.forget()
        if connection.believed:
            self._doubt(connection)
        if connection.counted:
            self._count(connection, 0)

    def tick(self) -> None:
        """Once a second: end what has taken too long. There may be thousands of them, so the turns after this one go
        on with it."""
        self._now = time.monotonic()
        self._rest(False)
        self._ending = self._end_late(self._now)
        self._end_some()

    def _end_some(self) -> None:
        """Go on with what `tick` has begun."""
        if self._ending is None:
            return
        until = time.monotonic() + ENDING_SECONDS
        for _ in self._ending:
            if time.monotonic() > until:
                return
        self._ending = None

    def _end_late(self, now: float) -> Iterator[None]:
        """End what has taken too long; a step for each connection that is looked at, as it is then. Only those are of
        whom something is due."""
        waits = HANDSHAKE_SECONDS * (5 if self._behind else 1)  # what we have not read is not their delay
        for standing, seconds in ((NEW, waits), (ASKING, IDLE_SECONDS)):
            late, since = [], now - seconds
            for connection in self._standing[standing]:  # the oldest first
                if connection.since > since:
                    break
                late.append(connection)
            for connection in late:
                begun = connection in self._more[False] or connection.counted and standing != NEW  # is told below
                if connection.standing == standing and connection.since <= since and not begun:
                    self.close(connection, f"nothing for {seconds:g} s")
                yield
        for connection in list(self._beating):
            if connection in self._beating and connection.wait_until <= now:
                if connection not in self.incoming.paused and connection not in self._unsent:  # for we do not read it
                    self.close(connection, "it is missed")
            yield
        for connection in [*self.incoming.partial[True], *self.incoming.partial[False], *self._unsent]:
            if connection.open and connection.mark + STALL_SECONDS <= now and connection not in self.incoming.paused:
                moved = connection.marked if connection.unsent else connection.counted - connection.marked
                if moved < GROWTH:
                    self.close(connection, f"less than {GROWTH} bytes in {STALL_SECONDS:g} s")
                else:
                    connection.mark = now
                    connection.marked = 0 if connection.unsent else connection.counted
            yield

    def stop(self) -> None:
        """Close everything."""
        for connection in list(self._all.values()):
            self.close(connection, "")
        for sock, _ in self._ports.values():
            sock.close()
        self._others.close()
        self._epoll.close()
