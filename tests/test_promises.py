"""What a peer may send, and what it costs us: bounded time, bounded memory, and never what somebody else has done."""

import os
import re
import resource
import struct
import subprocess
import threading
import time
from pathlib import Path

import msgpack
import pytest
import zmq
from in_memory import JID, KEYS, Site
from live import Minion, command, free_port, running_master, until, write_config
from promises import PROMISES

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
        site.save()
    site.now += 3
    after = [event(minion, site, skew) for _ in range(3)]
    assert all(taken(site, request) for request in after)
    site.start()  # nothing was saved: as after kill -9
    told = len(site.master.events)
    assert not any(taken(site, request) for request in before + after)
    assert len(site.master.events) == told
    assert taken(site, event(minion, site, skew))  # in the very same second, and without a new session


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_what_is_taken_while_the_master_saves_is_not_taken_again_either(site, monkeypatch, steps):
    """A save takes its time, and a crash may come in the middle of it, or in that of the next one."""
    monkeypatch.setattr(saltlite, "SAVED_AT_ONCE", 1)
    minions = [site.joined(name, key) for key, name in enumerate("abc")]
    requests = [event(minion, site) for minion in minions]
    assert all(taken(site, request) for request in requests)
    for number in range(2):
        going = site.peers.saving()
        for _ in range(steps):
            next(going)
        site.now += 1
        requests += (more := [event(minion, site) for minion in minions])
        assert all(taken(site, request) for request in more)
        if number:
            site.save()
    site.start()
    assert not any(taken(site, request) for request in requests)


@pytest.mark.parametrize("more, steps", [(-1, 1), (0, 1), (1, 2)])
def test_minions_that_are_saved_at_once(site, monkeypatch, more, steps):
    monkeypatch.setattr(saltlite, "SAVED_AT_ONCE", 3)
    for number in range(3 + more):
        site.tree.put_key(saltlite.ACCEPTED, f"m{number}", KEYS[0].public.pem)
        site.peers.heard[f"m{number}"] = saltlite.Heard(number, 1.5, ["0" * 32], "192.0.2.1")
    site.look()
    assert len(list(site.peers.saving())) == steps
    assert site.tree.heard() == {f"m{n}": [n, 1.5, ["0" * 32], "192.0.2.1"] for n in range(3 + more)}


@pytest.mark.parametrize("nonces, steps", [(99, 1), (100, 2)])
def test_who_has_asked_much_counts_as_more_of_the_minions_that_are_saved_at_once(site, monkeypatch, nonces, steps):
    """Ten of a hundred thousand nonces each had taken one step of 450 ms."""
    monkeypatch.setattr(saltlite, "SAVED_AT_ONCE", 3)
    for key, name in enumerate("ab"):
        site.joined(name, key)
        site.peers.known[name].nonces = {os.urandom(16): site.peers.known[name].newest for _ in range(nonces)}
    assert len(list(site.peers.saving())) == steps
    assert [len(kept) for _, _, kept, *_ in site.tree.heard().values()] == [nonces] * 2


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


# What minions may take of the disk


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_bytes_of_returns_that_are_kept_of_one_minion_in_a_day(tmp_path, more):
    line = {"event": "ret", "id": "m1", "fun": "x.y", "return": "", "retcode": 0, "success": True, "time": 1e9 + 0.5}
    site = Site(tmp_path, return_quota=5000)
    site.now = 1e9 - 0.5
    m1, m2 = site.joined("m1"), site.joined("m2", 1)
    size = 5000 + more - len(saltlite.to_json(line))
    for minion in (m1, m2):
        site.now = 1e9 - 0.5
        site.ask(minion, {"cmd": "_return", "jid": "req", "fun": "x.y", "return": "x" * size})
    kept = sorted((site.tree.jobs / "done").glob("*/*.jsonl"))
    lines = [saltlite.from_json(path.read_text().splitlines()[1]) for path in kept]
    assert [each["return"] == "x" * size for each in lines] == [more <= 0] * 2
    told = [tag for tag, _ in site.jobs.events if tag.startswith("salt/quota/")]
    assert told == ([] if more <= 0 else ["salt/quota/m1", "salt/quota/m2"])
    site.ask(m1, {"cmd": "_return", "jid": "req", "fun": "x.y", "return": "more"})
    site.now += 86400
    site.ask(m1, {"cmd": "_return", "jid": "req", "fun": "x.y", "return": "another day"})
    texts = [path.read_text() for path in sorted((site.tree.jobs / "done").glob("*/*m1.jsonl"))]
    assert "not kept: m1 has returned more than 5000 bytes today" in texts[1]
    assert saltlite.from_json(texts[1].splitlines()[1])["success"] is False
    assert '"another day"' in texts[2]


