"""The daemon of the master: it stays in the foreground, and ends with SIGTERM or ^C. What both daemons need is here."""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import resource
import signal
import stat
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from saltlite import (
    EX_USAGE,
    Command,
    Failure,
    Master,
    load_opts,
    log,
    options_of,
    packed_leaf,
    say_warnings,
    setup_log,
    user_name,
)

terminal = packed_leaf("terminal", "text")


def level_of(args: argparse.Namespace) -> str:
    """The level that -l names; Failure if it is none."""
    level = str(args.log_level).lower()
    kind = options_of("minion")["log_level"].kind
    if not kind.right(level):
        raise Failure(f"-l {level}: the level is {kind.wanted}.", EX_USAGE)
    return level


def daemon_arguments(parser: argparse.ArgumentParser) -> None:
    """-d, to be refused with a sentence that says what to use instead."""
    parser.add_argument("-d", "--daemon", action="store_true", help=argparse.SUPPRESS)


def harden() -> tuple[int, tuple[int, int], tuple[int, int]]:
    """For a daemon: no core files, which would hold keys; as many connections as the system allows; files that nobody
    else can read. Gives what was before, umask, core and open files, which is what a job's child gets back."""
    core, files = resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, core[1]))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    return os.umask(0o077), core, files


def say_where(number: int, frame: Any) -> None:
    """SIGUSR1: write down where the program is, at the terminal or into a file of the temporary directory; go on."""
    text = f"{time.ctime()}, process {os.getpid()}\n{''.join(traceback.format_stack(frame))}"
    if sys.stderr.isatty():
        print(text, file=sys.stderr)
        return
    path = f"{tempfile.gettempdir()}/salt-debug-{int(time.time())}-{os.getpid()}.log"
    with contextlib.suppress(OSError):  # there is one already, or no room
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)


def check_owners(opts: dict[str, Any]) -> None:
    """Failure where somebody else could change what the daemon reads, or what it believes: the configuration, the keys,
    the cache, or a directory above them. `/` is not looked at, nor what a user has who has called sudo."""
    role, conf = opts["role"], opts["conf_dir"]
    ours = {0, os.geteuid(), int(os.environ.get("SUDO_UID") or 0)}
    with contextlib.suppress(KeyError):
        ours.add(pwd.getpwnam(opts["user"]).pw_uid)
    keys = [f"{opts['pki_dir']}/{name}" for name in ("master.pem", "master_sign.pem", "minion.pem")]
    paths = {os.path.realpath(path) for path in (f"{conf}/{role}", f"{conf}/{role}.d", opts["cachedir"], *keys)}
    parents = {str(parent) for each in paths for parent in Path(each).parents}
    for path in sorted(paths | parents - {"/"}):
        with contextlib.suppress(OSError):  # what is not there will be made
            info = os.stat(path)
            if info.st_uid not in ours:
                owner = user_name(info.st_uid)
                raise Failure(f"{path} belongs to {owner}, who could change what the {role} does: chown it first.")
            sticky = stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX
            if info.st_mode & stat.S_IWOTH and not sticky:
                raise Failure(f"{path} can be written by everybody: `chmod o-w {path}` first.")
            if info.st_mode & stat.S_IWGRP and not sticky and info.st_gid not in (0, *os.getgroups(), os.getegid()):
                raise Failure(f"{path} can be written by another group: `chmod g-w {path}` first.")


def daemon_opts(role: str, args: argparse.Namespace) -> dict[str, Any]:
    """The options of a daemon, with its log set up and its configuration's warnings said."""
    if args.daemon:
        raise Failure("saltlite stays in the foreground: let systemd, runit or `&` put it behind.", EX_USAGE)
    given = {"log_level": level_of(args)} if args.log_level else {}
    opts = load_opts(role, args.config_dir, given) | {"__given__": given}
    setup_log(opts["log_level"])
    say_warnings(opts)
    if not os.path.exists(path := os.path.join(opts["conf_dir"], role)):
        log.warning("there is no %s: every option has its default, but for those in %s.d", path, role)
    check_owners(opts)
    opts["__limits__"] = harden()
    signal.signal(signal.SIGUSR1, say_where)
    return opts


def main(args: argparse.Namespace) -> int:
    return Master(daemon_opts("master", args)).run()


COMMAND = Command("run the master", main, (terminal.config_arguments, terminal.log_arguments, daemon_arguments))
