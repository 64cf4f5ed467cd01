"""What this machine is: from files of /proc, /sys and /etc and two libraries; no process, no network, no DNS."""

from __future__ import annotations

import contextlib
import glob
import grp
import hashlib
import ipaddress
import itertools
import locale
import os
import pwd
import re
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import distro
import psutil

__opts__: dict[str, Any]

OS_NAMES = {  # ID of os-release -> the `os` that Salt has always used; others: NAME without Linux
    "almalinux": "AlmaLinux", "altlinux": "ALT", "amzn": "Amazon", "arch": "Arch", "archarm": "Arch ARM",
    "cloudlinux": "CloudLinux", "debian": "Debian", "elementary": "elementary OS", "fedora": "Fedora",
    "linuxmint": "Mint", "manjaro": "Manjaro", "neon": "KDE neon", "ol": "OEL", "opensuse-leap": "SUSE",
    "opensuse-tumbleweed": "SUSE", "photon": "VMware Photon OS", "pop": "Pop", "raspbian": "Raspbian",
    "rhel": "RedHat", "rocky": "Rocky", "scientific": "ScientificLinux", "sled": "SUSE", "sles": "SUSE",
    "sles_sap": "SUSE", "ubuntu": "Ubuntu", "void": "Void",
}  # fmt: skip
OS_FAMILIES = {  # ID or a word of ID_LIKE -> os_family; others: their own `os`
    "almalinux": "RedHat", "altlinux": "RedHat", "amzn": "RedHat", "arch": "Arch", "centos": "RedHat",
    "debian": "Debian", "fedora": "RedHat", "gentoo": "Gentoo", "ol": "RedHat", "opensuse": "Suse", "photon": "RedHat",
    "rhel": "RedHat", "rocky": "RedHat", "sled": "Suse", "sles": "Suse", "suse": "Suse", "ubuntu": "Debian",
}  # fmt: skip
OS_FULL_NAMES = {"opensuse-leap": "Leap", "opensuse-tumbleweed": "Tumbleweed"}
DEBIAN_ARCH = {
    "aarch64": "arm64", "armv6l": "armhf", "armv7l": "armhf", "i686": "i386", "ppc64le": "ppc64el", "x86_64": "amd64",
}  # fmt: skip
DMI = {  # grain -> file in /sys/class/dmi/id
    "biosreleasedate": "bios_date", "biosvendor": "bios_vendor", "biosversion": "bios_version",
    "boardname": "board_name", "manufacturer": "sys_vendor", "productname": "product_name",
    "serialnumber": "product_serial", "uuid": "product_uuid",
}  # fmt: skip
HYPERVISORS = (  # found in the DMI's vendor, product or BIOS: virtual, virtual_subtype; the first row that fits
    ("Amazon EC2", "Nitro", "Amazon EC2"),
    ("Google", "gce", ""),
    ("VirtualBox", "VirtualBox", ""),
    ("VMware", "VMware", ""),
    ("HVM domU", "xen", "Xen HVM DomU"),
    ("Xen", "xen", ""),
    ("RHEV Hypervisor", "kvm", "rhev"),
    ("oVirt", "kvm", "ovirt"),
    ("BHYVE", "bhyve", ""),
    ("Parallels", "Parallels", ""),
    ("Microsoft Corporation Virtual Machine", "VirtualPC", ""),
    ("QEMU", "kvm", ""),
    ("KVM", "kvm", ""),
    ("Bochs", "kvm", ""),
    ("SeaBIOS", "kvm", ""),
)
CONTAINERS = (  # a sign of a container manager, in the texts of `container`: virtual, virtual_subtype
    (r"/run/\.containerenv|\bpodman\b|/libpod", "container", "Podman"),
    (r"kubepods", "container", "kubernetes"),
    (r"/\.dockerenv|\bdocker\b", "container", "Docker"),
    (r"\blxc\b", "container", "LXC"),
    (r"systemd-nspawn", "systemd-nspawn", ""),
)
GPU_VENDORS = {
    "0x1002": "amd", "0x1013": "cirrus logic", "0x102b": "matrox", "0x10de": "nvidia", "0x15ad": "vmware",
    "0x1a03": "aspeed", "0x8086": "intel",
}  # fmt: skip


