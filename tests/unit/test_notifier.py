"""Waiting for commits: no thread misses one, and only one of several waiting threads polls."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from statecast.stores.notifier import CommitNotifier

SHORT = 20.0


class Waiting:
    """A thread that waits for another value of a number, as if another process changed it."""

    def __init__(self, notifier: CommitNotifier, shared: list[int]) -> None:
        self.notifier = notifier
        self.shared = shared
        self.known = shared[0]
        self.polls = 0
        self.polled = threading.Event()
        self.woken = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.notifier.wait(self.notifier.commits, SHORT, self._changed)
        self.woken.set()

    def _changed(self) -> bool:
        self.polls += 1
        self.polled.set()
        return self.shared[0] != self.known

    def begin(self) -> Waiting:
        self.thread.start()
        assert self.polled.wait(SHORT)
        return self


@pytest.fixture
def notifier() -> Iterator[CommitNotifier]:
    made = CommitNotifier()
    yield made
    made.notify()


def assert_polls(waiting: Waiting, times: int = 5) -> None:
    for _ in range(times):
        waiting.polled.clear()
        assert waiting.polled.wait(SHORT)


def test_one_thread_polls_for_all_and_all_are_woken(notifier: CommitNotifier) -> None:
    # given three threads that wait for another process
    shared = [0]
    first, second, third = (Waiting(notifier, shared).begin() for _ in range(3))
    assert_polls(first)
    # then the first polls, and the others have polled once, before they slept
    assert (second.polls, third.polls) == (1, 1)
    # when it finds a change
    shared[0] = 1
    # then all are woken
    assert all(one.woken.wait(SHORT) for one in (first, second, third))


def test_when_the_polling_thread_is_done_another_polls(notifier: CommitNotifier) -> None:
    # given one thread that polls, and one that sleeps
    shared = [0]
    first = Waiting(notifier, shared)
    first.begin()
    second = Waiting(notifier, shared).begin()
    # when the first is done for a reason of its own
    first.known = -1
    assert first.woken.wait(SHORT)
    # then the second polls from now on
    assert_polls(second)
    assert not second.woken.is_set()
    shared[0] = 1
    assert second.woken.wait(SHORT)


def test_a_change_that_only_the_polling_thread_knows_wakes_the_others(
    notifier: CommitNotifier,
) -> None:
    shared = [0]
    first = Waiting(notifier, shared).begin()
    late = Waiting(notifier, shared)
    # given a change that the first thread already knows and the other does not
    first.known = shared[0] = 1
    late.begin()
    assert late.woken.wait(SHORT)


def test_after_a_poll_that_fails_another_thread_polls(notifier: CommitNotifier) -> None:
    def fails() -> bool:
        raise OSError("the disk failed")

    with pytest.raises(OSError, match="disk"):
        notifier.wait(notifier.commits, SHORT, fails)
    assert_polls(Waiting(notifier, [0]).begin())


def test_a_commit_before_the_wait_is_not_lost_and_time_ends_it(notifier: CommitNotifier) -> None:
    before = notifier.commits
    notifier.notify()
    notifier.wait(before, SHORT)
    notifier.wait(notifier.commits, 0.0)
    begun = time.monotonic()
    notifier.wait(notifier.commits, 0.05, lambda: False)
    assert time.monotonic() - begun >= 0.05
