"""What functions there are, and what they say of themselves."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable
from typing import Any

from saltlite import CommandExecutionError, Execution, nearest, packed_leaf, with_minion


def _selected(minion: Execution, word: str) -> list[str]:
    """The functions that a word means: all, a module's, one, or a glob's."""
    return [
        name
        for name in minion.functions
        if not word or name == word or name.startswith(f"{word.rstrip('.')}.") or fnmatch.fnmatchcase(name, word)
    ]


@with_minion
def argspec(minion: Execution, module=""):
    """The arguments of the functions that match: args, defaults, varargs, kwargs by name.

    CLI Example: salt '*' sys.argspec test.arg"""
    found = {}
    for name in _selected(minion, module):
        parameters = inspect.signature(minion.functions[name]).parameters.values()
        args = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        found[name] = {
            "args": [p.name for p in args] or None,
            "defaults": [p.default for p in args if p.default is not p.empty] or None,
            "varargs": True if any(p.kind is p.VAR_POSITIONAL for p in parameters) else None,
            "kwargs": True if any(p.kind is p.VAR_KEYWORD for p in parameters) else None,
        }
    return found


def _call_of(minion: Execution, name: str) -> str:
    """How a function is called, with all its arguments and their defaults."""
    signature = inspect.signature(minion.functions[name])
    plain = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return name + str(signature.replace(parameters=plain, return_annotation=signature.empty))


@with_minion
def doc(minion: Execution, *args):
    """The documentation of all functions, or of those named or matched by a glob: {name: text}, with the arguments in
    its first line. What is named and not here is looked up with the Salt on this machine, if there is one.

    CLI Example: salt '*' sys.doc test.ping"""
    wanted = {str(arg): _selected(minion, str(arg)) for arg in args or ("",)}
    docs = {name: inspect.getdoc(minion.functions[name]) or "" for names in wanted.values() for name in names}
    found = {name: f"{_call_of(minion, name)}\n\n{doc}\n" for name, doc in docs.items() if doc}
    missing = tuple(word for word, names in wanted.items() if word and not names)
    if missing and packed_leaf("elsewhere", "salt_call").find(minion)[0]:
        found |= packed_leaf("elsewhere", "salt_call").needed(minion, "sys.doc", missing, {}) or {}
    if not found:
        close = nearest(str(args[0]) if args else "", minion.functions).replace("; did", " Did")
        raise CommandExecutionError(f"No function, and no module, is called {' or '.join(map(str, args))}.{close}")
    return found


@with_minion
def list_functions(minion: Execution, *args):
    """The names of all functions, or of those of the modules named or matched by a glob.

    CLI Example: salt '*' sys.list_functions test"""
    return sorted({name for arg in args or ("",) for name in _selected(minion, arg)})


@with_minion
def list_modules(minion: Execution, *args):
    """The names of all modules, or of those that match a glob.

    CLI Example: salt '*' sys.list_modules 'c*'"""
    modules = {name.partition(".")[0] for name in minion.functions}
    return sorted(m for m in modules if not args or any(fnmatch.fnmatchcase(m, str(arg)) for arg in args))


@with_minion
def reload_modules(minion: Execution):
    """True: every job reads the module files that are there.

    CLI Example: salt '*' sys.reload_modules"""
    return minion.functions["saltutil.refresh_modules"]()


RENDERERS = {"jinja": "Fill in a template: the only renderer of this minion's own.\n"}


@with_minion
def list_renderers(minion: Execution, *args):
    """The names of the renderers of this minion, or of those that match a glob.

    CLI Example: salt '*' sys.list_renderers"""
    return [name for name in RENDERERS if not args or any(fnmatch.fnmatchcase(name, str(arg)) for arg in args)]


@with_minion
def renderer_doc(minion: Execution, *args):
    """The documentation of renderers.

    CLI Example: salt '*' sys.renderer_doc jinja"""
    return {name: RENDERERS[name] for name in list_renderers(minion, *args)}


NONE = {  # of what there is nothing here: name, what it says, what it gives
    "list_runners": ("The names of runners", list),
    "list_runner_functions": ("The names of runner functions", list),
    "runner_doc": ("The documentation of runner functions", dict),
    "runner_argspec": ("The arguments of runner functions", dict),
    "list_returners": ("The names of returners", list),
    "list_returner_functions": ("The names of returner functions", list),
    "returner_doc": ("The documentation of returner functions", dict),
    "returner_argspec": ("The arguments of returner functions", dict),
}


def _of_none(name: str, sentence: str, kind: type) -> Callable[..., Any]:
    def function(minion: Execution, /, *args: Any) -> Any:
        return kind()

    function.__doc__ = f"{sentence}: there are none here.\n\nCLI Example: salt '*' sys.{name}"
    return with_minion(function)


globals().update({name: _of_none(name, *row) for name, row in NONE.items()})


STATES = {  # what Salt alone knows of states: name, what it says, the arguments of its example
    "list_state_functions": ("The names of state functions", "pkg"),
    "list_state_modules": ("The names of state modules", "'p*'"),
    "state_argspec": ("The arguments of state functions", "pkg.installed"),
    "state_doc": ("The documentation of state functions", "pkg.installed"),
    "state_schema": ("The JSON schema of state functions", "pkg.installed"),
}


def _of_states(name: str, sentence: str, example: str) -> Callable[..., Any]:
    def function(minion: Execution, /, *args: Any) -> Any:
        return packed_leaf("elsewhere", "salt_call").needed(minion, f"sys.{name}", args, {})

    function.__doc__ = f"{sentence}.\n\nCLI Example: salt '*' sys.{name} {example}"
    return with_minion(function)


globals().update({name: _of_states(name, *row) for name, row in STATES.items()})
