"""Manual pages, made of what --help is made of: a command's row and its parser."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from saltlite import SALT_VERSION, VERSION, Command, command, leaf_files, packed_leaf, parser_of

LINKED = [name.removeprefix("salt-") for name in packed_leaf("terminal", "shells").LINKED]  # they have names of Salt's
FILES = (
    ("/etc/salt/master, /etc/salt/minion", "the options of the daemons, with those in master.d and minion.d"),
    ("/etc/salt/pki/master/minions", "the accepted keys: moving a file there accepts it, moving it away revokes it"),
    ("/var/cache/salt/master/jobs", "jobs: new, active, done"),
    ("/var/cache/salt/minion", "what a minion keeps: running jobs, returns on their way, files"),
)
OVERVIEW = f"""saltlite is a Salt master and a Salt minion in one file, which speak the wire of Salt {SALT_VERSION}.
The directory tree is its state: keys are accepted by mv, a job is a file, and removing that file cancels the job."""


def page_name(name: str) -> str:
    """What the page of a command is called: salt-key, or saltlite-events where Salt has no such program."""
    return "salt" if name == "salt" else f"salt-{name}" if name in LINKED else f"saltlite-{name}"


def listed() -> dict[str, Command]:
    """The commands that are for people, by name."""
    rows = {name: command(name) for name in leaf_files("commands")}
    return {name: row for name, row in rows.items() if row.help}


def escaped(text: str) -> str:
    """A text as roff takes it as it is: no escapes, hyphens that can be searched for, no line that is a request."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", "\\\\&", plain, flags=re.MULTILINE)


def words_of(action: argparse.Action) -> str:
    """How an argument is typed: `-c DIR, --config-dir DIR` in bold and italics, or its name."""
    choices = ",".join(map(str, action.choices or ()))
    value = action.metavar or (f"{{{choices}}}" if choices else action.dest.upper())
    value = " ".join(value) if isinstance(value, tuple) else value
    if not action.option_strings:
        return f"\\fI{escaped(value)}\\fR"
    behind = f" \\fI{escaped(value)}\\fR" if action.nargs != 0 else ""
    return ", ".join(f"\\fB{escaped(flag)}\\fR{behind}" for flag in action.option_strings)


def actions_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[argparse.Action]]]:
    """The headings of --help and the arguments below each, but for what is not told."""
    for group in parser._action_groups:
        shown = [each for each in group._group_actions if each.help != argparse.SUPPRESS]
        if shown:
            yield str(group.title), shown


def page(name: str) -> str:
    """The page of a command, in the language of man(7)."""
    row, title = command(name), page_name(name)
    parser = parser_of(row, title.replace("saltlite-", "saltlite "))
    synopsis = " ".join(parser.format_usage().removeprefix("usage: ").split())
    lines = head(title, row.help, synopsis)
    lines += [".SH DESCRIPTION", escaped(f"{row.help[0].upper()}{row.help[1:]}."), ".P"]
    lines += [f"The same as \\fBsaltlite {escaped(name)}\\fR."] if name in LINKED else []
    for heading, actions in actions_of(parser):
        lines.append(f'.SH "{escaped(heading.upper())}"')
        for action in actions:
            text = (action.help or "").replace("%%", "%")
            text += f" (default: {action.default})" if action.dest == "config_dir" else ""
            lines += [".TP", words_of(action), escaped(text)]
    if row.examples:
        lines += [".SH EXAMPLES", ".nf", escaped(row.examples.strip("\n")), ".fi"]
    return "\n".join([*lines, *tail(title)]) + "\n"


def head(title: str, what: str, synopsis: str) -> list[str]:
    program, _, rest = synopsis.partition(" [")
    lines = [f'.TH "{escaped(title.upper())}" "1" "" "saltlite {VERSION}" "saltlite"', ".SH NAME"]
    lines += [f"{escaped(title)} \\- {escaped(what)}", ".SH SYNOPSIS"]
    return [*lines, f"\\fB{escaped(program)}\\fR {escaped('[' + rest) if rest else ''}".rstrip()]


def tail(title: str) -> list[str]:
    lines = [".SH FILES"]
    for path, what in FILES:
        lines += [".TP", escaped(path), escaped(what)]
    others = ["saltlite", *map(page_name, listed())]
    see = ", ".join(f"\\fB{escaped(other)}\\fR(1)" for other in others if other != title)
    return [*lines, ".SH SEE ALSO", see]


def overview() -> str:
    """The page `saltlite`."""
    lines = head("saltlite", "a Salt master and a Salt minion in one file", "saltlite COMMAND [ARGUMENT ...]")
    lines += [".SH DESCRIPTION", escaped(OVERVIEW), ".SH COMMANDS"]
    for name, row in listed().items():
        lines += [".TP", f"\\fB{escaped(name)}\\fR", escaped(f"{row.help}; see {page_name(name)}(1)")]
    return "\n".join([*lines, *tail("saltlite")]) + "\n"


def pages() -> dict[str, str]:
    """All pages by their names."""
    return {"saltlite": overview()} | {page_name(name): page(name) for name in listed()}
