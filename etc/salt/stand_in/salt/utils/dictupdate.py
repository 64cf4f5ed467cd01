"""Maps that become one, by the names of Salt 3008's salt.utils.dictupdate."""

from __future__ import annotations

import copy
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from salt.exceptions import SaltInvocationError
from saltlite import packed_leaf, traverse

DEFAULT_TARGET_DELIM = ":"

log = logging.getLogger(__name__)


def update(dest: Any, upd: Any, recursive_update: bool = True, merge_lists: bool = False, strict: bool = False) -> Any:
    """`dest` itself, with `upd` in it, map in map; `merge_lists` joins lists; with `strict` too, a map in place of a
    list is a TypeError."""
    if not isinstance(dest, Mapping) or not isinstance(upd, Mapping):
        raise TypeError("Cannot update using non-dict types in dictupdate.update()")
    target: Any = dest
    deep = recursive_update and bool(set(dest) & set(upd))
    for key in list(upd):
        mine, value = target.get(key) if deep else None, upd[key]
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            value = update(mine, value, merge_lists=merge_lists)
        elif merge_lists and isinstance(mine, list) and isinstance(value, list):
            value = copy.deepcopy(mine) + [each for each in value if each not in mine]
        elif merge_lists and strict and isinstance(mine, list) and isinstance(value, Mapping):
            raise TypeError(f"With merge_lists the list under {key!r} cannot be updated with a map.")
        target[key] = value
    return dest


def merge_list(obj_a: Any, obj_b: Any) -> dict[Any, Any]:
    """The first, in which what both have is a list of both."""
    return {key: [value, obj_b[key]] if key in obj_b else value for key, value in obj_a.items()}


def merge_recurse(obj_a: Any, obj_b: Any, merge_lists: bool = False) -> Any:
    """A new map: the second laid over the first."""
    return update(copy.deepcopy(obj_a), obj_b, merge_lists=merge_lists)


def merge_aggregate(obj_a: Any, obj_b: Any) -> Any:
    """A new map, in which what is marked as aggregated is joined."""
    return packed_leaf("requests", "pillar").aggregated(obj_a, obj_b)


def merge_overwrite(obj_a: Any, obj_b: Any, merge_lists: bool = False) -> Any:
    """The same as merge_recurse; what both have is in `obj_a` afterwards, too."""
    for key in obj_b:
        if key in obj_a:
            obj_a[key] = obj_b[key]
    return merge_recurse(obj_a, obj_b, merge_lists=merge_lists)


def merge(obj_a: Any, obj_b: Any, strategy: str = "smart", renderer: str = "yaml", merge_lists: bool = False) -> Any:
    """Two maps as one, by a strategy: smart, recurse, aggregate, overwrite, list or none."""
    if strategy == "smart":
        yamlex = renderer.split("|")[-1] == "yamlex" or renderer.startswith("yamlex_")
        strategy = "aggregate" if yamlex else "recurse"
    if strategy == "list":
        return merge_list(obj_a, obj_b)
    if strategy == "aggregate":
        return merge_aggregate(obj_a, obj_b)
    if strategy == "overwrite":
        return merge_overwrite(obj_a, obj_b, merge_lists)
    if strategy not in ("recurse", "none"):
        log.warning("Unknown merging strategy '%s', fallback to recurse", strategy)
    return merge_recurse(obj_a, obj_b, merge_lists and strategy == "recurse")


def ensure_dict_key(in_dict: Any, keys: str, delimiter: str = ":", ordered_dict: bool = False) -> Any:
    """The map itself, with a map in map for each of the keys; what is no map there goes."""
    inside = in_dict
    for key in keys.split(delimiter) if delimiter in keys else [keys]:
        if not isinstance(inside.get(key), dict):
            inside[key] = OrderedDict() if ordered_dict else {}
        inside = inside[key]
    return in_dict


def _place(in_dict: Any, keys: str, delimiter: str, ordered_dict: bool) -> tuple[Any, str]:
    """The map that holds the last of the keys, and this key."""
    if delimiter not in keys:
        return in_dict, keys
    before, _, last = keys.rpartition(delimiter)
    ensure_dict_key(in_dict, before, delimiter, ordered_dict)
    return traverse(in_dict, before.split(delimiter), None), last


def set_dict_key_value(in_dict: Any, keys: str, value: Any, delimiter: str = ":", ordered_dict: bool = False) -> Any:
    """The map itself, with a value under the keys."""
    inside, last = _place(in_dict, keys, delimiter, ordered_dict)
    inside[last] = value
    return in_dict


def _grown(
    in_dict: Any, keys: str, value: Any, delimiter: str, ordered_dict: bool, how: str, empty: Callable[[], Any]
) -> Any:
    inside, last = _place(in_dict, keys, delimiter, ordered_dict)
    if inside.get(last) is None:
        inside[last] = empty()
    try:
        getattr(inside[last], how)(value)
    except AttributeError:
        raise SaltInvocationError(f"The last key contains a {type(inside[last])}, which cannot {how}.") from None
    except (ValueError, TypeError):
        if how == "append":
            raise
        raise SaltInvocationError(f"Cannot {how} {type(inside[last])} with a {type(value)}.") from None
    return in_dict


def update_dict_key_value(in_dict: Any, keys: str, value: Any, delimiter: str = ":", ordered_dict: bool = False) -> Any:
    """The map itself, with the map under the keys updated."""
    empty = OrderedDict if ordered_dict else dict
    return _grown(in_dict, keys, value, delimiter, ordered_dict, "update", empty)


def append_dict_key_value(in_dict: Any, keys: str, value: Any, delimiter: str = ":", ordered_dict: bool = False) -> Any:
    """The map itself, with the list under the keys longer by a value."""
    return _grown(in_dict, keys, value, delimiter, ordered_dict, "append", list)


def extend_dict_key_value(in_dict: Any, keys: str, value: Any, delimiter: str = ":", ordered_dict: bool = False) -> Any:
    """The map itself, with the list under the keys longer by values."""
    return _grown(in_dict, keys, value, delimiter, ordered_dict, "extend", list)
