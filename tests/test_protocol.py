"""Master and minion protocol joined in memory, on a real tree, with a passed clock: keys, joining, jobs."""

import itertools
import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from in_memory import JID, KEYS, MASTER_PEM, NOW, PING, Site

import saltlite
from saltlite import (
    ACCEPTED,
    ASK,
    BLOCKED,
    PENDING,
    REJECT,
    REJECTED,
    SIGN,
    UNKNOWN,
    AuthError,
    Crypticle,
    pack,
    unpack,
)

# Keys: the table


def wanted(open_mode, stored, same, policy):
    """The table once more, as a program: (act, result, what is done to the tree, the state that follows, reply)."""
    if open_mode:
        return "accept", True, "keep" if stored == ACCEPTED and same else "put", "accepted", "credentials"
    if stored in (REJECTED, BLOCKED):
        return "", False, "keep", stored, "false"
    if stored == ACCEPTED:
        return (
            ("accept", True, "keep", "accepted", "credentials") if same else ("denied", False, "put", "denied", "false")
        )
    written = "move" if stored == PENDING else "put"
    if policy == REJECT:
        return "reject", False, written, "rejected", "false"
    if stored == PENDING and not same:
        return "denied", False, "put", "denied", "false"
    if policy == SIGN:
        return "accept", True, written, "accepted", "credentials"
    return "pend", True, "keep" if stored == PENDING else "put", "pending", "held"


STORED = (REJECTED, ACCEPTED, PENDING, BLOCKED, UNKNOWN)
FACTS = list(itertools.product((True, False), STORED, (True, False), (REJECT, SIGN, ASK)))


@pytest.mark.parametrize("facts", FACTS, ids=str)
def test_key_rules_say_what_this_program_says(facts):
    assert tuple(saltlite.key_rule(*facts))[4:] == wanted(*facts)


def test_facts_outside_the_table_are_our_mistake():
    with pytest.raises(saltlite.StateError):
        saltlite.key_rule(False, "limbo", True, ASK)


def test_key_moves_cover_every_pair():
    states = (ACCEPTED, PENDING, REJECTED, UNKNOWN)
    assert saltlite.KEY_MOVES.keys() == set(itertools.permutations(states, 2)) | {(ACCEPTED, "replaced")}


@pytest.mark.parametrize("facts", [f for f in FACTS if f[1] != BLOCKED], ids=str)
def test_auth_does_to_the_tree_what_the_table_says(facts, tmp_path):
    open_mode, stored, same, policy = facts
    site = Site(tmp_path, open_mode=open_mode, auto_accept=policy == SIGN)
    if policy == REJECT:
        (tmp_path / "reject").write_text("m\n")
        site.opts["autoreject_file"] = str(tmp_path / "reject")
    if stored != UNKNOWN:
        site.tree.put_key(stored, "m", KEYS[0].public.pem)
        site.look()
    minion = site.minion("m", 0 if same or stored == UNKNOWN else 1)
    before = site.files()
    event = site.auth(minion)
    _, _, change, becomes, reply = wanted(open_mode, stored, same or stored == UNKNOWN, policy)
    assert event == {"credentials": saltlite.GOT_CREDENTIALS, "held": None, "false": saltlite.KEY_REFUSED}[reply]
    written = {saltlite.DIRECTORIES[becomes]} if change != "keep" else set()
    assert site.files() == (before - {"minions_pre"} if change == "move" else before) | written


