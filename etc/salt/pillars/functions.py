"""The table `salt` of pillar's templates: functions that answer from what the master knows, of this minion only.

FUNCTIONS is what every template finds; COMMANDS is there for an operator who lists the name in pillar_functions."""

from __future__ import annotations

import copy
import fnmatch
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from saltlite import Failure, Option, merged, options_of, packed_leaf, read, traverse

process: Any = packed_leaf("pillars", "process")

MAX_FOUND = 10_000  # paths that file.find gives
MAX_HASHED = 16 << 20  # bytes of a file that file_hashsum reads
HASHES = {"md5", "sha1", "sha224", "sha256", "sha384", "sha512"}
TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
MORE_TEXT = bytes(range(128, 255))  # in UTF-8
MISSING = object()
KINDS = {"f": os.path.isfile, "d": os.path.isdir, "l": os.path.islink}
PRINTED: dict[str, Callable[[str, str], Any]] = {  # of a path, and of where it really is
    "path": lambda path, real: path,
    "name": lambda path, real: os.path.basename(path),
    "size": lambda path, real: os.stat(real).st_size,
    "type": lambda path, real: next((kind for kind in "lfd" if KINDS[kind](real)), "?"),
}


def under(data: Any, key: Any, default: Any, delimiter: str = ":") -> Any:
    found = traverse(data, str(key).split(delimiter), default)
    return found if found is default else copy.deepcopy(found)


# What the minion says of itself


def grains_get(pillar: Any, key: Any, default: Any = "", delimiter: str = ":", ordered: bool = True) -> Any:
    return under(pillar.shown, key, default, delimiter)


def grains_has_value(pillar: Any, key: Any) -> bool:
    return traverse(pillar.shown, str(key).split(":"), MISSING) is not MISSING


def grains_items(pillar: Any) -> Any:
    return copy.deepcopy(pillar.shown)


def grains_item(pillar: Any, *keys: Any, default: Any = "", delimiter: str = ":") -> Any:
    return {key: under(pillar.shown, key, default, delimiter) for key in keys}


def filtered(data: Any, table: Any, key: Any, merge: Any, default: Any, base: Any) -> Any:
    """The entry of a table whose key, a glob, the value under `key` matches; over `base`, and below `merge`."""
    values = traverse(data, str(key).split(":"), [])
    values = values if isinstance(values, list) else [values]
    hits = (table[glob] for value in values for glob in table if fnmatch.fnmatchcase(str(value), str(glob)))
    found = copy.deepcopy(next((hit for hit in hits if hit is not None), table.get(default)))
    if base and base in table:
        under_it = copy.deepcopy(table[base])
        if found is None or not isinstance(under_it, dict):
            found = under_it if found is None else found
        elif isinstance(found, dict):
            found = merged(under_it, found)
        else:
            raise Failure("filter_by: the value that was found is no map, and that of base is one.")
    if merge and not isinstance(merge, dict):
        raise Failure("filter_by: merge must be a map.")
    return found if not merge else merged(found or {}, merge)


def grains_filter_by(
    pillar: Any,
    lookup_dict: Any,
    grain: Any = "os_family",
    merge: Any = None,
    default: Any = "default",
    base: Any = None,
) -> Any:
    return filtered(pillar.shown, lookup_dict, grain, merge, default, base)


# What is compiled already, and how the master is configured


def pillar_get(
    pillar: Any, key: Any, default: Any = MISSING, merge: bool = False, delimiter: str = ":", **options: Any
) -> Any:
    """A value of the pillar so far: of ext_pillar, with ext_pillar_first, and else of none."""
    if strange := options.keys() - {"merge_nested_lists", "unmask"}:
        raise Failure(f"pillar.get takes no {', '.join(sorted(strange))} in a template.")
    default = "" if default is MISSING else default
    found = under(pillar.known, key, MISSING, delimiter)
    if found is MISSING or found is None and merge:
        return default
    if merge and isinstance(default, dict) and isinstance(found, dict):
        return merged(default, found)
    if merge and isinstance(default, list) and isinstance(found, list):
        return [*default, *(each for each in found if each not in default)]
    return found


def pillar_items(pillar: Any) -> Any:
    return copy.deepcopy(pillar.known)


