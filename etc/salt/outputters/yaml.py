"""YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from saltlite import safe_yaml

BYTES = True  # !!binary


def output(data: Any, opts: Mapping[str, Any]) -> str:
    indent = opts.get("output_indent")

    class Dumper(safe_yaml("Dumper")):  # type: ignore[misc]
        """The safe dumper, with NULL for what YAML has no word for."""

    Dumper.add_multi_representer(dict, lambda dumper, value: dumper.represent_dict(value))
    Dumper.add_representer(None, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:null", "NULL"))
    layout = {} if indent is None or indent == "pretty" else {"indent": max(indent, 0)}
    flow = isinstance(indent, int) and indent < 0
    return str(yaml.dump(data, Dumper=Dumper, allow_unicode=not opts.get("ascii"), default_flow_style=flow, **layout))
