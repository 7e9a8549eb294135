"""How many connections to a file a process has, and which of them are used again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from statecast.errors import StoreUnavailable
from statecast.stores.changes import ReadCursor
from statecast.stores.limits import Limits
from statecast.stores.sqlite.connection_pool import Purpose
from statecast.stores.sqlite.driver import rows
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import VirtualClock, change


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "store.db", Limits(), VirtualClock())
    yield store
    store.close()


def in_threads(number: int, call: object) -> None:
    threads = [threading.Thread(target=call) for _ in range(number)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
        thread.join(10)


def connections(store: SqliteStore) -> set[apsw.Connection]:
    return set(store.database._open)


def test_threads_use_the_store_one_after_the_other_with_the_same_connections(
    store: SqliteStore,
) -> None:
    # given a store that was read and written
    store.edit(change("pillow", {"mood": "happy"}))
    store.devices()
    before = connections(store)
    # when other threads read and write, one after the other
    in_threads(10, store.devices)
    in_threads(10, lambda: store.edit(change("pillow", {"mood": "sleepy"})))
    # then none of them opened a connection
    assert connections(store) == before
    assert len(before) == 2


def test_threads_at_the_same_time_have_a_connection_each_and_few_stay_open(
    store: SqliteStore,
) -> None:
    # given ten threads that read at the same time
    all_read, count = threading.Barrier(11), 10

    def read() -> None:
        with store.database.read() as connection:
            rows(connection, "SELECT * FROM devices")
            all_read.wait(10)
            all_read.wait(10)

    threads = [threading.Thread(target=read) for _ in range(count)]
    for thread in threads:
        thread.start()
    all_read.wait(10)
    assert len(store.database._pool.in_use) == count
    # when they have read
    all_read.wait(10)
    for thread in threads:
        thread.join(10)
    # then a few connections stay for the next readers, beside the one that writes
    assert not store.database._pool.in_use
    assert len(connections(store)) == Purpose.READ.value + Purpose.WRITE.value


def test_a_read_inside_a_write_has_a_connection_of_its_own(store: SqliteStore) -> None:
    store.edit(change("pillow", {"mood": "happy"}))
    with store.database.write() as writing:
        rows(writing, "UPDATE devices SET version = 7")
        # what is not committed is not read
        with store.database.read() as reading:
            assert rows(reading, "SELECT version FROM devices") == [(1,)]
        rows(writing, "UPDATE devices SET version = 1")


def test_a_connection_that_failed_is_not_used_again(store: SqliteStore) -> None:
    # given a connection whose disk fails
    store.devices()
    before = connections(store)
    with pytest.raises(StoreUnavailable), store.database.read():
        raise apsw.IOError("the disk failed")
    # then all that were open are closed, and the next read opens another one
    assert not connections(store)
    store.devices()
    assert connections(store).isdisjoint(before)


def test_a_thread_that_waits_for_commits_keeps_its_connection(store: SqliteStore) -> None:
    # given a thread that has waited
    store.wait(0)
    own = store.database._local.connection
    # when others read
    in_threads(3, store.devices)
    # then it still has the connection that knows what it has seen, and no other thread had it
    store.wait(0)
    assert store.database._local.connection is own
    with store.database.read() as connection:
        assert connection is not own


def test_a_wait_with_a_new_connection_misses_no_commit(store: SqliteStore, tmp_path: Path) -> None:
    # given a thread that has read, and a fork, which closes its connection
    read, forked = threading.Event(), threading.Event()

    def follow() -> None:
        store.read(ReadCursor())
        read.set()
        forked.wait(10)
        store.wait(60)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    assert read.wait(10)
    store.database.before_fork()
    store.database.after_fork()
    # when another process commits before it waits
    other = SqliteStore(tmp_path / "store.db", Limits(), VirtualClock())
    other.edit(change("pillow", {"mood": "happy"}))
    forked.set()
    # then it does not wait for the next commit
    thread.join(10)
    assert not thread.is_alive()
    other.close()
