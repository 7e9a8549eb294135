"""Adds the pages and REST to a Flask app.

In an app of the user the templates get three functions, and a refusal that a view does not handle
becomes its status with its sentence instead of a 500. Nothing else changes: no error page, no
header and no option of the app. The app of ``statecast run`` answers every error: with a page,
or with ``application/problem+json`` below ``/api``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import flask
from flask import Blueprint, Flask, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from statecast.errors import Refused, StatecastError, StoreUnusable, Unavailable
from statecast.web import api, cross_origin, pages, sign_in
from statecast.web.late_views import LateViews
from statecast.web.live_address import ENDPOINT, Elsewhere
from statecast.web.page_guard import PageGuard
from statecast.web.page_renderer import PageRenderer
from statecast.web.rest_requests import own_writes_only
from statecast.web.share_views import SHARE, ShareViews
from statecast.web.sign_in_views import SignInViews

if TYPE_CHECKING:
    from statecast.runtime import Runtime

API = "/api"
BELOW = "/statecast"
"""The path of the pages in an app of the user, and of the static files in every app."""


def are_in(app: Flask) -> bool:
    """Whether an app has them already."""
    return "statecast_pages" in app.blueprints


def add_to_app(app: Flask, runtime: Runtime) -> None:
    """Add pages below ``/statecast``, REST and functions of templates to an app of the user."""
    from statecast.web.own_pages import OwnPages  # `statecast run` has no templates of others

    app.before_request(lambda: runtime.unserved.note_request())  # a test replaces `unserved`
    OwnPages(runtime).add_to(app.jinja_env)
    app.register_blueprint(pages.pages(runtime, BELOW))
    add_sign_in(app, runtime)
    app.register_blueprint(api.rest(runtime), url_prefix=API)
    for kind in (Refused, Unavailable, StoreUnusable):
        if kind not in app.error_handler_spec[None][None]:  # it was registered before ours
            app.register_error_handler(kind, unhandled)


def unhandled(error: StatecastError) -> ResponseReturnValue:
    """What a view of the application does not handle, as ``application/problem+json``.

    A handler that the application has for a more general error decides, as without ours.
    """
    app = flask.current_app
    handlers = app.error_handler_spec[None][None]
    found = (handlers.get(kind) for kind in type(error).__mro__)
    own = next((one for one in found if one is not None and one is not unhandled), None)
    if own is None:
        return api.statecast_problem(error)
    answer: ResponseReturnValue = app.ensure_sync(own)(error)
    return answer


def add_endpoint(app: Flask, runtime: Runtime) -> None:
    """Answer viewers that ask an app without our pages under another server than ours."""
    if not are_in(app):
        elsewhere = Elsewhere(runtime)
        app.add_url_rule(ENDPOINT, "statecast_elsewhere", elsewhere, methods=["GET", "POST"])
        app.add_url_rule(ENDPOINT, "statecast_elsewhere", elsewhere, websocket=True)


def add_sign_in(app: Flask, runtime: Runtime) -> None:
    """Add the page on which people sign in, for everybody who reaches the server."""
    blueprint = Blueprint("statecast_sign_in", __name__)
    renderer = PageRenderer(runtime)
    views = SignInViews(lambda: runtime.rights.desk, renderer.render)
    shares = ShareViews(runtime, renderer.render)
    for path, methods in {
        sign_in.SIGN_IN: {"GET": views.show, "POST": views.sign_in},
        sign_in.SIGN_OUT: {"POST": views.sign_out},
        SHARE: {"GET": shares.show_share, "POST": own_writes_only(shares.exchange)},
    }.items():
        for method, view in methods.items():
            blueprint.add_url_rule(path, view.__name__, view, methods=[method])
    _guard(renderer).watch(blueprint)
    app.register_blueprint(blueprint)


def serve_at_root(app: Flask, runtime: Runtime) -> None:
    """Add the pages at ``/``, REST and all error pages to the app of ``statecast run``."""
    app.register_blueprint(pages.pages(runtime))
    add_sign_in(app, runtime)
    app.register_blueprint(api.rest(runtime), url_prefix=API)
    guard = _guard(PageRenderer(runtime))

    def http_error(error: HTTPException) -> ResponseReturnValue:
        below_api = request.path == API or request.path.startswith(f"{API}/")
        if not below_api:
            return guard.http_error(error)
        # Where a view of REST was found, it has counted the request.
        if request.blueprint is None and not runtime.allows_page(request.remote_addr or ""):
            return cross_origin.allow(runtime.settings.allow_origins, api.too_many())
        answer = flask.make_response(api.http_problem(error))
        return cross_origin.allow(runtime.settings.allow_origins, answer)

    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, guard.unexpected_error)


def _guard(renderer: PageRenderer) -> PageGuard:
    return PageGuard(renderer, LateViews(renderer).missing)
