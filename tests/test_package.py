"""saltlite.pyz: reproducible, made of unchanged wheels, and starting where the environment is hostile.

Most tests start a small pyz with the real bootstrap around a probe instead of saltlite.py: the probe imports two
packages with C code and prints what it sees, so that a start costs little and shows what the program would meet.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

TOP = Path(__file__).resolve().parent.parent
PYTHON = getattr(sys, "_base_executable", sys.executable)
STRANGER = 54321  # a uid without a passwd entry

PROBE = '''
"""{label}"""
import json, os, sys, threading

def main(argv=None):
    facts = {{"file": __file__, "cached": __cached__, "argv": sys.argv, "umask": os.umask(0o22)}}
    facts["early"] = sorted(sys.modules.keys() & {{"yaml", "msgpack", "_unpack"}})
    facts["threads"] = len(os.listdir("/proc/self/task"))
    held = [int(n) for n in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd/" + n)]
    facts["held"] = [n for n in held if os.readlink(f"/proc/self/fd/{{n}}") == os.path.dirname(__file__)]
    facts["inheritable"] = [n for n in facts["held"] if os.get_inheritable(n)]
    if sys.argv[1:] == ["wait"]:
        print("waiting", flush=True)
        sys.stdin.readline()
    import msgpack, yaml
    facts["yaml"] = yaml.__file__
    assert yaml.CSafeLoader
    facts["packed"] = msgpack.packb({{"a": 1}}).hex()
    print(json.dumps(facts))
    return 7
'''


Wrap = Callable[..., list[str]]


class Start(NamedTuple):
    """A finished start: exit code, stderr, and what the probe printed ({} if it did not run)."""

    code: int
    error: str
    facts: dict[str, Any]

    @property
    def place(self) -> Path:
        """The directory that holds the copy which ran."""
        assert self.code == 7, self.error
        return Path(self.facts["file"]).parent.parent


def command(pyz: Path | str, *arguments: str) -> list[str]:
    return [PYTHON, "-I", str(pyz), *arguments]


def start(argv: list[str], cache: Path | None = None, **options: Any) -> Start:
    """Run argv in an environment of nothing but PATH, SALTLITE_CACHE and options["env"]."""
    env = {"PATH": os.environ["PATH"], **({"SALTLITE_CACHE": str(cache)} if cache else {}), **options.pop("env", {})}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False, **options)
    return Start(done.returncode, done.stderr, json.loads(done.stdout) if done.stdout.startswith("{") else {})


def wait_for(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"waited 20 s for {what}"
        time.sleep(0.002)


# ---- what is built ----


@pytest.fixture(scope="session")
def work() -> Iterator[Path]:
    """A directory that every user may read, unlike tmp_path."""
    with tempfile.TemporaryDirectory(prefix="test-saltlite-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def real(work: Path) -> Path:
    """saltlite.pyz as build.sh makes it."""
    pyz = work / "saltlite.pyz"
    subprocess.run([TOP / "build.sh", "build", pyz], check=True, capture_output=True)
    return pyz


class Packer(NamedTuple):
    """Packs probes with the bootstrap and some of the wheels of the real file."""

    work: Path
    wheels: Path

    def __call__(self, label: str, wheels: Path | None = None, targets: str = "some other Python") -> Path:
        top = self.work / label
        top.mkdir()
        (top / "saltlite.py").write_text(PROBE.format(label=label))
        for kind in ("modules", "_grains"):
            (top / "etc/salt" / kind).mkdir(parents=True)
            (top / "etc/salt" / kind / "probe.py").write_text("")
        pack = [TOP / ".pack/pack.py", top / "probe.pyz", wheels or self.wheels, targets]
        subprocess.run([sys.executable, "-I", *map(str, pack)], cwd=top, check=True, capture_output=True)
        return top / "probe.pyz"


@pytest.fixture(scope="session")
def pack(real: Path, work: Path) -> Packer:
    wheels = work / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(real) as archive:
        for name in archive.namelist():
            if name.startswith(("wheels/pyyaml-", "wheels/msgpack-")):
                (work / name).write_bytes(archive.read(name))
    return Packer(work, wheels)


@pytest.fixture(scope="session")
def pyz(pack: Packer) -> Path:
    return pack("probe")


@pytest.fixture(scope="session")
def warm(pyz: Path, work: Path) -> Path:
    """A place that holds a copy of pyz already; not to be changed."""
    cache = work / "warm"
    assert start(command(pyz), cache).code == 7
    return cache


def test_two_builds_give_the_same_bytes(real: Path, work: Path, tmp_path: Path) -> None:
    shutil.copytree(TOP, tmp_path / "again", ignore=shutil.ignore_patterns(".git", ".build", "__pycache__"))
    (tmp_path / "again/.build").mkdir()
    for path in TOP.glob(".build/wheels-*"):
        (tmp_path / "again/.build" / path.name).symlink_to(path)
    for path in (tmp_path / "again").rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1e9, 1e9))
    subprocess.run(["./build.sh"], cwd=tmp_path / "again", umask=0o077, check=True, capture_output=True)
    assert (tmp_path / "again/saltlite.pyz").read_bytes() == real.read_bytes()


def test_wheels_inside_are_those_that_are_pinned(real: Path) -> None:
    pinned = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", (TOP / ".pack/pins.txt").read_text()))
    with zipfile.ZipFile(real) as archive:
        wheels = [name for name in archive.namelist() if name.startswith("wheels/")]
        assert {hashlib.sha256(archive.read(name)).hexdigest() for name in wheels} <= pinned
        assert {name[7:].split("-")[0] for name in wheels} >= {"pyzmq", "cryptography", "msgpack", "watchdog", "psutil"}


def test_script_names_the_versions_that_are_pinned() -> None:
    block = re.search(r"^# /// script\n(.*?)^# ///$", (TOP / "saltlite.py").read_text(), re.MULTILINE | re.DOTALL)
    assert block
    named = re.findall(r"^# +\"([^\"]+)\",?$", block[1], re.MULTILINE)
    pinned = re.findall(r"^(\S+==\S+(?: ; [^\\\n]*)?) \\$", (TOP / ".pack/pins.txt").read_text(), re.MULTILINE)

    def plain(requirement: str) -> str:
        return requirement.replace(" ", "").replace('"', "'")

    assert sorted(map(plain, named)) == sorted(map(plain, pinned))


def test_real_file_answers(real: Path, tmp_path: Path) -> None:
    (tmp_path / "etc/salt").mkdir(parents=True)
    argv = command(real, "call", "-c", str(tmp_path / "etc/salt"), "--local", "--out", "json", "test.ping")
    assert start(argv, tmp_path / "cache") == (0, "", {"local": True})


# ---- a start ----


def test_programs_import_it_from_the_file(pyz: Path, tmp_path: Path) -> None:
    """The unpacked copy, with its packages, whether it was there or not; a Python it is not for gets an ImportError."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); import saltlite; sys.exit(saltlite.main())"
    for _ in range(2):
        done = start([PYTHON, "-I", "-c", program, str(pyz)], tmp_path / "cache")
        assert done.place == tmp_path / "cache" and str(done.place) in done.facts["yaml"]
    late = program.replace("import saltlite", "sys.version_info = (3, 9); import saltlite")
    assert "ImportError: saltlite needs CPython 3.10" in start([PYTHON, "-I", "-c", late, str(pyz)]).error


