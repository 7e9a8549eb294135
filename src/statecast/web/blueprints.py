"""Where our pages and REST hang: as a guest below ``/statecast`` and ``/api``, alone at ``/``.

A guest touches nothing that is its host's: no error page, no header and no option of the app is ours. An app of our own
answers every error in our way: a page for people, ``application/problem+json`` below ``/api``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from statecast.web import api, pages

if TYPE_CHECKING:
    from statecast.runtime import Runtime

API = "/api"
BELOW = "/statecast"
"""Where the pages are in a user's app; the static files are there in every app."""


def as_guest(app: Flask, runtime: Runtime) -> None:
    app.register_blueprint(pages.pages(runtime, BELOW))
    app.register_blueprint(api.rest(runtime), url_prefix=API)


def alone(app: Flask, runtime: Runtime) -> None:
    app.register_blueprint(pages.pages(runtime))
    app.register_blueprint(api.rest(runtime), url_prefix=API)
    site = pages.Site(runtime)

    def mistaken(error: HTTPException) -> ResponseReturnValue:
        below_api = request.path == API or request.path.startswith(f"{API}/")
        return api.http_problem(error) if below_api else site.mistaken(error)

    app.register_error_handler(HTTPException, mistaken)
    app.register_error_handler(Exception, site.failed)
