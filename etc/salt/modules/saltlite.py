"""This minion's own program: its version, and another one in its place.

An update is on trial until the new program has reached the master; terminal/trial.py has the table of its steps. The
job lasts as long as the trial, so its return says how that has ended."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from saltlite import VERSION, CommandExecutionError, Execution, packed_leaf, printable, with_minion

trial = packed_leaf("terminal", "trial")
locked = packed_leaf("clients", "LocalClient").locked

SPOKEN = re.compile(r"saltlite (\S+) \(speaks as Salt \S+\)\n?")  # what --version says
RUN_SECONDS = 60  # for a program to say that, or to look at the configuration: it is unpacked for that


@with_minion
def version(minion: Execution):
    """The version of saltlite that this minion runs.

    CLI Example: salt '*' saltlite.version"""
    return VERSION


def _said(*command: str) -> str:
    """What a program says on stdout; CommandExecutionError if it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=RUN_SECONDS, check=False, text=True
        )
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise CommandExecutionError(f"The new program cannot be run, so nothing was replaced: {error}.") from None
    if done.returncode:
        words = printable(
            (done.stderr or done.stdout).strip().splitlines()[-1:][0] if done.stderr or done.stdout else ""
        )
        raise CommandExecutionError(f"The new program does not work here, so nothing was replaced: {words}")
    return done.stdout


def _fetched(minion: Execution, source: str, digest: str, home: Path, saltenv: str | None) -> Path:
    """Steps 1 and 2: the new program, which has the hash."""
    new = home / "new"
    place = minion.functions["cp.get_file"](source, str(new), saltenv) if source.startswith("salt://") else ""
    if not place or not new.is_file():
        raise CommandExecutionError(f"{source} is not there: the new program is a file of the master's, salt://….")
    if (found := trial.hash_of(new)) != digest:
        raise CommandExecutionError(f"{source} has the SHA256 {found}, and not {digest}: nothing was replaced.")
    new.chmod(0o700)
    return new


def _minion_pid(minion: Execution) -> int:
    """The process of the minion, 0 if none runs."""
    path = minion.tree.cache / ".lock"
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text()) if locked(path) else 0
    return 0


def _outcome(minion: Execution, home: Path) -> dict[str, Any]:
    """Wait until the trial is over: the state then, `trying` if nobody has ended it."""
    end, seen = time.monotonic() + trial.SECONDS + trial.GRACE, time.monotonic()
    while True:
        state = trial.state_of(home)
        if state.get("state") != trial.TRYING or time.monotonic() > end:
            return state
        seen = time.monotonic() if _minion_pid(minion) else seen
        if time.monotonic() - seen > trial.NOBODY:
            return state
        time.sleep(0.1)


def _rescue(minion: Execution, home: Path, state: dict[str, Any]) -> None:
    """Step 10: the new program does nothing of itself. The old one comes back, and the minion with it."""
    trial.go_back(home, state, "it did not even come to try" if not _minion_pid(minion) else "it does not answer")
    pid = _minion_pid(minion)
    for number in (signal.SIGTERM, signal.SIGKILL) if pid else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        until = time.monotonic() + trial.NOBODY
        while _minion_pid(minion) == pid and time.monotonic() < until:
            time.sleep(0.1)
    until = time.monotonic() + trial.SUPERVISOR
    while not _minion_pid(minion) and time.monotonic() < until:
        time.sleep(0.1)
    if not _minion_pid(minion):
        null = subprocess.DEVNULL
        subprocess.Popen(
            state["argv"], cwd=state["cwd"], stdin=null, stdout=null, stderr=null, start_new_session=True, umask=0o022
        )


@with_minion
def update(minion: Execution, source, hash, version=None, saltenv=None):
    """Replace this minion's program, one file, by one of the master's; if the new one has not reached the master within
    60 s the old one comes back. `hash` is its SHA256 in hexadecimal digits, `version` what its --version has to say.

    Gives {result, comment, from, to}, once it is clear how it has ended.

    CLI Example: salt '*' saltlite.update salt://saltlite.pyz hash=9f86d081884c7d65…"""
    program, home, digest = trial.program(), trial.home_of(minion.opts), str(hash).lower().removeprefix("sha256=")
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise CommandExecutionError(
            "hash must be the SHA256 of the new file: 64 hexadecimal digits, or sha256= and these."
        )
    if not program:
        raise CommandExecutionError("This minion runs from a checkout, and not from one file: update that.")
    if minion.local:
        raise CommandExecutionError("There is no master to reach with --local, so nobody could say that it works.")
    if not os.access(os.path.dirname(program), os.W_OK):
        raise CommandExecutionError(f"{program} cannot be replaced by this minion's user.")
    if not _minion_pid(minion):
        raise CommandExecutionError("No minion runs here; it is the running one that is updated.")
    told = {"from": VERSION, "to": VERSION}
    if trial.hash_of(program) == digest:
        return {"result": True, "comment": f"{program} is this program already.", **told}
    if trial.state_of(home).get("state") == trial.TRYING and trial.hash_of(program) == trial.state_of(home)["new"]:
        raise CommandExecutionError("Another update is on trial; wait for its end.")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(0o700, parents=True)
    try:
        new = _fetched(minion, str(source), digest, home, saltenv)
        spoken = SPOKEN.fullmatch(_said(sys.executable, "-I", str(new), "--version"))
        if not spoken or version and spoken[1] != str(version):
            what = f"is saltlite {spoken[1]}, and not {version}" if spoken else "is no saltlite"
            raise CommandExecutionError(f"{source} {what}: nothing was replaced.")
        _said(sys.executable, "-I", str(new), "minion", "-c", minion.opts["conf_dir"], "--check")
        shutil.copyfile(program, home / "old")
        state = {"state": trial.TRYING, "program": program, "old": trial.hash_of(program), "new": digest, "starts": 0}
        state |= told | {"to": spoken[1], "jid": minion.jid, "cwd": os.getcwd()}
        trial.note(home, state | {"argv": [sys.executable, *sys.orig_argv[1:]]})
        trial.place(new, program)
        if pid := _minion_pid(minion):
            os.kill(pid, signal.SIGUSR2)
        state = _outcome(minion, home)
        if state.get("state") == trial.TRYING:
            _rescue(minion, home, state)
            state = trial.state_of(home)
    except OSError as error:
        raise CommandExecutionError(f"The update stops here: {error}.") from None
    finally:
        if trial.state_of(home).get("state") != trial.TRYING:
            shutil.rmtree(home, ignore_errors=True)
    well = state.get("state") == trial.REACHED
    comment = (
        f"{program} is saltlite {state['to']} now."
        if well
        else f"{program} is saltlite {VERSION} again: {state.get('why')}."
    )
    return {"result": well, "comment": comment, "from": VERSION, "to": state["to"] if well else VERSION}
