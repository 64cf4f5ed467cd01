"""Functions for trying things out."""

from __future__ import annotations

import builtins
import hashlib
import locale
import os
import random
import secrets
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any

__context__: dict[str, Any]
__grains__: dict[str, Any]
__opts__: dict[str, Any]
__salt__: Mapping[str, Any]

__func_alias__ = {"false_": "false", "true_": "true", "try_": "try"}
__outputter__ = {"outputter": "txt"}

PACKAGES = ("cryptography", "distro", "msgpack", "psutil", "PyYAML", "pyzmq", "watchdog")


def _package_version(name: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "Not Installed"


def arg(*args, **kwargs):
    """Return the arguments.

    CLI Example: salt '*' test.arg 1 "two" 3.1 txt="hello" wow='{a: 1, b: "hello"}'"""
    return {"args": list(args), "kwargs": kwargs}


def arg_clean(*args, **kwargs):
    """Return the arguments, without what a job says of itself.

    CLI Example: salt '*' test.arg_clean 1 two txt=hello"""
    return {"args": list(args), "kwargs": {key: value for key, value in kwargs.items() if not key.startswith("__")}}


def arg_repr(*args, **kwargs):
    """Return the arguments as Python writes them.

    CLI Example: salt '*' test.arg_repr 1 two 3.1 txt=hello"""
    return {"args": repr(args), "kwargs": repr(kwargs)}


def arg_type(*args, **kwargs):
    """Return the types of the arguments.

    CLI Example: salt '*' test.arg_type 1 'int'"""
    types = {key: str(type(value)) for key, value in kwargs.items()}
    return {"args": [str(type(value)) for value in args], "kwargs": types}


def assertion(assertion):
    """Fail unless the argument is true.

    CLI Example: salt '*' test.assertion False"""
    if not assertion:
        raise AssertionError


def collatz(start):
    """The Collatz sequence from a number, without its 1, and the seconds it took.

    CLI Example: salt '*' test.collatz 3"""
    number, begin, steps = int(start), time.time(), []
    if number < 1:
        raise ValueError("Only positive numbers have a Collatz sequence")
    while number != 1:
        steps.append(number)
        number = number * 3 + 1 if number % 2 else number // 2
    return [steps, time.time() - begin]


def conf_test():
    """The option test.foo, or what stands in for it.

    CLI Example: salt '*' test.conf_test"""
    return __salt__["config.option"]("test.foo")


def cross_test(func, args=None):
    """Call another function, as a module does.

    CLI Example: salt '*' test.cross_test test.echo '[hello]'"""
    return __salt__[func](*(args or ()))


def exception(message="Test Exception"):
    """Raise an exception.

    CLI Example: salt '*' test.exception 'Oh noes!'"""
    raise Exception(message)


def fib(num):
    """A Fibonacci number and the seconds it took.

    CLI Example: salt '*' test.fib 3"""
    start, current, following = time.time(), 0, 1
    if int(num) < 0:
        raise ValueError("Negative number is not allowed!")
    for _ in range(int(num)):
        current, following = following, current + following
    return [current, time.time() - start]


def get_opts():
    """The options of the minion.

    CLI Example: salt '*' test.get_opts"""
    return __opts__


def kwarg(**kwargs):
    """Return the keyword arguments.

    CLI Example: salt '*' test.kwarg num=1 txt="two" env='{a: 1, b: "hello"}'"""
    return kwargs


def not_loaded():
    """The module files whose functions are not there.

    CLI Example: salt '*' test.not_loaded"""
    everything = list(__salt__)
    return sorted(name for name, why in getattr(__salt__, "why", {}).items() if why and everything)


def opts_pkg():
    """The options of the minion with its grains.

    CLI Example: salt '*' test.opts_pkg"""
    return {**__opts__, "grains": dict(__grains__)}


def outputter(data):
    """Return the data, to be printed by an outputter.

    CLI Example: salt '*' test.outputter '{a: 1}' --out=yaml"""
    return data


def raise_exception(name, *args, **kwargs):
    """Raise an exception of Python's, or one that is named with its module; False if there is none of this name.

    CLI Example: salt '*' test.raise_exception OSError 2 'No such file' /etc/x"""
    module, _, word = str(name).rpartition(".")
    if module == "salt.exceptions":
        import salt.exceptions  # noqa: F401
    kind = getattr(sys.modules.get(module) if module else builtins, word, None)  # nothing else is imported for this
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return False
    raise kind(*args)


def rand_sleep(max=60):
    """Sleep for a random number of seconds.

    CLI Example: salt '*' test.rand_sleep 60"""
    time.sleep(random.randint(0, int(max)))
    return True


def random_hash(size=9999999999, hash_type=None):
    """The hash of a random number up to `size`.

    CLI Example: salt '*' test.random_hash hash_type=sha512"""
    kind = hash_type or __opts__.get("hash_type") or "sha256"
    return hashlib.new(kind, str(secrets.randbelow(int(size) + 1)).encode()).hexdigest()


rand_str = random_hash


def retcode(code=42):
    """Give the job a return code.

    CLI Example: salt '*' test.retcode 42"""
    __context__["retcode"] = code
    return True


def sleep(length):
    """Sleep for some seconds.

    CLI Example: salt '*' test.sleep 20"""
    time.sleep(float(length))
    return True


def stack():
    """The current stack trace.

    CLI Example: salt '*' test.stack"""
    return "".join(traceback.format_stack())


def try_(module, return_try_exception=False, **kwargs):
    """Call another function; None, or with return_try_exception=True the error, if it fails.

    CLI Example: salt '*' test.try module=ipmi.get_users"""
    kwargs = {key: value for key, value in kwargs.items() if not key.startswith("__pub_")}
    try:
        return __salt__[module](**kwargs)
    except Exception as error:
        return repr(error) if return_try_exception else None


def versions_report():
    """The versions of what runs here, as text.

    CLI Example: salt '*' test.versions_report"""
    kernel = os.uname()
    sections: dict[str, dict[str, Any]] = {
        "Salt Version": {"Salt": __grains__.get("saltversion"), "saltlite": __grains__.get("saltlite")},
        "Python Version": {"Python": sys.version.replace("\n", " ")},
        "Dependency Versions": {name: _package_version(name) for name in PACKAGES},
        "System Versions": {
            "dist": f"{__grains__.get('osfullname')} {__grains__.get('osrelease', '')}",
            "locale": locale.getpreferredencoding(False).lower(),
            "machine": kernel.machine,
            "release": kernel.release,
            "system": kernel.sysname,
        },
    }
    lines = []
    for title, versions in sections.items():
        lines += [f"{title}:", *(f"{name:>18}: {version}" for name, version in versions.items()), " "]
    return "\n".join(lines)


versions = versions_information = versions_report


def echo(text):
    """Give back the text.

    CLI Example: salt '*' test.echo 'foo bar'"""
    return text


def false_():
    """Always False.

    CLI Example: salt '*' test.false"""
    return False


def true_():
    """Always True.

    CLI Example: salt '*' test.true"""
    return True


def version():
    """The Salt release whose wire this minion speaks.

    CLI Example: salt '*' test.version"""
    return __grains__["saltversion"]
