"""The master's jobs, from their files: list them, show one again, follow it, cancel it, hold up a roll-out. No master
needs to run for what only reads; and what changes something moves a file, and says which."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from saltlite import (
    EX_FAILED,
    EX_OK,
    EX_USAGE,
    Command,
    Failure,
    command,
    functions_in,
    jid_of,
    nearest,
    packed_leaf,
    parse_words,
    parser_of,
    printable,
    say,
)
from saltlite import client as client_class

terminal = packed_leaf("terminal", "text")
tables, times = packed_leaf("terminal", "tables"), packed_leaf("terminal", "times")
files = packed_leaf("clients", "JobFiles")
words = packed_leaf("commands", "salt")

LAST = 20
OVER = (files.DONE, files.CANCELLED)
MAX_TARGET = 50  # letters of a target in a table
ROLL_OUT = ("batch", "canary", "max_errors", "failhard", "rate")  # what makes of a job one that can be held up


class Verb(NamedTuple):
    """What `jobs WORD` does: its function (arguments, files, jid) -> exit code, whether it wants a jid, its help."""

    call: Callable[[argparse.Namespace, Any, str], int]
    wants_jid: bool
    help: str


def job_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = "; ".join(f"{name}{' JID' if verb.wants_jid else ''}: {verb.help}" for name, verb in VERBS.items())
    parser.add_argument("verb", nargs="?", default="list", metavar="VERB", help=verbs)
    parser.add_argument("jid", nargs="?", metavar="JID", help="20 digits, or `last` for the newest job")
    add = parser.add_argument
    add("--last", type=int, default=LAST, metavar="N", help=f"how many `list` shows, {LAST} unless told; 0: all")
    add("--fun", metavar="GLOB", help="jobs with such a function")
    add("--target", metavar="GLOB", help="jobs for such a target, or for a minion of such an id")
    add("--user", metavar="GLOB", help="jobs that such a user has published")
    add("--failed", action="store_true", help="jobs that failed on some minion, or had no answer of it")
    add("--since", metavar="WHEN", help=times.WANTED)
    add("--own", action="store_true", help="also what minions ran of themselves: call, schedule")


def duration_of(job: Mapping[str, Any]) -> str:
    """How long it took, or has taken until now."""
    if job["seconds"] is None and job["state"] not in OVER and job["time"]:
        return f"{times.span(time.time() - job['time'])}…"
    return times.span(job["seconds"])


def call_of(job: Mapping[str, Any]) -> str:
    """A function with its arguments as somebody would write it."""
    function = ",".join(map(str, functions_in(job)))
    parts = []
    for arg in job["arg"] or ():
        if isinstance(arg, dict) and arg.get("__kwarg__"):
            parts += [f"{name}={value}" for name, value in arg.items() if name != "__kwarg__"]
        else:
            parts.append(str(arg))
    return " ".join([function, *parts])


def target_of(job: Mapping[str, Any]) -> str:
    """A target as somebody would write it, a long one by its size."""
    tgt = job["tgt"]
    letter = next((flag for flag, _, kind in words.TARGET_FLAGS if kind == job["tgt_type"]), "")
    joint = " " if job["tgt_type"] == "compound" else ","
    text = joint.join(map(str, tgt)) if isinstance(tgt, list) else str(tgt)
    if len(text) > MAX_TARGET:
        text = f"{text[:MAX_TARGET]}… ({job['expected']} minions)"
    return f"{letter} {text}".strip()


def list_text(jobs: Sequence[Mapping[str, Any]]) -> str:
    """A line a job, the newest last, where the eye is."""
    head = ("JID", "when", "state", "returned", "failed", "silent", "took", "user", "target", "function")
    rows = []
    for job in reversed(jobs):
        counts = [str(job[name]) if job[name] else "-" for name in ("failed", "silent")]
        returned = f"{job['returned'] if job['returned'] is not None else '?'}/{job['expected']}"
        who = [job["user"], target_of(job), call_of(job)]
        rows.append([job["jid"], times.clock(job["time"]), job["state"], returned, *counts, duration_of(job), *who])
    return str(tables.table(head, rows, "returned,failed,silent,took", tables.width()))


def print_list(args: argparse.Namespace, jobs: Sequence[Mapping[str, Any]], nothing: str) -> int:
    """Print jobs as a table, or as one map by jid with an outputter; `nothing` says that there are none."""
    if args.out:
        terminal.show({job["jid"]: job for job in jobs}, args, None)
    else:
        say(list_text(jobs) if jobs else nothing)
    return EX_OK


def fits(args: argparse.Namespace, job: Mapping[str, Any], minions: Sequence[str]) -> bool:
    """Whether a job is what --fun, --target, --user and --failed ask for."""
    tgt = job["tgt"] if isinstance(job["tgt"], list) else [job["tgt"]]
    checks: tuple[tuple[str | None, Sequence[Any]], ...] = (
        (args.fun, functions_in(job)),
        (args.target, [*tgt, *minions]),
        (args.user, [job["user"]]),
    )
    for glob, texts in checks:
        if glob and not any(fnmatch.fnmatchcase(str(text), each) for text in texts for each in glob.split(",")):
            return False
    return not args.failed or bool(job["failed"] or job["silent"])


def found_jobs(args: argparse.Namespace, jobs: Any) -> Iterator[dict[str, Any]]:
    """The summaries that are asked for, the newest first; a file that is no job's is left out."""
    since = jid_of(times.moment(args.since, time.time())) if args.since else ""
    for job in jobs.newest(since, args.own):
        with contextlib.suppress(Failure, OSError):  # it may be removed meanwhile
            summary = jobs.summary(job)
            minions = jobs.header(job).get("minions", ()) if args.target else ()
            if fits(args, summary, minions):
                yield summary


