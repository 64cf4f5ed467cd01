"""Groups: those that the machine knows, and changes of them by groupadd, groupmod, groupdel and gpasswd.

With `root=` a function looks into, or changes, the files of another tree (as `groupadd --root` does, for which one must
be root)."""

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


def _change(argv: Sequence[str], test: Any) -> Any:
    """Run what changes a group: True; raises with what the program says. With `test` only say so."""
    import subprocess

    if _true(test):
        return f"Would run {' '.join(argv)}. Nothing was changed."
    env = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
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


def _named(name: Any, what: str = "group") -> str:
    """A name; what a program would take for an option is refused."""
    text = str(name)
    if not NAME.fullmatch(text):
        raise SaltInvocationError(f"{text!r} is no name of a {what}")
    return text


def _root(root: Any) -> list[str]:
    if root in (None, ""):
        return []
    if not os.path.isabs(str(root)) or not os.path.isdir(str(root)):
        raise SaltInvocationError(f"root must be an absolute path of a directory, not {root}")
    return ["--root", str(root)]


def _entries(root: Any) -> list[dict[str, Any]]:
    """All groups; of another tree those that its file has, the broken lines left out."""
    import grp

    if root in (None, ""):
        rows: list[Any] = [tuple(entry) for entry in grp.getgrall()]
    else:
        with open(os.path.join(str(root), "etc/group"), encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(":") for line in file]
        good = (line for line in lines if len(line) == 4 and line[2].isdigit())
        rows = [(name, passwd, int(gid), members.split(",") if members else []) for name, passwd, gid, members in good]
    return [{"name": name, "passwd": passwd, "gid": gid, "members": list(users)} for name, passwd, gid, users in rows]


def _there(name: Any, root: Any) -> dict[str, Any]:
    """What is known of a group; raises if there is none of this name."""
    found = info(name, root=root)
    if not found:
        raise CommandExecutionError(f"Group '{name}' does not exist")
    return found


def _number(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d+", str(value)):
        raise SaltInvocationError(f"gid must be a number, not {value!r}")
    return int(value)


def add(name, gid=None, system=False, root=None, non_unique=False, local=False, test=False):
    """Add a group. Returns True, or raises with what groupadd says. system=True: a number of the system's;
    non_unique=True: the number may be another's, too; local=True: by lgroupadd. test=True says what would be run.

    CLI Example: salt '*' group.add editors gid=3000"""
    argv = ["lgroupadd"] if _true(local) else ["groupadd", *_root(root)]
    if gid not in (None, ""):
        argv += ["-g", str(_number(gid)), *(["-o"] if _true(non_unique) and not _true(local) else [])]
    argv += ["-r"] if _true(system) else []
    return _change([*argv, _named(name)], test)


def adduser(name, username, root=None, test=False):
    """Put a user into a group. Returns True, also if it is there already.

    CLI Example: salt '*' group.adduser editors alice"""
    if str(username) in _there(name, root)["members"]:
        return True
    return _change(["gpasswd", *_root(root), "--add", _named(username, "user"), _named(name)], test)


def chgid(name, gid, root=None, non_unique=False, test=False):
    """Change a group's number. Returns True. Files keep the old one.

    CLI Example: salt '*' group.chgid editors 3001"""
    wanted = _number(gid)
    if _there(name, root)["gid"] == wanted:
        return True
    shared = ["-o"] if _true(non_unique) else []
    return _change(["groupmod", *_root(root), "-g", str(wanted), *shared, _named(name)], test)


def delete(name, root=None, local=False, test=False):
    """Delete a group. Returns True, or raises with what groupdel says; that refuses if it is a user's primary one.

    CLI Example: salt '*' group.delete editors"""
    argv = ["lgroupdel"] if _true(local) else ["groupdel", *_root(root)]
    return _change([*argv, _named(name)], test)


def deluser(name, username, root=None, test=False):
    """Take a user out of a group. Returns True, also if it is not there.

    CLI Example: salt '*' group.deluser editors alice"""
    if str(username) not in info(name, root=root).get("members", []):
        return True
    return _change(["gpasswd", *_root(root), "--delete", _named(username, "user"), _named(name)], test)


def getent(refresh=False, root=None):
    """Returns what is known of all groups, a list of what group.info gives.

    CLI Example: salt '*' group.getent"""
    return _entries(root)


def info(name, root=None):
    """What is known of a group. Returns {"name", "gid", "members": [names], "passwd"}; an empty map if there is none of
    this name. Users whose primary group it is are no members.

    CLI Example: salt '*' group.info sudo"""
    import grp

    if root not in (None, ""):
        return next((entry for entry in _entries(root) if entry["name"] == str(name)), {})
    try:
        entry = grp.getgrnam(str(name))
    except KeyError:
        return {}
    return {"name": entry.gr_name, "passwd": entry.gr_passwd, "gid": entry.gr_gid, "members": list(entry.gr_mem)}


def members(name, members_list, root=None, test=False):
    """Let a group have these members and no others: a list, or text with commas, "" for none. Returns True, or raises
    with what gpasswd says.

    CLI Example: salt '*' group.members editors alice,bob"""
    listed = members_list.split(",") if isinstance(members_list, str) else members_list or []
    wanted = [_named(each.strip(), "user") for each in map(str, listed) if each.strip()]
    _there(name, root)
    return _change(["gpasswd", *_root(root), "--members", ",".join(wanted), _named(name)], test)
