"""The path of a message: after a crash anywhere the batch is repeated, without a second effect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from statecast.decoders import open_decoder
from statecast.decoders.decoder import Decoder
from statecast.errors import LeaseLost, NotFound, SourceUnavailable, StoreUnavailable
from statecast.ingest.pipeline import SUSPECT_AFTER, Pipeline, replay
from statecast.logs import LINES_BURST
from statecast.model import Delivery, Message
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.limits import Limits
from statecast.stores.memory.store import MemoryStore
from statecast.testing import FakeSource, VirtualClock


class Killed(BaseException):
    """Ends the code under test as kill -9 does: nothing handles it."""


class Crash:
    """Kills at one point, once."""

    def __init__(self, point: str = "") -> None:
        self.point = point
        self.reached: list[str] = []

    def __call__(self, point: str) -> None:
        self.reached.append(point)
        if point == self.point:
            self.point = ""
            raise Killed


class FailingStore(MemoryStore):
    """Fails with the given errors; a poisoned body meets a defect of ours."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(Limits(), clock)
        self.failures: list[Exception] = []
        self.commits = 0

    def commit(self, *arguments: Any, **more: Any) -> Any:
        self.commits += 1
        if self.failures:
            raise self.failures.pop(0)
        if any(b"poison" in message.delivery.body and message.changes for message in arguments[2]):
            raise ZeroDivisionError("a defect")
        return super().commit(*arguments, **more)


class PlainSource:
    """A source with nothing beyond the contract."""

    def __init__(self, source: FakeSource) -> None:
        self.name, self.resolution = source.name, source.resolution
        self.receive, self.acknowledge = source.receive, source.acknowledge
        self.waiting, self.close = source.waiting, source.close


class Harness:
    def __init__(self, crash: str = "", batch_size: int = 10) -> None:
        self.clock = VirtualClock()
        self.store = FailingStore(self.clock)
        self.source = FakeSource(clock=self.clock)
        self.crash = Crash(crash)
        self.batch_size = batch_size
        self.pipeline = self.begin()
        lease = self.store.lease(self.source.name)
        assert lease is not None
        self.term = lease.term

    def begin(self) -> Pipeline:
        """The pipeline of a process that has just started."""
        return Pipeline(
            self.source, Decoder(), self.store, batch_size=self.batch_size, reach=self.crash
        )

    def say(self, device: str = "pillow", **state: Any) -> str:
        return self.source.put({"device": device, "state": state})

    def step(self) -> Any:
        return self.pipeline.step(self.term, 0)

    def state(self, device: str = "pillow") -> Any:
        update = self.store.get(device)
        return None if update is None or update.state is None else json.loads(update.state)

    def drain(self) -> None:
        """Step until nothing waits, also of what becomes visible again."""
        for _ in range(10):
            self.step()
        self.clock.advance(31)
        for _ in range(10):
            self.step()


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_a_message_becomes_a_state_and_is_deleted(harness: Harness) -> None:
    id_ = harness.say(mood="happy")
    done, committed = harness.step()
    assert [delivery.id for delivery in done] == [id_]
    assert (committed.applied, committed.versions) == (1, 1)
    assert harness.crash.reached == ["received", "committed", "acknowledged"]
    assert harness.state() == {"mood": "happy"}
    assert harness.source.waiting() == 0


def test_an_idle_step_writes_nothing(harness: Harness) -> None:
    harness.step()
    harness.say(n=1)
    harness.step(), harness.step(), harness.step()
    before = harness.store.commits
    harness.step()
    assert harness.store.commits == before
    assert harness.crash.reached == ["received", "committed", "acknowledged"], (
        "an empty page reaches nothing"
    )


@pytest.mark.parametrize(
    ("point", "known"), [("received", 0), ("committed", 1), ("acknowledged", 1)]
)
def test_a_crash_loses_nothing_and_doubles_nothing(point: str, known: int) -> None:
    harness = Harness(point)
    for number in range(3):
        harness.say(**{f"f{number}": number})
    with pytest.raises(Killed):
        harness.step()
    assert harness.state() == ({"f0": 0, "f1": 1, "f2": 2} if known else None)
    # when another process takes over
    harness.pipeline = harness.begin()
    harness.drain()
    update = harness.store.get("pillow")
    assert update is not None and update.version == 3
    assert harness.state() == {"f0": 0, "f1": 1, "f2": 2}
    assert harness.source.waiting() == 0


