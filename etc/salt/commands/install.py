"""Install this file on the machine: units, links of Salt's names, completion, manual pages; `uninstall` takes away what
was installed, and nothing else.

What was installed stands in a manifest, PREFIX/lib/saltlite/installed.json: {"files": {path: [hashes that it may have
had from us]}, "directories": [those made for them], "roles": [...]}, paths as they are without --root. It is written
before the first file and once more behind the last, so that after a crash in between every file that is ours is in
it. A file that is not in it, or has been changed since, is not ours: it is never overwritten, and never removed."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from saltlite import EX_OK, EX_USAGE, Command, Failure, packed_leaf, put, say

manual, shells, units = (packed_leaf("terminal", name) for name in ("manual", "shells", "units"))
trial, ways = packed_leaf("terminal", "trial"), packed_leaf("terminal", "ways")
ROLES = ("master", "minion")
STUB = """# The options of the {role}, with their defaults and what they mean: `man salt-{role}` and README.
# Files in {role}.d/*.conf count too.
"""


class Item(NamedTuple):
    """One thing to install: a file with its content, or a link with its target. `kept`: one that is there is left."""

    path: str
    data: bytes = b""
    link: str = ""
    mode: int = 0o644
    kept: bool = False

    def digest(self) -> str:
        """What the manifest says of it."""
        return f"link:{self.link}" if self.link else f"sha256:{hashlib.sha256(self.data).hexdigest()}"


def digest_of(path: Path) -> str:
    """The same of what is there; "" if nothing is, "?" for what was never installed, a directory say."""
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return ""
    if stat.S_ISLNK(info.st_mode):
        return f"link:{os.readlink(path)}"
    return f"sha256:{trial.hash_of(path)}" if stat.S_ISREG(info.st_mode) else "?"


class Place:
    """Where things go: below `root`, which is / but for packages and tests, with the prefix within it."""

    def __init__(self, root: str, prefix: str) -> None:
        self.root, self.prefix = Path(os.path.abspath(root)), "/" + prefix.strip("/")
        self.lib = f"{self.prefix}/lib/saltlite"
        self.manifest = f"{self.lib}/installed.json"

    @property
    def program(self) -> str:
        return f"{self.lib}/saltlite.pyz"

    def at(self, path: str) -> Path:
        """The real path of one that is meant within the root."""
        return self.root / path.lstrip("/")

    def ours(self, path: str, there: str, digests: list[str]) -> bool:
        """Whether what is at a path is as it was installed; so is another program in its place: saltlite.update, or who
        has copied a newer one there."""
        return there in digests or path == self.program and bool(digests) and there.startswith("sha256:")

    def read(self) -> dict[str, Any]:
        """The manifest, an empty one if nothing is installed. Failure if it is none."""
        empty: dict[str, Any] = {"files": {}, "directories": [], "roles": []}
        try:
            found = json.loads(self.at(self.manifest).read_text())
        except FileNotFoundError:
            return empty
        except (OSError, ValueError) as error:
            raise Failure(f"{self.at(self.manifest)} cannot be read: {error}.") from None
        if not isinstance(found, dict) or not isinstance(found.get("files"), dict):
            raise Failure(f"{self.at(self.manifest)} is no manifest of saltlite's: remove it.")
        return empty | found

    def write(self, manifest: dict[str, Any]) -> None:
        put(self.at(self.manifest), json.dumps(manifest, indent=1, sort_keys=True) + "\n", 0o644)


def install_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "roles", nargs="*", metavar="master|minion", help="whose unit; without: no daemon, only commands"
    )
    parser.add_argument("--master", metavar="HOST", help="write the minion's configuration: its master is HOST")
    parser.add_argument("--python", metavar="FILE", help="the interpreter of the units; without: the one of this run")
    place_arguments(parser)


def place_arguments(parser: argparse.ArgumentParser) -> None:
    """--root, --prefix and --dry-run."""
    parser.add_argument("--root", default="/", metavar="DIR", help="a directory to take for /: for packages")
    parser.add_argument("--prefix", default="/usr/local", metavar="DIR", help="where commands and pages go: /usr/local")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")


def interpreter(args: argparse.Namespace) -> str:
    """The interpreter for the units; Failure if a daemon of root's had better not run it."""
    python = args.python or sys.executable
    if not os.path.isabs(python):
        raise Failure(f"--python {python}: its absolute path is wanted.", EX_USAGE)
    if args.python or args.root != "/":
        return python
    for path in ways.way_to(python):
        loose = ways.loose(path)
        if loose or not os.lstat(path).st_mode & stat.S_IXOTH:
            who = "could be changed by others than root" if loose else "is closed to the master's user"
            raise Failure(
                f"{path} {who}, and the daemons would run {python}: use the system's python3, or name another with "
                "--python."
            )
    return python


