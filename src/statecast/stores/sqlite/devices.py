"""Devices as rows: each state with its stamps, which decide what a late message may change."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

import apsw

from statecast import strict_json
from statecast.errors import StatecastError, StoreUnusable
from statecast.merge.apply import DeviceRecord, Stamps
from statecast.model import Cause, Update
from statecast.stores.batch import DeviceState
from statecast.stores.counters import Counters
from statecast.stores.retention import TOMBSTONE_MS
from statecast.stores.sqlite.driver import row, rows

FORGET_AT_ONCE = 16
"""How many tombstones, and how many history rows of each, one commit deletes."""

UPDATE_COLUMNS = (
    "device, version, offset, state, changed_at, seen_at, cause_source, cause_id, cause_by, "
    "silent_after, source, fields"
)


def update_of(columns: tuple[Any, ...]) -> Update:
    """The update of a row. Raises StoreUnusable for a damaged one."""
    silent_after, source, fields = columns[9:]
    try:
        times = json.loads(fields)
    except ValueError as error:
        raise damaged(columns[0], error) from error
    device, version, offset, state, changed_at, seen_at = columns[:6]
    cause = Cause(*columns[6:9])
    return Update(
        device, version, offset, state, changed_at, seen_at, cause, silent_after, source, times
    )


def load(connection: apsw.Connection, devices: Collection[str]) -> dict[str, DeviceState]:
    """The rows of the named devices that exist."""
    found = rows(
        connection,
        f"SELECT {UPDATE_COLUMNS}, id, seen, removed_at, stamps FROM devices "  # noqa: S608
        "WHERE device IN (SELECT value FROM json_each(?))",
        (json.dumps(list(devices)),),
    )
    return {columns[0]: checked(columns) for columns in found}


def checked(columns: tuple[Any, ...]) -> DeviceState:
    """Raises StoreUnusable for a row that another program wrote or a disk has damaged."""
    try:
        return device_state_of(columns)
    except StoreUnusable:
        raise
    except (StatecastError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise damaged(columns[0], error) from error


def damaged(device: str, error: Exception) -> StoreUnusable:
    return StoreUnusable(
        f"The store's row of the device {device!r} is damaged ({error}); restore it from a backup."
    )


def device_state_of(columns: tuple[Any, ...]) -> DeviceState:
    update = update_of(columns[:12])
    key, seen, removed_at, stamps = columns[12:]
    record = DeviceRecord(
        device=update.device,
        version=update.version,
        state=None if update.state is None else strict_json.decode(update.state),
        stamps=Stamps.load(stamps),
        fields=update.fields,
        changed_at=update.changed_at,
        seen_at=update.seen_at,
        silent_after=update.silent_after,
        source=update.source,
        offset=update.offset,
        size=None if update.state is None else len(update.state),
    )
    return DeviceState(record, update.cause, update.offset, update.state, seen, key, removed_at)


def save(connection: apsw.Connection, touched: Iterable[DeviceState]) -> None:
    """Write each device once, and set the key of new ones."""
    for loaded in touched:
        record, cause = loaded.record, loaded.cause
        values = (
            record.version,
            loaded.offset,
            loaded.seen,
            loaded.state,
            record.changed_at,
            record.seen_at,
            cause.source,
            cause.id,
            cause.by,
            record.silent_after,
            record.source,
            loaded.removed_at,
            json.dumps(dict(record.fields)).encode(),
            record.stamps.dump(),
        )
        if loaded.key is None:
            loaded.key = row(connection, INSERT, (record.device, *values))[0]
        else:
            rows(connection, UPDATE, (*values, loaded.key))


WRITTEN = (
    "version, offset, seen, state, changed_at, seen_at, cause_source, cause_id, cause_by, "
    "silent_after, source, removed_at, fields, stamps"
)
INSERT = (
    f"INSERT INTO devices (device, {WRITTEN}) "  # noqa: S608
    f"VALUES ({', '.join('?' * 15)}) RETURNING id"
)
UPDATE = f"UPDATE devices SET ({WRITTEN}) = ({', '.join('?' * 14)}) WHERE id = ?"  # noqa: S608


def forget_tombstones(connection: apsw.Connection, counters: Counters, now: int) -> None:
    """Delete a few of the tombstones that are too old.

    A position from before such a removal is not valid any more: its reader gets all states again.
    """
    old = rows(
        connection,
        "SELECT id, offset FROM devices WHERE removed_at IS NOT NULL AND removed_at < ? "
        "ORDER BY removed_at LIMIT ?",
        (now - TOMBSTONE_MS, FORGET_AT_ONCE),
    )
    for key, offset in old:
        gone = rows(
            connection,
            "DELETE FROM history WHERE offset IN "
            "(SELECT offset FROM history WHERE device = ? LIMIT ?) RETURNING size",
            (key, FORGET_AT_ONCE),
        )
        counters.history_rows -= len(gone)
        counters.history_bytes -= sum(size for (size,) in gone)
        if len(gone) < FORGET_AT_ONCE:
            rows(connection, "DELETE FROM devices WHERE id = ?", (key,))
            counters.forgotten = max(counters.forgotten, offset)
