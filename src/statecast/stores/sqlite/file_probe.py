"""Tries on a folder what SQLite and our locks need: two processes must see each other's locks.

A list of names cannot know every file system. Where a lock, or shared memory, has no effect in
another process, two servers would write one store at a time, and it would be lost.

It is tried between this process and a child, in a file beside the store. Between two hosts it
cannot be tried, so network file systems are refused by their names.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

from statecast.program.unix import fcntl, pwrite
from statecast.stores.sqlite.file_errors import os_error, unusable
from statecast.stores.sqlite.file_lock import MARK_BYTES
from statecast.stores.sqlite.log_note import Note

KNOWN_GOOD = {
    *("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "jfs", "reiserfs", "ramfs"),
    *("tmpfs", "zfs", "apfs", "hfs", "ufs"),
}
"""Local file systems of which this is known; they cost nothing."""
TOKEN = b"statecast"
SIZE = 4096
FLOCK, POSIX, MEMORY = 11, 12, 13
"""Exit statuses of the child: what it did not see. 0: it saw all."""
WHAT_FAILED = {
    FLOCK: "a lock (flock) of one process does not stop another",
    POSIX: "a lock (fcntl) of one process does not stop another",
    MEMORY: "memory that processes share (mmap) differs between them",
}
TIMEOUT = 10.0
"""Seconds."""
CHILD = f"""
import fcntl, mmap, os, sys
file = os.open(sys.argv[1], os.O_RDWR)
def locked(lock):
    try:
        lock()
    except OSError:
        return True
    return False
memory = mmap.mmap(file, {SIZE})
if not locked(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)):
    sys.exit({FLOCK})
if not locked(lambda: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)):
    sys.exit({POSIX})
if memory[:{len(TOKEN)}] != {TOKEN!r}:
    sys.exit({MEMORY})
memory[{SIZE // 2}:{SIZE // 2 + len(TOKEN)}] = {TOKEN!r}
"""


def check_once(path: Path, kind: str) -> None:
    """Try the file system (``kind``) of a store, unless it is known or this was done before.

    Raises StoreUnusable if it fails.
    """
    if kind not in KNOWN_GOOD and not was_tried(path):
        check(path, kind)


def was_tried(path: Path) -> bool:
    """Whether the store was opened on this file system before: then its lock file has a note."""
    try:
        note = Note.decode(Path(f"{path}.lock").read_bytes()[MARK_BYTES:])
        return note is not None and note.file[0] == os.stat(path.parent).st_dev
    except OSError:
        return False


def check(path: Path, kind: str) -> None:
    """Raises StoreUnusable if the store's file system (``kind``) fails what was tried.

    What cannot be tried is no failure: a program in which Python is embedded has no Python to
    start.
    """
    probe = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        file = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise os_error(path, error) from error
    try:
        failed = _try(file, probe)
    except OSError as error:
        raise os_error(path, error) from error
    finally:
        os.close(file)
        with suppress(OSError):
            probe.unlink()
    if failed:
        name = kind or "unknown"
        raise unusable(
            path,
            f"{{store}} is on a file system ({name}) where {failed}, so SQLite would lose data; "
            "use a local disk.",
        )


def _try(file: int, probe: Path) -> str:
    """What failed; empty if nothing did."""
    pwrite(file, b"\0" * SIZE, 0)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
    with mmap.mmap(file, SIZE) as memory:
        memory[: len(TOKEN)] = TOKEN
        status = _run_child(probe)
        answer = memory[SIZE // 2 : SIZE // 2 + len(TOKEN)]
    if status == 0 and answer != TOKEN:
        status = MEMORY
    return WHAT_FAILED.get(status, "")


def _run_child(probe: Path) -> int:
    """The exit status of the child; -1 if it could not be run."""
    if not sys.executable or "python" not in Path(sys.executable).name.lower():
        return -1
    command = [sys.executable, "-I", "-S", "-c", CHILD, str(probe)]
    try:
        # The command is our own; the path is an argument, not part of the program.
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return -1
    return done.returncode
