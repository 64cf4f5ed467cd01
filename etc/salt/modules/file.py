"""Files and directories: reading, writing, editing, finding and removing them.

A file that is there gets its new contents whole or not at all: `_put` writes them to a file beside it, gives that the
mode, owner and extended attributes (SELinux context, ACL) of the old one, syncs it and renames it into place. A crash
leaves `.NAME.` and 8 hex digits beside it. Other modules write with `__salt__["file.write"]`. Where a function changes
something, `test=True` says what it would do."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import glob
import grp
import logging
import os
import pwd
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from salt.exceptions import CommandExecutionError, SaltInvocationError

__context__: dict[str, Any]
__salt__: Mapping[str, Any]

__func_alias__ = {"makedirs_": "makedirs"}

log = logging.getLogger(__name__)

MAX_CONTENTS = 1 << 29  # bytes of a file that is read as a whole, to give, search or edit it
MAX_LINKS = 40  # links that lead from one to the next, as the kernel counts
TEXT_BLOCK = 512  # bytes that say whether a file is text
NO_ROOM_BESIDE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EBUSY)  # then it is written in place
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_KEPT = ("security.capability", "security.evm", "security.ima")  # they vouch for what the contents were
KINDS = {
    stat.S_IFDIR: "dir", stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFREG: "file", stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket",
}  # fmt: skip
HASH_LENGTHS = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}


# How files are read and written


def _expanded(path: Any) -> str:
    return os.path.expanduser(str(path))


def _absolute(path: Any, what: str = "File path must be absolute.") -> str:
    """The path without ~; SaltInvocationError if it is relative."""
    found = _expanded(path)
    if not os.path.isabs(found):
        raise SaltInvocationError(what)
    return found


def _number(value: Any, name: str, least: int = 0) -> int:
    """A whole number; SaltInvocationError for anything else."""
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError):
        raise SaltInvocationError(f"{name} must be a whole number, not {value!r}.") from None
    if found < least:
        raise SaltInvocationError(f"{name} must be {least} or more, not {found}.")
    return found


def _failure(path: str, error: OSError) -> CommandExecutionError:
    return CommandExecutionError(f"{path}: {error.strerror or error}")


def _contents(path: str) -> bytes:
    """All of a file. CommandExecutionError if it is too large or cannot be read."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_CONTENTS + 1)
    except OSError as error:
        raise _failure(path, error) from None
    if len(data) > MAX_CONTENTS:
        raise CommandExecutionError(f"{path} is larger than {MAX_CONTENTS} bytes, too large to be read as a whole.")
    return data


def _as_text(data: bytes) -> str:
    """UTF-8, from which _as_bytes makes the same bytes again, whatever they were."""
    return data.decode("utf-8", "surrogateescape")


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _as_shown(lines: Iterable[str | bytes]) -> list[str]:
    """Lines for a return: text that every terminal and every wire takes."""
    return [(_as_bytes(line) if isinstance(line, str) else line).decode("utf-8", "replace") for line in lines]


def _split(text: str) -> list[str]:
    """The lines of a text with their ends: \\n, \\r\\n or \\r. No other letter ends one."""
    return re.findall("[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+", text)


def _decoded(line: bytes) -> str:
    """A line in whatever encoding, as Salt shows it."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _diff(old: Iterable[str | bytes], new: Iterable[str | bytes], name: str = "", other: str = "") -> str:
    """A unified diff of lines, with names if there are some."""
    import difflib

    return "".join(difflib.unified_diff(_as_shown(old), _as_shown(new), name, other))


def _is_text(data: bytes) -> bool:
    """Whether a file that begins so is text: no NUL, and UTF-8 or at most 30 % of what is no ASCII."""
    block = data[:TEXT_BLOCK]
    if b"\0" in block:
        return False
    try:
        block.decode()
    except UnicodeDecodeError:
        odd = block.translate(None, bytes(range(32, 127)) + b"\n\r\t\f\b")
        return len(odd) / len(block) <= 0.3
    return True


def _target(path: str) -> str:
    """The file that a path means: where links lead. A link that another user has put into a directory which is open to
    all is not followed, as the kernel's protected_symlinks has it; CommandExecutionError says so."""
    for _ in range(MAX_LINKS):
        try:
            info = os.lstat(path)
        except FileNotFoundError:
            return path
        except OSError as error:
            raise _failure(path, error) from None
        if not stat.S_ISLNK(info.st_mode):
            return path
        directory = os.path.dirname(path) or "."
        home = os.stat(directory)
        if home.st_mode & stat.S_IWOTH and info.st_uid not in (0, os.geteuid(), home.st_uid):
            whose = uid_to_user(info.st_uid)
            problem = f"is a link that {whose} has put into a directory which is open to all, so it is not followed"
            raise CommandExecutionError(f"{path} {problem}: name the file itself.")
        path = os.path.join(directory, os.readlink(path))
    raise CommandExecutionError(f"{path}: {os.strerror(errno.ELOOP)}")


def _write_all(fd: int, chunks: Iterable[bytes]) -> int:
    """The bytes written."""
    size = 0
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[os.write(fd, view) :]
        size += len(chunk)
    return size


def _like(fd: int, path: str, info: os.stat_result) -> bool:
    """Give an open file another's owner, mode and extended attributes; False if the owner may not be given."""
    mode, owned = stat.S_IMODE(info.st_mode), True
    if (info.st_uid, info.st_gid) != (os.fstat(fd).st_uid, os.fstat(fd).st_gid):
        try:
            os.fchown(fd, info.st_uid, info.st_gid)
        except PermissionError:
            mode, owned = mode & 0o777, False
    os.fchmod(fd, mode)
    with contextlib.suppress(OSError):  # a file system without them
        for name in os.listxattr(path):
            if name not in NOT_KEPT:
                with contextlib.suppress(OSError):  # one that only the kernel sets
                    os.setxattr(fd, name, os.getxattr(path, name))
    return owned


def _sync_directory(directory: str) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _in_place(path: str, chunks: Iterable[bytes], like: str = "") -> None:
    """Write into the file itself: one with several names, one that is mounted, one of /proc. Its room is taken before
    its first byte changes, so a full disk loses nothing."""
    data = b"".join(chunks)
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        info = os.fstat(fd)
        if stat.S_ISREG(info.st_mode) and len(data) > info.st_size:
            try:
                os.posix_fallocate(fd, 0, len(data))
            except OSError as error:
                if error.errno in NO_SPACE:
                    os.ftruncate(fd, info.st_size)
                    raise
        size = _write_all(fd, [data])
        if stat.S_ISREG(info.st_mode):
            with contextlib.suppress(OSError):  # of /proc
                os.ftruncate(fd, size)
                os.fsync(fd)
            if like:
                _like(fd, like, os.stat(like))
    finally:
        os.close(fd)


def _put(path: str, chunks: Iterable[bytes], like: str = "", keep_inode: bool = True) -> None:
    """Give a file new contents, whole or not at all; raises CommandExecutionError, and the old ones are still there.

    Links are followed (`_target`). A new file has the mode that umask leaves, or with `like` another file's mode, owner
    and attributes. A file with several names keeps its inode, unless `keep_inode` is False."""
    path = _target(path)
    directory, name = os.path.split(path)
    try:
        old = os.lstat(path) if os.path.lexists(path) else None
        if old and (not stat.S_ISREG(old.st_mode) or (keep_inode and old.st_nlink > 1)):
            if stat.S_ISDIR(old.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            return _in_place(path, chunks, like)
        model = like or (path if old else "")
        beside = os.path.join(directory, f".{os.fsdecode(os.fsencode(name)[:200])}.{os.urandom(4).hex()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(beside, flags, 0o600 if model else 0o666)
        except OSError as error:
            if old and error.errno in NO_ROOM_BESIDE:
                return _in_place(path, chunks, like)
            raise
        try:
            try:
                _write_all(fd, chunks)
                owned = not model or _like(fd, model, os.stat(model)) or bool(like)
                os.fsync(fd)
            finally:
                os.close(fd)
            try:
                if not owned:  # somebody else's file, to which this user may write
                    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
                os.rename(beside, path)
            except OSError as error:
                if not old or error.errno not in NO_ROOM_BESIDE:
                    raise
                _in_place(path, [_contents(beside)], like)  # or a mount of its own, as /etc/hosts is in a container
                os.unlink(beside)
                return None
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise
        _sync_directory(directory or ".")
    except OSError as error:
        raise _failure(path, error) from None
    return None


def _chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk


def _back_up(path: str, data: bytes, name: str) -> None:
    """Keep old contents under another name, as old as they are."""
    info = os.stat(path)
    _put(name, [data], like=path)
    with contextlib.suppress(OSError):
        os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns))


def _mounts() -> set[str]:
    """Where file systems are mounted."""
    with open("/proc/self/mountinfo", "rb") as file:
        places = [line.split(b" ")[4] for line in file]
    return {os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), place)) for place in places}


def _removable(path: str) -> str:
    """The real name of what is to be removed; CommandExecutionError if that is /, a mount point, or holds one."""
    path = path.rstrip("/") or "/"
    if os.path.basename(path) in ("", ".", ".."):
        real = os.path.realpath(path)
    else:
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if real == "/":
        raise CommandExecutionError("/ is not removed.")
    if not os.path.islink(real):
        for place in sorted(_mounts()):
            if place == real or place.startswith(f"{real}/"):
                what = "is a mount point" if place == real else f"holds the mount point {place}"
                raise CommandExecutionError(f"{real} is not removed, for it {what}: unmount it first.")
    return real


def _lines_given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[str], bool]:
    """The lines that write, append and prepend were given, and `test`. SaltInvocationError for another keyword."""
    given = kwargs.get("args", args)
    test = bool(kwargs.get("test"))
    unknown = [name for name in kwargs if name not in ("args", "test") and not name.startswith("__pub_")]
    if unknown:
        raise SaltInvocationError(f"{unknown[0]}= is no argument here: a line with a = in it is given as args='…'.")
    return [str(line) for line in (given if isinstance(given, (list, tuple)) else [given])], test


