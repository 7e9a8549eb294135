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


def says_nothing(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "0")])
    return []


@contextmanager
def serving(app: Callable[..., Any] = says_nothing, **settings: Any) -> Iterator[BackgroundServer]:
    options = {"store": "memory:", "port": 0, "shutdown_timeout": 0.5} | settings
    server = BackgroundServer(Runtime(Settings(**options)), app)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Answer:
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

    def say(self, data: bytes) -> Peer:
        self.socket.sendall(data)
        return self

    def hear(self) -> bytes:
        """All until the server ends the connection."""
        heard = bytearray()
        while piece := self.socket.recv(65_536):
            heard += piece
        return bytes(heard)

    def hear_until(self, end: bytes) -> bytes:
        heard = bytearray()
        while end not in heard:
            piece = self.socket.recv(65_536)
            assert piece, f"ended with {bytes(heard)!r}"
            heard += piece
        return bytes(heard)


def ask(server: BackgroundServer, request: bytes) -> Answer:
    """Send bytes, and take the answer of a server that ends the connection after it."""
    with Peer(server) as peer:
        return Answer(peer.say(request).hear())


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
