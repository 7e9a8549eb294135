"""A refused client is one line in the log: what it asked, what is allowed, and the setting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving import TARGET, UPGRADE, fetch, get, serving

from statecast.server.server import BackgroundServer

POLLING = TARGET.replace(b"websocket", b"polling")
EVIL = b"Origin: http://evil.example\r\n"
OLD = b"EIO=4", b"EIO=3"

CASES = {
    "origin, WebSocket": (
        b"GET " + TARGET + b" HTTP/1.1\r\nHost: localhost\r\n" + EVIL + UPGRADE + b"\r\n",
        403,
        ["“http://evil.example”", "“localhost”", "allow_origins (https://app.example)"],
    ),
    "origin, polling": (
        get(POLLING, EVIL),
        403,
        ["“http://evil.example”", "“localhost”", "allow_origins (https://app.example)"],
    ),
    "origin, events": (
        get(b"/events?device=*", EVIL),
        403,
        ["“http://evil.example”", "“localhost”", "allow_origins (https://app.example)"],
    ),
    "host": (
        get(b"/").replace(b"localhost", b"evil.example"),
        421,
        ["evil.example", "allow_hosts"],
    ),
    "protocol, WebSocket": (
        b"GET " + TARGET.replace(*OLD) + b" HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + b"\r\n",
        400,
        ["Engine.IO 3", "socket.io-client 3 or later"],
    ),
    "protocol, polling": (
        get(POLLING.replace(*OLD)),
        400,
        ["Engine.IO 3", "socket.io-client 3 or later"],
    ),
}


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    with serving(allow_origins=["https://app.example"]) as running:
        yield running


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_is_one_line(
    server: BackgroundServer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    # given a client that may not connect
    request, status, words = CASES[name]
    answer = fetch(server, request)

    # then the answer has its status, and the log one line with all that explains it
    assert answer.status == status
    lines = [one.getMessage() for one in caplog.records if "viewer 127.0.0.1" in one.getMessage()]
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]

    # and a client of an old protocol reads in the answer what to do
    if name.startswith("protocol"):
        assert b"use socket.io-client 3 or later" in answer.data
