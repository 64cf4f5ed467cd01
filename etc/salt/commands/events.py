"""Show what happens at the master: its events as they come, and what was returned, which stands in the jobs' files."""

from __future__ import annotations

import contextlib
import datetime
import fnmatch
import itertools
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saltlite import (
    EX_OK,
    Command,
    Failure,
    client,
    from_json,
    load_opts,
    packed_leaf,
    say,
    to_json,
)

if TYPE_CHECKING:
    import argparse

terminal, times = packed_leaf("terminal", "text"), packed_leaf("terminal", "times")
printed, speaks_utf8 = terminal.printed, terminal.speaks_utf8

RETURN = re.compile(r"salt/job/([0-9]{20})/ret/(.+)")
MOST_JOBS = 64  # whose files are remembered as far as they were read


def event_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-a", "--all", action="store_true", help="begin with the events that are there already")
    parser.add_argument("--since", metavar="WHEN", help=f"begin with the events since then; {times.WANTED}")
    parser.add_argument("--no-follow", action="store_true", help="with these: end with the last that is there")
    parser.add_argument("-n", "--count", type=int, default=-1, metavar="N", help="end after so many events")
    parser.add_argument("--pretty", action="store_true", help="indent the data, as on a terminal")
    parser.add_argument("--json", action="store_true", help="each as one line of JSON: tag, time, data")
    parser.add_argument(
        "--no-returns", dest="returns", action="store_false", help="without what minions returned, as in events.jsonl"
    )
    parser.add_argument("tag", nargs="*", metavar="TAG", help="show only events whose tag matches one of these globs")


class Returns:
    """What was returned, for the events that say so: it stands in the job's file, and in events.jsonl only that it has
    come. A file is read on from where the last return stood, for both are written in one order."""

    def __init__(self, jobs: Path) -> None:
        self.files = client("JobFiles")(jobs)
        self._read: dict[str, tuple[int, dict[str, tuple[int, int]]]] = {}  # jid -> how far; id -> where, how long

    def added(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event, with jid, fun, retcode, success and return if it tells of a return that is there still."""
        found = RETURN.fullmatch(event["tag"])
        if not found or not isinstance(event.get("data"), dict):
            return event
        line: Mapping[str, Any] = {}
        with contextlib.suppress(OSError, ValueError, Failure):
            line = self._line(found[1], found[2])
        if "return" not in line:
            return event
        more = {name: line[name] for name in ("fun", "retcode", "success", "return") if name in line}
        return event | {"data": event["data"] | {"jid": found[1]} | more}

    def _line(self, jid: str, minion_id: str) -> dict[str, Any]:
        """The `ret` line of a minion; {} if there is none. OSError, ValueError, Failure."""
        at, places = self._read.pop(jid, (0, {}))
        with self.files.opened(self.files.find(jid)) as file:
            file.seek(at)
            while minion_id not in places and (raw := file.readline()).endswith(b"\n"):
                if raw.startswith(b'{"event": "ret"'):
                    places.setdefault(from_json(raw)["id"], (at, len(raw)))
                at += len(raw)
            self._read[jid] = at, places
            if len(self._read) > MOST_JOBS:
                del self._read[next(iter(self._read))]
            if minion_id not in places:
                return {}
            file.seek(places[minion_id][0])
            found = from_json(file.read(places[minion_id][1]))
        return found if isinstance(found, dict) else {}


def event_text(event: Mapping[str, Any], opts: Mapping[str, Any]) -> str:
    """An event as Salt's state.event runner prints it; `_stamp`, in UTC, says when it came."""
    data, at = event.get("data"), event.get("time")
    if isinstance(data, dict) and isinstance(at, int | float):
        moment = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
        data = data | {"_stamp": moment.isoformat(timespec="microseconds")}
    return f"{printed(event['tag'], 'txt', opts)}\t{printed(data, 'json', opts)}"


def inode(path: Path) -> int:
    """0 for a file that is not there."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


def events_of(args: argparse.Namespace, path: Path) -> Iterator[dict[str, Any]]:
    """The events that are asked for, each when it is there."""
    since = times.moment(args.since, time.time()) if args.since else 0.0
    older: list[dict[str, Any]] = []
    while True:
        before, reader = inode(path), client("EventReader")(path, args.all or bool(args.since))
        if args.since:
            older = client("EventReader")(path.with_name(f"{path.name}.1"), True).read()
        if inode(path) == before:  # else it was rotated meanwhile, and would be read twice
            break
    yield from (event for event in older if event.get("time", 0) >= since)
    if args.no_follow:
        yield from (event for event in reader.read() if event.get("time", 0) >= since)
    else:
        yield from (event for event in reader.follow() if event.get("time", 0) >= since)


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
    count, returns = None if args.count < 0 else args.count, Returns(cache / "jobs")
    try:
        events = events_of(args, cache / "events.jsonl")
        wanted = (event for event in events if any(fnmatch.fnmatchcase(event["tag"], tag) for tag in args.tag or ["*"]))
        for event in itertools.islice(wanted, count):
            told = returns.added(event) if args.returns else event
            if not getattr(args, "quiet", False):  # of salt-run's state.event: only wait
                say(to_json(told) if args.json else event_text(told, how))
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
