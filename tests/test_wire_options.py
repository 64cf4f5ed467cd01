"""Options of the wire that both sides may switch on: signed returns, vouched master keys, key sizes and algorithms,
topics, presence, IPv6."""

import base64
import functools
import json
import shutil
import signal
import socket
import threading

import pytest
import zmq
from in_memory import KEYS, Site
from leaves import ZEROMQ
from live import running_master, running_minion, until

import saltlite
from saltlite import (
    GOT_CREDENTIALS,
    MASTER_CHANGED,
    SIG_ALGOS,
    AuthError,
    Failure,
    pack,
    signed_form,
    unpack,
)

SHA224 = {"encryption_algorithm": "OAEP-SHA224", "signing_algorithm": "PKCS1v15-SHA224"}
LONG = "a text of more than thirty-two bytes, which today's msgpack marks as a text"
RETURN = {"cmd": "_return", "id": "m", "jid": "req", "fun": "test.echo", "fun_args": [LONG], "return": LONG}
VERIFY = {"verify_master_pubkey_sign": True}


# Signed returns


def kept(site):
    """The returns that the master has written down."""
    lines = [line for path in site.tree.jobs.glob("done/*/*.jsonl") for line in path.read_text().splitlines()]
    return [line["return"] for line in map(json.loads, lines) if line["event"] == "ret"]


@pytest.mark.parametrize("algorithms", [{}, SHA224], ids=["SHA1", "SHA224"])
@pytest.mark.parametrize("value", [LONG, b"\xff" * 40, b"text" * 10, {"a": [1, None, "x" * 300]}, "\udc80", 2**70])
def test_signed_returns_are_taken(tmp_path, value, algorithms):
    site = Site(tmp_path, require_minion_sign_messages=True, drop_messages_signature_fail=True)
    minion = site.joined("m", minion_sign_messages=True, **algorithms)
    assert site.ask(minion, RETURN | {"return": value}) is None
    assert len(kept(site)) == 1


@pytest.mark.parametrize("required", [True, False])
def test_unsigned_returns_are_refused_only_where_signatures_are_required(tmp_path, required):
    site = Site(tmp_path, require_minion_sign_messages=required, drop_messages_signature_fail=True)
    minion = site.joined("m")
    events = len(site.master.events)
    site.ask(minion, RETURN)
    assert kept(site) == ([] if required else [LONG])
    assert len(site.master.events) == events


@pytest.mark.parametrize("drop", [True, False])
def test_a_wrong_signature_is_refused_only_with_the_option(tmp_path, drop):
    site = Site(tmp_path, require_minion_sign_messages=True, drop_messages_signature_fail=drop)
    minion = site.joined("m")
    sig = KEYS[0].sign("PKCS1v15-SHA1", signed_form(RETURN | {"return": "something else", "ts": int(site.now) + 1}))
    site.ask(minion, RETURN | {"sig": sig})
    assert kept(site) == ([] if drop else [LONG])


def test_another_minions_signature_is_refused(tmp_path):
    site = Site(tmp_path, drop_messages_signature_fail=True)
    minion = site.joined("m")
    sig = KEYS[1].sign("PKCS1v15-SHA1", signed_form(RETURN | {"ts": int(site.now) + 1}))
    site.ask(minion, RETURN | {"sig": sig})
    assert kept(site) == []


def test_what_is_signed_is_the_load_in_the_order_of_the_wire_without_nonce_and_tok(tmp_path):
    """As salt/channel/client.py signs and AESFuncs._return verifies; bytes made by hand."""
    site = Site(tmp_path)
    minion = site.joined("m", minion_sign_messages=True)
    box = unpack(minion.request({"cmd": "x", "return": LONG}, 5))["load"]
    load = site.peers.known["m"].crypticle.loads(box)
    assert list(load) == ["cmd", "return", "nonce", "ts", "tok", "id", "sig"]
    text = bytes([0xD9, len(LONG)]) + LONG.encode()
    form = b"\x84\xa3cmd\xa1x\xa6return" + text + b"\xa2ts\x05\xa2id\xa1m"
    assert KEYS[0].public.verify("PKCS1v15-SHA1", load["sig"], form)


