"""What is checked about a store's file before SQLite may open it.

Rule: a file that holds something is never replaced by a new database.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from statecast.stores.sqlite.file_errors import os_error, unusable

NETWORK = {
    *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "9p", "vboxsf", "davfs"),
    *("afs", "ceph", "glusterfs", "lustre", "gpfs", "ocfs2", "gfs2"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.davfs2"),
}
"""File systems on which locks and shared memory do not work across hosts: SQLite loses data."""

MAGIC = b"SQLite format 3\0"


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file that has this name now; None: there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise os_error(path, error) from error
    return found.st_dev, found.st_ino


def inspect(path: Path) -> None:
    """Raises StoreUnusable for what cannot be a store, before anything is created beside it."""
    folder = path.parent
    if not folder.is_dir():
        raise unusable(
            folder, "The folder {store} of the store does not exist; create it or name another."
        )
    kind = file_system(folder)
    if kind in NETWORK:
        raise unusable(
            path,
            f"{{store}} is on a network file system ({kind}), where SQLite loses data; "
            "use a local disk.",
        )
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise os_error(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        raise unusable(path, "{store} is not a file; name a file as the store.")
    if not os.access(path, os.R_OK | os.W_OK):
        raise os_error(path, PermissionError(errno.EACCES, "Permission denied"))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise os_error(folder, PermissionError(errno.EACCES, "Permission denied"))
    check_contents(path, found.st_size)


def check_contents(path: Path, size: int) -> None:
    if size == 0:
        check_empty(path)
        return
    with path.open("rb") as file:
        head = file.read(100)
    if not head.startswith(MAGIC):
        raise unusable(
            path,
            "{store} is not a store of Statecast (nor any SQLite file); it was left as it is.",
        )
    if has_log(path):
        return  # a checkpoint that was interrupted in a page is repaired from the log
    page_size = int.from_bytes(head[16:18], "big") if len(head) >= 18 else 0
    page_size = 65536 if page_size == 1 else page_size
    if size < 512 or page_size == 0 or size % page_size:
        raise unusable(path, "{store} was cut off or damaged; restore it from a backup.")


def has_log(path: Path) -> bool:
    """Whether SQLite's write-ahead log beside the file holds anything."""
    log = Path(f"{path}-wal")
    return log.exists() and log.stat().st_size > 0


def check_empty(path: Path) -> None:
    """An empty file is a new store, unless a file beside it shows that it held one."""
    lock = Path(f"{path}.lock")
    if has_log(path) or (lock.exists() and lock.stat().st_size > 0):
        raise unusable(
            path,
            "{store} is empty although it held a store; "
            "restore it from a backup, or delete it and start with an empty store.",
        )


def file_system(folder: Path) -> str:
    """The kernel's name of the file system of ``folder``; empty where it is not known."""
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
