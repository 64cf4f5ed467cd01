"""What no module file here has: a salt-call of Salt's answers it. And grains that a site's programs print."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from one_minion import Minion

import saltlite

EXECUTABLES = saltlite.read_leaf(saltlite.leaf_files("_grains")["executables"], {"__opts__": {}})
SALT_CALL = saltlite.packed_leaf("elsewhere", "salt_call")
ANSWER = """
import json, os, sys
words = sys.argv[sys.argv.index('--') + 1:]
if words[0].startswith('no.'):
    sys.exit(print(f"'{words[0]}' is not available.") or 255)
if words[0] == 'near.by':
    sys.exit(print(json.dumps({'local': {'near.by': "'near.by' is not available.", 'near.here': 'Its text.'}})) or 1)
if words[0] == 'sys.doc':
    sys.exit(print(json.dumps({'local': {words[1].strip('"'): 'What Salt says.'}})))
if words[0] == 'bad.luck':
    sys.exit('Error running bad.luck: no luck today')
print(json.dumps({'local': words})); sys.exit(3 * (words[0] == 'half.done'))
"""


def program(path, text=ANSWER, shebang=f"#!{sys.executable}\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(shebang + text)
    path.chmod(0o755)
    return path


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path, None, salt_call=str(program(tmp_path / "bin/salt-call")), master="192.0.2.1")


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A minion on a machine without Salt."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(SALT_CALL, "PLACES", str(tmp_path / "opt"))
    return Minion(tmp_path, None)


def test_what_no_file_has_salt_answers_with_its_retcode(minion):
    assert minion("napalm.cli", "show version", devices=[1]) == ["napalm.cli", '"show version"', "devices=[1]"]
    assert minion.run("half.done")[1:] == (3, True)
    assert minion.run("half.done", 1)[1] == 3 and minion.run("test.ping")[1] == 0
    made = minion.job("napalm.cli", "a")
    assert (made["return"], made["retcode"], made["success"]) == (["napalm.cli", '"a"'], 0, True)


VALUES = [
    {80: "http", None: {True: 0.5}, "a": [b"\xff", b"text"], b"key": ("x", {3, 1, 2}), (1, 2): {}},
    {"__map__": [[1, 2]], "__bytes__": "YQ=="},
    {"__bytes__": "YQ=="},
    {"__map__": [[1, 2]]},
    "ä\ud800",
    [],
]


@pytest.mark.parametrize("value", VALUES)
def test_what_salt_call_prints_keeps_the_types_of_keys_and_bytes(minion, value):
    text = f"{SALT_CALL.OUTPUTTER.read_text()}\nprint(output({{'local': {value!r}}}))\n"
    program(Path(minion.opts["salt_call"]), text.partition('"""\n')[2])
    over_the_wire = saltlite.from_json(saltlite.to_json(value))
    assert minion("napalm.cli") == over_the_wire and (VALUES[0] is not value or 80 in over_the_wire)
    assert Path(minion.cache, "salt-call/output/typed_json.py").read_text() == SALT_CALL.OUTPUTTER.read_text()


def test_sys_doc_asks_salt_for_what_is_not_here(minion):
    assert minion("sys.doc", "napalm.cli") == {"napalm.cli": "What Salt says."}
    assert list(minion("sys.doc", "test.ping", "test.echo")) == ["test.ping", "test.echo"]
    minion.opts["salt_call"] = False
    assert "is called napalm.cli" in minion.error("sys.doc", "napalm.cli")


def test_what_is_here_is_not_asked_for(minion):
    assert minion("test.echo", "here") == "here"
    assert "is not available" not in str(minion.run("test.ech")[0])  # Salt may know it


def test_what_salt_does_not_have_either_is_said_with_the_nearest_name(minion):
    path = minion.opts["salt_call"]
    said = f"'no.such' is not available. Neither a file here nor {path} has it."
    assert minion.run("no.such") == (f"ERROR: {said}", 1, False)
    assert minion.error("near.by") == said.replace("no.such", "near.by")  # Salt gives the texts of others with that
    assert "ended with exit code 1: Error running bad.luck: no luck today" in minion.error("bad.luck")


def test_of_a_traceback_the_error_is_said(minion):
    frames = "".join(f'  File "/opt/x{number}.py", line 1, in y\\n    z()\\n    ^^^^^\\n' for number in range(100))
    program(Path(minion.opts["salt_call"]), f"import sys; sys.exit('Traceback (x):\\n{frames}KeyError: 1\\nmore')\n")
    assert minion.error("bad.luck").endswith("ended with exit code 1: KeyError: 1\nmore")
    said = "/opt/x.py:35: DeprecationWarning: 'crypt' is old\\n  import crypt\\ntwo\\n  lines"
    program(Path(minion.opts["salt_call"]), f'import sys; sys.exit("{said}")\n')
    assert minion.error("bad.luck").endswith("ended with exit code 1: two\n  lines")


