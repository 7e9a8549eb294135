"""Many writers of a store in PostgreSQL at once: nothing is lost, doubled, skipped or held up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import pytest

from postgres_server import PostgresServer
from statecast import strict_json
from statecast.errors import DevicesFull, LeaseLost
from statecast.model import Position
from statecast.stores import open_store
from statecast.stores.changes import ReadCursor
from statecast.stores.limits import Limits
from statecast.stores.postgres import changes, counters, database, queue, sources
from statecast.stores.postgres.driver import Connection, rows
from statecast.stores.postgres.store import PostgresStore
from statecast.testing.values import change, message, refused
from waiting import wait_for


@pytest.fixture
def url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.created() as name:
        yield postgres_server.url(name)


def opened(url: str, limits: Limits | None = None) -> closing[PostgresStore]:
    store = open_store(url, limits)
    assert isinstance(store, PostgresStore)
    return closing(store)


def commit(store: PostgresStore) -> list[str]:
    """What is refused of a batch with two new devices."""
    page = [message(name, change(name, {"n": 1})) for name in ("a", "b")]
    return [str(row.device) for row in store.commit("queue", 1, page).set_aside]


def edit(store: PostgresStore) -> list[str]:
    try:
        store.edit(change("a", {"n": 1}, by="user"))
        store.edit(change("b", {"n": 1}, by="user"))
    except DevicesFull:
        return ["b" if store.get("a") else "a"]
    return []


def replay(store: PostgresStore) -> list[str]:
    for row in store.quarantined():
        store.replay(row.number, message(row.id, change(row.id, {"n": 1})), 1)
    return [row.id for row in store.quarantined()]


@pytest.mark.parametrize("write", [commit, edit, replay])
@pytest.mark.parametrize(
    ("bound", "full"), [(2, ["a", "b"]), (3, ["b"]), (4, [])], ids=["none", "one", "both"]
)
def test_there_are_never_more_devices_than_there_may_be(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[PostgresStore], list[str]],
    bound: int,
    full: list[str],
) -> None:
    limits = Limits(max_devices=bound)
    with opened(url, limits) as store, opened(url, limits) as other:
        # given another process that adds two devices, after this one has counted those that are
        # there, and before it writes
        store.commit("replayed", 1, [refused("a"), refused("b")])
        hold = counters.hold

        def late(connection: Connection) -> None:
            monkeypatch.setattr(counters, "hold", hold)
            other.commit("other", 1, [message("x", change("x", {"n": 1}), change("y", {"n": 1}))])
            hold(connection)

        monkeypatch.setattr(counters, "hold", late)
        # when both have written, then there are as many as there may be, and the rest is refused
        assert write(store)[-2:] == full[: 1 if write is edit else 2]
        assert len(store.devices()) == min(bound, 4)
        assert store.check() == []


DEVICES = ["a", "b", "c", "d", "e"]
WRITERS, COMMITS = 6, 15


def test_writers_that_want_the_same_new_devices_at_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "REPEATABLE", ())
    with ExitStack() as stack:
        stores = [stack.enter_context(opened(url)) for _ in range(WRITERS)]
        begin = threading.Barrier(WRITERS + 1)
        failures: list[BaseException] = []

        def write(number: int) -> None:
            begin.wait()
            try:
                for step in range(COMMITS):
                    # each in another order, so that locks taken in that order would deadlock
                    names = DEVICES[number % 5 :] + DEVICES[: number % 5]
                    id_ = f"{number}-{step}"
                    all_ = [change(name, {f"w{number}": step}) for name in names]
                    stores[number].commit(f"queue{number}", 1, [message(id_, *all_)])
                    stores[number].edit(change(f"own/{id_}", {"n": step}, by="user"))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
        for thread in threads:
            thread.start()
        begin.wait()
        # meanwhile a reader follows, from one cursor to the next
        cursor, known = ReadCursor(), dict[str, Any]()
        while any(thread.is_alive() for thread in threads) or cursor.offset < head(stores[0]):
            found = stores[0].read(cursor)
            offsets = [update.offset for update in found.updates]
            assert offsets == sorted(offsets) and all(one > cursor.offset for one in offsets)
            known |= {update.device: update for update in found.updates}
            cursor = found.cursor
        for thread in threads:
            thread.join()
        assert failures == []
        # then every message has its effect, each version its own offset, and none is left out
        last = {f"w{number}": COMMITS - 1 for number in range(WRITERS)}
        for name in DEVICES:
            update = stores[0].get(name)
            assert update is not None and strict_json.decode(update.state or b"") == last
            assert update.version == WRITERS * COMMITS
        assert head(stores[0]) == WRITERS * COMMITS * (len(DEVICES) + 1)
        # and the reader has what the store has
        assert known == {update.device: update for update in stores[0].devices()}
        assert stores[0].check() == []


def head(store: PostgresStore) -> int:
    return store.read_position().offset


def test_writers_of_different_devices_do_not_wait_for_each_other(url: str) -> None:
    with opened(url) as store, opened(url) as other:
        # given a transaction that has locked a device, and not come to its end
        store.edit(change("slow", {"n": 1}, by="user"))
        with store.database.write() as connection:
            rows(connection, "SELECT FROM devices WHERE device = 'slow' FOR UPDATE")
            # then others commit all the same
            assert other.edit(change("quick", {"n": 1}, by="user")) is not None
        assert store.check() == []


@pytest.mark.parametrize("begin", [database.READ, database.WRITE])
def test_a_read_passes_no_update_that_it_has_not_seen(
    url: str, monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    is_planted = begin == database.WRITE  # the planted bug: two statements of READ COMMITTED
    with opened(url) as store, opened(url) as other:
        store.edit(change("pillow", {"n": 1}, by="user"))
        load = counters.load

        def commit_between(connection: Connection) -> Any:
            monkeypatch.setattr(counters, "load", load)
            rows(connection, "SELECT 1")  # the states have been read; their offset has not
            other.edit(change("pillow", {"n": 2}, by="user"))
            return load(connection)

        monkeypatch.setattr(counters, "load", commit_between)
        monkeypatch.setattr(database, "READ", begin)
        first = changes_of(store, ReadCursor())
        following = changes_of(store, first.cursor)
        versions = [one.version for one in (*first.updates, *following.updates)]
        assert versions == ([1] if is_planted else [1, 2])


def changes_of(store: PostgresStore, cursor: ReadCursor) -> changes.Changes:
    with store.database.read() as connection:
        return changes.read(connection, cursor, None, store._watch)


def test_the_next_holder_gets_what_a_receive_takes_while_it_waits(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(url) as store, opened(url) as other:
        store.queue("queue").append([b"1", b"2"])
        lease = store.lease("queue")
        assert lease is not None
        # given a holder whose receive is not committed yet when its lease is lost
        hides, may_commit = threading.Event(), threading.Event()
        save = queue.PostgresQueue._save

        def late(self: queue.PostgresQueue, *values: Any) -> None:
            save(self, *values)
            hides.set()
            may_commit.wait(30)

        monkeypatch.setattr(queue.PostgresQueue, "_save", late)
        receive = store.queue("queue").acknowledge_and_receive
        with ThreadPoolExecutor(2) as threads:
            received = threads.submit(receive, {}, 1, 30_000)
            assert hides.wait(30)
            lease.release()
            # when it commits while the next holder waits for it
            taken = threads.submit(other.lease, "queue")
            wait_for(lambda: any_waits(store), "the next holder does not wait for the queue")
            may_commit.set()
            assert [one.body for one in received.result()] == [b"1"]
            assert taken.result() is not None
        # then the next holder receives that too
        found = other.queue("queue").acknowledge_and_receive({}, 9, 30_000)
        assert [(one.body, one.attempt) for one in found] == [(b"1", 2), (b"2", 1)]


def test_a_former_holder_receives_nothing_that_the_next_one_would_miss(url: str) -> None:
    with opened(url) as store, opened(url) as other:
        # given a holder whose lease another one has got, and that does not know it yet
        former = store.queue("queue")
        lease = store.lease("queue")
        assert lease is not None
        former.append([b"1", b"2"])
        (first,) = former.acknowledge_and_receive({}, 1, 30_000)
        with other.database.write() as connection:
            sources.raise_term(connection, "queue")
            queue.release_all(connection, "queue")
        # when it goes on, then it learns that, and what it acknowledges is not deleted
        with pytest.raises(LeaseLost):
            former.acknowledge_and_receive({first.receipt: [first.id]}, 1, 30_000)
        # and the next holder receives all, in their order
        found = other.queue("queue").acknowledge_and_receive({}, 9, 30_000)
        assert [one.body for one in found] == [b"1", b"2"]
        # and once it gave its lease back, the former one may receive like any reader of a queue
        lease.release()
        former.append([b"3"])
        assert [one.body for one in former.acknowledge_and_receive({}, 9, 30_000)] == [b"3"]


def any_waits(store: PostgresStore) -> bool:
    with store.database.read() as connection:
        return bool(rows(connection, "SELECT FROM pg_locks WHERE NOT granted"))


def test_devices_that_are_locked_in_one_order_make_no_deadlock(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes name the same devices in opposite orders; some of them are new to both."""
    monkeypatch.setattr(database, "REPEATABLE", ())  # a deadlock is repeated no more, it fails
    with opened(url) as store, opened(url) as other:
        begin = threading.Barrier(2)
        done: list[int] = []

        def write(one: PostgresStore, source: str, order: int) -> None:
            begin.wait()
            for step in range(20):
                names = ["a", f"new{step}", "z"][::order]
                page = [message(f"{source}{step}", *(change(name, {"n": step}) for name in names))]
                done.append(one.commit(source, 1, page).applied)

        threads = [
            threading.Thread(target=write, args=(store, "up", 1)),
            threading.Thread(target=write, args=(other, "down", -1)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert done == [3] * 40 and store.check() == []


def test_a_message_with_a_nul_counts_once(url: str) -> None:
    with opened(url) as store:
        ids = ["a\0b", "a\u24000b", "a\u2400b", "ab", "\0", "\u2400\u2400"]
        page = [message(id_, change("pillow", {"n": id_})) for id_ in ids]
        assert store.commit("queue", 1, page).versions == len(ids)
        assert store.commit("queue", 1, page).duplicates == len(ids)
        assert [row.cause.id for row in store.history("pillow")] == ids[::-1]
        assert store.known_ids("queue", ids) == set(ids)
        assert store.is_valid(Position(*store.read_position()))
