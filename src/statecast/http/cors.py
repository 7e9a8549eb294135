"""What a page of another origin may read and send, by header fields: pure decisions.

The rules of browsers: https://fetch.spec.whatwg.org/#http-cors-protocol. The origins are those of
the setting ``allow_origins``, the same ones that may open a WebSocket, which no browser asks about.

* A named origin may read, write, and send cookies.
* ``*`` lets every page read what everybody may, and use a token that it brings. Else it lets none
  write: a browser on the server's own machine would write for whatever site its user looks at.
* The answer to a page depends on its origin, so caches must keep one for each: ``Vary``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from statecast.http.asgi import Headers, Scope
from statecast.http.head import HeaderFields
from statecast.http.origin import origin_allowed

Fields = list[tuple[str, str]]

REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID"
)
"""Fields that a page may send beside the usual ones."""
RESPONSE_HEADERS = "Allow, ETag, Link, Location, Retry-After, WWW-Authenticate"
"""Fields that a page may read beside the usual ones."""
MAX_AGE = 600
"""Seconds for which a browser need not ask again what it may send."""
ANY = "*"


def is_named(origin: str | None, origins: Iterable[str]) -> bool:
    """Whether the setting names this origin itself."""
    named = [one for one in origins if one != ANY]
    return origin is not None and origin_allowed(origin, "", named)


def trusts_page(fields: HeaderFields, secure: bool, origins: Iterable[str]) -> bool:
    """Whether what a browser adds to a request by itself counts: a cookie, and that it is local.

    Not if a page sent it that is neither the server's own nor named. Programs name no origin, and
    a browser names none where it only opens or loads what is at an address.
    """
    pages, hosts = fields.get(b"origin", ()), fields.get(b"host", ())
    if not pages:
        return True
    if len(pages) != 1 or len(hosts) != 1:
        return False
    named = [one for one in origins if one != ANY]
    page, host = pages[0].decode("latin-1"), hosts[0].decode("latin-1")
    return origin_allowed(page, host, named, "https" if secure else None)


def response_fields(origin: str | None, origins: Sequence[str]) -> Fields:
    """Fields of every answer; ``origin`` is the page's, None without a browser."""
    if not origins:
        return []
    vary = ("Vary", "Origin")
    exposed = ("Access-Control-Expose-Headers", RESPONSE_HEADERS)
    if is_named(origin, origins):
        allowed = ("Access-Control-Allow-Origin", str(origin))
        return [allowed, ("Access-Control-Allow-Credentials", "true"), exposed, vary]
    if origin is not None and origin_allowed(origin, "", origins):
        return [("Access-Control-Allow-Origin", ANY), exposed, vary]
    return [vary]


def preflight_fields(origin: str | None, origins: Sequence[str], methods: Iterable[str]) -> Fields:
    """Further fields of the answer to OPTIONS, by which a browser asks before it sends."""
    if origin is None or not origin_allowed(origin, "", origins):
        return []
    return [
        ("Access-Control-Allow-Methods", ", ".join(methods)),
        ("Access-Control-Allow-Headers", REQUEST_HEADERS),
        ("Access-Control-Max-Age", str(MAX_AGE)),
    ]


def scope_fields(scope: Scope, origins: Sequence[str]) -> Headers:
    """The fields of the answer to an ASGI request. Several origins are as good as none."""
    asked = [value for name, value in scope["headers"] if name == b"origin"]
    origin = asked[0].decode("latin-1") if len(asked) == 1 else None
    return encoded(response_fields(origin, origins))


def encoded(fields: Fields) -> Headers:
    """For ASGI."""
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
