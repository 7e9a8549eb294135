"""What can be wrong in a store although PostgreSQL is content: rows that contradict each other.

Damaged pages are PostgreSQL's own business: it reports them as errors.
"""

from __future__ import annotations

from collections.abc import Iterator

from statecast.errors import StatecastError
from statecast.names import quoted
from statecast.stores.clock_watch import Reading
from statecast.stores.device_row import device_state_of
from statecast.stores.postgres import counters as counter_row
from statecast.stores.postgres import devices
from statecast.stores.postgres.driver import Connection, only_row

PAGE = 1_000
"""Devices that are looked at together."""

COUNTED = {
    "history_rows": "SELECT count(*) FROM history",
    "history_bytes": "SELECT coalesce(sum(size), 0)::bigint FROM history",
    "known_ids": "SELECT coalesce(sum(cardinality(ids)), 0)::bigint FROM pages",
    "known_events": "SELECT count(*) FROM known_events",
    "quarantine_rows": "SELECT count(*) FROM quarantine",
    "devices": "SELECT count(*) FROM devices WHERE state IS NOT NULL",
}
"""Totals that the counters have, and how they are counted."""
REACHED = {
    "offset": 'SELECT greatest((SELECT max("offset") FROM devices), '
    '(SELECT max("offset") FROM history), (SELECT max(first_offset) - 1 FROM epochs))',
    "seen": "SELECT max(seen) FROM devices",
    "event": "SELECT max(number) FROM events",
    "command": "SELECT max(change) FROM commands",
    "watch": "SELECT max(change) FROM watch_counts",
    "access": "SELECT max(change) FROM access",
    "audit": "SELECT max(number) FROM audit",
}
"""Numbers that may not be given out twice, and the highest that a row has."""
BEHIND_HISTORY = """
    SELECT device, newest FROM (
        SELECT devices.device, devices.version, (
            SELECT max(history.version) FROM history WHERE history.device = devices.id) AS newest
        FROM devices) AS compared
    WHERE newest <> version ORDER BY device LIMIT 100"""
ORPHANS = """
    SELECT count(*) FROM history
    WHERE NOT EXISTS (SELECT FROM devices WHERE devices.id = history.device)"""


def check(connection: Connection) -> Iterator[str]:
    """What is wrong, as sentences, of one snapshot."""
    counters = counter_row.load(connection)
    for name, sql in COUNTED.items():
        found = number(connection, sql)
        if found != getattr(counters, name):
            yield f"The counters say {name} = {getattr(counters, name)}, and there are {found}."
    for name, sql in REACHED.items():
        found = number(connection, sql)
        if found > getattr(counters, name):
            yield f"The counter {name} is {getattr(counters, name)}, and a row has {found}."
    for device, newest in connection.execute(BEHIND_HISTORY).fetchall():
        yield f"The newest version of {quoted(device)} in the history is {newest}, not its own."
    if orphans := number(connection, ORPHANS):
        yield f"{orphans} rows of the history are of no device."
    yield from unreadable(connection)


def number(connection: Connection, sql: str) -> int:
    return int(only_row(connection.execute(sql.encode()))[0] or 0)


def unreadable(connection: Connection) -> Iterator[str]:
    """Devices whose values cannot be read."""
    reading = Reading(2**62, 2**62)
    after = ""
    sql = f"{devices.SELECT} WHERE device > %s ORDER BY device LIMIT %s".encode()
    while page := connection.execute(sql, (after, PAGE), binary=True).fetchall():
        for row in page:
            try:
                device_state_of(row, reading)
            except (StatecastError, ValueError, TypeError, KeyError, IndexError) as error:
                yield f"The row of {quoted(row[1])} cannot be read ({error})."
        after = page[-1][1]
