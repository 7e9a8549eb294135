"""Looks at everything in the file: its pages and indexes, each row, and what tables must agree on.

Rule 1: a check only reads. It is one snapshot, so it may run while a server writes.
Rule 2: what is not found here cannot be found: a value of the right form, in a table without
checksums, that no other table has.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import apsw

from statecast.model import value_class
from statecast.stores.counters import Counters
from statecast.stores.sqlite import counters as counter_row
from statecast.stores.sqlite import devices, history, migration, tables
from statecast.stores.sqlite.counters import COUNTERS
from statecast.stores.sqlite.driver import row, rows
from statecast.stores.sqlite.file_errors import RESTORE
from statecast.stores.sqlite.row_reader import Content, Damaged, fetch, shown
from statecast.stores.sqlite.tables import Table

log = logging.getLogger(__name__)

CONTENT: dict[str, Content] = {
    "counters": counter_row.content_fault,
    "devices": devices.content_fault,
    "history": history.content_fault,
}


@value_class
class StoreFault:
    """Something that is wrong in the file."""

    subject: str
    """Like ``device pillow`` or ``table queue``."""
    sentence: str
    damaged: Damaged | None = None
    """The row, if it is one row."""
    index: bool = False
    """Only an index is wrong: it is made from the table."""
    page: bool = False
    """A page of the file cannot be read: only a backup helps."""


def check(connection: apsw.Connection) -> Iterator[StoreFault]:
    """Everything that is wrong. The connection is in a transaction."""
    yield from check_pages(connection)
    try:
        yield from check_rows(connection)
        yield from check_agreement(connection)
    except apsw.CorruptError as error:
        yield StoreFault(
            "file", f"A page of the file cannot be read ({error}); {RESTORE}.", page=True
        )


def check_pages(connection: apsw.Connection) -> Iterator[StoreFault]:
    """SQLite's own check of pages and indexes. What it says of single values is found by row."""
    try:
        lines = [
            line for (line,) in rows(connection, f"PRAGMA integrity_check({migration.MAX_LINES})")
        ]
    except apsw.CorruptError as error:
        lines = [str(error)]
    for line in lines:
        if migration.INDEXES(line):
            yield StoreFault("file", f"SQLite finds: {line}.", index=True)
    for line in migration.page_faults(lines):
        yield StoreFault("file", f"SQLite finds: {line}; {RESTORE}.", page=True)


def mend_indexes(connection: apsw.Connection) -> None:
    """Make the indexes of small tables again, if they do not fit their tables.

    A device that its index does not have would get a second row. Damaged pages are left alone.
    """
    for name in ("devices", "sources", "queues"):
        try:
            found = rows(connection, f"PRAGMA integrity_check({name})")
            if any(migration.INDEXES(line) for (line,) in found):
                rows(connection, f"REINDEX {name}")
                log.warning("the indexes of the table %s were damaged; they were made again", name)
        except apsw.CorruptError:
            return


def check_rows(connection: apsw.Connection) -> Iterator[StoreFault]:
    for name, one in tables.described().items():
        for damaged in damaged_rows(connection, one):
            of = "" if damaged.device is None else f", {damaged.subject},"
            text = f"The row {keys(damaged)} of the table {name}{of} is damaged ({damaged.reason})."
            yield StoreFault(damaged.subject, text, damaged)


def keys(damaged: Damaged) -> str:
    return "/".join(map(shown, damaged.key))


def damaged_rows(connection: apsw.Connection, one: Table) -> Iterator[Damaged]:
    """The damaged rows of a table; one row is in memory at a time."""
    content = CONTENT.get(one.name)
    cursor = connection.execute(one.select_bytes)
    try:
        for raw in cursor:
            found = one.decoded(raw)
            fault = one.fault(found, content)
            if fault is not None:
                yield Damaged(one, found, fault)
    finally:
        cursor.close(force=True)  # without: an error of a damaged page would be raised again


