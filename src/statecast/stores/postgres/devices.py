"""Devices as rows: each state with its stamps, which decide what a late message may change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from statecast import strict_json
from statecast.access.patterns import EVERYTHING, Patterns, name_ranges
from statecast.stores.batch import DeviceState
from statecast.stores.clock_watch import Reading
from statecast.stores.device_row import Row, device_state_of, values_of
from statecast.stores.postgres.counters import SHIFT, StoredCounters
from statecast.stores.postgres.driver import Connection, Cursor, row

COLUMNS = """id, device, version, "offset", seen, state, changed_at, seen_at, cause_source,
    cause_id, cause_by, silent_after, source, removed_at, fields, stamps, arrived_at, clock,
    commands"""
SELECT = f"SELECT {COLUMNS} FROM devices"

ADD_MISSING = """
    INSERT INTO devices (device)
    SELECT name FROM unnest(%b) AS wanted (name)
    WHERE NOT EXISTS (SELECT FROM devices WHERE devices.device = name)
    ORDER BY name COLLATE "C"
    ON CONFLICT (device) DO NOTHING
    RETURNING device, id"""
"""A row for each device that has none yet, so that there is one to lock."""
LOCK = f"{SELECT} WHERE device = ANY(%b) ORDER BY device FOR NO KEY UPDATE"

WRITTEN = (
    ("id", "bigint"),
    ("device", "text"),
    ("version", "bigint"),
    ("offset", "bigint"),
    ("seen", "bigint"),
    ("state", "bytea"),
    ("changed_at", "bigint"),
    ("seen_at", "bigint"),
    ("cause_source", "text"),
    ("cause_id", "text"),
    ("cause_by", "text"),
    ("silent_after", "float8"),
    ("source", "text"),
    ("removed_at", "bigint"),
    ("fields", "bytea"),
    ("stamps", "bytea"),
    ("arrived_at", "bigint"),
    ("clock", "bytea"),
    ("commands", "text"),
)
SHIFTED = {
    "offset": 'CASE WHEN new."offset" > %(offset)s THEN new."offset" + shift."offset" '
    'ELSE new."offset" END',
    "seen": "CASE WHEN new.seen > %(seen)s THEN new.seen + shift.seen ELSE new.seen END",
}
"""What this commit gave out is moved; what the device had before stays."""
UPDATE = (
    "UPDATE devices SET "
    + ", ".join(
        f'"{name}" = {SHIFTED.get(name, f"new.{name}")}'
        for name, _ in WRITTEN
        if name not in ("id", "device")
    )
    + " FROM unnest("
    + ", ".join(f"%({name}_)b::{kind}[]" for name, kind in WRITTEN)
    + ") AS new ("
    + ", ".join(f'"{name}"' for name, _ in WRITTEN)
    + f"), {SHIFT} WHERE devices.id = new.id"
)


class LockedDevices:
    """The devices that a transaction has locked, and whose rows are on their way."""

    def __init__(self, connection: Connection, names: Collection[str]) -> None:
        """Ask for the rows, in the order of names; for those that do not exist yet too."""
        self._connection = connection
        self._names = sorted(names)
        self._asked: list[Cursor] = []
        self._ask()
        self.added: dict[str, int] = {}
        """The keys of the rows that this transaction has added, by name."""

    def _ask(self) -> None:
        if self._names:
            names = (self._names,)
            self._asked = [
                self._connection.execute(ADD_MISSING, names),
                self._connection.execute(LOCK.encode(), names, binary=True),
            ]

    def rows(self) -> list[Row]:
        """The rows of devices that were there before."""
        while self._names:
            added, locked = self._asked
            self.added |= dict(added.fetchall())
            found = locked.fetchall()
            if len(found) == len(self._names):
                return [row for row in found if row[1] not in self.added]
            self._ask()  # a tombstone was forgotten between the two statements
        return []

    def loaded(self, rows: Sequence[Row], reading: Reading) -> dict[str, DeviceState]:
        return {row[1]: device_state_of(row, reading) for row in rows}

    def remove_unused(self, touched: Sequence[DeviceState]) -> None:
        """Give new devices their keys, and delete the rows that were added in vain."""
        for loaded in touched:
            if loaded.key is None:
                loaded.key = self.added.pop(loaded.record.device)
        if self.added:
            self._connection.execute(
                "DELETE FROM devices WHERE id = ANY(%s)", (list(self.added.values()),)
            )


def save(connection: Connection, counters: StoredCounters, touched: Sequence[DeviceState]) -> None:
    """Write each device once. The row of the counters must be held."""
    if not touched:
        return
    columns = zip(*((loaded.key, *values_of(loaded)) for loaded in touched), strict=True)
    values = {f"{name}_": list(column) for (name, _), column in zip(WRITTEN, columns, strict=True)}
    connection.execute(UPDATE.encode(), values | counters.base)


def one(connection: Connection, device: str) -> Cursor:
    """Ask for the row of a device."""
    return connection.execute(f"{SELECT} WHERE device = %s".encode(), (device,), binary=True)


def commands_of(connection: Connection, device: str) -> tuple[str, ...] | None:
    """The commands that a device said it takes; None if it never said it."""
    found = row(connection, "SELECT commands FROM devices WHERE device = %s", (device,))
    if found is None or found[0] is None:
        return None
    return tuple(strict_json.decode_checked(found[0]))


def present(connection: Connection, after: str, limit: int | None, readable: Patterns) -> list[Row]:
    """Rows of present devices by name, after this one and readable, up to ``limit``."""
    ranges = [("", "\x7f")] if readable == EVERYTHING else name_ranges(readable)
    found: list[Row] = []
    for begin, end in ranges:
        room = None if limit is None else limit - len(found)
        if room is not None and room <= 0:
            break
        # What is exactly one name is a range up to the next text, which has a NUL.
        exact = end.endswith("\0")
        which = "device = %(begin)s" if exact else "device >= %(begin)s AND device < %(end)s"
        sql = (
            f"{SELECT} WHERE state IS NOT NULL AND {which} AND device > %(after)s "
            "ORDER BY device LIMIT %(room)s"
        )
        values: dict[str, Any] = {"begin": begin, "end": end, "after": after, "room": room}
        if exact:
            del values["end"]
        found += connection.execute(sql.encode(), values, binary=True).fetchall()
    return found


def neighbours(connection: Connection, device: str, limit: int) -> list[str]:
    """Names around this one, from the index."""
    select = "SELECT device FROM devices WHERE state IS NOT NULL AND device"
    before = connection.execute(
        f"{select} < %s ORDER BY device DESC LIMIT %s".encode(), (device, limit)
    )
    after = connection.execute(f"{select} >= %s ORDER BY device LIMIT %s".encode(), (device, limit))
    return [name for (name,) in [*before.fetchall()[::-1], *after.fetchall()]]
