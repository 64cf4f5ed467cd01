"""The mine: what minions have put there for others, and who may get it.

A target, or an entry's allow_tgt, counts only for minions that match it for certain: who is malformed, unknown here or
too costly to judge is left out."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

from saltlite import (
    COMPOUND,
    MATCHERS,
    MINE_ACL,
    REGEX_BUDGET,
    Facts,
    Failure,
    MasterTree,
    PayloadError,
    Peer,
    Request,
    bounded,
    compound_test,
    expand_nodegroups,
    log,
    mistake,
    nobody,
    pack,
    packed_leaf,
    parse,
    to_json,
    too_long,
)

MAX_MINE = 1 << 20  # bytes that one minion may have in the mine
MAX_FUNCTIONS = 100  # of the mine, in one request
STEP = 0.01  # seconds for which minions are looked at, and what they have put is read, in one step of the loop
EXACT = COMPOUND | dict.fromkeys("IJ", MATCHERS["pillar_exact"].test)
REGEX = re.compile("E@|P.?@|J.?@")  # a word of a compound target that is a regular expression


def certainly(
    tgt: Any,
    tgt_type: Any,
    nodegroups: Mapping[str, Any],
    facts_of: Callable[[str], Facts],
    exact: bool = False,
) -> Callable[[str], bool]:
    """A test of ids, true only of minions that match for certain: where the target is malformed, or a fact unknown or
    too costly to judge, nobody does. `facts_of` is only asked where the id does not decide. `exact` is Salt's rule for
    those who ask for others: pillar is compared exactly, for a pattern would let them guess at it. Regular expressions
    match nobody: who writes one here is a minion."""
    try:
        text = tgt if isinstance(tgt, str) else " ".join(map(str, tgt)) if isinstance(tgt, list) else None
        if text is None or tgt_type != "list" and too_long(text):
            raise Failure("not a target, or one that costs too much.")
        compound = tgt_type in ("compound", "nodegroup")
        if compound:
            letters: set[str | None] = {word[0] for word in text.split() if REGEX.match(word)}
        else:
            letters = {matcher.letter for name, matcher in MATCHERS.items() if name == tgt_type} & set("EPJ")
        if letters - set("J" if exact else ""):  # nobody can say how long one takes; exact, J is none
            raise Failure("regular expressions of minions are not run.")
        if compound:
            words = [f"N@{tgt}"] if tgt_type == "nodegroup" else text.split()
            test = compound_test(EXACT if exact else COMPOUND, expand_nodegroups(words, nodegroups), ":")
        else:
            test = parse(tgt, "pillar_exact" if exact and tgt_type in ("pillar", "pillar_pcre") else tgt_type)
    except Failure:
        test = nobody("")

    def verdict(minion_id: str) -> bool:
        try:
            guess = False if test.complaint else test.verdict(Facts(minion_id, budget=1))
            return (test.verdict(facts_of(minion_id)) if guess is None else guess) is True
        except Failure:
            return False

    return verdict


def begins(expression: Any, text: str) -> bool:
    """Whether a regular expression of the operator matches from the beginning; one that is malformed does not."""
    return isinstance(expression, str) and not mistake(expression) and re.match(expression, text) is not None


class Requests:
    """What minions ask of the mine."""

    def __init__(self, opts: Mapping[str, Any], tree: MasterTree) -> None:
        self.opts, self.tree = opts, tree
        self.commands = {
            "_mine": Request(self.put),
            "_mine_get": Request(self.answer),
            "_mine_delete": Request(self.delete),
            "_mine_flush": Request(self.flush),
        }

    def put(self, peer: Peer, load: dict[str, Any], now: float) -> bool:
        """Put {fun: result} into the peer's mine, with `clear` in place of what is there; False if it is refused."""
        data, old = load.get("data"), self.tree.data.mine(peer.id)
        if not isinstance(data, dict):
            return False
        try:
            new = bounded(data if load.get("clear") else old | data, MAX_MINE)
        except PayloadError as error:
            log.warning("the mine of %s is not changed: %s", peer.id, error)
            return False
        if new != old:
            self.tree.check_room()
            self.tree.data.put(peer.id, "mine", new)
        return True

    def delete(self, peer: Peer, load: dict[str, Any], now: float) -> bool:
        mine, fun = self.tree.data.mine(peer.id), load.get("fun")
        if fun in mine:
            self.tree.data.put(peer.id, "mine", {name: value for name, value in mine.items() if name != fun})
        return True

    def flush(self, peer: Peer, load: dict[str, Any], now: float) -> bool:
        """Remove all of the peer's mine; False, as in Salt, if there is nothing."""
        try:
            self.tree.data.remove(peer.id, "mine")
        except FileNotFoundError:
            return False
        return True

    def answer(self, peer: Peer, load: dict[str, Any], now: float) -> Generator[float, None, Any]:
        """What `get` gives; what is large is sealed apart."""
        found, values, size = yield from self.found(peer, load)
        reply = yield from packed_leaf("apart", "master").sealed(peer, load, found, size)
        until = time.monotonic() + STEP
        while values and reply is not found:  # to let go of a million parts takes nearly as long as to read them
            values[-1].popitem() if values[-1] else values.pop()
            if time.monotonic() > until:
                yield 0.0
                until = time.monotonic() + STEP
        return reply

    def get(self, peer: Peer, load: dict[str, Any], now: float) -> Generator[float, None, dict[str, Any]]:
        """What minions have put into the mine and the peer may see: {minion_id: value}, of several functions (or a list
        of one) {fun: {minion_id: value}}. Who is not known to match a target, or an entry's allow_tgt, is left out.

        In steps, for it reads the files of as many minions as there are."""
        return (yield from self.found(peer, load))[0]

    def found(
        self, peer: Peer, load: dict[str, Any]
    ) -> Generator[float, None, tuple[dict[str, Any], list[dict[str, Any]], int]]:
        """The same, the maps by id that it is made of, and how many bytes of values are in them."""
        fun = load.get("fun")
        wanted = list(dict.fromkeys(fun.split(","))) if isinstance(fun, str) else fun
        if not isinstance(wanted, list) or len(wanted) > MAX_FUNCTIONS or not all(isinstance(f, str) for f in wanted):
            return {}, [], 0
        minions = self.tree.accepted()
        # each of them may cost what the peer has chosen: a nodegroup's regular expression, a long path into grains
        facts = functools.partial(self.facts, budget=max(1000, 100 * REGEX_BUDGET // max(100, len(minions))))
        tgt_type = load.get("tgt_type", load.get("expr_form", "glob"))
        meant = certainly(load.get("tgt"), tgt_type, self.opts["nodegroups"], facts, exact=True)
        found: dict[str, dict[str, Any]] = {name: {} for name in wanted if self.may_get(peer, name)}
        allowed: dict[str, bool] = {}
        size, until = 0, time.monotonic() + STEP
        for minion_id in minions:
            if time.monotonic() > until:
                yield 0.0
                until = time.monotonic() + STEP
            mine = self.tree.data.mine(minion_id)
            entries = {name: mine[name] for name in found if name in mine}
            for name, entry in entries.items() if entries and meant(minion_id) else ():
                if isinstance(entry, dict) and MINE_ACL in entry:
                    key = to_json([entry.get("allow_tgt"), entry.get("allow_tgt_type")])
                    if key not in allowed:
                        allowed[key] = self.allows(entry, peer)
                    if not allowed[key]:
                        continue
                    entry = entry.get("__data__")
                found[name][minion_id] = entry
                size += len(pack(entry))
                if size > self.opts["max_message_size"]:
                    raise PayloadError(f"the mine's {name} of all minions meant is larger than max_message_size")
        if isinstance(fun, str) and len(wanted) == 1:
            return found.get(fun, {}), [*found.values()], size
        return {name: values for name, values in found.items() if values}, [*found.values()], size

    def may_get(self, peer: Peer, fun: str) -> bool:
        """Whether the option mine_get lets the peer ask for a function's returns at all."""
        rules = self.opts["mine_get"]
        lists = [functions for minions, functions in rules.items() if begins(minions, peer.id)]
        return not rules or any(begins(each, fun) for listed in lists if isinstance(listed, list) for each in listed)

    def allows(self, entry: dict[str, Any], peer: Peer) -> bool:
        """Whether an entry with an allow_tgt, or without, is for the peer."""
        if "allow_tgt" not in entry:
            return True
        tgt_type = entry.get("allow_tgt_type", "glob")
        return certainly(entry["allow_tgt"], tgt_type, self.opts["nodegroups"], self.facts)(peer.id)

    def facts(self, minion_id: str, budget: int = REGEX_BUDGET) -> Facts:
        """What is known here of an accepted minion."""
        grains = self.tree.data.grains(minion_id)
        grains = None if grains is None else grains | {"id": minion_id}  # whatever it says of itself
        return Facts(minion_id, grains, self.tree.data.pillar(minion_id), budget)
