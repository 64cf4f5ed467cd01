"""Who is up, late, down; who was never seen, waits, is denied: from the tree and from what the master writes down there
(present.json, sessions/.heard). No job goes out, and no minion is asked."""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from saltlite import (
    DIRECTORIES,
    EX_FAILED,
    EX_OK,
    EX_USAGE,
    Command,
    Failure,
    MasterTree,
    glob_match,
    load_opts,
    names,
    packed_leaf,
    printable,
    read,
    say,
    valid_id,
)

terminal = packed_leaf("terminal", "text")
tables, times = packed_leaf("terminal", "tables"), packed_leaf("terminal", "times")
local_client = packed_leaf("clients", "LocalClient")

UP, LATE, DOWN, NEVER, UNKNOWN, BAD = "up", "late", "down", "never seen", "unknown", "bad key"
PENDING, DENIED, REJECTED = "pending", "denied", "rejected"
STATES = (UP, LATE, DOWN, NEVER, UNKNOWN, BAD, PENDING, DENIED, REJECTED)
COLORS = {UP: "green", LATE: "yellow", DOWN: "red", BAD: "red", NEVER: "yellow", PENDING: "yellow", DENIED: "red"}
LATE_FOR = 300.0  # seconds after it was last heard that a minion without a connection may be on its way back
DAY = 86400.0  # seconds for which it is told that an id came from two machines
SKEW = 5.0  # seconds that a minion's clock may be off before it is told
WATCH = 1.0  # seconds between two looks with --watch
MAX_FILE = 1 << 28
SHOWN = 20  # minions of a state that a summary names
# texts in a file of grains, as the master writes it; what is nested deeper is the same minion's word
GRAINS = re.compile(rb'"(saltversion|machine_id)": "([^"\\]{1,64})"')


def status_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("glob", nargs="*", metavar="ID", help="only these minions, ids or globs")
    parser.add_argument("--state", metavar="STATE", help=f"only those in one of these states: {', '.join(STATES)}")
    parser.add_argument("--all", action="store_true", help="a line for each minion, those that are up included")
    parser.add_argument("--watch", action="store_true", help="go on showing it, until Ctrl-C; on a terminal in place")


class Facts:
    """What is found beside the keys. `running`: a master holds the tree; without one nobody is up, or known to be."""

    def __init__(self, tree: MasterTree) -> None:
        self.running = local_client.locked(tree.cache / ".lock")
        self.present = self._read(tree.cache / "present.json") if self.running else {}
        self.heard = self._read(tree.cache / "sessions" / ".heard")
        self.twins = self._read(tree.cache / "twins.json")

    def _read(self, path: Path) -> dict[str, Any]:
        """The map in a file; {} if it is not there, or is none."""
        try:
            found = json.loads(read(path, MAX_FILE))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def part(self, name: str) -> dict[str, Any]:
        """`present`, `pending` or `bad` of present.json."""
        found = self.present.get(name)
        return found if isinstance(found, dict) else {}


