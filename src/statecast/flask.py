"""Statecast as a Flask extension, and the app of ``statecast run``.

The extension keeps a list of its apps and nothing else of them. The state of an app is its
``Runtime``, in ``app.extensions["statecast"]``. Only a process that serves with Statecast
(``statecast run``, ``live.run``) consumes queues, polls functions and has viewers. Under any other
server the extension reads and sends.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - asyncio's; not to be had once the main thread ends
import dataclasses
import functools
import inspect
import os
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from flask import Flask, Request, current_app, has_app_context, has_request_context, request

from statecast import dev_server, logs, names, settings, strict_json
from statecast.access.identity import Identity
from statecast.commands.life import Command
from statecast.commands.request import EXPIRES, new_command
from statecast.decoders.decoder import Decoder
from statecast.errors import BadSetting, Malformed, StatecastError
from statecast.model import Change, Kind, Watching
from statecast.reactions.reaction import reaction_of
from statecast.realtime.app_viewers import Rooms
from statecast.realtime.namespaces import check_registration
from statecast.runtime import Runtime
from statecast.settings.checks import number
from statecast.sources.polled_function import PolledFunction
from statecast.web import blueprints, request_rights

if TYPE_CHECKING:
    from statecast.server.server import BackgroundServer

EXTENSION = "statecast"
Function = TypeVar("Function", bound=Callable[..., Any])
Registration = Callable[[Flask, Runtime], None]

seconds = number(0.01, 86_400)


class Statecast:
    """The extension: ``Statecast(app)``, or ``Statecast()`` and later ``init_app(app)``.

    Options are the settings by name: ``Statecast(app, store="sqlite:///pillow.db")``. They override
    the environment (``STATECAST_STORE``), which overrides the app's configuration
    (``app.config["STATECAST_STORE"]``). Raises BadSetting.
    """

    def __init__(self, app: Flask | None = None, **options: Any) -> None:
        self._options = options
        self._apps: list[weakref.ref[Flask]] = []
        self._registrations: list[Registration] = []
        settings.known(options, "given to Statecast")
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, **options: Any) -> None:
        """Add Statecast to ``app``: REST at ``/api``, pages below ``/statecast``.

        ``options`` are for this app alone. Raises BadSetting.
        """
        if blueprints.are_in(app):
            raise BadSetting(
                f"The Flask app {app.name!r} has Statecast already, and an app has it once: "
                "remove the second Statecast(app) or init_app(app), and use the first one's object "
                "everywhere."
            )
        runtime = add_runtime(app, self._options | options)
        for register in self._registrations:
            register(app, runtime)
        blueprints.add_to_app(app, runtime)
        self._apps.append(weakref.ref(app))

    # Which app is meant

    @property
    def runtime(self) -> Runtime:
        """The runtime of the current app or, outside of an app context, of the only app.

        Raises BadSetting.
        """
        return runtime_of(self._current_host())

    def _current_host(self) -> Flask:
        hosts = self._hosts()
        if len(hosts) == 1:
            return hosts[0]
        if has_app_context():
            app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
            if any(app is host for host in hosts):
                return app
        if not hosts and self._apps:
            raise BadSetting(
                "The app of this Statecast is gone: an extension does not keep its app alive. Keep "
                "it in a variable: `app = Flask(__name__)`, then `live = Statecast(app)`."
            )
        if not hosts:
            raise BadSetting(
                "This Statecast has no app yet; call Statecast(app), or init_app(app), before "
                "using it."
            )
        raise BadSetting(
            f"This Statecast serves {len(hosts)} apps, and no one of them is the current one; "
            "say which is meant: `with app.app_context(): ...`."
        )

    def _hosts(self) -> list[Flask]:
        return [app for reference in self._apps if (app := reference()) is not None]

    # States

    def set(
        self, device: str, state: Mapping[str, Any] | None = None, /, **fields: Any
    ) -> int | None:
        """Change fields of a device: ``live.set("pillow", mood="happy")``; None removes a field.

        The change is durable on return. Pass fields whose names are not Python names as a mapping.
        Returns the version of the device after it; None if nothing was set on a device that does
        not exist. Callable from any thread. Raises Refused or Unavailable.
        """
        return self._edit(device, "merge", state, fields)

    def replace(
        self, device: str, state: Mapping[str, Any] | None = None, /, **fields: Any
    ) -> int | None:
        """Replace the whole state of a device. Returns its version.

        Raises Refused or Unavailable.
        """
        return self._edit(device, "replace", state, fields)

    def delete(self, device: str) -> int | None:
        """Remove a device. Returns the version that says so; None if it does not exist.

        Raises Refused or Unavailable.
        """
        return self._edit(device, "delete", None, {})

    def _edit(
        self, device: str, kind: Kind, state: Mapping[str, Any] | None, fields: Mapping[str, Any]
    ) -> int | None:
        runtime = self.runtime
        with runtime.counting_refused():
            whole = strict_json.check(fields if state is None else state)
            if not isinstance(whole, dict):
                raise Malformed(
                    "A state is a mapping of fields and values, like {'mood': 'happy'}."
                )
            if fields and state is not None:
                whole |= strict_json.check(fields)
            update = runtime.edit(Change(names.check(device), kind, whole, by="user"))
        return None if update is None else update.version

    def get(self, device: str) -> dict[str, Any] | None:
        """A copy of the state of a device; None if there is no such device."""
        update = self.runtime.store.get(names.check(device))
        return None if update is None or update.state is None else strict_json.decode(update.state)

    def devices(self) -> dict[str, dict[str, Any]]:
        """The states of all devices, by name."""
        present = self.runtime.store.devices()
        return {
            update.device: strict_json.decode(update.state)
            for update in present
            if update.state is not None
        }

    # Commands

    def takes(self, device: str) -> tuple[str, ...] | None:
        """The names of the commands that a device takes, as it or ``device_commands`` says.

        () for a device that takes none; None if nothing is known: any command is handed to it.
        """
        runtime = self.runtime
        update = runtime.store.get(names.check(device))
        return None if update is None else runtime.settings.commands_of(update)

    def command(
        self,
        device: str,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        expires: float = EXPIRES,
        by: str | None = None,
        key: str | None = None,
    ) -> Command:
        """Ask something of a device: ``live.command("pillow", "hug", {"strength": 2})``.

        The command waits in the store, durable on return, until its device takes it, for at most
        ``expires`` seconds; ``Command.status`` says what became of it. ``by`` names the person who
        asks. A repeated call with the same ``key`` is the same command. Callable from any thread.
        Raises NotFound for a device that never said anything, NotTaken for a command that it is
        known not to take, Refused or Unavailable.
        """
        new = new_command(device, name, arguments, expires=expires, by=by, key=key)
        return self.runtime.begin_command(new)

    def commands(self, device: str | None = None, *, limit: int = 50) -> list[Command]:
        """The newest commands of a device or of all, newest first."""
        if device is not None:
            names.check(device)
        return self.runtime.store.commands(device, limit=limit)

    # Messages and events

    def send(self, message: Mapping[str, Any] | list[Mapping[str, Any]] | str | bytes) -> str:
        """Put a message, or a list of messages, into the embedded queue, and return its id.

        A message is what a device would send: ``{"device": "pillow", "state": {"mood": "happy"}}``.
        Text and bytes are messages as a device wrote them, in any encoding that a queue may have.
        It is durable on return. Raises Refused or Unavailable.
        """
        if isinstance(message, (str, bytes)):
            raw = (
                message.encode(errors="surrogatepass")
                if isinstance(message, str)
                else bytes(message)
            )
            return self.runtime.send(raw)
        return self.runtime.send(strict_json.check_and_encode(message))

    def emit(
        self,
        event: str,
        *data: Any,
        namespace: str = "/",
        to: Rooms = None,
        skip: Rooms = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """Send an event to the viewers of a namespace, in every process, at most once.

        ``to`` names a room, a viewer's sid, or several of them; ``skip`` those that do not get it.
        Bytes among the data arrive as bytes. Callable from any thread and process; what one thread
        does to a viewer arrives in the order of its calls. ``callback`` is called with what the
        viewer acknowledges; ``to`` is then the sid of one viewer of this process. Raises Refused or
        Unavailable.
        """
        if callback is not None:
            callback = within(self._current_host(), callback)
        self.runtime.viewers.emit(
            event, *data, namespace=namespace, to=to, skip=skip, callback=callback
        )

    def call(
        self, event: str, *data: Any, to: str, namespace: str = "/", timeout: float = 60.0
    ) -> Any:
        """Send an event to one viewer of this process, and wait for its acknowledgement.

        Returns what the viewer acknowledges with: None, a value, or a tuple of several. For plain
        functions, not for coroutines. Raises TimeoutError, Refused or Unavailable.
        """
        return self.runtime.viewers.call(event, *data, to=to, namespace=namespace, timeout=timeout)

    def request(self, sid: str) -> Request:
        """The HTTP request with which a viewer of this process began: headers, cookies, query.

        Only if some handler was registered with ``request=True``; a viewer then costs the memory of
        its request. Raises NotFound.
        """
        from statecast.server.wsgi_environ import environ_of  # only programs that serve load it

        found = self.runtime.viewers.handshake(sid)
        return self._current_host().request_class(environ_of(found.head, found.address))

    @overload
    def on(
        self, event: str, handler: None = None, *, namespace: str = "/", request: bool = False
    ) -> Callable[[Function], Function]: ...
    @overload
    def on(
        self, event: str, handler: Function, *, namespace: str = "/", request: bool = False
    ) -> Function: ...
    def on(
        self, event: str, handler: Any = None, *, namespace: str = "/", request: bool = False
    ) -> Any:
        """Call a function with (sid, data ...) for an event of viewers.

        Its return value is the acknowledgement. A handler of ``connect`` (sid, auth) refuses a
        viewer by returning False, or with a sentence by raising Refused (ConnectionRefused: with
        data, too). A handler of ``disconnect`` gets (sid, reason). That of ``"*"`` gets the events
        without a handler of their own, as (event, sid, data ...). Plain functions run on threads,
        coroutine functions on the loop of the viewers. With ``request`` viewers' requests are kept
        for ``live.request``. A handler may be added while the server runs. Raises BadSetting.
        """

        def register(function: Function) -> Function:
            check_registration(event, function, namespace)
            self._register(
                lambda app, runtime: runtime.viewers.on(event, within(app, function), namespace)
            )
            if request:
                self._register(lambda app, runtime: runtime.viewers.keep_handshakes())
            return function

        return register if handler is None else register(handler)

    def register(self, handlers: Any) -> None:
        """Call an object's methods ``on_<event>``, as with ``on``: ``on_connect``, ``on_hug``.

        The object's attribute ``namespace``, if it exists, names the namespace. Raises BadSetting.
        """
        kind = handlers if isinstance(handlers, type) else type(handlers)
        if isinstance(handlers, type):
            raise BadSetting(
                f"live.register takes an object, not its class: live.register({kind.__name__}())."
            )
        found = {
            name[3:]: getattr(handlers, name) for name in dir(handlers) if name.startswith("on_")
        }
        if not found:
            raise BadSetting(
                f"{kind.__name__} has no method on_<event>, so there is nothing to register."
            )
        namespace = getattr(handlers, "namespace", "/")
        for event, handler in found.items():
            check_registration(event, handler, namespace)
        for event, handler in found.items():
            self.on(event, handler, namespace=namespace)

    def authorize(self, function: Function) -> Function:
        """Ask a function (request) what a request may do that no token, cookie or proxy names.

        It returns a table of device pattern and actions, ``{"pillow": "read command"}``, perhaps
        with a name before it, ``("ada", {"pillow": "read"})``; None: it has no opinion. An error
        allows nothing. It runs on a thread within Flask's request context, so ``flask.session`` and
        ``flask_login.current_user`` are at hand; for viewers it runs once per connection. Raises
        BadSetting for a second one.
        """

        def register(app: Flask, runtime: Runtime) -> None:
            from statecast.server.wsgi_environ import environ_of  # only programs that serve load it

            def request_of(head: Any, address: str) -> Request:
                return app.request_class(environ_of(head, address))

            runtime.rights.authorize_by(within_request(app, function), request_of)

        self._register(register)
        return function

    def identity(self) -> Identity:
        """Who the current request is of: ``kind``, ``name``, ``groups``, ``role``.

        Of ``kind``: "local" is this machine, "anonymous" has said nothing. Raises NotAuthenticated
        for a token that is wrong; Unavailable if it cannot be found out just now; BadSetting
        outside of a request.
        """
        return request_rights.current(self.runtime).identity

    def allows(self, action: str, device: str | None = None) -> bool:
        """Whether the current request may do this, for views of the application's own.

        ``action`` is read, command, send, write or operate. Without a device: whether it is allowed
        on any device at all. A request with a wrong token may do nothing. Raises Unavailable if it
        cannot be found out just now; BadSetting outside of a request.
        """
        return request_rights.allows(self.runtime, action, device)

    def rights_changed(self, user: str | None = None) -> None:
        """Say that what ``@live.authorize`` allows has changed, for a user or for everybody.

        The function is asked again for the viewers of that name, in every process. Without this
        call it is asked again once a minute.
        """
        self.runtime.rights_changed(user)

    def enter(self, sid: str, room: str) -> None:
        """Put a viewer into a room of its namespace; handlers of ``@live.on`` get its ``sid``.

        A viewer that disconnects leaves its rooms. Nothing happens if there is no such viewer. A
        room must not have the sid of another viewer as its name: who is in it would receive what
        is meant for that viewer alone. Raises Refused then.
        """
        self.runtime.viewers.check_room(room, sid)
        self.runtime.viewers.move("enter", "/", room, sid)

    def leave(self, sid: str, room: str) -> None:
        """Take a viewer out of a room."""
        self.runtime.viewers.move("leave", "/", room, sid)

    def close_room(self, room: str, *, namespace: str = "/") -> None:
        """Take every viewer out of a room, in every process."""
        self.runtime.viewers.move("close_room", namespace, "", room)

    def rooms(self, sid: str) -> list[str]:
        """The rooms of a viewer of this process, and its sid, which is a room of its own."""
        return self.runtime.viewers.rooms(sid)

    @overload
    def viewers(self, device: str) -> Watching: ...
    @overload
    def viewers(self, *, room: str, namespace: str = "/") -> Watching: ...
    def viewers(
        self, device: str | None = None, *, room: str | None = None, namespace: str = "/"
    ) -> Watching:
        """How many viewers watch a device or are in a room, in all serving processes; their names.

        A viewer is one connection: a page in two tabs is two viewers. One that vanished without a
        word counts until it has missed its ping. Callable from any thread and in any process.
        Raises Malformed or Unavailable.
        """
        if (device is None) == (room is None):
            raise Malformed('Name a device, or a room: live.viewers(room="smith").')
        if device is not None:
            return self.runtime.viewers.who_watches(device)
        return self.runtime.viewers.who_is_in(room or "", namespace)

    def name_viewer(self, sid: str, name: str | None) -> None:
        """Give a viewer a name, for ``viewers``: it has none before. None takes it away.

        Usually called in the handler of ``connect``. Everyone who may read a device sees the names
        of its viewers. Raises Malformed.
        """
        self.runtime.viewers.name_viewer(sid, name)

    def disconnect(self, sid: str) -> None:
        """Disconnect a viewer from its namespace."""
        self.runtime.viewers.move("disconnect", "/", "", sid)

    def poll(self, device: str, *, every: float = 1.0) -> Callable[[Function], Function]:
        """Call a function every so many seconds and merge its result into the device's state.

        One process at a time calls it, however many serve. None means that nothing changed. A
        function may be added while the server runs. Raises BadSetting.
        """
        try:
            names.check(device)
            period = seconds(every)
        except Malformed as error:
            raise BadSetting(f"@live.poll takes the name of a device. {error}") from None
        except ValueError as error:
            raise BadSetting(
                f"@live.poll({device!r}): `every` {error} (seconds); it is {every!r}."
            ) from None

        def decorate(function: Function) -> Function:
            def register(app: Flask, runtime: Runtime) -> None:
                source = PolledFunction(
                    device, within(app, function), every=period, clock=runtime.clock
                )
                runtime.add_source(source, Decoder())

            self._register(register)
            return function

        return decorate

    def on_change(self, *patterns: str, name: str | None = None) -> Callable[[Function], Function]:
        """Call a function with (device, before, after) when a device of these names changes.

        ``before`` is the state of the last successful call, ``after`` the present one; None: there
        was no device, or is none any more. At least one call per change that lasts, by one process
        at a time, in the order of each device's changes, over restarts; changes between two calls
        are one. A call that raises is repeated after a pause. The store knows the reaction by its
        ``name`` (module and function, if it has none); a new one begins with the present states.
        Raises BadSetting.
        """

        def decorate(function: Function) -> Function:
            reaction = reaction_of(function, patterns, name)
            self._register(
                lambda app, runtime: runtime.add_reaction(
                    dataclasses.replace(reaction, function=within(app, function))
                )
            )
            return function

        return decorate

    def _register(self, register: Registration) -> None:
        """Register with the apps that were added, and with every app that will be."""
        for app in self._hosts():
            register(app, runtime_of(app))
        self._registrations.append(register)

    # Serving

    def run(
        self, app: Flask | None = None, *, host: str | None = None, port: int | None = None
    ) -> NoReturn:
        """Serve the app and its viewers until a signal, then exit.

        It replaces ``socketio.run(app)``.
        """
        try:
            app = app or self._only_host()
        except StatecastError as error:
            sys.exit(f"Statecast: {error}")
        serve(app, host=host, port=port)

    def _only_host(self) -> Flask:
        hosts = self._hosts()
        if len(hosts) != 1:
            raise BadSetting("Say which app to serve: live.run(app).")
        return hosts[0]


def serve(app: Flask, *, host: str | None = None, port: int | None = None) -> NoReturn:
    """Serve an app and its viewers until a signal, then exit.

    In another thread than the main one, which gets no signals: until the process ends.
    """
    from statecast.server import server  # only programs that serve load it

    try:
        if threading.current_thread() is threading.main_thread():
            status = server.serve(configured(app, host, port), app)
        else:
            status = 0
            serve_in_background(app, host, port).join()
    except StatecastError as error:
        if threading.current_thread() is not threading.main_thread():
            print(f"Statecast: {error}", file=sys.stderr)  # Python drops it at the end of a thread
        sys.exit(f"Statecast: {error}")
    sys.exit(status)


def serve_in_background(app: Flask, host: str | None, port: int | None) -> BackgroundServer:
    """Serve in a thread of its own, and print the address. Raises a StatecastError."""
    from statecast.server import server

    runtime = configured(app, host, port)
    if runtime.settings.workers > 1:
        raise BadSetting("Several workers are started by the main thread only; set workers to 1.")
    logs.begin(runtime.settings.log_level, runtime.settings.log_format)
    background = server.BackgroundServer(runtime, app)
    background.start()
    background.announce(server.say)
    return background


def configured(app: Flask, host: str | None, port: int | None) -> Runtime:
    """The app's runtime with this address; None leaves the setting as it is."""
    runtime = runtime_of(app)
    options: dict[str, Any] = {"host": host, "port": port}
    given = {name: value for name, value in options.items() if value is not None}
    runtime.settings = dataclasses.replace(runtime.settings, **given)
    return runtime


