"""The thread of the change feed: it reads what the loop has time for, and survives failures."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

import pytest

from statecast.broadcast import change_feed
from statecast.broadcast.change_feed import ChangeFeed
from statecast.errors import StoreUnavailable
from statecast.model import Position, Update
from statecast.stores.changes import Changes
from statecast.stores.limits import Limits
from statecast.stores.memory.store import MemoryStore
from statecast.testing import VirtualClock, change, message

SHORT = 20.0


class QueueLoop:
    """Calls of other threads wait until the test makes them."""

    def __init__(self) -> None:
        self.calls: queue.Queue[tuple[Callable[..., None], tuple[Any, ...]]] = queue.Queue()
        self.closed = False

    def call_soon_threadsafe(self, call: Callable[..., None], *arguments: Any) -> None:
        if self.closed:
            raise RuntimeError("Event loop is closed")
        self.calls.put((call, arguments))

    def call_soon(self, call: Callable[..., None], *arguments: Any) -> None:
        """The turn of the loop ends with the call that the test makes."""
        call(*arguments)


class Harness:
    """A store, a change feed of it, and what was delivered."""

    def __init__(self) -> None:
        self.store = MemoryStore(Limits(), VirtualClock())
        self.loop = QueueLoop()
        self.delivered: list[tuple[list[Update], bool]] = []
        self.defects: list[Exception] = []
        self.failures: list[Exception] = []
        self.read, self.store.read = self.store.read, self.failing  # type: ignore[method-assign]
        self.change_feed = ChangeFeed(self.store, self.loop, dict, self)  # type: ignore[arg-type]
        self.confirmed: list[int] = []
        self.number = 0

    def failing(self, *arguments: Any) -> Changes:
        if self.failures:
            raise self.failures.pop()
        return self.read(*arguments)

    def on_changes(
        self, changes: Changes, epoch_history: Any, report: dict[str, Any], reset: bool
    ) -> None:
        if self.defects:
            raise self.defects.pop()
        self.delivered.append((list(changes.updates), reset))

    def on_confirmed(self, asked: int) -> None:
        self.confirmed.append(asked)

    def say(self, device: str) -> None:
        self.number += 1
        self.store.commit(
            "queue", 1, [message(f"m{self.number}", change(device, {"n": self.number}))]
        )

    def next_delivery(self) -> list[tuple[list[tuple[str, int]], bool]]:
        """Make the calls until a delivery is not empty."""
        while True:
            call, arguments = self.loop.calls.get(timeout=SHORT)
            before = len(self.delivered)
            call(*arguments)
            found = [
                ([(one.device, one.version) for one in updates], reset)
                for updates, reset in self.delivered[before:]
            ]
            if found and (found[0][0] or found[0][1]):
                return found

    @contextmanager
    def following(self) -> Iterator[Self]:
        """Let the thread follow a store with one device, until the end of the block."""
        self.say("pillow")
        self.change_feed.start()
        yield self
        self.change_feed.stop()
        assert not self.change_feed._thread.is_alive()


@pytest.fixture
def harness() -> Iterator[Harness]:
    with Harness().following() as opened:
        yield opened


def test_everything_is_delivered_at_the_start_and_then_what_changes(harness: Harness) -> None:
    assert [[one.device for one in updates] for updates, _ in harness.delivered] == [["pillow"]]
    harness.say("chair")
    assert harness.next_delivery() == [([("chair", 1)], False)]
    harness.say("pillow")
    assert harness.next_delivery() == [([("pillow", 2)], False)]


def test_it_does_not_read_ahead_of_a_busy_loop(harness: Harness) -> None:
    harness.say("chair")
    first = harness.loop.calls.get(timeout=SHORT)
    # given a busy loop, then a hundred changes are one delivery
    for _ in range(100):
        harness.say("pillow")
    assert harness.loop.calls.empty()
    first[0](*first[1])
    assert harness.next_delivery() == [([("pillow", 101)], False)]


@pytest.mark.parametrize(
    "error", [StoreUnavailable("The store is locked."), ZeroDivisionError("a defect")]
)
def test_a_store_that_fails_is_read_again(
    harness: Harness,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    monkeypatch.setattr(harness.change_feed._stop, "wait", lambda timeout: None)
    harness.failures = [error]
    harness.say("chair")
    assert harness.next_delivery() == [([("chair", 1)], False)]
    assert str(error) in caplog.text


def test_after_a_failed_delivery_everything_is_delivered_again(harness: Harness) -> None:
    harness.defects = [ZeroDivisionError("a defect")]
    harness.say("chair")
    call, arguments = harness.loop.calls.get(timeout=SHORT)
    call(*arguments)
    while harness.defects:
        call, arguments = harness.loop.calls.get(timeout=SHORT)
        call(*arguments)
    harness.store.wake()
    assert harness.next_delivery() == [([("pillow", 1), ("chair", 1)], True)]


def test_a_question_is_answered_after_a_read_that_began_later(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store that cannot be read, and where nothing changes
    monkeypatch.setattr(harness.change_feed._stop, "wait", lambda timeout: None)
    failed = threading.Event()
    harness.failures = [StoreUnavailable("The store is locked.")]
    harness.change_feed.report = lambda: failed.set() or {}  # type: ignore[func-returns-value]
    # when two questions come at the same time
    questions = [harness.change_feed.confirm(), harness.change_feed.confirm()]
    assert failed.wait(SHORT)
    # then both are answered by one read, when it can be read
    while not harness.confirmed:
        call, arguments = harness.loop.calls.get(timeout=SHORT)
        call(*arguments)
    assert harness.confirmed[-1] in questions
    while harness.confirmed[-1] != questions[-1]:
        call, arguments = harness.loop.calls.get(timeout=SHORT)
        call(*arguments)


def test_a_loop_that_is_gone_ends_the_thread(harness: Harness) -> None:
    harness.loop.closed = True
    harness.say("chair")
    harness.change_feed._thread.join(SHORT)
    assert not harness.change_feed._thread.is_alive()


def test_a_stop_does_not_wait_for_the_loop(harness: Harness) -> None:
    harness.say("chair")
    harness.loop.calls.get(timeout=SHORT)
    stopping = threading.Thread(target=harness.change_feed.stop)
    stopping.start()
    stopping.join(SHORT)
    assert not stopping.is_alive()


def test_while_the_store_cannot_be_read_the_report_goes_on(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise pages would show the queue as connected all that time."""
    # given a store that fails several times, and sources that are away by then
    monkeypatch.setattr(harness.change_feed._stop, "wait", lambda timeout: None)
    away = {"sources": {"queue": {"status": "away", "sentence": "The queue is gone."}}}
    harness.change_feed.report = lambda: away
    reports: list[Any] = []
    on_changes = harness.on_changes

    def noted(changes: Changes, epoch_history: Any, report: dict[str, Any], reset: bool) -> None:
        reports.append(report)
        on_changes(changes, epoch_history, report, reset)

    monkeypatch.setattr(harness, "on_changes", noted)
    harness.failures = [StoreUnavailable("The disk failed.") for _ in range(3)]
    # when something changes
    harness.say("chair")
    # then reports are delivered while it fails, the change after it, and the log has it once
    assert harness.next_delivery() == [([("chair", 1)], False)]
    assert len(reports) >= 4 and reports[1] == away
    assert caplog.text.count("cannot be read") == caplog.text.count("can be read again") == 1


