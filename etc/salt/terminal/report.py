"""What a person sees of a job, from the lines of its file: returns as they come or grouped, and an honest end.

`Report` takes the lines one by one, whether they come while the job runs or lie in a file that is finished. Returns are
what goes to stdout (or --out-file). What is told about them (who failed, who was silent, times, the command that
repeats) goes to stderr, so that json and yaml stay data.

`args` is what `report_arguments` and `out_arguments` of terminal/text.py have read."""

from __future__ import annotations

import os
import sys
import time
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from saltlite import EX_FAILED, EX_MINION, EX_NO_MATCH, EX_OK, REJECTED, UNKNOWN, all_well, packed_leaf

if TYPE_CHECKING:
    import argparse

terminal = packed_leaf("terminal", "text")
nodes, grouping = packed_leaf("terminal", "nodes"), packed_leaf("terminal", "grouping")
live, targets = packed_leaf("terminal", "live"), packed_leaf("terminal", "targets")

MANY = 5  # of more minions the returns are grouped, on a terminal
HELD = 2.0  # seconds for which returns are held back to be grouped with those that come next
QUIET = 0.4  # seconds for which a job runs before its progress is shown
MAX_MISSING = 1000  # minions whose keys are looked at while they are waited for
GONE = {REJECTED: "rejected", UNKNOWN: "removed"}
RULE = "-" * 43  # as wide as Salt's


def report_arguments(parser: argparse.ArgumentParser) -> None:
    """How a job is shown."""
    add = parser.add_argument
    add("-s", "--static", action="store_true", help="print everything at once, at the end")
    add("-v", "--verbose", action="store_true", help="print the jid, and in a summary who failed")
    add("--show-jid", action="store_true", help="print the jid")
    add("--summary", action="store_true", help="print Salt's summary of counts at the end")
    hide = "say nothing of minions that do not return"
    add("--hide-timeout", dest="show_timeout", action="store_false", default=True, help=hide)
    add("--show-timeout", dest="show_timeout", action="store_true", help="name them, which is the default")
    full = "of each minion {ret, retcode, success, jid}, not its return alone; for programs"
    add("--full-return", action="store_true", help=full)
    progress = parser.add_mutually_exclusive_group()
    what = "show at once how far the job is; else a terminal does after a moment"
    progress.add_argument("-p", "--progress", action="store_true", default=None, help=what)
    progress.add_argument("--no-progress", dest="progress", action="store_false", help="never show it")
    group = parser.add_mutually_exclusive_group()
    what = f"identical returns once, at the end; a terminal does so, as they come, for more than {MANY} minions"
    group.add_argument("--group", action="store_true", default=None, help=what)
    group.add_argument("--no-group", dest="group", action="store_false", help="each return by itself")
    add("--diff", action="store_true", help="with --group: the others as what differs from the majority")


def retcode_of(line: Mapping[str, Any]) -> int:
    """The retcode of a `ret` line; of several functions the highest. 1 where it failed without one."""
    codes = line.get("retcode", 0)
    found = [code for code in (codes.values() if isinstance(codes, dict) else [codes]) if isinstance(code, int)]
    return max(found, default=0) or (0 if all_well(dict(line)) else 1)


def named(name: str, retcode: int) -> str:
    """A name, and beside it what went wrong."""
    return f"{name} (retcode {retcode})" if retcode else name


def silence(line: Mapping[str, Any], ran: bool = False, digits: int = 19) -> str:
    """What is printed for a minion that did not return; `ran`: find_job said at first that it ran the job."""
    if "why" in line:
        return f"Minion did not return. [{line['why']}]"
    if line.get("revoked"):
        return "Minion did not return. [Its key is not accepted any more]"
    since = line.get("since")
    heard = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))[:digits] if since else "never"
    why = "It answers, but does not run the job" if line.get("answered") else "No response"
    why = f"It ran the job; now: {why[0].lower()}{why[1:]}" if ran else why
    return f"Minion did not return. [{why}; last heard: {heard}]"


