"""The counters of a store as one row, read and written once per transaction."""

from __future__ import annotations

import dataclasses

import apsw

from statecast.stores.counters import Counters
from statecast.stores.sqlite.driver import row, rows

NAMES = [field.name for field in dataclasses.fields(Counters)]
SELECT = f"SELECT {', '.join(NAMES)} FROM counters"  # noqa: S608
UPDATE = f"UPDATE counters SET {', '.join(f'{name} = ?' for name in NAMES)}"  # noqa: S608


def load(connection: apsw.Connection) -> Counters:
    return Counters(*row(connection, SELECT))


def save(connection: apsw.Connection, counters: Counters) -> None:
    rows(connection, UPDATE, [getattr(counters, name) for name in NAMES])
