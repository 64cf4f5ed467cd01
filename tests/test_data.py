"""Data keeps its types: on its way through JSON, to a terminal that is no UTF-8, and to salt-call."""

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live import ENVIRONMENT, PROGRAM, running_master, running_minion, until

import saltlite
from saltlite import from_json, to_json, yaml_word

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
KEYS = SCALARS | st.binary(max_size=9) | st.sampled_from(saltlite.MARKS)
DATA = st.recursive(
    SCALARS | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


def typed(value):
    """Data as text, in which 1, True and 1.0 differ."""
    return repr(value)


@given(DATA)
def test_what_goes_into_json_comes_out(value):
    assert typed(from_json(to_json(value))) == typed(value)


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner), max_leaves=9))
def test_ordinary_data_is_ordinary_json(value):
    text = to_json(value)
    if not any(mark in text for mark in saltlite.MARKS):
        assert json.loads(text) == value


@pytest.mark.parametrize(
    "value, text",
    [
        ({"a": 1}, '{"a": 1}'),
        ({1: "a", None: "b"}, '{"__map__": [[1, "a"], [null, "b"]]}'),
        ({"ports": {80: "http"}}, '{"ports": {"__map__": [[80, "http"]]}}'),
        ({True: 1, "a": 2}, '{"__map__": [[true, 1], ["a", 2]]}'),
        ({b"\xff": 1}, '{"__map__": [[{"__bytes__": "/w=="}, 1]]}'),
        ({"__map__": [[1, 2]]}, '{"__map__": [["__map__", [[1, 2]]]]}'),
        ({"__bytes__": "YQ=="}, '{"__map__": [["__bytes__", "YQ=="]]}'),
        ({"__bytes__": "YQ==", "b": 1}, '{"__bytes__": "YQ==", "b": 1}'),
    ],
)
def test_marks_are_there_only_where_json_has_no_word(value, text):
    assert to_json(value) == text and typed(from_json(text)) == typed(value)


def test_tuples_are_lists():
    assert from_json(to_json([({1: 2},)])) == [[{1: 2}]]


@pytest.mark.parametrize("key, kept", [(2**64 - 1, True), (2**64, False), (-(2**63), True), (-(2**63) - 1, False)])
def test_numbers_that_no_message_can_carry_are_texts_as_keys(key, kept):
    """As on the wire; and of others a stranger could choose thousands that Python keeps at one place."""
    assert from_json(to_json({key: 1})) == {key if kept else str(key): 1}
    text = f'{{"__map__": [[{key}, 1]]}}'
    assert from_json(text) == ({key: 1} if kept else json.loads(text))


@pytest.mark.parametrize(
    "text", ['{"__map__": [[[1], 2]]}', '{"__map__": [[1]]}', '{"__map__": 5}', '{"__map__": [5]}']
)
def test_what_only_looks_like_a_mark_is_somebodys_map(text):
    assert from_json(text) == json.loads(text)


@given(
    st.recursive(
        st.integers() | st.booleans() | st.none() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.integers(0, 99) | st.booleans() | st.none() | st.text(), inner, min_size=1, max_size=2)
        ),
    )
)
def test_arguments_of_salt_call_keep_their_keys(value):
    """Words are read by Salt's rules, which yaml_word has."""
    if isinstance(value, dict | list):
        assert typed(yaml_word(saltlite.packed_leaf("elsewhere", "salt_call").word(value))) == typed(value)


# From the command line, through the tree and the wire, and back


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("site")
    (root / "pillar").mkdir()
    (root / "pillar/top.sls").write_text("base: {'*': [a]}\n")
    (root / "pillar/a.sls").write_text("ports: {80: http, null: none}\n")
    with running_master(root, {"pillar_roots": {"base": [str(root / "pillar")]}}) as master:
        with running_minion(master, "m1", {"grains": {"ports": {443: "https"}}}) as minion:
            yield master, minion


def said(master, *words):
    return json.loads(master.salt("m1", *words, "--out=json", "--out-indent=-1").stdout)["m1"]


