"""The minion's protocol: what masters, and others in between, may send."""

import os
import select
import types

import pytest
from in_memory import KEYS, Site

import saltlite
from saltlite import AuthError, Crypticle, PayloadError, pack, unpack

LOAD = {"fun": "test.ping", "arg": [], "tgt": "*", "jid": "20261123000000000001"}
ODD: list[object] = [None, True, 5, -1, 1.5, "", "x", b"\xff", [], {}, [[]], {"a": {}}]


def reply(site, minion):
    """A reply of credentials, as the master sends it."""
    site.tree.put_key(saltlite.ACCEPTED, minion.id, KEYS[0].public.pem)
    return unpack(site.master.receive(b"e", minion.auth_request(), site.now).data)


def signed(site, fields):
    data = pack(fields)
    return pack({"enc": "clear", "load": data, "sig": site.master.key.sign("PKCS1v15-SHA1", data)})


@pytest.mark.parametrize("name", ["load", "sig"])
def test_any_value_outside_in_an_auth_reply_is_refused_or_ignored(site, name):
    minion = site.minion("m")
    good = reply(site, minion)
    for value in ODD:
        try:
            assert minion.auth_reply(pack(good | {name: value})) != saltlite.GOT_CREDENTIALS, value
        except (AuthError, PayloadError):
            pass
    assert minion.tree.master_key() is None
    assert minion.auth_reply(pack(good)) == saltlite.GOT_CREDENTIALS


@pytest.mark.parametrize("name", ["aes", "session", "sig", "pub_key", "nonce", "ret"])
def test_any_value_inside_a_signed_auth_reply_pins_nothing(site, name):
    minion = site.minion("m")
    good = unpack(reply(site, minion)["load"])
    for value in ODD:
        fields = {"ret": value, "nonce": good["nonce"]} if name == "ret" else good | {name: value}
        try:
            assert minion.auth_reply(signed(site, fields)) != saltlite.GOT_CREDENTIALS, value
        except (AuthError, PayloadError):
            pass
    assert minion.tree.master_key() is None
    assert minion.auth_reply(signed(site, good)) == saltlite.GOT_CREDENTIALS


@pytest.mark.parametrize("port, wanted", [(None, 4505), (0, 4505), (65536, 4505), ("x", 4505), (4510, 4510)])
def test_an_odd_publish_port_is_the_usual_one(site, port, wanted):
    minion = site.minion("m")
    fields = unpack(reply(site, minion)["load"]) | {"publish_port": port}
    assert minion.auth_reply(signed(site, fields)) == saltlite.GOT_CREDENTIALS and minion.publish_port == wanted


def test_what_is_said_of_an_unsigned_answer_is_short(site):
    """It goes into the log, and anybody in between may send 256 MB of it again and again."""
    minion = site.minion("m")
    minion.auth_request()
    for value in ("x" * 100_000, ["x" * 1000] * 100, {"x" * 100_000: 1}):
        assert minion.auth_reply(pack({"enc": "clear", "load": {"ret": value}})) == saltlite.KEY_REFUSED
        assert len(minion.why) < 200


def test_credentials_of_one_auth_answer_no_other(site):
    minion = site.minion("m")
    old = pack(reply(site, minion))
    minion.auth_request()
    with pytest.raises(AuthError, match="another"):
        minion.auth_reply(old)
    assert minion.tree.master_key() is None


def test_credentials_for_another_minion_do_not_hold(site):
    minion, thief = site.minion("m"), site.minion("m", 1)
    data = pack(reply(site, minion))
    thief._nonce = minion._nonce
    assert thief.auth_reply(data) == saltlite.BAD_SIGNATURE
    assert thief.tree.master_key() is None


def test_a_pinned_master_must_sign_what_it_refuses(site):
    minion = site.joined("m")
    minion.auth_request()
    forged = pack({"ret": False, "nonce": minion._nonce})
    sig = KEYS[1].sign("PKCS1v15-SHA1", forged)
    assert minion.auth_reply(pack({"enc": "clear", "load": forged, "sig": sig})) == saltlite.BAD_SIGNATURE
    assert minion.auth_reply(signed(site, {"ret": False, "nonce": minion._nonce})) == saltlite.KEY_REFUSED


def test_a_master_that_cannot_open_the_token_is_not_ours(site):
    minion = site.joined("m")
    fields = unpack(reply(site, minion)["load"])
    for token in (None, b"x", KEYS[0].public.encrypt("OAEP-SHA1", Crypticle.generate().encode())):
        assert minion.auth_reply(signed(site, fields | {"token": token})) == saltlite.BAD_SIGNATURE


def test_a_changed_master_key_names_both_fingerprints_and_the_file(tmp_path):
    one, two = Site(tmp_path / "one"), Site(tmp_path / "two")
    two.take_key(KEYS[1])
    minion = one.joined("m")
    two.tree.put_key(saltlite.ACCEPTED, "m", KEYS[0].public.pem)
    assert two.auth(minion) == saltlite.MASTER_CHANGED
    pinned = minion.tree.pki / "minion_master.pub"
    for word in (saltlite.fingerprint(KEYS[1].public.pem), saltlite.fingerprint(pinned.read_text()), str(pinned)):
        assert word in minion.why
    assert pinned.read_text() == one.master.key.public.pem
    assert one.auth(minion) == saltlite.GOT_CREDENTIALS


# replies


