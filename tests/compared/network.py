"""network: what is called, and what is not. See tests/functions.py."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

NETWORK = True
PRIVATE = ["/etc"]
SETUP = """
    sysctl -qw net.ipv6.conf.default.accept_dad=0
    ip link add east0 address 02:00:00:00:00:01 type veth peer name peer0 address 02:00:00:00:00:02
    ip link set east0 up
    ip link set peer0 up
    ip addr add 192.0.2.2/24 brd + dev east0
    ip addr add 192.0.2.3/24 dev east0
    ip addr add 10.1.2.3/16 dev east0 label east0:1
    ip addr add 2001:db8::2/64 dev east0 nodad
    ip route add default via 192.0.2.1
    ip route add 198.51.100.0/24 via 192.0.2.9
    ip route add 198.51.100.7/32 via 192.0.2.9
    ip -6 route add default via 2001:db8::1
    ip -6 route add 2001:db8:1::/48 via 2001:db8::9
    ip neigh add 192.0.2.66 nud incomplete dev east0
    ip neigh add 192.0.2.77 lladdr 02:00:00:00:00:77 dev east0
    ip neigh add 2001:db8::77 lladdr 02:00:00:00:00:78 dev east0
"""
opened: list[socket.socket] = []


def prepare(scratch: Path) -> None:
    """Interfaces, routes, a listener on ports 7001 and [::]:7002 and a connection to each."""
    resolver = Path("/etc/resolv.conf")
    resolver.unlink(missing_ok=True)
    resolver.write_text("nameserver 127.0.0.1\n")  # there is none, and that is said at once
    for line in SETUP.strip().splitlines():
        subprocess.run(line.split(), check=True)
    for number, host in (7001, "127.0.0.1"), (7002, "::"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, number), family=family, dualstack_ipv6=":" in host)
        opened.extend((listener, socket.create_connection(("127.0.0.1", number), 5)))
    answerer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    answerer.bind(("127.0.0.1", 7003))
    opened.append(answerer)


ADDRESSES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("network.interfaces", [], {}),
    ("network.hw_addr", ["east0"], {}),
    ("network.hw_addr", ["nothing"], {}),
    ("network.hwaddr", ["lo"], {}),
    ("network.interface", ["east0"], {}),
    ("network.interface", ["peer0"], {}),
    ("network.interface_ip", ["east0"], {}),
    ("network.interface_ip", ["peer0"], {}),
    ("network.interface_ip", ["nothing"], {}),
    ("network.ip_addrs", [], {}),
    ("network.ip_addrs", ["east*"], {"include_loopback": True}),
    ("network.ip_addrs", [], {"include_loopback": True}),
    ("network.ip_addrs", [], {"cidr": "10.0.0.0/8"}),
    ("network.ip_addrs", [], {"cidr": "nonsense"}),
    ("network.ip_addrs", [], {"type": "public"}),
    ("network.ip_addrs", [], {"type": "private", "interface": "lo,east0"}),
    ("network.ip_addrs", [["nothing"]], {}),
    ("network.ipaddrs", [], {}),
    ("network.ip_addrs6", [], {}),
    ("network.ip_addrs6", [], {"include_loopback": True}),
    ("network.ip_addrs6", [], {"cidr": "2001:db8::/32"}),
    ("network.ipaddrs6", ["east0"], {}),
    ("network.subnets", [], {}),
    ("network.subnets", ["east0"], {}),
    ("network.subnets6", [], {}),
    ("network.ip_networks", [], {}),
    ("network.ip_networks", ["east0"], {"verbose": True, "include_loopback": True}),
    ("network.ip_networks6", [], {}),
    ("network.in_subnet", ["10.1.0.0/16"], {}),
    ("network.in_subnet", ["10.2.0.0/16"], {}),
    ("network.in_subnet", ["10.2.0.1/16"], {}),
    ("network.ip_in_subnet", ["172.17.0.4", "172.16.0.0/12"], {}),
    ("network.calc_net", ["172.17.0.5", "255.255.255.240"], {}),
    ("network.calc_net", ["2001:db8::5/64"], {}),
    ("network.convert_cidr", ["172.31.0.0/16"], {}),
    ("network.convert_cidr", ["172.31.1.9/16"], {}),
    ("network.is_private", ["10.0.0.3"], {}),
    ("network.is_private", ["8.8.8.8"], {}),
    ("network.is_loopback", ["127.0.0.9"], {}),
    ("network.reverse_ip", ["172.17.0.4"], {}),
    ("network.reverse_ip", ["2001:db8::1"], {}),
    ("network.ifacestartswith", ["10."], {}),
    ("network.ifacestartswith", ["192.0"], {}),
    ("network.iphexval", ["10.0.0.1"], {}),
    ("network.get_hostname", [], {}),
    ("network.get_fqdn", [], {}),
]
CONNECTIONS: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("network.active_tcp", [], {}),
    ("network.connect", ["127.0.0.1", 7001], {}),
    ("network.connect", ["127.0.0.1", 7001], {"family": "ipv4", "timeout": 2}),
    ("network.connect", ["127.0.0.1", 7009], {}),
    ("network.connect", ["127.0.0.1", 7009], {"proto": "udp", "timeout": 1}),
    ("network.connect", ["no.such.host.invalid", 80], {}),
    ("network.connect", ["127.0.0.1"], {}),
    ("network.connect", [""], {}),
    ("network.get_route", ["198.51.100.1"], {}),
    ("network.get_route", ["192.0.2.50"], {}),
    ("network.ip_neighs", [], {}),
    ("network.ip_neighs6", [], {}),
    ("network.ipneighs", [], {}),
    ("network.ipneighs6", [], {}),
    ("network.wol", ["02-00-27-13-69-77"], {}),
    ("network.wol", ["020027136977", "192.0.2.255", 7], {}),
    ("network.wol", ["nonsense"], {}),
]
CASES = ADDRESSES + CONNECTIONS
ONLY_SALT = {
    "network.fqdns": "it asks name servers, and waits for those that are silent",
    **dict.fromkeys(("network.get_bufsize", "network.mod_bufsize"), "of ethtool, which few have"),
    "network.traceroute": "the output of traceroute, which cmd.run shows, too",
}
NOT_COMPARED = {"network.mod_hostname": "it would give the machine that this runs on another name"}
PROGRAMS: list[tuple[str, str, list[list[Any]]]] = [
    ("network.ping", "ping", [["127.0.0.1"], ["127.0.0.1", 1, True]]),
    ("network.dig", "dig", [["localhost"]]),
    ("network.arp", "arp", [[]]),
    ("network.netstat", "netstat", [[]]),
    ("network.routes", "netstat", [[], ["inet6"], ["inet5"]]),
    ("network.default_route", "netstat", [[], ["inet"]]),
]
for fun, program, cases in PROGRAMS:
    if shutil.which(program):
        CASES += [(fun, args, {}) for args in cases]
    else:
        NOT_COMPARED[fun] = f"{program} is not installed here"


def by_address(value: list[dict[str, Any]]) -> Any:
    """Sockets in an order, without the numbers of this run."""
    rows = [{key: each for key, each in row.items() if key not in ("inode", "program")} for row in value]
    for row in rows:
        for end in ("local-address", "remote-address"):
            host, _, port = row[end].rpartition(":")
            row[end] = f"{host}:{port if len(port) < 5 else 'any'}"
    return sorted(rows, key=repr)


def ends(value: dict[int, dict[str, Any]]) -> Any:
    """Connections in an order, without the ports of this run."""
    ports = ("local_port", "remote_port")
    rows = [row | {key: row[key] if row[key] < 10000 else "any" for key in ports} for row in value.values()]
    return sorted(rows, key=repr)


NORMAL = {
    "network.active_tcp": ends,
    "network.netstat": by_address,
    "network.ping": lambda value: value if isinstance(value, bool) else value.splitlines()[0],
    "network.dig": lambda value: "localhost" in value,
    "network.routes": lambda value: sorted(value, key=repr),
    "network.default_route": lambda value: sorted(value, key=repr),
}
DIFFERS = {
    "network.default_route": "a route that refuses is none",
    "network.arp": "a neighbour that has not answered is none",
    "network.wol nonsense": "an error is a sentence, and no traceback",
}
DIFFERS = {fun: how for fun, how in DIFFERS.items() if fun not in NOT_COMPARED}
