"""The limits of HTTP before any application: uvicorn's own protocol class, with a lock on it.

uvicorn as it comes has no limit of time or size before the application: a header of 100 MB is kept whole, a head that
is never finished is waited for. Each limit here has its answer, given at once, and then the connection ends; what the
client still sends is read and thrown away for a moment, because closing under its feet would destroy the answer.

The inner names of uvicorn that this file uses are listed in ``uvicorn_names``, which checks them at start.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, NoReturn, cast

import httptools

from statecast.http.asgi import Receive, Scope, Send
from statecast.http.errors import HTTPProblem
from statecast.http.head import RequestHead
from statecast.http.hosts import name_of
from statecast.server.porter import MOST_LINGERING, Porter
from statecast.server.timeouts import EARLY
from statecast.server.uvicorn_names import HttpToolsProtocol

MOST_PIPELINED = 16
"""Requests of one connection that may wait for the answer to an earlier one; later ones are not read."""
EXEMPT = (b"/healthz", b"/readyz")
"""Asked by machines that know an address and no name."""


def bind(porter: Porter) -> type[Door]:
    """A class of doors of this porter: what uvicorn takes as ``http``."""
    return type("Door", (Door,), {"porter": porter})


class Door(HttpToolsProtocol):
    """One HTTP connection, until it ends or becomes a viewer's."""

    porter: ClassVar[Porter]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._behind, self.app = self.app, cast(Any, self._admit)
        self._counted = False
        self._key: str | None = None
        self._answering: Any = None
        self._problem: HTTPProblem | None = None
        self._deaf = False
        self._in_head = True
        self._upgrades: bool | None = None
        self._final = False
        self._seen = False
        self._unread = 0
        self._size = 0
        self._stalled: tuple[int, int, float] | None = None
        self._drained = 0

    # What asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        porter = self.porter
        porter.start(self.loop)
        self.peer = self.client[0] if self.client else "local"
        self._proxied = porter.limiter.is_proxy(self.peer)
        porter.stalls.put(self)
        try:
            porter.limiter.acquire()
            self._counted = True
            if not self._proxied:
                self._key = porter.limiter.acquire_address(self.peer, self.loop.time())
        except HTTPProblem as problem:
            self._problem = problem
            if len(porter.unheard) < MOST_LINGERING:
                porter.unheard.put(self)
            else:
                self.tell_unheard()
            return
        porter.heads.put(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.porter.forget(self)
        if self._answering is not None:  # uvicorn tells only the newest of several
            self._answering.disconnected = True
            self._answering.message_event.set()
        if self._counted:
            self._counted = False
            self.porter.limiter.release_address(self._key)
            self.porter.limiter.release()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._problem is not None:
            self.tell_unheard()
            return
        self._unset_keepalive_if_required()
        if not self._busy:
            self.porter.heads.put(self)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            sentence = "This is not a request that this server understands."
            self.turn_away(self._problem or HTTPProblem(400, sentence))
        except HTTPProblem as problem:
            self.turn_away(problem)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whoever says that nothing follows his last request may mean just that; the answer still has a moment."""
        if not (self._busy and self._final and self.transport.can_write_eof()):
            return False  # he has left
        self.porter.leaving.put(self)
        return True

    def resume_writing(self) -> None:
        self._drained += 1
        super().resume_writing()

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if self._final:
            self._refuse(400, "The connection was to end with the request before.")
        self._in_head, self._size, self._upgrades = True, 0, None
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        most = self.porter.settings.url_bytes
        if len(self.url) > most:
            self._refuse(414, f"A URL may have {most} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # trailers: nobody asked for them, and the head must not change any more
        super().on_header(name, value)
        self._size += len(name) + len(value) + 4
        if len(self.headers) > self.porter.settings.header_count:
            self._refuse(
                431, f"A request may have {self.porter.settings.header_count} header lines."
            )
        if self._size + len(self.url) > self.porter.settings.header_bytes:
            self._refuse(
                431, f"A request's head may have {self.porter.settings.header_bytes} bytes."
            )

    def on_headers_complete(self) -> None:
        self._check_head()
        self._in_head, self._seen = False, True
        self.porter.heads.drop(self)
        upgrade = self.parser.should_upgrade()
        if not upgrade or not self._should_upgrade():
            self.scope["extensions"] = {
                "statecast.abort": cast(Any, self.abort)
            }  # for who knows that the peer takes nothing
        super().on_headers_complete()
        if upgrade and not self._should_upgrade():
            self.cycle.keep_alive = (
                False  # answered as plain HTTP; the parser reads nothing after it
            )
        self._final = (
            upgrade
            or self.parser.get_http_version() == "1.0"
            or not self.parser.should_keep_alive()
        )

    def on_body(self, body: bytes) -> None:
        self._seen = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = self._seen = True

    def _should_upgrade(self) -> bool:
        """Asked again and again of one head (uvicorn's code asks too), so answered once."""
        if self._upgrades is None:
            self._upgrades = self._get_upgrade() == b"websocket"
        return self._upgrades

    # Reading

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _feed(self, data: bytes) -> None:
        """Give the parser what the limits allow: it keeps a line that does not end, however long.

        ``_unread`` counts the bytes that made neither a whole head nor any body; endless trailers are such, too.
        """
        most = self.porter.settings.header_bytes
        while data and not self._deaf:
            part, data = data, b""
            if self._in_head:
                room = most - self._unread
                part, data = part[:room], part[room:]
            if not part or self._unread > most:
                self._refuse(431, f"A request's head may have {most} bytes.")
            self._seen = False
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserUpgrade as upgrade:
                self._end_of_http(part[upgrade.args[0] :] + data)
                return
            self._unread = 0 if self._seen else self._unread + len(part)

    def _refuse(self, status: int, sentence: str) -> NoReturn:
        """Out of the parser, which keeps no exception but its own."""
        self._problem = HTTPProblem(status, sentence)
        raise self._problem

    def _check_head(self) -> None:
        """What the parser lets pass. Raises HTTPProblem."""
        version, method = self.parser.get_http_version(), self.parser.get_method()
        if version not in ("1.0", "1.1"):
            self._refuse(505, "This server speaks HTTP/1.1.")
        if method == b"CONNECT":
            self._refuse(405, "This server is no proxy.")
        encodings = self._values(b"transfer-encoding")
        if encodings and (
            version == "1.0" or [value.strip().lower() for value in encodings] != ["chunked"]
        ):
            self._refuse(501, "A body may come chunked, and in no other transfer encoding.")
        upgrade = self.parser.should_upgrade() and self._should_upgrade()
        if upgrade and (
            self._busy or encodings or self._values(b"content-length") not in ([], ["0"])
        ):
            self._refuse(400, "A WebSocket begins with a request of its own, without a body.")
        if len(self.pipeline) >= MOST_PIPELINED:
            self._refuse(429, "Too many requests at once on one connection.")
        self._check_host(version)
        if self._proxied:
            self._believe_proxy()

    def _check_host(self, version: str) -> None:
        hosts = self._values(b"host")
        if not self.url.startswith(b"/"):
            target = httptools.parse_url(self.url)
            if target.schema is None or target.host is None:
                self._refuse(400, "The request names no path.")
            authority = target.host + (b":%d" % target.port if target.port else b"")
            if [host.lower() for host in hosts] != [authority.decode("latin-1").lower()]:
                self._refuse(400, "The Host header and the URL name different hosts.")
            self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")
        if len(hosts) != 1 and (hosts or version != "1.0"):
            self._refuse(400, "A request needs one Host header.")
        if hosts and name_of(hosts[0]) is None:
            self._refuse(400, "The Host header names no host.")
        if hosts and self.url.partition(b"?")[0] not in EXEMPT:
            own = self.server[0] if self.server else None
            if not self.porter.hosts.allows(hosts[0], own):
                sentence = (
                    "This server does not answer under that name; "
                    "the setting allow_hosts says which are its own."
                )
                self._refuse(421, sentence)

    def _believe_proxy(self) -> None:
        guest = self.porter.limiter.client_behind(self.peer, self._values(b"x-forwarded-for"))
        self.scope["client"] = (guest, 0)
        schemes = self._values(b"x-forwarded-proto")
        if len(schemes) == 1 and schemes[0].strip().lower() in ("http", "https"):
            self.scope["scheme"] = schemes[0].strip().lower()

    def _values(self, name: bytes) -> list[str]:
        return [value.decode("latin-1") for other, value in self.headers if other == name]

    # To the application

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, and before it what is left to count: a proxy's requests, for their clients."""
        cycle = self._answering = cast(Any, send).__self__

        async def sending(message: Scope) -> None:
            if self.transport.is_closing():
                cycle.disconnected = (
                    True  # the loop has not told it yet, and to write now would be an error
                )
            await send(message)

        key = None
        try:
            if self._proxied:
                key = self.porter.limiter.acquire_address(
                    scope["client"][0], self.loop.time(), new=False
                )
            await self._behind(scope, receive, sending)
        except HTTPProblem as problem:
            await problem.send(sending)
        finally:
            self._answering = None
            self.porter.limiter.release_address(key)

    def handle_websocket_upgrade(self, rest: bytes = b"") -> None:
        """Hand the connection over, with its place in the counts."""
        limiter = self.porter.limiter
        guest = self.scope["client"][0] if self.scope["client"] else self.peer
        if self._proxied:
            self._key = limiter.acquire_address(guest, self.loop.time())
        head = RequestHead.of_target(
            self.scope["method"], self.url, self.headers, self.scope["scheme"] == "https"
        )
        self._let_go()
        self.flow.resume_reading()
        self.porter.websockets.accept(
            self.transport, head, client_address=guest, client_key=self._key, rest=rest
        )

    def _let_go(self) -> None:
        """Forget the connection, and the circles that would keep this object: a viewer costs what a viewer costs."""
        self._deaf, self._counted = True, False
        self.connections.discard(self)
        self.porter.forget(self)
        self.parser = self.cycle = self.scope = self.app = None  # type: ignore[assignment]

    def _end_of_http(self, rest: bytes) -> None:
        if self._should_upgrade():
            self.handle_websocket_upgrade(rest)
        else:
            self._deaf = True  # its answer is under way, and ends the connection

    # What ends it

    def head_is_due(self) -> None:
        if self._busy:
            return
        if not self._in_head:
            self.abort()  # answered long ago, and its body still does not end
            return
        seconds = self.porter.settings.header_timeout
        self.turn_away(HTTPProblem(408, f"The request did not come within {seconds:g} seconds."))

    def tell_unheard(self) -> None:
        self.porter.unheard.drop(self)
        if self._problem is not None:
            self.turn_away(self._problem)

    def turn_away(self, problem: HTTPProblem) -> None:
        """Answer and end. An answer under way goes first, and then stays the last."""
        if self._deaf or self.transport.is_closing():
            return
        self._deaf = True
        self.porter.heads.drop(self)
        self.porter.complain(self.peer, str(problem))
        if self._busy and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return
        if self._busy and (self.cycle.response_started or self.pipeline):
            self.abort()
            return
        if self._busy:  # the application still waits for the body: for it, the client has left
            self.cycle.disconnected, self.cycle.waiting_for_100_continue = True, False
            self.cycle.message_event.set()
        self.transport.write(problem.response(self.server_state.default_headers))
        crowded = not self._counted and len(self.porter.lingering) >= MOST_LINGERING
        if crowded or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.porter.lingering.put(self)

    def look_for_stall(self) -> None:
        """Slow is allowed; accepting nothing for the time limit is not."""
        held, now = self.transport.get_write_buffer_size(), self.loop.time()
        settled = (
            self.flow.write_paused or self.transport.is_closing() or not self._busy
        )  # nobody writes meanwhile
        if not held or not settled:
            self._stalled = None
        elif self._stalled is None or self._stalled[:2] != (held, self._drained):
            self._stalled = (held, self._drained, now)
        elif now - self._stalled[2] >= self.porter.settings.write_timeout - EARLY:
            self.porter.complain(
                self.peer, f"accepted nothing for {self.porter.settings.write_timeout:g} seconds"
            )
            self.abort()
            return
        self.porter.stalls.put(self)

    def shutdown(self) -> None:
        """uvicorn's word that the server stops: after the request under way, or at once.

        Who has just come has a moment to ask, so that he is told to come back instead of being hung up on.
        """
        if self.cycle is None and not self._deaf and self._problem is None:
            self.porter.fresh.put(self)
        else:
            super().shutdown()

    def close_unless_busy(self) -> None:
        if not self._busy:
            self.transport.close()

    def close(self) -> None:
        self.transport.close()

    def abort(self) -> None:
        """No more waiting, no more writing."""
        self.transport.abort()