def config_get(
    pillar: Any,
    key: Any,
    default: Any = "",
    delimiter: str = ":",
    omit_opts: bool = False,
    omit_grains: bool = False,
    omit_pillar: bool = False,
    omit_master: bool = False,
) -> Any:
    """An option of the master, else a grain, else a value of the pillar so far."""
    row = options_of("master").get(str(key).split(delimiter)[0])
    if isinstance(row, Option) and row.private and not omit_opts:
        raise Failure(f"the option {key} is not shown to templates; write its value into the file.")
    places = ((pillar.public, omit_opts), (pillar.shown, omit_grains), (pillar.known, omit_pillar))
    for data in [data for data, omit in places if not omit]:
        if (found := under(data, key, MISSING, delimiter)) is not MISSING:
            return found
    return default


def pillar_filter_by(
    pillar: Any, lookup_dict: Any, key: Any, merge: Any = None, default: Any = "default", base: Any = None
) -> Any:
    """Its second argument is called `pillar` in Salt, and given by its place."""
    return filtered(pillar.known, lookup_dict, key, merge, default, base)


# Whether the minion is meant


def chosen(pillar: Any, pairs: Any, tgt_type: str, merge: Any, merge_lists: bool, default: Any) -> Any:
    """The value of the first pair whose target is this minion, with `merge` laid over it; else the default."""
    if merge and not isinstance(merge, dict):
        raise Failure("merge must be a map.")
    for target, value in pairs:
        words = str(target).split() if tgt_type in ("compound", "nodegroup") else []
        pattern = "pcre" in tgt_type or any(re.match("E@|P.?@|J.?@", word) for word in words)
        if pattern and not literal(pillar, target):
            raise Failure(f"the target {target!r}: no template of this pillar has this regular expression as it is.")
        if target is not False and pillar.meant("*" if target is True else target, tgt_type):
            value = copy.deepcopy(value)
            if merge and not isinstance(value, dict | type(None)):
                raise Failure(f"merge needs a map to be laid over, and {target!r} has {value!r}.")
            return merged(value or {}, merge, merge_lists) if merge else value
    return default


def own_id(pillar: Any, minion_id: Any) -> None:
    if minion_id not in (None, pillar.minion_id):
        raise Failure(f"minion_id={minion_id!r}: a template can only be asked of the minion whose pillar it makes.")


def match_filter_by(
    pillar: Any,
    lookup: Any,
    tgt_type: str = "compound",
    minion_id: Any = None,
    merge: Any = None,
    merge_lists: bool = False,
    default: Any = "default",
) -> Any:
    own_id(pillar, minion_id)
    return chosen(pillar, lookup.items(), tgt_type, merge, merge_lists, lookup.get(default))


def match_ifelse(
    pillar: Any,
    *args: Any,
    tgt_type: str = "compound",
    minion_id: Any = None,
    merge: Any = None,
    merge_lists: bool = False,
) -> Any:
    own_id(pillar, minion_id)
    if len(args) % 2 == 0:
        raise Failure("ifelse needs pairs of a target and a value, and behind them one value more.")
    return chosen(pillar, zip(args[::2], args[1::2], strict=False), tgt_type, merge, merge_lists, args[-1])


# Files beneath the roots; templates learn of no other


def beneath(pillar: Any, path: Any) -> str:
    """A path, if it lies beneath one of the pillar_roots or file_roots; Failure otherwise."""
    name = str(path)
    roots = [
        root for kind in ("pillar_roots", "file_roots") for listed in pillar.opts[kind].values() for root in listed
    ]
    if "\0" not in name and len(name) < 4096:
        written, real = os.path.normpath(name), os.path.realpath(name)
        for root in roots:
            tops = os.path.normpath(root), os.path.realpath(root)
            if any(f"{written}/".startswith(f"{top}/") for top in tops) and f"{real}/".startswith(f"{tops[1]}/"):
                return real
    raise Failure(f"{name[:200]!r} is not beneath pillar_roots or file_roots, and templates see no other files.")


def file_exists(pillar: Any, path: Any) -> bool:
    return os.path.isfile(beneath(pillar, path))


def directory_exists(pillar: Any, path: Any) -> bool:
    return os.path.isdir(beneath(pillar, path))


