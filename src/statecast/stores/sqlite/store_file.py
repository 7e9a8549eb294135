"""The file of a store: which one it is, that it is used under one name only, that it stays.

Rule 1: a process has one descriptor of the file, however many stores in it use the file, and closes
it after the last connection. Closing any descriptor of a file drops all POSIX locks that the
process has on it, and SQLite's are POSIX locks.
Rule 2: each process locks the file itself (flock), shared. The first process of a name, which has
the lock file alone, must get it exclusively. If it does not, the file is in use under another name
(a hard link, a bind mount) and with another log. The lock belongs to the inode, so no name evades
it; tools that only use SQLite do not meet it.
Rule 3: before each use the name must still lead to the file, and the file must not have shrunk.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from statecast.errors import StoreUnusable
from statecast.program.unix import fcntl, pread, register_at_fork
from statecast.stores.sqlite.file_errors import RESTORE, os_error, unusable

HEADER_BYTES = 100
MAGIC = b"SQLite format 3\0"
SIDE_FILES = ("-wal", "-shm")

Identity = tuple[int, int]
"""Device and inode."""
SideFiles = tuple[Identity | None, ...]
"""The log and its index."""


class Header(NamedTuple):
    """The first bytes of a database, as in https://www.sqlite.org/fileformat.html, 1.3."""

    page_size: int
    changes: int
    """The file change counter: it rises and never falls, also in a backup that goes on."""
    pages: int

    @classmethod
    def parse(cls, head: bytes) -> Header | None:
        """None for what is no database."""
        if len(head) < HEADER_BYTES or not head.startswith(MAGIC):
            return None
        page_size = int.from_bytes(head[16:18], "big")
        return cls(
            65536 if page_size == 1 else page_size,
            int.from_bytes(head[24:28], "big"),
            int.from_bytes(head[28:32], "big"),
        )

    @property
    def size(self) -> int:
        """How large the file was at the last checkpoint, in bytes."""
        return self.pages * self.page_size


@dataclass(slots=True)
class Descriptor:
    """The one descriptor of a file in this process."""

    number: int
    users: int = 0


class Descriptors(dict[Identity, Descriptor]):
    """Those of this process. POSIX locks belong to the process, and so do these (rule 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        register_at_fork(after_in_child=self._forget_inherited)

    def _forget_inherited(self) -> None:
        # A forked child has none of the locks, so it loses none by closing.
        self.lock = threading.Lock()
        for descriptor in self.values():
            os.close(descriptor.number)
        self.clear()


DESCRIPTORS = Descriptors()


@dataclass
class StoreFile:
    """The file of one store, from ``open`` to ``close``."""

    path: Path
    identity: Identity | None = None
    """Of the file that was opened; None: none yet."""
    _size: int = 0
    """The largest size seen, in bytes."""
    _descriptor: Descriptor | None = field(default=None, repr=False)

    def open(self, *, create: bool = False) -> bool:
        """Open the file; False if there is none. ``create``: make an empty one, for its owner."""
        if self._descriptor is not None:
            return True
        with DESCRIPTORS.lock:
            try:
                found = os.stat(self.path)
                known = DESCRIPTORS.get((found.st_dev, found.st_ino))
            except FileNotFoundError:
                known = None
            except OSError as error:
                raise os_error(self.path, error) from error
            if known is None:
                known = self._open_new(create)
                if known is None:
                    return False
            status = os.fstat(known.number)
            self.identity = status.st_dev, status.st_ino
            self._size = status.st_size
            self._descriptor = DESCRIPTORS.setdefault(self.identity, known)
            self._descriptor.users += 1
        return True

    def _open_new(self, create: bool) -> Descriptor | None:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        try:
            return Descriptor(os.open(self.path, flags, 0o600))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise os_error(self.path, error) from error

    def lock(self, *, first: bool) -> bool:
        """Lock the file as in rule 2; False if it is in use under another name."""
        assert self._descriptor is not None
        if first and self._descriptor.users > 1:
            return False
        number = self._descriptor.number
        # The change from exclusive to shared is not atomic: another name may get in between.
        # Then the second call fails.
        return (not first or self._try(number, fcntl.LOCK_EX)) and self._try(number, fcntl.LOCK_SH)

    def _try(self, number: int, kind: int) -> bool:
        try:
            fcntl.flock(number, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise os_error(self.path, error) from error
        return True

    def close(self, *, in_use: bool = False) -> None:
        """Unlock and close the file. ``in_use``: a connection may still be open (rule 1)."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        with DESCRIPTORS.lock:
            descriptor.users -= 1
            if descriptor.users:
                return
            fcntl.flock(descriptor.number, fcntl.LOCK_UN)
            if not in_use and self.identity is not None:
                del DESCRIPTORS[self.identity]
                os.close(descriptor.number)

    def header(self) -> Header | None:
        """The header as it is in the file, whatever the log holds."""
        assert self._descriptor is not None
        return Header.parse(self.read(HEADER_BYTES))

    def read(self, size: int, offset: int = 0) -> bytes:
        assert self._descriptor is not None
        try:
            return pread(self._descriptor.number, size, offset)
        except OSError as error:
            raise os_error(self.path, error) from error

    def sync(self) -> None:
        """Wait until what the file holds now is on the disk."""
        assert self._descriptor is not None
        os.fsync(self._descriptor.number)

    @property
    def size(self) -> int:
        assert self._descriptor is not None
        return os.fstat(self._descriptor.number).st_size

    def check(self) -> None:
        """Raises StoreUnusable unless the file is still there, under its name and whole."""
        known = self._size  # before the file is measured: other threads write and check meanwhile
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            raise self.removed() from None
        except OSError as error:
            raise os_error(self.path, error) from error
        if (found.st_dev, found.st_ino) != self.identity:
            raise self.removed()
        if found.st_size < known:
            self._check_shrunk(found.st_size)
        self._size = found.st_size

    def removed(self) -> StoreUnusable:
        """The error for a file that is not there any more."""
        return unusable(
            self.path,
            "{store} was removed or replaced while it was used; "
            "put the right file there and restart.",
        )

    def _check_shrunk(self, size: int) -> None:
        """VACUUM shrinks a file too, and then its header says so."""
        header = self.header()
        if header is None or header.size > size:
            raise unusable(
                self.path,
                "{store} was cut off while it was used; stop the server, "
                f"and if it does not start again, {RESTORE}.",
            )


def side_files(path: Path) -> SideFiles:
    """The files that SQLite has beside the store. They stay while a connection is open."""
    return tuple(identity_of(f"{path}{suffix}") for suffix in SIDE_FILES)


def identity_of(path: str | Path) -> Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
