"""salt-key on the tree: every verb moves files, and says which. No master needs to run, and none is told: it sees the
files move."""

from __future__ import annotations

import argparse
import collections
import contextlib
import fnmatch
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from saltlite import (
    ACCEPTED,
    DENIED,
    DIRECTORIES,
    EX_FAILED,
    EX_OK,
    EX_USAGE,
    MAX_PEM,
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

terminal, ways = packed_leaf("terminal", "text"), packed_leaf("terminal", "ways")
out_arguments, show = terminal.out_arguments, terminal.show
status, tables, times = packed_leaf("commands", "status"), *(packed_leaf("terminal", n) for n in ("tables", "times"))


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
HASHES = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}  # by digits
PRESERVE_HELP = "True: with -d and -D, the master keeps the grains, the pillar and the mine of these minions"
STRUCTURED = ("json", "yaml", "raw")  # outputters for programs, where nobody is asked
LISTED = (ACCEPTED, DENIED, PENDING, REJECTED)
STATE_PREFIXES = (("acc", ACCEPTED), ("pre", PENDING), ("un", PENDING), ("rej", REJECTED), ("den", DENIED))


SIGNED = "with master_sign_pubkey the master signs its key itself, at each start."
REFUSED = {  # Salt's options that are not here: why, and what to do
    terminal.EAUTH: terminal.NO_EAUTH,
    ("--gen-signature", "--auto-create", "--priv", "--pub", "--signature-path"): SIGNED,
    ("--rotate-aes-key",): "the shared key is renewed whenever an accepted key goes.",
    ("-u", "--user"): "run this as that user, or as root, who has the rights of the master's user here.",
}


def key_arguments(parser: argparse.ArgumentParser) -> None:
    terminal.no_log_arguments(parser)
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
    parser.add_argument(
        "--by-fingerprint", action="store_true", help="what a verb is given are fingerprints of keys, not ids"
    )
    how = "with -L and -l: age, last heard, address and fingerprint of each key"
    parser.add_argument("-v", "--verbose", action="store_true", help=how)
    parser.add_argument(
        "--preserve-minions", choices=["True", "False"], type=str.title, default="False", help=PRESERVE_HELP
    )
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing of what is done")
    parser.add_argument("--log-level", type=terminal.level_of, metavar="LEVEL", help=argparse.SUPPRESS)
    terminal.refuse(parser, REFUSED)
    terminal.ignore(parser, "--hard-crash")
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.set_defaults(wrong=parser.error)


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


def key_text(tree: MasterTree, state: str, minion_id: str) -> str:
    """What a key file holds, as text; OSError."""
    return read(tree.key_path(state, minion_id), MAX_PEM).decode("ascii", "backslashreplace")


def finger_of(tree: MasterTree, state: str, minion_id: str, hash_type: str = "") -> str:
    """The fingerprint of a key, or why there is none."""
    try:
        return fingerprint(key_text(tree, state, minion_id), hash_type or tree.opts["hash_type"])
    except OSError as error:
        return f"(no key file: {error.strerror})"


def by_fingerprint(tree: MasterTree, listed: str, states: Iterable[str]) -> dict[str, list[str]]:
    """{state: ids} of the keys with these fingerprints, whatever hash they are of; Failure for what is none, or stands
    for several ids, of which only a person can say which is meant."""
    found: dict[str, list[str]] = {state: [] for state in LISTED if state in states}
    for word in listed.split(","):
        digits = word.strip().lower().replace(":", "")
        kind = HASHES.get(len(digits))
        if not kind or digits.strip("0123456789abcdef"):
            raise Failure(f"{word!r} is no fingerprint: it is given whole, as `key -f ID` shows it.", EX_USAGE)
        pairs = [(state, name) for state in found for name in names(tree.pki / DIRECTORIES[state])]
        meant = [(s, name) for s, name in pairs if finger_of(tree, s, name, kind).replace(":", "") == digits]
        if len({name for _, name in meant}) > 1:
            ids = ", ".join(sorted({name for _, name in meant}))
            raise Failure(printable(f"the key {word} lies here under several ids ({ids}): name the one that is meant."))
        for state, name in meant:
            found[state].append(name)
    return found


