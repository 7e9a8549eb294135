"""How threads wait for commits: a number that rises with each commit, and a condition variable.

Rule 1: a commit between a thread's read and its wait is not lost. The thread remembers the number
before it reads, and ``wait`` returns at once if the number has risen since.
Rule 2: the commits of other processes can only be polled for. One of the waiting threads polls;
the others sleep until it stops.
Rule 3: when the polling thread stops, every thread checks for itself: a commit that one thread has
already read may be new to another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

POLL_SECONDS = 0.02
"""Time between two polls for commits of other processes."""


class CommitNotifier:
    """Wakes every waiting thread on each commit."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._commits = 0
        self._polling = False
        """Whether one of the waiting threads polls."""
        self._polls_ended = 0
        """How many threads have polled and stopped."""

    @property
    def commits(self) -> int:
        """The number of notifications so far. Remember it before you read; pass it to ``wait``."""
        return self._commits

    def notify(self) -> None:
        with self._condition:
            self._commits += 1
            self._condition.notify_all()

    def wait(self, since: int, timeout: float, changed: Callable[[], bool] | None = None) -> None:
        """Return when ``commits`` is above ``since``, ``changed()`` is true, or time is over.

        ``changed`` is polled, by one of the waiting threads at a time; ``timeout`` is in seconds.
        """
        deadline = time.monotonic() + timeout
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
                left = deadline - time.monotonic()
                if self._commits != since or left <= 0:
                    return
                if self._polls_ended == polls_ended:
                    self._condition.wait(left)

    def _poll(self, since: int, deadline: float, changed: Callable[[], bool]) -> None:
        try:
            while not changed():
                with self._condition:
                    left = deadline - time.monotonic()
                    if self._commits != since or left <= 0:
                        return
                    self._condition.wait(min(left, POLL_SECONDS))
        finally:
            with self._condition:
                self._polling = False
                self._polls_ended += 1
                self._condition.notify_all()
