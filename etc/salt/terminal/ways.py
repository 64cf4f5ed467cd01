"""Who could change what a path means: for root, who opens files and has programs run by their names."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from saltlite import Failure

MAX_LINKS = 40  # as the kernel counts


def way_to(path: str) -> Iterator[Path]:
    """All that an absolute path goes through, links and where they lead among it, and the end. Failure for links
    without an end."""
    place, ahead, links = Path("/"), list(reversed(Path(path).parts[1:])), 0
    yield place
    while ahead:
        part = ahead.pop()
        place = place.parent if part == ".." else place / part
        yield place
        if place.is_symlink():
            links += 1
            if links > MAX_LINKS:
                raise Failure(f"{path} leads nowhere: its links lead to one another.")
            target = Path(os.readlink(place))
            place = Path("/") if target.is_absolute() else place.parent
            ahead += reversed([part for part in target.parts if part != "/"])


def loose(path: Path) -> bool:
    """Whether others than root could put something else there, or into it."""
    info = os.lstat(path)
    writable = not stat.S_ISLNK(info.st_mode) and info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX
    return bool(info.st_uid or writable)


@contextlib.contextmanager
def rights_of(uid: int, gid: int, groups: Sequence[int]) -> Iterator[None]:
    """What root does meanwhile, it does with these rights and no more: where names are another user's, they may lead
    elsewhere by now."""
    before = os.getegid(), os.getgroups()
    try:
        os.setgroups(groups)
        os.setegid(gid)
        os.seteuid(uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(before[0])
        os.setgroups(before[1])
