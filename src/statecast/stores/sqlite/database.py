"""One SQLite file: connections, transactions, migrations, and the errors of the driver in our words.

Rule 1: one connection per thread and purpose, never across a fork.
Rule 2: every write is ``BEGIN IMMEDIATE`` and compares ``user_version``.
Rule 3: no cursor stays open: an open one pins an old snapshot. Hence ``rows`` and ``row``.
Rule 4: the file is the one that was opened. Another one under its name, or none, is noticed before anything is
read or written: what went into a file without a name would be gone.
Rule 5: after a full disk or a failed read or write the thread's connections are closed; the next use opens anew.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw

from statecast.errors import StatecastError, StoreUnavailable, StoreUnusable
from statecast.program.unix import register_at_fork
from statecast.stores.notifier import CommitNotifier
from statecast.stores.sqlite import file_lock, schema
from statecast.stores.sqlite.driver import (
    BROKEN,
    BUSY_SECONDS,
    BusyTimeout,
    data_version,
    row,
    rows,
    translate,
)

JOURNAL_BYTES = 64 * 1024 * 1024


class Local(threading.local):
    """What one thread holds."""

    reader: apsw.Connection | None = None
    writer: apsw.Connection | None = None
    generation: int = 0
    """Of the connections: those from before a fork were closed."""
    rings: int | None = None
    """The bell's number before this thread last looked; None: it never looked."""
    version: int = 0
    """``data_version`` of the reader at that look."""


