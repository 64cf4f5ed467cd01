"""saltlite and real Salt in one system: each release of Salt in each role, every feature a row of CHECKS.

    python tests/interop.py --salt 3006=VENV [--salt 3007=VENV …] [--saltlite "python saltlite.pyz"]
                            [--only 3006] [--role master|minion] [-k WORDS] [-j JOBS] [-v] [--keep]

The role is saltlite's. For each release and role there is one bed: a master and two minions (web1 with default options,
db1 with the SHA224 algorithms and signatures) on 127.0.0.1, in a scratch directory laid out the same whoever runs it:

    bed/master/etc/salt/{master,pki/master}     saltlite master | salt-master
    bed/web1/etc/salt/{minion,grains,pki/minion}    salt-minion | saltlite minion       (db1 the same)
    bed/NAME/log                                what the daemon NAME wrote on stderr
    bed/ran/NUMBER                              who really ran the job of a target check, a line for each run

The checks of a bed run in the order of the table, as the later ones break what the earlier ones use. A check fails by
an AssertionError with what was expected and what came, or by its own time limit; the ends of the logs are shown.
Exit status: 0, 1 a check failed, 2 there is no Salt to check against.

`--self-check` puts real Salt in saltlite's place: what fails then is wrong with this suite or with Salt itself.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pwd
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

HERE = Path(__file__).resolve().parent
LOOPBACK = "127.0.0.1"
MINIONS = ("web1", "db1")
GRAINS = {
    "web1": "role: web\nplace:\n  room: r1\n  racks: [a, b]\n",
    "db1": "role: db\nplace:\n  room: r2\n  racks: [c]\n",
}
SHA224 = {
    "encryption_algorithm": "OAEP-SHA224",
    "signing_algorithm": "PKCS1v15-SHA224",
    "sign_pub_messages": True,
    "minion_sign_messages": True,
}
# A real minion finds a master that comes back within a second, not within eleven: the wait is libzmq's, not saltlite's.
RECONNECT = {"recon_default": 200, "recon_max": 1000, "recon_randomize": False}
CALL_LIMIT = 60.0  # seconds for one command line, if its check leaves it so much
MISSED = "not reached"
BACK = 45.0  # seconds within which a minion must answer after its master restarted or its key was accepted

stopping = threading.Event()  # set when the suite is interrupted: every wait ends
given_ports: set[int] = set()
ports_lock = threading.Lock()


class Stopped(Exception):
    """The suite is being interrupted."""


def free_port() -> int:
    """A port below the range of outgoing connections that nobody uses and that no other bed was given."""
    while True:
        port = random.randrange(20000, 32000)
        with ports_lock, socket.socket() as probe:
            if port in given_ports:
                continue
            with contextlib.suppress(OSError):
                probe.bind((LOOPBACK, port))
                given_ports.add(port)
                return port


def yaml_lines(options: Mapping[str, Any]) -> str:
    """JSON values are YAML."""
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in options.items())


def documents(text: str) -> Iterator[Any]:
    """Every JSON document in the text that begins a line; what is no JSON is passed over."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
            yield value
        except ValueError:
            at = text.find("\n", at) + 1 or len(text)
        while at < len(text) and text[at].isspace():
            at += 1


# ---- 1. Processes ---------------------------------------------------------------------------------------------------


def started_here(session: int | None, **marks: str) -> list[int]:
    """Processes of the session, and those with all the marks in their environment (a job has its own session)."""
    wanted = [f"{name}={value}".encode() for name, value in marks.items()]
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            environment = (entry / "environ").read_bytes().split(b"\0")
            if fields[0] != "Z" and (int(fields[3]) == session or all(mark in environment for mark in wanted)):
                found.append(int(entry.name))
    return found


def kill_all(session: int | None, **marks: str) -> None:
    """SIGKILL, until none of them is left (for 5 s: one in the kernel's hands may take its time)."""
    end = time.monotonic() + 5
    while (pids := started_here(session, **marks)) and time.monotonic() < end:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        stopping.wait(0.02)


class Daemon:
    """A master or minion process, the head of a session of its own; `log` is what it writes on stdout and stderr."""

    def __init__(self, bed: Bed, name: str, command: Sequence[str]) -> None:
        self.bed = bed
        self.name = name
        self.command = list(command)
        self.log = bed.dir / name / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.begin = 0  # where the log of the present run begins

    def start(self) -> None:
        self.begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.bed.dir,
                env=self.bed.env | {"INTEROP_ID": self.name},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self.process, f"{self.name} was never started"
        return self.process.pid

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def said(self, pattern: str, since: int | None = None) -> bool:
        """Whether its log has the pattern, since a position or since the start of this run."""
        return re.search(pattern, self.text(self.begin if since is None else since)) is not None

    def text(self, since: int) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def terminate(self, patience: float) -> tuple[int | None, float]:
        """SIGTERM to the daemon alone; its exit status (None: it did not end) and the seconds it took."""
        assert self.process, f"{self.name} was never started"
        begun = time.monotonic()
        self.process.terminate()
        try:
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            status = None
        return status, time.monotonic() - begun

    def destroy(self) -> None:
        """SIGKILL to all of its processes at once, like a machine that loses power."""
        if self.process:
            self.process.kill()
            self.process.wait()
            kill_all(self.process.pid, INTEROP_ID=self.name, INTEROP_BED=str(self.bed.dir))


class Answer(NamedTuple):
    """What a command line gave: its exit status, its output, and the returns by minion when the output is JSON."""

    status: int
    out: str
    err: str
    returns: dict[str, Any]

    def __str__(self) -> str:
        return f"exit status {self.status}, {self.out.strip()[-1500:]!r}" + (
            self.err and f", stderr {self.err[-1500:]!r}"
        )


# ---- 2. Masters and minions -----------------------------------------------------------------------------------------


class Side:
    """What a master and a minion, saltlite or real, have in common: a directory laid out the same, and a daemon."""

    def __init__(self, bed: Bed, name: str) -> None:
        self.bed = bed
        self.name = name
        self.root = bed.dir / name
        self.conf = self.root / "etc/salt"
        self.conf.mkdir(parents=True)
        self.daemon = Daemon(bed, name, self.command())

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        for left in self.root.glob("*pid"):  # by a killed real daemon: the next one would take its zombie for a rival
            left.unlink()
        self.daemon.start()

    def real_options(self, cache: str, pki: str) -> dict[str, Any]:
        """Where real Salt keeps its things: as saltlite does, given its -c."""
        return {
            "root_dir": str(self.root),
            "pki_dir": str(self.conf / "pki" / pki),
            "cachedir": str(self.root / "var/cache/salt" / cache),
            "sock_dir": str(self.root / "run"),
            "pidfile": str(self.root / "pid"),
            "log_file": str(self.root / "logfile"),
            "log_level_logfile": "quiet",
            "user": pwd.getpwuid(os.getuid()).pw_name,
        }


