"""Pauses between two polls: until a hint, or longer the longer it is quiet."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from statecast.stores.notifier import DISTRUST_SECONDS, CommitNotifier
from statecast.stores.poll_pace import HINTED, LONGEST, TimedPause, unhinted

FOREVER = 1e9


@pytest.mark.parametrize(
    ("quiet", "pause"),
    [(0.0, 0.02), (0.4, 0.02), (1.0, 0.05), (2.0, 0.1), (60.0, 0.1), (86_400.0, 0.1)],
)
def test_pauses_without_hints_grow_with_the_quiet_time(quiet: float, pause: float) -> None:
    assert unhinted(quiet) == pytest.approx(pause)


class Machine:
    """A clock that pauses turn, and commits of another process at their times."""

    def __init__(self, *, has_hints: bool) -> None:
        self.now = 1_000.0
        self.has_hints = has_hints
        self.hints: list[float] = []
        """When commits are announced."""
        self.commits: list[float] = []
        """When commits can be seen."""
        self.known = 0
        self.looks: list[float] = []
        self.wakes = 0
        self.during: Callable[[], None] = lambda: None
        """What another thread does during the next pause."""
        self.notifier = CommitNotifier(lambda: self, lambda: self.now)

    def commit(self, after: float, *, hint: bool = True, late: float = 0.0) -> float:
        """Let another process commit so many seconds from now; when it can be seen.

        Its hint comes ``late`` seconds after that.
        """
        self.commits.append(self.now + after)
        if hint:
            self.hints.append(self.now + after + late)
        return self.commits[-1]

    def changed(self) -> bool:
        self.looks.append(self.now)
        return self._seen() != self.known

    def _seen(self) -> int:
        return sum(at <= self.now for at in self.commits)

    def follow(self, timeout: float = FOREVER) -> float:
        """Wait as a thread does that reads what is new after it; the time then."""
        self.notifier.wait(self.notifier.commits, timeout, self.changed)
        if self.known != self._seen():
            self.known = self._seen()
            self.notifier.note_news()
        return self.now

    # Pause

    def wait(self, seconds: float) -> bool:
        during, self.during = self.during, lambda: None
        during()
        end = self.now + seconds
        hinted = bool(self.hints) and self.hints[0] <= end
        self.now = max(self.now, self.hints[0]) if hinted else end
        self.hints = [at for at in self.hints if at > self.now]
        return hinted

    def wake(self) -> None:
        self.wakes += 1

    def expect_messages(self) -> None:
        pass


@pytest.mark.parametrize("quiet", [0.0, 5.0, 60.0, 3_600.0])
def test_a_commit_is_found_when_its_hint_comes(quiet: float) -> None:
    machine = Machine(has_hints=True)
    # given a quiet time
    committed = machine.commit(quiet)
    # then a waiting thread finds the commit with its hint, by one look
    machine.follow()
    assert machine.now == committed
    machine.follow(timeout=0.1)
    machine.looks.clear()
    committed = machine.commit(0.5)
    assert machine.follow() == committed
    assert len(machine.looks) == 2  # before the pause, and after it


@pytest.mark.parametrize(("quiet", "late"), [(0.0, 0.02), (0.4, 0.021), (1.0, 0.052), (60.0, 0.1)])
def test_without_hints_a_commit_is_late_by_a_pause(quiet: float, late: float) -> None:
    machine = Machine(has_hints=False)
    visible = machine.commit(quiet)
    assert 0 <= machine.follow() - visible <= late


@pytest.mark.parametrize(("has_hints", "looks"), [(True, 61), (False, 601)])
def test_a_quiet_minute_costs_few_looks(has_hints: bool, looks: int) -> None:
    machine = Machine(has_hints=has_hints)
    machine.follow(timeout=60)
    machine.looks.clear()
    # when nothing happens in the second minute
    machine.follow(timeout=60)
    # then there is a look each second with hints, and ten without
    assert len(machine.looks) == pytest.approx(looks, abs=2)


def test_where_news_come_without_a_hint_polls_go_on_as_without_hints() -> None:
    machine = Machine(has_hints=True)
    # given a folder that is shared with a virtual machine: what is written there gives no hint
    for quiet in (60.3, 0.4):
        visible = machine.commit(quiet, hint=False)
        assert 0 <= machine.follow() - visible <= HINTED
    # then after two of them the next ones are late as where no hints are
    for quiet in (1.0, 60.0):
        visible = machine.commit(quiet, hint=False)
        assert 0 <= machine.follow() - visible <= LONGEST
    # and hints are relied on again after some time
    machine.follow(timeout=DISTRUST_SECONDS)
    machine.looks.clear()
    machine.follow(timeout=60)
    assert len(machine.looks) == pytest.approx(61, abs=2)


def test_a_commit_that_is_found_before_its_hint_is_no_reason_to_distrust_hints() -> None:
    machine = Machine(has_hints=True)
    # given commits that a look finds in the moment between them and their hints
    for _ in range(5):
        found = machine.commit(HINTED, late=0.01)
        assert machine.follow() == found
        machine.follow(timeout=0.5)
    # then hints are relied on as before
    machine.looks.clear()
    machine.follow(timeout=60)
    assert len(machine.looks) == pytest.approx(61, abs=2)


def test_what_is_no_news_needs_no_hint() -> None:
    machine = Machine(has_hints=True)
    # given commits without hints that a reader finds nothing in, like the reports of processes
    for _ in range(5):
        machine.commit(0.5, hint=False)
        machine.notifier.wait(machine.notifier.commits, FOREVER, machine.changed)
        machine.known = machine._seen()
    # then hints are relied on as before
    machine.looks.clear()
    machine.follow(timeout=60)
    assert len(machine.looks) == pytest.approx(61, abs=2)


def test_a_late_reader_does_not_distrust_hints() -> None:
    machine = Machine(has_hints=True)
    # given a thread that was busy for long whenever a commit came with its hint
    for _ in range(3):
        machine.follow(timeout=10)
        machine.commit(0)
        machine.now += 60
        assert machine.follow() == machine.now
    # then hints are relied on as before
    machine.follow(timeout=10)
    machine.looks.clear()
    machine.follow(timeout=60)
    assert len(machine.looks) == pytest.approx(61, abs=2)


def test_a_commit_of_this_process_ends_a_pause() -> None:
    machine = Machine(has_hints=True)
    machine.during = machine.notifier.notify
    machine.follow()
    assert machine.wakes == 1
    # and where nobody pauses there is nothing to wake
    machine.notifier.notify()
    assert machine.wakes == 1


def test_a_timed_pause_ends_when_it_is_woken() -> None:
    pause = TimedPause()
    # given a wake before the pause
    pause.wake()
    # then the pause ends at once, and tells of no write
    assert pause.wait(FOREVER / 1e6) is False
    assert pause.wait(0.0) is False
