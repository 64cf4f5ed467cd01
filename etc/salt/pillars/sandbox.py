"""The sandbox of pillar's templates: Jinja with Salt's tags, bounded in its steps and in what it makes.
Templates see files of the pillar roots only.

The files beside this one bring what templates find: FILTERS and TESTS (name -> function of values), CONTEXT_FILTERS and
CONTEXT_TESTS (of Jinja's context, and then of values), GLOBALS, and FUNCTIONS and COMMANDS, the table `salt` (name ->
function of the Pillar that is compiled, and then of what the template says)."""

from __future__ import annotations

import functools
import os
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from saltlite import Failure, Lazy, leaf_files, packed_leaf, safe_yaml

if TYPE_CHECKING:
    import jinja2
    import jinja2.ext
    import jinja2.nodes
    import jinja2.sandbox
    import yaml

    jinja2_ext, jinja2_nodes, jinja2_sandbox = jinja2.ext, jinja2.nodes, jinja2.sandbox
else:  # an idle master needs none of them
    jinja2, jinja2_nodes, jinja2_sandbox = Lazy("jinja2"), Lazy("jinja2.nodes"), Lazy("jinja2.sandbox")
    jinja2_ext, yaml = Lazy("jinja2.ext"), Lazy("yaml")

MAX_PILLAR = 16 << 20  # bytes of a file, of what it becomes, and of a whole pillar
MAX_PILLAR_DEPTH = 60  # levels; a minion refuses a message of more than MAX_DEPTH
MAX_STEPS = 1_000_000  # rounds of loops, calls, filters, imports: some seconds
MAX_ITEMS = 100_000  # of a list that a filter makes of few
SWELLING = frozenset("center ljust rjust zfill expandtabs replace translate join format format_map to_bytes".split())
SWELLING_FILTERS = SWELLING | set("indent batch slice tojson json yaml pprint string".split())
COUNTED, WEIGHED = "counted!", "weighed!"  # filters that no template can name
# a width beyond 9999, or one that comes from the arguments
FORMAT_BOMB = re.compile(r"%(\([^)]*\))?[^a-zA-Z%]*(\*|\d{5})|\{[^{}]*:[^{}]*(\{|\d{5})")
LENIENT = frozenset("yaml json xml python load_yaml load_json load_text tojson".split())  # undefined stays undefined


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


def few(items: Iterable[Any]) -> list[Any]:
    """The items that a filter makes of a few, as a list; Failure if they are too many, or too large together."""
    found: list[Any] = []
    size = 0
    for item in items:
        found.append(item)
        size += 8 * len(item)
        if len(found) > MAX_ITEMS or size > MAX_PILLAR:
            raise Failure(f"a filter makes a list of more than {MAX_ITEMS:,} items or {MAX_PILLAR >> 20} MiB.")
    return found


def listed(values: Iterable[Any]) -> list[Any]:
    """Arguments, with what gives its items once only as a list."""
    return [list(value) if isinstance(value, types.GeneratorType) else value for value in values]


