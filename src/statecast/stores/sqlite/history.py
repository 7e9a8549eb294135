"""Every visible version as a row, trimmed in proportion to what is written: no commit pauses for old ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import apsw

from statecast.model import Cause, HistoryRow
from statecast.stores.batch import NewVersion
from statecast.stores.contract import Limits
from statecast.stores.sqlite.counters import Counters
from statecast.stores.sqlite.driver import row, rows

DAY_MS = 24 * 3600 * 1000
SPARE = 32
"""A commit trims at most this many rows more than it wrote, so that the bounds are reached in the end."""


def save(connection: apsw.Connection, versions: Sequence[NewVersion]) -> None:
    connection.executemany(
        "INSERT INTO history (offset, device, version, at, change, cause_source, cause_id, cause_by, size) "
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
    written = Counter(version.loaded.key for version in versions)
    newest = {version.loaded.key: version.row.version for version in versions}
    for key, count in written.items():
        below = newest[key] - limits.history_versions
        if below > 0:
            forget(
                connection,
                counters,
                "device = ? AND version <= ? ORDER BY version",
                (key, below),
                count + SPARE,
            )
    oldest = row(connection, "SELECT at FROM history ORDER BY offset LIMIT 1")
    allowance = len(versions) + SPARE
    if oldest is not None and oldest[0] < now - limits.history_days * DAY_MS:
        before = int(now - limits.history_days * DAY_MS)
        forget_oldest(connection, counters, allowance, before=before)
    if counters.history_rows > limits.history_rows:
        forget_oldest(
            connection, counters, min(allowance, counters.history_rows - limits.history_rows)
        )
    while counters.history_bytes > limits.history_bytes and counters.history_rows and allowance > 0:
        share = counters.history_bytes // counters.history_rows + 1
        count = min(allowance, (counters.history_bytes - limits.history_bytes) // share + 1)
        forget_oldest(connection, counters, count)
        allowance -= count


def forget_oldest(
    connection: apsw.Connection, counters: Counters, count: int, before: int | None = None
) -> None:
    """Up to ``count`` rows from the beginning, and of them those of before a time if one is given."""
    if before is None:
        forget(connection, counters, "TRUE ORDER BY offset", (), count)
        return
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
    n: int,
) -> None:
    gone = rows(
        connection,
        f"DELETE FROM history WHERE offset IN (SELECT offset FROM history WHERE {which} LIMIT ?) RETURNING size",  # noqa: S608
        (*values, n),
    )
    counters.history_rows -= len(gone)
    counters.history_bytes -= sum(size for (size,) in gone)


def read(
    connection: apsw.Connection, device: str, before: int | None, limit: int
) -> list[HistoryRow]:
    found = rows(
        connection,
        "SELECT at, version, change, cause_source, cause_id, cause_by FROM history "
        "WHERE device = (SELECT id FROM devices WHERE device = ?) AND version < ? ORDER BY version DESC LIMIT ?",
        (device, 2**62 if before is None else before, limit),
    )
    return [
        HistoryRow(at, version, change, Cause(source, id_, by))
        for at, version, change, source, id_, by in found
    ]


def size(connection: apsw.Connection, device: str) -> tuple[int, int | None]:
    found: tuple[int, int | None] = row(
        connection,
        "SELECT count(*), min(at) FROM history WHERE device = (SELECT id FROM devices WHERE device = ?)",
        (device,),
    )
    return found
