"""What the server reads for a commit: what the commit names, however large the tables have become.

Plans are kept for the whole life of a connection, and a table that has just grown has no
statistics. A plan that was good while the table was small must not read it whole afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from postgres_server import PostgresServer
from statecast.commands.life import NewCommand
from statecast.model import Answer, Delivery, Message
from statecast.stores import open_store
from statecast.stores.changes import ReadCursor
from statecast.stores.leases import reaction_lease
from statecast.stores.limits import Limits
from statecast.stores.postgres import maintenance
from statecast.stores.postgres.store import PostgresStore
from statecast.testing.values import change, message

BATCH = 20
"""Messages of one commit."""
PLANNED = 15
"""Commits after which every statement has the plan that its connection keeps."""
VERSIONS = 5
"""That a device may have: beyond it each commit deletes old ones."""
ROWS = 3_000
"""By so much each table grows then."""
ENTRIES = 20
"""Entries of indexes and rows that a commit may read of one table, for each of its messages."""

READ = """
    SELECT relname, seq_tup_read + (
        SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relid = tables.relid)
    FROM pg_stat_user_tables AS tables
    WHERE EXISTS (SELECT 1 FROM pg_index WHERE indrelid = relid)"""
KEEP_SMALL = "ALTER TABLE {} SET (autovacuum_enabled = off)"
GROW = """
    INSERT INTO known (source, id, page) SELECT number, 'old' || n, 1
        FROM sources, generate_series(1, {rows}) AS n;
    INSERT INTO pages (page, source, ids, open, forget_at)
        SELECT -n, 1, '{{}}', '{{}}', 2^62 FROM generate_series(1, {rows}) AS n;
    INSERT INTO known_events (device, id, at) SELECT 'pillow0', 'old' || n, 2^52
        FROM generate_series(1, {rows}) AS n;
    INSERT INTO devices (device) SELECT 'old' || n FROM generate_series(1, {rows}) AS n;
    INSERT INTO history SELECT -n, -1, -n, 0, NULL, '', '', '', 0,
        extract(epoch FROM now()) * 1000 FROM generate_series(1, {rows}) AS n;
    INSERT INTO queue (queue, id, sent_at, body) SELECT number, nextval('arrivals'), 0, ''
        FROM queues, generate_series(1, {rows});
    INSERT INTO commands (number, change, id, device, name, arguments, status, created_at,
        expires_at) SELECT -n, -n, 'old' || n, 'old', 'hug', '{{}}', 'done', 2^52, 2^52
        FROM generate_series(1, {rows}) AS n;
    INSERT INTO quarantine (source, id, reason, body, sent_at, arrival, attempts, at, device)
        SELECT 'queue', '', '', '', 0, 0, 1, 0, 'old' FROM generate_series(1, {rows});
    INSERT INTO requests SELECT 'old' || n, 2^52, 0 FROM generate_series(1, {rows}) AS n;
    INSERT INTO in_flight SELECT -n, n, 1 FROM generate_series(1, {rows}) AS n;
"""

MANY_HANDLED = """
    INSERT INTO devices (device, "offset", state)
        SELECT 'old/' || n, "offset" - {rows} + n, ''
        FROM counters, generate_series(1, {rows}) AS n;
    INSERT INTO reacted (reaction, device, "offset", state)
        SELECT 'mail', device, "offset", '' FROM devices WHERE device LIKE 'old/%';
