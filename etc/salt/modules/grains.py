"""Read the grains, and change those in the grains file of the configuration directory."""

from __future__ import annotations

import contextlib
import copy
import fcntl
import fnmatch
import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from saltlite import CommandExecutionError, Execution, merged, put, traverse, with_minion, yaml_loader

__func_alias__ = {"set_": "set"}

MISSING: Any = object()
SANITIZED = {  # what items and item show of these with sanitize=True
    "domain": "DOMAINNAME",
    "fqdn": "MINION.DOMAINNAME",
    "host": "MINION",
    "id": "MINION.DOMAINNAME",
    "localhost": "MINION",
    "nodename": "MINION",
}


def _read(path: Path) -> dict[Any, Any]:
    """The map in a grains file; empty if there is none. Raises CommandExecutionError for anything but a map."""
    try:
        grains = yaml.load(path.read_text(encoding="utf-8"), yaml_loader())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CommandExecutionError(f"Unable to read existing grains file: {path}: {error}") from error
    if grains is not None and not isinstance(grains, dict):
        raise CommandExecutionError(f"Unable to read existing grains file: {path} is not a map; it is left as it is")
    return grains or {}


@contextlib.contextmanager
def _grains_file(minion: Execution) -> Iterator[tuple[dict[Any, Any], dict[Any, Any]]]:
    """The map in the grains file, to change, locked against other jobs and written at the end; and a copy of all grains
    with what is in the file, which another job may have changed a moment ago."""
    dump = functools.partial(yaml.safe_dump, default_flow_style=False, allow_unicode=True)
    path = (minion.tree.conf / "grains").resolve()
    try:
        directory = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise CommandExecutionError(f"Unable to write the grains file {path}: {error.strerror}") from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        stored = _read(path)
        before = dump(stored)
        yield stored, copy.deepcopy({**minion.grains, **stored})
        if dump(stored) != before:  # else the comments in it are kept
            put(path, dump(stored), path.stat().st_mode & 0o777 if path.exists() else 0o644)
    except (OSError, yaml.YAMLError) as error:
        raise CommandExecutionError(f"Unable to write the grains file {path}: {error}") from error
    finally:
        os.close(directory)


def _store(minion: Execution, stored: dict[Any, Any], values: Mapping[Any, Any], destructive: bool = False) -> None:
    """Put values into the file's map and the job's grains; None with `destructive` takes the key out."""
    for grains in (stored, minion.grains):
        for key, value in values.items():
            if value is None and destructive:
                grains.pop(key, None)
            else:
                grains[key] = value


def _planted(parent: Any, path: str, name: str, value: Any, force: bool, destructive: bool) -> Any:
    """`parent`, which is at `path`, with `value` under `name`. Raises CommandExecutionError if it is something else."""
    if parent is None or isinstance(parent, Mapping):
        rest = {key: each for key, each in (parent or {}).items() if key != name}
        return rest if value is None and destructive else {**rest, name: value}
    if isinstance(parent, list):
        if not any(each == name or isinstance(each, Mapping) and name in each for each in parent):
            return [*parent, {name: value}]
        maps = [{name: each} if each == name else each for each in parent]
        return [{**each, name: value} if isinstance(each, Mapping) and name in each else each for each in maps]
    if parent == name or force:
        return {name: value}
    what = f"The key '{path}' value is '{parent}', which is different from the provided key '{name}'."
    raise CommandExecutionError(f"{what} Use 'force=True' to overwrite.")


def _rooted(
    grains: Mapping[Any, Any], path: str, value: Any, delimiter: str, force: bool = False, destructive: bool = False
) -> dict[Any, Any]:
    """{top: value} for the first name of `path` such that the path leads to `value`; what is beside it is kept."""
    while delimiter in path:
        path, name = path.rsplit(delimiter, 1)
        value = _planted(traverse(grains, str(path).split(delimiter), None), path, name, value, force, destructive)
    return {path: value}


