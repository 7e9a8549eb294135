"""A class of handlers for one namespace. Flask-SocketIO calls it ``Namespace``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class NamespaceHandlers:
    """Each method ``on_<event>`` handles an event; ``error``, if it is there, their errors."""

    def __init__(self, namespace: str | None = None) -> None:
        self.namespace = namespace or "/"
        self.socketio: Any = None
        """The ``SocketIO`` with which it is registered."""

    def trigger_event(self, event: str, *args: Any) -> Any:
        """Handle an event in its context. A subclass may dispatch in another way."""
        handler = self.handler(event)
        return None if handler is None else handler(*args)

    def handler(self, event: str) -> Callable[..., Any] | None:
        found: Callable[..., Any] | None = getattr(self, f"on_{event}", None)
        return found

    def emit(
        self,
        event: str,
        data: Any = None,
        room: Any = None,
        include_self: bool = True,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        **options: Any,
    ) -> None:
        self.socketio.emit(
            event,
            data,
            to=options.pop("to", None) or room,
            include_self=include_self,
            namespace=namespace or self.namespace,
            callback=callback,
            **options,
        )

    def send(
        self,
        data: Any,
        room: Any = None,
        include_self: bool = True,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        **options: Any,
    ) -> None:
        self.emit("message", data, room, include_self, namespace, callback, **options)

    def call(
        self,
        event: str,
        data: Any = None,
        to: str | None = None,
        sid: str | None = None,
        namespace: str | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> Any:
        return self.socketio.call(
            event,
            data,
            to=to or sid,
            namespace=namespace or self.namespace,
            timeout=60 if timeout is None else timeout,
            **options,
        )

    def close_room(self, room: Any, namespace: str | None = None) -> None:
        self.socketio.close_room(room, namespace or self.namespace)

    def enter_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        self.socketio.move("enter", namespace or self.namespace, room, sid)

    def leave_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        self.socketio.move("leave", namespace or self.namespace, room, sid)

    def rooms(self, sid: str, namespace: str | None = None) -> list[str]:
        found: list[str] = self.socketio.rooms(sid)
        return found

    def disconnect(self, sid: str, namespace: str | None = None) -> None:
        self.socketio.move("disconnect", namespace or self.namespace, "", sid)
