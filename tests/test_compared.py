"""What is said of the daily functions, to sys.doc and to the comparison with real Salt, and that comparison itself."""

from __future__ import annotations

import ast
import re

import functions
import pytest
from functions import Compared, Outcome, Report, between, compare, daily_modules, differences, short
from one_minion import Minion

import saltlite


@pytest.fixture(scope="module")
def minion(tmp_path_factory):
    return Minion(tmp_path_factory.mktemp("minion"), None, grains={"os_family": "Debian", "kernel": "Linux"})


def named(minion, module):
    """The functions of a module; a module that is not for this machine has none to speak of."""
    found = {name for name in minion.execution.functions if name.partition(".")[0] == module}
    if not found and (why := minion.execution.functions.why.get(module)):
        pytest.skip(why)
    return found


@pytest.mark.parametrize("module", daily_modules())
def test_each_daily_function_is_compared_or_said_not_to_be(minion, module):
    compared = Compared(module)
    names = named(minion, module)
    assert names and compared.unmentioned(names) == set()
    assert {fun for fun, _, _ in compared.cases} | set(compared.not_compared) <= names, "what is called is there"
    calls = {functions.as_typed(*case) for case in compared.cases} | {fun for fun, _, _ in compared.cases} | {"AFTER"}
    assert set(compared.differs) <= calls, "a difference is of a call that is made"


SHAPE = re.compile(r"(?i)\b(returns?|true|false|none|map|lists?|text|numbers?|float|raises|bytes|shape)\b|[\[{`]")


@pytest.mark.parametrize("module", [name for name in daily_modules() if name != "test"])
def test_each_daily_function_says_what_it_does_and_gives_with_an_example(minion, module):
    for name in named(minion, module):
        if name in saltlite.INSTANT:
            continue
        doc = minion.execution.functions[name].__doc__ or ""
        assert re.match(r"\S.{9,}?[.:]", doc, re.DOTALL) and f"salt '*' {name}" in doc, name
        assert SHAPE.search(doc.partition("CLI Example")[0]), f"{name} does not say what it gives"


def test_values_are_compared_with_their_types_and_the_place_of_a_difference_is_named():
    assert list(differences({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]})) == []
    assert list(differences({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]})) == ["['a'][1]['b']: Salt 2, saltlite 3"]
    assert list(differences(1, 1.0)) == ["Salt 1, saltlite 1.0"] and list(differences(1, True))
    assert list(differences([1], [1, 2])) == ["Salt [1], saltlite [1, 2]"]
    assert list(differences({"a": 1}, {"b": 1})) == [
        "['a']: only Salt has it, 1", "['b']: only saltlite has it, 1",
    ]  # fmt: skip
    assert len(short("x" * 1000)) < 200


def test_outcomes_are_compared_with_errors_and_retcodes():
    one = Outcome("returned", 5)
    assert between(one, Outcome("returned", 6), None) and not between(
        one, Outcome("returned", 6), lambda value: "number"
    )
    assert between(one, Outcome("returned", 5, 1), None) == ["retcode: Salt 0, saltlite 1"]
    assert between(one, Outcome("raised", ["KeyError", ""]), None)
    assert between(Outcome("raised", ["E", "a"]), Outcome("raised", ["E", "b"]), lambda value: 1), (
        "NORMAL is of returns"
    )
    assert "NORMAL cannot take" in between(one, one, lambda value: value["a"])[0]


def test_a_call_is_filled_in_and_printed():
    given = {"{scratch}/a": ["{scratch}", ("x", 1)], "n": None}
    assert functions.filled_in(given, "/tmp/s") == {"/tmp/s/a": ["/tmp/s", ("x", 1)], "n": None}
    assert functions.as_typed("a.b", ["x y", 1], {"k": "v"}) == 'a.b "x y" 1 k=v'
    assert functions.plain({"a": (1, {2, 1}), True: b"x"}) == {"a": [1, [1, 2]], True: b"x"}


class Said(Compared):
    """What a file of tests/compared says, without the file."""

    def __init__(self, differs):
        self.cases = [("m.f", [1], {}), ("m.f", [2], {}), ("m.g", [], {})]
        self.normal, self.after, self.differs = {}, False, differs


def judged(differs, theirs, ours, against=functions.SALTS):
    said, report = Said(differs), Report()
    outcomes = [
        {"outcomes": [Outcome("returned", value) for value in values], "after": {}} for values in (theirs, ours)
    ]
    report.pass_over(said, compare(said, *outcomes), against)
    return report.wrong


