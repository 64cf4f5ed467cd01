"""Salt's filters and tests of texts and numbers: expressions, cases, hashes, moments."""

from __future__ import annotations

import base64
import binascii
import datetime
import fnmatch
import functools
import hashlib
import hmac
import os
import pwd
import random
import re
import shlex
import uuid
from typing import Any

from saltlite import Failure, steps

MAX_RANDOM = 65536  # characters of a random text
STEPS_AT_ONCE = 100  # of a regular expression count as one of a template
SHORT = 16  # characters that any expression may be held against, whatever it repeats
NAMESPACE = uuid.UUID("91633EBF-1C86-5E33-935A-28061F4B480E")  # Salt's own, for the filter uuid
UNITS = "bkmgtpezy"


def as_bytes(value: Any, encoding: Any = None, errors: str = "strict") -> bytes:
    """The filter `to_bytes`."""
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if not isinstance(value, str):
        raise TypeError(f"a text is wanted, not a {type(value).__name__}")
    return value.encode(encoding or "utf-8", errors)


def as_text(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


# Regular expressions: the text may be a minion's, so what may take long is not begun.


def within_bounds(environment: Any, expression: Any, text: Any) -> None:
    """Take the steps of an expression, as far as they can be foreseen, from those that the templates have left."""
    cost = steps(str(expression), len(text))
    if cost == float("inf") and len(text) <= SHORT:
        cost = 2.0 ** len(text)
    if cost // STEPS_AT_ONCE > max(environment.meter[0], 0):
        raise Failure(f"the expression {str(expression)[:100]!r} may take too long on {len(text)} characters.")
    environment.spend(int(cost) // STEPS_AT_ONCE)


def flags(ignorecase: bool, multiline: bool) -> int:
    return (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)


def groups(found: re.Match[str] | None) -> Any:
    """The groups of a match, or all of it where the expression has none."""
    return found and (found.groups() or (found.group(),))


def regex_search(context: Any, text: Any, expression: Any, ignorecase: bool = False, multiline: bool = False) -> Any:
    within_bounds(context.environment, expression, text)
    return groups(re.search(expression, text, flags(ignorecase, multiline)))


def regex_match(context: Any, text: Any, expression: Any, ignorecase: bool = False, multiline: bool = False) -> Any:
    within_bounds(context.environment, expression, text)
    return groups(re.match(expression, text, flags(ignorecase, multiline)))


def regex_replace(
    context: Any, text: Any, expression: Any, new: str, ignorecase: bool = False, multiline: bool = False
) -> str:
    within_bounds(context.environment, expression, text)
    most = context.environment.meter[1] // max(1, len(text) + 1)
    if len(new) > most:
        raise Failure("regex_replace makes too long a text.")
    return re.sub(expression, new, text, flags=flags(ignorecase, multiline))


def match(context: Any, text: Any, expression: Any, ignorecase: bool = False, multiline: bool = False) -> bool:
    within_bounds(context.environment, expression, text)
    return re.match(expression, text, flags(ignorecase, multiline)) is not None


def listed_for(context: Any, value: Any, whitelist: Any = None, blacklist: Any = None) -> bool:
    """The filter `check_whitelist_blacklist`: globs and regular expressions; an empty list allows everything."""

    def on(patterns: Any) -> bool:
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            if not isinstance(value, str) or not isinstance(pattern, str):
                continue
            within_bounds(context.environment, pattern, value)
            if fnmatch.fnmatch(value, pattern):
                return True
            try:
                if re.match(rf"\A{pattern}\Z", value):
                    return True
            except re.error:
                pass
        return False

    return not (blacklist and on(blacklist)) and (not whitelist or on(whitelist))


# Cases, numbers, moments


def to_snake_case(text: str) -> str:
    found = text[0].lower()
    for at, letter in enumerate(text[1:], 1):
        ends = at == len(text) - 1
        if letter.isupper() and (text[at - 1].islower() or not ends and text[at + 1].islower()):
            found += "_"
        found += letter.lower()
    return found


def to_camelcase(text: str, uppercamel: bool = False) -> str:
    first, *others = text.split("_")
    return (first.capitalize() if uppercamel else first) + "".join(word.capitalize() for word in others)


def to_num(value: Any) -> Any:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def human_to_bytes(value: Any, default_unit: str = "B", handle_metric: bool = False) -> int:
    """Bytes of `2GB` or `2GiB`; 0 for what is no size. With `handle_metric` a `GB` is 1000 MB."""
    found = re.match(r"([0-9.]*)\s*(.*)$", str(value).strip())
    if not found:
        raise Failure("human_to_bytes wants a text of one line.")
    number, unit = to_num(found[1]), found[2].lower() or default_unit.lower()
    metric = re.match("[kmgtpezy]b$", unit)
    if isinstance(number, str) or not metric and not re.match("(b|[kmgtpezy](ib)?)$", unit):
        return 0
    power = UNITS.index(unit[0])
    return int(number * (10 ** (3 * power) if metric and handle_metric else 2 ** (10 * power)))


def is_hex(value: Any) -> bool:
    try:
        int(value, 16)
    except (TypeError, ValueError):
        return False
    return True


def to_bool(value: Any) -> bool:
    """Yes, 1 and true, numbers above 0 and what is not empty."""
    if isinstance(value, str):
        return value.lower() in ("yes", "1", "true")
    return value > 0 if isinstance(value, int) else isinstance(value, list | dict | set) and len(value) > 0


def strftime(value: Any = None, format: str = "%Y-%m-%d") -> str:  # noqa: A002
    """A moment, given in seconds since the epoch, as a text; nothing is now."""
    if len(format) > 1000 or re.search(r"%[^a-zA-Z%]*\d{3}", format):
        raise Failure("the format of a moment is too long.")
    if value is None:
        moment = datetime.datetime.now()
    elif isinstance(value, datetime.datetime):
        moment = value
    else:
        try:
            seconds = int(value) if isinstance(value, str) and value.isdigit() else float(value)
            moment = datetime.datetime.fromtimestamp(seconds)
        except (TypeError, ValueError, OverflowError, OSError):
            raise Failure(f"{str(value)[:100]!r} is no moment; give the seconds since 1970.") from None
    return moment.strftime(format)


# Hashes and chance


def hashed(kind: str, text: Any) -> str:
    return hashlib.new(kind, as_bytes(text)).hexdigest()


def base64_decode(text: Any) -> Any:
    try:
        return as_text(base64.b64decode(as_bytes(text)))
    except binascii.Error as error:
        raise Failure(f"this is not base64: {error}.") from None


def hmac_holds(text: Any, secret: Any, challenge: Any) -> bool:
    digest = hmac.new(as_bytes(secret), as_bytes(text), hashlib.sha256).digest()
    return hmac.compare_digest(base64.b64encode(digest), as_bytes(challenge))


def random_str(size: int = 32) -> str:
    if not 0 <= size <= MAX_RANDOM:
        raise Failure(f"a random text has up to {MAX_RANDOM} characters.")
    return base64.b64encode(os.urandom(size)).decode()[:size]


def random_hash(size: int = 9999999999, hash_type: str = "") -> str:
    return hashed(hash_type or "md5", str(random.SystemRandom().randint(0, size)))


def gen_mac(prefix: str = "AC:DE:48") -> str:
    return ":".join([prefix, *(f"{random.randint(0, 255):02X}" for _ in range(3))])


def mac_to_bytes(text: str) -> bytes:
    if len(text) == 17:
        text = text.replace(text[2], "")
    if len(text) != 12:
        raise Failure(f"{text[:40]!r} is no MAC address.")
    return bytes(int(text[at : at + 2], 16) for at in range(0, 12, 2))


def fail(message: Any) -> Any:
    """The global `raise`: a template that refuses to be filled in says why."""
    raise Failure(str(message)[:1000])


def get_uid(user: Any) -> int | None:
    """The number of a user of the master's machine, None if there is none."""
    try:
        return os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


CONTEXT_FILTERS = {
    "regex_search": regex_search,
    "regex_match": regex_match,
    "regex_replace": regex_replace,
    "check_whitelist_blacklist": listed_for,
}
CONTEXT_TESTS = {"match": match}
FILTERS = {
    "get_uid": get_uid,
    "regex_escape": re.escape,
    "to_snake_case": to_snake_case,
    "to_camelcase": to_camelcase,
    "to_num": to_num,
    "str_to_num": to_num,
    "to_bool": to_bool,
    "to_bytes": as_bytes,
    "human_to_bytes": human_to_bytes,
    "is_hex": is_hex,
    "contains_whitespace": lambda text: any(letter.isspace() for letter in text),
    "strftime": strftime,
    "date_format": strftime,
    "quote": shlex.quote,
    "uuid": lambda value: str(uuid.uuid5(NAMESPACE, value if isinstance(value, str) else as_bytes(value).decode())),
    "md5": functools.partial(hashed, "md5"),
    "sha1": functools.partial(hashed, "sha1"),
    "sha256": functools.partial(hashed, "sha256"),
    "sha512": functools.partial(hashed, "sha512"),
    "base64_encode": lambda value: base64.b64encode(as_bytes(value)).decode(),
    "base64_decode": base64_decode,
    "hmac": hmac_holds,
    "hmac_compute": lambda text, secret: hmac.new(as_bytes(secret), as_bytes(text), hashlib.sha256).hexdigest(),
    "random_str": random_str,
    "random_hash": random_hash,
    "rand_str": random_hash,
    "gen_mac": gen_mac,
    "mac_str_to_bytes": mac_to_bytes,
}
GLOBALS = {"raise": fail}
