"""Messages that could not be read or applied, with reason and raw body (dead-letter queue).

Their number has a bound; beyond it the oldest go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from statecast.model import Quarantined
from statecast.stores.counters import Counters
from statecast.stores.errors import no_quarantine_row
from statecast.stores.sqlite.driver import row, rows

COLUMNS = "number, source, id, item, reason, body, sent_at, arrival, attempts, at, device"


def save(
    connection: apsw.Connection, found: Sequence[Quarantined], counters: Counters, limit: int
) -> list[str]:
    """Add rows, which the batch has counted already, and delete the oldest beyond the bound.

    Returns the source of each deleted row.
    """
    if not found:
        return []
    connection.executemany(
        "INSERT INTO quarantine "
        "(source, id, item, reason, body, sent_at, arrival, attempts, at, device) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                one.source,
                one.id,
                one.item,
                one.reason,
                one.body,
                one.sent_at,
                one.order,
                one.attempts,
                one.at,
                one.device,
            )
            for one in found
        ],
    )
    if counters.quarantine_rows <= limit:
        return []
    gone = rows(
        connection,
        "DELETE FROM quarantine WHERE number IN "
        "(SELECT number FROM quarantine ORDER BY number LIMIT ?) RETURNING source",
        (counters.quarantine_rows - limit,),
    )
    counters.quarantine_rows -= len(gone)
    return [source for (source,) in gone]


def read(
    connection: apsw.Connection, after: int, limit: int, device: str | None, newest: bool
) -> list[Quarantined]:
    which, values = ("", ()) if device is None else ("device = ? AND ", (device,))
    found = rows(
        connection,
        f"SELECT {COLUMNS} FROM quarantine "  # noqa: S608
        f"WHERE {which}number > ? ORDER BY number {'DESC' if newest else 'ASC'} LIMIT ?",
        (*values, after, limit),
    )
    return [Quarantined(*columns) for columns in found]


def count(connection: apsw.Connection, device: str) -> int:
    """The rows that may be about this device; all are counted by the batches."""
    found: int = row(connection, "SELECT count(*) FROM quarantine WHERE device = ?", (device,))[0]
    return found


def one(connection: apsw.Connection, number: int) -> Quarantined:
    found: tuple[Any, ...] | None = row(
        connection,
        f"SELECT {COLUMNS} FROM quarantine WHERE number = ?",  # noqa: S608
        (number,),
    )
    if found is None:
        raise no_quarantine_row(number)
    return Quarantined(*found)


def delete(connection: apsw.Connection, counters: Counters, number: int) -> None:
    rows(connection, "DELETE FROM quarantine WHERE number = ?", (number,))
    counters.quarantine_rows -= 1


def refuse_again(connection: apsw.Connection, number: int, reason: str, now: int) -> None:
    rows(
        connection,
        "UPDATE quarantine SET reason = ?, attempts = attempts + 1, at = ? WHERE number = ?",
        (reason, now, number),
    )
