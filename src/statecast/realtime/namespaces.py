"""The namespaces of this process: who may join them, and what the application's handlers do.

Used on the loop's thread only, but for ``open``, ``on`` and ``find``.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

from statecast import logs
from statecast.errors import BadSetting, Malformed
from statecast.realtime.dropped_events import BUSY_HANDLERS, DroppedEvents
from statecast.realtime.handlers import BUSY, Handler, HandlerResult, HandlerRunner
from statecast.realtime.loop_calls import LoopCalls
from statecast.realtime.protocol import socketio
from statecast.realtime.rooms import CountRoom, Namespace, Socket
from statecast.realtime.session import EventReceived

ANY = "*"
"""The event of the handler for those that have none of their own, which gets their name first; and
the namespace of handlers for any namespace that has none of its own."""
_NAME = re.compile(r"/[^,\x00-\x1f]*")

log = logging.getLogger(__name__)


class Namespaces:
    """By name: "/", those of the setting ``namespaces``, and those with handlers."""

    def __init__(
        self,
        names: Iterable[str],
        *,
        threads: int,
        max_pending_bytes: int,
        clock: Callable[[], float],
        calls: LoopCalls,
        dropped: DroppedEvents,
        count: CountRoom,
        inline: bool = False,
    ) -> None:
        """``max_pending_bytes``: of a viewer's messages that wait for handlers.

        ``count`` is told of each viewer that enters or leaves a room.
        """
        self._count = count
        self._by_name: dict[str, Namespace] = {}
        self._lasting: list[Namespace] = []
        """Those that were opened by name: few."""
        self._borrowed: dict[str, Socket] = {}
        """The sockets in all the others, by their sids."""
        self.own: dict[str, Handler] = {}
        """Our handlers in "/", of events for which the application has no handler by name."""
        self._runner = HandlerRunner(threads, calls, inline=inline)
        self._dropped = dropped
        self._max_pending_bytes = max_pending_bytes
        self._clock = clock
        for name in ("/", *names):
            self.open(name)

    def close(self) -> None:
        """Let the threads of handlers end after what they have to do."""
        self._runner.close()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._runner.start(loop)

    # What the application registers

    def open(self, name: str) -> Namespace:
        """Let viewers join this namespace; ``*``: every one. Raises BadSetting."""
        if name != ANY:
            check_namespace(name)
        known = self._by_name.get(name)
        if known is None:
            known = self._by_name[name] = Namespace(name, count=self._count)
            self._lasting.append(known)
        elif known.borrowed:
            self._lasting.append(known)
            known.keep()
            for sid in tuple(known.sockets):
                self._borrowed.pop(sid, None)
        return known

    def on(self, event: str, handler: Handler, namespace: str) -> None:
        check_registration(event, handler, namespace)
        handlers = self.open(namespace).handlers
        if event in handlers:
            raise BadSetting(
                f"The event {event!r} of {namespace} has a handler already; an event has one."
            )
        handlers[event] = handler

    @property
    def takes_any(self) -> bool:
        """There are handlers for any namespace."""
        return ANY in self._by_name

    def get(self, name: str) -> Namespace | None:
        return self._by_name.get(name)

    def join(self, name: str) -> Namespace | None:
        """The namespace that a viewer asks for; None if it may not join it.

        With handlers for any namespace, it may join every one. Such a namespace lasts while it has
        viewers.
        """
        known = self._by_name.get(name)
        if known is None and ANY in self._by_name and _NAME.fullmatch(name):
            known = self._by_name[name] = Namespace(name, self._by_name[ANY].handlers, self._count)
        return None if name == ANY else known

    def find(self, sid: str) -> Socket | None:
        for namespace in tuple(self._lasting):  # another thread may open one
            socket = namespace.sockets.get(sid)
            if socket is not None:
                return socket
        return self._borrowed.get(sid)

    # What the viewers do

    def connect(self, socket: Socket, auth: Any) -> None:
        """Take a new socket in, once the connect handler accepts it."""
        namespace = socket.namespace
        namespace.add(socket)
        if namespace.borrowed:
            self._borrowed[socket.sid] = socket
        handler, ending = map(namespace.handlers.get, ("connect", "disconnect"))
        if ending is not None and self._runner.is_busy(ending):
            # Its disconnect handler would be called whatever waits: a client that comes and goes
            # again and again must not fill the memory with such calls.
            socket.early = []
            self._decide(socket, BUSY)
            return
        if handler is None:
            socket.viewer.transport.send(socketio.connected(namespace.name, socket.sid))
            return
        socket.early = []
        self._runner.call(
            handler, (socket.sid, auth or {}), lambda result: self._decide(socket, result)
        )

    def _decide(self, socket: Socket, result: HandlerResult) -> None:
        assert socket.early is not None
        refused = result.error is not None or result.value is False
        early, name, transport = socket.early, socket.namespace.name, socket.viewer.transport
        if not socket.alive:  # it has left meanwhile; see ``disconnect``
            for call in early if not refused else ():
                call()
            return
        if refused:
            self._remove(socket)
            sentence = result.error or "The connection was refused."
            transport.send(socketio.refused(name, sentence, result.data))
            return
        socket.early = None
        socket.namespace.forget_groups()
        transport.send(socketio.connected(name, socket.sid))
        for call in early:
            call()

    def disconnect(self, socket: Socket, reason: str) -> None:
        """The socket leaves its namespace.

        The disconnect handler is called for each socket that the connect handler accepts, and
        after it: also for one that leaves while that one still decides.
        """
        self._remove(socket)
        handler = socket.namespace.handlers.get("disconnect")

        def tell() -> None:
            if handler is not None:
                # As many as there are sockets. The application forgets the viewer in it.
                self._runner.call(
                    handler, (socket.sid, reason), lambda result: None, never_busy=True
                )

        if socket.ready:
            tell()
        else:
            socket.early = [tell]

    def _remove(self, socket: Socket) -> None:
        namespace = socket.namespace
        namespace.remove(socket)
        if namespace.borrowed:
            self._borrowed.pop(socket.sid, None)
            if not namespace.sockets:
                self._by_name.pop(namespace.name, None)
        socket.viewer.forget(socket, self._clock())

    def dispatch(self, event: EventReceived) -> None:
        """Call the event's handler, and acknowledge the event with what it returns.

        It is refused while the viewer's pending messages are larger than one message may be.
        """
        socket, viewer, size = event.socket, event.socket.viewer, event.size
        arguments = (socket.sid, *event.arguments)
        handler = None if event.name == ANY else socket.namespace.handlers.get(event.name)
        if handler is None and socket.namespace.name == "/":
            handler = self.own.get(event.name)
        if handler is None:
            handler, arguments = socket.namespace.handlers.get(ANY), (event.name, *arguments)
        if handler is None:
            error = HandlerResult(error="No handler is registered for this event.")
            self._acknowledge(socket, event.number, error)
            return
        if viewer.pending_bytes and viewer.pending_bytes + size > self._max_pending_bytes:
            self._refuse_busy(socket, event.number)
            return
        viewer.pending_bytes += size

        def done(result: HandlerResult) -> None:
            viewer.pending_bytes -= size
            if result is BUSY:
                self._refuse_busy(socket, event.number)
                return
            self._acknowledge(socket, event.number, result)

        self._runner.call(handler, arguments, done)

    def _refuse_busy(self, socket: Socket, number: int | None) -> None:
        self._dropped.add(socket.namespace.name, 1, BUSY_HANDLERS)
        self._acknowledge(socket, number, BUSY)

    def call_back(self, callback: Handler, arguments: Iterable[Any], namespace: str) -> None:
        """Call the application's function with what a client of ``namespace`` acknowledges."""

        def done(result: HandlerResult) -> None:
            if result is BUSY:
                self._dropped.add(namespace, 1, BUSY_HANDLERS)

        self._runner.call(callback, tuple(arguments), done)

    def _acknowledge(self, socket: Socket, number: int | None, result: HandlerResult) -> None:
        if number is None or not socket.alive:
            return
        name = socket.namespace.name
        try:
            socket.viewer.send(socketio.ACK, name, number, tuple(result.arguments()))
        except Malformed as error:
            mark = logs.log_error(log, "a handler returned what JSON cannot carry", error)
            failed = HandlerResult(error=f"The server could not answer this (error {mark}).")
            socket.viewer.send(socketio.ACK, name, number, tuple(failed.arguments()))


def check_namespace(namespace: str) -> None:
    """Raises BadSetting."""
    if namespace == "/":
        return
    name = namespace if isinstance(namespace, str) else ""
    if _NAME.fullmatch(name) is None or len(name) > socketio.MAX_NAMESPACE:
        raise BadSetting(
            f"A namespace begins with / and has no comma, like /test; it is {namespace!r}."
        )


def check_registration(event: str, handler: Handler, namespace: str) -> None:
    """Refuse a handler that could never be called. Raises BadSetting."""
    if namespace != ANY:
        check_namespace(namespace)
    if not isinstance(event, str) or not event:
        raise BadSetting(f"The name of an event is a text; it is {event!r}.")
    taken = socketio.RESERVED - {"connect", "disconnect"}
    if event in taken or (event == "watch" and namespace == "/"):
        raise BadSetting(f"The event {event!r} is the protocol's own; choose another name.")
    if not callable(handler):
        raise BadSetting(f"The handler of {event!r} is no function; it is {handler!r}.")
