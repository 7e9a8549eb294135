"""What every store must keep: changes, versions, positions, history."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace

from statecast.access.records import AuditEntry
from statecast.commands.life import NewCommand
from statecast.errors import Conflict, DevicesFull, LeaseLost, NotFound, Refused
from statecast.model import Event, Position, Refusal
from statecast.stores.changes import ReadCursor
from statecast.stores.contract import Store
from statecast.stores.totals import Totals
from statecast.testing.access_contract import AccessContract
from statecast.testing.clock_contract import ClockContract
from statecast.testing.command_contract import CommandContract
from statecast.testing.presence_contract import PresenceContract
from statecast.testing.reaction_contract import ReactionContract
from statecast.testing.sender_contract import SenderContract
from statecast.testing.store_fixture import DAY, StoreFixture, state_of
from statecast.testing.take_over_contract import TakeOverContract
from statecast.testing.values import START, change, message, raises, refused


class ChangeContract(StoreFixture):
    """What a commit does to states, ids and quarantine."""

    def test_a_change_becomes_the_state(self) -> None:
        store = self.store()
        self.clock.advance(0.005)
        done = store.commit(
            "queue", 1, [message("a", change("pillow", {"mood": "happy"}), sent_at=START + 5)]
        )
        assert (done.applied, done.versions) == (1, 1)
        update = store.get("pillow")
        assert update is not None
        assert (update.version, update.state, update.changed_at) == (
            1,
            b'{"mood":"happy"}',
            START + 5,
        )
        assert (update.seen_at, update.source, update.cause.source, update.cause.id) == (
            START + 5,
            "queue",
            "queue",
            "a",
        )
        assert update.fields == {"mood": START + 5}
        assert store.get("chair") is None

    def test_each_visible_change_of_a_page_is_a_version_with_its_own_offset(self) -> None:
        store = self.store()
        page = [
            message(f"m{n}", change("ab"[n % 2], {"n": n}), sent_at=START + n) for n in range(6)
        ]
        assert store.commit("queue", 1, page).versions == 6
        a, b = store.get("a"), store.get("b")
        assert a is not None and b is not None
        assert (a.version, a.offset, b.version, b.offset) == (3, 5, 3, 6)
        assert store.read_position().offset == 6

    def test_a_message_that_changes_nothing_makes_no_version_but_is_a_sign_of_life(self) -> None:
        store = self.store()
        self.say(store, {"mood": "happy"})
        before = store.read(ReadCursor())
        self.clock.advance(5)
        self.say(store, {"mood": "happy"})
        changes = store.read(before.cursor)
        assert changes.updates == []
        assert changes.seen == {"pillow": START + 5000}
        assert changes.position == before.position
        assert store.history_size("pillow")[0] == 1
        assert store.read(changes.cursor).seen == {}

    def test_a_user_is_no_sign_of_life(self) -> None:
        store = self.store()
        self.say(store, {"mood": "happy"})
        self.clock.advance(5)
        self.say(store, {"mood": "sad"}, by="user")
        update = store.get("pillow")
        assert update is not None
        assert (update.seen_at, update.changed_at) == (START, START + 5000)

    def test_a_known_id_counts_once(self) -> None:
        store = self.store()
        one = message("a", change("pillow", {"n": 1}))
        assert store.commit("queue", 1, [one, one]).duplicates == 1
        assert store.commit("queue", 1, [one]).duplicates == 1
        assert store.commit("other", 1, [one]).duplicates == 0

    def test_an_exchange_announces_and_reads_what_each_process_shows(self) -> None:
        store = self.store()
        for number in range(3):
            # given what was committed, refused, asked of a device and announced by another process
            store.commit("queue", 1, [message(f"m{number}", change()), refused(f"r{number}")])
            store.begin_command(NewCommand(f"c{number}", "pillow", "hug"))
            store.count_refused("queue")
            store.announce("other", {"viewers": number // 2})
            # when a process announces a report
            found = store.exchange("own", {"viewers": number})
            # then it is one of those that all get, and it learns what it would read alone
            reports = {"other": {"viewers": number // 2}, "own": {"viewers": number}}
            assert found.reports == store.reports() == reports
            assert found.totals == store.totals()
            assert found.totals["queue"].refused == number + 1
            assert found.quarantined == store.quarantine_count() == number + 1
            assert found.open_commands == store.open_commands(limit=1)
            assert found.sizes.history_rows == store.sizes().history_rows == 1
        # and a process that announces nothing any more is none of them
        self.clock.advance(11)
        assert store.exchange("own", {}).reports == {"own": {}}

    def test_a_store_says_which_ids_it_knows(self) -> None:
        store = self.store()
        store.commit("one", 1, [message("a", change()), message("b", change(state=None))])
        assert store.known_ids("one", ["a", "b", "c"]) == {"a", "b"}
        assert store.known_ids("two", ["a"]) == store.known_ids("one", []) == set()

    def test_an_id_is_kept_with_each_character_as_it_is(self) -> None:
        store = self.store()
        ids = ["1", "01", " 1", "1.0", "größe 😀", 'a"b', "a\\b", "a\\u0062", "a\nb", "null", "[]"]
        for at_once in ([*ids], [*reversed(ids)]):
            done = store.commit("queue", 1, [message(id_, change()) for id_ in at_once])
        assert done.duplicates == len(ids)
        assert store.known_ids("queue", ids) == set(ids)

    def test_ids_are_known_until_their_acknowledgement_is_confirmed_and_an_hour(self) -> None:
        store = self.store()
        page = [message("a", change("pillow", {"n": 1})), message("b", change("pillow", {"n": 2}))]
        store.commit("queue", 1, page)
        # given that one of two is confirmed, both stay known however long it takes
        store.commit("queue", 1, [], confirmed=["a", "never heard of"])
        self.clock.advance(10 * DAY)
        assert store.commit("queue", 1, [page[1]]).duplicates == 1
        # when the other is confirmed too, they are forgotten an hour later, not before
        store.commit("queue", 1, [], confirmed=["b"])
        self.clock.advance(3599)
        assert store.commit("queue", 1, [page[1]]).duplicates == 1
        self.clock.advance(2)
        assert store.commit("queue", 1, [page[1]]).duplicates == 0

    def test_an_event_counts_once_a_day_whatever_brings_it(self) -> None:
        store = self.store()
        event = change("pillow", {"n": 1}, event_id="e")
        store.commit("queue", 1, [message("a", event)])
        assert store.commit("mqtt", 1, [message("b", event), message("c", event)]).duplicates == 2
        other = change("chair", {"n": 1}, event_id="e")
        assert store.commit("mqtt", 1, [message("d", other)]).duplicates == 0
        self.clock.advance(DAY + 1)
        assert store.commit("queue", 1, [message("x", event)]).duplicates == 0

    def test_one_bad_message_never_stops_its_neighbours(self) -> None:
        store = self.store()
        huge = change("pillow", {"text": "x" * 70_000})
        page = [
            message("a", change("pillow", {"n": 1})),
            refused("b"),
            message("c", change("pillow", {"m": 1}), huge, change("chair", {"n": 3})),
        ]
        done = store.commit("queue", 1, page)
        assert (done.applied, done.quarantined) == (3, 2)
        assert (state_of(store), state_of(store, "chair")) == ({"n": 1, "m": 1}, {"n": 3})
        first, second = store.quarantined()
        assert (first.id, first.item, first.reason, first.body) == (
            "b",
            None,
            "It is not JSON.",
            b"raw b",
        )
        assert (second.id, second.item, second.source) == ("c", 1, "queue")
        assert store.quarantine_count() == 2
        assert store.commit("queue", 1, page).quarantined == 0, (
            "a known duplicate is not set aside twice"
        )

    def test_the_number_of_devices_is_bounded(self) -> None:
        # Given a store that is full
        store = self.store(max_devices=2)
        self.say(store, {"n": 1}, device="a")
        self.say(store, {"n": 1}, device="b")
        # when a new device reports, then it goes to quarantine; the existing ones keep working
        self.clock.advance(1)
        page = [
            message("x", change("c", {"n": 1}), sent_at=self.clock()),
            message("y", change("a", {"n": 2}), sent_at=self.clock()),
        ]
        done = store.commit("queue", 1, page)
        assert (done.applied, done.quarantined) == (1, 1)
        assert "max_devices" in store.quarantined()[0].reason
        assert (state_of(store, "a"), store.get("c")) == ({"n": 2}, None)
        with raises(DevicesFull):
            store.edit(change("c", {"n": 1}, by="user"))
        assert store.edit(change("a", {"n": 3}, by="user")) is not None
        # and a device that is removed makes room, also for itself
        self.clock.advance(1)
        self.say(store, {}, device="b", kind="delete")
        assert store.edit(change("c", {"n": 1}, by="user")) is not None
        with raises(DevicesFull):
            store.edit(change("b", {"n": 1}, by="user"))
        store.edit(change("c", kind="delete", by="user"))
        self.clock.advance(1)
        assert store.edit(change("b", {"n": 1}, by="user")) is not None
        # and what waited in quarantine can be replayed then
        store.edit(change("a", kind="delete", by="user"))
        row = store.quarantined()[0]
        again = message("x", change("c", {"n": 9}, kind="replace", time=self.clock() + 1))
        assert store.replay(row.number, again, 1_000_000).quarantined == 0

    def test_the_quarantine_knows_which_device_a_message_may_be_about(self) -> None:
        store = self.store()
        hint = Refusal("It brings no state.", b"{}", device="pillow")
        huge = change("pillow", {"text": "x" * 70_000})
        store.commit("queue", 1, [message("a", refusals=(hint,)), refused("b"), message("c", huge)])
        assert [row.device for row in store.quarantined()] == ["pillow", None, "pillow"]
        about = store.quarantined(device="pillow")
        assert [row.id for row in about] == ["a", "c"]
        assert store.quarantined(device="pillow", after=about[0].number) == about[1:]
        assert store.quarantined(device="pillow", newest=True, limit=1) == about[1:]
        assert (store.quarantine_count("pillow"), store.quarantine_count("chair")) == (2, 0)
        assert store.quarantine_count() == 3

    def test_a_commit_says_what_it_set_aside(self) -> None:
        store = self.store()
        done = store.commit("queue", 1, [refused("a"), message("b", change("pillow", {"n": 1}))])
        assert [(row.id, row.reason) for row in done.set_aside] == [("a", "It is not JSON.")]
        assert done.refused == ("a",)

    def test_the_quarantine_is_capped(self) -> None:
        store = self.store(quarantine_rows=3)
        for number in range(5):
            store.commit("queue", 1, [refused(f"m{number}")])
        assert [row.id for row in store.quarantined()] == ["m2", "m3", "m4"]
        assert store.quarantine_count() == 3
        last = store.quarantined()[-1].number
        assert store.quarantined(after=last) == []
        assert len(store.quarantined(limit=2)) == 2

    def test_a_quarantined_row_can_be_dropped(self) -> None:
        store = self.store()
        store.commit("queue", 1, [refused("a")])
        number = store.quarantined()[0].number
        assert store.quarantine_row(number).id == "a"
        store.drop(number)
        assert store.quarantine_count() == 0
        with raises(NotFound):
            store.drop(number)
        with raises(NotFound):
            store.quarantine_row(number)
        with raises(NotFound):
            store.replay(number, message("a"), 1)

    def test_replay_keeps_the_original_stamp_and_overwrites_nothing_newer(self) -> None:
        store = self.store()
        store.commit("queue", 1, [refused("a", sent_at=START)])
        self.clock.advance(60)
        self.say(store, {"mood": "new"})
        row = store.quarantined()[0]
        readable = message(
            "a", change("pillow", {"mood": "old", "colour": "red"}), sent_at=self.clock()
        )
        done = store.replay(row.number, readable, 1)
        assert (done.applied, done.duplicates, done.quarantined) == (1, 0, 0)
        assert state_of(store) == {"mood": "new", "colour": "red"}
        update = store.get("pillow")
        assert update is not None and update.cause.id == "a"
        assert store.quarantine_count() == 0

    def test_replay_that_is_refused_again_stays_with_the_new_reason(self) -> None:
        store = self.store()
        store.commit("queue", 1, [refused("a")])
        row = store.quarantined()[0]
        assert store.replay(row.number, refused("a", "Still not."), 1).quarantined == 1
        again = store.quarantine_row(row.number)
        assert (again.reason, again.attempts, again.order) == (
            "Still not.",
            row.attempts + 1,
            row.order,
        )
        assert (
            store.replay(
                row.number, message("a", change("pillow", {"t": "x" * 70_000})), 1
            ).quarantined
            == 1
        )
        assert store.quarantine_count() == 1

    def test_replay_of_what_is_too_old_to_count_does_not_vanish(self) -> None:
        store = self.store()
        store.commit("queue", 1, [refused("a", sent_at=START)])
        self.clock.advance(DAY + 60)
        self.say(store, {"mood": "new"})
        row = store.quarantined()[0]
        assert (
            store.replay(
                row.number, message("a", change("pillow", {"colour": "red"})), 1
            ).quarantined
            == 1
        )
        assert "too far behind" in store.quarantine_row(row.number).reason
        assert state_of(store) == {"mood": "new"}

    def test_edit_commits_at_once_as_the_api(self) -> None:
        store = self.store()
        self.say(store, {"mood": "happy"})
        self.clock.advance(1)
        update = store.edit(change("pillow", {"mood": "sad"}, by="user"), cause_id="request 7")
        assert update is not None and update == store.get("pillow")
        assert (update.cause.source, update.cause.id, update.cause.by) == (
            "api",
            "request 7",
            "user",
        )
        assert (update.version, update.state, update.source) == (2, b'{"mood":"sad"}', "queue")
        with raises(Refused):
            store.edit(change("pillow", {"t": "x" * 70_000}, by="user"))
        assert store.quarantine_count() == 0
        assert store.edit(change("absent", kind="delete", by="user")) is None

    def test_edit_wins_over_what_was_sent_before_and_a_later_message_over_it(self) -> None:
        store = self.store()
        store.edit(change("pillow", {"a": 1, "b": 1}, by="user"))
        store.commit("queue", 1, [message("x", change("pillow", {"a": 2}), sent_at=START - 1)])
        store.commit("queue", 1, [message("y", change("pillow", {"b": 2}), sent_at=START + 1)])
        assert state_of(store) == {"a": 1, "b": 2}

    def test_an_edit_takes_effect_although_a_clock_was_once_ahead(self) -> None:
        store = self.store()
        # Given a device whose newest message has a time in our future and a high sequence
        store.commit(
            "queue",
            1,
            [message("x", change("pillow", {"n": 1}, sequence=7), sent_at=START + 300_000_000)],
        )
        # Then edits take effect in the order of the users, also within one ms
        for state in ({"n": 2}, {"n": 3}):
            update = store.edit(change("pillow", state, by="user"))
            assert update is not None and state_of(store) == state
        store.edit(change("pillow", {"m": 1}, kind="replace", by="user"))
        assert state_of(store) == {"m": 1}
        store.edit(change("pillow", kind="delete", by="user"))
        removed = store.get("pillow")
        assert removed is not None and removed.state is None

    def test_if_match_compares_the_position_of_the_device(self) -> None:
        store = self.store()
        self.say(store, {"n": 1})
        update = store.get("pillow")
        assert update is not None
        position = store.position_of(update)
        self.say(store, {"n": 1}, device="chair")
        assert store.edit(change("pillow", {"n": 2}, by="user"), if_match=position) is not None
        for wrong in (position, Position("unknown", 3), Position(position.epoch, 99)):
            with raises(Conflict):
                store.edit(change("pillow", {"n": 3}, by="user"), if_match=wrong)
        with raises(Conflict):
            store.edit(change("absent", {"n": 3}, by="user"), if_match=Position(position.epoch, 0))
        assert (
            store.edit(change("pillow", {"n": 3}, by="user"), if_match=Position(position.epoch, 3))
            is not None
        )

    def test_the_term_guards_every_commit(self) -> None:
        store = self.store()
        lease = store.lease("queue")
        assert lease is not None
        assert store.lease("queue") is None
        other = store.lease("other")
        assert other is not None
        store.commit("queue", 1, [message("a", change("pillow", {"n": 1}))], term=lease.term)
        lease.release()
        lease.release()
        successor = store.lease("queue")
        assert successor is not None and successor.term > lease.term
        with raises(LeaseLost):
            store.commit("queue", 1, [message("b", change("pillow", {"n": 2}))], term=lease.term)
        assert state_of(store) == {"n": 1}
        successor.release()
        other.release()


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


class StoreContract(
    ChangeContract,
    ReadContract,
    CommandContract,
    AccessContract,
    SenderContract,
    PresenceContract,
    SizesContract,
    TotalsContract,
    ClockContract,
    WaitContract,
    ReactionContract,
    TakeOverContract,
):
    """All of the contract: subclass this one."""
