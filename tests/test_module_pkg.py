"""pkg: what is asked of each package manager and how its answers are read; of apt and dpkg real runs, on a system of
their own in a directory."""

import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import scratch_debian
from one_minion import Minion

import saltlite

PKG = Path(saltlite.__file__).resolve().parent / "etc/salt/modules/pkg.py"


def module(os_family="", osarch="x86_64", **more):
    """The file alone, as on a machine of this family."""
    dunders = {"opts": {}, "context": {}, "grains": {"os_family": os_family, "osarch": osarch}, "salt": more}
    return saltlite.read_leaf(PKG, {f"__{name}__": value for name, value in dunders.items()})


pkg = module()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("NOT TESTED: there is no apt here")
    path = tmp_path_factory.mktemp("packages") / "repository"
    scratch_debian.make_repository(path)
    return path


@pytest.fixture
def debian(tmp_path, monkeypatch, repository):
    """A minion whose packages are those of a directory."""
    scratch_debian.make(tmp_path, repository)
    for name, value in scratch_debian.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    minion = Minion(tmp_path, None, {"id": "web1", "os_family": "Debian", "osarch": "amd64"})
    minion("pkg.refresh_db")
    return minion


def written(path, text):
    path.write_text(text)
    path.chmod(0o755)


# Real runs


def test_install_upgrade_and_remove_say_what_has_changed(debian):
    assert debian("pkg.list_pkgs") == {}
    assert debian("pkg.install", "lid", version="1.5") == {"lid": {"old": "", "new": "1.5"}}
    assert debian("pkg.install", "pan") == {"pan": {"old": "", "new": "1.0"}}
    assert debian("pkg.install", "pan") == {}
    assert debian("pkg.version", "lid", "pan", "nosuch") == {"lid": "1.5", "pan": "1.0", "nosuch": ""}
    assert debian("pkg.list_upgrades") == {"lid": "1.6"}
    assert debian("pkg.upgrade", refresh=False) == {"lid": {"old": "1.5", "new": "1.6"}}
    gone = {"lid": {"old": "1.6", "new": ""}, "pan": {"old": "1.0", "new": ""}}
    assert debian("pkg.remove", "lid") == gone
    assert debian("pkg.list_pkgs", removed=True) == {"lid": "1.6", "pan": "1.0"}
    assert debian("pkg.purge", "p*,lid") == {"installed": {}, "removed": gone}
    assert debian("pkg.remove", "lid") == {}


def test_versions_are_chosen_as_the_package_manager_orders_them(debian):
    assert debian("pkg.latest_version", "salt-mine", refresh=False) == "2:0.9"
    assert debian("pkg.list_repo_pkgs", "salt-mine") == {"salt-mine": ["2:0.9", "1.10-1", "1.0-1"]}
    assert debian("pkg.install", "salt-mine", version="<2")["salt-mine"]["new"] == "1.10-1"
    assert debian("pkg.install", pkgs=[{"salt-mine": "1.0*"}])["salt-mine"]["new"] == "1.0-1"
    assert debian("pkg.install", pkgs=[{"salt-mine": ">1.0-1"}, "lid"]) == {
        "lid": {"old": "", "new": "1.6"},
        "salt-mine": {"old": "1.0-1", "new": "2:0.9"},
    }
    assert debian("pkg.install", "salt-mine", version="=1.10-1")["salt-mine"] == {"old": "2:0.9", "new": "1.10-1"}
    assert "available: 1.0-1, 1.10-1, 2:0.9" in debian.error("pkg.install", "salt-mine", version=">=3:1")
    assert debian("pkg.version_cmp", "1.0", "1.0-0.1") == -1
    assert debian("pkg.version_cmp", "2:0.9", "1.10-1", ignore_epoch=True) == -1
    assert "begins with no `-`" in debian.error("pkg.version_cmp", "--status-logger=touch x", "1")
    assert debian("pkg.upgrade_available", "salt-mine", refresh=False) is True


