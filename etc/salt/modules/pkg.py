"""Packages: of apt, dnf or yum, zypper, pacman and apk, whichever this machine has.

A row of MANAGERS says how one program is asked and how its answer is read; the functions are the same for all. Programs
run as lists of words, never through a shell, in the C locale, without a question, and wait for one another's lock. What
a function has changed is `{name: {"old": version, "new": version}}`: "" where there is none, versions that are
installed beside one another with commas."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from salt.exceptions import CommandExecutionError, SaltInvocationError

__context__: dict[str, Any]
__grains__: dict[str, Any]
__opts__: dict[str, Any]
__salt__: Mapping[str, Any]

LOCK_SECONDS = 600  # how long another program's lock is waited for
LOCK_EVERY = 3  # seconds between two tries
ENDED_SECONDS = 1  # between looks whether a silent program has ended
SAID = 2000  # characters of a manager's message in an error
ENVIRONMENT = {  # no program asks, and all speak English
    "LC_ALL": "C",
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTBUGS_FRONTEND": "none",
    "APT_LISTCHANGES_FRONTEND": "none",
    "UCF_FORCE_CONFFOLD": "1",
}

Versions = dict[str, list[str]]  # of what is installed, by name
Changes = dict[str, dict[str, str]]
DONE = ("installed", "removed", "purge_desired")  # what dpkg says of a package; the others know the first alone


# How the answers are read: text in, values out


def _versions(pairs: Iterable[tuple[str, str]]) -> Versions:
    found: dict[str, set[str]] = {}
    for name, version in pairs:
        found.setdefault(name, set()).add(version)
    return {name: sorted(versions) for name, versions in sorted(found.items())}


def _dpkg_list(text: str, arch: str) -> dict[str, Versions]:
    """Lines of `status, tab, name, tab, version, tab, architecture`; another machine's architecture is in the name."""
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in DONE}
    for line in text.splitlines():
        status, name, version, its_arch = line.split("\t")
        want, _, state = status.split(" ")
        full = name if its_arch in (arch, "all") else f"{name}:{its_arch}"
        if want in ("install", "hold") and "installed" in state:
            found["installed"].append((full, version))
        elif want == "deinstall":
            found["removed"].append((full, version))
        elif want == "purge" and state == "installed":
            found["purge_desired"].append((full, version))
    return {kind: _versions(pairs) for kind, pairs in found.items()}


ARCH_32 = {"i386", "i486", "i586", "i686"}


def _rpm_name(name: str, its_arch: str, arch: str) -> str:
    """Of another architecture the name says so, as Salt has it."""
    native = its_arch in (arch, "noarch", "(none)") or {its_arch, arch} <= ARCH_32
    return name if native or {its_arch, arch} <= {"x86_64", "x86_64_v2"} else f"{name}.{its_arch}"


def _rpm_list(text: str, arch: str) -> dict[str, Versions]:
    """Lines of `name, epoch, version, release, architecture`, between tabs. gpg-pubkey is a key, yet Salt lists it."""
    pairs = []
    for line in text.splitlines():
        name, epoch, version, release, its_arch = line.split("\t")
        full = f"{version}-{release}" if release else version
        pairs.append((_rpm_name(name, its_arch, arch), full if epoch in ("(none)", "0") else f"{epoch}:{full}"))
    return {"installed": _versions(pairs)}


def _two_words(text: str, arch: str = "") -> dict[str, Versions]:
    """Lines of `name version`, as pacman has them; others are messages."""
    lines = (line.split() for line in text.splitlines())
    mark = re.compile(r"::|downloading|.*\.\.\.")
    pairs = ((words[0], words[1]) for words in lines if len(words) == 2 and not any(map(mark.fullmatch, words)))
    return {"installed": _versions(pairs)}


def _apk_split(word: str) -> tuple[str, str]:
    """busybox-1.36.1-r5: its name, which may have dashes, and its version, which has one."""
    parts = word.rsplit("-", 2)
    return (parts[0], "-".join(parts[1:])) if len(parts) == 3 else (word, "")


def _apk_list(text: str, arch: str = "") -> dict[str, Versions]:
    words = (line.strip() for line in text.splitlines())
    pairs = (_apk_split(word) for word in words if word and " " not in word)
    return {"installed": _versions(pair for pair in pairs if pair[1])}


def _policy(text: str) -> dict[str, str]:
    """apt-cache policy: the version that would be installed."""
    found, name = {}, ""
    for line in text.splitlines():
        if not line.startswith(" ") and line.endswith(":"):
            name = line[:-1]
        elif line.strip().startswith("Candidate:"):
            candidate = line.split()[-1]
            found[name] = "" if candidate == "(none)" else candidate
    return found


TITLES = re.compile(
    r"(Available|Installed|Updated|Obsoleting|Extra|Recent|Security)? ?(Packages|Upgrades)"
    r"|(Available|Installed) (packages|upgrades)|Last metadata .*|Updating .*|Repositories loaded\.",
    re.IGNORECASE,
)


def _dnf_list(text: str, arch: str) -> Versions:
    """`dnf list`: name.arch, version, repository; a long line is broken anywhere between the three."""
    words: list[str] = []
    for line in text.splitlines():
        if line.strip().lower() == "obsoleting packages":
            break
        if not TITLES.fullmatch(line.strip()):
            words += line.split()
    pairs = []
    for full, version, _ in zip(*[iter(words)] * 3, strict=False):
        name, _, its_arch = full.rpartition(".")
        if name:
            pairs.append((_rpm_name(name, its_arch, arch), version))
    return _versions(pairs)


def _dnf_latest(text: str, arch: str) -> dict[str, str]:
    return {name: _newest(versions, _rpm_compare) for name, versions in _dnf_list(text, arch).items()}


def _zypper_info(text: str) -> dict[str, str]:
    """zypper info: the version of what is not installed or out of date, "" of what is up to date."""
    found = {}
    for block in re.split(r"(?m)^Information for ", text)[1:]:
        fields = dict(re.findall(r"(?m)^(\w[\w ]*?)\s*:[ \t]*(.*?)\s*$", block))
        status = fields.get("Status", "").lower()
        fresh = "not installed" in status or "out-of-date" in status
        found[fields.get("Name", "")] = fields.get("Version", "") if fresh else ""
    return found


def _zypper_updates(text: str) -> dict[str, str]:
    """zypper --xmlout list-updates."""
    return {node["name"]: node["edition"] for node in _xml(text, "update") if node.get("kind") == "package"}


def _xml(text: str, tag: str) -> list[dict[str, str]]:
    """The attributes of all elements of a name; zypper's own output, whose entities nothing extends."""
    from xml.dom import minidom

    start = text.find("<?xml")
    if start < 0:
        return []
    nodes = minidom.parseString(text[start:]).getElementsByTagName(tag)
    return [dict(node.attributes.items()) for node in nodes if node.attributes]


def _flat(found: Mapping[str, Versions]) -> dict[str, str]:
    return {name: versions[-1] for name, versions in found["installed"].items()}


APT_STEP = re.compile(r"(Inst|Remv|Purg) (\S+)(?: \[([^\]]*)\])?(?: \((\S+))?.*")


