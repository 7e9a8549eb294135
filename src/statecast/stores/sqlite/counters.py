"""The counters of a store as one row, read and written once per transaction.

A row that is damaged or missing is derived from the tables; the next write puts it right.
"""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter

import apsw

from statecast.stores.counters import Counters
from statecast.stores.sqlite.driver import integer, rows
from statecast.stores.sqlite.driver import row as first
from statecast.stores.sqlite.row_reader import RowReader, fetch
from statecast.stores.sqlite.tables import Row, Table, sealed, table

COUNTERS = table("counters")
numbers_of = attrgetter(*(field.name for field in fields(Counters)))
"""The counters in the order of the columns."""
FEW = 100
"""Rows that are read before all are: more than are damaged at the end of a table."""
ARRIVAL_GAP = 2**40
"""Added to a derived order of arrival: the tables do not keep every one that was given out."""


def content_fault(row: Row) -> str | None:
    """Why the values of a row without a checksum cannot be right."""
    signed = COUNTERS.names.index("doubted_by")  # which is below 0 for a step back
    numbers = (*row[:signed], *row[signed + 1 : -1])
    return None if min(numbers) >= 0 else "a counter is below 0"


def load(connection: apsw.Connection, reader: RowReader) -> Counters:
    whole, _ = reader.split(connection, COUNTERS, content=content_fault)
    return Counters(*whole[0][1:-1]) if whole else derived(connection)


def save(connection: apsw.Connection, reader: RowReader, counters: Counters) -> None:
    row = sealed(
        (
            1,
            *numbers_of(counters),
        )
    )
    rows(connection, COUNTERS.update, (*row, 1))
    if not connection.changes():
        rows(connection, "DELETE FROM counters")
        rows(connection, COUNTERS.insert, row)
    reader.clear(COUNTERS, (1,))


def derived(connection: apsw.Connection) -> Counters:
    """Counters that fit the tables: no number is given out twice, and the totals are right."""
    offset = max(
        newest(connection, table("devices"), "offset"),
        newest(connection, table("history"), "offset"),
        newest(connection, table("epochs"), "first_offset") - 1,
    )
    arrival = max(
        newest(connection, table("queue"), "id"),
        newest(connection, table("queues"), "received"),
        newest(connection, table("quarantine"), "arrival"),
    )
    return Counters(
        arrival=arrival + ARRIVAL_GAP,
        offset=offset,
        seen=newest(connection, table("devices"), "seen"),
        event=max(1, newest(connection, table("events"), "number")),
        page=max(newest(connection, table(name), "page") for name in ("pages", "page_ids")),
        receipt=newest(connection, table("receipts"), "receipt"),
        forgotten=offset,  # readers get all states again: which removals they know is not known
        history_rows=count(connection, "history"),
        history_bytes=number(connection, f"sum({integer('size')})", "history"),
        known_ids=count(connection, "known"),
        known_events=count(connection, "known_events"),
        quarantine_rows=count(connection, "quarantine"),
        devices=number(connection, "sum(state IS NOT NULL)", "devices"),
        command=newest(connection, table("commands"), "change"),
        watch=newest(connection, table("watch_counts"), "change"),
        access=newest(connection, table("access"), "change"),
        audit=newest(connection, table("audit"), "number"),
    )


def newest(connection: apsw.Connection, of: Table, column: str) -> int:
    """The largest number in whole rows of a table."""
    index = of.names.index(column)
    for limit in (FEW, -1):
        found = fetch(connection, of, f"ORDER BY {column} DESC LIMIT {limit}")
        numbers: list[int] = [row[index] for row in found if of.fault(row) is None]
        if numbers:
            return max(numbers)
    return 0


def count(connection: apsw.Connection, name: str) -> int:
    return number(connection, "count(*)", name)


def number(connection: apsw.Connection, expression: str, name: str) -> int:
    sql = f"SELECT coalesce({expression}, 0) FROM {name}"  # noqa: S608
    found: int = first(connection, sql)[0]
    return found
