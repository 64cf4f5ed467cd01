"""Tables for people: columns of text, each cell on one line and without controls, as wide as its content."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence

from saltlite import printable


def width() -> int:
    """How many letters a line may have; 0 for any number, where nobody looks on."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def table(head: Sequence[str], rows: Iterable[Sequence[object]], right: str = "", most: int = 0) -> str:
    """The lines of a table; `right` names the columns of figures, `most` is how wide a line may be: what is wider is
    cut, with a mark that says so. Cells are what minions and other users have said, so none of them is believed."""
    cells = [list(head), *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    figures = [name in right.split(",") for name in head]
    lines = []
    for row in cells:
        parts = [
            cell.rjust(w) if figure else cell.ljust(w) for cell, w, figure in zip(row, widths, figures, strict=True)
        ]
        line = "  ".join(parts).rstrip()
        lines.append(line if not most or len(line) <= most else f"{line[: most - 1]}…")
    return "\n".join(lines)


def emphasis(text: str, name: str, colored: bool) -> str:
    """A text in a colour of the terminal leaf's, as it is without."""
    codes = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "dim": "2"}
    return f"\x1b[{codes[name]}m{text}\x1b[0m" if colored else text


def wants_color(no_color: bool, force_color: bool) -> bool:
    """Whether stdout gets colours."""
    return force_color or sys.stdout.isatty() and not no_color and "NO_COLOR" not in os.environ