def _apt_upgrades(text: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^Conf (\S+) \((\S+)", text))


def _apt_plan(text: str) -> Changes:
    """apt-get --simulate: what would change."""
    steps = filter(None, map(APT_STEP.fullmatch, text.splitlines()))
    return {step[2]: {"old": step[3] or "", "new": step[4] or ""} for step in steps}


def _dnf_plan(text: str) -> Changes:
    """dnf --assumeno, the table of its transaction: name, architecture, version, repository, size. dnf5 has an epoch in
    each version."""
    plan: Changes = {}
    section, name = "", ""
    for line in text.splitlines():
        if line.startswith("Transaction Summary"):
            break
        words = line.split()
        if line.startswith("Updating and loading repositories"):  # dnf5, with a line for each
            continue
        if line.endswith(":") and not line.startswith("  "):
            section = line.strip(": ").lower()
        elif section and words[:1] == ["replacing"]:  # dnf5, below what comes in its place
            plan[words[1]]["old"] = words[3].removeprefix("0:")
        elif section and line.startswith(" "):
            words, name = ([name, *words], "") if name else (words, "")
            if len(words) == 1:  # a long name has a line of its own
                name = words[0]
            elif len(words) >= 5:
                gone, version = section.startswith("remov"), words[2].removeprefix("0:")
                plan[words[0]] = {"old": version if gone else "", "new": "" if gone else version}
    return plan


def _zypper_plan(text: str) -> Changes:
    """zypper --xmlout … --dry-run: what is listed for installation, upgrade and removal."""
    from xml.dom import minidom

    plan: Changes = {}
    start = text.find("<?xml")
    document = minidom.parseString(text[start:]) if start >= 0 else None
    for node in document.getElementsByTagName("solvable") if document else ():
        if node.getAttribute("type") != "package":
            continue
        edition, old = node.getAttribute("edition"), node.getAttribute("edition-old")
        gone = getattr(node.parentNode, "tagName", "") == "to-remove"
        plan[node.getAttribute("name")] = {"old": edition if gone else old, "new": "" if gone else edition}
    return plan


def _pacman_plan(text: str) -> Changes:
    """`name version` of what would be installed, or removed; which of them, whoever has asked knows."""
    return {name: {"old": "", "new": version} for name, version in _flat(_two_words(text)).items()}


APK_STEP = re.compile(r"\(\d+/\d+\) (\w+) (\S+) \((\S+?)(?: -> (\S+))?\)")


def _apk_plan(text: str) -> Changes:
    """apk --simulate: Installing, Upgrading, Downgrading, Replacing, Purging."""
    plan = {}
    for step in filter(None, map(APK_STEP.match, text.splitlines())):
        old, new = (step[3], step[4]) if step[4] else ("", step[3])
        plan[step[2]] = {"old": step[3], "new": ""} if step[1] == "Purging" else {"old": old, "new": new}
    return plan


def _apk_upgrades(text: str) -> dict[str, str]:
    return {name: each["new"] for name, each in _apk_plan(text).items() if each["old"] and each["new"]}


def _apt_refreshed(code: int, text: str) -> dict[str, bool | None]:
    """apt-get update: True for lists that were fetched, None for those that are as they were, False for errors."""
    what, found = {"Get": True, "Hit": None, "Ign": False, "Err": False}, {}
    for line in text.splitlines():
        if step := re.match(r"(Get|Hit|Ign|Err):?\d* (.+?)(?: \[[^\]]+B\])?$", line):
            found[step[2]] = what[step[1]]
    return found


def _zypper_refreshed(code: int, text: str) -> dict[str, bool | None]:
    """zypper refresh: True for repositories that were read anew, False for those that are up to date."""
    found: dict[str, bool | None] = {}
    for line in text.splitlines():
        if name := re.match(r"\s*(Repository|Building repository) '([^']+)'", line):
            if name[1] == "Repository" and "is up to date" in line:
                found[name[2]] = False
            elif "done" in line:
                found[name[2]] = True
    return found


def _pacman_refreshed(code: int, text: str) -> dict[str, bool | None]:
    """pacman -Sy: True for databases that were fetched, False for those that are up to date."""
    found: dict[str, bool | None] = {}
    for line in text.splitlines():
        words = line.split()
        if "is up to date" in line:
            found[words[0]] = False
        elif len(words) > 1 and ("downloading" in line or "%" in line) and words[0] not in ("::", "error:"):
            found[(words[1] if words[0] == "downloading" else words[0]).split(".")[0]] = True
    return found


def _holds(text: str) -> list[str]:
    """One name in a line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _versionlocks(text: str) -> list[str]:
    """dnf or yum versionlock list: `bash-0:5.1.8-6.el9.*`, `0:bash-4.2.46-34.el7.*`; dnf5: `Package name: bash`."""
    lines = (line.strip() for line in text.splitlines())
    patterns = (r"Package name: (\S+)", r"(?:\d+:)?(\S+?)-(?:\d+:)?[^-\s:]+-[^-\s]+")
    found = (re.fullmatch(pattern, line) for line in lines for pattern in patterns)
    return sorted({name[1] for name in found if name})


def _zypper_locks(text: str) -> list[str]:
    """zypper locks: a table whose second column is the name."""
    rows = ([cell.strip() for cell in line.split("|")] for line in text.splitlines())
    return [row[1] for row in rows if len(row) > 2 and row[0].isdigit()]


# Which of two versions is newer


def _rpm_part(first: str, second: str) -> int:
    """How rpm orders two versions or releases: -1, 0 or 1. `~` is before the end, `^` just behind it."""
    words = [re.findall(r"\d+|[A-Za-z]+|~|\^", text) for text in (first, second)]
    for index in range(max(map(len, words)) + 1):
        ours, theirs = ((each[index] if index < len(each) else "") for each in words)
        if ours == theirs:
            if not ours:
                return 0
            if not ours.isdigit():
                continue
        for mark, sign in (("~", -1), ("^", 1)):
            if mark in (ours, theirs) and ours != theirs:
                other = theirs if ours == mark else ours
                here = sign if mark == "~" or not other else -sign
                return here if ours == mark else -here
        if not ours or not theirs:
            return 1 if ours else -1
        if ours.isdigit() != theirs.isdigit():
            return 1 if ours.isdigit() else -1
        key = [(int(each), "") if each.isdigit() else (0, each) for each in (ours, theirs)]
        if key[0] != key[1]:
            return 1 if key[0] > key[1] else -1
    return 0


def _rpm_compare(first: str, second: str) -> int:
    """epoch:version-release; a release that one of them has not does not count."""
    split = []
    for text in (first, second):
        epoch, _, rest = text.rpartition(":")
        version, _, release = rest.partition("-")
        split.append((int(epoch) if epoch.isdigit() else 0, version, release))
    (epoch1, version1, release1), (epoch2, version2, release2) = split
    if epoch1 != epoch2:
        return 1 if epoch1 > epoch2 else -1
    return _rpm_part(version1, version2) or (_rpm_part(release1, release2) if release1 and release2 else 0)


def _dpkg_compare(first: str, second: str) -> int:
    for sign, number in (("lt", -1), ("gt", 1)):
        if _run(["dpkg", "--compare-versions", first, sign, second])[0] == 0:
            return number
    return 0


def _pacman_compare(first: str, second: str) -> int:
    said = _run(["vercmp", first, second])[1].strip()
    return max(-1, min(1, int(said))) if re.fullmatch(r"-?\d+", said) else 0


def _apk_compare(first: str, second: str) -> int:
    return {"<": -1, ">": 1}.get(_run(["apk", "version", "-t", first, second])[1].strip(), 0)


def _newest(versions: Sequence[str], compare: Callable[[str, str], int]) -> str:
    best = versions[0] if versions else ""
    for each in versions[1:]:
        best = each if compare(each, best) > 0 else best
    return best


# The table


class Manager(NamedTuple):
    """How one package manager is asked. In a command `{options}`, `{names}` and `{plan}` are lists of words that are
    put there, `{dnf}` the first program of the row that is there."""

    family: str  # the grain os_family
    programs: tuple[str, ...]
    installed: tuple[str, Callable[[str, str], dict[str, Versions]]]
    refresh: tuple[str, Callable[[int, str], Any]]
    latest: tuple[str, Callable[[str, str], dict[str, str]]]
    upgrades: tuple[str, Callable[[str, str], dict[str, str]]]
    known: tuple[str, Callable[[str, str], Versions]]  # all versions that could be installed
    install: str
    install_files: str
    remove: str
    purge: str
    upgrade: str
    upgrade_all: str  # with dist_upgrade
    upgrade_some: str
    plan: tuple[str, Callable[[str], Changes]]  # the words that make it a simulation, and what that says
    pin: str  # one version of a package
    owner: tuple[str, str]  # and what stands around the name in the answer
    files: tuple[str, str]  # and which line is no file
    holds: tuple[str, Callable[[str], list[str]]]  # "": it has none
    hold: str
    unhold: str
    compare: Callable[[str, str], int]
    busy: str  # what it says when another program has its lock
    options: dict[str, str]  # keyword -> words, `{}` in them is its value; a `-` before it: for False
    well: tuple[int, ...] = (0,)  # exit codes that are none of an error
    seen: tuple[int, ...] = (0,)  # the same, of questions
    fresh: tuple[int, ...] = (0,)  # the same, of refresh
    nothing: str = "(?!)"  # what it says, failing, of a question to which the answer is that there is nothing


APT_CONF = "-o DPkg::Options::=--force-confold -o DPkg::Options::=--force-confdef"
APT_NEW = "-o DPkg::Options::=--force-confnew"
APT = Manager(
    family="Debian",
    programs=("apt-get",),
    installed=(r"dpkg-query -W -f ${Status}\t${Package}\t${Version}\t${Architecture}\n", _dpkg_list),
    refresh=("apt-get -q update", _apt_refreshed),
    latest=("apt-cache -q policy {options} -- {names}", lambda text, arch: _policy(text)),
    upgrades=("apt-get -q --simulate {options} upgrade", lambda text, arch: _apt_upgrades(text)),
    known=("apt-cache -q madison -- {names}", lambda text, arch: _madison(text)),
    install="apt-get -q -y {options} {plan} install -- {names}",
    install_files="apt-get -q -y {options} {plan} install -- {names}",
    remove="apt-get -q -y {plan} remove -- {names}",
    purge="apt-get -q -y {plan} purge -- {names}",
    upgrade="apt-get -q -y {options} {plan} upgrade",
    upgrade_all="apt-get -q -y {options} {plan} dist-upgrade",
    upgrade_some="apt-get -q -y {options} {plan} install --only-upgrade -- {names}",
    plan=("--simulate", _apt_plan),
    pin="{name}={version}",
    owner=("dpkg -S -- {names}", r"(?m)^(?!diversion by)[^:]+"),
    files=("dpkg -L {names}", r"diverted |locally diverted|package diverts"),
    holds=("apt-mark showhold", _holds),
    hold="apt-mark hold {names}",
    unhold="apt-mark unhold {names}",
    compare=_dpkg_compare,
    busy=r"Could not get lock|Unable to acquire the dpkg frontend lock|Unable to lock (the )?(directory|list|download)|"
    r"is locked by another process|dpkg was interrupted by another",
    options={
        "fromrepo": "-t {}",
        "force_conf_new": APT_NEW,
        "-force_conf_new": APT_CONF,
        "skip_verify": "--allow-unauthenticated",
        "downloadonly": "--download-only",
        "download_only": "--download-only",
        "only_upgrade": "--only-upgrade",
        "install_recommends": "--install-recommends",
        "-install_recommends": "--no-install-recommends",
        "reinstall": "--reinstall",
        "allow_downgrades": "--allow-downgrades",
        "change_held": "--allow-change-held-packages",
        "force_yes": "--allow-downgrades --allow-remove-essential --allow-change-held-packages",
    },
)
DNF_LIST = "{dnf} --quiet {options} list --available {names}"
DNF = Manager(
    family="RedHat",
    programs=("dnf5", "dnf", "yum"),
    installed=(
        r"rpm -qa --nodigest --nosignature --queryformat "
        r"%{NAME}\t%{EPOCH}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\n",
        _rpm_list,
    ),
    refresh=(
        "{dnf} --quiet --assumeyes {options} check-update --refresh",
        lambda code, text: {100: True, 0: None}[code],
    ),
    latest=(DNF_LIST, _dnf_latest),
    upgrades=("{dnf} --quiet {options} list --upgrades", _dnf_latest),
    known=("{dnf} --quiet {options} list --available --showduplicates {names}", _dnf_list),
    install="{dnf} -y {options} {plan} install {names}",
    install_files="{dnf} -y {options} {plan} install {names}",
    remove="{dnf} -y {plan} remove {names}",
    purge="{dnf} -y {plan} remove {names}",
    upgrade="{dnf} -y {options} {plan} upgrade",
    upgrade_all="{dnf} -y {options} {plan} upgrade",
    upgrade_some="{dnf} -y {options} {plan} upgrade {names}",
    plan=("--assumeno", _dnf_plan),
    pin="{name}-{version}",
    owner=(r"rpm -qf --queryformat %{NAME}\n -- {names}", r"\S+"),
    files=("rpm -ql -- {names}", r"\(contains no files\)|package .* is not installed"),
    holds=("{dnf} --quiet versionlock list", _versionlocks),
    hold="{dnf} --quiet -y versionlock add {names}",
    unhold="{dnf} --quiet -y versionlock delete {names}",
    compare=_rpm_compare,
    busy=r"already locked by \d+|Waiting for process with pid|holding the yum lock|Existing lock|"
    r"Failed to obtain the transaction lock",
    options={
        "fromrepo": "--disablerepo=* --enablerepo={}",
        "enablerepo": "--enablerepo={}",
        "disablerepo": "--disablerepo={}",
        "disableexcludes": "--disableexcludes={}",
        "setopt": "--setopt={}",
        "skip_verify": "--nogpgcheck",
        "downloadonly": "--downloadonly",
        "install_recommends": "",
        "-install_recommends": "--setopt=install_weak_deps=False",
    },
    seen=(0, 100),
    fresh=(0, 100),  # 100: there are upgrades
    nothing=r"(?i)no matching packages|no match for argument|^$",  # dnf5 says nothing at all
)
ZYPPER = Manager(
    family="Suse",
    programs=("zypper",),
    installed=DNF.installed,
    refresh=("zypper --non-interactive refresh", _zypper_refreshed),
    latest=("zypper --non-interactive --no-refresh info -t package -- {names}", lambda text, arch: _zypper_info(text)),
    upgrades=("zypper --non-interactive --no-refresh --xmlout list-updates", lambda text, arch: _zypper_updates(text)),
    known=(
        "zypper --non-interactive --no-refresh --xmlout search --details --match-exact --type package -- {names}",
        lambda text, arch: _versions((node["name"], node["edition"]) for node in _xml(text, "solvable")),
    ),
    install="zypper --non-interactive --no-refresh {global} {plan} install --auto-agree-with-licenses --name {options}"
    " -- {names}",
    install_files="zypper --non-interactive --no-refresh {global} {plan} install --auto-agree-with-licenses {options}"
    " -- {names}",
    remove="zypper --non-interactive --no-refresh {plan} remove -- {names}",
    purge="zypper --non-interactive --no-refresh {plan} remove -- {names}",
    upgrade="zypper --non-interactive --no-refresh {global} {plan} update --auto-agree-with-licenses {options}",
    upgrade_all="zypper --non-interactive --no-refresh {global} {plan} dist-upgrade --auto-agree-with-licenses"
    " {options}",
    upgrade_some="zypper --non-interactive --no-refresh {global} {plan} update --auto-agree-with-licenses {options}"
    " -- {names}",
    plan=("--xmlout", _zypper_plan),
    pin="{name}={version}",
    owner=DNF.owner,
    files=DNF.files,
    holds=("zypper --non-interactive --no-refresh locks", _zypper_locks),
    hold="zypper --non-interactive addlock -- {names}",
    unhold="zypper --non-interactive removelock -- {names}",
    compare=_rpm_compare,
    busy=r"System management is locked",
    options={
        "fromrepo": "--from {}",
        "downloadonly": "--download-only",
        "no_recommends": "--no-recommends",
        "-install_recommends": "--no-recommends",
        "reinstall": "--force",
        "allow_downgrades": "--oldpackage",
        "novendorchange": "--no-allow-vendor-change",
        "skip_verify": "{global}--no-gpg-checks",
        "ignore_repo_failure": "",
    },
    well=(0, 100, 101, 102, 103, 106),  # updates, patches, a reboot, a restart of zypper, a repository left out
    seen=(0, 100, 101, 104, 106),
    fresh=(0, 6, 106),  # 6: there is no repository
)
PACMAN = Manager(
    family="Arch",
    programs=("pacman",),
    installed=("pacman -Q", _two_words),
    refresh=("pacman -Sy", _pacman_refreshed),
    latest=("pacman -Sp --needed --print-format %n\t%v -- {names}", lambda text, arch: _flat(_two_words(text))),
    upgrades=("pacman -Sup --print-format %n\t%v", lambda text, arch: _flat(_two_words(text))),
    known=("pacman -Sp --print-format %n\t%v -- {names}", lambda text, arch: _two_words(text)["installed"]),
    install="pacman -S --noprogressbar --noconfirm {options} {plan} -- {names}",
    install_files="pacman -U --noprogressbar --noconfirm {plan} -- {names}",
    remove="pacman -R --noprogressbar --noconfirm {plan} -- {names}",
    purge="pacman -Rsc --noprogressbar --noconfirm {plan} -- {names}",
    upgrade="pacman -Su --noprogressbar --noconfirm {options} {plan}",
    upgrade_all="pacman -Su --noprogressbar --noconfirm {options} {plan}",
    upgrade_some="pacman -S --noprogressbar --noconfirm {options} {plan} -- {names}",
    plan=("-p --print-format %n\t%v", _pacman_plan),
    pin="{name}={version}",
    owner=("pacman -Qqo -- {names}", r"\S+"),
    files=("pacman -Qlq -- {names}", r"error: "),
    holds=("", _holds),
    hold="",
    unhold="",
    compare=_pacman_compare,
    busy=r"unable to lock database",
    options={"sysupgrade": "-u", "downloadonly": "-w", "-reinstall": "--needed", "reinstall": ""},
    nothing=r"target not found",
)
APK = Manager(
    family="Alpine",
    programs=("apk",),
    installed=("apk info -v", _apk_list),
    refresh=("apk update", lambda code, text: True),
    latest=("apk search --exact -- {names}", lambda text, arch: _apk_newest(text)),
    upgrades=("apk upgrade --simulate", lambda text, arch: _apk_upgrades(text)),
    known=("apk search --exact -- {names}", lambda text, arch: _apk_list(text)["installed"]),
    install="apk add {options} {plan} -- {names}",
    install_files="apk add {options} {plan} -- {names}",
    remove="apk del {plan} -- {names}",
    purge="apk del --purge {plan} -- {names}",
    upgrade="apk upgrade {plan}",
    upgrade_all="apk upgrade --available {plan}",
    upgrade_some="apk add --upgrade {plan} -- {names}",
    plan=("--simulate", _apk_plan),
    pin="{name}={version}",
    owner=("apk info -W -- {names}", r" is owned by (\S+)-[^-\s]+-r\d+"),
    files=("apk info -L -- {names}", r".* contains:$"),
    holds=("", _holds),
    hold="",
    unhold="",
    compare=_apk_compare,
    busy=r"Unable to lock database",
    options={"skip_verify": "--allow-untrusted"},
)
MANAGERS = (APT, DNF, ZYPPER, PACMAN, APK)
PROGRESS = re.compile(r"(?m)^(?:Updating and loading repositories:|Repositories loaded\.| .*\| +\d+m\d+s)\n")  # dnf5's
WAITS = re.compile(rb"(?s)Waiting for a lock.*to bypass the lock\.\s*$")  # what dnf5 says, which does so for ever
DO_NOT_WAIT = dict.fromkeys(("dnf", "yum"), ("--setopt=exit_on_lock=True",))  # they would wait for ever; we do that
# Salt's keywords that change nothing here: what they ask for is done anyway, or states alone use them
WITHOUT_EFFECT = {"normalize", "split_arch", "use_context", "saltenv", "hold", "update_holds", "attr", "diff_attr"}


def _madison(text: str) -> Versions:
    """apt-cache madison: name | version | where it is."""
    rows = ([cell.strip() for cell in line.split("|")] for line in text.splitlines())
    return _versions((row[0], row[1]) for row in rows if len(row) == 3)


def _apk_newest(text: str) -> dict[str, str]:
    return {name: _newest(versions, _apk_compare) for name, versions in _apk_list(text)["installed"].items()}


# Running the programs


def _lines(process: Any, tell: Callable[[str], object] | None) -> tuple[str, str]:
    """Both outputs of a process, whose lines `tell` gets as they come."""
    import selectors

    said: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    told, last = dict.fromkeys(said, 0), time.monotonic()
    with selectors.DefaultSelector() as selector:
        for name in said:
            selector.register(getattr(process, name), selectors.EVENT_READ, name)
        while selector.get_map():
            ready = selector.select(ENDED_SECONDS)
            if not ready and process.poll() is not None:
                break  # a daemon that it has started keeps the pipes open
            if ready:
                last = time.monotonic()
            elif time.monotonic() - last >= LOCK_SECONDS:
                for waiting in filter(None, (re.search(WAITS, each) for each in said.values())):
                    process.kill()
                    why = f"The lock was not free within {LOCK_SECONDS} seconds; nothing was changed"
                    raise CommandExecutionError(f"{why}: {waiting[0].decode(errors='replace').strip()}")
            for key, _ in ready:
                name, chunk = key.data, os.read(key.fd, 65536)
                said[name] += chunk
                end = said[name].rfind(b"\n") if chunk else len(said[name])
                if tell and end > told[name]:
                    for line in said[name][told[name] : end].decode(errors="replace").splitlines():
                        tell(line)
                    told[name] = end + 1
                if not chunk:
                    selector.unregister(key.fileobj)
    return said["stdout"].decode(errors="replace"), said["stderr"].decode(errors="replace")


def _run(argv: Sequence[str], stream: bool = False) -> tuple[int, str, str]:
    """Run a program: (exit code, stdout, stderr). With `stream` its lines go to the job's stream, if it has one."""
    import subprocess

    tell = __context__.get("stream") if stream else None
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        process = subprocess.Popen(argv, env={**os.environ, **ENVIRONMENT}, **pipes)  # type: ignore[call-overload]
    except OSError as error:
        raise CommandExecutionError(f"{argv[0]} cannot be run: {error.strerror}") from None
    with process:
        out, err = _lines(process, tell if callable(tell) else None)
    return process.returncode, out, err


def _change(argv: Sequence[str], busy: str) -> tuple[int, str, str]:
    """Run a program that changes something, in a scope of its own where systemd is: what it installs may restart the
    service that runs us."""
    scope = ["systemd-run", "--scope", "--quiet", "--"]
    wanted = os.path.isdir("/run/systemd/system") and shutil.which(scope[0]) and os.geteuid() == 0
    if wanted and __salt__["config.get"]("systemd.scope", True):
        argv = [*scope, *argv]
    return _patiently(argv, busy, stream=True)


def _patiently(argv: Sequence[str], busy: str, stream: bool = False) -> tuple[int, str, str]:
    """Run a program, again and again while another one has the lock; raises when that takes too long."""
    began, waited = time.monotonic(), False
    while True:
        code, out, err = _run(argv, stream)
        locked = re.search(busy, err + out) if code else None
        if not locked:
            return code, out, err
        if time.monotonic() - began >= LOCK_SECONDS:
            line = next(each for each in (err + out).splitlines() if re.search(busy, each)).strip()
            raise CommandExecutionError(
                f"Another program has held the lock of {_program(_manager())} for {LOCK_SECONDS} seconds ({line}): "
                "nothing was changed; try again when it has ended."
            )
        if not waited and callable(tell := __context__.get("stream")):
            tell(f"waiting for the lock of {_program(_manager())}, at most {LOCK_SECONDS} seconds\n")
        waited = True
        time.sleep(LOCK_EVERY)


def _manager() -> Manager:
    """The row of this machine: its os_family's, else the first whose program is there."""
    family = __grains__.get("os_family")
    rows = [row for row in MANAGERS if row.family == family] or [row for row in MANAGERS if _program(row)]
    if not rows or not _program(rows[0]):
        names = ", ".join(name for row in rows or MANAGERS for name in row.programs)
        raise CommandExecutionError(f"This machine has no package manager that is known here ({names}).")
    return rows[0]


def _program(row: Manager) -> str:
    return next((name for name in row.programs if shutil.which(name)), "")


def _arch(row: Manager) -> str:
    """This machine's architecture, in the words of its packages."""
    if arch := __grains__.get("osarch"):
        return str(arch)
    return _run(["dpkg", "--print-architecture"])[1].strip() if row is APT else os.uname().machine


def _argv(row: Manager, command: str, names: Iterable[str] = (), options: Sequence[str] = (), test: bool = False):
    """The words of a command of a row."""
    apart = {
        "{names}": list(names),
        "{options}": [word for word in options if not word.startswith("{global}")],
        "{global}": [word.removeprefix("{global}") for word in options if word.startswith("{global}")],
        "{plan}": row.plan[0].split(" ") if test else [],
        "{dnf}": [_program(row), *DO_NOT_WAIT.get(_program(row), ())],
    }
    words: list[str] = []
    for word in command.split(" "):
        words += apart.get(word, [word])
    if test and row is ZYPPER:  # an option of the verb
        words.insert(words.index("--") if "--" in words else len(words), "--dry-run")
    if _program(row) == "yum":  # the old one: words, not options
        words = [{"--available": "available", "--upgrades": "updates"}.get(word, word) for word in words]
        words = [word for word in words if word != "--refresh"]
    return words


def _options(row: Manager, given: Mapping[str, Any], **defaults: Any) -> list[str]:
    """The words of keywords; one that no manager knows is refused, one of another manager's has no effect here."""
    unknown = {name for name in given if not name.startswith("__")} - WITHOUT_EFFECT
    unknown -= {name.lstrip("-") for each in MANAGERS for name in each.options}
    if unknown:
        names = ", ".join(sorted(unknown))
        own = ", ".join(sorted({name.lstrip("-") for name in row.options}))
        raise SaltInvocationError(f"pkg has no keyword {names}; of {_program(row) or row.programs[0]} it knows: {own}")
    words: list[str] = []
    everything = {**defaults, **given}
    for name in dict.fromkeys([key.lstrip("-") for key in row.options]):
        value = everything.get(name)
        for each in value if isinstance(value, list) else [] if value is None else [value]:
            pattern = row.options.get(name if _true(each) or "{}" in row.options.get(name, "") else f"-{name}", "")
            if "{}" in pattern and each in (False, ""):
                continue
            if "{}" in pattern and str(each).startswith("-"):
                raise SaltInvocationError(f"{each} is no value of {name}")
            words += [word.replace("{}", str(each)) for word in pattern.split(" ") if word]
    return words


NAME = re.compile(r"[^\s\x00-\x1f\x7f-][^\s\x00-\x1f\x7f]*")


def _named(name: Any) -> str:
    """A package's name; what a manager would take for an option or for a removal is refused."""
    text = str(name)
    if not NAME.fullmatch(text) or text.endswith("-"):
        raise SaltInvocationError(f"{text!r} is no name of a package")
    return text


def _wanted(name: Any, pkgs: Any, version: Any = None) -> dict[str, str]:
    """What was asked for: {name: version, "" for any}. `pkgs` is a list of names and of maps of one name to a version,
    or text with commas; it counts more than `name`."""
    if pkgs:
        listed = pkgs.split(",") if isinstance(pkgs, str) else pkgs
        pairs = [
            pair
            for each in (listed.items() if isinstance(listed, Mapping) else listed)
            for pair in (
                each.items() if isinstance(each, Mapping) else [each if isinstance(each, tuple) else (each, "")]
            )
        ]
    else:
        pairs = [(each, version) for each in str(name).split(",")] if name not in (None, "") else []
    if not pairs:
        raise SaltInvocationError("name or pkgs must say which packages are meant")
    return {_named(str(key).strip()): "" if value is None else str(value) for key, value in pairs}


def _sentence(changes: Changes) -> str:
    """What test=True says."""
    said = []
    for name, each in sorted(changes.items()):
        if each["old"] == each["new"]:
            said.append(f"install {name} {each['new']} again")
        elif each["old"] and each["new"]:
            said.append(f"change {name} from {each['old']} to {each['new']}")
        elif each["new"]:
            said.append(f"install {name} {each['new']}")
        else:
            said.append(f"remove {name} {each['old']}".rstrip())
    return f"Would {', '.join(said)}. Nothing was changed." if said else "Nothing would change."


def _compared(old: Mapping[str, str], new: Mapping[str, str]) -> Changes:
    names = sorted({*old, *new})
    pairs = ((name, {"old": old.get(name, ""), "new": new.get(name, "")}) for name in names)
    return {name: each for name, each in pairs if each["old"] != each["new"]}


def _failed(row: Manager, did: str, err: str, out: str, changes: Any) -> CommandExecutionError:
    if row is PACMAN:  # the reason stands in stdout
        err = "\n".join([err.strip(), *(line for line in out.splitlines() if line.startswith(":: "))])
    said = re.sub(PROGRESS, "", err.strip() or out.strip())[-SAID:]
    steps = (f"{name} from {each['old'] or 'nothing'} to {each['new'] or 'nothing'}" for name, each in changes.items())
    nevertheless = f"\nChanged nevertheless: {', '.join(steps)}" if changes else ""
    return CommandExecutionError(f"Problem encountered {did} package(s): {_program(row)} says: {said}{nevertheless}")


def _plan(row: Manager, argv: Sequence[str], gone: Mapping[str, str] | None = None) -> str:
    """Ask the manager what it would do. `gone`: what is installed, if all that it names would be removed."""
    code, out, err = _patiently(argv, row.busy)
    plan = row.plan[1](out)
    if code and not plan and not (row is DNF and code == 1 and re.search("(?i)nothing to do|aborted", out + err)):
        raise _failed(row, "simulating", err, out, {})
    if row is PACMAN and gone is not None:
        plan = {name: {"old": each["new"], "new": ""} for name, each in plan.items()}
    if gone is None:
        now = _all_installed(row)["installed"]
        for name, each in plan.items():
            each["old"] = each["old"] or (",".join(now.get(name, [])) if each["new"] else "")
    return _sentence(plan)


def _do(row: Manager, argv: Sequence[str], did: str) -> Changes:
    """Run a command that changes packages, and say what it has changed."""
    old = _strings(_all_installed(row)["installed"])
    code, out, err = _change(argv, row.busy)
    changes = _compared(old, _strings(_all_installed(row)["installed"]))
    if code not in row.well:
        raise _failed(row, did, err, out, changes)
    return changes


def _all_installed(row: Manager) -> dict[str, Versions]:
    command, parse = row.installed
    code, out, err = _run(_argv(row, command))
    if code and (err + out).strip():  # pacman fails without a word where nothing is installed
        raise _failed(row, "listing", err, out, {})
    return parse(out, _arch(row))


def _strings(versions: Versions) -> dict[str, str]:
    return {name: ",".join(each) for name, each in versions.items()}


def _true(value: Any) -> bool:
    return value.lower() in ("true", "yes", "1", "on") if isinstance(value, str) else bool(value)


def _asked(row: Manager, question: tuple[str, Callable[[str, str], Any]], names: Iterable[str] = (), given: Any = None):
    """The answer to one of a row's questions."""
    argv = _argv(row, question[0], names, _options(row, given or {}) if given else ())
    code, out, err = _patiently(argv, row.busy)
    if code not in row.seen and not re.search(row.nothing, (err + out).strip()):
        raise _failed(row, "listing", err, out, {})
    return question[1](out, _arch(row))


# Where packages come from, and what is known of those that are there

SOURCE_LINE = re.compile(r"(#?)\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s*)?([^\s#]+)\s+([^\s#]+)([^#]*)(?:#.*)?")
SWITCHED_OFF = {"no", "false", "without", "off", "disable", "0"}  # what apt takes for no


def _source_row(file: str, line: str, types: list[str], uris: list[str], suites: list[str], **more: Any) -> list[Any]:
    """The rows that Salt has for an entry of apt's sources: one for each of its addresses, suites and types."""
    return [
        {"file": file, "line": line, "type": kind, "types": types, "uri": uri, "uris": uris, "dist": suite}
        | {"suites": suites, "enabled": not more["disabled"], **more}
        for uri in uris
        for suite in suites
        for kind in types
    ]


def _apt_lines(file: str, text: str) -> list[dict[str, Any]]:
    """`deb [options] address suite component …`; one behind a # is there, too, and disabled."""
    rows = []
    for line in map(str.strip, text.splitlines()):
        if not (found := SOURCE_LINE.fullmatch(line)):
            continue
        off, kind, options, uri, suite, comps = found.groups()
        given = dict(each.partition("=")[::2] for each in (options or "").split())
        archs = [arch for arch in given.get("arch", "").split(",") if arch]
        more = {"disabled": bool(off), "comps": comps.split(), "architectures": archs}
        rows += _source_row(file, line, [kind], [uri], [suite], signedby=given.get("signed-by", ""), **more)
    return rows


def _apt_stanzas(file: str, text: str) -> list[dict[str, Any]]:
    """Stanzas of fields, in files *.sources; `line` is what the older form would be."""
    rows = []
    for stanza in re.split(r"\n[ \t]*\n", "\n".join(line for line in text.splitlines() if line[:1] != "#")):
        pairs = re.findall(r"(?m)^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza)
        fields = {key.lower(): value.strip() for key, value in pairs}
        types, uris, suites, comps, archs = (
            fields.get(key, "").split() for key in ("types", "uris", "suites", "components", "architectures")
        )
        off, signed = fields.get("enabled", "yes").lower() in SWITCHED_OFF, fields.get("signed-by")
        options = [f"arch={','.join(archs)}"] if archs else []
        options += [f"signed-by={signed}"] if signed and "\n" not in signed else []
        options += ["trusted=yes"] if fields.get("trusted", "no").lower() not in SWITCHED_OFF else []
        more = {"disabled": off, "comps": comps, "architectures": archs, "signedby": signed}
        for row in _source_row(file, "", types, uris, suites, **more):
            words = ["#"] * off + [row["type"], *([f"[{' '.join(options)}]"] if options else [])]
            rows.append(row | {"line": " ".join([*words, row["uri"], row["dist"], *comps])})
    return rows


def _apt_repos() -> dict[str, Any]:
    """Of all files that apt reads, {address: [entry]}."""
    names = ("Dir::Etc::sourcelist/f", "Dir::Etc::sourceparts/d")
    asked = [word for number, name in enumerate(names) for word in (f"place{number}", name)]
    single, parts = re.findall(r"(?m)^place\d='(.*)'$", _run(["apt-config", "shell", *asked])[1])
    files = [single] if os.path.isfile(single) else []
    if os.path.isdir(parts):
        ending = (".list", ".sources")
        files += [os.path.join(parts, name) for name in sorted(os.listdir(parts)) if name.endswith(ending)]
    found: dict[str, Any] = {}
    for file in filter(os.path.isfile, files):
        with open(file, errors="replace") as source:
            rows = (_apt_stanzas if file.endswith(".sources") else _apt_lines)(file, source.read())
        for row in rows:
            found.setdefault(row["uri"], []).append(row)
    return found


REPO_PLACES = {  # os_family -> where .repo files are
    "RedHat": ("/etc/yum/repos.d", "/etc/yum.repos.d", "/etc/distro.repos.d"),
    "Suse": ("/etc/zypp/repos.d",),
}


def _rpm_repos(row: Manager, basedir: Any) -> dict[str, Any]:
    """Of all .repo files {name: settings}; zypper's have 0 and 1 as False and True, as Salt has them."""
    import configparser

    places = (basedir.split(",") if isinstance(basedir, str) else basedir) or REPO_PLACES[row.family]
    found: dict[str, Any] = {}
    for file in sorted(path for place in places for path in glob.glob(f"{glob.escape(str(place).strip())}/*.repo")):
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        try:
            with open(file, errors="replace") as source:
                parser.read_file(source)
        except configparser.Error as error:
            raise CommandExecutionError(f"{file} is no file of repositories: {error}") from None
        for name in parser.sections():
            settings: dict[str, Any] = dict(parser.items(name))
            if row is ZYPPER:
                named = {"0": False, "1": True, "NONE": None}
                settings = {key: named.get(value, value) for key, value in settings.items()} | {"alias": name}
            found[name] = settings if row is ZYPPER else settings | {"file": file}
    return found


KNOWN_OF = ("architecture", "maintainer", "summary", "source:Package", "version", "section", "origin", "homepage")
COMMON = {"source:Package": "source", "section": "group", "maintainer": "packager", "origin": "vendor"}
COMMON |= {"homepage": "url"}
RPM_KNOWN = {  # what Salt calls it -> rpm's tag, "" of what is not there
    **{name: f"%{{{name.upper()}}}" for name in ("version", "vendor", "release", "group", "arch", "summary")},
    "size": "%{LONGSIZE}",
    **{name: f"%|{name.upper()}?{{%{{{name.upper()}}}}}|" for name in ("epoch", "license", "packager", "url")},
    "build_date_time_t": "%{BUILDTIME}",
    "install_date_time_t": "%{INSTALLTIME}",
    "build_host": "%{BUILDHOST}",
    "source": "%{SOURCERPM}",
    "relocations": "%|PREFIXES?{[%{PREFIXES} ]}:{(not relocatable)}|",
    "signature": "%|DSAHEADER?{%{DSAHEADER:pgpsig}}:{%|RSAHEADER?{%{RSAHEADER:pgpsig}}:{(none)}|}|",
    "description": "%{DESCRIPTION}",
}
BETWEEN, BEHIND = "\x1f", "\x1e"  # between the fields of a package, and behind it


def _isoformat(seconds: str) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(seconds)))


def _dpkg_known(names: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What dpkg knows of installed packages, of each name a list of one, and its message."""
    asked = [*KNOWN_OF, "Package", "db:Status-Abbrev", "db-fsys:Last-Modified", "Description"]
    form = BETWEEN.join(f"${{{field}}}" for field in asked) + BEHIND
    _, out, err = _run(["dpkg-query", "-W", "-f", form, "--", *names])
    found: dict[str, Any] = {}
    for each in out.split(BEHIND)[:-1]:
        *values, name, state, changed, description = each.split(BETWEEN)
        if state[1:2] != "i":
            continue
        fields = {"name": name, **{COMMON.get(key, key): value for key, value in zip(KNOWN_OF, values, strict=True)}}
        fields["install_date"] = _isoformat(changed) if changed.isdigit() else ""
        with contextlib.suppress(OSError), open(f"/usr/share/doc/{name}/copyright", errors="ignore") as text:
            fields["license"] = ", ".join(sorted({line[8:].strip() for line in text if line.startswith("License:")}))
        known = {key: value for key, value in fields.items() if value} | {"description": f"{description}\n"}
        found.setdefault(name, []).append(known)  # of several architectures the first counts
    return found, err


def _rpm_known(names: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What rpm knows of installed packages: of each name a list, the newest version first."""
    import functools

    form = BETWEEN.join(["%{NAME}", *RPM_KNOWN.values()]) + BEHIND
    _, out, err = _run(["rpm", *(["-q"] if names else ["-qa"]), "--queryformat", form, "--", *names])
    found: dict[str, Any] = {}
    for each in out.split(BEHIND)[:-1]:
        name, *values = each.split(BETWEEN)
        name = name.rpartition("\n")[2]  # before it may stand which package is not installed
        fields: dict[str, Any] = dict(zip(RPM_KNOWN, values, strict=True))
        for kind in ("build", "install"):
            if (seconds := fields.pop(f"{kind}_date_time_t")).isdigit():
                fields |= {f"{kind}_date": _isoformat(seconds), f"{kind}_date_time_t": int(seconds)}
        fields["edition"] = f"{fields['epoch']}:".lstrip(":") + f"{fields['version']}-{fields['release']}"
        if name != "gpg-pubkey":
            known = {key: value for key, value in fields.items() if value or key == "description"}
            found.setdefault(name, []).append(known)
    newest = functools.cmp_to_key(_rpm_compare)
    for each in found.values():
        each.sort(key=lambda known: newest(known["edition"]), reverse=True)
    return found, err


# The functions


def available_version(*names, **kwargs):
    """Returns what pkg.latest_version does, under its older name.

    CLI Example: salt '*' pkg.available_version vim"""
    return latest_version(*names, **kwargs)


def autoremove(list_only=False, purge=False, test=False):
    """Remove packages that were installed for others and are no longer needed (apt, dnf). Returns what has changed;
    with list_only=True the names of what would go, with test=True a sentence.

    CLI Example: salt '*' pkg.autoremove list_only=True"""
    row = _manager()
    if row not in (APT, DNF):
        raise CommandExecutionError(f"{row.programs[0]} has no autoremove")
    command = "apt-get -q -y {options} {plan} autoremove" if row is APT else "{dnf} -y {plan} autoremove"
    argv = _argv(row, command, options=["--purge"] if _true(purge) else [], test=_true(test) or _true(list_only))
    if _true(list_only):
        return sorted(row.plan[1](_run(argv)[1]))
    return _plan(row, argv, gone={}) if _true(test) else _do(row, argv, "removing")


def file_dict(*packages, **kwargs):
    """The files of packages. Returns {"errors": [], "packages": {name: [path]}}.

    CLI Example: salt '*' pkg.file_dict bash dash"""
    row, found, errors = _manager(), {}, []
    for name in map(_named, packages or list_pkgs()):
        code, out, err = _run(_argv(row, row.files[0], [name]))
        lines = [line for line in out.splitlines() if line and not re.match(row.files[1], line)]
        if code:
            errors.append((err.strip() or out.strip()).splitlines()[0] if err.strip() or out.strip() else name)
        else:
            found[name] = [f"/{line}" for line in lines] if row is APK else lines
    return {"errors": errors, "packages": found}


def file_list(*packages, **kwargs):
    """The files of packages together. Returns {"errors": [], "files": [path]}.

    CLI Example: salt '*' pkg.file_list bash"""
    found = file_dict(*packages)
    return {"errors": found["errors"], "files": sorted({path for each in found["packages"].values() for path in each})}


def get_repo(repo, basedir=None, **kwargs):
    """One source of packages. Returns what pkg.list_repos has for it, {} if there is none.

    repo: of apt an entry, `deb http://deb.debian.org/debian bookworm main`; of dnf, yum and zypper a name

    CLI Example:
        salt '*' pkg.get_repo 'deb http://deb.debian.org/debian bookworm main'
        salt '*' pkg.get_repo epel"""
    repos = list_repos(basedir, **kwargs)
    if _manager() is not APT:
        found = repos.get(str(repo), {})
        return {key: value for key, value in found.items() if key != "file"}
    wanted = _apt_lines("", str(repo))
    if not wanted:
        raise CommandExecutionError(f"Error: repo '{repo}' is not a well formatted definition")
    for row in (row for rows in repos.values() for row in rows):
        same = all(row[key].rstrip("/") == wanted[0][key].rstrip("/") for key in ("type", "uri", "dist"))
        if same and (not wanted[0]["comps"] or set(wanted[0]["comps"]) & set(row["comps"])):
            return row
    return {}


def get_selections(pattern=None, state=None):
    """What dpkg is to do with packages. Returns {state: [name]}: install, hold, deinstall, purge.

    pattern: a name, `*` in it; state: this one alone

    CLI Example: salt '*' pkg.get_selections 'openssh*' state=hold"""
    if _manager() is not APT:
        raise CommandExecutionError(f"{_program(_manager())} has no selections; pkg.list_holds says what is held")
    found: dict[str, list[str]] = {}
    for line in _run(["dpkg", "--get-selections", "--", str(pattern) if pattern else "*"])[1].splitlines():
        name, _, its = line.partition("\t")
        found.setdefault(its.strip(), []).append(name)
    return {state: found.get(state, [])} if state else found


def _hold(name: Any, pkgs: Any, sources: Any, test: Any, held: bool) -> dict[str, Any]:
    """Hold packages, or no longer."""
    row = _manager()
    if not row.hold:
        raise CommandExecutionError(
            f"{row.programs[0]} holds no packages"
            + ("; name them at IgnorePkg in /etc/pacman.conf" if row is PACMAN else "; install one version of them")
        )
    if not (name or pkgs or sources):
        raise SaltInvocationError("One of name, pkgs, or sources must be specified.")
    if pkgs and sources:
        raise SaltInvocationError("Only one of pkgs or sources can be specified.")
    before, there = list_holds(), _all_installed(row)["installed"]
    ret: dict[str, Any] = {}
    for target in _wanted(name, pkgs or [next(iter(source)) for source in sources or ()]):
        state: dict[str, Any] = {"name": target, "changes": {}, "result": True, "comment": ""}
        ret[target] = state
        if row is APT and target not in there:
            state |= {"result": False, "comment": f"Package {target} is not installed."}
        elif (target in before) == held:
            state["comment"] = f"Package {target} is already set {'' if held else 'not '}to be held."
        elif _true(test) or _true(__opts__.get("test")):
            state |= {"result": None, "comment": f"Package {target} is set {'' if held else 'not '}to be held."}
        else:
            code, out, err = _change(_argv(row, row.hold if held else row.unhold, [target]), row.busy)
            if code not in row.well:
                state |= {"result": False, "comment": (err.strip() or out.strip())[-SAID:]}
                continue
            words = ("install", "hold") if row is APT else ("", "hold")
            state["changes"] = dict(zip(("old", "new"), words if held else words[::-1], strict=True))
            state["comment"] = f"Package {target} is {'now' if held else 'no longer'} being held."
    return ret


def hold(name=None, pkgs=None, sources=None, test=False, **kwargs):
    """Keep packages at their version: no upgrade changes them. apt, dnf or yum (with its plugin versionlock), zypper.

    Returns {name: {"name", "changes": {"old", "new"}, "result", "comment"}}; with test=True the result is None.

    CLI Example: salt '*' pkg.hold pkgs='[nginx, redis]'"""
    return _hold(name, pkgs, sources, test, True)


def info_installed(*names, failhard=True, attr=None, all_versions=False, **kwargs):
    """What is known of installed packages, or of all. Returns {name: {"version": "1.2-3", "summary", "description",
    "source", "url", "install_date" …}}.

    failhard=False: one that is not installed is no error; attr: these fields alone, with commas; all_versions=True:
    [fields], in a list, in place of the fields (rpm).

    CLI Example:
        salt '*' pkg.info_installed bash
        salt '*' pkg.info_installed bash openssl attr=version,install_date"""
    row = _manager()
    if row not in (APT, DNF, ZYPPER):
        raise CommandExecutionError(f"{_program(row)} is asked for versions alone: pkg.version, pkg.list_pkgs")
    _options(row, {name: value for name, value in kwargs.items() if name != "errors"})  # zypper's: none is one
    wanted = [_named(name) for name in names]
    found, err = (_dpkg_known if row is APT else _rpm_known)(wanted)
    if _true(failhard) and row is APT and err.strip() and wanted:
        raise CommandExecutionError(f"Error getting packages information: {err.strip()[-SAID:]}")
    chosen = attr if isinstance(attr, list) else str(attr or "").split(",")
    several = _true(all_versions) and row is not APT
    for name, each in found.items():
        rows = [{key: one[key] for key in one if not attr or key in chosen} for one in each]
        found[name] = rows if several else {key: value for key, value in rows[0].items() if key != "edition"}
    return found


def install(
    name=None,
    refresh=False,
    fromrepo=None,
    skip_verify=False,
    debconf=None,
    pkgs=None,
    sources=None,
    reinstall=False,
    downloadonly=False,
    ignore_epoch=False,
    normalize=True,
    version=None,
    test=False,
    **kwargs,
):
    """Install packages, or other versions of them. Returns what has changed: {name: {"old": "", "new": "1.2-3"}}.

    name: a package, or several with commas; version: its version, also `>=1.2`, `<2`, `1.2.*`
    pkgs: a list of names and of maps of a name to a version
    sources: a list of maps of a name to a file: an absolute path, salt://…, http://…
    refresh=True: fetch the lists first; reinstall=True: also what is there; downloadonly=True: install nothing
    fromrepo, skip_verify, install_recommends, only_upgrade, force_conf_new, allow_downgrades, enablerepo, disablerepo …
    are words for the managers that have them. test=True says what would change.

    What the manager prints goes to the job's stream as it comes. Raises with the manager's message if it fails.

    CLI Example:
        salt '*' pkg.install nginx refresh=True
        salt '*' pkg.install pkgs='[nginx, {redis: ">=6"}]'
        salt '*' pkg.install sources='[{site: salt://site_1.0_all.deb}]'"""
    row, test = _manager(), _true(test)
    given = {**kwargs, "fromrepo": fromrepo or kwargs.pop("repo", None)}
    flags = {"skip_verify": skip_verify, "reinstall": reinstall, "downloadonly": downloadonly}
    given |= {flag: True for flag, value in flags.items() if _true(value)}
    given = {key: value for key, value in given.items() if key != "repo" and value is not None}
    if pkgs and sources:
        raise SaltInvocationError("Only one of pkgs or sources can be specified.")
    if debconf and not test:
        _debconf(debconf)
    if _true(refresh) and not test:
        refresh_db()
    if sources:
        files = [_source(each) for each in sources]
        argv = _argv(row, row.install_files, files, _options(row, given, force_conf_new=False), test)
        return _plan(row, argv) if test else _do(row, argv, "installing")
    wanted = _wanted(name, pkgs, version)
    if normalize:
        wanted = {normalize_name(each): number for each, number in wanted.items()}
    held = sorted(set(wanted) & set(list_holds())) if row is APT else []
    exact = {each: _choice(row, each, number, given, _true(ignore_epoch)) for each, number in wanted.items()}
    targets = [row.pin.format(name=each, version=number) if number else each for each, number in exact.items()]
    if any(exact.values()):
        given["allow_downgrades"] = True  # a version that was asked for may be an older one
    if held:
        given["change_held"] = True
    command = row.install
    if row is DNF and _true(reinstall) and all(each in list_pkgs() for each in wanted):
        command = command.replace(" install ", " reinstall ")
    argv = _argv(row, command, targets, _options(row, given, force_conf_new=False, reinstall=False), test)
    if test:
        return _plan(row, argv)
    try:
        changes = _do(row, argv, "installing")
    finally:
        if held:  # what was held stays so
            _hold(None, held, None, False, True)
    if _true(reinstall):
        now = list_pkgs()
        changes |= {
            each: {"old": now[each], "new": now[each]} for each in wanted if each in now and each not in changes
        }
    return changes


def _debconf(source: str) -> None:
    """Answers to packages' questions, from a file."""
    path = __salt__["cp.cache_file"](source) if "://" in source else source
    if not path:
        raise CommandExecutionError(f"{source} is not there")
    code, out, err = _run(["debconf-set-selections", path])
    if code:
        raise CommandExecutionError(f"debconf-set-selections {path}: {err.strip() or out.strip()}")


def _source(source: Any) -> str:
    """The path of a package's file."""
    if not isinstance(source, Mapping) or len(source) != 1:
        raise SaltInvocationError("sources is a list of maps of one name to a path or an address")
    address = str(next(iter(source.values())))
    if "://" in address:
        path = __salt__["cp.cache_file"](address)
        if not path:
            raise CommandExecutionError(f"Unable to cache source {address}")
        return str(path)
    if not os.path.isabs(address):
        raise SaltInvocationError(f"{address} is neither an absolute path nor an address")
    if not os.path.isfile(address):
        raise CommandExecutionError(f"{address} is not there")
    return address


def _choice(row: Manager, name: str, number: str, given: Mapping[str, Any], ignore_epoch: bool) -> str:
    """The version that a condition means: `1.2` and `=1.2` itself, of `>=1.2`, `<2`, `1.2.*` the newest there is."""
    sign, version = re.match(r"(<=|>=|!=|<|>|==?|)\s*(.*)", number).groups()  # type: ignore[union-attr]
    if sign in ("", "=", "==") and not set("*?[") & set(version):
        return version
    own = {key: value for key, value in given.items() if key in ("fromrepo", "enablerepo", "disablerepo")}
    known = _asked(row, row.known, [name], own if row is DNF else None).get(name, [])

    def compare(first: str, second: str) -> int:
        pair = [each.split(":", 1)[-1] if ignore_epoch else each for each in (first, second)]
        return row.compare(*pair)

    if version.startswith("-"):
        raise SaltInvocationError(f"{number!r} is no version")
    fits = {
        "": lambda each: fnmatch.fnmatchcase(each, version),
        "=": lambda each: fnmatch.fnmatchcase(each, version),
        "==": lambda each: fnmatch.fnmatchcase(each, version),
        "!=": lambda each: compare(each, version) != 0,
        "<": lambda each: compare(each, version) < 0,
        "<=": lambda each: compare(each, version) <= 0,
        ">": lambda each: compare(each, version) > 0,
        ">=": lambda each: compare(each, version) >= 0,
    }[sign]
    if found := _newest([each for each in known if fits(each)], row.compare):
        return found
    there = ", ".join(known) or "none"
    raise CommandExecutionError(f"No version matching '{name}{sign}{version}' could be found (available: {there})")


def latest_version(*names, **kwargs):
    """Returns the version that would be installed or upgraded to.

    It is "" if the newest is installed or there is none: text for one name, a map for several. The lists are fetched
    before, but with refresh=False; show_installed=True: also of what is up to date; fromrepo: as that has it.

    CLI Example:
        salt '*' pkg.latest_version vim
        salt '*' pkg.latest_version vim nginx refresh=False"""
    row = _manager()
    given = dict(kwargs)
    refresh, shown = _true(given.pop("refresh", row is not PACMAN)), _true(given.pop("show_installed", False))
    valid = given.pop("cache_valid_time", 0)
    if not names:
        return ""
    wanted = [_named(name) for name in names]
    if refresh:
        refresh_db(cache_valid_time=valid)
    if "fromrepo" in given and row is APT:
        release = _options(row, {"fromrepo": given.pop("fromrepo")})[-1]
        _options(row, given)
        found = row.latest[1](_run(_argv(row, row.latest[0], wanted, ["-o", f"APT::Default-Release={release}"]))[1], "")
    elif row is PACMAN:  # of several names it answers nothing if there is none of one
        found = {name: version for each in wanted for name, version in _asked(row, row.latest, [each], given).items()}
    else:
        found = _asked(row, row.latest, wanted, given)
    now = _all_installed(row)["installed"]
    ret = {}
    for name in wanted:
        candidate = found.get(name) or found.get(f"{name}:{_arch(row)}") or ""
        newer = all(row.compare(each, candidate) < 0 for each in now.get(name, [])) if candidate else False
        ret[name] = candidate if newer or shown else ""
    return ret if len(names) > 1 else ret[wanted[0]]


def list_holds(pattern=None, full=False, **kwargs):
    """Returns the names of the packages that are held.

    CLI Example: salt '*' pkg.list_holds"""
    row = _manager()
    if not row.holds[0]:
        return []
    code, out, err = _run(_argv(row, row.holds[0]))
    if code and re.search(r"(?i)no such command|unknown argument \"versionlock", err + out):
        raise CommandExecutionError(
            f"{_program(row)} holds packages by its plugin versionlock alone: install python3-dnf-plugin-versionlock, "
            "or yum-plugin-versionlock"
        )
    if code:
        raise _failed(row, "listing held", err, out, {})
    return [name for name in row.holds[1](out) if not pattern or re.match(pattern, name)]


def list_pkgs(versions_as_list=False, removed=False, purge_desired=False, **kwargs):
    """The installed packages. Returns {name: version}; with versions_as_list=True {name: [version]}.

    removed=True: those of which only the configuration is left; purge_desired=True: those that dpkg is to purge, and
    cannot.

    CLI Example: salt '*' pkg.list_pkgs"""
    row = _manager()
    _options(row, kwargs)
    found = _all_installed(row)
    if _true(removed):
        chosen = found.get("removed", {})
    else:
        chosen = found.get("purge_desired", {}) | ({} if _true(purge_desired) else found["installed"])
    return chosen if _true(versions_as_list) else _strings(chosen)


def list_repo_pkgs(*names, **kwargs):
    """The versions of packages that could be installed. Returns {name: [version]}, the newest first.

    CLI Example: salt '*' pkg.list_repo_pkgs nginx"""
    import functools

    row = _manager()
    if not names:
        raise SaltInvocationError("Which packages?")
    found = _asked(row, row.known, [_named(name) for name in names], kwargs if row is DNF else None)
    key = functools.cmp_to_key(row.compare)
    return {name: sorted(versions, key=key, reverse=True) for name, versions in found.items()}


def list_repos(basedir=None, **kwargs):
    """Where packages come from. Returns of apt {address: [{"type", "dist", "comps", "disabled", "file", "line" …}]}, of
    dnf, yum and zypper {name: {"name", "baseurl", "enabled" …}}.

    basedir: in which directories .repo files are, with commas (dnf, yum, zypper)

    CLI Example: salt '*' pkg.list_repos"""
    row = _manager()
    _options(row, {name: value for name, value in kwargs.items() if name != "strict_config"})  # none is, ever
    if row is APT:
        return _apt_repos()
    if row.family not in REPO_PLACES:
        raise CommandExecutionError(f"What {_program(row)} has for sources is in its own files: file.read says it")
    return _rpm_repos(row, basedir)


def list_upgrades(refresh=True, dist_upgrade=True, **kwargs):
    """The packages of which there is a newer version. Returns {name: version}. The lists are fetched before, but with
    refresh=False; dist_upgrade=False: what an upgrade that installs and removes nothing else would change (apt).

    CLI Example: salt '*' pkg.list_upgrades refresh=False"""
    row = _manager()
    valid = kwargs.pop("cache_valid_time", 0)
    if _true(refresh):
        refresh_db(cache_valid_time=valid)
    command, parse = row.upgrades
    if row is APT and _true(dist_upgrade):
        command = command.replace(" upgrade", " dist-upgrade")
    return _asked(row, (command, parse), (), kwargs)


def normalize_name(name):
    """Returns a package's name without its architecture, if that is this machine's own.

    CLI Example: salt '*' pkg.normalize_name zsh:amd64"""
    row = _manager()
    mark = {APT.family: ":", DNF.family: ".", ZYPPER.family: "."}.get(row.family)
    base, _, arch = str(name).rpartition(mark or "\0")
    return base if base and arch in (_arch(row), "all" if row is APT else "noarch", "any") else str(name)


def owner(*paths, **kwargs):
    """Returns the package that a file came with, "" if none: text for one path, a map for several.

    CLI Example: salt '*' pkg.owner /bin/ls /etc/passwd"""
    row, ret = _manager(), {}
    for path in map(str, paths):
        ret[path] = ""
        for name in (path, path.removeprefix("/usr"), f"/usr{path}") if row is APT else (path,):  # /bin may be /usr/bin
            code, out, _ = _run(_argv(row, row.owner[0], [name]))
            found = re.search(row.owner[1], out.strip()) if not code else None
            ret[path] = ret[path] or (found[found.lastindex or 0] if found else "")
    return (ret if len(paths) > 1 else ret[str(paths[0])]) if paths else ""


def purge(name=None, pkgs=None, test=False, **kwargs):
    """Remove packages with their configuration. Returns what has changed; of apt {"installed": changes, "removed":
    changes of those that had been removed before}. test=True says what would go.

    CLI Example: salt '*' pkg.purge nginx"""
    return _remove(name, pkgs, test, True)


def _remove(name: Any, pkgs: Any, test: Any, purge: bool) -> Any:
    row = _manager()
    wanted, found = _wanted(name, pkgs), _all_installed(row)
    now = found["installed"] | (found.get("removed", {}) if purge else {})
    targets = []
    for pattern, version in wanted.items():
        names = fnmatch.filter(now, pattern) if set("*?[") & set(pattern) else [pattern] if pattern in now else []
        targets += [each for each in names if not version or version in now[each]]
    if not targets:
        return "Nothing would change." if _true(test) else {}
    argv = _argv(row, row.purge if purge else row.remove, dict.fromkeys(targets), test=_true(test))
    if _true(test):
        return _plan(row, argv, gone=_strings(now))
    changes = _do(row, argv, "removing")
    if not (purge and row is APT):
        return changes
    left = _all_installed(row)["removed"]
    return {"installed": changes, "removed": _compared(_strings(found["removed"]), _strings(left))}


def refresh_db(cache_valid_time=0, failhard=False, test=False, **kwargs):
    """Fetch the lists of what there is. Returns of apt, zypper and pacman {list: True fetched, None or False as it
    was}, of apt False is an error (with failhard=True it is raised); dnf: True if there are upgrades, else None; apk:
    True.

    cache_valid_time=SECONDS: not if the lists are younger (apt).

    CLI Example: salt '*' pkg.refresh_db"""
    row = _manager()
    if _true(test):
        return f"Would run {' '.join(_argv(row, row.refresh[0]))}. Nothing was changed."
    if row is APT and cache_valid_time:
        directory = _run(["apt-config", "shell", "lists", "Dir::State::lists/d"])[1].partition("'")[2].rstrip("'\n")
        if os.path.isdir(directory) and os.stat(directory).st_mtime + float(cache_valid_time) > time.time():
            return {}
    if _program(row) == "yum":
        _change(["yum", "--quiet", "clean", "expire-cache"], row.busy)
    command = row.refresh[0] + (" --force" if row is ZYPPER and kwargs.get("force") else "")
    code, out, err = _change(_argv(row, command), row.busy)
    if code not in row.fresh:
        raise _failed(row, "refreshing the lists of", err, out, {})
    ret = row.refresh[1](code, out)
    if _true(failhard) and row is APT and (bad := [name for name, state in ret.items() if state is False]):
        raise CommandExecutionError(f"Error getting repos: {', '.join(bad)}")
    return ret


def remove(name=None, pkgs=None, test=False, **kwargs):
    """Remove packages, names with `*` among them. Returns what has changed: {name: {"old": "1.2-3", "new": ""}}.
    What is not installed is no error. test=True says what would go.

    CLI Example:
        salt '*' pkg.remove nginx
        salt '*' pkg.remove pkgs='[nginx, redis]' test=True"""
    return _remove(name, pkgs, test, False)


def unhold(name=None, pkgs=None, sources=None, test=False, **kwargs):
    """Let packages be upgraded again. Returns what pkg.hold does.

    CLI Example: salt '*' pkg.unhold nginx"""
    return _hold(name, pkgs, sources, test, False)


def upgrade(name=None, pkgs=None, refresh=True, dist_upgrade=False, test=False, **kwargs):
    """Upgrade all packages, or those named. Returns what has changed. The lists are fetched before, but with
    refresh=False; dist_upgrade=True: with installing and removing others (apt, zypper). test=True says what would be.

    CLI Example:
        salt '*' pkg.upgrade
        salt '*' pkg.upgrade openssl refresh=False"""
    row, given = _manager(), dict(kwargs)
    valid = given.pop("cache_valid_time", 0)
    dry = _true(given.pop("dryrun", False)) or _true(test)
    if _true(refresh) and not dry:
        refresh_db(cache_valid_time=valid)
    options = _options(row, given, force_conf_new=False, reinstall=False)
    if name or pkgs:
        argv = _argv(row, row.upgrade_some, _wanted(name, pkgs), options, dry)
    else:
        argv = _argv(row, row.upgrade_all if _true(dist_upgrade) else row.upgrade, (), options, dry)
    return _plan(row, argv) if dry else _do(row, argv, "upgrading")


def upgrade_available(name, **kwargs):
    """Whether there is a newer version of a package than the one that is installed, or one at all if none is.
    Returns True or False.

    CLI Example: salt '*' pkg.upgrade_available nginx"""
    return latest_version(name, **kwargs) != ""


def version(*names, **kwargs):
    """Returns the installed version, "" if there is none: text for one name, a map for several or for a name with `*`.

    CLI Example: salt '*' pkg.version vim 'python3*'"""
    as_list = _true(kwargs.pop("versions_as_list", False))
    now, ret = list_pkgs(versions_as_list=True, **kwargs), dict[str, Any]()
    for name in map(str, names):
        ret |= {each: now[each] for each in fnmatch.filter(now, name)} if "*" in name else {name: now.get(name, [])}
    ret = ret if as_list else _strings(ret)
    single = len(ret) == 1 and not any("*" in str(name) for name in names)
    return next(iter(ret.values())) if single else ret


def version_cmp(pkg1, pkg2, ignore_epoch=False, **kwargs):
    """Returns -1, 0 or 1: whether the first version is older than, the same as or newer than the second.

    The package manager's own order counts.

    CLI Example: salt '*' pkg.version_cmp 0.2-001 0.2.0.1-002"""
    pair = [str(each).split(":", 1)[-1] if _true(ignore_epoch) else str(each) for each in (pkg1, pkg2)]
    if any(each.startswith("-") for each in pair):
        raise SaltInvocationError("a version begins with no `-`, which programs take for an option")
    return _manager().compare(*pair)


def which(path):
    """Returns the package that a file came with, None if none, False for what is no absolute path of a file that is
    there; pkg.owner takes several, and files that are gone.

    CLI Example: salt '*' pkg.which /bin/ls"""
    return (owner(path) or None) if os.path.isabs(str(path)) and os.path.exists(str(path)) else False
