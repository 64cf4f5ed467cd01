"""status: what is called, and what is not. See tests/functions.py."""

from __future__ import annotations

from typing import Any

from compared import stays

CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("status.all_status", [], {}),
    ("status.cpuinfo", [], {}),
    ("status.cpustats", [], {}),
    ("status.custom", [], {}),
    ("status.diskstats", [], {}),
    ("status.diskusage", [], {}),
    ("status.diskusage", ["/", "/nowhere"], {}),
    ("status.diskusage", ["/tmp", "t?pfs"], {}),
    ("status.loadavg", [], {}),
    ("status.master", [], {}),
    ("status.master", ["no.such.host.invalid"], {}),
    ("status.master", ["127.0.0.99"], {}),
    ("status.meminfo", [], {}),
    ("status.netdev", [], {}),
    ("status.netstats", [], {}),
    ("status.nproc", [], {}),
    ("status.pid", [r"\[kthreadd\]"], {}),
    ("status.pid", ["no such process, surely"], {}),
    ("status.ping_master", [""], {}),
    ("status.procs", [], {}),
    ("status.time", ["%Y-%m-%d"], {}),
    ("status.uptime", [], {}),
    ("status.version", [], {}),
    ("status.vmstats", [], {}),
    ("status.w", [], {}),
]
ONLY_SALT = {
    "status.proxy_reconnect": "there are no proxy minions",
}
NOT_COMPARED: dict[str, str] = {}


def shape(value: Any) -> Any:
    """Names and types: numbers are those of the moment."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


def lasting(value: dict[str, Any]) -> dict[str, Any]:
    """A value of which some numbers, of the processor's frequency say, are those of the moment."""
    return {key: each for key, each in value.items() if "MHz" not in key}


def no_users(value: dict[str, Any]) -> Any:
    """Of nobody's login the real one counts one line."""
    return shape(value) | {"since": value["since_t"] // 10, "users": max(value["users"], 1)}


def first_processes(value: dict[str, Any]) -> Any:
    """The kernel's threads, which stay, without names that change."""
    return {pid: row["user"] for pid, row in value.items() if int(pid) < 15 and "kworker" not in row["cmd"]}


NORMAL = {
    "status.all_status": lambda value: sorted(value),
    "status.cpuinfo": lasting,
    "status.cpustats": shape,
    "status.diskstats": shape,
    "status.diskusage": lambda value: {path: each["total"] for path, each in value.items() if stays(path)},
    "status.loadavg": shape,
    "status.meminfo": shape,
    "status.netdev": shape,
    "status.netstats": shape,
    "status.procs": first_processes,
    "status.uptime": no_users,
    "status.vmstats": shape,
}
DIFFERS = {"status.netstats": "the last number of each line is there, too"}