def meant_keys(args: argparse.Namespace, tree: MasterTree, glob: str, states: Iterable[str]) -> dict[str, list[str]]:
    """The keys that a verb is about; of a list, what matches none is named."""
    if args.by_fingerprint:
        return by_fingerprint(tree, glob, states)
    found = keys_of(tree, glob, states)
    everything = [name for ids in found.values() for name in ids]
    for word in glob.split(",") if "," in glob and everything else ():
        if not fnmatch.filter(everything, word):
            print(printable(f"The key glob {word!r} does not match any of these keys."), file=sys.stderr)
    return found


def oddities(tree: MasterTree, states: Iterable[str]) -> list[str]:
    """Sentences about one key under several ids, and about files in minions/ by which nobody is let in."""
    owners, said, facts = collections.defaultdict(list), [], status.Facts(tree)
    for state, ids in keys_of(tree, "*", states).items():
        for minion_id in ids:
            with contextlib.suppress(OSError):
                owners[clean(key_text(tree, state, minion_id))].append(minion_id)
    for text, ids in owners.items():
        if len(set(ids)) > 1 and text:
            more = f" and {len(set(ids)) - 5} more" if len(set(ids)) > 5 else ""
            said.append(f"{', '.join(sorted(set(ids))[:5])}{more} have one and the same key: {fingerprint(text)}")
    bad = facts.part("bad")
    for minion_id in keys_of(tree, "*", {ACCEPTED})[ACCEPTED] if ACCEPTED in states and not facts.running else ():
        try:
            tree.read_key(tree.key_path(ACCEPTED, minion_id))
        except (OSError, AuthError) as error:
            bad[minion_id] = error.strerror if isinstance(error, OSError) else error
    lost = "is no key, so nobody is let in by it"
    return said + [f"minions/{minion_id} {lost}: {why}; replace it or rm it" for minion_id, why in sorted(bad.items())]


def key_details(args: argparse.Namespace, tree: MasterTree, states: Iterable[str]) -> None:
    """What there is to say of each key."""
    now, facts, data = time.time(), status.Facts(tree), dict[str, dict[str, Any]]()
    for state, ids in keys_of(tree, "*", states).items():
        known = status.accepted(tree, facts, ids, now) if state == ACCEPTED else None
        entries = known or status.waiting(tree, facts, state, ids, now)
        for minion_id, entry in entries.items():
            finger = finger_of(tree, state, minion_id)
            with contextlib.suppress(FileNotFoundError):  # somebody has moved it
                age = now - tree.key_path(state, minion_id).lstat().st_mtime
                told = {"age": round(age, 3), "last_heard": entry["last_heard"], "address": entry["address"]}
                data.setdefault(DIRECTORIES[state], {})[minion_id] = told | {"fingerprint": finger}
    if args.out:
        show(data, args, "key")
        return
    rows = []
    for directory, entries in data.items():
        for minion_id, entry in entries.items():
            heard = f"{times.span(now - entry['last_heard'])} ago" if entry["last_heard"] else "never"
            rows.append([minion_id, directory, times.span(entry["age"]), heard, entry["address"], entry["fingerprint"]])
    say(tables.table(("id", "in", "age", "last heard", "address", "fingerprint"), rows))


def key_list(args: argparse.Namespace, tree: MasterTree, which: str) -> int:
    states = [state for prefix, state in STATE_PREFIXES if which.startswith(prefix)] or list(LISTED)
    if which != "all" and len(states) != 1:
        raise Failure(f"-l {which}: the states are acc, pre (or un), rej, den and all.", EX_USAGE)
    if args.verbose:
        key_details(args, tree, states)
    else:
        show({DIRECTORIES[state]: ids for state, ids in keys_of(tree, "*", states).items()}, args, "key")
    for sentence in oddities(tree, states) if args.out not in STRUCTURED else ():
        print(printable(sentence), file=sys.stderr)
    return EX_OK


