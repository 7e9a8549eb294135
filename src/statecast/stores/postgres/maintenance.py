"""Deletes what is too old or too much, in transactions of their own after a commit.

Rule 1: bounds that count (rows, bytes) may be exceeded by one percent before anything is deleted,
so that a store that is full does not delete with each commit. Small bounds are exact.
Rule 2: what is due by its age is deleted once a second of the store's time.
Rule 3: each transaction holds the counters' row and deletes a bounded number of rows, because all
writers wait for it. It asks for nothing, so no network lies within it.
Rule 4: a failure is none of the commit before; the next one deletes again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

from statecast.errors import StatecastError
from statecast.stores.batch import NewVersion
from statecast.stores.limits import Limits
from statecast.stores.postgres import counters as counter_row
from statecast.stores.postgres.counters import StoredCounters
from statecast.stores.postgres.database import PostgresDatabase
from statecast.stores.postgres.driver import Connection
from statecast.stores.retention import DAY_MS, EVENT_IDS_MS, HOUR_MS, MAX_IDS, TOMBSTONE_MS

AT_ONCE = 5_000
"""Rows that one transaction deletes from a table."""
TOMBSTONES_AT_ONCE = 16
PAGES_AT_ONCE = 64
EVERY_MS = 1_000
REQUESTS_MS = HOUR_MS // 6
"""For how long the ids of transactions are kept; an unknown outcome is looked up within seconds."""
MANY = 1_000
"""Old versions of devices that are waited for, before they are deleted together."""

UNCOUNT = """
    UPDATE counters SET
        history_rows = history_rows - (SELECT count(*) FROM gone),
        history_bytes = history_bytes - (SELECT coalesce(sum(size), 0)::bigint FROM gone)"""
OF_DEVICES = f"""
    WITH gone AS (
        DELETE FROM history WHERE "offset" = ANY(ARRAY(
            SELECT old."offset" FROM unnest(%s, %s) AS full_one (device, last), LATERAL (
                SELECT "offset" FROM history
                WHERE history.device = full_one.device AND version <= full_one.last
                ORDER BY version LIMIT %s) AS old))
        RETURNING size)
    {UNCOUNT}"""
BY_AGE = f"""
    WITH head AS (SELECT "offset", arrived_at FROM history ORDER BY "offset" LIMIT %(most)s),
    young AS (
        SELECT min("offset") AS "offset" FROM head WHERE arrived_at BETWEEN %(before)s AND %(now)s),
    gone AS (
        DELETE FROM history WHERE "offset" = ANY(ARRAY(
            SELECT "offset" FROM head WHERE "offset" <= (
                SELECT max(head."offset") FROM head, young
                WHERE arrived_at < %(before)s AND head."offset" < coalesce(young."offset", 2^62))))
        RETURNING size)
    {UNCOUNT}"""
"""A row with a time that the clock has not reached is as old as the next row with a past one."""
BY_ROWS = f"""
    WITH gone AS (
        DELETE FROM history WHERE "offset" = ANY(ARRAY(
            SELECT "offset" FROM history ORDER BY "offset"
            LIMIT (SELECT greatest(0, least(%s, history_rows - %s)) FROM counters)))
        RETURNING size)
    {UNCOUNT}"""
BY_BYTES = f"""
    WITH head AS (
        SELECT "offset", sum(size) OVER (ORDER BY "offset") - size AS before
        FROM (
            SELECT "offset", size FROM history ORDER BY "offset"
            LIMIT (SELECT CASE WHEN history_bytes > %(most)s THEN %(limit)s ELSE 0 END
                FROM counters)) AS oldest),
    gone AS (
        DELETE FROM history WHERE "offset" = ANY(ARRAY(
            SELECT head."offset" FROM head, counters WHERE head.before < history_bytes - %(most)s))
        RETURNING size)
    {UNCOUNT}"""
TOMBSTONES = """
    WITH old AS (
        SELECT id FROM devices WHERE removed_at < %s ORDER BY removed_at LIMIT %s
        FOR UPDATE SKIP LOCKED),
    gone AS (
        DELETE FROM history WHERE device = ANY(ARRAY(SELECT id FROM old)) RETURNING size),
    forgotten AS (
        DELETE FROM devices WHERE id = ANY(ARRAY(SELECT id FROM old)) RETURNING "offset")
    UPDATE counters SET
        forgotten = greatest(forgotten, (SELECT max("offset") FROM forgotten)),
        history_rows = history_rows - (SELECT count(*) FROM gone),
        history_bytes = history_bytes - (SELECT coalesce(sum(size), 0)::bigint FROM gone)"""
"""A position from before such a removal is not valid any more: its reader gets all states again."""
EVENT_IDS = """
    WITH gone AS (
        DELETE FROM known_events WHERE ctid = ANY(ARRAY(
            (SELECT ctid FROM known_events WHERE at < %(before)s ORDER BY at LIMIT %(limit)s)
            UNION ALL
            (SELECT ctid FROM known_events ORDER BY at LIMIT (
                SELECT CASE WHEN known_events > %(most)s THEN %(limit)s ELSE 0 END FROM counters))))
        RETURNING 1)
    UPDATE counters SET known_events = known_events - (SELECT count(*) FROM gone)"""
MESSAGE_IDS = """
    WITH due AS (
        DELETE FROM pages WHERE page = ANY(ARRAY(
            (SELECT page FROM pages WHERE forget_at <= %(now)s ORDER BY forget_at LIMIT %(limit)s)
            UNION ALL
            (SELECT page FROM pages ORDER BY page LIMIT (
                SELECT CASE WHEN known_ids > %(most)s THEN %(limit)s ELSE 0 END FROM counters))))
        RETURNING page, source, ids),
    gone AS (
        DELETE FROM known WHERE ctid = ANY(ARRAY(
            SELECT found.place FROM due, unnest(due.ids) AS old (id), LATERAL (
                SELECT ctid AS place FROM known
                WHERE known.id = old.id AND known.source = due.source AND known.page = due.page
                OFFSET 0) AS found))
        RETURNING 1)
    UPDATE counters SET
        known_ids = known_ids - (SELECT coalesce(sum(cardinality(ids)), 0)::bigint FROM due)"""
REQUESTS = """
    DELETE FROM requests WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM requests WHERE at < %s ORDER BY at LIMIT %s))"""
EVICT = """
    WITH gone AS (
        DELETE FROM quarantine WHERE number = ANY(ARRAY(
            SELECT number FROM quarantine ORDER BY number
            LIMIT (SELECT greatest(0, quarantine_rows - %s) FROM counters)))
        RETURNING source),
    counted AS (
        INSERT INTO totals AS known (source, evicted) SELECT source, count(*) FROM gone GROUP BY 1
        ON CONFLICT (source) DO UPDATE SET evicted = known.evicted + excluded.evicted)
    UPDATE counters SET quarantine_rows = quarantine_rows - (SELECT count(*) FROM gone)"""


class Maintenance:
    """What one process deletes after its commits. Every method may be called from any thread."""

    def __init__(self, database: PostgresDatabase, limits: Limits) -> None:
        self._database = database
        self._limits = limits
        self._lock = threading.Lock()
        self._aged_at: int | None = None
        self._full: dict[int, int] = {}
        """Devices with too many versions: key, and the last version that is too many."""
        self._spare = max(1, limits.history_versions // 10)
        """Versions that a device may have beyond its bound."""

    def after_commit(
        self,
        counters: StoredCounters,
        versions: Sequence[NewVersion],
        now: int,
        age_from: int,
    ) -> None:
        """Delete what is due after a commit, which left these counters."""
        with self._lock:
            self._note_full(versions)
            aged = self._aged_at is None or not 0 <= now - self._aged_at < EVERY_MS
            if aged:
                self._aged_at = now
            spare = 1 if self._spare == 1 else MANY // self._spare
            full = list(self._full.items()) if aged or len(self._full) >= spare else []
            for device, _ in full:
                del self._full[device]
        if not (aged or full or self._is_too_much(counters)):
            return
        with suppress(StatecastError), self._database.write(False, notify=False) as connection:
            counter_row.hold(connection)
            if full:
                devices, last = map(list, zip(*full, strict=True))
                connection.execute(OF_DEVICES.encode(), (devices, last, AT_ONCE))
            self._delete_surplus(connection)
            if aged:
                self._delete_old(connection, counters, now, age_from)

    def _note_full(self, versions: Sequence[NewVersion]) -> None:
        """Note the devices of which one version in so many has come, so that each is due rarely."""
        for version in versions:
            number, key = version.row.version, version.loaded.key
            last = number - self._limits.history_versions
            if key is not None and last > 0 and (number % self._spare == 0 or key in self._full):
                self._full[key] = last

    def _is_too_much(self, counters: StoredCounters) -> bool:
        limits = self._limits
        return (
            counters.history_rows > limits.history_rows + limits.history_rows // 100
            or counters.history_bytes > limits.history_bytes + limits.history_bytes // 100
            or counters.quarantine_rows > limits.quarantine_rows
            or counters.known_ids > MAX_IDS + MAX_IDS // 100
            or counters.known_events > MAX_IDS + MAX_IDS // 100
        )

    def _delete_surplus(self, connection: Connection) -> None:
        limits = self._limits
        connection.execute(BY_ROWS.encode(), (AT_ONCE, limits.history_rows))
        bytes_ = {"limit": AT_ONCE, "most": limits.history_bytes}
        connection.execute(BY_BYTES.encode(), bytes_)
        connection.execute(EVICT, (limits.quarantine_rows,))

    def _delete_old(
        self, connection: Connection, counters: StoredCounters, now: int, age_from: int
    ) -> None:
        """Delete what is due by its age; see ``ClockWatch.age_from``."""
        before = int(age_from - self._limits.history_days * DAY_MS)
        oldest = counters.oldest_version_at
        if oldest is not None and (oldest < before or oldest > now):
            ages = {"before": before, "now": now, "most": AT_ONCE}
            connection.execute(BY_AGE.encode(), ages)
        connection.execute(TOMBSTONES, (age_from - TOMBSTONE_MS, TOMBSTONES_AT_ONCE))
        ids = {"before": age_from - EVENT_IDS_MS, "most": MAX_IDS, "limit": AT_ONCE}
        connection.execute(EVENT_IDS, ids)
        pages = {"now": age_from, "most": MAX_IDS, "limit": PAGES_AT_ONCE}
        connection.execute(MESSAGE_IDS, pages)
        connection.execute(REQUESTS, (age_from - REQUESTS_MS, AT_ONCE))
