"""The part of the store about rights, the audit, and what is forgotten of devices and people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from statecast.access.records import AccessRecord, AuditEntry, Guard, RecordKind
from statecast.stores.access_change import AccessChange
from statecast.stores.retention import FORGET_AT_ONCE
from statecast.stores.sqlite import access, forget
from statecast.stores.sqlite.part import SqlitePart


class SqliteAccessStore(SqlitePart):
    """See ``contract.Store``."""

    def access_record(self, kind: RecordKind, id_: str) -> AccessRecord | None:
        """A user, key, share link or session; None if there never was one."""
        with self.database.read() as connection:
            return access.one(connection, self.rows, kind, id_)

    def access_records(self, kind: RecordKind | None = None) -> list[AccessRecord]:
        """All that exist, of one kind or of every kind, by kind and id."""
        with self.database.read() as connection:
            return access.all_of(connection, self.rows, kind)

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
        """Write or, without a body, remove a record; durable on return. Raises Conflict."""
        with self._counted() as (connection, counters, now):
            if guard is not None:
                guard(access.all_of(connection, self.rows, kind))
            new = AccessChange(kind, id_, body, expected)
            record = access.put(connection, self.rows, counters, new, now)
            self._note(connection, counters, audit, now)
        return record

    def note(self, audit: AuditEntry) -> None:
        """Write down who did what; durable on return."""
        with self._counted() as (connection, counters, now):
            self._note(connection, counters, audit, now)

    def audit_rows(
        self, *, before: int | None = None, limit: int = 100, by: str | None = None
    ) -> list[AuditEntry]:
        """Entries with numbers below ``before``, newest first, of one sender or of all."""
        with self.database.read() as connection:
            return access.audit_rows(connection, self.rows, before, limit, by)

    def forget_device(self, device: str, most: int = FORGET_AT_ONCE) -> int:
        """Delete up to ``most`` rows of each kind about a device; how many, 0: none is left."""
        with self._counted() as (connection, counters, _):
            return forget.device(connection, self.rows, counters, device, most)

    def forget_person(self, name: str, most: int = FORGET_AT_ONCE) -> int:
        """Replace the name of a person in up to ``most`` rows of each table; how many."""
        with self.database.write() as connection:
            access.forget_mark(connection, "user", name)
            return forget.person(connection, self.rows, name, most)

    def scrub(self) -> bool:
        """Overwrite what was deleted; False: readers kept the log from being emptied for now."""
        return self.database.scrub()
