"""A master that goes away, moves, or sits behind a NAT that forgets: how soon a minion finds it again.

    python tests/network.py [--away SECONDS]

Each case has three hosts of its own, network namespaces that are made and removed here: minion - router - master. The
router drops packets and says nothing, as firewalls do. A case measures the seconds from the moment that the network
is whole again (or, where connections are forgotten, from that) until the minion answers test.ping; more than a minute
is a failure. Exit status: 0, 1 a case failed, 2 this machine lets nobody make namespaces (root and `ip` are needed).
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from live import Master, Minion, until

LIMIT = 60.0
MASTER, MOVED, CLIENT = "10.213.2.2", "10.213.2.3", "10.213.1.2"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Net:
    """minion - router - master, three namespaces; `drop` and `pass_` are rules of the router."""

    def __init__(self) -> None:
        mark = uuid.uuid4().hex[:6]
        self.minion, self.router, self.master = (f"saltlite-{mark}-{host}" for host in ("minion", "router", "master"))

    def __enter__(self) -> Net:
        for name in (self.minion, self.router, self.master):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for host, net, addresses in ((self.minion, 1, [CLIENT]), (self.master, 2, [MASTER, MOVED])):
            ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", f"net{net}", "netns", self.router)
            for address in addresses:
                ip("-n", host, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", self.router, "addr", "add", f"10.213.{net}.1/24", "dev", f"net{net}")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", self.router, "link", "set", f"net{net}", "up")
            ip("-n", host, "route", "add", "default", "via", f"10.213.{net}.1")
        write = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        subprocess.run(["ip", "netns", "exec", self.router, "sh", "-c", write], check=True)
        Path("/etc/netns", self.minion).mkdir(parents=True)
        self.name_is(MASTER)
        return self

    def __exit__(self, *_: object) -> None:
        for name in (self.minion, self.router, self.master):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", name)
        shutil.rmtree(f"/etc/netns/{self.minion}", ignore_errors=True)
        with contextlib.suppress(OSError):
            os.rmdir("/etc/netns")

    def name_is(self, address: str) -> None:
        """What the minion's /etc/hosts says of `salt`; written in place, for the file is mounted there."""
        Path("/etc/netns", self.minion, "hosts").write_text(f"127.0.0.1 localhost\n{address} salt\n")

    def drop(self, *what: str) -> None:
        ip("-n", self.router, "rule", "add", *what, "prio", "10", "blackhole")

    def pass_(self, *what: str) -> None:
        ip("-n", self.router, "rule", "del", *what, "prio", "10", "blackhole")

    def exec(self, host: str) -> list[str]:
        return ["ip", "netns", "exec", host]

    def ports(self) -> list[str]:
        """The minion's own ports of its connections to the master."""
        done = subprocess.run(
            [*self.exec(self.minion), "cat", "/proc/net/tcp"], check=True, capture_output=True, text=True
        )
        lines = [line.split() for line in done.stdout.splitlines()[1:]]
        return [str(int(line[1].split(":")[1], 16)) for line in lines if line[3] == "01"]


@contextlib.contextmanager
def hosts(root: Path, net: Net) -> Iterator[tuple[Master, Minion]]:
    """A master and a minion that has answered."""
    options = {"interface": "0.0.0.0", "publish_port": 4505, "ret_port": 4506}
    master = Master(root / "master", options)
    minion = Minion(root / "m", master, {"id": "m", "master": "salt"})
    for name in ("recon_default", "recon_max", "return_retry_timer_max", "loop_interval"):
        del minion.options[name]  # what is measured is what users have
    minion.conf.joinpath("minion").write_text("".join(f"{k}: {v}\n" for k, v in minion.options.items()))
    try:
        master.start(net.exec(net.master))
        minion.start(net.exec(net.minion))
        minion.ready()
        yield master, minion
    finally:
        minion.close()
        master.close()


def answers(master: Master) -> bool:
    return master.returns("-t", "1", "m", "test.ping") == {"m": True}


def found_again(master: Master) -> float:
    began = time.monotonic()
    until(lambda: answers(master), LIMIT, "the minion answers again")
    return time.monotonic() - began


def forgotten(net: Net, master: Master, minion: Minion, away: float) -> float:
    """A NAT forgets the connections: their packets are dropped, new connections are not."""
    for port in net.ports():
        net.drop("ipproto", "tcp", "sport", port)
        net.drop("ipproto", "tcp", "dport", port)
    return found_again(master)


def unreachable(net: Net, master: Master, minion: Minion, away: float) -> float:
    """All packets are dropped for a while."""
    net.drop("from", CLIENT)
    net.drop("to", CLIENT)
    time.sleep(away)
    net.pass_("from", CLIENT)
    net.pass_("to", CLIENT)
    return found_again(master)


def moved(net: Net, master: Master, minion: Minion, away: float) -> float:
    """The name gets another address, and the old one is silent: names are resolved again."""
    net.drop("to", MASTER)
    net.drop("from", MASTER)
    net.name_is(MOVED)
    return found_again(master)


def restarted(net: Net, master: Master, minion: Minion, away: float) -> float:
    """The master's host is gone without a word, and comes back with the same tree."""
    net.drop("from", CLIENT)
    net.drop("to", CLIENT)
    master.stop(signal.SIGKILL)
    time.sleep(away)
    net.pass_("from", CLIENT)
    net.pass_("to", CLIENT)
    master.start(net.exec(net.master))
    return found_again(master)


CASES: tuple[Callable[[Net, Master, Minion, float], float], ...] = (forgotten, unreachable, moved, restarted)


def run(case: Callable[[Net, Master, Minion, float], float], away: float) -> str:
    """The sentence for a case; raises whatever goes wrong."""
    with tempfile.TemporaryDirectory(prefix="saltlite-net-") as scratch, Net() as net:
        with hosts(Path(scratch), net) as (master, minion):
            try:
                return f"{case.__doc__} Answers after {case(net, master, minion, away):.1f} s."
            except AssertionError as error:
                raise AssertionError(f"{error}\n{minion.text()[-3000:]}") from None


def main() -> int:
    parser = argparse.ArgumentParser(description="How soon a minion finds its master again.")
    parser.add_argument("--away", type=float, default=45.0, help="seconds that a master is unreachable")
    args = parser.parse_args()
    try:
        with Net():
            pass
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"network: no namespaces can be made here ({error}): not checked")
        return 2
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(len(CASES)) as pool:
        for case, future in [(case, pool.submit(run, case, args.away)) for case in CASES]:
            try:
                print(f"network ok      {case.__name__}: {future.result()}", flush=True)
            except Exception as error:
                failed += 1
                print(f"network FAILED  {case.__name__}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
