"""What a commit does to states, ids and quarantine."""

from __future__ import annotations

from statecast.commands.life import NewCommand
from statecast.errors import Conflict, DevicesFull, LeaseLost, NotFound, Refused
from statecast.model import Position, Refusal
from statecast.stores.changes import ReadCursor
from statecast.testing.store_fixture import DAY, StoreFixture, state_of
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
