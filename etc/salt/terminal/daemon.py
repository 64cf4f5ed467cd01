"""What stands around the loop of both daemons: going behind, the pid file, taking over a program that was replaced.

SIGHUP takes over whatever has changed: the options, the log file that was renamed, and the program itself if its file
was replaced. SIGUSR2 has the daemon run its program anew in any case. Anew is `exec`: the process keeps its pid, so
whoever supervises it sees nothing; connections drop, and all that counts lies in the tree. Before that the new program
has to say, with --check, that it runs and can use the configuration; meanwhile the old one works on."""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from saltlite import (
    EX_FAILED,
    EX_OK,
    MAX_PEM,
    Failure,
    clean,
    log,
    make_parents,
    packed_leaf,
    printable,
    put,
    read,
)

CHECK_SECONDS = 60.0  # for the new program to say that it can run: at its first start it is unpacked
PROBE_SECONDS = 4  # for a connection to a master that does not answer: less than it was waited for

log_to, trial = packed_leaf("terminal", "log"), packed_leaf("terminal", "trial")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Salt's options of a daemon."""
    parser.add_argument("-d", "--daemon", action="store_true", help="go behind once it works, and log to a file")
    parser.add_argument("-u", "--user", metavar="USER", help="the user to run as, when started as root")
    parser.add_argument("--pid-file", metavar="FILE", help="a file for the process id")
    parser.add_argument(
        "--check", dest="only_check", action="store_true", help="say what is wrong with the configuration, and end"
    )
    parser.add_argument("--disable-keepalive", action="store_true", help=argparse.SUPPRESS)  # nothing is kept alive
    parser.add_argument("--behind", action="store_true", help=argparse.SUPPRESS)  # it is: the program is run anew


# ---- going behind ----


def relay(read: int, pid: int) -> int:
    """In the process that stays in front: show what the other one says until it works or has ended; gives the exit
    code."""
    while data := os.read(read, 4096):
        words, ready, _ = data.partition(b"\0")
        os.write(2, words)
        if ready:
            return EX_OK
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) or EX_FAILED


def go_behind() -> None:
    """Fork. The process that comes back leads a session of its own, and its stderr ends in the other one, which does
    not come back: it waits until all is `ready`, so that what is wrong is said, and told by the exit code."""
    read, write = os.pipe()
    if pid := os.fork():
        os.close(write)
        sys.exit(relay(read, pid))
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd, target in ((null, 0), (null, 1), (write, 2)):
        os.dup2(fd, target)
    for fd in (null, write, read):
        os.close(fd)


def ready(opts: dict[str, Any], pid_file: int) -> None:
    """The daemon works: write its pid, and let go of the terminal."""
    if pid_file >= 0:
        os.ftruncate(pid_file, 0)
        os.pwrite(pid_file, f"{os.getpid()}\n".encode(), 0)
    if opts["__behind__"]:
        with contextlib.suppress(OSError):  # run anew: nobody waits there
            os.write(2, b"\0")
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 2)
        os.close(null)
        log_to.set_up(opts)


def prepare(opts: dict[str, Any], args: argparse.Namespace) -> None:
    """Before anything is opened: where the log goes, whether we go behind, the pid file. Raises Failure."""
    root, role = Path(opts["root_dir"]), opts["__role"]
    behind, opts["__behind__"] = args.daemon or args.behind, False
    if behind:
        places = {"log_file": root / f"var/log/salt/{role}", "pidfile": root / f"var/run/salt-{role}.pid"}
        given = {name: opts[name] or str(path) for name, path in places.items()}
        opts.update(given)
        opts["__given__"] |= given
    opts["__daemon__"] = True
    log_to.set_up(opts)
    opts["__log__"] = log_to.set_up
    opts["__probe__"] = probe
    pid_file = -1
    if opts["pidfile"]:  # opened while we may, written to when we know that we are the one
        make_parents(path := Path(opts["pidfile"]))
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            pid_file = os.open(path, flags, 0o644)
            os.fchmod(pid_file, 0o644)
        except OSError as error:
            if not args.behind:  # else it is root's, and holds our pid already
                raise Failure(f"pidfile: {path} cannot be written: {error.strerror}.") from None
    opts["__ready__"] = functools.partial(ready, opts, pid_file)
    for number in (signal.SIGHUP, signal.SIGUSR2):  # not ignored, which would be handed on to jobs
        signal.signal(number, lambda *_: None)
    if behind and not args.behind:
        go_behind()
        log_to.set_up(opts)  # to the stderr that there is now: whoever waits for the end of the other one may go on
    opts["__behind__"] = behind


