"""Where to listen, and the sentences when that cannot be."""

from __future__ import annotations

import resource
import socket

import pytest

from statecast.errors import BadSetting
from statecast.server import sockets
from statecast.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "LOCALHOST"])
def test_loopback_needs_no_permission(host: str) -> None:
    sockets.refuse_public(Settings(host=host))


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.0.2.1", "pillow.example", "localhost.evil.example"]
)
def test_others_do(host: str) -> None:
    with pytest.raises(BadSetting, match="--allow-public"):
        sockets.refuse_public(Settings(host=host))
    sockets.refuse_public(Settings(host=host, allow_public=True))


def test_a_free_port_and_what_it_is_called() -> None:
    with sockets.listen(Settings(port=0)) as taken:
        port = taken.getsockname()[1]
        assert sockets.address_of(taken) == f"http://127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port)).close()
        with pytest.raises(BadSetting, match=f"Port {port} of 127.0.0.1 is taken"):
            sockets.listen(Settings(port=port))


def test_every_address_is_called_by_one_of_them() -> None:
    with sockets.listen(Settings(port=0, host="0.0.0.0")) as taken:
        assert sockets.address_of(taken).startswith("http://127.0.0.1:")


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "256.1.1.1"])
def test_an_address_that_is_not_here(host: str) -> None:
    with pytest.raises(BadSetting, match=host):
        sockets.listen(Settings(host=host, port=0))


def test_descriptors_are_raised_to_what_is_allowed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 512), before[1]))
    try:
        most = sockets.raise_descriptors()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
        assert most == before[1] - sockets.RESERVE or before[1] == resource.RLIM_INFINITY
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


OUTWARD = {socket.AF_INET: "192.168.7.5", socket.AF_INET6: "2001:db8::5"}


@pytest.mark.parametrize(
    ("host", "outward", "line"),
    [
        ("127.0.0.1", OUTWARD, ""),
        ("0.0.0.0", OUTWARD, "\nOther machines open it at http://192.168.7.5:{port}"),
        ("0.0.0.0", {socket.AF_INET: ""}, ""),
        ("0.0.0.0", {socket.AF_INET: "127.0.0.1"}, ""),
        (
            "::",
            OUTWARD,
            "\nOther machines open it at http://192.168.7.5:{port} or http://[2001:db8::5]:{port}",
        ),
        ("::", {socket.AF_INET: "192.168.7.5", socket.AF_INET6: ""},
         "\nOther machines open it at http://192.168.7.5:{port}"),
    ],
)  # fmt: skip
def test_addresses_for_other_machines_are_printed(
    monkeypatch: pytest.MonkeyPatch, host: str, outward: dict[int, str], line: str
) -> None:
    # given a socket that other machines reach, or not
    monkeypatch.setattr(sockets, "_outward", outward.__getitem__)
    printed: list[str] = []
    with sockets.listen(Settings(port=0, host=host)) as listening:
        sockets.announce(listening, printed.append)
        port = listening.getsockname()[1]
    # then what is printed can be opened there
    first, _, rest = printed[0].partition("\n")
    assert first.startswith("Statecast is live at http://") and first.endswith(f":{port}")
    assert rest == line.format(port=port).removeprefix("\n")


def test_an_address_of_this_machine_answers_at_what_is_printed() -> None:
    with sockets.listen(Settings(port=0, host="0.0.0.0")) as listening:
        for address in sockets.lan_addresses(listening):
            host, _, port = address.removeprefix("http://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
