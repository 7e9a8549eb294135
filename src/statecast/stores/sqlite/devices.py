"""Devices as rows: each state with its stamps, which decide what a late message may change."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import apsw

from statecast import names, strict_json
from statecast.access.patterns import EVERYTHING, Patterns, following, name_ranges
from statecast.errors import RowDamaged, StatecastError, StoreUnavailable
from statecast.merge.apply import Stamps
from statecast.merge.device_clock import DeviceClock
from statecast.stores.batch import DeviceState
from statecast.stores.clock_watch import Reading
from statecast.stores.counters import Counters
from statecast.stores.device_row import device_state_of, values_of
from statecast.stores.retention import TOMBSTONE_MS
from statecast.stores.sqlite import history
from statecast.stores.sqlite.device_cache import DeviceCache
from statecast.stores.sqlite.driver import Bindings, rows
from statecast.stores.sqlite.driver import row as first
from statecast.stores.sqlite.row_reader import Damaged, RowReader, fetch
from statecast.stores.sqlite.tables import Row, sealed, table

FORGET_AT_ONCE = 16
"""How many tombstones, and how many history rows of each, one commit deletes."""

PAGE = 1_000
"""Names that are read at once."""
NAMES = """
    SELECT device FROM devices
    WHERE state IS NOT NULL AND device >= ? AND device < ? AND device NOT GLOB '*[^!-~]*'
    ORDER BY device LIMIT ?"""
"""Of present devices, without those whose name is damaged."""
ALL = "WHERE state IS NOT NULL"
ROWS = f"{ALL} AND device >= ? AND device <= ? ORDER BY device"

DEVICES = table("devices")

STEADY = ("device", "seen", "removed_at")
"""Columns with an index that few changes touch. SQLite writes the index of each column that a
statement sets, also where the value stays the same."""
OTHERS = tuple(name for name in DEVICES.written if name not in STEADY)
UPDATE_OTHERS = DEVICES.update_of(OTHERS)
steady_of, others_of = (
    itemgetter(*map(DEVICES.written.index, names)) for names in (STEADY, OTHERS)
)
"""Their values in what ``sealed`` returns."""


def content_fault(row: Row) -> str | None:
    """Why the values of a row without a checksum cannot be right."""
    _, device, version, offset, _, state, *_, fields, stamps, _, clock, commands, _ = row
    try:
        names.check(device)
        Stamps.load(stamps)
        DeviceClock.load(clock)
        times, value = json.loads(fields), None if state is None else strict_json.decode(state)
        takes = None if commands is None else json.loads(commands)
    except (StatecastError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        return f"its values cannot be read: {error}"
    if not isinstance(times, dict) or not all(type(time) is int for time in times.values()):
        return "fields is no object of times"
    if not isinstance(value, dict | None):
        return "state is no JSON object"
    if takes is not None and not are_names(takes):
        return "commands is no list of names"
    return None if version >= 0 and offset >= 0 else "its version or offset is below 0"


def are_names(value: Any) -> bool:
    """Whether a value is a list of texts."""
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def read(
    connection: apsw.Connection, reader: RowReader, rest: str, bindings: Bindings = ()
) -> list[Row]:
    """The whole rows of a query; ``rest`` is the query from WHERE on."""
    return reader.rows(connection, DEVICES, rest, bindings, content_fault)


def one(connection: apsw.Connection, reader: RowReader, device: str) -> Row | None:
    """The row of a device. Raises RowDamaged."""
    whole, damaged = reader.split(connection, DEVICES, "WHERE device = ?", (device,), content_fault)
    if damaged:
        raise RowDamaged(f"The device {device!r} cannot be shown. {damaged[0].sentence}")
    return whole[0] if whole else None


def commands_of(
    connection: apsw.Connection, reader: RowReader, device: str
) -> tuple[str, ...] | None:
    """The commands that a device said it takes; None if it never said it. Raises RowDamaged."""
    found = one(connection, reader, device)
    if found is None or found[-2] is None:
        return None
    return tuple(strict_json.decode_checked(found[-2]))


def load(
    connection: apsw.Connection,
    reader: RowReader,
    cache: DeviceCache,
    devices: Collection[str],
    reading: Reading,
) -> tuple[dict[str, DeviceState], list[Damaged]]:
    """The named devices that exist, and the damaged rows among them."""
    if reader.known(DEVICES.name):  # each whole row is examined: it may be mended
        cache.clear()
    loaded, unread = cache.unchanged(devices, reading)
    if not unread:
        return loaded, []
    found = fetch(
        connection,
        DEVICES,
        "WHERE device IN (SELECT value FROM json_each(?))",
        (strict_json.encode_checked(unread).decode(),),
    )
    equal, unknown = cache.split(found, reading)
    loaded |= equal
    whole, damaged = reader.examine(DEVICES, unknown, content_fault)
    loaded |= {row[1]: replace(device_state_of(row, reading), stored=row) for row in whole}
    missing = set(devices) - loaded.keys() - {one.device for one in damaged}
    return loaded, damaged + renamed(connection, reader, missing)


def renamed(
    connection: apsw.Connection, reader: RowReader, missing: Collection[str]
) -> list[Damaged]:
    """The damaged rows that are of these devices, if the name is what was damaged.

    The checksum proves it. Else a device would get a second row under its name.
    """
    suspects = reader.known(DEVICES.name) if missing else []
    found = []
    for suspect in suspects:
        for row in fetch(connection, DEVICES, "WHERE id = ?", suspect.key):
            rest = row[2:]
            found += [
                Damaged(DEVICES, (row[0], name, *rest), "its name is another")
                for name in missing
                if DEVICES.fits((row[0], name, *rest))
            ]
    return found


def save(
    connection: apsw.Connection, cache: DeviceCache, touched: Iterable[DeviceState], now: int
) -> None:
    """Write each device once, and set the key of new ones."""
    whole: list[Row] = []
    others: list[Row] = []
    for loaded in touched:
        row = sealed(values_of(loaded))
        if loaded.key is None:
            loaded.key = first(connection, f"{DEVICES.insert} RETURNING id", row)[0]
        elif loaded.stored is None:  # rebuilt of a damaged row: its times are not proven
            whole.append((*row, loaded.key))
            cache.forget(loaded.record.device)
            continue
        elif steady_of(loaded.stored[1:]) != steady_of(row):
            whole.append((*row, loaded.key))
        else:
            others.append((*others_of(row), loaded.key))
        cache.put((loaded.key, *row), loaded, now)
    for sql, written in ((DEVICES.update, whole), (UPDATE_OTHERS, others)):
        if written:
            update(connection, cache, sql, written)


def update(
    connection: apsw.Connection, cache: DeviceCache, sql: str, written: Sequence[Row]
) -> None:
    """Change rows, each of which must be there. Raises StoreUnavailable."""
    before = connection.total_changes()
    connection.executemany(sql, written)
    if connection.total_changes() - before != len(written):  # no write may be lost
        cache.clear()
        raise StoreUnavailable("A device changed while it was written; try again.")


def forget_tombstones(
    connection: apsw.Connection,
    reader: RowReader,
    cache: DeviceCache,
    counters: Counters,
    now: int,
) -> None:
    """Delete a few of the tombstones that are too old.

    A position from before such a removal is not valid any more: its reader gets all states again.
    """
    old = read(
        connection,
        reader,
        "WHERE removed_at IS NOT NULL AND removed_at < ? ORDER BY removed_at LIMIT ?",
        (now - TOMBSTONE_MS, FORGET_AT_ONCE),
    )
    for key, name, _, offset, *_ in old:
        if history.forget(connection, counters, "device = ?", (key,), FORGET_AT_ONCE):
            rows(connection, "DELETE FROM devices WHERE id = ?", (key,))
            cache.forget(name)
            counters.forgotten = max(counters.forgotten, offset)


def present(
    connection: apsw.Connection,
    reader: RowReader,
    after: str,
    limit: int | None,
    readable: Patterns,
) -> list[Row]:
    """Rows of present devices by name, after this one and readable, up to ``limit``.

    The names of a page come first, from the index: a damaged row must not look like the end.
    """
    if limit is None and readable == EVERYTHING:  # at once, so that damaged names are noticed too
        return read(connection, reader, f"{ALL} AND device > ? ORDER BY device", (after,))
    found: list[Row] = []
    for begin, end in name_ranges(readable):
        begin = max(begin, following(after))
        while begin < end and (limit is None or len(found) < limit):
            room = PAGE if limit is None else min(PAGE, limit - len(found))
            page = rows(connection, NAMES, (begin, end, room))
            if not page:
                break
            bounds = begin, page[-1][0]
            found += read(connection, reader, ROWS, bounds)
            begin = following(page[-1][0])
    return found


def neighbours(connection: apsw.Connection, device: str, limit: int) -> list[str]:
    """Names around this one, from the index. A damaged name is shown with its readable part."""
    present = (
        "SELECT CAST(device AS BLOB) FROM devices "
        "WHERE state IS NOT NULL AND typeof(device) = 'text' AND device"
    )
    before = rows(connection, f"{present} < ? ORDER BY device DESC LIMIT ?", (device, limit))
    after = rows(connection, f"{present} >= ? ORDER BY device LIMIT ?", (device, limit))
    return [bytes(name).decode("utf-8", "replace") for (name,) in [*before[::-1], *after]]