def add_runtime(app: Flask, options: Mapping[str, Any]) -> Runtime:
    """Give an app a runtime; one that it has already gets the options. Raises BadSetting."""
    runtime = app.extensions.get(EXTENSION)
    if runtime is None:
        loaded = settings.load(options, os.environ, flask=app.config)
        runtime = app.extensions[EXTENSION] = Runtime(loaded)
        dev_server.maybe_serve(app, runtime)
    elif options:
        if runtime.store_opened:
            raise BadSetting("The store is open already; give these options to the first one.")
        runtime.settings = dataclasses.replace(
            runtime.settings, **settings.known(options, "given to Statecast")
        )
    found: Runtime = runtime
    return found


def runtime_of(app: Flask) -> Runtime:
    """The runtime of this app. Raises BadSetting when the app has no Statecast."""
    runtime = app.extensions.get(EXTENSION)
    if not isinstance(runtime, Runtime):
        raise BadSetting(
            f"The Flask app {app.name!r} has no Statecast; add `live = Statecast(app)` to it."
        )
    return runtime


def within(app: Flask, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function to run in the app's context, for ``current_app`` and ``live``."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        with app.app_context():
            return function(*arguments)

    @functools.wraps(function)
    async def call_later(*arguments: Any) -> Any:
        with app.app_context():
            return await function(*arguments)

    return call_later if inspect.iscoroutinefunction(function) else call


def within_request(app: Flask, function: Callable[..., Any]) -> Callable[[Request], Any]:
    """Wrap a function of a request to run in its context, also for a request of a viewer."""

    def call(asked: Request) -> Any:
        if has_request_context() and request == asked:
            return function(asked)
        with app.request_context(asked.environ) as context:
            return function(context.request)

    return call


def create_app(loaded: settings.Settings) -> Flask:
    """The app of ``statecast run`` when no app is given: the pages of Statecast at ``/``."""
    app = Flask("statecast", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False
    runtime = Runtime(loaded)
    app.extensions[EXTENSION] = runtime
    blueprints.serve_at_root(app, runtime)
    return app
