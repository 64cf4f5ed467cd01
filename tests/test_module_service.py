"""service: unit files of a tree of their own, by systemctl --root, and scripts of sysv in a directory."""

import os
import shutil
import time
from pathlib import Path

import pytest
from one_minion import Minion

import saltlite

SERVICE = Path(saltlite.__file__).resolve().parent / "etc/salt/modules/service.py"
INSTALL = "[Install]\nWantedBy=multi-user.target\n"
needs_systemctl = pytest.mark.skipif(not shutil.which("systemctl"), reason="there is no systemctl")


def module():
    return saltlite.read_leaf(SERVICE, {"__opts__": {}, "__context__": {}, "__grains__": {}, "__salt__": {}})


@pytest.fixture
def minion(tmp_path):
    return Minion(tmp_path / "minion", None)


@pytest.fixture
def root(tmp_path):
    units = tmp_path / "tree/usr/lib/systemd/system"
    units.mkdir(parents=True)
    (tmp_path / "tree/etc/systemd/system").mkdir(parents=True)
    for name in ("one.service", "two.service", "tmpl@.service"):
        (units / name).write_text(f"[Service]\nExecStart=/bin/true\n{INSTALL}")
    (units / "still.service").write_text("[Service]\nExecStart=/bin/true\n")
    (units / "one.timer").write_text("[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n")
    (units / "readme.txt").write_text("no unit\n")
    return str(tmp_path / "tree")


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """The file alone, on a machine with scripts of sysv in a directory and a program `service` that runs them."""
    programs, directory = tmp_path / "bin", tmp_path / "init.d"
    programs.mkdir()
    directory.mkdir()
    (directory / "README").write_text("")
    state = tmp_path / "state"
    text = (
        f"#!/bin/sh\ncase $1 in start) echo > {state};; stop) rm {state};; status) [ -e {state} ];; "
        "*) echo cannot $1 >&2; exit 3;; esac\n"
    )
    (directory / "web").write_text(text)
    (programs / "service").write_text(f'#!/bin/sh\nexec {directory}/"$@"\n')
    for path in (directory / "web", programs / "service"):
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    own = module()
    own.SCRIPTS, own.LEVELS, own._is_systemd = str(directory), (str(tmp_path),), lambda root: False
    return own


@needs_systemctl
def test_units_of_a_tree(minion, root):
    assert minion("service.get_all", root=root) == ["one", "one.timer", "still", "tmpl@", "two"]
    assert minion("service.get_static", root=root) == ["still"]
    assert minion("service.enable", "one", root=root) is True
    assert minion("service.enable", "one.timer", root=root) is True
    assert os.path.islink(f"{root}/etc/systemd/system/multi-user.target.wants/one.service")
    assert minion("service.get_enabled", root=root) == ["one", "one.timer"]
    assert minion("service.get_disabled", root=root) == ["tmpl@", "two"]
    assert minion("service.enabled", "one", root=root) is True
    assert minion("service.enabled", "two", root=root) is False
    assert minion("service.disabled", "two", root=root) is True
    assert minion("service.enable", "tmpl@a", root=root) is True
    assert minion("service.enabled", "tmpl@a", root=root) is True
    assert minion("service.disable", "one", root=root) is True
    assert minion("service.enabled", "one", root=root) is False
    assert "nosuch.service does not exist" in minion.error("service.enable", "nosuch", root=root)


@needs_systemctl
def test_masks_of_a_tree(minion, root):
    assert minion("service.unmask", "two", root=root) is True
    assert minion("service.mask", "two", root=root) is True
    assert minion("service.masked", "two", root=root) is True
    assert minion("service.masked", "one", root=root) is False
    assert "masked" in minion.error("service.enable", "two", root=root)
    assert minion("service.enable", "two", unmask=True, root=root) is True
    assert minion("service.masked", "two", root=root) is False


def test_test_says_what_would_be_run(minion, root):
    said = minion("service.enable", "one", root=root, test=True)
    assert said == f"Would run systemctl --root={root} enable -- one.service. Nothing was changed."
    assert not os.path.exists(f"{root}/etc/systemd/system/multi-user.target.wants")
    assert minion("service.mask", "one", root=root, test=True).startswith("Would run systemctl")


@pytest.mark.parametrize("name", ["--now", "", "a b", "../x", "a\nb"])
def test_what_is_no_name_is_refused(minion, root, name):
    for fun in ("service.start", "service.status", "service.restart"):
        assert "is no name of a service" in minion.error(fun, name)
    assert "is no name of a service" in minion.error("service.enable", name, root=root)