# What is there


def file_exists(path):
    """Whether there is a file of this name, and no directory: True or False.

    path
        the file; links are followed

    CLI Example: salt '*' file.file_exists /etc/passwd"""
    return os.path.isfile(_expanded(path))


def directory_exists(path):
    """Whether there is a directory of this name: True or False.

    path
        the directory; links are followed

    CLI Example: salt '*' file.directory_exists /etc"""
    return os.path.isdir(_expanded(path))


def path_exists_glob(path):
    """Whether there is anything that a glob matches: True or False.

    path
        a path with *, ? and [a-z]

    CLI Example: salt '*' file.path_exists_glob '/etc/pam*/pass*'"""
    return bool(glob.glob(_expanded(path)))


def access(path, mode):
    """Whether this minion may: True or False.

    path
        absolute
    mode
        f: it exists; r: read it; w: write to it; x: execute it, or enter the directory

    CLI Example: salt '*' file.access /usr/bin/ssh x"""
    path = _absolute(path, "Path to link must be absolute.")
    modes = {"f": os.F_OK, "r": os.R_OK, "w": os.W_OK, "x": os.X_OK}
    number = modes.get(mode, mode)
    if number not in modes.values():
        raise SaltInvocationError("Invalid mode specified.")
    return os.access(path, number)


def stats(path, hash_type=None, follow_symlinks=True):
    """What is known of a file: a map of inode, uid, gid, user, group, atime, mtime, ctime (seconds), size (bytes), mode
    (`'0644'`), type (file, dir, link, char, block, pipe, socket) and target (its real path).

    path
        the file
    hash_type
        with it there is `sum`, too: md5, sha1, sha256 …
    follow_symlinks
        False: of a link, the link itself

    CLI Example: salt '*' file.stats /etc/passwd"""
    path = _expanded(path)
    try:
        info = os.stat(path) if follow_symlinks and os.path.exists(path) else os.lstat(path)
    except OSError:
        raise CommandExecutionError(f"Path not found: {path}") from None
    found: dict[str, Any] = {"inode": info.st_ino, "uid": info.st_uid, "gid": info.st_gid}
    found |= {"group": gid_to_group(info.st_gid), "user": uid_to_user(info.st_uid)}
    found |= {"atime": info.st_atime, "mtime": info.st_mtime, "ctime": info.st_ctime, "size": info.st_size}
    found |= {"mode": f"{stat.S_IMODE(info.st_mode):04o}"}
    found |= {"sum": get_hash(path, hash_type)} if hash_type else {}
    target = os.path.realpath(path) if follow_symlinks else os.path.abspath(path)
    return found | {"type": KINDS.get(stat.S_IFMT(info.st_mode), "file"), "target": target}


ATTRIBUTES = "aAcCdDeijPsStTu"  # of files, as lsattr writes them


def _attributes_of(*argv: str) -> tuple[str, str]:
    """What a program of e2fsprogs says, and its errors. CommandExecutionError if it is not installed."""
    import subprocess

    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise CommandExecutionError(f"{argv[0]} cannot be run: {error.strerror}") from None
    return _as_text(done.stdout), _as_shown([done.stderr])[0].strip()


def lsattr(path):
    """The attributes of a file, of a directory those of what is in it: a map of paths to lists of letters; None if
    `lsattr` is not installed. What a file system does not tell is left out.

    path
        the file

    CLI Example: salt '*' file.lsattr /etc/resolv.conf"""
    import shutil

    path = _expanded(path)
    if not shutil.which("lsattr"):
        return None
    if not os.path.exists(path):
        raise SaltInvocationError(f"File or directory does not exist: {path}")
    found = {}
    for line in _attributes_of("lsattr", "--", path)[0].splitlines():
        letters, _, name = line.partition(" ")
        found[name.lstrip()] = [letter for letter in letters if letter in ATTRIBUTES]
    return found


def chattr(*files, operator=None, attributes=None, flags=None, version=None, test=False):
    """Give attributes to files, or take them away: True, or False with a retcode if that failed for one of them.

    operator
        `add` or `remove`
    attributes
        letters of aAcCdDeijPsStTu; i, say: nobody can change the file
    flags
        letters of R, all below a directory, and V, f
    version
        a number for the files
    test
        True: say what would be run

    CLI Example: salt '*' file.chattr /etc/resolv.conf operator=add attributes=i"""
    if operator not in ("add", "remove"):
        raise SaltInvocationError("Need an operator: 'add' or 'remove' to modify attributes.")
    if not attributes or set(str(attributes)) - set(ATTRIBUTES):
        raise SaltInvocationError(f"Need attributes: [{ATTRIBUTES}]")
    if not files or set(str(flags or "")) - set("RVf"):
        raise SaltInvocationError("Need files, and of flags R, V and f alone")
    argv = ["chattr", f"{'+' if operator == 'add' else '-'}{attributes}", *([f"-{flags}"] if flags else [])]
    argv += ["-v", str(int(version))] if version is not None else []
    argv += ["--", *map(_expanded, files)]
    if test:
        return f"Would run: {' '.join(argv)}"
    _, said = _attributes_of(*argv)
    if said:
        log.error("%s", said)
        __context__["retcode"] = 1
    return not said


def get_selinux_context(path):
    """The SELinux context of a file, or a sentence that says that it has none.

    path
        the file; a link is not followed

    CLI Example: salt '*' file.get_selinux_context /etc/hosts"""
    try:
        context = os.getxattr(_expanded(path), "security.selinux", follow_symlinks=False)
    except OSError:
        return f"No selinux context information is available for {path}"
    return _as_text(context).rstrip("\0")


def lstat(path):
    """What lstat(2) says: a map of st_atime, st_ctime, st_gid, st_mode, st_mtime, st_nlink, st_size and st_uid; empty
    if there is no such file.

    path
        absolute; a link is not followed

    CLI Example: salt '*' file.lstat /path/to/file"""
    path = _absolute(path, "Path to file must be absolute.")
    names = "st_atime st_ctime st_gid st_mode st_mtime st_nlink st_size st_uid".split()
    try:
        info = os.lstat(path)
    except (OSError, ValueError):
        return {}
    return {name: getattr(info, name) for name in names}


def statvfs(path):
    """What statvfs(2) says of the file system that holds a path: a map of f_bavail, f_bfree, f_blocks, f_bsize,
    f_favail, f_ffree, f_files, f_flag, f_frsize and f_namemax.

    path
        absolute

    CLI Example: salt '*' file.statvfs /path/to/file"""
    path = _absolute(path)
    names = "f_bavail f_bfree f_blocks f_bsize f_favail f_ffree f_files f_flag f_frsize f_namemax".split()
    try:
        info = os.statvfs(path)
    except OSError:
        raise CommandExecutionError(f"Could not statvfs '{path}'") from None
    return {name: getattr(info, name) for name in names}


def diskusage(path):
    """The bytes of a file, or of all files below a directory, each inode once.

    path
        a file or a directory

    CLI Example: salt '*' file.diskusage /var/log"""
    if os.path.isfile(path):
        return os.stat(path).st_size
    sizes = {}
    for directory, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                info = os.stat(os.path.join(directory, name))
                sizes[info.st_dev, info.st_ino] = info.st_size
    return sum(sizes.values())


def is_link(path, nostat=False):
    """Whether a path is a symbolic link: True or False.

    path
        the link
    nostat
        read its directory in place of asking for the path itself, which may hang on a file server that is away

    CLI Example: salt '*' file.is_link /path/to/link"""
    path = _expanded(path)
    if not nostat:
        return os.path.islink(path)
    with os.scandir(os.path.dirname(path) or ".") as entries:
        return any(entry.name == os.path.basename(path) and entry.is_symlink() for entry in entries)


def is_hardlink(path):
    """Whether a file has more than one name: True or False; an empty map if it is not there.

    path
        absolute

    CLI Example: salt '*' file.is_hardlink /path/to/link"""
    info = lstat(path)
    return info and info["st_nlink"] > 1


def _is_kind(name: Any, kind: int) -> bool:
    name = _expanded(name)
    try:
        return stat.S_IFMT(os.stat(name).st_mode) == kind
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _failure(name, error) from None


def is_chrdev(name):
    """Whether a path is a character device: True or False.

    name
        the path

    CLI Example: salt '*' file.is_chrdev /dev/null"""
    return _is_kind(name, stat.S_IFCHR)


def is_blkdev(name):
    """Whether a path is a block device: True or False.

    name
        the path

    CLI Example: salt '*' file.is_blkdev /dev/sda"""
    return _is_kind(name, stat.S_IFBLK)


def is_fifo(name):
    """Whether a path is a named pipe: True or False.

    name
        the path

    CLI Example: salt '*' file.is_fifo /dev/pipe"""
    return _is_kind(name, stat.S_IFIFO)


# Who it belongs to


def gid_to_group(gid):
    """A group's name; its number if it has none.

    gid
        the number

    CLI Example: salt '*' file.gid_to_group 0"""
    try:
        number = int(gid)
    except ValueError:
        number = group_to_gid(gid)
    try:
        return "" if number == "" else grp.getgrgid(number).gr_name
    except KeyError:
        return number


def group_to_gid(group):
    """A group's number; an empty text if there is no such group.

    group
        its name, or already its number

    CLI Example: salt '*' file.group_to_gid root"""
    if isinstance(group, int):
        return group
    try:
        return "" if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        return ""


def uid_to_user(uid):
    """A user's name; its number if it has none.

    uid
        the number

    CLI Example: salt '*' file.uid_to_user 0"""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return uid


def user_to_uid(user):
    """A user's number; an empty text if there is no such user.

    user
        its name, or already its number; None: who runs the minion

    CLI Example: salt '*' file.user_to_uid root"""
    if isinstance(user, int):
        return user
    try:
        return os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
    except KeyError:
        return ""