def test_a_wait_that_fails_does_not_end_it(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the thread ended, every page would freeze."""
    # given a store for which even a wait fails, once
    failed = threading.Event()
    wait = harness.store.wait

    def failing(timeout: float, after: Any = None) -> None:
        if not failed.is_set():
            failed.set()
            raise StoreUnavailable("The disk failed.")
        wait(timeout, after)

    monkeypatch.setattr(harness.store, "wait", failing)
    monkeypatch.setattr(harness.change_feed._stop, "wait", lambda timeout: None)
    harness.store.wake()
    call, arguments = harness.loop.calls.get(timeout=SHORT)
    call(*arguments)
    assert failed.wait(SHORT)
    # when something changes after it
    harness.say("lamp")
    # then it is delivered
    assert [("lamp", 1)] in [updates for updates, _ in harness.next_delivery()]


def test_a_commit_that_is_no_viewers_business_does_not_reach_the_loop(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a store that has just been read, with its report
    harness.store.wake()
    call, arguments = harness.loop.calls.get(timeout=SHORT)
    call(*arguments)
    # when a message comes into the queue, and then a device changes
    harness.store.queue("queue").append([b"{}"])
    harness.say("lamp")
    # then the loop is called for the change only
    call, arguments = harness.loop.calls.get(timeout=SHORT)
    before = len(harness.delivered)
    call(*arguments)
    assert [one.device for updates, _ in harness.delivered[before:] for one in updates] == ["lamp"]


def test_what_is_urgent_in_a_report_is_delivered_without_a_change(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.store.wake()
    call, arguments = harness.loop.calls.get(timeout=SHORT)
    call(*arguments)
    # when a source goes away
    away = {"sources": {"queue": {"status": "away", "sentence": "The queue is gone."}}}
    harness.change_feed.report = lambda: away
    harness.store.wake()
    # then its report is delivered though nothing was committed
    _, (result, report) = harness.loop.calls.get(timeout=SHORT)
    assert (result.changes.updates, report) == ([], away)


def test_at_the_start_everything_is_delivered_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_feed, "PAGE", 2)
    harness = Harness()
    for number in range(5):
        harness.say(f"lamp{number}")
    harness.change_feed.read_once()
    # then each device is delivered once, in the order of offsets, and no page is larger
    pages = [[one.device for one in updates] for updates, _ in harness.delivered]
    assert pages == [["lamp0", "lamp1"], ["lamp2", "lamp3"], ["lamp4"]]
    # and a later change is read alone
    harness.say("lamp1")
    harness.change_feed.read_once()
    assert [one.device for one in harness.delivered[-1][0]] == ["lamp1"]


def test_a_delivery_that_fails_at_the_start_is_not_repeated_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(change_feed, "PAGE", 1)
    harness = Harness()
    harness.say("chair")
    harness.defects = [ZeroDivisionError("a defect")] * 3
    harness.change_feed.read_once()
    assert len(harness.defects) == 2


# A store that was set back


@pytest.mark.parametrize(
    ("knows_it", "said"),
    [(True, "lacks the last 3 changes that"), (False, "lacks changes that")],
    ids=["by a replica that lacked the end", "by the backup of another time"],
)
def test_what_is_gone_is_counted_and_said(
    knows_it: bool,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given a feed that has read five changes, without its thread
    harness = Harness()
    for _ in range(5):
        harness.say("pillow")
    harness.change_feed.read_once()
    # when the store has another history: the old epoch ends three earlier, or is not in it
    old = harness.store.epoch_history()
    kept = old.epochs if knows_it else ()
    history = old._replace(epochs=(*kept, ("other", old.offset - 2)))
    monkeypatch.setattr(harness.store, "epoch_history", lambda: history)
    read = harness.store.read

    def of_another(*arguments: Any) -> Changes:
        changes = read(*arguments)
        return replace(changes, position=Position("other", changes.position.offset))

    monkeypatch.setattr(harness.store, "read", of_another)
    harness.change_feed.read_once()
    # then the log says how much is gone, and everything is delivered again
    assert said in caplog.text
    assert harness.delivered[-1][1]
    # and it is a notice for viewers, the operator and the doctor
    (notice,) = harness.store.problems.current()
    assert (notice.kind, notice.severity) == ("store-set-back", "notice")
    assert said in notice.sentence
    # and no longer after a day
    monkeypatch.setattr(change_feed, "EPOCH_HISTORY_INTERVAL", 0.0)
    harness.change_feed.read_once()
    assert harness.store.problems.current() == [notice]
    monkeypatch.setattr(change_feed, "SET_BACK_SHOWN", 0.0)
    harness.change_feed.read_once()
    assert harness.store.problems.current() == []
