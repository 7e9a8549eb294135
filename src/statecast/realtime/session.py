"""One client's conversation, whatever carries it: Engine.IO's heartbeat, Socket.IO's namespaces, its requests.

No I/O and no clock here: messages and times come in, packets go to the carrier.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from statecast.errors import Malformed, Refused
from statecast.realtime.protocol import engineio, socketio, websocket

if TYPE_CHECKING:
    from statecast.realtime.hub import Hub, Parcel, Slice
    from statecast.realtime.rooms import Socket


class Carrier(Protocol):
    """What a session is carried by: a WebSocket, or long polling."""

    paused: bool
    """It holds more than its bound; what can be had again later is not given to it."""

    def send(self, packet: bytes) -> None:
        """Write a text packet."""

    def send_binary(self, data: bytes) -> None:
        """Write a binary packet."""

    def offer(self, parcel: Parcel) -> bool:
        """Write it unless paused; policy when full: the newest is dropped. Tells whether it was written."""

    def deliver(self, piece: Slice) -> None:
        """Write a slice of states."""

    def close(self, code: int, reason: str) -> None:
        """End the conversation."""


class Session:
    """The conversation. It is also what watches at the broadcaster."""

    __slots__ = (
        "_asked",
        "_balance",
        "_beat_at",
        "_connect_by",
        "_others",
        "_partial",
        "_root",
        "carrier",
        "held",
        "hub",
    )

    def __init__(self, hub: Hub, carrier: Carrier, now: float) -> None:
        self.hub = hub
        self.carrier = carrier
        self._root: Socket | None = None
        self._others: dict[str, Socket] | None = None
        self._partial: socketio.Partial | None = None
        self.held = 0
        """The size of its messages that wait for a handler or are in one."""
        self._balance = 0.0
        self._asked = False
        self._beat_at = now + hub.settings.ping_interval
        """When to ping; once asked, until when to answer."""
        self._connect_by: float | None = now + hub.settings.connect_timeout

    # Time

    def due(self) -> float:
        return self._beat_at if self._connect_by is None else min(self._beat_at, self._connect_by)

    def turn(self, now: float) -> None:
        """Do what is due."""
        if self._connect_by is not None and now >= self._connect_by:
            self.carrier.close(websocket.AGAINST_POLICY, "no namespace was joined in time")
        elif now < self._beat_at:
            return
        elif self._asked:
            self.carrier.close(websocket.AGAINST_POLICY, "a ping was not answered in time")
        else:
            self._asked = True
            # Two beats of the wheel late is on time; a loop that was busy for longer shortens nobody's time to answer.
            self._beat_at = (
                max(self._beat_at, now - 2 * self.hub.wheel.beat) + self.hub.settings.ping_timeout
            )
            self.carrier.send(engineio.PING_PACKET)

    def pay(self, now: float) -> None:
        """Count one message of the viewer. Raises Violation."""
        balance = self.hub.message_rate.try_acquire(self._balance, now)
        if balance is None:
            raise websocket.Violation(
                websocket.AGAINST_POLICY,
                f"a viewer may send {self.hub.settings.viewer_rate_limit} messages per minute",
            )
        self._balance = balance

    # What the client says

    def receive(self, message: str | bytes, now: float) -> None:
        """Take one Engine.IO packet. Raises Malformed or TooLarge."""
        self.take(engineio.parse(message), now)

    def take(self, packet: engineio.Packet, now: float) -> None:
        """Take a packet that was read already. Raises Malformed or TooLarge."""
        if packet.kind == engineio.MESSAGE:
            self._take_message(packet.data, now)
        elif packet.kind == engineio.PONG:
            self._take_pong(now)
        elif packet.kind == engineio.CLOSE:
            self.carrier.close(websocket.NORMAL, "")
        elif packet.kind == engineio.NOOP:
            self.pay(now)
        else:
            raise Malformed(
                "here only the server sends Engine.IO pings, and there is nothing to upgrade"
            )

    def _take_pong(self, now: float) -> None:
        if not self._asked:
            self.pay(now)
            return
        self._asked = False
        self._beat_at = now + self.hub.settings.ping_interval

    def _take_message(self, data: str | bytes, now: float) -> None:
        if isinstance(data, bytes):
            if self._partial is None:
                raise Malformed("an attachment without a packet that announced it")
            whole, size = self._partial.add(data), self._partial.size
            if size > self.hub.settings.max_payload:
                sentence = (
                    f"an event may have {self.hub.settings.max_payload} bytes, with its attachments"
                )
                raise websocket.Violation(websocket.TOO_BIG, sentence)
            if whole is not None:
                self._partial = None
                self._dispatch(whole, size)
            return
        self.pay(now)
        if self._partial is not None:
            raise Malformed("a packet before all attachments of the last one had come")
        packet = socketio.parse(data)
        if isinstance(packet, socketio.Partial):
            self._joined(packet.namespace)
            self._partial = packet
        else:
            self._dispatch(packet, len(data))

    def _joined(self, namespace: str) -> Socket:
        socket = self.socket(namespace)
        if socket is None or not socket.ready:
            raise Malformed("a packet for a namespace that was not joined")
        return socket

    def _dispatch(self, packet: socketio.Packet, size: int) -> None:
        if packet.kind == socketio.CONNECT:
            if self.socket(packet.namespace) is not None:
                raise Malformed("this namespace was joined already")
            self.hub.connect(self, packet.namespace, packet.data)
            return
        socket = self._joined(packet.namespace)
        if packet.kind == socketio.DISCONNECT:
            self.hub.depart(socket, "client namespace disconnect")
        elif packet.kind in (socketio.EVENT, socketio.BINARY_EVENT):
            name, *arguments = packet.data
            if name == "watch" and packet.namespace == "/":
                self._watch(packet.id, arguments)
            else:
                self.hub.dispatch(socket, packet.id, name, arguments, size)

    def _watch(self, number: int | None, arguments: list[Any]) -> None:
        try:
            if len(arguments) != 1:
                raise Malformed("“watch” takes one argument, an object.")
            answer = self.hub.broadcaster.watch(self, arguments[0])
        except Refused as refusal:
            answer = {"error": str(refusal)}
        if self.carrier.paused:
            self.hub.broadcaster.pause(self)
        if number is not None:
            self.carrier.send(socketio.encode(socketio.ACK, "/", number, [answer])[0])

    # What the server says

    def deliver(self, piece: Slice) -> None:
        self.carrier.deliver(piece)

    def send(
        self, kind: int, namespace: str, number: int | None, arguments: tuple[Any, ...]
    ) -> None:
        """Send Python values, bytes among them as attachments. Raises Malformed."""
        text, attachments = socketio.encode(kind, namespace, number, arguments)
        self.carrier.send(text)
        for attachment in attachments:
            self.carrier.send_binary(attachment)

    # Namespaces

    def leave(self, reason: str) -> None:
        """Leave every namespace: the conversation is over."""
        for socket in tuple(self.sockets()):
            self.hub.depart(socket, reason)

    def socket(self, namespace: str) -> Socket | None:
        if namespace == "/":
            return self._root
        return self._others.get(namespace) if self._others is not None else None

    def sockets(self) -> Iterator[Socket]:
        if self._root is not None:
            yield self._root
        if self._others is not None:
            yield from tuple(self._others.values())

    def add(self, socket: Socket) -> None:
        self._connect_by = None
        if socket.namespace.name == "/":
            self._root = socket
            return
        if self._others is None:
            self._others = {}
        self._others[socket.namespace.name] = socket

    def remove(self, socket: Socket, now: float) -> None:
        """Who has left the last namespace must join one again in time."""
        if socket is self._root:
            self._root = None
            self.hub.broadcaster.leave(self)
        elif self._others is not None:
            self._others.pop(socket.namespace.name, None)
        if self._root is None and not self._others:
            self._connect_by = now + self.hub.settings.connect_timeout
