"""Say what may come next on a command line, one word a line: for shells, which ask at each <Tab>.

What a word is follows from the parser that --help is made of too: an option's choices, or what its metavar names: an id
or a target from the key tree, a function from the module files, a jid from jobs/. Nothing for a file: shells know
those themselves. It is quick, so it reads one module's file and not all, and it never fails: it says nothing."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from saltlite import (
    DIRECTORIES,
    EX_OK,
    INSTANT,
    Command,
    Execution,
    Failure,
    Functions,
    command,
    leaf_files,
    load_opts,
    names,
    packed_leaf,
    parser_of,
    say,
    valid_id,
)

DEF = re.compile(r"^def ([a-z]\w*)\(", re.MULTILINE)
SHOWN = 1000  # words at the most
JOBS = 50  # of the last jobs
MAX_MODULE = 1 << 20  # bytes of a file that is looked through for functions
PLAIN = re.compile(r"[\w.,:@%+=/^~-]+")  # what no shell takes for anything but a word: bash inserts it as it is
BREAKS = "=:@"  # bash begins a new word behind these


class Words:
    """What may stand in some place, from the tree whose configuration is in `conf_dir`."""

    def __init__(self, conf_dir: str, role: str) -> None:
        self.opts: dict[str, Any] = {}
        with contextlib.suppress(Failure, OSError):
            self.opts = load_opts(role, conf_dir)

    def ids(self, *states: str) -> list[str]:
        """The ids whose keys are in these states."""
        with contextlib.suppress(OSError, KeyError):
            pki = Path(self.opts["pki_dir"])
            return [name for state in states for name in names(pki / DIRECTORIES[state]) if valid_id(name)]
        return []

    def targets(self, args: list[str]) -> list[str]:
        """Ids, or with -N the groups."""
        groups = [str(name) for name in self.opts.get("nodegroups", {})]
        return groups if {"-N", "--nodegroup"} & set(args) else self.ids("accepted")

    def keys(self, verb: str) -> list[str]:
        """The ids that a verb of `key` is for."""
        return self.ids("pending") if verb in ("accept", "reject") else self.ids(*DIRECTORIES)

    def jids(self) -> list[str]:
        """Those of active jobs and of the last finished ones, the latest first."""
        with contextlib.suppress(OSError, KeyError):
            jobs = Path(self.opts["cachedir"]) / "jobs"
            places = [jobs / "active", *(jobs / "done" / day for day in reversed(names(jobs / "done")))]
            found = (name.partition(".")[0] for place in places for name in reversed(names(place)))
            return list(itertools.islice(found, JOBS))
        return []

    def functions(self, word: str) -> list[str]:
        """Modules, with a dot behind them, or the functions of the one that is named."""
        own = {path.stem: path for root in self.opts.get("file_roots", {}).get("base", []) for path in modules_in(root)}
        files = leaf_files("modules", self.opts or None)
        module, dot, _ = word.partition(".")
        if not dot:
            return [f"{name}." for name in sorted({*files, *own, *(fun.partition(".")[0] for fun in INSTANT)})]
        if module in own:  # for minions, so it is not run here
            text = own[module].read_text(errors="replace") if own[module].stat().st_size <= MAX_MODULE else ""
            return [f"{module}.{name}" for name in DEF.findall(text)]
        execution: Any = Execution({**self.opts, "disable_modules": []}, None, {}, {})  # type: ignore[arg-type]
        execution.grains = execution.pillar = {}
        mine = {fun: function for fun, function in INSTANT.items() if fun.startswith(f"{module}.")}
        return list(Functions(execution, {module: files[module]} if module in files else {}, mine))


def modules_in(root: str) -> list[Path]:
    return sorted(path for path in Path(root, "_modules").glob("*.py") if path.name[0] != "_")


def expected_value(action: argparse.Action, word: str, args: list[str], tree: Callable[[], Words]) -> Iterable[str]:
    """What an argument of a command may be."""
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    if action.choices:
        return map(str, action.choices)
    if metavar == "OUT":
        return leaf_files("outputters")
    if metavar == "LEVEL":
        return packed_leaf("options", "both").LEVELS
    if metavar == "COMMAND":
        return [name for name in leaf_files("commands") if command(name).help]
    if metavar == "FUNCTION":
        return tree().functions(word)
    if metavar == "JID":
        return tree().jids()
    if metavar == "STATE":
        return ("acc", "pre", "rej", "den", "all")
    if metavar == "GLOB":
        return tree().keys(action.dest)
    if metavar in ("TARGET", "ID"):
        return tree().targets(args)
    return ()


def positional(parser: argparse.ArgumentParser, args: list[str]) -> argparse.Action | None:
    """The argument without a flag that comes next, behind these."""
    options, free = parser._option_string_actions, 0
    skip = False
    for arg in args:
        if skip or arg.startswith("-"):
            action = options.get(arg)
            skip = not skip and action is not None and action.nargs != 0
        else:
            free += 1
    places = [action for action in parser._actions if not action.option_strings and action.help != argparse.SUPPRESS]
    for action in places:
        if action.nargs in ("*", "+"):
            return action
        if not free:
            return action
        free -= 1
    return None


def flags(parser: argparse.ArgumentParser) -> list[str]:
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    return [flag for action in shown for flag in action.option_strings]


def answers(words: list[str]) -> Iterable[str]:
    """What may be in the place of the last of the words, the program first."""
    program, *args, word = words if len(words) > 1 else [*words, ""]
    name = os.path.basename(program)
    name = "salt" if name == "salt" else name.removeprefix("salt-")
    if name not in leaf_files("commands"):
        if not args:
            return [each for each in leaf_files("commands") if command(each).help]
        name, *args = args
    if name not in leaf_files("commands"):
        return []
    parser = parser_of(command(name), name)
    role = "minion" if name in ("call", "minion") else "master"
    conf_dir = next((args[n + 1] for n, a in enumerate(args[:-1]) if a in ("-c", "--config-dir")), "/etc/salt")

    def tree() -> Words:
        return Words(conf_dir, role)

    before = parser._option_string_actions.get(args[-1]) if args else None
    flag, equals, value = word.partition("=")
    if before and before.nargs != 0:
        return expected_value(before, word, args, tree)
    if word.startswith("--") and equals and (action := parser._option_string_actions.get(flag)):
        return [f"{flag}={each}" for each in expected_value(action, value, args, tree)]
    if word.startswith("-"):
        return flags(parser)
    found = positional(parser, args)
    return expected_value(found, word, args, tree) if found else ()


def split(line: str) -> list[str]:
    """The words of a command line that is not whole: a quote may be open, and the last word is empty behind a blank."""
    for end in ("", "'", '"'):
        with contextlib.suppress(ValueError):
            found = shlex.split(line + end)
            return found + [""] if not end and line[-1:].isspace() else found
    return []


def complete_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shell", choices=["bash"], help="the words are one line, and only its last part is wanted")
    parser.add_argument("words", nargs="*", metavar="WORD", help="the words before the cursor, the program first")


def main(args: argparse.Namespace) -> int:
    """Print the words that begin as the last one does."""
    words = split(" ".join(args.words)) if args.shell else args.words
    word = words[-1] if len(words) > 1 else ""
    found: list[str] = []
    with contextlib.suppress(Exception):  # whatever the tree, or a site's file, holds: a shell is no place for it
        found = sorted({each for each in answers(words) if each.startswith(word) and PLAIN.fullmatch(each)})
    cut = max((word.rfind(mark) for mark in BREAKS), default=-1) + 1 if args.shell else 0
    if found:
        say("\n".join(each[cut:] for each in found[:SHOWN]))
    return EX_OK


COMMAND = Command("", main, (complete_arguments,))
