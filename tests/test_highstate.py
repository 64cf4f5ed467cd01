"""The outputter highstate. The expected texts were recorded from Salt 3008.3's own outputter for the same data.

Two things differ on purpose: what a minion says never begins a line (a warning is indented, a name stays on one line),
where it could look like what another minion says."""

import json
from pathlib import Path
from typing import Any

import pytest
from leaves import TERMINAL
from live import command, write_config

outputter, printed = TERMINAL.outputter, TERMINAL.printed

EXPECTED = Path(__file__).parent / "expected" / "highstate"
RECORDED: dict[str, tuple[dict[str, Any], str]] = {  # the text's file: options, the data's file
    "full": ({}, "states"),
    "full_in_color": ({"color": True}, "states"),
    "not_verbose": ({"state_verbose": False}, "states"),
    "terse_in_color": ({"state_output": "terse", "color": True}, "states"),
    "mixed": ({"state_output": "mixed"}, "states"),
    "changes": ({"state_output": "changes"}, "states"),
    "terse_id": ({"state_output": "terse_id"}, "states"),
    "changes_id_not_verbose": ({"state_output": "changes_id", "state_verbose": False}, "states"),
    "errors": ({}, "errors"),
    "error_in_color": ({"color": True}, "error"),
    "texts": ({}, "texts"),
    "text_in_color": ({"color": True}, "text"),
    "no_states": ({}, "no_states"),
    "no_top_file": ({}, "no_top_file"),
    "odd": ({}, "odd"),
    "dozen": ({}, "dozen"),
    "pct": ({"state_output_pct": True}, "many"),
    "pct_no_states": ({"state_output_pct": True}, "no_states"),
    "compressed": ({"state_compress_ids": True}, "many"),
    "compressed_terse_id": ({"state_compress_ids": True, "state_output": "terse_id", "state_output_pct": True}, "many"),
}


def data(name):
    return json.loads((EXPECTED / f"{name}.json").read_text())


@pytest.mark.parametrize("name", RECORDED)
def test_highstate_is_what_salt_prints(name):
    opts, states = RECORDED[name]
    assert printed(data(states), "highstate", opts) == (EXPECTED / f"{name}.txt").read_text()


def test_states_that_cannot_be_compressed_are_shown_as_they_are():
    data = {"web1": {"test_|-a_|-a_|-nop": {"result": True, "changes": {}, "comment": "", "__run_num__": 0}}}
    assert printed(data, "highstate", {"state_compress_ids": True}) == printed(data, "highstate", {})


@pytest.mark.parametrize(
    "data",
    [
        {"web1": {"a": {"result": True}}},
        {"web1": {"odd": {"result": True, "changes": {}, "comment": "", "__run_num__": 0}}},
        {"web1": {"test_|-a_|-a_|-nop": {"result": [], "changes": {}, "comment": "", "__run_num__": 0}}},
        {"web1": {"test_|-a_|-a_|-nop": {"result": True, "changes": {}, "comment": "", "__run_num__": "x"}}},
        {"web1": {f"test_|-{n}_|-a_|-nop": {"result": True, "changes": {}, "__run_num__": n} for n in (0, "x")}},
        {"web1": {"test_|-a_|-a_|-nop": {"result": 1, "changes": 1, "comment": 1, "__run_num__": 1, "duration": "x"}}},
        5,
        [],
    ],
)
def test_what_is_no_state_is_shown_nested_or_as_states_and_never_an_error(data):
    assert isinstance(printed(data, "highstate", {}), str)


def test_states_without_a_number_are_nested():
    data = {"web1": {"a": {"result": True}}}
    assert printed(data, "highstate", {}) == printed(data, "nested", {})


def test_no_escape_of_a_minion_reaches_the_terminal():
    evil = "\x1b]0;x\x07"
    state = {"name": evil, "result": False, "comment": evil, "changes": {evil: evil}, "__run_num__": 0}
    state |= {"start_time": evil, "duration": 1, "warnings": [evil], "data": {evil: evil}}
    for mode in ("full", "terse"):
        data = {"web1": {f"test_|-{evil}_|-x{evil}_|-{evil}": state}, "web2": [evil], "web3": evil}
        text = printed(data, "highstate", {"terminal": True, "color": False, "state_output": mode})
        assert "\x1b" not in text and "\x07" not in text and "Summary for web1" in text


def test_states_that_ran_in_parallel_count_as_the_longest():
    def state(number, **more):
        return {"result": True, "changes": {}, "comment": "", "__run_num__": number} | more

    states = {f"test_|-{n}_|-{n}_|-nop": state(n, duration=n * 100, __parallel__=True) for n in (1, 2, 3)}
    states["test_|-9_|-9_|-nop"] = state(9, duration=50)
    assert "Total run time: 350.000 ms" in outputter("highstate")({"web1": states}, {"state_output": "terse"})


MODULE = f"""
def states():
    return {data("states")["web1"]!r}
"""


def test_configuration_and_command_line_say_how_states_are_shown(tmp_path):
    (tmp_path / "own/modules").mkdir(parents=True)
    (tmp_path / "own/modules/mine.py").write_text(MODULE)
    write_config(tmp_path / "minion", {"id": "web1", "module_dirs": [str(tmp_path / "own")], "state_output": "terse"})

    def shown(*words):
        done = command("call", "-c", tmp_path, "--local", "--out", "highstate", *words, "mine.states")
        return done.stdout

    terse = "Name: vim - Function: pkg.installed"
    assert terse in shown() and "ID: boom" not in shown()
    assert terse not in shown("--state-verbose", "False") and terse not in shown("--state-verbose=false")
    assert "Success %" in shown("--state-output-pct", "true") and "Success %" not in shown()
    assert terse in shown("--state-output", "mixed") and "ID: boom" in shown("--state-output", "mixed")


@pytest.mark.parametrize("mode", ["full", "terse", "changes_id"])
def test_no_minion_writes_a_line_that_looks_like_another_minions(mode):
    state = {"result": False, "comment": "a\nm2:", "changes": "b\nm2:", "__run_num__": 0, "__id__": "c\nm2:"}
    state |= {"name": "d\nm2:", "start_time": "e\nm2:", "duration": 1.5, "warnings": ["g\nm2:"]}
    for data in ({"pkg_|-c\nm2:_|-d\nm2:_|-h\nm2:": state}, ["err\nm2:"]):
        text = outputter("highstate")({"m1": data}, {"state_output": mode})
        assert "m2:" in text and not [line for line in text.splitlines() if line.startswith("m2:")]
