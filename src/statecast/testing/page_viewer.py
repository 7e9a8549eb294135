"""What a page is, without a browser: it watches devices, gets events, emits and acknowledges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from flask.testing import FlaskClient

from statecast import names, strict_json
from statecast.errors import ConnectionRefused, Malformed
from statecast.realtime.hub import Hub
from statecast.realtime.in_process import InProcessTransport, request_head
from statecast.realtime.namespaces import ANY
from statecast.realtime.protocol import socketio as packets
from statecast.runtime import Runtime
from statecast.testing.values import VirtualClock
from statecast.timestamps import parse_time


class AppContract(Protocol):
    """What a viewer needs of the app under test."""

    runtime: Runtime

    @property
    def clock(self) -> VirtualClock: ...
    @property
    def hub(self) -> Hub: ...

    def settle(self) -> None:
        """Let everything take effect that was done so far."""

    def explain(self) -> list[str]:
        """Why a state may be missing, in sentences."""


class ShownStates(Mapping[str, dict[str, Any]]):
    """The states that a page shows, by device. A missing one says why it may be missing."""

    def __init__(self, states: dict[str, dict[str, Any]], explain: Callable[[str], str]) -> None:
        self._states = states
        self._explain = explain

    def __getitem__(self, device: str) -> dict[str, Any]:
        __tracebackhide__ = True  # pytest then shows the line of the test
        if device not in self._states:
            raise AssertionError(self._explain(device))
        return self._states[device]

    def __contains__(self, device: object) -> bool:
        return device in self._states

    def get(self, device: str, default: Any = None) -> Any:
        return self._states.get(device, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def __eq__(self, other: object) -> bool:
        return self._states == (dict(other) if isinstance(other, Mapping) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._states)


class PageViewer:
    """A viewer of one namespace. Whatever is read from it, everything done before has arrived."""

    def __init__(
        self,
        app: AppContract,
        patterns: tuple[str, ...],
        namespace: str,
        client: FlaskClient | None,
        auth: Any,
        query: str,
        headers: Any,
    ) -> None:
        self.namespace = namespace
        self.sid: str | None = None
        """What handlers know it by; None while it is not connected."""
        self.returns = False
        """It was connected and has not left of itself, so that it comes back after a restart."""
        self._app = app
        self._patterns = patterns
        self._request = (query, headers, client, auth)
        self._items: dict[str, dict[str, Any]] = {}
        self._position: dict[str, Any] | None = None
        self._health: dict[str, Any] = {}
        self._events: list[tuple[Any, ...]] = []
        self._answers: dict[str, Callable[..., Any]] = {}
        self._acknowledged: dict[int, Any] = {}
        self._number = 0
        self._refused: packets.SocketIOPacket | None = None
        self._viewer: Any = None

    # Connection

    @property
    def connected(self) -> bool:
        return self.sid is not None

    def connect(self) -> None:
        """Connect, or come back: a page that returns asks for what it has missed.

        Raises ConnectionRefused.
        """
        query, headers, client, auth = self._request
        head = request_head(query, headers, client)
        self._viewer = self._app.hub.new_viewer(
            InProcessTransport(self), self._now(), head, "127.0.0.1"
        )
        self._refused = None
        content = b"" if auth is None else strict_json.encode(auth)
        self._say(packets.head(packets.CONNECT, self.namespace) + content)
        if self._refused is not None:
            data = self._refused.data
            raise ConnectionRefused(data["message"], data.get("data"))
        self.returns = True
        if self.namespace == "/":
            self.watch(*self._patterns)

    def disconnect(self) -> None:
        """Leave, as by closing the page."""
        self.returns = False
        if self.connected:
            self._say(packets.head(packets.DISCONNECT, self.namespace))
        self.cut("client disconnect")

    def cut(self, reason: str = "transport close") -> None:
        """Break the connection; ``connect`` comes back."""
        if self._viewer is not None:
            self._viewer.leave(reason)
        self._viewer = self.sid = None
        self._app.settle()

    # States

    def watch(self, *patterns: str) -> None:
        """Watch other devices from now on: names, or patterns like ``floor/*``."""
        self._patterns = patterns
        request: dict[str, Any] = {"devices": list(patterns), "health": True}
        if self._position is not None:
            request["since"] = self._position
        answer = self._emit("watch", request)
        if "error" in answer:
            raise AssertionError(f"The server does not let it watch {patterns}: {answer['error']}")
        self._items = {
            device: item
            for device, item in self._items.items()
            if names.match_any(patterns, device)
        }

    @property
    def states(self) -> ShownStates:
        """What the page shows now: the state of each device that it watches."""
        self._app.settle()
        shown = {device: item["state"] for device, item in self._items.items()}
        return ShownStates(shown, self._explain)

    @property
    def details(self) -> Mapping[str, dict[str, Any]]:
        """The same with version, ``changed_at``, ``seen_at`` and ``cause``, as on the wire."""
        self._app.settle()
        return dict(self._items)

    @property
    def silent(self) -> set[str]:
        """The devices that have been silent for longer than their deadline."""
        return {
            device
            for device, item in self.details.items()
            if item["silent_after"] is not None
            and item["seen_at"] is not None
            and self._app.clock() - parse_time(item["seen_at"]) > item["silent_after"] * 1000
        }

    @property
    def health(self) -> dict[str, Any]:
        """What the server says of its sources."""
        self._app.settle()
        return self._health

    def _explain(self, device: str) -> str:
        if self.namespace != "/":
            return f"A viewer of {self.namespace} has events, and no states; those come in “/”."
        lines = [f"The page shows no device {device!r}."]
        if not self.connected:
            lines.append("It is not connected.")
        if not names.match_any(self._patterns, device):
            lines.append(f"It watches {', '.join(self._patterns)}.")
        elif self._items:
            lines.append(f"It shows: {', '.join(sorted(self._items))}.")
        else:
            lines.append("No device has a state yet.")
        return "\n".join([*lines, *self._app.explain()])

    # Events

    @property
    def events(self) -> list[tuple[Any, ...]]:
        """The application's events so far, as (name, data ...); ``events.clear()`` empties it."""
        self._app.settle()
        return self._events

    def emit(self, event: str, *data: Any) -> Any:
        """Send an event to the app's handler, and return what that acknowledges.

        None, a value, or a tuple of several; a refusal is ``{"error": sentence}``. Raises what the
        handler raises.
        """
        self._check_handler(event)
        return self._emit(event, *data)

    def on(self, event: str, answer: Callable[..., Any]) -> None:
        """Acknowledge this event with what ``answer(data ...)`` returns."""
        self._answers[event] = answer

    def _check_handler(self, event: str) -> None:
        handlers = self._app.runtime.viewers.handlers
        known = {name for name, _, space in handlers if space in (self.namespace, ANY)}
        if event not in known and ANY not in known:
            there = ", ".join(sorted(known - {"connect", "disconnect"})) or "none"
            raise AssertionError(
                f"The app has no handler of {event!r} in {self.namespace}; there are: {there}."
            )

    def _emit(self, event: str, *data: Any) -> Any:
        if not self.connected:
            raise AssertionError("This viewer is not connected: viewer.connect() connects it.")
        self._number += 1
        try:
            text, attachments = packets.encode(
                packets.EVENT, self.namespace, self._number, (event, *data)
            )
        except Malformed as error:
            raise TypeError(str(error)) from None
        self._say(text, *attachments)
        return self._acknowledged.pop(self._number, None)

    # The wire

    def _now(self) -> float:
        return self._app.clock.running / 1000

    def _say(self, text: bytes, *attachments: bytes) -> None:
        self._receive(text, attachments)
        self._app.settle()

    def _receive(self, text: bytes, attachments: Sequence[bytes]) -> None:
        """Let the server receive; where it would close the connection, say why."""
        try:
            self._viewer.receive(text.decode(), self._now())
            for attachment in attachments:
                self._viewer.receive(attachment, self._now())
        except Malformed as error:
            self.close()
            raise AssertionError(f"The server closed the connection: {error}") from None

    def close(self) -> None:
        """The server ends the session."""
        self.returns = False
        self.cut("server disconnect")

    def take(self, packet: packets.SocketIOPacket) -> None:
        """Receive a packet."""
        kind, data = packet.kind, packet.data
        if kind == packets.CONNECT:
            self.sid = data["sid"]
        elif kind == packets.CONNECT_ERROR:
            self._refused = packet
        elif kind == packets.DISCONNECT:
            self.sid, self.returns = None, False
        elif kind in (packets.ACK, packets.BINARY_ACK):
            values = packet.data
            self._acknowledged[packet.id or 0] = (
                tuple(values) if len(values) > 1 else values[0] if values else None
            )
        elif self.namespace == "/" and data[0] in TAKEN:
            TAKEN[data[0]](self, data[1])
        else:
            self._take_event(packet.id, *data)

    def _take_event(self, number: int | None, event: str, *data: Any) -> None:
        self._events.append((event, *data))
        if number is None or event not in self._answers:
            return
        answer = self._answers[event](*data)
        values = answer if isinstance(answer, tuple) else (answer,)
        text, attachments = packets.encode(packets.ACK, self.namespace, number, values)
        self._receive(text, attachments)

    def _take_states(self, payload: dict[str, Any]) -> None:
        if payload.get("reset"):
            self._items.clear()
        for item in payload["states"]:
            if item["state"] is None:  # removed, or it may no longer be read
                self._items.pop(item["device"], None)
            else:
                self._items[item["device"]] = item
        self._position = {member: payload[member] for member in ("epoch", "offset", "scope")}

    def _take_seen(self, times: dict[str, str]) -> None:
        for device, seen_at in times.items():
            if device in self._items:
                self._items[device]["seen_at"] = seen_at

    def _take_health(self, health: dict[str, Any]) -> None:
        self._health = health


TAKEN: dict[str, Callable[[PageViewer, Any], None]] = {
    "states": PageViewer._take_states,
    "seen": PageViewer._take_seen,
    "health": PageViewer._take_health,
}
