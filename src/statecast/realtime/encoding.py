"""How a message looks on each transport. It is encoded once; all viewers share the bytes."""

from __future__ import annotations

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.model import Event
from statecast.realtime.protocol import socketio, websocket

PACKET, FRAME = "socketio", "websocket"
"""Under which an ``OutgoingMessage`` keeps its encodings."""


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
        frames = [websocket.frame(one, websocket.BINARY) for one in message.attachments]
        encoded = b"".join([websocket.frame(packet(message)), *frames])
        message.encodings[FRAME] = encoded
    return encoded
