"""The sources whose messages were committed: each has a number, and the term of its lease."""

from __future__ import annotations

import apsw

from statecast.stores.sqlite.driver import row as first
from statecast.stores.sqlite.driver import rows
from statecast.stores.sqlite.row_reader import RowReader
from statecast.stores.sqlite.tables import sealed, table

SOURCES = table("sources")


def find(connection: apsw.Connection, reader: RowReader, name: str) -> tuple[int, int]:
    """The number and the term of a source. A new one gets a row, a damaged one a new term."""
    whole, damaged = reader.split(connection, SOURCES, "WHERE name = ?", (name,))
    if whole:
        return whole[0][0], whole[0][2]
    begun = sealed(
        (
            name,
            0,
        )
    )
    if damaged:
        number: int = damaged[0].row[0]
        rows(connection, SOURCES.update, (*begun, number))
        return number, 0
    return first(connection, f"{SOURCES.insert} RETURNING number", begun)[0], 0


def number_of(connection: apsw.Connection, name: str) -> int | None:
    """The number of a source; None if nothing of it was committed."""
    found = first(connection, "SELECT number FROM sources WHERE name = ?", (name,))
    return None if found is None else int(found[0])


def raise_term(connection: apsw.Connection, reader: RowReader, name: str) -> int:
    """The new term of a source whose lease was taken."""
    number, term = find(connection, reader, name)
    rows(
        connection,
        SOURCES.update,
        (
            *sealed(
                (
                    name,
                    term + 1,
                )
            ),
            number,
        ),
    )
    return term + 1
