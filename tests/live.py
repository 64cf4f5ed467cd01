"""Real processes on loopback for the live tests: a master, minions and commands, each in a directory of its own.

`with running_master(tmp_path) as master, running_minion(master, "web1") as minion:` owns their lives: only processes
started here are ended here, by their ids. `until` waits for a condition; nothing here waits for a time.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
import zmq

import saltlite

SCRIPT = Path(saltlite.__file__).resolve()
# As a module, and with a place for byte code, the script is not compiled anew for each of some 200 processes.
PROGRAM = [sys.executable, "-m", "saltlite"]
PLACE = tempfile.TemporaryDirectory(prefix="saltlite-pyc-")
BYTE_CODE = sys.pycache_prefix or PLACE.name
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT |= {"PYTHONPATH": str(SCRIPT.parent), "PYTHONPYCACHEPREFIX": BYTE_CODE, "NO_COLOR": "1"}
# Waits that a test would sit through are short; all else is as a user has it.
MASTER_CONFIG = {"interface": "127.0.0.1", "timeout": 2, "gather_job_timeout": 2}
MINION_CONFIG = {
    "master": "127.0.0.1",
    "acceptance_wait_time": 1,
    "random_reauth_delay": 1,
    "return_retry_timer_max": 2,
    "recon_default": 50,
    "recon_max": 200,
    "loop_interval": 0.05,
}

BROUGHT = itertools.cycle(range(10, 16))  # the numbers of keys that no test makes itself

T = TypeVar("T")


def until(condition: Callable[[], T], seconds: float = 30.0, what: str = "") -> T:
    """The first true value of `condition`; AssertionError when `seconds` have passed without one."""
    end = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if value := condition():
            return value
        now = time.monotonic()
        assert began <= end, f"not within {seconds} s: {what or condition}"
        time.sleep(min(max(0.005, 2 * (now - began)), 0.3))  # longer if asking starts a process


@functools.cache
def _ports() -> Iterator[int]:
    """Below the ports that the system gives to outgoing connections; each once in this process."""
    ports = list(range(15000, 32000))
    random.SystemRandom().shuffle(ports)
    return iter(ports)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on and that was not given out before."""
    for port in _ports():
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def command(
    *argv: object, seconds: float = 30, prefix: Sequence[str] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run `saltlite ARGV…` to its end, without a terminal; `prefix` is a command that becomes it."""
    # replaced, not refused: what a program under test prints is part of what is judged
    how: dict[str, Any] = {"capture_output": True, "text": True, "errors": "replace", "env": ENVIRONMENT}
    if "input" not in options:
        how["stdin"] = subprocess.DEVNULL
    return subprocess.run([*prefix, *PROGRAM, *map(str, argv)], timeout=seconds, **(how | options))


def write_config(path: Path, options: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(options))


def walk(root: Path) -> dict[str, int]:
    """{path below root: mode}, directories with a slash behind them, found by os.walk."""
    found = {}
    for top, directories, files in os.walk(root):
        for name in directories + files:
            path = Path(top, name)
            slash = "/" if name in directories else ""
            found[f"{path.relative_to(root)}{slash}"] = path.lstat().st_mode & 0o7777
    return found


class Daemon:
    """A master or a minion: its configuration directory, its process and what it logs."""

    role = ""

    def __init__(self, conf: Path, options: dict[str, Any]) -> None:
        self.conf, self.options = conf, options
        write_config(conf / self.role, options)
        inside = conf.parts[-2:] == ("etc", "salt")
        self.root = conf.parent.parent if inside else conf
        self.pki = conf / "pki" / self.role
        self.cache = self.root / "var/cache/salt" / self.role
        self.log = self.root.with_name(f"{self.root.name}.log")
        self.process: subprocess.Popen[bytes] | None = None
        self.crashes_expected = False
        self.program = PROGRAM  # or the one file that a test has made

    def start(self, prefix: Sequence[str] = ()) -> None:
        """Start the process, by a command that becomes it; what it logs goes to a file that is empty again."""
        assert self.process is None
        words = [*prefix, *self.program, self.role, "-c", str(self.conf), "-l", "debug"]
        with self.log.open("wb") as log:
            null = subprocess.DEVNULL
            self.process = subprocess.Popen(words, stdin=null, stdout=log, stderr=log, env=ENVIRONMENT)

    def bring_key(self) -> None:
        """Put a key pair where there is none: to make one takes half of a first start. It is one of a few, and another
        than the neighbours have."""
        place = self.pki / f"{self.role}.pem"
        if place.exists() or {"key_pass", "keysize", "pki_dir", "root_dir"} & self.options.keys():
            return
        number = next(BROUGHT)
        self.pki.mkdir(0o700, parents=True, exist_ok=True)
        place.write_bytes(pem(number))
        place.chmod(0o400)
        place.with_suffix(".pub").write_text(public(number) + "\n")

    def text(self) -> str:
        """What the process has logged since it was started."""
        return self.log.read_text(errors="replace")

    def says(self, *words: str, seconds: float = 30.0) -> str:
        """Wait for a line of the log that holds all words; gives it. Fails at once when the process has ended."""

        def found() -> str:
            ended = self.process is None or self.process.poll() is not None
            for line in self.text().splitlines():
                if all(word in line for word in words):
                    return line
            assert not ended, f"the {self.role} has ended without saying {words}:\n{self.text()}"
            return ""

        try:
            return until(found, seconds, f"the {self.role} says {words}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()}") from None

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal and wait for the end: exit code and seconds."""
        process, self.process = self.process, None
        assert process
        began = time.monotonic()
        process.send_signal(number)
        try:
            code = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the {self.role} does not end on signal {number}:\n{self.text()}") from None
        self.check_log()
        return code, time.monotonic() - began

    def check_log(self) -> None:
        """No error that the program itself calls impossible, and no traceback."""
        if not self.crashes_expected:
            for word in ("Traceback", "should not happen"):
                assert word not in self.text(), self.text()

    def close(self) -> None:
        """End the process if it is there still, however."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


class Master(Daemon):
    role = "master"

    def __init__(self, conf: Path, options: dict[str, Any]) -> None:
        ports = {"publish_port": free_port(), "ret_port": free_port()}
        super().__init__(conf, MASTER_CONFIG | ports | options)
        self.jobs = self.cache / "jobs"

    def start(self, prefix: Sequence[str] = ()) -> None:
        super().start(prefix)
        self.says("ready")

    def salt(self, *argv: object, seconds: float = 30) -> subprocess.CompletedProcess[str]:
        return command("salt", "-c", self.conf, *argv, seconds=seconds)

    def key(self, *argv: object, **options: Any) -> subprocess.CompletedProcess[str]:
        return command("key", "-c", self.conf, *argv, **options)

    def returns(self, *argv: object) -> dict[str, Any]:
        """{id: return} of a `salt` command."""
        done = self.salt("--out", "json", "--static", *argv)
        assert done.stdout, f"{argv}: exit code {done.returncode}, {done.stderr}"
        return json.loads(done.stdout)

    def ids(self, directory: str) -> list[str]:
        """The names in a key directory; nothing that a reader ignores."""
        return sorted(name for name in os.listdir(self.pki / directory) if not name.startswith("."))

    def mv(self, minion: str, source: str, target: str) -> None:
        """The operator's move: mv SOURCE/ID TARGET/."""
        os.rename(self.pki / source / minion, self.pki / target / minion)

    def accept(self, minion: str) -> None:
        until((self.pki / "minions_pre" / minion).exists, what=f"{minion} asks")
        self.mv(minion, "minions_pre", "minions")

    def events(self) -> list[dict[str, Any]]:
        path = self.cache / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def up(self, minion: str) -> bool:
        return any(event["tag"] == f"salt/minion/{minion}/start" for event in self.events())

    def request(self, name: str, **fields: Any) -> None:
        """A job by hand: a file made beside jobs/new, then moved there."""
        path = self.root / f".{name}"
        path.write_text(json.dumps(fields))
        path.chmod(0o600)
        path.rename(self.jobs / "new" / name)

    def job_file(self, jid: str, state: str = "done") -> Path:
        return self.jobs / ("active" if state == "active" else f"done/{jid[:8]}") / f"{jid}.jsonl"

    def job(self, jid: str, seconds: float = 15) -> list[dict[str, Any]]:
        """Wait for a job's end; gives the lines of its file."""
        path = self.job_file(jid)
        until(path.exists, seconds, f"job {jid} ends; {self.log}")
        return [json.loads(line) for line in path.read_text().splitlines()]

    def submit(self, *argv: object) -> str:
        """Publish without waiting; gives the jid."""
        done = self.salt("--async", *argv)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]