def get_uid(path, follow_symlinks=True):
    """The number of the user that owns a file.

    path
        the file
    follow_symlinks
        False: of a link, the link itself

    CLI Example: salt '*' file.get_uid /etc/passwd"""
    return stats(path, follow_symlinks=follow_symlinks)["uid"]


def get_user(path, follow_symlinks=True):
    """The user that owns a file: a name, or a number that has none.

    path
        the file
    follow_symlinks
        False: of a link, the link itself

    CLI Example: salt '*' file.get_user /etc/passwd"""
    return stats(path, follow_symlinks=follow_symlinks)["user"]


def get_gid(path, follow_symlinks=True):
    """The number of the group that owns a file.

    path
        the file
    follow_symlinks
        False: of a link, the link itself

    CLI Example: salt '*' file.get_gid /etc/passwd"""
    return stats(path, follow_symlinks=follow_symlinks)["gid"]


def get_group(path, follow_symlinks=True):
    """The group that owns a file: a name, or a number that has none.

    path
        the file
    follow_symlinks
        False: of a link, the link itself

    CLI Example: salt '*' file.get_group /etc/passwd"""
    return stats(path, follow_symlinks=follow_symlinks)["group"]


def get_mode(path, follow_symlinks=True):
    """The mode of a file, `'0644'`.

    path
        the file
    follow_symlinks
        False: of a link, the link itself

    CLI Example: salt '*' file.get_mode /etc/passwd"""
    return stats(path, follow_symlinks=follow_symlinks)["mode"]


def _mode(mode: Any) -> int:
    """0644, '0644', '0o644' and 644 as a mode; ValueError for anything else."""
    number = int(str(mode).strip("'\"").lstrip("0Oo") or "0", 8)
    if not 0 <= number <= 0o7777:
        raise ValueError(f"{mode} is no mode")
    return number


def set_mode(path, mode, test=False):
    """Set the mode of a file; gives the mode that it has then, `'0644'`, or `Invalid Mode …`.

    path
        the file; links are followed
    mode
        octal, with or without a zero before it

    CLI Example: salt '*' file.set_mode /etc/passwd 0644"""
    path = _expanded(path)
    if not os.path.exists(path):
        raise CommandExecutionError(f"{path}: File not found")
    path = _target(path)
    try:
        number = _mode(mode)
    except ValueError:
        return f"Invalid Mode {str(mode).lstrip('0Oo') or '0'}"
    if test:
        return f"Would set the mode of {path} from {get_mode(path)} to {number:04o}."
    try:
        os.chmod(path, number)
    except OSError as error:
        raise _failure(path, error) from None
    return get_mode(path)


def _owners(user: Any, group: Any) -> tuple[Any, Any, str]:
    """The numbers of a user and a group, -1 for one that is not given, and which of them does not exist."""
    uid, gid = user_to_uid("" if user is None else user), group_to_gid(group)
    problem = "User does not exist\n" if uid == "" and user else ""
    problem += "Group does not exist\n" if gid == "" and group else ""
    return -1 if uid == "" else uid, -1 if gid == "" else gid, problem


def chown(path, user, group, test=False):
    """Set who owns a file: None, or a text that says which of user, group and file does not exist.

    path
        the file; links are followed, but for one that leads nowhere
    user
        a name or a number; empty: as it is
    group
        a name or a number; empty: as it is

    CLI Example: salt '*' file.chown /etc/passwd root root"""
    path = _expanded(path)
    uid, gid, problem = _owners(user, group)
    if not os.path.lexists(path):
        problem += "File not found"
    if problem:
        return problem
    path = _target(path) if os.path.exists(path) else path
    if test:
        now = stats(path)
        return f"Would set the owner of {path} from {now['user']}:{now['group']} to {user}:{group}."
    try:
        return os.chown(path, uid, gid, follow_symlinks=os.path.exists(path))
    except OSError as error:
        raise _failure(path, error) from None


def lchown(path, user, group, test=False):
    """Set who owns a file, or of a link the link itself: None.

    path
        the file or link
    user
        a name or a number; empty: as it is
    group
        a name or a number; empty: as it is

    CLI Example: salt '*' file.lchown /path/to/link root root"""
    path = _expanded(path)
    uid, gid, problem = _owners(user, group)
    if problem:
        raise CommandExecutionError(problem.strip().replace("\n", "; "))
    if test:
        now = stats(path, follow_symlinks=False)
        return f"Would set the owner of {path} from {now['user']}:{now['group']} to {user}:{group}."
    try:
        return os.lchown(path, uid, gid)
    except OSError as error:
        raise _failure(path, error) from None


def chgrp(path, group, test=False):
    """Set the group that owns a file: None, or a text that says what does not exist.

    path
        the file; links are followed
    group
        a name or a number

    CLI Example: salt '*' file.chgrp /etc/passwd root"""
    return chown(path, get_user(path), group, test=test)


# Hashes


def get_hash(path, form="sha256", chunk_size=65536):
    """The hash of a file, as hexadecimal text.

    path
        the file
    form
        md5, sha1, sha224, sha256, sha384, sha512 …
    chunk_size
        bytes that are read at once

    CLI Example: salt '*' file.get_hash /etc/shadow"""
    import hashlib

    path, size = _expanded(path), _number(chunk_size, "chunk_size", 1)
    try:
        found = hashlib.new(form)
        found.digest()  # one whose length must be given, shake_128, is none of a file
    except (ValueError, TypeError):
        raise ValueError(f"Invalid hash type: {form}") from None
    try:
        with open(path, "rb") as file:
            while chunk := file.read(size):
                found.update(chunk)
    except OSError as error:
        raise _failure(path, error) from None
    return found.hexdigest()


def get_sum(path, form="sha256"):
    """The hash of a file, as hexadecimal text, or `File not found`.

    path
        the file
    form
        md5, sha1, sha224, sha256, sha384, sha512 …

    CLI Example: salt '*' file.get_sum /etc/passwd sha512"""
    return get_hash(path, form) if os.path.isfile(_expanded(path)) else "File not found"


def check_hash(path, file_hash):
    """Whether a file has a hash: True or False.

    path
        the file
    file_hash
        the hash, of whose kind its length tells; or `md5=…`, `sha256:…`

    CLI Example: salt '*' file.check_hash /etc/fstab md5=e138491e9d5b97023cea823fe17bac22"""
    if not isinstance(file_hash, str):
        raise SaltInvocationError("hash must be a string")
    found = re.fullmatch(r"([^:=]*)[:=](.*)", file_hash, re.DOTALL)
    kind, value = found.groups() if found else (HASH_LENGTHS.get(len(file_hash)), file_hash)
    if kind is None:
        lengths = ", ".join(f"{name} ({length})" for length, name in sorted(HASH_LENGTHS.items()))
        problem = f"Hash {file_hash} (length: {len(file_hash)}) could not be matched to a supported hash type."
        raise SaltInvocationError(f"{problem} The supported hash types and lengths are: {lengths}")
    return get_hash(path, kind) == value


# Reading


