"""Salt's filters of addresses and networks; none of them asks a network."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable
from typing import Any

from saltlite import Failure, packed_leaf

MAX_HOSTS: int = packed_leaf("pillars", "sandbox").MAX_ITEMS
KINDS = {  # what an option asks of an address
    "global": "is_global",
    "public": "is_global",
    "link-local": "is_link_local",
    "linklocal": "is_link_local",
    "link_local": "is_link_local",
    "ll": "is_link_local",
    "loopback": "is_loopback",
    "lo": "is_loopback",
    "multicast": "is_multicast",
    "private": "is_private",
    "reserved": "is_reserved",
    "site-local": "is_site_local",
    "site_local": "is_site_local",
    "sl": "is_site_local",
    "unspecified": "is_unspecified",
}


def address(value: Any, version: int, options: str | None = None) -> str | None:
    """An address, or one with its network, as a text; None if it is none of this version, or not as the options say."""
    try:
        found: Any = ipaddress.ip_address(value)
    except ValueError:
        try:
            found = ipaddress.ip_interface(value)
        except ValueError:
            return None
    if found.version != version:
        return None
    wanted = [option.strip() for option in (options or "").split(",")]
    return str(found) if all(getattr(found, KINDS[each], False) for each in wanted if each in KINDS) else None


def of_version(version: int, value: Any, options: str | None = None) -> Any:
    """The filters `ipv4` and `ipv6`: the value if it is such an address, or those of a list."""
    if isinstance(value, str | bytes):
        return address(value, version, options)
    if not isinstance(value, list | tuple):
        return None
    return [found for each in value if (found := address(each, version, options)) is not None]


def ipaddr(value: Any, options: str | None = None) -> Any:
    four, six = of_version(4, value, options), of_version(6, value, options)
    return four or six if four is None or six is None else four + six


def is_ip(versions: tuple[int, ...], value: Any, options: str | None = None) -> bool:
    return any(address(value, version, options) is not None for version in versions)


def each_of(make: Callable[[str], Any], value: Any, options: str | None = None, version: int | None = None) -> Any:
    """What is made of an address, or of each in a list; None where there is none."""
    found = ipaddr(value, options) if not version else of_version(version, value, options)
    if not found:
        return None
    made = [make(each) for each in (found if isinstance(found, list) else [found])]
    return made if isinstance(value, list | tuple) else made[0]


def hosts(value: str) -> list[str]:
    network = ipaddress.ip_network(value, strict=False)
    if network.num_addresses > MAX_HOSTS:
        raise Failure(f"network_hosts: {value} has more than {MAX_HOSTS:,} hosts.")
    return [str(host) for host in network.hosts()]


def size(value: str) -> int:
    return ipaddress.ip_network(value, strict=False).num_addresses


def in_networks(values: Any, networks: Any) -> Any:
    """The addresses, in a list or in a map of lists, that lie in one of the networks; all if these are none."""
    if networks is None:
        return values
    nets = [ipaddress.ip_network(network) for network in networks]

    def inside(addresses: Any) -> list[Any]:
        return [each for each in addresses for net in nets if ipaddress.ip_address(each) in net]

    if isinstance(values, dict):
        return {name: inside(addresses) for name, addresses in values.items()}
    if isinstance(values, list | tuple | str):
        return inside(values)
    raise Failure(f"filter_by_networks takes a list or a map, not a {type(values).__name__}.")


def ipwrap(value: Any) -> Any:
    """IPv6 addresses in brackets, as they stand before a port; all else as it is."""
    if isinstance(value, list | tuple):
        return [ipwrap(each) for each in value]
    if address(value, 6) is None:
        return value
    return f"[{ipaddress.ip_address(str(value).strip('[]'))}]"


FILTERS = {
    "ipv4": functools.partial(of_version, 4),
    "ipv6": functools.partial(of_version, 6),
    "ipaddr": ipaddr,
    "is_ip": functools.partial(is_ip, (4, 6)),
    "is_ipv4": functools.partial(is_ip, (4,)),
    "is_ipv6": functools.partial(is_ip, (6,)),
    "ip_host": functools.partial(each_of, lambda found: str(ipaddress.ip_interface(found))),
    "network_hosts": functools.partial(each_of, hosts),
    "network_size": functools.partial(each_of, size),
    "filter_by_networks": in_networks,
    "ipwrap": ipwrap,
}
