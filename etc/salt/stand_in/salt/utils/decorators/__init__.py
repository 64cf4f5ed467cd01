"""Decorators for execution functions, by the names of Salt 3008's salt.utils.decorators."""

from __future__ import annotations

import inspect
import logging
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cached_property as cached_property
from functools import wraps
from pathlib import Path
from typing import Any

from salt.exceptions import CommandExecutionError, SaltConfigurationError, SaltInvocationError

Function = Callable[..., Any]
log = logging.getLogger(__name__)

PAST = """Hydrogen Helium Lithium Beryllium Boron Carbon Nitrogen Oxygen Fluorine Neon Sodium Magnesium Aluminium
    Silicon Phosphorus Sulfur Chlorine Argon""".split()  # Salt's releases up to 3008, by their names


def _own(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments without those that tell of the job."""
    return {name: value for name, value in kwargs.items() if not name.startswith("__")}


def _numbers(version: Any) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(version))]


class Depends:
    """A function that is there only if the names it depends on are, in its file, or a command ends as it should; else
    its fallback_function is in its place."""

    def __init__(self, *dependencies: Any, **kwargs: Any) -> None:
        self.dependencies, self.params = dependencies, kwargs

    def __call__(self, function: Function) -> Function:
        frame = inspect.currentframe()
        names = {**frame.f_back.f_globals, **frame.f_back.f_locals} if frame and frame.f_back else {}
        if all(self._met(dependency, names) for dependency in self.dependencies):
            return function
        if (fallback := self.params.get("fallback_function")) is not None:
            return fallback
        function.__module__ = __name__  # so it can be called in its file, and is no execution function
        return function

    def _met(self, dependency: Any, names: dict[str, Any]) -> bool:
        if "retcode" in self.params or "nonzero_retcode" in self.params:
            try:
                code = self.run_command(dependency, "", "")
            except OSError:
                code = -1
            wanted = self.params.get("retcode")
            return code == wanted if "retcode" in self.params else (code != 0) == bool(self.params["nonzero_retcode"])
        found = dependency is True or names.get(dependency)
        if found and dependency is not True and "version" in self.params:
            return _numbers(getattr(found, "__version__", "")) >= _numbers(self.params["version"])
        return bool(found)

    @staticmethod
    def run_command(dependency: str, mod_name: str, func_name: str) -> int:
        """What a command ends with; its output is nobody's."""
        return subprocess.run(shlex.split(dependency), stdin=subprocess.DEVNULL, capture_output=True).returncode


depends = Depends


def timing(function: Function) -> Function:
    """A function whose time is told in the log."""

    @wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        begin = time.time()
        result = function(*args, **_own(kwargs))
        seconds = f"%.{sys.float_info.dig}f" % (time.time() - begin)
        log.debug("%s.%s took %s seconds", function.__module__, function.__name__, seconds)
        return result

    return timed


def memoize(func: Function) -> Function:
    """A function that remembers what it gave for arguments of the same text."""
    known: dict[str, Any] = {}

    @wraps(func)
    def remembered(*args: Any, **kwargs: Any) -> Any:
        key = ",".join([*map(str, args), *(f"{name}={kwargs[name]}" for name in sorted(kwargs))])
        if key not in known:
            known[key] = func(*args, **kwargs)
        return known[key]

    return remembered


class is_deprecated:
    """A function that has a successor: a warning, and an error from the release on that `version` names."""

    def __init__(self, globals: dict[str, Any], version: str, with_successor: str | None = None) -> None:
        self.expired, self.version = version in PAST, version
        self.hint = f' Use its successor "{with_successor}" instead.' if with_successor else ""

    def __call__(self, function: Function) -> Function:
        @wraps(function)
        def deprecated(*args: Any, **kwargs: Any) -> Any:
            if self.expired:
                raise CommandExecutionError(f'The lifetime of the function "{function.__name__}" expired.{self.hint}')
            log.warning('The function "%s" expires in version "%s".%s', function.__name__, self.version, self.hint)
            return function(**_own(kwargs))

        return deprecated


class with_deprecated:
    """A function that has replaced another, which use_deprecated in options or pillar brings back, until the release
    that `version` names. With OPT_IN the old one is used unless use_superseded names the function."""

    OPT_IN, OPT_OUT = 1, 2

    def __init__(
        self, globals: dict[str, Any], version: str, with_name: str | None = None, policy: int = OPT_OUT
    ) -> None:
        self.globals, self.version, self.with_name, self.policy = globals, version, with_name, policy

    def _listed(self, name: str, option: str) -> bool:
        return any(name in (self.globals.get(store) or {}).get(option, []) for store in ("__opts__", "__pillar__"))

    def __call__(self, function: Function) -> Function:
        @wraps(function)
        def chosen(*args: Any, **kwargs: Any) -> Any:
            module = self.globals.get("__virtualname__") or Path(self.globals.get("__file__") or "").stem
            name = f"{module}.{function.__name__}"
            old, new = self._listed(name, "use_deprecated"), self._listed(name, "use_superseded")
            if old and new:
                raise SaltConfigurationError(f"{name} is in use_deprecated and in use_superseded: take one away.")
            if not old and (new or self.policy != self.OPT_IN):
                return function(**_own(kwargs))
            before = self.with_name or f"_{function.__name__}"
            if self.version in PAST:
                raise CommandExecutionError(f'The lifetime of the function "{before}" expired: {name} has replaced it.')
            if before not in self.globals:
                raise CommandExecutionError("Function is deprecated, but the successor function was not found.")
            log.warning('The function "%s" is used in place of %s until version "%s".', before, name, self.version)
            return self.globals[before](**_own(kwargs))

        return chosen


def _some_of(names: tuple[str, ...], required: bool) -> Callable[[Function], Function]:
    def wrapper(function: Function) -> Function:
        @wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            given = [name for name in names if kwargs.get(name)]
            positions = zip(function.__code__.co_varnames, args, strict=False)
            given += [name for name, value in positions if value and name in names]
            if len(given) > 1:
                raise SaltInvocationError(f"Only one of the following is allowed: {', '.join(names)}")
            if required and not given:
                raise SaltInvocationError(f"One of the following must be provided: {', '.join(names)}")
            return function(*args, **kwargs)

        return checked

    return wrapper


def require_one_of(*kwarg_names: str) -> Callable[[Function], Function]:
    """A function that must be given just one of these arguments."""
    return _some_of(kwarg_names, True)


def allow_one_of(*kwarg_names: str) -> Callable[[Function], Function]:
    """A function that may be given one of these arguments."""
    return _some_of(kwarg_names, False)


def ignores_kwargs(*kwarg_names: str) -> Callable[[Function], Function]:
    """A function that does not see these keyword arguments."""

    def wrapper(function: Function) -> Function:
        @wraps(function)
        def spared(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **{name: value for name, value in kwargs.items() if name not in kwarg_names})

        return spared

    return wrapper


def ensure_unicode_args(function: Function) -> Function:
    """The function, for every text is one of letters."""
    return function
