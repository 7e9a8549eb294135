"""The views of signing in and out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import flask
from flask.typing import ResponseReturnValue

from statecast import names
from statecast.access.desk import Desk
from statecast.errors import NotAuthenticated, TooManyGuesses
from statecast.logs import LimitedLog
from statecast.model import Position
from statecast.web import rest_requests, sign_in
from statecast.web.own_form import own_form

WHY = {
    "ended": "Your session has ended. Sign in again to go on.",
    "needed": "What you asked for needs to know who you are.",
    "out": "You are signed out.",
}
"""Sentences by the member ``why`` of the address."""
log = logging.getLogger(__name__)


Page = Callable[..., ResponseReturnValue]


class SignInViews:
    """A form for people, and what becomes of it. No request leaves anything here."""

    def __init__(self, desk: Callable[[], Desk], page: Page) -> None:
        """``page`` is ``PageRenderer.render``: a template in the looks of the product."""
        self._desk = desk
        self._page = page
        self._log = LimitedLog(log)

    def show(self) -> ResponseReturnValue:
        """The form; it leads to ``next`` afterwards."""
        return self._form(why=WHY.get(flask.request.args.get("why", ""), ""))

    def sign_in(self) -> ResponseReturnValue:
        """Begin a session and lead on, or show the form again with a sentence."""
        asked = flask.request
        if not (own_form() and sign_in.has_token(asked)):
            self._log.warning("origin", rest_requests.foreign_page())
            return self._form(400, "This form was too old or not of this site. Please try again.")
        name, password = asked.form.get("user", ""), asked.form.get("password", "")
        try:
            cookie = self._desk().sign_in(
                name,
                password,
                asked.remote_addr or "",
                asked.cookies.get(sign_in.SESSION_COOKIE, ""),
            )
        except TooManyGuesses as refused:
            response = flask.make_response(self._form(429, refused.public))
            response.headers["Retry-After"] = str(refused.retry_after)
            return response
        except NotAuthenticated as refused:
            who = names.quoted(name[:80])
            self._log.warning(
                f"sign-in {asked.remote_addr}", f"{asked.remote_addr} did not sign in as {who}"
            )
            return self._form(401, refused.public)
        response = flask.make_response(flask.redirect(self._target(), 303))
        seconds = self._desk().session_seconds
        sign_in.set_cookie(response, asked, sign_in.SESSION_COOKIE, cookie, seconds)
        sign_in.drop_cookie(response, asked, sign_in.FORM_COOKIE)
        return self._unstored(response)

    def sign_out(self) -> ResponseReturnValue:
        """End the session and lead to the form."""
        asked = flask.request
        if not (own_form() and sign_in.has_token(asked)):
            self._log.warning("origin", rest_requests.foreign_page())
            return self._form(400, "This button was too old or not of this site. Reload the page.")
        self._desk().sign_out(asked.cookies.get(sign_in.SESSION_COOKIE, ""))
        address = flask.url_for("statecast_sign_in.show", why="out")
        response = flask.make_response(flask.redirect(address, 303))
        sign_in.drop_cookie(response, asked, sign_in.SESSION_COOKIE)
        # Pages of this session that a browser keeps for its back button are dropped too.
        response.headers["Clear-Site-Data"] = '"cache"'
        return self._unstored(response)

    def _form(self, status: int = 200, sentence: str = "", why: str = "") -> ResponseReturnValue:
        cookie = sign_in.own_cookie(flask.request)
        given = cookie or sign_in.new_form_cookie()
        facts: dict[str, Any] = {
            "script": "",
            "preloads": [],
            "sign_in": "",
            "sentence": sentence,
            "why": why,
            "token": sign_in.form_token(given),
            "target": self._target(),
            "user": flask.request.form.get("user", "")[:64],
            "action": flask.url_for("statecast_sign_in.sign_in"),
        }
        page = self._page("sign-in", Position("", 0), status, title="Sign in", **facts)
        response = flask.make_response(page)
        # With `no-referrer` browsers would send this form with the Origin `null`.
        response.headers["Referrer-Policy"] = "same-origin"
        if not cookie:
            sign_in.set_cookie(response, flask.request, sign_in.FORM_COOKIE, given, None)
        return self._unstored(response)

    def _target(self) -> str:
        root = f"{flask.request.script_root}/"
        given = flask.request.form.get("next") or flask.request.args.get("next", "")
        target = sign_in.safe_target(given, root)
        return target if target != root else flask.url_for("statecast_pages.front")

    def _unstored(self, response: flask.Response) -> flask.Response:
        response.headers["Cache-Control"] = "no-store"
        return response
