"""Run commands, scripts and code.

A command leads a process group of its own inside the session of its job: a timeout kills the command with all its
children, and a signal to the job's session reaches every command of the job."""

from __future__ import annotations

import codecs
import contextlib
import fnmatch
import grp
import os
import pwd
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from salt.exceptions import CommandExecutionError

from saltlite import packed_leaf

__context__: dict[str, Any]
__grains__: dict[str, Any]
__opts__: dict[str, Any]
__pillar__: dict[str, Any]
__salt__: Mapping[str, Any]

OPTIONS: dict[str, Any] = {  # the keywords of all functions that run a command
    "cwd": None,  # an absolute directory; else the home of the user, or /
    "stdin": None,  # text for its standard input; a backslash and an n are a line's end
    "stdin_raw_newlines": False,  # ... but not with this
    "runas": None,  # a user: uid, all groups and login environment, and nothing of the minion's environment
    "group": None,  # its primary group
    "shell": None,  # path; else as the option shell says
    "python_shell": None,  # False: split into words, no shell; None: a shell only for a job, not for another module
    "env": None,  # map, or list of maps, of more variables
    "clean_env": False,  # no variables but `env`
    "prepend_path": None,
    "reset_system_locale": True,  # LC_* are C unless given in `env`
    "umask": None,  # in octal
    "timeout": None,  # seconds, then the command's process group is killed, retcode 1
    "rstrip": True,  # without white space at the end of text
    "output_encoding": None,  # else UTF-8, and bytes if it is not
    "hide_output": False,
    "redirect_stderr": False,  # stderr goes into stdout; True for cmd.run
    "ignore_retcode": False,  # a non-zero retcode is not the job's failure
    "raise_err": False,  # cmd.run: it is an error with the output as its message
    "success_retcodes": None,  # number, list, or text with commas: what counts as 0
    "success_stdout": None,  # list, or text with commas: with one of these in stdout the return code counts as 0
    "success_stderr": None,  # the same for stderr
    "template": None,  # jinja: cmd and cwd are templates; of a script, its text
    "pillar": None,  # map laid over the pillar for that
    "saltenv": None,  # the environment of that, and of a script's address
    "bg": False,  # do not wait, keep no output
}
WITHOUT_EFFECT = {"encoded_cmd", "log_callback", "output_loglevel", "password", "use_vt", "windows_codepage"}
LOCALE = """LANGUAGE LC_ADDRESS LC_COLLATE LC_CTYPE LC_IDENTIFICATION LC_MEASUREMENT LC_MESSAGES LC_MONETARY LC_NAME
    LC_NUMERIC LC_PAPER LC_TELEPHONE LC_TIME""".split()
LOGIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOGIN_SECONDS = 10  # for a login shell to say what its environment is
LOGIN_MARK = "--environment--"
HELD = {signal.SIGINT}
RETURN_SIZE = 16 * 1024 * 1024
VERSIONS = {  # cmd.shell_info: what says the version, and where it stands in that
    "bash": ("--version", r"version (\d\S*)"),
    "zsh": ("--version", r"^zsh (\d\S*)"),
    "tcsh": ("--version", r"^tcsh (\d\S*)"),
    "perl": ("-v", r"\(v(\d[^)\s]*)\)"),
    "python": ("-V", r"^Python (\d\S*)"),
    "ruby": ("-v", r"^ruby (\d\S*)"),
    "php": ("-v", r"^PHP (\d\S*)"),
}
VERSION_SECONDS = 10  # for such a program to say its version


Tell = Callable[[str], None]
TELL_SECONDS = 0.25  # in which what was put out by a command reaches whoever streams it


