"""``statecast run``: the server. No other command imports Flask and the server."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from statecast import settings as table
from statecast.cli.options import ALL_SETTINGS, GivenSettings, setting_flags
from statecast.errors import BadSetting
from statecast.names import without_password
from statecast.program.commands import command, send_command

if TYPE_CHECKING:
    from flask import Flask

    from statecast.runtime import Runtime


@click.command(short_help="Serve the page, watch the queues.")
@click.argument("app", required=False, metavar="[APP]")
@setting_flags(ALL_SETTINGS)
def run(given: GivenSettings, app: str | None) -> None:
    """Watch the queues, keep the states, and show them live in every browser, until Ctrl-C.

    APP is a Flask app with Statecast, as module:name of the app or of a function that returns it;
    flags override its own settings. Without APP, Statecast's own pages are served at /; as
    `flask statecast run`, the app of `flask --app` is served.
    """
    flask_app = default_app(given) if app is None else users_app(app, given)
    from statecast.flask import runtime_of
    from statecast.server import server

    runtime = runtime_of(flask_app)
    sys.exit(
        server.serve(runtime, flask_app, announce=lambda address: greet(address, runtime.settings))
    )


def default_app(given: GivenSettings) -> Flask:
    """The app of ``flask --app``, else one with Statecast's own pages. Raises BadSetting."""
    if given.load_app is not None:
        return with_settings(given.load_app(), given)
    settings = given.settings()
    from statecast.flask import create_app

    return create_app(settings)


def users_app(name: str, given: GivenSettings) -> Flask:
    """The app of the user, with the settings of the command line. Raises BadSetting."""
    from statecast.cli.app_loader import load_app

    if given.load_app is not None:
        raise BadSetting(
            f"`flask statecast run` serves the app of `flask --app`: `flask --app {name} statecast "
            "run`."
        )
    return with_settings(load_app(name), given)


def with_settings(flask_app: Flask, given: GivenSettings) -> Flask:
    """The app, with the settings of the command line. Raises BadSetting."""
    from statecast.flask import runtime_of

    override(runtime_of(flask_app), given.overrides())
    return flask_app


def override(runtime: Runtime, values: Mapping[str, Any]) -> None:
    """Change settings of the app. Raises BadSetting if its store is open already."""
    settings = dataclasses.replace(runtime.settings, **values)
    if runtime.store_opened and settings.store != runtime.settings.store:
        raise BadSetting(
            f"The app opened its store {without_password(runtime.settings.store)} while it was "
            "imported, so --store comes too late; set STATECAST_STORE instead, or use the store "
            "only later."
        )
    runtime.settings = settings


def greet(live_at: str, settings: table.Settings) -> None:
    """Print where the server is, and the command that sends a first message."""
    found = re.search(r"https?://\S+", live_at)
    address = found[0] if found else live_at
    click.echo(
        f"{live_at}\nTo send a first message, in another terminal: "
        f"{first_message(address, settings)}\nCtrl-C stops it."
    )


def first_message(address: str, settings: table.Settings) -> str:
    """The command. A store in memory can only be reached through its server."""
    if settings.store.startswith("memory:"):
        return send_command(address, "pillow", {"mood": "happy"})
    first = dataclasses.replace(settings, source=settings.source[:1])
    return command(first, "send", "pillow", "mood=happy", flags=("store", "source"))
