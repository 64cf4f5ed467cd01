"""Salt's modules `slsutil` and `defaults` in pillar's templates: maps that become one, texts, what lies in the roots.

slsutil.renderer renders files beneath the roots: what stands in a text that a template has made is no source."""

from __future__ import annotations

import copy
import json
import os
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from saltlite import Failure, packed_leaf

sandbox: Any = packed_leaf("pillars", "sandbox")
lists: Any = packed_leaf("pillars", "lists")
functions: Any = packed_leaf("pillars", "functions")

MAX_NESTED = 10  # files that are rendered while one is rendered
MAX_WIDTH = 1000  # characters of a line of a banner
MANAGED = "THIS FILE IS MANAGED BY SALT - DO NOT EDIT"
OVERWRITTEN = (
    "The contents of this file are managed by Salt. Any changes to this file may be overwritten "
    "automatically and without warning."
)


def charged(pillar: Any, *values: Any) -> None:
    """Take from the compilation's steps what it costs to go through values; Failure if it is too much."""
    size = sandbox.weigh(values)
    pillar.meter[0] -= size // 100
    if size > sandbox.MAX_PILLAR or pillar.meter[0] < 0:
        raise Failure(f"the templates of one pillar put together more than {sandbox.MAX_PILLAR >> 20} MiB.")


def laid_over(dest: Any, upd: Any, recursive: bool = True, merge_lists: bool = False) -> Any:
    """`upd` in `dest` itself, which is changed."""
    if not isinstance(dest, dict) or not isinstance(upd, Mapping):
        raise Failure("Cannot update using non-dict types in dictupdate.update()")
    for key, value in list(upd.items()):
        mine = dest.get(key)
        if recursive and isinstance(mine, dict) and isinstance(value, Mapping):
            value = laid_over(mine, value, merge_lists=merge_lists)
        elif recursive and merge_lists and isinstance(mine, list) and isinstance(value, list):
            known = lists.Among(mine)
            value = copy.deepcopy(mine) + [each for each in value if each not in known]
        dest[key] = value
    return dest


def update(pillar: Any, dest: Any, upd: Any, recursive_update: bool = True, merge_lists: bool = False) -> Any:
    charged(pillar, dest, upd)
    return laid_over(dest, upd, recursive_update, merge_lists)


def merge(
    pillar: Any,
    obj_a: Any,
    obj_b: Any,
    strategy: str = "smart",
    renderer: str = "yaml",
    merge_lists: bool = False,
) -> Any:
    """A new map of two; what `overwrite` finds in both it takes into the first, too, as Salt does."""
    charged(pillar, obj_a, obj_b)
    if strategy == "smart":
        yamlex = renderer.split("|")[-1] == "yamlex" or renderer.startswith("yamlex_")
        strategy = "aggregate" if yamlex else "recurse"
    if strategy == "list":
        return {key: [value, obj_b[key]] if key in obj_b else value for key, value in obj_a.items()}
    if strategy == "aggregate":
        return packed_leaf("requests", "pillar").aggregated(obj_a, obj_b)
    if strategy == "overwrite":
        obj_a.update({key: value for key, value in obj_b.items() if key in obj_a})
    merge_lists = merge_lists and strategy in ("recurse", "overwrite")
    return laid_over(copy.deepcopy(obj_a), obj_b, merge_lists=merge_lists)


def merge_all(pillar: Any, lst: Any, strategy: str = "smart", renderer: str = "yaml", merge_lists: bool = False) -> Any:
    found: Any = {}
    for each in lst:
        found = merge(pillar, found, each, strategy, renderer, merge_lists)
    return found


def defaults_merge(
    pillar: Any, dest: Any, src: Any, merge_lists: bool = False, in_place: bool = True, convert_none: bool = True
) -> Any:
    if dest is None and in_place:
        raise Failure("Can't perform in-place merge into NoneType")
    charged(pillar, dest, src)
    src = {} if src is None and convert_none else src
    dest = {} if dest is None and convert_none else dest
    return laid_over(dest if in_place else copy.deepcopy(dest), src, merge_lists=merge_lists)


def defaults_update(
    pillar: Any, dest: Any, defaults: Any, merge_lists: bool = True, in_place: bool = True, convert_none: bool = True
) -> Any:
    """Each value of a map laid over the defaults."""
    if dest is None and in_place:
        raise Failure("Can't perform in-place update into NoneType")
    defaults = {} if defaults is None and convert_none else defaults
    dest = {} if dest is None and convert_none else dest
    nodes = dest if in_place else defaults_deepcopy(pillar, dest)
    for name, value in list(nodes.items()):
        base = defaults_deepcopy(pillar, defaults)
        nodes[name] = defaults_merge(pillar, base, value, merge_lists, convert_none=convert_none)
    return nodes


def defaults_deepcopy(pillar: Any, source: Any) -> Any:
    charged(pillar, source)
    return copy.deepcopy(source)


