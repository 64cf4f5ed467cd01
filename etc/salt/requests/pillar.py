"""Pillar: what each minion is to know, compiled from the files of pillar_roots as Salt compiles it.

The grains of a minion are data, never source. Templates run in a sandbox, with a bound on their steps and on what they
can make, and see files of the pillar roots only. What a compilation makes belongs to one minion; only files and code
are kept between two."""

from __future__ import annotations

import fnmatch
import functools
import json
import os
import re
import stat
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from saltlite import (
    PRIVATE,
    REGEX_BUDGET,
    SALT_VERSION,
    Facts,
    Failure,
    Lazy,
    MasterTree,
    Parsed,
    PayloadError,
    Peer,
    Request,
    expand_nodegroups,
    log,
    options_of,
    parse,
    printable,
    read,
    safe_yaml,
    to_json,
    yaml_loader,
)

if TYPE_CHECKING:
    import jinja2
    import jinja2.nodes
    import jinja2.sandbox
    import yaml

    jinja2_nodes, jinja2_sandbox = jinja2.nodes, jinja2.sandbox
else:  # an idle master needs none of them
    jinja2, jinja2_nodes, jinja2_sandbox = Lazy("jinja2"), Lazy("jinja2.nodes"), Lazy("jinja2.sandbox")
    yaml = Lazy("yaml")

MAX_GRAINS = 1 << 20  # bytes, as `weigh` counts them, of the grains or the pillar_override of one minion
MAX_PILLAR = 16 << 20  # bytes of a file, of what it becomes, and of a whole pillar
MAX_PILLAR_DEPTH = 60  # levels; a minion refuses a message of more than MAX_DEPTH
MAX_STEPS = 1_000_000  # rounds of loops, calls, filters, imports: some seconds
CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")
MAX_PARSED = 1 << 14  # characters of a text whose data are remembered
RENDERERS = {"jinja|yaml": True, "yaml_jinja": True, "yaml": False}  # what a `#!` line may say: with Jinja?
NO_SALT = "pillar templates of this master have no `salt` functions; use grains, or values in the file"
SWELLING = frozenset("center ljust rjust zfill expandtabs replace translate join format format_map to_bytes".split())
SWELLING_FILTERS = SWELLING | set("indent batch slice tojson json yaml pprint string".split())
COUNTED, WEIGHED = "counted!", "weighed!"  # filters that no template can name
# a width beyond 9999, or one that comes from the arguments
FORMAT_BOMB = re.compile(r"%(\([^)]*\))?[^a-zA-Z%]*(\*|\d{5})|\{[^{}]*:[^{}]*(\{|\d{5})")


def weigh(value: Any, most: int = MAX_PILLAR) -> int:
    """The size of data, about its bytes; what is shared counts each time it is met, as when it is written out. What
    is larger than `most`, deeper than MAX_PILLAR_DEPTH or inside itself gives `most` + 1."""
    total, level = 0, [value]
    for _ in range(MAX_PILLAR_DEPTH):
        inside: list[Any] = []
        for item in level:
            total += 8
            if isinstance(item, str | bytes):
                total += len(item)
            elif isinstance(item, int):
                total += item.bit_length() // 3
            elif isinstance(item, dict | list | tuple | set):
                inside.extend(item)
                inside.extend(item.values() if isinstance(item, dict) else ())
            if total + 8 * len(inside) > most:
                return most + 1
        level = inside
    return most + 1 if level else total


def harmless(value: Any) -> Any:
    """Grains as templates see them: a minion's words never end a line, so that none adds a key, or an `include`, to a
    file that prints it. Each control becomes a blank."""
    if isinstance(value, str):
        return CONTROLS.sub(" ", value)
    if isinstance(value, dict):
        return {harmless(key): harmless(each) for key, each in value.items()}
    return [harmless(each) for each in value] if isinstance(value, list) else value


def growth(operator: str, left: Any, right: Any) -> int:
    """About how large the result of an operator in a template becomes, in characters, items or bits."""
    numbers = [value for value in (left, right) if isinstance(value, int)]
    sizes = [len(value) for value in (left, right) if isinstance(value, str | bytes | list | tuple)]
    if operator == "%" and isinstance(left, str):
        return MAX_PILLAR + 1 if FORMAT_BOMB.search(left) else len(left) * weigh(right)
    if operator == "*" and sizes and numbers:
        return sizes[0] * abs(numbers[0])
    if operator == "**" and len(numbers) == 2:
        return numbers[0].bit_length() * abs(numbers[1]) << 10
    return sum(sizes) + sum(value.bit_length() << 10 for value in numbers if operator == "*")


