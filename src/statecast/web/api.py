"""REST: states for programs, and sending to the queue.

Errors are ``application/problem+json`` (RFC 9457).
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from statecast import logs, names, strict_json, timestamps
from statecast.broadcast import encoding
from statecast.commands import life
from statecast.commands import request as commands
from statecast.decoders import encodings, items
from statecast.errors import (
    Conflict,
    DevicesFull,
    Malformed,
    NotFound,
    Refused,
    StatecastError,
    StoreUnavailable,
    StoreUnusable,
    TooLarge,
    TooManyCommands,
    Unavailable,
)
from statecast.http.errors import HTTPProblem
from statecast.http.origin import origin_allowed
from statecast.logs import LimitedLog
from statecast.model import Change, Kind, Position, Update
from statecast.outbox import decoder
from statecast.stores.contract import ReadCursor

if TYPE_CHECKING:
    from statecast.runtime import Runtime

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NotFound, 404),
    (Conflict, 412),
    (TooLarge, 413),
    (DevicesFull, 507),
    (TooManyCommands, 429),
    (Refused, 400),
    (Unavailable, 503),
    (StoreUnusable, 503),
)
TITLES = {
    400: "Bad request",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    412: "Changed meanwhile",
    413: "Too large",
    415: "JSON only",
    429: "Too many requests",
    500: "Internal error",
    503: "Not available now",
    507: "No room",
}
SENTENCES = {
    404: "There is nothing at this address; REST is /api/devices, /api/changes and /api/messages.",
    405: "This address does not take the method {method}; it takes {allowed}.",
}
JSON_TYPES = {
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/jsonl",
    "application/x-ndjson",
}
"""Browsers let no form and no script of another site send these types without a CORS preflight."""
READS = ("GET", "HEAD")
METHODS = {"GET", "PUT", "PATCH", "DELETE", "POST", "OPTIONS", "TRACE"}
Views = dict[str, Callable[..., ResponseReturnValue]]
DEVICE = "/devices/<path:device>"
HISTORY, MAX_HISTORY = 50, 1_000
"""Rows of one response: the default of ``limit``, and its maximum."""
CHANGES, MAX_CHANGES = 1_000, 10_000
COMMANDS, MAX_COMMANDS = 50, 1_000
HANDED_OUT = 100
"""Commands of one response to a device."""
IDEMPOTENCY_KEY = "Idempotency-Key"

log = logging.getLogger(__name__)


def rest(live: Runtime) -> Blueprint:
    """The blueprint of REST for one app."""
    blueprint = Blueprint("statecast_rest", __name__)
    blueprint.register_error_handler(StatecastError, statecast_problem)
    store_problem = StoreProblem()
    for store_error in (StoreUnavailable, StoreUnusable):
        blueprint.register_error_handler(store_error, store_problem)
    blueprint.register_error_handler(HTTPException, http_problem)
    blueprint.register_error_handler(Exception, unexpected_problem)
    rest_views = RestViews(live)
    blueprint.before_request(rest_views.limit)
    blueprint.after_request(functools.partial(log_refused, LimitedLog(log)))
    blueprint.add_url_rule(f"{DEVICE}/history", "history", rest_views.history, methods=["GET"])
    command_views = CommandViews(live, rest_views)
    of_device = f"{DEVICE}/commands"
    begin = own_writes_only(command_views.begin_command)
    blueprint.add_url_rule(of_device, "commands", command_views.commands, methods=["GET"])
    blueprint.add_url_rule(of_device, "begin_command", begin, methods=["POST"])
    for number, (path, views) in enumerate((rest_views.paths() | command_views.paths()).items()):
        for method, view in views.items():
            guarded = view if method == "GET" else own_writes_only(view)
            blueprint.add_url_rule(
                path, view.__name__, guarded, methods=[method], provide_automatic_options=False
            )
        others = functools.partial(other_method, views)
        methods = METHODS - set(views)
        blueprint.add_url_rule(
            path, f"other_{number}", others, methods=methods, provide_automatic_options=False
        )
    return blueprint


class RestViews:
    """The views. No request leaves anything here."""

    def __init__(self, live: Runtime) -> None:
        self.live = live

    def limit(self) -> Response | None:
        """Refuse a read to an address that asks for too many. Writes are bounded by the queue."""
        if request.method not in READS or self.live.allows_page(request.remote_addr or ""):
            return None
        return too_many()

    def paths(self) -> dict[str, Views]:
        """Every path with its methods.

        Below ``.../history`` only GET is history; other methods belong to a device of that name.
        """
        return {
            "/devices": {"GET": self.devices},
            DEVICE: {
                "GET": self.device,
                "PUT": self.put,
                "PATCH": self.patch,
                "DELETE": self.delete,
            },
            "/changes": {"GET": self.changes},
            "/messages": {"POST": self.messages},
        }

    # Reading

    def devices(self) -> Response:
        """All existing devices, by name, and the position of this list.

        ``damaged`` names those whose rows in the store cannot be read.
        """
        only_arguments()
        changes = self.live.store.read(ReadCursor())
        present = sorted(
            (update for update in changes.updates if update.state is not None),
            key=lambda u: u.device,
        )
        head = {"epoch": changes.position.epoch, "offset": changes.position.offset}
        damaged = sorted(one.device for one in self.live.store.damaged() if one.device)
        return json_response(
            strict_json.encode(head | ({"damaged": damaged} if damaged else {}))[:-1]
            + b',"devices":['
            + b",".join(map(self._item, present))
            + b"]}"
        )

    def device(self, device: str) -> ResponseReturnValue:
        only_arguments()
        return self._device_response(self._present(device)).make_conditional(request)

    def history(self, device: str) -> ResponseReturnValue:
        """A page of versions, newest first; ``next`` is the ``before`` of the following page."""
        only_arguments("before", "limit")
        names.check(device)
        before, limit = (
            whole_number("before", None),
            min(whole_number("limit", HISTORY), MAX_HISTORY),
        )
        rows = self.live.store.history(device, before=before, limit=limit + 1)
        total, since = self.live.store.history_size(device)
        if not total:  # a device whose name ends with /history
            if self.live.store.get(f"{device}/history") is None:
                raise unknown(device)
            return self.device(f"{device}/history")
        body = {
            "device": device,
            "history": [encoding.history_row(row) for row in rows[:limit]],
            "next": rows[limit - 1].version if len(rows) > limit else None,
            "total": total,
            "since": None if since is None else timestamps.iso(since),
        }
        return json_response(strict_json.encode(body))

    def changes(self) -> Response:
        """The changes since a position, as a ``states`` event.

        Repeat the request with the new position until it is ``complete``.
        """
        only_arguments("since", "limit")
        store, limit = self.live.store, min(whole_number("limit", CHANGES), MAX_CHANGES)
        given = request.args.get("since")
        since = None if given is None else position(given)
        reset = given is not None and (since is None or not store.is_valid(since))
        start = 0 if since is None or reset else since.offset
        changes = store.read(ReadCursor(offset=start), limit)
        complete = changes.cursor.offset >= changes.position.offset
        reached = changes.position.offset if complete else changes.cursor.offset
        items = [self._item(update) for update in changes.updates]
        return json_response(
            encoding.states(changes.position.epoch, reached, items, reset=reset, complete=complete)
        )

    # Writing

    def put(self, device: str) -> Response:
        return self._edit(device, "replace")

    def patch(self, device: str) -> Response:
        return self._edit(device, "merge")

    def delete(self, device: str) -> Response:
        with self.live.counting_refused():
            only_arguments()
            update = self._present(device)
            self.live.store.edit(
                Change(device, "delete", {}, by="user"), if_match=self._if_match(update)
            )
        return empty_response()

    def messages(self) -> Response:
        """Send one message, or all items of an array or of JSON lines or none, to the queue.

        In the embedded queue they are durable before the response.
        """
        with self.live.counting_refused(self.live.queue.name):
            return self._send()

    def _send(self) -> Response:
        only_arguments()
        body = encodings.unwrap(self._body())
        queue, decode = self.live.queue, decoder(self.live.settings)
        messages = items.split(body)
        if messages is None:
            decode.read(body)
            return json_response(strict_json.encode({"id": queue.send(body)}), 202)
        for index, item in enumerate(messages):
            try:
                decode.read(item)
            except Refused as error:
                raise type(error)(f"Item {index}: {error} Nothing was sent.") from None
        return json_response(strict_json.encode({"ids": queue.send_many(messages)}), 202)

    def _edit(self, device: str, kind: Kind) -> Response:
        with self.live.counting_refused():
            state = self._object()
            only_arguments()
            change = Change(names.check(device), kind, state, by="user")
            # A damaged device cannot be read, and a replacement mends it.
            found = self.live.store.get(device) if "If-Match" in request.headers else None
            if_match = self._if_match(found)
            update = self.live.store.edit(change, if_match=if_match)
        if update is None:  # nothing to change on a device that does not exist
            raise unknown(device)
        return self._device_response(update)

    # Common parts

    def _present(self, device: str) -> Update:
        update = self.live.store.get(names.check(device))
        if update is None or update.state is None:
            raise unknown(device)
        return update

    def _item(self, update: Update) -> bytes:
        return encoding.item(update, self.live.settings)

    def _device_response(self, update: Update) -> Response:
        response = json_response(self._item(update))
        epoch, offset = self.live.store.position_of(update)
        response.set_etag(f"{epoch}.{offset}")
        return response

    def _if_match(self, update: Update | None) -> Position | None:
        """The position that the device must have. The store compares it again in the commit."""
        if "If-None-Match" in request.headers:
            raise Malformed(
                "If-None-Match is for reading; a change takes If-Match with the ETag that you read."
            )
        if "If-Match" not in request.headers:
            return None
        named = [
            found for tag in request.if_match.as_set() if (found := position(tag or "")) is not None
        ]
        if update is not None and update.state is not None:
            if request.if_match.star_tag:
                return self.live.store.position_of(update)
            for one in named:
                if one.offset == update.offset:
                    return one
        raise Conflict(
            "The device is not at the version that If-Match names; "
            "read it again and send that ETag."
        )

    def _body(self) -> bytes:
        return read_body(self.live.settings.body_bytes)

    def _object(self) -> dict[str, Any]:
        return read_object(self.live.settings.body_bytes, "A state", '{"mood": "happy"}')


class CommandViews:
    """The views about commands: what is asked of devices, and what became of it."""

    def __init__(self, live: Runtime, states: RestViews) -> None:
        self.live = live
        self.states = states

    def paths(self) -> dict[str, Views]:
        """Every path with its methods.

        Below ``.../commands`` only GET and POST are commands; other methods belong to a device of
        that name.
        """
        return {
            "/commands": {"GET": self.all_commands},
            "/commands/<id_>": {"GET": self.command},
        }

    def begin_command(self, device: str) -> Response:
        """Ask something of a device; durable before the response. A repeated key is one command."""
        only_arguments()
        members = read_object(self.live.settings.body_bytes, "A command", '{"name": "hug"}')
        key = request.headers.get(IDEMPOTENCY_KEY)
        command = self.live.begin_command(commands.from_members(device, members, key))
        response = json_response(strict_json.encode(life.to_reader(command)), 201)
        response.headers["Location"] = f"{request.root_path}/api/commands/{command.id}"
        return response

    def commands(self, device: str) -> ResponseReturnValue:
        """The commands of a device: with ``after`` those for the device itself, which it takes."""
        names.check(device)
        if self.live.store.get(device) is None:
            if self.live.store.get(f"{device}/commands") is not None:
                return self.states.device(f"{device}/commands")
            raise unknown(device)
        if "after" in request.args:
            if request.method == "HEAD":  # it would take what it does not get
                raise MethodNotAllowed(["GET"])
            return self.hand_out(device)
        return self._page(device)

    def hand_out(self, device: str) -> ResponseReturnValue:
        """The open commands after the one with this id; they count as handed out from now on."""
        only_arguments("after", "wait")
        check_wait(request.args.get("wait", "0"))
        refusal = foreign_site() or not_a_program()
        if refusal is not None:
            return refusal
        after = request.args["after"] or None
        found = self.live.store.hand_out(device, after=after, limit=HANDED_OUT)
        now = self.live.clock()
        return json_response(
            strict_json.encode({"commands": [life.to_device(one, now) for one in found]})
        )

    def all_commands(self) -> ResponseReturnValue:
        return self._page(None)

    def command(self, id_: str) -> Response:
        only_arguments()
        return json_response(strict_json.encode(life.to_reader(self.live.store.command(id_))))

    def _page(self, device: str | None) -> Response:
        """Commands, newest first; ``next`` is the ``before`` of the following page."""
        only_arguments("before", "limit")
        before = whole_number("before", None)
        limit = min(whole_number("limit", COMMANDS), MAX_COMMANDS)
        found = self.live.store.commands(device, before=before, limit=limit + 1)
        body = {
            "commands": [life.to_reader(one) for one in found[:limit]],
            "next": found[limit - 1].number if len(found) > limit else None,
        }
        return json_response(strict_json.encode(body))


def own_writes_only(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    """Accept only JSON, and no request of another site's page.

    Browsers send the origin of a request in its headers.
    """

    @functools.wraps(view)
    def guarded(**names: str) -> ResponseReturnValue:
        if request.method != "DELETE" and request.mimetype not in JSON_TYPES:
            return problem(415, wrong_type(request.mimetype))
        return foreign_site() or view(**names)

    return guarded


def wrong_type(mimetype: str) -> str:
    """The sentence for a body that is not called JSON, as curl calls none by itself."""
    sent = f"its Content-Type is {names.quoted(mimetype)}" if mimetype else "it has no Content-Type"
    return (
        "Send JSON, with the header Content-Type: application/json "
        f"(curl: -H 'Content-Type: application/json'); {sent}."
    )


def foreign_site() -> Response | None:
    """The refusal, if the page of another site sends this request."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    if site in ("same-origin", "none") and origin_allowed(origin, request.host):
        return None
    note_refused("origin", foreign_page())
    return problem(
        403,
        "Changes are taken from this server's own pages and from programs, not from others.",
    )


