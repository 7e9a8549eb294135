"""The tables as the schema makes them: their columns, and the checksum of each row.

Rule 1: the columns come from the steps of the schema. A new column is covered without a change
here, and a table has checksums if it has a column of that name.
Rule 2: the checksum of a row covers all its other columns, except a key that SQLite assigns: that
is not known before the row is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from marshal import dumps
from typing import Any
from zlib import crc32

import apsw

from statecast.errors import StoreUnusable
from statecast.stores.sqlite import schema
from statecast.stores.sqlite.driver import rows

Row = tuple[Any, ...]

CHECKSUM = "checksum"
TYPES: dict[str, tuple[type, ...]] = {
    "INTEGER": (int,),
    "REAL": (float, int),
    "TEXT": (str,),
    "BLOB": (bytes,),
}
WORDS = {int: "an integer", float: "a number", str: "text", bytes: "bytes", type(None): "NULL"}
ASSIGNED_BY_US = {"history", "events", "counters", "commands", "audit"}
"""Tables with an INTEGER PRIMARY KEY that we assign: it is known when the row is written."""

FORMAT = 2
"""The last format of ``marshal`` without references, in which equal values give equal bytes."""
SAMPLE = (1, -5, 2**31, 2**53, 1.5, None, "", "device", "é\U0001f600", b"", b"x\0")
SAMPLE_CHECKSUM = 0x500A0324


def checksum(values: Row) -> int:
    """The checksum of a row's values, in the order of the schema."""
    return crc32(dumps(values, FORMAT))


def sealed(values: Row) -> Row:
    """The values of the columns that a checksum covers, and the checksum."""
    return (*values, crc32(dumps(values, FORMAT)))


def check_format() -> None:
    """Raises StoreUnusable if this Python would give other checksums than those on disk."""
    if checksum(SAMPLE) != SAMPLE_CHECKSUM:
        raise StoreUnusable(
            "This version of Python writes values in another form, so the checksums of the store "
            "cannot be compared; use an older one, or a newer Statecast."
        )


@dataclass(frozen=True, slots=True)
class Column:
    """One column as it was declared."""

    name: str
    types: tuple[type, ...]
    optional: bool

    def fault(self, value: Any) -> str | None:
        """Why the value cannot be right."""
        if value is None and self.optional:
            return None
        if type(value) is bytes and self.types == (str,):
            return f"{self.name} is not text in UTF-8"
        if not isinstance(value, self.types):
            return f"{self.name} is {WORDS[type(value)]} instead of {WORDS[self.types[0]]}"
        return None


