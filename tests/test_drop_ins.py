"""Module files as they are written for Salt (tests/modules), those that the master hands out, and states."""

from __future__ import annotations

import copy
import json
import os
import stat
import sys
from pathlib import Path

import pytest
import yaml
from live import command, write_config
from one_minion import Master, Minion, snapshot

import saltlite

HERE = Path(__file__).resolve().parent
GRAINS = {"id": "web1", "roles": ["web", "db"], "lb": "haproxy"}
PILLAR = {"app": {"port": 8080, "tls": {"on": True}, "name": "shop"}}


@pytest.fixture
def minion(tmp_path):
    opts = {"module_dirs": [str(HERE)], "appver.home": str(tmp_path / "opt"), "textkit.marks": 2}
    return Minion(tmp_path, None, grains=dict(GRAINS), pillar=PILLAR, **opts)


@pytest.fixture
def synced(tmp_path):
    """A master with files, and a minion that may fetch them."""
    master = Master(tmp_path / "srv")
    return master, Minion(tmp_path, master)


# modules as people write them for Salt


def test_module_finds_its_dunders(minion):
    assert minion("app_settings.get") == {"port": 8080, "tls": {"on": True, "ciphers": []}, "name": "shop"}
    assert minion("app_settings.get", "port") == 8080
    assert minion("app_settings.same_everywhere") is True


def test_module_can_fail_its_job(minion):
    assert set(minion("disk_check.usage", "/")) == {"total", "used", "percent"}
    assert minion.run("disk_check.check", "/", warn=100) == ({}, 0, True)
    ret, retcode, success = minion.run("disk_check.check", "/", warn=-1)
    assert (list(ret), retcode, success) == (["/"], 2, True)


def test_module_with_init_dataclass_and_outputter(minion, tmp_path):
    (tmp_path / "opt/shop").mkdir(parents=True)
    (tmp_path / "opt/shop/VERSION").write_text("v3.14\n")
    made = minion.job("appver.report", "shop")
    assert (made["return"], made["out"]) == ({"name": "shop", "major": 3, "minor": 14}, "json")
    failed = minion.job("appver.report", "none")
    assert failed["return"].startswith("The minion function caused an exception") and failed["out"] == "nested"


def test_module_calls_other_modules(minion, tmp_path):
    script = tmp_path / "ctl"
    script.write_text('#!/bin/sh\necho "$1 ${2:-nothing}"; echo careful >&2; [ "$2" != down ]\n')
    script.chmod(0o755)
    assert minion("svc_wrap.status", str(script)) == {
        "running": True, "says": "status nothing", "warnings": ["careful"]
    }  # fmt: skip
    assert minion("svc_wrap.status", str(script), "down")["running"] is False
    assert minion("svc_wrap.running", str(script)) is True


def test_functions_have_the_names_of_func_alias(minion):
    assert minion("roles.list") == ["db", "web"]
    assert (minion("roles.has", "db"), minion("roles.has", "mail")) == (True, False)
    minion("roles.set", "mail", "ntp")
    assert yaml.safe_load((minion.conf / "grains").read_text()) == {"roles": ["mail", "ntp"]}
    assert minion("sys.list_functions", "roles") == ["roles.has", "roles.list", "roles.set"]
    assert minion.run("roles._secret")[2] is minion.run("roles.list_")[2] is False


def test_module_has_its_virtualname(minion):
    assert minion("lb.backends") == ["b1", "b2"]
    assert minion.run("lb_haproxy.backends")[1:] == (1, False)
    assert {"lb", "disk_check"} <= set(minion("sys.list_modules"))


def test_module_that_says_no_has_its_reason_shown(minion, tmp_path):
    assert minion.run("registry_keys.read", "x")[0] == (
        "'registry_keys.read' is not available. registry_keys needs Windows."
    )
    elsewhere = Minion(tmp_path / "other", None, grains={"id": "web2"}, module_dirs=[str(HERE)])
    for fun in ("lb.backends", "lb_haproxy.backends"):
        assert elsewhere.run(fun)[0] == f"'{fun}' is not available. the grain lb is not haproxy."


