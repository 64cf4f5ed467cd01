"""Passwords, as hashes, and how long they and their users are valid; by chpasswd, chage and passwd.

With `root=` a function looks into, or changes, the files of another tree. Days are numbers of days; dates are days
since 1970-01-01, or YYYY-MM-DD; -1 means: not set."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

__context__: dict[str, Any]
__grains__: dict[str, Any]
__opts__: dict[str, Any]
__salt__: Mapping[str, Any]

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]*\$?")
HASH = re.compile(r"[!*]*(\$[^:\s]+)?")
FIELDS = ("name", "passwd", "lstchg", "min", "max", "warn", "inact", "expire")
SALT_LETTERS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ALGORITHMS = {  # what stands before the salt, and how long that is
    "sha512": ("$6$", 16),
    "sha256": ("$5$", 16),
    "yescrypt": ("$y$j9T$", 24),
    "blowfish": ("$2b$12$", 22),
    "md5": ("$1$", 8),
    "crypt": ("", 2),
}


def _change(argv: Sequence[str], test: Any, stdin: str = "") -> Any:
    """Run what changes a line of shadow: True; raises with what the program says. With `test` only say so."""
    import subprocess

    if _true(test):
        return f"Would run {' '.join(argv)}. Nothing was changed."
    env = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    pipes: dict[str, Any] = {"input": stdin.encode(), "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        done = subprocess.run(argv, env=env, check=False, **pipes)
    except OSError as error:
        raise CommandExecutionError(f"{argv[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip()
        raise CommandExecutionError(said or f"{argv[0]} ended with exit code {done.returncode}")
    return True


def _true(value: Any) -> bool:
    return value.lower() in ("true", "yes", "1", "on") if isinstance(value, str) else bool(value)


def _root(root: Any) -> list[str]:
    if root in (None, ""):
        return []
    if not os.path.isabs(str(root)) or not os.path.isdir(str(root)):
        raise SaltInvocationError(f"root must be an absolute path of a directory, not {root}")
    return ["--root", str(root)]


def _entries(root: Any) -> dict[str, dict[str, Any]]:
    """All lines by name: {"name", "passwd", "lstchg" …}, numbers as numbers, -1 where nothing stands."""
    path = os.path.join(str(root or "/"), "etc/shadow")
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(":") for line in file]
    except OSError as error:
        raise CommandExecutionError(f"{path} cannot be read: {error.strerror}") from None
    found = {}
    for name, passwd, *numbers in (line for line in lines if len(line) >= 8):
        values = [int(each) if re.fullmatch(r"-?\d+", each) else -1 for each in numbers[:6]]
        found[name] = dict(zip(FIELDS, [name, passwd, *values], strict=True))
    return found


def _there(name: Any, root: Any) -> dict[str, Any]:
    found = info(name, root=root)
    if not found["name"] or not NAME.fullmatch(found["name"]):
        raise CommandExecutionError(f"User '{name}' has no line in {os.path.join(str(root or '/'), 'etc/shadow')}")
    return found


def _set(name: Any, key: str, value: Any, option: str, root: Any, test: Any) -> Any:
    """Change one thing by chage, if it is not so already."""
    date = key in ("lstchg", "expire")
    if isinstance(value, bool) or not re.fullmatch(r"-?\d+|\d{4}-\d\d-\d\d" if date else r"-?\d+", str(value)):
        raise SaltInvocationError(f"{value!r} is no number of days{' and no date as 2030-12-31' if date else ''}")
    if str(_there(name, root)[key]) == str(value):
        return True
    return _change(["chage", *_root(root), option, str(value), str(name)], test)


def default_hash():
    """Returns the hash of a user without a password, with which nobody logs in.

    CLI Example: salt '*' shadow.default_hash"""
    return "!"


def del_password(name, root=None, test=False):
    """Let a user log in without a password. Returns True. See shadow.lock_password for the opposite.

    CLI Example: salt '*' shadow.del_password alice"""
    _there(name, root)
    return _change(["passwd", *_root(root), "-d", str(name)], test)


def gen_password(password, crypt_salt=None, algorithm="sha512"):
    """Returns the hash of a password, for shadow.set_password. algorithm: sha512, sha256, yescrypt, blowfish, md5,
    crypt, as the machine's libcrypt has them. The password is in the job: better make the hash elsewhere.

    CLI Example: salt '*' shadow.gen_password 'I_am_password' crypt_salt=saltsalt algorithm=sha256"""
    import ctypes
    import secrets

    if algorithm not in ALGORITHMS:
        raise SaltInvocationError(f"There is no algorithm {algorithm!r}; there are {', '.join(ALGORITHMS)}")
    mark, size = ALGORITHMS[algorithm]
    salt = str(crypt_salt) if crypt_salt else "".join(secrets.choice(SALT_LETTERS) for _ in range(size))
    if re.search(r"[:\s$]", salt):
        raise SaltInvocationError("crypt_salt may have no colon, blank or dollar")
    for name in ("libcrypt.so.1", "libcrypt.so.2", "libcrypt.so", "libc.musl-x86_64.so.1", "libc.so"):
        try:
            crypt = ctypes.CDLL(name).crypt
            break
        except (OSError, AttributeError):
            continue
    else:
        raise CommandExecutionError("This machine has no libcrypt, which makes hashes")
    crypt.restype, crypt.argtypes = ctypes.c_char_p, [ctypes.c_char_p, ctypes.c_char_p]
    found = crypt(str(password).encode(), f"{mark}{salt}".encode())
    if not found or found.startswith(b"*"):
        raise CommandExecutionError(f"This machine's libcrypt makes no hash by {algorithm} with this salt")
    return found.decode()


def info(name, root=None):
    """A user's line of shadow. Returns {"name", "passwd" (a hash), "lstchg", "min", "max", "warn", "inact", "expire"};
    all "" if there is none.

    CLI Example: salt '*' shadow.info root"""
    return _entries(root).get(str(name), dict.fromkeys(FIELDS, ""))


def list_users(root=None):
    """Returns the names of all users that have a line in shadow.

    CLI Example: salt '*' shadow.list_users"""
    return sorted(_entries(root))


def lock_password(name, root=None, test=False):
    """Let nobody log in by a user's password. Returns True. A key still opens.

    CLI Example: salt '*' shadow.lock_password alice"""
    if _there(name, root)["passwd"].startswith("!"):
        return True
    return _change(["passwd", *_root(root), "-l", str(name)], test)


def set_date(name, date, root=None, test=False):
    """Set when a user's password was changed last. Returns True. 0: it must be changed at the next login.

    CLI Example: salt '*' shadow.set_date alice 0"""
    return _set(name, "lstchg", date, "-d", root, test)


def set_expire(name, expire, root=None, test=False):
    """Set the day on which a user ends. Returns True. -1: never.

    CLI Example: salt '*' shadow.set_expire alice 2030-12-31"""
    return _set(name, "expire", expire, "-E", root, test)


def set_inactdays(name, inactdays, root=None, test=False):
    """Set for how many days behind the end of a password one can still log in to change it. Returns True.

    CLI Example: salt '*' shadow.set_inactdays alice 7"""
    return _set(name, "inact", inactdays, "-I", root, test)


def set_maxdays(name, maxdays, root=None, test=False):
    """Set after how many days a password must be changed. Returns True.

    CLI Example: salt '*' shadow.set_maxdays alice 90"""
    return _set(name, "max", maxdays, "-M", root, test)


def set_mindays(name, mindays, root=None, test=False):
    """Set how many days a password must be kept. Returns True.

    CLI Example: salt '*' shadow.set_mindays alice 7"""
    return _set(name, "min", mindays, "-m", root, test)


def set_password(name, password, use_usermod=False, root=None, test=False):
    """Set a user's password by its hash. Returns True. What is no hash is refused: shadow.gen_password makes one. "!"
    lets nobody log in by it. The hash goes to chpasswd and is not in the list of processes.

    CLI Example: salt '*' shadow.set_password alice '$5$saltsalt$4l7ACGjxLnrX2pCsP6E9r5i1BSlUaWLsCIVPg7bQOnC'"""
    text = str(password)
    if not HASH.fullmatch(text):
        raise SaltInvocationError("This is no hash of a password; shadow.gen_password makes one")
    if not re.search(rf"(?m)^{re.escape(str(name))}:", _passwd(root)) or not NAME.fullmatch(str(name)):
        raise CommandExecutionError(f"User '{name}' does not exist")
    if info(name, root=root)["passwd"] == text and not _true(test):
        return True
    return _change(["chpasswd", *_root(root), "--encrypted"], test, f"{name}:{text}\n")


def _passwd(root: Any) -> str:
    with open(os.path.join(str(root or "/"), "etc/passwd"), encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def set_warndays(name, warndays, root=None, test=False):
    """Set how many days before the end of a password its user is warned. Returns True.

    CLI Example: salt '*' shadow.set_warndays alice 7"""
    return _set(name, "warn", warndays, "-W", root, test)


def unlock_password(name, root=None, test=False):
    """Undo shadow.lock_password. Returns True; raises if the user would be left without a password.

    CLI Example: salt '*' shadow.unlock_password alice"""
    if not _there(name, root)["passwd"].startswith("!"):
        return True
    return _change(["passwd", *_root(root), "-u", str(name)], test)