def read(path, binary=False):
    """What a file holds, as text.

    path
        the file
    binary
        True: as bytes, for what is no UTF-8

    CLI Example: salt '*' file.read /etc/motd"""
    data = _contents(_expanded(path))
    if binary:
        return data
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise CommandExecutionError(f"{path} is not UTF-8 text: read it with binary=True.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def seek_read(path, size, offset):
    """A part of a file, as bytes.

    path
        the file
    size
        bytes, at the most
    offset
        where the part begins

    CLI Example: salt '*' file.seek_read /path/to/file 4096 0"""
    path, size, offset = _expanded(path), _number(size, "size"), _number(offset, "offset")
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(min(size, MAX_CONTENTS)) or b""
    except OSError as error:
        raise _failure(path, error) from None


def readdir(path):
    """The names in a directory, a list that begins with `.` and `..`.

    path
        absolute

    CLI Example: salt '*' file.readdir /path/to/dir/"""
    path = _absolute(path, "Dir path must be absolute.")
    if not os.path.isdir(path):
        raise SaltInvocationError(f"A valid directory was not specified: {path}")
    return [".", "..", *sorted(os.listdir(path))]


def readlink(path, canonicalize=False):
    """Where a symbolic link points to.

    path
        absolute; variables of the environment in it are filled in
    canonicalize
        True: the real path behind all links

    CLI Example: salt '*' file.readlink /path/to/link"""
    path = os.path.expandvars(_expanded(path))
    if not os.path.isabs(path):
        raise SaltInvocationError(f"Path to link must be absolute: {path}")
    if not os.path.islink(path):
        raise SaltInvocationError(f"A valid link was not specified: {path}")
    return os.path.realpath(path) if canonicalize else os.readlink(path)


def contains(path, text):
    """Whether a file holds a text: True or False.

    path
        the file
    text
        what is looked for, without the white space around it

    CLI Example: salt '*' file.contains /etc/crontab 'mymaintenance.sh'"""
    path = _expanded(path)
    return os.path.exists(path) and _as_bytes(str(text).strip()) in _contents(path)


def contains_regex(path, regex, lchar=""):
    """Whether a regular expression matches in a line of a file: True or False.

    path
        the file
    regex
        the regular expression
    lchar
        characters that are taken off the beginning of each line first

    CLI Example: salt '*' file.contains_regex /etc/crontab '^mymaint'"""
    path = _expanded(path)
    if not os.path.exists(path):
        return False
    lines = _split(_as_text(_contents(path)))
    return any(re.search(regex, line.lstrip(lchar) if lchar else line) for line in lines)


def contains_glob(path, glob_expr):
    """Whether a glob matches all that a file holds: True or False.

    path
        the file
    glob_expr
        the glob; `*cheese*` finds a word

    CLI Example: salt '*' file.contains_glob /etc/foobar '*cheese*'"""
    path = _expanded(path)
    return os.path.exists(path) and fnmatch.fnmatchcase(_as_text(_contents(path)), str(glob_expr))


def grep(path, pattern, *opts):
    """Run grep: a map of pid, retcode, stdout and stderr.

    path
        the file, or a glob
    pattern
        what grep looks for
    opts
        options of grep, each a word, behind `--`

    CLI Example: salt '*' file.grep /etc/passwd nobody -- -i -B2"""
    path = _expanded(path)
    options = [word for option in opts for word in _one_word(option)]
    files = sorted(glob.glob(path)) or [path]
    return __salt__["cmd.run_all"](["grep", *options, "-e", str(pattern), "--", *files], python_shell=False)


def _one_word(option: Any) -> list[str]:
    import shlex

    words = shlex.split(str(option))
    if len(words) > 1:
        problem = "Passing multiple command line arguments in a single string is not supported"
        raise SaltInvocationError(f"{problem}, please pass the following arguments separately: {option}")
    return words


# Finding


class _Finding(NamedTuple):
    """What find looks at: a path and what stat says of it, None if it has gone meanwhile."""

    path: str
    info: os.stat_result | None
    is_link: bool
    top: str


INTERVAL = re.compile(
    r"\s*([+-]?)\s*" + r"\s*".join(rf"(?:([0-9.]+)\s*[{unit}{unit.upper()}])?" for unit in "wdhms") + r"\s*"
)
UNITS = (604800, 86400, 3600, 60, 1)
SIZES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
TYPES = {
    "b": stat.S_IFBLK, "c": stat.S_IFCHR, "d": stat.S_IFDIR, "f": stat.S_IFREG, "l": stat.S_IFLNK, "p": stat.S_IFIFO,
    "s": stat.S_IFSOCK,
}  # fmt: skip
LETTERS = {kind: letter for letter, kind in TYPES.items()}


def _words(value: Any) -> list[str]:
    return str(value).replace(",", " ").split()


def _glob_regex(pattern: str) -> str:
    """A glob as a regular expression, with {a,b} and [^a] beside what fnmatch knows."""
    found = re.search(r"\{([^{}]*,[^{}]*)\}", pattern)
    if found:
        before, after = pattern[: found.start()], pattern[found.end() :]
        return "|".join(_glob_regex(before + part + after) for part in found[1].split(","))
    return fnmatch.translate(pattern.replace("[^", "[!"))


def _by_name(value: Any, flags: int = 0) -> Callable[[_Finding], Any]:
    match = re.compile(_glob_regex(str(value)), flags).match
    return lambda found: match(os.path.basename(found.path))


def _by_regex(value: Any, flags: int = 0) -> Callable[[_Finding], Any]:
    try:
        match = re.compile(str(value), flags).match
    except re.error:
        raise ValueError(f'invalid regular expression: "{value}"') from None
    return lambda found: match(os.path.basename(found.path))


def _kinds(value: Any) -> set[int]:
    letters = "".join(_words(value))
    for letter in letters:
        if letter not in TYPES and letter != "a":
            raise ValueError(f'invalid file type "{letter}"')
    return set(TYPES.values()) if "a" in letters else {TYPES[letter] for letter in letters}


def _by_type(value: Any) -> Callable[[_Finding], Any]:
    """A link is a link, and what it leads to, too."""
    kinds = _kinds(value)
    return lambda found: (found.is_link and stat.S_IFLNK in kinds) or _kind(found) in kinds


def _kind(found: _Finding) -> int:
    return stat.S_IFMT(found.info.st_mode) if found.info else 0


def _by_owner(value: Any, of: str = "user", number_of: Callable[[str], Any] = user_to_uid) -> Callable[..., Any]:
    numbers = set()
    for name in _words(value):
        number = int(name) if name.isdigit() else number_of(name)
        if number == "":
            raise ValueError(f'no such {of} "{name}"')
        numbers.add(number)
    field = "st_uid" if of == "user" else "st_gid"
    return lambda found: getattr(found.info, field, None) in numbers


def _by_size(value: Any) -> Callable[[_Finding], Any]:
    found = re.fullmatch(r"\s*([+-]?)\s*([0-9.]+)\s*([bkmgtBKMGT]?)\s*", str(value))
    try:
        assert found
        unit = SIZES[found[3].lower() or "b"]
        size = int(float(found[2]) * unit) if "." in found[2] else int(found[2]) * unit
    except (AssertionError, ValueError):
        raise ValueError(f'invalid size: "{value}"') from None
    least, most = {"+": (size, None), "-": (0, size), "": (size, size + unit - 1)}[found[1]]
    return lambda at: at.info and least <= at.info.st_size and (most is None or at.info.st_size <= most)


def _by_mtime(value: Any) -> Callable[[_Finding], Any]:
    found = INTERVAL.fullmatch(str(value))
    numbers = (
        [(number, unit) for number, unit in zip(found.groups()[1:], UNITS, strict=True) if number] if found else []
    )
    try:
        seconds = sum(float(number) * unit for number, unit in numbers)
        smallest = numbers[-1][1]
    except (ValueError, IndexError):
        raise ValueError(f"invalid time interval: '{value}'") from None
    moment = time.time() - int(seconds / smallest) * smallest
    if found and found[1] == "-":
        return lambda at: at.info and at.info.st_mtime >= moment
    return lambda at: at.info and int(at.info.st_mtime) <= moment


def _by_contents(value: Any) -> Callable[[_Finding], Any]:
    try:
        search = re.compile(_as_bytes(str(value))).search
    except re.error:
        raise ValueError(f'invalid regular expression: "{value}"') from None

    def matches(found: _Finding) -> Any:
        if _kind(found) != stat.S_IFREG:
            return False
        with contextlib.suppress(CommandExecutionError):
            return search(_contents(found.path))
        return False

    return matches


CRITERIA: dict[str, Callable[[Any], Callable[[_Finding], Any]]] = {  # in the order in which they are asked
    "name": _by_name,
    "iname": lambda value: _by_name(value, re.IGNORECASE),
    "regex": _by_regex,
    "iregex": lambda value: _by_regex(value, re.IGNORECASE),
    "type": _by_type,
    "owner": _by_owner,
    "group": lambda value: _by_owner(value, "group", group_to_gid),
    "size": _by_size,
    "mtime": _by_mtime,
    "grep": _by_contents,
}


def _print_md5(found: _Finding) -> str:
    return get_hash(found.path, "md5") if _kind(found) == stat.S_IFREG else ""


PRINTED: dict[str, Callable[[_Finding], Any]] = {
    "path": lambda found: found.path,
    "name": lambda found: os.path.basename(found.path),
    "size": lambda found: found.info and found.info.st_size,
    "type": lambda found: LETTERS.get(_kind(found), "?"),
    "mode": lambda found: found.info and found.info.st_mode & 0o777,
    "mtime": lambda found: found.info and int(found.info.st_mtime),
    "user": lambda found: found.info and uid_to_user(found.info.st_uid),
    "owner": lambda found: found.info and uid_to_user(found.info.st_uid),
    "group": lambda found: found.info and gid_to_group(found.info.st_gid),
    "md5": _print_md5,
}


def _printing(value: Any, test: bool) -> Callable[[_Finding], Any]:
    names = _words(value) or ["path"]
    for name in names:
        if name not in PRINTED:
            raise ValueError(f'invalid print option "{name}"')
    if len(names) == 1:
        return PRINTED[names[0]]
    return lambda found: [PRINTED[name](found) for name in names]


@contextlib.contextmanager
def _held(found: _Finding) -> Iterator[str]:
    """A name for what was found, in its directory, which is come to through no link: below /tmp another user could put
    one in the place of a directory, between finding and removing."""
    if found.path == found.top:
        yield found.path
        return
    *directories, name = os.path.relpath(found.path, found.top).split("/")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    fd = os.open(found.top, flags)
    try:
        for each in directories:
            inner = os.open(each, flags | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)


def _deleting(value: Any, test: bool) -> Callable[[_Finding], Any]:
    """Remove what is of these types: the path, or None if it is of another or could not be removed."""
    kinds = _kinds(value)

    def delete(found: _Finding) -> str | None:
        try:
            with _held(found) as path:
                kind = stat.S_IFMT(os.lstat(path).st_mode)
                if kind not in kinds and not (kind == stat.S_IFLNK and _kind(found) in kinds):
                    return None
                real = _removable(path)
                if not test:
                    _remove(real if path == found.top else path)
        except (OSError, CommandExecutionError) as error:
            log.error("find has not removed %s: %s", found.path, error)
            return None
        return found.path

    return delete


def _executing(value: Any, test: bool) -> Callable[[_Finding], Any]:
    import shlex
    import subprocess

    words = shlex.split(str(value))

    def execute(found: _Finding) -> str:
        command = str(value).replace("{}", found.path)
        if test:
            return f"Would run: {command}"
        argv = [word.replace("{}", found.path) for word in words]
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        except OSError as error:
            log.error("find could not run %s: %s", command, error)
            return f"{found.path}: Failed"
        return f"{command}:\n{_as_shown([done.stdout])[0]}\n"

    return execute


ACTIONS = {"print": _printing, "delete": _deleting, "exec": _executing}


def _walk(top: str, least: int, most: int | None) -> Iterator[_Finding]:
    """All at and below a path, from one depth to another. Links are not gone through."""
    ahead = [(top, 0)]
    while ahead:
        path, depth = ahead.pop()
        info, is_link = None, os.path.islink(path)
        with contextlib.suppress(OSError):
            info = os.stat(path) if os.path.exists(path) else os.lstat(path)
        if depth >= least:
            yield _Finding(path, info, is_link, top)
        is_directory = info is not None and stat.S_ISDIR(info.st_mode) and (not is_link or depth == 0)
        if is_directory and (most is None or depth < most):
            with contextlib.suppress(OSError):
                ahead += [(os.path.join(path, name), depth + 1) for name in os.listdir(path)]


def find(path, *args, **kwargs):
    """The paths that match all criteria, at and below a path; a sorted list.

    path
        where to begin: a path, or a glob
    name, iname
        a glob that the last part of the path matches: *, ?, [a-z], [^a-z], {a,b}; `iname` in whatever case
    regex, iregex
        a regular expression for the beginning of the last part
    type
        letters: f file, d directory, l link, b and c devices, p pipe, s socket, a all of these
    owner, group
        names or numbers, with commas
    size
        `10k`; `+10m`: at least that; `-1g`: at most. b, k, m, g and t are units
    mtime
        `+3d`, `3d`: changed that long ago, or earlier; `-1h30m`: later. w, d, h, m and s are units
    grep
        a regular expression that matches in the file
    mindepth, maxdepth
        how deep below the path; 0 is the path itself
    print
        in place of the path, or with commas a list: path, name, size, type, mode, mtime, user, group, md5
    delete
        remove what is found, and give its path: `delete` for files, or `delete=fd` for these types
    exec
        a command for each, in which {} is the path; gives the command and its output
    test
        True: say what `delete` and `exec` would do

    CLI Example: salt '*' file.find /var/log name='*.[0-9]' mtime=+30d size=+10m delete"""
    kwargs = {name: value for name, value in kwargs.items() if not name.startswith("_")}
    kwargs |= {"delete": "f"} if "delete" in args else {"print": "path"} if "print" in args else {}
    try:
        test = bool(kwargs.pop("test", False))
        least = int(kwargs.pop("mindepth", 0) or 0)
        most = kwargs.pop("maxdepth", None)
        most = None if most is None else int(most)
        for name, value in kwargs.items():
            if name not in CRITERIA and name not in ACTIONS:
                raise ValueError(f'invalid option "{name}"')
            if not value and value != 0:
                raise ValueError(f'missing value for "{name}" option')
        criteria = [make(kwargs[name]) for name, make in CRITERIA.items() if name in kwargs]
        actions = [ACTIONS[name](value, test) for name, value in kwargs.items() if name in ACTIONS]
    except ValueError as error:
        __context__["retcode"] = 1
        return f"error: {error}"
    results = []
    for top in sorted(glob.glob(_expanded(path))):
        found = [each for each in _walk(top, least, most) if all(matches(each) for matches in criteria)]
        if "delete" in kwargs:
            found.sort(key=lambda each: -each.path.count("/"))  # what lies in a directory before it
        results += [action(each) for each in found for action in actions or [PRINTED["path"]]]
    return sorted((each for each in results if each is not None), key=lambda each: (str(type(each)), each))


# Writing


def write(path, *args, **kwargs):
    """Give a file new contents, lines: `Wrote 2 lines to "/etc/motd"`. It is made if it is not there; else it keeps
    mode and owner, and is never seen half written.

    path
        the file; links are followed
    args
        the lines; with a = in them: args='a=b', args="['a=b', 'c=d']"
    test
        True: say what would be written

    CLI Example: salt '*' file.write /etc/motd 'With all thine offerings thou shalt offer salt.'"""
    path = _expanded(path)
    lines, test = _lines_given(args, kwargs)
    if test:
        what = "replaced" if os.path.exists(path) else "made"
        return f'Would write {len(lines)} lines to "{path}", which would be {what}.'
    _put(path, [_as_bytes("".join(f"{line}\n" for line in lines))])
    return f'Wrote {len(lines)} lines to "{path}"'


def append(path, *args, **kwargs):
    """Put lines at the end of a file, which must be there: `Wrote 1 lines to "/etc/motd"`. It stays the same file, for
    whoever has it open, and what was there is not touched.

    path
        the file; links are followed
    args
        the lines; with a = in them: args='a=b', args="['a=b', 'c=d']"
    test
        True: say what would be written

    CLI Example: salt '*' file.append /etc/motd 'With all thine offerings thou shalt offer salt.'"""
    path = _expanded(path)
    lines, test = _lines_given(args, kwargs)
    if not os.path.lexists(path):
        raise CommandExecutionError(f"{path} is not there: file.write or file.touch makes it.")
    if test:
        return f'Would write {len(lines)} lines to the end of "{path}".'
    try:
        fd = os.open(_target(path), os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            lacks_end = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            try:
                _write_all(fd, [_as_bytes("\n" * lacks_end + "".join(f"{line}\n" for line in lines))])
                os.fsync(fd)
            except OSError as error:
                if error.errno in NO_SPACE:
                    os.ftruncate(fd, size)
                raise
        finally:
            os.close(fd)
    except OSError as error:
        raise _failure(path, error) from None
    return f'Wrote {len(lines)} lines to "{path}"'


def prepend(path, *args, **kwargs):
    """Put lines at the beginning of a file: `Prepended 1 lines to "/etc/motd"`. It is made if it is not there.

    path
        the file; links are followed
    args
        the lines; with a = in them: args='a=b', args="['a=b', 'c=d']"
    test
        True: say what would be written

    CLI Example: salt '*' file.prepend /etc/motd 'With all thine offerings thou shalt offer salt.'"""
    path = _expanded(path)
    lines, test = _lines_given(args, kwargs)
    if test:
        return f'Would write {len(lines)} lines to the beginning of "{path}".'
    old = _contents(path) if os.path.exists(path) else b""
    _put(path, [_as_bytes("".join(f"{line}\n" for line in lines)), old])
    return f'Prepended {len(lines)} lines to "{path}"'


def seek_write(path, data, offset, test=False):
    """Write to a place in a file: the number of bytes.

    path
        the file
    data
        text or bytes
    offset
        where they are written

    CLI Example: salt '*' file.seek_write /path/to/file 'some data' 4096"""
    path, offset = _target(_expanded(path)), _number(offset, "offset")
    data = data if isinstance(data, bytes) else _as_bytes(str(data))
    if test:
        return f"Would write {len(data)} bytes at {offset} of {path}."
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.lseek(fd, offset, os.SEEK_SET)
            size = _write_all(fd, [data])
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise _failure(path, error) from None
    return size


def truncate(path, length, test=False):
    """Cut a file off behind some bytes: None.

    path
        the file
    length
        bytes that stay

    CLI Example: salt '*' file.truncate /path/to/file 512"""
    path, length = _target(_expanded(path)), _number(length, "length")
    if test:
        return f"Would cut {path} from {stats(path)['size']} to {length} bytes."
    try:
        os.truncate(path, length)
    except OSError as error:
        raise _failure(path, error) from None
    return None


def touch(name, atime=None, mtime=None, test=False):
    """Make an empty file, or set the times of one that is there: True.

    name
        the file
    atime
        when it was last read, in seconds since 1970; without: now
    mtime
        when it was last changed; without: now

    CLI Example: salt '*' file.touch /var/log/emptyfile"""
    name = _target(_expanded(name))
    try:
        given = [None if each is None else float(each) for each in (atime, mtime)]
    except (TypeError, ValueError):
        raise SaltInvocationError("atime and mtime must be integers") from None
    if test:
        return f"Would {'set the times of' if os.path.exists(name) else 'make'} {name}."
    try:
        if not os.path.exists(name):
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
        now = time.time()
        times = [now if each is None else each for each in given]
        os.utime(name, None if given == [None, None] else (times[0], times[1]))
    except (OSError, ValueError, OverflowError) as error:
        raise CommandExecutionError(getattr(error, "strerror", None) or str(error)) from None
    return os.path.exists(name)


# Editing


def _flags(flags: Any) -> int:
    """Flags of a regular expression: a number, a name or a list of names."""
    if isinstance(flags, int):
        return int(flags)
    if not isinstance(flags, (str, list, tuple)):
        how = "must be given either as a single flag string, a list of strings, as an integer, or as an re flag"
        raise CommandExecutionError(f'Invalid re flags: "{flags}", {how}')
    number = 0
    for name in [flags] if isinstance(flags, str) else flags:
        flag = getattr(re.RegexFlag, str(name).upper(), None)
        if not flag:
            raise CommandExecutionError(f"Invalid re flag given: {name}")
        number |= int(flag)
    return number


def _compiled(pattern: Any, flags: int = 0) -> Any:
    try:
        return re.compile(pattern, flags)
    except (re.error, ValueError) as error:
        shown = _as_shown([pattern])[0]
        raise CommandExecutionError(f"{shown!r} is no regular expression: {error}") from None


def _changed(old: Any, words: list[Any], flags: int, options: dict[str, Any]) -> Any:
    """The new contents of a file, of text or bytes: with what matches replaced, or with a line at an end of it where
    nothing matches. `words`: the pattern, what replaces it, what is put at an end."""
    pattern, repl, more = words
    newline = "\n" if isinstance(old, str) else b"\n"
    slash = "\\" if isinstance(old, str) else b"\\"
    substitute = repl.replace(slash, slash * 2) if options["backslash_literal"] else repl
    try:
        new, number = _compiled(pattern, flags).subn(substitute, old, options["count"])
    except (re.error, IndexError) as error:
        raise CommandExecutionError(f"{_as_shown([repl])[0]!r} cannot stand in place of that: {error}") from None
    if number or not (options["append_if_not_found"] or options["prepend_if_not_found"]):
        return new
    content = more if more else repl
    whole = [f"^{re.escape(content)}($|(?=\r\n))"] if isinstance(old, str) else []
    whole = whole or [b"^" + re.escape(content) + b"($|(?=\r\n))"]
    if re.search(whole[0], old, flags):
        return new
    line = (repl if more is None else more) + newline
    if options["prepend_if_not_found"]:
        return line + new
    return new + (newline if new and not new.endswith(newline) else newline[:0]) + line


def replace(
    path,
    pattern,
    repl,
    count=0,
    flags=8,
    bufsize=1,
    append_if_not_found=False,
    prepend_if_not_found=False,
    not_found_content=None,
    backup=".bak",
    dry_run=False,
    search_only=False,
    show_changes=True,
    ignore_if_missing=False,
    preserve_inode=True,
    backslash_literal=False,
    encoding=None,
    test=False,
):
    """Replace what a regular expression matches in a file: a unified diff, which is empty if nothing changes; with
    show_changes=False or search_only=True True or False.

    path
        the file; links are followed
    pattern
        the regular expression
    repl
        what stands in its place; \\\\1 is its first group
    count
        how many at the most; 0: all
    flags
        8 (MULTILINE), another number, a name or a list of names: '[MULTILINE, IGNORECASE]'
    append_if_not_found, prepend_if_not_found
        put not_found_content, or repl, at the end or the beginning if nothing matches
    backup
        the old contents are kept under this extension; False: not
    dry_run, test
        say what would change, and change nothing
    search_only
        only say whether something matches
    ignore_if_missing
        False, in place of an error, if there is no such file
    preserve_inode
        a file with several names keeps them
    backslash_literal
        a backslash in repl is one
    encoding
        of the file; without it what is no text is refused
    bufsize
        has no meaning here

    CLI Example: salt '*' file.replace /etc/httpd/httpd.conf pattern='LogLevel warn' repl='LogLevel info'"""
    given = _expanded(path)
    path = os.path.realpath(given)
    if not os.path.exists(path):
        if ignore_if_missing:
            return False
        raise SaltInvocationError(f"File not found: {path}")
    data = _contents(path)
    if encoding is None and not _is_text(data):
        raise SaltInvocationError(f"Cannot perform string replacements on a binary file: {path}")
    if search_only and (append_if_not_found or prepend_if_not_found):
        raise SaltInvocationError("search_only cannot be used with append/prepend_if_not_found")
    if append_if_not_found and prepend_if_not_found:
        raise SaltInvocationError("Only one of append and prepend_if_not_found is permitted")
    number = _flags(flags)
    old: Any = data
    words: list[Any] = [
        _as_bytes(str(word)) if word is not None else None for word in (pattern, repl, not_found_content)
    ]
    if encoding is not None:
        try:
            old = data.decode(encoding)
        except (UnicodeDecodeError, LookupError) as error:
            raise CommandExecutionError(f"{path} cannot be read as {encoding}: {error}") from None
        words = [str(word) if word is not None else None for word in (pattern, repl, not_found_content)]
    if search_only:
        return bool(_compiled(words[0], number).search(old))
    options = {"append_if_not_found": append_if_not_found, "prepend_if_not_found": prepend_if_not_found}
    options |= {"backslash_literal": backslash_literal, "count": _number(count, "count")}
    new = _changed(old, words, number, options)
    changed = new != old
    if changed and not dry_run and not test:
        _target(given)  # a link that must not be followed
        if backup:
            _back_up(path, data, f"{path}{backup}")
            if os.path.islink(given):  # beside a link stands a link to the backup
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{given}{backup}")
                os.symlink(f"{os.readlink(given)}{backup}", f"{given}{backup}")
        _put(path, [new.encode(encoding) if encoding is not None else new], keep_inode=preserve_inode)
    return _diff(old.splitlines(True), new.splitlines(True)) if show_changes else changed


def search(path, pattern, flags=8, bufsize=1, ignore_if_missing=False, multiline=False):
    """Whether a regular expression matches in a file: True or False.

    path
        the file
    pattern
        the regular expression
    flags
        8 (MULTILINE), another number, a name or a list of names
    ignore_if_missing
        False, in place of an error, if there is no such file
    multiline
        adds MULTILINE to the flags
    bufsize
        has no meaning here

    CLI Example: salt '*' file.search /etc/crontab 'mymaintenance.sh'"""
    number = _flags(flags) | (re.MULTILINE if multiline else 0)
    return replace(path, pattern, "", flags=number, search_only=True, ignore_if_missing=ignore_if_missing)


def comment_line(path, regex, char="#", cmnt=True, backup=".bak", test=False):
    """Comment lines out, or in: a unified diff of these lines, or False if there is none.

    path
        the file; links are followed
    regex
        a regular expression for the beginning of the lines, without the comment's character
    char
        what makes a comment
    cmnt
        True: comment out; False: take `char` away
    backup
        the old contents are kept under this extension; False: not

    CLI Example: salt '*' file.comment_line /etc/modules '^pcspkr'"""
    given = _expanded(path)
    path = os.path.realpath(given)
    if not os.path.isfile(path):
        raise SaltInvocationError(f"File not found: {path}")
    data = _contents(path)
    if not _is_text(data):
        raise SaltInvocationError(f"Cannot perform string replacements on a binary file: {path}")
    regex = str(regex)
    begin, core, end = "^" * regex.startswith("^"), regex.lstrip("^").rstrip("$"), "$" * regex.endswith("$")
    pattern = _compiled(f"{begin}({core}){end}" if cmnt else rf"^{re.escape(char)}\s*({core}){end}")
    lines = _split(_as_text(data))
    new = [
        line if not pattern.match(line) else f"{char}{line}" if cmnt else line.lstrip(char)
        for line in lines
    ]  # fmt: skip
    touched = [(line, other) for line, other in zip(lines, new, strict=True) if pattern.match(line)]
    if not touched:
        return False
    if not test:
        _target(given)
        if backup:
            _back_up(path, data, f"{path}{backup}")
        _put(path, [_as_bytes("".join(new))])
    return _diff([line for line, _ in touched], [line for _, line in touched])


def comment(path, regex, char="#", backup=".bak", test=False):
    """Comment lines out: a unified diff of these lines, or False if there is none.

    path
        the file; links are followed
    regex
        a regular expression for the beginning of the lines
    char
        what makes a comment
    backup
        the old contents are kept under this extension; False: not

    CLI Example: salt '*' file.comment /etc/modules pcspkr"""
    return comment_line(path, regex, char, True, backup, test)


def uncomment(path, regex, char="#", backup=".bak", test=False):
    """Comment lines in: a unified diff of these lines, or False if there is none.

    path
        the file; links are followed
    regex
        a regular expression for what stands behind the comment's character
    char
        what makes a comment
    backup
        the old contents are kept under this extension; False: not

    CLI Example: salt '*' file.uncomment /etc/hosts.deny 'ALL: PARANOID'"""
    return comment_line(path, regex, char, False, backup, test)


def _end_of(line: str) -> str:
    """How a line ends: \\n, \\r\\n, \\r, or not at all."""
    found = re.search(r"(\r\n|\n|\r)\Z", line)
    return found[1] if found else ""


def _indented(model: str, content: str, indent: bool) -> str:
    """The content, as far to the right as another line."""
    return re.match(r"[ \t]*", model)[0] + content.lstrip() if indent else content  # type: ignore[index]


def _same(line: str, content: str) -> bool:
    return line.rstrip("\r\n") == content.rstrip("\r\n")


def _matching(lines: list[str], expression: Any) -> list[str] | None:
    """The lines that hold a text or that a regular expression matches; None if nothing is asked for."""
    if not lines or not expression:
        return None
    pattern = _compiled(str(expression), re.DOTALL)
    return [line for line in lines if pattern.search(line) or str(expression) in line]


def _only(found: list[str], what: str) -> None:
    """Raise unless there is exactly one such line."""
    if len(found) != 1:
        how = "more than" if found else "less than"
        raise CommandExecutionError(f'Found {how} expected occurrences in "{what}" expression')


def _delete_line(lines: list[str], content: str, places: Mapping[str, Any], indent: bool) -> list[str]:
    return [line for line in lines if line != places["match"][0]] if places["match"] else lines


def _replace_line(lines: list[str], content: str, places: Mapping[str, Any], indent: bool) -> list[str]:
    if not places["match"]:
        return lines
    at = lines.index(places["match"][0])
    return [*lines[:at], _indented(lines[at], content, indent), *lines[at + 1 :]]


def _insert_line(lines: list[str], content: str, places: Mapping[str, Any], indent: bool) -> list[str]:
    before, after, location = places["before"], places["after"], places["location"]
    if location == "end":
        return [*lines, _indented(lines[-1], content, indent)] if lines else [content]
    if location == "start":
        return [content.rstrip() + (_end_of(lines[0]) or "\n"), *lines] if lines else [content + "\n"]
    if location:
        return lines
    if before is None and after is None:
        how = 'On insert either "location" or "before/after" conditions are required.'
        raise CommandExecutionError(how)
    if not before and not after:
        raise CommandExecutionError("Neither before or after was found in file")
    for name in ("before", "after"):
        if places[name]:
            _only(places[name], name)
    if before and after:
        at = lines.index(before[0])
        return [*lines[:at], _indented(lines[at], content, indent), *lines[at:]]
    at = lines.index((before or after)[0])
    neighbour = at - 1 if before else at + 1
    if neighbour < len(lines) and _same(lines[neighbour], content):
        return lines
    line = _indented(lines[at], content, indent)
    at += not before
    return [*lines[:at], line, *lines[at:]]


def _ensure_line(lines: list[str], content: str, places: Mapping[str, Any], indent: bool) -> list[str]:
    before, after = places["before"], places["after"]
    if not before and not after:
        how = "Unable to ensure line without knowing where to put it before and/or after."
        raise CommandExecutionError(f"Wrong conditions? {how}")
    for name in ("after", "before"):
        if places[name]:
            _only(places[name], name)
    if before and after:
        begin, end = lines.index(after[0]), lines.index(before[0])
        if any(line.lstrip() == content for line in lines):
            return lines
        if end - begin not in (1, 2):
            raise CommandExecutionError('Found more than one line between boundaries "before" and "after".')
        return [*lines[: begin + 1], _indented(lines[begin], content, indent), *lines[end:]]
    at = lines.index((before or after)[0])
    neighbour = at - 1 if before else at + 1
    if 0 <= neighbour < len(lines) and _same(lines[neighbour], content):
        return lines
    line = _indented(lines[at - 1 if before else at], content, indent)
    at += not before
    return [*lines[:at], line, *lines[at:]]


MODES = {"insert": _insert_line, "ensure": _ensure_line, "delete": _delete_line, "replace": _replace_line}


def _edited(lines: list[str], content: str, mode: str, places: dict[str, Any], indent: bool) -> list[str]:
    """The lines of a file after one edit."""
    if lines and _end_of(lines[-1]):
        lines = [*lines, ""]  # what is behind the last line end
    for name in ("match", "before", "after"):
        places[name] = _matching(lines, places[name])
    new = MODES[mode](lines, content, places, indent)
    ended = []
    for at, line in enumerate(new):
        if not _end_of(line) and at + 1 < len(new):
            line = line.rstrip() + (_end_of(new[at - 1 if at > 1 else 1]) or "\n")
        ended.append(line)
    return ended[:-1] if ended and ended[-1] == "" else ended


def line(
    path,
    content=None,
    match=None,
    mode=None,
    location=None,
    before=None,
    after=None,
    show_changes=True,
    backup=False,
    quiet=False,
    indent=True,
    test=False,
):
    """Edit one line of a file: a unified diff, or False if nothing changes; with show_changes=False True or False.

    path
        the file; links are followed
    content
        the line
    match
        a text or a regular expression of the line to replace or delete; without it, before and after: content
    mode
        ensure: content stands before or after another line; insert: it is put there, or at `location`; replace: it
        takes the place of the first line that matches; delete: that line goes
    location
        start or end, for insert
    before, after
        a text or a regular expression of exactly one line
    show_changes
        False: only say whether something changes
    backup
        True: the old contents are kept under a name with the time
    quiet
        False, in place of an error, if there is no such file
    indent
        content begins as far to the right as its neighbour

    CLI Example: salt '*' file.line /etc/nsswitch.conf 'networks: files dns' after='hosts:.*?' mode=ensure"""
    given = _expanded(path)
    path = os.path.realpath(given)
    if not os.path.isfile(path):
        if quiet:
            return False
        raise CommandExecutionError(f'File "{path}" does not exists or is not a file.')
    mode = str(mode).lower() if mode else mode
    if mode is None:
        raise CommandExecutionError("Mode was not defined. How to process the file?")
    if mode not in MODES:
        raise CommandExecutionError(f'Unknown mode: "{mode}"')
    if mode != "delete" and content is None:
        raise CommandExecutionError('Content can only be empty if mode is "delete"')
    if before is None and after is None and not match:
        match = content
    data = _contents(path)
    lines = _split(_as_text(data))
    places = {"match": match, "before": before, "after": after, "location": location}
    new = _edited(lines, "" if content is None else str(content), mode, places, indent)
    if new == lines:
        return False
    if not test:
        _target(given)
        if backup:
            _back_up(path, data, f"{path}.{time.strftime('%Y-%m-%d-%H-%M-%S')}")
        _put(path, [_as_bytes("".join(new))])
    return _diff(lines, new) if show_changes else True


def _block(content: str, append_newline: Any, end: str, marker_end: str) -> list[str]:
    """The lines between the markers, and the line of the end marker."""
    lines = re.split("\r\n|\n", content)
    if append_newline or (append_newline is None and not content.endswith("\n")):
        lines.append("")
    return [*(f"{line}{end}" for line in lines[:-1]), f"{lines[-1]}{marker_end.rstrip(chr(13) + chr(10))}{end}"]


def _block_replaced(lines: list[str], start: str, stop: str, block: Callable[[str], list[str]]) -> list[str] | None:
    """The lines with what stands between the markers replaced; None if there are no markers."""
    new: list[str] = []
    inside = found = False
    for line in lines:
        if start in line:
            inside = True
            new.append(line)
        elif not inside:
            new.append(line)
        elif stop in line:
            new += block(line[line.index(stop) :])
            inside, found = False, True
    if inside:
        raise CommandExecutionError("Unterminated marked block. End of file reached before marker_end.")
    return new if found else None


def _block_put(lines: list[str], whole: list[str], end: str, where: dict[str, Any]) -> list[str]:
    """The lines with a block where there was none."""
    if where["prepend_if_not_found"]:
        return [*whole, *lines]
    if where["append_if_not_found"]:
        tail = [lines[-1] if lines[-1].endswith(end) else lines[-1] + end] if lines else []
        return [*lines[:-1], *tail, *whole]
    pattern = where["insert_before_match"] or where["insert_after_match"]
    if pattern and not isinstance(pattern, str):
        which = "insert_before_match" if where["insert_before_match"] else "insert_after_match"
        raise CommandExecutionError(f"RegEx expected in {which} parameter.")
    places = [at for at, line in enumerate(lines) if pattern and _compiled(pattern).search(line)]
    if not places:
        raise CommandExecutionError("Cannot edit marked block. Markers were not found in file.")
    at = places[0] + (not where["insert_before_match"])
    return [*lines[:at], *whole, *lines[at:]]


def get_diff(
    file1,
    file2,
    saltenv="base",
    show_filenames=True,
    show_changes=True,
    template=False,
    source_hash_file1=None,
    source_hash_file2=None,
):
    """A unified diff of two files, empty if they are the same. What is no text is named, and not shown.

    file1, file2
        paths, or salt://…, http://…
    saltenv
        where files of the master's come from
    show_filenames
        False: without the names of the files
    show_changes
        False: `<show_changes=False>` in place of the diff
    template
        True: where the option obfuscate_templates is set, `<Obfuscated Template>` in place of the diff
    source_hash_file1, source_hash_file2
        hashes that what is fetched must have

    CLI Example: salt '*' file.get_diff /etc/motd salt://motd"""
    paths = []
    for name, digest in ((file1, source_hash_file1), (file2, source_hash_file2)):
        path = _expanded(name)
        if "://" in path and not (path := __salt__["cp.cache_file"](path, saltenv, source_hash=digest)):
            raise CommandExecutionError(f"File {name} not found")
        paths.append(path)
    old, new = map(_contents, paths)
    if old == new:
        return ""
    if template and __salt__["config.option"]("obfuscate_templates"):
        return "<Obfuscated Template>"
    if not show_changes:
        return "<show_changes=False>"
    kinds = tuple("text" if _is_text(data) else "binary" for data in (old, new))
    if "binary" in kinds:
        return "Replace binary file" if len(set(kinds)) == 1 else f"Replace {kinds[0]} file with {kinds[1]} file"
    lines = [[_decoded(line) for line in data.splitlines(True)] for data in (old, new)]
    return _diff(lines[0], lines[1], *(paths if show_filenames else ()))


def blockreplace(
    path,
    marker_start="#-- start managed zone --",
    marker_end="#-- end managed zone --",
    content="",
    append_if_not_found=False,
    prepend_if_not_found=False,
    backup=".bak",
    dry_run=False,
    show_changes=True,
    append_newline=False,
    insert_before_match=None,
    insert_after_match=None,
    test=False,
):
    """Replace what stands between two marked lines of a file: a unified diff, which is empty if nothing changes; with
    show_changes=False True or False.

    path
        the file; links are followed
    marker_start, marker_end
        texts in the line before and the line behind
    content
        what is to stand between them
    append_if_not_found, prepend_if_not_found
        put the markers and content at the end or the beginning if there are no markers
    insert_before_match, insert_after_match
        put them before or behind the first line that a regular expression matches
    backup
        the old contents are kept under this extension; False: not
    dry_run, test
        say what would change, and change nothing
    show_changes
        False: only say whether something changes
    append_newline
        True: a line end behind content; None: if it has none

    CLI Example: salt '*' file.blockreplace /etc/hosts '#-- start --' '#-- end --' '10.0.1.1 foo' append_newline=True"""
    where = {"append_if_not_found": append_if_not_found, "prepend_if_not_found": prepend_if_not_found}
    where |= {"insert_before_match": insert_before_match, "insert_after_match": insert_after_match}
    if sum(map(bool, where.values())) > 1:
        raise SaltInvocationError(f"Only one of {', '.join([*where][:3])}, and {[*where][3]} is permitted")
    given = _expanded(path)
    path = os.path.realpath(given)
    if not os.path.exists(path):
        raise SaltInvocationError(f"File not found: {given}")
    data = _contents(path)
    if not _is_text(data):
        raise SaltInvocationError(f"Cannot perform string replacements on a binary file: {given}")
    lines = re.findall("[^\n]*\n|[^\n]+", _as_text(data))
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    content = str(content)
    new = _block_replaced(lines, marker_start, marker_end, lambda stop: _block(content, append_newline, end, stop))
    if new is None:
        whole = [marker_start + end, *_block(content, append_newline, end, marker_end)]
        new = _block_put(lines, whole, end, where)
    if new != lines and not dry_run and not test:
        _target(given)
        if backup is not False:
            _back_up(path, data, f"{path}{backup}")
        _put(path, [_as_bytes("".join(new))])
    return _diff(lines, new) if show_changes else new != lines


# Making, moving and removing


def mkdir(dir_path, user=None, group=None, mode=None, test=False):
    """Make a directory, and those above it: True.

    dir_path
        the directory
    user, group, mode
        of each directory that is made

    CLI Example: salt '*' file.mkdir /opt/jetty/context"""
    directory = os.path.normpath(_expanded(dir_path))
    if os.path.isdir(directory):
        return True
    if test:
        return f"Would make the directory {directory}."
    makedirs_perms(directory, user, group, mode)
    return True


def makedirs_(path, user=None, group=None, mode=None, test=False):
    """Make the directory that is to hold a path, and those above it: None, or a text that says that it is there.

    path
        what comes behind its last `/` is not made: /opt/code/ means /opt/code
    user, group, mode
        of each directory that is made

    CLI Example: salt '*' file.makedirs /opt/code/"""
    path = _expanded(path)
    directory = os.path.normpath(os.path.dirname(path))
    if os.path.isdir(directory):
        return f"Directory '{directory}' already exists"
    if os.path.exists(directory):
        return f"The path '{directory}' already exists and is not a directory"
    if not os.path.isabs(directory):
        problem = f"Recursive creation for path '{directory}' would result in an infinite loop."
        raise SaltInvocationError(f"{problem} Please use an absolute path.")
    if test:
        return f"Would make the directory {directory}."
    return makedirs_perms(directory, user, group, mode)


def makedirs_perms(name, user=None, group=None, mode="0755", test=False):
    """Make a directory, and those above it, all with the same owner and mode: None.

    name
        the directory, which must not be there yet
    user, group, mode
        of each directory that is made

    CLI Example: salt '*' file.makedirs_perms /opt/code"""
    name = _expanded(name).rstrip("/")
    uid, gid, problem = _owners(user, group)
    if problem:
        raise CommandExecutionError(problem.strip().replace("\n", "; "))
    try:
        number = None if mode is None else _mode(mode)
    except ValueError:
        raise SaltInvocationError(f"{mode!r} is no mode.") from None
    wanted = [name]
    while (parent := os.path.dirname(wanted[-1])) and not os.path.exists(parent):
        wanted.append(parent)
    if test:
        return f"Would make the directories {', '.join(reversed(wanted))}."
    for directory in reversed(wanted):
        try:
            os.mkdir(directory)
            # by its descriptor: whoever may write to the one above can put a link in its place meanwhile
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if number is not None:
                    os.fchmod(fd, number)
                if (uid, gid) != (-1, -1):
                    os.fchown(fd, uid, gid)
            finally:
                os.close(fd)
        except OSError as error:
            raise _failure(directory, error) from None
    return None


def symlink(src, path, force=False, atomic=False, follow_symlinks=True, test=False):
    """Make a symbolic link: True.

    src
        where it points to
    path
        the link, absolute
    force
        True: in place of a link or file that is there
    atomic
        True: so that there is no moment without it
    follow_symlinks
        False: a link that leads nowhere counts as there

    CLI Example: salt '*' file.symlink /path/to/file /path/to/link"""
    path = _expanded(path)
    _absolute(path, f"Link path must be absolute: {path}")
    if os.path.islink(path):
        if os.path.normpath(os.readlink(path)) == os.path.normpath(src):
            return True
        if not force and not atomic:
            raise CommandExecutionError(f"Found existing symlink: {path}")
    elif (os.path.exists if follow_symlinks else os.path.lexists)(path):
        if not force and not atomic:
            raise CommandExecutionError(f"Existing path is not a symlink: {path}")
        if os.path.isdir(path):
            raise CommandExecutionError(f"Could not create '{path}': it is a directory.")
    if test:
        return f"Would make {path} a link to {src}."
    beside = os.path.join(os.path.dirname(path), f".{os.urandom(8).hex()}")
    try:
        os.symlink(src, beside)
        os.rename(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise CommandExecutionError(f"Could not create '{path}': {error.strerror}") from None
    return True


def link(src, path, test=False):
    """Give a file another name, a hard link: True.

    src
        the file, absolute
    path
        its other name

    CLI Example: salt '*' file.link /path/to/file /path/to/link"""
    src, path = _absolute(src), _expanded(path)
    if test:
        return f"Would make {path} another name of {src}."
    try:
        os.link(src, path)
    except OSError as error:
        raise CommandExecutionError(f"Could not create '{path}': {error}") from None
    return True


def rename(src, dst, test=False):
    """Rename a file or directory: True. A file that has the new name already is replaced.

    src
        absolute
    dst
        its new name, on the same file system

    CLI Example: salt '*' file.rename /path/to/src /path/to/dst"""
    src, dst = _absolute(src), _expanded(dst)
    if test:
        return f"Would rename {src} to {dst}."
    try:
        os.rename(src, dst)
    except OSError:
        raise CommandExecutionError(f"Could not rename '{src}' to '{dst}'") from None
    return True


def move(src, dst, disallow_copy_and_unlink=False, test=False):
    """Move a file or directory, to another file system, too: a map of result and comment.

    src
        absolute
    dst
        its new name, or a directory to put it into; absolute
    disallow_copy_and_unlink
        True: as file.rename does it, or not at all

    CLI Example: salt '*' file.move /path/to/src /path/to/dst"""
    import shutil

    if disallow_copy_and_unlink:
        return rename(src, dst, test)
    src, dst = _absolute(src, "Source path must be absolute."), _absolute(dst, "Destination path must be absolute.")
    if os.path.lexists(src):
        _removable(src)  # across file systems it is copied and removed
    if test:
        return {"result": True, "comment": f"'{src}' would be moved to '{dst}'"}
    try:
        shutil.move(src, dst)
    except OSError as error:
        raise CommandExecutionError(f"Unable to move '{src}' to '{dst}': {error}") from None
    return {"result": True, "comment": f"'{src}' moved to '{dst}'"}


def _copy_one(src: str, dst: str) -> str:
    """Copy a file with its mode and owner, or a link as a link."""
    import shutil

    if os.path.islink(src):
        shutil.copyfile(src, dst, follow_symlinks=False)
    else:
        _put(dst, _chunks(src), like=src)
    return dst


def copy(src, dst, recurse=False, remove_existing=False, test=False):
    """Copy a file or directory, with mode and owner: True. Below a directory links are copied as links.

    src
        absolute
    dst
        its copy; a file that is there is replaced
    recurse
        True: a directory, too, whose files are put beside those that are there
    remove_existing
        with recurse: what is there is removed first

    CLI Example: salt '*' file.copy /path/to/src_dir /path/to/dst_dir recurse=True"""
    import shutil

    src, dst = _absolute(src), _absolute(dst)
    if not os.path.exists(src):
        raise CommandExecutionError(f"No such file or directory '{src}'")
    directory = os.path.isdir(dst) or os.path.isdir(src)
    if directory and not recurse:
        how = "Cannot copy overwriting a directory without recurse flag set to true!"
        raise SaltInvocationError(how)
    if directory and f"{os.path.realpath(dst)}/".startswith(f"{os.path.realpath(src)}/"):
        raise CommandExecutionError(f"Could not copy '{src}' to '{dst}': the one lies in the other")
    if directory and not os.path.isdir(src):
        dst, directory = os.path.join(dst, os.path.basename(src)), False
    existing = _removable(dst) if directory and remove_existing and os.path.exists(dst) else ""
    if test:
        return f"Would {f'remove {existing} and ' if existing else ''}copy {src} to {dst}."
    try:
        if existing:
            _remove(existing)
        if not directory:
            _put(dst, _chunks(src), like=src)
            return True
        shutil.copytree(src, dst, symlinks=True, copy_function=_copy_one, dirs_exist_ok=True)
        info = os.stat(src)
        os.chown(dst, info.st_uid, info.st_gid)
    except (OSError, shutil.Error) as error:
        raise CommandExecutionError(f"Could not copy '{src}' to '{dst}': {error}") from None
    return True


def _remove(path: str) -> None:
    import shutil

    if not os.path.isdir(path) or os.path.islink(path):
        os.remove(path)
        return
    try:
        shutil.rmtree(path)
    except RecursionError:
        raise OSError(errno.ELOOP, "its directories are nested too deep to be removed at once") from None


def remove(path, test=False, **kwargs):
    """Remove a file, or a directory with all it holds: True, or False if it is not there. `/` and mount points are
    refused, and directories that hold one.

    path
        absolute; of a link the link itself is removed

    CLI Example: salt '*' file.remove /tmp/foo"""
    path = _absolute(path, f"File path must be absolute: {path}")
    if not os.path.lexists(path.rstrip("/") or "/"):
        return False
    real = _removable(path)
    if test:
        what = "and all it holds" if os.path.isdir(real) and not os.path.islink(real) else ""
        return f"Would remove {real} {what}".rstrip() + "."
    try:
        _remove(real)
    except OSError as error:
        raise CommandExecutionError(f"Could not remove '{path}': {error}") from None
    return True


def rmdir(path, recurse=False, verbose=False, older_than=None, test=False):
    """Remove an empty directory: True, or False if it could not be removed. With recurse `/`, mount points and
    directories that hold one are refused.

    path
        absolute
    recurse
        True: the empty directories in it first
    verbose
        True: a map of deleted, errors (pairs of path and reason) and result
    older_than
        days: only what has not changed since

    CLI Example: salt '*' file.rmdir /tmp/foo/"""
    path = _absolute(path)
    if not os.path.isdir(path):
        raise SaltInvocationError(f"A valid directory was not specified: {path}")
    try:
        since = time.time() - int(older_than) * 86400 if older_than else None
    except (TypeError, ValueError):
        raise SaltInvocationError("older_than must be a number of days.") from None
    if recurse:
        _removable(path)
    below = [os.path.join(top, name) for top, names, _ in os.walk(path, topdown=False) for name in names]
    deleted: list[str] = []
    errors: list[list[str]] = []
    for directory in [*(below if recurse else []), path]:
        try:
            if since is not None and os.path.getmtime(directory) >= since:
                continue
            if not test:
                os.rmdir(directory)
            deleted.append(directory)
        except OSError as error:
            errors.append([directory, str(error)])
    result = not errors and (bool(recurse) or path in deleted)
    if test:
        return f"Would remove {', '.join(deleted)}, as far as they are empty."
    return {"deleted": deleted, "errors": errors, "result": result} if verbose else result


# Names


def basename(path):
    """The last part of a path: text.

    path
        a path

    CLI Example: salt '*' file.basename 'test/test.config'"""
    return os.path.basename(path)


def dirname(path):
    """A path without its last part: text.

    path
        a path

    CLI Example: salt '*' file.dirname 'test/path/filename.config'"""
    return os.path.dirname(path)


def join(*args):
    """The parts of a path, put together: text.

    args
        the parts; an absolute one drops those before it

    CLI Example: salt '*' file.join / usr local bin"""
    return os.path.join(*args)


def normpath(path):
    """A path without `//`, `.` and `..`.

    path
        a path

    CLI Example: salt '*' file.normpath 'a/b/c/..'"""
    return os.path.normpath(path)


def pardir():
    """What means the directory above: `..`.

    CLI Example: salt '*' file.pardir"""
    return os.path.pardir
