"""Outputters, and words of the command line; what is expected was recorded from Salt 3008.3."""

import json
import math
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from leaves import TERMINAL as SCREEN

import saltlite
from saltlite import leaf_files, packed_leaf

printed, style = SCREEN.printed, SCREEN.style

load_yaml_args = packed_leaf("commands", "salt").load_yaml_args
RECORDED = [
    ("nested", {}, {"local": True}, "local:\n    True"),
    ("json", {}, {"local": True}, '{\n    "local": true\n}'),
    ("yaml", {}, {"local": True}, "local: true"),
    ("txt", {}, {"local": True}, "local: True"),
    ("raw", {}, {"local": True}, "{'local': True}"),
    ("pprint", {}, {"local": True}, "{'local': True}"),
    (
        "nested",
        {},
        {"m1": {"args": [1, "a"], "kwargs": {"k": "v", "x": [1, {"a": 2, "b": []}, [3, [4]]]}}},
        (
            "m1:\n"
            "    ----------\n"
            "    args:\n"
            "        - 1\n"
            "        - a\n"
            "    kwargs:\n"
            "        ----------\n"
            "        k:\n"
            "            v\n"
            "        x:\n"
            "            - 1\n"
            "            |_\n"
            "              ----------\n"
            "              a:\n"
            "                  2\n"
            "              b:\n"
            "            |_\n"
            "              - 3\n"
            "              |_\n"
            "                - 4"
        ),
    ),
    (
        "json",
        {},
        {"m1": {"args": [1, "a"], "kwargs": {"k": "v", "x": [1, {"a": 2, "b": []}, [3, [4]]]}}},
        (
            "{\n"
            '    "m1": {\n'
            '        "args": [\n'
            "            1,\n"
            '            "a"\n'
            "        ],\n"
            '        "kwargs": {\n'
            '            "k": "v",\n'
            '            "x": [\n'
            "                1,\n"
            "                {\n"
            '                    "a": 2,\n'
            '                    "b": []\n'
            "                },\n"
            "                [\n"
            "                    3,\n"
            "                    [\n"
            "                        4\n"
            "                    ]\n"
            "                ]\n"
            "            ]\n"
            "        }\n"
            "    }\n"
            "}"
        ),
    ),
    (
        "yaml",
        {},
        {"m1": {"args": [1, "a"], "kwargs": {"k": "v", "x": [1, {"a": 2, "b": []}, [3, [4]]]}}},
        (
            "m1:\n"
            "  args:\n"
            "  - 1\n"
            "  - a\n"
            "  kwargs:\n"
            "    k: v\n"
            "    x:\n"
            "    - 1\n"
            "    - a: 2\n"
            "      b: []\n"
            "    - - 3\n"
            "      - - 4"
        ),
    ),
    (
        "txt",
        {},
        {"m1": {"args": [1, "a"], "kwargs": {"k": "v", "x": [1, {"a": 2, "b": []}, [3, [4]]]}}},
        ("m1: {'args': [1, 'a'], 'kwargs': {'k': 'v', 'x': [1, {'a': 2, 'b': []}, [3, [4]]]}}"),
    ),
    (
        "raw",
        {},
        {"m1": {"args": [1, "a"], "kwargs": {"k": "v", "x": [1, {"a": 2, "b": []}, [3, [4]]]}}},
        ("{'m1': {'args': [1, 'a'], 'kwargs': {'k': 'v', 'x': [1, {'a': 2, 'b': []}, [3, [4]]]}}}"),
    ),
    (
        "pprint",
        {},
        {"m1": {"args": [1, "a"], "kwargs": {"k": "v", "x": [1, {"a": 2, "b": []}, [3, [4]]]}}},
        ("{'m1': {'args': [1, 'a'],\n        'kwargs': {'k': 'v', 'x': [1, {'a': 2, 'b': []}, [3, [4]]]}}}"),
    ),
    (
        "nested",
        {},
        {"m1": "two\nlines\n\nand \x1b[31mred"},
        "m1:\n    two\n    lines\n    \n    and ?[31mred",
    ),
    (
        "json",
        {},
        {"m1": "two\nlines\n\nand \x1b[31mred"},
        '{\n    "m1": "two\\nlines\\n\\nand \\u001b[31mred"\n}',
    ),
    ("yaml", {}, {"m1": "two\nlines\n\nand \x1b[31mred"}, 'm1: "two\\nlines\\n\\nand \\e[31mred"'),
    (
        "txt",
        {},
        {"m1": "two\nlines\n\nand \x1b[31mred"},
        "m1: two\nm1: lines\nm1: \nm1: and \x1b[31mred",
    ),
    ("raw", {}, {"m1": "two\nlines\n\nand \x1b[31mred"}, "{'m1': 'two\\nlines\\n\\nand \\x1b[31mred'}"),
    (
        "pprint",
        {},
        {"m1": "two\nlines\n\nand \x1b[31mred"},
        "{'m1': 'two\\nlines\\n\\nand \\x1b[31mred'}",
    ),
    (
        "nested",
        {},
        {"m1": {"retcode": 0, "stdout": "", "pid": 7, "none": None, "f": 1.5, "big": 10**20, "e": {}}},
        (
            "m1:\n"
            "    ----------\n"
            "    big:\n"
            "        100000000000000000000\n"
            "    e:\n"
            "        ----------\n"
            "    f:\n"
            "        1.5\n"
            "    none:\n"
            "        None\n"
            "    pid:\n"
            "        7\n"
            "    retcode:\n"
            "        0\n"
            "    stdout:"
        ),
    ),
    (
        "json",
        {},
        {"m1": {"retcode": 0, "stdout": "", "pid": 7, "none": None, "f": 1.5, "big": 10**20, "e": {}}},
        (
            "{\n"
            '    "m1": {\n'
            '        "retcode": 0,\n'
            '        "stdout": "",\n'
            '        "pid": 7,\n'
            '        "none": null,\n'
            '        "f": 1.5,\n'
            '        "big": 100000000000000000000,\n'
            '        "e": {}\n'
            "    }\n"
            "}"
        ),
    ),
    (
        "yaml",
        {},
        {"m1": {"retcode": 0, "stdout": "", "pid": 7, "none": None, "f": 1.5, "big": 10**20, "e": {}}},
        ("m1:\n  big: 100000000000000000000\n  e: {}\n  f: 1.5\n  none: null\n  pid: 7\n  retcode: 0\n  stdout: ''"),
    ),
    (
        "txt",
        {},
        {"m1": {"retcode": 0, "stdout": "", "pid": 7, "none": None, "f": 1.5, "big": 10**20, "e": {}}},
        ("m1: {'retcode': 0, 'stdout': '', 'pid': 7, 'none': None, 'f': 1.5, 'big': 100000000000000000000, 'e': {}}"),
    ),
    (
        "raw",
        {},
        {"m1": {"retcode": 0, "stdout": "", "pid": 7, "none": None, "f": 1.5, "big": 10**20, "e": {}}},
        (
            "{'m1': {'retcode': 0, 'stdout': '', 'pid': 7, 'none': None, 'f': 1.5, "
            "'big': 100000000000000000000, 'e': {}}}"
        ),
    ),
    (
        "pprint",
        {},
        {"m1": {"retcode": 0, "stdout": "", "pid": 7, "none": None, "f": 1.5, "big": 10**20, "e": {}}},
        (
            "{'m1': {'big': 100000000000000000000,\n"
            "        'e': {},\n"
            "        'f': 1.5,\n"
            "        'none': None,\n"
            "        'pid': 7,\n"
            "        'retcode': 0,\n"
            "        'stdout': ''}}"
        ),
    ),
    # bytes: Salt prints nothing at all, or what Python would write
    ("nested", {}, {"m1": b"\xff\x00", "m2": b"ok"}, "m1:\n    \\xff\0\nm2:\n    ok"),
    (
        "json",
        {},
        {"m1": b"\xff\x00", "m2": b"ok"},
        '{\n    "m1": "\\\\xff\\u0000",\n    "m2": "ok"\n}',
    ),
    ("yaml", {}, {"m1": b"\xff\x00", "m2": b"ok"}, "m1: !!binary |\n  /wA=\nm2: !!binary |\n  b2s="),
    ("txt", {}, {"m1": b"\xff\x00", "m2": b"ok"}, "m1: \\xff\0\nm2: ok"),
    ("raw", {}, {"m1": b"\xff\x00", "m2": b"ok"}, "{'m1': b'\\xff\\x00', 'm2': b'ok'}"),
    ("pprint", {}, {"m1": b"\xff\x00", "m2": b"ok"}, "{'m1': b'\\xff\\x00', 'm2': b'ok'}"),
    (
        "nested",
        {},
        {"m1": {1: "int", "a": "text"}, "m0": "é 🐍"},
        "m0:\n    é 🐍\nm1:\n    ----------\n    1:\n        int\n    a:\n        text",
    ),
    (
        "json",
        {},
        {"m1": {1: "int", "a": "text"}, "m0": "é 🐍"},
        ('{\n    "m1": {\n        "1": "int",\n        "a": "text"\n    },\n    "m0": "é 🐍"\n}'),
    ),
    (
        "yaml",
        {},
        {"m1": {1: "int", "a": "text"}, "m0": "é 🐍"},
        'm0: "é \\U0001F40D"\nm1:\n  1: int\n  a: text',
    ),
    ("txt", {}, {"m1": {1: "int", "a": "text"}, "m0": "é 🐍"}, "m1: {1: 'int', 'a': 'text'}\nm0: é 🐍"),
    (
        "raw",
        {},
        {"m1": {1: "int", "a": "text"}, "m0": "é 🐍"},
        "{'m1': {1: 'int', 'a': 'text'}, 'm0': 'é 🐍'}",
    ),
    (
        "pprint",
        {},
        {"m1": {1: "int", "a": "text"}, "m0": "é 🐍"},
        "{'m0': 'é 🐍', 'm1': {1: 'int', 'a': 'text'}}",
    ),
    ("nested", {}, "no minion", "no minion"),
    ("json", {}, "no minion", '"no minion"'),
    ("yaml", {}, "no minion", "no minion"),
    ("txt", {}, "no minion", "no minion"),
    ("raw", {}, "no minion", "no minion"),
    ("pprint", {}, "no minion", "'no minion'"),
    ("nested", {}, {}, ""),
    ("json", {}, {}, "{}"),
    ("yaml", {}, {}, "{}"),
    ("txt", {}, {}, ""),
    ("txt", {"retcode": 3}, {"m1 (retcode 3)": ""}, "m1 (retcode 3):"),
    ("raw", {}, {}, "{}"),
    ("pprint", {}, {}, "{}"),
    (
        "nested",
        {"color": True, "retcode": 0},
        {"m1": {"l": [1, {"a": "b"}, [True]], "s": "x"}},
        (
            "\x1b[0;36mm1\x1b[0;0m:\n"
            "    \x1b[0;36m----------\x1b[0;0m\n"
            "    \x1b[0;36ml\x1b[0;0m:\n"
            "        \x1b[0;1;33m- 1\x1b[0;0m\n"
            "        \x1b[0;32m|_\x1b[0;0m\n"
            "          \x1b[0;36m----------\x1b[0;0m\n"
            "          \x1b[0;36ma\x1b[0;0m:\n"
            "              \x1b[0;32mb\x1b[0;0m\n"
            "        \x1b[0;32m|_\x1b[0;0m\n"
            "          \x1b[0;1;33m- True\x1b[0;0m\n"
            "    \x1b[0;36ms\x1b[0;0m:\n"
            "        \x1b[0;32mx\x1b[0;0m"
        ),
    ),
    (
        "nested",
        {"color": True, "retcode": 1},
        {"m1": {"l": [1, {"a": "b"}, [True]], "s": "x"}},
        (
            "\x1b[0;31mm1\x1b[0;0m:\n"
            "    \x1b[0;31m----------\x1b[0;0m\n"
            "    \x1b[0;31ml\x1b[0;0m:\n"
            "        \x1b[0;1;33m- 1\x1b[0;0m\n"
            "        \x1b[0;31m|_\x1b[0;0m\n"
            "          \x1b[0;31m----------\x1b[0;0m\n"
            "          \x1b[0;31ma\x1b[0;0m:\n"
            "              \x1b[0;32mb\x1b[0;0m\n"
            "        \x1b[0;31m|_\x1b[0;0m\n"
            "          \x1b[0;1;33m- True\x1b[0;0m\n"
            "    \x1b[0;31ms\x1b[0;0m:\n"
            "        \x1b[0;32mx\x1b[0;0m"
        ),
    ),
    (
        "json",
        {"output_indent": 0},
        {"m1": {"l": [1, {"a": "b"}, [True]], "s": "x"}},
        '{\n"m1": {\n"l": [\n1,\n{\n"a": "b"\n},\n[\ntrue\n]\n],\n"s": "x"\n}\n}',
    ),
    (
        "yaml",
        {"output_indent": 0},
        {"m1": {"l": [1, {"a": "b"}, [True]], "s": "x"}},
        "m1:\n  l:\n  - 1\n  - a: b\n  - - true\n  s: x",
    ),
    (
        "pprint",
        {"output_indent": 0},
        {"m1": {"l": [1, {"a": "b"}, [True]], "s": "x"}},
        "{'m1': {'l': [1, {'a': 'b'}, [True]], 's': 'x'}}",
    ),
    (
        "json",
        {"output_indent": 2},
        {"m1": {"l": [1, {"a": "b"}, [True]], "s": "x"}},
        (
            "{\n"
            '  "m1": {\n'
            '    "l": [\n'
            "      1,\n"
            "      {\n"
            '        "a": "b"\n'
            "      },\n"
            "      [\n"
            "        true\n"
            "      ]\n"
            "    ],\n"
            '    "s": "x"\n'
            "  }\n"
            "}"
        ),
    ),
    (
        "yaml",
        {"output_indent": 2},
        {"m1": {"l": [1, {"a": "b"}, [True]], "s": "x"}},
        "m1:\n  l:\n  - 1\n  - a: b\n  - - true\n  s: x",
    ),
    (
        "pprint",
        {"output_indent": 2},
        {"m1": {"l": [1, {"a": "b"}, [True]], "s": "x"}},
        "{'m1': {'l': [1, {'a': 'b'}, [True]], 's': 'x'}}",
    ),
    (
        "json",
        {"output_indent": -1},
        {"m1": {"l": [1, {"a": "b"}, [True]], "s": "x"}},
        '{"m1": {"l": [1, {"a": "b"}, [true]], "s": "x"}}',
    ),
    (
        "yaml",
        {"output_indent": -1},
        {"m1": {"l": [1, {"a": "b"}, [True]], "s": "x"}},
        "{m1: {l: [1, {a: b}, [true]], s: x}}",
    ),
    (
        "pprint",
        {"output_indent": -1},
        {"m1": {"l": [1, {"a": "b"}, [True]], "s": "x"}},
        "{'m1': {'l': [1, {'a': 'b'}, [True]], 's': 'x'}}",
    ),
    ("json", {"output_indent": "pretty"}, {"b": 1, "a": 2}, '{\n    "a": 2,\n    "b": 1\n}'),
    (
        "key",
        {"color": False},
        {"minions": ["a1", "B0", "a0"], "minions_pre": ["b2"], "minions_rejected": [], "minions_denied": ["x"]},
        "Accepted Keys:\nB0\na0\na1\nDenied Keys:\nx\nUnaccepted Keys:\nb2\nRejected Keys:",
    ),
    (
        "key",
        {"color": True},
        {"minions": ["a1", "B0", "a0"], "minions_pre": ["b2"], "minions_rejected": [], "minions_denied": ["x"]},
        (
            "\x1b[0;1;32mAccepted Keys:\x1b[0;0m\n"
            "\x1b[0;32mB0\x1b[0;0m\n"
            "\x1b[0;32ma0\x1b[0;0m\n"
            "\x1b[0;32ma1\x1b[0;0m\n"
            "\x1b[0;1;35mDenied Keys:\x1b[0;0m\n"
            "\x1b[0;35mx\x1b[0;0m\n"
            "\x1b[0;1;31mUnaccepted Keys:\x1b[0;0m\n"
            "\x1b[0;31mb2\x1b[0;0m\n"
            "\x1b[0;1;34mRejected Keys:\x1b[0;0m"
        ),
    ),
    (
        "key",
        {"color": False},
        {"minions": {"a1": "aa:bb"}, "minions_pre": {"b2": "cc:dd"}},
        "Accepted Keys:\na1:  aa:bb\nUnaccepted Keys:\nb2:  cc:dd",
    ),
    (
        "key",
        {"color": True},
        {"minions": {"a1": "aa:bb"}, "minions_pre": {"b2": "cc:dd"}},
        (
            "\x1b[0;1;32mAccepted Keys:\x1b[0;0m\n"
            "\x1b[0;32ma1:  aa:bb\x1b[0;0m\n"
            "\x1b[0;1;31mUnaccepted Keys:\x1b[0;0m\n"
            "\x1b[0;31mb2:  cc:dd\x1b[0;0m"
        ),
    ),
    (
        "key",
        {"color": False},
        {"local": {"master.pem": "1", "master.pub": "2"}},
        "Local Keys:\nmaster.pem:  1\nmaster.pub:  2",
    ),
    (
        "key",
        {"color": True},
        {"local": {"master.pem": "1", "master.pub": "2"}},
        ("\x1b[0;1;35mLocal Keys:\x1b[0;0m\n\x1b[0;35mmaster.pem:  1\x1b[0;0m\n\x1b[0;35mmaster.pub:  2\x1b[0;0m"),
    ),
    ("key", {"color": False}, {"minions": ["a\nUnaccepted Keys:"]}, "Accepted Keys:\na\\nUnaccepted Keys:"),
    ("key", {"color": False}, {}, ""),
    ("key", {"color": True}, {}, ""),
    (
        "newline_values_only",
        {},
        {"m1": ["a", {"b": None}], "m2": "c\nd", "m3": [], "m4": {}},
        "a\n{'b': None}\nc\nd\n{}",
    ),
    (
        "no_return",
        {"color": False},
        {"m2": "Minion did not return. [No response]", "m1": "Minion did not return\ntwo"},
        ("m1:\n    Minion did not return\n    two\nm2:\n    Minion did not return. [No response]"),
    ),
    (
        "no_return",
        {"color": True},
        {"m2": "Minion did not return. [No response]", "m1": "Minion did not return\ntwo"},
        (
            "\x1b[0;36mm1\x1b[0;0m:\n"
            "\x1b[0;31m    Minion did not return\x1b[0;0m\n"
            "\x1b[0;31m    two\x1b[0;0m\n"
            "\x1b[0;36mm2\x1b[0;0m:\n"
            "\x1b[0;31m    Minion did not return. [No response]\x1b[0;0m"
        ),
    ),
]