def _contents(path: str | Path) -> str:
    """The text of a small file without the white space around it; empty if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _os_grains(release: Mapping[str, str]) -> dict[str, Any]:
    """The grains of an os-release (keys in lower case): os, os_family, osfullname, osrelease, osfinger, ..."""
    ids = [release.get("id", ""), *release.get("id_like", "").split()]
    full = OS_FULL_NAMES.get(ids[0]) or release.get("name", "").strip()
    short = re.sub(r"\W(?:gnu/)?linux\b", "", full, flags=re.IGNORECASE).strip()
    grains: dict[str, Any] = {"os": OS_NAMES.get(ids[0]) or short or "Linux", "osfullname": full}
    grains["os_family"] = next((OS_FAMILIES[name] for name in ids if name in OS_FAMILIES), grains["os"])
    in_brackets = re.search(r"\((.+)\)", release.get("version", "")) if ids[0] in ("almalinux", "rocky") else None
    codename = in_brackets[1] if in_brackets else release.get("pretty_name", "")
    grains["oscodename"] = release.get("version_codename") or codename
    if version := release.get("version_id", ""):
        parts = [int(part) if part.isdigit() else part for part in version.split(".")]
        grains.update(osrelease=version, osrelease_info=parts)
        if isinstance(parts[0], int):
            grains["osmajorrelease"] = parts[0]
        finger = version if grains["os"] in ("Ubuntu", "Pop") else parts[0]
        grains["osfinger"] = f"{grains['os'] if grains['os'] in ('Debian', 'Raspbian') else full}-{finger}"
    return grains


def distribution() -> dict[str, Any]:
    """os*, lsb_distrib_* and osarch."""
    release = distro.LinuxDistribution(include_lsb=False, include_uname=False).os_release_info()
    ret = _os_grains(release)
    lsb = re.findall(r"""^DISTRIB_(\w+)=["']?([^"'\n]+)""", _contents("/etc/lsb-release"), re.MULTILINE)
    ret.update((f"lsb_distrib_{key.lower()}", value) for key, value in lsb)
    if "lsb_distrib_id" not in ret:
        fields = {"id": release.get("name"), "release": ret.get("osrelease"), "codename": ret["oscodename"]}
        ret.update({f"lsb_distrib_{key}": value for key, value in fields.items() if value})
    machine = os.uname().machine
    ret["osarch"] = DEBIAN_ARCH.get(machine, machine) if ret["os_family"] == "Debian" else machine
    return ret


def kernel() -> dict[str, Any]:
    """kernel, kernelrelease, kernelversion, kernelparams, cpuarch, nodename, ps."""
    names = ("kernel", "nodename", "kernelrelease", "kernelversion", "cpuarch")
    grains: dict[str, Any] = dict(zip(names, os.uname(), strict=True))
    words = _contents("/proc/cmdline").split()
    with contextlib.suppress(ValueError):  # a quotation without an end
        words = shlex.split(_contents("/proc/cmdline"))
    pairs = [word.split("=") for word in words]
    grains["kernelparams"] = [[pair[0], pair[1] if len(pair) == 2 else None] for pair in pairs]
    return grains | {"ps": "ps -efHww"}


def _first_cpu() -> dict[str, str]:
    """What /proc/cpuinfo says of the first processor."""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        pairs = [line.partition(":") for line in itertools.takewhile(str.strip, file)]
    return {key.strip(): value.strip() for key, _, value in pairs}


def cpu() -> dict[str, Any]:
    """num_cpus, cpu_model, cpu_flags; mem_total and swap_total in MiB."""
    first = _first_cpu()
    ret: dict[str, Any] = {"num_cpus": os.cpu_count() or 1}
    if model := first.get("model name") or first.get("cpu") or first.get("vendor_id"):
        ret["cpu_model"] = model
    ret["cpu_flags"] = (first.get("flags") or first.get("Features") or "").split()
    mega = 1024 * 1024
    return ret | {"mem_total": psutil.virtual_memory().total // mega, "swap_total": psutil.swap_memory().total // mega}


def _host_names() -> list[list[str]]:
    """The lines of /etc/hosts as words: address, canonical name, aliases."""
    lines = (line.partition("#")[0].split() for line in _contents("/etc/hosts").splitlines())
    return [words for words in lines if len(words) > 1]


def names() -> dict[str, Any]:
    """host, fqdn, domain, localhost, fqdn_ip4, fqdn_ip6: from the kernel and /etc/hosts only, for a DNS look-up can
    block for a minute; `fqdns`, which is all DNS in Salt, is empty."""
    node = os.uname().nodename
    hosts = _host_names()
    fqdn = node if "." in node else next((words[1] for words in hosts if node in words[1:]), node)
    host, _, domain = fqdn.partition(".")
    found = {words[0] for words in hosts if fqdn in words[1:]}
    ip6 = sorted(address for address in found if ":" in address)
    known = {"host": host, "fqdn": fqdn, "domain": domain, "localhost": node, "fqdns": []}
    return known | {"fqdn_ip4": sorted(found.difference(ip6)), "fqdn_ip6": ip6}


def addresses() -> dict[str, Any]:
    """ipv4 and ipv6 (sorted, loopback included); ip_, ip4_, ip6_ and hwaddr_interfaces by interface."""
    ip4: dict[str, list[str]] = {}
    ip6: dict[str, list[str]] = {}
    hardware: dict[str, str] = {}
    for name, addresses in psutil.net_if_addrs().items():
        ip4[name] = [each.address for each in addresses if each.family == socket.AF_INET]
        ip6[name] = [each.address.partition("%")[0] for each in addresses if each.family == socket.AF_INET6]
        hardware.update((name, each.address) for each in addresses if each.family == psutil.AF_LINK)
    ret: dict[str, Any] = {"ip4_interfaces": ip4, "ip6_interfaces": ip6, "hwaddr_interfaces": hardware}
    ret["ip_interfaces"] = {name: ip4[name] + ip6[name] for name in ip4}
    for key, interfaces in (("ipv4", ip4), ("ipv6", ip6)):
        ret[key] = sorted(set().union(*interfaces.values()), key=ipaddress.ip_address)
    return ret


def routes() -> dict[str, Any]:
    """ip4_gw and ip6_gw: the default gateway's address, True if there is a default route without one, else False;
    dns: what resolv.conf says."""
    gateways: dict[str, Any] = {"ip4_gw": False, "ip6_gw": False}
    for words in map(str.split, _contents("/proc/net/route").splitlines()[1:]):
        if words[1] == words[7] == "0" * 8 and not gateways["ip4_gw"]:
            gateways["ip4_gw"] = str(ipaddress.IPv4Address(bytes.fromhex(words[2])[::-1]).exploded)
    for words in map(str.split, _contents("/proc/net/ipv6_route").splitlines()):
        if words[:2] == ["0" * 32, "00"] and words[9] != "lo" and not gateways["ip6_gw"]:
            gateways["ip6_gw"] = str(ipaddress.IPv6Address(bytes.fromhex(words[4])))
    gateways = {key: value if value not in ("0.0.0.0", "::") else True for key, value in gateways.items()}
    return gateways | {"ip_gw": any(gateways.values()), "dns": _resolver()}


def _resolver() -> dict[str, Any]:
    """The resolver's configuration, as the `dns` grain has it."""
    text = _contents("/run/systemd/resolve/resolv.conf") or _contents("/etc/resolv.conf")
    found: dict[str, list[str]] = {}
    for words in map(str.split, text.splitlines()):
        if words and words[0] == "nameserver":
            found.setdefault("nameservers", []).extend(words[1:2])
        elif words:
            found[words[0]] = words[1:]
    servers = found.get("nameservers", [])
    ret: dict[str, Any] = {key: found.get(key, []) for key in ("nameservers", "sortlist", "search", "options")}
    ret["ip4_nameservers"] = [address for address in servers if ":" not in address]
    ret["ip6_nameservers"] = [address for address in servers if ":" in address]
    return ret | {"domain": "".join(found.get("domain", [])[:1])}


def _firmware() -> dict[str, str]:
    """What the firmware says, some of it to root only."""
    found = {grain: _contents(f"/sys/class/dmi/id/{file}") for grain, file in DMI.items()}
    return {grain: text.lower() if grain == "uuid" else text for grain, text in found.items() if text}


def hardware() -> dict[str, Any]:
    """The firmware's names of the machine, disks, ssds, gpus, machine_id, efi."""
    ret: dict[str, Any] = {**_firmware()}
    drives = [path for path in glob.glob("/sys/block/*") if "/devices/virtual/" not in os.path.realpath(path)]
    for key, flag in (("disks", "1"), ("ssds", "0")):
        ret[key] = sorted(os.path.basename(path) for path in drives if _contents(f"{path}/queue/rotational") == flag)
    cards = [path for path in glob.glob("/sys/bus/pci/devices/*") if _contents(f"{path}/class").startswith("0x03")]
    ids = [(_contents(f"{path}/vendor"), _contents(f"{path}/device")) for path in cards]
    ret["gpus"] = [{"vendor": GPU_VENDORS.get(vendor, "unknown"), "model": device} for vendor, device in ids]
    ret["machine_id"] = _contents("/etc/machine-id") or _contents("/var/lib/dbus/machine-id")
    return ret | {"num_gpus": len(cards), "efi": os.path.isdir("/sys/firmware/efi")}


def virtual() -> dict[str, Any]:
    """virtual and virtual_subtype: a container first, then the hypervisor that the firmware names."""
    signs = [path for path in ("/.dockerenv", "/run/.containerenv") if os.path.exists(path)]
    environment = re.search(r"(?:^|\0)container=([^\0]*)", _contents("/proc/1/environ"))
    signs += [environment[1] if environment else "", _contents("/run/systemd/container"), _contents("/proc/1/cgroup")]
    for pattern, virtual, subtype in CONTAINERS:
        if re.search(pattern, "\n".join(signs)):
            return {"virtual": virtual, "virtual_subtype": subtype} if subtype else {"virtual": virtual}
    if os.path.exists("/proc/vz/veinfo"):
        return {"virtual": "openvzhn" if os.path.exists("/proc/vz/version") else "openvzve"}
    firmware = " ".join(_firmware().values())
    hypervisor = _contents("/sys/hypervisor/type")
    for word, virtual, subtype in HYPERVISORS:
        if word in firmware or word.lower() == hypervisor:
            return {"virtual": virtual, "virtual_subtype": subtype} if subtype else {"virtual": virtual}
    # A small machine monitor (Firecracker, Cloud Hypervisor) has no DMI; all of them stand on KVM.
    return {"virtual": "kvm" if "hypervisor" in _first_cpu().get("flags", "").split() else "physical"}


def init() -> dict[str, Any]:
    """init, systemd, selinux."""
    ret: dict[str, Any] = {"init": _init_system()}
    libraries = glob.glob("/usr/lib/systemd/libsystemd-shared-*") + glob.glob("/usr/lib/*/systemd/libsystemd-shared-*")
    versions = re.findall(r"libsystemd-shared-(\d+)", " ".join(libraries))
    if versions and shutil.which("systemctl"):
        ret["systemd"] = {"version": max(versions, key=int)}
    enforce = _contents("/sys/fs/selinux/enforce")
    if enforce:
        ret["selinux"] = {"enabled": True, "enforced": "Enforcing" if enforce == "1" else "Permissive"}
    elif shutil.which("selinuxenabled"):
        ret["selinux"] = {"enabled": False}
    return ret


def _init_system() -> str:
    """systemd, sysvinit, upstart, runit, supervisord, tini, dumb-init or unknown."""
    if os.path.isdir("/run/systemd/system"):
        return "systemd"
    arguments = _contents("/proc/1/cmdline").split("\0")
    names = {os.path.basename(argument) for argument in arguments}
    for name, init in (("my_init", "runit"), *((name, name) for name in ("runit", "supervisord", "tini", "dumb-init"))):
        if name in names:
            return init
    program = shutil.which(arguments[0]) if arguments[0] else None
    if program and program.endswith("bin/init"):
        with contextlib.suppress(OSError):
            binary = Path(program).read_bytes().lower()
            return next((init for init in ("upstart", "sysvinit", "systemd") if init.encode() in binary), "unknown")
    return "unknown"


def process() -> dict[str, Any]:
    """uid, gid, username, groupname, pid, cwd, path, shell, locale_info of this process."""
    ret: dict[str, Any] = {"uid": os.geteuid(), "gid": os.getegid(), "username": "", "groupname": ""}
    with contextlib.suppress(KeyError):
        ret["username"] = pwd.getpwuid(ret["uid"]).pw_name
        ret["groupname"] = grp.getgrgid(ret["gid"]).gr_name
    path = os.environ.get("PATH", "")
    ret |= {"path": path, "systempath": path.split(":"), "shell": os.environ.get("SHELL") or "/bin/sh"}
    language = encoding = None
    with contextlib.suppress(ValueError):  # a locale that Python does not know
        language, encoding = locale.getlocale()
    ret["locale_info"] = {"defaultlanguage": language, "defaultencoding": encoding, "timezone": time.strftime("%Z")}
    ret["locale_info"]["detectedencoding"] = sys.getfilesystemencoding()
    with contextlib.suppress(FileNotFoundError):
        ret["cwd"] = os.getcwd()
    return ret | {"pid": os.getpid()}


def version() -> dict[str, Any]:
    """server_id (Salt's formula) and the Python that runs."""
    digest = int(hashlib.sha256(str(__opts__.get("id", "")).encode()).hexdigest(), 16)
    ret = {
        "server_id": digest % 2**31,
        "package": None,  # as for a Salt that no package has brought
        "pythonversion": list(sys.version_info),
        "pythonexecutable": sys.executable,
        "pythonpath": list(sys.path),
    }
    return ret | ({"zmqversion": sys.modules["zmq"].zmq_version()} if "zmq" in sys.modules else {})
