"""The rising numbers of a store and its running totals, read and written once per transaction."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import apsw

from statecast.stores.sqlite.driver import row, rows


@dataclass(slots=True)
class Counters:
    """One row of the store; each number is the last one given out."""

    arrival: int = 0
    offset: int = 0
    seen: int = 0
    event: int = 1
    page: int = 0
    handout: int = 0
    forgotten: int = 0
    history_rows: int = 0
    history_bytes: int = 0
    known_rows: int = 0
    known_events: int = 0
    quarantine_rows: int = 0

    @classmethod
    def load(cls, connection: apsw.Connection) -> Counters:
        return cls(*row(connection, SELECT))

    def save(self, connection: apsw.Connection) -> None:
        rows(connection, UPDATE, [getattr(self, name) for name in NAMES])


NAMES = [field.name for field in dataclasses.fields(Counters)]
SELECT = f"SELECT {', '.join(NAMES)} FROM counters"  # noqa: S608
UPDATE = f"UPDATE counters SET {', '.join(f'{name} = ?' for name in NAMES)}"  # noqa: S608
