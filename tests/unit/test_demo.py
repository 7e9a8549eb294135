"""The demo's pillow: a device like any other, that answers a hug."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from statecast.decoders.decoder import Decoder
from statecast.demo import DemoPillow
from statecast.errors import QueueFull
from statecast.ingest.pipeline import Pipeline
from statecast.model import Change
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.contract import Limits
from statecast.stores.memory.store import MemoryStore
from statecast.testing import VirtualClock


class Scene:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(Limits(), self.clock)
        self.queue = EmbeddedQueue(self.store)
        self.pillow = DemoPillow(self.store, self.queue, self.clock)
        self.pipeline = Pipeline(self.queue, Decoder(), self.store, batch_size=100)

    def send_due(self, seconds: float = 0.0) -> dict[str, Any]:
        """Time passes, the pillow lives, its messages arrive; its state."""
        self.clock.advance(seconds)
        self.pillow.send_due()
        self.pipeline.step(0, 0)
        self.pipeline.step(0, 0)
        update = self.store.get("pillow")
        assert update is not None and update.state is not None
        state: dict[str, Any] = json.loads(update.state)
        return state

    def hug(self) -> None:
        """As the page does it."""
        state = {"hugged": True, "hugged_at": self.clock()}
        self.store.edit(Change("pillow", "merge", state, by="user"))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_its_mood_and_battery_change_and_it_is_heard_in_between(scene: Scene) -> None:
    assert scene.send_due() == {"mood": "calm", "battery": 81}
    first = scene.store.get("pillow")
    assert first is not None and first.silent_after == 30
    assert scene.send_due(5) == {"mood": "calm", "battery": 81}
    heard = scene.store.get("pillow")
    assert heard is not None and (heard.version, heard.seen_at) == (1, scene.clock())
    assert scene.send_due(7) == {"mood": "sleepy", "battery": 80}
    assert scene.send_due(0) == {"mood": "sleepy", "battery": 80}


def test_its_battery_never_runs_empty(scene: Scene) -> None:
    levels = [scene.send_due(45)["battery"] for _ in range(120)]
    assert min(levels) == 5 and max(levels) == 100


def test_it_counts_hugs_and_lets_go(scene: Scene) -> None:
    scene.send_due()
    scene.clock.advance(1)
    scene.hug()
    assert scene.send_due()["hugs"] == 1
    assert scene.send_due(1) | {"hugs": 1, "hugged": True} == scene.send_due()
    assert scene.send_due(5)["hugged"] is False
    scene.hug()
    assert scene.send_due()["hugs"] == 2


def test_a_hug_from_before_is_not_answered_again(scene: Scene) -> None:
    scene.send_due()
    scene.clock.advance(1)
    scene.hug()
    scene.send_due()
    scene.pillow = DemoPillow(scene.store, scene.queue, scene.clock)
    scene.pillow.ignore_old_hug()
    assert scene.send_due()["hugs"] == 1


def test_a_full_queue_does_not_end_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one plays; it goes on after what failed, and stops when told."""
    sent, failed = threading.Event(), threading.Event()
    send = scene.queue.send

    def full_once(body: bytes) -> str:
        if not failed.is_set():
            failed.set()
            raise QueueFull("The queue is full.")
        sent.set()
        return send(body)

    scene.queue.send = full_once  # type: ignore[method-assign]
    monkeypatch.setattr(scene.pillow._stop, "wait", lambda timeout: scene.pillow._stop.is_set())
    scene.pillow.start()
    assert sent.wait(20)
    assert scene.store.lease("demo") is None
    scene.pillow.stop()
    scene.pillow._thread.join(20)
    assert scene.store.lease("demo") is not None
