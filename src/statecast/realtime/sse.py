"""Server-sent events: for ``curl -N``, EventSource and proxies that block WebSocket.

An ASGI app that sends the same ``states``. ``GET /events?device=pillow&device=floor2/*``; without
``device`` everything. Further fields of the query: ``health=1`` (the health event too),
``presence=1`` (who watches the devices that it names), ``protocol=2`` (patches), ``reset=1`` (it
has lost what it had), ``since=epoch:offset:scope``, for a client that cannot set the header
``Last-Event-ID`` itself, and ``once=1``: the response ends when the client has everything, for one
that asks again later. A reader watches like any viewer: while it is slow it is skipped and costs
only its position, and it returns with a position.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import deque
from typing import Any
from urllib.parse import parse_qsl

from statecast import strict_json
from statecast.access.reader import READS_NOTHING, Reader
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.errors import Forbidden, Refused
from statecast.http import asgi
from statecast.http.asgi import Headers, Receive, Scope, Send
from statecast.http.content_coding import takes_gzip
from statecast.http.errors import HTTPProblem
from statecast.http.head import RequestHead
from statecast.realtime import encoding
from statecast.realtime.authenticator import NotAdmitted, Visit
from statecast.realtime.hub import Hub
from statecast.realtime.interfaces import BroadcasterContract
from statecast.realtime.protocol import gzip_stream, handshake
from statecast.realtime.protocol.gzip_stream import GzipEnd
from statecast.realtime.protocol.handshake import HandshakeError
from statecast.settings import Settings

CHUNK = 4_096
"""Bytes written at once: what a peer must take within the write time limit, and what a reader that
never reads costs, besides its connection."""
RETURN_WITHIN_MS = 5_000
"""Milliseconds over which the readers of a stopping server come back."""
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would wait for more
    gzip_stream.VARY,
]
PLAIN, STORED, DEFLATED = "sse", "stored sse", "deflated sse"
"""Under which an ``OutgoingMessage`` keeps its encodings."""
KEEPALIVE = b":\n\n"

_COMPLETE = b'"complete":true}'
"""The end of the ``states`` event that brings a reader up to date."""
_POSITION = re.compile(rb'\{"epoch":"([^"\\]*)","offset":(\d+),"scope":"([^"\\]*)",')
_LAST_ID = re.compile(r"([^:]{1,128}):(\d{1,15})(?::([^:]{1,64}))?")


class PendingEvents:
    """Events that are not yet given to the transport: references to bytes that all readers share.

    A copy for each reader would make a reader that never reads cost its whole buffer.
    """

    __slots__ = ("_events", "_taken", "size")

    def __init__(self) -> None:
        self._events: deque[bytes] = deque()
        self._taken = 0
        """Bytes of the first event that were taken already."""
        self.size = 0
        """Bytes that are pending."""

    def add(self, event: bytes) -> None:
        self._events.append(event)
        self.size += len(event)

    def clear(self) -> None:
        self._events.clear()
        self._taken = self.size = 0

    def take(self, most: int) -> bytes:
        """The next bytes, up to ``most``; small events together."""
        parts: list[bytes] = []
        room = most
        while self._events and room:
            event = self._events[0]
            part = event[self._taken : self._taken + room]
            room -= len(part)
            self._taken += len(part)
            parts.append(part)
            if self._taken == len(event):
                self._events.popleft()
                self._taken = 0
        self.size -= most - room
        return b"".join(parts)


class EventStream:
    """One reader. What waits for its transport is bounded; beyond the bound it is paused."""

    name: str | None = None
    """The application knows nothing of it, and gives it no name."""
    outlet = None
    """Each message waits in its own queue."""

    __slots__ = (
        "_awaited",
        "_broadcaster",
        "_buffer_limit",
        "_gzip",
        "_keepalive_at",
        "_open",
        "_pending",
        "_ping_interval",
        "_wake",
        "_write_limit",
        "_write_timeout",
        "bucket",
        "paused",
        "reader",
    )

    def __init__(
        self,
        broadcaster: BroadcasterContract,
        settings: Settings,
        now: float,
        awaited: frozenset[str] = frozenset(),
        *,
        gzip: bool = False,
    ) -> None:
        """It ends when all ``awaited`` events were delivered; without any it goes on.

        With ``gzip`` what it writes is such a stream.
        """
        self.reader: Reader = READS_NOTHING
        """Who it is, and what it may see."""
        self._awaited = set(awaited)
        self._broadcaster = broadcaster
        self._buffer_limit = settings.viewer_buffer
        self._write_timeout = settings.write_timeout
        self._ping_interval = settings.ping_interval
        self.bucket = -1
        self.paused = False
        """More is pending than the bound allows."""
        self._open = True
        """Further events are taken; False: ``run`` ends once nothing is pending."""
        self._pending = PendingEvents()
        self._wake = asyncio.Event()
        """Something is pending, or the stream ends."""
        self._write_limit: asyncio.Timeout | None = None
        """The time limit of the write under way."""
        self._keepalive_at = now + settings.ping_interval
        """When the next comment is due, which shows the client that the connection lives."""
        self._gzip = GzipEnd() if gzip else None
        if gzip:
            self._pending.add(gzip_stream.HEADER)

    @property
    def headers(self) -> Headers:
        """Of the response."""
        return HEADERS if self._gzip is None else [*HEADERS, gzip_stream.FIELD]

    # From the hub and the broadcaster

    @property
    def compression(self) -> encoding.Deflation | None:
        return None if self._gzip is None else COMPRESSION

    def deliver(self, message: OutgoingMessage) -> None:
        event = plain(message)
        self._put(event, None if self._gzip is None else gzip_blocks(message))
        if self._open and not self.paused and self._pending.size > self._buffer_limit:
            self.paused = True
            self._broadcaster.pause(self)
        if message.name in self._awaited and (
            message.name != "states" or message.payload.endswith(_COMPLETE)
        ):
            self._awaited.discard(message.name)
            if not self._awaited:
                # What belongs to it is delivered in the same turn of the loop.
                asyncio.get_running_loop().call_soon(self.leave)

    def close(self, code: int, reason: str) -> None:
        """Tell the client when to return, and end. The times differ, to spread the load."""
        wait = random.randrange(RETURN_WITHIN_MS)  # noqa: S311 - spreads load, hides nothing
        self._put(b"retry: %d\n\n" % wait)
        self.leave()

    def end(self, sentence: str) -> None:
        """It may read nothing any more: end it with a sentence."""
        self._put(
            encode("refused", strict_json.encode({"message": sentence, "data": {"status": 401}}))
        )
        self._broadcaster.leave(self)
        self.leave()

    def leave(self) -> None:
        self._open = False
        self._wake.set()

    def abort(self) -> None:
        self._pending.clear()
        self._gzip = None  # what the client has is no whole stream
        self.leave()
        if self._write_limit is not None and not self._write_limit.expired():
            self._write_limit.reschedule(0)

    def on_timeout(self, now: float) -> float | None:
        if not self._open:
            return None
        is_writing = self._pending.size or self._write_limit is not None
        if self._awaited and not is_writing:
            self.leave()  # the store is away for so long; the client asks again
            return None
        if now >= self._keepalive_at:
            self._keepalive_at = now + self._ping_interval
            if not self.paused:
                self._put(KEEPALIVE)
        return self._keepalive_at

    def _put(self, event: bytes, blocks: bytes | None = None) -> None:
        """``blocks`` are the event in a gzip stream, if several readers share them."""
        if not self._open:
            return
        if self._gzip is None:
            self._pending.add(event)
        else:
            self._gzip.count(event)
            self._pending.add(blocks or gzip_stream.stored(event))
        self._wake.set()

    # To the client

    async def run(self, send: Send) -> None:
        """Write until it is closed. Raises TimeoutError for a client that accepts nothing."""
        while self._open or self._pending.size:
            await self._wake.wait()
            self._wake.clear()
            while self._pending.size:
                await self._write(send, self._pending.take(CHUNK))
                self._resume()
        await self._write(send, self._gzip.encode() if self._gzip else b"", more=False)

    async def _write(self, send: Send, chunk: bytes, more: bool = True) -> None:
        try:
            async with asyncio.timeout(self._write_timeout) as self._write_limit:
                await send({"type": "http.response.body", "body": chunk, "more_body": more})
        finally:
            self._write_limit = None

    def _resume(self) -> None:
        if self.paused and self._open and self._pending.size <= self._buffer_limit // 4:
            self.paused = False
            self._broadcaster.resume(self)


class EventStreamEndpoint:
    """The ASGI app for ``/events``. It runs on the loop of the hub's viewers."""

    def __init__(self, hub: Hub, broadcaster: BroadcasterContract, settings: Settings) -> None:
        self._hub = hub
        self._wheel = hub.wheel
        self._log = hub.throttled_log
        self._broadcaster = broadcaster
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = RequestHead.of_scope(scope)
        cors: Headers = []
        try:
            cors = handshake.cors_headers(head, self._settings.allow_origins)
            if head.method == "OPTIONS" and head.headers.get(b"origin"):
                origins = self._settings.allow_origins
                allowed = handshake.preflight_headers(head, origins, "GET")
                await asgi.respond(send, 200, b"", asgi.TEXT, [*cors, *allowed])
                return
            if head.method != "GET":
                sentence = "This address only answers GET."
                raise HandshakeError.sentence(405, sentence, (b"allow", b"GET"))
            if self._hub.is_full:
                sentence = "The server cannot take more viewers now; come back."
                raise HandshakeError.sentence(503, sentence, handshake.RETRY_SOON)
            request = watch_request(head.query_string, handshake.single(head, b"last-event-id"))
            once = request.pop("once", False)
            awaited = {"states", "health"} if request["health"] else {"states"}
            stream = EventStream(
                self._broadcaster,
                self._settings,
                self._wheel.now(),
                frozenset(awaited if once else ()),
                gzip=self._settings.compression and takes_gzip(head.values(b"accept-encoding")),
            )
        except Refused as refusal:
            await refuse(HTTPProblem(400, str(refusal)), scope, send, cors)
            return
        except HandshakeError as refused:
            self._log.warning(asgi.client_address(scope), str(refused), self._wheel.now())
            problem = HTTPProblem(refused.status, refused.public, refused.headers)
            await refuse(problem, scope, send, cors)
            return
        readers = self._hub.readers
        try:
            visit = readers.visit(head, asgi.client_address(scope))
            closed = await self._let_in(stream, visit, request)
            if closed is None:
                await self._serve(stream, scope, receive, send, cors)
            else:
                await refuse(closed, scope, send, cors)
        finally:
            readers.remove(stream)

    async def _let_in(
        self, stream: EventStream, visit: Visit, request: dict[str, Any]
    ) -> HTTPProblem | None:
        """Let a reader watch, or say why not."""
        refusal = await self._hub.readers.let_in(stream, visit)
        if refusal is not None:
            return problem_of(refusal)
        try:
            self._broadcaster.watch(stream, request)
        except Forbidden as error:
            status = 401 if stream.reader.identity.kind == "anonymous" else 403
            return problem_of(NotAdmitted(status, str(error)))
        except Refused as error:
            return HTTPProblem(400, str(error))
        return None

    async def _serve(
        self,
        stream: EventStream,
        scope: Scope,
        receive: Receive,
        send: Send,
        cors: Headers,
    ) -> None:
        self._hub.add(stream)
        self._wheel.schedule(stream, self._wheel.now() + self._settings.ping_interval)
        limit_buffer(scope, 0)
        leaving = asyncio.get_running_loop().create_task(asgi.disconnected(receive))
        leaving.add_done_callback(lambda _: stream.leave())
        try:
            headers = [*stream.headers, *cors]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await stream.run(send)
        except TimeoutError:
            sentence = f"accepted nothing for {self._settings.write_timeout:g} seconds"
            self._log.warning(asgi.client_address(scope), sentence, self._wheel.now())
            cut(scope)
        finally:
            stream.leave()
            limit_buffer(scope, None)
            leaving.cancel()
            self._broadcaster.leave(stream)
            self._hub.remove(stream)