def grains_of(cache: Path, minion_id: str) -> dict[str, str]:
    """The version and the machine's id that a minion last told, without the rest of its grains."""
    try:
        fd = os.open(f"{cache}/minions/{minion_id}/grains.json", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return {}
    try:
        raw = b""
        while chunk := os.read(fd, 1 << 20):
            raw += chunk
    finally:
        os.close(fd)
    found: dict[str, str] = {}
    for name, value in GRAINS.findall(raw):
        found.setdefault(name.decode(), value.decode("ascii", "replace"))
    return found


def state_of(entry: Mapping[str, Any], connected: bool, running: bool, now: float) -> str:
    """Of an accepted minion."""
    if connected:
        return UP
    if not entry["last_heard"]:
        return NEVER
    if not running:
        return UNKNOWN
    return LATE if now - entry["last_heard"] < LATE_FOR else DOWN


def accepted(tree: MasterTree, facts: Facts, ids: Iterable[str], now: float) -> dict[str, dict[str, Any]]:
    """What is known of accepted minions, by id."""
    present, bad, found = facts.part("present"), facts.part("bad"), {}
    for minion_id in ids:
        ts, when, _, address, *_ = [*facts.heard.get(minion_id, ()), 0, 0.0, (), ""][:4]
        here = present.get(minion_id)
        grains = grains_of(tree.cache, minion_id)
        entry: dict[str, Any] = {
            "state": "",
            "last_heard": max(when, here["since"] if here else 0.0) or None,
            "address": here["address"] if here else address,
            "since": here["since"] if here else None,
            "version": grains.get("saltversion", ""),
            "machine_id": grains.get("machine_id", ""),
            # its own time in its last request against ours when it came; whole seconds there
            "clock_skew": round(ts - when + 0.5) if ts and when else None,
        }
        entry["state"] = state_of(entry, here is not None, facts.running, now)
        if minion_id in bad:
            entry |= {"state": BAD, "why": bad[minion_id]}
        if here and "addresses" in here:
            entry["addresses"] = here["addresses"]
        machines = facts.twins.get(minion_id)
        if isinstance(machines, dict) and sum(now - seen < DAY for seen in machines.values()) > 1:
            entry["machines"] = sorted(machines)
        found[minion_id] = entry
    return found


def waiting(tree: MasterTree, facts: Facts, state: str, ids: Iterable[str], now: float) -> dict[str, dict[str, Any]]:
    """What is known of keys that are pending, rejected or denied."""
    pending, found = facts.part("pending"), {}
    for minion_id in ids:
        told = pending.get(minion_id, {}) if state == PENDING else {}
        heard = facts.heard.get(minion_id)
        last = now if told.get("asking") else heard[1] if heard else None
        entry = {"state": state, "last_heard": last, "address": told.get("address", "")}
        try:
            entry["since"] = tree.key_path(state, minion_id).lstat().st_mtime
        except FileNotFoundError:
            continue  # the operator has moved it
        found[minion_id] = entry
    return found


def fleet(opts: Mapping[str, Any], globs: Sequence[str] = ()) -> dict[str, Any]:
    """{"master": {"running", "time"}, "minions": {id: …}, "denied": {id: …}}; of an id with several keys the accepted
    one counts, and a denied key is told apart. PermissionError where the tree is closed to us."""
    tree, now = MasterTree(opts), time.time()
    facts = Facts(tree)

    def ids(state: str) -> list[str]:
        found = (name for name in names(tree.pki / DIRECTORIES[state]) if valid_id(name))
        return [name for name in found if not globs or any(glob_match(name, glob) for glob in globs)]

    rejected = waiting(tree, facts, REJECTED, ids(REJECTED), now)
    minions = waiting(tree, facts, PENDING, ids(PENDING), now)
    minions |= accepted(tree, facts, (each for each in ids("accepted") if each not in rejected), now) | rejected
    master = {"running": facts.running, "time": now, "seen": facts.present.get("time")}
    return {"master": master, "minions": minions, "denied": waiting(tree, facts, DENIED, ids(DENIED), now)}


def twins(minions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Sentences about machines that seem to be there twice, or under two names."""
    said = [f"{minion_id} is connected from {' and '.join(entry['addresses'])} at once: two machines have its key"
            for minion_id, entry in minions.items() if len(entry.get("addresses", ())) > 1]  # fmt: skip
    for minion_id, entry in minions.items():
        if machines := entry.get("machines"):
            said.append(f"{minion_id} came from {len(machines)} machines in turn ({', '.join(machines)}): copied disks")
    owners = collections.defaultdict(list)
    for minion_id, entry in minions.items():
        if machine := entry.get("machine_id"):
            owners[machine].append(minion_id)
    for ids in owners.values():
        if len(ids) > 1:
            more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
            said.append(f"{', '.join(sorted(ids)[:5])}{more} say that they are one machine (the grain machine_id): "
                        "a cloned disk, or one machine under several ids")  # fmt: skip
    return said


def counts_of(found: Mapping[str, Any]) -> dict[str, int]:
    """How many are in each state, those with none left out."""
    counter = collections.Counter(entry["state"] for entry in found["minions"].values())
    counter[DENIED] += len(found["denied"])
    return {state: counter[state] for state in STATES if counter[state]}


def rows_of(found: Mapping[str, Any], shown: Callable[[str], bool], all_of: bool) -> list[list[str]]:
    """The table's rows, by state and id; of each state SHOWN, with what is left out in a row of its own."""
    now, rows = found["master"]["time"], []
    by_state: dict[str, list[tuple[str, Mapping[str, Any]]]] = collections.defaultdict(list)
    for kind in ("minions", "denied"):
        for minion_id, entry in found[kind].items():
            by_state[entry["state"]].append((minion_id, entry))
    for state in (state for state in STATES if shown(state)):
        entries = sorted(by_state[state], key=lambda pair: pair[0])
        for minion_id, entry in entries if all_of else entries[:SHOWN]:
            heard, skew = entry["last_heard"], entry.get("clock_skew")
            ago = "now" if state == UP or heard == now else f"{times.span(now - heard)} ago" if heard else "never"
            off = f"{skew:+d} s" if skew is not None and abs(skew) >= SKEW else ""
            rows.append([state, minion_id, ago, entry["address"], entry.get("version", ""), off, entry.get("why", "")])
        if not all_of and len(entries) > SHOWN:
            rows.append([state, f"… and {len(entries) - SHOWN} more (--all)", "", "", "", "", ""])
    return rows


def status_text(found: Mapping[str, Any], args: argparse.Namespace, colored: bool) -> str:
    """For people: counts, versions, then whoever is not as he should be."""
    minions, counts = found["minions"], counts_of(found)
    if not found["master"]["running"]:
        lines = ["No master runs on this tree: who is up is not known."]
    else:
        lines = []
    parts = [tables.emphasis(f"{count} {state}", COLORS.get(state, "bold"), colored) for state, count in counts.items()]
    lines.append(", ".join(parts) if parts else "No minion has a key here.")
    versions = collections.Counter(entry["version"] for entry in minions.values() if entry.get("version"))
    if versions:
        lines.append(printable(", ".join(f"{count} × {version}" for version, count in versions.most_common(8))))
    wanted = {state.strip() for state in args.state.split(",")} if args.state else set()
    all_of = args.all or bool(wanted) or bool(args.glob)
    rows = rows_of(found, lambda state: state in wanted if wanted else all_of or state not in (UP, REJECTED), all_of)
    if rows:
        head = ("state", "id", "last heard", "address", "version", "clock", "why")
        used = [at for at, _ in enumerate(head) if at < 3 or any(row[at] for row in rows)]
        shown = ([row[at] for at in used] for row in rows)
        lines += ["", tables.table([head[at] for at in used], shown, "", tables.width())]
    said = twins(minions)
    lines += ["", *map(printable, said[:SHOWN])] if said else []
    return "\n".join(lines)


def chosen(found: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """With --state only those, for programs."""
    if not args.state:
        return found
    wanted = {state.strip() for state in args.state.split(",")}
    kept = {minion_id: entry for minion_id, entry in found["minions"].items() if entry["state"] in wanted}
    return found | {"minions": kept, "denied": found["denied"] if DENIED in wanted else {}}


def watch(args: argparse.Namespace, opts: Mapping[str, Any], colored: bool) -> int:
    """Show it again and again: in place on a terminal, in a pipe whenever it has changed."""
    before = ""
    if not sys.stdout.isatty():
        while True:
            found = fleet(opts, args.glob)
            text = json.dumps(counts_of(found)) if args.out else status_text(found, args, colored)
            if json.dumps(counts_of(found)) != before:
                before = json.dumps(counts_of(found))
                say(text)
            time.sleep(WATCH)
    import rich.console
    import rich.live
    import rich.text

    console = rich.console.Console(no_color=not colored)

    def screen() -> Any:
        text = f"{time.strftime('%H:%M:%S')}  Ctrl-C ends\n{status_text(fleet(opts, args.glob), args, colored)}"
        return rich.text.Text.from_ansi(text)

    with rich.live.Live(screen(), console=console, auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(WATCH)
            live.update(screen(), refresh=True)


def main(args: argparse.Namespace) -> int:
    """Exit code 0 if all accepted minions are up, 1 if not: for a script that asks."""
    opts = load_opts("master", args.config_dir)
    for state in args.state.split(",") if args.state else ():
        if state.strip() not in STATES:
            raise Failure(f"--state {state}: the states are {', '.join(STATES)}.", EX_USAGE)
    if not (Path(opts["pki_dir"]) / "minions").is_dir():
        raise Failure(
            f"{opts['pki_dir']} is no master's key tree; start the master once, or name its directory with -c."
        )
    colored = tables.wants_color(args.no_color, args.force_color)
    try:
        if args.watch:
            return watch(args, opts, colored)
        found = fleet(opts, args.glob)
    except PermissionError as error:
        raise Failure(f"{error.filename} is closed to you: run this as the master's user.") from None
    except KeyboardInterrupt:
        return EX_OK
    if args.glob and not found["minions"] and not found["denied"]:
        raise Failure(f"no key has an id like {', '.join(args.glob)}.", 2)
    if args.out:
        terminal.show(chosen(found, args), args, None)
    else:
        say(status_text(found, args, colored))
        if full := terminal.no_room(MasterTree(opts)):
            say(f"\n{full}.")
    well = all(entry["state"] in (UP, REJECTED, PENDING) for entry in found["minions"].values())
    return EX_OK if well and found["master"]["running"] else EX_FAILED


EXAMPLES = """
saltlite status               who is up, late, down, never seen, pending, denied
saltlite status --watch       the same, live
saltlite status --out json    for programs
"""
COMMAND = Command(
    "who is up, down, waiting", main, (terminal.config_arguments, terminal.out_arguments, status_arguments), EXAMPLES
)
