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


class PollingMemory:
    """The memory of the packets of all sessions.

    An event for many sessions is one object, which counts once.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size = 0
        """Bytes that are held now."""
        self._queues: dict[int, int] = {}
        """In how many queues a packet waits, by its identity: a queue keeps it alive."""

    @property
    def is_full(self) -> bool:
        return self.size > self.max_bytes

    def add(self, packet: bytes) -> None:
        queues = self._queues.get(id(packet), 0)
        self._queues[id(packet)] = queues + 1
        self.size += OVERHEAD if queues else OVERHEAD + len(packet)

    def remove(self, packet: bytes) -> None:
        queues = self._queues.pop(id(packet)) - 1
        if queues:
            self._queues[id(packet)] = queues
        self.size -= OVERHEAD if queues else OVERHEAD + len(packet)

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
        self._packets: deque[bytes] = deque()
        self.size = 0
        """Bytes of the packets."""

    def __bool__(self) -> bool:
        return bool(self._packets)

    def put(self, packet: bytes) -> None:
        self._packets.append(packet)
        self.size += len(packet)
        self._memory.add(packet)

    def take(self, most: int = engineio.MAX_PACKETS_OUT) -> list[bytes]:
        """The oldest packets, which wait no more."""
        packets = [self._packets.popleft() for _ in range(min(most, len(self._packets)))]
        for packet in packets:
            self.size -= len(packet)
            self._memory.remove(packet)
        return packets

    def take_all(self) -> list[bytes]:
        return self.take(len(self._packets))