def file_find(
    pillar: Any,
    path: Any,
    name: str = "",
    iname: str = "",
    type: str = "",  # noqa: A002
    mindepth: int = 0,
    maxdepth: int | None = None,
    print: str = "path",  # noqa: A002
) -> list[Any]:
    """The paths beneath a directory, itself among them, that have this name (a glob) and type, sorted; or what `print`
    says of each: a list, if that is more than one word."""
    top, shown = str(path).rstrip("/"), print.replace(",", " ").split() or ["path"]
    if strange := [word for word in shown if word not in PRINTED]:
        raise Failure(f"file.find: print in a template is made of {', '.join(PRINTED)}, not {', '.join(strange)}.")
    real = beneath(pillar, path)
    if type and not set(type) <= set(KINDS):
        raise Failure(f"file.find: a type in a template is made of {', '.join(KINDS)}, not {type!r}.")

    def wanted(full: str) -> bool:
        base = os.path.basename(full)
        named = (not name or fnmatch.fnmatchcase(base, name)) and (
            not iname or fnmatch.fnmatchcase(base.lower(), iname.lower())
        )
        return named and (not type or any(KINDS[each](full) for each in type))

    found = [top] if mindepth < 1 and os.path.lexists(real) and wanted(real) else []
    for directory, inside, files in os.walk(real):
        depth = 1 if directory == real else os.path.relpath(directory, real).count("/") + 2
        if depth >= mindepth and (maxdepth is None or depth <= maxdepth):
            paths = [f"{directory}/{each}" for each in inside + files]
            found += [top + full[len(real) :] for full in paths if wanted(full)]
        if maxdepth is not None and depth > maxdepth:
            inside[:] = []
        if len(found) > MAX_FOUND:
            raise Failure(f"file.find: more than {MAX_FOUND:,} paths lie beneath {top}.")
    rows = [[PRINTED[word](each, real + each[len(top) :]) for word in shown] for each in found]
    return sorted(row if len(shown) > 1 else row[0] for row in rows)


# The same as filters, of Jinja's context. They see nothing beneath the roots that a function does not


def hashsum(context: Any, path: Any, form: str = "sha256") -> str:
    """The hash of a file, in hexadecimal."""
    if form not in HASHES:
        raise Failure(f"file_hashsum: {form!r} is no hash; it may be {', '.join(sorted(HASHES))}.")
    content = read(Path(context.environment.beneath(path)), MAX_HASHED)
    return hashlib.new(form, content).hexdigest()


def start_of(context: Any, path: Any, size: int) -> bytes | None:
    """How a file begins; None if it cannot be read."""
    try:
        with open(context.environment.beneath(path), "rb") as file:
            return file.read(size)
    except OSError:
        return None


def is_empty(context: Any, path: Any) -> bool:
    try:
        return os.stat(context.environment.beneath(path)).st_size == 0
    except OSError:
        return False


def looks_binary(data: bytes) -> bool:
    """Whether bytes have a NUL, or more than three in ten are no letters of a text."""
    letters = TEXT
    try:
        data.decode()
        letters += MORE_TEXT
    except UnicodeDecodeError as error:
        letters += MORE_TEXT if error.reason == "unexpected end of data" else b""
    return b"\0" in data or len(data.translate(None, letters)) / max(1, len(data)) > 0.3


def is_text_file(context: Any, path: Any) -> bool:
    start = start_of(context, path, 512)
    return start is not None and not looks_binary(start)


def is_bin_file(context: Any, path: Any) -> bool:
    start = start_of(context, path, 2048)
    return start is not None and looks_binary(start)


def list_files(context: Any, directory: Any) -> list[str]:
    """A directory and all beneath it, through links too, sorted; Salt gives them in no order."""
    top = str(directory)
    found, seen, left = [top], set[str](), [top]
    while left:
        here = left.pop()
        real = context.environment.beneath(here)
        if real in seen or not os.path.isdir(real):
            continue
        seen.add(real)
        paths = [os.path.join(here, name) for name in os.listdir(real)]
        found += paths
        left += [path for path in paths if os.path.isdir(path)]
        if len(found) > MAX_FOUND:
            raise Failure(f"list_files: more than {MAX_FOUND:,} paths lie beneath {top}.")
    return sorted(found)


def path_join(*parts: str) -> str:
    """One path, each part relative to the one before it, whatever it begins with."""
    first, *others = map(os.path.normpath, parts)
    return os.path.normpath(os.path.join(first, *(part.lstrip("/") for part in others)))


def refused(name: str, why: str) -> Any:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise Failure(f"the filter {name} {why}.")

    return refuse


def pillar_file_exists(pillar: Any, path: Any, saltenv: Any = None) -> bool:
    """Whether a file is there, relative to the roots of an environment, or of any."""
    environments = [saltenv] if saltenv else list(pillar.roots)
    return any(pillar.path(env, os.path.normpath(str(path))) for env in environments)


