"""One SQLite file: transactions, and waiting for those of others. See ``connections`` for the rest.

Rule 1: every write is ``BEGIN IMMEDIATE`` and compares ``user_version``.
Rule 2: no cursor stays open, because an open cursor pins an old snapshot. Hence ``rows`` and
``row``, which fetch everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from statecast.stores.sqlite.connection_pool import Purpose
from statecast.stores.sqlite.connections import StoreConnections
from statecast.stores.sqlite.driver import BUSY_SECONDS, StoreConnection, data_version, row, rows
from statecast.stores.sqlite.file_errors import unavailable, unusable

PROGRESS_STEPS = 20_000
"""Instructions of SQLite between two calls of a progress function."""


class Database(StoreConnections):
    """The file, from open to close. Every method may be called from any thread."""

    device_writes = 0
    """Transactions of this process that may have written devices without their cache."""

    # -- transactions

    @contextmanager
    def read(self, mark_read: bool = False) -> Iterator[StoreConnection]:
        """A snapshot.

        With ``mark_read``, this thread's next ``wait`` returns for every commit after the snapshot.
        Only a read for changes may set it: after any other read, the commits before that read
        would be missed.
        """
        purpose = Purpose.WAIT if mark_read else Purpose.READ
        with self.translated(), self._use(purpose) as connection:
            commits, taken = self.notifier.commits, self.notifier.taken
            rows(connection, "BEGIN")
            try:
                version = data_version(connection) if mark_read else 0
                yield connection
            finally:
                if connection.in_transaction:
                    rows(connection, "COMMIT")
        if mark_read:  # not after a read that failed: then the next wait ends with what it missed
            local = self._local
            local.commits, local.taken, local.version = commits, taken, version

    @contextmanager
    def write(
        self,
        durable: bool = True,
        notify: bool = True,
        messages_only: bool = False,
        *,
        keeps_devices: bool = False,
        on_commit: Callable[[], None] | None = None,
    ) -> Iterator[StoreConnection]:
        """An exclusive transaction, committed when the block ends; then on disk if ``durable``.

        Without ``notify`` it ends no ``wait``: it is nothing that readers read. ``messages_only``:
        it brings messages for queues at most, so it ends none of processes that only read.
        ``keeps_devices``: it writes no device, or only through the cache of devices. ``on_commit``
        is called after the commit, before the next transaction begins.
        """
        changed = False
        with self.translated(), self._own_turn(), self._use(Purpose.WRITE) as connection:
            connection.set_durable(durable)
            self._begin(connection)
            self.device_writes += not keeps_devices
            try:
                self._check_version(connection)
                before = connection.total_changes()
                yield connection
                changed = connection.total_changes() != before
                rows(connection, "COMMIT")
                if on_commit is not None:
                    on_commit()
            except BaseException:
                if connection.in_transaction:
                    rows(connection, "ROLLBACK")
                raise
        if changed and notify:
            assert self._lock is not None
            # First, so that a thread of this process that waits wakes once, for both.
            self._lock.announce(messages_only=messages_only)
            self.notifier.notify()

    def _begin(self, connection: StoreConnection) -> None:
        """Begin to write, behind the processes that wait already. Raises apsw.BusyError."""
        line, deadline = self._line, time.monotonic() + BUSY_SECONDS
        waits = not line.may_pass()
        try:
            while True:
                if waits:
                    line.wait()
                if (not waits or line.is_first()) and self._try_to_begin(connection, deadline):
                    line.begin_turn()
                    return
                waits = True
        finally:
            line.leave()

    def _try_to_begin(self, connection: StoreConnection, deadline: float) -> bool:
        """Whether no other process writes. Raises apsw.BusyError after the deadline."""
        connection.busy.waits = False
        try:
            rows(connection, "BEGIN IMMEDIATE")
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            return False
        finally:
            connection.busy.waits = True
        return True

    def copy_into(self, target: Path, progress: Callable[[int], object]) -> None:
        """Write the store as it is now into an empty file, while others read and write.

        ``progress`` gets the bytes of the whole, many times. Raises apsw.FullError, apsw.IOError
        and apsw.CantOpenError for the target.
        """
        with self._use(Purpose.WRITE) as connection:
            try:
                pages, size = (
                    row(connection, f"PRAGMA {name}")[0] for name in ("page_count", "page_size")
                )
                connection.set_progress_handler(
                    lambda: bool(progress(pages * size)) and False, PROGRESS_STEPS
                )
                rows(connection, "VACUUM INTO ?", (str(target),))
            except (apsw.FullError, apsw.IOError, apsw.CantOpenError):
                self._file.check()
                raise
            except apsw.Error as error:
                raise self._translate(error) from error
            finally:
                connection.set_progress_handler(None)

    def scrub(self) -> bool:
        """Write the whole file again without what was deleted, and empty the log.

        False: a reader kept the log from being emptied.
        """
        with self.translated(), self._own_turn(), self._use(Purpose.WRITE) as connection:
            rows(connection, "VACUUM")
            self._write_note(writing=True)
            busy, *_ = row(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
            self._write_note(complete=not busy)
        return not busy

    @contextmanager
    def _own_turn(self) -> Iterator[None]:
        """Threads of one process take turns here, where waiting is cheaper than at the file."""
        self._thread_state()
        turn = self._write_turn  # a forked child has another one
        if not turn.acquire(timeout=BUSY_SECONDS):
            raise unavailable(
                self.path,
                f"Another thread has been writing to {{store}} for {BUSY_SECONDS:g} seconds.",
            )
        try:
            yield
        finally:
            turn.release()

    def _check_version(self, connection: StoreConnection) -> None:
        version = row(connection, "PRAGMA user_version")[0]
        if version != len(self.steps):
            raise unusable(
                self.path,
                f"{{store}} is of version {version} now, "
                f"this process works with {len(self.steps)}; restart it.",
            )

    # -- waiting

    def wait(
        self, timeout: float, is_news: Callable[[StoreConnection], bool] | None = None
    ) -> None:
        """Return when any process has committed since this thread's last read for changes.

        Returns after ``timeout`` seconds in any case. A commit of another process after which
        ``is_news`` is false may be passed over: a thread that says what is news reads after it.
        """
        with self.translated():
            local = self._thread_state()
            if local.commits is None:
                local.commits, (local.version, _) = self.notifier.commits, self._look()
            commits, newest = local.commits, local.version

            def changed() -> bool:
                nonlocal newest
                known = newest
                newest, news = self._look(known, is_news)
                if newest != known and not news:
                    self.notifier.let_others_look()
                return news

            taken, local.taken = local.taken, None
            self.notifier.wait(
                commits, timeout, changed, taken=taken, reads_at_hint=is_news is not None
            )
            if is_news is not None:
                return
            local.commits = self.notifier.commits
            # Without a commit of this process the last poll was the newest.
            local.version = newest if local.commits == commits else self._look()[0]

    def _look(
        self, known: int | None = None, is_news: Callable[[StoreConnection], bool] | None = None
    ) -> tuple[int, bool]:
        """The version of the data, and whether there may be news since the known one.

        Many times while a thread waits: the names of the files are checked by its next read. To a
        connection that was opened since, after a fork or a failure, the known one says nothing.
        """
        is_new = self._thread_state().connection is None
        with self._use(Purpose.WAIT, checks=is_new) as connection:
            newest = data_version(connection)
            has_changed = is_new or newest != known
            return newest, has_changed and (is_news is None or is_news(connection))
