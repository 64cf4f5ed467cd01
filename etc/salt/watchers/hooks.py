"""Hooks: executables below <config>/master.d/hooks that run on events; what a reactor is with Salt.

The path of a hook's directory below `hooks` is a glob that the whole tag is held against, as Salt's reactor does it, so
a `*` also means slashes:

    master.d/hooks/salt/minion/*/start/50-greet     on salt/minion/web1/start
    master.d/hooks/salt/key/notify                  on salt/key
    master.d/hooks/salt/job/*/ret/*/log             on the return of any minion to any job

Of each event all hooks run, one after another: by directory, then by name, in the order of their bytes. A name has
letters, digits, - and _ and nothing else, as run-parts wants it, so no `x.bak` and no `.x.swp` ever runs. A hook gets
the event on stdin, {"tag", "time", "data"} as one line of JSON, and in its environment SALT_EVENT_TAG and
SALT_CONFIG_DIR; its working directory is /, and nobody keeps what it prints. It has HOOK_SECONDS. What it has started
and left behind is ended with it, so for more there is systemd-run or a queue of your own. One that fails is named in
the log with its exit code and the last line that it printed.

Who may change a hook is the master: its file, what a link leads to, and all directories above belong to root or the
master's user and nobody else may write to them. Anything else is not run, and the log says why.

Nothing here waits. An event is written into a file without a name that is the hook's stdin, and a start takes a
millisecond; output is read as it comes, and what has ended is seen by its end, or at the next look. Events wait in a
queue with an end, and those that have no room are counted."""

from __future__ import annotations

import collections
import contextlib
import fnmatch
import functools
import os
import re
import resource
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from saltlite import Master, log, to_json, user_name

AT_ONCE = 4  # events whose hooks run at the same time
MAX_QUEUED = 10_000  # events that wait
MAX_QUEUED_BYTES = 16 << 20  # of JSON of these events
SHARE = 8  # one minion's events take so much of either at the most, an eighth: else it would keep out all others
HOOK_SECONDS = 60.0  # until SIGTERM
KILL_SECONDS = 5.0  # from there to SIGKILL
MAX_HOOKS = 500  # files that are looked at; more are left out, and the log says so
LAST_LINE = 4096  # bytes of output that are kept, its end
READ_AT_ONCE = 1 << 16  # bytes of output in one step of the loop
LOOK = 1.0  # seconds that a look at the directories is good for
TICK = 0.2  # seconds between two looks at hooks that run
NAME = re.compile(r"[A-Za-z0-9_-]+")


class Event(NamedTuple):
    """An event that waits, with what is to run on it."""

    tag: str
    text: bytes
    hooks: list[Path]
    whose: str | None  # the minion that has told it


class Run:
    """The hooks of one event, of which one runs: `process`, None between two of them."""

    def __init__(self, event: Event) -> None:
        self.event, self.left = event, collections.deque(event.hooks)
        self.process: subprocess.Popen[bytes] | None = None
        self.path, self.until, self.output, self.killed = Path(), 0.0, b"", False


def parents(path: str) -> Iterator[str]:
    """All directories above a path, up to /."""
    while (above := os.path.dirname(path)) != path:
        yield (path := above)


def distrust(path: str, real: str, directories: Iterable[str], stat_of: Callable[[str], os.stat_result]) -> str:
    """Why a hook, or what it leads to, could be somebody else's; '' if it could not. OSError.

    `real`: its name through no linked directory; `directories`: those above both, as they are named and really are."""
    if os.path.islink(path):
        real = os.path.realpath(path)
        directories = dict.fromkeys([*directories, *parents(real)])
    own = os.path.dirname(real)
    for each in (real, *directories):
        info = stat_of(each)
        shared = stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX and each != own
        if info.st_uid not in (0, os.geteuid()):
            return f"{each} belongs to {user_name(info.st_uid)}: chown it"
        if info.st_mode & stat.S_IWOTH and not shared:
            return f"{each} can be written by everybody: `chmod o-w` it"
        if info.st_mode & stat.S_IWGRP and not shared and info.st_gid not in (0, os.getegid()):
            return f"{each} can be written by another group: `chmod g-w` it"
    return ""


