"""What a target on the command line means: its letters, node sets, the minions of a job; who that is, and who it might
have been. Whoever uses the flags of TARGET_FLAGS asks `meant` what goes to the master."""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from saltlite import (
    ACCEPTED,
    EX_NO_MATCH,
    EX_USAGE,
    OPERATORS,
    PENDING,
    REGEX_BUDGET,
    REJECTED,
    UNKNOWN,
    Facts,
    Failure,
    MasterTree,
    all_well,
    expand_nodegroups,
    expected,
    glob_match,
    nearest,
    packed_leaf,
    parse,
    target_error,
    valid_id,
)

if TYPE_CHECKING:
    import argparse

nodes = packed_leaf("terminal", "nodes")

MAX_LOOKED = 1000  # jobs that are opened to find the last one of a user
JOB_GROUP = re.compile(r"(?:[0-9]{20}|last)\.[a-z]+")  # `@last.failed`
FAILED, SILENT, OK = "failed", "silent", "ok"

TARGET_FLAGS = (
    ("-E", "--pcre", "pcre"),
    ("-L", "--list", "list"),
    ("-G", "--grain", "grain"),
    ("-P", "--grain-pcre", "grain_pcre"),
    ("-I", "--pillar", "pillar"),
    ("-J", "--pillar-pcre", "pillar_pcre"),
    ("-N", "--nodegroup", "nodegroup"),
    ("-R", "--range", "range"),
    ("-S", "--ipcidr", "ipcidr"),
    ("-C", "--compound", "compound"),
)


def kind_arguments(parser: argparse.ArgumentParser) -> None:
    """The letters, which become `tgt_type`; None without one."""
    kinds = parser.add_mutually_exclusive_group()
    for flag, name, tgt_type in TARGET_FLAGS:
        text = f"the target is a {tgt_type.replace('_', ' ')}"
        kinds.add_argument(flag, name, dest="tgt_type", action="store_const", const=tgt_type, help=text)


class Target(NamedTuple):
    """What goes to the master."""

    tgt: str | list[str]
    tgt_type: str


class Fleet:
    """What the master's tree says of minions and jobs, looked up when it is first needed."""

    def __init__(self, opts: Mapping[str, Any], user: str) -> None:
        self.opts, self.user = opts, user
        self.jobs = Path(opts["cachedir"]) / "jobs"
        self.tree = MasterTree(opts)
        self._accepted: list[str] | None = None

    def accepted(self) -> list[str]:
        """The ids whose key is accepted. OSError where the keys are closed to us."""
        if self._accepted is None:
            self.tree.scan(time.time())
            self._accepted = sorted(self.tree.accepted())
        return self._accepted

    def state_of(self, minion_id: str) -> str:
        """`pending`, `rejected` …: what the tree says of one key; '' where it is closed to us."""
        if not valid_id(minion_id):
            return UNKNOWN
        try:
            return self.tree.scan_one(minion_id)[0]
        except OSError:
            return ""

    def without_key(self, listed: Iterable[str]) -> list[str]:
        """Of some names those that no accepted key has; where the keys are closed to us, all of them."""
        return [name for name in listed if self.state_of(name) != ACCEPTED]

    def matching(self, target: Target) -> list[str]:
        """The accepted ids that match, or may match for all the tree knows."""
        tgt, tgt_type = self.wire(target)
        return expected(tgt, tgt_type, self.accepted(), self.tree.data.grains, self.tree.data.pillar)

    def wire(self, target: Target) -> Target:
        """The target with its nodegroups expanded, as minions get it."""
        tgt, tgt_type = target
        groups = self.opts["nodegroups"]
        if tgt_type == "nodegroup":
            return Target(expand_nodegroups([f"N@{tgt}"], groups), "compound")
        if tgt_type == "compound":
            return Target(expand_nodegroups(tgt.split() if isinstance(tgt, str) else tgt, groups), "compound")
        return target

    def group(self, name: str) -> list[str]:
        """The ids behind `@name`: of a nodegroup, or of a job in a state. Failure."""
        if name in self.opts["nodegroups"]:
            return self.matching(Target(name, "nodegroup"))
        if JOB_GROUP.fullmatch(name):
            word, _, state = name.partition(".")
            return self.of_job(word, state)
        known = [*self.opts["nodegroups"], *(f"last.{state}" for state in (FAILED, SILENT, OK))]
        raise Failure(ended(f"there is no nodegroup {name}{nearest(name, known)}"), EX_USAGE)

    def of_job(self, word: str, state: str) -> list[str]:
        """The ids that in a job failed, were silent or went well. Failure."""
        if state not in (FAILED, SILENT, OK):
            choice = nearest(state, (FAILED, SILENT, OK))
            raise Failure(ended(f"@{word}.{state}: say .failed, .silent or .ok{choice}"), EX_USAGE)
        files = packed_leaf("clients", "JobFiles").JobFiles(self.jobs)
        found = self.last(files) if word == "last" else files.find(word)
        return sorted(minion_id for minion_id, how in parts_of(files.lines(found)).items() if how == state)

    def last(self, files: Any) -> Any:
        """The JobFile of the last job that this user has published. Failure if there is none among the newest."""
        for job in itertools.islice(files.newest(), MAX_LOOKED):
            with contextlib.suppress(Failure, OSError):  # gone meanwhile, or not his to see
                if files.header(job).get("user") == self.user:
                    return job
        raise Failure(f"@last: no job of {self.user} is among the last {MAX_LOOKED} in {self.jobs}.")