def percentile(values: list[float], percent: int) -> float:
    """Nearest rank of sorted values."""
    return values[max(0, -(-len(values) * percent // 100) - 1)]


class Facts:
    """What the lines of a job's file said: who is expected, who returned and how, who is silent."""

    def __init__(self) -> None:
        self.header: dict[str, Any] = {}
        self.expected: list[str] = []  # the ids the job is for
        self.returned: dict[str, int] = {}  # id -> retcode
        self.times: dict[str, float] = {}  # id -> seconds from its start to its return
        self.silent: dict[str, dict[str, Any]] = {}  # id -> its line
        self.queued: dict[str, dict[str, Any]] = {}
        self.running = set[str]()  # find_job said so
        self.progress: dict[str, Any] = {}
        self.bad = set[int]()
        self.end: dict[str, Any] = {}
        self._began: dict[str, float] = {}  # of a batch: when its minions were begun

    def take(self, line: dict[str, Any]) -> None:
        """Take down one line; events that are not known say nothing."""
        event, minion_id = line.get("event"), line.get("id", "")
        if event == "new":
            self.header, self.expected = line, list(line["minions"])
        elif event == "batch":
            self._began |= dict.fromkeys(line["minions"], line["time"])
        elif event == "ret":
            self._returned(minion_id, line)
        elif event == "silent":
            self.silent[minion_id] = line
            self.progress.pop(minion_id, None)
        elif event == "queued":
            self.queued[minion_id] = line
            self.silent.pop(minion_id, None)  # which it was said to be just before
        elif event == "running":
            self.running.add(minion_id)
        elif event == "progress" and "done" in line:
            done, total = (value if isinstance(value, int) else 0 for value in (line["done"], line.get("total")))
            self.progress[minion_id] = live.Progress(done, total, str(line.get("doing", "")))
        elif event in ("end", "cancelled"):
            self.end = line

    def _returned(self, minion_id: str, line: dict[str, Any]) -> None:
        for others in (self.silent, self.queued, self.progress):
            others.pop(minion_id, None)
        code = self.returned[minion_id] = retcode_of(line)
        came = line.get("time", 0)
        began = self._began.get(minion_id, self.header.get("time", came))
        self.times[minion_id] = max(0.0, came - began)
        if code:
            self.bad.add(EX_MINION if line.get("success") is False and line.get("out") == "nested" else EX_FAILED)

    def missing(self) -> list[str]:
        """Who has neither returned nor been given up."""
        over = self.returned.keys() | self.silent.keys() | self.queued.keys()
        return [minion_id for minion_id in self.expected if minion_id not in over]

    def failed(self) -> dict[int, list[str]]:
        """The ids that failed, by retcode."""
        found: dict[int, list[str]] = {}
        for minion_id, code in self.returned.items():
            if code:
                found.setdefault(code, []).append(minion_id)
        return dict(sorted(found.items()))


class Report:
    """Shows a job: `take` for each line, `tick` when none has come, `finish` at the end; `close` in any case."""

    def __init__(self, args: argparse.Namespace, jid: str, target: Any = None, fleet: Any = None) -> None:
        """`target` and `fleet`, of terminal/targets.py, of a job that was just published: for what they are asked of
        names that nobody has, and of keys that are taken away while the job runs."""
        self.args, self.jid, self.facts = args, jid, Facts()
        self.over = False  # nobody who is missing can return any more
        self.unknown: list[str] = []  # names of the target that no accepted key has
        self._target, self._fleet = target, fleet
        self.people, self.screen = terminal.for_people(args), terminal.to_terminal(args)
        self._began = self._flushed = self._asked = time.monotonic()
        self._everything: dict[str, Any] = {}
        self._out: str | None = None  # the outputter of what comes at once
        self._groups, self._told = grouping.Groups(), dict[int, int]()  # group -> how many of its ids were told
        self._streamed: dict[str, list[str]] = {}
        no_color = args.no_color or "NO_COLOR" in os.environ
        self._live = live.Live(self._status, no_color, sys.stdout if self.screen else sys.stderr)
        self._colors = terminal.colors({"color": args.force_color or self.screen and not no_color})

    @property
    def fun(self) -> Any:
        """The function of the job, or a list of several."""
        return self.facts.header.get("fun")

    def published(self, line: dict[str, Any]) -> int:
        """Nobody waits for the job whose first line this is: its jid, and who is unknown. Gives the exit code."""
        self.facts.take(line)
        self._ask_for_unknown(line)
        if not self.facts.expected:
            return self._nobody()
        self._write(f"Executed command with job ID: {self.jid}")
        for sentence in targets.complaints(self.unknown, self._fleet) if self.unknown else ():
            self._say(f"saltlite: {sentence}")
        return EX_FAILED if self.unknown else EX_OK

    # what comes

    def take(self, line: dict[str, Any]) -> None:
        """Take down one line of the job's file, and show it if it is to be shown now."""
        self.facts.take(line)
        act = getattr(self, f"_{line.get('event')}", None) if line.get("event") in SHOWN else None
        if act:
            act(line)
        self.tick()

    def tick(self) -> None:
        """Time has passed: show what was held back, and how far the job is."""
        now = time.monotonic()
        if self._grouped() and not (self.args.group or self.args.diff) and now - self._flushed >= HELD:
            self._flush()
        wanted = self.args.progress if self.args.progress is not None else self.screen
        if wanted and not self._live.running and not self.facts.end and self.facts.expected:
            stream = sys.stdout if self.screen else sys.stderr
            if terminal.is_terminal(stream) and (self.args.progress or now - self._began >= QUIET):
                sys.stdout.flush()
                self._live.start()
        self._live.look()
        if self._fleet and now - self._asked >= 1 and not self.facts.end:
            self._asked = now
            self._look_at_keys()

    def _look_at_keys(self) -> None:
        """Who is missing and has no accepted key any more will not return; if that is everybody, the job is over."""
        missing, states = self.facts.missing(), dict[str, str]()
        for minion_id in missing if len(missing) <= MAX_MISSING else ():
            states[minion_id] = self._fleet.state_of(minion_id)
            if states[minion_id] not in GONE:
                return
        self.over = bool(states)
        for minion_id, state in states.items():
            self.facts.silent[minion_id] = {"why": f"Its key is {GONE[state]}"}

    def _ask_for_unknown(self, line: dict[str, Any]) -> None:
        if self._target and self._fleet:
            self.unknown = self._fleet.without_key(targets.unknown(self._fleet.wire(self._target), line["minions"]))

    def _new(self, line: dict[str, Any]) -> None:
        self._ask_for_unknown(line)
        if self.args.verbose:
            text = f"Executing job with jid {self.jid}"
            self._tell(f"{text}\n{'-' * len(text)}\n")
        elif self.args.show_jid:
            self._tell(f"jid: {self.jid}")

    def _batch(self, line: dict[str, Any]) -> None:
        if self.people and (self.facts.header.get("batch") or self.facts.header.get("canary")):
            who = nodes.fold(line["minions"]) if self.screen else str(sorted(line["minions"]))
            self._write(f"\nExecuting run on {who}\n")

    def _ret(self, line: dict[str, Any]) -> None:
        docs = self.fun == "sys.doc" and not self.args.full_return
        if docs or self.args.static and not self._grouped():
            self._everything[line["id"]] = self._value(line)
            out = terminal.wished(line)
            self._out = out if out != "nested" and out else self._out
        elif self._grouped():
            self._groups.add(line)
        elif not self._was_streamed(line):
            self._show(named(line["id"], retcode_of(line)) if self.people else line["id"], line)

    def _progress(self, line: dict[str, Any]) -> None:
        texts = line.get("lines")
        if not isinstance(texts, list) or not self.people:
            return
        minion_id = line["id"]
        self._streamed.setdefault(minion_id, []).extend(map(str, texts))
        names = [name for name in self._colors if name != "END"]
        color = self._colors[names[zlib.crc32(minion_id.encode()) % len(names)]]
        for text in texts:
            self._write(f"{color}{minion_id}:{self._colors['END'] if color else ''} {self._safe(str(text))}")

    def _paused(self, line: dict[str, Any]) -> None:
        self._say(f"job {self.jid} is {line['event']}" + (f": {line['why']}" if line.get("why") else "."))

    _resumed = _stopped = _paused

    def _cancelled(self, line: dict[str, Any]) -> None:
        self._say(f"job {self.jid} was cancelled: its file was removed from jobs/active.")
        self.facts.bad.add(EX_FAILED)

    # how it is shown

    def _value(self, line: dict[str, Any]) -> Any:
        """What is printed of a return."""
        if not self.args.full_return:
            return line["return"]
        return {"ret": line["return"], "retcode": line.get("retcode"), "success": line.get("success"), "jid": self.jid}

    def _grouped(self) -> bool:
        """Whether identical returns are to be shown once."""
        if not self.people or self.args.full_return:
            return False
        wanted = self.args.group if self.args.group is not None else self.args.diff or None
        if wanted is None and (self.args.static or self.facts.header.get("stream")):
            return False
        return wanted if wanted is not None else self.screen and len(self.facts.expected) > MANY

    def _show(self, heading: str, line: dict[str, Any]) -> None:
        if text := terminal.rendered({heading: self._value(line)}, self.args, terminal.wished(line), retcode_of(line)):
            self._write(text)

    def _was_streamed(self, line: dict[str, Any]) -> bool:
        """Whether all that was returned has been shown line by line; then only a failure is told."""
        shown = self._streamed.pop(line["id"], None)
        if shown is None or "\n".join(shown).rstrip() != str(line["return"]).rstrip():
            return False
        if code := retcode_of(line):
            self._write(f"{named(line['id'], code)}:")
        return True

    def _flush(self) -> None:
        """Show what was held back: groups that are new, and who has joined those that were shown."""
        self._flushed = time.monotonic()
        ordered = self._groups.ordered()
        found = ordered if self._groups.some_alike() else self._groups.as_they_came()
        fresh = [group for group in found if id(group) not in self._told]
        for group in ordered:
            told = self._told.get(id(group), len(group.ids))
            if more := group.ids[told:]:
                self._write(f"{self._heading(more, retcode_of(group.line))}: the same as {group.ids[0]}")
        differ = self._difference(ordered[0]) if self.args.diff and len(ordered) > 1 else None
        for group in fresh:
            if differ is None or group is ordered[0]:
                self._show(self._heading(group.ids, retcode_of(group.line)), group.line)
            else:
                differ(group)
            if not self.args.group and not self.args.diff:  # what was returned is not needed any more
                group.line = group.line | {"return": None}
        self._told = {id(group): len(group.ids) for group in ordered}

    def _heading(self, ids: list[str], code: int = 0) -> str:
        """Names, how many they are, and what went wrong."""
        notes = [str(len(ids))] * (len(ids) > 1) + [f"retcode {code}"] * bool(code)
        return nodes.fold(ids) + (f" ({', '.join(notes)})" if notes else "")

    def _difference(self, majority: Any) -> Any:
        """What shows another group as what differs from the majority."""

        def text_of(group: Any) -> str:
            data = {"": self._value(group.line)}
            return str(terminal.rendered(data, self.args, terminal.wished(group.line), 0, color=False))

        differences = grouping.Differences(text_of(majority), bool(self._colors["RED"]))

        def show(group: Any) -> None:
            heading = self._heading(group.ids, retcode_of(group.line))
            self._write(f"{self._colors['CYAN']}{heading}:{self._colors['END']}\n{differences.of(text_of(group))}")

        return show

    def _safe(self, text: str) -> str:
        """A minion's words on one line, as the outputters give them to a terminal or a pipe."""
        unsafe = terminal.UNSAFE if self.screen or terminal.is_terminal(sys.stderr) else terminal.SURROGATE
        return str(unsafe.sub(lambda found: f"\\u{ord(found[0]):04x}", terminal.one_line(text)))

    def _write(self, text: str) -> None:
        """For stdout, above the lines at the bottom if they are there."""
        if self._live.running and self.screen:
            self._live.write(text)
        else:
            terminal.write(text, self.args)

    def _tell(self, text: str) -> None:
        """Something that is no return: on stdout for people, else on stderr."""
        if self.people:
            self._write(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def _say(self, text: str) -> None:
        """Something about the job, for stderr."""
        if self._live.running:
            self._live.write(self._safe(text))
        else:
            print(self._safe(text), file=sys.stderr, flush=True)

    def _status(self) -> Any:
        facts = self.facts
        failed = sum(map(bool, facts.returned.values()))
        counts = len(facts.expected), len(facts.returned), failed, time.monotonic() - self._began
        return live.Status(*counts, facts.missing(), facts.progress)

    # the end

    def close(self) -> None:
        """Show what was held back, and erase the lines at the bottom: the command was interrupted, or is over."""
        try:
            if self._grouped() and self.facts.returned:
                self._flush()
        finally:
            self._live.close()

    def finish(self) -> int:
        """The job is over: show the rest, and what there is to say of it. Gives the exit code."""
        self.close()
        facts = self.facts
        if not facts.expected:
            return self._nobody()
        silent = self._silences()
        if self.fun == "sys.doc" and not self.args.out and not self.args.full_return:
            self._docs()
        if self._everything or self.args.static:
            rest = {
                named(minion_id, facts.returned[minion_id]) if self.people else minion_id: value
                for minion_id, value in self._everything.items()
            }
            self._data(rest | (silent if self.args.static else {}), self._out)
        if silent and not self.args.static:
            self._data(silent, "no_return")
        if facts.silent or self.unknown or self._not_run():
            facts.bad.add(EX_FAILED)
        if self.args.summary and self.people:
            self._write(self._summary())
        self._end()
        return self._exit_code()

    def _nobody(self) -> int:
        """No minion matched: say so, and who may have been meant."""
        self._tell("No minions matched the target. No command was sent, no jid was assigned.")
        hints = targets.complaints(self.unknown, self._fleet) if self.unknown else []
        if self._target and self._fleet and not hints:
            hints = list(filter(None, [targets.might_mean(self._target, self._fleet)]))
        for hint in hints:
            self._say(f"saltlite: {hint}")
        return EX_NO_MATCH

    def _data(self, data: dict[str, Any], out: str | None) -> None:
        if text := terminal.rendered(data, self.args, out):
            self._write(text)

    def _docs(self) -> None:
        """What sys.doc gives, each function once, or that there is nothing."""
        everything, self._everything = self._everything, {}
        text = terminal.rendered(everything, self.args, "docs")
        if text:
            self._write(text)
        elif everything:
            words = " ".join(map(str, self.args.arg)) if getattr(self.args, "arg", None) else "*"
            self._say(f"saltlite: no minion has documentation of {words}.")
            self.facts.bad.add(EX_FAILED)

    def _silences(self) -> dict[str, Any]:
        """What is printed for those that did not return, by name; for people who group, by what is to be said."""
        facts, silent = self.facts, self.facts.silent
        if not self.args.show_timeout:
            return {}
        if not self.people:  # a program finds every name that it has asked for; people are told of these at the end
            silent = silent | dict.fromkeys(sorted(self.unknown), {"why": "No accepted key has this name"})
        if self.args.full_return:
            keys = ("since", "answered")
            none = {"ret": None, "retcode": None, "success": False, "jid": self.jid, "silent": True}
            return {name: none | {key: line.get(key) for key in keys} for name, line in silent.items()}
        if not self._grouped():
            return {name: silence(line, name in facts.running) for name, line in silent.items()}
        found: dict[str, list[str]] = {}
        for minion_id, line in facts.silent.items():
            found.setdefault(silence(line, minion_id in facts.running, 16), []).append(minion_id)
        return {self._heading(sorted(ids)): sentence for sentence, ids in found.items()}

    def _not_run(self) -> list[str]:
        """Who was never begun: the job was stopped before."""
        return self.facts.missing() if self.facts.end else []

    def _summary(self) -> str:
        """Counts as Salt's --summary prints them."""
        facts = self.facts
        failed, gone = [name for ids in facts.failed().values() for name in ids], len(facts.expected)
        gone = max(0, gone - len(facts.returned))
        rows = {"targeted": len(facts.returned) + gone, "returned": len(facts.returned), "that did not return": gone}
        lines = ["\n", RULE, "Summary", RULE, *(f"# of minions {what}: {count}" for what, count in rows.items())]
        lines.append(f"# of minions with errors: {len(failed)}")
        if self.args.verbose:
            lines += [f"Minions not responding: {' '.join(sorted(facts.silent))}"] if facts.silent else []
            lines += [f"Minions with failures: {' '.join(sorted(failed))}"] if failed else []
        return "\n".join([*lines, RULE])

    def _end(self) -> None:
        """The last lines: counts and times, who failed, who was silent, and the command that repeats for them."""
        facts = self.facts
        for sentence in targets.complaints(self.unknown, self._fleet) if self.unknown else ():
            self._say(f"saltlite: {sentence}")
        wrong = bool(facts.bad or facts.queued)
        if len(facts.expected) < 2 and not wrong or not (wrong or self.screen):
            return
        if len(facts.expected) > 1 or not facts.returned:
            self._say(self._counts())
        for code, ids in facts.failed().items() if len(facts.expected) > 1 else ():
            self._say(f"failed with retcode {code}: {nodes.fold(ids)}")
        if facts.silent and len(facts.expected) > 1:
            self._say(f"silent: {nodes.fold(facts.silent)}")
        if facts.silent and self._fleet and (full := terminal.no_room(self._fleet.tree)):
            self._say(f"{full}; those of this job come then.")
        if rest := self._not_run():
            self._say(f"not run: {nodes.fold(rest)}")
        for until in sorted({line.get("until") or 0 for line in facts.queued.values()}):
            ids = [minion_id for minion_id, line in facts.queued.items() if (line.get("until") or 0) == until]
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(until))
            self._say(f"queued until {when}: {nodes.fold(ids)}")
        if len(facts.expected) > 1 and getattr(self.args, "tgt", None):
            states = [state for state, ids in (("failed", facts.failed()), ("silent", facts.silent)) if ids]
            for state in states:
                self._say(f"again for the {state}: {self.again(f'@{self.jid}.{state}')}")

    def _counts(self) -> str:
        facts, times = self.facts, sorted(self.facts.times.values())
        words = [f"{len(facts.returned)} of {len(facts.expected)} returned"]
        counts = {"failed": sum(map(bool, facts.returned.values())), "silent": len(facts.silent)}
        words += [f"{count} {what}" for what, count in counts.items() if count]
        seconds = facts.end.get("seconds")
        text = ", ".join(words) + (f" in {seconds:.1f} s" if isinstance(seconds, int | float) else "")
        if len(times) > 1:
            last = max(facts.times, key=lambda minion_id: facts.times[minion_id])
            text += f" (p50 {percentile(times, 50):.2f} s, p95 {percentile(times, 95):.2f} s"
            text += f", last {last} {times[-1]:.2f} s)"
        return f"{text}."

    def again(self, tgt: str) -> str:
        """The command for other minions."""
        import shlex

        program = os.path.basename(sys.argv[0])
        words = ["salt"] if program == "salt" else ["saltlite", "salt"]
        words += ["-c", self.args.config_dir] if self.args.config_dir != "/etc/salt" else []
        behind = list(map(str, self.args.arg))
        mark = ["--"] * any(word.startswith("-") for word in behind)
        return shlex.join([*words, tgt, *([self.args.fun] if self.args.fun else []), *mark, *behind])

    def _exit_code(self) -> int:
        """README, `What salt exits with`; of a batch the highest retcode, as Salt's own."""
        facts = self.facts
        if facts.header.get("batch") and (highest := max(facts.returned.values(), default=0)) > 0:
            return min(highest, 255)
        return min(facts.bad, default=EX_OK)


SHOWN = ("new", "batch", "ret", "progress", "paused", "resumed", "stopped", "cancelled")  # handled by `_EVENT`
