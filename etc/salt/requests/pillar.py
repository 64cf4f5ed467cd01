"""Pillar: what each minion is to know, compiled from the files of pillar_roots as Salt compiles it.

The grains of a minion are data, never source. Templates run in a sandbox, with a bound on their steps and on what they
can make, and see files of the pillar roots only. What a compilation makes belongs to one minion; only files, code and
what gpg has decrypted are kept between two."""

from __future__ import annotations

import copy
import fnmatch
import functools
import importlib
import os
import re
import stat
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from saltlite import (
    PRIVATE,
    REGEX_BUDGET,
    SALT_VERSION,
    Facts,
    Failure,
    MasterTree,
    Parsed,
    PayloadError,
    Peer,
    Request,
    expand_nodegroups,
    leaf_files,
    log,
    options_of,
    packed_leaf,
    parse,
    printable,
    put,
    read,
    to_json,
)

sandbox: Any = packed_leaf("pillars", "sandbox")
process: Any = packed_leaf("pillars", "process")
MAX_PILLAR: int = sandbox.MAX_PILLAR
MAX_PILLAR_DEPTH: int = sandbox.MAX_PILLAR_DEPTH
weigh: Callable[..., int] = sandbox.weigh

LARGE_GRAINS = 1 << 15  # bytes: a machine's own are 10,000, and with a hundred network interfaces three times as many
MAX_GRAINS = 1 << 20  # bytes, as `weigh` counts them, of the grains or the pillar_override of one minion
MAX_PARSED = 1 << 14  # characters of a text whose data are remembered
IMPORTED = ("yaml", "jinja2.sandbox")  # which the first pillar of all needs, each in a step of its own
CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")
SAID = 32  # characters of a PGP message that a minion may know of it, at most
OWN_NAMES = {"conf_dir", "conf_file", "config_dir"}  # of the options, and in no table
OLD_PIPES = {f"{data}_jinja": f"jinja|{data}" for data in ("yaml", "json", "yamlex")}


def harmless(value: Any) -> Any:
    """Grains as templates see them: a minion's words never end a line, so that none adds a key, or an `include`, to a
    file that prints it. Each control becomes a blank."""
    if isinstance(value, str):
        return CONTROLS.sub(" ", value)
    if isinstance(value, dict):
        return {harmless(key): harmless(each) for key, each in value.items()}
    return [harmless(each) for each in value] if isinstance(value, list) else value


def squeezed(text: str) -> str:
    """A text without what writing it into a file may change: blanks, line ends, and how YAML and JSON write these."""
    return re.sub(r"\\[nrt]|[\\\s]", "", text)


@functools.cache
def known_renderers() -> list[str]:
    return list(leaf_files("renderers"))


