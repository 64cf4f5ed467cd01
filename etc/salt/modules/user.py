"""Users: those whom the machine knows, and changes of them by useradd, usermod and userdel.

With `root=` a function looks into, or changes, the files of another tree (as `useradd --root` does, for which one must
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

GECOS = ("fullname", "roomnumber", "workphone", "homephone", "other")  # the parts of a passwd line's comment
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]*\$?")


def _run(argv: Sequence[str]) -> tuple[int, str]:
    """Run a program: (exit code, what it says)."""
    import subprocess

    env = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, check=False
        )
    except OSError as error:
        raise CommandExecutionError(f"{argv[0]} cannot be run: {error.strerror}") from None
    return done.returncode, done.stdout.decode(errors="replace").strip()


def _change(argv: Sequence[str], test: Any, well: Sequence[int] = (0,)) -> Any:
    """Run what changes a user: True; raises with what the program says. With `test` only say so."""
    if _true(test):
        return f"Would run {' '.join(map(_shown, argv))}. Nothing was changed."
    code, said = _run(argv)
    if code not in well:
        raise CommandExecutionError(said or f"{argv[0]} ended with exit code {code}")
    return True


def _shown(word: str) -> str:
    return word if re.fullmatch(r"[\w@%+=:,./-]+", word) else repr(word)


def _true(value: Any) -> bool:
    return value.lower() in ("true", "yes", "1", "on") if isinstance(value, str) else bool(value)


def _named(name: Any) -> str:
    """A user's name; what a program would take for an option is refused."""
    text = str(name)
    if not NAME.fullmatch(text):
        raise SaltInvocationError(f"{text!r} is no name of a user")
    return text


def _field(value: Any, what: str) -> str:
    """What may stand in a line of passwd."""
    text = str(value)
    if re.search(r"[:\x00-\x1f\x7f]", text):
        raise SaltInvocationError(f"{what} may have no colon and no control character: {text!r}")
    return text


def _root(root: Any) -> list[str]:
    if root in (None, ""):
        return []
    if not os.path.isabs(str(root)) or not os.path.isdir(str(root)):
        raise SaltInvocationError(f"root must be an absolute path of a directory, not {root}")
    return ["--root", str(root)]


def _lines(name: str, root: Any) -> list[list[str]]:
    """The lines of passwd or group below a root, split at their colons; the broken ones left out."""
    with open(os.path.join(str(root), "etc", name), encoding="utf-8", errors="surrogateescape") as file:
        lines = [line.rstrip("\n").split(":") for line in file]
    numbers = {"passwd": (2, 3), "group": (2,)}[name]
    wanted = {"passwd": 7, "group": 4}[name]
    return [line for line in lines if len(line) == wanted and all(line[n].isdigit() for n in numbers)]


def _entries(root: Any) -> list[tuple[Any, ...]]:
    """All users: (name, passwd, uid, gid, comment, home, shell)."""
    import pwd

    if root in (None, ""):
        return [tuple(entry) for entry in pwd.getpwall()]
    return [(n, p, int(u), int(g), c, h, s) for n, p, u, g, c, h, s in _lines("passwd", root)]


def _entry(name: str, root: Any) -> tuple[Any, ...] | None:
    import pwd

    if root not in (None, ""):
        return next((entry for entry in _entries(root) if entry[0] == name), None)
    try:
        return tuple(pwd.getpwnam(name))
    except KeyError:
        return None


def _groups(name: str, gid: int, root: Any) -> list[str]:
    """The names of a user's groups."""
    import grp

    if root not in (None, ""):
        listed = _lines("group", root)
        return sorted({line[0] for line in listed if int(line[2]) == gid or name in line[3].split(",")})
    found = set()
    for each in os.getgrouplist(name, gid):
        try:
            found.add(grp.getgrgid(each).gr_name)
        except KeyError:  # a number that no group has
            continue
    return sorted(found)


def _format(entry: tuple[Any, ...], root: Any) -> dict[str, Any]:
    name, passwd, uid, gid, comment, home, shell = entry
    parts = [*comment.split(",", 4), *[""] * 5][:5]
    found = {"gid": gid, "groups": _groups(name, gid, root), "home": home, "name": name}
    return found | {"passwd": passwd, "shell": shell, "uid": uid, **dict(zip(GECOS, parts, strict=True))}


def _there(name: Any, root: Any) -> dict[str, Any]:
    """What is known of a user; raises if there is none of this name."""
    found = info(name, root=root)
    if not found:
        raise CommandExecutionError(f"User '{name}' does not exist")
    return found


