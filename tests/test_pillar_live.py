"""A running master makes pillar by other programs: as in the tests in memory, and with its own signals and sockets."""

import json
import shutil
import subprocess
import tempfile

import pytest
from live import running_master, running_minion
from roots import write

TOP = "base: {'*': [a, b]}\n"
PROGRAM = "#!py\ndef run():\n    return {'py': __grains__['id'], 'os': __salt__['grains.get']('kernel')}\n"


@pytest.mark.skipif(shutil.which("gpg") is None, reason="NOT TESTED: gpg is not installed")
def test_a_running_master_decrypts_and_runs_programs(tmp_path):
    with tempfile.TemporaryDirectory(prefix="gpg-") as keydir:
        gpg = ["gpg", "--homedir", keydir, "--batch", "--no-tty", "--quiet"]
        make = ["--passphrase", "", "--quick-generate-key", "pillar@x", "rsa2048", "encr", "never"]
        subprocess.run([*gpg, *make], check=True, capture_output=True, timeout=60)
        seal = [*gpg, "--trust-model", "always", "-e", "-a", "-r", "pillar@x"]
        sealed = subprocess.run(seal, input=b"secret", check=True, capture_output=True, timeout=60).stdout.decode()
        files = {"top.sls": TOP, "a.sls": PROGRAM, "b.sls": f"#!yaml|gpg\nb: {json.dumps(sealed)}\n"}
        options = {"pillar_py": True, "gpg_keydir": keydir, "ext_pillar": [{"cmd_yaml": "echo 'ext: %s'"}]}
        with running_master(tmp_path, options) as master, running_minion(master, "web1"):
            write(tmp_path / "master/srv/pillar", files)
            found = master.returns("web1", "saltutil.refresh_pillar")
            assert found["web1"] is True
            items = master.returns("web1", "pillar.items")["web1"]
            assert items == {"py": "web1", "os": "Linux", "b": "secret", "ext": "web1"}
        subprocess.run(["gpgconf", "--homedir", keydir, "--kill", "all"], check=False, timeout=20)
