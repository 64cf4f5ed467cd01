"""A terminal: a command in a pty of its own, and what is on the screen.

The screen is no more than what commands may use: a control that it does not know is an error, so nothing else reaches a
user's terminal."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from live import ENVIRONMENT, PROGRAM

CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Screen:
    """Lines without an end, and a cursor."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines: list[list[str]] = [[]]
        self.styles: dict[tuple[int, int], str] = {}  # row and column -> what colours the letter there
        self._style = ""
        self.row = self.column = 0
        self.cursor = True  # whether it is shown
        self._below: dict[str, object] = {}  # what the other screen, for programs that take the whole one, has covered
        self.colors = 0  # how many were set

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            char = text[at]
            if char == "\x1b":
                found = CONTROL.match(text, at)
                assert found, f"a control that is unknown: {text[at : at + 20]!r}"
                self.control(found[1], found[2])
                at = found.end()
                continue
            at += 1
            if char == "\r":
                self.column = 0
            elif char == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append([])
            else:
                assert char.isprintable(), repr(char)
                self.put(char)

    def put(self, char: str) -> None:
        if self.column >= self.columns:
            self.column = 0
            self.feed("\n")
        line = self.lines[self.row]
        line += " " * (self.column + 1 - len(line))
        line[self.column] = char
        self.styles[self.row, self.column] = self._style
        self.column += 1

    def control(self, words: str, letter: str) -> None:
        if letter == "m":
            plain = words in ("", "0", "0;0")
            self.colors += not plain
            self._style = "" if plain else f"\x1b[{words}m"
        elif (words, letter) in (("?25", "l"), ("?25", "h")):
            self.cursor = letter == "h"
        elif (words, letter) == ("?1049", "h"):
            self._below = {name: getattr(self, name) for name in ("lines", "styles", "row", "column")}
            self.lines, self.styles, self.row, self.column = [[]], {}, 0, 0
        elif (words, letter) == ("?1049", "l"):
            vars(self).update(self._below)
        elif (words, letter) == ("", "H"):
            self.row = self.column = 0
        elif letter == "A":
            self.row = max(0, self.row - int(words or 1))
        elif letter == "K":
            line = self.lines[self.row]
            del line[0 if words == "2" else self.column :]
        else:
            raise AssertionError(f"a control that is unknown: {words} {letter}")

    @property
    def text(self) -> str:
        """All lines, without blanks at their ends and empty ones at the end."""
        return "\n".join("".join(line).rstrip() for line in self.lines).rstrip()

    @property
    def colored(self) -> str:
        """The same with its colours."""
        text, style = "", ""
        for row, line in enumerate(self.text.split("\n")):
            for column, char in enumerate(line):
                if (wanted := self.styles.get((row, column), "")) != style:
                    text, style = f"{text}\x1b[0m{wanted}", wanted
                text += char
            text += "\n"
        return f"{text.rstrip()}\x1b[0m"

    @property
    def last(self) -> str:
        """The lowest line that is not empty."""
        return self.text.rpartition("\n")[2]


class Terminal:
    """A command on a terminal of its own."""

    def __init__(
        self,
        words: list[str],
        columns: int = 100,
        environment: dict[str, str] | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.screen = Screen(columns)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

        def own_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        kept = {name: value for name, value in ENVIRONMENT.items() if name != "NO_COLOR"}
        kept |= {"TERM": "xterm-256color", "COLUMNS": str(columns)} | (environment or {})
        how = {"stdin": slave, "stdout": slave, "stderr": slave, "env": kept, "preexec_fn": own_terminal}
        self.process = subprocess.Popen([*program, *words], **how)  # type: ignore[call-overload]
        os.close(slave)

    def read(self, seconds: float) -> bool:
        """Take what is there, or comes within that time; False at the end."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has it open any more
            return False
        self.screen.feed(self._decoder.decode(data))
        return bool(data)

    def shows(self, condition: Callable[[Screen], object], seconds: float = 20) -> None:
        """Wait until the screen is as the condition says."""
        end = time.monotonic() + seconds
        while not condition(self.screen):
            assert time.monotonic() < end and self.read(0.05), self.screen.text

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def end(self, seconds: float = 20) -> int:
        """Wait for the end of the command; gives its exit code."""
        end = time.monotonic() + seconds
        while self.read(0.1):
            assert time.monotonic() < end, self.screen.text
        return self.process.wait(seconds)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self._master)


@contextmanager
def on_terminal(*words: object, columns: int = 100, environment: dict[str, str] | None = None) -> Iterator[Terminal]:
    """`saltlite WORDS…` on a terminal."""
    terminal = Terminal(list(map(str, words)), columns, environment)
    try:
        yield terminal
    finally:
        terminal.close()
