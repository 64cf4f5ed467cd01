"""The daemon of the minion: it stays in the foreground, and ends with SIGTERM or ^C."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saltlite import Command, Minion, config_arguments, daemon_arguments, daemon_opts, log_arguments, minion_id_of

if TYPE_CHECKING:
    import argparse


def main(args: argparse.Namespace) -> int:
    opts = daemon_opts("minion", args)
    opts["id"] = opts["__given__"]["id"] = minion_id_of(opts)
    return Minion(opts).run()


COMMAND = Command("run the minion", main, (config_arguments, log_arguments, daemon_arguments))
