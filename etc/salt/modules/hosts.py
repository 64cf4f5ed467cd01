"""The file of hosts, /etc/hosts (or what the option hosts.file names): which names an address has. Lines that are not
meant stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

__salt__: Mapping[str, Any]


def _path() -> str:
    return str(__salt__["config.option"]("hosts.file") or "/etc/hosts")


def _lines() -> list[str]:
    """The file's lines with their ends; none if it is not there."""
    try:
        with open(_path(), encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return file.readlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CommandExecutionError(f"{_path()}: {error.strerror}") from None


def _parsed(line: str) -> tuple[str, list[str], str]:
    """The address, the names and the comment of a line; no address: it is a comment, or empty."""
    entry, _, comment = line.partition("#")
    words = entry.split()
    return (words[0], words[1:], comment.strip()) if words else ("", [], comment.strip())


def _line(address: str, names: list[str], comment: str) -> str:
    return f"{address}\t\t{' '.join(names)}" + (f"\t\t# {comment}" if comment else "") + "\n"


def _write(lines: list[str]) -> bool:
    text = "".join(lines)
    __salt__["file.write"](_path(), args=[text.removesuffix("\n")] if text else [])
    return True


def _words(*values: Any) -> None:
    """SaltInvocationError for what would break a line."""
    for value in values:
        if not isinstance(value, str) or not value.split() or set(value) & set("#\n\r\0"):
            raise SaltInvocationError(f"{value!r} cannot stand in a line of {_path()}.")


def list_hosts():
    """What the file says: a map of addresses to `{"aliases": [names], "comment": text}`, and of comment-0, comment-1 …
    to lists of a line.

    CLI Example: salt '*' hosts.list_hosts"""
    found: dict[str, Any] = {}
    comments = 0
    for line in _lines():
        address, names, comment = _parsed(line)
        if address:
            entry = found.setdefault(address, {"aliases": []})
            entry["aliases"].extend(names)
            if comment:
                entry["comment"] = comment
        elif line.strip():
            found[f"comment-{comments}"] = [line.strip()]
            comments += 1
    return found


def get_ip(host):
    """The address of a name, or an empty text.

    host
        the name

    CLI Example: salt '*' hosts.get_ip web1"""
    return next((address for line in _lines() for address, names, _ in [_parsed(line)] if host in names), "")


def get_alias(ip):
    """The names of an address, a list.

    ip
        the address

    CLI Example: salt '*' hosts.get_alias 192.0.2.1"""
    return [name for line in _lines() for address, names, _ in [_parsed(line)] if address == ip for name in names]


def has_pair(ip, alias):
    """Whether an address has a name, or all names of a list: True or False.

    ip
        the address
    alias
        a name, or a list of them

    CLI Example: salt '*' hosts.has_pair 192.0.2.1 web1"""
    wanted = set(alias if isinstance(alias, list) else [alias])
    entry = list_hosts().get(ip)
    return isinstance(entry, dict) and wanted <= set(entry["aliases"])


def set_host(ip, alias, comment=None, test=False):
    """Give an address these names and no others: True.

    ip
        the address
    alias
        names with blanks between them; empty: the address goes
    comment
        put behind them
    test
        True: say what would change

    CLI Example: salt '*' hosts.set_host 192.0.2.1 'web1 web1.example.org'"""
    _words(ip, *([alias] if alias.strip() else []), *([comment] if comment else []))
    new = [_line(ip, [alias], comment or "")] if alias.strip() else []
    lines, written = [], False
    for line in _lines():
        if _parsed(line)[0] != ip:
            lines.append(line if line.endswith("\n") else line + "\n")
        elif not written:
            lines += new
            written = True
    lines += [] if written else new
    if test:
        return f"Would give {ip} the names {alias}." if new else f"Would take {ip} out of {_path()}."
    return _write(lines)


def add_host(ip, alias, test=False):
    """Give an address one more name: True.

    ip
        the address; a line is made for one that has none
    alias
        the name
    test
        True: say what would change

    CLI Example: salt '*' hosts.add_host 192.0.2.1 web1"""
    _words(ip, alias)
    if has_pair(ip, alias):
        return True
    if test:
        return f"Would give {ip} the name {alias}."
    lines = [line if line.endswith("\n") else line + "\n" for line in _lines()]
    for at, line in enumerate(lines):
        address, names, comment = _parsed(line)
        if address == ip:
            lines[at] = _line(ip, [*names, alias], comment)
            return _write(lines)
    return _write([*lines, _line(ip, [alias], "")])


def rm_host(ip, alias, test=False):
    """Take a name from an address: True. A line whose last name it is goes.

    ip
        the address
    alias
        the name
    test
        True: say what would change

    CLI Example: salt '*' hosts.rm_host 192.0.2.1 web1"""
    if not has_pair(ip, alias):
        return True
    if test:
        return f"Would take the name {alias} from {ip}."
    lines = []
    for line in _lines():
        address, names, comment = _parsed(line)
        if address == ip and alias in names:
            names = [name for name in names if name != alias]
            lines += [_line(ip, names, comment)] if names else []
        else:
            lines.append(line)
    return _write(lines)


def set_comment(ip, comment, test=False):
    """Put a comment behind the names of an address: True, or False if it has none.

    ip
        the address
    comment
        the text
    test
        True: say what would change

    CLI Example: salt '*' hosts.set_comment 192.0.2.1 'the web server'"""
    _words(comment)
    lines = _lines()
    for at, line in enumerate(lines):
        address, names, old = _parsed(line)
        if address == ip:
            if test:
                return f"Would put '# {comment}' behind the names of {ip}."
            lines[at] = _line(ip, names, comment)
            return old == comment or _write(lines)
    return False
