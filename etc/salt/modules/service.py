"""Services, of systemd, of OpenRC or of sysv's scripts in /etc/init.d.

With `root=` a function looks at, or changes, the unit files of a tree that is not running, through `systemctl --root`.
A name without a known ending is a service. With OpenRC, which has named run levels, services come as {service: [run
level]}, as Salt has them there. What concerns the service in which this minion runs is done two seconds later, so that
the return arrives."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

__context__: dict[str, Any]
__grains__: dict[str, Any]
__opts__: dict[str, Any]
__salt__: Mapping[str, Any]

__func_alias__ = {"reload_": "reload", "unmask_": "unmask"}

KINDS = ("service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer")
UNITS = ("/lib/systemd/system", "/usr/lib/systemd/system", "/etc/systemd/system")
SCRIPTS = "/etc/init.d"
LEVELS = ("/etc", "/etc/rc.d")  # where the run levels are, rc2.d say
SAID = 2000  # characters of a program's message in an error
LATER_SECONDS = 2  # for the return to leave before the service ends in which it is made
ENABLERS = {  # the program that links scripts into run levels -> how it enables and disables
    "update-rc.d": (("update-rc.d", "{}", "defaults"), ("update-rc.d", "-f", "{}", "remove")),
    "chkconfig": (("chkconfig", "{}", "on"), ("chkconfig", "{}", "off")),
}


def _run(argv: Sequence[str]) -> tuple[int, str, str]:
    """Run a program: (exit code, stdout, stderr)."""
    import subprocess

    env = {**os.environ, "LC_ALL": "C", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, env=env, check=False)
    except OSError as error:
        raise CommandExecutionError(f"{argv[0]} cannot be run: {error.strerror}") from None
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def _true(value: Any) -> bool:
    return value.lower() in ("true", "yes", "1", "on") if isinstance(value, str) else bool(value)


def _is_systemd(root: str | None) -> bool:
    return bool(root) or os.path.isdir("/run/systemd/system")


def _is_openrc() -> bool:
    return not _is_systemd(None) and shutil.which("rc-service") is not None


def _below(path: str, root: str | None) -> str:
    return os.path.join(root, path.lstrip("/")) if root else path


def _named(name: Any) -> str:
    """A service's name; what a program would take for an option or a path is refused."""
    text = str(name)
    if not re.fullmatch(r"[^\s/\x00-\x1f\x7f-][^\s/\x00-\x1f\x7f]*", text):
        raise SaltInvocationError(f"{text!r} is no name of a service")
    return text


def _unit(name: Any) -> str:
    text = _named(name)
    return text if text.rpartition(".")[2] in KINDS and "." in text else f"{text}.service"


def _short(unit: str) -> str | None:
    """The name that Salt has for a unit; None for what is no service, socket, timer …"""
    name, _, kind = unit.rpartition(".")
    return (name if kind == "service" else unit) if name and kind in KINDS else None


def _systemctl(*words: str, root: str | None = None) -> list[str]:
    return ["systemctl", *([f"--root={root}"] if root else []), *words]


def _said(err: str, out: str) -> str:
    """What a program has said, without the marks that OpenRC puts around its lines."""
    text = (err.strip() or out.strip())[-SAID:]
    return re.sub(r"^\s*\* |\s*\[ !! \]$", "", text, flags=re.MULTILINE)


def _own() -> str:
    """The unit in which this minion runs, "" if in none."""
    try:
        with open("/proc/self/cgroup") as file:
            found = re.findall(r"/([^/\n]+\.service)(?:/|$)", file.read(), re.MULTILINE)
    except OSError:
        return ""
    return str(found[-1]) if found else ""


def _later(argv: Sequence[str]) -> bool:
    """Run a program in a little while, outside of our service and our job."""
    if shutil.which("systemd-run") and os.path.isdir("/run/systemd/system"):
        code, out, err = _run(["systemd-run", f"--on-active={LATER_SECONDS}", "--collect", "--quiet", "--", *argv])
        if code:
            raise CommandExecutionError(_said(err, out))
        return True
    import subprocess

    nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    program = "import os, sys, time; time.sleep(float(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"
    python = [shutil.which("python3") or "python3", "-I", "-c", program]
    subprocess.Popen([*python, str(LATER_SECONDS), *argv], start_new_session=True, **nowhere)  # type: ignore
    return True


