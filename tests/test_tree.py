"""The trees of master and minion: real files; a crash is a process that ends after each step."""

import errno
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from crash import crashes

import saltlite
from saltlite import Failure, MasterTree, MinionTree, load_opts, move, names, put, read, sweep

locked = saltlite.packed_leaf("clients", "LocalClient").locked


def content(directory):
    return {name: (directory / name).read_bytes() for name in os.listdir(directory)}


# put, move, read, sweep


@pytest.mark.parametrize("number", [0, 1, 1023, 1024, 1025, 3000])
def test_parts_are_written_one_behind_the_other(number):
    """However many (1,024 go in one call) and long; the reader takes little at a time, and signals cut calls."""
    parts = [bytes([at % 256]) * (at * 7919 % 5000) for at in range(number)]
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    taken = bytearray()

    def take():
        while piece := theirs.recv(3000):
            taken.extend(piece)

    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    with ours, theirs:
        (reader := threading.Thread(target=take)).start()
        try:
            saltlite.write_all(ours.fileno(), *(part if at % 2 else memoryview(part) for at, part in enumerate(parts)))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            ours.shutdown(socket.SHUT_WR)
            reader.join()
    assert taken == b"".join(parts)


def test_put_holds_the_old_or_the_new_whatever_the_step_it_dies_at(tmp_path):
    path, seen = tmp_path / "file", set()

    def prepare():
        sweep(tmp_path)
        path.write_bytes(b"old")
        return lambda: put(path, b"new")

    for _ in crashes(prepare, "put", "write_all", "sync_directory"):
        seen.add(path.read_bytes())
        assert names(tmp_path) == ["file"] and len(os.listdir(tmp_path)) <= 2
        sweep(tmp_path)
        assert os.listdir(tmp_path) == ["file"]
    assert seen == {b"old", b"new"}


def test_move_leaves_the_file_in_exactly_one_place_whatever_the_step_it_dies_at(tmp_path):
    source, target = tmp_path / "a" / "m", tmp_path / "b" / "m"
    source.parent.mkdir()
    target.parent.mkdir()

    def prepare():
        target.unlink(missing_ok=True)
        source.write_bytes(b"key")
        return lambda: move(source, target)

    for _ in crashes(prepare, "move", "sync_directory"):
        assert source.exists() != target.exists()
    assert target.read_bytes() == b"key"


def test_put_leaves_nothing_behind_when_it_fails(tmp_path):
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError):
        put(tmp_path / "directory", b"x")
    assert os.listdir(tmp_path) == ["directory"]
    with pytest.raises(FileNotFoundError):
        put(tmp_path / "nowhere" / "file", b"x")


