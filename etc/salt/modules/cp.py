"""Files of the master's.

What comes is a part in CACHE/parts, named by a hash of where it comes from; once the whole has the hash that the master
says, it is renamed, or copied and renamed, to its place. So the next transfer goes on where a broken one ended, and
neither the cache nor a destination ever holds half a file."""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import fnmatch
import glob
import hashlib
import itertools
import os
import re
import shutil
import stat
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from saltlite import (
    CommandExecutionError,
    Execution,
    PayloadError,
    as_bytes,
    as_text,
    below,
    from_json,
    make_parents,
    own_kwargs,
    put,
    sync_directory,
    to_json,
    token,
    user_name,
    with_minion,
    write_all,
)

MAX_CHUNK = 16 << 20  # bytes of one reply, uncompressed; masters send 256 KiB
PART = 1 << 20  # bytes of one reply to `_offered`, and of one `_sent`
MAX_MANIFEST = 64 << 20  # bytes of the list of what a `cp` of the master's brings
MAX_TOLD = 100  # files that a return names, of those that could not be brought or were left out
PATIENCE = 600.0  # seconds a transfer waits for a master that does not answer
MODES = 0o777  # what is kept of a file's mode: setuid of one machine is nobody's right on another
HASHES = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}  # by hexadecimal digits


@contextlib.contextmanager
def _in_a_sentence(what: str) -> Iterator[None]:
    """Say what could not be done, and why, as the error of an execution function."""
    try:
        yield
    except (OSError, PayloadError) as error:
        why = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise CommandExecutionError(f"{what}: {why}.") from None


def _file_hash(path: Path | str, kind: str = "sha256") -> str:
    """The hexadecimal hash of a file, "" if there is no regular one."""
    if kind not in HASHES.values():
        raise CommandExecutionError(
            f"{kind[:100]!r} is no hash_type; the master's must be one of {[*HASHES.values()]}."
        )
    digest = hashlib.new(kind)
    if not os.path.isfile(path):
        return ""
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _behind(dest: str) -> tuple[Path, os.stat_result | None]:
    """The file that a path means, behind links, and what is there now; CommandExecutionError for somebody else's link
    in a directory of everybody's, OSError."""
    # PermissionError for a symlink of somebody's in /tmp (protected_symlinks)
    parent = os.open(os.path.dirname(dest) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        real = Path(os.readlink(f"/proc/self/fd/{parent}"), os.path.basename(dest))
    finally:
        os.close(parent)
    old = None
    with contextlib.suppress(FileNotFoundError):
        old = os.lstat(real)
        if stat.S_ISLNK(old.st_mode):  # through a symlink, as writing would go, but in /tmp only through our own
            if os.stat(real.parent).st_mode & 0o1002 == 0o1002 and old.st_uid not in (0, os.geteuid()):
                raise CommandExecutionError(f"{dest} is a symlink of {user_name(old.st_uid)}, which is not followed.")
            real, old = Path(os.path.realpath(real)), None
            old = os.stat(real)
    return real, old


def _put_copy(source: Path, dest: str, mode: int | None = None) -> str:
    """Make `dest` a copy, all or nothing; a file that it replaces leaves it owner and, where none is given, mode. Gives
    `dest`."""
    real, old = _behind(dest)
    if old and not stat.S_ISREG(old.st_mode):
        raise CommandExecutionError(f"{dest} is no regular file, so nothing is written there.")
    temporary = real.parent / f".{real.name[:200]}.{token(4).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o666 if old is None and mode is None else 0o600)
    try:
        try:
            if old and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(fd, old.st_uid, old.st_gid)
            if old or mode is not None:
                os.fchmod(fd, stat.S_IMODE(old.st_mode) if old and mode is None else mode or 0)
            with open(source, "rb") as file:
                while chunk := file.read(1 << 20):
                    write_all(fd, chunk)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, real)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(real.parent)
    return dest


def _clear_way(path: Path, root: Path) -> None:
    """Make the directories from `root` down to a file to come; what else stands in their place, or in its own, goes."""
    root.mkdir(0o700, parents=True, exist_ok=True)
    for parent in reversed(path.relative_to(root).parents[:-1]):
        directory = root / parent
        if directory.is_symlink() or directory.is_file():
            directory.unlink()
        directory.mkdir(0o700, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)


