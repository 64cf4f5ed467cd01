"""Who may do what, and who did it; files to minions and back. A real master and minion, real users of the system."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import pytest
from in_memory import JID, Site
from live import ENVIRONMENT, SCRIPT, command, public, running_master, running_minion, until

import saltlite

audit = saltlite.packed_leaf("watchers", "audit")
offers = saltlite.packed_leaf("requests", "offers")
cp = saltlite.packed_leaf("commands", "cp")
NAME = "0123456789abcdef" * 2
ACL = {"daemon": ["test.*", "cp.recv_chunked", "cp.hash_file"], "nobody": ["test.ping"]}
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can be other users")


@pytest.fixture(scope="module")
def fleet():
    """A master and a minion, in a directory that other users can pass through."""
    top = Path(tempfile.mkdtemp(prefix="saltlite-operators-"))
    top.chmod(0o755)
    try:
        with running_master(top, {"publisher_acl": ACL}) as master, running_minion(master, "web1"):
            yield master
    finally:
        shutil.rmtree(top)


@pytest.fixture(scope="module", autouse=True)
def environment():
    """Where the program is that other users run: a copy, for this one may lie where they cannot read."""
    with tempfile.TemporaryDirectory(prefix="saltlite-copy-") as directory:
        shutil.copy(SCRIPT, directory)
        shutil.copytree(SCRIPT.parent / "etc", Path(directory, "etc"), ignore=shutil.ignore_patterns("__pycache__"))
        os.chmod(directory, 0o755)
        COPY["PYTHONPATH"] = directory
        yield


COPY = dict(ENVIRONMENT)


# The interpreter may lie there, too. So what a command imports is loaded by running it once as root,
# unseen, and then it is run as the user.
AS_USER = """
import gzip, os, sys, saltlite
uid, argv = int(sys.argv[1]), sys.argv[2:]
kept = [os.dup(1), os.dup(2)]
null = os.open(os.devnull, os.O_WRONLY)
[os.dup2(null, fd) for fd in (1, 2)]
saltlite.main(list(argv))
[stream.flush() for stream in (sys.stdout, sys.stderr)]
[os.dup2(fd, at) for at, fd in enumerate(kept, 1)]
os.setgroups([]), os.setgid(uid), os.setuid(uid)
sys.exit(saltlite.main(argv))
"""


def as_user(uid, *argv):
    """Run a command of saltlite as somebody else."""
    words = [sys.executable, "-c", AS_USER, str(uid), *map(str, argv)]
    return subprocess.run(words, env=COPY, cwd="/", capture_output=True, text=True, timeout=60)


def shell(uid, line):
    """Whether a shell of somebody else's succeeds."""
    return subprocess.run(line, shell=True, user=uid, group=uid, extra_groups=[], capture_output=True).returncode == 0


def lines(master):
    return [json.loads(line) for line in (master.cache / "audit.jsonl").read_text().splitlines()]


# publisher_acl


@root_only
def test_a_user_of_publisher_acl_runs_salt_and_sees_his_own_jobs_and_no_one_elses(fleet):
    done = as_user(1, "salt", "-c", fleet.conf, "-v", "*", "test.ping")
    assert (done.returncode, "True" in done.stdout) == (0, True), done.stderr
    jid = done.stdout.split("jid ")[1].split()[0]
    path = fleet.job_file(jid)
    assert fleet.job(jid)[0]["user"] == "daemon"
    assert shell(1, f"cat {path}") and not shell(65534, f"cat {path}") and not shell(1, f"echo x >> {path}")
    assert not shell(1, f"chmod 666 {path}") and not shell(1, f"rm -f {path}")
    other = fleet.job_file(fleet.submit("*", "test.ping"))
    until(other.exists)
    assert not shell(1, f"cat {other}")
    for closed in ("active", "done", "bad", "new", "done/" + jid[:8]):
        assert not shell(1, f"ls {fleet.jobs}/{closed}"), closed
    for closed in ("events.jsonl", "audit.jsonl", "aes.key", ".lock", "sessions/web1", "minions/web1/grains.json"):
        assert not shell(1, f"cat {fleet.cache}/{closed}"), closed
    assert not shell(1, f"ls {fleet.pki}")


