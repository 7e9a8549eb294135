"""The right to consume one source: a lock of the operating system, so no clock, no idle writes, and taken over
within milliseconds after a crash. The term beside it, raised with every take-over and compared in every commit,
stops a holder that lost the lock without noticing.
"""

from __future__ import annotations

import hashlib
import os
import urllib.parse
from pathlib import Path

from statecast.program.unix import fcntl
from statecast.stores.sqlite import file_lock

LONGEST_NAME = 100


class FileLease:
    """An open, locked file. It is never deleted: that would let two hold locks on two files of one name."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._process = os.getpid()
        self.term = 0

    def release(self) -> None:
        if self._file < 0:
            return
        if self._process == os.getpid():
            # Unlocked, not only closed: a child forked meanwhile has the file open too and would keep the lock.
            fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)
        self._file = -1

    def after_fork(self) -> None:
        """In a child: let go of the inherited file, lest the lock outlive its holder."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        self.release()


def take(store: Path, source: str) -> FileLease | None:
    """Lock the source's lease file, or None at once if it is locked."""
    path = lease_file(store, source)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise file_lock.unopened(path, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except OSError as error:
        os.close(file)
        raise file_lock.unopened(path, error) from error
    return FileLease(file)


def lease_file(store: Path, source: str) -> Path:
    """``<store>.lease-<source>``, with what a file name cannot carry escaped."""
    name = urllib.parse.quote(source, safe="")
    if len(name) > LONGEST_NAME:
        name = name[:60] + "-" + hashlib.sha256(source.encode()).hexdigest()[:32]
    return Path(f"{store}.lease-{name}")
