"""PGP messages in pillar: decrypted by gpg, or an error, and never handed out as they are."""

import contextlib
import shutil
import subprocess

import pytest
from leaves import PILLAR
from one_minion import Minion
from roots import GRAINS, TOP, Roots, write

import saltlite

GPG = saltlite.packed_leaf("renderers", "gpg")
SAFE = "Rendering SLS 'a' failed. Please see master log for details."

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="NOT TESTED: gpg is not installed")


def gpg(keydir, *words, text=b""):
    command = ["gpg", "--homedir", keydir, "--batch", "--no-tty", "--quiet", *words]
    return subprocess.run(command, input=text, capture_output=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def keydir(tmp_path_factory):
    """A keyring; its agent is ended with it. A socket's path must be short."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gpg-") as directory:
        gpg(directory, "--passphrase", "", "--quick-generate-key", "pillar@x", "rsa2048", "encr", "never")
        yield directory
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(["gpgconf", "--homedir", directory, "--kill", "all"], check=False, timeout=20)


@pytest.fixture(scope="module")
def message(keydir):
    def message(text):
        return gpg(keydir, "--trust-model", "always", "-e", "-a", "-r", "pillar@x", text=text.encode()).decode()

    return message


def block(text, by=4):
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())


def trees(tmp_path, keydir, sls, **opts):
    return Roots(tmp_path, {"top.sls": TOP, "a.sls": sls}, gpg_keydir=keydir, **opts)


@pytest.mark.parametrize("head", ["#!yaml|gpg", "#!jinja|yaml|gpg", "#!jinja | yaml | gpg"])
def test_messages_are_decrypted_wherever_they_stand(tmp_path, keydir, message, head):
    first, second = message("one\n"), message("two\nlines\n")
    sls = f"{head}\na: |\n{block(first)}b:\n  - c: |\n{block(second, 6)}  - plain\n"
    sls += f"d: {saltlite.to_json('x ' + first + ' y ' + second)}\n"
    found = trees(tmp_path, keydir, sls).pillar()
    assert found == {"a": "one", "b": [{"c": "two\nlines"}, "plain"], "d": "x one\n\n y two\nlines"}


def test_a_text_is_decrypted_before_it_is_data(tmp_path, keydir, message):
    sls = f"#!gpg|yaml\n{message('k: v')}"
    assert trees(tmp_path, keydir, sls).pillar() == {"k": "v"}
    sls = f"#!gpg|jinja|yaml\n{message('k: {{ grains.n }}')}"  # nor does Salt do that
    assert trees(tmp_path / "x", keydir, sls).pillar() == {"_errors": [SAFE]}


def test_the_option_renderer_may_have_gpg(tmp_path, keydir, message):
    sls = f"{{% set x = 1 %}}\na: |\n{block(message('secret'))}"
    assert trees(tmp_path, keydir, sls, renderer="jinja|yaml|gpg").pillar() == {"a": "secret"}


def test_bytes_that_are_no_text_stay_bytes(tmp_path, keydir):
    text = gpg(keydir, "--trust-model", "always", "-e", "-a", "-r", "pillar@x", text=b"\xff\xfe").decode()
    assert trees(tmp_path, keydir, f"#!yaml|gpg\na: |\n{block(text)}").pillar() == {"a": b"\xff\xfe"}


def test_what_cannot_be_decrypted_is_an_error_and_no_value(tmp_path, keydir, message, caplog):
    broken = message("one").splitlines()
    broken[4] = broken[4][::-1]
    sls = f"#!yaml|gpg\na: |\n{block(message('good'))}b: |\n{block(chr(10).join(broken))}"
    assert trees(tmp_path, keydir, sls).pillar() == {"_errors": [SAFE]}
    assert "gpg cannot decrypt 1 of 2 PGP messages" in caplog.text and "good" not in caplog.text
    found = trees(tmp_path / "other", keydir, sls, gpg_decrypt_must_succeed=False).pillar()
    assert found["a"] == "good" and found["b"].startswith("-----BEGIN PGP MESSAGE-----")


def test_without_gpg_there_is_no_value(tmp_path, keydir, message, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert trees(tmp_path, keydir, f"#!yaml|gpg\na: |\n{block(message_of_nobody())}").pillar() == {"_errors": [SAFE]}
    assert "GPG unavailable" in caplog.text


def message_of_nobody():
    return "-----BEGIN PGP MESSAGE-----\n\nabcd\n-----END PGP MESSAGE-----\n"


def test_a_keydir_without_the_key_gives_no_value(tmp_path, message, caplog):
    (tmp_path / "none").mkdir(mode=0o700)
    sls = f"#!yaml|gpg\na: |\n{block(message('one'))}"
    assert trees(tmp_path, str(tmp_path / "none"), sls).pillar() == {"_errors": [SAFE]}
    assert "No secret key" in caplog.text


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_many_messages_are_a_few_processes_and_too_many_an_error(tmp_path, keydir, message, monkeypatch, more):
    monkeypatch.setattr(GPG, "MAX_MESSAGES", 5)
    monkeypatch.setattr(GPG, "AT_ONCE", 2)
    texts = {f"k{n}": f"value {n}" for n in range(5 + more)}
    sls = "#!yaml|gpg\n" + "".join(f"{key}: |\n{block(message(text))}" for key, text in texts.items())
    assert trees(tmp_path, keydir, sls).pillar() == (texts if more <= 0 else {"_errors": [SAFE]})


def counting_gpg(path, monkeypatch, then):
    """A gpg before the real one in PATH, which leaves a line for each time that it is run."""
    program = path / "bin/gpg"
    write(path, {"bin/gpg": f"#!/bin/sh\necho >> {path}/asked\n{then}\n"})
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path}/bin:/usr/bin:/bin")
    return path / "asked"


def test_gpg_is_asked_once_for_a_message(tmp_path, keydir, message, monkeypatch):
    sls = "#!yaml|gpg\n" + "".join(f"k{n}: |\n{block(message(str(n)))}" for n in range(9))
    asked = counting_gpg(tmp_path, monkeypatch, f'exec {shutil.which("gpg")} "$@"')
    roots = trees(tmp_path, keydir, sls)
    assert roots.pillar() == roots.pillar("web2") == {f"k{n}": str(n) for n in range(9)}
    assert asked.read_text() == "\n"


def test_a_gpg_that_hangs_is_ended_and_left_alone_for_a_while(tmp_path, keydir, message, monkeypatch):
    asked = counting_gpg(tmp_path, monkeypatch, "sleep 600")
    monkeypatch.setattr(GPG.process, "MAX_SECONDS", 1.0)
    monkeypatch.setattr(GPG.process, "RESTING", {})
    roots = trees(tmp_path, keydir, f"#!yaml|gpg\na: |\n{block(message_of_nobody())}")
    assert roots.pillar() == roots.pillar() == {"_errors": [SAFE]}
    assert asked.read_text() == "\n"


@pytest.mark.parametrize("written", ["{0}", "{0!r}", "a: {0}"])
def test_a_message_of_a_minion_is_not_decrypted(tmp_path, keydir, message, written):
    """Whoever reads a repository with messages could have the master say what is in them."""
    stolen = message("of another").replace("\n", r"\n")
    roots = trees(tmp_path, keydir, "#!jinja|yaml|gpg\na: '{{ grains.motd }}'\n")
    assert roots.pillar(grains=GRAINS | {"motd": stolen}) == {"_errors": [SAFE]}
    roots = trees(tmp_path / "x", keydir, "#!yaml\na: 1\n", decrypt_pillar=["b"])
    found = roots.pillar(pillar_override={"b": message("of another")})
    assert "b" not in found and "Failed to decrypt pillar key 'b'" in found["_errors"][0]


@pytest.mark.parametrize("bound, most", [("MAX_KEPT", 3), ("MAX_KEPT_SIZE", 15)])
@pytest.mark.parametrize("count, asked", [(2, 1), (3, 1), (4, 2)])
def test_what_is_remembered_is_bounded(tmp_path, keydir, message, monkeypatch, bound, most, count, asked):
    """Of four messages of five bytes three are remembered; then all are forgotten, and the last is put in."""
    monkeypatch.setattr(GPG, bound, most)
    secrets, messages = GPG.Secrets(), [message(f"text{n}") for n in range(count)]
    log = counting_gpg(tmp_path, monkeypatch, f'exec {shutil.which("gpg")} "$@"')
    for _ in range(2):
        assert secrets.decrypt(messages, keydir) == {each: f"text{n}".encode() for n, each in enumerate(messages)}
    assert len(log.read_text()) == asked


@pytest.mark.parametrize("cut", [[], [200], [40, 80, 200, 300], range(45, 900, 45)])
def test_a_message_for_another_is_not_decrypted_in_the_same_file(tmp_path, keydir, message, cut):
    """`{% if grains.id == 'db1' %}` stands in the way of the message, and the same message in a grain does not pass."""
    for_db = message("of db1")
    sls = "#!jinja|yaml|gpg\n{% if grains.id == 'db1' %}\na: |\n" + block(for_db) + "{% endif %}\n"
    roots = trees(tmp_path, keydir, sls + "m: '{{ grains.x|join }}'\n")
    sent = for_db.replace("\n", r"\n")
    pieces = [sent[begin:end] for begin, end in zip([0, *cut], [*cut, None], strict=True)]
    assert roots.pillar("db1", grains={"x": ["hi"]}) == {"a": "of db1", "m": "hi"}
    assert roots.pillar("web1", grains={"x": ["hi"]}) == {"m": "hi"}
    for grains in ({"x": pieces}, {"x": pieces[:1], "y": pieces[1:]}):
        assert "of db1" not in str(roots.pillar("web1", grains=grains))


# decrypt_pillar


@pytest.mark.parametrize(
    "listed",
    [["a", {"b:c": "gpg"}, "zz:y", "a:q"], {"a": "gpg", "b:c": None}],
)
def test_decrypt_pillar(tmp_path, keydir, message, listed):
    first, second = message("one"), message("two")
    sls = f"a: |\n{block(first)}b:\n  c:\n    - |\n{block(second, 6)}d: |\n{block(second)}"
    roots = trees(tmp_path, keydir, sls, decrypt_pillar=listed)
    for _ in range(2):  # what is remembered of the file is not what was decrypted
        found = roots.pillar()
        assert (found["a"], found["b"]) == ("one", {"c": ["two"]})
        assert found["d"].startswith("-----BEGIN PGP MESSAGE-----")  # as it was asked for


def test_decrypt_pillar_takes_away_what_it_cannot_decrypt(tmp_path, message, keydir):
    sls = f"a: |\n{block(message_of_nobody())}b: 1\nc:\n  d: |\n{block(message_of_nobody(), 6)}  e: 2\n"
    found = trees(tmp_path, keydir, sls, decrypt_pillar=["a", "c/d"], decrypt_pillar_delimiter="/").pillar()
    errors = found.pop("_errors")
    assert found == {"b": 1, "c": {"e": 2}}
    assert [error.split(": ")[0] for error in errors] == [f"Failed to decrypt pillar key '{k}'" for k in ("a", "c/d")]


def test_decrypt_pillar_knows_gpg_only(tmp_path, keydir):
    found = trees(tmp_path, keydir, "a: x\n", decrypt_pillar=[{"a": "rot13"}]).pillar()
    assert list(found) == ["_errors"] and "may be gpg" in found["_errors"][0]


def test_squeezed_texts_are_alike_however_they_are_written():
    text = "-----BEGIN X-----\n\nab/c+\n=x\n"
    for written in (text, block(text), saltlite.to_json(text), text.replace("\n", r"\n"), text.replace("\n", "\r\n")):
        assert PILLAR.squeezed(text) in PILLAR.squeezed(written)


def test_a_minion_decrypts_the_pillar_of_a_job(tmp_path, message, keydir):
    minion = Minion(tmp_path, lambda load: load["pillar_override"], gpg_keydir=keydir)
    pillar = {"a": message("one\n"), "b": [{"c": message("two").replace("\n", r"\n")}, "plain"]}
    assert minion("pillar.items", pillar=pillar, pillar_enc="gpg") == {"a": "one", "b": [{"c": "two"}, "plain"]}
    assert minion("pillar.ls", pillar={"a": "x"}, pillar_enc="gpg") == ["a"]
    for given, how, why in (
        ({"a": message_of_nobody()}, "gpg", "gpg cannot decrypt 1 of 1"),
        (pillar, "nacl", "'nacl' is not a valid decryption renderer. Valid choices are: gpg"),
        (message("a: 1"), "gpg", "pillar must be a map"),
    ):
        assert why in minion.error("pillar.items", pillar=given, pillar_enc=how)
