"""What is mounted, and what /etc/fstab says is to be. For Linux."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from salt.exceptions import CommandExecutionError

__salt__: Mapping[str, Any]

MOUNTS, MOUNTINFO, SWAPS = "/proc/self/mounts", "/proc/self/mountinfo", "/proc/swaps"
FIELDS = ("device", "name", "fstype", "opts", "dump", "pass_num")  # of a line of fstab; the last two may be missing
LINE = "{device}\t\t{name}\t{fstype}\t{opts}\t{dump} {pass_num}\n"
BY_NAME = """none tmpfs sysfs proc fusectl debugfs securityfs devtmpfs cgroup nfs nfs4 glusterfs btrfs
    ceph""".split()  # types whose device does not tell lines of fstab apart


def _plain(text: str) -> str:
    """A word of a table without its escapes: `\\040` is a blank."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def _word(what: str, value: Any) -> str:
    """A value as a word of fstab. Raises CommandExecutionError for what cannot be one."""
    text = str(value).replace("\\ ", " ")
    if not text or "\n" in text or "\0" in text:
        raise CommandExecutionError(f"{what}: {value!r} cannot stand in a line of fstab.")
    return text.replace(" ", "\\040").replace("\t", "\\011")


def _options(text: str) -> list[str]:
    """Mount options, with the numbers of users and groups."""
    finders: dict[str, Callable[[str], int]] = {
        "uid": lambda name: pwd.getpwnam(name).pw_uid,
        "gid": lambda name: grp.getgrnam(name).gr_gid,
    }
    found = []
    for option in text.split(","):
        name, equals, value = option.partition("=")
        if equals and name in finders and not value.isdigit():
            with contextlib.suppress(KeyError):
                value = str(finders[name](value))
        found.append(f"{name}{equals}{value}".replace("\\040", "\\ "))
    return found


def _lines(path: str) -> list[list[str]]:
    """The words of the lines of a table below /proc."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").split("\n")
        return [re.split(r"[ \t]+", line) for line in lines if line]
    except OSError as error:
        raise CommandExecutionError(f"{path} cannot be read: {error.strerror}") from None


def active(extended=False):
    """What is mounted.

    extended: with more of each.

    Returns {place: {"device", "alt_device", "fstype", "opts": [text]}}, and with extended=True {"mountid", "parentid",
    "major", "minor", "root", "superopts": [text], "device_uuid", "device_label"}, too. Where several things are mounted
    on a place, the last one counts.

    CLI Example:
        salt '*' mount.active
        salt '*' mount.active extended=True"""
    found: dict[str, dict[str, Any]] = {}
    if not extended:
        for device, place, kind, opts, *_ in _lines(MOUNTS):
            row = {"device": _plain(device), "alt_device": _plain(device), "fstype": kind, "opts": _options(opts)}
            found[_plain(place)] = row
        return found
    labels = __salt__["disk.blkid"]() if "disk.blkid" in __salt__ else {}
    for words in _lines(MOUNTINFO):
        at = words.index("-")
        kind, device, superopts = words[at + 1 : at + 4]
        major, _, minor = words[2].partition(":")
        label = labels.get(device, {})
        found[_plain(words[4])] = {
            "mountid": words[0],
            "parentid": words[1],
            "major": major,
            "minor": minor,
            "root": words[3],
            "opts": _options(words[5]),
            "fstype": kind,
            "device": _plain(device),
            "alt_device": _plain(device),
            "superopts": _options(superopts),
            "device_uuid": label["UUID"].lower() if "UUID" in label else None,
            "device_label": label.get("LABEL"),
        }
    return found


def is_mounted(name):
    """Whether something is mounted on a place.

    name: the place.

    Returns True or False.

    CLI Example: salt '*' mount.is_mounted /mnt/share"""
    return str(name) in active()


def get_mount_from_path(path):
    """The place of the file system that a path is on.

    Returns text.

    CLI Example: salt '*' mount.get_mount_from_path /opt/some/nested/path"""
    place = os.path.realpath(str(path))
    while place != "/" and not os.path.ismount(place):
        place = os.path.dirname(place)
    return place


def get_device_from_path(path):
    """The device of the file system that a path is on.

    Returns text.

    CLI Example: salt '*' mount.get_device_from_path /"""
    return active().get(get_mount_from_path(path), {}).get("device")


# mounting


def _mount_command(test: Any, user: Any, *command: str) -> Any:
    """Run a command of mount's: True, or what it says if it fails, which is the failure of the job, too."""
    if test:
        return f"This would run: {' '.join(command)}"
    done = __salt__["cmd.run_all"](list(command), runas=user, python_shell=False)
    return done["stderr"] or done["stdout"] if done["retcode"] else True