class Stream:
    """The first `limit` bytes that come out of a pipe; the others are counted, not kept."""

    def __init__(self, name: str, limit: int) -> None:
        self.name, self.limit, self.data, self.cut = name, limit, bytearray(), 0
        self.text = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode  # of what comes, for `tell`

    def add(self, chunk: bytes) -> None:
        room = self.limit - len(self.data)
        self.data += chunk[:room]
        self.cut += max(0, len(chunk) - room)

    def result(self, encoding: str | None, rstrip: bool, room: int) -> str | bytes:
        """Text, or bytes if it is not in that encoding, of at most `room` bytes and a line that says what was cut."""
        decode = codecs.getincrementaldecoder(encoding or "utf-8")().decode
        try:
            raw, is_text = decode(bytes(self.data), not self.cut).encode("utf-8", "replace"), True
        except UnicodeDecodeError:
            raw, is_text = bytes(self.data), False
        if cut := self.cut + max(0, len(raw) - room):
            end = f"\n[{self.name}: {cut} more bytes were cut, max_return_size is {self.limit}]"
            return raw[:room].decode("utf-8", "ignore") + end if is_text else raw[:room] + end.encode()
        if not is_text:
            return raw
        return raw.decode().rstrip() if rstrip else raw.decode()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a command with all its children, and reap it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _feed(pipe: Any, data: bytes) -> bytes:
    """Write what fits of `data` into a pipe and give the rest; close it at the end, or when nobody reads it."""
    try:
        data = data[os.write(pipe.fileno(), data[:65536]) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        data = b""
    if not data:
        pipe.close()
    return data


def _communicate(
    process: subprocess.Popen[bytes], stdin: bytes, timeout: float | None, limit: int, tell: Tell | None = None
) -> list[Stream]:
    """Feed and read a process until it ends: [stdout, stderr]; `tell` gets its output as it comes. Raises
    subprocess.TimeoutExpired; whatever is raised, nothing of its process group is left."""
    streams = [Stream("stdout", limit), Stream("stderr", limit)]
    deadline = time.monotonic() + timeout if timeout else None
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
        with selectors.DefaultSelector() as selector:
            for pipe, stream in zip((process.stdout, process.stderr), streams, strict=True):
                if pipe:
                    selector.register(pipe, selectors.EVENT_READ, stream)
            if process.stdin:
                os.set_blocking(process.stdin.fileno(), False)
                selector.register(process.stdin, selectors.EVENT_WRITE)
            while selector.get_map():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise subprocess.TimeoutExpired(process.args, timeout or 0)
                ready = selector.select(min(left or TELL_SECONDS, TELL_SECONDS) if tell else left)
                if tell and not ready:
                    tell("")  # what it has kept back has its turn
                for key, _ in ready:
                    if key.data is None:
                        stdin = _feed(key.fileobj, stdin)
                        if not stdin:
                            selector.unregister(key.fd)
                    elif chunk := os.read(key.fd, 65536):
                        key.data.add(chunk)
                        if tell:
                            tell(key.data.text(chunk))
                    else:
                        selector.unregister(key.fd)
        process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except BaseException:
        _kill_group(process)
        raise
    finally:
        for end in (process.stdin, process.stdout, process.stderr):
            if end:
                end.close()
    return streams


def _default_shell() -> str:
    """The option `shell`, else as Salt has it: $SHELL of whoever has started the minion, or /bin/sh."""
    return str(__opts__.get("shell") or os.environ.get("SHELL") or "/bin/sh")


def _identity(runas: str | None, group: str | None) -> dict[str, Any]:
    """The arguments of Popen that make a process `runas`' with all groups of that user."""
    try:
        entry = pwd.getpwnam(runas) if runas else None
    except KeyError:
        raise CommandExecutionError(f"User '{runas}' is not available") from None
    try:
        gid = grp.getgrnam(group).gr_gid if group else entry.pw_gid if entry else os.getegid()
    except KeyError:
        raise CommandExecutionError(f"Group '{group}' is not available") from None
    if entry and entry.pw_uid != os.geteuid():
        return {"user": entry.pw_uid, "group": gid, "extra_groups": os.getgrouplist(entry.pw_name, gid)}
    return {"group": gid} if group else {}


def _lead(background: bool) -> None:
    """In the new process: lead a session or a process group, and listen to signals again."""
    os.setsid() if background else os.setpgrp()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)


def _start(argv: list[str], background: bool = False, **popen: Any) -> subprocess.Popen[bytes]:
    """A process that leads its process group or, in the background, a session, which outlives the job.

    An interruption waits until `_communicate` can kill the process: none is left that nobody knows of."""
    pipe = subprocess.DEVNULL if background else subprocess.PIPE
    how = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, "bufsize": 0, **popen}
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        return subprocess.Popen(argv, preexec_fn=lambda: _lead(background), **how)
    except BaseException:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
        raise


