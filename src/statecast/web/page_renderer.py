"""Renders the templates of our pages, with their headers.

The first HTML is a complete page: it is correct without any script, and it never claims to be live.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import flask

from statecast.access.actions import Action
from statecast.access.patterns import scope
from statecast.broadcast.unserved import Unserved
from statecast.http import content_coding
from statecast.model import Position
from statecast.settings.checks import SELF
from statecast.web import request_rights, scripts, sign_in
from statecast.web.live_address import live_address, live_origin
from statecast.web.request_rights import RequestRights, RightsRuntime

if TYPE_CHECKING:
    from statecast.access.records import AuditEntry
    from statecast.broadcast.last_hour import LastHour
    from statecast.problems import Problems
    from statecast.stores.contract import Store
    from statecast.web.picture_rules import Picture

OPTIONAL: dict[str, Any] = {
    "only": False,
    "find": False,
    "query": "",
    "hop": "unknown",
    "known": 0,
    "hatch": False,
    "arc": False,
    "icons": (),
    "pictures": (),
}
"""Defaults of the variables that the templates of all pages use."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'{live}; base-uri 'none'; form-action 'self'; frame-ancestors {frames}; "
    "require-trusted-types-for 'script'"
)
"""``live``: the live endpoint, if it has another origin; ``frames``: who may embed the page."""
NEVER_FRAMED = {"operator", "shared", "sign-in"}
"""Kinds of pages in which a click or a password must not be that of another page's frame."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}


class PageRuntime(RightsRuntime, Protocol):
    """The parts of ``Runtime`` that our pages need: one of them is the operator's."""

    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Callable[[], int]: ...
    @property
    def problems(self) -> Problems: ...
    @property
    def last_hour(self) -> LastHour: ...
    def replay(self, number: int, audit: AuditEntry | None = None) -> str: ...
    def current_reports(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def unserved(self) -> Unserved: ...
    @property
    def allows_page(self) -> Callable[[str], bool]: ...


class PageRenderer:
    """Renders pages for the client of the current request. Any thread; it keeps nothing of it."""

    def __init__(self, live: PageRuntime) -> None:
        self.live = live

    @property
    def rights(self) -> RequestRights:
        """What the current request may do: a page offers nothing that is refused."""
        return request_rights.or_none(self.live)

    def render(
        self,
        kind: str,
        position: Position,
        status: int = 200,
        *,
        template: str = "",
        script_of: str = "",
        title: str,
        **facts: Any,
    ) -> flask.Response:
        """Render a template. ``script_of`` names the kind of page whose script runs, if another."""
        # With the templates comes all that words and draws a state: see ``late_views``.
        from statecast.web.page_templates import environment

        name = self.live.settings.title
        controls = [name for name in scripts.CONTROLS if facts.get(name)]
        defaults = {
            "kind": kind,
            "position": position,
            "now": self.live.clock(),
            "name": name,
            "title": f"{title} — {name}",
            "root": flask.url_for("statecast_pages.front"),
            "asset": _asset,
            "address": flask.request.host + flask.request.script_root,
            "script": scripts.entry(script_of or kind),
            "preloads": scripts.preloads(script_of or kind, *controls),
            "styles": _styles(kind, facts.get("pictures", ())),
            "scope": scope(self.rights.readable),
            "may_send": self.rights.allows(Action.SEND),
            "may_operate": self.rights.allows(Action.OPERATE),
            "wanted": self.live.settings.card_fields,
            "unserved": "" if kind == "trouble" else self._unserved(),
            "damaged": self.rights.damaged(self.live.store),
            **self._session(),
        }
        text = (
            environment()
            .get_template(template or f"{kind}.html")
            .render(OPTIONAL | defaults | facts)
        )
        response = flask.Response(text, status, self._headers(kind))
        if defaults["session"]:
            # With `no-referrer` browsers would send the form to sign out with the Origin `null`.
            response.headers["Referrer-Policy"] = "same-origin"
        return _packed(response)

    def error_page(
        self, status: int, heading: str, sentence: str, error_id: str = ""
    ) -> flask.Response:
        """A page that says what happened and what to do."""
        facts: dict[str, Any] = {"heading": heading, "sentence": sentence, "error_id": error_id}
        return self.render("trouble", Position("", 0), status, title=heading, **facts)

    def sign_in_address(self, why: str | None = None) -> str:
        """Where people sign in, and come back from; "": no one can here."""
        if not self.live.rights.holds("user"):
            return ""
        asked = flask.request
        query = f"?{asked.query_string.decode('latin-1')}" if asked.query_string else ""
        back = f"{asked.script_root}{quote(asked.path)}{query}" if asked.method == "GET" else ""
        return flask.url_for("statecast_sign_in.show", why=why, next=back or None)

    def _session(self) -> dict[str, Any]:
        """Who is signed in by a cookie, and where to sign in or out."""
        cookie = flask.request.cookies.get(sign_in.SESSION_COOKIE, "")
        identity = self.rights.identity
        if cookie and any(kind == "session" for kind, _ in identity.records):
            return {
                "session": identity,
                "form_token": sign_in.form_token(cookie),
                "sign_out": flask.url_for("statecast_sign_in.sign_out"),
                "sign_in": "",
            }
        address = self.sign_in_address() if identity.kind == "anonymous" else ""
        return {"session": None, "form_token": "", "sign_out": "", "sign_in": address}

    def _unserved(self) -> str:
        """What the page lacks under a server that is not ours; empty if it is live."""
        served = live_address(self.live)
        return "" if served else self.live.unserved.page_sentence()

    def _headers(self, kind: str) -> dict[str, str]:
        origin = live_origin(self.live)
        allowed = f" {origin} {origin.replace('http', 'ws', 1)}" if origin else ""
        ancestors = () if kind in NEVER_FRAMED else self.live.settings.frame_ancestors
        frames = " ".join("'self'" if one == SELF else one for one in ancestors) or "'none'"
        policy = POLICY.format(live=allowed, frames=frames)
        return HEADERS | {"Content-Security-Policy": policy}


def _packed(page: flask.Response) -> flask.Response:
    """A page compressed, where the browser takes it.

    Not where the address has a query: the length of a compressed page that repeats a query tells
    something about the rest of it (BREACH).
    """
    page.vary.add("Accept-Encoding")
    if flask.request.query_string or not flask.request.accept_encodings["gzip"]:
        return page
    page.set_data(content_coding.packed(page.get_data(), 6))
    page.content_encoding = "gzip"
    return page


def _styles(kind: str, shown: Sequence[Picture]) -> list[str]:
    """The style sheets of a kind of page, in the order in which they build on each other."""
    own = {name: ["list.css"] for name in ("list", "rows", "pictures")}
    own |= {name: [f"{name}.css"] for name in ("device", "operator", "sign-in")}
    generic = any(picture.name != "cloud" for picture in shown)
    return ["page.css", "cloud.css", *own.get(kind, []), *(["gallery.css"] if generic else [])]


def _asset(name: str) -> str:
    return flask.url_for("statecast_pages.static", filename=name)


def origin() -> str:
    """The address of the app under which the client asked."""
    return flask.request.root_url.rstrip("/")
