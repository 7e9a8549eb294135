"""Queries of readers: positions, changes after a cursor, events, reports of processes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from statecast.model import Event, Position, Update
from statecast.stores import device_row, event_row, probe_row
from statecast.stores.changes import COMMANDS_PAGE, ChangedNames, Changes, ReadCursor, commands_read
from statecast.stores.clock_watch import ClockWatch, Reading
from statecast.stores.counters import Counters
from statecast.stores.epoch_history import EpochHistory
from statecast.stores.retention import EVENT_MS, MAX_EPOCHS, REPORT_MS
from statecast.stores.sqlite import access, commands, devices, watch_counts
from statecast.stores.sqlite import counters as counter_row
from statecast.stores.sqlite.driver import rows
from statecast.stores.sqlite.row_reader import RowReader
from statecast.stores.sqlite.tables import sealed, table

EPOCHS, EVENTS, REPORTS = table("epochs"), table("events"), table("reports")
UNKNOWN_EPOCH = ("unknown", 1)
"""While the newest epoch cannot be read; the next process that serves begins another."""


def begin_epoch(connection: apsw.Connection, offset: int) -> str:
    """Begin a new epoch with the offset after ``offset``; its id."""
    epoch = uuid.uuid4().hex
    rows(
        connection,
        EPOCHS.insert,
        sealed(
            (
                epoch,
                offset + 1,
            )
        ),
    )
    rows(
        connection,
        "DELETE FROM epochs WHERE number <= (SELECT max(number) FROM epochs) - ?",
        (MAX_EPOCHS,),
    )
    return epoch


def epoch_history(connection: apsw.Connection, reader: RowReader) -> EpochHistory:
    """The epochs after the newest damaged row: without it, it is not known where others ended."""
    counters = counter_row.load(connection, reader)
    whole, damaged = reader.split(connection, EPOCHS, "ORDER BY number")
    last = max((one.row[0] for one in damaged), default=0)
    epochs = tuple((epoch, first) for number, epoch, first, _ in whole if number > last)
    return EpochHistory(epochs or (UNKNOWN_EPOCH,), counters.forgotten, counters.offset)


def position(connection: apsw.Connection, reader: RowReader) -> Position:
    return _position(connection, reader, counter_row.load(connection, reader))


def _position(connection: apsw.Connection, reader: RowReader, counters: Counters) -> Position:
    found = reader.rows(connection, EPOCHS, "ORDER BY number DESC LIMIT 1")
    epoch, _ = found[0][1:3] if found else UNKNOWN_EPOCH
    return Position(epoch, counters.offset)


def read(
    connection: apsw.Connection,
    reader: RowReader,
    after: ReadCursor,
    limit: int | None,
    watch: ClockWatch,
) -> Changes:
    """What was committed after a cursor. The updates come from an index, not from the history.

    A counter that has not moved saves a query: most commits are none of most readers' business.
    """
    counters = counter_row.load(connection, reader)
    reading = watch.reading(counters)
    updates, whole = (
        ([], True)
        if counters.offset == after.offset
        else read_updates(connection, reader, after.offset, limit, reading)
    )
    seen = (
        []
        if counters.seen == after.seen
        else devices.read(
            connection,
            reader,
            "WHERE seen > ? AND +offset BETWEEN 1 AND ? AND seen_at IS NOT NULL",
            (after.seen, after.offset),
        )
    )
    events = (
        []
        if counters.event == (after.event or counters.event)
        else reader.rows(connection, EVENTS, "WHERE number > ? ORDER BY number", (after.event,))
    )
    offset = counters.offset if whole else updates[-1].offset
    asked = 0 <= after.command < counters.command
    changed = (
        commands.changed_after(connection, reader, after.command, COMMANDS_PAGE) if asked else []
    )
    command = commands_read(changed, counters.command)
    return Changes(
        _position(connection, reader, counters),
        ReadCursor(offset, counters.seen, counters.event, command, counters.watch, counters.access),
        updates,
        {row[1]: reading.past(row[7], row[3], row[4]) for row in seen},
        [event for *_, origin, raw, _ in events if (event := event_row.decode(raw, origin))],
        changed,
        watch_counts.changed_after(connection, reader, counters, after.watch),
        access.changed_after(connection, reader, counters, after.access),
    )


def any_after(after: ReadCursor, connection: apsw.Connection) -> bool:
    """Whether ``read`` may find anything after a cursor, an epoch apart: a fraction of its cost."""
    found = rows(connection, "SELECT offset, seen, event, command, watch, access FROM counters")
    return found != [after]


def read_updates(
    connection: apsw.Connection,
    reader: RowReader,
    after: int,
    limit: int | None,
    reading: Reading,
) -> tuple[list[Update], bool]:
    """Up to ``limit`` updates after an offset, and whether these are all."""
    most = -1 if limit is None else limit
    while True:
        found, damaged = reader.split(
            connection,
            devices.DEVICES,
            "WHERE offset > ? ORDER BY offset LIMIT ?",
            (after, most),
            devices.content_fault,
        )
        whole = limit is None or len(found) + len(damaged) < most
        if whole or found:
            return [device_row.update_of(row, reading) for row in found], whole
        most *= 2  # only damaged rows


def read_names(
    connection: apsw.Connection, reader: RowReader, after: int, limit: int
) -> ChangedNames:
    """Names from the index of offsets; no row is checked, since no state is shown."""
    head = counter_row.load(connection, reader).offset
    found = rows(
        connection,
        "SELECT CAST(device AS BLOB), offset FROM devices "
        "WHERE offset > ? AND offset <= ? AND typeof(offset) = 'integer' ORDER BY offset LIMIT ?",
        (after, head, limit),
    )
    names = [(name or b"").decode("utf-8", "replace") for name, _ in found]
    return ChangedNames(names, head if len(found) < limit else found[-1][1])


def emit(
    connection: apsw.Connection, reader: RowReader, uptime: int, events: Sequence[Event]
) -> None:
    """Write application events, and delete those that are too old."""
    counters = counter_row.load(connection, reader)
    first = counters.event + 1
    counters.event += len(events)
    connection.executemany(
        EVENTS.replace,
        [
            sealed((number, uptime, event.origin, event_row.encode(event)))
            for number, event in enumerate(events, first)
        ],
    )
    rows(
        connection,
        "DELETE FROM events WHERE at NOT BETWEEN ? AND ?",
        (uptime - EVENT_MS, uptime + EVENT_MS),
    )
    counter_row.save(connection, reader, counters)


def announce(
    connection: apsw.Connection, uptime: int, process: str, report: Mapping[str, Any]
) -> None:
    """Write a process's report, and delete those of processes that have stopped announcing."""
    rows(
        connection,
        "DELETE FROM reports WHERE at NOT BETWEEN ? AND ?",
        (uptime - REPORT_MS, uptime + REPORT_MS),
    )
    rows(
        connection,
        REPORTS.replace,
        sealed(
            (
                process,
                uptime,
                json.dumps(report),
            )
        ),
    )


def withdraw(connection: apsw.Connection, process: str) -> None:
    rows(connection, "DELETE FROM reports WHERE process = ?", (process,))


def write_probe(connection: apsw.Connection) -> None:
    rows(connection, REPORTS.replace, sealed(probe_row.values()))


def remove_probe(connection: apsw.Connection) -> None:
    withdraw(connection, probe_row.NAME)


def reports(
    connection: apsw.Connection, reader: RowReader, uptime: int
) -> dict[str, dict[str, Any]]:
    """The reports of the serving processes. A damaged one is left out until the next comes."""
    found = reader.rows(
        connection, REPORTS, "WHERE at BETWEEN ? AND ?", (uptime - REPORT_MS, uptime + REPORT_MS)
    )
    return {process: json.loads(report) for process, _, report, _ in found}
