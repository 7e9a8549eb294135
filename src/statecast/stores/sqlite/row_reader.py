"""Reads rows. One that cannot be right is reported and set aside; the rest is used as ever.

Rule 1: rows of tables with checksums are read here and nowhere else.
Rule 2: a damaged row stays in its place until it is rebuilt, repaired or dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import apsw

from statecast.names import escaped
from statecast.problems import Problems
from statecast.stores.contract import DamagedRow
from statecast.stores.sqlite.driver import Bindings, rows
from statecast.stores.sqlite.tables import Row, Table

KIND = "damaged-row"
MAX_KNOWN = 10_000
"""Damaged rows remembered; of further ones only that they are left out is certain."""
MAX_CHARACTERS = 130

Content = Callable[[Row], str | None]
"""Says why the values of a row without a checksum cannot be right; None: they can."""


class Damaged(NamedTuple):
    """A row that cannot be right, as it was read."""

    table: Table
    row: Row
    reason: str
    """In half a sentence."""

    @property
    def key(self) -> Row:
        return self.table.key_of(self.row)

    @property
    def device(self) -> str | None:
        """The device of the row, if its name can be read."""
        name = self.row[1] if self.table.name == "devices" else None
        return name if isinstance(name, str) else None

    def public(self) -> DamagedRow:
        return DamagedRow(self.table.name, self.subject, self.sentence, self.device)

    @property
    def subject(self) -> str:
        """The subject of a problem."""
        if self.device is not None:
            return f"device {shown(self.device)}"
        return f"{self.table.name} {'/'.join(map(shown, self.key))}"

    @property
    def sentence(self) -> str:
        """What happened and what to do, fit for every viewer."""
        return (
            f"Its row in the store is damaged ({self.reason}). It is set aside; the rest works. "
            "`statecast store check --repair` mends it."
        )


def shown(value: Any) -> str:
    """A value of a damaged row as a short text."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return escaped(text[:MAX_CHARACTERS])


class RowReader:
    """The damaged rows that one process has met. Every method may be called from any thread."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._set_aside: dict[tuple[str, Row], Damaged] = {}

    def rows(
        self,
        connection: apsw.Connection,
        table: Table,
        rest: str = "",
        bindings: Bindings = (),
        content: Content | None = None,
    ) -> list[Row]:
        """The rows that are whole. ``rest`` is the query from WHERE on."""
        return self.split(connection, table, rest, bindings, content)[0]

    def split(
        self,
        connection: apsw.Connection,
        table: Table,
        rest: str = "",
        bindings: Bindings = (),
        content: Content | None = None,
    ) -> tuple[list[Row], list[Damaged]]:
        """The rows that are whole, and the others."""
        return self.examine(table, fetch(connection, table, rest, bindings), content)

    def examine(
        self, table: Table, found: list[Row], content: Content | None = None
    ) -> tuple[list[Row], list[Damaged]]:
        """Of rows that ``fetch`` returned, those that are whole, and the others."""
        if not self._set_aside and table.all_fit(found):
            return found, []
        whole: list[Row] = []
        damaged: list[Damaged] = []
        for row in found:
            fault = table.fault(row, content)
            if fault is None:
                whole.append(row)
            else:
                damaged.append(Damaged(table, row, fault))
        if damaged:
            for one in damaged:
                self._report(one)
        if self._set_aside:
            for row in whole:
                self.clear(table, table.key_of(row))
        return whole, damaged

    def _report(self, damaged: Damaged) -> None:
        place = (damaged.table.name, damaged.key)
        if place not in self._set_aside and len(self._set_aside) < MAX_KNOWN:
            self._set_aside[place] = damaged
            self._problems.report(KIND, damaged.subject, damaged.sentence)

    def clear(self, table: Table, key: Row) -> None:
        """Note that a row is whole again, or gone."""
        damaged = self._set_aside.pop((table.name, key), None)
        if damaged is not None:
            self._problems.clear(KIND, damaged.subject)

    def known(self, table: str = "") -> list[Damaged]:
        """The damaged rows that were met and not mended, of one table or of all."""
        return [one for one in list(self._set_aside.values()) if table in ("", one.table.name)]


def fetch(
    connection: apsw.Connection, table: Table, rest: str = "", bindings: Bindings = ()
) -> list[Row]:
    """Rows as they are. What should be text and is no UTF-8 comes as bytes."""
    try:
        return rows(connection, f"{table.select} {rest}", bindings)
    except UnicodeDecodeError:
        return list(map(table.decoded, rows(connection, f"{table.select_bytes} {rest}", bindings)))


def delete_exactly(connection: apsw.Connection, damaged: Damaged) -> None:
    """Delete a damaged row. Its key may be damaged too, so it is compared byte for byte."""
    table = damaged.table
    same = " AND ".join(f"hex({name}) = hex(CAST(? AS BLOB))" for name in table.keys)
    rows(connection, f"DELETE FROM {table.name} WHERE {same}", damaged.key)  # noqa: S608