def test_two_files_of_one_name_that_both_say_no_have_both_reasons_shown(tmp_path):
    (tmp_path / "own/modules").mkdir(parents=True)
    text = "__virtualname__ = 'volume'\ndef __virtual__():\n    return {}\ndef free():\n    return 1\n"
    for name, verdict in (
        ("volume_a", "False, 'no ZFS'"),
        ("volume_b", "False, 'no LVM'"),
        ("volume_c", "False, 'no LVM'"),
    ):
        (tmp_path / f"own/modules/{name}.py").write_text(text.format(verdict))
    minion = Minion(tmp_path / "m", None, module_dirs=[str(tmp_path / "own")])
    assert minion.run("volume.free")[0] == "'volume.free' is not available. no ZFS; no LVM."
    assert minion.run("volume_b.free")[0] == "'volume_b.free' is not available. no LVM."
    (tmp_path / "own/modules/volume_d.py").write_text(text.format("True"))
    minion = Minion(tmp_path / "n", None, module_dirs=[str(tmp_path / "own")])
    assert minion("volume.free") == 1 and "no ZFS" not in minion.run("volume.full")[0]


def test_module_can_extend_another(minion):
    assert (minion("test.shout", "a"), minion("test.ping"), minion("test.fib", 3)[0]) == ("A", True, 2)


def test_context_is_one_within_a_job(minion):
    assert minion("memo.twice") == [1, 2]


def test_job_says_of_itself_what_keywords_take(minion):
    noted = minion("audit.note", "x", 1, colour="red")
    assert (noted["args"], noted["level"], noted["rest"]) == ([1], "info", {"colour": "red"})
    assert noted["who"]["__pub_jid"] == minion.execution.jid and noted["who"]["__pub_fun"] == "audit.note"


def test_module_uses_a_utility(minion):
    assert minion("shouter.shout", "a") == "A!!"


def test_module_may_be_a_package_and_import_its_neighbours(minion):
    functions = minion("sys.list_functions", "shop", "neighbour")
    assert functions == ["neighbour.count", "neighbour.echo", "neighbour.encoding", "neighbour.kit", "shop.price"]
    assert minion("shop.price", "pear") == 2 and minion("neighbour.encoding") == "ä".encode()
    assert minion("neighbour.count", "x") == (True, "x") and minion("neighbour.kit") == "A!!"
    before = list(sys.path)
    del minion.execution.functions  # so that all are read anew
    assert minion.run("broken.anything")[1] == 1 and minion("shop.price", "pear") == 2
    assert sys.path == before


def test_a_directory_that_is_on_the_path_stays_where_it_is(minion, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE / "modules"))
    before = list(sys.path)
    assert minion("neighbour.echo", "x") == "x" and sys.path == before


def test_package_may_be_relative_to_itself(tmp_path):
    for name, text in (("__init__", "from .part import two, one\n\ndef three():\n    return 3\n"),
                       ("part", "def one():\n    return 1\n\ndef two():\n    return 2\n")):  # fmt: skip
        (tmp_path / "own/modules/kit").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"own/modules/kit/{name}.py").write_text(text)
    (tmp_path / "own/modules/empty").mkdir()
    (tmp_path / "own/modules/odd.py").mkdir()
    minion = Minion(tmp_path, None, module_dirs=[str(tmp_path / "own")])
    assert minion("sys.list_functions", "kit") == ["kit.one", "kit.three", "kit.two"]
    assert not {"empty", "odd"} & set(minion("sys.list_modules"))


def test_functions_are_attributes_too(minion):
    salt = minion.execution.functions
    assert salt.test.ping() is True and salt.lb.backends() == ["b1", "b2"]
    assert not hasattr(salt, "nosuch") and not hasattr(salt.test, "nosuch") and not hasattr(salt, "__deepcopy__")


