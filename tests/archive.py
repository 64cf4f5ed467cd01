"""A saltlite.pyz of a test's own: one file with the real program behind it, its version and its faults as wanted.

The program is the checkout's, so nothing is unpacked; `ARCHIVE` is what the real start says too."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from live import BYTE_CODE, SCRIPT

MAIN = """
import os, sys, time
ARCHIVE = os.path.abspath(sys.path[0])
sys.pycache_prefix = {prefix!r}
sys.path[0] = {top!r}
import saltlite
saltlite.VERSION = {version!r}
patience = saltlite.packed_leaf("terminal", "trial")
patience.SECONDS, patience.GRACE, patience.NOBODY, patience.SUPERVISOR = {seconds}, 0.5, 0.5, 0.2
starting = not {{"--check", "--version"}} & set(sys.argv)
{fault}
sys.exit(saltlite.main())
"""
FAULTS = {  # what goes wrong, but not before it is looked for
    "": "",
    "does not reach the master": "saltlite.packed_leaf('wires', 'minion').tcp = lambda host, port: 'tcp://127.0.0.1:9'",
    "does not start": "if starting: sys.exit(3)",
    "hangs": "if starting: time.sleep(1000)",
    "refuses the configuration": "if '--check' in sys.argv: sys.exit('saltlite: it is not to my taste.')",
}


def make_archive(path: Path, version: str = "1.0", fault: str = "", seconds: float = 20.0) -> str:
    """Write such a file, which gives a new program so many seconds to reach the master; gives its SHA256."""
    main = MAIN.format(prefix=BYTE_CODE, top=str(SCRIPT.parent), version=version, fault=FAULTS[fault], seconds=seconds)
    temporary = path.with_name(f".{path.name}")
    with open(temporary, "wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w") as pack:
            pack.writestr("saltlite.py", "")  # as in the real one
            pack.writestr("__main__.py", main)
    temporary.chmod(0o755)
    temporary.rename(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()