def test_put_that_finds_no_room_keeps_the_old_file(tmp_path):
    """In a child, for the limit stays; a file size limit fails a write as a full disk does, in its middle."""
    put(tmp_path / "file", b"old")
    script = "import sys, saltlite, pathlib; saltlite.put(pathlib.Path(sys.argv[1]), b'x' * 100_000)"

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    argv = [sys.executable, "-B", "-c", script, str(tmp_path / "file")]
    done = subprocess.run(argv, cwd=Path(saltlite.__file__).parent, preexec_fn=limit, capture_output=True, text=True)
    assert done.returncode == 1 and "File too large" in done.stderr
    assert content(tmp_path) == {"file": b"old"}


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o644])
def test_put_gives_the_mode_whatever_the_umask(tmp_path, mode):
    before = os.umask(0o777)
    try:
        put(tmp_path / "file", "text", mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_put_takes_the_longest_name_there_is(tmp_path):
    put(tmp_path / ("x" * 255), b"x")
    assert names(tmp_path) == ["x" * 255]


def test_put_replaces_a_symlink_and_does_not_follow_it(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("precious")
    put(tmp_path / "link", b"new")
    assert content(tmp_path) == {"precious": b"precious", "link": b"new"}


def test_sweep_takes_what_put_leaves_and_nothing_else(tmp_path):
    kept = {".heard", ".lock", "file", "file.01234567", ".file.0123456", ".file.0123456g", ".file.012345678"}
    for name in kept | {".file.01234567", ".a.b.deadbeef"}:
        (tmp_path / name).touch()
    (tmp_path / ".directory.01234567").mkdir()
    sweep(tmp_path)
    assert set(os.listdir(tmp_path)) == kept | {".directory.01234567"}
    sweep(tmp_path / "nowhere")


def test_names_are_sorted_and_without_dots(tmp_path):
    for name in ("b", "a", ".c"):
        (tmp_path / name).touch()
    assert names(tmp_path) == ["a", "b"] and names(tmp_path / "nowhere") == []


def test_read_takes_up_to_its_limit(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read(tmp_path / "file", 100) == b"x" * 100
    with pytest.raises(OSError) as caught:
        read(tmp_path / "file", 99)
    assert caught.value.errno == errno.EFBIG


def test_read_neither_follows_links_nor_waits(tmp_path):
    (tmp_path / "link").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "directory").mkdir()
    for name in ("link", "fifo", "zero", "directory"):
        with pytest.raises(OSError):
            read(tmp_path / name, 1000)
    with pytest.raises(OSError):
        read(Path("/dev/zero"), 1000)


# directories, locks


def test_directories_are_made_private_and_made_private_again(tmp_path):
    saltlite.make_directory(tmp_path / "a" / "b")
    (tmp_path / "a" / "b").chmod(0o777)
    saltlite.make_directory(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_a_file_where_a_directory_must_be_is_named(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(Failure, match=str(tmp_path / "file")):
            saltlite.make_directory(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can give files away")
def test_somebody_elses_directory_and_key_are_refused(tmp_path):
    tree = MasterTree(load_opts("master", str(tmp_path)))
    tree.prepare(2048)
    path = tree.key_path(saltlite.ACCEPTED, "m")
    tree.put_key(saltlite.ACCEPTED, "m", (tree.pki / "master.pub").read_text())
    os.chown(path, 1, 1)
    assert tree.stored_key("m") == (saltlite.BLOCKED, None)
    os.chown(path, 0, 0)
    assert tree.stored_key("m")[0] == saltlite.ACCEPTED
    os.chown(tree.pki, 1, 1)
    with pytest.raises(Failure, match="chown"):
        saltlite.make_directory(tree.pki)


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path):
    fd = saltlite.lock(tmp_path / ".lock", "master")
    assert locked(tmp_path / ".lock")
    with pytest.raises(Failure, match=f"pid {os.getpid()}"):
        saltlite.lock(tmp_path / ".lock", "master")
    os.close(fd)
    assert not locked(tmp_path / ".lock") and not locked(tmp_path / "nowhere")
    os.close(saltlite.lock(tmp_path / ".lock", "master"))


# the master's tree


@pytest.fixture(scope="module")
def master_pem():
    return saltlite.PrivateKey.generate(2048)


@pytest.fixture
def tree(tmp_path, master_pem):
    (tmp_path / "pki" / "master").mkdir(parents=True)
    (tmp_path / "pki" / "master" / "master.pem").write_bytes(master_pem)
    tree = MasterTree(load_opts("master", str(tmp_path)))
    tree.prepare(2048)
    return tree


def test_prepare_makes_private_directories_and_a_public_key(tree):
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tree.pki, *tree.cache.rglob("*"))}
    assert set(modes.values()) == {0o700}
    assert (tree.pki / "master.pub").read_text().endswith("-----END PUBLIC KEY-----\n")


def test_a_key_pair_is_whole_after_a_crash_at_any_step(tmp_path, master_pem):
    def prepare():
        for name in os.listdir(tmp_path):
            (tmp_path / name).unlink()
        return lambda: saltlite.make_key_pair(tmp_path, "minion", 2048)

    for _ in crashes(prepare, "make_key_pair"):
        sweep(tmp_path)
        saltlite.make_key_pair(tmp_path, "minion", 2048)
        private = saltlite.read_private_key(tmp_path / "minion.pem")
        assert (tmp_path / "minion.pub").read_text() == private.public.pem + "\n"
        assert sorted(os.listdir(tmp_path)) == ["minion.pem", "minion.pub"]
    assert stat.S_IMODE((tmp_path / "minion.pem").stat().st_mode) == 0o400


def hard_link(path):
    other = path.parent.parent / "other"
    other.write_text((path.parent.parent / "master.pub").read_text())
    os.link(other, path)


ODD = {
    "symlink to a key": lambda path: path.symlink_to(path.parent.parent / "master.pub"),
    "dangling symlink": lambda path: path.symlink_to("nowhere"),
    "symlink to itself": lambda path: path.symlink_to(path.name),
    "symlink to a device": lambda path: path.symlink_to("/dev/zero"),
    "FIFO": os.mkfifo,
    "directory": os.mkdir,
    "hard link": hard_link,
    "huge": lambda path: path.write_bytes(b"-----BEGIN" * 1_000_000),
    "empty": lambda path: path.touch(),
    "text": lambda path: path.write_text("hello"),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "private key": lambda path: path.write_bytes((path.parent.parent / "master.pem").read_bytes()),
    "two keys": lambda path: path.write_text((path.parent.parent / "master.pub").read_text() * 2),
    "half a key": lambda path: path.write_text((path.parent.parent / "master.pub").read_text()[:300]),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("state, found", [("minions", "blocked"), ("minions_pre", "blocked"),
                                          ("minions_rejected", "rejected"), ("minions_denied", "unknown")])  # fmt: skip
def test_an_odd_file_is_no_key_in_any_directory(tree, name, state, found):
    """Deny wins: an odd file in minions/ or minions_pre/ blocks, whatever in minions_rejected/ rejects."""
    ODD[name](tree.pki / state / "m")
    assert tree.stored_key("m") == (found, None)
    assert tree.scan(0.0).get("m", ("none",))[0] in ("accepted", "pending", "rejected", "none")
    assert tree.stored_key("other") == (saltlite.UNKNOWN, None)


STATES = ("minions", "minions_pre", "minions_rejected", "minions_denied", "minions_autosign")


@pytest.mark.parametrize("number", range(32))
def test_of_several_places_the_strictest_counts(tree, number):
    """All 32 subsets of the five directories ; what was denied never blocks."""
    places = {state for bit, state in enumerate(STATES) if number >> bit & 1}
    for state in places:
        (tree.pki / state / "m").write_text((tree.pki / "master.pub").read_text())
    order = (("minions_rejected", "rejected"), ("minions", "accepted"), ("minions_pre", "pending"))
    wanted = next((state for directory, state in order if directory in places), "unknown")
    assert tree.stored_key("m")[0] == tree.scan_one("m")[0] == wanted
    assert tree.scan(0.0).get("m", ("unknown", 0))[0] == wanted
    assert (tree.key_stat("m") is not None) == (wanted == "accepted")
    assert {state for state in STATES if (tree.pki / state / "m").exists()} == places


@pytest.mark.parametrize("name", ["m~", ".m.swp", "4913", "#m#", "m.bak", "a b", "ü", "x\ny", "-rf", "..m", "m."])
def test_names_that_editors_leave_are_nobody_or_somebody_else(tree, name):
    tree.put_key(saltlite.ACCEPTED, "m", (tree.pki / "master.pub").read_text())
    before = tree.scan(0.0)
    (tree.pki / "minions" / name).write_text("x")
    assert tree.scan(0.0).keys() - before.keys() <= {name} if saltlite.valid_id(name) else tree.scan(0.0) == before
    assert tree.stored_key("m")[0] == saltlite.ACCEPTED


def test_a_growing_file_is_no_key_before_it_is_whole(tree):
    """Somebody copies a key slowly."""
    whole = (tree.pki / "master.pub").read_text().strip()
    for size in range(0, len(whole), 7):
        (tree.pki / "minions" / "m").write_text(whole[:size])
        assert tree.stored_key("m") == (saltlite.BLOCKED, None)
    (tree.pki / "minions" / "m").write_text(whole)
    assert tree.stored_key("m")[0] == saltlite.ACCEPTED


def test_a_key_with_other_line_ends_is_the_same_key(tree):
    pem = (tree.pki / "master.pub").read_text()
    (tree.pki / "minions" / "m").write_bytes(b"\r\n" + pem.replace("\n", "\r\n").encode() + b"\r\n")
    assert tree.stored_key("m")[1].pem == saltlite.clean(pem)


def test_a_session_belongs_to_the_key_it_was_made_for(tree):
    key = saltlite.Crypticle.generate()
    tree.put_session("m", key, "aa:bb")
    assert tree.session("m", "aa:bb") == key and tree.session("m", "cc:dd") is None
    assert tree.strangers() == ["m"]
    for broken in (b"", b"\xff\xff", b"one line", b"a\nb\nc", b"x" * 5000):
        (tree.cache / "sessions" / "m").write_bytes(broken)
        assert tree.session("m", "aa:bb") is None and tree.strangers() == ["m"]
    tree.forget("m")
    assert tree.strangers() == []


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b'{"m": 5}', b'{"m": [1, 2]}', b"\xff", b'{"m": ["x", 1, []]}'])
def test_a_broken_file_of_what_was_heard_is_forgotten(tree, broken):
    (tree.cache / "sessions" / ".heard").write_bytes(broken)
    assert tree.heard() == {}


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b"\xff", b"5", b"[" * 100_000])
def test_broken_grains_are_none(tree, broken):
    (tree.cache / "minions" / "m").mkdir()
    (tree.cache / "minions" / "m" / "grains.json").write_bytes(broken)
    assert tree.data.grains("m") is None


