"""Viewers over a fake transport, a fake loop and a fake broadcaster.

Tests move the time and read what is written.
"""

from __future__ import annotations

from typing import Any

from statecast.http.head import RequestHead, by_name
from statecast.realtime.hub import Hub
from statecast.realtime.polling import PollingSessions
from statecast.realtime.protocol import websocket
from statecast.realtime.websocket_connection import WebSocketConnection, WebSocketEndpoint
from statecast.settings import Settings
from tests.fakes.fake_broadcaster import FakeBroadcaster
from tests.fakes.fake_loop import FakeLoop
from tests.fakes.fake_transport import FakeTransport
from tests.fakes.open_readers import open_readers

HEADERS = [
    (b"host", b"example.test"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]
TARGET = "/socket.io/?EIO=4&transport=websocket"


class Harness:
    """A hub, its loop, its broadcaster and its WebSocket endpoint."""

    def __init__(
        self,
        *,
        loop: Any = None,
        broadcaster: FakeBroadcaster | None = None,
        namespaces: tuple[str, ...] = (),
        hub: Hub | None = None,
        **settings: Any,
    ) -> None:
        """``loop``: a real one instead of a fake one. ``hub``: that of a runtime."""
        self.settings = Settings(**settings)
        self.loop = FakeLoop() if loop is None else loop
        self.broadcaster = broadcaster or FakeBroadcaster()
        self.hub = hub or Hub(
            self.broadcaster, self.settings, readers=open_readers(), namespaces=namespaces
        )
        self.hub.start(self.loop)
        self.sessions = PollingSessions(self.settings)
        self.connections: set[Any] = set()
        self.websockets = WebSocketEndpoint(
            self.hub, self.settings, self.sessions, connections=self.connections
        )

    def client(self) -> FakeClient:
        return FakeClient(self)


class FakeClient:
    """A client, and both ends of its connection."""

    def __init__(self, harness: Harness) -> None:
        self.loop = harness.loop
        self.transport = FakeTransport()
        self.endpoint = harness.websockets
        self.connection: WebSocketConnection

    def open(self, target: str = TARGET, *headers: tuple[bytes, bytes]) -> FakeClient:
        fields = by_name([*HEADERS, *headers])
        head = RequestHead.of_target("GET", target.encode(), fields, secure=False)
        self.connection = self.endpoint.accept(self.transport, head)  # type: ignore[arg-type]
        return self

    def join(self, namespace: str = "/") -> FakeClient:
        """Open, join, drop what was written meanwhile."""
        if not hasattr(self, "connection"):
            self.open()
        self.send("40" if namespace == "/" else f"40{namespace},")
        self.received()
        return self

    def send(self, message: str | bytes) -> None:
        binary = isinstance(message, bytes)
        self.send_frame(
            message if binary else message.encode(), websocket.BINARY if binary else websocket.TEXT
        )

    def send_frame(self, payload: bytes, opcode: int) -> None:
        head = websocket.frame(payload, opcode)
        size = len(head) - len(payload)
        self.connection.data_received(
            head[:1] + bytes([head[1] | 0x80]) + head[2:size] + bytes(4) + payload
        )

    def received(self) -> list[Any]:
        """What was written since the last call: texts, bytes, control frames (opcode, payload)."""
        self.endpoint.writer.end_turn()
        data, found = bytes(self.transport.written), []
        self.transport.written.clear()
        if data.startswith(b"HTTP/"):
            answer, _, data = data.partition(b"\r\n\r\n")
            found.append(int(answer.split()[1]))
            if found != [101]:
                return [*found, data]
        while data:
            opcode, size, start = data[0] & 15, data[1], 2
            if size > 125:
                start = 4 if size == 126 else 10
                size = int.from_bytes(data[2:start], "big")
            payload, data = data[start : start + size], data[start + size :]
            found.append(
                {1: payload.decode, 2: lambda body=payload: body}.get(
                    opcode, lambda o=opcode, p=payload: (o, p)
                )()
            )
        return found

    def wait_for(self, number: int) -> list[Any]:
        """Make the calls of other threads until so many messages were written."""
        found = self.received()
        while len(found) < number:
            self.loop.take_call()
            self.loop.settle()
            found += self.received()
        return found

    def closed_with(self) -> int | None:
        """The code of the close frame among what was written since the last call."""
        codes = [
            websocket.close_code(one[1])
            for one in self.received()
            if isinstance(one, tuple) and one[0] == 8
        ]
        return codes[0] if codes else None

    def lose(self) -> None:
        self.connection.connection_lost(None)
