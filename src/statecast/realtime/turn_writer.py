"""Writes what one turn of the event loop has for connections: one write to each of them.

A connection keeps its frames of the turn (``WebSocketConnection.put``) until the turn is over.
Messages for a whole group are kept once for all of it, and written by one bare loop.

Rule 1: each connection gets everything in the order in which it came here. The groups that wait
are of one lane, so they have no connection in common, and no connection has frames of its own.
Rule 2: what comes out of that order ends it: a frame for one connection lets the groups be written
before it, a message of another lane passes what waits to each connection. From then on, until the
turn is over, every connection keeps its own frames.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Protocol

from statecast.broadcast.outgoing_message import OutgoingMessage

log = logging.getLogger(__name__)

TURN_BYTES = 65_536
"""Frames of one turn that wait for its end; more are written at once."""


class TurnConnection(Protocol):
    """What the writer needs of a connection."""

    @property
    def transport(self) -> asyncio.WriteTransport: ...

    def put(self, frame: bytes) -> None:
        """Keep a frame until ``flush``."""

    def flush(self) -> None:
        """Write the frames that were kept."""


class ConnectionGroup:
    """Connections that are written to together, and the frames of this turn for all of them."""

    __slots__ = ("connections", "frames", "size", "transports")

    def __init__(self, connections: Collection[TurnConnection]) -> None:
        self.connections = connections
        self.transports = [connection.transport for connection in connections]
        self.frames: list[bytes] = []
        self.size = 0
        """Bytes of the frames."""

    def take(self) -> bytes:
        frames, self.frames, self.size = self.frames, [], 0
        return frames[0] if len(frames) == 1 else b"".join(frames)


class TurnWriter:
    """The writer of all connections with the same encoding."""

    def __init__(
        self,
        encode: Callable[[OutgoingMessage], bytes],
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        """``call_soon`` is the loop's."""
        self.encode = encode
        self._call_soon = call_soon
        self._scheduled = False
        """``end_turn`` will be called."""
        self._groups: list[ConnectionGroup] = []
        """With frames."""
        self._lane: object = None
        """Of these groups."""
        self._apart = False
        """Each connection keeps its own frames until the turn is over."""
        self._connections: list[TurnConnection] = []
        """With frames of their own."""

    def group(self, outlets: Collection[TurnConnection]) -> ConnectionGroup:
        return ConnectionGroup(outlets)

    def write(self, group: ConnectionGroup, message: OutgoingMessage, lane: object) -> None:
        frame = self.encode(message)
        if self._groups and lane is not self._lane:
            self._pass_on()
        if self._apart:
            for connection in group.connections:
                connection.put(frame)
            return
        if not group.frames:
            self._flush_connections()
            self._lane = lane
            self._groups.append(group)
            if not self._scheduled:
                self._schedule()
        group.frames.append(frame)
        group.size += len(frame)
        if group.size > TURN_BYTES:
            self._write_groups()

    def put_first(self, connection: TurnConnection) -> None:
        """A connection is to keep its first frame."""
        if self._groups:
            self._write_groups()
            self._apart = True
        self._connections.append(connection)
        if not self._scheduled:
            self._schedule()

    def end_turn(self) -> None:
        self._scheduled = self._apart = False
        self._write_groups()
        self._flush_connections()

    def _schedule(self) -> None:
        self._scheduled = True
        self._call_soon(self.end_turn)

    def _write_groups(self) -> None:
        groups, self._groups = self._groups, []
        for group in groups:
            write_to_all(group.transports, group.take())

    def _pass_on(self) -> None:
        """Let each connection keep the frames of its group."""
        groups, self._groups = self._groups, []
        self._apart = True
        for group in groups:
            data = group.take()
            for connection in group.connections:
                connection.put(data)

    def _flush_connections(self) -> None:
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.flush()


def write_to_all(transports: Collection[asyncio.WriteTransport], data: bytes) -> None:
    """Write to each of them. A connection may have been lost in this turn of the loop.

    A transport of uvloop then raises RuntimeError. Asking each one before would cost more.
    """
    for transport in transports:
        try:
            transport.write(data)
        except RuntimeError:
            if not transport.is_closing():
                log.exception("a viewer could not be written to")
