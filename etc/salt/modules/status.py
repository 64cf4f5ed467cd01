"""How this machine is: load, memory, processors, disks, network, processes, its master. For Linux.

What /proc says, in the names and types that Salt gives them."""

from __future__ import annotations

import datetime
import fnmatch
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from salt.exceptions import CommandExecutionError

__opts__: dict[str, Any]
__salt__: Mapping[str, Any]

__func_alias__ = {"time_": "time"}

COMMAND_SECONDS = 30  # for `who`, `w` and `nproc` to answer
SEARCHED = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
PING_SECONDS = 5  # for a master to answer
PUBLISH_PORT, MASTER_PORT = 4505, 4506
ESTABLISHED = "01"  # the state in /proc/net/tcp
CPU_TIMES = "user nice system idle iowait irq softirq steal".split()  # in the order of /proc/stat
DISK_COUNTS = """reads_issued reads_merged sectors_read ms_spent_reading writes_completed writes_merged sectors_written
    ms_spent_writing io_in_progress ms_spent_in_io weighted_ms_spent_in_io""".split()  # of /proc/diskstats
NET_COUNTS = """rx_bytes rx_packets rx_errs rx_drop rx_fifo rx_frame rx_compressed rx_multicast
    tx_bytes tx_packets tx_errs tx_drop tx_fifo tx_colls tx_carrier tx_compressed""".split()  # of /proc/net/dev


def _lines(path: str) -> list[str]:
    """The lines of a file below /proc that are not empty; none where there is no such file."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.split("\n") if line.strip()]


def _number(text: str) -> int | float | str:
    """A word as the number that it is, or as it is."""
    if text.isdigit():
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def _output(*command: str) -> str | None:
    """What a command prints; None if it is not installed. Raises CommandExecutionError if it fails."""
    import subprocess

    environment = {**os.environ, "LC_ALL": "C", "PATH": SEARCHED}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            env=environment,
        )
    except (FileNotFoundError, PermissionError):  # the latter, too, where PATH names what this user may not see
        return None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandExecutionError(f"{command[0]} could not be run: {error}") from None
    if done.returncode:
        raise CommandExecutionError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def all_status():
    """Everything that this module knows of the machine: a long map.

    Returns {"cpuinfo", "cpustats", "diskstats", "diskusage", "loadavg", "meminfo", "netdev", "netstats", "uptime",
    "vmstats", "w"}, each as its function gives it.

    CLI Example: salt '*' status.all_status"""
    parts = (cpuinfo, cpustats, diskstats, diskusage, loadavg, meminfo, netdev, netstats, uptime, vmstats)
    return {part.__name__: part() for part in parts} | {"w": w()}


def cpuinfo():
    """What /proc/cpuinfo says, of the last processor in it.

    Returns {name: text}, and {"flags": [text]}.

    CLI Example: salt '*' status.cpuinfo"""
    found: dict[str, Any] = {}
    for line in _lines("/proc/cpuinfo"):
        name, _, value = (part.strip() for part in line.partition(":"))
        found[name] = value.split() if name == "flags" else value
    return found


def cpustats():
    """What the processors have done since the start, in ticks, and interrupts, as /proc/stat says.

    Returns {"cpu": {"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}, "intr": {"total", "irqs":
    [number]}, "softirq": {"total", "softirqs": [number]}, "ctxt", "btime", "processes", …}; "cpu0" and so on are the
    user ticks of that processor.

    CLI Example: salt '*' status.cpustats"""
    found: dict[str, Any] = {}
    for line in _lines("/proc/stat"):
        name, *words = line.split()
        values = [_number(word) for word in words]
        if name == "cpu":
            found[name] = dict(zip(CPU_TIMES, values, strict=False))
        elif name in ("intr", "softirq"):
            found[name] = {"total": values[0], "irqs" if name == "intr" else "softirqs": values[1:]}
        else:
            found[name] = values[0]
    return found


def custom():
    """Parts of other functions' answers, as the configuration chooses them: `status.cpustats.custom: [cpu, ctxt]` puts
    "cpu" and "ctxt" of status.cpustats here.

    Returns {name: value}; "UNKNOWN" for what is not in the function's answer.

    CLI Example: salt '*' status.custom"""
    found = {}
    for option, names in __salt__["config.dot_vals"]("status").items():
        fun, _, last = option.rpartition(".")
        if last != "custom" or fun in ("status", "status.custom") or fun not in __salt__:
            continue
        values = __salt__[fun]()
        found.update({name: values.get(name, "UNKNOWN") for name in names})
    return found


def diskstats():
    """What the disks have done since the start, as /proc/diskstats says.

    Returns {device: {"major", "minor", "device", "reads_issued", "sectors_read", "writes_completed", …}}.

    CLI Example: salt '*' status.diskstats"""
    found = {}
    for line in _lines("/proc/diskstats"):
        major, minor, device, *counts = (_number(word) for word in line.split())
        row = {"major": major, "minor": minor, "device": device}
        found[str(device)] = row | dict(zip(DISK_COUNTS, counts, strict=False))
    return found


def diskusage(*args):
    """How much room there is on file systems.

    args: paths, which begin with /, and types of file systems, where `ext?` means each of ext2, ext3 and ext4; without
    any, every file system that is mounted.

    Returns {path: {"available": bytes, "total": bytes}}, with None for what could not be asked.

    CLI Example:
        salt '*' status.diskusage
        salt '*' status.diskusage / /tmp ext?"""
    words = [str(arg) for arg in args] or ["*"]
    selected = {word for word in words if word.startswith("/")}
    types = [word for word in words if not word.startswith("/")]
    for line in _lines("/proc/mounts") if types else ():
        _, place, kind, *_ = line.split(" ")
        if any(fnmatch.fnmatchcase(kind, wanted) for wanted in types):
            selected.add(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), place))
    found: dict[str, dict[str, int | None]] = {}
    for path in sorted(selected):
        if os.path.exists(path):
            try:
                state = os.statvfs(path)
            except OSError:
                found[path] = {"available": None, "total": None}
                continue
            found[path] = {"available": state.f_bavail * state.f_frsize, "total": state.f_blocks * state.f_frsize}
    return found


def loadavg():
    """The mean numbers of processes that ran or waited to.

    Returns {"1-min": number, "5-min": number, "15-min": number}.

    CLI Example: salt '*' status.loadavg"""
    return dict(zip(("1-min", "5-min", "15-min"), os.getloadavg(), strict=True))


def meminfo():
    """What /proc/meminfo says.

    Returns {name: {"value": text, "unit": "kB"}}, without "unit" where there is none.

    CLI Example: salt '*' status.meminfo"""
    found = {}
    for line in _lines("/proc/meminfo"):
        name, value, *unit = line.replace(":", " ", 1).split()
        found[name] = {"value": value, **({"unit": unit[0]} if unit else {})}
    return found


def netdev():
    """What the network devices have carried since the start, as /proc/net/dev says.

    Returns {device: {"iface", "rx_bytes", "rx_packets", "rx_errs", "tx_bytes", …}}.

    CLI Example: salt '*' status.netdev"""
    found = {}
    for line in _lines("/proc/net/dev"):
        device, colon, counts = line.partition(":")
        if colon:
            values = [_number(word) for word in counts.split()]
            found[device.strip()] = {"iface": device.strip(), **dict(zip(NET_COUNTS, values, strict=True))}
    return found


def netstats():
    """What the kernel has counted of the network protocols, as /proc/net/netstat says.

    Returns {"TcpExt": {name: number}, "IpExt": {name: number}, …}.

    CLI Example: salt '*' status.netstats"""
    found = {}
    names: list[str] = []
    for line in _lines("/proc/net/netstat"):  # two lines each: `TcpExt: NAME NAME …`, `TcpExt: NUMBER NUMBER …`
        words = line.split()
        if names and words[0] == names[0]:
            found[words[0].rstrip(":")] = dict(zip(names[1:], map(_number, words[1:]), strict=True))
        names = words
    return found


def nproc():
    """How many processors this process may use.

    Returns a number.

    CLI Example: salt '*' status.nproc"""
    return len(os.sched_getaffinity(0))


def _processes() -> list[dict[str, str]]:
    """The processes as {"pid", "ppid", "user", "cmd"}; a kernel thread's cmd is its name in brackets."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            user, ppid, name = process.username(), process.ppid(), process.name()
            try:
                cmd = " ".join(" ".join(process.cmdline()).split()) or f"[{name}]"
            except psutil.ZombieProcess:
                cmd = f"[{name}] <defunct>"
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it has ended meanwhile, or is nobody's business here
        found.append({"pid": str(process.pid), "ppid": str(ppid), "user": user, "cmd": cmd})
    return found


