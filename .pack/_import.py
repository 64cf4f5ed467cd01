"""`import saltlite` where saltlite.pyz is on sys.path: the unpacked copy takes this module's place.

In saltlite.pyz this is saltlite/__init__.py, which Python finds before saltlite.py. The copy's directory stands behind
the archive on sys.path from then on, for the packages that come with it."""

import importlib.util
import os
import sys
import types


def load() -> None:
    """Find the unpacked copy, or have it made, as a start of the file does; ImportError says why there is none."""
    archive = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    start = types.ModuleType("saltlite_start")
    start.__file__ = os.path.join(archive, "__main__.py")
    try:
        exec(__loader__.get_code("__main__"), start.__dict__)  # type: ignore[name-defined]
        directory = start.find()
    except SystemExit as end:
        raise ImportError(str(end.code)) from None
    at = [os.path.abspath(entry) for entry in sys.path].index(archive) + 1
    sys.path.insert(at, directory)
    spec = importlib.util.spec_from_file_location("saltlite", os.path.join(directory, "saltlite.py"))
    assert spec and spec.loader
    module = sys.modules["saltlite"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


load()