def banner(
    pillar: Any,
    width: int = 72,
    commentchar: str = "#",
    borderchar: str = "#",
    blockstart: str | None = None,
    blockend: str | None = None,
    title: str | None = None,
    text: str | None = None,
    newline: bool = False,
) -> str:
    """A block of comment, with a border, a title and a text."""
    left, right = f"{commentchar.rstrip()} ", f" {commentchar.strip()}"
    room = width - len(left) - len(right)
    if not 0 < room or width > MAX_WIDTH:
        raise Failure(f"Width is too small to render banner, or more than {MAX_WIDTH}: {width}")
    border = commentchar + borderchar[:1] * (width - len(left) - len(right) + 2) + commentchar.strip()
    spacer = commentchar + " " * (width - len(commentchar) * 2) + commentchar
    wrapper = textwrap.TextWrapper(width=room)
    lines = [] if blockstart is None else [blockstart]
    lines += [border, spacer]
    lines += [left + line.center(room) + right for line in wrapper.wrap(MANAGED if title is None else title)]
    lines += [spacer]
    lines += [
        left + line + " " * (room - len(line)) + right for line in wrapper.wrap(OVERWRITTEN if text is None else text)
    ]
    lines += [border] if blockend is None else [border, blockend]
    return "\n".join(lines) + "\n" * bool(newline)


def json_only(serializer: Any) -> None:
    if serializer != "json":
        raise Failure(
            f"slsutil: a template can serialize to json only, not {serializer!r}; there are filters for more."
        )


def serialize(pillar: Any, serializer: Any, obj: Any) -> str:
    json_only(serializer)
    charged(pillar, obj)
    return json.dumps(obj, ensure_ascii=False)


def deserialize(pillar: Any, serializer: Any, stream_or_string: Any) -> Any:
    json_only(serializer)
    charged(pillar, stream_or_string)
    return json.loads(stream_or_string)


# What lies in file_roots


def in_tree(pillar: Any, path: Any, saltenv: str, kind: Callable[[str], bool]) -> bool:
    parts = str(path).split("/")
    if not all(parts) or {".", ".."} & set(parts):
        return False
    roots = pillar.opts["file_roots"].get(saltenv, [])
    return any(kind(functions.beneath(pillar, f"{root}/{path}")) for root in roots)


def file_exists(pillar: Any, path: Any, saltenv: str = "base") -> bool:
    return in_tree(pillar, path, saltenv, os.path.isfile)


def dir_exists(pillar: Any, path: Any, saltenv: str = "base") -> bool:
    return in_tree(pillar, path, saltenv, os.path.isdir)


def path_exists(pillar: Any, path: Any, saltenv: str = "base") -> bool:
    return file_exists(pillar, path, saltenv) or dir_exists(pillar, path, saltenv)


def findup(pillar: Any, startpath: Any, filenames: Any, saltenv: str = "base") -> str:
    """The first of these names in a directory, or in the nearest above it that has one."""
    start = os.path.normpath(startpath) if startpath else ""
    if start and not path_exists(pillar, start, saltenv):
        raise Failure(f"Starting path not found in the state tree: {start}")
    names = [filenames] if isinstance(filenames, str) else filenames
    if not isinstance(names, list):
        raise Failure("Filenames argument must be a string or list of strings")
    while True:
        for name in names:
            found = os.path.normpath(f"{start}/{name}").lstrip("/")
            if path_exists(pillar, found, saltenv):
                return found
        if not start:
            raise Failure("File pattern(s) not found in path ancestry")
        start = os.path.dirname(start)


def renderer(
    pillar: Any,
    path: Any = None,
    string: Any = None,
    default_renderer: str = "jinja|yaml",
    saltenv: str = "base",
    context: Any = None,
    **variables: Any,
) -> Any:
    """What a file beneath the roots, or `salt://` one, becomes by its renderers, with more variables if it is a
    template: data, or a text."""
    if string is not None or not path:
        raise Failure("slsutil.renderer wants a file: what stands in a text that a template has made is no source.")
    name = str(path)
    if name.startswith("salt://"):
        roots = pillar.opts["file_roots"].get(saltenv, []) if file_exists(pillar, name[7:], saltenv) else []
        name = next((full for root in roots if os.path.isfile(full := f"{root}/{name[7:]}")), name)
    if ".." in name.split("/"):  # a grain may be a part of it
        raise Failure(f"slsutil.renderer takes no path with `..`, as {name[:200]!r} is.")
    real = functions.beneath(pillar, name)
    if not os.path.isfile(real):
        raise Failure(f"slsutil.renderer: there is no file {name}.")
    if pillar.nested >= MAX_NESTED:
        raise Failure(f"slsutil.renderer: more than {MAX_NESTED} files are rendered for one another; is it a circle?")
    compiler = packed_leaf("requests", "pillar")
    pillar.nested += 1
    try:
        sls = compiler.Sls("", saltenv, real, os.path.basename(real))
        data = pillar.rendered(sls, {**variables, **(context or {})}, default_renderer)
    finally:
        pillar.nested -= 1
    charged(pillar, data)
    return copy.deepcopy(data)


FUNCTIONS = {
    "slsutil.renderer": renderer,
    "slsutil.update": update,
    "slsutil.merge": merge,
    "slsutil.merge_all": merge_all,
    "slsutil.boolstr": lambda pillar, value, true="true", false="false": true if value else false,
    "slsutil.banner": banner,
    "slsutil.serialize": serialize,
    "slsutil.deserialize": deserialize,
    "slsutil.file_exists": file_exists,
    "slsutil.dir_exists": dir_exists,
    "slsutil.path_exists": path_exists,
    "slsutil.findup": findup,
    "defaults.merge": defaults_merge,
    "defaults.update": defaults_update,
    "defaults.deepcopy": defaults_deepcopy,
}
