"""The network as this machine sees it: addresses, routes, connections, and whether others can be reached. For Linux.

/proc, `ip` and psutil are asked; names and shapes are Salt's, which are those of netstat."""

from __future__ import annotations

import contextlib
import fnmatch
import ipaddress
import json
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    import subprocess

__salt__: Mapping[str, Any]

COMMAND_SECONDS = 120  # ping waits 10 s for each answer
SEARCHED = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
CONNECT_SECONDS = 5
HOST_LENGTH = 255
HOSTNAME = re.compile(r"(?=.{1,64}$)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*")
HOSTNAME_FILE, HOSTS_FILE = "/etc/hostname", "/etc/hosts"
STATES = """ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN
    CLOSING""".split()  # of TCP in /proc/net, from 1 on
ROUTE_FLAGS = {0x2: "G", 0x4: "H", 0x8: "R", 0x10: "D", 0x20: "M"}  # in /proc/net/route, with the letters of netstat
ROUTE_FLAGS_6 = {0x2: "G", 0x4: "H", 0x10000: "D", 0x40000: "A", 0x01000000: "C", 0x20000: "a", 0x400000: "e"}
ROUTE_FLAGS_6 |= {0x20: "m", 0x200000: "n", 0x02000000: "f"}
UP, REJECT = 0x1, 0x200
DEFAULTS = ("0.0.0.0", "::/0")  # the destinations of default routes


def _output(*command: str) -> subprocess.CompletedProcess[str]:
    """A command's output. Raises CommandExecutionError if it is not installed or does not end."""
    import subprocess

    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            env={**os.environ, "LC_ALL": "C", "PATH": SEARCHED},
        )
    except (FileNotFoundError, PermissionError):  # the latter, too, where PATH names what this user may not see
        raise CommandExecutionError(f"{command[0]} is not installed on this machine.") from None
    except subprocess.TimeoutExpired:
        raise CommandExecutionError(f"{command[0]} has not answered for {COMMAND_SECONDS} seconds.") from None
    except OSError as error:
        raise CommandExecutionError(f"{command[0]} could not be run: {error}") from None


def _lines(path: str) -> list[str]:
    """The lines of a table below /proc/net, without its head; none where there is none."""
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def _host(host: Any) -> str:
    """A host's name or address, without what may not be in one."""
    text = str(host)
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        found = re.sub(r"[^A-Za-z0-9._-]", "", text).lstrip("-")
    if not found or len(found) > HOST_LENGTH:
        raise CommandExecutionError(f"host: {text[:HOST_LENGTH]!r} is neither a name nor an address.")
    return found


def _ip(text: Any) -> Any:
    """An address. Raises CommandExecutionError for what is none."""
    try:
        return ipaddress.ip_address(str(text))
    except ValueError as error:
        raise CommandExecutionError(str(error)) from None


# interfaces and addresses


def _interface_of(link: Mapping[str, Any]) -> dict[str, Any]:
    """An interface, as `ip -json addr` says it, in Salt's shape."""
    found: dict[str, Any] = {"up": "UP" in link.get("flags", ())}
    if "link_index" in link:
        found["parent"] = f"if{link['link_index']}"  # it is in another namespace
    elif "link" in link:
        found["parent"] = link["link"] or "NONE"
    if link.get("address"):
        found["hwaddr"] = link["address"]
    for each in link.get("addr_info", ()):
        kind, row = each["family"], {"address": each["local"]}
        if kind == "inet":
            mask = str(ipaddress.ip_network(f"0.0.0.0/{each['prefixlen']}").netmask)
            row |= {"netmask": mask, "broadcast": each.get("broadcast"), "label": each.get("label", link["ifname"])}
        else:
            row |= {"prefixlen": str(each["prefixlen"]), "scope": each.get("scope")}
        if each.get("secondary"):
            found.setdefault("secondary", []).append({"type": kind, **row})
        else:
            found.setdefault(kind, []).append(row)
    return found


