"""Run a function on minions: publish, print the returns as they come, name who is silent.

What the words of a command line mean, and how states are shown, is here for `call` too."""

from __future__ import annotations

import argparse
import json
import re
import select
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from saltlite import (
    EX_FAILED,
    EX_NO_MATCH,
    EX_OK,
    KWARG,
    Command,
    Failure,
    check,
    options_of,
    packed_leaf,
    yaml_word,
)
from saltlite import client as client_class

terminal = packed_leaf("terminal", "text")
out_arguments, show = terminal.out_arguments, terminal.show
targets, nodes, reports = (packed_leaf("terminal", name) for name in ("targets", "nodes", "report"))
local_client = packed_leaf("clients", "LocalClient")

TARGET_FLAGS = targets.TARGET_FLAGS
TICK = 0.05  # seconds without a line after which the screen is looked at
AGAIN = 1.5  # seconds in which a second Ctrl-C offers to cancel
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def share(word: str) -> int | str:
    """`10` or `10%`, from 1 minion, up to all of them."""
    found = re.fullmatch(r"([0-9]{1,9})|%?([0-9]{1,3}(?:\.[0-9]+)?)%?", word)
    if found and found[1] and int(found[1]) > 0:
        return int(found[1])
    if found and found[2] and "%" in word and 0 < float(found[2]) <= 100:
        return f"{found[2]}%"
    raise argparse.ArgumentTypeError(f"{word!r} is neither a number of minions, 10 say, nor a share of them, 10%")


def shares(word: str) -> list[str]:
    """`1,10%,100%`."""
    return [str(share(part.strip())) for part in word.split(",")]


def errors(word: str) -> int | str:
    """As `share`, but 0 is one, too."""
    return 0 if word == "0" else share(word)


def positive(word: str) -> int:
    """A number from 1 on."""
    if not re.fullmatch("[0-9]{1,9}", word) or not int(word):
        raise argparse.ArgumentTypeError(f"{word!r} is no number from 1 on")
    return int(word)


def rate(word: str) -> float:
    """`5/s`, `30/m`; 5 is 5/s. Starts per second."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)(?:/([smhd]))?", word)
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{word!r} is no rate; say 5/s, or 30/m")
    return float(found[1]) / UNITS[found[2] or "s"]


def duration(word: str) -> float:
    """`90`, `30m`, `24h`, `2d`: seconds."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)([smhdw]?)", word)
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{word!r} is no time; say 90, 30m, 24h or 2d")
    return float(found[1]) * UNITS[found[2] or "s"]


def mapping(word: str) -> dict[str, Any]:
    """`{key: value}` in YAML."""
    found = yaml_word(word)
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{word!r} is no map, such as '{{ticket: 17}}'")
    return found


ROLL_OUT: tuple[tuple[tuple[str, ...], Callable[[str], Any] | None, str, str], ...] = (
    # flags, of which the last names the field of the request; how the word is read (None: there is none); metavar; help
    (("-b", "--batch-size", "--batch"), share, "N", "begin it on so many minions at a time, 10 or 10%%"),
    (("--batch-wait",), duration, "SEC", "with -b: after each return, so long until the next is begun"),
    (("--canary",), shares, "LIST", "begin it on so many, 1,10%%,100%% say, and go on each time when all went well"),
    (("--max-errors",), errors, "N", "begin it on no more minions when so many have failed, 3 or 5%%"),
    (("--failhard",), None, "", "the same after the first that fails"),
    (("--rate",), rate, "RATE", "begin it on so many minions a second, 5/s, or 30/m"),
    (("--queue",), duration, "TIME", "who is absent runs it when he comes back within this time, 24h say"),
    (("--stream",), None, "", "show the output of cmd.run line by line while it runs"),
    (("--subset",), positive, "N", "on so many of the minions, which the master draws"),
    (("--gather-job-timeout",), float, "SEC", "wait so long for what silent minions say of the job"),
    (("--metadata",), mapping, "MAP", "kept with the job and sent to the minions"),
)
FIELDS = [flags[-1][2:].replace("-", "_") for flags, *_ in ROLL_OUT]

REFUSED = {  # Salt's options that are not here: why, and what to do
    ("--return",): local_client.NO_RETURNERS,
    ("--return_config", "--return_kwargs"): local_client.NO_RETURNERS,
    ("-a", *terminal.EAUTH): terminal.NO_EAUTH,
    ("--batch-safe-limit", "--batch-safe-size"): "say -b with the number of minions that run at a time.",
    ("--delimiter",): "the delimiter is the colon; in a compound target a letter may have its own, as in G;@a;b.",
    ("--module-executors", "--executor-opts"): "there are no module executors; leave it out.",
    ("--args-separator",): "functions are parted by a comma, as in `a.b,c.d 1 , 2`.",
    ("--no-parse",): terminal.NO_PARSE,
    ("--args-stdin",): terminal.NO_STDIN,
}


