"""Locks of the operating system: which processes use a store's file, which consumes a source.

Rule 1: every process that uses the store holds ``<store>.lock`` shared; a migration holds it alone.
Rule 2: the lock file says ``open`` while any process uses the store. A process that finds ``open``
while it has the lock alone must check the file: the last user did not close the store.
Rule 3: a lease is a lock on ``<store>.lease-<source>``. It needs no clock and no idle writes, and
after a crash another process has it within milliseconds. Its term, which rises with every take-over
and is compared in every commit, stops a holder that has lost the lock without noticing. The file
says which process holds the lock and when it noted progress, by the monotonic clock, which all
processes of a host share.
Rule 4: a serving process holds such a lock under its own id, and a free one says that the process
has ended. No second process ever takes it, so this file is deleted.
"""

from __future__ import annotations

import glob
import hashlib
import os
import socket
import time
import urllib.parse
from contextlib import suppress
from pathlib import Path

from statecast.program.unix import fcntl, pread, pwrite
from statecast.stores.leases import LeaseHolder
from statecast.stores.sqlite.file_errors import os_error, unavailable, unusable
from statecast.stores.sqlite.log_note import Note

RESTORING = b"restoring"
MARK_BYTES, NOTE_BYTES = 16, 1_008
"""Parts of the lock file: the mark, and the note about file and log. Both are one write."""
WAIT_SECONDS = 5.0
"""For how long to wait while another process opens or migrates the store."""
PROGRESS_INTERVAL = 5.0
"""Seconds between two notes of progress in a lease file."""
HOLD_ATTEMPTS = 100
MAX_NAME = 100
"""Characters of a source in the name of its lease file; a longer one is shortened by a hash."""


