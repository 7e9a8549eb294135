"""The asyncio protocol of a viewer on a WebSocket: one small object, no task, no queue, no timer.

``WebSocketEndpoint`` makes it when the HTTP protocol hands over a connection with the parsed head
of its request. From then on bytes go to ``WebSocketParser``, its messages to ``Viewer``, and
packets leave as frames. The frames of one turn of the event loop leave together.

Policy when the transport holds more than its bound: states wait, at the viewer's position, and
nothing is lost; an application's events are dropped and counted; pongs are left out, because a
later one answers for all. Everything else is small and limited by the rate of the viewer's
messages: beyond it nothing is read for a moment, so that the client's own connection holds it up.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from statecast import logs
from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.errors import Malformed, Refused
from statecast.http.head import RequestHead
from statecast.realtime import encoding
from statecast.realtime.hub import CLOSE_GRACE, Hub, max_buffer
from statecast.realtime.polling import PollingConnection, PollingSessions
from statecast.realtime.protocol import engineio, handshake, websocket
from statecast.realtime.session import Session
from statecast.realtime.turn_budget import TurnBudget
from statecast.realtime.turn_writer import TURN_BYTES, TurnWriter
from statecast.realtime.viewer import TOO_FAST, TOO_FAST_ALL, Viewer
from statecast.settings import Settings


class ConnectionState(IntEnum):
    """The connection's state, by the names of the WebSocket API; PROBING is Engine.IO's."""

    CONNECTING = 0
    """The request is not answered yet."""
    PROBING = 1
    """A WebSocket that is to take over a session from long polling, and does not carry it yet."""
    OPEN = 2
    """It carries a session."""
    CLOSING = 3
    """Our last bytes are written. What still arrives is read while their close is expected."""
    CLOSED = 4
    """The transport is lost."""


CONNECTING, PROBING, OPEN, CLOSING, CLOSED = ConnectionState

TRANSITIONS = {
    CONNECTING: {PROBING, OPEN, CLOSING, CLOSED},  # CLOSING: the request is refused
    PROBING: {OPEN, CLOSING, CLOSED},
    OPEN: {CLOSING, CLOSED},
    CLOSING: {CLOSED},
    CLOSED: set(),
}
"""From each state the states that may follow."""

log = logging.getLogger(__name__)


class WebSocketEndpoint:
    """Makes the connections of one process, and holds what they share."""

    def __init__(
        self,
        hub: Hub,
        settings: Settings,
        sessions: PollingSessions,
        *,
        connections: set[Any],
        on_lost: Callable[[str | None], None] = lambda client_key: None,
        path: str = handshake.PATH,
    ) -> None:
        """``connections``: all of the server, which ends when they have. ``on_lost`` gets the key
        under which a lost connection was counted."""
        self.hub = hub
        self.sessions = sessions
        self.wheel = hub.wheel
        self.throttled_log = hub.throttled_log
        self.held_up = sessions.held_up
        self.connections = connections
        self.on_lost = on_lost
        self.path = path
        self.budget = TurnBudget(hub.wheel.now, self._call_soon)
        self.compresses = settings.compression
        self.writer = TurnWriter(encoding.frame, self._call_soon)
        self.deflating_writer = TurnWriter(encoding.deflated_frame, self._call_soon)
        """Of the connections that have agreed to permessage-deflate."""
        self.origins = settings.allow_origins
        self.max_payload = settings.max_payload
        self.viewer_buffer = settings.viewer_buffer
        self.max_buffer = max_buffer(settings)
        self.write_timeout = settings.write_timeout
        self.connect_timeout = settings.connect_timeout
        self._open_packet = functools.partial(
            engineio.open_packet,
            ping_interval=settings.ping_interval,
            ping_timeout=settings.ping_timeout,
            max_payload=settings.max_payload,
        )

    def accept(
        self,
        transport: asyncio.Transport,
        head: RequestHead,
        *,
        client_address: str | None = None,
        client_key: str | None = None,
        rest: bytes = b"",
    ) -> WebSocketConnection:
        """Take over a connection whose client asks for a WebSocket; ``rest`` came after its head.

        ``client_address`` is the client's, where a proxy stands between. The response is written
        here, whether the request is accepted or refused.
        """
        connection = WebSocketConnection(self, transport, client_address, client_key)
        if self.budget.is_spent():
            transport.pause_reading()
            self.budget.wait(functools.partial(connection.begin_late, head, rest))
        else:
            connection.begin(head, rest)
        return connection

    def _call_soon(self, call: Callable[[], None]) -> None:
        assert self.hub.loop is not None
        self.hub.loop.call_soon(call)

    def open_packet(self) -> bytes:
        """The first packet of a session. Its sid is not kept: the client cannot return with it."""
        return self._open_packet(engineio.new_sid())


class WebSocketConnection(asyncio.Protocol):
    """One viewer's connection."""

    __slots__ = (
        "_backlog",
        "_client_address",
        "_client_key",
        "_end_by",
        "_endpoint",
        "_frame",
        "_frames_size",
        "_more_frames",
        "_parser",
        "_polling",
        "_read_at",
        "_stall_by",
        "_stall_size",
        "_state",
        "_upgraded_sid",
        "_viewer",
        "bucket",
        "paused",
        "reading",
        "transport",
        "writer",
    )

    def __init__(
        self,
        endpoint: WebSocketEndpoint,
        transport: asyncio.Transport,
        client_address: str | None,
        client_key: str | None,
    ) -> None:
        self._endpoint = endpoint
        self.transport = transport
        self.writer = endpoint.writer
        self._client_address = client_address
        """The client's address behind a proxy; None: the peer's."""
        self._client_key = client_key
        """Under what the connection is counted."""
        self._state = CONNECTING
        self.reading = False
        """What arrives is parsed: in PROBING and OPEN, and in CLOSING until their close arrives."""
        self._parser: websocket.WebSocketParser | None = None
        """None before the handshake and after the last byte that is read."""
        self._viewer: Viewer | None = None
        """Only in OPEN."""
        self._polling: PollingConnection | None = None
        """Only in PROBING: what still carries the session."""
        self._backlog = 0
        """Bytes that waited in long polling before the upgrade and that the client has not read."""
        self._upgraded_sid: str | None = None
        """The sid of a session that was taken over from long polling."""
        self._frame: bytes | None = None
        """The first one of this turn of the loop, not written yet."""
        self._more_frames: list[bytes] | None = None
        """Those after it. An event for many viewers thus makes no list for each of them."""
        self._frames_size = 0
        """Bytes of all of them."""
        self._end_by: float | None = None
        """When the connection is aborted: in PROBING without an upgrade, in CLOSING."""
        self._read_at: float | None = None
        """When reading goes on, while the client is held up because it sends too fast."""
        self._stall_by: float | None = None
        """While paused: until when the client must have taken something."""
        self._stall_size = 0
        """Bytes that the transport held when ``_stall_by`` was set."""
        self.bucket = -1
        self.paused = False
        """The transport holds more than its bound."""
        # Before anything is written, or pause_writing would reach the HTTP protocol.
        transport.set_protocol(self)
        endpoint.connections.add(self)

    def _change(self, state: ConnectionState) -> None:
        assert state in TRANSITIONS[self._state], f"{self._state!r} to {state!r}"
        self._state = state

    # What asyncio calls

    def connection_lost(self, exc: Exception | None) -> None:
        self._change(CLOSED)
        self._stop_reading()
        self._drop_backlog()
        self._leave("transport close")
        self._drop_frames()
        self._end_by = self._stall_by = None
        self._endpoint.connections.discard(self)
        self._endpoint.hub.remove(self)
        self._endpoint.on_lost(self._client_key)

    def data_received(self, data: bytes) -> None:
        if self._parser is None or not self.reading:
            return
        self._parser.feed(data)
        if self._read_at is not None:
            return
        if self._endpoint.budget.is_spent():
            self.transport.pause_reading()
            self._endpoint.budget.wait(self._read_late)
        else:
            self._read()

    def _read_late(self) -> None:
        """Take the messages that came when the budget of their turn was spent."""
        if self._parser is None or self._read_at is not None:
            return  # it is closed, or held up by its rate
        self._read()
        if self._read_at is None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _read(self) -> None:
        """Take the messages that have come, as many as the client may send now."""
        try:
            self._take_messages()
        except Exception as error:
            self._fail(error)

    def eof_received(self) -> None:
        """The transport closes itself."""

    def pause_writing(self) -> None:
        self.paused = True
        self._stall_size = self.transport.get_write_buffer_size()
        self._stall_by = self._endpoint.wheel.now() + self._endpoint.write_timeout
        if self._viewer is not None:
            self._viewer.pause()
        self.reschedule()

    def resume_writing(self) -> None:
        self.paused = False
        self._stall_by = None
        self._drop_backlog()
        if self._viewer is not None:
            self._viewer.resume()

    def shutdown(self) -> None:
        """uvicorn calls it when the server stops."""
        self.close(websocket.SERVICE_RESTART, "the server restarts; come back")

    # The handshake

    def begin_late(self, head: RequestHead, rest: bytes) -> None:
        """Begin after the turn in which the request came."""
        if self._state is not CONNECTING or self.transport.is_closing():
            return
        self.begin(head, rest)
        if self._read_at is None and not self.transport.is_closing():
            self.transport.resume_reading()

    def begin(self, head: RequestHead, rest: bytes) -> None:
        """Answer the request; ``rest`` came after it."""
        self.receive_head(head)
        if rest and self._parser is not None:
            self._parser.feed(rest)
            self._read()

    def receive_head(self, head: RequestHead) -> None:
        try:
            self._shake_hands(head)
        except handshake.HandshakeError as refused:
            self._warn(str(refused))
            self.transport.write(refused.response())
            self._finish()
        except Exception as error:
            self._fail(error)

    def _shake_hands(self, head: RequestHead) -> None:
        endpoint = self._endpoint
        if endpoint.hub.draining:
            sentence = "The server restarts; come back."
            raise handshake.HandshakeError.sentence(503, sentence, handshake.RETRY_SOON)
        sid = head.query.get("sid", "")
        extension = handshake.deflate_agreed(head) if endpoint.compresses else None
        response = handshake.accept(
            head,
            origins=endpoint.origins,
            path=endpoint.path,
            sids=endpoint.sessions,
            extension=extension,
        )
        if extension is not None:
            self.writer = endpoint.deflating_writer
        polling = endpoint.sessions.find(sid) if sid else None
        if polling is not None:
            given = endpoint.hub.readers.visit(head, self.address).given
            if not polling.is_of(given, upgrades=True):
                raise handshake.HandshakeError.of(engineio.UNKNOWN_SID)
        if polling is not None and not polling.begin_probe():
            raise handshake.HandshakeError.of(engineio.BAD_REQUEST)
        now = endpoint.wheel.now()
        self._parser = websocket.WebSocketParser(
            endpoint.max_payload, compressed=extension is not None
        )
        self.reading = True
        self.transport.set_write_buffer_limits(high=endpoint.viewer_buffer)
        if polling is not None:
            self._change(PROBING)
            self._polling = polling
            self._end_by = now + endpoint.connect_timeout
            self.transport.write(response)
        elif sid:  # the protocol's test suite wants it opened and closed, not refused
            self._change(OPEN)
            self.transport.write(response)
            self.close(websocket.POLICY_VIOLATION, "the session has its WebSocket already")
        else:
            self._change(OPEN)
            self._viewer = endpoint.hub.new_viewer(self, now, head, self.address)
            self.transport.write(response + websocket.frame(endpoint.open_packet()))
        endpoint.hub.add(self)
        self.reschedule()

    # The upgrade of a session that began with long polling

    def _probe(
        self, polling: PollingConnection, event: websocket.WebSocketEvent, now: float
    ) -> None:
        polling.session.charge(now)
        if event.opcode == websocket.PING:
            self._answer_ping(event.payload)
        elif not polling.alive:
            self.close(websocket.GOING_AWAY, "the session is over")
        elif event == (websocket.TEXT, engineio.PROBE):
            self.put(websocket.frame(engineio.PROBE_ANSWER))
        elif event == (websocket.TEXT, engineio.UPGRADE):
            self._take_over(polling)
        elif event.opcode in (websocket.TEXT, websocket.BINARY):
            raise Malformed("before the upgrade a WebSocket carries only the probe")

    def _take_over(self, polling: PollingConnection) -> None:
        """Carry the session from now on. What long polling still holds goes first."""
        self._polling = self._end_by = None
        self._change(OPEN)
        self._upgraded_sid = polling.sid
        self._viewer, packets = polling.hand_over()
        self._viewer.move_to(self)
        self.put(b"".join(map(_frame_of, packets)))
        self.flush()
        if self.paused:
            self._backlog = sum(map(len, packets))
            self._endpoint.sessions.memory.reserve(self._backlog)
        else:
            self._viewer.resume()
        self.reschedule()

    # From the client

    def _take_messages(self) -> None:
        assert self._parser is not None
        now = self._endpoint.wheel.now()
        while self.reading and (unread := self._parser.unread):
            session = self._session
            if session is not None and (delay := session.delay(now)):
                self._hold_up(session, now + delay, unread)
                return
            event = self._parser.next_event()
            if event is None:
                return
            opcode = event.opcode
            if opcode == websocket.CLOSE:
                self._receive_close(websocket.close_code(event.payload))
            elif self._viewer is not None:
                if opcode in (websocket.TEXT, websocket.BINARY):
                    self._viewer.receive(event.payload, now)
                    continue
                self._viewer.session.charge(now)
                if opcode == websocket.PING:
                    self._answer_ping(event.payload)
            elif self._polling is not None:
                self._probe(self._polling, event, now)

    @property
    def _session(self) -> Session | None:
        """The client's, also while long polling carries it still; None in CLOSING."""
        carrier = self._viewer or self._polling
        return carrier.session if carrier is not None else None

    def _hold_up(self, session: Session, until: float, unread: int) -> None:
        """Read nothing until then. Raises RemoteProtocolError if too many clients are held up."""
        if not self._endpoint.held_up.add(self, unread):
            raise websocket.RemoteProtocolError(websocket.POLICY_VIOLATION, TOO_FAST_ALL)
        if session.hold_up():
            self._warn(TOO_FAST)
        self._read_at = until
        self.transport.pause_reading()
        self.reschedule()

    def _read_on(self) -> None:
        self._read_at = None
        self._endpoint.held_up.remove(self)
        self._read()
        if self._read_at is None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _drop_backlog(self) -> None:
        if self._backlog:
            self._endpoint.sessions.memory.release(self._backlog)
            self._backlog = 0

    def _answer_ping(self, payload: str | bytes) -> None:
        assert isinstance(payload, bytes)
        if not self.paused:
            self.put(websocket.frame(payload, websocket.PONG))

    def _receive_close(self, code: int) -> None:
        """The closing handshake is complete: theirs after ours, or ours in answer to theirs."""
        if self._state is not CLOSING:
            self._leave("transport close")
            self.put(websocket.close_frame(code))
        self._finish()

    def _fail(self, error: Exception) -> None:
        """End the connection because of what arrived, or because of an error of ours."""
        if isinstance(error, websocket.RemoteProtocolError):
            code, sentence = error.code, str(error)
        elif isinstance(error, Refused):
            code, sentence = websocket.POLICY_VIOLATION, str(error)
        else:
            number = logs.log_error(log, "a viewer's message could not be handled", error)
            code, sentence = websocket.INTERNAL_ERROR, f"error {number}"
        if self._state is CONNECTING:
            self.abort()
        if not self.reading:
            return
        self._warn(sentence)
        self.close(code, sentence)
        self._stop_reading()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()

    # To the client

    def send(self, packet: bytes) -> None:
        self._write(websocket.frame(packet))

    def send_binary(self, data: bytes) -> None:
        self._write(websocket.frame(data, websocket.BINARY))

    @property
    def outlet(self) -> WebSocketConnection | None:
        """Itself, while it takes whatever comes."""
        return self if self._state is OPEN and not self.paused else None

    @property
    def compression(self) -> encoding.Deflation | None:
        return encoding.SOCKETIO if self.writer is self._endpoint.deflating_writer else None

    def offer(self, message: OutgoingMessage) -> bool:
        if self.paused or self._state is not OPEN:
            return False
        self.put(self.writer.encode(message))
        return True

    def deliver(self, message: OutgoingMessage) -> None:
        if self._state is OPEN:
            self.put(self.writer.encode(message))

    def _write(self, frame: bytes) -> None:
        if self._state is not OPEN:
            return
        self.put(frame)
        if self.paused:
            self.flush()
            bound = self._endpoint.max_buffer + self._backlog
            if self.transport.get_write_buffer_size() > bound:
                self._cut("asks without reading the answers")

    def put(self, frame: bytes) -> None:
        """Write a frame, at the end of this turn of the loop at the latest."""
        if self._state not in (PROBING, OPEN):
            return
        if self._frame is None:
            self.writer.put_first(self)
            self._frame, self._frames_size = frame, len(frame)
        else:
            if self._more_frames is None:
                self._more_frames = []
            self._more_frames.append(frame)
            self._frames_size += len(frame)
        if self._frames_size > TURN_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the frames of this turn."""
        frame, more = self._frame, self._more_frames
        if frame is None:
            return
        self._frame = None
        if more is not None:
            self._more_frames = None
            frame = b"".join((frame, *more))
        self.transport.write(frame)

    def _drop_frames(self) -> None:
        self._frame = self._more_frames = None

    # The end

    def close(self, code: int, reason: str) -> None:
        """Send a close frame, and wait a moment for the client's."""
        if self._state not in (PROBING, OPEN):
            return
        self._leave("server disconnect")
        self.put(websocket.close_frame(code, reason))
        self.flush()
        self._change(CLOSING)
        self._end_soon()

    def _finish(self) -> None:
        """All is said: close the transport once it has drained."""
        self.flush()
        self._stop_reading()
        if self._state is not CLOSING:
            self._change(CLOSING)
        self.transport.close()
        self._end_soon()

    def abort(self) -> None:
        """Neither wait nor write any more."""
        self._leave("transport close")
        self._drop_frames()
        self._stop_reading()
        if self._state not in (CLOSING, CLOSED):
            self._change(CLOSING)
        self.transport.abort()

    def _cut(self, sentence: str) -> None:
        self._warn(sentence)
        self.abort()

    def _stop_reading(self) -> None:
        self.reading = False
        self._parser = self._read_at = None
        self._endpoint.held_up.remove(self)

    def _leave(self, reason: str) -> None:
        viewer, self._viewer = self._viewer, None
        if viewer is not None:
            viewer.leave(reason)
        if self._upgraded_sid is not None:
            self._endpoint.sessions.forget_upgraded(self._upgraded_sid)
            self._upgraded_sid = None
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.end_probe()

    def _warn(self, sentence: str) -> None:
        now = self._endpoint.wheel.now()
        self._endpoint.throttled_log.warning(self.address, sentence, now)

    @property
    def address(self) -> str:
        """The client's."""
        if self._client_address is not None:
            return self._client_address
        peer = self.transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else "local"

    # Time

    def on_timeout(self, now: float) -> float | None:
        if self._read_at is not None and now >= self._read_at:
            self._read_on()
        if self._end_by is not None:
            if now >= self._end_by:
                self.abort()
                return None
        elif self._stall_by is not None and now >= self._stall_by:
            self._check_stall(now)
        if self._viewer is not None:
            self._viewer.on_timeout(now)
        return self._deadline()

    def _check_stall(self, now: float) -> None:
        """A slow client is kept; one that took nothing for the time limit is cut."""
        size = self.transport.get_write_buffer_size()
        if size >= self._stall_size:
            self._cut(f"accepted nothing for {self._endpoint.write_timeout:g} seconds")
            return
        self._stall_size = size
        self._stall_by = now + self._endpoint.write_timeout

    def _deadline(self) -> float | None:
        due = self._end_by if self._end_by is not None else self._stall_by
        if self._viewer is not None:
            due = _earlier(due, self._viewer.session.deadline)
        return due if self._read_at is None else _earlier(due, self._read_at)

    def reschedule(self) -> None:
        due = self._deadline()
        if due is not None:
            self._endpoint.wheel.schedule(self, due)

    def _end_soon(self) -> None:
        self._end_by = self._endpoint.wheel.now() + CLOSE_GRACE
        self.reschedule()


def _earlier(one: float | None, other: float) -> float:
    return other if one is None else min(one, other)


def _frame_of(packet: bytes) -> bytes:
    """The frame for a packet of long polling."""
    if packet[:1] == b"b":
        return websocket.frame(engineio.binary_data(packet), websocket.BINARY)
    return websocket.frame(packet)
