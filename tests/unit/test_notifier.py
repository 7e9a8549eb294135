"""Waiting for commits: no thread misses one, and only one of several waiting threads polls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

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


class Hints:
    """A pause that ends as a test says, and counts."""

    has_hints = True

    def __init__(self) -> None:
        self.pauses = 0
        self.expects = 0
        self.during: Callable[[], bool] = lambda: True
        """What happens during a pause; whether a hint comes."""

    def wait(self, seconds: float) -> bool:
        self.pauses += 1
        return self.during()

    def wake(self) -> None:
        pass

    def expect_messages(self) -> None:
        self.expects += 1


class Reader:
    """A thread that reads after each wait, as the change feed does."""

    def __init__(self, notifier: CommitNotifier) -> None:
        self.notifier = notifier
        self.polls = 0
        self.news = False
        self.since, self.taken = notifier.commits, notifier.taken

    def read(self) -> None:
        self.since, self.taken = self.notifier.commits, self.notifier.taken

    def changed(self) -> bool:
        self.polls += 1
        return self.news

    def wait(self, *, reads_at_hint: bool = True) -> int:
        """How many polls it took."""
        self.polls = 0
        self.notifier.wait(
            self.since, SHORT, self.changed, taken=self.taken, reads_at_hint=reads_at_hint
        )
        return self.polls


@pytest.fixture
def hints() -> Hints:
    return Hints()


@pytest.fixture
def reader(hints: Hints) -> Reader:
    """One that has waited once."""
    made = Reader(CommitNotifier(lambda: hints))
    assert made.wait() == 1  # of what was committed before the pause could notice it
    hints.pauses = 0
    made.read()
    return made


def test_a_reader_pauses_without_a_poll_until_a_hint(reader: Reader, hints: Hints) -> None:
    for count in (1, 2, 3):
        assert reader.wait() == 0
        assert hints.pauses == count
        reader.read()


def test_after_a_hint_that_another_thread_took_a_reader_polls(reader: Reader, hints: Hints) -> None:
    # given a thread that takes the hint of a commit between the reader's read and its wait
    Reader(reader.notifier).wait(reads_at_hint=True)
    reader.news = True
    # then the reader finds it by a poll, without a pause
    hints.pauses = 0
    assert reader.wait() == 1
    assert hints.pauses == 0


def test_after_a_commit_that_another_thread_found_without_a_hint_a_reader_polls(
    reader: Reader, hints: Hints
) -> None:
    # given a thread that finds what no hint announced, between the reader's read and its wait
    other = Reader(reader.notifier)

    def nothing_comes() -> bool:
        other.news = True
        return False

    hints.during = nothing_comes
    other.wait(reads_at_hint=False)
    # then the reader finds it by a poll, without a pause
    reader.news, hints.pauses = True, 0
    assert reader.wait() == 1
    assert hints.pauses == 0


def test_a_hint_that_may_be_of_an_own_commit_is_no_reason_to_read(
    reader: Reader, hints: Hints
) -> None:
    # given a commit of this process, which the reader has read
    reader.notifier.notify()
    reader.read()
    # then its hint ends no wait, but is followed by a poll
    assert reader.wait() == 1
    assert hints.pauses == 2
    # and the next one, of another process, does
    reader.read()
    assert reader.wait() == 0


def test_a_commit_of_this_process_ends_a_pause_without_a_poll(reader: Reader, hints: Hints) -> None:
    def commit() -> bool:
        reader.notifier.notify()
        return False

    hints.during = commit
    assert reader.wait() == 0


def test_who_waits_for_messages_first_looks_for_those_without_a_hint(
    reader: Reader, hints: Hints
) -> None:
    # given a process that only reads, so that no hint says that a message came
    reader.wait()
    reader.read()
    # when a thread that has found no message before it came waits for messages now
    reader.news = True
    hints.pauses = 0
    # then it finds this one without a pause
    assert reader.wait(reads_at_hint=False) == 1
    assert hints.pauses == 0


def test_messages_are_expected_once_a_thread_waits_for_them(hints: Hints) -> None:
    # given a notifier in a process that only reads
    reader = Reader(CommitNotifier(lambda: hints))
    reader.wait()
    assert hints.expects == 0
    # when a thread waits for whatever is committed
    reader.news = True
    reader.wait(reads_at_hint=False)
    reader.wait(reads_at_hint=False)
    # then messages end pauses too
    assert hints.expects == 1
    # and from the beginning if it comes first
    first = Reader(CommitNotifier(lambda: hints))
    first.news = True
    first.wait(reads_at_hint=False)
    assert hints.expects == 2
