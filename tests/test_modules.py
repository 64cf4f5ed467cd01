"""The module files of etc/salt, run as a job runs them, with real files and processes."""

from __future__ import annotations

import concurrent.futures
import copy
import grp
import json
import multiprocessing
import os
import pwd
import re
import resource
import shlex
import signal
import stat
import subprocess
import sys
import time
import timeit
from pathlib import Path

import pytest
import yaml
from one_minion import Runner

import saltlite

MODULES = Path(saltlite.__file__).resolve().parent / "etc/salt"
GRAINS = {"os": "Debian", "apps": {"web": {"port": 80}}, "roles": ["web"], "saltversion": saltlite.SALT_VERSION}
FORCE = "Use 'force=True' to overwrite."
JID = "20261123205107331456"
NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


class Minion(Runner):
    """A minion's tree in which jobs can be run, one after the other in this process."""

    def __init__(self, conf, grains=GRAINS, pillar=None, **opts):
        Path(conf).mkdir(exist_ok=True)
        self.file = Path(conf, "grains")
        self.opts = saltlite.load_opts("minion", str(conf), {"id": "web1", "test.foo": "set", **opts})
        self.execution = saltlite.Execution(self.opts, saltlite.MinionTree(self.opts), {"jid": JID})
        self.execution.grains = copy.deepcopy(grains)
        self.execution.pillar = pillar or {}

    def stored(self):
        return yaml.safe_load(self.file.read_text())


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "conf")


