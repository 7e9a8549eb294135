"""Every source keeps the contract of sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from statecast.errors import QueueFull, SourceUnavailable, TooLarge
from statecast.sources.contract import Source
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.sources.memory import MemorySource
from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.stores.limits import Limits
from statecast.testing import FakeSource, SourceContract, VirtualClock, change, message


class QueueInStore(SourceContract):
    """What the embedded queue promises beyond the contract, whatever store holds it."""

    url = ""

    @pytest.fixture(autouse=True)
    def opened(self, tmp_path: Path) -> Iterator[None]:
        self.clock = VirtualClock()
        self.store = self.open(tmp_path, Limits(queue_messages=20, queue_bytes=100_000))
        self.sender = EmbeddedQueue(self.store)
        yield
        self.store.close()

    def open(self, folder: Path, limits: Limits) -> Store:
        return open_store(self.url.format(folder=folder), limits, self.clock)

    def make_source(self, visibility_timeout: float) -> Source:
        return EmbeddedQueue(self.store, visibility_timeout=visibility_timeout)

    def put(self, body: bytes) -> None:
        self.sender.send(body)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def test_order_is_the_id_and_rises_with_every_message(self) -> None:
        ids = [self.sender.send(b"1"), *self.sender.send_many([b"2", b"3"])]
        page = self.sender.receive(10, 0)
        assert [delivery.id for delivery in page] == ids
        assert (
            [delivery.order for delivery in page]
            == [int(id_) for id_ in ids]
            == sorted(map(int, ids))
        )
        assert {delivery.sent_at for delivery in page} == {self.clock()}

    def test_ids_share_the_counter_of_the_stamps(self) -> None:
        first = int(self.sender.send(b"1"))
        self.store.commit("other", 1, [message("a", change("pillow", {"n": 1}))])
        assert int(self.sender.send(b"2")) == first + 2

    def test_a_full_queue_refuses_all_of_a_call(self) -> None:
        self.sender.send_many([b"x"] * 19)
        with pytest.raises(QueueFull, match="full"):
            self.sender.send_many([b"x"] * 2)
        self.sender.send(b"x")
        with pytest.raises(QueueFull):
            self.sender.send(b"x")
        self.settled(self.sender, self.sender.receive(20, 0))
        self.sender.send_many([b"x" * 50_000] * 2)
        with pytest.raises(QueueFull, match="bytes"):
            self.sender.send(b"x")

    def test_the_size_of_a_message_is_bounded(self) -> None:
        self.sender.send(b"x" * 65_536)
        with pytest.raises(TooLarge):
            self.sender.send(b"x" * 65_537)

    def test_waiting_and_oldest(self) -> None:
        assert (self.sender.waiting(), self.sender.oldest()) == (0, None)
        first = self.clock()
        self.put(b"1")
        self.advance(1)
        self.put(b"2")
        assert (self.sender.waiting(), self.sender.oldest()) == (2, first)
        page = self.sender.receive(1, 0)
        assert self.sender.waiting() == 2, "hidden ones wait too"
        self.sender.acknowledge(page)
        assert self.sender.waiting() == 1
        self.sender.flush()
        assert self.sender.oldest() == first + 1000

    def test_acknowledging_is_carried_out_by_a_receive_that_finds_nothing(self) -> None:
        self.put(b"1")
        self.sender.acknowledge(self.sender.receive(10, 0))
        assert self.sender.receive(10, 0) == []
        assert EmbeddedQueue(self.store).waiting() == 0

    def test_what_lies_between_acknowledged_messages_stays(self) -> None:
        # given five messages, with numbers between them that went elsewhere
        for body in (b"1", b"2", b"3", b"4", b"5"):
            self.put(body)
            EmbeddedQueue(self.store, "other").send(body)
        page = self.sender.receive(10, 0)
        # when the first, the third and the fifth are acknowledged
        self.settled(self.sender, page[::2])
        # then the others appear again, with their attempts, beside what is fresh
        assert self.sender.waiting() == 2
        self.advance(31)
        self.put(b"6")
        page = self.sender.receive(10, 0)
        assert [(one.body, one.attempt) for one in page] == [(b"2", 2), (b"4", 2), (b"6", 1)]
        # and these once more when nothing was acknowledged
        self.advance(31)
        page = self.sender.receive(10, 0)
        assert [(one.body, one.attempt) for one in page] == [(b"2", 3), (b"4", 3), (b"6", 2)]
        # until all of them are
        self.settled(self.sender, page)
        assert self.sender.waiting() == 0
        assert EmbeddedQueue(self.store, "other").waiting() == 5

    def test_what_became_visible_again_comes_before_what_is_fresh(self) -> None:
        self.put(b"1")
        self.put(b"2")
        self.sender.receive(2, 0)
        self.advance(31)
        self.put(b"3")
        assert [(one.body, one.attempt) for one in self.sender.receive(2, 0)] == [
            (b"1", 2),
            (b"2", 2),
        ]
        assert [(one.body, one.attempt) for one in self.sender.receive(2, 0)] == [(b"3", 1)]

    def test_a_clock_set_back_hides_nothing_forever(self) -> None:
        self.put(b"1")
        self.sender.receive(1, 0)
        self.advance(-3600)
        assert [one.attempt for one in self.sender.receive(1, 0)] == [2]

    def test_queues_of_other_names_are_separate(self) -> None:
        other = EmbeddedQueue(self.store, "other")
        other.send(b"2")
        self.put(b"1")
        assert [one.body for one in self.sender.receive(10, 0)] == [b"1"]
        assert [one.body for one in other.receive(10, 0)] == [b"2"]

    def test_a_waiting_receive_is_ended_by_a_message(self) -> None:
        import threading

        got: list[bytes] = []
        thread = threading.Thread(
            target=lambda: got.extend(one.body for one in EmbeddedQueue(self.store).receive(1, 60)),
            daemon=True,
        )
        thread.start()
        self.put(b"1")
        thread.join(20)
        assert got == [b"1"]

    def test_a_waiting_receive_is_ended_by_a_wake(self) -> None:
        # given a consumer that stops, before or while it waits
        self.sender.wake()
        # then it waits no longer, and the next receive waits again
        assert self.sender.receive(1, 60) == []
        self.put(b"1")
        assert [one.body for one in self.sender.receive(1, 60)] == [b"1"]


class TestEmbeddedQueueInSqlite(QueueInStore):
    url = "sqlite:///{folder}/store.db"


class TestEmbeddedQueueInMemory(QueueInStore):
    url = "memory:"


class TestMemorySource(SourceContract):
    def setup_method(self) -> None:
        self.clock = VirtualClock()
        self.one = MemorySource(clock=self.clock)

    def make_source(self, visibility_timeout: float) -> Source:
        return self.one.consumer(visibility_timeout)

    def put(self, body: bytes) -> None:
        self.one.send(body)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


def test_a_fake_source_is_away_on_demand() -> None:
    source = FakeSource()
    source.put({"device": "pillow", "state": {}})
    source.away = "The queue is asleep."
    with pytest.raises(SourceUnavailable, match="asleep"):
        source.receive(10, 0)
    source.away = None
    assert [one.body for one in source.receive(10, 0)] == [b'{"device":"pillow","state":{}}']
