"""ext_pillar `stack`: YAML templates that configuration files list, each laid over those before it; what a `__` says of
a map or list decides how."""

from __future__ import annotations

import copy
import glob
import os
import re
from typing import Any, NamedTuple

from saltlite import Failure, packed_leaf, traverse

serial: Any = packed_leaf("pillars", "serial")
STRATEGIES = ("overwrite", "merge-first", "merge-last", "remove")
UNSAFE = re.compile(r"[^\w .+@-]|\.\.")  # in a name that a minion's words may be part of
MAX_PATHS = 1000  # of files that one configuration lists


class Stacked(NamedTuple):
    """A file of a stack, as the sandbox wants one."""

    name: str
    saltenv: str
    path: str
    file: str
    own: dict[str, Any]
    lenient: bool = True  # what is not defined prints nothing

    def variables(self) -> dict[str, Any]:
        """What a template may ask for besides grains and pillar."""
        return self.own


def without_marks(value: Any) -> Any:
    """A value as it goes into the stack: without what its `__` say."""
    if isinstance(value, dict):
        return {key: without_marks(each) for key, each in value.items() if key != "__"}
    if isinstance(value, list) and value and isinstance(value[0], dict) and "__" in value[0]:
        return value[1:]
    return value


def as_name(value: Any) -> Any:
    """Data as what lists files may use them: no word of a minion is a pattern, or leads to another directory."""
    if isinstance(value, str):
        return UNSAFE.sub("_", value)
    if isinstance(value, dict):
        return {key: as_name(each) for key, each in value.items()}
    return [as_name(each) for each in value] if isinstance(value, list) else value


def strategy_of(said: Any) -> str:
    if said not in STRATEGIES:
        raise Failure(f"stack: {said!r} is no strategy; it may be {', '.join(STRATEGIES)}.")
    return str(said)


def laid_over(stack: dict[Any, Any], new: dict[Any, Any]) -> dict[Any, Any]:
    """Two maps as one, as the `__` of the new one says."""
    strategy = strategy_of(new.get("__", "merge-last"))
    new = {key: value for key, value in new.items() if key != "__"}
    if strategy == "overwrite":
        return {key: without_marks(value) for key, value in new.items()}
    if strategy == "remove":
        return {key: value for key, value in stack.items() if key not in new}
    found = dict(stack)
    for key, value in new.items():
        found[key] = over(stack[key], value, strategy) if key in stack else without_marks(value)
    return found


def over(old: Any, new: Any, strategy: str) -> Any:
    if strategy == "merge-first":
        old, new = without_marks(new), old
    if type(old) is not type(new):
        return without_marks(new)
    if isinstance(new, dict):
        return laid_over(old, new)
    return lists_together(old, new) if isinstance(new, list) else new


def lists_together(old: list[Any], new: list[Any]) -> list[Any]:
    strategy = "merge-last"
    if new and isinstance(new[0], dict) and "__" in new[0]:
        strategy, new = strategy_of(new[0]["__"]), new[1:]
    if strategy == "overwrite":
        return new
    if strategy == "remove":
        return [each for each in old if each not in new]
    return new + old if strategy == "merge-first" else old + new


def filled(pillar: Any, top: str, file: str, own: dict[str, Any]) -> str:
    """A template below the directory of a configuration, filled in; it sees the files of that directory only."""
    path = os.path.realpath(f"{top}/{file}")
    if not path.startswith(f"{top}/"):
        raise Failure(f"stack: {file} leads out of {top} and is not read.")
    pillar.used.add(path)
    sls = Stacked("", "", path, file, own)
    looked = Below(pillar, top)
    text: str = packed_leaf("renderers", "jinja").render(looked, sls, pillar.files.text(path), "", {})
    return text


class Below:
    """The compilation, for templates whose roots are one directory."""

    def __init__(self, pillar: Any, top: str) -> None:
        self.pillar, self.top = pillar, top

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pillar, name)

    def used_path(self, saltenv: str, name: str) -> str:
        path = os.path.realpath(f"{self.top}/{name}")
        return path if path.startswith(f"{self.top}/") and os.path.isfile(path) else ""


def one_config(pillar: Any, compiled: Any, config: str, stack: dict[Any, Any]) -> dict[Any, Any]:
    """The stack, with the files laid over it that a configuration lists."""
    top = os.path.realpath(os.path.dirname(config))
    found_in = packed_leaf("pillars", "lists").found_in
    own = {
        "__opts__": pillar.public,
        "__grains__": pillar.shown,
        "__salt__": pillar.table,
        "__stack__": {"traverse": lambda *words: found_in(*words), "cfg_path": config},
        "minion_id": pillar.minion_id,
        "pillar": copy.deepcopy(compiled),  # what is remembered of files is in it
        "pillarenv": pillar.pillarenv or None,
    }
    listing = own | {"stack": as_name(stack), "pillar": as_name(compiled), "__grains__": as_name(pillar.shown)}
    text = filled(pillar, top, os.path.basename(config), listing)
    try:
        listed = serial.load_yaml(text)
    except Exception:  # lines, in which a colon or an asterisk means nothing
        listed = None
    for line in listed if isinstance(listed, list) else text.splitlines():
        if not str(line).strip() or ".." in str(line).split("/"):
            continue
        paths = sorted(glob.glob(os.path.join(glob.escape(top), str(line).strip().lstrip("/"))))[: MAX_PATHS + 1]
        if len(paths) > MAX_PATHS:
            raise Failure(f"stack: {line!r} in {config} is more than {MAX_PATHS} files.")
        for path in paths:
            inside = filled(pillar, top, os.path.relpath(path, top), own | {"stack": stack, "ymlpath": path})
            data = serial.load_yaml(inside)
            if isinstance(data, dict):
                stack = pillar.files.weighed(laid_over(stack, data))
    return stack


def valid_env(env: str) -> bool:
    """Whether the name of an environment, which a minion may have chosen, may stand in a path."""
    return env.replace("-", "").replace("_", "").replace(".", "").isalnum() and env[0] != "."


def ext_pillar(pillar: Any, compiled: Any, *configs: Any, **conditional: Any) -> dict[Any, Any]:
    """The stack of the named configurations, and of those whose condition, `grains:os: {Debian: FILE}`, holds."""
    listed = [str(config) for config in configs]
    env = pillar.pillarenv or pillar.saltenv or "base"
    sources = {"pillar": compiled, "grains": pillar.grains, "opts": pillar.public}
    for condition, table in conditional.items():
        kind, _, path = condition.partition(":")
        if kind not in sources or not isinstance(table, dict):
            raise Failure(f"stack: {condition!r} is no condition; it begins with {', '.join(sources)} and has a map.")
        table = {env if key == "__env__" else key: files for key, files in table.items()}
        value = traverse(sources[kind], path.split(":"), None)
        files = table.get(value, []) if isinstance(value, str | int | None) else []
        env_name = env if valid_env(env) else "base"
        listed += [str(file).replace("__env__", env_name) for file in (files if isinstance(files, list) else [files])]
    stack: dict[Any, Any] = {}
    for config in listed:
        if os.path.isfile(config):
            stack = one_config(pillar, compiled, config, stack)
    return stack
