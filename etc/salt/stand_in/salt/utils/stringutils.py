"""Texts, by the names of Salt 3008's salt.utils.stringutils; the encoding of the system is UTF-8."""

from __future__ import annotations

import difflib
import errno
import fnmatch
import logging
import re
import shlex
import time
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from saltlite import packed_leaf

log = logging.getLogger(__name__)
filters: Any = packed_leaf("pillars", "text")  # these are Jinja filters, too

to_num, is_hex, human_to_bytes = filters.to_num, filters.is_hex, filters.human_to_bytes
camel_to_snake_case, snake_to_camel_case = filters.to_snake_case, filters.to_camelcase

PLAIN = bytes(range(32, 127)) + b"\n\r\t\f\b"  # what text files are made of
WIDE = bytes(range(128, 255))  # and these, where they are UTF-8
MOST_ODD = 0.3  # of the bytes of a text


def _encodings(encoding: Any) -> list[str]:
    found = ["utf-8"] if encoding is None else list(encoding) if isinstance(encoding, tuple | list) else [encoding]
    if not found:
        raise ValueError("encoding cannot be empty")
    return found


def _first(convert: Any, encodings: list[str], errors: str) -> Any:
    """What the first of the encodings gives that fits; the error of the last if none does."""
    for encoding in encodings[:-1]:
        try:
            return convert(encoding, errors)
        except UnicodeError:
            continue
    return convert(encodings[-1], errors)


def to_bytes(s: Any, encoding: Any = None, errors: str = "strict") -> bytes:
    """A text as bytes, in the first of the encodings that has its letters."""
    encodings = _encodings(encoding)
    if isinstance(s, bytes | bytearray):
        return bytes(s)
    if isinstance(s, str):
        encoded: bytes = _first(s.encode, encodings, errors)
        return encoded
    raise TypeError(f"expected str, bytes, or bytearray not {type(s)}")


def to_str(s: Any, encoding: Any = None, errors: str = "strict", normalize: bool = False) -> str:
    """Bytes as a text, by the first of the encodings that fits; `normalize`: letters with marks as one sign each."""
    encodings = _encodings(encoding)
    if not isinstance(s, str | bytes | bytearray):
        raise TypeError(f"expected str, bytes, or bytearray not {type(s)}")
    text: str = s if isinstance(s, str) else _first(s.decode, encodings, errors)
    return unicodedata.normalize("NFC", text) if normalize else text


to_unicode = to_str


def to_none(text: Any) -> Any:
    """None for what has nothing but blanks."""
    return text if str(text).strip() else None


def is_quoted(value: Any) -> str:
    """The quote that a text is wrapped in, or none."""
    return value[0] if isinstance(value, str) and value[0] == value[-1] and value[0] in "'\"" else ""


def dequote(value: Any) -> Any:
    """A text without the quotes that it is wrapped in."""
    return value[1:-1] if is_quoted(value) else value


def is_binary(data: Any) -> bool:
    """Whether a text or bytes look like no text: a NUL, or too many bytes that texts do not have."""
    if not data or not isinstance(data, str | bytes):
        return False
    data = to_bytes(data)
    if b"\0" in data:
        return True
    letters = PLAIN + WIDE
    try:
        data.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":  # a letter that was cut
            letters = PLAIN
    return len(data.translate(None, letters)) / len(data) > MOST_ODD


def random(size: int = 32) -> str:
    """A text that nobody can foretell."""
    import base64
    import os

    return base64.b64encode(os.urandom(size)).decode()[:size]


def contains_whitespace(text: Iterable[str]) -> bool:
    return any(letter.isspace() for letter in text)


def build_whitespace_split_regex(text: str) -> str:
    """An expression that finds a text whatever blanks and line ends stand between its words."""
    blanks, lines = r"(?:[\s]+)?", []
    for line in text.splitlines():
        lexer = shlex.shlex(line)
        lexer.whitespace_split, lexer.commenters = True, ""
        if "'\\\"" in line:
            lexer.quotes = ""
        elif "'" in line:
            lexer.quotes = '"'
        elif '"' in line:
            lexer.quotes = "'"
        lines.append(blanks + blanks.join(map(re.escape, lexer)) + blanks)
    return f"(?m)^{''.join(lines)}$"


