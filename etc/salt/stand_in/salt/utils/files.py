"""Files, by the names of Salt 3008's salt.utils.files, as they are on Linux."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import errno
import fcntl
import io
import logging
import os
import re
import shutil
import stat
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import salt.utils.path
import salt.utils.stringutils
from salt.exceptions import CommandExecutionError, FileLockError, MinionError

HAS_FCNTL = True
LOCAL_PROTOS = ("", "file")
REMOTE_PROTOS = ("http", "https", "ftp", "swift", "s3")
VALID_PROTOS = ("salt", "file", *REMOTE_PROTOS)
TEMPFILE_PREFIX = "__salt.tmp."
HASHES = {"sha512": 128, "sha384": 96, "sha256": 64, "sha224": 56, "sha1": 40, "md5": 32}
HASHES_REVMAP = {length: name for name, length in HASHES.items()}
TARS = ("tar", "tar.gz", "tgz", "tar.bz2", "tbz2", "tbz", "tar.xz", "txz", "tar.lzma", "tlz")
STANDARD = (0, 1, 2)  # descriptors that no module opens
NO_NAME = '[\\\\:/*?"<>|]'  # what a file's name may have on no system
HEAD = 2048  # bytes of a file that say what it is
BOMS = {
    "UTF-32-BE": codecs.BOM_UTF32_BE,
    "UTF-32-LE": codecs.BOM_UTF32_LE,
    "UTF-16-BE": codecs.BOM_UTF16_BE,
    "UTF-16-LE": codecs.BOM_UTF16_LE,
    "UTF-8": codecs.BOM_UTF8,
}
UTF7 = re.compile(rb"\+/v[89+/]")

log = logging.getLogger(__name__)
_umask_lock = threading.RLock()  # the umask is the process's


def guess_archive_type(name: str) -> str | None:
    """tar, zip or rar, as a file's name says; None for another one."""
    kinds = {**dict.fromkeys(TARS, "tar"), "zip": "zip", "rar": "rar"}
    return next((kind for ending, kind in kinds.items() if name.lower().endswith(f".{ending}")), None)


def mkstemp(*args: Any, **kwargs: Any) -> Any:
    """The path of a new file in the temporary directory; with close_fd=False its descriptor, still open, and the
    path."""
    closed = kwargs.pop("close_fd", True)
    handle, path = tempfile.mkstemp(*args, **{"prefix": TEMPFILE_PREFIX, **kwargs})
    if closed is False:
        return handle, path
    os.close(handle)
    return path


def recursive_copy(source: str, dest: str) -> None:
    """Copy what is in a directory into another one; what is there only stays."""
    for directory, _, names in salt.utils.path.os_walk(source):
        place = os.path.join(dest, os.path.relpath(directory, source)) if directory != source else dest
        os.makedirs(place, exist_ok=True)
        for name in names:
            shutil.copyfile(os.path.join(directory, name), os.path.join(place, name))


def copyfile(source: str, dest: str, backup_mode: str = "", cachedir: str = "") -> None:
    """Put a copy in the place of a file, by rename; that one's owner and mode stay. With backup_mode minion or both
    the old file is kept below `cachedir`."""
    for path, there in ((source, os.path.isfile(source)), (dest, os.path.isdir(os.path.dirname(dest)))):
        if not there:
            raise OSError(f"[Errno 2] No such file or directory: {path}")
    beside = mkstemp(prefix=os.path.basename(dest), dir=os.path.dirname(os.path.abspath(dest)))
    try:
        shutil.copyfile(source, beside)
        kept = os.path.join(cachedir, "file_backup") if cachedir else ""
        if (backup_mode == "minion" or backup_mode == "both" and kept) and os.path.exists(dest):
            backup_minion(dest, kept)
        try:
            before = os.stat(dest)
        except OSError:
            before = None
        shutil.move(beside, dest)
    finally:
        remove(beside)
    if before:
        os.chown(dest, before.st_uid, before.st_gid)
        os.chmod(dest, stat.S_IMODE(before.st_mode))
    enforce = Path("/sys/fs/selinux/enforce")
    if enforce.exists() and enforce.read_text().strip() == "1" and (restorecon := salt.utils.path.which("restorecon")):
        subprocess.run([restorecon, dest], capture_output=True)


