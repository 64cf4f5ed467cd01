"""The pillar of this minion, in memory and as the master makes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saltlite import (
    NOTHING,
    CommandExecutionError,
    Execution,
    Failure,
    below,
    merged,
    packed_leaf,
    pillar_load,
    traverse,
    with_minion,
)


@with_minion
def items(minion: Execution, *args, pillar=None, pillar_enc=None, pillarenv=None, saltenv=None, unmask=True):
    """The pillar, fetched anew from the master; `pillar` is laid over it there, which pillar_enc=gpg decrypts here
    before, with the keys in gpg_keydir. With keys: pillar.item.

    CLI Example: salt '*' pillar.items"""
    pillar = _decrypted(minion, pillar, pillar_enc) if pillar and pillar_enc else pillar
    if args:
        return item(minion, *args, pillarenv=pillarenv, saltenv=saltenv)
    found = minion.ask(pillar_load(minion.opts, minion.grains, pillar, pillarenv))
    if not isinstance(found, dict):
        raise CommandExecutionError("The master could not make the pillar; its log says why.")
    return found


class _Message:
    """What the renderer gpg asks of a compilation, for a message that came with a job."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self.opts, self.files = {**opts, "gpg_decrypt_must_succeed": True}, self
        self.secrets = packed_leaf("renderers", "gpg").Secrets()

    def stands(self, message: str) -> bool:
        return True  # who may publish has sent it


def _decrypted(minion: Execution, pillar: Any, pillar_enc: Any) -> Any:
    if pillar_enc != "gpg":
        sentence = f"'{pillar_enc}' is not a valid decryption renderer. Valid choices are: gpg"
        raise CommandExecutionError(f"Failed to decrypt pillar override: {sentence}")
    try:
        found = packed_leaf("renderers", "gpg").decrypt(_Message(minion.opts), pillar, translate_newlines=True)
    except Failure as failure:
        raise CommandExecutionError(f"Failed to decrypt pillar override: {failure}") from None
    if not isinstance(found, dict):
        raise CommandExecutionError("pillar must be a map, whose values pillar_enc decrypts.")
    return found


def _pillar(minion: Execution, pillarenv: str | None, saltenv: str | None) -> Any:
    """The pillar in memory or, where an environment is named, that environment's."""
    return minion.pillar if pillarenv is saltenv is None else items(minion, pillarenv=pillarenv)


@with_minion
def ext(minion: Execution, external, pillar=None, unmask=True):
    """The pillar, fetched anew from the master, with one ext_pillar more, {kind: what it is told}; a real master must
    allow it (on_demand_ext_pillar), and saltlite's says that it makes none.

    CLI Example: salt '*' pillar.ext '{libvirt: _}'"""
    if not isinstance(external, dict) or len(external) != 1:
        raise CommandExecutionError("external must be a map of one kind of ext_pillar.")
    found = minion.ask(pillar_load(minion.opts, minion.grains, pillar) | {"ext": external})
    if not isinstance(found, dict):
        raise CommandExecutionError("The master could not make the pillar; its log says why.")
    return found


@with_minion
def file_exists(minion: Execution, path, saltenv=None):
    """Whether one of this machine's own pillar_roots has this file.

    CLI Example: salt '*' pillar.file_exists web/init.sls"""
    roots = minion.opts.get("pillar_roots")
    if not roots:
        raise CommandExecutionError("There are no pillar_roots here: the files of the pillar are the master's.")
    places = [place for env, named in roots.items() if saltenv in (None, env) for place in named]
    return any(below(Path(place), path).is_file() for place in places)


@with_minion
def filter_by(minion: Execution, lookup_dict, pillar, merge=None, default="default", base=None):
    """The entry of a map whose key, a glob, matches a value of the pillar; over it `merge`, under it the entry called
    `base`.

    CLI Example: salt '*' pillar.filter_by '{web: nginx, db: mariadb}' role"""
    value = traverse(minion.pillar, str(pillar).split(":"), [])
    return packed_leaf("modules", "grains")._filtered(lookup_dict, value, merge, default, base)


@with_minion
def get(
    minion: Execution,
    key,
    default=NOTHING,
    merge=False,
    merge_nested_lists=False,
    delimiter=":",
    pillarenv=None,
    saltenv=None,
    unmask=True,  # of Salt 3008, which masks values; here they are shown, as in all releases before
):
    """A value of the pillar in memory, `a:b` of map in map, else the default; merge=True lays it over the default.
    With pillarenv the master is asked for that environment's. Without either it is "", or with the option
    pillar_raise_on_missing an error.

    CLI Example: salt '*' pillar.get pkg:apache"""
    found = traverse(_pillar(minion, pillarenv, saltenv), str(key).split(delimiter))
    if found is NOTHING and default is NOTHING and minion.opts["pillar_raise_on_missing"]:
        raise CommandExecutionError(f"Pillar key not found: {key}")
    if found is NOTHING:
        return "" if default is NOTHING else default
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
def keys(minion: Execution, key, delimiter=":", unmask=True):
    """The keys of a map in the pillar in memory.

    CLI Example: salt '*' pillar.keys web:sites"""
    found = traverse(minion.pillar, str(key).split(delimiter))
    if found is NOTHING or not isinstance(found, dict):
        raise CommandExecutionError(f"Pillar key not found: {key}" if found is NOTHING else f"{key} is not a map.")
    return list(found)


@with_minion
def ls(minion: Execution, *args, pillar=None, pillar_enc=None, pillarenv=None, saltenv=None, unmask=True):
    """The keys of the pillar, fetched anew from the master.

    CLI Example: salt '*' pillar.ls"""
    return list(items(minion, *args, pillar=pillar, pillar_enc=pillar_enc, pillarenv=pillarenv, saltenv=saltenv))


def _types(value: Any) -> Any:
    """Maps and lists as they are, with the type of each value in its place."""
    if isinstance(value, Mapping):
        return {key: _types(each) for key, each in value.items()}
    return [_types(each) for each in value] if isinstance(value, list | tuple) else f"<{type(value).__name__}>"


@with_minion
def obfuscate(minion: Execution, *args, pillar=None, pillar_enc=None, pillarenv=None, saltenv=None, unmask=True):
    """The pillar, fetched anew from the master, or some keys of it, with types in place of values.

    CLI Example: salt '*' pillar.obfuscate"""
    return _types(items(minion, *args, pillar=pillar, pillar_enc=pillar_enc, pillarenv=pillarenv, saltenv=saltenv))


@with_minion
def raw(minion: Execution, key=None, unmask=True):
    """The pillar in memory, or what it has under one key.

    CLI Example: salt '*' pillar.raw key=roles"""
    return minion.pillar.get(key, {}) if key else minion.pillar


data = items
fetch = get
