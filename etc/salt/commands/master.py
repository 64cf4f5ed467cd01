"""The daemon of the master: it stays in the foreground, and ends with SIGTERM or ^C. What both daemons need is here."""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from typing import Any

from saltlite import (
    EX_USAGE,
    Command,
    Failure,
    Master,
    config_arguments,
    load_opts,
    log,
    log_arguments,
    options_of,
    setup_log,
)


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


def daemon_opts(role: str, args: argparse.Namespace) -> dict[str, Any]:
    """The options of a daemon, with its log set up and its configuration's warnings said."""
    if args.daemon:
        raise Failure("saltlite stays in the foreground: let systemd, runit or `&` put it behind.", EX_USAGE)
    given = {"log_level": level_of(args)} if args.log_level else {}
    opts = load_opts(role, args.config_dir, given) | {"__given__": given}
    setup_log(opts["log_level"])
    for warning in opts["__warnings__"]:
        log.warning("%s", warning)
    if not os.path.exists(path := os.path.join(opts["conf_dir"], role)):
        log.warning("there is no %s: every option has its default, but for those in %s.d", path, role)
    opts["__limits__"] = harden()
    signal.signal(signal.SIGUSR1, say_where)
    return opts


def main(args: argparse.Namespace) -> int:
    return Master(daemon_opts("master", args)).run()


COMMAND = Command("run the master", main, (config_arguments, log_arguments, daemon_arguments))
