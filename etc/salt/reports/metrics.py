"""Figures for a node exporter's textfile collector, in the file that the option metrics_file names, every 15 seconds.

A counter counts since the master's start, and a restart sets it to 0, as Prometheus expects. A file that is named with
its whole path can be read by everybody, for the exporter is another user, and there is nothing in it but numbers; below
cachedir nothing is open to others."""

from __future__ import annotations

import collections
import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from saltlite import ACCEPTED, DENIED, PENDING, REJECTED, VERSION, Master, log, put

EVERY = 15.0  # seconds
STEP = 0.01
GAUGE, COUNTER = "gauge", "counter"


class Figure(NamedTuple):
    """One metric: its name behind `saltlite_`, kind, help, and pairs of labels and value."""

    name: str
    kind: str
    help: str
    values: Iterable[tuple[str, float]]


def text_of(figures: Iterable[Figure]) -> str:
    """The exposition format, version 0.0.4."""
    lines = []
    for figure in figures:
        name = f"saltlite_{figure.name}"
        lines += [f"# HELP {name} {figure.help}", f"# TYPE {name} {figure.kind}"]
        lines += [f"{name}{labels} {value:.15g}" for labels, value in figure.values]
    return "\n".join(lines) + "\n"


def queued(jobs: Path, found: list[int]) -> Iterator[float]:
    """Put into `found` how many jobs wait for absent minions, in steps."""
    until, count = time.monotonic() + STEP, 0
    with contextlib.suppress(OSError), os.scandir(jobs / "queued") as directories:
        for directory in directories:
            with contextlib.suppress(OSError):
                count += sum(not name.startswith(".") for name in os.listdir(directory.path))
            if time.monotonic() > until:
                yield 0.0
                until = time.monotonic() + STEP
    found.append(count)


def figures(master: Master, waiting: int) -> list[Figure]:
    """How the master is now."""
    protocol, jobs, loop, tree = master.protocol, master.jobs, master.loop, master.tree
    states = collections.Counter(state for state, _ in tree.keys.values())
    keys = [(f'{{state="{state}"}}', states[state]) for state in (ACCEPTED, PENDING, REJECTED)]
    keys.append((f'{{state="{DENIED}"}}', tree.count(DENIED)))
    asked = [(f'{{request="{name}"}}', count) for name, count in sorted(protocol.counted.items()) if name != "bad load"]
    longest, loop.longest = loop.longest, 0.0

    def one(value: float) -> list[tuple[str, float]]:
        return [("", value)]

    return [
        Figure("info", GAUGE, "The version that runs.", [(f'{{version="{VERSION}"}}', 1)]),
        Figure("keys", GAUGE, "Key files by state.", keys),
        Figure("minions_up", GAUGE, "Accepted minions that are connected.", one(len(master.present))),
        Figure("minions_down", GAUGE, "Accepted minions that are not.", one(states[ACCEPTED] - len(master.present))),
        Figure("connections", GAUGE, "Connections to both ports.", one(len(master.listener))),
        Figure("jobs_active", GAUGE, "Jobs that have not ended.", one(len(jobs.active))),
        Figure("jobs_finished_total", COUNTER, "Jobs that have ended, or were cancelled.", one(jobs.finished)),
        Figure("jobs_queued", GAUGE, "Jobs that wait for absent minions, one a minion.", one(waiting)),
        Figure("returns_total", COUNTER, "Returns that have come.", one(protocol.counted["_return"])),
        Figure("requests_total", COUNTER, "Requests of minions by kind.", asked),
        Figure("authentications_total", COUNTER, "Credentials handed out.", one(master.admission.auths)),
        Figure("refusals_total", COUNTER, "Authentications refused.", one(master.admission.refused)),
        Figure("bad_requests_total", COUNTER, "Requests told `bad load`.", one(protocol.counted["bad load"])),
        Figure("loop_longest_step_seconds", GAUGE, "The longest step of the loop since the last time.", one(longest)),
        Figure("written_seconds", GAUGE, "When this was written, since the epoch.", one(round(time.time(), 3))),
    ]


def report(master: Master) -> Iterator[float]:
    """Write every 15 seconds; with an empty metrics_file nothing."""
    while True:
        if file := master.opts["metrics_file"]:
            waiting: list[int] = []
            yield from queued(master.tree.jobs, waiting)
            path = master.tree.cache / file
            try:
                mode = 0o644 if Path(file).is_absolute() else 0o600
                put(path, text_of(figures(master, waiting[0])), mode, sync=False)
            except OSError as error:
                log.warning("%s cannot be written (metrics_file): %s", path, error.strerror)
        yield EVERY
