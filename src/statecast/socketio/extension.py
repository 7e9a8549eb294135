"""``SocketIO``: registers handlers, calls them in the context of a request, emits."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask, has_request_context, request

from statecast import flask as extension
from statecast.errors import BadSetting, ConnectionRefused, NotFound, Refused
from statecast.model import EventKind
from statecast.realtime.handlers import name_of
from statecast.realtime.namespaces import ANY
from statecast.realtime.protocol import socketio as packets
from statecast.runtime import Runtime
from statecast.socketio.clients import Client, SessionBeginner
from statecast.socketio.context import EXTENSION
from statecast.socketio.namespace import NamespaceHandlers
from statecast.socketio.options import to_settings
from statecast.socketio.test_client import SocketIOTestClient, TestServer
from statecast.socketio.values import room_name, room_names, sending
from statecast.web import blueprints

log = logging.getLogger(__name__)

Handler = Callable[..., Any]
REASONS = {
    "client namespace disconnect": "client disconnect",
    "server namespace disconnect": "server disconnect",
}
"""What python-socketio calls the reasons of a disconnect. The keys are those of Socket.IO."""
NO_APP = "This SocketIO has no app yet; call SocketIO(app), or init_app(app)."


class ConnectionRefusedError(ConnectionRefused):  # noqa: A001 - their name for it
    """Raised by a connect handler, with what the client gets: a message, and data."""

    def __init__(self, *args: Any) -> None:
        message, *data = args or ("Connection rejected by server",)
        super().__init__(str(message), data[0] if len(data) == 1 else data or None)


class DisconnectReason:
    """What a disconnect handler gets, by python-socketio's names."""

    CLIENT_DISCONNECT = "client disconnect"
    SERVER_DISCONNECT = "server disconnect"
    PING_TIMEOUT = "ping timeout"
    TRANSPORT_CLOSE = "transport close"
    TRANSPORT_ERROR = "transport error"


