"""`saltlite key`: every verb moves files, and says which. No master needs to run."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml
from live import Master, command, pem, public, running_master, walk, write_config

import saltlite

DIRECTORIES = ("minions", "minions_pre", "minions_rejected", "minions_denied")
KEYS = {
    "minions": ["db1", "web1"],
    "minions_pre": ["db2", "new1", "web2"],
    "minions_rejected": ["bad1", "web3"],
    "minions_denied": ["db1"],
}


@pytest.fixture
def tree(tmp_path) -> Master:
    return made(tmp_path)


def made(home: Path) -> Master:
    """A key tree as a master leaves it, with KEYS in it; no master runs."""
    master = Master(home / "master", {})
    for directory in ("", *DIRECTORIES, "minions_autosign"):
        (master.pki / directory).mkdir(mode=0o700, parents=True)
    (master.pki / "master.pem").write_bytes(pem(2))
    (master.pki / "master.pub").write_text(public(2))
    for directory, ids in KEYS.items():
        for name in ids:
            (master.pki / directory / name).write_text(public(int(directory == "minions_denied")))
    return master


def keys(master: Master) -> dict[str, list[str]]:
    return {directory: master.ids(directory) for directory in DIRECTORIES}


def after(**changed: str) -> dict[str, list[str]]:
    """KEYS with other ids in some directories."""
    return KEYS | {directory: ids.split() for directory, ids in changed.items()}


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can be other users")
def test_root_removes_and_moves_nothing_that_the_masters_user_could_not():
    """A master that was taken over, and is no root, may have put a link where a directory of keys was."""
    with tempfile.TemporaryDirectory(prefix="saltlite-keys-") as home:  # through which others can pass
        Path(home).chmod(0o755)
        tree = made(Path(home))
        for path in (tree.pki.parent, *tree.pki.parent.parents):
            if path.is_relative_to(home):
                path.chmod(0o755)
        for path in (tree.pki, *tree.pki.rglob("*")):
            os.chown(path, 65534, 65534)
        as_that_user(tree, Path(home, "elsewhere"))


def as_that_user(tree: Master, elsewhere: Path) -> None:
    elsewhere.mkdir(mode=0o755)
    (elsewhere / "passwd").write_text(public())
    assert tree.key("-y", "-a", "new1").returncode == 0 and "new1" in tree.ids("minions")
    (tree.pki / "minions_rejected").rename(tree.pki / "before")
    (tree.pki / "minions_rejected").symlink_to(elsewhere)
    os.chown(tree.pki / "minions_rejected", 65534, 65534, follow_symlinks=False)
    for words in (
        ["-y", "-d", "passwd"],
        ["-y", "-a", "passwd", "--include-rejected"],
        ["-y", "-r", "web1", "--include-accepted"],
    ):
        done = tree.key(*words)
        assert done.returncode == 1 and "is closed to you" in done.stderr, done
    assert os.listdir(elsewhere) == ["passwd"] and "web1" in tree.ids("minions")


def test_list_all_prints_as_salt_key_does(tree):
    done = tree.key("-L")
    assert done.returncode == 0
    assert done.stdout.split("\n") == [
        "Accepted Keys:",
        "db1",
        "web1",
        "Denied Keys:",
        "db1",
        "Unaccepted Keys:",
        "db2",
        "new1",
        "web2",
        "Rejected Keys:",
        "bad1",
        "web3",
        "",
    ]
    assert tree.key().stdout == done.stdout


@pytest.mark.parametrize(
    "state, directory",
    [
        ("acc", "minions"),
        ("accepted", "minions"),
        ("pre", "minions_pre"),
        ("un", "minions_pre"),
        ("unaccepted", "minions_pre"),
        ("rej", "minions_rejected"),
        ("den", "minions_denied"),
    ],
)
def test_list_of_one_state(tree, state, directory):
    assert tree.key("-l", state).stdout.split("\n")[1:-1] == KEYS[directory]


def test_an_unknown_state_is_refused(tree):
    done = tree.key("-l", "maybe")
    assert done.returncode != 0 and done.stdout == "" and "acc" in done.stderr


def test_lists_as_json_and_yaml(tree):
    assert json.loads(tree.key("-L", "--out", "json").stdout) == KEYS
    assert yaml.safe_load(tree.key("-L", "--out", "yaml").stdout) == KEYS
    assert json.loads(tree.key("-l", "acc", "--out", "json").stdout) == {"minions": KEYS["minions"]}


MOVES = [
    # arguments, the tree after, what is said to be done
    (["-a", "web2"], after(minions="db1 web1 web2", minions_pre="db2 new1"), ["mv minions_pre/web2 minions/"]),
    (["-a", "web*"], after(minions="db1 web1 web2", minions_pre="db2 new1"), ["mv minions_pre/web2 minions/"]),
    (["-a", "n*,d*"], after(minions="db1 db2 new1 web1", minions_pre="web2"), ["mv minions_pre/new1 minions/"]),
    (["-A"], after(minions="db1 db2 new1 web1 web2", minions_pre=""), ["mv minions_pre/db2 minions/"]),
    (
        ["-a", "web*", "--include-rejected"],
        after(minions="db1 web1 web2 web3", minions_pre="db2 new1", minions_rejected="bad1"),
        ["mv minions_rejected/web3 minions/", "mv minions_pre/web2 minions/"],
    ),
    (["-a", "db1", "--include-denied"], after(minions_denied=""), ["mv minions_denied/db1 minions/"]),
    (
        ["-A", "--include-all"],
        after(minions="bad1 db1 db2 new1 web1 web2 web3", minions_pre="", minions_rejected="", minions_denied=""),
        ["mv minions_rejected/bad1 minions/", "mv minions_denied/db1 minions/"],
    ),
    (["-r", "new1"], after(minions_pre="db2 web2", minions_rejected="bad1 new1 web3"), ["mv minions_pre/new1 "]),
    (["-R"], after(minions_pre="", minions_rejected="bad1 db2 new1 web2 web3"), ["mv minions_pre/web2 "]),
    (
        ["-r", "web*", "--include-accepted"],
        after(minions="db1", minions_pre="db2 new1", minions_rejected="bad1 web1 web2 web3"),
        ["mv minions/web1 minions_rejected/"],
    ),
    (["-d", "web1"], after(minions="db1"), ["rm minions/web1"]),
    (["-d", "db1"], after(minions="web1", minions_denied=""), ["rm minions/db1", "rm minions_denied/db1"]),
    (["-D"], after(minions="", minions_pre="", minions_rejected="", minions_denied=""), ["rm minions_pre/new1"]),
]


@pytest.mark.parametrize("argv, wanted, said", MOVES, ids=[" ".join(row[0]) for row in MOVES])
def test_verbs_move_files_and_name_the_move(tree, argv, wanted, said):
    before = walk(tree.pki)
    done = tree.key("-y", *argv)
    assert (done.returncode, done.stderr) == (0, "")
    assert keys(tree) == wanted
    assert all(text in done.stdout for text in said), done.stdout
    modes = {os.path.basename(name): mode for name, mode in before.items()}
    assert all(modes[os.path.basename(name)] == mode for name, mode in walk(tree.pki).items())


def test_accepting_a_denied_key_replaces_the_key(tree):
    assert (tree.pki / "minions/db1").read_text() == public(0)
    tree.key("-y", "-a", "db1", "--include-denied")
    assert (tree.pki / "minions/db1").read_text() == public(1)


@pytest.mark.parametrize("argv", [["-a", "nobody*"], ["-r", "nobody"], ["-d", "nobody"], ["-a", "web1"]])
def test_a_glob_without_a_key_changes_nothing_and_says_so(tree, argv):
    done = tree.key("-y", *argv)
    assert argv[1] in done.stdout and "does not match" in done.stdout
    assert keys(tree) == KEYS


@pytest.mark.parametrize("answer, done", [("y\n", True), ("n\n", False), ("\n", True), ("", False), ("what\n", False)])
def test_accept_asks_first(tree, answer, done):
    said = tree.key("-a", "web2", input=answer).stdout
    assert "web2" in said and "Proceed? [n/Y]" in said
    assert ("web2" in tree.ids("minions")) is done
    assert done or keys(tree) == KEYS


@pytest.mark.parametrize("words", [("-a", "web2"), ("-r", "web2"), ("-d", "web2"), ("-A",), ("-D",)])
def test_where_nobody_answers_a_script_is_told_that_nothing_was_done(tree, words):
    done = tree.key(*words, input="")
    assert done.returncode == 1 and "nobody answers, so nothing was done; -y" in done.stderr and keys(tree) == KEYS


@pytest.mark.parametrize(
    "words, said",
    [
        (("-a", "web1"), "Already accepted: web1.\n"),
        (("-a", "web3"), "But rejected ones: web3. --include-rejected takes such keys too.\n"),
        (("-r", "web1"), "But accepted ones: web1. --include-accepted takes such keys too.\n"),
        (("-a", "nobody"), ""),
    ],
)
def test_a_key_that_lies_elsewhere_is_named_with_the_option_that_takes_it(tree, words, said):
    done = tree.key("-y", *words)
    assert "does not match any unaccepted keys" in done.stdout and done.stderr == said and keys(tree) == KEYS


def test_a_word_without_a_verb_and_an_unknown_option_are_told_apart(tree):
    done = tree.key("web2")
    assert done.returncode == 64 and "'web2': say what to do with it: -a web2 accepts" in done.stderr
    done = tree.key("--userr", "root", "-L")
    assert done.returncode == 64 and "there is no option --userr; did you mean '--user'?" in done.stderr
    assert tree.key("-F", "master").returncode == 0


@pytest.mark.parametrize("answer, done", [("y\n", True), ("\n", False), ("", False)])
def test_delete_asks_and_no_is_the_default(tree, answer, done):
    assert "Proceed? [N/y]" in tree.key("-d", "web2", input=answer).stdout
    assert ("web2" not in tree.ids("minions_pre")) is done


def test_verbs_as_json_say_what_is_where(tree):
    done = tree.key("-y", "-a", "web*", "--out", "json")
    assert json.loads(done.stdout) == {"minions": ["web2"]}
    assert "web2" in tree.ids("minions")


def test_fingerprints_are_of_the_keys(tree):
    done = tree.key("-f", "db1")
    assert done.returncode == 0
    assert saltlite.fingerprint(public(0)) in done.stdout and saltlite.fingerprint(public(1)) in done.stdout
    everything = tree.key("-F").stdout
    assert f"master.pub:  {saltlite.fingerprint(public(2))}" in everything
    assert all(name in everything for ids in KEYS.values() for name in ids)
    shown = json.loads(tree.key("-f", "web*", "--out", "json").stdout)
    assert shown["minions"] == {"web1": saltlite.fingerprint(public())}


def test_keys_are_printed(tree):
    done = tree.key("-p", "web1")
    assert "Accepted Keys:" in done.stdout and public().splitlines()[1] in done.stdout
    assert tree.key("-P").stdout.count("BEGIN PUBLIC KEY") == sum(map(len, KEYS.values()))


def test_the_masters_own_keys_are_shown_even_where_there_are_no_others(tree):
    (tree.pki / "master_sign.pub").write_text(public(1))
    for words in (["-f", "master.pub"], ["-f", "master*"], ["-F"], ["-F", "master"]):
        shown = json.loads(tree.key(*words, "--out", "json").stdout)["local"]
        assert shown["master.pub"] == saltlite.fingerprint(public(2))
        assert ("master_sign.pub" in shown) is (words != ["-f", "master.pub"])
    assert public(2).splitlines()[1] in tree.key("-p", "master.pub").stdout
    assert "PRIVATE" not in tree.key("-P").stdout + tree.key("-p", "master.pem").stdout
    for directory in DIRECTORIES:
        for name in tree.ids(directory):
            (tree.pki / directory / name).unlink()
    assert tree.key("-F").stdout.startswith("Local Keys:\nmaster.pub:  ")


def test_nothing_is_an_empty_map_for_programs(tree):
    for verb in ("-f", "-p"):
        assert tree.key(verb, "nobody", "--out=json").stdout == "{}\n"
        assert "does not match any keys" in tree.key(verb, "nobody").stdout


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha512"])
def test_fingerprints_are_of_the_hash_type(tree, kind):
    inner = "".join(public().splitlines(keepends=True)[1:-1])
    digest = hashlib.new(kind, inner.encode()).hexdigest()
    write_config(tree.conf / "master", {"hash_type": kind})
    shown = json.loads(tree.key("-f", "web1", "--out", "json").stdout)["minions"]["web1"]
    assert (
        shown == ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)) == saltlite.fingerprint(public(), kind)
    )


@pytest.mark.parametrize("junk", ["", "junk", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "é"])
def test_a_file_that_holds_no_key_is_not_accepted(tree, junk):
    (tree.pki / "minions_pre/new1").write_text(junk)
    done = tree.key("-y", "-A")
    assert done.returncode == 1 and done.stderr.startswith("The key of new1 is not accepted: ")
    assert done.stderr.endswith(" It stays in minions_pre.\n") and "new1" not in done.stdout
    assert keys(tree) == after(minions="db1 db2 web1 web2", minions_pre="new1")
    assert tree.key("-y", "-r", "new1").returncode == 0 and "new1" in tree.ids("minions_rejected")


def test_quiet_says_nothing(tree):
    done = tree.key("-q", "-y", "-a", "new1")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0) and "new1" in tree.ids("minions")


def test_keys_are_made_for_a_minion_to_be(tmp_path):
    made = command("key", "--gen-keys", "web9", "--gen-keys-dir", tmp_path)
    text = (tmp_path / "web9.pub").read_text()
    assert made.stdout == f"{tmp_path}/web9.pub: {saltlite.fingerprint(text)}\n" and made.returncode == 0
    assert {name: mode & 0o777 for name, mode in walk(tmp_path).items()} == {"web9.pem": 0o400, "web9.pub": 0o644}
    assert saltlite.read_private_key(tmp_path / "web9.pem").public.pem + "\n" == text
    assert command("key", "--gen-keys", "web9", "--gen-keys-dir", tmp_path).stdout == made.stdout


@pytest.mark.parametrize(("bits", "code"), [("2047", 64), ("2048", 0), ("2049", 0), ("8193", 64)])
def test_keys_have_a_size(tmp_path, bits, code):
    assert command("key", "--gen-keys", "a", "--gen-keys-dir", tmp_path, "--keysize", bits).returncode == code


@pytest.mark.parametrize("words", [["../x"], [".x"], ["x", "--gen-keys-dir", "/nonexistent"]])
def test_keys_are_made_only_where_they_are_wanted(words):
    done = command("key", "--gen-keys", *words)
    assert done.returncode != 0 and done.stderr.startswith("saltlite: --gen-keys") and done.stderr.count("\n") == 1


def test_two_verbs_at_once_are_refused(tree):
    done = tree.key("-y", "-a", "web2", "-d", "web1")
    assert done.returncode != 0 and keys(tree) == KEYS


def test_dot_names_and_odd_names_are_no_trouble(tree):
    (tree.pki / "minions_pre/.web9.0123abcd").write_text("half written")
    (tree.pki / "minions_pre/a\x1b[31mb").write_text(public())
    done = tree.key("-L")
    assert ".web9" not in done.stdout and "\x1b" not in done.stdout
    assert "\x1b" not in tree.key("-y", "-a", "a*").stdout
    assert os.listdir(tree.pki / "minions_pre").count(".web9.0123abcd") == 1


def test_a_directory_that_is_no_key_tree_is_named(tmp_path):
    done = command("key", "-c", tmp_path, "-L")
    assert done.returncode == 1 and done.stdout == ""
    assert "is no master's key tree" in done.stderr and done.stderr.count("\n") == 1
    assert walk(tmp_path) == {}


def test_a_tree_that_is_closed_to_the_caller_is_named(tree):
    if os.geteuid() == 0:
        dropped = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "true"]
        if subprocess.run(dropped, capture_output=True).returncode:
            pytest.skip("NOT TESTED as root: setpriv (util-linux) is needed to go without root's powers")
        prefix = dropped[:-1]
    else:
        prefix = []
    os.chmod(tree.pki / "minions_pre", 0)
    try:
        done = command("key", "-c", tree.conf, "-y", "-A", prefix=prefix)
    finally:
        os.chmod(tree.pki / "minions_pre", 0o700)
    assert done.returncode == 1
    assert "is closed to you" in done.stderr and done.stderr.count("\n") == 1
    assert keys(tree) == KEYS


def test_a_running_master_follows_the_command(tmp_path):
    with running_master(tmp_path) as master:
        (master.pki / "minions_pre/m1").write_text(public())
        master.says("ready")
        assert "mv minions_pre/m1 minions/" in master.key("-y", "-a", "m1").stdout
        master.says("m1", "is accepted")
        master.key("-y", "-d", "m1")
        master.says("the shared key is renewed")
