"""The follower's thread: it reads what the loop has time for, and survives what fails."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from statecast.broadcast.change_feed import ChangeFeed
from statecast.errors import StoreUnavailable
from statecast.model import Update
from statecast.stores.contract import Changes, Limits
from statecast.stores.memory.store import MemoryStore
from statecast.testing import VirtualClock, change, message

SHORT = 20.0


class QueueLoop:
    """Calls of other threads wait until the test takes them."""

    def __init__(self) -> None:
        self.calls: queue.Queue[tuple[Callable[..., None], tuple[Any, ...]]] = queue.Queue()
        self.closed = False

    def call_soon_threadsafe(self, call: Callable[..., None], *arguments: Any) -> None:
        if self.closed:
            raise RuntimeError("Event loop is closed")
        self.calls.put((call, arguments))


class Scene:
    """A store, a follower of it, and what was told."""

    def __init__(self) -> None:
        self.store = MemoryStore(Limits(), VirtualClock())
        self.loop = QueueLoop()
        self.told: list[tuple[list[Update], bool]] = []
        self.defects: list[Exception] = []
        self.failures: list[Exception] = []
        self.read, self.store.read = self.store.read, self.failing  # type: ignore[method-assign]
        self.follower = ChangeFeed(self.store, self.loop, dict, self)  # type: ignore[arg-type]
        self.number = 0

    def failing(self, *arguments: Any) -> Changes:
        if self.failures:
            raise self.failures.pop()
        return self.read(*arguments)

    def arrive(self, news: Changes, epoch_history: Any, report: dict[str, Any], anew: bool) -> None:
        if self.defects:
            raise self.defects.pop()
        self.told.append((list(news.updates), anew))

    def say(self, device: str) -> None:
        self.number += 1
        self.store.commit(
            "queue", 1, [message(f"m{self.number}", change(device, {"n": self.number}))]
        )

    def heard(self) -> list[tuple[list[tuple[str, int]], bool]]:
        """Take calls until something was told that is not empty."""
        while True:
            call, arguments = self.loop.calls.get(timeout=SHORT)
            before = len(self.told)
            call(*arguments)
            told = [
                ([(one.device, one.version) for one in updates], anew)
                for updates, anew in self.told[before:]
            ]
            if told and (told[0][0] or told[0][1]):
                return told


@pytest.fixture
def scene() -> Iterator[Scene]:
    opened = Scene()
    opened.say("pillow")
    opened.follower.start()
    yield opened
    opened.follower.stop()
    assert not opened.follower._thread.is_alive()


def test_everything_is_told_at_the_start_and_then_what_changes(scene: Scene) -> None:
    assert [[one.device for one in updates] for updates, _ in scene.told] == [["pillow"]]
    scene.say("chair")
    assert scene.heard() == [([("chair", 1)], False)]
    scene.say("pillow")
    assert scene.heard() == [([("pillow", 2)], False)]


def test_it_does_not_read_ahead_of_a_busy_loop(scene: Scene) -> None:
    scene.say("chair")
    first = scene.loop.calls.get(timeout=SHORT)
    # given a loop that has no time, a hundred changes are one answer
    for _ in range(100):
        scene.say("pillow")
    assert scene.loop.calls.empty()
    first[0](*first[1])
    assert scene.heard() == [([("pillow", 101)], False)]


@pytest.mark.parametrize(
    "error", [StoreUnavailable("The store is locked."), ZeroDivisionError("a defect")]
)
def test_a_store_that_fails_is_asked_again(
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    monkeypatch.setattr(scene.follower._stop, "wait", lambda timeout: None)
    scene.failures = [error]
    scene.say("chair")
    assert scene.heard() == [([("chair", 1)], False)]
    assert str(error) in caplog.text


def test_what_could_not_be_told_is_told_anew(scene: Scene) -> None:
    scene.defects = [ZeroDivisionError("a defect")]
    scene.say("chair")
    call, arguments = scene.loop.calls.get(timeout=SHORT)
    call(*arguments)
    while scene.defects:
        call, arguments = scene.loop.calls.get(timeout=SHORT)
        call(*arguments)
    scene.store.wake()
    assert scene.heard() == [([("pillow", 1), ("chair", 1)], True)]


def test_a_loop_that_is_gone_ends_the_thread(scene: Scene) -> None:
    scene.loop.closed = True
    scene.say("chair")
    scene.follower._thread.join(SHORT)
    assert not scene.follower._thread.is_alive()


def test_a_stop_does_not_wait_for_the_loop(scene: Scene) -> None:
    scene.say("chair")
    scene.loop.calls.get(timeout=SHORT)
    stopping = threading.Thread(target=scene.follower.stop)
    stopping.start()
    stopping.join(SHORT)
    assert not stopping.is_alive()


def test_while_the_store_cannot_be_read_the_report_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else pages would show the queue as connected for as long as that takes."""
    # Given a store that fails several times, and sources that are away by then
    monkeypatch.setattr(scene.follower._stop, "wait", lambda timeout: None)
    scene.follower.report = lambda: {"sources": "away"}
    reports: list[Any] = []
    arrive = scene.arrive

    def noted(news: Changes, epoch_history: Any, report: dict[str, Any], anew: bool) -> None:
        reports.append(report)
        arrive(news, epoch_history, report, anew)

    monkeypatch.setattr(scene, "arrive", noted)
    scene.failures = [StoreUnavailable("The disk failed.") for _ in range(3)]
    # When something changes
    scene.say("chair")
    # Then the report is told while it fails, the change after it, and the log says it once
    assert scene.heard() == [([("chair", 1)], False)]
    assert len(reports) >= 4 and reports[1] == {"sources": "away"}
    assert caplog.text.count("cannot be read") == caplog.text.count("can be read again") == 1


def test_a_wait_that_fails_does_not_end_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that dies in silence would freeze every page."""
    # Given a store that cannot even be waited for, once
    failed = threading.Event()
    wait = scene.store.wait

    def failing(timeout: float) -> None:
        if not failed.is_set():
            failed.set()
            raise StoreUnavailable("The disk failed.")
        wait(timeout)

    monkeypatch.setattr(scene.store, "wait", failing)
    monkeypatch.setattr(scene.follower._stop, "wait", lambda timeout: None)
    scene.store.wake()
    call, arguments = scene.loop.calls.get(timeout=SHORT)
    call(*arguments)
    assert failed.wait(SHORT)
    # When something changes after it
    scene.say("lamp")
    # Then it is told
    assert [("lamp", 1)] in [updates for updates, _ in scene.heard()]