@pytest.mark.parametrize(("out", "opts", "data", "text"), RECORDED)
def test_output_is_what_salt_prints(out, opts, data, text):
    assert printed(data, out, opts) == text


@pytest.mark.parametrize("out", [None, "", "nested", "virt_query", "no such"])
def test_nested_is_the_fallback(out):
    assert printed({"m1": True}, out, {}) == "m1:\n    True"


@pytest.mark.parametrize(
    ("data", "out"), [({"m1": True}, "key"), ({"local": True}, "key"), (5, "key"), (None, "no_return")]
)
def test_what_an_outputter_cannot_show_is_nested(data, out):
    assert printed(data, out, {}) == printed(data, "nested", {})


def test_json_keys_that_are_none_give_an_empty_document():
    assert printed({(1, 2): 3}, "json", {}) == "{}"


def test_quiet_says_nothing():
    assert printed({"m1": True}, "quiet", {}) == ""


def test_several_minions_are_one_document():
    assert printed({"m2": True, "m1": [1]}, "json", {"output_indent": -1}) == '{"m2": true, "m1": [1]}'
    assert printed({"m2": True, "m1": [1]}, "nested", {}) == "m1:\n    - 1\nm2:\n    True"


@pytest.mark.parametrize(
    ("terminal", "no_color", "force_color", "color"),
    [
        (True, False, False, True),
        (False, False, False, False),
        (True, True, False, False),
        (False, False, True, True),
        (True, True, True, True),
        (False, True, True, True),
    ],
)
def test_colour_is_for_terminals(terminal, no_color, force_color, color):
    assert style(terminal, no_color, force_color)["color"] is color


