"""Copies of a store: made while it runs, and put in its place while it does not.

Rule 1: a file appears under its name only when it is complete, checked and on the disk.
Rule 2: what is replaced is kept beside, with its log.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from statecast.errors import BadSetting, NotFound
from statecast.stores.sqlite import file_check, file_lock, migration, schema
from statecast.stores.sqlite.database import Database
from statecast.stores.sqlite.driver import row, rows
from statecast.stores.sqlite.file_errors import os_error, unavailable, unusable
from statecast.stores.sqlite.store_file import StoreFile, identity_of

Progress = Callable[[int, int], None]
"""Called with the bytes that are done and all bytes."""
BLOCK = 1024 * 1024


def no_progress(done: int, total: int) -> None:
    """For callers that show none."""


# Back up


def back_up(
    path: Path, target: Path, *, force: bool = False, progress: Progress = no_progress
) -> int:
    """Copy the store to ``target`` as it is now, and check the copy; its size in bytes.

    Any number of processes may use the store meanwhile. With ``force`` an existing file is
    replaced. Raises NotFound, BadSetting, StoreUnusable, StoreUnavailable.
    """
    path, target = Path(os.path.realpath(path)), Path(os.path.abspath(target))
    _check_target(path, target, force)
    with partial_file(target) as partial:
        # An older store is not migrated: its backup is for the version that wrote it.
        database = Database(path, _steps_of(path))
        try:
            _copy(database, partial, target, progress)
        finally:
            database.close()
        check_copy(partial, target)
        _sync(partial)
        os.replace(partial, target)
        _sync(target.parent)
    return target.stat().st_size


def _check_target(path: Path, target: Path, force: bool) -> None:
    if not path.exists():
        file_check.check_missing(path)
        raise NotFound(f"There is no store {path}; name another with --store.")
    if target.is_dir() or not target.parent.is_dir():
        raise BadSetting(f"{target} cannot be a backup: name a file in a folder that exists.")
    own = {identity_of(f"{path}{suffix}") for suffix in ("", "-wal", "-shm", ".lock")}
    if target.exists() and identity_of(target) in own:
        raise BadSetting(f"{target} is the store itself; name another file for the backup.")
    if target.exists() and not force:
        raise BadSetting(f"{target} exists already; name another file, or replace it by --force.")


def _steps_of(path: Path) -> Sequence[str]:
    """The steps that the store has taken; all for a store that another version opens or refuses."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        found: int = row(connection, "PRAGMA user_version")[0]
    except apsw.Error:
        found = 0
    finally:
        connection.close()
    return schema.STEPS[:found] if 0 < found <= len(schema.STEPS) else schema.STEPS


def _copy(database: Database, partial: Path, target: Path, progress: Progress) -> None:
    try:
        database.copy_into(partial, lambda total: progress(partial.stat().st_size, total))
    except apsw.FullError as error:
        raise unavailable(target, "The disk of {store} is full; free some space.") from error
    except (apsw.CantOpenError, apsw.IOError) as error:
        raise unavailable(target, f"{{store}} cannot be written ({error}).") from error


# Restore


def restore(path: Path, source: Path, *, progress: Progress = no_progress) -> Path | None:
    """Put a backup in the place of the store; the path under which the store before is kept.

    No process may use the store. Raises NotFound, StoreUnusable, StoreUnavailable.
    """
    path, source = Path(os.path.realpath(path)), Path(os.path.realpath(source))
    _check_source(path, source)
    file_check.inspect(path)
    with stopped(path) as lock, partial_file(path) as partial:
        _copy_file(source, partial, progress)
        check_copy(partial, source)
        _sync(partial)
        # From here to the end a crash leaves files of two stores. The mark says so.
        lock.mark_restoring()
        kept = _put_aside(path)
        os.replace(partial, path)
        _sync(path.parent)
    return kept


def _check_source(path: Path, source: Path) -> None:
    if not source.is_file():
        raise NotFound(f"There is no backup {source}.")
    if source == path or identity_of(source) == identity_of(path):
        raise BadSetting(f"{source} is the store itself; name its backup.")
    if file_check.has_log(source):
        raise unusable(
            source,
            "{store} is no complete backup: newer commits are in {store}-wal. Make a copy of it "
            "with `statecast store backup FILE`.",
        )


@contextmanager
def stopped(path: Path) -> Iterator[file_lock.StoreLock]:
    """Hold all locks of the store, so that no process uses it and none can begin to.

    Raises StoreUnusable at once if one uses it. If the block fails before it wrote a mark, the lock
    file says what it said before.
    """
    lock, file = file_lock.StoreLock(path), StoreFile(path)
    try:
        if not lock.try_alone() or (file.open() and not file.lock(first=True)):
            raise unusable(
                path, "{store} is in use; stop every process that uses it, and try again."
            )
        yield lock
        lock.forget()
    finally:
        file.close()
        lock.abandon()


def _put_aside(path: Path) -> Path | None:
    """Rename the store and its log. SQLite finds the log by the name of the file.

    The log has both names for a moment, so that no crash parts it from its file.
    """
    kept = next(one for one in _names_aside(path) if not (one.exists() or file_check.has_log(one)))
    log = Path(f"{path}-wal")
    if file_check.has_log(path):
        try:
            os.link(log, f"{kept}-wal")
        except OSError:  # a file system without hard links
            shutil.copyfile(log, f"{kept}-wal")
    found = path.exists()
    if found:
        os.rename(path, kept)
    log.unlink(missing_ok=True)
    Path(f"{path}-shm").unlink(missing_ok=True)
    return kept if found else None


def _names_aside(path: Path) -> Iterator[Path]:
    yield Path(f"{path}.before-restore")
    number = 2
    while True:
        yield Path(f"{path}.before-restore-{number}")
        number += 1


def _copy_file(source: Path, partial: Path, progress: Progress) -> None:
    total = source.stat().st_size
    try:
        with source.open("rb") as reader, partial.open("wb") as writer:
            while block := reader.read(BLOCK):
                writer.write(block)
                progress(writer.tell(), total)
    except OSError as error:
        raise os_error(partial, error) from error


# Both


@contextmanager
def partial_file(target: Path) -> Iterator[Path]:
    """An empty file beside ``target``, only for its owner; removed at the end of the block."""
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise os_error(target, error) from error
    try:
        yield partial
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{partial}{suffix}").unlink(missing_ok=True)


def check_copy(copy: Path, name: Path) -> None:
    """Raises StoreUnusable, about ``name``, unless the copy is a whole store of a known version."""
    try:
        connection = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            version = migration.version(connection, name, schema.STEPS)
            found = rows(connection, "PRAGMA integrity_check(1)")[0][0]
            rows(connection, "PRAGMA journal_mode = DELETE")  # so that the file is complete alone
        finally:
            connection.close()
    except apsw.NotADBError as error:
        raise unusable(name, "{store} is not a store of Statecast.") from error
    except apsw.CorruptError as error:
        found, version = str(error), 1
    except apsw.Error as error:
        raise unavailable(name, f"{{store}} cannot be read: {error}.") from error
    if found != "ok":
        raise unusable(name, f"{{store}} is damaged ({found}); nothing was changed.")
    if not version:
        raise unusable(name, "{store} is empty; nothing was changed.")


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
