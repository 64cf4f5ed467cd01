"""Versions of what is installed by hand."""

# mypy: ignore-errors

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

__outputter__ = {"report": "json"}


@dataclass
class Version:
    name: str
    major: int
    minor: int = 0


def __init__(opts):
    global HOME
    HOME = Path(opts.get("appver.home", "/opt"))


def report(name):
    """The version in the file VERSION of an application."""
    text = (HOME / name / "VERSION").read_text()
    major, minor = re.match(r"v?(\d+)(?:\.(\d+))?", text).groups("0")
    return asdict(Version(name, int(major), int(minor)))
