"""Group commit: the writes of many threads share one transaction, and so one wait for the disk.

Rule 1: a thread that finds no commit running commits at once. A lone write waits for nothing.
Rule 2: writes that come meanwhile queue. When the commit ends, the thread of the oldest of them
commits all of them, in their order. No thread of its own is needed, and none commits for ever.
Rule 3: the threads of the last group were woken together, and often write again at once. So the
next group waits for as many writes, a millisecond at most. Without that one of these threads would
be committed alone, and the others behind it: twice as many transactions.
Rule 4: each thread of a group wakes the next one, as the first thing that it does. A thread that
was interrupted is left out. Woken all at once they would contend for Python's lock.
Rule 5: a write that is refused fails alone. If the transaction fails, all of its writes do.
Rule 6: a defect in one write is not that of the others: they are committed one by one then.
Rule 7: nothing here knows a database. ``commit`` gets the writes, and sets the outcome of each.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import IntEnum
from itertools import islice
from typing import Any, Generic, Self, TypeVar

from statecast.errors import STORE_ERRORS, StatecastError, StoreUnavailable
from statecast.program.unix import in_children

Write = TypeVar("Write")

MOST = 256
"""Writes of one transaction: other processes wait for it."""
GATHER_SECONDS = 0.001
"""For how long a group waits for as many writes as the last one had."""
WAIT_SECONDS = 5.0
"""For how long a write waits for the transactions before its own."""


class WriteStatus(IntEnum):
    """Where a write is. It goes from one to the next, and may leave out LEADING."""

    WAITING = 1
    LEADING = 2
    """Its thread has the turn to commit, and has not begun."""
    COMMITTING = 3
    """It is part of a transaction, of its own thread or of another."""
    DONE = 4
    """Its outcome is known, or its thread does not wait for one any more."""


class QueuedWrite(Generic[Write]):
    """A write on its way through a group commit."""

    __slots__ = ("error", "group", "next", "result", "status", "woken", "write")

    def __init__(self, write: Write) -> None:
        self.write = write
        self.result: Any = None
        self.error: BaseException | None = None
        self.status = WriteStatus.WAITING
        self.group: list[QueuedWrite[Write]] = []
        """The writes of its transaction, if its own thread commits it."""
        self.next: QueuedWrite[Write] | None = None
        """The write of its group whose thread its own thread wakes, once it is woken itself."""
        self.woken = threading.Lock()
        """Released when its thread has to go on: it has the turn, or the outcome is known."""
        self.woken.acquire()

    def refusing(self) -> Self:
        """For a block: keep what refuses this write alone. Failures of the store are those of all.

        A generator would cost each write 1 us.
        """
        return self

    def __enter__(self) -> None:
        """See ``refusing``."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, StatecastError) or isinstance(error, STORE_ERRORS):
            return False
        self.error = error
        return True

    def wake(self) -> None:
        try:
            self.woken.release()
        except RuntimeError:  # it was woken already; ``suppress`` costs more than the release
            return

    def wake_next(self) -> None:
        if self.next is not None:
            self.next.wake()

    def outcome(self) -> Any:
        """The result. Raises the error."""
        error, self.error = self.error, None
        if error is None:
            return self.result
        try:
            raise error
        finally:
            del error  # it would keep its own frames


class EverythingRefused(Exception):
    """Each write of a group is refused, so that the transaction writes nothing."""