class Database:
    """The file, from open to close. May be used from any thread."""

    def __init__(self, path: Path, steps: Sequence[str] = schema.STEPS) -> None:
        self.path = path
        self.bell = CommitNotifier()
        self.steps = steps
        self.created = False
        self._generation = 0
        self._identity: tuple[int, int] | None = None
        self._begin()
        file_lock.inspect(path)
        self._lock = file_lock.Lock(path)
        try:
            unclean = self._lock.enter()
            self._prepare(unclean)
            self._identity = file_lock.identity(path)
            self._lock.share()
        except BaseException:
            self._forget()
            self._lock.drop()
            raise
        close_before_fork(self)

    def _begin(self) -> None:
        self._process = os.getpid()
        self._local = Local()
        self._turn = threading.Lock()
        self._lending = threading.Lock()
        self._lent: set[apsw.Connection] = set()
        self._open: weakref.WeakSet[apsw.Connection] = (
            weakref.WeakSet()
        )  # those of ended threads close themselves
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
        deadline = time.monotonic() + file_lock.PATIENCE
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
            raise StoreUnusable(
                f"{self.path} belongs to another program; name another file as the store."
            )
        if version > len(self.steps):
            raise StoreUnusable(
                f"{self.path} is of version {version}, written by a newer Statecast (this one knows up to "
                f"{len(self.steps)}); install that one."
            )
        return version

    def _check(self, connection: apsw.Connection) -> None:
        found = rows(connection, "PRAGMA quick_check(1)")
        if found != [("ok",)]:
            raise StoreUnusable(
                f"{self.path} is damaged ({found[0][0]}); restore it from a backup."
            )

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
            create = apsw.SQLITE_OPEN_CREATE if self._identity is None else 0
            connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE | create)
        finally:
            os.umask(mask)
        connection.set_busy_handler(BusyTimeout())
        # On macOS, fsync leaves data in the cache of the disk; this makes SQLite use F_FULLFSYNC.
        rows(connection, "PRAGMA fullfsync = 1")
        rows(connection, "PRAGMA journal_mode = WAL")
        rows(connection, "PRAGMA synchronous = FULL")
        rows(connection, f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        rows(connection, "PRAGMA cache_size = -16000")
        rows(connection, "PRAGMA temp_store = MEMORY")
        self._open.add(connection)
        return connection

    def _mine(self) -> Local:
        if self._process != os.getpid():
            self._begin_in_child()
        if self._closed:
            raise StoreUnavailable(f"The store {self.path} was closed by this process.")
        local = self._local
        if local.generation != self._generation:
            local.reader = local.writer = None
            local.generation = self._generation
        return local

    def _replaced(self) -> bool:
        return self._identity is not None and file_lock.identity(self.path) != self._identity

    def _begin_in_child(self) -> None:
        # Connections that a thread was using while the process forked must be neither used nor closed here.
        self._inherited = (getattr(self, "_inherited", ()), self._open, self._lent, self._local)
        self._begin()
        self.bell = CommitNotifier()
        self._lock.drop()
        self._lock = file_lock.Lock(self.path)
        self._lock.enter()
        self._lock.share()

    @contextmanager
    def _lend(self, writing: bool) -> Iterator[apsw.Connection]:
        """The thread's connection, marked as in use: a fork leaves it alone."""
        self._mine()
        if self._replaced():
            raise StoreUnusable(
                f"{self.path} was removed or replaced while it was used; put the right file there and restart."
            )
        with self._lending:
            connection = self._writer() if writing else self._reader()
            self._lent.add(connection)
        try:
            yield connection
        finally:
            self._lent.discard(connection)

    def before_fork(self) -> None:
        """Close what no thread is using: SQLite's bookkeeping of locks does not survive in a child."""
        if self._process == os.getpid():
            with self._lending:
                self._generation += 1
                for connection in set(self._open) - self._lent:
                    connection.close(force=True)
                    self._open.discard(connection)

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
    def read(self, looking: bool = False) -> Iterator[apsw.Connection]:
        """A snapshot. Who asks because he waits for news is ``looking``: ``wait`` misses nothing after this look.

        Other questions of the same thread must not count as looks, or what came before them would be missed.
        """
        with self.translated(), self._lend(writing=False) as connection:
            rings = self.bell.rings
            rows(connection, "BEGIN")
            try:
                if looking:
                    self._local.version = data_version(connection)
                    self._local.rings = rings
                yield connection
            finally:
                if connection.in_transaction:
                    rows(connection, "COMMIT")

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[apsw.Connection]:
        """A transaction that has the file for itself; committed when the block ends, durable unless told otherwise."""
        changed = False
        with self.translated(), self._lend(writing=True) as connection, self._my_turn():
            rows(
                connection,
                "PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL",
            )
            rows(connection, "BEGIN IMMEDIATE")
            try:
                self._compare(connection)
                before = connection.total_changes()
                yield connection
                changed = connection.total_changes() != before
                rows(connection, "COMMIT")
            except BaseException:
                if connection.in_transaction:
                    rows(connection, "ROLLBACK")
                raise
        if changed:
            self.bell.notify()

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        """Threads of one process queue up here, where waiting is cheaper than at the file."""
        turn = self._turn
        if not turn.acquire(timeout=BUSY_SECONDS):
            raise StoreUnavailable(
                f"Another thread has been writing to {self.path} for {BUSY_SECONDS:g} seconds."
            )
        try:
            yield
        finally:
            turn.release()

    def _compare(self, connection: apsw.Connection) -> None:
        version = row(connection, "PRAGMA user_version")[0]
        if version != len(self.steps):
            raise StoreUnusable(
                f"{self.path} is of version {version} now, this process works with {len(self.steps)}; restart it."
            )

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
            if local.rings is None:
                local.rings, local.version = self.bell.rings, self._data_version()
            self.bell.wait(local.rings, timeout, lambda: self._data_version() != local.version)
            local.rings, local.version = self.bell.rings, self._data_version()

    def _data_version(self) -> int:
        with self._lend(writing=False) as connection:
            return data_version(connection)

    # -- closing

    def close(self) -> None:
        """Checkpoint and let go; a second call does nothing."""
        if self._closed or self._process != os.getpid():
            return
        # Where somebody reads just now, or the disk is full, the log stays beside the file: nothing is lost.
        with suppress(StatecastError), self.translated(), self._lend(writing=True) as connection:
            rows(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
        self._closed = True
        self.bell.notify()
        for connection in list(self._open):
            if (
                self._replaced()
            ):  # the log of that name is not ours any more: neither apply nor delete it
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            with suppress(apsw.Error):  # its thread is using it just now and finds the store closed
                connection.close(force=True)
        self._open.clear()
        self._lock.leave()


def close_before_fork(database: Database) -> None:
    """The hook of the interpreter cannot be taken back: it must not keep the database alive."""
    known = weakref.ref(database)

    def hook() -> None:
        if (database := known()) is not None:
            database.before_fork()

    register_at_fork(before=hook)