def _around(grains: dict[Any, Any], key: str, values: list[Any], delimiter: str) -> dict[Any, Any] | str:
    """{top: value} of a list that stands at a path of `grains`, or is to stand there, or why it cannot; what is beside
    it is kept. A list is entered as grains.get enters it, and gets no names."""
    inner: Any = values
    while delimiter in key:
        key, name = key.rsplit(delimiter, 1)
        parent = traverse(grains, key.split(delimiter), None)
        parent = {} if parent is None else parent
        if traverse(parent, [name]) is not inner:  # else it was changed where it stands
            if not isinstance(parent, dict):
                return f"The key {key} is not a map, so there can be no {name} in it"
            parent[name] = inner
        inner = parent
    return {key: inner}


@with_minion
def append(minion: Execution, key, val, convert=False, delimiter=":"):
    """Append a value, or the values of a list, to a list grain; it is made if there is none. convert=True makes a list
    of what is not one.

    CLI Example: salt '*' grains.append roles web"""
    with _grains_file(minion) as (stored, grains):
        values = traverse(grains, str(key).split(delimiter), [])
        if convert and not isinstance(values, list):
            values = [] if values is None else [values]
        if not isinstance(values, list):
            return f"The key {key} is not a valid list"
        if val in values:
            return f"The val {val} was already in the list {key}"
        values += val if isinstance(val, list) else [val]
        changes = _around(grains, str(key), values, delimiter)
        if isinstance(changes, dict):
            _store(minion, stored, changes)
    return changes


@with_minion
def delkey(minion: Execution, key, force=False):
    """Remove a grain from the grains file; force=True also if it is a map or a list.

    CLI Example: salt '*' grains.delkey key"""
    return set_(minion, key, None, force=force, destructive=True)


@with_minion
def delval(minion: Execution, key, destructive=False, force=False):
    """Set a grain to None; destructive=True removes it.

    CLI Example: salt '*' grains.delval key"""
    return set_(minion, key, None, force=force, destructive=destructive)


@with_minion
def equals(minion: Execution, key, value):
    """Whether a grain has this value, compared as text.

    CLI Example: salt '*' grains.equals systemd:version 252"""
    return str(value) == str(traverse(minion.grains, str(key).split(":"), ""))


def _filtered(lookup_dict: Mapping[Any, Any], value: Any, merge: Any, default: Any, base: Any) -> Any:
    """The entry of a map whose key, a glob, matches a value, or the first of a list of values that it matches."""
    found = None
    for each in map(str, value if isinstance(value, list) else [value]):
        exact = [lookup_dict[key] for key in lookup_dict if str(key) == each]
        matching = [lookup_dict[key] for key in lookup_dict if fnmatch.fnmatchcase(each, str(key))]
        found = next(iter(exact + matching), None)
        if found is not None:
            break
    layers = [lookup_dict.get(base) if base else None, lookup_dict.get(default) if found is None else found, merge]
    layers = [copy.deepcopy(each) for each in layers if each is not None]
    if len(layers) > 1 and not all(isinstance(each, Mapping) for each in layers):
        raise CommandExecutionError("filter_by: what is found, merge and base must be maps to be put together")
    return functools.reduce(merged, layers) if layers else None


@with_minion
def filter_by(minion: Execution, lookup_dict, grain="os_family", merge=None, default="default", base=None):
    """The entry of a map whose key, a glob, matches a grain; over it `merge`, under it the entry called `base`.

    CLI Example: salt '*' grains.filter_by '{Debian: Debheads rule, RedHat: I love my hat}'"""
    return _filtered(lookup_dict, traverse(minion.grains, str(grain).split(":"), []), merge, default, base)


@with_minion
def get(minion: Execution, key, default="", delimiter=":", ordered=True):
    """A grain, or what is at a path in it, else `default`.

    CLI Example:
        salt '*' grains.get pkg:apache
        salt '*' grains.get abc::def|ghi delimiter='|'"""
    return traverse(minion.grains, str(key).split(delimiter), default)


@with_minion
def has_value(minion: Execution, key):
    """Whether there is a grain, or something at a path in it.

    CLI Example: salt '*' grains.has_value pkg:apache"""
    return traverse(minion.grains, str(key).split(":"), MISSING) is not MISSING


