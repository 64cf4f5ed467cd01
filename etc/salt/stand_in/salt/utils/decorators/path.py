"""Functions that need a program, by the names of Salt 3008's salt.utils.decorators.path."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import salt.utils.path
from salt.exceptions import CommandNotFoundError

Function = Callable[..., Any]


def _needing(found: Callable[[Any], Any], wanted: Any, sentence: str) -> Callable[[Function], Function]:
    def wrapper(function: Function) -> Function:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if found(wanted) is None:
                raise CommandNotFoundError(sentence)
            return function(*args, **kwargs)

        return wrapped

    return wrapper


def which(exe: str) -> Callable[[Function], Function]:
    """A function that needs this program: CommandNotFoundError without."""
    return _needing(salt.utils.path.which, exe, f"The '{exe}' binary was not found in $PATH.")


def which_bin(exes: Any) -> Callable[[Function], Function]:
    """A function that needs one of these programs: CommandNotFoundError without."""
    names = [f"'{exe}'" for exe in exes]
    return _needing(salt.utils.path.which_bin, exes, f"None of provided binaries({names}) were found in $PATH.")
