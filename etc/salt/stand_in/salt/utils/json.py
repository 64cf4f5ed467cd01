"""JSON, by the names of Salt 3008's salt.utils.json."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any


def find_json(s: str) -> Any:
    """The first map or list in JSON that a text has among other words; ValueError if it has none."""
    for found in re.finditer(r"[{\[]", s):
        with contextlib.suppress(json.JSONDecodeError):
            return json.JSONDecoder().raw_decode(s[found.start() :])[0]
    raise ValueError


def import_json() -> Any:
    """The module that reads JSON."""
    return json


def load(fp: Any, **kwargs: Any) -> Any:
    return kwargs.pop("_json_module", json).load(fp, **kwargs)


def loads(s: Any, **kwargs: Any) -> Any:
    return kwargs.pop("_json_module", json).loads(s, **kwargs)


def dump(obj: Any, fp: Any, **kwargs: Any) -> None:
    """Letters stay as they are, unless ensure_ascii is given."""
    return kwargs.pop("_json_module", json).dump(obj, fp, **{"ensure_ascii": False, **kwargs})


def dumps(obj: Any, **kwargs: Any) -> str:
    """Letters stay as they are, unless ensure_ascii is given."""
    text: str = kwargs.pop("_json_module", json).dumps(obj, **{"ensure_ascii": False, **kwargs})
    return text