HOSTILE = "a\x1b]0;title\x07b\u202ec\x9b2Jd\re\x7f\u2066f\x08"
TERMINAL = [
    ("nested", "m1:\n    a?]0;title\\u0007b\\u202ec\\u009b2Jd\n    e\\u007f\\u2066f\\u0008"),
    ("json", '{\n    "m1": "a\\u001b]0;title\\u0007b\\u202ec\\u009b2Jd\\re\\u007f\\u2066f\\b"\n}'),
    ("txt", "m1: a\\u001b]0;title\\u0007b\\u202ec\\u009b2Jd\nm1: e\\u007f\\u2066f\\u0008"),
    ("key", "m1:\n    a?]0;title\\u0007b\\u202ec\\u009b2Jd\n    e\\u007f\\u2066f\\u0008"),
]


@pytest.mark.parametrize(("out", "text"), TERMINAL)
def test_a_terminal_gets_no_controls(out, text):
    assert printed({"m1": HOSTILE}, out, style(True, no_color=True)) == text


def test_a_pipe_gets_what_salt_would_write():
    assert printed({"m1": "a\x1b[1m\u202e"}, "txt", style(False)) == "m1: a\x1b[1m\u202e"


def test_colours_survive_the_terminal():
    assert printed({"\x1b[1mm1": 5}, "nested", style(True)) == (
        "\x1b[0;36m?[1mm1\x1b[0;0m:\n    \x1b[0;1;33m5\x1b[0;0m"
    )