def local_keys(tree: MasterTree, glob: str) -> list[str]:
    """The names of the master's own public keys that match."""
    wanted = glob.split(",")
    return [n for n in names(tree.pki) if n.endswith(".pub") and any(fnmatch.fnmatchcase(n, each) for each in wanted)]


def agreed(default: str) -> bool:
    """Ask at the terminal; Failure where nobody is there to answer, so that no script takes that for done."""
    try:
        answer = input("Proceed? [n/Y] " if default == "y" else "Proceed? [N/y] ")
    except EOFError:
        print()
        raise Failure("nobody answers, so nothing was done; -y does not ask.") from None
    return (answer.strip() or default).lower() in ("y", "yes")


def key_show(args: argparse.Namespace, tree: MasterTree, verb: str, glob: str, states: Iterable[str]) -> int:
    """Fingerprints or key texts by state; among them the master's own, but not the texts of all."""
    own = [] if (verb, glob) == ("print", "*") or args.by_fingerprint else local_keys(tree, glob)
    found = {"local": {name: tree.pki / name for name in own}}
    for state, ids in meant_keys(args, tree, glob, states).items():
        found[DIRECTORIES[state]] = {minion_id: tree.key_path(state, minion_id) for minion_id in ids}
    shown: dict[str, dict[str, str]] = {}
    for directory, paths in found.items():
        for name, path in paths.items():
            try:
                text = read(path, MAX_PEM).decode("ascii", "backslashreplace")
                text = fingerprint(text, tree.opts["hash_type"]) if verb == "finger" else clean(text)
            except OSError as error:
                text = f"(no key file: {error.strerror})"
            shown.setdefault(directory, {})[name] = text
    if shown or args.out in STRUCTURED:
        show(shown, args, "key")
    else:
        say(f"The key glob {glob!r} does not match any keys.")
    return EX_OK


@contextlib.contextmanager
def as_owner(tree: MasterTree) -> Iterator[None]:
    """With the rights of the master's user, where root calls: in directories that are that user's, names may lead
    elsewhere by now, and what is removed or renamed there root alone could."""
    owners: dict[int, int] = {}
    for name in DIRECTORIES.values():
        with contextlib.suppress(FileNotFoundError):
            info = os.lstat(tree.pki / name)  # a link that was put there is that user's, too
            owners |= {info.st_uid: info.st_gid} if info.st_uid else {}
    if os.geteuid() != 0 or len(owners) != 1:
        yield
        return
    ((uid, gid),) = owners.items()
    with ways.rights_of(uid, gid, [gid]):
        yield


def key_move(args: argparse.Namespace, tree: MasterTree, verb: str, state: str, target: str, minion_id: str) -> bool:
    """Move one key file, or remove it without `target`, and say so; False if it holds no key that could be accepted."""
    source, text = tree.key_path(state, minion_id), f"rm {DIRECTORIES[state]}/{minion_id}"
    with contextlib.suppress(FileNotFoundError):  # somebody was faster
        if not target:
            with as_owner(tree):
                if args.preserve_minions == "True" and state == ACCEPTED:  # of others nothing is kept
                    tree.data.preserve(minion_id)
                source.unlink()
        else:
            if target == ACCEPTED:
                try:
                    PublicKey(read(source, MAX_PEM).decode("ascii", "backslashreplace"))
                except AuthError as error:
                    text = f"The key of {minion_id} is not accepted: {error}. It stays in {DIRECTORIES[state]}."
                    print(printable(text), file=sys.stderr)
                    return False
            with as_owner(tree):
                move(source, tree.key_path(target, minion_id))
            text = f"mv {DIRECTORIES[state]}/{minion_id} {DIRECTORIES[target]}/"
    if not args.quiet and args.out not in STRUCTURED:
        say(printable(f"Key for minion {minion_id} {verb.removesuffix('e')}ed: {text}"))
    return True


