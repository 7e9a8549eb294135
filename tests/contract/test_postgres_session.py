"""Leases and wake-ups of PostgreSQL: sessions that are cut, poolers, servers and hosts that go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

import pgbouncer_server
from postgres_server import PostgresServer
from statecast.errors import LeaseLost
from statecast.model import Event
from statecast.stores import open_store
from statecast.stores.changes import ReadCursor
from statecast.stores.limits import Limits
from statecast.stores.postgres import session
from statecast.stores.postgres.store import PostgresStore
from statecast.testing import change, message
from statecast.timestamps import now
from tests.conftest import installed
from tools import system_parts
from waiting import wait_for, wait_for_lease

Opener = Callable[[str], PostgresStore]


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.created(lambda url: open_store(url).close()) as name:
        yield name


@pytest.fixture
def opened(database: str) -> Iterator[Opener]:
    stores: list[PostgresStore] = []

    def opener(url: str) -> PostgresStore:
        store = open_store(url, Limits(), now)
        assert isinstance(store, PostgresStore)
        stores.append(store)
        return store

    yield opener
    for store in stores:
        store.close()


@pytest.fixture
def pooler(postgres_server: PostgresServer, pgbouncer: str) -> Iterator[str]:
    with pgbouncer_server.running(pgbouncer, postgres_server) as folder:
        yield folder


def session_of(store: PostgresStore) -> int:
    """The number of the server's process; 0 while there is none."""
    connection = store.session._connection
    return 0 if connection is None or connection.closed else connection.info.backend_pid


def cut(server: PostgresServer, store: PostgresStore) -> None:
    """End the session of a process, as a network does that forgets a connection."""
    with server.connect() as other:
        other.execute("SELECT pg_terminate_backend(%s)", (session_of(store),))


def comes_back(store: PostgresStore, before: int) -> None:
    """Wait until a process has another session, and its locks."""
    session = store.session
    wait_for(lambda: session_of(store) not in (0, before) and all(session._held.values()))