class Walk(RuleBasedStateMachine):
    """A random walk: minions with two keys, an operator who moves files, restarts."""

    @initialize(path=st.builds(lambda: __import__("tempfile").mkdtemp()))
    def start(self, path):
        from pathlib import Path

        self.site = Site(Path(path))
        self.minions = [self.site.minion("m", 0), self.site.minion("m", 1)]
        self.other = self.site.joined("other", 2)

    @rule(key=st.integers(0, 1))
    def auth(self, key):
        minion = self.minions[key]
        event = self.site.auth(minion)
        state, stored = self.site.tree.stored_key("m")
        assert (event == saltlite.GOT_CREDENTIALS) == (state == ACCEPTED and stored.pem == KEYS[key].public.pem)

    @rule(
        source=st.sampled_from(["minions", "minions_pre", "minions_rejected", "minions_denied"]),
        goal=st.sampled_from(["minions", "minions_pre", "minions_rejected", None]),
    )
    def operator(self, source, goal):
        path = self.site.tree.pki / source / "m"
        places = {"minions", "minions_pre", "minions_rejected"} - {source}
        if not path.exists() or source == "minions_denied" and self.site.files() & places - {goal}:
            return
        os.unlink(path) if goal is None else os.rename(path, self.site.tree.pki / goal / "m")

    @rule()
    def look(self):
        self.site.look()

    @rule()
    def restart(self):
        self.site.save()
        self.site.start()

    @rule(key=st.integers(0, 1))
    def request(self, key):
        minion = self.minions[key]
        state, stored = self.site.tree.stored_key("m")
        if minion.session is None:
            return
        try:
            self.site.ask(minion, {"cmd": "_rekey"})
            served = True
        except AuthError:
            served = False
        assert not served or state == ACCEPTED and stored.pem == KEYS[key].public.pem

    @rule()
    def publish(self):
        """Whoever is not accepted at this moment cannot open what is published now."""
        self.site.look()
        frame = self.site.shared.publication(PING | {"jid": "2" * 20}, self.site.now)
        state, stored = self.site.tree.stored_key("m")
        for key, minion in enumerate(self.minions):
            if minion.master and not (state == ACCEPTED and stored.pem == KEYS[key].public.pem):
                with pytest.raises(saltlite.Undecipherable):
                    minion.publication([frame])

    @invariant()
    def in_one_state(self):
        if hasattr(self, "site"):
            assert len(self.site.files() & {"minions", "minions_pre", "minions_rejected"}) <= 1


Walk.TestCase.settings = settings(max_examples=15, stateful_step_count=25)
TestWalk = Walk.TestCase


# Holding, revoking, rotating


def test_held_auth_gets_credentials_when_the_file_moves(site):
    minion = site.minion("m")
    assert site.auth(minion) is None
    assert site.files() == {"minions_pre"}
    site.move("m", "minions_pre", "minions")
    assert minion.auth_reply(site.look()["m"]) == saltlite.GOT_CREDENTIALS


def test_held_auth_is_refused_when_the_key_is_rejected(site):
    minion = site.minion("m")
    site.auth(minion)
    site.move("m", "minions_pre", "minions_rejected")
    assert minion.auth_reply(site.look()["m"]) == saltlite.KEY_REFUSED


def test_held_auth_with_another_key_than_the_accepted_gets_nothing(site):
    site.auth(site.minion("m", 0))
    site.tree.put_key(saltlite.ACCEPTED, "m", KEYS[1].public.pem)
    assert site.look() == {}


@pytest.mark.parametrize("how", ["reject", "remove", "replace"])
def test_revoked_minion_is_refused_at_once_and_reads_no_later_publication(site, how):
    minion, other = site.joined("m"), site.joined("other", 2)
    assert site.ask(minion, {"cmd": "_rekey"})["aes"] == minion.aes.key
    if how == "reject":
        site.move("m", "minions", "minions_rejected")
    elif how == "remove":
        os.unlink(site.tree.pki / "minions/m")
    else:
        site.tree.put_key(saltlite.DENIED, "m", KEYS[1].public.pem)
        site.move("m", "minions_denied", "minions")
    with pytest.raises(AuthError):
        site.ask(minion, {"cmd": "_rekey"})
    site.look()
    frame = site.shared.publication(PING, site.now)
    for protocol in (minion, other):
        with pytest.raises(saltlite.Undecipherable):
            protocol.publication([frame])
    other.new_aes(site.ask(other, {"cmd": "_rekey"})["aes"])
    assert other.publication([frame])["jid"] == "1" * 20
    assert not (site.tree.cache / "sessions/m").exists()


