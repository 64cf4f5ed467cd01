"""The lines at the bottom of a terminal while a job runs: who is missing, what is being done. By rich, which is
imported when there is something to wait for, and not before.

What is printed meanwhile goes above these lines. They are erased at the end, and when the command is interrupted."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from saltlite import packed_leaf

if TYPE_CHECKING:
    import types

terminal, nodes = packed_leaf("terminal", "text"), packed_leaf("terminal", "nodes")

EACH = 0.2  # seconds from one look of these lines to the next
MAX_ROWS = 8  # minions whose states are shown at once
MAX_MISSING = 200  # names that are folded for each look
BAR = 24  # columns


class Progress(NamedTuple):
    """How far a minion is in its states, and which one runs."""

    done: int
    total: int
    doing: str


class Status(NamedTuple):
    """What the lines say."""

    expected: int
    returned: int
    failed: int
    seconds: float
    missing: list[str]
    progress: Mapping[str, Progress]


def plain(text: Any) -> str:
    """A minion's words on one line, without controls."""
    return terminal.UNSAFE.sub("?", str(text).replace("\n", " ").replace("\t", " "))


class Written:
    """A text of ours with its colours, as it is: rich neither wraps nor reads it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.segment import Segment

        yield Segment(self.text)


class Live:
    """The lines, from `start` to `close`; `status` is asked for what they say."""

    def __init__(self, status: Callable[[], Status], no_color: bool, stream: Any = None) -> None:
        self._status, self._stream, self._no_color = status, stream or sys.stdout, no_color
        self._live: Any = None
        self._next = 0.0
        self._before: Any = None
        self._texts: list[str] = []

    @property
    def running(self) -> bool:
        """Whether the lines are there."""
        return self._live is not None

    def start(self) -> None:
        """Show the lines from now on."""
        from rich.console import Console
        from rich.live import Live as RichLive

        colors: Any = {"color_system": None} if self._no_color else {}
        console = Console(file=self._stream, force_terminal=True, highlight=False, markup=False, emoji=False, **colors)
        options: dict[str, Any] = {"auto_refresh": False, "transient": True, "redirect_stdout": False}
        self._live = RichLive(console=console, redirect_stderr=False, vertical_overflow="crop", **options)
        self._before = signal.signal(signal.SIGTERM, self._ended)
        self._live.start()
        self.look()

    def _ended(self, number: int, frame: types.FrameType | None) -> None:
        """A SIGTERM: leave a terminal behind that can be used."""
        self.close()
        sys.exit(128 + number)

    def look(self) -> None:
        """Say anew what is there to say, if it was said a while ago."""
        now = time.monotonic()
        if self._live and now >= self._next:
            self._next = now + EACH
            self._print()
            self._live.update(self._lines(self._status()), refresh=True)

    def write(self, text: str) -> None:
        """Print above the lines, at the next look at the latest."""
        self._texts.append(text)

    def close(self) -> None:
        """Erase the lines."""
        live, self._live = self._live, None
        if live:
            try:
                self._print(live)
            finally:
                live.stop()
                signal.signal(signal.SIGTERM, self._before or signal.SIG_DFL)

    def _print(self, live: Any = None) -> None:
        texts, self._texts = self._texts, []
        if texts:
            (live or self._live).console.print(Written("".join(f"{text}\n" for text in texts)), crop=False, end="")

    def _lines(self, status: Status) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        rows = Table.grid(padding=(0, 1))
        for at in range(4):
            rows.add_column(no_wrap=True, overflow="ellipsis", justify="right" if at == 2 else "left")
        for minion_id, (done, total, doing) in list(status.progress.items())[:MAX_ROWS]:
            bar = ProgressBar(max(total, 1), min(done, total), width=BAR)
            rows.add_row(Text(plain(minion_id), "cyan"), bar, Text(f"{done}/{total}"), Text(plain(doing), "dim"))
        if len(status.progress) > MAX_ROWS:
            rows.add_row(Text(f"and {len(status.progress) - MAX_ROWS} more", "dim"))
        line = Text(f"{status.returned}/{status.expected} returned", no_wrap=True, overflow="ellipsis")
        if status.failed:
            line.append(f"  {status.failed} failed", "bold red")
        line.append(f"  {status.seconds:.0f} s", "dim")
        if status.missing:
            line.append("  missing ", "dim").append(nodes.fold(status.missing, MAX_MISSING), "yellow")
        return Group(rows, line) if status.progress else line
