"""The pages as Flask views.

The first HTML is a complete page: it is correct without any script, and it never claims to be live.
"""

from __future__ import annotations

import difflib
import functools
import gzip
import json
import logging
import shlex
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast
from urllib.parse import quote, urlencode

import flask
import jinja2
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from statecast import logs, names
from statecast.access.actions import Action
from statecast.access.patterns import scope
from statecast.access.records import AuditEntry
from statecast.broadcast.last_hour import LastHour
from statecast.broadcast.unserved import Unserved
from statecast.errors import Malformed, RowDamaged, StatecastError, StoreUnusable, Unavailable
from statecast.logs import LimitedLog
from statecast.model import HistoryRow, Position, Update
from statecast.problems import Problems
from statecast.program.commands import ask_command, send_command, send_words
from statecast.program.distribution import VERSION
from statecast.settings import SELF, Settings
from statecast.stores.contract import ReadCursor, Store
from statecast.web import (
    command_words,
    cross_origin,
    formatting,
    gallery,
    listing,
    operator,
    picture_rules,
    pictures,
    request_rights,
    rest_requests,
    route_actions,
    scripts,
    sign_in,
    view_models,
)
from statecast.web.known_devices import KnownDevices
from statecast.web.live_address import ENDPOINT, Elsewhere, app_root, live_address, live_origin
from statecast.web.own_form import own_form
from statecast.web.request_rights import RequestRights, RightsRuntime
from statecast.web.view_models import DeviceSummary, TemplateFunctions

CARDS = 60
"""More devices than these are shown as rows."""
SEARCH_FROM = 8
NEIGHBOURS = 100
"""Devices before and after an unknown name that are compared with it: to compare all of many
thousands takes seconds."""
COMMANDS_READ = 20
"""The newest commands of a device, of which the page shows what waits and what came last."""
EXAMPLE_LENGTH = 40
"""Characters of the change that the form of a device suggests."""

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

log = logging.getLogger(__name__)


class PageRuntime(RightsRuntime, Protocol):
    """The parts of ``Runtime`` that the pages need."""

    @property
    def store(self) -> Store: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def clock(self) -> Callable[[], int]: ...
    @property
    def problems(self) -> Problems: ...
    @property
    def unserved(self) -> Unserved: ...
    @property
    def allows_page(self) -> Callable[[str], bool]: ...
    @property
    def last_hour(self) -> LastHour: ...
    def replay(self, number: int, audit: AuditEntry | None = None) -> str: ...
    def current_reports(self) -> Mapping[str, Mapping[str, Any]]: ...


class PagesBlueprint(flask.Blueprint):
    """Its static files are asked for again by each page, whatever the app says of its own.

    Their addresses have no version: from a cache, a page would run the scripts of an older release.
    """

    def get_send_file_max_age(self, filename: str | None) -> int:
        return 0


def pages(live: PageRuntime, below: str = "") -> flask.Blueprint:
    """The blueprint of our own pages, at ``below``.

    The static files are always at ``/statecast``.
    """
    blueprint = PagesBlueprint(
        "statecast_pages", __name__, static_folder="static", static_url_path="/statecast"
    )
    views = PageViews(live)
    blueprint.add_url_rule("/statecast/live-address.js", "live_address", views.live_address)
    elsewhere = Elsewhere(live)
    blueprint.add_url_rule(ENDPOINT, "elsewhere", elsewhere, methods=["GET", "POST"])
    blueprint.add_url_rule(ENDPOINT, "elsewhere", elsewhere, websocket=True)
    blueprint.add_url_rule(f"{below}/", "front", views.front)
    blueprint.add_url_rule(f"{below}/devices/<path:name>", "device", views.device)
    blueprint.add_url_rule(f"{below}/operator", "operator", views.operator)
    blueprint.add_url_rule(f"{below}/operator", "operate", views.operate, methods=["POST"])
    blueprint.add_url_rule(f"{below}/pictures", "pictures", views.pictures)
    views.guard(blueprint)
    blueprint.after_request(views.allow_origins)
    return blueprint


