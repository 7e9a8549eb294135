"""A viewer's first request in one read: the short way in, and that it lets in nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving import TARGET, UPGRADE, Peer, serving

from statecast.http.hosts import Hosts
from statecast.server.first_request import WebSocketRequest, read_websocket_request
from statecast.server.server import BackgroundServer
from statecast.settings import Settings

HOST = b"Host: localhost\r\n"
LINE = b"GET " + TARGET + b" HTTP/1.1\r\n"
REQUEST = LINE + HOST + UPGRADE + b"\r\n"
CLOSE = b"\x88\x80\0\0\0\0"
SETTINGS = Settings(url_bytes=256, header_bytes=1_024, header_count=20)


def read(data: bytes) -> WebSocketRequest | None:
    return read_websocket_request(data, "/socket.io/", SETTINGS, Hosts(SETTINGS), "192.0.2.1")


@pytest.fixture(scope="module")
def server() -> Iterator[BackgroundServer]:
    with serving(url_bytes=256, header_bytes=1_024, header_count=20) as running:
        yield running


def test_a_whole_request_is_read() -> None:
    # given a request with a field in two lines, and bytes behind it
    request = read(LINE + HOST + b"X-A: 1\r\nx-a:  2\r\n" + UPGRADE + b"\r\n" + CLOSE)

    # then its head is there as everywhere else, and the bytes are the viewer's
    assert request is not None
    head = request.head
    assert (head.method, head.path, head.secure) == ("GET", "/socket.io/", False)
    assert head.query == {"EIO": "4", "transport": "websocket"}
    assert head.values(b"x-a") == (b"1", b"2")
    assert request.rest == CLOSE


OTHERS = {
    "nothing": b"",
    "half a head": REQUEST[:-2],
    "another path": REQUEST.replace(b"/socket.io/", b"/sockets/"),
    "another method": REQUEST.replace(b"GET", b"PUT", 1),
    "long polling": REQUEST.replace(b"=websocket", b"=polling").replace(UPGRADE, b""),
    "no upgrade": LINE + HOST + b"\r\n",
    "another protocol": REQUEST.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
    "not the last protocol": REQUEST.replace(
        b"Upgrade: websocket", b"Upgrade: websocket\r\nUpgrade: h2c"
    ),
    "no Connection": REQUEST.replace(b"Connection: Upgrade", b"Connection: close"),
    "HTTP/1.0": REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/2.0": REQUEST.replace(b"HTTP/1.1", b"HTTP/2.0"),
    "no Host": REQUEST.replace(HOST, b""),
    "two Hosts": REQUEST.replace(HOST, HOST * 2),
    "a foreign Host": REQUEST.replace(HOST, b"Host: evil.example\r\n"),
    "no name as Host": REQUEST.replace(HOST, b"Host: a b\r\n"),
    "a body": REQUEST.replace(HOST, HOST + b"Content-Length: 5\r\n"),
    "an empty body": REQUEST.replace(HOST, HOST + b"Content-Length: 0\r\n"),
    "a chunked body": REQUEST.replace(HOST, HOST + b"Transfer-Encoding: chunked\r\n"),
    "a folded line": REQUEST.replace(HOST, HOST + b"X: y\r\n z\r\n"),
    "a bare line feed": REQUEST.replace(b"\r\n", b"\n"),
    "a long URL": REQUEST.replace(b"EIO=4", b"EIO=4&x=" + b"a" * 256),
    "a long head": REQUEST.replace(HOST, HOST + b"X: " + b"a" * 1_024 + b"\r\n"),
    "many lines": REQUEST.replace(HOST, HOST + b"X: y\r\n" * 20),
    "an empty line before it": b"\r\n" + REQUEST,
}


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "a bare line feed"])
def test_what_is_not_exactly_that_is_read_elsewhere(name: str) -> None:
    assert read(OTHERS[name]) is None


ACCEPTED_OR_REFUSED = {
    "accepted": REQUEST,
    "a page of another origin": REQUEST.replace(HOST, HOST + b"Origin: http://evil.example\r\n"),
    "an old protocol": REQUEST.replace(b"EIO=4", b"EIO=3"),
    "an unknown session": REQUEST.replace(b"EIO=4", b"EIO=4&sid=abc"),
    "a key that is none": REQUEST.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"abc"),
    "an old WebSocket": REQUEST.replace(b"Version: 13", b"Version: 8"),
}
ALL = {name: data for name, data in (OTHERS | ACCEPTED_OR_REFUSED).items() if data}


@pytest.mark.parametrize("name", ALL)
def test_both_ways_give_the_same_answer(server: BackgroundServer, name: str) -> None:
    """A request in one read, and after an empty line, which every reader of HTTP ignores."""
    statuses = []
    for data in (ALL[name], b"\r\n" + ALL[name]):
        with Peer(server) as peer:
            peer.send(data)
            if name == "half a head":
                peer.send(b"\r\n")
            peer.send(CLOSE)
            answer = peer.read_until(b"\r\n\r\n")
            statuses.append(answer.partition(b"\r\n")[0])
    assert statuses[0] == statuses[1]
    assert statuses[0].startswith(b"HTTP/1.1 ")
