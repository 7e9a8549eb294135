"""Every visible version as a row.

Old rows are deleted in proportion to what a commit writes, so that no commit takes long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import apsw

from statecast.model import Cause, HistoryRow
from statecast.stores.batch import NewVersion
from statecast.stores.contract import Limits
from statecast.stores.counters import Counters
from statecast.stores.retention import DAY_MS
from statecast.stores.sqlite.driver import row, rows

SPARE = 32
"""A commit deletes at most this many rows more than it wrote, so that the bounds are reached."""


def save(connection: apsw.Connection, versions: Sequence[NewVersion]) -> None:
    connection.executemany(
        "INSERT INTO history "
        "(offset, device, version, at, change, cause_source, cause_id, cause_by, size) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                version.offset,
                version.loaded.key,
                version.row.version,
                version.row.at,
                version.row.change,
                version.row.cause.source,
                version.row.cause.id,
                version.row.cause.by,
                version.size,
            )
            for version in versions
        ],
    )


def trim(
    connection: apsw.Connection,
    versions: Sequence[NewVersion],
    counters: Counters,
    limits: Limits,
    now: int,
) -> None:
    """Delete what exceeds the bounds: versions per device, then days, rows and bytes in all."""
    trim_devices(connection, versions, counters, limits)
    allowance = len(versions) + SPARE
    oldest = row(connection, "SELECT at FROM history ORDER BY offset LIMIT 1")
    before = int(now - limits.history_days * DAY_MS)
    if oldest is not None and oldest[0] < now - limits.history_days * DAY_MS:
        forget_before(connection, counters, allowance, before)
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
    written = Counter(version.loaded.key for version in versions)
    newest = {version.loaded.key: version.row.version for version in versions}
    for key, count in written.items():
        last = newest[key] - limits.history_versions
        if last > 0:
            which = "device = ? AND version <= ? ORDER BY version"
            forget(connection, counters, which, (key, last), count + SPARE)


def forget_oldest(connection: apsw.Connection, counters: Counters, count: int) -> None:
    forget(connection, counters, "TRUE ORDER BY offset", (), count)


def forget_before(connection: apsw.Connection, counters: Counters, count: int, before: int) -> None:
    """Delete those of the ``count`` oldest rows that are older than a time in ms."""
    head = rows(connection, "SELECT offset, at FROM history ORDER BY offset LIMIT ?", (count,))
    last = 0
    for offset, at in head:
        if at >= before:
            break
        last = offset
    forget(connection, counters, "offset <= ?", (last,), count)


def forget(
    connection: apsw.Connection,
    counters: Counters,
    which: str,
    values: tuple[int | None, ...],
    count: int,
) -> None:
    sql = f"SELECT offset FROM history WHERE {which} LIMIT ?"  # noqa: S608
    gone = rows(
        connection,
        f"DELETE FROM history WHERE offset IN ({sql}) RETURNING size",  # noqa: S608
        (*values, count),
    )
    counters.history_rows -= len(gone)
    counters.history_bytes -= sum(size for (size,) in gone)


def read(
    connection: apsw.Connection, device: str, before: int | None, limit: int
) -> list[HistoryRow]:
    found = rows(
        connection,
        "SELECT at, version, change, cause_source, cause_id, cause_by FROM history "
        "WHERE device = (SELECT id FROM devices WHERE device = ?) AND version < ? "
        "ORDER BY version DESC LIMIT ?",
        (device, 2**62 if before is None else before, limit),
    )
    return [
        HistoryRow(at, version, change, Cause(source, id_, by))
        for at, version, change, source, id_, by in found
    ]


def size(connection: apsw.Connection, device: str) -> tuple[int, int | None]:
    found: tuple[int, int | None] = row(
        connection,
        "SELECT count(*), min(at) FROM history "
        "WHERE device = (SELECT id FROM devices WHERE device = ?)",
        (device,),
    )
    return found
