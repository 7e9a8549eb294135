"""Known ids of messages and events: a repetition is counted and changes nothing.

Message ids are kept in pages, one page per commit. A page is forgotten an hour after the queue has
confirmed the deletion of its last message. Event ids are kept for 24 hours. Who asks whether an id
is known gets the time until which it is, so it does not matter when ``maintenance`` deletes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from statecast.stores.counters import Counters
from statecast.stores.postgres.driver import Connection, Cursor
from statecast.stores.retention import CONFIRMED_IDS_MS, EVENT_IDS_MS

KNOWN = """
    SELECT known.id, pages.forget_at FROM known LEFT JOIN pages USING (page)
    WHERE known.source = (SELECT number FROM sources WHERE name = %s) AND known.id = ANY(%b)"""
SAVE = """
    WITH new AS (
        INSERT INTO pages (page, source, ids, open)
        VALUES (nextval('page_numbers'), %(source)s, %(ids)b, %(ids)b) RETURNING page)
    INSERT INTO known (source, id, page)
    SELECT %(source)s, id, new.page FROM unnest(%(ids)b) AS wanted (id), new ORDER BY id
    ON CONFLICT (source, id) DO UPDATE SET page = excluded.page"""
"""An id that was forgotten, and not deleted yet, changes its page."""
CONFIRM = """
    WITH asked AS (
        SELECT page, ARRAY(SELECT unnest(open) EXCEPT SELECT unnest(%(ids)b::text[])) AS still
        FROM pages
        WHERE forget_at IS NULL AND page IN (
            SELECT page FROM known WHERE source = %(source)s AND id = ANY(%(ids)b)))
    UPDATE pages SET open = still, forget_at = CASE WHEN still = '{}' THEN %(at)s::bigint END
    FROM asked WHERE pages.page = asked.page"""
KNOWN_EVENTS = """
    SELECT device, id, at FROM known_events
    JOIN unnest(%b, %b) AS wanted (device, id) USING (device, id)"""
SAVE_EVENTS = """
    INSERT INTO known_events (device, id, at)
    SELECT device, id, %s FROM unnest(%b, %b) AS new (device, id)
    ON CONFLICT (device, id) DO UPDATE SET at = excluded.at"""


def ask(connection: Connection, source: str, ids: Collection[str]) -> Cursor:
    """Ask which of the ids were committed before."""
    return connection.execute(KNOWN, (source, list(ids)))


def known(asked: Cursor, age_from: int) -> set[str]:
    """Those that were, and are not forgotten."""
    return {id_ for id_, until in asked.fetchall() if until is None or until > age_from}


def save(connection: Connection, counters: Counters, source: int, ids: Sequence[str]) -> None:
    """Keep the new ids of one commit as a page."""
    if ids:
        connection.execute(SAVE, {"source": source, "ids": list(ids)})
        counters.known_ids += len(ids)


def confirm(connection: Connection, source: int, ids: Collection[str], now: int) -> None:
    """Note confirmed deletions; a page with all of them is forgotten an hour later."""
    if ids:
        at = now + CONFIRMED_IDS_MS
        connection.execute(CONFIRM, {"source": source, "ids": list(ids), "at": at})


def ask_events(connection: Connection, events: Sequence[tuple[str, str]]) -> Cursor | None:
    """Ask which of the events (device, key) were committed before."""
    return connection.execute(KNOWN_EVENTS, split(events)) if events else None


def stored_events(asked: Cursor | None) -> dict[tuple[str, str], int]:
    """Those that have a row, and when they were committed."""
    found = [] if asked is None else asked.fetchall()
    return {(device, id_): at for device, id_, at in found}


def known_events(stored: Mapping[tuple[str, str], int], age_from: int) -> set[tuple[str, str]]:
    """Those that are not forgotten."""
    return {event for event, at in stored.items() if at >= age_from - EVENT_IDS_MS}


def save_events(
    connection: Connection,
    counters: Counters,
    events: Sequence[tuple[str, str]],
    stored: Collection[tuple[str, str]],
    now: int,
) -> None:
    """Keep new events; of those that were forgotten some are ``stored`` still."""
    if events:
        connection.execute(SAVE_EVENTS, (now, *split(events)))
        counters.known_events += sum(event not in stored for event in events)


def split(events: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [device for device, _ in events], [id_ for _, id_ in events]