def _login_environment(runas: str, shell: str, who: Mapping[str, Any]) -> dict[str, str]:
    """What a login shell of `runas` has in its environment; only the basis of it if the shell does not say so."""
    entry = pwd.getpwnam(runas)
    basis = {"HOME": entry.pw_dir, "USER": runas, "LOGNAME": runas, "SHELL": entry.pw_shell, "PATH": LOGIN_PATH}
    try:
        process = _start([shell, "-l", "-c", f"printf %s {LOGIN_MARK}; env -0"], cwd="/", env=basis, **who)
        printed = bytes(_communicate(process, b"", LOGIN_SECONDS, RETURN_SIZE)[0].data)
    except (OSError, subprocess.SubprocessError):
        return basis
    pairs = [pair.partition(b"=") for pair in printed.partition(LOGIN_MARK.encode())[2].split(b"\0") if b"=" in pair]
    found = {os.fsdecode(key): os.fsdecode(value) for key, _, value in pairs}
    for shells_own in ("_", "PWD", "OLDPWD", "SHLVL"):
        found.pop(shells_own, None)
    return basis | found | {"HOME": entry.pw_dir, "USER": runas}


def _environment(want: Mapping[str, Any], shell: str, who: Mapping[str, Any]) -> dict[str, str]:
    """The variables a command starts with."""
    given = want["env"] or {}
    maps = given if isinstance(given, list) else [given]
    if not all(isinstance(each, Mapping) for each in maps):
        raise CommandExecutionError("env must be a map, or a list of maps")
    env = {str(key): "" if value is None else str(value) for each in maps for key, value in each.items()}
    if want["reset_system_locale"]:
        env = dict.fromkeys(LOCALE, "C") | env
    if want["runas"]:
        env = _login_environment(want["runas"], shell, who) | env
    elif not want["clean_env"]:
        inherited = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}  # the minion's own
        env = inherited | env
    if want["prepend_path"]:
        env["PATH"] = f"{want['prepend_path']}:{env.get('PATH', LOGIN_PATH)}"
    return env


def _directory(cwd: Any, runas: str | None) -> str:
    """Where a command starts."""
    if not cwd:
        home = os.path.expanduser(f"~{runas or ''}")
        return home if os.path.isdir(home) and os.access(home, os.R_OK | os.X_OK) else "/"
    if not os.path.isabs(str(cwd)) or not os.path.isdir(str(cwd)):
        raise CommandExecutionError(f"Specified cwd '{cwd}' either not absolute or does not exist")
    return str(cwd)


def _octal(umask: object) -> int:
    """A umask as people write it."""
    if not str(umask).lstrip("0"):
        raise CommandExecutionError("Zero umask is not allowed.")
    try:
        return int(str(umask), 8)
    except ValueError:
        raise CommandExecutionError(f"Invalid umask: '{umask}'") from None


def _words(value: Any) -> list[str]:
    """A list of texts, given as such or with commas."""
    if value is None:
        return []
    return [str(each).strip() for each in (value if isinstance(value, (list, tuple)) else str(value).split(","))]


def _check_permission(cmd: str) -> None:
    """Whether cmd_blacklist_glob and cmd_whitelist_glob of the configuration let `cmd` run."""
    denied, allowed = (__salt__["config.get"](f"cmd_{name}_glob") or [] for name in ("blacklist", "whitelist"))
    matching = [any(fnmatch.fnmatch(cmd, pattern) for pattern in patterns) for patterns in (denied, allowed)]
    if matching[0] or (allowed and not matching[1]):
        raise CommandExecutionError(f'The shell command "{cmd}" is not permitted')