# A signing key that vouches for the master's


def hand_over(site, minion, name="master_sign"):
    """The operator copies the public signing key to the minion."""
    (minion.tree.pki / f"{name}.pub").write_bytes((site.tree.pki / f"{name}.pub").read_bytes())


def pinned(minion):
    return (minion.tree.pki / "minion_master.pub").read_text()


def changed(site, key=1):
    """The master starts again with another key."""
    (site.tree.pki / "master.pem").unlink()
    pem = KEYS[key]._key.private_bytes(*PEM)
    (site.tree.pki / "master.pem").write_bytes(pem)
    (site.tree.pki / "master.pub").unlink()
    site.start()


_s = saltlite.serialization
PEM = (_s.Encoding.PEM, _s.PrivateFormat.TraditionalOpenSSL, _s.NoEncryption())


def waiting(site, **opts):
    """An accepted minion that has not spoken yet."""
    site.tree.put_key(saltlite.ACCEPTED, "m", KEYS[0].public.pem)
    site.look()
    return site.minion("m", **opts)


@pytest.mark.parametrize("algorithms", [{}, SHA224], ids=["SHA1", "SHA224"])
def test_a_changed_master_key_that_is_vouched_for_is_taken(tmp_path, algorithms):
    site = Site(tmp_path, master_sign_pubkey=True)
    minion = waiting(site, **VERIFY, **algorithms)
    hand_over(site, minion)
    assert site.auth(minion) == GOT_CREDENTIALS
    before = pinned(minion)
    changed(site)
    assert site.auth(minion) == GOT_CREDENTIALS
    assert pinned(minion) == KEYS[1].public.pem != before
    assert site.ask(minion, {"cmd": "_file_envs"}) == ["base"]
    assert site.auth(minion) == GOT_CREDENTIALS  # now with a token for the new key


def test_a_changed_master_key_is_refused_without_the_option(tmp_path):
    site = Site(tmp_path, master_sign_pubkey=True)
    minion = waiting(site)
    hand_over(site, minion)
    assert site.auth(minion) == GOT_CREDENTIALS  # a signature nobody asked for does no harm
    before = pinned(minion)
    changed(site)
    assert site.auth(minion) == MASTER_CHANGED
    assert pinned(minion) == before


def unsigned(inner):
    del inner["pub_sig"]


def garbled(inner):
    inner["pub_sig"] = b"!" * 40


def other(inner):
    inner["pub_sig"] = base64.b64encode(KEYS[2].sign("PKCS1v15-SHA1", inner["pub_key"].encode()))


@pytest.mark.parametrize("harm", [unsigned, garbled, other])
@pytest.mark.parametrize("when", ["first contact", "changed"])
def test_a_master_key_that_is_not_vouched_for_is_refused_and_pins_nothing(tmp_path, harm, when):
    site = Site(tmp_path, master_sign_pubkey=True)
    minion = waiting(site, **VERIFY)
    hand_over(site, minion)
    if when == "changed":
        assert site.auth(minion) == GOT_CREDENTIALS
        changed(site)
    before = minion.master and minion.master.pem
    inner = unpack(unpack(site.master.receive("e", minion.auth_request(), site.now).data)["load"])
    harm(inner)
    data = pack(inner)
    reply = {"enc": "clear", "load": data, "sig": site.master.key.sign("PKCS1v15-SHA1", data)}
    assert minion.auth_reply(pack(reply)) == MASTER_CHANGED
    assert "master_sign.pub does not vouch for" in minion.why
    assert (minion.tree.master_key() and minion.tree.master_key().pem) == before


def test_without_the_signing_key_nobody_is_believed(tmp_path):
    site = Site(tmp_path, master_sign_pubkey=True)
    minion = waiting(site, **VERIFY)
    assert site.auth(minion) == MASTER_CHANGED
    assert "master_sign.pub" in minion.why and "No such file" in minion.why