@root_only
def test_a_user_sees_why_he_is_refused_and_no_one_else_does(fleet):
    done = as_user(65534, "salt", "-c", fleet.conf, "*", "test.echo", "secret")
    assert done.returncode == 64 and "its owner nobody may not publish test.echo" in done.stderr
    assert "bin may not publish" in as_user(2, "salt", "-c", fleet.conf, "*", "test.ping").stderr
    why = next(fleet.jobs.glob("bad/*.why"))
    assert not shell(1, f"cat {why}")
    refused = [line for line in lines(fleet) if line["what"] == "refuse" and line["uid"] == 65534][-1]
    assert (refused["user"], refused["fun"], refused["tgt"]) == ("nobody", "test.echo", "*") and "why" in refused
    assert "secret" not in (fleet.cache / "audit.jsonl").read_text()


@root_only
def test_users_cannot_touch_one_anothers_requests_nor_name_days_to_come(fleet):
    new = fleet.jobs / "new"
    (new / ".mine").write_text("{}")
    os.chown(new / ".mine", 1, 1)
    assert not shell(65534, f"rm -f {new}/.mine") and not shell(65534, f"mv {new}/.mine {new}/.yours")
    request = """echo '{"tgt": "*", "fun": "test.ping"}'"""
    assert shell(1, f"{request} > {new}/.x && chmod 640 {new}/.x && mv {new}/.x {new}/99990101000000000000")
    why = fleet.jobs / "bad/99990101000000000000.why"
    until(why.exists)
    assert "is of a day to come" in why.read_text() and not (fleet.jobs / "done/99990101").exists()
    (new / ".mine").unlink()


@root_only
def test_the_tree_is_closed_when_the_option_is_empty_and_no_master_is_seen_by_a_user(tmp_path):
    top = Path(tempfile.mkdtemp(prefix="saltlite-operators-"))
    top.chmod(0o755)
    try:
        with running_master(top, {"publisher_acl": ACL}) as master:
            mode = {name: (master.jobs / name).stat().st_mode & 0o7777 for name in ("new", "active", "done", "bad")}
            assert mode == {"new": 0o3733, "active": 0o711, "done": 0o711, "bad": 0o711}
            master.stop(signal.SIGKILL)
            done = as_user(1, "salt", "-c", master.conf, "*", "test.ping")
            assert done.returncode == 69 and "no master runs" in done.stderr
            master.start()
            (master.conf / "master").write_text((master.conf / "master").read_text().split("publisher_acl")[0])
            assert master.process
            master.process.send_signal(signal.SIGHUP)
            until(lambda: (master.jobs / "new").stat().st_mode & 0o7777 == 0o700)
            assert all((master.jobs / name).stat().st_mode & 0o7777 == 0o700 for name in mode)
            done = as_user(1, "salt", "-c", master.conf, "*", "test.ping")
            assert done.returncode == 64 and "have publisher_acl name you" in done.stderr
    finally:
        shutil.rmtree(top)


def test_a_look_takes_some_requests_and_the_next_one_goes_on(fleet):
    for number in range(100):
        fleet.request(f"many-{number}", tgt="nobody", fun="test.ping")
    until(lambda: not [name for name in os.listdir(fleet.jobs / "new") if name.startswith("many-")])


# the audit


def test_who_did_what_to_whom_is_written_down(fleet):
    jid = fleet.submit("web*", "cmd.run", "echo password")
    fleet.job(jid)
    until(lambda: [line for line in lines(fleet) if line.get("jid") == jid])
    line = next(line for line in lines(fleet) if line.get("jid") == jid)
    line.pop("time")
    wanted = {"what": "publish", "user": "root", "uid": os.geteuid(), "jid": jid, "fun": "cmd.run", "tgt": "web*"}
    assert line == wanted | {"tgt_type": "glob", "minions": 1}
    assert "password" not in (fleet.cache / "audit.jsonl").read_text()
    assert (fleet.cache / "audit.jsonl").stat().st_mode & 0o777 == 0o600
    cancelled = fleet.submit("web1", "test.sleep", "30")
    until(fleet.job_file(cancelled, "active").exists)
    fleet.job_file(cancelled, "active").unlink()
    until(lambda: [line for line in lines(fleet) if line["what"] == "cancel" and line["jid"] == cancelled])