def problem_of(refusal: NotAdmitted) -> HTTPProblem:
    """The response to somebody who is not let in."""
    headers: Headers = []
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.retry_after is not None:
        headers.append((b"retry-after", b"%d" % refusal.retry_after))
    return HTTPProblem(refusal.status, refusal.sentence, headers)


async def refuse(problem: HTTPProblem, scope: Scope, send: Send, cors: Headers) -> None:
    """Send a refusal that ends the connection, as every refusal outside of Socket.IO."""
    closing = [(b"connection", b"close"), *cors]
    await problem.for_client(scope["headers"]).send(send, closing)


def cut(scope: Scope) -> None:
    """Abort the connection, if the server offers that; else it closes it when it can."""
    abort = scope.get("extensions", {}).get("statecast.abort")
    if abort is not None:
        abort()


def limit_buffer(scope: Scope, size: int | None) -> None:
    """Limit what the transport holds, if the server offers that; None is its own limit.

    With 0 it holds one chunk at most: what waits beyond that is shared by all readers.
    """
    limit = scope.get("extensions", {}).get("statecast.limit_buffer")
    if limit is not None:
        limit(size)


def watch_request(query: bytes, last_event_id: str | None) -> dict[str, Any]:
    """The ``watch`` request of a query and a returning client's position. Raises HandshakeError."""
    request: dict[str, Any] = {"devices": [], "health": False}
    since = last_event_id
    try:
        members = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=2_000)
    except ValueError:
        raise HandshakeError.sentence(400, "The query has too many members.") from None
    for name, value in members:
        if name == "device":
            request["devices"].append(value)
        elif name in ("health", "presence", "reset") and value in ("0", "1"):
            request[name] = value == "1"
        elif name == "protocol" and value in ("1", "2"):
            request[name] = int(value)
        elif name == "once" and value == "1":
            request["once"] = True
        elif name == "since":
            since = since if last_event_id is not None else value
        else:
            raise HandshakeError.sentence(
                400,
                "The query takes device (any number), protocol=1 or 2, health=1, presence=1, "
                "once=1, reset=1 and since=epoch:offset:scope.",
            )
    request["devices"] = request["devices"] or ["*"]
    if since is not None:
        position = _LAST_ID.fullmatch(since)
        # What is no position counts as an invalid one: the answer is a reset and all states.
        request["since"] = (
            {"epoch": position[1], "offset": int(position[2])}
            if position
            else {"epoch": "", "offset": 0}
        )
        if position and position[3]:
            request["since"]["scope"] = position[3]
    return request


