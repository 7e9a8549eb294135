"""REST: the same states for programs, and a way into the queue. Errors are ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from statecast import names, strict_json, wire
from statecast.decoders.plain import PlainDecoder
from statecast.errors import Conflict, Malformed, NotFound, Refused, StatecastError, TooLarge, Unavailable
from statecast.model import Change, Delivery, Kind, Place, Update
from statecast.stores import Cursor

if TYPE_CHECKING:
    from statecast.flask import Live

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NotFound, 404),
    (Conflict, 412),
    (TooLarge, 413),
    (Refused, 400),
    (Unavailable, 503),
)
TITLES = {400: "Bad request", 403: "Forbidden", 404: "Not found", 405: "Method not allowed", 412: "Changed meanwhile",
          413: "Too large", 415: "JSON only", 500: "Internal error", 503: "Not available now"}  # fmt: skip
MOST_HISTORY = 1_000

log = logging.getLogger(__name__)


def rest(live: Live) -> Blueprint:
    """The blueprint; ``live`` is the app's own handle."""
    blueprint = Blueprint("statecast_rest", __name__)
    blueprint.before_request(refuse_foreign_writes)
    blueprint.register_error_handler(StatecastError, statecast_problem)
    blueprint.register_error_handler(HTTPException, http_problem)
    blueprint.register_error_handler(Exception, unexpected_problem)

    @blueprint.get("/devices")
    def devices() -> Response:
        news = live.store.read(Cursor())
        present = sorted((update for update in news.updates if update.state is not None), key=lambda u: u.device)
        items = b",".join(wire.item(update) for update in present)
        head = strict_json.encode({"epoch": news.place.epoch, "offset": news.place.offset})
        return answer(head[:-1] + b',"devices":[' + items + b"]}")

    @blueprint.get("/devices/<path:device>/history")
    def history(device: str) -> Response:
        before, limit = whole("before", None), min(whole("limit", 50) or 50, MOST_HISTORY)
        names.check(device)
        rows = live.store.history(device, before=before, limit=limit + 1)
        total, since = live.store.history_size(device)
        if not total:
            raise NotFound(f"No device called “{device}” has sent anything.")
        following = rows[limit - 1].version if len(rows) > limit else None
        body = {
            "device": device,
            "history": [wire.history_row(row) for row in rows[:limit]],
            "next": following,
            "total": total,
            "since": None if since is None else strict_json.iso(since),
        }
        return answer(strict_json.encode(body))

    @blueprint.get("/devices/<path:device>")
    def device(device: str) -> Response:
        update = live.store.get(names.check(device))
        if update is None or update.state is None:
            raise NotFound(f"No device called “{device}” has sent anything.")
        response = state_answer(live, update)
        return response.make_conditional(request)  # type: ignore[return-value]

    @blueprint.put("/devices/<path:device>")
    def put(device: str) -> Response:
        return edit(device, "replace", json_object())

    @blueprint.patch("/devices/<path:device>")
    def patch(device: str) -> Response:
        return edit(device, "merge", json_object())

    @blueprint.delete("/devices/<path:device>")
    def delete(device: str) -> Response:
        update = live.store.get(names.check(device))
        if update is None or update.state is None:
            raise NotFound(f"No device called “{device}” has sent anything.")
        edit(device, "delete", {})
        return Response(status=204)

    def edit(device: str, kind: Kind, state: dict[str, Any]) -> Response:
        change = Change(names.check(device), kind, state, by="user")
        update = live.store.edit(change, if_match=if_match())
        if update is None:
            raise NotFound(f"No device called “{device}” has sent anything.")
        return state_answer(live, update)

    @blueprint.post("/messages")
    def messages() -> Response:
        return answer(strict_json.encode({"id": live.send(json_body())}), 202)

    return blueprint


def refuse_foreign_writes() -> Response | None:
    """Only JSON, and never on behalf of another site's page: a browser says where a request comes from."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return None
    if request.method != "DELETE" and request.mimetype != "application/json":
        return problem(415, "Send JSON, with the header Content-Type: application/json.")
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    foreign = origin is not None and urlsplit(origin).netloc.lower() != request.host.lower()
    if site not in ("same-origin", "none") or foreign:
        return problem(403, "Changes are taken from this server's own pages and from programs, not from other sites.")
    return None


def json_body() -> bytes:
    """The raw body after strict reading. Raises Malformed."""
    body = request.get_data(cache=True)
    strict_json.decode(body)
    return body


def json_object() -> dict[str, Any]:
    state = strict_json.decode(request.get_data(cache=True))
    if not isinstance(state, dict):
        raise Malformed("A state is a JSON object, like {\"mood\": \"happy\"}.")
    return state


def whole(name: str, default: int | None) -> int | None:
    given = request.args.get(name)
    if given is None:
        return default
    if not given.isascii() or not given.isdigit() or not 0 < int(given[:16]) <= 2**53:
        raise Malformed(f"“{name}” must be a whole number above 0.")
    return int(given)


def if_match() -> Place | None:
    """The place in an ``If-Match: "<epoch>.<offset>"``."""
    given = request.headers.get("If-Match")
    if given is None or given == "*":
        return None
    epoch, dot, offset = given.strip('"').rpartition(".")
    if not dot or not offset.isascii() or not offset.isdigit():
        raise Conflict("The device is not at the version that If-Match names; read it again and send that ETag.")
    return Place(epoch, int(offset))


def state_answer(live: Live, update: Update) -> Response:
    response = answer(wire.item(update))
    response.set_etag(f"{live.store.read_place().epoch}.{update.offset}")
    return response


def answer(body: bytes, status: int = 200) -> Response:
    response = Response(body, status, content_type="application/json")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-cache"
    return response


def problem(status: int, detail: str, **more: str) -> Response:
    body = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status, "detail": detail, **more}
    response = Response(strict_json.encode(body), status, content_type="application/problem+json")
    response.headers["X-Content-Type-Options"] = "nosniff"
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response


def statecast_problem(error: StatecastError) -> Response:
    status = next((status for kind, status in STATUS if isinstance(error, kind)), None)
    return unexpected_problem(error) if status is None else problem(status, str(error))


def http_problem(error: HTTPException) -> Response:
    return problem(error.code or 500, error.description or "The request cannot be answered.")


def unexpected_problem(error: Exception) -> Response:
    """Generic, with an id under which the log tells more."""
    number = uuid.uuid4().hex[:8]
    log.error("error %s while answering %s", number, request.endpoint, exc_info=error)
    return problem(500, f"Something failed here; the log says what, under error {number}.", id=number)


def check_message(body: bytes) -> None:
    """Refuse before it is queued what the watcher would put into quarantine. Raises Refused with its sentence."""
    message = PlainDecoder()(Delivery("", body, 0))
    if message.refusals:
        refusal = message.refusals[0]
        item = "" if refusal.item is None else f"Item {refusal.item}: "
        raise Malformed(f"{item}{refusal.reason}")
