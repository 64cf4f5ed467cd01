"""Calls every daily function with real Salt and with saltlite, with the same arguments on the same files, and says of
each function: same, differs (how), or not compared (why). `./build.sh interop` runs it with the newest Salt:

    python tests/functions.py --salt PYTHON_OF_AN_ENVIRONMENT_WITH_SALT [MODULE…]

A daily module is a file of etc/salt/modules that takes nothing from the script, so it is a custom module of real Salt,
too: renamed and loaded by it, its functions must give what they give here. tests/compared/MODULE.py says what is
called:

    CASES: list[tuple[str, list, dict]]       function, args, kwargs; texts may hold {scratch}
    prepare(scratch)                          before each side's calls; scratch is new, and of the same name for each
    finish()                                  after them
    NORMAL: dict[str, Callable[[Any], Any]]   function -> what makes its values comparable; "AFTER": a tree's
    AFTER: bool                               what lies in scratch afterwards is compared: names, modes, owners, texts
    PRIVATE: list[str]                        directories, /etc say, of which each side has a copy of its own that it
                                              may change (an overlay); what has changed there is part of AFTER
    NETWORK: bool                             each side has a network namespace of its own, with lo up
    NOT_COMPARED: dict[str, str]              function -> why
    ONLY_SALT: dict[str, str]                 a function of Salt's that is not here -> why
    DIFFERS: dict[str, str]                   function, a call as it is printed, or "AFTER" -> how, deliberately

Each side runs one process, and a child of it for each module, in a mount namespace of its own where root runs this.
The exit code is 1 for a difference that is not deliberate, for a deliberate one that is not there any more, and for a
function that is neither called nor said not to be, or is Salt's alone without a reason."""

from __future__ import annotations

import argparse
import collections
import contextlib
import ctypes
import functools
import importlib.util
import json
import logging
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
MODULES = HERE.parent / "etc/salt/modules"
OURS, SALTS, CUSTOM = "saltlite", "Salt", "as custom module"
PREFIX = "our_"  # of the names of our files in real Salt
CALL_SECONDS = 30  # for one call
SHOWN_TEXTS = {"CommandExecutionError", "SaltInvocationError"}  # errors of which people see the text, not a traceback
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000


class Outcome(NamedTuple):
    """What a call came to: "returned" with a value, "raised" with the error's type and, if people see it, its text, or
    "missing"; and the retcode that it left."""

    kind: str
    value: Any = None
    retcode: int = 0


# ---- the modules and what is said of them ---------------------------------------------------------------------------


def is_daily(path: Path) -> bool:
    return not re.search(r"^\s*(from|import) saltlite\b", path.read_text(), re.MULTILINE)


def daily_modules() -> list[str]:
    return sorted(path.stem for path in MODULES.glob("*.py") if is_daily(path))


