"""What a store in PostgreSQL takes on disk, while ten million changes replace each other.

Two processes commit pages of messages as consumers do, each with a lease and a report; every tenth
page comes through an embedded queue. So each table is written the way a busy Statecast writes it.
The history reaches its bound after a tenth of the run: from there on all tables should stay as
large as they are.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NamedTuple

import psycopg

from benchmarks import postgres, processes
from benchmarks.processes import BenchmarkError, answer
from benchmarks.report import Row
from statecast.model import Message
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from statecast.stores.limits import Limits
from statecast.testing import change, message
from statecast.timestamps import now

CHANGES = 10_000_000
QUICK = 100_000
DEVICES = 10_000
CLIENTS = 2
PAGE = 1_000
THROUGH_QUEUE = 10
"""Every tenth page."""
REPORT_SECONDS = 2.0
MARKS = 10
"""How often the tables are measured."""
TENTH_SECONDS = 3_600
MB = 1_000_000
WORTH_A_ROW = 10 * MB
SMALL = ("counters", "leases", "queues", "reports", "sources", "totals")
"""Tables with few rows, each of which is written again and again: in its page (HOT), it should."""
MOODS = ("happy", "calm", "sleepy")

RELATIONS = """
    SELECT pg_class.oid, relname, relkind, coalesce(indrelid, pg_class.oid),
        pg_relation_size(pg_class.oid)
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    LEFT JOIN pg_index ON indexrelid = pg_class.oid
    WHERE nspname = 'statecast' AND relkind IN ('r', 'i') ORDER BY relname"""
WRITES = """
    SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del, n_live_tup, n_dead_tup,
        autovacuum_count
    FROM pg_stat_user_tables WHERE schemaname = 'statecast' ORDER BY relname"""
LOG = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"
CONTRIB = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pgstattuple'"
TUPLES = "SELECT tuple_count, dead_tuple_count FROM pgstattuple(%s::regclass)"


class Table(NamedTuple):
    """One table at one moment."""

    heap: int
    """Bytes, without its indexes."""
    indexes: int
    live: int
    dead: int
    updates: int
    in_page: int
    """Updates that wrote no index (HOT)."""
    vacuums: int
    """By autovacuum."""

    @property
    def size(self) -> int:
        return self.heap + self.indexes


class Mark(NamedTuple):
    """The store after so many changes."""

    changes: int
    tables: dict[str, Table]
    indexes: dict[str, int]
    """Bytes of each index."""
    log: int
    """Bytes of WAL since the beginning of the server."""

    @property
    def size(self) -> int:
        return sum(table.size for table in self.tables.values())


def rows(quick: bool) -> list[Row]:
    return measure(QUICK if quick else CHANGES)


def measure(changes: int) -> list[Row]:
    """Each tenth is also written to stderr: the run takes the better part of an hour."""
    with postgres.server(pinned=False) as own:
        url = own.url(own.create())
        marks: list[Mark] = []
        with psycopg.connect(url, autocommit=True) as connection:
            for mark in run(url, connection, changes):
                marks.append(mark)
                tell(mark)
    return report_rows(marks)


def run(url: str, connection: psycopg.Connection[Any], changes: int) -> Iterator[Mark]:
    """Let the clients commit, a tenth at a time, and look at the tables after each."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(processes.python("benchmarks.bloat", url, str(number)))
            for number in range(CLIENTS)
        ]
        for tenth in range(1, MARKS + 1):
            for client in clients:
                client.send(changes=changes // MARKS // CLIENTS)
            for client in clients:
                client.receive(TENTH_SECONDS)
            yield look(connection, changes * tenth // MARKS)


def look(connection: psycopg.Connection[Any], changes: int) -> Mark:
    """Measure each table and index. Tuples are counted where the server has pgstattuple."""
    connection.execute("SELECT pg_stat_clear_snapshot()")
    relations = connection.execute(RELATIONS).fetchall()
    counted = has_contrib(connection)
    tables = {}
    for name, *writes in connection.execute(WRITES).fetchall():
        (oid,) = (one[0] for one in relations if one[1] == name and one[2] == "r")
        heap = sum(size for one, _, _, _, size in relations if one == oid)
        indexes = sum(size for one, _, _, of, size in relations if of == oid != one)
        _, updates, in_page, _, live, dead, vacuums = writes
        if counted:
            live, dead = connection.execute(TUPLES, (oid,)).fetchone() or (live, dead)
        tables[name] = Table(heap, indexes, live, dead, updates, in_page, vacuums)
    sizes = {name: size for _, name, kind, _, size in relations if kind == "i"}
    (log,) = connection.execute(LOG).fetchone() or (0,)
    return Mark(changes, tables, sizes, int(log))


def has_contrib(connection: psycopg.Connection[Any]) -> bool:
    found = connection.execute(CONTRIB).fetchone()
    if found is None or not found[0]:
        return False
    connection.execute("CREATE EXTENSION IF NOT EXISTS pgstattuple SCHEMA public")
    return True


# What is reported


def tell(mark: Mark) -> None:
    """One tenth as JSON, for a run that does not reach its end."""
    facts = {
        "changes": mark.changes,
        "log": mark.log,
        "size": mark.size,
        "tables": {name: one._asdict() for name, one in mark.tables.items() if one.live},
        "indexes": {name: size for name, size in mark.indexes.items() if size >= MB},
    }
    print(json.dumps(facts), file=sys.stderr, flush=True)


def report_rows(marks: Sequence[Mark]) -> list[Row]:
    first, last = marks[0], marks[-1]
    log = (last.log - first.log) / (last.changes - first.changes)
    return [
        growth("all tables and indexes", first.size, last.size, last.changes),
        *(
            growth(f"table {name}", first.tables[name].size, table.size, last.changes, table)
            for name, table in last.tables.items()
            if table.size >= WORTH_A_ROW
        ),
        *(
            Row(f"bloat: updates of {name} that write no index", share(table), "%")
            for name, table in last.tables.items()
            if name in SMALL and table.updates
        ),
        Row("bloat: log (WAL) of one change", log, "bytes"),
    ]


def growth(what: str, first: int, last: int, changes: int, table: Table | None = None) -> Row:
    notes = [f"{first / MB:.0f} MB after a tenth"]
    if table is not None:
        notes.append(f"{table.live} live and {table.dead} dead rows, {table.vacuums} vacuums")
    return Row(f"bloat: {what} after {changes} changes", last / MB, "MB", note="; ".join(notes))


def share(table: Table) -> float:
    return table.in_page / table.updates * 100


# A client


class Client:
    """Commits pages of messages about its own half of the devices, as a consumer does."""

    def __init__(self, url: str, number: int) -> None:
        self.store = open_store(url, Limits())
        self.number = number
        self.source = f"source{number}"
        self.queue = EmbeddedQueue(self.store, f"queue{number}")
        lease = self.store.lease(self.source)
        if lease is None:
            raise BenchmarkError(f"another process has the lease of {self.source}")
        self.lease = lease
        self.sent = 0
        self.confirmed: list[str] = []
        """Ids of the page before, whose messages have left their queue."""
        self.announced = 0.0

    def commit(self, changes: int) -> None:
        for page in range(changes // PAGE):
            one = [self.message() for _ in range(PAGE)]
            if page % THROUGH_QUEUE:
                self.apply(one)
            else:
                self.queue.send_many([item.delivery.body for item in one])
                found = self.queue.receive(PAGE, 0)
                self.apply([replace(item, delivery=got) for item, got in zip(one, found)])
                self.confirmed += self.queue.acknowledge(found)
            self.lease.note_progress()
            self.announce()

    def apply(self, page: Sequence[Message]) -> None:
        self.store.commit(self.source, 1, page, term=self.lease.term, confirmed=self.confirmed)
        self.confirmed = [one.delivery.id for one in page]

    def message(self) -> Message:
        """A partial message of one of this client's devices. Each is a visible change."""
        self.sent += 1
        device = random.randrange(self.number, DEVICES, CLIENTS)
        state = {"battery": self.sent % 101, "mood": MOODS[self.sent % 3], "count": self.sent}
        one = change(f"floor{device % 10}/pillow{device}", state)
        return message(f"{self.source}-{self.sent}", one, sent_at=now())

    def announce(self) -> None:
        if time.monotonic() - self.announced > REPORT_SECONDS:
            self.announced = time.monotonic()
            self.store.announce(self.source, {"viewers": 0, "sent": self.sent})


def main(url: str, number: int) -> None:
    client = Client(url, number)
    for line in sys.stdin:
        client.commit(json.loads(line)["changes"])
        answer(sent=client.sent)
    client.lease.release()
    client.store.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