@pytest.mark.parametrize("always, event", [(False, GOT_CREDENTIALS), (True, MASTER_CHANGED)])
def test_a_known_key_needs_no_signature_unless_always(tmp_path, always, event):
    site = Site(tmp_path)
    minion = site.joined("m")
    minion.opts |= {**VERIFY, "always_verify_signature": always}
    assert site.auth(minion) == event


def test_signature_from_a_file_needs_no_signing_key(tmp_path):
    site = Site(tmp_path, master_sign_pubkey=True, master_sign_key_name="vouch")
    assert not (site.tree.pki / "master_sign.pem").exists()
    assert (site.tree.pki / "vouch.pem").stat().st_mode & 0o777 == 0o400
    sig = site.admission.pub_signatures["PKCS1v15-SHA1"]
    (site.tree.pki / "vouch.pem").unlink()
    site.opts["master_use_pubkey_signature"] = True
    with pytest.raises(Failure, match="master_pubkey_signature cannot be read"):
        site.start()
    (site.tree.pki / "master_pubkey_signature").write_bytes(sig)
    site.start()
    assert not (site.tree.pki / "vouch.pem").exists()
    minion = waiting(site, **VERIFY, master_sign_key_name="vouch")
    hand_over(site, minion, "vouch")
    assert site.auth(minion) == GOT_CREDENTIALS


def test_signing_key_stays_what_it_is(tmp_path):
    site = Site(tmp_path, master_sign_pubkey=True)
    before = (site.tree.pki / "master_sign.pem").read_bytes()
    site.start()
    assert (site.tree.pki / "master_sign.pem").read_bytes() == before
    assert site.admission.pub_signatures.keys() == SIG_ALGOS.keys()


def test_a_master_with_a_new_key_starts_without_the_sessions_of_the_former(tmp_path):
    site = Site(tmp_path)
    minion = site.joined("m")
    aes = site.shared.aes
    site.start()
    assert site.ask(minion, {"cmd": "_file_envs"}) == ["base"] and site.shared.aes == aes
    changed(site)
    assert site.shared.aes != aes
    with pytest.raises(AuthError):
        site.ask(minion, {"cmd": "_file_envs"})


@pytest.mark.parametrize("opts, error", [({}, AuthError), (VERIFY, saltlite.Unverified)])
def test_a_publication_of_another_master_is_a_reason_to_ask_only_where_masters_may_change(tmp_path, opts, error):
    site = Site(tmp_path)
    minion = site.joined("m")
    minion.opts |= opts
    site.take_key(KEYS[1])
    with pytest.raises(AuthError) as raised:
        minion.publication([site.shared.publication({"fun": "a.b", "arg": [], "tgt": "*", "jid": "1" * 20}, site.now)])
    assert raised.type is error


# Key sizes and algorithms


@functools.cache
def private(bits):
    return saltlite.PrivateKey(saltlite.PrivateKey.generate(bits))


ALGORITHMS = [(enc, sig) for enc in saltlite.ENC_ALGOS for sig in SIG_ALGOS]


@pytest.mark.parametrize("enc, sig", ALGORITHMS)
@pytest.mark.parametrize("master_bits, minion_bits", [(2048, 3072), (3072, 4096), (4096, 2048), (4096, 4096)])
def test_sizes_and_algorithms_go_together(tmp_path, master_bits, minion_bits, enc, sig):
    site = Site(tmp_path, publish_signing_algorithm=sig, drop_messages_signature_fail=True)
    site.take_key(private(master_bits))
    opts = {"encryption_algorithm": enc, "signing_algorithm": sig, "minion_sign_messages": True}
    minion = site.minion("m", **opts)
    minion.key = private(minion_bits)
    minion.tok = minion.key.tok
    site.tree.put_key(saltlite.ACCEPTED, "m", minion.key.public.pem)
    site.look()
    assert site.auth(minion) == GOT_CREDENTIALS
    assert site.auth(minion) == GOT_CREDENTIALS  # now with a token
    assert site.ask(minion, {"cmd": "_pillar", "grains": {}}) == {}
    assert site.ask(minion, RETURN) is None
    assert kept(site) == [LONG]
    load = {"fun": "test.ping", "arg": [], "tgt": "*", "jid": "1" * 20}
    assert minion.publication([site.shared.publication(load, site.now)]) == load


