"""What is due of a schedule: values in, values out, but for the clock in `Schedule.read`.

Salt's entries: one of FIRES says when one fires, each of GATES may forbid it. They speak of local time; `now` and all
moments are seconds since the epoch. A clock that jumps makes nothing fire twice, nor all that it jumped over:
intervals are kept by the monotonic clock, times of day are sought anew when the clock was set back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from saltlite import Lazy, nearest, token

SCHEDULE_SETTINGS = ("enabled", "skip_function", "skip_during_range", "splay")  # of the whole, beside its entries
UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
UNUSED = ("returner", "return_config", "return_kwargs")
MISTAKES = (ArithmeticError, AttributeError, KeyError, TypeError, ValueError)  # what reading an entry may raise
NEVER = float("inf")
LATE = 60.0  # seconds after which a date or a time of day is missed; a minion that slept may be late
SKIPPED = 2.0  # seconds from a moment of skip_explicit in which its entry does not run
PASSING = {"enabled": 0, "skip_explicit": 0, "run_explicit": 0}  # what may change in an entry that goes on as it was
croniter: Any = Lazy("croniter")
dateutil_parser: Any = Lazy("dateutil.parser")
datetime: Any = Lazy("datetime")
Entry = dict[str, Any]


def moment(value: Any, day: float) -> float:
    """When a date string is, or a time of day on the day of `day`; ValueError if it is neither."""
    if not isinstance(value, str | datetime.date):
        raise ValueError(f"{value!r} is no date or time (put quotes around it)")
    midnight = datetime.datetime.fromtimestamp(day).replace(hour=0, minute=0, second=0, microsecond=0)
    return dateutil_parser.parse(str(value), default=midnight).timestamp()


def interval_of(entry: Entry) -> float:
    """Seconds between two firings, at least one; ValueError if they make no interval."""
    seconds = sum(float(entry.get(unit, 0)) * length for unit, length in UNITS.items())
    if not 0 <= seconds <= 1e10:
        raise ValueError(f"it cannot fire every {seconds} seconds")
    return max(1.0, seconds)


def next_when(entry: Entry, since: float) -> float:
    """The next of its dates and times of day."""
    whens = entry["when"] if isinstance(entry["when"], list) else [entry["when"]]
    found = [moment(when, day) for when in whens for day in (since, since + 86400)]
    return min((at for at in found if at > since), default=NEVER)


def next_cron(entry: Entry, since: float) -> float:
    """The next moment of a cron expression, in local time."""
    at = (
        croniter.croniter(entry["cron"], datetime.datetime.fromtimestamp(since)).get_next(datetime.datetime).timestamp()
    )
    return at if at > since else at + 3600  # in the hour that summer time's end repeats


def next_once(entry: Entry, since: float) -> float:
    """Its one moment, if that is still to come."""
    at = entry["once"]
    if not isinstance(at, datetime.datetime):
        at = datetime.datetime.strptime(at, entry.get("once_fmt", "%Y-%m-%dT%H:%M:%S"))
    return at.timestamp() if at.timestamp() > since else NEVER


FIRES: dict[str, Callable[[Entry, float], float]] = {
    "seconds": lambda entry, since: since + interval_of(entry),
    "when": next_when,
    "cron": next_cron,
    "once": next_once,
    "": lambda entry, since: NEVER,  # without a time only schedule.run_job runs it
}


def kind_of(entry: Entry) -> str:
    """The key of FIRES that an entry fires by; ValueError if there are several."""
    kinds = [kind for kind in FIRES if kind and kind in entry or kind == "seconds" and UNITS.keys() & entry.keys()]
    if len(kinds) > 1:
        raise ValueError("it may have one of when, cron, once and seconds (with minutes, hours, days)")
    return kinds[0] if kinds else ""


def explicit(moments: Any) -> list[float]:
    """Those of an entry's run_explicit or skip_explicit, which schedule.postpone_job and skip_job give it."""
    return [datetime.datetime.strptime(one["time"], one["time_fmt"]).timestamp() for one in moments or []]


def next_fire(entry: Entry, since: float) -> float:
    """The first moment after `since` at which an entry fires, or is to make up for one that was postponed, without its
    splay; NEVER if there is none. Raises one of MISTAKES for an entry that is none."""
    found = [FIRES[kind_of(entry)](entry, since), *explicit(entry.get("run_explicit"))]
    return min((at for at in found if at > since), default=NEVER)


