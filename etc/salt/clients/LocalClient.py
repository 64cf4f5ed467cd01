"""The person's side of a job: write jobs/new/JID, follow its file. No socket, no crypto, no msgpack."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from saltlite import EX_USAGE, Failure, from_json, jid_of, load_opts, to_json, user_name, write_all


def caller() -> str:
    """Who calls, as Salt names it: sudo_NAME behind sudo."""
    name = user_name(os.geteuid())
    sudo = os.environ.get("SUDO_USER", "")
    return f"sudo_{sudo}" if sudo and sudo != name and os.geteuid() == 0 else name


def locked(path: Path) -> bool:
    """Whether somebody holds the lock file; False where it is not there, PermissionError where we may not look."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def alive(pipe: Path) -> bool:
    """Whether a master reads the pipe that it has opened to the users of publisher_acl; OSError if there is none."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False
        raise
    return True


CLOSED = 2.0  # seconds within which the master opens a job's file to whose job it is


class LocalClient:
    """Publish jobs through the tree of the master whose configuration is in `conf_dir`, and read what comes back.

    `LocalClient("/etc/salt").cmd("web*", "test.ping")` gives {id: return}. Raises Failure."""

    def __init__(self, conf_dir: str = "/etc/salt") -> None:
        self.opts = load_opts("master", conf_dir)
        self.cache = Path(self.opts["cachedir"])
        self.jobs = self.cache / "jobs"

    def cmd(
        self,
        tgt: str | list[str],
        fun: str | list[str],
        arg: Iterable[Any] = (),
        timeout: float | None = None,
        tgt_type: str = "glob",
        kwarg: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run a function and wait: {id: return} of the minions that have returned."""
        jid = self.submit(tgt, fun, list(arg), kwarg or {}, tgt_type, timeout)
        return {line["id"]: line["return"] for line in self.follow(jid) if line["event"] == "ret"}

    def check_master(self) -> None:
        """Failure unless a master runs on this tree."""
        try:
            try:
                runs = locked(self.cache / ".lock")
            except PermissionError:
                runs = alive(self.cache / ".alive")
        except OSError:
            who = "run this as the master's user, or have publisher_acl name you"
            raise Failure(f"{self.cache} is closed to you: {who}.") from None
        if runs:
            return
        raise Failure(f"no master runs on {self.cache}: start one with `saltlite master -c {self.opts['conf_dir']}`.")

    def submit(
        self,
        tgt: str | list[str],
        fun: str | list[str],
        arg: list[Any],
        kwarg: dict[str, Any],
        tgt_type: str = "glob",
        timeout: float | None = None,
    ) -> str:
        """Put a request into jobs/new, by rename; gives its jid."""
        self.check_master()
        request: dict[str, Any] = {"fun": fun, "tgt": tgt, "tgt_type": tgt_type, "arg": arg, "user": caller()}
        if kwarg:
            request["kwarg"] = kwarg
        if timeout is not None:
            request["timeout"] = timeout
        now = time.time()
        while True:
            jid = jid_of(now)
            temporary = self.jobs / "new" / f".{jid}"
            try:
                fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                break
            except FileExistsError:
                now += 1e-6
            except OSError as error:
                raise Failure(f"{temporary.parent} does not take a job from you: {error.strerror}.") from None
        try:
            write_all(fd, to_json(request).encode("utf-8", "surrogateescape"))
            new = os.stat(self.jobs / "new")
            if os.geteuid() == 0 and new.st_uid:
                os.fchown(fd, new.st_uid, -1)  # root publishes through a master that is not root
            elif os.geteuid() != new.st_uid and os.fstat(fd).st_gid == new.st_gid:
                os.fchmod(fd, 0o640)  # so that such a master can read it: the group is its own
            os.rename(temporary, self.jobs / "new" / jid)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise Failure(f"the job could not be written: {error.strerror}.") from None
        finally:
            os.close(fd)
        return jid

    def follow(self, jid: str) -> Iterator[dict[str, Any]]:
        """The lines of a job's file as they come, `new` first, until its `end`; Failure if it was refused."""
        rest = b""
        with self._wait(jid) as file:
            pause, checked = 0.002, time.monotonic()
            while True:
                chunk = file.read(1 << 20)
                if not chunk:
                    if os.fstat(file.fileno()).st_nlink == 0:
                        raise Failure(f"job {jid} was cancelled: its file was removed from jobs/active.")
                    time.sleep(pause)
                    pause = min(pause * 1.2, 0.05)
                    if time.monotonic() - checked > 1:
                        checked = time.monotonic()
                        self._check_job(jid)
                    continue
                pause = 0.002
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    found = from_json(line)
                    yield found
                    if found["event"] == "end":
                        return

    def _places(self, jid: str) -> list[Path]:
        return [self.jobs / "active" / f"{jid}.jsonl", self.jobs / "done" / jid[:8] / f"{jid}.jsonl"]

    def _check_job(self, jid: str) -> None:
        """Failure if nothing can come any more: the file was taken away, or the master is gone."""
        if not any(place.exists() for place in self._places(jid)) and not self._places(jid)[1].exists():
            raise Failure(f"job {jid} was cancelled: its file was taken out of jobs/active.")
        try:
            self.check_master()
        except Failure as failure:
            raise Failure(f"{failure} Job {jid} goes on when it does.") from None

    def _wait(self, jid: str) -> io.FileIO:
        """The job's file, open, once the master has taken the request."""
        places = self._places(jid)
        why = self.jobs / "bad" / f"{jid}.why"
        began = asked = time.monotonic()
        closed = float("inf")
        while True:
            try:
                for place in places:  # it moves from one to the other
                    if place.exists():
                        return io.FileIO(place)
                if why.exists() and not (self.jobs / "new" / jid).exists():
                    raise Failure(why.read_text().strip(), EX_USAGE)
            except FileNotFoundError:
                continue
            except PermissionError as error:
                closed = min(closed, time.monotonic())
                if time.monotonic() - closed > CLOSED:
                    raise Failure(f"job {jid} is not yours to see: {error.filename} is closed to you.") from None
            if time.monotonic() - asked > 1:
                asked = time.monotonic()
                self.check_master()
            if time.monotonic() - began > 60:
                raise Failure(f"the master does not take {self.jobs / 'new' / jid}; it stays there.")
            time.sleep(0.002 if time.monotonic() - began < 0.2 else 0.02)
