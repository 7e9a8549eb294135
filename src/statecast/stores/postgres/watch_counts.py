"""What the viewers of each serving process watch: rows that its process replaces as a whole.

Rule: a transaction that writes here holds the row of the counters, so writers come one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from statecast.stores.changes import WatchChanges, WatchPart
from statecast.stores.counters import Counters
from statecast.stores.postgres.driver import Connection, Cursor

SAVE = """
    INSERT INTO watch_counts (process, part, change, counts)
    SELECT %s, part, %s, counts FROM unnest(%s::bigint[], %s::bytea[]) AS new (part, counts)
    ON CONFLICT (process, part) DO UPDATE SET change = excluded.change, counts = excluded.counts"""
PROCESSES = "SELECT DISTINCT process FROM watch_counts"
ANNOUNCED = f"{PROCESSES} UNION SELECT process FROM reports"
ABSENT = "process NOT IN (SELECT process FROM reports)"


def save(
    connection: Connection, counters: Counters, process: str, parts: Mapping[int, bytes]
) -> None:
    counters.watch += 1
    values = (process, counters.watch, list(parts), list(parts.values()))
    connection.execute(SAVE, values)


def changed_after(connection: Connection, counters: Counters, change: int) -> WatchChanges | None:
    """What changed after this change: all there is if the store was set back; None if nothing."""
    if change in (-1, counters.watch):
        return None
    since = change if change < counters.watch else 0
    processes = frozenset(process for (process,) in connection.execute(PROCESSES))
    return WatchChanges(processes, _read(connection, "WHERE change > %s", since))


def read(connection: Connection, parts: Collection[int]) -> list[WatchPart]:
    return _read(connection, "WHERE part = ANY(%s)", list(parts))


def _read(connection: Connection, rest: str, value: Any) -> list[WatchPart]:
    found = connection.execute(f"SELECT process, part, counts FROM watch_counts {rest}", (value,))
    return [WatchPart(*row) for row in found]


def announced(connection: Connection) -> list[str]:
    """The processes that have a report or counts."""
    return [process for (process,) in connection.execute(ANNOUNCED)]


def forget(connection: Connection, counters: Counters, process: str) -> None:
    """Delete the counts of a process."""
    sql = "DELETE FROM watch_counts WHERE process = %s RETURNING 1"
    counters.watch += bool(connection.execute(sql, (process,)).fetchall())


def ask_absent(connection: Connection) -> Cursor:
    """Ask whether a process without a report has counts. It only reads."""
    return connection.execute(f"SELECT EXISTS (SELECT 1 FROM watch_counts WHERE {ABSENT})")


def forget_absent(connection: Connection, counters: Counters) -> None:
    """Delete the counts of processes that have no report."""
    sql = f"DELETE FROM watch_counts WHERE {ABSENT} RETURNING 1"
    counters.watch += bool(connection.execute(sql).fetchall())
