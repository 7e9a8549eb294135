"""What the viewers of each serving process watch: rows that its process replaces as a whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import apsw

from statecast.stores.changes import WatchChanges, WatchPart
from statecast.stores.counters import Counters
from statecast.stores.sqlite.driver import rows
from statecast.stores.sqlite.row_reader import RowReader
from statecast.stores.sqlite.tables import sealed, table

WATCH_COUNTS = table("watch_counts")
PROCESSES = "SELECT DISTINCT CAST(process AS BLOB) FROM watch_counts"
ANNOUNCED = f"{PROCESSES} UNION SELECT CAST(process AS BLOB) FROM reports"  # noqa: S608


def save(
    connection: apsw.Connection, counters: Counters, process: str, parts: Mapping[int, bytes]
) -> None:
    counters.watch += 1
    connection.executemany(
        WATCH_COUNTS.replace,
        [sealed((process, part, counters.watch, counts)) for part, counts in parts.items()],
    )


def changed_after(
    connection: apsw.Connection, reader: RowReader, counters: Counters, change: int
) -> WatchChanges | None:
    """What changed after this change: all there is if the store was set back; None if nothing."""
    if change in (-1, counters.watch):
        return None
    since = change if change < counters.watch else 0
    processes = frozenset(map(_text, rows(connection, PROCESSES)))
    return WatchChanges(processes, _read(connection, reader, "WHERE change > ?", (since,)))


def read(connection: apsw.Connection, reader: RowReader, parts: Collection[int]) -> list[WatchPart]:
    marks = ", ".join("?" for _ in parts)
    return _read(connection, reader, f"WHERE part IN ({marks})", tuple(parts))


def _read(
    connection: apsw.Connection, reader: RowReader, rest: str, values: tuple[int, ...]
) -> list[WatchPart]:
    found = reader.rows(connection, WATCH_COUNTS, rest, values)
    return [WatchPart(process, part, counts) for process, part, _, counts, _ in found]


def announced(connection: apsw.Connection) -> list[str]:
    """The processes that have a report or counts. A damaged name is that of no process."""
    return list(map(_text, rows(connection, ANNOUNCED)))


def _text(row: tuple[bytes | None]) -> str:
    return (row[0] or b"").decode("utf-8", "replace")


def forget(connection: apsw.Connection, counters: Counters, process: str) -> None:
    """Delete the counts of a process."""
    rows(connection, "DELETE FROM watch_counts WHERE process = ?", (process,))
    counters.watch += bool(connection.changes())


def forget_absent(connection: apsw.Connection, counters: Counters) -> None:
    """Delete the counts of processes that have no report."""
    rows(
        connection,
        "DELETE FROM watch_counts WHERE process NOT IN (SELECT process FROM reports)",
    )
    counters.watch += bool(connection.changes())