def check_agreement(connection: apsw.Connection) -> Iterator[StoreFault]:
    """What the tables must agree on."""
    found = fetch(connection, COUNTERS)
    if not found:
        yield StoreFault("counters 1", "The row of the counters is missing.")
    elif COUNTERS.fault(found[0], counter_row.content_fault) is None:
        yield from check_counters(connection, Counters(*found[0][1:-1]))
    for subject, sql, sentence in DISAGREEMENTS:
        number = row(connection, f"SELECT count(*) FROM {sql}")[0]  # noqa: S608
        if number:
            yield StoreFault(subject, f"{number} {sentence}")


def check_counters(connection: apsw.Connection, counters: Counters) -> Iterator[StoreFault]:
    """A number must not be given out twice, and the totals must be right."""
    should = counter_row.derived(connection)
    for name in ("offset", "seen", "page", "receipt", "command"):
        if getattr(counters, name) < getattr(should, name):
            yield StoreFault(
                "counters 1",
                f"The counter {name} is {getattr(counters, name)}, and the tables go up to "
                f"{getattr(should, name)}.",
            )
    if counters.arrival < should.arrival - counter_row.ARRIVAL_GAP:
        yield StoreFault("counters 1", "The counter arrival is below the newest message.")
    for name in TOTALS:
        if getattr(counters, name) != getattr(should, name):
            yield StoreFault(
                "counters 1",
                f"The counter {name} is {getattr(counters, name)}, and it should be "
                f"{getattr(should, name)}.",
            )


TOTALS = (
    "history_rows",
    "history_bytes",
    "known_ids",
    "known_events",
    "quarantine_rows",
    "devices",
)

WRONG_PAGES = (
    "pages LEFT JOIN page_ids USING (page) WHERE "
    "size IS NOT iif(json_valid(ids), json_array_length(ids), NULL) "
    "OR size IS NOT (SELECT count(*) FROM json_each(iif(json_valid(ids), ids, '[]')) "
    "CROSS JOIN known ON known.source = pages.source AND known.id = value AND known.page = page) "
    "OR (open IS NOT NULL AND NOT json_valid(open))"
)
"""Pages of known ids that do not fit their lists, as a part of a query.

CROSS JOIN keeps SQLite from reading all known ids for each page.
"""

DISAGREEMENTS = (
    (
        "table history",
        "history WHERE device NOT IN (SELECT id FROM devices)",
        "rows of the history are of a device that is not there.",
    ),
    (
        "table queue",
        "queue WHERE queue NOT IN (SELECT number FROM queues)",
        "messages are of a queue that is not there.",
    ),
    (
        "table queues",
        "queues WHERE messages IS NOT (SELECT count(*) FROM queue WHERE queue = number) "
        "OR bytes IS NOT (SELECT coalesce(sum(length(CAST(body AS BLOB))), 0) "
        "FROM queue WHERE queue = number)",
        "queues have other messages than they count.",
    ),
    (
        "table in_flight",
        "queue JOIN queues ON number = queue WHERE id <= received AND id NOT IN "
        "(SELECT in_flight.id FROM in_flight JOIN receipts USING (receipt) "
        "WHERE receipts.queue = number)",
        "received messages have no receipt, so they are not delivered again.",
    ),
    (
        "table receipts",
        "receipts WHERE queue NOT IN (SELECT number FROM queues) "
        "OR visible_at > hidden_at + 2592000000 "
        "OR receipt NOT IN (SELECT receipt FROM in_flight)",
        "receipts are of no queue, or of no message, or hide messages for too long.",
    ),
    (
        "table in_flight",
        "in_flight WHERE receipt NOT IN (SELECT receipt FROM receipts) "
        "OR id NOT IN (SELECT id FROM queue) OR attempt NOT BETWEEN 1 AND 1000000",
        "messages in flight have no receipt, or no message, or no number of attempts.",
    ),
    (
        "table pages",
        WRONG_PAGES,
        "pages of known ids have other ids than they count.",
    ),
    (
        "table known",
        "known WHERE page NOT IN (SELECT page FROM pages)",
        "known ids have no page.",
    ),
    (
        "table page_ids",
        "page_ids WHERE page NOT IN (SELECT page FROM pages)",
        "lists of known ids have no page.",
    ),
)
"""Subject, the rows that are wrong, and what they are."""