class Minion(Daemon):
    role = "minion"

    def __init__(self, conf: Path, master: Master, options: dict[str, Any]) -> None:
        super().__init__(conf, MINION_CONFIG | {"master_port": master.options["ret_port"]} | options)
        self.master = master
        self.name = str(options.get("id", ""))

    def connected(self, seconds: float = 30) -> None:
        """Wait until the minion hears its master."""
        self.says("connected", seconds=seconds)

    def ready(self) -> None:
        """Accept the key if need be, and wait until the master knows the minion with its grains."""
        if not (self.master.pki / "minions" / self.name).exists():
            self.master.accept(self.name)
        self.connected()
        grains = self.master.cache / "minions" / self.name / "grains.json"
        until(lambda: grains.exists() and self.master.up(self.name), what=f"{self.name} is up\n{self.log}")

    def job_pid(self, jid: str) -> int:
        """The process of a running job, 0 if it does not run."""
        try:
            pid = saltlite.msgpack.unpackb((self.cache / "proc" / jid).read_bytes(), strict_map_key=False)["pid"]
        except FileNotFoundError:
            return 0
        return pid if pid and saltlite.process_start(pid) else 0

    def close(self) -> None:
        """End the minion, and jobs that have outlived it."""
        super().close()
        if (self.cache / "proc").is_dir():
            for jid in os.listdir(self.cache / "proc"):
                if pid := self.job_pid(jid):
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)


