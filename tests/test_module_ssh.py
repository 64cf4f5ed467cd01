"""ssh: authorized_keys, known_hosts and the machine's own keys, in files of a directory."""

import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from one_minion import Minion

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIHIhN3cIvFQTbhDdQo2zNS9qB1GhSUF3BMVt5d8rTRHZ"
OTHER = "AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q"
HOST = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
USER = getpass.getuser()
FILE = f'# of somebody\n\nfrom="10.0.0.1",no-pty ssh-ed25519 {OTHER} other@example.org\nnonsense\n'
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
needs_keygen = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="there is no ssh-keygen")


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "minion", None)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "keys/authorized_keys"
    path.parent.mkdir()
    path.write_text(FILE)
    path.chmod(0o640)
    return str(path)


def test_a_key_is_added_replaced_and_removed_and_other_lines_stay(minion, config):
    add = (USER, KEY, "ed25519", "a comment")
    assert minion("ssh.check_key", *add, [], config=config) == "add"
    assert minion("ssh.set_auth_key", *add, config=config) == "new"
    assert minion("ssh.set_auth_key", *add, config=config) == "no change"
    assert minion("ssh.check_key", *add, [], config=config) == "exists"
    found = minion("ssh.auth_keys", USER, config)
    assert found[KEY]["enc"] == "ssh-ed25519" and found[KEY]["comment"] == "a comment" and found[KEY]["options"] == []
    assert found[OTHER]["options"] == ['from="10.0.0.1"', "no-pty"] and found[OTHER]["fingerprint"].count(":") == 31
    assert minion("ssh.set_auth_key", USER, KEY, "ssh-ed25519", options=["no-pty"], config=config) == "replace"
    assert Path(config).read_text() == f"{FILE}no-pty ssh-ed25519 {KEY} \n"
    assert minion("ssh.rm_auth_key", USER, KEY, config=config) == "Key removed"
    assert minion("ssh.rm_auth_key", USER, KEY, config=config) == "Key not present"
    assert Path(config).read_text() == FILE and oct(os.stat(config).st_mode)[-3:] == "640"
    assert os.listdir(os.path.dirname(config)) == ["authorized_keys"]


def test_a_comment_makes_no_second_line(minion, config):
    odd = "".join(map(chr, (0x85, 0x2028, 0x2029)))
    Path(config).write_bytes((FILE + f"# {odd}ssh-ed25519 {HOST} \x0cevil\r\n").encode())
    before = Path(config).read_bytes()
    assert minion("ssh.set_auth_key", USER, KEY, "ed25519", f"{odd}ssh-ed25519 {HOST} evil", config=config) == "new"
    assert minion("ssh.set_auth_key", USER, KEY, "ed25519", "plain", config=config) == "replace"
    assert Path(config).read_bytes() == before + f"ssh-ed25519 {KEY} plain\n".encode()
    assert list(minion("ssh.auth_keys", USER, config)) == [OTHER, KEY]


def test_a_new_file_is_for_its_user_alone(minion, tmp_path):
    config = str(tmp_path / "new/%u_%%")
    assert minion("ssh.set_auth_key", USER, KEY, "ssh-ed25519", config=config) == "new"
    path = tmp_path / f"new/{USER}_%"
    assert path.read_text() == f"ssh-ed25519 {KEY} \n" and oct(path.stat().st_mode)[-3:] == "600"
    assert oct(path.parent.stat().st_mode)[-3:] == "700"
    assert minion("ssh.auth_keys", [USER, "nosuch"], config) == {USER: minion("ssh.auth_keys", USER, config)}
    assert "only %u, %h and %%" in minion.error("ssh.auth_keys", USER, "/x/%f")


def test_test_changes_nothing(minion, config):
    assert minion("ssh.set_auth_key", USER, KEY, "ed25519", config=config, test=True).startswith("Would add the key in")
    assert minion("ssh.rm_auth_key", USER, OTHER, config=config, test=True).startswith("Would remove the key from")
    assert Path(config).read_text() == FILE


def test_what_is_no_key_is_refused(minion, config):
    assert minion("ssh.set_auth_key", USER, "a b", config=config) == "invalid"
    assert minion("ssh.set_auth_key", USER, "abc", config=config) == "Invalid public key"
    assert "Incorrect encryption key type" in minion.error("ssh.set_auth_key", USER, KEY, "rot13", config=config)
    assert "no line end" in minion.error("ssh.set_auth_key", USER, KEY, "rsa", "a\nssh-rsa AAAA", config=config)
    assert "does not exist" in minion.error("ssh.set_auth_key", "nosuch", KEY, "rsa")
    assert "is not supported" in minion.error("ssh.auth_keys", USER, config, "rot13")
    assert Path(config).read_text() == FILE


