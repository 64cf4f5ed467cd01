"""A minion's new program on trial: `saltlite.update` replaces the file, and this goes back to the old one by itself.

The state is CACHE/update. A crash after each step, and who goes on then:

    step                                      what is there             after a crash
    1. fetch, compare the hash                update/new                nothing has changed; the next update begins anew
    2. run it: --version, minion --check      update/new                the same
    3. keep the old program                   + update/old              the same
    4. note what is going to happen           + update/state: trying    the same: the program is still the old one
    5. rename the new program into place      program = new             the next start is the new one, see 7
    6. SIGUSR2: the minion is run anew        program = new             the same
    7. the new one starts, STARTS at most     starts + 1                the next start is one more, or goes back
    8. the master is reached                  state: reached            all is done; the job says so, and clears up
    9. or it is not, within SECONDS           program = old by one rename, state: back; then run anew
   10. the job that waits for 8 or 9 finds neither, for the new program cannot even start: it does 9 itself, ends what
       hangs, and starts the minion where nobody else does

The state names both programs by their hashes, so a start compares what is there with what was meant."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from saltlite import CONNECTED, Minion, log, put, read

SECONDS = 60.0  # for a new program to reach the master
GRACE = 10.0  # seconds beyond that, in which it may go back by itself
NOBODY = 5.0  # seconds without a minion, after which it is said to have ended
SUPERVISOR = 15.0  # seconds for systemd, or another, to start the old one
STARTS = 3  # of a new program that has not reached the master
MAX_STATE = 1 << 16  # bytes
TRYING, REACHED, BACK = "trying", "reached", "back"


def program() -> str:
    """The one file that this process runs, "" if it runs from a checkout."""
    archive = getattr(sys.modules.get("__main__"), "ARCHIVE", "")
    return os.path.realpath(archive) if archive else ""


def hash_of(path: Path | str) -> str:
    """The SHA256 of a file in hexadecimal digits; raises OSError."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def home_of(opts: Mapping[str, Any]) -> Path:
    return Path(opts["cachedir"]) / "update"


def state_of(home: Path) -> dict[str, Any]:
    """What was noted of the trial under way, {} if there is none."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(read(home / "state", MAX_STATE))
        return found if isinstance(found, dict) else {}
    return {}


def note(home: Path, state: Mapping[str, Any]) -> None:
    """Write the state, durably; raises OSError."""
    put(home / "state", json.dumps(state) + "\n")


def place(source: Path, target: str) -> None:
    """Make the program `target` what `source` holds, by one rename; owner and mode stay. Raises OSError."""
    before = os.stat(target)
    path = Path(target)
    temporary = path.parent / f".{path.name}.new"
    temporary.unlink(missing_ok=True)
    shutil.copyfile(source, temporary)
    os.chmod(temporary, stat.S_IMODE(before.st_mode))
    os.chown(temporary, before.st_uid, before.st_gid)
    for each in (temporary, path.parent):
        if each == path.parent:
            os.rename(temporary, path)
        fd = os.open(each, os.O_RDONLY | os.O_CLOEXEC)
        os.fsync(fd)
        os.close(fd)


def go_back(home: Path, state: Mapping[str, Any], why: str) -> None:
    """The old program is the program again. Raises OSError."""
    place(home / "old", state["program"])
    note(home, {**state, "state": BACK, "why": why})
    log.error("the program is %s again, and not %s: %s", state["from"], state["to"], why)


def watch(minion: Minion, opts: Mapping[str, Any], renew: Callable[[], None]) -> None:
    """At the start of a minion: if this is a program on trial, see whether it reaches the master, and go back if not;
    `renew` has the program that is there then run."""
    home = home_of(opts)
    state = state_of(home)
    if state.get("state") != TRYING or not (running := program()) or hash_of(running) != state["new"]:
        return
    state["starts"] = state.get("starts", 0) + 1
    deadline = time.monotonic() + SECONDS

    def back(why: str) -> None:
        try:
            go_back(home, state, why)
        except OSError as error:
            log.error("the old program cannot be put back: %s", error)
        else:
            renew()

    def look() -> None:
        if any(link.protocol.state == CONNECTED and link.up for link in minion.links):
            minion.loop.cancel("trial")
            note(home, {**state, "state": REACHED})
            log.info("saltlite %s has reached the master, and stays", state["to"])
            minion.loop.every("trial", 0.5, finish)
        elif time.monotonic() > deadline:
            minion.loop.cancel("trial")
            back(f"it has not reached the master within {SECONDS:.0f} s")

    def finish() -> None:
        """The job that has asked for the update clears up last, and its return is to go out soon."""
        if not home.exists() or time.monotonic() > deadline:
            minion.loop.cancel("trial")
            minion.loop.at("trial is over", 0.5, minion.look)

    if state["starts"] > STARTS:
        minion.loop.at("trial", 0, lambda: back(f"it was started {STARTS} times without reaching the master"))
        return
    note(home, state)
    minion.loop.every("trial", 0.25, look)
