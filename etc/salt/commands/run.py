"""salt-run: those of Salt's runners that say how jobs, minions and events are, with Salt's names and shapes.

Salt asks the minions for most of this; here it is read from the tree, so nobody waits and nothing is published. `up` is
who is connected. What else Salt's runners do belongs to other commands, or is not here."""

from __future__ import annotations

import argparse
import fnmatch
import inspect
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from saltlite import (
    EX_OK,
    EX_USAGE,
    SALT_VERSION,
    Command,
    Failure,
    MasterTree,
    command,
    expected,
    functions_in,
    jid_of,
    load_opts,
    nearest,
    packed_leaf,
    printable,
    say,
)
from saltlite import client as client_class

terminal = packed_leaf("terminal", "text")
times = packed_leaf("terminal", "times")
words = packed_leaf("commands", "salt")
status = packed_leaf("commands", "status")
job_files = packed_leaf("clients", "JobFiles")

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
UPGRADE, SAME, NEWER, OFFLINE = "Minion requires update", "Up to date", "Minion newer than master", "Minion offline"
SHELL = "a shell script that calls `salt`, or LocalClient from Python"
CACHED = "`salt ID {}`, or the files minions/ID/{}.json in the master's cache"
INSTEAD = {  # runners of Salt's that are not here, modules or functions -> what is used instead
    "state.orchestrate": SHELL,
    "state.orch": SHELL,
    "fileserver.file_list": "`salt ID cp.list_master`",
    "manage.safe_accept": "`saltlite key -a FINGERPRINT --by-fingerprint`",
    "manage.bootstrap": "`saltlite install minion` on that machine",
    "jobs.master": "`saltlite jobs active`",
    "batch.stop": "`saltlite jobs stop JID`",
    "cache.grains": CACHED.format("grains.items", "grains"),
    "cache.pillar": CACHED.format("pillar.items", "pillar"),
    "cache.mine": CACHED.format("mine.get", "mine"),
    "mine.get": CACHED.format("mine.get", "mine"),
    "pillar": "`salt ID pillar.items`, which is compiled anew",
    "salt": "`salt`",
    "survey": "`salt --group`, or `--diff`",
    "reactor": "executables in master.d/hooks/TAG/",
    "event": "`saltlite events`; on a minion event.send",
    "doc": "`salt -d`",
}
NO_NEED = {  # and those whose work is done in any case
    "fileserver": "files are read when they are asked for",
    "git_pillar": "there are no git pillars",
    "saltutil": "the master takes no modules of a site",
}


REFUSED = {  # Salt's options that are not here: why, and what to do
    ("-a", *terminal.EAUTH): terminal.NO_EAUTH,
    ("--async", "--jid"): "what is here reads files and ends at once; it is no job.",
    ("--no-parse",): terminal.NO_PARSE,
    ("--args-stdin",): terminal.NO_STDIN,
}


