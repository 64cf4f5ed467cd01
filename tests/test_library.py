"""The stand-ins of Salt's library give what Salt's own gave (tests/expected/record.py)."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_call_gives_what_salt_gave():
    cases = json.loads((ROOT / "tests/expected/library.json").read_text())
    program = (
        "import ast, importlib, json, sys\n"
        + _called()
        + "\njson.dump(list(map(called, json.load(sys.stdin))), sys.stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([case[:2] for case in cases]),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": f"{ROOT / 'etc/salt/stand_in'}:{ROOT}"},
    )
    wrong = [(*case, ours) for case, ours in zip(cases, json.loads(done.stdout), strict=True) if case[2] != ours]
    assert len(cases) > 1500 and not wrong, wrong[:5]


def _called():
    """The function that asks Salt, from the program that cannot be imported without Salt."""
    text = (ROOT / "tests/expected/by_salt.py").read_text()
    return text[text.index("def called") : text.index("def too_long")]
