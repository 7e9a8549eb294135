"""Forgets a device or a person for good, in batches: what is left names and shows neither.

The caller has removed the device or the user before, so that pages and processes know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw

from statecast.stores.counters import Counters
from statecast.stores.forgotten_names import (
    FORGOTTEN,
    Changes,
    changes_of_person,
    without_name,
    without_same,
)
from statecast.stores.sqlite import history
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


def device(
    connection: apsw.Connection, reader: RowReader, counters: Counters, name: str, most: int
) -> int:
    """Delete up to ``most`` rows of each kind that are about a device; how many.

    The row of the device stays as a mark of its removal, without its former state.
    """
    before = counters.history_rows
    for key in rows(connection, "SELECT id FROM devices WHERE device = ?", (name,)):
        history.forget(connection, counters, "device = ?", key, most)
    gone = {of: _delete(connection, of, which, name, most) for of, which in OF_DEVICE.items()}
    counters.quarantine_rows -= gone["quarantine"]
    keyed = {of: len(rows(connection, sql, (name,))) for of, sql in KEYED.items()}
    counters.known_events -= keyed["known_events"]
    deleted = before - counters.history_rows + sum(gone.values()) + sum(keyed.values())
    changes = {"target": {name: FORGOTTEN}, "detail": _details(connection, reader, name)}
    return deleted + _rename(connection, reader, "audit", changes, most)


def _delete(connection: apsw.Connection, of: str, which: str, name: str, most: int) -> int:
    sql = f"DELETE FROM {of} WHERE number IN ({which}) RETURNING 1"  # noqa: S608
    return len(rows(connection, sql, (name, most)))


def _details(connection: apsw.Connection, reader: RowReader, name: str) -> dict[str, str]:
    """What the audit says of rights that name a device, and the same without the name."""
    found = reader.rows(connection, table("audit"), "WHERE instr(detail, ?)", (name,))
    of_rows = {str(detail) for *_, detail, _ in found}
    return {text: new for text in of_rows if (new := without_name(text, name)) != text}


def person(connection: apsw.Connection, reader: RowReader, name: str, most: int) -> int:
    """Leave out the name of a person in up to ``most`` rows of each table; in how many."""
    changes = changes_of_person(name)
    return sum(_rename(connection, reader, of, columns, most) for of, columns in changes.items())


def _rename(
    connection: apsw.Connection, reader: RowReader, of: str, columns: Changes, most: int
) -> int:
    """Replace texts of columns in up to ``most`` rows of a table; in how many."""
    one = table(of)
    changes = without_same(columns)
    which = " OR ".join(f'"{name}" IN ({_marks(texts)})' for name, texts in changes.items())
    values = tuple(text for texts in changes.values() for text in texts)
    found = reader.rows(connection, one, f"WHERE {which} LIMIT ?", (*values, most))
    write = _writer(connection, one)
    for row in found:
        named = dict(zip(one.names, row, strict=False))
        named |= {name: texts.get(named[name], named[name]) for name, texts in changes.items()}
        write(tuple(named.values()))
    return len(found)


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
