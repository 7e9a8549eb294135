"""Under ``flask run``: the live server beside Flask's development server, in the same process, on a port of its own.

Flask's server cannot carry viewers, so ours serves the same app once more, viewers and all. It begins when the app is
loaded: a browser that comes back earlier would meet an app to which routes are still being added.
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
LOAD_SECONDS = 300.0


def maybe_serve(app: Flask, runtime: Runtime) -> None:
    """Start the live server if this is a process of ``flask run`` that serves: of two with a reloader, the child."""
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
    """Wait until Flask has loaded the app, start, and say where, in one line below Flask's own."""
    deadline = time.monotonic() + LOAD_SECONDS
    while getattr(info, "_loaded_app", app) is None:  # there is no event for it
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
    """On the port of the settings, or on a free one where that is taken, by Flask's own server for one."""
    from statecast.server.server import BackgroundServer

    try:
        server = BackgroundServer(runtime, app)
        server.start()
    except BadSetting:
        runtime.settings = dataclasses.replace(runtime.settings, port=0)
        server = BackgroundServer(runtime, app)
        server.start()
    return server
