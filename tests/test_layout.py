"""The rings: who may use what (DESIGN.md 1, principle 6), read from the syntax tree of the script."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

import saltlite

SCRIPT = Path(saltlite.__file__)
SOURCE = SCRIPT.read_text()
BANNER = re.compile(r"# ---- (\d+)\. (.+?) -+")
SECTIONS = {at: int(found[1]) for at, line in enumerate(SOURCE.splitlines(), 1) if (found := BANNER.fullmatch(line))}
PURE, TREE, PROTOCOL = {2, 3, 4, 5, 6, 7}, {8, 9, 10, 11}, {12, 13}


def section(node):
    return max((number for at, number in SECTIONS.items() if at <= node.lineno), default=0)


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


def loaded(node):
    """The names that a definition takes from outside, with the modules it imports itself."""
    inside = list(ast.walk(node))
    local = {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    local |= {n.arg for n in inside if isinstance(n, ast.arg)}
    taken = {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    imported = {alias.name for n in inside if isinstance(n, ast.Import) for alias in n.names}
    imported |= {str(n.module) for n in inside if isinstance(n, ast.ImportFrom)}
    return (taken - local if isinstance(node, ast.FunctionDef | ast.ClassDef) else taken) | imported


def used(sections):
    return set().union(*(loaded(node) for node in BODY if section(node) in sections))


def defined():
    """Every top-level name with the section that defines it."""
    found = {}
    for node in BODY:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = section(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                found |= {n.id: section(node) for n in ast.walk(target) if isinstance(n, ast.Name)}
    return found


def test_sections_stand_in_order():
    assert list(SECTIONS.values()) == sorted(SECTIONS.values())
    assert {1} | PURE | TREE | PROTOCOL <= set(SECTIONS.values())


def test_contents_name_the_sections():
    contents = SOURCE.split('"""')[1].partition("Contents")[2]
    titles = {found[1]: found[2] for line in SOURCE.splitlines() if (found := BANNER.fullmatch(line))}
    for number, title in titles.items():
        assert re.search(rf"\b{number}\. {re.escape(title.split(':')[0].removeprefix('Section '))}", contents), title


@pytest.mark.parametrize(
    "sections, refused",
    [
        (PURE, "os zmq time threading logging log open Path socket subprocess signal stat shutil"),
        (TREE, "zmq time threading logging socket subprocess signal"),
        (PROTOCOL, "os zmq time threading socket subprocess signal"),
        ({19}, "os zmq time threading logging log socket subprocess open Path"),
    ],
    ids=["pure", "tree", "protocol", "output"],
)
def test_rings_use_only_what_they_may(sections, refused):
    assert not used(sections) & set(refused.split())


def test_script_has_one_thread_and_no_asyncio():
    assert not used(set(SECTIONS.values()) | {0}) & {"threading", "asyncio", "concurrent", "multiprocessing"}


LATER = {("reload_opts", "setup_log")}  # SIGHUP sets the log level again


def test_sections_use_only_what_stands_above_them():
    where = defined()
    later = {
        (node.name, name)
        for node in BODY
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        for name in loaded(node)
        if where.get(name, 0) > section(node)
    }
    assert later == LATER


def test_most_references_between_definitions_point_up():
    """A public function may stand above its helpers; more than a fifth of them, and the order does no work."""
    where = {node.name: node.lineno for node in BODY if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    pairs = [(where[n], node.lineno) for node in BODY for n in loaded(node) if n in where and where[n] != node.lineno]
    assert sum(at < line for at, line in pairs) / len(pairs) > 0.8


def test_dangerous_calls_do_not_stand_in_the_protocol():
    """No eval, no pickle, no shell where bytes of strangers come in (SECURITY.md R20)."""
    assert not used({1} | TREE | PURE | PROTOCOL) & {"eval", "exec", "pickle", "marshal", "compile", "__import__"}
    assert not re.search(r"yaml\.(unsafe_load|full_load|Loader|FullLoader|UnsafeLoader)\b", SOURCE)


def test_wire_serves_what_is_listed_and_nothing_of_an_administrator():
    """SECURITY.md R1 and R30: what is absent by default is unknown by name."""
    absent = "publish runner wheel ping mk_token get_token minion_pub minion_publish minion_runner pub_ret"
    assert not saltlite.REQUESTS.keys() & {*absent.split(), "_prep_auth_info", "_send_pub", "_auth"}
    assert all(type(name) is str and callable(row.handler) for name, row in saltlite.REQUESTS.items())


def test_repository_has_no_other_top_level_entry():
    """DESIGN.md 2; tool configuration stands in dot-files."""
    root = SCRIPT.resolve().parent
    if not (root / ".git").exists():
        pytest.skip("NOT TESTED: this is no git checkout")
    files = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split("\n")
    entries = {file.split("/")[0] for file in files if file and not file.startswith(".")}
    assert entries <= {"saltlite.py", "build.sh", "etc", "tests", "README.md"}
