"""The tree, open to the users of publisher_acl as far as they need it, and no further.

While the option names somebody, a local user can pass through the directories of jobs without listing them, and put a
request into jobs/new, where nobody can touch another's file (sticky). His requests have the group of the directory, so
that a master that is not root can read them. What he may read beyond that are files that say so one by one (`permit`):
his jobs' and the reasons of his refusals, whatever jids others guess. `.alive` is a pipe that he may open for writing;
that fails where no master has it open for reading, so he sees whether one runs, and holds no lock to see it.

What is opened is closed again when the option is empty; where the operator has set other modes, they stay his."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Any

from saltlite import Master, log

PASS, DROP = 0o711, 0o3733  # what the directories have that are passed through, and jobs/new
CLOSED = 0o700


class Watcher:
    """Opens and closes; `told` nothing."""

    def __init__(self, master: Master) -> None:
        self.opts, self.cache = master.opts, master.tree.cache
        self._alive = -1
        self.reload()

    def reload(self) -> None:
        """Open the tree, or close it, as the option says now."""
        try:
            self._open() if self.opts["publisher_acl"] else self._close()
        except OSError as error:
            log.error("%s cannot be opened to the users of publisher_acl: %s", error.filename, error.strerror)

    def told(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        """Nothing follows from an event."""

    def stop(self) -> None:
        """The master ends."""
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1

    def _ways(self) -> list[Path]:
        jobs = self.cache / "jobs"
        return [self.cache, jobs, jobs / "active", jobs / "bad", jobs / "done", *(jobs / "done").iterdir()]

    def _open(self) -> None:
        for path in self._ways():
            mode = stat.S_IMODE(os.stat(path).st_mode)
            if mode | PASS != mode:
                os.chmod(path, mode | PASS)
        new = self.cache / "jobs/new"
        os.chown(new, -1, os.getegid())
        os.chmod(new, stat.S_IMODE(os.stat(new).st_mode) | DROP)
        if self._alive < 0:
            pipe = self.cache / ".alive"
            with contextlib.suppress(FileNotFoundError):
                pipe.unlink()
            os.mkfifo(pipe, 0o600)
            self._alive = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            os.chmod(pipe, 0o622)

    def _close(self) -> None:
        self.stop()
        for path, mode in [(self.cache / "jobs/new", DROP), *((path, PASS) for path in self._ways())]:
            if stat.S_IMODE(os.stat(path).st_mode) == mode:
                os.chmod(path, CLOSED)
        with contextlib.suppress(FileNotFoundError):
            (self.cache / ".alive").unlink()