class Runner:
    """The functions, with Salt's arguments; what is no argument of Salt's is refused."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.client = client_class("LocalClient")(args.config_dir)
        self.opts = self.client.opts
        self.jobs = client_class("JobFiles")(self.client.jobs)

    # jobs

    def job(self, jid: str, header: Mapping[str, Any]) -> dict[str, Any]:
        """A job as Salt formats it."""
        at = f"{jid[:4]}, {MONTHS[int(jid[4:6]) - 1]} {jid[6:8]} {jid[8:10]}:{jid[10:12]}:{jid[12:14]}.{jid[14:20]}"
        functions = functions_in(header)
        found = {
            "Function": header["fun"] if len(functions) != 1 else functions[0],
            "Arguments": list(header.get("arg") or []),
            "Target": header.get("tgt", "unknown-target"),
            "Target-type": header.get("tgt_type", "list"),
            "User": header.get("user", "root"),
        }
        if "metadata" in header:
            found["Metadata"] = header["metadata"]
        return found | {"StartTime": at}

    def _lines(self, job: Any) -> dict[str, dict[str, Any]]:
        """id -> {return, retcode, success, out}, of who has returned."""
        fields = ("return", "retcode", "success", "out")
        return {
            line["id"]: {name: line[name] for name in fields if name in line}
            for line in self.jobs.lines(job)
            if line["event"] == "ret"
        }

    def list_job(self, jid: Any) -> dict[str, Any]:
        found = self.jobs.find(str(jid))
        header = self.jobs.header(found)
        told = {"jid": found.jid, **self.job(found.jid, header), "Minions": header.get("minions", [])}
        return told | {"Result": self._lines(found)}

    def print_job(self, jid: Any) -> dict[str, Any]:
        told = self.list_job(jid)
        return {told.pop("jid"): told}

    def lookup_jid(self, jid: Any, returned: bool = True, missing: bool = False) -> Any:
        told = self.list_job(jid)
        results = told["Result"]
        found = {minion_id: line.get("return") for minion_id, line in results.items()} if returned else {}
        if missing:
            found |= {each: "Minion did not return" for each in told["Minions"] if each not in results}
        out = next(filter(None, map(terminal.wished, results.values())), None)
        return {"outputter": out, "data": found} if out and out != "nested" else found

    def exit_success(self, jid: Any) -> dict[str, bool]:
        told = self.list_job(jid)
        ids = {**dict.fromkeys(told["Minions"]), **told["Result"]}
        return {minion_id: bool((line or {}).get("return")) for minion_id, line in ids.items()}

    def _matching(self, function: Any, target: Any, metadata: Any, since: str = "") -> Iterable[tuple[str, Any]]:
        for found in self.jobs.newest(since):
            try:
                header = self.jobs.header(found)
            except (Failure, OSError):
                continue
            texts = header["tgt"] if isinstance(header.get("tgt"), list) else [header.get("tgt")]
            checks = ((function, functions_in(header)), (target, texts))
            if not all(wanted is None or globs_match(wanted, values) for wanted, values in checks):
                continue
            kept = header.get("metadata") or {}
            if metadata and not any(kept.get(name) == value for name, value in metadata.items()):
                continue
            yield found.jid, header

    def list_jobs(
        self,
        search_metadata: Any = None,
        search_function: Any = None,
        search_target: Any = None,
        start_time: Any = None,
        end_time: Any = None,
    ) -> dict[str, Any]:
        now = time.time()
        since = jid_of(times.moment(str(start_time), now, "start_time")) if start_time else ""
        until = jid_of(times.moment(str(end_time), now, "end_time")) if end_time else "9"
        found = self._matching(search_function, search_target, search_metadata, since)
        return {jid: self.job(jid, header) for jid, header in sorted(found, key=first) if jid <= until}

    def list_jobs_filter(self, count: Any, filter_find_job: bool = True) -> dict[str, Any]:
        found = self._matching(None, None, None)
        some = [pair for pair, _ in zip(found, range(int(count)), strict=False)]
        return {jid: self.job(jid, header) for jid, header in sorted(some, key=first)}

    def last_run(self, metadata: Any = None, function: Any = None, target: Any = None) -> Any:
        jid, _ = next(iter(self._matching(function, target, metadata)), ("", None))
        return self.print_job(jid) if jid else False

    def active(self) -> dict[str, Any]:
        found = {}
        for job in self.jobs.unended():
            header, results = self.jobs.header(job), self._lines(job)
            running = [{minion_id: None} for minion_id in header.get("minions", []) if minion_id not in results]
            found[job.jid] = self.job(job.jid, header) | {"Running": running, "Returned": list(results)}
        return found

    # manage

    def _fleet(self, tgt: Any = "*", tgt_type: str = "glob") -> dict[str, dict[str, Any]]:
        """What is known of the accepted minions that match; Failure where no master runs to know who is up."""
        self.client.check_master()
        minions = status.fleet(self.opts)["minions"]
        states = (status.PENDING, status.REJECTED)
        tree, ids = MasterTree(self.opts), [i for i, entry in minions.items() if entry["state"] not in states]
        found = expected(tgt, tgt_type, ids, tree.data.grains, tree.data.pillar)
        return {minion_id: minions[minion_id] for minion_id in found}

    def manage_status(
        self, tgt: Any = "*", tgt_type: str = "glob", timeout: Any = None, gather_job_timeout: Any = None
    ) -> dict[str, list[str]]:
        fleet = self._fleet(tgt, tgt_type)
        up = sorted(minion_id for minion_id, entry in fleet.items() if entry["state"] == status.UP)
        return {"up": up, "down": sorted(fleet.keys() - set(up))}

    def up(self, tgt: Any = "*", tgt_type: str = "glob", timeout: Any = None, gather_job_timeout: Any = None) -> Any:
        return self.manage_status(tgt, tgt_type)["up"]

    def down(
        self,
        removekeys: bool = False,
        tgt: Any = "*",
        tgt_type: str = "glob",
        timeout: Any = None,
        gather_job_timeout: Any = None,
    ) -> list[str]:
        found = self.manage_status(tgt, tgt_type)["down"]
        tree = MasterTree(self.opts)
        for minion_id in found if removekeys is True else ():
            tree.remove_key(minion_id)
        return found

    def present(self, subset: Any = None, show_ip: bool = False) -> Any:
        up = {i: entry for i, entry in self._fleet().items() if entry["state"] == status.UP}
        chosen = {i: entry["address"] for i, entry in up.items() if subset is None or i in subset}
        return chosen if show_ip else sorted(chosen)

    def not_present(self, subset: Any = None, show_ip: bool = False) -> list[str]:
        return [i for i in self.manage_status()["down"] if subset is None or i in subset]

    def versions(self) -> dict[str, Any]:
        found: dict[str, Any] = {"Master": SALT_VERSION}
        for minion_id, entry in sorted(self._fleet().items()):
            version = entry["version"]
            if entry["state"] != status.UP or not version:
                found.setdefault(OFFLINE, {})[minion_id] = version or False
                continue
            own, ours = (numbers_of(text) for text in (version, SALT_VERSION))
            label = SAME if own == ours else UPGRADE if own < ours else NEWER
            found.setdefault(label, {})[minion_id] = version
        return found

    # batch

    def batch_status(self, jid: Any) -> dict[str, Any] | None:
        """The summary that Salt gives of an asynchronous batch; None for a job that is none."""
        found = self.jobs.find(str(jid))
        header = self.jobs.header(found)
        if not any(name in header for name in ("batch", "canary", "rate")):
            return None
        lines = list(self.jobs.lines(found))
        counts = job_files.counted(lines)
        started = {i for line in lines if line["event"] == "batch" for i in line.get("minions", ())}
        halted = next((line for line in reversed(lines) if line["event"] in ("stopped", "cancelled")), None)
        total, completed, now = len(header.get("minions", ())), counts["returned"] + counts["silent"], time.time()
        last = max((line["time"] for line in lines if isinstance(line.get("time"), float)), default=None)
        return {
            "jid": found.jid,
            **{name: header.get(name) for name in ("fun", "tgt", "tgt_type")},
            "total": total,
            "completed": completed,
            "active": max(0, len(started) - completed) if found.active else 0,
            "pending": max(0, total - max(len(started), completed)),
            "failed": counts["failed"],
            "batch_size": header.get("batch"),
            "halted": bool(halted),
            "halted_reason": (halted or {}).get("why"),
            "driver": "master",
            "user": header.get("user"),
            "created": header.get("time"),
            "last_progress": last,
            "age_seconds": now - last if last else None,
        }

    def batch_list_active(self) -> list[dict[str, Any]]:
        return [told for job in self.jobs.unended()[::-1] if (told := self.batch_status(job.jid))]


def first(pair: tuple[str, Any]) -> str:
    return pair[0]


def globs_match(wanted: Any, values: Iterable[Any]) -> bool:
    """Whether a value matches one of the globs, a list or parted by commas."""
    globs = wanted if isinstance(wanted, list) else str(wanted).split(",")
    return any(fnmatch.fnmatch(str(value), str(glob).strip()) for value in values for glob in globs)


def numbers_of(version: str) -> tuple[int, ...]:
    """3008.3 as a tuple that can be compared."""
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3])


PRESENT = ("present", "alived", "joined", "allowed", "reaped", "list_state")
NOT_PRESENT = ("not_present", "not_alived", "not_joined", "not_allowed", "not_reaped", "list_not_state")
JOBS = "list_jobs list_jobs_filter lookup_jid print_job list_job last_run active exit_success".split()
FUNCTIONS: dict[str, Callable[..., Any]] = {f"jobs.{name}": getattr(Runner, name) for name in JOBS}
FUNCTIONS |= {f"manage.{name}": getattr(Runner, name) for name in ("up", "down", "versions")}
FUNCTIONS |= {f"manage.{name}": Runner.present for name in PRESENT}
FUNCTIONS |= {f"manage.{name}": Runner.not_present for name in NOT_PRESENT}
FUNCTIONS |= {"manage.status": Runner.manage_status, "batch.status": Runner.batch_status}
FUNCTIONS |= {"batch.list_active": Runner.batch_list_active}


def run_arguments(parser: argparse.ArgumentParser) -> None:
    text = "list the functions, or show the arguments of FUNCTION, or of those of a module"
    parser.add_argument("-d", "--doc", "--documentation", action="store_true", help=text)
    parser.add_argument("--quiet", action="store_true", help="do not print what comes of it")
    parser.add_argument("-t", "--timeout", help=argparse.SUPPRESS)  # nobody is asked, so nobody waits
    terminal.refuse(parser, REFUSED)
    terminal.ignore(parser, "--hard-crash", "--skip-grains")
    parser.add_argument("fun", nargs="?", metavar="FUNCTION")
    parser.add_argument("arg", nargs="*", metavar="ARG", help="YAML; k=v is a keyword argument")


def state_event(
    args: argparse.Namespace, tagmatch: Any = "*", count: Any = -1, quiet: Any = False, pretty: Any = False
) -> int:
    """state.event: what `events` does, with Salt's arguments."""
    events = command("events")
    given = argparse.Namespace(all=False, count=int(count), pretty=pretty is True, tag=[str(tagmatch)], json=False)
    vars(given).update(quiet=quiet is True, since=None, no_follow=False, returns=True, config_dir=args.config_dir)
    return int(events.main(given))


