"""What a request gets that is not answered as it hoped: a status, one sentence, and nothing about our insides."""

from __future__ import annotations

import http
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from statecast import strict_json

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

KIND = b"application/problem+json"
PHRASES = {413: "Content Too Large", 414: "URI Too Long"}
"""Where Python's table differs between its versions."""


class Problem(Exception):
    """An answer of RFC 9457. ``more`` are further header fields."""

    def __init__(self, status: int, sentence: str, more: Headers | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.phrase = PHRASES.get(status) or http.HTTPStatus(status).phrase
        self.more = more or []

    @classmethod
    def busy(cls, sentence: str) -> Problem:
        return cls(503, sentence, [(b"retry-after", b"1")])

    @property
    def body(self) -> bytes:
        return strict_json.encode(
            {
                "type": "about:blank",
                "title": self.phrase,
                "status": self.status,
                "detail": str(self),
            }
        )

    def headers(self) -> Headers:
        return [
            (b"content-type", KIND),
            (b"content-length", b"%d" % len(self.body)),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            *self.more,
        ]

    def answer(self, defaults: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The whole answer, for a connection that ends with it."""
        lines = [f"HTTP/1.1 {self.status} {self.phrase}".encode()]
        lines += [
            name + b": " + value
            for name, value in [*defaults, *self.headers(), (b"connection", b"close")]
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body

    async def send(self, send: Send, more: Headers | None = None) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": [*self.headers(), *(more or [])],
            }
        )
        await send({"type": "http.response.body", "body": self.body})
