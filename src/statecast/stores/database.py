"""One SQLite file: connections, transactions, migrations, and the errors of the driver in our words.

Rule 1: one connection per thread and purpose, never across a fork.
Rule 2: every write is ``BEGIN IMMEDIATE`` and compares ``user_version``.
Rule 3: no cursor stays open: an open one pins an old snapshot. Hence ``rows`` and ``row``.
Rule 4: after a full disk or a failed read or write the thread's connections are closed; the next use opens anew.
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from statecast.errors import StatecastError, StoreUnavailable, StoreUnusable
from statecast.stores import guard, schema
from statecast.stores.bell import Bell

BUSY_SECONDS = 5.0
JOURNAL_BYTES = 64 * 1024 * 1024

BROKEN = (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.CantOpenError, apsw.ReadOnlyError)


Bindings = Sequence[Any] | Mapping[str, Any]


def rows(connection: apsw.Connection, sql: str, bindings: Bindings = ()) -> list[Any]:
    return connection.execute(sql, bindings).fetchall()


def row(connection: apsw.Connection, sql: str, bindings: Bindings = ()) -> Any:
    """The first row or None."""
    found = connection.execute(sql, bindings).fetchall()
    return found[0] if found else None


def data_version(connection: apsw.Connection) -> int:
    """A number that changes with every commit of another connection, of this process or not."""
    # The PRAGMA: the method of that name asks the pager, which has not looked at the file since the last read.
    return int(row(connection, "PRAGMA data_version")[0])


class Local(threading.local):
    """What one thread holds."""

    reader: apsw.Connection | None = None
    writer: apsw.Connection | None = None
    process: int = 0
    rings: int | None = None
    """The bell's number before this thread last looked; None: it never looked."""
    version: int = 0
    """``data_version`` of the reader at that look."""


