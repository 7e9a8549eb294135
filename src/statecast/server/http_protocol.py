"""HTTP with limits: uvicorn's protocol class, and what it lacks before any application.

uvicorn itself has no limit of time or size there: it keeps a header of 100 MB whole, and waits for
the end of a head for ever. Each limit here is answered at once, and then the connection ends. What
the client still sends is read and thrown away for a moment: closing while the client is still
sending makes the kernel reset the connection and discard our response.

The inner names of uvicorn that this file uses are listed in ``uvicorn_names``, which checks them
at start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Protocol, cast

import httptools

from statecast.http import locality
from statecast.http.asgi import Headers, Receive, Scope, Send, client_address
from statecast.http.errors import HTTPProblem
from statecast.http.head import BY_PROXY, HeaderFields, RequestHead, by_name
from statecast.http.hosts import Hosts
from statecast.http.mount import forwarded_prefix, split_target
from statecast.server import head_rules
from statecast.server.connection_limits import ConnectionLimiter
from statecast.server.first_request import read_websocket_request
from statecast.server.timeouts import EARLY, TimeoutQueue
from statecast.server.uvicorn_names import HttpToolsProtocol
from statecast.settings import Settings

MAX_PIPELINED = 16
"""Requests of one connection that may wait for the response to an earlier one."""
LINGER = 2.0
"""Seconds for which we still read what a refused client sends, so that it can read the response."""
FIRST_REQUEST = 0.5
"""Seconds for which a stopping server waits for the first request of a connection."""
MAX_LINGERING = 50
"""Connections above the limit that are read before they are refused, and after; others are not."""


class HttpState(IntEnum):
    """Of a connection: what the next bytes from the client are."""

    CONNECTING = 0  # made, without a transport
    NEW = 1  # the first of a connection; uvicorn's part of it is not made yet
    REJECTED = 2  # one connection too many; it is refused at its first byte, or after LINGER
    HEAD = 3  # part of a request's head; also between two requests
    BODY = 4  # part of a request's body; another request may follow it
    LAST_BODY = 5  # part of the last request's body: its response ends the connection
    FINISHED = 6  # an error, because the last request is complete
    UPGRADING = 7  # the end of a request that asks for a WebSocket
    DISCARDING = 8  # thrown away: a refusal, or the last response, is under way
    UPGRADED = 9  # no longer read here: the connection belongs to a WebSocketConnection
    CLOSED = 10  # there are none


TRANSITIONS: dict[HttpState, set[HttpState]] = {
    HttpState.CONNECTING: {HttpState.NEW, HttpState.CLOSED},
    HttpState.NEW: {HttpState.HEAD, HttpState.REJECTED, HttpState.UPGRADED, HttpState.CLOSED},
    HttpState.REJECTED: {HttpState.DISCARDING, HttpState.CLOSED},
    HttpState.HEAD: {
        *(HttpState.BODY, HttpState.LAST_BODY, HttpState.UPGRADING),
        *(HttpState.DISCARDING, HttpState.CLOSED),
    },
    HttpState.BODY: {HttpState.HEAD, HttpState.DISCARDING, HttpState.CLOSED},
    HttpState.LAST_BODY: {HttpState.FINISHED, HttpState.DISCARDING, HttpState.CLOSED},
    HttpState.FINISHED: {HttpState.DISCARDING, HttpState.CLOSED},
    HttpState.UPGRADING: {HttpState.UPGRADED, HttpState.DISCARDING, HttpState.CLOSED},
    HttpState.DISCARDING: {HttpState.CLOSED},
    HttpState.UPGRADED: set(),
    HttpState.CLOSED: set(),
}
IN_BODY = {HttpState.BODY, HttpState.LAST_BODY}
READ_LAST = {HttpState.LAST_BODY, HttpState.FINISHED, HttpState.DISCARDING}
"""States in which the client may send no more and still get its response."""
NOT_READING = {HttpState.DISCARDING, HttpState.UPGRADED, HttpState.CLOSED}
"""States in which no request is read and none can be refused."""


class WebSocketAcceptor(Protocol):
    """Takes the connections that become WebSockets, as ``WebSocketEndpoint`` does."""

    path: str
    """Where WebSockets are served."""

    def accept(
        self,
        transport: asyncio.Transport,
        head: RequestHead,
        *,
        client_address: str | None = None,
        client_key: str | None = None,
        rest: bytes = b"",
    ) -> object: ...


class HttpLimits:
    """What all HTTP connections of a process share: settings, counts and timeouts."""

    def __init__(
        self,
        settings: Settings,
        limiter: ConnectionLimiter,
        warn: Callable[[str, str], None],
    ) -> None:
        """``warn`` gets the address of a client and what it did wrong."""
        self.settings = settings
        self.limiter = limiter
        self.warn = warn
        self.hosts = Hosts(settings)
        self.base_path = settings.base_path.encode()
        self.websockets: WebSocketAcceptor
        """The server sets it."""
        self.secure = bool(settings.tls_cert)
        """Clients speak TLS with us."""

    def start(self, loop: asyncio.AbstractEventLoop, connections: set[Any]) -> None:
        """Before the first connection. ``connections`` are all of the server."""
        self.connections = connections
        self.now = loop.time
        """Returns the time in seconds, for the limiter."""
        head, write = self.settings.header_timeout, self.settings.write_timeout
        queue = TimeoutQueue[LimitedHttpProtocol]
        self.heads = queue(loop, head, LimitedHttpProtocol.on_head_timeout)
        """Connections whose next head has not come."""
        self.writes = queue(loop, write / 2, LimitedHttpProtocol.check_reader)
        """All connections: is the response being read?"""
        self.rejected = queue(loop, LINGER, LimitedHttpProtocol.reject)
        """Connections in the state REJECTED."""
        self.lingering = queue(loop, LINGER, LimitedHttpProtocol.abort)
        """Refused connections whose clients may still be sending."""
        self.half_closed = queue(loop, LINGER, LimitedHttpProtocol.close)
        """Connections whose clients send no more, and wait for the last response."""
        self.stopping = queue(loop, FIRST_REQUEST, LimitedHttpProtocol.close_unless_busy)
        """Connections without a request yet, while the server stops."""

    def forget(self, connection: LimitedHttpProtocol) -> None:
        for queue in (
            *(self.heads, self.writes, self.rejected),
            *(self.lingering, self.half_closed, self.stopping),
        ):
            queue.discard(connection)

    def websocket_lost(self, key: str | None) -> None:
        """A connection that became a WebSocket stays counted until here."""
        self.limiter.release_address(key)
        self.limiter.release()


class LimitedHttpProtocol(HttpToolsProtocol):
    """One HTTP connection, until it ends or becomes a WebSocket.

    uvicorn makes it, with ``functools.partial(LimitedHttpProtocol, limits)`` as its ``http``.
    """

    cycle: Any = None
    """uvicorn's newest cycle. It sets this only in its part of the connection."""

    # uvicorn's own attributes just fit into the compact form of an instance's dictionary (30
    # names). With ours in it each connection would build a large hash table, and drop it again.
    __slots__ = (
        "_address_key",
        "_answering",
        "_application",
        "_counted",
        "_drained",
        "_head_size",
        "_proxied",
        "_rejection",
        "_stalled",
        "_state",
        "_unread",
        "_upgrade_headers",
        "_waiting",
        "limits",
        "peer",
    )

    def __init__(self, limits: HttpLimits, **options: Any) -> None:
        """``options`` are uvicorn's, for its part of the connection. ``_begin_http`` makes that."""
        self.limits = limits
        self._options = options
        self._state = HttpState.CONNECTING
        self._rejection: HTTPProblem | None = None
        """In the state REJECTED: why."""
        self._counted = False
        """Whether the limiter counts it. Independent of the state: a connection may be rejected
        because of all connections (not counted) or because of its address (counted)."""
        self._address_key: str | None = None
        """The key under which its address is counted; None if it is not."""

    def _begin_http(self, state: HttpState = HttpState.HEAD) -> None:
        """Make uvicorn's part of the connection, which a viewer's WebSocket never needs."""
        self._enter(state)
        transport = self.transport
        super().__init__(**self._options)
        super().connection_made(transport)
        self._application: Any = self.app
        """The application itself; uvicorn calls ``_serve_request`` in its place."""
        self.app = cast(Any, self._serve_request)
        self._waiting: list[Any] = []
        """uvicorn's cycles of requests that have not reached the application, oldest first."""
        self._answering: Any = None
        """The cycle of the request that the application answers now."""
        self._head_size = 0
        """Bytes of the header lines of the current head."""
        self._upgrade_headers: HeaderFields = {}
        """In the state UPGRADING: those of the request."""
        self._unread = 0
        """Bytes fed to the parser since it last completed a head or gave a part of a body."""
        self._stalled: tuple[int, int, float] | None = None
        """What ``check_reader`` saw: bytes in the buffer, ``_drained``, and since when."""
        self._drained = 0
        """How often the transport's buffer has been emptied."""
        self.limits.writes.add(self)

    def _enter(self, state: HttpState) -> None:
        assert state in TRANSITIONS[self._state], (self._state, state)
        self._state = state

    # What asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        limits, limiter = self.limits, self.limits.limiter
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else "local"
        self._proxied = limiter.is_proxy(self.peer)
        self._enter(HttpState.NEW)
        limits.connections.add(self)
        try:
            limiter.acquire()
            self._counted = True
            if not self._proxied:
                # With TLS it was counted as a new one before its handshake.
                self._address_key = limiter.acquire_address(
                    self.peer, limits.now(), new=not limits.secure
                )
        except HTTPProblem as problem:
            self._begin_http(HttpState.REJECTED)
            self._rejection = problem
            if len(limits.rejected) < MAX_LINGERING:
                limits.rejected.add(self)
            else:
                self.reject()
            return
        limits.heads.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        new = self._state in (HttpState.CONNECTING, HttpState.NEW)
        self._enter(HttpState.CLOSED)
        self.limits.forget(self)
        if self._counted:
            self.limits.limiter.release_address(self._address_key)
            self.limits.limiter.release()
        if new:
            self.limits.connections.discard(self)
            return
        if self._answering is not None:  # uvicorn sets it for the newest of several only
            self._answering.disconnected = True
            self._answering.message_event.set()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._state is HttpState.NEW:
            if self._accept_websocket(data):
                return
            self._begin_http()
        if self._state in NOT_READING:
            return
        if self._state is HttpState.REJECTED:
            self.reject()
            return
        self._unset_keepalive_if_required()
        if not self._busy:
            self.limits.heads.add(self)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            problem = error.__context__  # what a callback below raised
            if not isinstance(problem, HTTPProblem):
                problem = HTTPProblem(400, "This is not a request that this server understands.")
            self.refuse(problem)
        except HTTPProblem as problem:
            self.refuse(problem)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. After its last request it may still read the response."""
        waits = self._busy and self._state in READ_LAST and not self.cycle.disconnected
        if not (waits and self.transport.can_write_eof()):
            return False  # it has left
        self.limits.half_closed.add(self)
        return True

    def resume_writing(self) -> None:
        self._drained += 1
        super().resume_writing()

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._state is HttpState.FINISHED:
            raise HTTPProblem(400, "The connection was to end with the request before.")
        self._head_size = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        limit = self.limits.settings.url_bytes
        if len(self.url) > limit:
            raise HTTPProblem(414, f"A URL may have {limit} bytes.", setting="url_bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._state is not HttpState.HEAD:
            return  # a trailer: nothing uses them, and the head must not change any more
        super().on_header(name, value)
        self._head_size += len(name) + len(value) + 4
        settings = self.limits.settings
        if len(self.headers) > settings.header_count:
            sentence = f"A request may have {settings.header_count} header lines."
            raise HTTPProblem(431, sentence, setting="header_count")
        if self._head_size + len(self.url) > settings.header_bytes:
            sentence = f"A request's head may have {settings.header_bytes} bytes."
            raise HTTPProblem(431, sentence, setting="header_bytes")

    def on_headers_complete(self) -> None:
        headers = by_name(self.headers)
        upgrade = self.parser.should_upgrade()
        websocket = upgrade and head_rules.asks_for_websocket(headers)
        self._check_head(headers, websocket)
        self._unread = 0
        self.limits.heads.discard(self)
        if websocket:
            self._upgrade_headers = headers
            self._enter(HttpState.UPGRADING)
            super().on_headers_complete()
            return
        version = self.parser.get_http_version()
        last = upgrade or version == "1.0" or not self.parser.should_keep_alive()
        self._enter(HttpState.LAST_BODY if last else HttpState.BODY)
        # The first two are for an application that knows that its client reads nothing.
        self.scope["extensions"] = {
            "statecast.abort": cast(Any, self.abort),
            "statecast.limit_buffer": cast(Any, self.limit_buffer),
            locality.EXTENSION: cast(
                Any, locality.is_local_head(self.peer, headers, trusted=self._proxied)
            ),
            BY_PROXY: cast(Any, self._proxied),
        }
        super().on_headers_complete()
        if upgrade:  # answered as plain HTTP; the parser reads nothing after it
            self.cycle.keep_alive = False
        self._waiting.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._unread = 0
        if self._state in IN_BODY:
            self._enter(HttpState.HEAD if self._state is HttpState.BODY else HttpState.FINISHED)

    def _should_upgrade(self) -> bool:
        """Called by uvicorn's callbacks."""
        return self._state is HttpState.UPGRADING

    # Reading

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _feed(self, data: bytes) -> None:
        """Give the parser no more than the limits allow: it keeps a line without an end whole.

        Endless trailers complete no head and are no body either, so ``_unread`` bounds them too.
        """
        limit = self.limits.settings.header_bytes
        while data and self._state not in NOT_READING:
            part, data = data, b""
            if self._state not in IN_BODY:
                room = limit - self._unread
                part, data = part[:room], part[room:]
            if not part or self._unread > limit:
                sentence = f"A request's head may have {limit} bytes."
                raise HTTPProblem(431, sentence, setting="header_bytes")
            self._unread += len(part)
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserUpgrade as upgrade:
                self._end_of_http(part[upgrade.args[0] :] + data)
                return

    def _check_head(self, headers: HeaderFields, websocket: bool) -> None:
        """What the parser lets pass. Raises HTTPProblem."""
        version = self.parser.get_http_version()
        head_rules.check_message(version, self.parser.get_method(), headers)
        if websocket and (self._busy or head_rules.has_body(headers)):
            sentence = "A WebSocket begins with a request of its own, without a body."
            raise HTTPProblem(400, sentence)
        if len(self.pipeline) >= MAX_PIPELINED:
            raise HTTPProblem(429, "Too many requests at once on one connection.")
        hosts = head_rules.values(headers, b"host")
        self.url = head_rules.origin_form(self.url, hosts)
        if self._proxied or self.limits.base_path:
            self._mount(headers)
        own = self.server[0] if self.server else None
        head_rules.check_host(hosts, version, self.url, self.limits.hosts, own)
        if self._proxied:
            self._read_forwarded(headers)

    def _mount(self, headers: HeaderFields) -> None:
        """Split the path below which a browser sees us from the target; it is the root path."""
        base_path, self.url = split_target(self.url, self.limits.base_path)
        prefix = ""
        if self._proxied:
            try:
                prefix = forwarded_prefix(head_rules.values(headers, b"x-forwarded-prefix"))
            except ValueError as error:
                self.limits.warn(self.peer, str(error))
        self.root_path = self.scope["root_path"] = prefix + base_path.decode()

    def _read_forwarded(self, headers: HeaderFields) -> None:
        """The client and the scheme that the trusted proxy names."""
        forwarded = head_rules.values(headers, b"x-forwarded-for")
        self.scope["client"] = (self.limits.limiter.client_behind(self.peer, forwarded), 0)
        schemes = head_rules.values(headers, b"x-forwarded-proto")
        if len(schemes) == 1 and schemes[0].strip().lower() in ("http", "https"):
            self.scope["scheme"] = cast(Any, schemes[0].strip().lower())

    # To the application

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application; behind a proxy the request counts for its client meanwhile."""
        cycle = self._answering = self._waiting.pop(0)

        async def send_unless_closing(message: Scope) -> None:
            if self.transport.is_closing():
                cycle.disconnected = True  # before the loop says so: writing would be an error
            if not cycle.keep_alive and message["type"] == "http.response.start":
                message["headers"] = with_connection_close(message.get("headers", []))
            await send(message)

        limiter, key = self.limits.limiter, None
        try:
            if self._proxied:
                key = limiter.acquire_address(scope["client"][0], self.loop.time(), new=False)
            await self._application(scope, receive, send_unless_closing)
        except HTTPProblem as problem:
            self.limits.warn(client_address(scope), problem.reason)
            await problem.for_client(scope["headers"]).send(send_unless_closing)
        finally:
            self._answering = None
            limiter.release_address(key)

    def _accept_websocket(self, data: bytes) -> bool:
        """Hand the connection over if ``data`` is a viewer's whole request, and begins it."""
        limits = self.limits
        endpoint = limits.websockets
        if self._proxied:  # the request names the client, and its scheme
            return False
        request = read_websocket_request(
            data, endpoint.path, limits.settings, limits.hosts, self.peer, limits.secure
        )
        if request is None:
            return False
        self._enter(HttpState.UPGRADED)
        limits.connections.discard(self)
        limits.heads.discard(self)
        limits.stopping.discard(self)
        endpoint.accept(
            self.transport,
            request.head,
            client_address=self.peer,
            client_key=self._address_key,
            rest=request.rest,
        )
        return True

    def _end_of_http(self, rest: bytes) -> None:
        """The parser is done; ``rest`` follows the request that asks for another protocol."""
        if self._state is HttpState.UPGRADING:
            self.handle_websocket_upgrade(rest)
        else:
            self._enter(HttpState.DISCARDING)  # the response to it ends the connection

    def handle_websocket_upgrade(self, rest: bytes = b"") -> None:
        """Hand the connection over. It stays counted. Raises HTTPProblem."""
        limits, transport = self.limits, self.transport
        client = self.scope["client"][0] if self.scope["client"] else self.peer
        if self._proxied:
            self._address_key = limits.limiter.acquire_address(client, self.loop.time())
        secure = self.scope["scheme"] == "https"
        headers = self._upgrade_headers
        head = RequestHead.of_target(
            self.scope["method"],
            self.url,
            headers,
            secure,
            local=locality.is_local_head(self.peer, headers, trusted=self._proxied),
            by_proxy=self._proxied,
        )
        self._enter(HttpState.UPGRADED)
        self.connections.discard(self)
        # In this state it waits for no other timeout.
        limits.writes.discard(self)
        limits.stopping.discard(self)
        self.flow.resume_reading()
        # Reference cycles would keep this object until the next collection, for each viewer.
        self.parser = self.cycle = self.scope = self.app = None  # type: ignore[assignment]
        limits.websockets.accept(
            transport, head, client_address=client, client_key=self._address_key, rest=rest
        )

    # How it ends

    def on_head_timeout(self) -> None:
        if self._state is HttpState.NEW:
            self._begin_http()
        if self._busy:
            return
        if self._state in IN_BODY:
            self.abort()  # answered long ago, and its body still does not end
            return
        seconds = self.limits.settings.header_timeout
        sentence = f"The request did not come within {seconds:g} seconds."
        self.refuse(HTTPProblem(408, sentence, setting="header_timeout"))

    def reject(self) -> None:
        """Refuse a connection that is one too many."""
        self.limits.rejected.discard(self)
        if self._rejection is not None:
            self.refuse(self._rejection)

    def refuse(self, problem: HTTPProblem) -> None:
        """Respond and end. A response under way goes first, and is then the last one."""
        if self._state in NOT_READING or self.transport.is_closing():
            return
        self._enter(HttpState.DISCARDING)
        self.limits.heads.discard(self)
        self.limits.warn(self.peer, problem.reason)
        if self._busy and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return
        if self._busy and (self.cycle.response_started or self.pipeline):
            self.abort()
            return
        if self._busy:  # the application waits for the body: for it, the client has left
            self.cycle.disconnected, self.cycle.waiting_for_100_continue = True, False
            self.cycle.message_event.set()
        answer = problem.for_client(self.headers or ())
        self.transport.write(answer.response(self.server_state.default_headers))
        crowded = not self._counted and len(self.limits.lingering) >= MAX_LINGERING
        if crowded or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.limits.lingering.add(self)

    def check_reader(self) -> None:
        """A slow reader is allowed; one that takes nothing for ``write_timeout`` is not."""
        held, now = self.transport.get_write_buffer_size(), self.loop.time()
        seconds = self.limits.settings.write_timeout
        # Otherwise the application is writing meanwhile.
        waiting = self.flow.write_paused or self.transport.is_closing() or not self._busy
        if not held or not waiting:
            self._stalled = None
        elif self._stalled is None or self._stalled[:2] != (held, self._drained):
            self._stalled = (held, self._drained, now)
        elif now - self._stalled[2] >= seconds - EARLY:
            self.limits.warn(self.peer, f"accepted nothing for {seconds:g} seconds")
            self.abort()
            return
        self.limits.writes.add(self)

    def shutdown(self) -> None:
        """The server stops: close after the request under way, or at once.

        A connection without a request yet gets a moment to send one: its client then reads that the
        server restarts, instead of finding the connection closed.
        """
        if self.cycle is None and self._state in (HttpState.NEW, HttpState.HEAD):
            self.limits.stopping.add(self)
        else:
            super().shutdown()

    def close_unless_busy(self) -> None:
        if not self._busy:
            self.transport.close()

    def close(self) -> None:
        self.transport.close()

    def limit_buffer(self, size: int | None) -> None:
        """Let a response wait as soon as the transport holds more bytes than this.

        None is the limit of the transport itself. With TLS this limits what is not encrypted yet;
        the connection below holds 64 KiB more.
        """
        if size == 0 and self.limits.secure:
            size = 1  # TLS pauses at the limit, not above it: with 0 it would never write
        if not self.transport.is_closing():
            self.transport.set_write_buffer_limits(high=size)

    def abort(self) -> None:
        """Close without waiting for what is still to be written."""
        self.transport.abort()


def with_connection_close(headers: Headers) -> Headers:
    """uvicorn adds this field itself only since version 0.53."""
    if any(name == b"connection" for name, _ in headers):
        return headers
    return [*headers, (b"connection", b"close")]