class Master(Side):
    def __init__(self, bed: Bed) -> None:
        super().__init__(bed, "master")
        self.pki = self.conf / "pki/master"
        self.cache = self.root / "var/cache/salt/master"
        options = {"interface": LOOPBACK, "publish_port": bed.publish_port, "ret_port": bed.ret_port}
        options |= {"timeout": 5, "gather_job_timeout": 6} | self.options()
        (self.conf / "master").write_text(yaml_lines(options))

    def options(self) -> dict[str, Any]:
        return {}

    def ready(self) -> bool:
        raise NotImplementedError

    def up(self) -> None:
        self.start()
        self.bed.wait(lambda: self.ready() or not self.daemon.alive(), "the master to be ready")
        assert self.daemon.alive(), (
            f"the master ended with status {self.daemon.process and self.daemon.process.returncode}"
        )

    def salt_command(self) -> list[str]:
        raise NotImplementedError

    def salt(self, *words: str, limit: float = CALL_LIMIT) -> Answer:
        """`salt WORDS`, its returns in JSON. Without --static, with which real Salt forgets the exit status."""
        answer = self.bed.run(*self.salt_command(), "--out", "json", *words, limit=limit)
        returns: dict[str, Any] = {}
        for value in documents(answer.out):
            if isinstance(value, dict):
                returns |= value
        return answer._replace(returns=returns)

    def begin_job(self, *words: str) -> str:
        """`salt --async WORDS`; the jid."""
        answer = self.bed.run(*self.salt_command(), "--async", *words)
        found = re.findall(r"\b\d{20}\b", answer.out)
        assert answer.status == 0 and found, f"expected a jid from salt --async {' '.join(words)}; got {answer}"
        return str(found[0])

    def begin_jobs(self, count: int) -> dict[str, int]:
        """Publishes `test.echo N` to web1 for each N below `count`, all at once; N by jid."""
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            jids = pool.map(lambda number: self.begin_job("web1", "test.echo", str(number)), range(count))
            return {jid: number for number, jid in enumerate(jids)}

    def job(self, jid: str) -> dict[str, dict[str, Any]]:
        """The returns that this master has on disk: minion -> {return, retcode, success}."""
        raise NotImplementedError

    def returned(self, jid: str, minion: str, within: float = 30) -> dict[str, Any]:
        self.bed.wait(lambda: minion in self.job(jid), f"the return of {minion} in job {jid}", within)
        return self.job(jid)[minion]

    def rotate(self) -> None:
        """What makes a master of this kind rotate its key after a key file was moved out of minions/."""


class SaltliteMaster(Master):
    def command(self) -> list[str]:
        return [*self.bed.saltlite, "master", "-c", str(self.conf), "-l", self.bed.level]

    def salt_command(self) -> list[str]:
        return [*self.bed.saltlite, "salt", "-c", str(self.conf)]

    def ready(self) -> bool:
        return self.daemon.said(r"\bready\b")

    def job(self, jid: str) -> dict[str, dict[str, Any]]:
        returns = {}
        for line in self.lines(jid):
            if line["event"] == "ret":
                assert line["id"] not in returns, f"two returns of {line['id']} in job {jid}"
                returns[line["id"]] = line
        return returns

    def lines(self, jid: str) -> list[dict[str, Any]]:
        """The job's file; whole lines only. It may move to done/ between the look and the reading."""
        jobs = self.cache / "jobs"
        for path in [jobs / "active" / f"{jid}.jsonl", *jobs.glob(f"done/*/{jid}.jsonl")]:
            with contextlib.suppress(FileNotFoundError):
                return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return []


class RealMaster(Master):
    def command(self) -> list[str]:
        return [self.bed.real("salt-master"), "-c", str(self.conf), "-l", self.bed.level]

    def salt_command(self) -> list[str]:
        return [self.bed.real("salt"), "-c", str(self.conf)]

    def options(self) -> dict[str, Any]:
        # One second between looks at .dfn, so that a rotation comes at once.
        # A real master opens signed returns only if it is told the algorithm (KeyError: 'signing_algorithm').
        options = {"worker_threads": 3, "loop_interval": 1, "signing_algorithm": SHA224["signing_algorithm"]}
        return self.real_options("master", "master") | options

    def ready(self) -> bool:
        for port in (self.bed.publish_port, self.bed.ret_port):
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, port)):
                    return False
        return len(list((self.root / "run").glob("*.ipc"))) >= 3

    def keys(self) -> dict[str, list[str]]:
        """`salt-key -L`: directory -> ids."""
        answer = self.salt_key("-L", "--out", "json")
        return next(value for value in documents(answer.out) if isinstance(value, dict))

    def salt_key(self, *words: str) -> Answer:
        answer = self.bed.run(self.bed.real("salt-key"), "-c", str(self.conf), "-y", *words)
        assert answer.status == 0, f"salt-key {' '.join(words)}: {answer}"
        return answer

    def accept(self, name: str, *options: str) -> None:
        """`salt-key -a`, until the minion was let in: a 3008 asked at that moment may make it pending again."""
        since = self.daemon.size()
        pending = self.pki / "minions_pre" / name
        let_in = functools.partial(self.daemon.said, f"Authentication accepted from {name}", since)
        while not let_in():
            self.salt_key(*options, "-a", name)
            self.bed.wait(lambda: let_in() or pending.exists(), f"{name} to be let in", BACK)

    def begin_jobs(self, count: int) -> dict[str, int]:
        script = (
            "import sys, json, salt.client; client = salt.client.LocalClient(sys.argv[1]);"
            "print(json.dumps([client.run_job('web1', 'test.echo', [n])['jid'] for n in range(int(sys.argv[2]))]))"
        )
        answer = self.bed.run(self.bed.real("python"), "-c", script, str(self.conf / "master"), str(count))
        assert answer.status == 0, f"LocalClient.run_job: {answer}"
        jids = next(value for value in documents(answer.out) if isinstance(value, list))
        return {jid: number for number, jid in enumerate(jids)}

    def job(self, jid: str) -> dict[str, dict[str, Any]]:
        digest = hashlib.sha256(jid.encode()).hexdigest()
        returns = {}
        for path in (self.cache / "jobs" / digest[:2] / digest[2:]).glob("*/return.p"):
            with contextlib.suppress(FileNotFoundError, ValueError):  # it is being written
                returns[path.parent.name] = msgpack.unpackb(path.read_bytes(), strict_map_key=False)
        return returns

    def rotate(self) -> None:
        """`salt-key -d` of any minion, then until the maintenance process has seen what it leaves."""
        ghost = self.pki / "minions/ghost"
        shutil.copy(self.pki / "minions/web1", ghost)
        self.salt_key("-d", ghost.name)
        self.await_rotation()

    def await_rotation(self) -> None:
        self.bed.wait(lambda: not (self.cache / ".dfn").exists(), "the real master to take .dfn away", 20)


