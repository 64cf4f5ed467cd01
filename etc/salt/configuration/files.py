"""Which files are the configuration of a role, and how those of one pattern become one: as Salt has it, maps in maps,
and lists joined, while a later pattern, as a whole, lies over what is before it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saltlite import Failure, merged, read_yaml

MAX_INCLUDES = 16  # files that include one another


def included(patterns: Any, beside: Path, told: list[tuple[int, str]] | None, depth: int = 1) -> Iterator[Any]:
    """Pairs (file, its document) of what the file `beside` includes, with what it includes in turn; a document has
    each of its values joined with those that the files before it have given. With `told` a pattern that matches
    nothing is told."""
    import glob

    so_far: dict[Any, Any] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns or []:
        whole_pattern = os.path.join(beside.parent, os.path.expanduser(str(pattern)))
        paths = [Path(path) for path in sorted(glob.glob(whole_pattern)) if not path.endswith("/_schedule.conf")]
        if depth > MAX_INCLUDES and paths:
            raise Failure(f"{beside}: include: more than {MAX_INCLUDES} files include one another; end the circle.")
        if not paths and told is not None:
            told.append((logging.WARNING, f"{beside}: include: {pattern} matches no file."))
        for path in paths:
            document = read_yaml(path)
            if not isinstance(document, dict):  # nothing, or what will be refused
                yield str(path), document
                continue
            more = document.get("include")
            parts = [(str(path), document), *included(more, path, told, depth + 1)]
            whole = {name: value for _, part in parts for name, value in part.items()}
            jobs = [each["schedule"] for each in (so_far, whole) if isinstance(each.get("schedule"), dict)]
            so_far = merged(so_far, whole, lists=True)
            if "schedule" in whole and len(jobs) == 2:
                so_far["schedule"] = jobs[0] | jobs[1]  # whose entries are not merged: the later is the entry
            yield from ((source, {name: so_far[name] for name in part}) for source, part in parts)


def documents(role: str, conf: Path, told: list[tuple[int, str]]) -> Iterator[tuple[str, Any]]:
    """The file `role`, what its default_include names, what its include names; Failure if one cannot be read."""
    first = conf / role
    document = read_yaml(first) if first.exists() or first.is_symlink() else None
    yield str(first), document
    says = document if isinstance(document, dict) else {}
    yield from included(says.get("default_include", f"{role}.d/*.conf"), first, None)
    yield from included(says.get("include"), first, told)
