"""What a viewer sends to Flask's development server, and what our server gets of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

from statecast.server.dev_forwarder import PATHS, DevForwarder, request_head, status_of
from statecast.server.router import Router
from statecast.settings import Settings

SETTINGS = Settings(body_bytes=1_024, write_timeout=0.1)


def environ(path: str = "/socket.io/", **options: Any) -> dict[str, Any]:
    made = EnvironBuilder(path, **options).get_environ()
    return made | {"REMOTE_ADDR": "192.0.2.7"}


def test_the_paths_are_those_that_only_our_server_answers() -> None:
    async def none(*arguments: object) -> None: ...

    router = Router(none, none, object(), none, none)  # type: ignore[arg-type]
    assert router._apps.keys() == PATHS


@pytest.mark.parametrize(
    ("options", "line", "fields"),
    [
        (
            {"query_string": "EIO=4&transport=polling"},
            "GET /socket.io/?EIO=4&transport=polling HTTP/1.1",
            {"Connection": "close"},
        ),
        (
            {"headers": {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": "http://a"}},
            "GET /socket.io/ HTTP/1.1",
            {"UPGRADE": "websocket", "Connection": "Upgrade", "ORIGIN": "http://a"},
        ),
        ({"method": "POST", "content_type": "text/plain"}, "POST /socket.io/ HTTP/1.1", {}),
        # what only a proxy may say
        (
            {
                "headers": {
                    "X-Forwarded-For": "198.51.100.1",
                    "X-Forwarded-Proto": "https",
                    "X-Forwarded-Prefix": "//evil.example",
                    "X-Forwarded-Host": "evil.example",
                    "Forwarded": "for=198.51.100.1",
                }
            },
            "GET /socket.io/ HTTP/1.1",
            {},
        ),
        # about another connection
        ({"headers": {"Transfer-Encoding": "chunked", "Expect": "100-continue"}}, "GET ", {}),
        # a device that waits; what its name decodes to starts no second line
        (
            {"path": "/api/devices/floor%202%0d%0aX-A:b/commands", "query_string": "wait=5"},
            "GET /api/devices/floor%202%0D%0AX-A%3Ab/commands?wait=5 HTTP/1.1",
            {},
        ),
        # a percent sign is no format
        ({"query_string": "a=%d%s"}, "GET /socket.io/?a=%d%s HTTP/1.1", {}),
        ({"base_url": "https://mine.example/"}, "GET ", {"X-Forwarded-Proto": "https"}),
    ],
)
def test_the_head_of_a_request(options: dict[str, Any], line: str, fields: dict[str, str]) -> None:
    first, *rest = (request_head(environ(**options)) % 5).decode().split("\r\n")
    assert first.startswith(line)
    assert rest[-2:] == ["", ""]
    passed = dict(one.split(": ", 1) for one in rest[:-2])
    assert passed.items() >= fields.items()
    assert passed["X-Forwarded-For"] == "192.0.2.7" and passed["Content-Length"] == "5"
    assert passed.keys().isdisjoint({"FORWARDED", "TRANSFER-ENCODING", "EXPECT"})
    assert not [name for name in passed if name.startswith("X-FORWARDED")]
    assert passed["X-Forwarded-Proto"] == fields.get("X-Forwarded-Proto", "http")


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n", "101 Switching Protocols"),
        (b"HTTP/1.1 200 OK\r\n", "200 OK"),
        (b"", "502 Bad Gateway"),
    ],
)
def test_the_log_has_the_status_of_our_server(first: bytes, status: str) -> None:
    assert status_of(first) == status


class Inner:
    """Stands for our server: one connection, with what it has read and shall answer."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.read = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = self._listening.getsockname()[:2]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection, suppress(ConnectionError):
            while b"\r\n\r\n" not in self.read:
                self.read += connection.recv(65_536)
            connection.sendall(self.answer)
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65_536):
                self.read += data

    def close(self) -> None:
        self._thread.join(10)
        self._listening.close()


@contextmanager
def inner(answer: bytes) -> Iterator[Inner]:
    made = Inner(answer)
    try:
        yield made
    finally:
        made.close()


def test_the_answer_reaches_the_client_as_it_is_and_the_log_has_its_status() -> None:
    with inner(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi") as server:
        # given a client, and a request with a body
        client, ours = socket.socketpair()
        forwarder = DevForwarder(lambda *call: [b"the app's"], SETTINGS)
        forwarder.begin(server.address)
        statuses: list[str] = []
        request = environ(method="POST", data=b"40") | {"werkzeug.socket": ours}
        # when it is forwarded
        with client, ours:
            parts = forwarder(request, lambda status, fields: statuses.append(status))
            # then the client has the answer and its end, and WSGI has nothing more to say
            assert client.makefile("rb").read() == server.answer
            assert (list(parts), statuses) == ([], ["200 OK"])
    assert server.read.startswith(b"POST /socket.io/ HTTP/1.1\r\n")
    assert server.read.endswith(b"Content-Length: 2\r\n\r\n40")


@pytest.mark.parametrize(
    ("answer", "passed"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", False),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", False),
    ],
)
def test_only_an_open_websocket_gets_what_a_client_says_next(answer: bytes, passed: bool) -> None:
    """A second request on the connection would name its client itself, and be believed."""
    spoofed = b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"
    listening = socket.create_server(("127.0.0.1", 0))
    client, ours = socket.socketpair()
    forwarder = DevForwarder(lambda *call: [], Settings())
    forwarder.begin(listening.getsockname()[:2])
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
    request = environ("/healthz", headers=upgrade) | {"werkzeug.socket": ours}
    thread = threading.Thread(target=lambda: list(forwarder(request, lambda *said: None)))
    thread.start()
    with listening, client, ours:
        server, _ = listening.accept()
        with server, server.makefile("rb") as read:
            while read.readline() != b"\r\n":
                pass
            # given a server that has answered and keeps the connection
            server.sendall(answer)
            assert client.recv(len(answer), socket.MSG_WAITALL) == answer
            # when the client goes on, and leaves
            client.sendall(spoofed)
            client.shutdown(socket.SHUT_WR)
            # then only a WebSocket has what it said
            assert read.read() == (spoofed if passed else b"")
        thread.join(10)
        assert not thread.is_alive()


