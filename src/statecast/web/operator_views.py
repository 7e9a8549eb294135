"""The operator's page as Flask views: what it shows, and what its forms ask for.

Few pages of a server are opened more rarely, so ``operator`` is imported by the first request.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import flask
from flask.typing import ResponseReturnValue

from statecast.errors import Malformed
from statecast.model import Position
from statecast.web import sign_in
from statecast.web.page_guard import PageGuard
from statecast.web.page_renderer import PageRenderer


class OperatorViews:
    """The page and its forms. They read the store; no request leaves anything here."""

    def __init__(self, renderer: PageRenderer, guard: PageGuard) -> None:
        self.live = renderer.live
        self.renderer = renderer
        self.guard = guard

    def show(self) -> ResponseReturnValue:
        """Sources, quarantine, viewers and store, as the serving processes reported them."""
        from statecast.web import operator

        position = self.live.store.read_position()
        made = self.renderer.render(
            "operator",
            position,
            title="Operator",
            outcome=operator.outcome(flask.request.args),
            wanted_share=flask.request.args.get("share", "")[:130],
            **operator.facts(self.live, self.live.clock()),
        )
        # With `no-referrer` browsers would send the forms of this page with the Origin `null`.
        made.headers["Referrer-Policy"] = "same-origin"
        return made

    def act(self) -> ResponseReturnValue:
        """Replay or drop messages in quarantine, as a form of the operator's page asks.

        The answer leads back to the page, so that a reload repeats nothing.
        """
        from statecast.web import operator

        if not sign_in.has_session_token(flask.request):
            return self.guard.foreign_form()
        form, identity = flask.request.form, self.renderer.rights.identity
        try:
            if form.get("action") == "share":
                return self._shared(*operator.share(self.live, form, identity))
            if form.get("action") == "unshare":
                revoked = operator.unshare(self.live, form.get("id", ""), identity)
                return self._back(revoked)
            done = operator.act(
                self.live,
                form.get("action", ""),
                form.getlist("number"),
                self.renderer.rights.identity,
            )
        except Malformed as error:
            return self.renderer.error_page(400, "This form cannot be used", str(error))
        return self._back(done)

    def _back(self, done: Mapping[str, int]) -> ResponseReturnValue:
        address = flask.url_for("statecast_pages.operator")
        return flask.redirect(f"{address}?{urlencode(done)}", 303)

    def _shared(self, pattern: str, token: str, seconds: int) -> ResponseReturnValue:
        """The page that shows a new share link, once."""
        path = flask.url_for("statecast_sign_in.show_share", _external=True)
        return self.renderer.render(
            "shared",
            Position("", 0),
            title=f"A link to {pattern}",
            pattern=pattern,
            link=f"{path}#{token}",
            until=self.live.clock() + seconds * 1000,
        )