def test_test_says_what_would_change_and_changes_nothing(debian):
    install = "Would install lid 1.6, install pan 1.0. Nothing was changed."
    assert debian("pkg.install", "pan", test=True) == install
    assert debian("pkg.list_pkgs") == {}
    debian("pkg.install", pkgs=["pan", {"lid": "1.5"}])
    assert debian("pkg.upgrade", test=True) == "Would change lid from 1.5 to 1.6. Nothing was changed."
    assert debian("pkg.remove", "lid", test=True) == "Would remove lid 1.5, remove pan 1.0. Nothing was changed."
    assert debian("pkg.remove", "nosuch", test=True) == "Nothing would change."
    assert debian("pkg.list_pkgs") == {"lid": "1.5", "pan": "1.0"}


def test_what_is_held_stays_and_can_still_be_changed_by_name(debian):
    debian("pkg.install", "lid", version="1.5")
    assert debian("pkg.hold", "lid", test=True)["lid"]["result"] is None
    held = debian("pkg.hold", "lid")["lid"]
    assert (held["changes"], held["result"]) == ({"old": "install", "new": "hold"}, True)
    assert debian("pkg.hold", "lid")["lid"]["changes"] == {}
    assert debian("pkg.hold", "nosuch")["nosuch"]["result"] is False
    assert debian("pkg.list_holds") == ["lid"]
    assert debian("pkg.upgrade", refresh=False) == {}
    assert debian("pkg.install", "lid") == {"lid": {"old": "1.5", "new": "1.6"}}
    assert debian("pkg.list_holds") == ["lid"]
    assert debian("pkg.unhold", pkgs=["lid"])["lid"]["changes"] == {"old": "hold", "new": "install"}
    assert debian("pkg.list_holds") == []


def test_a_file_is_installed_with_its_configuration_kept(debian, tmp_path):
    deb = scratch_debian.make_package(tmp_path, "own", "1.0")
    assert debian("pkg.install", sources=[{"own": str(deb)}]) == {"own": {"old": "", "new": "1.0"}}
    conf = tmp_path / "root/etc/own.conf"
    conf.write_text("mine\n")
    newer = scratch_debian.make_package(tmp_path, "own", "1.1")
    assert debian("pkg.install", sources=[{"own": str(newer)}]) == {"own": {"old": "1.0", "new": "1.1"}}
    assert conf.read_text() == "mine\n"  # dpkg would have asked
    assert debian("pkg.owner", "/etc/own.conf", "/etc/nosuch") == {"/etc/own.conf": "own", "/etc/nosuch": ""}
    assert "/usr/share/doc/own/README" in debian("pkg.file_list", "own")["files"]
    assert debian("pkg.file_dict", "own", "nosuch")["errors"] == ["dpkg-query: package 'nosuch' is not installed"]
    assert "neither an absolute path" in debian.error("pkg.install", sources=[{"own": "own.deb"}])
    assert "is not there" in debian.error("pkg.install", sources=[{"own": "/nosuch.deb"}])


def test_an_error_has_the_managers_message(debian):
    assert "apt-get says: E: Unable to locate package nosuch" in debian.error("pkg.install", "nosuch")
    assert debian("pkg.refresh_db", cache_valid_time=3600) == {}
    assert "Would run apt-get -q update" in debian("pkg.refresh_db", test=True)


@pytest.mark.parametrize("name", ["-o=Dpkg::Use-Pty=0", "lid-", "a b", "", "a\nb"])
def test_what_is_no_name_is_refused(tmp_path, name):
    minion = Minion(tmp_path, None, {"id": "web1", "os_family": "Debian", "osarch": "amd64"})
    for fun in ("pkg.install", "pkg.remove", "pkg.latest_version"):
        ret, _, success = minion.run(fun, name, refresh=False) if fun != "pkg.remove" else minion.run(fun, name)
        assert success is False and "name" in ret


def test_an_unknown_keyword_is_refused_and_another_managers_has_no_effect(debian):
    assert "pkg has no keyword colour" in debian.error("pkg.install", "lid", colour="red")
    assert debian("pkg.install", "lid", disablerepo="*", skip_verify=True, __pub_jid="1")["lid"]["new"] == "1.6"
    assert "-t is no value" in debian.error("pkg.install", "lid", fromrepo="-t")


def test_what_the_manager_prints_goes_to_the_stream_as_it_comes(debian):
    said = []
    debian.execution.context["stream"] = said.append
    debian("pkg.install", "lid")
    assert any(line.startswith("Setting up lid (1.6)") for line in said)
    assert not any(line.endswith("\n") for line in said)


