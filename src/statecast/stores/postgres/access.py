"""Users, keys, share links and sessions; and the audit.

Rule: a transaction that writes here holds the row of the counters, so writers come one by one.
"""

from __future__ import annotations

from statecast import strict_json
from statecast.access.records import EVERYDAY, AccessRecord, AuditEntry, RecordKind
from statecast.stores.access_change import AccessChange
from statecast.stores.access_row import record_of
from statecast.stores.counters import Counters
from statecast.stores.postgres.driver import Connection
from statecast.stores.retention import SESSION_MS

SELECT = "SELECT kind, id, change, body FROM access"
PUT = """
    INSERT INTO access (kind, id, change, body, expires_at) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (kind, id) DO UPDATE SET
        change = excluded.change, body = excluded.body, expires_at = excluded.expires_at"""
EXPIRED = "DELETE FROM access WHERE kind = 'session' AND expires_at < %s"
OLD_MARKS = """
    DELETE FROM access
    WHERE kind IN ('key', 'share', 'user') AND body IS NULL AND expires_at < %s"""
NOTE = """
    INSERT INTO audit (number, at, by, action, target, detail) VALUES (%s, %s, %s, %s, %s, %s)"""
# They name the actions as the indexes of schema.py do, else these were not used.
DEEDS = f"action IN {EVERYDAY}"
OLD_DEEDS = f"DELETE FROM audit WHERE {DEEDS} AND number <= %s"
ALL_RIGHTS = f"SELECT number FROM audit WHERE NOT {DEEDS}"
SURPLUS = f"{ALL_RIGHTS} ORDER BY number DESC LIMIT 1 OFFSET %s"
OLD_RIGHTS = f"DELETE FROM audit WHERE NOT {DEEDS} AND number <= ({SURPLUS})"
AUDIT = """
    SELECT by, action, target, detail, at, number FROM audit
    WHERE number < %(before)s AND (by = %(by)s OR %(by)s::text IS NULL)
    ORDER BY number DESC LIMIT %(limit)s"""


def one(connection: Connection, kind: RecordKind, id_: str) -> AccessRecord | None:
    """A record, also a removed one."""
    found = connection.execute(f"{SELECT} WHERE kind = %s AND id = %s", (kind, id_)).fetchone()
    return record_of(found) if found else None


def all_of(connection: Connection, kind: RecordKind | None) -> list[AccessRecord]:
    """Those that exist, of one kind or of all."""
    rest = "WHERE body IS NOT NULL AND (kind = %(kind)s OR %(kind)s::text IS NULL)"
    found = connection.execute(f"{SELECT} {rest} ORDER BY kind, id", {"kind": kind})
    return [record_of(row) for row in found]


def changed_after(connection: Connection, counters: Counters, change: int) -> list[AccessRecord]:
    """What changed after this change: all there is if the store was set back."""
    if change in (-1, counters.access):
        return []
    since = change if change < counters.access else 0
    found = connection.execute(f"{SELECT} WHERE change > %s ORDER BY change", (since,))
    return [record_of(row) for row in found]


def put(connection: Connection, counters: Counters, new: AccessChange, now: int) -> AccessRecord:
    """Write or remove a record. Raises Conflict."""
    before = one(connection, new.kind, new.id)
    new.check(before)
    counters.access += 1
    expires_at = new.expires_at(before, now)
    body = None if new.body is None else strict_json.encode(dict(new.body)).decode()
    row = (new.kind, new.id, counters.access, body, expires_at)
    connection.execute(PUT, row)
    connection.execute(EXPIRED, (now - SESSION_MS,))
    connection.execute(OLD_MARKS, (now,))
    return record_of(row)


def note(
    connection: Connection, counters: Counters, entry: AuditEntry | None, now: int, most: int
) -> None:
    """Write an entry of the audit, if there is one."""
    if entry is None:
        return
    counters.audit += 1
    values = (counters.audit, now, entry.by, entry.action, entry.target, entry.detail)
    connection.execute(NOTE, values)
    if entry.action in EVERYDAY:
        connection.execute(OLD_DEEDS, (counters.audit - most,))
    else:
        connection.execute(OLD_RIGHTS, (most,))


def audit_rows(
    connection: Connection, before: int | None, limit: int, by: str | None
) -> list[AuditEntry]:
    bound = 2**62 if before is None else before
    found = connection.execute(AUDIT, {"before": bound, "limit": limit, "by": by})
    return [AuditEntry(*row) for row in found]


def forget_mark(connection: Connection, kind: RecordKind, id_: str) -> None:
    """Delete the mark of a removed record, which has its name. Processes have read it by then."""
    connection.execute(
        "DELETE FROM access WHERE kind = %s AND id = %s AND body IS NULL", (kind, id_)
    )
