"""Which names are ours."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from statecast.http.hosts import Hosts, name_of, own_names
from statecast.settings import Settings


@pytest.mark.parametrize(
    ("settings", "host", "own", "allowed"),
    [
        ({}, "localhost:8000", None, True),
        ({}, "LocalHost.", None, True),
        ({}, "127.0.0.1", None, True),
        ({}, "[::1]:80", None, True),
        ({}, "evil.example", None, False),
        ({}, "localhost.evil.example", None, False),
        ({}, "evil.localhost", None, False),
        ({}, "192.0.2.7", None, False),
        ({}, "192.0.2.7", "192.0.2.7", True),
        ({"host": "pillow.example"}, "pillow.example:8000", None, True),
        ({"host": "::1"}, "[::1]", None, True),
        ({"host": "0.0.0.0"}, "192.0.2.7", None, True),
        ({"host": "0.0.0.0"}, "evil.example", None, False),
        ({"host": "0.0.0.0"}, "0.0.0.0", None, True),
        ({"allow_hosts": "a.example,b.example:8443"}, "B.example", None, True),
        ({"allow_hosts": "a.example"}, "x.a.example", None, False),
        ({"allow_hosts": "*"}, "evil.example", None, True),
        ({"allow_hosts": "*"}, "not a host", None, False),
    ],
)
def test_allowed_hosts(settings: dict[str, Any], host: str, own: str | None, allowed: bool) -> None:
    assert Hosts(Settings(**settings)).allows(host, own) is allowed


@pytest.mark.parametrize(
    ("hostname", "names"),
    [
        ("raspberrypi", {"raspberrypi", "raspberrypi.local"}),
        ("Pi.Example.com", {"pi.example.com", "pi", "pi.local"}),
        ("mac.local", {"mac.local", "mac"}),
        ("0f3a9c", {"0f3a9c", "0f3a9c.local"}),
        ("", set()),
        ("no host", set()),
    ],
)
def test_the_names_of_a_machine(hostname: str, names: set[str]) -> None:
    assert own_names(hostname) == names


@pytest.mark.parametrize(
    ("host", "name", "allowed"),
    [
        ("0.0.0.0", "raspberrypi", True),
        ("::", "RaspberryPi.local:8000", True),
        ("", "raspberrypi.local.", True),
        ("0.0.0.0", "raspberrypi.evil.example", False),
        ("0.0.0.0", "local", False),
        ("0.0.0.0", "other.local", False),
        ("127.0.0.1", "raspberrypi.local", False),
        ("192.0.2.7", "raspberrypi.local", False),
    ],
)
def test_a_server_on_every_address_is_called_by_the_machines_name(
    monkeypatch: pytest.MonkeyPatch, host: str, name: str, allowed: bool
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "raspberrypi")
    assert Hosts(Settings(host=host)).allows(name) is allowed


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "a/b", "a@b", "a:b", "-a", "[::1", "[g::]", "a\0", "ä", "a,b"]
)
def test_what_names_no_host(text: str) -> None:
    assert name_of(text) is None
