"""Pauses that end when a process has committed to a store: inotify of Linux.

A process that has committed opens and closes the store's lock file, which inotify reports
(``StoreLock.announce``). So the hint comes when the commit can be seen, and nothing is written for
it. Only a hint: other programs give none, nor does another machine that shares the folder.

A commit that only brought messages for queues is no news for most processes. For such a one the
file is read: only processes in which a thread waits for messages pause until that too.

The three calls are made by ctypes. The packages that wrap inotify look for the C library by running
other programs at their import, which costs more than all else here; the standard library lacks it.
"""

from __future__ import annotations

import ctypes
import math
import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from statecast.stores.poll_pace import Pause, TimedPause

READ, CLOSED = 0x0000_0001, 0x0000_0010
"""``IN_ACCESS`` and ``IN_CLOSE_NOWRITE`` of inotify(7)."""
EVENT_BYTES = 1_024
"""Of one read: more events than that are read by the next one. Equal ones are one."""


def pause_for(lock: Path) -> Pause:
    """Pauses with hints where the system has them."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # too many watches of this user; another C library
            return CommitWatch(lock)
    return TimedPause()


class CommitWatch:
    """Pauses that end when a file is read, by whatever process."""

    has_hints = True

    def __init__(self, lock: Path) -> None:
        """Raises OSError if the system gives no watch, AttributeError if it has none."""
        self._files: list[int] = []
        self._library: Any = ctypes.CDLL(None, use_errno=True)
        self._lock = os.fsencode(lock)
        self._announced = self._open(self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._watch(CLOSED)
        self._woken = self._open(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
        self._either = select.poll()
        for file in self._files:
            self._either.register(file, select.POLLIN)

    def _open(self, file: int) -> int:
        if file < 0:
            raise OSError(ctypes.get_errno(), "no inotify")
        self._files.append(file)
        return file

    def _watch(self, events: int) -> None:
        if self._library.inotify_add_watch(self._announced, self._lock, events) < 0:
            raise OSError(ctypes.get_errno(), "no watch")

    def expect_messages(self) -> None:
        with suppress(OSError):  # the lock file was removed: the next look at the store says so
            self._watch(READ | CLOSED)

    def wait(self, seconds: float) -> bool:
        announced = False
        for file, _ in self._either.poll(math.ceil(seconds * 1000)):
            announced = announced or file == self._announced
            with suppress(BlockingIOError):
                os.read(file, EVENT_BYTES)
        return announced

    def wake(self) -> None:
        with suppress(BlockingIOError):  # it counts to 2^64
            os.eventfd_write(self._woken, 1)

    def __del__(self) -> None:
        # Not by a method: another thread may be pausing, and a closed number is given out again.
        for file in self._files:
            os.close(file)
