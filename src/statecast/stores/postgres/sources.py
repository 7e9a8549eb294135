"""The sources whose messages were committed: each has a number, and the term of its lease.

Rule: who compares a term keeps the row from being changed until its own transaction ends. So the
term that a take-over raises comes after every commit of the holder before.
"""

from __future__ import annotations

from statecast.stores import errors
from statecast.stores.postgres.driver import Connection, only_row, row

FIND = "SELECT number, term FROM sources WHERE name = %s FOR SHARE"
TERM = "SELECT term FROM sources WHERE name = %s"
ADD = "INSERT INTO sources (name) VALUES (%s) ON CONFLICT (name) DO NOTHING"
RAISE = """
    INSERT INTO sources AS known (name, term) VALUES (%s, 1)
    ON CONFLICT (name) DO UPDATE SET term = known.term + 1
    RETURNING term"""


def find(connection: Connection, name: str, term: int | None = None) -> int:
    """The number of a source; a new one gets a row. Raises LeaseLost if ``term`` is not its term.

    The first of a transaction's locks; see ``database``.
    """
    found = connection.execute(FIND, (name,)).fetchone()
    if found is None:
        connection.execute(ADD, (name,))
        found = only_row(connection.execute(FIND, (name,)))
    number, newest = found
    if term is not None and term != newest:
        raise errors.lease_lost(name)
    return int(number)


def raise_term(connection: Connection, name: str) -> int:
    """The new term of a source whose lease was taken."""
    (term,) = only_row(connection.execute(RAISE, (name,)))
    return int(term)


def term_of(connection: Connection, name: str) -> int | None:
    """The present term of a source; None: it has had no consumer."""
    found = row(connection, TERM, (name,))
    return found[0] if found else None