def _act(
    name: Any, verb: str, test: Any, no_block: Any = False, unmask: Any = False, unmask_runtime: Any = False
) -> bool:
    """Start, stop, restart … a service. Raises with what systemctl or the script says if it fails."""
    systemd, openrc = _is_systemd(None), _is_openrc()
    argv = _systemctl(*(["--no-block"] if _true(no_block) else []), verb, "--", _unit(name))
    if not systemd:
        argv = ["rc-service" if openrc else "service", _named(name), verb]
    if _true(test):
        return f"Would run {' '.join(argv)}. Nothing was changed."  # type: ignore[return-value]
    if systemd:
        _reread(_unit(name))
        for wanted, runtime in ((unmask, False), (unmask_runtime, True)):
            if _true(wanted):
                unmask_(name, runtime)
        if verb in ("stop", "restart") and _unit(name) == _own():
            return _later(argv)
    elif not openrc and not os.path.exists(f"{SCRIPTS}/{_named(name)}"):
        raise CommandExecutionError(f"There is no service {name}: {SCRIPTS}/{name} is not there")
    code, out, err = _run(argv)
    if code:
        __context__["retcode"] = code
        raise CommandExecutionError(_said(err, out) or f"{' '.join(argv)} ended with exit code {code}")
    return True


def _property(unit: str, *names: str) -> dict[str, str]:
    """Properties of a unit as the running systemd has it; raises if that does not answer."""
    code, out, err = _run(_systemctl("show", f"--property={','.join(names)}", "--", unit))
    if code:
        raise CommandExecutionError(f"Failed to get information on unit '{unit}': {err.strip()}")
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def _reread(unit: str) -> None:
    """Make systemd read its unit files again if one of this unit is new or has changed."""
    state = _property(unit, "NeedDaemonReload", "LoadState")
    new = state.get("LoadState") == "not-found" and os.access(f"{UNITS[-1]}/{unit}", os.R_OK)
    if state.get("NeedDaemonReload") == "yes" or new:
        systemctl_reload()


def _units(root: str | None) -> set[str]:
    """All unit files by Salt's names."""
    found = set()
    for directory in UNITS:
        path = _below(directory, root)
        if os.path.isdir(path) and not os.path.islink(path):
            found |= {name for name in map(_short, os.listdir(path)) if name}
    return found


def _scripts(root: str | None, units: set[str]) -> set[str]:
    """The scripts of sysv that no unit stands for."""
    directory = _below(SCRIPTS, root)
    try:
        names = os.listdir(directory)
    except OSError:
        return set()
    return {name for name in names if os.access(f"{directory}/{name}", os.X_OK) and name not in units} - {"README"}


def _level() -> str:
    """The run level: what `runlevel` says, else 2, Debian's, or 3."""
    if shutil.which("runlevel"):
        words = _run(["runlevel"])[1].split()
        if len(words) == 2 and words[1] != "unknown":
            return words[1]
    return "2" if __grains__.get("os_family", "Debian") == "Debian" else "3"


def _started(root: str | None) -> set[str]:
    """The scripts that are started at boot."""
    level = "S" if not _is_systemd(root) else ""
    found = set()
    for place in LEVELS:
        pattern = _below(f"{place}/rc[{level}{_level()}].d/S*", root)
        found |= {re.sub(r"^S\d*", "", os.path.basename(path)) for path in glob.glob(pattern)}
    return found


def _run_levels() -> dict[str, list[str]]:
    """OpenRC's services, and the run levels in which each starts; those of none behind the others, as Salt has them."""
    code, out, err = _run(["rc-update", "--verbose", "show"])
    if code:
        raise CommandExecutionError(_said(err, out))
    rows = [line.split("|", 1) for line in out.splitlines() if "|" in line]
    found = {name.strip(): sorted(levels.split()) for name, levels in rows}
    return dict(sorted(found.items(), key=lambda item: (not item[1], item[0])))


