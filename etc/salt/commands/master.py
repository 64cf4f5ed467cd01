"""The daemon of the master: it stays in the foreground but with -d, and ends with SIGTERM or ^C. What both daemons need
is here, and in terminal/daemon.py."""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import resource
import signal
import stat
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from saltlite import (
    EX_OK,
    Command,
    Failure,
    Master,
    load_opts,
    log,
    packed_leaf,
    say_warnings,
    user_name,
)

terminal, ways = packed_leaf("terminal", "text"), packed_leaf("terminal", "ways")
around, log_to = packed_leaf("terminal", "daemon"), packed_leaf("terminal", "log")
arguments = (terminal.config_arguments, terminal.log_arguments, around.arguments)


def harden() -> tuple[int, tuple[int, int], tuple[int, int]]:
    """For a daemon: no core files, which would hold keys; as many connections as the system allows; files that nobody
    else can read. Gives what was before, umask, core and open files, which is what a job's child gets back."""
    core, files = resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, core[1]))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    return os.umask(0o077), core, files


def say_where(number: int, frame: Any) -> None:
    """SIGUSR1: write down where the program is, at the terminal or into a file of the temporary directory; go on."""
    text = f"{time.ctime()}, process {os.getpid()}\n{''.join(traceback.format_stack(frame))}"
    if sys.stderr.isatty():
        print(text, file=sys.stderr)
        return
    path = f"{tempfile.gettempdir()}/salt-debug-{int(time.time())}-{os.getpid()}.log"
    with contextlib.suppress(OSError):  # there is one already, or no room
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)


def check_owners(opts: dict[str, Any]) -> None:
    """Failure where somebody else could change what the daemon reads, or what it believes: the configuration, the keys,
    the cache, or a directory above them. `/` is not looked at, nor what a user has who has called sudo."""
    role, conf = opts["__role"], opts["conf_dir"]
    ours = {0, os.geteuid(), int(os.environ.get("SUDO_UID") or 0)}
    with contextlib.suppress(KeyError):
        ours.add(pwd.getpwnam(opts["user"]).pw_uid)
    keys = [f"{opts['pki_dir']}/{name}" for name in ("master.pem", "master_sign.pem", "minion.pem")]
    paths = {os.path.realpath(path) for path in (f"{conf}/{role}", f"{conf}/{role}.d", opts["cachedir"], *keys)}
    parents = {str(parent) for each in paths for parent in Path(each).parents}
    for path in sorted(paths | parents - {"/"}):
        with contextlib.suppress(OSError):  # what is not there will be made
            info = os.stat(path)
            if info.st_uid not in ours:
                owner = user_name(info.st_uid)
                raise Failure(f"{path} belongs to {owner}, who could change what the {role} does: chown it first.")
            sticky = stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX
            if path.endswith(".pem") and info.st_mode & stat.S_IROTH:
                log.warning("%s can be read by everybody, who could then be this %s: `chmod 600 %s`", path, role, path)
            if info.st_mode & stat.S_IWOTH and not sticky:
                raise Failure(f"{path} can be written by everybody: `chmod o-w {path}` first.")
            if info.st_mode & stat.S_IWGRP and not sticky and info.st_gid not in (0, *os.getgroups(), os.getegid()):
                raise Failure(f"{path} can be written by another group: `chmod g-w {path}` first.")


def check_user(opts: Mapping[str, Any]) -> None:
    """Failure where the user that the daemon will run as does not exist, or cannot read the interpreter, of which more
    is loaded then."""
    user, role = opts["user"], opts["__role"]
    if not user or os.geteuid():
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise Failure(f"the option user names {user!r}, who does not exist here.") from None
    if not entry.pw_uid:
        return
    with ways.rights_of(entry.pw_uid, entry.pw_gid, os.getgrouplist(user, entry.pw_gid)):
        for path in (os.__file__, sys.modules["saltlite"].__file__ or os.__file__):
            try:
                with open(path):
                    pass
            except OSError as error:
                whose = f"{path} is closed to {user}, whom the option user names ({error.strerror})"
                raise Failure(f"{whose}: run the {role} with the system's python3, or as another user.") from None


def tell_new_key(opts: Mapping[str, Any]) -> None:
    """Say so where the key of a master that has minions is not there: it makes another, and nobody believes it."""
    pki = opts["pki_dir"]
    with contextlib.suppress(OSError):
        if os.listdir(f"{pki}/minions") and not os.path.lexists(f"{pki}/master.pem"):
            log.warning(
                "there is no %s/master.pem, so a new key is made: minions that know the old one will not believe this "
                "master; put the old one back, or remove minion_master.pub on each of them",
                pki,
            )


def given_on(args: argparse.Namespace) -> dict[str, Any]:
    """The options that the command line gives, as configuration files would."""
    given = {"user": args.user, "pidfile": args.pid_file, "log_file": args.log_file}
    given |= {"log_level": args.log_level, "log_level_logfile": args.log_file_level}
    given = {name: value for name, value in given.items() if value is not None}
    return given | {name: os.path.abspath(given[name]) for name in ("pidfile", "log_file") if given.get(name)}


def daemon_opts(role: str, args: argparse.Namespace, more: Callable[[dict[str, Any]], object] = bool) -> dict[str, Any]:
    """The options of a daemon, with its log set up and its configuration's warnings said. With --check that is all,
    but for what else may be wrong with it, of which `more` raises Failure."""
    given = given_on(args)
    opts = load_opts(role, args.config_dir, given) | {"__given__": given}
    if args.only_check:
        log_to.set_up({"log_level": opts["log_level"]})
        say_warnings(opts)
        check_owners(opts)
        check_user(opts)
        more(opts)
        raise SystemExit(EX_OK)
    around.prepare(opts, args)
    say_warnings(opts)
    if not os.path.exists(path := os.path.join(opts["conf_dir"], role)):
        log.warning("there is no %s: every option has its default, but for those in %s.d", path, role)
    check_owners(opts)
    check_user(opts)
    opts["__limits__"] = harden()
    signal.signal(signal.SIGUSR1, say_where)
    return opts


def main(args: argparse.Namespace) -> int:
    opts = daemon_opts("master", args)
    tell_new_key(opts)
    return around.serve(Master, opts)


EXAMPLES = """
salt-master                             in the foreground, as systemd wants it; the log goes to stderr
salt-master -c /tmp/try/etc/salt        all paths lie below /tmp/try, so nobody needs to be root
salt-master --check                     what is wrong with the configuration
kill -HUP "$(cat /var/cache/salt/master/.lock)"    options, log file and a new program are taken over
"""
COMMAND = Command("run the master", main, arguments, EXAMPLES)
