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
ARCHIVE = os.path.dirname(os.path.abspath(__file__))


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
