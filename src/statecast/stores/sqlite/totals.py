"""What came through each source, as one row per source, written with each commit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import apsw

from statecast.stores.contract import Totals
from statecast.stores.sqlite.driver import rows

NAMES = [field.name for field in dataclasses.fields(Totals)]
SELECT = f"SELECT source, {', '.join(NAMES)} FROM totals ORDER BY source"  # noqa: S608
ADD = (
    f"INSERT INTO totals (source, {', '.join(NAMES)}) "  # noqa: S608
    f"VALUES (?{', ?' * len(NAMES)}) ON CONFLICT (source) DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in NAMES)
)


def read(connection: apsw.Connection) -> dict[str, Totals]:
    return {source: Totals(*numbers) for source, *numbers in rows(connection, SELECT)}


def add(connection: apsw.Connection, totals: Mapping[str, Totals]) -> None:
    for source, one in totals.items():
        rows(connection, ADD, (source, *dataclasses.astuple(one)))
