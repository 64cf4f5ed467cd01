"""service: what is called. See tests/functions.py. Nothing is started or stopped on the machine that runs this: where
systemd runs, what changes something is called for a tree of its own (`root=`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

SYSTEMD = os.path.isdir("/run/systemd/system")
AFTER = True
UNITS = "usr/lib/systemd/system"
UNIT = "[Unit]\nAfter=network.target\n[Service]\nExecStart=/bin/sleep 9\n[Install]\nWantedBy=multi-user.target\n"
TIMER = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"
SCRATCH = {"root": "{scratch}"}


def prepare(scratch: Path) -> None:
    """A tree with unit files, for systemctl --root."""
    (scratch / UNITS).mkdir(parents=True)
    (scratch / "etc/systemd/system").mkdir(parents=True)
    for name in ("one", "two"):
        (scratch / UNITS / f"{name}.service").write_text(UNIT)
    (scratch / UNITS / "still.service").write_text("[Service]\nExecStart=/bin/true\n")
    (scratch / UNITS / "one.timer").write_text(TIMER)


READING: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("service.get_all", [], {}),
    ("service.get_enabled", [], {}),
    ("service.get_disabled", [], {}),
    ("service.available", ["dbus"], {}),
    ("service.available", ["nosuch"], {}),
    ("service.missing", ["dbus"], {}),
    ("service.missing", ["nosuch"], {}),
    ("service.enabled", ["dbus"], {}),
    ("service.disabled", ["dbus"], {}),
    ("service.disabled", ["nosuch"], {}),
    ("service.status", ["nosuch"], {}),
    ("service.status", ["nosuch*"], {}),
    ("service.start", ["nosuch"], {}),
    ("service.restart", ["nosuch"], {}),
    ("service.stop", ["nosuch"], {}),
    ("service.reload", ["nosuch"], {}),
    ("service.force_reload", ["nosuch"], {}),
]
OF_SYSTEMD: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("service.get_running", [], {}),
    ("service.show", ["dbus"], {}),
    ("service.systemctl_reload", [], {}),
]
OF_A_TREE: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("service.get_all", [], SCRATCH),
    ("service.get_static", [], SCRATCH),
    ("service.enable", ["one"], SCRATCH),
    ("service.enable", ["one.timer"], SCRATCH),
    ("service.enable", ["nosuch"], SCRATCH),
    ("service.enabled", ["one"], SCRATCH),
    ("service.enabled", ["two"], SCRATCH),
    ("service.enabled", ["still"], SCRATCH),
    ("service.disabled", ["two"], SCRATCH),
    ("service.get_enabled", [], SCRATCH),
    ("service.get_disabled", [], SCRATCH),
    ("service.mask", ["two"], SCRATCH),
    ("service.masked", ["two"], SCRATCH),
    ("service.masked", ["one"], SCRATCH),
    ("service.unmask", ["two"], SCRATCH),
    ("service.unmask", ["two"], SCRATCH),
    ("service.disable", ["one"], SCRATCH),
]
CASES = READING + (OF_SYSTEMD + OF_A_TREE if SYSTEMD else [])
NO_SYSTEMD = "systemd does not run here; tests/test_module_service.py calls it for a tree of its own"
ONLY_SALT = {
    **dict.fromkeys(
        ("service.execs", "service.firstboot", "service.offline"),
        "service.show has what units run; the others prepare images",
    ),
}
NOT_COMPARED = {case[0]: NO_SYSTEMD for case in OF_SYSTEMD + OF_A_TREE if case[0] not in {each[0] for each in READING}}
NOT_COMPARED = {} if SYSTEMD else NOT_COMPARED
NOT_COMPARED["service.zap"] = "OpenRC alone has it, and of Salt releases before 3008"
RAISED = "what is wrong is raised, where Salt returns False"
OF_SYSV = {
    "service.get_all": "Salt has `-common` for x11-common, and takes the retcode of `runlevel`",
    "service.get_enabled": "Salt has `-common` for x11-common, and takes the retcode of `runlevel`",
    "service.get_disabled": "Salt has `-common` for x11-common, and takes the retcode of `runlevel`",
}
OF_SYSV |= {
    " ".join((case[0], *case[1])): "Salt takes the retcode of `runlevel`, which answers nothing in a container"
    for case in READING[3:12]
    if case != ("service.status", ["nosuch"], {})
}
OF_SYSV |= {f"service.{verb} nosuch": RAISED for verb in ("start", "restart", "reload", "force_reload")}
DIFFERS = {} if SYSTEMD else OF_SYSV
NORMAL = {  # units in no order; of maps, which have process ids and times, the keys
    "service.show": lambda found: {
        key: sorted(each.split() if isinstance(each, str) else each) for key, each in found.items()
    }
}
