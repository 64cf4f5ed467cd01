"""The mine and the pillar functions: what minions give to each other, through a master that decides who gets it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from in_memory import Site
from leaves import APART, MINE

import saltlite
from saltlite import CommandExecutionError

MODULE = """
def address(interface="lo", family=4):
    return [f"{interface}-{family}", __grains__.get("id")]

def broken():
    raise ValueError("no")
"""


def put(site, minion, **data):
    return site.ask(minion, {"cmd": "_mine", "id": minion.id, "data": data, "clear": False})


def get(site, minion, tgt="*", fun="f", **more):
    return site.ask(minion, {"cmd": "_mine_get", "id": minion.id, "tgt": tgt, "fun": fun, **more})


def entry(value, **allow):
    return {"__data__": value, "__saltmine_acl__": 1, **allow}


class Run:
    """Execution functions of a minion that asks the master of the site."""

    def __init__(self, site, minion, pillar=None, **opts):
        path = Path(minion.tree.conf, "modules")
        path.mkdir(exist_ok=True)
        (path / "net.py").write_text(MODULE)
        opts = minion.opts | opts
        self.execution = saltlite.Execution(opts, minion.tree, master=lambda load: site.ask(minion, load))
        self.execution.grains, self.execution.pillar = {"id": minion.id, "os": "Debian"}, pillar or {}

    def __call__(self, fun, *args, **kwargs):
        ret, _, success = self.execution.run(fun, [*args, {"__kwarg__": True, **kwargs}])
        assert success, ret
        return ret


# Wire


def test_what_one_minion_puts_into_the_mine_another_gets(site):
    m1, m2 = site.joined("m1"), site.joined("m2", 1)
    assert put(site, m1, f=[1, {"a": "é"}], g=2) is True
    assert put(site, m2, f=b"\xff") is True
    assert get(site, m2) == {"m1": [1, {"a": "é"}], "m2": b"\xff"}
    assert get(site, m2, "m1", "f,g") == {"f": {"m1": [1, {"a": "é"}]}, "g": {"m1": 2}}
    assert get(site, m2, "m1", ["g"]) == {"g": {"m1": 2}}
    assert get(site, m2, "m1", "g,nothing") == {"g": {"m1": 2}}
    assert get(site, m2, "m1", "nothing") == get(site, m2, "m3") == {}
    assert (site.tree.cache / "minions/m1/mine.json").stat().st_mode & 0o777 == 0o600


def test_the_mine_outlives_a_restart_and_ends_with_its_identity(site):
    m1, m2 = site.joined("m1"), site.joined("m2", 1)
    put(site, m1, f=1)
    put(site, m2, f=2)
    site.save()
    site.start()
    assert get(site, m2) == {"m1": 1, "m2": 2}
    site.move("m1", "minions", "minions_rejected")
    site.look()
    assert get(site, m2) == {"m2": 2}
    site.move("m1", "minions_rejected", "minions")
    site.look()
    assert get(site, m2) == {"m2": 2}


def test_functions_are_added_replaced_deleted_flushed_and_cleared(site):
    m1 = site.joined("m1")
    put(site, m1, f=1, g=1)
    put(site, m1, g=2, h=3)
    assert get(site, m1, "*", "f,g,h") == {"f": {"m1": 1}, "g": {"m1": 2}, "h": {"m1": 3}}
    assert site.ask(m1, {"cmd": "_mine_delete", "fun": "g"}) is True
    assert site.ask(m1, {"cmd": "_mine_delete", "fun": "nothing"}) is True
    assert get(site, m1, "*", "f,g,h") == {"f": {"m1": 1}, "h": {"m1": 3}}
    assert site.ask(m1, {"cmd": "_mine", "data": {"i": 4}, "clear": True}) is True
    assert get(site, m1, "*", "f,h,i") == {"i": {"m1": 4}}
    assert site.ask(m1, {"cmd": "_mine_flush"}) is True
    assert site.ask(m1, {"cmd": "_mine_flush"}) is False
    assert get(site, m1, "*", "i") == {}


def test_a_mine_file_that_the_operator_changes_or_breaks_counts_at_once(site):
    m1 = site.joined("m1")
    put(site, m1, f=1)
    path = site.tree.cache / "minions/m1/mine.json"
    assert get(site, m1) == {"m1": 1}
    path.write_text('{"f": "by hand"}')
    assert get(site, m1) == {"m1": "by hand"}
    path.write_text("junk")
    assert get(site, m1) == {}
    path.unlink()
    assert get(site, m1) == {}


TARGETS = [
    ("m1", "glob", {"m1"}),
    ("m[12]", "pcre", set()),
    ("m1,m3", "list", {"m1"}),
    (["m2", "m3"], "list", {"m2"}),
    ("os:Debian", "grain", {"m1"}),
    ("os:D.*", "grain_pcre", set()),
    ("not G@os:Fedora", "compound", {"m1"}),
    (["not", "G@os:Debian"], "compound", set()),
    ("m* and not L@m1", "compound", {"m2"}),
    ("N@debian or m2", "compound", {"m1", "m2"}),
    ("debian", "nodegroup", {"m1"}),
    ("unknown", "nodegroup", set()),
    ("10.0.0.0/8", "ipcidr", {"m1"}),
    ("role:w*", "pillar", set()),
    ("role:web", "pillar_exact", set()),
    ("not I@role:web", "compound", set()),
    ("%web", "range", set()),
    ("m1 and ( m2", "compound", set()),
    ("m1 or T@x", "compound", set()),
    ("m1 or P@os:(", "compound", set()),
    ("(" * 5000, "compound", set()),
    (" or ".join(["E@m1"] * 200), "compound", set()),
    ("os:" + "*:" * 8 + "z", "grain", set()),
    (" or ".join(["G@os:Debian"] * 40), "compound", {"m1"}),
    (" or ".join(["G@os:Debian"] * 41), "compound", set()),
    (",".join(["m1"] * 2000), "list", {"m1"}),
    ("m*", "", set()),
    ("m*", ["glob"], set()),
    (None, "glob", set()),
    ({"m1": 1}, "list", set()),
    ([["m1"], None], "compound", set()),
    (["N@debian", 5], "compound", set()),
    ("(a+)+$", "pcre", set()),
    ("m1", "pcre", set()),
    ("os:Debian", "grain_pcre", set()),
    ("m1 or E@m2", "compound", set()),
    ("m1 or P@os:Debian", "compound", set()),
    ("m1 or not P|@os|Debian", "compound", set()),
    ("m1 or (E@m2)", "compound", {"m1"}),
    (["m1 or", ["E@m2"]], "compound", {"m1"}),
]


@pytest.mark.parametrize("tgt, tgt_type, wanted", TARGETS)
def test_a_target_gives_only_minions_that_certainly_match(site, tgt, tgt_type, wanted):
    """Of m1 the grains are known, of m2 nothing is."""
    site.opts["nodegroups"] = {"debian": "G@os:Debian"}
    m1, m2 = site.joined("m1"), site.joined("m2", 1)
    site.tree.data.put("m1", "grains", {"os": "Debian", "ipv4": ["10.1.2.3"]})
    put(site, m1, f=1)
    put(site, m2, f=1)
    assert set(get(site, m1, tgt, tgt_type=tgt_type)) == wanted


def test_pillar_is_compared_exactly_wherever_others_are_asked_for():
    facts = saltlite.Facts("m1", {}, {"role": "web"}, saltlite.REGEX_BUDGET)

    def is_certain(tgt, tgt_type, exact=True):
        return MINE.certainly(tgt, tgt_type, {"webs": "I@role:w*"}, lambda _: facts, exact)("m1")

    assert is_certain("role:web", "pillar") and is_certain("I@role:web", "compound")
    for tgt, tgt_type in (("role:w*", "pillar"), ("I@role:w*", "compound")):
        assert not is_certain(tgt, tgt_type)
        assert is_certain(tgt, tgt_type, exact=False)
    assert not is_certain("webs", "nodegroup") and is_certain("webs", "nodegroup", exact=False)


ALLOWED = [
    ({}, ["m1", "m2", "m3"]),
    ({"allow_tgt": "m2"}, ["m2"]),
    ({"allow_tgt": "m2,m3", "allow_tgt_type": "list"}, ["m2", "m3"]),
    ({"allow_tgt": "G@os:Debian", "allow_tgt_type": "compound"}, ["m2"]),
    ({"allow_tgt": "not G@os:Debian", "allow_tgt_type": "compound"}, []),
    ({"allow_tgt": "os:Debian", "allow_tgt_type": "grain"}, ["m2"]),
    ({"allow_tgt": "debian", "allow_tgt_type": "nodegroup"}, ["m2"]),
    ({"allow_tgt": "role:web", "allow_tgt_type": "pillar"}, []),
    ({"allow_tgt": "not P@os:(", "allow_tgt_type": "compound"}, []),
    ({"allow_tgt": "P@os:Debian", "allow_tgt_type": "compound"}, []),
    ({"allow_tgt": "m2", "allow_tgt_type": "pcre"}, []),
    ({"allow_tgt": "os:Debian", "allow_tgt_type": "grain_pcre"}, []),
    ({"allow_tgt": "role:web", "allow_tgt_type": "pillar_pcre"}, []),
    ({"allow_tgt": "*", "allow_tgt_type": "nonsense"}, []),
    ({"allow_tgt": ""}, []),
    ({"allow_tgt": None}, []),
    ({"allow_tgt": {}}, []),
    ({"allow_tgt": "*", "allow_tgt_type": None}, []),
]


@pytest.mark.parametrize("allow, wanted", ALLOWED)
def test_an_entry_goes_only_to_those_who_are_known_to_match_its_allow_tgt(site, allow, wanted):
    """Of m2 the grains are known, of the others nothing is."""
    site.opts["nodegroups"] = {"debian": "G@os:Debian"}
    minions = [site.joined(f"m{number}", number - 1) for number in (1, 2, 3)]
    site.tree.data.put("m2", "grains", {"os": "Debian"})
    put(site, minions[0], f=entry("secret", **allow), g="open")
    assert [m.id for m in minions if get(site, m) == {"m1": "secret"}] == wanted
    for minion in minions:
        assert get(site, minion, "*", ["g"]) == {"g": {"m1": "open"}}
        assert minion.id in wanted or get(site, minion) == {}


def test_a_pillar_that_the_master_knows_decides_exactly(site):
    m1, m2 = site.joined("m1"), site.joined("m2", 1)
    put(site, m1, f=1, g=entry(2, allow_tgt="role:d*", allow_tgt_type="pillar"))
    (site.tree.cache / "minions/m1/pillar.json").write_text('{"role": "web"}')
    assert get(site, m2, "role:web", tgt_type="pillar") == {"m1": 1}
    assert get(site, m2, "role:w*", tgt_type="pillar") == get(site, m2, "I@role:w*", tgt_type="compound") == {}
    assert get(site, m2, "*", "g") == {}
    (site.tree.cache / "minions/m2").mkdir()
    (site.tree.cache / "minions/m2/pillar.json").write_text('{"role": "db"}')
    assert get(site, m2, "*", "g") == {"m1": 2}


def test_mine_get_of_the_configuration_says_who_may_ask_for_what(site):
    m1, m2 = site.joined("m1"), site.joined("m2", 1)
    put(site, m1, f=1, g=2, ff=3)
    site.opts["mine_get"] = {"m1": ["f$", "("], "m[12]": ["g"], "(": [".*"], "m2": ".*"}
    assert get(site, m1, "*", "f,g,ff") == {"f": {"m1": 1}, "g": {"m1": 2}}
    assert get(site, m2, "*", "f,g,ff") == {"g": {"m1": 2}}
    assert get(site, m2, "*", "f") == {} and get(site, m2, "*", "g") == {"m1": 2}


def test_what_looks_like_an_entry_without_the_mark_is_a_value(site):
    m1, m2 = site.joined("m1"), site.joined("m2", 1)
    put(site, m1, f={"__data__": 1})
    assert get(site, m2) == {"m1": {"__data__": 1}}


def test_a_mine_has_a_mebibyte_and_more_is_refused(site, caplog):
    m1 = site.joined("m1")
    room = MINE.MAX_MINE - len(saltlite.pack({"f": "x" * 70_000})) + 70_000
    assert put(site, m1, f="x" * room) is True
    assert put(site, m1, g=1) is False
    assert "the mine of m1 is not changed" in caplog.text
    assert put(site, m1, f="x" * (room + 1)) is False
    assert put(site, m1, f=1) is True
    assert put(site, m1, g=1) is True
    assert get(site, m1, "*", "f,g") == {"f": {"m1": 1}, "g": {"m1": 1}}


@pytest.mark.parametrize("data", [None, [], "x", 5, b"\xff"])
def test_what_is_no_map_does_not_go_into_the_mine(site, data):
    m1 = site.joined("m1")
    assert site.ask(m1, {"cmd": "_mine", "data": data}) is False
    assert not (site.tree.cache / "minions/m1").exists()


def test_nobody_makes_the_mine_unreadable_for_others(site):
    m1, m2 = site.joined("m1"), site.joined("m2", 1)
    put(site, m1, f=1)
    deep = []
    for _ in range(40):
        deep = [deep]
    assert put(site, m2, f=deep) is False
    assert put(site, m2, f=entry(2, allow_tgt=[[], {}], allow_tgt_type={})) is True
    assert site.ask(m2, {"cmd": "_mine", "data": {"__saltmine_acl__": 1, 7: 8}}) is True
    assert get(site, m1) == {"m1": 1}
    put(site, m2, f={"__saltmine_acl__": 1})
    assert get(site, m1) == {"m1": 1, "m2": None}


@pytest.mark.parametrize("fun", [None, 5, {}, [[]], [None], ["f"] * 101])
def test_a_question_for_no_function_gives_nothing(site, fun):
    m1 = site.joined("m1")
    put(site, m1, f=1)
    assert get(site, m1, "*", fun) == {}


def test_an_answer_larger_than_a_message_is_refused(tmp_path):
    site = Site(tmp_path, max_message_size=1_000_000)
    m1, m2 = site.joined("m1"), site.joined("m2", 1)
    put(site, m1, f="x" * 600_000)
    assert len(get(site, m1)["m1"]) == 600_000
    put(site, m2, f="x" * 600_000)
    assert get(site, m1) == ""


def test_however_many_minions_ask_no_file_is_read_again(site):
    """Reading is looked at from outside: a file that cannot be read any more, but is as it was, is not missed."""
    m1 = site.joined("m1")
    for number in range(200):
        site.tree.put_key(saltlite.ACCEPTED, f"n{number}", m1.key.public.pem)
        site.tree.data.put(f"n{number}", "mine", {"f": number})
        site.tree.data.put(f"n{number}", "grains", {"os": "Debian"})
    site.look()
    before = get(site, m1, "G@os:Debian", tgt_type="compound")
    assert len(before) == 200
    for number in range(200):
        for name in ("mine.json", "grains.json"):
            spoil(site.tree.cache / f"minions/n{number}/{name}")
    assert get(site, m1, "G@os:Debian", tgt_type="compound") == before


def spoil(path):
    """Make a file unreadable that is as it was for all that a stat tells."""
    info = path.stat()
    path.write_bytes(b"x" * info.st_size)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def test_what_is_kept_in_memory_is_bounded(site):
    site.tree.data.MAX_KEPT = 100_000
    for number in range(20):
        site.tree.data.put(f"n{number}", "mine", {"f": "x" * 20_000})
        assert site.tree.data.mine(f"n{number}")
    for number in range(20):
        spoil(site.tree.cache / f"minions/n{number}/mine.json")
    assert [number for number in range(20) if site.tree.data.mine(f"n{number}")] == [16, 17, 18, 19]


# A minion's own key, and what is absent


def test_a_minion_may_have_its_own_key_deleted_and_no_other(site):
    m1, m2 = site.joined("m1"), site.joined("m2", 1)
    assert site.ask(m1, {"cmd": "revoke_auth", "id": "m1", "preserve_minion_cache": False}) is True
    with pytest.raises(saltlite.AuthError):
        site.ask(m1, {"cmd": "_rekey"})
    assert site.files("m1") == set() and site.files("m2") == {"minions"}
    site.look()
    assert site.shared.aes != m2.aes.key and not (site.tree.cache / "sessions/m1").exists()


def test_an_operator_can_forbid_it(tmp_path):
    site = Site(tmp_path, allow_minion_key_revoke=False)
    m1 = site.joined("m1")
    assert site.ask(m1, {"cmd": "revoke_auth"}) is False
    assert site.files("m1") == {"minions"}


@pytest.mark.parametrize("cmd", ["minion_pub", "minion_publish", "pub_ret", "minion_runner", "wheel"])
def test_what_is_absent_by_default_is_answered_with_an_empty_map(site, cmd):
    m1 = site.joined("m1")
    load = {"cmd": cmd, "fun": "test.ping", "arg": [], "tgt": "*", "jid": "1" * 20}
    assert site.ask(m1, load) == {}
    assert not site.jobs.outgoing


# Execution functions


def test_mine_send_and_get_carry_what_functions_return(site):
    m1, m2 = Run(site, site.joined("m1")), Run(site, site.joined("m2", 1))
    assert m1("mine.send", "net.address", "eth0", family=6) is True
    assert m1("mine.send", "mine6", interface="eth1", mine_function="net.address", allow_tgt="m1") is True
    assert m2("mine.get", "*", "net.address") == {"m1": ["eth0-6", "m1"]}
    assert m2("mine.get", "*", "mine6,net.address") == {"net.address": {"m1": ["eth0-6", "m1"]}}
    assert m1("mine.get", "*", "mine6") == {"m1": ["eth1-4", "m1"]}
    assert m1("mine.get", "*", "mine6", exclude_minion=True) == {}
    assert m1("mine.delete", "mine6") is True
    assert m1("mine.get", "*", "mine6") == {}
    assert (m1("mine.flush"), m1("mine.flush")) == (True, False)


def test_mine_send_is_false_where_the_function_fails_or_is_not_there(site, caplog):
    m1 = Run(site, site.joined("m1"))
    assert m1("mine.send", "net.broken") is m1("mine.send", "no.such") is False
    assert "ValueError: no" in caplog.text and "no.such" in caplog.text
    assert m1("mine.get", "*", "net.broken,no.such") == {}


def test_mine_send_stores_no_trace_of_the_job(site):
    minion = site.joined("m1")
    run = Run(site, minion)
    run.execution.load = {"jid": "1" * 20, "fun": "mine.send", "arg": ["net.address"], "tgt": "*", "user": "root"}
    assert run("mine.send", "net.address") is True


FORMS = {
    "net.address": ["eth0"],
    "plain": [{"mine_function": "net.address"}, "eth1", {"family": 6}],
    "map": {"mine_function": "net.address", "interface": "eth2"},
    "kept": {"mine_function": "net.address", "allow_tgt": "m1", "allow_tgt_type": "glob"},
    "net.broken": [],
    "no.such": [],
}
STORED = {
    "net.address": ["eth0-4", "m1"],
    "plain": ["eth1-6", "m1"],
    "map": ["eth2-4", "m1"],
    "kept": {"__data__": ["lo-4", "m1"], "__saltmine_acl__": 1, "allow_tgt": "m1", "allow_tgt_type": "glob"},
}


@pytest.mark.parametrize("where", ["opts", "pillar", "argument"])
def test_mine_update_takes_every_form_of_mine_functions(site, where):
    minion = site.joined("m1")
    opts = {"mine_functions": FORMS} if where == "opts" else {}
    run = Run(site, minion, pillar={"mine_functions": FORMS} if where == "pillar" else {}, **opts)
    put(site, minion, old=1)
    assert run("mine.update", **({"mine_functions": FORMS} if where == "argument" else {})) is True
    assert site.tree.data.mine("m1") == {"old": 1} | STORED
    run("mine.update", clear=True, mine_functions=["net.address"])
    assert site.tree.data.mine("m1") == {"net.address": ["lo-4", "m1"]}


def test_mine_functions_of_the_options_win_over_the_pillars(site):
    run = Run(site, site.joined("m1"), {"mine_functions": {"a": [], "net.address": ["p"]}, "master": {}})
    run.execution.opts = run.execution.opts | {"mine_functions": ["net.broken", {"net.address": ["o"]}]}
    assert run("mine.valid") == {"net.address": ["o"], "net.broken": []}
    run("mine.update")
    assert site.tree.data.mine("m1") == {"net.address": ["o-4", "m1"]}


def test_mine_valid_shows_aliases_with_their_function(site):
    run = Run(site, site.joined("m1"), mine_functions=FORMS)
    found = run("mine.valid")
    assert found["net.address"] == ["eth0"] and found["plain"] == {"net.address": ["eth1", {"family": 6}]}
    assert "no.such" not in found


def test_without_mine_functions_nothing_is_sent(site):
    run = Run(site, site.joined("m1"))
    before = site.now
    assert run("mine.update") is None and run("mine.valid") is None
    assert site.now == before


def test_without_a_master_a_sentence_says_so(site):
    minion = site.joined("m1")
    execution = saltlite.Execution(minion.opts, minion.tree)
    for fun, args in (("mine.get", ["*", "f"]), ("mine.flush", []), ("pillar.items", []), ("event.send", ["t"])):
        ret, retcode, success = execution.run(fun, args)
        assert (retcode, success) == (1, False) and "no master to ask" in ret


# Pillar

PILLAR: dict[Any, Any] = {"pkg": {"apache": "httpd", "list": [1, {"a": 2}]}, 80: "http", "none": None, "empty": {}}


@pytest.fixture
def pillar(site):
    return Run(site, site.joined("m1"), PILLAR)


@pytest.mark.parametrize(
    "args, kwargs, wanted",
    [
        (["pkg:apache"], {}, "httpd"),
        (["pkg|list|1|a"], {"delimiter": "|"}, 2),
        (["pkg:list:a"], {}, 2),
        ([80], {}, "http"),
        (["none"], {}, None),
        (["empty"], {"default": 1}, {}),
        (["missing"], {}, ""),
        (["missing:x", "d"], {}, "d"),
        (["pkg", {"apache": "x", "y": {"z": 1}}], {"merge": True}, PILLAR["pkg"] | {"y": {"z": 1}}),
        (["pkg:list", [1, 5]], {"merge": True}, [1, 5, {"a": 2}]),
        (
            ["pkg", {"list": [7]}],
            {"merge": True, "merge_nested_lists": True},
            PILLAR["pkg"] | {"list": [7, 1, {"a": 2}]},
        ),
        (["pkg:apache", {"a": 1}], {"merge": True}, "httpd"),
        (["missing", {"a": 1}], {"merge": True}, {"a": 1}),
    ],
    ids=str,
)
def test_pillar_get(pillar, args, kwargs, wanted):
    assert pillar("pillar.get", *args, **kwargs) == wanted == pillar("pillar.fetch", *args, **kwargs)


def test_pillar_in_memory_is_shown_by_raw_item_and_keys(pillar):
    assert pillar("pillar.raw") == PILLAR and pillar("pillar.raw", "pkg") == PILLAR["pkg"]
    assert pillar("pillar.raw", key="missing") == {}
    assert pillar("pillar.item", "pkg:apache", "missing") == {"pkg:apache": "httpd", "missing": ""}
    assert pillar("pillar.item", "missing", default=3) == {"missing": 3}
    assert pillar("pillar.keys", "pkg") == ["apache", "list"]
    for key, why in (("missing", "not found"), ("pkg:apache", "not a map")):
        with pytest.raises(CommandExecutionError, match=why):
            pillar.execution.functions["pillar.keys"](key)


def test_pillar_items_are_asked_of_the_master_with_environment_and_override(site):
    asked = []
    minion = site.joined("m1", pillarenv="prod")
    execution = saltlite.Execution(minion.opts, minion.tree, master=lambda load: asked.append(load) or {"fresh": 1})
    execution.grains, execution.pillar = {"os": "Debian"}, {"old": 1}
    assert execution.run("pillar.items", []) == ({"fresh": 1}, 0, True)
    assert execution.run("pillar.data", [{"__kwarg__": True, "pillar": {"x": 1}, "pillarenv": "dev"}])[0] == {
        "fresh": 1
    }
    assert execution.run("pillar.items", ["old"])[0] == {"old": 1}
    assert execution.run("pillar.ls", [])[0] == ["fresh"]
    assert execution.run("pillar.get", ["fresh", {"__kwarg__": True, "pillarenv": "dev"}])[0] == 1
    assert execution.run("pillar.item", ["old", {"__kwarg__": True, "saltenv": "dev"}])[0] == {"old": ""}
    assert {(load["cmd"], load["ver"], str(load["grains"])) for load in asked} == {("_pillar", "2", "{'os': 'Debian'}")}
    assert [load["pillarenv"] for load in asked] == ["prod", "dev", "prod", "dev", "prod"]
    assert [load["pillar_override"] for load in asked] == [{}, {"x": 1}, {}, {}, {}]
    assert execution.pillar == {"old": 1}


def test_pillar_items_go_over_the_wire(site):
    run = Run(site, site.joined("m1"), PILLAR)
    assert run("pillar.items") == {}
    assert site.tree.data.grains("m1") == {"id": "m1", "os": "Debian"}


def test_config_get_looks_into_the_pillar(site):
    run = Run(site, site.joined("m1"), {"only": {"here": 1}, "os": "of the pillar"})
    assert run("config.get", "only:here") == 1
    assert run("config.get", "os") == "Debian"


def test_the_mine_of_many_minions_is_read_in_steps(site, monkeypatch):
    """A fleet has as many files as minions, and each may be of a mebibyte: others have their turn in between."""
    minions = [site.joined(f"m{number}", number) for number in range(3)]
    for minion in minions:
        put(site, minion, f=minion.id)
    monkeypatch.setattr(MINE, "STEP", 0.0)
    request = minions[0].request({"cmd": "_mine_get", "tgt": "*", "fun": "f"}, site.now)
    assert site.master.receive(b"e", request, site.now) is None
    steps = 1
    while not (replies := site.master.go_on(site.now)):
        steps += 1
    assert steps == len(minions)
    assert minions[0].reply(replies[0].data) == {minion.id: minion.id for minion in minions}


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_what_is_large_is_sealed_apart(site, monkeypatch, more):
    """To seal what the mine of a fleet may be takes a tenth of a second; and nothing that is kept of it is changed."""
    m1, m2 = site.joined("m1"), site.joined("m2", 1)
    value = {"a": ["x" * 200, {"b": 1}]}
    for minion in (m1, m2):
        put(site, minion, f=value, g=value)
    monkeypatch.setattr(APART, "SEALED_AT_ONCE", 2 * len(saltlite.pack(value)) + more)
    forks, fork = [], os.fork
    monkeypatch.setattr(os, "fork", lambda: forks.append(fork()) or forks[-1])
    for _ in range(2):
        assert get(site, m1) == {"m1": value, "m2": value}
        assert len(forks) == (more < 0)
        forks.clear()
    assert get(site, m1, "*", "f,g") == {name: {"m1": value, "m2": value} for name in "fg"} and len(forks) == 1
