"""A careful roll-out: how many minions of a job may run it at once, and when no more may.

It only counts; the job's file says who has started, and the master does what `may_start` allows for those whose `turn`
it is."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from typing import Any

from saltlite import REVOKED, STARTED, UNSTARTED, Job


def share(amount: int | float | str, whole: int) -> int:
    """A number, or a part of `whole` such as "10%", of which fractions do not count."""
    return int(float(amount[:-1]) * whole / 100) if isinstance(amount, str) and amount.endswith("%") else int(amount)


class Rollout:
    """How many minions of a job may start now: `batch` at a time, in stages (`canary`: so many in all, until they are
    back), `rate` a second, a place free again `batch_wait` seconds after a return; none while it is `paused`, or once
    `stopped` says why, as when more failed than max_errors allows. A percentage is of all; at least one starts."""

    STEP = 0.1  # seconds between two starts: each is a publication

    def __init__(self, header: Mapping[str, Any]) -> None:
        whole = len(header["minions"])
        self.width = max(1, share(header.get("batch", whole), whole))
        self.stages = [max(1, share(stage, whole)) for stage in header.get("canary", [])]
        self.errors = share(header.get("max_errors", 0 if self.stages else whole), whole)
        self.failhard = bool(header.get("failhard"))
        self.wait, self.rate = header.get("batch_wait", 0), header.get("rate", 0)
        self.paused, self.stopped = False, ""
        self.again = 0.0  # when to ask again, whatever happens until then
        self._last, self._back = 0.0, 0
        self._allowed = 1.0  # by `rate`, since the last start
        self._taken = collections.deque[float]()  # when places that were left are free

    def may_start(self, going: int, back: int, now: float) -> int:
        """How many more may start, with so many going and so many back, and count them as started."""
        self._taken.extend([now + self.wait] * (back - self._back) if self.wait else [])
        self._back = back
        while self._taken and self._taken[0] <= now:
            self._taken.popleft()
        self.again = self._taken[0] if self._taken else float("inf")
        if self.paused or self.stopped:
            return 0
        pace = max(self.STEP, 1 / self.rate) if self.rate else self.STEP
        if now < self._last + pace:
            self.again = self._last + pace
            return 0
        number = self.width - going - len(self._taken)
        if stage := next((stage for stage in self.stages if back < stage), 0):
            number = min(number, stage - going - back)
        if self.rate:
            allowed = min(self._allowed + self.rate * (now - self._last), max(1.0, 2 * self.rate * self.STEP))
            number = min(number, int(allowed + 1e-6))
            self._allowed = allowed - max(0, number)
        if number > 0 or self.rate:
            self._last, self.again = now, min(self.again, now + pace)
        return max(0, number)

    def turn(
        self, job: Job, number: int, accepted: Callable[[str], Any], now: float
    ) -> tuple[list[str], list[dict[str, Any]]]:
        """Let the next so many minions of the job start: their ids, and lines for those before them whose key is not
        accepted any more; these are dropped, and no failure."""
        ids, lost = list[str](), list[str]()
        for minion_id in [minion_id for minion_id, state in job.parts.items() if state == UNSTARTED]:
            if len(ids) == number:
                break
            (ids if accepted(minion_id) else lost).append(minion_id)
        if not job.going():
            job.deadline = now + max(1, job.header["timeout"])
        for event, those in ((STARTED, ids), (REVOKED, lost)):
            for minion_id in those:
                job.step(minion_id, event)
        job.since |= dict.fromkeys(ids, now)
        line = {"event": "silent", "since": None, "answered": False, "revoked": True, "time": now}
        return ids, [line | {"id": minion_id} for minion_id in lost]

    def told(self, event: str, why: str) -> None:
        """`paused`, `resumed` or `stopped` has happened: by the operator, by `verdict`, or as the job's file says."""
        if event == "stopped":
            self.stopped = why
        else:
            self.paused = event == "paused"

    def verdict(self, failed: int, silent: int) -> str:
        """Why no more may start, or ''."""
        if self.failhard and failed:
            return "a minion has failed, and failhard is on"
        if failed + silent > self.errors:
            return f"{failed} failed, {silent} silent, and max_errors is {self.errors}"
        return ""
