"""Files of a `cp` under way, in CACHE/offers/NAME, where NAME is 32 hex digits that its job names as first argument.

    offers/NAME/manifest, 0, 1 …      what `cp` lays down for cp.recv_files: a list, and the files by its numbers
    offers/NAME/ID/manifest, 0, 1 …   what cp.send_files of a minion has sent for `cp --from`
    offers/NAME/.moved                bytes that went through so far, for the progress that `cp` shows

A minion is served only for a job of this master's that it was meant by, with that function and that NAME; the job's
first line says so. Names that minions give to files are never names of files here: those are numbers. What one minion
sends is bounded by the job's own words (max_bytes, max_files), and the disk by keep_free."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saltlite import JID, MasterTree, Peer, Request, addressed, as_bytes, from_json, put, write_all

PART = 1 << 20  # bytes in one reply, and in one request
MAX_LOC = 1 << 62  # where a part begins, which no file has
MAX_MANIFEST = 64 << 20  # bytes of the list that a minion sends
NAME = re.compile(r"[0-9a-f]{32}")
FILE = re.compile(r"manifest|0|[1-9][0-9]{0,6}")
REMEMBERED = 16  # jobs whose first line is kept
MAX_SIZES = 20_000  # minions of which it is kept in memory how much they have sent
TELL = 0.5  # seconds between two words about the progress
NOBODY = {"why": "Nobody waits for that any more: the `cp` has ended, or this minion was not meant."}


class Requests:
    """Parts of files, out and in. Each is read or written at once, for it is small."""

    def __init__(self, opts: Mapping[str, Any], tree: MasterTree) -> None:
        self.tree = tree
        self.commands = {"_offered": Request(self.offered), "_sent": Request(self.sent)}
        self._headers: dict[str, dict[str, Any]] = {}  # the first lines of jobs
        self._sizes: dict[str, int] = {}  # by directory: bytes that a minion has sent
        self._moved: dict[str, tuple[int, float]] = {}  # by NAME: bytes so far, and when that was last told

    def offered(self, peer: Peer, load: dict[str, Any], now: float) -> dict[str, Any]:
        """{data: bytes of a file from `loc` on, none at its end}, or {why}."""
        place = self._place(peer, load, "cp.recv_files")
        if place is None:
            return NOBODY
        try:
            fd = os.open(place / load["file"], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return NOBODY
        try:
            data = os.pread(fd, PART, load["loc"])
        finally:
            os.close(fd)
        self._tell(place, len(data), now)
        return {"data": data}

    def sent(self, peer: Peer, load: dict[str, Any], now: float) -> dict[str, Any]:
        """{size: what is here of the file now}, or {why}. What is here already, since a reply was lost, is not taken
        again. OSError where there is no room: the minion waits."""
        place = self._place(peer, load, "cp.send_files")
        if place is None or not place.is_dir():
            return NOBODY
        data, name, loc = as_bytes(load.get("data")), load["file"], load["loc"]
        most_bytes, most_files = self._headers[load["jid"]]["arg"][2:4]
        own = place / peer.id
        if str(own) not in self._sizes or not own.is_dir():
            own.mkdir(mode=0o700, exist_ok=True)
            self._sizes[str(own)] = sum(each.stat().st_size for each in os.scandir(own) if each.name != "manifest")
        listed = name == "manifest"
        before, most = (loc, MAX_MANIFEST) if listed else (self._sizes[str(own)], most_bytes)
        if len(data) > PART or before + len(data) > most:
            return {"why": f"It is more than {most} bytes: see --max-size."}
        if not listed and int(name) >= most_files:
            return {"why": f"They are more than {most_files} files: see --max-files."}
        self.tree.check_room()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(own / name, flags, 0o600)
        try:
            size = os.fstat(fd).st_size
            if size != loc:
                return {"size": size}
            if data:
                write_all(fd, data)
        finally:
            os.close(fd)
        self._sizes[str(own)] += 0 if listed else len(data)
        while len(self._sizes) > MAX_SIZES:
            del self._sizes[next(iter(self._sizes))]
        self._tell(place, len(data), now)
        return {"size": size + len(data)}

    def _place(self, peer: Peer, load: Mapping[str, Any], fun: str) -> Path | None:
        """The directory of a transfer that a minion has part in; None if it has none, or asks for no file of it."""
        jid, name, file, loc = (load.get(key) for key in ("jid", "name", "file", "loc"))
        texts = isinstance(jid, str) and isinstance(name, str) and isinstance(file, str)
        if not texts or type(loc) is not int or not 0 <= loc < MAX_LOC or not NAME.fullmatch(str(name)):
            return None
        if not JID.fullmatch(str(jid)) or not FILE.fullmatch(str(file)):
            return None
        header = self._header(str(jid))
        if header.get("fun") != fun or header["arg"][:1] != [name]:
            return None
        return self.tree.cache / "offers" / str(name) if addressed(header, peer.id, self.tree.data.grains) else None

    def _header(self, jid: str) -> dict[str, Any]:
        """The first line of a job's file; {} if there is none."""
        if jid not in self._headers:
            for path in (self.tree.jobs / "active", self.tree.jobs / "done" / jid[:8]):
                try:
                    with open(path / f"{jid}.jsonl", "rb") as file:
                        found = from_json(file.readline())
                except (OSError, ValueError):
                    continue
                while len(self._headers) >= REMEMBERED:
                    del self._headers[next(iter(self._headers))]
                self._headers[jid] = found
                break
        return self._headers.get(jid, {})

    def _tell(self, place: Path, size: int, now: float) -> None:
        """Count what went through, and write it down now and then."""
        total, told = self._moved.get(place.name, (0, 0.0))
        if abs(now - told) > TELL:
            told = now
            put(place / ".moved", str(total + size), sync=False)
        if len(self._moved) > REMEMBERED:
            self._moved.clear()
        self._moved[place.name] = total + size, told
