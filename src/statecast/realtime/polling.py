"""Long polling: a session carried by one GET after the other, and POSTs the other way. An ASGI app for ``/socket.io/``.

A session lives in the process that opened it, so with several serving processes polling is refused at the handshake.
What is waiting between two GETs is bounded like a transport's buffer: beyond it the viewer is paused.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from statecast.errors import Refused
from statecast.http.head import RequestHead
from statecast.realtime import asgi
from statecast.realtime.asgi import Receive, Scope, Send
from statecast.realtime.hub import Hub, Parcel, Slice
from statecast.realtime.protocol import engineio, socketio, websocket
from statecast.realtime.protocol.handshake import Declined
from statecast.realtime.session import Session

PROBE_POLL = 0.1
"""Seconds a GET waits during an upgrade: the client goes on only when its last GET was answered."""


class LongPolling:
    """What carries one session."""

    __slots__ = ("_asking", "_forget", "_probing", "_queue", "_session", "_size", "_waiting",
                 "address", "bucket", "hub", "paused", "sid")  # fmt: skip

    def __init__(
        self, hub: Hub, address: str, now: float, forget: Callable[[LongPolling], None]
    ) -> None:
        self.hub = hub
        self.address = address
        self.sid = engineio.new_sid()
        self.bucket = -1
        self.paused = False
        self._session: Session | None = Session(hub, self, now)
        self._queue: list[bytes] = []
        self._size = 0
        self._waiting: asyncio.Future[None] | None = None
        self._asking: set[str] = set()
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

    @property
    def alive(self) -> bool:
        return self._session is not None

    @contextmanager
    def asking(self, method: str) -> Iterator[None]:
        """While a request is under way: of each method one at a time, the answer's way to the client included.

        Raises Declined, and then the session is over.
        """
        if method in self._asking:
            raise self.fail(f"two {method} requests at the same time")
        self._asking.add(method)
        try:
            yield
        finally:
            self._asking.discard(method)

    async def poll(self, gone: Callable[[], Coroutine[Any, Any, None]]) -> bytes | None:
        """The next packets, as soon as there are any; None when the client went away, and then the session is over."""
        if not self._queue and not await self._wait(gone):
            if self._session is not None:
                self._end("transport close")
            return None
        return self._take()

    async def _wait(self, gone: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Whether the client is still there when something has come, or in an upgrade after a moment."""
        self._waiting = asyncio.get_running_loop().create_future()
        leaving = asyncio.get_running_loop().create_task(gone())
        try:
            patience = PROBE_POLL if self._probing else None
            await asyncio.wait(
                {self._waiting, leaving}, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            return not leaving.done()
        finally:
            leaving.cancel()
            self._waiting = None

    def _take(self) -> bytes:
        packets, self._queue = (
            self._queue[: engineio.MOST_PACKETS_OUT],
            self._queue[engineio.MOST_PACKETS_OUT :],
        )
        self._size = sum(map(len, self._queue))
        if (
            self.paused
            and self._session is not None
            and self._size <= self.hub.settings.viewer_buffer // 4
        ):
            self.paused = False
            self.hub.broadcaster.resume(self._session)
        return engineio.SEPARATOR.encode().join(packets) or engineio.NOOP_PACKET

    def post(self, body: bytes, now: float) -> None:
        """Take what the client sends. Raises Declined, and then the session is over."""
        if (
            self._session is None
        ):  # it ended, or went over to a WebSocket, while the body was on its way
            raise Declined.mistake(engineio.UNKNOWN_SID)
        try:
            for packet in engineio.parse_payload(body):
                if self._session is None:
                    break
                self._session.take(packet, now)
        except Refused as refusal:
            raise self.fail(str(refusal)) from None
        if self._session is not None:
            self.hub.wheel.put(self, self._session.due())

    def fail(self, sentence: str, answer: Declined | None = None) -> Declined:
        """End the session because of what the client did; the answer its request gets."""
        self._complain(sentence)
        return answer or Declined.mistake(engineio.BAD_REQUEST)

    def _complain(self, sentence: str) -> None:
        self.hub.throttled_log.warning(self.address, sentence, asyncio.get_running_loop().time())
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

    def hand_over(self) -> tuple[Session, list[bytes]]:
        """The session, which must be alive, and the frames of what waits; a GET that still waits gets a noop."""
        session, self._session = self._session, None
        assert session is not None
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

    def __init__(self, hub: Hub, spared: Callable[[str], bool] = lambda address: False) -> None:
        """``spared`` says for which addresses the limit per address does not hold."""
        self.hub = hub
        self._spared = spared
        self._addresses: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = RequestHead.of_scope(scope)
        cors: list[tuple[bytes, bytes]] = []
        try:
            cors = asgi.check_origin(head, self.hub.settings.allow_origins)
            if head.method == "OPTIONS":
                allowed = [(b"access-control-allow-headers", b"authorization, content-type")]
                await asgi.respond(send, 200, b"", asgi.TEXT, [*cors, *allowed])
                return
            self._check(head)
            if self.hub.loop is None:
                self.hub.start(asyncio.get_running_loop())
            if not head.query.get("sid"):
                greeting = self._open(head, asgi.address_of(scope))
                await asgi.respond(send, 200, greeting, asgi.TEXT, cors)
                return
            carrier = self._find(head)
            with carrier.asking(head.method):
                body = await self._answer(carrier, head.method, receive)
                if body is not None:
                    await asgi.respond(send, 200, body, asgi.TEXT, cors)
        except Declined as declined:
            await asgi.decline(send, declined, cors)

    def _check(self, head: RequestHead) -> None:
        transport = head.query.get("transport")
        if transport != "polling":
            known = transport == "websocket"
            raise Declined.mistake(engineio.BAD_REQUEST if known else engineio.UNKNOWN_TRANSPORT)
        if head.query.get("EIO") != engineio.VERSION:
            raise Declined.mistake(engineio.UNKNOWN_VERSION)
        if self.hub.settings.workers > 1:
            sentence = 'Several processes serve here, so long polling is off; connect with transports: ["websocket"].'
            raise Declined.mistake(engineio.Mistake(engineio.UNKNOWN_TRANSPORT.code, sentence))

    def _open(self, head: RequestHead, address: str) -> bytes:
        if head.method != "GET":
            raise Declined.mistake(engineio.BAD_METHOD)
        settings = self.hub.settings
        if self.hub.draining or self.hub.viewers >= settings.max_connections:
            raise Declined.sentence(
                503, "The server cannot take more viewers now; come back.", "retry-after: 1\r\n"
            )
        if self._addresses[address] >= settings.connections_per_address and not self._spared(
            address
        ):
            raise Declined.sentence(
                429, "Too many open sessions from this address.", "retry-after: 10\r\n"
            )
        self._addresses[address] += 1
        carrier = LongPolling(self.hub, address, asyncio.get_running_loop().time(), self._forget)
        return self.hub.greeting(carrier.sid, ("websocket",))

    def _forget(self, carrier: LongPolling) -> None:
        self._addresses[carrier.address] -= 1
        if self._addresses[carrier.address] <= 0:
            del self._addresses[carrier.address]

    def _find(self, head: RequestHead) -> LongPolling:
        carrier = self.hub.polling.get(head.query["sid"])
        if carrier is not None:
            carrier.turn(asyncio.get_running_loop().time())  # the wheel may be a beat behind
        if carrier is None or not carrier.alive:
            raise Declined.mistake(engineio.UNKNOWN_SID)
        if head.method not in ("GET", "POST"):
            raise Declined.mistake(engineio.BAD_METHOD)
        return carrier

    async def _answer(self, carrier: LongPolling, method: str, receive: Receive) -> bytes | None:
        if method == "GET":
            return await carrier.poll(lambda: asgi.gone(receive))
        try:
            async with asyncio.timeout(self.hub.settings.body_timeout):
                body = await self._body(carrier, receive)
        except TimeoutError:
            late = Declined.sentence(408, "The body did not come in time.")
            raise carrier.fail("a body did not come in time", late) from None
        if body is None:
            return None
        carrier.post(body, asyncio.get_running_loop().time())
        return b"ok"

    async def _body(self, carrier: LongPolling, receive: Receive) -> bytes | None:
        """The whole body; None when the client left before its end. Raises Declined."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self.hub.settings.max_payload:
                sentence = f"A payload may have {self.hub.settings.max_payload} bytes."
                raise carrier.fail(sentence, Declined.sentence(413, sentence))
            if not message.get("more_body"):
                return bytes(body)