def _sanitized(grains: dict[Any, Any], sanitize: Any) -> dict[Any, Any]:
    """Grains that may be shown to others, if that is wanted: without names, and with three quarters of a number."""
    if str(sanitize).lower() not in ("true", "1", "yes", "on"):
        return grains
    shown = {name: SANITIZED.get(name, value) for name, value in grains.items()}
    if "serialnumber" in shown:
        number = str(shown["serialnumber"])
        shown["serialnumber"] = number[: len(number) * 3 // 4].ljust(len(number), "X")
    return shown


@with_minion
def item(minion: Execution, *args, default="", delimiter=":", sanitize=False):
    """Some grains, as a map; sanitize=True hides names and serial number.

    CLI Example: salt '*' grains.item os osrelease oscodename"""
    found = {arg: traverse(minion.grains, str(arg).split(delimiter), default) for arg in args}
    return _sanitized(found, sanitize)


@with_minion
def items(minion: Execution, sanitize=False):
    """All grains; sanitize=True hides names and serial number.

    CLI Example: salt '*' grains.items"""
    return _sanitized(dict(minion.grains), sanitize)


@with_minion
def ls(minion: Execution):
    """The names of all grains.

    CLI Example: salt '*' grains.ls"""
    return sorted(minion.grains)


@with_minion
def remove(minion: Execution, key, val, delimiter=":"):
    """Take a value out of a list grain.

    CLI Example: salt '*' grains.remove roles web"""
    with _grains_file(minion) as (stored, grains):
        values = traverse(grains, str(key).split(delimiter), [])
        if not isinstance(values, list):
            return f"The key {key} is not a valid list"
        if val not in values:
            return f"The val {val} was not in the list {key}"
        values.remove(val)
        changes = _around(grains, str(key), values, delimiter)
        if isinstance(changes, dict):
            _store(minion, stored, changes)
    return changes


@with_minion
def set_(minion: Execution, key, val="", force=False, destructive=False, delimiter=":"):
    """Set what is at a path. A map or a list is neither replaced nor put in the place of something without force=True.

    CLI Example:
        salt '*' grains.set 'apps:myApp:port' 2209
        salt '*' grains.set 'apps:myApp' '{port: 2209}' force=True"""
    with _grains_file(minion) as (stored, grains):
        old = traverse(grains, str(key).split(delimiter), MISSING)
        if old is not MISSING and old == val and not (val is None and destructive):
            return {"comment": "Grain is already set", "changes": {}, "result": True}
        problem = ""
        if isinstance(old, (dict, list)):
            problem = "but is a dict or a list"
        elif isinstance(val, (dict, list)) and old not in (MISSING, None):
            problem = "and the given value is a dict or a list"
        if problem and not force:
            comment = f"The key '{key}' exists {problem}. Use 'force=True' to overwrite."
            return {"comment": comment, "changes": {}, "result": False}
        try:
            changes = _rooted(grains, key, val, delimiter, force, destructive)
        except CommandExecutionError as error:
            return {"comment": str(error), "changes": {}, "result": False}
        _store(minion, stored, changes, destructive)
    return {"comment": "", "changes": changes, "result": True}


@with_minion
def setval(minion: Execution, key, val, destructive=False, refresh_pillar=True):
    """Set a grain in the grains file.

    CLI Example:
        salt '*' grains.setval key val
        salt '*' grains.setval key '{sub-key: val, sub-key2: val2}'"""
    return setvals(minion, {key: val}, destructive, refresh_pillar)


@with_minion
def setvals(minion: Execution, grains, destructive=False, refresh_pillar=True):
    """Set several grains in the grains file; destructive=True removes those that are None.

    CLI Example: salt '*' grains.setvals '{key1: val1, key2: val2}'"""
    if not isinstance(grains, Mapping):
        raise CommandExecutionError("setvals grains must be a dictionary.")
    with _grains_file(minion) as (stored, _):
        _store(minion, stored, grains, destructive)
    return grains


fetch = get
