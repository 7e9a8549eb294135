"""What a store counts: how much it holds, and what came through each source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from statecast.access.records import AuditEntry
from statecast.errors import LeaseLost
from statecast.model import Event
from statecast.stores.totals import Totals
from statecast.testing.store_fixture import DAY, StoreFixture
from statecast.testing.values import START, change, message, raises, refused


class SizesContract(StoreFixture):
    """How much a store holds is known without counting its rows."""

    def test_a_new_store_has_no_history(self) -> None:
        sizes = self.store().sizes()
        assert (sizes.history_rows, sizes.history_bytes) == (0, 0)

    def test_history_is_counted_in_rows_and_bytes(self) -> None:
        store = self.store(history_versions=2)
        for mood in ("calm", "happy", "sad"):
            store.edit(change("pillow", {"mood": mood}, by="user"))
        sizes = store.sizes()
        assert sizes.history_rows == 2
        assert 0 < sizes.history_bytes < 1_000

    def test_a_store_in_files_knows_its_files_and_one_in_memory_has_none(self) -> None:
        store = self.store()
        store.edit(change("pillow", {"mood": "calm"}, by="user"))
        sizes = store.sizes()
        files = (sizes.file_bytes, sizes.log_bytes, sizes.free_bytes)
        # a server's own log and disk are not seen from another machine
        of_a_server = files[0] and files[1:] == (None, None)
        known = of_a_server or all(size and size > 0 for size in files)
        assert known or files == (None, None, None)


class TotalsContract(StoreFixture):
    """What was dropped, repeated, set aside or refused is counted, in the same transaction."""

    def test_a_new_store_has_counted_nothing(self) -> None:
        assert self.store().totals() == {}

    def test_each_message_counts_once_whatever_became_of_it(self) -> None:
        store = self.store(late_message_hours=1.0)
        # Given a device whose stamps are folded two hours back
        self.say(store, {"n": 1})
        self.clock.advance(7200)
        self.say(store, {"n": 2})
        # when one message is repeated, one changes nothing, one is too late, two are refused
        page = [
            message("again", change("pillow", {"n": 2}), sent_at=self.clock()),
            message("again", change("pillow", {"n": 2}), sent_at=self.clock()),
            message("late", change("pillow", {"n": 0}), sent_at=START - 1),
            message("big", change("pillow", {"t": "x" * 70_000}), sent_at=self.clock()),
            refused("bad"),
        ]
        store.commit("queue", 1, page)
        # then each is counted as what became of it
        assert store.totals() == {
            "queue": Totals(messages=6, versions=2, duplicates=1, dropped=1, quarantined=2)
        }

    def test_a_change_without_a_part_is_counted(self) -> None:
        store = self.store()
        part = replace(change("pillow", {"n": 1}), left_out=("The field '/t' was dropped.",))
        store.commit("queue", 1, [message("a", part, change("lamp", {"n": 1}))])
        store.commit("queue", 1, [message("a", part)])
        store.commit("queue", 1, [message("b", change("pillow", {"n": 2}))])
        assert store.totals() == {"queue": Totals(messages=2, versions=3, duplicates=1, left_out=1)}

    def test_sources_are_counted_apart(self) -> None:
        store = self.store()
        event = change("pillow", {"n": 1}, event_id="e")
        store.commit("queue", 1, [message("a", event)])
        store.commit("mqtt", 1, [message("b", event)])
        store.edit(change("pillow", {"n": 2}, by="user"))
        assert store.totals() == {
            "api": Totals(messages=1, versions=1),
            "mqtt": Totals(messages=1, duplicates=1),
            "queue": Totals(messages=1, versions=1),
        }

    def test_a_commit_that_fails_counts_nothing(self) -> None:
        store = self.store()
        lease = store.lease("queue")
        assert lease is not None
        lease.release()
        successor = store.lease("queue")
        assert successor is not None
        store.count_refused("queue")
        with raises(LeaseLost):
            store.commit("queue", 1, [message("a", change("pillow", {"n": 1}))], term=lease.term)
        assert store.totals() == {"queue": Totals(refused=1)}
        store.commit("queue", 1, [message("a", change("pillow", {"n": 1}))], term=successor.term)
        assert store.totals() == {"queue": Totals(messages=1, versions=1, refused=1)}
        successor.release()

    def test_a_refused_message_is_counted_without_a_commit(self) -> None:
        store = self.store()
        store.count_refused("queue")
        store.count_refused("api")
        assert store.totals() == {"api": Totals(refused=1), "queue": Totals(refused=1)}
        store.announce("process", {"viewers": 0})
        assert store.totals() == {"api": Totals(refused=1), "queue": Totals(refused=1)}
        assert store.read_position().offset == 0

    def test_what_was_refused_stays_counted_whatever_is_written_next(self) -> None:
        store = self.store()
        queue = store.queue("queue")
        writes: list[Callable[[], object]] = [
            lambda: store.edit(change("pillow", {"n": 1}, by="user")),
            lambda: queue.append([b"{}"]),
            lambda: store.emit([Event("/", "wave")]),
            lambda: store.note(AuditEntry("user", "edit", "pillow")),
            lambda: store.put_access("share", "s", {"devices": ["pillow"]}),
            lambda: store.commit("queue", 1, [message("a", change("pillow", {"n": 2}))]),
            lambda: store.count_watching("process", {}),
        ]
        for number, write in enumerate(writes, 1):
            store.count_refused("mqtt")
            write()
            assert store.totals()["mqtt"] == Totals(refused=number)

    def test_a_row_that_leaves_a_full_quarantine_is_counted(self) -> None:
        store = self.store(quarantine_rows=2)
        store.commit("queue", 1, [refused("a")])
        store.commit("mqtt", 1, [refused("b"), refused("c"), refused("d")])
        assert store.totals() == {
            "mqtt": Totals(messages=3, quarantined=3, evicted=1),
            "queue": Totals(messages=1, quarantined=1, evicted=1),
        }

    def test_a_replay_counts_what_it_changes_and_no_second_message(self) -> None:
        store = self.store()
        store.commit("queue", 1, [refused("a"), refused("b")])
        first, second = store.quarantined()
        store.replay(first.number, message("a", change("pillow", {"n": 1})), 1)
        store.replay(second.number, refused("b", "Still not."), 1)
        store.drop(second.number)
        assert store.totals() == {"queue": Totals(messages=2, versions=1, quarantined=2)}

    def test_a_replay_that_stays_in_quarantine_drops_nothing(self) -> None:
        store = self.store()
        store.commit("queue", 1, [refused("a", sent_at=START)])
        self.clock.advance(DAY + 60)
        self.say(store, {"n": 1})
        number = store.quarantined()[0].number
        store.replay(number, message("a", change("pillow", {"m": 1})), 1)
        assert store.totals()["queue"].dropped == 0
