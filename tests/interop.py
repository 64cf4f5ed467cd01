"""saltlite and real Salt in one system: each release of Salt in each role, every feature a row of CHECKS.

    python tests/interop.py --salt 3006=VENV [--salt 3007=VENV …] [--saltlite "python saltlite.pyz"]
                            [--only 3006] [--role master|minion] [-k WORDS …] [-j JOBS] [-v] [--keep]

The role is saltlite's. For each release and role there is one bed: a master and two minions (web1 with default options,
db1 with the SHA224 algorithms and signatures) on 127.0.0.1, in a scratch directory laid out the same whoever runs it:

    bed/master/etc/salt/{master,pki/master}     saltlite master | salt-master
    bed/web1/etc/salt/{minion,grains,pki/minion}    salt-minion | saltlite minion       (db1 the same)
    bed/NAME/log                                what the daemon NAME wrote on stderr
    bed/ran/NUMBER                              who really ran the job of a target check, a line for each run
    bed/srv/{salt,pillar}                       the master's file_roots and pillar_roots
    bed/out/ID                                  where states and cp.* of a minion put files

The checks of a bed run in the order of the table, as the later ones break what the earlier ones use. A check fails by
an AssertionError with what was expected and what came, or by its own time limit; the ends of the logs are shown.
Exit status: 0, 1 a check failed, 2 there is no Salt to check against.

`--self-check` puts real Salt in saltlite's place: what fails then is wrong with this suite or with Salt itself.
"""

from __future__ import annotations

import argparse
import base64
import concurrent.futures
import contextlib
import dataclasses
import datetime
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
PILLAR_FILES = {
    "top.sls": "base:\n  '*': [common]\n  web1: [web1]\n  'role:db':\n    - match: grain\n    - db1\n",
    "common.sls": "shared: {{ grains['id'] }}\n",
    "web1.sls": "tier: front\napp: {name: shop, ports: [80, 443]}\n",
    "db1.sls": "tier: back\napp: {name: store, ports: [5432]}\n",
}
PILLARS = {
    "web1": {"shared": "web1", "tier": "front", "app": {"name": "shop", "ports": [80, 443]}},
    "db1": {"shared": "db1", "tier": "back", "app": {"name": "store", "ports": [5432]}},
}
MODULE = """
def where():
    return "VERSION " + __grains__["id"] + " " + __salt__["test.echo"]("echo")


def raw():
    return b"\\xff\\xfe\\x00raw"
"""
GRAIN = "def main():\n    return {'interop': 'VERSION'}\n"
STATE = (
    "def present(name):\n    return {'name': name, 'result': True, 'changes': {'it': 'new'}, 'comment': 'VERSION'}\n"
)
TREE = {"a": "1\n", "sub/b": "grün\n", "sub/deep/c": ""}
# Files that minions find by a listing, which may be a second old at saltlite: the checks change what is in them.
LISTED_FILES = {
    "_modules/interop_bytes.py": MODULE,
    "_modules/interop_module.py": MODULE,
    "_grains/interop_grain.py": GRAIN,
    "_states/interop_state.py": STATE,
    **{f"files/tree/{name}": text for name, text in TREE.items()},
}
NODEGROUPS = {"fronts": "I@tier:front", "both": "N@fronts or L@db1"}
SHA224 = {
    "encryption_algorithm": "OAEP-SHA224",
    "signing_algorithm": "PKCS1v15-SHA224",
    "sign_pub_messages": True,
    "minion_sign_messages": True,
}
# A real minion finds a master that comes back within a second, not within eleven: the wait is libzmq's, not saltlite's.
RECONNECT = {"recon_default": 200, "recon_max": 1000, "recon_randomize": False}
WHOLE = {"max_event_size": 1 << 25}  # by default real Salt puts VALUE_TRIMMED for a return of more than 1 MB
CALL_LIMIT = 60.0  # seconds for one command line, if its check leaves it so much
MISSED = "not reached"
DIFFERS = "differs: "  # so begins what a check tells when the other way of saltlite is meant
ROOTS = (("file", "salt"), ("pillar", "pillar"))
BACK = (
    75.0  # seconds within which a minion must answer after its master restarted or its key was accepted: it backs off
)

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


def with_bytes(value: dict[str, Any]) -> Any:
    """The bytes that saltlite's {"__bytes__": base64} stands for; any other object as it is."""
    return base64.b64decode(value["__bytes__"]) if list(value) == ["__bytes__"] else value


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
        options |= {"timeout": 5, "gather_job_timeout": 6, "nodegroups": NODEGROUPS}
        options |= {f"{kind}_roots": {"base": [str(bed.dir / "srv" / name)]} for kind, name in ROOTS} | self.options()
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

    def begin_commands(self, commands: Sequence[tuple[str, str]]) -> list[str]:
        """Publishes a cmd.run for each pair of minion and command, as fast as it goes; the jids."""
        raise NotImplementedError

    def unasked(self, value: str) -> list[str]:
        """The minions that sent the value as a return, once for each time."""
        raise NotImplementedError

    def seen(self, minion: str, tag: str, act: Callable[[], object]) -> dict[str, Any]:
        """The data of the event that a minion sends with the tag while act() runs, as this master has it."""
        raise NotImplementedError

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
        return [*self.bed.saltlite, "master", "-c", str(self.conf), "-l", "debug"]  # at which long steps are told

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
        """The job's file; whole lines only. A job ends while this looks: active/ is tried before done/ is listed."""
        for place in ("active", "done/*"):
            for path in (self.cache / "jobs").glob(f"{place}/{jid}.jsonl"):
                with contextlib.suppress(FileNotFoundError):
                    lines = path.read_text().splitlines(keepends=True)
                    return [json.loads(line, object_hook=with_bytes) for line in lines if line.endswith("\n")]
        return []

    def begin_commands(self, commands: Sequence[tuple[str, str]]) -> list[str]:
        """By files in jobs/new, as any program may."""
        begun = datetime.datetime.now(datetime.timezone.utc)
        jids = [f"{begun + datetime.timedelta(microseconds=n):%Y%m%d%H%M%S%f}" for n in range(len(commands))]
        for jid, (minion, command) in zip(jids, commands, strict=True):
            request = self.cache / "jobs/new" / f".{jid}"
            # Asked each 5 s by find_job about each of 100 jobs, a real minion, which forks for it, does little else.
            request.write_text(json.dumps({"tgt": minion, "fun": "cmd.run", "arg": [command], "timeout": 60}))
            request.rename(request.with_name(jid))
        return jids

    def unasked(self, value: str) -> list[str]:
        found = []
        for path in (self.cache / "jobs/done").glob("*/*.jsonl"):
            lines = [json.loads(line) for line in path.read_text().splitlines() if json.dumps(value) in line]
            found += [line["id"] for line in lines if line["event"] == "ret" and line["return"] == value]
        return found

    def seen(self, minion: str, tag: str, act: Callable[[], object]) -> dict[str, Any]:
        log = self.cache / "events.jsonl"
        since = log.stat().st_size
        tag = f"salt/minion/{minion}/custom/{tag}"
        found: list[dict[str, Any]] = []

        def came() -> bool:
            with log.open("rb") as file:
                file.seek(since)
                found.extend(event for event in documents(file.read().decode()) if event["tag"] == tag)
            return bool(found)

        act()
        self.bed.wait(came, f"the event {tag} in {log}", 20)
        return dict(found[0]["data"])