@pytest.mark.parametrize(("differs", "ours", "wrong"), [
    ({}, [1, 2, 3], 0), ({}, [1, 0, 3], 1), ({}, [0, 0, 3], 2),
    ({"m.f": "why"}, [1, 0, 3], 0), ({"m.f": "why"}, [0, 0, 3], 0), ({"m.f": "why"}, [1, 2, 3], 1),
    ({"m.f 2": "why"}, [1, 0, 3], 0), ({"m.f 2": "why"}, [0, 0, 3], 1), ({"m.f 2": "why"}, [0, 2, 3], 2),
])  # fmt: skip
def test_only_a_difference_that_is_said_and_there_is_right(differs, ours, wrong, capsys):
    assert judged(differs, [1, 2, 3], ours) == wrong
    assert ("NO DIFFERENCE ANY MORE" in capsys.readouterr().out) is (bool(differs) and ours[1] == 2)
    assert judged(differs, ours, ours, functions.CUSTOM) == 0
    assert judged(differs, [1, 2, 3], ours, functions.CUSTOM) == sum(
        a != b for a, b in zip([1, 2, 3], ours, strict=True)
    )


def test_the_tree_afterwards_has_names_modes_and_contents(tmp_path):
    (tmp_path / "d").mkdir(mode=0o750)
    (tmp_path / "d/f").write_bytes(b"\xff")
    (tmp_path / "t").write_text("text")
    (tmp_path / "l").symlink_to("t")
    found = functions.tree(tmp_path, "{scratch}")
    assert [row[3] for row in found.values()] == [None, b"\xff", "t", "text"]
    assert list(found) == ["{scratch}/d", "{scratch}/d/f", "{scratch}/l", "{scratch}/t"]
    assert found["{scratch}/d"][0] == "0o40750"


CHANGING = {  # calls of these and mentions of these programs change something outside of the job
    "os": """chmod chown fchmod fchown ftruncate kill killpg lchown link makedirs mkdir mkfifo mknod remove rename rmdir
        setxattr symlink truncate unlink utime write""".split(),
    "shutil": "chown copy copyfile copytree move rmtree".split(),
}
PROGRAMS = set(
    """chage chattr chpasswd date gpasswd groupadd groupdel groupmod hostname hostnamectl mount poweroff rc-update
    reboot shutdown swapoff swapon umount useradd userdel usermod""".split()
)
ONLY_LOOK = {  # what reaches such a call, and changes nothing that stays
    "archive.list_": "it removes its own copy of an archive", "archive.is_encrypted": "the same",
    "file.append": "`test` is among its keywords, for its arguments are lines", "file.write": "the same",
    "file.prepend": "the same", "file.search": "file.replace with search_only",
    "ssh.get_known_host_entries": "ssh-keygen looks into a copy", "ssh.check_known_host": "the same",
    "ssh.recv_known_host_entries": "the same",
    "service.get_all": "rc-update lists", "service.get_disabled": "the same", "service.get_enabled": "the same",
    "service.get_running": "the same", "service.enabled": "the same", "service.disabled": "the same",
    "service.available": "the same", "service.missing": "the same", "service.status": "the same",
}  # fmt: skip


def changes(node):
    """Whether a node of a function's tree changes something."""
    if isinstance(node, ast.Constant):
        return node.value in PROGRAMS
    called = getattr(node, "func", None)
    if isinstance(called, ast.Subscript):  # __salt__["file.write"]
        return ast.unparse(called).startswith(("__salt__['file.write']", "__salt__['network.mod_hostname']"))
    return isinstance(called, ast.Attribute) and called.attr in CHANGING.get(ast.unparse(called.value), ())


@pytest.mark.parametrize("module", daily_modules())
def test_each_daily_function_that_changes_something_takes_test(module):
    """Whatever reaches such a call through the functions of its file; what goes through tables is not followed."""
    tree = ast.parse((functions.MODULES / f"{module}.py").read_text())
    made = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    calls = {
        name: {node.func.id for node in ast.walk(each) if isinstance(getattr(node, "func", None), ast.Name)}
        for name, each in made.items()
    }
    reach = {name for name, each in made.items() if any(map(changes, ast.walk(each)))}
    while more := {name for name in made if calls[name] & reach} - reach:
        reach |= more
    without = {
        f"{module}.{name}"
        for name in reach
        if name[0] != "_" and "test" not in {each.arg for each in (*made[name].args.args, *made[name].args.kwonlyargs)}
    }
    assert without == {name for name in ONLY_LOOK if name.startswith(f"{module}.")}
