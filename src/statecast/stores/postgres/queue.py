"""The queues inside the store.

A body is written once and deleted once. Which messages are in flight is kept in other tables, so
that receiving a message of 64 KiB does not write its body again.

Rule 1: whatever changes a queue locks its row first. So ids become visible in their order, and no
receive passes a message that is not committed yet.
Rule 2: ids and receipts come from sequences, so a sender waits for nothing but its own queue.
Rule 3: a time is read after the queue is locked, so times are in the order of the ids, and no
receive takes what another one has just hidden for what was hidden by a clock that is ahead.
Rule 4: rows are found one by one in their index (``LATERAL ... OFFSET 0``), whatever the planner
takes the size of a queue for. A plan that was made for a short queue would read a long one whole.
Rule 5: a receive compares the term of the lease after it has locked the queue, and a take-over
raises the term and releases in one transaction. So a former holder takes no message away from the
next one, which would be applied after those that follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from statecast.model import Delivery
from statecast.stores.errors import check_queue_bounds, lease_lost
from statecast.stores.limits import Limits
from statecast.stores.postgres import counters as counter_row
from statecast.stores.postgres.clock import CLOCK, ServerClock
from statecast.stores.postgres.database import PostgresDatabase
from statecast.stores.postgres.driver import Connection, Cursor, only_row
from statecast.stores.postgres.session import ProcessSession

Received = tuple[int, int, bytes, str, int]
"""A message that is being received: id, sent_at, body, sender, attempt."""

PAGE = 1_000
"""Messages that are looked at together."""
FIND = "SELECT number FROM queues WHERE name = %s"
BEGIN = "INSERT INTO queues (name) VALUES (%s) ON CONFLICT (name) DO NOTHING"
LOCK = "SELECT messages, bytes, received FROM queues WHERE number = %s FOR NO KEY UPDATE"
SAVE = "UPDATE queues SET messages = %s, bytes = %s, received = %s WHERE number = %s"
TIME = f"(SELECT coalesce(%(now)s::bigint, {CLOCK}))"
"""The time of a statement: the given one, as in tests, or the server's."""
NEXT_IDS = "SELECT nextval('arrivals') FROM generate_series(1, %s)"
ADD = f"""
    INSERT INTO queue (queue, id, sent_at, body, sender)
    SELECT %(queue)s, id, {TIME}, body, %(sender)s
    FROM unnest(%(ids)s::bigint[], %(bodies)s::bytea[]) AS added (id, body)"""
MESSAGES = "SELECT id, sent_at, body, sender FROM queue WHERE queue = %s AND "
FRESH = """
    SELECT id, sent_at, body, sender FROM queue
    WHERE queue = %(queue)s AND id > (SELECT received FROM queues WHERE number = %(queue)s)
    ORDER BY id LIMIT %(limit)s"""
NAMED = """
    SELECT found.* FROM unnest(%(ids)s::bigint[]) AS named (id), LATERAL (
        SELECT id, sent_at, body, sender FROM queue
        WHERE queue = %(queue)s AND id = named.id OFFSET 0) AS found
    ORDER BY id"""
TERM = "SELECT term FROM sources WHERE name = %s"
HAS_FRESH = """
    SELECT EXISTS (
        SELECT 1 FROM queue
        WHERE queue = %(queue)s AND id > (SELECT received FROM queues WHERE number = %(queue)s))"""
EXPIRED = f"""
    SELECT clock.now, ARRAY(
        SELECT receipt FROM receipts
        WHERE queue = %(queue)s AND NOT (visible_at > clock.now AND hidden_at <= clock.now)
        ORDER BY receipt)
    FROM {TIME} AS clock (now)"""
"""Neither may a clock that was set back hide messages for long."""
NEXT_RECEIPT = "SELECT nextval('receipt_numbers')"
HIDE = "INSERT INTO receipts (receipt, queue, hidden_at, visible_at) VALUES (%s, %s, %s, %s)"
IN_FLIGHT = """
    INSERT INTO in_flight (receipt, id, attempt)
    SELECT %s, one.* FROM unnest(%s::bigint[], %s::bigint[]) AS one"""
FORGET = """
    DELETE FROM in_flight WHERE ctid = ANY(ARRAY(
        SELECT found.place
        FROM unnest(%(receipts)s::bigint[], %(ids)s::bigint[]) AS named (receipt, id), LATERAL (
            SELECT ctid AS place FROM in_flight
            WHERE in_flight.receipt = named.receipt AND in_flight.id = named.id
            OFFSET 0) AS found))
    RETURNING id"""
DELETE = """
    DELETE FROM queue WHERE ctid = ANY(ARRAY(
        SELECT found.place FROM gone, LATERAL (
            SELECT ctid AS place FROM queue
            WHERE queue = %(queue)s AND id = gone.id OFFSET 0) AS found))
    RETURNING length(body)"""