"""


Turn = Callable[[PostgresStore, int], None]


def commit(store: PostgresStore, turn: int) -> None:
    store.commit("queue", 1, page(turn), confirmed=[one.delivery.id for one in page(turn - 1)])


def page(turn: int) -> list[Message]:
    return [
        message(f"m{turn}-{number}", change(f"pillow{number}", {"n": turn}))
        for number in range(BATCH)
    ]


def commit_events(store: PostgresStore, turn: int) -> None:
    store.commit(
        "events",
        1,
        [
            message(
                f"e{turn}-{number}",
                change(f"pillow{number}", {"n": turn}, event_id=f"e{turn}"),
            )
            for number in range(BATCH)
        ],
    )


def send_and_receive(store: PostgresStore, turn: int) -> None:
    queue = store.queue("queue")
    queue.append([b"body"] * BATCH)
    received = queue.acknowledge_and_receive({}, BATCH, 30_000)
    queue.acknowledge_and_receive(by_receipt(received), 0, 30_000)


def by_receipt(received: list[Delivery]) -> dict[str, list[str]]:
    return {received[0].receipt: [one.id for one in received]}


def edit(store: PostgresStore, turn: int) -> None:
    for number in range(BATCH):
        store.edit(change(f"pillow{number}", {"n": turn}, by="user"))


def command(store: PostgresStore, turn: int) -> None:
    device = f"pillow{turn % BATCH}"
    store.begin_command(NewCommand(f"c{turn}", device, "hug", key=f"k{turn}"))
    (given,) = store.hand_out(device)
    done = replace(change(device, {"n": -turn}), answer=Answer(given.id, "done"))
    store.commit("queue", 1, [message(f"a{turn}", done)])
    store.commands(device, limit=3)


def ask(store: PostgresStore, turn: int) -> None:
    edit(store, turn)
    head = store.read_position().offset
    assert len(store.read(ReadCursor(head - 3)).updates) == 3
    assert store.read_names(head - 2, 10).offset == head
    assert store.get("pillow3") and store.history("pillow3", limit=2)
    store.devices(after="pillow2", limit=4)
    store.neighbours("pillow2", 2)
    store.quarantined(device="pillow1")
    store.known_ids("queue", ["m0-0"])


def delete_what_is_old(store: PostgresStore, turn: int) -> None:
    store._maintenance._aged_at = None
    commit(store, turn)


@pytest.mark.parametrize(
    "turn",
    [commit, commit_events, send_and_receive, edit, command, ask, delete_what_is_old],
    ids=lambda turn: turn.__name__,
)
def test_a_commit_reads_what_it_names(
    postgres_server: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch, turn: Turn
) -> None:
    monkeypatch.setattr(maintenance, "EVERY_MS", 10**12)  # it comes when its turn is tested
    with closing(opened(postgres_server.url(name))) as store:
        # given statements that were planned while the tables were small
        with store.database.write() as connection:
            for table in ("known", "pages", "known_events", "devices", "history", "queue"):
                connection.execute(KEEP_SMALL.format(table).encode())
        store.queue("queue")
        commit(store, 0)
        for number in range(PLANNED):
            turn(store, number)
        # when the tables grow, and the statements are used again
        with store.database.write() as connection:
            for statement in GROW.format(rows=ROWS).split(";")[:-1]:
                connection.execute(statement.encode())
        before = read(store)
        turn(store, PLANNED)
        # then what they read of each table is in proportion to what they name
        after = read(store)
        much = {table: after[table] - before[table] for table in after}
        assert {one: rows for one, rows in much.items() if rows > ENTRIES * BATCH} == {}


def test_a_take_over_of_a_reaction_reads_what_has_changed(
    postgres_server: PostgresServer, name: str
) -> None:
    with closing(opened(postgres_server.url(name))) as store:
        with store.database.write() as connection:
            for table in ("devices", "reacted", "history"):
                connection.execute(KEEP_SMALL.format(table).encode())

        def take_over() -> list[str]:
            lease = store.lease(reaction_lease("mail"))
            assert lease is not None
            reaction = store.reaction("mail", ["pillow3", "old/*"])
            reaction.begin(lease.term)
            found = reaction.unhandled()
            for device in found:
                reaction.note(device, store.get(device), lease.term)
            lease.release()
            return found

        # given a reaction that has handled all of very many devices, by statements that were
        # planned while there were few
        for turn in range(PLANNED):
            commit(store, turn)
            take_over()
        with store.database.write() as connection:
            for statement in MANY_HANDLED.format(rows=ROWS).split(";")[:-1]:
                connection.execute(statement.encode())
        assert take_over() == []
        # when some devices have changed since the last take-over
        before = read(store)
        commit(store, PLANNED)
        assert take_over() == ["pillow3"]
        assert take_over() == []
        # then it reads these, and no other
        after = read(store)
        much = {table: after[table] - before[table] for table in after}
        assert {one: rows for one, rows in much.items() if rows > ENTRIES * BATCH} == {}


def opened(url: str) -> PostgresStore:
    """With one connection, so that its statements have the plans that it has kept."""
    store = open_store(f"{url}&pool_size=2", Limits(history_versions=VERSIONS))
    assert isinstance(store, PostgresStore)
    return store


def read(store: PostgresStore) -> dict[str, int]:
    """How many entries and rows were read of each table."""
    with store.database.read() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
    with store.database.read() as connection:
        return {table: int(rows) for table, rows in connection.execute(READ.encode()).fetchall()}
