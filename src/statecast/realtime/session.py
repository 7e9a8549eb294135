"""One client's session, whatever carries it: Engine.IO's heartbeat, Socket.IO's packets.

No I/O and no clock: packets and times come in, events and packets go out. ``Viewer`` acts on them.

Rule 1: a packet that breaks the protocol or a limit raises Malformed or TooLarge; the caller ends
the session.
Rule 2: nothing is received for a namespace that the client has not joined.
Rule 3: a client that is in no namespace has ``connect_timeout`` seconds to join one.
Rule 4: no message is refused because of the client's rate. The caller asks ``delay`` before each,
and does not read for so long: the client is held up by its own connection, and loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NamedTuple

from statecast.errors import Malformed
from statecast.rate_limit import WATCH_BURST, TokenBucket, watch_price
from statecast.realtime.protocol import engineio, socketio, websocket
from statecast.realtime.rooms import Socket
from statecast.settings import Settings


class Heartbeat(IntEnum):
    """Whose turn it is. The server pings, the client answers with a pong."""

    IDLE = 0
    """At the deadline a ping is due."""
    PING_SENT = 1
    """At the deadline the pong is overdue, and the session ends."""


HEARTBEAT = {
    # state, what happens: the next state
    (Heartbeat.IDLE, "deadline"): Heartbeat.PING_SENT,
    (Heartbeat.PING_SENT, "pong"): Heartbeat.IDLE,
    # A pong without a ping is counted as a message, and changes nothing.
    (Heartbeat.IDLE, "pong"): Heartbeat.IDLE,
}
IDLE, PING_SENT = Heartbeat
OFTEN_INTERVAL, OFTEN_TIMEOUT = 5.0, 4.5
"""Seconds between pings, and for an answer, of a client that is pinged often. The rest of 10 s is
for timers that come late by a tick each."""
MAX_NAMESPACES = 100
"""In which one client may be at a time, beside "/"."""


class SessionLimits(NamedTuple):
    """The limits of all sessions of a server; times in seconds."""

    ping_interval: float
    ping_timeout: float
    connect_timeout: float
    max_payload: int
    """Bytes of one event, with its attachments."""
    message_rate: TokenBucket
    watch_rate: TokenBucket
    lateness: float
    """How much later than at its deadline a session may be asked for its ping by a punctual
    timer. A loop that was busy for longer does not shorten the client's time to answer."""

    @classmethod
    def of(cls, settings: Settings, lateness: float) -> SessionLimits:
        return cls(
            settings.ping_interval,
            settings.ping_timeout,
            settings.connect_timeout,
            settings.max_payload,
            TokenBucket(settings.viewer_rate_limit),
            TokenBucket(settings.watch_rate_limit, WATCH_BURST),
            lateness,
        )


class NamespaceRequested(NamedTuple):
    """The client wants to join; ``Session.add`` or a refusal is the answer."""

    namespace: str
    auth: Any


class NamespaceLeft(NamedTuple):
    """The client has left."""

    socket: Socket


class EventReceived(NamedTuple):
    """An event; with a ``number`` the client waits for an acknowledgement."""

    socket: Socket
    number: int | None
    name: str
    arguments: list[Any]
    size: int
    """Bytes and characters of its packet, attachments included."""


class Acknowledged(NamedTuple):
    """The client acknowledges an event, by its number."""

    socket: Socket
    number: int
    arguments: list[Any]


class SessionClosed(NamedTuple):
    """The session must end, with this close code."""

    code: int
    reason: str


SessionEvent = NamespaceRequested | NamespaceLeft | EventReceived | Acknowledged | SessionClosed

CLOSED_BY_CLIENT = SessionClosed(websocket.NORMAL_CLOSURE, "")