def target_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom a job is for, what it runs, and how it is begun."""
    targets.kind_arguments(parser)
    parser.add_argument(
        "-t", "--timeout", type=float, metavar="SEC", help="wait this long before asking silent minions"
    )
    parser.add_argument("--async", dest="is_async", action="store_true", help="print the jid and do not wait")
    doc = "print the documentation of FUNCTION, of a module, or of all"
    parser.add_argument("-d", "--doc", "--documentation", action="store_true", help=doc)
    preview = "print who would run, and why; run nothing"
    parser.add_argument("--preview", "--preview-target", action="store_true", help=preview)
    for flags, read, metavar, text in ROLL_OUT:
        how: dict[str, Any] = {"type": read, "metavar": metavar} if read else {"action": "store_true", "default": None}
        parser.add_argument(*flags, dest=flags[-1][2:].replace("-", "_"), help=text, **how)
    terminal.refuse(parser, REFUSED)
    terminal.ignore(parser, "--hard-crash")
    tgt = "ids as a glob, a node set such as web[01-40], or as the letter"
    parser.add_argument("tgt", nargs="?", metavar="TARGET", help=tgt)
    parser.add_argument("fun", nargs="?", metavar="FUNCTION")
    parser.add_argument("arg", nargs="*", default=[], metavar="ARG", help="YAML; k=v is a keyword argument")
    parser.set_defaults(wrong=parser.error)


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


def word_of(value: Any) -> str:
    """A word of a command line that `load_yaml_args` takes for this value."""
    if isinstance(value, str):
        plain = not KWARG.match(value) and yaml_word(value) == value
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    return f"[{', '.join(map(flow, value))}]" if isinstance(value, list) else json.dumps(value, default=str)


def flow(value: Any) -> str:
    """A value inside of {…} or […]."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else word_of(value)


def words_of(arg: Iterable[Any]) -> list[str]:
    """The words that `load_yaml_args` takes for these arguments, as a job has them: the reverse of it."""
    words: list[str] = []
    for value in arg:
        if isinstance(value, dict) and value.get("__kwarg__"):
            words += [f"{name}={word_of(each)}" for name, each in value.items() if name != "__kwarg__"]
        else:
            words.append(word_of(value))
    return words


STATE_FLAGS = ("state_verbose", "state_output_pct", "state_compress_ids")  # options that are True or False


def state_arguments(parser: argparse.ArgumentParser) -> None:
    """How states are shown, each as the option of the same name in the configuration."""
    options = options_of("master")
    parser.add_argument("--state-output", metavar="HOW", help=options["state_output"].kind.wanted)
    parser.add_argument("--state_output", dest="state_output", help=argparse.SUPPRESS)  # Salt's other names
    for name in STATE_FLAGS:
        how: dict[str, Any] = {"type": str.capitalize, "choices": ["True", "False"], "help": options[name].help}
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="BOOL", **how)
        parser.add_argument(f"--{name}", dest=name, **how | {"help": argparse.SUPPRESS})


def state_style(args: argparse.Namespace, opts: Mapping[str, Any]) -> None:
    """Put together for `show` what the command line says of states, and behind it the configuration."""
    option = options_of("master")["state_output"]
    option = option._replace(kind=packed_leaf("options", "both").STATE_OUTPUT)
    how = check("--state-output", args.state_output, option, "the command line")
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


def show_preview(args: argparse.Namespace, target: Any, fleet: Any) -> int:
    """Print who would run, why, and who is unknown; gives the exit code. `--out json`: one map of these."""
    try:
        found = targets.preview(target, fleet)
    except OSError as error:
        raise Failure(f"{error.filename} is closed to you ({error.strerror}): run this as the master's user.") from None
    ids = [*(minion_id for those in found.match.values() for minion_id in those), *found.may]
    if not terminal.for_people(args):
        data = {"match": found.match, "may_match": found.may, "unknown": found.unknown, "subset": args.subset}
        show(data, args, None)
    else:
        lines = [f"{nodes.fold(those)} ({len(those)}): {why}" for why, those in found.match.items()]
        may = "may match, for the master knows too little of them"
        lines += [f"{nodes.fold(found.may)} ({len(found.may)}): {may}"] if found.may else []
        text = f"{len(ids)} of {len(fleet.accepted())} accepted minions would run it"
        subset = f", of which the master draws {args.subset}" if args.subset and args.subset < len(ids) else ""
        terminal.write("\n".join([*lines, f"{text}{subset}."]), args)
    for sentence in targets.complaints(found.unknown, fleet) if found.unknown else ():
        print(f"saltlite: {sentence}", file=sys.stderr)
    if not ids:
        hint = "" if found.unknown else targets.might_mean(target, fleet)
        print(*([f"saltlite: {hint}"] if hint else []), sep="\n", end="\n" if hint else "", file=sys.stderr)
        return EX_NO_MATCH
    return EX_FAILED if found.unknown else EX_OK