class Minion(Side):
    def __init__(self, bed: Bed, name: str) -> None:
        super().__init__(bed, name)
        self.pki = self.conf / "pki/minion"
        options = {"id": name, "master": LOOPBACK, "master_port": bed.ret_port} | self.options()
        if name == "db1":
            options |= SHA224
        (self.conf / "minion").write_text(yaml_lines(options))
        (self.conf / "grains").write_text(GRAINS[name])

    def options(self) -> dict[str, Any]:
        return {}

    def at_job(self, jid: str) -> None:
        """Until the minion says by the file proc/JID that it runs the job."""
        self.bed.wait(lambda: self.at(jid), f"{self.name} to have proc/{jid}", 20)

    def at(self, jid: str) -> bool:
        return (self.root / "var/cache/salt/minion/proc" / jid).exists()


class SaltliteMinion(Minion):
    def command(self) -> list[str]:
        return [*self.bed.saltlite, "minion", "-c", str(self.conf), "-l", self.bed.level]

    def options(self) -> dict[str, Any]:
        return {"acceptance_wait_time": 2}  # a real master does not hold a pending request

    def up(self) -> None:
        self.start()
        self.bed.wait(
            lambda: self.daemon.said("connected") or not self.daemon.alive(), f"{self.name} to be connected", 20
        )
        assert self.daemon.alive(), (
            f"{self.name} ended at its start: {self.daemon.text(self.daemon.begin).strip()[-500:]}"
        )


class RealMinion(Minion):
    def command(self) -> list[str]:
        return [self.bed.real("salt-minion"), "-c", str(self.conf), "-l", self.bed.level]

    def options(self) -> dict[str, Any]:
        options = self.real_options("minion", "minion") | RECONNECT
        # Once disconnected, 3007 looks each second for a connection to the port in *its* options, and else starts anew.
        return options | ({"publish_port": self.bed.publish_port} if self.bed.release == "3007" else {})

    def salt_call(self, *words: str) -> Answer:
        return self.bed.run(self.bed.real("salt-call"), "-c", str(self.conf), "--out", "json", *words)


class Bed:
    """One release in one role: the master, the minions, and what the checks share. No wait outlasts a check's limit."""

    def __init__(self, release: str, role: str, venv: Path, options: argparse.Namespace) -> None:
        self.release = release
        self.role = role
        self.venv = venv
        self.saltlite = options.saltlite
        self.level = "debug" if options.verbose else "info"
        self.self_check = options.self_check
        self.words = options.words
        base = tempfile.gettempdir()  # the paths of Salt's unix sockets must stay below 108 bytes
        self.dir = Path(tempfile.mkdtemp(prefix="io-", dir=base if len(base) < 30 else "/tmp"))
        (self.dir / "ran").mkdir()
        self.env = dict(os.environ, INTEROP_BED=str(self.dir), PYTHONWARNINGS="ignore")
        self.publish_port = free_port()
        self.ret_port = free_port()
        self.deadline = time.monotonic() + 60
        self.slow_job = ""  # the jid of what web1 was at when db1 was revoked
        self.revoked_job = ""  # the jid of what db1 was at when it was revoked
        self.marks: dict[Path, tuple[str, list[str]]] = {}  # file of a target check -> its name, who should have run
        lite_master = role == "master" and not self.self_check
        minion = SaltliteMinion if role == "minion" and not self.self_check else RealMinion
        self.master: Any = SaltliteMaster(self) if lite_master else RealMaster(self)
        self.minions: list[Any] = [minion(self, name) for name in MINIONS]
        self.web1, self.db1 = self.minions

    def real(self, program: str) -> str:
        return str(self.venv / "bin" / program)

    @property
    def sides(self) -> list[Any]:
        return [self.master, *self.minions]

    def wait(self, condition: Callable[[], Any], what: str, within: float = 1e9) -> float:
        """Until the condition holds; the seconds it took. Looks 50 times a second: a log has no other bell."""
        begun = time.monotonic()
        end = min(self.deadline, begun + within)
        while not condition():
            if stopping.wait(0.02):
                raise Stopped
            assert time.monotonic() < end, f"waited {time.monotonic() - begun:.1f} s for {what}"
        return time.monotonic() - begun

    def run(self, *command: str, limit: float = CALL_LIMIT) -> Answer:
        """Runs a command line to its end, which must come within the limit and the deadline of the check."""
        begun = time.monotonic()
        limit = max(0.1, min(limit, self.deadline - begun))
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.dir,
                env=self.env,
                start_new_session=True,
            )
            try:
                while True:
                    try:
                        process.wait(0.25)
                        break
                    except subprocess.TimeoutExpired:
                        if stopping.is_set():
                            raise Stopped from None
                        if time.monotonic() - begun > limit:
                            break
            finally:
                ended = process.poll() is not None
                if not ended:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode(errors="replace"))
        shown = shlex.join(word if len(word) < 200 else word[:200] + "…" for word in command)
        assert ended, f"`{shown}` did not end within {limit:.0f} s; so far {texts[0][-800:]!r} {texts[1][-800:]!r}"
        return Answer(process.returncode, texts[0], texts[1], {})

    def answering(self, names: Sequence[str], within: float = BACK) -> float:
        """Until test.ping is answered by all of the minions named; the seconds it took."""
        begun = time.monotonic()
        last = Answer(0, "nothing was sent", "", {})

        def all_answer() -> bool:
            nonlocal last
            last = self.master.salt("-t", "3", "-L", ",".join(names), "test.ping")
            return last.returns == dict.fromkeys(names, True)

        try:
            self.wait(all_answer, "", within)
        except AssertionError:
            waited = time.monotonic() - begun
            raise AssertionError(
                f"expected {', '.join(names)} to answer within {waited:.0f} s; the last: {last}"
            ) from None
        return time.monotonic() - begun

    def revive(self) -> None:
        """After a failure: what should run and does not is started again, lest the next check be blamed for it."""
        for side in self.sides:
            if side.daemon.process and not side.daemon.alive():
                side.daemon.destroy()
                side.start()

    def close(self, keep: bool) -> None:
        for side in self.sides:
            side.daemon.destroy()
        kill_all(None, INTEROP_BED=str(self.dir))
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)


def expect(answer: Answer, returns: Mapping[str, Any], status: int | None = 0) -> None:
    """The returns are exactly these, and so is the exit status (None: any that is not 0)."""
    good = answer.status != 0 if status is None else answer.status == status
    wanted = f"{json.dumps(returns)} with exit status {'not 0' if status is None else status}"
    assert answer.returns == returns and good, f"expected {wanted}; got {answer}"


# ---- 3. Checks of both roles ----------------------------------------------------------------------------------------


def test_ping(bed: Bed) -> None:
    expect(bed.master.salt("*", "test.ping"), {"web1": True, "db1": True})


def cmd_run(bed: Bed) -> None:
    expect(bed.master.salt("web1", "cmd.run", "echo $((6 * 7)); echo grün >&2; pwd", "cwd=/"), {"web1": "42\ngrün\n/"})


