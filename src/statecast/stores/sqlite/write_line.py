"""The processes that wait to write stand in a line, so that each gets its turn.

SQLite lets the process write that asks at the right moment. One that writes without a pause asks
again at once, and could keep the others out for long.

Rule 1: a process that finds the store free and the line empty writes at once. Its turn lasts for
some transactions; after that it stands in line like the others.
Rule 2: a place is a lock on one byte of ``<store>.lock``, far behind its content. A process takes
the one behind the last, and moves up when the one before it is free. Only the first asks SQLite.
Rule 3: the system frees the places of a process that ends. One that is only stopped must not keep
the others out: a line that does not move is ignored for a while.
Rule 4: the line gives turns, and nothing else. SQLite alone decides who writes.

The locks are of an open file description (OFD), as in ``event_readers``. Where Python knows no such
locks (macOS), there is no line.
"""

from __future__ import annotations

import os
import random
import struct
import time
from collections.abc import Callable

from statecast.program.unix import fcntl
from statecast.stores.sqlite.file_lock import StoreLock

SUPPORTED = hasattr(fcntl, "F_OFD_SETLK")
FLOCK = struct.Struct("@hhqqi")
"""``struct flock``: type, whence, start, length, process; ``man 2 fcntl``."""
AT = 2**40 + 2**20
"""The byte of the first place; ``event_readers`` has another one."""
PLACES = 16
"""More processes than these wait without a place, as if there were no line."""
STUCK_SECONDS = 0.5
"""A process that has stood in line for so long does not wait for those before it."""
IGNORED_SECONDS = 5.0
"""For how long a line that did not move is ignored."""
PAUSE = (0.0002, 0.002)
"""Seconds between two looks, drawn from this range."""
TURN_SECONDS = 0.005
"""How long a turn lasts: transactions begun meanwhile do not wait for those in line. A turn of one
transaction would leave the disk idle until the next process looks."""
FIRST_PAUSE = (0.0001, 0.0005)
"""The same for the first in line: no other process looks as often."""


class WriteLine:
    """The line of one store, seen from this process. One thread at a time may use it."""

    def __init__(self, lock: StoreLock, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lock_file = lock
        self._monotonic = monotonic
        self._place: int | None = None
        """Of this process; None: it does not stand in line."""
        self._since = 0.0
        self._ignored_until = 0.0
        self._turn_ends = 0.0

    def may_pass(self) -> bool:
        """Whether this process may write at once: it has the turn, or no other process waits."""
        now = self._monotonic()
        if not SUPPORTED or now < max(self._turn_ends, self._ignored_until):
            return True
        return not self._taken(0, PLACES)

    def wait(self) -> None:
        """Stand in line, or go on standing there, for a moment. ``is_first`` may be true then."""
        if self._place is None and SUPPORTED:
            self._join()
        time.sleep(random.uniform(*(FIRST_PAUSE if self._place == 0 else PAUSE)))  # noqa: S311
        self._move_up()

    def is_first(self) -> bool:
        """Whether it is this process's turn to ask SQLite."""
        if not self._place:  # the first, or without a place
            return True
        now = self._monotonic()
        if now < self._ignored_until:
            return True
        if now - self._since > STUCK_SECONDS:
            self._ignored_until = now + IGNORED_SECONDS
            return True
        return False

    def begin_turn(self) -> None:
        """This process writes now; if it was not its turn before, one begins."""
        now = self._monotonic()
        if now >= self._turn_ends:
            self._turn_ends = now + TURN_SECONDS

    def leave(self) -> None:
        """Give the place up: this process writes now, or has given up."""
        if self._place is not None:
            self._place = None
            self._unlock(0, PLACES)

    def _join(self) -> None:
        """Take the place behind the last one, if there is one."""
        self._since = self._monotonic()
        last = next((at for at in reversed(range(PLACES)) if self._taken(at, 1)), -1)
        for place in range(last + 1, PLACES):  # another process may be quicker
            if self._lock(place):
                self._place = place
                return

    def _move_up(self) -> None:
        while self._place and self._lock(self._place - 1):
            self._unlock(self._place, 1)
            self._place -= 1

    def _taken(self, first: int, number: int) -> bool:
        """Whether another process has one of these places."""
        found = self._control(fcntl.F_OFD_GETLK, request(fcntl.F_WRLCK, first, number))
        if found is None:
            return False
        kind: int = FLOCK.unpack_from(found)[0]
        return kind != fcntl.F_UNLCK

    def _lock(self, place: int) -> bool:
        return self._control(fcntl.F_OFD_SETLK, request(fcntl.F_WRLCK, place, 1)) is not None

    def _unlock(self, first: int, number: int) -> None:
        self._control(fcntl.F_OFD_SETLK, request(fcntl.F_UNLCK, first, number))

    def _control(self, command: int, lock: bytes) -> bytes | None:
        """What ``fcntl`` returns; None if another process has the place, or the file is closed."""
        if self._lock_file.descriptor < 0:
            return None
        try:
            return fcntl.fcntl(self._lock_file.descriptor, command, lock)
        except OSError:
            return None


def request(kind: int, place: int, number: int) -> bytes:
    return FLOCK.pack(kind, os.SEEK_SET, AT + place, number, 0)
