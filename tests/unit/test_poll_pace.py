"""Pauses between two polls: short while something happens, longer the longer it is quiet."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from statecast.stores.notifier import DISTRUST_SECONDS, CommitNotifier
from statecast.stores.poll_pace import ANSWERED, HINTED, UNHINTED, PollPace, TimedPause

FOREVER = 1e9


@pytest.mark.parametrize(
    ("pace", "quiet", "pause"),
    [
        (HINTED, 0.0, 0.0005),
        (HINTED, 0.001, 0.0005),
        (HINTED, 0.004, 0.002),
        (HINTED, 0.5, 0.25),
        (HINTED, 60.0, 1.0),
        (ANSWERED, 0.0, 0.001),
        (ANSWERED, 0.004, 0.008),
        (ANSWERED, 0.4, 0.8),
        (ANSWERED, 60.0, 1.0),
        (UNHINTED, 0.0, 0.02),
        (UNHINTED, 0.4, 0.02),
        (UNHINTED, 1.0, 0.05),
        (UNHINTED, 2.0, 0.1),
        (UNHINTED, 60.0, 0.1),
        (UNHINTED, 86_400.0, 0.1),
    ],
)
def test_pauses_grow_with_the_quiet_time(pace: PollPace, quiet: float, pause: float) -> None:
    assert pace.pause(quiet) == pytest.approx(pause)


class Machine:
    """A clock that pauses turn, and commits of another process at their times."""

    def __init__(self, *, has_hints: bool) -> None:
        self.now = 1_000.0
        self.has_hints = has_hints
        self.writes: list[float] = []
        """When the log is written, as far as that gives a hint."""
        self.commits: list[float] = []
        """When commits can be seen."""
        self.known = 0
        self.looks: list[float] = []
        self.wakes = 0
        self.during: Callable[[], None] = lambda: None
        """What another thread does during the next pause."""
        self.notifier = CommitNotifier(lambda: self, lambda: self.now)

    def commit(self, after: float, takes: float, *, hint: bool = True) -> float:
        """Begin a commit so many seconds from now; when it can be seen."""
        if hint:
            self.writes.append(self.now + after)
        self.commits.append(self.now + after + takes)
        return self.commits[-1]

    def changed(self) -> bool:
        self.looks.append(self.now)
        return self._seen() != self.known

    def _seen(self) -> int:
        return sum(at <= self.now for at in self.commits)

    def follow(self, timeout: float = FOREVER) -> float:
        """Wait as a thread does that reads after it; the time then."""
        self.notifier.wait(self.notifier.commits, timeout, self.changed)
        self.known = self._seen()
        return self.now

    # Pause

    def wait(self, seconds: float) -> bool:
        during, self.during = self.during, lambda: None
        during()
        end = self.now + seconds
        hints = [at for at in self.writes if at <= end]
        self.writes = [at for at in self.writes if at > end]
        self.now = max(self.now, hints[0]) if hints else end
        return bool(hints)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wake(self) -> None:
        self.wakes += 1


@pytest.mark.parametrize(
    ("takes", "late"),
    [
        (0.0002, 0.0005),
        (0.001, 0.0005),
        (0.003, 0.0015),
        (0.02, 0.01),
        (0.7, 0.35),  # a memory card
        (5.0, 1.0),
    ],
)
@pytest.mark.parametrize("quiet", [0.0, 5.0, 60.0, 3_600.0])
def test_after_a_hint_a_commit_is_late_by_at_most_half_of_the_time_it_took(
    quiet: float, takes: float, late: float
) -> None:
    machine = Machine(has_hints=True)
    # given a quiet time, and a log that is written some time before its commit can be seen
    visible = machine.commit(quiet, takes)
    # then a waiting thread finds the commit that much later at most, and not before
    assert 0 <= machine.follow() - visible <= late + 0.0005


@pytest.mark.parametrize(("quiet", "late"), [(0.0, 0.02), (0.4, 0.021), (1.0, 0.052), (60.0, 0.1)])
def test_without_hints_a_commit_is_late_by_a_pause(quiet: float, late: float) -> None:
    machine = Machine(has_hints=False)
    visible = machine.commit(quiet, 0.003)
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


@pytest.mark.parametrize("takes", [0.001, 0.003, 0.01, 0.1, 0.4, 3.0])
def test_a_second_commit_that_the_first_hint_announced_is_found_too(takes: float) -> None:
    machine = Machine(has_hints=True)
    # given two commits that wrote the log before anyone looked
    machine.follow(timeout=10)
    written = machine.now + 0.001
    machine.writes.append(written)
    first, second = written + 0.0002, written + 0.0002 + takes
    machine.commits += [first, second]
    # then the one is found, and the other without a further hint: late by twice the time it took
    assert 0 <= machine.follow() - first <= 0.001
    assert 0 <= machine.follow() - second <= min(2 * takes + 0.001, 1.0)


def test_a_commit_that_is_found_costs_few_further_looks() -> None:
    machine = Machine(has_hints=True)
    # given the report that a process writes every 2 seconds
    machine.follow(timeout=10)
    machine.commit(0.5, 0.0003)
    machine.follow()
    machine.looks.clear()
    # when nothing else happens until the next one
    machine.follow(timeout=2)
    # then a thread looks at it rarely
    assert len(machine.looks) <= 10


def test_a_commit_of_this_process_answers_its_hint() -> None:
    machine = Machine(has_hints=True)
    # given a process whose own commit ends the pause, and writes the log
    machine.follow(timeout=10)

    def commits() -> None:
        machine.commit(0.0, 0.0)
        machine.notifier.notify()

    machine.during = commits
    machine.follow()
    machine.looks.clear()
    machine.follow(timeout=2)
    assert len(machine.looks) <= 10


@pytest.mark.parametrize("takes", [3.0, 30.0])
def test_a_slow_disk_is_no_reason_to_distrust_hints(takes: float) -> None:
    machine = Machine(has_hints=True)
    # given a commit that is seen long after it was announced
    machine.follow(timeout=10)
    machine.commit(0.5, takes)
    machine.follow()
    # then hints are trusted as before
    machine.looks.clear()
    machine.follow(timeout=60)
    assert len(machine.looks) <= 75


def test_where_a_commit_comes_without_a_hint_polls_go_on_without_hints() -> None:
    machine = Machine(has_hints=True)
    # given a folder that is shared with a virtual machine: what is written there gives no hint
    visible = machine.commit(60, 0.003, hint=False)
    assert 0 <= machine.follow() - visible <= HINTED.longest
    # then the next ones are late as where no hints are
    for quiet in (1.0, 60.0):
        visible = machine.commit(quiet, 0.003, hint=False)
        assert 0 <= machine.follow() - visible <= UNHINTED.longest
    # and hints are trusted again after some time
    machine.follow(timeout=DISTRUST_SECONDS)
    machine.looks.clear()
    machine.follow(timeout=60)
    assert len(machine.looks) == pytest.approx(61, abs=2)


def test_a_late_reader_does_not_distrust_hints() -> None:
    machine = Machine(has_hints=True)
    # given a thread that was busy for long while a commit came with its hint
    machine.follow(timeout=10)
    machine.commit(0, 0.003)
    machine.wait(5)
    machine.now += 60
    assert machine.follow() == machine.now
    # then hints are trusted as before
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
