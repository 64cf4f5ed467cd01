"""ext_pillar `file_tree`: ROOT/hosts/ID and ROOT/nodegroups/NAME as maps, a directory's files as the values, as they
are or, with `template`, rendered."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from saltlite import Failure, log, merged, packed_leaf, printable, read, valid_id

MAX_FILES = 10_000  # of one minion


def kept(value: bytes, name: str, keep_newline: Any) -> bytes:
    """A file's bytes, without the line end at their end unless it is to be kept."""
    globs = keep_newline if isinstance(keep_newline, list) else []
    keep = keep_newline is True or any(fnmatch.fnmatch(name, str(glob)) for glob in globs)
    return value if keep else value.removesuffix(b"\n")


class Alone:
    """The compilation, for templates that import no other."""

    def __init__(self, pillar: Any) -> None:
        self.pillar = pillar

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pillar, name)

    def used_path(self, saltenv: str, name: str) -> str:
        return ""


def rendering(pillar: Any, default: Any, blacklist: Any, whitelist: Any) -> Callable[[str, bytes], Any]:
    """What makes the value of a file: the renderers that it names, or else `default`; those that may not are skipped.

    Without `default` it is the option renderer, which is what Salt's documentation says."""
    compiler = packed_leaf("requests", "pillar")
    alone = Alone(pillar)
    default, black, white = default or pillar.opts["renderer"], listed(blacklist), listed(whitelist)

    def rendered(path: str, content: bytes) -> Any:
        data: Any = content.decode()
        if not data.strip():
            return {}
        pillar.used.add(path)
        sls = compiler.Sls("", "base", path, os.path.basename(path))
        pipe = compiler.render_pipe(data, default)
        barred = {name for name, _ in pipe if white and name not in white or name in black}
        for name in barred:
            log.error("file_tree: %s: the renderer %s may not be used and is skipped", printable(path), name)
        data = data if len(barred) < len(pipe) else {}  # as Salt has it
        for name, words in [step for step in pipe if step[0] not in barred]:
            data = packed_leaf("renderers", name).render(alone, sls, data, words, {})
        return data

    return rendered


def as_it_is(path: str, content: bytes) -> Any:
    return content


def listed(value: Any) -> list[str]:
    return [] if value is None else list(map(str, value)) if isinstance(value, list) else [str(value)]


def tree(
    pillar: Any, top: str, follow: bool, keep_newline: Any, root: str, rendered: Callable[[str, bytes], Any]
) -> dict[str, Any]:
    """A directory as a map; what leads out of the root, by a link, counts only with `follow_dir_links`."""
    most: int = packed_leaf("pillars", "sandbox").MAX_PILLAR
    found: dict[str, Any] = {}
    maps, seen, size = {top: found}, 0, 0
    for directory, inside, files in os.walk(top, followlinks=follow):
        inside.sort()
        here, prefix = maps[directory], os.path.relpath(directory, top)
        for name in inside:
            here[name] = maps[os.path.join(directory, name)] = {}
        for name in sorted(files):
            path = os.path.join(directory, name)
            real = os.path.realpath(path)
            if not os.path.isfile(real) or not follow and not f"{real}/".startswith(f"{os.path.realpath(root)}/"):
                log.error("file_tree: %s is no regular file below %s and is left out", printable(path), root)
                continue
            content = kept(read(Path(real), most), os.path.join(prefix, name), keep_newline)
            pillar.outside.append(content.decode("latin-1"))
            seen, size = seen + 1, size + len(content)
            here[name] = rendered(real, content)
            if seen > MAX_FILES or size > most:
                raise Failure(f"file_tree: {top} has more than {MAX_FILES:,} files or {most >> 20} MiB.")
    return found


def ext_pillar(
    pillar: Any,
    compiled: Any,
    root_dir: Any = None,
    follow_dir_links: bool = False,
    debug: bool = False,
    keep_newline: Any = False,
    render_default: Any = None,
    renderer_blacklist: Any = None,
    renderer_whitelist: Any = None,
    template: bool = False,
) -> dict[str, Any]:
    """The maps of the nodegroups that the minion is in, and over them its own."""
    if not isinstance(root_dir, str) or not root_dir:
        raise Failure("file_tree: root_dir is missing; name the directory that holds hosts/ and nodegroups/.")
    if not valid_id(pillar.minion_id):
        raise Failure(f"{pillar.minion_id!r} is no id that may name a directory.")
    roots = [root_dir] if os.path.isabs(root_dir) else [f"{root}/{root_dir}" for root in roots_of(pillar)]
    found: dict[str, Any] = {}
    rendered: Callable[[str, bytes], Any] = as_it_is
    if template is True:
        rendered = rendering(pillar, render_default, renderer_blacklist, renderer_whitelist)
    for root in roots:
        if not os.path.isdir(root):
            log.error("file_tree: %s is not a directory", root)
            continue
        groups = [name for name in pillar.opts["nodegroups"] if os.path.isdir(f"{root}/nodegroups/{name}")]
        tops = [f"{root}/nodegroups/{name}" for name in groups if pillar.meant(name, "nodegroup")]
        for top in [*tops, f"{root}/hosts/{pillar.minion_id}"]:
            if os.path.isdir(top):
                found = merged(found, tree(pillar, top, follow_dir_links, keep_newline, root, rendered))
    return found


def roots_of(pillar: Any) -> list[str]:
    """Where a root_dir that is not absolute lies: below the roots of the environment."""
    if not pillar.pillarenv:
        raise Failure("file_tree: root_dir must be an absolute path, for no pillarenv is set.")
    roots: list[str] = pillar.roots.get(pillar.pillarenv, [])
    return roots
