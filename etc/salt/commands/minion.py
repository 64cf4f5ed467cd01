"""The daemon of the minion: it stays in the foreground, and ends with SIGTERM or ^C."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from saltlite import Command, Failure, Minion, config_arguments, find_id, log, log_arguments, packed_leaf, put

daemon = packed_leaf("commands", "master")


def minion_id_of(opts: dict[str, Any]) -> str:
    """The id, written to minion_id when no option gives it."""
    found = find_id(opts)
    path = Path(opts["conf_dir"]) / "minion_id"
    if opts["minion_id_caching"] and not opts["id"] and not path.exists():
        try:
            put(path, found, 0o644)
        except OSError as error:
            raise Failure(f"{path} cannot be written: {error.strerror}.") from None
    return found


def main(args: argparse.Namespace) -> int:
    opts = daemon.daemon_opts("minion", args)
    opts["id"] = opts["__given__"]["id"] = minion_id_of(opts)
    if opts["file_client"] == "local":
        log.error(
            "file_client: local holds for `call` only: what a master runs here has the master's files and pillar."
        )
    return Minion(opts).run()


COMMAND = Command("run the minion", main, (config_arguments, log_arguments, daemon.daemon_arguments))