@contextlib.contextmanager
def _open_part(minion: Execution, origin: str) -> Iterator[tuple[int, Path]]:
    """The part of what comes from `origin`, held against other jobs that fetch the same."""
    path = minion.tree.cache / "parts" / hashlib.sha256(origin.encode(errors="surrogateescape")).hexdigest()
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(fd), os.stat(path)):  # else: another job has moved it
                yield fd, path
                return
        finally:
            os.close(fd)


def _settle(minion: Execution, part: Path, place: Path, dest: str) -> str:
    """Bring a whole part to `dest`, or to its place in the cache; gives where it is."""
    if dest:
        _put_copy(part, dest)
        part.unlink()
        return dest
    _clear_way(place, minion.tree.cache)
    os.rename(part, place)
    return str(place)


def _destination(dest: str, name: str, makedirs: Any) -> str | None:
    """`dest`, or the file `name` in it if it is a directory; None if its directory is not there and is not to be."""
    if dest and (dest.endswith("/") or os.path.isdir(dest)):
        dest = os.path.join(dest, name)
    directory = os.path.dirname(dest) or "."
    if dest and makedirs:
        with _in_a_sentence(f"{directory} cannot be made"):
            os.makedirs(directory, exist_ok=True)
    return dest if not dest or os.path.isdir(directory) else None


def _environment(minion: Execution, saltenv: str | None) -> str:
    return str(saltenv or minion.opts["saltenv"] or "base")


def _source_of(minion: Execution, path: Any, saltenv: str | None) -> tuple[str, str]:
    """The path and the environment that an address, salt://PATH?saltenv=ENV, means."""
    address, _, env = str(path).partition("?saltenv=")
    if not address.startswith("salt://"):
        raise CommandExecutionError(f"Unsupported path: {address[:200]!r} does not begin with salt://")
    return address[7:].lstrip("/"), env or _environment(minion, saltenv)


def _cached(minion: Execution, path: str, saltenv: str, kind: str = "files") -> Path:
    """Where a file is kept in the cache, as Salt keeps it."""
    return below(below(minion.tree.cache / kind, saltenv), path.lstrip("|"))


def _local(minion: Execution, path: Any) -> Path:
    """Where a file of this machine is kept in the cache, as Salt keeps it."""
    return below(minion.tree.cache / "localfiles", os.path.abspath(str(path)).lstrip("/"))


def _listed(minion: Execution, cmd: str, saltenv: str, prefix: str = "") -> list[str]:
    """What the master lists, `_file_list` and its like, of the names that a file can have."""
    found = minion.ask({"cmd": cmd, "saltenv": saltenv, "prefix": prefix})
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _chunk_of(answer: Any) -> bytes:
    """The bytes in a reply to `_serve_file`, none at the end; PayloadError if it is no such reply."""
    if not isinstance(answer, dict):
        raise PayloadError("the master's reply is no part of a file")
    data = as_bytes(answer.get("data"))
    if not answer.get("gzip") or not data:
        return data
    try:
        unzip = zlib.decompressobj(31)
        data = unzip.decompress(data, MAX_CHUNK)
    except zlib.error as error:
        raise PayloadError(f"the master's reply is not gzip ({error})") from None
    if not unzip.eof:
        raise PayloadError("the master's reply is cut, or far too long")
    return data


def _receive(minion: Execution, fd: int, path: str, saltenv: str, gzip: Any) -> None:
    """Append to a part what it lacks of the file."""
    load = {"cmd": "_serve_file", "path": path, "saltenv": saltenv} | ({"gzip": int(gzip)} if gzip else {})
    loc = os.lseek(fd, 0, os.SEEK_END)
    while data := _chunk_of(minion.ask(load | {"loc": loc})):
        write_all(fd, data)
        loc += len(data)


def _fetch(minion: Execution, path: str, saltenv: str, dest: str = "", gzip: Any = None) -> str:
    """Bring a file of the master's to `dest`, or into the cache; gives where it is, "" if the master has none."""
    place = _cached(minion, path, saltenv)
    with _in_a_sentence(f"salt://{path} cannot be brought to {dest or place}"):
        for _ in range(3):  # it may change while it comes
            said = minion.ask({"cmd": "_file_hash", "path": path, "saltenv": saltenv})
            if not isinstance(said, dict) or not said.get("hsum"):
                return ""
            kind, wanted = str(said.get("hash_type", "sha256")), said["hsum"]
            if dest and _file_hash(dest, kind) == wanted:
                return dest
            if _file_hash(place, kind) == wanted:
                return _put_copy(place, dest) if dest else str(place)
            with _open_part(minion, f"{saltenv}\0{path}") as (fd, part):
                _receive(minion, fd, path, saltenv, gzip)
                if _file_hash(part, kind) == wanted:
                    return _settle(minion, part, place, dest)
                os.ftruncate(fd, 0)
    raise CommandExecutionError(f"salt://{path} came three times with another hash than the master says.")


