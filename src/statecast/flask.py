"""Statecast in a Flask app: a polite guest, and the app that stands alone.

An extension keeps nothing of an app on itself but the list of its hosts: what an app has is its ``Runtime``, in
``app.extensions["statecast"]``. Only a process that serves with us (``statecast run``, ``live.run``) watches queues,
polls functions and has viewers; under any other server the extension reads and sends.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import sys
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar, overload

from flask import Flask, current_app, has_app_context

from statecast import dev_server, names, settings, strict_json
from statecast.decoders.decoder import Decoder
from statecast.errors import BadSetting, Malformed, StatecastError
from statecast.model import Change, Kind
from statecast.realtime.namespaces import check_registration
from statecast.runtime import Runtime
from statecast.sources.polled_function import PolledFunction
from statecast.web import blueprints

EXTENSION = "statecast"
Function = TypeVar("Function", bound=Callable[..., Any])
Registration = Callable[[Flask, Runtime], None]

seconds = settings.number(0.01, 86_400)


class Statecast:
    """The extension: ``Statecast(app)``, or ``Statecast()`` and later ``init_app(app)``.

    Options are the settings by name, ``Statecast(app, store="sqlite:///pillow.db")``. They win over the environment
    (``STATECAST_STORE``), that over the app's configuration (``app.config["STATECAST_STORE"]``). Raises BadSetting.
    """

    def __init__(self, app: Flask | None = None, **options: Any) -> None:
        self._options = options
        self._apps: list[weakref.ref[Flask]] = []
        self._registrations: list[Registration] = []
        settings.known(options, "given to Statecast")
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, **options: Any) -> None:
        """Be a guest of ``app``: REST at ``/api``, pages below ``/statecast``. ``options`` are for this app alone."""
        if EXTENSION in app.extensions:
            raise BadSetting(
                f"The Flask app {app.name!r} has Statecast already, and an app has it once: remove the second "
                "Statecast(app) or init_app(app), and use the first one's object everywhere."
            )
        loaded = settings.load(self._options | options, os.environ, flask=app.config)
        runtime = Runtime(loaded)
        for register in self._registrations:
            register(app, runtime)
        blueprints.as_guest(app, runtime)
        app.extensions[EXTENSION] = runtime
        self._apps.append(weakref.ref(app))
        dev_server.maybe_serve(app, runtime)

    # Which app is meant

    @property
    def runtime(self) -> Runtime:
        """What the current app has; outside of any, the only app this extension was given to. Raises BadSetting."""
        hosts = self._hosts()
        if has_app_context():
            app = current_app._get_current_object()  # type: ignore[attr-defined]
            if any(app is host for host in hosts):
                return runtime_of(app)
        if len(hosts) == 1:
            return runtime_of(hosts[0])
        if not hosts and self._apps:
            raise BadSetting(
                "The app of this Statecast is gone: an extension does not keep its app alive. Keep it in a variable: "
                "`app = Flask(__name__)`, then `live = Statecast(app)`."
            )
        if not hosts:
            raise BadSetting(
                "This Statecast has no app yet; call Statecast(app), or init_app(app), before using it."
            )
        raise BadSetting(
            f"This Statecast serves {len(hosts)} apps, and no one of them is the current one; "
            "say which is meant: `with app.app_context(): ...`."
        )

    def _hosts(self) -> list[Flask]:
        return [app for reference in self._apps if (app := reference()) is not None]

    # States

    def set(self, device: str, state: Mapping[str, Any] | None = None, /, **fields: Any) -> None:
        """Change fields of a device, durable on return: ``live.set("pillow", mood="happy")``; None removes a field.

        Fields whose names are no Python names go in as a mapping. From any thread. Raises Refused or Unavailable.
        """
        self._edit(device, "merge", state, fields)

    def replace(
        self, device: str, state: Mapping[str, Any] | None = None, /, **fields: Any
    ) -> None:
        """Make this the whole state of a device, whatever it was. Raises Refused or Unavailable."""
        self._edit(device, "replace", state, fields)

    def delete(self, device: str) -> None:
        """Remove a device; one that is not there stays away. Raises Refused or Unavailable."""
        self._edit(device, "delete", None, {})

    def _edit(
        self, device: str, kind: Kind, state: Mapping[str, Any] | None, fields: Mapping[str, Any]
    ) -> None:
        whole = strict_json.check({} if state is None else state)
        if not isinstance(whole, dict):
            raise Malformed("A state is a mapping of fields and values, like {'mood': 'happy'}.")
        whole |= strict_json.check(fields)
        self.runtime.store.edit(Change(names.check(device), kind, whole, by="user"))

    def get(self, device: str) -> dict[str, Any] | None:
        """The state of a device, a copy of your own; None if there is no such device."""
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

    # Messages and events

    def send(self, message: Mapping[str, Any] | list[Mapping[str, Any]]) -> str:
        """Put a message, or a list of several, into the embedded queue, durable on return; its id.

        ``{"device": "pillow", "state": {"mood": "happy"}}``, as a device would send it. Raises Refused or Unavailable.
        """
        return self.runtime.send(strict_json.encode(strict_json.check(message)))

    def emit(self, event: str, *data: Any, namespace: str = "/", to: str | None = None) -> None:
        """Send an event to every viewer of a namespace, to those in its room ``to``, or to the one whose sid that is.

        From any thread and process; it reaches viewers in every process, at most once. Bytes among the data go only to
        one viewer, by its sid, in the process that serves it. Raises Refused or Unavailable.
        """
        self.runtime.emit(event, *data, namespace=namespace, to=to)

    @overload
    def on(
        self, event: str, handler: None = None, *, namespace: str = "/"
    ) -> Callable[[Function], Function]: ...
    @overload
    def on(self, event: str, handler: Function, *, namespace: str = "/") -> Function: ...
    def on(self, event: str, handler: Any = None, *, namespace: str = "/") -> Any:
        """Have a function called with (sid, data ...) for a viewer's event; what it returns is the acknowledgement.

        ``connect`` (sid, auth) refuses by returning False, or with a sentence by raising Refused; ``disconnect``
        (sid, reason) is told. Plain functions run on threads, coroutine functions on the loop of the viewers. One that
        comes while the server runs is called from then on. Raises BadSetting.
        """

        def register(function: Function) -> Function:
            check_registration(event, function, namespace)
            self._register(lambda app, runtime: runtime.on(event, within(app, function), namespace))
            return function

        return register if handler is None else register(handler)

    def register(self, handlers: Any) -> None:
        """Have an object's methods ``on_<event>`` called, as ``on`` has functions: ``on_connect``, ``on_hug``.

        Its attribute ``namespace``, if it has one, says in which. Raises BadSetting.
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

    def enter(self, sid: str, room: str) -> None:
        """Put a viewer into a room of its namespace; ``sid`` is what a handler of ``@live.on`` is called with.

        In the process that serves the viewer, which is where its handlers run. A viewer that leaves has left its rooms.
        """
        self.runtime.local_hub.enter(sid, room)

    def leave(self, sid: str, room: str) -> None:
        """Take a viewer out of a room."""
        self.runtime.local_hub.leave(sid, room)

    def disconnect(self, sid: str) -> None:
        """Take a viewer out of its namespace. Where ``enter`` works."""
        self.runtime.local_hub.disconnect(sid)

    def poll(self, device: str, *, every: float = 1.0) -> Callable[[Function], Function]:
        """Decorate a function that is called every so many seconds; what it returns is the device's state.

        One process at a time calls it, however many serve. None means that there is nothing new. One that comes while
        the server runs is called from then on. Raises BadSetting.
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

    def _register(self, register: Registration) -> None:
        """For every app, whether it comes before or after."""
        for app in self._hosts():
            register(app, runtime_of(app))
        self._registrations.append(register)

    # Serving

    def run(
        self, app: Flask | None = None, *, host: str | None = None, port: int | None = None
    ) -> NoReturn:
        """Serve the app and its viewers until a signal; what ``socketio.run(app)`` was. Ends the program."""
        from statecast.server import server  # the server is imported by those who serve

        try:
            app = app or self._only_host()
            runtime = runtime_of(app)
            options: dict[str, Any] = {"host": host, "port": port}
            given = {name: value for name, value in options.items() if value is not None}
            runtime.settings = dataclasses.replace(runtime.settings, **given)
            status = server.serve(runtime, app)
        except StatecastError as error:
            sys.exit(f"Statecast: {error}")
        sys.exit(status)

    def _only_host(self) -> Flask:
        hosts = self._hosts()
        if len(hosts) != 1:
            raise BadSetting("Say which app to serve: live.run(app).")
        return hosts[0]


def runtime_of(app: Flask) -> Runtime:
    """What Statecast keeps for this app. Raises BadSetting when the app has no Statecast."""
    runtime = app.extensions.get(EXTENSION)
    if not isinstance(runtime, Runtime):
        raise BadSetting(
            f"The Flask app {app.name!r} has no Statecast; add `live = Statecast(app)` to it."
        )
    return runtime


def within(app: Flask, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called in the app's context: it finds ``current_app``, and ``live`` finds its app."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        with app.app_context():
            return function(*arguments)

    @functools.wraps(function)
    async def call_later(*arguments: Any) -> Any:
        with app.app_context():
            return await function(*arguments)

    return call_later if inspect.iscoroutinefunction(function) else call


def create_app(loaded: settings.Settings) -> Flask:
    """The app of ``statecast run`` without one of yours: our pages at ``/``."""
    app = Flask("statecast", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False
    runtime = Runtime(loaded)
    app.extensions[EXTENSION] = runtime
    blueprints.alone(app, runtime)
    return app