def arguments(bed: Bed) -> None:
    words = [
        "1",
        "two",
        "1.5",
        "true",
        "null",
        "[1, {a: b}]",
        "num=7",
        "list=[x, y]",
        "text=a b",
        "deep={k: [1, null]}",
    ]
    args = [1, "two", 1.5, True, None, [1, {"a": "b"}]]
    kwargs = {"num": 7, "list": ["x", "y"], "text": "a b", "deep": {"k": [1, None]}}
    answer = bed.master.salt("web1", "test.arg", *words)
    with contextlib.suppress(LookupError, TypeError):  # real Salt shows what it hands to every **kwargs
        got = answer.returns["web1"]["kwargs"]
        answer.returns["web1"]["kwargs"] = {name: value for name, value in got.items() if not name.startswith("__pub_")}
    expect(answer, {"web1": {"args": args, "kwargs": kwargs}})


def grains(bed: Bed) -> None:
    answer = bed.master.salt("*", "grains.items")
    assert set(answer.returns) == set(MINIONS), f"expected the grains of both; got {answer}"
    for name, items in answer.returns.items():
        wanted = {"id": name, "role": name.rstrip("1"), "kernel": "Linux", "nodename": socket.gethostname()}
        got = {key: items.get(key) for key in wanted}
        assert got == wanted, f"expected {wanted} among the grains of {name}; got {got}"
        for key in ("os", "os_family", "osrelease", "cpuarch", "num_cpus", "mem_total", "ipv4", "saltversion"):
            assert items.get(key), f"{name} has no grain {key}: {sorted(items)}"


class Target(NamedTuple):
    option: str
    expression: str
    matched: Sequence[str]


TARGETS = (
    Target("", "*", MINIONS),
    Target("", "w*[0-9]", ("web1",)),
    Target("", "WEB1", ()),
    Target("-L", "db1,web1", MINIONS),
    Target("-L", "db1", ("db1",)),
    Target("-E", r"(web|mail)\d$", ("web1",)),
    Target("-E", "eb1", ()),
    Target("-G", "role:w*", ("web1",)),
    Target("-G", "place:racks:c", ("db1",)),
    Target("-G", "role:mail", ()),
    Target("-P", "role:(web|mail)$", ("web1",)),
    Target("-S", "127.0.0.0/8", MINIONS),
    Target("-C", "G@role:web and not db1", ("web1",)),
    Target("-C", "E@d.1 or G@role:mail", ("db1",)),
    Target("-C", "( web1 or L@db1 ) and not G@place:room:r1", ("db1",)),
    Target("-C", "P@role:(web|db) and G@role:mail", ()),
)


def target(bed: Bed, row: Target) -> None:
    """The returns come from the minions meant, and so do the traces that the job leaves on the disk."""
    mark = bed.dir / "ran" / str(TARGETS.index(row))
    bed.marks[mark] = (f"{row.option} {row.expression!r}", sorted(row.matched))
    words = [row.option] if row.option else []
    answer = bed.master.salt(*words, row.expression, "cmd.run", f"echo $INTEROP_ID >>{mark}; echo $INTEROP_ID")
    expect(answer, {name: name for name in row.matched}, 0 if row.matched else 2)
    ran = sorted(mark.read_text().split()) if mark.exists() else []
    assert ran == sorted(row.matched), f"expected {sorted(row.matched)} to run the job once; {ran} did"


def nobody_else_ran(bed: Bed) -> None:
    """Looks again, after all other checks: a minion that is slow to disobey, or runs a job twice, is found here."""
    assert bed.marks or bed.words, "no job was marked"
    for mark, (name, wanted) in bed.marks.items():
        ran = sorted(mark.read_text().split()) if mark.exists() else []
        assert ran == wanted, f"{name}: expected {wanted} to run the job once; {ran} did"


def unknown_function(bed: Bed) -> None:
    answer = bed.master.salt("web1", "no.such", limit=30)
    got = answer.returns.get("web1")
    good = isinstance(got, str) and "'no.such' is not available" in got and answer.status != 0
    assert good, f"expected web1 to say that 'no.such' is not available, and a status that is not 0; got {answer}"


def wrong_arguments(bed: Bed) -> None:
    answer = bed.master.salt("web1", "test.echo", "a", "b", "c", limit=30)
    got = answer.returns.get("web1")
    good = isinstance(got, str) and "test.echo" in got and "argument" in got and answer.status != 0
    assert good, f"expected web1 to complain of the arguments of test.echo, and a status that is not 0; got {answer}"


def failing_command(bed: Bed) -> None:
    answer = bed.master.salt("*", "cmd.run", "echo before; exit 3")
    expect(answer, {"web1": "before", "db1": "before"}, None)
    jid = bed.master.begin_job("web1", "cmd.run", "exit 3")
    retcode = bed.master.returned(jid, "web1").get("retcode")
    assert retcode == 3, f"expected retcode 3 in the job of the master; got {bed.master.job(jid)}"
    everything = bed.master.salt("web1", "cmd.run_all", "echo out; echo err >&2; exit 4", "python_shell=True")
    got = everything.returns.get("web1")
    parts = {key: got.get(key) for key in ("stdout", "stderr", "retcode")} if isinstance(got, dict) else got
    wanted = {"stdout": "out", "stderr": "err", "retcode": 4}
    assert parts == wanted and everything.status != 0, f"expected {wanted} of cmd.run_all; got {everything}"


def large_return(bed: Bed) -> None:
    answer = bed.master.salt("web1", "cmd.run", "seq 1 60000")
    wanted = "\n".join(str(number) for number in range(1, 60001))
    got = answer.returns.get("web1")
    size = len(got) if isinstance(got, str) else got
    assert got == wanted, (
        f"expected {len(wanted)} characters from seq; got {size}; status {answer.status}, {answer.err!r}"
    )


def long_job(bed: Bed) -> str:
    """The command's time limit passes four times while the minion says, asked by find_job, that it is still at it."""
    begun = time.monotonic()
    expect(bed.master.salt("-t", "2", "*", "test.sleep", "8"), {"web1": True, "db1": True})
    took = time.monotonic() - begun
    assert took >= 8, f"expected the command to wait for the job of 8 s; it took {took:.1f} s"
    return f"{took:.1f} s"


