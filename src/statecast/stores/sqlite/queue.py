"""The embedded queue's tables.

A body is written once and deleted once. Which messages are in flight is kept in other tables, so
that receiving a message of 64 KiB does not write its body again.

A consumer of the same store deletes its messages with ``take``, in the transaction that applies
them. Others acknowledge them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import apsw

from statecast import strict_json
from statecast.model import Delivery, value_class
from statecast.stores.counters import Counters
from statecast.stores.errors import check_queue_bounds
from statecast.stores.group_commit import GroupCommit
from statecast.stores.limits import Limits
from statecast.stores.retention import DAY_MS
from statecast.stores.sqlite import counters as counter_row
from statecast.stores.sqlite import quarantine
from statecast.stores.sqlite.database import Database
from statecast.stores.sqlite.driver import integer, row, rows
from statecast.stores.sqlite.row_reader import Damaged, RowReader, delete_exactly
from statecast.stores.sqlite.tables import Row, sealed, table

Received = tuple[int, int, bytes, str, int]
"""A message that is being received: id, sent_at, body, sender, attempt."""


QUEUES, QUEUE = table("queues"), table("queue")
LONGEST_HIDDEN_MS = 30 * DAY_MS
"""More than a visibility timeout can be: a receipt with a later time is damaged."""
PAGE = 1_000
"""Messages that are looked at together."""
LENGTH = "coalesce(length(CAST(body AS BLOB)), 0)"
IN_FLIGHT = "SELECT id FROM in_flight WHERE receipt = ? ORDER BY id"
BETWEEN = f"""
    SELECT id, {LENGTH} FROM queue WHERE queue = ? AND id BETWEEN ? AND ? LIMIT ?"""  # noqa: S608
DELETE_EACH = f"""
    DELETE FROM queue WHERE queue = ? AND id IN (SELECT value FROM json_each(?))
    RETURNING id, {LENGTH}"""  # noqa: S608
MAX_ATTEMPTS = 1_000_000
"""More than a message can have: a larger number is damaged."""


@dataclass(slots=True)
class QueueRecord:
    """The row of a queue."""

    number: int
    name: str
    messages: int = 0
    bytes: int = 0
    received: int = 0
    """Messages with ids above it were never received."""


def counted(connection: apsw.Connection, number: int) -> tuple[int, int]:
    """The number of messages of a queue and their bytes, from its rows."""
    sql = "SELECT count(*), coalesce(sum(length(CAST(body AS BLOB))), 0) FROM queue WHERE queue = ?"
    found: tuple[int, int] = row(connection, sql, (number,))
    return found


def forget_receipts(connection: apsw.Connection, number: int) -> None:
    """Forget what is in flight: the messages of a queue count as never received."""
    rows(
        connection,
        "DELETE FROM in_flight WHERE receipt IN (SELECT receipt FROM receipts WHERE queue = ?)",
        (number,),
    )
    rows(connection, "DELETE FROM receipts WHERE queue = ?", (number,))


def release_all(connection: apsw.Connection, name: str) -> None:
    """Make all that was received from a queue visible: its receiver may not commit it any more."""
    rows(
        connection,
        "UPDATE receipts SET visible_at = hidden_at "
        "WHERE queue = (SELECT number FROM queues WHERE name = ?)",
        (name,),
    )


class SqliteQueue:
    """One queue inside the store's file; any number of processes may send and receive."""

    def __init__(
        self,
        database: Database,
        reader: RowReader,
        name: str,
        limits: Limits,
        clock: Callable[[], int],
        writes: GroupCommit[Any],
    ) -> None:
        self.database = database
        self.rows = reader
        self.name = name
        self.limits = limits
        self.clock = clock
        self._writes = writes
        self._may_have_more = False
        """The last receive got as many messages as it wanted."""
        self.number = self._find() or self._create()

    def _find(self) -> int | None:
        """The number of the queue, if there is one and nothing of it has to be put right."""
        with self.database.read() as connection:
            found = self._record(connection)
            if found is None or self._orphans(connection, found):
                return None
        return found.number

    def _create(self) -> int:
        with self.database.write() as connection:
            record = self._record(connection)
            if record is None:
                record = self._rebuilt(connection)
            for id_ in self._orphans(connection, record):
                self._adopt(connection, record, id_)
            self.save_record(connection, record)
        return record.number

    def _record(self, connection: apsw.Connection) -> QueueRecord | None:
        """The row of this queue; None if it is damaged or missing."""
        found = self.rows.rows(connection, QUEUES, "WHERE name = ?", (self.name,))
        return QueueRecord(*found[0][:-1]) if found else None

    def open_record(self, connection: apsw.Connection) -> QueueRecord:
        """The row of this queue, put right if it is damaged."""
        return self._record(connection) or self._rebuilt(connection)

    def _rebuilt(self, connection: apsw.Connection) -> QueueRecord:
        """The row of this queue, rebuilt from its messages; a new one if it has none.

        What was received before is received again then, and its ids are known.
        """
        number = self._damaged_number(connection)
        if number is None:
            begun = sealed(
                (
                    self.name,
                    0,
                    0,
                    0,
                )
            )
            return QueueRecord(
                row(connection, f"{QUEUES.insert} RETURNING number", begun)[0], self.name
            )
        forget_receipts(connection, number)
        return QueueRecord(number, self.name, *counted(connection, number))

    def _damaged_number(self, connection: apsw.Connection) -> int | None:
        """The number of the damaged row that is of this queue: it has the name, or had it."""
        _, damaged = self.rows.split(connection, QUEUES)
        for one in damaged:
            number: int = one.row[0]
            named = (number, self.name, *one.row[2:])
            if one.row[1] == self.name or QUEUES.fits(named):
                return number
        return None

    def save_record(self, connection: apsw.Connection, record: QueueRecord) -> None:
        number, *values = astuple(record)
        rows(connection, QUEUES.update, (*sealed((*values,)), number))
        self.rows.clear(QUEUES, (number,))

    def _orphans(self, connection: apsw.Connection, record: QueueRecord) -> list[int]:
        """Messages that were received, and that no receipt has: its row is damaged."""
        found = rows(
            connection,
            "SELECT id FROM queue WHERE queue = :queue AND id <= :received AND id NOT IN "
            "(SELECT in_flight.id FROM in_flight JOIN receipts USING (receipt) "
            "WHERE receipts.queue = :queue)",
            {"queue": record.number, "received": record.received},
        )
        return [id_ for (id_,) in found]

    def _adopt(self, connection: apsw.Connection, record: QueueRecord, id_: int) -> None:
        """Give a message back to its queue: it is visible at once."""
        counters = counter_row.load(connection, self.rows)
        self._hide(connection, record, counters, [(id_, 0, b"", "", 1)], (0, 0))
        counter_row.save(connection, self.rows, counters)

    def append(self, bodies: Sequence[bytes], sender: str = "") -> list[int]:
        """Add all messages or none, durable on return; their ids. Raises QueueFull."""
        ids: list[int] = self._writes.run(Append(self, bodies, sender))
        return ids

    def acknowledge_and_receive(
        self, acknowledged: Mapping[str, Sequence[str]], limit: int, visibility_timeout: int
    ) -> list[Delivery]:
        """Delete messages (ids by receipt), and receive up to ``limit`` others, in one transaction.

        Received messages stay hidden for ``visibility_timeout`` ms. The transaction need not be on
        disk on return: what a power cut undoes is delivered again, and its ids are known.
        """
        if not acknowledged and not self._may_have_more and not self._has_visible():
            return []
        with self.database.write(durable=False, notify=False, keeps_devices=True) as connection:
            record = self.open_record(connection)
            for receipt, ids in acknowledged.items():
                self._acknowledge(connection, record, receipt, ids)
            received = self._receive(connection, record, limit, visibility_timeout)
            self.save_record(connection, record)
        self._may_have_more = 0 < limit == len(received)
        if received:
            self.database.notifier.note_news()
        return received

    def take(self, connection: apsw.Connection, received: Sequence[Delivery]) -> set[str]:
        """Delete received messages, in the transaction of their commit.

        Returns the ids of those that are not there: they left with a commit before.
        """
        record = self.open_record(connection)
        ids = [int(one.id) for one in received]
        there = set(self._delete(connection, record, sorted(ids))) if ids else set()
        for receipt in {one.receipt for one in received}:
            wanted = {id_ for id_, one in zip(ids, received, strict=True) if one.receipt == receipt}
            self._end_flight(connection, int(receipt), wanted)
        self.save_record(connection, record)
        return {str(id_) for id_ in ids if id_ not in there}

    def release(self, receipts: Collection[str]) -> None:
        """Make the messages that were received under these receipts visible at once."""
        named = [int(receipt) for receipt in receipts if receipt.isdecimal()]
        with self.database.write(durable=False) as connection:
            rows(
                connection,
                "UPDATE receipts SET visible_at = hidden_at "
                "WHERE queue = ? AND receipt IN (SELECT value FROM json_each(?))",
                (self.number, json.dumps(named)),
            )

    def remove(self, wanted: Callable[[Delivery], bool]) -> int:
        """Delete each message that ``wanted`` says, hidden messages included; how many."""
        removed = after = 0
        while page := self._page(after):
            after = page[-1].order or 0
            ids = [int(one.id) for one in page if wanted(one)]
            if ids:
                removed += self._remove(ids)
        return removed

    def _page(self, after: int) -> list[Delivery]:
        """Messages with ids above ``after``, received or not, without damaged ones."""
        rest = "WHERE queue = ? AND id > ? ORDER BY id LIMIT ?"
        with self.database.read() as connection:
            found = self.rows.rows(connection, QUEUE, rest, (self.number, after, PAGE))
        return [
            Delivery(str(id_), body, sent_at, order=id_, sender=sender)
            for _, id_, sent_at, body, sender, _ in found
        ]

    def _remove(self, ids: Sequence[int]) -> int:
        with self.database.write() as connection:
            record = self.open_record(connection)
            in_flight = "DELETE FROM in_flight WHERE id IN (SELECT value FROM json_each(?))"
            rows(connection, in_flight, (json.dumps(ids),))
            deleted = len(self._delete(connection, record, ids))
            rows(
                connection,
                "DELETE FROM receipts WHERE queue = ? "
                "AND receipt NOT IN (SELECT receipt FROM in_flight)",
                (record.number,),
            )
            self.save_record(connection, record)
        return deleted

    def size(self) -> tuple[int, int]:
        """The number of messages and their bytes, hidden messages included."""
        with self.database.read() as connection:
            record = self._record(connection)
        return (0, 0) if record is None else (record.messages, record.bytes)

    def oldest(self) -> int | None:
        """When the oldest message was sent, in ms."""
        with self.database.read() as connection:
            found = row(
                connection,
                f"SELECT {integer('sent_at')} FROM queue "  # noqa: S608
                "WHERE queue = ? ORDER BY id LIMIT 1",
                (self.number,),
            )
        return found[0] if found else None

    def next_visible(self) -> int | None:
        """When the next hidden message appears again, in ms."""
        with self.database.read() as connection:
            sql = f"SELECT min({integer('visible_at')}) FROM receipts WHERE queue = ?"  # noqa: S608
            found = row(connection, sql, (self.number,))
        return None if found is None else found[0]

    def wait(self, timeout: float) -> None:
        """Return when any process has committed since this thread's last receive."""
        self.database.wait(timeout)

    def _has_visible(self) -> bool:
        """Whether there is a message to receive. It only reads: an idle queue writes nothing."""
        with self.database.read(mark_read=True) as connection:
            record = self._record(connection)
            if record is None:  # the write puts it right
                return True
            sql = "SELECT 1 FROM queue WHERE queue = ? AND id > ? LIMIT 1"
            fresh = row(connection, sql, (record.number, record.received))
            return bool(fresh) or bool(self._expired(connection, self.clock()))

    def _expired(self, connection: apsw.Connection, now: int) -> list[int]:
        """Receipts whose messages are visible again.

        Neither a clock that was set back nor a damaged row may hide messages forever.
        """
        found = rows(
            connection,
            "SELECT receipt FROM receipts WHERE queue = :queue AND NOT "
            "(typeof(visible_at) = 'integer' AND typeof(hidden_at) = 'integer' "
            "AND visible_at > :now AND hidden_at <= :now AND visible_at <= hidden_at + :longest) "
            "ORDER BY receipt",
            {"queue": self.number, "now": now, "longest": LONGEST_HIDDEN_MS},
        )
        return [receipt for (receipt,) in found]

    def _acknowledge(
        self, connection: apsw.Connection, record: QueueRecord, receipt: str, ids: Sequence[str]
    ) -> None:
        """Delete messages that are in flight under this receipt; another receipt's stay."""
        if not receipt.isdigit():
            return
        wanted = {int(id_) for id_ in ids if id_.isdecimal()}
        done = self._end_flight(connection, int(receipt), wanted)
        if done:
            self._delete(connection, record, done)

    def _end_flight(
        self, connection: apsw.Connection, receipt: int, wanted: Collection[int]
    ) -> list[int]:
        """Forget that messages are in flight under a receipt; those that were, ascending."""
        held = [id_ for (id_,) in rows(connection, IN_FLIGHT, (receipt,))]
        done = [id_ for id_ in held if id_ in wanted]
        if len(done) == len(held):  # the usual case, and much cheaper
            rows(connection, "DELETE FROM in_flight WHERE receipt = ?", (receipt,))
        else:
            rows(
                connection,
                "DELETE FROM in_flight WHERE receipt = ? "
                "AND id IN (SELECT value FROM json_each(?))",
                (receipt, json.dumps(done)),
            )
        self._drop_empty(connection, receipt)
        return done

    def _delete(
        self, connection: apsw.Connection, record: QueueRecord, ids: Sequence[int]
    ) -> list[int]:
        """Delete messages; the ids of those that were there. ``ids`` ascend.

        Mostly they lie side by side, and deleting a range costs a fourth of deleting each.
        """
        between = record.number, ids[0], ids[-1]
        found = rows(connection, BETWEEN, (*between, len(ids) + 1))
        if {id_ for id_, _ in found} <= set(ids):
            rows(connection, "DELETE FROM queue WHERE queue = ? AND id BETWEEN ? AND ?", between)
        else:
            found = rows(connection, DELETE_EACH, (record.number, json.dumps(ids)))
        record.messages -= len(found)
        record.bytes -= sum(length for _, length in found)
        return [id_ for id_, _ in found]

    def _receive(
        self,
        connection: apsw.Connection,
        record: QueueRecord,
        limit: int,
        visibility_timeout: int,
    ) -> list[Delivery]:
        now = self.clock()
        found: list[Received] = []
        for receipt in self._expired(connection, now) if limit else ():
            if len(found) < limit:
                found += self._receive_again(connection, record, receipt, limit - len(found))
        if len(found) < limit:
            found += self._receive_fresh(connection, record, limit - len(found))
        if not found:
            return []
        found.sort()
        counters = counter_row.load(connection, self.rows)
        receipt = self._hide(connection, record, counters, found, (now, now + visibility_timeout))
        counter_row.save(connection, self.rows, counters)
        return [
            Delivery(str(id_), body, sent_at, attempt, str(receipt), id_, sender)
            for id_, sent_at, body, sender, attempt in found
        ]

    def _hide(
        self,
        connection: apsw.Connection,
        record: QueueRecord,
        counters: Counters,
        found: list[Received],
        times: tuple[int, int],
    ) -> int:
        """Note that messages are in flight, from when until when; their receipt."""
        counters.receipt += 1
        rows(
            connection,
            "INSERT OR REPLACE INTO receipts (receipt, queue, hidden_at, visible_at) "
            "VALUES (?, ?, ?, ?)",
            (counters.receipt, record.number, *times),
        )
        for attempt in {message[-1] for message in found}:
            ids = [message[0] for message in found if message[-1] == attempt]
            rows(
                connection,
                "INSERT OR REPLACE INTO in_flight (receipt, id, attempt) "
                "SELECT ?, value, ? FROM json_each(?)",
                (counters.receipt, attempt, strict_json.encode_checked(ids).decode()),
            )
        return counters.receipt

    def _receive_again(
        self, connection: apsw.Connection, record: QueueRecord, receipt: int, limit: int
    ) -> list[Received]:
        """Messages that were received, and not acknowledged in time."""
        in_flight = dict(
            rows(
                connection,
                f"SELECT id, {integer('attempt')} FROM in_flight "  # noqa: S608
                "WHERE receipt = ? AND typeof(id) = 'integer' ORDER BY id LIMIT ?",
                (receipt, limit),
            )
        )
        found = self._messages(
            connection,
            record,
            "id IN (SELECT value FROM json_each(?)) ORDER BY id",
            (json.dumps(list(in_flight)),),
        )
        rows(
            connection,
            "DELETE FROM in_flight WHERE receipt = ? AND id IN (SELECT value FROM json_each(?))",
            (receipt, json.dumps(list(in_flight))),
        )
        if not in_flight:  # what is left of it is damaged
            rows(connection, "DELETE FROM in_flight WHERE receipt = ?", (receipt,))
        self._drop_empty(connection, receipt)
        return [
            (id_, sent_at, body, sender, min(max(in_flight[id_], 0), MAX_ATTEMPTS) + 1)
            for id_, sent_at, body, sender in found
        ]

    def _receive_fresh(
        self, connection: apsw.Connection, record: QueueRecord, limit: int
    ) -> list[Received]:
        """Messages that were never received."""
        found = self._messages(
            connection, record, "id > ? ORDER BY id LIMIT ?", (record.received, limit)
        )
        if found:
            record.received = found[-1][0]
        return [(id_, sent_at, body, sender, 1) for id_, sent_at, body, sender in found]

    def _messages(
        self, connection: apsw.Connection, record: QueueRecord, rest: str, bindings: Row
    ) -> list[tuple[int, int, bytes, str]]:
        """Messages of this queue: id, sent_at, body, sender.

        Damaged ones go to quarantine as they are.
        """
        whole, damaged = self.rows.split(
            connection, QUEUE, f"WHERE queue = ? AND {rest}", (record.number, *bindings)
        )
        if damaged:
            self._quarantine(connection, record, damaged)
        return [(id_, sent_at, body, sender) for _, id_, sent_at, body, sender, _ in whole]

    def _quarantine(
        self, connection: apsw.Connection, record: QueueRecord, damaged: list[Damaged]
    ) -> None:
        """Move damaged messages to quarantine: they are not applied, and not delivered again."""
        counters = counter_row.load(connection, self.rows)
        now = self.clock()
        copies = [quarantine.copy_of(one, now) for one in damaged]
        counters.quarantine_rows += len(copies)
        quarantine.save(connection, copies, counters, self.limits.quarantine_rows)
        for one in damaged:
            record.messages -= 1
            record.bytes -= len(one.row[3]) if isinstance(one.row[3], bytes | str) else 0
            delete_exactly(connection, one)
            self.rows.clear(QUEUE, one.key)
        counter_row.save(connection, self.rows, counters)

    def _drop_empty(self, connection: apsw.Connection, receipt: int) -> None:
        rows(
            connection,
            "DELETE FROM receipts WHERE receipt = :receipt "
            "AND NOT EXISTS (SELECT 1 FROM in_flight WHERE receipt = :receipt)",
            {"receipt": receipt},
        )