class SocketIO:
    """Flask-SocketIO's class of the same name, on this package's live endpoint.

    ``options`` are Flask-SocketIO's and, by name, the settings of Statecast. An app that has
    ``Statecast(app)`` too shares it. Raises BadSetting.
    """

    reason = DisconnectReason

    def __init__(self, app: Flask | None = None, **options: Any) -> None:
        self.manage_session = True
        self.async_mode = "threading"
        self.server_options: dict[str, Any] = {}
        self.exception_handlers: dict[str, Handler] = {}
        self.default_exception_handler: Handler | None = None
        self._handlers: dict[str, dict[str, Handler]] = {}
        self._classes: dict[str, NamespaceHandlers] = {}
        self._app: Flask | None = None
        """The app whose context handlers have: the one that ``init_app`` got last."""
        self._runtime: Runtime | None = None
        self._clients: dict[str, Client] = {}
        """By sid. Written by the threads that handle connect and disconnect."""
        self._sessions = SessionBeginner()
        self._test_server: TestServer | None = None
        if app is not None or "message_queue" in options:
            self.init_app(app, **options)
        else:
            self.server_options.update(options)

    def init_app(self, app: Flask | None, **options: Any) -> None:
        """Add it to ``app``; without one it only emits, to the store ``message_queue``."""
        self.server_options.update(options)
        given = dict(self.server_options)
        self.manage_session = given.pop("manage_session", self.manage_session)
        app = Flask(__name__) if app is None else app
        shared = extension.EXTENSION in app.extensions
        self._runtime = extension.add_runtime(app, to_settings(given, shared))
        app.extensions[EXTENSION] = self
        blueprints.add_endpoint(app, self._runtime)
        self._app = app
        for namespace in (*self._handlers, *self._classes):
            self._listen(namespace)

    @property
    def app(self) -> Flask:
        """The app in whose context handlers run. Raises BadSetting before ``init_app``."""
        if self._app is None:
            raise BadSetting(NO_APP)
        return self._app

    @property
    def runtime(self) -> Runtime:
        """That of the app. Raises BadSetting before ``init_app``."""
        if self._runtime is None:
            raise BadSetting(NO_APP)
        return self._runtime

    # Handlers

    def on(self, message: str, namespace: str | None = None) -> Callable[[Handler], Handler]:
        """Register a handler of an event."""

        def register(handler: Handler) -> Handler:
            self.on_event(message, handler, namespace)
            return handler

        return register

    def on_event(self, message: str, handler: Handler, namespace: str | None = None) -> None:
        """Register a handler of an event; a later one replaces it."""
        name = namespace or "/"
        known = name in self._handlers or name in self._classes
        self._handlers.setdefault(name, {})[message] = handler
        if not known and self._runtime is not None:
            self._listen(name)

    def event(self, *args: Any, **options: Any) -> Any:
        """Register a function as the handler of the event of its name."""
        if len(args) == 1 and not options and callable(args[0]):
            return self.on(args[0].__name__)(args[0])
        return lambda handler: self.on(handler.__name__, *args, **options)(handler)

    def on_namespace(self, handlers: NamespaceHandlers) -> None:
        """Register a class of handlers."""
        if not isinstance(handlers, NamespaceHandlers):
            raise ValueError("Not a namespace instance.")
        handlers.socketio = self
        known = handlers.namespace in self._handlers or handlers.namespace in self._classes
        self._classes[handlers.namespace] = handlers
        if not known and self._runtime is not None:
            self._listen(handlers.namespace)

    def on_error(self, namespace: str | None = None) -> Callable[[Handler], Handler]:
        """Register what handles the exceptions of a namespace's handlers."""

        def register(handler: Handler) -> Handler:
            self.exception_handlers[namespace or "/"] = handler
            return handler

        return register

    def on_error_default(self, handler: Handler) -> Handler:
        """Register what handles the exceptions of all other namespaces."""
        self.default_exception_handler = handler
        return handler

    def _listen(self, namespace: str) -> None:
        runtime = self.runtime
        runtime.viewers.keep_handshakes()
        for event, call in (
            ("connect", self._connect),
            ("disconnect", self._disconnect),
            (ANY, self._dispatch),
        ):
            describe = functools.partial(self._describe, namespace, event)
            runtime.viewers.on(event, Described(call, describe), namespace)

    def _connect(self, sid: str, auth: Any) -> Any:
        runtime = self.runtime
        client = Client(sid, runtime.viewers.namespace_of(sid), runtime.viewers.handshake(sid))
        if self.manage_session:
            self._sessions.begin(self.app, client)
        self._clients[sid] = client
        accepted = False
        try:
            result = self._handle(client, "connect", (auth or None,))
            if result is False:
                raise ConnectionRefusedError()
            accepted = True
            return result
        finally:
            if not accepted:
                self._clients.pop(sid, None)

    def _disconnect(self, sid: str, reason: str) -> None:
        client = self._clients.pop(sid, None)
        if client is not None:
            self._handle(client, "disconnect", (REASONS.get(reason, reason),))

    def _dispatch(self, event: str, sid: str, *args: Any) -> Any:
        client = self._clients.get(sid)
        if client is None:
            raise Refused("This viewer is not connected.")
        return self._handle(client, event, args)

    def _handle(self, client: Client, event: str, args: tuple[Any, ...]) -> Any:
        """Call the handler of an event; encoding its answer here makes an error its own."""
        with self._noting_errors():
            handler, given = self._find(client.namespace, event, args)
            if handler is None:
                if event in ("connect", "disconnect"):
                    return None
                raise Refused("No handler is registered for this event.")
            owner = self._classes.get(client.namespace)
            with client.handling(self.app, event, args):
                try:
                    result = call_with(handler, given, optional=event in ("connect", "disconnect"))
                except (ConnectionRefused, ConnectionRefusedError):
                    raise
                except Exception as error:
                    result = self._handle_error(error, client.namespace, owner)
            return encodable(result)

    def _describe(self, namespace: str, event: str, *arguments: Any) -> str:
        """The name of the program's function, for the log; see ``Described``."""
        event = arguments[0] if event == ANY else event
        handler, _ = self._find(namespace, event, ())
        return event if handler is None else name_of(handler, ())

    def _find(
        self, namespace: str, event: str, args: tuple[Any, ...]
    ) -> tuple[Handler | None, tuple[Any, ...]]:
        """The handler of an event, and its arguments: the namespace's own, or one for all."""
        for name in (namespace, ANY):
            handlers = self._handlers.get(name, {})
            if event in handlers and event != ANY:
                return handlers[event], args
            if ANY in handlers and event not in ("connect", "disconnect"):
                return handlers[ANY], (event, *args)
            owner = self._classes.get(name)
            if (
                owner is not None
                and type(owner).trigger_event is not NamespaceHandlers.trigger_event
            ):
                return functools.partial(owner.trigger_event, event), args
            if owner is not None and (handler := owner.handler(event)) is not None:
                return handler, args
        return None, args

    def _handle_error(
        self, error: Exception, namespace: str, owner: NamespaceHandlers | None
    ) -> Any:
        method = getattr(owner, "error", None)
        handler = method or self.exception_handlers.get(namespace, self.default_exception_handler)
        if handler is None:
            raise error
        return handler(error)

    def _noting_errors(self) -> Any:
        return self.testing.noting_errors()

    # Emitting

    def emit(
        self,
        event: str,
        *args: Any,
        namespace: str | None = None,
        to: Any = None,
        room: Any = None,
        include_self: bool = True,
        skip_sid: Any = None,
        callback: Handler | None = None,
        **options: Any,
    ) -> None:
        """Emit to all viewers of a namespace, or to the rooms and sids of ``to``.

        ``options`` of Flask-SocketIO that need nothing here (``broadcast``, ``ignore_queue``) are
        accepted. Raises TypeError for values that JSON cannot carry.
        """
        check_options(options, {"broadcast", "ignore_queue"})
        if not include_self and not skip_sid and has_request_context():
            skip_sid = getattr(request, "sid", None)
        if callback is not None:
            callback = self._in_context_of_request(callback)
        emit = functools.partial(
            self.runtime.viewers.emit,
            event,
            namespace=namespace or "/",
            to=room_names(to or room),
            skip=room_names(skip_sid),
            callback=callback,
        )
        sending(emit, expanded(args))

    def send(
        self,
        data: Any,
        json: bool = False,
        namespace: str | None = None,
        to: Any = None,
        callback: Handler | None = None,
        include_self: bool = True,
        skip_sid: Any = None,
        **options: Any,
    ) -> None:
        """Emit the event ``message``, or ``json``."""
        self.emit(
            "json" if json else "message",
            data,
            namespace=namespace,
            to=to,
            callback=callback,
            include_self=include_self,
            skip_sid=skip_sid,
            **options,
        )

    def call(
        self,
        event: str,
        *args: Any,
        namespace: str | None = None,
        to: Any = None,
        room: Any = None,
        timeout: float = 60,
        **options: Any,
    ) -> Any:
        """Emit to one viewer and wait for its acknowledgement. Raises TimeoutError."""
        check_options(options, {"ignore_queue"})
        call = functools.partial(
            self.runtime.viewers.call,
            event,
            namespace=namespace or "/",
            to=to or room,
            timeout=timeout,
        )
        return sending(call, expanded(args))

    def _in_context_of_request(self, callback: Handler) -> Handler:
        client = self._clients.get(getattr(request, "sid", "")) if has_request_context() else None

        @functools.wraps(callback)
        def call_back(*args: Any) -> Any:
            if client is None:
                with self.app.app_context():
                    return callback(*args)
            with client.handling(self.app, "callback", args):
                return callback(*args)

        return call_back

    def close_room(self, room: Any, namespace: str | None = None) -> None:
        """Take every viewer out of a room."""
        self.runtime.viewers.move("close_room", namespace or "/", "", room_name(room))

    def move(self, kind: EventKind, namespace: str, room: Any, sid: str) -> None:
        """Let a viewer enter or leave a room, or disconnect it."""
        room = room_name(room)
        if kind == "enter" and room != sid and self._is_elsewhere(room):
            log.warning(
                "room %s is the sid of a viewer of another process; what that process emits to it "
                "reaches its viewer alone, so give the room a name of its own",
                room,
            )
        self.runtime.viewers.move(kind, namespace, room, sid)

    def _is_elsewhere(self, room: str) -> bool:
        """Whether a room is called like a viewer of another process, or like one that has left."""
        return packets.is_sid(room) and self.runtime.viewers.local_hub.find(room) is None

    def rooms(self, sid: str) -> list[str]:
        """The rooms of a viewer of this process, its sid among them."""
        return self.runtime.viewers.rooms(sid)

    # Running

    def run(
        self,
        app: Flask,
        host: str | None = None,
        port: int | None = None,
        *,
        debug: bool | None = None,
        use_reloader: bool | None = None,
        reloader_options: dict[str, Any] | None = None,
        extra_files: list[str] | None = None,
        **options: Any,
    ) -> None:
        """Serve the app and its viewers until a signal. The default port is 5000."""
        from statecast.socketio import serving  # only programs that serve load it

        if app.extensions.get(EXTENSION) is not self:
            sys.exit(f"Statecast: {NO_APP}")
        watched = {"extra_files": extra_files} if extra_files else {}
        serving.run(
            app,
            host,
            port,
            debug=debug,
            use_reloader=use_reloader,
            reloader_options={**(reloader_options or {}), **watched},
            **options,
        )

    def stop(self) -> None:
        """Stop the server of this process, as a signal does."""
        import os
        import signal

        os.kill(os.getpid(), signal.SIGTERM)

    def start_background_task(
        self, target: Handler, *args: Any, **options: Any
    ) -> threading.Thread:
        """Run a function in a thread of its own."""
        thread = threading.Thread(target=target, args=args, kwargs=options, daemon=True)
        thread.start()
        return thread

    def sleep(self, seconds: float = 0) -> None:
        time.sleep(seconds)

    # Testing

    @property
    def testing(self) -> TestServer:
        """The viewers of ``test_client``; without one it only lets errors pass."""
        if self._test_server is None:
            self._test_server = TestServer(self)
        return self._test_server

    def test_client(
        self,
        app: Flask,
        namespace: str | None = None,
        query_string: str | None = None,
        headers: Any = None,
        auth: Any = None,
        flask_test_client: Any = None,
    ) -> SocketIOTestClient:
        """A client for tests, connected to the handlers of this object without a network."""
        return SocketIOTestClient(
            app, self, namespace, query_string, headers, auth, flask_test_client
        )

    @property
    def server(self) -> TestServer:
        """What tests of Flask-SocketIO apps look at of python-socketio's server."""
        return self.testing

    def session_of(self, sid: str) -> Any:
        client = self._clients.get(sid)
        if client is None:
            raise NotFound("There is no such viewer.")
        return client.session


