"""The ids of messages and events that were taken in: what comes again is counted and changes nothing.

Ids of messages are kept in pages, one per commit: until every acknowledgement of the page is confirmed, then an
hour. Ids of events are kept 24 hours. Both have a bound: beyond it the oldest go, and stamps make a repetition
harmless.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

import apsw

from statecast.stores.sqlite.counters import Counters
from statecast.stores.sqlite.driver import row, rows

KEEP_CONFIRMED_MS = 3600 * 1000
KEEP_EVENTS_MS = 24 * 3600 * 1000
MOST = 1_000_000
PAGES_AT_ONCE = 4
SPARE = 32


def known(connection: apsw.Connection, source: int, ids: Collection[str]) -> set[str]:
    found = rows(
        connection,
        "SELECT id FROM known WHERE source = ? AND id IN (SELECT value FROM json_each(?))",
        (source, json.dumps(list(ids))),
    )
    return {id_ for (id_,) in found}


def save(connection: apsw.Connection, counters: Counters, source: int, ids: Sequence[str]) -> None:
    if not ids:
        return
    counters.page += 1
    page = counters.page
    connection.executemany(
        "INSERT INTO known (source, id, page) VALUES (?, ?, ?)",
        [(source, id_, page) for id_ in sorted(ids)],
    )
    rows(
        connection,
        "INSERT INTO pages (page, source, size) VALUES (?, ?, ?)",
        (page, source, len(ids)),
    )
    rows(connection, "INSERT INTO page_ids (page, ids) VALUES (?, ?)", (page, json.dumps(ids)))
    counters.known_rows += len(ids)


def confirm(connection: apsw.Connection, source: int, ids: Collection[str], now: int) -> None:
    """Note acknowledgements; a page of which every one is confirmed is forgotten an hour later."""
    if not ids:
        return
    pages = rows(
        connection,
        "SELECT DISTINCT page FROM known WHERE source = ? AND id IN (SELECT value FROM json_each(?))",
        (source, json.dumps(list(ids))),
    )
    confirmed = set(ids)
    for (page,) in pages:
        found = row(connection, "SELECT coalesce(open, ids) FROM page_ids WHERE page = ?", (page,))
        still = [id_ for id_ in json.loads(found[0]) if id_ not in confirmed]
        if still:
            rows(
                connection, "UPDATE page_ids SET open = ? WHERE page = ?", (json.dumps(still), page)
            )
        else:
            rows(
                connection,
                "UPDATE pages SET forget_at = ? WHERE page = ? AND forget_at IS NULL",
                (now + KEEP_CONFIRMED_MS, page),
            )


def trim(connection: apsw.Connection, counters: Counters, now: int, most: int = MOST) -> None:
    """Forget a few pages whose time has come, and the oldest while there are too many."""
    due = rows(
        connection,
        "SELECT page FROM pages WHERE forget_at <= ? ORDER BY forget_at LIMIT ?",
        (now, PAGES_AT_ONCE),
    )
    for (page,) in due:
        forget(connection, counters, page)
    while counters.known_rows > most:
        page = row(connection, "SELECT min(page) FROM pages")[0]
        forget(connection, counters, page)


def forget(connection: apsw.Connection, counters: Counters, page: int) -> None:
    source, size = row(
        connection, "DELETE FROM pages WHERE page = ? RETURNING source, size", (page,)
    )
    ids = row(connection, "DELETE FROM page_ids WHERE page = ? RETURNING ids", (page,))[0]
    rows(
        connection,
        "DELETE FROM known WHERE source = ? AND id IN (SELECT value FROM json_each(?))",
        (source, ids),
    )
    counters.known_rows -= size


def known_events(
    connection: apsw.Connection, events: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    if not events:
        return set()
    found = rows(
        connection,
        "SELECT known_events.device, known_events.id FROM json_each(?) AS asked JOIN known_events "
        "ON known_events.device = asked.value ->> 0 AND known_events.id = asked.value ->> 1",
        (json.dumps(events),),
    )
    return set(found)


def save_events(
    connection: apsw.Connection, counters: Counters, events: Sequence[tuple[str, str]], now: int
) -> None:
    if events:
        connection.executemany(
            "INSERT INTO known_events (device, id, at) VALUES (?, ?, ?)",
            [(device, id_, now) for device, id_ in events],
        )
        counters.known_events += len(events)


def trim_events(
    connection: apsw.Connection, counters: Counters, written: int, now: int, most: int = MOST
) -> None:
    before = now - KEEP_EVENTS_MS if counters.known_events <= most else now + 1
    gone = rows(
        connection,
        "DELETE FROM known_events WHERE (device, id) IN "
        "(SELECT device, id FROM known_events WHERE at < ? ORDER BY at LIMIT ?) RETURNING 1",
        (
            before,
            written + SPARE if counters.known_events <= most else counters.known_events - most,
        ),
    )
    counters.known_events -= len(gone)
