"""Show what happens at the master: its events as they come."""

from __future__ import annotations

import datetime
import fnmatch
import itertools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saltlite import (
    EX_OK,
    Command,
    Failure,
    client,
    load_opts,
    packed_leaf,
    say,
)

if TYPE_CHECKING:
    import argparse

terminal = packed_leaf("terminal", "text")
printed, speaks_utf8 = terminal.printed, terminal.speaks_utf8


def event_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-a", "--all", action="store_true", help="begin with the events that are there already")
    parser.add_argument("-n", "--count", type=int, default=-1, metavar="N", help="end after so many events")
    parser.add_argument("--pretty", action="store_true", help="indent the data, as on a terminal")
    parser.add_argument("tag", nargs="*", metavar="TAG", help="show only events whose tag matches one of these globs")


def event_text(event: Mapping[str, Any], opts: Mapping[str, Any]) -> str:
    """An event as Salt's state.event runner prints it; `_stamp`, in UTC, says when it came."""
    data, at = event.get("data"), event.get("time")
    if isinstance(data, dict) and isinstance(at, int | float):
        moment = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
        data = data | {"_stamp": moment.isoformat(timespec="microseconds")}
    return f"{printed(event['tag'], 'txt', opts)}\t{printed(data, 'json', opts)}"


def main(args: argparse.Namespace) -> int:
    """Print the master's events as they come, `TAG<tab>JSON`, until there were --count of them or ^C."""
    opts = load_opts("master", args.config_dir)
    cache, terminal = Path(opts["cachedir"]), sys.stdout.isatty()
    if not cache.is_dir():
        raise Failure(f"{cache} is no master's tree; start the master once, or name its directory with -c.")
    how = {
        "terminal": terminal,
        "ascii": not speaks_utf8(),
        "output_indent": "pretty" if args.pretty or terminal else -1,
    }
    count = None if args.count < 0 else args.count
    try:
        events = client("EventReader")(cache / "events.jsonl", args.all).follow()
        wanted = (event for event in events if any(fnmatch.fnmatchcase(event["tag"], tag) for tag in args.tag or ["*"]))
        for event in itertools.islice(wanted, count):
            say(event_text(event, how))
    except PermissionError as error:
        raise Failure(f"{error.filename} is closed to you: run this as the master's user.") from None
    except KeyboardInterrupt:
        pass
    return EX_OK


EXAMPLES = """
saltlite events                         all that happens from now on
saltlite events -a 'salt/job/*'         what has happened to jobs, and goes on
saltlite events -n 1 'salt/minion/web1/start'     wait until web1 is there
"""
COMMAND = Command("show what happens at the master", main, (terminal.config_arguments, event_arguments), EXAMPLES)