def in_range(span: Mapping[str, Any], now: float, invert: bool = False) -> bool:
    """Whether now is from start to end; with `invert` not between them. Both edges are in either."""
    start, end = moment(span["start"], now), moment(span["end"], now)
    if end <= start:
        raise ValueError("the end of a range must be later than its start")
    return not start < now < end if invert else start <= now <= end


GATES: dict[str, Callable[[Any, float], bool]] = {
    "range": lambda span, now: in_range(span, now, bool(span.get("invert"))),
    "skip_during_range": lambda span, now: not in_range(span, now),
    "skip_explicit": lambda moments, now: not any(at <= now < at + SKIPPED for at in explicit(moments)),
    "until": lambda until, now: now < moment(until, now),
    "after": lambda after, now: now > moment(after, now),
}


def closed(entry: Entry, now: float) -> str:
    """The first gate that keeps an entry from running now, or ''."""
    return next((gate for gate, is_open in GATES.items() if entry.get(gate) and not is_open(entry[gate], now)), "")


def opens(gate: str, span: Mapping[str, Any], now: float) -> float:
    """When a range lets an entry run again."""
    edges = [moment(span[edge], day) + s for day in (now, now + 86400) for edge in ("start", "end") for s in (0, 1)]
    return min((at for at in edges if at > now and GATES[gate](span, at)), default=NEVER)


def splay(entry: Entry) -> float:
    """Seconds by which an entry fires later than it says, drawn anew each time."""
    span = entry.get("splay")
    if not span:
        return 0
    low, high = (int(span["start"]), int(span["end"])) if isinstance(span, dict) else (1, int(span))
    if high < low:
        raise ValueError("the end of splay must not be before its start")
    return low + int.from_bytes(token(8), "big") % (high - low + 1)


WORDS = frozenset(  # all that an entry may say; what begins with _ is what Salt has noted in it
    """function func fun args kwargs job_args job_kwargs metadata maxrunning jid_include return_job enabled name dry_run
    seconds minutes hours days when cron once once_fmt splay range until after run_on_start run_after_skip_range
    skip_during_range skip_explicit run_explicit returner return_config return_kwargs offline where""".split()
)


def misspelt(name: str, entry: Any) -> list[str]:
    """A sentence for each key of an entry that is none."""
    keys = [str(key) for key in entry] if isinstance(entry, dict) else []
    odd = [key for key in keys if key not in WORDS and key[:1] != "_"]
    return [f"{name}: {key} is no key of an entry, and is ignored{nearest(key, WORDS) or '.'}" for key in odd]


ENTRY_TYPES = {"args": list, "kwargs": dict, "metadata": dict, "maxrunning": int}


def function_of(entry: Entry) -> str | list[str]:
    """The function of an entry, or a list of several; ValueError."""
    fun = next((entry[name] for name in ("function", "func", "fun") if entry.get(name)), "")
    if not fun or not all(isinstance(one, str) for one in ([fun] if isinstance(fun, str) else list(fun))):
        raise ValueError("function must name a function, or be a list of names")
    return fun


def checked_entry(entry: Any, defaults: Mapping[str, Any], whens: Mapping[str, Any], now: float) -> Entry:
    """An entry with what the whole schedule says of all, and with the named times put in; raises MISTAKES.

    `whens`: the named times of grains and pillar. An entry that could not fire, or whose gates could not be
    judged, is refused now and not when its time comes."""
    if not isinstance(entry, dict):
        raise ValueError("it must be a map")
    made = {word: value for word, value in {**defaults, **entry}.items() if value is not None}
    if "when" in made:
        listed = made["when"] if isinstance(made["when"], list) else [made["when"]]
        made["when"] = [whens.get(when, when) if isinstance(when, str) else when for when in listed]
    for name, wanted in ENTRY_TYPES.items():
        if name in made and not isinstance(made[name], wanted):
            raise ValueError(f"{name} must be a {wanted.__name__}, not {made[name]!r}")
    if made.get("dry_run"):
        raise ValueError("it is marked as dry_run")
    function_of(made)
    next_fire(made, now)
    splay(made)
    for gate in GATES:
        if made.get(gate):
            GATES[gate](made[gate], now)
    return made


