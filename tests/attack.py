"""What strangers and accepted minions can do to a master: `./build.sh attack` tries it, and says what it has cost.

A row is an attack; it says what was measured and what may be, and fails where that is more. The short form takes a
minute and a half; `--minutes N` goes on with other seeds for as long, `--seed` begins elsewhere."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import random
import re
import select
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from in_memory import Site
from leaves import ZEROMQ
from live import Master, WireMinion, public, running_master
from test_listener import HELLO, JUNK, memory
from test_promises import colliding

import saltlite
from saltlite import AuthError, pack

message = ZEROMQ.message
KINDS = JUNK | {"silence": b"", "half a greeting": ZEROMQ.greeting()[:20], "no request": HELLO["REQ"][:70]}
PEERS, HONEST = 5000, 200
ROWS: list[Callable[[random.Random, float], Iterator[tuple[str, float, float, str]]]] = []


def row(function):
    ROWS.append(function)
    return function


def mutated(chance: random.Random, data: bytes) -> bytes:
    """The same with some bytes changed, gone or added."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at, cut = chance.randrange(len(changed) + 1), chance.choice([0, 0, 1, 1, 9])
        changed[at : at + cut] = chance.randbytes(chance.choice([0, 1, 1, 2]))
    return bytes(changed)


@row
def the_codec(chance, seconds):
    """Mutated conversations: events or a hang-up, and no more kept than a message may have."""
    begins = [HELLO["REQ"] + message(b"", b"x" * 300) * 3, HELLO["SUB"] + message(b"\x01broadcast")]
    end, count, most, slowest = time.monotonic() + seconds, 0, 0, 0.0
    while time.monotonic() < end:
        which = chance.randrange(2)
        data = mutated(chance, begins[which])
        codec, began = ZEROMQ.Codec((ZEROMQ.ROUTER, ZEROMQ.PUB)[which], 1000), time.thread_time()
        with contextlib.suppress(ZEROMQ.Wrong):
            for at in range(0, len(data), step := chance.choice([1, 50, 5000])):
                codec.receive(data[at : at + step])
                while codec.next_event():
                    pass
                most = max(most, codec.pending)
        slowest, count = max(slowest, time.thread_time() - began), count + len(data)
    yield f"mutated bytes read: {count:,}; kept at most", most, 6000, "bytes"
    yield "the slowest conversation", slowest * 1000, 500, "ms"


@row
def the_protocol(chance, seconds):
    """Mutated requests of a minion: an answer to each, and nothing is changed that was not signed."""
    with tempfile.TemporaryDirectory() as directory:
        site = Site(Path(directory))
        minion = site.joined("m")
        site.tree.put_key(saltlite.PENDING, "other", public(1))
        site.look()
        keys = {name: os.listdir(site.tree.pki / name) for name in ("minions", "minions_pre", "minions_rejected")}
        loads = [{"cmd": "_return", "jid": "req", "return": 1, "fun": "x.y"}, {"cmd": "_rekey"}, {"cmd": "_file_envs"}]
        end, count, slowest = time.monotonic() + seconds, 0, 0.0
        while time.monotonic() < end:
            site.now += 0.001
            whole = minion.request(chance.choice(loads), site.now) if chance.random() < 0.8 else minion.auth_request()
            began = time.thread_time()
            reply = site.master.receive(b"e", mutated(chance, whole), site.now)
            slowest, count = max(slowest, time.thread_time() - began), count + 1
            assert reply is None or isinstance(reply.data, bytes)
        site.jobs.flush()
        known = {name: os.listdir(site.tree.pki / name) for name in keys}
        lines = [path.read_text().splitlines()[1] for path in (site.tree.jobs / "done").glob("*/*.jsonl")]
        wrong = [line for line in map(saltlite.from_json, lines) if (line["return"], line["fun"]) != (1, "x.y")]
        yield f"mutated requests: {count:,}; keys that have moved", float(known["minions"] != keys["minions"]), 0, ""
        yield f"returns that were taken: {len(lines)}; of those with a byte changed", len(wrong), 0, ""
        yield "the slowest request", slowest * 1000, 500, "ms"


