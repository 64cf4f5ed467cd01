"""What a peer may send, and what it costs us: bounded time, bounded memory, and never what somebody else has done."""

import resource
import struct
import threading
import time

import msgpack
import pytest
import zmq
from in_memory import JID, KEYS, Site
from live import Minion, free_port, until

import saltlite
from saltlite import AuthError, PayloadError, pack, unpack

# What a message may hold


@pytest.mark.parametrize("key", [1.5, msgpack.Timestamp(1, 0), msgpack.ExtType(5, b"x")], ids=repr)
def test_keys_of_maps_are_texts_and_whole_numbers_and_nothing_else(key):
    for value in ({key: 1}, [{key: 1}], {"a": {key: 1}}):
        with pytest.raises(PayloadError):
            unpack(msgpack.packb(value))


@pytest.mark.parametrize("key", ["a", b"\xff", 5, -1, 2**64 - 1, True, None], ids=repr)
def test_keys_that_salts_data_has_are_taken(key):
    assert unpack(msgpack.packb({key: 1}, use_bin_type=False)) == {key: 1}


@pytest.mark.parametrize("code", [-1, 0, 5, 77, 79, 127])
@pytest.mark.parametrize("data", [b"\0" * 4, b"\0" * 8, b"x"])
def test_extensions_but_salts_date_are_refused(code, data):
    extension = bytes([0xC7, len(data), code & 0xFF]) + data
    for packed in (b"\x91" + extension, b"\x81\xa1a" + extension, b"\x81\xa1a\x91" + extension):
        with pytest.raises(PayloadError):
            unpack(packed)


