"""The way of a message: a crash anywhere repeats the page, and a repetition is a no-op."""

from __future__ import annotations

import json
from typing import Any

import pytest

from statecast.decoders import open_decoder
from statecast.decoders.decoder import Decoder
from statecast.errors import LeaseLost, NotFound, SourceUnavailable, StoreUnavailable
from statecast.ingest.pipeline import SUSPECT_AFTER, Pipeline, replay
from statecast.model import Delivery, Message
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.contract import Limits
from statecast.stores.memory.store import MemoryStore
from statecast.testing import FakeSource, VirtualClock


class Killed(BaseException):
    """What kill -9 is to the code under test: nothing handles it."""


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
    """Fails as often as it is told to; a poisoned body is a defect of ours."""

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


class Scene:
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
        """Until nothing waits, whatever became visible again."""
        for _ in range(10):
            self.step()
        self.clock.advance(31)
        for _ in range(10):
            self.step()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_message_goes_its_way(scene: Scene) -> None:
    id_ = scene.say(mood="happy")
    done, committed = scene.step()
    assert [delivery.id for delivery in done] == [id_]
    assert (committed.applied, committed.versions) == (1, 1)
    assert scene.crash.reached == ["received", "committed", "acknowledged"]
    assert scene.state() == {"mood": "happy"}
    assert scene.source.waiting() == 0


def test_an_idle_step_writes_nothing(scene: Scene) -> None:
    scene.step()
    scene.say(n=1)
    scene.step(), scene.step(), scene.step()
    before = scene.store.commits
    scene.step()
    assert scene.store.commits == before
    assert scene.crash.reached == ["received", "committed", "acknowledged"], (
        "an empty page reaches nothing"
    )


@pytest.mark.parametrize(
    ("point", "known"), [("received", 0), ("committed", 1), ("acknowledged", 1)]
)
def test_a_crash_loses_nothing_and_doubles_nothing(point: str, known: int) -> None:
    scene = Scene(point)
    for number in range(3):
        scene.say(**{f"f{number}": number})
    with pytest.raises(Killed):
        scene.step()
    assert scene.state() == ({"f0": 0, "f1": 1, "f2": 2} if known else None)
    # when another process takes over
    scene.pipeline = scene.begin()
    scene.drain()
    update = scene.store.get("pillow")
    assert update is not None and update.version == 3
    assert scene.state() == {"f0": 0, "f1": 1, "f2": 2}
    assert scene.source.waiting() == 0


def test_what_the_source_had_handed_out_waits_until_it_appears_again() -> None:
    scene = Scene("received")
    scene.say(n=1)
    with pytest.raises(Killed):
        scene.step()
    scene.pipeline = scene.begin()
    assert scene.step()[0] == []
    scene.clock.advance(31)
    assert scene.step()[0][0].attempt == 2


def test_a_page_is_held_while_the_store_is_away(scene: Scene) -> None:
    scene.say(n=1)
    scene.store.failures = [
        StoreUnavailable("The disk is full."),
        StoreUnavailable("The disk is full."),
    ]
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            scene.step()
    assert scene.source.waiting() == 1
    # then the same page is tried again, without asking the queue, which may be away by now
    scene.source.away = "The queue is away."
    with pytest.raises(SourceUnavailable):
        scene.step()
    assert scene.state() == {"n": 1}
    scene.source.away = None
    scene.drain()
    assert scene.source.waiting() == 0
    assert scene.store.history_size("pillow")[0] == 1


def test_a_term_that_is_over_writes_nothing(scene: Scene) -> None:
    scene.say(n=1)
    scene.term -= 1
    with pytest.raises(LeaseLost):
        scene.step()
    assert scene.state() is None


def test_one_bad_message_never_stops_its_neighbours(scene: Scene) -> None:
    scene.say(a=1)
    scene.source.send(b'{"state": 5}')
    scene.source.send(b'[{"device":"pillow","state":{"b":1}},{"device":null}]')
    scene.say(c=1)
    _, committed = scene.step()
    assert (committed.applied, committed.quarantined) == (3, 2)
    assert scene.state() == {"a": 1, "b": 1, "c": 1}
    assert [(row.item, row.body) for row in scene.store.quarantined()] == [
        (None, b'{"state": 5}'),
        (1, b'{"device":null}'),
    ]
    assert scene.source.waiting() == 0


