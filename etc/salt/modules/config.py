"""The minion's options, and what stands in for them in grains and pillar."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Hashable, Mapping
from typing import Any

import yaml

__grains__: dict[str, Any]
__opts__: dict[str, Any]
__pillar__: dict[str, Any]

DEFAULTS = {"aliases.file": "/etc/aliases", "hosts.file": "/etc/hosts", "test.foo": "unconfigured"}
MISSING: Any = object()


def _look_up(data: Any, path: object, default: Any, delimiter: str = ":") -> Any:
    """What is at a path (a:b:0) in nested maps and lists, else `default`. A step is a key, as it is or as YAML reads it
    (80, true), in a list an index or a key of one of its maps."""
    for step in str(path).split(delimiter):
        keys: list[Hashable] = [step]
        with contextlib.suppress(ValueError, yaml.YAMLError):
            keys += [key for key in [yaml.safe_load(step)] if isinstance(key, Hashable)]
        places = [data] if isinstance(data, Mapping) else []
        if isinstance(data, (list, tuple)):
            places = [each for each in data if isinstance(each, Mapping)]
            places.append(dict(zip(range(-len(data), len(data)), [*data, *data], strict=True)))
        found = [place[key] for place in places for key in keys if key in place]
        if not found:
            return default
        data = found[0]
    return data


def _merged(under: Mapping[Any, Any], over: Mapping[Any, Any]) -> dict[Any, Any]:
    """A new map of both, `over` winning, maps within maps merged likewise."""
    result = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result


def _sources(omit_opts: bool, omit_grains: bool, omit_pillar: bool, omit_master: bool) -> list[Mapping[str, Any]]:
    """The maps to look in, first the one that wins; the master's options are in the pillar with pillar_opts."""
    stores: list[tuple[Mapping[str, Any], bool]] = [(__opts__, omit_opts), (__grains__, omit_grains)]
    stores += [(__pillar__, omit_pillar), (__pillar__.get("master") or {}, omit_master), (DEFAULTS, False)]
    return [data for data, omit in stores if not omit]


def dot_vals(value):
    """The options whose names begin with a name and a dot, the minion's over the master's.

    CLI Example: salt '*' config.dot_vals host"""
    everything = {**(__pillar__.get("master") or {}), **__opts__}
    return {key: each for key, each in everything.items() if key.startswith(f"{value}.")}


def get(
    key, default="", delimiter=":", merge=None, omit_opts=False, omit_pillar=False, omit_master=False, omit_grains=False
):
    """A value from the minion's options, its grains, its pillar or the master's options in the pillar, in this order.
    merge=recurse or merge=overwrite looks in all of them merged.

    CLI Example:
        salt '*' config.get pkg:apache
        salt '*' config.get lxc.container_profile:centos merge=recurse"""
    sources = _sources(omit_opts, omit_grains, omit_pillar, omit_master)
    if merge:
        everything = {}
        for data in reversed(sources):
            everything = {**everything, **data} if merge == "overwrite" else _merged(everything, data)
        sources = [everything]
    values = (_look_up(data, key, MISSING, delimiter) for data in sources)
    return next((value for value in values if value is not MISSING), default)


def items():
    """All options of the minion, the defaults included.

    CLI Example: salt '*' config.items"""
    return dict(__opts__)


def merge(value, default="", omit_opts=False, omit_master=False, omit_pillar=False):
    """An option by its whole name: maps and lists of the minion, the master and the pillar put together.

    CLI Example: salt '*' config.merge schedule"""
    minion, pillar, master, defaults = _sources(False, True, False, False)
    sources = [(minion, omit_opts), (master, omit_master), (pillar, omit_pillar), (defaults, False)]
    found = [data[value] for data, omit in sources if not omit and value in data]
    result = found[0] if found else default
    for each in found[1:]:
        if isinstance(result, Mapping) and isinstance(each, Mapping):
            result = {**each, **result}
        elif isinstance(result, (list, tuple)) and isinstance(each, (list, tuple)):
            result = [*result, *each]
    return result


def option(
    value, default=None, omit_opts=False, omit_grains=False, omit_pillar=False, omit_master=False, omit_all=False,
    wildcard=False
):  # fmt: skip
    """An option by its whole name, looked for as config.get does; with wildcard=True a map of all that match.

    CLI Example:
        salt '*' config.option redis.host
        salt '*' config.option 'log_*' wildcard=True"""
    sources = [DEFAULTS] if omit_all else _sources(omit_opts, omit_grains, omit_pillar, omit_master)
    if not wildcard:
        return next((data[value] for data in sources if value in data), "" if default is None else default)
    names = {key: data[key] for data in reversed(sources) for key in data if fnmatch.fnmatch(str(key), value)}
    return names or ({} if default is None else default)
