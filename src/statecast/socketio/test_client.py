"""A client for tests: it drives the real session, hub and handlers, without a network.

The handlers run at once, on the thread of the test. What other threads emit meanwhile arrives with
``get_received``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from flask import Flask

from statecast import strict_json
from statecast.errors import Malformed, Refused
from statecast.model import Watching
from statecast.realtime.hub import Hub
from statecast.realtime.in_process import InProcessTransport, request_head
from statecast.realtime.protocol import engineio
from statecast.realtime.protocol import socketio as packets
from statecast.runtime import Runtime


class NoStates:
    """The broadcaster of the tests' viewers, who watch nothing."""

    def watch(self, viewer: Any, request: Any) -> dict[str, Any]:
        raise Refused("A test client has events, and no states.")

    def leave(self, viewer: Any) -> None: ...
    def pause(self, viewer: Any) -> None: ...
    def resume(self, viewer: Any) -> None: ...
    def on_event(self, listener: Any) -> None: ...
    def move(self, viewer: Any) -> None: ...
    def rename(self, viewer: Any) -> None: ...

    def count_room(self, namespace: str, room: str, step: int, name: str | None) -> None: ...

    def who_watches(self, device: str) -> Watching:
        return Watching(0)

    def who_is_in(self, namespace: str, room: str) -> Watching:
        return Watching(0)


class TestLoop:
    """The little of an event loop that a hub needs when handlers run at once."""

    __test__ = False  # for pytest: it is no test

    def __init__(self) -> None:
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def time(self) -> float:
        return time.monotonic()

    def call_soon(self, call: Callable[..., object], *arguments: Any) -> None:
        """Any thread."""
        self._calls.append((call, arguments))

    call_soon_threadsafe = call_soon

    def settle(self) -> None:
        """Make the calls that wait, and those that they add."""
        while self._calls:
            call, arguments = self._calls.popleft()
            call(*arguments)


class TestServer:
    """The hub of the tests' viewers, and what tests look at of python-socketio's server."""

    __test__ = False  # for pytest: it is no test

    def __init__(self, socketio: Any) -> None:
        """``socketio`` is a ``SocketIO``."""
        self._socketio = socketio
        self._errors: list[BaseException] | None = None
        """Errors of handlers during a call of a test client; None outside of one."""
        self.clients: dict[str, SocketIOTestClient] = {}

    @property
    def eio(self) -> Any:
        """Its options as attributes."""
        return type("EngineIO", (), dict(self._socketio.server_options))

    @property
    def environ(self) -> Mapping[str, Any]:
        """By ``eio_sid``: the session of the client's events."""
        return {
            eio_sid: {"saved_session": self._socketio.session_of(client.sids["/"])}
            for eio_sid, client in self.clients.items()
            if "/" in client.sids
        }

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"socketio.server is not python-socketio's server here and has no {name!r}. Use the "
            "methods of SocketIO (emit, send, call, close_room), and in handlers join_room, "
            "leave_room, rooms and disconnect.",
            name=name,
            obj=self,
        )

    def hub(self) -> Hub:
        """That of the app's test kit where it has one, else one of its own."""
        runtime: Runtime = self._socketio.runtime
        if runtime.viewers.test_hub is None:
            readers = runtime.readers(None, inline=True)
            hub = Hub(NoStates(), runtime.settings, readers=readers, inline=True)
            hub.start(cast(Any, TestLoop()))
            runtime.viewers.take_for_test(hub)
        assert runtime.viewers.test_hub is not None
        return runtime.viewers.test_hub

    def settle(self) -> None:
        """Make the calls of other threads."""
        cast(Any, self.hub().loop).settle()

    @contextmanager
    def noting_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if self._errors is not None and not isinstance(error, Refused):
                self._errors.append(error)
            raise

    @contextmanager
    def raising_errors(self) -> Iterator[None]:
        """Let the first error of a handler reach the test."""
        self._errors = []
        try:
            yield
            if self._errors:
                raise self._errors[0]
        finally:
            self._errors = None


