"""The queues inside the store.

A body is written once and deleted once. Which messages are in flight is kept in other tables, so
that receiving a message of 64 KiB does not write its body again.

Rule 1: whatever changes a queue locks its row first. So ids become visible in their order, and no
receive passes a message that is not committed yet.
Rule 2: ids and receipts come from sequences, so a sender waits for nothing but its own queue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from statecast.model import Delivery
from statecast.stores.contract import Limits
from statecast.stores.errors import check_queue_bounds
from statecast.stores.postgres.database import PostgresDatabase
from statecast.stores.postgres.driver import Connection
from statecast.stores.postgres.session import ProcessSession

Received = tuple[int, int, bytes, str, int]
"""A message that is being received: id, sent_at, body, sender, attempt."""

PAGE = 1_000
"""Messages that are looked at together."""
BEGIN = "INSERT INTO queues (name) VALUES (%s) ON CONFLICT (name) DO NOTHING"
LOCK = "SELECT messages, bytes, received FROM queues WHERE number = %s FOR NO KEY UPDATE"
SAVE = "UPDATE queues SET messages = %s, bytes = %s, received = %s WHERE number = %s"
ADD = """
    INSERT INTO queue (queue, id, sent_at, body, sender)
    SELECT %s, nextval('arrivals'), %s, body, %s
    FROM unnest(%s::bytea[]) WITH ORDINALITY AS added (body, place) ORDER BY place
    RETURNING id"""
FRESH = "SELECT EXISTS (SELECT 1 FROM queue WHERE queue = %s AND id > %s)"
EXPIRED = """
    SELECT receipt FROM receipts
    WHERE queue = %(queue)s AND NOT (visible_at > %(now)s AND hidden_at <= %(now)s)
    ORDER BY receipt"""
"""Neither may a clock that was set back hide messages for long."""
HIDE = """
    INSERT INTO receipts (receipt, queue, hidden_at, visible_at)
    VALUES (nextval('receipt_numbers'), %s, %s, %s) RETURNING receipt"""
IN_FLIGHT = """
    INSERT INTO in_flight (receipt, id, attempt)
    SELECT %s, * FROM unnest(%s::bigint[], %s::bigint[])"""
FORGET = "DELETE FROM in_flight WHERE receipt = %s AND id = ANY(%s) RETURNING id"
DELETE = "DELETE FROM queue WHERE queue = %s AND id = ANY(%s) RETURNING length(body)"
DROP_EMPTY = """
    DELETE FROM receipts WHERE queue = %s
    AND NOT EXISTS (SELECT 1 FROM in_flight WHERE in_flight.receipt = receipts.receipt)"""
MESSAGES = "SELECT id, sent_at, body, sender FROM queue WHERE queue = %s AND "


@dataclass(slots=True)
class LockedQueue:
    """What a queue holds, as its row says it."""

    messages: int
    bytes: int
    received: int
    """Messages with ids above it were never received."""


class PostgresQueue:
    """One queue inside the store; any number of processes may send and receive."""

    def __init__(
        self,
        database: PostgresDatabase,
        session: ProcessSession,
        name: str,
        limits: Limits,
        clock: Callable[[], int],
    ) -> None:
        self.database = database
        self.session = session
        self.name = name
        self.limits = limits
        self.clock = clock
        self.number = self._find() or self._begin()

    def _find(self) -> int | None:
        with self.database.read() as connection:
            found = connection.execute(
                "SELECT number FROM queues WHERE name = %s", (self.name,)
            ).fetchone()
        return found[0] if found else None

    def _begin(self) -> int:
        with self.database.write() as connection:
            connection.execute(BEGIN, (self.name,))
            found = connection.execute(
                "SELECT number FROM queues WHERE name = %s", (self.name,)
            ).fetchone()
        assert found is not None
        number: int = found[0]
        return number

    def append(self, bodies: Sequence[bytes], sender: str = "") -> list[int]:
        """Add all messages or none, durable on return; their ids. Raises QueueFull."""
        size = sum(map(len, bodies))
        with self.database.write() as connection:
            record = self._lock(connection)
            now = self.clock()  # after the lock, so that times are in the order of the ids
            record.messages += len(bodies)
            record.bytes += size
            check_queue_bounds(self.name, self.limits, record.messages, record.bytes)
            ids = connection.execute(ADD, (self.number, now, sender, list(bodies))).fetchall()
            self._save(connection, record)
        return [id_ for (id_,) in ids]

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
            record = self._lock(connection)
            for receipt, ids in acknowledged.items():
                self._acknowledge(connection, record, receipt, ids)
            received = self._receive(connection, record, limit, visibility_timeout)
            self._save(connection, record)
        return received

    def remove(self, wanted: Callable[[Delivery], bool]) -> int:
        """Delete each message that ``wanted`` says, hidden messages included; how many."""
        removed = after = 0
        while page := self._page(after):
            after = page[-1].order or 0
            ids = [one.order for one in page if one.order is not None and wanted(one)]
            if ids:
                removed += self._remove(ids)
        return removed

    def size(self) -> tuple[int, int]:
        """The number of messages and their bytes, hidden messages included."""
        sql = "SELECT messages, bytes FROM queues WHERE number = %s"
        with self.database.read() as connection:
            found = connection.execute(sql, (self.number,)).fetchone()
        return (0, 0) if found is None else (found[0], found[1])

    def oldest(self) -> int | None:
        """When the oldest message was sent, in ms."""
        sql = "SELECT sent_at FROM queue WHERE queue = %s ORDER BY id LIMIT 1"
        with self.database.read() as connection:
            found = connection.execute(sql, (self.number,)).fetchone()
        return None if found is None else found[0]

    def next_visible(self) -> int | None:
        """When the next hidden message appears again, in ms."""
        sql = "SELECT min(visible_at) FROM receipts WHERE queue = %s"
        with self.database.read() as connection:
            found = connection.execute(sql, (self.number,)).fetchone()
        return None if found is None else found[0]

    def wait(self, timeout: float) -> None:
        """Return when any process has committed since this thread's last receive."""
        self.session.wait(timeout)

    def _lock(self, connection: Connection) -> LockedQueue:
        found = connection.execute(LOCK, (self.number,)).fetchone()
        assert found is not None
        return LockedQueue(*found)

    def _save(self, connection: Connection, record: LockedQueue) -> None:
        values = (record.messages, record.bytes, record.received, self.number)
        connection.execute(SAVE, values)

    def _page(self, after: int) -> list[Delivery]:
        """Messages with ids above ``after``, received or not."""
        with self.database.read() as connection:
            found = connection.execute(
                MESSAGES + "id > %s ORDER BY id LIMIT %s", (self.number, after, PAGE)
            ).fetchall()
        return [
            Delivery(str(id_), body, sent_at, order=id_, sender=sender)
            for id_, sent_at, body, sender in found
        ]

    def _remove(self, ids: Sequence[int]) -> int:
        with self.database.write() as connection:
            record = self._lock(connection)
            connection.execute("DELETE FROM in_flight WHERE id = ANY(%s)", (ids,))
            deleted = self._delete(connection, record, ids)
            connection.execute(DROP_EMPTY, (self.number,))
            self._save(connection, record)
        return deleted

    def _has_visible(self) -> bool:
        """Whether there is a message to receive. It only reads: an idle queue writes nothing."""
        sql = "SELECT received FROM queues WHERE number = %s"
        with self.database.read(mark_read=True) as connection:
            found = connection.execute(sql, (self.number,)).fetchone()
            assert found is not None
            fresh = connection.execute(FRESH, (self.number, found[0])).fetchone()
            if fresh is not None and fresh[0]:
                return True
            return bool(self._expired(connection, self.clock()))

    def _expired(self, connection: Connection, now: int) -> list[int]:
        """Receipts whose messages are visible again."""
        found = connection.execute(EXPIRED, {"queue": self.number, "now": now}).fetchall()
        return [receipt for (receipt,) in found]

    def _acknowledge(
        self, connection: Connection, record: LockedQueue, receipt: str, ids: Sequence[str]
    ) -> None:
        """Delete messages that are in flight under this receipt; another receipt's stay."""
        if not receipt.isdecimal():
            return
        named = [int(id_) for id_ in ids if id_.isdecimal()]
        in_flight = [id_ for (id_,) in connection.execute(FORGET, (int(receipt), named)).fetchall()]
        self._delete(connection, record, in_flight)
        connection.execute(f"{DROP_EMPTY} AND receipt = %s", (self.number, int(receipt)))

    def _delete(self, connection: Connection, record: LockedQueue, ids: Sequence[int]) -> int:
        deleted = connection.execute(DELETE, (self.number, ids)).fetchall()
        record.messages -= len(deleted)
        record.bytes -= sum(length for (length,) in deleted)
        return len(deleted)

    def _receive(
        self, connection: Connection, record: LockedQueue, limit: int, visibility_timeout: int
    ) -> list[Delivery]:
        now = self.clock()
        found: list[Received] = []
        for expired in self._expired(connection, now) if limit else ():
            if len(found) < limit:
                found += self._receive_again(connection, expired, limit - len(found))
        if len(found) < limit:
            found += self._receive_fresh(connection, record, limit - len(found))
        if not found:
            return []
        found.sort()
        receipt = self._hide(connection, found, (now, now + visibility_timeout))
        return [
            Delivery(str(id_), body, sent_at, attempt, str(receipt), id_, sender)
            for id_, sent_at, body, sender, attempt in found
        ]

    def _hide(self, connection: Connection, found: list[Received], times: tuple[int, int]) -> int:
        """Note that messages are in flight, from when until when; their receipt."""
        made = connection.execute(HIDE, (self.number, *times)).fetchone()
        assert made is not None
        receipt: int = made[0]
        ids, attempts = [one[0] for one in found], [one[4] for one in found]
        connection.execute(IN_FLIGHT, (receipt, ids, attempts))
        return receipt

    def _receive_again(self, connection: Connection, receipt: int, limit: int) -> list[Received]:
        """Messages that were received, and not acknowledged in time."""
        sql = "SELECT id, attempt FROM in_flight WHERE receipt = %s ORDER BY id LIMIT %s"
        attempts: dict[int, int] = dict(connection.execute(sql, (receipt, limit)).fetchall())
        connection.execute(FORGET, (receipt, list(attempts)))
        connection.execute(f"{DROP_EMPTY} AND receipt = %s", (self.number, receipt))
        found = self._messages(connection, "id = ANY(%s) ORDER BY id", list(attempts))
        return [
            (id_, sent_at, body, sender, attempts[id_] + 1) for id_, sent_at, body, sender in found
        ]

    def _receive_fresh(
        self, connection: Connection, record: LockedQueue, limit: int
    ) -> list[Received]:
        """Messages that were never received."""
        found = self._messages(connection, "id > %s ORDER BY id LIMIT %s", record.received, limit)
        if found:
            record.received = found[-1][0]
        return [(id_, sent_at, body, sender, 1) for id_, sent_at, body, sender in found]

    def _messages(
        self, connection: Connection, rest: str, *values: object
    ) -> list[tuple[int, int, bytes, str]]:
        """Messages of this queue: id, sent_at, body, sender."""
        return connection.execute(MESSAGES + rest, (self.number, *values)).fetchall()
