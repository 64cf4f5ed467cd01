"""cp.*: files from a master and from web servers, with a master that answers from a real directory."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import datetime
import gzip
import hashlib
import http.server
import ipaddress
import os
import ssl
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from leaves import FILES, module
from one_minion import Master, Minion, snapshot


@pytest.fixture
def master(tmp_path):
    return Master(tmp_path / "srv")


@pytest.fixture
def minion(tmp_path, master):
    return Minion(tmp_path, master)


def cmds(master):
    return [load["cmd"] for load in master.asked]


# files come whole

TEXT = "Grüße, 世界\n" * 400  # more than one piece, whose ends cut letters in two
BINARY = bytes(range(256)) * 20


@pytest.mark.parametrize("options", [{}, {"gzip": 5}], ids=["plain", "gzip"])
@pytest.mark.parametrize("data", [b"", b"x", b"a" * 999, b"a" * 1000, b"a" * 1001, TEXT.encode(), BINARY])
def test_file_comes_as_it_is(minion, master, tmp_path, data, options):
    master.put("d/f", data)
    assert minion("cp.get_file", "salt://d/f", str(tmp_path / "f"), **options) == str(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == data
    place = minion("cp.cache_file", "salt://d/f")
    assert place == f"{minion.cache}/files/base/d/f" and Path(place).read_bytes() == data
    assert os.listdir(minion.cache / "parts") == []


def test_file_that_is_here_already_is_not_fetched_again(minion, master, tmp_path):
    master.put("f", BINARY)
    minion("cp.cache_file", "salt://f")
    master.asked.clear()
    minion("cp.cache_file", "salt://f")
    minion("cp.get_file", "salt://f", str(tmp_path / "f"))  # taken from the cache
    minion("cp.get_file", "salt://f", str(tmp_path / "f"))
    assert cmds(master) == ["_file_hash"] * 3


def test_broken_transfer_is_continued_where_it_ended(minion, master):
    master.put("f", BINARY)
    master.breaks["_serve_file"] = 3
    assert "no answer" in minion.error("cp.cache_file", "salt://f")
    assert minion("cp.is_cached", "salt://f") == ""
    master.breaks.clear()
    master.asked.clear()
    assert Path(minion("cp.cache_file", "salt://f")).read_bytes() == BINARY
    assert [load["loc"] for load in master.asked if load["cmd"] == "_serve_file"] == [3000, 4000, 5000, 5120]


def test_part_of_a_file_that_was_another_since_then_is_thrown_away(minion, master):
    master.put("f", BINARY)
    master.breaks["_serve_file"] = 3
    minion.error("cp.cache_file", "salt://f")
    master.breaks.clear()
    for data in (b"short", TEXT.encode()):
        master.put("f", data)
        assert Path(minion("cp.cache_file", "salt://f")).read_bytes() == data


def test_file_that_changes_while_it_comes_is_fetched_again(minion, master):
    master.put("f", BINARY)
    changes = iter([lambda: None, lambda: master.put("f", TEXT)])
    master.served = lambda: next(changes, lambda: None)()
    assert Path(minion("cp.cache_file", "salt://f")).read_bytes() == TEXT.encode()


def test_file_with_another_hash_than_said_never_counts(minion, master, tmp_path):
    master.put("f", BINARY)
    (tmp_path / "f").write_text("old")
    master.lies["_file_hash"] = {"hash_type": "sha256", "hsum": "0" * 64}
    assert "another hash" in minion.error("cp.get_file", "salt://f", str(tmp_path / "f"))
    assert "another hash" in minion.error("cp.cache_file", "salt://f")
    assert (tmp_path / "f").read_text() == "old" and minion("cp.list_minion") == []


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha512"])
def test_hash_is_of_the_kind_that_the_master_says(minion, master, kind):
    master.put("f", BINARY)
    master.lies["_file_hash"] = {"hash_type": kind, "hsum": hashlib.new(kind, BINARY).hexdigest()}
    assert Path(minion("cp.cache_file", "salt://f")).read_bytes() == BINARY


@pytest.mark.parametrize("answer", [
    None, "", {}, [], 5, {"data": None}, {"data": 5}, {"data": ["x"]}, {"data": "x", "gzip": 5},
    {"data": gzip.compress(b"x" * 9)[:-9], "gzip": 5},
    pytest.param({"data": gzip.compress(bytes(FILES.MAX_CHUNK + 1), 1), "gzip": 5}, id="bomb"),
])  # fmt: skip
def test_odd_reply_is_a_sentence(minion, master, answer):
    master.put("f", BINARY)
    master.lies["_serve_file"] = answer
    assert "salt://f cannot be brought" in minion.error("cp.cache_file", "salt://f")
    assert minion("cp.list_minion") == []


@pytest.mark.parametrize("answer", [None, "", {}, [], 5, {"hsum": ""}])
def test_file_that_the_master_does_not_have(minion, master, tmp_path, answer):
    master.lies["_file_hash"] = answer
    said = minion.error("cp.get_file", "salt://f", str(tmp_path / "f"))
    assert said == "There is no salt://f in the environment base."
    assert minion("cp.cache_file", "salt://f") is minion("cp.get_file_str", "salt://f") is False
    assert cmds(master) == ["_file_hash"] * 3 and not (tmp_path / "f").exists()


def test_hash_of_no_known_kind_is_a_sentence(minion, master):
    master.lies["_file_hash"] = {"hash_type": "crc32", "hsum": "1234"}
    assert "is no hash_type" in minion.error("cp.cache_file", "salt://f")


def test_jobs_that_fetch_the_same_file_wait_for_each_other(minion, tmp_path):
    def other():
        with module("cp")._open_part(minion.execution, "f") as (fd, part):
            return os.fstat(fd).st_size, part.exists()

    with concurrent.futures.ThreadPoolExecutor() as pool:
        with module("cp")._open_part(minion.execution, "f") as (fd, part):
            waits = pool.submit(other)
            with pytest.raises(concurrent.futures.TimeoutError):
                waits.result(0.1)
            os.write(fd, b"whole")
            part.rename(tmp_path / "f")
        assert waits.result() == (0, True)  # a part of its own, and not what has been moved away
    assert (tmp_path / "f").read_bytes() == b"whole"


# where they go


def test_destination_is_a_file_or_a_directory(minion, master, tmp_path):
    master.put("d/f", "1")
    (tmp_path / "dir").mkdir()
    assert minion("cp.get_file", "salt://d/f", str(tmp_path / "dir")) == f"{tmp_path}/dir/f"
    assert "makedirs=True makes it" in minion.error("cp.get_file", "salt://d/f", f"{tmp_path}/new/")
    assert not (tmp_path / "new").exists()
    assert minion("cp.get_file", "salt://d/f", f"{tmp_path}/new/", makedirs=True) == f"{tmp_path}/new/f"
    assert minion("cp.get_file", "salt://d/f", "") == f"{minion.cache}/files/base/d/f"


def test_destination_that_was_there_keeps_its_mode_and_its_link(minion, master, tmp_path):
    master.put("f", "new")
    (tmp_path / "secret").write_text("old")
    (tmp_path / "secret").chmod(0o640)
    (tmp_path / "link").symlink_to("secret")
    minion("cp.get_file", "salt://f", str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink() and (tmp_path / "secret").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o640


@pytest.mark.skipif(
    os.geteuid() != 0 or Path("/proc/sys/fs/protected_symlinks").read_text() != "1\n",
    reason="needs root and protected_symlinks",
)
def test_link_of_somebody_in_a_directory_of_everybody_is_not_followed(minion, master, tmp_path):
    master.put("f", "new")
    (tmp_path / "secret").write_text("old")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    for name, target in (("link", "../secret"), ("dangling", "../none")):
        (tmp_path / "tmp" / name).symlink_to(target)
        os.chown(tmp_path / "tmp" / name, 65534, 65534, follow_symlinks=False)
        assert "Permission denied" in minion.error("cp.get_file", "salt://f", f"{tmp_path}/tmp/{name}")
    assert (tmp_path / "secret").read_text() == "old" and not (tmp_path / "none").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_salt_cp_sends_follows_no_link_of_somebody_either(minion, tmp_path):
    (tmp_path / "secret").write_text("old")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    theirs, mine = tmp_path / "tmp/theirs", tmp_path / "tmp/mine"
    for link, target in ((theirs, "../secret"), (mine, "../own")):
        link.symlink_to(target)
    os.chown(theirs, 65534, 65534, follow_symlinks=False)
    chunk = base64.b64encode(b"new").decode()
    ret, retcode, _ = minion.run("cp.recv_chunked", str(theirs), chunk, compressed=False)
    assert retcode == 1 and "is a symlink of nobody, which is not followed" in ret
    assert minion("cp.recv", {"x": "new"}, str(theirs)) == {str(theirs): False}
    assert (tmp_path / "secret").read_text() == "old"
    assert minion("cp.recv_chunked", str(mine), chunk, compressed=False, mode=0o600) is True
    assert minion("cp.recv_chunked", str(mine), chunk, append=True, compressed=False) is True
    assert (tmp_path / "own").read_text() == "newnew" and mine.is_symlink()
    assert (
        minion("cp.recv", {"x": "again"}, str(mine)) == {str(mine): True} and (tmp_path / "own").read_text() == "again"
    )


def test_destination_that_is_no_file_is_left_alone(minion, master, tmp_path):
    master.put("f", "new")
    os.mkfifo(tmp_path / "fifo")
    assert "no regular file" in minion.error("cp.get_file", "salt://f", str(tmp_path / "fifo"))
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["conf", "fifo", "srv"]


def test_other_environments(minion, master, tmp_path):
    master.put("f", "base")
    master.put("f", "dev", env="dev")
    assert minion("cp.get_file_str", "salt://f") == "base"
    for args in (["salt://f?saltenv=dev"], ["salt://f", "dev"], ["salt:///f?saltenv=dev", "base"]):
        assert minion("cp.get_file_str", *args) == "dev"
    assert minion("cp.is_cached", "salt://f?saltenv=dev") == f"{minion.cache}/files/dev/f"
    assert minion("cp.envs") == ["base", "dev"]
    assert Minion(tmp_path, master, saltenv="dev")("cp.get_file_str", "salt://f") == "dev"


def test_file_takes_the_place_of_a_directory_and_the_other_way_round(minion, master):
    master.put("a/b", "1")
    minion("cp.cache_file", "salt://a/b")
    (master.root / "a/b").unlink()
    (master.root / "a").rmdir()
    master.put("a", "2")
    assert minion("cp.get_file_str", "salt://a") == "2"
    (master.root / "a").unlink()
    master.put("a/b", "3")
    assert minion("cp.get_file_str", "salt://a/b") == "3"


def test_symlink_in_the_cache_leads_nowhere(minion, master, tmp_path):
    (tmp_path / "outside").mkdir()
    (minion.cache / "files/base").mkdir(parents=True)
    (minion.cache / "files/base/d").symlink_to(tmp_path / "outside")
    (minion.cache / "files/base/f").symlink_to(tmp_path / "outside/f")
    for name in ("d/f", "f"):
        master.put(name, "x")
        assert minion("cp.get_file_str", f"salt://{name}") == "x"
    assert os.listdir(tmp_path / "outside") == []


PATHS = [
    "..", ".", "", "/", "../x", "../../x", "a/../../x", "a/./..//../etc/passwd", "/etc/x", "//etc/x", "a\0b", "\0",
    "salt://../x", "|../x", "|/etc/x", "../../../../../../../tmp/cp-escaped", "/proc/self/root/tmp/cp-escaped",
    "a/" * 4096 + "x", "x" * 5120, "x" * 256, "\ud800", "a\n/../../x",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ascii(path[:30]))
@pytest.mark.parametrize("where", ["path", "saltenv", "dest", "list"])
def test_no_path_leaves_the_cache(minion, master, tmp_path, path, where):
    """Names that lead elsewhere, as what is asked for and as what the master says."""
    before = snapshot(tmp_path, minion.cache)
    master.lies["_file_hash"] = {"hash_type": "sha256", "hsum": hashlib.sha256(b"evil").hexdigest()}
    sent = [] if "\ud800" in path else [path]  # what no master can send
    dest = sent[0] if sent and where == "dest" else "x"
    master.serve_file = lambda load: {"data": "" if load["loc"] else "evil", "dest": dest}
    master.lies["_file_list"] = [name for path in sent for name in (f"d/{path}", path, f"d{path}")]
    ret = {
        "path": lambda: minion.run("cp.cache_file", f"salt://{path}"),
        "saltenv": lambda: minion.run("cp.cache_file", "salt://x", path),
        "dest": lambda: minion.run("cp.cache_file", "salt://x"),
        "list": lambda: minion.run("cp.cache_dir", "salt://d"),
    }[where]()[0]
    assert "exception" not in str(ret), ret
    assert snapshot(tmp_path, minion.cache) == before and not os.path.lexists("/tmp/cp-escaped")
    inside = {minion.cache / "files", minion.cache / "parts"}
    assert all(any(p == i or p.is_relative_to(i) for i in inside) for p in minion.cache.rglob("*"))


@pytest.mark.parametrize("name", ["d/../../x", "d//../x", "d/a\0b", "d/" + "x" * 3000])
def test_directory_is_copied_below_its_destination_only(minion, master, tmp_path, name):
    (tmp_path / "to/deep").mkdir(parents=True)
    before = snapshot(tmp_path, minion.cache)
    master.lies |= {"_file_list": [name], "_file_list_emptydirs": [name]}
    minion.error("cp.get_dir", "salt://d", str(tmp_path / "to/deep"))
    assert snapshot(tmp_path, minion.cache) == before


# directories and lists


@pytest.fixture
def filled(master):
    for name in ("top.sls", "web/init.sls", "web/db.sls", "web/conf/a.conf", "web2/no", "webfile"):
        master.put(name, name)
    (master.root / "web/empty").mkdir()
    (master.root / "web/link").symlink_to("db.sls")
    return master


def test_directory_is_copied(minion, filled, tmp_path):
    wanted = ["conf/a.conf", "db.sls", "empty", "init.sls", "link"]
    for path in ("salt://web", "salt://web/"):
        assert minion("cp.get_dir", path, str(tmp_path / "to")) == [f"{tmp_path}/to/web/{name}" for name in wanted]
    assert (tmp_path / "to/web/conf/a.conf").read_text() == "web/conf/a.conf"
    assert minion("cp.get_dir", "salt://web/conf", str(tmp_path / "to")) == [f"{tmp_path}/to/conf/a.conf"]
    assert minion("cp.get_dir", "salt://none", str(tmp_path / "to")) == []


def test_directory_is_cached(minion, filled):
    home = f"{minion.cache}/files/base/web"
    all_files = [f"{home}/{name}" for name in ("conf/a.conf", "db.sls", "init.sls", "link")]
    assert minion("cp.cache_dir", "salt://web") == all_files == minion("cp.list_minion")
    assert minion("cp.cache_dir", "salt://web", include_pat="*.sls", exclude_pat="E@init") == [f"{home}/db.sls"]
    assert minion("cp.cache_dir", "salt://web", include_pat="E@conf$") == [f"{home}/conf/a.conf"]
    assert minion("cp.cache_dir", "salt://web", include_empty=True)[-1] == f"{home}/empty"
    assert minion("cp.cache_files", "salt://top.sls,salt://none") == [f"{minion.cache}/files/base/top.sls", False]


def test_lists(minion, filled):
    assert minion("cp.list_states") == ["top", "web", "web.db"]
    assert minion("cp.list_master", prefix="web/conf") == ["web/conf/a.conf"]
    assert minion("cp.list_master_dirs") == ["web", "web/conf", "web/empty", "web2"]
    assert minion("cp.list_master_symlinks") == {"web/link": "db.sls"}
    assert minion("cp.list_master", "none") == []


def test_hash_and_mode(minion, filled, tmp_path):
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "f").chmod(0o604)
    (filled.root / "top.sls").chmod(0o640)
    said = {"hash_type": "sha256", "hsum": hashlib.sha256(b"x").hexdigest()}
    assert minion("cp.hash_file", str(tmp_path / "f")) == said
    assert minion("cp.hash_file", "salt://top.sls") == filled.file_hash({"path": "top.sls", "saltenv": "base"})
    assert minion("cp.stat_file", str(tmp_path / "f")) == "0604"
    assert minion("cp.stat_file", "salt://top.sls") == "0640"
    assert minion("cp.stat_file", "salt://top.sls", octal=False) == 0o100640
    assert minion("cp.stat_file", "salt://none") is None


def test_what_is_not_there_is_said_as_salt_says_it(minion, tmp_path):
    for fun, args, ret in (
        ("hash_file", ["/none"], [{}, None]),
        ("get_file_str", ["salt://none"], False),
        ("get_template", ["salt://none", str(tmp_path / "x")], ""),
        ("get_url", ["salt://none", str(tmp_path / "x")], False),
        ("cache_file", ["salt://none"], False),
        ("cache_local_file", ["/none"], ""),
        ("is_cached", ["/none"], ""),
        ("get_dir", ["salt://none", str(tmp_path / "d")], []),
    ):
        assert minion(f"cp.{fun}", *args) == ret, fun


def test_other_modules_get_what_salt_gives_for_no_file(minion, tmp_path):
    minion.execution.load["fun"] = "mine.own"
    get_file = minion.execution.functions["cp.get_file"]
    assert get_file("salt://none", str(tmp_path / "x")) == ""
    assert get_file("salt://top.sls", f"{tmp_path}/new/") is False


def test_a_file_may_have_any_name(minion, master):
    master.put("grüße 世界.txt", "x")
    place = f"{minion.cache}/files/base/grüße 世界.txt"
    assert minion("cp.cache_file", "salt://grüße 世界.txt", use_etag=True) == place
    assert minion("cp.is_cached", "salt://grüße 世界.txt") == minion("cp.cache_dest", "salt://grüße 世界.txt") == place
    assert minion("cp.cache_master") == [place]


@pytest.mark.parametrize(("url", "place"), [
    ("salt://none/x y", "files/base/none/x y"), ("salt://a?saltenv=dev", "files/dev/a"),
    ("https://u:p@h.org:80/a/b?x=1", "extrn_files/base/h.org80/a/b-x=1"),
])  # fmt: skip
def test_where_a_file_would_be_is_where_salt_has_it(minion, url, place):
    assert minion("cp.cache_dest", url) == f"{minion.cache}/{place}"
    assert minion("cp.cache_dest", "/etc/hosts") == "/etc/hosts"


def test_a_file_of_this_machine_is_cached(minion, tmp_path):
    (tmp_path / "f").write_text("x")
    place = f"{minion.cache}/localfiles{tmp_path}/f"
    assert minion("cp.cache_local_file", f"{tmp_path}/f") == place == minion("cp.is_cached", f"{tmp_path}/f")
    assert Path(place).read_text() == "x"
    minion("saltutil.clear_cache")
    assert not Path(place).exists()


def test_templates_are_filled_in(minion, master, tmp_path):
    minion.execution.pillar = {"port": 80}
    text = "id {{ grains.id }} {{ pillar['port'] }} {{ salt['test.echo']('é') }} {{ saltenv }} {{ more }}\n"
    master.put("t.txt", text)
    wanted = "id web1 80 é base 7\n"
    dest = tmp_path / "out"
    assert minion("cp.get_template", "salt://t.txt", str(dest), more=7) == str(dest) and dest.read_text() == wanted
    place = minion("cp.get_template", "salt://t.txt", "", more=7)
    assert place == f"{minion.cache}/extrn_files/base/t.txt" and Path(place).read_text() == wanted
    assert minion("cp.get_template", "salt://t.txt", str(tmp_path / "no/x"), more=7) == ""
    assert minion("cp.get_template", "salt://t.txt", str(tmp_path / "no/x"), makedirs=True, more=7)
    assert minion("cp.get_file", "salt://{{ name }}.txt", f"{tmp_path}/{{{{ grains.id }}}}", template="jinja", name="t")
    assert (tmp_path / "web1").read_text() == text
    master.put("d/f", "x")
    assert minion("cp.get_dir", "salt://{{ 'd' }}", str(tmp_path), template="jinja") == [f"{tmp_path}/d/f"]


@pytest.mark.parametrize(("text", "why"), [
    ("{{ nosuch }}", "salt://t cannot be filled in: 'nosuch' is undefined."),
    ("a\n{% if %}", "salt://t line 2 cannot be filled in: Expected an expression, got 'end of statement block'."),
    ("{{ ''.__class__.__mro__ }}", "is unsafe"),
    ("{{ salt['no.such']() }}", "salt://t cannot be filled in: "),
])  # fmt: skip
def test_a_template_that_is_wrong_says_where(minion, master, tmp_path, text, why):
    master.put("t", text)
    assert why in minion.error("cp.get_template", "salt://t", str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_what_is_in_a_file_is_given_up_to_a_limit(minion, master):
    master.put("text", TEXT)
    master.put("binary", BINARY)
    assert minion("cp.get_file_str", "salt://text") == TEXT
    assert minion("cp.get_file_str", "salt://binary") == BINARY
    minion.execution.opts = {**minion.opts, "max_return_size": 100}
    assert "max_return_size" in minion.error("cp.get_file_str", "salt://text")


def test_script_of_the_master_is_run(minion, master):
    master.put("s.sh", "#!/bin/sh\necho ran $1\n")
    assert minion("cmd.script", "salt://s.sh", "well")["stdout"] == "ran well"
    assert minion.run("cmd.script", "salt://none")[0]["cache_error"] is True


def test_what_is_not_supported_is_a_sentence(minion, tmp_path):
    assert "template='mako' is not supported" in minion.error("cp.get_file", "salt://f", "/x", template="mako")
    assert "There is no keyword tempalte" in minion.error("cp.get_file", "salt://f", "/x", tempalte="jinja")
    assert "Unsupported path" in minion.error("cp.get_file", "/etc/hosts", "/x")
    assert "not supported" in minion.error("cp.get_url", "s3://bucket/x")
    assert "not absolute" in minion.error("cp.get_url", "x/y")
    assert "no master to ask" in Minion(tmp_path, None).error("cp.list_master")


# web servers


class Web(http.server.BaseHTTPRequestHandler):
    answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
    seen: list[tuple[str, str | None]] = []

    def do_GET(self):
        self.seen.append((self.path, self.headers["Authorization"]))
        code, headers, body = self.answers.get(self.path, (404, {}, b""))
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def web(context=None) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def web_url(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    Web.answers, Web.seen = {"/d/f": (200, {}, BINARY), "/d/f?v=1/2": (200, {}, b"query")}, []
    with web() as url:
        yield url


@pytest.fixture
def secure(web_url, tmp_path):
    """A server whose certificate is signed by itself: its address, and the certificate's file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "127.0.0.1")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(1))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = builder.add_extension(alternative, False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "server.pem").write_bytes(secret + signed.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with web(context) as url:
        yield url, str(tmp_path / "server.pem")