def test_grains_with_odd_keys_are_kept(tree):
    tree.data.put("m", "grains", {b"\xff": 1, "list": [b"\xfe"], 5: None})
    assert tree.data.grains("m") == {b"\xff": 1, "list": [b"\xfe"], 5: None}


# the minion's tree


@pytest.fixture
def minion(tmp_path, master_pem):
    (tmp_path / "pki" / "minion").mkdir(parents=True)
    (tmp_path / "pki" / "minion" / "minion.pem").write_bytes(master_pem)
    opts = load_opts("minion", str(tmp_path), {"id": "m"})
    tree = MinionTree(opts)
    tree.prepare(opts)
    return tree


def test_the_schedule_file_is_what_every_release_writes(minion):
    minion.put_schedule()
    path = minion.conf / "minion.d" / "_schedule.conf"
    assert path.stat().st_size == 158
    path.write_text("mine: {}\n")
    minion.put_schedule()
    assert path.read_text() == "mine: {}\n"


def test_a_jid_is_new_once_also_after_a_restart_and_a_crash_at_any_step(minion):
    def prepare():
        (minion.cache / "executed").unlink(missing_ok=True)
        minion.load_executed()
        return lambda: minion.remember("1" * 20)

    for _ in crashes(prepare, "remember"):
        known = (minion.cache / "executed").exists() and (minion.cache / "executed").read_text() == "1" * 20 + "\n"
        minion.load_executed()
        assert ("1" * 20 in minion.executed) == known


