"""Addresses of peers: how they are read, and under which key they are counted."""

from __future__ import annotations

import functools
import ipaddress
from ipaddress import IPv4Address, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
MOST_READ = 256
"""Addresses remembered as read: most connections come from few, and reading one is a tenth of what a connect costs."""


@functools.lru_cache(MOST_READ)
def is_loopback(address: str) -> bool:
    parsed = parse(address)
    return parsed is None or parsed.is_loopback


def parse(address: str) -> Address | None:
    """The address, an IPv4 one in IPv6 clothes undressed; None if it is none (a socket in the file system)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


@functools.lru_cache(MOST_READ)
def key_of(address: str) -> str:
    """Under what an address is counted."""
    parsed = parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 64), strict=False))
    return address if parsed is None else str(parsed)
