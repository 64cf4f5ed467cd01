"""What follows from all of a master's configuration."""

from __future__ import annotations

import functools
import glob
import itertools
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from saltlite import Failure, options_of, packed_leaf

acl, files, salts = (packed_leaf("configuration", name) for name in ("acl", "files", "salts"))
both = packed_leaf("options", "both")
DAY = options_of("master")["keep_jobs_seconds"].default
documents = functools.partial(files.documents, "master")


def place_roots(roots: Mapping[Any, Any], root: Path, default: bool) -> dict[str, list[str]]:
    """Environment -> absolute directories: relative ones, and the `default`, lie below the root; others are as given,
    for Salt puts root_dir before no file root. A glob means what it matches now."""
    lists = {str(env): [named] if isinstance(named, str) else named or [] for env, named in roots.items()}
    placed = {
        env: [str(root / (path.lstrip("/") if default else path)) for path in named] for env, named in lists.items()
    }
    return {
        env: [found for path in paths for found in (sorted(glob.glob(path)) if glob.has_magic(path) else [path])]
        for env, paths in placed.items()
    }


def missing_pillars(listed: Any) -> Iterator[str]:
    """Why a kind of ext_pillar gives nothing, a sentence for each."""
    if listed:  # the leaf is large
        compiler = packed_leaf("requests", "pillar")
        for kind, _ in compiler.externals(listed):
            try:
                compiler.external_leaf(kind)
            except Failure as failure:
                yield str(failure)


def finish(opts: dict[str, Any], others: Mapping[str, str]) -> list[tuple[int, str]]:
    """Resolve roots and what other options follow from; what is to be told at the start. Raises Failure."""
    hours = both.as_number(opts.get("keep_jobs"))
    if opts["keep_jobs_seconds"] == DAY and type(hours) in (int, float) and hours >= 0:  # Salt's older word
        opts["keep_jobs_seconds"] = int(hours * 3600)
    table, told = options_of("master"), [*salts.verdicts("master", opts, others), *acl.checked(opts)]
    told += [(logging.ERROR, sentence) for sentence in missing_pillars(opts["ext_pillar"])]
    for name in ("file_roots", "pillar_roots"):
        opts[name] = place_roots(opts[name], Path(opts["root_dir"]), opts[name] is table[name].default)
    if opts["publish_port"] == opts["ret_port"]:
        raise Failure(f"publish_port and ret_port are both {opts['ret_port']}: two ports are wanted.")
    if opts["file_roots"].pop("__env__", None) is not None:
        sentence = "file_roots: __env__ is ignored: minions would name directories; name each environment."
        told.append((logging.ERROR, sentence))
    for path in itertools.chain(*opts["file_roots"].values()):
        if any(Path(opts[name]).is_relative_to(path) for name in ("pki_dir", "cachedir")):
            raise Failure(f"file_roots: {path} holds the master's keys; serve a directory of its own instead.")
    return told