SUMMED = "SELECT count(*), coalesce(sum(length), 0)::bigint FROM deleted"
ACKNOWLEDGE = f"WITH gone AS ({FORGET}), deleted AS ({DELETE}) {SUMMED}"
"""It deletes messages that are in flight under these receipts; another receipt's stay."""
REMOVE = f"""
    WITH gone AS (SELECT unnest(%(ids)s::bigint[]) AS id), deleted AS ({DELETE}) {SUMMED}"""
RELEASE = """
    UPDATE receipts SET visible_at = hidden_at WHERE queue = %s AND receipt = ANY(%s)"""
LOCK_NAMED = "SELECT FROM queues WHERE name = %s FOR NO KEY UPDATE"
RELEASE_ALL = """
    UPDATE receipts SET visible_at = hidden_at
    WHERE queue = (SELECT number FROM queues WHERE name = %s)"""
"""A statement of its own: the one that locks does not see what was committed while it waited."""
NOT_IN_FLIGHT = "DELETE FROM in_flight WHERE id = ANY(%s)"
DROP_EMPTY = """
    DELETE FROM receipts WHERE queue = %s
    AND NOT EXISTS (SELECT 1 FROM in_flight WHERE in_flight.receipt = receipts.receipt)"""


@dataclass(slots=True)
class LockedQueue:
    """What a queue holds, as its row says it."""

    messages: int
    bytes: int
    received: int
    """Messages with ids above it were never received."""

    def subtract(self, deleted: Cursor) -> int:
        """Take off what was deleted: a row with the number of messages, and their bytes."""
        messages, size = only_row(deleted)
        self.messages -= messages
        self.bytes -= size
        return int(messages)


def release_all(connection: Connection, name: str) -> None:
    """Make all that was received from a queue visible: its receiver may not commit it any more."""
    connection.execute(LOCK_NAMED, (name,))
    connection.execute(RELEASE_ALL, (name,))