# Addresses


@pytest.mark.parametrize(
    "master, found",
    [
        ("salt", ("salt", 4506)),
        ("salt:5000", ("salt", 5000)),
        ("10.0.0.1", ("10.0.0.1", 4506)),
        ("10.0.0.1:5000", ("10.0.0.1", 5000)),
        ("::1", ("::1", 4506)),
        ("[::1]", ("::1", 4506)),
        ("[::1]:5000", ("::1", 5000)),
        ("fe80::1%eth0", ("fe80::1%eth0", 4506)),
        ("[fe80::1%eth0]:5000", ("fe80::1%eth0", 5000)),
    ],
)
def test_master_is_a_host_an_address_or_one_with_a_port(master, found):
    assert saltlite.host_and_port(master, 4506) == found


@pytest.mark.parametrize("master", ["salt:", "salt:x", "[::1", "[::1]:", "[::1]x", "[salt]:1", "[]:1", "::1]", ""])
def test_an_odd_master_is_refused(master):
    with pytest.raises(Failure, match="must be a host"):
        saltlite.host_and_port(master, 4506)


@pytest.mark.parametrize(
    "address, text",
    [("127.0.0.1", "127.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("::1", "::1"), ("fe80::1%eth0", "fe80::1")],
)
def test_an_address_has_one_text(address, text):
    assert ZEROMQ.plain(address) == text


# With sockets


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


NEEDS_IPV6 = pytest.mark.skipif(not has_ipv6(), reason="NOT TESTED: this machine has no ::1")
IPV6 = [
    pytest.param("::1", "::1", {}, id="address"),
    pytest.param("::", "[::1]:{port}", {"master_port": 1}, id="address and port"),
    pytest.param("::", "localhost", {"ipv6": True}, id="name"),
]


@NEEDS_IPV6
@pytest.mark.parametrize("interface, to, opts", IPV6)
def test_ipv6(tmp_path, interface, to, opts):
    with running_master(tmp_path, {"interface": interface, "ipv6": True}) as master:
        where = {"master": to.format(port=master.options["ret_port"])}
        with running_minion(master, "six", opts | where):
            assert master.returns("six", "test.ping") == {"six": True}


def test_presence_comes_and_goes(tmp_path):
    opts = {"presence_events": True, "loop_interval": 0.1}
    with running_master(tmp_path, opts) as master:

        def told(tag, **data):
            return sum(e["tag"] == f"salt/presence/{tag}" and e["data"] == data for e in master.events())

        with running_minion(master, "web1") as minion:
            until(lambda: told("change", new=["web1"], lost=[]), what="web1 is present")
            master.stop()
            master.start()
            until(lambda: told("change", new=["web1"], lost=[]) == 2, what="web1 is known after a restart")
            minion.stop()
        until(lambda: told("change", new=[], lost=["web1"]), what="web1 is gone")
        until(lambda: told("present", present=[]))


def test_of_two_minions_of_one_address_the_one_that_has_gone_is_down(tmp_path):
    opts = {"presence_events": True, "loop_interval": 0.1}
    both = {"present": ["web1", "web2"]}
    with (
        running_master(tmp_path, opts) as master,
        running_minion(master, "web1"),
        running_minion(master, "web2") as gone,
    ):
        until(lambda: both in [event["data"] for event in master.events()], what="both are there")
        gone.stop(signal.SIGKILL)
        master.says("web2 is down", seconds=5)
        assert "web1 is down" not in master.text()
        gone.start()
        gone.connected()
        assert master.returns("*", "test.ping") == {"web1": True, "web2": True}


def test_after_a_restart_the_silent_are_known_by_where_they_were(tmp_path):
    site = Site(tmp_path)
    minion = site.joined("m")
    site.peers.sender = saltlite.Sender("10.0.0.1")
    site.ask(minion, {"cmd": "_file_envs"})
    site.save()
    site.start()
    assert site.peers.last("m").address == "10.0.0.1" and site.peers.last("x").address == ""
    site.peers.sender = saltlite.Sender("10.0.0.2")
    site.ask(minion, {"cmd": "_file_envs"})
    assert site.peers.last("m").address == "10.0.0.2"


def test_what_an_older_release_has_remembered_is_read(tmp_path):
    site = Site(tmp_path)
    (site.tree.cache / "sessions/.heard").write_text('{"m": [5, 7.5, ["00"]]}')
    assert site.tree.heard() == {"m": [5, 7.5, ["00"]]}


def test_an_idle_minion_follows_a_master_whose_key_was_replaced(tmp_path):
    with running_master(tmp_path, {"master_sign_pubkey": True}) as master:
        pki = tmp_path / "web1/pki/minion"
        pki.mkdir(parents=True, mode=0o700)
        shutil.copy(master.pki / "master_sign.pub", pki)
        with running_minion(master, "web1", VERIFY):
            before = (pki / "minion_master.pub").read_text()
            master.stop()
            for name in ("master.pem", "master.pub"):
                (master.pki / name).unlink()
            master.start()
            until(lambda: master.returns("web1", "test.ping") == {"web1": True}, what="web1 answers its new master")
            assert (pki / "minion_master.pub").read_text() == (master.pki / "master.pub").read_text().strip() != before


@pytest.mark.parametrize("ours, theirs", [(True, True), (True, False), (False, False)])
def test_topics_reach_the_filtering_and_the_plain(tmp_path, ours, theirs):
    with running_master(tmp_path, {"zmq_filtering": ours}) as master:
        with running_minion(master, "web1", {"zmq_filtering": theirs}):
            assert master.returns("*", "test.ping") == {"web1": True}
            assert master.returns("-L", "web1", "test.ping") == {"web1": True}


def test_publications_carry_the_topic_that_all_hear(tmp_path):
    with running_master(tmp_path, {"zmq_filtering": True}) as master, zmq.Context() as context:
        with context.socket(zmq.XSUB) as sub, running_minion(master, "web1"):
            sub.connect(f"tcp://127.0.0.1:{master.options['publish_port']}")
            heard = []

            def listen():
                while not heard and sub.poll(20000):
                    heard.append(sub.recv_multipart())

            sub.send(b"\x01broadcast")
            thread = threading.Thread(target=listen)
            thread.start()
            while thread.is_alive():
                master.returns("-L", "web1", "test.ping")
                thread.join(0.1)
    assert [frame[:9] for frame in heard[0]][0] == b"broadcast" and len(heard[0]) == 2


@pytest.mark.parametrize(
    "host, ipv6, found", [("::1", False, 1), ("::1", True, 1), ("salt", True, 1), ("salt", False, 0)]
)
def test_sockets_of_both_roles_get_keep_alive_and_ipv6_from_the_options(host, ipv6, found):
    opts = {"tcp_keepalive": True, "tcp_keepalive_idle": 77, "tcp_keepalive_cnt": 5, "tcp_keepalive_intvl": 9}
    with zmq.Context() as context, context.socket(zmq.DEALER) as made:
        saltlite.packed_leaf("wires", "minion").keep_alive(made, opts | {"ipv6": ipv6}, host)
        values = [made.getsockopt(getattr(zmq, f"TCP_KEEPALIVE{name}")) for name in ("", "_IDLE", "_CNT", "_INTVL")]
        assert values == [1, 77, 5, 9] and made.getsockopt(zmq.IPV6) == found