def test_a_message_in_flight_appears_again_after_its_timeout() -> None:
    harness = Harness("received")
    harness.say(n=1)
    with pytest.raises(Killed):
        harness.step()
    harness.pipeline = harness.begin()
    assert harness.step()[0] == []
    harness.clock.advance(31)
    assert harness.step()[0][0].attempt == 2


def test_a_batch_is_kept_while_the_store_is_away(harness: Harness) -> None:
    harness.say(n=1)
    harness.store.failures = [
        StoreUnavailable("The disk is full."),
        StoreUnavailable("The disk is full."),
    ]
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            harness.step()
    assert harness.source.waiting() == 1
    # then the same batch is tried again, without a receive: the queue may be away by now
    harness.source.away = "The queue is away."
    with pytest.raises(SourceUnavailable):
        harness.step()
    assert harness.state() == {"n": 1}
    harness.source.away = None
    harness.drain()
    assert harness.source.waiting() == 0
    assert harness.store.history_size("pillow")[0] == 1


def test_an_old_term_writes_nothing(harness: Harness) -> None:
    harness.say(n=1)
    harness.term -= 1
    with pytest.raises(LeaseLost):
        harness.step()
    assert harness.state() is None


def test_what_was_not_committed_is_returned_to_the_queue(harness: Harness) -> None:
    # given a batch of which the commit failed, after another one that was acknowledged
    harness.say(n=1)
    harness.step()
    harness.say(n=2)
    harness.store.failures = [LeaseLost("Another process has taken over.")]
    with pytest.raises(LeaseLost):
        harness.step()
    assert harness.source.consumer(30).receive(9, 0) == []
    # when it is released
    harness.pipeline.release()
    harness.pipeline.release()
    # then another consumer receives it at once, and only it; this one has forgotten it
    (found,) = harness.source.consumer(30).receive(9, 0)
    assert (json.loads(found.body)["state"], found.attempt) == ({"n": 2}, 2)
    assert harness.pipeline.pending == [] and harness.source.waiting() == 1


def test_a_source_that_releases_nothing_keeps_its_batch(harness: Harness) -> None:
    harness.say(n=1)
    harness.store.failures = [LeaseLost("Another process has taken over.")]
    with pytest.raises(LeaseLost):
        harness.step()
    # given a source without that capability
    harness.pipeline.source = PlainSource(harness.source)
    harness.pipeline.release()
    # then the next step begins with the batch
    harness.step()
    assert harness.state() == {"n": 1}


def test_one_bad_message_never_stops_its_neighbours(harness: Harness) -> None:
    harness.say(a=1)
    harness.source.send(b'{"state": 5}')
    harness.source.send(b'[{"device":"pillow","state":{"b":1}},{"device":null}]')
    harness.say(c=1)
    _, committed = harness.step()
    assert (committed.applied, committed.quarantined) == (3, 2)
    assert harness.state() == {"a": 1, "b": 1, "c": 1}
    assert [(row.item, row.body) for row in harness.store.quarantined()] == [
        (None, b'{"state": 5}'),
        (1, b'{"device":null}'),
    ]
    assert harness.source.waiting() == 0