def test_without_salt_the_sentence_says_what_is_missing_and_the_nearest_function(alone):
    missing = "No file here has it, and there is no salt-call of Salt's in PATH (option salt_call)."
    assert alone.run("napalm.cli") == (f"'napalm.cli' is not available. {missing}", 1, False)
    near = f"'test.pingg' is not available. Did you mean 'test.ping'? {missing}"
    assert alone.run("test.pingg") == (near, 1, False)


@pytest.mark.parametrize(
    "fun, said",
    [
        ("cp.push", "`saltlite cp --from ID PATH DIRECTORY`"),
        ("publish.full_data", "is for `salt` at the master"),
        ("saltutil.runner", "`saltlite run`"),
    ],
)
def test_of_what_reaches_out_of_a_minion_it_is_said_what_is_used_instead(alone, fun, said):
    text, code, _ = alone.run(fun)
    assert text.startswith(f"'{fun}' is not available. ") and said in text and "Did you mean" not in text and code


def test_it_can_be_switched_off(tmp_path):
    program(tmp_path / "bin/salt-call")
    for value in (False, "false", "no", 0):
        opts, _ = saltlite.merge_options(saltlite.options_of("minion"), [("minion", {"salt_call": value})])
        assert opts["salt_call"] is False
    minion = Minion(tmp_path, None, salt_call=False)
    said = "the option salt_call is False, so Salt is not asked"
    assert minion.run("napalm.cli")[0] == f"'napalm.cli' is not available. No file here has it, and {said}."
    assert minion.error("state.apply") == f"state.apply needs Salt on this machine, and {said}."
    with pytest.raises(saltlite.Failure, match="salt_call must be a text, or False"):
        saltlite.merge_options(saltlite.options_of("minion"), [("minion", {"salt_call": True})])


def test_what_is_forbidden_or_broken_here_is_not_asked_for_elsewhere(tmp_path):
    path = program(tmp_path / "bin/salt-call")
    (tmp_path / "conf/modules").mkdir(parents=True)
    (tmp_path / "conf/modules/broken.py").write_text("def x(:\n")
    (tmp_path / "conf/modules/refused.py").write_text("def __virtual__():\n    return False, 'no ZFS'\n")
    (tmp_path / "conf/modules/salts.py").write_text("import salt.utils.napalm\ndef x(): pass\n")
    minion = Minion(tmp_path, None, salt_call=str(path), disable_modules=["pkg"])
    assert minion.run("pkg.install")[0] == "'pkg.install' is not available. The option disable_modules names it."
    assert "cannot be read: SyntaxError" in minion.run("broken.x")[0]
    assert minion("refused.x") == ["refused.x"]  # a module that is not for this machine; Salt may have another
    assert minion("salts.x") == ["salts.x"]


@pytest.mark.parametrize("fun", ["", "x", "--help", "a.b; id", "../x.y", "a..b", ".x"])
def test_only_a_functions_name_is_asked_for(minion, fun):
    assert "it is no function's name" in minion.run(fun)[0]


def test_a_link_to_this_program_is_none_of_salts(alone, tmp_path):
    found = tmp_path / "bin/salt-call"
    found.parent.mkdir()
    found.symlink_to(saltlite.__file__)
    assert SALT_CALL.find(alone.execution)[0] == ""
    found.unlink()
    with zipfile.ZipFile(tmp_path / "sl.pyz", "w") as archive:
        archive.writestr("payload/saltlite.py", "")
    (tmp_path / "sl.pyz").write_bytes(b"#!/usr/bin/env python3\n" + (tmp_path / "sl.pyz").read_bytes())
    (tmp_path / "sl.pyz").chmod(0o755)
    found.symlink_to(tmp_path / "sl.pyz")
    assert SALT_CALL.find(alone.execution)[0] == ""
    alone.opts["salt_call"] = str(found)
    assert SALT_CALL.find(alone.execution)[1].endswith("which is this program itself")
    alone.opts["salt_call"] = ""
    found.unlink()
    program(found, 'exec python3 /usr/lib/saltlite.pyz call "$@"\n', "#!/bin/sh\n")
    assert SALT_CALL.find(alone.execution)[0] == ""
    real = program(
        tmp_path / "opt/salt-call", "'''exec' '/opt/saltlite-build/bin/python' \"$0\" '''\\n" + ANSWER
    )  # the next one counts
    assert SALT_CALL.find(alone.execution) == (str(real), "")