def interrupted(args: argparse.Namespace, client: Any, jid: str) -> int:
    """Ctrl-C: the job goes on. Say how it is seen again, and to a second Ctrl-C that it can be cancelled."""
    conf = f" -c {args.config_dir}" if args.config_dir != "/etc/salt" else ""
    caret = "\r\x1b[K" if terminal.is_terminal(sys.stderr) else ""  # the terminal has written ^C
    print(f"{caret}Exiting gracefully on Ctrl-c\nThis job's jid is: {jid}", file=sys.stderr)
    print(f"It goes on; to see it again: saltlite jobs follow {jid}{conf}", file=sys.stderr)
    if not (terminal.is_terminal(sys.stdin) and caret):
        return EX_FAILED
    try:
        print("Ctrl-C once more, now, to cancel it.", end="", flush=True, file=sys.stderr)
        select.select([sys.stdin], [], [], AGAIN)  # who goes on typing does not wait
        print(caret, end="", flush=True, file=sys.stderr)
    except KeyboardInterrupt:
        offer_to_cancel(client, jid, caret)
    return EX_FAILED


def offer_to_cancel(client: Any, jid: str, caret: str) -> None:
    """Ask, and remove the job's file, which is how jobs are cancelled."""
    try:
        print(f"{caret}Cancel job {jid} on all its minions? [y/N] ", end="", flush=True, file=sys.stderr)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            (client.jobs / "active" / f"{jid}.jsonl").unlink()
            print(f"Job {jid} is cancelled.", file=sys.stderr)
    except KeyboardInterrupt:
        print(file=sys.stderr)
    except FileNotFoundError:
        print(f"Job {jid} is over already.", file=sys.stderr)
    except OSError as error:
        print(f"Job {jid} goes on: {error.filename}: {error.strerror}.", file=sys.stderr)


def show_job(args: argparse.Namespace, client: Any, jid: str, target: Any = None, fleet: Any = None) -> int:
    """Print a job's returns until it is over; gives the exit code."""
    report = reports.Report(args, jid, target, fleet)
    try:
        for line in client.follow(jid, TICK):
            report.tick() if line is None else report.take(line)
            if report.over:
                break
        return int(report.finish())
    except KeyboardInterrupt:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # until all that has come is on the screen
        report.close()
        signal.signal(signal.SIGINT, before)
        return interrupted(args, client, jid)
    finally:
        report.close()


def main(args: argparse.Namespace) -> int:
    """Publish, print returns as they come, name the silent. Exit codes: README, `What salt exits with`."""
    if args.doc:
        args.tgt = "*" if args.tgt is None else args.tgt
        args.fun, args.arg = "sys.doc", [args.fun, *args.arg] if args.fun else []
    given = {"TARGET": args.tgt is not None, "FUNCTION": args.fun or args.preview}
    if missing := [name for name, there in given.items() if not there]:
        args.wrong(f"the following arguments are required: {', '.join(missing)}")
    if not args.tgt:
        args.wrong("TARGET is empty: '*' is all minions")
    client = client_class("LocalClient")(args.config_dir)
    state_style(args, client.opts)
    fleet = targets.Fleet(client.opts, local_client.caller())
    target = targets.meant(args.tgt, args.tgt_type, fleet)
    if args.preview:
        return show_preview(args, target, fleet)
    fun, arg, kwarg = job_words(args)
    fields = {name: getattr(args, name) for name in FIELDS}
    jid = client.submit(target.tgt, fun, arg, kwarg, target.tgt_type, args.timeout, **fields)
    if args.is_async:
        return int(reports.Report(args, jid, target, fleet).published(next(iter(client.follow(jid)))))
    return show_job(args, client, jid, target, fleet)


arguments = (
    terminal.config_arguments,
    terminal.level_arguments,
    terminal.no_log_arguments,
    out_arguments,
    state_arguments,
)
EXAMPLES = """
salt '*' test.ping                      who is there
salt 'web*' cmd.run 'uptime' cwd=/tmp   a command; words of the form k=v are keyword arguments
salt -G 'os:Debian' pkg.version bash    a target by grains; -L a,b: a list; -C 'web* and G@os:Debian': compound
salt --out json --static '*' grains.item os
salt '*' sys.doc cmd.run                what there is to say of a function
"""
COMMAND = Command("run a function on minions", main, (*arguments, reports.report_arguments, target_arguments), EXAMPLES)
