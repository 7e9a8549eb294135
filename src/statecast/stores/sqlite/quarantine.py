"""Messages that could not be read or applied, with reason and raw body (dead-letter queue).

Their number has a bound; beyond it the oldest go.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import apsw

from statecast.errors import Refused
from statecast.model import Quarantined
from statecast.stores.counters import Counters
from statecast.stores.errors import no_quarantine_row
from statecast.stores.quarantine_row import values_of
from statecast.stores.sqlite.driver import row, rows
from statecast.stores.sqlite.row_reader import Damaged, RowReader
from statecast.stores.sqlite.tables import Row, sealed, table

QUARANTINE = table("quarantine")
STORE = "(store)"
"""The source of copies of damaged rows. No source of messages has this name."""
UNREADABLE = (
    "This row of the quarantine is damaged ({reason}) and cannot be read; "
    "`statecast quarantine drop {number}` removes it."
)


def save(
    connection: apsw.Connection, found: Sequence[Quarantined], counters: Counters, limit: int
) -> list[str]:
    """Add rows, which the batch has counted already, and delete the oldest beyond the bound.

    Returns the source of each deleted row.
    """
    if not found:
        return []
    connection.executemany(QUARANTINE.insert, map(row_of, found))
    if counters.quarantine_rows <= limit:
        return []
    gone = rows(
        connection,
        "DELETE FROM quarantine WHERE number IN "
        "(SELECT number FROM quarantine ORDER BY number LIMIT ?) RETURNING CAST(source AS BLOB)",
        (counters.quarantine_rows - limit,),
    )
    counters.quarantine_rows -= len(gone)
    return [(source or b"").decode("utf-8", "replace") for (source,) in gone]


def row_of(one: Quarantined) -> Row:
    """The columns from the source on, with the checksum."""
    return sealed(values_of(one))


def copy_of(damaged: Damaged, now: int) -> Quarantined:
    """A copy of a damaged row, kept when the row itself is rebuilt or removed."""
    values = zip(damaged.table.names, damaged.row, strict=False)
    copy = {"table": damaged.table.name, "row": {name: printable(one) for name, one in values}}
    body = json.dumps(copy, ensure_ascii=False).encode("utf-8", "replace")
    reason = f"A damaged row of the store: {damaged.reason}."
    return Quarantined(
        0, STORE, damaged.subject, None, reason, body, now, 0, 0, now, damaged.device
    )


def printable(value: Any) -> Any:
    """A value as JSON; bytes that are not UTF-8 as a Python literal."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return repr(value)


def read(
    connection: apsw.Connection,
    reader: RowReader,
    after: int,
    limit: int,
    device: str | None = None,
    newest: bool = False,
) -> list[Quarantined]:
    """Rows with numbers above ``after``. A damaged one is there too, with that as its reason."""
    which, values = ("", ()) if device is None else ("device = ? AND ", (device,))
    rest = f"WHERE {which}number > ? ORDER BY number {'DESC' if newest else 'ASC'} LIMIT ?"
    whole, damaged = reader.split(connection, QUARANTINE, rest, (*values, after, limit))
    found = [*(Quarantined(*row[:-1]) for row in whole), *map(unreadable, damaged)]
    return sorted(found, key=lambda one: one.number, reverse=newest)


def count(connection: apsw.Connection, device: str) -> int:
    """The rows that may be about this device; all are counted by the batches."""
    found: int = row(connection, "SELECT count(*) FROM quarantine WHERE device = ?", (device,))[0]
    return found


def one(connection: apsw.Connection, reader: RowReader, number: int) -> Quarantined:
    """One row, a damaged one with that as its reason. Raises NotFound."""
    found = read(connection, reader, number - 1, 1)
    if not found or found[0].number != number:
        raise no_quarantine_row(number)
    return found[0]


def readable(connection: apsw.Connection, reader: RowReader, number: int) -> Quarantined:
    """One row to replay. Raises NotFound, and Refused for a damaged one."""
    found = one(connection, reader, number)
    if found.source == STORE:
        raise Refused(
            f"Row {number} of the quarantine is no message that could be replayed: {found.reason}"
        )
    return found


def unreadable(damaged: Damaged) -> Quarantined:
    number = damaged.row[0]
    body, at = (damaged.row[QUARANTINE.names.index(name)] for name in ("body", "at"))
    return Quarantined(
        number,
        STORE,
        damaged.subject,
        None,
        UNREADABLE.format(reason=damaged.reason, number=number),
        body if isinstance(body, bytes) else b"",
        0,
        0,
        0,
        at if type(at) is int and 0 <= at < 2**43 else 0,
    )


def delete(connection: apsw.Connection, reader: RowReader, counters: Counters, number: int) -> None:
    rows(connection, "DELETE FROM quarantine WHERE number = ?", (number,))
    reader.clear(QUARANTINE, (number,))
    counters.quarantine_rows -= 1


def refuse_again(connection: apsw.Connection, found: Quarantined, reason: str, now: int) -> None:
    """Note the new reason of a message that was replayed in vain."""
    again = replace(found, reason=reason, attempts=found.attempts + 1, at=now)
    rows(connection, QUARANTINE.update, (*row_of(again), found.number))
