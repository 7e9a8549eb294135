"""The viewers whose events are handled: requests, sessions, and the context of a handler.

A viewer is a connection, and may be in several namespaces. As in Flask-SocketIO, those share the
request with which it began and, where events have a session of their own, that session.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, session
from flask.sessions import SessionInterface, SessionMixin

from statecast.realtime.viewer import Handshake

SESSION = "statecast.session"
"""Where a request's environment has the session that its events share."""


class ManagedSession(dict[str, Any], SessionMixin):
    """A copy of the user's session, for all events of one connection."""


class EventSessions(SessionInterface):
    """Opens the session of an event where it has one of its own; else the app's interface does."""

    def __init__(self, original: SessionInterface) -> None:
        self.original = original

    def open_session(self, app: Flask, request: Any) -> SessionMixin | None:
        found: SessionMixin | None = request.environ.get(SESSION)
        return self.original.open_session(app, request) if found is None else found

    def save_session(self, app: Flask, session: SessionMixin, response: Any) -> None:
        if not isinstance(session, ManagedSession):
            self.original.save_session(app, session, response)

    def is_null_session(self, obj: object) -> bool:
        return self.original.is_null_session(obj)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class Client:
    """One viewer in one namespace."""

    __slots__ = ("handshake", "namespace", "sid")

    def __init__(self, sid: str, namespace: str, handshake: Handshake) -> None:
        """``handshake`` is that of its connection; the environment is made of it for each event."""
        self.sid = sid
        self.namespace = namespace
        self.handshake = handshake

    @property
    def session(self) -> ManagedSession | None:
        """The session of its connection's events, if they have one of their own."""
        found: ManagedSession | None = self.handshake.session
        return found

    def environ(self) -> dict[str, Any]:
        """The WSGI environment of the request with which the connection began."""
        from statecast.server.wsgi_environ import environ_of  # only programs that serve load it

        return environ_of(self.handshake.head, self.handshake.address)

    @contextmanager
    def handling(self, app: Flask, event: str, args: tuple[Any, ...]) -> Iterator[None]:
        """The context of a request for one event.

        Where events have no session of their own, they have the app's, and changes of it are saved.
        """
        environ = self.environ()
        if self.session is not None:
            environ[SESSION] = self.session
        with app.request_context(environ) as context:
            request: Any = context.request
            request.sid, request.namespace = self.sid, self.namespace
            request.event = {"message": event, "args": args}
            yield
            if self.session is None and getattr(session, "modified", True):
                current: Any = session
                app.session_interface.save_session(
                    app, current._get_current_object(), app.response_class()
                )


class SessionBeginner:
    """Gives each connection a session of its own, once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        """Two namespaces of one connection may begin at the same time."""

    def begin(self, app: Flask, client: Client) -> None:
        """Copy the user's session, unless another namespace of the connection has done it."""
        with self._lock:
            if not isinstance(app.session_interface, EventSessions):
                app.session_interface = EventSessions(app.session_interface)
            if client.handshake.session is None:
                with app.request_context(client.environ()):
                    client.handshake.session = ManagedSession(session)
