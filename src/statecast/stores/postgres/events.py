"""Application events on their way from one serving process to the others."""

from __future__ import annotations

from collections.abc import Sequence

from statecast.model import Event
from statecast.stores import event_row
from statecast.stores.counters import Counters
from statecast.stores.postgres.driver import Connection
from statecast.stores.retention import EVENT_MS

EMIT = """
    INSERT INTO events (number, at, origin, event)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::bytea[])"""
AFTER = "SELECT event, origin FROM events WHERE number > %s ORDER BY number"


def emit(connection: Connection, counters: Counters, uptime: int, events: Sequence[Event]) -> None:
    """Write application events, and delete those that are too old."""
    first = counters.event + 1
    counters.event += len(events)
    numbers = list(range(first, counters.event + 1))
    origins = [event.origin for event in events]
    encoded = [event_row.encode(event) for event in events]
    connection.execute(EMIT, (numbers, [uptime] * len(events), origins, encoded))
    connection.execute(
        "DELETE FROM events WHERE at < %s OR at > %s", (uptime - EVENT_MS, uptime + EVENT_MS)
    )


def after(connection: Connection, number: int) -> list[Event]:
    """The events after this one, in their order."""
    found = connection.execute(AFTER, (number,)).fetchall()
    return [event for raw, origin in found if (event := event_row.decode(raw, origin))]
