"""Leases: locks of sessions where the connection is direct, rows that expire behind a pooler.

Rule 1: a lock of a session needs no clock. The server frees it when the process ends, and a few
seconds after its host has vanished (``session``).
Rule 2: a pooler gives sessions to others, so behind one a lease is a row. It holds until
``expires_at`` by the server's clock, and its holder renews it every second.
Rule 3: some processes may be behind a pooler and others not. So each kind looks at the other too.
Rule 4: a holder that has lost its lease without noticing is stopped by the term of its source,
which rises with each take-over and is compared in each commit; see ``sources``.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Sequence

from statecast.stores.leases import LeaseHolder
from statecast.stores.postgres.driver import Connection, Cursor, row, rows

PROGRESS_SECONDS = 5.0
"""Between two notes of progress of one lease."""
ROW_MS = 5_000
"""For how long a row holds that is not renewed."""
FORGOTTEN_MS = 60_000
"""After that, the row of a serving process that is not renewed is deleted."""

NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
LOCKS = """
    SELECT classid::bigint << 32 | objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
IS_HELD = f"""
    SELECT %(key)s IN ({LOCKS})
    OR EXISTS (SELECT 1 FROM leases WHERE name = %(name)s AND expires_at > {NOW})"""
ARE_FREE = """
    ARRAY(SELECT pg_try_advisory_xact_lock(key) FROM unnest(%s::bigint[])
        WITH ORDINALITY AS wanted (key, number) ORDER BY number)"""
"""SQL for whether this session could have these locks. It has them for that one statement."""
TAKE_ROW = f"""
    INSERT INTO leases AS old (name, holder, host, pid, noted_at, expires_at)
    SELECT %(name)s, %(holder)s, %(host)s, %(pid)s, {NOW}, {NOW} + {ROW_MS}
    WHERE NOT %(key)s IN ({LOCKS})
    ON CONFLICT (name) DO UPDATE SET
        holder = excluded.holder, host = excluded.host, pid = excluded.pid,
        noted_at = excluded.noted_at, expires_at = excluded.expires_at
    WHERE old.expires_at <= {NOW}
    RETURNING 1"""
RENEW = f"""
    UPDATE leases SET expires_at = {NOW} + {ROW_MS}
    WHERE name = ANY(%s) AND holder = %s RETURNING name"""
FORGET = f"""
    DELETE FROM leases WHERE starts_with(name, 'process:') AND expires_at > 0
    AND expires_at < {NOW} - {FORGOTTEN_MS}"""
NOTE = f"""
    INSERT INTO leases (name, holder, host, pid, noted_at) VALUES (%s, %s, %s, %s, {NOW})
    ON CONFLICT (name) DO UPDATE SET
        holder = excluded.holder, host = excluded.host, pid = excluded.pid,
        noted_at = excluded.noted_at"""
HOLDER = f"SELECT pid, {NOW} - noted_at, host FROM leases WHERE name = %s"


def key_of(schema: str, name: str) -> int:
    """The key of a lock: the locks of all schemas of a database share their numbers."""
    digest = hashlib.sha256(f"{schema}\n{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def process_lock(process: str) -> str:
    """The name of the lock of a serving process, beside those of sources and reactions."""
    return f"process:{process}"


# Locks of the session of this connection


def try_lock(connection: Connection, schema: str, name: str) -> bool:
    """Lock, unless another session has the lock, or a row says that a process has the lease."""
    key = key_of(schema, name)
    if not _is_true(connection, "SELECT pg_try_advisory_lock(%s)", key):
        return False
    alive = f"SELECT EXISTS (SELECT 1 FROM leases WHERE name = %s AND expires_at > {NOW})"
    if _is_true(connection, alive, name):
        unlock(connection, schema, name)
        return False
    return True


def unlock(connection: Connection, schema: str, name: str) -> None:
    connection.execute("SELECT pg_advisory_unlock(%s)", (key_of(schema, name),))


def try_lock_alone(connection: Connection, schema: str, name: str) -> bool:
    """Lock so that no session can share the lock, unless one does."""
    return _is_true(connection, "SELECT pg_try_advisory_lock(%s)", key_of(schema, name))


def try_share(connection: Connection, schema: str, name: str) -> bool:
    """Share a lock, unless a session has it alone."""
    return _is_true(connection, "SELECT pg_try_advisory_lock_shared(%s)", key_of(schema, name))


def unshare(connection: Connection, schema: str, name: str) -> None:
    connection.execute("SELECT pg_advisory_unlock_shared(%s)", (key_of(schema, name),))


# Rows


def take_row(connection: Connection, schema: str, name: str, holder: str) -> bool:
    """Write the row of a lease, unless a process has it."""
    values = {"key": key_of(schema, name), "name": name, "holder": holder}
    who = {"host": socket.gethostname(), "pid": os.getpid()}
    return row(connection, TAKE_ROW, values | who) is not None


def renew(connection: Connection, names: Sequence[str], holder: str) -> set[str]:
    """Let the rows of a holder hold for longer; the names of those that it still has."""
    connection.execute(FORGET.encode())
    return {name for (name,) in rows(connection, RENEW, (list(names), holder))}


def give_up_row(connection: Connection, name: str, holder: str) -> None:
    connection.execute("DELETE FROM leases WHERE name = %s AND holder = %s", (name, holder))


# Who holds a lease


def note_progress(connection: Connection, name: str, holder: str) -> None:
    """Note that the holder of a lease works."""
    values = (name, holder, socket.gethostname(), os.getpid())
    connection.execute(NOTE.encode(), values)


def is_held(connection: Connection, schema: str, name: str) -> bool:
    """Whether any process has a lease."""
    asked = {"key": key_of(schema, name), "name": name}
    return row_is_true(row(connection, IS_HELD, asked))


def ask_holder(connection: Connection, name: str) -> Cursor:
    """Ask for the process that has noted progress last."""
    return connection.execute(HOLDER.encode(), (name,))


def holder(asked: Cursor) -> LeaseHolder | None:
    found = asked.fetchone()
    return LeaseHolder(found[0], max(0, found[1]) / 1000, found[2]) if found else None


def ended(connection: Connection, schema: str, processes: Sequence[str]) -> list[str]:
    """Those of these serving processes that have no lock and no row, because they have ended.

    None while the server is so young that they may not have found it again.
    """
    if not processes:
        return []
    asked = [connection.execute(sql.encode()) for sql in (LOCKS, ALIVE, YOUNG)]
    locked, alive, young = [{value for (value,) in one.fetchall()} for one in asked]
    return [
        process
        for process in processes
        if True not in young
        and key_of(schema, process_lock(process)) not in locked
        and process_lock(process) not in alive
    ]


ALIVE = f"SELECT name FROM leases WHERE expires_at > {NOW}"
YOUNG = "SELECT clock_timestamp() - pg_postmaster_start_time() < interval '3 s'"


def _is_true(connection: Connection, sql: str, value: object) -> bool:
    return row_is_true(row(connection, sql, (value,)))


def row_is_true(found: tuple[object, ...] | None) -> bool:
    return found is not None and bool(found[0])


class PostgresLease:
    """The right to consume one source, until it is released or its process ends."""

    def __init__(self, term: int, note: Callable[[], None], release: Callable[[], None]) -> None:
        self.term = term
        self._note = note
        self._release: Callable[[], None] | None = release

    def note_progress(self) -> None:
        """Note that the holder works, at most every few seconds."""
        self._note()

    def release(self) -> None:
        """Let another process take over at once."""
        release, self._release = self._release, None
        if release is not None:
            release()
