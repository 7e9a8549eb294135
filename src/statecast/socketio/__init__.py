"""Flask-SocketIO's documented API on the live endpoint: existing code runs with one changed import.

``from statecast.socketio import SocketIO, emit`` in place of ``from flask_socketio import ...``.
"""

from __future__ import annotations

from statecast.socketio.context import (
    call,
    close_room,
    disconnect,
    emit,
    join_room,
    leave_room,
    rooms,
    send,
)
from statecast.socketio.extension import ConnectionRefusedError, SocketIO  # noqa: A004
from statecast.socketio.namespace import NamespaceHandlers as Namespace
from statecast.socketio.test_client import SocketIOTestClient

__all__ = [
    "ConnectionRefusedError",
    "Namespace",
    "SocketIO",
    "SocketIOTestClient",
    "call",
    "close_room",
    "disconnect",
    "emit",
    "join_room",
    "leave_room",
    "rooms",
    "send",
]
