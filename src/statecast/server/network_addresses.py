"""The addresses under which other machines reach this one.

Loopback is left out, and so is what only containers and virtual machines of this machine reach:
bridges without a port in hardware, which Docker and libvirt make.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import ifaddr

from statecast.http.addresses import Address

INTERFACES = Path("/sys/class/net")
"""Linux: a folder for each network interface."""
VIRTUAL = (
    *("docker", "br-", "podman", "cni", "flannel", "veth", "cali"),  # containers
    *("virbr", "vboxnet", "vmnet", "lxcbr", "lxdbr"),  # virtual machines
)
"""How the names of interfaces begin that no other machine reaches."""
MAX_PRINTED = 6
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses of documentation (RFC 5737, RFC 3849): they stand for any other machine."""
_VERSIONS = {4: socket.AF_INET, 6: socket.AF_INET6}


def network_addresses(families: Collection[int]) -> list[str]:
    """One address of each interface and family; that of the default route comes first."""
    outward = [one for family in families if (one := outward_address(family))]
    by_preference = sorted(interface_addresses(), key=lambda one: str(one[1]) not in outward)
    chosen: dict[tuple[str, int], str] = {}
    for interface, address in by_preference:
        if _VERSIONS[address.version] in families:
            chosen.setdefault((interface, address.version), str(address))
    reached = {*chosen.values(), *filter(is_reachable, outward)}
    return sorted(reached, key=lambda one: preference(one, outward))[:MAX_PRINTED]


def preference(address: str, outward: Collection[str]) -> tuple[bool, bool, bool, str]:
    """IPv4 before IPv6, and an address that no network gave (RFC 3927) last: the key of a sort."""
    parsed = ipaddress.ip_address(address)
    return address not in outward, parsed.version == 6, parsed.is_link_local, address


def interface_addresses() -> Iterator[tuple[str, Address]]:
    """The addresses of this machine that others may reach, with the names of their interfaces."""
    try:
        adapters = list(ifaddr.get_adapters())
    except OSError:  # some systems do not tell a program
        return
    for adapter in adapters:
        for one in adapter.ips:
            text = str(one.ip if one.is_IPv4 else one.ip[0]).partition("%")[0]
            if is_reachable(text) and not is_virtual(adapter.name):
                yield adapter.name, ipaddress.ip_address(text)


def is_reachable(text: str) -> bool:
    """Whether other machines may reach an address.

    Browsers take no link-local IPv6 address: it needs the name of an interface.
    """
    address = ipaddress.ip_address(text)
    link_local = address.version == 6 and address.is_link_local
    return not (address.is_loopback or address.is_unspecified or link_local)


def is_virtual(interface: str) -> bool:
    """Whether only containers and virtual machines of this machine are behind an interface."""
    if interface.startswith(VIRTUAL):
        return True
    if not (INTERFACES / interface / "bridge").exists():
        return False
    return not any(_is_hardware(port.name) for port in _ports(interface))


def _ports(bridge: str) -> Iterable[Path]:
    ports = INTERFACES / bridge / "brif"
    return ports.iterdir() if ports.is_dir() else ()


def _is_hardware(interface: str) -> bool:
    return (INTERFACES / interface / "device").exists()


def outward_address(family: int) -> str:
    """The address from which this machine reaches others, "" without one. Nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_ELSEWHERE[socket.AddressFamily(family)], 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""