def _interfaces_by_psutil() -> dict[str, Any]:
    """The interfaces where there is no `ip`: without parents, and nothing is secondary."""
    import psutil

    states, found = psutil.net_if_stats(), dict[str, Any]()
    for name, rows in psutil.net_if_addrs().items():
        found[name] = {"up": name in states and states[name].isup}
        for row in rows:
            address = row.address.partition("%")[0]
            if row.family == socket.AF_INET:
                one = {"address": address, "netmask": row.netmask, "broadcast": row.broadcast, "label": name}
                found[name].setdefault("inet", []).append(one)
            elif row.family == socket.AF_INET6:
                bits = str(bin(int(ipaddress.IPv6Address(row.netmask or "::"))).count("1"))
                scope = {True: "host", False: "global"}[address == "::1"]
                scope = "link" if ipaddress.IPv6Address(address).is_link_local else scope
                found[name].setdefault("inet6", []).append({"address": address, "prefixlen": bits, "scope": scope})
            else:
                found[name]["hwaddr"] = row.address
    return found


def interfaces():
    """The network interfaces and what they are called and connected by.

    Returns {name: {"up": bool, "hwaddr": text, "parent": text, "inet": [{"address", "netmask", "broadcast", "label"}],
    "inet6": [{"address", "prefixlen", "scope"}], "secondary": [{"type", …}]}}; what an interface has not is not there.

    CLI Example: salt '*' network.interfaces"""
    try:
        done = _output("ip", "-json", "addr", "show")
        return {link["ifname"]: _interface_of(link) for link in json.loads(done.stdout) if "ifname" in link}
    except (CommandExecutionError, ValueError):  # there is no `ip`, or an old or a small one
        return _interfaces_by_psutil()


def _details(iface: Any, wanted: str, otherwise: Any) -> Any:
    """A part of what there is to say of an interface, or a sentence if there is no such interface."""
    found = interfaces()
    if iface not in found:
        names = '", "'.join(found)
        return f'Interface "{iface}" not in available interfaces: "{names}"'
    return found[iface].get(wanted, otherwise)


def hw_addr(iface):
    """The hardware address of an interface.

    iface: its name.

    Returns text, "" if it has none, a sentence if there is no such interface.

    CLI Example: salt '*' network.hw_addr eth0"""
    return _details(iface, "hwaddr", "")


def hwaddr(iface):
    """The hardware address of an interface: another name of network.hw_addr. Returns text.

    CLI Example: salt '*' network.hwaddr eth0"""
    return hw_addr(iface)


def interface(iface):
    """The IPv4 addresses of an interface, with their networks.

    iface: its name.

    Returns [{"address", "netmask", "broadcast", "label"}], "" if it has none, a sentence if there is no such interface.

    CLI Example: salt '*' network.interface eth0"""
    return _details(iface, "inet", "")


def interface_ip(iface):
    """The first IPv4 address of an interface.

    iface: its name.

    Returns text, "" if it has none, a sentence if there is no such interface.

    CLI Example: salt '*' network.interface_ip eth0"""
    found = _details(iface, "inet", "")
    return found[0]["address"] if isinstance(found, list) else found


