"""The master's protocol: bytes in, bytes out. What test_protocol shows of keys and joining stands there."""

import itertools
import os
import time

import pytest
from crash import crashes
from in_memory import KEYS, Site
from odd import ODD, untraced

import saltlite
from saltlite import BAD_LOAD, AuthError, Crypticle, pack, unpack

REKEY = {"cmd": "_rekey"}


def auth(minion="m", key=0, **change):
    load = {"cmd": "_auth", "id": minion, "nonce": "0" * 32, "pub": KEYS[key].public.pem} | change
    return pack({"enc": "clear", "load": load, "version": 3})


def inner(reply):
    """What is inside a reply to `_auth`, whose signature is checked by nobody here."""
    return unpack(unpack(reply.data)["load"])


# one reply, one reason, no trace


@pytest.mark.parametrize("name", ["enc_algo", "sig_algo", "id", "pub", "nonce", "cmd", "token", "autosign_grains"])
def test_any_value_in_any_field_of_auth_is_answered_without_a_traceback(site, caplog, name):
    site.opts["autosign_grains_dir"] = str(site.path)
    site.tree.put_key(saltlite.ACCEPTED, "m", KEYS[0].public.pem)
    for number, value in enumerate(ODD):
        request = auth(**({"nonce": f"{number:032x}"} | {name: value}))
        assert site.master.receive(b"e", request, site.now) is not None, value
    assert untraced(caplog)


@pytest.mark.parametrize("name", ["enc_algo", "sig_algo", "version", "id", "load", "enc"])
def test_any_value_in_any_field_of_the_envelope_is_answered_without_a_traceback(site, caplog, name):
    minion = site.joined("m")
    for value in ODD:
        for load in ({"cmd": "_rekey"}, {"cmd": "_pillar"}):
            message = unpack(minion.request(load, site.now)) | {name: value}
            assert site.master.receive(b"e", pack(message), site.now) is not None, value
    assert untraced(caplog)


@pytest.mark.parametrize("version", [2, 0, None, True])
def test_who_speaks_an_older_protocol_is_named_with_its_address(site, caplog, version):
    site.master.peers.sender.address = "192.0.2.9"
    request = unpack(auth("old1")) | {"version": version}
    assert b"bad load" in site.master.receive(b"e", pack(request), site.now).data
    assert f"'old1' at 192.0.2.9 speaks an older protocol ({version!r}, not 3)" in caplog.text


@pytest.mark.parametrize("name", ["cmd", "nonce", "ts", "tok", "id", "events", "tag", "grains", "jid", "return"])
def test_any_value_in_any_field_of_a_request_is_answered_without_a_traceback(site, caplog, name):
    minion = site.joined("m")
    for number, (value, cmd) in enumerate(itertools.product(ODD, site.master.requests)):
        load = {"cmd": cmd, "nonce": f"{number:032x}", "ts": int(site.now), "tok": minion.tok, "id": "m", "jid": "req"}
        box = minion.session.dumps(load | {"return": 1} | {name: value})
        message = {"enc": "aes", "load": box, "version": 3, "id": "m"}
        assert site.master.receive(b"e", pack(message), site.now) is not None, (cmd, value)
    site.jobs.flush()
    assert saltlite.to_json(site.master.events + site.jobs.events) and untraced(caplog)


@pytest.mark.parametrize("data", [{b"\xff": 1}, {"a": {b"\xff": [b"\xfe"]}}, 2**70, [[]] * 99], ids=repr)
def test_what_minions_send_as_events_can_be_written(site, data):
    site.ask(site.joined("m"), {"cmd": "_minion_event", "tag": "x", "data": data})
    tag, event = site.master.events[-1]
    assert tag == "salt/minion/m/custom/x" and saltlite.from_json(saltlite.to_json(event))


def test_the_largest_message_is_as_configured(site):
    minion = site.joined("m")
    for spare in (-1, 0, 1):
        data = minion.request(REKEY, site.now)
        site.opts["max_message_size"] = len(data) + spare
        assert (site.master.receive(b"e", data, site.now).data != BAD_LOAD) == (spare >= 0)


def test_a_clear_message_is_small(site):
    padding = saltlite.MAX_CLEAR - len(auth(filler="")) - 2
    assert site.master.receive(b"e", auth(filler="x" * padding), site.now) is None  # held
    assert site.master.receive(b"e", auth(filler="x" * (padding + 10)), site.now).data == BAD_LOAD


@pytest.mark.parametrize("minion", ["a", "a" * 253, "A.b-c_d", "_"])
def test_the_shortest_and_the_longest_id_are_held(site, minion):
    assert site.master.receive(b"e", auth(minion), site.now) is None
    assert (site.tree.pki / "minions_pre" / minion).exists()


