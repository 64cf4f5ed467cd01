"""The shape of the program: what is read from the syntax tree of the script and its leaves, and what keeps it readable.

The rings, the order from bottom to top, the ceilings of size, the share of prose, names that mean one thing, leaves
that stand alone, and no reference to what the repository does not hold."""

import ast
import builtins
import functools
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
from leaves import wire

import saltlite

SCRIPT = Path(saltlite.__file__).resolve()
ROOT = SCRIPT.parent
SOURCE = SCRIPT.read_text()
LINES = SOURCE.splitlines()
LEAVES = sorted((ROOT / "etc/salt").glob("*/*.py"))
PARTS = ("Ground", "Master", "Minion", "Person")

MAX_LINES = 6500
MAX_CLASS = 300  # lines
MAX_FUNCTION = 40  # lines of code: neither blank, nor comment, nor docstring
PROSE = (18, 25)  # per cent of all lines: comments and docstrings

PURE, TREE, PROTOCOL, IO = "pure", "tree", "protocol", "io"
RINGS = {
    "Errors and small tools": PURE,
    "Options": PURE,
    "Payload": PURE,
    "Crypt": PURE,
    "YAML, words and nested data": PURE,
    "Targeting: which minions are meant": PURE,
    "Files": TREE,
    "Leaves: files that are read when they are asked for": TREE,
    "Configuration": TREE,
    "The log": IO,
    "The loop": IO,
    "Keys: who may join": PURE,
    "The life of a job": PURE,
    "Master tree": TREE,
    "Jobs": TREE,
    "Who speaks: peers and their sessions": PROTOCOL,
    "The shared key": PROTOCOL,
    "Who may join: admission": PROTOCOL,
    "Requests: bytes in, bytes out": PROTOCOL,
    "Master loop": IO,
    "Minion tree": TREE,
    "Minion protocol": PROTOCOL,
    "Running a function": IO,
    "The forker": IO,
    "Link: the connections to one master": IO,
    "Minion loop": IO,
    "Commands": IO,
}
REFUSED = {  # what a ring may not name
    PURE: "os zmq time threading logging log open Path socket subprocess signal stat shutil fcntl",
    TREE: "zmq time threading logging socket subprocess signal",
    PROTOCOL: "os zmq time threading socket subprocess signal fcntl open",
    IO: "",
}
ALLOWED = {  # a moment as text, from a number that was passed; random bytes, all from one place
    ("Errors and small tools", "time"),
    ("Errors and small tools", "os"),
}

BANNER = re.compile(r"# ---- (\d+)\. (.+?) -+")
PART = re.compile(r"# ==== (\w+) =+")
SECTIONS = {at: found[2] for at, line in enumerate(LINES, 1) if (found := BANNER.fullmatch(line))}


def section(node):
    return SECTIONS.get(max((at for at in SECTIONS if at <= node.lineno), default=0), "")


def names_of(node):
    """What a statement of the top level defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign | ast.AugAssign):
        return [node.target.id] if isinstance(node.target, ast.Name) else []
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def without_annotations(tree):
    """Annotations are not evaluated, so they may name what comes later."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return tree


BODY = without_annotations(ast.parse(SOURCE)).body
DEFINED = {name: node.lineno for node in reversed(BODY) for name in names_of(node)}


def loaded(node):
    """The names that a definition takes from outside, with the modules it imports itself."""
    inside = list(ast.walk(node))
    local = {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    local |= {n.arg for n in inside if isinstance(n, ast.arg)}
    taken = {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    imported = {alias.name for n in inside if isinstance(n, ast.Import) for alias in n.names}
    imported |= {str(n.module) for n in inside if isinstance(n, ast.ImportFrom)}
    return (taken - local if isinstance(node, ast.FunctionDef | ast.ClassDef) else taken) | imported


def docstring_lines(tree):
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            found |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return found


def comment_lines(source):
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0] for t in tokens if t.type == tokenize.COMMENT and t.line.lstrip().startswith("#")}


# Order


def test_sections_are_numbered_in_order_and_stand_in_the_contents():
    numbers = [int(found[1]) for line in LINES if (found := BANNER.fullmatch(line))]
    assert numbers == list(range(1, len(numbers) + 1))
    contents = SOURCE.split('"""')[1].partition("How to read it")[2]
    listed = re.findall(r"^ +(\d+)\. (.+)$", contents, re.MULTILINE)
    assert listed == [(str(number), title) for number, title in enumerate(SECTIONS.values(), 1)]


def test_four_parts_stand_in_order_each_with_its_introduction():
    found = [(at, match[1]) for at, line in enumerate(LINES) if (match := PART.fullmatch(line))]
    assert tuple(name for _, name in found) == PARTS
    for at, name in found:
        prose = [line for line in LINES[at + 1 : at + 30] if line.startswith("#")]
        assert len(prose) >= 3 and LINES[at + 1].startswith("# "), name


