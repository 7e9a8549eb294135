"""What readers get: changes after a cursor, positions, history, lists, events and reports."""

from __future__ import annotations

import os
import socket

from statecast.model import Event, Position
from statecast.stores.changes import ReadCursor
from statecast.testing.store_fixture import DAY, StoreFixture
from statecast.testing.values import START


class ReadContract(StoreFixture):
    """What readers get."""

    def test_what_has_changed_after_a_cursor(self) -> None:
        store = self.store()
        for number in range(4):
            self.say(store, {"n": number}, device=f"d{number % 3}")
        changes = store.read(ReadCursor())
        assert [(one.device, one.offset) for one in changes.updates] == [
            ("d1", 2),
            ("d2", 3),
            ("d0", 4),
        ]
        assert (changes.position, changes.cursor.offset) == (store.read_position(), 4)
        assert store.read(changes.cursor).updates == []
        assert [one.device for one in store.read(ReadCursor(offset=3)).updates] == ["d0"]

    def test_the_neighbours_of_a_name(self) -> None:
        store = self.store()
        for name in ("d", "b", "a", "c", "e"):
            self.say(store, {"n": 1}, device=name)
        self.say(store, {}, device="b", kind="delete")
        assert store.neighbours("cc", 2) == ["a", "c", "d", "e"]
        assert store.neighbours("cc", 1) == ["c", "d"]
        assert store.neighbours("c", 9) == ["a", "c", "d", "e"]
        assert store.neighbours("z", 2) == ["d", "e"]
        assert store.neighbours("A", 2) == ["a", "c"]

    def test_devices_come_in_pages_by_name(self) -> None:
        store = self.store()
        for name in ("c/x", "a", "b-1", "b/z", "b", "d", "b/a/b", "c0", "b0"):
            self.say(store, {"n": 1}, device=name)
        self.say(store, {}, device="d", kind="delete")
        by_name = ["a", "b", "b-1", "b/a/b", "b/z", "b0", "c/x", "c0"]
        assert [one.device for one in store.devices()] == by_name

        def pages(size: int, *readable: str) -> list[str]:
            found: list[str] = []
            while page := store.devices(
                after=found[-1] if found else "", limit=size, readable=readable or ("*",)
            ):
                assert len(page) <= size
                found += [one.device for one in page]
            return found

        for size in (1, 2, 3, 8, 100):
            assert pages(size) == by_name
            assert pages(size, "b/*") == ["b/a/b", "b/z"]
            assert pages(size, "c/*", "b", "a", "missing", "b/a/*") == ["a", "b", "b/a/b", "c/x"]
        assert [one.device for one in store.devices(after="b")] == by_name[2:]
        assert [one.device for one in store.devices(after="b/a", limit=1)] == ["b/a/b"]
        assert (
            store.devices(after="d") == store.devices(limit=0) == store.devices(readable=()) == []
        )

    def test_a_limited_answer_goes_on_where_it_was_cut(self) -> None:
        store = self.store()
        for number in range(5):
            self.say(store, {"n": number}, device=f"d{number}")
        cursor, devices = ReadCursor(), []
        for _ in range(3):
            changes = store.read(cursor, limit=2)
            assert changes.position.offset == 5
            devices += [one.device for one in changes.updates]
            cursor = changes.cursor
        assert devices == ["d0", "d1", "d2", "d3", "d4"]
        assert cursor.offset == 5

    def test_a_removed_device_leaves_a_tombstone_with_an_offset(self) -> None:
        store = self.store()
        self.say(store, {"n": 1})
        self.say(store, {"n": 1}, device="chair")
        self.clock.advance(1)
        self.say(store, {}, kind="delete")
        assert [one.device for one in store.devices()] == ["chair"]
        tombstone = store.read(ReadCursor(offset=2)).updates[0]
        assert (tombstone.device, tombstone.state, tombstone.version, tombstone.offset) == (
            "pillow",
            None,
            2,
            3,
        )
        assert store.history("pillow")[0].change is None
        self.clock.advance(1)
        self.say(store, {"n": 2})
        update = store.get("pillow")
        assert update is not None and (update.version, update.state) == (3, b'{"n":2}')

    def test_a_forgotten_tombstone_makes_older_positions_invalid(self) -> None:
        store = self.store()
        self.say(store, {"n": 1})
        epoch, before = store.read_position()
        self.clock.advance(1)
        self.say(store, {}, kind="delete")
        self.say(store, {"n": 1}, device="chair")
        assert store.is_valid(Position(epoch, before))
        self.clock.advance(7 * DAY + 1)
        self.say(store, {"n": 2}, device="chair")
        assert store.get("pillow") is None
        assert not store.is_valid(Position(epoch, before))
        assert store.is_valid(Position(epoch, 0)), "a reader that has nothing misses no removal"
        assert store.is_valid(Position(epoch, 2))
        assert store.is_valid(store.read_position())

    def test_a_position_is_valid_in_its_own_history_only(self) -> None:
        store = self.store()
        self.say(store, {"n": 1})
        epoch, offset = store.read_position()
        assert store.is_valid(Position(epoch, offset))
        assert not store.is_valid(Position(epoch, offset + 1))
        assert not store.is_valid(Position(epoch, -1))
        assert not store.is_valid(Position("another", offset))
        assert store.epoch_history().is_valid(Position(epoch, offset))

    def test_history_is_newest_first(self) -> None:
        store = self.store()
        for number in range(5):
            self.say(store, {"n": number})
            self.clock.advance(1)
        rows = store.history("pillow", limit=2)
        assert [(row.version, row.change, row.at) for row in rows] == [
            (5, b'{"n":4}', START + 4000),
            (4, b'{"n":3}', START + 3000),
        ]
        assert [row.version for row in store.history("pillow", before=4)] == [3, 2, 1]
        assert store.history_size("pillow") == (5, START)
        assert (store.history("absent"), store.history_size("absent")) == ([], (0, None))

    def test_history_is_bounded_per_device(self) -> None:
        store = self.store(history_versions=3)
        for number in range(10):
            self.say(store, {"n": number})
        self.say(store, {"n": 0}, device="chair")
        assert [row.version for row in store.history("pillow")] == [10, 9, 8]

    def test_history_is_bounded_in_days(self) -> None:
        store = self.store(history_days=2.0)
        for number in range(3):
            self.say(store, {"n": number})
        self.clock.advance(2 * DAY + 1)
        self.say(store, {"n": 9})
        assert [row.version for row in store.history("pillow")] == [4]

    def test_history_is_bounded_in_all(self) -> None:
        store = self.store(history_rows=4)
        for number in range(10):
            self.say(store, {"n": number}, device=f"d{number % 5}")
        assert sum(store.history_size(f"d{number}")[0] for number in range(5)) == 4
        small = self.store(history_bytes=1_000)
        for number in range(20):
            self.say(small, {"text": f"{number:0200}"}, device=f"d{number % 5}")
        kept = sum(small.history_size(f"d{number}")[0] for number in range(5))
        assert 1 <= kept <= 4
        assert len(small.devices()) == 5, "trimming touches no state"

    def test_events_reach_later_reads(self) -> None:
        store = self.store()
        fresh = store.read(ReadCursor()).cursor
        emitted = [
            Event("/test", "message", b'["hello"]'),
            Event(
                "/test", "bytes", b'[{"_placeholder":true,"num":0}]', ("a", "b"), ("c",), (b"\xff",)
            ),
            Event("/", "room", rooms=("sid",), kind="enter", origin="process"),
        ]
        store.emit(emitted[:2])
        store.emit(emitted[2:])
        late = store.read(ReadCursor())
        assert late.events == []
        events = store.read(fresh).events
        assert events == emitted
        assert store.read(late.cursor).events == []
        assert store.read_position().offset == 0, "events do not change the position"

    def test_a_process_alone_takes_events_for_no_other(self) -> None:
        store = self.store()
        store.take_events()
        store.take_events()
        assert not store.others_take_events()

    def test_events_are_kept_a_minute(self) -> None:
        store = self.store()
        cursor = store.read(ReadCursor()).cursor
        store.emit([Event("/", "old")])
        self.clock.advance(61)
        store.emit([Event("/", "new")])
        assert [one.name for one in store.read(cursor).events] == ["new"]

    def test_reports_are_those_of_the_last_ten_seconds(self) -> None:
        store = self.store()
        store.announce("a", {"viewers": 1})
        self.clock.advance(6)
        store.announce("b", {"viewers": 2})
        assert store.reports() == {"a": {"viewers": 1}, "b": {"viewers": 2}}
        self.clock.advance(6)
        assert store.reports() == {"b": {"viewers": 2}}
        store.announce("b", {"viewers": 3})
        assert store.reports() == {"b": {"viewers": 3}}

    def test_a_report_is_withdrawn_when_its_process_stops(self) -> None:
        store = self.store()
        store.announce("a", {"viewers": 1})
        store.announce("b", {"viewers": 2})
        store.withdraw("a")
        store.withdraw("never announced")
        assert store.reports() == {"b": {"viewers": 2}}

    def test_a_probe_leaves_nothing(self) -> None:
        store = self.store()
        self.say(store, {"n": 1})
        before = (store.read_position(), store.reports(), store.devices(), store.totals())
        store.probe()
        store.probe()
        assert (store.read_position(), store.reports(), store.devices(), store.totals()) == before

    def test_it_knows_who_holds_a_lease(self) -> None:
        store = self.store()
        assert store.holder("queue") is None
        lease = store.lease("queue")
        assert lease is not None
        lease.note_progress()
        holder = store.holder("queue")
        assert holder is not None and holder.idle_seconds >= 0
        assert (holder.pid, holder.host) == (os.getpid(), socket.gethostname())
        assert store.holder("another") is None
        lease.release()
        assert store.holder("queue") is None
