"""Words and arguments of functions, by the names of Salt 3008's salt.utils.args."""

from __future__ import annotations

import fnmatch
import inspect
import re
import shlex
from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any

import salt.utils.data
from salt.exceptions import SaltInvocationError
from saltlite import KWARG, yaml_word

KWARG_REGEX = KWARG
JID = re.compile(r"\d{20}(_\d+)?")
BRACKETS = {"[": "]", "{": "}", "(": ")"}

ArgSpec = namedtuple("ArgSpec", "args varargs keywords defaults")


def clean_kwargs(**kwargs: Any) -> dict[str, Any]:
    """Keyword arguments without those that tell of the job."""
    return {name: value for name, value in kwargs.items() if not name.startswith("__")}


def invalid_kwargs(invalid_kwargs: Any, raise_exc: bool = True) -> str:
    """The sentence that says which keyword arguments nobody knows; as a SaltInvocationError, unless it is only asked
    for."""
    named = invalid_kwargs
    if isinstance(named, dict):
        named = [f"{name}={value}" for name, value in named.items()]
    sentence = f"The following keyword arguments are not valid: {', '.join(named)}"
    if raise_exc:
        raise SaltInvocationError(sentence)
    return sentence


def condition_input(args: Any, kwargs: Any) -> list[Any]:
    """Arguments as one list, as they travel: keywords as a map at its end, numbers that look like a jid as texts."""
    listed = [str(arg) if isinstance(arg, int) and JID.fullmatch(str(arg)) else arg for arg in args]
    return [*listed, {"__kwarg__": True, **kwargs}] if isinstance(kwargs, dict) and kwargs else listed


def parse_input(args: Any, condition: bool = True, no_parse: Any = None) -> Any:
    """Words as arguments and keyword arguments, as a list or, without `condition`, a pair; the values of `no_parse`
    stay as they are."""
    plain: list[Any] = []
    named: dict[Any, Any] = {}
    for arg in args:
        name, value = parse_kwarg(arg) if isinstance(arg, str) else (None, None)
        if name:
            named[name] = value if name in (no_parse or ()) else yamlify_arg(value)
        elif isinstance(arg, dict) and arg.pop("__kwarg__", False) is True:
            named.update(arg)
        else:
            plain.append(yamlify_arg(arg))
    return condition_input(plain, named) if condition else (plain, named)


def parse_kwarg(string_: str) -> tuple[str | None, str | None]:
    """Name and value of `name=value`; (None, None) for what is none."""
    found = KWARG_REGEX.match(string_)
    return (found[1], found[2]) if found else (None, None)


def yamlify_arg(arg: Any) -> Any:
    """What a word means, as YAML; itself where YAML would lose something of it."""
    if not isinstance(arg, str) or "#" not in arg or re.search("[\t\r\n]", arg):
        return yaml_word(arg) if isinstance(arg, str) else arg
    import salt.utils.yaml

    try:
        value = salt.utils.yaml.safe_load(arg)
    except Exception:  # as broad as what YAML's constructors let through
        return arg
    return arg if value is None or isinstance(value, str) else value


def get_function_argspec(func: Any, is_class_method: bool | None = None) -> Any:
    """The arguments of a function, of the innermost one if it is wrapped, as the four fields that Python 2 had."""
    if not callable(func):
        raise TypeError(f"{func} is not a callable")
    while hasattr(func, "__wrapped__"):
        func = func.__wrapped__
    parameters = inspect.signature(func).parameters.values()
    plain = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    starred = {each.kind: each.name for each in parameters}
    return ArgSpec(
        [each.name for each in plain][bool(is_class_method) :],
        starred.get(inspect.Parameter.VAR_POSITIONAL),
        starred.get(inspect.Parameter.VAR_KEYWORD),
        tuple(each.default for each in plain if each.default is not each.empty) or None,
    )


def shlex_split(s: Any, **kwargs: Any) -> Any:
    """The words of a text; anything else as it is."""
    return shlex.split(s, **kwargs) if isinstance(s, str) else s


def arg_lookup(fun: Any, aspec: Any = None) -> dict[str, Any]:
    """The arguments that a function must have, and those that it may have, with their defaults."""
    spec = aspec or get_function_argspec(fun)
    optional = dict(zip(spec.args[::-1], (spec.defaults or ())[::-1], strict=False))
    return {"kwargs": optional, "args": [name for name in spec.args if name not in optional]}


