"""Every visible version as a row; ``maintenance`` deletes old ones."""

from __future__ import annotations

from collections.abc import Sequence

from statecast.model import HistoryRow
from statecast.stores.batch import NewVersion
from statecast.stores.clock_watch import Reading
from statecast.stores.history_row import history_row_of, values_of
from statecast.stores.postgres.counters import SHIFT, StoredCounters
from statecast.stores.postgres.driver import Connection, only_row

COLUMNS = (
    '"offset", device, version, at, change, cause_source, cause_id, cause_by, size, arrived_at'
)
KINDS = ("bigint",) * 4 + ("bytea",) + ("text",) * 3 + ("bigint",) * 2
NAMES = [f"column_{number}" for number in range(len(KINDS))]
INSERT = (
    f"INSERT INTO history ({COLUMNS}) "
    f'SELECT {NAMES[0]} + shift."offset", {", ".join(NAMES[1:])} FROM unnest('
    + ", ".join(f"%({name})b::{kind}[]" for name, kind in zip(NAMES, KINDS, strict=True))
    + f") AS new ({', '.join(NAMES)}), {SHIFT}"
)


def save(connection: Connection, counters: StoredCounters, versions: Sequence[NewVersion]) -> None:
    """Write new versions. The row of the counters must be held."""
    if versions:
        columns = zip(*map(values_of, versions), strict=True)
        values = dict(zip(NAMES, map(list, columns), strict=True))
        connection.execute(INSERT.encode(), values | counters.base)


def read(
    connection: Connection, device: str, before: int | None, limit: int, reading: Reading
) -> list[HistoryRow]:
    """Versions below ``before``, newest first, with no time later than now."""
    found = connection.execute(
        f"SELECT {COLUMNS} FROM history "
        "WHERE device = (SELECT id FROM devices WHERE device = %s) AND version < %s "
        "ORDER BY version DESC LIMIT %s",
        (device, 2**62 if before is None else before, limit),
        binary=True,
    )
    return [history_row_of(row, reading) for row in found.fetchall()]


def size(connection: Connection, device: str, reading: Reading) -> tuple[int, int | None]:
    """The number of rows, and the earliest time of one."""
    asked = connection.execute(
        'SELECT count(*), min(at), min("offset") FROM history '
        "WHERE device = (SELECT id FROM devices WHERE device = %s)",
        (device,),
    )
    count, earliest, offset = only_row(asked)
    return count, None if earliest is None else reading.past(earliest, offset)
