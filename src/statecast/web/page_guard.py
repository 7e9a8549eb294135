"""What every request of our pages goes through: limits, rights, and errors as pages."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

import flask
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from statecast import logs, names
from statecast.errors import RowDamaged, StatecastError, StoreUnusable, Unavailable
from statecast.logs import LimitedLog
from statecast.web import cross_origin, rest_requests, route_actions
from statecast.web.live_address import app_root
from statecast.web.own_form import own_form
from statecast.web.page_renderer import PageRenderer

HTTP_ERRORS = {
    404: (
        "There is no such page",
        "The address may be mistyped; all devices are on the first page.",
    ),
    405: ("This page is only for looking", "Changes go to /api, as JSON."),
}

REFUSALS = {
    401: "This needs to know who you are",
    403: "This is not for you",
    429: "Too many wrong keys",
}

SCRIPTS = ("statecast_pages.static", "statecast_pages.live_address")
"""Endpoints of what a page loads, and which tells nothing of any device."""
NOT_COUNTED = tuple(f"statecast_pages.{name}" for name in ("static", "live_address", "elsewhere"))
"""Endpoints that cost little, and of which one page needs many."""

log = logging.getLogger(__name__)


class PageGuard:
    """Checks the requests of a blueprint of pages first, and answers its errors with pages."""

    def __init__(
        self, renderer: PageRenderer, missing: Callable[[str], ResponseReturnValue]
    ) -> None:
        """``missing`` answers for a device that the client may not know of."""
        self.live = renderer.live
        self.renderer = renderer
        self.missing = missing
        self._log = LimitedLog(log)

    def watch(self, blueprint: flask.Blueprint) -> None:
        """Check the requests of this blueprint, and answer its errors."""
        blueprint.before_request(self.check_prefix)
        blueprint.before_request(self.limit)
        blueprint.before_request(self.check_rights)
        blueprint.after_request(functools.partial(route_actions.for_one_reader, self.live))
        for unavailable in (Unavailable, StoreUnusable):
            blueprint.register_error_handler(unavailable, self.unavailable)
        blueprint.register_error_handler(HTTPException, self.http_error)
        blueprint.register_error_handler(Exception, self.unexpected_error)

    def allow_origins(self, response: flask.Response) -> flask.Response:
        """Let pages of other origins load our scripts; our pages they may not read."""
        if flask.request.endpoint in SCRIPTS:
            return cross_origin.allow(self.live.settings.allow_origins, response)
        return response

    def check_prefix(self) -> None:
        """Refuse a prefix of the path that would make links of a page lead elsewhere."""
        app_root()

    def limit(self) -> ResponseReturnValue | None:
        """Refuse a page to an address that asks for too many. Files of the script do not count."""
        address = flask.request.remote_addr or ""
        if flask.request.endpoint in NOT_COUNTED or self.live.allows_page(address):
            return None
        return self.too_many()

    def check_rights(self) -> ResponseReturnValue | None:
        """Refuse what the client may not do."""
        if flask.request.endpoint == "statecast_pages.operate" and not own_form():
            return self.foreign_form()
        found = route_actions.refusal(self.live)
        if found is None:
            return None
        if found.status == 404:
            return self.missing((flask.request.view_args or {})["name"])
        if found.challenge == route_actions.CHALLENGE and (
            address := self.renderer.sign_in_address("needed")
        ):
            return flask.redirect(address, 303)
        self._log.warning("rights", rest_requests.not_allowed(self.renderer.rights.identity))
        heading = REFUSALS[found.status]
        made = self.renderer.error_page(found.status, heading, found.sentence)
        made.headers.extend(found.fields())
        return made

    def too_many(self) -> ResponseReturnValue:
        """A page for an address that has asked for too many."""
        sentence = "This address has asked for many pages at once. Reload this one in a moment."
        response = self.renderer.error_page(429, "Too many pages at once", sentence)
        response.headers["Retry-After"] = "1"
        return response

    def foreign_form(self) -> ResponseReturnValue:
        """A page for a form that is not one of ours."""
        self._log.warning("origin", rest_requests.foreign_page())
        sentence = "Open the operator's page at this address, and press its button there."
        return self.renderer.error_page(403, "This form came from another site", sentence)

    def unavailable(self, error: StatecastError) -> ResponseReturnValue:
        """A page for a store that cannot be read. The log has the sentence that names the file."""
        if isinstance(error, RowDamaged):
            return self.renderer.error_page(503, "This device cannot be shown", str(error))
        self._log.warning("store", f"{flask.request.endpoint} was not answered: {error}")
        sentence, seconds = f"{error.public} Reload this page in a moment.", "1"
        if isinstance(error, StoreUnusable):
            sentence, seconds = f"{error.public} Reload this page after that.", "30"
        made = self.renderer.error_page(503, "The states cannot be read just now", sentence)
        made.headers["Retry-After"] = seconds
        return made

    def http_error(self, error: HTTPException) -> ResponseReturnValue:
        """A page for an error of HTTP: no such page, no such method."""
        if error.response is not None or error.code is None or error.code < 400:
            return error
        # Where a view of a page was found, ``limit`` has counted the request.
        found = flask.request.blueprint is not None and flask.request.endpoint not in NOT_COUNTED
        if not found and not self.live.allows_page(flask.request.remote_addr or ""):
            return self.too_many()
        heading, sentence = HTTP_ERRORS.get(error.code, (error.name, error.description or ""))
        made = self.renderer.error_page(error.code, heading, sentence)
        made.headers.extend((name, value) for name, value in error.get_headers() if name == "Allow")
        return made

    def unexpected_error(self, error: Exception) -> ResponseReturnValue:
        """A page with an error number, under which the log has the error."""
        number = logs.log_error(log, f"the page {names.quoted(flask.request.path)} failed", error)
        return self.renderer.error_page(
            500, "This page failed", "The log says why, under the number below. Try again.", number
        )
