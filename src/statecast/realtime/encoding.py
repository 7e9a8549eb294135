"""How a message looks on each transport. It is encoded once; all viewers share the bytes."""

from __future__ import annotations

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.realtime.protocol import socketio, websocket

PACKET, FRAME = "socketio", "websocket"
"""Under which an ``OutgoingMessage`` keeps its encodings."""


def event(namespace: str, name: str, arguments: bytes) -> OutgoingMessage:
    """An application's event; ``arguments`` is an encoded JSON array."""
    message = OutgoingMessage(name, arguments)
    message.encodings[PACKET] = socketio.event_of(name, arguments, namespace)
    return message


def packet(message: OutgoingMessage) -> bytes:
    """The Socket.IO packet, as long polling carries it."""
    encoded = message.encodings.get(PACKET)
    if encoded is None:
        encoded = message.encodings[PACKET] = socketio.event(message.name, message.payload)
    return encoded


def frame(message: OutgoingMessage) -> bytes:
    """The WebSocket frame."""
    encoded = message.encodings.get(FRAME)
    if encoded is None:
        encoded = message.encodings[FRAME] = websocket.frame(packet(message))
    return encoded
