"""Pillar trees and Jinja expressions with what real Salt 3008 made of them (tests/expected/record.py asked it)."""

import json
import time
from pathlib import Path

import pytest
from roots import Roots

import saltlite

EXPECTED = Path(__file__).parent / "expected"
TREES = {case["name"]: case for case in json.loads((EXPECTED / "trees.json").read_text())}
FILTERS = json.loads((EXPECTED / "filters.json").read_text())
SANDBOX = saltlite.packed_leaf("pillars", "sandbox")


def shown(value):
    """Data with the order of their keys, and with their types, as they were recorded."""
    if isinstance(value, dict):
        return {"map": [[shown(key), shown(each)] for key, each in value.items()]}
    if isinstance(value, list):
        return [shown(each) for each in value]
    return {"bytes": repr(value)} if isinstance(value, bytes) else value


@pytest.mark.parametrize("name", TREES)
def test_a_tree_becomes_what_salt_makes_of_it_in_the_same_order(tmp_path, name):
    case = TREES[name]
    files, opts = (json.loads(json.dumps(case[key]).replace("@ROOT@", str(tmp_path))) for key in ("files", "opts"))
    roots = Roots(tmp_path, files, **opts)
    for _ in range(2):  # and again, with all that is remembered
        found = roots.pillar(grains=case.get("grains", {}), **case.get("load", {}))
        found = json.loads(json.dumps(shown(found)).replace(str(tmp_path), "@ROOT@"))["map"]
        wanted = case["result"]["map"]
        found_pairs, wanted_pairs = ([p for p in pairs if p[0] != "_errors"] for pairs in (found, wanted))
        if "file_tree" in name:  # Salt takes files in the order of the disk, which is none
            found_pairs, wanted_pairs = sorted(found_pairs), sorted(wanted_pairs)
        assert found_pairs == wanted_pairs
        errors, wanted_errors = (dict(map(tuple, pairs)).get("_errors", []) for pairs in (found, wanted))
        assert set(errors) == set(wanted_errors)  # Salt says some of them again for each include


@pytest.fixture
def greenwich(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_an_expression_prints_what_salt_prints(greenwich):
    different = {}
    for expression, wanted in FILTERS.items():
        environment = SANDBOX.sandbox().overlay(cache_size=0)
        environment.meter = [SANDBOX.MAX_STEPS, SANDBOX.MAX_PILLAR]
        environment.globals = environment.globals | {"salt": {}}
        try:
            found = environment.from_string("{{ " + expression + " }}").render()
        except Exception:
            found = None
        if found != wanted:
            different[expression] = found, wanted
    assert len(FILTERS) > 3000 and different == {}