@pytest.fixture
def everybodys():
    """A directory that everybody can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@as_root
def test_a_link_in_a_home_leads_nowhere_that_its_user_could_not_go(minion, everybodys, monkeypatch):
    """Root would follow it, and write there."""
    nobody = pwd.getpwnam("nobody")
    home, secret = everybodys / "home", everybodys / "secret"
    for directory in (home, secret):
        directory.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    secret.chmod(0o700)
    (home / ".ssh").symlink_to(secret)
    real = minion.execution.functions["user.info"]
    function = minion.execution.functions["ssh.set_auth_key"]
    known = {"user.info": lambda name: {**real(name), "home": str(home)}}
    monkeypatch.setitem(function.__globals__, "__salt__", known)
    with pytest.raises(Exception, match="cannot be written: Permission denied"):
        function("nobody", KEY, "ssh-ed25519")
    assert list(secret.iterdir()) == [] and os.geteuid() == 0 and os.getegid() == 0
    (home / ".ssh").unlink()
    assert function("nobody", KEY, "ssh-ed25519") == "new"
    assert (home / ".ssh/authorized_keys").owner() == (home / ".ssh").owner() == "nobody"
    assert function.__globals__["rm_auth_key"]("nobody", KEY) == "Key removed"


def test_keys_of_a_file(minion, config, tmp_path):
    source = tmp_path / "keyfile"
    source.write_text(f"ssh-ed25519 {KEY} a\nssh-ed25519 {OTHER} other@example.org\n")
    states = minion("ssh.check_key_file", USER, str(source), config=config)
    assert states == {KEY: "add", OTHER: "update"}
    assert minion("ssh.set_auth_key_from_file", USER, str(source), config=config) == "replace"
    assert minion("ssh.set_auth_key_from_file", USER, str(source), config=config) == "no change"
    assert minion("ssh.rm_auth_key_from_file", USER, str(source), config=config) == "Key removed"
    assert minion("ssh.auth_keys", USER, config) == {}
    source.write_text("nothing\n")
    assert "No keys detected in" in minion.error("ssh.set_auth_key_from_file", USER, str(source), config=config)


@needs_keygen
def test_hosts_are_known_and_forgotten(minion, tmp_path):
    config = str(tmp_path / "known_hosts")
    at = {"hostname": "h.example.org", "config": config}
    Path(config).write_text(f"other.example.org ssh-ed25519 {OTHER}\n")
    assert minion("ssh.check_known_host", USER, key=HOST, **at) == "add"
    new = {"hostname": "h.example.org", "enc": "ssh-ed25519", "key": HOST}
    found = minion("ssh.set_known_host", USER, key=HOST, enc="ed25519", hash_known_hosts=False, **at)
    assert found == {"status": "updated", "old": None, "new": [new]}
    assert minion("ssh.get_known_host_entries", USER, **at)[0]["key"] == HOST
    assert minion("ssh.check_known_host", USER, key=HOST, **at) == "exists"
    assert minion("ssh.check_known_host", USER, key=KEY, **at) == "update"
    assert minion("ssh.set_known_host", USER, key=HOST, **at) == {"status": "exists", "keys": [HOST]}
    assert minion("ssh.set_known_host", USER, key=KEY, enc="ed25519", **at)["status"] == "updated"
    assert [each["key"] for each in minion("ssh.get_known_host_entries", USER, **at)] == [KEY]
    assert "h.example.org" not in Path(config).read_text() and "|1|" in Path(config).read_text()
    assert minion("ssh.rm_known_host", USER, **at)["status"] == "removed"
    assert minion("ssh.get_known_host_entries", USER, **at) is None
    assert OTHER in Path(config).read_text()
    assert minion("ssh.rm_known_host", USER, hostname="x", config=f"{config}2")["status"] == "error"
    assert "is no name of a host" in minion.error("ssh.rm_known_host", USER, "-oProxyCommand=x", config)


@needs_keygen
def test_own_keys_of_the_machine(minion, tmp_path):
    for kind in ("ed25519", "ecdsa"):
        path = tmp_path / f"ssh_host_{kind}_key"
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
    found = minion("ssh.host_keys", str(tmp_path))
    assert sorted(found) == ["ecdsa", "ecdsa.pub", "ed25519", "ed25519.pub"]
    assert found["ed25519.pub"].startswith("ssh-ed25519 AAAA") and "PRIVATE KEY" in found["ed25519"]
    assert sorted(minion("ssh.host_keys", str(tmp_path), private=False)) == ["ecdsa.pub", "ed25519.pub"]
    keys = minion("ssh.user_keys", USER, pubfile=str(tmp_path / "ssh_host_ed25519_key.pub"), prvfile=False)
    assert keys == {USER: {"ssh_host_ed25519_key.pub": found["ed25519.pub"]}}
    assert "cannot be read" in minion.error("ssh.host_keys", "/nosuch")


@needs_keygen
@pytest.mark.parametrize(("words", "locked"), [
    (["-t", "ed25519", "-N", ""], False), (["-t", "ed25519", "-N", "secret"], True),
    (["-t", "ecdsa", "-m", "PEM", "-N", ""], False), (["-t", "ecdsa", "-m", "PEM", "-N", "secret"], True),
    (["-t", "ecdsa", "-m", "PKCS8", "-N", "secret"], True),
])  # fmt: skip
def test_a_pass_phrase_of_a_key_is_seen(minion, tmp_path, words, locked):
    subprocess.run(["ssh-keygen", "-q", *words, "-f", str(tmp_path / "key")], check=True)
    assert minion("ssh.key_is_encrypted", str(tmp_path / "key")) is locked
    assert "is not a private key" in minion.error("ssh.key_is_encrypted", str(tmp_path / "key.pub"))
    assert "No such file" in minion.error("ssh.key_is_encrypted", str(tmp_path / "none"))


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_of_a_key_so_much_is_looked_at_and_no_more(minion, tmp_path, more):
    text = "-----BEGIN PRIVATE KEY-----"
    own = minion.execution.functions["ssh.key_is_encrypted"].__globals__
    own["MAX_KEY"] = 100
    (tmp_path / "key").write_text("x" * (100 - len(text) + more) + f"{text}\nAAAA\n")
    ret, _, success = minion.run("ssh.key_is_encrypted", str(tmp_path / "key"))
    assert (ret is False) is success is (more < 0)