@pytest.mark.parametrize(("module", "function", "args", "ret"), [
    ("path", "join", ("/a", "/b"), "/a/b"), ("path", "join", ("a", "../b"), "b"), ("path", "join", (), ""),
    ("path", "join", ("//a", "b"), "//a/b"), ("path", "join", ("a/", "/", "b"), "a/b"), ("path", "join", ("",), "."),
    ("path", "which", ("nosuch",), None), ("path", "which", ("",), None), ("path", "which", ("/bin/sh",), "/bin/sh"),
    ("path", "which_bin", (5,), None), ("path", "sanitize_win_path", ("a<b>:c|d?*",), "a_b__c_d__"),
    ("path", "safe_path", ("C:\\",), False), ("path", "safe_path", ("D:\\x",), True),
    ("path", "safe_path", ("C:\\Windows\\TEMP", "C:\\Windows\\TEMP"), True),
    ("json", "find_json", ('a [b] {"c": [1]} z',), {"c": [1]}), ("json", "dumps", ({"é": 1},), '{"é": 1}'),
    ("json", "loads", (b'{"a":1}',), {"a": 1}), ("platform", "is_linux", (), True),
    ("platform", "is_windows", (), False), ("platform", "is_proxy", (), False),
])  # fmt: skip
def test_what_stands_in_for_salts_library_gives_what_salt_gives(minion, module, function, args, ret):
    """The values were recorded from Salt 3008.4."""
    assert minion("pathkit.call", module, function, *args) == ret


DECORATED = """asks double falls_back false_ends_badly has_json old once one renewed some soon_old spared timed
    true_ends_well with_sh without""".split()


def test_decorators_do_what_salts_do(minion):
    """The values were recorded from Salt 3008.4."""
    assert minion("sys.list_functions", "decorated") == [f"decorated.{name}" for name in DECORATED]
    assert (minion("decorated.asks"), minion("decorated.falls_back")) == ("hidden", "instead")
    once = minion.execution.functions["decorated.once"]
    assert (once("a"), once("a"), once("b"), once("a", k=1), once("a", k=1)) == (1, 1, 2, 3, 3)
    assert (minion("decorated.one", a=1), minion("decorated.some")) == (1, None)
    assert minion("decorated.spared", a=1, b=2) == (1, False)
    assert (minion("decorated.soon_old", word="x"), minion("decorated.renewed", word="x")) == ("x", "new x")
    assert (minion("decorated.double", "x"), minion("decorated.with_sh"), minion("decorated.timed", "x")) == (
        "xx", True, "x"
    )  # fmt: skip
    for fun, args, said in (
        ("one", (1, 2), "Only one of the following is allowed: a, b"),
        ("one", (), "One of the following must be provided: a, b"),
        ("some", (1, 2), "Only one of the following is allowed: a, b"),
        ("old", (), 'The lifetime of the function "old" expired. Use its successor "once" instead.'),
        ("without", (), "None of provided binaries([\"'nosuch1'\", \"'nosuch2'\"]) were found in $PATH."),
    ):
        assert said in minion.run(f"decorated.{fun}", *args)[0]


def test_a_function_that_was_replaced_can_be_had_back(tmp_path):
    opts = {"module_dirs": [str(HERE)], "use_deprecated": ["decorated.renewed"]}
    assert Minion(tmp_path, None, **opts)("decorated.renewed", word="x") == "old x"
    both = Minion(tmp_path, None, use_superseded=["decorated.renewed"], **opts)
    assert "take one away" in both.run("decorated.renewed", word="x")[0]