class Compared:
    """A file of tests/compared."""

    def __init__(self, name: str) -> None:
        self.name = name
        found: Any = self.read(HERE / f"compared/{name}.py")
        self.cases: list[tuple[str, list[Any], dict[str, Any]]] = found.CASES
        self.prepare: Callable[[Path], None] = getattr(found, "prepare", lambda scratch: None)
        self.finish: Callable[[], None] = getattr(found, "finish", lambda: None)
        self.normal: dict[str, Callable[[Any], Any]] = getattr(found, "NORMAL", {})
        self.after: bool = getattr(found, "AFTER", False)
        self.private: list[str] = getattr(found, "PRIVATE", [])
        self.network: bool = getattr(found, "NETWORK", False)
        self.not_compared: dict[str, str] = getattr(found, "NOT_COMPARED", {})
        self.only_salt: dict[str, str] = getattr(found, "ONLY_SALT", {})
        self.differs: dict[str, str] = getattr(found, "DIFFERS", {})

    @staticmethod
    def read(path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"compared_{path.stem}", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def unmentioned(self, names: set[str]) -> set[str]:
        """Which of a module's functions are neither called nor said not to be."""
        return names - {fun for fun, _, _ in self.cases} - set(self.not_compared)


def filled_in(value: Any, scratch: str) -> Any:
    """A value with the scratch directory's name put in."""
    if isinstance(value, str):
        return value.replace("{scratch}", scratch)
    if isinstance(value, dict):
        return {filled_in(key, scratch): filled_in(each, scratch) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(filled_in(each, scratch) for each in value)
    return value


def as_typed(fun: str, args: list[Any], kwargs: Mapping[str, Any]) -> str:
    """A call as it is printed."""
    given = [*map(str, args), *(f"{key}={value}" for key, value in kwargs.items())]
    return " ".join([fun, *(json.dumps(word) if re.search(r"\s|^$", word) else word for word in given)])


# ---- a side: real Salt, or saltlite ---------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """A value as the wire carries it: no subclasses, no tuples and no sets."""
    if isinstance(value, Mapping):
        return {plain(key): plain(each) for key, each in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value), key=repr)
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    kind: Any
    for kind in (bool, int, float, str, bytes):
        if isinstance(value, kind):
            return kind(value)
    return value if value is None else f"{type(value).__name__}: {value}"


class Side:
    """Who calls functions: made once, it serves one module after the other, each in a child."""

    functions: Any
    context: dict[str, Any]

    def __init__(self, root: Path) -> None:
        conf = root / "etc/salt"
        conf.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {
            "id": "web1",
            "file_client": "local",
            "root_dir": str(root),
            "pki_dir": str(root / "pki"),
        }
        options |= {"enable_fqdns_grains": False, "enable_gpu_grains": False}
        (conf / "minion").write_text(json.dumps(options))
        self.conf = conf

    def call(self, fun: str, args: list[Any], kwargs: dict[str, Any]) -> Outcome:
        if fun not in self.functions:
            return Outcome("missing")
        self.context["retcode"] = 0
        signal.alarm(CALL_SECONDS)
        try:
            found = Outcome("returned", plain(self.functions[fun](*args, **kwargs)))
        except BaseException as error:
            kinds = {kind.__name__ for kind in type(error).__mro__}
            text = str(error) if kinds & SHOWN_TEXTS else ""
            found = Outcome("raised", [type(error).__name__, text])
            if not text:
                sys.stderr.write(f"{as_typed(fun, args, kwargs)}:\n{traceback.format_exc()}")
        finally:
            signal.alarm(0)
        return found._replace(retcode=self.context.get("retcode") or 0)


class Saltlite(Side):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        sys.path.insert(0, str(HERE.parent))
        import saltlite

        opts = saltlite.load_opts("minion", str(self.conf))
        opts["id"] = "web1"
        self.execution = saltlite.Execution(opts, saltlite.MinionTree(opts), {"jid": "20261126000000000000"})
        self.execution.grains = saltlite.collect_grains(opts)
        self.execution.pillar = {}
        self.functions, self.context = self.execution.functions, self.execution.context


class RealSalt(Side):
    """Salt's functions, and ours in files of other names."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        import salt.config
        import salt.loader

        logging.disable(logging.CRITICAL)
        directory = root / "var/cache/salt/minion/extmods/modules"
        directory.mkdir(parents=True, exist_ok=True)
        for name in daily_modules():
            text = (MODULES / f"{name}.py").read_text()
            text = re.sub(r'^(__virtualname__ = ")', rf"\1{PREFIX}", text, flags=re.MULTILINE)
            (directory / f"{PREFIX}{name}.py").write_text(text)
        opts = salt.config.minion_config(str(self.conf / "minion"))
        opts["grains"] = salt.loader.grains(opts)
        self.context = {}
        utils = salt.loader.utils(opts)
        self.functions = salt.loader.minion_mods(opts, context=self.context, utils=utils)
        self.context = self.functions.pack["__context__"]


def may_isolate() -> bool:
    """Whether namespaces can be made here."""
    with contextlib.suppress(OSError):
        return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "--net", "true"]).returncode == 0
    return False


def isolate(private: list[str], network: bool, overlays: Path) -> None:
    """Give this process mounts of its own, with a copy of some directories to change, and a network."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | (CLONE_NEWNET if network else 0)):
        raise OSError(ctypes.get_errno(), "unshare")
    commands = ["mount --make-rprivate /", f"mount -t tmpfs tmpfs {overlays}"]
    for number, directory in enumerate(private):
        upper, work = overlays / f"{number}", overlays / f"{number}.work"
        layers = f"lowerdir={directory},upperdir={upper},workdir={work}"
        commands += [f"mkdir {upper} {work}", f"mount -t overlay -o {layers} overlay {directory}"]
    for command in [*commands, *(["ip link set lo up"] if network else [])]:
        subprocess.run(command.split(), check=True)


def tree(directory: Path, name: str) -> dict[str, Any]:
    """What lies in a directory: mode, owner and content of each file by its path, as it is seen from `name`."""
    found = {}
    for path in sorted(directory.rglob("*")):
        state = path.lstat()
        content: Any = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            data = path.read_bytes()
            try:
                content = data.decode()
            except UnicodeDecodeError:
                content = data
        found[f"{name}/{path.relative_to(directory)}"] = [oct(state.st_mode), state.st_uid, state.st_gid, content]
    return found


def serve_module(side: Side, name: str, prefix: str, scratch: str, overlays: str, alone: bool) -> dict[str, Any]:
    """All calls of a module: the outcomes, and the files afterwards."""
    compared = Compared(name)
    if alone:
        isolate(compared.private, compared.network, Path(overlays))
    outcomes = []
    try:
        compared.prepare(Path(scratch))
        for fun, args, kwargs in compared.cases:
            outcomes.append(side.call(prefix + fun, filled_in(args, scratch), filled_in(kwargs, scratch)))
    finally:
        compared.finish()
    after = {}
    if compared.after:
        after = tree(Path(scratch), "{scratch}")
        for number, directory in enumerate(compared.private):
            after |= tree(Path(overlays, str(number)), directory)
    return {"outcomes": [tuple(each) for each in outcomes], "after": after}


def too_long(*_: Any) -> None:
    raise TimeoutError


def in_child(result: Path, function: Callable[[], Any]) -> None:
    """Run a function in a child and write what it gives, or why it could not, into a file."""
    pid = os.fork()
    if pid == 0:
        try:
            found = function()
        except BaseException:
            found = traceback.format_exc()
        result.write_bytes(pickle.dumps(found, 4))
        os._exit(0)
    os.waitpid(pid, 0)


def serve(kind: str, root: str) -> None:
    """The life of a side's process: the names of all functions are written; then a line {name, prefix, scratch,
    overlays, alone, result} comes, a line goes back when the file `result` is there, and so on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a function prints is no answer
    side = Saltlite(Path(root)) if kind == OURS else RealSalt(Path(root))
    signal.signal(signal.SIGALRM, too_long)
    in_child(Path(root, "names"), lambda: sorted(side.functions))  # to list them loads every file
    print(file=answers, flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        result = Path(task.pop("result"))
        for fun, _, _ in Compared(task["name"]).cases:  # its file is read once, not in each child
            side.functions.get(task["prefix"] + fun)
        in_child(result, functools.partial(serve_module, side, **task))
        print(file=answers, flush=True)


# ---- the comparison -------------------------------------------------------------------------------------------------


class Sides:
    """The process of real Salt and ours, to be asked for the outcomes of a module."""

    def __init__(self, salt: str, directory: Path) -> None:
        self.directory, self.number, self.alone = directory, 0, may_isolate()
        self.processes = {}
        for kind, python in ((SALTS, salt), (OURS, sys.executable)):
            root = directory / kind
            root.mkdir()
            self.processes[kind] = subprocess.Popen(
                [python, __file__, "--side", kind, str(root)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=(directory / f"{kind}.log").open("w"),
                env=os.environ | {"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
                text=True,
            )
        self.names: dict[str, set[str]] = {}
        for kind in self.processes:
            self._wait(kind)
            self.names[kind] = set(pickle.loads((directory / kind / "names").read_bytes()))
        self.names[CUSTOM] = {name.removeprefix(PREFIX) for name in self.names[SALTS] if name.startswith(PREFIX)}

    def _wait(self, kind: str) -> None:
        process = self.processes[kind]
        assert process.stdout
        if not process.stdout.readline():
            raise SystemExit(f"the process of {kind} has ended: {(self.directory / f'{kind}.log').read_text()[-2000:]}")

    def run(self, kind: str, name: str) -> dict[str, Any]:
        """What serve_module gives there. Raises SystemExit with its text if it could not run."""
        process = self.processes[SALTS if kind == CUSTOM else kind]
        assert process.stdin
        self.number += 1
        scratch, overlays = self.directory / "scratch", self.directory / "overlays"
        for each in (scratch, overlays):
            shutil.rmtree(each, ignore_errors=True)
            each.mkdir()
        result = self.directory / f"result{self.number}"
        task: dict[str, Any] = {"name": name, "prefix": PREFIX if kind == CUSTOM else "", "scratch": str(scratch)}
        task["alone"] = self.alone
        process.stdin.write(json.dumps(task | {"overlays": str(overlays), "result": str(result)}) + "\n")
        process.stdin.flush()
        self._wait(SALTS if kind == CUSTOM else kind)
        found = pickle.loads(result.read_bytes())
        if isinstance(found, str):
            raise SystemExit(f"{name}, {kind}: {found}")
        found["names"] = {fun for fun in self.names[kind] if fun.partition(".")[0] == name}
        found["outcomes"] = [Outcome(*each) for each in found["outcomes"]]
        return found

    def close(self) -> None:
        for process in self.processes.values():
            assert process.stdin
            process.stdin.close()
            process.wait()


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:150]}… ({len(text)} characters)"


def differences(theirs: Any, ours: Any, at: str = "") -> Iterator[str]:
    """Where two plain values differ, and how."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in [*theirs, *(key for key in ours if key not in theirs)]:
            place = f"{at}[{key!r}]"
            if key not in ours:
                yield f"{place}: only {SALTS} has it, {short(theirs[key])}"
            elif key not in theirs:
                yield f"{place}: only saltlite has it, {short(ours[key])}"
            else:
                yield from differences(theirs[key], ours[key], place)
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for number, (left, right) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(left, right, f"{at}[{number}]")
    elif type(theirs) is not type(ours) or theirs != ours:
        yield f"{at}{': ' * bool(at)}Salt {short(theirs)}, saltlite {short(ours)}"


def between(theirs: Outcome, ours: Outcome, normal: Callable[[Any], Any] | None) -> list[str]:
    """How two outcomes differ."""
    if theirs.kind != ours.kind:
        return [f"Salt {theirs.kind} {short(theirs.value)}, saltlite {ours.kind} {short(ours.value)}"]
    values = [theirs.value, ours.value]
    if theirs.kind == "returned" and normal:
        try:
            values = [normal(value) for value in values]
        except Exception as error:
            return [f"NORMAL cannot take Salt's {short(values[0])}, saltlite's {short(values[1])}: {error!r}"]
    found = list(differences(*values))
    if theirs.retcode != ours.retcode:
        found.append(f"retcode: Salt {theirs.retcode}, saltlite {ours.retcode}")
    return found


def compare(compared: Compared, theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """function -> call -> how it differs; a function without any differs nowhere."""
    found: dict[str, dict[str, list[str]]] = {}
    for case, left, right in zip(compared.cases, theirs["outcomes"], ours["outcomes"], strict=True):
        of_function = found.setdefault(case[0], {})
        if how := between(left, right, compared.normal.get(case[0])):
            of_function[as_typed(*case)] = how
    if compared.after:
        normal = compared.normal.get("AFTER", lambda tree: tree)
        how = list(differences(normal(theirs["after"]), normal(ours["after"])))
        found["AFTER"] = {"AFTER": how} if how else {}
    return found


class Report:
    """What is printed, and what counts."""

    def __init__(self) -> None:
        self.totals: collections.Counter[str] = collections.Counter()
        self.wrong = 0

    def count(self, what: str, number: int = 1) -> None:
        self.totals[what] += number

    def fault(self, line: str) -> None:
        self.wrong += 1
        print(f"  {line}")

    def pass_over(self, compared: Compared, found: dict[str, dict[str, list[str]]], against: str) -> None:
        """Print one comparison. With Salt's own functions deliberate differences are known, with our own none are."""
        known = compared.differs if against == SALTS else {}
        left = set(known)
        same = []
        for fun, calls in found.items():
            if not calls:
                same.append(fun.partition(".")[2] or "files afterwards")
                self.count(f"same {against}")
            for call, how in calls.items():
                key = call if call in known else fun
                text = "; ".join(how[:3]) + (f"; and {len(how) - 3} more" if len(how) > 3 else "")
                if key in known:
                    left.discard(key)
                    self.count("differ deliberately")
                    print(f"  differs on purpose: {call}: {known[key]} ({text})")
                else:
                    self.count("differ")
                    self.fault(f"DIFFERS {against}: {call}: {text}")
        if same:
            print(f"  same {against}: {', '.join(sorted(same))}")
        for key in sorted(left):
            self.fault(f"NO DIFFERENCE ANY MORE: {key}: {known[key]}")


def compare_module(sides: Sides, report: Report, name: str) -> None:
    print(f"{name}:")
    compared = Compared(name)
    if (compared.private or compared.network) and not sides.alone:
        report.count("not compared", len(compared.cases))
        print("  not compared: it needs namespaces of its own, which root may make")
        return
    theirs, ours, custom = (sides.run(kind, name) for kind in (SALTS, OURS, CUSTOM))
    report.pass_over(compared, compare(compared, theirs, ours), SALTS)
    report.pass_over(compared, compare(compared, custom, ours), CUSTOM)
    for fun, why in compared.not_compared.items():
        report.count("not compared")
        print(f"  not compared: {fun.partition('.')[2]}: {why}")
    for fun in sorted(compared.unmentioned(ours["names"])):
        report.fault(f"NEITHER CALLED NOR SAID NOT TO BE: {fun}")
    for fun in sorted(ours["names"] - custom["names"] - set(compared.not_compared)):
        report.fault(f"NOT LOADED {CUSTOM}: {fun}")
    for fun in sorted(theirs["names"] - ours["names"]):
        if fun in compared.only_salt:
            report.count("only Salt has")
            print(f"  only Salt has: {fun.partition('.')[2]}: {compared.only_salt[fun]}")
        else:
            report.fault(f"ONLY SALT HAS, AND NOTHING SAYS WHY: {fun}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--salt", metavar="PYTHON", help="of an environment with real Salt")
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    args = parser.parse_args()
    if args.side:
        serve(*args.side)
        return 0
    if not args.salt:
        parser.error("--salt PYTHON is needed")
    report, start = Report(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="functions") as directory:
        sides = Sides(args.salt, Path(directory))
        for name in args.modules or daily_modules():
            if (HERE / f"compared/{name}.py").exists():
                compare_module(sides, report, name)
            else:
                print(f"{name}:")
                report.fault(f"NOTHING SAYS WHAT IS CALLED: tests/compared/{name}.py is missing")
        sides.close()
    totals = ", ".join(f"{number} {what}" for what, number in report.totals.items())
    print(f"functions: {totals}; {report.wrong} wrong, {time.monotonic() - start:.0f} s")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