def _enable_levels(name: str, verb: str, kwargs: Mapping[str, Any], test: Any) -> Any:
    """Have OpenRC start a service in some run levels and in no others, or in some of them no longer; without
    `runlevels` in the one that there is now."""
    given = kwargs.get("runlevels")
    action = {"enable": "add", "disable": "delete"}[verb]
    steps = {action: set[str]()}
    if given:
        wanted = set(map(_named, given if isinstance(given, list) else [given]))
        now = set(_run_levels().get(name, []))
        steps = {"delete": now - wanted, "add": wanted - now} if verb == "enable" else {"delete": now & wanted}
    commands = [["rc-update", step, name, *sorted(levels)] for step, levels in steps.items() if levels or not given]
    if _true(test):
        said = " and ".join(" ".join(argv) for argv in commands)
        return f"Would run {said}. Nothing was changed." if said else "Nothing would change."
    for argv in commands:
        code, out, err = _run(argv)
        if code and verb == "enable":
            raise CommandExecutionError(_said(err, out))
        if code:
            __context__["retcode"] = 1
            return False
    return True


def _by_state(wanted: str, root: str | None) -> set[str]:
    """The units of a state of `systemctl list-unit-files`."""
    words = ["--full", "--no-legend", "--no-pager", "list-unit-files"]
    lines = (line.split() for line in _run(_systemctl(*words, root=root))[1].splitlines())
    found = {_short(line[0]) for line in lines if len(line) > 1 and line[1] == wanted}
    return {name for name in found if name}


def available(name):
    """Whether there is a service of this name.
    Returns True or False.

    CLI Example: salt '*' service.available sshd"""
    if not _is_systemd(None):
        return _named(name) in get_all()
    _reread(_unit(name))
    return _property(_unit(name), "LoadState").get("LoadState") != "not-found"


def disable(name, no_block=False, root=None, test=False, **kwargs):
    """Let a service no longer start at boot. Returns True, or False if that failed. test=True says what would be run.
    runlevels: a name or a list of them, in which it does not start (OpenRC; else it is the one that there is now).

    CLI Example: salt '*' service.disable nginx"""
    if _is_openrc() and not root:
        return _enable_levels(_named(name), "disable", kwargs, test)
    return _enable(name, "disable", root, test, no_block)


def disabled(name, root=None, **kwargs):
    """Whether a service does not start at boot.
    Returns True or False.

    CLI Example: salt '*' service.disabled nginx"""
    return not enabled(name, root=root) if _is_systemd(root) else _named(name) in get_disabled()


def enable(name, no_block=False, unmask=False, unmask_runtime=False, root=None, test=False, **kwargs):
    """Let a service start at boot. Returns True. Raises with what systemctl says if that failed; unmask=True: even if
    it is masked. test=True says what would be run. runlevels: a name or a list of them, in which alone it starts
    (OpenRC; else it is the one that there is now).

    CLI Example: salt '*' service.enable nginx"""
    if _is_openrc() and not root:
        return _enable_levels(_named(name), "enable", kwargs, test)
    for wanted, runtime in ((unmask, False), (unmask_runtime, True)):
        if _true(wanted) and not _true(test):
            unmask_(name, runtime, root)
    return _enable(name, "enable", root, test, no_block)


def _enable(name: Any, verb: str, root: str | None, test: Any, no_block: Any) -> Any:
    systemd = _is_systemd(root)
    argv = _systemctl(*(["--no-block"] if _true(no_block) else []), verb, "--", _unit(name), root=root)
    if not systemd or _named(name) in _scripts(root, _units(root)):
        program = next((each for each in ENABLERS if shutil.which(each)), None)
        if not program:
            raise CommandExecutionError(f"None of {', '.join(ENABLERS)} is there, so no script can be {verb}d")
        if not os.path.exists(_below(f"{SCRIPTS}/{name}", root)):
            raise CommandExecutionError(f"There is no service {name}: {SCRIPTS}/{name} is not there")
        if root:
            raise CommandExecutionError(f"{program} knows no other root than /")
        argv = [word.replace("{}", str(name)) for word in ENABLERS[program][verb == "disable"]]
    if _true(test):
        return f"Would run {' '.join(argv)}. Nothing was changed."
    if systemd and not root:
        _reread(_unit(name))
    code, out, err = _run(argv)
    if code and verb == "enable":
        raise CommandExecutionError(_said(err, out))
    if code:
        __context__["retcode"] = 1
    return code == 0


