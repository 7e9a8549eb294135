"""How threads wait for commits: a number that rises with each commit, and a condition variable.

Rule 1: a commit between a thread's read and its wait is not lost. The thread remembers the number
before it reads, and ``wait`` returns at once if the number has risen since.
Rule 2: the commits of other processes can only be polled for. One of the waiting threads polls;
the others sleep until it stops.
Rule 3: when the polling thread stops, every thread checks for itself: a commit that one thread has
already read may be new to another.
Rule 4: a hint that something is being written only shortens the pause between two polls. It comes
before the commit can be seen, so many short pauses follow it. See ``poll_pace``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from statecast.stores.poll_pace import ANSWERED, HINTED, UNHINTED, Pause, PollPace, TimedPause

DISTRUST_SECONDS = 600.0
"""For how long polls go on without hints after a commit that none announced."""


class CommitNotifier:
    """Wakes every waiting thread on each commit."""

    def __init__(
        self,
        make_pause: Callable[[], Pause] = TimedPause,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``make_pause`` is called before the first poll."""
        self._condition = threading.Condition()
        self._commits = 0
        self._polling = False
        """Whether one of the waiting threads polls."""
        self._polls_ended = 0
        """How many threads have polled and stopped."""
        self._make_pause = make_pause
        self._pause: Pause | None = None
        self._monotonic = monotonic
        self._news_at = self._hinted_at = monotonic()
        """When something was committed here or read as new; when the last hint came."""
        self._answered = True
        """A commit was found since the last hint; none is expected."""
        self._distrusted_until = float("-inf")

    @property
    def commits(self) -> int:
        """The number of notifications so far. Remember it before you read; pass it to ``wait``."""
        return self._commits

    def notify(self) -> None:
        with self._condition:
            self._commits += 1
            self._news_at = self._monotonic()
            self._condition.notify_all()
            if self._polling and self._pause is not None:
                self._pause.wake()

    def note_news(self) -> None:
        """A read has found something new. Most commits of an idle store are reports of processes,
        which are no reason to poll more often."""
        self._news_at = self._monotonic()

    def wait(self, since: int, timeout: float, changed: Callable[[], bool] | None = None) -> None:
        """Return when ``commits`` is above ``since``, ``changed()`` is true, or time is over.

        ``changed`` is polled, by one of the waiting threads at a time; ``timeout`` is in seconds.
        """
        deadline = self._monotonic() + timeout
        while True:
            with self._condition:
                polls = changed is not None and not self._polling
                self._polling = self._polling or polls
                polls_ended = self._polls_ended
            if polls and changed is not None:
                self._poll(since, deadline, changed)
                return
            # Checked once although another thread polls: that thread may know of a commit that
            # is new to this one. What is committed from here on is new to the polling thread too.
            if changed is not None and changed():
                return
            with self._condition:
                left = deadline - self._monotonic()
                if self._commits != since or left <= 0:
                    return
                if self._polls_ended == polls_ended:
                    self._condition.wait(left)

    def _poll(self, since: int, deadline: float, changed: Callable[[], bool]) -> None:
        try:
            if self._pause is None:
                self._pause = self._make_pause()
            self._poll_until(since, deadline, changed, self._pause)
        finally:
            with self._condition:
                self._polling = False
                self._polls_ended += 1
                self._condition.notify_all()

    def _poll_until(
        self, since: int, deadline: float, changed: Callable[[], bool], pause: Pause
    ) -> None:
        surprising = asked = False
        """A commit now was not hinted at; one now is newer than the first look."""
        while not changed():
            now = self._monotonic()
            if self._commits != since:
                self._answered = self._answered or asked
                return
            if now >= deadline:
                return
            pace, quiet = self._pace(pause, now)
            seconds = pace.pause(quiet)
            surprising = pace is ANSWERED and seconds == pace.longest
            if pause.wait(min(deadline - now, seconds)):
                surprising, self._answered = False, False
                self._hinted_at = self._monotonic()
                pause.sleep(pace.shortest)
            asked = True
        self._answered = self._answered or asked
        if surprising and not pause.wait(0):
            self._distrusted_until = self._monotonic() + DISTRUST_SECONDS

    def _pace(self, pause: Pause, now: float) -> tuple[PollPace, float]:
        """The pace, and for how long it has been quiet."""
        if pause.has_hints and now >= self._distrusted_until:
            return ANSWERED if self._answered else HINTED, now - self._hinted_at
        return UNHINTED, now - self._news_at
