"""Whether this minion is meant by a target."""

from __future__ import annotations

from typing import Any

from saltlite import Execution, Facts, with_minion
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
