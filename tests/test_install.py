"""install and uninstall in a root of their own: what is written, what is never touched, what the links are."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from archive import make_archive
from live import ENVIRONMENT, command

import saltlite

install = saltlite.packed_leaf("commands", "install")
manual = saltlite.packed_leaf("terminal", "manual")
PROGRAMS = saltlite.packed_leaf("terminal", "shells").PROGRAMS
MANIFEST = "usr/local/lib/saltlite/installed.json"


class Machine:
    """A directory that is taken for /, and a saltlite.pyz to install there."""

    def __init__(self, home: Path) -> None:
        self.root, self.pyz = home / "root", home / "saltlite.pyz"
        make_archive(self.pyz)

    def run(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-I", str(self.pyz), verb, "--root", str(self.root), *words]
        return subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False)

    def install(self, *words: str) -> str:
        done = self.run("install", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tree(self) -> dict[str, str]:
        """{path below the root: content, or where a link leads}."""
        paths = [path for path in sorted(self.root.rglob("*")) if path.is_symlink() or not path.is_dir()]
        found = {str(path.relative_to(self.root)): path for path in paths}
        return {
            name: os.readlink(path) if path.is_symlink() else path.read_text("latin-1") for name, path in found.items()
        }


@pytest.fixture
def machine(tmp_path) -> Machine:
    os.umask(os.umask(0o022) | 0o022)
    return Machine(tmp_path)


def test_install_writes_all_and_uninstall_leaves_nothing(machine):
    said = machine.install("master", "minion", "--master", "192.0.2.1")
    tree = machine.tree()
    assert {f"usr/local/bin/{name}" for name in PROGRAMS} < tree.keys()
    assert {f"usr/local/share/man/man1/{name}.1" for name in manual.pages()} < tree.keys()
    assert {"etc/systemd/system/salt-master.service", "etc/systemd/system/salt-minion.service"} < tree.keys()
    assert 'master: "192.0.2.1"' in tree["etc/salt/minion"]
    for name in tree.keys() - {MANIFEST}:
        assert f"written: {machine.root / name}\n" in said
    assert json.loads(tree[MANIFEST])["files"].keys() == {f"/{name}" for name in tree.keys() - {MANIFEST}}
    assert (machine.root / "usr/local/lib/saltlite/saltlite.pyz").read_bytes() == machine.pyz.read_bytes()
    machine.run("uninstall", "--dry-run")
    assert machine.tree() == tree
    done = machine.run("uninstall")
    assert (done.returncode, list(machine.root.rglob("*"))) == (0, [])
    again = machine.run("uninstall")
    assert again.returncode == 1 and "nothing is installed" in again.stderr


def test_a_second_install_changes_nothing_and_a_later_one_replaces_what_is_ours(machine):
    machine.install("minion")
    before = machine.tree()
    assert machine.install("minion") == "All is there already.\n" and machine.tree() == before
    machine.pyz.write_bytes(machine.pyz.read_bytes() + b"\n")
    said = machine.install()
    assert "replaced: " in said and said.count("\n") == 1 and "saltlite.pyz" in said, said
    assert machine.tree().keys() == before.keys(), "the role stays"


def test_dry_run_writes_nothing(machine):
    said = machine.install("master", "--dry-run")
    assert "would be written: " in said and not machine.root.exists()


def put(path: Path, text: str = "mine\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    "name",
    [
        "usr/local/bin/salt-call",
        "etc/systemd/system/salt-minion.service",
        "usr/lib/systemd/system/salt-minion.service",
        "usr/local/share/man/man1/salt.1",
    ],
)
def test_what_somebody_else_wrote_is_never_overwritten_and_then_nothing_is_done(machine, name):
    put(machine.root / name)
    done = machine.run("install", "minion")
    assert done.returncode == 1 and str(machine.root / name) in done.stderr and "did not write" in done.stderr
    assert machine.tree() == {name: "mine\n"}


def test_what_was_changed_is_kept_by_both(machine):
    machine.install("minion")
    unit = machine.root / "etc/systemd/system/salt-minion.service"
    unit.write_text(unit.read_text() + "# mine\n")
    put(machine.root / "etc/salt/minion", "master: elsewhere\n")
    put(machine.root / "usr/local/bin/other")
    machine.pyz.write_bytes(machine.pyz.read_bytes() + b"\n")
    assert f"kept as you have changed it: {unit}" in machine.install("minion")
    done = machine.run("uninstall")
    assert f"left, for it was changed: {unit}" in done.stdout
    assert machine.tree().keys() == {
        "etc/systemd/system/salt-minion.service",
        "etc/salt/minion",
        "usr/local/bin/other",
    }


def test_a_program_that_was_replaced_in_its_place_is_ours_still(machine):
    """As saltlite.update does it, or `cp`: the next version installs over it, and uninstall takes it away."""
    machine.install("minion")
    program = machine.root / "usr/local/lib/saltlite/saltlite.pyz"
    program.write_bytes(program.read_bytes() + b"\n")
    assert f"replaced: {program}\n" in machine.install("minion")
    program.write_bytes(program.read_bytes() + b"\n")
    machine.run("uninstall")
    assert machine.tree() == {}


def test_configuration_that_is_there_is_left(machine):
    put(machine.root / "etc/salt/minion", "id: web1\n")
    said = machine.install("minion", "--master", "192.0.2.1")
    assert "write `master: 192.0.2.1` there" in said
    machine.run("uninstall")
    assert machine.tree() == {"etc/salt/minion": "id: web1\n"}


@pytest.mark.parametrize("crash", [1, 2, 20, 30])
def test_after_a_crash_in_between_all_that_was_written_is_known_to_be_ours(machine, crash, monkeypatch):
    """Only so many files are written; whatever is there then goes, and a second install completes it."""
    place = install.Place(str(machine.root), "/usr/local")
    items = install.items_of(place, ["master", "minion"], "/usr/bin/python3", machine.pyz.read_bytes(), None)
    todo, written = install.standing(place, items, place.read()), []
    write = install.write_item

    def write_some(path, item):
        if len(written) == crash:
            raise KeyboardInterrupt
        written.append(path)
        write(path, item)

    monkeypatch.setattr(install, "write_item", write_some)
    with pytest.raises(KeyboardInterrupt):
        install.carry_out(place, items, todo, place.read() | {"roles": ["master", "minion"]})
    assert all(what in ("make", "keep") for what in install.standing(place, items, place.read()).values())
    assert machine.run("uninstall").returncode == 0
    assert machine.tree() == {}


def test_wrong_words_are_refused_in_a_sentence(machine):
    for words, said in [
        (["mastre"], "there are master and minion"),
        (["--master", "h"], "is for `install minion`"),
        (["minion", "--python", "python3"], "absolute path"),
    ]:
        done = machine.run("install", *words)
        assert done.returncode == 64 and said in done.stderr and not machine.root.exists()
    done = command("install", "--root", machine.root)
    assert done.returncode == 1 and "./build.sh" in done.stderr, "a checkout is not one file"


def test_a_link_of_salts_name_is_that_command(machine):
    machine.install()
    for name in PROGRAMS[1:]:
        argv = [str(machine.root / "usr/local/bin" / name), "--help"]
        environment = ENVIRONMENT | {"PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False, timeout=60)
        assert done.returncode == 0 and done.stdout.startswith(f"usage: {name} [-h]"), done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="NOT TESTED: there is no systemd-analyze here")
def test_systemd_takes_the_units(machine):
    """But for what is missing on this machine, the pages say."""
    python = shutil.which("true") or "/bin/true"  # of which it wants to know that it can be executed
    machine.install("master", "minion", "--python", python)
    units = [str(machine.root / f"etc/systemd/system/salt-{role}.service") for role in ("master", "minion")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "man " not in line]
    assert complaints == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_daemons_of_root_run_no_interpreter_that_others_may_change(monkeypatch):
    """Each link counts: a virtual environment's python leads to the system's, but its owner may change that."""
    with tempfile.TemporaryDirectory(prefix="saltlite-venv-") as home:  # through which others can pass
        Path(home).chmod(0o755)
        checked(Path(home, "venv"), monkeypatch)


def checked(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path(os.path.realpath("/bin/sh"))
    venv.mkdir()
    (venv / "python").symlink_to("here")
    (venv / "here").symlink_to(os.path.relpath(real, venv))
    args = argparse.Namespace(python=None, root="/")
    monkeypatch.setattr(sys, "executable", str(venv / "python"))
    assert install.interpreter(args) == str(venv / "python")
    for what in (venv, venv / "python", venv / "here"):
        os.chown(what, 65534, 65534, follow_symlinks=False)
        with pytest.raises(saltlite.Failure, match=f"{what} could be changed by others"):
            install.interpreter(args)
        os.chown(what, 0, 0, follow_symlinks=False)
    venv.chmod(0o777)
    with pytest.raises(saltlite.Failure, match="could be changed by others"):
        install.interpreter(args)
    (venv / "here").unlink()
    (venv / "here").symlink_to("python")
    venv.chmod(0o755)
    with pytest.raises(saltlite.Failure, match="leads nowhere"):
        install.interpreter(args)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_no_unit_runs_a_program_that_others_may_change():
    with tempfile.TemporaryDirectory(prefix="saltlite-prefix-") as home:
        local = Path(home, "local")
        (local / "lib").mkdir(parents=True)
        install.check_place(install.Place("/", str(local)))
        for path in (local, local / "lib"):
            for change in (lambda path: path.chmod(0o775), lambda path: os.chown(path, 65534, 0)):
                change(path)
                with pytest.raises(saltlite.Failure, match=f"{path} could be changed by others"):
                    install.check_place(install.Place("/", str(local)))
                path.chmod(0o755)
                os.chown(path, 0, 0)


@pytest.mark.parametrize(
    ("program", "master", "minion", "said"),
    [
        ("make", "make", "make", "enable --now salt-master salt-minion"),
        ("replace", "keep", "keep", "reload salt-master salt-minion"),
        ("replace", "yours", "make", "reload salt-master && systemctl enable --now salt-minion"),
        ("keep", "replace", "keep", "restart salt-master && systemctl enable --now salt-minion"),
    ],
)
def test_what_to_type_next_starts_what_is_new_and_reloads_what_runs(program, master, minion, said):
    todo = {"/p": program, "/etc/salt/minion": "keep"}
    todo |= {"/etc/systemd/system/salt-master.service": master, "/etc/systemd/system/salt-minion.service": minion}
    lines = install.next_lines(argparse.Namespace(root="/", master=None), ["master", "minion"], todo, "/p")
    assert lines[-1].strip() == f"systemctl daemon-reload && systemctl {said}"
    assert ("systemd-sysusers" in lines[1]) == (master == "make")


# what is installed is told in one place


@pytest.mark.parametrize("name", [name for name in saltlite.leaf_files("commands") if saltlite.command(name).help])
def test_every_command_has_examples_and_a_page(name):
    row = saltlite.command(name)
    assert row.examples.startswith("\n") and row.examples.count("\n") >= 2, "lines to type, for --help and the page"
    text = saltlite.parser_of(row, name).format_help()
    page = manual.page(name)
    assert all(line.strip() in text for line in row.examples.splitlines())
    for action in saltlite.parser_of(row, name)._actions:
        if action.help != "==SUPPRESS==":
            assert all(manual.escaped(flag) in page for flag in action.option_strings)


@pytest.mark.skipif(not shutil.which("groff"), reason="NOT TESTED: there is no groff here")
def test_pages_are_good_roff():
    for name, page in manual.pages().items():
        done = subprocess.run(
            ["groff", "-man", "-ww", "-Tutf8"], input=page, capture_output=True, text=True, check=True
        )
        assert done.stderr == "", f"{name}: {done.stderr}"
        assert manual.escaped("-").replace("\\", "") in done.stdout


def test_man_shows_a_page_by_any_of_its_names():
    for name in ("key", "salt-key", "saltlite-key"):
        assert command("man", "--roff", name).stdout.startswith('.TH "SALT\\-KEY"')
    assert command("man", "--roff").stdout.startswith('.TH "SALTLITE"')
    assert command("man", "--roff", "salt").stdout.startswith('.TH "SALT"')
    done = command("man", "minon")
    assert done.returncode == 64 and "did you mean 'minion'?" in done.stderr
