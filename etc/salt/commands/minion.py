"""The daemon of the minion: it stays in the foreground but with -d, and ends with SIGTERM or ^C."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saltlite import (
    Command,
    Failure,
    Minion,
    log,
    packed_leaf,
    put,
    valid_id,
)

daemon = packed_leaf("commands", "master")

LIFETIME = 36500  # days that no minion runs: what runs at the start does not run again


def host_name() -> str:
    """This host's name, with its domain when /etc/hosts knows one."""
    name = os.uname().nodename
    if "." in name or not name:
        return name or "localhost"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in Path("/etc/hosts").read_text().splitlines():
            words = line.partition("#")[0].split()[1:]
            full = [word for word in words if word.startswith(f"{name}.")]
            if name in words and full and not full[0].endswith(".localdomain"):
                return full[0]
    return name


def find_id(opts: Mapping[str, Any]) -> str:
    """The minion's id: `id`, else minion_id, else the host's own name, found without asking DNS. Raises Failure.

    Never a name that DNS gives: a machine whose DNS is down, or is somebody else's, must stay who it is."""
    given, remove = opts["id"], opts["minion_id_remove_domain"]
    path = Path(opts["conf_dir"]) / "minion_id"
    where = "the option id"
    if not given and opts["minion_id_caching"] and path.exists():
        where = str(path)
        try:
            given = (path.read_text(encoding="utf-8-sig").splitlines() or [""])[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"{path} cannot be read: {error}.") from None
    if not given and opts.get("id_function"):
        raise Failure("id_function is not supported: write the id into the option id, or into minion_id.")
    if not given:
        where, given = "the host name", host_name()
        given = given.lower() if opts["minion_id_lowercase"] else given
        if remove is True:
            given = given.partition(".")[0]
        elif remove and given.lower().endswith(f".{remove.lower()}"):
            given = given[: -len(remove) - 1]
    if opts["append_domain"] and not given.endswith((opts["append_domain"], ".")):
        given = f"{given}.{opts['append_domain'].lstrip('.')}"
    if not valid_id(given):
        raise Failure(f"{where} gives {given!r}, which cannot be a minion's id: letters, digits, `_`, `-`, dots.")
    return given


def minion_id_of(opts: dict[str, Any]) -> str:
    """The id, written to minion_id when no option gives it: as Salt writes it, without what append_domain adds."""
    found = find_id(opts)
    path = Path(opts["conf_dir"]) / "minion_id"
    if opts["minion_id_caching"] and not opts["id"] and not path.exists():
        try:
            put(path, find_id(opts | {"append_domain": ""}), 0o644)
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
    opts = daemon.daemon_opts("minion", args, lambda opts: (find_id(opts), startup(opts)))
    opts["id"] = opts["__given__"]["id"] = minion_id_of(opts)
    if opts["file_client"] == "local":
        log.error(
            "file_client: local holds for `call` only: what a master runs here has the master's files and pillar."
        )
    opts["schedule"] = opts["schedule"] | startup(opts)
    return daemon.around.serve(Minion, opts)


EXAMPLES = """
salt-minion                             in the foreground, as systemd wants it; the log goes to stderr
salt-minion -d                          behind; the log goes to /var/log/salt/minion
salt-minion --check                     what is wrong with the configuration
salt-minion -l debug                    with more in the log
"""
COMMAND = Command("run the minion", main, daemon.arguments, EXAMPLES)