def test_key_removed_while_no_master_runs_loses_session_and_shared_key(site):
    minion, other = site.joined("m"), site.joined("other", 2)
    os.unlink(site.tree.pki / "minions/m")
    site.start()
    assert site.shared.aes != minion.aes.key
    with pytest.raises(AuthError):
        site.ask(minion, {"cmd": "_rekey"})
    assert site.ask(other, {"cmd": "_rekey"})["aes"] == site.shared.aes


def test_restart_costs_no_authentication(site):
    minion = site.joined("m")
    site.ask(minion, {"cmd": "_rekey"})
    site.save()
    site.start()
    assert site.ask(minion, {"cmd": "_rekey"})["aes"] == minion.aes.key
    frame = site.shared.publication(PING, site.now)
    assert minion.publication([frame])
    assert site.admission.auths == 0


def test_ten_thousand_moves_are_one_rotation(site):
    for number in range(10_000):
        (site.tree.pki / f"minions/m{number}").write_text(KEYS[0].public.pem)
    site.look()
    before = site.shared.rotations
    for number in range(10_000):
        os.rename(site.tree.pki / f"minions/m{number}", site.tree.pki / f"minions_rejected/m{number}")
    site.look()
    assert site.shared.rotations == before + 1 and not site.tree.accepted()


def test_autosign_stub_is_used_up_only_by_the_auth_it_accepts(site):
    stub = site.tree.pki / "minions_autosign/m"
    site.tree.put_key(saltlite.ACCEPTED, "m", KEYS[1].public.pem)
    stub.touch()
    assert site.auth(site.minion("m", 0)) == saltlite.KEY_REFUSED
    assert stub.exists()
    os.unlink(site.tree.pki / "minions/m")
    assert site.auth(site.minion("m", 0)) == saltlite.GOT_CREDENTIALS
    assert not stub.exists()


def test_autosign_stub_grows_too_old(site):
    stub = site.tree.pki / "minions_autosign/m"
    stub.touch()
    os.utime(stub, (NOW - 121 * 60, NOW - 121 * 60))
    assert site.auth(site.minion("m")) is None
    assert not stub.exists()


def test_autosign_by_grains_and_files_that_others_may_write_are_ignored(site, tmp_path):
    (tmp_path / "grains.d").mkdir()
    (tmp_path / "grains.d/role").write_text("# roles\nweb\n")
    site.opts["autosign_grains_dir"] = str(tmp_path / "grains.d")
    minion = site.minion("m", autosign_grains=["role"])
    minion.tree.put_grains({"role": "web"})
    (tmp_path / "grains.d/role").chmod(0o666)
    assert site.auth(minion) is None
    (tmp_path / "grains.d/role").chmod(0o644)
    assert site.auth(minion) == saltlite.GOT_CREDENTIALS


def test_too_many_pending_keys_are_told_full(tmp_path):
    site = Site(tmp_path, max_pending_keys=2)
    assert [site.auth(site.minion(f"m{number}")) for number in range(3)] == [None, None, saltlite.FULL]


def odd_directory(path):
    path.mkdir()


ODD_FILES = {
    "symlink": lambda path: path.symlink_to("/etc/hostname"),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "fifo": os.mkfifo,
    "directory": odd_directory,
    "empty": lambda path: path.write_text(""),
    "text": lambda path: path.write_text("hello"),
    "private": lambda path: path.write_bytes(MASTER_PEM),
    "huge": lambda path: path.write_bytes(b"x" * 1_000_000),
}


@pytest.mark.parametrize("name", ODD_FILES)
def test_odd_file_in_minions_keeps_that_minion_out_and_no_other(site, name):
    other = site.joined("other", 2)
    ODD_FILES[name](site.tree.pki / "minions/m")
    site.look()
    assert site.auth(site.minion("m")) == saltlite.KEY_REFUSED
    assert site.ask(other, {"cmd": "_rekey"})


# What comes in from strangers


