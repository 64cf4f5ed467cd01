"""Salt's filters and tests of lists and maps."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from saltlite import Failure, packed_leaf, traverse

few: Callable[[Iterable[Any]], list[Any]] = packed_leaf("pillars", "sandbox").few

MAX_COMPARED = 1000  # lists and maps, each with each other
MAX_LONG = 1000  # items of one combination


def hashable(*values: Any) -> bool:
    """Whether Salt takes the values for sets, not for lists."""
    return all(isinstance(value, Hashable) for value in values)


class Among:
    """Values that others are looked for in, quickly: a minion's list may be long."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self.hashed: set[Any] = set()
        self.others: list[Any] = []
        self.text = values if isinstance(values, str) else None
        for value in () if self.text is not None else values:
            self.add(value)

    def __contains__(self, value: Any) -> bool:
        if self.text is not None:
            return value in self.text  # which raises for what is no text
        try:
            return value in self.hashed
        except TypeError:
            return value in self.others

    def add(self, value: Any) -> None:
        try:
            self.hashed.add(value)
        except TypeError:
            self.others.append(value)
            if len(self.others) > MAX_COMPARED:
                raise Failure(f"more than {MAX_COMPARED:,} lists and maps are not compared with one another.") from None


def unique(values: Any) -> Any:
    if hashable(values):
        return set(values)
    found, known = [], Among()
    for value in values:
        if value not in known:
            known.add(value)
            found.append(value)
    return found


def union(one: Any, other: Any) -> Any:
    return set(one) | set(other) if hashable(one, other) else unique(one + other)


def intersect(one: Any, other: Any) -> Any:
    known = Among(other)
    return set(one) & set(other) if hashable(one, other) else unique([each for each in one if each in known])


def difference(one: Any, other: Any) -> Any:
    known = Among(other)
    return set(one) - set(other) if hashable(one, other) else unique([each for each in one if each not in known])


def symmetric_difference(one: Any, other: Any) -> Any:
    if hashable(one, other):
        return set(one) ^ set(other)
    both = Among(intersect(one, other))
    return unique([each for each in union(one, other) if each not in both])


def avg(values: Any) -> float:
    return float(values) if hashable(values) else float(sum(values) / len(values))


def sequence(value: Any) -> Any:
    return value if isinstance(value, list | tuple | set | dict) else [value]


def is_iter(value: Any) -> bool:
    return not isinstance(value, str) and hasattr(value, "__iter__")


def flatten(values: Any, levels: Any = None, preserve_nulls: bool = False) -> list[Any]:
    """All that lies in lists in lists; nothings are left out, and so are texts that mean nothing."""
    found: list[Any] = []
    for value in values:
        if not preserve_nulls and value in (None, "None", "null"):
            continue
        if is_iter(value) and (levels is None or levels >= 1):
            found += flatten(value, None if levels is None else int(levels) - 1, preserve_nulls)
        else:
            found.append(value)
    return found


def compare_dicts(old: Any = None, new: Any = None) -> dict[Any, Any]:
    found = {}
    for key in set(new or {}) | set(old or {}):
        if key not in old:
            found[key] = {"old": "", "new": new[key]}
        elif key not in new:
            found[key] = {"new": "", "old": old[key]}
        elif new[key] != old[key]:
            found[key] = {"old": old[key], "new": new[key]}
    return found


def compare_lists(old: Any = None, new: Any = None) -> dict[str, Any]:
    was, now = Among(old), Among(new)
    sides = {"new": [each for each in new if each not in was], "old": [each for each in old if each not in now]}
    return {name: values for name, values in sides.items() if values}


def exactly(iterable: Any, amount: int = 1) -> bool:
    return sum(1 for value in iterable if value) == amount


def to_entries(data: Any) -> list[dict[str, Any]]:
    if not isinstance(data, dict | list):
        raise Failure("to_entries takes a map or a list.")
    return [
        {"key": key, "value": value} for key, value in (data.items() if isinstance(data, dict) else enumerate(data))
    ]


def from_entries(entries: Any) -> dict[Any, Any]:
    """A map of entries that have a key, or a name, and a value, in whatever case."""
    found = {}
    for entry in entries:
        lowered = {str(key).lower(): value for key, value in entry.items()}
        if key := lowered.get("key") or lowered.get("name"):
            found[key] = lowered.get("value")
    return found


def mysql_to_dict(lines: Any, key: str) -> dict[Any, Any]:
    """What the mysql client prints as a table, as maps by the values of one column."""
    to_num = packed_leaf("pillars", "text").to_num
    found: dict[Any, Any] = {}
    names: list[str] = []
    for line in lines:
        if not line or line.startswith("+"):
            continue
        cells = [cell.strip() for cell in line.split("|")]
        if len(names) < 2:
            names = cells
            continue
        row = {names[at]: to_num(cells[at]) for at in range(1, len(names) - 1)}
        found[row[key]] = row
    return found


def sample(values: Any, size: int, seed: Any = None) -> list[Any]:
    return (random if seed is None else random.Random(hash(seed))).sample(values, size)


