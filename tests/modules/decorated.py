"""Functions with the decorators of Salt."""

# mypy: ignore-errors

import json

import salt.utils.decorators.path
from salt.utils.decorators import (
    allow_one_of,
    depends,
    ignores_kwargs,
    is_deprecated,
    memoize,
    require_one_of,
    timing,
    with_deprecated,
)
from salt.utils.decorators.jinja import jinja_filter

CALLS = []


def _instead():
    return "instead"


@depends("json")
def has_json():
    return bool(json)


@depends("json", version="99.0")
def has_new_json():
    return "never"


@depends("nosuch")
def has_not():
    return "hidden"


def asks():
    return has_not()


@depends("nosuch", fallback_function=_instead)
def falls_back():
    return "never"


@depends("true", retcode=0)
def true_ends_well():
    return 1


@depends("false", nonzero_retcode=True)
def false_ends_badly():
    return 1


@depends("false", retcode=0)
def false_ends_well():
    return 1


@depends("nosuchcommand --x", retcode=0)
def no_command():
    return 1


@memoize
def once(word, **kwargs):
    CALLS.append(word)
    return len(CALLS)


@timing
def timed(word):
    return word


@require_one_of("a", "b")
def one(a=None, b=None):
    return a or b


@allow_one_of("a", "b")
def some(a=None, b=None):
    return a or b


@ignores_kwargs("b")
def spared(a=None, **kwargs):
    return a, "b" in kwargs


@is_deprecated(globals(), "Beryllium", with_successor="once")
def old():
    return "old"


@is_deprecated(globals(), "Calcium")
def soon_old(word=None):
    return word


@with_deprecated(globals(), "Calcium")
def renewed(word=None):
    return f"new {word}"


def _renewed(word=None):
    return f"old {word}"


@jinja_filter("doubled")
def double(word):
    return word * 2


@salt.utils.decorators.path.which("sh")
def with_sh():
    return True


@salt.utils.decorators.path.which_bin(["nosuch1", "nosuch2"])
def without():
    return True