def list_jobs(args: argparse.Namespace, jobs: Any, jid: str) -> int:
    most = None if args.since and args.last == LAST or not args.last else args.last
    return print_list(args, list(itertools.islice(found_jobs(args, jobs), most)), "No such job.")


def list_active(args: argparse.Namespace, jobs: Any, jid: str) -> int:
    """What has not ended, and with a table who is waited for."""
    found = []
    for job in jobs.unended():
        with contextlib.suppress(Failure, OSError):
            summary = jobs.summary(job)
            if summary["state"] not in OVER and fits(args, summary, ()):
                found.append(summary | {"missing": jobs.missing(job)})
    print_list(args, found, "No job is active.")
    for job in reversed(found) if not args.out else ():
        if names := job["missing"]:
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            say(printable(f"{job['jid']} waits for {', '.join(names[:10])}{more}"))
    return EX_OK


class Recorded:
    """What a job's file holds now, for whoever shows jobs as they come: he does not wait. What came late stands before
    the end, where it is looked for."""

    def __init__(self, jobs: Any, job: Any) -> None:
        self.jobs, self.job, self.conf = jobs.jobs, job, jobs

    def follow(self, jid: str, tick: float = 0) -> Iterator[dict[str, Any]]:
        lines = list(self.conf.lines(self.job))
        yield from (line for line in lines if line["event"] not in ("end", "cancelled"))
        over = next((line for line in reversed(lines) if line["event"] in ("end", "cancelled")), None)
        yield over or {"event": "end", "time": time.time()} | files.counted(lines)


def show_with(args: argparse.Namespace, client: Any, jobs: Any, job: Any) -> int:
    """Show a job as `salt` does, with its options at what they are where nobody gives them."""
    header = jobs.header(job)
    fun = header["fun"] if isinstance(header["fun"], str) else ",".join(map(str, header["fun"]))
    row = command("salt")
    groups = [header.get("arg") or []] if isinstance(header["fun"], str) else header.get("arg") or []
    groups = [group if isinstance(group, list) else [group] for group in groups]
    arg = [word for group in groups for word in (",", *words.words_of(group))][1:]
    given = vars(parse_words(parser_of(row, "salt"), ["-c", args.config_dir, "--", "*", fun, *arg])) | vars(args)
    shown = argparse.Namespace(**given | {"fun": fun, "static": bool(given["static"] or args.out)})
    words.state_style(shown, args.opts)
    return int(words.show_job(shown, client, job.jid))


def show_job(args: argparse.Namespace, jobs: Any, jid: str) -> int:
    job = jobs.find(jid)
    summary = jobs.summary(job)
    if not args.out:
        say(list_text([summary]) + "\n")
    if summary["state"] not in OVER and not args.out:
        say(f"It has not ended; `saltlite jobs follow {job.jid}` waits for the rest.\n")
    return show_with(args, Recorded(jobs, job), jobs, job)


def follow_job(args: argparse.Namespace, jobs: Any, jid: str) -> int:
    job = jobs.find(jid)
    client: Any = Recorded(jobs, job) if not job.active else client_class("LocalClient")(args.config_dir)
    try:
        return show_with(args, client, jobs, job)
    except KeyboardInterrupt:
        return EX_FAILED


def kill_job(args: argparse.Namespace, jobs: Any, jid: str) -> int:
    """Remove the job's file, and what is queued of it: the master publishes saltutil.kill_job."""
    waiting = {} if jid == "last" else jobs.queue(jid)
    removed = []
    with contextlib.suppress(Failure):
        job = jobs.find(jid)
        jid, waiting = job.jid, jobs.queue(job.jid)
        if job.active:
            with contextlib.suppress(FileNotFoundError):
                job.path.unlink()
                removed.append(f"jobs/active/{jid}.jsonl")
    for minion_id in waiting.get(jid, {}):
        with contextlib.suppress(FileNotFoundError):
            (jobs.jobs / "queued" / minion_id / jid).unlink()
            removed.append(f"jobs/queued/{minion_id}/{jid}")
    for name in removed:
        say(printable(f"rm {name}"))
    if not removed:
        job = jobs.find(jid)  # or a Failure that says why there is none
        raise Failure(f"job {job.jid} has ended already: there is nothing to cancel.")
    return EX_OK