def pid(sig):
    """The processes that match a regular expression.

    sig: the expression; it is searched for in "USER PID PPID COMMAND" of each process but this one.

    Returns the pids as text, one in each line; "" if there is none.

    CLI Example: salt '*' status.pid 'nginx: master'"""
    try:
        pattern = re.compile(str(sig))
    except re.error as error:
        raise CommandExecutionError(f"sig: {sig!r} is no regular expression: {error}") from None
    own = str(os.getpid())
    return "\n".join(
        each["pid"]
        for each in _processes()
        if each["pid"] != own and pattern.search(f"{each['user']} {each['pid']} {each['ppid']} {each['cmd']}")
    )


def procs():
    """The processes.

    Returns {pid: {"user": text, "cmd": text}}; the pids are texts.

    CLI Example: salt '*' status.procs"""
    return {each["pid"]: {"user": each["user"], "cmd": each["cmd"]} for each in _processes()}


def time_(format="%A, %d. %B %Y %I:%M%p"):
    """The time on this machine.

    format: as of strftime.

    Returns text, "Monday, 27. July 2015 07:55AM".

    CLI Example:
        salt '*' status.time
        salt '*' status.time '%s'"""
    return datetime.datetime.today().strftime(str(format))


def uptime():
    """Since when this machine runs.

    Returns {"seconds": number, "since_iso": text, in UTC, "since_t": seconds since 1970, "days": number, "time":
    "HOURS:MINUTES" besides the days, "users": how many are logged in}; no "users" where `who` is not installed.

    CLI Example: salt '*' status.uptime"""
    lines = _lines("/proc/uptime")
    if not lines:
        raise CommandExecutionError("File /proc/uptime was not found.")
    seconds, now = int(float(lines[0].split()[0])), time.time()
    since = datetime.datetime.fromtimestamp(now - seconds, datetime.timezone.utc).replace(tzinfo=None)
    up = datetime.timedelta(seconds=seconds)
    found = {"seconds": seconds, "since_iso": since.isoformat(), "since_t": int(now - seconds), "days": up.days}
    found["time"] = f"{up.seconds // 3600}:{up.seconds % 3600 // 60}"
    who = _output("who", "-s")
    return found if who is None else found | {"users": len(who.splitlines())}


