"""What commands and outputters share: colours, texts that a terminal can be given, how data is printed.

An outputter makes the text that Salt 3008 prints for the same data. Its `opts` (see `style`): color (bool), terminal
(bool), output_indent (int, "pretty" or None: not given), retcode (int, colours a failed return), conf_dir.

json and yaml are for programs: what goes to stdout there is data and nothing else. What a minion has said is data: on a
terminal it moves no cursor, changes no colour and looks like no other minion's words; every control that came with it
is shown as an escape, as is every byte of what is no UTF-8 text. In a pipe only the second is, and what no UTF-8 can
carry. Where stdout is not UTF-8, what it has no letter for becomes an escape too (see `main`)."""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from saltlite import (
    EX_OK,
    EX_USAGE,
    Failure,
    MasterTree,
    leaf_files,
    nearest,
    options_of,
    pack,
    packed_leaf,
    read_leaf,
    say,
    why_not,
)

PEOPLE = ("nested", "txt", "text", "highstate", "no_return", "docs")  # outputters; the others give data
# No return asks for these: they leave out what was said, or by whom
UNASKED = ("docs", "key", "newline_values_only", "no_return", "quiet")
SECONDS = 1.0  # that an outputter may take
BYTES_A_SECOND = 50_000  # and more with much data: this is what the slowest (yaml) does

COLOR_NAMES = ("RED", "GREEN", "YELLOW", "BLUE", "MAGENTA", "CYAN")
COLORS = {name: f"\x1b[0;{number}m" for number, name in enumerate(COLOR_NAMES, 31)}
COLORS |= {f"LIGHT_{name}": code.replace("0;", "0;1;") for name, code in COLORS.items()} | {"END": "\x1b[0;0m"}
PLAIN = dict.fromkeys(COLORS, "")
# Controls (C0 but tab and line end, DEL, C1), marks that reorder text, line separators, halves of surrogate pairs
UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
SURROGATE = re.compile("[\ud800-\udfff]")  # cannot be written as UTF-8


def style(terminal: bool, no_color: bool = False, force_color: bool = False, indent: Any = None) -> dict[str, Any]:
    """The opts of the outputters, from the command line's options and whether stdout is a terminal."""
    color = force_color or terminal and not no_color
    return {"color": color, "terminal": terminal, "output_indent": indent, "retcode": 0}


def speaks_utf8() -> bool:
    """Whether stdout takes all letters."""
    return sys.stdout is not None and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def colors(opts: Mapping[str, Any]) -> Mapping[str, str]:
    """Names to escape sequences, all empty without colour."""
    return COLORS if opts.get("color") else PLAIN


def no_escape(value: Any) -> str:
    """A value's text without ESC, so that in coloured output every ESC is ours."""
    return str(value).replace("\x1b", "?")


def one_line(value: Any) -> str:
    """The same on one line: what a minion says must not look like what another one says."""
    return no_escape(value).replace("\n", "\\n").replace("\r", "\\r")


Outputter = Callable[[Any, Mapping[str, Any]], str]


@functools.cache
def outputter(name: str | None, conf_dir: str = "") -> Outputter:
    """The function `output` of an outputter's file, of one below `conf_dir` if there is one. Without a name, or with a
    wrong one: nested. Failure if the file cannot be read."""
    files = leaf_files("outputters", {"conf_dir": conf_dir} if conf_dir else None)
    path = files[name if name in files else "nested"]
    try:
        return read_leaf(path).output
    except Exception as error:  # whatever a site's file may raise
        raise Failure(f"{why_not(path, error)}.") from None


class Slow(Exception):
    """An outputter has had its time."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Slow is raised in the middle of what takes longer; in the main thread, which is where commands print."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: Any) -> None:
        raise Slow

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def readable(value: Any) -> Any:
    """Data with bytes as texts, each byte that is not UTF-8 as an escape: a command's output in some older encoding."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, dict):
        return {readable(key): readable(item) for key, item in value.items()}
    return type(value)(map(readable, value)) if type(value) in (list, tuple) else value