def found_in(data: Any, key: Any, default: Any = None, delimiter: str = ":") -> Any:
    """The filter `traverse`: what lies under a path of keys; of a text or a tuple too, by index."""
    keys: list[Any] = key.split(delimiter) if isinstance(key, str) else [key] if isinstance(key, int) else list(key)
    for at, each in enumerate(keys):
        if isinstance(data, dict | list) and isinstance(each, str):
            missing = object()
            data = traverse(data, [each], missing)
            if data is missing:
                return default
            continue
        holder = next((one for one in data if isinstance(one, dict) and each in one), data) if is_list(data) else data
        try:
            data = holder[each]
        except (KeyError, TypeError):
            return default
        except IndexError:
            if not is_list(data):
                raise Failure(f"traverse: there is no {keys[: at + 1]} in a {type(data).__name__}.") from None
            return default
    return data


def is_list(value: Any) -> bool:
    return isinstance(value, list)


def place(data: Any, keys: str, delimiter: str) -> tuple[Any, str]:
    """The map that the last of a path of keys stands in, made where it is not there, and that key."""
    *path, last = keys.split(delimiter)
    for key in path:
        if not isinstance(data.get(key), dict):
            data[key] = {}
        data = data[key]
    return data, last


def changed(how: str, data: Any, keys: str, value: Any, delimiter: str = ":", ordered_dict: bool = False) -> Any:
    """A map in which the value under a path of keys is set, updated, appended to or extended; itself is changed."""
    inside, last = place(data, keys, delimiter)
    if how == "set":
        inside[last] = value
        return data
    kind: type = dict if how == "update" else list
    if inside.get(last) is None:
        inside[last] = kind()
    if not isinstance(inside[last], kind):
        raise Failure(f"{keys} holds a {type(inside[last]).__name__}, which cannot {how}.")
    try:
        getattr(inside[last], how)(value)
    except (TypeError, ValueError):
        raise Failure(f"{keys} cannot {how} by a {type(value).__name__}.") from None
    return data


def encoded(value: Any) -> Any:
    """All texts in data as bytes."""
    if isinstance(value, dict):
        return {encoded(key): encoded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [encoded(each) for each in value]
    return value.encode() if isinstance(value, str) else value


def encode_dict(data: Any) -> Any:
    """The filters `json_encode_dict` and, in Salt the same, `json_decode_dict`."""
    return {encoded(key): encoded(value) for key, value in data.items()}


def encode_list(data: Any) -> Any:
    return [encoded(value) for value in data]


def called(context: Any, value: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """The filter `method_call`: what the sandbox lets a template call; None where there is no such method."""
    environment = context.environment
    if name.startswith("_") or not hasattr(value, name):
        return None
    return environment.call(context, environment.getattr(value, name), *args, **kwargs)


def lazily(make: Callable[..., Iterable[Any]]) -> Callable[..., list[Any]]:
    """A function of itertools as a filter, which makes no long tuples of few values either."""

    def made(*args: Any, **kwargs: Any) -> list[Any]:
        if any(isinstance(arg, int) and arg > MAX_LONG for arg in [*args, *kwargs.values()]):
            raise Failure(f"a filter makes lists of more than {MAX_LONG:,} items.")
        return few(make(*args, **kwargs))

    return made


CONTEXT_FILTERS = {"method_call": called}
FILTERS: dict[str, Any] = {
    "unique": unique,
    "union": union,
    "intersect": intersect,
    "difference": difference,
    "symmetric_difference": symmetric_difference,
    "min": min,
    "max": max,
    "avg": avg,
    "sequence": sequence,
    "skip": lambda value: "",
    "is_list": is_list,
    "is_iter": is_iter,
    "flatten": flatten,
    "compare_dicts": compare_dicts,
    "compare_lists": compare_lists,
    "exactly_n_true": exactly,
    "exactly_one_true": exactly,
    "substring_in_list": lambda text, values: any(text in value for value in values),
    "sorted_ignorecase": lambda values: sorted(values, key=lambda value: value.lower()),
    "to_entries": to_entries,
    "from_entries": from_entries,
    "mysql_to_dict": mysql_to_dict,
    "random_sample": sample,
    "random_shuffle": lambda values, seed=None: sample(values, len(values), seed),
    "traverse": found_in,
    "combinations": lazily(itertools.combinations),
    "combinations_with_replacement": lazily(itertools.combinations_with_replacement),
    "compress": lambda values, which: list(itertools.compress(values, which)),
    "permutations": lazily(itertools.permutations),
    "product": lazily(itertools.product),
    "zip": lazily(zip),
    "zip_longest": lazily(itertools.zip_longest),
}
FILTERS |= {f"{how}_dict_key_value": functools.partial(changed, how) for how in ("set", "update", "append", "extend")}
FILTERS |= {f"json_{way}_dict": encode_dict for way in ("encode", "decode")}
FILTERS |= {f"json_{way}_list": encode_list for way in ("encode", "decode")}
TESTS = {"list": is_list, "equalto": lambda value, other: value == other}
