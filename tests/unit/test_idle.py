"""What a process does that has nothing to do, counted per virtual minute: a store in SQLite whose
queue is empty, the report that the process writes every 2 s, and those of other processes.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from statecast.broadcast import loop_delay, process_reports
from statecast.broadcast.health import HEALTH_INTERVAL
from statecast.broadcast.loop_delay import LoopDelay
from statecast.broadcast.process_reports import ProcessReports
from statecast.ingest.consumer import RECEIVE_WAIT_IN_STORE
from statecast.problems import Problems
from statecast.reactions.reaction import Reaction
from statecast.reactions.reactions import Reactions
from statecast.reactions.runner import ReactionRunner
from statecast.sources import embedded_queue
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores.changes import ReadCursor
from statecast.stores.leases import reaction_lease
from statecast.stores.limits import Limits
from statecast.stores.notifier import CommitNotifier
from statecast.stores.poll_pace import LONGEST
from statecast.stores.sqlite.store import SqliteStore
from statecast.testing import VirtualClock, change, message
from tests.fakes.broadcast_harness import BroadcastHarness

MINUTE = 60.0


class IdleProcess:
    """The threads that follow a store, as one thread in virtual time. It is their pause."""

    def __init__(self, path: Path, has_hints: bool) -> None:
        self.now = 1_000.0
        self.has_hints = has_hints
        self.looks = self.pauses = self.reads = 0
        self._woken = self._announced = False
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.stores: list[SqliteStore] = []
        self.path = path
        self.store = self._open()
        self.store.database.notifier = CommitNotifier(lambda: self, lambda: self.now)
        self._look_at_store = self.store.database._look
        self.store.database._look = self._look  # type: ignore[method-assign]
        self.queue = EmbeddedQueue(self.store)
        self._wait = self.queue._rows.wait
        self.queue._rows.wait = self._wait_and_read  # type: ignore[method-assign]
        self._cursor = ReadCursor(watch=0, access=0)
        self.read_offsets: list[tuple[float, int]] = []
        """When an offset was read first."""
        self.reports = self._reports_into(self.store, 1.0)

    def _open(self) -> SqliteStore:
        store = SqliteStore(self.path, Limits(), VirtualClock())
        store.database._lock.announce = self._announce  # type: ignore[method-assign,union-attr]
        self.stores.append(store)
        return store

    def _announce(self, *, messages_only: bool) -> None:
        self._announced = self.has_hints

    def _reports_into(self, store: SqliteStore, first: float) -> ProcessReports:
        problems = Problems(VirtualClock(), str)
        made = ProcessReports(lambda: store, lambda: {"viewers": 0}, problems)

        def exchange() -> None:
            made.exchange()
            assert not problems.current()
            self.at(process_reports.INTERVAL, exchange)

        self.at(first, exchange)
        return made

    def join(self, after: float) -> SqliteStore:
        """Another process comes, and writes its reports."""
        store = self._open()
        self._reports_into(store, after)
        return store

    def at(self, seconds: float, call: Callable[[], None]) -> None:
        """Another thread, or another process, does something so much later."""
        heapq.heappush(self._due, (self.now + seconds, next(self._numbers), call))

    def run(self, seconds: float) -> None:
        """The consumer receives, and the change feed reads, again and again."""
        end = self.now + seconds
        while self.now < end:
            self.queue.receive(32, RECEIVE_WAIT_IN_STORE)

    def _wait_and_read(self, timeout: float) -> None:
        self._wait(timeout)
        self.reads += 1
        before, self._cursor = self._cursor, self.store.read(self._cursor).cursor
        if self._cursor.offset != before.offset:
            self.read_offsets.append((self.now, self._cursor.offset))

    def minute(self) -> None:
        """The second minute: the first may differ."""
        self.run(MINUTE)
        self.looks = self.pauses = self.reads = 0
        self.run(MINUTE)

    def _look(self, *arguments: Any) -> tuple[int, bool]:
        self.looks += 1
        return self._look_at_store(*arguments)

    # Pause

    def wait(self, seconds: float) -> bool:
        self.pauses += 1
        end = self.now + seconds
        while not self._announced and not self._woken and self._due and self._due[0][0] <= end:
            at, _, call = heapq.heappop(self._due)
            self.now = max(self.now, at)
            call()
        announced = self._announced
        if not announced and not self._woken:
            self.now = max(self.now, end)
        self._woken = self._announced = False
        return announced

    def wake(self) -> None:
        self._woken = True

    def expect_messages(self) -> None:
        pass


@pytest.fixture
def idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., IdleProcess]]:
    made: list[IdleProcess] = []

    def make(has_hints: bool) -> IdleProcess:
        made.append(IdleProcess(tmp_path / "store.db", has_hints))
        time = SimpleNamespace(monotonic=lambda: made[-1].now)
        monkeypatch.setattr(embedded_queue, "time", time)
        return made[-1]

    yield make
    for one in made:
        for store in one.stores:
            store.close()


@pytest.mark.parametrize(
    ("has_hints", "others", "looks", "reads"),
    [
        (True, 0, 62, 62),
        (True, 1, 62, 62),
        (True, 3, 62, 62),
        (False, 0, 700, 62),
        (False, 1, 700, 62),
        (False, 3, 760, 122),
    ],
)
def test_an_idle_minute_costs_few_looks_at_the_store(
    idle: Callable[..., IdleProcess], has_hints: bool, others: int, looks: int, reads: int
) -> None:
    # given processes that serve one store, each with its report every 2 s
    process = idle(has_hints)
    for number in range(others):
        process.join(1.0 + (number + 1) * process_reports.INTERVAL / (others + 1))
    # when nothing happens for a minute
    process.minute()
    # then a process looks at the store that often at most, and reads it about once for each report
    assert 0.8 * looks < process.looks <= looks
    assert process.reads <= reads
    assert process.pauses <= looks


def test_reactions_that_another_process_calls_are_asked_for_once_a_second(
    idle: Callable[..., IdleProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = idle(has_hints=True)
    store, names = process.store, ("mail", "light")
    # given reactions of which another process has the leases
    other = process.join(1.0)
    leases = [other.lease(reaction_lease(name)) for name in names]
    make = partial(ReactionRunner, monotonic=lambda: process.now)
    reactions = Reactions(lambda: store, lambda: 1, store.clock, make, follow=False)
    for name in names:
        reactions.add(Reaction(name, ("*",), lambda *arguments: None))
    reactions.start()
    # when nothing happens for a minute
    asked = count_calls(monkeypatch, store, "lease")
    process.looks = 0
    end = process.now + MINUTE
    while process.now < end:
        store.wait(reactions.step())
    # then each lease is asked for once a second, and the store is looked at no more than that
    assert len(asked) == pytest.approx(len(names) * MINUTE, abs=4)
    assert process.looks <= 2 * MINUTE + 4
    for lease in leases:
        assert lease is not None
        lease.release()


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: object, method: str) -> list[str]:
    """The first arguments of all calls from now on."""
    calls: list[str] = []
    call = getattr(owner, method)

    def counted(first: str) -> Any:
        calls.append(first)
        return call(first)

    monkeypatch.setattr(owner, method, counted)
    return calls


@pytest.mark.parametrize(("has_hints", "late"), [(True, 0.002), (False, LONGEST)])
@pytest.mark.parametrize("quiet", [0.3, 5.0, 61.7, 600.1])
def test_a_commit_after_a_quiet_time_is_found_soon(
    idle: Callable[..., IdleProcess], has_hints: bool, late: float, quiet: float
) -> None:
    process = idle(has_hints)
    process.run(10)
    # when another process commits after a quiet time
    other = process.join(1.3)
    committed: list[float] = []

    def commit() -> None:
        lease = other.lease("queue")
        assert lease is not None
        other.commit("queue", lease.term, [message("m1", change("pillow", {"n": 1}))])
        lease.release()
        committed.append(process.now)

    process.at(quiet, commit)
    process.run(quiet + 2)
    # then it is read that much later
    ((read, offset),) = process.read_offsets
    assert offset == 1
    assert 0 <= read - committed[0] <= late + 1e-6


def test_after_a_change_a_store_without_hints_is_looked_at_more_often(
    idle: Callable[..., IdleProcess],
) -> None:
    process = idle(has_hints=False)
    process.minute()
    # given a state that changes ten times a second in another process
    other = process.join(1.0)
    lease = other.lease("queue")
    assert lease is not None
    numbers = iter(range(1_000))

    def commit() -> None:
        number = next(numbers)
        changes = [message(f"m{number}", change("pillow", {"n": number}))]
        other.commit("queue", lease.term, changes)
        process.at(0.1, commit)

    process.at(0.1, commit)
    process.looks = 0
    process.run(10)
    lease.release()
    # then it is looked at every 20 ms, as long as that lasts
    assert process.looks == pytest.approx(500, rel=0.3)
    assert len(process.read_offsets) == pytest.approx(99, abs=2)


@pytest.mark.parametrize(
    ("viewers", "timers", "reports"), [("none", 160, 0), ("a page", 160, 40), ("no health", 160, 0)]
)
def test_an_idle_minute_costs_few_timers_of_the_loop(
    viewers: str, timers: int, reports: int
) -> None:
    # given a process at rest: its heartbeat, and the measurement of its loop
    harness = BroadcastHarness()
    made = 0

    def report() -> dict[str, Any]:
        nonlocal made
        made += 1
        return {"sources": {}}

    harness.broadcaster.report = report
    harness.broadcaster._heartbeat()
    delay = LoopDelay(harness.loop.time)
    delay.start(harness.loop)  # type: ignore[arg-type]
    if viewers != "none":
        harness.client("*", health=viewers == "a page")
        harness.loop.advance(5)
    made, fired, call_at = 0, 0, harness.loop.call_at

    def counted(when: float, call: Callable[..., None], *arguments: Any) -> Any:
        def fire(*given: Any) -> None:
            nonlocal fired
            fired += 1
            call(*given)

        return call_at(when, fire, *arguments)

    harness.loop.call_at = counted  # type: ignore[method-assign]
    # when nothing happens for a minute
    harness.loop.advance(MINUTE)
    # then these two timers fire, and a report is made for each heartbeat that is sent
    expected = MINUTE / HEALTH_INTERVAL + MINUTE / loop_delay.INTERVAL
    assert expected == timers
    assert fired == pytest.approx(timers, abs=4)
    assert made == reports
