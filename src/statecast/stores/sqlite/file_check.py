"""What is checked about a store's file before SQLite may open it.

Rule: a file that holds something is never replaced by a new database.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from statecast.stores.sqlite.file_errors import RESTORE, cut_off, os_error, unusable
from statecast.stores.sqlite.store_file import MAGIC, StoreFile

NETWORK = {
    *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "9p", "vboxsf", "davfs"),
    *("afs", "ceph", "glusterfs", "lustre", "gpfs", "ocfs2", "gfs2"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.davfs2"),
    *("fuse.blobfuse", "fuse.blobfuse2", "fuse.mountpoint-s3", "fuse.gcsfuse", "fuse.juicefs"),
    *("fuse.goofys", "fuse.curlftpfs", "fuse.moosefs", "beegfs", "drvfs", "afpfs", "webdav"),
}
"""File systems on which locks and shared memory do not work across hosts: SQLite loses data."""


def inspect(path: Path) -> None:
    """Raises StoreUnusable for what cannot be a store, before anything is created beside it."""
    check_place(path)
    check_rights(path)


def check_place(path: Path) -> None:
    """Raises StoreUnusable for a folder or a file system on which no store can be."""
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


def check_rights(path: Path) -> None:
    """Raises StoreUnusable for a file or a folder that this user may not write."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise os_error(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        raise unusable(path, "{store} is not a file; name a file as the store.")
    if not os.access(path, os.R_OK | os.W_OK):
        raise os_error(path, not_writable(path))
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise os_error(path.parent, not_writable(path.parent))


def not_writable(path: Path) -> OSError:
    """Why ``path`` may not be written: on a read-only file system not even by root."""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return OSError(errno.EROFS, "Read-only file system")
    return PermissionError(errno.EACCES, "Permission denied")


def check_contents(file: StoreFile) -> None:
    """Raises StoreUnusable for a file that is no store, and for one that lost what it held."""
    if not file.open():
        check_missing(file.path)
        return
    if file.size == 0:
        check_empty(file.path)
        return
    if not MAGIC.startswith(file.read(len(MAGIC))):  # its first bytes may be all that is left
        raise unusable(
            file.path,
            "{store} is not a store of Statecast (nor any SQLite file); it was left as it is.",
        )
    if has_log(file.path):
        return  # a checkpoint that was interrupted in a page is repaired from the log
    header = file.header()
    whole = header is not None and header.page_size and file.size % header.page_size == 0
    if header is None or not whole or header.size > file.size:
        raise cut_off(file.path)


def check_missing(path: Path) -> None:
    """A missing file is a new store, unless the log of an old one is there."""
    if has_log(path):
        raise unusable(
            path,
            "{store} is missing, but its log ({store}-wal) is there. Put the file back, "
            "or delete the log too: "
            "`statecast store restore FILE` puts a backup in its place.",
        )


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
            f"{{store}} is empty although it held a store; {RESTORE}; "
            "or delete it and start with an empty store.",
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