def test_clients_are_there_for_programs(real: Path, tmp_path: Path) -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import saltlite; print(saltlite.LocalClient.cmd.__name__)"
    env = {"PATH": os.environ["PATH"], "SALTLITE_CACHE": str(tmp_path)}
    done = subprocess.run([PYTHON, "-I", "-c", program, real], env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("cmd\n", "")


def test_runs_the_unpacked_copy_with_its_byte_code(pyz: Path, warm: Path) -> None:
    facts = start(command(pyz, "minion", "-x"), warm).facts
    assert Path(facts["file"]).parent.parent == warm
    assert os.path.exists(facts["cached"])
    assert facts["argv"] == [str(pyz), "minion", "-x"]
    assert facts["yaml"].startswith(f"{warm}/")
    assert len(list(Path(facts["file"]).parent.glob("etc/salt/*/probe.py"))) == 2


def test_leaves_the_process_light_for_a_fork(pyz: Path, warm: Path) -> None:
    facts = start(command(pyz), warm).facts
    assert (facts["early"], facts["threads"]) == ([], 1)


def test_first_start_is_as_light_as_a_later_one(pyz: Path, tmp_path: Path) -> None:
    facts = start(command(pyz), tmp_path / "cache").facts
    assert (facts["early"], facts["threads"]) == ([], 1)


def test_lock_is_kept_by_forks_and_not_by_commands(pyz: Path, warm: Path) -> None:
    facts = start(command(pyz), warm).facts
    assert len(facts["held"]) == 1 and facts["inheritable"] == []


def test_later_start_writes_nothing(pyz: Path, warm: Path) -> None:
    def tree() -> list[tuple[str, int]]:
        return sorted((str(path), path.lstat().st_mtime_ns) for path in warm.rglob("*"))

    before = tree()
    assert start(command(pyz), warm).code == 7
    assert tree() == before


def test_symlink_names_the_command(pyz: Path, warm: Path, tmp_path: Path) -> None:
    (tmp_path / "salt-call").symlink_to(pyz)
    assert start(command(tmp_path / "salt-call"), warm).facts["argv"] == [str(tmp_path / "salt-call")]


def test_byte_code_is_made_even_where_python_is_told_not_to(pyz: Path, tmp_path: Path) -> None:
    argv = [PYTHON, str(pyz)]
    facts = start(argv, tmp_path / "cache", env={"PYTHONDONTWRITEBYTECODE": "1"}).facts
    assert os.path.exists(facts["cached"])


def test_umask_0_leaves_nothing_writable_by_others(pyz: Path, tmp_path: Path) -> None:
    result = start(command(pyz), tmp_path / "cache", umask=0)
    assert result.facts["umask"] == 0o22
    loose = [path for path in (tmp_path / "cache").rglob("*") if path.lstat().st_mode & 0o022]
    assert result.code == 7 and loose == []


def test_twenty_first_starts_at_once(pyz: Path, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "SALTLITE_CACHE": str(tmp_path / "cache")}
    starts = [subprocess.Popen(command(pyz), env=env, stdout=subprocess.DEVNULL) for _ in range(20)]
    assert [process.wait(60) for process in starts] == [7] * 20
    assert len(os.listdir(tmp_path / "cache")) == 2  # the lock and one copy


@pytest.mark.parametrize("files", [0, 1, 20, 40])
def test_killed_in_the_middle_of_unpacking(pyz: Path, tmp_path: Path, files: int) -> None:
    cache = tmp_path / "cache"
    env = {"PATH": os.environ["PATH"], "SALTLITE_CACHE": str(cache)}
    with subprocess.Popen(command(pyz), env=env, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        wait_for(
            lambda: sum(1 for _ in cache.glob(".tmp-*/**/*")) >= files or list(cache.glob("*-cpython-*")), "unpacking"
        )
        os.killpg(process.pid, signal.SIGKILL)
    result = start(command(pyz), cache)
    assert (result.place, result.error) == (cache, "")
    assert len(os.listdir(cache)) == 2


def test_file_replaced_under_a_running_daemon(pyz: Path, pack: Packer, tmp_path: Path) -> None:
    """The daemon's late imports work, and its copy goes away when a later build is unpacked after its end."""
    cache, program = tmp_path / "cache", tmp_path / "saltlite.pyz"
    shutil.copy(pyz, program)
    env = {"PATH": os.environ["PATH"], "SALTLITE_CACHE": str(cache)}
    with subprocess.Popen(
        command(program, "wait"), env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as daemon:
        assert daemon.stdin and daemon.stdout
        assert daemon.stdout.readline() == "waiting\n"
        program.write_bytes(pack("second").read_bytes())
        second = start(command(program), cache)
        assert second.code == 7
        daemon.stdin.write("\n")
        daemon.stdin.flush()
        first = json.loads(daemon.stdout.readline())
    assert daemon.returncode == 7
    assert first["yaml"] != second.facts["yaml"]
    third = start(command(pack("third")), cache)
    assert sorted(os.listdir(cache)) == [".lock", os.path.basename(os.path.dirname(third.facts["file"]))]


def test_somebody_elses_lock_on_the_copy_stops_nobody(pyz: Path, warm: Path) -> None:
    (copy,) = warm.glob("*-cpython-*")
    handle = os.open(copy, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        assert start(command(pyz), warm).place == warm
    finally:
        os.close(handle)


# ---- verify ----


def spoil_source(copy: Path) -> None:
    (copy / "yaml/__init__.py").write_text("print('other')")


def spoil_byte_code(copy: Path) -> None:
    path = next(copy.glob("yaml/__pycache__/__init__.*.pyc"))
    other = next(copy.glob("msgpack/__pycache__/__init__.*.pyc"))
    path.write_bytes(path.read_bytes()[:16] + other.read_bytes()[16:])


def add_a_file(copy: Path) -> None:
    (copy / "yaml/json.py").write_text("")


def remove_a_file(copy: Path) -> None:
    (copy / "msgpack/ext.py").unlink()


def test_verify_passes_what_is_as_packed(pyz: Path, warm: Path) -> None:
    result = start(command(pyz), warm, env={"SALTLITE_VERIFY": "1"})
    assert result.code == 7 and "are as in" in result.error


@pytest.mark.parametrize("spoil", [spoil_source, spoil_byte_code, add_a_file, remove_a_file])
def test_verify_refuses_what_is_not(pyz: Path, warm: Path, tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    (copy,) = warm.glob("*-cpython-*")
    shutil.copytree(copy, tmp_path / "cache" / copy.name)
    spoil(tmp_path / "cache" / copy.name)
    result = start(command(pyz), tmp_path / "cache", env={"SALTLITE_VERIFY": "1"})
    assert result.code == 1 and "not as in" in result.error and result.facts == {}


def test_damaged_wheel_is_refused(pyz: Path, tmp_path: Path) -> None:
    data = bytearray(pyz.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "damaged.pyz").write_bytes(data)
    result = start(command(tmp_path / "damaged.pyz"), tmp_path / "cache")
    assert result.code == 1 and "damaged" in result.error and "Traceback" not in result.error


# ---- an interpreter without wheels ----


@pytest.fixture(scope="session")
def foreign(pack: Packer) -> Path:
    """A pyz whose msgpack is for another Python."""
    wheels = pack.work / "foreign-wheels"
    shutil.copytree(pack.wheels, wheels)
    (wheel,) = wheels.glob("msgpack-*")
    wheel.rename(wheels / re.sub(r"-cp3\d+-cp3\d+-", "-cp399-cp399-", wheel.name))
    return pack("foreign", wheels, "CPython 3.99 on a toaster")


def test_interpreter_without_wheels_is_told_what_there_is(foreign: Path, tmp_path: Path) -> None:
    result = start([PYTHON, "-I", "-S", str(foreign)], tmp_path / "cache")
    assert result.code == 1 and result.error.count("\n") == 1
    assert "msgpack must be installed" in result.error and "CPython 3.99 on a toaster" in result.error


def test_interpreter_without_wheels_uses_installed_packages(foreign: Path, tmp_path: Path) -> None:
    result = start([sys.executable, "-I", str(foreign)], tmp_path / "cache")
    assert result.place == tmp_path / "cache"
    assert result.facts["yaml"].startswith(str(tmp_path / "cache"))


def test_too_old_interpreter_is_told_so(pyz: Path, tmp_path: Path) -> None:
    python = shutil.which("python3.9") or shutil.which("python3.8")
    if not python or subprocess.run([python, "-V"], capture_output=True, check=False).returncode:
        pytest.skip("no Python older than 3.10 here")
    result = start([python, "-I", str(pyz)], tmp_path / "cache")
    assert result.code == 1 and result.error.startswith("saltlite needs CPython 3.10 or later")


# ---- places that do not serve; as root, in a mount namespace with an empty /var/cache ----


@pytest.fixture
def as_root() -> Wrap:
    """as_root(argv, MOUNT…): argv after these mounts, in a namespace of its own."""

    def wrap(argv: list[str], *mounts: str) -> list[str]:
        script = " && ".join(["mount -t tmpfs -o mode=755 tmpfs /var/cache", *mounts, 'exec "$@"'])
        return ["unshare", "--mount", "sh", "-c", script, "sh", *argv]

    if os.geteuid() or subprocess.run(wrap(["true"]), capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a file system of its own")
    return wrap


ROOTS_PLACE = Path("/var/cache/saltlite")


def test_root_without_home(pyz: Path, as_root: Wrap) -> None:
    assert start(as_root(command(pyz))).place == ROOTS_PLACE


def test_root_follows_nobodys_home(pyz: Path, as_root: Wrap, tmp_path: Path) -> None:
    os.chown(tmp_path, STRANGER, STRANGER)
    env = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "xdg")}
    assert start(as_root(command(pyz)), env=env).place == ROOTS_PLACE
    assert os.listdir(tmp_path) == []


def test_somebody_elses_cache_is_not_used(pyz: Path, warm: Path, as_root: Wrap, tmp_path: Path) -> None:
    shutil.copytree(warm, tmp_path / "cache")
    (copy,) = (tmp_path / "cache").glob("*-cpython-*")
    (copy / "saltlite.py").write_text("raise SystemExit('poison')")
    os.chown(tmp_path / "cache", STRANGER, STRANGER)
    assert start(as_root(command(pyz)), tmp_path / "cache").place == ROOTS_PLACE


def test_world_writable_cache_is_not_used(pyz: Path, as_root: Wrap, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    result = start(as_root(command(pyz)), tmp_path / "cache")
    assert (result.place, os.listdir(tmp_path / "cache")) == (ROOTS_PLACE, [])
    assert result.error == f"saltlite: SALTLITE_CACHE is not used: {tmp_path}/cache can be written by others\n"


def test_world_writable_copy_is_not_used(pyz: Path, warm: Path, as_root: Wrap, tmp_path: Path) -> None:
    shutil.copytree(warm, tmp_path / "cache")
    (copy,) = (tmp_path / "cache").glob("*-cpython-*")
    copy.chmod(0o777)
    assert start(as_root(command(pyz)), tmp_path / "cache").place == ROOTS_PLACE
    assert stat.S_IMODE(copy.stat().st_mode) == 0o777  # left for its owner to look at


@pytest.mark.parametrize("options", ["noexec", "size=2m", "ro"])
def test_cache_on_an_unsuitable_file_system(pyz: Path, as_root: Wrap, tmp_path: Path, options: str) -> None:
    (tmp_path / "cache").mkdir()
    mount = f"mount -t tmpfs -o mode=755,{options} tmpfs {tmp_path}/cache"
    assert start(as_root(command(pyz), mount), tmp_path / "cache").place == ROOTS_PLACE


def test_everything_is_full(pyz: Path, as_root: Wrap) -> None:
    mounts = [f"mount --bind {pyz.parent} /mnt"]  # since /tmp is covered
    mounts += [f"mount -t tmpfs -o mode=1777,size=1m tmpfs {top}" for top in ("/tmp", "/var/tmp", "/dev/shm")]
    mounts += ["mount -t tmpfs -o mode=755,size=1m tmpfs /var/cache"]
    result = start(as_root(command("/mnt/probe.pyz"), *mounts))
    assert result.code == 1 and result.error.count("\n") == 1
    assert result.error.count("No space left on device") == 4


# ---- users without a home ----

AS_STRANGER: dict[str, Any] = {"user": STRANGER, "group": STRANGER, "extra_groups": [], "cwd": "/"}


@pytest.fixture(scope="session")
def stranger_python(pyz: Path) -> str:
    """An interpreter that another user may run, with the same ABI as ours."""
    if os.geteuid():
        pytest.skip("only root can become somebody else")
    for python in (PYTHON, "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            ask = [python, "-I", "-c", "import importlib.machinery as m; print(m.EXTENSION_SUFFIXES[0])"]
            told = subprocess.run(ask, user=STRANGER, capture_output=True, text=True, cwd="/", check=False).stdout
            ours = subprocess.run([PYTHON, *ask[1:]], capture_output=True, text=True, check=False).stdout
            if told == ours:
                return python
    pytest.skip("no interpreter that every user may run")


@pytest.mark.parametrize("home", [None, "/", "read-only", "root's"])
def test_user_without_a_usable_home(pyz: Path, work: Path, stranger_python: str, home: str | None) -> None:
    """A copy for this run, one line on stderr that says why, and nothing left at the end."""
    with tempfile.TemporaryDirectory(dir=work) as name:
        top = Path(name)
        top.chmod(0o755)
        (top / "tmp").mkdir()
        os.chown(top / "tmp", STRANGER, STRANGER)
        for directory, owner in (("read-only", STRANGER), ("root's", 0)):
            (top / directory).mkdir(mode=0o555)
            os.chown(top / directory, owner, owner)
        env = {"TMPDIR": str(top / "tmp"), **({"HOME": str(top / home)} if home else {})}
        result = start([stranger_python, "-I", str(pyz)], env=env, **AS_STRANGER)
        assert result.code == 7, result.error
        assert result.facts["file"].startswith(f"{top}/tmp/saltlite-run-")
        assert result.error.count("\n") == 1 and "SALTLITE_CACHE" in result.error
        assert os.listdir(top / "tmp") == []


def test_killed_run_without_a_home_is_swept_by_the_next(pyz: Path, work: Path, stranger_python: str) -> None:
    with tempfile.TemporaryDirectory(dir=work) as name:
        os.chown(name, STRANGER, STRANGER)
        env = {"PATH": os.environ["PATH"], "TMPDIR": name}
        argv = [stranger_python, "-I", str(pyz)]
        with subprocess.Popen(
            [*argv, "wait"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **AS_STRANGER
        ) as process:
            assert process.stdout
            process.stdout.readline()
            assert start(argv, env={"TMPDIR": name}, **AS_STRANGER).code == 7
            (held,) = os.listdir(name)  # the running one keeps its own
            process.kill()
        assert start(argv, env={"TMPDIR": name}, **AS_STRANGER).code == 7
        assert os.listdir(name) == []


def test_user_has_a_cache_of_his_own(pyz: Path, work: Path, stranger_python: str) -> None:
    with tempfile.TemporaryDirectory(dir=work) as name:
        os.chown(name, STRANGER, STRANGER)
        result = start([stranger_python, "-I", str(pyz)], env={"HOME": name}, **AS_STRANGER)
        assert (result.place, result.error) == (Path(name, ".cache/saltlite"), "")


def test_root_with_a_strict_umask_makes_a_copy_that_everybody_can_run(
    pyz: Path, work: Path, stranger_python: str
) -> None:
    """As a daemon does whose program was replaced: what it writes is closed to others."""
    cache = work / "strict"
    assert start(command(pyz), cache, umask=0o077).code == 7
    result = start([stranger_python, "-I", str(pyz)], cache, **AS_STRANGER)
    assert (result.place, result.error) == (cache, "")
