"""The schema of a store in PostgreSQL: transactions, connections, versions of its tables."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from postgres_server import PostgresServer
from statecast.errors import StoreUnavailable, StoreUnusable
from statecast.problems import Problems
from statecast.stores import open_store
from statecast.stores.postgres import database as database_module
from statecast.stores.postgres import migration, pool, schema, server
from statecast.stores.postgres.address import parse
from statecast.stores.postgres.database import PostgresDatabase
from statecast.stores.postgres.driver import rows
from statecast.testing.values import change, message
from statecast.timestamps import now
from waiting import wait_for


@pytest.fixture
def url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.created() as name:
        yield postgres_server.url(name)


def opened(url: str, **more: Any) -> closing[PostgresDatabase]:
    return closing(PostgresDatabase(parse(url), Problems(now), **more))


def version(database: PostgresDatabase) -> tuple[int, int]:
    with database.read() as connection:
        return migration.version(connection, database.address.schema)


def test_a_transaction_is_committed_whole_or_not_at_all(url: str) -> None:
    with opened(url) as database:
        with database.write() as connection:
            connection.execute("UPDATE counters SET clock = 5")
        with pytest.raises(ZeroDivisionError), database.write() as connection:
            connection.execute("UPDATE counters SET clock = 6")
            raise ZeroDivisionError
        with pytest.raises(StoreUnusable, match="nowhere"), database.write() as connection:
            connection.execute("UPDATE counters SET clock = 7")
            connection.execute("UPDATE nowhere SET clock = 7")
        with database.read() as connection:
            assert rows(connection, "SELECT clock FROM counters") == [(5,)]


def test_a_read_is_one_snapshot(url: str) -> None:
    with opened(url) as database, database.read() as reader:
        # given a reader that has read, when another transaction commits
        assert rows(reader, "SELECT clock FROM counters") == [(0,)]
        with database.write() as writer:
            writer.execute("UPDATE counters SET clock = 5")
        # then it sees nothing of that, and may not write
        assert rows(reader, "SELECT clock FROM counters") == [(0,)]
        with database.read() as another:
            assert rows(another, "SELECT clock FROM counters") == [(5,)]


def test_a_reader_writes_nothing(url: str) -> None:
    with (
        opened(url) as database,
        pytest.raises(StoreUnavailable, match="read-only"),
        database.read() as connection,
    ):
        connection.execute("UPDATE counters SET clock = 5")


def test_work_is_repeated_if_others_came_first(url: str) -> None:
    with opened(url) as database:
        tried = []

        def work(connection: pool.Connection) -> int:
            tried.append(1)
            if len(tried) < 3:
                connection.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$")
            connection.execute("UPDATE counters SET clock = clock + 1")
            return len(tried)

        assert database.run(work) == 3
        with database.read() as connection:
            assert rows(connection, "SELECT clock FROM counters") == [(1,)]


def test_a_fork_shares_no_connection(url: str) -> None:
    with opened(url) as database:
        with database.read() as connection:
            (parent,) = rows(connection, "SELECT pg_backend_pid()")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            with database.read() as connection:
                (own,) = rows(connection, "SELECT pg_backend_pid()")
            os.write(writer, b"shared" if own == parent else b"own")
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 10) == b"own"
        os.close(reader), os.close(writer)
        with database.read() as connection:
            assert rows(connection, "SELECT pg_backend_pid()") == [parent]


HOLDS_A_LOCK = """
import os, signal, sys
from statecast.problems import Problems
from statecast.stores.postgres.address import parse
from statecast.stores.postgres.database import PostgresDatabase
database = PostgresDatabase(parse(sys.argv[1]), Problems(lambda: 0))
with database.write() as connection:
    connection.execute("UPDATE counters SET clock = 1").rowcount
    if os.fork() == 0:
        sys.stdin.readline()
        os._exit(0)
    print("forked", flush=True)
    signal.pause()
