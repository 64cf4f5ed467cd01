"""The daemon of the minion: it stays in the foreground, and ends with SIGTERM or ^C."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from saltlite import Command, Failure, Minion, config_arguments, find_id, log, log_arguments, packed_leaf, put

daemon = packed_leaf("commands", "master")

LIFETIME = 36500  # days that no minion runs: what runs at the start does not run again


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


def startup(opts: dict[str, Any]) -> dict[str, Any]:
    """startup_states as an entry of the schedule, {} without. Failure if what it needs is empty."""
    kind = opts["startup_states"]
    needed = {"sls": "sls_list", "top": "top_file"}.get(kind, "")
    if needed and not opts[needed]:
        raise Failure(f"startup_states: {kind} applies what {needed} says, which is empty: set it too.")
    args = [opts[needed]] if needed else []
    entry = {"function": f"state.{kind}", "args": args, "run_on_start": True, "days": LIFETIME}
    return {"__startup_states": entry} if kind else {}


def main(args: argparse.Namespace) -> int:
    opts = daemon.daemon_opts("minion", args)
    opts["id"] = opts["__given__"]["id"] = minion_id_of(opts)
    if opts["file_client"] == "local":
        log.error(
            "file_client: local holds for `call` only: what a master runs here has the master's files and pillar."
        )
    opts["schedule"] = opts["schedule"] | startup(opts)
    return Minion(opts).run()


COMMAND = Command("run the minion", main, (config_arguments, log_arguments, daemon.daemon_arguments))