class Bounds:
    """What makes of Jinja's sandbox one that ends and stays small. `meter` holds the steps and the bytes that are left
    to a compilation; `options` tells sandboxes of other delimiters apart; `templates` are those of this overlay."""

    intercepted_binops = frozenset(("*", "**", "%", "+"))
    meter: list[int]
    options: tuple[tuple[str, Any], ...]
    files: Any  # a PillarFiles
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

    def weighed(self, value: Any) -> Any:
        self.spend(1, len(value) if isinstance(value, str) else weigh(value))
        return value

    def counted(self, items: Any, written: int) -> Iterator[Any]:
        for item in items:
            self.spend(1, written)
            yield item

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        self.spend()
        if growth(operator, left, right) > MAX_PILLAR:
            raise Failure(f"a template makes a value of more than {MAX_PILLAR >> 20} MiB with {operator}.")
        return super().call_binop(context, operator, left, right)  # type: ignore[misc]

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        method = getattr(__obj, "__wrapped__", __obj)  # str.format, which the sandbox has wrapped
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        given = listed(args)
        # a loop that calls itself goes through its argument
        __self.spend(1 + sum(len(arg) for arg in given if isinstance(arg, list | tuple | dict | str)))
        if name in SWELLING and isinstance(owner, str | bytes | int):
            __self.swell(name, owner, [*given, *kwargs.values()])
        result = super().call(__context, __obj, *given, **kwargs)  # type: ignore[misc]
        __self.spend(0, len(result) if isinstance(result, str) else 0)
        return result

    def _parse(self, source: str, name: str | None, filename: str | None) -> Any:
        """Have loops counted and joined texts weighed: neither passes through a method of the sandbox."""
        tree = super()._parse(source, name, filename)  # type: ignore[misc]
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
        environment: Any = self
        if name not in self.templates:
            if not (path := self.path(name)):
                raise jinja2.TemplateNotFound(name)
            code = self.files.code(path, name, self.files.text(path), self.options)
            template = environment.template_class.from_code(environment, code, environment.globals, None)
            self.templates[name] = template
        self.spend(1, len(self.files.text(self.templates[name].filename)))
        return self.templates[name]


class Tags:
    """Salt's tags: blocks and files that are read as YAML, JSON or text; `profile`, which measures, is its body."""

    tags = frozenset("load_yaml load_json load_text import_yaml import_json import_text profile".split())

    def parse(self, parser: Any) -> Any:
        word = parser.stream.current
        how = f"load_{word.value.partition('_')[2]}"
        if word.value.startswith("load"):
            next(parser.stream)
            parser.stream.expect("name:as")
            target = parser.parse_assign_target()
            body = parser.parse_statements(("name:endload",), drop_needle=True)
            read = jinja2_nodes.Filter(None, how, [], [], None, None, lineno=word.lineno)
            return jinja2_nodes.AssignBlock(target, read, body, lineno=word.lineno)
        if word.value == "profile":
            next(parser.stream)
            parser.stream.expect("name:as")
            parser.parse_expression()
            return parser.parse_statements(("name:endprofile",), drop_needle=True)
        node = parser.parse_import()
        target = jinja2_nodes.Name(node.target, "store", lineno=word.lineno)
        read = jinja2_nodes.Filter(
            jinja2_nodes.Name(node.target, "load", lineno=word.lineno), how, [], [], None, None, lineno=word.lineno
        )
        return [node, jinja2_nodes.Assign(target, read, lineno=word.lineno)]


