"""What no file here answers, a Salt answers that is installed on this machine: its salt-call runs the function.

It works as this minion: with its id, key and master, so files and pillar come from there, its grains, the modules that
a site has put beside it or synced, and a cache of its own, CACHE/salt-call. A salt-call that is a link to this program,
or a script that starts it, is none: it would ask itself.

Jobs and `call` ask it. `__salt__['x.y']` in a module and `sys.list_functions` know the files here alone. The return
comes through an outputter of ours (output/typed_json.py), so keys of maps and bytes are what they were."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from saltlite import PACKED, CommandExecutionError, Execution, from_json, leaf_files, nearest, put

PLACES = "/usr/bin:/usr/local/bin:/opt/saltstack/salt"  # where packages put salt-call, whatever PATH says
JSON_SIZE = 4  # times max_return_size: the bytes that salt-call may print, for JSON is longer than a return
MAX_SAID = 2000  # bytes of what salt-call said in place of a return
CALLER = "SALTLITE_CALLER"  # in the environment of a salt-call: the process that has started it
HEAD = 4096  # bytes of a program in which a script that starts this one names it
STARTS_OURS = re.compile(rb"\bsaltlite(?:\.pyz?)?(?![\w/.-])")  # the program, and no directory of that name
OURS = re.compile(rb"^\s*(?:from|import) saltlite\b", re.MULTILINE)
FUN = re.compile(r"[\w-]+(?:\.[\w-]+)+")
OUTPUTTER = PACKED / "elsewhere" / "output" / "typed_json.py"
WARNING = re.compile(r"(?m)^\S+\.py:\d+: \w+Warning: .*\n(?:  .*\n)?")  # and the line that it is about
ODD = re.compile("[#\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # YAML reads these as escapes only, or not as themselves


def _is_own(program: str) -> bool:
    """Whether a program called salt-call is this one: a link to it, a copy, another build, or a script for it."""
    target = Path(os.path.realpath(program))
    if target.name.startswith("saltlite"):
        return True
    try:
        with target.open("rb") as file:
            head = file.read(HEAD)
        if zipfile.is_zipfile(target):
            with zipfile.ZipFile(target) as archive:
                return any(name.rpartition("/")[2].startswith("saltlite") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
    first, _, body = head.partition(b"\n")  # the interpreter may lie anywhere
    return first.startswith(b"#!") and STARTS_OURS.search(body) is not None


def _candidates(named: str) -> Iterator[str]:
    """The programs that may be Salt's: the one that the option names, else those of PATH and PLACES."""
    if named:
        yield named
        return
    for directory in f"{os.environ.get('PATH', '')}:{PLACES}".split(":"):
        if directory.startswith("/"):
            yield f"{directory}/salt-call"


def _asked_by_itself() -> bool:
    """Whether this runs below a salt-call that this program has started: then that one was none of Salt's after all."""
    caller = os.environ.get(CALLER, "")
    if not caller:
        return False
    import psutil

    return caller in {str(parent.pid) for parent in psutil.Process().parents()}


def find(minion: Execution) -> tuple[str, str]:
    """The salt-call to run, and "", or "" and why there is none."""
    named = minion.opts["salt_call"]
    if named is False:
        return "", "the option salt_call is False, so Salt is not asked"
    if _asked_by_itself():
        return "", "the salt-call that was found is this program again (option salt_call)"
    own = ""
    for candidate in _candidates(named):
        if (program := shutil.which(candidate)) and not _is_own(program):
            return program, ""
        own = program or own
    if named:
        problem = "is this program itself" if own else "is not there, or cannot be run"
        return "", f"the option salt_call names {named}, which {problem}"
    return "", "there is no salt-call of Salt's in PATH (option salt_call)"


def word(value: Any) -> str:
    """An argument as salt-call reads it: YAML, but a text with a `#` in it would keep its quotes. Keys keep their type,
    which JSON has not."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{word(key)}: {word(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(word, value))}]"
    return ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, default=str, ensure_ascii=False))


def _modules(minion: Execution, home: Path) -> str:
    """A directory of links to the module files that a site has brought. One that imports this program is not among
    them: Salt could not read it, and would miss its own of that name."""
    place = home / "modules"
    place.mkdir(0o700, exist_ok=True)
    wanted: dict[str, Path] = {}
    for stem, path in leaf_files("modules", minion.opts).items():
        with contextlib.suppress(OSError):
            if not path.is_relative_to(PACKED) and not OURS.search(path.read_bytes()):
                wanted |= {stem: path.parent} if path.name == "__init__.py" else {f"{stem}.py": path}
    for name in {path.name for path in place.iterdir() if path.is_symlink()} | set(wanted):
        link, target = place / name, wanted.get(name)
        with contextlib.suppress(FileNotFoundError, FileExistsError):  # another job does the same
            if target is None or not link.is_symlink() or os.readlink(link) != str(target):
                link.unlink(missing_ok=True)
                if target is not None:
                    link.symlink_to(target)
    return str(place)


def _configuration(minion: Execution) -> Path:
    """The directory with salt-call's configuration: the minion's own files, and over them what this minion is."""
    home, conf = Path(minion.opts["cachedir"], "salt-call"), Path(minion.opts["conf_dir"])
    for name in ("conf", "output"):
        (home / name).mkdir(0o700, parents=True, exist_ok=True)
    own = {name: minion.opts[name] for name in ("id", "master", "master_port", "pki_dir")}
    own |= {"root_dir": "/", "cachedir": f"{home}/cache", "sock_dir": f"{home}/sock", "log_file": f"{home}/log"}
    own |= {"extension_modules": f"{minion.opts['cachedir']}/extmods", "module_dirs": [_modules(minion, home)]}
    own["outputter_dirs"] = [f"{home}/output"]
    own |= {name: minion.opts[name] for name in ("file_roots", "pillar_roots") if minion.local and name in minion.opts}
    own |= {"gpg_keydir": minion.opts["gpg_keydir"] or f"{conf}/gpgkeys"}  # for pillar_enc
    own |= {"log_level_logfile": "quiet", "user": pwd.getpwuid(os.geteuid()).pw_name}
    more = [os.path.join(conf, os.path.expanduser(str(pattern))) for pattern in minion.opts["default_include"]]
    files = [f"{conf}/minion", *more, f"{home}/conf/own"]  # the later wins
    for name, data in {"own": own, "minion": {"include": files, "default_include": ""}}.items():
        put(home / "conf" / name, json.dumps(data) + "\n", sync=False)
    put(home / "output" / OUTPUTTER.name, OUTPUTTER.read_text(), sync=False)
    grains = home / "conf" / "grains"
    if not grains.is_symlink():
        grains.symlink_to(conf / "grains")
    return home / "conf"


def _last_words(said: str) -> str:
    """What salt-call has said, without Python's warnings; of a traceback what stands behind it: the error."""
    lines = WARNING.sub("", said.strip() + "\n").strip().splitlines()
    if any(line.lstrip().startswith('File "') for line in lines):
        lines = lines[max(number for number, line in enumerate(lines) if line[:1] == " ") + 1 :] or lines[-1:]
    return "\n".join(lines)