def gone(pid):
    """Whether a process has ended (or waits for init to reap it)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def test_every_packed_function_has_a_first_sentence_and_an_example(minion):
    """Of all modules; an example names the function, or another that is the same."""
    functions = minion.execution.functions
    for fun, function in functions.items():
        doc = function.__doc__ or ""
        same = [name for name, other in functions.items() if other.__doc__ is function.__doc__]
        assert re.match(r"[A-Z{].*\.", doc, re.DOTALL), fun
        assert re.search("CLI Examples?:", doc), fun
        assert any(re.search(rf"salt(-call| '?[^ ]+) {re.escape(name)}\b", doc) for name in same), fun


def test_sys_doc_shows_each_function_with_its_arguments(minion):
    """All there are, with their defaults; what a job gets besides is none."""
    docs = minion("sys.doc")
    assert docs.keys() == set(minion("sys.list_functions"))
    spec = minion("sys.argspec")
    for fun, doc in docs.items():
        call, _, rest = doc.partition("\n\n")
        assert call.startswith(f"{fun}(") and call.endswith(")") and "CLI Example" in rest, fun
        assert all(re.search(rf"\b{name}\b", call) for name in spec[fun]["args"] or []), fun
    assert docs["test.sleep"].startswith("test.sleep(length)\n\nSleep for some seconds.")


def test_the_functions_that_people_use_are_there(minion):
    wanted = {
        "cmd": """exec_code exec_code_all has_exec retcode run run_all run_bg run_chroot run_stderr run_stdout script
            script_retcode shell shell_info shells tty which which_bin""",
        "config": "backup_mode dot_vals get items manage_mode merge option valid_fileproto",
        "match": """compound data filter_by glob grain grain_pcre ifelse ipcidr list pcre pillar pillar_pcre
            search_by""",
        "pillar": "data ext fetch file_exists filter_by get item items keys ls obfuscate raw",
        "grains": """append delkey delval equals fetch filter_by get has_value item items ls remove set setval
            setvals""",
        "sys": """argspec doc list_functions list_modules list_renderers list_returner_functions list_returners
            list_runner_functions list_runners list_state_functions list_state_modules reload_modules renderer_doc
            returner_argspec returner_doc runner_argspec runner_doc
            state_argspec state_doc state_schema""",
        "test": """arg arg_clean arg_repr arg_type assertion collatz conf_test cross_test echo exception false fib
            get_opts kwarg not_loaded opts_pkg outputter ping raise_exception rand_sleep rand_str random_hash retcode
            sleep stack true try version versions versions_information versions_report""",
    }
    for module, names in wanted.items():
        assert minion("sys.list_functions", module) == [f"{module}.{name}" for name in names.split()]


# what keeps functions from running


@pytest.mark.parametrize("where", ["pillar", "grains"])
@pytest.mark.parametrize(("allowed", "runs"), [
    (None, ""), ("cmd.run", "cmd.run"), (["cmd.run", "test.ping"], "cmd.run test.ping"), ([], ""), (7, ""), ({}, ""),
])  # fmt: skip
def test_in_blackout_mode_only_what_is_allowed_runs(minion, where, allowed, runs):
    getattr(minion.execution, where).update(minion_blackout=True, minion_blackout_whitelist=allowed)
    for fun, *args in (("cmd.run", "echo hi"), ("test.ping",), ("test.arg", 1), ("saltutil.kill_job", JID)):
        ret, retcode, success = minion.run(fun, *args)
        said = f"ERROR executing '{fun}': Minion in blackout mode: only saltutil.refresh_pillar and what"
        assert (retcode, success, str(ret).startswith(said)) == ((0, True, False) if fun in runs else (1, False, True))
        assert success or str(ret).endswith(f"until minion_blackout is False in the {where}.")
    assert "no master to ask" in minion.error("saltutil.refresh_pillar")
    getattr(minion.execution, where)["minion_blackout"] = False
    assert minion("test.ping") is True


def test_modules_that_are_disabled_are_not_there(tmp_path):
    (tmp_path / "modules").mkdir()
    text = "__virtualname__ = 'pkg'\ndef run():\n    return __salt__['cmd.run']('echo hi')\n"
    (tmp_path / "modules/aptly.py").write_text(text)
    for disabled in (["cmd", {"odd": 1}, None], ["cmd", "pkg"], ["test", "aptly"]):
        minion = Minion(tmp_path, disable_modules=disabled)
        for module, fun in (("cmd", "cmd.which"), ("test", "test.echo")):
            if module in disabled:
                assert minion.run(fun, "sh")[0] == f"'{fun}' is not available. The option disable_modules names it."
            else:
                assert minion.run(fun, "sh")[2]
        assert minion.run("pkg.run")[1:] == (1, False)


def test_modules_that_are_not_white_listed_cannot_be_asked_for(tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/own.py").write_text("def run():\n    return __salt__['cmd.run']('echo hi')\n")
    minion = Minion(tmp_path, whitelist_modules=["own"])
    assert minion("own.run") == "hi"  # among themselves modules do not ask, as with Salt
    for fun in ("cmd.run", "test.ping"):
        said = f"'{fun}' is not available. The option whitelist_modules does not name its module."
        assert minion.run(fun, "echo hi") == (said, 1, False)


@pytest.mark.parametrize(("fun", "args", "kwargs", "expected"), [
    ("test.arg", (1, "two"), {"a": 1}, {"args": [1, "two"], "kwargs": {"a": 1, "__pub_jid": JID}}),
    ("test.kwarg", (), {"a": {"b": 1}}, {"a": {"b": 1}, "__pub_jid": JID}),
    ("test.try", ("test.exception",), {}, None),
    ("test.arg_clean", (1,), {"a": 2}, {"args": [1], "kwargs": {"a": 2}}),
    ("test.conf_test", (), {}, "set"),
    ("test.cross_test", ("test.echo", ["a"]), {}, "a"),
    ("test.outputter", ({"a": 1},), {}, {"a": 1}),
    ("test.raise_exception", ("nosuch", "x"), {}, False),
    ("test.raise_exception", ("print", "x"), {}, False),
    ("test.raise_exception", ("antigravity.x",), {}, False),
    ("match.filter_by", ({"foo*": 1, "web*": {"a": 1}},), {}, {"a": 1}),
    ("match.filter_by", ({"foo*": 1, "web*": {"a": 1}},), {"merge": {"b": 2}}, {"a": 1, "b": 2}),
    ("match.filter_by", ({"foo*": 1},), {"default": "foo*"}, 1),
    ("match.filter_by", ({"foo*": 1},), {}, None),
    ("match.filter_by", ({"os:Debian": 1},), {"tgt_type": "grain"}, 1),
    ("match.filter_by", ({"w*": None},), {"merge": {"b": 2}}, {"b": 2}),
    ("match.filter_by", ({"w*": {"l": [1]}},), {"merge": {"l": [2]}, "merge_lists": True}, {"l": [1, 2]}),
    ("match.filter_by", ({"w*": {"l": [1]}},), {"merge": {"l": [2]}}, {"l": [2]}),
    ("match.filter_by", ({"bar*": 5},), {"minion_id": "bar03"}, 5),
    ("match.search_by", ({"a": ["web*", "x"], "b": ["y"], "c": ["G@os:Debian"]},), {}, ["a", "c"]),
    ("match.search_by", ({"b": ["y"]},), {}, None),
    ("match.ifelse", ("foo*", "F", "web*", "W", "d"), {}, "W"),
    ("match.ifelse", ("foo*", "F", True, "W", "d"), {}, "W"),
    ("match.ifelse", ("foo*", "F", False, "W", "d"), {}, "d"),
    ("match.ifelse", ("d",), {}, "d"),
    ("config.backup_mode", (), {}, ""),
    ("config.backup_mode", ("x",), {}, "x"),
    ("config.manage_mode", (644,), {}, "0644"),
    ("config.manage_mode", ("0o644",), {}, "0644"),
    ("config.manage_mode", ('"0644"',), {}, "0644"),
    ("config.manage_mode", ("00",), {}, "0000"),
    ("config.manage_mode", (4755,), {}, "4755"),
    ("config.manage_mode", (None,), {}, None),
    ("config.valid_fileproto", ("s3://x",), {}, True),
    ("config.valid_fileproto", ("git://x",), {}, False),
    ("config.valid_fileproto", ("/x",), {}, False),
    ("sys.reload_modules", (), {}, True),
    ("sys.list_renderers", (), {}, ["jinja"]),
    ("sys.list_renderers", ("y*",), {}, []),
    ("sys.renderer_doc", ("y*", "x"), {}, {}),
    ("sys.list_runners", (), {}, []),
    ("sys.list_returners", ("l*",), {}, []),
    ("sys.runner_doc", ("jobs", "mine.*"), {}, {}),
    ("sys.returner_argspec", ("local",), {}, {}),
    ("saltutil.clear_job_cache", (), {"hours": 12}, True),
    ("test.try", ("test.exception", True), {"message": "m"}, "Exception('m')"),
])  # fmt: skip
def test_test_functions_return_what_salts_do(minion, fun, args, kwargs, expected):
    assert minion(fun, *args, **kwargs) == expected


def test_pillar_functions_are_those_of_salt(tmp_path):
    minion = Minion(tmp_path / "conf", pillar={"a": {"b": 1, "pw": "x"}, "l": [1, "two", None]})
    minion.execution._master = lambda load: minion.execution.pillar
    assert minion("match.pillar_pcre", "a:b:[0-9]") is True and minion("match.pillar_pcre", "a:b:x") is False
    table = {"x": {"v": 1}, "default": {"v": 9}}
    assert minion("pillar.filter_by", table, "a:pw") == {"v": 1}
    assert minion("pillar.filter_by", {"y": 1, "default": {"v": 9}}, "a:pw") == {"v": 9}
    assert minion("pillar.filter_by", {"y": {"v": 1}}, "a:pw", {"z": 1}, "y", "y") == {"v": 1, "z": 1}
    types = {"a": {"b": "<int>", "pw": "<str>"}, "l": ["<int>", "<str>", "<NoneType>"]}
    assert minion("pillar.obfuscate") == types
    assert minion("pillar.obfuscate", "a:b", "l") == {"a:b": "<int>", "l": types["l"]}
    assert minion("pillar.raw", "a", unmask=False) == {"b": 1, "pw": "x"}


def test_pillar_that_is_not_there_may_be_an_error(tmp_path):
    minion = Minion(tmp_path, pillar_raise_on_missing=True)
    assert minion.error("pillar.get", "a:b") == "Pillar key not found: a:b"
    assert minion("pillar.get", "a:b", "d") == "d" and minion("pillar.get", "a:b", None) is None
    minion.execution.opts["pillar_raise_on_missing"] = False
    assert minion("pillar.get", "a:b") == ""


def test_pillar_files_are_looked_for_where_they_are(tmp_path):
    (tmp_path / "srv/web").mkdir(parents=True)
    (tmp_path / "srv/web/init.sls").write_text("")
    minion = Minion(tmp_path / "conf", pillar_roots={"base": [str(tmp_path / "srv")]})
    for path, env, there in (("web/init.sls", None, True), ("web/init.sls", "dev", False), ("web", None, False)):
        assert minion("pillar.file_exists", path, env) is there
    assert "cannot be a file's path" in minion.error("pillar.file_exists", "../conf")
    assert "no pillar_roots here" in Minion(tmp_path / "other").error("pillar.file_exists", "x")


def test_hashes_and_exceptions_are_made(minion):
    assert {len(minion("test.rand_str", size)) for size in (0, 5, 1000)} == {64}
    assert len(minion("test.random_hash", hash_type="md5")) == 32
    assert minion("test.rand_str") != minion("test.rand_str")
    assert "FileNotFoundError: [Errno 2] no: 'x'" in minion.run("test.raise_exception", "OSError", 2, "no", "x")[0]
    assert minion.error("test.raise_exception", "salt.exceptions.CommandExecutionError", "x") == "x"
    assert "odd number" not in minion.error("match.ifelse", "a", "b") and minion.error("match.ifelse", "a", "b")
    assert "must be a map" in minion.error("match.filter_by", {"w*": {}}, merge=5)
    assert "needs a map" in minion.error("match.filter_by", {"w*": 1}, merge={"a": 1})


def test_modules_that_are_not_loaded_are_named(tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/broken.py").write_text("raise RuntimeError")
    assert Minion(tmp_path)("test.not_loaded") == ["broken"]


def test_all_jobs_are_killed_but_the_one_that_does_it(minion):
    tree = minion.execution.tree
    tree.proc.mkdir(parents=True)
    for number, function in ((1, "saltutil.term_all_jobs"), (2, "saltutil.kill_all_jobs")):
        sleeper = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        for jid, pid in ((f"{number}" * 20, sleeper.pid), (JID, os.getpid())):
            tree.start_job({"jid": jid, "fun": "cmd.run", "arg": []}, pid)
        said = minion(function)
        assert said == [
            f"Signal {15 if number == 1 else 9} sent to job {number}{str(number) * 19} at pid {sleeper.pid}"
        ]
        assert sleeper.wait(10) == (-15 if number == 1 else -9)
        tree.end_job(f"{number}" * 20)


def test_a_return_that_waits_can_be_looked_at(minion):
    tree = minion.execution.tree
    tree.outbox.mkdir(parents=True)
    tree.put_return({"jid": JID, "fun": "test.ping", "return": True})
    assert minion("saltutil.find_cached_job", JID)["return"] is True
    for jid in ("2" * 20, "../../x"):
        assert minion("saltutil.find_cached_job", jid).startswith(f"Job {jid} has no return here")


def test_numbers_are_those_of_salt(minion):
    assert minion.run("test.retcode", 7)[:2] == (True, 7)
    assert [minion("test.fib", number)[0] for number in (0, 1, 2, 3, 10, "20")] == [0, 1, 1, 2, 55, 6765]
    assert minion("test.collatz", 3)[0] == [3, 10, 5, 16, 8, 4, 2]


def test_other_errors_are_shown_whole(minion):
    assert "Exception: Oh noes!" in minion.run("test.exception", "Oh noes!")[0]
    assert minion.run("test.assertion", False)[1:] == (1, False)
    assert "invalid arguments to cmd.run: missing a required argument: 'cmd'" in minion.run("cmd.run")[0]


def test_versions_and_opts_name_what_runs(minion):
    report = minion("test.versions")
    assert f"Salt: {saltlite.SALT_VERSION}" in report and f"PyYAML: {yaml.__version__}" in report
    package = minion("test.opts_pkg")
    assert (package["id"], package["grains"]["os"]) == ("web1", "Debian")
    assert saltlite.unpack(saltlite.pack(package))["id"] == "web1"
    assert "stack()" in minion("test.stack")


@pytest.mark.parametrize(("fun", "cmd", "kwargs", "expected", "retcode"), [
    ("cmd.run", "echo a | tr a b", {}, "b", 0),
    ("cmd.run", "echo out; echo err >&2", {}, "out\nerr", 0),
    ("cmd.run", "exit 3", {}, "", 3),
    ("cmd.run", "exit 3", {"success_retcodes": [3, 4]}, "", 0),
    ("cmd.run_stdout", "exit 3", {"ignore_retcode": True, "clean_env": True}, "", 0),
    ("cmd.run", "echo 'x  '", {"rstrip": False}, "x  \n", 0),
    ("cmd.run", ["printf", "%s-", "a b", 1], {}, "a b-1-", 0),
    ("cmd.run", "echo $HOME | cat", {"python_shell": False}, "$HOME | cat", 0),
    ("cmd.run", "cat", {"stdin": "a\\nb"}, "a\nb", 0),
    ("cmd.run", "true", {"stdin": "x" * 1_000_000}, "", 0),
    ("cmd.run", "wc -c", {"stdin": "x" * 1_000_000}, "1000000", 0),
    ("cmd.run", r"printf 'a\377b\n'", {}, b"a\xffb\n", 0),
    ("cmd.run", r"printf 'a\351b\n'", {"output_encoding": "latin-1"}, "a\u00e9b", 0),
    ("cmd.run", "kill -9 $$", {}, "", -9),
    ("cmd.run", "pwd; echo $0 $LC_TIME ${PATH%%:*} $A-$B; umask", {"cwd": "/usr", "shell": "/bin/sh", "umask": "077",
     "prepend_path": "/opt/ü", "env": [{"A": 1}, {"B": None}]}, "/usr\n/bin/sh C /opt/ü 1-\n0077", 0),
    ("cmd.run", "echo x", {"saltenv": "base", "use_vt": True}, "x", 0),
    ("cmd.shell", "echo a | tr a b", {}, "b", 0),
    ("cmd.shell", "echo a | tr a b", {"python_shell": False}, "a | tr a b", 0),
    ("cmd.run", "echo out; exit 3", {"success_stdout": "ou"}, "out", 0),
    ("cmd.run", "echo out; exit 3", {"success_stdout": ["no", "nor"]}, "out", 3),
    ("cmd.run", "echo out; exit 3", {"success_stdout": "no,out", "hide_output": True}, "", 0),
    ("cmd.run_stderr", "echo err >&2; exit 3", {"success_stderr": ["zz", "err"]}, "err", 0),
    ("cmd.run_stdout", r"printf 'a\377b'; exit 3", {"success_stdout": ["b"]}, b"a\xffb", 0),
    ("cmd.run", "echo {{ grains.os }} {{ pillar.p }}", {"template": "jinja", "pillar": {"p": 5}}, "Debian 5", 0),
    ("cmd.run", "echo {{ 1 }}", {}, "{{ 1 }}", 0),
    ("cmd.run", "pwd", {"template": "jinja", "cwd": "/{{ 'usr' }}"}, "/usr", 0),
    ("cmd.retcode", "exit 3", {}, 3, 3),
])  # fmt: skip
def test_commands_return_output_and_retcode(minion, fun, cmd, kwargs, expected, retcode):
    assert minion.run(fun, cmd, **kwargs) == (expected, retcode, True)


def test_another_module_gets_no_shell_unless_it_asks_for_one(minion):
    run = minion.execution.functions["cmd.run"]
    assert (run("echo a | tr a b"), run("echo a | tr a b", python_shell=True)) == ("a | tr a b", "b")


def test_run_all_returns_pid_retcode_stdout_and_stderr(minion):
    ret = minion("cmd.run_all", "echo $$; echo err >&2; exit 3", shell="/bin/sh")
    assert ret == {"pid": int(ret["stdout"]), "retcode": 3, "stdout": ret["stdout"], "stderr": "err"}
    assert minion("cmd.run_stdout", "echo out; echo err >&2") == "out"
    assert minion("cmd.run_stderr", "echo out; echo err >&2") == "err"


@pytest.mark.parametrize(("cmd", "kwargs", "message"), [
    ("x", {"cwd": "/nonexistent"}, "Specified cwd '/nonexistent' either not absolute or does not exist"),
    ("x", {"runas": "nosuchuser"}, "User 'nosuchuser' is not available"),
    ("x", {"timeout": "soon"}, "Error: timeout soon must be a number"),
    ("x", {"output_encoding": "klingon"}, "Unknown output_encoding: unknown encoding: klingon"),
    ("x", {"timeuot": 3}, "There is no keyword timeuot; those of commands are: cwd, stdin, "),
    ("echo 'x", {"python_shell": False}, "Unable to split the command 'echo 'x' into words: No closing quotation"),
    ("echo {{ a }}", {"template": "jinja"}, "The template in the command cannot be filled in: 'a' is undefined."),
    ("echo {{ a }}", {"template": "mako"}, "template='mako' is not supported: jinja is."),
    (["nosuchcmd"], {}, "Unable to run command 'nosuchcmd', reason: [Errno 2] No such file or directory"),
    ("echo why; exit 3", {"raise_err": True}, "why"),
])  # fmt: skip
def test_commands_that_cannot_run_say_why(minion, cmd, kwargs, message):
    assert message in minion.error("cmd.run", cmd, **kwargs)


@pytest.mark.parametrize("cmd", ["true x", "false", "true rm"])
def test_black_and_white_list_decide_what_may_run(tmp_path, cmd):
    minion = Minion(tmp_path, cmd_whitelist_glob=["true*"], cmd_blacklist_glob=["*rm*"])
    refused = f'ERROR: The shell command "{cmd}" is not permitted', 1, False
    assert minion.run("cmd.run", cmd) == (("", 0, True) if cmd == "true x" else refused)


def much_output(conf_dir):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # what it has been forked with
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    out, retcode, _ = Minion(conf_dir).run("cmd.run", "head -c 1G /dev/zero")
    return len(out), out[-80:], retcode, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def test_gigabyte_of_output_is_cut_and_takes_little_memory(tmp_path):
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        length, end, retcode, kilobytes = pool.submit(much_output, tmp_path).result()
    assert retcode == 0 and length < 2**24 + 100 and kilobytes < 150_000
    assert end.endswith(f"[stdout: {2**30 - 2**24} more bytes were cut, max_return_size is {2**24}]")


@pytest.mark.parametrize("cmd", [
    "head -c 9999 /dev/zero",
    "yes | head -c 5000; yes ü | head -c 9999 >&2",
    r"head -c 1001 /dev/zero | tr '\0' '\377'; echo error >&2",
])  # fmt: skip
def test_stdout_and_stderr_together_keep_to_the_limit(tmp_path, cmd):
    ret = Minion(tmp_path, max_return_size=1000)("cmd.run_all", cmd)
    outputs = [out if isinstance(out, bytes) else out.encode() for out in (ret["stdout"], ret["stderr"])]
    assert sum(len(out.partition(b"\n[std")[0]) for out in outputs) <= 1000
    assert any(out.endswith(b"more bytes were cut, max_return_size is 1000]") for out in outputs)
    out = Minion(tmp_path, max_return_size=3)("cmd.run", "printf üüü")
    assert out == "ü\n[stdout: 3 more bytes were cut, max_return_size is 3]"  # not in the middle of a character


def test_timeout_kills_grandchildren_and_says_so(minion, tmp_path):
    pids = tmp_path / "pids"
    cmd = f"(sleep 1000 & echo $! > {pids}; trap '' TERM; sleep 1000)"
    assert minion.run("cmd.run", cmd, timeout=0.5) == (f"{cmd} : Timed out after 0.5 seconds", 1, True)
    until(lambda: gone(int(pids.read_text())))


def test_timeout_does_not_wait_for_who_left_the_process_group(minion, tmp_path):
    pids = tmp_path / "pids"
    cmd = f"setsid sh -c 'echo $$ > {pids}; exec sleep 1000' & until test -s {pids}; do sleep 0.05; done; sleep 1000"
    assert "Timed out" in minion("cmd.run", cmd, timeout=1)
    os.kill(int(pids.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("kill", [os.kill, saltlite.signal_session])
def test_who_interrupts_a_job_ends_its_commands(tmp_path, kill):
    pids = tmp_path / "pids"
    pid = os.fork()
    if not pid:
        os.setsid()
        try:
            Minion(tmp_path / "conf")("cmd.run", f"sleep 1000 & echo $! > {pids}; sleep 1000")
        finally:
            os._exit(0)
    until(lambda: pids.exists() and pids.read_text().strip())
    kill(pid, signal.SIGINT if kill is os.kill else signal.SIGKILL)
    os.waitpid(pid, 0)
    until(lambda: gone(int(pids.read_text())))


def test_background_command_goes_on_without_the_job(minion, tmp_path):
    ret = minion("cmd.run_bg", "until test -e go; do sleep 0.02; done; touch done", cwd=str(tmp_path))
    assert list(ret) == ["pid"] and os.getsid(ret["pid"]) == ret["pid"]
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists)


@as_root
def test_runas_has_the_users_ids_groups_and_login_environment(minion, monkeypatch):
    monkeypatch.setenv("TOKEN_OF_ROOT", "secret")
    lines = minion("cmd.run", "id -u; id -g; id -G; echo $USER $LOGNAME $HOME", runas="nobody").splitlines()
    assert lines[:2] == [str(NOBODY.pw_uid), str(NOBODY.pw_gid)]
    assert sorted(map(int, lines[2].split())) == sorted(os.getgrouplist("nobody", NOBODY.pw_gid))
    assert lines[3] == f"nobody nobody {NOBODY.pw_dir}"
    assert "TOKEN_OF_ROOT=secret" in minion("cmd.run", "env")
    assert "TOKEN_OF_ROOT" not in minion("cmd.run", "env", runas="nobody")
    assert "MINE=yes" in minion("cmd.run", "env", runas="nobody", env={"MINE": "yes"})
    assert minion("cmd.run", "id -u; id -g", runas="nobody", group=grp.getgrgid(1).gr_name) == f"{NOBODY.pw_uid}\n1"


def test_default_directory_is_home_or_root(minion, monkeypatch, tmp_path):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    for home, where in ((str(tmp_path), str(tmp_path)), ("/nonexistent", "/")):
        monkeypatch.setenv("HOME", home)
        assert minion("cmd.run", "echo $PWD ${NOTIFY_SOCKET-none}") == f"{where} none"


@pytest.mark.parametrize(("text", "args", "out", "retcode"), [
    ("#!/bin/sh\necho $1-$2; exit 3\n", 'a "b c"', "a-b c", 3),
    ("#!/bin/sh\necho $1\n", ["x y"], "x y", 0),
    ("echo no first line $1\n", "x", "no first line x", 0),
])  # fmt: skip
def test_script_runs_a_private_copy(minion, tmp_path, text, args, out, retcode):
    path = tmp_path / "s.sh"
    path.write_text(text)
    for source in (str(path), f"file://{path}"):
        ret, code, _ = minion.run("cmd.script", source, args, cwd=str(tmp_path))
        assert (ret["stdout"], ret["retcode"], code) == (out, retcode, retcode)
    assert minion("cmd.script_retcode", str(path), args) == retcode
    assert sorted(os.listdir(tmp_path)) == ["conf", "s.sh"]


def test_script_may_be_a_template(minion, tmp_path):
    path = tmp_path / "s.sh"
    path.write_text("#!/bin/sh\necho {{ grains.os }} {{ pillar.p }}; exit {{ pillar.p }}\n")
    assert minion("cmd.script", str(path), template="jinja", pillar={"p": 4})["stdout"] == "Debian 4"
    assert minion("cmd.script", str(path), ignore_retcode=True)["stdout"] == "{{ grains.os }} {{ pillar.p }}"
    minion.execution.pillar["p"] = 5
    assert minion("cmd.script_retcode", str(path)) == 5  # as Salt, this one without being told


@as_root
@pytest.mark.parametrize("first", ["#!/bin/sh", "#! /usr/bin/env  sh", "#!/bin/sh -e", ""])
def test_script_runs_where_the_temporary_directory_lets_nothing_be_executed(tmp_path, first):
    for name in ("conf", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "conf/minion").write_text("id: m")
    (tmp_path / "s.sh").write_text(f"{first}\necho ran $1 [$-]\n")
    mount = f"mount -t tmpfs -o noexec none {tmp_path}/tmp"
    if subprocess.run(["unshare", "--mount", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("NOT TESTED: nothing can be mounted here")
    call = [sys.executable, saltlite.__file__, "call", "-c", str(tmp_path / "conf"), "--local", "--out=json"]
    line = f"{mount} && {shlex.join([*call, 'cmd.script', str(tmp_path / 's.sh'), 'well'])}"
    env = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run(["unshare", "--mount", "sh", "-c", line], capture_output=True, text=True, env=env)
    said = json.loads(done.stdout)["local"]
    assert (said["retcode"], said["stderr"]) == (0, "") and said["stdout"].startswith("ran well"), said
    assert ("e" in said["stdout"].partition("[")[2]) is (first == "#!/bin/sh -e")


@as_root
def test_command_in_another_root_directory(minion, tmp_path):
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("NOT TESTED: nothing can be mounted here")
    (tmp_path / "bind").mkdir()
    (tmp_path / "bind/f").write_text("in it")
    before = Path("/proc/self/mounts").read_text()
    command = f"cat {tmp_path}/bind/f; test -d /proc/1 && pwd; exit 3"
    ret, retcode, _ = minion.run("cmd.run_chroot", "/", command, binds=[f"{tmp_path}/bind"])
    assert (ret["stdout"], ret["stderr"], ret["retcode"], retcode) == ("in it/", "", 3, 3)
    assert minion("cmd.run_chroot", "/", "id -un", runas="nobody")["stdout"] == "nobody"
    assert Path("/proc/self/mounts").read_text() == before
    assert "is no directory" in minion.error("cmd.run_chroot", "/nonexistent", "true")


def test_versions_of_shells_are_found_out(minion):
    found = minion("cmd.shell_info", "bash")
    assert (found["installed"], found["path"]) == (True, minion("cmd.which", "bash"))
    said = minion("cmd.run", "bash --version").partition("version ")[2]
    assert said.startswith(found["version_raw"]) and found["version_raw"].startswith(found["version"])
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?", found["version"])
    if minion("cmd.which", "perl"):
        assert minion("cmd.shell_info", "perl")["version_raw"] == minion("cmd.run", "perl -e 'printf \"%vd\", $^V'")
    missing = [name for name in ("tcsh", "zsh", "php", "ruby") if not minion("cmd.which", name)]
    assert all(minion("cmd.shell_info", name)["installed"] is False for name in missing)
    assert minion("cmd.shell_info", "ksh")["installed"] is None


def test_text_is_written_to_a_terminal(minion):
    ours, theirs = os.openpty()
    name = os.ttyname(theirs).removeprefix("/dev/").replace("/", "")
    said = f"Message was successfully echoed to {os.ttyname(theirs)}"
    assert minion("cmd.tty", name, "grüße") == {"Success": said}
    assert os.read(ours, 100) == "grüße".encode()
    os.close(ours)
    os.close(theirs)
    assert "returned error" in minion("cmd.tty", "pts999", "x")["Error"]
    for odd in ("com1", "tty../sda", "pts/../sda", "tty1/../../etc/x"):
        assert minion("cmd.tty", odd, "x") == {"Error": "The specified device is not a valid TTY"}


@as_root
def test_script_can_be_run_by_another_user(minion, tmp_path):
    (tmp_path / "s.sh").write_text('#!/bin/sh\nid -un; stat -c %a "$0"; dirname "$0"; pwd\n')
    ran = minion("cmd.script", f"{tmp_path}/s.sh", runas="nobody", cwd="/tmp")["stdout"]
    assert ran.splitlines() == ["nobody", "500", "/tmp", "/tmp"]


def test_script_that_cannot_be_had_is_an_error(minion, tmp_path):
    ret = {"pid": 0, "retcode": 1, "stdout": "", "stderr": "", "cache_error": True}
    assert minion.run("cmd.script", str(tmp_path / "none")) == (ret, 1, True)
    assert "ftp:// is not supported" in minion.error("cmd.script", "ftp://example.com/x.sh")
    assert "Unable to run command 'nosuchlang" in minion.error("cmd.exec_code", "nosuchlang", "x")


def test_exec_code_runs_an_interpreter(minion):
    assert minion("cmd.exec_code", "python3", "import sys; print(sys.argv[1:])", args=["a b"]) == "['a b']"
    assert minion.run("cmd.exec_code", "sh", "echo $1; exit 2", args="x")[:2] == ("x", 2)
    ret, retcode, _ = minion.run("cmd.exec_code_all", "sh", "echo $1; echo e >&2; exit 2", args=["x"])
    assert (ret["stdout"], ret["stderr"], ret["retcode"], retcode) == ("x", "e", 2, 2)


def test_which_finds_programs_also_outside_of_path(minion, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert minion("cmd.which", "sh") in ("/bin/sh", "/usr/bin/sh")
    assert minion("cmd.which", "nosuchcmd") is None
    assert minion("cmd.which_bin", ["nosuchcmd", "sh"]) == minion("cmd.which", "sh")
    assert (minion("cmd.has_exec", "sh"), minion("cmd.has_exec", "nosuchcmd")) == (True, False)
    assert all(shell.startswith("/") for shell in minion("cmd.shells"))


def test_config_looks_in_opts_grains_pillar_master(tmp_path):
    pillar = {"both": "pillar", "pkg": {"apache": "httpd"}, "deep": {"b": 2}, "master": {"both": "master", "l": [2]}}
    minion = Minion(tmp_path, {"both": "grains"}, pillar, both="opts", deep={"a": 1}, l=[1])
    omit = {}
    for store in ("opts", "grains", "pillar", "master", ""):
        assert minion("config.get", "both", **omit) == minion("config.option", "both", **omit) == store
        omit[f"omit_{store}"] = True
    assert minion("config.get", "pkg|apache", delimiter="|") == "httpd" and minion("config.get", "nothing", 7) == 7
    assert minion("config.get", "deep", merge="recurse") == minion("config.merge", "deep") == {"a": 1, "b": 2}
    assert minion("config.get", "deep", merge="overwrite") == minion("config.items")["deep"] == {"a": 1}
    assert minion("config.merge", "l") == [1, 2] and minion("config.get", "hosts.file") == "/etc/hosts"
    assert minion("config.option", "test.f*", wildcard=True) == minion("config.dot_vals", "test") == {"test.foo": "set"}


@pytest.mark.parametrize(("path", "expected"), [
    ("os", "Debian"), ("apps:web:port", 80), ("roles:0", "web"), ("roles:-1", "web"), ("roles:7", ""), ("os:x", ""),
    ("disks:sda", 1), ("disks:1:sdb", 2), ("ports:80", "http"), ("apps:[a]", ""), ("apps:[", ""),
])  # fmt: skip
def test_grains_get_walks_maps_and_lists(tmp_path, path, expected):
    minion = Minion(tmp_path, {**GRAINS, "disks": [{"sda": 1}, {"sdb": 2}], "ports": {80: "http"}})
    assert minion("grains.get", path) == minion("grains.fetch", path) == expected
    assert minion("grains.item", path) == {path: expected}
    assert minion("grains.has_value", path) is (expected != "") and minion("grains.equals", path, str(expected))
    assert minion("grains.ls") == sorted(minion("grains.items"))


def test_filter_by_chooses_and_merges(minion):
    assert minion("grains.filter_by", {"Deb*": "glob", "Debian": "exact"}, "os") == "exact"
    assert minion("grains.filter_by", {"de*": "no", "default": "fallback"}, "os") == "fallback"
    assert minion("grains.filter_by", {"web": 1, "db": 2}, "roles") == 1
    table, over = {"A": "B", "C": {"D": {"E": "F", "G": "H"}}}, {"D": {"E": "I"}, "J": "K"}
    assert minion("grains.filter_by", table, "xxx", over, "C") == {"D": {"E": "I", "G": "H"}, "J": "K"}
    assert minion("grains.filter_by", {"x": 1}, "os") is None


@pytest.mark.parametrize(("fun", "args", "kwargs", "ret", "file"), [
    ("setval", ("a", {"b": [1]}), {}, {"a": {"b": [1]}}, {"a": {"b": [1]}, "kept": 0}),
    ("setval", ("kept", None), {"destructive": True}, {"kept": None}, {}),
    ("append", ("roles", ["a", "b"]), {}, {"roles": ["web", "a", "b"]}, {"kept": 0, "roles": ["web", "a", "b"]}),
    ("append", ("new|x", "y"), {"delimiter": "|"}, {"new": {"x": ["y"]}}, {"kept": 0, "new": {"x": ["y"]}}),
    ("append", ("os", "x"), {"convert": True}, {"os": ["Debian", "x"]}, {"kept": 0, "os": ["Debian", "x"]}),
    ("append", ("roles", "web"), {}, "The val web was already in the list roles", {"kept": 0}),
    ("remove", ("roles", "web"), {}, {"roles": []}, {"kept": 0, "roles": []}),
])  # fmt: skip
def test_grains_are_written(minion, fun, args, kwargs, ret, file):
    minion.file.write_text("kept: 0  # why\n")
    assert minion(f"grains.{fun}", *args, **kwargs) == ret
    assert minion.stored() == file and os.listdir(minion.file.parent) == ["grains"]
    assert ("# why" in minion.file.read_text()) is (file == {"kept": 0})
    assert saltlite.collect_grains(minion.opts).items() >= file.items()


@pytest.mark.parametrize(("before", "fun", "args", "after", "says"), [
    ([[1, 2], 3], "append", ("a:0", 5), [[1, 2, 5], 3], None),
    ([[1, 2], 3], "remove", ("a:0", 1), [[2], 3], None),
    ([{"b": [1]}, 3], "append", ("a:b", 5), [{"b": [1, 5]}, 3], None),
    ([{"b": {"c": [1]}}], "append", ("a:b:d", 5), [{"b": {"c": [1], "d": [5]}}], None),
    (["b", "c"], "append", ("a:b", 5), ["b", "c"], "The key a is not a map, so there can be no b in it"),
    ("text", "append", ("a:b", 5), "text", "The key a is not a map, so there can be no b in it"),
    ({80: [1]}, "append", ("a:80", 5), {80: [1, 5]}, None),
    ({"b": None}, "append", ("a:b:c", 5), {"b": {"c": [5]}}, None),
])  # fmt: skip
def test_lists_in_lists_are_changed_where_they_stand(minion, before, fun, args, after, says):
    minion.file.write_text(yaml.safe_dump({"a": before}))
    assert minion(f"grains.{fun}", *args) == (says or {"a": after})
    assert minion.stored() == {"a": after}


def test_grains_can_be_shown_to_others(tmp_path):
    grains = {"id": "web1", "host": "h", "fqdn": "h.d", "domain": "d", "serialnumber": "12345", "os": "Debian"}
    shown = {"id": "MINION.DOMAINNAME", "host": "MINION", "fqdn": "MINION.DOMAINNAME", "domain": "DOMAINNAME"}
    shown |= {"serialnumber": "123XX", "os": "Debian"}
    minion = Minion(tmp_path, grains)
    assert minion("grains.items", sanitize=True) == minion("grains.item", *grains, sanitize="yes") == shown
    assert minion("grains.items") == minion("grains.item", *grains) == grains


@pytest.mark.parametrize(("fun", "args", "comment", "changes"), [
    ("set", ("apps:web:port", 81), "", {"apps": {"web": {"port": 81}}}),
    ("set", ("apps:web:port", 80), "Grain is already set", {}),
    ("set", ("apps:web", 1), f"The key 'apps:web' exists but is a dict or a list. {FORCE}", {}),
    ("set", ("os", [1]), f"The key 'os' exists and the given value is a dict or a list. {FORCE}", {}),
    ("set", ("os:x", 1), f"The key 'os' value is 'Debian', which is different from the provided key 'x'. {FORCE}", {}),
    ("set", ("os:x", 1, True), "", {"os": {"x": 1}}),
    ("set", ("roles:web", 1), "", {"roles": [{"web": 1}]}),
    ("delval", ("apps:web:port",), "", {"apps": {"web": {"port": None}}}),
    ("delkey", ("apps:web:port",), "", {"apps": {"web": {}}}),
    ("delkey", ("os",), "", {"os": None}),
])  # fmt: skip
def test_grains_set_replaces_only_what_it_may(minion, fun, args, comment, changes):
    result = comment in ("", "Grain is already set")
    assert minion(f"grains.{fun}", *args) == {"comment": comment, "changes": changes, "result": result}
    now = GRAINS | changes if changes != {"os": None} else {key: GRAINS[key] for key in GRAINS if key != "os"}
    assert minion("grains.items") == now


@pytest.mark.parametrize("text", [b"- a\n- b\n", b"a: [1\n", b"\xff\xfe\xfd"])
def test_grains_file_that_is_no_map_is_left_as_it_is(minion, text):
    minion.file.write_bytes(text)
    for fun, *args in (("setval", "a", 1), ("append", "a", 1), ("delkey", "a"), ("set", "a", 1)):
        assert "Unable to read existing grains file" in minion.error(f"grains.{fun}", *args)
    assert minion.file.read_bytes() == text and os.listdir(minion.file.parent) == ["grains"]


def test_grains_file_is_read_as_the_minion_reads_it(minion):
    minion.file.write_text("n: 010\nday: 2020-01-02\n")
    minion("grains.setval", "b", 2)
    assert minion.stored() == {"n": 10, "day": "2020-01-02", "b": 2}


def test_grains_file_keeps_its_mode_and_its_symbolic_link(minion, tmp_path):
    (tmp_path / "real").write_text("a: 1\n")
    (tmp_path / "real").chmod(0o640)
    minion.file.symlink_to(tmp_path / "real")
    minion("grains.setval", "b", 2)
    assert minion.stored() == {"a": 1, "b": 2} and minion.file.is_symlink()
    assert stat.S_IMODE(minion.file.stat().st_mode) == 0o640


def append_one(conf, number):
    Minion(conf)("grains.append", "numbers", number)


def test_jobs_that_append_at_the_same_time_lose_nothing(minion):
    with concurrent.futures.ProcessPoolExecutor(8, multiprocessing.get_context("fork")) as pool:
        list(pool.map(append_one, [minion.file.parent] * 16, range(16)))
    assert sorted(minion.stored()["numbers"]) == list(range(16))


def test_collected_grains_are_what_the_system_says(minion):
    grains = saltlite.collect_grains(minion.opts)
    wanted = """os os_family osfullname oscodename osarch cpu_flags host fqdn domain fqdn_ip4 fqdn_ip6 ipv4 ipv6 dns
        init ip4_interfaces ip6_interfaces hwaddr_interfaces machine_id virtual saltversioninfo pythonpath shell cwd
        groupname locale_info disks ssds num_gpus gpus lsb_distrib_id pythonversion kernelversion swap_total"""
    assert set(wanted.split()) <= set(grains) and json.loads(json.dumps(grains)) == grains
    facts = {"id": "web1", "server_id": 1826842219, "kernel": "Linux", "kernelrelease": os.uname().release}
    facts |= {"cpuarch": os.uname().machine, "nodename": os.uname().nodename, "uid": os.geteuid(), "pid": os.getpid()}
    facts["num_cpus"] = len(re.findall(r"^processor", Path("/proc/cpuinfo").read_text(), re.MULTILINE))
    assert facts.items() <= grains.items()
    assert set(grains["ip_interfaces"]) == set(os.listdir("/sys/class/net")) - {"bonding_masters"}


def test_grains_are_collected_quickly_and_without_processes(minion):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = timeit.repeat(lambda: saltlite.collect_grains(minion.opts), timer=time.process_time, number=1)
    assert min(seconds) < 0.05
    assert resource.getrusage(resource.RUSAGE_CHILDREN) == before


@pytest.mark.parametrize(("release", "expected"), [
    ("debian||Debian GNU/Linux|12|bookworm", ["Debian", "Debian", "bookworm", "Debian-12"]),
    ("ubuntu|debian|Ubuntu|22.04|jammy", ["Ubuntu", "Debian", "jammy", "Ubuntu-22.04"]),
    ("centos|rhel fedora|CentOS Stream|8|", ["CentOS Stream", "RedHat", "", "CentOS Stream-8"]),
    ("opensuse-leap|suse opensuse|openSUSE Leap|15.1|", ["SUSE", "Suse", "", "Leap-15"]),
    ("arch||Arch Linux||", ["Arch", "Arch", "", None]),
])  # fmt: skip
def test_systems_are_named_as_salt_names_them(release, expected):
    fields = zip(("id", "id_like", "name", "version_id", "version_codename"), release.split("|"), strict=True)
    grains = saltlite.read_leaf(MODULES / "_grains/core.py", {"__opts__": {}})._os_grains(dict(fields))
    assert [grains.get(name) for name in ("os", "os_family", "oscodename", "osfinger")] == expected
