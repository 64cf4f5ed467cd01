"""The daemon of the master: it stays in the foreground, and ends with SIGTERM or ^C."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saltlite import Command, Master, config_arguments, daemon_arguments, daemon_opts, log_arguments

if TYPE_CHECKING:
    import argparse


def main(args: argparse.Namespace) -> int:
    opts = daemon_opts("master", args)
    return Master(opts).run()


COMMAND = Command("run the master", main, (config_arguments, log_arguments, daemon_arguments))
