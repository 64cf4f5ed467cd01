"""The commands against a master and two minions that run: salt, jobs by hand, harmful functions, call, links."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from live import (
    ENVIRONMENT,
    PROGRAM,
    SCRIPT,
    Master,
    Minion,
    WireMinion,
    command,
    free_port,
    running_master,
    running_minion,
    until,
    write_config,
)

from saltlite import GOT_CREDENTIALS, jid_of

BOTH = {"web1": True, "web2": True}
HARM = """
import ctypes, os, signal, sys, time

__outputter__ = {"gives_states": "highstate"}
def gives_states():
    return {"test_|-a_|-a_|-nop": {"result": True, "changes": {}, "comment": "", "__run_num__": 0}}

def raises(): raise ValueError("as planned")
def says_no():
    from salt.exceptions import CommandExecutionError
    raise CommandExecutionError("not today")
def exits(): os._exit(3)
def wants_out(): sys.exit(4)
def kills_itself(): os.kill(os.getpid(), signal.SIGKILL)
def crashes(): ctypes.string_at(0)
def gives_bytes(): return b"\\x00\\xff\\xfe"
def gives_surrogate(): return "a\\udcffb"
def gives_control(): return "a\\x1b[31mb\\x00"
def gives_set(): return {"one"}
def gives_object(): return object()
def gives_itself():
    own = []
    own.append(own)
    return own
def gives_much(): return "x" * (8 << 20)
def prints_much():
    for _ in range(100):
        sys.stdout.write("x" * (1 << 20))
    os.write(1, b"binary \\xff")
    return "printed"
def closes_everything():
    os.closerange(0, 200)
    return "closed"
def recurses(): return recurses()
def spins():
    while True:
        pass
def ignores():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(600)
def leaves_a_child():
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
    return pid
