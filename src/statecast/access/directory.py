"""The records of the store in the memory of one process, as of the newest snapshot that it read."""

from __future__ import annotations

from collections.abc import Iterable

from statecast.access.identity import RecordKey
from statecast.access.records import AccessRecord, RecordKind


class AccessDirectory:
    """Used on one thread. It answers as the store does, without waiting."""

    def __init__(self) -> None:
        self._records: dict[RecordKey, AccessRecord] = {}
        """Removed ones too, as marks: what was removed is known to be so."""
        self._kinds: set[str] = set()

    def update(self, records: Iterable[AccessRecord], *, reset: bool = False) -> set[RecordKey]:
        """Take over what has changed; with ``reset``, all that there is. Returns whose it is."""
        changed: set[RecordKey] = set()
        if reset:
            changed.update(self._records)
            self._records.clear()
        for record in records:
            key = (record.kind, record.id)
            changed.add(key)
            self._records[key] = record
            self._kinds.add(record.kind)
        return changed

    def access_record(self, kind: RecordKind, id_: str, /) -> AccessRecord | None:
        return self._records.get((kind, id_))

    def change_of(self, key: RecordKey) -> int:
        """The newest change of a record that is known here; 0: none is."""
        record = self._records.get(key)
        return 0 if record is None else record.change

    def holds(self, kind: RecordKind) -> bool:
        """Whether there is, or ever was since the start, a record of a kind."""
        return kind in self._kinds