def find_and_kill(bed: Bed) -> None:
    jid = bed.master.begin_job("web1", "test.sleep", "120")
    records: dict[str, Any] = {}

    def found() -> bool:
        records.update(bed.master.salt("*", "saltutil.find_job", jid).returns)
        return bool(records.get("web1"))

    bed.wait(found, f"saltutil.find_job {jid} to know the job (the last answer: {records})", 20)
    record = records["web1"]
    got = {key: record.get(key) for key in ("jid", "fun", "tgt")}
    wanted = {"jid": jid, "fun": "test.sleep", "tgt": "web1"}
    assert got == wanted and isinstance(record.get("pid"), int), (
        f"expected {wanted} and a pid of find_job; got {record}"
    )
    assert records.get("db1") == {}, f"expected {{}} of the minion that does not run it; got {records.get('db1')}"
    running = bed.master.salt("web1", "saltutil.running")
    jids = [entry.get("jid") for entry in running.returns.get("web1") or []]
    assert jid in jids, f"expected {jid} in saltutil.running; got {running}"
    killed = bed.master.salt("web1", "saltutil.kill_job", jid)
    text = killed.returns.get("web1")
    assert isinstance(text, str) and "Signal 9" in text and jid in text, (
        f"expected 'Signal 9 sent to job'; got {killed}"
    )
    bed.wait(
        lambda: bed.master.salt("web1", "saltutil.find_job", jid).returns == {"web1": {}}, "the killed job to go", 20
    )
    bed.wait(
        lambda: not Path(f"/proc/{record['pid']}").exists(), f"process {record['pid']} of the killed job to end", 5
    )


def burst(bed: Bed) -> str:
    begun = time.monotonic()
    jobs = bed.master.begin_jobs(20)
    assert len(jobs) == 20, f"expected 20 different jids; got {sorted(jobs)}"
    for jid, number in jobs.items():
        got = bed.master.returned(jid, "web1", 100)  # a real minion forks for each, and for each find_job about it
        assert got["return"] == number, f"expected {number} in job {jid}; got {got}"
    return f"{time.monotonic() - begun:.1f} s"


def master_restart(bed: Bed) -> str:
    status, seconds = bed.master.daemon.terminate(25)
    assert status is not None, "the master did not end 25 s after SIGTERM"
    if isinstance(bed.master, SaltliteMaster):
        assert status == 0 and seconds <= 2, (
            f"expected status 0 within 2 s of SIGTERM; got {status} after {seconds:.1f} s"
        )
    bed.master.daemon.destroy()
    bed.master.up()
    return f"answers {bed.answering(MINIONS):.1f} s later"


def master_killed(bed: Bed) -> str:
    """Power loss while a job runs: the return comes to the next master. A real master forgets sessions too, here."""
    jid = bed.master.begin_job("web1", "test.sleep", "5")
    bed.web1.at_job(jid)
    bed.master.daemon.destroy()
    if isinstance(bed.master, RealMaster):
        shutil.rmtree(bed.master.cache / "sessions", ignore_errors=True)
    bed.master.up()
    seconds = bed.answering(MINIONS)
    bed.master.returned(jid, "web1", BACK)
    return f"answers {seconds:.1f} s later"


def keys_match(bed: Bed, minion: Minion, state: str) -> None:
    """The key file on the master holds the minion's own public key, byte for byte but for the newline at the end."""
    there, own = bed.master.pki / state / minion.name, minion.pki / "minion.pub"
    bed.wait(there.exists, f"{state}/{minion.name}", 100)
    # Real masters write it in place: it may not be whole yet.
    bed.wait(lambda: there.read_bytes().strip() == own.read_bytes().strip(), f"{there} to be the key in {own}", 5)


def move_key(bed: Bed, name: str, old: str, new: str) -> None:
    (bed.master.pki / old / name).rename(bed.master.pki / new / name)


def master_key_pinned(bed: Bed, minion: Minion) -> None:
    pinned, own = minion.pki / "minion_master.pub", bed.master.pki / "master.pub"
    assert pinned.read_bytes().strip() == own.read_bytes().strip(), f"{pinned} is not the master's key {own}"


# ---- 4. Real minions under a saltlite master ------------------------------------------------------------------------


def pending_files(bed: Bed) -> None:
    bed.master.up()
    for minion in bed.minions:
        minion.start()
    for minion in bed.minions:
        keys_match(bed, minion, "minions_pre")
    if isinstance(bed.master, SaltliteMaster):  # a real one may not answer yet
        expect(bed.master.salt("*", "test.ping"), {}, 2)


def accepted_by_mv(bed: Bed, name: str) -> str:
    minion = bed.minions[MINIONS.index(name)]
    pinned = minion.pki / "minion_master.pub"
    assert not pinned.exists(), "the minion knows the master's key before it was accepted"
    move_key(bed, name, "minions_pre", "minions")
    credentials = bed.wait(pinned.exists, f"{name} to be given the credentials", 20)
    seconds = credentials + bed.answering([name])
    master_key_pinned(bed, minion)
    return f"credentials {credentials:.2f} s, answer {seconds:.1f} s after mv"


def state_apply(bed: Bed) -> None:
    """There are no states: Salt says so in a return of its own form, after asking the file server for the top file."""
    answer = bed.master.salt("web1", "state.apply", limit=40)
    result = answer.returns.get("web1")
    entry = next(iter(result.values()), None) if isinstance(result, dict) else None
    good = isinstance(entry, dict) and entry.get("result") is False and "No Top file" in str(entry.get("comment"))
    assert good and answer.status != 0, f"expected a state return that says No Top file; got {answer}"


def salt_call(bed: Bed) -> None:
    answer = bed.web1.salt_call("test.echo", "here")
    assert answer.status == 0 and list(documents(answer.out)) == [{"local": "here"}], (
        f"expected local: here; got {answer}"
    )


def running_lines(bed: Bed) -> None:
    """The master, not the command, asks after a job: it says so in the job's file."""
    jid = bed.master.begin_job("-t", "2", "web1", "test.sleep", "5")
    bed.master.returned(jid, "web1")
    bed.wait(lambda: bed.master.lines(jid)[-1]["event"] == "end", f"the end of job {jid}", 20)
    events = [line["event"] for line in bed.master.lines(jid)]
    assert events[0] == "new" and "running" in events, f"expected new … running … ret … end; got {events}"
    done = list((bed.master.cache / "jobs/done").glob(f"*/{jid}.jsonl"))
    assert len(done) == 1, f"expected the ended job in one day of jobs/done; found {done}"


def revoked_runs_nothing(bed: Bed) -> None:
    """db1 is revoked while it and web1 are at jobs; it has heard nothing of that when the next publication comes."""
    mark = bed.dir / "ran/revoked"
    bed.marks[mark] = ("after the revocation", ["web1"])
    command = f"echo $INTEROP_ID >>{mark}; echo $INTEROP_ID"
    bed.slow_job = bed.master.begin_job("web1", "test.sleep", "8")
    bed.revoked_job = bed.master.begin_job("db1", "test.sleep", "8")
    bed.web1.at_job(bed.slow_job)
    bed.db1.at_job(bed.revoked_job)
    move_key(bed, "db1", "minions", "minions_rejected")
    bed.master.rotate()
    expect(bed.master.salt("*", "cmd.run", command), {"web1": "web1"})
    expect(bed.master.salt("-L", "db1", "cmd.run", command), {}, 2)
    ran = mark.read_text().split()
    assert ran == ["web1"], f"expected only web1 to run the job; {ran} did"