def _addresses(interface: Any, kind: str, found: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The addresses of interfaces: all, or those that names or globs mean, as a list or a text with commas."""
    patterns = interface if isinstance(interface, list) else str(interface).split(",")
    rows = []
    for name, each in (interfaces() if found is None else found).items():
        if interface is None or any(fnmatch.fnmatchcase(name, str(pattern).strip()) for pattern in patterns):
            rows += each.get(kind, [])
            rows += [row for row in each.get("secondary", []) if row["type"] == kind]
    return rows


def _ip_addrs(interface: Any, include_loopback: Any, cidr: Any, kind: str) -> list[str]:
    rows = _addresses(interface, kind)
    found = sorted({ipaddress.ip_address(row["address"]) for row in rows})
    kept = [str(each) for each in found if include_loopback or not each.is_loopback]
    return [each for each in kept if in_subnet(cidr, [each])] if cidr else kept


def ip_addrs(interface=None, include_loopback=False, cidr=None, type=None):
    """The IPv4 addresses of this machine, in order.

    interface: only of these: a name, a glob, a list, or a text with commas.
    include_loopback: those of 127.0.0.0/8, too.
    cidr: only those in this network.
    type: `public` or `private`: only those that are.

    Returns a list of texts.

    CLI Example:
        salt '*' network.ip_addrs
        salt '*' network.ip_addrs 'eth*' cidr=10.0.0.0/8"""
    found = _ip_addrs(interface, include_loopback, cidr, "inet")
    if type in ("public", "private") and not cidr:
        found = [each for each in found if is_private(each) is (type == "private")]
    return found


def ipaddrs(interface=None, include_loopback=False, cidr=None, type=None):
    """The IPv4 addresses of this machine: another name of network.ip_addrs. Returns [address].

    CLI Example: salt '*' network.ipaddrs"""
    return ip_addrs(interface, include_loopback, cidr, type)


def ip_addrs6(interface=None, include_loopback=False, cidr=None):
    """The IPv6 addresses of this machine, in order.

    interface: only of these: a name, a glob, a list, or a text with commas.
    include_loopback: ::1, too.
    cidr: only those in this network.

    Returns a list of texts.

    CLI Example: salt '*' network.ip_addrs6 cidr=2001:db8::/32"""
    return _ip_addrs(interface, include_loopback, cidr, "inet6")


def ipaddrs6(interface=None, include_loopback=False, cidr=None):
    """The IPv6 addresses of this machine: another name of network.ip_addrs6. Returns [address].

    CLI Example: salt '*' network.ipaddrs6"""
    return ip_addrs6(interface, include_loopback, cidr)


def _networks(rows: list[dict[str, Any]], include_loopback: Any = False) -> list[Any]:
    """The networks that addresses are in, in order."""
    found = {
        ipaddress.ip_network(f"{row['address']}/{row.get('netmask') or row.get('prefixlen')}", strict=False)
        for row in rows
        if row.get("netmask") or row.get("prefixlen")
    }
    return sorted(each for each in found if include_loopback or not each.is_loopback)


def subnets(interfaces=None):
    """The IPv4 networks that this machine is in.

    interfaces: the name of one, or a list of names; without, all.

    Returns a list of texts, "192.0.2.0/24".

    CLI Example: salt '*' network.subnets interfaces=eth1"""
    return [str(each) for each in _networks(_addresses(interfaces, "inet"))]


def subnets6():
    """The IPv6 networks that this machine is in.

    Returns a list of texts, "2001:db8::/64".

    CLI Example: salt '*' network.subnets6"""
    return [str(each) for each in _networks(_addresses(None, "inet6"))]


def _ip_networks(interface: Any, include_loopback: Any, verbose: Any, kind: str) -> Any:
    found = _networks(_addresses(interface, kind), include_loopback)
    if not verbose:
        return [str(each) for each in found]
    return {
        str(each): {
            "address": str(each.network_address),
            "netmask": str(each.netmask),
            "num_addresses": each.num_addresses,
            "prefixlen": each.prefixlen,
        }
        for each in found
    }


def ip_networks(interface=None, include_loopback=False, verbose=False):
    """The IPv4 networks that this machine is in.

    interface: only by these: a name, a glob, a list, or a text with commas.
    include_loopback: 127.0.0.0/8, too.
    verbose: a map with more of each.

    Returns a list of texts, or {network: {"address", "netmask", "num_addresses", "prefixlen"}}.

    CLI Example: salt '*' network.ip_networks interface='eth*'"""
    return _ip_networks(interface, include_loopback, verbose, "inet")


def ip_networks6(interface=None, include_loopback=False, verbose=False):
    """The IPv6 networks that this machine is in, with the arguments and the shape of network.ip_networks.

    CLI Example: salt '*' network.ip_networks6 interface='eth*'"""
    return _ip_networks(interface, include_loopback, verbose, "inet6")


def in_subnet(cidr, addr=None):
    """Whether this machine, or an address, is in a network.

    cidr: the network, 10.0.0.0/16.
    addr: an address, or a list of them, of which one is enough; without, this machine's.

    Returns True or False; False, too, for what is no network.

    CLI Example: salt '*' network.in_subnet 10.0.0.0/16"""
    try:
        network = ipaddress.ip_network(str(cidr))
    except ValueError:
        return False
    given = ip_addrs() + ip_addrs6() if addr is None else addr if isinstance(addr, (list, tuple)) else [addr]
    return any(_ip(each) in network for each in given)


def ip_in_subnet(ip_addr, cidr):
    """Whether an address is in a network.

    Returns True or False.

    CLI Example: salt '*' network.ip_in_subnet 172.17.0.4 172.16.0.0/12"""
    return in_subnet(cidr, ip_addr)


def calc_net(ip_addr, netmask=None):
    """The network that an address is in.

    ip_addr: 172.17.0.5/28, or the address alone with
    netmask: 255.255.255.240, or 28.

    Returns text, "172.17.0.0/28".

    CLI Example: salt '*' network.calc_net 172.17.0.5 255.255.255.240"""
    try:
        return str(ipaddress.ip_network(f"{ip_addr}/{netmask}" if netmask is not None else str(ip_addr), strict=False))
    except ValueError as error:
        raise CommandExecutionError(str(error)) from None


def convert_cidr(cidr):
    """The parts of a network.

    cidr: 172.31.0.0/16.

    Returns {"network": text, "netmask": text, "broadcast": text}.

    CLI Example: salt '*' network.convert_cidr 172.31.0.0/16"""
    network = ipaddress.ip_network(calc_net(cidr))
    found = (network.network_address, network.netmask, network.broadcast_address)
    return dict(zip(("network", "netmask", "broadcast"), map(str, found), strict=True))


def is_private(ip_addr):
    """Whether an address is for private use.

    Returns True or False.

    CLI Example: salt '*' network.is_private 10.0.0.3"""
    return _ip(ip_addr).is_private


def is_loopback(ip_addr):
    """Whether an address is of the loopback.

    Returns True or False.

    CLI Example: salt '*' network.is_loopback 127.0.0.1"""
    return _ip(ip_addr).is_loopback


def reverse_ip(ip_addr):
    """The name under which an address is looked up in reverse.

    Returns text, "4.0.17.172.in-addr.arpa".

    CLI Example: salt '*' network.reverse_ip 172.17.0.4"""
    return _ip(ip_addr).reverse_pointer


def ifacestartswith(cidr):
    """The interfaces with an IPv4 address that begins with a text.

    cidr: the text, 10.0.

    Returns a list of labels, which are the names of interfaces or, of a further address, "eth0:1".

    CLI Example: salt '*' network.ifacestartswith 10.0"""
    rows = [row for each in interfaces().values() for row in each.get("inet", [])]
    return [row["label"] for row in rows if row["address"].startswith(str(cidr))]


def iphexval(ip):
    """An IPv4 address in hexadecimal.

    Returns text, "0A000001".

    CLI Example: salt '*' network.iphexval 10.0.0.1"""
    return _ip(ip).packed.hex().upper()


def get_hostname():
    """The name of this machine.

    Returns text.

    CLI Example: salt '*' network.get_hostname"""
    return socket.gethostname()


def get_fqdn():
    """The name of this machine with its domain, as far as the resolver knows it.

    Returns text.

    CLI Example: salt '*' network.get_fqdn"""
    return socket.getfqdn()


def mod_hostname(hostname, test=False):
    """Give this machine another name: now, in /etc/hostname, and in /etc/hosts in place of the old one.

    hostname: letters, digits, `-` and `.`
    test: say only what would be done.

    Returns True; with test=True a sentence.

    CLI Example: salt '*' network.mod_hostname web1.example.com"""
    name, old = "" if hostname is None else str(hostname), socket.gethostname()
    if not HOSTNAME.fullmatch(name):
        raise CommandExecutionError(f"{name!r} is no name of a machine")
    lines = Path(HOSTS_FILE).read_text(errors="surrogateescape").split("\n") if os.path.exists(HOSTS_FILE) else []
    word = re.compile(rf"(?<=\s){re.escape(old)}(?=\s|$)")
    changed = [line if line.lstrip().startswith("#") else word.sub(name, line) for line in lines]
    by_systemd = os.path.isdir("/run/systemd/system")
    command = ("hostnamectl", "set-hostname", name) if by_systemd else ("hostname", name)
    if test:
        told = f" and write {sum(map(str.__ne__, lines, changed))} lines of {HOSTS_FILE}" if changed != lines else ""
        return f"Would run {' '.join(command)}{told}. Nothing was changed."
    done = _output(*command)
    if done.returncode:
        raise CommandExecutionError(f"{' '.join(command)}: {(done.stderr.strip() or done.stdout.strip())}")
    if not by_systemd:
        __salt__["file.write"](HOSTNAME_FILE, args=[name])
    if changed != lines:
        __salt__["file.write"](HOSTS_FILE, args=["\n".join(changed).removesuffix("\n")])
    return True


def wol(mac, bcast="255.255.255.255", destport=9):
    """Wake a machine of this network: send it the packet that its network card waits for (wake on LAN).

    mac: its hardware address, with `:` or `-` or without
    bcast, destport: where the packet goes

    Returns True: it was sent.

    CLI Example: salt '*' network.wol 08:00:27:13:69:77"""
    digits = re.sub(r"[:-]", "", str(mac))
    if not re.fullmatch(r"[0-9A-Fa-f]{12}", digits):
        raise CommandExecutionError(f"{mac!r} is no hardware address")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            sender.sendto(b"\xff" * 6 + bytes.fromhex(digits) * 16, (str(bcast), int(destport)))
        except (OSError, ValueError, OverflowError) as error:
            raise CommandExecutionError(f"Nothing was sent to {bcast}, port {destport}: {error}") from None
    return True


# connections


class Socket(NamedTuple):
    """A row of /proc/net/tcp, tcp6, udp or udp6, with numbers."""

    proto: str
    local: tuple[str, int]
    remote: tuple[str, int]
    state: int
    sending: int
    receiving: int
    user: str
    inode: str


def _end(text: str) -> tuple[str, int]:
    """`0100007F:0016` as address and port: words of 32 bits, each in the byte order of this machine."""
    address, _, port = text.partition(":")
    words = [int(address[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(address), 8)]
    return str(ipaddress.ip_address(b"".join(words))), int(port, 16)


def _sockets(*protocols: str) -> Iterator[Socket]:
    for proto in protocols:
        for line in _lines(f"/proc/net/{proto}")[1:]:
            _, local, remote, state, queues, _, _, user, _, inode, *_ = line.split()
            sending, receiving = (int(word, 16) for word in queues.split(":"))
            yield Socket(proto, _end(local), _end(remote), int(state, 16), sending, receiving, user, inode)


def active_tcp():
    """The TCP connections of this machine that are open.

    Returns {number: {"local_addr", "local_port", "remote_addr", "remote_port"}}, numbered from 0 on; ports are numbers.

    CLI Example: salt '*' network.active_tcp"""
    found: dict[int, dict[str, Any]] = {}
    for each in _sockets("tcp", "tcp6"):
        if STATES[each.state - 1 : each.state] == ["ESTABLISHED"]:
            local, remote = (_unmapped(address) for address in (each.local[0], each.remote[0]))
            row = {"local_addr": local, "local_port": each.local[1]}
            found[len(found)] = row | {"remote_addr": remote, "remote_port": each.remote[1]}
    return found


def _unmapped(address: str) -> str:
    """The IPv4 address that stands in an IPv6 address, if one does."""
    mapped = getattr(ipaddress.ip_address(address), "ipv4_mapped", None)
    return str(mapped or address)


def _owners() -> dict[str, str]:
    """The programs that hold sockets: inode -> `PID/NAME`."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            numbers = os.listdir(f"/proc/{pid}/fd")
            command = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
        except OSError:
            continue  # it has ended, or is another user's
        words = command.split()
        name = words[0].rpartition("/")[2] if words else ""
        for number in numbers:
            with contextlib.suppress(OSError):  # it has been closed
                link = os.readlink(f"/proc/{pid}/fd/{number}")
                if link.startswith("socket:["):
                    found[link[8:-1]] = f"{pid}/{name}"
    return found


def netstat():
    """The sockets of TCP and UDP on this machine.

    Returns [{"proto", "recv-q", "send-q", "local-address", "remote-address", "state", "user", "inode", "program"}],
    all texts; state is of TCP only, user a number, program PID/NAME, or - where it cannot be seen.

    CLI Example: salt '*' network.netstat"""
    found = []
    owners = _owners()
    for each in _sockets("tcp", "tcp6", "udp", "udp6"):
        ends = [f"{_unmapped(address)}:{port or '*'}" for address, port in (each.local, each.remote)]
        row = {"proto": each.proto, "recv-q": str(each.receiving), "send-q": str(each.sending)}
        row |= {"local-address": ends[0], "remote-address": ends[1]}
        if each.proto.startswith("tcp"):
            row["state"] = dict(enumerate(STATES, 1)).get(each.state, "UNKNOWN")
        row |= {"user": each.user, "inode": each.inode, "program": owners.get(each.inode, "-")}
        found.append(row)
    return found


def connect(host, port=None, proto="tcp", timeout=CONNECT_SECONDS, family=None):
    """Whether a port of a host can be reached.

    host: its name or address.
    port: a number or the name of a service.
    proto: tcp; or udp, with which something is sent and an answer awaited.
    timeout: for so many seconds.
    family: ipv4 or ipv6: only so.

    Returns {"result": True or False, "comment": text}.

    CLI Example:
        salt '*' network.connect archlinux.org 80
        salt '*' network.connect archlinux.org 53 proto=udp timeout=3 family=ipv4"""
    for name, value in (("host", host), ("port", port)):
        if not value:
            return {"result": False, "comment": f"Required argument, {name}, is missing."}
    proto = "udp" if proto == "udp" else "tcp"
    kind = socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM
    families = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
    try:
        address = socket.getaddrinfo(_host(host), port, families.get(family, socket.AF_UNSPEC), kind)[0]
    except (OSError, UnicodeError, OverflowError):
        return {"result": False, "comment": f"Unable to resolve host {host} on {proto} port {port}"}
    where = f"{host} ({address[4][0]}) on {proto} port {port}"
    try:
        with socket.socket(*address[:3]) as channel:
            channel.settimeout(float(timeout))
            channel.connect(address[4])
            if proto == "udp":
                channel.send(os.urandom(16).hex().encode())
                channel.recv(255)
    except (OSError, ValueError, OverflowError):
        return {"result": False, "comment": f"Unable to connect to {where}"}
    return {"result": True, "comment": f"Successfully connected to {where}"}


def ping(host, timeout=False, return_boolean=False):
    """Send four ICMP echo requests to a host, with the command `ping`.

    host: its name or address.
    timeout: wait so many seconds for each answer.
    return_boolean: say only whether it answers.

    Returns what ping prints, or True or False.

    CLI Example:
        salt '*' network.ping archlinux.org
        salt '*' network.ping archlinux.org timeout=3 return_boolean=True"""
    done = _output("ping", *(["-W", str(timeout)] if timeout else []), "-c", "4", _host(host))
    if return_boolean:
        return done.returncode == 0
    return (done.stdout + done.stderr).strip()


def dig(host):
    """Ask the name servers for a name, with the command `dig`.

    Returns what dig prints.

    CLI Example: salt '*' network.dig archlinux.org"""
    done = _output("dig", _host(host))
    return (done.stdout + done.stderr).strip()


# routes


def _letters(flags: int, table: Mapping[int, str]) -> str:
    """The flags of a route as netstat writes them."""
    first = "!" if flags & REJECT else "U" if flags & UP else ""
    return first + "".join(letter for bit, letter in table.items() if flags & bit)


def _routes4() -> Iterator[dict[str, str]]:
    for line in _lines("/proc/net/route")[1:]:
        name, target, gateway, flags, _, _, _, mask, *_ = line.split()
        target, gateway, mask = (_end(f"{word}:0")[0] for word in (target, gateway, mask))
        row = {"addr_family": "inet", "destination": target, "gateway": gateway, "netmask": mask}
        yield row | {"flags": _letters(int(flags, 16), ROUTE_FLAGS), "interface": name}


def _routes6() -> Iterator[dict[str, str]]:
    for line in _lines("/proc/net/ipv6_route"):
        target, bits, _, _, gateway, _, _, _, flags, name = line.split()
        target, gateway = (str(ipaddress.ip_address(bytes.fromhex(word))) for word in (target, gateway))
        row = {"addr_family": "inet6", "destination": f"{target}/{int(bits, 16)}", "gateway": gateway, "netmask": ""}
        yield row | {"flags": _letters(int(flags, 16), ROUTE_FLAGS_6), "interface": name}


def routes(family=None):
    """The routes of this machine.

    family: `inet` or `inet6`: only of these.

    Returns [{"addr_family", "destination", "gateway", "netmask", "flags", "interface"}], as netstat has them.

    CLI Example: salt '*' network.routes inet"""
    if family not in (None, "inet", "inet6"):
        raise CommandExecutionError(f"Invalid address family {family}")
    return [*(_routes4() if family != "inet6" else ()), *(_routes6() if family != "inet" else ())]


def default_route(family=None):
    """The routes to everywhere.

    family: `inet` or `inet6`: only of these.

    Returns a list in the shape of network.routes; a route that refuses is none.

    CLI Example: salt '*' network.default_route"""
    return [each for each in routes(family) if each["destination"] in DEFAULTS and "!" not in each["flags"]]


def get_route(ip):
    """The way that a packet to an address takes.

    ip: the address.

    Returns {"destination", "gateway", "interface", "source"}; gateway is None on the same network.

    CLI Example: salt '*' network.get_route 10.10.10.10"""
    address = str(_ip(ip))
    done = _output("ip", "route", "get", address)
    words = done.stdout.split()
    if done.returncode or "dev" not in words:
        raise CommandExecutionError(f"There is no route to {address}: {done.stderr.strip() or done.stdout.strip()}")
    found = dict(zip(words, words[1:], strict=False))
    return {"destination": ip, "gateway": found.get("via"), "interface": found["dev"], "source": found.get("src")}


def _neighbours(mark: str) -> dict[str, str]:
    rows = [line.split() for line in _output("ip", "neigh", "show").stdout.splitlines()]
    return {row[4]: row[0] for row in rows if len(row) > 4 and mark in row[0]}


def ip_neighs():
    """The IPv4 neighbours of this machine (its ARP table).

    Returns {hardware address: address}.

    CLI Example: salt '*' network.ip_neighs"""
    return _neighbours(".")


def ip_neighs6():
    """The IPv6 neighbours of this machine.

    Returns {hardware address: address}.

    CLI Example: salt '*' network.ip_neighs6"""
    return _neighbours(":")


def ipneighs():
    """The same as network.ip_neighs, under its older name.

    Returns {hardware address: address}.

    CLI Example: salt '*' network.ipneighs"""
    return ip_neighs()


def ipneighs6():
    """The same as network.ip_neighs6, under its older name.

    Returns {hardware address: address}.

    CLI Example: salt '*' network.ipneighs6"""
    return ip_neighs6()


def arp():
    """The ARP table of this machine, as /proc/net/arp has it.

    Returns {hardware address: address} of those that have answered.

    CLI Example: salt '*' network.arp"""
    rows = [line.split() for line in _lines("/proc/net/arp")[1:]]
    return {row[3]: row[0] for row in rows if len(row) > 3 and row[3] != "00:00:00:00:00:00"}
