"""Processes and what they use, as psutil tells it."""

from __future__ import annotations

import contextlib
import datetime
import enum
import os
import re
import signal as signals
import time
from collections.abc import Iterator, Mapping
from typing import Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

__salt__: Mapping[str, Any]

COMMAND_SECONDS = 60
SEARCHED = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
MOST_SECONDS = 3600  # that a function may watch


def __virtual__():
    try:
        import psutil  # noqa: F401
    except ImportError:
        return False, "The ps module cannot be loaded: python module psutil not installed."
    return True


def _plain(value: Any) -> Any:
    """What psutil gives, without the types that are its own."""
    if isinstance(value, enum.Enum):
        return value.value
    if hasattr(value, "_asdict"):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


def _counts(value: Any) -> dict[str, Any]:
    """A named tuple as a map."""
    return {name: _plain(each) for name, each in value._asdict().items()}


def _told(process: Any, what: str, otherwise: Any = None) -> Any:
    """What a process says of itself; something else if it has ended, or is no business of this user's."""
    import psutil

    try:
        return getattr(process, what)()
    except (psutil.NoSuchProcess, psutil.AccessDenied, KeyError):
        return otherwise


def _number(name: str, value: Any, most: float) -> float:
    """An argument as a number from 0 on."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = -1
    if not 0 <= found <= most:
        raise SaltInvocationError(f"{name}: {value!r} must be a number from 0 to {most}.")
    return found


def _signal(signal: Any) -> int:
    """A signal's number, of that, of HUP or of SIGHUP."""
    text = str(signal).upper()
    with contextlib.suppress(ValueError):
        return int(signals.Signals(int(text)))
    with contextlib.suppress(KeyError):
        return int(signals.Signals[text if text.startswith("SIG") else f"SIG{text}"])
    raise SaltInvocationError(f"signal: {signal!r} is no signal.")


def top(num_processes=5, interval=3):
    """The processes that use the processor most.

    num_processes: so many of them.
    interval: watched for so many seconds.

    Returns [{"cmd": [text], "user", "status", "pid", "create_time", "cpu": {"user", "system", …}, "mem": {"rss", "vms",
    …}}], the busiest first.

    CLI Example:
        salt '*' ps.top
        salt '*' ps.top 5 10"""
    import psutil

    most = int(_number("num_processes", num_processes, 1_000_000))
    seconds = _number("interval", interval, MOST_SECONDS)
    before = [(process, _told(process, "cpu_times")) for process in psutil.process_iter()]
    time.sleep(seconds)
    used = []
    for process, old in before:
        new = _told(process, "cpu_times")
        if old and new:
            used.append((new.user + new.system - old.user - old.system, process))
    used.sort(key=lambda row: row[0], reverse=True)
    found: list[dict[str, Any]] = []
    for _, process in used:
        if len(found) >= most:
            break
        if row := _described(process):
            found.append(row)
    return found


def _described(process: Any) -> dict[str, Any] | None:
    """A row of top; None if the process has ended."""
    cpu, memory = _told(process, "cpu_times"), _told(process, "memory_info")
    if not cpu or not memory:
        return None
    return {
        "cmd": _told(process, "cmdline") or _told(process, "name", []),
        "user": _told(process, "username"),
        "status": _plain(_told(process, "status")),
        "pid": process.pid,
        "create_time": _told(process, "create_time"),
        "cpu": _counts(cpu),
        "mem": _counts(memory),
    }


def top_memory(num_processes=5):
    """The processes that use most memory.

    num_processes: so many of them.

    Returns a list in the shape of ps.top, that with the largest resident set first.

    CLI Example: salt '*' ps.top_memory 10"""
    import psutil

    most = int(_number("num_processes", num_processes, 1_000_000))
    sizes = ((process, _told(process, "memory_info")) for process in psutil.process_iter())
    largest = sorted(((size.rss, process) for process, size in sizes if size), key=lambda row: row[0], reverse=True)
    return [row for _, process in largest[:most] if (row := _described(process))]


def get_pid_list():
    """The pids of all processes.

    Returns a list of numbers.

    CLI Example: salt '*' ps.get_pid_list"""
    import psutil

    return psutil.pids()


def proc_info(pid, attrs=None):
    """What there is to know of a process.

    pid: its pid.
    attrs: only these: a list of names of psutil's.

    Returns {name: value}; None for what this user may not see.

    CLI Example:
        salt '*' ps.proc_info 2322
        salt '*' ps.proc_info 2322 attrs='[pid, name]'"""
    import psutil

    try:
        return _plain(psutil.Process(int(pid)).as_dict([attrs] if isinstance(attrs, str) else attrs))
    except (psutil.NoSuchProcess, psutil.AccessDenied, AttributeError, ValueError) as error:
        raise CommandExecutionError(str(error)) from None