def argspec_report(functions: Mapping[str, Any], module: str = "") -> dict[str, dict[str, Any]]:
    """How the functions of a module are called, or those whose names a glob means."""
    globbed = "*" in module or "." in module
    report = {}
    for name in functions:
        if not (fnmatch.fnmatch(name, module) if globbed else name.startswith(f"{module}.")):
            continue
        try:
            args, varargs, keywords, defaults = get_function_argspec(functions[name])
        except TypeError:  # this one cannot be called
            continue
        stars = {"varargs": True if varargs else None, "kwargs": True if keywords else None}
        report[name] = {"args": args or None, "defaults": defaults or None, **stars}
    return report


def split_input(val: Any, mapper: Callable[[Any], Any] | None = None) -> list[Any]:
    """A list, or the words between the commas of a text, each through `mapper`."""
    values = val if isinstance(val, list) else [word.strip() for word in str(val).split(",")]
    return list(map(mapper, values) if mapper else values)


def test_mode(**kwargs: Any) -> bool:
    """Whether a keyword argument `test`, in any case, says yes."""
    return any(name.lower() == "test" and salt.utils.data.is_true(value) for name, value in kwargs.items())


def format_call(
    fun: Any, data: Any, initial_ret: Any = None, expected_extra_kws: Any = (), is_class_method: bool | None = None
) -> dict[str, Any]:
    """The `args` and `kwargs` to call a function with, of a map that may have more; SaltInvocationError for too few,
    and for names that nobody knows."""
    made: dict[str, Any] = initial_ret or {}
    spec = get_function_argspec(fun, is_class_method=is_class_method)
    known = arg_lookup(fun, spec)
    needed, optional, left = known["args"], known["kwargs"], dict(data)
    made["args"] = [left.pop(name) for name in needed if name in left]
    made["kwargs"] = {name: left.pop(name, default) for name, default in optional.items()}
    if len(made["args"]) < len(needed):
        most, given = len(needed), len(made["args"])
        raise SaltInvocationError(f"{fun.__name__} takes at least {most} argument{'s' * (most > 1)} ({given} given)")
    extra = {name: value for name, value in left.items() if name not in expected_extra_kws}
    if spec.keywords:
        made["kwargs"].update(extra)
    elif extra:
        *others, last = (f"'{name}'" for name in extra)
        names = f"{', '.join(others)} and {last} are invalid keyword arguments" if others else ""
        full = made.get("full", f"{fun.__module__}.{fun.__name__}")
        raise SaltInvocationError(f"{names or f'{last} is an invalid keyword argument'} for '{full}'")
    return made


def parse_function(s: str) -> tuple[Any, Any, Any]:
    """Name, arguments and keyword arguments, as texts, of what is written as a call, `module.function(a, b=c)`; three
    times None for what is none."""
    lexer = shlex.shlex(s, posix=True)
    lexer.escapedquotes = "\"'"
    before: list[str] = []
    for token in lexer:
        if token == "(":
            break
        before.append(token)
    else:
        before = []
    args: list[str] = []
    kwargs: dict[str, str] = {}
    word: list[str] = []
    key, closing = None, ""  # the brackets that must close, the innermost last
    for token in lexer if before else ():
        if not closing and token in (",", ")"):
            if key:
                kwargs[key] = "".join(word)
            elif word:
                args.append("".join(word))
            if token == ")":
                return "".join(before), args, kwargs
            key, word = None, []
        elif not closing and token == "=":
            key, word = "".join(word), []
        else:
            if token in BRACKETS:
                closing += BRACKETS[token]
            elif token in BRACKETS.values():
                if closing[-1:] != token:
                    break
                closing = closing[:-1]
            word.append(token)
    return None, None, None


def prepare_kwargs(all_kwargs: Mapping[str, Any], class_init_kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keyword arguments that are not None: those that a class takes, and the others."""
    given = {name: value for name, value in all_kwargs.items() if value is not None}
    own = {name: value for name, value in given.items() if name in class_init_kwargs}
    return own, {name: value for name, value in given.items() if name not in own}
