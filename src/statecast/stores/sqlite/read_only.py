"""A store on a read-only file system: it is read from a copy of its own.

SQLite writes beside a store even to read it. Reading the file alone, as if it never changed, would
leave out the log, and would be wrong if a server writes it through another mount.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from statecast.program.unix import fcntl
from statecast.stores.sqlite.file_errors import os_error, unusable


def is_read_only(path: Path) -> bool:
    """Whether not even root may write there."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """A copy of the store with its log, removed at the end of the block.

    Raises StoreUnusable while another process uses the store.
    """
    path = Path(os.path.realpath(path))
    with tempfile.TemporaryDirectory(prefix="statecast-") as folder, _unused(path):
        copy = Path(folder) / path.name
        try:
            for suffix in ("", "-wal"):
                if os.path.exists(f"{path}{suffix}"):
                    shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
        except OSError as error:
            raise os_error(path, error) from error
        yield copy


@contextmanager
def _unused(path: Path) -> Iterator[None]:
    try:
        lock = os.open(f"{path}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # copied here without its lock file, so nothing uses it by that
        yield
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise unusable(
            path,
            "{store} is on a read-only file system here, and a process that can write it uses it; "
            "ask there.",
        ) from None
    finally:
        os.close(lock)
