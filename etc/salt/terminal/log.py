"""Where a daemon's log goes: stderr, and a file with `log_file`.

A record is one line, whatever bytes it quotes, and a flood of one kind is counted: who can make us log cannot make the
log unreadable, nor fill the disk with it. Where stderr is the journal, which knows the time itself, a line begins with
its priority, `<4>` say, as sd-daemon(3) has it, and bears no time and no level."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saltlite import Failure, make_parents, packed_leaf, printable

ways = packed_leaf("terminal", "ways")

PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))  # syslog's
LEVELS = {"trace": "DEBUG", "garbage": "DEBUG", "all": "DEBUG", "profile": "INFO"}  # Salt's that logging has not
QUIET = 100  # above all levels
PLAIN = "%(asctime)s [%(levelname)-8s] %(message)s"


class FloodGate:
    """A log filter: of one kind of message, ten a second pass; the rest are counted and the count is told."""

    MOST = 10

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is let through."""
        second, count = self._seen.get(str(record.msg), (0, 0))
        if second != int(record.created):
            if count > self.MOST:
                record.msg = f"{record.msg} (and {count - self.MOST} more such messages before)"
            if len(self._seen) > 1000:
                self._seen.clear()
            second, count = int(record.created), 0
        key = str(record.msg).partition(" (and ")[0]
        self._seen[key] = (second, count + 1)
        return count < self.MOST


class OneLine(logging.Formatter):
    """A record as one line, and a traceback as lines without controls."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return "\n".join(map(printable, super().formatException(ei).splitlines()))


class ForJournal(OneLine):
    """The same for the journal, to which each line of a traceback is an entry, and has to bear the priority."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next(number for level, number in PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def is_journal(fd: int) -> bool:
    """Whether a descriptor is the stream that systemd has connected to the journal, which JOURNAL_STREAM names."""
    with contextlib.suppress(OSError):
        info = os.fstat(fd)
        return os.environ.get("JOURNAL_STREAM") == f"{info.st_dev}:{info.st_ino}"
    return False


def level_number(level: str) -> int:
    """logging's number for one of Salt's levels."""
    return QUIET if level == "quiet" else int(logging.getLevelName(LEVELS.get(level, level.upper())))


def to_stderr(level: str, own: bool = False) -> logging.Handler:
    """What writes to stderr, as this process has it now; with `own` also where a child has another one later: what a
    job's process, whose stderr is nothing, has to say of grains, the mine or a site's modules is in the log too."""
    stream = None
    with contextlib.suppress(OSError):  # it is closed
        stream = open(os.dup(2), "w", encoding="utf-8", errors="backslashreplace") if own else None
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ForJournal("%(message)s") if is_journal(2) else OneLine(PLAIN))
    handler.setLevel(level_number(level))
    return handler


def opened(path: Path, user: str) -> int:
    """The file, open to append. Root opens it with the rights of the `user` that the daemon is going to be, if others
    than root could lead its name elsewhere; else it is made by root, and given to that user. OSError, Failure."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
    entry = None
    with contextlib.suppress(KeyError):  # `become` says that there is no such user
        entry = pwd.getpwnam(user) if user and os.geteuid() == 0 else None
    if not entry or not entry.pw_uid:
        return os.open(path, flags, 0o640)
    *through, _ = ways.way_to(os.path.abspath(path))
    if not any(map(ways.loose, through)):
        fd = os.open(path, flags, 0o640)
        info = os.fstat(fd)
        if stat.S_ISFIFO(info.st_mode) or stat.S_ISREG(info.st_mode) and info.st_nlink == 1:
            os.fchown(fd, entry.pw_uid, -1)
        return fd
    with ways.rights_of(entry.pw_uid, entry.pw_gid, os.getgrouplist(user, entry.pw_gid)):
        return os.open(path, flags, 0o640)


def to_file(path: Path, level: str, user: str) -> logging.Handler:
    """What writes to a file, which is made if it is not there, and is `user`'s if root makes it, as is a directory made
    for it: there he makes the next one, when logrotate has renamed this. Raises Failure."""
    try:
        made = not path.parent.exists()
        make_parents(path)
        if made and user and os.geteuid() == 0:
            with contextlib.suppress(KeyError):
                os.chown(path.parent, pwd.getpwnam(user).pw_uid, -1)
        fd = opened(path, user)
        stream = open(fd, "a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        whom = f" by {user}" if user and os.geteuid() == 0 else ""
        raise Failure(f"log_file: {path} cannot be opened{whom}: {error.strerror}.") from None
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLine(PLAIN))
    handler.setLevel(level_number(level))
    return handler


def set_up(opts: Mapping[str, Any]) -> None:
    """Log as the options say; at SIGHUP once more, which opens the file by its name again, for logrotate has renamed
    it. `__behind__`: nobody reads stderr. Failure if the file cannot be opened; then all stays as it was."""
    path, logger = opts.get("log_file", ""), logging.getLogger("saltlite")
    if "://" in path:
        raise Failure(f"log_file: {path} is not supported: name a file; for syslog, leave stderr to systemd's journal.")
    file_level = opts.get("log_level_logfile") or opts["log_level"]
    handlers = [to_file(Path(path), file_level, opts["user"])] if path else []
    handlers += [] if opts.get("__behind__") else [to_stderr(opts["log_level"], bool(opts.get("__daemon__")))]
    former, logger.handlers[:] = logger.handlers[:], handlers
    for handler in former:
        stream = getattr(handler, "stream", None)
        if stream not in (None, sys.stderr):
            stream.close()
    logger.filters[:] = [FloodGate()]  # of the logger, for it counts a record once
    logger.propagate = False
    logger.setLevel(min((handler.level for handler in handlers), default=QUIET))
    root = logging.getLogger()  # of a site's modules, and of libraries: what they warn of
    root.handlers[:] = [handler for handler in root.handlers if handler not in former] + handlers
    root.setLevel(max(logging.WARNING, logger.level))
