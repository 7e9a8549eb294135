"""A real server in this process, and raw sockets to it.

What a well-behaved client would never send.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from statecast.runtime import Runtime
from statecast.server.server import BackgroundServer
from statecast.settings import Settings

UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
TARGET = b"/socket.io/?EIO=4&transport=websocket"


def empty_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "0")])
    return []


@contextmanager
def serving(app: Callable[..., Any] = empty_app, **settings: Any) -> Iterator[BackgroundServer]:
    options = {"store": "memory:", "port": 0, "shutdown_timeout": 0.5} | settings
    server = BackgroundServer(Runtime(Settings(**options)), app)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class RawResponse:
    """One HTTP answer, and what came after it on the connection."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        head, _, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1]) if first.startswith("HTTP/1.1 ") else 0
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }

    @property
    def detail(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        problem = json.loads(self.body)
        assert problem["status"] == self.status
        return str(problem["detail"])


class Peer:
    """A connection."""

    def __init__(self, server: BackgroundServer) -> None:
        host, _, port = server.address.removeprefix("http://").rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> Peer:
        self.socket.sendall(data)
        return self

    def read_all(self) -> bytes:
        """All until the server ends the connection."""
        received = bytearray()
        while piece := self.socket.recv(65_536):
            received += piece
        return bytes(received)

    def read_until(self, end: bytes) -> bytes:
        received = bytearray()
        while end not in received:
            piece = self.socket.recv(65_536)
            assert piece, f"ended with {bytes(received)!r}"
            received += piece
        return bytes(received)


def fetch(server: BackgroundServer, request: bytes) -> RawResponse:
    """Send bytes, and take the answer of a server that ends the connection after it."""
    with Peer(server) as peer:
        return RawResponse(peer.send(request).read_all())


def get(path: bytes = b"/", more: bytes = b"", method: bytes = b"GET") -> bytes:
    """A request that ends the connection."""
    return (
        method
        + b" "
        + path
        + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        + more
        + b"\r\n"
    )