# ---- running the program anew ----


def stamp(program: str) -> tuple[int, ...]:
    """What is another number when a file was replaced; () if it is not there."""
    with contextlib.suppress(OSError):
        info = os.stat(program)
        return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns
    return ()


class Renewal:
    """Whether, and how, a daemon's program is run anew."""

    def __init__(self, daemon: Any, opts: Mapping[str, Any]) -> None:
        self.daemon, self.opts, self.loop = daemon, opts, daemon.loop
        self.program = trial.program() or str(Path(sys.modules["saltlite"].__file__ or "").resolve())
        self.stamp = stamp(self.program)
        self.wanted = False
        self._checking: tuple[subprocess.Popen[bytes], Any, float] | None = None

    def reload(self) -> None:
        """SIGHUP."""
        self.daemon.reload()
        if (found := stamp(self.program)) and found != self.stamp:
            log.info("%s was replaced", self.program)
            self.check()

    def check(self) -> None:
        """SIGUSR2: have the program that is there now look at the configuration, and go on when it is content."""
        if self._checking:
            return
        self.stamp = stamp(self.program)  # what is refused is not tried again at each SIGHUP
        said = tempfile.TemporaryFile()
        command = [sys.executable, *sys.orig_argv[1:], "--check"]
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        except OSError as error:
            log.error("%s cannot be run, so nothing changes: %s", self.program, error)
            return
        self._checking = process, said, time.monotonic() + CHECK_SECONDS
        self.loop.every("renewal", 0.05, self._look)

    def _look(self) -> None:
        assert self._checking
        process, said, until = self._checking
        code = process.poll()
        if code is None and time.monotonic() < until:
            return
        self.loop.cancel("renewal")
        self._checking = None
        if code == 0:
            log.info("%s is run anew", self.program)
            self.renew()
            return
        process.kill()
        process.wait()
        said.seek(0)
        words = said.read(1 << 20).decode(errors="replace").strip().splitlines() or ["nothing"]
        what = f"exit code {code}" if code is not None else f"no answer within {CHECK_SECONDS:.0f} s"
        log.error("%s cannot take over (%s), so nothing changes; it says: %s", self.program, what, printable(words[-1]))

    def renew(self) -> None:
        """End the loop; `execute` is next."""
        self.wanted = True
        self.loop.stop()

    def execute(self) -> None:
        """Become the program that is there now, with the limits that this process was started with, and the lock."""
        umask, core, files = self.opts["__limits__"]
        os.umask(umask)
        resource.setrlimit(resource.RLIMIT_CORE, core)
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
        for number in (signal.SIGHUP, signal.SIGUSR2):  # a second one may come before the handlers are there again
            signal.signal(number, signal.SIG_IGN)
        for fd in lock_descriptors(self.opts):
            os.set_inheritable(fd, True)
        logging.shutdown()
        behind = ["--behind"] if self.opts["__behind__"] and "--behind" not in sys.orig_argv else []
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], *behind])


def lock_descriptors(opts: Mapping[str, Any]) -> list[int]:
    """The descriptors of this process that hold the daemon's lock."""
    path, found = f"{os.path.realpath(opts['cachedir'])}/.lock", []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that listdir had
            if os.readlink(f"/proc/self/fd/{name}") == path:
                found.append(int(name))
    return found


def check_public_key(daemon: Any, opts: Mapping[str, Any]) -> None:
    """Write ROLE.pub anew where it is not that of ROLE.pem, which somebody has copied here: commands show it, and other
    machines are told its fingerprint."""
    pem = (daemon.key if opts["__role"] == "minion" else daemon.protocol.key).public.pem
    path = Path(opts["pki_dir"], f"{opts['__role']}.pub")
    with contextlib.suppress(OSError):
        if clean(read(path, MAX_PEM).decode("ascii", "replace")) != clean(pem):
            put(path, pem + "\n", 0o644)
            log.warning("%s was not that of %s.pem, and is written anew", path, opts["__role"])


