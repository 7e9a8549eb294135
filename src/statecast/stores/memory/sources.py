"""What the store keeps per source, and the lease of each."""

from __future__ import annotations

import dataclasses
import threading
import time

from statecast.stores.memory.dedup import KnownIds


@dataclasses.dataclass(slots=True)
class SourceRecord:
    """What the store keeps per source."""

    term: int = 0
    leased: bool = False
    progress_at: float = 0.0
    """When the holder of the lease noted progress, by ``time.monotonic``."""
    ids: KnownIds = dataclasses.field(default_factory=KnownIds)


class MemoryLease:
    """The lease of one source, among the threads of this process."""

    def __init__(self, source: SourceRecord, lock: threading.RLock) -> None:
        self.term = source.term
        self._source = source
        self._lock = lock
        self._released = False
        self.note_progress()

    def note_progress(self) -> None:
        self._source.progress_at = time.monotonic()

    def release(self) -> None:
        with self._lock:
            if not self._released:
                self._released = True
                self._source.leased = False
