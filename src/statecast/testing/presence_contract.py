"""What every store must keep about viewers: what each serving process counts while it runs."""

from __future__ import annotations

from statecast.stores.changes import ReadCursor, WatchChanges, WatchPart
from statecast.testing.store_fixture import StoreFixture

ALL = ReadCursor(watch=0)


class PresenceContract(StoreFixture):
    """The counts of viewers."""

    def test_the_counts_of_a_process_are_read_by_the_others(self) -> None:
        store = self.store()
        store.announce("p", {})
        store.announce("q", {})
        # given a reader who has read everything
        begin = store.read(ALL)
        assert begin.watch is None
        # when two processes write some of their parts
        store.count_watching("p", {1: b"one", 2: b"two"})
        store.count_watching("q", {1: b"another"})
        # then it gets them, and another reader too
        changes = store.read(begin.cursor).watch
        assert changes is not None
        assert changes.processes == {"p", "q"}
        rows = [WatchPart("p", 1, b"one"), WatchPart("p", 2, b"two"), WatchPart("q", 1, b"another")]
        assert sorted(changes.parts) == rows
        assert store.read(ALL).watch == store.read(begin.cursor).watch
        assert sorted(store.watch_parts([1])) == [rows[0], rows[2]]
        assert store.watch_parts([3]) == []

    def test_a_reader_gets_what_has_changed(self) -> None:
        store = self.store()
        store.announce("p", {})
        store.count_watching("p", {1: b"one", 2: b"two"})
        cursor = store.read(ALL).cursor
        # when nothing has changed, then nothing is read
        assert store.read(cursor).watch is None
        # when one part is replaced, then that
        store.count_watching("p", {2: b"three"})
        changes = store.read(cursor).watch
        assert changes is not None
        assert list(changes.parts) == [WatchPart("p", 2, b"three")]
        assert store.watch_parts([1, 2]) != []
        # who does not ask gets none
        assert store.read(ReadCursor()).watch is None

    def test_the_counts_go_with_their_process(self) -> None:
        store = self.store()
        for process in ("p", "q"):
            store.announce(process, {})
            store.count_watching(process, {1: process.encode()})
        cursor = store.read(ALL).cursor
        # when one of them stops
        store.withdraw("p")
        # then a reader learns that only the other has counts
        changes = store.read(cursor).watch
        assert changes == WatchChanges(frozenset({"q"}), [])
        assert store.watch_parts([1]) == [WatchPart("q", 1, b"q")]
        # when it stops too, then none has
        cursor = store.read(cursor).cursor
        store.withdraw("q")
        changes = store.read(cursor).watch
        assert changes is not None
        assert changes.processes == frozenset()
        assert store.watch_parts([1]) == []

    def test_counts_are_as_old_as_the_report_of_their_process(self) -> None:
        store = self.store()
        for process in ("p", "q"):
            store.announce(process, {})
            store.count_watching(process, {1: process.encode()})
        cursor = store.read(ALL).cursor
        # given a process that announces nothing any more, and another that does
        self.clock.advance(6)
        store.announce("p", {})
        assert store.read(cursor).watch is None
        self.clock.advance(6)
        store.announce("p", {})
        # then the counts of the other remain, until the first comes back
        changes = store.read(cursor).watch
        assert changes == WatchChanges(frozenset({"p"}), [])
        assert store.watch_parts([1]) == [WatchPart("p", 1, b"p")]

    def test_counting_changes_no_state(self) -> None:
        store = self.store()
        self.say(store, {"n": 1})
        before = store.read_position(), store.devices()
        store.announce("p", {})
        store.count_watching("p", {1: b"one"})
        assert (store.read_position(), store.devices()) == before

    def test_no_running_process_has_ended(self) -> None:
        store = self.store()
        store.announce("p", {})
        store.count_watching("p", {1: b"one"})
        assert store.ended_processes() == []
        store.withdraw("p")
        assert store.ended_processes() == []