def test_scripts_are_run(scripts):
    assert scripts.get_all() == ["web"] and scripts.available("web") and scripts.missing("nosuch")
    assert scripts.status("web") is False
    assert scripts.start("web", test=True) == "Would run service web start. Nothing was changed."
    assert scripts.start("web") is True
    assert scripts.status("web") is True and scripts.status("w*") == {"web": True}
    assert scripts.get_running() == ["web"]
    assert scripts.stop("web") is True and scripts.stop("nosuch") is False
    levels = Path(scripts.LEVELS[0])
    (levels / "rcS.d").mkdir()
    (levels / f"rc{scripts._level()}.d").mkdir()
    (levels / "rcS.d/S03web").symlink_to(Path(scripts.SCRIPTS, "web"))
    (levels / f"rc{scripts._level()}.d/S01x11-2web").symlink_to("nowhere")
    assert scripts.get_enabled() == ["web", "x11-2web"] and scripts.get_disabled() == []
    assert scripts.enabled("web") is True and scripts.disabled("web") is False
    with pytest.raises(saltlite.CommandExecutionError, match="cannot reload"):
        scripts.reload_("web")
    with pytest.raises(saltlite.CommandExecutionError, match="There is no service nosuch"):
        scripts.start("nosuch")
    with pytest.raises(saltlite.CommandExecutionError, match="Only systemd"):
        scripts.mask("web")


def test_properties_are_read_as_maps_and_lists():
    own = module()
    assert own._shown("{ path=/bin/sleep ; argv[]=/bin/sleep 9 ; ignore_errors=no }") == {
        "path": "/bin/sleep", "argv[]": "/bin/sleep 9", "ignore_errors": "no",
    }  # fmt: skip
    assert own._shown("active") == "active"


def test_the_own_service_is_restarted_when_the_return_has_left(tmp_path, monkeypatch):
    """Outside of the job: at once it answers, a little later it acts."""
    own, done = module(), tmp_path / "done"
    monkeypatch.setattr(own, "LATER_SECONDS", 0.3)
    monkeypatch.setattr(own.os.path, "isdir", lambda path: False)
    assert own._later(["touch", str(done)]) is True
    assert not done.exists()
    deadline = time.monotonic() + 20
    while not done.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert done.exists()


@pytest.fixture
def openrc(tmp_path, monkeypatch):
    """The file alone, with rc-update and rc-service that keep run levels as files and print as OpenRC 0.45 does."""
    programs, levels = tmp_path / "bin", tmp_path / "levels"
    programs.mkdir()
    for level in ("boot", "default"):
        (levels / level).mkdir(parents=True)
    texts = {
        "rc-update": f"""cd {levels}; verb=$1 name=$2; shift 2
            case $verb in
            --verbose) for each in bad web; do echo "  $each |" $(ls -d */$each 2>/dev/null | cut -d/ -f1); done ;;
            add) [ $name = web ] || {{ echo " * rc-update: service '$name' does not exist" >&2; exit 1; }}
                 for level in ${{*:-default}}; do touch $level/$name; done ;;
            delete) for level in ${{*:-default}}; do rm $level/$name 2>/dev/null || exit 1; done ;;
            esac""",
        "rc-service": f"""case "$1 $2" in
            "web start"|"web zap") touch {tmp_path}/up ;;
            "web status") [ -e {tmp_path}/up ] || exit 3 ;;
            *) printf ' * no luck\\n      [ !! ]\\n * ERROR: %s failed to start\\n' $1 >&2; exit 1 ;;
            esac""",
    }
    for name, text in texts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    own = module()
    own._is_systemd = bool
    return own


def test_run_levels_of_openrc(openrc):
    """As gentoo_service of Salt 3007 gives them; both were run with OpenRC itself."""
    assert openrc.get_all() == {"bad": [], "web": []} and openrc.get_enabled() == {}
    said = openrc.enable("web", runlevels=["default", "boot"], test=True)
    assert said == "Would run rc-update add web boot default. Nothing was changed." and openrc.get_enabled() == {}
    assert openrc.enable("web", runlevels=["default", "boot"]) is True
    assert openrc.get_all() == {"web": ["boot", "default"], "bad": []} and openrc.get_disabled() == ["bad"]
    assert openrc.enabled("web", runlevels="boot") and not openrc.enabled("web", runlevels=["boot", "off"])
    said = "Would run rc-update delete web boot. Nothing was changed."
    assert openrc.enable("web", runlevels="default", test=True) == said
    assert openrc.enable("web", runlevels="default") is True and openrc.get_enabled() == {"web": ["default"]}
    assert openrc.enable("web", runlevels="default", test=True) == "Nothing would change."
    assert openrc.disable("web", runlevels="boot") is True and openrc.enabled("web")
    assert openrc.disable("web") is True and openrc.disabled("web")
    assert openrc.disable("web") is False and openrc.__context__["retcode"] == 1
    with pytest.raises(saltlite.CommandExecutionError, match="^rc-update: service 'nosuch' does not exist$"):
        openrc.enable("nosuch")


def test_services_of_openrc(openrc):
    assert openrc.available("web") and openrc.missing("nosuch") and openrc.get_running() == []
    assert openrc.start("web", test=True) == "Would run rc-service web start. Nothing was changed."
    assert openrc.status("web") is False and openrc.start("web") is True and openrc.status("w*") == {"web": True}
    assert openrc.zap("web") is True and openrc.get_running() == ["web"]
    with pytest.raises(saltlite.CommandExecutionError, match="^no luck\n *ERROR: bad failed to start$"):
        openrc.start("bad")
