"""ps: what is called, and what is not. See tests/functions.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

MARK = "compared-sleeper"
sleepers: list[subprocess.Popen[bytes]] = []


def prepare(scratch: Path) -> None:
    """Two processes with a name that nobody else has, to be found and killed."""
    (scratch / MARK).symlink_to("/bin/sleep")
    for _ in range(2):
        sleepers.append(subprocess.Popen([str(scratch / MARK), "600"], start_new_session=True))
    time.sleep(0.2)


def finish() -> None:
    for each in sleepers:
        each.kill()
        each.wait()


CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("ps.top", [2, 0.1], {}),
    ("ps.get_pid_list", [], {}),
    ("ps.proc_info", [1], {"attrs": ["pid", "name", "ppid", "username", "uids", "status"]}),
    ("ps.proc_info", [1], {"attrs": ["no_such_thing"]}),
    ("ps.proc_info", [2**22 + 1], {}),
    ("ps.kill_pid", [2**22 + 1], {}),
    ("ps.pgrep", [MARK], {}),
    ("ps.pgrep", [MARK], {"user": "root"}),
    ("ps.pgrep", [MARK], {"user": "nobody"}),
    ("ps.pgrep", [f"{MARK} 600"], {"full": True}),
    ("ps.pgrep", ["no such process, surely"], {}),
    ("ps.psaux", [f"{MARK} 6[0]0"], {}),
    ("ps.pkill", [f"{MARK} 600"], {"full": True, "signal": 9}),
    ("ps.pkill", ["no such process, surely"], {}),
    ("ps.status", ["no such state"], {}),
    ("ps.status", [""], {}),
    ("ps.cpu_percent", [], {}),
    ("ps.cpu_percent", [0.1], {"per_cpu": True}),
    ("ps.cpu_times", [], {}),
    ("ps.cpu_times", [True], {}),
    ("ps.virtual_memory", [], {}),
    ("ps.swap_memory", [], {}),
    ("ps.total_physical_memory", [], {}),
    ("ps.num_cpus", [], {}),
    ("ps.boot_time", [], {}),
    ("ps.boot_time", ["%Y-%m-%d"], {}),
    ("ps.disk_partitions", [], {}),
    ("ps.disk_partitions", [True], {}),
    ("ps.disk_usage", ["/"], {}),
    ("ps.disk_usage", ["/nowhere"], {}),
    ("ps.disk_partition_usage", [], {}),
    ("ps.network_io_counters", [], {}),
    ("ps.network_io_counters", ["lo"], {}),
    ("ps.network_io_counters", ["nothing"], {}),
    ("ps.disk_io_counters", [], {}),
    ("ps.disk_io_counters", ["nothing"], {}),
    ("ps.get_users", [], {}),
]
NOT_COMPARED = {
    "ps.lsof": "what is open changes from one moment to the next",
    "ps.top_memory": "Salt has no such function",
}
for program in ("ss", "netstat"):
    if shutil.which(program):
        CASES.append((f"ps.{program}", ["no such program"], {}))
    else:
        NOT_COMPARED[f"ps.{program}"] = f"{program} is not installed here"


def shape(value: Any) -> Any:
    """Names and types: numbers are those of the moment."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


LASTING = ("/", "/proc", "/sys", "/dev")  # other mounts come and go while others test beside this
NORMAL = {
    "ps.disk_partitions": lambda value: [row for row in value if row["mountpoint"] in LASTING],
    "ps.top": lambda value: [shape({key: each for key, each in row.items() if key != "cmd"}) for row in value],
    "ps.get_pid_list": lambda value: value[:5],
    "ps.pgrep": lambda value: value and len(value),
    "ps.psaux": lambda value: [value[0], len(value[1]), value[2]],
    "ps.pkill": lambda value: value and {key: len(pids) for key, pids in value.items()},
    "ps.cpu_percent": shape,
    "ps.cpu_times": shape,
    "ps.virtual_memory": shape,
    "ps.swap_memory": shape,
    "ps.boot_time": lambda value: value // 10 if isinstance(value, int) else value,
    "ps.disk_usage": lambda value: shape(value) | {"total": value["total"]},
    "ps.disk_partition_usage": lambda value: [shape(row) | {"mountpoint": row["mountpoint"]} for row in value],
    "ps.network_io_counters": shape,
    "ps.disk_io_counters": shape,
}
DIFFERS = {
    "ps.proc_info 1 attrs=['no_such_thing']": "a sentence, no traceback",
    "ps.disk_usage /nowhere": "a sentence, no traceback",
}
if os.geteuid() != 0:
    CASES = [case for case in CASES if case[1:] != ([MARK], {"user": "root"})]
