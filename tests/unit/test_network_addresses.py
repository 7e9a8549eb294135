"""Under which addresses others reach this machine."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from statecast.server import network_addresses as module

BOTH = (socket.AF_INET, socket.AF_INET6)
ETHERNET = ("eth0", ["192.168.7.5", "2001:db8::5", "fe80::1%eth0"])
LOOPBACK = ("lo", ["127.0.0.1", "::1"])


def adapter(name: str, addresses: list[str]) -> Any:
    ips = [
        SimpleNamespace(ip=(text, 0, 0) if ":" in text else text, is_IPv4=":" not in text)
        for text in addresses
    ]
    return SimpleNamespace(name=name, ips=ips)


@pytest.fixture
def interfaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /sys/class/net."""
    monkeypatch.setattr(module, "INTERFACES", tmp_path)
    return tmp_path


CASES: dict[str, tuple[list[tuple[str, list[str]]], list[str], list[str]]] = {
    # interfaces, addresses of the default routes, what is printed
    "nothing but loopback": ([LOOPBACK], [], []),
    "one network": ([LOOPBACK, ETHERNET], ["192.168.7.5"], ["192.168.7.5", "2001:db8::5"]),
    "without a default route": ([ETHERNET], [], ["192.168.7.5", "2001:db8::5"]),
    "the default route first": (
        [("eth0", ["10.0.0.5"]), ("wlan0", ["192.168.7.5"])],
        ["192.168.7.5"],
        ["192.168.7.5", "10.0.0.5"],
    ),
    "one of each interface, that of the default route": (
        [("eth0", ["10.0.0.5", "10.0.0.6", "fd00::1", "2001:db8::7"])],
        ["10.0.0.6", "2001:db8::7"],
        ["10.0.0.6", "2001:db8::7"],
    ),
    "the same address in two places": (
        [("eth0", ["10.0.0.5"]), ("wlan0", ["10.0.0.5"])],
        ["10.0.0.5"],
        ["10.0.0.5"],
    ),
    "an address that no network gave comes last": (
        [("usb0", ["169.254.3.4", "fd00::1"])],
        [],
        ["169.254.3.4", "fd00::1"],
    ),
    "link-local IPv6 alone": ([("eth0", ["fe80::1"])], [], []),
    "a tunnel of a private network": (
        [ETHERNET, ("wg0", ["10.8.0.2"])],
        ["192.168.7.5"],
        ["192.168.7.5", "10.8.0.2", "2001:db8::5"],
    ),
    "containers and virtual machines": (
        [
            ETHERNET,
            ("docker0", ["172.17.0.1"]),
            ("br-2f8c1", ["172.18.0.1"]),
            ("virbr0", ["192.168.122.1"]),
            ("vethf1@if3", ["172.19.0.1"]),
            ("vboxnet0", ["192.168.56.1"]),
        ],
        ["192.168.7.5"],
        ["192.168.7.5", "2001:db8::5"],
    ),
    "a default route without an interface of its own": (
        [LOOPBACK],
        ["192.168.7.5"],
        ["192.168.7.5"],
    ),
    "a default route to loopback": ([LOOPBACK], ["127.0.0.1"], []),
}


@pytest.mark.parametrize("name", CASES)
def test_which_addresses_are_printed(
    interfaces: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    adapters, outward, expected = CASES[name]
    routes = {ipaddress.ip_address(one).version: one for one in outward}
    versions = {socket.AF_INET: 4, socket.AF_INET6: 6}
    monkeypatch.setattr(module.ifaddr, "get_adapters", lambda: [adapter(*one) for one in adapters])
    monkeypatch.setattr(module, "outward_address", lambda one: routes.get(versions[one], ""))
    assert module.network_addresses(BOTH) == expected
    fours = [one for one in expected if ":" not in one]
    assert module.network_addresses([socket.AF_INET]) == fours


def test_not_more_than_a_few(interfaces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [adapter(f"eth{number}", [f"10.0.0.{number}"]) for number in range(1, 40)]
    monkeypatch.setattr(module.ifaddr, "get_adapters", lambda: many)
    monkeypatch.setattr(module, "outward_address", lambda family: "")
    assert len(module.network_addresses(BOTH)) == module.MAX_PRINTED


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.ifaddr, "get_adapters", refuse)
    monkeypatch.setattr(module, "outward_address", lambda family: "192.168.7.5")
    assert module.network_addresses([socket.AF_INET]) == ["192.168.7.5"]


@pytest.mark.parametrize(
    ("ports", "hardware", "virtual"),
    [([], [], True), (["veth1"], [], True), (["eth0", "tap0"], ["eth0"], False)],
)
def test_a_bridge_without_hardware_is_virtual(
    interfaces: Path, ports: list[str], hardware: list[str], virtual: bool
) -> None:
    for port in ports:
        (interfaces / "bridge7" / "brif" / port).mkdir(parents=True)
        (interfaces / port).mkdir()
    (interfaces / "bridge7" / "bridge").mkdir(parents=True)
    for port in hardware:
        (interfaces / port / "device").mkdir()
    assert module.is_virtual("bridge7") == virtual


def test_what_is_no_bridge_is_not_virtual(interfaces: Path) -> None:
    (interfaces / "eth0").mkdir()
    assert not module.is_virtual("eth0") and not module.is_virtual("en0")


def test_the_addresses_of_this_machine_can_be_bound() -> None:
    """On the real system: each address is one of this machine, and loopback is none of them."""
    for address in module.network_addresses(BOTH):
        assert not ipaddress.ip_address(address).is_loopback
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as one:
            one.bind((address, 0))
