"""Maps, lists and what lies in them, by the names of Salt 3008's salt.utils.data."""

from __future__ import annotations

import copy
import datetime
import fnmatch
import hashlib
import logging
import random
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import salt.utils.dictupdate
from salt.exceptions import SaltException
from salt.utils.stringutils import to_bytes, to_unicode
from saltlite import packed_leaf
from saltlite import subdict_match as core_subdict_match

DEFAULT_TARGET_DELIM = ":"
ALGORITHMS_ATTR_NAME = "algorithms_guaranteed"

log = logging.getLogger(__name__)
filters: Any = packed_leaf("pillars", "lists")  # these are Jinja filters, too

compare_dicts, mysql_to_dict, is_list = filters.compare_dicts, filters.mysql_to_dict, filters.is_list


class CaseInsensitiveDict(MutableMapping[Any, Any]):
    """A map that finds its keys in any case, and keeps them as they came."""

    def __init__(self, init: Any = None, **kwargs: Any) -> None:
        self._data: dict[Any, tuple[Any, Any]] = {}
        self.update(init or {}, **kwargs)

    def __len__(self) -> int:
        return len(self._data)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._data[to_lowercase(key)] = key, value

    def __delitem__(self, key: Any) -> None:
        del self._data[to_lowercase(key)]

    def __getitem__(self, key: Any) -> Any:
        return self._data[to_lowercase(key)][1]

    def __iter__(self) -> Iterator[Any]:
        return (key for key, _ in self._data.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self.items_lower()) == dict(CaseInsensitiveDict(other).items_lower())

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def items_lower(self) -> Iterator[tuple[Any, Any]]:
        """Keys in lower case, with their values."""
        return ((lowered, value) for lowered, (_, value) in self._data.items())

    def copy(self) -> CaseInsensitiveDict:
        return CaseInsensitiveDict(self)


def _cased(data: Any, how: str, keep_class: bool) -> Any:
    if hasattr(data, how):
        return getattr(data, how)()
    if isinstance(data, Mapping):
        made: Any = type(data) if keep_class else dict
        return made((_cased(key, how, keep_class), _cased(value, how, keep_class)) for key, value in data.items())
    if isinstance(data, Sequence):
        kind: Any = type(data)
        return kind(_cased(each, how, keep_class) for each in data)
    return data


def to_lowercase(data: Any, preserve_dict_class: bool = False) -> Any:
    """Data with all texts in it, keys too, in lower case."""
    return _cased(data, "lower", preserve_dict_class)


def to_uppercase(data: Any, preserve_dict_class: bool = False) -> Any:
    return _cased(data, "upper", preserve_dict_class)


def compare_lists(old: Any = None, new: Any = None) -> dict[str, list[Any]]:
    """What one list has and the other not: `new` and `old`, if there is any."""
    sides = {"new": [each for each in new if each not in old], "old": [each for each in old if each not in new]}
    return {name: values for name, values in sides.items() if values}


# Texts and bytes


def _converted(data: Any, convert: Callable[[Any], Any], tuples: bool, above: tuple[int, ...] = ()) -> Any:
    """New data with every text, or every byte string, in maps and lists converted; what contains itself is None there.
    Tuples become lists, unless they are to stay; what a set holds stays as it is."""
    if not isinstance(data, Mapping | list | tuple):
        return convert(data)
    if id(data) in above:
        log.error("Data that contains itself: %r", data)
        return None
    path = (*above, id(data))
    if isinstance(data, Mapping):
        pairs = data.items()
        return {_converted(k, convert, tuples, path): _converted(v, convert, tuples, path) for k, v in pairs}
    items = [_converted(each, convert, tuples, path) for each in data]
    return tuple(items) if tuples and isinstance(data, tuple) else items


def _decoder(encoding: Any, errors: str, keep: bool, normalize: bool) -> Callable[[Any], Any]:
    def decoded(value: Any) -> Any:
        if isinstance(value, datetime.datetime):
            return value.isoformat()
        try:
            return (
                to_unicode(value, encoding, errors, normalize) if isinstance(value, str | bytes | bytearray) else value
            )
        except UnicodeDecodeError:
            if not keep:
                raise
            return value

    return decoded