class Waiter:
    """A thread that waits for commits after what it has read."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._has_read = threading.Event()
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()
        assert self._has_read.wait(30)

    def _wait(self) -> None:
        self._store.read(ReadCursor())
        self._has_read.set()
        self._store.wait(60)

    def wakes(self) -> bool:
        self._thread.join(30)
        return not self._thread.is_alive()


def test_a_session_that_was_cut_gets_its_locks_back(
    postgres_server: PostgresServer, database: str, opened: Opener
) -> None:
    # given a process with a lease, that reads events and has announced itself
    holder, other = (opened(postgres_server.url(database)) for _ in range(2))
    lease = holder.lease("queue")
    assert lease is not None
    holder.take_events()
    other.take_events()
    holder.announce("p", {})
    # when its session is cut, and it comes back
    before = session_of(holder)
    cut(postgres_server, holder)
    comes_back(holder, before)
    # then it has all of it as before: nobody else took the lease, so the term is the same
    assert other.lease("queue") is None
    assert other.ended_processes() == []
    assert other.others_take_events() and holder.others_take_events()
    holder.commit("queue", 1, [message("a", change("pillow", {"n": 1}))], term=lease.term)
    # and it is woken as before
    waiter = Waiter(holder)
    other.edit(change("lamp", {"on": True}, by="user"))
    assert waiter.wakes()


def test_a_holder_that_was_cut_off_writes_nothing_after_a_take_over(
    postgres_server: PostgresServer, database: str, opened: Opener
) -> None:
    # given a holder that does not come back when its session is cut
    holder, other = (opened(postgres_server.url(database)) for _ in range(2))
    lease = holder.lease("queue")
    assert lease is not None
    with holder.session._turn:  # its thread waits here
        cut(postgres_server, holder)
        # when another process takes over
        newer = wait_for_lease(other, "queue")
        assert newer.term == lease.term + 1
    # then the first one, which has not noticed, writes nothing
    with pytest.raises(LeaseLost):
        holder.commit("queue", 1, [message("a", change("pillow", {"n": 1}))], term=lease.term)
    assert other.get("pillow") is None
    # and when it gives its lease back, the other keeps it
    lease.release()
    assert holder.lease("queue") is None


def test_a_holder_that_comes_back_after_a_take_over_leaves_the_lease_to_others(
    postgres_server: PostgresServer, database: str, opened: Opener
) -> None:
    """Its consumer may sleep after failures, and what it has locked again is consumed by none."""
    # given a holder that was cut off, and another process that has taken over
    holder, successor, third = (opened(postgres_server.url(database)) for _ in range(3))
    assert holder.lease("queue") is not None
    with holder.session._turn:  # it cannot come back
        before = session_of(holder)
        cut(postgres_server, holder)
        lease = wait_for_lease(successor, "queue")
        # when that process ends, the holder comes back, and its consumer does nothing
        successor.close()
    wait_for(lambda: session_of(holder) not in (0, before))
    # then a third process gets the lease
    assert wait_for_lease(third, "queue").term == lease.term + 1


def test_leases_and_wake_ups_survive_a_restart_of_the_server() -> None:
    # given a server of the test's own, a holder of a lease and another process
    server = PostgresServer(installed(system_parts.POSTGRESQL))
    server.start()
    url = server.url(server.create())
    holder, other = (open_store(url, Limits(), now) for _ in range(2))
    assert isinstance(holder, PostgresStore) and isinstance(other, PostgresStore)
    lease = holder.lease("queue")
    assert lease is not None
    holder.announce("p", {})
    # when the server crashes and starts again
    before = session_of(holder)
    server.kill()
    server.start()
    comes_back(holder, before)
    # then the holder has its lease, and nobody says that it has ended
    assert other.lease("queue") is None
    assert other.ended_processes() == []
    holder.commit("queue", 1, [message("a", change("pillow", {"n": 1}))], term=lease.term)
    # and wake-ups arrive
    waiter = Waiter(holder)
    other.edit(change("lamp", {"on": True}, by="user"))
    assert waiter.wakes()
    holder.close()
    other.close()
    server.remove()


def test_behind_a_pooler_leases_are_rows_that_all_respect(
    postgres_server: PostgresServer, database: str, pooler: str, opened: Opener
) -> None:
    # given two processes behind a pooler that gives each transaction another session, and a third
    # that is not
    first, second = (opened(postgres_server.url(database, pooler)) for _ in range(2))
    direct = opened(postgres_server.url(database))
    lease = first.lease("queue")
    assert lease is not None and first.session.is_pooled
    # then the lease of one is known to all
    holder = direct.holder("queue")
    assert holder is not None and holder.pid == os.getpid()
    assert second.lease("queue") is None and direct.lease("queue") is None
    # when it is given back, another one has it, with a higher term, and so on in both directions
    lease.release()
    later = wait_for_lease(direct, "queue")
    assert later.term == lease.term + 1 and not direct.session.is_pooled
    assert first.lease("queue") is None and second.lease("queue") is None
    later.release()
    assert wait_for_lease(second, "queue").term == later.term + 1
    with pytest.raises(LeaseLost):
        first.commit("queue", 1, [message("a", change("pillow", {"n": 1}))], term=lease.term)


def test_behind_a_pooler_the_lease_of_a_silent_holder_ends(
    postgres_server: PostgresServer, database: str, pooler: str, opened: Opener
) -> None:
    first, second = (opened(postgres_server.url(database, pooler)) for _ in range(2))
    assert first.lease("queue") is not None
    first.announce("p", {})
    # given a holder that renews nothing any more
    with first.session._turn:
        # then another one has the lease, and its process counts as ended
        wait_for_lease(second, "queue")
        wait_for(lambda: second.ended_processes() == ["p"])


def test_behind_a_pooler_commits_are_found_by_polling(
    postgres_server: PostgresServer, database: str, pooler: str, opened: Opener
) -> None:
    pooled, direct = (opened(postgres_server.url(database, one)) for one in (pooler, ""))
    queue = pooled.queue("queue")
    for number in range(20):  # more than after which statements would be prepared
        pooled.edit(change("pillow", {"n": number}, by="user"))
        queue.append([b"%d" % number])
    # then each kind of commit wakes those of the other side
    for store, writer in ((pooled, direct), (direct, pooled)):
        waiter = Waiter(store)
        writer.edit(change("pillow", {"by": id(writer)}, by="user"))
        assert waiter.wakes()
        waiter = Waiter(store)
        writer.emit([Event("/", "hello")])
        assert waiter.wakes()
    assert queue.size()[0] == 20
    # and it is never said that nobody reads events, for that is not known
    pooled.take_events()
    assert pooled.others_take_events()


UNHINTED: dict[str, Callable[[PostgresStore, str], object]] = {
    "a state": lambda store, url: store.edit(change("pillow", {"on": True}, by="user")),
    "an event": lambda store, url: store.emit([Event("/", "hello")]),
    "a message in a queue": lambda store, url: store.queue("queue").append([b"1"]),
    "what is watched": lambda store, url: store.count_watching("p", {0: b"x"}),
    "an epoch": lambda store, url: open_store(url, Limits(), now).close(),
}


@pytest.mark.parametrize("what", UNHINTED)
def test_a_commit_whose_hint_is_lost_is_found(
    postgres_server: PostgresServer,
    database: str,
    opened: Opener,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    # given a process that waits, and looks often, and a writer whose hints are lost
    monkeypatch.setattr(session, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(session.ProcessSession, "_send", lambda *_: None)
    url = postgres_server.url(database)
    reader, writer = (opened(url) for _ in range(2))
    reader.session.start()
    writer.queue("queue")
    looks_in_vain(reader)
    # when it commits
    waiter = Waiter(reader)
    UNHINTED[what](writer, url)
    # then the waiting thread is woken
    assert waiter.wakes()


def looks_in_vain(store: PostgresStore) -> None:
    """Wait until a session has looked several times, and no thread was woken for that."""
    wait_for(lambda: store.session._state is not None)
    with store.session._turn:  # between two looks: the first one has notified, too
        commits, looks = store.database.notifier.commits, set[float]()

    def looks_again() -> bool:
        looks.add(store.session._looked_at)
        return len(looks) > 3

    wait_for(looks_again)
    assert store.database.notifier.commits == commits


def test_a_process_that_has_nothing_to_do_asks_one_thing_a_second(
    postgres_server: PostgresServer,
    database: str,
    opened: Opener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a process that stands by for three leases, reads events and is not the caretaker
    monkeypatch.setattr(session, "LOOK_SECONDS", 0.01)
    holder, other = (opened(postgres_server.url(database)) for _ in range(2))
    names = ("queue", "second", "reaction:third")
    leases = [holder.lease(name) for name in names]
    assert all(leases) and holder.ended_processes() == []
    holder.take_events()
    other.take_events()
    assert [other.lease(name) for name in names] == [None] * 3
    assert other.ended_processes() == []
    looks_in_vain(other)
    # when its threads ask again and again
    asked: list[str] = []
    with other.session._turn, monkeypatch.context() as patched:
        patched.setattr(other.session, "_do", lambda work: asked.append(str(work)))
        for _ in range(20):
            assert [other.lease(name) for name in names] == [None] * 3
            assert other.ended_processes() == []
        # then nothing of that is a question to the server: the look of each second has the answers
        assert asked == []
    # and what becomes free can be had
    monkeypatch.setattr(holder.session, "_send", lambda *_: None)
    for lease in leases:
        assert lease is not None
        lease.release()
    for name in names:
        wait_for_lease(other, name)


@pytest.mark.parametrize("is_pooled", [False, True])
def test_settings_hold_in_each_transaction_and_are_nobody_elses(
    postgres_server: PostgresServer, database: str, pooler: str, opened: Opener, is_pooled: bool
) -> None:
    url = postgres_server.url(database, pooler if is_pooled else "")
    names = ("search_path", "lock_timeout", "enable_seqscan", "jit")
    ask = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    store = opened(f"{url}&pool_size=2")
    # given transactions that were committed, and one that was not
    with pytest.raises(ZeroDivisionError), store.database.write() as connection:
        connection.execute(ask.encode())
        raise ZeroDivisionError
    # then each transaction has them
    for transaction in (store.database.read, store.database.write):
        with transaction() as connection:
            found = connection.execute(ask.encode()).fetchone()
        assert found == ("statecast", "5s", "off", "off")
    # and another program behind the same pooler, which gets the same session, has its own
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as other:
        assert other.execute(ask.encode()).fetchone() == ('"$user", public', "0", "on", "on")


def test_a_host_that_vanishes_loses_its_lease_and_its_locks() -> None:
    """Within 10 s; the script prints when, and what the old holder says when it is back."""
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("needs root rights, to make a network of its own")
    script = Path(__file__).with_name("vanishing_holder.py")
    ended = subprocess.run(
        ["unshare", "--net", sys.executable, script, installed(system_parts.POSTGRESQL)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
    )
    assert ended.stdout.split() == ["held", "taken", "written", "fenced"]