@dataclass(frozen=True)
class Described:
    """A handler that calls one of the program's functions, which the log names instead of it."""

    call: Handler
    describe: Handler
    """The name of the function, by the arguments of the call."""

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)


def call_with(handler: Handler, args: tuple[Any, ...], *, optional: bool) -> Any:
    """Call a handler; of ``optional`` arguments it may take none."""
    return handler(*args) if not optional or takes(handler, args) else handler()


def takes(handler: Handler, args: tuple[Any, ...]) -> bool:
    """Whether a function can be called with these arguments; a built-in one may not say it."""
    try:
        inspect.signature(handler).bind(*args)
    except TypeError:
        return False
    except ValueError:
        pass
    return True


def expanded(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """A tuple is several arguments, and None alone is none."""
    if len(args) == 1 and isinstance(args[0], tuple):
        return args[0]
    return () if args == (None,) else args


def encodable(result: Any) -> Any:
    """An answer that can be sent. Raises TypeError for one that cannot."""

    def encode(*values: Any) -> tuple[Any, ...]:
        packets.encode(packets.ACK, "/", 1, values)
        return values

    checked = sending(encode, result if isinstance(result, tuple) else (result,))
    return checked if isinstance(result, tuple) else checked[0]


def check_options(options: dict[str, Any], known: set[str]) -> None:
    for name in options:
        if name not in known:
            raise TypeError(f"emit has no option {name!r}")
