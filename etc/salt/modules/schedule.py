"""The schedule. The file minion.d/_schedule.conf is what these change; the minion sees it at its next look, which comes
with the end of this very job."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

import yaml

from saltlite import (
    CommandExecutionError,
    Execution,
    Failure,
    make_directory,
    own_kwargs,
    packed_leaf,
    put,
    safe_yaml,
    with_minion,
)

schedules = packed_leaf("schedules", "minion")
__func_alias__ = {"list_": "list", "reload_": "reload"}

SCHEDULE_WORDS = (
    "maxrunning function splay range when once once_fmt returner jid_include args kwargs seconds minutes hours days "
    "enabled return_job metadata cron until after return_config return_kwargs run_on_start skip_during_range "
    "run_after_skip_range name"
).split()
KEYWORDS = ("offline", "where")  # of Salt's; a file is all there is here, so they change nothing
ENTRY_KEYWORDS = (*KEYWORDS, "job_args", "job_kwargs", *SCHEDULE_WORDS)


def _text(entries: Mapping[str, Any]) -> str:
    """minion.d/_schedule.conf byte for byte as Salt writes it."""
    return yaml.dump(
        {"schedule": dict(entries)}, Dumper=safe_yaml("Dumper"), allow_unicode=True, default_flow_style=None
    )


def _refuse(kwargs: Mapping[str, Any], known: Collection[str] = KEYWORDS) -> None:
    """CommandExecutionError for a keyword that is none."""
    if unknown := [name for name in own_kwargs(kwargs) if name not in known]:
        raise CommandExecutionError(f"There is no keyword {', '.join(unknown)}; there are: {', '.join(known)}")


@contextlib.contextmanager
def _changed(minion: Execution, persist: Any = True) -> Iterator[dict[str, Any]]:
    """Gives the entries to change, and saves what was made of them, with what was not saved before; or keeps in the
    cache how they differ from what is saved. Of two jobs, one waits for the other."""
    path = minion.tree.schedule_path(bool(persist))
    make_directory(minion.tree.cache)
    fd = os.open(minion.tree.cache / ".schedule.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        saved, entries = minion.tree.schedule(True), minion.tree.schedule()
        yield entries
        if not persist:
            gone = dict.fromkeys(name for name in saved if name not in entries)
            differ = {name: entry for name, entry in entries.items() if name not in saved or saved[name] != entry}
            put(path, _text(gone | differ), sync=False)
        else:
            if _text(entries) != _text(saved):
                path.parent.mkdir(exist_ok=True)
                put(path, _text(entries), 0o644)
            minion.tree.schedule_path(False).unlink(missing_ok=True)
    except OSError as error:
        raise Failure(f"{path} cannot be changed: {error.strerror}.") from None
    finally:
        os.close(fd)


def _entries(minion: Execution, where: str | None = None) -> dict[str, Any]:
    """The entries of all sources, or those not from pillar (`opts`), or from pillar alone; with names and `enabled`."""
    pillar = minion.pillar.get("schedule")
    own = {} if where == "pillar" else {**minion.opts["schedule"], **minion.tree.schedule()}
    entries = {**(pillar if isinstance(pillar, dict) and where != "opts" else {}), **own}
    return {
        str(name): {"name": name, "enabled": True, **{k: v for k, v in entry.items() if v is not None}}
        if isinstance(entry, dict)
        else entry
        for name, entry in entries.items()
    }


def _answer(comment: Any, result: bool = True, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"comment": comment, "result": result, "changes": changes or {}}


def _unchangeable(minion: Execution, name: str, verb: str) -> dict[str, Any] | None:
    """The answer for an entry that cannot be changed from here, or None."""
    if name in _entries(minion, "opts") and name not in schedules.SCHEDULE_SETTINGS:
        return None
    if name in _entries(minion, "pillar"):
        return _answer(f"Failed to {verb} job {name} in schedule: it is in the pillar.", False)
    return _answer(f"Job {name} does not exist.", False)


@with_minion
def list_(minion: Execution, show_all=False, show_disabled=True, where=None, return_yaml=True, offline=False):
    """The entries of the schedule, as YAML text or as a map; `where`: opts or pillar. Salt's own are hidden.

    CLI Example: salt '*' schedule.list show_disabled=False"""
    found: dict[str, Any] = {}
    saved = minion.tree.schedule(True)
    for name, entry in (_entries(minion, where) if not offline else saved).items():
        if not isinstance(entry, dict):
            found[name] = entry
        elif (show_all or not name.startswith("__")) and (show_disabled or entry.get("enabled", True)):
            found[name] = {word: value for word, value in entry.items() if word in SCHEDULE_WORDS}
            found[name] |= {"saved": name in saved} if return_yaml else {}
    if return_yaml:
        return yaml.dump({"schedule": found}, Dumper=yaml.SafeDumper, allow_unicode=True, default_flow_style=False)
    return found


@with_minion
def is_enabled(minion: Execution, name=None):
    """The entry of this name, or without one whether the schedule as a whole is enabled.

    CLI Example: salt '*' schedule.is_enabled name=job1"""
    found = list_(minion, return_yaml=False)
    return found.get(name, {}) if name else found.get("enabled", True)


@with_minion
def build_schedule_item(minion: Execution, name, **kwargs):
    """The entry that schedule.add would add.

    CLI Example: salt '*' schedule.build_schedule_item job1 function=test.ping seconds=3600"""
    _refuse(kwargs, ENTRY_KEYWORDS)
    words = {"job_args": "args", "job_kwargs": "kwargs"}
    entry = {words.get(word, word): value for word, value in kwargs.items()}
    given = {word: value for word, value in entry.items() if word in SCHEDULE_WORDS}
    made = {"name": name, "maxrunning": 1, "enabled": True, "jid_include": True, **given}
    if not name or not isinstance(name, str) or name in schedules.SCHEDULE_SETTINGS:
        return {"comment": "Job name is required.", "result": False}
    try:
        schedules.checked_entry(made, {}, schedules.whens_of(minion.grains, minion.pillar), time.time())
    except schedules.MISTAKES as error:
        return {"comment": f"Job {name} is not valid: {str(error).rstrip('.')}.", "result": False}
    return made


@with_minion
def add(minion: Execution, name, test=False, persist=True, **kwargs):
    """Add a job to the schedule and save it; `job_args` and `job_kwargs` are the function's. With persist=False it is
    gone when the minion starts again.

    CLI Example: salt '*' schedule.add job1 function=cmd.run job_args="['date >> /tmp/log']" seconds=60"""
    if name in _entries(minion):
        return _answer(f"Job {name} already exists in schedule.", False)
    entry = build_schedule_item(minion, name, **kwargs)
    if entry.get("result") is False:
        return _answer(entry["comment"], False)
    if test:
        return _answer(f"Job: {name} would be added to schedule.")
    with _changed(minion, persist) as saved:
        saved[name] = entry
    return _answer(f"Added job: {name} to schedule.", True, {name: "added"})


@with_minion
def modify(minion: Execution, name, test=False, persist=True, **kwargs):
    """Replace a job of the schedule; its function stays unless another is given.

    CLI Example: salt '*' schedule.modify job1 seconds=3600"""
    if name not in _entries(minion):
        return _answer(f"Job {name} does not exist in schedule.", False)
    if refusal := _unchangeable(minion, name, "modify"):
        return refusal
    before = list_(minion, show_all=True, return_yaml=False)[name]
    entry = build_schedule_item(minion, name, **{"function": before.get("function"), **kwargs})
    if entry.get("result") is False:
        return _answer(entry["comment"], False)
    if entry == before:
        return _answer(f"Job {name} in correct state")
    changes = {name: {"old": before, "new": entry}}
    if test:
        return _answer(f"Job: {name} would be modified in schedule.", True, changes)
    with _changed(minion, persist) as saved:
        saved[name] = entry
    return _answer(f"Modified job: {name} in schedule.", True, changes)


@with_minion
def delete(minion: Execution, name, test=False, persist=True, **kwargs):
    """Delete a saved job from the schedule; those of pillar and of configuration files are deleted there.

    CLI Example: salt '*' schedule.delete job1"""
    _refuse(kwargs)
    if test:
        return _answer(f"Job: {name} would be deleted from schedule.")
    with _changed(minion, persist) as saved:
        deleted = name not in schedules.SCHEDULE_SETTINGS and saved.pop(name, None) is not None
    if name in _entries(minion):
        place = "a configuration file" if name in minion.opts["schedule"] else "the pillar"
        return _answer(f"Failed to delete job {name} from schedule: it is in {place}.", False)
    if not deleted:
        return _answer(f"Job {name} does not exist.", False)
    return _answer(f"Deleted Job {name} from schedule.", True, {name: "removed"})


@with_minion
def purge(minion: Execution, test=False, persist=True, **kwargs):
    """Delete all saved jobs from the schedule, Salt's own excepted.

    CLI Example: salt '*' schedule.purge"""
    _refuse(kwargs)
    found = [name for name in _entries(minion) if not name.startswith("__") and name not in schedules.SCHEDULE_SETTINGS]
    answers = {name: delete(minion, name, test, persist) for name in found}
    changes = {name: change for answer in answers.values() for name, change in answer["changes"].items()}
    said = [f"Deleted job: {name} from schedule." if name in changes else a["comment"] for name, a in answers.items()]
    return _answer(said, True, changes)


def _switch(
    minion: Execution, name: str, on: bool, test: bool, persist: bool, kwargs: dict[str, Any]
) -> dict[str, Any]:
    _refuse(kwargs)
    verb, done = ("enable", "enabled") if on else ("disable", "disabled")
    if test:
        return _answer(f"Job: {name} would be {done} in schedule.")
    if refusal := _unchangeable(minion, name, verb):
        return refusal
    with _changed(minion, persist) as saved:
        saved[name] = {**minion.opts["schedule"].get(name, {}), **saved.get(name, {}), "enabled": on}
    return _answer(f"{done.capitalize()} Job {name} in schedule.", True, {name: done})


@with_minion
def enable_job(minion: Execution, name, test=False, persist=True, **kwargs):
    """Let a job of the schedule run again.

    CLI Example: salt '*' schedule.enable_job job1"""
    return _switch(minion, name, True, test, persist, kwargs)


@with_minion
def disable_job(minion: Execution, name, test=False, persist=True, **kwargs):
    """Keep a job of the schedule from running.

    CLI Example: salt '*' schedule.disable_job job1"""
    return _switch(minion, name, False, test, persist, kwargs)


def _moment(time: Any, time_fmt: str) -> float | None:
    """When a date string is, or None if it is none of this format."""
    try:
        return datetime.strptime(time, time_fmt).timestamp()
    except (TypeError, ValueError):
        return None


def _give(minion: Execution, name: str, verb: str, moments: dict[str, Any], time_fmt: str) -> dict[str, Any] | None:
    """Give an entry single moments, {"skip_explicit": …}, until the minion starts or they have passed; or the answer
    that says why not."""
    for moment in moments.values():
        if _moment(moment, time_fmt) is None:
            return {
                "comment": f"Date string could not be parsed: {moment!r} is no time of {time_fmt}.",
                "result": False,
            }
    if refusal := _unchangeable(minion, name, verb):
        return {word: refusal[word] for word in ("comment", "result")}
    if not _entries(minion, "opts")[name]["enabled"]:
        return {"comment": f"Failed to {verb} job {name} in schedule: it is disabled.", "result": False}
    with _changed(minion, persist=False) as entries:
        entry = {**minion.opts["schedule"].get(name, {}), **entries.get(name, {})}
        for word, moment in moments.items():
            given = [one for one in entry.get(word, []) if (_moment(**one) or 0) > time.time() - schedules.SKIPPED]
            entry[word] = [*given, {"time": moment, "time_fmt": time_fmt}]
        entries[name] = entry
    return None


@with_minion
def skip_job(minion: Execution, name, current_time, time_fmt="%Y-%m-%dT%H:%M:%S"):
    """Let a job of the schedule not run at this one time.

    CLI Example: salt '*' schedule.skip_job job1 2026-12-24T18:00:00"""
    refusal = _give(minion, name, "skip", {"skip_explicit": current_time}, time_fmt)
    return refusal or {"comment": f"Added Skip Job {name} in schedule.", "result": True}


@with_minion
def postpone_job(minion: Execution, name, current_time, new_time, time_fmt="%Y-%m-%dT%H:%M:%S"):
    """Let a job of the schedule run at the new time instead of the one.

    CLI Example: salt '*' schedule.postpone_job job1 2026-12-24T18:00:00 2026-12-24T20:00:00"""
    moments = {"skip_explicit": current_time, "run_explicit": new_time}
    refusal = _give(minion, name, "postpone", moments, time_fmt)
    return refusal or {"comment": f"Postponed Job {name} in schedule.", "result": True}


def _switch_all(minion: Execution, on: bool, test: bool, persist: bool, kwargs: dict[str, Any]) -> dict[str, Any]:
    _refuse(kwargs)
    done = "enabled" if on else "disabled"
    if test:
        return _answer(f"Schedule would be {done}.")
    with _changed(minion, persist) as saved:
        saved["enabled"] = on
    return _answer(f"{done.capitalize()} schedule on minion.", True, {"schedule": done})


@with_minion
def enable(minion: Execution, test=False, persist=True, **kwargs):
    """Let the jobs of the schedule run again.

    CLI Example: salt '*' schedule.enable"""
    return _switch_all(minion, True, test, persist, kwargs)


@with_minion
def disable(minion: Execution, test=False, persist=True, **kwargs):
    """Keep all jobs of the schedule from running.

    CLI Example: salt '*' schedule.disable"""
    return _switch_all(minion, False, test, persist, kwargs)


@with_minion
def save(minion: Execution, test=False, **kwargs):
    """Save the schedule: every change of it has done that already, but for those with persist=False.

    CLI Example: salt '*' schedule.save"""
    _refuse(kwargs)
    if not test:
        with _changed(minion):
            pass
    comment = "Schedule would be saved." if test else "Schedule (non-pillar items) saved."
    return {"comment": comment, "result": True}


@with_minion
def reload_(minion: Execution):
    """Read the saved schedule again.

    CLI Example: salt '*' schedule.reload"""
    with contextlib.suppress(FileNotFoundError):
        os.utime(minion.tree.schedule_path())
    return {"comment": ["Reloaded schedule on minion from schedule.conf."], "result": True}
