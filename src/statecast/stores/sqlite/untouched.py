"""Reads a few values of a store without touching it, for completions in a shell.

Opening a store takes its lock, makes files beside it, may migrate it and writes its log into it.
Here nothing of that happens: what is read may be a moment old, and a store that cannot be read in
this way has nothing to say. Each function may raise ``apsw.Error`` or ``OSError``.
"""

from __future__ import annotations

import os
import stat
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from statecast import names
from statecast.access.records import RecordKind
from statecast.errors import Malformed
from statecast.stores.sqlite import schema
from statecast.stores.sqlite.driver import rows


def device_names(path: Path, prefix: str, limit: int) -> list[str]:
    """Names of present devices that begin with ``prefix``, in ascending order."""
    with opened(path) as connection:
        found = rows(
            connection,
            "SELECT CAST(device AS BLOB) FROM devices WHERE state IS NOT NULL "
            "AND typeof(device) = 'text' AND device >= ? ORDER BY device LIMIT ?",
            (prefix, limit),
        )
    texts = [raw.decode("utf-8", "replace") for (raw,) in found]
    return [name for name in texts if name.startswith(prefix) and is_name(name)]


def quarantined(path: Path, limit: int) -> list[tuple[str, str]]:
    """Numbers and reasons of messages in quarantine, the oldest first."""
    with opened(path) as connection:
        found = rows(
            connection,
            "SELECT number, CAST(reason AS BLOB) FROM quarantine ORDER BY number LIMIT ?",
            (limit,),
        )
    return [(str(number), (reason or b"").decode("utf-8", "replace")) for number, reason in found]


def access_ids(path: Path, kind: RecordKind, limit: int) -> list[str]:
    """Names of users or keys, or ids of share links, in ascending order."""
    with opened(path) as connection:
        found = rows(
            connection,
            "SELECT CAST(id AS BLOB) FROM access WHERE kind = ? AND body IS NOT NULL "
            "ORDER BY id LIMIT ?",
            (kind, limit),
        )
    return [raw.decode("utf-8", "replace") for (raw,) in found]


@contextmanager
def opened(path: Path) -> Iterator[apsw.Connection]:
    """A connection that cannot write. It sees the log, if there is one."""
    path = Path(os.path.realpath(path))
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"{path} is no file")
    log = Path(f"{path}-wal")
    used = log.exists() and log.stat().st_size > 0
    # Without a log, SQLite would make the files of one beside the store even to read it.
    options = "mode=ro" if used else "mode=ro&immutable=1"
    connection = apsw.Connection(
        f"file:{urllib.parse.quote(str(path))}?{options}",
        flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
    )
    try:
        rows(connection, "PRAGMA query_only = 1")
        if rows(connection, "PRAGMA application_id") != [(schema.APPLICATION_ID,)]:
            raise OSError(f"{path} is no store")
        yield connection
    finally:
        connection.close(force=True)


def is_name(name: str) -> bool:
    try:
        return bool(names.check(name))
    except Malformed:
        return False
