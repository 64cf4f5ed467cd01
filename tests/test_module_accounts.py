"""user, group and shadow: the programs that change accounts, in a tree of their own (`root=`)."""

import os
import pwd
import re
from pathlib import Path

import pytest
from one_minion import Minion

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change accounts, of another tree, too")
HASH = "$5$saltsalt$CV/k67s0DbV7QXiMY0PtiKu/kz4ttRdT3r/6kV.wFC5"  # of I_am_password
FILES = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nbroken\n",
    "group": "root:x:0:\nstaff:x:50:\nbroken:x\n",
    "shadow": "root:*:19000:0:99999:7:::\n",
    "gshadow": "root:*::\nstaff:*::\n",
    "login.defs": "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nUSERGROUPS_ENAB yes\n",
}


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "minion", None)


@pytest.fixture
def root(tmp_path):
    """A tree that has accounts, and nothing else."""
    for name, text in FILES.items():
        path = tmp_path / "tree/etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "tree/home").mkdir()
    for name in ("shadow", "gshadow"):
        (tmp_path / "tree/etc" / name).chmod(0o600)
    return str(tmp_path / "tree")


@pytest.fixture
def alice(minion, root):
    minion("user.add", "alice", uid=2000, groups="staff", shell="/bin/bash", fullname="Alice L", other="a,b", root=root)
    return minion


# This machine's, which are only looked at


def test_what_the_machine_knows_of_root(minion):
    found = minion("user.info", "root")
    entry = pwd.getpwnam("root")
    assert (found["uid"], found["gid"], found["home"], found["shell"]) == (0, 0, entry.pw_dir, entry.pw_shell)
    assert "root" in found["groups"] and minion("user.primary_group", "root") == "root"
    assert found in minion("user.getent")
    assert minion("user.info", "nosuch") == minion("group.info", "nosuch") == {}
    assert minion("group.info", "root")["gid"] == 0
    assert "root" in minion("user.list_users") and minion("user.list_groups", "nosuch") == []


def test_the_user_that_the_minion_runs_as_is_not_deleted(minion):
    for name in {"root", pwd.getpwuid(os.geteuid()).pw_name}:
        assert "is not deleted" in minion.error("user.delete", name)


@pytest.mark.parametrize("name", ["-r", "a:b", "a b", "a\nb", ""])
def test_what_is_no_name_is_refused(minion, name):
    for fun in ("user.add", "group.add", "group.delete"):
        assert "is no name of a" in minion.error(fun, name)


# A tree of its own


@as_root
def test_a_user_is_added_changed_and_deleted(alice, root):
    found = alice("user.info", "alice", root=root)
    assert found == {
        "name": "alice", "uid": 2000, "gid": 2000, "groups": ["alice", "staff"], "home": "/home/alice", "passwd": "x",
        "shell": "/bin/bash", "fullname": "Alice L", "roomnumber": "", "workphone": "", "homephone": "", "other": "a,b",
    }  # fmt: skip
    assert os.path.isdir(f"{root}/home/alice")
    changes = {"chshell": "/bin/sh", "chfullname": "Alice", "chhome": "/srv/alice", "chuid": 2001, "chroomnumber": 12}
    for fun, value in changes.items():
        assert alice(f"user.{fun}", "alice", value, root=root) is True
    assert alice("user.chgroups", "alice", "root", append=True, root=root) is True
    line = Path(root, "etc/passwd").read_text().splitlines()[-1]
    assert line == "alice:x:2001:2000:Alice,12,,,a,b:/srv/alice:/bin/sh"
    assert alice("user.list_groups", "alice", root=root) == ["alice", "root", "staff"]
    assert alice("user.rename", "alice", "alicia", root=root) is True
    assert alice("user.list_users", root=root) == ["alicia", "root"]
    assert alice("user.delete", "alicia", root=root) is True
    assert alice("user.info", "alicia", root=root) == {}


@as_root
def test_what_useradd_says_is_raised(alice, root):
    assert alice.error("user.add", "alice", root=root) == "useradd: user 'alice' already exists"
    assert "does not exist" in alice.error("user.chshell", "nosuch", "/bin/sh", root=root)
    assert "already exists" in alice.error("user.rename", "alice", "root", root=root)
    assert "uid must be a number" in alice.error("user.add", "bob", uid="1x", root=root)
    assert "no control character" in alice.error("user.add", "bob", fullname="Bob\nroot::0:0", root=root)
    assert "no comma" in alice.error("user.chfullname", "alice", "a,b", root=root)
    assert "absolute path of a directory" in alice.error("user.add", "bob", root="nosuch")


