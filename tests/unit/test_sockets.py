"""Where to listen, and the sentences when that cannot be."""

from __future__ import annotations

import asyncio
import resource
import socket

import pytest

from statecast.errors import BadSetting
from statecast.program import qr_code
from statecast.server import network_addresses, sockets
from statecast.settings import Settings


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


def test_a_loop_that_takes_all_that_wait_needs_one_socket() -> None:
    loop = asyncio.new_event_loop()
    with sockets.listen(Settings(port=0)) as listening:
        assert sockets.accepting([listening], loop) == [listening]
    loop.close()


def test_descriptors_are_raised_to_what_is_allowed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 512), before[1]))
    try:
        most = sockets.raise_descriptors()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
        assert most == before[1] - sockets.RESERVE or before[1] == resource.RLIM_INFINITY
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


ADDRESSES = {socket.AF_INET: "192.168.7.5", socket.AF_INET6: "2001:db8::5"}
COMMAND = "\nThey may read every state and ask something of a device (setting others_may)."
SIGN_IN = "for people who sign in there, and for keys, tokens and share links."


@pytest.mark.parametrize(
    ("host", "found", "rest"),
    [
        ("127.0.0.1", ADDRESSES, ""),
        ("::1", ADDRESSES, ""),
        ("0.0.0.0", ADDRESSES, f"\nOther machines open it at http://192.168.7.5:{{port}}{COMMAND}"),
        ("0.0.0.0", {}, ""),
        (
            "::",
            ADDRESSES,
            "\nOther machines open it at http://192.168.7.5:{port} or http://[2001:db8::5]:{port}"
            + COMMAND,
        ),
        ("::", {socket.AF_INET: "192.168.7.5"},
         f"\nOther machines open it at http://192.168.7.5:{{port}}{COMMAND}"),
    ],
)  # fmt: skip
def test_addresses_for_other_machines_are_printed(
    monkeypatch: pytest.MonkeyPatch, host: str, found: dict[int, str], rest: str
) -> None:
    # given a socket that other machines reach, or not
    monkeypatch.setattr(
        network_addresses,
        "network_addresses",
        lambda families: [found[family] for family in families if family in found],
    )
    printed: list[str] = []
    settings = Settings(port=0, host=host, allow_public=True)
    with sockets.listen(settings) as listening:
        sockets.announce(listening, printed.append, settings)
        port = listening.getsockname()[1]
    # then what is printed can be opened there
    first, _, others = printed[0].partition("\n")
    assert first.startswith("Statecast is live at http://") and first.endswith(f":{port}")
    assert others == rest.format(port=port).removeprefix("\n")


def test_a_socket_for_ipv6_alone_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        network_addresses,
        "network_addresses",
        lambda families: [ADDRESSES[one] for one in families],
    )
    with socket.socket(socket.AF_INET6) as listening:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(("::", 0))
        port = listening.getsockname()[1]
        assert sockets.address_of(listening) == f"http://[::1]:{port}"
        assert sockets.lan_addresses(listening) == [f"http://[2001:db8::5]:{port}"]


@pytest.mark.parametrize(("setting", "shown"), [(True, True), (False, False)])
def test_a_terminal_gets_a_code_of_the_first_address(
    monkeypatch: pytest.MonkeyPatch, setting: bool, shown: bool
) -> None:
    monkeypatch.setattr(
        network_addresses, "network_addresses", lambda families: ["192.0.2.1", "192.0.2.2"]
    )
    monkeypatch.setattr(qr_code, "qr_code", lambda text, stream: f"<code of {text}>")
    printed: list[str] = []
    settings = Settings(port=0, host="0.0.0.0", qr_code=setting)
    with sockets.listen(settings) as listening:
        sockets.announce(listening, printed.append, settings)
        port = listening.getsockname()[1]
    assert (f"<code of http://192.0.2.1:{port}>" in printed[0].splitlines()) == shown


def test_with_tls_every_address_is_one_of_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_addresses, "network_addresses", lambda families: ["192.0.2.1"])
    monkeypatch.setattr(qr_code, "qr_code", lambda text, stream: f"<code of {text}>")
    printed: list[str] = []
    settings = Settings(port=0, host="0.0.0.0", tls_cert="a.pem", tls_key="k.pem")
    with sockets.listen(settings) as listening:
        sockets.announce(listening, printed.append, settings)
        port = listening.getsockname()[1]
    assert "http://" not in printed[0]
    for address in (f"https://127.0.0.1:{port}", f"<code of https://192.0.2.1:{port}>"):
        assert address in printed[0]


def test_an_address_of_this_machine_answers_at_what_is_printed() -> None:
    with sockets.listen(Settings(port=0, host="0.0.0.0")) as listening:
        for address in sockets.lan_addresses(listening):
            host, _, port = address.removeprefix("http://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(allow_public=True), COMMAND.strip()),
        (
            Settings(allow_public=True, others_may=()),
            "They may read every state (setting others_may).",
        ),
        (Settings(), f"It is {SIGN_IN}"),
        (
            Settings(public_read=("hall", "smith/*")),
            f"They may see hall, smith/* (setting public_read); more is {SIGN_IN}",
        ),
    ],
)
def test_what_others_may_is_printed_below_their_address(settings: Settings, expected: str) -> None:
    assert sockets.of_others(settings) == expected
