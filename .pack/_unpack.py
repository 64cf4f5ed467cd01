"""Makes and checks the unpacked copies of saltlite.pyz; runs in a fork of the process that needs one."""

import compileall
import contextlib
import fcntl
import hashlib
import importlib.util
import io
import json
import marshal
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

Refusal = Callable[[str], str]


class Unusable(Exception):
    """A sentence for the user."""


# ---- what goes into a copy ----


def fits(wheel: str, interpreter: str) -> bool:
    """Whether the interpreter ("cpython-311-x86_64-linux-gnu") can load the wheel: by its name's tags (PEP 425)."""
    python, abi, platforms = wheel.removesuffix(".whl").split("-")[-3:]
    version, machine = re.fullmatch(r"cpython-(\w+)-(.*)", interpreter).groups()  # type: ignore[union-attr]
    stable = abi == "abi3" and version.isdigit() and int(version[1:]) >= int(python[3:])
    if abi not in ("none", "cp" + version) and not stable:
        return False
    try:
        glibc = tuple(int(n) for n in (os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ").split("."))
    except ValueError:
        glibc = (0, 0)
    floors = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
    for platform in platforms.split("."):
        if platform == "any":
            return True
        if match := re.fullmatch(r"(manylinux\d+)(?:_(\d+)_(\d+))?_(\w+)", platform.replace("linux_", "linux0_", 1)):
            floor = (int(match[2]), int(match[3])) if match[2] else floors.get(match[1], (99, 0))
            if machine == match[4] + "-linux-gnu" and glibc >= floor:
                return True
    return False


def choose(table: dict[str, Any], interpreter: str) -> list[str]:
    """The wheels to unpack, at most one of a project; a project without one must be installed."""
    chosen: dict[str, str] = {}
    modules: dict[str, list[str]] = {}
    for wheel, facts in table["wheels"].items():
        project = wheel.split("-")[0]
        modules[project] = facts["modules"]
        if fits(wheel, interpreter) and sys.version_info >= (3, facts["python"]):
            chosen[project] = wheel  # the later version, since they are sorted
    missing = [
        project
        for project, names in modules.items()
        if project not in chosen and not all(importlib.util.find_spec(name) for name in names)
    ]
    if missing:
        raise Unusable(
            f"this is {interpreter}, and {', '.join(sorted(missing))} must be installed for it: "
            f"{os.path.basename(sys.argv[0])} has them for {table['targets']} only"
        )
    return sorted(chosen.values())


def contents(archive: str, interpreter: str) -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of every file of a copy, from wheels whose hashes have been checked."""
    with zipfile.ZipFile(archive) as pack:
        if damaged := pack.testzip():
            raise Unusable(f"{archive} is damaged: {damaged} is not what was packed")
        table = json.loads(pack.read("wheels.json"))
        for wheel in choose(table, interpreter):
            data = pack.read("wheels/" + wheel)
            if hashlib.sha256(data).hexdigest() != table["wheels"][wheel]["sha256"]:
                raise Unusable(f"{archive} is damaged: {wheel} has another sha256 than when it was built")
            with zipfile.ZipFile(io.BytesIO(data)) as inner:
                for name in inner.namelist():
                    if not name.endswith("/"):
                        yield name, inner.read(name)
        for name in pack.namelist():
            if name == "saltlite.py" or name.startswith("etc/"):
                yield name, pack.read(name)


# ---- making one ----


def write(top: str, name: str, data: bytes) -> None:
    if name.startswith("/") or "\\" in name or not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise Unusable(f"a file in an archive is named {name!r}")
    path = os.path.join(top, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with open(handle, "wb") as file:
        file.write(data)


def fill(top: str, final: str, archive: str, interpreter: str) -> None:
    """Write a copy with its byte code to top, which will be renamed to final."""
    for name, data in contents(archive, interpreter):
        write(top, name, data)
    for directory, _, names in os.walk(top):
        for path in (directory, *(os.path.join(directory, name) for name in names)):
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
    # not synced: Python makes byte code that a power failure spoilt anew
    compileall.compile_dir(top, quiet=2, stripdir=top, prependdir=final)


def unpack_to(place: str, archive: str, copy_name: str, refusal: Refusal) -> str:
    """Make place/copy_name, unless somebody was faster; the copies of other builds that nobody uses go away."""
    build, _, interpreter = copy_name.partition("-")
    place = os.path.realpath(place)
    final = os.path.join(place, copy_name)
    if reason := refusal(place):  # before anything is made there
        raise Unusable(reason)
    os.makedirs(place, exist_ok=True)
    lock = os.open(os.path.join(place, ".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if reason := refusal(final):
            raise Unusable(reason)
        if os.path.lexists(final):
            return final
        for name in os.listdir(place):
            if name.startswith(".tmp-"):  # of an unpacker that was killed: only the holder of the lock has one
                shutil.rmtree(os.path.join(place, name), ignore_errors=True)
        top = tempfile.mkdtemp(prefix=".tmp-", dir=place)
        try:
            fill(top, final, archive, interpreter)
            os.chmod(top, 0o755)
            os.rename(top, final)
        except BaseException:
            shutil.rmtree(top, ignore_errors=True)
            raise
        for name in os.listdir(place):
            if re.fullmatch(r"[0-9a-f]{24}-cpython-.*", name) and not name.startswith(build):
                remove_unused(os.path.join(place, name))
        return final
    finally:
        os.close(lock)


def remove_unused(copy: str) -> None:
    """Remove a copy unless a process holds it."""
    with contextlib.suppress(OSError):
        handle = os.open(copy, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(copy, copy + ".gone")  # at once, so that nobody starts from half a copy
            shutil.rmtree(copy + ".gone", ignore_errors=True)
        finally:
            os.close(handle)


def unpack_for_this_run(archive: str, copy_name: str, refusal: Refusal) -> str:
    """A copy in a temporary directory; those that earlier runs left there go away."""
    fixed = ["/tmp", "/var/tmp", "/dev/shm"]
    problems = []
    for base in [os.environ.get("TMPDIR", ""), *fixed]:
        if not os.path.isdir(base) or (base not in fixed and refusal(os.path.join(base, "saltlite"))):
            continue
        if os.statvfs(base).f_flag & os.ST_NOEXEC:
            continue
        for entry in os.scandir(base):
            if entry.name.startswith("saltlite-run-") and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                remove_unused(entry.path)
        try:
            top = tempfile.mkdtemp(prefix="saltlite-run-", dir=base)
        except OSError as error:
            problems.append(f"{base}: {error.strerror}")
            continue
        lock = os.open(top, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            fill(top, top, archive, copy_name.partition("-")[2])
            return top
        except OSError as error:
            shutil.rmtree(top, ignore_errors=True)
            problems.append(f"{base}: {error.strerror}")
        except BaseException:
            shutil.rmtree(top, ignore_errors=True)
            raise
        finally:
            os.close(lock)
    raise Unusable("nothing to unpack into: " + "; ".join(problems))


def unpack(archive: str, copy_name: str, places: list[str], refusal: Refusal) -> str:
    """Path of a copy, newly made in the first place that allows it, or for this run only."""
    if not os.geteuid():
        os.umask(0o022)  # everybody runs root's copy, also one that a daemon makes, whose files are closed to others
    with zipfile.ZipFile(archive) as pack:
        choose(json.loads(pack.read("wheels.json")), copy_name.partition("-")[2])
    problems: list[str] = []
    for place in places:
        try:
            copy = unpack_to(place, archive, copy_name, refusal)
            if problems and os.environ.get("SALTLITE_CACHE"):
                sys.stderr.write(f"saltlite: SALTLITE_CACHE is not used: {problems[0]}\n")
            return copy
        except Unusable as problem:
            problems.append(str(problem))
        except OSError as error:
            problems.append(f"{place}: {error.strerror}")
    why = "; ".join(problems)
    try:
        copy = unpack_for_this_run(archive, copy_name, refusal)
    except Unusable as problem:
        raise Unusable(f"{problem}; {why}") from None
    sys.stderr.write(f"saltlite: unpacked for this run only ({why}); SALTLITE_CACHE=DIRECTORY names a lasting place\n")
    return copy


# ---- checking one ----


def verify(archive: str, copy_name: str, copy: str) -> str:
    """A sentence if copy holds what archive does, its byte code included, and nothing else; Unusable otherwise."""
    expected = dict(contents(archive, copy_name.partition("-")[2]))
    found: set[str] = set()
    wrong = []
    for directory, directories, names in os.walk(copy):
        wrong += [path for name in directories if os.path.islink(path := os.path.join(directory, name))]
        for name in names:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, copy)
            found.add(relative)
            if os.path.islink(path):
                wrong.append(path)
                continue
            with open(path, "rb") as file:
                data = file.read()
            if data != expected.get(relative) and not compiled_from(data, relative, expected):
                wrong.append(path)
    wrong += [os.path.join(copy, name) + " (missing)" for name in expected.keys() - found]
    if wrong:
        raise Unusable(f"not as in {archive}: {', '.join(sorted(wrong))}; remove {copy}")
    return f"saltlite: {len(expected)} files in {copy} are as in {archive}\n"


def compiled_from(data: bytes, name: str, sources: dict[str, bytes]) -> bool:
    """Whether data is the byte code that the file name in __pycache__ should hold."""
    optimized = re.search(r"\.opt-([12])\.pyc$", name)
    try:
        source = importlib.util.source_from_cache(name)
        level = int(optimized[1]) if optimized else 0
        code = compile(sources[source], source, "exec", dont_inherit=True, optimize=level)
        return data[:4] == importlib.util.MAGIC_NUMBER and bool(marshal.loads(data[16:]) == code)
    except (ValueError, KeyError, SyntaxError, EOFError, TypeError):
        return False
