"""A version as a row, in the order of columns that all stores in databases share.

offset, device, version, at, change, three columns of the cause, size, arrived_at; what follows is
the store's own.
"""

from __future__ import annotations

from typing import Any

from statecast.model import HistoryRow
from statecast.stores import causes
from statecast.stores.batch import NewVersion
from statecast.stores.clock_watch import Reading

Row = tuple[Any, ...]


def history_row_of(row: Row, reading: Reading) -> HistoryRow:
    """A version as readers get it, with no time later than now."""
    offset, _, version, at, change, source, id_, by, _, arrived_at, *_ = row
    at, arrived_at = (
        reading.past(at if time is None else time, offset) for time in (at, arrived_at)
    )
    return HistoryRow(at, version, change, causes.cause_of(source, id_, by), arrived_at)


def values_of(version: NewVersion) -> Row:
    """All columns of a new version."""
    return (
        version.offset,
        version.loaded.key,
        version.row.version,
        version.row.at,
        version.row.change,
        *causes.columns(version.row.cause),
        version.size,
        version.row.arrived_at,
    )