@value_class
class Append:
    """Messages that are to be added to a queue, all or none."""

    queue: SqliteQueue
    bodies: Sequence[bytes]
    sender: str


class QueueWriter:
    """The messages that one transaction adds to queues."""

    def __init__(self, connection: apsw.Connection, counters: Counters, now: int) -> None:
        self._connection = connection
        self._counters = counters
        self._now = now
        """Read in the transaction, so that times are in the order of the ids."""
        self._records: dict[str, tuple[SqliteQueue, QueueRecord]] = {}
        self._rows: list[Row] = []

    def append(self, wanted: Append) -> list[int]:
        """Add messages; their ids. Raises QueueFull; then nothing has changed."""
        queue, bodies = wanted.queue, wanted.bodies
        if queue.name not in self._records:
            self._records[queue.name] = queue, queue.open_record(self._connection)
        record = self._records[queue.name][1]
        messages = record.messages + len(bodies)
        size = record.bytes + sum(map(len, bodies))
        check_queue_bounds(queue.name, queue.limits, messages, size)
        record.messages, record.bytes = messages, size
        first = self._counters.arrival + 1
        self._counters.arrival += len(bodies)
        ids = list(range(first, self._counters.arrival + 1))
        self._rows += [
            sealed((record.number, id_, self._now, body, wanted.sender))
            for id_, body in zip(ids, bodies, strict=True)
        ]
        return ids

    def save(self) -> None:
        """Write the messages and what was counted. The counters of the store are the caller's."""
        if self._rows:
            self._connection.executemany(QUEUE.insert, self._rows)
        for queue, record in self._records.values():
            queue.save_record(self._connection, record)