def version():
    """What /proc/version says: the kernel, and how it was made.

    Returns text.

    CLI Example: salt '*' status.version"""
    return "\n".join(_lines("/proc/version")).strip()


def vmstats():
    """What the kernel has counted of virtual memory, as /proc/vmstat says.

    Returns {name: number}.

    CLI Example: salt '*' status.vmstats"""
    return {name: _number(value) for name, value in (line.split()[:2] for line in _lines("/proc/vmstat"))}


def w():
    """Who is logged in, as the command `w` says.

    Returns [{"user", "tty", "login", "idle", "jcpu", "pcpu", "what"}], all texts.

    CLI Example: salt '*' status.w"""
    printed = _output("w", "-fh")
    if printed is None:
        raise CommandExecutionError("w is not installed on this machine (on most systems: the package procps).")
    names = ("user", "tty", "login", "idle", "jcpu", "pcpu")
    rows = [line.split(None, 6) for line in printed.splitlines() if line.strip()]
    return [
        dict(zip(names, row[:6], strict=False)) | {"what": " ".join(row[6].split()) if len(row) > 6 else ""}
        for row in rows
    ]


def _host_and_port(master: str) -> tuple[str, int]:
    """An address of a master, which may bring its ret_port: `host`, `host:port`, `[address]:port`, an IPv6 address."""
    found = re.fullmatch(r"\[([^]]+)\](?::(\d+))?|([^:]+):(\d+)", master)
    port = int(__opts__.get("master_port") or MASTER_PORT)
    if not found:
        return master, port
    return found[1] or found[3], int(found[2] or found[4] or port)


def _addresses(host: str) -> set[str]:
    """The addresses of a host; none if there is no such host."""
    import socket

    try:
        return {str(row[4][0]) for row in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()


def _connected() -> set[tuple[str, int]]:
    """The far ends of this machine's TCP connections: (address, port)."""
    import socket

    found = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _lines(path)[1:]:
            _, _, remote, state, *_ = line.split()
            if state != ESTABLISHED:
                continue
            address, _, port = remote.partition(":")
            # words of 32 bits, each in the byte order of this machine
            words = [int(address[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(address), 8)]
            family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
            text = socket.inet_ntop(family, b"".join(words))
            found.add((text.removeprefix("::ffff:") if "." in text else text, int(port, 16)))
    return found


def master(master=None, connected=True):
    """Whether this machine has a connection to a master.

    master: its host or address; without, each that the minion's option `master` names, of which one is enough.
    connected: what is expected; it is taken for the sake of Salt's schedules, and no event is made of a surprise.

    Returns True or False; None if the host is not known.

    CLI Example:
        salt '*' status.master
        salt '*' status.master salt.example.com"""
    given = [master] if master else __opts__.get("master") or []
    publish = int(__opts__.get("publish_port") or 0)
    wanted = set()
    for each in given if isinstance(given, list) else str(given).split(","):
        host, port = _host_and_port(str(each).strip())
        # where the publish port is the master's to say, the other connection tells as well
        ports = [publish] if publish else [PUBLISH_PORT, port]
        wanted |= {(address, number) for address in _addresses(host) for number in ports}
    if not wanted:
        return None
    return bool(wanted & _connected())


def ping_master(master):
    """Whether a master answers: a `ping` is sent to its ret_port, in the clear, as any stranger may.

    master: its host or address, which may bring a port (host:4506); else the option `master_port` is the port.

    Returns True or False.

    CLI Example: salt '*' status.ping_master localhost"""
    import msgpack
    import zmq

    if not master:
        return False
    host, port = _host_and_port(str(master))
    load = {"cmd": "ping"}
    for address in sorted(_addresses(host)):
        with zmq.Context() as context, context.socket(zmq.REQ) as channel:
            channel.setsockopt(zmq.LINGER, 0)
            channel.setsockopt(zmq.IPV6, 1)
            channel.connect(f"tcp://[{address}]:{port}" if ":" in address else f"tcp://{address}:{port}")
            channel.send(msgpack.packb({"enc": "clear", "load": load, "version": 3}))
            if channel.poll(PING_SECONDS * 1000):
                try:
                    return msgpack.unpackb(channel.recv(), raw=False) == load
                except (ValueError, msgpack.UnpackException):
                    return False
    return False
