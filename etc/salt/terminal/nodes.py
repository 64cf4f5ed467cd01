"""Names of minions as people write many of them: node sets, folded (`web[01-03,17]`) and unfolded, by ClusterShell.

When a target without a letter is a node set and no glob. An id has none of `, ! & ^ @ [ ]`, so a glob that could match
anything keeps its meaning, but for one case, which is written down here:

    @db   @last.failed            begins with @: a nodegroup, or the minions of a job in a state
    web1,web2   web*,db1          a comma outside of brackets; here `*` and `?` stand for the accepted ids
    *!web3   web[01-40]!web05     `!` `&` `^` outside of brackets: without, in both, in one of them
    web[01-40]   web[3,17-19]     every bracket has numbers, ranges and commas alone, and one has a comma or a range
                                  to a number of two digits; as a glob it would stand for one character
    web[01]   web[1-3]   w[a-c]*  none of these: globs, as in Salt. `[1-3]` names the same minions either way.

In a list (-L) every name may be one of these. It is a list on the wire, so an unknown name can be told."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from saltlite import EX_USAGE, Failure, printable

MAX_NODES = 100_000  # names that one node set may stand for
MANY = 500  # names that are folded by all of their numbers at once
FEW = 3  # names of which a sentence each is said

BRACKET = re.compile(r"\[([^\[\]]*)\]")
NUMBERS = re.compile(r"[0-9]+(?:-[0-9]+(?:/[0-9]+)?)?(?:,[0-9]+(?:-[0-9]+(?:/[0-9]+)?)?)*")
OPERATION = re.compile("[,!&^]")
GROUP = re.compile(r"@([^,!&^@\[\]]+)")


def is_node_set(word: str) -> bool:
    """Whether a target without a letter is a node set, by the rule above."""
    outside, inside = BRACKET.sub("", word), BRACKET.findall(word)
    if word.startswith("@") and len(word) > 1 or OPERATION.search(outside):
        return True
    if not inside or not all(map(NUMBERS.fullmatch, inside)) or set(outside) & set("*?[]@ "):
        return False
    return any("," in text or re.search("[0-9]{2}", text) and "-" in text for text in inside)


def bracketed(word: str) -> bool:
    """Whether a name of a list is a node set: it has what no id has."""
    return bool(set(word) & set("[]@!&^*?"))


def split(text: str) -> list[str]:
    """The names in a list, parted by commas outside of brackets, or by blanks where there is no such comma."""
    parts = re.findall(r"(?:\[[^\]]*\]|[^,])+", text)
    words = [part.strip() for part in parts] if len(parts) > 1 else text.split()
    return [word for word in words if word]


def size(word: str) -> int:
    """How many names a node set may stand for at the most, without making them."""
    total = 0
    for part in OPERATION.split(BRACKET.sub(lambda found: found[0].replace(",", ";"), word)):
        counts = []
        for text in BRACKET.findall(part):
            ranges = [piece.partition("/")[0].partition("-") for piece in text.split(";")]
            counts.append(sum(abs(number(high or low) - number(low)) + 1 for low, _, high in ranges))
        total += math.prod(counts)
    return total


def number(text: str) -> int:
    """Of what is none, 0: ClusterShell says so in its own words."""
    digits = text.isascii() and text.isdigit()
    return 0 if not digits else int(text) if len(text) < 20 else 2 * MAX_NODES


def expand(word: str, group: Callable[[str], Iterable[str]], accepted: Callable[[], Iterable[str]]) -> list[str]:
    """The names that a node set stands for, in its order. `group` gives the ids of a group that it names, `accepted`
    those that `*` and `?` are held against. Failure where it is malformed, or too much."""
    if size(word) > MAX_NODES:
        raise Failure(f"{word!r} names more than {MAX_NODES} minions.", EX_USAGE)
    from ClusterShell.NodeSet import NodeSet, NodeSetException
    from ClusterShell.NodeUtils import GroupResolver, GroupSource

    groups = {name: ",".join(group(name)) for name in GROUP.findall(word)}
    everybody = ",".join(accepted()) if set(word) & set("*?") else ""
    try:
        return list(NodeSet(word, resolver=GroupResolver(GroupSource("nodegroups", groups, everybody))))
    except (NodeSetException, ValueError, AssertionError) as error:
        raise Failure(f"{word!r} is no set of names ({printable(str(error))}).", EX_USAGE) from None


def fold(names: Iterable[str], most: int = MAX_NODES) -> str:
    """Names as one text, `db1,web[01-03,17]`; of more than `most` the first, and how many there are besides."""
    found = sorted(set(names))
    rest = f" and {len(found) - most} more" if len(found) > most else ""
    found = found[:most]
    if len(found) < 2 or any(set(name) & set("[],!&^@*? ") for name in found):  # what no id is
        return ",".join(found) + rest
    from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet

    made: Any = NodeSet.fromlist(found, resolver=RESOLVER_NOGROUP)
    if len(found) <= MANY:
        return str(made) + rest
    texts = []
    for axis in (0, -1):  # by one number: all at once cost seconds where there are thousands of names
        made.fold_axis = (axis,)
        texts.append(str(made))
    return min(texts, key=len) + rest
