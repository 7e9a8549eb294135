"""Every visible version as a row.

Old rows are deleted in proportion to what a commit writes, so that no commit takes long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import apsw

from statecast import strict_json
from statecast.errors import StatecastError
from statecast.model import HistoryRow
from statecast.stores.batch import NewVersion
from statecast.stores.clock_watch import Reading
from statecast.stores.counters import Counters
from statecast.stores.history_row import history_row_of, values_of
from statecast.stores.limits import Limits
from statecast.stores.retention import DAY_MS
from statecast.stores.sqlite.driver import integer, rows
from statecast.stores.sqlite.driver import row as first
from statecast.stores.sqlite.row_reader import RowReader
from statecast.stores.sqlite.tables import Row, sealed, table

HISTORY = table("history")

ARRIVED_AT = f"coalesce({integer('arrived_at')}, {integer('at')})"
"""Rows of older versions have one time only."""
SPARE = 32
"""A commit deletes at most this many rows more than it wrote, so that the bounds are reached."""


def content_fault(row: Row) -> str | None:
    """Why the values of a row without a checksum cannot be right."""
    change = row[4]
    try:
        value = {} if change is None else strict_json.decode(change)
    except StatecastError as error:
        return f"its change cannot be read: {error}"
    return None if isinstance(value, dict) else "change is no JSON object"


def save(connection: apsw.Connection, versions: Sequence[NewVersion]) -> None:
    written = [sealed(values_of(version)) for version in versions]
    try:
        connection.executemany(HISTORY.insert, written)
    except apsw.ConstraintError:
        # No offset or version is given out twice, so the row that is in the way is damaged.
        connection.executemany(HISTORY.replace, written)


def trim(
    connection: apsw.Connection,
    versions: Sequence[NewVersion],
    counters: Counters,
    limits: Limits,
    now: int,
    age_from: int,
) -> None:
    """Delete what exceeds the bounds: versions per device, then days, rows and bytes in all.

    Days count from ``age_from``; see ``ClockWatch.age_from``.
    """
    trim_devices(connection, versions, counters, limits)
    allowance = len(versions) + SPARE
    sql = f"SELECT {ARRIVED_AT} FROM history ORDER BY offset LIMIT 1"  # noqa: S608
    oldest = first(connection, sql)
    before = int(age_from - limits.history_days * DAY_MS)
    if oldest is not None and (oldest[0] < before or oldest[0] > now):
        forget_before(connection, counters, allowance, before, now)
    too_many = counters.history_rows - limits.history_rows
    if too_many > 0:
        forget_oldest(connection, counters, min(allowance, too_many))
    while counters.history_bytes > limits.history_bytes and counters.history_rows and allowance > 0:
        average = counters.history_bytes // counters.history_rows + 1
        count = min(allowance, (counters.history_bytes - limits.history_bytes) // average + 1)
        forget_oldest(connection, counters, count)
        allowance -= count


def trim_devices(
    connection: apsw.Connection,
    versions: Sequence[NewVersion],
    counters: Counters,
    limits: Limits,
) -> None:
    """Delete the oldest versions of the devices that this commit changed."""
    newest = {version.loaded.key: version.row.version for version in versions}
    lasts = {
        key: version - limits.history_versions
        for key, version in newest.items()
        if version > limits.history_versions
    }
    written = Counter(version.loaded.key for version in versions) if lasts else {}
    for key, last in lasts.items():
        which = "device = ? AND version <= ? ORDER BY version"
        forget(connection, counters, which, (key, last), written[key] + SPARE)


def forget_oldest(connection: apsw.Connection, counters: Counters, count: int) -> None:
    forget(connection, counters, "TRUE ORDER BY offset", (), count)


def forget_before(
    connection: apsw.Connection, counters: Counters, count: int, before: int, now: int
) -> None:
    """Delete those of the ``count`` oldest rows that were committed before a time in ms.

    A row with a time that the clock has not reached is as old as the next row that has a past one.
    """
    sql = f"SELECT offset, {ARRIVED_AT} FROM history ORDER BY offset LIMIT ?"  # noqa: S608
    head = rows(connection, sql, (count,))
    last = 0
    for offset, arrived_at in head:
        if before <= arrived_at <= now:
            break
        if arrived_at < before:
            last = offset
    forget(connection, counters, "offset <= ?", (last,), count)


def forget(
    connection: apsw.Connection,
    counters: Counters,
    which: str,
    values: tuple[int | None, ...],
    count: int,
) -> bool:
    """Delete up to ``count`` rows. Returns whether no more are left of those."""
    # One statement for both would make a table of the offsets each time, for 40 us.
    sql = f"SELECT offset, {integer('size')} FROM history WHERE {which} LIMIT ?"  # noqa: S608
    gone = rows(connection, sql, (*values, count))
    connection.executemany("DELETE FROM history WHERE offset = ?", [row[:1] for row in gone])
    counters.history_rows -= len(gone)
    counters.history_bytes -= sum(size for _, size in gone)
    return len(gone) < count


def read(
    connection: apsw.Connection,
    reader: RowReader,
    device: str,
    before: int | None,
    limit: int,
    reading: Reading,
) -> list[HistoryRow]:
    """Versions below ``before``, newest first, with no time later than now.

    Damaged ones are left out.
    """
    found = reader.rows(
        connection,
        HISTORY,
        "WHERE device = (SELECT id FROM devices WHERE device = ?) AND version < ? "
        "ORDER BY version DESC LIMIT ?",
        (device, 2**62 if before is None else before, limit),
        content_fault,
    )
    return [history_row_of(row, reading) for row in found]


def size(connection: apsw.Connection, device: str, reading: Reading) -> tuple[int, int | None]:
    """The number of rows, and the earliest time of one."""
    count, earliest, offset = first(
        connection,
        f"SELECT count(*), min({integer('at')}), min(offset) FROM history "  # noqa: S608
        "WHERE device = (SELECT id FROM devices WHERE device = ?)",
        (device,),
    )
    return count, None if earliest is None else reading.past(earliest, offset)
