"""The minion's options, and what stands in for them in grains and pillar."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from saltlite import NOTHING, Execution, merged, traverse, with_minion

DEFAULTS = {"aliases.file": "/etc/aliases", "hosts.file": "/etc/hosts", "test.foo": "unconfigured"}


def _sources(
    minion: Execution, omit_opts: bool, omit_grains: bool, omit_pillar: bool, omit_master: bool
) -> list[Mapping[str, Any]]:
    """The maps to look in, first the one that wins; the master's options are in the pillar with pillar_opts."""
    stores: list[tuple[Mapping[str, Any], bool]] = [(minion.all_opts, omit_opts), (minion.grains, omit_grains)]
    stores += [(minion.pillar, omit_pillar), (minion.pillar.get("master") or {}, omit_master), (DEFAULTS, False)]
    return [data for data, omit in stores if not omit]


PROTOCOLS = ("salt", "http", "https", "ftp", "s3", "swift", "file")  # of addresses that Salt knows


@with_minion
def backup_mode(minion: Execution, backup=""):
    """How states back files up: what is given, else the option backup_mode.

    CLI Example: salt '*' config.backup_mode"""
    return backup or option(minion, "backup_mode")


@with_minion
def dot_vals(minion: Execution, value):
    """The options whose names begin with a name and a dot, the minion's over the master's.

    CLI Example: salt '*' config.dot_vals host"""
    everything = {**(minion.pillar.get("master") or {}), **minion.all_opts}
    return {key: each for key, each in everything.items() if key.startswith(f"{value}.")}


@with_minion
def get(
    minion: Execution,
    key,
    default="",
    delimiter=":",
    merge=None,
    omit_opts=False,
    omit_pillar=False,
    omit_master=False,
    omit_grains=False,
):
    """A value from the minion's options, its grains, its pillar or the master's options in the pillar, in this order.
    merge=recurse or merge=overwrite looks in all of them merged.

    CLI Example:
        salt '*' config.get pkg:apache
        salt '*' config.get lxc.container_profile:centos merge=recurse"""
    sources = _sources(minion, omit_opts, omit_grains, omit_pillar, omit_master)
    if merge:
        everything: dict[Any, Any] = {}
        for data in reversed(sources):
            everything = {**everything, **data} if merge == "overwrite" else merged(everything, data)
        sources = [everything]
    values = (traverse(data, str(key).split(delimiter)) for data in sources)
    return next((value for value in values if value is not NOTHING), default)


@with_minion
def items(minion: Execution):
    """All options of the minion, the defaults included.

    CLI Example: salt '*' config.items"""
    return {name: value for name, value in minion.all_opts.items() if not str(name).endswith("__")}


def manage_mode(mode):
    """A file's mode as states write it: four octal digits as text.

    CLI Example: salt '*' config.manage_mode 644"""
    return None if mode is None else str(mode).removeprefix("0o").strip('"').lstrip("0").zfill(4)


@with_minion
def merge(minion: Execution, value, default="", omit_opts=False, omit_master=False, omit_pillar=False):
    """An option by its whole name: maps and lists of the minion, the master and the pillar put together.

    CLI Example: salt '*' config.merge schedule"""
    own, pillar, master, defaults = _sources(minion, False, True, False, False)
    sources = [(own, omit_opts), (master, omit_master), (pillar, omit_pillar), (defaults, False)]
    found = [data[value] for data, omit in sources if not omit and value in data]
    result = found[0] if found else default
    for each in found[1:]:
        if isinstance(result, Mapping) and isinstance(each, Mapping):
            result = {**each, **result}
        elif isinstance(result, (list, tuple)) and isinstance(each, (list, tuple)):
            result = [*result, *each]
    return result


@with_minion
def option(
    minion: Execution,
    value,
    default=None,
    omit_opts=False,
    omit_grains=False,
    omit_pillar=False,
    omit_master=False,
    omit_all=False,
    wildcard=False,
):
    """An option by its whole name, looked for as config.get does; with wildcard=True a map of all that match.

    CLI Example:
        salt '*' config.option redis.host
        salt '*' config.option 'log_*' wildcard=True"""
    sources = [DEFAULTS] if omit_all else _sources(minion, omit_opts, omit_grains, omit_pillar, omit_master)
    if not wildcard:
        return next((data[value] for data in sources if value in data), "" if default is None else default)
    names = {key: data[key] for data in reversed(sources) for key in data if fnmatch.fnmatch(str(key), value)}
    return names or ({} if default is None else default)


def valid_fileproto(uri):
    """Whether this is the address of a file, in a scheme that Salt knows.

    CLI Example: salt '*' config.valid_fileproto salt://path/to/file"""
    return str(uri).partition("://")[0] in PROTOCOLS and "://" in str(uri)