def colliding():
    """128 KiB of one map, whose keys a sender can choose so that they all have one hash."""
    prime = 2**61 - 1
    keys = [float(2**61 - 1) * 2.0**number for number in range(0, 60)] + [float(n * prime) for n in range(14_000)]
    members = b"".join(b"\xcb" + struct.pack(">d", key) + b"\xc0" for key in dict.fromkeys(keys))
    return b"\xdf" + struct.pack(">I", len(members) // 10) + members


def test_a_message_of_chosen_keys_costs_next_to_nothing():
    data = colliding()
    began = time.thread_time()
    with pytest.raises(PayloadError):
        unpack(data)
    assert time.thread_time() - began < 2, "a map that takes such keys takes 15 s"


def test_nothing_of_a_publication_is_unpacked_before_its_signature_holds(site):
    """The outer map has a few members, and none of them is looked into."""
    minion = site.joined("m")
    many = pack({"enc": "aes", "sig": b"x" * 256, "sig_algo": "PKCS1v15-SHA1", "load": [[] for _ in range(300)]})
    with pytest.raises(PayloadError, match="envelope"):
        minion.publication([many])
    odd = pack({"enc": "aes", "load": {"a": {"b": 1}}, "sig": b"x"})
    with pytest.raises((PayloadError, AuthError)):
        minion.publication([odd])


# Keys


def even_key():
    """A public key with an even modulus, which no library will seal anything for."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    numbers = rsa.RSAPublicNumbers(65537, KEYS[0].public._key.public_numbers().n + 1)
    return numbers.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_key_that_could_never_be_answered_is_refused_at_once(site):
    with pytest.raises(AuthError, match="even"):
        saltlite.PublicKey(even_key())
    before = site.digest()
    load = {"cmd": "_auth", "id": "m", "nonce": "0" * 32, "pub": even_key()}
    reply = site.master.receive(b"e", pack({"enc": "clear", "load": load, "version": 3}), site.now)
    assert unpack(unpack(reply.data)["load"])["ret"] is False
    assert site.digest() == before


@pytest.mark.parametrize("name", ["web 1", "web@1", "../x", "", 5, None], ids=repr)
def test_who_cannot_join_is_named_in_the_log(site, caplog, name):
    load = {"cmd": "_auth", "id": name, "nonce": "0" * 32, "pub": KEYS[0].public.pem}
    site.master.receive(b"e", pack({"enc": "clear", "load": load, "version": 3}), site.now)
    assert repr(name) in caplog.text and "cannot join" in caplog.text


# After a crash


def taken(site, request):
    """Whether the master takes a request, as its loop has it: noted before it is answered."""
    reply = site.master.receive(b"e", request, site.now)
    site.peers.note()
    return reply.data != saltlite.BAD_LOAD


def event(minion, site, skew=0):
    return minion.request({"cmd": "_minion_event", "tag": "t", "data": {"n": 1}}, site.now + skew)


@pytest.mark.parametrize("skew", [0, -86400, 86400])
@pytest.mark.parametrize("saves", [False, True])
def test_what_was_taken_before_a_crash_is_not_taken_again(site, skew, saves):
    minion = site.joined("m")
    before = [event(minion, site, skew) for _ in range(3)]
    assert all(taken(site, request) for request in before)
    if saves:
        site.peers.save()
    site.now += 3
    after = [event(minion, site, skew) for _ in range(3)]
    assert all(taken(site, request) for request in after)
    site.start()  # nothing was saved: as after kill -9
    told = len(site.master.events)
    assert not any(taken(site, request) for request in before + after)
    assert len(site.master.events) == told
    assert taken(site, event(minion, site, skew))  # in the very same second, and without a new session


def test_a_full_disk_leaves_no_half_line_before_the_next_one(site):
    path = site.tree.cache / "sessions/.seen"
    site.peers.note()
    assert not path.exists(), "nothing was taken"
    first, lost, last = (f"m {number} {f'{number}' * 32}\n" for number in (1, 2, 3))
    site.tree.note_seen(first)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            site.tree.note_seen(lost)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    site.tree.note_seen(last)
    assert [ts for _, ts, _ in site.tree.seen()] == [1, 3]


def test_a_cut_line_of_what_was_taken_is_none(site):
    minion = site.joined("m")
    request = event(minion, site)
    assert taken(site, request)
    path = site.tree.cache / "sessions/.seen"
    for text in ("m", "m 5", "m 5 x\n", "\xff\n", path.read_text()[:-5]):
        with open(path, "a") as file:
            file.write(text)
        assert [nonce for _, _, nonce in site.tree.seen()] == [path.read_text().split()[2]]
        path.write_text(path.read_text().split("\n")[0] + "\n")


# A master that says `bad load`


class Refuser(threading.Thread):
    """A master on real sockets, which answers returns with an unsigned `bad load` as long as `refuses` is set."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.options = {"publish_port": free_port(), "ret_port": free_port()}
        self.site = Site(path, publish_port=self.options["publish_port"], auto_accept=True)
        self.refuses, self.refused, self.returns, self.ends = True, 0, [], False
        self.jobs: list[dict] = []

    def run(self):
        context = zmq.Context()
        router, pub = context.socket(zmq.ROUTER), context.socket(zmq.PUB)
        router.bind(f"tcp://127.0.0.1:{self.options['ret_port']}")
        pub.bind(f"tcp://127.0.0.1:{self.options['publish_port']}")
        while not self.ends:
            if self.jobs:
                pub.send(self.site.shared.publication(self.jobs.pop(0), time.time()))
            if router.poll(20):
                *envelope, data = router.recv_multipart()
                reply = self.answer(envelope, data)
                if reply:
                    router.send_multipart([*envelope, reply])
        context.destroy(linger=0)

    def answer(self, envelope, data):
        message = unpack(data)
        if message["enc"] == "aes":
            load = self.site.peers.peer(message["id"]).crypticle.loads(message["load"])
            if load["cmd"] == "_return":
                if self.refuses:
                    self.refused += 1
                    return saltlite.BAD_LOAD
                self.returns.append(load["jid"])
        reply = self.site.master.receive(envelope, data, time.time())
        return reply and reply.data


def test_an_unsigned_refusal_costs_no_return(tmp_path):
    master = Refuser(tmp_path / "master")
    master.start()
    minion = Minion(tmp_path / "web1", master, {"id": "web1", "random_reauth_delay": 1})
    try:
        minion.start()
        minion.connected()
        time.sleep(0.5)  # until its subscription is there
        job = {"fun": "test.ping", "arg": [], "tgt": "*", "tgt_type": "glob", "ret": "", "user": "root"}
        master.jobs += [job | {"jid": JID[:-1] + str(number)} for number in range(3)]
        until(lambda: master.refused >= 7, 30, "many refusals")
        master.refuses = False
        until(lambda: len(set(master.returns)) == 3, 30, f"all three returns\n{minion.log}")
        assert not list((minion.cache / "outbox").glob(".bad-*"))
        minion.stop()
    finally:
        minion.close()
        master.ends = True
        master.join(5)
