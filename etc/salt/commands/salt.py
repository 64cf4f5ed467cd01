"""Run a function on minions: publish, print the returns as they come, name who is silent.

What the words of a command line mean, and how states are shown, is here for `call` too."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from saltlite import (
    EX_FAILED,
    EX_MINION,
    EX_NO_MATCH,
    EX_OK,
    KWARG,
    Command,
    all_well,
    check,
    options_of,
    packed_leaf,
    say,
    yaml_word,
)
from saltlite import client as client_class

terminal = packed_leaf("terminal", "text")
out_arguments, show = terminal.out_arguments, terminal.show


if TYPE_CHECKING:
    import argparse


TARGET_FLAGS = (
    ("-E", "--pcre", "pcre"),
    ("-L", "--list", "list"),
    ("-G", "--grain", "grain"),
    ("-P", "--grain-pcre", "grain_pcre"),
    ("-I", "--pillar", "pillar"),
    ("-J", "--pillar-pcre", "pillar_pcre"),
    ("-N", "--nodegroup", "nodegroup"),
    ("-R", "--range", "range"),
    ("-S", "--ipcidr", "ipcidr"),
    ("-C", "--compound", "compound"),
)


def target_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_mutually_exclusive_group()
    for flag, name, tgt_type in TARGET_FLAGS:
        text = f"the target is a {tgt_type.replace('_', ' ')}"
        kinds.add_argument(flag, name, dest="tgt_type", action="store_const", const=tgt_type, help=text)
    parser.add_argument(
        "-t", "--timeout", type=float, metavar="SEC", help="wait this long before asking silent minions"
    )
    parser.add_argument("--async", dest="is_async", action="store_true", help="print the jid and do not wait")
    parser.add_argument("-s", "--static", action="store_true", help="print everything at once, at the end")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the jid, and who does not return")
    parser.add_argument("tgt", metavar="TARGET")
    parser.add_argument("fun", metavar="FUNCTION")
    parser.add_argument("arg", nargs="*", metavar="ARG", help="YAML; k=v is a keyword argument")


def load_yaml_args(words: Iterable[str]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a function as written on the command line: words become values by YAML, `name=value` a keyword
    argument. A number that may be a jid stays text."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        if found := KWARG.match(word):
            kwargs[found[1]] = yaml_word(found[2])
            continue
        value = yaml_word(word)
        args.append(str(value) if isinstance(value, int) and len(str(value)) == 20 else value)
    return args, kwargs


STATE_FLAGS = ("state_verbose", "state_output_pct", "state_compress_ids")  # options that are True or False


def state_arguments(parser: argparse.ArgumentParser) -> None:
    """How states are shown, each as the option of the same name in the configuration."""
    options = options_of("master")
    parser.add_argument("--state-output", metavar="HOW", help=options["state_output"].kind.wanted)
    for name in STATE_FLAGS:
        how: dict[str, Any] = {"type": str.capitalize, "choices": ["True", "False"], "help": options[name].help}
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="BOOL", **how)


def state_style(args: argparse.Namespace, opts: Mapping[str, Any]) -> None:
    """Put together for `show` what the command line says of states, and behind it the configuration."""
    how = check("--state-output", args.state_output, options_of("master")["state_output"], "the command line")
    args.states = {"state_output": how if args.state_output else opts["state_output"]}
    for name in STATE_FLAGS:
        args.states[name] = getattr(args, name) == "True" if getattr(args, name) else opts[name]


def job_words(args: argparse.Namespace) -> tuple[str | list[str], list[Any], dict[str, Any]]:
    """fun, arg and kwarg from the words of the command line; `a.b,c.d X , Y` is two functions, parted by a comma."""
    if "," not in args.fun:
        arg, kwarg = load_yaml_args(args.arg)
        return args.fun, arg, kwarg
    functions = args.fun.split(",")
    groups: list[list[str]] = [[]]
    for word in args.arg:
        if word == ",":
            groups.append([])
        elif word.startswith(",") and len(word) > 1:
            groups.append([word[1:]])
        else:
            groups[-1].append(word)
    lists = []
    for group in (groups + [[] for _ in functions])[: len(functions)]:
        arg, kwarg = load_yaml_args(group)
        lists.append([*arg, {"__kwarg__": True, **kwarg}] if kwarg else arg)
    return functions, lists, {}


def target_of(args: argparse.Namespace) -> str | list[str]:
    """The target; of a list its ids, which commas part, or blanks where there is no comma."""
    if args.tgt_type != "list":
        return str(args.tgt)
    return args.tgt.replace(" ", "").split(",") if "," in args.tgt else args.tgt.split()


def silence(line: dict[str, Any]) -> str:
    """What is printed for a minion that did not return."""
    since = line.get("since")
    heard = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since)) if since else "never"
    why = "It answers, but does not run the job" if line.get("answered") else "No response"
    return f"Minion did not return. [{why}; last heard: {heard}]"


def show_job(args: argparse.Namespace, client: Any, jid: str) -> int:
    """Print a job's returns; gives the exit code."""
    bad: set[int] = set()
    everything: dict[str, Any] = {}
    out = None  # the outputter of what comes at once
    silent: dict[str, str] = {}
    count, wanted, began = 0, 0, time.monotonic()
    progress = sys.stderr.isatty() and sys.stdout.isatty()
    for line in client.follow(jid):
        if line["event"] == "new":
            wanted = len(line["minions"])
        elif line["event"] == "ret":
            count += 1
            silent.pop(line["id"], None)
            well = all_well(line)
            if not well:
                bad.add(EX_MINION if line.get("success") is False and line.get("out") == "nested" else EX_FAILED)
            if args.static or args.fun == "sys.doc":
                everything[line["id"]] = line["return"]
                out = line["out"] if line.get("out", "nested") != "nested" else out
            else:
                show({line["id"]: line["return"]}, args, line.get("out"), not well)
        elif line["event"] == "silent":
            silent[line["id"]] = silence(line)
        if progress and time.monotonic() - began > 1:
            print(f"\r\x1b[K{count} of {wanted} returned", end="\r", file=sys.stderr)
    if progress:
        print("\r\x1b[K", end="", file=sys.stderr)
    if not wanted:
        say("No minions matched the target. No command was sent, no jid was assigned.")
        return EX_NO_MATCH
    if args.fun == "sys.doc" and not args.out:
        show(everything, args, "docs")
        everything = {}
    if everything or args.static:
        show(everything | (silent if args.static else {}), args, out)
    if silent:
        bad.add(EX_FAILED)
        if not args.static:
            show(silent, args, "no_return")
    return min(bad, default=EX_OK)