def rotation_loses_no_job(bed: Bed) -> None:
    for jid, number in bed.master.begin_jobs(5).items():
        got = bed.master.returned(jid, "web1")
        assert got["return"] == number, f"expected {number} in job {jid}; got {got}"
    got = bed.master.returned(bed.slow_job, "web1")
    assert got["return"] is True, f"expected True of test.sleep, which ran during the rotation; got {got}"


def revoked_is_refused(bed: Bed) -> None:
    """A new process with the revoked key is told no, and what db1 ran when it was revoked has no return of it."""
    answer = bed.db1.salt_call("test.ping")
    assert answer.status != 0 and '"local": true' not in answer.out, f"expected salt-call to be refused; got {answer}"
    said = "rejected" in answer.out + answer.err or "rejected" in bed.db1.daemon.text(bed.db1.daemon.begin)
    assert said, f"expected db1 to hear that its key is rejected; got {answer}"
    bed.wait(lambda: not bed.db1.daemon.alive() or bed.db1.daemon.said("rejected"), "the real minion to notice", 40)
    bed.wait(lambda: not bed.db1.at(bed.revoked_job) or not bed.db1.daemon.alive(), "the job of db1 to end", 20)
    assert "db1" not in bed.master.job(bed.revoked_job), (
        f"a revoked minion's return was taken: {bed.master.job(bed.revoked_job)}"
    )


def accepted_again(bed: Bed) -> str:
    move_key(bed, "db1", "minions_rejected", "minions")
    bed.db1.daemon.destroy()  # a rejected real minion ends by itself, 10 to 35 s later
    bed.db1.start()
    seconds = bed.answering(MINIONS)
    return f"answers {seconds:.1f} s after mv and start"


def removed_then_pending(bed: Bed) -> str:
    """rm of the key: the minion notices with the next publication, which it cannot open, and is pending again."""
    (bed.master.pki / "minions/db1").unlink()
    bed.master.rotate()
    expect(bed.master.salt("*", "test.ping"), {"web1": True})
    keys_match(bed, bed.db1, "minions_pre")
    move_key(bed, "db1", "minions_pre", "minions")
    return f"answers {bed.answering(MINIONS):.1f} s after mv"


def changed_key_is_denied(bed: Bed) -> str:
    """db1 comes with a new key: it lands in minions_denied, the accepted key stays, and mv makes the new one it."""
    bed.db1.daemon.destroy()
    old = (bed.master.pki / "minions/db1").read_bytes()
    for name in ("minion.pem", "minion.pub"):
        (bed.db1.pki / name).unlink()
    bed.db1.start()
    keys_match(bed, bed.db1, "minions_denied")
    assert (bed.master.pki / "minions/db1").read_bytes() == old, "the accepted key was replaced without the operator"
    expect(bed.master.salt("web1", "test.ping"), {"web1": True})
    move_key(bed, "db1", "minions_denied", "minions")
    if not isinstance(bed.db1, SaltliteMinion):
        bed.db1.daemon.destroy()
        bed.db1.start()
    return f"answers {bed.answering(MINIONS):.1f} s after mv and start"


# ---- 5. saltlite minions under a real master ------------------------------------------------------------------------


def pending_in_salt_key(bed: Bed) -> None:
    bed.master.up()
    for minion in bed.minions:
        minion.start()
    for minion in bed.minions:
        keys_match(bed, minion, "minions_pre")
    listed = bed.master.keys()["minions_pre"]
    assert sorted(listed) == sorted(MINIONS), f"expected both in minions_pre of salt-key -L; got {listed}"


WATCHER = """
import json, sys, salt.config, salt.utils.event
options = salt.config.master_config(sys.argv[1])
with salt.utils.event.get_event("master", sock_dir=options["sock_dir"], opts=options, listen=True) as bus:
    print("listening", flush=True)
    print(json.dumps(bus.get_event(tag=sys.argv[2], wait=60), default=str))
"""


def accepted_by_salt_key(bed: Bed, name: str) -> str:
    """The start event must come too: reactors and orchestration hang on it."""
    minion = bed.minions[MINIONS.index(name)]
    assert not (minion.pki / "minion_master.pub").exists(), "the minion knows the master's key before it was accepted"
    events = bed.dir / f"events-{name}"
    with events.open("wb") as out:
        watch = [bed.real("python"), "-c", WATCHER, str(bed.master.conf / "master"), f"salt/minion/{name}/start"]
        watcher = subprocess.Popen(watch, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=bed.env)
    try:
        bed.wait(lambda: "listening" in events.read_text(), f"the real event bus ({events.read_text()!r})", 40)
        bed.master.accept(name)
        begun = time.monotonic()
        bed.wait(lambda: watcher.poll() is not None, f"the event salt/minion/{name}/start", BACK)
        seconds = time.monotonic() - begun
    finally:
        watcher.kill()
        watcher.wait()
    got = events.read_text()
    assert f'"id": "{name}"' in got, f"expected a start event of {name}; got {got!r}"
    bed.answering([name])
    master_key_pinned(bed, minion)
    return f"start event {seconds:.1f} s after salt-key -a"


def several_functions(bed: Bed) -> None:
    answer = bed.master.salt("web1", "test.ping,cmd.run,test.echo", ",", "echo $INTEROP_ID", ",", "hello")
    expect(answer, {"web1": {"test.ping": True, "cmd.run": "web1", "test.echo": "hello"}})


def sys_doc(bed: Bed) -> None:
    listed = bed.master.salt("web1", "sys.list_functions", "test")
    names = listed.returns.get("web1") or []
    assert {"test.ping", "test.echo", "test.sleep"} <= set(names), f"expected the functions of test; got {listed}"
    answer = bed.master.salt("web1", "sys.doc", "test.ping")
    docs = answer.returns.get("web1", answer.returns)  # the real command shows the texts without the minion's name
    assert isinstance(docs, dict) and set(docs) == {"test.ping"} and docs["test.ping"], (
        f"expected test.ping's text; got {answer}"
    )


def raising_function(bed: Bed) -> None:
    answer = bed.master.salt("web1", "test.exception", "on purpose")
    got = answer.returns.get("web1")
    good = isinstance(got, str) and "on purpose" in got and answer.status != 0
    assert good, f"expected the text of the exception, and a status that is not 0; got {answer}"


def rotation_by_salt_key(bed: Bed) -> str:
    """`salt-key -d` of another minion makes a real master rotate its key; a job running meanwhile is not lost."""
    slow = bed.master.begin_job("web1", "test.sleep", "5")
    bed.web1.at_job(slow)
    bed.master.rotate()
    since = bed.master.daemon.size()
    begun = time.monotonic()
    expect(bed.master.salt("-t", "10", "*", "test.ping"), {"web1": True, "db1": True})
    seconds = time.monotonic() - begun
    for name in MINIONS:
        assert bed.master.daemon.said(f"Authentication request from {name}", since), f"{name} did not need the new key"
    assert bed.master.returned(slow, "web1")["return"] is True, (
        f"expected True of test.sleep; got {bed.master.job(slow)}"
    )
    return f"first answers {seconds:.1f} s after"