def test_a_key_that_is_moved_by_hand_is_told_from_one_that_the_command_moves(fleet):
    def moves():
        return [(line["act"], line["ids"], line["by"]) for line in lines(fleet) if line["what"] == "key"]

    pem = (fleet.pki / "minions/web1").read_text()
    for name in ("a", "b"):
        saltlite.put(fleet.pki / "minions_pre" / name, pem)
    assert fleet.key("-a", "a", "-y").returncode == 0
    until(lambda: ("accept", ["a"], "command") in moves())
    fleet.mv("b", "minions_pre", "minions")
    until(lambda: ("accept", ["b"], "hand") in moves())
    assert fleet.key("-d", "a,b", "-y").returncode == 0
    (fleet.pki / "minions/c").write_text(pem)
    until(lambda: ("accept", ["c"], "hand") in moves())
    (fleet.pki / "minions/c").unlink()
    until(lambda: ("delete", ["c"], "hand") in moves())
    found = [move for move in moves() if set(move[1]) & {"a", "b"}]
    assert found == [("accept", ["a"], "command"), ("accept", ["b"], "hand"), ("delete", ["a", "b"], "command")]


class Told:
    """The audit of a site in memory."""

    def __init__(self, path):
        self.site = Site(path)
        holder = types.SimpleNamespace(tree=self.site.tree, opts=self.site.opts, jobs=self.site.jobs)
        self.watcher = audit.Watcher(holder)
        self.path = self.site.tree.cache / "audit.jsonl"

    def lines(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_flood_of_refusals_is_counted(tmp_path, monkeypatch, more):
    told = Told(tmp_path)
    data = {"user": "fred", "uid": 5, "why": "so"}
    monkeypatch.setattr(audit.time, "time", lambda: 120.0)
    told.watcher.told([("salt/job/x/refused", data)] * (audit.TOLD + more))
    assert len(told.lines()) == min(audit.TOLD, audit.TOLD + more)
    monkeypatch.setattr(audit.time, "time", lambda: 180.0)
    told.watcher.told([("salt/job/x/refused", data)])
    assert [line["more"] for line in told.lines() if "more" in line] == ([more] if more > 0 else [])


def test_the_master_and_minions_move_keys_too(tmp_path):
    told = Told(tmp_path)
    told.watcher.told([("salt/auth", {"act": "accept", "id": "auto", "result": True})])
    told.watcher.told([("salt/key", {"act": "accept", "id": "hand"}), ("salt/auth", {"act": "accept", "id": "hand"})])
    told.watcher.told([("salt/auth", {"act": "revoke", "id": "auto"}), ("salt/key", {"act": "delete", "id": "auto"})])
    told.watcher.told([("salt/auth", {"act": "pend", "id": "new"})])
    assert [(line["act"], line["ids"], line["by"]) for line in told.lines()] == [
        ("accept", ["auto"], "master"),
        ("accept", ["hand"], "hand"),
        ("delete", ["auto"], "minion"),
    ]


def test_no_minion_writes_the_audit(tmp_path):
    told = Told(tmp_path)
    for what in audit.HANDLED:
        for tag in (
            f"salt/job/{JID}/prog/web1/{what}",
            f"salt/job/{JID}/ret/{what}",
            f"salt/minion/web1/custom/{what}",
        ):
            told.watcher.told([(tag, {"id": "web1", "data": {"user": "root", "uid": 0}})])
    assert not told.path.exists()


@pytest.mark.parametrize("more, rotated", [(-1, False), (0, False), (1, True)])
def test_the_audit_is_rotated_by_size(tmp_path, monkeypatch, more, rotated):
    told = Told(tmp_path)
    event = [("salt/key", {"act": "accept", "id": "m"})]
    monkeypatch.setattr(audit.time, "time", lambda: 1e9 + 0.5)
    told.watcher.told(event)
    monkeypatch.setattr(audit, "MAX_AUDIT", 2 * told.path.stat().st_size - more)
    told.watcher.told(event)
    assert (told.path.with_name("audit.jsonl.1").exists(), told.path.exists()) == (rotated, not rotated)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_queue_that_is_over_ends_in_steps(tmp_path, more):
    module = saltlite.packed_leaf("queues", "master")
    many = module.EXPIRED_AT_ONCE + more
    for number in range(many):
        (tmp_path / "q" / f"m{number}").mkdir(parents=True)
        (tmp_path / "q" / f"m{number}" / JID).write_text('{"until": 1, "load": {}}')
    queue = module.Queue(tmp_path / "q")
    assert len(queue.expire(2.0)) == min(many, module.EXPIRED_AT_ONCE)
    assert len(queue.expire(2.0)) == max(more, 0) and not queue.waiting


# cp


def test_files_and_directories_go_to_minions_and_back(fleet, tmp_path):
    source = tmp_path / "src"
    (source / "sub/empty").mkdir(parents=True)
    (source / "a=b c").write_text("text")
    (source / "sub/big").write_bytes(os.urandom(2_500_000))
    (source / "nil").touch()
    (source / "a=b c").chmod(0o600)
    (source / "sub/big").chmod(0o4755)
    (source / "sub").chmod(0o555)
    out = tmp_path / "out"
    done = command("cp", "-c", fleet.conf, "web*", source, source / "nil", out)
    assert (done.returncode, done.stderr) == (0, "") and "4 files, 2.5 MB, to 1 of 1 minions" in done.stdout
    made = out / "src"
    assert (made / "sub/big").read_bytes() == (source / "sub/big").read_bytes() and (made / "nil").exists()
    modes = {path: (made / path).stat().st_mode & 0o7777 for path in ("a=b c", "sub/big", "sub")}
    assert modes == {"a=b c": 0o600, "sub/big": 0o755, "sub": 0o555} and (made / "sub/empty").is_dir()
    done = command("cp", "-c", fleet.conf, "-L", "web1", source / "a=b c", tmp_path / "name", "--out", "json")
    assert json.loads(done.stdout) == {"web1": {str(tmp_path / "name"): True}}
    back = tmp_path / "back"
    done = command("cp", "-c", fleet.conf, "--from", "*", source, tmp_path / "na*", back)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (back / "web1/src/sub/big").read_bytes() == (source / "sub/big").read_bytes()
    assert (back / "web1/name").read_text() == "text" and (back / "web1/src/sub/empty").is_dir()
    assert os.listdir(fleet.cache / "offers") == []
    done = command("cp", "-c", fleet.conf, "--from", "*", "--max-size", "2M", source, back)
    assert done.returncode == 1 and "--max-size" in done.stdout


def test_a_node_set_is_a_target_of_cp_and_who_is_silent_is_named(fleet, tmp_path):
    absent = fleet.pki / "minions/gone1"
    absent.write_text(public())
    try:
        (tmp_path / "file").write_text("text")
        done = command("cp", "-c", fleet.conf, "-t", "1", "web1,gone1,wbe1", tmp_path / "file", tmp_path / "there")
    finally:
        absent.unlink()
    assert done.stderr == "saltlite: no accepted key is named wbe1; did you mean 'web1'?\n"
    assert (tmp_path / "there").read_text() == "text"
    assert done.returncode == 1 and "gone1" in done.stdout and "Minion did not return. [" in done.stdout, done


def test_what_came_already_is_kept_if_it_is_the_file_and_else_not(fleet, tmp_path):
    """A part of an earlier transfer, right or wrong."""
    source = tmp_path / "file"
    source.write_bytes(os.urandom(1_500_000))
    wanted = saltlite.sha256(source.read_bytes()).hex()
    part = fleet.root.parent / "web1/var/cache/salt/minion/parts" / saltlite.sha256(f"offer\0{wanted}".encode()).hex()
    part.parent.mkdir(exist_ok=True)
    for begun in (source.read_bytes()[:1_000_000], b"x" * 1_000_000):
        part.write_bytes(begun)
        done = command("cp", "-c", fleet.conf, "web1", source, tmp_path / "there")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "there").read_bytes() == source.read_bytes() and not part.exists()
        (tmp_path / "there").unlink()