def main(args: argparse.Namespace) -> int:
    """Publish, print returns as they come, name the silent. Exit codes: README, `What salt exits with`."""
    client = client_class("LocalClient")(args.config_dir)
    state_style(args, client.opts)
    fun, arg, kwarg = job_words(args)
    jid = client.submit(target_of(args), fun, arg, kwarg, args.tgt_type or "glob", args.timeout)
    if args.is_async:
        next(iter(client.follow(jid)))
        say(f"Executed command with job ID: {jid}")
        return EX_OK
    if args.verbose:
        say(f"Executing job with jid {jid}\n{'-' * 43}\n")
    try:
        return show_job(args, client, jid)
    except KeyboardInterrupt:
        print(f"\nExiting gracefully on Ctrl-c\nThis job's jid is: {jid}", file=sys.stderr)
        return EX_FAILED


arguments = (terminal.config_arguments, terminal.log_arguments, out_arguments, state_arguments)
EXAMPLES = """
salt '*' test.ping                      who is there
salt 'web*' cmd.run 'uptime' cwd=/tmp   a command; words of the form k=v are keyword arguments
salt -G 'os:Debian' pkg.version bash    a target by grains; -L a,b: a list; -C 'web* and G@os:Debian': compound
salt --out json --static '*' grains.item os
salt '*' sys.doc cmd.run                what there is to say of a function
"""
COMMAND = Command("run a function on minions", main, (*arguments, target_arguments), EXAMPLES)