@contextlib.contextmanager
def connections(master: Master) -> Iterator[Callable[..., socket.socket]]:
    """Makes plain connections that are closed in the end."""
    with contextlib.ExitStack() as stack:

        def connect(data: bytes = b"", port: str = "ret_port") -> socket.socket:
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", master.options[port])))
            sock.setblocking(False)
            send(sock, data)
            return sock

        yield connect


def send(sock: socket.socket, data: bytes, seconds: float = 2.0) -> int:
    """Send what is taken in that time; gives how much it was."""
    end, sent = time.monotonic() + seconds, 0
    while sent < len(data) and time.monotonic() < end:
        try:
            sent += sock.send(memoryview(data)[sent : sent + (1 << 18)])
        except BlockingIOError:
            select.select([], [sock], [], 0.05)
        except OSError:
            break
    return sent


class Witness:
    """A minion that asks all the time, and how long it has waited for each answer."""

    def __init__(self, minion: WireMinion) -> None:
        self.minion, self.waits, self._ended = minion, list[float](), threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            self.minion.ask(cmd="_rekey")
            self.waits.append(time.monotonic() - began)
            time.sleep(0.002)

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def longest(self) -> float:
        return max(self.waits) * 1000


@contextlib.contextmanager
def joined(master: Master, name: str) -> Iterator[WireMinion]:
    """An accepted minion."""
    (master.pki / "minions" / name).write_text(public())
    with WireMinion(master, name) as minion:
        assert minion.auth() == saltlite.GOT_CREDENTIALS
        yield minion


def talkers(connect: Callable[..., socket.socket], chance: random.Random) -> None:
    """Subscribers by the thousand, each with something to say again and again."""
    crowd = [connect(HELLO["SUB"], "publish_port") for _ in range(4000)]
    for _ in range(5):
        for sock in crowd:
            with contextlib.suppress(OSError):
                sock.send(ZEROMQ.command(b"PONG", b""))


STRANGERS: dict[str, Callable[[Callable[..., socket.socket], random.Random], object]] = {
    "16 halves of messages of 32 MB": lambda connect, chance: [
        connect(HELLO["REQ"] + message(b"", bytes(32 << 20))[: 31 << 20]) for _ in range(16)
    ],
    "a message without end": lambda connect, chance: connect(HELLO["REQ"] + b"\x01\x00" * 1_000_000),
    "500,000 subscriptions": lambda connect, chance: connect(
        HELLO["SUB"] + b"".join(message(b"\x01%d" % number) for number in range(500_000)), "publish_port"
    ),
    "answers that nobody reads": lambda connect, chance: connect(
        HELLO["REQ"]
        + message(b"", pack({"enc": "clear", "version": 3, "load": {"cmd": "ping", "x": "x" * 900}})) * 50_000
    ),
    "1,000 pings that nobody reads": lambda connect, chance: [
        connect(HELLO["SUB"] + ZEROMQ.command(b"PING", b"\0\0" + b"x" * 16) * 100, "publish_port") for _ in range(1000)
    ],
    "4,000 subscribers that talk all the time": talkers,
    "3,000 connections that say nothing": lambda connect, chance: [
        connect(b"", ("ret_port", "publish_port")[number % 2]) for number in range(3000)
    ],
}