def enabled(name, root=None, **kwargs):
    """Whether a service starts at boot, or when it is needed (`static`, `indirect` …). runlevels: a name or a list of
    them, whether in each of these (OpenRC).
    Returns True or False.

    CLI Example: salt '*' service.enabled nginx"""
    if _is_openrc() and not root:
        wanted = kwargs.get("runlevels") or []
        found = _run_levels().get(_named(name), [])
        return bool(found) and set(wanted if isinstance(wanted, list) else [wanted]) <= set(found)
    if not _is_systemd(root):
        return _named(name) in _started(root)
    code, out, _ = _run(_systemctl("is-enabled", "--", _unit(name), root=root))
    if out.strip() == "alias":
        real = _run(_systemctl("show", "--property=Id", "--value", "--", _unit(name), root=root))[1].strip()
        return bool(real) and real != _unit(name) and enabled(real, root=root)
    if code == 0:
        return True
    if "@" in str(name):  # an instance of a template
        return bool(glob.glob(_below(f"{UNITS[-1]}/*/{glob.escape(_unit(name))}", root)))
    return _named(name) in _scripts(root, _units(root)) & _started(root)


def force_reload(name, no_block=True, unmask=False, unmask_runtime=False, test=False):
    """Let a service read its configuration again, or restart it if it cannot. Returns True, or raises with the reason.

    CLI Example: salt '*' service.force_reload nginx"""
    verb = "force-reload"
    return _act(name, verb, test, no_block, unmask, unmask_runtime)


def get_all(root=None):
    """Returns the names of all services, and of sockets, timers, mounts … with their ending. OpenRC: {service: [run
    level]}.

    CLI Example: salt '*' service.get_all"""
    if _is_openrc() and not root:
        return _run_levels()
    if not _is_systemd(root):
        return sorted(_all_scripts() | _started(None))
    units = _units(root)
    return sorted(units | _scripts(root, units))


def _all_scripts() -> set[str]:
    return {os.path.basename(path) for path in glob.glob(f"{SCRIPTS}/*")} - {"README"}


def get_disabled(root=None):
    """Returns the names of the services that do not start at boot.

    CLI Example: salt '*' service.get_disabled"""
    if _is_openrc() and not root:
        return [name for name, levels in _run_levels().items() if not levels]
    if not _is_systemd(root):
        return sorted(set(get_all()) - _started(None))
    return sorted(_by_state("disabled", root) | (_scripts(root, _units(root)) - _started(root)))


def get_enabled(root=None):
    """Returns the names of the services that start at boot. OpenRC: {service: [run level]}.

    CLI Example: salt '*' service.get_enabled"""
    if _is_openrc() and not root:
        return {name: levels for name, levels in _run_levels().items() if levels}
    if not _is_systemd(root):
        return sorted(_started(None))
    return sorted(_by_state("enabled", root) | (_scripts(root, _units(root)) & _started(root)))


def get_running():
    """Returns the names of the services that run.

    CLI Example: salt '*' service.get_running"""
    if not _is_systemd(None):
        return sorted(name for name in (_run_levels() if _is_openrc() else _all_scripts()) if status(name))
    lines = (
        line.split() for line in _run(_systemctl("--full", "--no-legend", "--no-pager", "--plain"))[1].splitlines()
    )
    return sorted(filter(None, {_short(line[0]) for line in lines if len(line) > 3 and line[3] == "running"}))


def get_static(root=None):
    """Returns the names of the services that have no say in when they start (systemd).

    CLI Example: salt '*' service.get_static"""
    return sorted(_by_state("static", root)) if _is_systemd(root) else []


def mask(name, runtime=False, root=None, test=False):
    """Let nothing start a service, until it is unmasked; runtime=True: until the next boot (systemd). Returns True.

    CLI Example: salt '*' service.mask nginx"""
    return _mask(name, "mask", runtime, root, test)


def _mask(name: Any, verb: str, runtime: Any, root: str | None, test: Any) -> Any:
    if not _is_systemd(root):
        raise CommandExecutionError("Only systemd masks services")
    argv = _systemctl(verb, *(["--runtime"] if _true(runtime) else []), "--", _unit(name), root=root)
    if _true(test):
        return f"Would run {' '.join(argv)}. Nothing was changed."
    if verb == "unmask" and not masked(name, runtime, root):
        return True
    code, out, err = _run(argv)
    if code:
        raise CommandExecutionError(f"Failed to {verb} service '{name}': {_said(err, out)}")
    return True


def masked(name, runtime=False, root=None):
    """Whether a service is masked (systemd).
    Returns True or False.

    CLI Example: salt '*' service.masked nginx"""
    path = _below(f"{'/run' if _true(runtime) else '/etc'}/systemd/system/{_unit(name)}", root)
    return os.path.islink(path) and os.readlink(path) == "/dev/null"


