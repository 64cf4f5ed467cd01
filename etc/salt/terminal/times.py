"""Moments and spans as people write and read them."""

from __future__ import annotations

import contextlib
import datetime
import re
import time

from saltlite import EX_USAGE, Failure

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
SALTS = [f"%Y, %b %d{clock}" for clock in ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f")]  # as in jobs.list_jobs
WANTED = "a span (90s, 30m, 2h, 7d, 1w) or a moment (14:30, 2026-11-26, '2026-11-26 14:30')"


def moment(text: str, now: float, option: str = "--since") -> float:
    """Seconds since the epoch of `2h`, which is two hours ago, or of a moment in local time; Failure for others."""
    text = text.strip()
    if re.fullmatch(r"(?:[0-9]{1,9}[smhdw])+", text):
        return now - sum(int(count) * UNITS[unit] for count, unit in re.findall(r"([0-9]+)([smhdw])", text))
    if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?", text):
        text = f"{datetime.date.fromtimestamp(now)} {text.zfill(5 if text.count(':') == 1 else 8)}"
    with contextlib.suppress(ValueError, OverflowError):
        return datetime.datetime.fromisoformat(text).timestamp()
    for form in SALTS:
        with contextlib.suppress(ValueError, OverflowError):
            return datetime.datetime.strptime(text, form).timestamp()
    raise Failure(f"{option} {text}: {WANTED} is wanted.", EX_USAGE)


def span(seconds: float | None) -> str:
    """`12 s`, `4 min`, `3 h`, `2 d`: one figure, for tables; `-` for none."""
    if seconds is None:
        return "-"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * length:
            return f"{int(seconds / length)} {unit}"
    return f"{seconds:.0f} s" if abs(seconds) >= 10 else f"{seconds:.1f} s"


def clock(at: float | None) -> str:
    """A moment in local time, `-` for none."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) if at else "-"
