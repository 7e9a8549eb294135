"""The embedded queue's tables. Bodies are written once and deleted once; who holds them stands apart, so that
handing out a message of 64 KiB does not write it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence

import apsw

from statecast.model import Delivery
from statecast.stores.contract import Limits
from statecast.stores.queue_bounds import room
from statecast.stores.sqlite.counters import Counters
from statecast.stores.sqlite.database import Database
from statecast.stores.sqlite.driver import row, rows


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
            found = row(connection, "SELECT number FROM queues WHERE name = ?", (self.name,))
        return None if found is None else found[0]

    def _create(self) -> int:
        with self.database.write() as connection:
            rows(
                connection,
                "INSERT INTO queues (name) VALUES (?) ON CONFLICT DO NOTHING",
                (self.name,),
            )
            number: int = row(connection, "SELECT number FROM queues WHERE name = ?", (self.name,))[
                0
            ]
        return number

    def append(self, bodies: Sequence[bytes]) -> list[int]:
        """Add messages, all or none; durable on return. Raises QueueFull."""
        now = self.clock()
        size = sum(map(len, bodies))
        with self.database.write() as connection:
            held = row(
                connection, "SELECT messages, bytes FROM queues WHERE number = ?", (self.number,)
            )
            room(self.name, self.limits, held[0] + len(bodies), held[1] + size)
            counters = Counters.load(connection)
            first = counters.arrival + 1
            counters.arrival += len(bodies)
            ids = list(range(first, counters.arrival + 1))
            connection.executemany(
                "INSERT INTO queue (queue, id, sent_at, body) VALUES (?, ?, ?, ?)",
                [(self.number, id_, now, body) for id_, body in zip(ids, bodies, strict=True)],
            )
            self._count(connection, len(bodies), size)
            counters.save(connection)
        return ids

    def acknowledge_and_receive(
        self, settled: Mapping[str, Sequence[str]], limit: int, visibility_timeout: int
    ) -> list[Delivery]:
        """Delete what was handled (ids by receipt) and hand out the next page, in one transaction.

        Neither needs to reach the disk before it returns: what a power cut undoes is handed out again and known.
        """
        if not settled and not self._due():
            return []
        with self.database.write(durable=False) as connection:
            for receipt, ids in settled.items():
                self._settle(connection, receipt, ids)
            return self._hand_out(connection, limit, visibility_timeout) if limit else []

    def size(self) -> tuple[int, int]:
        """(messages, bytes), hidden ones included."""
        with self.database.read() as connection:
            messages, size = row(
                connection, "SELECT messages, bytes FROM queues WHERE number = ?", (self.number,)
            )
        return messages, size

    def oldest(self) -> int | None:
        """When the oldest message that waits was sent."""
        with self.database.read() as connection:
            found = row(
                connection,
                "SELECT sent_at FROM queue WHERE queue = ? ORDER BY id LIMIT 1",
                (self.number,),
            )
        return found[0] if found else None

    def next_visible(self) -> int | None:
        """When the next hidden message appears again."""
        with self.database.read() as connection:
            found = row(
                connection, "SELECT min(visible_at) FROM handouts WHERE queue = ?", (self.number,)
            )
        return None if found is None else found[0]

    def wait(self, timeout: float) -> None:
        self.database.wait(timeout)

    def _due(self) -> bool:
        """Whether anything may be handed out: a look, so that an idle queue writes nothing."""
        with self.database.read(looking=True) as connection:
            fresh = row(
                connection,
                "SELECT 1 FROM queue WHERE queue = :q AND id > (SELECT handed FROM queues WHERE number = :q) LIMIT 1",
                {"q": self.number},
            )
            return bool(fresh) or bool(self._expired(connection, self.clock()))

    def _expired(self, connection: apsw.Connection, now: int) -> list[int]:
        """Hand-outs whose time is over. A clock that was set back must not hide messages for ever."""
        found = rows(
            connection,
            "SELECT handout FROM handouts WHERE queue = ? AND (visible_at <= ? OR hidden_at > ?) ORDER BY handout",
            (self.number, now, now),
        )
        return [handout for (handout,) in found]

    def _settle(self, connection: apsw.Connection, receipt: str, ids: Sequence[str]) -> None:
        """Delete messages still held under this receipt; those that were handed to another stay."""
        if not receipt.isdigit():
            return
        handout = int(receipt)
        held = rows(
            connection,
            "DELETE FROM handed WHERE handout = ? AND id IN (SELECT CAST(value AS INTEGER) FROM json_each(?)) "
            "RETURNING id",
            (handout, json.dumps([id_ for id_ in ids if id_.isdecimal()])),
        )
        gone = rows(
            connection,
            "DELETE FROM queue WHERE queue = ? AND id IN (SELECT value FROM json_each(?)) RETURNING length(body)",
            (self.number, json.dumps([id_ for (id_,) in held])),
        )
        self._count(connection, -len(gone), -sum(length for (length,) in gone))
        self._drop_empty(connection, handout)

    def _hand_out(
        self, connection: apsw.Connection, limit: int, visibility_timeout: int
    ) -> list[Delivery]:
        now = self.clock()
        found: list[tuple[int, int, bytes, int]] = []
        for handout in self._expired(connection, now):
            if len(found) < limit:
                found += self._take_back(connection, handout, limit - len(found))
        if len(found) < limit:
            found += self._take_fresh(connection, limit - len(found))
        if not found:
            return []
        counters = Counters.load(connection)
        counters.handout += 1
        counters.save(connection)
        found.sort()
        hidden = (counters.handout, self.number, now, now + visibility_timeout)
        rows(
            connection,
            "INSERT INTO handouts (handout, queue, hidden_at, visible_at) VALUES (?, ?, ?, ?)",
            hidden,
        )
        connection.executemany(
            "INSERT INTO handed (handout, id, attempt) VALUES (?, ?, ?)",
            [(counters.handout, id_, attempt) for id_, _, _, attempt in found],
        )
        receipt = str(counters.handout)
        return [
            Delivery(str(id_), body, sent_at, attempt, receipt, id_)
            for id_, sent_at, body, attempt in found
        ]

    def _take_back(
        self, connection: apsw.Connection, handout: int, limit: int
    ) -> Iterable[tuple[int, int, bytes, int]]:
        found = rows(
            connection,
            "SELECT queue.id, sent_at, body, attempt + 1 FROM handed JOIN queue ON queue.queue = ? "
            "AND queue.id = handed.id WHERE handout = ? ORDER BY handed.id LIMIT ?",
            (self.number, handout, limit),
        )
        rows(
            connection,
            "DELETE FROM handed WHERE handout = ? AND id IN (SELECT value FROM json_each(?))",
            (handout, json.dumps([taken[0] for taken in found])),
        )
        if not found:  # its messages are gone: nothing is left to come back
            rows(connection, "DELETE FROM handed WHERE handout = ?", (handout,))
        self._drop_empty(connection, handout)
        return found

    def _take_fresh(
        self, connection: apsw.Connection, limit: int
    ) -> list[tuple[int, int, bytes, int]]:
        found = rows(
            connection,
            "SELECT id, sent_at, body, 1 FROM queue WHERE queue = :q "
            "AND id > (SELECT handed FROM queues WHERE number = :q) ORDER BY id LIMIT :n",
            {"q": self.number, "n": limit},
        )
        if found:
            rows(
                connection,
                "UPDATE queues SET handed = ? WHERE number = ?",
                (found[-1][0], self.number),
            )
        return found

    def _drop_empty(self, connection: apsw.Connection, handout: int) -> None:
        rows(
            connection,
            "DELETE FROM handouts WHERE handout = :h AND NOT EXISTS (SELECT 1 FROM handed WHERE handout = :h)",
            {"h": handout},
        )

    def _count(self, connection: apsw.Connection, messages: int, size: int) -> None:
        rows(
            connection,
            "UPDATE queues SET messages = messages + ?, bytes = bytes + ? WHERE number = ?",
            (messages, size, self.number),
        )