def _only_mount(util: Any) -> None:
    if util != "mount":
        raise CommandExecutionError(f"util: {util!r} is not there on this minion; mount is.")


def mount(name, device=False, mkmnt=False, fstype="", opts="defaults", user=None, util="mount", test=False):
    """Mount a device.

    name: the place.
    device: the device; without, the one that fstab names.
    mkmnt: make the place if it is not there.
    fstype: the type of the file system.
    opts: options, a list or a text with commas.
    user: run `mount` as this user.
    test: say only what would be run.

    Returns True, or what `mount` says.

    CLI Example: salt '*' mount.mount /mnt/foo /dev/sdz1 True"""
    _only_mount(util)
    place = str(name)
    if mkmnt and not os.path.exists(place) and not test:
        try:
            os.makedirs(place)
            if user:
                row = pwd.getpwnam(str(user))
                os.chown(place, row.pw_uid, row.pw_gid, follow_symlinks=False)
        except (OSError, KeyError) as error:
            raise CommandExecutionError(f"{place} could not be made: {error}") from None
    if not device:
        return _mount_command(test, user, "mount", "--", place)
    words = opts if isinstance(opts, list) else [opts] if opts else []
    flags = (["-o", ",".join(map(str, words))] if words else []) + (["-t", str(fstype)] if fstype else [])
    return _mount_command(test, user, "mount", *flags, "--", str(device), place)


def remount(name, device, mkmnt=False, fstype="", opts="defaults", user=None, test=False):
    """Mount a device with other options; if nothing is mounted on the place, mount it.

    name: the place.
    device, mkmnt, fstype, opts, user, test: as of mount.mount.

    Returns True, or what `mount` says.

    CLI Example: salt '*' mount.remount /mnt/foo /dev/sdz1 opts=ro"""
    if not is_mounted(name):
        return mount(name, device, mkmnt, fstype, opts, user, test=test)
    words = opts if isinstance(opts, list) else str(opts).split(",")
    words = words if "remount" in words else [*words, "remount"]
    return mount(name, device, False, fstype, words, user, test=test)


def umount(name, device=None, user=None, util="mount", lazy=False, test=False):
    """Unmount what is mounted on a place.

    name: the place.
    device: unmount this device instead.
    user: run `umount` as this user.
    lazy: at once from the tree, and really when it is no longer in use.
    test: say only what would be run.

    Returns True, or a sentence why not.

    CLI Example: salt '*' mount.umount /mnt/foo"""
    _only_mount(util)
    if not is_mounted(name):
        return f"{name} does not have anything mounted"
    return _mount_command(test, user, "umount", *(["-l"] if lazy else []), "--", str(device or name))


def swaps():
    """The swap space in use.

    Returns {file: {"type", "size", "used", "priority"}}, all texts, sizes in KiB.

    CLI Example: salt '*' mount.swaps"""
    names = ("type", "size", "used", "priority")
    return {_plain(words[0]): dict(zip(names, words[1:], strict=False)) for words in _lines(SWAPS)[1:]}


def swapon(name, priority=None, test=False):
    """Use a device or a file as swap space.

    name: its path.
    priority: a number; the highest is used first.
    test: say only what would be run.

    Returns {"stats": as in mount.swaps, "new": whether it was not in use before}.

    CLI Example: salt '*' mount.swapon /root/swapfile"""
    if str(name) in swaps():
        return {"stats": swaps()[str(name)], "new": False}
    flags = ["-p", str(int(priority))] if priority is not None else []
    done = _mount_command(test, None, "swapon", *flags, "--", str(name))
    if done is not True:
        if test:
            return done
        raise CommandExecutionError(str(done))
    return {"stats": swaps()[str(name)], "new": True}


def swapoff(name, test=False):
    """Do not use a device or a file as swap space any more.

    name: its path.
    test: say only what would be run.

    Returns True; False if it is still in use, None if it never was.

    CLI Example: salt '*' mount.swapoff /root/swapfile"""
    if str(name) not in swaps():
        return None
    done = _mount_command(test, None, "swapoff", "--", str(name))
    return done if test else str(name) not in swaps()


# fstab


def _entry(line: str) -> dict[str, str] | None:
    """A line of fstab by field; None for a comment and for what has not four to six words."""
    words = re.findall(r"[^ \t\r\n]+", line)
    if line.startswith("#") or not 4 <= len(words) <= len(FIELDS):
        return None
    return dict(zip(FIELDS, [*words, *["0"] * (len(FIELDS) - len(words))], strict=True))