def call(minion: Execution, program: str, fun: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The return of one function of salt-call, whose retcode becomes the job's; CommandExecutionError if it gives
    none."""
    words = [word(arg) for arg in args]
    words += [f"{name}={word(value)}" for name, value in kwargs.items() if not name.startswith("__")]
    command = [program, "-c", str(_configuration(minion)), "--out=typed_json", "--retcode-passthrough"]
    command += ["--local"] * minion.local
    command += ["--no-return-event", "--no-color", "--log-level=error", "--", fun, *words]
    # a bundled interpreter must not meet the modules of the one that runs the minion
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env[CALLER] = str(os.getpid())
    most = JSON_SIZE * minion.opts["max_return_size"]
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=env
        ) as made:
            assert made.stdout
            output = made.stdout.read(most + 1)
            if len(output) > most:
                made.kill()
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - MAX_SAID))
        said = _last_words((errors.read() or output[-MAX_SAID:]).decode(errors="replace"))
    if len(output) > most:
        raise CommandExecutionError(f"{program} printed more than {most} bytes, for a max_return_size that is smaller.")
    try:
        ret = from_json(output)["local"]
    except (ValueError, KeyError, TypeError):
        raise CommandExecutionError(f"{program} ended with exit code {made.returncode}: {said}") from None
    minion.context["retcode"] = made.returncode
    return ret


def needed(minion: Execution, fun: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The return of a function that is here by name and done by Salt alone, `state.*` say."""
    program, why = find(minion)
    if not program:
        raise CommandExecutionError(f"{fun} needs Salt on this machine, and {why}.")
    return call(minion, program, fun, args, kwargs)


INSTEAD = {  # functions and modules of Salt's that reach out of their minion: what is used here
    "cp.push": "A minion's files are fetched with `saltlite cp --from ID PATH DIRECTORY` at the master.",
    "cp.push_dir": "A minion's files are fetched with `saltlite cp --from ID PATH DIRECTORY` at the master.",
    "publish": "A minion runs nothing on others: that is for `salt` at the master; what others say of themselves is in "
    "the mine (mine.get).",
    "saltutil.cmd": "That is for `salt` at the master.",
    "saltutil.cmd_iter": "That is for `salt` at the master.",
    "saltutil.runner": "That is for `saltlite run` at the master.",
    "saltutil.wheel": "That is for `saltlite key` at the master.",
}


def _hint(minion: Execution, fun: str, why: str) -> str:
    """Why a module is not here, what is used instead of it, or the function here that was perhaps meant."""
    if why:
        return f" {why}."
    instead = INSTEAD.get(fun) or INSTEAD.get(fun.partition(".")[0])
    return f" {instead}" if instead else nearest(fun, minion.functions).replace("; did", " Did")


def function(minion: Execution, fun: str) -> Callable[..., Any]:
    """What answers a function that no file here has; CommandExecutionError says why nothing does.

    A module that was forbidden here, or whose file here is broken, is not looked for elsewhere."""
    why = minion.functions.why.get(fun.partition(".")[0], "")
    unavailable = f"'{fun}' is not available."
    if fun.partition(".")[0] in map(str, minion.opts["disable_modules"]) or " cannot be read: " in why:
        raise CommandExecutionError(f"{unavailable} {why}.")
    program, missing = find(minion) if FUN.fullmatch(fun) else ("", "it is no function's name")
    if not program:
        missing = "" if why else f" No file here has it, and {missing}."
        raise CommandExecutionError(unavailable + _hint(minion, fun, why) + missing)

    def elsewhere(*args: Any, **kwargs: Any) -> Any:
        said = f"'{fun}' is not available."
        try:
            ret = call(minion, program, fun, args, kwargs)
            if not isinstance(ret, dict) or ret.get(fun) != said:  # with the documentation of functions of such names
                return ret
        except CommandExecutionError as error:
            if not str(error).endswith(said):
                raise
        raise CommandExecutionError(f"{unavailable} Neither a file here nor {program} has it.{_hint(minion, fun, why)}")

    elsewhere.__doc__ = f"A function of Salt's; `sys.doc {fun}` says more."
    return elsewhere