def hostile(site):
    """Requests that must change nothing: name -> bytes."""
    m1, m2 = site.joined("m1", 0), site.joined("m2", 1)
    good = {"cmd": "_minion_event", "tag": "x", "data": {}}
    inner = {"nonce": "0" * 32, "ts": int(site.now), "tok": m1.tok, "id": "m1", **good}

    def sealed(load, minion="m1", session=m1.session, **more):
        return pack({"enc": "aes", "load": session.dumps(load), "version": 3, "id": minion} | more)

    yield "junk", b"GET / HTTP/1.1\r\n\r\n"
    yield "empty", b""
    yield "number", pack(5)
    yield "string", pack("x")
    yield "bomb", b"\xdf\xff\xff\xff\xff"
    for version in (-1, 0, 1, 2, 2.9, "3", True, None, [3]):
        yield f"version {version!r}", sealed(inner, version=version)
    yield "another id inside", sealed(inner | {"id": "m2"})
    yield "another id outside", sealed(inner, minion="m2")
    yield "both ids another", sealed(inner | {"id": "m2"}, minion="m2")
    yield "another session", sealed(inner, session=m2.session)
    yield "another tok", sealed(inner | {"tok": m2.tok})
    yield "no tok", sealed({k: v for k, v in inner.items() if k != "tok"})
    yield "no nonce", sealed({k: v for k, v in inner.items() if k != "nonce"})
    yield "odd nonce", sealed(inner | {"nonce": "x" * 32})
    yield "unknown id", sealed(inner | {"id": "nobody"}, minion="nobody")
    for minion in ("../m1", "", ".", "..", "a/b", "a\0b", "a\nb", "x" * 300, 5, None, ["m1"], b"\xff"):
        yield f"id {minion!r:.20}", sealed(inner, minion=minion)
    for cmd in ("publish", "_prep_auth_info", "wheel", "runner", "", None, 5, "__class__", "_send_pub"):
        yield (
            f"clear {cmd!r}",
            pack({"enc": "clear", "load": {"cmd": cmd, "id": "m1", "nonce": "0" * 32}, "version": 3}),
        )
    auth = {"cmd": "_auth", "id": "m9", "nonce": "0" * 32, "pub": KEYS[2].public.pem}
    for name, change in {
        "id": {"id": "../x"}, "pub": {"pub": "junk"}, "no pub": {"pub": None}, "nonce": {"nonce": "x"},
        "algo": {"enc_algo": "ROT13"}, "sig": {"sig_algo": "none"}, "list": {"id": []},
    }.items():  # fmt: skip
        yield f"auth {name}", pack({"enc": "clear", "load": auth | change, "version": 3})
    yield "auth old", pack({"enc": "clear", "load": auth, "version": 2})
    yield "auth large", pack({"enc": "clear", "load": auth | {"pub": "x" * 20_000}, "version": 3})


def test_hostile_requests_change_nothing_and_are_answered_once(site):
    requests = list(hostile(site))
    site.look()
    before, events = site.digest(), len(site.master.events)
    for name, data in requests:
        reply = site.master.receive(b"e", data, site.now)
        assert reply is not None, name
        if name.startswith("auth") and name not in ("auth nonce", "auth old", "auth large"):
            continue  # a signed False, or the name of what is wrong
        assert reply.data == saltlite.BAD_LOAD, name
    assert site.digest() == before
    assert len(site.master.events) == events


def test_a_request_repeated_is_refused_also_after_a_restart(site):
    minion = site.joined("m")
    data = minion.request({"cmd": "_rekey"}, site.now)
    assert site.master.receive(b"e", data, site.now).data != saltlite.BAD_LOAD
    assert site.master.receive(b"e", data, site.now).data == saltlite.BAD_LOAD
    site.save()
    site.start()
    assert site.master.receive(b"e", data, site.now).data == saltlite.BAD_LOAD
    assert site.ask(minion, {"cmd": "_rekey"})