class Session:
    """What a session is to do next, and what its client may send."""

    __slots__ = (
        "_connect_by",
        "_full_at",
        "_heartbeat",
        "_heartbeat_at",
        "_limits",
        "_others",
        "_partial",
        "_pinged_often",
        "_root",
        "_slowed",
        "_watch_full_at",
    )

    def __init__(self, limits: SessionLimits, now: float) -> None:
        self._limits = limits
        self._heartbeat = IDLE
        self._heartbeat_at = now + limits.ping_interval
        """The heartbeat's deadline."""
        self._connect_by: float | None = now + limits.connect_timeout
        """The deadline for joining a namespace; None while the client is in one."""
        self._full_at = 0.0
        """When the bucket of tokens for the client's messages will be full again."""
        self._slowed = False
        """Since the last ping messages waited for their rate, the pong maybe among them."""
        self._watch_full_at = 0.0
        """The same for its ``watch`` requests."""
        self._pinged_often = False
        """It shall be known soon when the client has vanished."""
        self._partial: socketio.PartialPacket | None = None
        """The packet whose attachments are still to come."""
        self._root: Socket | None = None
        """The client's socket in "/", which nearly all clients join."""
        self._others: dict[str, Socket] | None = None
        """Its sockets in other namespaces; None instead of an empty dictionary."""

    # Time

    @property
    def deadline(self) -> float:
        if self._connect_by is None:
            return self._heartbeat_at
        return min(self._heartbeat_at, self._connect_by)

    def on_timeout(self, now: float) -> bytes | SessionClosed | None:
        """The packet to send now, or the end; None if nothing is due yet."""
        if self._connect_by is not None and now >= self._connect_by:
            sentence = "no namespace was joined in time"
            return SessionClosed(websocket.POLICY_VIOLATION, sentence)
        if now < self._heartbeat_at:
            return None
        if self._heartbeat is PING_SENT and self._slowed:
            self._slowed = False
            self._heartbeat_at = now + self._ping_timeout
            return None
        if self._heartbeat is PING_SENT:
            sentence = "a ping was not answered in time"
            return SessionClosed(websocket.POLICY_VIOLATION, sentence)
        self._heartbeat = HEARTBEAT[self._heartbeat, "deadline"]
        self._slowed = False
        sent_at = max(self._heartbeat_at, now - self._limits.lateness)
        self._heartbeat_at = sent_at + self._ping_timeout
        return engineio.PING_PACKET

    def ping_often(self, often: bool, now: float) -> None:
        """Ping the client often from now on, or as the settings say.

        A client accepts pings at any time: it only expects one within the times that it was told.
        """
        if often == self._pinged_often:
            return
        self._pinged_often = often
        left = self._ping_interval if self._heartbeat is IDLE else self._ping_timeout
        self._heartbeat_at = min(self._heartbeat_at, now + left)

    @property
    def _ping_interval(self) -> float:
        interval = self._limits.ping_interval
        return min(interval, OFTEN_INTERVAL) if self._pinged_often else interval

    @property
    def _ping_timeout(self) -> float:
        timeout = self._limits.ping_timeout
        return min(timeout, OFTEN_TIMEOUT) if self._pinged_often else timeout

    def charge(self, now: float) -> None:
        """Count one message of the client."""
        self._full_at = self._limits.message_rate.charge(self._full_at, now)

    def delay(self, now: float) -> float:
        """Seconds until the client's next message may be taken; then call ``hold_up``."""
        return self._limits.message_rate.delay(self._full_at, now)

    def hold_up(self) -> bool:
        """A message waits for its rate; whether it is the first one since the last ping."""
        first, self._slowed = not self._slowed, True
        return first

    def charge_watch(self, patterns: int, now: float) -> None:
        """Take the price of a ``watch``. Raises RemoteProtocolError when it is too much."""
        price = watch_price(patterns)
        full_at = self._limits.watch_rate.try_acquire(self._watch_full_at, now, price)
        if full_at is None:
            sentence = (
                "more watch requests than a viewer may send (setting watch_rate_limit); "
                f"one with {patterns} patterns counts as {price}"
            )
            raise websocket.RemoteProtocolError(websocket.POLICY_VIOLATION, sentence)
        self._watch_full_at = full_at

    # What the client sends

    def receive(self, message: str | bytes, now: float) -> SessionEvent | None:
        """Take one Engine.IO packet. Raises Malformed or TooLarge."""
        return self.receive_packet(engineio.parse(message), now)

    def receive_packet(self, packet: engineio.EngineIOPacket, now: float) -> SessionEvent | None:
        """Take a packet that was parsed already. Raises Malformed or TooLarge."""
        kind, data = packet
        if kind == engineio.MESSAGE:
            if isinstance(data, bytes):
                return self._receive_attachment(data)
            return self._receive_text(data, now)
        if kind == engineio.PONG:
            self._receive_pong(now)
        elif kind == engineio.CLOSE:
            return CLOSED_BY_CLIENT
        elif kind == engineio.NOOP:
            self.charge(now)
        else:
            sentence = "only the server sends Engine.IO pings, and there is nothing to upgrade"
            raise Malformed(sentence)
        return None

    def _receive_pong(self, now: float) -> None:
        if self._heartbeat is IDLE:
            self.charge(now)
            return
        self._heartbeat = HEARTBEAT[self._heartbeat, "pong"]
        self._heartbeat_at = now + self._ping_interval

    def _receive_attachment(self, data: bytes) -> SessionEvent | None:
        if self._partial is None:
            raise Malformed("an attachment without a packet that announced it")
        whole, size = self._partial.add(data), self._partial.size
        if size > self._limits.max_payload:
            limit = self._limits.max_payload
            sentence = f"an event may have {limit} bytes with its attachments (max_payload)"
            raise websocket.RemoteProtocolError(websocket.MESSAGE_TOO_BIG, sentence)
        if whole is None:
            return None
        self._partial = None
        return self._event_of(whole, size)

    def _receive_text(self, data: str, now: float) -> SessionEvent | None:
        if self._partial is not None:
            raise Malformed("a packet before all attachments of the last one had come")
        packet = socketio.parse(data)
        if not self._is_awaited(packet):
            self.charge(now)
        if isinstance(packet, socketio.PartialPacket):
            self._joined(packet.namespace)
            self._partial = packet
            return None
        return self._event_of(packet, len(data))

    def _is_awaited(self, packet: socketio.SocketIOPacket | socketio.PartialPacket) -> bool:
        """Whether it acknowledges an event of ours: how many of those come, we decide."""
        if packet.kind not in (socketio.ACK, socketio.BINARY_ACK):
            return False
        socket = self.socket(packet.namespace)
        return socket is not None and socket.awaits(packet.id)

    def _event_of(self, packet: socketio.SocketIOPacket, size: int) -> SessionEvent | None:
        kind = packet.kind
        if kind == socketio.CONNECT:
            if self.socket(packet.namespace) is not None:
                raise Malformed("this namespace was joined already")
            return NamespaceRequested(packet.namespace, packet.data)
        socket = self._joined(packet.namespace)
        if kind == socketio.DISCONNECT:
            return NamespaceLeft(socket)
        if kind in (socketio.EVENT, socketio.BINARY_EVENT):
            name, *arguments = packet.data
            return EventReceived(socket, packet.id, name, arguments, size)
        assert packet.id is not None  # checked when it was parsed
        return Acknowledged(socket, packet.id, packet.data)

    def _joined(self, namespace: str) -> Socket:
        socket = self.socket(namespace)
        if socket is None or not socket.ready:
            raise Malformed("a packet for a namespace that was not joined")
        return socket

    # Namespaces

    def socket(self, namespace: str) -> Socket | None:
        if namespace == "/":
            return self._root
        return self._others.get(namespace) if self._others is not None else None

    def sockets(self) -> Iterator[Socket]:
        if self._root is not None:
            yield self._root
        if self._others is not None:
            yield from tuple(self._others.values())

    @property
    def is_in_too_many(self) -> bool:
        """The client may join no further namespace."""
        return self._others is not None and len(self._others) >= MAX_NAMESPACES

    def add(self, socket: Socket) -> None:
        self._connect_by = None
        if socket.namespace.name == "/":
            self._root = socket
            return
        if self._others is None:
            self._others = {}
        self._others[socket.namespace.name] = socket

    def remove(self, socket: Socket, now: float) -> None:
        if socket is self._root:
            self._root = None
        elif self._others is not None:
            self._others.pop(socket.namespace.name, None)
        if self._root is None and not self._others:
            self._connect_by = now + self._limits.connect_timeout