def test_keys_of_an_argument_arrive_as_they_were_written(site):
    master, _ = site
    assert said(master, "test.arg_repr", "{1: a, null: b, false: c}")["args"] == "({1: 'a', None: 'b', False: 'c'},)"


def test_grains_keep_the_keys_that_they_were_given(site):
    master, minion = site
    assert said(master, "grains.setval", "numbers", "{80: http}")
    assert "80: http" in (minion.conf / "grains").read_text() and "'80'" not in (minion.conf / "grains").read_text()
    assert master.salt("m1", "grains.item", "ports", "--out=raw").stdout.strip() == "{'m1': {'ports': {443: 'https'}}}"
    path = master.cache / "minions/m1/grains.json"
    assert from_json(path.read_text())["ports"] == {443: "https"}


def test_pillar_keeps_its_keys_in_the_masters_tree_and_matches(site):
    master, _ = site
    assert master.salt("m1", "pillar.get", "ports", "--out=raw").stdout.strip() == "{'m1': {80: 'http', None: 'none'}}"
    assert from_json((master.cache / "minions/m1/pillar.json").read_text())["ports"] == {80: "http", None: "none"}
    assert "True" in master.salt("-I", "ports:80:http", "test.ping").stdout


def test_the_mine_keeps_keys(site):
    master, _ = site
    assert said(master, "mine.send", "numbers", "ports", "mine_function=grains.get") is True
    found = master.salt("m1", "mine.get", "m1", "numbers", "--out=raw").stdout
    assert "{443: 'https'}" in found


# What is shown


def test_output_that_is_not_utf8_is_shown(site):
    master, _ = site
    shell = r"printf 'Gr\366\337e'"
    assert master.salt("m1", "cmd.run", shell).stdout == "m1:\n    Gr\\xf6\\xdfe\n"
    assert said(master, "cmd.run", shell) == "Gr\\xf6\\xdfe"


NARROW = ENVIRONMENT | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}


def ran(conf, *words, **environment):
    command = [*PROGRAM, *words[:1], "-c", str(conf), *words[1:]]
    return subprocess.run(command, capture_output=True, timeout=60, env=NARROW | environment, check=False)


@pytest.mark.parametrize(
    "encoding, shown", [("ascii", b"\\xe4 \\u20ac"), ("latin-1", b"\xe4 \\u20ac"), ("utf-8", "ä €".encode())]
)
def test_a_terminal_that_is_not_utf8_gets_readable_text(site, encoding, shown):
    master, minion = site
    for conf, words in ((master.conf, ("salt", "m1")), (minion.conf, ("call", "--local"))):
        done = ran(conf, *words, "test.echo", "ä €", PYTHONIOENCODING=encoding)
        assert shown in done.stdout and b"Traceback" not in done.stderr
        done = ran(conf, *words, "test.echo", "ä €", "--out=json", PYTHONIOENCODING=encoding)
        assert list(json.loads(done.stdout.decode(encoding)).values()) == ["ä €"]
        done = ran(conf, *words, "test.echo", "ä €", "--out=yaml", PYTHONIOENCODING=encoding)
        assert list(saltlite.yaml.safe_load(done.stdout.decode(encoding)).values()) == ["ä €"]


@pytest.mark.parametrize("command", saltlite.leaf_files("commands"))
def test_every_command_has_help_and_errors_for_such_a_terminal(tmp_path, command):
    for words in ((command, "--help"), (command, "--nö€")):
        done = subprocess.run([*PROGRAM, *words], capture_output=True, timeout=60, env=NARROW, check=False)
        assert b"Traceback" not in done.stderr and done.stdout + done.stderr
    done = ran(
        tmp_path / "nö", command, *(("x", "y") if command == "salt" else ("test.ping",) if command == "call" else ())
    )
    assert b"Traceback" not in done.stderr


def test_events_are_json_for_such_a_terminal(site):
    master, _ = site
    master.salt("m1", "event.send", "ä", "{a: €}")
    until(lambda: "custom" in (master.cache / "events.jsonl").read_text())
    done = ran(master.conf, "events", "-a", "-n", "1", "*/custom/*")
    tag, _, data = done.stdout.decode("ascii").partition("\t")
    assert tag.endswith("custom/\\xe4") and json.loads(data)
