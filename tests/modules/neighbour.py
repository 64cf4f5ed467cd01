"""A module that imports the one beside it, and calls by attribute."""

import roles
from lb_haproxy import backends as backends

__load__ = ["count", "echo", "kit", "encoding", "backends"]


def count(name):
    return len(roles.__doc__ or "") > 0, __salt__.test.echo(name)  # noqa: F821


def echo(*words):
    return __salt__["test.echo"](*words)  # noqa: F821


def kit():
    return __utils__.textkit.shout("a")  # noqa: F821


def encoding():
    return "ä".encode(__salt_system_encoding__)  # noqa: F821


def hidden():
    return "not in __load__"