def test_executed_jids_are_bounded_in_memory_and_on_disk(minion):
    minion.load_executed()
    for number in range(3 * minion.MAX_EXECUTED):
        minion.remember(f"{number:020}")
    assert len((minion.cache / "executed").read_text().split()) <= 2 * minion.MAX_EXECUTED
    minion.load_executed()
    assert f"{3 * minion.MAX_EXECUTED - 1:020}" in minion.executed


@pytest.mark.parametrize("broken", [b"", b"\xc1", b"\x81\xa1a", b"\xff" * 100])
def test_a_broken_return_is_put_aside_and_a_broken_record_is_none(minion, broken):
    (minion.outbox / "j").write_bytes(broken)
    (minion.proc / "j").write_bytes(broken)
    assert minion.get_return("j") is None and minion.job("j") is None
    assert os.listdir(minion.outbox) == [".bad-j"] and minion.jobs() == []


def test_a_return_comes_out_of_the_outbox_as_it_went_in(minion):
    load = {"jid": "1" * 20, "return": {"text": "ü", "bytes": b"\xff", 5: [None, True, 2.5]}, "retcode": 0}
    minion.put_return(load)
    assert minion.get_return("1" * 20) == load
    minion.acknowledged("1" * 20)
    minion.acknowledged("1" * 20)
    assert minion.get_return("1" * 20) is None and os.listdir(minion.outbox) == []


def test_only_jobs_whose_process_lives_are_running(minion):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    minion.start_job({"jid": "1" * 20, "fun": "a.b"}, gone.pid)
    minion.start_job({"jid": "2" * 20, "fun": "a.b"}, os.getpid())
    gone.wait()
    assert [record["jid"] for record in minion.jobs()] == ["2" * 20]
    minion.end_job("2" * 20)
    assert minion.jobs() == []


@pytest.mark.parametrize("broken", ["", "text", "-----BEGIN PUBLIC KEY-----"])
def test_a_broken_pinned_key_stops_with_a_sentence_and_is_kept(minion, broken):
    path = minion.pki / "minion_master.pub"
    path.write_text(broken)
    with pytest.raises(Failure, match="remove it"):
        minion.master_key()
    assert path.read_text() == broken
