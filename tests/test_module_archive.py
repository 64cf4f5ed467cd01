"""The module files archive, hashutil, temp, random, environ and hosts: what is refused, and what stays as it is.

tests/functions.py compares all of their functions with real Salt's."""

from __future__ import annotations

import io
import os
import pwd
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from one_minion import Minion, snapshot

LINK, FILE = stat.S_IFLNK | 0o777, stat.S_IFREG | 0o644
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "home", None, {"id": "web1"}, **{"hosts.file": str(tmp_path / "hosts")})


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


def packed(path, *members):
    """A zip archive of (name, text, mode)."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, text)
    return str(path)


# What is unpacked stays in its directory


@pytest.mark.parametrize(("members", "why"), [
    ([("../out", "x", FILE)], "its name leads out of the directory"),
    ([("a/../../out", "x", FILE)], "its name leads out of the directory"),
    ([("/tmp/out", "x", FILE)], "its name leads out of the directory"),
    ([("a/b/../..", "x", FILE)], "its name leads out of the directory"),
    ([("l", "/etc", LINK)], "it is a link to /etc"),
    ([("a/l", "../../out", LINK)], "it is a link to ../../out"),
    ([("l", "..", LINK), ("l/x", "x", FILE)], "it is a link to .."),
    ([("l", "a", LINK), ("l/x", "x", FILE)], "it would be written through a link of the archive"),
    ([("l/x", "x", FILE), ("l", "a", LINK)], "it would be written through a link of the archive"),
    ([("there/x", "x", FILE)], "a link in the directory leads out of it"),
    ([("there/", "", 0o40700)], "a link in the directory leads out of it"),
    ([("./l", "a", LINK), ("l/x", "x", FILE)], "it would be written through a link of the archive"),
    ([("l", "a", LINK), ("b/../l/x", "x", FILE)], "its name leads out of the directory"),
    ([("l", "a", LINK), (".//l/x", "x", FILE)], "it would be written through a link of the archive"),
    ([("d", ".", LINK), ("l", "d/..", LINK)], "it is a link to d/.."),
    ([("d", ".", LINK), ("l", "./d/.././y", LINK)], "it is a link to ./d/.././y"),
])  # fmt: skip
def test_an_archive_that_leads_out_is_refused_as_a_whole(minion, home, tmp_path, members, why):
    (home / "dest").mkdir()
    (home / "dest/there").symlink_to(tmp_path)
    archive = packed(home / "x.zip", ("good", "good", FILE), *members)
    before = snapshot(tmp_path, tmp_path / "home")
    error = minion.error("archive.unzip", archive, str(home / "dest"))
    assert error.endswith(f"and nothing else: {why}.")
    assert snapshot(tmp_path, tmp_path / "home") == before


def test_a_zip_archive_is_unpacked_with_modes_and_links_and_without_setuid(minion, home):
    members = [("d/", "", 0o40750), ("d/run", "x", 0o104755), ("d/l", "run", LINK), ("d/plain", "x", 0)]
    archive = packed(home / "x.zip", *members)
    (home / "dest/d").mkdir(parents=True)
    (home / "dest/d/run").symlink_to("/etc/passwd")  # what is there is replaced, not written through
    assert minion("archive.unzip", archive, str(home / "dest")) == [name for name, _, _ in members]
    run = home / "dest/d/run"
    assert stat.S_IMODE(run.lstat().st_mode) == 0o755 and run.read_text() == "x" and not run.is_symlink()
    assert os.readlink(home / "dest/d/l") == "run" and stat.S_IMODE((home / "dest/d").stat().st_mode) == 0o750
    assert minion("archive.unzip", archive, str(home / "other"), excludes="d/l", test=True) == [
        "d/",
        "d/run",
        "d/plain",
    ]
    assert not (home / "other").exists()


def test_what_has_no_room_is_not_begun(minion, home):
    free = os.statvfs(home).f_bavail * os.statvfs(home).f_frsize
    number = free // 0xFFFFFFFE + 1
    archive = packed(home / "x.zip", *((f"{at}", "x", FILE) for at in range(number)))
    data = Path(archive).read_bytes()
    entries = data[data.index(b"PK\x01\x02") :].split(b"PK\x01\x02")  # each claims to hold nearly 4 GB
    entries = [entry[:20] + b"\xfe\xff\xff\xff" + entry[24:] if entry else entry for entry in entries]
    Path(archive).write_bytes(data[: data.index(b"PK\x01\x02")] + b"PK\x01\x02".join(entries))
    assert "has no room for them" in minion.error("archive.unzip", archive, str(home / "dest"))
    assert not (home / "dest").exists()


@pytest.mark.parametrize("text", [b"", b"no archive", b"PK\x03\x04" + b"\0" * 99])
def test_what_is_no_archive_is_said(minion, home, text):
    (home / "x.zip").write_bytes(text)
    (home / "x.tar").write_bytes(text)
    for fun, args in (("unzip", ["x.zip", "d"]), ("list", ["x.zip"]), ("list", ["x.tar"]), ("is_encrypted", ["x.zip"])):
        error = minion.error(f"archive.{fun}", *[str(home / arg) for arg in args])
        assert str(home) in error or "not a zip file" in error
    assert not (home / "d").exists()


def test_an_archive_is_there_whole_or_not_at_all(minion, home):
    (home / "d").mkdir()
    (home / "d/x").write_text("x")
    os.mkfifo(home / "d/pipe")
    (home / "made.zip").write_text("what was there")
    assert "is not there, so nothing was packed" in minion.error(
        "archive.zip", str(home / "made.zip"), [str(home / "d"), str(home / "no")]
    )
    assert (home / "made.zip").read_text() == "what was there" and sorted(os.listdir(home)) == ["d", "made.zip"]
    assert minion("archive.zip", str(home / "made.zip"), "d", cwd=str(home)) == ["d/", "d/x"]
    assert minion("archive.zip", str(home / "d/in.zip"), "d", cwd=str(home), test=True) == ["d/", "d/x"]
    minion("archive.zip", str(home / "d/in.zip"), "d", cwd=str(home))
    assert minion("archive.list", str(home / "d/in.zip")) == ["d/", "d/x"]
    assert sorted(os.listdir(home / "d")) == ["in.zip", "pipe", "x"]


@as_root
def test_nothing_is_written_behind_a_link_of_somebody_in_a_directory_of_everybody(minion, home):
    """The kernel would not follow it; to look first where it leads must not go round that."""
    (home / "secret").write_text("old")
    (home / "tmp").mkdir()
    (home / "tmp").chmod(0o1777)
    for name in ("zip", "decoded"):
        (home / "tmp" / name).symlink_to(home / "secret")
        os.chown(home / "tmp" / name, 65534, 65534, follow_symlinks=False)
    minion("archive.zip", str(home / "tmp/zip"), str(home / "secret"))
    assert zipfile.is_zipfile(home / "tmp/zip") and not (home / "tmp/zip").is_symlink()
    assert "another user's link" in minion.error(
        "hashutil.base64_decodefile", instr="AP8=", outfile=str(home / "tmp/decoded")
    )
    assert (home / "secret").read_text() == "old"


def test_a_file_is_never_taken_for_an_option_of_tar(minion, home):
    for name in ("x", "--checkpoint=1", "--checkpoint-action=exec=touch pwned"):
        (home / name).write_text("x")
    run = minion.execution.functions
    before = os.getcwd()
    os.chdir(home)  # the glob is filled in where the job runs
    try:
        run["archive.tar"]("cf", str(home / "made.tar"), "*", cwd=str(home))
    finally:
        os.chdir(before)
    assert "pwned" not in os.listdir(home)
    with tarfile.open(home / "made.tar") as archive:
        assert len(archive.getnames()) == 3


def test_programs_are_asked_for_by_name_and_test_runs_none(minion, home, monkeypatch):
    (home / "bin").mkdir()
    for name in ("zip", "unzip"):  # which not every machine has
        (home / "bin" / name).touch(0o755)
    monkeypatch.setenv("PATH", f"{home}/bin:{os.environ['PATH']}")
    assert minion("archive.gzip", str(home / "x"), options="-9 -k", test=True) == [f"Would run: gzip -9 -k {home}/x"]
    for fun in ("gzip", "gunzip"):
        assert minion(f"archive.{fun}", "--help", test=True) == [f"Would run: {fun} ./--help"]
    assert minion("archive.cmd_zip", "-x", "y", test=True) == ["Would run: zip -r ./-x y"]
    assert minion("archive.cmd_unzip", "-x", "y", test=True) == ["Would run: unzip ./-x -d y"]
    assert minion("archive.tar", "xf", "a b.tar", dest="/x", test=True) == ["Would run: tar xf 'a b.tar' -C /x"]
    for fun, args in (("cmd_zip", ["a.zip", "x,y"]), ("cmd_unzip", ["a.zip", "d"]), ("gunzip", ["x.gz"])):
        monkeypatch.setenv("PATH", str(home))
        assert "is not installed on this machine." in minion.error(f"archive.{fun}", *args)
    monkeypatch.undo()
    ret, retcode, success = minion.run("archive.gunzip", str(home / "missing.gz"))
    assert success and retcode == 1 and "No such file" in ret[0]


@as_root
def test_another_users_rights_count(minion, home):
    secret = home / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    open_to_all(home)
    error = minion.error("archive.zip", str(home / "x.zip"), str(secret), runas="nobody")
    assert "Permission denied" in error and os.geteuid() == 0 and not (home / "x.zip").exists()
    (home / "open").write_text("x")
    minion("archive.zip", str(home / "y.zip"), str(home / "open"), runas="nobody")
    assert (home / "y.zip").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert "User 'nosuchuser' does not exist" in minion.error("archive.unzip", "a", "b", runas="nosuchuser")


def test_lists_are_trimmed_at_their_bound(minion, home):
    archive = packed(home / "x.zip", *((f"{number}", "", FILE) for number in range(101)))
    names = [str(number) for number in range(101)]
    assert minion("archive.unzip", archive, str(home / "d")) == names
    for count in (100, 101, 102):
        expected = names if count >= 101 else [*names[:100], "List trimmed after 100 files."]
        assert minion("archive.unzip", archive, str(home / "d"), trim_output=count) == expected
    assert minion("archive.unzip", archive, str(home / "d"), trim_output=True)[-1] == "List trimmed after 100 files."


def test_a_tar_archive_is_listed_through_a_program(minion, home):
    with tarfile.open(home / "x.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("top/x")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    assert minion("archive.list", str(home / "x.tar.gz")) == ["top/x"]
    verbose = minion("archive.list", str(home / "x.tar.gz"), verbose=True)
    assert verbose["top_level_dirs"] == ["top/"] and verbose["files"] == ["top/x"]
    os.rename(home / "x.tar.gz", home / "x.tar.odd")
    assert minion("archive.list", str(home / "x.tar.odd"), archive_format="tar", options="gzip -dc") == ["top/x"]


# hosts

HOSTS = "# by hand\n\n127.0.0.1  localhost   loghost # here\n192.0.2.7 a b"


def test_lines_of_others_stay_as_they_are(minion, tmp_path):
    path = tmp_path / "hosts"
    path.write_bytes(HOSTS.encode() + b"\n# caf\xe9\n")
    path.chmod(0o640)
    minion("hosts.add_host", "192.0.2.8", "new")
    minion("hosts.add_host", "192.0.2.7", "c")
    text = path.read_bytes()
    assert text.startswith(HOSTS.rpartition("192")[0].encode()) and b"# caf\xe9\n" in text
    assert b"192.0.2.7\t\ta b c\n" in text and text.endswith(b"192.0.2.8\t\tnew\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    minion("hosts.rm_host", "127.0.0.1", "loghost")
    assert b"127.0.0.1\t\tlocalhost\t\t# here\n" in path.read_bytes()
    minion("hosts.set_host", "192.0.2.7", "")
    assert minion("hosts.get_alias", "192.0.2.7") == [] and minion("hosts.get_ip", "new") == "192.0.2.8"


def test_a_file_of_hosts_that_is_not_there_is_made(minion, tmp_path):
    assert minion("hosts.list_hosts") == {} and minion("hosts.get_ip", "x") == ""
    minion("hosts.set_host", "192.0.2.1", "one uno", comment="first")
    assert (tmp_path / "hosts").read_text() == "192.0.2.1\t\tone uno\t\t# first\n"
    assert minion("hosts.list_hosts") == {"192.0.2.1": {"aliases": ["one", "uno"], "comment": "first"}}


@pytest.mark.parametrize("odd", ["", " ", "a\n192.0.2.66 evil", "a#b", "a\0"])
def test_what_would_break_a_line_is_refused(minion, tmp_path, odd):
    (tmp_path / "hosts").write_text(HOSTS)
    for fun, args in (("add_host", [odd, "x"]), ("add_host", ["192.0.2.7", odd]), ("set_comment", ["192.0.2.7", odd])):
        assert "cannot stand in a line of" in minion.error(f"hosts.{fun}", *args)
    assert (tmp_path / "hosts").read_text() == HOSTS


def test_with_test_nothing_changes(minion, home, tmp_path):
    (tmp_path / "hosts").write_text(HOSTS)
    rows = [
        ("hosts.add_host", ["192.0.2.9", "x"]), ("hosts.set_host", ["192.0.2.7", "x"]),
        ("hosts.set_host", ["192.0.2.7", ""]), ("hosts.rm_host", ["192.0.2.7", "a"]),
        ("hosts.set_comment", ["192.0.2.7", "x"]), ("temp.dir", []), ("temp.file", []),
        ("hashutil.base64_decodefile", ["eHh4", str(home / "x")]), ("environ.setval", ["ODD", "x"]),
        ("environ.setenv", [{"ODD": "x"}]), ("archive.zip", [str(home / "x.zip"), str(tmp_path / "hosts")]),
    ]  # fmt: skip
    before = snapshot(tmp_path, tmp_path / "home")
    for fun, args in rows:
        ret = minion(fun, *args, test=True)
        assert fun == "archive.zip" or ret.startswith("Would "), fun
        assert snapshot(tmp_path, tmp_path / "home") == before and "ODD" not in os.environ, fun


# What is random


def test_random_texts_are_made_of_what_is_wanted(minion):
    assert set(minion("random.get_str", 500, chars="ab")) == {"a", "b"}
    assert minion("random.get_str", 8) != minion("random.get_str", 8) and len(minion("random.get_str")) == 20
    most = minion.execution.functions["random.get_str"].__globals__["MAX_LENGTH"]
    for length, good in ((most - 1, True), (most, True), (most + 1, False), (0, True), (-1, False), ("x", False)):
        ret, _, success = minion.run("random.get_str", length, chars="a")
        assert success is good and (not good or len(ret) == length)
    assert "some characters must be wanted" in minion.error(
        "random.get_str", 5, lowercase=False, uppercase=False, digits=False, punctuation=False
    )


def test_a_password_is_hashed_as_shadow_has_it(minion):
    known = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
    assert minion("random.shadow_hash", "saltstring", "Hello world!") == known  # as openssl passwd says
    made = minion("random.shadow_hash", password="x")
    assert minion("random.shadow_hash", made.split("$")[2], "x") == made
    assert minion("random.shadow_hash") != minion("random.shadow_hash")
    assert "NUL" in minion.error("random.shadow_hash", "a\0b", "x")


def test_a_file_that_is_decoded_keeps_mode_and_owner(minion, home):
    path = home / "x"
    path.write_text("old")
    path.chmod(0o600)
    (home / "link").symlink_to("x")
    assert minion("hashutil.base64_decodefile", instr="AP8=", outfile=str(home / "link")) is True
    assert path.read_bytes() == b"\0\xff" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "This is not base64" in minion.error("hashutil.base64_decodefile", "abc", str(path))
    assert path.read_bytes() == b"\0\xff" and sorted(os.listdir(home)) == ["link", "x"]


def test_a_job_changes_no_environment_but_its_own(minion):
    try:
        assert minion("environ.setval", "SALTLITE_ODD", "1") == "1"
        assert minion("cmd.run", "echo $SALTLITE_ODD") == "1"
        assert "no job changes the environment" in minion.error("environ.setenv", {"a": "b"}, update_minion=True)
    finally:
        os.environ.pop("SALTLITE_ODD", None)
