"""Functions that are to be filters, tests and globals of templates, by the names of Salt 3008's
salt.utils.decorators.jinja: they are noted, and templates here do not have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

Function = Callable[..., Any]


class _Noted:
    known: ClassVar[dict[str, Function]]

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def __call__(self, function: Function) -> Function:
        self.known.setdefault(self.name or function.__name__, function)
        return function


class JinjaFilter(_Noted):
    salt_jinja_filters = known = {}


class JinjaTest(_Noted):
    salt_jinja_tests = known = {}


class JinjaGlobal(_Noted):
    salt_jinja_globals = known = {}


jinja_filter, jinja_test, jinja_global = JinjaFilter, JinjaTest, JinjaGlobal