class Watcher:
    """Finds hooks, runs them, and sees how they end."""

    def __init__(self, master: Master) -> None:
        self.loop, self.opts = master.loop, master.opts
        self.top = Path(self.opts["conf_dir"], "master.d", "hooks")
        self.queue: collections.deque[Event] = collections.deque()
        self.queued = 0  # bytes of the events that wait
        self.shares: dict[Any, tuple[int, int]] = {}  # by minion: how many of its events wait, and their bytes
        self.running: list[Run] = []
        self.lost = 0  # events since the last word about them
        self._hooks: list[tuple[re.Pattern[str], list[Path]]] = []  # what a tag must be like, the files in their order
        self._looked = float("-inf")
        self._said: set[str] = set()  # so that nothing is said each second

    def reload(self) -> None:
        """SIGHUP: look at once, and say again what is wrong."""
        self._said.clear()
        self._looked = float("-inf")

    def stop(self) -> None:
        """The master ends, and what it runs with it."""
        for run in self.running:
            self._signal(run, signal.SIGTERM)
        if self.running or self.queue:
            log.warning("%s hooks are ended with the master, and %s events wait for theirs no more",
                        len(self.running), len(self.queue))  # fmt: skip

    def told(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        """Queue the events that have hooks."""
        if not (hooks := self._found()):
            return
        now = time.time()
        for tag, data in events:
            if not (wanted := [path for glob, paths in hooks if glob.match(tag) for path in paths]):
                continue
            text = (to_json({"tag": tag, "time": now, "data": data}) + "\n").encode()
            whose = tag.split("/")[2] if tag.startswith("salt/minion/") else data.get("id") if "/prog/" in tag else None
            count, size = self.shares.get(whose, (0, 0)) if whose else (0, 0)
            full = len(self.queue) >= MAX_QUEUED or self.queued + len(text) > MAX_QUEUED_BYTES
            if full or SHARE * count >= MAX_QUEUED or SHARE * (size + len(text)) > MAX_QUEUED_BYTES and count:
                self.lost += 1
                continue
            self.queue.append(Event(tag, text, wanted, whose))
            self.queued += len(text)
            if whose:
                self.shares[whose] = count + 1, size + len(text)
        if self.lost:
            log.error("%s events have no hook run: %s are waiting, with %s bytes; the hooks are too slow",
                      self.lost, len(self.queue), self.queued)  # fmt: skip
            self.lost = 0
        if self.queue:
            self.loop.at("hooks", 0, self._look)

    # finding

    def _found(self) -> list[tuple[re.Pattern[str], list[Path]]]:
        """All hooks, in the order in which they run; as they were a moment ago at the most."""
        if time.monotonic() - self._looked > LOOK:
            found: dict[str, list[Path]] = {}
            for glob, path in sorted(self._search(), key=lambda hook: (os.fsencode(hook[0]), os.fsencode(hook[1]))):
                found.setdefault(glob, []).append(path)
            self._hooks = [(re.compile(fnmatch.translate(glob)), paths) for glob, paths in found.items()]
            self._looked = time.monotonic()
        return self._hooks

    def _search(self) -> Iterator[tuple[str, Path]]:
        """Directories and files as texts, for there are many, and nobody should wait."""
        seen, stat_of, top = 0, functools.cache(os.stat), str(self.top)
        real = os.path.realpath(top)
        above = {top: (real, tuple(dict.fromkeys([os.path.dirname(top), top, real, *parents(real)])))}
        for directory, inner, names in os.walk(top):
            inner[:] = [name for name in sorted(inner) if name[0] != "."]
            real, directories = above.pop(directory)
            for name in inner:  # no link: those are not walked into
                below = f"{directory}/{name}", f"{real}/{name}"
                above[below[0]] = below[1], (*directories, *dict.fromkeys(below))
            for name in sorted(names):
                path = f"{directory}/{name}"
                if name.startswith(".") or not os.path.isfile(path):
                    continue
                if (seen := seen + 1) > MAX_HOOKS:
                    self._say(f"there are more than {MAX_HOOKS} hooks below {top}; the others do not run")
                    return
                if not NAME.fullmatch(name):
                    self._say(f"the hook {path} does not run: its name may hold letters, digits, - and _ only")
                    continue
                if not os.access(path, os.X_OK):
                    self._say(f"the hook {path} does not run: it is not executable; chmod +x it")
                    continue
                if directory == top:
                    self._say(f"{path} runs on no event: it must lie in a directory that is named as a tag")
                    continue
                with contextlib.suppress(OSError):  # it is gone again
                    if why := distrust(path, f"{real}/{name}", directories, stat_of):
                        self._say(f"the hook {path} does not run: {why}")
                        continue
                    yield directory[len(top) + 1 :], Path(path)

    def _say(self, text: str) -> None:
        if text not in self._said:
            log.error("%s", text)
        self._said = {*self._said, text} if len(self._said) < 2 * MAX_HOOKS else {text}

    # running

    def _look(self) -> None:
        """See what has ended and what takes too long, and start what may run: AT_ONCE starts at the most, for each
        takes a millisecond. Come again while something runs."""
        for run in list(self.running):
            self._watch_over(run)
        while self.queue and len(self.running) < AT_ONCE:
            event = self.queue.popleft()
            self.queued -= len(event.text)
            if event.whose:
                count, size = self.shares.pop(event.whose)
                if count > 1:
                    self.shares[event.whose] = count - 1, size - len(event.text)
            self.running.append(run := Run(event))
            self._next(run)
        if self.running:
            self.loop.at("hooks", TICK if all(run.process for run in self.running) else 0, self._look)

    def _next(self, run: Run) -> None:
        """Start the next hook of an event, or be done with it."""
        if not run.left:
            self.running.remove(run)
            return
        run.path = run.left.popleft()
        try:
            run.process = self._start(run)
        except (OSError, ValueError) as error:  # a NUL in a tag
            log.error("the hook %s cannot be started: %s", run.path, getattr(error, "strerror", error))

    def _start(self, run: Run) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TZ") if name in os.environ}
        environment |= {"SALT_EVENT_TAG": run.event.tag, "SALT_CONFIG_DIR": self.opts["conf_dir"]}
        umask, _, files = self.opts.get("__limits__", (0o022, None, None))
        with tempfile.TemporaryFile(buffering=0) as event:
            event.write(run.event.text)
            event.seek(0)
            process = subprocess.Popen(
                [run.path],
                stdin=event,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=environment,
                umask=umask,
                start_new_session=True,
            )
        if files:
            with contextlib.suppress(OSError):
                resource.prlimit(process.pid, resource.RLIMIT_NOFILE, files)
        assert process.stdout
        os.set_blocking(process.stdout.fileno(), False)
        self.loop.watch(process.stdout.fileno(), lambda: self._hear(run, process))
        run.until, run.output, run.killed = time.monotonic() + HOOK_SECONDS, b"", False
        return process

    def _hear(self, run: Run, process: subprocess.Popen[bytes]) -> None:
        """Keep the end of what a hook prints; when it prints no more it is about to end."""
        assert process.stdout
        with contextlib.suppress(BlockingIOError):
            data = os.read(process.stdout.fileno(), READ_AT_ONCE)
            run.output = (run.output + data)[-LAST_LINE:]
            if data:
                return
            self.loop.unwatch(process.stdout.fileno())
        self.loop.at("hooks", 0.005, self._look)

    def _watch_over(self, run: Run) -> None:
        """Go on behind a hook that has ended; end one that takes too long, first softly."""
        process = run.process
        if process is None:
            self._next(run)
            return
        assert process.stdout
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > run.until:
                self._signal(run, signal.SIGKILL if run.killed else signal.SIGTERM)
                run.killed, run.until = True, time.monotonic() + KILL_SECONDS
            return
        self._signal(run, signal.SIGKILL)  # what it has left behind; while it is not waited for, its number is its own
        code = process.wait()
        with contextlib.suppress(OSError):  # its last words
            run.output = (run.output + os.read(process.stdout.fileno(), READ_AT_ONCE))[-LAST_LINE:]
        self.loop.unwatch(process.stdout.fileno())
        process.stdout.close()
        if code or run.killed:
            lines = run.output.decode(errors="replace").strip().splitlines()
            how = f"took longer than {HOOK_SECONDS:.0f} s" if run.killed else f"ended with {code}"
            log.error("the hook %s %s on %s%s", run.path, how, run.event.tag, f": {lines[-1]}" if lines else "")
        run.process = None
        self._next(run)

    def _signal(self, run: Run, number: int) -> None:
        """To a hook and all that is in its session's group."""
        if run.process:
            with contextlib.suppress(OSError):
                os.killpg(run.process.pid, number)
