"""Which processes read the application events of a store: each holds a lock while it does.

Rule 1: a process takes the lock before its first read, so before its first viewer. An emit to
such a viewer asks afterwards, and finds the lock.
Rule 2: the lock ends with the process, however that ends, and lasts as long as it is only stopped.
A row with a time would say too early that a stopped process is gone.

The lock is shared, on one byte of ``<store>.lock`` far behind its content: a lock of an open file
description (OFD), which other stores of the same process see too. It has nothing to do with the
locks of that file that ``file_lock`` takes (flock). Where Python knows no such locks (macOS),
other readers are taken for granted.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from statecast.program.unix import fcntl
from statecast.stores.sqlite.file_errors import os_error

SUPPORTED = hasattr(fcntl, "F_OFD_GETLK")
FLOCK = struct.Struct("@hhqqi")
"""``struct flock``: type, whence, start, length, process; ``man 2 fcntl``."""
AT = 2**40
"""The byte that is locked."""


def request(kind: int) -> bytes:
    return FLOCK.pack(kind, os.SEEK_SET, AT, 1, 0)


class EventReaders:
    """The readers of one store, seen from this process."""

    def __init__(self, store: Path) -> None:
        self._path = Path(f"{store}.lock")
        self._file = -1

    def join(self) -> None:
        """Become one of them, until ``leave``. Raises StoreUnavailable or StoreUnusable."""
        if not SUPPORTED or self._file >= 0:
            return
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, request(fcntl.F_RDLCK))
        except OSError as error:
            self.leave()
            raise os_error(self._path, error) from error

    def has_others(self) -> bool:
        """Whether another process is one of them, as far as is known here."""
        if self._file < 0:
            return True
        try:
            found = fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, request(fcntl.F_WRLCK))
        except OSError:
            return True
        kind: int = FLOCK.unpack_from(found)[0]
        return kind != fcntl.F_UNLCK

    def leave(self) -> None:
        """End the lock. In a forked child it stays with the parent."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)
