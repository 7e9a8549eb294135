"""Pauses that end when a process writes into the log of a store: inotify of Linux.

Only a hint. The log is written before the commit can be seen; and where its folder is shared with
another machine or a virtual one, what is written there gives no hint at all.

The three calls are made by ctypes. The packages that wrap inotify look for the C library by running
other programs at their import, which costs more than all else here; the standard library lacks it.
"""

from __future__ import annotations

import ctypes
import math
import os
import select
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from statecast.stores.poll_pace import Pause, TimedPause

MODIFIED = 0x0000_0002
"""``IN_MODIFY`` of inotify(7)."""
EVENT_BYTES = 65_536
"""Of one read: more events than that are read by the next one."""


def pause_for(log: Path) -> Pause:
    """Pauses with hints where the system has them."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # too many watches of this user; another C library
            return LogWatch(log)
    return TimedPause()


class LogWatch:
    """Pauses that end at writes into one file, by whatever process."""

    def __init__(self, log: Path) -> None:
        """Raises OSError if the system gives no watch, AttributeError if it has none."""
        self._log = os.fsencode(log)
        self._files: list[int] = []
        self._library: Any = ctypes.CDLL(None, use_errno=True)
        self._written = self._open(self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._woken = self._open(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
        self._either = select.poll()
        for file in self._files:
            self._either.register(file, select.POLLIN)
        self.has_hints = False
        self._begin()

    def _open(self, file: int) -> int:
        if file < 0:
            raise OSError(ctypes.get_errno(), "no inotify")
        self._files.append(file)
        return file

    def _begin(self) -> None:
        """Watch the file that has the name now: SQLite deletes its log and makes another one."""
        watch = self._library.inotify_add_watch(self._written, self._log, MODIFIED)
        self.has_hints = watch >= 0

    def wait(self, seconds: float) -> bool:
        self._begin()
        found = [file for file, _ in self._either.poll(math.ceil(seconds * 1000))]
        if self._woken in found:
            with suppress(BlockingIOError):
                os.eventfd_read(self._woken)
        if self._written not in found:
            return False
        with suppress(BlockingIOError):
            os.read(self._written, EVENT_BYTES)
        return True

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wake(self) -> None:
        with suppress(BlockingIOError):  # it counts to 2^64
            os.eventfd_write(self._woken, 1)

    def __del__(self) -> None:
        # Not by a method: another thread may be pausing, and a closed number is given out again.
        for file in self._files:
            os.close(file)
