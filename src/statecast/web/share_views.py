"""The page of share links, and the exchange of a link for a cookie.

The token is in the fragment of the address, which browsers send to no server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
from flask.typing import ResponseReturnValue

from statecast import strict_json
from statecast.access.actions import Action
from statecast.access.grants import Grants
from statecast.access.patterns import Patterns, narrowed
from statecast.errors import Malformed, NotAuthenticated, TooLarge, TooManyGuesses
from statecast.model import Position
from statecast.web import api, request_rights, sign_in
from statecast.web.request_rights import RightsRuntime
from statecast.web.rest_requests import read_object
from statecast.web.rest_responses import json_response

SHARE = "/statecast/share"
MAX_BODY = 2_000
SHOWN: dict[str, Any] = {
    "devices": [],
    "total": 0,
    "shown": 0,
    "groups": [],
    "filters": [],
    "rows_page": None,
    "usual": (None, None),
    "show": "",
    "hop": "unknown",
}
"""Of a list without a device: they come live."""
Page = Callable[..., ResponseReturnValue]


class ShareViews:
    """No request leaves anything here."""

    def __init__(self, live: RightsRuntime, page: Page) -> None:
        self._live = live
        self._page = page

    def show_share(self) -> ResponseReturnValue:
        """The page that reads the link. It shows nothing before it has the token."""
        from statecast.web import listing  # one of the modules that draw states: see `late_views`

        facts = SHOWN | {"rows_per_page": listing.ROWS} | listing.art([])
        page = self._page(
            "list",
            Position("", 0),
            template="list.html",
            title="Shared devices",
            script_of="share",
            **facts,
        )
        response = flask.make_response(page)
        response.headers["Cache-Control"] = "no-store"
        return response

    def exchange(self) -> ResponseReturnValue:
        """The link as a cookie that no script reads, and the address to go to."""
        try:
            return self._exchange()
        except (Malformed, NotAuthenticated, TooLarge, TooManyGuesses) as refused:
            return api.statecast_problem(refused)

    def _exchange(self) -> flask.Response:
        """Raises Malformed, TooLarge, NotAuthenticated, TooManyGuesses."""
        body = read_object(MAX_BODY, "A share link", '{"token": "sh_..."}')
        token = body.get("token")
        if not isinstance(token, str):
            raise Malformed('The link is sent as {"token": "sh_..."}.')
        asked = flask.request
        desk, rights = self._live.rights.desk, request_rights.or_none(self._live)
        share = desk.share_of(token, asked.remote_addr or "")
        shown = Grants.of((share.body or {}).get("grants", {})).patterns(Action.READ)
        sees_already = narrowed(shown, rights.readable) == shown
        is_known = rights.identity.kind not in ("anonymous", "share")
        # Somebody who is signed in keeps that session, and sees the link's devices in this page.
        address = None if is_known and not sees_already else _address_of(shown)
        response = json_response(strict_json.encode({"address": address}))
        if not is_known:
            seconds = desk.share_seconds(share)
            sign_in.set_cookie(response, asked, sign_in.SESSION_COOKIE, token, seconds)
        response.headers["Cache-Control"] = "no-store"
        return response


def _address_of(shown: Patterns) -> str:
    """The page of the one device that a link shows, or the list."""
    if len(shown) == 1 and not shown[0].endswith("*"):
        return flask.url_for("statecast_pages.device", name=shown[0])
    return flask.url_for("statecast_pages.front")
