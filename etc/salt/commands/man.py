"""Show a command's manual page, which is made of what --help is made of."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys

from saltlite import EX_OK, EX_USAGE, Command, Failure, command, nearest, packed_leaf, parser_of, say

manual = packed_leaf("terminal", "manual")


def man_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--roff", action="store_true", help="print the page as man(1) reads it")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="key, salt-key or saltlite-key; without: all")


def main(args: argparse.Namespace) -> int:
    """Show the page with man(1), or as --help has it where there is none."""
    listed = manual.listed()
    asked = args.command or ""
    name = asked if asked in listed else asked.removeprefix("saltlite").removeprefix("salt").removeprefix("-")
    if name and name not in listed:
        raise Failure(f"man {asked}: there is no such command{nearest(asked, listed)} ({', '.join(listed)}).", EX_USAGE)
    page = manual.page(name) if name else manual.overview()
    if args.roff:
        say(page.rstrip())
    elif shutil.which("man"):
        sys.stdout.flush()
        done = subprocess.run(["man", "-l", "-"], input=page.encode(), check=False)
        return done.returncode
    elif name:
        say(parser_of(command(name), manual.page_name(name)).format_help().rstrip())
    else:
        say("\n".join(f"{each:10}{row.help}" for each, row in listed.items()))
    return EX_OK


EXAMPLES = """
saltlite man salt                       all there is to say of salt
saltlite man                            the commands
saltlite man --roff key > salt-key.1    a page for a package
"""
COMMAND = Command("show a command's manual page", main, (man_arguments,), EXAMPLES)
