"""Settings of an application: pillar over defaults."""

# mypy: ignore-errors

import copy

DEFAULTS = {"port": 80, "tls": {"on": False, "ciphers": []}}


def _merged(under, over):
    return {
        k: _merged(under[k], over[k]) if k in under and isinstance(over.get(k), dict) else over.get(k, under.get(k))
        for k in {**under, **over}
    }


def get(name=None):
    settings = _merged(copy.deepcopy(DEFAULTS), __pillar__.get("app", {}))
    return settings if name is None else settings.get(name)


def same_everywhere():
    """The same pillar by both of its names."""
    return __opts__["pillar"] == __pillar__ and __opts__["grains"]["id"] == __grains__["id"] == __opts__["id"]
