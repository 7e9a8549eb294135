"""Who sent a message travels with it: through the queue, into the cause, and into quarantine."""

from __future__ import annotations

from statecast.model import Cause, Delivery, Message, Refusal
from statecast.stores.changes import ReadCursor
from statecast.testing.store_fixture import StoreFixture
from statecast.testing.values import START, change, message

KEY = "key pillow-1"


class SenderContract(StoreFixture):
    """The sender of a message."""

    def test_a_queue_keeps_the_sender_of_each_message(self) -> None:
        # given messages with and without a sender
        queue = self.store().queue("queue")
        queue.append([b"a", b"b"], KEY)
        queue.append([b"c"])
        queue.append([b"d"], "key é/2 3")
        expected = [(b"a", KEY), (b"b", KEY), (b"c", ""), (b"d", "key é/2 3")]
        # when they are received, and received again because no one acknowledged them
        for attempt in (1, 2):
            found = queue.acknowledge_and_receive({}, 10, 1_000)
            assert [(one.body, one.sender) for one in found] == expected
            assert {one.attempt for one in found} == {attempt}
            self.clock.advance(2)

    def test_the_cause_names_the_sender(self) -> None:
        # given a device that a key, a program without one, and a person changed
        store = self.store()
        mood = change(state={"mood": "happy"})
        store.commit("queue", 1, [message("a", mood, sender=KEY)])
        store.commit("queue", 1, [message("b", change(state={"n": 1}))])
        store.commit("queue", 1, [message("c", change(state={"n": 2}, by="system"), sender=KEY)])
        store.edit(change(state={"n": 3}, by="user"), cause_id="d", sender="key editor")
        # then each version says so, newest first
        causes = [
            Cause("api", "d", "user", "key editor"),
            Cause("queue", "c", "system", KEY),
            Cause("queue", "b", "device"),
            Cause("queue", "a", "device", KEY),
        ]
        assert [row.cause for row in store.history("pillow")] == causes
        update = store.get("pillow")
        assert update is not None and update.cause == causes[0]
        assert [one.cause for one in store.read(ReadCursor()).updates] == causes[:1]
        assert [one.cause for one in store.devices()] == causes[:1]

    def test_a_repetition_by_another_sender_changes_nothing(self) -> None:
        store = self.store()
        store.commit("queue", 1, [message("a", change(state={"n": 1}), sender=KEY)])
        store.commit("queue", 1, [message("a", change(state={"n": 2}), sender="key other")])
        assert [row.cause.sender for row in store.history("pillow")] == [KEY]

    def test_quarantine_keeps_the_sender(self) -> None:
        # given refused messages with and without a sender
        store = self.store()
        delivery = Delivery("a", b"raw", START, sender=KEY)
        store.commit(
            "queue", 1, [Message(delivery, refusals=(Refusal("No.", b"raw", device="pillow"),))]
        )
        store.commit("queue", 1, [message("b", refusals=(Refusal("No.", b"raw"),))])
        assert [row.sender for row in store.quarantined()] == [KEY, ""]
        # when the first is replayed in vain, and then with success
        number = store.quarantined()[0].number
        again = message("a", refusals=(Refusal("Still not.", b"raw"),), sender=KEY)
        store.replay(number, again, 1)
        assert (store.quarantine_row(number).sender, store.quarantine_row(number).reason) == (
            KEY,
            "Still not.",
        )
        store.replay(number, message("a", change(state={"n": 1}), sender=KEY), 1)
        # then the version has its sender
        update = store.get("pillow")
        assert update is not None and update.cause == Cause("queue", "a", "device", KEY)