def minion_killed(bed: Bed) -> str:
    """kill -9 of the minion's loop: the job goes on by itself, and what it returned is delivered by the next run."""
    jid = bed.master.begin_job("web1", "cmd.run", "sleep 4; echo survived")
    bed.web1.at_job(jid)
    os.kill(bed.web1.daemon.pid, signal.SIGKILL)
    bed.web1.daemon.process.wait()
    bed.web1.up()
    begun = time.monotonic()
    got = bed.master.returned(jid, "web1", 45)
    assert got["return"] == "survived", f"expected 'survived'; got {got}"
    return f"return {time.monotonic() - begun:.1f} s after the start"


def minion_terminated(bed: Bed) -> str:
    """SIGTERM ends the minion at once and not the job that it runs, whose return the next run delivers."""
    bed.answering(MINIONS)
    jid = bed.master.begin_job("web1", "cmd.run", "sleep 4; echo survived")
    bed.web1.at_job(jid)
    status, seconds = bed.web1.daemon.terminate(20)
    assert status == 0 and seconds <= 2, f"expected status 0 within 2 s of SIGTERM; got {status} after {seconds:.1f} s"
    bed.web1.up()
    got = bed.master.returned(jid, "web1", 45)
    assert got["return"] == "survived", f"expected 'survived'; got {got}"
    return f"ended in {seconds:.2f} s, answers {bed.answering(MINIONS):.1f} s after the return"


def deleted_then_pending(bed: Bed) -> None:
    mark = bed.dir / "ran/deleted"
    bed.marks[mark] = ("after salt-key -d db1", ["web1"])
    bed.master.salt_key("-d", "db1")
    bed.master.await_rotation()
    expect(bed.master.salt("*", "cmd.run", f"echo $INTEROP_ID >>{mark}; echo $INTEROP_ID"), {"web1": "web1"})
    keys_match(bed, bed.db1, "minions_pre")
    assert bed.db1.daemon.alive(), "the minion ended when its key was deleted"


def rejected_stays(bed: Bed) -> None:
    """A real minion ends 10 to 35 s after it is rejected; saltlite goes on asking."""
    since = bed.master.daemon.size()
    bed.master.salt_key("-r", "db1")
    bed.wait(lambda: bed.master.daemon.said(r"db1.*reject|reject.*db1", since), "the master to refuse db1", 45)
    ended = False
    with contextlib.suppress(AssertionError):
        bed.wait(lambda: not bed.db1.daemon.alive(), "", 15)
        ended = True
    assert not ended, "the minion ended when it was rejected"
    expect(bed.master.salt("*", "test.ping"), {"web1": True})


def accepted_after_rejection(bed: Bed) -> str:
    bed.master.accept("db1", "--include-rejected")
    return f"answers {bed.answering(MINIONS, 60):.1f} s after salt-key -a"


# ---- 6. The table ---------------------------------------------------------------------------------------------------


class Check(NamedTuple):
    """`role`: of saltlite ("" both). When a check that is `vital` fails its bed ends: all others would fail with it."""

    name: str
    role: str
    run: Callable[[Bed], str | None]
    limit: float
    vital: bool = False
    lite: bool = False  # of saltlite only: real Salt has nothing like it


def names_target(row: Target) -> str:
    return f"target {row.option or 'glob'} '{row.expression}': {', '.join(row.matched) or 'nobody'}"


CHECKS = (
    Check("a new minion's key waits in minions_pre", "master", pending_files, 120, vital=True),
    Check("mv into minions accepts it", "master", functools.partial(accepted_by_mv, name="web1"), 70, vital=True),
    Check("a new minion's key waits in salt-key -L", "minion", pending_in_salt_key, 120, vital=True),
    Check("salt-key -a accepts it", "minion", functools.partial(accepted_by_salt_key, name="web1"), 90, vital=True),
    Check(
        "mv accepts a minion with SHA224 and signatures",
        "master",
        functools.partial(accepted_by_mv, name="db1"),
        70,
        True,
    ),
    Check(
        "salt-key -a accepts one with SHA224", "minion", functools.partial(accepted_by_salt_key, name="db1"), 90, True
    ),
    Check("test.ping", "", test_ping, 30),
    Check("cmd.run", "", cmd_run, 30),
    Check("test.arg: arguments arrive with their types", "", arguments, 30),
    Check("grains.items", "", grains, 30),
    *(Check(names_target(row), "", functools.partial(target, row=row), 40) for row in TARGETS),
    Check("several functions in one job", "minion", several_functions, 30),
    Check("sys.doc and sys.list_functions", "minion", sys_doc, 40),
    Check("an unknown function", "", unknown_function, 40),
    Check("wrong arguments", "", wrong_arguments, 40),
    Check("a function that raises", "", raising_function, 30),
    Check("a failing command's retcode", "", failing_command, 60),
    Check("a return of 350 KB", "", large_return, 40),
    Check("state.apply without states", "master", state_apply, 60),
    Check("salt-call through the master", "master", salt_call, 60),
    Check("a job longer than the timeout returns", "", long_job, 60),
    Check("find_job, running, kill_job", "", find_and_kill, 90),
    Check("the master itself asks after a job", "master", running_lines, 60, lite=True),
    Check("20 jobs at once", "", burst, 120),
    Check("master restart: SIGTERM", "", master_restart, 100),
    Check("master restart: kill -9 during a job", "", master_killed, 130),
    Check("rotation while jobs run", "minion", rotation_by_salt_key, 90),
    Check("minion killed during a job: its return comes", "minion", minion_killed, 90, lite=True),
    Check("minion restart: SIGTERM", "minion", minion_terminated, 80, lite=True),
    Check("salt-key -d: runs nothing, is pending again", "minion", deleted_then_pending, 90),
    Check("salt-key -r: is refused and goes on asking", "minion", rejected_stays, 100, lite=True),
    Check("accepted after that it answers", "minion", accepted_after_rejection, 100),
    Check("a revoked minion runs nothing: the key is rotated", "master", revoked_runs_nothing, 60),
    Check("the others lose no job by the rotation", "master", rotation_loses_no_job, 60),
    Check("a revoked minion is refused", "master", revoked_is_refused, 90),
    Check("mv back accepts it again", "master", accepted_again, 80),
    Check("rm of a key: pending again, then accepted", "master", removed_then_pending, 100),
    Check("a changed key is denied, mv makes it the key", "master", changed_key_is_denied, 100),
    Check("no minion ran a job of others, none ran one twice", "", nobody_else_ran, 10),
)


# ---- 7. Running and telling -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Result:
    check: Check
    release: str
    role: str
    ok: bool
    how: str  # a figure, or what went wrong
    seconds: float
    logs: str = ""


