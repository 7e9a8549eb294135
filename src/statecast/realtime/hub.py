"""All viewers of this process: who they are, what is emitted to them, what the application does for them."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from statecast import logs
from statecast.errors import BadSetting, Malformed
from statecast.http.rate_limit import TokenBucket
from statecast.http.throttled_log import ThrottledLog
from statecast.model import Event
from statecast.names import escaped
from statecast.realtime.handlers import Application, Handler, Outcome, busy
from statecast.realtime.protocol import engineio, handshake, socketio, websocket
from statecast.realtime.rooms import Namespace, Socket
from statecast.realtime.session import Session
from statecast.realtime.timer_wheel import Timed, Wheel
from statecast.settings import Settings

if TYPE_CHECKING:
    from statecast.realtime.polling import LongPolling

CLOSE_GRACE = 2.0
"""Seconds a client has to answer a close frame before the connection is aborted."""
BETWEEN_SLICES = 0.1
"""Seconds between two slices of viewers sent away at shutdown."""
MOST_STRANGE = 100
"""Namespaces nobody may join of which the log says, once each, that somebody emits to them."""
_NAMESPACE = re.compile(r"/[^,\x00-\x1f]*")

log = logging.getLogger(__name__)


class Slice(Protocol):
    """What the broadcaster delivers, the same object to all viewers of an audience."""

    name: str
    payload: bytes
    encodings: dict[str, bytes]


class Watching(Protocol):
    """What watches devices: a session, or a stream of server-sent events."""

    def deliver(self, piece: Slice) -> None: ...


class Broadcaster(Protocol):
    """What viewers ask of the broadcaster; all of it on the loop."""

    def watch(self, viewer: Watching, request: Any) -> dict[str, Any]: ...
    def leave(self, viewer: Watching) -> None: ...
    def pause(self, viewer: Watching) -> None: ...
    def resume(self, viewer: Watching) -> None: ...
    def on_event(self, teller: Callable[[Event], None]) -> None: ...


class Parcel:
    """One packet on its way to many, encoded and framed once."""

    __slots__ = ("frame", "packet")

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.frame = websocket.frame(packet)


class Connection(Timed, Protocol):
    """A viewer's connection, as the hub needs it."""

    def close(self, code: int, reason: str) -> None: ...
    def abort(self) -> None: ...