def test_what_stands_in_for_salts_library_is_whole(minion):
    assert minion("pathkit.call", "path", "which_bin", ["nosuch", "sh"]).endswith("/sh")
    assert (
        minion("pathkit.missing", "nosuch") == "'nosuch' is not in the path" and minion("pathkit.missing", "sh") is None
    )
    one, other = {"a": {"l": [1, 2], "m": {"x": None}}, "k": 1}, {"a": {"l": [2, 3, 3], "m": 5}, "n": {}}
    for function, args, ret in (
        ("merge", ["recurse"], {"a": {"l": [2, 3, 3], "m": 5}, "k": 1, "n": {}}),
        ("merge", ["recurse", "yaml", True], {"a": {"l": [1, 2, 3, 3], "m": 5}, "k": 1, "n": {}}),
        ("merge", ["list"], {"a": [one["a"], other["a"]], "k": 1}),
        ("update", [False], {**one, **other}),
    ):
        given = copy.deepcopy([one, other])
        assert minion("pathkit.call", "dictupdate", function, *given, *args) == ret
    for function, args, ret in (
        ("set_dict_key_value", [{"k": 1}, "k:x", 2], {"k": {"x": 2}}),
        ("append_dict_key_value", [{}, "l", 1], {"l": [1]}),
        ("extend_dict_key_value", [{"l": [1]}, "l", [2]], {"l": [1, 2]}),
        ("update_dict_key_value", [{}, "a/b", {"c": 1}, "/"], {"a": {"b": {"c": 1}}}),
    ):
        assert minion("pathkit.call", "dictupdate", function, *args) == ret
    assert "cannot append" in minion.run("pathkit.call", "dictupdate", "append_dict_key_value", {"a": 1}, "a", 2)[0]
    assert minion("pathkit.ordered") == [("b", [1]), ("a", [2])]
    assert "arguments are not valid: x=1" in minion.run("pathkit.call", "path", "join", "a", x=1)[0]
    with pytest.raises(ValueError):
        sys.modules["salt.utils.json"].find_json("none [here")


@pytest.mark.skipif("salt" in sys.modules, reason="Salt is here")
def test_module_that_cannot_be_read_says_why_and_hinders_no_other(minion):
    says = minion.run("needs_salt.addresses")[0]
    assert "needs Salt's own library (salt" in says and "is not installed here" in says
    assert "broken.py cannot be read: RuntimeError: this file is broken." in minion.run("broken.anything")[0]
    assert minion("memo.answer") == 1


def test_documentation_of_a_module_is_shown(minion):
    assert (
        minion("sys.doc", "disk_check.usage")["disk_check.usage"].split("\n\n")[1].startswith("Bytes of a file system")
    )


# what the master hands out


def test_sync_brings_what_is_new_and_removes_what_is_gone(synced):
    master, minion = synced
    master.put("_modules/shop.py", 'def name():\n    return "one"\n')
    master.put("_modules/sub/deep.py", "")
    master.put("_modules/README", "no module")
    master.put("_modules_old/no.py", "")
    assert minion("saltutil.sync_modules") == ["modules.shop", "modules.sub.deep"]
    assert minion("shop.name") == "one"
    assert minion("saltutil.sync_modules") == []
    master.put("_modules/shop.py", 'def name():\n    return "two"\n')  # of the same length, within the same second
    assert minion("saltutil.sync_modules") == ["modules.shop"]
    assert minion("shop.name") == "two"
    assert minion("saltutil.list_extmods") == {"modules": ["shop", "sub"]}
    (master.root / "_modules/shop.py").unlink()
    (master.root / "_modules/sub/deep.py").unlink()
    assert minion("saltutil.sync_modules") == []
    assert minion.run("shop.name")[1:] == (1, False)
    assert list((minion.cache / "extmods/modules").iterdir()) == []


def test_sync_takes_the_environments_that_it_is_told(synced):
    master, minion = synced
    master.put("_modules/a.py", "x = 1")
    master.put("_modules/a.py", "x = 2", env="dev")
    master.put("_modules/b.py", "", env="dev")
    assert minion("saltutil.sync_modules") == ["modules.a"]
    assert minion("saltutil.sync_modules", "base,dev") == ["modules.a", "modules.b"]
    assert (minion.cache / "extmods/modules/a.py").read_text() == "x = 2"
    assert minion("saltutil.sync_modules", saltenv=["base"]) == ["modules.a"]