def kill_pid(pid, signal=15, test=False):
    """Send a process a signal.

    pid: its pid.
    signal: a number, or a name like HUP.
    test: say only what would be done.

    Returns True, or False if there is no such process; with test=True a sentence.

    CLI Example: salt '*' ps.kill_pid 2000 signal=9"""
    import psutil

    number = _signal(signal)
    try:
        process = psutil.Process(int(pid))
        if test:
            return f"Signal {number} would go to process {pid}, {process.name()}."
        process.send_signal(number)
    except (psutil.NoSuchProcess, ValueError):
        return False
    except psutil.AccessDenied:
        raise CommandExecutionError(f"Process {pid} may not be signalled by this user.") from None
    return True


def _matching(pattern: Any, user: Any, full: Any, is_regex: Any = False) -> Iterator[Any]:
    """The processes with a text, or what matches an expression, in their name or command line."""
    import psutil

    if str(pattern) == "":
        raise SaltInvocationError("pattern: an empty one would mean every process.")
    try:
        wanted = re.compile(str(pattern) if is_regex else re.escape(str(pattern)))
    except re.error as error:
        raise SaltInvocationError(f"pattern: {pattern!r} is no regular expression: {error}") from None
    for process in psutil.process_iter():
        text = " ".join(_told(process, "cmdline", [])) if full else _told(process, "name", "")
        if wanted.search(text) and (user is None or user == _told(process, "username")):
            yield process


def pkill(pattern, user=None, signal=15, full=False, test=False):
    """Send a signal to the processes with a text in their name, but for the one that this runs in.

    pattern: the text.
    user: only to those of this user.
    signal: a number, or a name like HUP.
    full: it may be anywhere in the command line.
    test: say only to which.

    Returns {"killed": [pid]}, None if there is none; with test=True {"would be killed": [pid]}.

    CLI Example:
        salt '*' ps.pkill httpd signal=1
        salt '*' ps.pkill bash signal=9 user=tom"""
    import psutil

    number = _signal(signal)
    reached: list[int] = []
    for process in list(_matching(pattern, user, full)):
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.NoSuchProcess):
            try:
                if not test:
                    process.send_signal(number)
            except psutil.AccessDenied:
                what = f"Process {process.pid} may not be signalled by this user"
                raise CommandExecutionError(f"{what}; before it were: {reached}") from None
            reached.append(process.pid)
    return {"would be killed" if test else "killed": reached} if reached else None


def pgrep(pattern, user=None, full=False, pattern_is_regex=False):
    """The processes with a text in their name.

    pattern: the text.
    user: only those of this user.
    full: it may be anywhere in the command line.
    pattern_is_regex: it is a regular expression.

    Returns a list of pids, None if there is none.

    CLI Example:
        salt '*' ps.pgrep httpd
        salt '*' ps.pgrep bash user=tom"""
    return [process.pid for process in _matching(pattern, user, full, pattern_is_regex)] or None


def status(status):
    """The processes in a state.

    status: running, sleeping, disk-sleep, stopped, tracing-stop, zombie, dead, wake-kill, waking, parked, idle.

    Returns [{"pid", "name"}].

    CLI Example: salt '*' ps.status zombie"""
    import psutil

    if not status:
        raise SaltInvocationError("Filter is required for ps.status")
    found = [process for process in psutil.process_iter() if _plain(_told(process, "status")) == status]
    return [{"pid": process.pid, "name": _told(process, "name")} for process in found]


def cpu_percent(interval=0.1, per_cpu=False):
    """How busy the processors are.

    interval: watched for so many seconds.
    per_cpu: each of them.

    Returns a number, in per cent, or a list of them.

    CLI Example: salt '*' ps.cpu_percent"""
    import psutil

    seconds = _number("interval", interval, MOST_SECONDS) or None
    return psutil.cpu_percent(seconds, True) if per_cpu else psutil.cpu_percent(seconds)


def cpu_times(per_cpu=False):
    """The seconds that the processors have spent since the start, by kind.

    per_cpu: each of them.

    Returns {"user", "system", "idle", "nice", "iowait", "irq", "softirq", …}, or a list of such maps.

    CLI Example: salt '*' ps.cpu_times"""
    import psutil

    return [_counts(each) for each in psutil.cpu_times(True)] if per_cpu else _counts(psutil.cpu_times())


def virtual_memory():
    """How the memory is used.

    Returns {"total", "available", "percent", "used", "free", …}, in bytes.

    CLI Example: salt '*' ps.virtual_memory"""
    import psutil

    return _counts(psutil.virtual_memory())


def swap_memory():
    """How the swap space is used.

    Returns {"total", "used", "free", "percent", "sin", "sout"}, in bytes.

    CLI Example: salt '*' ps.swap_memory"""
    import psutil

    return _counts(psutil.swap_memory())


def total_physical_memory():
    """How much memory this machine has.

    Returns a number of bytes.

    CLI Example: salt '*' ps.total_physical_memory"""
    import psutil

    return psutil.virtual_memory().total