def expr_match(line: Any, expr: Any) -> bool:
    """Whether a text is what a glob, or else a regular expression, means as a whole."""
    if not isinstance(line, str) or not isinstance(expr, str):
        log.error("Value %r or expression %r is not a string", line, expr)
        return False
    try:
        return fnmatch.fnmatch(line, expr) or re.match(rf"\A{expr}\Z", line) is not None
    except re.error:
        return False


def check_whitelist_blacklist(value: Any, whitelist: Any = None, blacklist: Any = None) -> bool:
    """Whether a value is on the one list, if that has anything, and not on the other; both are of expressions."""

    def listed(name: str, listing: Any) -> bool:
        patterns = [listing] if isinstance(listing, str) else listing
        if not hasattr(patterns, "__iter__"):
            raise TypeError(f"Expecting iterable {name}, but got {type(listing).__name__} ({listing})")
        return any(expr_match(value, pattern) for pattern in patterns)

    forbidden = bool(blacklist) and listed("blacklist", blacklist)
    return (listed("whitelist", whitelist) if whitelist else True) and not forbidden


def check_include_exclude(path_str: str, include_pat: Any = None, exclude_pat: Any = None) -> bool:
    """Whether a path is included, if anything is, and not excluded: globs, and `E@` with an expression found in it."""

    def among(patterns: Any) -> bool:
        return any(
            bool(re.search(each[2:], path_str)) if re.match("E@", each) else fnmatch.fnmatch(path_str, each)
            for each in (patterns if isinstance(patterns, list) else [patterns])
        )

    return (not include_pat or among(include_pat)) and not (exclude_pat and among(exclude_pat))


def print_cli(msg: Any, retries: int = 10, step: float = 0.01) -> None:
    """Print a line; whoever has stopped reading is no error, and who is slow is tried again."""
    for left in reversed(range(retries)):
        try:
            try:
                print(msg)
            except UnicodeEncodeError:
                print(msg.encode("utf-8"))
            return
        except OSError as error:
            if error.errno == errno.EPIPE:
                return
            if error.errno != errno.EAGAIN and "temporarily unavailable" not in str(error):
                raise
            if left:
                time.sleep(step)


def get_context(template: str, line: int, num_lines: int = 5, marker: str | None = None) -> str:
    """The lines around one of a text, with a marker behind that one."""
    lines = template.splitlines()
    if line > len(lines):
        return template
    first, behind = max(0, line - num_lines - 1), min(len(lines), line + num_lines)
    shown = ["[...]"] * (first > 0) + lines[first:behind] + ["[...]"] * (behind < len(lines))
    if marker:
        shown[line - first - 1 + (first > 0)] += marker
    return "\n".join(["---", *shown, "---"])


def get_diff_list(a: Any, b: Any, *args: Any, **kwargs: Any) -> Iterator[str]:
    """The lines of a unified diff of two lists of lines."""
    from salt.utils.data import decode_list

    sides = [decode_list(side, encoding=("utf-8", "latin-1")) for side in (a, b)]
    return difflib.unified_diff(*sides, *args, **kwargs)


def get_diff(a: Any, b: Any, *args: Any, **kwargs: Any) -> str:
    """A unified diff of two lists of lines."""
    return "".join(get_diff_list(a, b, *args, **kwargs))


def get_conditional_diff(
    a: Any,
    b: Any,
    *args: Any,
    ignore_ordering: bool = True,
    ignore_whitespace: bool = True,
    ignore_comment_characters: Any = "#",
    **kwargs: Any,
) -> tuple[bool, str]:
    """Whether two lists of lines differ in more than what is ignored, each of which ignores the order, too; and their
    diff."""
    comments = [ignore_comment_characters] if isinstance(ignore_comment_characters, str) else ignore_comment_characters
    if comments is not None and not isinstance(comments, list):
        log.warning("ignore_comment_characters must be set to a string or list")
    comments = comments if isinstance(comments, list) else []
    diff = list(get_diff_list(a, b, *args, **kwargs))
    if not (ignore_ordering or ignore_whitespace or comments):
        return bool(diff), "".join(diff)
    sides: dict[str, list[str]] = {"+": [], "-": []}
    for line in diff:
        if line[:1] not in sides or line[:3] in ("+++", "---"):
            continue
        text = line[1:]
        for comment in comments:
            text = text.partition(comment)[0] if comment else ""
        if text := text.strip() if ignore_whitespace else text:
            sides[line[0]].append(text)
    return sorted(sides["+"]) != sorted(sides["-"]), "".join(diff)
