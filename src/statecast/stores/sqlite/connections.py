"""The connections of one process to a SQLite file: files, locks, forks, and the driver's errors.

Rule 1: a connection has one user at a time, and is never used across a fork.
Rule 2: the files are those that were opened. Before each use it is checked that their names still
lead to them: what is written into a file without a name is lost when the last process closes it.
Rule 3: after a full disk or a failed read or write the connection is closed, and so are those that
no other thread uses. The next use opens new ones.
Rule 4: an error that looks like damage may be a disk that failed once. Only a check of the file
makes it damage.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import apsw

from statecast.errors import StatecastError
from statecast.program.unix import register_at_fork
from statecast.stores.notifier import CommitNotifier
from statecast.stores.poll_pace import Pause
from statecast.stores.sqlite import file_check, file_lock, file_probe, log_note, migration, schema
from statecast.stores.sqlite.connection_pool import OpenConnections, Purpose
from statecast.stores.sqlite.driver import MACHINE_ERRORS, StoreConnection, row, rows, translate
from statecast.stores.sqlite.event_readers import EventReaders
from statecast.stores.sqlite.file_errors import unavailable, unusable
from statecast.stores.sqlite.store_file import SideFiles, StoreFile, identity_of, side_files
from statecast.stores.sqlite.write_line import WriteLine

JOURNAL_BYTES = 64 * 1024 * 1024
NAME_SECONDS = 1.0
"""For how long a first process waits for the lock of the file itself."""
READER_CACHE_KB = 2_000
"""Of each connection that reads. SQLite empties the cache when another connection has committed, so
it helps only within one read."""
CHECKPOINT_PAGES = 1_000
"""Pages in the log from which on each commit writes them into the file, as SQLite does itself."""
FORK_SECONDS = 1.0
"""For how long a fork waits for threads that use a connection."""
DAMAGED_SECONDS = 30.0
"""For how long confirmed damage is not checked again."""


class ThreadState(threading.local):
    """What a thread holds that waits for commits."""

    connection: StoreConnection | None = None
    """Its own. It closes when the thread ends."""
    generation: int = 0
    """The generation of the connection; those of an older one were closed before a fork."""
    commits: int | None = None
    """The notifier's number before this thread's last read for changes; None: no such read yet."""
    taken: int | None = None
    """The notifier's number of hints then; None: the thread has waited since."""
    version: int = 0
    """``data_version`` of the connection at that read."""