def _set(name: Any, key: str, value: Any, words: Sequence[str], root: Any, test: Any) -> Any:
    """Change one thing of a user, if it is not so already."""
    if _there(name, root)[key] == value:
        return True
    ret = _change(["usermod", *_root(root), *words, str(value), _named(name)], test)
    return ret if _true(test) else info(value if key == "name" else name, root=root).get(key) == value


def _set_comment(name: Any, key: str, value: Any, root: Any, test: Any) -> Any:
    now, text = _there(name, root), _field("" if value is None else value, key)
    if key != "other" and "," in text:
        raise SaltInvocationError(f"{key} may have no comma, it stands between the parts of the comment: {text!r}")
    if now[key] == text:
        return True
    comment = ",".join({**now, key: text}[part] for part in GECOS).rstrip(",")
    return _change(["usermod", *_root(root), "-c", comment, _named(name)], test)


def _names(groups: Any) -> list[str]:
    """Groups, as a list or as text with commas."""
    listed = groups.split(",") if isinstance(groups, str) else [groups] if isinstance(groups, int) else groups or []
    found = [str(each).strip() for each in listed]
    for each in found:
        if not NAME.fullmatch(each):
            raise SaltInvocationError(f"{each!r} is no name of a group")
    return found


def _number(value: Any, what: str) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d+", str(value)):
        raise SaltInvocationError(f"{what} must be a number, not {value!r}")
    return int(value)


def add(
    name,
    uid=None,
    gid=None,
    groups=None,
    home=None,
    shell=None,
    unique=True,
    system=False,
    fullname="",
    roomnumber="",
    workphone="",
    homephone="",
    other="",
    createhome=True,
    loginclass=None,
    nologinit=False,
    root=None,
    usergroup=None,
    local=False,
    test=False,
):
    """Add a user. Returns True, or raises with what useradd says.

    gid: number or name of the primary group; groups: a list of others, or text with commas; system=True: a number of
    the system's, and no home unless createhome is given; usergroup: a group of the same name, or (False) none;
    unique=False: the number may be another's, too; local=True: by luseradd, for users of this machine alone.
    test=True says what would be run.

    CLI Example: salt '*' user.add alice uid=2000 groups=sudo,adm shell=/bin/bash fullname='Alice Liddell'"""
    details = dict(zip(GECOS, (fullname, roomnumber, workphone, homephone, other), strict=True))
    parts = [_field("" if value is None else value, key) for key, value in details.items()]
    if any("," in part for part in parts[:-1]):
        raise SaltInvocationError("only `other` may have a comma, it stands between the parts of the comment")
    local = _true(local)
    argv = ["luseradd" if local else "useradd"] + ([] if local else _root(root))
    argv += ["-s", _field(shell, "shell")] if shell else []
    argv += ["-u", str(_number(uid, "uid"))] if uid not in (None, "") else []
    argv += ["-g", _names([gid])[0]] if gid not in (None, "") else []
    if usergroup is not None and not _true(usergroup):
        argv += ["-n" if local else "-N"]
    elif usergroup is not None and gid in (None, "") and not local:
        argv += ["-U"]
    argv += ([] if local else ["-m"]) if _true(createhome) else ["-M"]
    argv += ["-l"] if _true(nologinit) and not local else []
    argv += ["-d", _field(home, "home")] if home is not None else []
    argv += ["-o"] if not _true(unique) else []
    argv += ["-r"] if _true(system) else []
    argv += ["-c", ",".join(parts).rstrip(",")] if any(parts) else []
    others = [each for each in _names(groups) if each != str(name)]
    argv += ["-G", ",".join(others)] if others and not local else []
    ret = _change([*argv, _named(name)], test)
    if local and others and not _true(test):
        return chgroups(name, others, append=True)  # luseradd has no word for them
    return ret


def chfullname(name, fullname, root=None, test=False):
    """Change a user's full name. Returns True.

    CLI Example: salt '*' user.chfullname alice 'Alice Liddell'"""
    return _set_comment(name, "fullname", fullname, root, test)


def chgid(name, gid, root=None, test=False):
    """Change a user's primary group, by its number. Returns True.

    CLI Example: salt '*' user.chgid alice 2000"""
    return _set(name, "gid", _number(gid, "gid"), ["-g"], root, test)


def chgroups(name, groups, append=False, root=None, test=False):
    """Change the groups that a user is in besides the primary one: a list or text with commas. append=True: the others
    stay. Returns True, also if there is nothing to change.

    CLI Example: salt '*' user.chgroups alice sudo,adm append=True"""
    wanted, now = set(_names(groups)), set(_there(name, root)["groups"])
    if wanted == now or (_true(append) and wanted <= now):
        return True
    argv = ["usermod", *_root(root), *(["-a"] if _true(append) else []), "-G", ",".join(sorted(wanted))]
    return _change([*argv, _named(name)], test)


