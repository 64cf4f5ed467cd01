"""Addresses, by the names of Salt 3008's salt.utils.validate.net."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any

MAC = re.compile(r"[0-9A-F]{1,2}([-:.])(?:[0-9A-F]{1,2}\1){4}[0-9A-F]{1,2}$", re.IGNORECASE)
BITS = {socket.AF_INET: 32, socket.AF_INET6: 128}


def mac(addr: str) -> bool:
    """Whether this is the address of a network card."""
    return MAC.match(addr) is not None


def _address(addr: Any, family: socket.AddressFamily) -> bool:
    """Whether this is an address, alone or with the bits of its network."""
    if not isinstance(addr, str):
        return False
    address, slash, bits = addr.rpartition("/") if "/" in addr else (addr, "", "")
    try:
        socket.inet_pton(family, address)
        return not slash or 1 <= int(bits) <= BITS[family]
    except (OSError, ValueError):
        return False


def ipv4_addr(addr: Any) -> bool:
    return _address(addr, socket.AF_INET)


def ipv6_addr(addr: Any) -> bool:
    return _address(addr, socket.AF_INET6)


def ip_addr(addr: Any) -> bool:
    return ipv4_addr(addr) or ipv6_addr(addr)


def netmask(mask: Any) -> bool:
    """Whether this is a netmask, written as an address or as a number of bits."""
    try:
        return isinstance(mask, str) and bool(ipaddress.IPv4Network(f"0.0.0.0/{mask}"))
    except ipaddress.NetmaskValueError:
        return False