@functools.cache
def environment() -> jinja2.Environment:
    """An environment apart from the app's, whose templates and options are not changed.

    Nothing in it is of one app, so a process compiles each template once.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("statecast.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {
        "attribute": view_models.attribute,
        "json_attribute": view_models.json_attribute,
        "button_label": command_words.button_label,
        "plain": view_models.plain,
        "clock": formatting.clock,
        "day": formatting.day,
        "iso": formatting.iso,
        "shell_word": shlex.quote,
        "number": lambda count: f"{count:,}",
        "short": formatting.number,
        "ago": formatting.ago,
        "bytes": formatting.size,
        "lag": formatting.lag,
    }
    made.globals |= {
        "bind": TemplateFunctions.bind,
        "words": TemplateFunctions.words,
        "release": VERSION,
    }
    return made


class PageViews:
    """The views. They read the store and render templates; no request leaves anything here."""

    def __init__(self, live: PageRuntime) -> None:
        self.live = live
        self.known_devices = KnownDevices()
        self.templates = environment()
        self._log = LimitedLog(log)

    def guard(self, blueprint: flask.Blueprint) -> None:
        """Check every request of a blueprint of pages first, and answer its errors with pages."""
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
            return self._foreign_form()
        found = route_actions.refusal(self.live)
        if found is None:
            return None
        if found.status == 404:
            return self._missing((flask.request.view_args or {})["name"])
        if found.challenge == route_actions.CHALLENGE and (
            address := self._sign_in_address("needed")
        ):
            return flask.redirect(address, 303)
        self._log.warning("rights", rest_requests.not_allowed(self.rights.identity))
        heading = REFUSALS[found.status]
        made = flask.make_response(self.error_page(found.status, heading, found.sentence))
        made.headers.extend(found.fields())
        return made

    def _sign_in_address(self, why: str | None = None) -> str:
        """Where people sign in, and come back from; "": no one can here."""
        if not self.live.rights.holds("user"):
            return ""
        asked = flask.request
        query = f"?{asked.query_string.decode('latin-1')}" if asked.query_string else ""
        back = f"{asked.script_root}{quote(asked.path)}{query}" if asked.method == "GET" else ""
        return flask.url_for("statecast_sign_in.show", why=why, next=back or None)

    @property
    def rights(self) -> RequestRights:
        """What the current request may do: a page offers nothing that is refused."""
        return request_rights.or_none(self.live)

    def too_many(self) -> ResponseReturnValue:
        """A page for an address that has asked for too many."""
        sentence = "This address has asked for many pages at once. Reload this one in a moment."
        response = flask.make_response(self.error_page(429, "Too many pages at once", sentence))
        response.headers["Retry-After"] = "1"
        return response

    def _foreign_form(self) -> ResponseReturnValue:
        self._log.warning("origin", rest_requests.foreign_page())
        sentence = "Open the operator's page at this address, and press its button there."
        return self.error_page(403, "This form came from another site", sentence)

    # The pages

    def front(self) -> ResponseReturnValue:
        """``/``: nothing yet, the one device, or the list of all, from one snapshot."""
        present, position = self._readable()
        if not present:
            return self.page(
                "empty",
                position,
                title="No device yet",
                hop="none yet",
                origin=_origin(),
                first_message=send_command(_origin(), "pillow", {"mood": "happy", "battery": 82}),
                set_aside=self._set_aside(None),
            )
        if len(present) == 1 and "all" not in flask.request.args:
            return self._device(present[0], position, only=True)
        return self._list(present, position)

    def device(self, name: str) -> ResponseReturnValue:
        """The page of a device.

        The position is read first, so that the script receives every later change.
        """
        position, find = self._begin()
        update = self.live.store.get(name)
        if update is None:
            return self._missing(name)
        return self._device(update, position, find=find)

    def _readable(self) -> tuple[Sequence[Update], Position]:
        """The present devices that may be read, by name, and their position."""
        present, position = self.known_devices.read(self.live.store)
        rights = self.rights
        if rights.reads_everything:
            return present, position
        return [one for one in present if rights.may_read(one.device)], position

    def _begin(self) -> tuple[Position, bool]:
        """The position with which a page begins, and whether there are many devices to find."""
        if not self.rights.reads_everything:
            present, position = self._readable()
            return position, len(present) >= SEARCH_FROM
        changes = self.live.store.read(ReadCursor(), SEARCH_FROM)
        present = [one for one in changes.updates if one.state is not None]
        return changes.position, len(present) >= SEARCH_FROM

    def _neighbours(self, name: str) -> Sequence[str]:
        """Readable names around this one; what may not be read changes nothing about them."""
        if self.rights.reads_everything:
            return self.live.store.neighbours(name, NEIGHBOURS)
        known = [one.device for one in self._readable()[0]]
        place = bisect_left(known, name)
        return known[max(0, place - NEIGHBOURS) : place + NEIGHBOURS]

    def _set_aside(self, device: str | None) -> view_models.SetAside:
        """What a page says of the quarantine: how many there are in all to who reads all."""
        rights = self.rights
        if not (rights.reads_everything or (device is not None and rights.may_read(device))):
            return view_models.SetAside(0, "", 0)
        found = view_models.set_aside(self.live.store, device)
        return found if rights.reads_everything else found._replace(in_all=found.messages)

    def operator(self) -> ResponseReturnValue:
        """Sources, quarantine, viewers and store, as the serving processes reported them."""
        position = self.live.store.read_position()
        page = self.page(
            "operator",
            position,
            title="Operator",
            outcome=operator.outcome(flask.request.args),
            wanted_share=flask.request.args.get("share", "")[:130],
            **operator.facts(self.live, self.live.clock()),
        )
        made = flask.make_response(page)
        # With `no-referrer` browsers would send the forms of this page with the Origin `null`.
        made.headers["Referrer-Policy"] = "same-origin"
        return made

    def operate(self) -> ResponseReturnValue:
        """Replay or drop messages in quarantine, as a form of the operator's page asks.

        The answer leads back to the page, so that a reload repeats nothing.
        """
        if not sign_in.has_session_token(flask.request):
            return self._foreign_form()
        form = flask.request.form
        try:
            if form.get("action") == "share":
                return self._shared(*operator.share(self.live, form, self.rights.identity))
            if form.get("action") == "unshare":
                revoked = operator.unshare(self.live, form.get("id", ""), self.rights.identity)
                return self._back_to_operator(revoked)
            done = operator.act(
                self.live, form.get("action", ""), form.getlist("number"), self.rights.identity
            )
        except Malformed as error:
            return self.error_page(400, "This form cannot be used", str(error))
        return self._back_to_operator(done)

    def _back_to_operator(self, done: Mapping[str, int]) -> ResponseReturnValue:
        address = flask.url_for("statecast_pages.operator")
        return flask.redirect(f"{address}?{urlencode(done)}", 303)

    def _shared(self, pattern: str, token: str, seconds: int) -> ResponseReturnValue:
        """The page that shows a new share link, once."""
        path = flask.url_for("statecast_sign_in.show_share", _external=True)
        return self.page(
            "shared",
            Position("", 0),
            title=f"A link to {pattern}",
            pattern=pattern,
            link=f"{path}#{token}",
            until=self.live.clock() + seconds * 1000,
        )

    def pictures(self) -> ResponseReturnValue:
        """All pictures, to look at. A page fetches those that it did not need at first."""
        return self.page(
            "pictures",
            Position("", 0),
            title="Pictures",
            sections=gallery.sections(),
            pictures=picture_rules.PICTURES,
            icons=picture_rules.ICONS,
            arc=True,
        )

    def live_address(self) -> ResponseReturnValue:
        """The module ``live-address.js`` where the file of that name does not know the address.

        Our own server answers with the file at its root path. This view is asked in an app that is
        mounted in another app, and by another server: then the live endpoint is not beside us.
        """
        address = live_address(self.live)
        if not address:
            blueprint = flask.current_app.blueprints["statecast_pages"]
            return cast(flask.Blueprint, blueprint).send_static_file("live-address.js")
        text = f"export default new URL({json.dumps(address)}, import.meta.url).href;\n"
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return flask.Response(text, headers=headers, mimetype="text/javascript")

    def unavailable(self, error: StatecastError) -> ResponseReturnValue:
        """A page for a store that cannot be read. The log has the sentence that names the file."""
        if isinstance(error, RowDamaged):
            return self.error_page(503, "This device cannot be shown", str(error))
        self._log.warning("store", f"{flask.request.endpoint} was not answered: {error}")
        sentence, seconds = f"{error.public} Reload this page in a moment.", "1"
        if isinstance(error, StoreUnusable):
            sentence, seconds = f"{error.public} Reload this page after that.", "30"
        made = flask.make_response(
            self.error_page(503, "The states cannot be read just now", sentence)
        )
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
        made = flask.make_response(self.error_page(error.code, heading, sentence))
        made.headers.extend((name, value) for name, value in error.get_headers() if name == "Allow")
        return made

    def unexpected_error(self, error: Exception) -> ResponseReturnValue:
        """A page with an error number, under which the log has the error."""
        number = logs.log_error(log, f"the page {names.quoted(flask.request.path)} failed", error)
        return self.error_page(
            500, "This page failed", "The log says why, under the number below. Try again.", number
        )

    def error_page(
        self, status: int, heading: str, sentence: str, error_id: str = ""
    ) -> ResponseReturnValue:
        """A page that says what happened and what to do."""
        facts: dict[str, Any] = {"heading": heading, "sentence": sentence, "error_id": error_id}
        return self.page("trouble", Position("", 0), status, title=heading, **facts)

    # Rendering

    def _list(self, present: Sequence[Update], position: Position) -> ResponseReturnValue:
        query, show = flask.request.args.get("q", ""), flask.request.args.get("show", "")
        kind = "list" if len(present) <= CARDS else "rows"
        now = self.live.clock()
        deadlines = [self.live.settings.deadline(one) for one in present]
        kinds = [listing.filter_of(one, limit, now) for one, limit in zip(present, deadlines)]
        # With all devices in the HTML those that do not match are hidden, for the script to show.
        whole = len(present) <= listing.ROWS
        views = {one.device: self._shown(one, sparks=kind == "list") for one in present if whole}
        matching = [
            one
            for one, kind_of in zip(present, kinds)
            if show in ("", kind_of)
            and (not query or listing.matches(views.get(one.device) or self._shown(one), query))
        ]
        page = listing.RowsPage(
            listing.page_number(flask.request.args.get("page", "")), len(matching)
        )
        if whole:
            names = {one.device for one in matching}
            devices = [replace(one, hidden=name not in names) for name, one in views.items()]
        else:
            devices = [self._shown(one) for one in matching[page.first : page.last]]
        return self.page(
            kind,
            position,
            template="list.html",
            title=f"{len(present):,} devices",
            hop=f"{len(present):,}",
            find=len(present) >= SEARCH_FROM,
            query=query,
            show=show,
            devices=devices,
            total=len(present),
            groups=listing.grouped(devices, present, matching),
            filters=listing.counted(kinds),
            shown=len(matching),
            rows_page=None if whole else page,
            rows_per_page=listing.ROWS,
            usual=listing.usual(present, deadlines),
            **listing.art(devices),
        )

    def _device(
        self, update: Update, position: Position, *, only: bool = False, find: bool = False
    ) -> ResponseReturnValue:
        rights = self.rights
        rows = self.live.store.history(update.device, limit=60)
        device = self._shown(update, rows=rows)
        lanes = view_models.lanes(device.state, rows)
        rows_json, known_from = view_models.embedded(rows)
        commands = self.live.store.commands(update.device, limit=COMMANDS_READ)
        total, since = self.live.store.history_size(update.device)
        takes = self.live.settings.commands_of(update) or ()
        now = self.live.clock()
        view = DeviceView(device, (total, since))
        word = device.main_word
        title = f"{formatting.cut(word, 40)} · {device.label}" if word else device.label
        return self.page(
            "device",
            position,
            410 if view.gone else 200,
            title=title,
            find=find,
            hop="removed" if view.gone else "unknown",
            only=only,
            device=view,
            scope=scope(rights.readable if only else (update.device,)),
            takes=takes,
            simulated=self.live.settings.demo and update.device == "pillow",
            may_command=rights.allows(Action.COMMAND, update.device),
            may_edit=rights.allows(Action.WRITE, update.device),
            send=rights.allows(Action.WRITE, update.device) and not takes,
            asked=command_words.lines(commands, device.label, now),
            asked_json=command_words.embedded(commands[: view_models.HISTORY_SHOWN]),
            history=view_models.history(rows, commands, now),
            more_history=total + len(commands) > view_models.HISTORY_SHOWN,
            lanes=lanes,
            lanes_height=view_models.lanes_height(lanes),
            rows_json=rows_json,
            known_from=known_from,
            send_words=send_words(_origin(), device.name),
            ask_command=ask_command(_origin(), device.name, "NAME"),
            set_aside=self._set_aside(device.name),
            hatch=True,
            **listing.art([device]),
        )

    def _missing(self, name: str) -> ResponseReturnValue:
        """The page of a device that does not exist, or that may not be read."""
        position, find = self._begin()
        known, rights = self._neighbours(name), self.rights
        nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        facts: dict[str, Any] = {
            "missing": name,
            "nearest": nearest,
            "sendable": is_name(name),
            "known": len(known),
            "hop": f"{len(known):,} known" if known else "none yet",
            "find": find,
            "first_message": send_command(_origin(), name, {"mood": "happy", "battery": 82}),
            "set_aside": self._set_aside(name),
            "may_send": is_name(name) and rights.allows(Action.SEND, name),
        }
        return self.page("missing", position, 404, title=f"No device called “{name[:80]}”", **facts)

    def _shown(
        self, update: Update, rows: Sequence[HistoryRow] | None = None, sparks: bool = False
    ) -> DeviceSummary:
        settings = self.live.settings
        silent_after = settings.deadline(update)
        first = view_models.show(
            update,
            wanted=settings.card_fields,
            silent_after=silent_after,
            root=flask.request.script_root,
        )
        field = first.scene.field
        if first.picture.name != "number" or field is None or (rows is None and not sparks):
            return first
        known = self.live.store.history(update.device, limit=40) if rows is None else rows
        past = view_models.past_values(known, field, first.state.get(field))
        return replace(first, scene=replace(first.scene, past=past))

    def page(
        self,
        kind: str,
        position: Position,
        status: int = 200,
        *,
        template: str = "",
        script_of: str = "",
        title: str,
        **facts: Any,
    ) -> ResponseReturnValue:
        """Render a template. ``script_of`` names the kind of page whose script runs, if another."""
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
        text = self.templates.get_template(template or f"{kind}.html").render(
            OPTIONAL | defaults | facts
        )
        response = flask.Response(text, status, self._headers(kind))
        if defaults["session"]:
            # With `no-referrer` browsers would send the form to sign out with the Origin `null`.
            response.headers["Referrer-Policy"] = "same-origin"
        return _packed(response)

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
        address = self._sign_in_address() if identity.kind == "anonymous" else ""
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


class DeviceView:
    """A device on its own page: what a card shows, and all the rest."""

    def __init__(self, device: DeviceSummary, size: tuple[int, int | None]) -> None:
        self._device = device
        self.total, self.since = size
        self.gone = device.update.state is None
        self.offset = device.update.offset
        self.version = device.update.version
        self.source = device.update.source
        self.at = device.changed if self.gone else device.seen or device.changed
        self.rows = list(view_models.state_rows(device))
        self.pretty = json.dumps(device.state, indent=2, ensure_ascii=False)
        self.description = pictures.description(device.label, device.scene)
        self.foreign_image = picture_rules.is_foreign_image(device.state)
        seconds = device.silent_after
        self.deadline = "" if seconds is None else f"{formatting.number(seconds)} s"

    @property
    def example(self) -> str:
        """A change that this device can apply, for the form: short, and without a blank."""
        for one in self._device.fields:
            value = self._device.state[one.name] if one else None
            if one and not isinstance(value, (dict, list)):
                example = f"{one.name}={json.dumps(value, ensure_ascii=False)}"
                if len(example) <= EXAMPLE_LENGTH and not any(map(str.isspace, example)):
                    return example
        return "on=true"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)


def _packed(page: flask.Response) -> flask.Response:
    """A page compressed, where the browser takes it.

    Not where the address has a query: the length of a compressed page that repeats a query tells
    something about the rest of it (BREACH).
    """
    page.vary.add("Accept-Encoding")
    if flask.request.query_string or not flask.request.accept_encodings["gzip"]:
        return page
    page.set_data(gzip.compress(page.get_data(), 6, mtime=0))
    page.content_encoding = "gzip"
    return page


def is_name(name: str) -> bool:
    try:
        names.check(name)
    except Malformed:
        return False
    return True


def _styles(kind: str, shown: Sequence[picture_rules.Picture]) -> list[str]:
    """The style sheets of a kind of page, in the order in which they build on each other."""
    own = {name: ["list.css"] for name in ("list", "rows", "pictures")}
    own |= {name: [f"{name}.css"] for name in ("device", "operator", "sign-in")}
    generic = any(picture.name != "cloud" for picture in shown)
    return ["page.css", "cloud.css", *own.get(kind, []), *(["gallery.css"] if generic else [])]


def _asset(name: str) -> str:
    return flask.url_for("statecast_pages.static", filename=name)


def _origin() -> str:
    return flask.request.root_url.rstrip("/")