def yaml_flow(value: Any, flow_style: bool = True) -> str:
    """The filter `yaml`: one line, or `flow_style=False`."""
    text: str = yaml.dump(value, Dumper=safe_yaml("Dumper"), default_flow_style=flow_style, allow_unicode=True)
    return text.strip().removesuffix("\n...")


def yaml_scalar(value: Any) -> str:
    """The filter `yaml_encode`: one value as YAML reads it back, a text always in double quotes."""
    if not isinstance(value, str | int | float | None):
        raise Failure(f"yaml_encode takes a text, a number or a truth value, not a {type(value).__name__}.")
    return json.dumps(value, ensure_ascii=False)


def to_bool(value: Any) -> bool:
    """The filter `to_bool`: yes, 1 and true, numbers above 0 and what is not empty."""
    if isinstance(value, str):
        return value.lower() in ("yes", "1", "true")
    return value > 0 if isinstance(value, int) else isinstance(value, list | dict | set) and len(value) > 0


@functools.cache
def pillar_sandbox() -> Any:
    """The Jinja environment that pillar is compiled in; a compilation renders in overlays of it, which have their own
    globals, so that nothing of a minion stays. `meter` holds the steps and the bytes that are left."""

    class Sandbox(jinja2_sandbox.SandboxedEnvironment):
        intercepted_binops = frozenset(("*", "**", "%", "+"))
        meter = [0, 0]
        files: PillarFiles
        path: Callable[[str], str]
        templates: dict[str, Any]

        def spend(self, steps: int = 1, size: int = 0) -> None:
            self.meter[0] -= steps
            self.meter[1] -= size
            if min(self.meter) < 0:
                what = f"{MAX_STEPS:,} steps" if self.meter[0] < 0 else f"{MAX_PILLAR >> 20} MiB"
                raise Failure(f"the templates of one pillar take more than {what}.")

        def swell(self, name: str, first: Any, rest: Iterable[Any]) -> None:
            """Refuse a call whose result may be larger than any pillar."""
            formats, size = name.startswith("format"), weigh(first)
            if formats and FORMAT_BOMB.search(str(first)):
                raise Failure("a template formats a text with a width beyond 9999.")
            factors = [abs(v) if isinstance(v, int) and not formats else weigh(v) for v in rest]
            self.spend(1 + size // 100)
            if size * max([1, *factors]) > MAX_PILLAR:
                raise Failure(f"a template makes a value of more than {MAX_PILLAR >> 20} MiB.")

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            self.spend()
            if growth(operator, left, right) > MAX_PILLAR:
                raise Failure(f"a template makes a value of more than {MAX_PILLAR >> 20} MiB with {operator}.")
            return super().call_binop(context, operator, left, right)

        def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
            method = getattr(__obj, "__wrapped__", __obj)  # str.format, which the sandbox has wrapped
            owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
            given = [list(arg) if isinstance(arg, types.GeneratorType) else arg for arg in args]
            # a loop that calls itself goes through its argument
            __self.spend(1 + sum(len(arg) for arg in given if isinstance(arg, list | tuple | dict | str)))
            if name in SWELLING and isinstance(owner, str | bytes | int):
                __self.swell(name, owner, [*given, *kwargs.values()])
            result = super().call(__context, __obj, *given, **kwargs)
            __self.spend(0, len(result) if isinstance(result, str) else 0)
            return result

        def _parse(self, source: str, name: str | None, filename: str | None) -> Any:
            """Have loops counted and joined texts weighed: neither passes through a method of the sandbox."""
            tree = super()._parse(source, name, filename)
            filter_, const = jinja2_nodes.Filter, jinja2_nodes.Const
            for node in list(tree.find_all(jinja2_nodes.For)):
                written = sum(len(data.data) for data in node.find_all(jinja2_nodes.TemplateData))
                node.iter = filter_(node.iter, COUNTED, [const(written)], [], None, None, lineno=node.lineno)
            for joined in list(tree.find_all(jinja2_nodes.Concat)):
                joined.nodes = [filter_(n, WEIGHED, [], [], None, None, lineno=n.lineno) for n in joined.nodes]
            return tree

        def join_path(self, template: str, parent: str) -> str:
            if template.split("/")[0] in (".", ".."):
                return os.path.normpath(f"{os.path.dirname(parent)}/{template}".lstrip("/"))
            return template

        def _load_template(self, name: str, globals: Any) -> Any:  # noqa: A002
            """A template of the pillar roots; its code is shared, the template is this overlay's own."""
            if name not in self.templates:
                if not (path := self.path(name)):
                    raise jinja2.TemplateNotFound(name)
                code = self.files.code(path, name)
                self.templates[name] = self.template_class.from_code(self, code, self.globals, None)
            self.spend(1, len(self.files.text(self.templates[name].filename)))
            return self.templates[name]

    def counted(environment: Any, items: Any, written: int) -> Iterator[Any]:
        for item in items:
            environment.spend(1, written)
            yield item

    def weighed(environment: Any, value: Any) -> Any:
        environment.spend(1, len(value) if isinstance(value, str) else weigh(value))
        return value

    def guarded(name: str, function: Any) -> Any:
        @functools.wraps(function)
        def guard(*args: Any, **kwargs: Any) -> Any:
            given = [list(arg) if isinstance(arg, types.GeneratorType) else arg for arg in args]
            values = given[1:] if hasattr(function, "jinja_pass_arg") else given
            if name in SWELLING_FILTERS:
                sandbox.swell(name, values[0], [*values[1:], *kwargs.values()])
            sandbox.spend()
            return function(*given, **kwargs)

        return guard

    sandbox = Sandbox(
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"],
        optimized=False,  # nothing is evaluated while it is compiled
        finalize=jinja2.pass_context(lambda context, value: weighed(context.environment, value)),
    )
    del sandbox.globals["lipsum"]
    sandbox.filters |= {"yaml": yaml_flow, "json": lambda value: json.dumps(value, sort_keys=True)}
    sandbox.filters |= {"yaml_encode": yaml_scalar, "to_bool": to_bool}
    sandbox.filters |= {"load_yaml": lambda text: yaml.load(text, yaml_loader()), "load_json": json.loads}
    sandbox.filters = {name: guarded(name, function) for name, function in sandbox.filters.items()}
    sandbox.filters |= {COUNTED: jinja2.pass_environment(counted), WEIGHED: jinja2.pass_environment(weighed)}
    return sandbox


def _directory_stamp(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


class PillarFiles:
    """The files of pillar roots, with what was made of them, kept until a file changes; shared by all minions."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[tuple[int, ...], str]] = {}
        self._codes: dict[tuple[str, str], tuple[str, Any]] = {}
        self._parsed: dict[str, Any] = {}
        self._targets: dict[tuple[Any, str], Parsed] = {}
        self._listed: dict[tuple[str, ...], tuple[dict[str, int], list[str]]] = {}

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

    def code(self, path: str, name: str) -> Any:
        """The compiled template of a file, which knows itself as `name`, relative to its root."""
        text = self.text(path)
        known = self._codes.get((path, name))
        if known is None or known[0] is not text:
            known = self._codes[path, name] = text, pillar_sandbox().compile(text, name, path)
        return known[1]

    def parse(self, text: str) -> Any:
        """The data of a YAML text, {} for nothing; not to be changed, for it is remembered. Failure, YAMLError."""
        if text in self._parsed:
            return self._parsed[text]
        data = yaml.load(text, yaml_loader()) or {}
        if weigh(data) > MAX_PILLAR:
            raise Failure(f"its data are more than {MAX_PILLAR >> 20} MiB or {MAX_PILLAR_DEPTH} levels.")
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
    """Two pillars as one, in which `theirs` wins; neither is changed (the strategies of Salt's dictupdate)."""
    if strategy == "aggregate":
        return ours | theirs
    if strategy == "overwrite":
        ours = {key: theirs.get(key, value) for key, value in ours.items()}
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


def public_options(opts: Mapping[str, Any]) -> dict[str, Any]:
    """The master's options, without those that tell where its secrets lie."""
    import copy

    rows = options_of("master").items()
    return copy.deepcopy({name: opts[name] for name, option in rows if name in opts and not option.private})


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


class Pillar:
    """One compilation: the pillar of one minion, whose id is proven and whose grains are as it says."""

    def __init__(
        self,
        files: PillarFiles,
        opts: Mapping[str, Any],
        minion_id: str,
        grains: dict[str, Any],
        load: Mapping[str, Any],
    ) -> None:
        self.files, self.opts, self.minion_id = files, opts, minion_id
        self.grains = grains | {"id": minion_id}
        self.shown = harmless(self.grains)
        saltenv, pillarenv, override = (load.get(name) for name in ("saltenv", "pillarenv", "pillar_override"))
        self.saltenv = saltenv if isinstance(saltenv, str) else ""
        self.pillarenv = pillarenv if isinstance(pillarenv, str) else opts["pillarenv"]
        self.override = override if isinstance(override, dict) else {}
        self.errors: list[str] = []
        self.optional: set[tuple[str, str]] = set()  # (environment, sls) with ignore_missing
        self.metered = False
        self.seen: dict[tuple[str, str], dict[Any, Any]] = {}  # what an SLS file itself has rendered to
        self.paths: dict[tuple[str, str], str] = {}  # looked up once: a compilation sees one state of the tree
        self.directories: dict[tuple[str, str], tuple[str, str]] = {}
        self.roots = dict(opts["pillar_roots"])
        if "__env__" in self.roots:
            env, dynamic = self.pillarenv or self.saltenv or "base", self.roots.pop("__env__")
            if env not in self.roots and re.fullmatch(r"\w[\w.-]*", env):
                self.roots[env] = [root.replace("__env__", env) for root in dynamic]

    def merge(self, ours: dict[Any, Any], theirs: dict[Any, Any]) -> dict[Any, Any]:
        strategy = self.opts["pillar_source_merging_strategy"]
        return merge_pillar(ours, theirs, strategy, self.opts["pillar_merge_lists"])

    def compile(self) -> dict[str, Any]:
        """The pillar; what went wrong stands in it under `_errors`, as sentences."""
        matches = self.matches(self.top())
        top_errors, self.errors = self.errors, []
        pillar = self.render(matches)
        self.errors += top_errors
        if self.opts["pillar_opts"]:
            pillar["master"] = public_options(self.opts) | {"saltversion": SALT_VERSION}
        if self.errors:
            pillar["_errors"] = self.errors
        pillar = self.merge(pillar, self.override) if self.override else pillar
        if weigh(pillar) > MAX_PILLAR:
            log.error(
                "the pillar of %s is larger than %s bytes or too deep, so it gets none", self.minion_id, MAX_PILLAR
            )
            return {"_errors": [f"The pillar is larger than {MAX_PILLAR >> 20} MiB or nested too deeply."]}
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
            for saltenv, top in tops[:]:
                for name in dict.fromkeys(top.get("include") or []):
                    tops.append((saltenv, self.included_top(name, saltenv)))
            return self.merged_tops([top for _, top in tops])
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
        """Whether a target of the top file is this minion. Its pillar is not there yet, so no target by it is."""
        facts = Facts(self.minion_id, self.grains, {}, REGEX_BUDGET)
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

    def named(self, pattern: str, saltenv: str) -> list[str]:
        """The SLS names that a glob stands for."""
        if "/" in pattern:
            return []
        if not set(pattern) & set("*?["):
            return [pattern] if self.find(pattern, saltenv).path else []
        return fnmatch.filter(self.files.states(self.roots.get(saltenv, [])), pattern)

    def rendered(self, sls: Sls, defaults: Mapping[str, Any]) -> Any:
        """The data of a file: not to be changed. Raises what Jinja and YAML raise, Failure, OSError."""
        text = self.files.text(sls.path)
        if not text.strip():
            return {}
        first = text.split("\n", 1)[0].strip()
        renderer = first[2:].strip() if first.startswith("#!") and not first.startswith("#!/") else "jinja|yaml"
        if renderer not in RENDERERS:
            raise Failure(f"the renderer {renderer!r} is not there; it may be {' or '.join(RENDERERS)}.")
        if RENDERERS[renderer] and re.search(r"\{[{%#]", text):
            text = self.fill(sls, defaults)
        return self.files.parse(text)

    @functools.cached_property
    def public(self) -> dict[str, Any]:
        """What templates find in `opts`."""
        opts = public_options(self.opts) | {"id": self.minion_id, "minion_id": self.minion_id, "grains": self.shown}
        return opts | {"saltenv": self.saltenv or None, "pillarenv": self.pillarenv or None}

    def fill(self, sls: Sls, defaults: Mapping[str, Any]) -> str:
        """A template, filled in for this minion."""
        import copy

        environment = pillar_sandbox().overlay(cache_size=0)
        if not self.metered:
            environment.meter[:], self.metered = (MAX_STEPS, MAX_PILLAR), True
        environment.path = functools.partial(self.path, sls.saltenv)
        environment.files, environment.templates = self.files, {}
        values = {**copy.deepcopy(dict(defaults)), "grains": self.shown, "pillar": {}, "opts": self.public}
        values["salt"] = environment.undefined(NO_SALT)
        environment.globals = environment.globals | values | sls.variables()
        code = self.files.code(sls.path, sls.file)
        template = environment.template_class.from_code(environment, code, environment.globals, None)
        return "".join(template.generate())

    def state(self, name: str, saltenv: str, defaults: Mapping[str, Any], depth: int = 0) -> dict[Any, Any]:
        """The pillar of an SLS file with what it includes, {} for none; what it rendered to itself goes to `seen`."""
        sls = self.find(name, saltenv)
        if not sls.path:
            if (saltenv, name) not in self.optional and self.roots.get(saltenv):
                sentence = f"Specified SLS '{name}' in environment '{saltenv}' is not available on the salt master"
                log.error("pillar of %s: %s", self.minion_id, printable(sentence))
                self.errors.append(sentence)
            return {}
        state = {}
        try:
            if depth > MAX_PILLAR_DEPTH:
                raise Failure("files include one another too deeply.")
            state = self.rendered(sls, defaults)
        except Exception as error:
            self.failed(sls.path, error, f"Rendering SLS '{name}' failed")
        if not isinstance(state, dict):
            self.errors.append(f"SLS '{name}' does not render to a dictionary")
            state = {}
        if "include" in state and "include" not in self.files.text(sls.path):
            self.errors.append(f"SLS '{name}' has an include that does not stand in the file; it is left out")
            state = {key: value for key, value in state.items() if key != "include"}
        include = state.get("include", [])
        if not isinstance(include, list):
            self.errors.append(f"Include Declaration in SLS '{name}' is not formed as a list")
        elif "include" in state:
            state = {key: value for key, value in state.items() if key != "include"}
        self.seen[saltenv, name] = state
        parts = self.included(sls, include, defaults, depth) if isinstance(include, list) else []
        parts = [state, *parts] if self.opts["pillar_includes_override_sls"] else [*parts, state]
        return functools.reduce(self.merge, parts)

    def included(self, sls: Sls, include: list[Any], defaults: Any, depth: int) -> list[dict[Any, Any]]:
        """The pillars of the files that a file includes, each below the key that it asks for."""
        found = []
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
            full = f"{package}.{word[1:]}".lstrip(".") if word.startswith(".") else word
            names = self.named(word.lstrip(".").replace("/", "."), sls.saltenv) + self.named(full, sls.saltenv)
            for name in dict.fromkeys(names or [full]):
                part = self.seen.get((sls.saltenv, name))
                if part is None:
                    part = self.state(name, sls.saltenv, defaults, depth + 1)
                for fragment in reversed(key.split(":") if key and part else []):
                    part = {fragment: part}
                found.append(part)
        return found

    def render(self, matches: Mapping[str, list[str]]) -> dict[str, Any]:
        """All SLS files of all environments as one pillar."""
        pillar = dict(self.override)
        for saltenv, patterns in matches.items():
            if saltenv not in self.roots and saltenv != "base":
                self.errors.append(f"No matching pillar environment for environment '{saltenv}' found")
            for name in (name for pattern in patterns for name in self.named(pattern, saltenv) or [pattern]):
                pillar = self.merge(pillar, self.state(name, saltenv, {}))
        return pillar


class Requests:
    """`_pillar`: the pillar of the asking minion, sealed under a key of its own."""

    def __init__(self, opts: Mapping[str, Any], tree: MasterTree) -> None:
        self.opts, self.tree, self.files = opts, tree, PillarFiles()
        self.commands = {"_pillar": Request(self.pillar, PRIVATE)}

    def pillar(self, peer: Peer, load: dict[str, Any], now: float) -> dict[str, Any]:
        """The pillar, compiled for the grains that the minion sends; both are kept, to foresee who will answer.

        A pillar with the minion's own additions is not what it will be targeted by, and is not kept."""
        grains = load["grains"] if isinstance(load.get("grains"), dict) else {}
        for name in ("grains", "pillar_override"):
            if weigh(load.get(name), MAX_GRAINS) > MAX_GRAINS:
                raise PayloadError(f"its {name} are more than {MAX_GRAINS} bytes or {MAX_PILLAR_DEPTH} levels")
        keep = self.opts["minion_data_cache"]
        if grains and keep:
            self.tree.data.put(peer.id, "grains", grains)
        pillar = Pillar(self.files, self.opts, peer.id, grains, load).compile()
        if keep and not load.get("pillar_override"):
            self.tree.data.put(peer.id, "pillar", pillar)
        return pillar
