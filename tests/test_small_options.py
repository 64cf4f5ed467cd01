"""What one option or one flag of Salt's asks for: pass phrases of keys, grains in the start event, what stays of a
minion whose key goes, and !!binary as Salt reads it."""

from __future__ import annotations

import pytest
import yaml
from live import command, running_master, running_minion, until, write_config

import saltlite

PHRASE = "correct horse: \u00e4"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!!binary aGVsbG8=", b"hello"),
        ("!!binary aGVsbG8", b"hello"),
        ("!!binary a1b2c3", b"kV\xf6s"),
        ("!!binary aGk", b"hi"),
        ("!!binary |\n  aGVs\n  bG8\n", b"hello"),
        ("!!binary ''", b""),
    ],
)
def test_binary_needs_no_padding(text, value):
    assert yaml.load(f"a: {text}", saltlite.yaml_loader()) == {"a": value}


@pytest.mark.parametrize("text", ["!!binary a", "!!binary [a]", "!!binary {a: b}", "!!binary \u00e4"])
def test_binary_that_is_none_is_an_error(text):
    with pytest.raises((yaml.YAMLError, ValueError)):
        yaml.load(f"a: {text}", saltlite.yaml_loader())


def test_keys_are_encrypted_with_their_pass_phrases_and_events_have_grains(tmp_path):
    phrases = {"key_pass": PHRASE, "signing_key_pass": "s", "master_sign_pubkey": True}
    grains = {"grains": {"rack": 7}, "start_event_grains": ["rack", "nope", "os_family"]}
    with running_master(tmp_path, phrases) as master, running_minion(master, "m1", grains):
        assert b"ENCRYPTED" in (master.pki / "master.pem").read_bytes()
        assert saltlite.read_private_key(master.pki / "master_sign.pem", "s")
        [event] = [each for each in master.events() if each["tag"] == "salt/minion/m1/start"]
        assert event["data"]["grains"]["rack"] == 7 and "os_family" in event["data"]["grains"]
        assert event["data"]["data"].startswith("Minion m1 started at ") and "nope" not in event["data"]["grains"]
        kept = master.cache / "minions/m1"
        assert master.returns("m1", "mine.send", "test.ping") == {"m1": True}
        done = master.key("-y", "-d", "m1", "--preserve-minions=true")
        assert done.returncode == 0, done.stderr
        until(lambda: not (kept / "preserve").exists() and not (master.cache / "sessions/m1").exists())
        assert sorted(path.name for path in kept.iterdir()) == ["grains.json", "mine.json", "pillar.json"]


@pytest.mark.parametrize(
    ("written", "given", "why"),
    [
        (PHRASE, "", "its pass phrase is missing or another one"),
        (PHRASE, "x", "its pass phrase is missing or another one"),
        ("", PHRASE, "is not encrypted"),
        (PHRASE, "sdb://vault/x", "no sdb:// address"),
    ],
)
def test_a_pass_phrase_that_does_not_fit_is_said_at_the_start(tmp_path, written, given, why):
    write_config(tmp_path / "master", {"key_pass": given})
    (tmp_path / "pki/master").mkdir(parents=True, mode=0o700)
    pem = saltlite.PrivateKey.generate(2048, written)
    (tmp_path / "pki/master/master.pem").write_bytes(pem)
    done = command("master", "-c", tmp_path)
    assert done.returncode == 1 and why in done.stderr and PHRASE not in done.stderr
    assert (tmp_path / "pki/master/master.pem").read_bytes() == pem


@pytest.mark.parametrize("preserve", [True, False])
def test_what_is_kept_of_a_minion_stays_if_that_is_the_masters_option(site, preserve):
    site.opts["preserve_minion_cache"] = preserve
    m1 = site.joined("m1")
    site.tree.data.put("m1", "grains", {"a": 1})
    assert site.ask(m1, {"cmd": "revoke_auth", "id": "m1"}) is True
    site.look()
    assert site.tree.data.grains("m1") == ({"a": 1} if preserve else None)


@pytest.mark.parametrize("preserve", [True, "True", False])
def test_a_minion_that_goes_may_ask_for_what_is_kept_of_it(site, preserve):
    m1 = site.joined("m1")
    site.tree.data.put("m1", "grains", {"a": 1})
    assert site.ask(m1, {"cmd": "revoke_auth", "id": "m1", "preserve_minion_cache": preserve}) is True
    site.look()
    assert site.tree.data.grains("m1") == ({"a": 1} if preserve is True else None)
    site.tree.forget("m1")
    assert site.tree.data.grains("m1") is None


@pytest.mark.parametrize(("over", "kept"), [(-1, True), (0, True), (1, False)])
def test_grains_of_an_event_count_for_its_size(site, over, kept):
    m1, tag = site.joined("m1"), "salt/minion/m1/start"
    site.master.events.clear()
    room = saltlite.MAX_EVENT - len(saltlite.pack({"data": "", "grains": {"g": "x" * 70000}})) + 70000
    load = {"cmd": "_minion_event", "id": "m1", "tag": tag, "data": "", "grains": {"g": "x" * (room + over)}}
    site.ask(m1, load)
    assert [event[0] for event in site.master.events] == [tag] * kept