@as_root
def test_test_changes_nothing(alice, root):
    before = Path(root, "etc/passwd").read_text()
    assert alice("user.add", "bob", uid=3, fullname="Bob B", root=root, test=True) == (
        f"Would run useradd --root {root} -u 3 -m -c 'Bob B' bob. Nothing was changed."
    )
    assert alice("user.delete", "alice", remove=True, root=root, test=True).startswith("Would run userdel --root")
    assert alice("group.add", "g", root=root, test=True) == f"Would run groupadd --root {root} g. Nothing was changed."
    assert alice("user.chshell", "alice", "/bin/sh", root=root, test=True).startswith("Would run usermod")
    assert "Would run chpasswd" in alice("shadow.set_password", "alice", HASH, root=root, test=True)
    assert HASH not in alice("shadow.set_password", "alice", HASH, root=root, test=True)
    assert Path(root, "etc/passwd").read_text() == before
    assert alice("group.info", "g", root=root) == {}


@as_root
def test_groups_and_their_members(alice, root):
    assert alice("group.add", "editors", gid=3000, root=root) is True
    assert alice.error("group.add", "editors", root=root) == "groupadd: group 'editors' already exists"
    assert alice("group.adduser", "editors", "alice", root=root) is True
    assert alice("group.adduser", "editors", "alice", root=root) is True
    assert alice("group.info", "editors", root=root)["members"] == ["alice"]
    assert alice("group.deluser", "editors", "alice", root=root) is True
    assert alice("group.members", "editors", "alice,root", root=root) is True
    assert alice("group.info", "editors", root=root)["members"] == ["alice", "root"]
    assert alice("group.members", "editors", "", root=root) is True
    assert alice("group.chgid", "editors", 3001, root=root) is True
    expected = {"name": "editors", "gid": 3001, "members": [], "passwd": "x"}
    assert expected in alice("group.getent", root=root)
    assert "does not exist" in alice.error("group.adduser", "nosuch", "alice", root=root)
    assert alice("group.delete", "editors", root=root) is True
    assert "primary group" in alice.error("group.delete", "alice", root=root)


@as_root
def test_a_password_is_set_by_its_hash_and_locked(alice, root):
    assert alice("shadow.info", "alice", root=root)["passwd"] == "!"
    assert alice("shadow.set_password", "alice", HASH, root=root) is True
    assert alice("shadow.lock_password", "alice", root=root) is True
    assert alice("shadow.info", "alice", root=root)["passwd"] == f"!{HASH}"
    assert alice("shadow.unlock_password", "alice", root=root) is True
    assert alice("shadow.info", "alice", root=root)["passwd"] == HASH
    assert oct(os.stat(f"{root}/etc/shadow").st_mode)[-3:] == "600"
    assert alice("shadow.del_password", "alice", root=root) is True
    assert alice("shadow.info", "alice", root=root)["passwd"] == ""
    assert "does not exist" in alice.error("shadow.set_password", "nosuch", HASH, root=root)


@as_root
@pytest.mark.parametrize("text", ["secret", "sixteen_letters!", "$6$a:b", "$6$a\nroot:x", "abcdefghijklm"])
def test_what_is_no_hash_is_refused(alice, root, text):
    assert alice.error("shadow.set_password", "alice", text, root=root).startswith("This is no hash of a password")
    assert alice("shadow.info", "alice", root=root)["passwd"] == "!"


@as_root
def test_days(alice, root):
    for fun, value in {
        "maxdays": 90,
        "mindays": 7,
        "warndays": 5,
        "inactdays": 3,
        "expire": "2030-12-31",
        "date": 0,
    }.items():
        assert alice(f"shadow.set_{fun}", "alice", value, root=root) is True
    found = alice("shadow.info", "alice", root=root)
    wanted = {"max": 90, "min": 7, "warn": 5, "inact": 3, "expire": 22279, "lstchg": 0}
    assert {key: found[key] for key in wanted} == wanted
    assert "is no number of days" in alice.error("shadow.set_maxdays", "alice", "2030-12-31", root=root)
    assert "has no line in" in alice.error("shadow.set_maxdays", "nosuch", 1, root=root)


@pytest.mark.parametrize("algorithm", ["sha512", "yescrypt", "blowfish", "md5"])
def test_hashes_are_made(minion, algorithm):
    found = minion("shadow.gen_password", "x", algorithm=algorithm)
    assert re.fullmatch(r"\$[0-9a-z]+\$\S{20,}", found)
    assert minion("shadow.gen_password", "x", algorithm=algorithm) != found


def test_a_hash_is_what_other_programs_make_of_it(minion):
    assert minion("shadow.gen_password", "I_am_password", "saltsalt", "sha256") == HASH
    assert "There is no algorithm" in minion.error("shadow.gen_password", "x", algorithm="rot13")
    assert "may have no" in minion.error("shadow.gen_password", "x", crypt_salt="a$b")