@root_only
def test_a_user_of_publisher_acl_copies_by_arguments(fleet):
    top = fleet.root.parent
    content = os.urandom(200_000)  # which takes as much room in a request as may be
    (top / "text").write_bytes(content)
    (top / "text").chmod(0o644)
    done = as_user(1, "cp", "-c", fleet.conf, "web1", top / "text", top / "arrived")
    assert done.returncode == 0 and "1 file, 200.0 KB, to 1 of 1" in done.stdout, done.stderr
    assert (top / "arrived").read_bytes() == content
    done = as_user(1, "cp", "-c", fleet.conf, "--from", "web1", "/etc/hosts", top / "x")
    assert done.returncode == 1 and "run this as the master's user" in done.stderr


@pytest.fixture
def site(tmp_path):
    """Minions m and n, and two transfers that m has part in."""
    site = Site(tmp_path)
    site.m, site.n = site.joined("m"), site.joined("n")
    site.place = site.tree.cache / "offers" / NAME
    site.place.mkdir(parents=True)
    (site.place / "0").write_bytes(b"content")
    site.submit(JID, tgt="m", fun="cp.recv_files", arg=[NAME, "hash", "/x", True])
    site.submit(JID[:-1] + "9", tgt="m", fun="cp.send_files", arg=[NAME, ["/x"], 10, 2])
    return site


