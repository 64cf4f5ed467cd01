"""What a word on the command line means as a target: node sets and globs, groups, the minions of a job, preview."""

import json
import random

import pytest

from saltlite import Failure, glob_match, load_opts, packed_leaf, to_json, valid_id

nodes, targets = packed_leaf("terminal", "nodes"), packed_leaf("terminal", "targets")
JID = "20261126190000000001"
IDS = ["db1", "web1", "web2", "web3", "web10"]


@pytest.fixture
def fleet(tmp_path):
    """A master's tree with some accepted keys, one pending and one rejected, and no master."""
    pki = tmp_path / "pki/master"
    for state, names in (("minions", IDS), ("minions_pre", ["new1"]), ("minions_rejected", ["bad1"])):
        (pki / state).mkdir(parents=True)
        for name in names:
            (pki / state / name).write_text("a key")
    groups = {"web": "web*", "front": "G@role:front", "two": "L@web1,web2", "all": "N@web or db1"}
    (tmp_path / "master").write_text(json.dumps({"nodegroups": groups}))
    found = targets.Fleet(load_opts("master", str(tmp_path)), "me")
    for name in ("web1", "db1"):
        directory = found.tree.cache / "minions" / name
        directory.mkdir(parents=True)
        (directory / "grains.json").write_text(to_json({"role": "front" if name == "web1" else "back"}))
    return found


def job(fleet, jid, user="me", state="done"):
    """A finished job of web1 (went well), web2 (failed) and web3 (said nothing)."""
    directory = fleet.jobs / ("active" if state == "active" else f"done/{jid[:8]}")
    for each in (directory, fleet.jobs / "active", fleet.jobs / "done"):
        each.mkdir(parents=True, exist_ok=True)
    lines = [
        {"event": "new", "jid": jid, "fun": "x", "minions": ["web1", "web2", "web3"], "user": user, "time": 1},
        {"event": "ret", "id": "web1", "return": True, "retcode": 0, "success": True, "time": 2},
        {"event": "ret", "id": "web2", "return": "", "retcode": 3, "success": True, "time": 2},
        {"event": "something new", "id": "web3"},
    ]
    (directory / f"{jid}.jsonl").write_text("".join(f"{to_json(line)}\n" for line in lines) + '{"event": "re')


@pytest.mark.parametrize(
    "word, node_set",
    [(word, True) for word in "@web @last.failed web1,web2 web*,db1 *!web3 web[01-40] web[3,17-19] web[1-12]".split()]
    + [(word, True) for word in "web[01-03]&@web rack[1-3]-[01-20] a!b web[1,2] web[10-12]".split()]
    + [(word, False) for word in "* web1 web[01] web[1-3] w[a-c]* [0-9] web[!0-9] web[01-40]* web[12] web[ @ ]".split()]
    + [(word, False) for word in ("G@os:x", "web* and not db1", "web[a-c]-[01-20]", "", "web[]", "os:web[01-02]@x")],
)
def test_when_a_target_is_a_node_set(word, node_set):
    assert nodes.is_node_set(word) == node_set


def test_a_glob_that_could_match_any_id_stays_a_glob():
    """But for numbers in brackets: what is a node set matches, as a glob, no id that it does not name itself."""
    rng = random.Random(9)
    for _ in range(500):
        word = "".join(
            rng.choice(["a", "1", "*", "?", "[ab]", "[0-9]", "[!1]", ",", "!", "&", "^", "@", "-", "."])
            for _ in range(4)
        )
        if nodes.is_node_set(word):
            texts = ["".join(rng.choice("a1b.-,!&^@") for _ in range(rng.randrange(1, 6))) for _ in range(200)]
            assert not [text for text in texts if valid_id(text) and glob_match(text, word)], word