@row
def strangers(chance, seconds):
    """What a stranger sends, in memory of the master and in what others wait."""
    with tempfile.TemporaryDirectory() as directory, running_master(Path(directory)) as master:
        assert master.process
        with joined(master, "witness") as minion:
            for what, attack in STRANGERS.items():
                before, most = memory(master.process.pid), 0
                with connections(master) as connect, Witness(minion) as witness:
                    attack(connect, chance)
                    end = time.monotonic() + 0.5
                    while time.monotonic() < end:
                        most = max(most, memory(master.process.pid) - before)
                        time.sleep(0.02)
                yield f"{what}: memory", most / 1024, 100, "MB"
                yield f"{what}: the longest wait of a minion", witness.longest, 200, "ms"


@row
def a_crowd(chance, seconds):
    """Thousands of peers of all kinds, while honest minions ask."""
    with tempfile.TemporaryDirectory() as directory, running_master(Path(directory)) as master:
        with contextlib.ExitStack() as stack:
            minions = [stack.enter_context(joined(master, f"honest{number}")) for number in range(HONEST)]
            kinds = list(KINDS.values())
            waits, lives, junk = list[float](), list[float](), dict[int, tuple[socket.socket, float]]()
            poller, begun = select.poll(), 0

            def gone(wait: float) -> None:
                for fd, _ in poller.poll(wait):
                    sock, since = junk[fd]
                    with contextlib.suppress(OSError):
                        if sock.recv(65536):
                            continue
                    poller.unregister(fd)
                    del junk[fd]
                    sock.close()
                    lives.append(time.monotonic() - since)

            end = time.monotonic() + max(60.0, seconds)
            while (begun < PEERS or junk) and time.monotonic() < end:
                for _ in range(min(20, PEERS - begun)):
                    port = ("ret_port", "publish_port")[chance.randrange(4) == 0]
                    sock = socket.create_connection(("127.0.0.1", master.options[port]))
                    sock.setblocking(False)
                    with contextlib.suppress(OSError):
                        sock.send(kinds[begun % len(kinds)])
                    junk[sock.fileno()] = sock, time.monotonic()
                    poller.register(sock, select.POLLIN)
                    begun += 1
                began = time.monotonic()
                chance.choice(minions).ask(cmd="_rekey")
                waits.append(time.monotonic() - began)
                gone(0)
            for sock, _ in junk.values():
                sock.close()
        yield f"{begun:,} peers of {len(KINDS)} kinds: not hung up on", len(junk), 0, ""
        yield "the longest life of one", max(lives), 3.5, "s"
        yield f"{HONEST} minions: p99 of an answer", sorted(waits)[int(len(waits) * 0.99)] * 1000, 200, "ms"


def hostile_requests(chance: random.Random) -> dict[str, dict[str, object]]:
    """What an accepted minion may ask."""
    slow = "(a+)+$"
    nest: object = 1
    for _ in range(90):
        nest = [nest]
    mine: dict[str, object] = {"cmd": "_mine_get", "fun": "x.y"}
    own: dict[str, object] = {"cmd": "_return", "jid": "req", "fun": "x.y"}
    return {
        "the mine, by a glob of 1,000 characters": mine | {"tgt": "*a" * 499 + "b", "tgt_type": "glob"},
        "the mine, by a regular expression": mine | {"tgt": slow, "tgt_type": "pcre"},
        "the mine, by a compound of 200 words": mine | {"tgt": " or ".join(["x*"] * 200), "tgt_type": "compound"},
        "the mine of 2,000 minions": mine | {"tgt": "*", "tgt_type": "glob"},
        "grains, 90 levels deep": mine | {"tgt": ":".join("a" * 40) + ":*", "tgt_type": "grain"},
        "1,000 events": {"cmd": "_minion_event", "events": [{"tag": "x", "data": nest}] * 1000},
        "30,000 events": {"cmd": "_minion_event", "events": [{"tag": f"x{at}", "data": at} for at in range(1000)]},
        "pillar of 20,000 grains": {"cmd": "_pillar", "grains": {f"x{number}": number for number in range(20_000)}},
        "a return of 8 MB": own | {"return": "x" * (8 << 20)},
        "a return of 32 MB": own | {"return": "x" * (31 << 20)},
        "a return that is written as 180 MB": own | {"return": "\0" * (30 << 20)},
        "a return of 60,000 maps": own | {"return": [{"a": 1}] * 60_000},
        "a return of 500,000 texts that are none": own | {"return": [b"\xff"] * 500_000},
        "a mine of 60,000 maps": {"cmd": "_mine", "data": {"x.y": [{"a": 1}] * 60_000}},
        "a mine of 1 MB": {"cmd": "_mine", "data": {"x.y": "x" * (1 << 20)}},
        "the hash of a file of 1 GB": {"cmd": "_file_hash", "path": "large", "saltenv": "base"},
        "a listing of 20,000 files": {"cmd": "_file_list", "saltenv": "base"},
    }


