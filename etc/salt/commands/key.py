"""salt-key on the tree: every verb moves files, and says which. No master needs to run, and none is told: it sees the
files move."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from saltlite import (
    ACCEPTED,
    DENIED,
    DIRECTORIES,
    EX_OK,
    EX_USAGE,
    MAX_KEY_FILE,
    PENDING,
    REJECTED,
    Command,
    Failure,
    MasterTree,
    clean,
    config_arguments,
    fingerprint,
    load_opts,
    move,
    names,
    out_arguments,
    printable,
    read,
    say,
    show,
)

if TYPE_CHECKING:
    import argparse


class KeyVerb(NamedTuple):
    """A verb of salt-key: its flag (in upper case: all keys), the states it takes of itself, what it does in words."""

    flag: str
    verb: str
    states: tuple[str, ...]
    does: str


KEY_VERBS = (
    KeyVerb("a", "accept", (PENDING,), "accept"),
    KeyVerb("r", "reject", (PENDING,), "reject"),
    KeyVerb("d", "delete", (ACCEPTED, PENDING, REJECTED, DENIED), "delete"),
    KeyVerb("f", "finger", (ACCEPTED, PENDING, REJECTED, DENIED), "print the fingerprints of"),
    KeyVerb("p", "print", (ACCEPTED, PENDING, REJECTED, DENIED), "print"),
)
LISTED = (ACCEPTED, DENIED, PENDING, REJECTED)
STATE_PREFIXES = (("acc", ACCEPTED), ("pre", PENDING), ("un", PENDING), ("rej", REJECTED), ("den", DENIED))


def key_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_mutually_exclusive_group()
    verbs.add_argument(
        "-L", "--list-all", dest="verb", action="store_const", const=("list", "all"), help="list all keys"
    )
    verbs.add_argument("-l", "--list", dest="list", metavar="STATE", help="list pre, acc, rej, den or all")
    for flag, verb, _, does in KEY_VERBS:
        verbs.add_argument(f"-{flag}", f"--{verb}", dest=verb, metavar="GLOB", help=f"{does} the matching keys")
        one: dict[str, Any] = {
            "dest": "verb",
            "action": "store_const",
            "const": (verb, "*"),
            "help": f"{does} all keys",
        }
        verbs.add_argument(f"-{flag.upper()}", f"--{verb}-all", **one)
    for name in ("all", ACCEPTED, REJECTED, DENIED):
        parser.add_argument(f"--include-{name}", action="store_true", help=f"take {name} keys too")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def keys_of(tree: MasterTree, glob: str, states: Iterable[str]) -> dict[str, list[str]]:
    """{state: ids} of the key files that match."""
    wanted = glob.split(",")
    return {
        state: [
            name for name in names(tree.pki / DIRECTORIES[state]) if any(fnmatch.fnmatchcase(name, w) for w in wanted)
        ]
        for state in LISTED
        if state in states
    }


def key_list(args: argparse.Namespace, tree: MasterTree, which: str) -> int:
    states = [state for prefix, state in STATE_PREFIXES if which.startswith(prefix)] or list(LISTED)
    if which != "all" and len(states) != 1:
        raise Failure(f"-l {which}: the states are acc, pre (or un), rej, den and all.", EX_USAGE)
    show({DIRECTORIES[state]: ids for state, ids in keys_of(tree, "*", states).items()}, args, "key")
    return EX_OK


def agreed(default: str) -> bool:
    """Ask at the terminal; no answer (no terminal) is the careful one."""
    try:
        answer = input("Proceed? [n/Y] " if default == "y" else "Proceed? [N/y] ")
    except EOFError:
        return False
    return (answer.strip() or default).lower() in ("y", "yes")


def key_show(args: argparse.Namespace, tree: MasterTree, verb: str, found: dict[str, list[str]]) -> int:
    """Fingerprints or key texts by state; `finger` of everything names the master's own key too."""
    shown: dict[str, dict[str, str]] = {}
    if verb == "finger" and args.verb:
        shown["local"] = {"master.pub": fingerprint(read(tree.pki / "master.pub", MAX_KEY_FILE).decode())}
    for state, ids in found.items():
        for minion_id in ids:
            try:
                text = read(tree.key_path(state, minion_id), MAX_KEY_FILE).decode("ascii", "backslashreplace")
            except OSError as error:
                shown.setdefault(DIRECTORIES[state], {})[minion_id] = f"(no key file: {error.strerror})"
                continue
            shown.setdefault(DIRECTORIES[state], {})[minion_id] = fingerprint(text) if verb == "finger" else clean(text)
    show(shown, args, "key")
    return EX_OK


def key_verb(args: argparse.Namespace, tree: MasterTree, verb: str, glob: str, states: tuple[str, ...]) -> int:
    """Do what a verb says to the keys that match, after asking; every move is named."""
    extra = {ACCEPTED: args.include_accepted, REJECTED: args.include_rejected, DENIED: args.include_denied}
    target = {"accept": ACCEPTED, "reject": REJECTED}.get(verb)
    if target:
        states = tuple(s for s in LISTED if s != target and (s in states or args.include_all or extra.get(s)))
    found = {state: ids for state, ids in keys_of(tree, glob, states).items() if ids}
    if not found:
        say(f"The key glob {glob!r} does not match any{' unaccepted' if target else ''} keys.")
        return EX_OK
    if verb in ("finger", "print"):
        return key_show(args, tree, verb, found)
    structured = args.out in ("json", "yaml", "raw")
    if structured and verb == "delete" and not args.yes:
        raise Failure(f"with --out {args.out} nobody is asked: add -y to delete keys.", EX_USAGE)
    if not args.yes and not structured:
        say(f"The following keys are going to be {verb.removesuffix('e')}ed:")
        show({DIRECTORIES[state]: ids for state, ids in found.items()}, args, "key")
        if not agreed("n" if verb == "delete" else "y"):
            return EX_OK
    for state, ids in found.items():
        for minion_id in ids:
            source = tree.key_path(state, minion_id)
            if target:
                with contextlib.suppress(FileNotFoundError):  # somebody was faster
                    move(source, tree.key_path(target, minion_id))
                text = f"mv {DIRECTORIES[state]}/{minion_id} {DIRECTORIES[target]}/"
            else:
                source.unlink(missing_ok=True)
                text = f"rm {DIRECTORIES[state]}/{minion_id}"
            if not structured:
                say(printable(f"Key for minion {minion_id} {verb.removesuffix('e')}ed: {text}"))
    if structured:
        show({DIRECTORIES[target or state]: ids for state, ids in found.items()}, args, None)
    return EX_OK


def main(args: argparse.Namespace) -> int:
    """salt-key on the tree: no master needs to run, and none is told; it sees the files move."""
    opts = load_opts("master", args.config_dir)
    tree = MasterTree(opts)
    if not (tree.pki / "minions").is_dir():
        raise Failure(f"{tree.pki} is no master's key tree; start the master once, or name its directory with -c.")
    try:
        for _, verb, states, _ in KEY_VERBS:
            glob = getattr(args, verb)
            if args.verb and args.verb[0] == verb:
                glob = "*"
            if glob is not None:
                return key_verb(args, tree, verb, glob, states)
        return key_list(args, tree, args.list or "all")
    except PermissionError as error:
        raise Failure(f"{error.filename} is closed to you: run this as the master's user.") from None


COMMAND = Command("list, accept, reject, delete keys", main, (config_arguments, out_arguments, key_arguments))
