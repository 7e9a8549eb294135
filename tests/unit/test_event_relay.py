"""Events on their way to other processes: order, bound, and a store that is away."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence

import pytest

from statecast.broadcast import event_relay
from statecast.broadcast.event_relay import EventRelay
from statecast.errors import StoreUnavailable
from statecast.model import Event
from statecast.problems import Problems


class Writer:
    """The store: writes when the test lets it."""

    def __init__(self) -> None:
        self.let = threading.Semaphore(0)
        self.begun: queue.Queue[list[str]] = queue.Queue()
        self.written: list[str] = []
        self.origins: set[str] = set()
        self.away = False

    def write(self, events: Sequence[Event]) -> None:
        names = [event.name for event in events]
        self.begun.put(names)
        self.let.acquire()
        if self.away:
            raise StoreUnavailable("The disk is full.")
        self.written += names
        self.origins.update(event.origin for event in events)


@pytest.fixture(autouse=True)
def _a_slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_relay, "CLOSE_WITHIN", 30)


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def problems() -> Problems:
    return Problems()


@pytest.fixture
def others() -> list[str]:
    """The other processes that serve the same store."""
    return ["other"]


@pytest.fixture
def relay(writer: Writer, others: list[str], problems: Problems) -> Iterator[EventRelay]:
    relay = EventRelay(writer.write, lambda: bool(others), problems)
    yield relay
    writer.let.release(100)
    relay.close()


def event(name: object, size: int = 0) -> Event:
    return Event("/", str(name), b"x" * size)


def test_what_waits_is_one_batch_in_order(relay: EventRelay, writer: Writer) -> None:
    # given a store that is writing the first event
    relay.put(event("a"))
    assert writer.begun.get(timeout=10) == ["a"]

    # when three more come, then they are written together afterwards
    for name in "bcd":
        relay.put(event(name))
    writer.let.release(2)
    assert writer.begun.get(timeout=10) == ["b", "c", "d"]


@pytest.mark.parametrize(("size", "fits"), [(0, 1_000), (1_048_576, 4), (4_194_305, 0)])
def test_the_buffer_is_bounded_by_number_and_by_bytes(
    relay: EventRelay, writer: Writer, problems: Problems, size: int, fits: int
) -> None:
    # given a store that does not come back from a write
    relay.put(event("a"))
    writer.begun.get(timeout=10)

    # when more events come than the buffer holds
    for number in range(fits + 2):
        relay.put(event(number, size))

    # then the newest are dropped, counted and said
    assert relay.dropped == 2
    (problem,) = problems.current()
    assert (problem.kind, problem.severity) == ("events-dropped", "notice")
    assert "2 were dropped" in problem.detail or "1 were dropped" in problem.detail


def test_a_store_that_is_away_costs_its_batch_and_no_more(
    relay: EventRelay, writer: Writer, problems: Problems
) -> None:
    # given a store that cannot be written
    writer.away = True
    relay.put(event("lost"))
    writer.begun.get(timeout=10)
    writer.let.release()

    # when it can be written again, then later events pass and the problem is over
    relay.put(event("b"))
    writer.begun.get(timeout=10)
    assert relay.dropped == 1
    assert [one.kind for one in problems.current()] == ["events-dropped"]
    writer.away = False
    writer.let.release()
    relay.put(event("c"))
    writer.begun.get(timeout=10)
    assert writer.written == ["b"]
    assert problems.current() == []


def test_where_no_other_process_takes_events_nothing_is_written(
    writer: Writer, problems: Problems
) -> None:
    # given a process that asks after each emit whether there are others
    asked, answers = threading.Semaphore(0), queue.Queue[bool]()

    def has_others() -> bool:
        asked.release()
        return answers.get(timeout=10)

    relay = EventRelay(writer.write, has_others, problems, "this process")
    relay.put(event("alone"))
    asked.acquire()

    # when it was alone, and another one came afterwards
    relay.put(event("both"))
    answers.put(False)
    asked.acquire()
    answers.put(True)
    writer.let.release()

    # then only the second event is written, with its origin
    relay.close()
    assert writer.written == ["both"]
    assert writer.origins == {"this process"}


def test_where_no_other_process_serves_nothing_is_dropped(
    relay: EventRelay, writer: Writer, others: list[str], problems: Problems
) -> None:
    # given a store that cannot be written, and another process that serves it
    writer.away = True
    relay.put(event("lost"))
    writer.begun.get(timeout=10)
    writer.let.release()
    relay.put(event("later"))
    writer.begun.get(timeout=10)
    assert [one.kind for one in problems.current()] == ["events-dropped"]

    # when that process ends while a write fails, and more is emitted
    relay.put(event("last"))
    others.clear()
    writer.let.release()
    relay.close()

    # then that is no loss, it is not written, and the problem is over
    assert relay.dropped == 1
    assert writer.begun.empty()
    assert problems.current() == []


def test_what_waits_at_the_end_is_still_written(writer: Writer, problems: Problems) -> None:
    relay = EventRelay(writer.write, lambda: True, problems)
    writer.let.release(2)
    relay.put(event("a"))
    relay.close()
    relay.put(event("too late"))
    assert writer.written == ["a"]


def test_without_events_there_is_no_thread(writer: Writer, problems: Problems) -> None:
    before = threading.active_count()
    EventRelay(writer.write, lambda: True, problems).close()
    assert threading.active_count() == before


def test_while_a_process_is_alone_its_events_gather(
    writer: Writer, problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a process that was found to be alone, and would rest for long
    monkeypatch.setattr(event_relay, "ALONE_SECONDS", 60)
    asked, answers = threading.Semaphore(0), queue.Queue[bool]()

    def has_others() -> bool:
        asked.release()
        return answers.get(timeout=10)

    relay = EventRelay(writer.write, has_others, problems)
    relay.put(event("alone"))
    assert asked.acquire(timeout=10)
    answers.put(False)

    # when the buffer is half full, then it asks again; another process has come, and gets them all
    half = [str(number) for number in range(event_relay.MAX_EVENTS // 2)]
    for name in half[:-1]:
        relay.put(event(name))
    assert not asked.acquire(blocking=False)
    relay.put(event(half[-1]))
    assert asked.acquire(timeout=10)
    answers.put(True)
    writer.let.release(2)
    assert writer.begun.get(timeout=10) == half

    # and with others it asks for each event at once
    relay.put(event("next"))
    assert asked.acquire(timeout=10)
    answers.put(True)
    assert writer.begun.get(timeout=10) == ["next"]
    relay.close()
    assert relay.dropped == 0


def test_at_the_end_a_process_that_was_alone_asks_once_more(
    writer: Writer, problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_relay, "ALONE_SECONDS", 60)
    answers = iter([False, True])
    alone = threading.Event()

    def has_others() -> bool:
        answer = next(answers)
        alone.set()
        return answer

    relay = EventRelay(writer.write, has_others, problems)
    relay.put(event("alone"))
    assert alone.wait(10)
    writer.let.release()
    relay.put(event("last"))
    relay.close()
    assert writer.written == ["last"]
