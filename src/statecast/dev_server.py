"""Under ``flask run``: the address that Flask prints is live.

Flask's development server cannot serve viewers, so our server runs in a thread of the same process,
at an address that only this machine reaches. Viewers' requests to Flask's server are passed on to
it. It starts when Flask has loaded the app: before that, routes are still being added.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any

import click
from flask import Flask
from flask.cli import ScriptInfo, run_command
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

from statecast.access import policy
from statecast.errors import StatecastError
from statecast.http import first_rights
from statecast.settings.checks import OWN_ADDRESS

if TYPE_CHECKING:
    from statecast.runtime import Runtime
    from statecast.server.dev_forwarder import DevForwarder

LOOPBACK = "127.0.0.1"
LOAD_TIMEOUT = 300.0
"""Seconds to wait until Flask has loaded the app."""
ONE_AT_A_TIME = (
    "with --without-threads Flask's server answers one request at a time, and a viewer's request "
    "lasts. Leave it out."
)
FLASK_TLS = "give it the files, with `flask run --cert ... --key ...`."


def maybe_serve(app: Flask, runtime: Runtime) -> None:
    """Serve viewers in the serving process of ``flask run``: the child of a reloader."""
    context = click.get_current_context(silent=True)
    if context is None or context.command is not run_command:
        return
    reload = context.params["reload"]
    if (get_debug_flag() if reload is None else reload) and not is_running_from_reloader():
        return
    if not context.params["with_threads"]:
        _say(f"Statecast is not live: {ONE_AT_A_TIME}")
        return
    serve_beside(app, runtime, context.ensure_object(ScriptInfo), context.params)


def serve_beside(app: Flask, runtime: Runtime, info: ScriptInfo, options: dict[str, Any]) -> None:
    """Pass viewers' requests on, and start our server once Flask has loaded the app."""
    from statecast.server import dev_forwarder, sockets

    host = str(options["host"])
    if host.startswith("unix:"):
        host = LOOPBACK  # browsers come through a proxy on this machine
    if not sockets.is_loopback(host) and runtime.settings.allow_public:
        _say(f"Everyone who reaches {host} {policy.deeds_of(runtime.settings.others_may)}.")
    if runtime.settings.tls_cert:
        _say(f"Statecast leaves TLS to Flask's server here: {FLASK_TLS}")
    runtime.settings = dataclasses.replace(
        runtime.settings,
        host=host,
        trusted_proxy=(*runtime.settings.trusted_proxy, LOOPBACK),
        live_url=OWN_ADDRESS,
        tls_cert="",  # between the two servers, on this machine
        tls_key="",
        hsts_days=0,
        proxy_user_header="",  # Flask's server passes on what clients send
        proxy_groups_header="",
    )
    forwarder = dev_forwarder.DevForwarder(app.wsgi_app, runtime.settings)
    app.wsgi_app = forwarder  # type: ignore[method-assign]
    runtime.unserved.serving = True
    threading.Thread(
        target=serve, args=(info, app, runtime, forwarder), name="statecast-start", daemon=True
    ).start()


def serve(info: ScriptInfo, app: Flask, runtime: Runtime, forwarder: DevForwarder) -> None:
    """Wait until Flask has loaded the app, start, and say so below Flask's own lines."""
    from statecast.server import sockets

    deadline = time.monotonic() + LOAD_TIMEOUT
    while getattr(info, "_loaded_app", app) is None:  # Flask has no event for this
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
    try:
        address = start(app, runtime)
    except StatecastError as error:
        runtime.unserved.serving = False
        runtime.settings = dataclasses.replace(runtime.settings, live_url="")
        forwarder.begin(None)
        _say(f"Statecast is not live: {error}")
        return
    forwarder.begin(address)
    _say("Statecast is live at the address that Flask prints")
    if not sockets.is_loopback(runtime.settings.host) and not runtime.rights.says_who_may():
        _say(first_rights.noted(runtime.settings))


def start(app: Flask, runtime: Runtime) -> tuple[str, int]:
    """Start our server at a free port of this machine, and return its address."""
    from statecast.server import server, sockets

    inner = dataclasses.replace(runtime.settings, host=LOOPBACK, port=0)
    listening = sockets.listen(inner)
    host, port = listening.getsockname()[:2]
    server.BackgroundServer(runtime, app).start(listening)
    return host, port


def _say(sentence: str) -> None:
    click.echo(f" * {sentence}", err=True)
