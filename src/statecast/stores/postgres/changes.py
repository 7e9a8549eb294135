"""Queries of readers: what changed after a cursor, from one snapshot.

All that can be asked at once is asked before the first answer is read: one round trip.
"""

from __future__ import annotations

from statecast.stores.changes import COMMANDS_PAGE, ChangedNames, Changes, ReadCursor, commands_read
from statecast.stores.clock_watch import ClockWatch, Reading
from statecast.stores.device_row import update_of
from statecast.stores.postgres import access, commands, devices, epochs, events, watch_counts
from statecast.stores.postgres import counters as counter_row
from statecast.stores.postgres.driver import Connection

UPDATES = f'{devices.SELECT} WHERE "offset" > %s ORDER BY "offset" LIMIT %s'
SEEN = """
    SELECT device, seen_at, "offset", seen FROM devices
    WHERE seen > 0 AND seen > %s AND "offset" BETWEEN 1 AND %s AND seen_at IS NOT NULL"""
NAMES = 'SELECT device, "offset" FROM devices WHERE "offset" > %s ORDER BY "offset" LIMIT %s'


def read(
    connection: Connection, after: ReadCursor, limit: int | None, watch: ClockWatch
) -> Changes:
    """What was committed after a cursor. The updates come from an index, not from the history."""
    position = epochs.ask_position(connection)
    updated = connection.execute(UPDATES.encode(), (after.offset, limit), binary=True)
    sightings = connection.execute(SEEN, (after.seen, after.offset))
    counters = counter_row.load(connection)
    reading = watch.reading(counters)
    updates = [update_of(row, reading) for row in updated.fetchall()]
    whole = limit is None or len(updates) < limit
    offset = counters.offset if whole else updates[-1].offset
    asked = 0 <= after.command < counters.command
    changed = commands.changed_after(connection, after.command, COMMANDS_PAGE) if asked else []
    command = commands_read(changed, counters.command)
    return Changes(
        epochs.position(position),
        ReadCursor(offset, counters.seen, counters.event, command, counters.watch, counters.access),
        updates,
        {name: past(reading, seen_at, *at) for name, seen_at, *at in sightings.fetchall()},
        events.after(connection, after.event) if 0 < after.event < counters.event else [],
        changed,
        watch_counts.changed_after(connection, counters, after.watch),
        access.changed_after(connection, counters, after.access),
    )


def past(reading: Reading, seen_at: int, offset: int, seen: int) -> int:
    """When a device was seen, never later than now."""
    return reading.past(seen_at, offset, seen)


def read_names(connection: Connection, after: int, limit: int) -> ChangedNames:
    """Names from the index of offsets."""
    asked = connection.execute(NAMES, (after, limit))
    head = counter_row.load(connection).offset
    found = asked.fetchall()
    return ChangedNames([name for name, _ in found], head if len(found) < limit else found[-1][1])