def check_place(place: Place) -> None:
    """Failure if others than root could put another program where the units look for this one."""
    for path in ways.way_to(str(place.at(place.lib))):
        with contextlib.suppress(FileNotFoundError):  # it will be made
            if ways.loose(path):
                raise Failure(
                    f"{path} could be changed by others than root, and root's daemons would run what lies below it: "
                    "chown it to root and `chmod go-w` it, or name another --prefix."
                )


def items_of(place: Place, roles: Iterable[str], python: str, source: bytes, master: str | None) -> list[Item]:
    """All that is to be there."""
    program, share, binaries = place.program, f"{place.prefix}/share", f"{place.prefix}/bin"
    found = [Item(program, source, mode=0o755)]
    found += [Item(f"{binaries}/{name}", link="../lib/saltlite/saltlite.pyz") for name in shells.PROGRAMS]
    scripts = {
        f"{share}/bash-completion/completions/saltlite": shells.BASH,
        f"{share}/zsh/site-functions/_saltlite": shells.ZSH,
        f"{share}/fish/vendor_completions.d/saltlite.fish": shells.FISH,
    }
    found += [Item(path, shells.script(text, f"{binaries}/saltlite").encode()) for path, text in scripts.items()]
    for name in shells.PROGRAMS[1:]:  # these two look for a file of the command's name
        found.append(Item(f"{share}/bash-completion/completions/{name}", link="saltlite"))
        found.append(Item(f"{share}/fish/vendor_completions.d/{name}.fish", link="saltlite.fish"))
    found += [Item(f"{share}/man/man1/{name}.1", page.encode()) for name, page in manual.pages().items()]
    for role in roles:
        found.append(Item(f"/etc/systemd/system/salt-{role}.service", units.unit(role, python, program).encode()))
        text = STUB.format(role=role) + (f"master: {json.dumps(master)}\n" if master and role == "minion" else "")
        found.append(Item(f"/etc/salt/{role}", text.encode(), kept=True))
    if "master" in roles:
        found.append(Item("/etc/sysusers.d/saltlite.conf", units.SYSUSERS.encode()))
    return found


def standing(place: Place, items: list[Item], manifest: dict[str, Any]) -> dict[str, str]:
    """What to do with each thing: make, keep (it is there), yours (it was changed), replace. Failure names all that is
    somebody else's."""
    todo, strange = {}, []
    for item in items:
        there, ours = digest_of(place.at(item.path)), manifest["files"].get(item.path, [])
        if not there:
            todo[item.path] = "make"
        elif there == item.digest() or item.kept:
            todo[item.path] = "keep"
        elif place.ours(item.path, there, ours):
            todo[item.path] = "replace"
        elif ours and there != "?":
            todo[item.path] = "yours"
        else:
            strange.append(str(place.at(item.path)))
    for role in ROLES:  # a unit of a package's; ours, in /etc, would hide it
        packaged = [place.at(f"{top}/systemd/system/salt-{role}.service") for top in ("/usr/lib", "/lib")]
        if f"/etc/systemd/system/salt-{role}.service" in todo:
            strange += sorted({os.path.realpath(path) for path in packaged if path.exists()})
    if strange:
        raise Failure(
            f"{', '.join(strange)}: there is something that saltlite did not write, Salt's own perhaps. Nothing was "
            "done: remove Salt, or name another --prefix."
        )
    return todo


def make_directories(path: Path, root: Path) -> list[str]:
    """Make the directories above a path; gives those that were not there, as they are within the root."""
    missing = [parent for parent in path.parents if not parent.exists() and parent != root]
    for parent in reversed(missing):
        parent.mkdir(0o755)
        parent.chmod(0o755)
    return [f"/{parent.relative_to(root)}" for parent in missing if parent.is_relative_to(root)]


def write_item(path: Path, item: Item) -> None:
    """Make a file or a link by one rename."""
    if not item.link:
        put(path, item.data, item.mode)
        return
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    os.symlink(item.link, temporary)
    os.rename(temporary, path)