def list_queued(args: argparse.Namespace, jobs: Any, jid: str) -> int:
    """Who is to run what when he comes back; `rm` of the file takes it back."""
    found = jobs.queue(jid)
    if args.out:
        terminal.show(found, args, None)
        return EX_OK
    now, rows = time.time(), []
    for name in sorted(found):
        for minion_id, entry in found[name].items():
            load = entry.get("load") if isinstance(entry.get("load"), dict) else entry
            job = {"fun": entry.get("fun", ""), "arg": load.get("arg", ())}
            until = entry.get("until")
            left = times.span(until - now) if isinstance(until, int | float) else "-"
            rows.append([name, minion_id, left, load.get("user", ""), call_of(job)])
    say(tables.table(("JID", "minion", "for", "user", "function"), rows, "", tables.width()) if rows
        else "No job waits for an absent minion.")  # fmt: skip
    return EX_OK


def hold(args: argparse.Namespace, jobs: Any, jid: str) -> int:
    """pause, resume, stop: a file beside the job's says so, and the master starts no more minions while it is there."""
    job = jobs.find(jid)
    if not job.active:
        raise Failure(f"job {job.jid} has ended already.")
    if not any(name in jobs.header(job) for name in ROLL_OUT):
        raise Failure(f"job {job.jid} is no roll-out (-b, --canary, --rate …): all its minions have it already; "
                      f"`jobs kill {job.jid}` cancels it.")  # fmt: skip
    path = job.path.with_suffix(".stop" if args.verb == "stop" else ".pause")
    if args.verb == "resume":
        try:
            path.unlink()
        except FileNotFoundError:
            raise Failure(f"job {job.jid} is not paused.") from None
        say(f"rm jobs/active/{path.name}")
        return EX_OK
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # once: a name may lead elsewhere soon
    owner = os.fstat(directory)
    fd = os.open(path.name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    if os.geteuid() == 0:
        os.fchown(fd, owner.st_uid, owner.st_gid)  # root speaks to a master that is not root
    os.close(fd)
    os.close(directory)
    say(f"touch jobs/active/{path.name}")
    return EX_OK


VERBS = {
    "list": Verb(list_jobs, False, "the newest jobs"),
    "show": Verb(show_job, True, "what came back"),
    "follow": Verb(follow_job, True, "the same, and what still comes"),
    "active": Verb(list_active, False, "what has not ended, and who is waited for"),
    "kill": Verb(kill_job, True, "cancel it: its file is removed"),
    "queued": Verb(list_queued, False, "what waits for absent minions"),
    "pause": Verb(hold, True, "start a roll-out on no more minions for now"),
    "resume": Verb(hold, True, "go on with it"),
    "stop": Verb(hold, True, "start it on no more minions at all"),
}


def main(args: argparse.Namespace) -> int:
    """`jobs`, `jobs JID` and `jobs VERB [JID]`."""
    if args.jid is None and (args.verb.isdigit() or args.verb == "last"):
        args.verb, args.jid = "show", args.verb
    verb = VERBS.get(args.verb)
    if verb is None:
        raise Failure(f"jobs {args.verb}: the verbs are {', '.join(VERBS)}{nearest(args.verb, VERBS) or '.'}", EX_USAGE)
    if verb.wants_jid and not args.jid:
        raise Failure(f"jobs {args.verb} wants a jid: `saltlite jobs` shows them; `last` is the newest.", EX_USAGE)
    if args.jid and not verb.wants_jid and verb.call is not list_queued:
        raise Failure(f"jobs {args.verb} takes no jid; `jobs show {args.jid}` shows one.", EX_USAGE)
    client = client_class("LocalClient")(args.config_dir)
    args.opts = client.opts
    if not client.jobs.is_dir():
        raise Failure(f"{client.jobs} is not there: start the master once, or name its directory with -c.")
    try:
        return verb.call(args, client_class("JobFiles")(client.jobs), args.jid or "")
    except PermissionError as error:
        raise Failure(f"{error.filename} is closed to you: run this as the master's user.") from None


shown = tuple(add for add in words.COMMAND.arguments if add is not words.target_arguments)
EXAMPLES = """
saltlite jobs                                 the last twenty
saltlite jobs --failed --since 2h             what went wrong lately; --fun 'pkg.*' --target 'web*' --user fred
saltlite jobs show 20261126201058926717       what came back
saltlite jobs follow 20261126201058926717     the same, as it comes
saltlite jobs pause 20261126201058926717      hold a roll-out; resume, stop, kill
"""
COMMAND = Command("list, show, follow and cancel jobs", main, (*shown, job_arguments), EXAMPLES)
