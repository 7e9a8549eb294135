"""Under ``flask run``: serves the app live on a second port of the same process.

Flask's development server cannot serve the live endpoint, so our server serves the same app, with
the live endpoint, beside it. It starts when Flask has loaded the app: before that, routes are
still being added.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING

import click
from flask import Flask
from flask.cli import ScriptInfo, run_command
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

from statecast.errors import BadSetting, StatecastError

if TYPE_CHECKING:
    from statecast.runtime import Runtime
    from statecast.server.server import BackgroundServer

LOOPBACK = "127.0.0.1"
LOAD_TIMEOUT = 300.0
"""Seconds to wait until Flask has loaded the app."""
START_TIMEOUT = 5.0
"""Seconds for which a page waits until it is known where it can be live."""


def maybe_serve(app: Flask, runtime: Runtime) -> None:
    """Start the live server in the serving process of ``flask run``: the child of a reloader."""
    context = click.get_current_context(silent=True)
    if context is None or context.command is not run_command:
        return
    reload = context.params["reload"]
    if (get_debug_flag() if reload is None else reload) and not is_running_from_reloader():
        return
    info = context.ensure_object(ScriptInfo)
    scheme = "https" if context.params.get("cert") else "http"
    port = context.params["port"]
    pages = tuple(f"{scheme}://{host}:{port}" for host in (LOOPBACK, "localhost"))
    settings = runtime.settings
    runtime.settings = dataclasses.replace(
        settings, host=LOOPBACK, allow_origins=(*settings.allow_origins, *pages)
    )
    address = Address()
    runtime.unserved.serving = True
    runtime.live_origin = address.wait
    threading.Thread(
        target=serve, args=(info, app, runtime, address), name="statecast-start", daemon=True
    ).start()


class Address:
    """Where the live server is. Flask may serve pages before that is known."""

    def __init__(self) -> None:
        self._known = threading.Event()
        self._origin = ""

    def set(self, origin: str) -> None:
        self._origin = origin
        self._known.set()

    def wait(self) -> str:
        """The origin; "" if there is none after START_TIMEOUT."""
        self._known.wait(START_TIMEOUT)
        return self._origin


def serve(info: ScriptInfo, app: Flask, runtime: Runtime, address: Address) -> None:
    """Wait until Flask has loaded the app, start, and print the address below Flask's own."""
    deadline = time.monotonic() + LOAD_TIMEOUT
    while getattr(info, "_loaded_app", app) is None:  # Flask has no event for this
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
    try:
        server = start(app, runtime)
    except StatecastError as error:
        address.set("")
        click.echo(f" * Statecast is not live: {error}", err=True)
        return
    address.set(server.address)
    click.echo(
        f" * Statecast is live at {server.address}; pages at Flask's address connect to it",
        err=True,
    )


def start(app: Flask, runtime: Runtime) -> BackgroundServer:
    """Start on the port of the settings; on a free one if it is taken, perhaps by Flask itself."""
    from statecast.server import server, sockets

    try:
        listening = sockets.listen(runtime.settings)
    except BadSetting as error:
        runtime.settings = dataclasses.replace(runtime.settings, port=0)
        listening = sockets.listen(runtime.settings)
        click.echo(f" * {error} Statecast takes a free one.", err=True)
    started = server.BackgroundServer(runtime, app)
    started.start(listening)
    return started
