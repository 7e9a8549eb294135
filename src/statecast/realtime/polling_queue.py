"""What waits between two GETs of long polling: packets, with a bound for each session and for all.

A client that fetches is no slow client: what an application emits meanwhile must find room. So a
session may hold far more than the transport of a WebSocket, as long as all sessions together hold
less than their bound. Beyond it each may hold as much as a WebSocket's transport.
"""

from __future__ import annotations

from collections import deque

from statecast.realtime.protocol import engineio

OVERHEAD = 64
"""Bytes of memory that a waiting packet costs besides its own."""


class WaitingPacket:
    """A packet that waits in one or several queues."""

    __slots__ = ("compressed", "packet", "queues")

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.compressed: bytes | None = None
        """The same for a gzip stream; None: it goes as it is."""
        self.queues = 0
        """In how many of them it waits."""

    @property
    def size(self) -> int:
        return len(self.packet) + (0 if self.compressed is None else len(self.compressed))


class PollingMemory:
    """The memory of the packets of all sessions.

    An event for many sessions is one object, which counts once.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size = 0
        """Bytes that are held now."""
        self._waiting: dict[int, WaitingPacket] = {}
        """By the identity of the packet, which is alive while it waits."""

    @property
    def is_full(self) -> bool:
        return self.size > self.max_bytes

    def add(self, packet: bytes, compressed: bytes | None = None) -> WaitingPacket:
        """A packet waits in one more queue."""
        waiting = self._waiting.get(id(packet))
        if waiting is None:
            waiting = self._waiting[id(packet)] = WaitingPacket(packet)
            self.size += len(packet)
        if compressed is not None and waiting.compressed is None:
            waiting.compressed = compressed  # a session that takes no gzip may have come before
            self.size += len(compressed)
        waiting.queues += 1
        self.size += OVERHEAD
        return waiting

    def remove(self, waiting: WaitingPacket) -> None:
        waiting.queues -= 1
        self.size -= OVERHEAD
        if not waiting.queues:
            self.size -= waiting.size
            del self._waiting[id(waiting.packet)]

    def reserve(self, size: int) -> None:
        """Count bytes that a WebSocket has taken over and its client has not read."""
        self.size += size

    def release(self, size: int) -> None:
        self.size -= size


class PollingQueue:
    """The packets of one session."""

    __slots__ = ("_memory", "_packets", "size")

    def __init__(self, memory: PollingMemory) -> None:
        self._memory = memory
        self._packets: deque[WaitingPacket] = deque()
        self.size = 0
        """Bytes of the packets, before they were compressed."""

    def __bool__(self) -> bool:
        return bool(self._packets)

    def put(self, packet: bytes, compressed: bytes | None = None) -> None:
        self._packets.append(self._memory.add(packet, compressed))
        self.size += len(packet)

    def take(self, most: int = engineio.MAX_PACKETS_OUT) -> list[WaitingPacket]:
        """The oldest packets, which wait no more."""
        taken = [self._packets.popleft() for _ in range(min(most, len(self._packets)))]
        for waiting in taken:
            self.size -= len(waiting.packet)
            self._memory.remove(waiting)
        return taken

    def take_all(self) -> list[WaitingPacket]:
        return self.take(len(self._packets))