# Others


def runner(pillar: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """saltutil.runner: mine.get, with what this minion may get of the mine and no more."""
    if name != "mine.get":
        raise Failure(f"templates have no runner but mine.get, and none named {name!r}.")
    return mine_get(pillar, *args, **kwargs)


def mine_get(pillar: Any, tgt: Any = None, fun: Any = None, tgt_type: Any = "glob") -> Any:
    words = str(tgt).split() if tgt_type in ("compound", "nodegroup") else []
    if tgt_type in ("pcre", "grain_pcre", "pillar_pcre") or any(re.match("E@|P.?@|J.?@", word) for word in words):
        raise Failure("mine.get takes no regular expression here; name the minions by glob, list, grain or nodegroup.")
    return pillar.mine(tgt, fun, tgt_type)


def literal(pillar: Any, word: str) -> bool:
    """Whether a template of this pillar has the word as it is, between quotes."""
    literals = packed_leaf("pillars", "sandbox").literals
    return any(word in literals(pillar.files.text(path)) for path in pillar.used)


def cmd_run(pillar: Any, cmd: Any, **options: Any) -> Any:
    """What a command prints. Its text must stand in a file: a minion's words do not become one."""
    if strange := options.keys() - {"cwd", "python_shell", "timeout", "ignore_retcode"}:
        raise Failure(f"cmd.run takes no {', '.join(sorted(strange))} in a template.")
    if not isinstance(cmd, str) or not literal(pillar, cmd):
        raise Failure(
            "cmd.run: no template of this pillar has the command as it is between quotes; put no values into it."
        )
    cwd = options.get("cwd")
    if cwd is not None and not (isinstance(cwd, str) and literal(pillar, cwd)):
        raise Failure("cmd.run: no template of this pillar has cwd as it is between quotes; put no values into it.")
    seconds = min(process.MAX_SECONDS, float(options.get("timeout") or process.MAX_SECONDS))
    ended = process.run(f"the command {cmd[:100]!r}", cmd, seconds=seconds, cwd=cwd or "/")
    return (ended.output + ended.complaint).decode(errors="replace").rstrip("\n"), ended


COMMANDS = {
    "cmd.run": lambda pillar, cmd, **options: cmd_run(pillar, cmd, **options)[0],
    "cmd.shell": lambda pillar, cmd, **options: cmd_run(pillar, cmd, **options)[0],
    "cmd.run_stdout": lambda pillar, cmd, **options: (
        cmd_run(pillar, cmd, **options)[1].output.decode(errors="replace").rstrip("\n")
    ),
    "cmd.retcode": lambda pillar, cmd, **options: cmd_run(pillar, cmd, **options)[1].returncode,
}
CONTEXT_FILTERS = {
    "file_hashsum": hashsum,
    "is_empty": is_empty,
    "is_text_file": is_text_file,
    "is_bin_file": is_bin_file,
    "list_files": list_files,
}
FILTERS = {
    "path_join": path_join,
    "which": refused("which", "looks for programs on the master, which no pillar depends on"),
    "dns_check": refused("dns_check", "asks a name server, for which the master would have to wait"),
    "http_query": refused("http_query", "asks a web server, for which the master would have to wait"),
    "json_query": refused("json_query", "needs jmespath, which is not packed; use traverse or a loop"),
}
FUNCTIONS = {
    "grains.get": grains_get,
    "grains.fetch": grains_get,
    "grains.has_value": grains_has_value,
    "grains.items": grains_items,
    "grains.item": grains_item,
    "grains.filter_by": grains_filter_by,
    "pillar.get": pillar_get,
    "pillar.fetch": pillar_get,
    "pillar.items": pillar_items,
    "pillar.filter_by": pillar_filter_by,
    "match.filter_by": match_filter_by,
    "match.ifelse": match_ifelse,
    "mine.get": mine_get,
    "pillar.file_exists": pillar_file_exists,
    "config.get": config_get,
    "file.file_exists": file_exists,
    "file.directory_exists": directory_exists,
    "file.join": lambda pillar, *parts: os.path.join(*map(str, parts)),
    "file.find": file_find,
    "file.basename": lambda pillar, path: os.path.basename(str(path)),
    "file.dirname": lambda pillar, path: os.path.dirname(str(path)),
    "saltutil.runner": runner,
}