class AskedQueue(NamedTuple):
    """The row of a queue, locked; its answer is on its way."""

    cursor: Cursor

    def answer(self) -> LockedQueue:
        return LockedQueue(*only_row(self.cursor))


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
        self._undelivered: set[int] = set()
        """Receipts of receives that may be committed, and did not return what they hide."""
        self.number = self._find() or self._begin()

    def _find(self) -> int | None:
        with self.database.read() as connection:
            found = connection.execute(FIND, (self.name,)).fetchone()
        return found[0] if found else None

    def _begin(self) -> int:
        with self.database.write() as connection:
            connection.execute(BEGIN, (self.name,))
            (number,) = only_row(connection.execute(FIND, (self.name,)))
        return int(number)

    def append(self, bodies: Sequence[bytes], sender: str = "") -> list[int]:
        """Add all messages or none, durable on return; their ids. Raises QueueFull.

        They are added once, whatever happens to the connection. Raises OutcomeUnknown if the
        server stays away.
        """

        def work(connection: Connection, request: str) -> tuple[list[int], Cursor]:
            locked = self._lock(connection)
            made = connection.execute(NEXT_IDS, (len(bodies),))  # after the lock
            record = locked.answer()
            record.messages += len(bodies)
            record.bytes += sum(map(len, bodies))
            check_queue_bounds(self.name, self.limits, record.messages, record.bytes)
            ids = [id_ for (id_,) in made.fetchall()]
            values = {"ids": ids, "bodies": list(bodies), "sender": sender}
            connection.execute(ADD.encode(), self._values | values)
            self._save(connection, record)
            return ids, counter_row.remember(connection, request, self._values["now"])

        return self.database.run_remembered(work)[0]

    def acknowledge_and_receive(
        self, acknowledged: Mapping[str, Sequence[str]], limit: int, visibility_timeout: int
    ) -> list[Delivery]:
        """Delete messages (ids by receipt), and receive up to ``limit`` others, in one transaction.

        Received messages stay hidden for ``visibility_timeout`` ms. The transaction need not be on
        disk on return: what a power cut undoes is delivered again, and its ids are known. It has
        two round trips, unless messages are received again. It wakes no reader: the commit of what
        was received does. Raises LeaseLost if another process has taken over the source of this
        name.
        """
        if not acknowledged and not self._undelivered and not self._has_visible():
            return []
        with self.database.write(durable=False, notify=False) as connection:
            locked = self._lock(connection)
            made = connection.execute(NEXT_RECEIPT)
            term = self.session.terms.get(self.name) if limit else None
            newest = None if term is None else connection.execute(TERM, (self.name,))
            deleted = self._acknowledge(connection, acknowledged)
            self._release(connection, self._undelivered)
            expired = connection.execute(EXPIRED.encode(), self._values)
            fresh = connection.execute(FRESH, self._values | {"limit": limit})
            record = locked.answer()
            if newest is not None and newest.fetchone() != (term,):
                raise lease_lost(self.name)
            if deleted is not None:
                record.subtract(deleted)
            now, receipts = only_row(expired)
            found: list[Received] = []
            for receipt in receipts if limit else ():
                if len(found) < limit:
                    found += self._receive_again(connection, receipt, limit - len(found))
            new = fresh.fetchall()[: limit - len(found)]
            found = sorted([*found, *((*one, 1) for one in new)])
            record.received = new[-1][0] if new else record.received
            (receipt,) = only_row(made)
            if found:
                self._undelivered.add(receipt)
                self._hide(connection, receipt, found, (now, now + visibility_timeout))
            self._save(connection, record)
        self._undelivered.clear()
        return [
            Delivery(str(id_), body, sent_at, attempt, str(receipt), id_, sender)
            for id_, sent_at, body, sender, attempt in found
        ]

    def release(self, receipts: Collection[str]) -> None:
        """Make the messages that were received under these receipts visible at once."""
        with self.database.write(durable=False) as connection:
            self._lock(connection)
            self._release(connection, [int(one) for one in receipts if one.isdecimal()])

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

    @property
    def _values(self) -> dict[str, Any]:
        """Those of most statements."""
        now = None if isinstance(self.clock, ServerClock) else self.clock()
        return {"queue": self.number, "now": now}

    def _lock(self, connection: Connection) -> AskedQueue:
        return AskedQueue(connection.execute(LOCK, (self.number,)))

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
        def work(connection: Connection, request: str) -> tuple[int, Cursor]:
            record = self._lock(connection).answer()
            connection.execute(NOT_IN_FLIGHT, (ids,))
            removed = connection.execute(REMOVE, self._values | {"ids": ids})
            deleted = record.subtract(removed)
            connection.execute(DROP_EMPTY, (self.number,))
            self._save(connection, record)
            return deleted, counter_row.remember(connection, request, self._values["now"])

        return self.database.run_remembered(work)[0]

    def _has_visible(self) -> bool:
        """Whether there is a message to receive. It only reads: an idle queue writes nothing."""
        with self.database.read(mark_read=True) as connection:
            fresh = connection.execute(HAS_FRESH, self._values)
            _, expired = only_row(connection.execute(EXPIRED.encode(), self._values))
            return bool(expired) or bool(only_row(fresh)[0])

    def _acknowledge(
        self, connection: Connection, acknowledged: Mapping[str, Sequence[str]]
    ) -> Cursor | None:
        """Delete messages that are in flight under these receipts; how many, and their bytes."""
        named = [
            (int(receipt), int(id_))
            for receipt, ids in acknowledged.items()
            for id_ in ids
            if receipt.isdecimal() and id_.isdecimal()
        ]
        if not named:
            return None
        receipts, ids = map(list, zip(*named, strict=True))
        values = self._values | {"receipts": receipts, "ids": ids}
        deleted = connection.execute(ACKNOWLEDGE, values)
        self._drop_empty(connection, set(receipts))
        return deleted

    def _drop_empty(self, connection: Connection, receipts: Collection[int]) -> None:
        connection.execute(f"{DROP_EMPTY} AND receipt = ANY(%s)", (self.number, list(receipts)))

    def _release(self, connection: Connection, receipts: Collection[int]) -> None:
        if receipts:
            connection.execute(RELEASE, (self.number, list(receipts)))

    def _hide(
        self, connection: Connection, receipt: int, found: list[Received], times: tuple[int, int]
    ) -> None:
        """Note that messages are in flight, from when until when."""
        ids, attempts = [one[0] for one in found], [one[4] for one in found]
        connection.execute(HIDE, (receipt, self.number, *times))
        connection.execute(IN_FLIGHT, (receipt, ids, attempts))

    def _receive_again(self, connection: Connection, receipt: int, limit: int) -> list[Received]:
        """Messages that were received, and not acknowledged in time."""
        sql = "SELECT id, attempt FROM in_flight WHERE receipt = %s ORDER BY id LIMIT %s"
        attempts: dict[int, int] = dict(connection.execute(sql, (receipt, limit)).fetchall())
        named = {"receipts": [receipt] * len(attempts), "ids": list(attempts)}
        connection.execute(FORGET, named)
        self._drop_empty(connection, [receipt])
        found = connection.execute(NAMED, self._values | {"ids": list(attempts)})
        return [
            (id_, sent_at, body, sender, attempts[id_] + 1)
            for id_, sent_at, body, sender in found.fetchall()
        ]
