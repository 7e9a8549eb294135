"""The consumer: one per source works, the others stand by; an outage is shown and survived."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from statecast.decoders.decoder import Decoder
from statecast.errors import (
    DiskFull,
    LeaseLost,
    SourceUnavailable,
    StoreReadOnly,
    StoreUnavailable,
    StoreUnusable,
)
from statecast.ingest.consumer import Consumer, Health
from statecast.ingest.pipeline import Pipeline, PipelineStep
from statecast.sources.retry_pause import pause_after
from statecast.stores import lease_standby
from statecast.stores.leases import LeaseHolder
from statecast.stores.limits import Limits
from statecast.stores.memory.store import MemoryStore
from statecast.testing import FakeSource, VirtualClock
from tests.fakes.lease_notices import LeaseNotices

SHORT = 20.0
"""Seconds after which a test gives up; nothing waits that long."""


class Harness:
    """A store, a queue, and consumers of it; each change of their health is recorded."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(Limits(), self.clock)
        self.source = FakeSource(clock=self.clock)
        self.consumers: list[Consumer] = []

    def consumer(self) -> tuple[Consumer, queue.Queue[Health]]:
        said: queue.Queue[Health] = queue.Queue()
        pipeline = Pipeline(self.source, Decoder(), self.store, batch_size=10)
        consumer = Consumer(pipeline, self.store, self.clock, lambda: said.put(consumer.health))
        self.consumers.append(consumer)
        consumer.start()
        return consumer, said

    def stop(self) -> None:
        for consumer in self.consumers:
            consumer.stop()
        for consumer in self.consumers:
            consumer.join(SHORT)
            assert not consumer._thread.is_alive()

    def applied(self, device: str) -> None:
        """Wait until the store has a device."""
        give_up = threading.Event()
        timer = threading.Timer(SHORT, lambda: (give_up.set(), self.store.wake()))
        timer.start()
        self.store.read_position()
        while self.store.get(device) is None:
            assert not give_up.is_set(), f"{device} was never applied"
            self.store.wait(0.1)
        timer.cancel()


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.setattr("statecast.ingest.consumer.RECEIVE_WAIT", 0.02)
    opened = Harness()
    yield opened
    opened.stop()


def until(said: queue.Queue[Health], status: str) -> Health:
    while (health := said.get(timeout=SHORT)).status != status:
        pass
    return health


def test_messages_move_and_the_health_shows_it(harness: Harness) -> None:
    consumer, said = harness.consumer()
    health = until(said, "connected")
    assert health.received_at == harness.clock()
    harness.source.put({"device": "pillow", "state": {"n": 1}})
    harness.applied("pillow")
    harness.stop()
    assert consumer.total.applied == 1
    assert consumer.health.report() == {
        "status": "connected",
        "since": "2026-01-01T00:00:00.000Z",
        "received_at": "2026-01-01T00:00:00.000Z",
        "lag": consumer.health.lag,
        "waiting": consumer.health.waiting,
        "sentence": None,
    }


def test_only_one_consumes_and_the_other_takes_over(harness: Harness) -> None:
    first, said = harness.consumer()
    until(said, "connected")
    second, said = harness.consumer()
    harness.source.put({"device": "pillow", "state": {}})
    harness.applied("pillow")
    assert (second.health.status, second.total.applied) == ("standby", 0)
    # when the first stops, its successor has a new term
    first.stop()
    until(said, "connected")
    harness.source.put({"device": "chair", "state": {}})
    harness.applied("chair")
    first.join(SHORT)
    assert (first.total.applied, second.total.applied) == (1, 1)


def test_a_queue_that_is_away_is_shown_and_comes_back(harness: Harness) -> None:
    _, said = harness.consumer()
    until(said, "connected")
    harness.clock.advance(60)
    harness.source.away = "The queue cannot be reached."
    harness.source.put({"device": "pillow", "state": {}})
    health = until(said, "away")
    assert (health.sentence, health.since) == ("The queue cannot be reached.", harness.clock())
    assert health.received_at is not None and health.received_at < harness.clock()
    harness.source.away = None
    assert until(said, "connected").sentence is None
    harness.applied("pillow")


