"""``socketio.run``: serves an app as Flask-SocketIO's method of that name does.

With ``debug`` an error of a page is shown by werkzeug's debugger, and a changed file starts the
program again.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.debug import DebuggedApplication
from werkzeug.serving import is_running_from_reloader

from statecast import flask as extension
from statecast.errors import BadSetting, StatecastError
from statecast.server import sockets
from statecast.socketio.options import REFUSED, TLS, tls_settings
from statecast.web import blueprints

log = logging.getLogger(__name__)

PORT = 5_000
"""Flask-SocketIO's default."""
IGNORED = {"log_output", "allow_unsafe_werkzeug", "backlog", "threaded"}
"""Options that only tune another server."""


def run(
    app: Flask,
    host: str | None,
    port: int | None,
    *,
    debug: bool | None,
    use_reloader: bool | None,
    reloader_options: dict[str, Any],
    **options: Any,
) -> None:
    """Serve until a signal. What the user can mend is one sentence, and the status 1."""
    try:
        use_debugger = options.pop("use_debugger", None)
        check_options(options)
        speak_tls(app, tls_settings(options))
        app.debug = app.debug if debug is None else bool(debug)
        reload = reloader() if (app.debug if use_reloader is None else use_reloader) else None
        if reload is not None and not is_running_from_reloader():
            reload(lambda: None, **reloader_options)  # starts this program again, and ends with it
            return
        address = host, int(port or named_port(app))
        allow_named_host(app, host)
        if app.debug if use_debugger is None else use_debugger:
            debugger = DebuggedApplication(app.wsgi_app, evalex=True)
            app.wsgi_app = debugger  # type: ignore[method-assign]
        if reload is not None:
            extension.serve_in_background(app, *address)
    except StatecastError as error:
        sys.exit(f"Statecast: {error}")
    if reload is None:
        extension.serve(app, host=address[0], port=address[1])
    else:  # it watches the files, and keeps the main thread for that
        reload(threading.Event().wait, **reloader_options)


def speak_tls(app: Flask, found: dict[str, Any]) -> None:
    """With the certificate that the program names."""
    runtime = extension.runtime_of(app)
    runtime.settings = dataclasses.replace(runtime.settings, **found)


def allow_named_host(app: Flask, host: str | None) -> None:
    """Listen on a public address that the program names, unless the app has states to protect."""
    if host is None or sockets.is_loopback(host) or blueprints.are_in(app):
        return
    extension.add_runtime(app, {"allow_public": True})
    log.warning("everyone who reaches %s may connect to this app", host or "this machine")


def reloader() -> Callable[..., None] | None:
    """werkzeug's: it starts the program again when a file changes. None if this version moved it.

    It is no public name, so the server runs without it rather than not at all.
    """
    if threading.current_thread() is not threading.main_thread():
        log.warning("only the main thread can start the program again when a file changes")
        return None
    try:
        from werkzeug._reloader import run_with_reloader
    except ImportError:
        log.warning("this version of werkzeug has no reloader that is known here; use flask run")
        return None
    return run_with_reloader


def check_options(options: dict[str, Any]) -> None:
    """Raises BadSetting."""
    given = [name for name, value in options.items() if value is not None and name not in TLS]
    for name in given:
        if name in REFUSED:
            raise BadSetting(REFUSED[name])
        if name not in IGNORED:
            raise BadSetting(
                f"socketio.run has no option {name!r} here; settings of the server are options of "
                "SocketIO(app, ...)."
            )
    if given:
        log.warning("these options of socketio.run do nothing here: %s", ", ".join(sorted(given)))


def named_port(app: Flask) -> int:
    name = str(app.config.get("SERVER_NAME") or "")
    return int(name.rpartition(":")[2]) if ":" in name else PORT
