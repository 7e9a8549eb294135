"""The embedded queue's tables.

A body is written once and deleted once. Which messages are in flight is kept in other tables, so
that receiving a message of 64 KiB does not write its body again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import apsw

from statecast.model import Delivery
from statecast.stores.contract import Limits
from statecast.stores.errors import check_queue_bounds
from statecast.stores.sqlite import counters as counter_row
from statecast.stores.sqlite.database import Database
from statecast.stores.sqlite.driver import row, rows

Received = tuple[int, int, bytes, int]
"""A message that is being received: id, sent_at, body, attempt."""


class SqliteQueue:
    """One queue inside the store's file; any number of processes may send and receive."""

    def __init__(
        self, database: Database, name: str, limits: Limits, clock: Callable[[], int]
    ) -> None:
        self.database = database
        self.name = name
        self.limits = limits
        self.clock = clock
        self.number = self._find() or self._create()

    def _find(self) -> int | None:
        with self.database.read() as connection:
            return self._number(connection)

    def _create(self) -> int:
        with self.database.write() as connection:
            sql = "INSERT INTO queues (name) VALUES (?) ON CONFLICT DO NOTHING"
            rows(connection, sql, (self.name,))
            number = self._number(connection)
        assert number is not None
        return number

    def _number(self, connection: apsw.Connection) -> int | None:
        found = row(connection, "SELECT number FROM queues WHERE name = ?", (self.name,))
        return None if found is None else found[0]

    def append(self, bodies: Sequence[bytes]) -> list[int]:
        """Add all messages or none, durable on return; their ids. Raises QueueFull."""
        now = self.clock()
        size = sum(map(len, bodies))
        with self.database.write() as connection:
            messages, total = self._size(connection)
            check_queue_bounds(self.name, self.limits, messages + len(bodies), total + size)
            counters = counter_row.load(connection)
            first = counters.arrival + 1
            counters.arrival += len(bodies)
            ids = list(range(first, counters.arrival + 1))
            connection.executemany(
                "INSERT INTO queue (queue, id, sent_at, body) VALUES (?, ?, ?, ?)",
                [(self.number, id_, now, body) for id_, body in zip(ids, bodies, strict=True)],
            )
            self._count(connection, len(bodies), size)
            counter_row.save(connection, counters)
        return ids

    def acknowledge_and_receive(
        self, acknowledged: Mapping[str, Sequence[str]], limit: int, visibility_timeout: int
    ) -> list[Delivery]:
        """Delete messages (ids by receipt), and receive up to ``limit`` others, in one transaction.

        Received messages stay hidden for ``visibility_timeout`` ms. The transaction need not be on
        disk on return: what a power cut undoes is delivered again, and its ids are known.
        """
        if not acknowledged and not self._has_visible():
            return []
        with self.database.write(durable=False) as connection:
            for receipt, ids in acknowledged.items():
                self._acknowledge(connection, receipt, ids)
            return self._receive(connection, limit, visibility_timeout) if limit else []

    def size(self) -> tuple[int, int]:
        """The number of messages and their bytes, hidden messages included."""
        with self.database.read() as connection:
            return self._size(connection)

    def oldest(self) -> int | None:
        """When the oldest message was sent, in ms."""
        with self.database.read() as connection:
            sql = "SELECT sent_at FROM queue WHERE queue = ? ORDER BY id LIMIT 1"
            found = row(connection, sql, (self.number,))
        return found[0] if found else None

    def next_visible(self) -> int | None:
        """When the next hidden message appears again, in ms."""
        with self.database.read() as connection:
            sql = "SELECT min(visible_at) FROM receipts WHERE queue = ?"
            found = row(connection, sql, (self.number,))
        return None if found is None else found[0]

    def wait(self, timeout: float) -> None:
        """Return when any process has committed since this thread's last receive."""
        self.database.wait(timeout)

    def _has_visible(self) -> bool:
        """Whether there is a message to receive. It only reads: an idle queue writes nothing."""
        with self.database.read(mark_read=True) as connection:
            fresh = row(
                connection,
                "SELECT 1 FROM queue WHERE queue = :queue "
                "AND id > (SELECT received FROM queues WHERE number = :queue) LIMIT 1",
                {"queue": self.number},
            )
            return bool(fresh) or bool(self._expired(connection, self.clock()))

    def _expired(self, connection: apsw.Connection, now: int) -> list[int]:
        """Receipts whose messages are visible again.

        A clock that was set back must not hide messages forever.
        """
        found = rows(
            connection,
            "SELECT receipt FROM receipts WHERE queue = ? AND (visible_at <= ? OR hidden_at > ?) "
            "ORDER BY receipt",
            (self.number, now, now),
        )
        return [receipt for (receipt,) in found]

    def _acknowledge(self, connection: apsw.Connection, receipt: str, ids: Sequence[str]) -> None:
        """Delete messages that are in flight under this receipt; another receipt's stay."""
        if not receipt.isdigit():
            return
        in_flight = rows(
            connection,
            "DELETE FROM in_flight WHERE receipt = ? "
            "AND id IN (SELECT CAST(value AS INTEGER) FROM json_each(?)) RETURNING id",
            (int(receipt), json.dumps([id_ for id_ in ids if id_.isdecimal()])),
        )
        deleted = rows(
            connection,
            "DELETE FROM queue WHERE queue = ? AND id IN (SELECT value FROM json_each(?)) "
            "RETURNING length(body)",
            (self.number, json.dumps([id_ for (id_,) in in_flight])),
        )
        self._count(connection, -len(deleted), -sum(length for (length,) in deleted))
        self._drop_empty(connection, int(receipt))

    def _receive(
        self, connection: apsw.Connection, limit: int, visibility_timeout: int
    ) -> list[Delivery]:
        now = self.clock()
        found: list[Received] = []
        for receipt in self._expired(connection, now):
            if len(found) < limit:
                found += self._receive_again(connection, receipt, limit - len(found))
        if len(found) < limit:
            found += self._receive_fresh(connection, limit - len(found))
        if not found:
            return []
        found.sort()
        receipt = self._hide(connection, found, now, now + visibility_timeout)
        return [
            Delivery(str(id_), body, sent_at, attempt, str(receipt), id_)
            for id_, sent_at, body, attempt in found
        ]

    def _hide(
        self, connection: apsw.Connection, found: list[Received], now: int, visible_at: int
    ) -> int:
        """Note that messages are in flight; their receipt."""
        counters = counter_row.load(connection)
        counters.receipt += 1
        counter_row.save(connection, counters)
        rows(
            connection,
            "INSERT INTO receipts (receipt, queue, hidden_at, visible_at) VALUES (?, ?, ?, ?)",
            (counters.receipt, self.number, now, visible_at),
        )
        connection.executemany(
            "INSERT INTO in_flight (receipt, id, attempt) VALUES (?, ?, ?)",
            [(counters.receipt, id_, attempt) for id_, _, _, attempt in found],
        )
        return counters.receipt

    def _receive_again(
        self, connection: apsw.Connection, receipt: int, limit: int
    ) -> list[Received]:
        """Messages that were received, and not acknowledged in time."""
        found = rows(
            connection,
            "SELECT queue.id, sent_at, body, attempt + 1 FROM in_flight "
            "JOIN queue ON queue.queue = ? AND queue.id = in_flight.id "
            "WHERE receipt = ? ORDER BY in_flight.id LIMIT ?",
            (self.number, receipt, limit),
        )
        rows(
            connection,
            "DELETE FROM in_flight WHERE receipt = ? AND id IN (SELECT value FROM json_each(?))",
            (receipt, json.dumps([message[0] for message in found])),
        )
        if not found:  # its messages are deleted: no row of the receipt is needed any more
            rows(connection, "DELETE FROM in_flight WHERE receipt = ?", (receipt,))
        self._drop_empty(connection, receipt)
        return found

    def _receive_fresh(self, connection: apsw.Connection, limit: int) -> list[Received]:
        """Messages that were never received."""
        found = rows(
            connection,
            "SELECT id, sent_at, body, 1 FROM queue WHERE queue = :queue "
            "AND id > (SELECT received FROM queues WHERE number = :queue) ORDER BY id LIMIT :limit",
            {"queue": self.number, "limit": limit},
        )
        if found:
            sql = "UPDATE queues SET received = ? WHERE number = ?"
            rows(connection, sql, (found[-1][0], self.number))
        return found

    def _drop_empty(self, connection: apsw.Connection, receipt: int) -> None:
        rows(
            connection,
            "DELETE FROM receipts WHERE receipt = :receipt "
            "AND NOT EXISTS (SELECT 1 FROM in_flight WHERE receipt = :receipt)",
            {"receipt": receipt},
        )

    def _size(self, connection: apsw.Connection) -> tuple[int, int]:
        sql = "SELECT messages, bytes FROM queues WHERE number = ?"
        messages, size = row(connection, sql, (self.number,))
        return messages, size

    def _count(self, connection: apsw.Connection, messages: int, size: int) -> None:
        rows(
            connection,
            "UPDATE queues SET messages = messages + ?, bytes = bytes + ? WHERE number = ?",
            (messages, size, self.number),
        )