def not_a_program() -> Response | None:
    """The refusal, if a browser asks because of an image, a frame or a link.

    A device may bring the address of an image that a page of this server's own shows.
    """
    if request.headers.get("Sec-Fetch-Dest", "empty") == "empty":
        return None
    return problem(403, "Commands are handed out to programs: devices, or scripts that fetch them.")


def note_refused(kind: str, line: str) -> None:
    """What the log is to say of a request that is refused; lines of a kind have a rate."""
    g.statecast_refused = (kind, line)


def log_refused(refused: LimitedLog, response: Response) -> Response:
    """After each request: the line that ``note_refused`` left."""
    kind, line = g.pop("statecast_refused", ("", ""))
    if line:
        refused.warning(kind, line)
    return response


def foreign_page() -> str:
    """A line for the log about a request that a page of another site sent."""
    page = names.quoted(request.headers.get("Origin", "another site"))
    asked = f"{request.remote_addr} sent {request.method} {names.quoted(request.path)}"
    return (
        f"{asked} from a page of {page} and was refused; changes are taken from pages of "
        f"{names.quoted(request.host)} itself and from programs, and no setting allows others"
    )


def other_method(views: Views, **names: str) -> ResponseReturnValue:
    """Answer other methods here, because the 405 of a user's app is a page for people."""
    allowed = [*views, *(["HEAD"] if "GET" in views else []), "OPTIONS"]
    if request.method != "OPTIONS":
        raise MethodNotAllowed(allowed)
    response = empty_response()
    response.headers["Allow"] = ", ".join(allowed)
    return response