def _same(field: str, left: str, right: str) -> bool:
    return sorted(left.split(",")) == sorted(right.split(",")) if field == "opts" else left == right


def _matches(entry: Mapping[str, str] | None, wanted: Mapping[str, str]) -> bool:
    return entry is not None and all(_same(field, entry[field], value) for field, value in wanted.items())


def _read(config: Any) -> list[str]:
    """The lines of an fstab, with their ends."""
    try:
        text = Path(str(config)).read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise CommandExecutionError(f"Couldn't read from {config}: {error.strerror}") from None
    return [f"{line}\n" for line in text.removesuffix("\n").split("\n")] if text else []


def _write(config: Any, lines: list[str]) -> None:
    try:
        __salt__["file.write"](str(config), args=[line.removesuffix("\n") for line in lines])
    except CommandExecutionError as error:
        raise CommandExecutionError(f"Couldn't write to {error}") from None


def fstab(config="/etc/fstab"):
    """What fstab says.

    config: the file.

    Returns {place: {"device", "fstype", "opts": [text], "dump", "pass"}}; one that is there again has a _ behind it.
    An empty map if there is no such file.

    CLI Example: salt '*' mount.fstab"""
    found: dict[str, dict[str, Any]] = {}
    for line in _read(config) if os.path.isfile(str(config)) else ():
        entry: dict[str, Any] | None = _entry(line)
        if entry is None:
            continue
        name = entry.pop("name")
        while name in found:
            name += "_"
        found[name] = entry | {"opts": entry["opts"].split(","), "pass": entry["pass_num"]}
        del found[name]["pass_num"]
    return found


def set_fstab(
    name,
    device,
    fstype,
    opts="defaults",
    dump=0,
    pass_num=0,
    config="/etc/fstab",
    test=False,
    match_on="auto",
    not_change=False,
):
    """Let fstab say that a device is to be mounted on a place.

    name: the place.
    device: the device, UUID=… say.
    fstype: the type of the file system.
    opts: options, a list or a text with commas.
    dump, pass_num: the last two words of the line.
    config: the file.
    test: change nothing.
    match_on: which fields tell the line that is to be changed: names, or auto: the device, or the name for types like
        nfs and tmpfs.
    not_change: leave such a line as it is.

    Returns "new", "change" or "present".

    CLI Example: salt '*' mount.set_fstab /mnt/foo /dev/sdz1 ext4"""
    given = (device, name, fstype, ",".join(map(str, opts)) if isinstance(opts, list) else opts, dump, pass_num)
    wanted = {field: _word(field, value) for field, value in zip(FIELDS, given, strict=True)}
    if not isinstance(match_on, (str, list)):
        raise CommandExecutionError("match_on must be a string or list of strings")
    if match_on == "auto":
        match_on = "name" if fstype in BY_NAME else "device"
    fields = [match_on] if isinstance(match_on, str) else match_on
    if unknown := [field for field in fields if field not in FIELDS]:
        raise CommandExecutionError(f'Unrecognized keys in match_on: "{", ".join(map(str, unknown))}"')
    if not os.path.isfile(str(config)):
        raise CommandExecutionError(f'Bad config file "{config}"')
    state, lines = "new", []
    for line in _read(config):
        entry = _entry(line)
        if _matches(entry, {field: wanted[field] for field in fields}):
            keep = not_change or _matches(entry, wanted)
            state = "present" if keep and state != "change" else "change"
            line = line if keep else LINE.format(**wanted)
        lines.append(line)
    if state == "new":
        lines.append(LINE.format(**wanted))
    if state != "present" and not test:
        _write(config, lines)
    return state


def rm_fstab(name, device, config="/etc/fstab", test=False):
    """Take the lines of a device and a place out of fstab.

    name: the place.
    device: the device.
    config: the file.
    test: say only what would be taken out.

    Returns True, also if there was none; with test=True a sentence.

    CLI Example: salt '*' mount.rm_fstab /mnt/foo /dev/sdg"""
    # an empty or missing one is no condition
    wanted = {field: _word(field, value) for field, value in (("name", name), ("device", device)) if value is not None}
    lines = _read(config)
    kept = [line for line in lines if not _matches(_entry(line), wanted)]
    if test:
        return f"{len(lines) - len(kept)} lines would be taken out of {config}."
    if len(kept) != len(lines):
        _write(config, kept)
    return True