def guarded(name: str, function: Any, salts: bool) -> Any:
    """A filter that costs steps, and is refused what swells. Those that are `salts` take values of any pillar's size,
    and make about as much of them."""
    how = getattr(function, "jinja_pass_arg", None)

    @functools.wraps(function)
    def guard(context: Any, *args: Any, **kwargs: Any) -> Any:
        environment, given = context.environment, listed(args)
        if name in LENIENT and isinstance(given[0], jinja2.Undefined):
            return given[0]
        if name in SWELLING_FILTERS:
            environment.swell(name, given[0], [*given[1:], *kwargs.values()])
        elif salts and (size := weigh([*given, *kwargs.values()])) > MAX_PILLAR:
            raise Failure(f"the filter {name} is given more than {MAX_PILLAR >> 20} MiB.")
        else:
            environment.spend(1 + (size // 100 if salts else 0))
        if how is not None:
            first = {"context": context, "eval_context": context.eval_ctx, "environment": environment}[how.name]
            given = [first, *given]
        result = function(*given, **kwargs)
        environment.spend(0, len(result) if isinstance(result, str) else 0)
        return result

    return jinja2.pass_context(guard)


class Printable(dict[Any, Any]):
    """A map in a text: as Python has it, but a value with line ends or tabs as YAML reads it back."""

    def _text(self, inner: Callable[[Any], str]) -> str:
        def shown(value: Any) -> str:
            if not isinstance(value, str):
                return inner(value)
            if not re.search("[\n\r\t]", value):
                return repr(value)
            dumped: str = yaml.dump(value, Dumper=safe_yaml("Dumper"), default_style='"', width=2**31 - 1)
            return dumped.rstrip("\n")

        return "{" + ", ".join(f"{key!r}: {shown(value)}" for key, value in self.items()) + "}"

    def __str__(self) -> str:
        return self._text(str)

    def __repr__(self) -> str:
        return self._text(repr)


def printed(value: Any) -> Any:
    """What a template prints for a value."""
    if isinstance(value, dict):
        return Printable((key, printed(each)) for key, each in value.items())
    if type(value) in (list, tuple, set):
        return type(value)(printed(each) for each in value)
    return value


def everything(table: str) -> dict[str, Any]:
    """All that the files beside this one have in a table of this name."""
    leaves = [vars(packed_leaf("pillars", name)) for name in leaf_files("pillars")]
    return {name: function for leaf in leaves for name, function in leaf.get(table, {}).items()}


@functools.cache
def sandbox(options: tuple[tuple[str, Any], ...] = ()) -> Any:
    """The Jinja environment for some of Jinja's own options. A compilation renders in overlays of it, which have their
    own globals, so that nothing of a minion stays."""
    tags = type("SaltTags", (Tags, jinja2_ext.Extension), {"identifier": "salt.tags"})
    extensions = ["jinja2.ext.do", "jinja2.ext.loopcontrols", tags]
    environment: Any = type("Sandbox", (Bounds, jinja2_sandbox.SandboxedEnvironment), {"options": options})(
        undefined=jinja2.StrictUndefined,
        extensions=extensions,
        optimized=False,  # nothing is evaluated while it is compiled
        finalize=jinja2.pass_context(lambda context, value: printed(context.environment.weighed(value))),
        **dict(options),
    )
    del environment.globals["lipsum"]
    environment.globals |= everything("GLOBALS")
    contextual = {name: jinja2.pass_context(function) for name, function in everything("CONTEXT_FILTERS").items()}
    salts = everything("FILTERS") | contextual
    filters = {name: guarded(name, function, False) for name, function in environment.filters.items()}
    filters |= {name: guarded(name, function, True) for name, function in salts.items()}
    filters[COUNTED] = jinja2.pass_environment(lambda environment, items, written: environment.counted(items, written))
    filters[WEIGHED] = jinja2.pass_environment(lambda environment, value: environment.weighed(value))
    environment.filters = filters
    environment.tests |= everything("TESTS")
    contextual = {name: jinja2.pass_context(function) for name, function in everything("CONTEXT_TESTS").items()}
    environment.tests |= contextual
    return environment


def literals(text: str) -> set[Any]:
    """The texts that a template has between quotes; none of what is no template."""
    try:
        nodes = sandbox().parse(text).find_all(jinja2_nodes.Const)
    except jinja2.TemplateError:
        return set()
    return {node.value for node in nodes if isinstance(node.value, str)}


class Functions(dict[str, Any]):
    """The table `salt`: `salt['grains.get']` and `salt.grains.get`. What is not there is undefined, and says so."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(functions)
        for name in {name.partition(".")[0] for name in functions}:
            self[name] = Module(name, self)

    def __missing__(self, name: Any) -> Any:
        return jinja2.StrictUndefined(
            f"pillar templates of this master have no function {name}; use what the master knows of the minion, "
            "or have the operator name it in pillar_functions"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]


class Module:
    """The functions of one module in that table, as attributes."""

    def __init__(self, name: str, functions: Functions) -> None:
        self._name, self._functions = name, functions

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._functions[f"{self._name}.{name}"]


def functions_for(pillar: Any) -> Functions:
    """The table `salt` for one compilation. A template reaches a closure's call, and not what it closes over."""

    def bound(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return function(pillar, *args, **kwargs)

        return call

    return Functions({name: bound(function) for name, function in pillar.functions.items()})