class Schedule:
    """The entries of a minion, by name, and when each is due.

    `problems` collects sentences for the log, each once as long as the entries stay as they are; `asked` are names to
    run at once, whatever they say. It has no timer: `next` says when to ask `due` again."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.enabled = True
        self.problems: list[str] = []
        self._known: list[str] = []  # those of the last load, which need not be said again
        self.asked: list[str] = []  # names to run at once, whatever they say
        self._at: dict[str, float] = {}
        self._starting: set[str] = set()  # run_on_start, and did not yet
        self._offset: float | None = None  # the clock without the time that has passed
        self._again = 0.0  # when dates that lay too far ahead are looked at again

    def read(
        self, opts: Mapping[str, Any], grains: Mapping[str, Any], pillar: Mapping[str, Any], saved: Mapping[str, Any]
    ) -> None:
        """Take the entries of pillar, configuration and what schedule.add has saved, with their named times."""
        self.load(schedule_of(opts, pillar, saved), whens_of(grains, pillar), time.time())

    def load(self, entries: Mapping[str, Any], whens: Mapping[str, Any], now: float) -> None:
        """Take these entries; one that was here before goes on as it was, even if it was enabled or disabled."""
        before, self.entries = self.entries, {}
        problems: list[str] = []
        self.enabled = bool(entries.get("enabled", True))
        defaults = {name: entries[name] for name in ("skip_during_range", "splay") if entries.get(name)}
        for name, value in [(str(name), value) for name, value in entries.items()]:
            if name in SCHEDULE_SETTINGS:
                problems += ["skip_function has no effect."] if name == "skip_function" else []
                continue
            problems += misspelt(name, value)
            try:
                entry = self.entries[name] = checked_entry(value, defaults, whens, now)
            except MISTAKES as error:
                problems.append(f"{name} is skipped: {error or type(error).__name__}.")
                continue
            problems += [f"{name}: {word} has no effect." for word in UNUSED if word in entry]
            problems += [] if kind_of(entry) else [f"{name} has no time to run at: only schedule.run_job runs it."]
            if before.get(name, {}) | PASSING != entry | PASSING:
                self._begin(name, entry, now)
            given = [at for at in explicit(entry.get("run_explicit")) if at > now]
            self._at[name] = min(self._at[name], *given, NEVER)
        self._at = {name: at for name, at in self._at.items() if name in self.entries}
        self.problems += [problem for problem in problems if problem not in self._known]
        self._known = problems

    def _begin(self, name: str, entry: Entry, now: float) -> None:
        """A new entry, or one that was changed: when does it fire first?"""
        kind = kind_of(entry)
        self._starting.discard(name)
        self._plan(name, now - 1 if kind in ("once", "when") else now)
        if entry.get("run_on_start", kind == "seconds") and self._at[name] != NEVER:  # nor does Salt, when all is past
            self._starting.add(name)
            self._at[name] = now

    def _plan(self, name: str, since: float, gate: str = "") -> None:
        """Set when an entry is due next. As in Salt, some wait for a range, and splay does not delay a single run."""
        entry, kind = self.entries[name], kind_of(self.entries[name])
        made_up = gate == "skip_during_range" and entry.get("run_after_skip_range")
        waits = made_up or gate == "range" and kind == "seconds"
        try:
            at = opens(gate, entry[gate], since) if waits else next_fire(entry, since)
            prompt = made_up or kind == "once" or at in explicit(entry.get("run_explicit"))
            self._at[name] = at if prompt else at + splay(entry)
        except MISTAKES as error:
            self._at[name] = NEVER
            self.problems.append(f"{name} does not fire any more: {error}.")

    def next(self) -> float:
        """When something is due."""
        return min(self._at.values(), default=NEVER)

    def next_of(self, name: str) -> float:
        """When one entry is due; NEVER."""
        return self._at.get(name, NEVER)

    def job(self, name: str, jid: str, minion_id: str) -> dict[str, Any]:
        """The load of an entry's job."""
        return scheduled_job(name, self.entries[name], jid, minion_id)

    def ask(self, name: str, force: bool) -> dict[str, Any]:
        """Have an entry run at the next `due`; what schedule.run_job says of it."""
        entry = self.entries.get(name)
        if entry is None:
            return {"comment": f"Job {name} does not exist.", "result": False}
        if not entry.get("enabled", True) and not force:
            return {"comment": f"Job {name} is disabled.", "result": True}
        self.asked.append(name)
        return {"comment": f"Scheduling Job {name} on minion.", "result": True}

    def status(self, name: str, time_fmt: str) -> dict[str, Any]:
        """What schedule.job_status says of an entry; {} if there is none."""
        if name not in self.entries:
            return {}
        at = self.next_of(name)
        next_time = None if at == NEVER else time.strftime(time_fmt, time.localtime(at))
        return {"name": name, "enabled": True, **self.entries[name], "_next_fire_time": next_time}

    def due(self, now: float, mono: float) -> list[str]:
        """The names of the entries to run now. `mono`: the monotonic clock, by which jumps of the other are seen.

        The times must be asked for at least when `next` says; more often does no harm."""
        before, self._offset = self._offset, now - mono
        if before is not None and abs(self._offset - before) > 1:
            self._jump(self._offset - before, now)
        if now >= self._again:
            self._again = now + 3600
            for name in [name for name, at in self._at.items() if at == NEVER]:
                self._plan(name, now)
        asked, self.asked = [name for name in self.asked if name in self.entries], []
        return asked + [name for name, at in list(self._at.items()) if at <= now and self._fires(name, now - at, now)]

    def _jump(self, seconds: float, now: float) -> None:
        """The clock was set: intervals go on as they were, times of day are sought again if it was set back."""
        for name, entry in self.entries.items():
            if kind_of(entry) == "seconds":
                self._at[name] += seconds
            elif seconds < 0:
                self._plan(name, now)

    def _fires(self, name: str, late: float, now: float) -> bool:
        """Whether an entry that is due runs now, and when it is due next."""
        entry, starting = self.entries[name], name in self._starting
        self._starting.discard(name)
        try:
            gate = "" if starting else closed(entry, now)
        except MISTAKES as error:
            gate = str(error)
            self.problems.append(f"{name} does not run now: {error}.")
        self._plan(name, now, gate if gate in GATES else "")
        missed = late > LATE and kind_of(entry) in ("once", "when") and not starting
        return self.enabled and entry.get("enabled", True) and not gate and not missed