def test_a_minion_whose_clock_goes_back_gets_a_new_session_and_goes_on(site):
    minion = site.joined("m")
    site.ask(minion, {"cmd": "_rekey"})
    request = minion.request({"cmd": "_rekey"}, site.now - 10_000)
    assert site.master.receive(b"e", request, site.now).data == saltlite.BAD_LOAD
    assert site.auth(minion) == saltlite.GOT_CREDENTIALS
    request = minion.request({"cmd": "_rekey"}, site.now - 9_000)
    assert minion.reply(site.master.receive(b"e", request, site.now).data)


def test_events_of_a_minion_stay_under_its_own_name(site):
    minion = site.joined("m")
    tags = ["salt/key", "salt/minion/other/start", "salt/job/1/ret/other", "../../x", "salt/minion/m/start"]
    site.ask(minion, {"cmd": "_minion_event", "events": [{"tag": tag, "data": 1} for tag in tags], "pretag": "salt"})
    found = [tag for tag, data in site.master.events if "data" in data]
    assert found[-1] == "salt/minion/m/start"
    assert all(tag.startswith("salt/minion/m/") for tag in found)
    assert all(tag.startswith("salt/minion/m/custom/") for tag in found[:-1])


def test_unknown_command_gets_an_empty_map(site):
    assert site.ask(site.joined("m"), {"cmd": "cp.push"}) == {}


@pytest.mark.parametrize("enc", saltlite.ENC_ALGOS)
@pytest.mark.parametrize("sig", saltlite.SIG_ALGOS)
def test_every_pair_of_algorithms_joins_and_gets_its_pillar(tmp_path, enc, sig):
    site = Site(tmp_path, publish_signing_algorithm=sig)
    minion = site.joined("m", encryption_algorithm=enc, signing_algorithm=sig)
    assert site.auth(minion) == saltlite.GOT_CREDENTIALS  # once more, with a token
    assert site.ask(minion, {"cmd": "_pillar", "grains": {"os": "Debian"}, "ver": "2"}) == {}
    assert site.tree.data.grains("m") == {"os": "Debian"}


# The minion's side


@pytest.mark.parametrize("state", saltlite.MINION_STATES)
def test_every_event_of_a_minion_state_is_in_the_table_or_an_error(site, state):
    events = {event for row in saltlite.MINION_STATES.values() for event in row}
    for event in events:
        minion = site.minion("m")
        minion.state = state
        if event in saltlite.MINION_STATES[state]:
            assert hasattr(saltlite.Link, minion.step(event)) and minion.state in saltlite.MINION_STATES
        else:
            with pytest.raises(saltlite.StateError):
                minion.step(event)


def test_changed_master_key_is_refused_with_both_fingerprints(site):
    minion = site.joined("m")
    minion.master = KEYS[1].public
    minion.tree.put_master_key(KEYS[1].public.pem)
    event = minion.auth_reply(site.master.receive(b"e", minion.auth_request(), site.now).data)
    assert event in (saltlite.MASTER_CHANGED, saltlite.BAD_SIGNATURE)
    assert minion.tree.master_key().pem == KEYS[1].public.pem


def test_master_finger_pins_the_first_contact(site):
    site.tree.put_key(saltlite.ACCEPTED, "m", KEYS[0].public.pem)
    minion = site.minion("m", master_finger="00:11")
    assert site.auth(minion) == saltlite.MASTER_CHANGED
    assert "00:11" in minion.why and saltlite.fingerprint(site.master.key.public.pem) in minion.why
    assert minion.tree.master_key() is None
    minion = site.minion("m", master_finger=saltlite.fingerprint(site.master.key.public.pem).upper())
    assert site.auth(minion) == saltlite.GOT_CREDENTIALS


