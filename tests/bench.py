"""Benchmark of saltlite, and of a real salt-master in the same run.

    python tests/bench.py [--vs-salt] [--salt 3008=/path/of/venv] [--saltlite "CMD"]
                          [-n MINIONS] [--quick] [-k ROW] [-o bench.json]

Each master runs on 127.0.0.1 in a scratch directory and has simulated minions in one process of their own:

    bench ──starts──> master (saltlite | salt-master)  <──2 TCP connections per minion (4505, 4506)── sims
      │ mv, salt …        │                                                                            │
      └───────────────────┴──────────────────────── control pipe ──────────────────────────────────────┘

The sims do not import saltlite: the wire is written down here a second time, down to ZMTP 3.0 on plain TCP sockets
under one epoll loop (a libzmq socket costs several times as much per message, and then the client would be what is
measured). Every minion has its own id, connections, session key, nonces and tokens and at most one request outstanding.
They share one RSA key, and what needs no clock is done off the clock: tokens are sealed before it starts, and in the
authentication floods the OAEP parts of the replies are opened after it stops (all of them; the signature and the nonce
are checked as they come).

The two masters are measured in turn, row by row and round by round; figures are medians of the rounds unless they say
otherwise. While one is measured the other idles. CPU is that of the master with all its children, from the scheduler.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import dataclasses
import fcntl
import fnmatch
import functools
import gc
import hashlib
import heapq
import hmac
import itertools
import json
import multiprocessing
import multiprocessing.connection
import os
import platform
import pty
import random
import re
import resource
import select
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgpack
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

HERE = Path(__file__).resolve().parent
LOOPBACK = "127.0.0.1"
IP_BIND_ADDRESS_NO_PORT = 24  # of Linux: the port is chosen with the peer, so that few addresses have enough of them
BEHIND_ONE = 500  # simulated minions with one address
ACCEPTANCE_WAIT = 10.0  # seconds a real minion sleeps after a "pending" reply (acceptance_wait_time)
OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)

# ---- 1. The wire: msgpack, boxes, RSA, ZMTP ---------------------------------------------------------------------

pack = functools.partial(msgpack.packb, use_bin_type=False)
unpack = functools.partial(msgpack.unpackb, raw=False, unicode_errors="surrogateescape", strict_map_key=False)
BAD_LOAD = pack("bad load")
PREFIX = b"pickle::"


class WireError(Exception):
    """The master broke the protocol: a bench that goes on would measure nonsense."""


def binary(value: str | bytes) -> bytes:
    """The bytes of a msgpack raw that `unpack` had to take for text."""
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


class Box:
    """Salt's Crypticle: AES-192-CBC, then HMAC-SHA256. `key` is the 76 characters that travel."""

    def __init__(self, key: str) -> None:
        raw = base64.b64decode(key)
        self.key = key
        self.aes, self.mac = algorithms.AES(raw[:24]), raw[24:]

    def seal(self, plain: bytes) -> bytes:
        fill = 16 - len(plain) % 16
        iv = os.urandom(16)
        cipher = Cipher(self.aes, modes.CBC(iv)).encryptor()
        body = iv + cipher.update(plain + bytes([fill]) * fill) + cipher.finalize()
        return body + hmac.digest(self.mac, body, "sha256")

    def open(self, data: bytes) -> bytes | None:
        """The plain text, None when the box was sealed with another key."""
        body, tag = data[:-32], data[-32:]
        if len(body) < 32 or not hmac.compare_digest(hmac.digest(self.mac, body, "sha256"), tag):
            return None
        cipher = Cipher(self.aes, modes.CBC(body[:16])).decryptor()
        plain = cipher.update(body[16:]) + cipher.finalize()
        return plain[: -plain[-1]]


def clean(pem: bytes) -> str:
    return "\n".join(pem.decode().strip().splitlines())


