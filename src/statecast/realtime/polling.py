"""Long polling: a session carried by one GET after the other, and by POSTs the other way.

An ASGI app for ``/socket.io/``. A session exists in the worker that opened it, whose id its sid
begins with; other workers of the server pass its requests on.

What waits between two GETs is bounded (``polling_queue``). States wait at the viewer's position
when more than ``viewer_buffer`` waits; events have the larger bound, and are dropped beyond it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from statecast.access.credentials import Credentials
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.errors import Refused
from statecast.http import asgi
from statecast.http.addresses import key_of
from statecast.http.asgi import Headers, Receive, Scope, Send
from statecast.http.content_coding import takes_gzip
from statecast.http.head import RequestHead
from statecast.rate_limit import RateByKey, TokenBucket
from statecast.realtime import encoding
from statecast.realtime.held_up import HeldUp
from statecast.realtime.hub import Hub, max_buffer
from statecast.realtime.polling_queue import PollingMemory, PollingQueue
from statecast.realtime.polling_response import PollingResponse
from statecast.realtime.protocol import engineio, handshake, websocket
from statecast.realtime.protocol.handshake import HandshakeError
from statecast.realtime.session import Session
from statecast.realtime.viewer import TOO_FAST, TOO_FAST_ALL, Viewer
from statecast.settings import Settings

NOOP_PACKET = engineio.NOOP_PACKET
PROBE_POLL = 0.1
"""Seconds a GET waits during an upgrade: the client goes on only when its last GET was answered."""


class PollingState(IntEnum):
    """What becomes of the session."""

    OPEN = 0
    """It is carried here."""
    PROBING = 1
    """The same, and a WebSocket is trying to take over."""
    UPGRADED = 2
    """A WebSocket carries it."""
    CLOSED = 3
    """It is over."""


OPEN, PROBING, UPGRADED, CLOSED = PollingState

TRANSITIONS = {
    OPEN: {PROBING, CLOSED},
    PROBING: {OPEN, UPGRADED, CLOSED},  # OPEN: the WebSocket was lost before the upgrade
    UPGRADED: set(),
    CLOSED: set(),
}
"""From each state the states that may follow."""


class PollingSessions:
    """The sids of a process by which a request may name a session, and what the sessions hold."""

    def __init__(self, settings: Settings) -> None:
        self.memory = PollingMemory(settings.polling_memory)
        self.held_up = HeldUp()
        self._polling: dict[str, PollingConnection] = {}
        self._upgraded: set[str] = set()
        """Of sessions that began with long polling and are on a WebSocket now."""

    def __contains__(self, sid: object) -> bool:
        return sid in self._polling or sid in self._upgraded

    def find(self, sid: str) -> PollingConnection | None:
        """The session, if long polling carries it."""
        return self._polling.get(sid)

    def add(self, connection: PollingConnection) -> None:
        self._polling[connection.sid] = connection

    def remove(self, connection: PollingConnection, *, upgraded: bool) -> None:
        self._polling.pop(connection.sid, None)
        if upgraded:
            self._upgraded.add(connection.sid)

    def forget_upgraded(self, sid: str) -> None:
        """The WebSocket of this session has ended."""
        self._upgraded.discard(sid)


class PollingConnection:
    """What carries one session."""

    outlet = None
    """Each message waits in its own queue."""

    __slots__ = (
        "_endpoint",
        "_first",
        "_get",
        "_methods",
        "_queue",
        "_state",
        "_takes_gzip",
        "_viewer",
        "address",
        "bucket",
        "paused",
        "sid",
    )

    def __init__(
        self, endpoint: PollingEndpoint, hub: Hub, head: RequestHead, address: str, now: float
    ) -> None:
        self._endpoint = endpoint
        self.address = address
        """The client's."""
        self.sid = endpoint.new_sid()
        self.bucket = -1
        self.paused = False
        """More waits than states may add to."""
        self._takes_gzip = endpoint.takes_gzip(head)
        """The client, by its last GET."""
        self._state = OPEN
        self._first = hub.readers.visit(head, address).given
        """What the first request brought to say who it is of."""
        self._viewer: Viewer = hub.new_viewer(self, now, head, address)
        """Handed over in UPGRADED; it has left in CLOSED."""
        self._queue = PollingQueue(endpoint.memory)
        """Packets for the next GETs."""
        self._get: asyncio.Future[None] | None = None
        """Set by the next packet, while a GET waits for one."""
        self._methods: set[str] = set()
        """Of the requests under way: one GET and one POST at most."""

    def _change(self, state: PollingState) -> None:
        assert state in TRANSITIONS[self._state], f"{self._state!r} to {state!r}"
        self._state = state

    @property
    def session(self) -> Session:
        return self._viewer.session

    @property
    def alive(self) -> bool:
        """The session is carried here."""
        return self._state in (OPEN, PROBING)

    # To the client

    def send(self, packet: bytes) -> None:
        self._put(packet)
        asked_for = packet is not engineio.PING_PACKET
        if asked_for and self.paused and self._queue.size > self._endpoint.answer_bound:
            self._fail("asks without fetching the answers")

    def send_binary(self, data: bytes) -> None:
        self.send(engineio.binary_packet(data))

    def offer(self, message: OutgoingMessage) -> bool:
        if not self.alive or self._queue.size > self._endpoint.event_bound:
            return False
        self.deliver(message)
        for attachment in message.attachments:
            self._put(engineio.binary_packet(attachment))
        return True

    @property
    def compression(self) -> encoding.Deflation | None:
        return encoding.SOCKETIO if self._takes_gzip else None

    def deliver(self, message: OutgoingMessage) -> None:
        compression = self.compression
        compressed = None if compression is None else compression.compressed(message)
        self._put(encoding.packet(message), compressed)

    def close(self, code: int, reason: str) -> None:
        """End the session; a waiting GET gets the close packet.

        A client that has closed the session itself gets only a noop.
        """
        if not self.alive:
            return
        by_client = code == websocket.NORMAL_CLOSURE
        self._put(NOOP_PACKET if by_client else engineio.CLOSE_PACKET)
        self._end("server disconnect" if reason else "transport close")

    def abort(self) -> None:
        self.close(websocket.GOING_AWAY, "the server restarts")

    def _put(self, packet: bytes, compressed: bytes | None = None) -> None:
        if not self.alive:
            return
        self._queue.put(packet, compressed)
        self._wake_get()
        if not self.paused and self._queue.size > self._endpoint.viewer_buffer:
            self.paused = True
            self._viewer.pause()

    def _wake_get(self) -> None:
        if self._get is not None and not self._get.done():
            self._get.set_result(None)

    def _end(self, reason: str) -> None:
        self._change(CLOSED)
        if self._get is None:  # no GET comes for it
            self._queue.take_all()
        self._endpoint.forget(self, upgraded=False)
        self._viewer.leave(reason)

    def is_of(self, given: Credentials, *, upgrades: bool = False) -> bool:
        """Whether a request may name this session: a sid alone is no right to what it receives."""
        return given.names_same(self._first, may_lack_bearer=upgrades)

    # Time

    def on_timeout(self, now: float) -> float | None:
        if self.alive:
            self._viewer.on_timeout(now)
        return self._viewer.session.deadline if self.alive else None

    def reschedule(self) -> None:
        if self.alive:
            self._endpoint.wheel.schedule(self, self._viewer.session.deadline)

    # From the client

    @contextmanager
    def request(self, method: str) -> Iterator[None]:
        """While a request is under way, until its response has left. One per method at a time.

        Raises HandshakeError, and then the session is over.
        """
        if method in self._methods:
            raise self.fail(f"two {method} requests at the same time")
        self._methods.add(method)
        try:
            yield
        finally:
            self._methods.discard(method)

    async def poll(
        self, client_left: Callable[[], Coroutine[Any, Any, None]], *, takes_gzip: bool = False
    ) -> PollingResponse | None:
        """The next packets, as soon as there are any.

        None when the client has left, and then the session is over.
        """
        self._takes_gzip = takes_gzip
        if not self._queue and not await self._wait(client_left):
            if self.alive:
                self._end("transport close")
            return None
        return self._take()

    async def _wait(self, client_left: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Wait for a packet, in an upgrade for a moment only. False: the client has left."""
        self._get = asyncio.get_running_loop().create_future()
        leaving = asyncio.get_running_loop().create_task(client_left())
        try:
            await asyncio.wait(
                {self._get, leaving},
                timeout=PROBE_POLL if self._state is PROBING else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            return not leaving.done()
        finally:
            leaving.cancel()
            self._get = None

    def _take(self) -> PollingResponse:
        """The response to a GET."""
        packets = self._queue.take()
        if not self.alive:  # this is the last answer
            self._queue.take_all()
        elif self.paused and self._queue.size <= self._endpoint.viewer_buffer // 4:
            self.paused = False
            self._viewer.resume()
        return PollingResponse.of(packets, takes_gzip=self._takes_gzip)

    async def post(self, body: bytes) -> None:
        """Take what the client sends, at the rate that it may send.

        The client sends no more until it has the response. Raises HandshakeError, and then the
        session is over.
        """
        if not self.alive:  # it ended, or was upgraded, while the body arrived
            raise HandshakeError.of(engineio.UNKNOWN_SID)
        try:
            for packet in engineio.parse_payload(body):
                await self._wait_for_rate(len(body))
                if self._state is CLOSED:
                    break
                self._viewer.receive_packet(packet, self._endpoint.wheel.now())
        except Refused as refusal:
            raise self.fail(str(refusal)) from None
        finally:
            self._endpoint.held_up.remove(self)

    async def _wait_for_rate(self, size: int) -> None:
        """Return when the next message may be taken, or the session is over.

        ``size``: bytes of the body that waits. Raises Refused if too many clients are held up.
        """
        session, held_up = self.session, self._endpoint.held_up
        while self._state is not CLOSED and (delay := session.delay(self._endpoint.wheel.now())):
            if not held_up.add(self, size):
                raise Refused(TOO_FAST_ALL)
            if session.hold_up():
                self._endpoint.warn(self.address, TOO_FAST)
            await asyncio.sleep(delay)

    def fail(self, sentence: str, response: HandshakeError | None = None) -> HandshakeError:
        """End the session because of what the client did; the response to its request."""
        self._fail(sentence)
        reason = engineio.EngineIOError(engineio.BAD_REQUEST.code, f"Bad request: {sentence}")
        return response or HandshakeError.of(reason)

    def _fail(self, sentence: str) -> None:
        self._endpoint.warn(self.address, sentence)
        self.close(websocket.POLICY_VIOLATION, sentence)

    # The upgrade

    def begin_probe(self) -> bool:
        """A WebSocket wants to take over; False when another one is trying already."""
        if self._state is not OPEN:
            return False
        self._change(PROBING)
        if self._get is not None and not self._get.done():
            self._put(NOOP_PACKET)
        return True

    def end_probe(self) -> None:
        """The WebSocket was lost before the upgrade."""
        if self._state is PROBING:
            self._change(OPEN)

    def hand_over(self) -> tuple[Viewer, list[bytes]]:
        """The viewer and the packets that wait for it. A GET that still waits gets a noop."""
        self._change(UPGRADED)
        waiting = [one.packet for one in self._queue.take_all()]
        packets = [packet for packet in waiting if packet != NOOP_PACKET]
        self._wake_get()
        self._endpoint.forget(self, upgraded=True)
        return self._viewer, packets


class PollingEndpoint:
    """The ASGI app. It runs on the loop of the hub's viewers."""

    def __init__(
        self,
        hub: Hub,
        settings: Settings,
        sessions: PollingSessions,
        is_exempt: Callable[[str], bool] = lambda address: False,
        worker_id: str = "",
    ) -> None:
        """``is_exempt``: whether the limit per address does not hold for an address.

        ``worker_id``: with which session ids begin, so that other workers can pass requests on.
        """
        self.wheel = hub.wheel
        self.viewer_buffer = settings.viewer_buffer
        self.memory = sessions.memory
        self.held_up = sessions.held_up
        self._polling_buffer = settings.polling_buffer
        self._max_buffer = max_buffer(settings)
        self._hub = hub
        self._log = hub.throttled_log
        self._settings = settings
        self._sessions = sessions
        self._is_exempt = is_exempt
        self._worker_id = worker_id
        self._open_by_address: Counter[str] = Counter()
        """Open sessions by the key of their client's address."""
        self._rate = RateByKey(
            TokenBucket(settings.connect_rate_limit * 60, settings.connections_per_address)
        )
        """New sessions of each address."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = RequestHead.of_scope(scope)
        cors: Headers = []
        try:
            cors = handshake.cors_headers(head, self._settings.allow_origins)
            if head.method == "OPTIONS":
                origins = self._settings.allow_origins
                allowed = handshake.preflight_headers(head, origins, "GET", "POST")
                await asgi.respond(send, 200, b"", asgi.TEXT, [*cors, *allowed])
                return
            self._check(head)
            if not head.query.get("sid"):
                open_packet = self._open(head, asgi.client_address(scope))
                await asgi.respond(send, 200, open_packet, asgi.TEXT, cors)
                return
            connection = self._find(head, asgi.client_address(scope))
            with connection.request(head.method):
                response = await self._answer(connection, head, receive)
                if response is not None:
                    headers = [*cors, *response.headers]
                    await asgi.respond(send, 200, response.body, asgi.TEXT, headers)
        except HandshakeError as refused:
            if not head.query.get("sid"):  # a session that has ended is no refusal
                self.warn(asgi.client_address(scope), str(refused))
            await refused.respond(send, cors)

    def _check(self, head: RequestHead) -> None:
        """Raises HandshakeError."""
        transport = head.query.get("transport", "")
        if transport != "polling":
            if transport == "websocket":
                raise HandshakeError.of(engineio.BAD_REQUEST)
            raise handshake.unknown_transport(transport)
        handshake.check_version(head.query)
        if not self._settings.long_polling:
            raise is_off("Long polling is off here (setting long_polling)")
        if self._settings.workers > 1 and not self._worker_id:
            raise is_off(
                "Several processes serve here that cannot reach each other, so long polling is off"
            )

    @property
    def event_bound(self) -> int:
        """Bytes that may wait in a session before events are dropped."""
        return self.viewer_buffer if self.memory.is_full else self._polling_buffer

    @property
    def answer_bound(self) -> int:
        """Bytes that may wait before a client that asks for more is cut."""
        return self._max_buffer + (0 if self.memory.is_full else self._polling_buffer)

    def new_sid(self) -> str:
        return engineio.new_sid(self._worker_id)

    def takes_gzip(self, head: RequestHead) -> bool:
        """Whether what answers a request may be compressed."""
        return self._settings.compression and takes_gzip(head.values(b"accept-encoding"))

    def _open(self, head: RequestHead, address: str) -> bytes:
        """Open a session; its first packet. Raises HandshakeError."""
        if head.method != "GET":
            raise HandshakeError.of(engineio.BAD_METHOD)
        settings = self._settings
        if self._hub.is_full:
            sentence = "The server cannot take more viewers now; come back."
            raise HandshakeError.sentence(503, sentence, handshake.RETRY_SOON)
        if not self._is_exempt(address):
            self._check_address(address)
        self._open_by_address[key_of(address)] += 1
        connection = PollingConnection(self, self._hub, head, address, self.wheel.now())
        self._hub.add(connection)
        self._sessions.add(connection)
        connection.reschedule()
        return engineio.open_packet(
            connection.sid,
            upgrades=("websocket",),
            ping_interval=settings.ping_interval,
            ping_timeout=settings.ping_timeout,
            max_payload=settings.max_payload,
        )

    def _check_address(self, address: str) -> None:
        """A session counts as a connection: many of them may share one. Raises HandshakeError."""
        if self._open_by_address[key_of(address)] >= self._settings.connections_per_address:
            sentence = "Too many open sessions from this address (setting connections_per_address)."
            raise HandshakeError.sentence(429, sentence, (b"retry-after", b"10"))
        if not self._rate.try_acquire(key_of(address), self.wheel.now()):
            sentence = "Too many new sessions per second from here (setting connect_rate_limit)."
            raise HandshakeError.sentence(429, sentence, (b"retry-after", b"1"))

    def _find(self, head: RequestHead, address: str) -> PollingConnection:
        """Raises HandshakeError, also for the session of somebody else."""
        connection = self._sessions.find(head.query["sid"])
        if connection is not None and not connection.is_of(self._given(head, address)):
            raise HandshakeError.of(engineio.UNKNOWN_SID)
        if connection is not None:
            connection.on_timeout(self.wheel.now())  # the wheel may be a tick behind
        if connection is None or not connection.alive:
            raise HandshakeError.of(engineio.UNKNOWN_SID)
        if head.method not in ("GET", "POST"):
            raise HandshakeError.of(engineio.BAD_METHOD)
        return connection

    def _given(self, head: RequestHead, address: str) -> Credentials:
        return self._hub.readers.visit(head, address).given

    def forget(self, connection: PollingConnection, *, upgraded: bool) -> None:
        """Long polling does not carry this session any more."""
        self._sessions.remove(connection, upgraded=upgraded)
        self._hub.remove(connection)
        key = key_of(connection.address)
        self._open_by_address[key] -= 1
        if self._open_by_address[key] <= 0:
            del self._open_by_address[key]

    def warn(self, address: str, sentence: str) -> None:
        self._log.warning(address, sentence, self.wheel.now())

    async def _answer(
        self, connection: PollingConnection, head: RequestHead, receive: Receive
    ) -> PollingResponse | None:
        """None when the client has left. Raises HandshakeError."""
        if head.method == "GET":
            gzip = self.takes_gzip(head)
            return await connection.poll(lambda: asgi.disconnected(receive), takes_gzip=gzip)
        limit = self._settings.max_payload
        try:
            async with asyncio.timeout(self._settings.body_timeout):
                body = await asgi.read_body(receive, limit)
        except asgi.ClientDisconnected:
            return None
        except asgi.BodyTooLarge:
            sentence = f"A payload may have {limit} bytes (setting max_payload)."
            raise connection.fail(sentence, HandshakeError.sentence(413, sentence)) from None
        except TimeoutError:
            late = HandshakeError.sentence(408, "The body did not come in time.")
            raise connection.fail("a body did not come in time", late) from None
        await connection.post(body)
        return PollingResponse(b"ok")


def is_off(why: str) -> HandshakeError:
    sentence = f'{why}; connect with transports: ["websocket"].'
    return HandshakeError.of(engineio.EngineIOError(engineio.UNKNOWN_TRANSPORT.code, sentence))
