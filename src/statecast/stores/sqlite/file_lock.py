"""What is checked about a store's file before SQLite may touch it, and the lock that says who uses it.

Rule 1: a file that holds something is never replaced by a new database.
Rule 2: every process that uses the store holds ``<store>.lock`` shared; a migration holds it alone.
Rule 3: the lock file says ``open`` while anybody uses the store; who finds that and is alone knows that the
last user did not stop cleanly, and has the file checked.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

from statecast.errors import StatecastError, StoreUnavailable, StoreUnusable
from statecast.program.unix import fcntl, pread, pwrite

NETWORK = {
    *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "9p", "vboxsf", "davfs"),
    *("afs", "ceph", "glusterfs", "lustre", "gpfs", "ocfs2", "gfs2"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.davfs2"),
}
"""Where locks and shared memory do not hold across hosts: SQLite would lose data there."""

MAGIC = b"SQLite format 3\0"
PATIENCE = 5.0
"""Seconds to wait while another process opens or migrates the store."""


class Lock:
    """The lock file of one store, held from open to close."""

    def __init__(self, store: Path) -> None:
        self.path = Path(f"{store}.lock")
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unopened(self.path, error) from error
        self.alone = False

    def enter(self) -> bool:
        """Take the lock, alone if nobody else has it; say whether the last user stopped without closing."""
        deadline = time.monotonic() + PATIENCE
        while True:
            if self._try(fcntl.LOCK_EX):
                self.alone = True
                return self.mark == b"open"
            if self._try(fcntl.LOCK_SH):
                return False
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"Another process is migrating the store ({self.path}); try again later."
                )
            time.sleep(0.005)

    def share(self) -> None:
        """Mark the store as in use and let others in."""
        self._write(b"open")
        fcntl.flock(self._file, fcntl.LOCK_SH)
        self.alone = False

    def leave(self) -> None:
        """Let go; the last to leave marks the store as cleanly closed."""
        if self._file < 0:
            return
        if self._try(fcntl.LOCK_EX):
            self._write(b"clean")
        self.drop()

    def drop(self) -> None:
        """Let go without a word, as a crash would."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @property
    def mark(self) -> bytes:
        return pread(self._file, 16, 0)

    def _write(self, mark: bytes) -> None:
        if self.mark != mark:
            try:
                pwrite(self._file, mark, 0)
                os.ftruncate(self._file, len(mark))
            except OSError as error:
                raise unopened(self.path, error) from error

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise unopened(self.path, error) from error
        return True


def unopened(path: Path, error: OSError) -> StatecastError:
    """The sentence for a file that the operating system does not let us use."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreUnavailable(f"The disk of {path} is full; free some space.")
    if error.errno == errno.EROFS:
        return StoreUnusable(
            f"{path} is on a read-only file system; keep the store where it can be written."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return StoreUnusable(
            f"{path} may not be written by this user; change its owner or rights, or name another."
        )
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO):
        return StoreUnavailable(f"{path} cannot be opened just now: {error.strerror}.")
    return StoreUnusable(f"{path} cannot be opened: {error.strerror}.")


def identity(path: Path) -> tuple[int, int] | None:
    """Which file has this name just now; None: there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unopened(path, error) from error
    return found.st_dev, found.st_ino


def inspect(path: Path) -> None:
    """Refuse what cannot be a store, before anything is created beside it."""
    folder = path.parent
    if not folder.is_dir():
        raise StoreUnusable(
            f"The folder {folder} of the store does not exist; create it or name another."
        )
    kind = file_system(folder)
    if kind in NETWORK:
        raise StoreUnusable(
            f"{path} is on a network file system ({kind}), where SQLite loses data; use a local disk."
        )
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise unopened(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        raise StoreUnusable(f"{path} is not a file; name a file as the store.")
    if not os.access(path, os.R_OK | os.W_OK):
        raise unopened(path, PermissionError(errno.EACCES, "Permission denied"))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise unopened(folder, PermissionError(errno.EACCES, "Permission denied"))
    contents(path, found.st_size)


def contents(path: Path, size: int) -> None:
    if size == 0:
        emptied(path)
        return
    with path.open("rb") as file:
        head = file.read(100)
    if not head.startswith(MAGIC):
        raise StoreUnusable(
            f"{path} is not a store of Statecast (nor any SQLite file); it was left as it is."
        )
    if logged(path):
        return  # a checkpoint may have been cut off in the middle of a page: the log repairs that
    unit = int.from_bytes(head[16:18], "big") if len(head) >= 18 else 0
    unit = 65536 if unit == 1 else unit
    if size < 512 or unit == 0 or size % unit:
        raise StoreUnusable(f"{path} was cut off or damaged; restore it from a backup.")


def logged(path: Path) -> bool:
    """Whether SQLite's log beside the file holds anything."""
    log = Path(f"{path}-wal")
    return log.exists() and log.stat().st_size > 0


def emptied(path: Path) -> None:
    """An empty file is a new store, unless something beside it says that it held one."""
    lock = Path(f"{path}.lock")
    if logged(path) or (lock.exists() and lock.stat().st_size > 0):
        raise StoreUnusable(
            f"{path} is empty although it held a store; restore it from a backup, or delete it to begin anew."
        )


def file_system(folder: Path) -> str:
    """The type of the file system that holds ``folder``, as the kernel names it; empty where it does not say."""
    try:
        lines = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    target = str(folder.resolve())
    best, kind = "", ""
    for line in lines:
        parts = line.split(" ")
        if len(parts) < 3:
            continue
        point = parts[1].replace("\\040", " ")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, parts[2]
    return kind