WATCHER = """
import json, sys, salt.config, salt.utils.event
options = salt.config.master_config(sys.argv[1])
with salt.utils.event.get_event("master", sock_dir=options["sock_dir"], opts=options, listen=True) as bus:
    print("listening", flush=True)
    print(json.dumps(bus.get_event(tag=sys.argv[2], wait=60), default=str))
"""


class RealMaster(Master):
    def command(self) -> list[str]:
        return [self.bed.real("salt-master"), "-c", str(self.conf), "-l", self.bed.level]

    def salt_command(self) -> list[str]:
        return [self.bed.real("salt"), "-c", str(self.conf)]

    def options(self) -> dict[str, Any]:
        # One second between looks at .dfn, so that a rotation comes at once.
        # A real master opens signed returns only if it is told the algorithm (KeyError: 'signing_algorithm').
        options = {"worker_threads": 3, "loop_interval": 1, "signing_algorithm": SHA224["signing_algorithm"]}
        options["fileserver_list_cache_time"] = 0  # it would not list a new file for 20 s
        options |= WHOLE
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
        jids = self.publish([("web1", "test.echo", number) for number in range(count)])
        return {jid: number for number, jid in enumerate(jids)}

    def begin_commands(self, commands: Sequence[tuple[str, str]]) -> list[str]:
        return self.publish([(minion, "cmd.run", command) for minion, command in commands])

    def publish(self, jobs: Sequence[tuple[str, str, Any]]) -> list[str]:
        script = (
            "import sys, json, salt.client; client = salt.client.LocalClient(sys.argv[1]);"
            "print(json.dumps([client.run_job(tgt, fun, [arg])['jid'] for tgt, fun, arg in json.loads(sys.argv[2])]))"
        )
        answer = self.bed.run(self.bed.real("python"), "-c", script, str(self.conf / "master"), json.dumps(jobs))
        assert answer.status == 0, f"LocalClient.run_job: {answer}"
        return next(value for value in documents(answer.out) if isinstance(value, list))

    def unasked(self, value: str) -> list[str]:
        found = []
        for path in self.cache.glob("jobs/*/*/*/return.p"):
            with contextlib.suppress(FileNotFoundError, ValueError):  # it is being written
                data = path.read_bytes()
                if value.encode() in data and msgpack.unpackb(data, strict_map_key=False)["return"] == value:
                    found.append(path.parent.name)
        return found

    @contextlib.contextmanager
    def watching(self, tag: str, out: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A process that ends with the first event of the tag, its data written to `out`."""
        with out.open("wb") as file:
            watch = [self.bed.real("python"), "-c", WATCHER, str(self.conf / "master"), tag]
            watcher = subprocess.Popen(watch, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=self.bed.env)
        try:
            self.bed.wait(lambda: "listening" in out.read_text(), f"the real event bus ({out.read_text()!r})", 40)
            yield watcher
        finally:
            watcher.kill()
            watcher.wait()

    def seen(self, minion: str, tag: str, act: Callable[[], object]) -> dict[str, Any]:
        out = self.bed.dir / "events"
        with self.watching(tag, out) as watcher:
            act()
            self.bed.wait(lambda: watcher.poll() is not None, f"the event {tag}", 20)
        return next(value for value in documents(out.read_text()) if isinstance(value, dict))

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
        # A real master does not hold a pending request. The return of 20 MB is to arrive whole.
        return {"acceptance_wait_time": 2, "max_return_size": 1 << 25}

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
        options = self.real_options("minion", "minion") | RECONNECT | WHOLE | {"state_events": True}
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
        for name in ("ran", "bin", "srv/salt", "srv/pillar", *(f"out/{minion}" for minion in MINIONS)):
            (self.dir / name).mkdir(parents=True)
        for name, text in PILLAR_FILES.items():
            self.put(f"pillar/{name}", text)
        for name, text in LISTED_FILES.items():
            self.put(f"salt/{name}", text)
        self.env = dict(os.environ, INTEROP_BED=str(self.dir), PYTHONWARNINGS="ignore")
        self.env["PATH"] += f":{self.dir / 'bin'}"
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
        # 3008 masks what pillar.* return, unless told not to; the others do not know the word.
        self.unmask = ["unmask=True"] if minion is RealMinion and release == "3008" else []

    def real(self, program: str) -> str:
        return str(self.venv / "bin" / program)

    @property
    def sides(self) -> list[Any]:
        return [self.master, *self.minions]

    def put(self, path: str, content: str | bytes) -> Path:
        """A file below bed/srv, there at once and whole."""
        file, new = self.dir / "srv" / path, self.dir / "new"
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(content if isinstance(content, bytes) else content.encode())
        return new.rename(file)

    @contextlib.contextmanager
    def changed(self, path: str, content: str) -> Iterator[None]:
        """With another content of a file below bed/srv, which is put back."""
        old = (self.dir / "srv" / path).read_bytes()
        self.put(path, content)
        try:
            yield
        finally:
            self.put(path, old)

    def wait(self, condition: Callable[[], Any], what: str, within: float = 1e9) -> float:
        """Until the condition holds; the seconds it took. Looks 50 times a second: a log has no other bell.

        A file that goes away while the condition reads it, is looked for again.
        """
        begun = time.monotonic()
        end = min(self.deadline, begun + within)

        def holds() -> bool:
            with contextlib.suppress(FileNotFoundError):
                return bool(condition())
            return False

        while not holds():
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

    def becomes(self, returns: Mapping[str, Any], *words: str, within: float = BACK) -> float:
        """Until `salt WORDS` has exactly these returns; the seconds it took."""
        begun = time.monotonic()
        last = Answer(0, "nothing was sent", "", {})

        def does() -> bool:
            nonlocal last
            last = self.master.salt(*words)
            return last.returns == returns

        try:
            self.wait(does, "", within)
        except AssertionError:
            wanted = f"{json.dumps(returns)} of {shlex.join(words)} within {time.monotonic() - begun:.0f} s"
            raise AssertionError(f"expected {wanted}; the last: {last}") from None
        return time.monotonic() - begun

    def answering(self, names: Sequence[str], within: float = BACK) -> float:
        """Until test.ping is answered by all of the minions named; the seconds it took."""
        words = ("-t", "3", "-L", ",".join(names), "test.ping")
        return self.becomes(dict.fromkeys(names, True), *words, within=within)

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


def part(answer: Answer, minion: str, key: str) -> Any:
    """One value of what the minion returned; None if that is no map, or has no such key."""
    got = answer.returns.get(minion)
    return got.get(key) if isinstance(got, dict) else None


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
    Target("-I", "tier:fr*", ("web1",)),
    Target("-I", "app:ports:5432", ("db1",)),
    Target("-I", "tier:middle", ()),
    Target("-J", "app:name:(shop|stall)$", ("web1",)),
    Target("-N", "fronts", ("web1",)),
    Target("-N", "both", MINIONS),
    Target("-C", "I@app:name:st* and not N@fronts", ("db1",)),
    Target("-C", "N@fronts or J@tier:ba.k", MINIONS),
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


# ---- 4. Files, pillar, states, mine, events, schedule: of both roles, but the states --------------------------------


def pillar_seen(bed: Bed) -> None:
    """Each minion has its own and no other's."""
    expect(bed.master.salt("*", "pillar.items", *bed.unmask), PILLARS)
    expect(bed.master.salt("*", "pillar.get", "app:name", *bed.unmask), {"web1": "shop", "db1": "store"})
    none = bed.master.salt("*", "pillar.get", "app:owner", "default=nobody", *bed.unmask)
    expect(none, {"web1": "nobody", "db1": "nobody"})


def pillar_refreshed(bed: Bed) -> str:
    """What pillar.get and targets go by changes with the refresh, not before it."""
    with bed.changed("pillar/web1.sls", PILLAR_FILES["web1.sls"] + "colour: green\n"):
        expect(bed.master.salt("*", "pillar.get", "colour", *bed.unmask), {"web1": "", "db1": ""})
        expect(bed.master.salt("*", "saltutil.refresh_pillar"), {"web1": True, "db1": True})
        seconds = bed.becomes({"web1": "green", "db1": ""}, "*", "pillar.get", "colour", *bed.unmask)
        bed.becomes({"web1": True}, "-I", "colour:green", "test.ping")
    bed.master.salt("*", "saltutil.refresh_pillar")
    return f"{seconds:.1f} s"


def pillar_error(bed: Bed) -> None:
    """What is wrong with db1's pillar is said to db1, which keeps the rest of it; web1 has all of its own."""
    with bed.changed("pillar/db1.sls", "app: {{ no_such_function() }}\n"):
        answer = bed.master.salt("*", "pillar.items", *bed.unmask)
    errors = part(answer, "db1", "_errors")
    good = isinstance(errors, list) and len(errors) == 1 and "db1" in errors[0]
    good = good and answer.returns["db1"] == {"shared": "db1", "_errors": errors}
    assert good, f"expected one error that names db1, and what is in common.sls; got {answer}"
    assert answer.returns.get("web1") == PILLARS["web1"], f"expected web1 to have its pillar; got {answer}"


def get_file(bed: Bed) -> None:
    content = random.randbytes(700_001)
    bed.put("salt/files/big", content)
    for name, words in (("big", ()), ("new/big", ("makedirs=True",)), ("small", ("gzip=5",))):
        out = bed.dir / "out/web1" / name
        expect(bed.master.salt("web1", "cp.get_file", "salt://files/big", str(out), *words), {"web1": str(out)})
        assert out.read_bytes() == content, f"{out} is not the master's file, by cp.get_file {' '.join(words)}"
    hashed = {"hash_type": "sha256", "hsum": hashlib.sha256(content).hexdigest()}
    expect(bed.master.salt("web1", "cp.hash_file", "salt://files/big"), {"web1": hashed})
    none = bed.dir / "out/web1/none"
    answer = bed.master.salt("web1", "cp.get_file", "salt://files/none", str(none))
    said = "ERROR: There is no salt://files/none in the environment base."  # where Salt's minions say nothing
    assert answer.returns["web1"] in ("", said) and not none.exists(), f"expected no file; got {answer}"


def get_dir(bed: Bed) -> None:
    out = bed.dir / "out/db1/copy"
    answer = bed.master.salt("db1", "cp.get_dir", "salt://files/tree", str(out))
    wanted = sorted(str(out / "tree" / name) for name in TREE)
    assert sorted(answer.returns.get("db1") or []) == wanted, f"expected {wanted} of cp.get_dir; got {answer}"
    found = {str(path.relative_to(out / "tree")): path.read_text() for path in out.rglob("*") if path.is_file()}
    assert found == TREE, f"expected {TREE} in {out}/tree; found {found}"
    listed = bed.master.salt("db1", "cp.list_master", "prefix=files/tree")
    wanted = [f"files/tree/{name}" for name in TREE]
    assert sorted(listed.returns.get("db1") or []) == wanted, f"expected {wanted} of cp.list_master; got {listed}"


def cache_file(bed: Bed) -> None:
    expect(bed.master.salt("web1", "cp.is_cached", "salt://files/text"), {"web1": ""})
    for text in ("grün\n", "blau\n"):  # the cached one is replaced when the master's changes
        bed.put("salt/files/text", text)
        answer = bed.master.salt("web1", "cp.cache_file", "salt://files/text")
        cached = Path(answer.returns.get("web1") or "")
        assert cached.is_file() and cached.read_text() == text, (
            f"expected the path of a file with {text!r}; got {answer}"
        )
        assert cached.is_relative_to(bed.web1.root), f"expected a path below {bed.web1.root}; got {cached}"
        expect(bed.master.salt("web1", "cp.is_cached", "salt://files/text"), {"web1": str(cached)})


def get_file_str(bed: Bed) -> None:
    bed.put("salt/files/words", "eins\nzwei\n")
    expect(bed.master.salt("web1", "cp.get_file_str", "salt://files/words"), {"web1": "eins\nzwei\n"})


def synced(bed: Bed) -> None:
    """Custom modules and grains arrive, are taken into use without a restart, and so is a changed module."""
    bed.put("salt/_modules/interop_module.py", MODULE.replace("VERSION", "first"))
    bed.put("salt/_grains/interop_grain.py", GRAIN.replace("VERSION", "custom"))
    answer = bed.master.salt("*", "saltutil.sync_all")
    for name in MINIONS:
        good = "modules.interop_module" in (part(answer, name, "modules") or ())
        good = good and "grains.interop_grain" in (part(answer, name, "grains") or ())
        assert good, f"expected the module and the grain in saltutil.sync_all of {name}; got {answer}"
    bed.becomes({name: f"first {name} echo" for name in MINIONS}, "*", "interop_module.where")
    bed.becomes({"web1": True, "db1": True}, "-G", "interop:custom", "test.ping")
    bed.put("salt/_modules/interop_module.py", MODULE.replace("VERSION", "second"))
    bed.put("salt/_grains/interop_grain.py", GRAIN.replace("VERSION", "changed"))
    expect(bed.master.salt("web1", "saltutil.sync_modules"), {"web1": ["modules.interop_module"]})
    bed.becomes({"web1": "second web1 echo"}, "web1", "interop_module.where")
    expect(bed.master.salt("web1", "saltutil.sync_grains"), {"web1": ["grains.interop_grain"]})
    bed.becomes({"web1": True}, "-G", "interop:changed", "test.ping")


def custom_state(bed: Bed) -> None:
    bed.put("salt/_states/interop_state.py", STATE.replace("VERSION", "made"))
    answer = bed.master.salt("web1", "saltutil.sync_states")
    assert answer.returns == {"web1": ["states.interop_state"]}, f"expected states.interop_state; got {answer}"
    answer = bed.master.salt("web1", "state.single", "interop_state.present", "thing")
    states_are(answer, "web1", {"thing": True})


def binary_return(bed: Bed) -> str | None:
    """Bytes that are no text come as they are from a function, and with replacement characters from a command."""
    bed.master.salt("web1", "saltutil.sync_modules")
    wanted = b"\xff\xfe\x00raw"

    def returned(fun: str, *words: str) -> Any:
        return bed.master.returned(bed.master.begin_job("web1", fun, *words), "web1")["return"]

    got = returned("interop_bytes.raw")
    if isinstance(got, str) and "is not available" in got:  # a real minion may not have loaded it yet
        bed.wait(
            lambda: isinstance(returned("interop_bytes.raw"), bytes), f"interop_bytes.raw to be loaded ({got})", 10
        )
        got = returned("interop_bytes.raw")
    assert got == wanted, f"expected {wanted!r}; got {got!r}"
    output = returned("cmd.run", r"printf 'a\377b'")
    if isinstance(bed.web1, SaltliteMinion) and output == b"a\xffb":
        return DIFFERS + "a command's output that is no UTF-8 comes as bytes"
    assert output == "a\N{REPLACEMENT CHARACTER}b", f"expected a replacement character; got {output!r}"
    return None


def huge_return(bed: Bed) -> str:
    begun = time.monotonic()
    jid = bed.master.begin_job("web1", "cmd.run", r"head -c 20000000 /dev/zero | tr '\0' x")
    got = bed.master.returned(jid, "web1", 60)["return"]
    assert isinstance(got, str) and got == "x" * 20_000_000, (
        f"expected 20000000 times x; got {len(got) if isinstance(got, str) else got} of {str(got)[:100]!r}"
    )
    return f"{time.monotonic() - begun:.1f} s"


def many_at_once(bed: Bed) -> str:
    begun = time.monotonic()
    wanted = {number: MINIONS[number % 2] for number in range(100)}
    jids = bed.master.begin_commands([(name, f"sleep 1; echo {number}") for number, name in wanted.items()])
    assert len(set(jids)) == 100, f"expected 100 different jids; got {jids}"
    for number, jid in enumerate(jids):
        bed.master.returned(jid, wanted[number], 100)
        got = {name: entry["return"] for name, entry in bed.master.job(jid).items()}
        assert got == {wanted[number]: str(number)}, f"expected {number} of {wanted[number]} in job {jid}; got {got}"
    return f"{time.monotonic() - begun:.1f} s"


def mine(bed: Bed) -> None:
    expect(bed.master.salt("*", "mine.send", "what", "mine_function=grains.get", "role"), {"web1": True, "db1": True})
    expect(bed.master.salt("web1", "mine.send", "test.echo", "echoed"), {"web1": True})
    both = {"web1": "web", "db1": "db"}
    expect(bed.master.salt("*", "mine.get", "*", "what"), {"web1": both, "db1": both})
    expect(bed.master.salt("db1", "mine.get", "role:web", "what", "tgt_type=grain"), {"db1": {"web1": "web"}})
    several = {"what": both, "test.echo": {"web1": "echoed"}}
    expect(bed.master.salt("db1", "mine.get", "*", "[what, test.echo]"), {"db1": several})
    expect(bed.master.salt("db1", "mine.delete", "what"), {"db1": True})
    expect(bed.master.salt("db1", "mine.get", "*", "what"), {"db1": {"web1": "web"}})
    expect(bed.master.salt("web1", "mine.flush"), {"web1": True})
    expect(bed.master.salt("db1", "mine.get", "*", "[what, test.echo]"), {"db1": {}})


def event_sent(bed: Bed) -> None:
    words = ("web1", "event.send", "interop/hello", "{colour: blue, list: [1, null]}", "size=7")
    event = bed.master.seen("web1", "interop/hello", lambda: expect(bed.master.salt(*words), {"web1": True}))
    data = event.get("data")
    got = [event.get("id"), *(data.get(key) for key in ("colour", "list", "size"))] if isinstance(data, dict) else data
    assert got == ["web1", "blue", [1, None], 7], f"expected web1 and the data of {shlex.join(words)}; got {event}"


def scheduled(bed: Bed) -> str:
    """The returns of a job that runs each second come to the master, until it is deleted."""
    words = ("function=test.echo", "job_args=['tick of web1']", "seconds=1", "return_job=True")
    added = bed.master.salt("web1", "schedule.add", "ticker", *words)
    assert part(added, "web1", "result") is True, f"expected result True of schedule.add; got {added}"
    seconds = bed.wait(lambda: len(bed.master.unasked("tick of web1")) > 1, "two returns of the scheduled job", 30)
    listed = bed.master.salt("web1", "schedule.list", "return_yaml=False")
    job = part(listed, "web1", "ticker") or {}
    assert (job.get("function"), job.get("seconds")) == ("test.echo", 1), (
        f"expected ticker in schedule.list; got {listed}"
    )
    deleted = bed.master.salt("web1", "schedule.delete", "ticker")
    assert part(deleted, "web1", "result") is True, f"expected schedule.delete to work; got {deleted}"
    bed.becomes({"web1": {}}, "web1", "schedule.list", "return_yaml=False")
    before = bed.master.unasked("tick of web1")
    stopping.wait(2.5)
    late = bed.master.unasked("tick of web1")[len(before) + 1 :]  # one may have been on its way
    assert not late and set(before) == {"web1"}, f"expected no more returns, and all of web1; got {before} and {late}"
    return f"two returns {seconds:.1f} s after schedule.add"


def grain_set(bed: Bed) -> str:
    expect(bed.master.salt("web1", "grains.setval", "paint", "{inside: red}"), {"web1": {"paint": {"inside": "red"}}})
    seconds = bed.becomes({"web1": True}, "-G", "paint:inside:r*", "test.ping")
    expect(bed.master.salt("*", "grains.get", "paint:inside"), {"web1": "red", "db1": ""})
    return f"{seconds:.1f} s"


def other_modules(bed: Bed) -> None:
    text = bed.put("salt/files/here", "x")
    expect(bed.master.salt("web1", "file.file_exists", str(text)), {"web1": True})
    expect(bed.master.salt("web1", "file.file_exists", str(text) + "-"), {"web1": False})
    installed = bed.master.salt("web1", "pkg.version", "bash").returns.get("web1")
    assert isinstance(installed, str) and installed[:1].isdigit(), f"expected a version of bash; got {installed!r}"
    services = bed.master.salt("web1", "service.get_all").returns.get("web1")
    assert isinstance(services, list) and services, f"expected a list of services; got {services!r}"
    absent = bed.master.salt("web1", "service.available", "no-such-service")  # its status is that of a runlevel
    assert absent.returns == {"web1": False}, f"expected no such service; got {absent}"


def whole_key(path: Path) -> bytes:
    """The PEM block in the file, nothing while there is no file or not all of it."""
    with contextlib.suppress(FileNotFoundError):
        block = path.read_bytes().strip()
        return block if block.endswith(b"-----END PUBLIC KEY-----") else b""
    return b""


def regenerated(bed: Bed) -> str:
    """saltutil.regen_keys: the old key goes; the new one is no better than a stranger's until the operator takes it."""
    pub, accepted = bed.db1.pki / "minion.pub", bed.master.pki / "minions/db1"
    old, held = pub.read_bytes(), accepted.read_bytes()
    bed.master.begin_job("db1", "saltutil.regen_keys")
    if isinstance(bed.db1, SaltliteMinion):  # makes the next key at its start
        bed.wait(lambda: not pub.exists(), f"{pub} to be gone", 30)
    else:  # makes it now, in place: killed between its two files it would be left with half a pair
        bed.wait(lambda: whole_key(pub) not in (b"", old.strip()), f"{pub} to be another key", 30)
    bed.db1.daemon.destroy()
    bed.db1.start()
    keys_match(bed, bed.db1, "minions_denied")
    assert accepted.read_bytes() == held, "the accepted key was replaced without the operator"
    expect(bed.master.salt("web1", "test.ping"), {"web1": True})
    move_key(bed, "db1", "minions_denied", "minions")
    bed.db1.daemon.destroy()
    bed.db1.start()
    return f"answers {bed.answering(MINIONS):.1f} s after mv and start"


STATES = {
    "top.sls": "base:\n  '*':\n    - lib.base\n  'role:web':\n    - match: grain\n    - web\n",
    "lib/base.sls": """
{% set out = 'OUT/' ~ grains['id'] %}
base:
  file.managed:
    - name: {{ out }}/base
    - contents_pillar: shared
""",
    "web.sls": """
include:
  - lib.base
{% set out = 'OUT/' ~ grains['id'] %}
restart:
  cmd.run:
    - name: echo restarted >>{{ out }}/ran
    - onchanges:
      - file: config
quiet:
  cmd.run:
    - name: echo quiet >>{{ out }}/ran
    - onchanges:
      - file: present
present:
  file.exists:
    - name: {{ out }}
config:
  file.managed:
    - name: {{ out }}/etc/config
    - source: salt://files/config.jinja
    - template: jinja
    - makedirs: True
    - context:
        port: {{ pillar['app']['ports'][1] }}
    - require:
      - file: base
watcher:
  cmd.wait:
    - name: echo watched >>{{ out }}/ran
    - watch:
      - file: config
{% if grains['role'] == 'web' %}
raw:
  file.managed:
    - name: {{ out }}/raw
    - source: salt://files/raw
{% endif %}
""",
    "files/config.jinja": "{{ pillar['app']['name'] }}:{{ port }} on {{ grains['id'] }}\n",
    "bad.sls": """
good:
  test.succeed_without_changes
bad:
  test.fail_without_changes
after:
  test.succeed_with_changes:
    - require:
      - test: bad
""",
    "told.sls": "told:\n  test.show_notification:\n    - text: {{ pillar['word'] }} of {{ pillar['app']['name'] }}\n",
    "broken.sls": "broken: {{ nothing.at.all }}\n",
}
WEB_STATES = ("base", "restart", "quiet", "present", "config", "watcher", "raw")


def put_states(bed: Bed) -> bytes:
    """The state files below bed/srv/salt; what is in the binary one."""
    raw = random.randbytes(300_000)
    bed.put("salt/files/raw", raw)
    for name, text in STATES.items():
        bed.put(f"salt/{name}", text.replace("OUT", str(bed.dir / "out")))
    return raw


def states_are(
    answer: Answer, minion: str, results: Mapping[str, bool | None], changed: Sequence[str] | None = None
) -> None:
    """The results by state id are these, and those with changes, if given, are these."""
    states = answer.returns.get(minion)
    assert isinstance(states, dict), f"expected states of {minion}; got {answer}"
    ids = {name.split("_|-")[1]: state for name, state in states.items()}
    got = {name: state["result"] for name, state in ids.items()}
    assert got == results, f"expected {results} of {minion}; got {answer}"
    if changed is not None:
        got_changes = sorted(name for name, state in ids.items() if state["changes"])
        assert got_changes == sorted(changed), f"expected changes of {changed}; got {got_changes}: {answer}"


def highstate(bed: Bed) -> None:
    """Says with test=True what it would do, does it, and has nothing to do the next time.

    Of web1 only: a real minion cannot sign (minion_sign_messages of db1) what it asks for with the top file.
    """
    raw = put_states(bed)
    out = bed.dir / "out/web1"
    made = [out / "base", out / "etc/config", out / "raw", out / "ran"]
    would = bed.master.salt("web1", "state.apply", "test=True", limit=60)
    pending = dict.fromkeys(WEB_STATES) | {"quiet": True, "present": True}
    states_are(would, "web1", pending)
    assert would.status == 0 and not any(path.exists() for path in made), f"test=True made something: {would}"
    done = bed.master.salt("web1", "state.apply", limit=60)
    states_are(done, "web1", dict.fromkeys(WEB_STATES, True), ["base", "config", "raw", "restart", "watcher"])
    got = [path.read_bytes() for path in made]
    wanted = [b"web1\n", b"shop:443 on web1\n", raw, b"restarted\nwatched\n"]
    assert done.status == 0 and got == wanted, f"expected {wanted[0]!r} … in {made}; got {got[0]!r} …, {done}"
    again = bed.master.salt("web1", "state.apply", limit=60)
    states_are(again, "web1", dict.fromkeys(WEB_STATES, True), [])
    assert made[-1].read_bytes() == wanted[-1], f"a requisite ran a command again: {made[-1].read_text()!r}"
    states_are(bed.master.salt("db1", "state.apply", "lib.base", limit=60), "db1", {"base": True}, ["base"])
    assert (bed.dir / "out/db1/base").read_text() == "db1\n", "db1 has not its own pillar in its file"


def failing_state(bed: Bed) -> None:
    put_states(bed)
    failed = bed.master.salt("web1", "state.apply", "bad")
    states_are(failed, "web1", {"good": True, "bad": False, "after": False}, [])
    assert failed.status != 0, f"expected an exit status that is not 0; got {failed}"
    jid = bed.master.begin_job("web1", "state.apply", "bad")
    got = bed.master.returned(jid, "web1")
    assert got["retcode"] == 2, f"expected retcode 2 of the failed states; got {got}"
    broken = bed.master.salt("web1", "state.apply", "broken")
    errors = broken.returns.get("web1")
    good = isinstance(errors, list) and "broken" in errors[0] and broken.status != 0
    assert good, f"expected a list of errors that names broken; got {broken}"


def pillar_override(bed: Bed) -> None:
    put_states(bed)
    answer = bed.master.salt("web1", "state.sls", "told", "pillar={word: hello}")
    states_are(answer, "web1", {"told": True})
    comment = next(iter(answer.returns["web1"].values()))["comment"]
    assert comment == "hello of shop" and answer.status == 0, f"expected 'hello of shop'; got {answer}"
    without = bed.master.salt("web1", "state.sls", "told")
    assert isinstance(without.returns.get("web1"), list), f"expected an error without the pillar; got {without}"


# ---- 5. Real minions under a saltlite master ------------------------------------------------------------------------


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
    done = bed.master.cache / "jobs/done"  # the last line is written, and then the file moves
    bed.wait(lambda: len(list(done.glob(f"*/{jid}.jsonl"))) == 1, f"job {jid} to be in one day of jobs/done", 5)


def roll_out(bed: Bed) -> None:
    """One after the other, under one jid; with --failhard the first failure is the last."""
    expect(bed.master.salt("-b", "1", "*", "test.echo", "rolled"), dict.fromkeys(MINIONS, "rolled"))
    jid = bed.master.begin_job("-b", "1", "--failhard", "*", "cmd.run", "exit 3")
    bed.wait(lambda: bed.master.lines(jid)[-1]["event"] == "end", f"the end of job {jid}", 30)
    events = [line["event"] for line in bed.master.lines(jid)]
    assert events == ["new", "batch", "ret", "stopped", "end"], f"expected one minion to run and fail; got {events}"


def states_told(bed: Bed) -> None:
    """With state_events a real minion tells of each state that is done."""
    put_states(bed)
    jid = bed.master.begin_job("web1", "state.apply", "test=True")
    bed.master.returned(jid, "web1", 60)
    told = [(line["done"], line["total"]) for line in bed.master.lines(jid) if line["event"] == "progress"]
    total = len(WEB_STATES)  # Salt tells of some twice (mod_watch), and of none of those that are quiet
    assert {(number, total) for number in range(1, total)} - set(told) <= {(6, total)}, f"expected {total}; got {told}"
    assert all(done <= of == total for done, of in told), told


def absent_runs_it_later(bed: Bed) -> None:
    """A job is queued for a minion that is down, and runs once when it is back."""
    bed.db1.daemon.terminate(25)
    mark = bed.dir / "ran/queued"
    jid = bed.master.begin_job("-t", "2", "--queue", "1h", "db1", "cmd.run", f"echo $INTEROP_ID >>{mark}; echo later")
    bed.wait(lambda: bed.master.lines(jid)[-1]["event"] == "end", f"the end of job {jid}", 30)
    assert "queued" in [line["event"] for line in bed.master.lines(jid)], bed.master.lines(jid)
    bed.db1.start()
    got = bed.master.returned(jid, "db1", 60)
    assert got["return"] == "later" and got["late"] is True, f"expected a late return; got {got}"
    bed.answering(MINIONS)
    assert mark.read_text() == "db1\n", f"expected it to run once; got {mark.read_text()!r}"


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


# ---- 6. saltlite minions under a real master ------------------------------------------------------------------------


def pending_in_salt_key(bed: Bed) -> None:
    bed.master.up()
    for minion in bed.minions:
        minion.start()
    for minion in bed.minions:
        keys_match(bed, minion, "minions_pre")
    listed = bed.master.keys()["minions_pre"]
    assert sorted(listed) == sorted(MINIONS), f"expected both in minions_pre of salt-key -L; got {listed}"


def accepted_by_salt_key(bed: Bed, name: str) -> str:
    """The start event must come too: reactors and orchestration hang on it."""
    minion = bed.minions[MINIONS.index(name)]
    assert not (minion.pki / "minion_master.pub").exists(), "the minion knows the master's key before it was accepted"
    events = bed.dir / f"events-{name}"
    with bed.master.watching(f"salt/minion/{name}/start", events) as watcher:
        bed.master.accept(name)
        seconds = bed.wait(lambda: watcher.poll() is not None, f"the event salt/minion/{name}/start", BACK)
    got = events.read_text()
    assert f'"id": "{name}"' in got, f"expected a start event of {name}; got {got!r}"
    bed.answering([name])
    master_key_pinned(bed, minion)
    return f"start event {seconds:.1f} s after salt-key -a"


def several_functions(bed: Bed) -> None:
    answer = bed.master.salt("web1", "test.ping,cmd.run,test.echo", ",", "echo $INTEROP_ID", ",", "hello")
    expect(answer, {"web1": {"test.ping": True, "cmd.run": "web1", "test.echo": "hello"}})


PACKAGED = "/usr/bin:/usr/local/bin:/opt/saltstack/salt"  # where packages put salt-call


def state_refused(bed: Bed) -> str:
    """saltlite has no states of its own: one sentence says what is missing."""
    if found := shutil.which("salt-call", path=f"{bed.env['PATH']}:{PACKAGED}"):
        return f"not checked: there is {found}"
    answer = bed.master.salt("web1", "state.apply")
    got = answer.returns.get("web1")
    good = isinstance(got, str) and "salt-call" in got and "\n" not in got.strip() and answer.status != 0
    assert good, f"expected one sentence that names salt-call, and a status that is not 0; got {answer}"
    return DIFFERS + "states are left to salt-call"


def state_by_salt_call(bed: Bed) -> None:
    """With a salt-call on its PATH the minion hands states to it."""
    put_states(bed)
    (bed.dir / "bin/salt-call").symlink_to(bed.real("salt-call"))
    try:
        answer = bed.master.salt("web1", "state.apply", limit=60)
    finally:
        (bed.dir / "bin/salt-call").unlink()
    states_are(answer, "web1", dict.fromkeys(WEB_STATES, True))


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


def signed_returns(bed: Bed) -> None:
    """db1 signs what it returns, and the master has never found a signature that is not good."""
    values = [1, "short", "x" * 31, "x" * 32, "ü" * 100, "x" * 256, "x" * 70000, {"a": [None, 1.5, -1]}]
    for jid in bed.master.publish([("db1", "test.echo", value) for value in values]):
        bed.master.returned(jid, "db1")
    refused = re.findall(r"Failed to verify event signature.*", bed.master.daemon.text(0))
    assert not refused, f"the master could not verify {len(refused)} returns: {refused[0]}"


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
    return f"answers {bed.answering(MINIONS):.1f} s after salt-key -a"


# ---- 7. The table ---------------------------------------------------------------------------------------------------


class Check(NamedTuple):
    """`role`: of saltlite ("" both). When a check that is `vital` fails its bed ends: all others would fail with it."""

    name: str
    role: str
    run: Callable[[Bed], str | None]
    limit: float
    vital: bool = False
    lite: bool = False  # of saltlite only: real Salt has nothing like it
    group: str = ""  # its row in the matrix


def grouped(group: str, *checks: Check) -> list[Check]:
    return [check._replace(group=group) for check in checks]


def names_target(row: Target) -> str:
    return f"target {row.option or 'glob'} '{row.expression}': {', '.join(row.matched) or 'nobody'}"


CHECKS = (
    *grouped(
        "keys: pending, accepted",
        Check("a new minion's key waits in minions_pre", "master", pending_files, 120, vital=True),
        Check("mv into minions accepts it", "master", functools.partial(accepted_by_mv, name="web1"), 70, vital=True),
        Check("a new minion's key waits in salt-key -L", "minion", pending_in_salt_key, 120, vital=True),
        Check("salt-key -a accepts it", "minion", functools.partial(accepted_by_salt_key, name="web1"), 90, vital=True),
        Check(
            "mv accepts a minion with SHA224 and signatures",
            "master",
            functools.partial(accepted_by_mv, name="db1"),
            70,
            vital=True,
        ),
        Check(
            "salt-key -a accepts one with SHA224",
            "minion",
            functools.partial(accepted_by_salt_key, name="db1"),
            90,
            vital=True,
        ),
    ),
    *grouped(
        "calls",
        Check("test.ping", "", test_ping, 30),
        Check("cmd.run", "", cmd_run, 30),
        Check("test.arg: arguments arrive with their types", "", arguments, 30),
        Check("several functions in one job", "minion", several_functions, 30),
        Check("sys.doc and sys.list_functions", "minion", sys_doc, 40),
        Check("an unknown function", "", unknown_function, 40),
        Check("wrong arguments", "", wrong_arguments, 40),
        Check("a function that raises", "", raising_function, 30),
        Check("a failing command's retcode", "", failing_command, 60),
        Check("file, pkg and service functions", "master", other_modules, 60),
        Check("salt-call through the master", "master", salt_call, 60),
    ),
    *grouped(
        "targets",
        *(Check(names_target(row), "", functools.partial(target, row=row), 40) for row in TARGETS),
    ),
    *grouped(
        "returns: 350 KB, 20 MB, bytes, signed",
        Check("a return of 350 KB", "", large_return, 40),
        Check("a return of 20 MB", "", huge_return, 90),
        Check("a return of bytes", "", binary_return, 60),
        Check("signed returns are verified", "minion", signed_returns, 60),
    ),
    *grouped(
        "jobs: long, killed, 100 at once",
        Check("a job longer than the timeout returns", "", long_job, 60),
        Check("find_job, running, kill_job", "", find_and_kill, 90),
        Check("the master itself asks after a job", "master", running_lines, 60, lite=True),
        Check("a roll-out, minion by minion", "master", roll_out, 90, lite=True),
        Check("a job for the absent", "master", absent_runs_it_later, 120, lite=True),
        Check("20 jobs at once", "", burst, 120),
        Check("100 jobs at once", "", many_at_once, 120),
    ),
    *grouped(
        "grains: items, setval",
        Check("grains.items", "", grains, 30),
        Check("grains.setval, and a target by it", "", grain_set, 60),
    ),
    *grouped(
        "pillar",
        Check("pillar.items and pillar.get", "", pillar_seen, 60),
        Check("a changed pillar after saltutil.refresh_pillar", "", pillar_refreshed, 90),
        Check("an error in one minion's pillar", "", pillar_error, 40),
    ),
    *grouped(
        "files: cp.*",
        Check("cp.get_file and hash_file", "", get_file, 60),
        Check("cp.get_dir and list_master", "", get_dir, 60),
        Check("cp.cache_file and is_cached", "", cache_file, 60),
        Check("cp.get_file_str", "master", get_file_str, 40),
    ),
    *grouped(
        "saltutil.sync_*: custom modules, grains",
        Check("saltutil.sync_all, sync_modules, sync_grains", "", synced, 120),
    ),
    *grouped(
        "states",
        Check("state.apply without states", "master", state_apply, 60),
        Check("states are told of while they run", "master", states_told, 90, lite=True),
        Check("state.apply of a highstate", "master", highstate, 150),
        Check("state.apply that fails", "master", failing_state, 90),
        Check("state.sls with a pillar", "master", pillar_override, 60),
        Check("a custom state", "master", custom_state, 60),
        Check("state.apply without salt-call", "minion", state_refused, 40, lite=True),
        Check("state.apply by salt-call", "minion", state_by_salt_call, 60, lite=True),
    ),
    *grouped("mine", Check("mine.send, get, delete, flush", "", mine, 90)),
    *grouped("events", Check("event.send", "", event_sent, 60)),
    *grouped("schedule", Check("schedule.add, list, delete", "", scheduled, 90)),
    *grouped(
        "restarts, rotation",
        Check("master restart: SIGTERM", "", master_restart, 100),
        Check("master restart: kill -9 during a job", "", master_killed, 130),
        Check("rotation while jobs run", "minion", rotation_by_salt_key, 90),
        Check("minion killed during a job: its return comes", "minion", minion_killed, 90, lite=True),
        Check("minion restart: SIGTERM", "minion", minion_terminated, 80, lite=True),
    ),
    *grouped(
        "keys: revoked, removed, changed",
        Check("salt-key -d: runs nothing, is pending again", "minion", deleted_then_pending, 90),
        Check("salt-key -r: is refused and goes on asking", "minion", rejected_stays, 100, lite=True),
        Check("accepted after that it answers", "minion", accepted_after_rejection, 150),
        Check("a revoked minion runs nothing: the key is rotated", "master", revoked_runs_nothing, 60),
        Check("the others lose no job by the rotation", "master", rotation_loses_no_job, 60),
        Check("a revoked minion is refused", "master", revoked_is_refused, 90),
        Check("mv back accepts it again", "master", accepted_again, 80),
        Check("rm of a key: pending again, then accepted", "master", removed_then_pending, 100),
        Check("a changed key is denied, mv makes it the key", "master", changed_key_is_denied, 100),
        Check("saltutil.regen_keys: denied, mv makes it the key", "", regenerated, 120),
        Check("no minion ran a job of others, none ran one twice", "", nobody_else_ran, 10),
    ),
)


# ---- 8. Running and telling -----------------------------------------------------------------------------------------


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
    """With -k: those with any of the words in name or group, and the vital ones before, without which nothing runs."""
    checks = [check for check in CHECKS if check.role in ("", role) and not (options.self_check and check.lite)]
    words = [word.lower() for word in options.words or [""]]
    return [
        check
        for check in checks
        if check.vital or any(word in f"{check.group}: {check.name}".lower() for word in words)
    ]


LONG_STEP = re.compile(r"a step of the loop took (\d+) ms, (\d+) of them computing: (\S+)")
LONG_STEPS: list[tuple[int, int, str]] = []  # of saltlite's masters, from 50 ms on: computing, in all, and of what


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
        log = bed.dir / "master/log"
        text = log.read_text(errors="replace") if role == "master" and log.exists() else ""
        LONG_STEPS.extend((int(busy), int(ms), what) for ms, busy, what in LONG_STEP.findall(text))
        bed.close(keep=options.keep and failed)
    if options.keep and failed:
        print(f"kept: {release} {role}: {bed.dir}", flush=True)
    return results


def matrix(results: Sequence[Result]) -> str:
    """A table in Markdown: a row for each group of checks, a column for each role and release."""
    columns = sorted({(result.role, result.release) for result in results})
    rows = [["", *(f"{role} {release}" for role, release in columns)], ["---"] * (len(columns) + 1)]
    for group in dict.fromkeys(check.group for check in CHECKS):
        cells = [
            [result for result in results if result.check.group == group and column == (result.role, result.release)]
            for column in columns
        ]
        if any(cells):
            rows.append([group, *map(verdict, cells)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def verdict(results: Sequence[Result]) -> str:
    """A cell of the matrix: - nothing was checked, ok, what differs, or what failed."""
    failed = [result.check.name for result in results if not result.ok]
    differs = [result.how.removeprefix(DIFFERS) for result in results if result.how.startswith(DIFFERS)]
    if failed:
        return "failed: " + "; ".join(failed)
    return "differs: " + "; ".join(differs) if differs else "ok" if results else "-"


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
    add(
        "-k",
        dest="words",
        action="append",
        metavar="WORDS",
        help="only checks with these words in their name or group (may be repeated)",
    )
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
    print(f"\nsaltlite as master of Salt's minions, and as minions of Salt's master\n\n{matrix(results)}")
    if "master" in roles:
        steps = ", ".join(f"{busy} of {ms} ms {what}" for busy, ms, what in sorted(LONG_STEPS, reverse=True)[:10])
        computed = sum(busy >= 50 for busy, _, _ in LONG_STEPS)
        print(
            f"\n{len(LONG_STEPS)} steps of the masters' loops took 50 ms or more, {computed} of them by computing"
            f"{steps and f'; computing most: {steps}'}"
        )
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