def test_a_store_that_is_away_loses_nothing(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    full = DiskFull("/var/lib/pillow.db is full.", public="The disk is full.")
    failures: list[Exception] = [full] * 2
    commit = harness.store.commit

    def failing(*arguments: Any, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        return commit(*arguments, **more)

    harness.store.commit = failing  # type: ignore[method-assign]
    harness.source.put({"device": "pillow", "state": {}})
    _, said = harness.consumer()
    assert until(said, "blocked").sentence == "The disk is full."
    until(said, "connected")
    harness.applied("pillow")
    # and the log names the file, which viewers do not see
    assert "/var/lib/pillow.db is full." in caplog.text


def test_one_that_stands_by_is_told_of_the_lease_where_the_store_can_tell(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store that says when a lease is free; without that a consumer asks every hour
    monkeypatch.setattr(lease_standby, "TOLD", 3600.0)
    notices = LeaseNotices(harness.store)
    first, said = harness.consumer()
    until(said, "connected")
    second, said = harness.consumer()
    _, told = notices.next()
    # when it is told too early, it asks, and waits again
    told()
    _, told = notices.next()
    assert second.health.status == "standby"
    # when the lease is free, then it has it
    first.stop()
    first.join(20)
    told()
    until(said, "connected")


def test_a_stop_ends_the_wait_for_a_lease(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_standby, "TOLD", 3600.0)
    notices = LeaseNotices(harness.store, are_over=False)
    _, said = harness.consumer()
    until(said, "connected")
    second, _ = harness.consumer()
    notices.next()
    second.stop()
    second.join(20)
    assert second._has_ended


def test_a_consumer_that_lost_the_lease_stands_by_and_tries_again(harness: Harness) -> None:
    lost: list[Exception] = [LeaseLost("Another process has taken over.")]
    commit = harness.store.commit

    def failing(*arguments: Any, **more: Any) -> Any:
        if lost:
            raise lost.pop()
        return commit(*arguments, **more)

    harness.store.commit = failing  # type: ignore[method-assign]
    _, said = harness.consumer()
    until(said, "connected")
    harness.source.put({"device": "pillow", "state": {}})
    until(said, "standby")
    until(said, "connected")
    harness.applied("pillow")


def test_a_consumer_that_lost_the_lease_returns_what_it_received(harness: Harness) -> None:
    # given a message whose commit is refused because another process has taken over
    lost: list[Exception] = [LeaseLost("Another process has taken over.")]
    attempts: list[int] = []
    commit = harness.store.commit

    def failing(source: str, resolution: int, messages: Any, **more: Any) -> Any:
        attempts.extend(one.delivery.attempt for one in messages)
        if messages and lost:
            raise lost.pop()
        return commit(source, resolution, messages, **more)

    harness.store.commit = failing  # type: ignore[method-assign]
    harness.source.put({"device": "pillow", "state": {}})
    harness.consumer()
    # then the next holder of the lease receives it at once
    harness.applied("pillow")
    assert attempts == [1, 2]


def test_a_defect_is_logged_and_the_consumer_starts_again(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    receive = harness.source.receive
    defects: list[Exception] = [ZeroDivisionError("a defect")]

    def failing(limit: int, wait: float) -> Any:
        if defects:
            raise defects.pop()
        return receive(limit, wait)

    harness.source.receive = failing  # type: ignore[method-assign]
    _, said = harness.consumer()
    health = until(said, "away")
    assert health.sentence == "Statecast failed here; its log says why."
    until(said, "connected")
    assert "ZeroDivisionError" in caplog.text


def test_a_consumer_that_has_ended_waits_for_nothing(harness: Harness) -> None:
    # Given a server that stops, and has a request that still runs
    consumer, said = harness.consumer()
    until(said, "connected")

    # When the consumer has ended, and its last step was long ago
    harness.stop()
    consumer.pipeline.doing = (PipelineStep.COMMIT, time.monotonic() - 60)

    # Then neither the store nor the queue is said not to answer
    assert (consumer.current().status, consumer.store_waits) == ("connected", 0)


def test_a_queue_that_cannot_count_is_connected_nevertheless(harness: Harness) -> None:
    def away() -> int:
        raise SourceUnavailable("It does not count.")

    harness.source.waiting = away  # type: ignore[method-assign]
    consumer, said = harness.consumer()
    assert until(said, "connected").waiting is None
    harness.stop()
    assert consumer.health.status == "connected"


def test_a_stop_finishes_the_batch_and_closes_the_source(harness: Harness) -> None:
    committing, go_on = threading.Event(), threading.Event()
    commit = harness.store.commit

    def slow(*arguments: Any, **more: Any) -> Any:
        committing.set()
        assert go_on.wait(SHORT)
        return commit(*arguments, **more)

    harness.store.commit = slow  # type: ignore[method-assign]
    harness.source.put({"device": "pillow", "state": {}})
    consumer, _ = harness.consumer()
    assert committing.wait(SHORT)
    consumer.stop()
    go_on.set()
    consumer.join(SHORT)
    assert harness.store.get("pillow") is not None
    assert harness.source.waiting() == 0
    lease = harness.store.lease(harness.source.name)
    assert lease is not None, "it let go of the lease"


def test_a_source_that_cannot_be_closed_does_not_prevent_the_end(harness: Harness) -> None:
    def away() -> None:
        raise SourceUnavailable("The queue cannot be reached.")

    harness.source.close = away  # type: ignore[method-assign]
    _, said = harness.consumer()
    until(said, "connected")
    harness.stop()


def test_a_consumer_that_never_started_can_be_stopped(harness: Harness) -> None:
    consumer = Consumer(
        Pipeline(harness.source, Decoder(), harness.store, batch_size=1),
        harness.store,
        harness.clock,
    )
    consumer.stop()
    consumer.join(0)
    assert consumer.health.report()["status"] == "standby"


@pytest.mark.parametrize(
    ("error", "longest"),
    [
        (SourceUnavailable("The queue cannot be reached."), 5.0),
        (StoreUnavailable("The store is locked."), 1.0),
        (ZeroDivisionError("a defect"), 5.0),
    ],
)
def test_pauses_grow_to_a_bound_however_long_an_outage_is(error: Exception, longest: float) -> None:
    for failures in (1, 2, 10, 100, 5_000):
        assert all(0.05 <= pause_after(failures, error) <= longest for _ in range(20))
    assert max(pause_after(1, error) for _ in range(50)) <= 0.2
    assert max(pause_after(100, error) for _ in range(50)) > longest / 2


class FrozenQueue:
    """A queue that does not answer until it is thawed."""

    def __init__(self, harness: Harness) -> None:
        self.asked, self.thawed = threading.Event(), threading.Event()
        self._receive = harness.source.receive
        harness.source.receive = self.receive  # type: ignore[method-assign]

    def receive(self, limit: int, wait: float) -> Any:
        self.asked.set()
        assert self.thawed.wait(SHORT)
        return self._receive(limit, wait)


def kinds(harness: Harness) -> list[tuple[str, str]]:
    return [(one.kind, one.subject) for one in harness.store.problems.current()]


def waited(consumer: Consumer, seconds: float) -> None:
    """As if the step that runs had begun earlier."""
    step, since = consumer.pipeline.doing
    consumer.pipeline.doing = (step, since - seconds)


def test_a_queue_that_does_not_answer_is_away_while_its_thread_still_waits(
    harness: Harness,
) -> None:
    # given a queue that closes no connection and answers nothing
    queue = FrozenQueue(harness)
    consumer, _ = harness.consumer()
    assert queue.asked.wait(SHORT)
    waited(consumer, 2.5)
    assert consumer.current().status == "standby", "it has never answered, and may still"
    consumer.health.status = "connected"
    assert consumer.current().status == "connected", "not yet"
    waited(consumer, 2.5)
    # then its health says so, and since when
    health = consumer.current()
    assert (health.status, health.sentence) == ("away", "The queue does not answer.")
    assert health.since <= harness.clock() - 5_000
    assert kinds(harness) == [("source-away", "source fake")]
    assert consumer.store_waits == 0, "it is not the store"
    # and when it answers, the problem is over
    queue.thawed.set()
    harness.source.put({"device": "pillow", "state": {}})
    harness.applied("pillow")
    harness.stop()
    assert consumer.current().status == "connected"
    assert kinds(harness) == []


def test_a_store_that_does_not_answer_is_not_the_queue(harness: Harness) -> None:
    committing, go_on = threading.Event(), threading.Event()
    commit = harness.store.commit

    def slow(*arguments: Any, **more: Any) -> Any:
        committing.set()
        assert go_on.wait(SHORT)
        return commit(*arguments, **more)

    consumer, said = harness.consumer()
    until(said, "connected")
    harness.store.commit = slow  # type: ignore[method-assign]
    harness.source.put({"device": "pillow", "state": {}})
    assert committing.wait(SHORT)
    waited(consumer, 5)
    health = consumer.current()
    assert (health.status, health.sentence) == (
        "blocked",
        "The store does not answer; messages wait in their queue.",
    )
    assert consumer.store_waits >= 5
    go_on.set()
    harness.applied("pillow")
    harness.stop()
    assert (consumer.current().status, consumer.store_waits) == ("connected", 0)


@pytest.mark.parametrize(
    "error, status, kind, subject",
    [
        (SourceUnavailable("It is away."), "away", "source-away", "source fake"),
        (StoreUnavailable("/secret"), "blocked", "store-away", "store"),
        (DiskFull("/secret"), "blocked", "disk-full", "store"),
        (StoreReadOnly("/secret"), "blocked", "read-only", "store"),
        (StoreUnusable("/secret"), "blocked", "store-unusable", "store"),
        (ZeroDivisionError("/secret"), "away", "source-away", "source fake"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_the_part_that_failed_is_named(
    harness: Harness, error: Exception, status: str, kind: str, subject: str
) -> None:
    failures = [error]
    commit, receive = harness.store.commit, harness.source.receive

    def failing_commit(*arguments: Any, **more: Any) -> Any:
        if subject == "store" and failures:
            raise failures.pop()
        return commit(*arguments, **more)

    def failing_receive(limit: int, wait: float) -> Any:
        if subject != "store" and failures:
            raise failures.pop()
        return receive(limit, wait)

    found: list[tuple[str, str]] = []
    report = harness.store.problems.report

    def noted(kind: str, subject: str, sentence: str, **more: Any) -> None:
        found.append((kind, subject))
        assert "secret" not in sentence
        report(kind, subject, sentence, **more)

    harness.store.problems.report = noted  # type: ignore[method-assign]
    harness.store.commit = failing_commit  # type: ignore[method-assign]
    harness.source.receive = failing_receive  # type: ignore[method-assign]
    harness.source.put({"device": "pillow", "state": {}})
    _, said = harness.consumer()
    assert "secret" not in (until(said, status).sentence or "")
    until(said, "connected")
    harness.applied("pillow")
    assert set(found) == {(kind, subject)}


def test_a_stopped_holder_of_the_lease_is_named_until_it_goes_on(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statecast.stores.holder_watch.INTERVAL", 0.0)
    holders = [LeaseHolder(4711, 59.9), LeaseHolder(4711, 61.0), LeaseHolder(4711, 0.1), None]
    now = [holders[0]]
    harness.store.holder = lambda source: now[0]  # type: ignore[method-assign]
    lease = harness.store.lease("fake")
    assert lease is not None
    consumer, said = harness.consumer()
    assert (consumer.current().sentence, kinds(harness)) == (None, [])
    # when it has made no progress for a minute
    now[0] = holders[1]
    health = until(said, "standby")
    assert health.sentence is not None and "Process 4711 holds this queue" in health.sentence
    assert kinds(harness) == [("lease-stalled", "source fake")]
    # and when it goes on
    now[0] = holders[2]
    assert until(said, "standby").sentence is None
    assert kinds(harness) == []
    # and when it ends, this one receives
    lease.release()
    until(said, "connected")


def test_what_a_process_missed_while_it_did_not_run_is_not_overdue(harness: Harness) -> None:
    # given a process that was stopped for a minute while its queue was asked
    queue = FrozenQueue(harness)
    consumer, _ = harness.consumer()
    assert queue.asked.wait(SHORT)
    consumer.health.status = "connected"
    waited(consumer, 60)
    consumer._resumed_at = time.monotonic
    # then the answer counts as open only since it goes on
    assert consumer.current().status == "connected"
    # and when none comes after that, the queue does not answer
    resumed_at = time.monotonic() - 5
    consumer._resumed_at = lambda: resumed_at
    health = consumer.current()
    assert (health.status, health.sentence) == ("away", "The queue does not answer.")
    queue.thawed.set()
    harness.stop()


def test_a_holder_is_not_said_to_have_stopped_for_the_time_in_which_nothing_ran(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in all processes of a laptop that has slept."""
    monkeypatch.setattr("statecast.stores.holder_watch.INTERVAL", 0.0)
    harness.store.holder = lambda source: LeaseHolder(4711, 900.0)  # type: ignore[method-assign]
    pipeline = Pipeline(harness.source, Decoder(), harness.store, batch_size=1)
    consumer = Consumer(pipeline, harness.store, harness.clock)
    resumed_at = time.monotonic()
    consumer._resumed_at = lambda: resumed_at
    assert consumer._look_at_holder() is None
    resumed_at -= 61
    assert "Process 4711" in (consumer._look_at_holder() or "")


def test_an_idle_queue_has_no_lag(harness: Harness) -> None:
    consumer, said = harness.consumer()
    assert until(said, "connected").lag is None
    answered = harness.clock()
    assert consumer.health.received_at == answered