def test_an_offer_is_for_those_its_job_was_meant_by(site):
    good = {"cmd": "_offered", "jid": JID, "name": NAME, "file": "0", "loc": 0}
    assert site.ask(site.m, good) == {"data": "content"}
    assert site.ask(site.m, good | {"loc": 7}) == site.ask(site.m, good | {"loc": offers.MAX_LOC - 1}) == {"data": ""}
    bad = [{"file": "1"}, {"file": "../0"}, {"file": "00"}, {"loc": -1}, {"loc": "0"}, {"name": "0" * 32}, {"jid": "1"}]
    bad += [{"loc": offers.MAX_LOC}, {"loc": 2**64 - 1}]
    for wrong in [*bad, {"jid": JID[:-1] + "9"}, {"jid": JID[:-1] + "8"}, {"file": None}]:
        assert "why" in site.ask(site.m, good | wrong), wrong
    assert "why" in site.ask(site.n, good)


def test_what_a_minion_sends_has_its_bounds(site):
    good = {"cmd": "_sent", "jid": JID[:-1] + "9", "name": NAME, "file": "0", "loc": 0, "data": b"12345"}
    assert "why" in site.ask(site.n, good) and "why" in site.ask(site.m, good | {"jid": JID})
    assert site.ask(site.m, good) == {"size": 5}
    assert site.ask(site.m, good) == {"size": 5}  # once more, for the reply was lost
    assert site.ask(site.m, good | {"file": "1"}) == {"size": 5}
    assert "why" in site.ask(site.m, good | {"file": "1", "loc": 5, "data": b"x"})  # 10 bytes are allowed
    assert "why" in site.ask(site.m, good | {"file": "2", "data": b""}) and "why" in site.ask(
        site.m, good | {"file": "x"}
    )
    assert sorted(os.listdir(site.place / "m")) == ["0", "1"]
    site.opts["keep_free"] = 1 << 62
    assert site.ask(site.m, good | {"file": "manifest", "data": b"x"}) == ""  # it waits for room


def test_a_minion_named_as_the_progress_keeps_no_other_from_sending(site):
    moved = site.joined("moved")
    site.submit(JID[:-1] + "7", tgt="*", fun="cp.send_files", arg=[NAME, ["/x"], 10, 2])
    good = {"cmd": "_sent", "jid": JID[:-1] + "7", "name": NAME, "file": "0", "loc": 0, "data": b"1"}
    assert site.ask(moved, good) == site.ask(site.m, good) == {"size": 1}


ESCAPES = ["../x", "/x", "a/../../x", "", ".", "a//b", "a/", "a\0b", 5, None, "/".join("a" * (cp.MAX_PARTS + 1))]


