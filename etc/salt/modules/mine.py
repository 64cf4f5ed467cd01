"""The mine: what this minion puts there for others, and what it gets of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saltlite import MINE_ACL, CommandExecutionError, Execution, log, own_kwargs, with_minion


def _sources(minion: Execution) -> tuple[Any, ...]:
    """mine_functions of the master (in the pillar with pillar_opts), of the pillar and of the options, which win."""
    master = minion.pillar.get("master")
    found = (minion.pillar, master if isinstance(master, dict) else {}, minion.opts)
    return tuple(source.get("mine_functions") for source in found)


def _functions(*sources: Any) -> dict[str, Any]:
    """{name: definition} of maps, and of lists whose members are names or maps; the later win."""
    found: dict[str, Any] = {}
    for source in sources:
        for each in source if isinstance(source, list) else [source]:
            found |= each if isinstance(each, dict) else {each: []} if isinstance(each, str) else {}
    return found


def _definition(name: str, definition: Any) -> tuple[str, list[Any], dict[str, Any], dict[str, Any]]:
    """The function, args, kwargs and allow_tgt of an entry of mine_functions: a map of keyword arguments, or a list of
    arguments and such maps."""
    listed = definition if isinstance(definition, list) else [definition] if isinstance(definition, dict) else []
    args = [item for item in listed if not isinstance(item, dict)]
    kwargs = {key: value for item in listed if isinstance(item, dict) for key, value in item.items()}
    acl = {key: value for key in ("allow_tgt", "allow_tgt_type") if (value := kwargs.pop(key, None))}
    return kwargs.pop("mine_function", None) or name, args, kwargs, acl


def _returns(minion: Execution, definitions: Mapping[str, Any]) -> dict[str, Any]:
    """{name: what goes into the mine}; a function that fails is logged, and left out."""
    found = {}
    for name, definition in definitions.items():
        fun, args, kwargs, acl = _definition(name, definition)
        try:
            if fun not in minion.functions:
                raise CommandExecutionError("it is not available")
            value = minion.functions[fun](*args, **kwargs)
        except Exception as error:
            log.error("%s does not go into the mine: %s: %s", fun, type(error).__name__, error)
            continue
        found[name] = {"__data__": value, MINE_ACL: 1, **acl} if "allow_tgt" in acl else value
    return found


def _put(minion: Execution, data: dict[str, Any], clear: bool) -> bool:
    return bool(minion.ask({"cmd": "_mine", "id": minion.opts["id"], "data": data, "clear": clear}))


@with_minion
def delete(minion: Execution, fun):
    """Remove one function's return from this minion's mine.

    CLI Example: salt '*' mine.delete network.ip_addrs"""
    return bool(minion.ask({"cmd": "_mine_delete", "id": minion.opts["id"], "fun": fun}))


@with_minion
def flush(minion: Execution):
    """Remove all of this minion's mine; False if there is nothing.

    CLI Example: salt '*' mine.flush"""
    return bool(minion.ask({"cmd": "_mine_flush", "id": minion.opts["id"]}))


@with_minion
def get(minion: Execution, tgt, fun, tgt_type="glob", exclude_minion=False):
    """What minions have put into the mine: {minion: value}, for several functions (a list, or with commas between)
    {function: {minion: value}}. In targets pillar is compared exactly.

    CLI Example: salt '*' mine.get 'os:Debian' network.ip_addrs grain"""
    load = {"cmd": "_mine_get", "id": minion.opts["id"], "tgt": tgt, "fun": fun, "tgt_type": tgt_type}
    found = minion.ask(load)
    if not isinstance(found, dict):
        raise CommandExecutionError("The master could not look into the mine; its log says why.")
    if exclude_minion:
        found.pop(minion.opts["id"], None)
    return found


@with_minion
def send(minion: Execution, name, /, *args, **kwargs):
    """Run a function and put its return into the mine, by its name or, with mine_function=, by any other. Only minions
    that match allow_tgt (allow_tgt_type: glob) may then ask for it. False if it could not be run or was not taken.

    CLI Example: salt '*' mine.send eth0 network.ip_addrs mine_function=network.ip_addrs interface=eth0"""
    found = _returns(minion, {name: [*args, own_kwargs(kwargs)]})
    return bool(found) and _put(minion, found, False)


@with_minion
def update(minion: Execution, clear=False, mine_functions=None):
    """Run the functions in mine_functions (of the pillar, of the configuration, or as given) and put their returns into
    the mine, with clear=True in place of all that is there. A function that fails costs its own value only.

    CLI Example: salt '*' mine.update"""
    wanted = _functions(mine_functions) or _functions(*_sources(minion))
    return _put(minion, _returns(minion, wanted), clear) if wanted else None


@with_minion
def valid(minion: Execution):
    """The functions of mine_functions that are there: {name: arguments}, or {name: {function: arguments}}.

    CLI Example: salt '*' mine.valid"""
    found = {}
    wanted = _functions(*_sources(minion))
    for name, definition in wanted.items():
        fun, args, kwargs, _ = _definition(name, definition)
        if fun in minion.functions:
            listed = [*args, *({key: value} for key, value in kwargs.items())]
            found[name] = definition if fun == name else {fun: listed}
    return found if wanted else None