@pytest.mark.parametrize(("call", "config", "brought"), [
    ({}, {}, "a b sub.c"),
    ({"extmod_whitelist": "a,sub.c"}, {}, "a sub.c"),
    ({"extmod_blacklist": "a"}, {}, "b sub.c"),
    ({"extmod_whitelist": {"modules": ["a", "b"]}, "extmod_blacklist": {"modules": ["b"]}}, {}, "a"),
    ({}, {"extmod_whitelist": {"modules": ["b"]}}, "b"),
    ({}, {"extmod_blacklist": {"modules": ["b"], "grains": ["a"]}}, "a sub.c"),
    ({"extmod_blacklist": {"states": ["a"]}}, {"extmod_blacklist": {"modules": ["b"]}}, "a b sub.c"),
])  # fmt: skip
def test_sync_fetches_what_the_lists_allow(tmp_path, call, config, brought):
    master = Master(tmp_path / "srv")
    minion = Minion(tmp_path, master, **config)
    for name in ("a.py", "b.py", "sub/c.py"):
        master.put(f"_modules/{name}", "")
    wanted = [f"modules.{name}" for name in brought.split()]
    assert minion("saltutil.sync_modules", **call) == wanted
    if not any(isinstance(value, str) for value in call.values()):
        minion("saltutil.clear_cache")
        assert minion("saltutil.sync_all", refresh=False, **call)["modules"] == wanted
    assert "must be a text, or a map" in minion.error("saltutil.sync_modules", extmod_whitelist=5)


def test_a_file_of_a_later_environment_takes_the_place_of_a_directory(synced):
    master, minion = synced
    master.put("_modules/x.py/y.py", "")
    master.put("_modules/x.py", "x = 2", env="dev")
    minion("saltutil.sync_modules", "base,dev")
    assert (minion.cache / "extmods/modules/x.py").read_text() == "x = 2"


def test_a_cache_that_is_a_link_stays_one(synced):
    master, minion = synced
    real = minion.cache.rename(minion.cache.with_name("elsewhere"))
    minion.cache.symlink_to(real)
    master.put("_modules/a.py", "a = 1")
    minion("saltutil.sync_modules")
    assert minion.cache.is_symlink() and (real / "extmods/modules/a.py").exists() and (real / "files/base").is_dir()


def test_sync_that_breaks_off_removes_nothing(synced):
    master, minion = synced
    master.put("_modules/a.py", "a = 1")
    minion("saltutil.sync_modules")
    (master.root / "_modules/a.py").unlink()
    master.put("_modules/b.py", "b = 1")
    master.breaks["_serve_file"] = 0
    assert "no answer" in minion.error("saltutil.sync_modules")
    assert [path.name for path in (minion.cache / "extmods/modules").glob("*.py")] == ["a.py"]


@pytest.mark.parametrize("name", ["_modules/../../../evil.py", "_modules//etc/evil.py", "_modules/a\0.py", "/evil.py"])
def test_sync_leaves_the_cache_for_no_name(synced, name, tmp_path):
    master, minion = synced
    before = snapshot(tmp_path, minion.cache)
    master.lies["_file_list"] = [name]
    master.lies["_serve_file"] = {"data": "", "dest": name}
    master.lies["_file_hash"] = {"hsum": "e3b0c442" * 8, "hash_type": "sha256"}
    minion.run("saltutil.sync_modules")
    assert snapshot(tmp_path, minion.cache) == before
    assert not list(minion.cache.rglob("evil*"))


def test_new_grains_are_collected(synced):
    master, minion = synced
    master.put("_grains/rack.py", 'def rack():\n    return {"rack": "r7"}\n')
    master.put("_grains/of.py", 'def of(grains):\n    return {"id_again": grains["id"]}\n')
    master.put("_grains/no.py", 'def __virtual__():\n    return False\ndef no():\n    return {"no": 1}\n')
    assert minion("saltutil.sync_grains") == ["grains.no", "grains.of", "grains.rack"]
    grains = minion.tree.grains()
    assert (grains["rack"], grains["id_again"], grains.get("no")) == ("r7", "web1", None)


def test_grains_of_a_site_that_fail_take_no_others_with_them(synced):
    master, minion = synced
    for text in ("raise RuntimeError", "import nosuch", "def broken():\n    return 1 / 0\n"):
        master.put("_grains/core.py", f"def mine():\n    return {{'mine': b'r7', 'os': 'Own'}}\n{text}\n")
        minion("saltutil.sync_grains")
        grains = saltlite.collect_grains(minion.opts)
        assert {"kernel", "os", "cpuarch"} <= grains.keys()
        assert (grains.get("mine"), grains["os"] == "Own") == (("r7", True) if "broken" in text else (None, False))
    master.put("_grains/core.py", "def mine():\n    return {'mine': b'r7'}\n")
    minion("saltutil.sync_grains")
    grains = saltlite.collect_grains(minion.opts)
    assert (
        grains["mine"] == "r7" and "kernel" not in grains
    )  # a whole file takes the place of the packed one, as in Salt


