"""Server-sent events: the same ``states`` for ``curl -N``, EventSource and proxies that block WebSocket. An ASGI app.

``GET /events?device=pillow&device=floor2/*``; without ``device`` everything. Further members of the query: ``health=1``
(the health event too) and ``since=epoch:offset``, for a client that cannot set the header ``Last-Event-ID`` itself.
A reader watches like any viewer: a slow one is skipped and costs its place, a returning one is a place.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any
from urllib.parse import parse_qsl

from statecast.errors import Refused
from statecast.http.head import RequestHead
from statecast.realtime import asgi
from statecast.realtime.asgi import Receive, Scope, Send
from statecast.realtime.hub import Hub, Slice
from statecast.realtime.protocol import handshake
from statecast.realtime.protocol.handshake import Declined

CHUNK = 16_384
"""Bytes written at once: what a peer must take within the write time limit."""
RETURN_WITHIN = 5.0
"""Seconds over which the readers of a stopping server come back."""
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would wait for more
]

_PLACE = re.compile(rb'\{"epoch":"([^"\\]*)","offset":(\d+),')
_LAST_ID = re.compile(r"([^:]{1,128}):(\d{1,15})")


class Stream:
    """One reader. What waits for its transport is bounded; beyond the bound it is paused."""

    __slots__ = ("_beat_at", "_limit", "_more", "_open", "_pending", "bucket", "hub", "paused")

    def __init__(self, hub: Hub, now: float) -> None:
        self.hub = hub
        self.bucket = -1
        self.paused = False
        self._open = True
        self._pending = bytearray()
        self._more = asyncio.Event()
        self._limit: asyncio.Timeout | None = None
        self._beat_at = now + hub.settings.ping_interval

    # What the hub and the broadcaster ask

    def deliver(self, piece: Slice) -> None:
        event = piece.encodings.get("sse")
        if event is None:
            event = piece.encodings["sse"] = encode(piece.name, piece.payload)
        self._put(event)
        if self._open and not self.paused and len(self._pending) > self.hub.settings.viewer_buffer:
            self.paused = True
            self.hub.broadcaster.pause(self)

    def close(self, code: int, reason: str) -> None:
        """Say when to come back, and end; the readers shall not come all at once."""
        wait = random.randrange(round(RETURN_WITHIN * 1000))  # noqa: S311 (spreads load, hides nothing)
        self._put(b"retry: %d\n\n" % wait)
        self.leave()

    def leave(self) -> None:
        self._open = False
        self._more.set()

    def abort(self) -> None:
        self._pending.clear()
        self.leave()
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(0)

    def turn(self, now: float) -> float | None:
        if not self._open:
            return None
        if now >= self._beat_at:
            self._beat_at = now + self.hub.settings.ping_interval
            if not self.paused:
                self._put(b":\n\n")
        return self._beat_at

    def _put(self, event: bytes) -> None:
        if self._open:
            self._pending += event
            self._more.set()

    # Towards the client

    async def run(self, send: Send) -> None:
        """Write until it is closed. Raises TimeoutError for a peer that accepts nothing."""
        while self._open or self._pending:
            await self._more.wait()
            self._more.clear()
            while self._pending:
                chunk = bytes(self._pending[:CHUNK])
                del self._pending[:CHUNK]
                await self._write(send, chunk)
                self._resume()
        await self._write(send, b"", more=False)

    async def _write(self, send: Send, chunk: bytes, more: bool = True) -> None:
        try:
            async with asyncio.timeout(self.hub.settings.write_timeout) as self._limit:
                await send({"type": "http.response.body", "body": chunk, "more_body": more})
        finally:
            self._limit = None

    def _resume(self) -> None:
        if (
            self.paused
            and self._open
            and len(self._pending) <= self.hub.settings.viewer_buffer // 4
        ):
            self.paused = False
            self.hub.broadcaster.resume(self)


class Events:
    """The ASGI app for ``/events``. It lives on the loop of the hub's viewers."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = RequestHead.of_scope(scope)
        cors: list[tuple[bytes, bytes]] = []
        if self.hub.loop is None:
            self.hub.start(asyncio.get_running_loop())
        stream = Stream(self.hub, asyncio.get_running_loop().time())
        try:
            cors = asgi.check_origin(head, self.hub.settings.allow_origins)
            if head.method != "GET":
                raise Declined.sentence(405, "This address only answers GET.", "allow: GET\r\n")
            if self.hub.draining or self.hub.viewers >= self.hub.settings.max_connections:
                sentence = "The server cannot take more viewers now; come back."
                raise Declined.sentence(503, sentence, "retry-after: 1\r\n")
            wish = read_wish(
                scope.get("query_string", b""), handshake.single(head, b"last-event-id")
            )
            self.hub.broadcaster.watch(stream, wish)
        except Refused as refusal:
            await asgi.decline(send, Declined.sentence(400, str(refusal)), cors)
            return
        except Declined as declined:
            await asgi.decline(send, declined, cors)
            return
        await self._serve(stream, scope, receive, send, cors)

    async def _serve(
        self,
        stream: Stream,
        scope: Scope,
        receive: Receive,
        send: Send,
        cors: list[tuple[bytes, bytes]],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.hub.join(stream)
        self.hub.wheel.put(stream, loop.time() + self.hub.settings.ping_interval)
        leaving = loop.create_task(asgi.gone(receive))
        leaving.add_done_callback(lambda _: stream.leave())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, *cors]})
            await stream.run(send)
        except TimeoutError:
            sentence = f"accepted nothing for {self.hub.settings.write_timeout:g} seconds"
            self.hub.throttled_log.warning(asgi.address_of(scope), sentence, loop.time())
            cut(scope)
        finally:
            stream.leave()
            leaving.cancel()
            self.hub.broadcaster.leave(stream)
            self.hub.part(stream)


def cut(scope: Scope) -> None:
    """Abort the connection where our door lets us; elsewhere the server closes it when it can."""
    abort = scope.get("extensions", {}).get("statecast.abort")
    if abort is not None:
        abort()


def read_wish(query: bytes, last_event_id: str | None) -> dict[str, Any]:
    """The ``watch`` request that a query and the place of a returning client stand for. Raises Refused or Declined."""
    wish: dict[str, Any] = {"devices": [], "health": False}
    since = last_event_id
    try:
        members = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=2_000)
    except ValueError:
        raise Declined.sentence(400, "The query has too many members.") from None
    for name, value in members:
        if name == "device":
            wish["devices"].append(value)
        elif name == "health" and value in ("0", "1"):
            wish["health"] = value == "1"
        elif name == "since":
            since = since if last_event_id is not None else value
        else:
            raise Declined.sentence(
                400, "The query takes device (any number), health=1 and since=epoch:offset."
            )
    wish["devices"] = wish["devices"] or ["*"]
    if since is not None:
        place = _LAST_ID.fullmatch(since)
        # A place that is none is one that is not good: reset, and everything.
        wish["since"] = (
            {"epoch": place[1], "offset": int(place[2])} if place else {"epoch": "", "offset": 0}
        )
    return wish


def encode(name: str, payload: bytes) -> bytes:
    """One event; ``states`` bring the place that a returning client names."""
    place = _PLACE.match(payload) if name == "states" else None
    number = b"id: %b:%b\n" % place.groups() if place is not None else b""
    # JSON has line ends only between its tokens.
    line = payload.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: %b\n%bdata: %b\n\n" % (name.encode(), number, line)