@pytest.mark.parametrize(
    "word, tgt_type, tgt, on_the_wire",
    [
        ("web*", None, "web*", "glob"),
        ("web[1-3]", None, "web[1-3]", "glob"),
        ("web[01-03,5]", None, ["web5", "web01", "web02", "web03"], "list"),
        ("web*!web2", None, ["web1", "web3", "web10"], "list"),
        ("web?,db1", None, ["db1", "web1", "web2", "web3"], "list"),
        ("@web", None, "web", "nodegroup"),
        ("@web!@two", None, ["web3", "web10"], "list"),
        ("@all&web[1,2]", None, ["web1", "web2"], "list"),
        ("web1, web2", "list", ["web1", "web2"], "list"),
        ("web[08-10],@two,db1", "list", ["web08", "web09", "web10", "web1", "web2", "db1"], "list"),
        ("web1 wbe2", "list", ["web1", "wbe2"], "list"),
        ("web[01-40]", "pcre", "web[01-40]", "pcre"),
        ("web1,web2", "compound", "web1,web2", "compound"),
    ],
)
def test_what_goes_to_the_master(fleet, word, tgt_type, tgt, on_the_wire):
    assert targets.meant(word, tgt_type, fleet) == (tgt, on_the_wire)


@pytest.mark.parametrize("size, right", [(99_999, True), (100_000, True), (100_001, False), (10**30, False)])
def test_a_node_set_has_a_size(fleet, size, right):
    word = f"n[1-{size}]" if size > 1 else "n"
    if right:
        assert len(targets.meant(word, None, fleet).tgt) == size
    else:
        with pytest.raises(Failure, match="names more than 100000 minions"):
            targets.meant(word, None, fleet)


@pytest.mark.parametrize(
    "word, sentence",
    [
        ("@wweb", "there is no nodegroup wweb; did you mean 'web'?"),
        (f"@{JID}.faild", "say .failed, .silent or .ok; did you mean 'failed'?"),
        (f"@{JID}.failed", f"there is no job {JID}"),
        ("@last.failed", "no job of me is among the last 1000 in"),
        ("web[3,1-,x", "is no set of names"),
        ("web[17-03]", "is no set of names"),
        ("a,!b", "is no set of names"),
        ("a[1-2]!a[1,2]", "names no minion"),
    ],
)
def test_what_is_no_node_set_is_refused_in_a_sentence(fleet, word, sentence):
    (fleet.jobs / "active").mkdir(parents=True)
    with pytest.raises(Failure, match=sentence.replace(".", r"\.").replace("?", r"\?")):
        targets.meant(word, None, fleet)


@pytest.mark.parametrize("state", ["done", "active"])
def test_the_minions_of_a_job_are_a_target(fleet, state):
    job(fleet, JID, state=state)
    for how, names in (("failed", ["web2"]), ("silent", ["web3"]), ("ok", ["web1"])):
        assert targets.meant(f"@{JID}.{how}", None, fleet) == (names, "list")
        assert targets.meant(f"@last.{how},db1", None, fleet).tgt == ["db1", *names]


def test_last_is_the_last_job_of_the_one_who_asks(fleet):
    def last():
        return fleet.last(packed_leaf("clients", "JobFiles").JobFiles(fleet.jobs)).jid

    job(fleet, JID)
    job(fleet, "20261127190000000001", user="another")
    job(fleet, "20261125190000000001")
    assert last() == JID
    job(fleet, "20261126190000000002", state="active")
    assert last() == "20261126190000000002"


@pytest.mark.parametrize("others", [targets.MAX_LOOKED - 1, targets.MAX_LOOKED, targets.MAX_LOOKED + 1])
def test_the_last_job_is_looked_for_among_so_many(fleet, others):
    """Over the days: half of the jobs of others are of the day before."""
    job(fleet, "20261101190000000001")
    for number in range(others):
        job(fleet, f"202611{27 - number % 2}19000000{number:04}", user="another")
    if others < targets.MAX_LOOKED:
        assert targets.meant("@last.ok", None, fleet).tgt == ["web1"]
    else:
        with pytest.raises(Failure, match=f"@last: no job of me is among the last {targets.MAX_LOOKED} in "):
            targets.meant("@last.ok", None, fleet)


