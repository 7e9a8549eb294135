"""What every store must keep where clocks are wrong, and of the two times of a version."""

from __future__ import annotations

from statecast.model import Event, Position
from statecast.stores.changes import ReadCursor
from statecast.testing.store_fixture import DAY, StoreFixture, state_of
from statecast.testing.values import START, change, message, refused

MINUTE, HOUR = 60.0, 3600.0
OFF = (1.0, 5 * MINUTE, 25 * HOUR)
"""By how many seconds a clock is off."""


class ClockContract(StoreFixture):
    """A clock that was wrong freezes no device, deletes nothing and is said."""

    def test_nothing_is_stamped_later_than_the_clock_of_the_commit(self) -> None:
        for ahead in OFF:
            store = self.store()
            # given a message of a sender whose clock is ahead
            sent_at = self.clock() + round(ahead * 1000)
            store.commit("queue", 1, [message("a", change("pillow", {"n": 1}), sent_at=sent_at)])
            update = store.get("pillow")
            assert update is not None
            assert (update.changed_at, update.seen_at) == (self.clock(), self.clock())
            # then one that is sent afterwards by a right clock is newer
            self.clock.advance(0.1)
            self.say(store, {"n": 2})
            assert state_of(store) == {"n": 2}

    def test_a_clock_that_was_ahead_freezes_no_device(self) -> None:
        for ahead in OFF:
            store = self.store()
            self.say(store, {"n": 1})
            self.clock.set(ahead)
            self.say(store, {"n": 2, "m": 2}, silent_after=2.0)
            self.clock.set(-ahead)
            self.clock.advance(3)
            # then what arrives later is newer, and the deadline too
            self.say(store, {"n": 3}, silent_after=3.0)
            update = store.get("pillow")
            assert update is not None and update.silent_after == 3.0
            assert state_of(store) == {"n": 3, "m": 2}
            self.say(store, {"k": 4}, kind="replace")
            assert state_of(store) == {"k": 4}
            assert store.totals()["queue"].dropped == 0

    def test_an_edit_under_a_wrong_clock_voids_nothing_that_comes_later(self) -> None:
        for off in (*OFF, *(-off for off in OFF)):
            store = self.store()
            self.say(store, {"n": 1})
            self.clock.set(off)
            store.edit(change("pillow", {"n": 2}, by="user"))
            assert state_of(store) == {"n": 2}
            store.edit(change("pillow", kind="delete", by="user"))
            assert state_of(store) is None
            self.clock.set(-off)
            self.clock.advance(3)
            self.say(store, {"n": 3})
            assert state_of(store) == {"n": 3}
            # and an edit after that takes effect at once
            store.edit(change("pillow", {"n": 4}, by="user"))
            assert state_of(store) == {"n": 4}

    def test_a_clock_that_is_behind_holds_nothing_up(self) -> None:
        for behind in OFF:
            store = self.store()
            self.say(store, {"n": 1, "m": 1})
            self.clock.set(-behind)
            self.clock.advance(3)
            self.say(store, {"n": 2})
            assert state_of(store) == {"n": 2, "m": 1}
            self.clock.set(behind)
            self.say(store, {"n": 3})
            assert state_of(store) == {"n": 3, "m": 1}

    def test_what_was_sent_under_both_clocks_counts_as_it_arrives(self) -> None:
        store = self.store()
        queue = store.queue("queue")
        for number, off in enumerate((5 * MINUTE, 0.0, -25 * HOUR, 25 * HOUR, 0.0), 1):
            # given senders with different clocks, and a store with the right one
            self.clock.set(off)
            queue.append([b"%d" % number])
            self.clock.set(-off)
            self.clock.advance(0.01)
        deliveries = queue.acknowledge_and_receive({}, 10, 30_000)
        messages = [
            message(
                one.id,
                change("pillow", {"n": int(one.body), "of": {one.body.decode(): 1}}),
                sent_at=one.sent_at,
                order=one.order,
            )
            for one in deliveries
        ]
        for batch in (messages[:2], messages[2:4], messages[4:]):
            store.commit("queue", 1, batch)
        assert state_of(store) == {"n": 5, "of": {str(number): 1 for number in range(1, 6)}}

    def test_no_time_is_later_than_now(self) -> None:
        store = self.store()
        self.clock.set(DAY)
        self.say(store, {"n": 1})
        store.edit(change("lamp", {"n": 1}, by="user"))
        self.clock.set(-DAY)
        self.clock.advance(3)
        # when the clock is put right, and noticed with the next commit
        self.say(store, {"n": 1}, device="other")
        noticed = self.clock()
        self.clock.advance(60)
        # then what was written before has happened by then
        pillow, lamp = store.get("pillow"), store.get("lamp")
        assert pillow is not None and lamp is not None
        for update in (pillow, *store.read(ReadCursor()).updates[:1]):
            assert (update.seen_at, update.changed_at, update.arrived_at) == (noticed,) * 3
            assert update.fields == {"n": noticed}
        assert (lamp.seen_at, lamp.changed_at) == (None, noticed)
        (row,) = store.history("pillow")
        assert (row.at, row.arrived_at) == (noticed, noticed)
        assert store.history_size("pillow") == (1, noticed)
        assert [one.seen_at for one in store.devices() if one.device == "pillow"] == [noticed]
        # and a new message sets its own time
        self.say(store, {"n": 1})
        pillow = store.get("pillow")
        assert pillow is not None and pillow.seen_at == self.clock()

    def test_a_time_of_a_clock_that_was_ahead_is_never_reached(self) -> None:
        for ahead in OFF[1:]:
            store = self.store()
            self.clock.set(ahead)
            # given devices that were written under a clock that was ahead, one only seen again
            self.say(store, {"n": 1}, silent_after=60.0)
            self.say(store, {"n": 1}, device="seen", silent_after=60.0)
            self.clock.advance(1)
            self.say(store, {"n": 1}, device="seen", silent_after=60.0)
            self.clock.set(-ahead)
            self.clock.advance(3)
            store.announce("p", {})
            noticed = self.clock()
            # when the right clock comes to the times that they have
            self.clock.advance(ahead - 3)
            for _ in range(4):
                self.clock.advance(1)
                # then none of them looks as if it spoke just now
                for device in ("pillow", "seen"):
                    update = store.get(device)
                    assert update is not None and update.fields == {"n": noticed}
                    assert (update.seen_at, update.arrived_at) == (noticed, noticed)
                assert [row.at for row in store.history("pillow")] == [noticed]
                assert store.history_size("pillow") == (1, noticed)
                seen = store.read(ReadCursor(store.read_position().offset)).seen
                assert set(seen.values()) <= {noticed}
            # and what a device says afterwards has its own time
            self.say(store, {"n": 1})
            self.say(store, {"n": 2}, device="seen")
            for device in ("pillow", "seen"):
                update = store.get(device)
                assert update is not None and update.seen_at == self.clock()

    def test_a_step_of_the_clock_drops_no_event_and_no_report(self) -> None:
        for step in (5 * MINUTE, -5 * MINUTE, 25 * HOUR, -25 * HOUR):
            store = self.store()
            # given a process that has announced itself, and an event that is not read yet
            store.announce("other", {"viewers": 1})
            cursor = store.read(ReadCursor()).cursor
            store.emit([Event("/", "hello", b"[1]", origin="other")])
            # when the clock is set, and another process writes
            self.clock.set(step)
            self.clock.advance(1)
            store.announce("this", {"viewers": 2})
            store.emit([Event("/", "hello", b"[2]", origin="this")])
            # then the process counts as before, and both events arrive
            assert store.reports() == {"other": {"viewers": 1}, "this": {"viewers": 2}}
            assert [one.data for one in store.read(cursor).events] == [b"[1]", b"[2]"]
            # and both end by the time that passes
            self.clock.advance(11)
            store.announce("this", {"viewers": 2})
            assert store.reports() == {"this": {"viewers": 2}}
            self.clock.advance(61)
            store.emit([Event("/", "hello", b"[3]", origin="this")])
            assert [one.data for one in store.read(cursor).events] == [b"[3]"]

    def test_a_clock_that_jumps_ahead_deletes_nothing(self) -> None:
        store = self.store(history_days=2.0)
        self.say(store, {"n": 1}, event_id="e")
        self.say(store, {"n": 1}, device="gone")
        store.edit(change("gone", kind="delete", by="user"))
        position = store.read_position()
        self.clock.advance(2 * HOUR)
        for step in (30 * DAY, 1.0, -30 * DAY, 30 * DAY):
            self.clock.set(step)
            self.clock.advance(1)
            self.say(store, {"n": step})
        # then history, tombstones and known events are those from before
        assert [row.version for row in store.history("pillow")] == [5, 4, 3, 2, 1]
        assert store.get("gone") is not None and store.is_valid(position)
        event = change("pillow", {"n": 1}, event_id="e")
        assert store.commit("queue", 1, [message("again", event)]).duplicates == 1
        # and when the clock has run evenly for an hour, what is old goes
        self.clock.advance(HOUR + 1)
        self.say(store, {"n": 9})
        assert [row.version for row in store.history("pillow")] == [6, 5, 4, 3, 2]
        assert not store.is_valid(Position(position.epoch, position.offset - 1))

    def test_a_step_of_the_clock_is_said(self) -> None:
        for step in (5 * MINUTE, -5 * MINUTE, 25 * HOUR, -25 * HOUR):
            store = self.store()
            self.say(store, {"n": 1})
            assert store.problems.current() == []
            self.clock.set(step)
            self.clock.advance(1)
            store.announce("p", {})
            (problem,) = store.problems.current()
            way = "set forward by" if step > 0 else "went back by"
            assert (problem.kind, problem.subject) == ("clock", "clock")
            assert problem.severity == "notice" and way in problem.sentence
            # and a day later it is over
            self.clock.advance(DAY + 1)
            store.announce("p", {})
            assert store.problems.current() == []

    def test_time_that_passes_is_no_step(self) -> None:
        store = self.store()
        self.say(store, {"n": 1})
        for seconds in (0.001, 5 * MINUTE, 400 * DAY):  # a suspended machine counts them too
            self.clock.advance(seconds)
            self.clock.set(1.5)
            self.say(store, {"n": seconds})
        assert store.problems.current() == []

    # -- two times

    def test_a_version_has_happened_and_has_arrived(self) -> None:
        store = self.store()
        self.clock.advance(DAY)
        self.say(store, {"level": 10}, time=self.clock() - 6 * 3_600_000, silent_after=300.0)
        update = store.get("pillow")
        happened = self.clock() - 6 * 3_600_000
        assert update is not None
        assert (update.changed_at, update.seen_at) == (happened, happened)
        assert (update.arrived_at, update.fields) == (self.clock(), {"level": happened})
        (row,) = store.history("pillow")
        assert (row.at, row.arrived_at) == (happened, self.clock())
        # and an edit happens when it arrives
        edited = store.edit(change("pillow", {"level": 11}, by="user"))
        assert edited is not None and edited == store.get("pillow")
        assert (edited.changed_at, edited.arrived_at) == (self.clock(), self.clock())

    def test_a_message_without_a_time_has_happened_when_it_was_sent(self) -> None:
        store = self.store()
        self.clock.advance(HOUR)  # it has waited in the queue
        store.commit("queue", 1, [message("a", change("pillow", {"n": 1}), sent_at=START)])
        update = store.get("pillow")
        assert update is not None
        assert (update.changed_at, update.seen_at, update.arrived_at) == (
            START,
            START,
            self.clock(),
        )

    def test_a_time_that_cannot_be_right_does_not_count(self) -> None:
        store = self.store()
        for name, time in (("never set", 86_400_000), ("ahead", START + 420_000)):
            self.say(store, {"n": 1}, device=name.replace(" ", "-"), time=time)
            update = store.get(name.replace(" ", "-"))
            assert update is not None
            assert (update.changed_at, update.seen_at) == (START, START)
            assert update.clock_behind == START - time

    def test_a_slow_clock_that_speaks_is_alive_and_a_replay_is_not(self) -> None:
        store = self.store()
        slow = 20 * 60_000
        for number in range(3):
            self.clock.advance(MINUTE)
            self.say(store, {"n": number}, time=self.clock() - slow)
        update = store.get("pillow")
        assert update is not None
        assert (update.seen_at, update.clock_behind) == (self.clock(), slow)
        # when a retained message comes again, then it shows no life
        lived = self.clock()
        self.clock.advance(HOUR)
        self.say(store, {"n": 0}, time=START - slow - 7_200_000)
        update = store.get("pillow")
        assert update is not None and update.seen_at == lived

    def test_a_burst_of_what_had_waited_shows_no_life(self) -> None:
        store = self.store()
        self.clock.advance(DAY)
        for number in range(300):  # six hours, sent within three seconds
            self.clock.advance(0.01)
            happened = self.clock() - 6 * 3_600_000 + number * 60_000
            self.say(store, {"n": number}, time=happened)
            update = store.get("pillow")
            assert update is not None and update.seen_at == happened

    def test_trimming_goes_by_arrival(self) -> None:
        store = self.store(history_days=2.0)
        self.clock.advance(10 * DAY)
        self.say(store, {"n": 1}, time=START)  # of ten days ago, and new here
        self.clock.advance(2 * DAY - 1)
        self.say(store, {"n": 2})
        assert [row.version for row in store.history("pillow")] == [2, 1]
        self.clock.advance(2)
        self.say(store, {"n": 3})
        assert [row.version for row in store.history("pillow")] == [3, 2]

    def test_replay_keeps_the_original_times(self) -> None:
        store = self.store()
        store.commit("queue", 1, [refused("a", sent_at=START)])
        self.clock.advance(HOUR)
        (row,) = store.quarantined()
        store.replay(row.number, message("a", change("pillow", {"n": 1})), 1)
        update = store.get("pillow")
        assert update is not None
        assert (update.changed_at, update.seen_at, update.arrived_at) == (
            START,
            START,
            self.clock(),
        )