def printed(data: Any, out: str | None, opts: Mapping[str, Any]) -> str:
    """The text for stdout, which gets a line end behind it, and nothing at all if it is empty.

    For data that the outputter cannot show, or on which it takes longer than SECONDS and what its size allows: nested.
    On a terminal, nothing that a minion sent can move the cursor,
    change colours or reorder the text.

    `opts` as `style` makes them, and `ascii`: no other letters may be in a document for programs. `out`: the
    outputter's name, of whoever asks or as the return has it."""
    output = outputter(out, opts.get("conf_dir", ""))
    if not output.__globals__.get("BYTES", False):  # it has a form of its own for them
        data = readable(data)
    size = 0
    with contextlib.suppress(Exception):  # what has no msgpack did not come from a minion
        size = len(pack(data))
    try:
        with at_most(SECONDS + size / BYTES_A_SECOND):
            text = output(data, opts)
    except (LookupError, AttributeError, TypeError, ValueError, RecursionError, Slow):
        output = outputter("nested")
        text = output(data, opts)
    ours = output.__globals__.get("COLORED", False)  # its ESCs are its own: it has made `?` of all others

    def escape(found: re.Match[str]) -> str:
        return found[0] if ours and found[0] == "\x1b" else f"\\u{ord(found[0]):04x}"

    return (UNSAFE if opts.get("terminal") else SURROGATE).sub(escape, text.rstrip(" \n"))


class Versions(argparse.Action):
    """-V: it prints, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *args: Any) -> None:
        say(packed_leaf("terminal", "versions").report())
        parser.exit(EX_OK)


class Refused(argparse.Action):
    """An option of Salt's that is not here; `const` says why, and what to do."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        raise Failure(f"{option_string} is not supported: {self.const}", EX_USAGE)


NO_EAUTH = "there is no external authentication: who may publish is who may write into jobs/new, see publisher_acl."
EAUTH = ("--auth", "--eauth", "--external-auth", "--username", "--password", "-T", "--make-token", "--mktoken")
NO_STDIN = "give the arguments as words, $(cat FILE) among them."
NO_PARSE = "quote the value for YAML instead, as in name='\"1\"'."


def refuse(parser: argparse.ArgumentParser, refused: Mapping[tuple[str, ...], str]) -> None:
    """Take options for what they are, and refuse them: {flags: why, and what to do}."""
    for flags, why in refused.items():
        parser.add_argument(*flags, action=Refused, const=why, nargs="?", help=argparse.SUPPRESS, dest="refused")


def ignore(parser: argparse.ArgumentParser, *flags: str) -> None:
    """Take options of Salt's without a value whose wish is fulfilled in any case."""
    for flag in flags:
        parser.add_argument(flag, dest="ignored", action="store_true", help=argparse.SUPPRESS)


def config_arguments(parser: argparse.ArgumentParser) -> None:
    """-c and -V, which every command has."""
    parser.add_argument("-V", "--versions-report", nargs=0, action=Versions, help="say what this is made of, and end")
    parser.add_argument("-c", "--config-dir", default="/etc/salt", metavar="DIR", help="configuration directory")


def level_of(level: str, flag: str = "-l") -> str:
    """The level that -l, or another flag, names; Failure if it is none."""
    kind = options_of("minion")["log_level"].kind
    if not kind.right(level.lower()):
        raise Failure(f"{flag} {level}: the level is {kind.wanted}.", EX_USAGE)
    return level.lower()


def file_level_of(level: str) -> str:
    return level_of(level, "--log-file-level")


def level_arguments(parser: argparse.ArgumentParser) -> None:
    """-l."""
    text = "quiet, error, warning, info, debug, trace"
    parser.add_argument("-l", "--log-level", type=level_of, metavar="LEVEL", help=text)


def log_arguments(parser: argparse.ArgumentParser) -> None:
    """Of a command that keeps a log."""
    level_arguments(parser)
    parser.add_argument("--log-file", metavar="FILE", help="log to this file too")
    parser.add_argument("--log-file-level", type=file_level_of, metavar="LEVEL", help="how much is said there")


