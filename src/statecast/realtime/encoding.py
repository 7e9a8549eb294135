"""How a message looks on each transport. It is encoded once; all viewers share the bytes."""

from __future__ import annotations

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.model import Event
from statecast.realtime.protocol import deflate, socketio, websocket

PACKET, FRAME, DEFLATED, DEFLATED_FRAME = "socketio", "websocket", "deflated", "deflated websocket"
"""Under which an ``OutgoingMessage`` keeps its encodings."""
LEAST_DEFLATED, MOST_DEFLATED = 200, 300_000
"""Bytes of packets that are compressed. A smaller one gains little; a larger one, which only an
application's event can be, would take more than a millisecond of the loop."""


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
        smaller = deflated(message)
        encoded = (
            frame(message)
            if smaller is None
            else _frames(websocket.compressed_frame(smaller), message)
        )
        message.encodings[DEFLATED_FRAME] = encoded
    return encoded


def deflated(message: OutgoingMessage) -> bytes | None:
    """The Socket.IO packet compressed; None if it is not to be."""
    if not message.compressible:
        return None
    encoded = message.encodings.get(DEFLATED)
    if encoded is None:
        plain = packet(message)
        if not is_worth_it(plain):
            return None
        encoded = message.encodings[DEFLATED] = deflate.deflate(plain)
    return encoded


def is_worth_it(plain: bytes) -> bool:
    """Whether to compress something of this size."""
    return LEAST_DEFLATED <= len(plain) <= MOST_DEFLATED


def _frames(text: bytes, message: OutgoingMessage) -> bytes:
    if not message.attachments:
        return text
    return text + b"".join(websocket.frame(one, websocket.BINARY) for one in message.attachments)
