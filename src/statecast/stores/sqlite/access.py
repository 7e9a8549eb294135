"""Users, keys, share links and sessions; and the audit."""

from __future__ import annotations

import apsw

from statecast import strict_json
from statecast.access.records import EVERYDAY, AccessRecord, AuditEntry, RecordKind
from statecast.stores.access_change import AccessChange
from statecast.stores.access_row import record_of
from statecast.stores.counters import Counters
from statecast.stores.retention import SESSION_MS
from statecast.stores.sqlite.driver import rows
from statecast.stores.sqlite.row_reader import RowReader
from statecast.stores.sqlite.tables import sealed, table

ACCESS, AUDIT = table("access"), table("audit")
EXPIRED = "DELETE FROM access WHERE kind = 'session' AND expires_at < ?"
OLD_MARKS = """
    DELETE FROM access WHERE kind IN ('key', 'share', 'user') AND body IS NULL AND expires_at < ?"""
# They name the actions as the indexes of schema.py do, else these were not used.
DEEDS = f"action IN {EVERYDAY}"
OLD_DEEDS = f"DELETE FROM audit WHERE {DEEDS} AND number <= ?"  # noqa: S608
ALL_RIGHTS = f"SELECT number FROM audit WHERE NOT {DEEDS}"  # noqa: S608
SURPLUS = f"{ALL_RIGHTS} ORDER BY number DESC LIMIT 1 OFFSET ?"
OLD_RIGHTS = f"DELETE FROM audit WHERE NOT {DEEDS} AND number <= ({SURPLUS})"  # noqa: S608


def one(
    connection: apsw.Connection, reader: RowReader, kind: RecordKind, id_: str
) -> AccessRecord | None:
    """A record, also a removed one. A damaged row is as none: it allows nothing."""
    found = reader.rows(connection, ACCESS, "WHERE kind = ? AND id = ?", (kind, id_))
    return record_of(found[0]) if found else None


def all_of(
    connection: apsw.Connection, reader: RowReader, kind: RecordKind | None
) -> list[AccessRecord]:
    """Those that exist, of one kind or of all."""
    rest = "WHERE body IS NOT NULL AND (kind = ?1 OR ?1 IS NULL) ORDER BY kind, id"
    return [record_of(row) for row in reader.rows(connection, ACCESS, rest, (kind,))]


def changed_after(
    connection: apsw.Connection, reader: RowReader, counters: Counters, change: int
) -> list[AccessRecord]:
    """What changed after this change: all there is if the store was set back."""
    if change in (-1, counters.access):
        return []
    since = change if change < counters.access else 0
    rest = "WHERE change > ? ORDER BY change"
    return [record_of(row) for row in reader.rows(connection, ACCESS, rest, (since,))]


def put(
    connection: apsw.Connection, reader: RowReader, counters: Counters, new: AccessChange, now: int
) -> AccessRecord:
    """Write or remove a record. Raises Conflict."""
    before = one(connection, reader, new.kind, new.id)
    new.check(before)
    counters.access += 1
    expires_at = new.expires_at(before, now)
    body = None if new.body is None else strict_json.encode(dict(new.body)).decode()
    row = (new.kind, new.id, counters.access, body, expires_at)
    rows(connection, ACCESS.replace, sealed(row))
    reader.clear(ACCESS, (new.kind, new.id))
    rows(connection, EXPIRED, (now - SESSION_MS,))
    rows(connection, OLD_MARKS, (now,))
    return record_of(row)


def note(
    connection: apsw.Connection, counters: Counters, entry: AuditEntry | None, now: int, most: int
) -> None:
    """Write an entry of the audit, if there is one."""
    if entry is None:
        return
    counters.audit += 1
    row = (counters.audit, now, entry.by, entry.action, entry.target, entry.detail)
    rows(connection, AUDIT.replace, sealed(row))
    if entry.action in EVERYDAY:
        rows(connection, OLD_DEEDS, (counters.audit - most,))
    else:
        rows(connection, OLD_RIGHTS, (most,))


def audit_rows(
    connection: apsw.Connection,
    reader: RowReader,
    before: int | None,
    limit: int,
    by: str | None,
) -> list[AuditEntry]:
    rest = "WHERE number < ?1 AND (by = ?3 OR ?3 IS NULL) ORDER BY number DESC LIMIT ?2"
    bound = 2**62 if before is None else before
    found = reader.rows(connection, AUDIT, rest, (bound, limit, by))
    return [
        AuditEntry(by, action, target, detail, at, number)
        for number, at, by, action, target, detail, _ in found
    ]


def forget_mark(connection: apsw.Connection, kind: RecordKind, id_: str) -> None:
    """Delete the mark of a removed record, which has its name. Processes have read it by then."""
    rows(
        connection,
        "DELETE FROM access WHERE kind = ? AND id = ? AND body IS NULL",
        (kind, id_),
    )
