"""Errors of the store's file as sentences: one names the file, for the operator, one does not.

Rule: viewers see only the second. Where the store lies is for the log and the command line.
Commands in a sentence are plain, like `statecast store check`; the operator gets them complete.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TypeVar

from statecast.errors import (
    DiskFull,
    StatecastError,
    StoreDamaged,
    StoreUnavailable,
    StoreUnusable,
)
from statecast.program.commands import complete, settings_of

E = TypeVar("E", bound=StatecastError)

RESTORE = "restore it from a backup: `statecast store restore FILE`"


def unavailable(
    path: Path, sentence: str, kind: type[StoreUnavailable] = StoreUnavailable
) -> StoreUnavailable:
    """A temporary error. ``{store}`` in the sentence stands for the file."""
    return _about(kind, path, sentence)


def unusable(path: Path, sentence: str) -> StoreUnusable:
    """An error that lasts until somebody acts. ``{store}`` in the sentence stands for the file."""
    return _about(StoreUnusable, path, sentence)


def damaged(path: Path, what: str) -> StoreDamaged:
    """The error for a file with damaged pages."""
    return _about(StoreDamaged, path, f"{{store}} is damaged ({what}); {RESTORE}.")


def cut_off(path: Path) -> StoreUnusable:
    """The error for a file that lost its end."""
    return unusable(path, f"{{store}} was cut off or damaged; {RESTORE}.")


def os_error(path: Path, error: OSError) -> StatecastError:
    """The error for a file that the operating system does not let us use."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return unavailable(path, "The disk of {store} is full; free some space.", DiskFull)
    if error.errno == errno.EROFS:
        return unusable(
            path,
            "{store} is on a read-only file system; mount it for writing, "
            "or copy the store with its log to where it can be written.",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return unusable(
            path,
            "{store} may not be written by this user; change its owner or rights, or name another.",
        )
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO):
        return unavailable(path, f"{{store}} cannot be opened just now: {error.strerror}.")
    return unusable(path, f"{{store}} cannot be opened: {error.strerror}.")


def _about(kind: type[E], path: Path, sentence: str) -> E:
    public = sentence.replace("{store}", "the store")
    whole = complete(sentence, settings_of(path)).replace("{store}", str(path))
    return kind(whole, public=public[:1].upper() + public[1:])