@pytest.mark.parametrize("path", ESCAPES, ids=repr)
def test_no_name_of_a_minion_leads_out_of_its_directory(tmp_path, path):
    arrival = cp.Arrival(tmp_path / "stage", tmp_path / "out", 100, 100)
    with pytest.raises((ValueError, KeyError)):
        arrival.take({"path": path, "mode": 0o644, "file": "0", "hash": "", "size": 0})
    assert not (tmp_path / "x").exists() and not (tmp_path / "out/x").exists()


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_list_of_what_arrives_has_its_bounds(tmp_path, monkeypatch, more):
    def entries(text, files=3):
        (tmp_path / "manifest").write_bytes(text)
        return list(cp.Arrival(tmp_path, tmp_path / "out", 1, files).entries(saltlite.sha256(text).hex()))

    def refused(*given):
        with contextlib.suppress(ValueError, OSError):
            return not entries(*given) or False
        return True

    for end in (b"", b"\n"):
        assert refused(b"\n".join([b"1"] * (3 + more)) + end) is (more > 0)
    assert refused(b'"%s"' % (b"x" * (cp.MAX_LINE + more - 2))) is (more > 0)
    monkeypatch.setattr(cp, "MAX_MANIFEST", 100)
    assert refused(b"1\n" * 49 + b"1" * (2 + more), 100) is (more > 0)
    assert refused(b"\n" * (8 << 20))  # of one byte each: nothing is made of them
    (tmp_path / "manifest").unlink()
    os.mkfifo(tmp_path / "manifest")
    with pytest.raises(OSError):
        next(cp.Arrival(tmp_path, tmp_path / "out", 1, 3).entries(""))