def plain(message: OutgoingMessage) -> bytes:
    """The event, encoded once for all readers."""
    event = message.encodings.get(PLAIN)
    if event is None:
        event = message.encodings[PLAIN] = encode(
            message.name, message.payload, _position_id(message)
        )
    return event


def _position_id(message: OutgoingMessage) -> bytes:
    """The position of an event that does not name it whole."""
    if message.unnamed is None:
        return b""
    epoch, scope = message.unnamed
    return f"{epoch}:{message.position}:{scope}".encode()


def gzip_blocks(message: OutgoingMessage) -> bytes:
    """The event in a gzip stream; compressed if that is allowed and worth it."""
    blocks = COMPRESSION.compressed(message) or message.encodings.get(STORED)
    if blocks is None:
        blocks = message.encodings[STORED] = gzip_stream.stored(plain(message))
    return blocks


COMPRESSION = encoding.Deflation(DEFLATED, plain)


def encode(name: str, payload: bytes, position_id: bytes = b"") -> bytes:
    """One event; ``states`` carry the position with which a client returns."""
    position = _POSITION.match(payload) if name == "states" else None
    if position is not None:
        position_id = b":".join(position.groups())
    number = b"id: %b\n" % position_id if position_id else b""
    # JSON has line ends only between its tokens, where a space means the same.
    line = payload.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: %b\n%bdata: %b\n\n" % (name.encode(), number, line)
