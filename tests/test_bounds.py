"""What one accepted minion can make the master do with one request: little.

The sizes are such that without the bound a test would take minutes, or all memory."""

import os
import time

import pytest
from in_memory import Site
from leaves import FILES, MASTER_OPTIONS, PILLAR

import saltlite
from saltlite import AuthError, PayloadError, pack, unpack

MERGES = "x\na0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60))


def refused(site, minion, load):
    """Whether the master says `bad load`, or gives nothing."""
    try:
        return site.ask(minion, load) == ""
    except (AuthError, PayloadError):
        return True


def test_merge_keys_that_double_line_by_line_are_counted_first(tmp_path):
    site = Site(tmp_path, pillar_roots={"base": [str(tmp_path / "pillar")]})
    (tmp_path / "pillar").mkdir()
    (tmp_path / "pillar/top.sls").write_text("base: {'*': [a]}\n")
    (tmp_path / "pillar/a.sls").write_text("role: {{ grains.role }}\n")
    minion = site.joined("m")
    assert "_errors" in site.ask(minion, {"cmd": "_pillar", "grains": {"role": MERGES}})
    assert site.ask(minion, {"cmd": "_pillar", "grains": {"role": "web"}}) == {"role": "web"}


def test_a_target_over_many_grains_is_not_judged_for_ever(site):
    """Forty operands over two hundred thousand members, and a glob that backtracks over two million characters."""
    m1, m2 = site.joined("m1"), site.joined("m2", 1)
    site.ask(m1, {"cmd": "_mine", "data": {"f": 1}})
    for grains, tgt in (
        ({"r": ["x"] * 200_000}, " or ".join(["G@r:a*"] * 40)),
        ({"r": "a" * 2_000_000}, "G@r:*" + "a" * 900 + "b*"),
    ):
        site.tree.data.put("m1", "grains", grains)
        began = time.process_time()
        assert site.ask(m2, {"cmd": "_mine_get", "tgt": tgt, "tgt_type": "compound", "fun": "f"}) == {}
        assert time.process_time() - began < 20, "it is not a matter of the machine's speed"


@pytest.mark.parametrize("name", ["grains", "pillar_override"])
def test_grains_and_overrides_are_a_mebibyte_at_most(site, name):
    minion = site.joined("m")
    assert refused(site, minion, {"cmd": "_pillar", name: {"x": "y" * (2 << 20)}})
    assert site.tree.data.grains("m") is None
    assert site.ask(minion, {"cmd": "_pillar", "grains": {"x": "y" * 1000}}) == {}


def test_a_message_has_a_million_members_at_most():
    with pytest.raises(PayloadError, match="members"):
        unpack(pack([[1] * 500_000] * 3))
    assert len(unpack(pack([[1] * 300_000] * 3))) == 3


def test_an_allow_tgt_by_the_grain_id_means_the_id_that_was_proven(site):
    db1, evil = site.joined("db1"), site.joined("evil", 1)
    entry = {"__data__": "S", "__saltmine_acl__": 1, "allow_tgt": "id:web1", "allow_tgt_type": "grain"}
    site.ask(db1, {"cmd": "_mine", "data": {"secret": entry}})
    site.ask(evil, {"cmd": "_pillar", "grains": {"id": "web1"}})
    assert site.ask(evil, {"cmd": "_mine_get", "fun": "secret", "tgt": "db1"}) == {}


def test_the_events_of_a_request_are_a_mebibyte_together(site):
    minion = site.joined("m")
    site.master.events.clear()
    events = [{"tag": f"t{number}", "data": "x" * 600_000} for number in range(3)]
    site.ask(minion, {"cmd": "_minion_event", "events": events})
    assert [tag for tag, _ in site.master.events] == ["salt/minion/m/custom/t0"]


def test_a_long_override_of_lists_is_merged_in_one_pass():
    numbers = list(range(200_000))
    merged = PILLAR.merge_pillar({"l": numbers}, {"l": numbers[::-1]}, "smart", True)
    assert merged == {"l": numbers}


def test_a_directory_that_is_closed_to_the_master_hides_nothing_else(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("nothing is closed to root")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/l").symlink_to("x")
    (tmp_path / "a").touch()
    (tmp_path / "d").chmod(0o444)
    server = FILES.Requests(saltlite.merge_options(MASTER_OPTIONS, [])[0] | {"file_roots": {"base": [tmp_path]}}, None)
    assert server.file_list({"saltenv": "base"}, 1.0) == ["a"]


def test_no_minion_rotates_away_what_others_have_done(site):
    site.now = site.now // 3600 * 3600 + 3600  # the beginning of an hour
    m1, m2 = site.joined("m1"), site.joined("m2", 1)
    site.master.events.clear()
    flood = {"cmd": "_minion_event", "events": [{"tag": "t", "data": "x" * 900_000}]}
    for _ in range(40):
        site.ask(m1, flood)
    told = sum(len(saltlite.to_json(data)) for _, data in site.master.events)
    assert told <= site.opts["max_event_size"] // 8 + 8192  # and what stands around the data
    site.ask(m2, {"cmd": "_minion_event", "tag": "mine", "data": 1})
    assert site.master.events[-1][0] == "salt/minion/m2/custom/mine"
    site.now += 3600
    site.ask(m1, {"cmd": "_minion_event", "tag": "later", "data": 1})
    assert site.master.events[-1][0] == "salt/minion/m1/custom/later"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_held_requests_are_answered_some_at_a_time(site, monkeypatch, number):
    monkeypatch.setattr(saltlite, "ANSWERED_AT_ONCE", 2)
    for each in range(number):
        assert site.auth(site.minion(f"m{each}")) is None
        site.move(f"m{each}", "minions_pre", "minions")
    assert len(site.admission.look(site.now)) == min(number, 2)
    assert len(site.admission.answer_held(site.now)) == max(0, number - 2) and not site.admission.ready


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_message_that_nobody_has_vouched_for_has_few_parts(more):
    fields, outer = saltlite.MAX_FIELDS, saltlite.MAX_OUTER

    def taken(message):
        try:
            return saltlite.unpack_envelope(pack(message)) is not None
        except PayloadError:
            return False

    assert taken({str(number): 0 for number in range(fields + more)}) == (more < 1)
    assert taken({"load": [0] * (fields + more)}) == (more < 1)
    lists: list[list[object]] = []  # each of them, what is in it, and the map around them count
    while (left := outer - 1 + more - sum(1 + len(each) for each in lists)) > 0:
        lists.append([[]] * min(60, left - 1))
    assert taken({str(number): each for number, each in enumerate(lists)}) == (more < 1)
