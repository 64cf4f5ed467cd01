"""The person's side of a job: write jobs/new/JID, follow its file. No socket, no crypto, no msgpack."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from saltlite import EX_USAGE, JID, Failure, from_json, jid_of, load_opts, nearest, to_json, user_name, write_all


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


NO_RETURNERS = (
    "there are no returners: every return is in the job's file at the master. Leave --return out, or see --out-file."
)
REQUESTED = (  # what a request may have besides its function and target
    *("batch", "batch_wait", "canary", "max_errors", "failhard", "rate"),
    *("queue", "stream", "subset", "gather_job_timeout", "metadata"),
)
EX_UNAVAILABLE = 69  # no master runs here


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
RESTART = 5.0  # seconds that a master may be away while somebody waits for a job: it is started again, most likely


def returned(line: dict[str, Any], jid: str) -> dict[str, Any]:
    """A `ret` line as Salt's clients give it: {ret, retcode, success, jid}, and `out` where the minion named one."""
    found = {"ret": line["return"], "retcode": line.get("retcode", 0), "success": line.get("success", True)}
    return found | {"jid": jid} | ({"out": line["out"]} if "out" in line else {})


class LocalClient:
    """Publish jobs through the tree of the master whose configuration is in `conf_dir` (or is that file, as in Salt),
    and read what comes back. Signatures and shapes are those of salt.client.LocalClient.

    `LocalClient("/etc/salt").cmd("web*", "test.ping")` gives {id: return}. Raises Failure where nothing can be
    published: no master runs here, the target is malformed, the job is not yours to publish. Keywords that are no
    arguments of a method go into the request (see REQUESTED); what is none of these is a TypeError."""

    def __init__(self, conf_dir: str = "/etc/salt") -> None:
        path = Path(conf_dir)
        try:
            self.opts = load_opts("master", str(path.parent if path.name == "master" and path.is_file() else path))
        except Failure as failure:  # no job has failed
            raise Failure(str(failure), EX_USAGE) from None
        self.cache = Path(self.opts["cachedir"])
        self.jobs = self.cache / "jobs"

    # as Salt's

    def cmd(
        self,
        tgt: str | list[str],
        fun: str | list[str],
        arg: Iterable[Any] = (),
        timeout: float | None = None,
        tgt_type: str = "glob",
        ret: str = "",
        jid: str = "",
        full_return: bool = False,
        kwarg: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Run a function and wait: {id: return}, or with `full_return` {id: {ret, retcode, success, jid, out}}; of a
        minion that did not return False. {} where nobody matches."""
        job = self.run_job(tgt, fun, arg, tgt_type, ret, timeout, jid, kwarg, **kwargs)
        found = {line["id"]: returned(line, job["jid"]) for line in self._returns(job)}
        if not full_return:
            found = {minion_id: value["ret"] for minion_id, value in found.items()}
        return found | {minion_id: False for minion_id in job.get("minions", ()) if minion_id not in found}

    def cmd_iter(
        self,
        tgt: str | list[str],
        fun: str | list[str],
        arg: Iterable[Any] = (),
        timeout: float | None = None,
        tgt_type: str = "glob",
        ret: str = "",
        kwarg: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Iterator[dict[str, dict[str, Any]]]:
        """The same as returns come in, each as {id: {ret, retcode, success, jid, out}}. Of who does not return
        nothing, but with `expect_minions=True` {id: {"failed": True}} at the end."""
        expect_minions = kwargs.pop("expect_minions", False)
        job = self.run_job(tgt, fun, arg, tgt_type, ret, timeout, "", kwarg, **kwargs)
        missing = dict.fromkeys(job.get("minions", ()))
        for line in self._returns(job):
            missing.pop(line["id"], None)
            yield {line["id"]: returned(line, job["jid"])}
        for minion_id in missing if expect_minions else ():
            yield {minion_id: {"failed": True}}

    def cmd_iter_no_block(
        self,
        tgt: str | list[str],
        fun: str | list[str],
        arg: Iterable[Any] = (),
        timeout: float | None = None,
        tgt_type: str = "glob",
        ret: str = "",
        kwarg: dict[str, Any] | None = None,
        show_jid: bool = False,
        verbose: bool = False,
        **kwargs: Any,
    ) -> Iterator[dict[str, dict[str, Any]] | None]:
        """The same, and None in between, some times a second, while there is nothing."""
        job = self.run_job(tgt, fun, arg, tgt_type, ret, timeout, kwargs.pop("jid", ""), kwarg, **kwargs)
        for line in self.follow(job["jid"], tick=0.02) if job else ():
            if line is None or line["event"] == "ret":
                yield line and {line["id"]: returned(line, job["jid"])}

    def cmd_async(
        self,
        tgt: str | list[str],
        fun: str | list[str],
        arg: Iterable[Any] = (),
        tgt_type: str = "glob",
        ret: str = "",
        jid: str = "",
        kwarg: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> str | int:
        """Publish and do not wait: the jid, or 0 where nobody matches."""
        job = self.run_job(tgt, fun, arg, tgt_type, ret, kwargs.pop("timeout", None), jid, kwarg, **kwargs)
        return str(job["jid"]) if job else 0

    def cmd_batch(
        self,
        tgt: str | list[str],
        fun: str | list[str],
        arg: Iterable[Any] = (),
        tgt_type: str = "glob",
        ret: str = "",
        kwarg: dict[str, Any] | None = None,
        batch: int | str = "10%",
        **kwargs: Any,
    ) -> Iterator[dict[str, Any]]:
        """The returns of a job that the master begins on so many minions (a number, or per cent) at a time, each as
        {id: return} when it comes; with `raw=True` as {"data": {id, return, retcode, jid …}}."""
        raw, timeout = kwargs.pop("raw", False), kwargs.pop("timeout", None)
        kwargs["batch"] = int(batch) if str(batch).isdigit() else batch
        job = self.run_job(tgt, fun, arg, tgt_type, ret, timeout, "", kwarg, **kwargs)
        for line in self._returns(job):
            whole = {"data": {"jid": job["jid"]} | {key: value for key, value in line.items() if key != "event"}}
            yield whole if raw else {line["id"]: line["return"]}

    def cmd_subset(
        self,
        tgt: str | list[str],
        fun: str | list[str],
        arg: Iterable[Any] = (),
        tgt_type: str = "glob",
        ret: str = "",
        kwarg: dict[str, Any] | None = None,
        subset: int = 3,
        cli: bool = False,
        progress: bool = False,
        full_return: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any] | Iterator[dict[str, dict[str, Any]]]:
        """The same as `cmd` on so many of the minions, which the master draws; with `cli` as `cmd_iter`."""
        timeout = kwargs.pop("timeout", None)
        kwargs["subset"] = kwargs.pop("sub", subset)
        if cli:
            return self.cmd_iter(tgt, fun, arg, timeout, tgt_type, ret, kwarg, **kwargs)
        return self.cmd(tgt, fun, arg, timeout, tgt_type, ret, "", full_return, kwarg, **kwargs)

    def run_job(
        self,
        tgt: str | list[str],
        fun: str | list[str],
        arg: Iterable[Any] = (),
        tgt_type: str = "glob",
        ret: str = "",
        timeout: float | None = None,
        jid: str = "",
        kwarg: dict[str, Any] | None = None,
        listen: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Publish: {"jid": …, "minions": [who is expected]} once the master has taken it; {} where nobody matches."""
        if ret:
            raise Failure(NO_RETURNERS, EX_USAGE)
        for name in kwargs:
            if name in ("eauth", "token", "username", "password", "key"):
                raise Failure(f"{name}: who may publish is who may write into {self.jobs / 'new'}; leave it out.")
            if name not in REQUESTED:
                raise TypeError(f"{name!r} is no keyword of this method{nearest(name, REQUESTED)}")
        jid = self.submit(tgt, fun, list(arg), kwarg or {}, tgt_type, timeout, jid, **kwargs)
        minions = next(iter(self.follow(jid)))["minions"]
        return {"jid": jid, "minions": minions} if minions else {}

    def get_cache_returns(self, jid: str) -> dict[str, dict[str, Any]]:
        """What is in a job's file by now: {id: {ret, retcode, success, jid, out}}; {} if there is none."""
        found = {}
        for place in self._places(jid) if JID.fullmatch(jid) else ():
            with contextlib.suppress(FileNotFoundError), open(place, "rb") as file:
                for text in file:
                    with contextlib.suppress(ValueError):  # the last line may be half written
                        line = from_json(text)
                        if line["event"] == "ret":
                            found[line["id"]] = returned(line, jid)
        return found

    def _returns(self, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The `ret` lines of what `run_job` gave."""
        for line in self.follow(job["jid"]) if job else ():
            if line["event"] == "ret":
                yield line

    # the files

    def check_master(self) -> None:
        """Failure unless a master runs on this tree."""
        try:
            try:
                runs = locked(self.cache / ".lock")
            except PermissionError:
                runs = alive(self.cache / ".alive")
        except OSError:
            who = "run this as the master's user, or have publisher_acl name you"
            raise Failure(f"{self.cache} is closed to you: {who}.", EX_USAGE) from None
        if runs:
            return
        start = f"start one with `saltlite master -c {self.opts['conf_dir']}`"
        raise Failure(f"no master runs on {self.cache}: {start}.", EX_UNAVAILABLE)

    def submit(
        self,
        tgt: str | list[str],
        fun: str | list[str],
        arg: list[Any],
        kwarg: dict[str, Any],
        tgt_type: str = "glob",
        timeout: float | None = None,
        jid: str = "",
        **fields: Any,
    ) -> str:
        """Put a request into jobs/new, by rename; gives its jid, `jid` if it is given. `fields`: see REQUESTED."""
        self.check_master()
        request: dict[str, Any] = {"fun": fun, "tgt": tgt, "tgt_type": tgt_type, "arg": arg, "user": caller()}
        if kwarg:
            request["kwarg"] = kwarg
        if timeout is not None:
            request["timeout"] = timeout
        request |= {name: value for name, value in fields.items() if value is not None}
        if jid and not JID.fullmatch(jid):
            raise Failure(f"{jid!r} is no jid: 20 digits are one, such as {jid_of(time.time())}.", EX_USAGE)
        with self._new() as directory:
            jid, fd = self._new_file(jid, directory)
            try:
                write_all(fd, to_json(request).encode("utf-8", "surrogateescape"))
                new = os.fstat(directory)
                if os.geteuid() == 0 and new.st_uid:
                    os.fchown(fd, new.st_uid, -1)  # root publishes through a master that is not root
                elif os.geteuid() != new.st_uid and os.fstat(fd).st_gid == new.st_gid:
                    os.fchmod(fd, 0o640)  # so that such a master can read it: the group is its own
                os.rename(f".{jid}", jid, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError as error:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f".{jid}", dir_fd=directory)
                raise Failure(f"the job could not be written: {error.strerror}.") from None
            finally:
                os.close(fd)
        return jid

    def _closed(self, error: OSError) -> Failure:
        """The sentence about a jobs/new that cannot be written to."""
        new = self.jobs / "new"
        if error.errno == errno.ENOENT:
            return Failure(f"{new} is gone, so this master takes no jobs: start it again, and it is made anew.")
        return Failure(f"{new} does not take a job from you: {error.strerror}.")

    @contextlib.contextmanager
    def _new(self) -> Iterator[int]:
        """jobs/new, open: if it is the master's user's, that user may put a link in its place at any moment, and root
        gives away what it makes there."""
        try:
            directory = os.open(self.jobs / "new", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._closed(error) from None
        try:
            yield directory
        finally:
            os.close(directory)

    def _new_file(self, wanted: str, directory: int) -> tuple[str, int]:
        """A dot-name in jobs/new that is ours: its jid, and the file open to be written."""
        now = time.time()
        while True:
            jid = wanted or jid_of(now)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            try:
                return jid, os.open(f".{jid}", flags, 0o600, dir_fd=directory)
            except FileExistsError:
                if wanted:
                    raise Failure(f"the jid {jid} is taken.") from None
                now += 1e-6
            except OSError as error:
                raise self._closed(error) from None

    def follow(self, jid: str, tick: float = 0) -> Iterator[Any]:
        """The lines of a job's file as they come, `new` first, until its `end`; Failure if it was refused. With `tick`
        also None, when nothing has come for so many seconds."""
        rest = b""
        with self._wait(jid) as file:
            pause, checked = 0.002, time.monotonic()
            told = seen = checked
            while True:
                chunk = file.read(1 << 20)
                if not chunk:
                    if os.fstat(file.fileno()).st_nlink == 0:
                        raise Failure(f"job {jid} was cancelled: its file was removed from jobs/active.")
                    time.sleep(pause)
                    pause = min(pause * 1.2, tick or 0.05, 0.05)
                    if tick and time.monotonic() - told >= tick:
                        told = time.monotonic()
                        yield None
                    if time.monotonic() - checked > 1:
                        checked = time.monotonic()
                        seen = self._check_job(jid, seen)
                    continue
                pause = 0.002
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    found = from_json(line)
                    yield found
                    if found["event"] in ("end", "cancelled"):
                        return

    def _places(self, jid: str) -> list[Path]:
        return [self.jobs / "active" / f"{jid}.jsonl", self.jobs / "done" / jid[:8] / f"{jid}.jsonl"]

    def _seen(self, before: float) -> float:
        """When a master was last seen to run: now, or `before`; Failure if that is longer ago than RESTART seconds."""
        now = time.monotonic()
        try:
            self.check_master()
        except Failure:
            if now - before > RESTART:
                raise
            return before
        return now

    def _check_job(self, jid: str, seen: float) -> float:
        """Failure if nothing can come any more: the file was taken away, or the master, last seen then, is gone. Gives
        when it was seen."""
        if not any(place.exists() for place in self._places(jid)) and not self._places(jid)[1].exists():
            raise Failure(f"job {jid} was cancelled: its file was taken out of jobs/active.")
        try:
            return self._seen(seen)
        except Failure as failure:
            raise Failure(f"{failure} Job {jid} goes on when it does.", failure.exit_code) from None

    def _wait(self, jid: str) -> io.FileIO:
        """The job's file, open, once the master has taken the request."""
        places = self._places(jid)
        why = self.jobs / "bad" / f"{jid}.why"
        began = asked = seen = time.monotonic()
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
                seen = self._seen(seen)
            if time.monotonic() - began > 60:
                raise Failure(f"the master does not take {self.jobs / 'new' / jid}; it stays there.")
            time.sleep(0.002 if time.monotonic() - began < 0.2 else 0.02)
