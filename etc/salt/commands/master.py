"""The daemon of the master: it stays in the foreground, and ends with SIGTERM or ^C. What both daemons need is here."""

from __future__ import annotations

import argparse
import os
from typing import Any

from saltlite import (
    EX_USAGE,
    Command,
    Failure,
    Master,
    config_arguments,
    harden,
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
    return opts


def main(args: argparse.Namespace) -> int:
    return Master(daemon_opts("master", args)).run()


COMMAND = Command("run the master", main, (config_arguments, log_arguments, daemon_arguments))
