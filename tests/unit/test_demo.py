"""The demo's pillow: a device like any other, that answers a hug and keeps what others say."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from statecast.commands.life import Command
from statecast.commands.request import new_command
from statecast.decoders.decoder import Decoder
from statecast.demo import DemoPillow
from statecast.errors import QueueFull
from statecast.ingest.pipeline import Pipeline
from statecast.model import Change
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.limits import Limits
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

    def ask(self, name: str = "hug") -> Command:
        """As the page does it."""
        return self.store.begin_command(new_command("pillow", name))

    def say(self, **state: Any) -> None:
        """As ``statecast send`` does it: a message like one of the device."""
        self.queue.send(json.dumps({"device": "pillow", "state": state}).encode())
        self.pipeline.step(0, 0)

    def restart(self) -> None:
        self.pillow = DemoPillow(self.store, self.queue, self.clock)
        self.pillow.begin()


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


def test_it_is_hugged_by_a_command_counts_and_lets_go(scene: Scene) -> None:
    # given a pillow
    scene.send_due()

    # when it is asked for a hug
    asked = scene.ask()
    assert scene.store.command(asked.id).status == "waiting"
    state = scene.send_due(1)

    # then it says itself that it was hugged, with its answer
    assert (state["hugged"], state["hugs"]) == (True, 1)
    assert scene.store.command(asked.id).status == "done"
    update = scene.store.get("pillow")
    assert update is not None and update.cause.by == "device"
    # and lets go after a while
    assert scene.send_due(5)["hugged"] is True
    assert scene.send_due(1)["hugged"] is False
    # and each hug is counted once, also two at once
    again = [scene.ask(), scene.ask()]
    assert scene.send_due()["hugs"] == 3
    assert {scene.store.command(one.id).status for one in again} == {"done"}


def test_it_refuses_what_it_cannot(scene: Scene) -> None:
    # given a command from before the pillow said what it takes
    asked = scene.ask("open")
    scene.send_due()
    ended = scene.store.command(asked.id)
    assert (ended.status, ended.reason) == ("refused", "The simulated pillow only takes hugs.")


def test_a_hug_is_felt_once_across_a_restart(scene: Scene) -> None:
    # given a hug whose answer is still in the queue when the process ends
    scene.send_due()
    asked = scene.ask()
    scene.clock.advance(1)
    scene.pillow.send_due()

    # when the next process takes the command again
    scene.restart()
    state = scene.send_due()

    # then both answers are one
    assert state["hugs"] == 1 and scene.store.command(asked.id).status == "done"
    scene.restart()
    assert scene.send_due(1)["hugs"] == 1


@pytest.mark.parametrize("restarts", [False, True])
def test_it_keeps_the_mood_that_somebody_sent(scene: Scene, restarts: bool) -> None:
    # given a pillow that has a mood of its own
    scene.send_due()

    # when somebody sends another
    scene.say(mood="sleepy", color="#fff")
    for _ in range(10):
        if restarts:
            scene.restart()
        # then it keeps it, and goes on to be heard, to use its battery and to be hugged
        before = scene.send_due()["battery"]
        scene.ask()
        state = scene.send_due(45)
        assert (state["mood"], state["color"], state["hugged"]) == ("sleepy", "#fff", True)
        assert state["battery"] == before - 1

    # and has moods of its own again once that one is removed
    scene.say(mood=None)
    assert {scene.send_due(45)["mood"] for _ in range(8)} >= {"calm", "happy", "sad"}


def test_a_mood_from_before_the_first_start_is_kept(scene: Scene) -> None:
    scene.say(mood="sad", battery=50, hugs=7)
    scene.restart()
    scene.ask()
    assert scene.send_due() == {"mood": "sad", "battery": 49, "hugs": 8, "hugged": True}


def test_its_own_mood_that_was_under_way_gives_way(scene: Scene) -> None:
    # given a mood of its own that is in the queue behind that of somebody else
    scene.send_due()
    scene.queue.send(b'{"device": "pillow", "state": {"mood": "angry"}}')
    scene.clock.advance(12)
    scene.pillow.send_due()
    scene.pipeline.step(0, 0)

    # then it says at once what it was told
    scene.send_due()
    assert scene.send_due()["mood"] == "angry"


OWN_STATE = [
    ({"battery": 40}, {"battery": 39}),
    ({"battery": 3}, {"battery": 100}),
    ({"battery": "full"}, {"battery": "full"}),
    ({"battery": None}, {"battery": 99}),
    ({"hugs": 100}, {"hugs": 101}),
    ({"hugs": "many"}, {"hugs": 1}),
    ({"mood": "dreamy"}, {"mood": "dreamy"}),
    ({"mood": 5}, {"mood": 5}),
]


@pytest.mark.parametrize(("said", "becomes"), OWN_STATE)
def test_what_others_say_is_its_own_state(
    scene: Scene, said: dict[str, Any], becomes: dict[str, Any]
) -> None:
    scene.send_due()
    scene.say(**said)
    scene.send_due()
    scene.ask()
    assert scene.send_due(12) | becomes == scene.send_due()


def test_a_hug_that_somebody_sent_as_a_state_ends_too(scene: Scene) -> None:
    scene.send_due()
    scene.say(hugged=True)
    assert scene.send_due()["hugged"] is True
    assert scene.send_due(6)["hugged"] is False


def test_a_removed_pillow_comes_back_as_it_was_made(scene: Scene) -> None:
    scene.send_due()
    scene.say(mood="sad", hugs=9)
    scene.send_due()
    scene.clock.advance(1)
    scene.store.edit(Change("pillow", "delete", {}, by="user"))
    scene.pillow.send_due()
    assert "mood" in scene.send_due(12)
    scene.ask()
    assert scene.send_due(1)["hugs"] == 1


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
