"""The pillar of this minion, in memory and as the master makes it."""

from __future__ import annotations

from typing import Any

from saltlite import NOTHING, CommandExecutionError, Execution, merged, own_kwargs, pillar_load, traverse, with_minion


@with_minion
def items(minion: Execution, *args, pillar=None, pillarenv=None, saltenv=None, unmask=True):
    """The pillar, fetched anew from the master; `pillar` is laid over it there. With keys: pillar.item.

    CLI Example: salt '*' pillar.items"""
    if args:
        return item(minion, *args, pillarenv=pillarenv, saltenv=saltenv)
    found = minion.ask(pillar_load(minion.opts, minion.grains, pillar, pillarenv))
    if not isinstance(found, dict):
        raise CommandExecutionError("The master could not make the pillar; its log says why.")
    return found


def _pillar(minion: Execution, pillarenv: str | None, saltenv: str | None) -> Any:
    """The pillar in memory or, where an environment is named, that environment's."""
    return minion.pillar if pillarenv is saltenv is None else items(minion, pillarenv=pillarenv)


@with_minion
def get(
    minion: Execution,
    key,
    default="",
    merge=False,
    merge_nested_lists=False,
    delimiter=":",
    pillarenv=None,
    saltenv=None,
    unmask=True,  # of Salt 3008, which masks values; here they are shown, as in all releases before
):
    """A value of the pillar in memory, `a:b` of map in map, else the default; merge=True lays it over the default.
    With pillarenv the master is asked for that environment's.

    CLI Example: salt '*' pillar.get pkg:apache"""
    found = traverse(_pillar(minion, pillarenv, saltenv), str(key).split(delimiter))
    if found is NOTHING:
        return default
    if merge and isinstance(default, dict) and isinstance(found, dict):
        return merged(default, found, merge_nested_lists)
    if merge and isinstance(default, list) and isinstance(found, list):
        return [*default, *(each for each in found if each not in default)]
    return found


@with_minion
def item(minion: Execution, *args, default="", delimiter=":", pillarenv=None, saltenv=None, unmask=True):
    """{key: value} of one or more keys of the pillar in memory.

    CLI Example: salt '*' pillar.item foo bar:baz"""
    pillar = _pillar(minion, pillarenv, saltenv)
    return {key: traverse(pillar, str(key).split(delimiter), default) for key in args}


@with_minion
def keys(minion: Execution, key, delimiter=":"):
    """The keys of a map in the pillar in memory.

    CLI Example: salt '*' pillar.keys web:sites"""
    found = traverse(minion.pillar, str(key).split(delimiter))
    if found is NOTHING or not isinstance(found, dict):
        raise CommandExecutionError(f"Pillar key not found: {key}" if found is NOTHING else f"{key} is not a map.")
    return list(found)


@with_minion
def ls(minion: Execution, *args, **kwargs):
    """The keys of the pillar, fetched anew from the master.

    CLI Example: salt '*' pillar.ls"""
    return list(items(minion, *args, **own_kwargs(kwargs)))


@with_minion
def raw(minion: Execution, key=None):
    """The pillar in memory, or what it has under one key.

    CLI Example: salt '*' pillar.raw key=roles"""
    return minion.pillar.get(key, {}) if key else minion.pillar


data = items
fetch = get