def scheduled_job(name: str, entry: Entry, jid: str, minion_id: str) -> dict[str, Any]:
    """The load of an entry's job, as a publication would bring it; `no_return`: its return is for nobody."""
    fun, args = function_of(entry), entry.get("args") or []
    kwargs: list[Any] = [{"__kwarg__": True, **entry["kwargs"]}] if entry.get("kwargs") else []
    if isinstance(fun, list):  # args is a list for each
        arg = [[*(args[n] if n < len(args) and isinstance(args[n], list) else []), *kwargs] for n in range(len(fun))]
    else:
        arg = [*args, *kwargs]
    load: dict[str, Any] = {"fun": fun, "arg": arg, "jid": jid, "tgt": minion_id, "tgt_type": "list", "ret": ""}
    load |= {"user": "root", "schedule": name}
    if entry.get("return_job", True) in (False, "nocache"):
        load["no_return"] = True
    return load | ({"metadata": entry["metadata"]} if entry.get("metadata") else {})


def schedule_of(opts: Mapping[str, Any], pillar: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
    """All entries of a minion: pillar, over that the configuration files, over that what schedule.add has saved."""
    told = pillar.get("schedule")
    entries = {**(told if isinstance(told, dict) else {}), **opts["schedule"], **saved}
    mine = entries.pop("__mine_interval", None)
    functions = opts.get("mine_functions") or pillar.get("mine_functions")
    if isinstance(mine, dict) and functions and opts.get("mine_enabled", True):
        entries["__mine_interval"] = mine | {"minutes": opts.get("mine_interval", 60)}
    return entries


def whens_of(grains: Mapping[str, Any], pillar: Mapping[str, Any]) -> dict[str, Any]:
    """The named times that `when` may use."""
    found = [source["whens"] for source in (grains, pillar) if isinstance(source.get("whens"), dict)]
    return {name: when for whens in found for name, when in whens.items()}
