"""The part of the store about who may do what, who did what, and what is forgotten."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from statecast.access.records import AccessRecord, AuditEntry, Guard, RecordKind
from statecast.model import Cause
from statecast.stores.access_change import AccessChange
from statecast.stores.forgotten_names import renamed_senders
from statecast.stores.memory.part import MemoryPart
from statecast.stores.retention import FORGET_AT_ONCE


class MemoryAccessStore(MemoryPart):
    """See ``contract.Store``."""

    def access_record(self, kind: RecordKind, id_: str) -> AccessRecord | None:
        """A user, key, share link or session; None if there never was one."""
        with self._lock:
            return self._access.one(kind, id_)

    def access_records(self, kind: RecordKind | None = None) -> list[AccessRecord]:
        """All that exist, of one kind or of every kind, by kind and id."""
        with self._lock:
            return self._access.all_of(kind)

    def put_access(
        self,
        kind: RecordKind,
        id_: str,
        body: Mapping[str, Any] | None,
        *,
        expected: int | None = None,
        guard: Guard | None = None,
        audit: AuditEntry | None = None,
    ) -> AccessRecord:
        """Write or, without a body, remove a record. Raises Conflict."""
        with self._lock:
            now = self._watch.check(self._counters)
            if guard is not None:
                guard(self._access.all_of(kind))
            record = self._access.put(self._counters, AccessChange(kind, id_, body, expected), now)
            self._access.note(audit, now)
        self._notifier.notify()
        return record

    def note(self, audit: AuditEntry) -> None:
        """Write down who did what."""
        with self._lock:
            self._access.note(audit, self._watch.check(self._counters))

    def audit_rows(
        self, *, before: int | None = None, limit: int = 100, by: str | None = None
    ) -> list[AuditEntry]:
        """Entries with numbers below ``before``, newest first, of one sender or of all."""
        with self._lock:
            return self._access.audit_rows(before, limit, by)

    def forget_device(self, device: str, most: int = FORGET_AT_ONCE) -> int:
        """Delete everything about a device but the mark of its removal; how many rows."""
        with self._lock:
            gone = self._history.forget_device(device, self._counters)
            gone += self._commands.forget_device(device)
            gone += self._known_events.forget_device(device)
            gone += self._quarantine.forget_device(device)
            for reaction in self._reactions.values():
                gone += reaction.last.pop(device, None) is not None
            return gone + self._access.forget_device(device)

    def forget_person(self, name: str, most: int = FORGET_AT_ONCE) -> int:
        """Leave out the name of a person; in how many rows."""
        senders = renamed_senders(name)

        def without(cause: Cause) -> Cause:
            sender = senders.get(cause.sender)
            return cause if sender is None else dataclasses.replace(cause, sender=sender)

        with self._lock:
            changed = self._history.replace_causes(without)
            for one in self._devices.values():
                before, one.cause = one.cause, without(one.cause)
                changed += one.cause is not before
            changed += self._commands.forget_person(name, senders)
            changed += self._access.forget_person(name, senders)
            return changed + self._quarantine.forget_person(senders)

    def scrub(self) -> bool:
        """Nothing to do: nothing is on a disk."""
        return True
