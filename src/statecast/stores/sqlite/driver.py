"""The driver: rows without open cursors, waiting for other writers, errors as sentences."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw

from statecast.errors import DiskFull, StatecastError, StoreReadOnly
from statecast.stores.sqlite.file_errors import RESTORE, damaged, unavailable, unusable

BUSY_SECONDS = 5.0
"""For how long a write waits for other writers."""

SCHEMA_ERROR = re.compile("^(no such (table|column)|duplicate column|table .* has )").search
"""What SQLite says when a table is not as our schema makes it."""

MACHINE_ERRORS = (
    apsw.FullError,
    apsw.IOError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
)
"""After one of these a connection may not work any more."""


class StoreConnection(apsw.Connection):
    """A connection to a store."""

    side_files: tuple[tuple[int, int] | None, ...] | None = None
    """The files beside the store after its first use; see ``store_file``."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.busy = BusyTimeout()
        self._durable: bool | None = None

    def set_durable(self, durable: bool) -> None:
        """Whether a commit waits until it is on the disk; not inside of a transaction."""
        if durable is not self._durable:
            rows(self, f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable


Bindings = Sequence[Any] | Mapping[str, Any]


def rows(connection: apsw.Connection, sql: str, bindings: Bindings = ()) -> list[Any]:
    return connection.execute(sql, bindings).fetchall()


def row(connection: apsw.Connection, sql: str, bindings: Bindings = ()) -> Any:
    """The first row or None."""
    found = connection.execute(sql, bindings).fetchall()
    return found[0] if found else None


def integer(column: str) -> str:
    """SQL for a column of a row that is not read whole: 0 if a damaged row has no integer there."""
    return f"iif(typeof({column}) = 'integer', {column}, 0)"


def data_version(connection: apsw.Connection) -> int:
    """A number that changes with every commit of another connection, in any process."""
    # The PRAGMA, because the method of that name returns what was true at the last read.
    return int(row(connection, "PRAGMA data_version")[0])


class BusyTimeout:
    """The busy handler: short sleeps of uneven length, so that a busy writer starves no other."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.until = 0.0
        self.waits = True
        """False: the caller waits, so it does not."""

    def __call__(self, tries: int) -> bool:
        if not self.waits:
            return False
        now = self.monotonic()
        if tries == 0:
            self.until = now + BUSY_SECONDS
        if now > self.until:
            return False
        time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311
        return True


def translate(path: Path, error: apsw.Error) -> StatecastError:
    """The driver's error as one of ours, with a sentence that says what to do."""
    if isinstance(error, apsw.FullError):
        return unavailable(
            path, "The disk of {store} is full; free some space. Nothing was lost.", DiskFull
        )
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return damaged(path, str(error))
    if isinstance(error, apsw.SQLError) and SCHEMA_ERROR(str(error)):
        return unusable(
            path, f"Another program changed the tables of {{store}} ({error}); {RESTORE}."
        )
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return unavailable(
            path,
            f"Another process has been writing to {{store}} for {BUSY_SECONDS:g} seconds; "
            "try again.",
        )
    if isinstance(error, (apsw.ReadOnlyError, apsw.PermissionsError)):
        return unavailable(
            path,
            "{store} may not be written; check its rights, its folder's and its file system's.",
            StoreReadOnly,
        )
    if isinstance(error, apsw.CantOpenError):
        return unavailable(
            path,
            "{store} cannot be opened; check that its folder exists and may be written.",
        )
    if isinstance(error, apsw.IOError):
        return unavailable(
            path, f"The disk of {{store}} failed ({error}); the write was not confirmed."
        )
    if isinstance(error, apsw.ConnectionClosedError):
        return unavailable(path, "{store} was closed by this process.")
    return unavailable(path, f"{{store}} failed: {error}.")