def free(path):
    info = os.statvfs(path)
    return info.f_bavail * info.f_frsize


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_minions_leave_some_of_the_disk_free(tmp_path, more):
    (tmp_path / "var").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path / "var")]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("NOT TESTED: mounting a small file system needs root")
    try:
        site = Site(tmp_path, keep_free=0)
        minion = site.joined("m")
        site.submit(JID, tgt="*", fun="test.ping")
        site.opts["keep_free"] = free(tmp_path / "var") + more
        load = {"cmd": "_return", "jid": JID, "fun": "test.ping", "return": True}
        reply = site.master.receive(b"e", minion.request(load, site.now), site.now)
        site.jobs.flush()
        assert (reply is None) == (more > 0), "it is not acknowledged, so it comes again"
        site.opts["keep_free"] = free(tmp_path / "var") + more
        if more > 0:
            assert site.ask(minion, {"cmd": "_mine", "data": {"a.b": 1}}) == ""
            site.opts["keep_free"] = 0
            assert site.ask(minion, load) is None
        assert [line["return"] for line in site.lines(JID)[1] if line["event"] == "ret"] == [True]
    finally:
        subprocess.run(["umount", str(tmp_path / "var")], check=True)


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("name, otherwise", [("fun", ""), ("retcode", 1), ("success", False)])
def test_what_an_event_tells_of_a_return_is_small(name, otherwise, more):
    value = "x" * (saltlite.MAX_TOLD - 2 + more)
    line = saltlite.return_line("m", {"return": 1, name: value}, 1.0)
    assert line[name] == (value if more <= 0 else otherwise)
    out = "x" * (saltlite.MAX_TOLD + more)
    assert saltlite.return_line("m", {"return": 1, "out": out}, 1.0).get("out") == (out if more <= 0 else None)


# Newcomers


def test_a_recording_of_an_auth_does_not_take_the_place_of_the_minion(tmp_path):
    site = Site(tmp_path)
    minion, one, other = site.minion("m"), saltlite.Sender("10.0.0.1"), saltlite.Sender("10.0.0.2")
    request = minion.auth_request()
    site.peers.sender = one
    assert site.master.receive("one", request, site.now) is None
    site.peers.sender = other
    reply = site.master.receive("other", request, site.now)
    assert minion.auth_reply(reply.data) == saltlite.KEY_PENDING
    site.peers.sender = one
    assert site.master.receive("one again", minion.auth_request(), site.now) is None
    one.open = False
    site.peers.sender = other
    assert site.master.receive("after it has gone", minion.auth_request(), site.now) is None
    site.move("m", "minions_pre", "minions")
    assert list(site.look()) == ["after it has gone"]


@pytest.mark.parametrize("most, more", [(100, -1), (100, 0), (100, 1), (101, 1), (99, 1)])
def test_half_of_the_keys_that_wait_may_come_from_one_address(tmp_path, most, more):
    assert saltlite.SHARED_FROM == 100
    site = Site(tmp_path, max_pending_keys=most)
    site.peers.sender = saltlite.Sender("10.0.0.1")
    for number in range(most // 2 + more):
        site.auth(site.minion(f"m{number}"))
    assert len(os.listdir(site.tree.pki / "minions_pre")) == most // 2 + (more if most < 100 else min(more, 0))
    site.peers.sender = saltlite.Sender("10.0.0.2")
    site.auth(site.minion("another"))
    assert (site.tree.pki / "minions_pre/another").exists()
    site.move("m0", "minions_pre", "minions")
    site.look()
    site.peers.sender = saltlite.Sender("10.0.0.1")
    site.auth(site.minion("last"))
    assert (site.tree.pki / "minions_pre/last").exists()


# The machine around it


FOREIGN = [
    "etc/salt",
    "etc/salt/master",
    "etc",
    "etc/salt/pki/master/master.pem",
    "var/cache/salt/master",
    "etc/salt/master.d",
]


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can give files away")
@pytest.mark.parametrize("path", FOREIGN)
@pytest.mark.parametrize("how", ["owner", "everybody", "group"])
def test_no_daemon_starts_where_others_could_change_what_it_reads(tmp_path, path, how):
    conf = tmp_path / "x/etc/salt"
    ports = {"interface": "127.0.0.1", "publish_port": free_port(), "ret_port": free_port()}
    write_config(conf / "master", ports)
    target = tmp_path / "x" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        target.write_text("x") if target.suffix == ".pem" else target.mkdir()
    mode = target.stat().st_mode & 0o777
    if how == "owner":
        os.chown(target, 12345, 0)
    elif how == "everybody":
        target.chmod(mode | 0o002)
    else:
        os.chown(target, 0, 12345)
        target.chmod(mode | 0o020)
    done = command("master", "-c", conf)
    assert done.returncode == 1 and str(target) in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].endswith(" first.")


def test_a_directory_that_is_everybodys_with_a_sticky_bit_may_stand_above(tmp_path):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    with running_master(tmp_path / "tmp") as master:
        assert master.process


def test_every_promise_names_tests_that_are_there():
    there = {}
    for path in Path(__file__).parent.glob("test_*.py"):
        there[path.stem] = set(re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE))
    named = [test.split("::") for _, _, tests in PROMISES for test in tests]
    assert [test for test in named if test[1] not in there[test[0]]] == []