def test_forged_publications_are_ignored(site):
    minion, other = site.joined("m"), site.joined("other", 2)
    load = {"fun": "cmd.run", "arg": ["id"], "tgt": "*", "jid": "1" * 20}
    box = other.aes.dumps(load | {"serial": int(site.now * 2e6)})
    forged = {
        "unsigned": {"enc": "aes", "load": box},
        "by another minion": {
            "enc": "aes",
            "load": box,
            "sig_algo": "PKCS1v15-SHA1",
            "sig": KEYS[2].sign("PKCS1v15-SHA1", box),
        },
        "clear": {"enc": "clear", "load": load},
        "no algorithm": {"enc": "aes", "load": box, "sig": b"x"},
    }
    good = unpack(site.shared.publication(load, site.now))
    forged["another box"] = good | {"load": box}
    forged["another algorithm"] = good | {"sig_algo": "PKCS1v15-SHA224"}
    for frame in forged.values():
        with pytest.raises((AuthError, saltlite.PayloadError)) as caught:
            minion.publication([pack(frame)])
        assert caught.type is not saltlite.Undecipherable
    assert minion.publication([pack(good)])["fun"] == "cmd.run"


# Jobs


def test_job_goes_from_new_through_active_to_done(site):
    minion = site.joined("m")
    site.submit(JID, tgt="*", fun="test.ping")
    assert site.jobs.outgoing[0]["jid"] == JID and not (site.tree.jobs / "new" / JID).exists()
    assert site.lines(JID)[0] == "active"
    site.ask(minion, {"cmd": "_return", "jid": JID, "fun": "test.ping", "return": True, "retcode": 0, "success": True})
    state, lines = site.lines(JID)
    assert state == "active" and lines[-1]["event"] == "ret"  # on disk before the reply was made
    site.jobs.tick(site.now)
    state, lines = site.lines(JID)
    assert (state, [line["event"] for line in lines]) == ("done", ["new", "ret", "end"])


def test_first_return_wins_and_late_ones_land_in_the_done_file(site):
    m, n = site.joined("m", 0), site.joined("n", 1)
    site.submit(JID, tgt="*", fun="test.ping", timeout=1, gather_job_timeout=1)
    for value in ("first", "second"):
        site.ask(m, {"cmd": "_return", "jid": JID, "fun": "test.ping", "return": value})
    for _ in range(4):
        site.now += 2
        site.jobs.tick(site.now)
    state, lines = site.lines(JID)
    assert state == "done" and [line["event"] for line in lines] == ["new", "ret", "silent", "end"]
    for _ in range(2):
        site.ask(n, {"cmd": "_return", "jid": JID, "fun": "test.ping", "return": "late"})
    lines = site.lines(JID)[1]
    assert [(line["id"], line["return"]) for line in lines if line["event"] == "ret"] == [("m", "first"), ("n", "late")]
    assert lines[-1]["late"] is True


def test_only_minions_that_were_asked_may_answer(site):
    site.joined("m", 0)
    n = site.joined("n", 1)
    site.submit(JID, tgt="m", fun="test.ping")
    assert site.ask(n, {"cmd": "_return", "jid": JID, "fun": "test.ping", "return": "lie"}) is None
    assert [line["event"] for line in site.lines(JID)[1]] == ["new"]


def test_silent_minions_are_asked_and_running_ones_waited_for(site):
    m, n = site.joined("m", 0), site.joined("n", 1)
    site.submit(JID, tgt="*", fun="test.sleep", arg=[60])
    site.jobs.outgoing.clear()
    site.now += 6
    site.jobs.tick(site.now)
    probe = site.jobs.outgoing.pop()
    assert probe["fun"] == "saltutil.find_job" and probe["arg"] == [JID] and probe["tgt"] == ["m", "n"]
    site.ask(m, {"cmd": "_return", "jid": probe["jid"], "fun": "saltutil.find_job", "return": {"jid": JID}})
    site.ask(n, {"cmd": "_return", "jid": probe["jid"], "fun": "saltutil.find_job", "return": {}})
    site.jobs.tick(site.now)
    events = [(line["event"], line.get("id")) for line in site.lines(JID)[1]]
    assert events == [("new", None), ("running", "m"), ("silent", "n")]
    site.ask(m, {"cmd": "_return", "jid": JID, "fun": "test.sleep", "return": True})
    site.jobs.tick(site.now)
    assert site.lines(JID)[0] == "done"


