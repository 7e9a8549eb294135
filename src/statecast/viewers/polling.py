"""Long polling: a session carried by one GET after the other, and POSTs the other way. An ASGI app for ``/socket.io/``.

A session lives in the process that opened it, so with several serving processes polling is refused at the handshake.
What is waiting between two GETs is bounded like a transport's buffer: beyond it the viewer is paused.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

from statecast.errors import Refused
from statecast.viewers import engineio, handshake, socketio, websocket
from statecast.viewers.handshake import Declined
from statecast.viewers.hub import Hub, Parcel, Slice
from statecast.viewers.session import Session

PROBE_POLL = 0.1
"""Seconds a GET waits during an upgrade: the client goes on only when its last GET was answered."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class LongPolling:
    """What carries one session."""

    __slots__ = ("_forget", "_polled", "_probing", "_queue", "_session", "_size", "_waiting",
                 "address", "bucket", "hub", "paused", "sid")  # fmt: skip

    def __init__(self, hub: Hub, address: str, now: float, forget: Callable[[LongPolling], None]) -> None:
        self.hub = hub
        self.address = address
        self.sid = engineio.new_sid()
        self.bucket = -1
        self.paused = False
        self._session: Session | None = Session(hub, self, now)
        self._queue: list[bytes] = []
        self._size = 0
        self._waiting: asyncio.Future[None] | None = None
        self._polled = False
        self._probing = False
        self._forget = forget
        hub.join(self)
        hub.polling[self.sid] = self
        hub.wheel.put(self, self._session.due())

    # What the session says

    def send(self, packet: bytes) -> None:
        self._put(packet)
        if self.paused and self._size > self.hub.hard_bound:
            self._complain("asks without fetching the answers")

    def send_binary(self, data: bytes) -> None:
        self.send(engineio.binary_packet(data))

    def offer(self, parcel: Parcel) -> bool:
        if self.paused or self._session is None:
            return False
        self._put(parcel.packet)
        return True

    def deliver(self, piece: Slice) -> None:
        packet = piece.encodings.get("polling")
        if packet is None:
            packet = piece.encodings["polling"] = socketio.event(piece.name, piece.payload)
        self._put(packet)

    def close(self, code: int, reason: str) -> None:
        """End the session; a GET that waits learns it. Who closed it himself gets a mere noop."""
        if self._session is None:
            return
        self._put(engineio.NOOP_PACKET if code == websocket.NORMAL else engineio.CLOSE_PACKET)
        self._end("server disconnect" if reason else "transport close")

    def abort(self) -> None:
        self.close(websocket.GOING_AWAY, "the server restarts")

    def _put(self, packet: bytes) -> None:
        if self._session is None:
            return
        self._queue.append(packet)
        self._size += len(packet)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        if not self.paused and self._size > self.hub.settings.viewer_buffer:
            self.paused = True
            self.hub.broadcaster.pause(self._session)

    def _end(self, reason: str) -> None:
        session, self._session = self._session, None
        self.hub.polling.pop(self.sid, None)
        self.hub.part(self)
        self._forget(self)
        if session is not None:
            session.leave(reason)

    def turn(self, now: float) -> float | None:
        if self._session is not None:
            self._session.turn(now)
        return self._session.due() if self._session is not None else None

    # What the client asks

    async def poll(self, gone: Callable[[], Coroutine[Any, Any, None]]) -> bytes | None:
        """The next packets, as soon as there are any; None when the client went away. Raises Declined."""
        if self._polled:
            self._complain("two GETs at the same time")
            raise Declined.mistake(engineio.BAD_REQUEST)
        self._polled = True
        try:
            if not self._queue and not await self._wait(gone):
                return None
            return self._take()
        finally:
            self._polled = False

    async def _wait(self, gone: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Whether the client is still there when something has come, or in an upgrade after a moment."""
        self._waiting = asyncio.get_running_loop().create_future()
        leaving = asyncio.get_running_loop().create_task(gone())
        try:
            patience = PROBE_POLL if self._probing else None
            await asyncio.wait({self._waiting, leaving}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            return not leaving.done()
        finally:
            leaving.cancel()
            self._waiting = None

    def _take(self) -> bytes:
        packets, self._queue = self._queue[: engineio.MOST_PACKETS_OUT], self._queue[engineio.MOST_PACKETS_OUT :]
        self._size = sum(map(len, self._queue))
        if self.paused and self._session is not None and self._size <= self.hub.settings.viewer_buffer // 4:
            self.paused = False
            self.hub.broadcaster.resume(self._session)
        return engineio.SEPARATOR.encode().join(packets) or engineio.NOOP_PACKET

    def post(self, body: bytes, now: float) -> None:
        """Take what the client sends. Raises Declined, and then the session is over."""
        try:
            for packet in engineio.parse_payload(body):
                if self._session is not None:
                    self._session.take(packet, now)
        except Refused as refusal:
            self._complain(str(refusal))
            raise Declined.mistake(engineio.BAD_REQUEST) from None
        if self._session is not None:
            self.hub.wheel.put(self, self._session.due())

    def _complain(self, sentence: str) -> None:
        self.hub.complaints.about(self.address, sentence, asyncio.get_running_loop().time())
        self.close(websocket.AGAINST_POLICY, sentence)

    # The upgrade

    def begin_probe(self) -> bool:
        """A WebSocket wants to take over; False when another one is at it."""
        if self._probing:
            return False
        self._probing = True
        if self._waiting is not None and not self._waiting.done():
            self._put(engineio.NOOP_PACKET)
        return True

    def pay(self, now: float) -> None:
        if self._session is not None:
            self._session.pay(now)

    def end_probe(self) -> None:
        self._probing = False

    def hand_over(self) -> tuple[Session | None, list[bytes]]:
        """The session, and the frames of what waits; a GET that still waits gets a noop."""
        session, self._session = self._session, None
        frames = [_frame(packet) for packet in self._queue if packet != engineio.NOOP_PACKET]
        self._queue = []
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        self._end("")
        return session, frames


def _frame(packet: bytes) -> bytes:
    if packet[:1] == b"b":
        return websocket.frame(engineio.unpacked(packet), websocket.BINARY)
    return websocket.frame(packet)


class Polling:
    """The ASGI app. It lives on the loop of the hub's viewers."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._addresses: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = read_scope(scope)
        try:
            handshake.check_origin(head, self.hub.settings.allow_origins, scope.get("scheme") == "https")
            cors = self._cors(head)
            if head.method == "OPTIONS":
                await respond(send, 204, b"", "text/plain", [*cors, (b"access-control-allow-headers", b"content-type")])
                return
            body = await self._answer(head, scope, receive)
        except Declined as declined:
            await respond(send, declined.status, declined.body, declined.kind, [(b"connection", b"close")])
            return
        if body is not None:
            await respond(send, 200, body, "text/plain; charset=UTF-8", cors)

    async def _answer(self, head: handshake.Head, scope: Scope, receive: Receive) -> bytes | None:
        self._check(head)
        if self.hub.loop is None:
            self.hub.start(asyncio.get_running_loop())
        now = asyncio.get_running_loop().time()
        sid = head.query.get("sid")
        if not sid:
            client = scope.get("client")
            return self._open(head, client[0] if client else "local", now)
        carrier = self.hub.polling.get(sid)
        if carrier is None:
            raise Declined.mistake(engineio.UNKNOWN_SID)
        if head.method == "GET":
            return await carrier.poll(lambda: _gone(receive))
        if head.method != "POST":
            raise Declined.mistake(engineio.BAD_METHOD)
        try:
            async with asyncio.timeout(self.hub.settings.body_timeout):
                body = await self._body(receive)
        except TimeoutError:
            raise Declined.sentence(408, "The body did not come in time.") from None
        carrier.post(body, asyncio.get_running_loop().time())
        return b"ok"

    def _check(self, head: handshake.Head) -> None:
        transport = head.query.get("transport")
        if transport != "polling":
            known = transport == "websocket"
            raise Declined.mistake(engineio.BAD_REQUEST if known else engineio.UNKNOWN_TRANSPORT)
        if head.query.get("EIO") != engineio.VERSION:
            raise Declined.mistake(engineio.UNKNOWN_VERSION)
        if self.hub.settings.workers > 1:
            sentence = 'Several processes serve here, so long polling is off; connect with transports: ["websocket"].'
            raise Declined.mistake(engineio.Mistake(engineio.UNKNOWN_TRANSPORT.code, sentence))

    def _open(self, head: handshake.Head, address: str, now: float) -> bytes:
        if head.method != "GET":
            raise Declined.mistake(engineio.BAD_METHOD)
        settings = self.hub.settings
        if self.hub.draining or self.hub.viewers >= settings.max_connections:
            raise Declined.sentence(503, "The server cannot take more viewers now; come back.")
        if self._addresses[address] >= settings.connections_per_address:
            raise Declined.sentence(429, "Too many open sessions from this address.")
        self._addresses[address] += 1
        carrier = LongPolling(self.hub, address, now, self._forget)
        return self.hub.greeting(carrier.sid, ("websocket",))

    def _forget(self, carrier: LongPolling) -> None:
        self._addresses[carrier.address] -= 1
        if self._addresses[carrier.address] <= 0:
            del self._addresses[carrier.address]

    async def _body(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Declined.mistake(engineio.BAD_REQUEST)
            body += message.get("body", b"")
            if len(body) > self.hub.settings.max_payload:
                raise Declined.sentence(413, f"A payload may have {self.hub.settings.max_payload} bytes.")
            if not message.get("more_body"):
                return bytes(body)

    def _cors(self, head: handshake.Head) -> list[tuple[bytes, bytes]]:
        """An allowed page of another origin may read the answer."""
        origin = head.one("origin")
        if origin is None:
            return []
        return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]


def read_scope(scope: Scope) -> handshake.Head:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    query = handshake.read_query(scope.get("query_string", b"").decode("latin-1"))
    return handshake.Head(scope["method"], scope["path"], query, headers)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def respond(send: Send, status: int, body: bytes, kind: str, headers: list[tuple[bytes, bytes]]) -> None:
    head = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": [*head, *headers]})
    await send({"type": "http.response.body", "body": body})
