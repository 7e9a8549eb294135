"""When a queue deletes what was committed: never before a lagging replica must have it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from statecast.decoders.decoder import Decoder
from statecast.errors import BadSetting, StoreUnavailable
from statecast.ingest.acknowledgement import Acknowledgement
from statecast.ingest.pipeline import Pipeline
from statecast.settings import Settings
from statecast.sources import open_source
from statecast.sources.contract import SourceContext
from statecast.stores.limits import Limits
from statecast.stores.memory.store import MemoryStore
from statecast.testing import FakeSource, VirtualClock

SECONDS = 5.0


class LateSource(FakeSource):
    acknowledge_after = SECONDS


class Primary:
    """A store that fails over to a replica, which lacks what was committed last."""

    def __init__(self, clock: VirtualClock) -> None:
        self.primary = MemoryStore(Limits(), clock)
        self.replica = MemoryStore(Limits(), clock)
        self.away = False
        self.replicates = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.primary, name)

    def commit(self, *arguments: Any, term: int | None = None, **more: Any) -> Any:
        if self.replicates:
            self.replica.commit(*arguments, **more)
        return self.primary.commit(*arguments, **more)

    def known_ids(self, source: str, ids: list[str]) -> set[str]:
        if self.away:
            raise StoreUnavailable("It is away.")
        return self.primary.known_ids(source, ids)

    def fail_over(self) -> None:
        self.primary = self.replica


class Scene:
    def __init__(self, source: type[FakeSource] = LateSource, max_held: int = 100) -> None:
        self.clock = VirtualClock()
        self.store = Primary(self.clock)
        self.source = source(clock=self.clock)
        self.pipeline = Pipeline(self.source, Decoder(), self.store, batch_size=2)  # type: ignore[arg-type]
        self.pipeline.acknowledgement = Acknowledgement(
            self.source,
            self.store,  # type: ignore[arg-type]
            monotonic=lambda: self.clock() / 1000,
            max_held=max_held,
        )

    def say(self, **state: Any) -> None:
        self.source.put({"device": "pillow", "state": state})

    def step(self) -> int:
        return len(self.pipeline.step(1, 0)[0])

    @property
    def state(self) -> Any:
        update = self.store.get("pillow")
        return None if update is None else json.loads(update.state)


def test_a_source_without_the_option_is_acknowledged_at_once() -> None:
    scene = Scene(FakeSource)
    scene.say(mood="happy")
    scene.step()
    assert scene.source.waiting() == 0


def test_a_message_stays_in_its_queue_for_so_long_after_its_commit() -> None:
    # given two messages, one a second after the other
    scene = Scene()
    for mood in ("happy", "calm"):
        scene.say(mood=mood)
        scene.step()
        scene.clock.advance(1)
    # when their time comes, then each goes, not before
    for passed, waiting in ((2.9, 2), (0.2, 1), (0.8, 1), (0.2, 0)):
        scene.clock.advance(passed)
        assert scene.step() == 0
        assert scene.source.waiting() == waiting
    # and they do not come again
    scene.clock.advance(100)
    assert scene.step() == 0 and scene.state == {"mood": "calm"}


def test_what_a_failover_lost_is_applied_again() -> None:
    # given a message that the replica has, and one that it lacks
    scene = Scene()
    scene.say(mood="happy")
    scene.step()
    scene.store.replicates = False
    scene.say(colour="red")
    scene.step()
    # when the replica takes over, and the time of both comes
    scene.store.fail_over()
    assert scene.state == {"mood": "happy"}
    scene.clock.advance(SECONDS)
    scene.step()
    # then the queue still has the one that was lost, and it is applied
    assert scene.source.waiting() == 1
    scene.clock.advance(30)
    assert scene.step() == 1
    assert scene.state == {"mood": "happy", "colour": "red"}
    # and that one goes as ever
    scene.clock.advance(SECONDS)
    scene.step()
    assert scene.source.waiting() == 0


def test_while_the_store_is_away_nothing_is_acknowledged() -> None:
    scene = Scene()
    scene.say(mood="happy")
    scene.step()
    scene.clock.advance(SECONDS)
    scene.store.away = True
    with pytest.raises(StoreUnavailable):
        scene.step()
    assert scene.source.waiting() == 1
    scene.store.away = False
    scene.step()
    assert scene.source.waiting() == 0


def test_a_bound_ends_the_receiving_until_some_are_gone() -> None:
    # given a bound of two, and five messages
    scene = Scene(max_held=2)
    for number in range(5):
        scene.say(n=number)
    assert [scene.step(), scene.step(), scene.step()] == [2, 0, 0]
    # when the time of the first ones comes, then the next ones do
    scene.clock.advance(SECONDS)
    assert [scene.step(), scene.step(), scene.step()] == [0, 2, 0]
    scene.clock.advance(SECONDS)
    assert [scene.step(), scene.step()] == [0, 1]
    assert scene.state == {"n": 4}


@pytest.mark.parametrize(
    ("option", "seconds"),
    [("", 0), ("?acknowledge_after=5", 5), ("?acknowledge_after=40&visibility_timeout=80", 40)],
)
def test_the_option_of_an_azure_queue(option: str, seconds: float) -> None:
    source = open_source(f"azure-queue:pillow{option}", context())
    assert source.acknowledge_after == seconds  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", ["-1", "15.1", "soon"])
def test_it_is_shorter_than_a_message_is_hidden(value: str) -> None:
    with pytest.raises(BadSetting, match=r"acknowledge_after.* between 0 and 15"):
        open_source(f"azure-queue:pillow?acknowledge_after={value}", context())


def context() -> SourceContext:
    clock = VirtualClock()
    environ = {
        "AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=http;AccountName=a;"
        "AccountKey=a2V5;QueueEndpoint=http://127.0.0.1:1/a"
    }
    return SourceContext(lambda: MemoryStore(Limits(), clock), Settings(), environ, clock)
