"""The file server: on real files with a passed clock, and through the master protocol as minions ask it."""

import gzip
import hashlib
import os
import socket
import stat
import time
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_memory import Site
from leaves import APART, MASTER_OPTIONS, wire
from leaves import FILES as LEAF
from odd import ODD, untraced

import saltlite
from saltlite import Failure, load_opts

Requests = LEAF.Requests
NOW = 2e9  # long after every file was written
MISSING = {
    "_file_hash": "",
    "_file_hash_and_stat": ["", None],
    "_file_find": {"path": "", "rel": ""},
    "_serve_file": {"data": "", "dest": ""},
}
ONE_FILE = (Requests.hash, Requests.hash_and_stat, Requests.find, Requests.serve)
LISTS = (Requests.file_list, Requests.dir_list, Requests.empty_dirs, Requests.symlink_list)
SECRET = "the secret outside"
FILES = {
    "top.sls": b"base:\n  '*': [web]\n",
    "web/init.sls": b"",
    "web/logo": bytes(range(256)) * 9,
    "webmail/x": b"x",
    "web/deep/a b\n": b"odd name",
    "web/deep/\xfc".encode(): "umlaut \xfc".encode(),
    b"web/deep/\xff\xfe": b"not UTF-8",
}


def write(root, files):
    for name, data in files.items():
        path = os.path.join(os.fsencode(root), name if isinstance(name, bytes) else name.encode())
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)


def ask(server, method, path="", now=NOW, **load):
    result = method(server, None, {"path": path, "saltenv": "base", "loc": 0} | load, now)
    return finished(result) if isinstance(result, types.GeneratorType) else result