"""


def test_the_locks_of_a_killed_process_end_although_its_child_runs(url: str) -> None:
    # given a process that stands in a transaction, and has forked a child
    command = [sys.executable, "-c", HOLDS_A_LOCK, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        assert parent.stdout.readline() == b"forked\n"
        # when it is killed, and the child runs on
        parent.kill()
        # then what it had locked is free
        with opened(url) as database, database.write() as connection:
            connection.execute("UPDATE counters SET clock = 2")
        # and the child did run until now
        parent.stdin.write(b"end\n")
        parent.stdin.flush()
        assert parent.stdout.read() == b""


def test_a_child_that_was_forked_in_a_transaction_leaves_it_to_its_parent(url: str) -> None:
    with opened(url) as database:
        with database.write() as connection:
            assert rows(connection, "SELECT 1") == [(1,)]
            child = os.fork()
            if child == 0:
                try:  # what the child does there fails, and what it begins is its own
                    with pytest.raises(psycopg.Error):
                        rows(connection, "SELECT 1")
                    database.pool.give_back(connection)
                    with database.read() as own:
                        assert rows(own, "SELECT clock FROM counters") == [(0,)]
                    os._exit(0)
                except BaseException:
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            connection.execute("UPDATE counters SET clock = 3")
        with database.read() as connection:
            assert rows(connection, "SELECT clock FROM counters") == [(3,)]


def test_a_connection_that_the_server_ended_while_idle_is_not_used(url: str) -> None:
    with opened(url) as database:
        with database.read() as connection:
            (own,) = rows(connection, "SELECT pg_backend_pid()")
        with database.read() as first, database.read() as second:
            rows(first, "SELECT 1")
            (killed,) = rows(second, "SELECT pg_backend_pid()")
        with database.write() as connection:
            rows(connection, "SELECT pg_terminate_backend(%s::int, 5000)", killed)
        with database.read() as connection:
            assert rows(connection, "SELECT pg_backend_pid()") == [own]
        with database.read(), database.read() as second:
            assert rows(second, "SELECT 1") == [(1,)]


def test_a_pool_that_is_exhausted_says_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "POOL_SECONDS", 0.0)
    with opened(f"{url}&pool_size=2") as database:
        with (
            database.read(),
            database.read(),
            pytest.raises(StoreUnavailable, match="All 2 connections of this process"),
            database.read(),
        ):
            pass
        with database.read() as connection:
            assert rows(connection, "SELECT 1") == [(1,)]


def test_attempts_to_connect_grow_rare_and_uneven() -> None:
    # given a server that is away, and a clock that stands still
    time, refusal = [100.0], StoreUnavailable("away")
    backoff = pool.ConnectBackoff(lambda: time[0])
    waits = []
    for _ in range(8):
        assert backoff.refusal() is None
        backoff.failed(refusal)
        begun = time[0]
        while backoff.refusal() is refusal:
            time[0] += 0.01
        waits.append(time[0] - begun)
    # then the waits grow up to two seconds, and no two processes come at the same time
    assert 0.04 <= waits[0] <= 0.12 and all(0.95 <= wait <= 2.02 for wait in waits[-3:])
    others = [pool.ConnectBackoff(lambda: 0.0) for _ in range(50)]
    for one in others:
        one.failed(refusal)
    assert len({one._due for one in others}) > 40
    backoff.succeeded()
    assert backoff.refusal() is None


# -- versions of the tables


def test_a_process_waits_for_a_migration_that_takes_longer_than_a_commit_may(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a process that migrates, and a second one that waits for it
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.05)
    waits = """
        SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND NOT granted AND clock_timestamp() > query_start + %s"""
    with psycopg.connect(url, autocommit=True) as first:
        first.execute("DROP SCHEMA IF EXISTS statecast CASCADE")
        first.execute("SELECT pg_advisory_lock(%s)", (migration.LOCK,))
        opened_later: list[migration.SchemaVersion] = []

        def open_later() -> None:
            with opened(url) as second:
                opened_later.append(version(second))

        thread = threading.Thread(target=open_later)
        thread.start()
        # when it has waited for longer than a commit waits for a lock
        long = timedelta(seconds=0.1)
        wait_for(lambda: first.execute(waits, (long,)).fetchone() == (1,))
    # then it goes on when the first one is ready
    thread.join(30)
    assert [one.number for one in opened_later] == [len(schema.STEPS)]


def test_processes_that_start_at_once_migrate_once(url: str) -> None:
    made: list[bool] = []
    begin = threading.Barrier(6)

    def start() -> None:
        begin.wait()
        with opened(url) as database:
            made.append(database.created)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 5 + [True]


ADDED = schema.SchemaStep("ALTER TABLE counters ADD COLUMN further bigint NOT NULL DEFAULT 0", 1)
BREAKING = schema.SchemaStep(
    "ALTER TABLE counters RENAME COLUMN further TO another", len(schema.STEPS) + 2
)


def test_an_older_program_runs_on_beside_a_newer_one(url: str) -> None:
    with opened(url) as old:
        # given a newer program that has added something
        newer = (len(schema.STEPS) + 1, 1)
        with opened(url, steps=(*schema.STEPS, ADDED)) as new:
            assert version(new) == newer
        # then the old one goes on, and starts again
        assert version(old) == newer
        with opened(url) as again:
            assert version(again) == newer


REMEMBERED = """
    INSERT INTO sources (name) VALUES ('queue');
    INSERT INTO pages (page, source, ids, open) SELECT 1, number, '{m0,m1}', '{}' FROM sources;
    INSERT INTO known (source, id, page) SELECT number, 'm' || n, 1
        FROM sources, generate_series(0, 1) AS n;
    UPDATE counters SET known_ids = 2"""


@pytest.mark.parametrize("before", range(1, len(schema.STEPS)))
def test_a_store_of_an_older_version_takes_the_missing_steps(url: str, before: int) -> None:
    # given the tables of an older version, which know two messages, and a program of then
    with opened(url, steps=schema.STEPS[:before]) as old:
        with old.write() as connection:
            for statement in REMEMBERED.split(";"):
                connection.execute(statement.encode())
        # when a program of now starts
        with closing(open_store(url)) as store:
            # then it knows them, and its tables are those of a new store
            page = [message(f"m{number}", change("pillow", {"n": number})) for number in range(3)]
            done = store.commit("queue", 1, page)
            assert (done.versions, done.duplicates) == (1, 2)
            assert store.check() == []
        # and the older program runs on beside it
        assert version(old) == (len(schema.STEPS), 1)
        with old.read() as connection:
            assert rows(connection, "SELECT count(*) FROM known") == [(3,)]


def test_a_program_that_is_too_old_says_what_to_do(url: str) -> None:
    with opened(url, steps=(*schema.STEPS, ADDED, BREAKING)):
        pass
    with pytest.raises(StoreUnusable, match="needs a newer Statecast"), opened(url):
        pass


def test_a_user_without_rights_to_make_tables_is_told_who_does_it(
    url: str, postgres_server: PostgresServer
) -> None:
    name = url.partition("/test_")[2].partition("?")[0]
    with postgres_server.connect(f"test_{name}") as connection:
        connection.execute("DROP ROLE IF EXISTS weak")
        connection.execute("CREATE ROLE weak LOGIN")
    weak = url.replace("statecast@", "weak@", 1)
    # given no tables, when that user starts, then it says who makes them
    with pytest.raises(StoreUnusable, match="statecast store migrate"), opened(weak):
        pass
    with opened(url) as database, database.write() as connection:
        connection.execute("GRANT USAGE ON SCHEMA statecast TO weak")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA statecast TO weak")
    # given tables, then it runs with what it was granted
    with opened(weak) as database:
        assert version(database) == (len(schema.STEPS), 1)
        with pytest.raises(StoreUnavailable, match="GRANT"), database.write() as connection:
            connection.execute("UPDATE counters SET clock = 1")
    with postgres_server.connect(f"test_{name}") as connection:
        connection.execute("DROP OWNED BY weak")
        connection.execute("DROP ROLE weak")


# -- the server


FITS = server.ServerFacts("15.4", 150004, "UTF8", "on", "on", "on", "on", False, 1)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (FITS._replace(version="14.9", version_number=140009), "needs 15 or newer"),
        (FITS._replace(encoding="LATIN1"), "--encoding UTF8"),
        (FITS._replace(encoding="SQL_ASCII"), "--encoding UTF8"),
    ],
)
def test_a_server_that_does_not_fit_is_refused(facts: server.ServerFacts, sentence: str) -> None:
    FITS.check("db")
    with pytest.raises(StoreUnusable, match=sentence):
        facts.check("db")


@pytest.mark.parametrize("setting", ["synchronous_commit", "fsync", "full_page_writes"])
def test_a_server_that_may_lose_what_was_acknowledged_is_named(setting: str) -> None:
    problems = Problems(now)
    server.report_risks(FITS, "db", problems)
    assert problems.current() == []
    server.report_risks(FITS._replace(**{setting: "off"}), "db", problems)
    (problem,) = problems.current()
    assert f"{setting} is off" in problem.sentence
    server.report_risks(FITS, "db", problems)
    assert problems.current() == []