def test_a_defect_of_ours_costs_only_the_message_that_meets_it(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.say(a=1)
    harness.say(note="poison")
    harness.say(c=1)
    _, committed = harness.step()
    assert (committed.applied, committed.quarantined) == (2, 1)
    assert harness.state() == {"a": 1, "c": 1}
    (row,) = harness.store.quarantined()
    number = row.reason.rpartition(" ")[2].rstrip(".")
    assert f"error {number}" in caplog.text and "ZeroDivisionError" in caplog.text
    assert "poison" not in caplog.text


def test_the_batch_is_kept_if_a_machine_fails_while_a_defect_is_isolated(harness: Harness) -> None:
    harness.say(a=1)
    harness.say(note="poison")
    harness.store.failures = [ZeroDivisionError("a defect"), StoreUnavailable("The disk is full.")]
    with pytest.raises(StoreUnavailable):
        harness.step()
    _, committed = harness.step()
    assert (committed.applied, committed.quarantined) == (1, 1)


def test_a_failing_decoder_costs_only_the_message_that_meets_it(harness: Harness) -> None:
    def decode(delivery: Delivery) -> Message:
        if b"poison" in delivery.body:
            raise KeyError("poison")
        return Decoder()(delivery)

    harness.pipeline.decode = decode
    harness.say(note="poison")
    harness.say(a=1)
    harness.step()
    assert harness.state() == {"a": 1}
    assert "log says why" in harness.store.quarantined()[0].reason


def test_a_message_that_crashes_the_process_does_not_stop_its_neighbours(harness: Harness) -> None:
    # given a message whose decoding crashes the process, among others
    class Deadly(Decoder):
        def __call__(self, delivery: Delivery) -> Message:
            if b"deadly" in delivery.body:
                raise Killed
            return super().__call__(delivery)

    harness.say("before", n=1)
    harness.say("deadly", n=1)
    harness.say("after", n=1)
    for _ in range(SUSPECT_AFTER):
        with pytest.raises(Killed):
            Pipeline(harness.source, Deadly(), harness.store, batch_size=10).step(harness.term, 0)
        harness.clock.advance(31)
        assert harness.state("after") is None
    # when it is delivered again and again, then its neighbours are applied nevertheless
    for _ in range(2):
        with pytest.raises(Killed):
            Pipeline(harness.source, Deadly(), harness.store, batch_size=10).step(harness.term, 0)
        harness.clock.advance(31)
    assert harness.state("before") == harness.state("after") == {"n": 1}
    # and a process that does not crash on it finds nothing lost
    harness.pipeline = harness.begin()
    harness.drain()
    assert harness.state("before") == harness.state("deadly") == harness.state("after") == {"n": 1}
    assert harness.source.waiting() == 0


def test_a_lost_acknowledgement_is_a_repetition(harness: Harness) -> None:
    harness.say(n=1)
    harness.crash.point = "committed"
    with pytest.raises(Killed):
        harness.step()
    harness.pipeline = harness.begin()
    harness.clock.advance(31)
    _, committed = harness.step()
    assert (committed.duplicates, committed.applied) == (1, 0)


def test_a_step_moves_at_most_one_batch() -> None:
    harness = Harness(batch_size=2)
    for number in range(5):
        harness.say(n=number)
    assert [len(harness.step()[0]) for _ in range(4)] == [2, 2, 1, 0]


# Replay


def test_a_replay_takes_the_same_path_with_the_original_stamp(harness: Harness) -> None:
    # given a message that no decoder could read, and a newer one
    harness.source.send(b'{"mood":"old","colour":"red"}')
    harness.step()
    harness.clock.advance(5)
    harness.say(mood="new")
    harness.step()
    (row,) = harness.store.quarantined()
    assert replay(harness.store, Decoder(), row.number).quarantined == 1
    assert harness.store.quarantine_row(row.number).attempts == 2
    # when a decoder can read it
    assert replay(harness.store, open_decoder({"default": "pillow"}), row.number).applied == 1
    assert harness.state() == {"mood": "new", "colour": "red"}
    with pytest.raises(NotFound):
        replay(harness.store, Decoder(), row.number)


def test_the_queue_inside_the_store_is_a_source_like_any_other() -> None:
    clock = VirtualClock()
    store = MemoryStore(Limits(), clock)
    queue = EmbeddedQueue(store)
    queue.send(b'{"device":"pillow","state":{"n":1}}')
    pipeline = Pipeline(queue, Decoder(), store, batch_size=10)
    pipeline.step(0, 0)
    pipeline.step(0, 0)
    assert (store.get("pillow") is not None, queue.waiting()) == (True, 0)


def test_the_log_says_what_went_into_quarantine_and_how_to_look(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given a maker's first try, and a message that names its device
    scene = Harness()
    scene.source.put({"mood": "sad"})
    scene.source.put({"device": "pillow", "state": "sad"})
    # when they are received
    scene.step()
    # then the log names source, device, reason and the command
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("source fake: a message went into quarantine: ")
    assert first.endswith(" `statecast quarantine list` lists them.")
    assert second.startswith("source fake: a message of the device pillow went into quarantine: ")
    assert "“state” must be a JSON object" in second


def test_a_flood_of_bad_messages_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    scene = Harness(batch_size=100)
    for number in range(100):
        scene.source.put(number)
    scene.step()
    assert scene.store.totals()["fake"].quarantined == 100
    assert len(caplog.records) == LINES_BURST