def test_file_comes_from_a_web_server(minion, web_url, tmp_path):
    host = web_url.removeprefix("http://").replace(":", "")
    assert minion("cp.get_url", f"{web_url}/d/f", str(tmp_path / "f")) == str(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == minion("cp.get_url", f"{web_url}/d/f", None) == BINARY
    assert minion("cp.is_cached", f"{web_url}/d/f") == ""
    for fun in ("cp.cache_file", "cp.is_cached"):
        assert minion(fun, f"{web_url}/d/f") == f"{minion.cache}/extrn_files/base/{host}/d/f"
    assert minion("cp.get_file_str", f"{web_url}/d/f?v=1/2") == "query"
    assert minion("cp.get_url", f"{web_url}/d/f", str(tmp_path / "no/f")) == ""
    assert "404" in minion.error("cp.get_url", f"{web_url}/none") or "Not Found" in minion.error(
        "cp.get_url", f"{web_url}/x"
    )


def test_download_must_have_its_hash(minion, web_url, tmp_path):
    good, place = hashlib.sha256(BINARY).hexdigest(), tmp_path / "f"
    assert "does not have the hash" in minion.error("cp.get_url", f"{web_url}/d/f", str(place), source_hash="0" * 64)
    assert not place.exists() and os.listdir(minion.cache / "parts") == []
    for said in (f"sha256={good}", good.upper()):
        assert minion("cp.get_url", f"{web_url}/d/f", str(place), source_hash=said) == str(place)
    assert len(Web.seen) == 2  # what is there already is not asked for
    assert "hexadecimal" in minion.error("cp.get_url", f"{web_url}/d/f", source_hash="abc")


def test_download_that_breaks_off_is_no_file(minion, web_url, tmp_path):
    Web.answers["/cut"] = (200, {"Content-Length": "9000"}, BINARY)
    assert "before its end" in minion.error("cp.get_url", f"{web_url}/cut", str(tmp_path / "f"))
    assert not (tmp_path / "f").exists()


def test_password_goes_to_its_server_and_into_no_message(minion, web_url):
    address = web_url.replace("//", "//joe:s%40cret@")
    minion("cp.get_url", f"{address}/d/f", None)
    assert Web.seen == [("/d/f", "Basic am9lOnNAY3JldA==")]
    assert "cret" not in minion.error("cp.get_url", f"{address}/none", None)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "//../x"])