def test_sync_all_gives_every_kind_and_fetches_the_pillar(synced):
    master, minion = synced
    for kind in ("modules", "states", "proxy", "utils"):
        master.put(f"_{kind}/x.py", "")
    master.put("_grains/rack.py", 'def rack():\n    return {"rack": "r7"}\n')
    master.pillar = {"word": "new"}
    new = minion("saltutil.sync_all")
    assert master.asked[-1]["cmd"] == "_pillar" and master.asked[-1]["grains"]["rack"] == "r7"
    assert (
        list(new)
        == """clouds beacons modules states sdb grains renderers returners output utils log_handlers
        executors proxymodules engines thorium serializers matchers resources""".split()
    )
    assert {kind: names for kind, names in new.items() if names} == {
        "modules": ["modules.x"], "states": ["states.x"], "proxymodules": ["proxy.x"], "utils": ["utils.x"],
        "grains": ["grains.rack"],
    }  # fmt: skip
    assert minion.tree.pillar() == {"word": "new"}


def test_pillar_is_fetched_whole_or_stays(synced):
    master, minion = synced
    master.pillar = {"a": 1}
    assert minion("saltutil.refresh_pillar", wait=True) is True
    assert minion.tree.pillar() == minion.execution.pillar == {"a": 1}
    assert master.asked[-1]["grains"] == minion.execution.grains and master.asked[-1]["ver"] == "2"
    master.pillar = "no"
    assert "has sent no pillar" in minion.error("saltutil.pillar_refresh")
    assert minion.tree.pillar() == {"a": 1}


REFUSING = """saltutil.refresh_grains saltutil.refresh_modules saltutil.refresh_pillar saltutil.sync_all pillar.ls
    pillar.obfuscate cp.cache_file""".split()


@pytest.mark.parametrize("fun", REFUSING)
def test_no_keyword_is_swallowed(synced, fun):
    ret, retcode, success = synced[1].run(fun, wiat=True)
    assert (retcode, success) == (1, False) and "wiat" in ret and "Traceback" not in ret


def test_caches_are_cleared_and_jobs_are_not(synced):
    master, minion = synced
    master.put("_modules/a.py", "")
    minion("saltutil.sync_modules")
    minion.tree.put_grains({"a": 1})
    assert minion("saltutil.clear_cache") is True
    assert sorted(os.listdir(minion.cache)) == ["grains"]


def test_keys_can_be_given_up(synced):
    master, minion = synced
    minion.tree.prepare(minion.opts)
    (minion.tree.pki / "minion_master.pub").write_text("pinned")
    assert minion("saltutil.regen_keys") is True
    assert os.listdir(minion.tree.pki) == ["minion_master.pub"]
    assert minion("saltutil.revoke_auth") is True
    assert master.asked[-1] == {"cmd": "revoke_auth", "id": "web1", "preserve_minion_cache": False}


# states, by a program that stands where salt-call would be


@pytest.fixture
def stateful(tmp_path):
    """A minion with a salt-call that gives back what it was called with."""
    program = tmp_path / "bin/salt-call"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "if 'die' in sys.argv: sys.exit('no master')\n"
        "seen = {'argv': sys.argv[1:], 'python': os.environ.get('PYTHONPATH')}\n"
        "print(json.dumps({'local': seen})); sys.exit(2 * ('\"bad\"' in sys.argv))\n"
    )
    program.chmod(0o755)
    return Minion(tmp_path, None, salt_call=str(program), master="192.0.2.1")


def words(ret):
    """The function and the words behind it, as Salt reads them."""
    fun, *rest = ret["argv"][ret["argv"].index("--") + 1 :]
    return fun, rest