def read_body(most: int) -> bytes:
    """The body of the request. Raises TooLarge above ``most`` bytes."""
    body = b"" if (request.content_length or 0) > most else request.stream.read(most + 1)
    if (request.content_length or len(body)) > most:
        asked = f"{request.remote_addr} sent a body that is too large to {request.path}"
        note_refused("body", f"{asked}: {most} bytes are allowed (setting body_bytes)")
        raise TooLarge(f"A request's body has at most {most} bytes.")
    return body


def read_object(most: int, what: str, example: str) -> dict[str, Any]:
    """The JSON object in the body of the request. Raises TooLarge, Malformed."""
    found = encodings.decode(encodings.unwrap(read_body(most)))
    if not isinstance(found, dict):
        raise Malformed(f"{what} is a JSON object, like {example}.")
    return found


def only_arguments(*known: str) -> None:
    """Refuse other arguments: a misspelt one would silently change the meaning of a request."""
    for name in request.args:
        if name not in known:
            takes = f"; it takes {' and '.join(known)}" if known else ""
            raise Malformed(f"This address has no argument {names.quoted(name)}{takes}.")


def check_wait(given: str) -> None:
    """Raises Malformed. The server's loop has waited already; other servers do not wait."""
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 60:
        raise Malformed("“wait” must be a number of seconds from 0 to 60.")


