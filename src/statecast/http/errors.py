"""Refusals of HTTP requests: a status and a body that say what to do, nothing of our insides.

::

    HTTPError          any status, body and content type
    `-- HTTPProblem    one sentence as application/problem+json (RFC 9457)
"""

from __future__ import annotations

import html
import http
from collections.abc import Iterable

from statecast import strict_json
from statecast.errors import StatecastError
from statecast.http.asgi import Headers, Send

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<h1>{title}</h1>
<p>{sentence}</p>
</html>
"""
PHRASES = {413: "Content Too Large", 414: "URI Too Long"}
"""Where Python's table differs between its versions."""


class HTTPError(StatecastError):
    """A request is refused; the response to it."""

    def __init__(
        self,
        status: int,
        body: bytes,
        kind: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
        sentence: str = "",
        public: str | None = None,
    ) -> None:
        """``kind`` is the content type; ``sentence`` is for the log, ``public`` for the client."""
        self.status = status
        self.body = body
        self.kind = kind
        self.headers = list(headers)
        super().__init__(
            sentence or f"the request was refused with {status} {self.phrase}", public=public
        )

    @property
    def phrase(self) -> str:
        return PHRASES.get(self.status) or http.HTTPStatus(self.status).phrase

    def fields(self) -> Headers:
        """All header fields."""
        return [
            (b"content-type", self.kind.encode()),
            (b"content-length", b"%d" % len(self.body)),
            (b"cache-control", b"no-store"),
            *self.headers,
        ]

    def response(self, defaults: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
        """The whole response, for a connection that ends with it. ``defaults``: further fields."""
        fields = [*defaults, *self.fields(), (b"connection", b"close")]
        lines = [f"HTTP/1.1 {self.status} {self.phrase}".encode()]
        lines += [name + b": " + value for name, value in fields]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body

    async def send(self, send: Send, more: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Send the response of an ASGI application, with ``more`` header fields."""
        fields = [*self.fields(), *more]
        await send({"type": "http.response.start", "status": self.status, "headers": fields})
        await send({"type": "http.response.body", "body": self.body})


class HTTPProblem(HTTPError):
    """A refusal that one sentence explains."""

    def __init__(
        self,
        status: int,
        sentence: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
        *,
        title: str = "",
        setting: str = "",
        **members: str,
    ) -> None:
        """``title`` instead of the status's own; ``members`` are added to the body.

        ``setting`` is the one that decided: the log has a line for such a refusal.
        """
        super().__init__(status, b"", "application/problem+json", headers, sentence)
        self.setting = setting
        self.title = title or self.phrase
        body = {
            "type": "about:blank",
            "title": self.title,
            "status": status,
            "detail": sentence,
            **members,
        }
        self.body = strict_json.encode(body)

    @property
    def reason(self) -> str:
        """The sentence for the log: it names the setting that decided."""
        if not self.setting or self.setting in str(self):
            return str(self)
        return f"{self} (setting {self.setting})"

    @classmethod
    def failed(cls, number: str) -> HTTPProblem:
        """500, for an error of our own that was logged under ``number``."""
        return cls(500, f"Something failed here; the log says what, under error {number}.")

    def fields(self) -> Headers:
        return [*super().fields(), (b"x-content-type-options", b"nosniff")]

    def for_client(self, headers: Iterable[tuple[bytes, bytes]]) -> HTTPError:
        """The refusal as a page where a browser asked for a page, else as it is.

        ``headers`` are those of the request. Scripts and programs do not name HTML.
        """
        if not any(name == b"accept" and b"text/html" in value for name, value in headers):
            return self
        text = PAGE.format(title=html.escape(self.title), sentence=html.escape(str(self)))
        policy = (b"content-security-policy", b"default-src 'none'")
        sniff = (b"x-content-type-options", b"nosniff")
        kind = "text/html; charset=utf-8"
        return HTTPError(
            self.status, text.encode(), kind, [*self.headers, policy, sniff], str(self)
        )

    @classmethod
    def busy(cls, sentence: str) -> HTTPProblem:
        """503, with the advice to come back."""
        return cls(503, sentence, [(b"retry-after", b"1")])
