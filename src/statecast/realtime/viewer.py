"""A connected client: its session, what carries it, and what its session's events are to do.

The viewer stays the same when its session moves from long polling to a WebSocket.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from statecast import timestamps
from statecast.access.credentials import Credentials
from statecast.access.reader import READS_NOTHING, Reader
from statecast.broadcast.outgoing_message import Compression, OutgoingMessage
from statecast.broadcast.recipients import Outlet
from statecast.errors import Malformed, Refused
from statecast.http.head import RequestHead
from statecast.realtime.authenticator import NotAdmitted, Visit
from statecast.realtime.interfaces import BroadcasterContract, SessionTransport
from statecast.realtime.namespaces import Namespaces
from statecast.realtime.protocol import engineio, socketio, websocket
from statecast.realtime.readers import Admission, Readers
from statecast.realtime.rooms import Socket
from statecast.realtime.session import (
    MAX_NAMESPACES,
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
AUTHENTICATE = "authenticate"
"""The event by which a viewer renews its sign-in without a new connection."""
NO_CREDENTIAL = (
    "“authenticate” takes {“token”: …}: a key, the token of a share link or a signed token."
)
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
        "_joining",
        "_namespaces",
        "_readers",
        "_visit",
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
        readers: Readers,
        visit: Visit,
        handshake: Handshake | None = None,
    ) -> None:
        """``visit`` is what its first request brought. ``handshake`` is kept only where the
        application asks for it."""
        self.handshake = handshake
        self.name: str | None = None
        """What the application calls it, to others who watch the same."""
        self.reader: Reader = READS_NOTHING
        """Who it is, and what it may see; not known before it joins a namespace."""
        self._readers = readers
        self._visit: Visit | None = visit
        """Until it is known who it is."""
        self._joining: dict[str, NamespaceRequested] | None = None
        """Requests to join that wait until it is known who asks, by namespace."""
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
        self._forget_groups()
        self._broadcaster.pause(self)

    def resume(self) -> None:
        """The transport has drained."""
        self._forget_groups()
        self._broadcaster.resume(self)

    def move_to(self, transport: SessionTransport) -> None:
        """Another transport carries the session from now on."""
        self.transport = transport
        self._forget_groups()
        self._broadcaster.move(self)

    def _forget_groups(self) -> None:
        for socket in self.session.sockets():
            socket.namespace.forget_groups()

    def leave(self, reason: str) -> None:
        """The session is over: leave every namespace."""
        self._joining = self._visit = None
        self._readers.remove(self)
        for socket in tuple(self.session.sockets()):
            self._namespaces.disconnect(socket, reason)

    def _handle(self, event: SessionEvent | None, now: float) -> None:
        if isinstance(event, EventReceived):
            if event.name == "watch" and event.socket.namespace.name == "/":
                self.session.charge_watch(pattern_count(event.arguments), now)
                self._watch(event.number, event.arguments, now)
            elif event.name == AUTHENTICATE and self._renews(event.socket):
                self._authenticate(event)
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
        name, joining = request.namespace, self._joining or {}
        if self.session.is_in_too_many or len(joining) >= MAX_NAMESPACES:
            sentence = "This connection is in too many namespaces."
            self.transport.send(socketio.refused(name, sentence))
            return
        if name in joining:
            raise Malformed("a second request to join a namespace before the first was answered")
        known = self._visit or Visit(Credentials(address=self.transport.address))
        visit = self._readers.with_auth(known, request.auth)
        if self._visit is None and visit.given == known.given:
            self._enter(request)  # it is known who it is, and it brings nothing else
            return
        self._joining = {**joining, name: request}
        self._readers.admit(visit, partial(self._decide, request))

    def _decide(self, request: NamespaceRequested, decision: Admission | NotAdmitted) -> None:
        """Now it is known who asks to join."""
        name = request.namespace
        if self._joining is None or self._joining.pop(name, None) is not request:
            return  # it has left
        if not self._joining:  # an empty dictionary would stay with each viewer
            self._joining = None
        if isinstance(decision, NotAdmitted):
            data = {"status": decision.status}
            self.transport.send(socketio.refused(name, decision.sentence, data))
            return
        self._visit = None
        self._readers.add(self, decision)
        self._enter(request)

    def _enter(self, request: NamespaceRequested) -> None:
        namespace = self._namespaces.join(request.namespace)
        if namespace is None:
            self.transport.send(socketio.refused(request.namespace, "Invalid namespace"))
            return
        socket = Socket(self, namespace, socketio.new_sid())
        self.session.add(socket)
        self._namespaces.connect(socket, request.auth)

    def _renews(self, socket: Socket) -> bool:
        """Whether the event to renew a sign-in is not one of the application's own."""
        return socket.namespace.name == "/" and AUTHENTICATE not in socket.namespace.handlers

    def _authenticate(self, event: EventReceived) -> None:
        """Take another token, before the one that the viewer came with has expired.

        One that is refused changes nothing.
        """
        (auth, *_) = event.arguments or [None]
        visit = Visit(Credentials(address=self.transport.address))
        asked = self._readers.with_auth(visit, auth)
        if asked == visit:
            self._acknowledge(event, {"error": NO_CREDENTIAL})
        else:
            self._readers.admit(asked, partial(self._renew, event))

    def _renew(self, event: EventReceived, decision: Admission | NotAdmitted) -> None:
        if not event.socket.alive:
            return
        if isinstance(decision, NotAdmitted):
            self._acknowledge(event, {"error": decision.sentence})
            return
        self._readers.add(self, decision)
        expires_at = decision.reader.identity.expires_at
        until = None if expires_at is None else timestamps.iso(expires_at)
        self._acknowledge(event, {"expires_at": until})

    def _acknowledge(self, event: EventReceived, answer: dict[str, Any]) -> None:
        if event.number is not None:
            self.transport.send(socketio.encode(socketio.ACK, "/", event.number, [answer])[0])

    def end(self, sentence: str) -> None:
        """It may do nothing here any more: disconnect it with a sentence."""
        for socket in self.session.sockets():
            data = {"status": 401}
            self.transport.send(socketio.refused(socket.namespace.name, sentence, data))
        self.transport.close(websocket.POLICY_VIOLATION, sentence)

    def rename(self, name: str | None) -> None:
        for socket in self.session.sockets():
            socket.namespace.rename(socket, name)
        self.name = name
        self._broadcaster.rename(self)

    def forget(self, socket: Socket, now: float) -> None:
        """The socket has left its namespace, or was refused there."""
        self.session.remove(socket, now)
        self.transport.reschedule()
        if socket.namespace.name == "/":
            self._broadcaster.leave(self)

    # To the client

    @property
    def outlet(self) -> Outlet | None:
        return self.transport.outlet

    @property
    def compression(self) -> Compression | None:
        return self.transport.compression

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