def called(function: Callable[..., Any], name: str, head: Any, arg: list[Any], kwarg: Mapping[str, Any]) -> Any:
    """Call it; Failure with what it takes, where the arguments are others."""
    try:
        inspect.signature(function).bind(head, *arg, **kwarg)
    except TypeError as error:
        takes = ", ".join(list(inspect.signature(function).parameters)[1:]) or "nothing"
        raise Failure(f"{name}: {error}; it takes {takes}.", EX_USAGE) from None
    return function(head, *arg, **kwarg)


def no_function(fun: str) -> Failure:
    """The sentence about what is no function here: what is used instead, or was perhaps meant."""
    module = fun.partition(".")[0]
    if instead := INSTEAD.get(fun) or INSTEAD.get(module):
        more = f": use {instead}."
    elif why := NO_NEED.get(module):
        more = f", and not needed: {why}."
    else:
        near = nearest(fun, [*FUNCTIONS, "state.event"])
        more = f"{near}{'' if near else '.'} `run -d` lists them all."
    return Failure(printable(f"{fun} is no runner function here{more}"), EX_USAGE)


def documentation(asked: str | None) -> str:
    """The names of all functions, or, of one or of a module, how they are called."""
    table: dict[str, Callable[..., Any]] = {**FUNCTIONS, "state.event": state_event}
    if not asked:
        return "\n".join(sorted(table))
    lines = []
    for name in sorted(table):
        if name == asked or name.startswith(f"{asked}."):
            parameters = list(inspect.signature(table[name]).parameters.values())[1:]
            own = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
            lines.append(f"{name}{inspect.Signature(own)}")
    if not lines:
        raise no_function(asked)
    return "\n".join(lines)