def tails(bed: Bed, since: Mapping[str, int], lines: int) -> str:
    """What the daemons wrote while the check ran; of much, the end."""
    shown = []
    for side in bed.sides:
        text = side.daemon.text(since.get(side.name, 0)).rstrip().splitlines()
        state = "" if side.daemon.alive() else " (not running)"
        more = f" … {len(text) - lines} lines before" if len(text) > lines else ""
        shown += [f"      | {side.name}{state}{more}", *(f"      |   {line[:400]}" for line in text[-lines:])]
    return "\n".join(shown)


def run_check(bed: Bed, check: Check, lines: int) -> Result:
    since = {side.name: side.daemon.size() for side in bed.sides}
    begun = time.monotonic()
    bed.deadline = begun + check.limit
    try:
        how, ok = check.run(bed) or "", True
    except AssertionError as error:
        how, ok = str(error), False
    except (
        OSError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        StopIteration,
        subprocess.SubprocessError,
    ) as error:
        place = error.__traceback__
        while place and place.tb_next and place.tb_next.tb_frame.f_code.co_filename == __file__:
            place = place.tb_next
        how, ok = f"{type(error).__name__}: {error} (line {place.tb_lineno if place else '?'} of interop.py)", False
    seconds = time.monotonic() - begun
    return Result(check, bed.release, bed.role, ok, how, seconds, "" if ok else tails(bed, since, lines))


def wanted_checks(role: str, options: argparse.Namespace) -> list[Check]:
    """With -k: those with the words in their name, and the vital ones before, without which nothing runs."""
    checks = [check for check in CHECKS if check.role in ("", role) and not (options.self_check and check.lite)]
    return [check for check in checks if check.vital or options.words.lower() in check.name.lower()]


def run_bed(
    release: str, role: str, venv: Path, options: argparse.Namespace, say: Callable[[Result], None]
) -> list[Result]:
    results: list[Result] = []
    checks = wanted_checks(role, options)
    bed = Bed(release, role, venv, options)
    failed = False
    try:
        for number, check in enumerate(checks):
            result = run_check(bed, check, 60 if options.verbose else 15)
            results.append(result)
            say(result)
            failed = failed or not result.ok
            if not result.ok:
                bed.revive()
            if check.vital and not result.ok:
                missed = f"{MISSED}: “{check.name}” failed"
                results += [Result(left, release, role, False, missed, 0) for left in checks[number + 1 :]]
                break
    except Stopped:
        pass
    finally:
        bed.close(keep=options.keep and failed)
    if options.keep and failed:
        print(f"kept: {release} {role}: {bed.dir}", flush=True)
    return results


def matrix(results: Sequence[Result]) -> str:
    """Feature × role × release."""
    releases = sorted({result.release for result in results})
    cells = {(result.check.name, result.role, result.release): result for result in results}
    width = max(len(check.name) for check in CHECKS)
    rows = []
    for role in sorted({result.role for result in results}):
        title = {"master": "saltlite master, Salt minions", "minion": "saltlite minions, Salt master"}[role]
        rows += ["", f"{title:<{width}}  " + "  ".join(f"{release:<6}" for release in releases).rstrip()]
        for check in CHECKS:
            row = [cells.get((check.name, role, release)) for release in releases]
            if any(row):
                words = ["-" if cell is None else "ok" if cell.ok else "FAILED" for cell in row]
                rows.append(f"{check.name:<{width}}  " + "  ".join(f"{word:<6}" for word in words).rstrip())
    return "\n".join(rows)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Checks saltlite against real Salt, in both roles.", allow_abbrev=False
    )
    add = parser.add_argument
    add("--salt", action="append", default=[], metavar="RELEASE=VENV", help="a virtual environment with real Salt")
    add(
        "--saltlite",
        type=shlex.split,
        metavar="COMMAND",
        help="how to call saltlite (default: saltlite.py of this checkout)",
    )
    add("--only", action="append", metavar="RELEASE", help="this release only (may be repeated)")
    add("--role", choices=("master", "minion"), help="saltlite in this role only")
    add("-k", dest="words", default="", metavar="WORDS", help="only checks with these words in their name")
    add("-j", "--jobs", type=int, default=(os.cpu_count() or 1) + 1, help="beds at a time (default: cores + 1)")
    add("-v", "--verbose", action="store_true", help="debug logs, and longer tails of them")
    add("--keep", action="store_true", help="leave the scratch directory of a bed where something failed")
    add("--self-check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.saltlite = options.saltlite or [sys.executable, str(HERE.parent / "saltlite.py")]
    # The commands run in a directory of their own: a path given relative to this one must stay good.
    options.saltlite = [
        os.path.abspath(word) if os.path.sep in word or os.path.exists(word) else word for word in options.saltlite
    ]
    return options


def salts(options: argparse.Namespace) -> dict[str, Path]:
    """Release -> virtual environment; exits with status 2 if there is none or one has no Salt."""
    found = {}
    for given in options.salt:
        release, _, directory = given.partition("=")
        venv = Path(directory).resolve()
        if not directory or not (venv / "bin/salt-minion").exists() or not (venv / "bin/salt-master").exists():
            print(f"interop: {given}: no Salt there (expected RELEASE=DIRECTORY with bin/salt-master)", file=sys.stderr)
            raise SystemExit(2)
        if not options.only or release in options.only:
            found[release] = venv
    if not found:
        print("interop: no Salt to check against: give --salt RELEASE=VENV", file=sys.stderr)
        raise SystemExit(2)
    return found


def interrupt(_number: int, _frame: object) -> None:
    """Once: a second signal, as from a whole process group, must not interrupt the cleaning up."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    venvs = salts(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)
    lock = threading.Lock()

    def say(result: Result) -> None:
        with lock:
            word = "ok    " if result.ok else "FAILED"
            how = f": {result.how}" if result.how else ""
            print(
                f"{result.release} {result.role} {word} {result.seconds:5.1f} s  {result.check.name}{how}", flush=True
            )
            if result.logs:
                print(result.logs, flush=True)

    begun = time.monotonic()
    roles = [options.role] if options.role else ["minion", "master"]
    beds = [(release, role) for role in roles for release in sorted(venvs)]
    results: list[Result] = []
    with concurrent.futures.ThreadPoolExecutor(max(1, options.jobs)) as pool:
        futures = [pool.submit(run_bed, release, role, venvs[release], options, say) for release, role in beds]
        try:
            for future in futures:
                results += future.result()
        except BaseException:
            stopping.set()
            for future in futures:
                future.cancel()
            raise
    print(matrix(results))
    failures = [result for result in results if not result.ok]
    if failures:
        print("\nFailures")
    for result in failures:
        if not result.how.startswith(MISSED):
            print(f"  {result.release} {result.role}: {result.check.name}: FAILED: {result.how.splitlines()[0][:600]}")
    print(f"\nin {time.monotonic() - begun:.0f} s")
    print(f"{len(results) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interop: interrupted", file=sys.stderr)
        sys.exit(130)