def public_pem(key: rsa.RSAPublicKey) -> str:
    return clean(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


def x931_sign(key: rsa.RSAPrivateKey, message: bytes) -> bytes:
    """Raw X9.31 "private encrypt", used for `tok`."""
    numbers = key.private_numbers()
    n, size = numbers.public_numbers.n, key.key_size // 8
    block = b"\x6b" + b"\xbb" * (size - len(message) - 3) + b"\xba" + message + b"\xcc"
    s = pow(int.from_bytes(block, "big"), numbers.d, n)
    return min(s, n - s).to_bytes(size, "big")


def x931_recover(key: rsa.RSAPublicKey, signature: bytes) -> bytes:
    numbers = key.public_numbers()
    m = pow(int.from_bytes(signature, "big"), numbers.e, numbers.n)
    if m & 0xF != 0xC:
        m = numbers.n - m
    block = m.to_bytes(key.key_size // 8, "big")
    if block[-1] != 0xCC:
        raise WireError("an X9.31 signature does not open")
    return block[1:-1].lstrip(b"\xbb")[1:] if block[0] == 0x6B else block[1:-1]


def frame(body: bytes) -> bytes:
    size = len(body)
    return bytes((0, size)) + body if size < 256 else b"\x02" + size.to_bytes(8, "big") + body


GREETING = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0" + b"NULL".ljust(20, b"\0") + bytes(32)


def hello(socket_type: bytes) -> bytes:
    """What a client says at once: greeting and READY."""
    ready = b"\x05READY\x0bSocket-Type" + len(socket_type).to_bytes(4, "big") + socket_type
    if socket_type == b"REQ":
        ready += b"\x08Identity" + bytes(4)
    return GREETING + bytes((4, len(ready))) + ready


class Loop:
    """One epoll loop: file descriptors and timers."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.watched: dict[int, Callable[[int], None]] = {}
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.serial = itertools.count()

    def watch(self, fd: int, ready: Callable[[int], None], mask: int) -> None:
        self.watched[fd] = ready
        self.epoll.register(fd, mask)

    def forget(self, fd: int) -> None:
        if self.watched.pop(fd, None) is not None:
            self.epoll.unregister(fd)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self.timers, (time.monotonic() + seconds, next(self.serial), call))

    def run(self, until: Callable[[], bool], seconds: float) -> bool:
        """Turn until the condition holds (True) or the time is over (False)."""
        end = time.monotonic() + seconds
        while not until():
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                heapq.heappop(self.timers)[2]()
            if now >= end:
                return until()
            wait = min(end, self.timers[0][0]) if self.timers else end
            for fd, mask in self.epoll.poll(max(0.0, wait - now), 256):
                ready = self.watched.get(fd)
                if ready:
                    ready(mask)
        return True


class Connection:
    """One ZMTP 3.0 connection to the master that comes back by itself until it is closed."""

    def __init__(
        self,
        loop: Loop,
        port: int,
        socket_type: bytes,
        message: Callable[[bytes], None],
        up: Callable[[], None],
        source: str = LOOPBACK,
    ) -> None:
        self.loop, self.port, self.hello, self.source = loop, port, hello(socket_type), source
        self.subscription = frame(b"\x01") if socket_type == b"SUB" else b""  # to everything
        self.message, self.came_up = message, up
        self.retry = (0.05, 0.25)
        self.sock: socket.socket | None = None
        self.closed = self.up = False
        self.connect()

    def connect(self) -> None:
        if self.closed or self.sock:
            return
        self.greeted = self.up = False
        self.incoming, self.outgoing, self.connecting = b"", b"", True
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        self.sock.bind((self.source, 0))
        self.sock.connect_ex((LOOPBACK, self.port))
        self.loop.watch(self.sock.fileno(), self.ready, select.EPOLLIN | select.EPOLLOUT)

    def ready(self, mask: int) -> None:
        assert self.sock
        if mask & select.EPOLLOUT:
            if self.connecting:
                if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return self.lost()
                self.connecting, self.outgoing = False, self.hello
            self.flush()
        if mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and self.sock:
            try:
                data = self.sock.recv(262144)
            except BlockingIOError:
                return None
            except OSError:
                data = b""
            if not data:
                return self.lost()
            self.feed(data)
        return None

    def feed(self, data: bytes) -> None:
        """Frames out of the stream. Messages end with their last frame, which is all that Salt uses."""
        data = self.incoming + data if self.incoming else data
        sock, at = self.sock, 0
        if not self.greeted:
            if len(data) < 64:
                self.incoming = data
                return
            self.greeted, at = True, 64
        while len(data) - at >= 2 and self.sock is sock:
            flags = data[at]
            if flags & 2:
                if len(data) - at < 9:
                    break
                size, start = int.from_bytes(data[at + 1 : at + 9], "big"), at + 9
            else:
                size, start = data[at + 1], at + 2
            if len(data) - start < size:
                break
            body, at = data[start : start + size], start + size
            if flags & 4:
                self.command(body)
            elif not flags & 1:
                self.message(body)
        if self.sock is sock:
            self.incoming = data[at:]

    def command(self, body: bytes) -> None:
        name = body[1 : 1 + body[0]]
        if name == b"READY":
            self.up = True
            self.write(self.subscription)  # not earlier: libzmq drops a connection where it follows READY at once
            self.came_up()
        elif name == b"PING":
            self.write(bytes((4, 5 + len(body) - 7)) + b"\x04PONG" + body[7:])
        elif name == b"ERROR":
            raise WireError(f"ZMTP error from the master: {body!r}")

    def write(self, data: bytes) -> None:
        if not data:
            return
        if self.outgoing:
            self.outgoing += data
            return
        assert self.sock
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the loop hears of it too
        if sent < len(data):
            self.outgoing = data[sent:]
            self.loop.epoll.modify(self.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def flush(self) -> None:
        assert self.sock
        data, self.outgoing = self.outgoing, b""
        self.loop.epoll.modify(self.sock.fileno(), select.EPOLLIN)
        if data:
            self.write(data)

    def lost(self) -> None:
        self.drop()
        if not self.closed:
            self.loop.later(random.uniform(*self.retry), self.connect)

    def drop(self) -> None:
        if self.sock:
            self.loop.forget(self.sock.fileno())
            self.sock.close()
        self.sock, self.up = None, False

    def close(self) -> None:
        self.closed = True
        self.drop()


# ---- 2. Simulated minions (a process of their own) --------------------------------------------------------------


@dataclasses.dataclass
class Settings:
    """What a sim process is told at its start. `rekey`: ask for a changed shared key as saltlite minions do."""

    ret_port: int
    publish_port: int
    pem: bytes
    rekey: bool


class Ask:
    """A request: `load` is sealed when it is sent, or `body` is ready (clear, or sealed with `nonce` in it). `done`
    gets the object in the reply, or with `packed` the bytes that it is packed in."""

    __slots__ = ("body", "done", "load", "nonce", "packed", "retry")

    def __init__(
        self,
        done: Callable[[Any], None],
        load: dict[str, Any] | None = None,
        body: bytes = b"",
        nonce: bytes = b"",
        retry: bool = True,
        packed: bool = False,
    ) -> None:
        self.done, self.load, self.body, self.nonce, self.retry = done, load, body, nonce, retry
        self.packed = packed


class Refused:
    """Handed to `done` in place of a result: `bad load`, and signing in again did not help or was not wanted."""


class Minion:
    """One simulated minion: two connections, one outstanding request."""

    def __init__(self, sims: Sims, id_: str, subscribe: bool) -> None:
        self.sims, self.id = sims, id_
        self.session: Box | None = None
        self.shared: Box | None = None
        self.waiting: Ask | None = None
        self.queue: collections.deque[Ask] = collections.deque()
        self.sealed: list[bytes] = []  # publications that no key of ours has opened yet
        self.renewing = self.frozen = False
        self.heard: list[bytes] = []
        self.held: dict[str, dict[str, Any]] = {}  # jid -> load of jobs that "run" until the bench says otherwise
        self.done: set[str] = set()
        self.retries: Iterator[tuple[bytes, bytes]] = iter(())
        source = f"127.0.0.{1 + len(sims.minions) // BEHIND_ONE}"
        self.req = Connection(sims.loop, sims.settings.ret_port, b"REQ", self.reply, self.resend, source)
        self.sub: Connection | None = None
        if subscribe:
            self.sub = Connection(sims.loop, sims.settings.publish_port, b"SUB", self.publication, lambda: None, source)

    @property
    def up(self) -> bool:
        return self.req.up and (self.sub is None or self.sub.up)

    def close(self) -> None:
        self.req.close()
        if self.sub:
            self.sub.close()

    # requests

    def ask(self, ask: Ask) -> None:
        if self.waiting:
            self.queue.append(ask)
        else:
            self.send(ask)

    def send(self, ask: Ask) -> None:
        self.waiting = ask
        if ask.load is not None:
            ask.nonce, ask.body = self.seal(ask.load)
        if self.req.up:
            self.req.write(b"\x01\0" + frame(ask.body))

    def resend(self) -> None:
        if self.waiting:
            self.send(self.waiting)

    def seal(self, load: dict[str, Any]) -> tuple[bytes, bytes]:
        """(nonce, frame body) of an AES request."""
        assert self.session
        nonce = os.urandom(16).hex()
        plain = {**load, "nonce": nonce, "ts": int(time.time()), "tok": self.sims.tok, "id": self.id}
        box = self.session.seal(PREFIX + pack(plain))
        envelope = {"enc": "aes", "load": box, "id": self.id, "version": 3, **ALGORITHMS}
        return nonce.encode(), pack(envelope)

    def reply(self, body: bytes) -> None:
        ask, self.waiting = self.waiting, None
        if ask is None:
            raise WireError(f"{self.id}: a reply that nobody asked for")
        if not ask.nonce:
            ask.done(body)
        elif body == BAD_LOAD:
            self.sims.count["bad_load"] += 1
            self.bad_load(ask)
        else:
            assert self.session
            plain = self.session.open(msgpack.unpackb(body, raw=True))
            if plain is None or plain[8:40] != ask.nonce:
                raise WireError(f"{self.id}: reply does not open or has a foreign nonce: {body[:60]!r}")
            ask.done(plain[40:] if ask.packed else unpack(plain[40:]))
        if self.queue and not self.waiting:
            self.send(self.queue.popleft())

    def bad_load(self, ask: Ask) -> None:
        """Sign in again and repeat the request once."""
        if not ask.retry or ask.load is None:
            return ask.done(Refused)
        ask.retry = False

        def signed_in(inner: dict[str, Any]) -> None:
            if self.sims.credentials(self, inner):
                self.queue.appendleft(ask)
            else:
                ask.done(Refused)

        return self.sims.authenticate(self, signed_in, first=True)

    # publications

    def publication(self, body: bytes) -> None:
        self.sims.count["publications"] += 1
        if self.frozen:
            self.heard.append(body)
            return
        load = self.sims.open_publication(self.shared, body)
        if load is not None:
            self.job(load)
            return
        self.sims.count["unopened"] += 1
        self.sealed.append(body)
        if not self.renewing:
            self.renewing = True
            if self.sims.settings.rekey and self.session:
                self.sims.count["rekeys"] += 1
                self.ask(Ask(self.rekeyed, {"cmd": "_rekey"}))
            else:
                self.sims.authenticate(self, self.renewed)

    def rekeyed(self, result: Any) -> None:
        if isinstance(result, dict) and result.get("aes"):
            self.shared = self.sims.box(result["aes"])
            self.reopen()
        elif result is Refused:
            self.renewing = False
        else:
            self.sims.authenticate(self, self.renewed)

    def renewed(self, inner: dict[str, Any]) -> None:
        if self.sims.credentials(self, inner):
            self.reopen()
        else:
            self.renewing = False

    def reopen(self) -> None:
        self.renewing = False
        sealed, self.sealed = self.sealed, []
        for body in sealed:
            load = self.sims.open_publication(self.shared, body)
            if load is not None:
                self.job(load)
            else:
                self.sims.count["lost_publications"] += 1

    def job(self, load: dict[str, Any]) -> None:
        """Run what a publication asks for. What is HELD never ends by itself: its returns are the bench's flood."""
        tgt, jid, fun = load["tgt"], load["jid"], load["fun"]
        match load.get("tgt_type", "glob"):
            case "glob":
                meant = fnmatch.fnmatchcase(self.id, tgt)
            case "list":
                meant = self.id in (tgt.split(",") if isinstance(tgt, str) else tgt)
            case _:
                meant = False
        if not meant or jid in self.done or jid in self.held:
            return
        if fun == "cp.recv_files":
            Fetch(self, load)
            return
        if fun in HELD:
            self.held[jid] = load
            self.sims.count["held"] += 1
            return
        self.done.add(jid)
        result: Any = f"'{fun}' is not available."
        if fun == "test.ping":
            result = True
        elif fun in ("saltutil.find_job", "saltutil.kill_job", "saltutil.term_job"):
            result = dict(self.held.get(load["arg"][0], {}))
            if result:
                result["pid"] = os.getpid()
        self.ask(Ask(self.sims.acknowledged, self.ret(load, result, result != f"'{fun}' is not available.")))

    def ret(self, load: dict[str, Any], result: Any, success: bool = True) -> dict[str, Any]:
        """The `_return` of a job."""
        return {
            "cmd": "_return",
            "id": self.id,
            "jid": load["jid"],
            "fun": load["fun"],
            "fun_args": load["arg"],
            "return": result,
            "retcode": 0 if success else 1,
            "success": success,
            "user": load.get("user", "root"),
            "_stamp": time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime()),
        }


class Fetch:
    """A simulated minion's part in `saltlite cp`: it fetches part by part what is offered, checks the hash of each
    file, and keeps nothing. Asked for the job meanwhile, it runs it."""

    def __init__(self, minion: Minion, load: dict[str, Any]) -> None:
        self.minion, self.load, self.jid = minion, load, load["jid"]
        self.offer, wanted, self.dest = load["arg"][:3]
        minion.held[self.jid] = load
        self.queue = collections.deque([("manifest", wanted)])
        self.files, self.bytes, self.failed = 0, 0, dict[str, str]()
        self.begin()

    def begin(self) -> None:
        """The next file, or the end."""
        if not self.queue:
            self.minion.held.pop(self.jid)
            self.minion.done.add(self.jid)
            result = {
                "dest": self.dest,
                "inside": True,
                "files": self.files,
                "bytes": self.bytes,
                "failed": self.failed,
            }
            load = self.minion.ret(self.load, result, not self.failed)
            self.minion.ask(Ask(self.minion.sims.acknowledged, load))
            return
        self.name, self.wanted = self.queue.popleft()
        self.loc, self.digest, self.list = 0, hashlib.sha256(), b""
        self.ask()

    def ask(self) -> None:
        load = {"cmd": "_offered", "name": self.offer, "file": self.name, "loc": self.loc, "jid": self.jid}
        ask = Ask(self.part, load, packed=True)
        if self.minion.queue:  # an answer to find_job waits there, and must not wait for the whole file
            self.minion.queue.append(ask)
        else:
            self.minion.ask(ask)

    def part(self, reply: Any) -> None:
        """A part of the file, or nothing at its end."""
        data = b"" if reply is Refused else msgpack.unpackb(reply, raw=True).get(b"data", b"")
        self.digest.update(data)
        self.loc += len(data)
        self.list += data if self.name == "manifest" else b""
        if data:
            self.ask()
            return
        if self.digest.hexdigest() != self.wanted:
            self.failed[self.name] = "what came has another hash"
        elif self.name == "manifest":
            entries = map(json.loads, self.list.splitlines())
            self.queue.extend((entry["file"], entry["hash"]) for entry in entries if "hash" in entry)
        else:
            self.files, self.bytes = self.files + 1, self.bytes + self.loc
        self.begin()


HELD = ("test.sleep", "cmd.run")
ALGORITHMS = {"enc_algo": "OAEP-SHA1", "sig_algo": "PKCS1v15-SHA1"}


class Sims:
    """All minions of one master. `do_*` methods are the bench's commands; between two of them the minions just live."""

    def __init__(self, settings: Settings, control: multiprocessing.connection.Connection) -> None:
        key = serialization.load_pem_private_key(settings.pem, None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self.settings, self.control, self.key = settings, control, key
        self.pub, self.tok = public_pem(key.public_key()), x931_sign(key, b"salt")
        self.loop = Loop()
        self.minions: dict[str, Minion] = {}
        self.count: collections.Counter[str] = collections.Counter()
        self.master_pem = ""
        self.master_key: rsa.RSAPublicKey | None = None
        self.boxes: dict[str, Box] = {}
        self.x931: dict[bytes, bytes] = {}
        self.opened: tuple[Box | None, bytes, dict[str, Any] | None] = (None, b"", None)
        self.applied: dict[str, float] = {}  # id -> when its credentials came, of ids that wait for acceptance
        self.command = False

    # protocol

    def box(self, key: str) -> Box:
        """One Box per key string, so that the minions share the one of the shared key."""
        if key not in self.boxes:
            self.boxes[key] = Box(key)
        return self.boxes[key]

    def open_publication(self, box: Box | None, body: bytes) -> dict[str, Any] | None:
        """The load, None if the box does not open it. The last answer is remembered: all minions get the same."""
        if self.opened[0] is box and self.opened[1] == body:
            return self.opened[2]
        outer = unpack(body)
        plain = box.open(binary(outer["load"])) if box else None
        if plain is not None and "sig" in outer and self.master_key:
            self.master_key.verify(binary(outer["sig"]), binary(outer["load"]), padding.PKCS1v15(), hashes.SHA1())
        self.opened = (box, body, unpack(plain[8:]) if plain is not None else None)
        return self.opened[2]

    def auth_request(self, minion: Minion, token: bytes | None = None) -> tuple[str, bytes]:
        """(nonce, frame body) of a clear `_auth`."""
        nonce = os.urandom(16).hex()
        load: dict[str, Any] = {"cmd": "_auth", "id": minion.id, "nonce": nonce, **ALGORITHMS, "pub": self.pub}
        if token is not None:
            load["token"] = token
        return nonce, pack({"enc": "clear", "load": load, "version": 3})

    def token(self) -> tuple[str, bytes]:
        assert self.master_key
        plain = base64.b64encode(os.urandom(56)).decode()
        return plain, self.master_key.encrypt(plain.encode(), OAEP)

    def authenticate(self, minion: Minion, done: Callable[[dict[str, Any]], None], first: bool = False) -> None:
        """Ask `_auth` as a minion that knows the master does; `done` gets the checked inner map."""
        plain, sealed = self.token() if self.master_key else ("", None)
        nonce, body = self.auth_request(minion, sealed)
        self.count["auths"] += 1

        def replied(reply: bytes) -> None:
            inner = self.check(reply, nonce)
            if plain:
                inner["sent token"] = plain
            done(inner)

        ask = Ask(replied, body=body)
        if first:
            minion.queue.appendleft(ask)
        else:
            minion.ask(ask)

    def check(self, reply: bytes, nonce: str) -> dict[str, Any]:
        """The inner map of an auth reply, after what costs no private key: master key, signature, nonce."""
        outer = unpack(reply)
        if not isinstance(outer, dict) or isinstance(outer.get("load"), dict):
            raise WireError(f"strange auth reply: {outer!r}")
        packed = binary(outer["load"])
        inner: dict[str, Any] = unpack(packed)
        pem = inner.get("pub_key")
        if pem and not self.master_pem:
            key = serialization.load_pem_public_key(pem.encode())
            assert isinstance(key, rsa.RSAPublicKey)
            self.master_pem, self.master_key = clean(pem.encode()), key
        elif pem and clean(pem.encode()) != self.master_pem:
            raise WireError("the master's key has changed")
        if self.master_key:
            try:
                self.master_key.verify(binary(outer["sig"]), packed, padding.PKCS1v15(), hashes.SHA1())
            except InvalidSignature as error:
                raise WireError("an auth reply has a wrong signature") from error
            if inner["nonce"] != nonce:
                raise WireError("an auth reply has a foreign nonce")
        return inner

    def credentials(self, minion: Minion, inner: dict[str, Any]) -> bool:
        """Open what an accepting reply carries, with the private key; False if it does not accept."""
        if inner.get("enc") != "pub":
            return False
        assert self.master_key
        shared = self.key.decrypt(binary(inner["aes"]), OAEP).decode()
        sig = binary(inner["sig"])
        if sig not in self.x931:
            self.x931[sig] = x931_recover(self.master_key, sig)
        if self.x931[sig] != hashlib.sha256(shared.encode()).hexdigest().encode():
            raise WireError("the signature of the shared key is wrong")
        if "sent token" in inner and self.key.decrypt(binary(inner["token"]), OAEP).decode() != inner["sent token"]:
            raise WireError("the token did not come back")
        minion.shared = self.box(shared)
        minion.session = Box(self.key.decrypt(binary(inner["session"]), OAEP).decode())
        return True

    def acknowledged(self, result: Any) -> None:
        if result is None:
            self.count["acks"] += 1
        elif result is not Refused:
            raise WireError(f"a return was answered with {result!r}")

    # life

    def serve(self) -> None:
        def waiting(_: int) -> None:
            self.command = True

        self.loop.watch(self.control.fileno(), waiting, select.EPOLLIN)
        gc.freeze()
        gc.disable()
        trouble = ""
        while True:
            try:
                self.loop.run(lambda: self.command, 3600)
            except WireError as error:
                trouble = f"between two commands: {error}"
            if not self.command:
                continue
            self.command = False
            try:
                name, kwargs = self.control.recv()
            except EOFError:
                return
            try:
                if trouble:
                    raise WireError(trouble)
                answer: tuple[bool, Any] = (True, getattr(self, "do_" + name)(**kwargs))
            except (WireError, InvalidSignature, LookupError, ValueError, TypeError, AssertionError, OSError) as error:
                answer, trouble = (False, f"{type(error).__name__}: {error}"), ""
            self.control.send(answer)

    def each(
        self, ids: Iterable[str], start: Callable[[str, Callable[[], None]], None], window: int, seconds: float
    ) -> bool:
        """Start the work of each id, at most `window` at once; `start` gets the function to call at the end."""
        queue = collections.deque(ids)
        left, active = len(queue), 0

        def finished() -> None:
            nonlocal left, active
            left, active = left - 1, active - 1
            more()

        def more() -> None:
            nonlocal active
            while queue and active < window:
                active += 1
                start(queue.popleft(), finished)

        more()
        return self.loop.run(lambda: not left, seconds)

    # commands

    def do_add(self, ids: Sequence[str], subscribe: bool = True, seconds: float = 60) -> None:
        """Connect minions, a few at a time: the listen backlog of a master is short."""
        for at in range(0, len(ids), 64):
            batch = [Minion(self, id_, subscribe) for id_ in ids[at : at + 64]]
            self.minions.update((minion.id, minion) for minion in batch)
            if not self.loop.run(lambda batch=batch: all(minion.up for minion in batch), seconds):  # type: ignore[misc]
                raise WireError("minions cannot connect")

    def do_drop(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            self.minions.pop(id_).close()

    def do_connected(self, seconds: float) -> bool:
        return self.loop.run(lambda: all(minion.up for minion in self.minions.values()), seconds)

    def do_count(self) -> dict[str, int]:
        return dict(self.count)

    def do_live(self, seconds: float) -> None:
        self.loop.run(lambda: False, seconds)

    def do_first_answer(self, id_: str, seconds: float) -> float:
        """When a signed, accepting reply to `_auth` came. Asks anew every second, for a request can be too early."""
        answered: list[float] = []
        end = time.monotonic() + seconds
        while not answered and time.monotonic() < end:
            minion = Minion(self, id_, subscribe=False)
            minion.req.retry = (0.004, 0.006)

            def replied(inner: dict[str, Any], minion: Minion = minion) -> None:
                if not self.credentials(minion, inner):
                    raise WireError("not accepted")
                answered.append(time.monotonic())

            self.authenticate(minion, replied)
            self.loop.run(lambda minion=minion: minion.req.up or bool(answered), seconds)  # type: ignore[misc]
            self.loop.run(lambda: bool(answered), 1.0)
            minion.close()
        if not answered:
            raise WireError("no answer")
        return answered[0]

    def do_authenticate(
        self, ids: Sequence[str], token: bool = False, window: int = 100, seconds: float = 120
    ) -> dict[str, Any]:
        """A flood of `_auth`. Requests are ready before the clock starts, private-key work is done after it stops."""
        ready: dict[str, tuple[str, str, bytes]] = {}
        for id_ in ids:
            plain, sealed = self.token() if token else ("", None)
            ready[id_] = (plain, *self.auth_request(self.minions[id_], sealed))
        inners: dict[str, dict[str, Any]] = {}

        def start(id_: str, finished: Callable[[], None]) -> None:
            plain, nonce, body = ready[id_]

            def replied(reply: bytes) -> None:
                inners[id_] = self.check(reply, nonce)
                if plain:
                    inners[id_]["sent token"] = plain
                finished()

            self.count["auths"] += 1
            self.minions[id_].ask(Ask(replied, body=body))

        begin = time.monotonic()
        complete = self.each(ids, start, window, seconds)
        elapsed = time.monotonic() - begin
        accepted = [id_ for id_, inner in inners.items() if self.credentials(self.minions[id_], inner)]
        return {"seconds": elapsed, "accepted": len(accepted), "complete": complete}

    def do_apply(self, ids: Sequence[str]) -> None:
        """Ask for acceptance as minions do: after a "pending" reply again in 10 s; an unanswered request just waits."""
        for id_ in ids:
            self.apply(self.minions[id_])

    def apply(self, minion: Minion) -> None:
        nonce, body = self.auth_request(minion)

        def replied(reply: bytes) -> None:
            now = time.monotonic()
            inner = self.check(reply, nonce)
            if inner.get("enc") == "pub":
                self.applied[minion.id] = now
                self.credentials(minion, inner)
            elif inner.get("ret") is True:
                self.count["pended"] += 1
                self.loop.later(ACCEPTANCE_WAIT, lambda: self.apply(minion))
            else:
                raise WireError(f"{minion.id} was refused: {inner!r}")

        self.count["auths"] += 1
        minion.ask(Ask(replied, body=body))

    def do_applied(self, ids: Sequence[str], seconds: float) -> dict[str, float]:
        """When each of the ids got its credentials (those that did, in time)."""
        self.loop.run(lambda: all(id_ in self.applied for id_ in ids), seconds)
        return {id_: self.applied[id_] for id_ in ids if id_ in self.applied}

    def do_request(self, id_: str, load: dict[str, Any], seconds: float = 30) -> tuple[bool, float]:
        """(not refused, when the reply came) of one AES request, without signing in again."""
        replies: list[tuple[bool, float]] = []
        ask = Ask(lambda result: replies.append((result is not Refused, time.monotonic())), load, retry=False)
        self.minions[id_].ask(ask)
        if not self.loop.run(lambda: bool(replies), seconds):
            raise WireError(f"no reply to {load}")
        return replies[0]

    def do_sign_in(self, id_: str, seconds: float = 30) -> tuple[Any, str]:
        """(the reply's `ret` or "accepted", the shared key)."""
        inners: list[dict[str, Any]] = []
        minion = self.minions[id_]
        self.authenticate(minion, inners.append)
        if not self.loop.run(lambda: bool(inners), seconds):
            return "unanswered", ""
        if self.credentials(minion, inners[0]):
            assert minion.shared
            return "accepted", minion.shared.key
        return inners[0].get("ret"), ""

    def do_shared(self, id_: str) -> str:
        """The shared key as the master tells it now: by `_rekey`, else by signing in."""
        if self.settings.rekey:
            results: list[Any] = []
            minion = self.minions[id_]
            minion.ask(Ask(results.append, {"cmd": "_rekey"}))
            self.loop.run(lambda: bool(results), 30)
            if results and isinstance(results[0], dict) and results[0].get("aes"):
                minion.shared = self.box(results[0]["aes"])
                return str(results[0]["aes"])
        return self.do_sign_in(id_)[1]

    def do_rotated(self, id_: str, old: str, interval: float, seconds: float) -> float | None:
        """When the shared key was first seen to differ from `old`; None: not in this time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.do_shared(id_) != old:
                return time.monotonic()
            self.do_live(interval)
        return None

    def do_rekey(self, ids: Sequence[str], window: int = 100, seconds: float = 60) -> dict[str, Any]:
        """A `_rekey` of every id; how many distinct keys came, and whether the master knows the request."""
        keys: collections.Counter[str] = collections.Counter()

        def start(id_: str, finished: Callable[[], None]) -> None:
            def replied(result: Any) -> None:
                key = result.get("aes", "") if isinstance(result, dict) else ""
                keys[key] += 1
                if key:
                    self.minions[id_].shared = self.box(key)
                finished()

            self.minions[id_].ask(Ask(replied, {"cmd": "_rekey"}, retry=False))

        begin = time.monotonic()
        complete = self.each(ids, start, window, seconds)
        known = bool(keys) and "" not in keys
        return {"seconds": time.monotonic() - begin, "complete": complete, "known": known, "keys": list(keys)}

    def do_hold(self, ids: Sequence[str], jobs: int, seconds: float = 60) -> list[str]:
        """Wait until each of the ids holds so many test.sleep jobs; their jids."""
        minions = [self.minions[id_] for id_ in ids]
        if not self.loop.run(lambda: all(len(minion.held) >= jobs for minion in minions), seconds):
            missing = sum(len(minion.held) < jobs for minion in minions)
            raise WireError(f"{missing} minions did not get {jobs} publications")
        return list(minions[0].held)

    def do_flood(self, ids: Sequence[str], jids: Sequence[str], seconds: float) -> dict[str, Any]:
        """The returns of held jobs, as fast as the master takes them; after `seconds` no more are sent."""
        end, acks, left, last = 0.0, 0, 0, 0.0

        def acknowledged(result: Any) -> None:
            nonlocal acks, left, last
            left -= 1
            if result is not None:
                raise WireError(f"a return was answered with {result!r}")
            last = time.monotonic()
            acks += 1

        def next_return(minion: Minion) -> None:
            nonlocal left
            nonce_body = next(minion.retries, None)
            if nonce_body is None or time.monotonic() >= end:
                return
            left += 1
            minion.ask(Ask(replied[minion.id], body=nonce_body[1], nonce=nonce_body[0]))

        def both(minion: Minion, result: Any) -> None:
            acknowledged(result)
            next_return(minion)

        replied = {id_: functools.partial(both, self.minions[id_]) for id_ in ids}
        for id_ in ids:
            minion = self.minions[id_]
            loads = [minion.held[jid] for jid in jids]
            minion.retries = iter([minion.seal(minion.ret(load, True)) for load in loads])
        begin = time.monotonic()
        cpu = time.process_time()
        end = begin + seconds
        for id_ in ids:
            next_return(self.minions[id_])
        if not self.loop.run(lambda: not left, seconds + 60):
            raise WireError(f"{left} returns were not acknowledged")
        cpu = time.process_time() - cpu
        for id_ in ids:
            minion = self.minions[id_]
            minion.retries = iter(())
            for jid in jids:
                minion.held.pop(jid, None)
                minion.done.add(jid)
        return {"acks": acks, "seconds": last - begin, "sim_cpu": cpu, "wanted": len(ids) * len(jids)}

    def do_return(self, jid: str, returns: dict[str, tuple[Any, bool]], seconds: float = 30) -> None:
        """Returns of a job as soon as they hold it, (what, whether it went well) of each id, all acknowledged."""
        left = len(returns)
        if not self.loop.run(lambda: all(jid in self.minions[id_].held for id_ in returns), seconds):
            raise WireError(f"job {jid} did not come")

        def acknowledged(result: Any) -> None:
            nonlocal left
            self.acknowledged(result)
            left -= 1

        for id_, (result, success) in returns.items():
            minion = self.minions[id_]
            minion.done.add(jid)
            minion.ask(Ask(acknowledged, minion.ret(minion.held.pop(jid), result, success)))
        if not self.loop.run(lambda: not left, seconds):
            raise WireError(f"{left} returns were not acknowledged")

    def do_freeze(self, id_: str) -> None:
        """From now on the minion only listens: it keeps its keys and collects publications."""
        self.minions[id_].frozen = True

    def do_heard(self, id_: str, jobs: int, seconds: float) -> tuple[int, int]:
        """(publications heard while frozen, how many of them open with the key the minion had)."""
        minion = self.minions[id_]
        self.loop.run(lambda: len(minion.heard) >= jobs, seconds)
        opened = [body for body in minion.heard if self.open_publication(minion.shared, body) is not None]
        return len(minion.heard), len(opened)


def sims_main(settings: Settings, control: multiprocessing.connection.Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Sims(settings, control).serve()


class SimProcess:
    """The bench's end of the control pipe."""

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self.control, theirs = context.Pipe()
        self.process = context.Process(target=sims_main, args=(settings, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def __call__(self, name: str, **kwargs: Any) -> Any:
        """Have a command done. Raises WireError with the sims' message."""
        self.control.send((name, kwargs))
        try:
            good, answer = self.control.recv()
        except EOFError:
            raise WireError(f"the sims died during {name}") from None
        if not good:
            raise WireError(f"{name}: {answer}")
        return answer

    def close(self) -> None:
        self.control.close()
        self.process.join(2)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


# ---- 3. Processes and masters -----------------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                parent = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[1]
                children.setdefault(int(parent), []).append(int(entry))
    found = [pid]
    for one in found:
        found.extend(children.get(one, []))
    return found


def pss(pid: int, part: str = "Pss") -> tuple[float, int]:
    """(proportional set size in MB, number of processes) of a process tree. `part`: Pss_Anon, what no file backs."""
    total, processes = 0, 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith(f"{part}:"):
                    total, processes = total + int(line.split()[1]), processes + 1
    return total / 1024, processes


def cpu_seconds(pid: int) -> float:
    """CPU time of a process tree, its reaped children included."""
    total = 0.0
    for one in family(pid):
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                with contextlib.suppress(OSError):
                    total += int(Path(f"/proc/{one}/task/{task}/schedstat").read_text().split()[0]) / 1e9
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return total


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise WireError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.005)


def end_process(process: subprocess.Popen[bytes], seconds: float = 15) -> None:
    """Stop a daemon and whatever it started (its session is its own)."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def answers(output: str) -> int:
    """How many minions answered test.ping, in the output of `salt`."""
    return len(re.findall(r"\b[Tt]rue\b", output))


def environment() -> dict[str, str]:
    """Of the measured programs: nothing that keeps them from their byte code, no warnings to be printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONWARNINGS": "ignore"}


class Master:
    """A master under test: its tree, its process, its sims. The two subclasses say how each program is called."""

    name = ""
    rekey = False
    config = ""

    def __init__(self, root: Path, number: int, pem: bytes) -> None:
        self.root, self.conf, self.pem = root, root / "etc/salt", pem
        self.pki = self.conf / "pki/master"
        self.pub_port, self.ret_port = free_ports(2)
        self.ids = [f"m{index:05d}" for index in range(number)]
        self.process: subprocess.Popen[bytes] | None = None
        self.connected = False
        key = serialization.load_pem_private_key(pem, None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self.pub = public_pem(key.public_key())
        for state in ("minions", "minions_pre", "minions_rejected", "minions_denied", "minions_autosign"):
            self.place(state).mkdir(mode=0o700, parents=True)
        (self.conf / "master").write_text(
            f"interface: {LOOPBACK}\npublish_port: {self.pub_port}\nret_port: {self.ret_port}\n"
            + self.config.format(root=root)
        )
        self.log = (root / "output").open("ab")
        self.seed("minions", self.ids)
        self.sims = SimProcess(Settings(self.ret_port, self.pub_port, pem, self.rekey))

    def place(self, state: str, id_: str = "") -> Path:
        return self.pki / state / id_

    def seed(self, state: str, ids: Iterable[str]) -> None:
        """Put key files there, each by a rename."""
        stage = self.root / "stage"
        for id_ in ids:
            stage.write_text(self.pub)
            stage.rename(self.place(state, id_))

    def move(self, id_: str, old: str, new: str) -> float:
        """The operator's mv; the time right after it."""
        os.rename(self.place(old, id_), self.place(new, id_))
        return time.monotonic()

    def argv(self, command: str) -> list[str]:
        raise NotImplementedError

    def minion_config(self, root: Path) -> str:
        raise NotImplementedError

    def revoke(self, id_: str) -> None:
        """Refuse a minion so that the shared key changes, in the way meant for that."""
        raise NotImplementedError

    def publish_at_once(self) -> None:
        """Have a job published for all minions, with as little delay as there can be."""
        self.salt("--async", "*", "test.ping")

    def stored(self, jid: str) -> int:
        """Returns of a job that are on disk."""
        raise NotImplementedError

    # life

    def spawn(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True, env=environment()
        )

    def start(self) -> float:
        """Start the master; seconds until an accepted minion has its credentials."""
        begin = time.monotonic()
        self.process = self.spawn([*self.argv("master"), "-c", str(self.conf)])
        answered: float = self.sims("first_answer", id_=self.ids[0], seconds=60)
        return answered - begin

    def stop(self) -> None:
        if self.process:
            end_process(self.process)
        self.process = None

    def ensure(self) -> None:
        if not self.process:
            self.start()
        assert self.process
        if self.process.poll() is not None:
            raise WireError(f"the {self.name} master ended with {self.process.returncode}; see {self.root}/output")

    def ensure_minions(self) -> dict[str, Any]:
        """Connect and authenticate all minions, once."""
        self.ensure()
        if self.connected:
            return {}
        self.sims("add", ids=self.ids)
        result: dict[str, Any] = self.sims("authenticate", ids=self.ids)
        if result["accepted"] != len(self.ids):
            raise WireError(f"only {result['accepted']} of {len(self.ids)} minions were accepted")
        self.connected = True
        return result

    def close(self) -> None:
        self.sims.close()
        self.stop()
        self.log.close()

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def salt(self, *arguments: str) -> tuple[float, int, str]:
        """Run the command line client; (seconds from start to end, exit code, output)."""
        argv = [*self.argv("salt"), "-c", str(self.conf), *arguments]
        begin = time.monotonic()
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=self.log, timeout=120, env=environment(), check=False
        )
        return time.monotonic() - begin, done.returncode, done.stdout.decode()

    def on_terminal(self, *arguments: str) -> float:
        """The same on a terminal of its own; seconds."""
        ours, theirs = pty.openpty()
        begin = time.monotonic()
        argv = [*self.argv("salt"), "-c", str(self.conf), *arguments]
        process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment())
        os.close(theirs)
        with contextlib.suppress(OSError):  # EIO: nobody has it open any more
            while os.read(ours, 65536):
                pass
        process.wait(60)
        os.close(ours)
        return time.monotonic() - begin

    def ping(self, tgt: str, expected: int) -> float:
        """`salt TGT test.ping`, checked; seconds."""
        seconds, _, output = self.salt(tgt, "test.ping")
        good = answers(output)
        if good != expected:
            say(f"      {self.name}: {good} of {expected} answered")
        return seconds


class Saltlite(Master):
    name = "saltlite"
    rekey = True
    program: ClassVar[list[str]] = []
    bare: list[str] | None = None  # the same without modules, once it was made

    def argv(self, command: str) -> list[str]:
        return [*self.program, command]

    def minion_config(self, root: Path) -> str:
        return ""

    def revoke(self, id_: str) -> None:
        self.move(id_, "minions", "minions_rejected")

    def publish_at_once(self) -> None:
        stage = self.root / "stage"
        stage.write_text(json.dumps({"tgt": "*", "fun": "test.ping"}))
        stage.rename(self.root / "var/cache/salt/master/jobs/new" / f"bench-{time.monotonic_ns()}")

    def stored(self, jid: str) -> int:
        found = (self.root / "var/cache/salt/master/jobs").glob(f"**/{jid}.jsonl")
        lines = itertools.chain.from_iterable(path.read_text().splitlines() for path in found)
        return len({row["id"] for row in map(json.loads, lines) if row["event"] == "ret"})

    def finished(self, tgt: str, fun: str) -> list[dict[str, Any]]:
        """The lines of the job of this target and function that has ended."""
        for path in (self.root / "var/cache/salt/master/jobs/done").glob("*/*.jsonl"):
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            if (lines[0]["tgt"], lines[0]["fun"]) == (tgt, fun):
                return lines
        return []


class RealSalt(Master):
    name = "salt"
    venv = Path()
    config = """root_dir: {root}
pki_dir: {root}/etc/salt/pki/master
cachedir: {root}/var/cache/salt/master
sock_dir: {root}/s
log_file: {root}/log
log_level: quiet
log_level_logfile: quiet
max_open_files: 16384
"""

    def argv(self, command: str) -> list[str]:
        return [str(self.venv / "bin" / ("salt" if command == "salt" else f"salt-{command}"))]

    def minion_config(self, root: Path) -> str:
        return (
            f"root_dir: {root}\npki_dir: {root}/etc/salt/pki/minion\ncachedir: {root}/var/cache/salt/minion\n"
            f"sock_dir: {root}/s\nlog_file: {root}/log\nlog_level: quiet\nlog_level_logfile: quiet\n"
        )

    def revoke(self, id_: str) -> None:
        argv = [*self.argv("key"), "-c", str(self.conf), "-y", "-r", id_, "--include-accepted"]
        subprocess.run(argv, stdout=self.log, stderr=self.log, check=True)

    def stored(self, jid: str) -> int:
        name = hashlib.sha256(jid.encode()).hexdigest()
        return len(list((self.root / "var/cache/salt/master/jobs" / name[:2] / name[2:]).glob("*/return.p")))


# ---- 4. Rows ----------------------------------------------------------------------------------------------------


class Row:
    """One measurement: `round` is called for each master in turn, `rounds` times; `asked`: only where -k names it."""

    def __init__(self, name: str, rounds: int, round_: Callable[[Bench, Master], None], asked: bool) -> None:
        self.name, self.rounds, self.round, self.asked = name, rounds, round_, asked


ROWS: list[Row] = []


def row(
    rounds: int, asked: bool = False
) -> Callable[[Callable[[Bench, Master], None]], Callable[[Bench, Master], None]]:
    def register(function: Callable[[Bench, Master], None]) -> Callable[[Bench, Master], None]:
        ROWS.append(Row(function.__name__.removeprefix("row_"), rounds, function, asked))
        return function

    return register


@row(rounds=3)
def row_start(bench: Bench, master: Master) -> None:
    """The process is started until a minion that is accepted already has verified credentials from it."""
    if not master.process:
        master.start()  # makes keys and caches: not what is measured
    master.stop()
    bench.note(master, "start", master.start())


@row(rounds=1)
def row_idle(bench: Bench, master: Master) -> None:
    master.ensure()
    time.sleep(5)
    size, processes = pss(master.pid)
    bench.note(master, "idle_pss", size)
    bench.note(master, "idle_processes", processes)


@row(rounds=1)
def row_minion(bench: Bench, master: Master) -> None:
    """A real minion process that has answered one job, five seconds later."""
    master.ensure()
    root = master.root / "minion"
    conf = root / "etc/salt"
    conf.mkdir(parents=True, exist_ok=True)
    (conf / "minion").write_text(
        f"id: idle\nmaster: {LOOPBACK}\nmaster_port: {master.ret_port}\npublish_port: {master.pub_port}\n"
        + master.minion_config(root)
    )
    process = master.spawn([*master.argv("minion"), "-c", str(conf)])
    try:
        wait_for(master.place("minions_pre", "idle").exists, 60, "the minion's key")
        master.move("idle", "minions_pre", "minions")
        wait_for(lambda: answers(master.salt("idle", "test.ping")[2]), 60, "the minion's first answer")
        time.sleep(5)
        size, processes = pss(process.pid)
        bench.note(master, "minion_pss", size)
        bench.note(master, "minion_processes", processes)
    finally:
        end_process(process)
        for state in ("minions", "minions_pre"):
            with contextlib.suppress(FileNotFoundError):
                master.place(state, "idle").unlink()


def without_modules(program: Sequence[str], root: Path) -> list[str]:
    """A copy of the program that has no files of execution modules, and how it is called."""
    source = next(Path(word) for word in reversed(program) if word.endswith((".pyz", ".py")))
    target = root / "bare" / source.name
    target.parent.mkdir()
    if source.suffix == ".pyz":
        with zipfile.ZipFile(source) as full, zipfile.ZipFile(target, "w") as bare:
            for entry in full.infolist():
                data = full.read(entry)
                if entry.filename == "__main__.py":  # another build, so that it is unpacked apart
                    data = re.sub(rb'(?<=^BUILD = ")\w+', lambda build: build[0][::-1], data, flags=re.MULTILINE)
                if not entry.filename.startswith("etc/salt/modules/"):
                    bare.writestr(entry, data)
    else:
        shutil.copy(source, target)
        shutil.copytree(source.parent / "etc", target.parent / "etc", ignore=shutil.ignore_patterns("modules"))
    return [str(target) if word == str(source) else word for word in program]


@contextlib.contextmanager
def fresh_minion(bench: Bench, master: Master, program: Sequence[str]) -> Iterator[tuple[str, int]]:
    """A minion that has made its key before and is new to the master: its id and process, once the master has it."""
    id_ = f"fresh{bench.serial()}"
    conf = master.root / id_ / "etc/salt"
    (conf / "pki/minion").mkdir(parents=True, mode=0o700)
    (conf / "pki/minion/minion.pem").write_bytes(master.pem)
    (conf / "pki/minion/minion.pem").chmod(0o400)
    ports = f"master_port: {master.ret_port}\npublish_port: {master.pub_port}\n"
    (conf / "minion").write_text(f"id: {id_}\nmaster: {LOOPBACK}\n{ports}")
    pending = master.place("minions_pre", id_)
    process = master.spawn([*program, "minion", "-c", str(conf)])
    try:
        wait_for(pending.exists, 60, "the minion's key")
        yield id_, process.pid
    finally:
        end_process(process)
        for place in (pending, master.place("minions", id_)):
            place.unlink(missing_ok=True)


@row(rounds=7)
def row_modules(bench: Bench, master: Master) -> None:
    """What the files of execution modules add to a minion: it starts with all of them, and without any. Processor time
    and memory that no file backs are compared, which what else runs here disturbs least. Then the first job that needs
    one of them, from its publication to its return as the master has taken them down."""
    if not isinstance(master, Saltlite):
        return
    master.ensure()
    bare = master.bare
    if not bare:
        bare = master.bare = without_modules(master.program, master.root)
        with fresh_minion(bench, master, bare):
            pass  # it is unpacked, and compiled
    starts, sizes = dict[bool, float](), dict[bool, float]()
    for full in (False, True) if bench.serial() % 2 else (True, False):
        program = master.program if full else bare
        with fresh_minion(bench, master, program) as (id_, pid):
            time.sleep(3)
            starts[full], sizes[full] = cpu_seconds(pid), pss(pid, "Pss_Anon")[0]
            if not full:
                continue
            master.move(id_, "minions_pre", "minions")
            for _ in range(60):
                if answers(master.salt(id_, "test.ping")[2]):
                    break
            time.sleep(1)
            if master.salt(id_, "status.loadavg")[1]:
                raise WireError(f"{id_} does not answer status.loadavg")
            times = {line["event"]: line["time"] for line in master.finished(id_, "status.loadavg")}
            bench.note(master, "loadavg", (times["ret"] - times["new"]) * 1000)
    bench.note(master, "modules_start", (starts[True] - starts[False]) * 1000)
    bench.note(master, "modules_pss", sizes[True] - sizes[False])


@row(rounds=1)
def row_connected(bench: Bench, master: Master) -> None:
    """Memory that a thousand connected minions cost: a fresh master, before and after."""
    if master.connected:
        return
    master.stop()
    master.start()
    time.sleep(3)
    before = pss(master.pid)[0]
    master.ensure_minions()
    master.ping("*", len(master.ids))
    time.sleep(3)
    bench.note(master, "connected_kb", (pss(master.pid)[0] - before) * 1024 / len(master.ids))


def auth_round(bench: Bench, master: Master, key: str, token: bool) -> float:
    """Authenticate all minions again; gives the master's CPU seconds per authentication."""
    master.ensure_minions()
    cpu = cpu_seconds(master.pid)
    result = master.sims("authenticate", ids=master.ids, token=token)
    # the sims open the replies after their clock has stopped: the master idles meanwhile
    cpu = (cpu_seconds(master.pid) - cpu) / len(master.ids)
    if result["accepted"] != len(master.ids):
        raise WireError(f"{result['accepted']} of {len(master.ids)} authentications succeeded")
    bench.note(master, key, len(master.ids) / result["seconds"])
    bench.note(master, f"{key}_core", 1 / cpu)
    return cpu


@row(rounds=3)
def row_auth(bench: Bench, master: Master) -> None:
    auth_round(bench, master, "auth", token=False)
    auth_round(bench, master, "auth_token", token=True)


@row(rounds=3)
def row_returns(bench: Bench, master: Master) -> None:
    """Returns of published jobs, at most ten seconds of them; then their files are counted."""
    master.ensure_minions()
    jobs = 3 if master.name == "salt" or bench.quick else 10
    for _ in range(jobs):
        master.salt("--async", "-t", "300", "*", "test.sleep", "3600")
    jids = master.sims("hold", ids=master.ids, jobs=jobs)
    cpu = cpu_seconds(master.pid)
    result = master.sims("flood", ids=master.ids, jids=jids, seconds=10)
    cpu = cpu_seconds(master.pid) - cpu
    bench.note(master, "returns", result["acks"] / result["seconds"])
    bench.note(master, "returns_cpu", cpu / result["acks"] * 1e6)
    bench.note(master, "returns_sim_cpu", result["sim_cpu"] / result["acks"] * 1e6)
    with contextlib.suppress(WireError):
        wait_for(lambda: sum(map(master.stored, jids)) >= result["acks"], 5, "the files")
    bench.note(master, "returns_lost", result["acks"] - sum(map(master.stored, jids)))


@row(rounds=5)
def row_one(bench: Bench, master: Master) -> None:
    master.ensure_minions()
    bench.note(master, "ping_one", master.ping(master.ids[0], 1))


@row(rounds=5)
def row_terminal(bench: Bench, master: Master) -> None:
    """The same on a terminal."""
    if isinstance(master, Saltlite):
        master.ensure_minions()
        bench.note(master, "ping_terminal", master.on_terminal(master.ids[0], "test.ping"))


GROUPED = """
import sys, saltlite
salt, (conf, jid) = saltlite.packed_leaf("commands", "salt"), sys.argv[1:]
args = saltlite.parse_words(saltlite.parser_of(salt.COMMAND, "salt"), ["-c", conf, "--group", "*", "cmd.run"])
client = saltlite.client("LocalClient")(conf)
salt.state_style(args, client.opts)
salt.show_job(args, client, jid)
"""


@row(rounds=3)
def row_grouped(bench: Bench, master: Master) -> None:
    """A process that shows a finished job of 10,000 minions, 101 different returns of twenty lines among them."""
    if not isinstance(master, Saltlite):
        return
    jid, ids, text = "20010101000000000000", [f"m{at:05d}" for at in range(10_000)], "a line of output\n" * 20
    new = {"event": "new", "jid": jid, "fun": "cmd.run", "arg": [], "tgt": "*", "minions": ids, "time": 1}
    ret = {"event": "ret", "fun": "cmd.run", "retcode": 0, "success": True, "time": 2}
    lines = [ret | {"id": id_, "return": text if at % 100 else f"{text}{at}"} for at, id_ in enumerate(ids)]
    path = master.root / f"var/cache/salt/master/jobs/done/{jid[:8]}/{jid}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in [new, *lines, {"event": "end", "seconds": 1}]))
    argv = [sys.executable, "-c", GROUPED, str(master.conf), jid]
    begin = time.monotonic()
    done = subprocess.run(argv, cwd=HERE.parent, stdout=subprocess.PIPE, stderr=master.log, env=environment())
    bench.note(master, "grouped", time.monotonic() - begin)
    if done.stdout.count(b"):\n") != 1 or done.stdout.count(b":\n") != 101:
        raise WireError("the returns are not grouped")


def timed(argv: Sequence[str], log: Any, code: int = 0) -> tuple[float, str]:
    """Run a command; (seconds from start to end, what it printed)."""
    begin = time.monotonic()
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=log, env=environment(), check=False)
    seconds = time.monotonic() - begin
    if done.returncode != code:
        raise WireError(f"{shlex.join(argv)} ended with {done.returncode}")
    return seconds, done.stdout.decode()


GRAINS = {f"a grain that is number {number}": "and has a value" * 3 for number in range(40)} | {"saltversion": "3008.3"}


@row(rounds=5)
def row_status(bench: Bench, master: Master) -> None:
    """`saltlite status` of 10,000 minions, of whom 9,900 are connected: a tree as a master leaves it, whose lock is
    held here."""
    if not isinstance(master, Saltlite):
        return
    root = master.root / "fleet"
    cache, ids, now = root / "var/cache/salt/master", [f"m{at:05d}" for at in range(10_000)], time.time()
    if not root.exists():
        keys = root / "etc/salt/pki/master/minions"
        for directory in (keys, cache / "sessions", cache / "minions"):
            directory.mkdir(parents=True)
        (root / "etc/salt/master").touch()
        (root / "key").write_text(master.pub)
        for id_ in ids:
            os.link(root / "key", keys / id_)
            (cache / "minions" / id_).mkdir()
            (cache / "minions" / id_ / "grains.json").write_text(json.dumps(GRAINS | {"id": id_, "machine_id": id_}))
    heard = {id_: [now, now, [], "192.0.2.1"] for id_ in ids}
    (cache / "sessions/.heard").write_text(json.dumps(heard))
    present = {id_: {"address": "192.0.2.1", "since": now} for id_ in ids[:9900]}
    (cache / "present.json").write_text(json.dumps({"time": now, "present": present, "pending": {}, "bad": {}}))
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seconds, text = timed([*master.argv("status"), "-c", str(root / "etc/salt")], master.log, 1)
    bench.note(master, "status", seconds)
    if "9900 up" not in text or "100 late" not in text:
        raise WireError(f"status says {text[:200]}")


@row(rounds=5)
def row_jobs(bench: Bench, master: Master) -> None:
    """`saltlite jobs --last 20` where 100,000 have finished, on ten days."""
    if not isinstance(master, Saltlite):
        return
    root = master.root / "history"
    if not root.exists():
        (root / "etc/salt").mkdir(parents=True)
        (root / "etc/salt/master").touch()
        jobs = root / "var/cache/salt/master/jobs"
        for directory in ("new", "active", "bad", "queued"):
            (jobs / directory).mkdir(parents=True)
        new = {"event": "new", "fun": "test.ping", "arg": [], "tgt": "*", "tgt_type": "glob", "user": "root", "time": 1}
        ret = {"event": "ret", "id": "m00000", "fun": "test.ping", "return": True, "retcode": 0, "success": True}
        end = {"event": "end", "returned": 1, "failed": 0, "silent": 0, "seconds": 0.1, "time": 2}
        for at in range(100_000):
            jid = f"202609{at // 10_000 + 10}{at % 10_000:012d}"
            day = jobs / "done" / jid[:8]
            day.mkdir(parents=True, exist_ok=True)
            lines = [new | {"jid": jid, "minions": ["m00000"]}, ret, end]
            (day / f"{jid}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    seconds, text = timed([*master.argv("jobs"), "--last", "20", "-c", str(root / "etc/salt")], master.log)
    bench.note(master, "jobs", seconds)
    if text.count("test.ping") != 20 or "20260919000000009999" not in text:
        raise WireError(f"jobs says {text[:200]}")


@row(rounds=1, asked=True)
def row_cp(bench: Bench, master: Master) -> None:
    """`saltlite cp` of one file to a hundred minions; the peak of memory of the master and of the command, and how long
    others wait meanwhile."""
    if not isinstance(master, Saltlite):
        return
    master.ensure_minions()
    path, part, ids = master.root / "large", random.randbytes(1 << 20), master.ids[:100]
    with path.open("wb") as file:
        for number in range(bench.cp_size >> 20):
            file.write(number.to_bytes(8, "big") + part[8:])
    Path(f"/proc/{master.pid}/clear_refs").write_text("5")  # the peak begins anew
    cpu, begin, pings = cpu_seconds(master.pid), time.monotonic(), []
    argv = [*master.argv("cp"), "-c", str(master.conf), "-L", ",".join(ids), str(path), "/srv/"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=master.log, env=environment())
    assert process.stdout
    while not select.select([process.stdout], [], [], 5)[0]:
        pings.append(master.ping(master.ids[-1], 1))
    text, (_, status, usage) = process.stdout.read().decode(), os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begin
    path.unlink()
    if process.returncode or f"to {len(ids)} of {len(ids)} minions" not in text:
        raise WireError(f"cp ended with {process.returncode}: {text[-300:]}")
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{master.pid}/status").read_text())
    bench.note(master, "cp", seconds)
    bench.note(master, "cp_rate", bench.cp_size * len(ids) / seconds / 1e6)
    bench.note(master, "cp_cpu", (cpu_seconds(master.pid) - cpu) / (bench.cp_size * len(ids) / 1e9))
    bench.note(master, "cp_master", int(peak[1]) / 1024 if peak else None)
    bench.note(master, "cp_command", usage.ru_maxrss / 1024)
    bench.note(master, "cp_ping", max(pings, default=None))


@row(rounds=3)
def row_all(bench: Bench, master: Master) -> None:
    master.ensure_minions()
    bench.note(master, "ping_all", master.ping("*", len(master.ids)))


@row(rounds=1)
def row_accept(bench: Bench, master: Master) -> None:
    """Pending minions are accepted by mv at random moments; until the reply with credentials has come."""
    master.ensure_minions()
    number, spread = (40, 10.0) if master.name == "salt" else (200, 6.0)
    if bench.quick:
        number //= 4
    ids = [f"a{bench.serial()}-{index}" for index in range(number)]
    master.sims("add", ids=ids, subscribe=False)
    master.sims("apply", ids=ids)
    wait_for(lambda: all(master.place("minions_pre", id_).exists() for id_ in ids), 30, "pending keys")
    begin = time.monotonic()
    moved = {}
    for id_, due in zip(ids, sorted(random.uniform(0, spread) for _ in ids), strict=True):
        time.sleep(max(0.0, begin + due - time.monotonic()))
        moved[id_] = master.move(id_, "minions_pre", "minions")
    got = master.sims("applied", ids=ids, seconds=25)
    delays = sorted(got[id_] - moved[id_] for id_ in got)
    if len(delays) < len(ids):
        say(f"      {master.name}: {len(ids) - len(delays)} of {len(ids)} accepted minions got nothing in 25 s")
        delays += [25.0] * (len(ids) - len(delays))
    bench.note(master, "accept_p50", statistics.median(delays) * 1000)
    bench.note(master, "accept_p99", percentile(delays, 99) * 1000)
    retire(master, ids)


def retire(master: Master, ids: Iterable[str]) -> None:
    """Take minions and their keys away; where that changes the shared key, let the others learn it."""
    ids = list(ids)
    master.sims("drop", ids=ids)
    for id_ in ids:
        for state in ("minions", "minions_pre", "minions_rejected"):
            with contextlib.suppress(FileNotFoundError):
                master.place(state, id_).unlink()
    if master.rekey:
        time.sleep(3)
        master.salt("*", "test.ping")


@row(rounds=1)
def row_refuse(bench: Bench, master: Master) -> None:
    """mv out of minions/: the next request, the next `_auth`, the next publication, and the shared key."""
    master.ensure_minions()
    serial, number = bench.serial(), 3 if bench.quick else 12
    ids = [f"r{serial}-{index}" for index in range(number)]
    master.seed("minions", ids)
    master.sims("add", ids=ids)
    master.sims("authenticate", ids=ids)
    good = {"cmd": "_minion_event", "tag": "bench", "data": {}}
    refused, observer = 0, master.ids[0]
    for index, id_ in enumerate(ids):
        if not master.sims("request", id_=id_, load=good)[0]:
            raise WireError(f"{id_} was refused while it was accepted")
        old = master.sims("shared", id_=observer)
        publish = index % 3 == 0
        if publish:
            master.sims("sign_in", id_=id_)
            master.sims("freeze", id_=id_)
        moved = master.move(id_, "minions", "minions_rejected")
        if publish:
            master.publish_at_once()
        accepted, replied = master.sims("request", id_=id_, load=good)
        ret, _ = master.sims("sign_in", id_=id_)
        refused += not accepted and ret is False
        bench.note(master, "refusal", (replied - moved) * 1000 if not publish else None)
        if publish:
            heard, opened = master.sims("heard", id_=id_, jobs=1, seconds=3)
            if not heard:
                say(f"      {master.name}: the revoked minion heard no publication")
            bench.note(master, "readable", opened)
        if master.rekey and not publish:
            rotated = master.sims("rotated", id_=observer, old=old, interval=0.02, seconds=15)
            bench.note(master, "rotated", rotated - moved if rotated else 15.0)
    bench.note(master, "refused_next", refused / len(ids) * 100)
    if not master.rekey and not bench.quick:
        spare = f"r{serial}-s"
        master.seed("minions", [spare])
        master.sims("add", ids=[spare])
        master.sims("authenticate", ids=[spare])
        old = master.sims("shared", id_=observer)
        begin = time.monotonic()
        master.revoke(spare)
        rotated = master.sims("rotated", id_=observer, old=old, interval=0.5, seconds=90)
        bench.note(master, "rotated", rotated - begin if rotated else 90.0)
        ids.append(spare)
    retire(master, ids)


@row(rounds=3)
def row_rekey(bench: Bench, master: Master) -> None:
    """The shared key has changed: what does it cost the master that every minion needs the new one?"""
    master.ensure_minions()
    if master.rekey:
        throwaway = f"k{bench.serial()}"
        master.seed("minions", [throwaway])
        master.sims("add", ids=[throwaway], subscribe=False)
        master.sims("authenticate", ids=[throwaway])
        old = master.sims("shared", id_=master.ids[0])
        master.revoke(throwaway)
        if not master.sims("rotated", id_=master.ids[0], old=old, interval=0.05, seconds=15):
            say(f"      {master.name}: the shared key did not change")
        cpu = cpu_seconds(master.pid)
        result = master.sims("rekey", ids=master.ids)
        cpu = cpu_seconds(master.pid) - cpu
        if result["known"] and len(result["keys"]) == 1 and result["complete"]:
            bench.note(master, "rekey_cpu", cpu * 1000)
        else:
            say(f"      {master.name}: _rekey is not known or not answered: {str(result)[:200]}")
        retire(master, [throwaway])
    full = auth_round(bench, master, "auth_token", token=True) * len(master.ids) * 1000
    bench.note(master, "rekey_full_cpu", full)
    if bench.samples[master.name].get("rekey_cpu") and master.rekey:
        bench.note(master, "rekey_share", bench.samples[master.name]["rekey_cpu"][-1] / full)


@row(rounds=1)
def row_restart(bench: Bench, master: Master) -> None:
    """The master is stopped and started under its minions; the first job after that."""
    master.ensure_minions()
    before = master.sims("count")
    master.stop()
    master.start()
    if not master.sims("connected", seconds=30):
        say(f"      {master.name}: not every minion came back")
    time.sleep(1)  # the master sees a subscription after the minion has sent it
    seconds, _, output = master.salt("*", "test.ping")
    time.sleep(1)
    after = master.sims("count")
    good = answers(output)
    probe = 1  # the authentication by which `start` saw that the master is up
    bench.note(master, "restart_auths", after["auths"] - before["auths"] - probe)
    bench.note(master, "restart_rekeys", after.get("rekeys", 0) - before.get("rekeys", 0))
    bench.note(master, "restart_answers", good / len(master.ids) * 100)
    bench.note(master, "restart_seconds", seconds)


@row(rounds=1)
def row_many(bench: Bench, master: Master) -> None:
    """Ten thousand renames: held minions among them, the first and the last too, get credentials; others ask then."""
    master.ensure_minions()
    number = 2000 if bench.quick else 10000
    serial = bench.serial()
    ids = [f"x{serial}-{index:05d}" for index in range(number)]
    held = [ids[0], *ids[1 : -1 : number // 98], ids[-1]]
    others = random.sample(sorted(set(ids) - set(held)), 10)
    master.sims("add", ids=[*held, *others], subscribe=False)
    master.sims("apply", ids=held)
    wait_for(lambda: all(master.place("minions_pre", id_).exists() for id_ in held), 30, "pending keys")
    master.seed("minions_pre", [id_ for id_ in ids if id_ not in set(held)])
    time.sleep(12 if master.name == "saltlite" else 3)  # let the master digest ten thousand new names first
    begin = time.monotonic()
    for id_ in ids:
        os.rename(master.place("minions_pre", id_), master.place("minions", id_))
    moved = time.monotonic()
    asked = master.sims("authenticate", ids=others)
    got = master.sims("applied", ids=held, seconds=30)
    if len(got) < len(held):
        say(f"      {master.name}: {len(held) - len(got)} held minions got nothing in 30 s")
    last = max(got.values()) if len(got) == len(held) else moved + 30
    say(f"      {master.name}: renames took {moved - begin:.2f} s, {asked['accepted']} of 10 others accepted on asking")
    bench.note(master, "many", max(0.0, last - moved))
    bench.note(master, "many_asking", asked["accepted"])
    bench.note(master, "many_asking_seconds", asked["seconds"])
    retire(master, [*held, *others])
    for id_ in set(ids) - {*held, *others}:
        master.place("minions", id_).unlink()


# ---- 5. Figures, table, main ------------------------------------------------------------------------------------


def at_least(factor: float) -> Callable[[float, float | None], bool | None]:
    return lambda ours, real: None if real is None else ours >= factor * real


def at_most(share: float, bound: float = float("inf")) -> Callable[[float, float | None], bool | None]:
    return lambda ours, real: False if ours > bound else None if real is None else ours <= share * real


def bound(limit: float) -> Callable[[float, float | None], bool | None]:
    return lambda ours, _: ours <= limit


def exactly(value: float) -> Callable[[float, float | None], bool | None]:
    return lambda ours, _: ours == value


@dataclasses.dataclass
class Figure:
    """A line of the table; `verdict` gets the two medians and says True, False or None (cannot say)."""

    key: str
    what: str
    unit: str
    wanted: str = ""
    verdict: Callable[[float, float | None], bool | None] | None = None
    worst: bool = False  # take the largest sample instead of the median


FIGURES = (
    Figure("returns", "returns per second", "/s", ">= 10 x", at_least(10)),
    Figure("returns_cpu", "  master CPU per return", "µs"),
    Figure("returns_sim_cpu", "  sim CPU per return", "µs"),
    Figure("returns_lost", "  acknowledged returns not on disk", "", "0", exactly(0), worst=True),
    Figure("ping_all", "salt '*' test.ping, start to end", "s", "<= 1/10", at_most(1 / 10)),
    Figure("ping_one", "salt ONE test.ping, start to end", "s", "<= 1/6 and <= 0.2 s", at_most(1 / 6, 0.2)),
    Figure("ping_terminal", "  the same on a terminal", "s", "<= 0.3 s", bound(0.3)),
    Figure("grouped", "10,000 returns shown grouped", "s", "<= 1 s", bound(1)),
    Figure("status", "status of 10,000 minions", "s", "<= 0.5 s", bound(0.5)),
    Figure("jobs", "the last 20 of 100,000 jobs", "s", "<= 0.2 s", bound(0.2)),
    Figure("cp", "cp of one file to 100 minions", "s"),
    Figure("cp_rate", "  together", "MB/s"),
    Figure("cp_cpu", "  master CPU per GB that goes out", "s"),
    Figure("cp_master", "  largest resident set of the master", "MB", "<= 250 MB", bound(250)),
    Figure("cp_command", "  of the command", "MB", "<= 60 MB", bound(60)),
    Figure("cp_ping", "  salt for another one meanwhile, the slowest", "s", "<= 1 s", bound(1)),
    Figure("auth", "authentications per second, first contact", "/s", ">= 3 x", at_least(3)),
    Figure("auth_core", "  per second of master CPU (on one core)", "/s", ">= 3 x", at_least(3)),
    Figure("auth_token", "authentications per second, with token", "/s", ">= 3 x", at_least(3)),
    Figure("auth_token_core", "  per second of master CPU (on one core)", "/s", ">= 3 x", at_least(3)),
    Figure("idle_pss", "master idle, PSS of all processes", "MB", "<= 1/5", at_most(1 / 5)),
    Figure("idle_processes", "  processes", "", "1", exactly(1)),
    Figure("connected_kb", "  per connected minion", "KB", "<= 40 KB", bound(40)),
    Figure("minion_pss", "minion idle, PSS of all processes", "MB", "<= 1/2", at_most(1 / 2)),
    Figure("minion_processes", "  processes", ""),
    Figure("modules_start", "  its modules add to its start, CPU", "ms", "<= 30 ms", bound(30)),
    Figure("modules_pss", "  and to its memory", "MB", "<= 3 MB", bound(3)),
    Figure("loadavg", "  a first status.loadavg, published to returned", "ms", "<= 50 ms", bound(50)),
    Figure("start", "master start to first answer", "s", "<= 1/8", at_most(1 / 8)),
    Figure("accept_p50", "mv into minions/ to credentials, p50", "ms"),
    Figure("accept_p99", "mv into minions/ to credentials, p99", "ms", "<= 50 ms", bound(50)),
    Figure("refused_next", "mv out of minions/: refused at the next request", "%", "100 %", exactly(100)),
    Figure("refusal", "  mv to that refusal", "ms"),
    Figure("readable", "  later publications the old key opens", "", "0", exactly(0), worst=True),
    Figure("rotated", "  shared key rotated after, worst", "s", "<= 2 s", bound(2), worst=True),
    Figure("rekey_share", "CPU of all _rekey / of all full authentications", "", "<= 1/8", bound(1 / 8)),
    Figure("rekey_cpu", "  master CPU, every minion asks _rekey", "ms"),
    Figure("rekey_full_cpu", "  master CPU, every minion authenticates", "ms"),
    Figure("restart_auths", "authentications after a master restart", "", "0", exactly(0)),
    Figure("restart_rekeys", "  _rekey requests", ""),
    Figure("restart_answers", "  minions that answer the first job", "%", "100 %", exactly(100)),
    Figure("restart_seconds", "  salt '*' test.ping then", "s"),
    Figure("many", "10,000 keys moved at once: last held minion served after", "s", "<= 1 s", bound(1)),
    Figure("many_asking", "  of 10 others that ask at once, accepted", "", "10", exactly(10)),
    Figure("many_asking_seconds", "  the 10 of them served in", "s"),
)


def say(text: str) -> None:
    print(text, flush=True)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest rank."""
    return ordered[max(0, -(-len(ordered) * int(percent) // 100) - 1)]


def show(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    digits = 0 if value == int(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}{' ' + unit if unit and not unit.startswith('/') else unit}"


class Bench:
    """The run: masters, samples, report."""

    def __init__(self, masters: Sequence[Master], quick: bool, cp_size: int) -> None:
        self.masters, self.quick, self.cp_size = masters, quick, cp_size
        self.samples: dict[str, dict[str, list[float]]] = {master.name: {} for master in masters}
        self.failures: list[str] = []
        self.serials = itertools.count()

    def serial(self) -> int:
        return next(self.serials)

    def note(self, master: Master, key: str, value: float | None) -> None:
        """Record a sample (None: nothing to record)."""
        if value is None:
            return
        self.samples[master.name].setdefault(key, []).append(value)
        unit = next((figure.unit for figure in FIGURES if figure.key == key), "")
        say(f"    {master.name:9} {key:20} {show(value, unit)}")

    def run(self, wanted: str) -> None:
        for one in ROWS:
            if one.asked if not wanted else one.name not in wanted.split(","):
                continue
            rounds = 1 if self.quick else one.rounds
            broken: set[str] = set()
            for number in range(rounds):
                say(f"[{one.name}] round {number + 1} of {rounds}")
                for master in self.masters:
                    if master.name in broken:
                        continue
                    try:
                        one.round(self, master)
                    except (WireError, OSError, subprocess.SubprocessError) as error:
                        broken.add(master.name)
                        self.failures.append(f"{one.name}, {master.name}: {error}")
                        say(f"    {master.name:9} FAILED: {error}")

    def report(self) -> list[dict[str, Any]]:
        """The table as data: one row per figure that was measured."""
        rows = []
        for figure in FIGURES:
            value: dict[str, float | None] = {}
            for name in ("saltlite", "salt"):
                samples = self.samples.get(name, {}).get(figure.key)
                value[name] = (max(samples) if figure.worst else statistics.median(samples)) if samples else None
            ours, real = value["saltlite"], value["salt"]
            if ours is None and real is None:
                continue
            good = figure.verdict(ours, real) if figure.verdict and ours is not None else None
            rows.append(
                {
                    "key": figure.key,
                    "what": figure.what,
                    "unit": figure.unit,
                    "saltlite": ours,
                    "salt": real,
                    "ratio": ours / real if ours is not None and real else None,
                    "wanted": figure.wanted,
                    "verdict": {True: "yes", False: "NO", None: ""}[good],
                    "samples": {name: self.samples[name].get(figure.key, []) for name in self.samples},
                }
            )
        return rows


def table(rows: Sequence[dict[str, Any]], salt_name: str) -> str:
    lines = [("what", "saltlite", salt_name, "ratio", "wanted", "reached")]
    for one in rows:
        unit = one["unit"]
        ratio = "" if one["ratio"] is None else f"{one['ratio']:.3g}"
        cells = show(one["saltlite"], unit), show(one["salt"], unit), ratio, one["wanted"], one["verdict"]
        lines.append((one["what"], *cells))
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    lines.insert(1, tuple("-" * width for width in widths))  # type: ignore[arg-type]
    return "\n".join(
        " | ".join(
            cell.ljust(width) if column in (0, 4, 5) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def salt_venv(option: str | None) -> tuple[str, Path]:
    """(release, virtual environment) of `--salt RELEASE=DIR`; without it one in the user's cache, made if need be."""
    release, _, place = (option or "3008").partition("=")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(place) if place else cache / "saltlite-bench" / f"salt-{release}"
    if not (path / "bin/salt-master").exists():
        if place:
            raise SystemExit(f"{path} has no bin/salt-master")
        say(f"making {path} (once)")
        venv.create(path, with_pip=True)
        pip = [str(path / "bin/pip"), "install", "--quiet", f"salt<{int(release) + 1}"]
        subprocess.run(pip, check=True)
    return release, path.resolve()


def program_file() -> Path:
    """saltlite.pyz if it is up to date, else saltlite.py, which must be compiled at each start and so looks worse."""
    script, packed = HERE.parent / "saltlite.py", HERE.parent / "saltlite.pyz"
    return packed if packed.exists() and packed.stat().st_mtime >= script.stat().st_mtime else script


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vs-salt", action="store_true", help="measure a real salt-master in the same run")
    parser.add_argument("--salt", metavar="RELEASE[=VENV]", help="which one (default: 3008, in a cached environment)")
    parser.add_argument("--saltlite", metavar="CMD", help="the program (default: this Python with ../saltlite.pyz)")
    parser.add_argument("--only", choices=("saltlite", "salt"), help="leave the other master out")
    parser.add_argument("-n", dest="number", type=int, default=1000, metavar="MINIONS")
    parser.add_argument("--quick", action="store_true", help="one round, fewer samples")
    parser.add_argument("-k", dest="row", default="", metavar="ROW", help="of " + ",".join(one.name for one in ROWS))
    parser.add_argument("--cp-size", type=int, default=1000, metavar="MB", help="of the file of -k cp (1000)")
    parser.add_argument("-o", dest="output", type=Path, default=Path("bench.json"))
    parser.add_argument("--keep", action="store_true", help="leave the scratch directory")
    return parser.parse_args()


def interrupted(signum: int, _: Any) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


def main() -> int:
    options = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kinds: list[type[Master]] = []
    salt_name = "salt"
    if options.only != "salt":
        Saltlite.program = shlex.split(options.saltlite or "") or [sys.executable, str(program_file())]
        say(f"saltlite is {shlex.join(Saltlite.program)}")
        kinds.append(Saltlite)
    if options.only == "salt" or (options.vs_salt and options.only != "saltlite"):
        release, RealSalt.venv = salt_venv(options.salt)
        salt_name = f"salt {release}"
        kinds.append(RealSalt)
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    scratch = Path(tempfile.mkdtemp(prefix="sl"))  # short: real Salt puts UNIX sockets there
    begin, load = time.monotonic(), os.getloadavg()[0]
    if load > 0.5:
        say(f"this machine is busy (load average {load:.1f}): expect worse figures and ratios that are no use")
    with contextlib.ExitStack() as stack:
        if not options.keep:
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        masters = []
        for kind in kinds:
            masters.append(kind(scratch / kind.name[-4:], options.number, pem))
            stack.callback(masters[-1].close)
        bench = Bench(masters, options.quick, options.cp_size << 20)
        try:
            bench.run(options.row)
        except KeyboardInterrupt as error:
            bench.failures.append(f"interrupted ({error})")
    rows = bench.report()
    say("\n" + table(rows, salt_name))
    for failure in bench.failures:
        say(f"FAILED {failure}")
    host = {"machine": platform.platform(), "cpus": os.cpu_count(), "python": platform.python_version(), "load": load}
    head = {"minions": options.number, "quick": options.quick, "salt": salt_name, "seconds": time.monotonic() - begin}
    everything = {"host": host, **head, "rows": rows, "failures": bench.failures}
    options.output.write_text(json.dumps(everything, indent=1) + "\n")
    say(f"{options.output} written after {time.monotonic() - begin:.0f} s")
    return 1 if bench.failures or any(one["verdict"] == "NO" for one in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