def _download(url: str, verify: bool = True) -> Iterator[bytes]:
    """What is at an http or https address, in pieces; `verify`: certificates are. No redirection leaves https, or
    these two."""
    import http.client
    import ssl
    import urllib.parse
    import urllib.request

    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    shown = parts._replace(netloc=host).geturl()

    class Redirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req: Any, *args: Any) -> Any:
            new = super().redirect_request(req, *args)
            if new and new.type not in ("https", req.type):
                raise CommandExecutionError(f"{shown} leads from {req.type} to {new.type}, which is not followed.")
            return new

    request = urllib.request.Request(shown)
    if at:
        request.add_unredirected_header(
            "Authorization", "Basic " + base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        )
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(Redirects, urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=60) as response:
            left = int(response.headers.get("Content-Length") or -1)
            while chunk := response.read(1 << 18):
                left -= len(chunk)
                yield chunk
            if left > 0:
                raise CommandExecutionError(f"{shown} broke off, {left} bytes before its end.")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CommandExecutionError(f"{shown} cannot be downloaded: {getattr(error, 'reason', error)}.") from None


def _fetch_url(minion: Execution, url: str, place: Path, dest: str, source_hash: str | None, verify: bool) -> str:
    """Bring what is at an http or https address to `dest` or `place`; gives where it is."""
    wanted = str(source_hash or "").rpartition("=")[2].lower()
    if wanted and len(wanted) not in HASHES:
        raise CommandExecutionError("source_hash must be a hash in hexadecimal digits, `sha256=…` say.")
    if wanted and _file_hash(dest or place, HASHES[len(wanted)]) == wanted:
        return dest or str(place)
    with _in_a_sentence(f"{dest or place} cannot be written"), _open_part(minion, url) as (fd, part):
        os.ftruncate(fd, 0)
        for chunk in _download(url, verify):
            write_all(fd, chunk)
        if wanted and _file_hash(part, HASHES[len(wanted)]) != wanted:
            part.unlink()
            raise CommandExecutionError("What was downloaded does not have the hash in source_hash, and is not kept.")
        return _settle(minion, part, place, dest)


def _cached_url(minion: Execution, url: str, saltenv: str | None) -> Path:
    """Where what is at an http or https address is kept, as Salt keeps it: without user and password."""
    import urllib.parse

    parts = urllib.parse.urlsplit(url)
    host, name = parts.netloc.rpartition("@")[2].replace(":", ""), parts.path.lstrip("/") or "index.html"
    name += f"-{parts.query}" if parts.query else ""
    return _cached(minion, f"{host}/{name}", _environment(minion, saltenv), "extrn_files")


def _kept(minion: Execution, chunks: Iterable[bytes]) -> Any:
    """The chunks as one text or bytes; CommandExecutionError if they are more than a return may be."""
    data = b""
    for chunk in chunks:
        data += chunk
        if len(data) > minion.opts["max_return_size"]:
            raise CommandExecutionError(f"It is larger than max_return_size ({minion.opts['max_return_size']} bytes).")
    return as_text(data)


def _content(minion: Execution, path: str) -> Any:
    """What is in a file, as text if it is UTF-8."""
    with _in_a_sentence(f"{path} cannot be read"), open(path, "rb") as file:
        return _kept(minion, iter(lambda: file.read(1 << 18), b""))


def _get_url(
    minion: Execution,
    path: str,
    dest: str | None,
    saltenv: str | None,
    makedirs: Any,
    source_hash: Any,
    verify: bool = True,
) -> Any:
    """A file at any address: where it is now, or what is in it if `dest` is None; "" or False if there is none."""
    scheme, colon, rest = str(path).partition("://")
    if not colon or scheme == "file":
        local = rest if colon else scheme
        if not os.path.isabs(local):
            raise CommandExecutionError(f"Path {local!r} is not absolute")
        return _content(minion, local) if dest is None else local
    if scheme not in ("salt", "http", "https"):
        raise CommandExecutionError(f"{scheme[:20]}:// is not supported: salt://, https://, http:// and file:// are.")
    if scheme == "salt":
        name, env = _source_of(minion, path, saltenv)
        if (target := _destination(dest or "", name.rpartition("/")[2], makedirs)) is None:
            return False
        found = _fetch(minion, name, env, target)
        return _content(minion, found) if found and dest is None else found or False
    if dest is None:
        return _kept(minion, _download(path))
    if (target := _destination(dest, path.rpartition("/")[2] or "index.html", makedirs)) is None:
        return ""
    return _fetch_url(minion, path, _cached_url(minion, path, saltenv), target, source_hash, verify)