class SocketIOTestClient:
    """One client. It is connected to one or several namespaces."""

    def __init__(
        self,
        app: Flask,
        socketio: Any,
        namespace: str | None = None,
        query_string: str | None = None,
        headers: Any = None,
        auth: Any = None,
        flask_test_client: Any = None,
    ) -> None:
        self.app = app
        self.flask_test_client = flask_test_client
        self.eio_sid = engineio.new_sid()
        self.sids: dict[str, str] = {}
        """By namespace."""
        self._server = socketio.testing
        self._viewer: Any = None
        self._received: list[dict[str, Any]] = []
        self._ack: list[Any] | None = None
        self._number = 0
        self._server.clients[self.eio_sid] = self
        self.connect(namespace, query_string, headers, auth)

    # The client

    def is_connected(self, namespace: str | None = None) -> bool:
        return (namespace or "/") in self.sids

    def connect(
        self,
        namespace: str | None = None,
        query_string: str | None = None,
        headers: Any = None,
        auth: Any = None,
    ) -> None:
        """Connect to a namespace; a handler may refuse."""
        name = namespace or "/"
        hub = self._server.hub()
        if self._viewer is None:
            query = (query_string or "").removeprefix("?")
            head = request_head(query, headers, self.flask_test_client)
            transport = InProcessTransport(self)
            self._viewer = hub.new_viewer(transport, time.monotonic(), head, "127.0.0.1")
        content = b"" if auth is None else strict_json.encode(auth)
        self._say(packets.head(packets.CONNECT, name) + content)

    def disconnect(self, namespace: str | None = None) -> None:
        """Leave a namespace."""
        name = self._connected(namespace)
        self._say(packets.head(packets.DISCONNECT, name))
        self.sids.pop(name, None)

    def emit(self, event: str, *args: Any, **options: Any) -> Any:
        """Emit an event; with ``callback=True``, what the server acknowledges with.

        Raises what the handler raises, and TypeError for values that JSON cannot carry.
        """
        name = self._connected(options.pop("namespace", None))
        number = None
        if options.pop("callback", False):
            self._number += 1
            number = self._number
        self._ack = None
        try:
            text, attachments = packets.encode(packets.EVENT, name, number, (event, *args))
        except Malformed as error:
            raise TypeError(str(error)) from None
        self._say(text, *attachments)
        ack, self._ack = self._ack, None
        return ack[0] if ack is not None and len(ack) == 1 else ack

    def send(
        self, data: Any, json: bool = False, callback: bool = False, namespace: str | None = None
    ) -> Any:
        """Emit the event ``message``, or ``json``."""
        event = "json" if json else "message"
        return self.emit(event, data, callback=callback, namespace=namespace)

    def get_received(self, namespace: str | None = None) -> list[dict[str, Any]]:
        """What the server has emitted to this client since the last call."""
        name = self._connected(namespace)
        self._server.settle()
        found = [one for one in self._received if one["namespace"] == name]
        self._received = [one for one in self._received if one["namespace"] != name]
        return found

    def _connected(self, namespace: str | None) -> str:
        if not self.is_connected(namespace):
            raise RuntimeError("not connected")
        return namespace or "/"

    def _say(self, text: bytes, *attachments: bytes) -> None:
        with self._server.raising_errors():
            self._viewer.receive(text.decode(), time.monotonic())
            for attachment in attachments:
                self._viewer.receive(attachment, time.monotonic())
            self._server.settle()

    def close(self) -> None:
        """The server ends the session."""
        self._viewer.leave("server disconnect")
        self.sids.clear()

    def take(self, packet: packets.SocketIOPacket) -> None:
        """Receive a packet."""
        name, kind = packet.namespace, packet.kind
        if kind == packets.CONNECT:
            self.sids[name] = packet.data["sid"]
        elif kind in (packets.DISCONNECT, packets.CONNECT_ERROR):
            self.sids.pop(name, None)
        elif kind in (packets.ACK, packets.BINARY_ACK):
            self._ack = packet.data
        else:
            event, *args = packet.data
            alone = event in ("message", "json") and len(args) == 1
            self._received.append(
                {"name": event, "args": args[0] if alone else args, "namespace": name}
            )