def test_arguments_of_a_state_function_arrive_as_they_were(stateful, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    args = ["web,1", 5, None, "", "---", "1_0", "--version", "{x}", ["#", {"a": "#"}]]
    kwargs = {"pillar": {"x": [1, "a b"]}, "test": True, "name": "010", "text": "a\n#b\tü😀", "none": "null"}
    ret = stateful("state.apply", *args, **kwargs)
    fun, rest = words(ret)
    assert (fun, ret["python"]) == ("state.apply", None)
    assert not {"\n", "#"} & set("".join(rest))  # words with these are not read as YAML
    assert [yaml.safe_load(word) for word in rest[: len(args)]] == args
    assert {word.partition("=")[0]: yaml.safe_load(word.partition("=")[2]) for word in rest[len(args) :]} == kwargs
    assert {"--retcode-passthrough", "--out=typed_json", "--no-return-event"} <= set(ret["argv"])


def test_retcode_and_outputter_of_a_state_function_are_salts(stateful):
    made = stateful.job("state.sls", "bad")
    assert (made["retcode"], made["success"], made["out"]) == (2, False, "highstate")
    assert stateful.job("state.highstate")["retcode"] == 0
    assert "out" not in stateful.job("state.show_top")
    assert words(stateful("sys.state_doc", "pkg.installed")) == ("sys.state_doc", ['"pkg.installed"'])


def test_salt_call_is_this_minion(stateful):
    ret = stateful("state.highstate")
    conf = Path(ret["argv"][ret["argv"].index("-c") + 1])
    own = yaml.safe_load((conf / "own").read_text())
    assert (own["id"], own["master"], own["pki_dir"]) == ("web1", "192.0.2.1", str(stateful.tree.pki))
    assert own["cachedir"].startswith(f"{stateful.cache}/salt-call/")
    assert yaml.safe_load((conf / "minion").read_text())["include"][-1] == f"{conf}/own"
    assert os.readlink(conf / "grains") == f"{stateful.conf}/grains"
    assert stat.S_IMODE(conf.stat().st_mode) == 0o700


def test_a_call_that_is_local_stays_local(stateful, tmp_path):
    assert "--local" in stateful("state.apply")["argv"]  # it has no master to ask
    stateful.execution.local = False
    assert "--local" not in stateful("state.apply")["argv"]
    config = {"id": "web1", "salt_call": stateful.opts["salt_call"], "file_roots": {"base": ["/srv/conf"]}}
    write_config(tmp_path / "call/minion", config)

    def own(*given):
        done = command("call", "-c", tmp_path / "call", "--local", "--out=json", *given, "state.apply")
        argv = json.loads(done.stdout)["local"]["argv"]
        return "--local" in argv, yaml.safe_load(Path(argv[argv.index("-c") + 1], "own").read_text())

    assert own()[0] is True and own()[1]["file_roots"] == {"base": ["/srv/conf"]}
    (roots := tmp_path / "roots").mkdir()
    given = own("--file-root", str(roots), "--pillar-root", str(tmp_path))[1]
    assert (given["file_roots"], given["pillar_roots"]) == ({"base": [str(roots)]}, {"base": [str(tmp_path)]})


def test_what_salt_call_says_instead_of_json_is_shown(stateful):
    program = Path(stateful.opts["salt_call"])
    program.write_text("#!/bin/sh\necho no master >&2; exit 3\n")
    assert stateful.error("state.apply") == f"{program} ended with exit code 3: no master"


def test_without_salt_the_return_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    minion = Minion(tmp_path, None, salt_call=str(tmp_path / "none"))
    assert "the option salt_call names" in minion.error("state.apply")
    if not any(os.path.exists(f"{place}/salt-call") for place in ("/usr/bin", "/usr/local/bin", "/opt/saltstack/salt")):
        assert "state.show_top needs Salt on this machine" in Minion(tmp_path, None).error("state.show_top")


def test_every_state_function_has_a_sentence_and_an_example(stateful):
    for fun in stateful("sys.list_functions", "state", "cp", "saltutil"):
        doc = stateful.execution.functions[fun].__doc__
        assert doc and f"salt '*' {fun.replace('pillar_refresh', 'refresh_pillar')}" in doc, fun
    assert json.dumps(stateful("sys.argspec", "state.apply"))