class GroupCommit(Generic[Write]):
    """The writes of one process to one store. Every method may be called from any thread."""

    def __init__(self, commit: Callable[[Sequence[QueuedWrite[Write]]], None]) -> None:
        """``commit`` writes all in one transaction and sets each ``result``, or ``error``.

        It raises what makes the transaction fail, and EverythingRefused to write nothing.
        """
        self._commit = commit
        self.begin_process()
        in_children(self, GroupCommit.begin_process)

    def begin_process(self) -> None:
        """Forget the writes of a parent: its threads do not exist in a forked child."""
        self._lock = threading.Lock()
        self._waiting: deque[QueuedWrite[Write]] = deque()
        self._leader: QueuedWrite[Write] | None = None
        """Its thread commits, or has been given the turn."""
        self._last_size = 1
        """Writes of the last group."""

    def waiting(self) -> int:
        """How many writes wait for a transaction."""
        return len(self._waiting)

    def run(self, write: Write) -> Any:
        """Commit a write, alone or with others; its result.

        Raises what refuses it, or what made the transaction fail.
        """
        own = QueuedWrite(write)
        try:
            self._queue(own)
            if own.status is not WriteStatus.LEADING:  # a group may have it already
                self._wait(own)
                own.wake_next()
            if own.status is WriteStatus.LEADING:
                self._lead(own)
        except BaseException as error:  # a signal may come between any two steps
            self._leave(own, error)
            raise
        return own.outcome()

    def _queue(self, own: QueuedWrite[Write]) -> None:
        with self._lock:
            self._waiting.append(own)
            if self._leader is None:
                self._leader, own.status = own, WriteStatus.LEADING
            elif len(self._waiting) == self._last_size:
                self._leader.wake()

    def _wait(self, own: QueuedWrite[Write]) -> None:
        """Return when a write is done or has the turn. Raises StoreUnavailable after a while."""
        if own.woken.acquire(timeout=WAIT_SECONDS):
            return
        if self._withdraw(own):
            raise StoreUnavailable(
                f"Other threads have been writing to the store for {WAIT_SECONDS:g} seconds; "
                "try again."
            )
        own.woken.acquire()  # it is part of a transaction, which ends in one way or another

    def _withdraw(self, own: QueuedWrite[Write]) -> bool:
        """Take a write back, unless a transaction or the turn already has it."""
        with self._lock:
            if own.status is not WriteStatus.WAITING:
                return False
            own.status = WriteStatus.DONE
            self._waiting.remove(own)
        return True

    def _lead(self, own: QueuedWrite[Write]) -> None:
        """Commit what waits, the own write first, and give the turn to the next thread."""
        if len(self._waiting) < self._last_size:
            own.woken.acquire(timeout=GATHER_SECONDS)  # ``_queue`` releases it
        with self._lock:
            self._waiting.remove(own)
            own.group = [own, *islice(self._waiting, MOST - 1)]
            own.status, self._last_size = WriteStatus.COMMITTING, len(own.group)
            for _ in own.group[1:]:
                self._waiting.popleft().status = WriteStatus.COMMITTING
        self._commit_together(own.group)
        own.status = WriteStatus.DONE
        self._end(own)

    def _end(self, own: QueuedWrite[Write]) -> None:
        """Give the turn on, and wake the threads of the group, each by the one before it.

        A second call ends what is left.
        """
        with self._lock:
            if self._leader is own:
                follower = self._waiting[0] if self._waiting else None
                if follower is not None:
                    follower.status = WriteStatus.LEADING
                    follower.wake()
                self._leader = follower
            woken = [one for one in own.group if one.status is WriteStatus.COMMITTING]
            for one, following in zip([own, *woken], woken, strict=False):
                one.next = following
            for one in reversed(woken):  # a second call finds the others linked
                one.status = WriteStatus.DONE
        own.wake_next()

    def _leave(self, own: QueuedWrite[Write], error: BaseException) -> None:
        """Leave nothing behind, wherever a write was interrupted."""
        with self._lock:
            gone = (own, *own.group)
            self._waiting = deque(one for one in self._waiting if one not in gone)
            status, own.status = own.status, WriteStatus.DONE  # no other thread wakes it now
        if status is not WriteStatus.DONE:
            fail(own.group, interrupted(error))
        self._end(own)

    def _commit_together(self, group: Sequence[QueuedWrite[Write]]) -> None:
        try:
            self._commit(group)
        except EverythingRefused:
            pass
        except StatecastError as error:
            fail(group, error)
        except Exception as error:
            if len(group) == 1:
                fail(group, error)
                return
            for one in group:
                one.result = one.error = None
                self._commit_together([one])


def fail(group: Sequence[QueuedWrite[Any]], error: BaseException) -> None:
    """Give all writes of a transaction its error, each thread its own copy.

    What was refused was compared with writes that now have not happened, so it fails as well.
    """
    for number, one in enumerate(group):
        one.error = error if not number else copy.copy(error).with_traceback(None)
        if number:
            one.error.__cause__ = error


def interrupted(error: BaseException) -> BaseException:
    """What the other threads get when a signal interrupts the thread that commits."""
    return StoreUnavailable(
        "The write was interrupted by a signal, so it is not known whether it is in the store; "
        f"read it before you try again ({type(error).__name__})."
    )