def whole_number(name: str, default: Any) -> Any:
    """An argument that is a whole number above 0. Raises Malformed."""
    given = request.args.get(name)
    if given is None:
        return default
    if not given.isascii() or not given.isdigit() or not 0 < int(given[:16]) <= 2**53:
        raise Malformed(f"“{name}” must be a whole number above 0.")
    return int(given[:16])


def position(text: str) -> Position | None:
    """The position in an ETag or in ``since``: ``<epoch>.<offset>``; None if it is not one."""
    epoch, _, offset = text.rpartition(".")
    if not epoch or not offset.isascii() or not offset.isdigit() or len(offset) > 16:
        return None
    return Position(epoch, int(offset))


def unknown(device: str) -> NotFound:
    """The error for a device that does not exist."""
    return NotFound(f"No device called {names.quoted(device)} has sent anything.")


def json_response(body: bytes, status: int = 200) -> Response:
    """A response with JSON."""
    response = Response(body, status, content_type="application/json")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-cache"
    return response


def empty_response() -> Response:
    """A response without a body: 204."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def problem(status: int, detail: str, *, retry_after: int = 1, **members: str) -> Response:
    """Flask's response with an error, as in RFC 9457; ``members`` are added to its body.

    ``retry_after`` is in seconds, and for status 429 and 503.
    """
    retry = [(b"retry-after", b"%d" % retry_after)] if status in (429, 503) else []
    title = TITLES.get(status, "Error")
    error = HTTPProblem(status, detail, retry, title=title, **members)
    response = Response(error.body, status)
    for name, value in error.fields():
        response.headers[name.decode()] = value.decode()
    return response


def too_many() -> Response:
    """The response to an address that reads too often."""
    return problem(429, "This address reads too often; subscribe to changes at /events.")


def statecast_problem(error: StatecastError) -> Response:
    """The response for an error of Statecast."""
    status = next((status for kind, status in STATUS if isinstance(error, kind)), None)
    return unexpected_problem(error) if status is None else problem(status, error.public)


class StoreProblem:
    """The response for an error of the store. The log has the sentence that names the file."""

    def __init__(self) -> None:
        self._log = LimitedLog(log)

    def __call__(self, error: StatecastError) -> Response:
        self._log.warning("store", f"{request.endpoint} was not answered: {error}")
        seconds = retry_after(error)
        return problem(503, f"{error.public} Nothing was changed.", retry_after=seconds)


def retry_after(error: StatecastError) -> int:
    """Seconds until a request may succeed: a store that cannot be used needs an operator."""
    return 30 if isinstance(error, StoreUnusable) else 1


def http_problem(error: HTTPException) -> ResponseReturnValue:
    """The response for an error of HTTP. Redirects pass unchanged."""
    if error.response is not None or error.code is None or error.code < 400:
        return error
    headers = [(name, value) for name, value in error.get_headers() if name == "Allow"]
    allowed = ", ".join(value for _, value in headers)
    sentence = SENTENCES.get(error.code, error.description or "The request cannot be answered.")
    response = problem(
        error.code, sentence.format(method=names.quoted(request.method), allowed=allowed)
    )
    response.headers.extend(headers)
    return response


def unexpected_problem(error: Exception) -> Response:
    """A response with an error number, under which the log has the error."""
    number = logs.log_error(log, f"the answer of {request.endpoint} failed", error)
    return problem(
        500, f"Something failed here; the log says what, under error {number}.", id=number
    )