def test_every_section_is_in_one_ring():
    assert list(SECTIONS.values()) == list(RINGS)


def test_rings_of_a_part_follow_one_another():
    order = [PURE, TREE, PROTOCOL, IO]
    for part in PARTS:
        begin = LINES.index(next(line for line in LINES if (m := PART.fullmatch(line)) and m[1] == part))
        end = next((at for at, line in enumerate(LINES) if at > begin and PART.fullmatch(line)), len(LINES))
        rings = [order.index(RINGS[title]) for at, title in SECTIONS.items() if begin < at <= end]
        assert rings == sorted(rings), part


@pytest.mark.parametrize("ring", REFUSED)
def test_a_ring_uses_only_what_it_may(ring):
    refused = set(REFUSED[ring].split())
    found = {(section(node), name) for node in BODY if RINGS.get(section(node)) == ring for name in loaded(node)}
    assert {pair for pair in found if pair[1] in refused} <= ALLOWED


def test_there_is_one_thread_and_no_asyncio():
    assert not set().union(*map(loaded, BODY)) & {"threading", "asyncio", "concurrent", "multiprocessing"}


def test_references_point_up():
    """What stands above is all that a reader needs to know: 97 of 100 references, and today all of them."""
    pairs = [(DEFINED[n], node.lineno) for node in BODY for n in loaded(node) if n in DEFINED]
    pairs = [(at, line) for at, line in pairs if at != line]
    assert sum(at < line for at, line in pairs) / len(pairs) >= 0.97


def test_no_definition_needs_itself_through_others():
    needs = {name: set() for name in DEFINED}
    for node in BODY:
        for name in names_of(node):
            needs[name] |= {other for other in loaded(node) if other in DEFINED and other not in names_of(node)}
    reach = {name: set(others) for name, others in needs.items()}
    changed = True
    while changed:
        changed = False
        for others in reach.values():
            more = set().union(*(needs[other] for other in others)) - others if others else set()
            if more:
                others |= more
                changed = True
    assert [name for name, others in reach.items() if name in others] == []


# Size


def test_the_script_is_as_long_as_one_person_can_hold_in_mind():
    assert len(LINES) <= MAX_LINES


def test_classes_and_functions_have_a_size():
    tree = ast.parse(SOURCE)
    prose = docstring_lines(tree) | comment_lines(SOURCE) | {at for at, line in enumerate(LINES, 1) if not line.strip()}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            assert node.end_lineno - node.lineno < MAX_CLASS, node.name
        elif isinstance(node, ast.FunctionDef):
            assert len(set(range(node.lineno, node.end_lineno + 1)) - prose) <= MAX_FUNCTION, node.name


def test_prose_has_its_share():
    prose = len(docstring_lines(ast.parse(SOURCE)) | comment_lines(SOURCE))
    assert PROSE[0] <= 100 * prose / len(LINES) <= PROSE[1]


# Names


def test_a_name_is_defined_once():
    counted = {}
    for node in BODY:
        for name in [] if isinstance(node, ast.AugAssign) else names_of(node):
            counted[name] = counted.get(name, 0) + 1
    assert [name for name, count in counted.items() if count > 1] == []


def test_locals_do_not_hide_what_stands_at_the_top():
    hidden = set()
    for function in (node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.FunctionDef)):
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in DEFINED:
                hidden.add((function.name, node.id))
            elif isinstance(node, ast.arg) and node.arg in DEFINED:
                hidden.add((function.name, node.arg))
    assert hidden == set()


def test_an_id_of_a_minion_is_called_so():
    """`minion` is what a function receives, or the daemon; an id is `minion_id`."""
    for path in [SCRIPT, *LEAVES]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.arg) and node.arg == "minion":
                assert node.annotation is not None, path
                assert ast.unparse(node.annotation) in ("Execution", "Minion"), path


# What is not there


def tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("NOT TESTED: this is no git checkout")
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\n") if name and (ROOT / name).is_file()]


def test_nothing_refers_to_a_document_that_is_not_here():
    files = tracked()
    known = {Path(name).name for name in files}
    for name in files:
        text = (ROOT / name).read_text(errors="replace")
        for document in re.findall(r"\b[A-Z][A-Za-z_]+\.md\b", text):
            assert document in known, f"{name} speaks of {document}"
        if name != "tests/test_shape.py":
            assert not re.search(r"\(R\d+\)", text), f"{name} names a rule by a number"


def test_repository_has_no_other_top_level_entry():
    """Tool configuration stands in dot-files."""
    entries = {name.split("/")[0] for name in tracked() if not name.startswith(".")}
    assert entries <= {"saltlite.py", "build.sh", "etc", "tests", "README.md"}