def serve(make: Callable[[dict[str, Any]], Any], opts: dict[str, Any]) -> int:
    """Make a Master or a Minion and run it to its end, or to that of its program; gives the exit code."""
    held = lock_descriptors(opts)  # by the program that we were: so nobody ever saw that no daemon was here
    for fd in held:
        os.close(fd)
    daemon = make(opts)
    check_public_key(daemon, opts)
    renewal = Renewal(daemon, opts)
    daemon.loop.on_signal(signal.SIGHUP, renewal.reload)
    daemon.loop.on_signal(signal.SIGUSR2, renewal.check)
    if opts["__role"] == "minion":
        trial.watch(daemon, opts, renewal.renew)
    opts["__ready__"]()
    code: int = daemon.run()
    if renewal.wanted and not code:
        renewal.execute()
    if opts["pidfile"]:
        with contextlib.suppress(OSError):  # it may be root's
            os.unlink(opts["pidfile"])
    return code


# ---- why a master does not answer ----

PROBE = """
import socket, sys, time
until, said, taken = time.monotonic() + int(sys.argv[3]), b"", False
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), int(sys.argv[3])) as peer:
        taken = True
        peer.sendall(b"\\xff" + bytes(8) + b"\\x7f\\x03\\x01NULL" + bytes(48))  # the greeting of ZMTP
        while len(said) < 4096 and b"Socket-Type" not in said[:-16]:
            peer.settimeout(max(0.01, until - time.monotonic()))
            part = peer.recv(4096)
            if not part:
                break
            said += part
except socket.gaierror as error:
    print(f"its name cannot be resolved ({error.strerror})")
    sys.exit()
except TimeoutError:
    if not taken:
        print("nothing comes back from there (is it up, and does a firewall let this through?)")
        sys.exit()
except OSError as error:
    if not said:
        print(f"{(error.strerror or str(error)).lower()}: no master listens there, or the way is barred")
        sys.exit()
port = "a minion is given the master's ret_port, which is 4506 unless told"
if b"PUB" in said[64:].partition(b"Socket-Type")[2][:16]:
    print(f"that is a port of publications: {port}")
elif not said:
    print(f"whoever listens there says nothing: a master that hangs, or none; {port}")
elif not said.startswith(b"\\xff"):
    print(f"whoever listens there does not speak as a Salt master does: {port}")
"""


def probing(host: str, port: int, seconds: int) -> list[str]:
    """The command that says in a line what is wrong with a master's port, and nothing if it is a master's: then the
    key is pending. It takes `seconds` to connect, and as many for an answer."""
    return [sys.executable, "-I", "-S", "-c", PROBE, host, str(port), str(seconds)]


def why_silent(host: str, port: int, seconds: int) -> str:
    """What it says, for one who can wait."""
    try:
        done = subprocess.run(
            probing(host, port, seconds), stdin=subprocess.DEVNULL, capture_output=True, timeout=3 * seconds
        )
    except (OSError, subprocess.TimeoutExpired):  # a name server lets one wait
        return ""
    return str(printable(done.stdout[:1000].decode(errors="replace").strip()))


def probe(loop: Any, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Find out what keeps a minion from its master, and `tell` it in words, "" if the key is pending. In a process of
    its own, for a name server may let one wait, and the loop must not."""
    command = probing(host, port, PROBE_SECONDS)
    null = subprocess.DEVNULL
    try:
        process = subprocess.Popen(command, stdin=null, stdout=subprocess.PIPE, stderr=null)
    except OSError:
        tell("")
        return
    assert process.stdout
    pipe = process.stdout

    def said() -> None:
        loop.unwatch(pipe.fileno())
        with pipe:
            words = pipe.read(1000).decode(errors="replace").strip()
        process.wait()
        tell(printable(words))

    loop.watch(pipe.fileno(), said)