def chhome(name, home, persist=False, root=None, test=False):
    """Change a user's home. Returns True. persist=True: move what is in it.

    CLI Example: salt '*' user.chhome alice /srv/alice persist=True"""
    words = [*(["-m"] if _true(persist) else []), "-d"]
    return _set(name, "home", _field(home, "home"), words, root, test)


def chhomephone(name, homephone, root=None, test=False):
    """Change a user's phone at home. Returns True.

    CLI Example: salt '*' user.chhomephone alice 7735551234"""
    return _set_comment(name, "homephone", homephone, root, test)


def chother(name, other, root=None, test=False):
    """Change the last part of a user's comment. Returns True.

    CLI Example: salt '*' user.chother alice 'back in May'"""
    return _set_comment(name, "other", other, root, test)


def chroomnumber(name, roomnumber, root=None, test=False):
    """Change a user's room. Returns True.

    CLI Example: salt '*' user.chroomnumber alice 123"""
    return _set_comment(name, "roomnumber", roomnumber, root, test)


def chshell(name, shell, root=None, test=False):
    """Change a user's shell. Returns True.

    CLI Example: salt '*' user.chshell alice /bin/zsh"""
    return _set(name, "shell", _field(shell, "shell"), ["-s"], root, test)


def chuid(name, uid, root=None, test=False):
    """Change a user's number. Returns True. What is outside of the home keeps the old one.

    CLI Example: salt '*' user.chuid alice 2000"""
    return _set(name, "uid", _number(uid, "uid"), ["-u"], root, test)


def chworkphone(name, workphone, root=None, test=False):
    """Change a user's phone at work. Returns True.

    CLI Example: salt '*' user.chworkphone alice 7735550123"""
    return _set_comment(name, "workphone", workphone, root, test)


def delete(name, remove=False, force=False, root=None, local=False, test=False):
    """Delete a user. Returns True, or raises with what userdel says. remove=True: with home and mail; force=True: even
    while it is logged in. The user that this minion runs as is not deleted, nor root. test=True says what would be run.

    CLI Example: salt '*' user.delete alice remove=True"""
    found = _there(name, root)
    if root in (None, "") and found["uid"] in (0, os.geteuid()):
        raise CommandExecutionError(f"User '{name}' is not deleted: this minion, or the whole machine, runs as it")
    argv = ["luserdel" if _true(local) else "userdel", *([] if _true(local) else _root(root))]
    argv += ["-r"] if _true(remove) else []
    argv += ["-f"] if _true(force) and not _true(local) else []
    ret = _change([*argv, _named(name)], test, well=(0, 12))  # 12: the home or the mail could not be removed
    if not _true(test) and _true(remove) and root in (None, "") and os.path.isdir(found["home"]):
        raise CommandExecutionError(f"User '{name}' is deleted, but {found['home']} could not be removed")
    return ret


def getent(refresh=False, root=None):
    """Returns what is known of all users, a list of what user.info gives.

    CLI Example: salt '*' user.getent"""
    return [_format(entry, root) for entry in _entries(root)]


def info(name, root=None):
    """What is known of a user. Returns {"uid", "gid", "groups": [names], "home", "shell", "name", "passwd", "fullname",
    "roomnumber", "workphone", "homephone", "other"}; an empty map if there is none of this name.

    CLI Example: salt '*' user.info root"""
    entry = _entry(str(name), root)
    return _format(entry, root) if entry else {}


def list_groups(name, root=None):
    """Returns the names of the groups that a user is in.

    CLI Example: salt '*' user.list_groups alice"""
    return info(name, root=root).get("groups", [])


def list_users(root=None):
    """Returns the names of all users.

    CLI Example: salt '*' user.list_users"""
    return sorted(entry[0] for entry in _entries(root))


def primary_group(name, root=None):
    """Returns the name of a user's primary group.

    CLI Example: salt '*' user.primary_group alice"""
    import grp

    gid = _there(name, root)["gid"]
    if root not in (None, ""):
        return next((line[0] for line in _lines("group", root) if int(line[2]) == gid), str(gid))
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def rename(name, new_name, root=None, test=False):
    """Give a user another name. Returns True. Home and groups keep theirs.

    CLI Example: salt '*' user.rename alice alicia"""
    if info(new_name, root=root):
        raise CommandExecutionError(f"User '{new_name}' already exists")
    return _set(name, "name", _named(new_name), ["-l"], root, test)
