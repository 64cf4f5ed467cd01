"""CACHE/present.json: which minions are connected, which keys wait, which files in minions/ are no keys; for commands,
which ask no master.

{"time": seconds since the epoch,
 "present": {ID: {"address", "since"}},     connected now; with "addresses" where it is so from several at once
 "pending": {ID: {"address", "asking"}},    keys in minions_pre; asking: a request of it is held here
 "bad": {ID: why}}                          files in minions/ that are not one public key: nobody is let in by them

Written by rename within two seconds of a change, and once a minute. What is found here first is in the log, too."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from saltlite import ACCEPTED, PENDING, AuthError, Master, log, put, to_json

LOOK, EVERY = 1.0, 60.0  # seconds between two looks for a change, and between two writings without one
SLICE = 1000  # minions, or STEP seconds of key files, in one step
STEP = 0.01


class Presence:
    """What was found at the last look."""

    def __init__(self, master: Master) -> None:
        self.master = master
        self.since: dict[str, float] = {}  # who is connected, and when that was first seen
        self.pending: dict[str, dict[str, Any]] = {}
        self.bad: dict[str, str] = {}
        self.checked: dict[str, int] = {}  # accepted ids and the inode of the file that was read
        self.keys: Mapping[str, tuple[str, int]] = {}  # as they were when they were checked
        self.told: set[str] = set()  # who was said to be connected twice
        self.written = 0.0

    def come_and_gone(self) -> bool:
        """Whether somebody has come or gone."""
        present, now = self.master.present, time.time()
        if present == self.since.keys():
            return False
        self.since = {minion_id: self.since.get(minion_id, now) for minion_id in present}
        self.told &= present
        return True

    def waiting(self) -> bool:
        """Whether other keys wait than before, or from elsewhere."""
        admission = self.master.admission
        ids = [minion_id for minion_id, (state, _) in self.master.tree.keys.items() if state == PENDING]
        before, self.pending = self.pending, {}
        for minion_id in ids:
            held = admission.held.get(minion_id)
            address = held.sender.address if held else admission.newcomers.get(minion_id, "")
            self.pending[minion_id] = {"address": address, "asking": bool(held and held.sender.open)}
        return before != self.pending

    def check_keys(self) -> Iterator[float]:
        """Read the accepted key files that are new, or others than before, and say which are none."""
        tree = self.master.tree
        if self.keys is tree.keys and all(tree.keys.get(i, ("", 0))[1] == self.checked[i] for i in self.bad):
            return
        self.keys = keys = tree.keys
        accepted = {minion_id: inode for minion_id, (state, inode) in keys.items() if state == ACCEPTED}
        new = [minion_id for minion_id, inode in accepted.items() if self.checked.get(minion_id) != inode]
        self.checked = {minion_id: inode for minion_id, inode in self.checked.items() if minion_id in accepted}
        self.bad = {minion_id: why for minion_id, why in self.bad.items() if minion_id in accepted}
        until = time.monotonic() + STEP
        for minion_id in new:
            self.checked[minion_id] = accepted[minion_id]
            self.bad.pop(minion_id, None)
            try:
                tree.read_key(tree.key_path(ACCEPTED, minion_id))
            except FileNotFoundError:
                del self.checked[minion_id]
            except (OSError, AuthError) as error:
                why = str(error.strerror if isinstance(error, OSError) else error)
                log.error("minions/%s is no key, so nobody is let in by it: %s; replace it or rm it", minion_id, why)
                self.bad[minion_id] = why
            if time.monotonic() > until:
                yield 0.0
                until = time.monotonic() + STEP

    def entry(self, minion_id: str) -> dict[str, Any]:
        """What is told of one who is connected."""
        found: dict[str, Any] = {
            "address": self.master.peers.last(minion_id).address,
            "since": round(self.since[minion_id], 3),
        }
        own = self.master.listener.minions.get(minion_id, ())
        if len(own) > 1 and len(addresses := {connection.address for connection in own}) > 1:
            found["addresses"] = sorted(addresses)
            if minion_id not in self.told:
                self.told.add(minion_id)
                log.warning("%s is connected from %s at once: two machines may have its key", minion_id,
                            " and ".join(found["addresses"]))  # fmt: skip
        return found

    def write(self) -> Iterator[float]:
        """Write it down, in steps; what cannot be written is said, and is tried again in a minute."""
        now, ids, parts = time.time(), sorted(self.since), []
        for at in range(0, len(ids), SLICE):
            part = {minion_id: self.entry(minion_id) for minion_id in ids[at : at + SLICE]}
            parts.append(json.dumps(part)[1:-1])
            yield 0.0
        text = f'{{"time": {now:.3f}, "present": {{{", ".join(parts)}}}, '
        try:
            put(self.master.tree.cache / "present.json", text + to_json({"pending": self.pending, "bad": self.bad})[1:],
                sync=False)  # fmt: skip
        except OSError as error:
            log.warning("present.json cannot be written: %s", error)
        self.written = now


def report(master: Master) -> Iterator[float]:
    """Look every second; write what has changed."""
    presence = Presence(master)
    while True:
        before = presence.bad
        yield from presence.check_keys()
        changed = [presence.come_and_gone(), presence.waiting(), presence.bad != before]
        if any(changed) or abs(time.time() - presence.written) >= EVERY:
            yield from presence.write()
        yield LOOK
