"""Whether this minion is meant by a target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from saltlite import CommandExecutionError, Execution, Facts, merged, with_minion
from saltlite import match as matches

__func_alias__ = {"glob_": "glob", "list_": "list"}


def _matches(minion: Execution, tgt: Any, tgt_type: str, minion_id: str | None = None, delimiter: str = ":") -> bool:
    return matches(tgt, tgt_type, Facts(minion_id or minion.opts["id"], minion.grains, minion.pillar), delimiter)


@with_minion
def compound(minion: Execution, tgt, minion_id=None):
    """Whether this minion matches the compound target.

    CLI Example: salt '*' match.compound 'L@web1,web2 and G@os:Debian'"""
    return _matches(minion, tgt, "compound", minion_id)


@with_minion
def data(minion: Execution, tgt):
    """Whether this minion matches the data target; there is no data store, so never.

    CLI Example: salt '*' match.data 'spam:eggs'"""
    return _matches(minion, tgt, "data")


def _chosen(
    minion: Execution,
    pairs: Iterable[tuple[Any, Any]],
    how: tuple[str, str | None],
    default: Any,
    merge: Any,
    lists: bool,
) -> Any:
    """The value of the first pair whose target matches, with `merge` laid over it; else the default."""
    if merge and not isinstance(merge, Mapping):
        raise CommandExecutionError("merge must be a map.")
    for target, value in pairs:
        if _matches(minion, target, *how):
            if merge and value is not None and not isinstance(value, Mapping):
                raise CommandExecutionError(f"merge needs a map to be laid over, and {target} has {value!r}.")
            return merged(value or {}, merge, lists) if merge else value
    return default


@with_minion
def filter_by(
    minion: Execution, lookup, tgt_type="compound", minion_id=None, merge=None, merge_lists=False, default="default"
):
    """The value of the first key of a map that is a target which means this minion, with `merge` laid over it; else
    that of the key `default`.

    CLI Example: salt '*' match.filter_by '{web*: nginx, db*: mariadb}'"""
    return _chosen(minion, lookup.items(), (tgt_type, minion_id), lookup.get(default), merge, merge_lists)


@with_minion
def glob_(minion: Execution, tgt, minion_id=None):
    """Whether this minion's id matches the glob.

    CLI Example: salt '*' match.glob 'web*'"""
    return _matches(minion, tgt, "glob", minion_id)


@with_minion
def grain(minion: Execution, tgt, delimiter=":"):
    """Whether this minion's grains match.

    CLI Example: salt '*' match.grain 'os:Debian'"""
    return _matches(minion, tgt, "grain", None, delimiter)


@with_minion
def grain_pcre(minion: Execution, tgt, delimiter=":"):
    """Whether this minion's grains match the regular expression.

    CLI Example: salt '*' match.grain_pcre 'os:(Debian|Ubuntu)'"""
    return _matches(minion, tgt, "grain_pcre", None, delimiter)


@with_minion
def ifelse(minion: Execution, *args, tgt_type="compound", minion_id=None, merge=None, merge_lists=False):
    """The value behind the first target which means this minion, or behind True; the last argument if there is none.

    CLI Example: salt '*' match.ifelse 'web*' nginx 'db*' mariadb none"""
    if len(args) % 2 == 0:
        raise CommandExecutionError("ifelse needs pairs of a target and a value, and behind them one value more.")
    pairs = [("*" if args[n] is True else args[n], args[n + 1]) for n in range(0, len(args) - 1, 2)]
    chosen = [pair for pair in pairs if pair[0] is not False]
    return _chosen(minion, chosen, (tgt_type, minion_id), args[-1], merge, merge_lists)


@with_minion
def ipcidr(minion: Execution, tgt):
    """Whether one of this minion's addresses is the address, or lies in the network.

    CLI Example: salt '*' match.ipcidr '192.0.2.0/24'"""
    return _matches(minion, tgt, "ipcidr")


@with_minion
def list_(minion: Execution, tgt, minion_id=None):
    """Whether this minion's id stands in the list.

    CLI Example: salt '*' match.list 'web1,web2'"""
    return _matches(minion, tgt, "list", minion_id)


@with_minion
def pcre(minion: Execution, tgt, minion_id=None):
    """Whether this minion's id matches the regular expression, from its beginning.

    CLI Example: salt '*' match.pcre 'web[0-9]+'"""
    return _matches(minion, tgt, "pcre", minion_id)


@with_minion
def pillar(minion: Execution, tgt, delimiter=":"):
    """Whether this minion's pillar matches.

    CLI Example: salt '*' match.pillar 'role:web'"""
    return _matches(minion, tgt, "pillar", None, delimiter)


@with_minion
def pillar_pcre(minion: Execution, tgt, delimiter=":"):
    """Whether this minion's pillar matches the regular expression.

    CLI Example: salt '*' match.pillar_pcre 'role:(web|db)'"""
    return _matches(minion, tgt, "pillar_pcre", None, delimiter)


@with_minion
def search_by(minion: Execution, lookup, tgt_type="compound", minion_id=None):
    """The keys of a map of lists of targets of which one means this minion; None if there are none.

    CLI Example: salt '*' match.search_by '{web: [web1, web2], db: [db*]}'"""
    return [
        key for key, targets in lookup.items() if any(_matches(minion, tgt, tgt_type, minion_id) for tgt in targets)
    ] or None