def num_cpus():
    """How many processors this machine has.

    Returns a number.

    CLI Example: salt '*' ps.num_cpus"""
    import psutil

    return psutil.cpu_count()


def boot_time(time_format=None):
    """When this machine was started.

    time_format: as text, in this format of strftime.

    Returns seconds since 1970, or text.

    CLI Example: salt '*' ps.boot_time time_format=%c"""
    import psutil

    seconds = int(psutil.boot_time())
    return datetime.datetime.fromtimestamp(seconds).strftime(str(time_format)) if time_format else seconds


def disk_partitions(all=False):
    """The file systems that are mounted.

    all: those of the kernel's own making, too.

    Returns [{"device", "mountpoint", "fstype", "opts"}].

    CLI Example: salt '*' ps.disk_partitions"""
    import psutil

    return [_counts(each) for each in psutil.disk_partitions(bool(all))]


def disk_usage(path):
    """How full the file system is that a path is on.

    path: the path.

    Returns {"total", "used", "free", "percent"}, in bytes.

    CLI Example: salt '*' ps.disk_usage /home"""
    import psutil

    try:
        return _counts(psutil.disk_usage(str(path)))
    except OSError as error:
        raise CommandExecutionError(f"{path}: {error.strerror}") from None


def disk_partition_usage(all=False):
    """The file systems that are mounted, and how full they are.

    all: those of the kernel's own making, too.

    Returns [{"device", "mountpoint", "fstype", "opts", "total", "used", "free", "percent"}].

    CLI Example: salt '*' ps.disk_partition_usage"""
    return [each | disk_usage(each["mountpoint"]) for each in disk_partitions(all)]


def network_io_counters(interface=None):
    """What the network devices have carried since the start.

    interface: only this one; without, all together.

    Returns {"bytes_sent", "bytes_recv", "packets_sent", "packets_recv", "errin", "errout", "dropin", "dropout"}; False
    if there is no such interface.

    CLI Example: salt '*' ps.network_io_counters interface=eth0"""
    import psutil

    found = psutil.net_io_counters(pernic=True).get(interface) if interface else psutil.net_io_counters()
    return _counts(found) if found else False


def disk_io_counters(device=None):
    """What the disks have done since the start.

    device: only this one; without, all together.

    Returns {"read_count", "write_count", "read_bytes", "write_bytes", "read_time", "write_time", …}; False if there is
    no such device.

    CLI Example: salt '*' ps.disk_io_counters device=sda1"""
    import psutil

    found = psutil.disk_io_counters(perdisk=True).get(device) if device else psutil.disk_io_counters()
    return _counts(found) if found else False


def get_users():
    """Who is logged in.

    Returns [{"name", "terminal", "host", "started", "pid"}].

    CLI Example: salt '*' ps.get_users"""
    import psutil

    return [_counts(each) for each in psutil.users()]


def _printed(*command: str) -> str:
    """What a command prints. Raises CommandExecutionError if it is not installed or does not end."""
    import subprocess

    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
    try:
        done = subprocess.run(command, timeout=COMMAND_SECONDS, env={**os.environ, "PATH": SEARCHED}, **options)
    except (FileNotFoundError, PermissionError):  # the latter, too, where PATH names what this user may not see
        raise CommandExecutionError(f"{command[0]} is not installed on this machine.") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandExecutionError(f"{command[0]} could not be run: {error}") from None
    return done.stdout.rstrip("\n")


def lsof(name):
    """The files that processes have open, as the command `lsof` says.

    name: processes whose name begins so.

    Returns [name, text].

    CLI Example: salt '*' ps.lsof apache2"""
    return [str(name), _printed("lsof", "-c", str(name))]


def netstat(name):
    """The lines of `netstat -nap` with a text in them.

    Returns [name, [line]].

    CLI Example: salt '*' ps.netstat apache2"""
    return [str(name), [line for line in _printed("netstat", "-nap").splitlines() if str(name) in line]]


def ss(name):
    """The lines of `ss -neap` with a text in them.

    Returns [name, [line]].

    CLI Example: salt '*' ps.ss apache2"""
    return [str(name), [line for line in _printed("ss", "-neap").splitlines() if str(name) in line]]


def psaux(name):
    """The lines of `ps aux` that match a regular expression.

    Returns [name, [line], "N occurrence(s)."].

    CLI Example: salt '*' ps.psaux 'www-data.+apache2'"""
    try:
        pattern = re.compile(str(name))
    except re.error as error:
        raise SaltInvocationError(f"name: {name!r} is no regular expression: {error}") from None
    found = [line for line in _printed("ps", "auxww").splitlines() if pattern.search(line)]
    found = [line for line in found if not re.search("salt.+ps.psaux.+", line)]  # the command that asks
    return [str(name), found, f"{len(found)} occurrence(s)."]
