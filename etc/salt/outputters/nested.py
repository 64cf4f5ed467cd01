"""Indented text, the default. What is not a text, a number, a list or a map is left out, as in Salt; an empty text,
list or map has no line either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saltlite import packed_leaf

terminal = packed_leaf("terminal", "text")
colors, no_escape, one_line = terminal.colors, terminal.no_escape, terminal.one_line


COLORED = True


def items(value: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """A map's items, sorted by key; keys of different types as texts."""
    try:
        return [(key, value[key]) for key in sorted(value)]
    except TypeError:
        return sorted({str(key): inner for key, inner in value.items()}.items(), key=lambda item: item[0])


def output(data: Any, opts: Mapping[str, Any]) -> str:
    """Any data. `nested_indent` of the options moves all of it to the right."""
    color = colors(opts)
    failed = opts.get("retcode", 0) != 0
    key_color = color["RED" if failed else "CYAN"]
    lines: list[str] = []

    def line(indent: int, shade: str, text: str, prefix: str = "", suffix: str = "") -> None:
        lines.append(f"{' ' * indent}{shade}{prefix}{text}{color['END']}{suffix}")

    def display(value: Any, indent: int, prefix: str) -> None:
        if value is None or isinstance(value, int | float):
            line(indent, color["LIGHT_YELLOW"], repr(value), prefix)
        elif isinstance(value, str):
            for text in value.splitlines():
                line(indent, color["GREEN"], no_escape(text), prefix)
                prefix = " " * len(prefix)
        elif isinstance(value, list | tuple):
            for member in value:
                if isinstance(member, list | tuple | Mapping):
                    line(indent, color["RED" if failed else "GREEN"], "|_")
                    display(member, indent + 2, "" if isinstance(member, Mapping) else "- ")
                else:
                    display(member, indent, "- ")
        elif isinstance(value, Mapping):
            if indent:
                line(indent, key_color, "----------")
            for key, inner in items(value):
                line(indent, key_color, one_line(key), prefix, ":")
                display(inner, indent + 4, "")

    display(data, opts.get("nested_indent", 0), "")
    return "\n".join(lines)
