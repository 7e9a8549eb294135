"""The viewers whose events are handled: requests, sessions, and the context of a handler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, session
from flask.sessions import SessionInterface, SessionMixin

SESSION = "statecast.session"
"""Where a request's environment has the session that its events share."""


class ManagedSession(dict[str, Any], SessionMixin):
    """A copy of the user's session, for all events of one viewer."""


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

    def __init__(self, sid: str, namespace: str, environ: dict[str, Any]) -> None:
        """``environ`` is the WSGI environment of the request with which it began."""
        self.sid = sid
        self.namespace = namespace
        self.environ = environ

    @property
    def session(self) -> ManagedSession | None:
        """The session of its events, if they share one."""
        found: ManagedSession | None = self.environ.get(SESSION)
        return found

    @contextmanager
    def handling(
        self, app: Flask, event: str, args: tuple[Any, ...], managed: bool
    ) -> Iterator[None]:
        """The context of a request for one event. ``managed``: events have a session of their own;
        else they have the app's, and changes of it are saved."""
        if managed:
            self._manage_session(app)
        else:
            self.environ.pop(SESSION, None)
        with app.request_context(self.environ) as context:
            request: Any = context.request
            request.sid, request.namespace = self.sid, self.namespace
            request.event = {"message": event, "args": args}
            yield
            if not managed and getattr(session, "modified", True):
                current: Any = session
                app.session_interface.save_session(
                    app, current._get_current_object(), app.response_class()
                )

    def _manage_session(self, app: Flask) -> None:
        if not isinstance(app.session_interface, EventSessions):
            app.session_interface = EventSessions(app.session_interface)
        if SESSION not in self.environ:
            with app.request_context(self.environ):
                begun = ManagedSession(session)
            self.environ[SESSION] = begun
