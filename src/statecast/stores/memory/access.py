"""Users, keys, share links and sessions; and the audit."""

from __future__ import annotations

import dataclasses
import heapq
from collections import deque
from collections.abc import Callable, Mapping

from statecast import strict_json
from statecast.access.records import EVERYDAY, AccessRecord, AuditEntry, RecordKind
from statecast.stores.access_change import AccessChange
from statecast.stores.counters import Counters
from statecast.stores.forgotten_names import FORGOTTEN, without_name
from statecast.stores.retention import SESSION_MS


class MemoryAccess:
    """The caller has the lock of the store."""

    def __init__(self, audit_rows: int) -> None:
        self._records: dict[tuple[str, str], tuple[AccessRecord, int | None]] = {}
        """By kind and id, each with the time from which it may be forgotten."""
        self._audit = {everyday: deque[AuditEntry](maxlen=audit_rows) for everyday in (True, False)}
        """Those of everyday actions, and those about rights."""
        self._audit_number = 0

    def one(self, kind: RecordKind, id_: str) -> AccessRecord | None:
        """A record, also a removed one."""
        found = self._records.get((kind, id_))
        return None if found is None else found[0]

    def all_of(self, kind: RecordKind | None) -> list[AccessRecord]:
        """Those that exist, of one kind or of all."""
        return [
            record
            for _, (record, _) in sorted(self._records.items())
            if record.body is not None and kind in (None, record.kind)
        ]

    def changed_after(self, change: int) -> list[AccessRecord]:
        """What changed after this change, by ascending change."""
        if change < 0:
            return []
        found = [record for record, _ in self._records.values() if record.change > change]
        return sorted(found, key=lambda record: record.change)

    def put(self, counters: Counters, new: AccessChange, now: int) -> AccessRecord:
        """Write or remove a record. Raises Conflict."""
        before = self.one(new.kind, new.id)
        new.check(before)
        counters.access += 1
        body = None if new.body is None else strict_json.decode(strict_json.encode(dict(new.body)))
        record = AccessRecord(new.kind, new.id, body, counters.access)
        self._records[new.kind, new.id] = record, new.expires_at(before, now)
        self._forget_expired(now)
        return record

    def _forget_expired(self, now: int) -> None:
        for place, (record, expires_at) in list(self._records.items()):
            is_session = record.kind == "session"
            may_go = is_session or record.body is None
            since = now - SESSION_MS if is_session else now
            if may_go and expires_at is not None and expires_at < since:
                del self._records[place]

    def forget_device(self, name: str) -> int:
        """Leave out the name of a device in the audit; in how many entries."""

        def without(entry: AuditEntry) -> AuditEntry:
            target = FORGOTTEN if entry.target == name else entry.target
            detail = without_name(entry.detail, name)
            return dataclasses.replace(entry, target=target, detail=detail)

        return self._replace(without)

    def forget_person(self, name: str, senders: Mapping[str, str]) -> int:
        """Leave out a name in the audit; delete the mark of a removed user of that name."""
        found = self._records.get(("user", name))
        if found is not None and found[0].body is None:
            del self._records["user", name]
        targets = {name: FORGOTTEN, **senders}

        def without(entry: AuditEntry) -> AuditEntry:
            by, target = senders.get(entry.by), targets.get(entry.target)
            return dataclasses.replace(entry, by=by or entry.by, target=target or entry.target)

        return self._replace(without)

    def _replace(self, change: Callable[[AuditEntry], AuditEntry]) -> int:
        changed = 0
        for kept in self._audit.values():
            before = list(kept)
            kept.clear()
            kept.extend(map(change, before))
            changed += sum(new != old for new, old in zip(kept, before, strict=True))
        return changed

    def note(self, entry: AuditEntry | None, now: int) -> None:
        """Write an entry of the audit, if there is one."""
        if entry is None:
            return
        self._audit_number += 1
        kept = self._audit[entry.action in EVERYDAY]
        kept.append(dataclasses.replace(entry, at=now, number=self._audit_number))

    def audit_rows(self, before: int | None, limit: int, by: str | None) -> list[AuditEntry]:
        """Entries below a number, newest first."""
        found = [
            entry
            for entry in heapq.merge(*map(reversed, self._audit.values()), key=_newest_first)
            if (before is None or entry.number < before) and by in (None, entry.by)
        ]
        return found[:limit]


def _newest_first(entry: AuditEntry) -> int:
    return -entry.number