@given(st.recursive(st.text() | st.binary(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
@settings(max_examples=50)
def test_no_data_reaches_a_terminal_as_a_control(data):
    for out in leaf_files("outputters"):
        text = printed(data, out, style(True, no_color=True))
        assert all(char in "\n\t" or char.isprintable() or char > "\x9f" for char in text)
        text.encode()


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
@settings(max_examples=50)
def test_yaml_and_json_can_be_read_back_from_a_pipe(data):
    assert yaml.safe_load(printed({"m1": data}, "yaml", style(False))) == {"m1": data}
    for indent in (None, 0, -1, "pretty"):
        assert json.loads(printed({"m1": data}, "json", style(False, indent=indent))) == {"m1": data}


def test_docs_are_printed_once():
    returns = {
        "m1": {"test.ping": "Ping.\n", "a.b": "Doc"},
        "m2": {"test.ping": "Other"},
        "m3": "Minion did not return",
    }
    assert printed(returns, "docs", {}) == "a.b:\nDoc\n\ntest.ping:\nPing."


WORDS = [
    ("1", [1]),
    ("01", [1]),
    ("010", [10]),
    ("0o10", ["0o10"]),
    ("0x1f", [31]),
    ("0b11", [3]),
    ("1_000", ["1_000"]),
    ("1_000a", ["1_000a"]),
    ("_1", ["_1"]),
    ("1.5", [1.5]),
    ("1e3", ["1e3"]),
    ("1.5e3", ["1.5e3"]),
    (".5", [0.5]),
    ("-1", [-1]),
    ("+1", [1]),
    ("-0", [0]),
    ("1:30", [90]),
    ("12:30:45", [45045]),
    ("true", [True]),
    ("True", [True]),
    ("yes", [True]),
    ("Yes", [True]),
    ("on", [True]),
    ("off", [False]),
    ("no", [False]),
    ("y", ["y"]),
    ("n", ["n"]),
    ("null", [None]),
    ("~", [None]),
    ("None", [None]),
    ("none", ["none"]),
    ("NULL", [None]),
    ("", [""]),
    (" ", [" "]),
    ("  x ", ["x"]),
    ("---", ["---"]),
    ("...", ["..."]),
    ("|", ["|"]),
    ("!", ["!"]),
    (">", [""]),
    ("#", ["#"]),
    ("# c", ["# c"]),
    ("a # c", ["a # c"]),
    ("a#c", ["a#c"]),
    ("[1, '#']", [[1, "#"]]),
    ("#x: 1", ["#x: 1"]),
    ("{a: '#'}", [{"a": "#"}]),
    ("1 # one", [1]),
    ("a: b", ["a: b"]),
    ("a:b", ["a:b"]),
    ("a:", ["a:"]),
    (":a", [":a"]),
    ("key: [1]", ["key: [1]"]),
    ("{a: b}", [{"a": "b"}]),
    ("{a: 1, a: 2}", ["{a: 1, a: 2}"]),
    ("{a: {b: [1, 2]}}", [{"a": {"b": [1, 2]}}]),
    ("[1, 2]", [[1, 2]]),
    ("[a, b", ["[a, b"]),
    ("[]", [[]]),
    ("{}", [{}]),
    ("{a}", [{"a": None}]),
    ("- a", ["- a"]),
    ("-", ["-"]),
    ("- - x", ["- - x"]),
    ("? a", ["? a"]),
    ("@x", ["@x"]),
    ("%x", ["%x"]),
    ("%y", ["%y"]),
    ("`x`", ["`x`"]),
    ("&a", [None]),
    ("*a", ["*a"]),
    ("&a b", ["b"]),
    ("!x", ["!x"]),
    ("!!str 1", ["1"]),
    ("!!int 5", [5]),
    ("!!binary aGk=", ["!!binary aGk="]),
    ("'1'", ["1"]),
    ('"1"', ["1"]),
    ("'a", ["'a"]),
    ('"a', ['"a']),
    ("2024-01-01", ["2024-01-01"]),
    ("2024-01-01 10:00:00", ["2024-01-01 10:00:00"]),
    ("2024-01-01T10:00:00Z", ["2024-01-01T10:00:00Z"]),
    ("[2024-01-01]", [["2024-01-01"]]),
    ("a\tb", ["a\tb"]),
    ("a\nb", ["a\nb"]),
    ("a\r", ["a\r"]),
    ("1\n", ["1\n"]),
    ("\t", ["\t"]),
    ("1 2", ["1 2"]),
    ("a b", ["a b"]),
    (" 1", [1]),
    ("1 ", [1]),
    ("k=v", [{"__kwarg__": True, "k": "v"}]),
    ("k=1", [{"__kwarg__": True, "k": 1}]),
    ("k=", [{"__kwarg__": True, "k": ""}]),
    ("k==v", ["k==v"]),
    ("=v", ["=v"]),
    ("1k=v", ["1k=v"]),
    ("_k=v", [{"__kwarg__": True, "_k": "v"}]),
    ("k-x=v", [{"__kwarg__": True, "k-x": "v"}]),
    ("k.x=[1]", [{"__kwarg__": True, "k.x": [1]}]),
    ("é=1", [{"__kwarg__": True, "é": 1}]),
    ("k=a=b", [{"__kwarg__": True, "k": "a=b"}]),
    ("k = v", ["k = v"]),
    ("k=None", [{"__kwarg__": True, "k": None}]),
    ("k=#x", [{"__kwarg__": True, "k": "#x"}]),
    ("k=a\nb", ["k=a\nb"]),
    ("k=a\n", [{"__kwarg__": True, "k": "a"}]),
    ("k={a: b}", [{"__kwarg__": True, "k": {"a": "b"}}]),
    ("a:k=v", ["a:k=v"]),
    ("k=- a", [{"__kwarg__": True, "k": "- a"}]),
    ("k=010", [{"__kwarg__": True, "k": 10}]),
    ("20240101123456789012", ["20240101123456789012"]),
    ("k=20240101123456789012", [{"__kwarg__": True, "k": 20240101123456789012}]),
    ("-2024010112345678901", ["-2024010112345678901"]),
    ("12345678901234567890_123", ["12345678901234567890_123"]),
    ("00", [0]),
    ("0", [0]),
    ("08", ["08"]),
    ("09", ["09"]),
    ("007", [7]),
    ("0_7", ["0_7"]),
    ("-010", [-8]),
    ("+010", [8]),
    ("0.0", [0.0]),
    ("00.5", [0.5]),
    ("http://x.org/a?b=c", ["http://x.org/a?b=c"]),
    ("c:\\dir", ["c:\\dir"]),
    ("salt://x", ["salt://x"]),
    ("*", ["*"]),
    ("**", ["**"]),
    ("a*", ["a*"]),
    ("{{ x }}", ["{{ x }}"]),
    ("${x}", ["${x}"]),
    ("$(x)", ["$(x)"]),
    ("a,b", ["a,b"]),
    ("a, b", ["a, b"]),
    ("[a,b]", [["a", "b"]]),
    ("<<", ["<<"]),
    ("=", ["="]),
    ("{<<: {a: 1}, b: 2}", [{"a": 1, "b": 2}]),
    (".inf", [math.inf]),
    ("-.INF", [-math.inf]),
    (".nan", [math.nan]),
    ("é", ["é"]),
    ("🐍", ["🐍"]),
    ("\x00", ["\x00"]),
    ("\x1b[1m", ["\x1b[1m"]),
    ("\u202e", ["\u202e"]),
    ("a\\nb", ["a\\nb"]),
    ('"a\\nb"', ["a\nb"]),
    ("[true, None, ~]", [[True, "None", None]]),
    ("{1: 2}", [{1: 2}]),
    ("{true: x}", [{True: "x"}]),
    ("{[1]: 2}", ["{[1]: 2}"]),
    ("!!python/object:os.system", ["!!python/object:os.system"]),
    ("!!timestamp 2024-01-01", ["2024-01-01"]),
    ("[0x10, 010, 1_000]", [[16, 10, 1000]]),
    ("{a: 010}", [{"a": 10}]),
    ("190:20:30", [685230]),
    ("1e5", ["1e5"]),
    ("1E5", ["1E5"]),
    ("1.e5", ["1.e5"]),
    ("1.0e+5", [100000.0]),
    ("0xZZ", ["0xZZ"]),
    ("1__0", ["1__0"]),
    ("_", ["_"]),
    ("__", ["__"]),
    ("1_", ["1_"]),
    ("_1_", ["_1_"]),
    (" 1_0 ", [" 1_0 "]),
    ("[1]x", ["[1]x"]),
    ("{a: b} x", ["{a: b} x"]),
    ("[", ["["]),
    ("{", ["{"]),
    ("]", ["]"]),
    ("}", ["}"]),
    ("{=: 1}", [{"=": 1}]),
    ("{<<: {a: 1}, a: 2}", [{"a": 2}]),
    ("{a: b, c: [d, e], f: {g: null}}", [{"a": "b", "c": ["d", "e"], "f": {"g": None}}]),
    ("{'a': 1, \"b\": 'two'}", [{"a": 1, "b": "two"}]),
    ('{"a": true, "b": null}', [{"a": True, "b": None}]),
    ("x: {", ["x: {"]),
    ("@{a}", ["@{a}"]),
    ("a|b", ["a|b"]),
    ("| x", ["| x"]),
    ("> x", ["> x"]),
    ("!!set {a}", ["!!set {a}"]),
    ("!!omap [a: 1]", ["!!omap [a: 1]"]),
    ("[!!binary aGk=]", [[b"hi"]]),
    ("[!!set {a}]", [[{"a"}]]),
]


@pytest.mark.parametrize(("word", "parsed"), WORDS)
def test_words_are_parsed_as_salt_parses_them(word, parsed):
    args, kwargs = load_yaml_args([word])
    assert repr([*args, {"__kwarg__": True, **kwargs}] if kwargs else args) == repr(parsed)


@pytest.mark.parametrize("word", ["a: b # c", 'echo "a: b" # c', "- a # b", "=: #", "x: #y"])
def test_a_word_with_a_colon_and_a_comment_stays_a_word(word):
    """Salt makes a map of it, and of a command half of what was meant."""
    assert load_yaml_args([word, "k", f"k= {word}"]) == ([word, "k"], {"k": f" {word}"})


@pytest.mark.parametrize("word", ["A=1\necho got $A", "A=1\n\n", "\nA=1"])
def test_a_word_of_several_lines_is_no_keyword(word):
    assert load_yaml_args([word]) == ([word], {})


def test_words_keep_their_order_and_the_last_keyword_wins():
    assert load_yaml_args(["1", "k=1", "b", "k=[2]"]) == ([1, "b"], {"k": [2]})


@given(st.lists(st.text()))
def test_no_word_raises(words):
    args, kwargs = load_yaml_args(words)
    assert len(args) + len(kwargs) <= len(words)


@pytest.mark.parametrize("out", ["yaml", "pprint", "json", "nested", "highstate"])
def test_no_outputter_takes_long(out, monkeypatch):
    """Aliases by the thousand, words without an end, maps in maps: whatever a minion returns is shown in time."""
    nest: object = "x"
    for _ in range(80):
        nest = {"k" * 20: [nest, "a b " * 50]}
    hostile = {"m1": [nest, ["x y " * 5_000] * 20, {f"{number} x": "  \n" * 50 for number in range(500)}]}
    began = time.monotonic()
    printed(hostile, out, {})
    assert time.monotonic() - began < 2 * (SCREEN.SECONDS + len(saltlite.pack(hostile)) / SCREEN.BYTES_A_SECOND)


def test_an_outputter_that_takes_too_long_is_left_for_nested(tmp_path):
    (tmp_path / "outputters").mkdir()
    (tmp_path / "outputters/slow.py").write_text("def output(data, opts):\n    while True:\n        pass\n")
    began = time.monotonic()
    assert printed({"m1": True}, "slow", {"conf_dir": str(tmp_path)}) == "m1:\n    True"
    assert SCREEN.SECONDS <= time.monotonic() - began < SCREEN.SECONDS + 5