def no_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Of a command that keeps none: Salt's have these, to be silent often enough (`--log-file /dev/null`)."""
    parser.add_argument("--log-file", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--log-file-level", type=file_level_of, metavar="LEVEL", help=argparse.SUPPRESS)


def out_arguments(parser: argparse.ArgumentParser) -> None:
    """How data is printed."""
    known = ", ".join(leaf_files("outputters"))
    parser.add_argument("--out", "--output", metavar="OUT", help=f"{known}, or one of your own")
    parser.add_argument("--out-indent", "--output-indent", type=int, metavar="N", help="indentation of json output")
    text = "write the output to this file, which is emptied first"
    parser.add_argument("--out-file", "--output-file", metavar="FILE", help=text)
    text = "with --out-file: keep what is in it"
    parser.add_argument("--out-file-append", "--output-file-append", action="store_true", help=text)
    parser.add_argument("--no-color", "--no-colour", action="store_true", help="never colour the output")
    parser.add_argument("--force-color", "--force-colour", action="store_true", help="colour it even in a pipe")
    parser.set_defaults(check=check_out)


def check_out(args: argparse.Namespace) -> None:
    """Failure if --out names no outputter, packed or below the configuration directory, or --out-file no file that can
    be written, which is emptied."""
    out, path = getattr(args, "out", None), getattr(args, "out_file", None)
    if out and out not in (known := leaf_files("outputters", {"conf_dir": args.config_dir})):
        raise Failure(f"--out {out}: there is no such outputter{nearest(out, known)} ({', '.join(known)}).", EX_USAGE)
    if path:
        try:
            with open(path, "a" if args.out_file_append else "w"):
                pass
        except OSError as error:
            raise Failure(f"--out-file {path} cannot be written: {error.strerror}.", EX_USAGE) from None


def no_room(tree: MasterTree) -> str:
    """That a master takes no returns for want of room, "" if it does."""
    try:
        tree.check_room()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            least = f"less than keep_free ({tree.opts['keep_free']} bytes) is free on {tree.cache}"
            return f"The master takes no returns: {least}; make room"
    return ""


def is_terminal(stream: Any) -> bool:
    """Whether a stream is a terminal; one that was closed before the start is None."""
    return stream is not None and bool(stream.isatty())


def for_people(args: argparse.Namespace) -> bool:
    """Whether what is printed is read by a person: names may be folded there, and have a retcode beside them."""
    return args.out is None or args.out in PEOPLE


def to_terminal(args: argparse.Namespace) -> bool:
    """Whether what is printed goes to a terminal."""
    return is_terminal(sys.stdout) and not getattr(args, "out_file", None)


def rendered(data: Any, args: argparse.Namespace, out: str | None, retcode: int = 0, color: bool = True) -> str:
    """The text of data by the outputter that was asked for, or the one that fits; '' if there is none."""
    no_color = not color or args.no_color or "NO_COLOR" in os.environ
    opts = style(to_terminal(args), no_color, color and args.force_color, args.out_indent) | {
        "retcode": retcode,
        "conf_dir": args.config_dir,
        "ascii": not speaks_utf8(),
        **getattr(args, "states", {}),
    }
    return printed(data, args.out or out, opts)


def write(text: str, args: argparse.Namespace) -> None:
    """A text and a line end, for stdout or the file of --out-file."""
    if path := getattr(args, "out_file", None):
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{text}\n")
    else:
        say(text)


def wished(line: Mapping[str, Any]) -> str | None:
    """The outputter that a `ret` line asks for, as the function's module has it; None if it asks for none, or may not:
    the minion chooses, and what it says must not look like another one's words, nor hide them."""
    out = line.get("out")
    return out if isinstance(out, str) and out not in UNASKED else None


def show(data: Any, args: argparse.Namespace, out: str | None, retcode: int = 0) -> None:
    """Print with the outputter that was asked for, or the one that fits."""
    if text := rendered(data, args, out, retcode):
        write(text, args)
