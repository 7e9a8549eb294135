"""Answers plain HTTP at a port that speaks TLS: the same address with ``https://``.

A browser for which somebody typed the address without ``https://`` gets to the page. Any other
request is refused: what it carried has already crossed the network in the clear, and the program
that sent it must be corrected. The redirect is a temporary one, because a browser would keep a
permanent one also after TLS was switched off.
"""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from statecast.http.errors import HTTPError, HTTPProblem
from statecast.server import head_rules
from statecast.server.first_request import ParsedHead
from statecast.server.http_protocol import LINGER, HttpLimits

ONLY_TLS = "This server speaks HTTPS only; ask again with https://."


class PlainRedirect(asyncio.Protocol):
    """One connection, for one answer."""

    def __init__(self, limits: HttpLimits, ended: asyncio.Future[None]) -> None:
        """``ended`` is done when the connection is."""
        self._limits = limits
        self._ended = ended
        self._head = CompleteHead()
        self._parser = httptools.HttpRequestParser(self._head)
        self._size = 0
        """Bytes read before the answer."""
        self._answered = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._answered:
            return
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            self._answer(HTTPProblem(400, ONLY_TLS))
            return
        if self._head.is_complete:
            self._answer(self._redirect())
        elif self._size > self._limits.settings.header_bytes:
            self._answer(HTTPProblem(400, ONLY_TLS))

    def _redirect(self) -> HTTPError:
        method = self._parser.get_method()
        hosts = head_rules.values(self._head.fields, b"host")
        own = self._transport.get_extra_info("sockname")[0]
        try:
            target = head_rules.origin_form(self._head.target, hosts)
            version = self._parser.get_http_version()
            head_rules.check_host(hosts, version, target, self._limits.hosts, own)
        except HTTPProblem as problem:
            return problem
        except httptools.HttpParserError:
            return HTTPProblem(400, ONLY_TLS)
        if method not in (b"GET", b"HEAD") or not hosts:
            return HTTPProblem(400, ONLY_TLS)
        location = b"https://" + hosts[0].encode("latin-1") + target
        return HTTPError(307, b"", "text/plain", [(b"location", location)])

    def _answer(self, answer: HTTPError) -> None:
        """Respond and end; what the client still sends is read for a moment, see http_protocol."""
        self._answered = True
        if isinstance(answer, HTTPProblem):
            peer = self._transport.get_extra_info("peername")
            address = str(peer[0]) if isinstance(peer, tuple) else "local"
            self._limits.warn(address, f"It sent no TLS. {answer.reason}")
        self._transport.write(answer.response())
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER, self._transport.abort)


class CompleteHead(ParsedHead):
    """A head that notes its end."""

    __slots__ = ("is_complete",)

    def __init__(self) -> None:
        super().__init__()
        self.is_complete = False

    def on_headers_complete(self) -> None:
        self.is_complete = True
