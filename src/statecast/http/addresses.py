"""Addresses of peers: how they are parsed, and under which key they are counted."""

from __future__ import annotations

import functools
import ipaddress
from ipaddress import IPv4Address, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
MAX_CACHED = 256
"""Parsed addresses that are cached: most connections come from few, and parsing one costs a tenth
of a connect."""


@functools.lru_cache(MAX_CACHED)
def is_loopback(address: str) -> bool:
    parsed = parse(address)
    return parsed is None or parsed.is_loopback


def parse(address: str) -> Address | None:
    """The address, or None if it is none (a socket in the file system).

    IPv4-mapped IPv6 addresses are unwrapped.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


@functools.lru_cache(MAX_CACHED)
def key_of(address: str) -> str:
    """The key under which an address is counted: of IPv6 its /64 network."""
    parsed = parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 64), strict=False))
    return address if parsed is None else str(parsed)


def bare(entry: str) -> str:
    """An entry without brackets and port."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