@pytest.mark.parametrize("minion", ["a" * 254, ".a", "-a", "a.", "a..b", "ä", "a\u202eb", "a\n", "a b", "*", "\u0430"])
def test_an_id_that_is_none_gets_a_signed_false_and_leaves_nothing(site, minion):
    before = site.digest()
    assert inner(site.master.receive(b"e", auth(minion), site.now)) == {"ret": False, "nonce": "0" * 32}
    assert site.digest() == before and not site.admission.held


def test_refusals_are_signed_up_to_a_hundred_in_a_second(site):
    replies = [site.master.receive(b"e", auth("../x"), site.now) for _ in range(150)]
    assert len([reply for reply in replies if reply]) == saltlite.REFUSALS_PER_SECOND
    assert site.master.receive(b"e", auth("../x"), site.now + 1)


def test_only_the_newest_auth_of_an_id_is_held(site):
    for number in range(5):
        assert site.master.receive(number, auth(nonce=f"{number:032x}"), site.now) is None
    site.move("m", "minions_pre", "minions")
    replies = site.look()
    assert list(replies) == [4] and unpack(unpack(replies[4])["load"])["nonce"] == f"{4:032x}"
    assert site.look() == {}


def test_a_recorded_auth_played_again_is_not_answered(site):
    site.tree.put_key(saltlite.ACCEPTED, "m", KEYS[0].public.pem)
    assert site.master.receive(b"e", auth(), site.now)
    assert site.master.receive(b"e", auth(), site.now) is None and site.admission.auths == 1
    assert site.master.receive(b"e", auth(nonce="1" * 32), site.now)


def test_more_minions_than_max_minions_are_told_full(tmp_path):
    site = Site(tmp_path, max_minions=1)
    first = site.joined("m")
    site.tree.put_key(saltlite.ACCEPTED, "n", KEYS[1].public.pem)
    assert inner(site.master.receive(b"e", auth("n", 1), site.now))["ret"] == "full"
    assert site.auth(first) == saltlite.GOT_CREDENTIALS


# sessions and repeats


def test_a_repeat_is_refused_also_when_the_key_file_was_touched(site):
    minion = site.joined("m")
    data = minion.request(REKEY, site.now)
    assert site.master.receive(b"e", data, site.now).data != BAD_LOAD
    os.utime(site.tree.pki / "minions" / "m", (1, 1))
    site.look()
    assert site.master.receive(b"e", data, site.now).data == BAD_LOAD
    site.tree.put_key(saltlite.ACCEPTED, "m", KEYS[0].public.pem)  # another file with the same key
    site.look()
    assert site.master.receive(b"e", data, site.now).data == BAD_LOAD
    assert site.ask(minion, REKEY)["aes"] == site.shared.aes


def test_requests_may_overtake_each_other_within_the_window(site):
    minion = site.joined("m")
    late = minion.request(REKEY, site.now)
    site.now += saltlite.FRESH - 10
    site.ask(minion, REKEY)
    assert site.master.receive(b"e", late, site.now).data != BAD_LOAD
    too_late = minion.request(REKEY, site.now - saltlite.FRESH - 10)
    assert site.master.receive(b"e", too_late, site.now).data == BAD_LOAD


def test_clocks_of_master_and_minion_need_not_agree(site):
    minion, years = site.joined("m"), 10 * 365 * 86400
    for shift in (0, years, 2 * years):
        request = minion.request(REKEY, site.now - years + shift)
        assert minion.reply(site.master.receive(b"e", request, site.now).data)


def test_nonces_of_a_session_are_not_kept_for_ever(site):
    minion = site.joined("m")
    for _ in range(20):
        site.now += saltlite.FRESH
        site.ask(minion, REKEY)
    assert len(site.peers.known["m"].nonces) <= 3


def test_a_worn_out_session_is_renewed_at_the_next_auth(site):
    minion = site.joined("m")
    first = minion.session.key
    assert site.auth(minion) == saltlite.GOT_CREDENTIALS and minion.session.key == first
    site.now += site.opts["publish_session"] + 100
    assert site.auth(minion) == saltlite.GOT_CREDENTIALS and minion.session.key != first
    assert site.ask(minion, REKEY)


def test_the_shared_key_is_renewed_when_worn_out_and_minions_follow_without_rsa(site):
    minion = site.joined("m")
    load = {"fun": "test.ping", "arg": [], "tgt": "*", "jid": "1" * 20}
    assert minion.publication([site.shared.publication(load, site.now)])
    site.now += site.opts["publish_session"] + 100
    frame, auths = site.shared.publication(load, site.now), site.admission.auths
    with pytest.raises(saltlite.Undecipherable):
        minion.publication([frame])
    minion.new_aes(site.ask(minion, REKEY)["aes"])
    assert minion.publication([frame]) and site.admission.auths == auths


