"""The daemon of the minion: it stays in the foreground, and ends with SIGTERM or ^C."""

from __future__ import annotations

import argparse

from saltlite import Command, Minion, config_arguments, log_arguments, minion_id_of, packed_leaf

daemon = packed_leaf("commands", "master")


def main(args: argparse.Namespace) -> int:
    opts = daemon.daemon_opts("minion", args)
    opts["id"] = opts["__given__"]["id"] = minion_id_of(opts)
    return Minion(opts).run()


COMMAND = Command("run the minion", main, (config_arguments, log_arguments, daemon.daemon_arguments))
