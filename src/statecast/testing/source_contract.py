"""The contract of every source, as tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from statecast import strict_json
from statecast.errors import SourceUnavailable
from statecast.model import Delivery
from statecast.sources.contract import Source
from statecast.sources.memory import MemorySource
from statecast.testing.values import VirtualClock


class FakeSource(MemorySource):
    """A queue in memory. While ``away`` is a sentence, it is unavailable with that sentence."""

    def __init__(
        self,
        name: str = "fake",
        *,
        visibility_timeout: float = 30.0,
        clock: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(name, visibility_timeout=visibility_timeout, clock=clock or VirtualClock())
        self.away: str | None = None

    def put(self, value: Any) -> str:
        """Send a value as JSON; return the id of its message."""
        return self.send(strict_json.encode(value))

    def receive(self, limit: int, wait: float) -> list[Delivery]:
        self._check_reachable()
        return super().receive(limit, wait)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> list[str]:
        self._check_reachable()
        return super().acknowledge(deliveries)

    def _check_reachable(self) -> None:
        if self.away is not None:
            raise SourceUnavailable(self.away)


class SourceContract:
    """Subclass it and implement ``make_source``, ``put`` and ``advance``."""

    def make_source(self, visibility_timeout: float) -> Source:
        """A source for the queue of the test. Each call returns another consumer of that queue."""
        raise NotImplementedError

    def put(self, body: bytes) -> None:
        """Put a message into the queue."""
        raise NotImplementedError

    def advance(self, seconds: float) -> None:
        """Move the clock of the queue forward."""
        raise NotImplementedError

    def settled(self, source: Source, deliveries: Sequence[Delivery]) -> set[str]:
        """Acknowledge, and complete it with a receive like the consumer; the confirmed ids."""
        ids = set(source.acknowledge(deliveries))
        assert source.receive(10, 0) == []
        return ids | set(source.acknowledge([]))

    def test_an_empty_queue_hands_out_nothing(self) -> None:
        source = self.make_source(30)
        assert source.receive(10, 0) == []
        assert source.waiting() in (0, None)

    def test_a_message_is_handed_out_as_it_was_sent(self) -> None:
        source = self.make_source(30)
        self.put(b'{"mood": "happy"}')
        (delivery,) = source.receive(10, 0)
        assert delivery.body == b'{"mood": "happy"}'
        assert delivery.attempt == 1
        assert delivery.id
        assert delivery.sent_at > 0

    def test_a_page_is_at_most_as_long_as_asked(self) -> None:
        source = self.make_source(30)
        for number in range(5):
            self.put(b"%d" % number)
        first = source.receive(3, 0)
        second = source.receive(3, 0)
        assert 1 <= len(first) <= 3
        assert {one.id for one in first}.isdisjoint(one.id for one in second)

    def test_receive_hides(self) -> None:
        source, other = self.make_source(30), self.make_source(30)
        self.put(b"1")
        assert source.receive(10, 0)
        assert source.receive(10, 0) == []
        assert other.receive(10, 0) == []

    def test_a_message_that_was_not_acknowledged_appears_again_with_its_id(self) -> None:
        source, other = self.make_source(30), self.make_source(30)
        self.put(b"1")
        (first,) = source.receive(10, 0)
        self.advance(31)
        (second,) = other.receive(10, 0)
        assert (second.id, second.body) == (first.id, first.body)
        assert second.sent_at == first.sent_at
        assert second.attempt > first.attempt
        assert second.receipt != first.receipt

    def test_acknowledge_deletes_and_confirms(self) -> None:
        source = self.make_source(30)
        self.put(b"1")
        page = source.receive(10, 0)
        assert self.settled(source, page) == {page[0].id}
        self.advance(31)
        assert source.receive(10, 0) == []
        assert source.waiting() in (0, None)

    def test_a_part_of_a_page_may_be_acknowledged(self) -> None:
        source = self.make_source(30)
        self.put(b"1")
        self.put(b"2")
        page = [*source.receive(2, 0), *source.receive(2, 0)]
        page.sort(key=lambda delivery: delivery.body)
        self.settled(source, page[:1])
        self.advance(31)
        assert [delivery.body for delivery in source.receive(10, 0)] == [b"2"]

    def test_a_stale_receipt_takes_nothing_from_another_consumer(self) -> None:
        # given a message that was delivered again, to another consumer
        source, other = self.make_source(30), self.make_source(30)
        self.put(b"1")
        stale = source.receive(10, 0)
        self.advance(31)
        held = other.receive(10, 0)
        # when the first consumer acknowledges late
        self.settled(source, stale)
        # then the message is not deleted: it is delivered again
        self.advance(31)
        (again,) = other.receive(10, 0)
        assert again.id == held[0].id

    def test_acknowledging_twice_is_a_success(self) -> None:
        source = self.make_source(30)
        self.put(b"1")
        page = source.receive(10, 0)
        self.settled(source, page)
        self.settled(source, page)

    def test_ids_are_never_reused(self) -> None:
        source = self.make_source(30)
        ids = []
        for number in range(3):
            self.put(b"%d" % number)
            page = source.receive(10, 0)
            ids += [delivery.id for delivery in page]
            self.settled(source, page)
        assert len(set(ids)) == 3

    def test_close_deletes_what_was_acknowledged_and_nothing_else(self) -> None:
        source = self.make_source(30)
        self.put(b"1")
        self.put(b"2")
        page = sorted(
            [*source.receive(2, 0), *source.receive(2, 0)], key=lambda delivery: delivery.body
        )
        source.acknowledge(page[:1])
        source.close()
        self.advance(31)
        assert [delivery.body for delivery in self.make_source(30).receive(10, 0)] == [b"2"]