def test_a_broken_session_file_costs_one_authentication(site):
    minion = site.joined("m")
    site.peers.known.clear()
    (site.tree.cache / "sessions" / "m").write_bytes(b"\xff")
    with pytest.raises(AuthError):
        site.ask(minion, REKEY)
    assert site.auth(minion) == saltlite.GOT_CREDENTIALS and site.ask(minion, REKEY)


def test_a_broken_shared_key_file_is_replaced(site):
    for broken in (b"", b"\xff\n", b"short\n"):
        (site.tree.cache / "aes.key").write_bytes(broken)
        site.start()
        Crypticle(site.shared.aes)
        assert (site.tree.cache / "aes.key").read_text().strip() == site.shared.aes


def test_publications_after_a_clock_that_was_set_back_are_taken(site):
    """Also across a restart: serials rise, or the key is another."""
    minion = site.joined("m")
    load = {"fun": "test.ping", "arg": [], "tgt": "*"}
    for number, shift in enumerate((0, -3600, 0, -86400)):
        site.now += shift
        frame = site.shared.publication(load | {"jid": f"{number:020}"}, site.now)
        assert minion.publication([frame])["jid"] == f"{number:020}"
    list(site.peers.saving())
    site.now -= 7200
    site.start()
    minion.new_aes(site.shared.aes)
    assert minion.publication([site.shared.publication(load | {"jid": "9" * 20}, site.now)])


# keys and crashes


def test_an_accepted_key_is_in_one_place_whatever_the_step_the_master_dies_at(tmp_path):
    """`_auth` of a pending key that a stub now accepts: the move, the stub, the session."""
    site = Site(tmp_path)
    stub, data = site.tree.pki / "minions_autosign" / "m", auth()

    def prepare():
        for path in [*site.tree.pki.glob("*/m"), *site.tree.cache.glob("sessions/m")]:
            path.unlink()
        site.tree.put_key(saltlite.PENDING, "m", KEYS[0].public.pem)
        stub.touch()
        site.tree.keys = site.tree.scan(site.now)
        return lambda: site.master.receive(b"e", data, time.time())

    for _ in crashes(prepare, "auth", "_apply", "move", "use_autosign_stub", "put_session", "put", "_session"):
        assert len(site.files() & {"minions", "minions_pre", "minions_rejected", "minions_denied"}) == 1
        site.tree.prepare(2048)
        site.tree.keys = site.tree.scan(site.now)
        assert inner(site.master.receive(b"e", data, time.time()))["enc"] == "pub"
        assert site.files() - {"minions_autosign"} == {"minions"}


def test_a_key_removed_between_the_request_and_the_reply_gets_no_credentials(site):
    """The master looks again before secrets are sealed."""
    site.tree.put_key(saltlite.ACCEPTED, "m", KEYS[0].public.pem)
    os.unlink(site.tree.pki / "minions" / "m")
    load = {"id": "m", "nonce": "0" * 32}
    with pytest.raises(AuthError):
        site.admission.credentials(load, KEYS[0].public, site.now)
    assert not (site.tree.cache / "sessions" / "m").exists()


def test_a_removed_identity_leaves_nothing_to_its_successor(site):
    minion = site.joined("m")
    site.ask(minion, {"cmd": "_pillar", "grains": {"role": "secret"}})
    os.unlink(site.tree.pki / "minions" / "m")
    site.look()
    assert site.tree.data.grains("m") is None and not (site.tree.cache / "minions" / "m").exists()
    successor = site.joined("m", 1)
    assert successor.session.key != minion.session.key and successor.aes.key != minion.aes.key


def test_open_mode_really_accepts_everything(tmp_path):
    site = Site(tmp_path, open_mode=True)
    site.tree.put_key(saltlite.REJECTED, "m", KEYS[0].public.pem)
    for key in (0, 1, 0):
        assert site.auth(site.minion("m", key)) == saltlite.GOT_CREDENTIALS
        assert site.tree.read_key(site.tree.key_path(saltlite.ACCEPTED, "m")).pem == KEYS[key].public.pem


@pytest.mark.parametrize("bits", [3072, 4096])
def test_keys_of_every_other_size_join_on_both_sides(tmp_path, bits):
    key = saltlite.PrivateKey(saltlite.PrivateKey.generate(bits))
    site = Site(tmp_path)
    site.take_key(key)
    site.tree.put_key(saltlite.ACCEPTED, "m", key.public.pem)
    minion = site.minion("m")
    minion.key, minion.tok = key, key.private_encrypt(b"salt")
    for _ in range(2):  # without and with a token
        assert site.auth(minion) == saltlite.GOT_CREDENTIALS
    assert site.ask(minion, {"cmd": "_pillar"}) == {}
