"""Messages of the store's own queue leave it with the transaction that applies them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from statecast.decoders.decoder import Decoder
from statecast.errors import LeaseLost, StoreUnavailable
from statecast.ingest.pipeline import Pipeline
from statecast.model import Delivery, Message
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.limits import Limits
from statecast.stores.sqlite import dedup
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import VirtualClock

BODY = b'{"device": "pillow", "state": {"n": %d}}'


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(tmp_path: Path, clock: VirtualClock) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "store.db", Limits(), clock)
    yield store
    store.close()


@pytest.fixture
def queue(store: SqliteStore) -> EmbeddedQueue:
    return EmbeddedQueue(store)


def received(queue: EmbeddedQueue, *numbers: int) -> list[Delivery]:
    queue.send_many([BODY % number for number in numbers])
    return queue.receive(len(numbers), 0)


def decoded(deliveries: list[Delivery]) -> list[Message]:
    return [Decoder()(one) for one in deliveries]


def rows_of(store: SqliteStore, *tables: str) -> list[int]:
    with store.database.read() as connection:
        return [
            connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in tables
        ]


def test_a_commit_deletes_the_messages_and_remembers_no_id(
    store: SqliteStore, queue: EmbeddedQueue
) -> None:
    # given received messages
    messages = decoded(received(queue, 1, 2, 3))
    # when they are committed
    done = store.commit_received("queue", messages)
    # then they are applied, nothing of them is left in the queue, and no id is kept
    assert (done.applied, done.versions, done.duplicates) == (3, 3, 0)
    assert queue.waiting() == 0
    assert rows_of(store, "queue", "in_flight", "receipts", "known", "pages", "page_ids") == [0] * 6


def test_a_batch_that_is_committed_again_changes_nothing(
    store: SqliteStore, queue: EmbeddedQueue
) -> None:
    # given a committed batch whose sender does not know of the commit, and a message after it
    messages = decoded(received(queue, 1, 2))
    store.commit_received("queue", messages)
    later = decoded(received(queue, 3))
    before = store.get("pillow")
    # when it is committed again, together with the later message
    done = store.commit_received("queue", [*messages, *later])
    # then only the later message has an effect
    assert (done.applied, done.duplicates) == (1, 2)
    after = store.get("pillow")
    assert before is not None and after is not None
    assert (after.version, after.state) == (before.version + 1, b'{"n":3}')


def test_a_message_that_was_received_twice_is_applied_once(
    store: SqliteStore, queue: EmbeddedQueue, clock: VirtualClock
) -> None:
    # given a message that became visible again before its first receiver committed it
    first = decoded(received(queue, 1))
    clock.advance(60_000)
    (again,) = decoded(queue.receive(1, 0))
    assert again.delivery.attempt == 2
    # when both receivers commit
    results = [store.commit_received("queue", one) for one in (first, [again])]
    # then one of them applies it, and the queue is empty
    assert [(one.applied, one.duplicates) for one in results] == [(1, 0), (0, 1)]
    assert rows_of(store, "queue", "in_flight", "receipts") == [0, 0, 0]


def test_a_part_of_a_receive_is_committed_alone(store: SqliteStore, queue: EmbeddedQueue) -> None:
    # given one receive of three messages
    messages = decoded(received(queue, 1, 2, 3))
    # when the second is committed alone
    store.commit_received("queue", messages[1:2])
    # then the others are still in flight
    assert queue.waiting() == 2
    assert rows_of(store, "in_flight", "receipts") == [2, 1]
    # and leave with their own commit
    assert store.commit_received("queue", [messages[0], messages[2]]).applied == 2
    assert rows_of(store, "queue", "in_flight", "receipts") == [0, 0, 0]


def test_a_commit_that_fails_leaves_the_messages_in_their_queue(
    store: SqliteStore, queue: EmbeddedQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = decoded(received(queue, 1, 2))
    # given a holder that lost its lease, and then a disk that fails at the end of the commit
    with pytest.raises(LeaseLost):
        store.commit_received("queue", messages, term=17)
    with monkeypatch.context() as patched:
        patched.setattr(store, "_save", failing)
        with pytest.raises(StoreUnavailable):
            store.commit_received("queue", messages)
    # then nothing has changed, and the next attempt commits them
    assert (queue.waiting(), store.get("pillow")) == (2, None)
    assert store.commit_received("queue", messages).applied == 2


def failing(*arguments: object) -> None:
    raise StoreUnavailable("The disk failed.")


def test_ids_that_an_older_version_remembered_still_count(
    store: SqliteStore, queue: EmbeddedQueue, clock: VirtualClock
) -> None:
    # given a message that an older version has committed, and not acknowledged before its end
    messages = decoded(received(queue, 1))
    store.commit("queue", 1, messages)
    clock.advance(60_000)
    again = decoded(queue.receive(1, 0))
    # when this version receives and commits it
    done = store.commit_received("queue", again)
    # then it has no second effect, it leaves the queue, and its id is forgotten an hour later
    assert (done.applied, done.duplicates, queue.waiting()) == (0, 1, 0)
    clock.advance(dedup.CONFIRMED_IDS_MS + 1)
    store.commit_received("queue", decoded(received(queue, 2)))
    assert rows_of(store, "known", "pages", "page_ids") == [0, 0, 0]


def test_the_pipeline_has_nothing_to_acknowledge(store: SqliteStore, queue: EmbeddedQueue) -> None:
    # given a pipeline from the queue of a store into that store
    pipeline = Pipeline(queue, Decoder(), store, batch_size=2)
    queue.send_many([BODY % number for number in range(3)])
    # when it takes its steps
    steps = [pipeline.step(0, 0) for _ in range(2)]
    # then nothing waits for an acknowledgement, and nothing is left
    assert [len(done) for done, _ in steps] == [2, 1]
    assert (pipeline.confirmed, queue.waiting()) == ([], 0)
    assert rows_of(store, "queue", "in_flight", "receipts", "known") == [0] * 4


def test_a_queue_of_another_store_is_acknowledged_as_any(
    store: SqliteStore, queue: EmbeddedQueue, tmp_path: Path, clock: VirtualClock
) -> None:
    # given a pipeline from the queue of one store into another
    other = SqliteStore(tmp_path / "other.db", Limits(), clock)
    pipeline = Pipeline(queue, Decoder(), other, batch_size=2)
    queue.send(BODY % 1)
    # when it takes a step
    done, committed = pipeline.step(0, 0)
    # then the message is applied, and its id is remembered until its deletion is confirmed
    assert committed.applied == 1
    assert other.known_ids("queue", [one.id for one in done]) == {done[0].id}
    queue.close()
    assert queue.waiting() == 0
    other.close()