def test_a_defect_of_ours_costs_the_message_that_meets_it(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.say(a=1)
    scene.say(note="poison")
    scene.say(c=1)
    _, committed = scene.step()
    assert (committed.applied, committed.quarantined) == (2, 1)
    assert scene.state() == {"a": 1, "c": 1}
    (row,) = scene.store.quarantined()
    number = row.reason.rpartition(" ")[2].rstrip(".")
    assert f"error {number}" in caplog.text and "ZeroDivisionError" in caplog.text
    assert "poison" not in caplog.text


def test_a_machine_that_fails_while_a_defect_is_sought_holds_the_page(scene: Scene) -> None:
    scene.say(a=1)
    scene.say(note="poison")
    scene.store.failures = [ZeroDivisionError("a defect"), StoreUnavailable("The disk is full.")]
    with pytest.raises(StoreUnavailable):
        scene.step()
    _, committed = scene.step()
    assert (committed.applied, committed.quarantined) == (1, 1)


def test_a_decoder_that_fails_costs_the_message_that_meets_it(scene: Scene) -> None:
    def decode(delivery: Delivery) -> Message:
        if b"poison" in delivery.body:
            raise KeyError("poison")
        return Decoder()(delivery)

    scene.pipeline.decode = decode
    scene.say(note="poison")
    scene.say(a=1)
    scene.step()
    assert scene.state() == {"a": 1}
    assert "log says why" in scene.store.quarantined()[0].reason


def test_what_ends_the_process_does_not_stop_its_neighbours_for_ever(scene: Scene) -> None:
    # given a message whose decoding ends the process, among others
    class Deadly(Decoder):
        def __call__(self, delivery: Delivery) -> Message:
            if b"deadly" in delivery.body:
                raise Killed
            return super().__call__(delivery)

    scene.say("before", n=1)
    scene.say("deadly", n=1)
    scene.say("after", n=1)
    for _ in range(SUSPECT_AFTER):
        with pytest.raises(Killed):
            Pipeline(scene.source, Deadly(), scene.store, batch_size=10).step(scene.term, 0)
        scene.clock.advance(31)
        assert scene.state("after") is None
    # when it comes again and again, then its neighbours are applied, although it ends the process each time
    for _ in range(2):
        with pytest.raises(Killed):
            Pipeline(scene.source, Deadly(), scene.store, batch_size=10).step(scene.term, 0)
        scene.clock.advance(31)
    assert scene.state("before") == scene.state("after") == {"n": 1}
    # and a process that survives it finds nothing lost
    scene.pipeline = scene.begin()
    scene.drain()
    assert scene.state("before") == scene.state("deadly") == scene.state("after") == {"n": 1}
    assert scene.source.waiting() == 0


def test_a_lost_acknowledgement_is_a_repetition(scene: Scene) -> None:
    scene.say(n=1)
    scene.crash.point = "committed"
    with pytest.raises(Killed):
        scene.step()
    scene.pipeline = scene.begin()
    scene.clock.advance(31)
    _, committed = scene.step()
    assert (committed.duplicates, committed.applied) == (1, 0)


def test_pages_are_as_long_as_asked() -> None:
    scene = Scene(batch_size=2)
    for number in range(5):
        scene.say(n=number)
    assert [len(scene.step()[0]) for _ in range(4)] == [2, 2, 1, 0]


# Replay


def test_a_replay_goes_the_same_way_with_the_original_stamp(scene: Scene) -> None:
    # given a message that no decoder understood, and a newer one
    scene.source.send(b'{"mood":"old","colour":"red"}')
    scene.step()
    scene.clock.advance(5)
    scene.say(mood="new")
    scene.step()
    (row,) = scene.store.quarantined()
    assert replay(scene.store, Decoder(), row.number).quarantined == 1
    assert scene.store.quarantine_row(row.number).attempts == 2
    # when one does
    assert replay(scene.store, open_decoder({"default": "pillow"}), row.number).applied == 1
    assert scene.state() == {"mood": "new", "colour": "red"}
    with pytest.raises(NotFound):
        replay(scene.store, Decoder(), row.number)


def test_the_queue_inside_the_store_is_a_source_like_any_other() -> None:
    clock = VirtualClock()
    store = MemoryStore(Limits(), clock)
    queue = EmbeddedQueue(store)
    queue.send(b'{"device":"pillow","state":{"n":1}}')
    pipeline = Pipeline(queue, Decoder(), store, batch_size=10)
    pipeline.step(0, 0)
    pipeline.step(0, 0)
    assert (store.get("pillow") is not None, queue.waiting()) == (True, 0)
