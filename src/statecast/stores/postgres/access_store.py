"""The part of the store about who may do what, who did what, and what is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from statecast.access.records import AccessRecord, AuditEntry, Guard, RecordKind
from statecast.stores.access_change import AccessChange
from statecast.stores.postgres import access, forget
from statecast.stores.postgres import counters as counter_row
from statecast.stores.postgres.driver import Connection, Cursor
from statecast.stores.postgres.part import StorePart
from statecast.stores.retention import FORGET_AT_ONCE


class AccessStore(StorePart):
    """See ``contract.Store``."""

    def access_record(self, kind: RecordKind, id_: str) -> AccessRecord | None:
        """A user, key, share link or session; None if there never was one."""
        with self.database.read() as connection:
            return access.one(connection, kind, id_)

    def access_records(self, kind: RecordKind | None = None) -> list[AccessRecord]:
        """All that exist, of one kind or of every kind, by kind and id."""
        with self.database.read() as connection:
            return access.all_of(connection, kind)

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
                guard(access.all_of(connection, kind))
            new = AccessChange(kind, id_, body, expected)
            record = access.put(connection, counters, new, now)
            access.note(connection, counters, audit, now, self.limits.audit_rows)
        return record

    def note(self, audit: AuditEntry) -> None:
        """Write down who did what; durable on return."""
        with self._counted() as (connection, counters, now):
            access.note(connection, counters, audit, now, self.limits.audit_rows)

    def audit_rows(
        self, *, before: int | None = None, limit: int = 100, by: str | None = None
    ) -> list[AuditEntry]:
        """Entries with numbers below ``before``, newest first, of one sender or of all."""
        with self.database.read() as connection:
            return access.audit_rows(connection, before, limit, by)

    def forget_device(self, device: str, most: int = FORGET_AT_ONCE) -> int:
        """Delete up to ``most`` rows of each kind about a device; how many, 0: none is left."""
        with self._counted(device=device) as (connection, counters, _):
            return forget.device(connection, counters, device, most)

    def forget_person(self, name: str, most: int = FORGET_AT_ONCE) -> int:
        """Replace the name of a person in up to ``most`` rows of each table; how many."""

        def work(connection: Connection, request: str) -> tuple[int, Cursor]:
            renamed = forget.person(connection, name, most)
            access.forget_mark(connection, "user", name)
            return renamed, counter_row.remember(connection, request)

        return self.database.run_remembered(work)[0]