@dataclass(frozen=True)
class Table:
    """One table. Rows are tuples of its columns in the order of the schema, then the checksum."""

    name: str
    columns: tuple[Column, ...]
    """Without the checksum."""
    keys: tuple[str, ...]
    """The columns of the primary key."""
    uncovered: int
    """How many of the first columns the checksum does not cover: 1 for a key of SQLite."""
    has_checksum: bool

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def select(self) -> str:
        """The start of a query for whole rows."""
        return f"SELECT {', '.join([*self.names, *self._last])} FROM {self.name}"  # noqa: S608

    @cached_property
    def select_bytes(self) -> str:
        """The same with texts as bytes: the driver fails on text that is not UTF-8.

        Text in a column for bytes comes as hexadecimal digits, so that it is not taken as right.
        """
        declared = [(one.name, one.types) for one in self.columns]
        shown = [
            f"iif(typeof({name}) = 'text', "
            f"{f'hex({name})' if types == (bytes,) else f'CAST({name} AS BLOB)'}, {name}) AS {name}"
            for name, types in [*declared, *((name, (int,)) for name in self._last)]
        ]
        return f"SELECT {', '.join(shown)} FROM {self.name}"  # noqa: S608

    @cached_property
    def written(self) -> tuple[str, ...]:
        """The columns that the checksum covers, then the checksum: what a writer gives."""
        return (*self.names[self.uncovered :], *self._last)

    @cached_property
    def insert(self) -> str:
        """Takes what ``sealed`` returns."""
        marks = ", ".join("?" * len(self.written))
        return f"INSERT INTO {self.name} ({', '.join(self.written)}) VALUES ({marks})"  # noqa: S608

    @cached_property
    def replace(self) -> str:
        """The same in place of a row with the same key."""
        return self.insert.replace("INSERT", "INSERT OR REPLACE", 1)

    @cached_property
    def update(self) -> str:
        """Takes what ``sealed`` returns, and the key."""
        return self.update_of(self.written)

    def update_of(self, names: Sequence[str]) -> str:
        """Takes the values of these columns, and the key."""
        marks = ", ".join("?" * len(names))
        return (
            f"UPDATE {self.name} SET ({', '.join(names)}) = ({marks}) "  # noqa: S608
            f"WHERE {self.keys[0]} = ?"
        )

    @property
    def _last(self) -> tuple[str, ...]:
        return (CHECKSUM,) if self.has_checksum else ()

    def fits(self, row: Row) -> bool:
        """Whether a row has a checksum, and it fits."""
        return self.has_checksum and row[-1] == checksum(row[self.uncovered : -1])

    def all_fit(self, found: list[Row]) -> bool:
        """Whether each row has a checksum, and it fits: the usual case, at little cost."""
        if not self.has_checksum:
            return False
        first = self.uncovered
        return all([row[-1] == crc32(dumps(row[first:-1], FORMAT)) for row in found])  # noqa: C419

    def fault(self, row: Row, content: Callable[[Row], str | None] | None = None) -> str | None:
        """Why a row cannot be right, in half a sentence.

        ``content`` looks into the values. It is needed only for rows without a checksum, which
        were written before there were checksums.
        """
        if self.has_checksum and row[-1] is not None:
            if self.fits(row):
                return None
            return self._type_fault(row) or "its checksum does not fit"
        return self._type_fault(row) or (content(row) if content is not None else None)

    def _type_fault(self, row: Row) -> str | None:
        faults = (column.fault(value) for column, value in zip(self.columns, row, strict=False))
        return next((fault for fault in faults if fault is not None), None)

    def key_of(self, row: Row) -> Row:
        """The values of the primary key."""
        return tuple(row[self.names.index(name)] for name in self.keys)

    def decoded(self, row: Row) -> Row:
        """A row of ``select_bytes`` with its texts; what is no UTF-8 stays bytes."""
        texts = [column.types == (str,) for column in self.columns]
        return (
            *(_text(value) if text else value for value, text in zip(row, texts, strict=False)),
            *row[len(texts) :],
        )


def _text(value: Any) -> Any:
    try:
        return value.decode() if type(value) is bytes else value
    except UnicodeDecodeError:
        return value


@cache
def described(steps: Sequence[str] = schema.STEPS) -> dict[str, Table]:
    """All tables by name, as these steps of the schema make them."""
    connection = apsw.Connection(":memory:")
    for step in steps:
        rows(connection, step)
    names = rows(
        connection,
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )
    tables = {name: _table(connection, name) for (name,) in names}
    connection.close()
    return tables


def _table(connection: apsw.Connection, name: str) -> Table:
    sql = 'SELECT name, type, "notnull", pk FROM pragma_table_info(?)'
    found = rows(connection, sql, (name,))
    columns = tuple(
        Column(column, TYPES[declared], not (required or key))
        for column, declared, required, key in found
        if column != CHECKSUM
    )
    keys = tuple(column for column, _, _, key in sorted(found, key=lambda one: one[3]) if key)
    assigned = len(keys) == 1 and columns[0] == Column(keys[0], (int,), False)
    return Table(
        name,
        columns,
        keys,
        uncovered=int(assigned and name not in ASSIGNED_BY_US),
        has_checksum=len(columns) < len(found),
    )


def table(name: str) -> Table:
    """A table of the newest schema."""
    return described()[name]
