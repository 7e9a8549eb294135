"""How a message looks on each transport. It is encoded once; all viewers share the bytes."""

from __future__ import annotations

from collections.abc import Callable

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.model import Event
from statecast.realtime.protocol import deflate, socketio, websocket

PACKET, FRAME, DEFLATED, DEFLATED_FRAME = "socketio", "websocket", "deflated", "deflated websocket"
"""Under which an ``OutgoingMessage`` keeps its encodings."""
LEAST_DEFLATED, MOST_DEFLATED = 200, 300_000
"""Bytes of packets that are compressed. A smaller one gains little; a larger one, which only an
application's event can be, would take milliseconds."""
LEAST_IN_THREAD = 16_384
"""Bytes of a message that is worth the way to a thread and back, which costs the loop 22 us."""


def event(event: Event, number: int | None = None) -> OutgoingMessage:
    """An application's event. With a ``number`` its one viewer is to acknowledge it."""
    message = OutgoingMessage(event.name, event.data)
    message.attachments = event.attachments
    message.encodings[PACKET] = socketio.event_of(
        event.name, event.data, event.namespace, len(event.attachments), number
    )
    return message


def packet(message: OutgoingMessage) -> bytes:
    """The Socket.IO packet, as long polling carries it."""
    encoded = message.encodings.get(PACKET)
    if encoded is None:
        encoded = message.encodings[PACKET] = socketio.event(message.name, message.payload)
    return encoded


def frame(message: OutgoingMessage) -> bytes:
    """The WebSocket frame, followed by those of the attachments."""
    encoded = message.encodings.get(FRAME)
    if encoded is None:
        encoded = message.encodings[FRAME] = _frames(websocket.frame(packet(message)), message)
    return encoded


def deflated_frame(message: OutgoingMessage) -> bytes:
    """The same for viewers with permessage-deflate; compressed if that is allowed and worth it."""
    encoded = message.encodings.get(DEFLATED_FRAME)
    if encoded is None:
        smaller = SOCKETIO.compressed(message)
        encoded = (
            frame(message)
            if smaller is None
            else _frames(websocket.compressed_frame(smaller), message)
        )
        message.encodings[DEFLATED_FRAME] = encoded
    return encoded


class Deflation:
    """Compresses messages, each once for all viewers of some transports."""

    def __init__(self, name: str, plain: Callable[[OutgoingMessage], bytes]) -> None:
        """``name``: under which a message keeps it; ``plain`` gives what is compressed."""
        self._name = name
        self._plain = plain

    def is_due(self, message: OutgoingMessage) -> bool:
        """Whether a thread is to compress the message before it is delivered."""
        return (
            message.compressible
            and len(message.payload) >= LEAST_IN_THREAD
            and self._name not in message.encodings
            and _is_worth_it(self._plain(message))
        )

    def compress(self, message: OutgoingMessage) -> None:
        """Compress a message. Any thread: to keep the result is one step."""
        message.encodings[self._name] = deflate.deflate(self._plain(message))

    def compressed(self, message: OutgoingMessage) -> bytes | None:
        """The message compressed, now if need be; None if it is not to be."""
        if not message.compressible:
            return None
        if self._name not in message.encodings:
            if not _is_worth_it(self._plain(message)):
                return None
            self.compress(message)
        return message.encodings[self._name]


def _is_worth_it(plain: bytes) -> bool:
    """Whether to compress something of this size."""
    return LEAST_DEFLATED <= len(plain) <= MOST_DEFLATED


SOCKETIO = Deflation(DEFLATED, packet)
"""Of a Socket.IO packet, for a WebSocket and for a response to long polling."""


def was_sent_compressed(message: OutgoingMessage) -> bool:
    """Whether a WebSocket got the message compressed."""
    frames = message.encodings.get(DEFLATED_FRAME)
    return frames is not None and frames is not message.encodings.get(FRAME)


def _frames(text: bytes, message: OutgoingMessage) -> bytes:
    if not message.attachments:
        return text
    return text + b"".join(websocket.frame(one, websocket.BINARY) for one in message.attachments)
