"""The end of a process that is killed while it has a store open."""

from __future__ import annotations

import apsw

from statecast.stores.sqlite.store import SqliteStore


def kill(store: SqliteStore) -> None:
    """What the end of a killed process leaves: a log that is not copied, a lock without a mark."""
    database = store.database
    for connection in list(database._open):
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.close()
    database._closed = True
    database._file.close()
    assert database._lock is not None
    database._lock.abandon()