def parts_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """How each minion of a job fared, {id: FAILED, SILENT or OK}, of the lines of its file."""
    parts: dict[str, str] = {}
    for line in lines:
        if line["event"] == "new":
            parts = dict.fromkeys(line["minions"], SILENT)
        elif line["event"] == "ret":
            parts[line["id"]] = OK if all_well(dict(line)) else FAILED
    return parts


def meant(tgt: str, tgt_type: str | None, fleet: Fleet) -> Target:
    """The target on the wire of a word and its letter. Failure where it is a malformed node set, or names nobody."""
    if tgt_type == "list":
        found: list[str] = []
        for name in nodes.split(tgt):
            found += unfolded(name, fleet) if nodes.bracketed(name) else [name]
        return Target(list(dict.fromkeys(found)), "list")
    if tgt_type or not nodes.is_node_set(tgt):
        return Target(tgt, tgt_type or "glob")
    if tgt[1:] in fleet.opts["nodegroups"] and tgt[0] == "@":
        return Target(tgt[1:], "nodegroup")
    found = unfolded(tgt, fleet)
    if not found:
        raise Failure(f"{tgt} names no minion.", EX_NO_MATCH)
    return Target(found, "list")


def unfolded(word: str, fleet: Fleet) -> list[str]:
    """The names that a node set stands for."""
    try:
        found: list[str] = nodes.expand(word, fleet.group, fleet.accepted)
    except OSError as error:
        raise Failure(f"{word}: {error.filename} is closed to you ({error.strerror}).") from None
    return found


# Who is not there


def ended(text: str) -> str:
    """A sentence with its mark at the end."""
    return text if text.endswith("?") else f"{text}."


def unknown(target: Target, minions: Iterable[str]) -> list[str]:
    """The names in a list, or in the lists of a compound target as minions get it but for those that are taken away,
    of which the job's file does not say that they are expected."""
    words = target.tgt.split(",") if isinstance(target.tgt, str) else list(target.tgt)
    if target.tgt_type == "compound":
        words = target.tgt.split() if isinstance(target.tgt, str) else list(target.tgt)
        lists = [
            word[2:] for before, word in zip(["", *words], words, strict=False) if word[:2] == "L@" and before != "not"
        ]
        words = [name for listed in lists for name in listed.split(",")]
    elif target.tgt_type != "list":
        return []
    known = set(minions)
    return [name for name in dict.fromkeys(words) if name not in known]


def complaints(missing: Sequence[str], fleet: Fleet) -> list[str]:
    """A sentence for each name that no accepted key has; for many of them, one."""
    try:
        accepted = fleet.accepted()
    except OSError:
        accepted = []
    if len(missing) > nodes.FEW:
        return [f"no accepted key is named {nodes.fold(missing)} ({len(missing)})."]
    told = []
    for name in missing:
        state = fleet.state_of(name)
        why = f": its key is {state}" if state in (PENDING, REJECTED) else nearest(name, accepted)
        told.append(ended(f"no accepted key is named {name}{why}"))
    return told


