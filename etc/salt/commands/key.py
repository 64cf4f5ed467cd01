"""salt-key on the tree: every verb moves files, and says which. No master needs to run, and none is told: it sees the
files move."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from saltlite import (
    ACCEPTED,
    DENIED,
    DIRECTORIES,
    EX_FAILED,
    EX_OK,
    EX_USAGE,
    MAX_KEY_FILE,
    PENDING,
    REJECTED,
    AuthError,
    Command,
    Failure,
    MasterTree,
    PublicKey,
    clean,
    fingerprint,
    load_opts,
    make_key_pair,
    move,
    names,
    packed_leaf,
    printable,
    read,
    say,
)

terminal = packed_leaf("terminal", "text")
out_arguments, show = terminal.out_arguments, terminal.show


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
KEYSIZE, MAX_KEYSIZE = 2048, 8192  # bits
STRUCTURED = ("json", "yaml", "raw")  # outputters for programs, where nobody is asked
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
    verbs.add_argument("--gen-keys", metavar="NAME", help="make NAME.pem and NAME.pub, for a minion to be")
    parser.add_argument("--gen-keys-dir", default=".", metavar="DIR", help="where --gen-keys makes them")
    parser.add_argument("--keysize", type=int, default=KEYSIZE, metavar="BITS", help="how many bits such a key has")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing of what is done")
    parser.add_argument("master", nargs="?", choices=["master"], help=argparse.SUPPRESS)  # `-F master` in many a guide


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


def local_keys(tree: MasterTree, glob: str) -> list[str]:
    """The names of the master's own public keys that match."""
    wanted = glob.split(",")
    return [n for n in names(tree.pki) if n.endswith(".pub") and any(fnmatch.fnmatchcase(n, each) for each in wanted)]


def agreed(default: str) -> bool:
    """Ask at the terminal; no answer (no terminal) is the careful one."""
    try:
        answer = input("Proceed? [n/Y] " if default == "y" else "Proceed? [N/y] ")
    except EOFError:
        return False
    return (answer.strip() or default).lower() in ("y", "yes")


def key_show(args: argparse.Namespace, tree: MasterTree, verb: str, glob: str, states: Iterable[str]) -> int:
    """Fingerprints or key texts by state; among them the master's own, but not the texts of all."""
    own = [] if (verb, glob) == ("print", "*") else local_keys(tree, glob)
    found = {"local": {name: tree.pki / name for name in own}}
    for state, ids in keys_of(tree, glob, states).items():
        found[DIRECTORIES[state]] = {minion_id: tree.key_path(state, minion_id) for minion_id in ids}
    shown: dict[str, dict[str, str]] = {}
    for directory, paths in found.items():
        for name, path in paths.items():
            try:
                text = read(path, MAX_KEY_FILE).decode("ascii", "backslashreplace")
                text = fingerprint(text, tree.opts["hash_type"]) if verb == "finger" else clean(text)
            except OSError as error:
                text = f"(no key file: {error.strerror})"
            shown.setdefault(directory, {})[name] = text
    if shown or args.out in STRUCTURED:
        show(shown, args, "key")
    else:
        say(f"The key glob {glob!r} does not match any keys.")
    return EX_OK


def key_move(args: argparse.Namespace, tree: MasterTree, verb: str, state: str, target: str, minion_id: str) -> bool:
    """Move one key file, or remove it without `target`, and say so; False if it holds no key that could be accepted."""
    source, text = tree.key_path(state, minion_id), f"rm {DIRECTORIES[state]}/{minion_id}"
    with contextlib.suppress(FileNotFoundError):  # somebody was faster
        if not target:
            source.unlink()
        else:
            if target == ACCEPTED:
                try:
                    PublicKey(read(source, MAX_KEY_FILE).decode("ascii", "backslashreplace"))
                except AuthError as error:
                    text = f"The key of {minion_id} is not accepted: {error}. It stays in {DIRECTORIES[state]}."
                    print(printable(text), file=sys.stderr)
                    return False
            move(source, tree.key_path(target, minion_id))
            text = f"mv {DIRECTORIES[state]}/{minion_id} {DIRECTORIES[target]}/"
    if not args.quiet and args.out not in STRUCTURED:
        say(printable(f"Key for minion {minion_id} {verb.removesuffix('e')}ed: {text}"))
    return True


def key_verb(args: argparse.Namespace, tree: MasterTree, verb: str, glob: str, states: tuple[str, ...]) -> int:
    """Do what a verb says to the keys that match, after asking; every move is named."""
    if verb in ("finger", "print"):
        return key_show(args, tree, verb, glob, states)
    extra = {ACCEPTED: args.include_accepted, REJECTED: args.include_rejected, DENIED: args.include_denied}
    target = {"accept": ACCEPTED, "reject": REJECTED}.get(verb, "")
    if target:
        states = tuple(s for s in LISTED if s != target and (s in states or args.include_all or extra.get(s)))
    found = {state: ids for state, ids in keys_of(tree, glob, states).items() if ids}
    if not found:
        say(f"The key glob {glob!r} does not match any{' unaccepted' if target else ''} keys.")
        return EX_OK
    structured = args.out in STRUCTURED
    if structured and verb == "delete" and not args.yes:
        raise Failure(f"with --out {args.out} nobody is asked: add -y to delete keys.", EX_USAGE)
    if not args.yes and not structured:
        say(f"The following keys are going to be {verb.removesuffix('e')}ed:")
        show({DIRECTORIES[state]: ids for state, ids in found.items()}, args, "key")
        if not agreed("n" if verb == "delete" else "y"):
            return EX_OK
    done = {state: [i for i in ids if key_move(args, tree, verb, state, target, i)] for state, ids in found.items()}
    if structured:
        show({DIRECTORIES[target or state]: ids for state, ids in done.items()}, args, None)
    return EX_OK if done == found else EX_FAILED


def key_make(args: argparse.Namespace) -> int:
    """Make a pair of keys for --gen-keys; one that is there stays."""
    directory, name = Path(args.gen_keys_dir), args.gen_keys
    if "/" in name or name.startswith("."):
        raise Failure(f"--gen-keys {name}: a name is wanted; name its directory with --gen-keys-dir.", EX_USAGE)
    if not KEYSIZE <= args.keysize <= MAX_KEYSIZE:
        raise Failure(f"--keysize {args.keysize}: a key has {KEYSIZE} to {MAX_KEYSIZE} bits.", EX_USAGE)
    if not directory.is_dir():
        raise Failure(f"--gen-keys-dir {directory} is no directory: make it first.")
    make_key_pair(directory, name, args.keysize)
    if not args.quiet:
        say(f"{directory / name}.pub: {fingerprint(read(directory / f'{name}.pub', MAX_KEY_FILE).decode())}")
    return EX_OK


def main(args: argparse.Namespace) -> int:
    """salt-key on the tree: no master needs to run, and none is told; it sees the files move."""
    if args.gen_keys:
        return key_make(args)
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


EXAMPLES = """
salt-key                                all keys, by what they are
salt-key -f 'web*'                      their fingerprints; on the minion: salt-call --local key.finger
salt-key -a web1                        accept; the same as mv minions_pre/web1 minions/
salt-key -y -d 'web*'                   delete, and do not ask
"""
arguments = (terminal.config_arguments, out_arguments, key_arguments)
COMMAND = Command("list, accept, reject, delete keys", main, arguments, EXAMPLES)
