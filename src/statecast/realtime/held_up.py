"""The bytes of clients that send too fast: read already, and waiting for their rate."""

from __future__ import annotations

from collections.abc import Hashable


class HeldUp:
    """How many there are in all. The bound protects the memory from many such clients at once."""

    def __init__(self, max_bytes: int = 64 * 1_048_576) -> None:
        self.max_bytes = max_bytes
        self.total = 0
        self._by_connection: dict[Hashable, int] = {}

    def add(self, connection: Hashable, size: int) -> bool:
        """Count the bytes of a connection; False, and not counted, when they are too many."""
        self.remove(connection)
        if self.total + size > self.max_bytes:
            return False
        self._by_connection[connection] = size
        self.total += size
        return True

    def remove(self, connection: Hashable) -> None:
        """The connection is read further, or has ended."""
        self.total -= self._by_connection.pop(connection, 0)
