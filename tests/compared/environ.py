"""environ: what is called. See tests/functions.py. All calls are in one process, so they see what was set."""

from __future__ import annotations

from typing import Any

CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("environ.setval", ["foo", "bar"], {}),
    ("environ.setval", ["empty", False], {}),
    ("environ.setval", ["odd", 5], {}),
    ("environ.setval", ["odd", None], {}),
    ("environ.setval", ["a=b\0", "x"], {}),
    ("environ.get", ["foo"], {}),
    ("environ.get", ["missing"], {}),
    ("environ.get", ["missing", 5], {}),
    ("environ.get", [5], {}),
    *(("environ.has_value", ["foo", *value], {}) for value in ([], ["bar"], ["other"])),
    ("environ.has_value", ["missing"], {}),
    ("environ.has_value", [5], {}),
    ("environ.item", ["foo"], {}),
    ("environ.item", [["foo", "missing"], None], {}),
    ("environ.item", [5], {}),
    ("environ.setenv", [{"a": "1", "b": False}], {}),
    ("environ.setenv", [{"a": "1", "b": False}], {"false_unsets": True}),
    ("environ.setenv", [{"a": 5}], {}),
    ("environ.setenv", ["a=1"], {}),
    ("environ.items", [], {}),
    ("environ.setval", ["foo", False], {"false_unsets": True}),
    ("environ.has_value", ["foo"], {}),
    ("environ.setenv", [{"only": "x"}], {"clear_all": True, "false_unsets": True}),
    ("environ.items", [], {}),
]
NORMAL = {
    "environ.items": lambda found: {name: found[name] for name in ("foo", "empty", "a", "b", "only") if name in found},
    "environ.setenv": lambda found: found and {name: found[name] for name in ("a", "b", "only") if name in found},
}