def test_another_programs_lock_is_waited_for(debian, tmp_path):
    """flock as apt takes it, on the file that it takes."""
    lock = tmp_path / "root/var/lib/dpkg/lock-frontend"
    program = f"import fcntl, sys; f = open({str(lock)!r}, 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True)"
    holder = subprocess.Popen(
        ["python3", "-c", f"{program}; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    holder.stdout.readline()
    function = debian.execution.functions["pkg.install"]
    told = []

    def tell(line):
        told.append(line)
        if "waiting for the lock" in line:
            holder.communicate()

    debian.execution.context["stream"] = tell
    function.__globals__["LOCK_EVERY"] = 0.05
    assert function("lid") == {"lid": {"old": "", "new": "1.6"}}
    assert [line for line in told if "waiting for the lock of apt-get, at most 600 seconds" in line]


@pytest.mark.parametrize(("tries", "well"), [(3, True), (4, True), (5, False)])
def test_the_lock_is_waited_for_so_long_and_no_longer(tmp_path, monkeypatch, tries, well):
    """A program that finds the lock taken; the clock goes on by the time that is waited."""
    now = [100.0]
    own = module()
    monkeypatch.setattr(own.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(own.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(own, "LOCK_SECONDS", 4 * own.LOCK_EVERY)
    count = tmp_path / "count"
    program = tmp_path / "apt-get"
    written(
        program,
        f"#!/bin/sh\necho x >> {count}\n[ $(wc -l < {count}) -gt {tries} ] && exit 0\n"
        "echo 'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt)' >&2; exit 100\n",
    )
    own.__grains__["os_family"] = "Debian"
    if well:
        assert own._change([str(program)], own.APT.busy)[0] == 0
    else:
        with pytest.raises(saltlite.CommandExecutionError, match="held by process 7 .*nothing was changed"):
            own._change([str(program)], own.APT.busy)


@pytest.mark.parametrize("goes_on", [True, False])
def test_dnf5_waits_for_the_lock_itself_and_not_for_ever(tmp_path, monkeypatch, goes_on):
    own = module()
    monkeypatch.setattr(own, "LOCK_SECONDS", 0.4)
    monkeypatch.setattr(own, "ENDED_SECONDS", 0.05)
    (tmp_path / "said").write_text(recorded("dnf5-locked"))
    more = "sleep 0.1; echo Repositories loaded.; sleep 0.6" if goes_on else "exec sleep 20"
    written(tmp_path / "dnf5", f"#!/bin/sh\ncat {tmp_path}/said; {more}\n")
    if goes_on:
        assert own._run([str(tmp_path / "dnf5")])[0] == 0
    else:
        with pytest.raises(saltlite.CommandExecutionError, match="within 0.4 seconds; nothing was changed: .*\n32\t"):
            own._run([str(tmp_path / "dnf5")])


def test_an_error_of_dnf5_has_no_progress_in_it():
    error = pkg._failed(pkg.DNF, "installing", "", recorded("dnf5-failed"), {})
    assert "says: Failed to resolve the transaction:\nNo match for argument: nosuch" in str(error)


def test_dnf5_says_nothing_of_what_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    written(tmp_path / "dnf5", "#!/bin/sh\nexit 1\n")
    assert module("RedHat").list_repo_pkgs("nosuch") == {}
    written(tmp_path / "zypper", "#!/bin/sh\nexit 1\n")
    with pytest.raises(saltlite.CommandExecutionError, match="zypper says"):
        module("Suse").list_repo_pkgs("nosuch")


def test_what_rpm_knows_is_sorted_by_version_and_what_is_not_there_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name in ("rpm", "dnf"):
        rows = [
            "\x1f".join(
                {"version": v, "release": "1", "epoch": "", "description": "two\nlines"}.get(key, "7")
                for key in pkg.RPM_KNOWN
            )
            for v in ("1.9", "1.10")
        ]
        said = "package nosuch is not installed\n" + "".join(f"lid\x1f{row}\x1e" for row in rows)
        (tmp_path / "said").write_text(said)
        written(tmp_path / name, f"#!/bin/sh\ncat {tmp_path}/said; exit 1\n")
    own = module("RedHat")
    found = own.info_installed("nosuch", "lid", attr="version,description,edition,build_date")
    assert found == {"lid": {"version": "1.10", "description": "two\nlines", "build_date": "1970-01-01T00:00:07Z"}}
    several = own.info_installed("lid", all_versions=True, attr=["edition"], errors="ignore")
    assert several == {"lid": [{"edition": "1.10-1"}, {"edition": "1.9-1"}]}


def test_a_daemon_that_keeps_the_pipes_open_is_not_waited_for(tmp_path):
    program = tmp_path / "starts"
    written(program, "#!/bin/sh\nsleep 20 & echo started $!\n")
    began = time.monotonic()
    code, out, _ = pkg._run([str(program)])
    subprocess.run(["kill", out.split()[1]], check=True)
    assert (code, out.split()[0]) == (0, "started") and time.monotonic() - began < 15


def test_nothing_asks_and_all_speak_english(tmp_path):
    program = tmp_path / "env"
    written(program, '#!/bin/sh\necho "$LC_ALL $DEBIAN_FRONTEND"; read answer || echo no answer\n')
    assert pkg._run([str(program)])[1] == "C noninteractive\nno answer\n"


def test_sources_are_listed_as_salt_lists_them(debian, tmp_path):
    """Recorded from Salt 3008 for these files, but the lines: of a stanza without a key it writes signed-by=None."""
    (tmp_path / "apt/etc/sources.list").write_text(
        "# a comment\ndeb [arch=amd64 signed-by=/k.gpg] http://a.example/x stable main contrib # why\n"
        "#deb-src http://a.example/x stable main\n# deb cdrom:[x]/ y main\n"
    )
    parts = tmp_path / "apt/etc/sources.list.d"
    parts.mkdir()
    (parts / "d.sources").write_text(
        "Types: deb deb-src\nURIs: http://d.example/a\nSuites: one two\nComponents: main\nEnabled: no\nTrusted: yes\n"
        "Architectures: amd64 arm64\n\n# x\nTypes: deb\nURIs: http://e.example\nSuites: ./\n"
        "Signed-By:\n -----BEGIN\n .\n abc\n"
    )
    (parts / "no.source").write_text("deb http://n.example/ x y\n")
    found = debian("pkg.list_repos")
    assert list(found) == ["http://a.example/x", "cdrom:[x]/", "http://d.example/a", "http://e.example"]
    assert found["http://a.example/x"][0] == {
        "file": str(tmp_path / "apt/etc/sources.list"), "comps": ["main", "contrib"], "disabled": False,
        "enabled": True, "dist": "stable", "suites": ["stable"], "type": "deb", "types": ["deb"],
        "uri": "http://a.example/x", "uris": ["http://a.example/x"], "architectures": ["amd64"],
        "line": "deb [arch=amd64 signed-by=/k.gpg] http://a.example/x stable main contrib # why", "signedby": "/k.gpg",
    }  # fmt: skip
    assert [row["disabled"] for row in found["http://a.example/x"]] == [False, True]
    rows = [(row["type"], row["dist"], row["line"]) for row in found["http://d.example/a"]]
    assert rows == [
        (kind, suite, f"# {kind} [arch=amd64,arm64 trusted=yes] http://d.example/a {suite} main")
        for suite in ("one", "two")
        for kind in ("deb", "deb-src")
    ]
    assert found["http://e.example"][0]["signedby"] == "-----BEGIN\n .\n abc"
    assert debian("pkg.get_repo", "deb http://a.example/x/ stable contrib") == found["http://a.example/x"][0]
    assert debian("pkg.get_repo", "deb http://a.example/x stable other") == {}
    assert "not a well formatted definition" in debian.error("pkg.get_repo", "rubbish")
    for fun in ("pkg.list_repos", "pkg.info_installed"):
        assert "pkg has no keyword colour" in debian.error(fun, colour="red")


def test_repositories_of_rpm_are_maps(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "own.repo").write_text("# ours\n[own]\nname=Own %x\nbaseurl=http://a\n  http://b\nenabled=1\n")
    for program, family, more in (
        ("dnf", "RedHat", {"enabled": "1"}),
        ("zypper", "Suse", {"enabled": True, "alias": "own"}),
    ):
        written(tmp_path / program, "#!/bin/sh\n")
        own = module(family)
        wanted = {"name": "Own %x", "baseurl": "http://a\nhttp://b", **more}
        assert own.get_repo("own", basedir=str(tmp_path)) == wanted and own.get_repo("x", basedir=str(tmp_path)) == {}
    assert module("RedHat").list_repos(f"/nowhere,{tmp_path}")["own"]["file"] == str(tmp_path / "own.repo")
    (tmp_path / "bad.repo").write_text("name=x\n")
    with pytest.raises(saltlite.CommandExecutionError, match="bad.repo is no file of repositories"):
        module("RedHat").list_repos(str(tmp_path))


# How answers are read


def test_dpkg_lists():
    text = (
        "install ok installed\tzsh\t4.3.17-1ubuntu1\tamd64\ndeinstall ok config-files\tmc\t3:4.8.1-2\tamd64\n"
        "hold ok installed\tlibc6\t2.36-9\tamd64\ninstall ok installed\tlibc6\t2.36-9\ti386\n"
        "install ok installed\ttzdata\t2024a\tall\npurge ok installed\told\t1\tamd64\n"
        "install ok unpacked\thalf\t1\tamd64\n"
    )
    found = pkg._dpkg_list(text, "amd64")
    assert found["installed"] == {
        "zsh": ["4.3.17-1ubuntu1"],
        "libc6": ["2.36-9"],
        "libc6:i386": ["2.36-9"],
        "tzdata": ["2024a"],
    }
    assert found["removed"] == {"mc": ["3:4.8.1-2"]} and found["purge_desired"] == {"old": ["1"]}


def test_rpm_lists():
    text = (
        "bash\t(none)\t5.1.8\t6.el9\tx86_64\nkernel\t(none)\t5.14.0\t1.el9\tx86_64\n"
        "kernel\t(none)\t5.14.0\t2.el9\tx86_64\nglibc\t0\t2.34\t60.el9\ti686\nopenssl\t1\t3.0.7\t24.el9\tx86_64\n"
        "tzdata\t(none)\t2023c\t1.el9\tnoarch\ngpg-pubkey\t(none)\t8483c65d\t5ccc5b19\t(none)\n"
    )
    assert pkg._rpm_list(text, "x86_64")["installed"] == {
        "bash": ["5.1.8-6.el9"],
        "kernel": ["5.14.0-1.el9", "5.14.0-2.el9"],
        "glibc.i686": ["2.34-60.el9"],
        "openssl": ["1:3.0.7-24.el9"],
        "tzdata": ["2023c-1.el9"],
        "gpg-pubkey": ["8483c65d-5ccc5b19"],
    }


def recorded(name):
    """What a program has said, as it was recorded (dnf 4.14, dnf5 5.4, zypper 1.14, pacman 6.0)."""
    return (Path(__file__).parent / f"expected/packages/{name}.txt").read_text()


def test_dnf_lists():
    long = "a-package-with-a-very-long-name-that-does-not-fit"
    assert pkg._dnf_latest(recorded("dnf-available"), "x86_64") == {long: "1.0-1", "lid": "1.6-1", "pan": "1.0-1"}
    found = {long: "1.0-1", "lid": "1.6-1", "pan": "1.0-1", "salt-mine": "1.10-1"}
    assert pkg._dnf_latest(recorded("dnf5-available"), "x86_64") == found
    broken = (  # as yum breaks what is longer than 80 characters
        "Updated Packages\nbash.x86_64          5.1.8-9.el9          baseos\nNetworkManager-initscripts-updown.noarch\n"
        "              1:1.44.0-3.el9        baseos\nObsoleting Packages\ngrub2-tools.x86_64  1:2.06-70.el9  baseos\n"
    )
    found = pkg._dnf_latest(broken, "x86_64")
    assert found == {"bash": "5.1.8-9.el9", "NetworkManager-initscripts-updown": "1:1.44.0-3.el9"}


def test_dnf_plans():
    long = "a-package-with-a-very-long-name-that-does-not-fit"
    new = {"old": "", "new": "1.0-1"}
    assert pkg._dnf_plan(recorded("dnf-install")) == {long: new, "pan": new}
    assert pkg._dnf_plan(recorded("dnf-upgrade")) == {"lid": {"old": "", "new": "1.6-1"}}
    assert pkg._dnf_plan(recorded("dnf-remove")) == {"lid": {"old": "1.5-1", "new": ""}}
    assert pkg._dnf_plan(recorded("dnf5-install")) == {"lid": {"old": "", "new": "1.6-1"}, "pan": new}
    assert pkg._dnf_plan(recorded("dnf5-upgrade")) == {"lid": {"old": "1.5-1", "new": "1.6-1"}}
    gone = {"lid": {"old": "1.5-1", "new": ""}, "pan": {"old": "1.0-1", "new": ""}}
    assert pkg._dnf_plan(recorded("dnf5-remove")) == gone
    split = " Package   Arch\nInstalling:\n a-long-name\n           x86_64   1:2.0-1.el9   epel   50 k\n"
    assert pkg._dnf_plan(split) == {"a-long-name": {"old": "", "new": "1:2.0-1.el9"}}


def test_zypper_answers():
    assert pkg._zypper_info(recorded("zypper-info")) == {"lid": "1.6-1", "pan": "1.0-1"}
    assert pkg._zypper_updates(recorded("zypper-updates")) == {"lid": "1.6-1"}
    assert pkg._zypper_plan(recorded("zypper-install")) == {"pan": {"old": "", "new": "1.0-1"}}
    assert pkg._zypper_plan(recorded("zypper-update")) == {"lid": {"old": "1.5-1", "new": "1.6-1"}}
    assert pkg._zypper_plan(recorded("zypper-remove")) == {"lid": {"old": "1.5-1", "new": ""}}
    assert pkg._zypper_refreshed(0, recorded("zypper-refresh")) == {"own": True}
    assert pkg._zypper_refreshed(0, recorded("zypper-fresh")) == {"own": False}
    assert pkg._zypper_locks(recorded("zypper-locks")) == ["lid"]
    assert pkg.ZYPPER.known[1](recorded("zypper-search"), "") == {"salt-mine": ["1.10-1", "1.9-1"]}
    assert pkg._zypper_plan("Nothing to do.\n") == {} and pkg._zypper_updates("") == {}


def test_pacman_answers():
    assert pkg._two_words("linux 6.6.1-1\nacl 2.3.1-3\n")["installed"] == {"linux": ["6.6.1-1"], "acl": ["2.3.1-3"]}
    assert pkg._pacman_plan(recorded("pacman-file")) == {"lid": {"old": "", "new": "1.5-1"}}
    assert pkg._flat(pkg._two_words(recorded("pacman-upgrades"))) == {"lid": "1.6-1"}
    assert pkg._pacman_refreshed(0, recorded("pacman-refresh")) == {"own": True}
    assert pkg._pacman_refreshed(0, ":: Synchronizing package databases...\n core is up to date\n") == {"core": False}


def test_apk_answers():
    text = "musl-1.2.4-r1\nlibcrypto3-3.1.4-r0\npy3-dbus-python-1.3.2-r0\nWARNING: opening cache: No such file\n"
    found = pkg._apk_list(text)["installed"]
    assert found == {"musl": ["1.2.4-r1"], "libcrypto3": ["3.1.4-r0"], "py3-dbus-python": ["1.3.2-r0"]}
    plan = (
        "(1/3) Installing htop (3.2.2-r1)\n(2/3) Upgrading musl (1.2.4-r1 -> 1.2.4-r2)\n(3/3) Purging nano (7.2-r1)\n"
    )
    assert pkg._apk_plan(plan) == {
        "htop": {"old": "", "new": "3.2.2-r1"},
        "musl": {"old": "1.2.4-r1", "new": "1.2.4-r2"},
        "nano": {"old": "7.2-r1", "new": ""},
    }
    assert pkg._apk_upgrades(plan) == {"musl": "1.2.4-r2"}
    assert re.search(pkg.APK.owner[1], "/bin/busybox is owned by busybox-1.36.1-r5")[1] == "busybox"


def test_versionlocks():
    text = "bash-0:5.1.8-6.el9.*\n0:vim-common-8.2.2637-20.el9.*\nPackage name: nano\n# Added by 'versionlock add'\n"
    assert pkg._versionlocks(text) == ["bash", "nano", "vim-common"]


@pytest.mark.parametrize(
    ("first", "second", "order"),
    [
        ("1.0-1", "1.0-1", 0), ("1.0-1", "1.0-2", -1), ("1.0", "1.0-2", 0), ("1:0.9-1", "1.0-1", 1), ("1.10", "1.9", 1),
        ("1.0~rc1", "1.0", -1), ("1.0^git1", "1.0", 1), ("1.0^git1", "1.0.1", -1), ("1.0a", "1.0", 1),
        ("1.a", "1.1", -1), ("1.0~rc1^a", "1.0~rc1", 1), ("2.0.1a", "2.0.1", 1), ("5.5p1", "5.5p2", -1),
        ("10xyz", "10.1xyz", -1),
        ("xyz10", "xyz10.1", -1), ("1.0010", "1.9", 1), ("1_0", "1.0", 0), ("1.05", "1.5", 0),
    ],
)  # fmt: skip
def test_rpm_orders_versions(first, second, order):
    """As rpm does."""
    assert pkg._rpm_compare(first, second) == order
    assert pkg._rpm_compare(second, first) == -order


def test_any_two_versions_of_rpm_have_an_order():
    rng = random.Random(10)
    versions = ["".join(rng.choice("019az.~^-") for _ in range(rng.randint(1, 7))) for _ in range(400)]
    for first, second in zip(versions, reversed(versions), strict=True):
        assert pkg._rpm_compare(first, second) == -pkg._rpm_compare(second, first)


# What is asked


@pytest.mark.parametrize(
    ("row", "command", "names", "given", "test", "words"),
    [
        ("APT", "install", ["a=1"], {"install_recommends": False, "fromrepo": "sid"}, False,
         "apt-get -q -y -t sid --no-install-recommends install -- a=1"),
        ("APT", "install", ["a"], {"force_conf_new": True}, True,
         "apt-get -q -y -o DPkg::Options::=--force-confnew --simulate install -- a"),
        ("DNF", "install", ["a"], {"fromrepo": "epel", "skip_verify": True}, True,
         "dnf --setopt=exit_on_lock=True -y --disablerepo=* --enablerepo=epel --nogpgcheck --assumeno install a"),
        ("ZYPPER", "install", ["a"], {"skip_verify": True, "no_recommends": True}, True,
         "zypper --non-interactive --no-refresh --no-gpg-checks --xmlout install --auto-agree-with-licenses --name "
         "--no-recommends --dry-run -- a"),
        ("ZYPPER", "upgrade_all", [], {}, True,
         "zypper --non-interactive --no-refresh --xmlout dist-upgrade --auto-agree-with-licenses --dry-run"),
        ("PACMAN", "install", ["a"], {"reinstall": False}, False,
         "pacman -S --noprogressbar --noconfirm --needed -- a"),
        ("PACMAN", "remove", ["a"], {}, True, "pacman -R --noprogressbar --noconfirm -p --print-format %n\t%v -- a"),
        ("APK", "install", ["a=1"], {"skip_verify": True}, True, "apk add --allow-untrusted --simulate -- a=1"),
    ],
)  # fmt: skip
def test_commands_are_lists_of_words(tmp_path, monkeypatch, row, command, names, given, test, words):
    written(tmp_path / "dnf", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    manager = getattr(pkg, row)
    made = pkg._argv(manager, getattr(manager, command), names, pkg._options(manager, given), test)
    assert made == words.split(" ")


def test_the_old_yum_has_words_for_options(tmp_path, monkeypatch):
    written(tmp_path / "yum", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        pkg._argv(pkg.DNF, pkg.DNF.latest[0], ["a"])
        == "yum --setopt=exit_on_lock=True --quiet list available a".split()
    )
    assert pkg._argv(pkg.DNF, pkg.DNF.upgrades[0]) == "yum --setopt=exit_on_lock=True --quiet list updates".split()
    assert (
        pkg._argv(pkg.DNF, pkg.DNF.refresh[0])
        == "yum --setopt=exit_on_lock=True --quiet --assumeyes check-update".split()
    )


def test_every_manager_is_found_by_its_family_and_else_by_its_program(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(saltlite.CommandExecutionError, match="no package manager that is known here"):
        pkg._manager()
    for row in pkg.MANAGERS:
        written(tmp_path / row.programs[-1], "#!/bin/sh\n")
        assert module(row.family)._manager().family == row.family
    assert module("Gentoo")._manager().family == "Debian"


def test_managers_without_holds_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    written(tmp_path / "pacman", "#!/bin/sh\n")
    with pytest.raises(saltlite.CommandExecutionError, match="IgnorePkg in /etc/pacman.conf"):
        module("Arch").hold("linux")
