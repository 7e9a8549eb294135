"""The statuses of errors: what each means, here. One sentence for the document and the reference.

``settings`` in a sentence are those of the process that serves the document.
"""

from __future__ import annotations

from statecast.settings import Settings

COMMON = (400, 401, 403, 408, 413, 414, 421, 429, 431, 500, 501, 503, 505)
"""What every operation may answer: most come from the server, before it looks at the route."""
AS_PAGE = frozenset(COMMON) - {401}
"""Those that may come from the server itself, which answers a browser with a page."""
TITLES = {
    400: "Bad request",
    401: "Not signed in",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    412: "Changed meanwhile",
    413: "Too large",
    414: "URI too long",
    415: "JSON only",
    421: "This server has another name",
    429: "Too many requests",
    431: "Request header fields too large",
    500: "Internal error",
    501: "Not implemented",
    503: "Not available now",
    505: "HTTP version not supported",
    507: "No room",
}
SENTENCES = {
    400: "Something in the request cannot be read: an argument, a name, a header field, the body.",
    401: "The request needs a right, and brings no key or session, or one that does not count.",
    403: "The client may not do this, or a page of another site sends the request.",
    404: "What the address names does not exist.",
    405: "The address does not take this method.",
    408: "The request did not arrive within {settings.header_timeout:g} s (head) and "
    "{settings.body_timeout:g} s (body).",
    409: "The device does not take such a command, or takes its commands from a queue.",
    412: "The device is not at the version that If-Match names.",
    413: "The body has more than {settings.body_bytes:,} bytes, or a part of it exceeds its limit.",
    414: "The URL has more than {settings.url_bytes:,} bytes.",
    415: "The body is not called JSON.",
    421: "The Host header does not name this server (setting `allow_hosts`).",
    429: "The address sends more than {settings.page_rate_limit:g} reads per second or opens too "
    "many connections; the user or key sends more than {settings.write_rate_limit:g} writes per "
    "second; too many keys or passwords were wrong; or too many commands are open.",
    431: "The head has more than {settings.header_bytes:,} bytes or {settings.header_count} lines.",
    500: "Something failed in the server. Its log says what, under the number in `id`.",
    501: "The body comes in a transfer encoding other than chunked, or an optional package is not "
    "installed.",
    503: "The store or the queue cannot be used just now, or the server is busy or stops.",
    505: "The request is not HTTP/1.0 or HTTP/1.1.",
    507: "The store holds as many devices as it may ({settings.max_devices:,}).",
}
HEADERS = {
    401: {"WWW-Authenticate": "The ways to say who asks."},
    405: {"Allow": "The methods that the address takes."},
    429: {"Retry-After": "Seconds after which the request may succeed."},
    503: {"Retry-After": "Seconds after which the request may succeed."},
}


def sentence(status: int, settings: Settings) -> str:
    """What an error means, with the limits of these settings."""
    return SENTENCES[status].format(settings=settings)
