"""The asyncio protocol that carries one viewer: one small object, no task, no queue, no timer of its own.

The HTTP protocol hands the connection over, with the request's parsed head, when a request asks for
an upgrade. From then on: bytes to ``websocket.Parser``, its messages to ``Session``, packets out as frames.

What a transport over its bound is not given: slices of states (the viewer's place waits, nothing is lost), application
events (dropped, counted), pongs (a later one answers for all). All else is small and paid for by the viewer's messages.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from statecast import logs
from statecast.errors import Malformed, Refused
from statecast.http.head import RequestHead
from statecast.realtime.hub import CLOSE_GRACE, Hub, Parcel, Slice
from statecast.realtime.protocol import engineio, handshake, socketio, websocket
from statecast.realtime.session import Session

if TYPE_CHECKING:
    from statecast.realtime.polling import LongPolling

NEW, PROBING, OPEN, CLOSING, DEAF, ENDED, GONE = range(7)
"""No WebSocket yet; one that is to take the place of long polling; in conversation; our close frame is out and theirs
awaited; the same, and what they send is not even read any more; both are out, only the transport's buffer has to go;
the connection is no more."""
READING = frozenset({PROBING, OPEN, CLOSING})

log = logging.getLogger(__name__)


class WebSocketEndpoint:
    """Makes the connections of one process, and holds what they share."""

    def __init__(
        self,
        hub: Hub,
        *,
        connections: set[Any],
        on_lost: Callable[[str | None], None] = lambda client_key: None,
    ) -> None:
        """``connections``: all of the server, which ends when they have. ``on_lost`` gets the key
        under which a lost connection was counted."""
        self.hub = hub
        self.connections = connections
        self.on_lost = on_lost

    def accept(
        self,
        transport: asyncio.Transport,
        head: RequestHead,
        *,
        client_address: str | None = None,
        client_key: str | None = None,
        rest: bytes = b"",
    ) -> Viewer:
        """Take over a connection whose client asks for a WebSocket; ``rest`` came after its head.

        ``client_address`` is the client's, where a proxy stands between. The answer is written
        here, either way.
        """
        viewer = Viewer(self, transport, client_address, client_key)
        viewer.handle_head(head)
        if rest:
            viewer.data_received(rest)
        return viewer


class Viewer(asyncio.Protocol):
    """A viewer's connection."""

    __slots__ = (
        "_before",
        "_client_address",
        "_client_key",
        "_end_by",
        "_endpoint",
        "_parser",
        "_session",
        "_sid",
        "_stall_by",
        "_stall_size",
        "_state",
        "_transport",
        "bucket",
        "paused",
    )

    def __init__(
        self,
        endpoint: WebSocketEndpoint,
        transport: asyncio.Transport,
        client_address: str | None,
        client_key: str | None,
    ) -> None:
        self._endpoint = endpoint
        self._transport = transport
        self._client_address = client_address
        self._client_key = client_key
        self._state = NEW
        self._parser: websocket.Parser | None = None
        self._session: Session | None = None
        self._before: LongPolling | None = None
        self._sid = ""
        self._end_by: float | None = None
        self._stall_by: float | None = None
        self._stall_size = 0
        self.bucket = -1
        self.paused = False
        # Before anything is written, or pause_writing would reach the HTTP protocol.
        transport.set_protocol(self)
        endpoint.connections.add(self)
        if self.hub.loop is None:
            self.hub.start(asyncio.get_running_loop())

    @property
    def hub(self) -> Hub:
        return self._endpoint.hub

    # What asyncio calls

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = GONE
        self._endpoint.connections.discard(self)
        self._leave("transport close")
        self.hub.part(self)
        self._endpoint.on_lost(self._client_key)
        self._parser = None

    def data_received(self, data: bytes) -> None:
        with self._failures_reported():
            if self._state in READING:
                self._read(data)

    @contextmanager
    def _failures_reported(self) -> Iterator[None]:
        try:
            yield
        except websocket.Violation as violation:
            self._fail(violation.code, str(violation))
        except Refused as refusal:
            self._fail(websocket.AGAINST_POLICY, str(refusal))
        except Exception as error:
            number = logs.log_error(log, "a viewer's message could not be handled", error)
            if self._state == NEW:
                self.abort()
            self._fail(websocket.SERVER_ERROR, f"error {number}")

    def eof_received(self) -> None:
        """The transport closes itself."""

    def pause_writing(self) -> None:
        self.paused = True
        self._stall_size = self._transport.get_write_buffer_size()
        self._stall_by = self._now() + self.hub.settings.write_timeout
        if self._session is not None:
            self.hub.broadcaster.pause(self._session)
        self._plan()

    def resume_writing(self) -> None:
        self.paused = False
        self._stall_by = None
        if self._session is not None:
            self.hub.broadcaster.resume(self._session)

    def shutdown(self) -> None:
        """uvicorn's word that the server stops."""
        self.close(websocket.RESTARTING, "the server restarts; come back")

    # The handshake

    def handle_head(self, head: RequestHead) -> None:
        with self._failures_reported():
            self._shake_hands(head)

    def _shake_hands(self, head: RequestHead) -> None:
        try:
            if self.hub.draining:
                raise handshake.Declined.sentence(
                    503, "The server restarts; come back.", "retry-after: 1\r\n"
                )
            taken = head.query.get("sid") in self.hub.upgraded
            sids = self.hub.upgraded if taken else self.hub.polling
            answer = handshake.answer(
                head,
                origins=self.hub.settings.allow_origins,
                path=self.hub.path,
                sids=sids,
            )
            before = self._probed_by(head)
        except handshake.Declined as declined:
            self.hub.throttled_log.warning(self.address, str(declined), self._now())
            self._transport.write(declined.answer)
            self._state = ENDED
            self._transport.close()
            self._end_soon()
            return
        settings = self.hub.settings
        self._parser = websocket.Parser(settings.max_payload)
        self._transport.set_write_buffer_limits(high=settings.viewer_buffer)
        if taken:  # the protocol's suite wants it opened and closed, not declined
            self._state = OPEN
            self._transport.write(answer)
            self.close(websocket.AGAINST_POLICY, "the session has its WebSocket already")
        elif before is not None:
            self._state, self._before = PROBING, before
            self._end_by = self._now() + settings.connect_timeout
            self._transport.write(answer)
        else:
            self._state = OPEN
            self._session = Session(self.hub, self, self._now())
            self._transport.write(answer + websocket.frame(self.hub.greeting(engineio.new_sid())))
        self.hub.join(self)
        self._plan()

    # The upgrade of a session that began with long polling

    def _probed_by(self, head: RequestHead) -> LongPolling | None:
        before = self.hub.polling.get(head.query.get("sid", ""))
        if before is not None and not before.begin_probe():
            raise handshake.Declined.mistake(engineio.BAD_REQUEST)
        return before

    def _probe(self, event: websocket.Event, now: float) -> None:
        assert self._before is not None
        self._before.pay(now)
        if event.opcode == websocket.PING:
            self._answer_ping(event.payload)
        elif not self._before.alive:
            self.close(websocket.GOING_AWAY, "the session is over")
        elif event == (websocket.TEXT, engineio.PROBE):
            self._transport.write(websocket.frame(engineio.PROBED))
        elif event == (websocket.TEXT, engineio.UPGRADE):
            self._take_over(self._before)
        elif event.opcode in (websocket.TEXT, websocket.BINARY):
            raise Malformed("before the upgrade a WebSocket carries only the probe")

    def _take_over(self, before: LongPolling) -> None:
        """From now on the session is carried here; what long polling still held goes first."""
        self._before = self._end_by = None
        self._state = OPEN
        session, frames = before.hand_over()
        self._session, self._sid = session, before.sid
        self.hub.upgraded.add(before.sid)
        session.carrier = self
        for frame in frames:
            self._transport.write(frame)
        if not self.paused:
            self.hub.broadcaster.resume(session)

    # From the wire

    def _read(self, data: bytes) -> None:
        assert self._parser is not None
        self._parser.feed(data)
        now = self._now()
        while self._state in READING:
            event = self._parser.next_event()
            if event is None:
                break
            if event.opcode == websocket.CLOSE:
                self._take_close(websocket.close_code(event.payload))
            elif self._state == OPEN:
                self._take(event, now)
            elif self._state == PROBING:
                self._probe(event, now)
        self._plan()

    def _take(self, event: websocket.Event, now: float) -> None:
        assert self._session is not None
        if event.opcode in (websocket.TEXT, websocket.BINARY):
            self._session.receive(event.payload, now)
            return
        self._session.pay(now)
        if event.opcode == websocket.PING:
            self._answer_ping(event.payload)

    def _answer_ping(self, payload: str | bytes) -> None:
        assert isinstance(payload, bytes)
        if not self.paused:
            self._transport.write(websocket.frame(payload, websocket.PONG))

    def _take_close(self, code: int) -> None:
        """The close handshake is complete: theirs after ours, or ours in answer to theirs."""
        if self._state in (PROBING, OPEN):
            self._leave("transport close")
            self._transport.write(websocket.close_frame(code))
        self._state = ENDED
        self._transport.close()
        self._end_soon()

    def _fail(self, code: int, sentence: str) -> None:
        if self._state not in READING:
            return
        self.hub.throttled_log.warning(self.address, sentence, self._now())
        self.close(code, sentence)
        self._state = DEAF
        self._parser = None
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    # To the wire

    @property
    def address(self) -> str:
        if self._client_address is not None:
            return self._client_address
        peer = self._transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else "local"

    def send(self, packet: bytes) -> None:
        self._write(websocket.frame(packet))

    def send_binary(self, data: bytes) -> None:
        self._write(websocket.frame(data, websocket.BINARY))

    def offer(self, parcel: Parcel) -> bool:
        if self.paused or self._state != OPEN:
            return False
        self._transport.write(parcel.frame)
        return True

    def deliver(self, piece: Slice) -> None:
        frame = piece.encodings.get("websocket")
        if frame is None:
            frame = websocket.frame(socketio.event(piece.name, piece.payload))
            piece.encodings["websocket"] = frame
        if self._state == OPEN:
            self._transport.write(frame)

    def _write(self, frame: bytes) -> None:
        if self._state != OPEN:
            return
        self._transport.write(frame)
        if self.paused and self._transport.get_write_buffer_size() > self.hub.hard_bound:
            self._cut("asks without reading the answers")

    def close(self, code: int, reason: str) -> None:
        """Say goodbye and wait a moment for the answer."""
        if self._state == NEW:
            self._state = ENDED
            self._transport.close()
        elif self._state in (PROBING, OPEN):
            self._leave("server disconnect")
            self._transport.write(websocket.close_frame(code, reason))
            self._state = CLOSING
        else:
            return
        self._end_soon()

    def abort(self) -> None:
        """No more waiting, no more writing."""
        self._state = ENDED
        self._transport.abort()

    def _cut(self, sentence: str) -> None:
        self.hub.throttled_log.warning(self.address, sentence, self._now())
        self.abort()

    def _leave(self, reason: str) -> None:
        session, self._session = self._session, None
        self.hub.upgraded.discard(self._sid)
        if session is not None:
            session.leave(reason)
        before, self._before = self._before, None
        if before is not None:
            before.end_probe()

    # Time

    def turn(self, now: float) -> float | None:
        """Do what is due; the wheel asks."""
        if self._end_by is not None:
            if now >= self._end_by:
                self.abort()
                return None
        elif self._stall_by is not None and now >= self._stall_by:
            self._check_stall(now)
        if self._session is not None:
            self._session.turn(now)
        return self._due()

    def _check_stall(self, now: float) -> None:
        """Slow is allowed; accepting nothing for that long is not."""
        size = self._transport.get_write_buffer_size()
        if size >= self._stall_size:
            self._cut(f"accepted nothing for {self.hub.settings.write_timeout:g} seconds")
            return
        self._stall_size = size
        self._stall_by = now + self.hub.settings.write_timeout

    def _due(self) -> float | None:
        if self._end_by is not None:
            return self._end_by
        due = self._stall_by
        if self._session is not None:
            due = self._session.due() if due is None else min(due, self._session.due())
        return due

    def _plan(self) -> None:
        due = self._due()
        if due is not None and self._state != GONE:
            self.hub.wheel.put(self, due)

    def _end_soon(self) -> None:
        self._end_by = self._now() + CLOSE_GRACE
        self._plan()

    def _now(self) -> float:
        assert self.hub.loop is not None
        return self.hub.loop.time()
