"""A queue in the memory of this process, for tests. It behaves like the embedded queue."""

from __future__ import annotations

from collections.abc import Callable

from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.limits import Limits
from statecast.stores.memory.store import MemoryStore
from statecast.timestamps import now


class MemorySource(EmbeddedQueue):
    """A queue with a store of its own. Its messages are lost when the object is dropped."""

    def __init__(
        self,
        name: str = "memory",
        *,
        visibility_timeout: float = 30.0,
        clock: Callable[[], int] = now,
        limits: Limits | None = None,
    ) -> None:
        self._store = MemoryStore(limits or Limits(), clock)
        super().__init__(self._store, name, visibility_timeout=visibility_timeout)

    def consumer(self, visibility_timeout: float) -> EmbeddedQueue:
        """Another consumer of the same queue."""
        return EmbeddedQueue(self._store, self.name, visibility_timeout=visibility_timeout)
