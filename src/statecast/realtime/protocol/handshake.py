"""Decides whether a request may become a WebSocket. No I/O: a head in, a response out."""

from __future__ import annotations

import binascii
from collections.abc import Container, Iterable, Mapping, Sequence

from statecast.http import asgi, cors, origin
from statecast.http.asgi import Headers, Send
from statecast.http.errors import HTTPError
from statecast.http.head import RequestHead
from statecast.names import quoted
from statecast.realtime.protocol import deflate, engineio, websocket

PATH = "/socket.io/"
TEXT = "text/plain; charset=utf-8"
RETRY_SOON = (b"retry-after", b"1")

_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\n%b\r\n"
)
_EXTENSION = b"Sec-WebSocket-Extensions: %b\r\n"


class HandshakeError(HTTPError):
    """The request is refused: with an error of Engine.IO, or with a sentence."""

    @classmethod
    def of(cls, error: engineio.EngineIOError, why: str = "") -> HandshakeError:
        """``why`` is for the log: what was asked, what is allowed, and the setting."""
        body = error.body()
        return cls(
            error.status, body, asgi.JSON, sentence=why or error.message, public=error.message
        )

    @classmethod
    def sentence(cls, status: int, sentence: str, *headers: tuple[bytes, bytes]) -> HandshakeError:
        return cls(status, sentence.encode() + b"\n", TEXT, headers, sentence=sentence)

    async def respond(self, send: Send, more: Headers) -> None:
        """Send an ASGI response that ends the connection, with ``more`` header fields."""
        fields = [(b"connection", b"close"), *self.headers, *more]
        await asgi.respond(send, self.status, self.body, self.kind, fields)


def accept(
    head: RequestHead,
    *,
    origins: Iterable[str],
    path: str = PATH,
    sids: Container[str] = (),
    extension: str | None = None,
) -> bytes:
    """The response that makes the connection a WebSocket. Raises HandshakeError.

    ``sids``: the sessions on long polling, which may be upgraded. ``extension``: what was agreed
    with the client. No subprotocol that it offers is accepted.
    """
    if head.path != path:
        sentence = f"There is no WebSocket here; the live endpoint is {path}."
        raise HandshakeError.sentence(404, sentence)
    check_origin(head, origins)
    query = head.query
    transport = query.get("transport", "")
    if transport not in ("websocket", "polling"):
        raise unknown_transport(transport)
    sid = query.get("sid")
    if sid and sid not in sids:
        raise HandshakeError.of(engineio.UNKNOWN_SID)
    if head.method != "GET":
        raise HandshakeError.of(engineio.BAD_METHOD)
    if transport != "websocket":
        raise HandshakeError.of(engineio.BAD_REQUEST)
    check_version(query)
    agreed = _EXTENSION % extension.encode() if extension else b""
    return _SWITCHING % (websocket.accept_value(_key(head)), agreed)


def deflate_agreed(head: RequestHead) -> str | None:
    """The header field by which messages may be compressed; None: they may not."""
    offers = head.headers.get(b"sec-websocket-extensions", ())
    return deflate.agreed(one.decode("latin-1") for one in offers)


def check_origin(head: RequestHead, origins: Iterable[str]) -> str | None:
    """The page's origin; None when no browser asks. Raises HandshakeError if it may not connect."""
    asked = single(head, b"origin")
    if asked is None:
        return None
    host = single(head, b"host")
    scheme = "https" if head.secure else None
    if not origin.origin_allowed(asked, host or "", origins, scheme):
        why = (
            f"a page of {quoted(asked)} asked for {quoted(host or '')}; allowed are pages of that "
            f"host itself and those of the setting allow_origins ({', '.join(origins) or 'none'})"
        )
        # The list of the setting is for the log only: a stranger need not know it.
        sentence = (
            f"{engineio.FORBIDDEN.message}. A page of {quoted(asked)} may not connect to "
            f"{quoted(host or '')}; the setting allow_origins names the other origins that may."
        )
        error = engineio.EngineIOError(engineio.FORBIDDEN.code, sentence, engineio.FORBIDDEN.status)
        raise HandshakeError.of(error, why)
    return asked


def unknown_transport(asked: str) -> HandshakeError:
    error = engineio.UNKNOWN_TRANSPORT
    named = quoted(asked) if asked else "none"
    sentence = f"{error.message}. The request asks for {named}; there are polling and websocket."
    return HandshakeError.of(engineio.EngineIOError(error.code, sentence))


def check_version(query: Mapping[str, str]) -> None:
    """Raises HandshakeError unless the client speaks our version of Engine.IO."""
    asked = query.get("EIO", "")
    if asked == engineio.VERSION:
        return
    error = engineio.UNKNOWN_VERSION
    sentence = f"This server speaks Engine.IO {engineio.VERSION}; the request asks for "
    if asked in ("1", "2", "3"):
        sentence = (
            f"This client speaks Engine.IO {asked} (socket.io-client 1 or 2); "
            "use socket.io-client 3 or later."
        )
    elif asked.isascii() and asked.isalnum() and len(asked) <= 8:
        sentence += f"{asked}."
    else:
        sentence += "another version." if asked else "no version (EIO=)."
    error = engineio.EngineIOError(error.code, f"{error.message}. {sentence}")
    raise HandshakeError.of(error)


def cors_headers(head: RequestHead, origins: Sequence[str]) -> Headers:
    """The headers by which a page of another origin may read the response.

    Raises HandshakeError if it may not connect.
    """
    return cors.encoded(cors.response_fields(check_origin(head, origins), origins))


def preflight_headers(head: RequestHead, origins: Sequence[str], *methods: str) -> Headers:
    """Further headers of the answer to OPTIONS. Raises HandshakeError."""
    return cors.encoded(cors.preflight_fields(check_origin(head, origins), origins, methods))


def single(head: RequestHead, name: bytes) -> str | None:
    """A header's value; None if it is missing. Raises HandshakeError if there are several."""
    values = head.headers.get(name)
    if not values:
        return None
    if len(values) > 1:
        raise HandshakeError.of(engineio.BAD_REQUEST)
    return values[0].decode("latin-1")


def _key(head: RequestHead) -> bytes:
    """The client's Sec-WebSocket-Key: 16 bytes in base64."""
    if not (head.lists(b"upgrade", b"websocket") and head.lists(b"connection", b"upgrade")):
        raise HandshakeError.of(engineio.BAD_REQUEST)
    if single(head, b"sec-websocket-version") != "13":
        version = (b"sec-websocket-version", b"13")
        raise HandshakeError.sentence(426, "This server speaks WebSocket version 13.", version)
    key = (single(head, b"sec-websocket-key") or "").encode("latin-1")
    try:
        nonce = binascii.a2b_base64(key, strict_mode=True)
    except binascii.Error:
        nonce = b""
    if len(nonce) != 16:
        raise HandshakeError.of(engineio.BAD_REQUEST)
    return key
