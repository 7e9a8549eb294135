"""How threads wait for commits."""

from __future__ import annotations

import threading
from collections.abc import Callable

from statecast.model import Event
from statecast.stores.changes import ReadCursor
from statecast.stores.contract import Store
from statecast.testing.store_fixture import StoreFixture


class WaitContract(StoreFixture):
    """Waiting threads are woken; no test waits by the clock."""

    def waiting(self, store: Store, count: int, *, after: bool = False) -> list[threading.Thread]:
        """Threads that have read, and are about to wait for the next commit.

        ``after``: for one that brings something to them.
        """
        begun = threading.Barrier(count + 1)

        def read_and_wait() -> None:
            cursor = store.read(ReadCursor(watch=0, access=0)).cursor
            begun.wait()
            store.wait(60, cursor if after else None)

        threads = [threading.Thread(target=read_and_wait, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        begun.wait()
        return threads

    def ended(self, threads: list[threading.Thread]) -> bool:
        for thread in threads:
            thread.join(20)
        return not any(thread.is_alive() for thread in threads)

    def test_a_commit_wakes_every_thread(self) -> None:
        store = self.store()
        threads = self.waiting(store, 2) + self.waiting(store, 2, after=True)
        self.say(store, {"n": 1})
        assert self.ended(threads)

    def test_events_and_wake_wake_every_thread(self) -> None:
        store = self.store()
        threads = self.waiting(store, 1) + self.waiting(store, 1, after=True)
        store.emit([Event("/", "message")])
        assert self.ended(threads)
        threads = self.waiting(store, 2)
        store.wake()
        assert self.ended(threads)

    def check_no_commit_is_lost(self, between: Callable[[Store], object]) -> None:
        """A commit after a read ends the wait that follows, whatever is called in between."""
        store = self.store()
        has_read, committed = threading.Event(), threading.Event()

        def late() -> None:
            store.read(ReadCursor())
            has_read.set()
            committed.wait()
            between(store)
            store.wait(60)

        thread = threading.Thread(target=late, daemon=True)
        thread.start()
        has_read.wait()
        self.say(store, {"n": 1})
        committed.set()
        assert self.ended([thread])

    def test_a_commit_between_the_read_and_the_wait_is_not_lost(self) -> None:
        self.check_no_commit_is_lost(lambda store: None)

    def test_other_calls_in_between_do_not_count_as_reads(self) -> None:
        self.check_no_commit_is_lost(
            lambda store: (
                store.epoch_history(),
                store.reports(),
                store.devices(),
                store.read_position(),
            )
        )

    def test_a_wait_ends_with_its_time(self) -> None:
        store = self.store()
        store.read(ReadCursor())
        store.wait(0.0)
