"""How threads wait for commits: a number that rises with each commit, and a condition variable.

Rule 1: a commit between a thread's read and its wait is not lost. The thread remembers the number
before it reads, and ``wait`` returns at once if the number has risen since.
Rule 2: the commits of other processes can only be polled for. One of the waiting threads polls;
the others sleep until it stops.
Rule 3: when the polling thread stops, or passes a commit over, every thread checks for itself: what
one thread has already read, or has no use for, may be new to another.
Rule 4: a hint that another process has committed only ends the pause between two polls. Where news
come without hints, hints are not relied on for some time.
Rule 5: a hint is taken by one thread. So a thread pauses without a poll before only if no hint was
taken since before its last read: then the hints of all commits after the read are still to come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from statecast.stores.poll_pace import HINTED, Pause, TimedPause, unhinted

DISTRUST_SECONDS = 600.0
"""For how long polls go on as without hints after news that no hint announced."""
SURPRISES = 2
"""So many in a row. A single one can be a commit that a poll found just before its hint came."""


class CommitNotifier:
    """Wakes every waiting thread on each commit."""

    def __init__(
        self,
        make_pause: Callable[[], Pause] = TimedPause,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``make_pause`` is called before the first poll."""
        self._lock = threading.RLock()  # a signal may come while it is held, and notify
        self._condition = threading.Condition(self._lock)
        self._commits = 0
        self._polling = False
        """Whether one of the waiting threads polls."""
        self._sleeping = 0
        """Threads that wait while another one polls."""
        self._looks_due = 0
        """How often the waiting threads were to look for themselves."""
        self._taken = 0
        self._commits_at_hint = 0
        """``_commits`` when a hint was taken last."""
        self._make_pause = make_pause
        self._pause: Pause | None = None
        self._expects_messages = False
        """A thread of this process has waited for messages of queues."""
        self._monotonic = monotonic
        self._news_at = monotonic()
        """When something was committed here or read as new."""
        self._surprised = False
        """The last poll found a commit that no hint had announced."""
        self._surprises = 0
        """How many of these were news, since the last hint."""
        self._distrusted_until = float("-inf")

    @property
    def commits(self) -> int:
        """The number of notifications so far. Remember it before you read; pass it to ``wait``."""
        return self._commits

    @property
    def taken(self) -> int:
        """The number of hints that were taken. Remember it before you read, too."""
        return self._taken

    def notify(self) -> None:
        with self._lock:
            self._commits += 1
            self._news_at = self._monotonic()
            if self._sleeping:
                self._condition.notify_all()
            if self._polling and self._pause is not None:
                self._pause.wake()

    def note_news(self) -> None:
        """A read has found something new. Most commits of an idle store are reports of processes:
        they are no reason to poll more often, and need no hint."""
        self._news_at = now = self._monotonic()
        surprised, self._surprised = self._surprised, False
        self._surprises += surprised
        if self._surprises >= SURPRISES:
            self._surprises = 0
            self._distrusted_until = now + DISTRUST_SECONDS

    def let_others_look(self) -> None:
        """A commit that is nothing to one thread, or known to it, may be news to another one."""
        with self._lock:
            self._looks_due += 1
            if self._sleeping:
                self._condition.notify_all()

    def wait(
        self,
        since: int,
        timeout: float,
        changed: Callable[[], bool] | None = None,
        *,
        taken: int | None = None,
        reads_at_hint: bool = False,
    ) -> None:
        """Return when ``commits`` is above ``since``, ``changed()`` is true, or time is over.

        ``changed`` is polled, by one of the waiting threads at a time; ``timeout`` is in seconds.
        ``taken`` is the number from before the thread's last read; None: it has waited since. With
        ``reads_at_hint`` the hint of another process ends it too, because the thread reads then,
        and a poll would only cost. Such a thread waits for no messages of queues.
        """
        if not reads_at_hint and not self._expects_messages:
            self._expects_messages = True
            taken = None  # until now messages came without a hint
            if self._pause is not None:
                self._pause.expect_messages()
        deadline = self._monotonic() + timeout
        while True:
            with self._lock:
                polls = changed is not None and not self._polling
                self._polling = self._polling or polls
                looks_due = self._looks_due
            if polls and changed is not None:
                self._poll(Poll(since, deadline, changed, taken, reads_at_hint))
                return
            # Checked once although another thread polls: that thread may know of a commit that
            # is new to this one. What is committed from here on is new to the polling thread too.
            if changed is not None and (self._commits != since or changed()):
                return
            with self._lock:
                left = deadline - self._monotonic()
                if self._commits != since or left <= 0:
                    return
                if self._looks_due == looks_due:
                    self._sleeping += 1
                    self._condition.wait(left)
                    self._sleeping -= 1

    def _poll(self, poll: Poll) -> None:
        try:
            if self._pause is None:
                self._pause = self._make_pause()
                self._taken += 1  # no hint came before it was made
                if self._expects_messages:
                    self._pause.expect_messages()
            self._surprised = self._poll_until(poll, self._pause)
        finally:
            self._polling = False
            self.let_others_look()

    def _poll_until(self, poll: Poll, pause: Pause) -> bool:
        """Whether it found a commit that no hint had announced."""
        is_due, timed_out = poll.taken != self._taken or not self._trusts(pause), False
        while self._commits == poll.since:
            if is_due and poll.changed():
                self._taken += timed_out  # as a hint would have been
                return timed_out and self._commits == poll.since
            now = self._monotonic()
            if now >= poll.deadline:
                break
            trusted = self._trusts(pause)
            seconds = HINTED if trusted else unhinted(now - self._news_at)
            hinted = pause.wait(min(poll.deadline - now, seconds))
            is_due, timed_out = True, trusted and not hinted
            if hinted and self._is_of_another_process() and poll.reads_at_hint:
                break
        return False

    def _trusts(self, pause: Pause) -> bool:
        """Whether hints are relied on."""
        return pause.has_hints and self._monotonic() >= self._distrusted_until

    def _is_of_another_process(self) -> bool:
        """Note a hint, and say whether it seems to be: a process gets those of its own commits too.

        One that comes before ``notify`` is taken for another process's, and costs a read.
        """
        self._taken += 1
        self._surprises = 0
        before, self._commits_at_hint = self._commits_at_hint, self._commits
        return before == self._commits_at_hint


class Poll(NamedTuple):
    """What a polling thread waits for; see ``CommitNotifier.wait``."""

    since: int
    deadline: float
    changed: Callable[[], bool]
    taken: int | None
    reads_at_hint: bool
