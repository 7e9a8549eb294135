"""What the next holder of a source's lease finds in its queue: all that the former one has left.

No test moves the clock: what was hidden does not become visible by its time.
"""

from __future__ import annotations

from statecast.model import Delivery
from statecast.stores.contract import Store
from statecast.stores.leases import Lease
from statecast.testing.store_fixture import StoreFixture

HIDDEN_MS = 30_000


class TakeOverContract(StoreFixture):
    """A process received messages under a lease, and did not commit all of them."""

    def test_the_next_holder_receives_at_once_what_the_former_one_has_left(self) -> None:
        store = self.store()
        queue, other = store.queue("queue"), store.queue("other")
        queue.append([b"%d" % number for number in range(6)])
        other.append([b"other"])
        # given a holder that received two batches, of which it committed one message
        former = taken(store)
        first = queue.acknowledge_and_receive({}, 2, HIDDEN_MS)
        second = queue.acknowledge_and_receive({first[0].receipt: [first[0].id]}, 2, HIDDEN_MS)
        kept = other.acknowledge_and_receive({}, 1, HIDDEN_MS)
        assert queue.acknowledge_and_receive({}, 0, HIDDEN_MS) == []
        # when another one takes over
        former.release()
        successor = taken(store)
        # then it receives the rest at once: first what was received before, then what was not
        found = queue.acknowledge_and_receive({}, 4, HIDDEN_MS)
        assert [(one.body, one.attempt) for one in found] == [
            (b"1", 2), (b"2", 2), (b"3", 2), (b"4", 1)
        ]  # fmt: skip
        # and neither can the former holder take it away, nor is another queue touched
        stale = {second[0].receipt: ids(second), first[0].receipt: ids(first)}
        assert [one.body for one in queue.acknowledge_and_receive(stale, 9, HIDDEN_MS)] == [b"5"]
        assert queue.size()[0] == 5
        assert other.acknowledge_and_receive({}, 9, HIDDEN_MS) == []
        other.acknowledge_and_receive({kept[0].receipt: ids(kept)}, 0, HIDDEN_MS)
        assert other.size() == (0, 0)
        successor.release()

    def test_what_is_released_is_received_at_once(self) -> None:
        store = self.store()
        queue = store.queue("queue")
        queue.append([b"1", b"2", b"3"])
        (first,) = queue.acknowledge_and_receive({}, 1, HIDDEN_MS)
        (second,) = queue.acknowledge_and_receive({}, 1, HIDDEN_MS)
        # when one receipt of two is released, and some that are none
        queue.release([first.receipt, "", "x", "999999"])
        queue.release([])
        # then its message is next, and the other one's stays hidden
        due = queue.next_visible()
        assert due is not None and due <= self.clock()
        found = queue.acknowledge_and_receive({}, 9, HIDDEN_MS)
        assert [(one.body, one.attempt) for one in found] == [(b"1", 2), (b"3", 1)]
        # and it is acknowledged under its new receipt only
        queue.acknowledge_and_receive({first.receipt: [first.id]}, 0, HIDDEN_MS)
        assert queue.size()[0] == 3
        done = {found[0].receipt: ids(found), second.receipt: [second.id]}
        queue.acknowledge_and_receive(done, 0, HIDDEN_MS)
        assert queue.size() == (0, 0) and queue.next_visible() is None

    def test_a_release_ends_the_wait_of_another_consumer(self) -> None:
        store = self.store()
        queue = store.queue("queue")
        queue.append([b"1"])
        (held,) = queue.acknowledge_and_receive({}, 1, HIDDEN_MS)
        assert queue.acknowledge_and_receive({}, 1, HIDDEN_MS) == []
        queue.release([held.receipt])
        queue.wait(60)
        assert [one.id for one in queue.acknowledge_and_receive({}, 1, HIDDEN_MS)] == [held.id]


def taken(store: Store) -> Lease:
    lease = store.lease("queue")
    assert lease is not None
    return lease


def ids(deliveries: list[Delivery]) -> list[str]:
    return [one.id for one in deliveries]