def _encoder(encoding: Any, errors: str, keep: bool) -> Callable[[Any], Any]:
    def encoded(value: Any) -> Any:
        try:
            return to_bytes(value, encoding, errors) if isinstance(value, str | bytes | bytearray) else value
        except UnicodeEncodeError:
            if not keep:
                raise
            return value

    return encoded


def decode(
    data: Any,
    encoding: Any = None,
    errors: str = "strict",
    keep: bool = False,
    normalize: bool = False,
    preserve_dict_class: bool = False,
    preserve_tuples: bool = False,
    to_str: bool = False,
) -> Any:
    """Data with all its bytes as texts; `keep`: those that are none stay bytes. Maps are plain ones afterwards."""
    return _converted(data, _decoder(encoding, errors, keep, normalize), preserve_tuples)


def decode_dict(data: Any, *args: Any, **kwargs: Any) -> dict[Any, Any]:
    """`decode` of a map."""
    made: dict[Any, Any] = decode(dict(data.items()), *args, **kwargs)
    return made


def decode_list(data: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """`decode` of a list, or of all that something gives."""
    made: list[Any] = decode(list(data), *args, **kwargs)
    return made


def decode_tuple(
    data: Any,
    encoding: Any = None,
    errors: str = "strict",
    keep: bool = False,
    normalize: bool = False,
    preserve_dict_class: bool = False,
    to_str: bool = False,
) -> tuple[Any, ...]:
    """`decode` of a list, as a tuple, and so are those in it."""
    return tuple(decode_list(data, encoding, errors, keep, normalize, preserve_tuples=True))


def encode(
    data: Any,
    encoding: Any = None,
    errors: str = "strict",
    keep: bool = False,
    preserve_dict_class: bool = False,
    preserve_tuples: bool = False,
) -> Any:
    """Data with all its texts as bytes; `keep`: those that cannot be stay texts."""
    return _converted(data, _encoder(encoding, errors, keep), preserve_tuples)


def encode_dict(data: Any, *args: Any, **kwargs: Any) -> dict[Any, Any]:
    """`encode` of a map."""
    made: dict[Any, Any] = encode(dict(data.items()), *args, **kwargs)
    return made


def encode_list(data: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """`encode` of a list, or of all that something gives."""
    made: list[Any] = encode(list(data), *args, **kwargs)
    return made


def encode_tuple(
    data: Any, encoding: Any = None, errors: str = "strict", keep: bool = False, preserve_dict_class: bool = False
) -> tuple[Any, ...]:
    """`encode` of a list, as a tuple, and so are those in it."""
    return tuple(encode_list(data, encoding, errors, keep, preserve_tuples=True))


# What lies where


def exactly_n(iterable: Iterable[Any], amount: int = 1) -> bool:
    """Whether so many of the values, and no more, are true."""
    return sum(map(bool, iterable)) == amount


def exactly_one(iterable: Iterable[Any]) -> bool:
    return exactly_n(iterable)


def traverse_dict(data: Any, key: str, default: Any = None, delimiter: str = DEFAULT_TARGET_DELIM) -> Any:
    """What lies under a path of keys in maps."""
    try:
        for each in key.split(delimiter):
            data = data[each]
    except (KeyError, IndexError, TypeError):
        return default
    return data


def traverse_dict_and_list(data: Any, key: Any, default: Any = None, delimiter: str = DEFAULT_TARGET_DELIM) -> Any:
    """What lies under a path of keys in maps and lists, in which a number is a key of a map, or an index."""
    return filters.found_in(data, key, default, delimiter)


def subdict_match(
    data: Any, expr: str, delimiter: str = DEFAULT_TARGET_DELIM, regex_match: bool = False, exact_match: bool = False
) -> bool:
    """Whether `a:b:pattern` holds in data, as a target by grain does: a glob, an expression, or the value itself."""

    def like(value: Any, pattern: Any) -> bool:
        value, pattern = str(value).lower(), str(pattern).lower()
        if not regex_match:
            return value == pattern if exact_match else fnmatch.fnmatch(value, pattern)
        try:
            return re.match(pattern, value) is not None
        except re.error:
            log.error("Invalid regex '%s' in match", pattern)
            return False

    return core_subdict_match(data, expr, delimiter, like)


def filter_by(
    lookup_dict: Any, lookup: str, traverse: Any, merge: Any = None, default: str = "default", base: Any = None
) -> Any:
    """The entry of a table whose key, a glob, the value under `lookup` of `traverse` matches, else the default; over
    the entry `base`, and below `merge`."""
    values = traverse_dict_and_list(traverse, lookup, [])
    values = values if isinstance(values, list) else [values]
    hits = (lookup_dict[glob] for value in values for glob in lookup_dict if fnmatch.fnmatchcase(str(value), str(glob)))
    found = next((hit for hit in hits if hit is not None), None)
    found = lookup_dict.get(default) if found is None else found
    if base and base in lookup_dict:
        under = lookup_dict[base]
        if found is None:
            found = under
        elif isinstance(under, Mapping):
            if not isinstance(found, Mapping):
                raise SaltException("filter_by default and look-up values must both be dictionaries.")
            found = salt.utils.dictupdate.update(copy.deepcopy(under), found)
    if merge:
        if not isinstance(merge, Mapping):
            raise SaltException("filter_by merge argument must be a dictionary.")
        found = merge if found is None else salt.utils.dictupdate.update(found, copy.deepcopy(merge))
    return found


def get_value(obj: Any, path: str | None, default: Any = None) -> list[dict[str, Any]]:
    """What lies under a path, as maps with a `value`; a key in braces means all there, and is in the map, too."""
    if not path:
        return [{"value": obj}]
    key, _, below = path.partition(":")
    rest = below if ":" in path else None
    if key.startswith("{") and key.endswith("}"):
        if obj is None:
            return [{"value": None}]
        inside: Any = obj.items() if isinstance(obj, dict) else enumerate(obj) if isinstance(obj, list) else []
        return [{**each, key[1:-1]: name} for name, value in inside for each in get_value(value, rest, default)]
    if isinstance(obj, dict):
        return get_value(obj[key], rest, default) if key in obj else [{"value": default}]
    return [{"value": default if obj is not None else None}]


def substr_in_list(string_to_search_for: str, list_to_search: Iterable[str]) -> bool:
    """Whether one of the texts has this in it."""
    return any(string_to_search_for in text for text in list_to_search)


def json_query(data: Any, expr: str) -> Any:
    """What a JMESPath expression finds; RuntimeError where the package jmespath is not installed."""
    try:
        import jmespath  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise RuntimeError("json_query requires jmespath module installed") from None
    return jmespath.search(expr, data)


# Kinds of data


def is_dictlist(data: Any) -> bool:
    """Whether this is a list of maps of one key each."""
    return isinstance(data, list) and all(isinstance(each, dict) and len(each) == 1 for each in data)


def repack_dictlist(
    data: Any, strict: bool = False, recurse: bool = False, key_cb: Any = None, val_cb: Any = None
) -> dict[Any, Any]:
    """A list of maps of one key each, and of words, as one map; {} for what is none, and the log says why."""
    if isinstance(data, str):
        import salt.utils.yaml

        try:
            data = salt.utils.yaml.safe_load(data)
        except salt.utils.yaml.parser.ParserError as error:
            log.error(error)
            return {}
    why = "" if isinstance(data, list) else f"data passed is not a list ({data})"
    for each in [] if why else data:
        if isinstance(each, dict) and len(each) != 1:
            why = f"key/value pairs must contain only one element (data passed: {each})"
        elif not isinstance(each, dict | str | int | float):
            why = f"element {each} is not a string/dict/numeric value"
    made = {}
    for each in [] if why else data:
        key, value = next(iter(each.items())) if isinstance(each, dict) else (each, None)
        if is_dictlist(value) and recurse:
            value = repack_dictlist(value, recurse=recurse)
        elif is_dictlist(value) and strict:
            why = "nested dictlist found, but recurse is set to False"
        elif val_cb and isinstance(each, dict):
            value = val_cb(key, value)
        made[key_cb(key) if key_cb else key] = value
    if why:
        log.error("Invalid input for repack_dictlist: %s", why)
    return {} if why else made


def is_iter(thing: Any, ignore: Any = (str,)) -> bool:
    """Whether one can go through this, and it is no text."""
    if ignore and isinstance(thing, ignore):
        return False
    try:
        iter(thing)
    except TypeError:
        return False
    return True


def sorted_ignorecase(to_sort: Iterable[str]) -> list[str]:
    return sorted(to_sort, key=lambda text: text.lower())


def is_true(value: Any = None) -> bool:
    """Whether this says yes: a number above 0, `True` in any case, or what is not empty."""
    for kind in (int, float):
        try:
            value = kind(value)
        except (ValueError, TypeError):
            continue
    if isinstance(value, int | float):
        return value > 0
    return value.lower() == "true" if isinstance(value, str) else bool(value)


def simple_types_filter(data: Any) -> Any:
    """Maps and lists in which all else is texts, numbers and truth values: of other things, what repr says."""
    simple = str | int | float
    if isinstance(data, list | tuple):
        kept = simple | list | tuple
        return [
            simple_types_filter(each) if isinstance(each, dict | list)
            else each if each is None or isinstance(each, kept)
            else repr(each)
            for each in data
        ]  # fmt: skip
    if not isinstance(data, dict):
        return data
    return {
        key if key is None or isinstance(key, simple) else repr(key): simple_types_filter(value)
        if isinstance(value, dict | list | tuple)
        else value
        if value is None or isinstance(value, simple)
        else repr(value)
        for key, value in data.items()
    }


def stringify(data: Iterable[Any]) -> list[str]:
    """All that something gives, as texts."""
    return [each if isinstance(each, str) else str(each) for each in data]


def filter_falsey(data: Any, recurse_depth: int | None = None, ignore_types: Any = ()) -> Any:
    """Data without what is empty, nothing or 0; False stays, and so does what is of one of `ignore_types`."""

    def filtered(value: Any) -> Any:
        return filter_falsey(value, recurse_depth - 1, ignore_types) if recurse_depth else value

    def stays(value: Any) -> bool:
        return bool(isinstance(value, bool) or type(value) in ignore_types or value)

    kind: Any = type(data)
    if isinstance(data, dict):
        return kind([pair for pair in ((key, filtered(value)) for key, value in data.items()) if stays(pair[1])])
    return kind([value for value in map(filtered, data) if stays(value)]) if is_iter(data) else data


def flatten(data: Any, levels: int | None = None, preserve_nulls: bool = False, _ids: Any = None) -> list[Any]:
    """All that lies in lists in lists; a list that contains itself is a RecursionError."""
    above = _ids or set()
    if id(data) in above:
        raise RecursionError("Reference cycle detected. Check input list.")
    found: list[Any] = []
    for each in data:
        if not preserve_nulls and each in (None, "None", "null"):
            continue
        if is_iter(each) and (levels is None or levels >= 1):
            below = None if levels is None else int(levels) - 1
            found += flatten(each, below, preserve_nulls, above | {id(data)})
        else:
            found.append(each)
    return found


# Differences


def _ordered_diff(old: Any, new: Any, differ: Callable[[Any, Any], Any], ignored: Any) -> tuple[Any, Any]:
    """What is left of two ordered maps, place by place."""
    was, now = copy.deepcopy(old), copy.deepcopy(new)
    for key_old, key_new in zip(old, new, strict=False):
        if key_old != key_new:
            for left, key in ((was, key_old), (now, key_new)):
                if key in ignored:
                    del left[key]
        elif key_old in ignored or not (found := differ(old[key_old], new[key_new])):
            del was[key_old], now[key_new]
        else:
            was[key_old], now[key_new] = found["old"], found["new"]
    shorter = min(len(old), len(new))
    was.update({key: old[key] for key in list(old)[shorter:]})
    now.update({key: new[key] for key in list(new)[shorter:]})
    return was, now


def _map_diff(old: Any, new: Any, differ: Callable[[Any, Any], Any], ignored: Any, missing: bool) -> tuple[Any, Any]:
    was, now = copy.deepcopy(old), copy.deepcopy(new)
    for key in {*old, *new}:
        if key in ignored:
            was.pop(key, None)
            now.pop(key, None)
        elif key in old and key in new:
            if found := differ(old[key], new[key]):
                was[key], now[key] = found["old"], found["new"]
            else:
                del was[key], now[key]
        elif missing and key in old:
            del was[key]
    return was, now


def _list_diff(old: Any, new: Any, differ: Callable[[Any, Any], Any], anywhere: bool) -> tuple[Any, Any]:
    """What is left of two lists, member by member, or of each with all of the other."""
    was, now = list(copy.deepcopy(old)), list(copy.deepcopy(new))
    if anywhere:
        for each_old in old:
            for each_new in new:
                if not differ(each_old, each_new):
                    was.remove(each_old)
                    now.remove(each_new)
    else:
        pairs = [differ(*pair) for pair in zip(old, new, strict=False)]
        was = [pair["old"] for pair in pairs if pair] + was[len(pairs) :]
        now = [pair["new"] for pair in pairs if pair] + now[len(pairs) :]
    return type(old)(was), type(new)(now)


def recursive_diff(
    old: Any, new: Any, ignore_keys: Any = None, ignore_order: bool = False, ignore_missing_keys: bool = False
) -> dict[str, Any]:
    """{} for what is the same, else `old` and `new` with what differs. Ordered maps and lists are held against one
    another in their order, unless it is to be ignored."""

    def differ(one: Any, other: Any) -> dict[str, Any]:
        return recursive_diff(one, other, ignore_keys, ignore_order, ignore_missing_keys)

    ignored = ignore_keys or []
    if isinstance(old, OrderedDict) and isinstance(new, OrderedDict) and not ignore_order:
        was, now = _ordered_diff(old, new, differ, ignored)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        was, now = _map_diff(old, new, differ, ignored, ignore_missing_keys)
    elif isinstance(old, set) and isinstance(new, set):
        was, now = old - new, new - old
    elif is_iter(old) and is_iter(new):
        was, now = _list_diff(old, new, differ, ignore_order)
    elif old == new:
        return {}
    else:
        return {"old": copy.deepcopy(old), "new": copy.deepcopy(new)}
    return {"old": was, "new": now} if was or now else {}


# Chance, and entries


def hash(value: Any, algorithm: str = "sha512") -> str:  # noqa: A001
    """The digest of a text or of bytes."""
    if algorithm not in hashlib.algorithms_guaranteed and not hasattr(hashlib, algorithm):
        raise SaltException("You must specify a valid algorithm.")
    hasher = hashlib.new(algorithm)
    hasher.update(value.encode() if isinstance(value, str) else value)
    return hasher.hexdigest()


def sample(value: Any, size: int, seed: Any = None) -> list[Any]:
    """Some of the members, by chance, or as a seed says."""
    return (random if seed is None else random.Random(hash(seed))).sample(value, size)


def shuffle(value: Any, seed: Any = None) -> list[Any]:
    """All of the members, in another order."""
    return sample(value, len(value), seed)


def to_entries(data: Any) -> list[dict[str, Any]]:
    """A map or a list as maps with `key` and `value`."""
    if not isinstance(data, dict | list):
        raise SaltException("Input data must be a dict or list")
    return [{"key": k, "value": v} for k, v in (data.items() if isinstance(data, dict) else enumerate(data))]


def from_entries(entries: Iterable[Any]) -> dict[Any, Any]:
    """A map of maps that have a key, or a name, and a value, in whatever case."""
    made = {}
    for entry in map(CaseInsensitiveDict, entries):
        if key := entry.get("key") or entry.get("name"):
            made[key] = entry.get("value")
    return made