class Database:
    """The file, from open to close. May be used from any thread."""

    def __init__(self, path: Path, steps: Sequence[str] = schema.STEPS) -> None:
        self.path = path
        self.bell = Bell()
        self.steps = steps
        self.created = False
        self._begin()
        guard.inspect(path)
        self._lock = guard.Lock(path)
        try:
            unclean = self._lock.enter()
            self._prepare(unclean)
            self._lock.share()
        except BaseException:
            self._forget()
            self._lock.drop()
            raise

    def _begin(self) -> None:
        self._process = os.getpid()
        self._local = Local()
        self._turn = threading.Lock()
        self._open: weakref.WeakSet[apsw.Connection] = weakref.WeakSet()  # those of ended threads close themselves
        self._closed = False

    # -- opening

    def _prepare(self, unclean: bool) -> None:
        with self.translated():
            writer = self._writer()
            found = self._version(writer)
            if found == len(self.steps) and not unclean:
                return
        self._alone()
        with self.translated():
            if unclean and found:
                self._check(writer)
            if found < len(self.steps):
                self._migrate(writer)

    def _alone(self) -> None:
        """A migration needs the store for itself."""
        deadline = time.monotonic() + guard.PATIENCE
        while not self._lock.alone:
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"{self.path} is of an older version and another process uses it; stop that one first."
                )
            time.sleep(0.01)
            self._lock.enter()

    def _version(self, connection: apsw.Connection) -> int:
        """The version of the tables; 0 for a new file. Raises StoreUnusable for a file that is not ours."""
        application = row(connection, "PRAGMA application_id")[0]
        version: int = row(connection, "PRAGMA user_version")[0]
        tables = row(connection, "SELECT count(*) FROM sqlite_master")[0]
        if application != schema.APPLICATION_ID and (application or version or tables):
            raise StoreUnusable(f"{self.path} belongs to another program; name another file as the store.")
        if version > len(self.steps):
            raise StoreUnusable(
                f"{self.path} is of version {version}, written by a newer Statecast (this one knows up to "
                f"{len(self.steps)}); install that one."
            )
        return version

    def _check(self, connection: apsw.Connection) -> None:
        found = rows(connection, "PRAGMA quick_check(1)")
        if found != [("ok",)]:
            raise StoreUnusable(f"{self.path} is damaged ({found[0][0]}); restore it from a backup.")

    def _migrate(self, connection: apsw.Connection) -> None:
        rows(connection, "BEGIN IMMEDIATE")
        try:
            version = self._version(connection)
            self.created = version == 0
            for step in self.steps[version:]:
                rows(connection, step)
            rows(connection, f"PRAGMA application_id = {schema.APPLICATION_ID}")
            rows(connection, f"PRAGMA user_version = {len(self.steps)}")
            rows(connection, "COMMIT")
        except BaseException:
            if connection.in_transaction:
                rows(connection, "ROLLBACK")
            raise

    # -- connections

    def _connect(self) -> apsw.Connection:
        mask = os.umask(0o077)
        try:
            connection = apsw.Connection(str(self.path))
        finally:
            os.umask(mask)
        connection.set_busy_handler(Patience())
        rows(connection, "PRAGMA journal_mode = WAL")
        rows(connection, "PRAGMA synchronous = FULL")
        rows(connection, f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        rows(connection, "PRAGMA cache_size = -16000")
        rows(connection, "PRAGMA temp_store = MEMORY")
        self._open.add(connection)
        return connection

    def _mine(self) -> Local:
        if self._process != os.getpid():
            # A fork: the parent's connections must be neither used nor closed here, only left alone.
            self._inherited = [*getattr(self, "_inherited", []), self._open, self._local]
            self.bell = Bell()
            self._begin()
        if self._closed:
            raise StoreUnavailable(f"The store {self.path} was closed by this process.")
        return self._local

    def _reader(self) -> apsw.Connection:
        local = self._mine()
        if local.reader is None:
            local.reader = self._connect()
            rows(local.reader, "PRAGMA query_only = 1")
        return local.reader

    def _writer(self) -> apsw.Connection:
        local = self._mine()
        if local.writer is None:
            local.writer = self._connect()
        return local.writer

    def _forget(self) -> None:
        """Close this thread's connections; the next use opens them anew."""
        local = self._local
        for connection in (local.reader, local.writer):
            if connection is not None:
                self._open.discard(connection)
                connection.close(force=True)
        local.reader = local.writer = None

    # -- transactions

    @contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """A snapshot. Remembers what was seen, so that ``wait`` misses nothing after it."""
        with self.translated():
            local = self._mine()
            rings = self.bell.rings
            connection = self._reader()
            rows(connection, "BEGIN")
            try:
                local.version = data_version(connection)
                local.rings = rings
                yield connection
            finally:
                if connection.in_transaction:
                    rows(connection, "COMMIT")

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[apsw.Connection]:
        """A transaction that has the file for itself; committed when the block ends, durable unless told otherwise."""
        with self.translated():
            connection = self._writer()
            if not self._turn.acquire(timeout=BUSY_SECONDS):
                raise StoreUnavailable(f"Another thread has been writing to {self.path} for {BUSY_SECONDS:g} seconds.")
            try:
                rows(connection, "PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
                rows(connection, "BEGIN IMMEDIATE")
                try:
                    self._compare(connection)
                    yield connection
                    changed = connection.total_changes() != self._before
                    rows(connection, "COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        rows(connection, "ROLLBACK")
                    raise
            finally:
                self._turn.release()
        if changed:
            self.bell.ring()

    def _compare(self, connection: apsw.Connection) -> None:
        version = row(connection, "PRAGMA user_version")[0]
        if version != len(self.steps):
            raise StoreUnusable(
                f"{self.path} is of version {version} now, this process works with {len(self.steps)}; restart it."
            )
        self._before = connection.total_changes()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Errors of the driver become ours; after those of the machine the connections are opened anew."""
        try:
            yield
        except BROKEN as error:
            self._forget()
            raise translate(self.path, error) from error
        except apsw.Error as error:
            raise translate(self.path, error) from error

    # -- waiting

    def wait(self, timeout: float) -> None:
        """Return when anything was committed since this thread last looked, or after ``timeout`` seconds."""
        with self.translated():
            local = self._mine()
            reader = self._reader()
            if local.rings is None:
                local.rings, local.version = self.bell.rings, data_version(reader)
            self.bell.wait(local.rings, timeout, lambda: data_version(reader) != local.version)
            local.rings, local.version = self.bell.rings, data_version(reader)

    # -- closing

    def close(self) -> None:
        """Checkpoint and let go; a second call does nothing."""
        if self._closed or self._process != os.getpid():
            return
        # Where somebody reads just now, or the disk is full, the log stays beside the file: nothing is lost.
        with suppress(StatecastError), self.translated():
            rows(self._writer(), "PRAGMA wal_checkpoint(TRUNCATE)")
        self._closed = True
        self.bell.ring()
        for connection in list(self._open):
            with suppress(apsw.Error):  # its thread is using it just now and finds the store closed
                connection.close(force=True)
        self._open.clear()
        self._lock.leave()


class Patience:
    """The busy handler: short, uneven naps, so that a busy writer does not starve the others."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.until = 0.0

    def __call__(self, tries: int) -> bool:
        now = self.monotonic()
        if tries == 0:
            self.until = now + BUSY_SECONDS
        if now > self.until:
            return False
        time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311
        return True


def translate(path: Path, error: apsw.Error) -> StatecastError:
    """The driver's error in a sentence that says what to do."""
    if isinstance(error, apsw.FullError):
        return StoreUnavailable(f"The disk of {path} is full; free some space. Nothing was lost.")
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return StoreUnusable(f"{path} is damaged ({error}); restore it from a backup.")
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return StoreUnavailable(f"Another process has been writing to {path} for {BUSY_SECONDS:g} seconds; try again.")
    if isinstance(error, (apsw.ReadOnlyError, apsw.PermissionsError)):
        return StoreUnavailable(f"{path} may not be written; check its rights, its folder's and its file system's.")
    if isinstance(error, apsw.CantOpenError):
        return StoreUnavailable(f"{path} cannot be opened; check that its folder exists and may be written.")
    if isinstance(error, apsw.IOError):
        return StoreUnavailable(f"The disk of {path} failed ({error}); the write was not confirmed.")
    if isinstance(error, apsw.ConnectionClosedError):
        return StoreUnavailable(f"The store {path} was closed by this process.")
    return StoreUnavailable(f"The store {path} failed: {error}.")