def _asked(minion: Execution, load: dict[str, Any]) -> dict[str, Any]:
    """What the master answers to `_offered` or `_sent`; one that is away, or has no room, is asked again for some time.
    CommandExecutionError where it refuses."""
    pause, until = 1.0, time.monotonic() + PATIENCE
    while True:
        try:
            answer = minion.ask(load | {"jid": minion.jid})
        except CommandExecutionError:
            if minion.local or time.monotonic() > until:
                raise
            answer = ""
        if isinstance(answer, dict):
            if "why" in answer or not answer:
                raise CommandExecutionError(str(answer.get("why", "This master knows no such transfer.")))
            return answer
        if time.monotonic() > until:
            raise CommandExecutionError(f"The master could not answer {load['cmd']} for {PATIENCE:.0f} s.")
        time.sleep(pause)
        pause = min(2 * pause, 30.0)


@contextlib.contextmanager
def _offered(minion: Execution, offer: str, name: str, wanted: str) -> Iterator[Path]:
    """A file of an offer, whole, which has the SHA-256 `wanted`, as long as the block lasts, or after an error for the
    next transfer: by its hash, so from whatever offer it comes."""
    with _open_part(minion, f"offer\0{wanted}") as (fd, part):
        for again in (True, False):
            loc = os.lseek(fd, 0, os.SEEK_END)
            load = {"cmd": "_offered", "name": offer, "file": name}
            while data := as_bytes(_asked(minion, load | {"loc": loc})["data"]):
                write_all(fd, data)
                loc += len(data)
            if _file_hash(part) == wanted:
                yield part
                part.unlink()
                return
            os.ftruncate(fd, 0)  # what was there already was not it
            if not again:
                raise CommandExecutionError("what came is not what the master's list says")


def _offer_entries(minion: Execution, offer: str, wanted: str) -> list[dict[str, Any]]:
    """The list of an offer: {path, mode, hash and size of a file, file: its name in the offer}."""
    with _offered(minion, offer, "manifest", wanted) as part:
        if part.stat().st_size > MAX_MANIFEST:
            raise CommandExecutionError(f"The list of files has more than {MAX_MANIFEST} bytes.")
        return [from_json(line) for line in part.read_bytes().splitlines()]


def _bring(minion: Execution, offer: str, entry: Mapping[str, Any], place: str) -> bool:
    """Have a file of an offer, or a directory, at its place; whether that is a new directory."""
    make_parents(Path(place))
    if "hash" not in entry:
        new = not os.path.isdir(place)
        os.makedirs(place, exist_ok=True)
        return new
    mode = int(entry["mode"]) & MODES
    if not os.path.islink(place) and _file_hash(place) == entry["hash"]:
        os.chmod(place, mode)
    else:
        with _offered(minion, offer, str(entry["file"]), entry["hash"]) as part:
            _put_copy(part, place, mode)
    return False


def _tree(path: str) -> Iterator[tuple[str, str]]:
    """(path, its name beside its like) of a file, or of a directory and all in it; links in it are not followed."""
    above = len(os.path.dirname(path.rstrip("/")).rstrip("/")) + 1
    yield path, path[above:].strip("/") or "root"
    for directory, inner, names in os.walk(path):
        for name in sorted(inner + names):
            each = os.path.join(directory, name)
            yield each, each[above:].strip("/")


