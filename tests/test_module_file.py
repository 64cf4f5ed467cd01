"""The module file: what is written is there whole or not at all, what is refused, what find finds.

tests/functions.py compares all of its functions with real Salt's."""

from __future__ import annotations

import contextlib
import os
import pwd
import resource
import stat
import tempfile
import time
from pathlib import Path

import pytest
from one_minion import Minion, snapshot

import saltlite

NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "home", None, {"id": "web1"})


def open_to_all(path):
    """Let another user come to a directory of the tests."""
    path.chmod(0o777)
    for part in path.parents:
        if part == Path(tempfile.gettempdir()):
            return
        part.chmod(part.stat().st_mode | 0o011)


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "files"
    home.mkdir()
    return home


def put(path, text="old\n", mode=0o640):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@contextlib.contextmanager
def no_more_than(size):
    """No file of this process grows beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# What is written is there whole or not at all


def test_a_file_that_is_written_keeps_mode_owner_and_attributes(minion, home):
    path = put(home / "x", mode=0o4751 if os.geteuid() == 0 else 0o751)
    with contextlib.suppress(OSError):
        os.setxattr(path, "user.kept", b"1")
    if os.geteuid() == 0:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
        path.chmod(0o4751)
    before = path.stat()
    assert minion("file.write", str(path), "one", "two") == f'Wrote 2 lines to "{path}"'
    after = path.stat()
    assert path.read_text() == "one\ntwo\n" and os.listdir(home) == ["x"]
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert os.listxattr(path) == os.listxattr(path, follow_symlinks=False)
    assert after.st_ino != before.st_ino  # whoever reads the old one reads all of it


def test_a_new_file_has_the_mode_that_umask_leaves(minion, home):
    before = os.umask(0o027)
    try:
        minion("file.write", str(home / "x"), "one")
    finally:
        os.umask(before)
    assert stat.S_IMODE((home / "x").stat().st_mode) == 0o640


def test_whoever_reads_sees_the_old_or_the_new(minion, home):
    path = put(home / "x", "old\n" * 1000)
    with open(path) as reader:
        assert reader.read(4) == "old\n"
        minion("file.write", str(path), *["new"] * 1000)
        assert reader.read() == "old\n" * 999


@pytest.mark.parametrize("names", [1, 2])
@pytest.mark.parametrize("fun", ["write", "append", "prepend", "replace", "copy", "line", "blockreplace"])
def test_a_full_disk_loses_nothing(minion, home, names, fun):
    path = put(home / "x", "old\n")
    if names == 2:
        os.link(path, home / "y")
    long = "n" * 5000
    args = {
        "replace": ["old", long],
        "copy": [str(path)],
        "line": [long, "old", "replace"],
        "blockreplace": ["#b", "#e", long, True],
    }.get(fun, [long])
    if fun == "copy":
        args = [str(path)]
        where = [str(put(home / "long", long))]
    else:
        where = [str(path)]
    left = sorted(os.listdir(home))
    with no_more_than(2000):
        assert "File too large" in minion.error(f"file.{fun}", *where, *args)
    assert path.read_text() == "old\n"
    assert sorted(set(os.listdir(home)) - {"x.bak"}) == left


def test_a_file_with_two_names_keeps_both(minion, home):
    path = put(home / "x", "long old contents\n")
    os.link(path, home / "y")
    minion("file.write", str(path), "new")
    assert (home / "y").read_text() == "new\n"
    minion("file.replace", str(path), "new", "newer", preserve_inode=False, backup=False)
    assert (home / "y").read_text() == "new\n" and path.read_text() == "newer\n"
    os.link(path, home / "z")
    minion("file.copy", str(put(home / "source", "copied\n", 0o604)), str(path))
    assert (home / "z").read_text() == "copied\n" and stat.S_IMODE(path.stat().st_mode) == 0o604


def test_links_are_followed_and_stay_links(minion, home):
    path = put(home / "real/x")
    (home / "link").symlink_to("real/x")
    (home / "new").symlink_to("real/new")
    minion("file.write", str(home / "link"), "new")
    minion("file.write", str(home / "new"), "new")
    assert path.read_text() == (home / "real/new").read_text() == "new\n"
    assert (home / "link").is_symlink() and (home / "new").is_symlink()
    (home / "loop").symlink_to("loop")
    assert "Too many levels of symbolic links" in minion.error("file.write", str(home / "loop"), "x")


@pytest.mark.parametrize("number", [39, 40, 41])
def test_links_are_followed_as_far_as_the_kernel_does(minion, home, number):
    put(home / "0")
    for at in range(number):
        (home / str(at + 1)).symlink_to(str(at))
    ret = minion.run("file.write", str(home / str(number)), "new")
    assert (home / "0").read_text() == ("new\n" if number < 40 else "old\n"), ret


@as_root
@pytest.mark.parametrize(("fun", "args"), [
    ("write", ["x"]), ("append", ["x"]), ("replace", ["old", "x"]), ("comment", ["old"]), ("seek_write", ["x", 0]),
    ("truncate", [1]), ("touch", [5, 5]), ("set_mode", ["0600"]), ("chown", ["nobody", ""]),
])  # fmt: skip
def test_a_link_that_another_user_has_put_into_an_open_directory_is_not_followed(minion, home, fun, args):
    path = put(home / "secret")
    (home / "tmp").mkdir()
    (home / "tmp").chmod(0o1777)
    (home / "tmp/mine").symlink_to(path)
    (home / "tmp/theirs").symlink_to(path)
    os.chown(home / "tmp/theirs", NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)

    def state():
        info = path.stat()
        return path.read_text(), info.st_mode, info.st_uid, info.st_mtime

    before = state()
    assert "is a link that nobody has put into" in minion.error(f"file.{fun}", str(home / "tmp/theirs"), *args)
    assert state() == before
    minion(f"file.{fun}", str(home / "tmp/mine"), *args)
    assert state() != before


@as_root
def test_a_new_directory_is_given_away_and_nothing_that_is_put_into_its_place(minion, home, monkeypatch):
    """Whoever may write to the directory above has put a link there by then: fchmod is the first that comes behind."""
    make, secret = os.mkdir, put(home / "secret/x").parent

    def and_a_link(path, *how, **more):
        make(path, *how, **more)
        os.rmdir(path)
        os.symlink(secret, path)

    monkeypatch.setattr(os, "mkdir", and_a_link)
    before = secret.stat()
    minion.error("file.makedirs_perms", str(home / "d"), "nobody", mode="0777")
    assert (secret.stat().st_uid, secret.stat().st_mode) == (before.st_uid, before.st_mode)


@pytest.mark.parametrize("fun", ["line", "comment_line"])
def test_only_line_ends_end_a_line(minion, home, fun):
    odd = "".join(map(chr, (0x0B, 0x0C, 0x1C, 0x85, 0x2028, 0x2029)))
    path = home / "x"
    path.write_bytes(f"one{odd}two\nthree".encode())
    args = {"line": ["new", None, "insert", "end"], "comment_line": ["two"]}[fun]
    minion(f"file.{fun}", str(path), *args)
    new = "\nnew" if fun == "line" else ""
    assert path.read_bytes() == f"one{odd}two\nthree{new}".encode()


def test_what_has_no_room_beside_it_is_written_in_place(minion):
    before = Path("/proc/self/comm").read_text()
    try:
        minion("file.write", "/proc/self/comm", "renamed")
        assert Path("/proc/self/comm").read_text().strip() == "renamed"
    finally:
        Path("/proc/self/comm").write_text(before)
    assert minion("file.write", "/dev/null", "x") == 'Wrote 1 lines to "/dev/null"'


def test_append_touches_nothing_that_was_there(minion, home):
    path = put(home / "log", "no end")
    inode = path.stat().st_ino
    with open(path, "a") as daemon:
        minion("file.append", str(path), "one")
        daemon.write("from the daemon\n")
    assert path.read_text() == "no end\none\nfrom the daemon\n" and path.stat().st_ino == inode
    assert "is not there" in minion.error("file.append", str(home / "missing"), "x")
    assert "x= is no argument here" in minion.error("file.append", str(path), x="y")


def test_bytes_that_are_no_text_survive_an_edit(minion, home):
    path = home / "x"
    path.write_bytes(b"caf\xe9 = 1\nport = 80\n")
    diff = minion("file.replace", str(path), "80", "81")
    assert "+port = 81" in diff and "\ufffd" in diff
    minion("file.line", str(path), "last = 1", mode="insert", location="end")
    minion("file.comment", str(path), "port")
    minion("file.prepend", str(path), "first")
    assert path.read_bytes() == b"first\ncaf\xe9 = 1\n#port = 81\n\nlast = 1".replace(b"\n\nlast", b"\n\nlast")
    assert "is not UTF-8 text: read it with binary=True" in minion.error("file.read", str(path))
    assert minion("file.read", str(path), binary=True) == path.read_bytes()


@pytest.mark.parametrize("size", [9, 10, 11])
def test_what_is_read_as_a_whole_has_a_bound(minion, home, monkeypatch, size):
    monkeypatch.setitem(minion.execution.functions["file.read"].__globals__, "MAX_CONTENTS", 10)
    path = put(home / "x", "x" * size)
    for fun, args in (
        ("read", []),
        ("search", ["x"]),
        ("replace", ["x", "y"]),
        ("prepend", ["y"]),
        ("contains", ["x"]),
    ):
        path.write_text("x" * size)
        ret, _, success = minion.run(f"file.{fun}", str(path), *args)
        assert success is (size <= 10), ret
        assert success or "is larger than 10 bytes" in ret


# What is refused


@pytest.mark.parametrize("path", ["/", "//", "/.", "/..", "/../", "/etc/.."])
def test_the_root_is_never_removed(minion, path):
    assert minion.error("file.remove", path, test=True) == "/ is not removed."
    assert minion.error("file.rmdir", path, recurse=True, test=True) == "/ is not removed."


def test_mount_points_are_not_removed(minion):
    assert "/proc is not removed, for it is a mount point" in minion.error("file.remove", "/proc", test=True)
    assert "is a mount point" in minion.error("file.remove", "/proc/", test=True)
    mounts = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    holders = {os.path.dirname(place) for place in mounts} - mounts - {"/"}
    for holder in sorted(holders)[:3]:
        assert "holds the mount point" in minion.error("file.remove", holder, test=True)


def test_remove_takes_a_link_and_not_what_it_leads_to(minion, home):
    put(home / "real/x")
    (home / "link").symlink_to("real")
    assert minion("file.remove", str(home / "link") + "/") is True
    assert (home / "real/x").exists() and not (home / "link").is_symlink()
    assert minion("file.remove", str(home / "real")) is True
    assert minion("file.remove", str(home / "real")) is False
    assert os.listdir(home) == []
    assert "must be absolute" in minion.error("file.remove", "files")


@as_root
def test_a_user_who_may_write_to_anothers_file_leaves_it_to_its_owner(home):
    """In a process of that user's: the file keeps owner and inode; a copy is the user's own."""
    path = put(home / "x", mode=0o4666)
    path.chmod(0o4666)
    open_to_all(home)
    inode = path.stat().st_ino
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            module = saltlite.read_leaf(saltlite.leaf_files("modules")["file"], {"__opts__": {}})
            os.setgroups([])
            os.setgid(NOBODY.pw_gid)
            os.setuid(NOBODY.pw_uid)
            module.write(str(path), "theirs")
            module.copy(str(path), str(home / "copy"))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert (path.read_text(), path.stat().st_uid, path.stat().st_ino) == ("theirs\n", 0, inode)
    copy = (home / "copy").stat()
    assert (copy.st_uid, stat.S_IMODE(copy.st_mode)) == (NOBODY.pw_uid, 0o666)
    assert sorted(os.listdir(home)) == ["copy", "x"]


def test_a_directory_is_not_copied_into_itself(minion, home):
    put(home / "d/x")
    assert "the one lies in the other" in minion.error("file.copy", str(home / "d"), str(home / "d/e"), recurse=True)
    assert "/ is not removed" in minion.error(
        "file.copy", str(home), "/", recurse=True, remove_existing=True, test=True
    )


def test_a_copy_is_whole_and_keeps_modes_owners_and_links(minion, home):
    put(home / "d/run", "#!/bin/sh\n", 0o755)
    put(home / "d/e/secret", mode=0o600)
    (home / "d/link").symlink_to("run")
    assert minion("file.copy", str(home / "d"), str(home / "c"), recurse=True) is True
    assert os.readlink(home / "c/link") == "run"
    assert [oct((home / "c" / name).stat().st_mode)[-3:] for name in ("run", "e/secret")] == ["755", "600"]


@pytest.mark.parametrize(("fun", "args", "says"), [
    ("replace", ["(", "x"], "is no regular expression"),
    ("replace", ["old", "\\2"], "cannot stand in place of that"),
    ("replace", ["old", "x", 0, "odd"], "Invalid re flag given: odd"),
    ("replace", ["old", "x", 0, {}], "Invalid re flags"),
    ("comment", ["("], "is no regular expression"),
    ("line", ["new", "("], "Mode was not defined"),
    ("check_hash", ["abc"], "could not be matched to a supported hash type"),
    ("access", ["z"], "Invalid mode specified"),
    ("touch", ["odd"], "must be integers"),
    ("touch", ["nan"], "ERROR: "),
    ("truncate", ["odd"], "length must be a whole number, not 'odd'"),
    ("truncate", [-1], "length must be 0 or more, not -1"),
    ("seek_read", [-1, 0], "size must be 0 or more"),
    ("seek_write", ["x", None], "offset must be a whole number"),
    ("get_hash", ["md5", 0], "chunk_size must be 1 or more"),
    ("replace", ["old", "x", "odd"], "count must be a whole number"),
    ("read", ["x", "y", "z"], ""),
])  # fmt: skip
def test_wrong_arguments_change_nothing_and_are_said(minion, home, fun, args, says):
    path = put(home / "x", "old\n")
    ret, _, success = minion.run(f"file.{fun}", str(path), *args)
    assert success is False and says in ret and "Traceback" not in ret
    assert path.read_text() == "old\n" and os.listdir(home) == ["x"]


def changes(home):
    """Calls that change something, each with what it says that it would do."""
    x, d, new = str(home / "x"), str(home / "d"), str(home / "new")
    return [
        ("write", [x, "y"], 'Would write 1 lines to "'), ("append", [x, "y"], "Would write 1 lines to the end"),
        ("prepend", [x, "y"], "Would write 1 lines to the"), ("seek_write", [x, "y", 0], "Would write 1 bytes"),
        ("truncate", [x, 1], "Would cut "), ("touch", [new], "Would make "), ("touch", [x], "Would set the times of "),
        ("set_mode", [x, "0600"], "from 0640 to 0600"), ("chown", [x, 5, 5], "Would set the owner of "),
        ("lchown", [x, 5, 5], "Would set the owner of "), ("chgrp", [x, 5], "Would set the owner of "),
        ("replace", [x, "old", "new"], "+new"), ("comment", [x, "old"], "+#old"), ("uncomment", [x, "off"], "+off"),
        ("comment_line", [x, "old"], "+#old"), ("line", [x, "new", "old", "replace"], "+new"),
        ("blockreplace", [x, "#b", "#e", "new", True], "+#b"),
        ("mkdir", [new], "Would make the directory "), ("makedirs", [f"{new}/"], "Would make the directory "),
        ("makedirs_perms", [f"{new}/a"], "Would make the directories "), ("symlink", [x, new], "Would make "),
        ("link", [x, new], "another name of"), ("rename", [x, new], "Would rename "),
        ("move", [x, new], "would be moved"),
        ("copy", [x, new], "Would copy "), ("copy", [d, new, True], "Would copy "), ("remove", [d], "all it holds."),
        ("remove", [x], "Would remove "), ("rmdir", [f"{d}/empty"], "Would remove "), ("find", [d, "delete"], f"{d}/y"),
    ]  # fmt: skip


def test_with_test_nothing_changes_and_it_is_said_what_would(minion, home, tmp_path):
    put(home / "x", "old\n#off\n")
    put(home / "d/y")
    (home / "d/empty").mkdir()
    before = snapshot(home, tmp_path / "none"), (home / "x").stat().st_mtime_ns
    called = set()
    for fun, args, says in changes(home):
        ret = minion(f"file.{fun}", *args, test=True)
        assert says in str(ret), fun
        assert (snapshot(home, tmp_path / "none"), (home / "x").stat().st_mtime_ns) == before, fun
        called.add(f"file.{fun}")
    spec = minion("sys.argspec", "file")
    assert {fun for fun, has in spec.items() if "test" in (has["args"] or [])} <= called


# What find finds


def found(minion, home, **options):
    return [os.path.relpath(path, home) for path in minion("file.find", str(home), **options)]


def test_find_knows_its_whole_set_of_options(minion, home):
    for name, size in (("a.txt", 5), ("B.TXT", 10), ("ab", 0), ("d/c.log", 2048), ("d/e/old.log", 5000)):
        put(home / name, "x" * size)
    put(home / "d/word", "a needle\n")
    os.utime(home / "d/e/old.log", (1e9, 1e9))
    (home / "link").symlink_to("a.txt")
    (home / "broken").symlink_to("missing")
    os.mkfifo(home / "pipe")
    rows = [
        ({"name": "*.txt"}, ["a.txt"]),
        ({"iname": "*.txt"}, ["B.TXT", "a.txt"]),
        ({"name": "{a.txt,[A-C].*}"}, ["B.TXT", "a.txt"]),
        ({"name": "[^a]?"}, []),
        ({"name": "[^b]?"}, ["ab"]),
        ({"regex": "[a-z]+[.]log$"}, ["d/c.log", "d/e/old.log"]),
        ({"iregex": "b.*"}, ["B.TXT", "broken"]),
        ({"type": "d"}, [".", "d", "d/e"]),
        ({"type": "l"}, ["broken", "link"]),
        ({"type": "p"}, ["pipe"]),
        ({"type": "f", "size": "+2k"}, ["d/c.log", "d/e/old.log"]),
        ({"type": "f", "size": "-5", "name": "a*"}, ["a.txt", "ab"]),
        ({"size": "2k", "type": "f"}, ["d/c.log"]),
        ({"mtime": "+30d"}, ["d/e/old.log"]),
        ({"mtime": "-1h", "name": "*.log"}, ["d/c.log"]),
        ({"grep": "need.e"}, ["d/word"]),
        ({"maxdepth": 0}, ["."]),
        ({"mindepth": 3}, ["d/e/old.log"]),
        ({"mindepth": 2, "maxdepth": "2", "type": "f"}, ["d/c.log", "d/word"]),
        ({"owner": str(os.geteuid()), "group": f"{os.getegid()}", "name": "ab"}, ["ab"]),
        ({"owner": f"nosuchuser0,{os.geteuid()}"}, None),
    ]
    for options, expected in rows:
        if expected is None:
            assert minion("file.find", str(home), **options) == 'error: no such user "nosuchuser0"'
            assert minion.execution.context["retcode"] == 1
        else:
            assert found(minion, home, **options) == expected, options
    shown = minion("file.find", str(home), name="a.txt", print="name,size,type,mode,user")
    assert shown == [["a.txt", 5, "f", 0o640, pwd.getpwuid(os.geteuid()).pw_name]]


def test_find_deletes_what_it_names_and_nothing_else(minion, home):
    for name in ("d/a.log", "d/b.log", "d/keep", "e/c.log"):
        put(home / name)
    (home / "to").symlink_to("d/keep")
    expected = [str(home / name) for name in ("d/a.log", "d/b.log", "e/c.log")]
    assert minion("file.find", str(home), "delete", name="*.log", test=True) == expected
    assert minion("file.find", str(home), "delete", name="*.log") == expected
    assert minion("file.find", str(home), name="e", delete="d") == [str(home / "e")]
    assert sorted(os.listdir(home)) == ["d", "to"] and os.listdir(home / "d") == ["keep"]
    assert minion("file.find", "/proc", name="proc", maxdepth=0, delete="d", test=True) == []  # a mount point


def test_find_deletes_nothing_behind_a_link_that_was_put_there_meanwhile(minion, home):
    for name in ("top/d/victim", "outside/victim", "outside/dir/x"):
        put(home / name)
    (home / "top/d/dir").mkdir()
    swap = f"sh -c 'mv {home}/top/d {home}/top/e; ln -sfn {home}/outside {home}/top/d'"
    minion("file.find", str(home / "top"), name="victim", exec=swap, delete="f")
    assert (home / "top/d").is_symlink() and (home / "top/e/victim").exists()
    (home / "top/d").unlink()
    (home / "top/e").rename(home / "top/d")
    minion("file.find", str(home / "top"), name="dir", exec=swap, delete="d")
    assert (home / "outside/victim").exists() and (home / "outside/dir/x").exists()


def test_find_goes_as_deep_as_directories_are(minion, home):
    deep = 1500  # more than Python calls itself
    for depth in range(deep):
        os.mkdir(f"{home}/{'d/' * (depth + 1)}")
    assert len(minion("file.find", str(home), type="d", mindepth=1)) == deep
    ret = minion.run("file.remove", str(home / "d"))[0]
    assert ret is True or "nested too deep" in ret  # as this Python's rmtree is made
    for depth in range(deep, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(f"{home}/{'d/' * depth}")


def test_find_runs_a_command_without_a_shell(minion, home):
    put(home / "two words; touch x", "inside\n")
    ret = minion("file.find", str(home), type="f", exec="cat {}")
    assert ret == [f"cat {home}/two words; touch x:\ninside\n\n"]
    assert minion("file.find", str(home), type="f", exec="rm {}", test=True)[0].startswith("Would run: rm ")
    assert os.listdir(home) == ["two words; touch x"]


def test_grep_takes_patterns_and_files_for_what_they_are(minion, home):
    put(home / "-v", "--version\n")
    put(home / "x", "--version\n")
    ret = minion("file.grep", str(home / "*"), "--version", "-c")
    assert ret["stdout"].splitlines() == [f"{home}/-v:1", f"{home}/x:1"]
    assert "pass the following arguments separately" in minion.error("file.grep", str(home / "x"), "a", "-i -v")


def test_edits_go_on_where_nothing_matches(minion, home):
    path = put(home / "x", "port = 80")
    assert minion("file.replace", str(path), "^host", "host = a", append_if_not_found=True).endswith("+host = a\n")
    assert minion("file.replace", str(path), "^host = a", "host = a", append_if_not_found=True) == ""
    assert path.read_text() == "port = 80\nhost = a\n" and (home / "x.bak").read_text() == "port = 80"
    assert minion("file.search", str(path), "^host") is True
    stamp = path.stat().st_mtime_ns
    time.sleep(0.01)
    assert minion("file.line", str(path), "host = a", mode="ensure", after="port") is False
    assert path.stat().st_mtime_ns == stamp


def test_files_are_told_apart(minion, home):
    put(home / "a", "one\ntwo\n")
    put(home / "b", "one\n2\n")
    put(home / "c", "a\0b")
    a, b, c = (str(home / name) for name in "abc")
    assert minion("file.get_diff", a, a) == ""
    assert minion("file.get_diff", a, b) == f"--- {a}\n+++ {b}\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
    assert minion("file.get_diff", a, b, show_filenames=False).startswith("--- \n+++ \n")
    assert minion("file.get_diff", a, b, show_changes=False) == "<show_changes=False>"
    assert minion("file.get_diff", a, c) == "Replace text file with binary file"
    minion.opts["obfuscate_templates"] = True
    assert "No such file" in minion.error("file.get_diff", a, str(home / "none"))


def test_attributes_are_given_and_taken(minion, home, monkeypatch):
    """With programs of their names, of which `chattr` takes its words down: not every file system has attributes."""
    put(home / "x", "x\n")
    put(home / "lsattr", "").chmod(0o755)
    (home / "chattr").write_text(f'#!/bin/sh\necho "$@" > {home}/said; [ ! -e {home}/fails ] || echo no >&2\n')
    (home / "chattr").chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    give = {"operator": "add", "attributes": "ai", "flags": "R", "version": 2}
    assert minion("file.chattr", "-x", test=True, **give) == "Would run: chattr +ai -R -v 2 -- -x"
    assert not (home / "said").exists()
    assert minion("file.chattr", str(home / "x"), **give) is True
    assert (home / "said").read_text() == f"+ai -R -v 2 -- {home}/x\n"
    put(home / "fails", "")
    assert minion.run("file.chattr", str(home / "x"), operator="remove", attributes="i")[:2] == (False, 1)
    for wrong in ({"operator": "add"}, {"operator": "x", "attributes": "i"}, {"operator": "add", "attributes": "i -R"}):
        assert "Need " in minion.error("file.chattr", str(home / "x"), **wrong)
    assert "Need files" in minion.error("file.chattr", str(home / "x"), **give | {"flags": "R -v"})
    assert "does not exist" in minion.error("file.lsattr", str(home / "none"))
