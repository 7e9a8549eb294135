"""What the views of REST read of a request, and which requests they refuse."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from flask import Response, g, request
from flask.typing import ResponseReturnValue

from statecast import names
from statecast.access.identity import Identity
from statecast.decoders import encodings
from statecast.errors import Malformed, TooLarge
from statecast.http import cors, credentials
from statecast.http.origin import origin_allowed
from statecast.logs import LimitedLog
from statecast.web.paging import MAX_WHOLE
from statecast.web.rest_responses import problem

JSON_TYPES = {
    "application/json",
    "application/merge-patch+json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/jsonl",
    "application/x-ndjson",
}
"""Browsers let no form and no script of another site send these types without a CORS preflight."""


def json_only(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    """Accept only JSON, which no form of another site can send."""

    @functools.wraps(view)
    def guarded(**names: str) -> ResponseReturnValue:
        if request.method != "DELETE" and request.mimetype not in JSON_TYPES:
            return problem(415, wrong_type(request.mimetype))
        return view(**names)

    return guarded


def own_writes_only(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    """Accept only JSON, from the server's own pages and from programs."""

    @functools.wraps(view)
    def guarded(**names: str) -> ResponseReturnValue:
        return foreign_site(()) or json_only(view)(**names)

    return guarded


def wrong_type(mimetype: str) -> str:
    """The sentence for a body that is not called JSON, as curl calls none by itself."""
    sent = f"its Content-Type is {names.quoted(mimetype)}" if mimetype else "it has no Content-Type"
    return (
        "Send JSON, with the header Content-Type: application/json "
        f"(curl: -H 'Content-Type: application/json'); {sent}."
    )


def foreign_site(origins: Sequence[str]) -> Response | None:
    """The refusal, if a page of another site sends this, which is none of ``origins``.

    Browsers send the origin of a request in its headers. A page that brings a token acts by itself.
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    scheme = "https" if request.is_secure else None
    if site in ("same-origin", "none") and origin_allowed(origin, request.host, (), scheme):
        return None
    if cors.is_named(origin, origins) or credentials.of_environ(request.environ).bearer:
        return None
    note_refused("origin", foreign_page())
    return problem(
        403,
        "Changes are taken from this server's own pages, from programs, and from pages of the "
        "origins that the setting allow_origins names one by one; not from others.",
    )


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
        f"{names.quoted(request.host)} itself and from programs; allow_origins names other origins"
    )


def not_allowed(identity: Identity) -> str:
    """A line for the log about a request that its client may not send."""
    who = names.quoted(identity.sender)
    asked = f"{request.remote_addr} sent {request.method} {names.quoted(request.path)}"
    return f"{asked} as {who} and was refused: nothing gives it the right"


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


def whole_number(name: str, default: Any) -> Any:
    """An argument that is a whole number above 0. Raises Malformed."""
    given = request.args.get(name)
    if given is None:
        return default
    digits = given.lstrip("0")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAX_WHOLE))
    if not is_number or int(digits) > MAX_WHOLE:
        raise Malformed(f"“{name}” must be a whole number above 0, at most {MAX_WHOLE}.")
    return int(digits)
