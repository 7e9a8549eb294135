"""The ids of messages and events that were committed: a repetition is counted and changes nothing.

The column ``known_events.id`` has the key of an event: its id and a hash of what it says.

Message ids are kept in pages, one page per commit. A page is forgotten an hour after the queue has
confirmed the deletion of its last message. Event ids are kept for 24 hours. Both have a bound;
beyond it the oldest go, and stamps make a repetition harmless.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

import apsw

from statecast.stores.counters import Counters
from statecast.stores.retention import CONFIRMED_IDS_MS, EVENT_IDS_MS, MAX_IDS
from statecast.stores.sqlite.driver import integer, row, rows

PAGES_PER_COMMIT = 4
"""How many due pages one commit forgets."""
SPARE = 32
"""A commit forgets at most this many event ids more than it writes: the bound is reached."""


def known(connection: apsw.Connection, source: int, ids: Collection[str]) -> set[str]:
    """Those of the ids that were committed before."""
    found = rows(
        connection,
        "SELECT id FROM known WHERE source = ? AND id IN (SELECT value FROM json_each(?))",
        (source, json.dumps(list(ids))),
    )
    return {id_ for (id_,) in found}


def has_any(connection: apsw.Connection, source: int) -> bool:
    """Whether any id of a source is known."""
    return bool(rows(connection, "SELECT 1 FROM known WHERE source = ? LIMIT 1", (source,)))


def save(connection: apsw.Connection, counters: Counters, source: int, ids: Sequence[str]) -> None:
    """Keep the new ids of one commit as a page."""
    if not ids:
        return
    counters.page += 1
    page = counters.page
    ordered = sorted(ids)
    text = json.dumps(ordered)
    if "\\u" not in text:
        rows(
            connection,
            "INSERT INTO known (source, id, page) SELECT ?, value, ? FROM json_each(?)",
            (source, page, text),
        )
    else:  # SQLite reads a NUL, and half a character, as something else
        connection.executemany(
            "INSERT INTO known (source, id, page) VALUES (?, ?, ?)",
            [(source, id_, page) for id_ in ordered],
        )
    rows(
        connection,
        "INSERT OR REPLACE INTO pages (page, source, size) VALUES (?, ?, ?)",
        (page, source, len(ids)),
    )
    rows(
        connection,
        "INSERT OR REPLACE INTO page_ids (page, ids) VALUES (?, ?)",
        (page, json.dumps(ids)),
    )
    counters.known_ids += len(ids)


def confirm(connection: apsw.Connection, source: int, ids: Collection[str], now: int) -> None:
    """Note confirmed deletions; a page with all of them is forgotten an hour later."""
    if not ids:
        return
    pages = rows(
        connection,
        "SELECT DISTINCT page FROM known "
        "WHERE typeof(page) = 'integer' AND source = ? AND id IN (SELECT value FROM json_each(?))",
        (source, json.dumps(list(ids))),
    )
    confirmed = set(ids)
    for (page,) in pages:
        unconfirmed = [
            id_ for id_ in ids_of(connection, page, "coalesce(open, ids)") if id_ not in confirmed
        ]
        if unconfirmed:
            rows(
                connection,
                "UPDATE page_ids SET open = ? WHERE page = ?",
                (json.dumps(unconfirmed), page),
            )
        else:
            rows(
                connection,
                "UPDATE pages SET forget_at = ? WHERE page = ? AND forget_at IS NULL",
                (now + CONFIRMED_IDS_MS, page),
            )


def ids_of(connection: apsw.Connection, page: int, column: str = "ids") -> list[str]:
    """The ids of a page; none if its row is damaged: then the page is forgotten early.

    That is harmless: stamps decide about a repeated message.
    """
    sql = f"SELECT CAST({column} AS BLOB) FROM page_ids WHERE page = ?"  # noqa: S608
    found = row(connection, sql, (page,))
    try:
        ids = json.loads(found[0]) if found else []
    except (ValueError, TypeError):
        return []
    return [id_ for id_ in ids if isinstance(id_, str)] if isinstance(ids, list) else []


def trim(connection: apsw.Connection, counters: Counters, now: int, limit: int = MAX_IDS) -> None:
    """Forget a few pages that are due, and the oldest ones while there are too many ids."""
    due = rows(
        connection,
        "SELECT page FROM pages WHERE forget_at <= ? ORDER BY forget_at LIMIT ?",
        (now, PAGES_PER_COMMIT),
    )
    for (page,) in due:
        forget(connection, counters, page)
    while counters.known_ids > limit:
        page = row(connection, "SELECT min(page) FROM pages")[0]
        if page is None:  # the ids that are counted have no page
            counters.known_ids = 0
            return
        forget(connection, counters, page)


def forget(connection: apsw.Connection, counters: Counters, page: int) -> None:
    ids = ids_of(connection, page)
    found = row(
        connection,
        "DELETE FROM pages WHERE page = ? "  # noqa: S608
        f"RETURNING {integer('source')}, {integer('size')}",
        (page,),
    )
    source, size = found if found is not None else (0, len(ids))
    rows(connection, "DELETE FROM page_ids WHERE page = ?", (page,))
    gone = rows(
        connection,
        "DELETE FROM known WHERE source = ? AND id IN (SELECT value FROM json_each(?)) RETURNING 1",
        (source, json.dumps(ids)),
    )
    if len(gone) < size:  # one of the rows is damaged
        rows(connection, "DELETE FROM known WHERE page = ?", (page,))
    counters.known_ids -= size


def known_events(
    connection: apsw.Connection, events: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Those of the events (device, key) that were committed before."""
    if not events:
        return set()
    found = rows(
        connection,
        "SELECT known_events.device, known_events.id FROM json_each(?) AS event JOIN known_events "
        "ON known_events.device = event.value ->> 0 AND known_events.id = event.value ->> 1",
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
    connection: apsw.Connection,
    counters: Counters,
    written: int,
    now: int,
    limit: int = MAX_IDS,
) -> None:
    """Forget old event ids in proportion to those that this commit writes."""
    too_many = counters.known_events - limit
    before, count = (2**62, too_many) if too_many > 0 else (now - EVENT_IDS_MS, written + SPARE)
    if not rows(connection, "SELECT 1 FROM known_events WHERE at < ? LIMIT 1", (before,)):
        return  # the deletion alone would cost each commit 40 us
    gone = rows(
        connection,
        "DELETE FROM known_events WHERE (device, id) IN "
        "(SELECT device, id FROM known_events WHERE at < ? ORDER BY at LIMIT ?) RETURNING 1",
        (before, count),
    )
    counters.known_events -= len(gone)