def test_dangerous_calls_do_not_stand_where_bytes_of_strangers_come_in():
    """No eval, no pickle, no compiled text; YAML by the safe loader alone."""
    rings = (PURE, TREE, PROTOCOL)
    used = set().union(*(loaded(node) for node in BODY if RINGS.get(section(node)) in rings))
    assert not used & {"eval", "exec", "pickle", "marshal", "compile", "__import__"}
    for path in [SCRIPT, *LEAVES]:
        assert not re.search(r"yaml\.(unsafe_load|full_load|Loader|FullLoader|UnsafeLoader)\b", path.read_text())


def test_wire_serves_what_is_listed_and_nothing_of_an_administrator(site):
    """A closed table: names of a real master's commands that nobody may send are unknown by name."""
    absent = "publish runner wheel ping mk_token get_token minion_pub minion_publish minion_runner pub_ret"
    requests = site.master.requests
    assert wire(file_roots={}).keys() <= requests.keys()
    assert not requests.keys() & {*absent.split(), "_prep_auth_info", "_send_pub", "_auth"}
    assert all(type(name) is str and callable(row.handler) for name, row in requests.items())


# Leaves


def test_kinds_of_leaves_are_closed_and_their_names_meet_no_file_of_salts():
    directories = {path.name for path in (ROOT / "etc/salt").iterdir() if path.is_dir() and path.name != "__pycache__"}
    packed = set(saltlite.KINDS_OF_LEAVES) - {"utils"}  # of which none is packed
    assert directories == packed | {"stand_in", "master.d", "minion.d"}
    salts = {"master", "minion", "grains", "proxy", "roster"}
    assert not set(saltlite.KINDS_OF_LEAVES) & salts
    assert not [kind for kind in saltlite.KINDS_OF_LEAVES if kind.startswith("cloud")]


def test_the_core_names_no_leaf():
    """It asks for a kind, and for a name that somebody gave it."""
    stems = {path.stem for path in LEAVES} - {"master", "minion"}
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and "leaf" in node.func.id:
            words = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            assert not set(words) & stems, ast.unparse(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert "etc" not in ast.unparse(node).split(".")


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_leaf_takes_only_the_core_and_libraries(path):
    """Leaves know one another by what the core hands out, never by import; every name they take from it is there."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 and not str(node.module).startswith("etc")
            if node.module == "saltlite":
                assert [alias.name for alias in node.names if alias.name not in vars(saltlite)] == []


LOAD_EACH = """import os, pathlib, sys, traceback, saltlite
for path in sys.argv[1:]:
    if not (child := os.fork()):
        try:
            saltlite.read_leaf(pathlib.Path(path), {"__opts__": {}})
        except BaseException:
            print(path, traceback.format_exc().splitlines()[-1], sep="\\t", flush=True)
            os._exit(1)
        os._exit(0)
    if (ended := os.waitpid(child, 0)[1]) not in (0, 256):
        print(path, f"ended with {ended}", sep="\\t", flush=True)
print("all", len(sys.argv) - 1, sep="\\t")
"""


@functools.cache
def loading():
    """Each leaf in a process of its own, forked from one that has read the core alone: {path: what it said}."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD_EACH, *LEAVES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    said = dict(line.split("\t", 1) for line in done.stdout.splitlines())
    assert said.pop("all") == str(len(LEAVES)) and not done.stderr
    return said


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_leaf_can_be_loaded_alone(path):
    assert loading().get(str(path), "") == ""


def leaves_asked_for(tree):
    """{name: (kind, leaf)} of what a file has packed_leaf give it at its top, `a, b = packed_leaf(…), …` too."""
    found = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
        for name, call in zip(target.elts, value.elts, strict=False) if several else [(target, value)]:
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "packed_leaf":
                found[name.id] = tuple(arg.value for arg in call.args)
    return found


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_a_leaf_takes_of_another_is_there(path):
    """The type checker does not see through packed_leaf."""
    tree = ast.parse(path.read_text())
    asked = leaves_asked_for(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in asked:
            assert hasattr(saltlite.packed_leaf(*asked[node.value.id]), node.attr), ast.unparse(node)


OFFERS = {
    "options": ("OPTIONS",),
    "requests": ("Requests",),
    "commands": ("COMMAND",),
    "outputters": ("output",),
    "transports": ("Listener",),
    "wires": ("Wire",),
    "schedules": ("Schedule",),
    "rollouts": ("Rollout",),
    "queues": ("Queue",),
    "elsewhere": ("find", "function"),
}


@pytest.mark.parametrize("kind", OFFERS)
def test_a_leaf_offers_what_its_kind_says(kind):
    for name, path in saltlite.leaf_files(kind).items():
        offered = vars(saltlite.packed_leaf(kind, name))
        assert all(wanted in offered for wanted in OFFERS[kind]), path
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_names_of_builtins_are_hidden_nowhere_at_the_top():
    assert not set(DEFINED) & set(dir(builtins)) - {"__getattr__"}