def main(args: argparse.Namespace) -> int:
    """Call a runner's function and print what it gives."""
    if args.doc or not args.fun:
        say(documentation(args.fun))
        return EX_OK if args.doc else EX_USAGE
    arg, kwarg = words.load_yaml_args(args.arg)
    try:
        if args.fun == "state.event":
            return int(called(state_event, args.fun, args, arg, kwarg))
        function = FUNCTIONS.get(args.fun)
        if function is None:
            raise no_function(args.fun)
        found = called(function, args.fun, Runner(args), arg, kwarg)
    except PermissionError as error:
        raise Failure(f"{error.filename} is closed to you: run this as the master's user.") from None
    out = None
    if isinstance(found, dict) and found.keys() == {"outputter", "data"}:
        out, found = found["outputter"], found["data"]
    words.state_style(args, load_opts("master", args.config_dir))
    if not args.quiet:
        terminal.show(found, args, out)
    return EX_OK


EXAMPLES = """
salt-run jobs.list_jobs                       the jobs that are kept
salt-run jobs.lookup_jid 20261126201058926717   what came back
salt-run manage.status                        who is up, and who is down
salt-run state.event pretty=True              what happens, until Ctrl-C
"""
COMMAND = Command(
    "Salt's runners: jobs, manage, state.event",
    main,
    (*words.arguments, run_arguments),
    EXAMPLES,
)