def _parts(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        yield from iter(lambda: file.read(PART), b"")


def _send(minion: Execution, offer: str, name: str, parts: Iterable[bytes]) -> dict[str, Any]:
    """Give the master the content of a file: its {size, hash}."""
    digest, loc, load = hashlib.sha256(), 0, {"cmd": "_sent", "name": offer, "file": name}
    for data in itertools.chain([b""], parts):  # a file may be empty
        size = _asked(minion, load | {"loc": loc, "data": data}).get("size")
        digest.update(data)
        loc += len(data)
        if size != loc:
            raise CommandExecutionError(f"The master has {size} bytes, and was sent {loc}.")
    return {"size": loc, "hash": digest.hexdigest()}


def _send_one(minion: Execution, offer: str, path: str, entry: dict[str, Any], info: os.stat_result) -> bool:
    """Complete the entry of a list, with what a file holds once it is sent; whether it is file or directory at all."""
    entry["mode"] = stat.S_IMODE(info.st_mode) & MODES
    if stat.S_ISREG(info.st_mode):
        entry |= _send(minion, offer, entry["file"], _parts(path))
    return "hash" in entry or stat.S_ISDIR(info.st_mode)


def _filled(text: str, template: Any, facts: Mapping[str, Any], what: str) -> str:
    """A Jinja template with its values filled in; CommandExecutionError says what is wrong with `what`."""
    if template != "jinja":
        raise CommandExecutionError(f"template={template!r} is not supported: jinja is.")
    import jinja2.sandbox

    opts = facts["opts"]
    environment = jinja2.sandbox.SandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"],
        keep_trailing_newline=True,
        trim_blocks=bool(opts.get("jinja_trim_blocks")),
        lstrip_blocks=bool(opts.get("jinja_lstrip_blocks")),
    )
    try:
        return environment.from_string(text).render(facts)
    except CommandExecutionError:
        raise
    except Exception as error:  # whatever the functions that a template calls may raise
        line = f" line {error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise CommandExecutionError(f"The template in {what}{line} cannot be filled in: {error}.") from None


