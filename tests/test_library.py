"""The stand-ins of Salt's library give what Salt's own gave (tests/expected/record.py)."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = """
import json, library, logging, sys
logging.disable()
json.dump(library.answers(json.load(sys.stdin)), sys.stdout)"""
LAZY = """
import sys
sys.modules["packaging"] = None
import salt, salt.utils
assert not any(name.startswith(("salt.utils.", "yaml", "jinja2")) for name in sys.modules)
assert salt.utils.files.normalize_mode(644) == "0644" and "yaml" not in sys.modules
assert salt.exceptions.SaltException and salt.utils.versions.compare("1.2", "<", "1.10")
for module, name in ((salt, "client"), (salt.utils, "network"), (salt.utils.versions, "Version")):
    try:
        print(getattr(module, name))
    except (AttributeError, ImportError) as error:
        print(error)
"""


def run(program, **options):
    places = [ROOT / "etc/salt/stand_in", ROOT, ROOT / "tests/expected"]
    command, env = [sys.executable, "-c", program], {"PYTHONPATH": ":".join(map(str, places))}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env, **options).stdout


def test_what_is_not_asked_for_is_not_read_and_what_is_not_here_says_so():
    client, network, version = run(LAZY).splitlines()
    assert client == "there is no salt.client here, for Salt is not installed on this machine"
    assert network == "there is no salt.utils.network here, for Salt is not installed on this machine"
    assert version == "salt.utils.versions needs the package packaging for this, on this machine"


FILLED_INSIDE = re.compile(
    "base64.*decode.*=[^=']"
)  # what becomes of it is Python's, and has changed within its releases


def test_every_call_gives_what_salt_gave():
    cases = json.loads((ROOT / "tests/expected/library.json").read_text())
    cases = [case for case in cases if not FILLED_INSIDE.search(case[0])]
    found = json.loads(run(OURS, input=json.dumps([expression for expression, _ in cases])))
    wrong = [(*case, ours) for case, ours in zip(cases, found, strict=True) if case[1] != ours]
    assert len(cases) > 3000 and not wrong, wrong[:5]
