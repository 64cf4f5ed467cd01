"""Where Salt is not installed, what modules written for Salt import of it.

A module here is complete or absent, so that what a site's file misses it misses when it is read, and says so. Salt's
own library comes first on the path wherever it is installed."""

import importlib
from typing import Any


def part(package: str, name: str) -> Any:
    """A module of a package here, read when it is first asked for, as `import salt.utils` finds it in Salt, where
    something else has read it before; AttributeError says that it is not here."""
    wanted = f"{package}.{name}"
    try:
        return importlib.import_module(wanted)
    except ModuleNotFoundError as error:
        if name[:2] == "__" or error.name != wanted:
            raise AttributeError(f"module {package!r} has no attribute {name!r}") from error
        raise AttributeError(f"there is no {wanted} here, for Salt is not installed on this machine") from None


def __getattr__(name: str) -> Any:
    return part(__name__, name)
