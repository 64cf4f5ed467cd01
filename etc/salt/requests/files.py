"""The file server: what lies beneath file_roots, as Salt's own file server tells it.

A path from the wire is walked name by name without following a link; a link counts for the place it leads to, if that
is beneath a root of the same environment, and that place is walked likewise. What is outside looks like what is not
there."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
import re
import stat
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from saltlite import RACY, MasterTree, Peer, Request, constant, options_of, packed_leaf

ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}
LISTING_AGE = 1.0  # seconds a listing is good for: a thousand minions ask at once
LISTED_A_SECOND = 20_000  # a larger listing is good for longer: this many of its paths are looked at in a second
MAX_CHUNK = 16 << 20  # bytes of one reply, uncompressed; masters send 256 KiB
MAX_HASHES = 100_000
HASHED_AT_ONCE = 1 << 20  # bytes of a file in one step of the loop
LISTED_AT_ONCE = 500  # paths in one step of the loop
MAX_HASHING = 4  # files that are read in turn; who wants another waits
LEAF = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def relative(path: object) -> str:
    """A path from the wire as names with one slash between them; "" if it is no path, absolute or leads upwards.

    As Salt has it, `|` in front takes the rest as it is, and `?` begins what is no part of the path."""
    text = os.fsdecode(path) if isinstance(path, str | bytes) else ""
    text = text[1:] if text.startswith("|") else text.partition("?")[0]
    parts = [name for name in text.split("/") if name not in ("", ".")]
    refused = text.startswith("/") or ".." in parts or "\0" in text or len(text) > 4096
    return "" if refused else "/".join(parts)


def beneath(path: str, roots: Iterable[str]) -> tuple[str, str]:
    """Where a path leads when its links are followed: (one of the real `roots`, the path below it). ELOOP: outside."""
    real = os.path.realpath(path)
    for root in roots:
        if f"{real}/".startswith(f"{root.rstrip('/')}/"):
            return root, real[len(root) :].strip("/")
    raise OSError(errno.ELOOP, "outside of the file roots", path)


def open_beneath(root: str, path: str, flags: int = LEAF) -> int:
    """A descriptor of `path` below the directory `root`; a link on the way, or `..`, is an OSError."""
    names = path.split("/") if path else ["."]
    if ".." in names:
        raise OSError(errno.ELOOP, "outside of the file roots", path)
    fd = os.open(root, STEP)
    for at, name in enumerate(names, 1):
        try:
            inner = os.open(name, flags if at == len(names) else STEP, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


Steps = Generator[Any, None, Any]  # yields where others may have their turn, and returns the reply
Place = tuple[str, str]  # one of the real roots, and a path below it on which there is no link
Listed = tuple[str, Place | None, str]  # a name, its place if it is a directory, its target if it is a link


class Found(NamedTuple):
    """An open regular file: its path as asked for and as it is, and its path below the root."""

    fd: int
    path: str
    real: str
    rel: str
    info: os.stat_result


class Listing(NamedTuple):
    """All paths of an environment, relative to their roots, each with its target if it is a link."""

    files: dict[str, str]
    dirs: dict[str, str]
    empty_dirs: dict[str, str]
    links: dict[str, str]


class Requests:
    """The files of the master. Handlers take a load from the wire, whatever it holds, and give the reply."""

    def __init__(self, opts: Mapping[str, Any], tree: MasterTree) -> None:
        self.opts = opts  # read at each use, for SIGHUP changes them
        self.commands = {
            "_file_envs": Request(self.envs),
            "_file_list": Request(self.file_list),
            "_file_list_emptydirs": Request(self.empty_dirs),
            "_dir_list": Request(self.dir_list),
            "_symlink_list": Request(self.symlink_list),
            "_file_hash": Request(self.hash),
            "_file_hash_and_stat": Request(self.hash_and_stat),
            "_file_find": Request(self.find),
            "_serve_file": Request(self.serve),
            "_file_recv": constant(False),  # cp.push: what a master says that takes no files
            "_master_opts": Request(self.master_opts),
            "_master_tops": constant({}),
            "_ext_nodes": constant({}),
        }
        self._listings: dict[str, tuple[float, float, Listing]] = {}
        self._hashes: dict[str, tuple[tuple[Any, ...], str]] = {}
        self._hashing: set[str] = set()  # files that are being read
        self._listing_now: set[str] = set()  # environments that are being listed

    def envs(self, peer: Peer, load: dict[str, Any], now: float) -> list[str]:
        return sorted(self.opts["file_roots"])

    def file_list(self, peer: Peer, load: dict[str, Any], now: float) -> Steps:
        return (yield from self._told(peer, load, (yield from self._listing(load, now)).files))

    def dir_list(self, peer: Peer, load: dict[str, Any], now: float) -> Steps:
        return (yield from self._told(peer, load, (yield from self._listing(load, now)).dirs))

    def empty_dirs(self, peer: Peer, load: dict[str, Any], now: float) -> Steps:
        return (yield from self._told(peer, load, (yield from self._listing(load, now)).empty_dirs))

    def symlink_list(self, peer: Peer, load: dict[str, Any], now: float) -> Steps:
        links = (yield from self._listing(load, now)).links
        return {path: links[path] for path in self._chosen(links, load)}

    def hash(self, peer: Peer, load: dict[str, Any], now: float) -> Steps:
        """{hash_type, hsum: hex}; "" if there is no such file."""
        return (yield from self.hash_and_stat(peer, load, now))[0]

    def hash_and_stat(self, peer: Peer, load: dict[str, Any], now: float) -> Steps:
        """[the same, the ten integers of stat]; ["", None] if there is no such file.

        Who waits for a file that another is reading holds no descriptor, and finds it hashed."""
        while True:
            with self._open(load) as found:
                if found is None:
                    return ["", None]
                kind, info = self.opts["hash_type"], found.info
                stamp = (kind, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
                known, hsum = self._hashes.get(found.real, ((), ""))
                if known == stamp:
                    return [{"hash_type": kind, "hsum": hsum}, list(info)]
                if found.real not in self._hashing and len(self._hashing) < MAX_HASHING:
                    hsum = yield from self._hash(found, stamp, now)
                    return [{"hash_type": kind, "hsum": hsum}, list(info)]
            while found.real in self._hashing or len(self._hashing) >= MAX_HASHING:
                yield

    def find(self, peer: Peer, load: dict[str, Any], now: float) -> dict[str, Any]:
        """{path: on the master, rel, stat: ten integers, back}; both paths "" if there is no such file."""
        with self._open({"saltenv": "base"} | load) as found:
            if found is None:
                return {"path": "", "rel": ""}
            return {"path": found.path, "rel": found.rel, "stat": list(found.info), "back": "roots"}

    def serve(self, peer: Peer, load: dict[str, Any], now: float) -> dict[str, Any]:
        """{data: bytes from `loc` on, dest: the relative path}, and `gzip`, the level, if the data is compressed. The
        end of a file has no data; what is no file has no dest either."""
        loc, level = load.get("loc"), load.get("gzip")
        with self._open(load) as found:
            if found is None or type(loc) is not int or loc < 0:
                return {"data": "", "dest": ""}
            most = min(self.opts["file_buffer_size"] or MAX_CHUNK, MAX_CHUNK)
            data = os.pread(found.fd, most, loc) if loc < found.info.st_size else b""
        if not data or type(level) is not int or not 1 <= level <= 9:
            return {"data": data, "dest": found.rel}
        import gzip

        return {"data": gzip.compress(data, level, mtime=0), "dest": found.rel, "gzip": level}

    def master_opts(self, peer: Peer, load: dict[str, Any], now: float) -> dict[str, Any]:
        """The options that minions are told which apply states (their rows say so); of the file roots only the
        environments, for what is in them is asked for by name."""
        wanted = {"env"} if load.get("env_only") else {"env", "state"}
        told = [name for name, option in options_of("master").items() if option.told in wanted]
        roots: dict[str, list[str]] = {env: [] for env in self.envs(peer, load, now)}
        return {"file_roots": roots} | {name: self.opts[name] for name in told}

    # one file

    @contextlib.contextmanager
    def _open(self, load: dict[str, Any]) -> Iterator[Found | None]:
        found = self._find(relative(load.get("path")), self._roots(load))
        try:
            yield found
        finally:
            if found:
                os.close(found.fd)

    def _find(self, rel: str, roots: Sequence[str]) -> Found | None:
        if not rel:
            return None
        places = [os.path.realpath(root) for root in roots]
        for root, place in zip(roots, places, strict=True):
            try:
                base, path = beneath(f"{place}/{rel}", self._may_lead_to(place, places))
                fd = open_beneath(base, path)
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
                continue
            info = os.fstat(fd)
            # only what is there is held against the operator's expressions: a name of a minion's could take them long
            if stat.S_ISREG(info.st_mode) and not self._ignored(rel):
                return Found(fd, f"{root}/{rel}", f"{base}/{path}", rel, info)
            os.close(fd)
        return None

    def _roots(self, load: dict[str, Any]) -> list[str]:
        return self.opts["file_roots"].get(str(load.get("saltenv")), [])

    def _may_lead_to(self, place: str, places: list[str]) -> list[str]:
        return places if self.opts["fileserver_followsymlinks"] else [place]

    def _ignored(self, rel: str) -> bool:
        """Salt shows the patterns a relative path in listings and an absolute one otherwise; here both, always."""
        globs, regexes = self.opts["file_ignore_glob"], self.opts["file_ignore_regex"]
        return any(
            any(re.search(regex, path) for regex in regexes) or any(fnmatch.fnmatch(path, str(glob)) for glob in globs)
            for path in (rel, f"/{rel}")
        )

    def _hash(self, found: Found, stamp: tuple[Any, ...], now: float) -> Generator[None, None, str]:
        """A file's hash in hex, read in steps; kept while the file is as its stamp says."""
        import hashlib

        digest = hashlib.new(stamp[0], usedforsecurity=False)
        self._hashing.add(found.real)
        try:
            while chunk := os.read(found.fd, HASHED_AT_ONCE):
                digest.update(chunk)
                if len(chunk) == HASHED_AT_ONCE:
                    yield
        finally:
            self._hashing.discard(found.real)
        if len(self._hashes) >= MAX_HASHES:
            self._hashes.clear()
        if abs(now - found.info.st_ctime) >= RACY:
            self._hashes[found.real] = stamp, digest.hexdigest()
        return digest.hexdigest()

    # all files

    def _told(self, peer: Peer, load: dict[str, Any], paths: Iterable[str]) -> Steps:
        """The paths that are asked for, as an answer."""
        chosen = self._chosen(paths, load)
        return (yield from packed_leaf("apart", "master").sealed(peer, load, chosen, sum(map(len, chosen))))

    @staticmethod
    def _chosen(paths: Iterable[str], load: dict[str, Any]) -> list[str]:
        prefix = load.get("prefix")
        prefix = os.fsdecode(prefix).strip("/") if isinstance(prefix, str | bytes) else ""
        return [path for path in paths if path.startswith(prefix)]

    def _listing(self, load: dict[str, Any], now: float) -> Generator[None, None, Listing]:
        """What is in an environment. One that is being listed for another is waited for."""
        env, roots = str(load.get("saltenv")), self._roots(load)
        listing = Listing({}, {}, {}, {})
        if not roots:
            return listing
        waited, before = env in self._listing_now, self._listings.get(env)
        while env in self._listing_now:
            yield
        made, until, known = after = self._listings.get(env, (0.0, 0.0, listing))
        if made <= now < until or waited and after is not before:
            return known
        places = [os.path.realpath(root) for root in roots]
        self._listing_now.add(env)
        try:
            for place in places:
                yield from self._walk(listing, place, self._may_lead_to(place, places))
        finally:
            self._listing_now.discard(env)
        listing = Listing(*(dict(sorted(paths.items())) for paths in listing))
        # a tree that takes long to list must not be listed all the time
        age = max(LISTING_AGE, (len(listing.files) + len(listing.dirs)) / LISTED_A_SECOND)
        self._listings[env] = now, now + age, listing
        return listing

    def _walk(self, listing: Listing, place: str, places: list[str]) -> Generator[None, None, None]:
        """Add what one root holds. A directory that a link leads back into is not gone through again."""
        follow = self.opts["fileserver_followsymlinks"]
        todo: list[tuple[str, Place, tuple[Place, ...]]] = [("", (place, ""), ())]
        seen = 0
        while todo:
            rel, here, above = todo.pop()
            above = (*above, here)
            entries = self._entries(here, places)
            seen += 1 + len(entries or ())
            if seen > LISTED_AT_ONCE:
                seen = 0
                yield
            if entries == [] and rel in listing.dirs:
                listing.empty_dirs[rel] = ""
            for name, there, link in entries or []:
                path = f"{rel}/{name}" if rel else name
                if not self._ignored(path):
                    (listing.dirs if there else listing.files)[path] = link
                    if link:
                        listing.links[path] = link
                if there and there not in above and (follow or not link):
                    todo.append((path, there, above))

    def _entries(self, here: Place, places: list[str]) -> list[Listed] | None:
        """What is in a directory and can be served; None if the directory cannot be read."""
        found: list[Listed] = []
        try:
            fd = open_beneath(*here, LEAF | os.O_DIRECTORY)
        except OSError as error:
            if error.errno not in ABSENT | {errno.EACCES}:
                raise
            return None
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    path = f"{here[1]}/{entry.name}" if here[1] else entry.name
                    if entry.is_symlink():
                        with contextlib.suppress(OSError):  # gone, changed, or closed to us
                            found += self._link(here[0], path, entry.name, places)
                    elif entry.is_dir(follow_symlinks=False):
                        found.append((entry.name, (here[0], path), ""))
                    elif entry.is_file(follow_symlinks=False):
                        found.append((entry.name, None, ""))
        finally:
            os.close(fd)
        return found

    def _link(self, root: str, path: str, name: str, places: list[str]) -> list[Listed]:
        """A link as an entry, or none. One that leads outside is told only where links are not followed, and whatever
        it leads to."""
        if self.opts["fileserver_ignoresymlinks"]:
            return []
        target = os.readlink(f"{root}/{path}")
        try:
            there = beneath(f"{root}/{path}", places)
        except OSError:
            return [] if self.opts["fileserver_followsymlinks"] else [(name, None, target)]
        real = "/".join(there)
        if os.path.isdir(real):
            return [(name, there, target)]
        return [(name, None, target)] if os.path.isfile(real) or not os.path.lexists(real) else []