class Hub:
    """The viewers of one process. ``send``, ``enter``, ``leave`` and ``disconnect`` may be called from any thread."""

    def __init__(
        self,
        broadcaster: Broadcaster,
        settings: Settings,
        *,
        path: str = handshake.PATH,
        namespaces: Iterable[str] = (),
    ) -> None:
        self.broadcaster = broadcaster
        self.settings = settings
        self.path = path
        self.throttled_log = ThrottledLog()
        self.message_rate = TokenBucket(settings.viewer_rate_limit)
        """What each viewer may send; the state of its bucket is with its session."""
        self.connections: set[Connection] = set()
        self.polling: dict[str, LongPolling] = {}
        """The sessions carried by long polling, by sid; those on WebSocket need no name."""
        self.upgraded: set[str] = set()
        """The sids of sessions that began with long polling and are on a WebSocket now."""
        self.draining = False
        self.dropped_emits = 0
        """Application events not written because a transport was over its bound: the newest is dropped."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self._application = Application(settings.wsgi_threads)
        self._namespaces = {"/": Namespace("/")}
        self._strange: set[str] = set()
        for name in namespaces:
            self.open(name)
        broadcaster.on_event(self.tell)

    # The life of it

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Remember the loop on which the viewers live. The first connection does it, if nobody did before."""
        self.loop = loop
        self._thread = threading.get_ident()
        times = (
            self.settings.ping_interval,
            self.settings.ping_timeout,
            self.settings.connect_timeout,
            self.settings.write_timeout,
        )
        self.wheel = Wheel(loop, min(max(min(times) / 20, 0.01), 0.25))

    @property
    def hard_bound(self) -> int:
        """Bytes in a transport that only a peer reaches who asks without ever reading: well above the largest slice."""
        return self.settings.max_states_bytes + 4 * self.settings.viewer_buffer

    @property
    def viewers(self) -> int:
        return len(self.connections)

    def join(self, connection: Connection) -> None:
        self.connections.add(connection)

    def part(self, connection: Connection) -> None:
        self.wheel.remove(connection)
        self.connections.discard(connection)

    def greeting(self, sid: str, upgrades: tuple[str, ...] = ()) -> bytes:
        """The packet that opens a session. To one on a WebSocket nobody can come back, so nobody keeps its sid."""
        settings = self.settings
        return engineio.open_packet(
            sid,
            upgrades=upgrades,
            ping_interval=settings.ping_interval,
            ping_timeout=settings.ping_timeout,
            max_payload=settings.max_payload,
        )

    async def close_all(
        self, per_slice: int, code: int = websocket.RESTARTING, *, grace: float = CLOSE_GRACE
    ) -> None:
        """Send all viewers away, ``per_slice`` at a time, and cut those who do not go. No new ones are taken."""
        self.draining = True
        staying = list(self.connections)
        for first in range(0, len(staying), max(per_slice, 1)):
            if first:
                await asyncio.sleep(BETWEEN_SLICES)
            for connection in staying[first : first + max(per_slice, 1)]:
                connection.close(code, "the server restarts; come back")
        deadline = asyncio.get_running_loop().time() + grace
        while self.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        for connection in tuple(self.connections):
            connection.abort()

    # What the application says

    def open(self, namespace: str) -> Namespace:
        """Let viewers join ``namespace``: those of the setting and those with handlers."""
        check_namespace(namespace)
        return self._namespaces.setdefault(namespace, Namespace(namespace))

    def on(self, event: str, handler: Handler, namespace: str = "/") -> None:
        """Have ``handler(sid, *arguments)`` called for each such event; what it returns is the acknowledgement.

        ``connect`` (sid, auth: an object, empty without one) may refuse by returning False or raising Refused;
        ``disconnect`` (sid, reason) is told.
        """
        check_registration(event, handler, namespace)
        handlers = self.open(namespace).handlers
        if event in handlers:
            raise BadSetting(
                f"The event {event!r} of {namespace} has a handler already; an event has one."
            )
        handlers[event] = handler

    def tell(self, event: Event) -> None:
        """Emit an application event that came through the store."""
        if event.namespace in self._namespaces:
            self.emit(event.namespace, event.room, event.name, event.data)
        elif event.namespace not in self._strange and len(self._strange) < MOST_STRANGE:
            self._strange.add(event.namespace)
            log.warning(
                "events for %s reach nobody: name it in the setting namespaces",
                escaped(event.namespace),
            )

    def emit(self, namespace: str, room: str | None, name: str, data: bytes) -> int:
        """Send an event to everybody in a namespace, a room of it, or one sid: framed once. Loop thread only.

        ``data`` is the encoded JSON array of the arguments. Returns how many it was written to: none in a namespace
        that viewers may not join.
        """
        known = self._namespaces.get(namespace)
        members = known.members(room) if known is not None else ()
        if not members:
            return 0
        parcel = Parcel(socketio.event_of(name, data, namespace))
        written = sum(socket.offer(parcel) for socket in members)
        self.dropped_emits += len(members) - written
        return written

    def send(self, sid: str, name: str, *arguments: Any) -> None:
        """Send an event to one viewer of this process, bytes among the arguments as attachments. Any thread."""
        socketio.encode(
            socketio.EVENT, "/", None, (name, *arguments)
        )  # a bad value fails here, at the caller
        self._on_loop(self._send, sid, (name, *arguments))

    def enter(self, sid: str, room: str) -> None:
        self._on_loop(self._enter, sid, room)

    def leave(self, sid: str, room: str) -> None:
        self._on_loop(self._leave, sid, room)

    def disconnect(self, sid: str) -> None:
        """Take a viewer out of its namespace."""
        self._on_loop(self._disconnect, sid)

    def find(self, sid: str) -> Socket | None:
        for namespace in tuple(self._namespaces.values()):  # another thread may open one
            socket = namespace.sockets.get(sid)
            if socket is not None:
                return socket
        return None

    def _on_loop(self, call: Callable[..., object], *arguments: Any) -> None:
        if self.loop is None:
            return  # nobody has connected yet, so there is nobody to reach
        if threading.get_ident() == self._thread:
            call(*arguments)
        else:
            self.loop.call_soon_threadsafe(call, *arguments)

    def _send(self, sid: str, arguments: tuple[Any, ...]) -> None:
        socket = self.find(sid)
        if socket is None:
            return
        if socket.session.carrier.paused:
            self.dropped_emits += 1
        elif socket.ready:
            socket.session.send(socketio.EVENT, socket.namespace.name, None, arguments)
        else:
            waiting = socket
            socket.wait(
                lambda: waiting.session.send(
                    socketio.EVENT, waiting.namespace.name, None, arguments
                )
            )

    def _enter(self, sid: str, room: str) -> None:
        socket = self.find(sid)
        if socket is not None:
            socket.namespace.enter(socket, room)

    def _leave(self, sid: str, room: str) -> None:
        socket = self.find(sid)
        if socket is not None:
            socket.namespace.leave(socket, room)

    def _disconnect(self, sid: str) -> None:
        socket = self.find(sid)
        if socket is not None:
            socket.session.carrier.send(socketio.disconnected(socket.namespace.name))
            self.depart(socket, "server namespace disconnect")

    # What the viewers say, from their sessions

    def connect(self, session: Session, name: str, auth: Any) -> None:
        namespace = self._namespaces.get(name)
        if namespace is None:
            session.carrier.send(socketio.refused(name, "Invalid namespace"))
            return
        socket = Socket(session, namespace, engineio.new_sid())
        namespace.sockets[socket.sid] = socket
        session.add(socket)
        hook = namespace.handlers.get("connect")
        if hook is None:
            session.carrier.send(socketio.connected(name, socket.sid))
            return
        socket.early = []
        self._call(hook, (socket.sid, auth or {}), lambda outcome: self._decide(socket, outcome))

    def _decide(self, socket: Socket, outcome: Outcome) -> None:
        if not socket.alive or socket.early is None:
            return
        if outcome.error is not None or outcome.value is False:
            self._forget(socket)
            refusal = socketio.refused(
                socket.namespace.name, outcome.error or "The connection was refused."
            )
            socket.session.carrier.send(refusal)
            return
        early, socket.early = socket.early, None
        socket.session.carrier.send(socketio.connected(socket.namespace.name, socket.sid))
        for call in early:
            call()

    def dispatch(
        self, socket: Socket, number: int | None, name: str, arguments: list[Any], size: int
    ) -> None:
        """Have the handler called, unless more of this viewer's waits already than one message may have."""
        handler, session = socket.namespace.handlers.get(name), socket.session
        if handler is None:
            self._acknowledge(socket, number, Outcome(error="Nobody handles this event here."))
            return
        if session.held and session.held + size > self.settings.max_payload:
            self._acknowledge(socket, number, busy())
            return
        session.held += size

        def done(outcome: Outcome) -> None:
            session.held -= size
            self._acknowledge(socket, number, outcome)

        self._call(handler, (socket.sid, *arguments), done)

    def _acknowledge(self, socket: Socket, number: int | None, outcome: Outcome) -> None:
        if number is None or not socket.alive:
            return
        try:
            socket.session.send(
                socketio.ACK, socket.namespace.name, number, tuple(outcome.arguments())
            )
        except Malformed as error:
            mark = logs.log_error(log, "a handler returned what JSON cannot carry", error)
            sorry = Outcome(error=f"The server could not answer this (error {mark}).")
            socket.session.send(
                socketio.ACK, socket.namespace.name, number, tuple(sorry.arguments())
            )

    def depart(self, socket: Socket, reason: str) -> None:
        """A socket leaves its namespace."""
        was_ready = socket.ready
        self._forget(socket)
        hook = socket.namespace.handlers.get("disconnect")
        if hook is not None and was_ready:
            self._call(hook, (socket.sid, reason), lambda outcome: None)

    def _forget(self, socket: Socket) -> None:
        assert self.loop is not None
        socket.namespace.forget(socket)
        socket.session.remove(socket, self.loop.time())

    def _call(
        self, handler: Handler, arguments: tuple[Any, ...], done: Callable[[Outcome], None]
    ) -> None:
        assert self.loop is not None
        self._application.call(self.loop, handler, arguments, done)


def check_namespace(namespace: str) -> None:
    """Raises BadSetting."""
    name = namespace if isinstance(namespace, str) else ""
    if _NAMESPACE.fullmatch(name) is None or len(name) > socketio.MOST_NAMESPACE:
        raise BadSetting(
            f"A namespace begins with / and has no comma, like /test; it is {namespace!r}."
        )


def check_registration(event: str, handler: Handler, namespace: str) -> None:
    """Whether such a handler could ever be called. Raises BadSetting."""
    check_namespace(namespace)
    if not isinstance(event, str) or not event:
        raise BadSetting(f"The name of an event is a text; it is {event!r}.")
    taken = socketio.RESERVED - {"connect", "disconnect"}
    if event in taken or (event == "watch" and namespace == "/"):
        raise BadSetting(f"The event {event!r} is the protocol's own; choose another name.")
    if not callable(handler):
        raise BadSetting(f"The handler of {event!r} is no function; it is {handler!r}.")
