"""A connected client: its session, what carries it, and what its session's events are to do.

The viewer stays the same when its session moves from long polling to a WebSocket.
"""

from __future__ import annotations

from typing import Any

from statecast.access.reader import READS_EVERYTHING
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.errors import Malformed, Refused
from statecast.http.head import RequestHead
from statecast.realtime.interfaces import BroadcasterContract, SessionTransport
from statecast.realtime.namespaces import Namespaces
from statecast.realtime.protocol import engineio, socketio
from statecast.realtime.rooms import Socket
from statecast.realtime.session import (
    Acknowledged,
    EventReceived,
    NamespaceLeft,
    NamespaceRequested,
    Session,
    SessionClosed,
    SessionEvent,
)

TOO_FAST = (
    "more messages come than viewer_rate_limit allows, so they are read at that rate; none is lost"
)
"""For the log, when a client is held up."""
TOO_FAST_ALL = "more messages than viewer_rate_limit allows, from too many viewers at once"
"""Why a client is closed when those that are held up hold too much."""


class Handshake:
    """The request with which a session began, and the address of its client."""

    __slots__ = ("_packed", "address", "session")

    def __init__(self, head: RequestHead, address: str) -> None:
        self._packed = head.packed()
        """Kept as long as the viewer is there, and seldom asked for."""
        self.address = address
        self.session: Any = None
        """What the application keeps for this connection."""

    @property
    def head(self) -> RequestHead:
        return RequestHead.of_packed(self._packed)


class Viewer:
    """Acts on the events of one session. It is also what watches at the broadcaster."""

    __slots__ = (
        "_broadcaster",
        "_namespaces",
        "handshake",
        "name",
        "pending_bytes",
        "reader",
        "session",
        "transport",
    )

    def __init__(
        self,
        session: Session,
        transport: SessionTransport,
        namespaces: Namespaces,
        broadcaster: BroadcasterContract,
        handshake: Handshake | None = None,
    ) -> None:
        """``handshake`` is kept only where the application asks for it."""
        self.handshake = handshake
        self.name: str | None = None
        """What the application calls it, to others who watch the same."""
        self.reader = READS_EVERYTHING
        """Who it is, and what it may see."""
        self.session = session
        self.transport = transport
        self._namespaces = namespaces
        self._broadcaster = broadcaster
        self.pending_bytes = 0
        """Of its messages that wait for a handler or are in one."""

    # From the transport

    def receive(self, message: str | bytes, now: float) -> None:
        """Take one message of a WebSocket. Raises Malformed or TooLarge."""
        self._handle(self.session.receive(message, now), now)

    def receive_packet(self, packet: engineio.EngineIOPacket, now: float) -> None:
        """Take one packet of a POST. Raises Malformed or TooLarge."""
        self._handle(self.session.receive_packet(packet, now), now)

    def on_timeout(self, now: float) -> None:
        """Send or end what is due."""
        due = self.session.on_timeout(now)
        if isinstance(due, SessionClosed):
            self.transport.close(*due)
        elif due is not None:
            self.transport.send(due)

    def pause(self) -> None:
        """The transport holds more than its bound."""
        self._broadcaster.pause(self)

    def resume(self) -> None:
        """The transport has drained."""
        self._broadcaster.resume(self)

    def leave(self, reason: str) -> None:
        """The session is over: leave every namespace."""
        for socket in tuple(self.session.sockets()):
            self._namespaces.disconnect(socket, reason)

    def _handle(self, event: SessionEvent | None, now: float) -> None:
        if isinstance(event, EventReceived):
            if event.name == "watch" and event.socket.namespace.name == "/":
                self.session.charge_watch(pattern_count(event.arguments), now)
                self._watch(event.number, event.arguments, now)
            else:
                self._namespaces.dispatch(event)
        elif isinstance(event, NamespaceRequested):
            self._join(event)
        elif isinstance(event, Acknowledged):
            event.socket.acknowledge(event.number, event.arguments)
        elif isinstance(event, NamespaceLeft):
            self._namespaces.disconnect(event.socket, "client namespace disconnect")
        elif event is None:
            self.transport.reschedule()  # a pong moves the deadline
        else:
            self.transport.close(*event)

    # What its events are to do

    def _watch(self, number: int | None, arguments: list[Any], now: float) -> None:
        try:
            if len(arguments) != 1:
                raise Malformed("“watch” takes one argument, an object.")
            answer = self._broadcaster.watch(self, arguments[0])
        except Refused as refusal:
            answer = {"error": str(refusal)}
        else:
            # Who sees how many watch shall not see those who have vanished.
            self.session.ping_often(arguments[0].get("presence", False), now)
            self.transport.reschedule()
        if self.transport.paused:
            self._broadcaster.pause(self)
        if number is not None:
            self.transport.send(socketio.encode(socketio.ACK, "/", number, [answer])[0])

    def _join(self, request: NamespaceRequested) -> None:
        if self.session.is_in_too_many:
            sentence = "This connection is in too many namespaces."
            self.transport.send(socketio.refused(request.namespace, sentence))
            return
        namespace = self._namespaces.join(request.namespace)
        if namespace is None:
            self.transport.send(socketio.refused(request.namespace, "Invalid namespace"))
            return
        socket = Socket(self, namespace, socketio.new_sid())
        self.session.add(socket)
        self._namespaces.connect(socket, request.auth)

    def rename(self, name: str | None) -> None:
        self.name = name
        self._broadcaster.rename(self)

    def forget(self, socket: Socket, now: float) -> None:
        """The socket has left its namespace, or was refused there."""
        self.session.remove(socket, now)
        self.transport.reschedule()
        if socket.namespace.name == "/":
            self._broadcaster.leave(self)

    # To the client

    def deliver(self, message: OutgoingMessage) -> None:
        self.transport.deliver(message)

    def send(
        self, kind: int, namespace: str, number: int | None, arguments: tuple[Any, ...]
    ) -> None:
        """Send Python values, bytes among them as attachments. Raises Malformed."""
        text, attachments = socketio.encode(kind, namespace, number, arguments)
        self.transport.send(text)
        for attachment in attachments:
            self.transport.send_binary(attachment)


def pattern_count(arguments: list[Any]) -> int:
    """The patterns of a ``watch`` that is not checked yet."""
    request = arguments[0] if arguments else None
    devices = request.get("devices") if isinstance(request, dict) else None
    return len(devices) if isinstance(devices, list) else 0
