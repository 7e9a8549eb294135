"""Mends what ``check`` finds: from the checksums and the history where they tell, else by removal.

Rule 1: a copy of each damaged row goes to quarantine before the row is changed or removed.
Rule 2: it says what is lost. What is derived from other rows (indexes, counters, known ids) is
made again, and nothing is lost by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import apsw

from statecast.errors import StatecastError
from statecast.program.commands import complete, settings_of
from statecast.stores.batch import Batch
from statecast.stores.sqlite import check, quarantine, rebuild
from statecast.stores.sqlite import counters as counter_row
from statecast.stores.sqlite.driver import row as first
from statecast.stores.sqlite.driver import rows
from statecast.stores.sqlite.queue import counted, forget_receipts
from statecast.stores.sqlite.row_reader import Damaged, RowReader, delete_exactly, shown
from statecast.stores.sqlite.tables import sealed, table

QUEUES = table("queues")
DERIVED = {
    *("known", "pages", "page_ids", "known_events", "receipts", "in_flight", "reports"),
    "watch_counts",
}
"""Tables whose rows are no loss: no copy of them is kept."""
RISING = ("offset", "seen", "event", "page", "receipt", "command", "access", "audit")
SECRET = {"access"}
"""Tables whose damaged rows are not copied: the quarantine would show the digests of secrets."""


class DamagedPages(StatecastError):
    """Pages of the file are damaged, which no repair of rows can mend."""

    def __init__(self, found: str, path: Path) -> None:
        sentence = f"Pages of the store's file are damaged, so it cannot be repaired. {found}"
        super().__init__(complete(sentence, settings_of(path)), public=sentence)


@dataclass(slots=True)
class Repair:
    """One repair, inside a transaction that the caller commits."""

    connection: apsw.Connection
    reader: RowReader
    batch: Batch
    """Collects what the repair writes; it has no messages."""
    path: Path

    def mend_all(self) -> Iterator[str]:
        """Mend everything that can be mended; a sentence for each part of it.

        The caller writes the batch then, and calls ``count``.
        """
        pages = list(check.check_pages(self.connection))
        if any(one.page for one in pages):
            raise DamagedPages(pages[0].sentence, self.path)
        if pages:
            rows(self.connection, "REINDEX")
            yield "The indexes were made again."
        yield from self.raise_counters()
        for fault in list(check.check_rows(self.connection)):
            assert fault.damaged is not None
            yield f"{fault.sentence} {self.mend(fault.damaged)}"
        yield from self.mend_agreement()

    def raise_counters(self) -> Iterator[str]:
        """Put rising numbers above what the tables have, so that none is given out twice."""
        counters, derived = self.batch.counters, counter_row.derived(self.connection)
        before = replace(counters)
        for name in RISING:
            setattr(counters, name, max(getattr(counters, name), getattr(derived, name)))
        if counters.arrival < derived.arrival - counter_row.ARRIVAL_GAP:
            counters.arrival = derived.arrival
        if counters != before:
            yield "The counters were raised above the numbers in the tables."

    def count(self) -> Iterator[str]:
        """Put the totals right, after everything is written."""
        counters, derived = self.batch.counters, counter_row.derived(self.connection)
        before = replace(counters)
        for name in check.TOTALS:
            setattr(counters, name, getattr(derived, name))
        counter_row.save(self.connection, self.reader, counters)
        if counters != before:
            yield "The rows were counted again."

    # Rows

    def mend(self, damaged: Damaged) -> str:
        """Mend one row; what was done."""
        name = damaged.table.name
        if name == "devices":
            return self.mend_device(damaged)
        if name not in DERIVED | SECRET:
            self.keep_copy(damaged)
        special: dict[str, Callable[[Damaged], str]] = {
            "counters": self.replace_counters,
            "queues": self.mend_queue,
            "epochs": self.forget_epochs,
            "quarantine": self.replace_quarantined,
        }
        if name in special:
            return special[name](damaged)
        self.remove(damaged)
        if name in SECRET:
            return "It was removed: who it was of has to be given access again."
        return "It was removed."

    def keep_copy(self, damaged: Damaged) -> None:
        self.batch.set_aside.append(quarantine.copy_of(damaged, self.batch.now))

    def remove(self, damaged: Damaged) -> None:
        delete_exactly(self.connection, damaged)
        self.reader.clear(damaged.table, damaged.key)

    def mend_device(self, damaged: Damaged) -> str:
        rebuilt = rebuild.rebuild(self.connection, self.reader, damaged, self.batch.reading())
        copy = quarantine.copy_of(damaged, self.batch.now)
        if not rebuild.is_name(rebuilt.loaded.record.device):
            self.keep_copy(damaged)
            self.remove(damaged)
            rows(self.connection, "DELETE FROM history WHERE device = ?", (damaged.row[0],))
            return "Nothing tells the name of its device; it was removed with its history."
        self.batch.restore(rebuilt.loaded, copy)
        if not rebuilt.lost:
            return "It was rebuilt, and nothing is lost."
        return f"It was rebuilt from its history; lost: {rebuilt.lost}."

    def replace_counters(self, damaged: Damaged) -> str:
        counter_row.save(self.connection, self.reader, self.batch.counters)
        return "It was derived from the tables."

    def mend_queue(self, damaged: Damaged) -> str:
        number = damaged.row[0]
        name = self.queue_name(damaged)
        forget_receipts(self.connection, number)
        rows(self.connection, QUEUES.update, (*sealed((name, 0, 0, 0)), number))
        return f"It was rebuilt as the queue {name!r}; its messages are delivered again."

    def queue_name(self, damaged: Damaged) -> str:
        """The name that fits the checksum, among those of sources; else what the row says."""
        number, _, *rest = damaged.row
        known = rows(self.connection, "SELECT CAST(name AS BLOB) FROM sources WHERE name NOTNULL")
        for (raw,) in known:
            name: str = raw.decode("utf-8", "replace")
            if QUEUES.fits((number, name, *rest)):
                return str(name)
        told = damaged.row[1]
        taken = first(
            self.connection,
            "SELECT 1 FROM queues WHERE name = ? AND number <> ?",
            (told if isinstance(told, str) else "", number),
        )
        return told if isinstance(told, str) and told and not taken else f"recovered-{number}"

    def forget_epochs(self, damaged: Damaged) -> str:
        rows(self.connection, "DELETE FROM epochs WHERE number <= ?", (damaged.row[0],))
        return "It was removed with the older ones; viewers receive all states again."

    def replace_quarantined(self, damaged: Damaged) -> str:
        self.remove(damaged)
        return "A copy of what is left takes its place."

    # What tables must agree on

    def mend_agreement(self) -> Iterator[str]:
        """Make tables agree. What is removed here is derived, or of something that is gone."""
        for sentence, statements in AGREEMENTS:
            before = self.connection.total_changes()
            for statement in statements:
                rows(self.connection, statement)
            changed = self.connection.total_changes() - before
            if changed:
                yield sentence.format(changed)
        for number, *_ in rows(
            self.connection,
            "SELECT DISTINCT queue FROM queue WHERE typeof(queue) = 'integer' "
            "AND queue NOT IN (SELECT number FROM queues)",
        ):
            yield self.adopt_queue(number)
        yield from self.count_queues()

    def adopt_queue(self, number: int) -> str:
        """Give a name to the messages of a queue whose row is gone."""
        name = f"recovered-{shown(number)}"
        forget_receipts(self.connection, number)
        values = (number, *sealed((name, 0, 0, 0)))
        rows(
            self.connection,
            "INSERT INTO queues (number, name, messages, bytes, received, "
            "checksum) VALUES (?, ?, ?, ?, ?, ?)",
            values,
        )
        return f"Messages of a queue whose row is gone are in the queue {name!r} now."

    def count_queues(self) -> Iterator[str]:
        """Count the messages of each queue, and give back those that no receipt has."""
        for number, name, messages, size, received, _ in self.reader.rows(self.connection, QUEUES):
            lost = first(
                self.connection,
                "SELECT min(id) FROM queue WHERE queue = :queue AND id <= :received AND id NOT IN "
                "(SELECT in_flight.id FROM in_flight JOIN receipts USING (receipt) "
                "WHERE receipts.queue = :queue)",
                {"queue": number, "received": received},
            )[0]
            if lost is not None:
                forget_receipts(self.connection, number)
                received = 0
            found = counted(self.connection, number)
            if lost is not None or (messages, size) != found:
                values = sealed((name, *found, received))
                rows(self.connection, QUEUES.update, (*values, number))
                yield f"The queue {name!r} was counted again."


AGREEMENTS = (
    (
        "{} rows of the history of devices that are gone were removed.",
        ("DELETE FROM history WHERE device NOT IN (SELECT id FROM devices)",),
    ),
    (
        "{} rows of messages in flight were removed; those messages are delivered again.",
        (
            "DELETE FROM receipts WHERE queue NOT IN (SELECT number FROM queues) "
            "OR visible_at > hidden_at + 2592000000",
            "DELETE FROM in_flight WHERE receipt NOT IN (SELECT receipt FROM receipts) "
            "OR id NOT IN (SELECT id FROM queue) OR attempt NOT BETWEEN 1 AND 1000000",
            "DELETE FROM receipts WHERE receipt NOT IN (SELECT receipt FROM in_flight)",
        ),
    ),
    (
        "{} rows of known ids were removed; stamps decide about repetitions of these messages.",
        (
            "DELETE FROM known WHERE page NOT IN (SELECT page FROM pages)",
            f"DELETE FROM pages WHERE page IN (SELECT page FROM {check.WRONG_PAGES})",  # noqa: S608
            "DELETE FROM known WHERE page NOT IN (SELECT page FROM pages)",
            "DELETE FROM page_ids WHERE page NOT IN (SELECT page FROM pages)",
        ),
    ),
)
"""A sentence with the number of rows, and the statements."""