class StoreLock:
    """The lock file of one store, held from open to close."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.path = Path(f"{store}.lock")
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise os_error(self.path, error) from error
        self.alone = False
        """Whether this process has the lock exclusively."""

    @property
    def descriptor(self) -> int:
        """Of the open lock file; below 0: it was closed."""
        return self._file

    def acquire(self) -> bool:
        """Take the lock, alone if no other process has it.

        Returns whether the last user ended without closing the store. Raises StoreUnavailable.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            if self.try_alone():
                if self.mark == RESTORING:
                    raise unusable(
                        self.store,
                        "A restore of {store} was interrupted; "
                        "run `statecast store restore FILE` again.",
                    )
                return self.mark == b"open"
            if self._try(fcntl.LOCK_SH):
                return False
            if time.monotonic() > deadline:
                raise unavailable(
                    self.path,
                    "Another process is migrating or restoring the store ({store}); "
                    "try again later.",
                )
            time.sleep(0.005)

    def try_alone(self) -> bool:
        """Take the lock if no other process has it."""
        self.alone = self._try(fcntl.LOCK_EX)
        return self.alone

    def mark_restoring(self) -> None:
        """Mark the store as not to be opened: its files are being replaced."""
        self._write(RESTORING)
        os.fsync(self._file)

    def forget(self) -> None:
        """Mark the store as cleanly closed; what was known of the files before is void."""
        self._write(b"clean")
        self.note = None
        os.fsync(self._file)

    def share(self) -> None:
        """Mark the store as in use, and let other processes take the lock too."""
        self._write(b"open")
        fcntl.flock(self._file, fcntl.LOCK_SH)
        self.alone = False

    def unlock(self) -> None:
        """Give the lock up before another attempt."""
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self.alone = False

    def release(self, *, clean: bool = True) -> None:
        """Release the lock; the last process marks the store as cleanly closed, if it is."""
        if self._file < 0:
            return
        if clean and self._try(fcntl.LOCK_EX):
            self._write(b"clean")
        self.abandon()

    def abandon(self) -> None:
        """Release the lock without a mark, as a crash would."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def announce(self, *, messages_only: bool = False) -> None:
        """Let other processes notice a commit; ``commit_watch`` says how."""
        with suppress(OSError):  # it was closed, or its disk fails: the commit stands
            if messages_only:
                pread(self._file, 1, 0)
            else:
                os.close(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC))

    @property
    def mark(self) -> bytes:
        return pread(self._file, MARK_BYTES, 0).strip(b" \0")

    def _write(self, mark: bytes) -> None:
        if self.mark != mark:
            self._write_at(0, mark.ljust(MARK_BYTES))

    @property
    def note(self) -> Note | None:
        """What was last noted about file and log; see ``log_note``."""
        return Note.decode(pread(self._file, NOTE_BYTES, MARK_BYTES))

    @note.setter
    def note(self, note: Note | None) -> None:
        line = b"" if note is None else note.encode()
        self._write_at(MARK_BYTES, line.ljust(NOTE_BYTES))

    def _write_at(self, offset: int, data: bytes) -> None:
        try:
            pwrite(self._file, data, offset)
        except OSError as error:
            raise os_error(self.path, error) from error

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise os_error(self.path, error) from error
        return True


class FileLease:
    """An open, locked file.

    The file is never deleted: then two processes could hold locks on two files of one name.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._process = os.getpid()
        self._noted_at = 0.0
        self.term = 0
        self.note_progress()

    def note_progress(self) -> None:
        """Write process and time into the file, at most every few seconds."""
        now = time.monotonic()
        if now - self._noted_at < PROGRESS_INTERVAL or self._file < 0:
            return
        self._noted_at = now
        with suppress(OSError):  # a full disk ends no lease; the lock is what counts
            pwrite(self._file, b"%-31s\n" % (b"%d %.1f" % (self._process, now)), 0)

    def release(self) -> None:
        if self._file < 0:
            return
        if self._process == os.getpid():
            # A child that was forked meanwhile has the file open too: closing alone would leave
            # the lock with the child.
            fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)
        self._file = -1

    def after_fork(self) -> None:
        """In a child: close the inherited file, so that the lock ends with its holder."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        self.release()


def lease_holder(store: Path, source: str) -> LeaseHolder | None:
    """Which process holds the lease, and how long ago it noted progress; None: none, or unknown."""
    try:
        file = os.open(lease_file(store, source), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        pid, _, noted_at = pread(file, 64, 0).partition(b" ")
        with suppress(ValueError):  # one that has written nothing: its disk was full
            idle = max(0.0, time.monotonic() - float(noted_at))
            return LeaseHolder(int(pid), idle, socket.gethostname())
    finally:
        os.close(file)
    return None


def take_lease(store: Path, source: str) -> FileLease | None:
    """Lock the source's lease file; None at once if another process has locked it."""
    path = lease_file(store, source)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise os_error(path, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except OSError as error:
        os.close(file)
        raise os_error(path, error) from error
    return FileLease(file)


def hold_process(store: Path, process: str) -> FileLease | None:
    """Take the lock that ends with this process; None if a fork of it has it.

    Raises StoreUnavailable.
    """
    for _ in range(HOLD_ATTEMPTS):
        lease = take_lease(store, process_lock(process))
        # Another process may have found the new file before it was locked: it looks at the lock,
        # and deletes the file.
        if lease is not None and lease_file(store, process_lock(process)).exists():
            return lease
        time.sleep(0.001)
    return None


def process_lock(process: str) -> str:
    """The name of the lock of a serving process, beside those of sources and reactions."""
    return f"process:{process}"


def has_ended(store: Path, process: str) -> bool:
    """Whether the lock of a process is free. Without the file it is not known, which is no."""
    try:
        file = os.open(lease_file(store, process_lock(process)), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def remove_process(store: Path, process: str) -> None:
    """Delete the lock file of a process that has ended."""
    if has_ended(store, process):
        with suppress(OSError):
            lease_file(store, process_lock(process)).unlink()


def remove_ended(store: Path) -> None:
    """Delete what is left of processes of which the store knows nothing any more."""
    start = lease_file(store, process_lock("")).name
    for file in store.parent.glob(f"{glob.escape(start)}*"):
        remove_process(store, file.name.removeprefix(start))


def lease_file(store: Path, source: str) -> Path:
    """``<store>.lease-<source>``, escaped as in a URL."""
    name = urllib.parse.quote(source, safe="")
    if len(name) > MAX_NAME:
        name = name[:60] + "-" + hashlib.sha256(source.encode()).hexdigest()[:32]
    return Path(f"{store}.lease-{name}")
