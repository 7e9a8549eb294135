"""The contracts of this room. Because of them no module here imports a module that imports it.

A session is carried by a ``SessionTransport``: a WebSocket or long polling. The hub keeps
``Connection``s. Viewers reach the broadcaster through ``BroadcasterContract``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from statecast.access.reader import Reader
from statecast.broadcast.outgoing_message import Compression, OutgoingMessage, Recipient
from statecast.broadcast.recipients import Outlet
from statecast.model import Event, Watching
from statecast.realtime.timer_wheel import TimerTarget


class SessionTransport(Protocol):
    """What carries a session's packets to its client."""

    paused: bool
    """It holds more than its bound. States wait for it to drain; events are dropped."""

    @property
    def address(self) -> str:
        """The client's, for the log."""

    @property
    def outlet(self) -> Outlet | None:
        """Through which many connections are written to together, while it takes whatever comes.

        Viewers and sockets are told when it changes: ``pause``, ``resume``, ``leave``.
        """

    @property
    def compression(self) -> Compression | None:
        """How it compresses messages; None: not at all."""

    def send(self, packet: bytes) -> None:
        """Write a text packet."""

    def send_binary(self, data: bytes) -> None:
        """Write a binary packet."""

    def offer(self, message: OutgoingMessage) -> bool:
        """Write a message unless paused; return whether it was written."""

    def deliver(self, message: OutgoingMessage) -> None:
        """Write a message of the broadcaster, which does not deliver to a paused viewer."""

    def close(self, code: int, reason: str) -> None:
        """End the session."""

    def reschedule(self) -> None:
        """A deadline of the session moved forward."""


class Connection(TimerTarget, Protocol):
    """What the hub ends when the server stops."""

    def close(self, code: int, reason: str) -> None:
        """End it politely; a reason ends up in the client's log."""

    def abort(self) -> None:
        """End it now."""


class BroadcasterContract(Protocol):
    """What viewers need of the broadcaster. All calls are made on the loop's thread."""

    def watch(self, viewer: Recipient, request: Any) -> dict[str, Any]: ...
    def leave(self, viewer: Recipient) -> None: ...
    def pause(self, viewer: Recipient) -> None: ...
    def resume(self, viewer: Recipient) -> None: ...
    def on_event(self, listener: Callable[[Event], None]) -> None: ...
    def move(self, viewer: Recipient) -> None: ...
    def rename(self, viewer: Recipient) -> None: ...
    def who_watches(self, device: str) -> Watching: ...
    def count_room(self, namespace: str, room: str, step: int, name: str | None) -> None: ...
    def who_is_in(self, namespace: str, room: str) -> Watching: ...


class SocketOwner(Recipient, Protocol):
    """The viewer to which a socket belongs, as far as rooms and namespaces need it."""

    transport: SessionTransport
    reader: Reader
    """Who it is, and what it may do."""
    handshake: Any
    """The request with which it began, where it was kept."""
    pending_bytes: int
    """Of its messages that wait for a handler or are in one."""

    def send(
        self, kind: int, namespace: str, number: int | None, arguments: tuple[Any, ...]
    ) -> None:
        """Send Python values, bytes among them as attachments. Raises Malformed."""

    def rename(self, name: str | None) -> None:
        """The application gives it another name, or none."""

    def forget(self, socket: Any, now: float) -> None:
        """The socket has left its namespace, or was refused there."""
