"""How large the files of a store are, and how much room their file system has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class FileSizes(NamedTuple):
    """Bytes; None where the operating system does not say."""

    database: int | None
    log: int | None
    free: int | None


def measure(path: Path) -> FileSizes:
    log = path.with_name(f"{path.name}-wal")
    return FileSizes(_size(path), _size(log, missing=0), _free(path.parent))


def _size(path: Path, missing: int | None = None) -> int | None:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return missing
    except OSError:
        return None


def _free(folder: Path) -> int | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