def _wanted(given: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """OPTIONS as a call wants them."""
    known = {name: value for name, value in given.items() if name in OPTIONS}
    unknown = {name for name in given if name not in OPTIONS and not name.startswith("__")} - WITHOUT_EFFECT
    if unknown:
        names = ", ".join(sorted(unknown))
        raise CommandExecutionError(f"There is no keyword {names}; those of commands are: {', '.join(OPTIONS)}")
    want = {**OPTIONS, **own, **known}
    if want["python_shell"] is None:
        want["python_shell"] = "__pub_jid" in given  # Salt's rule: what another module puts together is no shell code
    if want["timeout"] and type(want["timeout"]) not in (int, float):
        raise CommandExecutionError(f"Error: timeout {want['timeout']} must be a number")
    for name in ("success_stdout", "success_stderr"):
        want[name] = _words(want[name])
    try:
        want["success_retcodes"] = [int(each) for each in _words(want["success_retcodes"])]
    except ValueError:
        raise CommandExecutionError("success_retcodes must be a list of integers") from None
    try:
        codecs.lookup(want["output_encoding"] or "utf-8")
    except LookupError as error:
        raise CommandExecutionError(f"Unknown output_encoding: {error}") from None
    return want


def _arguments(cmd: Any, python_shell: bool, shell: str) -> list[str]:
    """The argv of a command: a list as it is, text for the shell or split into words."""
    if isinstance(cmd, (list, tuple)):
        return [str(each) for each in cmd]
    if python_shell:
        return [shell, "-c", str(cmd)]
    try:
        return shlex.split(str(cmd))
    except ValueError as error:
        raise CommandExecutionError(f"Unable to split the command '{cmd}' into words: {error}") from error


def _finish(process: subprocess.Popen[bytes], line: str, want: Mapping[str, Any]) -> dict[str, Any]:
    """Wait for a command: its {retcode, stdout, stderr}, of which both outputs together keep to max_return_size."""
    stdin = want["stdin"] if isinstance(want["stdin"], bytes) else str(want["stdin"]).encode("utf-8", "surrogateescape")
    if not want["stdin_raw_newlines"]:
        stdin = stdin.replace(b"\\n", b"\n")
    limit = int(__opts__.get("max_return_size") or RETURN_SIZE)
    try:
        out, err = _communicate(
            process, stdin, want["timeout"], limit, None if want["hide_output"] else __context__.get("stream")
        )
    except subprocess.TimeoutExpired:
        return {"retcode": 1, "stdout": f"{line} : Timed out after {want['timeout']} seconds", "stderr": ""}
    how = want["output_encoding"], want["rstrip"]
    room = max(limit // 2, limit - len(out.data))
    said = {"stdout": out.result(*how, limit - min(room, len(err.data))), "stderr": err.result(*how, room)}
    well = process.returncode in want["success_retcodes"]
    for name, text in said.items():
        plain = text.decode(errors="replace") if isinstance(text, bytes) else text
        well = well or any(word in plain for word in want[f"success_{name}"])
    if want["hide_output"]:
        said = dict.fromkeys(said, "")
    return {"retcode": 0 if well else process.returncode, **said}


def _filled(text: str, options: Mapping[str, Any], what: str) -> str:
    """A text with its template filled in, where `options` say that it is one."""
    if not options.get("template"):
        return text
    facts: dict[str, Any] = {"salt": __salt__, "opts": __opts__, "grains": __grains__}
    facts |= {"pillar": {**__pillar__, **(options.get("pillar") or {})}, "saltenv": options.get("saltenv") or "base"}
    filled: str = packed_leaf("modules", "cp")._filled(text, options["template"], facts, what)
    return filled


def _run(cmd: Any, given: Mapping[str, Any], **own: Any) -> dict[str, Any]:
    """Run a command for a function whose defaults are `own`: {pid, retcode, stdout, stderr}; its retcode becomes the
    job's. Raises CommandExecutionError if it cannot be started."""
    want = _wanted(given, own)
    if isinstance(cmd, (list, tuple)):
        cmd = [_filled(str(each), want, "the command") for each in cmd]
    else:
        cmd = _filled(str(cmd), want, "the command")
    want["cwd"] = _filled(str(want["cwd"]), want, "cwd") if want["cwd"] else None
    shell = str(want["shell"] or _default_shell())
    if not os.path.isfile(shell) or not os.access(shell, os.X_OK):
        raise CommandExecutionError(f"The shell {shell} is not available")
    line = " ".join(map(str, cmd)) if isinstance(cmd, (list, tuple)) else str(cmd)
    _check_permission(line)
    who = _identity(want["runas"], want["group"])
    popen = {"cwd": _directory(want["cwd"], want["runas"]), "env": _environment(want, shell, who), **who}
    if want["umask"] is not None:
        popen["umask"] = _octal(want["umask"])
    if want["stdin"] is not None and not want["bg"]:
        popen["stdin"] = subprocess.PIPE
    if want["redirect_stderr"] and not want["bg"]:
        popen["stderr"] = subprocess.STDOUT
    try:
        process = _start(_arguments(cmd, want["python_shell"], shell), want["bg"], **popen)
    except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
        raise CommandExecutionError(f"Unable to run command '{line}', reason: {error}") from error
    if want["bg"]:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
        process.returncode = 0  # nobody waits for it here
        return {"pid": process.pid, "retcode": None, "stdout": "", "stderr": ""}
    ret = {"pid": process.pid, **_finish(process, line, want)}
    __context__["retcode"] = 0 if want["ignore_retcode"] else ret["retcode"]
    return ret


@contextlib.contextmanager
def _temporary_script(code: bytes, runas: str | None, suffix: str = "") -> Iterator[str]:
    """A file that only `runas` can read and run; it is gone afterwards."""
    who = _identity(runas, None)
    descriptor, path = tempfile.mkstemp(suffix=suffix)
    try:
        with open(descriptor, "wb") as file:
            file.write(code)
            os.fchmod(file.fileno(), 0o500)
            os.fchown(file.fileno(), who.get("user", -1), -1)
        yield path
    finally:
        Path(path).unlink(missing_ok=True)


def _local_copy(source: str, saltenv: str) -> str:
    """The path of a script on this machine, "" if there is none."""
    scheme = re.match(r"([a-z0-9+]+)://", source)
    if scheme and scheme[1] != "file":
        return __salt__["cp.cache_file"](source, saltenv) or ""
    path = source.removeprefix("file://")
    return path if os.path.isabs(path) and os.path.isfile(path) else ""


def _interpreter(path: str, code: bytes, shell: str) -> list[str]:
    """What a script must be run by: its own first line names it where the file system lets nothing be executed."""
    if code.startswith(b"\x7fELF"):
        return []
    first = os.fsdecode(code.split(b"\n", 1)[0])
    if not first.startswith("#!"):
        return [shell]  # the kernel would not run it
    return first[2:].strip().split(None, 1) if os.statvfs(path).f_flag & os.ST_NOEXEC else []


def exec_code(lang, code, cwd=None, args=None, **options):
    """Run `code` with the interpreter `lang` and return its output.

    CLI Example: salt '*' cmd.exec_code python3 'import sys; print(sys.version)'"""
    return exec_code_all(lang, code, cwd, args, **options)["stdout"]


def exec_code_all(lang, code, cwd=None, args=None, **options):
    """Run `code` with the interpreter `lang` and return pid, retcode, stdout and stderr.

    CLI Example: salt '*' cmd.exec_code_all python3 'import sys; sys.exit(3)'"""
    more = [args] if isinstance(args, str) else [str(each) for each in args or ()]
    with _temporary_script(str(code).encode(), options.get("runas")) as path:
        return _run([lang, path, *more], {"cwd": cwd, **options})


def has_exec(cmd):
    """Whether the command is on this machine.

    CLI Example: salt '*' cmd.has_exec cat"""
    return which(cmd) is not None


def retcode(cmd, cwd=None, stdin=None, runas=None, **options):
    """Run a command and return only its return code.

    CLI Example: salt '*' cmd.retcode 'file /bin/bash'"""
    return _run(cmd, {"cwd": cwd, "stdin": stdin, "runas": runas, **options}, redirect_stderr=True)["retcode"]


def run(cmd, cwd=None, stdin=None, runas=None, **options):
    """Run a command in a shell and return its output, stderr included. Its return code becomes the job's.

    Keywords: cwd stdin stdin_raw_newlines runas group shell python_shell env clean_env prepend_path
    reset_system_locale umask timeout rstrip output_encoding hide_output redirect_stderr ignore_retcode raise_err
    success_retcodes success_stdout success_stderr template pillar saltenv bg

    The first max_return_size bytes are returned, as bytes if they are neither UTF-8 nor in output_encoding.

    CLI Example:
        salt '*' cmd.run "ls -l | awk '/foo/{print \\$2}'"
        salt '*' cmd.run 'cat' stdin='one\\ntwo' cwd=/tmp runas=nobody timeout=10
        salt '*' cmd.run 'echo $A' env='{A: b}'"""
    ret = _run(cmd, {"cwd": cwd, "stdin": stdin, "runas": runas, **options}, redirect_stderr=True)
    if options.get("raise_err") and ret["retcode"]:
        raise CommandExecutionError(ret["stdout"])
    return ret["stdout"]


def run_all(cmd, cwd=None, stdin=None, runas=None, **options):
    """Run a command in a shell and return pid, retcode, stdout and stderr.

    CLI Example: salt '*' cmd.run_all 'ls -l | grep foo'"""
    return _run(cmd, {"cwd": cwd, "stdin": stdin, "runas": runas, **options})


def run_bg(cmd, cwd=None, runas=None, **options):
    """Start a command and return its pid without waiting for it.

    CLI Example: salt '*' cmd.run_bg 'fstrim-all'"""
    return {"pid": _run(cmd, {"cwd": cwd, "runas": runas, **options, "bg": True})["pid"]}


def run_chroot(root, cmd, cwd=None, stdin=None, runas=None, group=None, binds=None, **options):
    """Run a command in a shell that has another root directory; return pid, retcode, stdout and stderr.

    /dev, /proc, /sys and the directories `binds` are mounted there, for the command alone. runas and group are looked
    up inside.

    CLI Example: salt '*' cmd.run_chroot /var/lib/lxc/web/rootfs 'sh /tmp/bootstrap.sh'"""
    top = os.path.abspath(str(root))
    if not os.path.isdir(top):
        raise CommandExecutionError(f"{root} is no directory: name the one that is to be the root directory")
    places = ["/dev", "/proc", "/sys", *(os.path.abspath(str(each)) for each in binds or ())]
    mounts = [f"mount --rbind {shlex.quote(place)} {shlex.quote('.' + place)}" for place in places]
    inside = "/bin/bash" if os.path.isfile(f"{top}/bin/bash") else "/bin/sh"
    line = " ".join(map(str, cmd)) if isinstance(cmd, (list, tuple)) else str(cmd)
    _check_permission(line)
    user = [f"--userspec={runas}:{group or ''}"] if runas else []
    enter = shlex.join(["exec", "chroot", *user, top, inside, "-c", line])
    script = " && ".join([f"cd {shlex.quote(top)}", *mounts, "cd /", enter])
    command = ["unshare", "--mount", "--", "/bin/sh", "-c", script]
    return run_all(command, cwd, stdin, **{"python_shell": False, **options})


def run_stderr(cmd, cwd=None, stdin=None, runas=None, **options):
    """Run a command in a shell and return only its standard error.

    CLI Example: salt '*' cmd.run_stderr 'ls -l /nowhere'"""
    return run_all(cmd, cwd, stdin, runas, **options)["stderr"]


def run_stdout(cmd, cwd=None, stdin=None, runas=None, **options):
    """Run a command in a shell and return only its standard output.

    CLI Example: salt '*' cmd.run_stdout 'ls -l'"""
    return run_all(cmd, cwd, stdin, runas, **options)["stdout"]


def script(source, args=None, cwd=None, stdin=None, runas=None, **options):
    """Run a private copy of a script and return pid, retcode, stdout and stderr. `args` is text or a list.

    CLI Example: salt '*' cmd.script /srv/scripts/runme.sh 'arg1 "arg 2"'"""
    if options.pop("bg", None):
        raise CommandExecutionError("cmd.script waits for its script: leave bg out, or use cmd.run_bg")
    path = _local_copy(str(source), options.get("saltenv") or "base")
    if not path:
        __context__["retcode"] = 1
        return {"pid": 0, "retcode": 1, "stdout": "", "stderr": "", "cache_error": True}
    code = Path(path).read_bytes()
    if options.get("template"):
        code = _filled(code.decode("utf-8", "surrogateescape"), options, source).encode("utf-8", "surrogateescape")
    options = {name: value for name, value in options.items() if name not in ("template", "pillar")}
    more = shlex.split(args) if isinstance(args, str) else [str(each) for each in args or ()]
    with _temporary_script(code, runas, Path(path).suffix) as copied:
        interpreter = _interpreter(copied, code, options.get("shell") or _default_shell())
        return run_all([*interpreter, copied, *more], cwd, stdin, runas, **options)


def script_retcode(source, args=None, cwd=None, stdin=None, runas=None, template="jinja", **options):
    """Run a private copy of a script, which is a template unless template=None, and return only its return code.

    CLI Example: salt '*' cmd.script_retcode /srv/scripts/runme.sh"""
    return script(source, args, cwd, stdin, runas, template=template, **options)["retcode"]


def shell(cmd, cwd=None, stdin=None, runas=None, **options):
    """Run a command as cmd.run does, in a shell unless python_shell=False.

    CLI Example: salt '*' cmd.shell "grep f" stdin='one\\ntwo\\nthree\\nfour\\nfive\\n'"""
    return run(cmd, cwd, stdin, runas, **{"python_shell": True, **options})


def shell_info(shell):
    """Where a shell or an interpreter is and which version it has: bash, zsh, tcsh, perl, python, ruby, php.

    CLI Example: salt '*' cmd.shell_info bash"""
    if shell not in VERSIONS:
        return {
            "installed": None,
            "error": f"The version of {shell} cannot be found out, only of {', '.join(VERSIONS)}",
        }
    option, pattern = VERSIONS[shell]
    path = which(shell)
    if not path:
        return {"installed": False, "error": f"Unable to run command '{shell} {option}': it is not on this machine"}
    given = {"python_shell": False, "timeout": VERSION_SECONDS, "ignore_retcode": True, "redirect_stderr": True}
    said = _run([path, option], given)["stdout"]
    found = re.search(pattern, str(said), re.IGNORECASE | re.MULTILINE)
    numbers = re.match(r"\d[\d.]*", found[1]) if found else None
    if not found or not numbers:
        error = f"{shell} {option} does not say a version"
        return {"installed": None, "path": path, "stdout": said, "error": error}
    parts = numbers[0].split(".")[:3]
    version = ".".join(parts if len(parts) > 1 else [*parts, "0"])
    return {"installed": True, "path": path, "version_raw": found[1], "version": version}


def shells():
    """The login shells that /etc/shells lists.

    CLI Example: salt '*' cmd.shells"""
    lines = Path("/etc/shells").read_text().split("\n") if os.path.exists("/etc/shells") else []
    return [line.strip() for line in lines if line.startswith("/")]


def tty(device, echo=""):
    """Write a text to a terminal, tty1 or pts3 say.

    CLI Example: salt '*' cmd.tty pts3 'This is a test'"""
    found = re.fullmatch(r"(tty|pts)(/?)(\w+)", str(device))
    if not found:
        return {"Error": "The specified device is not a valid TTY"}
    path = f"/dev/pts/{found[3]}" if found[1] == "pts" else f"/dev/tty{found[3]}"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "wb") as terminal:
            terminal.write(str(echo).encode("utf-8", "surrogateescape"))
    except OSError as error:
        return {"Error": f"Echoing to {path} returned error: {error.strerror}"}
    return {"Success": f"Message was successfully echoed to {path}"}


def which(cmd):
    """The path of a command, None if it is not on this machine.

    CLI Example: salt '*' cmd.which cat"""
    return shutil.which(str(cmd), path=f"{os.environ.get('PATH', os.defpath)}:{LOGIN_PATH}")


def which_bin(cmds):
    """The path of the first of these commands that is on this machine.

    CLI Example: salt '*' cmd.which_bin '[pip3, pip, pip-python]'"""
    return next((path for path in map(which, _words(cmds)) if path), None)
