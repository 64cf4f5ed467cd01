"""pkg: what is called. See tests/functions.py. Each side has a Debian of its own in scratch, with a repository."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import scratch_debian

APT = shutil.which("apt-get") is not None
AGAIN = {"refresh": False}


def prepare(scratch: Path) -> None:
    """A system without packages, which all programs that are started take for theirs."""
    scratch_debian.make(scratch)
    scratch_debian.make_package(scratch, "own", "1.0")
    os.environ.update(scratch_debian.environment(scratch))


CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("pkg.refresh_db", [], {}),
    ("pkg.list_pkgs", [], {}),
    ("pkg.latest_version", ["lid"], AGAIN),
    ("pkg.available_version", ["lid", "pan", "nosuch"], AGAIN),
    ("pkg.list_repo_pkgs", ["salt-mine"], {}),
    ("pkg.install", ["lid"], {"version": "1.5"}),
    ("pkg.install", ["pan"], {}),
    ("pkg.install", ["pan"], {}),
    ("pkg.install", [], {"pkgs": [{"salt-mine": "1.0-1"}, "lid"]}),
    ("pkg.install", ["salt-mine"], {"version": "1.10-1"}),
    ("pkg.install", ["pan"], {"reinstall": True}),
    ("pkg.install", [], {"sources": [{"own": "{scratch}/own_1.0_all.deb"}]}),
    ("pkg.install", ["nosuch"], {}),
    ("pkg.list_pkgs", [], {}),
    ("pkg.list_pkgs", [], {"versions_as_list": True}),
    ("pkg.version", ["lid"], {}),
    ("pkg.version", ["lid", "nosuch"], {}),
    ("pkg.version", ["nosuch"], {}),
    ("pkg.version", ["l*"], {}),
    ("pkg.version", [], {}),
    ("pkg.latest_version", ["lid"], AGAIN),
    ("pkg.latest_version", ["lid"], {"show_installed": True, **AGAIN}),
    ("pkg.upgrade_available", ["lid"], {}),
    ("pkg.upgrade_available", ["salt-mine"], {}),
    ("pkg.hold", ["salt-mine"], {}),
    ("pkg.hold", ["salt-mine"], {}),
    ("pkg.list_upgrades", [], AGAIN),
    ("pkg.upgrade", [], AGAIN),
    ("pkg.unhold", ["salt-mine"], {}),
    ("pkg.unhold", ["salt-mine"], {}),
    ("pkg.hold", [], {}),
    ("pkg.get_selections", [], {}),
    ("pkg.get_selections", ["l*"], {"state": "install"}),
    ("pkg.get_selections", ["nosuch"], {}),
    ("pkg.info_installed", [], {}),
    ("pkg.info_installed", ["lid", "pan"], {}),
    ("pkg.info_installed", ["lid", "nosuch"], {}),
    ("pkg.info_installed", ["nosuch"], {"failhard": False}),
    ("pkg.list_upgrades", [], AGAIN),
    ("pkg.upgrade", [], AGAIN),
    ("pkg.owner", ["/etc/lid.conf"], {}),
    ("pkg.owner", ["/etc/lid.conf", "/etc/nosuch"], {}),
    ("pkg.owner", [], {}),
    *(("pkg.which", [path], {}) for path in ("{scratch}/root/etc/lid.conf", "/nosuch", "etc/lid.conf")),
    ("pkg.file_list", ["lid"], {}),
    ("pkg.file_dict", ["lid", "pan"], {}),
    ("pkg.normalize_name", ["zsh:amd64"], {}),
    ("pkg.normalize_name", ["zsh:sparc"], {}),
    ("pkg.version_cmp", ["1.0~rc1", "1.0"], {}),
    ("pkg.version_cmp", ["1:1.0", "1.0"], {"ignore_epoch": True}),
    ("pkg.autoremove", [], {"list_only": True}),
    ("pkg.remove", ["lid"], {}),
    ("pkg.remove", ["lid"], {}),
    ("pkg.list_pkgs", [], {"removed": True}),
    ("pkg.purge", ["lid"], {}),
    ("pkg.purge", [], {"pkgs": ["pan", "salt-mine"]}),
    ("pkg.list_pkgs", [], {"removed": True}),
    ("pkg.autoremove", [], {}),
    ("pkg.remove", [], {}),
]
SOURCES = "Salt reads /etc/apt alone, and not what apt is told to read; tests/test_module_pkg.py has what it gave"
ONLY_SALT = {
    **dict.fromkeys(
        ("pkg.add_repo_key", "pkg.del_repo", "pkg.del_repo_key", "pkg.get_repo_keys", "pkg.mod_repo"),
        "the inside of the state pkgrepo.managed, which needs Salt; the files are plain",
    ),
    "pkg.list_downloaded": "what lies in /var/cache/apt",
    "pkg.parse_arch": "the inside of others",
    "pkg.services_need_restart": "it needs checkrestart, which few have",
    "pkg.set_selections": "pkg.hold and pkg.unhold",
    "pkg.show": "the output of apt-cache show, which cmd.run shows, too",
}
NOT_COMPARED = {"pkg.list_holds": "Salt has it for rpm alone", "pkg.list_repos": SOURCES, "pkg.get_repo": SOURCES}


def undated(found: Any) -> Any:
    """Without the times at which each side has installed them."""
    return {
        name: {key: value for key, value in known.items() if key != "install_date"} for name, known in found.items()
    }


NORMAL = {"pkg.info_installed": undated}
DIFFERS = {
    "pkg.owner /etc/lid.conf /etc/nosuch": "that no package owns a file is an answer, and no failure of the job",
    "pkg.info_installed lid nosuch": "Salt has the retcode of dpkg-query for the job's",
    "pkg.info_installed nosuch failhard=False": "Salt has the retcode of dpkg-query for the job's",
    "pkg.which {scratch}/root/etc/lid.conf": "None, as Salt's text would have it",
    "pkg.remove": "a sentence, where Salt raises a TypeError",
    "pkg.install nosuch": "the manager's message stands in one line with what went wrong",
}
if not APT:
    NOT_COMPARED |= {case[0]: "there is no apt here" for case in CASES}
    CASES, DIFFERS = [], {}
