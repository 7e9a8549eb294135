"""Decides whether a request may become a WebSocket. No I/O: the request's head in, the response out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Container, Iterable

from statecast.errors import StatecastError
from statecast.http import origin
from statecast.http.head import RequestHead
from statecast.realtime.protocol import engineio, websocket

PATH = "/socket.io/"
_PHRASES = {400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
            413: "Content Too Large", 426: "Upgrade Required", 429: "Too Many Requests",
            503: "Service Unavailable"}  # fmt: skip


class Declined(StatecastError):
    """The request does not become a WebSocket; ``answer`` is what it gets instead."""

    def __init__(
        self, status: int, body: bytes, headers: str = "", kind: str = "application/json"
    ) -> None:
        super().__init__(f"the handshake was declined with {status} {_PHRASES[status]}")
        self.status = status
        self.kind = kind
        self.body = body
        self.headers = headers
        self.answer = (
            f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
            f"cache-control: no-store\r\nconnection: close\r\n{headers}\r\n"
        ).encode() + body

    @classmethod
    def mistake(cls, mistake: engineio.Mistake) -> Declined:
        return cls(mistake.status, mistake.body())

    @classmethod
    def sentence(cls, status: int, sentence: str, headers: str = "") -> Declined:
        return cls(status, sentence.encode() + b"\n", headers, "text/plain; charset=utf-8")


def answer(
    head: RequestHead, *, origins: Iterable[str], path: str = PATH, sids: Container[str] = ()
) -> bytes:
    """The answer that makes the connection a WebSocket. Raises Declined.

    ``sids`` are the sessions on long polling, which may be upgraded.
    Extensions and subprotocols that the client offers are not taken up, permessage-deflate included.
    """
    if head.path != path:
        raise Declined.sentence(404, f"There is no WebSocket here; the live endpoint is {path}.")
    check_origin(head, origins)
    query = head.query
    transport = query.get("transport", "")
    if transport not in ("websocket", "polling"):
        raise Declined.mistake(engineio.UNKNOWN_TRANSPORT)
    if query.get("sid") and query["sid"] not in sids:
        raise Declined.mistake(engineio.UNKNOWN_SID)
    if head.method != "GET":
        raise Declined.mistake(engineio.BAD_METHOD)
    if transport != "websocket":
        raise Declined.mistake(engineio.BAD_REQUEST)
    if query.get("EIO") != engineio.VERSION:
        raise Declined.mistake(engineio.UNKNOWN_VERSION)
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + websocket.accept(_key(head))
        + b"\r\n\r\n"
    )


def check_origin(head: RequestHead, origins: Iterable[str]) -> None:
    """Raises Declined."""
    host = single(head, b"host") or ""
    scheme = "https" if head.secure else None
    if not origin.origin_allowed(single(head, b"origin"), host, origins, scheme):
        raise Declined.mistake(engineio.FORBIDDEN)


def single(head: RequestHead, name: bytes) -> str | None:
    """The only value of a header; None when it is missing. Raises Declined when there are several."""
    values = head.values(name)
    if len(values) > 1:
        raise Declined.mistake(engineio.BAD_REQUEST)
    return values[0] if values else None


def _key(head: RequestHead) -> bytes:
    if not (head.lists(b"upgrade", "websocket") and head.lists(b"connection", "upgrade")):
        raise Declined.mistake(engineio.BAD_REQUEST)
    if single(head, b"sec-websocket-version") != "13":
        raise Declined.sentence(
            426, "This server speaks WebSocket version 13.", "sec-websocket-version: 13\r\n"
        )
    key = (single(head, b"sec-websocket-key") or "").encode("latin-1")
    try:
        nonce = base64.b64decode(key, validate=True)
    except binascii.Error:
        nonce = b""
    if len(nonce) != 16:
        raise Declined.mistake(engineio.BAD_REQUEST)
    return key
