"""The registry of this process: its connections, and what the application sends to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from statecast.broadcast.outgoing_message import OutgoingMessage
from statecast.errors import BadSetting
from statecast.http.head import RequestHead
from statecast.http.throttled_log import ThrottledLog
from statecast.model import Event, EventKind, Watching
from statecast.names import escaped
from statecast.realtime import encoding
from statecast.realtime.dropped_events import (
    GONE,
    NO_LOOP,
    SLOW_VIEWER,
    TOO_MANY_ANSWERS,
    UNDECIDED,
    DroppedEvents,
)
from statecast.realtime.handlers import Handler
from statecast.realtime.interfaces import BroadcasterContract, Connection, SessionTransport
from statecast.realtime.loop_calls import LoopCalls
from statecast.realtime.namespaces import Namespaces
from statecast.realtime.protocol import socketio, websocket
from statecast.realtime.readers import Readers
from statecast.realtime.rooms import Callback, Namespace, Socket
from statecast.realtime.session import Session, SessionLimits
from statecast.realtime.timer_wheel import TimerWheel, tick_for
from statecast.realtime.viewer import Handshake, Viewer
from statecast.settings import Settings

BETWEEN_GROUPS = 0.1
"""Seconds between two groups of viewers that a stopping server sends away."""
CLOSE_GRACE = 2.0
"""Seconds a client has to answer a close before its connection is aborted."""
MAX_UNKNOWN_NAMESPACES = 100
"""Namespaces that do not exist here, but are emitted to: the log names so many, once each."""

log = logging.getLogger(__name__)


class Hub:
    """The viewers of one process. Only ``publish``, ``find`` and ``rooms`` may be called from any
    thread."""

    def __init__(
        self,
        broadcaster: BroadcasterContract,
        settings: Settings,
        *,
        readers: Readers,
        namespaces: Iterable[str] = (),
        inline: bool = False,
    ) -> None:
        """``readers`` are those of this process whose rights can change.

        ``inline``: for tests, handlers run at once on the loop's thread.
        """
        self.throttled_log = ThrottledLog()
        self.wheel = TimerWheel(
            tick_for(
                (
                    settings.ping_interval,
                    settings.ping_timeout,
                    settings.connect_timeout,
                    settings.write_timeout,
                )
            )
        )
        self.draining = False
        """The server stops and takes no new viewers."""
        self.keep_handshakes = False
        """The application asks for the requests with which viewers began."""
        self.dropped = DroppedEvents()
        """Application events that a full transport did not take (the newest is dropped), or that
        no handler took."""
        self.sent_bytes = 0
        """Of application events, before framing."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self._calls = LoopCalls()
        """What the application does to viewers, in order."""
        self.readers = readers
        self._broadcaster = broadcaster
        # Two ticks late is punctual for a timer of whole ticks.
        self._limits = SessionLimits.of(settings, lateness=2 * self.wheel.tick)
        self._max_connections = settings.max_connections
        self._connections: set[Connection] = set()
        self._namespaces = Namespaces(
            namespaces,
            threads=settings.handler_threads,
            max_pending_bytes=settings.max_payload,
            clock=self.wheel.now,
            calls=self._calls,
            dropped=self.dropped,
            count=broadcaster.count_room,
            inline=inline,
        )
        self._compresses_events = False
        """WebSockets got the last long event compressed. Any thread reads it."""
        self._unknown: set[str] = set()
        """Namespaces that no viewer can join, and that the log has already named."""
        broadcaster.on_event(self.apply_event)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Before the first connection, on the thread of the loop that serves them."""
        self.loop = loop
        self._calls.start(loop)
        self.wheel.start(loop)
        self._namespaces.start(loop)
        self.readers.start(loop)

    def check_may_wait(self) -> None:
        """Raises BadSetting on the loop, which would stop what the caller waits for."""
        if self.is_loop_thread():
            raise BadSetting("live.call waits, so it is for plain functions, not for coroutines.")

    def wait_for(self, answer: Future[Any], timeout: float) -> Any:
        """What a viewer answers. Raises TimeoutError."""
        return answer.result(timeout)

    def is_loop_thread(self) -> bool:
        """Whether the caller runs on the loop of the viewers."""
        return self._calls.is_loop_thread()

    # Connections

    @property
    def viewers(self) -> int:
        return len(self._connections)

    @property
    def is_full(self) -> bool:
        """No further viewer may come in: there are too many, or the server stops."""
        return self.draining or len(self._connections) >= self._max_connections

    def add(self, connection: Connection) -> None:
        self._connections.add(connection)

    def remove(self, connection: Connection) -> None:
        self.wheel.remove(connection)
        self._connections.discard(connection)

    def new_viewer(
        self, transport: SessionTransport, now: float, head: RequestHead, address: str
    ) -> Viewer:
        """``head`` and ``address`` are the client's, of the request with which it begins."""
        session = Session(self._limits, now)
        handshake = Handshake(head, address) if self.keep_handshakes else None
        return Viewer(
            session,
            transport,
            self._namespaces,
            self._broadcaster,
            self.readers,
            self.readers.visit(head, address),
            handshake,
        )

    def close_threads(self) -> None:
        """Let the threads of handlers end after what they have to do."""
        self._namespaces.close()
        self.readers.close()

    async def close_all(
        self, per_group: int, code: int = websocket.SERVICE_RESTART, *, grace: float = CLOSE_GRACE
    ) -> None:
        """Send all viewers away, ``per_group`` at a time, then abort the connections that are left.

        No new viewers are taken from now on.
        """
        self.draining = True
        present = list(self._connections)
        for first in range(0, len(present), max(per_group, 1)):
            if first:
                await asyncio.sleep(BETWEEN_GROUPS)
            for connection in present[first : first + max(per_group, 1)]:
                connection.close(code, "the server restarts; come back")
        deadline = asyncio.get_running_loop().time() + grace
        while self._connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        for connection in tuple(self._connections):
            connection.abort()

    # What the application registers

    def open(self, namespace: str) -> Namespace:
        """Let viewers join ``namespace``. Raises BadSetting."""
        return self._namespaces.open(namespace)

    def on(self, event: str, handler: Handler, namespace: str = "/") -> None:
        """Have ``handler(sid, *arguments)`` called for each such event. Raises BadSetting.

        What it returns is the acknowledgement. ``connect`` (sid, auth: an object, empty without
        one) may refuse by returning False or raising Refused; ``disconnect`` gets (sid, reason).
        """
        self._namespaces.on(event, handler, namespace)

    def answer(self, event: str, handler: Handler) -> None:
        """Answer an event in "/" unless the application has a handler of this name."""
        self._namespaces.own[event] = handler

    # What the application sends

    def publish(self, event: Event) -> None:
        """Let an event take effect here. Any thread; what one does stays in its order."""
        size = event.size
        message = self._compressed(event) if size >= encoding.LEAST_IN_THREAD else None
        if not self._calls.post(self.apply_event, event, message, size=size):
            self.dropped.add(event.namespace, 1, NO_LOOP)

    def _compressed(self, event: Event) -> OutgoingMessage | None:
        """A long event, compressed by the thread that emits it; None: the loop does what it needs.

        The thread cannot know who will get it, so it goes by the last long event.
        """
        if not self._compresses_events or event.kind != "emit" or self._calls.is_loop_thread():
            return None
        message = encoding.event(event)
        message.compressible = True
        if encoding.SOCKETIO.is_due(message):
            encoding.SOCKETIO.compress(message)
        return message

    def apply_event(self, event: Event, message: OutgoingMessage | None = None) -> None:
        """Let an event take effect here; ``message``, if it is made already. Loop's thread only."""
        if event.kind == "emit":
            self.emit(event, message)
        elif event.kind == "close_room":
            self._close_room(event)
        elif event.kind == "rights":
            self.readers.rights_changed(event.name)
        else:
            for sid in event.rooms:
                self._move(event.kind, sid, event.name)

    def emit(self, event: Event, message: OutgoingMessage | None = None) -> int:
        """Send an event; to how many sockets it was written. Loop's thread only."""
        namespace = self._namespaces.get(event.namespace)
        if namespace is None:
            self._warn_unknown(event.namespace)
            return 0
        groups = namespace.groups(event.rooms, event.skip)
        if not groups.size:
            return 0
        if message is None:
            message = encoding.event(event)
        # An event does not say whose data is in it, so its length is no secret only without rights.
        message.compressible = groups.size > 1 and not self.readers.has_rules
        written = groups.write(message) + sum(socket.offer(message) for socket in groups.others)
        if written < groups.size:
            self._count_dropped(event.namespace, groups.others, groups.size - written)
        self.sent_bytes += len(event.data) * written
        if len(event.data) >= encoding.LEAST_IN_THREAD:
            self._compresses_events = encoding.was_sent_compressed(message)
        return written

    def is_room(self, namespace: str, name: str) -> bool:
        """Whether viewers of this process have entered a room of this name. Any thread."""
        known = self._namespaces.get(namespace)
        return known is not None and name in known.rooms

    def publish_to_one(self, event: Event, callback: Callback) -> None:
        """Emit an event to one socket of this process, and call back with its acknowledgement.

        Any thread; ``callback`` is called once, on the loop.
        """
        if not self._calls.post(self._emit_to_one, event, callback, size=event.size):
            self.dropped.add(event.namespace, 1, NO_LOOP)
            callback(None)

    def _emit_to_one(self, event: Event, callback: Callback) -> None:
        (sid,) = event.rooms
        socket = self.find(sid)
        if socket is None or socket.namespace.name != event.namespace:
            self.dropped.add(event.namespace, 1, GONE)
            callback(None)
            return
        self.dropped.add(event.namespace, socket.owes_too_many, TOO_MANY_ANSWERS)
        number = socket.expect(callback)
        if not socket.offer(encoding.event(event, number)):
            self._count_dropped(event.namespace, [socket], 1)
            socket.acknowledge(number, None)

    def _count_dropped(self, namespace: str, members: Iterable[Socket], number: int) -> None:
        ready = any(socket.ready for socket in members)
        self.dropped.add(namespace, number, SLOW_VIEWER if ready else UNDECIDED)

    def call_back(self, callback: Handler, arguments: list[Any], namespace: str) -> None:
        """Call the application's function as a handler is called."""
        self._namespaces.call_back(callback, arguments, namespace)

    def _warn_unknown(self, namespace: str) -> None:
        if self._namespaces.takes_any:
            return  # it is known while it has viewers
        if namespace not in self._unknown and len(self._unknown) < MAX_UNKNOWN_NAMESPACES:
            self._unknown.add(namespace)
            log.warning(
                "events for %s reach no viewer: name it in the setting namespaces",
                escaped(namespace),
            )

    def _close_room(self, event: Event) -> None:
        namespace = self._namespaces.get(event.namespace)
        if namespace is not None:
            for room in event.rooms:
                namespace.close(room)

    def _move(self, kind: EventKind, sid: str, room: str) -> None:
        socket = self.find(sid)
        if socket is None:
            return
        if kind == "enter":
            socket.namespace.enter(socket, room)
        elif kind == "name":
            socket.viewer.rename(room or None)
        elif kind == "leave":
            socket.namespace.leave(socket, room)
        elif socket.ready or not socket.when_ready(lambda: self._move(kind, sid, room)):
            socket.viewer.transport.send(socketio.disconnected(socket.namespace.name))
            self._namespaces.disconnect(socket, "server namespace disconnect")

    def find(self, sid: str) -> Socket | None:
        """A socket of this process. Any thread."""
        return self._namespaces.find(sid)

    def rooms(self, sid: str) -> list[str] | None:
        """The rooms of a viewer of this process, its sid among them; None if there is none such.

        Any thread: it sees what that thread did before.
        """
        return self._calls.ask(self._rooms, sid)

    def who_watches(self, device: str) -> Watching | None:
        """Who watches a device, in all serving processes; None if the loop does not answer.

        Any thread: it sees what that thread did before.
        """
        return self._calls.ask(self._broadcaster.who_watches, device)

    def who_is_in(self, namespace: str, room: str) -> Watching | None:
        """Who is in a room, in all serving processes; None if the loop does not answer.

        Any thread: it sees what that thread did before.
        """
        return self._calls.ask(self._broadcaster.who_is_in, namespace, room)

    def forget_process(self, forget: Callable[[str], None], process: str) -> None:
        """Call ``forget`` on the loop: another process has ended. Any thread."""
        self._calls.post(forget, process)

    def handshake(self, sid: str) -> Handshake | None:
        """The request with which a viewer of this process began, where it was kept. Any thread."""
        socket = self.find(sid)
        return socket.viewer.handshake if socket is not None else None

    def _rooms(self, sid: str) -> list[str] | None:
        socket = self.find(sid)
        return None if socket is None else [sid, *sorted(socket.rooms or ())]


def max_buffer(settings: Settings) -> int:
    """Bytes that a transport holds only for a client that asks without ever reading.

    The largest ``states`` message still fits in.
    """
    return settings.max_states_bytes + 4 * settings.viewer_buffer