def test_a_program_that_comes_back_here_is_found_out(tmp_path):
    """A script of which nobody can see where it leads: the second call knows that it is one."""
    home = tmp_path / "conf"
    home.mkdir()
    script = Path(saltlite.__file__)
    (tmp_path / "hidden.py").symlink_to(script)
    text = f"exec {sys.executable} {tmp_path}/hidden.py call -c {home} --local --out=json napalm.cli\n"
    called = program(tmp_path / "bin/salt-call", text, "#!/bin/sh\n")
    (home / "minion").write_text(f"id: web1\nsalt_call: {called}\n")
    command = [sys.executable, script, "call", "-c", home, "--local", "napalm.cli"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and "is this program again" in done.stdout


def test_salt_sees_the_modules_of_this_minion_that_it_can_read(minion, tmp_path):
    place = minion.conf / "modules"
    place.mkdir()
    (place / "site.py").write_text("def x(): pass\n")
    (place / "cmd.py").write_text("from saltlite import Execution\n")
    (place / "whole").mkdir()
    (place / "whole/__init__.py").write_text("")
    minion("napalm.cli")
    home = minion.cache / "salt-call"
    own = json.loads((home / "conf/own").read_text())
    assert own["extension_modules"] == f"{minion.cache}/extmods" and own["module_dirs"] == [f"{home}/modules"]
    links = {path.name: os.readlink(path) for path in (home / "modules").iterdir()}
    assert links == {"site.py": f"{place}/site.py", "whole": f"{place}/whole"}
    (place / "site.py").unlink()
    (home / "modules/__pycache__").mkdir()  # Salt's
    minion("napalm.cli")
    assert sorted(os.listdir(home / "modules")) == ["__pycache__", "whole"]


@pytest.mark.parametrize("size", [-1, 0, 1])
def test_what_salt_call_prints_has_a_bound(minion, size):
    minion.opts["max_return_size"] = 1000
    most = SALT_CALL.JSON_SIZE * 1000 + size
    frame = len(json.dumps({"local": ""}))
    text = f"import sys\nsys.stdout.write('{{\"local\": \"' + {most - frame} * 'x' + '\"}}')\n"
    program(Path(minion.opts["salt_call"]), text)
    ret, _, success = minion.run("napalm.cli")
    assert success is (size <= 0) and (success or "printed more than" in ret)


# grains of programs


@pytest.fixture
def grains(tmp_path):
    vars(EXECUTABLES)["__opts__"] = {"conf_dir": str(tmp_path)}

    def collect(**programs):
        for name, text in programs.items():
            program(tmp_path / "grains.d" / name, text, "#!/bin/sh\n")
        return EXECUTABLES.executables()

    return collect


def test_grains_of_programs_are_a_minions_grains(tmp_path):
    program(tmp_path / "grains.d/rack", "echo rack=r7\n", "#!/bin/sh\n")
    program(tmp_path / "grains.d/bad", "exit 1\n", "#!/bin/sh\n")
    found = saltlite.collect_grains(saltlite.load_opts("minion", str(tmp_path), {"id": "web1"}))
    assert found["rack"] == "r7" and "os" in found


def test_programs_print_grains_as_lines_or_json(grains):
    found = grains(
        a="echo 'rack = r7 # 3'; echo '# no grain'; echo; echo url=http://x/?a=b",
        b="""echo '{"disks": {"sda": 1}, "rack": "r8"}'""",
        c="exit 0",
    )
    assert (found["rack"], found["url"], found["disks"]) == ("r8", "http://x/?a=b", {"sda": 1})


@pytest.mark.parametrize(("text", "why"), [
    ("echo x=1; exit 3", "it ended with exit code 3"),
    ("echo x=1; kill -9 $$", "signal 9 ended it"),
    ("echo x", "'x' is neither `key=value` nor JSON"),
    ("echo =5", "'' is neither"),
    ("echo '{\"x\": '", "Expecting value"),
    ("printf 'x=\\377'", "invalid start byte"),
    ("echo x=1; exec sleep 100", "it did not end within 0.5 s"),
    ("echo x=1; sleep 100 & exit 0", "it did not end within 0.5 s"),
    ("yes", "it prints more than 65536 bytes"),
])  # fmt: skip
def test_a_program_that_fails_costs_its_own_grains_only(grains, tmp_path, caplog, monkeypatch, text, why):
    monkeypatch.setattr(EXECUTABLES, "SECONDS", 0.5)
    begin = time.monotonic()
    found = grains(a=text, b="echo y=2")
    assert found == {"y": "2"}
    assert f"the grains of {tmp_path}/grains.d/a are missing: " in caplog.text and why in caplog.text
    assert time.monotonic() - begin < 8


def test_only_what_is_executable_and_nobody_elses_is_run(grains, tmp_path, caplog):
    assert "x" not in grains()
    grains(a="echo a=1", b="echo b=1", c="echo c=1")
    (tmp_path / "grains.d/a").chmod(0o644)
    (tmp_path / "grains.d/b").chmod(0o757)
    found = grains()
    assert "a" not in found and "b" not in found and found["c"] == "1"
    assert "grains.d/b is not run: others could have written it" in caplog.text
    (tmp_path / "grains.d").chmod(0o777)
    assert "c" not in grains() and "grains.d is not read" in caplog.text


def test_output_and_number_of_programs_have_bounds(grains, tmp_path):
    most = EXECUTABLES.MAX_OUTPUT
    for size, there in ((most - 1, True), (most, True), (most + 1, False)):
        assert ("k" in grains(a=f"printf k=; head -c {size - 2} /dev/zero | tr '\\0' v")) is there, size
    os.unlink(tmp_path / "grains.d/a")
    names = [f"n{number:03}" for number in range(EXECUTABLES.MAX_FILES + 1)]
    found = grains(**{name: f"echo {name}=1" for name in names})
    assert [name for name in names if name in found] == names[:-1]