def note(tree: MasterTree, verb: str, found: dict[str, list[str]], done: bool = True) -> None:
    """Say in audit.jsonl what is about to be done, or what of it was not; a disk that is full keeps nobody out."""
    try:
        ids = sorted({minion_id for ids in found.values() for minion_id in ids})
        packed_leaf("watchers", "audit").note_keys(
            tree.cache, verb, ids, packed_leaf("clients", "LocalClient").caller(), done
        )
    except FileNotFoundError:
        pass  # no master has ever run here
    except OSError as error:
        print(f"{tree.cache}/audit.jsonl cannot be written: {error.strerror}.", file=sys.stderr)


def key_verb(args: argparse.Namespace, tree: MasterTree, verb: str, glob: str, states: tuple[str, ...]) -> int:
    """Do what a verb says to the keys that match, after asking; every move is named."""
    if verb in ("finger", "print"):
        return key_show(args, tree, verb, glob, states)
    extra = {ACCEPTED: args.include_accepted, REJECTED: args.include_rejected, DENIED: args.include_denied}
    target = {"accept": ACCEPTED, "reject": REJECTED}.get(verb, "")
    if target:
        states = tuple(s for s in LISTED if s != target and (s in states or args.include_all or extra.get(s)))
    found = {state: ids for state, ids in meant_keys(args, tree, glob, states).items() if ids}
    if not found:
        say(f"The key glob {glob!r} does not match any{' unaccepted' if target else ''} keys.")
        for sentence in elsewhere(args, tree, glob, target, states) if target else ():
            print(printable(sentence), file=sys.stderr)
        return EX_OK
    structured = args.out in STRUCTURED
    if structured and verb == "delete" and not args.yes:
        raise Failure(f"with --out {args.out} nobody is asked: add -y to delete keys.", EX_USAGE)
    if not args.yes and not structured:
        say(f"The following keys are going to be {verb.removesuffix('e')}ed:")
        fingers = {s: {name: finger_of(tree, s, name) for name in ids} for s, ids in found.items()} if target else found
        show({DIRECTORIES[state]: ids for state, ids in fingers.items()}, args, "key")
        for sentence in oddities(tree, LISTED) if target == ACCEPTED else ():
            say(printable(sentence))
        if not agreed("n" if verb == "delete" else "y"):
            return EX_OK
    note(tree, verb, found)
    done = {state: [i for i in ids if key_move(args, tree, verb, state, target, i)] for state, ids in found.items()}
    if done != found:
        note(tree, verb, {state: sorted(set(ids) - set(done[state])) for state, ids in found.items()}, done=False)
    if structured:
        show({DIRECTORIES[target or state]: ids for state, ids in done.items()}, args, None)
    return EX_OK if done == found else EX_FAILED


def elsewhere(
    args: argparse.Namespace, tree: MasterTree, glob: str, target: str, looked: Iterable[str]
) -> Iterator[str]:
    """Sentences about keys that a verb was perhaps meant for, and does not take unless it is told to."""
    states = tuple(state for state in LISTED if state not in looked)
    found = by_fingerprint(tree, glob, states) if args.by_fingerprint else keys_of(tree, glob, states)
    for state, ids in found.items():
        names_of = f"{', '.join(ids[:5])}{' …' if len(ids) > 5 else ''}"
        if ids and state == target:
            yield f"Already {state}: {names_of}."
        elif ids:
            yield f"But {state} ones: {names_of}. --include-{state} takes such keys too."


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
        say(f"{directory / name}.pub: {fingerprint(read(directory / f'{name}.pub', MAX_PEM).decode())}")
    return EX_OK


def main(args: argparse.Namespace) -> int:
    """salt-key on the tree: no master needs to run, and none is told; it sees the files move."""
    if others := [word for word in args.words if word != "master"]:  # `-F master` is in many a guide
        args.wrong(f"{others[0]!r}: say what to do with it: -a {others[0]} accepts, -r rejects, -d deletes, -f shows")
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
