"""Parameters of the kernel, as they are below /proc/sys, and in the files that set them at the start. For Linux."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

__salt__: Mapping[str, Any]

ROOT = "/proc/sys"
BOOTED = "/run/systemd/system"  # exists where systemd runs, which reads only files below sysctl.d
SYSTEMD_CONFIG, CONFIG = "/etc/sysctl.d/99-salt.conf", "/etc/sysctl.conf"
HEAD = "#\n# Kernel sysctl configuration\n#\n"
OBSOLETE = {"base_reachable_time", "retrans_time"}  # that sysctl does not list either


def _path(name: Any) -> Path:
    """The file of a parameter: `net.ipv4.ip_forward`, `net/ipv4/ip_forward`, `net.ipv4.conf.eth0/7.forwarding`.

    Raises CommandExecutionError if there is none."""
    text = str(name)
    first = re.search(r"[./]", text)
    path = Path(ROOT, text if first and first[0] == "/" else text.translate(str.maketrans("./", "/.")))
    inside = path.is_relative_to(ROOT) and ".." not in path.parts and "\0" not in text  # a `/` first leads anywhere
    if not inside or not path.is_file():
        raise CommandExecutionError(f"sysctl {name} does not exist")
    return path


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").rstrip("\n")


def _one_line(value: Any) -> str:
    """A value with a tab between its words, as the kernel gives it."""
    return re.sub(r"\s+", "\t", str(value).strip())


def default_config():
    """The file that sysctl.persist writes.

    Returns its path.

    CLI Example: salt '*' sysctl.default_config"""
    return SYSTEMD_CONFIG if os.path.isdir(BOOTED) else CONFIG


def show(config_file=False):
    """The parameters of the kernel, or those that a file sets.

    config_file: the file's path; without, what holds now.

    Returns {name: text}; an empty list if there is no such file.

    CLI Example:
        salt '*' sysctl.show
        salt '*' sysctl.show /etc/sysctl.conf"""
    if config_file:
        return _configured(str(config_file))
    found = {}
    for directory, directories, names in os.walk(ROOT):
        directories.sort()
        for name in sorted(set(names) - OBSOLETE):
            path = Path(directory, name)
            try:
                if not path.stat().st_mode & 0o444:
                    continue  # it can only be written
                lines = _read(path).splitlines()
            except OSError:  # not for this user, or not there for this kernel
                continue
            key = str(path.relative_to(ROOT)).translate(str.maketrans("./", "/."))
            found[key] = lines[-1] if lines else ""  # of several, `sysctl -a` says one after the other
    return found


def _configured(config: str) -> Any:
    try:
        lines = Path(config).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CommandExecutionError(f"{config} cannot be read: {error.strerror}") from None
    rows = [line.strip().partition("=") for line in lines if not line.strip().startswith("#") and "=" in line]
    return {name.rstrip(): value.lstrip() for name, _, value in rows}


def get(name):
    """A parameter of the kernel.

    name: net.ipv4.ip_forward.

    Returns text.

    CLI Example: salt '*' sysctl.get net.ipv4.ip_forward"""
    try:
        return _read(_path(name))
    except OSError as error:
        raise CommandExecutionError(f"sysctl {name} cannot be read: {error.strerror}") from None


def assign(name, value, test=False):
    """Set a parameter of the kernel, until the next start.

    name: net.ipv4.ip_forward.
    value: a number or a text.
    test: say only what would be set.

    Returns {name: text}; with test=True a sentence.

    CLI Example: salt '*' sysctl.assign net.ipv4.ip_forward 1"""
    path = _path(name)
    if test:
        return f"{name} would be {value}; it is {get(name)}."
    try:
        path.write_text(f"{value}\n", encoding="utf-8")
    except OSError as error:
        raise CommandExecutionError(f"sysctl {name} cannot be set to {value}: {error.strerror}") from None
    return {str(name): str(value)}


def persist(name, value, config=None, test=False):
    """Set a parameter of the kernel, now and at each start.

    name: net.ipv4.ip_forward.
    value: a number or a text.
    config: the file that is to say so; else that of sysctl.default_config.
    test: say only what would be done.

    Returns "Updated" or "Already set"; with test=True a sentence.

    CLI Example: salt '*' sysctl.persist net.ipv4.ip_forward 1"""
    path, text = Path(str(config or default_config())), str(value)
    if "\n" in text or "\n" in str(name) or "=" in str(name):
        raise SaltInvocationError(f"sysctl {name!r}: a name and a value must be of one line, and a name without =.")
    wanted = _one_line(value)
    try:
        old = path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else HEAD
    except OSError as error:
        raise CommandExecutionError(f"Could not read from file: {path}: {error.strerror}") from None
    lines, found, same = [], False, False
    for line in old.removesuffix("\n").split("\n") if old else ():
        key, equals, said = line.partition("=")
        if equals and key.strip() == str(name):  # a comment has its # before the name
            found = True
            same = _one_line(said) == wanted
            line = line if same else f"{name} = {text}"
        lines.append(line)
    holds = _one_line(get(name)) == wanted
    if test:
        parts = [f"{path} would say {name} = {text}"] if not (found and same) else []
        parts += [f"{name} would be {text}"] if not holds else []
        return f"{' and '.join(parts)}." if parts else "Already set"
    if found and same and holds:
        return "Already set"
    if not holds:
        assign(name, value)  # first, so that a file does not keep what the kernel refuses
    if not (found and same):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandExecutionError(f"Could not write to file: {path}: {error.strerror}") from None
        try:
            __salt__["file.write"](str(path), args=lines if found else [*lines, f"{name} = {text}"])
        except CommandExecutionError as error:
            raise CommandExecutionError(f"Could not write to file: {error}") from None
    return "Updated"
