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


def maybe_serve(app: Flask, runtime: Runtime) -> None:
    """Start the live server in the serving process of ``flask run``: the child of a reloader."""
    context = click.get_current_context(silent=True)
    if context is None or context.command is not run_command:
        return
    reload = context.params["reload"]
    if (get_debug_flag() if reload is None else reload) and not is_running_from_reloader():
        return
    info = context.ensure_object(ScriptInfo)
    pages = tuple(f"http://{host}:{context.params['port']}" for host in (LOOPBACK, "localhost"))
    settings = runtime.settings
    runtime.settings = dataclasses.replace(
        settings, host=LOOPBACK, allow_origins=(*settings.allow_origins, *pages)
    )
    threading.Thread(
        target=serve, args=(info, app, runtime), name="statecast-start", daemon=True
    ).start()


def serve(info: ScriptInfo, app: Flask, runtime: Runtime) -> None:
    """Wait until Flask has loaded the app, start, and print the address below Flask's own."""
    deadline = time.monotonic() + LOAD_TIMEOUT
    while getattr(info, "_loaded_app", app) is None:  # Flask has no event for this
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
    try:
        server = start(app, runtime)
    except StatecastError as error:
        click.echo(f" * Statecast is not live: {error}", err=True)
        return
    click.echo(f" * Statecast is live at {server.address}; open your pages there", err=True)


def start(app: Flask, runtime: Runtime) -> BackgroundServer:
    """Start on the port of the settings, or on a free one if it is taken, perhaps by Flask."""
    from statecast.server.server import BackgroundServer

    try:
        server = BackgroundServer(runtime, app)
        server.start()
    except BadSetting:
        runtime.settings = dataclasses.replace(runtime.settings, port=0)
        server = BackgroundServer(runtime, app)
        server.start()
    return server
