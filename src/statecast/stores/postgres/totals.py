"""What came through each source, as one row per source, written with each commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, fields

from statecast.stores.postgres.driver import Connection, Cursor
from statecast.stores.totals import Totals

NAMES = tuple(one.name for one in fields(Totals))
ADD = (
    f"INSERT INTO totals AS known (source, {', '.join(NAMES)}) "
    f"VALUES (%s{', %s' * len(NAMES)}) ON CONFLICT (source) DO UPDATE SET "
    + ", ".join(f"{name} = known.{name} + excluded.{name}" for name in NAMES)
)


def ask(connection: Connection) -> Cursor:
    return connection.execute(
        f"SELECT source, {', '.join(NAMES)} FROM totals ORDER BY source".encode()
    )


def read(asked: Cursor) -> dict[str, Totals]:
    """The totals by source."""
    return {source: Totals(*numbers) for source, *numbers in asked.fetchall()}


def add(connection: Connection, totals: Mapping[str, Totals]) -> None:
    """Add to the rows of sources, in the order of names. The counters' row must be held."""
    for source, one in sorted(totals.items()):
        connection.execute(ADD.encode(), (source, *astuple(one)))