def carry_out(place: Place, items: list[Item], todo: dict[str, str], manifest: dict[str, Any]) -> None:
    """Write what is to be written; the manifest first, and last."""
    wanted = [item for item in items if todo[item.path] in ("make", "replace")]
    files = manifest["files"]
    place.root.mkdir(0o755, parents=True, exist_ok=True)
    paths = [place.at(path) for path in (place.manifest, *(item.path for item in wanted))]
    made = [directory for path in paths for directory in make_directories(path, place.root)]
    manifest = manifest | {"directories": sorted({*manifest["directories"], *made})}
    place.write(
        manifest | {"files": files | {item.path: [*files.get(item.path, []), item.digest()] for item in wanted}}
    )
    for item in wanted:
        write_item(place.at(item.path), item)
    place.write(manifest | {"files": files | {item.path: [item.digest()] for item in wanted}})


def next_lines(args: argparse.Namespace, roles: list[str], todo: dict[str, str], program: str) -> list[str]:
    """What to type now: start what is new, and have what runs take over a new program or unit."""
    if args.root != "/":
        return []
    if not roles:
        return ["No daemon was asked for: `install master` or `install minion` adds its unit."]
    verbs: dict[str, list[str]] = {}
    for role in roles:
        unit = todo[f"/etc/systemd/system/salt-{role}.service"]
        verb = "restart" if unit == "replace" else "reload"
        verb = "enable --now" if unit == "make" or verb == "reload" and todo[program] != "replace" else verb
        verbs.setdefault(verb, []).append(f"salt-{role}")
    lines = []
    if "minion" in roles and not args.master and todo["/etc/salt/minion"] == "make":
        lines.append("echo 'master: HOST' >> /etc/salt/minion")
    if "salt-master" in verbs.get("enable --now", []):
        lines.append("systemd-sysusers saltlite.conf")
    commands = ["systemctl daemon-reload", *(f"systemctl {verb} {' '.join(names)}" for verb, names in verbs.items())]
    return ["Next, type:", *(f"    {line}" for line in [*lines, " && ".join(commands)])]


def main(args: argparse.Namespace) -> int:
    """Look at everything first, then write it; what is there and ours stays."""
    if wrong := [role for role in args.roles if role not in ROLES]:
        raise Failure(f"install {wrong[0]}: there are master and minion.", EX_USAGE)
    if args.master and "minion" not in args.roles:
        raise Failure("--master is for `install minion`.", EX_USAGE)
    source = trial.program()
    if not source:
        raise Failure("this is a checkout, and what is installed is one file: make it with ./build.sh, and run that.")
    place, python = Place(args.root, args.prefix), interpreter(args)
    manifest = place.read()
    roles = sorted({*args.roles, *manifest["roles"]})
    if roles and args.root == "/":
        check_place(place)
    items = items_of(place, roles, python, Path(source).read_bytes(), args.master)
    todo = standing(place, items, manifest)
    would = "would be " if args.dry_run else ""
    said = {"make": "written", "replace": "replaced"}
    for path, what in todo.items():
        if what in said:
            say(f"{would}{said[what]}: {place.at(path)}")
        elif what == "yours":
            say(f"kept as you have changed it: {place.at(path)}")
    if args.master and todo["/etc/salt/minion"] == "keep":
        say(f"{place.at('/etc/salt/minion')} is there already, and is left: write `master: {args.master}` there.")
    if not {"make", "replace"} & set(todo.values()):
        say("All is there already.")
    if not args.dry_run:
        try:
            carry_out(place, items, todo, manifest | {"roles": roles})
        except PermissionError as error:
            raise Failure(f"{error.filename} cannot be written: run this as root.") from None
    if (found := shutil.which("python3")) and args.root == "/" and not os.path.samefile(found, python):
        say(f"The commands run `python3`, which is {found} here; the units run {python}.")
    for line in next_lines(args, roles, todo, place.program):
        say(line)
    return EX_OK


EXAMPLES = """
python3 saltlite.pyz install minion --master 192.0.2.1     the commands and the minion's unit
python3 saltlite.pyz install master --dry-run              what would be written
python3 saltlite.pyz install --root build/root --prefix /usr --python /usr/bin/python3 master minion
                                                           for a package
"""
COMMAND = Command("install units, links, completion, manual pages", main, (install_arguments,), EXAMPLES)