def test_a_client_that_reads_nothing_ends_and_holds_no_thread() -> None:
    with inner(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10_000_000) as server:
        client, ours = socket.socketpair()
        forwarder = DevForwarder(lambda *call: [b"the app's"], SETTINGS)
        forwarder.begin(server.address)
        with client, ours:
            request = environ() | {"werkzeug.socket": ours}
            assert list(forwarder(request, lambda status, fields: None)) == []


@pytest.mark.parametrize(
    ("request_", "status", "begun"),
    [
        ({"path": "/mine"}, "200 OK", True),
        ({"path": "/socket.io"}, "200 OK", True),
        ({"path": "/api/devices/pillow/commands", "query_string": "after="}, "200 OK", True),
        ({"path": "/api/devices/pillow", "query_string": "wait=5"}, "200 OK", True),
        (
            {"path": "/api/devices/pillow/commands", "query_string": "after=&wait=5"},
            "503 SERVICE UNAVAILABLE",
            False,
        ),
        ({"path": "/socket.io/"}, "503 SERVICE UNAVAILABLE", False),
        # metrics are for this machine, and a proxy on it has its address
        ({"path": "/metrics", "headers": {"X-Forwarded-For": "a"}}, "403 FORBIDDEN", True),
        ({"path": "/metrics", "headers": {"X-Real-IP": "a"}}, "403 FORBIDDEN", True),
        (
            {
                "path": "/metrics",
                "headers": {"Via": "1.1 a"},
                "environ_base": {"werkzeug.proxy_fix.orig": {}},
            },
            "503 SERVICE UNAVAILABLE",
            False,
        ),
        ({"path": "/metrics"}, "503 SERVICE UNAVAILABLE", False),
        ({"method": "POST", "data": b"x" * 2_000}, "413 REQUEST ENTITY TOO LARGE", True),
    ],
)
def test_what_is_not_passed_on(request_: dict[str, Any], status: str, begun: bool) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"the app's"]

    forwarder = DevForwarder(app, SETTINGS)
    forwarder.begin(("127.0.0.1", 9) if begun else None)
    statuses: list[str] = []
    client, ours = socket.socketpair()
    with client, ours:
        request = environ(**request_) | {"werkzeug.socket": ours}
        list(forwarder(request, lambda status, fields, *more: statuses.append(status)))
    assert statuses == [status]


def test_another_server_than_flasks_gets_a_sentence() -> None:
    forwarder = DevForwarder(lambda *call: [b"the app's"], SETTINGS)
    forwarder.begin(("127.0.0.1", 9))
    statuses: list[str] = []
    body = forwarder(environ(), lambda status, *more: statuses.append(status))
    assert statuses == ["503 SERVICE UNAVAILABLE"]
    assert b"only under `flask run`" in b"".join(body)


@pytest.mark.parametrize("query", ["after=&wait=50", "after=&wait=soon"])
def test_what_our_server_leaves_to_the_app_is_the_app_s(query: str) -> None:
    """Our server serves the same app: it answers a device that may not wait, or waits wrongly."""
    forwarder = DevForwarder(lambda *call: [b"the app's"], SETTINGS)
    request = environ("/api/devices/pillow/commands", query_string=query)
    assert list(forwarder(request | {"asgi.scope": {}}, lambda *start: None)) == [b"the app's"]


@pytest.mark.parametrize(
    ("address", "headers", "named"),
    [
        ("127.0.0.1", {}, "127.0.0.1"),
        ("192.0.2.7", {}, "192.0.2.7"),
        ("192.0.2.7", {"Via": "1.1 tunnel"}, "192.0.2.7"),
        # a tunnel beside us: the address is its own
        ("127.0.0.1", {"Via": "1.1 tunnel"}, "unknown"),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, "unknown"),
        ("127.0.0.1", {"Host": "pillow.example"}, "unknown"),
    ],
)
def test_a_client_that_a_proxy_stands_for_is_unknown(
    address: str, headers: dict[str, str], named: str
) -> None:
    request = environ(headers={"Host": "localhost:5000", **headers}) | {"REMOTE_ADDR": address}
    lines = (request_head(request) % 0).decode().split("\r\n")
    assert f"X-Forwarded-For: {named}" in lines