def computed(master: Master) -> list[float]:
    """The milliseconds that each step of the master's loop from 50 on has computed, not waited for a processor. What
    may be long is to write a line of 32 MB, which the system takes in 20 ms, or now and then in 60."""
    said = master.log.read_text(errors="replace")
    return [float(busy) for busy in re.findall(r"a step of the loop took \d+ ms, (\d+) of them computing", said)]


@row
def an_accepted_minion(chance, seconds):
    """What an accepted minion asks, in what another one waits."""
    with tempfile.TemporaryDirectory() as directory:
        roots = Path(directory, "files")
        for number in range(20_000):
            path = roots / f"d{number % 100}" / f"f{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        with (roots / "large").open("wb") as file:
            file.truncate(1 << 30)
        pillar = Path(directory, "pillar")
        pillar.mkdir()
        (pillar / "top.sls").write_text("base: {'*': [a]}\n")
        (pillar / "a.sls").write_text(
            "{% for name, value in grains.items() %}\n{{ name }}: {{ value|yaml }}{% endfor %}\n"
        )
        options = {"file_roots": {"base": [str(roots)]}, "pillar_roots": {"base": [str(pillar)]}}
        with running_master(Path(directory), options) as master:
            with joined(master, "witness") as minion, joined(master, "hostile") as hostile:
                data = saltlite.MinionData(master.cache / "minions")
                for number in range(2000):
                    (master.pki / f"minions/m{number}").write_text(public(1))
                    data.put(f"m{number}", "mine", {"x.y": "x" * 2000})
                time.sleep(1)
                for what, load in hostile_requests(chance).items():
                    with Witness(minion) as witness:
                        time.sleep(0.1)
                        for _ in range(30 if "30," in what else 3):
                            with contextlib.suppress(AuthError):
                                hostile.ask(**load)
                        time.sleep(0.1)
                    yield f"{what}: the longest wait of another", witness.longest, 250, "ms"
                with Witness(minion) as witness:
                    for _ in range(5):
                        hostile.socket.send_multipart([b"", colliding()])
                        assert hostile.socket.poll(20_000)
                        hostile.socket.recv_multipart()
                yield "maps of chosen keys: the longest wait of another", witness.longest, 250, "ms"
            yield "the longest step of the loop, in computing", max(computed(master), default=0.0), 100, "ms"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0, help="go on for so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-k", default="", metavar="ROW", help="only rows with this in their name")
    args = parser.parse_args()
    logging.disable()
    end, seed, failed, passed = time.monotonic() + 60 * args.minutes, args.seed, 0, 0
    while True:
        print(f"seed {seed}", flush=True)
        for function in (each for each in ROWS if args.k in each.__name__):
            print(f"  {function.__doc__}", flush=True)
            for what, value, most, unit in function(random.Random(seed), 60.0 if args.minutes else 8.0):
                good = value <= most
                failed, passed = failed + (not good), passed + good
                verdict = "" if good else "   TOO MUCH"
                print(f"    {what:72} {value:10,.1f} {unit:5} (at most {most:,g}){verdict}", flush=True)
        seed += 1
        if time.monotonic() >= end:
            break
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
