"""What a handler does: functions that know the event's viewer from the request context."""

from __future__ import annotations

from typing import Any

from flask import current_app, request

from statecast.errors import BadSetting

EXTENSION = "socketio"
"""Under which an app keeps its ``SocketIO``."""


def extension() -> Any:
    """The ``SocketIO`` of the current app."""
    return current_app.extensions[EXTENSION]


def sid_of_request() -> str:
    """The sid of the viewer whose event is handled. Raises BadSetting outside of a handler."""
    sid = getattr(request, "sid", None) if request else None
    if sid is None:
        raise BadSetting(
            "This is for handlers of events; elsewhere say whom you mean: "
            "socketio.emit(event, data, to=sid, namespace=...)."
        )
    return str(sid)


def namespace_of(namespace: str | None) -> str:
    """``namespace``, else that of the event that is handled."""
    return namespace or getattr(request, "namespace", None) or "/"


def emit(
    event: str,
    *args: Any,
    namespace: str | None = None,
    to: Any = None,
    room: Any = None,
    broadcast: bool = False,
    **options: Any,
) -> None:
    """Emit to the viewer whose event is handled, to a room, or with ``broadcast`` to all."""
    rooms = to or room
    if rooms is None and not broadcast:
        rooms = sid_of_request()
    extension().emit(event, *args, namespace=namespace_of(namespace), to=rooms, **options)


def send(message: Any, json: bool = False, **options: Any) -> None:
    """Emit the event ``message``, or ``json``."""
    emit("json" if json else "message", message, **options)


def call(
    event: str,
    *args: Any,
    namespace: str | None = None,
    to: str | None = None,
    timeout: float = 60,
    **options: Any,
) -> Any:
    """Emit to one viewer and wait for its acknowledgement. Raises TimeoutError."""
    sid = to or sid_of_request()
    return extension().call(
        event, *args, namespace=namespace_of(namespace), to=sid, timeout=timeout, **options
    )


def join_room(room: Any, sid: str | None = None, namespace: str | None = None) -> None:
    """Put the viewer into a room."""
    extension().move("enter", namespace_of(namespace), room, sid or sid_of_request())


def leave_room(room: Any, sid: str | None = None, namespace: str | None = None) -> None:
    """Take the viewer out of a room."""
    extension().move("leave", namespace_of(namespace), room, sid or sid_of_request())


def close_room(room: Any, namespace: str | None = None) -> None:
    """Take every viewer out of a room."""
    extension().close_room(room, namespace_of(namespace))


def rooms(sid: str | None = None, namespace: str | None = None) -> list[str]:
    """The rooms of the viewer, its sid among them."""
    found: list[str] = extension().rooms(sid or sid_of_request())
    return found


def disconnect(sid: str | None = None, namespace: str | None = None, silent: bool = False) -> None:
    """Disconnect the viewer from its namespace."""
    extension().move("disconnect", namespace_of(namespace), "", sid or sid_of_request())