@functools.cache
def functions_of_templates(listed: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    """The table `salt`, with the commands that the operator lists in pillar_functions."""
    commands = sandbox.everything("COMMANDS")
    return sandbox.everything("FUNCTIONS") | {name: commands[name] for name in listed if name in commands}


def texts_in(data: Any) -> list[str]:
    """All texts in data, in their order."""
    if isinstance(data, str):
        return [data]
    inside = [each for pair in data.items() for each in pair] if isinstance(data, dict) else data
    return [text for each in inside for text in texts_in(each)] if isinstance(inside, list | tuple) else []


def render_pipe(text: str, default: str) -> list[tuple[str, str]]:
    """The renderers of a file and their options, as its `#!` line says, or the option `renderer`; Failure."""
    first = text.split("\n", 1)[0].strip()
    pipe = first[2:].strip() if first.startswith("#!") and not first.startswith("#!/") else default
    parts = [part.strip().partition(" ")[::2] for part in OLD_PIPES.get(pipe, pipe).split("|")]
    for at, (name, _) in enumerate(parts):
        if name not in known_renderers():
            raise Failure(f"the renderer {name!r} is not there; it may be {', '.join(known_renderers())}.")
        if name in ("jinja", "py") and at:
            raise Failure(f"the renderer {name} must stand first: what a template has made is no source.")
    return [(name, words.strip()) for name, words in parts]


def _directory_stamp(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


class PillarFiles:
    """The files of pillar roots, with what was made of them, kept until a file changes; shared by all minions."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[tuple[int, ...], str]] = {}
        self._codes: dict[Any, tuple[str, Any]] = {}
        self._parsed: dict[str, Any] = {}
        self._targets: dict[tuple[Any, str], Parsed] = {}
        self._listed: dict[tuple[str, ...], tuple[dict[str, int], list[str]]] = {}

    @functools.cached_property
    def secrets(self) -> Any:
        """What gpg has decrypted."""
        return packed_leaf("renderers", "gpg").Secrets()

    def text(self, path: str) -> str:
        """What a file holds; Failure, OSError."""
        info = os.stat(path)
        stamp = (info.st_mtime_ns, info.st_size, info.st_ctime_ns, info.st_ino)
        known = self._texts.get(path)
        if known is None or known[0] != stamp:
            try:
                known = self._texts[path] = (stamp, read(Path(path), MAX_PILLAR).decode())
            except UnicodeDecodeError:
                raise Failure(f"{path} is not UTF-8 text.") from None
        return known[1]

    def code(self, path: str, name: str, text: str, options: tuple[tuple[str, Any], ...]) -> Any:
        """The compiled template of a file's text, which knows itself as `name`, relative to its root."""
        known = self._codes.get((path, name, options))
        if known is None or known[0] != text:
            known = text, sandbox.sandbox(options).compile(text, name, path)
            self._codes[path, name, options] = known
        return known[1]

    def weighed(self, data: Any) -> Any:
        """The data of a file; Failure if they are too much for any pillar."""
        if weigh(data) > MAX_PILLAR:
            raise Failure(f"its data are more than {MAX_PILLAR >> 20} MiB or {MAX_PILLAR_DEPTH} levels.")
        return data

    def parse(self, text: str) -> Any:
        """The data of a YAML text, {} for nothing; not to be changed, for it is remembered. Failure, YAMLError."""
        if text in self._parsed:
            return self._parsed[text]
        data = self.weighed(packed_leaf("pillars", "serial").load_yaml(text) or {})
        if len(text) <= MAX_PARSED:
            if len(self._parsed) >= 500:
                self._parsed.clear()
            self._parsed[text] = data
        return data

    def target(self, tgt: str | tuple[str, ...], tgt_type: Any) -> Parsed:
        """A target of a top file, parsed; Failure."""
        key = tgt, str(tgt_type)
        if key not in self._targets:
            if len(self._targets) >= 1000:
                self._targets.clear()
            self._targets[key] = parse(tgt, key[1])
        return self._targets[key]

    def states(self, roots: Sequence[str]) -> list[str]:
        """The names of all SLS files in roots, sorted."""
        key = tuple(roots)
        stamps, found = self._listed.get(key, ({}, []))
        if not stamps or any(_directory_stamp(directory) != stamp for directory, stamp in stamps.items()):
            stamps, found = {}, []
            for root in roots:
                for directory, _, files in os.walk(root):
                    stamps[directory] = _directory_stamp(directory)
                    inside = os.path.relpath(directory, root).replace("/", ".") + "."
                    inside = "" if inside == ".." else inside
                    found += [inside + file[:-4] for file in files if file.endswith(".sls")]
            found = sorted({name.removesuffix(".init") for name in found})
            self._listed[key] = stamps, found
        return found


def _hashable(value: Any) -> Any:
    return (to_json(value),) if isinstance(value, list | dict | set) else value


def merge_pillar(ours: dict[Any, Any], theirs: dict[Any, Any], strategy: str, lists: bool) -> dict[Any, Any]:
    """Two pillars as one, in which `theirs` wins (the strategies of Salt's dictupdate). Neither is changed but by
    `overwrite`, which, as Salt's, takes the keys that both have into `ours` too: if that is what an SLS file has
    rendered to, a second include of it brings them again."""
    if strategy == "aggregate":
        return aggregated(ours, theirs)
    if strategy == "overwrite":
        for key in theirs.keys() & ours.keys():
            ours[key] = theirs[key]
    merged = dict(ours)
    for key, value in theirs.items():
        mine = merged.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            value = merge_pillar(mine, value, "recurse", lists and strategy != "none")
        elif lists and strategy != "none" and isinstance(mine, list) and isinstance(value, list):
            there = {_hashable(item) for item in mine}  # a minion's pillar_override may be long
            value = mine + [item for item in value if _hashable(item) not in there]
        merged[key] = value
    return merged


def aggregated(ours: Any, theirs: Any, whole: bool = True) -> Any:
    """Both values, `theirs` winning; the `whole` maps are put together, and below them what is marked as such: by
    !aggregate in yamlex, or because it was put together before."""
    serial = packed_leaf("pillars", "serial")
    if whole:
        ours, theirs = serial.marked(ours), serial.marked(theirs)
    both = serial.is_marked(ours) and serial.is_marked(theirs)
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = copy.copy(ours if both else theirs)
        for key, value in theirs.items():
            found[key] = aggregated(ours[key], value, False) if key in ours else value
        return found
    if both and isinstance(ours, list) and isinstance(theirs, list):
        return type(ours)([*ours, *(each for each in theirs if each not in ours)])
    return copy.copy(theirs)


def public_options(opts: Mapping[str, Any]) -> dict[str, Any]:
    """The master's options, without those that tell where its secrets lie; and those that no table knows, which the
    operator has made up for templates."""
    rows = options_of("master")
    shown = {name: opts[name] for name, option in rows.items() if name in opts and not option.private}
    own = opts.keys() - rows.keys() - OWN_NAMES
    return copy.deepcopy(shown | {name: opts[name] for name in opts if name in own and not name.startswith("__")})


def externals(listed: Any) -> Iterator[tuple[str, Any]]:
    """The kinds of ext_pillar that are configured, each with what it is told."""
    for item in listed:
        yield from ((str(kind), told) for kind, told in (item.items() if isinstance(item, dict) else [(item, None)]))


def external_leaf(kind: str) -> Any:
    """The file that makes a kind of external pillar; Failure for a kind that is not there."""
    leaf = packed_leaf("pillars", kind) if kind in leaf_files("pillars") else None
    if not hasattr(leaf, "ext_pillar"):
        kinds = [name for name in leaf_files("pillars") if hasattr(packed_leaf("pillars", name), "ext_pillar")]
        raise Failure(
            f"ext_pillar has no kind {kind!r} here, and minions lack what it gives; it may be {', '.join(kinds)}. "
            "Keep a checkout of a repository below pillar_roots instead of git."
        )
    return leaf


class Sls(NamedTuple):
    """A file of pillar roots: its SLS name ('': a top file), its environment, its real path ('': there is none), and
    its path below the root."""

    name: str
    saltenv: str
    path: str
    file: str

    def variables(self) -> dict[str, str]:
        """What a template may ask about itself."""
        directory = os.path.dirname(self.file)
        found = {"sls": self.name, "tplpath": self.path, "tplfile": self.file, "saltenv": self.saltenv}
        found |= {"tpldir": directory or ".", "tpldot": directory.replace("/", ".")}
        found |= {"slspath": directory, "slsdotpath": directory.replace("/", ".")}
        return found | {"slscolonpath": directory.replace("/", ":"), "sls_path": directory.replace("/", "_")}


def _order(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


class Looked:
    """What is found in the roots, looked up once: a compilation sees one state of the tree."""

    def __init__(
        self, files: PillarFiles, roots: Mapping[str, list[str]], may_glob: Callable[[str, str], bool]
    ) -> None:
        self.files, self.roots, self.may_glob = files, roots, may_glob
        self.paths: dict[tuple[str, str], str] = {}
        self.directories: dict[tuple[str, str], tuple[str, str]] = {}

    def find(self, name: str, saltenv: str) -> Sls:
        base = name.replace(".", "/")
        files = [f"{base}.sls", f"{base}/init.sls"]
        found = ((self.path(saltenv, file), file) for file in files)
        return Sls(name, saltenv, *next((pair for pair in found if pair[0]), ("", "")))

    def path(self, saltenv: str, name: str) -> str:
        """The real path of a file in the first root that has it; '' if none has, or if it leads out of it."""
        if (saltenv, name) not in self.paths:
            parts = name.split("/")
            known = all(parts) and not {".", ".."} & set(parts) and "\0" not in name and len(name) < 1000
            roots = self.roots.get(saltenv, []) if known else []
            self.paths[saltenv, name] = next(filter(None, (self._path(root, name) for root in roots)), "")
        return self.paths[saltenv, name]

    def _path(self, root: str, name: str) -> str:
        directory, _, file = name.rpartition("/")
        if (root, directory) not in self.directories:
            top = os.path.realpath(root)
            self.directories[root, directory] = top, os.path.realpath(f"{top}/{directory}")
        top, real = self.directories[root, directory]
        try:
            path = f"{real}/{file}"
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                path = os.path.realpath(path)
                mode = os.stat(path).st_mode
        except OSError:
            return ""
        if not path.startswith(f"{top}/"):
            log.warning("%s leads out of the pillar root and is not read", printable(f"{top}/{name}"))
            return ""
        return path if stat.S_ISREG(mode) else ""

    def named(self, pattern: str, saltenv: str, written: str, path: str = "") -> list[str]:
        """The SLS names that a glob stands for, which was `written` so, in a file or in a top file; none if it is not
        the operator's."""
        if "/" in pattern:
            return []
        if not set(pattern) & set("*?["):
            return [pattern] if self.find(pattern, saltenv).path else []
        if not self.may_glob(written, path):
            log.error("%s is no pattern of SLS names, for a minion may have put it together", printable(written))
            return []
        return fnmatch.filter(self.files.states(self.roots.get(saltenv, [])), pattern)


class Pillar:
    """One compilation: the pillar of one minion, whose id is proven and whose grains are as it says."""

    def __init__(
        self,
        files: PillarFiles,
        opts: Mapping[str, Any],
        minion_id: str,
        grains: dict[str, Any],
        load: Mapping[str, Any],
        mine: Callable[[Any, Any, Any], Any] = lambda tgt, fun, tgt_type: {},
    ) -> None:
        """`mine` gives what this minion may get of the mine: of (tgt, fun, tgt_type)."""
        self.files, self.opts, self.minion_id = files, opts, minion_id
        self.mine_of, self.heard = mine, list[Any]()  # what other minions have said
        self.functions = functions_of_templates(tuple(opts["pillar_functions"]))
        self.grains = grains | {"id": minion_id}
        self.shown = harmless(self.grains)
        saltenv, pillarenv, override = (load.get(name) for name in ("saltenv", "pillarenv", "pillar_override"))
        self.saltenv = saltenv if isinstance(saltenv, str) else ""
        named = self.saltenv if opts["pillarenv_from_saltenv"] else opts["pillarenv"]
        self.pillarenv = pillarenv if isinstance(pillarenv, str) else named
        self.override = override if isinstance(override, dict) else {}
        self.errors: list[str] = []
        self.optional: set[tuple[str, str]] = set()  # (environment, sls) with ignore_missing
        self.meter = [sandbox.MAX_STEPS, MAX_PILLAR]  # the steps and bytes that are left to its templates
        self.nested = 0  # files that slsutil.renderer has in hand
        self.known: dict[Any, Any] = {}  # the pillar so far, as templates see it
        self.used: set[str] = set()  # the files that this pillar is made of
        self.outside: list[str] = []  # what commands and file trees have given, for ext_pillar
        self.seen: dict[tuple[str, str], dict[Any, Any]] = {}  # what an SLS file itself has rendered to
        self.roots = dict(opts["pillar_roots"])
        if "__env__" in self.roots:
            env, dynamic = self.pillarenv or self.saltenv or "base", self.roots.pop("__env__")
            if env not in self.roots and re.fullmatch(r"\w[\w.-]*", env):
                self.roots[env] = [root.replace("__env__", env) for root in dynamic]
        looked = Looked(files, self.roots, functools.partial(may_glob, self))
        self.find, self.path, self.named = looked.find, looked.path, looked.named

    def merge(self, ours: dict[Any, Any], theirs: dict[Any, Any]) -> dict[Any, Any]:
        strategy, last = self.opts["pillar_source_merging_strategy"], self.opts["renderer"].rpartition("|")[2]
        if strategy == "smart":
            strategy = "aggregate" if last.strip() == "yamlex" or last.startswith("yamlex_") else "recurse"
        return merge_pillar(ours, theirs, strategy, self.opts["pillar_merge_lists"])

    def compile(self) -> dict[str, Any]:
        """The pillar; what went wrong stands in it under `_errors`, as sentences."""
        try:
            pillar = self.compiled()
            size = weigh(pillar)
        except RecursionError:  # an include in a loop, under a key, may have put a map into itself
            size = MAX_PILLAR + 1
        if size > MAX_PILLAR:
            log.error(
                "the pillar of %s is larger than %s bytes or too deep, so it gets none", self.minion_id, MAX_PILLAR
            )
            return {"_errors": [f"The pillar is larger than {MAX_PILLAR >> 20} MiB or nested too deeply."]}
        return pillar

    def compiled(self) -> dict[str, Any]:
        """The same, however large."""
        top = self.top()
        top_errors, self.errors = self.errors, []
        if self.opts["ext_pillar_first"]:
            self.known = with_externals(self, dict(self.override))
            pillar = self.merge(self.known, self.render(self.matches(top)))
        else:
            pillar = with_externals(self, self.render(self.matches(top)))
        self.errors += top_errors
        if self.opts["pillar_opts"]:
            pillar["master"] = public_options(self.opts) | {"saltversion": SALT_VERSION}
        if self.errors:
            pillar["_errors"] = self.errors
        pillar = self.merge(pillar, self.override) if self.override else pillar
        if self.opts["decrypt_pillar"]:
            failures = packed_leaf("renderers", "gpg").decrypt_pillar(self, pillar)
            pillar |= {"_errors": [*self.errors, *failures]} if failures else {}
        return pillar

    def failed(self, what: str, error: Exception, sentence: str) -> None:
        """Take down an error: its cause for the master's log, a sentence for the minion."""
        trace, line = error.__traceback__, getattr(error, "lineno", 0)
        while trace:
            line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == what else line
            trace = trace.tb_next
        where = f"{what} line {line}" if line else what
        cause = f"{type(error).__name__}: {str(error)[:1000]}"
        log.error("pillar of %s: %s: %s", self.minion_id, where, printable(cause.replace("\n", " ")))
        detail = f"{sentence}, render error:\n{error}"
        safe = f"{sentence}. Please see master log for details."
        self.errors.append(safe if self.opts["pillar_safe_render_error"] else detail)

    # the top file

    def top(self) -> dict[str, dict[str, list[Any]]]:
        """environment -> target -> its options, then its SLS names: all top files laid over one another."""
        tops: list[tuple[str, Any]] = []
        sls = Sls("", "base", "", "top.sls")
        try:
            for saltenv in self.environments():
                sls = Sls("", saltenv, self.path(saltenv, "top.sls"), "top.sls")
                if sls.path:
                    tops.append((saltenv, self.rendered(sls, {})))
        except Exception as error:
            self.failed(sls.path, error, "Rendering Primary Top file failed")
        try:
            every = []
            for saltenv, top in tops:
                included = dict.fromkeys(top.get("include") or [])
                every += [top, *(self.included_top(name, saltenv) for name in included)]
            return self.merged_tops(every)
        except (TypeError, ValueError, AttributeError) as error:
            what = printable(str(error)[:1000])
            log.error("pillar of %s: the top file is not environment: {target: [sls]}: %s", self.minion_id, what)
            self.errors.append("Error encountered while rendering pillar top file.")
            return {}

    def included_top(self, name: str, saltenv: str) -> Any:
        sls = self.find(name, saltenv)
        try:
            return self.rendered(sls._replace(name=""), {}) if sls.path else {}
        except Exception as error:
            self.failed(sls.path, error, f"Rendering Top file {name} failed")
            return {}

    def environments(self) -> list[str]:
        if self.pillarenv:
            return [self.pillarenv] if self.pillarenv in self.roots else []
        if self.opts["pillar_source_merging_strategy"] == "none":
            only = self.saltenv or "base"
            return [only] if only == "base" or only in self.roots else []
        return ["base", *(env for env in self.roots if env != "base")]

    def merged_tops(self, tops: list[dict[str, Any]]) -> dict[str, dict[str, list[Any]]]:
        merged: dict[str, dict[str, list[Any]]] = {}
        orders: dict[tuple[str, str], int] = {}
        for saltenv, targets in (item for top in tops for item in top.items() if item[0] != "include"):
            for tgt, items in targets.items():
                if isinstance(items, str):
                    raise TypeError(f"{tgt}: not a list")
                options = [item for item in items if isinstance(item, dict)]
                states = list(dict.fromkeys(item for item in items if isinstance(item, str)))
                if any(option.get("ignore_missing") for option in options):
                    self.optional |= {(saltenv, state) for state in states}
                orders[saltenv, tgt] = next((_order(o["order"]) for o in options[::-1] if "order" in o), 0)
                merged.setdefault(saltenv, {})[tgt] = [*(option for option in options if "match" in option), *states]
        return {
            env: dict(sorted(targets.items(), key=lambda target: orders[env, target[0]]))
            for env, targets in merged.items()
        }

    def matches(self, top: dict[str, dict[str, list[Any]]]) -> dict[str, list[str]]:
        """environment -> the SLS names that this minion is to have."""
        found: dict[str, list[str]] = {}
        for saltenv, targets in top.items():
            if self.pillarenv and saltenv != self.pillarenv:
                continue
            for tgt, items in targets.items():
                kinds = [item["match"] for item in items if isinstance(item, dict)]
                if self.meant(tgt, kinds[-1] if kinds else "compound"):
                    names = [item for item in items if isinstance(item, str)]
                    found[saltenv] = list(dict.fromkeys(found.get(saltenv, []) + names))
        return found

    def meant(self, tgt: Any, tgt_type: Any) -> bool:
        """Whether a target of the top file is this minion. Of its pillar only ext_pillar_first's is known."""
        facts = Facts(self.minion_id, self.grains, self.known, REGEX_BUDGET)
        try:
            if tgt_type == "nodegroup":
                tgt, tgt_type = expand_nodegroups([f"N@{tgt}"], self.opts["nodegroups"]), "compound"
            elif tgt_type == "compound":
                tgt = expand_nodegroups(str(tgt).split(), self.opts["nodegroups"])
            verdict = self.files.target(tuple(tgt) if isinstance(tgt, list) else str(tgt), tgt_type).verdict(facts)
        except Failure as failure:
            log.error("pillar of %s: the target %r of the top file: %s", self.minion_id, tgt, failure)
            return False
        if verdict is None:
            log.error("pillar of %s: the target %r of the top file may take too long to match", self.minion_id, tgt)
            self.errors.append(f"The target {tgt!r} of the top file may take too long to match; it is left out.")
        return verdict is True

    # SLS files

    def rendered(self, sls: Sls, defaults: Mapping[str, Any], default: str = "") -> Any:
        """The data of a file: not to be changed. Raises what Jinja and YAML raise, Failure, OSError."""
        self.used.add(sls.path)
        data: Any = self.files.text(sls.path)
        if not data.strip():
            return {}
        for name, words in render_pipe(data, default or self.opts["renderer"]):
            data = packed_leaf("renderers", name).render(self, sls, data, words, defaults)
        return data

    def used_path(self, saltenv: str, name: str) -> str:
        """The same as `path`, of a file that goes into this pillar."""
        if found := self.path(saltenv, name):
            self.used.add(found)
        return found

    def stands(self, message: str) -> bool:
        """Whether a text stands in a file of this pillar, or in what the operator's commands have given, and is not
        what a minion says: it could be meant, in that file, for another."""
        wanted, texts = squeezed(message), [*map(self.files.text, self.used), *self.outside]
        if not any(wanted in squeezed(text) for text in texts):
            return False
        said = squeezed("".join(texts_in([self.shown, self.override, *self.heard])))
        return not any(wanted[at : at + SAID] in said for at in range(0, max(1, len(wanted) - SAID), SAID // 2))

    def mine(self, tgt: Any, fun: Any, tgt_type: Any) -> Any:
        """What this minion may get of the mine: other minions' words."""
        self.heard.append(harmless(self.mine_of(tgt, fun, tgt_type)))
        return self.heard[-1]

    @functools.cached_property
    def table(self) -> Any:
        """What templates find in `salt`."""
        return sandbox.functions_for(self)

    @functools.cached_property
    def public(self) -> dict[str, Any]:
        """What templates find in `opts`."""
        opts = public_options(self.opts) | {"id": self.minion_id, "minion_id": self.minion_id, "grains": self.shown}
        return opts | {"saltenv": self.saltenv or None, "pillarenv": self.pillarenv or None}

    def state(self, name: str, saltenv: str, defaults: Mapping[str, Any], depth: int = 0) -> Any:
        """The pillar of an SLS file with what it includes, nothing for none; what it rendered to itself goes to `seen`.

        What is no map is nobody's pillar, but may be included under a key."""
        sls = self.find(name, saltenv)
        if not sls.path:
            if (saltenv, name) not in self.optional and self.roots.get(saltenv):
                sentence = f"Specified SLS '{name}' in environment '{saltenv}' is not available on the salt master"
                log.error("pillar of %s: %s", self.minion_id, printable(sentence))
                self.errors.append(sentence)
            return {}
        state: Any = None
        try:
            if depth > MAX_PILLAR_DEPTH:
                raise Failure("files include one another too deeply.")
            state = self.rendered(sls, defaults)
        except Exception as error:
            self.failed(sls.path, error, f"Rendering SLS '{name}' failed")
        if isinstance(state, dict):
            state = copy.copy(state)  # what is remembered of a text does not change
        self.seen[saltenv, name] = state
        if state and not isinstance(state, dict):
            self.errors.append(f"SLS '{name}' does not render to a dictionary")
        return self.with_includes(sls, state, defaults, depth) if state and isinstance(state, dict) else state

    def with_includes(self, sls: Sls, state: dict[Any, Any], defaults: Any, depth: int) -> Any:
        """What an SLS file has rendered to, with what it includes."""
        if "include" not in state:
            return state
        if "include" not in self.files.text(sls.path):
            self.errors.append(f"SLS '{sls.name}' has an include that does not stand in the file; it is left out")
            del state["include"]
            return state
        if not isinstance(state["include"], list):
            self.errors.append(f"Include Declaration in SLS '{sls.name}' is not formed as a list")
            return state
        parts = self.included(sls, state.pop("include"), defaults, depth)
        if self.opts["pillar_includes_override_sls"]:
            return functools.reduce(self.merge, parts, state)  # each before the next one is read
        return functools.reduce(self.merge, [*parts, state])

    def included(self, sls: Sls, include: list[Any], defaults: Any, depth: int) -> Iterator[dict[Any, Any]]:
        """The pillars of the files that a file includes, each below the key that it asks for."""
        package = sls.name if sls.file.endswith("/init.sls") else sls.name.rpartition(".")[0]
        for item in include:
            key, word = "", item
            if isinstance(item, dict) and item:  # as in Salt, defaults last until the next ones
                word, given = next(iter(item.items()))
                given = given if isinstance(given, dict) else {}
                key, defaults = given.get("key") or "", given.get("defaults") or {}
            if not isinstance(word, str) or not isinstance(key, str) or not isinstance(defaults, dict):
                self.errors.append(f"Include Declaration in SLS '{sls.name}' is not formed as a list")
                continue
            full = f"{package}.{word[1:]}".strip(".") if word.startswith(".") else word  # `.`: the package itself
            meant = (word.lstrip(".").replace("/", "."), full)
            names = [name for each in meant for name in self.named(each, sls.saltenv, word, sls.path)]
            for name in names or [full]:
                if (sls.saltenv, name) in self.seen:
                    part = self.seen[sls.saltenv, name]
                else:
                    part = self.state(name, sls.saltenv, defaults, depth + 1)
                for fragment in reversed(key.split(":") if key and part else []):
                    part = {fragment: part}
                if part and isinstance(part, dict):
                    yield part

    def render(self, matches: Mapping[str, list[str]]) -> dict[str, Any]:
        """All SLS files of all environments as one pillar."""
        pillar = dict(self.override)
        first = [env for env in map(str, self.opts["env_order"]) if env in matches]
        for saltenv, patterns in [(env, matches[env]) for env in dict.fromkeys([*first, *matches])]:
            if saltenv not in self.roots and saltenv != "base":
                self.errors.append(f"No matching pillar environment for environment '{saltenv}' found")
            for name in [name for pattern in patterns for name in self.named(pattern, saltenv, pattern) or [pattern]]:
                if isinstance(state := self.state(name, saltenv, {}), dict):
                    pillar = self.merge(pillar, state)
        return pillar


def with_externals(compiling: Pillar, pillar: dict[Any, Any]) -> dict[Any, Any]:
    """A pillar with what the kinds of ext_pillar add to it."""
    if compiling.opts["ext_pillar"] and compiling.override:
        pillar = compiling.merge(pillar, compiling.override)
    for kind, told in externals(compiling.opts["ext_pillar"]):
        try:
            words = told if isinstance(told, list) else [] if isinstance(told, dict) else [told]
            named = told if isinstance(told, dict) else {}
            found = external_leaf(kind).ext_pillar(compiling, pillar, *words, **named)
            if not isinstance(found, dict):
                raise Failure(f"it gives a {type(found).__name__}, not a map.")
            compiling.files.weighed(found)
            pillar = compiling.merge(pillar, found) if found else pillar
        except Exception as error:
            said = printable(f"{type(error).__name__}: {str(error)[:1000]}")
            log.error("pillar of %s: ext_pillar %s: %s", compiling.minion_id, kind, said)
            sentence = f"Failed to load ext_pillar {kind}"
            safe = f"{sentence}. Please see master log for details."
            compiling.errors.append(safe if compiling.opts["pillar_safe_render_error"] else f"{sentence}: {error}")
    return pillar


def may_glob(compiling: Pillar, pattern: str, path: str) -> bool:
    """Whether a pattern is the operator's own: where a minion has said a `*`, it must stand as it is in the file that
    includes by it, or be an item, and no target, in a top file."""
    if not any(set(text) & set("*?[") for text in texts_in([compiling.shown, *compiling.heard])):
        return True
    if path:
        return pattern in compiling.files.text(path)
    item = re.compile(rf"(?<![^\s\[,'\"-]){re.escape(pattern)}['\"]?[ \t]*([\],#\r\n]|$)")
    return any(item.search(compiling.files.text(each)) for each in compiling.used)


class Machines:
    """Who comes as one id from two machines in turn, as copies of one disk do: told in the log, and in `twins.json`,
    {id: {machine_id: when it was last seen}}, for `status`. A machine that was set up anew comes once, and is none."""

    AT_ONCE = 3600.0  # seconds in which the first machine comes back
    MOST = 1000  # ids

    def __init__(self, tree: MasterTree) -> None:
        self.tree, self.seen, self.told = tree, dict[str, dict[str, float]](), dict[str, dict[str, float]]()

    def came(self, minion_id: str, before: Any, after: Any, now: float) -> None:
        """An id has sent grains; `before` and `after`: the machine_id of those before, and of these."""
        if before == after or not all(isinstance(each, str) and each for each in (before, after)):
            return
        seen = self.seen.setdefault(minion_id, {})
        back = after in seen and now - seen[after] < self.AT_ONCE
        self.seen[minion_id] = dict([*seen.items(), (before, now), (after, now)][-4:])
        if len(self.seen) > self.MOST:
            del self.seen[next(iter(self.seen))]
        if not back:
            return
        log.warning("%s comes from two machines in turn (machine_id %.64s and %.64s): copies of one disk? give one of "
                    "them an id and a key of its own", minion_id, before, after)  # fmt: skip
        self.told[minion_id] = self.seen[minion_id]
        if len(self.told) > self.MOST:
            del self.told[next(iter(self.told))]
        try:
            put(self.tree.cache / "twins.json", to_json(self.told), sync=False)
        except OSError as error:
            log.warning("twins.json cannot be written: %s", error)


def on_demand(ext: Any) -> str:
    """The kind of ext_pillar that a minion asks for, in its own words only if they are a name."""
    name = str(next(iter(ext), "")) if isinstance(ext, dict) else ""
    return name if re.fullmatch(r"\w{1,64}", name, re.ASCII) else "that it asks for"


class Requests:
    """`_pillar`: the pillar of the asking minion, sealed under a key of its own."""

    def __init__(self, opts: Mapping[str, Any], tree: MasterTree) -> None:
        self.opts, self.tree, self.files = opts, tree, PillarFiles()
        self.stored = packed_leaf("requests", "mine").Requests(opts, tree)
        self.apart: set[str] = set()  # whose pillar needs programs
        if opts.get("pillar_py"):
            log.warning("pillar_py: True: who may write into pillar_roots runs programs as the user of this master")
        self.machines = Machines(tree)
        self.commands = {"_pillar": Request(self.pillar, PRIVATE)}

    def pillar(self, peer: Peer, load: dict[str, Any], now: float) -> Generator[float, None, dict[str, Any]]:
        """The pillar, compiled for the grains that the minion sends; both are kept, to foresee who will answer. One
        that needs programs is compiled in a process of its own, for which nobody but the minion waits; so is one of
        large grains, for a template that goes through them goes on for as long as the minion likes.

        A pillar with the minion's own additions is not what it will be targeted by, and is not kept."""
        grains = load["grains"] if isinstance(load.get("grains"), dict) else {}
        sizes = {name: weigh(load.get(name), MAX_GRAINS) for name in ("grains", "pillar_override")}
        if wrong := [name for name, size in sizes.items() if size > MAX_GRAINS]:
            raise PayloadError(f"its {wrong[0]} are more than {MAX_GRAINS} bytes or {MAX_PILLAR_DEPTH} levels")
        large = max(sizes.values()) > LARGE_GRAINS
        if large:
            yield 0.0
        for module in IMPORTED:
            if module not in sys.modules:
                importlib.import_module(module)
                yield 0.0
        keep = self.opts["minion_data_cache"]
        if grains and keep:
            before = (self.tree.data.grains(peer.id) or {}).get("machine_id")
            self.machines.came(peer.id, before, grains.get("machine_id"), now)
            self.tree.data.put(peer.id, "grains", grains)

        def mine(tgt: Any, fun: Any, tgt_type: Any) -> Any:
            steps = self.stored.get(peer, {"tgt": tgt, "fun": fun, "tgt_type": tgt_type}, now)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value
                if not process.WAITS[0]:
                    raise process.Wanted  # of so many minions that others would have to wait

        def compiled() -> dict[str, Any]:
            return Pillar(self.files, self.opts, peer.id, grains, load, mine).compile()

        try:
            if large or peer.id in self.apart:
                raise process.Wanted
            pillar = process.unless_wanted(compiled)
        except process.Wanted:
            if not large:
                self.apart.add(peer.id)
            pillar = yield from process.apart(compiled)
            yield 0.0  # what is large is read, kept and sealed in steps of their own
        if load.get("ext"):  # pillar.ext: which would run programs here with a minion's words
            sentence = f"The ext_pillar {on_demand(load['ext'])} is not made on demand here."
            log.error("pillar of %s: %s", peer.id, sentence)
            return pillar | {"_errors": [*pillar.get("_errors", []), sentence]}
        if keep and not load.get("pillar_override"):
            self.tree.data.put(peer.id, "pillar", pillar)
        if large:
            yield 0.0
        return pillar