def _facts(minion: Execution, saltenv: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """What a template may use."""
    facts = {"salt": minion.functions, "opts": minion.all_opts, "grains": minion.grains, "pillar": minion.pillar}
    return facts | {"saltenv": saltenv, **own_kwargs(more)}


def _named(minion: Execution, text: str, template: Any, saltenv: str | None, more: Mapping[str, Any]) -> str:
    """A path, which may be a template, for which there may be `more` keywords."""
    if template:
        return _filled(str(text), template, _facts(minion, _environment(minion, saltenv), more), str(text))
    if unknown := ", ".join(own_kwargs(more)):
        raise CommandExecutionError(f"There is no keyword {unknown}; only with template=jinja there may be others.")
    return text


@with_minion
def cache_dir(minion: Execution, path, saltenv=None, include_empty=False, include_pat=None, exclude_pat=None):
    """Bring all files of a directory of the master's into the cache; a pattern is a glob, or E@ and an expression.

    CLI Example: salt '*' cp.cache_dir salt://path/to/dir include_pat='E@[.]py$'"""
    top, env = _source_of(minion, path, saltenv)
    top = top.rstrip("/") + "/" if top else ""

    def chosen(name: str) -> bool:
        def meets(pattern: str) -> bool:
            return bool(re.search(pattern[2:], name) if pattern.startswith("E@") else fnmatch.fnmatch(name, pattern))

        return (not include_pat or meets(include_pat)) and not (exclude_pat and meets(exclude_pat))

    names = [name for name in _listed(minion, "_file_list", env, top.rstrip("/")) if name.startswith(top)]
    found = [place for name in names if chosen(name) and (place := _fetch(minion, name, env))]
    if include_empty:
        empty = [n for n in _listed(minion, "_file_list_emptydirs", env, top.rstrip("/")) if n.startswith(top)]
        for directory in (_cached(minion, name, env) for name in empty):
            _clear_way(directory / "file", minion.tree.cache)
            found.append(str(directory))
    return found


@with_minion
def cache_dest(minion: Execution, url, saltenv=None):
    """Where a file would be in the cache.

    CLI Example: salt '*' cp.cache_dest salt://path/to/file"""
    address = str(url)
    if address.startswith(("http://", "https://")):
        return str(_cached_url(minion, address, saltenv))
    if address.startswith("/"):
        return address
    return str(_cached(minion, *_source_of(minion, address, saltenv)))


@with_minion
def cache_file(minion: Execution, path, saltenv=None, source_hash=None, verify_ssl=True, use_etag=False):
    """Bring one file into the cache; gives where it is, False if there is none. With verify_ssl=False any certificate
    will do; no file is taken for another because of its etag.

    CLI Example: salt '*' cp.cache_file salt://path/to/file"""
    return _get_url(minion, path, "", saltenv, True, source_hash, bool(verify_ssl))


@with_minion
def cache_files(minion: Execution, paths, saltenv=None):
    """Bring files into the cache, a list or separated by commas; gives where they are.

    CLI Example: salt '*' cp.cache_files salt://path/to/one,salt://path/to/other"""
    return [cache_file(minion, path, saltenv) for path in (paths.split(",") if isinstance(paths, str) else paths)]


@with_minion
def cache_local_file(minion: Execution, path):
    """Copy a file of this machine into the cache; gives where it is, "" if there is none.

    CLI Example: salt '*' cp.cache_local_file /etc/hosts"""
    if not os.path.isfile(path):
        return ""
    place = _local(minion, path)
    with _in_a_sentence(f"{path} cannot be copied to {place}"):
        _clear_way(place, minion.tree.cache)
        return _put_copy(Path(path), str(place))


@with_minion
def cache_master(minion: Execution, saltenv=None):
    """Bring all files of the master's into the cache; gives where they are.

    CLI Example: salt '*' cp.cache_master"""
    env = _environment(minion, saltenv)
    return [_fetch(minion, name, env) for name in list_master(minion, env)]


@with_minion
def envs(minion: Execution):
    """The environments that the master has.

    CLI Example: salt '*' cp.envs"""
    return minion.ask({"cmd": "_file_envs"})


@with_minion
def get_dir(minion: Execution, path, dest, saltenv=None, template=None, gzip=None, **kwargs):
    """Copy a directory of the master's, with all below it, into the directory `dest`. With template=jinja both names
    are templates.

    CLI Example: salt '*' cp.get_dir salt://path/to/dir/ /minion/dest"""
    path, dest = (_named(minion, text, template, saltenv, kwargs) for text in (path, dest))
    top, env = _source_of(minion, path, saltenv)
    top = top.rstrip("/")
    above = len(top.rpartition("/")[0])
    found = []
    for cmd in ("_file_list", "_file_list_emptydirs"):
        for name in _listed(minion, cmd, env, top):
            if not top or name.startswith(f"{top}/"):
                place = str(below(Path(dest), name[above:].lstrip("/")))
                if cmd == "_file_list":
                    place = _fetch(minion, name, env, _destination(place, "", True) or place, gzip)
                else:
                    _destination(f"{place}/", "", True)
                found.append(place)
    return sorted(filter(None, found))


@with_minion
def get_file(minion: Execution, path, dest, saltenv=None, makedirs=False, template=None, gzip=None, **kwargs):
    """Copy a file of the master's; gives where it is. Where there is none, or no directory for it, a job says so and
    fails; other modules get "" and False, as from Salt. With template=jinja both names are templates.

    CLI Example: salt '*' cp.get_file salt://path/to/file /minion/dest"""
    path, dest = (_named(minion, text, template, saltenv, kwargs) for text in (path, dest))
    name, env = _source_of(minion, path, saltenv)
    asked = minion.load.get("fun") == "cp.get_file"  # by a person, and not by another module
    if (target := _destination(dest or "", name.rpartition("/")[2], makedirs)) is None:
        if asked:
            raise CommandExecutionError(f"The directory of {dest} is not there; makedirs=True makes it.")
        return False
    found = _fetch(minion, name, env, target, gzip)
    if asked and not found:
        raise CommandExecutionError(f"There is no salt://{name} in the environment {env}.")
    return found


@with_minion
def get_file_str(minion: Execution, path, saltenv=None):
    """What is in a file of the master's, or at another address; False if there is none.

    CLI Example: salt '*' cp.get_file_str salt://path/to/file"""
    place = cache_file(minion, path, saltenv)
    return _content(minion, place) if place else False


@with_minion
def get_template(minion: Execution, path, dest, template="jinja", saltenv=None, makedirs=False, **kwargs):
    """Fill in a template of the master's and put the text at `dest`, or with "" into the cache; gives where it is, ""
    if there is no such file or directory. More keywords are values for the template.

    CLI Example: salt '*' cp.get_template salt://path/to/template /minion/dest"""
    source, env = cache_file(minion, path, saltenv), _environment(minion, saltenv)
    name = str(path).partition("://")[2].partition("?")[0]
    target = _destination(dest or "", name.rpartition("/")[2], makedirs)
    if not source or target is None:
        return ""
    with _in_a_sentence(f"{path} cannot be filled in"):
        text = _filled(Path(source).read_text("utf-8"), template, _facts(minion, env, kwargs), str(path))
        place = _cached(minion, name, env, "extrn_files")
        _clear_way(place, minion.tree.cache)
        put(place, text, 0o600)
        if not target:
            return str(place)
        _put_copy(place, target)
        place.unlink()
    return target


@with_minion
def get_url(minion: Execution, path, dest="", saltenv=None, makedirs=False, source_hash=None):
    """Bring a file at salt://, https://, http:// to `dest`, or into the cache; gives where it is. With None as `dest`
    it gives what is in it. What comes by http must have source_hash, if there is one.

    CLI Example: salt '*' cp.get_url https://example.com/index.html /tmp/index.html"""
    return _get_url(minion, path, dest, saltenv, makedirs, source_hash)


@with_minion
def hash_file(minion: Execution, path, saltenv=None):
    """The hash of a file of the master's, or of one here: hsum and hash_type.

    CLI Example: salt '*' cp.hash_file salt://path/to/file"""
    if not str(path).startswith("salt://"):
        return {"hsum": _file_hash(path), "hash_type": "sha256"} if os.path.isfile(path) else [{}, None]
    name, env = _source_of(minion, path, saltenv)
    return minion.ask({"cmd": "_file_hash", "path": name, "saltenv": env})


@with_minion
def is_cached(minion: Execution, path, saltenv=None):
    """Where a file of the master's, or one from a web server, is in the cache, "" if it is not.

    CLI Example: salt '*' cp.is_cached salt://path/to/file"""
    if str(path).startswith(("http://", "https://")):
        place = _cached_url(minion, path, saltenv)
    elif str(path).startswith("/"):
        place = _local(minion, path)
    else:
        place = _cached(minion, *_source_of(minion, path, saltenv))
    return str(place) if place.exists() else ""


@with_minion
def list_master(minion: Execution, saltenv=None, prefix=""):
    """The files that the master has.

    CLI Example: salt '*' cp.list_master"""
    return _listed(minion, "_file_list", _environment(minion, saltenv), prefix)


@with_minion
def list_master_dirs(minion: Execution, saltenv=None, prefix=""):
    """The directories that the master has.

    CLI Example: salt '*' cp.list_master_dirs"""
    return _listed(minion, "_dir_list", _environment(minion, saltenv), prefix)


@with_minion
def list_master_symlinks(minion: Execution, saltenv=None, prefix=""):
    """The symlinks that the master has, with what they lead to.

    CLI Example: salt '*' cp.list_master_symlinks"""
    return minion.ask({"cmd": "_symlink_list", "saltenv": _environment(minion, saltenv), "prefix": prefix})


@with_minion
def list_minion(minion: Execution, saltenv=None):
    """The files of an environment that are in the cache.

    CLI Example: salt '*' cp.list_minion"""
    home = below(minion.tree.cache / "files", _environment(minion, saltenv))
    return sorted(str(path) for path in home.rglob("*") if path.is_file())


@with_minion
def list_states(minion: Execution, saltenv=None):
    """The state files that the master has, as state.apply takes their names.

    CLI Example: salt '*' cp.list_states"""
    found = [name[:-4] for name in list_master(minion, saltenv) if name.endswith(".sls")]
    return sorted({name.removesuffix("/init").replace("/", ".") for name in found})


def recv(files, dest):
    """Write small texts, {name: text}; what `salt-cp` of a real master sends without -C. Gives {path: whether it is
    there}.

    CLI Example: salt '*' cp.recv '{motd: welcome}' /etc/motd"""
    found = {}
    for name, text in files.items():
        inside, base = os.path.isdir(dest), os.path.basename(name)
        if not inside and not os.path.isdir(os.path.dirname(dest)):
            return "Destination unavailable"
        path = os.path.join(dest, base) if inside else dest
        try:
            fd = os.open(_behind(path)[0], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            with open(fd, "wb") as file:
                file.write(text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogateescape"))
            found[path] = True
        except (OSError, CommandExecutionError):
            found[path] = False
    return found


@with_minion
def recv_chunked(minion: Execution, dest, chunk, append=False, compressed=True, mode=None):
    """Write one part of a file, base64 and then gzip, or with None make a directory; what `salt-cp -C` of a real master
    sends. True, or what went wrong.

    CLI Example: salt '*' cp.recv_chunked /etc/motd H4sIAAAAAAAAA… # by salt-cp"""
    try:
        if chunk is None:
            os.makedirs(dest, exist_ok=True)
            return True
        data = base64.b64decode(chunk)
        data = _chunk_of({"data": data, "gzip": True}) if compressed and data else data
        os.makedirs(os.path.dirname(dest) or ".", exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_APPEND if append else os.O_TRUNC)
        fd = os.open(_behind(dest)[0], flags, 0o666 if mode is None else 0o600)
        try:
            if mode is not None and not append:
                os.fchmod(fd, int(mode) & MODES)
            write_all(fd, data)
        finally:
            os.close(fd)
        return True
    except (OSError, PayloadError, CommandExecutionError, binascii.Error, TypeError, ValueError) as error:
        minion.context["retcode"] = 1
        return f"{dest}: {getattr(error, 'strerror', None) or error}"


@with_minion
def recv_files(minion: Execution, offer, wanted, dest, into=True):
    """Bring what a `cp` of the master's offers, a list with this SHA-256, to `dest`: into this directory or, with
    into=False and if it is none, as this file. Gives {dest, inside: whether it was that, files, bytes, failed: {path:
    why}}.

    CLI Example: salt '*' cp.recv_files HASH /etc/motd # published by `saltlite cp '*' motd /etc/motd`"""
    if not os.path.isabs(str(dest)):
        raise CommandExecutionError(f"The destination must be an absolute path, and is {str(dest)[:200]!r}.")
    inside = into or str(dest).endswith("/") or os.path.isdir(dest)
    made, failed, files, size = list[tuple[str, int]](), dict[str, str](), 0, 0
    for entry in _offer_entries(minion, offer, wanted):
        place = str(below(Path(dest), entry["path"])) if inside else dest
        try:
            if _bring(minion, offer, entry, place):
                made.append((place, int(entry["mode"]) & MODES))
            files, size = files + ("hash" in entry), size + entry.get("size", 0)
        except (OSError, CommandExecutionError) as error:
            if len(failed) < MAX_TOLD:
                failed[place] = str(getattr(error, "strerror", None) or error)
            minion.context["retcode"] = 1
    for place, mode in reversed(made):  # a directory that may not be written to is closed when all is in it
        with contextlib.suppress(OSError):
            os.chmod(place, mode)
    return {"dest": dest, "inside": inside, "files": files, "bytes": size, "failed": failed}


@with_minion
def send_files(minion: Execution, offer, paths, max_bytes, max_files):
    """Send files and directories to the `cp --from` of the master's that asks for them; a path may be a glob. Gives
    {files, bytes, hash: of the list that was sent last, left_out: what is neither file nor directory}.

    CLI Example: salt '*' cp.send_files TOKEN /var/log/messages # published by `saltlite cp --from '*' …`"""
    entries, left_out, size = list[dict[str, Any]](), list[str](), 0
    for path in paths:
        found = sorted(glob.glob(path)) if glob.has_magic(path) and not os.path.lexists(path) else [path]
        if not os.path.isabs(path) or not found:
            raise CommandExecutionError(f"{path} is relative." if found else f"{path}: no file has such a name.")
        for each, name in (pair for one in found for pair in _tree(one)):
            entry: dict[str, Any] = {"path": name, "file": str(len(entries))}
            with _in_a_sentence(f"{each} cannot be sent"):
                info = os.stat(each) if each in found else os.lstat(each)
                size += info.st_size if stat.S_ISREG(info.st_mode) else 0
                if len(entries) >= max_files or size > max_bytes:
                    limit = f"{max_files} files (--max-files) or {max_bytes} bytes (--max-size)"
                    raise CommandExecutionError(f"There is more than {limit}, from {each} on.")
                if _send_one(minion, offer, each, entry, info):
                    entries.append(entry)
                else:
                    left_out.append(each)
    text = "".join(to_json(entry) + "\n" for entry in entries).encode()
    wanted = _send(minion, offer, "manifest", (text[at : at + PART] for at in range(0, len(text), PART)))["hash"]
    files = sum("hash" in entry for entry in entries)
    return {"files": files, "bytes": size, "hash": wanted, "left_out": left_out[:MAX_TOLD]}


@with_minion
def stat_file(minion: Execution, path, saltenv=None, octal=True):
    """The mode of a file of the master's, or of one here, in octal; None if there is none.

    CLI Example: salt '*' cp.stat_file salt://path/to/file"""
    if str(path).startswith("salt://"):
        name, env = _source_of(minion, path, saltenv)
        found = minion.ask({"cmd": "_file_find", "path": name, "saltenv": env})
        info = found.get("stat") if isinstance(found, dict) else None
    else:
        info = os.stat(path) if os.path.exists(path) else None
    return None if not info else oct(info[0])[-4:] if octal is True else info[0]