"""


class Fleet(NamedTuple):
    master: Master
    web1: Minion
    web2: Minion


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Iterator[Fleet]:
    """A master with web1 (role front, a directory of modules, small returns) and web2 (role back)."""
    root = tmp_path_factory.mktemp("fleet")
    one = {"grains": {"role": "front"}, "max_return_size": 1 << 20}
    two = {"grains": {"role": "back"}}
    (root / "web1/modules").mkdir(parents=True)
    (root / "web1/modules/harm.py").write_text(HARM)
    with running_master(
        root, {"timeout": 3, "gather_job_timeout": 2, "nodegroups": {"fronts": "G@role:front"}}
    ) as master:
        with running_minion(master, "web1", one, ready=False) as web1, running_minion(master, "web2", two) as web2:
            web1.ready()
            yield Fleet(master, web1, web2)


def printed(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """The documents of `--out json`, one after the other, as one."""
    found: dict[str, object] = {}
    text = done.stdout.strip()
    while text:
        document, end = json.JSONDecoder().raw_decode(text)
        found |= document
        text = text[end:].strip()
    return found


# salt


@pytest.mark.parametrize(
    "target, ids",
    [
        (["web*"], "web1 web2"),
        (["web2"], "web2"),
        (["-L", "web1,web2"], "web1 web2"),
        (["-L", "web1, web2"], "web1 web2"),
        (["-L", "web1 web2"], "web1 web2"),
        (["-E", "web[13]"], "web1"),
        (["-G", "role:back"], "web2"),
        (["-P", "role:(front|top)"], "web1"),
        (["-C", "G@role:front or L@web2"], "web1 web2"),
        (["-C", "web* and not G@role:front"], "web2"),
        (["-S", "127.0.0.0/8"], "web1 web2"),
        (["-N", "fronts"], "web1"),
    ],
)
def test_targets(fleet, target, ids):
    done = fleet.master.salt("--out", "json", *target, "test.ping")
    assert printed(done) == dict.fromkeys(ids.split(), True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("target", [["db*"], ["-L", "db1"], ["-G", "role:no such"], ["-C", "web* and not web*"]])
def test_nothing_matched(fleet, target):
    done = fleet.master.salt(*target, "test.ping")
    assert done.returncode == 2
    assert "No minions matched the target" in done.stdout + done.stderr


@pytest.mark.parametrize("target", [["-C", "( web*"], ["-E", "web["], ["-S", "no address"]])
def test_a_malformed_target_is_refused(fleet, target):
    done = fleet.master.salt(*target, "test.ping")
    assert done.returncode == 64
    assert done.stderr.startswith("saltlite: ") and "Traceback" not in done.stderr


def test_output_nested_is_as_salt_prints_it(fleet):
    assert fleet.master.salt("web2", "test.ping").stdout == "web2:\n    True\n"


def test_outputs(fleet):
    out = {name: fleet.master.salt("--out", name, "web2", "test.echo", "hi").stdout for name in ("yaml", "txt", "raw")}
    assert yaml.safe_load(out["yaml"]) == {"web2": "hi"}
    assert out["txt"] == "web2: hi\n"
    assert out["raw"] == "{'web2': 'hi'}\n"
    assert fleet.master.salt("--out", "quiet", "web2", "test.echo", "hi").stdout == ""
    done = fleet.master.salt("--out", "json", "--static", "web*", "test.ping")
    assert json.loads(done.stdout) == BOTH


def test_arguments_are_yaml_and_words_with_an_equals_sign_are_kwargs(fleet):
    words = ["1", "two", "[3, 4]", "{five: 6}", "yes=no", "n=7", "a b=c"]
    found = fleet.master.returns("web2", "test.arg", *words)["web2"]
    assert found["args"] == [1, "two", [3, 4], {"five": 6}, "a b=c"]
    kwargs = {key: value for key, value in found["kwargs"].items() if not key.startswith("__pub_")}
    assert kwargs == {"yes": False, "n": 7}
    assert found["kwargs"]["__pub_fun"] == "test.arg"


@pytest.mark.parametrize(
    "words", [["--", "web2", "test.arg", "-x", "--out"], ["web2", "test.arg", "--", "-x", "--out"]]
)
def test_words_behind_two_dashes_are_no_options(fleet, words):
    assert printed(fleet.master.salt("--out=json", *words))["web2"]["args"] == ["-x", "--out"]


def test_a_word_of_several_lines_arrives_as_it_was(fleet, tmp_path):
    script = "A=1\necho got $A"
    assert fleet.master.returns("web2", "cmd.run", script) == {"web2": "got 1"}
    jid = jid_of(time.time())
    fleet.master.request(jid, tgt="web2", fun="cmd.run", arg=[script, "env={A: 2}"])
    assert [line["return"] for line in fleet.master.job(jid) if line["event"] == "ret"] == ["got 1"]


def test_a_keyword_that_the_function_does_not_know_is_refused(fleet):
    jid = jid_of(time.time())
    fleet.master.request(jid, tgt="web2", fun="test.echo", arg=["a", "nosuch=1"])
    said = [line["return"] for line in fleet.master.job(jid) if line["event"] == "ret"]
    assert said == ["ERROR executing 'test.echo': The following keyword arguments are not valid: nosuch=1"]


def test_cmd_run_takes_its_options(fleet, tmp_path):
    assert fleet.master.returns("web2", "cmd.run", "pwd; echo $WORD", f"cwd={tmp_path}", "env={WORD: hi}") == {
        "web2": f"{tmp_path}\nhi"
    }


def test_states_that_come_all_at_once_are_shown_as_states(fleet):
    done = fleet.master.salt("--static", "web1", "harm.gives_states")
    assert (done.stdout, done.returncode) == (fleet.master.salt("web1", "harm.gives_states").stdout, 0)
    assert "Summary for web1" in done.stdout


def test_async_prints_the_jid_and_the_job_ends_by_itself(fleet):
    done = fleet.master.salt("--async", "web*", "test.ping")
    found = re.fullmatch(r"Executed command with job ID: ([0-9]{20})\n", done.stdout)
    assert found and done.returncode == 0
    lines = fleet.master.job(found[1])
    assert {line["id"] for line in lines if line["event"] == "ret"} == {"web1", "web2"}
    assert lines[0]["fun"] == "test.ping" and lines[-1]["returned"] == 2


def test_verbose_names_the_jid(fleet):
    assert re.search(r"jid:? [0-9]{20}", fleet.master.salt("-v", "web2", "test.ping").stdout)


def test_exit_codes(fleet):
    assert fleet.master.salt("web*", "test.ping").returncode == 0
    failing = fleet.master.salt("web2", "cmd.run", "exit 7")
    assert failing.returncode == 1
    assert fleet.master.salt("web2", "test.retcode", "42").returncode == 1
    assert fleet.master.salt("web2", "test.exception", "boom").returncode == 11


def test_a_function_that_raises_shows_where(fleet):
    done = fleet.master.salt("web1", "harm.raises")
    assert done.returncode == 11
    assert "ValueError: as planned" in done.stdout and "harm.py" in done.stdout


def test_an_unknown_function_is_named_with_the_nearest(fleet):
    done = fleet.master.salt("web2", "test.pingg")
    assert done.returncode == 11
    assert "'test.pingg' is not available. Did you mean 'test.ping'?" in done.stdout


def test_wrong_arguments_are_explained(fleet):
    done = fleet.master.salt("web2", "test.echo")
    assert done.returncode == 11
    assert "test.echo" in done.stdout and "text" in done.stdout


def test_a_minion_that_is_down_is_named_with_when_it_was_last_heard(fleet):
    with WireMinion(fleet.master, "down1") as minion:
        minion.pend()
        fleet.master.accept("down1")
        assert minion.told() == GOT_CREDENTIALS
        minion.ask(cmd="_rekey")
    try:
        done = fleet.master.salt("-t", "0.5", "-L", "web2,down1", "test.ping")
        assert done.returncode == 1
        assert "web2:\n    True\n" in done.stdout
        today = time.strftime("%Y-%m-%d ")
        assert re.search(rf"down1:\n +Minion did not return\. \[.*last heard: {today}", done.stdout)
    finally:
        (fleet.master.pki / "minions/down1").unlink()


def test_salt_without_a_master_says_so(tmp_path):
    write_config(tmp_path / "master", {"ret_port": free_port()})
    done = command("salt", "-c", tmp_path, "*", "test.ping")
    assert done.returncode == 69
    assert done.stderr.startswith("saltlite: no master runs on") and done.stderr.count("\n") == 1


def test_a_long_job_is_waited_for_beyond_the_timeout(fleet):
    assert fleet.master.returns("-t", "0.5", "web2", "cmd.run", "sleep 2; echo done") == {"web2": "done"}


def test_a_viewer_that_goes_away_harms_nothing(fleet):
    words = [
        sys.executable,
        str(SCRIPT),
        "salt",
        "-c",
        str(fleet.master.conf),
        "-v",
        "web2",
        "cmd.run",
        "sleep 1; echo x",
    ]
    viewer = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert viewer.stdout
    jid = viewer.stdout.readline().split()[-1]
    viewer.send_signal(signal.SIGKILL)
    viewer.communicate()
    assert [line["return"] for line in fleet.master.job(jid) if line["event"] == "ret"] == ["x"]


# jobs by hand


def test_a_request_moved_into_jobs_new_runs(fleet):
    jid = jid_of(time.time())
    fleet.master.request(jid, tgt="web*", fun="test.arg", arg=[1], kwarg={"two": 3})
    lines = fleet.master.job(jid)
    returns = {line["id"]: line["return"] for line in lines if line["event"] == "ret"}
    assert returns.keys() == BOTH.keys()
    assert returns["web1"]["args"] == [1] and returns["web1"]["kwargs"]["two"] == 3
    assert [line["event"] for line in lines] == ["new", "ret", "ret", "end"]
    assert all(text.startswith('{"event":') for text in fleet.master.job_file(jid).read_text().splitlines())
    assert os.listdir(fleet.master.jobs / "new") == []


@pytest.mark.parametrize(
    "content, reason",
    [
        ("fun: test.ping", "not JSON"),
        ('{"tgt": "*", "fun": "test.ping"', "not JSON"),
        ("[1]", "JSON object"),
        ('{"fun": "test.ping"}', "tgt is missing"),
        ('{"tgt": "*"}', "fun is missing"),
        ('{"tgt": "*", "func": "test.ping"}', "'func'; did you mean 'fun'?"),
        ('{"tgt": "*", "fun": 7}', "fun is of the wrong type"),
        ('{"tgt": "*", "fun": "test.ping", "arg": "x"}', "arg is of the wrong type"),
        ('{"tgt": "*", "fun": "test.ping", "timeout": "long"}', "timeout is of the wrong type"),
        ('{"tgt": "*", "fun": "../etc"}', "is not a function"),
        ('{"tgt": "( web*", "fun": "test.ping", "tgt_type": "compound"}', ""),
        ('{"tgt": "*", "fun": "test.ping", "tgt_type": "guess"}', "guess"),
    ],
)
def test_a_malformed_request_is_put_aside_with_the_reason(fleet, content, reason):
    bad = fleet.master.jobs / "bad"
    name = f"hand-{len(os.listdir(bad))}"
    (fleet.master.root / name).write_text(content)
    (fleet.master.root / name).rename(fleet.master.jobs / "new" / name)
    until((bad / name).exists, what="the request is put aside")
    assert (bad / name).read_text() == content
    why = (bad / f"{name}.why").read_text()
    assert reason in why and why.count("\n") == 1


def test_a_request_that_is_no_plain_file_is_put_aside_and_not_followed(fleet, tmp_path):
    new, bad = fleet.master.jobs / "new", fleet.master.jobs / "bad"
    good = tmp_path / "good"
    good.write_text('{"tgt": "*", "fun": "test.ping"}')
    (new / "link").symlink_to(good)
    os.link(good, new / "second")
    os.mkfifo(new / "fifo")
    (new / "directory").mkdir()
    for name in ("link", "second", "fifo", "directory"):
        until(lambda name=name: (bad / f"{name}.why").exists() and not (new / name).exists(), what=name)
        assert "regular file" in (bad / f"{name}.why").read_text()
    assert good.exists()
    (new / ".draft").write_text("a dot-name is nobody's business")
    assert fleet.master.returns("web2", "test.ping") == {"web2": True}
    assert (new / ".draft").exists()
    (new / ".draft").unlink()


@pytest.mark.parametrize("how", ["rm", "mv"])
def test_removing_an_active_job_kills_what_runs(fleet, tmp_path, how):
    jid = fleet.master.submit("web2", "cmd.run", f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    command_pid, job = int((tmp_path / "pid").read_text()), fleet.web2.job_pid(jid)
    assert job and alive(command_pid)
    path = fleet.master.job_file(jid, "active")
    if how == "rm":
        path.unlink()
    else:
        path.rename(tmp_path / "away")
    until(lambda: not alive(job), what="the job is killed")
    until(lambda: not alive(command_pid), what="and what it has started")
    until(lambda: fleet.web2.job_pid(jid) == 0)
    until(lambda: jid not in os.listdir(fleet.web2.cache / "outbox"), what="its return is taken and dropped")
    assert fleet.master.returns("web2", "saltutil.running") == {"web2": []}
    assert not path.exists() and '"cancelled"' in fleet.master.job_file(jid).read_text()


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_viewer_of_a_cancelled_job_is_told(fleet, tmp_path):
    words = [*PROGRAM, "salt", "-c", str(fleet.master.conf), "-v", "web2", "cmd.run", "sleep 600"]
    viewer = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert viewer.stdout
        jid = viewer.stdout.readline().split()[-1]
        until(lambda: fleet.web2.job_pid(jid))
        fleet.master.job_file(jid, "active").unlink()
        errors = viewer.communicate(timeout=10)[1]
        assert viewer.returncode == 1
        assert "was cancelled" in errors
    finally:
        viewer.kill()
        viewer.communicate()


def test_a_late_return_lands_in_the_finished_file(fleet, tmp_path):
    """A minion that was away while the job ended: its return comes when it is back."""
    with running_minion(fleet.master, "late") as minion:
        jid = jid_of(time.time())
        short = {"timeout": 0.5, "gather_job_timeout": 0.5}
        words = [f"touch {tmp_path}/began; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo late"]
        fleet.master.request(jid, tgt="late", fun="cmd.run", arg=words, **short)
        until((tmp_path / "began").exists)
        minion.stop(signal.SIGKILL)
        lines = fleet.master.job(jid)
        assert [line["event"] for line in lines] == ["new", "silent", "end"]
        (tmp_path / "go").touch()
        until(lambda: not minion.job_pid(jid), what="the job ends")
        minion.start()
        until(lambda: '"late": true' in fleet.master.job_file(jid).read_text(), what="the late return")
        assert json.loads(fleet.master.job_file(jid).read_text().splitlines()[-1])["return"] == "late"
        assert fleet.master.returns("late", "test.ping") == {"late": True}
    (fleet.master.pki / "minions/late").unlink()


# harmful functions, from a file in <config>/modules


@pytest.mark.parametrize(
    "function, word",
    [
        ("raises", "ValueError: as planned"),
        ("exits", "exit code 3"),
        ("wants_out", "SystemExit(4)"),
        ("kills_itself", "killed by signal 9"),
        ("crashes", "killed by signal 11"),
        ("gives_itself", "cannot be sent"),
        ("gives_much", "max_return_size"),
        ("recurses", "RecursionError"),
    ],
)
def test_a_harmful_function_says_what_happened(fleet, function, word):
    done = fleet.master.salt("--out", "json", "web1", f"harm.{function}")
    assert done.returncode == 11, done.stdout
    assert word in str(printed(done)["web1"])
    survived(fleet)


def survived(fleet: Fleet) -> None:
    assert fleet.web1.process and fleet.web1.process.poll() is None
    assert fleet.master.returns("web1", "test.ping") == {"web1": True}
    assert os.listdir(fleet.web1.cache / "outbox") == []
    assert os.listdir(fleet.web1.cache / "proc") == []


@pytest.mark.parametrize(
    "function, given",
    [
        ("gives_set", "one"),
        ("gives_object", "<object object at"),
        ("gives_bytes", ""),
        ("gives_surrogate", "a"),
        ("gives_control", "a"),
        ("prints_much", "printed"),
        ("closes_everything", "closed"),
    ],
)
def test_an_odd_return_arrives_in_some_form(fleet, function, given):
    done = fleet.master.salt("web1", f"harm.{function}")
    assert done.returncode == 0 and given in done.stdout
    assert "\x1b" not in done.stdout
    survived(fleet)


@pytest.mark.parametrize("out", ["json", "yaml", "raw", "txt"])
def test_bytes_that_are_no_text_can_be_printed_by_each_outputter(fleet, out):
    for function in ("gives_bytes", "gives_surrogate"):
        done = fleet.master.salt("--out", out, "web1", f"harm.{function}")
        assert (done.returncode, done.stderr) == (0, "") and "web1" in done.stdout


@pytest.mark.parametrize("out", ["nested", "txt"])
def test_a_terminal_is_sent_no_controls_of_a_minion(fleet, out):
    ours, theirs = pty.openpty()
    words = [*PROGRAM, "salt", "-c", str(fleet.master.conf), "--out", out, "web1", "harm.gives_control"]
    done = subprocess.Popen(words, stdout=theirs, stderr=theirs, env=ENVIRONMENT | {"TERM": "xterm"})
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # EIO: the other side is closed
        while part := os.read(ours, 4096):
            text += part
    os.close(ours)
    assert done.wait(10) == 0
    assert b"web1" in text and b"b" in text
    assert b"\x1b[31m" not in text and b"\0" not in text


def test_a_command_that_prints_a_gigabyte_is_bounded(fleet):
    done = fleet.master.salt("--out", "json", "web1", "cmd.run", "yes | head -c 1000000000")
    assert len(done.stdout) < 4 << 20
    survived(fleet)


def test_a_command_that_prints_binary_is_shown(fleet):
    done = fleet.master.salt("--out", "json", "web1", "cmd.run", "printf 'a\\377\\000b'")
    assert re.search("a.*b", str(printed(done)["web1"]))
    survived(fleet)


@pytest.mark.parametrize("function", ["spins", "ignores"])
def test_a_function_that_hangs_is_killed_by_kill_job(fleet, function):
    jid = fleet.master.submit("web1", f"harm.{function}")
    until(lambda: fleet.web1.job_pid(jid))
    assert jid in str(fleet.master.returns("web1", "saltutil.running")["web1"])
    assert fleet.master.returns("web1", "saltutil.find_job", jid)["web1"]["fun"] == f"harm.{function}"
    assert jid in fleet.master.returns("web1", "saltutil.kill_job", jid)["web1"]
    returned = [line for line in fleet.master.job(jid) if line["event"] == "ret"][0]
    assert "killed by signal 9" in returned["return"] and returned["success"] is False and returned["retcode"]
    survived(fleet)


def test_a_function_that_leaves_a_child_returns(fleet):
    pid = fleet.master.returns("web1", "harm.leaves_a_child")["web1"]
    try:
        survived(fleet)
        assert alive(pid), "as with Salt, what a function leaves behind is its own affair"
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_module_file_takes_effect_at_once(fleet):
    path = fleet.web2.conf / "modules/fresh.py"
    path.parent.mkdir(exist_ok=True)
    assert "is not available" in str(fleet.master.returns("web2", "fresh.it")["web2"])
    path.write_text("def it():\n    '''Says one.'''\n    return __grains__['role'], __salt__['test.echo'](1)\n")
    assert fleet.master.returns("web2", "fresh.it") == {"web2": ["back", 1]}
    path.write_text("def it():\n    return 'two, and longer'\n")
    assert fleet.master.returns("web2", "fresh.it") == {"web2": "two, and longer"}
    path.write_text("def it(:\n")
    done = fleet.master.salt("web2", "fresh.it")
    assert done.returncode == 11
    assert "'fresh.it' is not available" in done.stdout and "SyntaxError" in done.stdout
    assert fleet.master.returns("web2", "test.ping") == {"web2": True}
    path.unlink()
    assert "is not available" in str(fleet.master.returns("web2", "fresh.it")["web2"])


def test_blackout_mode_holds_for_what_the_loop_answers_too(fleet):
    try:
        (fleet.web1.conf / "grains").write_text("minion_blackout: true\n")
        until(lambda: fleet.master.salt("web1", "test.ping").returncode == 11, seconds=20, what="blackout mode")
        assert "Minion in blackout mode" in str(fleet.master.returns("web1", "cmd.run", "date")["web1"])
        assert fleet.master.returns("web1", "saltutil.refresh_pillar") == {"web1": True}
        call = command("call", "-c", fleet.web1.conf, "--local", "test.ping")
        assert (call.returncode, call.stdout) == (0, "local:\n    True\n")
    finally:
        (fleet.web1.conf / "grains").write_text("")
    until(lambda: fleet.master.salt("web1", "test.ping").returncode == 0, seconds=20, what="the end of blackout mode")


def test_a_module_that_is_not_for_this_machine_says_why(fleet):
    path = fleet.web2.conf / "modules/picky.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text("def __virtual__():\n    return False, 'needs a moon base'\ndef it():\n    return 1\n")
    assert "needs a moon base" in str(fleet.master.returns("web2", "picky.it")["web2"])


# call


@pytest.fixture
def masterless(tmp_path):
    """`call` on a machine that has files and pillar of its own; gives what it returns."""
    roots = "file_roots: {base: [../files]}\npillar_roots: {base: [../pillar]}\n"
    for path, text in {
        "conf/minion": f"id: m1\nfile_client: local\n{roots}",
        "files/web/motd": "hello {{ grains.id }}\n",
        "files/_modules/own.py": "def color():\n    return __pillar__['color']\n",
        "pillar/top.sls": "base:\n  'm*': [a]\n  'other': [b]\n",
        "pillar/a.sls": "color: blue\nid: {{ grains.id }}\n",
        "pillar/b.sls": "secret: 1\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    def call(*words, **options):
        done = command("call", "-c", tmp_path / "conf", "--out=json", *words, **options)
        return json.loads(done.stdout)["local"] if done.stdout else done.stderr

    return call


def test_without_a_master_files_and_pillar_are_this_machines_own(masterless, tmp_path):
    assert masterless("pillar.items") == {"color": "blue", "id": "m1"}
    assert masterless("cp.list_master") == ["_modules/own.py", "web/motd"]
    assert masterless("cp.get_file_str", "salt://web/motd") == "hello {{ grains.id }}\n"
    assert masterless("cp.get_template", "salt://web/motd", str(tmp_path / "motd")) == str(tmp_path / "motd")
    assert (tmp_path / "motd").read_text() == "hello m1\n"
    none = masterless("cp.get_file", "salt://none", str(tmp_path / "none"))
    assert none == "ERROR: There is no salt://none in the environment base."
    assert masterless("saltutil.sync_modules") == ["modules.own"] and masterless("own.color") == "blue"
    assert masterless("pillar.get", "color") == "blue" and masterless("saltutil.refresh_pillar") is True
    assert not (tmp_path / "conf/pki").exists(), "no keys are made"
    assert not (tmp_path / "conf/var/cache/salt/minion/pillar").exists(), "the daemon's pillar is its master's"
    assert "there is none" in masterless("event.send", "a/b")


def test_the_daemon_says_what_file_client_and_startup_states_lack(tmp_path):
    write_config(tmp_path / "minion", {"id": "m1", "file_client": "local", "startup_states": "sls"})
    done = command("minion", "-c", tmp_path)
    assert done.returncode == 1 and "file_client: local holds for `call` only" in done.stderr
    assert "saltlite: startup_states: sls applies what sls_list says, which is empty: set it too." in done.stderr


def test_local_on_the_command_line_and_in_the_configuration_are_one(masterless, tmp_path):
    path = tmp_path / "conf/minion"
    path.write_text(path.read_text().replace("file_client: local", "file_client: remote\nmaster: 127.0.0.1:1"))
    assert masterless("--local", "pillar.items") == {"color": "blue", "id": "m1"}
    (tmp_path / "more").mkdir()
    (tmp_path / "more/top.sls").write_text("base: {'*': [c]}")
    (tmp_path / "more/c.sls").write_text("color: red")
    assert masterless("--local", "--pillar-root", str(tmp_path / "more"), "pillar.items") == {"color": "red"}
    path.write_text("id: m1\nfile_client: near\n")
    assert "file_client" in masterless("test.ping") and "remote or local" in masterless("test.ping")
    path.write_text("id: m1\nfile_client: local\npillar_roots: 5\n")
    assert "pillar_roots" in masterless("test.ping") and "a map of environments" in masterless("test.ping")


def test_call_local_needs_no_master(tmp_path):
    write_config(tmp_path / "minion", {"id": "alone", "master_port": free_port()})
    done = command("call", "-c", tmp_path, "--local", "test.echo", "hi")
    assert (done.returncode, done.stdout) == (0, "local:\n    hi\n")
    assert json.loads(command("call", "-c", tmp_path, "--local", "--out", "json", "test.arg", "1", "k=v").stdout)[
        "local"
    ]["args"] == [1]
    assert command("call", "-c", tmp_path, "--local", "cmd.run", "exit 7").returncode == 1
    done = command("call", "-c", tmp_path, "--local", "--retcode-passthrough", "cmd.run", "exit 7")
    assert (done.returncode, done.stdout) == (7, "local (retcode 7):\n")
    unknown = command("call", "-c", tmp_path, "--local", "test.pingg")
    assert unknown.returncode == 1 and "is not available" in unknown.stdout + unknown.stderr
    assert not (tmp_path / "pki").exists(), "--local makes no keys"


def test_call_shows_grains_and_documentation(tmp_path):
    write_config(tmp_path / "minion", {"id": "alone", "grains": {"rack": "r7"}})
    (tmp_path / "own/modules").mkdir(parents=True)
    (tmp_path / "own/modules/mine.py").write_text('def it():\n    """Says one."""\n    return 1\n')

    def call(*words):
        return command("call", "-c", tmp_path, "--local", *words)

    assert json.loads(call("-g", "--out=json").stdout)["local"]["rack"] == "r7"
    assert json.loads(call("--skip-grains", "--out=json", "grains.items").stdout)["local"] == {}
    assert "test.ping:" in call("-d").stdout and "cmd.run:" not in call("-d", "test.ping").stdout
    assert call("-m", tmp_path / "own", "mine.it").stdout == "local:\n    1\n"
    assert "Says one." in call("-m", tmp_path / "own", "-d", "mine.it").stdout
    nothing = call()
    assert nothing.returncode == 64 and "call needs the name of a function" in nothing.stderr
    lost = command("call", "-c", tmp_path, "--file-root", "/srv/x", "test.ping")
    assert lost.returncode == 64 and lost.stderr.startswith("saltlite: --file-root needs --local")
    lost = command("call", "-c", tmp_path, "--local", "--pillar-root", tmp_path / "x", "test.ping")
    assert lost.returncode == 64 and lost.stderr == f"saltlite: --pillar-root {tmp_path}/x is no directory.\n"


def test_call_says_what_it_does_at_the_level_debug_and_what_pillar_lacks_at_each(fleet, tmp_path):
    done = command("call", "-c", fleet.web2.conf, "-l", "debug", "test.ping")
    assert done.returncode == 0 and "local:\n    True\n" == done.stdout
    for said in ("id web2", "has taken the key", "keys in the pillar", "test.ping is called", "its retcode is 0"):
        assert said in done.stderr
    (tmp_path / "top.sls").write_text("base: {'*': [gone]}\n")
    done = command("call", "-c", fleet.web2.conf, "--local", "--pillar-root", tmp_path, "pillar.get", "x", "none")
    assert done.stdout == "local:\n    none\n" and "[ERROR   ] pillar: Specified SLS 'gone'" in done.stderr


def test_what_a_site_has_named_is_not_hidden_by_what_is_noted_among_the_options(fleet):
    assert fleet.master.returns("web*", "config.get", "role") == {"web1": "front", "web2": "back"}
    names = fleet.master.returns("web2", "config.items")["web2"]
    assert "role" not in names and not [name for name in names if name.startswith("__") and name != "__role"]


def test_call_speaks_to_the_master_beside_the_running_minion(fleet):
    done = command("call", "-c", fleet.web2.conf, "grains.get", "role")
    assert (done.returncode, done.stdout) == (0, "local:\n    back\n"), done.stderr
    day = fleet.master.jobs / "done" / jid_of(time.time())[:8]
    own = until(lambda: sorted(day.glob("*.web2.jsonl")), what="the master has noted it")[-1]
    assert [json.loads(line)["event"] for line in own.read_text().splitlines()] == ["new", "ret"]
    assert fleet.master.returns("web2", "test.ping") == {"web2": True}


def test_call_without_an_answer_ends_with_a_sentence(tmp_path):
    write_config(
        tmp_path / "minion", {"id": "m", "master": "127.0.0.1", "master_port": free_port(), "auth_timeout": 0.2}
    )
    done = command("call", "-c", tmp_path, "test.ping")
    assert done.returncode == 1 and done.stdout == ""
    assert "does not answer" in done.stderr and "--local" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("who", ["master", "web1"])
def test_a_daemon_says_where_it_is_and_goes_on(fleet, who):
    process = getattr(fleet, who).process
    process.send_signal(signal.SIGUSR1)
    pattern = f"salt-debug-*-{process.pid}.log"
    path = until(lambda: next(Path(tempfile.gettempdir()).glob(pattern), None), what="the file")
    until(lambda: path.read_text().count("\n") > 5, what="its lines")
    assert f"process {process.pid}" in path.read_text() and "in main" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    assert fleet.master.returns("web1", "test.ping") == {"web1": True} and process.poll() is None


# links named after Salt's commands


@pytest.mark.parametrize(
    "name, argv, words",
    [
        ("salt", ["-c", "MASTER", "web2", "test.ping"], "web2"),
        ("salt-key", ["-c", "MASTER", "-L"], "Accepted Keys:"),
        ("salt-call", ["-c", "MINION", "--local", "test.ping"], "local"),
        ("salt-master", ["--help"], "Run the master"),
        ("salt-minion", ["--help"], "Run the minion"),
    ],
)
def test_called_through_a_link_it_is_that_command(fleet, tmp_path, name, argv, words):
    (tmp_path / name).symlink_to(SCRIPT)
    places = {"MASTER": str(fleet.master.conf), "MINION": str(fleet.web2.conf)}
    line = [sys.executable, str(tmp_path / name), *(places.get(word, word) for word in argv)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30, env=ENVIRONMENT)
    assert (done.returncode, words in done.stdout) == (0, True), done


def test_a_wrong_command_or_option_shows_what_there_is():
    done = command("mastr")
    assert done.returncode == 64 and "did you mean 'master'?" in done.stderr
    assert command("salt", "--frobnicate").returncode != 0
    assert command().returncode == 64
    assert command("--version").stdout.startswith("saltlite ")
    for name in ("master", "minion", "salt", "key", "call"):
        assert command(name, "--help").returncode == 0


@pytest.mark.parametrize(
    ("option", "said"),
    [("--frobnicate", "--frobnicate."), ("-Z", "-Z."), ("--batchh", "--batchh; did you mean '--batch'?")],
)
def test_an_unknown_option_before_the_target_is_named(option, said):
    done = command("salt", option, "*", "test.ping")
    usage = r"usage: .* salt \[OPTION \.\.\.\] \[TARGET\] \[FUNCTION\] \[ARG \.\.\.\]   \(.* salt --help tells more\)\n"
    assert done.returncode == 64 and re.fullmatch(
        usage + re.escape(f"saltlite: there is no option {said}\n"), done.stderr
    )


@pytest.mark.parametrize("name", ["salt", "run", "cp", "call", "master", "minion"])
def test_a_log_level_that_is_none_is_refused(name, tmp_path):
    done = command(name, "-c", tmp_path, "-l", "verbose")
    assert done.returncode == 64 and "-l verbose: the level is quiet," in done.stderr


def test_options_of_salts_that_scripts_have(fleet):
    quiet = ("--log-file", "/dev/null", "--log-file-level", "quiet")
    values = ("--out", "newline_values_only")
    done = command("salt", "-c", fleet.master.conf, "web2", "test.ping", *quiet, "--state_output=mixed", *values)
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)
    assert command("key", "-c", fleet.master.conf, "-l", "acc", *quiet).returncode == 0
    assert command("run", "-c", fleet.master.conf, "manage.up", *quiet, "--state_verbose=false").returncode == 0
    done = command("call", "-c", fleet.web2.conf, "--local", "grains.get", "id", *values)
    assert done.stdout == "web2\n"
    assert command("run", "-c", fleet.master.conf, "manage.up", "--quiet", "-t", "5", "--hard-crash").stdout == ""
    for name, flag, said in (
        ("salt", "-T", "no external authentication"),
        ("run", "--eauth=pam", "no external authentication"),
        ("key", "--mktoken", "no external authentication"),
        ("key", "--gen-signature", "master_sign_pubkey"),
        ("run", "--async", "it is no job"),
        ("call", "--metadata", "saltlite jobs show"),
    ):
        done = command(name, flag)
        assert (
            done.returncode == 64
            and done.stderr.startswith(f"saltlite: {flag.split('=')[0]} is not ")
            and said in done.stderr
        )
    place = fleet.web2.conf / "elsewhere"
    assert command("call", "-c", fleet.web2.conf, "--cachedir", place, "cp.list_master").returncode == 0
    assert place.is_dir()


@pytest.mark.parametrize("words", [["-Q"], ["-t", "abc"], []])
def test_a_wrong_command_line_is_not_mistaken_for_a_target_that_nobody_matches(fleet, words):
    done = command("salt", "-c", fleet.master.conf, "*", *(["test.ping"] if words else []), *words)
    assert done.returncode == 64 and done.stderr.startswith("usage: ") and done.stderr.count("\n") == 2


@pytest.mark.parametrize("words, missing", [((), "TARGET, FUNCTION"), (("*",), "FUNCTION"), (("--preview",), "TARGET")])
def test_what_a_command_line_lacks_is_named(fleet, words, missing):
    done = command("salt", "-c", fleet.master.conf, *words)
    assert done.returncode == 64 and done.stderr.endswith(f"the following arguments are required: {missing}.\n")


def test_a_directory_of_requests_that_was_removed_is_named(fleet):
    new = fleet.master.jobs / "new"
    new.rename(new.with_name("away"))
    try:
        done = fleet.master.salt("*", "test.ping")
    finally:
        new.with_name("away").rename(new)
    assert done.returncode == 1 and f"{new} is gone" in done.stderr and "start it again" in done.stderr
    assert fleet.master.returns("web2", "test.ping") == {"web2": True}


def test_an_empty_target_is_named(fleet):
    done = command("salt", "-c", fleet.master.conf, "", "test.ping")
    assert done.returncode == 64 and done.stderr.endswith("saltlite: TARGET is empty: '*' is all minions.\n")


def test_docs_without_a_target_are_those_of_all(fleet):
    for words in (("-d",), ("-d", "*"), ("*", "-d", "test.ping")):
        done = fleet.master.salt(*words)
        assert done.returncode == 0 and "test.ping:" in done.stdout, done
        assert ("cmd.run:" in done.stdout) == (len(words) < 3)


def test_docs_of_some_and_the_silence_of_others_are_both_shown(fleet):
    """`salt -s … sys.doc`: who did not return is named behind the docs."""
    fleet.web2.stop()
    try:
        done = fleet.master.salt("-s", "-t", "1", "*", "sys.doc", "test.ping")
    finally:
        fleet.web2.start()
        fleet.web2.connected()
    assert "test.ping:" in done.stdout and "web2" in done.stdout and "Minion did not return" in done.stdout
    assert done.returncode == 1