def test_removed_job_file_cancels(site):
    site.joined("m")
    site.submit(JID, tgt="*", fun="test.sleep", arg=[60])
    site.jobs.outgoing.clear()
    os.unlink(site.jobs.path(JID, "active"))
    site.jobs.look(site.now)
    assert [(load["fun"], load["arg"], load["tgt"]) for load in site.jobs.outgoing] == [
        ("saltutil.kill_job", [JID], "*")
    ]


BAD_REQUESTS = {
    "not JSON": "{",
    "no object": "[]",
    "no function": '{"tgt": "*"}',
    "unknown field": '{"tgt": "*", "fun": "test.ping", "tgt_typ": "list"}',
    "wrong type": '{"tgt": "*", "fun": 5}',
    "no function name": '{"tgt": "*", "fun": "ping"}',
    "odd target": '{"tgt": "( web", "fun": "test.ping", "tgt_type": "compound"}',
    "odd kind": '{"tgt": "*", "fun": "test.ping", "tgt_type": "telepathy"}',
    "odd timeout": '{"tgt": "*", "fun": "test.ping", "timeout": "soon"}',
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_request_is_put_aside_with_the_reason(site, name):
    site.joined("m")
    (site.tree.jobs / "new" / "request").write_text(BAD_REQUESTS[name])
    site.jobs.take_requests(site.jobs.requests(), site.now)
    assert (site.tree.jobs / "bad" / "request").read_text() == BAD_REQUESTS[name]
    assert (site.tree.jobs / "bad" / "request.why").read_text().strip()
    assert not site.jobs.outgoing and not os.listdir(site.tree.jobs / "new")


def test_request_through_a_symlink_is_refused(site, tmp_path):
    (tmp_path / "elsewhere").write_text('{"tgt": "*", "fun": "test.ping"}')
    (site.tree.jobs / "new" / "link").symlink_to(tmp_path / "elsewhere")
    site.jobs.take_requests(site.jobs.requests(), site.now)
    assert not site.jobs.outgoing and (site.tree.jobs / "bad" / "link.why").exists()


def test_active_job_goes_on_after_a_crash_that_cut_its_last_line(site):
    m, n = site.joined("m", 0), site.joined("n", 1)
    site.submit(JID, tgt="*", fun="test.ping")
    site.ask(m, {"cmd": "_return", "jid": JID, "fun": "test.ping", "return": 1})
    with open(site.jobs.path(JID, "active"), "a") as file:
        file.write('{"event": "ret", "id": "n", "ret')
    site.save()
    site.start()
    assert not site.jobs.outgoing  # somebody has answered: it was published
    site.ask(n, {"cmd": "_return", "jid": JID, "fun": "test.ping", "return": 2})
    site.jobs.tick(site.now)
    state, lines = site.lines(JID)
    assert state == "done" and {line["id"]: line["return"] for line in lines if line["event"] == "ret"} == {
        "m": 1,
        "n": 2,
    }


def test_job_that_nobody_answered_is_published_again_after_a_crash(site):
    site.joined("m")
    site.submit(JID, tgt="*", fun="test.ping")
    site.start()
    assert [load["jid"] for load in site.jobs.outgoing] == [JID]


def test_return_that_cannot_be_written_is_not_acknowledged_and_comes_again(site):
    """A file size limit stands in for the full disk: the write fails in the kernel."""
    import resource
    import signal

    minion = site.joined("m")
    site.submit(JID, tgt="*", fun="test.ping")
    load = {"cmd": "_return", "jid": JID, "fun": "test.ping", "return": "x" * 5000}
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = site.lines(JID)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        reply = site.master.receive(b"e", minion.request(load, site.now), site.now)
        assert site.jobs.flush() == {reply.jid}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert site.lines(JID) == before
    site.ask(minion, load)
    assert site.lines(JID)[1][-1]["return"] == "x" * 5000


def test_what_is_sealed_for_one_session_opens_in_no_other():
    one, two = Crypticle(Crypticle.generate()), Crypticle(Crypticle.generate())
    with pytest.raises(AuthError):
        two.loads(one.dumps({"a": 1}))