def finished(steps):
    """What a request that takes several steps gives in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.fixture
def root(tmp_path):
    """A file root with a directory `outside` beside it."""
    write(tmp_path / "root", FILES)
    (tmp_path / "root/web/empty").mkdir()
    write(tmp_path / "outside", {"secret": SECRET.encode(), "dir/secret": SECRET.encode()})
    return tmp_path / "root"


def server_of(*roots, **opts):
    options, _ = saltlite.merge_options(MASTER_OPTIONS, [("test", opts)])
    return Requests(options | {"file_roots": {"base": [str(root) for root in roots], "dev": []}}, None)


# As minions ask


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """A master with files, which these tests only read."""
    site = Site(tmp_path_factory.mktemp("site"), file_buffer_size=1000)
    write(site.path / "srv/salt", FILES)
    (site.path / "srv/salt/web/empty").mkdir()
    os.symlink("web/logo", site.path / "srv/salt/link")
    return site


@pytest.fixture(scope="module")
def asked(serving):
    """A function: what a joined minion gets for a cmd."""
    minion = serving.joined("m")
    return lambda cmd, **load: serving.ask(minion, {"cmd": cmd, "saltenv": "base"} | load)


def test_minion_reads_what_there_is(asked):
    assert asked("_file_envs") == ["base"]
    assert asked("_dir_list") == ["web", "web/deep", "web/empty", "webmail"]
    assert asked("_file_list_emptydirs") == ["web/empty"]
    assert asked("_symlink_list") == {"link": "web/logo"}
    listed = {name if isinstance(name, bytes) else name.encode() for name in asked("_file_list")}
    assert listed == {name if isinstance(name, bytes) else name.encode() for name in FILES} | {b"link"}


def test_minion_gets_only_what_begins_with_the_prefix(asked):
    assert asked("_file_list", prefix="/webm/") == ["webmail/x"]
    assert asked("_dir_list", prefix="web/e") == ["web/empty"]
    assert asked("_symlink_list", prefix="web") == {}


@pytest.mark.parametrize("name", FILES, ids=ascii)
@pytest.mark.parametrize("level", [None, 1, 9])
def test_minion_gets_every_file_byte_for_byte(asked, name, level):
    got, last = b"", None
    while last != b"":
        reply = asked("_serve_file", path=name, loc=len(got), gzip=level)
        assert saltlite.as_bytes(reply["dest"]) == (name if isinstance(name, bytes) else name.encode())
        last = saltlite.as_bytes(reply["data"])
        assert ("gzip" in reply) == bool(level and last)
        got += gzip.decompress(last) if last and level else last
    assert got == FILES[name]


def test_minion_gets_hash_and_stat(asked, serving):
    wanted = {"hash_type": "sha256", "hsum": hashlib.sha256(FILES["web/logo"]).hexdigest()}
    info = list(os.stat(serving.path / "srv/salt/web/logo"))
    assert asked("_file_hash", path="web/logo") == wanted
    assert asked("_file_hash_and_stat", path="web/logo") == [wanted, info]
    found = {"path": str(serving.path / "srv/salt/web/logo"), "rel": "web/logo", "stat": info, "back": "roots"}
    assert asked("_file_find", path="web//./logo") == found


@pytest.mark.parametrize("cmd", MISSING)
@pytest.mark.parametrize("load", [{"path": "none"}, {"path": "web"}, {}, {"path": "top.sls", "saltenv": "other"}])
def test_minion_is_told_in_salts_words_that_there_is_no_file(asked, cmd, load):
    assert asked(cmd, loc=0, **load) == MISSING[cmd]


@pytest.mark.parametrize("name", ["path", "saltenv", "prefix", "loc", "gzip", "env_only", "back"])
def test_any_value_in_any_field_is_answered_without_a_traceback(asked, caplog, name):
    for value in ODD:
        for cmd in sorted(wire(file_roots={})):
            if cmd.startswith(("_file", "_dir", "_sym", "_serve", "_master_opts")):
                asked(cmd, **{"path": "top.sls", "loc": 0} | {name: value})
    assert untraced(caplog)


@pytest.mark.parametrize("path", [["x"], ["..", "x"], ["a/../../x"], [""], [b""], "x", None], ids=repr)
def test_minion_may_not_send_files(asked, serving, path):
    before = sorted(os.walk(os.fsencode(serving.path)))
    assert asked("_file_recv", path=path, loc=0, data="x", size=1) is False
    assert sorted(os.walk(os.fsencode(serving.path))) == before


def test_minion_gets_the_options_of_states(tmp_path):
    site = Site(tmp_path, file_roots={"base": [], "dev": []}, nodegroups={"a": "b"}, failhard=True)
    minion = site.joined("m")
    opts = site.ask(minion, {"cmd": "_master_opts"})
    assert opts["file_roots"] == {"base": [], "dev": []} and opts["nodegroups"] == {"a": "b"} and opts["failhard"]
    assert (opts["state_top"], opts["renderer"], opts["state_top_saltenv"]) == ("top.sls", "jinja|yaml", None)
    few = site.ask(minion, {"cmd": "_master_opts", "env_only": True})
    assert few.keys() == {"file_roots", "top_file_merging_strategy", "env_order", "default_top"}
    assert len(opts) == 16


# Which file


def test_first_root_that_has_a_file_serves_it(root, tmp_path):
    write(tmp_path / "second", {"top.sls": b"second", "more": b"more"})
    server = server_of(root, tmp_path / "second", tmp_path / "absent")
    assert ask(server, Requests.serve, "top.sls")["data"] == FILES["top.sls"]
    assert ask(server, Requests.serve, "more")["data"] == b"more"
    listed = ask(server, Requests.file_list)
    assert listed.count("top.sls") == 1 and "more" in listed and listed == sorted(listed)


def test_a_root_may_itself_be_a_link_that_moves(root, tmp_path):
    write(tmp_path / "next", {"top.sls": b"next"})
    os.symlink(root, tmp_path / "current")
    server = server_of(tmp_path / "current")
    assert ask(server, Requests.serve, "top.sls")["data"] == FILES["top.sls"]
    os.unlink(tmp_path / "current")
    os.symlink("next", tmp_path / "current")
    assert ask(server, Requests.serve, "top.sls")["data"] == b"next"


@pytest.mark.parametrize("how", [os.link, os.symlink])
def test_a_file_of_several_names_is_served_under_each(root, how):
    how(root / "web/logo", root / "again")
    assert ask(server_of(root), Requests.serve, "again")["data"] == FILES["web/logo"]
    assert "again" in ask(server_of(root), Requests.file_list)


@pytest.mark.parametrize("path", ["|web/a?b", "web/a?b", "web/a?saltenv=dev", "web/a"])
def test_a_question_mark_ends_a_path_unless_it_is_escaped(root, path):
    write(root, {"web/a?b": b"with", "web/a": b"without"})
    assert ask(server_of(root), Requests.serve, path)["data"] == (b"with" if path[0] == "|" else b"without")


def test_ignored_files_are_neither_listed_nor_served(root):
    write(root, {".git/config": b"x", "web/a.pyc": b"x"})
    server = server_of(root, file_ignore_regex=[r"/\.git($|/)"], file_ignore_glob=["*.pyc", "webmail"])
    listed = ask(server, Requests.file_list)
    assert not {".git/config", "web/a.pyc"} & {*listed} and "webmail/x" in listed
    assert ask(server, Requests.dir_list) == ["web", "web/deep", "web/empty"]
    assert [ask(server, Requests.hash, path) for path in (".git/config", "web/a.pyc")] == ["", ""]


@pytest.mark.parametrize("loc", [-1, 2**63, 2**64, True, 1.5, "0", None, [0], b"\xff"], ids=repr)
def test_an_odd_position_gives_no_byte(root, loc):
    reply = ask(server_of(root), Requests.serve, "top.sls", loc=loc)
    assert not reply["data"] and reply["dest"] == ("top.sls" if loc in (2**63, 2**64) else "")


@pytest.mark.parametrize("level", [0, 10, -1, True, "9", 2**70, [9]], ids=repr)
def test_an_odd_level_compresses_nothing(root, level):
    plain = {"data": FILES["top.sls"], "dest": "top.sls"}
    assert ask(server_of(root), Requests.serve, "top.sls", gzip=level) == plain


@pytest.mark.parametrize("kind", ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"))
def test_every_hash_type_gives_its_hash(root, kind):
    wanted = {"hash_type": kind, "hsum": hashlib.new(kind, FILES["web/logo"]).hexdigest()}
    assert ask(server_of(root, hash_type=kind), Requests.hash, "web/logo") == wanted


def test_a_hash_is_of_the_file_as_it_is_now(root):
    server = server_of(root)
    for data in (b"1", b"2", b"33"):
        write(root, {"top.sls": data})
        assert ask(server, Requests.hash, "top.sls")["hsum"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("age, reads", [(0, 2), (0.04, 2), (1, 1)])
def test_a_file_is_read_for_one_hash_only_unless_it_was_written_just_now(root, age, reads):
    """Just now: what is written next may leave the very same times."""

    def read():
        with open("/proc/self/io") as file:
            return int(file.readline().split()[1])

    write(root, {"large": bytes(4 << 20)})
    server, before, now = server_of(root), read(), os.stat(root / "large").st_ctime + age
    assert ask(server, Requests.hash, "large", now=now) == ask(server, Requests.hash, "large", now=now)
    assert (read() - before) // (4 << 20) == reads


def test_a_listing_is_good_for_a_second(root):
    server = server_of(root)
    before = ask(server, Requests.file_list)
    write(root, {"new": b""})
    assert ask(server, Requests.file_list, now=NOW + 0.9) == before
    assert "new" in ask(server, Requests.file_list, now=NOW + 1)
    os.unlink(root / "new")
    assert ask(server, Requests.file_list, now=NOW - 5) == before  # the clock went back


# Links


def test_links_that_stay_inside_are_followed(root, tmp_path):
    write(tmp_path / "second", {"s": b"second"})
    targets = {"up": "web/../top.sls", "absolute": f"{root}/top.sls", "dir": "web", "over": f"{tmp_path}/second/s"}
    for name, target in targets.items():
        os.symlink(target, root / name)
    server = server_of(root, tmp_path / "second")
    assert ask(server, Requests.serve, "up")["data"] == ask(server, Requests.serve, "absolute")["data"]
    assert ask(server, Requests.serve, "dir/logo")["data"] == FILES["web/logo"]
    assert ask(server, Requests.serve, "over")["data"] == b"second"
    assert ask(server, Requests.symlink_list) == targets
    assert {"up", "absolute", "over", "dir/logo"} <= {*ask(server, Requests.file_list)}
    assert {"dir", "dir/deep"} <= {*ask(server, Requests.dir_list)}
    assert "dir/empty" in ask(server, Requests.empty_dirs)


def test_without_following_links_directories_behind_them_are_not_listed(root, tmp_path):
    write(tmp_path / "second", {"s": b"second"})
    targets = {"dir": "web", "over": f"{tmp_path}/second/s", "out": "../outside/secret", "no": "../outside/none"}
    for name, target in targets.items():
        os.symlink(target, root / name)
    server = server_of(root, tmp_path / "second", fileserver_followsymlinks=False)
    assert ask(server, Requests.symlink_list) == targets  # a minion that keeps links makes them anew
    assert "dir/logo" not in ask(server, Requests.file_list) and "dir" in ask(server, Requests.dir_list)
    assert [ask(server, Requests.hash, name) for name in ("over", "out", "no")] == ["", "", ""]


def test_ignored_links_are_not_listed(root):
    os.symlink("web", root / "dir")
    os.symlink("top.sls", root / "link")
    server = server_of(root, fileserver_ignoresymlinks=True)
    assert ask(server, Requests.symlink_list) == {}
    assert not {"dir", "link", "dir/logo"} & {*ask(server, Requests.file_list), *ask(server, Requests.dir_list)}


@pytest.mark.parametrize("target", [".", "..", "self", "web", "../root"])
def test_links_in_a_circle_end(root, target):
    os.symlink(target, root / "self")
    os.symlink("..", root / "web/up")
    server = server_of(root)
    assert len(ask(server, Requests.file_list)) < 100
    assert ("self" in ask(server, Requests.dir_list)) == (target in (".", "web", "../root"))
    assert ask(server, Requests.hash, "self") == ""


# Nothing from outside

NAMES = "secret dir/secret none none/secret".split()  # outside: there, there, not there, not there
CORPUS = [
    "../outside/{}",
    "web/../../outside/{}",
    "a/./..//../outside/{}",
    "./../outside/{}",
    "web/deep/../../../outside/{}",
    "{top}/outside/{}",
    "/{top}/outside/{}",
    "//{top}/outside/{}",
    "|{top}/outside/{}",
    "|../outside/{}",
    "salt://../outside/{}",
    "salt:///{top}/outside/{}",
    "../outside/{}/",
    "../outside/{}?saltenv=dev",
    "top.sls\0../../outside/{}",
    "..\\outside\\{}",
    "%2e%2e/outside/{}",
    "out/{}",
    "out/../outside/{}",
    "absolute/{}",
    "deep/{}",
    "chain/{}",
    "proc/{top}/outside/{}",
    "self/../outside/{}",
]


@pytest.fixture
def trap(root, tmp_path):
    """The root with links that lead outside, also to what is not there."""
    links = {"out": "../outside", "absolute": f"{tmp_path}/outside", "deep": "web/../../outside", "chain": "out"}
    links |= {"proc": "/proc/self/root", "self": ".", "file": "../outside/secret", "nofile": "../outside/none"}
    for name, target in links.items():
        os.symlink(target, root / name)
    return root


@pytest.mark.parametrize("path", ["web/../top.sls", "web/deep/..", "../root/top.sls", "web/./../top.sls"])
def test_a_path_that_climbs_is_refused_although_it_stays_inside(root, path):
    assert ask(server_of(root), Requests.hash, path) == ""


def test_a_directory_whose_name_begins_like_the_roots_is_outside(root, tmp_path):
    write(tmp_path / "root2", {"secret": SECRET.encode()})
    write(root, {"2/secret": b"what the rest of its name would lead to"})
    os.symlink("../root2/secret", root / "link")
    assert ask(server_of(root), Requests.hash, "link") == ""


@pytest.mark.parametrize("method", ONE_FILE)
@pytest.mark.parametrize("path", CORPUS)
def test_paths_that_lead_outside_find_nothing_whatever_is_there(trap, tmp_path, method, path):
    server = server_of(trap)
    for how in (str, os.fsencode):
        paths = [how(path.format(name, top=tmp_path)) for name in NAMES]
        replies = [ask(server, method, each) for each in paths]
        assert replies == [ask(server, method, "none")] * len(NAMES)


@pytest.mark.parametrize("name", ["file", "nofile", "out", "proc/etc/passwd", "."])
def test_links_that_lead_outside_find_nothing_and_are_not_listed(trap, name):
    server = server_of(trap)
    assert [ask(server, method, name) for method in ONE_FILE] == [ask(server, method, "none") for method in ONE_FILE]
    told = [path for method in LISTS for path in ask(server, method)]
    assert not {"file", "nofile", "out", "absolute", "deep", "chain", "proc"} & {path.split("/")[0] for path in told}


def test_links_swapped_in_the_middle_of_a_path_do_not_open(trap, tmp_path):
    """The walk takes real names only, so what `beneath` has found cannot turn into a way outside."""
    for path in ("out/secret", "file", "../outside/secret", "web/../../outside/secret"):
        with pytest.raises(OSError) as caught:
            LEAF.open_beneath(str(trap), path)
        assert caught.value.errno in LEAF.ABSENT


@pytest.mark.parametrize("env", ["dev", "..", "../outside", "__env__", "", None, [], {}, 5, b"\xff", "base\n", "Base"])
@pytest.mark.parametrize("method", LISTS + ONE_FILE)
def test_an_environment_that_is_not_known_holds_nothing(root, method, env):
    assert ask(server_of(root), method, "top.sls", saltenv=env) == ask(server_of(), method, "top.sls")


@pytest.mark.parametrize("prefix", ["..", "../outside", "/", None, 5, [], b"\xff", "\0"])
def test_an_odd_prefix_only_chooses(root, prefix):
    server = server_of(root)
    assert {*ask(server, Requests.file_list, prefix=prefix)} <= {*ask(server, Requests.file_list)}


LONG = {"many": "x/" * 4096, "wide": "y" * 5120, "a name too long": "y" * 300}


@pytest.mark.parametrize("path", [*LONG, 5, None, [], {}, True, "", ".", "/", "\ud800"], ids=ascii)
@pytest.mark.parametrize("method", ONE_FILE)
def test_what_is_no_path_finds_nothing(root, method, path):
    try:
        path = LONG.get(path, path) if isinstance(path, str) else path
        assert ask(server_of(root), method, path) == ask(server_of(root), method, "none")
    except UnicodeEncodeError:
        assert path == "\ud800"  # which cannot come over the wire; the protocol would answer ""


def test_what_is_no_regular_file_is_neither_listed_nor_served_and_holds_nothing_up(root):
    os.mkfifo(root / "fifo")
    os.symlink("fifo", root / "link")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    names = ["fifo", "link", "socket"]
    if os.geteuid() == 0:
        os.mknod(root / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        names.append("device")
    server = server_of(root)
    assert [ask(server, Requests.serve, name) for name in names] == [MISSING["_serve_file"]] * len(names)
    assert not {*names} & {*ask(server, Requests.file_list)}


@given(st.one_of(st.text(), st.binary(), st.text("./|?a\0~\\")))
def test_a_path_of_the_wire_becomes_names_that_lead_down(path):
    found = LEAF.relative(path)
    assert not {"", ".", ".."} & {*found.split("/")} or found == ""
    assert "\0" not in found


def test_descriptors_are_closed(trap):
    server = server_of(trap)
    before = len(os.listdir("/proc/self/fd"))
    for method in ONE_FILE + LISTS:
        for path in ("top.sls", "none", "out/secret", "web"):
            ask(server, method, path)
    assert len(os.listdir("/proc/self/fd")) == before


# Options


@pytest.mark.parametrize(
    "config, roots",
    [
        ("", {"base": ["{top}/srv/salt"]}),
        ("file_roots:", {"base": ["{top}/srv/salt"]}),
        ("file_roots: {base: [/a, b], 3006: }", {"base": ["/a", "{top}/b"], "3006": []}),
        ("root_dir: {top}/r\nfile_roots: {base: [/srv/salt, b]}", {"base": ["/srv/salt", "{top}/r/b"]}),
        ("root_dir: {top}/r", {"base": ["{top}/r/srv/salt"]}),
    ],
)
def test_file_roots_are_placed(tmp_path, config, roots):
    (tmp_path / "master").write_text(config.replace("{top}", str(tmp_path)))
    wanted = {env: [path.format(top=tmp_path) for path in paths] for env, paths in roots.items()}
    assert load_opts("master", str(tmp_path))["file_roots"] == wanted


@pytest.mark.parametrize(
    "config, said",
    [
        ("file_roots: [/srv]", "file_roots"),
        ("file_roots: {base: [{}]}", "file_roots"),
        ("file_roots: {base: [.]}", "the master's keys"),
        ("file_roots: {base: [/]}", "the master's keys"),
        ("file_ignore_regex: ['(']", "regular expressions"),
        ("file_ignore_regex: [5]", "regular expressions"),
        ("hash_type: crc32", "sha512"),
    ],
)
def test_options_that_cannot_be_are_refused_with_a_sentence(tmp_path, config, said):
    (tmp_path / "master").write_text(config)
    with pytest.raises(Failure, match=said):
        load_opts("master", str(tmp_path))


def test_an_environment_that_minions_would_name_is_a_warning(tmp_path):
    (tmp_path / "master").write_text("file_roots: {__env__: [/srv/__env__]}")
    opts = load_opts("master", str(tmp_path))
    assert opts["file_roots"] == {} and "__env__" in opts["__warnings__"][0][1]


# Long work, a step at a time


def count(steps):
    """How many steps come before the end, and the result."""
    number = 0
    while True:
        try:
            next(steps)
            number += 1
        except StopIteration as end:
            return number, end.value


def load(path=""):
    return {"path": path, "saltenv": "base"}


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_file_is_hashed_in_steps(root, more):
    (root / "large").write_bytes(data := bytes(3 * LEAF.HASHED_AT_ONCE + more))
    server = server_of(root)
    number, reply = count(server.hash(None, load("large"), NOW))
    assert reply == {"hash_type": "sha256", "hsum": hashlib.sha256(data).hexdigest()}
    assert number == (2 if more < 0 else 3)
    assert count(server.hash(None, load("large"), NOW)) == (0, reply)


def test_who_wants_the_hash_of_a_file_that_is_being_read_waits_for_it(root, monkeypatch):
    (root / "large").write_bytes(bytes(5 * LEAF.HASHED_AT_ONCE))
    server, reads = server_of(root), []
    read = os.read
    first = server.hash(None, load("large"), NOW)
    next(first)
    others = [server.hash(None, load("large"), NOW) for _ in range(3)]
    for each in others:
        next(each)
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "read", lambda *args: reads.append(args) or read(*args))
    answer = finished(first)
    assert len(reads) == 5 and before - len(os.listdir("/proc/self/fd")) == 1, "who waits holds no descriptor"
    assert [finished(each) for each in others] == [answer] * 3
    assert len(reads) == 5


def test_so_many_files_are_read_in_turn_and_others_wait(root):
    server = server_of(root)
    for number in range(LEAF.MAX_HASHING + 1):
        (root / f"large{number}").write_bytes(bytes(2 * LEAF.HASHED_AT_ONCE))
    steps = [server.hash(None, load(f"large{number}"), NOW) for number in range(LEAF.MAX_HASHING + 1)]
    for each in steps:
        next(each)
    assert len(server._hashing) == LEAF.MAX_HASHING
    steps[0].close()  # whoever asked has gone
    assert [finished(each)["hash_type"] for each in steps[1:]] == ["sha256"] * LEAF.MAX_HASHING
    assert server._hashing == set()


def test_a_large_tree_is_listed_in_steps_and_once_for_all(root):
    for number in range(2 * LEAF.LISTED_AT_ONCE):
        path = root / f"many{number % 10}/f{number}"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    server, looked = server_of(root), []
    entries = server._entries
    server._entries = lambda *args: looked.append(args) or entries(*args)
    steps = [server.file_list(None, load(), NOW + number / 10) for number in range(5)]
    for each in steps:
        next(each)
    lists = [finished(each) for each in steps]
    assert len(lists[0]) > 2 * LEAF.LISTED_AT_ONCE and all(each == lists[0] for each in lists)
    assert len(looked) == len({args[0] for args in looked})


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_requests_of_one_minion_that_are_under_way(tmp_path, more):
    site = Site(tmp_path)
    write(tmp_path / "srv/salt", {f"f{number}": bytes(2 * LEAF.HASHED_AT_ONCE) for number in range(20)})
    minion, other = site.joined("m"), site.joined("other", 1)
    most = saltlite.MAX_UNDER_WAY
    requests = [minion.request({"cmd": "_file_hash"} | load(f"f{number}"), site.now) for number in range(most + more)]
    replies = [site.master.receive(number, request, site.now) for number, request in enumerate(requests)]
    assert sum(reply is None for reply in replies) == min(most, most + more)
    assert site.master.receive("other", other.request({"cmd": "_file_hash"} | load("f0"), site.now), site.now) is None
    while site.master.under_way:
        replies += site.master.go_on(site.now)
    assert {reply.envelope for reply in replies if reply} == {*range(most + more), "other"}


def test_work_goes_on_for_some_time_and_then_with_those_who_were_not_reached(tmp_path):
    """Each step is short, and there may be hundreds of them."""
    site, reached = Site(tmp_path), []
    write(tmp_path / "srv/salt", {f"f{number}": bytes(4 * LEAF.HASHED_AT_ONCE) for number in range(3)})
    minion = site.joined("m")
    for number in range(3):
        request = minion.request({"cmd": "_file_hash"} | load(f"f{number}"), site.now)
        assert site.master.receive(number, request, site.now) is None
    for _ in range(4):
        turns = iter([False, True])
        assert site.master.go_on(site.now, lambda turns=turns: next(turns)) == []
        reached.append(site.master.under_way[-1].envelope)
    assert reached == [0, 1, 2, 0] and site.master.pause <= saltlite.MAX_PAUSE
    assert site.master.go_on(site.now, lambda: True) == [] and len(site.master.under_way) == 3


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_large_listing_is_sealed_apart(tmp_path, monkeypatch, more):
    site = Site(tmp_path)
    names = [f"f{number}" for number in range(10)]
    write(tmp_path / "srv/salt", dict.fromkeys(names, b""))
    minion = site.joined("m")
    monkeypatch.setattr(APART, "SEALED_AT_ONCE", sum(map(len, names)) + more)
    forks, fork = [], os.fork
    monkeypatch.setattr(os, "fork", lambda: forks.append(fork()) or forks[-1])
    assert site.ask(minion, {"cmd": "_file_list", "saltenv": "base"}) == names
    assert len(forks) == (more < 0)


def test_a_name_that_is_not_there_is_not_held_against_expressions(root):
    """Which may take long for what a minion asks for: this one goes through it from each of its letters."""
    server = server_of(root, file_ignore_regex=[r".*.*\.bak$"])
    began = time.thread_time()
    assert server.find(None, load("a" * 4000), NOW)["path"] == ""
    assert time.thread_time() - began < 5, "it takes minutes"
    write(root, {"x.bak": b"", "x": b""})
    assert server.find(None, load("x.bak"), NOW)["path"] == "" != server.find(None, load("x"), NOW)["path"]


def test_work_for_who_is_accepted_no_more_ends(tmp_path):
    site = Site(tmp_path)
    write(tmp_path / "srv/salt", {"large": bytes(5 * LEAF.HASHED_AT_ONCE)})
    minion = site.joined("m")
    assert site.master.receive(1, minion.request({"cmd": "_file_hash"} | load("large"), site.now), site.now) is None
    site.move("m", "minions", "minions_rejected")
    site.look()
    assert site.master.go_on(site.now) == [] and not site.master.under_way
