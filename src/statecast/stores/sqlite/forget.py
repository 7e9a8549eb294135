"""Forgets a device or a user for good, in batches: what is left names and shows neither.

The caller has removed the device or the user before, so that pages and processes know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw

from statecast.stores.counters import Counters
from statecast.stores.retention import FORGOTTEN
from statecast.stores.sqlite import history
from statecast.stores.sqlite.driver import row as first
from statecast.stores.sqlite.driver import rows
from statecast.stores.sqlite.row_reader import RowReader
from statecast.stores.sqlite.tables import Table, sealed, table

OF_DEVICE = {
    "commands": "SELECT number FROM commands WHERE device = ? LIMIT ?",
    "quarantine": "SELECT number FROM quarantine WHERE device = ? LIMIT ?",
}
"""By table, the keys of a part of what is about a device."""
KEYED = {
    "known_events": "DELETE FROM known_events WHERE device = ? RETURNING 1",
    "reacted": "DELETE FROM reacted WHERE device = ? RETURNING 1",
}


def device(connection: apsw.Connection, counters: Counters, name: str, most: int) -> bool:
    """Delete up to ``most`` rows of a kind that are about a device; whether more are left.

    The row of the device stays as a mark of its removal, without its former state.
    """
    left = False
    for key in rows(connection, "SELECT id FROM devices WHERE device = ?", (name,)):
        left |= not history.forget(connection, counters, "device = ?", key, most)
    gone = {of: _delete(connection, of, which, name, most) for of, which in OF_DEVICE.items()}
    counters.quarantine_rows -= gone["quarantine"]
    keyed = {of: len(rows(connection, sql, (name,))) for of, sql in KEYED.items()}
    counters.known_events -= keyed["known_events"]
    return left or max(gone.values()) == most


def _delete(connection: apsw.Connection, of: str, which: str, name: str, most: int) -> int:
    sql = f"DELETE FROM {of} WHERE number IN ({which}) RETURNING 1"  # noqa: S608
    return len(rows(connection, sql, (name, most)))


def audit_target(connection: apsw.Connection, reader: RowReader, name: str, most: int) -> bool:
    """Leave out the name of a device or user in the audit; whether more are left."""
    return _rename(connection, reader, "audit", {"target": {name: FORGOTTEN}}, most)


def user(connection: apsw.Connection, reader: RowReader, name: str, most: int) -> bool:
    """Leave out the name of a user in up to ``most`` rows of each table; whether more are left."""
    sender = {f"user {name}": f"user {FORGOTTEN}"}
    person = {name: FORGOTTEN, **sender}
    causes = {f"{by} user {name}": f"{by} user {FORGOTTEN}" for by in ("user", "device")}
    cause = {"cause_id": sender, "cause_by": causes}
    changes: dict[str, dict[str, dict[str, str]]] = {
        "history": cause,
        "devices": cause,
        "commands": {"by": person},
        "audit": {"by": sender, "target": person},
        "quarantine": {"sender": sender},
        "queue": {"sender": sender},
    }
    left = [_rename(connection, reader, of, columns, most) for of, columns in changes.items()]
    return any(left)


def _rename(
    connection: apsw.Connection,
    reader: RowReader,
    of: str,
    columns: dict[str, dict[str, str]],
    most: int,
) -> bool:
    one = table(of)
    which = " OR ".join(f'"{name}" IN ({_marks(texts)})' for name, texts in columns.items())
    values = tuple(text for texts in columns.values() for text in texts)
    found = reader.rows(connection, one, f"WHERE {which} LIMIT ?", (*values, most))
    write = _writer(connection, one)
    for row in found:
        named = dict(zip(one.names, row, strict=False))
        named |= {name: texts.get(named[name], named[name]) for name, texts in columns.items()}
        write(tuple(named.values()))
    return len(found) == most


def _writer(connection: apsw.Connection, one: Table) -> Callable[[Sequence[Any]], None]:
    """Writes a row of all columns over the one with its key."""

    def write(row: Sequence[Any]) -> None:
        values = sealed(tuple(row[one.uncovered :]))
        if one.uncovered:
            rows(connection, one.update, (*values, row[0]))
        else:
            rows(connection, one.replace, values)

    return write


def _marks(texts: Sequence[Any] | dict[str, str]) -> str:
    return ", ".join("?" for _ in texts)


def mentions(connection: apsw.Connection, name: str) -> int:
    """How many waiting messages of the embedded queues have this name in them as text."""
    sql = "SELECT count(*) FROM queue WHERE instr(body, CAST(? AS BLOB))"
    number: int = first(connection, sql, (name,))[0]
    return number