def test_names_that_nobody_has_are_named_with_the_nearest():
    assert targets.unknown(targets.Target(["web1", "wbe2"], "list"), ["web1"]) == ["wbe2"]
    assert targets.unknown(targets.Target("web1,wbe2", "list"), ["web1"]) == ["wbe2"]
    assert targets.unknown(targets.Target("wbe2", "glob"), []) == []
    mixed = "( L@web1,wbe2 or G@os:Debian ) and not L@gone1 or L@wbe3"
    assert targets.unknown(targets.Target(mixed, "compound"), ["web1"]) == ["wbe2", "wbe3"]
    assert targets.unknown(targets.Target(mixed.split(), "compound"), ["web1"]) == ["wbe2", "wbe3"]


def test_what_is_said_of_names_that_no_accepted_key_has(fleet):
    assert targets.complaints(["web33", "new1", "bad1"], fleet) == [
        "no accepted key is named web33; did you mean 'web3'?",
        "no accepted key is named new1: its key is pending.",
        "no accepted key is named bad1: its key is rejected.",
    ]
    assert targets.complaints([f"x{at}" for at in range(1, 9)], fleet) == ["no accepted key is named x[1-8] (8)."]


@pytest.mark.parametrize(
    "tgt, tgt_type, word",
    [
        ("wbe1", "glob", "did you mean 'web1'?"),
        ("we", "glob", "Ids begin with it: say 'we*'"),
        ("front", "glob", "nodegroup of this name"),
        ("WEB*", "glob", "another case"),
        ("new1", "glob", "its key is pending"),
        ("wbe*", "glob", "did you mean 'web*'?"),
        ("mail*", "glob", ""),
        ("G@role:front", "glob", "say -C"),
        ("x* or y*", "glob", "say -C"),
        ("web1 db1", "glob", "say -L"),
        ("role:front", "glob", "say -G"),
        ("rol:front", "grain", "has a grain rol; did you mean 'role'?"),
        ("wweb", "nodegroup", "did you mean 'web'?"),
        ("zzz", "glob", ""),
    ],
)
def test_a_target_that_matches_nobody_says_what_it_might_have_meant(fleet, tgt, tgt_type, word):
    said = targets.might_mean(targets.Target(tgt, tgt_type), fleet)
    assert word in said if word else said == ""


def test_preview_says_who_would_run_and_why(fleet):
    found = targets.preview(targets.Target("web* and not web3 or G@role:back", "compound"), fleet)
    assert found.match == {"G@role:back": ["db1"], "web*": ["web1", "web10", "web2"]}
    assert found.may == ["web3"]  # its grains are not known
    found = targets.preview(targets.Target("front", "nodegroup"), fleet)
    assert found.match == {"G@role:front": ["web1"]} and found.may == ["web10", "web2", "web3"]
    found = targets.preview(targets.Target(["web1", "wbe2"], "list"), fleet)
    assert found == ({"named": ["web1"]}, [], ["wbe2"])
    with pytest.raises(Failure, match="nothing stands before"):
        targets.preview(targets.Target("and web1", "compound"), fleet)


@pytest.mark.parametrize(
    "names, text",
    [
        ([], ""),
        (["web2"], "web2"),
        (["web3", "web1", "web2"], "web[1-3]"),
        (["web03", "web01", "web02", "db", "web17"], "db,web[01-03,17]"),
        (["web9", "web10", "web11", "web12"], "web[9-12]"),
        (["r1n1", "r1n2", "r2n1", "r2n2"], "r[1-2]n[1-2]"),
        (["a", "b", "c", "no id[1-2]", "b"], "a,b,c,no id[1-2]"),
    ],
)
def test_names_are_folded(names, text):
    assert nodes.fold(names) == text


def test_many_names_are_folded_and_no_more_than_wanted():
    assert nodes.fold([f"m{at:05}" for at in range(10_000)]) == "m[00000-09999]"
    assert nodes.fold([f"m{at:05}" for at in range(501)], 500) == "m[00000-00499] and 1 more"
    assert nodes.fold([f"web{at}.dc.example.com" for at in range(1000)]) == "web[0-999].dc.example.com"
    assert nodes.fold([f"ip-10-0-0-{at}" for at in range(600)]) == "ip-10-0-0-[0-599]"
