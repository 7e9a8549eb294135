"""The records of the store in the memory of one process, as of the newest snapshot that it read."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable

from statecast.access.identity import RecordKey
from statecast.access.records import AccessRecord, RecordKind

KEPT_MS = 24 * 3_600_000
"""For how long what has ended is still known: far longer than the question who somebody is takes,
whose answer is compared with it."""


class AccessDirectory:
    """Used on one thread. It answers as the store does, without waiting."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """``clock`` gives the time in ms."""
        self._clock = clock
        self._records: dict[RecordKey, AccessRecord] = {}
        """Removed ones too, as marks: what was removed is known to be so."""
        self._kinds: set[str] = set()
        self._ends: list[tuple[int, int, AccessRecord]] = []
        """A heap: when to forget, a number that no other has, what."""
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._records)

    def update(self, records: Iterable[AccessRecord], *, reset: bool = False) -> set[RecordKey]:
        """Take over what has changed; with ``reset``, all that there is. Returns whose it is."""
        changed: set[RecordKey] = set()
        if reset:
            changed.update(self._records)
            self._records.clear()
            self._ends.clear()
        for record in records:
            key = (record.kind, record.id)
            changed.add(key)
            self._records[key] = record
            self._kinds.add(record.kind)
            if (end := self._end_of(record)) is not None:
                heapq.heappush(self._ends, (end + KEPT_MS, next(self._numbers), record))
        self._forget()
        return changed

    def _end_of(self, record: AccessRecord) -> int | None:
        """When a record is at its end: as it was removed, or as a session expires."""
        if record.body is None:
            return self._clock()
        expires_at = record.body.get("expires_at") if record.kind == "session" else None
        return expires_at if isinstance(expires_at, int) else None

    def _forget(self) -> None:
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            _, _, record = heapq.heappop(self._ends)
            key = (record.kind, record.id)
            if self._records.get(key) is record:
                del self._records[key]

    def access_record(self, kind: RecordKind, id_: str, /) -> AccessRecord | None:
        return self._records.get((kind, id_))

    def change_of(self, key: RecordKey) -> int:
        """The newest change of a record that is known here; 0: none is."""
        record = self._records.get(key)
        return 0 if record is None else record.change

    def holds(self, kind: RecordKind) -> bool:
        """Whether there is, or ever was since the start, a record of a kind."""
        return kind in self._kinds
