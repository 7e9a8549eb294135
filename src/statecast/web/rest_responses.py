"""The responses of REST: JSON, and errors as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from flask import Response

from statecast.http.errors import HTTPProblem
from statecast.openapi.statuses import TITLES


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
