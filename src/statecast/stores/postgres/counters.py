"""The counters of a store as one row, which every commit changes last.

Rule 1: ``save`` writes differences, so a commit may begin with numbers that another one changes
meanwhile. What depends on the exact number is written relative to the row as it is when it is
locked: ``SHIFT``.
Rule 2: a transaction locks this row after those of sources, devices and queues, and then no other
row that two transactions may want.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

from statecast.stores.counters import Counters
from statecast.stores.postgres import server
from statecast.stores.postgres.clock import CLOCK, ServerClock
from statecast.stores.postgres.driver import Connection, Cursor, only_row

SEQUENCES = ("arrival", "page", "receipt")
"""Numbers that sequences give."""
NAMES = tuple(one.name for one in fields(Counters) if one.name not in SEQUENCES)
SET = ("clock", "doubted_at", "doubted_by", "doubted_offset", "doubted_seen")
"""What is written as it is; of the others the difference is added."""

COLUMNS = ", ".join(f'"{name}"' for name in NAMES)
EPOCH = "(SELECT server FROM epochs ORDER BY number DESC LIMIT 1)"
OLDEST = '(SELECT arrived_at FROM history ORDER BY "offset" LIMIT 1)'
ARRIVALS = "ARRAY(SELECT nextval('arrivals') FROM generate_series(1, %s))"
SELECT = f"SELECT {COLUMNS} FROM counters"
LOAD = f"SELECT {COLUMNS}, {CLOCK}, {EPOCH}, {server.RUN}, {OLDEST}, {ARRIVALS} FROM counters"
LOCK = f"{LOAD} FOR UPDATE"
LOOK = f"SELECT {COLUMNS}, {CLOCK} FROM counters"
HOLD = "SELECT FROM counters FOR UPDATE"

WITHIN = "SELECT 1 / (devices <= %s)::int FROM counters"
"""It fails if other commits have added devices too, and together they are more than there may be.

It divides by zero then, the only division in our SQL: no statement of SQL just fails, and to read a
count would cost a round trip before the COMMIT.
"""

SHIFT = """
    (SELECT "offset" - %(offset)s AS "offset", seen - %(seen)s AS seen FROM counters) AS shift"""
"""What offsets and sightings are moved by, once the row is locked."""

REMEMBER = f"""
    INSERT INTO requests (id, at, "offset")
    SELECT %s, coalesce(%s::bigint, {CLOCK}), "offset" FROM counters
    RETURNING requests."offset"
"""


@dataclass(slots=True)
class StoredCounters(Counters):
    """Counters with what they were when they were loaded, and what was read beside them."""

    loaded: tuple[int, ...] = ()
    arrivals: tuple[int, ...] = ()
    """Numbers of arrival that are not used yet, the next one last."""
    is_new_server: bool = False
    """The newest epoch began under another server, or before this one started."""
    oldest_version_at: int | None = None
    """When the oldest row of the history arrived."""

    def coming_arrival(self) -> int:
        return self.arrivals[-1]

    def next_arrival(self) -> int:
        """A number of the sequence, reserved after the devices were locked."""
        self.arrivals, number = self.arrivals[:-1], self.arrivals[-1]
        return number

    @property
    def adds_devices(self) -> bool:
        return self.devices > self.loaded[NAMES.index("devices")]

    @property
    def base(self) -> dict[str, int]:
        """The values for ``SHIFT``."""
        before = dict(zip(NAMES, self.loaded, strict=True))
        return {"offset": before["offset"], "seen": before["seen"]}


class Asked(NamedTuple):
    """A question for the counters whose answer is on its way."""

    cursor: Cursor
    clock: ServerClock | None
    at: int

    def answer(self) -> StoredCounters:
        """The counters; the server's clock is noted."""
        row = only_row(self.cursor)
        loaded = row[: len(NAMES)]
        reading, epoch_server, run, oldest, arrivals = row[len(NAMES) :]
        if self.clock is not None:
            self.clock.note(reading, self.at)
        found = StoredCounters(
            loaded=loaded,
            arrivals=tuple(reversed(arrivals)),
            is_new_server=not (epoch_server or "").endswith(run),
            oldest_version_at=oldest,
        )
        for name, value in zip(NAMES, loaded, strict=True):
            setattr(found, name, value)
        return found


def ask(
    connection: Connection, clock: ServerClock | None, *, arrivals: int = 0, lock: bool = False
) -> Asked:
    """Ask for the counters as they are now; with ``lock`` they stay so until the transaction ends.

    ``arrivals`` numbers of the order of arrival are reserved.
    """
    at = 0 if clock is None else clock.asked()
    return Asked(connection.execute((LOCK if lock else LOAD).encode(), (arrivals,)), clock, at)


def load(connection: Connection) -> Counters:
    """The counters for a reader."""
    row = only_row(connection.execute(SELECT.encode()))
    return Counters(**dict(zip(NAMES, row, strict=True)))


class Look(NamedTuple):
    """A question for the counters and the server's clock alone: an idle process asks no more."""

    cursor: Cursor
    clock: ServerClock | None
    at: int

    def answer(self) -> Counters:
        """The counters; the server's clock is noted."""
        *numbers, reading = only_row(self.cursor)
        if self.clock is not None:
            self.clock.note(reading, self.at)
        return Counters(**dict(zip(NAMES, numbers, strict=True)))


def look(connection: Connection, clock: ServerClock | None) -> Look:
    """Ask for the counters, but for nothing that only a commit needs."""
    at = 0 if clock is None else clock.asked()
    return Look(connection.execute(LOOK.encode()), clock, at)


def save_step(connection: Connection, counters: Counters) -> None:
    """Write that the clock was set; see ``ClockWatch.check``."""
    settings = ", ".join(f'"{name}" = %({name})s' for name in SET)
    values = {name: getattr(counters, name) for name in SET}
    connection.execute(f"UPDATE counters SET {settings}".encode(), values)


def hold(connection: Connection) -> None:
    """Lock the row without waiting for the answer."""
    connection.execute(HOLD)


def save(connection: Connection, counters: StoredCounters, request: str | None = None) -> Cursor:
    """Write what has changed. The cursor has the offset as it is then.

    ``request`` is kept as the id of the transaction; see ``PostgresDatabase.outcome``.
    """
    changes: dict[str, int] = {}
    for name, before in zip(NAMES, counters.loaded, strict=True):
        value = getattr(counters, name)
        if name in SET and value != before:
            changes[name] = value
        elif value != before:
            changes[name] = value - before
    if counters.doubted_at and "doubted_at" in changes:
        changes |= {name: getattr(counters, name) for name in SET}
    settings = ", ".join(
        f'"{name}" = %({name})s' if name in SET else f'"{name}" = "{name}" + %({name})s'
        for name in changes
    )
    if changes:
        connection.execute(f"UPDATE counters SET {settings}".encode(), changes)
    if request is not None:
        return remember(connection, request, counters.clock)
    return connection.execute('SELECT "offset" FROM counters')


def check_devices(connection: Connection, counters: StoredCounters, most: int) -> None:
    """Fail the transaction if it has added devices, and now there are more than ``most``.

    The row must be held, and saved.
    """
    if counters.adds_devices:
        connection.execute(WITHIN, (most,))


def remember(connection: Connection, request: str, now: int | None = None) -> Cursor:
    """Keep the id of this transaction. The cursor has the offset.

    ``now`` is the time if it is not the server's.
    """
    return connection.execute(REMEMBER.encode(), (request, now))