def missing(name):
    """Whether there is no service of this name.
    Returns True or False.

    CLI Example: salt '*' service.missing sshd"""
    return not available(name)


def reload_(name, no_block=False, unmask=False, unmask_runtime=False, test=False):
    """Let a service read its configuration again. Returns True, or raises with the reason.

    CLI Example: salt '*' service.reload nginx"""
    return _act(name, "reload", test, no_block, unmask, unmask_runtime)


def restart(name, no_block=None, unmask=False, unmask_runtime=False, test=False):
    """Restart a service. Returns True, or raises with the reason. no_block=True: do not wait for it; unmask=True: even
    if it is masked. test=True says what would be run.

    CLI Example: salt '*' service.restart nginx"""
    return _act(name, "restart", test, no_block, unmask, unmask_runtime)


LISTS = ("Before", "After", "Wants")


def _shown(value: str) -> Any:
    """A property that is a map in braces, as ExecStart is; of several maps the last word counts, as in Salt."""
    if not value.startswith("{"):
        return value
    parts = (part.partition("=") for part in value.replace("{", "").replace("}", "").split(" ; "))
    return {key.strip(): each.strip() for key, _, each in parts if key.strip()}


def show(name, root=None):
    """The properties of a service (systemd). Returns {"ActiveState": "active", "After": [units], "ExecStart": {"path":
    …} …}.

    CLI Example: salt '*' service.show nginx"""
    if not _is_systemd(root):
        raise CommandExecutionError("Only systemd has properties of services; service.status says whether one runs")
    code, out, err = _run(_systemctl("show", "--", _unit(name), root=root))
    if code:
        raise CommandExecutionError(_said(err, out))
    pairs = (line.split("=", 1) for line in out.splitlines() if "=" in line)
    return {key: value.split() if key in LISTS else _shown(value) for key, value in pairs}


def start(name, no_block=False, unmask=False, unmask_runtime=False, test=False):
    """Start a service. Returns True, or raises with the reason. test=True says what would be run.

    CLI Example: salt '*' service.start nginx"""
    return _act(name, "start", test, no_block, unmask, unmask_runtime)


def status(name, sig=None):
    """Whether a service runs; of a name with `*`, `?` or `[…]` a map {service: whether it runs}. sig: of sysv, what its
    process is called.
    Returns True or False.

    CLI Example:
        salt '*' service.status nginx
        salt '*' service.status 'system*'"""
    systemd = _is_systemd(None)
    if sig and not systemd:
        return bool(__salt__["status.pid"](sig))
    argv: Callable[[str], list[str]] = (
        (lambda each: _systemctl("is-active", "--", _unit(each)))
        if systemd
        else (lambda each: ["rc-service" if _is_openrc() else "service", _named(each), "status"])
    )
    if re.search(r"\*|\?|\[.+\]", str(name)):
        return {each: _run(argv(each))[0] == 0 for each in fnmatch.filter(get_all(), str(name))}
    return _run(argv(str(name)))[0] == 0


def stop(name, no_block=None, test=False):
    """Stop a service. Returns True, or False if that failed. test=True says what would be run.

    CLI Example: salt '*' service.stop nginx"""
    try:
        return _act(name, "stop", test, no_block)
    except CommandExecutionError:
        __context__["retcode"] = __context__.get("retcode") or 1
        return False


def systemctl_reload(test=False):
    """Let systemd read its unit files again. Returns True, or raises with the reason.

    CLI Example: salt '*' service.systemctl_reload"""
    argv = _systemctl("daemon-reload")
    if _true(test):
        return f"Would run {' '.join(argv)}. Nothing was changed."
    code, out, err = _run(argv)
    if code:
        raise CommandExecutionError(f"Problem performing systemctl daemon-reload: {_said(err, out)}")
    return True


def unmask_(name, runtime=False, root=None, test=False):
    """Undo service.mask. Returns True, also if the service was not masked (systemd).

    CLI Example: salt '*' service.unmask nginx"""
    return _mask(name, "unmask", runtime, root, test)


def zap(name, test=False):
    """Have OpenRC take a service for stopped, whatever it took it for; nothing is stopped. Returns True, or raises with
    the reason.

    CLI Example: salt '*' service.zap nginx"""
    if not _is_openrc():
        raise CommandExecutionError("Only OpenRC has states of services that can be reset")
    return _act(name, "zap", test)
