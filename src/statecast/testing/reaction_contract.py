"""What every store keeps of reactions: per device, the state of the last successful call."""

from __future__ import annotations

import threading
from typing import Any

from statecast import strict_json
from statecast.errors import LeaseLost
from statecast.stores import retention
from statecast.stores.changes import ReadCursor
from statecast.stores.contract import Store, StoredReaction
from statecast.stores.leases import reaction_lease
from statecast.testing.store_fixture import StoreFixture, state_of
from statecast.testing.values import change, raises


def last(reaction: StoredReaction, device: str = "pillow") -> Any:
    found = reaction.last(device)
    return None if found is None else strict_json.decode(found)


class ReactionContract(StoreFixture):
    """Where a reaction begins, what it has not handled, and who may write."""

    def begun(self, store: Store, *patterns: str, name: str = "mail") -> tuple[StoredReaction, int]:
        """A reaction that has begun, or continues, and the term of its lease."""
        lease = store.lease(reaction_lease(name))
        assert lease is not None
        reaction = store.reaction(name, patterns)
        reaction.begin(lease.term)
        lease.release()
        return reaction, lease.term

    def note(self, store: Store, reaction: StoredReaction, term: int, device: str) -> None:
        """Note a call with the present state, as the one that runs reactions does."""
        reaction.note(device, store.get(device), term)

    def test_a_reaction_begins_with_the_present(self) -> None:
        # Given a store with devices, one of them removed
        store = self.store()
        for device in ("pillow", "chair", "gone"):
            self.say(store, {"n": 1}, device=device)
        store.edit(change("gone", kind="delete"))
        # when a reaction begins, then nothing that is there already is a change
        lease = store.lease(reaction_lease("mail"))
        assert lease is not None
        reaction = store.reaction("mail", ["pillow"])
        assert reaction.begin(lease.term) is True
        assert reaction.unhandled() == []
        assert (last(reaction), last(reaction, "chair")) == ({"n": 1}, None)
        # and it begins once
        assert reaction.begin(lease.term) is False
        lease.release()

    def test_what_was_not_handled_stays_until_it_is_noted(self) -> None:
        store = self.store()
        self.say(store, {"n": 1}, device="a")
        reaction, term = self.begun(store, "*")
        # when devices change or come, then they are named by the order of their changes
        self.say(store, {"n": 1}, device="b")
        self.say(store, {"n": 2}, device="a")
        assert reaction.unhandled() == ["b", "a"]
        # and the state before is that of the last call
        assert (last(reaction, "a"), last(reaction, "b")) == ({"n": 1}, None)
        self.say(store, {"n": 3}, device="a")
        assert last(reaction, "a") == {"n": 1}
        # when a call is noted, then the others stay
        self.note(store, reaction, term, "a")
        assert (reaction.unhandled(), last(reaction, "a")) == (["b"], {"n": 3})
        self.note(store, reaction, term, "b")
        assert reaction.unhandled() == []
        # and a message that changes nothing is no change
        self.say(store, {"n": 3}, device="a")
        assert reaction.unhandled() == []

    def test_a_change_during_a_call_is_not_lost(self) -> None:
        store = self.store()
        self.say(store, {"n": 1})
        reaction, term = self.begun(store, "pillow")
        self.say(store, {"n": 2})
        during = store.get("pillow")
        assert during is not None
        self.say(store, {"n": 3})
        reaction.note("pillow", during, term)
        assert (reaction.unhandled(), last(reaction)) == (["pillow"], {"n": 2})

    def test_a_removed_device_is_a_change(self) -> None:
        store = self.store()
        self.say(store, {"n": 1})
        reaction, term = self.begun(store, "pillow")
        store.edit(change("pillow", kind="delete"))
        assert (reaction.unhandled(), last(reaction)) == (["pillow"], {"n": 1})
        self.note(store, reaction, term, "pillow")
        assert (reaction.unhandled(), last(reaction)) == ([], None)
        # and when it comes back, it is new
        self.clock.advance(1)
        self.say(store, {"n": 1})
        assert (reaction.unhandled(), last(reaction)) == (["pillow"], None)

    def test_a_removal_that_the_store_has_forgotten_is_a_change(self) -> None:
        store = self.store()
        for device in ("pillow", "chair"):
            self.say(store, {"n": 1}, device=device)
        reaction, term = self.begun(store, "pillow")
        # given a removed device of which the store keeps not even that
        store.edit(change("pillow", kind="delete"))
        store.edit(change("chair", kind="delete"))
        self.clock.advance(retention.TOMBSTONE_MS / 1000 + 60)
        self.say(store, {"n": 1}, device="other")
        assert store.get("pillow") is None
        # then its removal is still to be handled, and that of a device it does not watch is not
        assert (reaction.unhandled(), last(reaction)) == (["pillow"], {"n": 1})
        self.note(store, reaction, term, "pillow")
        assert (reaction.unhandled(), last(reaction)) == ([], None)

    def test_other_patterns_begin_with_the_present_for_what_is_new_to_them(self) -> None:
        store = self.store()
        for device in ("a/1", "b/1", "c"):
            self.say(store, {"n": 1}, device=device)
        self.begun(store, "a/*", "c")
        # given changes while no process runs the reaction
        for device in ("a/1", "a/2", "b/1", "c"):
            self.say(store, {"n": 2}, device=device)
        # when it continues with other patterns
        reaction, _ = self.begun(store, "a/*", "b/*")
        # then what it watched already is not lost, and what is new to it begins now
        assert reaction.unhandled() == ["a/1", "a/2"]
        assert [last(reaction, name) for name in ("a/1", "a/2", "b/1", "c")] == [
            {"n": 1},
            None,
            {"n": 2},
            None,
        ]
        # and with the former patterns, what it did not watch in between begins now
        self.say(store, {"n": 3}, device="c")
        reaction, _ = self.begun(store, "a/*", "c")
        assert reaction.unhandled() == ["a/1", "a/2"]
        assert (last(reaction, "b/1"), last(reaction, "c")) == (None, {"n": 3})

    def test_each_take_over_goes_on_with_what_is_not_handled(self) -> None:
        store = self.store()
        for device in ("a", "b", "c", "far/d"):
            self.say(store, {"n": 1}, device=device)
        watched = ("a", "b", "far/*")
        reaction, term = self.begun(store, *watched)
        for number in range(2, 5):
            # given changes, of which only those of one device are handled, and some that are no
            # business of the reaction
            for device in ("b", "a", "c"):
                self.say(store, {"n": number}, device=device)
            self.note(store, reaction, term, "a")
            # when another process takes over, then it gets the others
            reaction, term = self.begun(store, *watched)
            assert reaction.unhandled() == ["b"]
        # and when all is handled, it gets what comes later
        self.note(store, reaction, term, "b")
        reaction, term = self.begun(store, *watched)
        assert reaction.unhandled() == []
        self.say(store, {"n": 2}, device="far/d")
        store.edit(change("a", kind="delete"))
        reaction, term = self.begun(store, *watched)
        assert reaction.unhandled() == ["far/d", "a"]
        # also a removal that the store has forgotten
        self.note(store, reaction, term, "far/d")
        self.clock.advance(retention.TOMBSTONE_MS / 1000 + 60)
        self.say(store, {"n": 5}, device="c")
        for _ in range(2):
            reaction, term = self.begun(store, *watched)
            assert reaction.unhandled() == ["a"]
        self.note(store, reaction, term, "a")
        reaction, term = self.begun(store, *watched)
        assert reaction.unhandled() == []

    def test_a_state_that_came_back_is_no_change_that_keeps_others_back(self) -> None:
        store = self.store()
        self.say(store, {"n": 1})
        reaction, _ = self.begun(store, "*")
        for number in (2, 1):
            self.say(store, {"n": number})
        # given a device whose state is that of its last call again
        reaction, _ = self.begun(store, "*")
        # when it changes while its next call runs, and the process ends, then that is not lost
        for number in (2, 3):
            self.say(store, {"n": number})
        reaction, _ = self.begun(store, "*")
        assert (reaction.unhandled(), last(reaction)) == (["pillow"], {"n": 1})

    def test_reactions_are_kept_apart(self) -> None:
        store = self.store()
        one, term = self.begun(store, "*", name="one")
        self.say(store, {"n": 1})
        two, _ = self.begun(store, "*", name="two")
        assert (one.unhandled(), two.unhandled()) == (["pillow"], [])
        self.say(store, {"n": 2})
        self.note(store, one, term, "pillow")
        assert (one.unhandled(), two.unhandled()) == ([], ["pillow"])

    def test_only_the_newest_holder_writes(self) -> None:
        store = self.store()
        self.say(store, {"n": 1})
        reaction, term = self.begun(store, "*")
        self.begun(store, "*")
        self.say(store, {"n": 2})
        update = store.get("pillow")
        assert update is not None
        with raises(LeaseLost):
            reaction.note("pillow", update, term)
        with raises(LeaseLost):
            reaction.begin(term)
        assert (reaction.unhandled(), last(reaction)) == (["pillow"], {"n": 1})

    def test_names_of_changed_devices_come_in_pages(self) -> None:
        store = self.store()
        assert store.read_names(0, 10) == ([], 0)
        for device in ("a", "b", "c", "a"):
            self.clock.advance(1)
            self.number += 1
            self.say(store, {"n": self.number}, device=device)
        store.edit(change("b", kind="delete"))
        # each device is named once, in the order of the newest changes, removed ones too
        assert store.read_names(0, 10) == (["c", "a", "b"], 5)
        assert store.read_names(0, 2) == (["c", "a"], 4)
        assert store.read_names(4, 2) == (["b"], 5)
        assert store.read_names(5, 2) == ([], 5)
        # and a message that changes nothing names none
        same = state_of(store, "a")
        self.say(store, same, device="a")
        assert store.read_names(5, 10) == ([], 5)

    def test_a_read_of_names_counts_for_a_wait(self) -> None:
        store = self.store()
        has_read, committed, ended = (threading.Event() for _ in range(3))

        def late() -> None:
            store.read_names(0, 10)
            has_read.set()
            committed.wait()
            store.wait(60)
            ended.set()

        thread = threading.Thread(target=late, daemon=True)
        thread.start()
        has_read.wait()
        self.say(store, {"n": 1})
        committed.set()
        assert ended.wait(20)
        thread.join()

    def test_a_note_is_no_change_for_readers(self) -> None:
        store = self.store()
        reaction, term = self.begun(store, "*")
        self.say(store, {"n": 1})
        before = store.read(ReadCursor())
        self.note(store, reaction, term, "pillow")
        after = store.read(before.cursor)
        assert (after.cursor, after.updates, after.position) == (before.cursor, [], before.position)
