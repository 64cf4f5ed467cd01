"""Events for the master. A minion has no event bus of its own here."""

from __future__ import annotations

import os

from saltlite import Execution, own_kwargs, with_minion


@with_minion
def fire_master(minion: Execution, data, tag, preload=None):
    """Fire an event at the master; a map `preload` is laid over the request.

    CLI Example: salt '*' event.fire_master '{"data": "mine"}' my/tag"""
    load = {"id": minion.opts["id"], "tag": tag, "data": data or {}, "pretag": None}
    minion.ask(load | (preload if isinstance(preload, dict) else {}) | {"cmd": "_minion_event"})
    return True


@with_minion
def fire(minion: Execution, data, tag):
    """Fire an event. A minion has no event bus of its own here, so this is event.fire_master.

    CLI Example: salt '*' event.fire '{"data": "mine"}' my/tag"""
    return fire_master(minion, data, tag)


@with_minion
def send(
    minion: Execution,
    tag,
    data=None,
    preload=None,
    with_env=False,
    with_grains=False,
    with_pillar=False,
    with_env_opts=False,
    **kwargs,
):
    """Fire an event at the master, with the keyword arguments and, over them, the map `data` as its data. with_env,
    with_grains and with_pillar add that as well: all of it, or the names in a list; with_env_opts adds saltenv and
    pillarenv.

    CLI Example: salt-call event.send my/tag foo=bar with_grains='[os]'"""
    sources = {"environ": (with_env, dict(os.environ)), "grains": (with_grains, minion.grains)}
    sources["pillar"] = with_pillar, minion.pillar
    found = {
        name: {key: value for key, value in source.items() if not isinstance(wanted, list) or key in wanted}
        for name, (wanted, source) in sources.items()
        if wanted
    }
    options = {"saltenv": minion.opts["saltenv"] or "base", "pillarenv": minion.opts["pillarenv"] or None}
    own = own_kwargs(kwargs) | (data if isinstance(data, dict) else {})
    return fire_master(minion, {**found, **(options if with_env_opts else {}), **own}, tag, preload)