def might_mean(target: Target, fleet: Fleet) -> str:
    """What a target that matched nobody might have meant: a sentence, or ''."""
    tgt, groups = target.tgt, fleet.opts["nodegroups"]
    try:
        accepted = fleet.accepted()
    except OSError:
        return ""
    if not accepted:
        return "No key is accepted yet: `saltlite key -L` shows who waits."
    if not isinstance(tgt, str):
        return ""
    if target.tgt_type == "glob" and fleet.state_of(tgt) in (PENDING, REJECTED):
        return complaints([tgt], fleet)[0]
    if target.tgt_type == "glob" and tgt and any(minion_id.startswith(tgt) for minion_id in accepted):
        return f"Ids begin with it: say '{tgt}*'."
    if target.tgt_type in ("glob", "list") and (close := nearest(tgt, accepted)):
        return f"Of {len(accepted)} accepted minions none is {tgt}{close}"
    if target.tgt_type == "glob":
        if tgt in groups:
            return f"There is a nodegroup of this name: say -N {tgt} or @{tgt}."
        if re.match("[GPIJLNSE]@", tgt) or set(tgt.split()) & set(OPERATORS):
            return "This looks like a compound target: say -C before it."
        if len(tgt.split()) > 1 and set(tgt.split()) & set(accepted):
            return "This looks like a list of names: say -L before it."
        if ":" in tgt and (grain := tgt.partition(":")[0]) and any_grain(grain, accepted, fleet):
            return f"There is a grain {grain}: say -G before it."
        if any(glob_match(minion_id.lower(), tgt.lower()) for minion_id in accepted):
            return "Ids match it in another case; case counts."
        if close := near_glob(tgt, accepted):
            return f"Of {len(accepted)} accepted minions none matches {tgt}; did you mean '{close}'?"
    if target.tgt_type == "nodegroup" and (close := nearest(tgt, groups)):
        return f"There is no nodegroup {tgt}{close}"
    if target.tgt_type in ("grain", "grain_pcre"):
        grain = tgt.partition(":")[0]
        if not any_grain(grain, accepted, fleet):
            known = {name for minion_id in accepted[:100] for name in fleet.tree.data.grains(minion_id) or {}}
            return ended(f"No accepted minion has a grain {grain}{nearest(grain, known)}")
    return ""


def near_glob(tgt: str, accepted: Iterable[str]) -> str:
    """`web*` for `wbe*`, where ids begin with that; '' if none is near."""
    stem = tgt.rstrip("*")
    if stem == tgt or not re.fullmatch(r"[\w.-]{2,}", stem):
        return ""
    import difflib

    begins = {minion_id[: len(stem)] for minion_id in accepted} | {
        minion_id.rstrip("0123456789") for minion_id in accepted
    }
    return next((f"{begin}*" for begin in difflib.get_close_matches(stem, sorted(begins), 1, 0.6)), "")


def any_grain(grain: str, accepted: Iterable[str], fleet: Fleet) -> bool:
    """Whether some accepted minion has a grain of this name."""
    return any(grain in (fleet.tree.data.grains(minion_id) or {}) for minion_id in accepted)


# Preview


class Preview(NamedTuple):
    """Who would run, by why; who may, for the tree does not know enough; which names no accepted key has."""

    match: dict[str, list[str]]
    may: list[str]
    unknown: list[str]


def preview(target: Target, fleet: Fleet) -> Preview:
    """Who would run, and why; nothing is run. Failure where the target is malformed, OSError where keys are closed."""
    tgt, tgt_type = fleet.wire(target)
    if problem := target_error(tgt, tgt_type):
        raise Failure(problem, EX_USAGE)
    match: dict[str, list[str]] = {}
    may = []
    whole, reasons = parse(tgt, tgt_type), atoms(Target(tgt, tgt_type))
    for minion_id in fleet.accepted():
        data = fleet.tree.data
        facts = Facts(minion_id, data.grains(minion_id), data.pillar(minion_id), REGEX_BUDGET)
        verdict = whole.verdict(facts)
        if verdict is None:
            may.append(minion_id)
        elif verdict:
            why = [word for word, parsed in reasons if parsed.verdict(facts)]
            match.setdefault(" and ".join(why) or str(tgt), []).append(minion_id)
    listed = unknown(fleet.wire(target), [*(minion_id for ids in match.values() for minion_id in ids), *may])
    return Preview(match, may, fleet.without_key(listed))


def atoms(target: Target) -> list[tuple[str, Any]]:
    """The parts of a target that can each be the reason: of a compound its words, else the target itself."""
    tgt, tgt_type = target
    if tgt_type == "list":
        return [("named", parse(tgt, tgt_type))]
    words = (tgt.split() if isinstance(tgt, str) else tgt) if tgt_type == "compound" else []
    found = [(word, parse(word, "compound")) for word in dict.fromkeys(words) if word not in OPERATORS]
    return found or [(f"{tgt_type.replace('_', ' ')} {tgt}", parse(tgt, tgt_type))]
