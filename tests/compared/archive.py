"""archive: what is called, and what is not. See tests/functions.py."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

SCRATCH = "{scratch}/"
HOLDING = ("in.tar", "in.tar.xz", "in.zip", "links.zip")
LISTED: tuple[dict[str, Any], ...] = ({}, {"verbose": True}, {"strip_components": 1})
CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("archive.tar", ["czf", SCRATCH + "made.tar.gz", "x,d"], {"cwd": "{scratch}"}),
    ("archive.tar", ["tf", SCRATCH + "made.tar.gz"], {}),
    ("archive.tar", ["cf", SCRATCH + "made.tar", ["d/*"]], {"cwd": "{scratch}"}),
    ("archive.tar", ["-xvf", SCRATCH + "in.tar"], {"dest": SCRATCH + "out"}),
    ("archive.tar", ["xf", SCRATCH + "in.tar", "t/x"], {"dest": SCRATCH + "out2"}),
    ("archive.tar", ["xf", SCRATCH + "missing.tar"], {}),
    ("archive.tar", ["", SCRATCH + "in.tar"], {}),
    ("archive.gzip", [SCRATCH + "gz"], {}),
    ("archive.gzip", [SCRATCH + "gz2"], {"options": "--verbose"}),
    ("archive.gunzip", [SCRATCH + "plain.gz"], {}),
    ("archive.gunzip", [SCRATCH + "x"], {}),
    ("archive.zip", [SCRATCH + "made.zip", SCRATCH + "x," + SCRATCH + "d"], {}),
    ("archive.zip", [SCRATCH + "made2.zip", ["x", "d"]], {"cwd": "{scratch}"}),
    ("archive.zip", [SCRATCH + "made3.zip", SCRATCH + "d/*"], {}),
    ("archive.zip", [SCRATCH + "made4.zip", "x"], {}),
    ("archive.zip", [SCRATCH + "made4.zip", "x"], {"cwd": "relative"}),
    ("archive.unzip", [SCRATCH + "in.zip", SCRATCH + "out3"], {}),
    ("archive.unzip", [SCRATCH + "in.zip", SCRATCH + "out4"], {"excludes": "z/x", "extract_perms": False}),
    ("archive.unzip", [SCRATCH + "in.zip", SCRATCH + "out5"], {"trim_output": 1}),
    ("archive.unzip", [SCRATCH + "links.zip", SCRATCH + "out6"], {}),
    ("archive.unzip", [SCRATCH + "missing.zip", SCRATCH + "out7"], {}),
    ("archive.unzip", [SCRATCH + "x", SCRATCH + "out7"], {}),
    *(("archive.list", [SCRATCH + name], how) for name in HOLDING for how in LISTED),
    ("archive.list", [SCRATCH + "in.tar"], {"strip_components": 0}),
    ("archive.list", [SCRATCH + "in.tar"], {"strip_components": "odd"}),
    ("archive.list", [SCRATCH + "x"], {}),
    ("archive.list", [SCRATCH + "in.tar"], {"archive_format": "odd"}),
    ("archive.list", [SCRATCH + "in.zip"], {"archive_format": "zip"}),
    ("archive.is_encrypted", [SCRATCH + "in.zip"], {}),
    ("archive.is_encrypted", [SCRATCH + "x"], {}),
]  # fmt: skip
ONLY_SALT = {
    **dict.fromkeys(("archive.rar", "archive.unrar"), "they need a program that few have"),
}
NOT_COMPARED = {}
for program in ("zip", "unzip"):
    if shutil.which(program):
        how = {"cwd": "{scratch}"} if program == "zip" else {}
        last = "x" if program == "zip" else SCRATCH + "out8"
        CASES.append((f"archive.cmd_{program}", [SCRATCH + ("made9.zip" if program == "zip" else "in.zip"), last], how))
    else:
        NOT_COMPARED[f"archive.cmd_{program}"] = f"{program} is not installed here"
AFTER = True


def prepare(scratch: Path) -> None:
    for name in ("x", "gz", "gz2", "d/y", "d/e/z"):
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        (scratch / name).write_text(f"{name}\n")
    for number in ("", "2"):
        (scratch / f"out{number}").mkdir()
    with gzip.open(scratch / "plain.gz", "wb") as file:
        file.write(b"plain\n")
    for name, how in (("in.tar", "w"), ("in.tar.xz", "w:xz")):
        with tarfile.open(scratch / name, how) as archive:  # type: ignore[call-overload]
            for member, kind in (("t", tarfile.DIRTYPE), ("t/x", tarfile.REGTYPE), ("t/l", tarfile.SYMTYPE)):
                info = tarfile.TarInfo(member)
                info.type, info.mode, info.linkname = kind, 0o755, "x"
                info.size = 2 * (kind == tarfile.REGTYPE)
                archive.addfile(info, io.BytesIO(b"x\n"))
    for zip_name, links in (("in.zip", False), ("links.zip", True)):
        with zipfile.ZipFile(scratch / zip_name, "w") as packed:
            packed.mkdir("z") if hasattr(packed, "mkdir") else packed.writestr("z/", "")
            entry = zipfile.ZipInfo("z/x")
            entry.external_attr = 0o100750 << 16
            packed.writestr(entry, "x\n")
            packed.writestr("z/deep/y", "y\n")
            if links:
                entry = zipfile.ZipInfo("z/l")
                entry.external_attr = 0o120777 << 16
                packed.writestr(entry, "x")


def without_archives(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree; of archives, which hold times, what there are alone."""
    return {name: what if not name.endswith(("zip", "gz", "tar", "xz")) else what[:3] for name, what in tree.items()}


NORMAL: dict[str, Any] = {"AFTER": without_archives}
DIFFERS = dict.fromkeys(
    (
        "archive.list {scratch}/in.tar strip_components=odd",
        "archive.list {scratch}/x",
        "archive.list {scratch}/in.tar archive_format=odd",
        "archive.is_encrypted {scratch}/x",
    ),
    "the sentence is without the place of a copy, for there is none",
)