def test_redirection_leads_nowhere_else(minion, web_url, tmp_path, target):
    Web.answers["/moved"] = (302, {"Location": target}, b"")
    minion.error("cp.get_url", f"{web_url}/moved", str(tmp_path / "f"))
    assert not (tmp_path / "f").exists()


def test_certificate_is_verified(minion, secure, web_url, monkeypatch):
    url, certificate = secure
    assert "certificate verify failed" in minion.error("cp.get_url", f"{url}/d/f", None)
    assert "certificate verify failed" in minion.error("cp.cache_file", f"{url}/d/f")
    assert Path(minion("cp.cache_file", f"{url}/d/f", verify_ssl=False)).read_bytes() == BINARY
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    assert minion("cp.get_url", f"{url}/d/f", None) == BINARY
    Web.answers["/down"] = (302, {"Location": f"{web_url}/d/f"}, b"")
    assert "not followed" in minion.error("cp.get_url", f"{url}/down", None)
    Web.answers["/up"] = (302, {"Location": f"{url}/d/f"}, b"")
    assert minion("cp.get_url", f"{web_url}/up", None) == BINARY


@pytest.mark.parametrize("path", ["/../../../x", "/a/../../../../x", "/a?/../../x", "/" + "x" * 3000])
def test_no_address_leaves_the_cache(minion, web_url, tmp_path, path):
    Web.answers[path] = (200, {}, b"evil")
    before = snapshot(tmp_path, minion.cache)
    minion.error("cp.cache_file", f"{web_url}{path}")
    assert snapshot(tmp_path, minion.cache) == before


def test_local_file_is_its_own_copy(minion, tmp_path):
    (tmp_path / "f").write_text("here")
    assert minion("cp.get_url", f"file://{tmp_path}/f") == minion("cp.get_url", f"{tmp_path}/f") == f"{tmp_path}/f"
    assert minion("cp.get_url", f"file://{tmp_path}/f", None) == minion("cp.get_file_str", f"{tmp_path}/f") == "here"
    assert "cannot be read" in minion.error("cp.get_file_str", f"{tmp_path}/none")