@root_only
def test_what_root_lays_down_for_a_master_of_another_user_lies_where_it_was_made(fleet, tmp_path, monkeypatch):
    """The master's user owns these directories, and may have put a link in the place of one by then."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "file").write_text("text")
    cache, make = tmp_path / "cache", os.mkdir
    cache.mkdir()
    args = argparse.Namespace(
        config_dir=str(fleet.conf), tgt="*", tgt_type="glob", dest="/x", source=[str(tmp_path / "file")], timeout=None
    )
    copy = cp.Copy(args)
    monkeypatch.setattr(copy.client, "check_master", lambda: None)
    monkeypatch.setattr(copy.client, "cache", cache)
    os.chown(cache, 65534, 65534)

    def and_a_link(name, *how, **more):
        make(name, *how, **more)
        if name != "offers":
            os.rename(cache / "offers" / name, cache / "moved")
            os.symlink(tmp_path / "secret", cache / "offers" / name)

    place = copy.place()
    os.rename(place, cache / "moved")
    os.symlink(tmp_path / "secret", place)
    copy.lay_down(cp.sources(copy.args.source), place)
    assert sorted(os.listdir(cache / "moved")) == ["0", "manifest"] and os.listdir(tmp_path / "secret") == []
    monkeypatch.setattr(os, "mkdir", and_a_link)
    with pytest.raises(OSError):
        copy.place()
    assert (tmp_path / "secret").stat().st_uid == 0


@pytest.mark.parametrize("minion_id", ["web1", "../secret", "/secret", "."])
def test_what_root_takes_from_a_master_of_another_user_lies_where_it_was_made(fleet, tmp_path, monkeypatch, minion_id):
    """Who has taken over the master owns these directories, and writes the ids of those that have returned."""
    secret, cache = tmp_path / "secret", tmp_path / "cache"
    (secret / "web1").mkdir(parents=True)
    text = saltlite.to_json({"path": "f", "mode": 0o644, "file": "0", "hash": saltlite.sha256(b"x").hex(), "size": 1})
    for name, content in (("manifest", text), ("0", "x")):
        for directory in (secret, secret / "web1"):
            (directory / name).write_text(content)
    cache.mkdir()
    args = argparse.Namespace(
        config_dir=str(fleet.conf), tgt="*", tgt_type="glob", dest=str(tmp_path / "out"), source=["/f"], timeout=None
    )
    copy = cp.Copy(argparse.Namespace(**vars(args), max_files=10, max_size=1000))
    monkeypatch.setattr(copy.client, "check_master", lambda: None)
    monkeypatch.setattr(copy.client, "cache", cache)
    given = minion_id.replace("/secret", str(secret)) if minion_id[0] == "/" else minion_id

    def lines(*asked):
        os.rename(copy.offer, cache / "moved")
        os.symlink(secret, copy.offer)
        yield {"event": "new", "minions": ["web1"]}
        yield {"event": "ret", "id": given, "return": {"hash": saltlite.sha256(text.encode()).hex()}, "retcode": 0}

    monkeypatch.setattr(copy, "run", lines)
    copy.fetch()
    assert sorted(os.listdir(secret)) == ["0", "manifest", "web1"] and len(os.listdir(secret / "web1")) == 2
    assert os.listdir(tmp_path / "out") == [] and not copy.files


def test_a_hash_of_no_length_is_a_sentence(fleet, tmp_path, monkeypatch):
    """A minion says by which kind of hash its file is to be compared."""
    (tmp_path / "file").write_text("text")
    args = argparse.Namespace(
        config_dir=str(fleet.conf), tgt="*", tgt_type="glob", dest="/x", source=[], timeout=None, no_compression=True
    )
    copy = cp.Copy(args)
    said = {"cp.recv_chunked": True, "cp.hash_file": {"hash_type": "shake_128", "hsum": ""}}
    monkeypatch.setattr(copy, "returns", lambda fun, *given: {"web1": said[fun]})
    (source,) = cp.sources([str(tmp_path / "file")])
    assert copy.send_one(source, "/x", "*", "glob") == {"web1": "its hash is not known: shake_128"}


@root_only
def test_a_job_of_root_lies_in_the_directory_that_was_looked_at(fleet, tmp_path, monkeypatch):
    """It becomes the master's user's, who may put a link in the place of jobs/new meanwhile."""
    client = saltlite.LocalClient(str(fleet.conf))
    new, secret, put_file = tmp_path / "jobs/new", tmp_path / "secret", client._new_file
    new.mkdir(parents=True)
    secret.mkdir()
    os.chown(new, 65534, 65534)

    def and_a_link(*given):
        new.rename(tmp_path / "moved")
        new.symlink_to(secret)
        return put_file(*given)

    monkeypatch.setattr(client, "check_master", lambda: None)
    monkeypatch.setattr(client, "jobs", tmp_path / "jobs")
    monkeypatch.setattr(client, "_new_file", and_a_link)
    jid = client.submit("*", "test.ping", [], {})
    assert os.listdir(secret) == [] and os.listdir(tmp_path / "moved") == [jid]
    assert (tmp_path / "moved" / jid).stat().st_uid == 65534


def test_what_arrives_goes_through_no_link_and_costs_no_more_than_was_asked_for(tmp_path):
    stage, out = tmp_path / "stage", tmp_path / "out"
    stage.mkdir()
    out.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (out / "link").symlink_to(tmp_path / "elsewhere")
    for number in range(3):
        (stage / str(number)).write_bytes(b"12345")
    entry = {"path": "f", "mode": 0o6755, "file": "0", "hash": saltlite.sha256(b"12345").hex(), "size": 5}
    arrival = cp.Arrival(stage, out, 10, 2)
    with contextlib.suppress(OSError):
        arrival.take(entry | {"path": "link/f", "file": "2"})
    assert os.listdir(tmp_path / "elsewhere") == []
    arrival.take(entry)
    assert (out / "f").stat().st_mode & 0o7777 == 0o755
    for wrong in ({"path": "g"}, {"path": "g", "file": "../stage/1"}, {"path": "g", "mode": "x"}):
        with pytest.raises(ValueError):
            arrival.take(entry | wrong)
    with pytest.raises(ValueError, match="another hash"):
        arrival.take(entry | {"path": "g", "file": "1", "hash": "0"})
    with pytest.raises(ValueError, match="max-size"):
        arrival.take(entry | {"path": "g", "file": "2"})
    assert sorted(os.listdir(out)) == ["f", "link"]
    arrival.take({"path": "d/e", "mode": 0o700})
    with pytest.raises(ValueError, match="max-files"):
        arrival.take({"path": "d/h", "mode": 0o700})
