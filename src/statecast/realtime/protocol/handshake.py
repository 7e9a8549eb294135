"""May this request become a WebSocket? Without I/O: the request's head in, the HTTP answer out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Container, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from statecast.errors import StatecastError
from statecast.http import origin
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


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, list[str]]
    """By lower-case name."""

    def one(self, name: str) -> str | None:
        """The only value; None when there is none. Several are a reason to decline."""
        values = self.headers.get(name, [])
        if len(values) > 1:
            raise Declined.mistake(engineio.BAD_REQUEST)
        return values[0] if values else None

    def lists(self, name: str, word: str) -> bool:
        """Whether a header that is a list holds ``word``."""
        return any(
            part.strip().lower() == word
            for value in self.headers.get(name, [])
            for part in value.split(",")
        )


def read(data: bytes) -> Head:
    """Read a head that an HTTP parser has already accepted and put together again."""
    lines = data.decode("latin-1").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    target = rest.rpartition(" ")[0]
    path, _, query = target.partition("?")
    headers: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, separator, value = line.partition(":")
        if separator:
            headers.setdefault(name.strip().lower(), []).append(value.strip())
    return Head(method, path, read_query(query), headers)


def read_query(query: str) -> dict[str, str]:
    """The members of a query; one with absurdly many counts as empty."""
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=32))
    except ValueError:
        return {}


def answer(
    head: Head, *, origins: Iterable[str], secure: bool, path: str = PATH, sids: Container[str] = ()
) -> bytes:
    """The answer that makes the connection a WebSocket. Raises Declined.

    ``sids`` are the sessions on long polling, which may be upgraded.
    Extensions and subprotocols that the client offers are not taken up, permessage-deflate included.
    """
    if head.path != path:
        raise Declined.sentence(404, f"There is no WebSocket here; the live endpoint is {path}.")
    check_origin(head, origins, secure)
    transport = head.query.get("transport", "")
    if transport not in ("websocket", "polling"):
        raise Declined.mistake(engineio.UNKNOWN_TRANSPORT)
    if head.query.get("sid") and head.query["sid"] not in sids:
        raise Declined.mistake(engineio.UNKNOWN_SID)
    if head.method != "GET":
        raise Declined.mistake(engineio.BAD_METHOD)
    if transport != "websocket":
        raise Declined.mistake(engineio.BAD_REQUEST)
    if head.query.get("EIO") != engineio.VERSION:
        raise Declined.mistake(engineio.UNKNOWN_VERSION)
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + websocket.accept(_key(head))
        + b"\r\n\r\n"
    )


def check_origin(head: Head, origins: Iterable[str], secure: bool) -> None:
    host = head.one("host") or ""
    if not origin.origin_allowed(head.one("origin"), host, origins, "https" if secure else None):
        raise Declined.mistake(engineio.FORBIDDEN)


def _key(head: Head) -> bytes:
    if not (head.lists("upgrade", "websocket") and head.lists("connection", "upgrade")):
        raise Declined.mistake(engineio.BAD_REQUEST)
    if head.one("sec-websocket-version") != "13":
        raise Declined.sentence(
            426, "This server speaks WebSocket version 13.", "sec-websocket-version: 13\r\n"
        )
    key = (head.one("sec-websocket-key") or "").encode("latin-1")
    try:
        nonce = base64.b64decode(key, validate=True)
    except binascii.Error:
        nonce = b""
    if len(nonce) != 16:
        raise Declined.mistake(engineio.BAD_REQUEST)
    return key
