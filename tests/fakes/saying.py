"""What an application's ``live.emit`` to one viewer does, for tests that have only a hub."""

from __future__ import annotations

from typing import Any

from statecast.model import Event
from statecast.realtime.hub import Hub
from statecast.realtime.protocol import socketio


def say(hub: Hub, sid: str, name: str, *arguments: Any) -> None:
    """Emit to one viewer, in the namespace of its sid; bytes are attachments."""
    socket = hub.find(sid)
    namespace = "/" if socket is None else socket.namespace.name
    data, attachments = socketio.encoded(arguments)
    hub.publish(Event(namespace, name, data, (sid,), attachments=tuple(attachments)))
