"""The stand-ins of Salt's library give what Salt's own gave (tests/expected/record.py)."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = """
import json, library, logging, sys
logging.disable()
json.dump(library.answers(json.load(sys.stdin)), sys.stdout)"""


def test_every_call_gives_what_salt_gave():
    cases = json.loads((ROOT / "tests/expected/library.json").read_text())
    places = [ROOT / "etc/salt/stand_in", ROOT, ROOT / "tests/expected"]
    done = subprocess.run(
        [sys.executable, "-c", OURS],
        input=json.dumps([expression for expression, _ in cases]),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(map(str, places))},
    )
    wrong = [(*case, ours) for case, ours in zip(cases, json.loads(done.stdout), strict=True) if case[1] != ours]
    assert len(cases) > 3000 and not wrong, wrong[:5]
