"""Messages that could not be read or applied, with reason and raw body (dead-letter queue).

Their number has a bound; beyond it ``maintenance`` deletes the oldest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from statecast.model import Quarantined
from statecast.stores.counters import Counters
from statecast.stores.errors import no_quarantine_row
from statecast.stores.postgres.driver import Connection, only_row
from statecast.stores.quarantine_row import COLUMNS, values_of

NAMES = ", ".join(COLUMNS)
MARKS = ", ".join(["%s"] * len(COLUMNS))
SELECT = f"SELECT number, {NAMES} FROM quarantine"
INSERT = f"INSERT INTO quarantine ({NAMES}) VALUES ({MARKS})"
UPDATE = f"UPDATE quarantine SET ({NAMES}) = ({MARKS}) WHERE number = %s"


def save(connection: Connection, found: Sequence[Quarantined]) -> None:
    """Add rows, which the batch has counted already."""
    for one_ in found:
        connection.execute(INSERT.encode(), values_of(one_))


def read(
    connection: Connection,
    after: int,
    limit: int,
    device: str | None = None,
    newest: bool = False,
) -> list[Quarantined]:
    """Rows with numbers above ``after``, about one device or all."""
    which, values = ("", ()) if device is None else ("device = %s AND ", (device,))
    order = "DESC" if newest else "ASC"
    found = connection.execute(
        f"{SELECT} WHERE {which}number > %s ORDER BY number {order} LIMIT %s".encode(),
        (*values, after, limit),
        binary=True,
    )
    return [Quarantined(*row) for row in found.fetchall()]


def count(connection: Connection, device: str) -> int:
    """The rows that may be about this device; all are counted by the batches."""
    asked = connection.execute("SELECT count(*) FROM quarantine WHERE device = %s", (device,))
    return int(only_row(asked)[0])


def one(connection: Connection, number: int, *, lock: bool = False) -> Quarantined:
    """One row. Raises NotFound."""
    found = connection.execute(
        f"{SELECT} WHERE number = %s {'FOR UPDATE' if lock else ''}".encode(),
        (number,),
        binary=True,
    ).fetchone()
    if found is None:
        raise no_quarantine_row(number)
    return Quarantined(*found)


def delete(connection: Connection, counters: Counters, number: int) -> None:
    connection.execute("DELETE FROM quarantine WHERE number = %s", (number,))
    counters.quarantine_rows -= 1


def refuse_again(connection: Connection, found: Quarantined, reason: str, now: int) -> None:
    """Note the new reason of a message that was replayed in vain."""
    again = replace(found, reason=reason, attempts=found.attempts + 1, at=now)
    connection.execute(UPDATE.encode(), (*values_of(again), found.number))
