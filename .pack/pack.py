"""Packs saltlite.pyz: pack.py OUTPUT WHEEL_DIRECTORY TARGETS, from the top level; same input, same bytes."""

import glob
import hashlib
import io
import json
import os
import re
import sys
import zipfile
from typing import Any


def facts(wheel: bytes) -> dict[str, Any]:
    """What saltlite.pyz knows of a wheel: hash, oldest Python 3, the modules to look for where it does not fit."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    python = re.search(r"^Requires-Python:.*>= *3\.(\d+)", metadata, re.MULTILINE)
    # data/ holds samples and man pages; what any other scheme would install, no import would find
    if strange := [name for name in names if re.match(r"[^/]*\.data/(?!data/)", name)]:
        sys.exit(f"cannot unpack {strange}")
    tops = {name.split("/")[0].split(".")[0] for name in names if name.count("/") == name.endswith("/__init__.py")}
    sha256 = hashlib.sha256(wheel).hexdigest()
    return {"sha256": sha256, "python": int(python[1]) if python else 0, "modules": sorted(tops)}


def main(output: str, wheel_directory: str, targets: str) -> None:
    members: dict[str, bytes] = {}
    for path in ["saltlite.py", *glob.glob("etc/salt/**/*.py", recursive=True)]:
        members[path] = open(path, "rb").read()
    for path in glob.glob(wheel_directory + "/*.whl"):
        members["wheels/" + os.path.basename(path)] = open(path, "rb").read()
    wheels = {name.removeprefix("wheels/"): facts(data) for name, data in members.items() if name.startswith("wheels/")}
    members["wheels.json"] = json.dumps({"targets": targets, "wheels": wheels}, sort_keys=True, indent=1).encode()
    source = os.path.dirname(__file__)
    members["_unpack.py"] = open(f"{source}/_unpack.py", "rb").read()
    members["__main__.py"] = open(f"{source}/__main__.py", "rb").read()
    members["saltlite/__init__.py"] = open(f"{source}/_import.py", "rb").read()
    build = hashlib.sha256()
    for name, data in sorted(members.items()):
        if not name.startswith("wheels/"):  # wheels.json has their hashes
            build.update(f"{name} {len(data)}\n".encode() + data)
    members["__main__.py"] = members["__main__.py"].replace(b"@BUILD@", build.hexdigest()[:24].encode())
    temporary = f"{output}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as pack:
            for name, data in sorted(members.items()):
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.external_attr = 0o100644 << 16
                pack.writestr(entry, data)
    os.chmod(temporary, 0o755)
    os.replace(temporary, output)  # whoever runs the old file keeps it
    print(f"{output}: {os.path.getsize(output) / 1e6:.1f} MB, {len(wheels)} wheels for {targets}")


main(*sys.argv[1:])
