"""Queries of readers: positions, changes after a cursor, events, reports of processes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from statecast.model import Event, Position
from statecast.stores import event_row
from statecast.stores.contract import Changes, EpochHistory, ReadCursor
from statecast.stores.retention import EVENT_MS, MAX_EPOCHS, REPORT_MS
from statecast.stores.sqlite import counters as counter_row
from statecast.stores.sqlite.devices import UPDATE_COLUMNS, update_of
from statecast.stores.sqlite.driver import row, rows

PROBE = "probe"
PROBE_BYTES = 65_536
LONG_AGO = -(2**50)


def begin_epoch(connection: apsw.Connection, offset: int) -> str:
    """Begin a new epoch with the offset after ``offset``; its id."""
    epoch = uuid.uuid4().hex
    rows(connection, "INSERT INTO epochs (epoch, first_offset) VALUES (?, ?)", (epoch, offset + 1))
    rows(
        connection,
        "DELETE FROM epochs WHERE number <= (SELECT max(number) FROM epochs) - ?",
        (MAX_EPOCHS,),
    )
    return epoch


def epoch_history(connection: apsw.Connection) -> EpochHistory:
    epochs = rows(connection, "SELECT epoch, first_offset FROM epochs ORDER BY number")
    offset, forgotten = row(connection, "SELECT offset, forgotten FROM counters")
    return EpochHistory(tuple(epochs), forgotten, offset)


def position(connection: apsw.Connection) -> Position:
    return Position(
        *row(
            connection,
            "SELECT (SELECT epoch FROM epochs ORDER BY number DESC LIMIT 1), offset FROM counters",
        )
    )


def read(connection: apsw.Connection, after: ReadCursor, limit: int | None) -> Changes:
    """What was committed after a cursor. The updates come from an index, not from the history."""
    counters = counter_row.load(connection)
    found = rows(
        connection,
        f"SELECT {UPDATE_COLUMNS} FROM devices "  # noqa: S608
        "WHERE offset > ? ORDER BY offset LIMIT ?",
        (after.offset, -1 if limit is None else limit),
    )
    updates = [update_of(columns) for columns in found]
    whole = limit is None or len(updates) < limit
    seen = rows(
        connection,
        "SELECT device, seen_at FROM devices "
        "WHERE seen > ? AND +offset BETWEEN 1 AND ? AND seen_at IS NOT NULL",
        (after.seen, after.offset),
    )
    events = rows(
        connection,
        "SELECT event, origin FROM events WHERE number > ? ORDER BY number",
        (after.event or counters.event,),
    )
    offset = counters.offset if whole else updates[-1].offset
    return Changes(
        position(connection),
        ReadCursor(offset, counters.seen, counters.event),
        updates,
        dict(seen),
        [event for columns in events if (event := event_row.decode(*columns)) is not None],
    )


def emit(connection: apsw.Connection, now: int, events: Sequence[Event]) -> None:
    """Write application events, and delete those that are too old."""
    counters = counter_row.load(connection)
    first = counters.event + 1
    counters.event += len(events)
    connection.executemany(
        "INSERT INTO events (number, at, origin, event) VALUES (?, ?, ?, ?)",
        [
            (number, now, event.origin, event_row.encode(event))
            for number, event in enumerate(events, first)
        ],
    )
    rows(connection, "DELETE FROM events WHERE at < ? OR at > ?", (now - EVENT_MS, now + EVENT_MS))
    counter_row.save(connection, counters)


def announce(
    connection: apsw.Connection, now: int, process: str, report: Mapping[str, Any]
) -> None:
    """Write a process's report, and delete those of processes that have stopped announcing."""
    rows(
        connection,
        "DELETE FROM reports WHERE at NOT BETWEEN ? AND ?",
        (now - REPORT_MS, now + REPORT_MS),
    )
    rows(
        connection,
        "INSERT INTO reports (process, at, report) VALUES (?, ?, ?) "
        "ON CONFLICT (process) DO UPDATE SET at = excluded.at, report = excluded.report",
        (process, now, json.dumps(report)),
    )


def withdraw(connection: apsw.Connection, process: str) -> None:
    rows(connection, "DELETE FROM reports WHERE process = ?", (process,))


def write_probe(connection: apsw.Connection) -> None:
    """Write a row of the size of a usual commit. Its time makes it no report."""
    rows(
        connection,
        "INSERT OR REPLACE INTO reports (process, at, report) VALUES (?, ?, zeroblob(?))",
        (PROBE, LONG_AGO, PROBE_BYTES),
    )


def remove_probe(connection: apsw.Connection) -> None:
    withdraw(connection, PROBE)


def reports(connection: apsw.Connection, now: int) -> dict[str, dict[str, Any]]:
    found = rows(
        connection,
        "SELECT process, report FROM reports WHERE at BETWEEN ? AND ?",
        (now - REPORT_MS, now + REPORT_MS),
    )
    return {process: json.loads(report) for process, report in found}
