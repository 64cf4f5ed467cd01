"""Variables of the environment. A job has an environment of its own, so what is set here is for the functions of the
same job; what the minion hands to all jobs is set where it is started."""

from __future__ import annotations

import os
from typing import Any

from salt.exceptions import SaltInvocationError


def setval(key, val, false_unsets=False, permanent=False, test=False):
    """Set a variable for this job: its value; None if it is gone then, False if `val` is no value.

    key
        its name
    val
        a text; False: empty
    false_unsets
        True: False takes the variable away
    permanent
        has a meaning on Windows alone
    test
        True: say what would be set

    CLI Example: salt '*' environ.setval foo bar"""
    if val is not False and not isinstance(val, str):
        return False
    unset = val is False and false_unsets is True
    if test:
        return f"Would {'take away' if unset else 'set'} {key}."
    try:
        if unset:
            os.environ.pop(key, None)
            return None
        os.environ[key] = val or ""
    except (TypeError, ValueError, OSError):
        return False
    return os.environ[key]


def setenv(environ, false_unsets=False, clear_all=False, update_minion=False, permanent=False, test=False):
    """Set several variables for this job: a map of their values, or False if one is no value.

    environ
        a map of names and texts; False: empty
    false_unsets
        True: False takes a variable away
    clear_all
        True: take all others away, too, which many programs do not bear
    update_minion
        is refused: no job changes what the minion was started with
    permanent
        has a meaning on Windows alone
    test
        True: say what would be set

    CLI Example: salt '*' environ.setenv '{"foo": "bar", "baz": "quux"}'"""
    if update_minion:
        raise SaltInvocationError("update_minion: no job changes the environment that the minion was started with.")
    if not isinstance(environ, dict) or any(val is not False and not isinstance(val, str) for val in environ.values()):
        return False
    if test:
        return f"Would set {', '.join(map(str, environ))}" + (", and take all others away." if clear_all else ".")
    others = [key for key in os.environ if key not in environ] if clear_all is True else []
    found: dict[str, Any] = {key: setval(key, False, false_unsets) for key in others}
    return found | {key: setval(key, val, false_unsets) for key, val in environ.items()}


def get(key, default=""):
    """The value of a variable: text.

    key
        its name
    default
        what to give if it is not there

    CLI Example: salt '*' environ.get foo"""
    return os.environ.get(key, default) if isinstance(key, str) else False


def has_value(key, value=None):
    """Whether a variable is there, and has a value: True or False.

    key
        its name
    value
        the value; without: any

    CLI Example: salt '*' environ.has_value foo"""
    if not isinstance(key, str) or key not in os.environ:
        return False
    return value is None or os.environ[key] == value


def item(keys, default=""):
    """The values of variables, a map.

    keys
        a name, or a list of names
    default
        what to give for those that are not there

    CLI Example: salt '*' environ.item '[foo, baz]' default=None"""
    names = [keys] if isinstance(keys, str) else keys if isinstance(keys, list) else []
    return {name: os.environ.get(name, default) for name in names}


def items():
    """All variables, a map.

    CLI Example: salt '*' environ.items"""
    return dict(os.environ)