@contextlib.contextmanager
def running_master(
    root: Path, options: dict[str, Any] | None = None, name: str = "master", program: list[str] = PROGRAM
) -> Iterator[Master]:
    """A master with its configuration in ROOT/NAME, ready; it has to end well, too."""
    master = Master(root / name, options or {})
    master.program = program
    master.bring_key()
    try:
        master.start()
        yield master
        if master.process:
            master.stop()
    finally:
        master.close()


@contextlib.contextmanager
def running_minion(
    master: Master,
    name: str,
    options: dict[str, Any] | None = None,
    ready: bool = True,
    program: list[str] = PROGRAM,
) -> Iterator[Minion]:
    """A minion of `master` with its configuration beside it; `ready`: accepted, connected and known."""
    minion = Minion(master.root.parent / name, master, {"id": name} | (options or {}))
    minion.program = program
    minion.bring_key()
    try:
        minion.start()
        if ready:
            minion.ready()
        yield minion
        if minion.process:
            minion.stop()
    finally:
        minion.close()


@functools.cache
def pem(number: int = 0) -> bytes:
    """A private key, the same for the same number."""
    return saltlite.PrivateKey.generate(2048)


@functools.cache
def public(number: int = 0) -> str:
    """The public half of `pem`, as the master writes it to a key file."""
    return saltlite.PrivateKey(pem(number)).public.pem


class WireMinion:
    """A minion of a test's own, without jobs: it asks a real master to be let in, and says what it was told."""

    def __init__(self, master: Master, name: str, number: int = 0, options: dict[str, Any] | None = None) -> None:
        self.master, self.name = master, name
        home = master.root.parent / f"wire-{name}-{number}"
        write_config(home / "minion", {"id": name} | (options or {}))
        opts = saltlite.load_opts("minion", str(home))
        tree = saltlite.MinionTree(opts)
        for directory in (tree.pki, tree.cache):
            directory.mkdir(parents=True, exist_ok=True)
        tree.put_grains(opts["grains"])
        self.protocol = saltlite.MinionProtocol(opts, tree, saltlite.PrivateKey(pem(number)))
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(f"tcp://127.0.0.1:{master.options['ret_port']}")

    def __enter__(self) -> WireMinion:
        return self

    def __exit__(self, *args: object) -> None:
        self.socket.close(0)

    def send_auth(self) -> None:
        self.socket.send_multipart([b"", self.protocol.auth_request()])

    def told(self, seconds: float = 30) -> str:
        """What the master answers to the `_auth` under way: one of saltlite's GOT_CREDENTIALS, KEY_REFUSED …"""
        assert self.socket.poll(int(seconds * 1000)), f"the master does not answer {self.name}"
        return self.protocol.auth_reply(self.socket.recv_multipart()[-1])

    def auth(self, seconds: float = 30) -> str:
        self.send_auth()
        return self.told(seconds)

    def pend(self) -> None:
        """Ask, and wait until the master has put the key among the pending ones and holds the request."""
        self.send_auth()
        until((self.master.pki / "minions_pre" / self.name).exists, what=f"{self.name} is pending")

    def ask(self, **load: Any) -> Any:
        """The object in the reply to a request; AuthError if the master says `bad load`."""
        self.socket.send_multipart([b"", self.protocol.request(load, time.time())])
        assert self.socket.poll(30000), f"the master does not answer {self.name}"
        return self.protocol.reply(self.socket.recv_multipart()[-1])
