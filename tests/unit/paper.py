"""Viewers over a transport, a loop and a broadcaster of paper: the tests move their time and read what is written."""

from __future__ import annotations

import heapq
import itertools
import queue
from collections.abc import Callable
from typing import Any

from statecast.errors import Malformed
from statecast.http.head import RequestHead
from statecast.model import Event
from statecast.realtime.hub import Hub
from statecast.realtime.protocol import websocket
from statecast.realtime.websocket_connection import Viewer, WebSocketEndpoint
from statecast.settings import Settings

HEADERS = [
    (b"host", b"example.test"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]
TARGET = "/socket.io/?EIO=4&transport=websocket"


class Piece:
    """A slice."""

    def __init__(self, name: str, payload: bytes) -> None:
        self.name = name
        self.payload = payload
        self.place = 0
        self.encodings: dict[str, bytes] = {}


class FakeBroadcaster:
    """Remembers what it was told; refuses a request that is no object."""

    def __init__(self) -> None:
        self.watching: list[Any] = []
        self.said: list[str] = []

    def watch(self, viewer: Any, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict):
            raise Malformed("“watch” takes an object.")
        if viewer not in self.watching:
            self.watching.append(viewer)
        return {"epoch": "e", "offset": 0, "reset": False}

    def leave(self, viewer: Any) -> None:
        self.said.append("leave")
        if viewer in self.watching:
            self.watching.remove(viewer)

    def pause(self, viewer: Any) -> None:
        self.said.append("pause")

    def resume(self, viewer: Any) -> None:
        self.said.append("resume")

    def on_event(self, teller: Callable[[Event], None]) -> None:
        self.teller = teller


class PaperLoop:
    """A loop whose time moves when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._numbers = itertools.count()
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self._calls: queue.Queue[tuple[Callable[..., None], tuple[Any, ...]]] = queue.Queue()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> object:
        heapq.heappush(self.timers, (when, next(self._numbers), call))
        return call

    def call_soon_threadsafe(self, call: Callable[..., None], *arguments: Any) -> None:
        self._calls.put((call, arguments))

    def take_call(self) -> None:
        """Run the next call that another thread makes."""
        call, arguments = self._calls.get(timeout=10)
        call(*arguments)

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self.timers and self.timers[0][0] <= until:
            when, _, call = heapq.heappop(self.timers)
            self.now = max(self.now, when)
            call()
        self.now = until


class PaperTransport:
    """Keeps what is written; a test sets how much of it the peer has not taken."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.held = 0
        self.calls: list[str] = []
        self.high = 0
        self.peer: tuple[str, int] | None = ("192.0.2.1", 5)

    def write(self, data: bytes) -> None:
        self.written += data

    def set_protocol(self, protocol: Any) -> None:
        self.calls.append("set_protocol")

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.held

    def get_extra_info(self, name: str) -> Any:
        return self.peer if name == "peername" else None

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.calls.append("write_eof")

    def is_closing(self) -> bool:
        return "close" in self.calls

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")


class Client:
    """A viewer and both ends of its paper connection."""

    def __init__(self, hub: Hub) -> None:
        self.transport = PaperTransport()
        self.endpoint = WebSocketEndpoint(hub, connections=set())
        self.viewer: Viewer

    def open(self, target: str = TARGET, *headers: tuple[bytes, bytes]) -> Client:
        head = RequestHead.of_target("GET", target.encode(), [*HEADERS, *headers], secure=False)
        self.viewer = self.endpoint.accept(self.transport, head)  # type: ignore[arg-type]
        return self

    def join(self, namespace: str = "/") -> Client:
        """Open, join, forget what was said meanwhile."""
        if not hasattr(self, "viewer"):
            self.open()
        self.say("40" if namespace == "/" else f"40{namespace},")
        self.heard()
        return self

    def say(self, message: str | bytes) -> None:
        binary = isinstance(message, bytes)
        self.frame(
            message if binary else message.encode(), websocket.BINARY if binary else websocket.TEXT
        )

    def frame(self, payload: bytes, opcode: int) -> None:
        head = websocket.frame(payload, opcode)
        size = len(head) - len(payload)
        self.viewer.data_received(
            head[:1] + bytes([head[1] | 0x80]) + head[2:size] + bytes(4) + payload
        )

    def heard(self) -> list[Any]:
        """What was written since the last call: texts, bytes, (opcode, payload) of control frames."""
        data, heard = bytes(self.transport.written), []
        self.transport.written.clear()
        if data.startswith(b"HTTP/"):
            answer, _, data = data.partition(b"\r\n\r\n")
            heard.append(int(answer.split()[1]))
            if heard != [101]:
                return [*heard, data]
        while data:
            opcode, size, start = data[0] & 15, data[1], 2
            if size > 125:
                start = 4 if size == 126 else 10
                size = int.from_bytes(data[2:start], "big")
            payload, data = data[start : start + size], data[start + size :]
            heard.append(
                {1: payload.decode, 2: lambda body=payload: body}.get(
                    opcode, lambda o=opcode, p=payload: (o, p)
                )()
            )
        return heard

    def closed_with(self) -> int | None:
        """The code of the close frame among what was written since the last look."""
        codes = [
            websocket.close_code(said[1])
            for said in self.heard()
            if isinstance(said, tuple) and said[0] == 8
        ]
        return codes[0] if codes else None

    def lose(self) -> None:
        self.viewer.connection_lost(None)


class Scene:
    """A hub, its loop and its broadcaster."""

    def __init__(self, **settings: Any) -> None:
        self.loop = PaperLoop()
        self.broadcaster = FakeBroadcaster()
        self.hub = Hub(self.broadcaster, Settings(**settings))
        self.hub.start(self.loop)  # type: ignore[arg-type]

    def client(self) -> Client:
        return Client(self.hub)