def rename(src: str, dst: str) -> None:
    """os.rename, which replaces a file that is there."""
    try:
        os.rename(src, dst)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        try:
            remove(dst)
        except OSError as why:
            raise MinionError(f"Error: Unable to remove {dst}: {why.strerror}") from None
        os.rename(src, dst)


def process_read_exception(exc: OSError, path: str, ignore: Any = None) -> None:
    """The sentence of an error of reading, as a CommandExecutionError, unless its number is to be ignored."""
    if exc.errno in ((ignore,) if isinstance(ignore, int) else ignore or ()):
        return
    sentences = {errno.ENOENT: f"{path} does not exist", errno.EACCES: f"Permission denied reading from {path}"}
    other = f"Error {exc.errno} encountered reading from {path}: {exc.strerror}"
    raise CommandExecutionError(sentences.get(exc.errno or 0, other))


class _Lock:
    """A file whose being there locks another one."""

    def __init__(self, path: Any, lock_fn: str | None, timeout: float, time_start: float | None) -> None:
        if not isinstance(path, str):
            raise FileLockError("path must be a string")
        self.file, self.timeout = lock_fn or f"{path}.w", timeout
        self.start = time.time() if time_start is None else time_start
        try:
            if not stat.S_ISREG(os.stat(self.file).st_mode):
                raise self.error(f"lock_fn {self.file} exists and is not a file")
        except FileNotFoundError:
            pass
        except OSError as why:
            sentence = f"Error {why.errno} encountered checking file lock {self.file}: {why.strerror}"
            raise self.error(sentence) from None

    def error(self, sentence: str) -> FileLockError:
        return FileLockError(sentence, time_start=self.start)

    def taken(self) -> bool:
        """Whether it is ours now; FileLockError when the time is over, or it cannot be made."""
        if time.time() - self.start >= self.timeout:
            sentence = f"Timeout of {self.timeout} seconds exceeded waiting for lock_fn {self.file} to be released"
            raise self.error(sentence)
        try:
            os.close(os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        except OSError as why:
            sentence = f"Error {why.errno} encountered obtaining file lock {self.file}: {why.strerror}"
            raise self.error(sentence) from None
        return True

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        try:
            yield
        except FileLockError:
            raise
        except Exception as why:
            raise self.error(f"Error encountered obtaining file lock {self.file}: {why}") from why
        finally:
            os.remove(self.file)


@contextlib.contextmanager
def wait_lock(
    path: Any, lock_fn: str | None = None, timeout: float = 5, sleep: float = 0.1, time_start: float | None = None
) -> Iterator[None]:
    """Hold `path.w` as a lock, for which others wait; FileLockError, also for what goes wrong meanwhile."""
    lock = _Lock(path, lock_fn, timeout, time_start)
    while not lock.taken():
        time.sleep(sleep)
    with lock.held():
        yield


@asynccontextmanager
async def await_lock(
    path: Any, lock_fn: str | None = None, timeout: float = 5, sleep: float = 0.1, time_start: float | None = None
) -> AsyncIterator[None]:
    """wait_lock, in a loop."""
    lock = _Lock(path, lock_fn, timeout, time_start)
    while not lock.taken():
        await asyncio.sleep(sleep)
    with lock.held():
        yield


def get_umask() -> int:
    with _umask_lock:
        mask = os.umask(0)
        os.umask(mask)
    return mask


@contextlib.contextmanager
def set_umask(mask: int | None) -> Iterator[None]:
    """Another umask as long as the block runs; None changes nothing."""
    if mask is None:
        yield
        return
    with _umask_lock:
        before = os.umask(mask)
        try:
            yield
        finally:
            os.umask(before)


def _binary(mode: str) -> str:
    return mode if "b" in mode else f"{mode.replace('t', '')}b"


def fopen(*args: Any, **kwargs: Any) -> Any:
    """open: a text is UTF-8, and its line ends stay as they are; `binary`: not as a text."""
    if args and args[0] in STANDARD:
        raise TypeError(f"{args[0]} is not a permitted file descriptor")
    given = list(args)
    if kwargs.pop("binary", None):
        if len(given) > 1:
            given[1] = _binary(given[1])
        else:
            kwargs["mode"] = _binary(kwargs.get("mode") or "r")
    mode = given[1] if len(given) > 1 else kwargs.get("mode") or "r"
    if "b" not in mode:
        kwargs.setdefault("encoding", "utf-8")
        kwargs["newline"] = kwargs.get("newline") or ""
    elif kwargs.get("buffering") == 1:
        kwargs["buffering"] = io.DEFAULT_BUFFER_SIZE
    return open(*given, **kwargs)  # noqa: SIM115 - whoever called it closes it


@contextlib.contextmanager
def flopen(filename: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
    """fopen, with a lock: to write one alone, to read many."""
    with fopen(filename, *args, **kwargs) as file:
        writes = bool(args) and any(letter in args[0] for letter in "wa")
        fcntl.flock(file.fileno(), fcntl.LOCK_EX if writes else fcntl.LOCK_SH)
        try:
            yield file
        finally:
            fcntl.flock(file.fileno(), fcntl.LOCK_UN)


@contextlib.contextmanager
def fpopen(*args: Any, **kwargs: Any) -> Iterator[Any]:
    """fopen, with `uid`, `gid` (None or -1: as they are) and `mode`, a number, for the file."""
    uid, gid = (-1 if kwargs.get(name) is None else kwargs[name] for name in ("uid", "gid"))
    mode = kwargs.pop("mode", None)
    for name in ("uid", "gid"):
        kwargs.pop(name, None)
    with fopen(*args, **kwargs) as file:
        if (uid, gid) != (-1, -1):
            os.chown(args[0], uid, gid)
        if mode is not None:
            os.chmod(args[0], mode)
        yield file


def safe_walk(
    top: str, topdown: bool = True, onerror: Any = None, followlinks: bool = True, _seen: Any = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """os.walk through links, which goes into no directory twice."""
    seen = set() if _seen is None else _seen
    try:
        names = os.listdir(top)
    except OSError as error:
        if onerror is not None:
            onerror(error)
        return
    if followlinks:
        info = os.stat(top)
        if (info.st_dev, info.st_ino) in seen:
            return
        seen.add((info.st_dev, info.st_ino))
    directories = [name for name in names if os.path.isdir(os.path.join(top, name))]
    files = [name for name in names if name not in set(directories)]
    if topdown:
        yield top, directories, files
    for path in (os.path.join(top, name) for name in directories):
        if followlinks or not os.path.islink(path):
            yield from safe_walk(path, topdown, onerror, followlinks, seen)
    if not topdown:
        yield top, directories, files


def safe_rm(tgt: Any) -> None:
    """Remove a file, if that can be done."""
    with contextlib.suppress(OSError):
        os.remove(tgt)


def rm_rf(path: Any) -> None:
    """Remove a file, or a directory with all that is in it."""
    if os.path.islink(path) or not os.path.isdir(path):
        os.remove(path)
    else:
        shutil.rmtree(path)


def is_empty(filename: Any) -> bool:
    """Whether a file is there and has nothing in it."""
    try:
        return os.stat(filename).st_size == 0
    except OSError:
        return False


def is_fcntl_available(check_sunos: bool = False) -> bool:
    return HAS_FCNTL


def safe_filename_leaf(file_basename: Any) -> Any:
    """A file's name, in which what names have on no system is written as in a URL."""
    return re.sub(NO_NAME, lambda found: urllib.parse.quote(found[0], safe=""), file_basename)


def safe_filepath(file_path_name: Any, dir_sep: str | None = None) -> Any:
    """A path each of whose names is safe."""
    separator = dir_sep or os.sep
    return separator.join(map(safe_filename_leaf, file_path_name.split(separator)))


def _head(path: Any) -> bytes:
    with open(path, "rb") as file:
        return file.read(HEAD)


def is_text(fp_: Any, blocksize: int = 512) -> bool:
    """Whether a file, open or by its path, looks like a text; False for what cannot be read."""
    if hasattr(fp_, "read"):
        return not salt.utils.stringutils.is_binary(fp_.read(blocksize))
    try:
        with fopen(fp_, "rb") as file:
            return not salt.utils.stringutils.is_binary(file.read(blocksize))
    except OSError:
        return False


def is_binary(path: Any) -> bool:
    """Whether a file is there and looks like no text."""
    try:
        return os.path.isfile(path) and salt.utils.stringutils.is_binary(_head(path))
    except OSError:
        return False


def remove(path: Any) -> None:
    """Remove a file; none is as well."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


def list_files(directory: str) -> list[str]:
    """A directory and all that is below it."""
    below = (os.path.join(root, name) for root, *kinds in safe_walk(directory) for names in kinds for name in names)
    return list({directory, *below})


def st_mode_to_octal(mode: Any) -> str:
    """The last four digits of a mode; nothing for what is none."""
    try:
        return oct(mode)[-4:]
    except TypeError:
        return ""


def normalize_mode(mode: Any) -> str | None:
    """A mode as four digits; a word stays one."""
    if mode is None:
        return None
    return str(mode).replace("0o", "0").strip('"').strip("'").lstrip("0").zfill(4)


def human_size_to_bytes(human_size: Any) -> int:
    """Bytes of `10` or `10M`; ValueError."""
    found = re.match(r"(\d+)([KMGTP])?$", str(human_size))
    if not found:
        raise ValueError("Size must be all digits, with an optional unit type (K, M, G, T, or P)")
    return int(found[1]) * 1024 ** (" KMGTP".index(found[2]) if found[2] else 0)


def backup_minion(path: str, bkroot: str) -> None:
    """Keep a copy of a file below a directory, under its path and the time."""
    info = os.stat(path)
    now = f"{time.time():.6f}".partition(".")[2]
    directory, name = os.path.split(path)
    stamp = f"{time.strftime('%a_%b_%d_%H:%M:%S_')}{now}_{time.strftime('%Y')}"
    place = os.path.join(bkroot, directory[1:])
    os.makedirs(place, exist_ok=True)
    kept = os.path.join(place, f"{name}_{stamp}")
    shutil.copyfile(path, kept)
    os.chown(kept, info.st_uid, info.st_gid)
    os.chmod(kept, stat.S_IMODE(info.st_mode))


def case_insensitive_filesystem(path: Any = None) -> bool:
    """Whether names that differ by their case alone are one name there."""
    with tempfile.NamedTemporaryFile(prefix="TmP", dir=path) as file:
        return os.path.exists(file.name.lower())


def get_encoding(path: Any) -> str:
    """The encoding that the first bytes of a file say; CommandExecutionError if they say none."""
    if not os.path.isfile(path):
        raise CommandExecutionError("Not a file")
    try:
        head = _head(path)
    except OSError:
        raise CommandExecutionError("Failed to open file") from None
    for name, mark in BOMS.items():
        if head.startswith(mark):
            return name
    if UTF7.match(head):
        return "UTF-7"
    try:
        head.decode()
    except UnicodeDecodeError:
        raise CommandExecutionError("Could not detect file encoding") from None
    return "UTF-8"