def test_a_reply_answers_its_own_request_only(site):
    minion = site.joined("m")
    first = site.master.receive(b"e", minion.request({"cmd": "_rekey"}, site.now), site.now).data
    minion.request({"cmd": "_rekey"}, site.now)
    with pytest.raises(AuthError, match="another request"):
        minion.reply(first)


def test_any_object_as_a_reply_is_refused(site):
    minion = site.joined("m")
    minion.request({"cmd": "_rekey"}, site.now)
    for value in (*ODD, "bad load", b"\xff" * 63, b"\xff" * 64, b"\xff" * 1000):
        with pytest.raises((AuthError, PayloadError)):
            minion.reply(pack(value))


def test_a_pillar_that_the_master_did_not_sign_is_refused(site):
    """Anybody can seal to the minion's public key."""
    minion, key = site.joined("m"), Crypticle(Crypticle.generate())
    minion.request({"cmd": "_pillar"}, site.now)
    sealed = KEYS[0].public.encrypt("OAEP-SHA1", key.key.encode())
    for value in (*ODD, {"data": b"\xff", "sig": b"\xff"}, {"data": 5, "sig": 5}):
        for message in ({"key": sealed, "pillar": key.dumps(value)}, {"key": value, "pillar": value}):
            with pytest.raises((AuthError, PayloadError)):
                minion.reply(pack(message))


# publications


@pytest.mark.parametrize("name", ["enc", "load", "sig", "sig_algo"])
def test_any_value_in_a_publication_is_ignored(site, name):
    minion = site.joined("m")
    good = unpack(site.shared.publication(LOAD, site.now))
    for value in ODD:
        with pytest.raises((AuthError, PayloadError)) as caught:
            minion.publication([pack(good | {name: value})])
        assert caught.type is not saltlite.Undecipherable, value
    assert minion.publication([pack(good)])


@pytest.mark.parametrize("name", ["fun", "jid", "serial", "arg", "tgt"])
def test_any_value_in_a_load_that_the_master_signed_is_a_load_or_ignored(site, name):
    minion = site.joined("m")
    for serial, value in enumerate([*ODD, "../../x"], 1):
        box = site.shared.crypticle.dumps(LOAD | {"serial": serial} | {name: value})
        sig = site.master.key.sign("PKCS1v15-SHA1", box)
        try:
            load = minion.publication([pack({"enc": "aes", "load": box, "sig": sig, "sig_algo": "PKCS1v15-SHA1"})])
        except (AuthError, PayloadError):
            continue
        assert saltlite.MINION_JID.fullmatch(load["jid"]) and isinstance(load["fun"], str | list), value


def test_serials_rise_and_begin_anew_with_another_key(site):
    minion = site.joined("m")
    frames = [site.shared.publication(LOAD, site.now) for _ in range(3)]
    assert minion.publication([frames[1]])
    for frame in (frames[0], frames[1]):
        with pytest.raises(AuthError, match="repeated"):
            minion.publication([frame])
    assert site.auth(minion) == saltlite.GOT_CREDENTIALS  # the same key: the count goes on
    with pytest.raises(AuthError, match="repeated"):
        minion.publication([frames[1]])
    assert minion.publication([frames[2]])
    site.shared.rotate(site.now)
    minion.new_aes(site.shared.aes)
    assert minion.publication([site.shared.publication(LOAD, site.now - 86400)])


def test_a_frame_behind_a_topic_is_the_same_publication(site):
    """zmq_filtering puts a topic before it."""
    minion = site.joined("m")
    assert minion.publication([b"topic", site.shared.publication(LOAD, site.now)])["jid"] == LOAD["jid"]


def test_whoever_has_not_authenticated_opens_nothing(site):
    with pytest.raises(saltlite.Undecipherable):
        site.minion("n").publication([site.shared.publication(LOAD, site.now)])


# what a minion sends


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [deep(63), deep(64), deep(100), deep(400), deep(600), {(1, 2): 3}, {"a": 1, b"a": 2}, {b"\xff": 1}, {1: {2: {3}}}],
    ids=lambda value: f"{value!r:.25}",
)
def test_whatever_a_function_gives_the_master_takes_the_return(site, value):
    """What a master would refuse becomes a sentence here; otherwise it would be sent again for ever."""
    minion = site.joined("m")
    load = saltlite.make_return(minion.opts, LOAD | {"jid": "req"}, value, 0, True)
    assert site.ask(minion, load) is None
    assert len(os.listdir(next((site.tree.jobs / "done").iterdir()))) == 1


def test_a_signed_message_is_served_too(site):
    minion = site.joined("m", minion_sign_messages=True)
    assert site.ask(minion, {"cmd": "_rekey"})["aes"] == site.shared.aes


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_publications_that_wait_for_a_key(site, monkeypatch, more):
    """Who publishes is not known yet, so there is room for so many of them, and for so many bytes."""
    minion = site.minion("m")
    loop = types.SimpleNamespace(opts=minion.opts, tree=minion.tree, key=minion.key, loop=saltlite.Loop(select.poll()))
    message = pack({"enc": "aes", "load": b"\xff" * 1000})
    link = saltlite.Link(loop, "127.0.0.1")
    for _ in range(saltlite.Link.MAX_UNREAD + more):
        link.publication([message])
    assert link.unread == [message] * min(link.MAX_UNREAD, link.MAX_UNREAD + more)
    link.read_unread()
    assert link.unread == []  # what could not be opened is not kept a second time
    monkeypatch.setattr(saltlite.Link, "MAX_UNREAD_BYTES", 5 * len(message) + more)
    for _ in range(6):
        link.publication([message])
    assert len(link.unread) == (5 if more >= 0 else 4)