class StoreConnections:
    """The file while this process has it open. Every method may be called from any thread."""

    def __init__(
        self, path: Path, steps: Sequence[str] = schema.STEPS, *, examining: bool = False
    ) -> None:
        """``examining`` opens a damaged file too, and never migrates one."""
        self.path = path
        self.notifier = self._make_notifier()
        self.steps = steps
        self.created = False
        """Whether this process made the file."""
        self._generation = 0
        self._begin_process()
        file_check.inspect(path)
        file_probe.check_once(path, file_check.file_system(path.parent))
        self._file = StoreFile(path)
        self.event_readers = EventReaders(path)
        self._lock: file_lock.StoreLock | None = None
        try:
            file_check.check_contents(self._file)
            self._lock = file_lock.StoreLock(path)
            self._line = WriteLine(self._lock)
            unclean = self._lock_files(self._lock)
            self._check_log(self._lock)
            self._prepare(unclean, examining)
            if self._lock.alone:
                self._write_note(complete=True)
            self._lock.share()
        except BaseException:
            self._close_connections()
            self._file.close()
            if self._lock is not None:
                self._lock.abandon()
            raise
        close_before_fork(self)

    def _make_notifier(self) -> CommitNotifier:
        return CommitNotifier(partial(pause_for, Path(f"{self.path}.lock")))

    def _begin_process(self) -> None:
        self._process = os.getpid()
        self._local = ThreadState()
        self._write_turn = threading.Lock()
        self._forking = False
        """A thread forks, and holds ``_opening``."""
        self._opening = threading.Lock()
        self._confirming = threading.Lock()
        self._side_files: SideFiles | None = None
        """Of the open connections; None: not seen yet."""
        self._log_pages = 0
        """Pages in the log after this process's last commit; 0: no commit yet."""
        self._damaged_until = 0.0
        """Until then damage that was confirmed is not looked for again (monotonic)."""
        self._pool = OpenConnections()
        # Weak: the connection of a thread closes when the thread ends.
        self._open: weakref.WeakSet[StoreConnection] = weakref.WeakSet()
        self._closed = False

    # -- opening

    def _lock_files(self, lock: file_lock.StoreLock) -> bool:
        """Lock the lock file, then the file itself.

        Returns whether the last user ended without closing the store. Raises StoreUnusable if it is
        in use under another name.
        """
        deadline = time.monotonic() + NAME_SECONDS
        while True:
            unclean = lock.acquire()
            if not self._file.open(create=lock.alone):
                raise self._file.removed()
            if self._file.lock(first=lock.alone):
                return unclean
            # A process of the same name that is just opening or closing has both locks in a moment.
            if time.monotonic() > deadline:
                raise unusable(
                    self.path,
                    "{store} is in use under another name, or its lock file was removed: "
                    "let all processes name the same path, and stop them before you start again.",
                )
            lock.unlock()
            time.sleep(0.005)

    def _check_log(self, lock: file_lock.StoreLock) -> None:
        """Raises StoreUnusable if the file is not the one to which its log belongs."""
        if lock.alone:
            log_note.check_log(self._file, lock.note)
        elif (note := lock.note) is not None and note.file != self._file.identity:
            raise self._file.removed()  # the others have the log of the file before

    def _write_note(self, **what: bool) -> None:
        """Note file and log as they are; see ``log_note.write_note``."""
        if self._lock is not None:
            self._lock.note = log_note.write_note(self._file, self._lock.note, **what)

    def _after_commit(self, connection: apsw.Connection, pages: int) -> None:
        """``pages`` are in the log now. A failure here is none of the commit."""
        begun, self._log_pages = pages <= self._log_pages or not self._log_pages, pages
        with suppress(apsw.Error, StatecastError, OSError):
            if pages >= CHECKPOINT_PAGES:
                self._write_note(writing=True)
                found, done = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._write_note(complete=found == done)
            elif begun:
                self._write_note()

    def _prepare(self, unclean: bool, examining: bool) -> None:
        with self.translated(), self._use(Purpose.WRITE) as writer:
            found = migration.version(writer, self.path, self.steps)
            if found == len(self.steps) and (examining or not unclean):
                return
        if examining:
            raise unusable(
                self.path,
                "{store} is of an older version; start a server on it once, and stop it.",
            )
        self._wait_until_alone()
        with self.translated(), self._use(Purpose.WRITE) as writer:
            if unclean and found:
                migration.check(writer, self.path)
            if found < len(self.steps):
                self.created = migration.migrate(writer, self.path, self.steps) == 0

    def _wait_until_alone(self) -> None:
        """Wait for the exclusive lock, which a migration needs. Raises StoreUnavailable."""
        assert self._lock is not None
        deadline = time.monotonic() + file_lock.WAIT_SECONDS
        while not self._lock.alone:
            if time.monotonic() > deadline:
                raise unavailable(
                    self.path,
                    "{store} is of an older version and another process uses it; "
                    "stop that one first.",
                )
            time.sleep(0.01)
            self._lock.acquire()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes away. Raises StoreUnavailable if one uses the store."""
        assert self._lock is not None
        if not self._lock.try_alone():
            raise unavailable(
                self.path, "Another process uses {store}; stop it, and repair the store then."
            )
        try:
            yield
        finally:
            self._lock.share()

    # -- connections

    def _connect(self) -> StoreConnection:
        # SQLite gives the files beside the store the store's rights.
        connection = StoreConnection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            # SQLite has opened a file and not used it yet. If that is another one by now, SQLite
            # would cut off the index of our log, which the other connections have mapped.
            self._file.check()
        except BaseException:
            connection.close(force=True)
            raise
        connection.set_busy_handler(connection.busy)
        # On macOS, fsync leaves data in the cache of the disk; this makes SQLite use F_FULLFSYNC.
        rows(connection, "PRAGMA fullfsync = 1")
        rows(connection, "PRAGMA journal_mode = WAL")
        connection.set_durable(True)
        rows(connection, f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        rows(connection, "PRAGMA cache_size = -16000")
        rows(connection, "PRAGMA temp_store = MEMORY")
        # Else SQLite prepares statements with ``LIMIT ?`` and others again each time, for the sake
        # of plans that depend on the values. Ours do not.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        connection.set_wal_hook(commit_hook(self))
        self._open.add(connection)
        return connection

    def _thread_state(self) -> ThreadState:
        if self._process != os.getpid():
            self._begin_child()
        if self._closed:
            raise unavailable(self.path, "{store} was closed by this process.")
        local = self._local
        if local.generation != self._generation:
            local.connection = None
            local.generation = self._generation
        return local

    def _begin_child(self) -> None:
        # A connection that a thread of the parent was using must be neither used nor closed here.
        self._inherited = (getattr(self, "_inherited", ()), self._open, self._pool, self._local)
        self._begin_process()
        self.notifier = self._make_notifier()
        if self._lock is not None:
            self._lock.abandon()
        self.event_readers.leave()
        self._file = StoreFile(self.path)
        self._lock = file_lock.StoreLock(self.path)
        self._line = WriteLine(self._lock)
        self._lock_files(self._lock)
        self._lock.share()

    def check_file(self) -> None:
        """Raises StoreUnusable if the file was removed, replaced or cut off."""
        self._thread_state()
        self._file.check()

    @contextmanager
    def _use(self, purpose: Purpose, *, checks: bool = True) -> Iterator[StoreConnection]:
        """A connection, marked as in use: ``before_fork`` must not close it.

        Without ``checks`` it is of the files that were opened, whatever became of their names.
        """
        if checks:
            self.check_file()
        pool = self._pool
        with self._opening:
            if checks:
                self._check_side_files()
            connection = pool.take(purpose) or self._another(purpose)
        try:
            yield connection
        except MACHINE_ERRORS:
            self._close(connection)
            raise
        finally:
            if connection.side_files is None:  # SQLite makes them at the first statement
                connection.side_files = self._side_files = side_files(self.path)
            forked = self._process != os.getpid() or self._pool is not pool
            if not forked and not pool.give_back(connection, purpose):
                self._close(connection)

    def _close(self, connection: StoreConnection) -> None:
        self._open.discard(connection)  # first: the last one that closes removes the log
        connection.close(force=True)

    def _another(self, purpose: Purpose) -> StoreConnection:
        """A new connection, or the one of this thread that waits, marked as in use."""
        local = self._thread_state()
        connection = local.connection if purpose is Purpose.WAIT else None
        if connection is None:
            connection = self._connect()
            if purpose is not Purpose.WRITE:
                rows(connection, "PRAGMA query_only = 1")
                rows(connection, f"PRAGMA cache_size = -{READER_CACHE_KB}")
            if purpose is Purpose.WAIT:
                local.connection = connection
        self._pool.note_use(connection)
        return connection

    def _check_side_files(self) -> None:
        """Raises StoreUnusable if the log is not that of the open connections any more.

        A new connection would make another one, which knows nothing of the commits in the first.
        """
        found = side_files(self.path)
        if found == self._side_files:
            return
        if any(one.side_files not in (None, found) for one in set(self._open)):
            raise unusable(
                self.path,
                "The log of {store} was removed or replaced while it was used; stop the server, "
                "which then writes into the store what it has, and start it again.",
            )
        self._side_files = found  # the last connection closed, and SQLite removed its log

    def before_fork(self) -> None:
        """Close all connections, and let no thread open one until the fork is over.

        SQLite's own record of its locks would be wrong in the child: what another thread has locked
        at the fork would stay locked there for ever. So threads that use a connection come to their
        end first; one that takes longer than FORK_SECONDS keeps it.
        """
        if self._process != os.getpid():
            return
        self._opening.acquire()
        self._forking = True
        deadline = time.monotonic() + FORK_SECONDS
        while self._pool.others_use() and time.monotonic() < deadline:
            time.sleep(0.001)
        self._generation += 1
        self._pool.empty()
        for connection in set(self._open) - self._pool.in_use:
            self._close(connection)

    def after_fork(self) -> None:
        """In the parent: threads may open connections again. The child begins with its own lock."""
        if self._forking:
            self._forking = False
            self._opening.release()

    def _close_connections(self) -> None:
        """Close this thread's connection and those without a user; the next use opens new ones."""
        own, self._local.connection = self._local.connection, None
        for connection in (*self._pool.empty(), own):
            if connection is not None:
                self._close(connection)

    # -- errors

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the driver's errors into ours; close the connections after those of the machine."""
        try:
            yield
        except apsw.Error as error:
            if isinstance(error, MACHINE_ERRORS):
                self._close_connections()
            raise self._translate(error) from error

    def _translate(self, error: apsw.Error) -> StatecastError:
        """The error as a sentence: what became of the file explains more than what SQLite met."""
        try:
            self._file.check()
        except StatecastError as cause:
            return cause
        if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
            return self._confirm_damage(error)
        return translate(self.path, error)

    def _confirm_damage(self, error: apsw.Error) -> StatecastError:
        """Check the file, at most once in a while: a disk that failed once has damaged nothing."""
        if time.monotonic() < self._damaged_until:
            return translate(self.path, error)
        if not self._confirming.acquire(blocking=False):
            return unavailable(self.path, "{store} is being checked, because a read of it failed.")
        try:
            connection = self._connect()
            self._open.discard(connection)
            try:
                found = rows(connection, "PRAGMA quick_check(1)")[0][0]
            finally:
                connection.close(force=True)
        except (apsw.CorruptError, apsw.NotADBError):
            found = str(error)
        except apsw.Error as failure:
            return translate(self.path, failure)
        finally:
            self._confirming.release()
        if found == "ok":
            return unavailable(
                self.path, "The disk of {store} failed for a moment; a check found the file whole."
            )
        self._damaged_until = time.monotonic() + DAMAGED_SECONDS
        return translate(self.path, error)

    # -- closing

    def close(self) -> None:
        """Write the log into the file and close it; a second call does nothing."""
        if self._closed or self._process != os.getpid():
            return
        # While another connection reads, or the disk is full, the log stays beside the file:
        # nothing is lost.
        with (
            suppress(StatecastError, OSError),
            self.translated(),
            self._use(Purpose.WRITE) as connection,
        ):
            self._write_note(writing=True)
            busy, *_ = row(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
            self._write_note(complete=not busy)
        self._closed = True
        self.notifier.notify()
        whole = self._may_checkpoint()
        for connection in list(self._open):
            if not whole:  # the log stays, for a repair of the store
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            with suppress(apsw.Error):  # its thread may be using it, and finds the store closed
                connection.close(force=True)
        self._open.clear()
        self.event_readers.leave()
        self._file.close(in_use=bool(self._pool.in_use))
        if self._lock is not None:
            self._lock.release(clean=whole)

    def _may_checkpoint(self) -> bool:
        """Whether the log belongs into the file of this name, and makes it whole."""
        try:
            self._file.check()
            return True
        except StatecastError:
            idle = next(iter(set(self._open) - self._pool.in_use), None)
            if self._file.identity != identity_of(self.path) or idle is None:
                return False
        with suppress(apsw.Error):  # it was cut off: the log may hold all that is missing
            rows(idle, "PRAGMA shrink_memory")  # what is in memory is not in the file
            return rows(idle, "PRAGMA quick_check(1)") == [("ok",)]
        return False


def pause_for(lock: Path) -> Pause:
    """Pauses that end with the commits of other processes, where the system has them."""
    from statecast.stores.sqlite import commit_watch  # a program that only sends does not poll

    return commit_watch.pause_for(lock)


def commit_hook(database: StoreConnections) -> Callable[[apsw.Connection, str, int], int]:
    """The hook of a connection. It must not keep the database alive."""
    reference = weakref.ref(database)

    def hook(connection: apsw.Connection, name: str, pages: int) -> int:
        if (database := reference()) is not None:
            database._after_commit(connection, pages)
        return apsw.SQLITE_OK

    return hook


def close_before_fork(database: StoreConnections) -> None:
    """Register the hook. It cannot be removed again, so it must not keep the database alive."""
    reference = weakref.ref(database)

    def before() -> None:
        if (database := reference()) is not None:
            database.before_fork()

    def in_parent() -> None:
        if (database := reference()) is not None:
            database.after_fork()

    register_at_fork(before=before, after_in_parent=in_parent)
