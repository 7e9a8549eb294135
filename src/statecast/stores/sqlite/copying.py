"""A store in a SQLite file as the source and as the target of a copy; see ``stores.copying``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from statecast.errors import BadSetting, NotFound
from statecast.stores.copying import PAGES, QUEUES, CopiedTable, Row
from statecast.stores.counters import Counters
from statecast.stores.limits import Limits
from statecast.stores.sqlite import counters as counter_row
from statecast.stores.sqlite.driver import row, rows
from statecast.stores.sqlite.store import SqliteStore
from statecast.stores.sqlite.tables import sealed, table
from statecast.timestamps import now

SUFFIX = ".copying"
PAGE_ROWS = """
    SELECT page, source, ids, open, forget_at FROM pages JOIN page_ids USING (page)"""


class SqliteCopySource:
    """A store that is copied."""

    def __init__(self, path: Path) -> None:
        """Raises NotFound."""
        if not path.exists():
            raise NotFound(f"There is no store {path}.")
        self.shown = f"sqlite:///{path}"
        self._store = SqliteStore(path, Limits(), now, begin_epoch=False)

    def faults(self) -> list[str]:
        return self._store.check()

    def users(self) -> list[str]:
        return list(self._store.reports())

    def size(self, of: CopiedTable) -> int:
        with self._store.database.read() as connection:
            found: int = row(connection, f"SELECT count(*) FROM {of.name}")[0]  # noqa: S608
        return found

    def page(self, of: CopiedTable, after: Row | None, limit: int) -> list[Row]:
        columns = ", ".join(f'"{name}"' for name in of.columns)
        select = PAGE_ROWS if of is PAGES else f"SELECT {columns} FROM {of.name}"  # noqa: S608
        keys = ", ".join(of.columns[: of.keys])
        marks = ", ".join("?" * of.keys)
        where = "" if after is None else f" WHERE ({keys}) > ({marks})"
        sql = f"{select}{where} ORDER BY {keys} LIMIT ?"
        with self._store.database.read() as connection:
            found = rows(connection, sql, (*(after or ()), limit))
        return [lists_of(one) for one in found] if of is PAGES else found

    def counters(self) -> Counters:
        with self._store.database.read() as connection:
            return counter_row.load(connection, self._store.rows)

    def close(self) -> None:
        self._store.close()


def lists_of(one: Row) -> Row:
    """A row of known ids, with the lists that it has as JSON."""
    page, source, ids, still_open, forget_at = one
    every = json.loads(ids)
    return page, source, every, json.loads(still_open) if still_open else every, forget_at


class SqliteCopyTarget:
    """A store that comes to be."""

    def __init__(self, path: Path) -> None:
        """Raises BadSetting."""
        if path.exists():
            raise BadSetting(f"{path} exists already; name a file that does not exist.")
        if not path.absolute().parent.is_dir():
            raise BadSetting(f"The folder of {path} does not exist.")
        self.shown = f"sqlite:///{path}"
        self._path, self._partial = path, Path(f"{path}{SUFFIX}")
        self._note = Path(f"{self._partial}.begun")
        self._store = SqliteStore(self._partial, Limits(), now, begin_epoch=False)

    def begun_with(self) -> str | None:
        return self._note.read_text() if self._note.exists() else None

    def begin(self, signature: str) -> None:
        self._store.close()
        remove(self._partial)
        self._store = SqliteStore(self._partial, Limits(), now, begin_epoch=False)
        self._note.write_text(signature)

    def last_key(self, of: CopiedTable) -> tuple[Row | None, int]:
        keys = of.columns[: of.keys]
        order = ", ".join(f"{name} DESC" for name in keys)
        sql = f"SELECT {', '.join(keys)} FROM {of.name} ORDER BY {order} LIMIT 1"  # noqa: S608
        with self._store.database.read() as connection:
            number: int = row(connection, f"SELECT count(*) FROM {of.name}")[0]  # noqa: S608
            return row(connection, sql), number

    def write(self, of: CopiedTable, found: Sequence[Row]) -> None:
        with self._store.database.write() as connection:
            if of is PAGES:
                for page in found:
                    write_page(connection, page)
                return
            described = table(of.name)
            names = [*described.names, *(["checksum"] if described.has_checksum else [])]
            marks = ", ".join("?" * len(names))
            sql = f"INSERT INTO {of.name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
            connection.executemany(sql, [row_of(of, one) for one in found])

    def finish(self, counters: Counters) -> None:
        with self._store.database.write() as connection:
            counter_row.save(connection, self._store.rows, counters)
        self._store.close()
        os.replace(self._partial, self._path)
        remove(self._partial)
        self._note.unlink()

    def close(self) -> None:
        self._store.close()


def row_of(of: CopiedTable, one: Row) -> Row:
    """A row in the order of the table, with its checksum."""
    described = table(of.name)
    named = dict(zip(of.columns, one, strict=True))
    if of is QUEUES:
        named["received"] = 0  # nothing is in flight
    values = tuple(named[name] for name in described.names)
    if not described.has_checksum:
        return values
    first = described.uncovered
    return (*values[:first], *sealed(values[first:]))


def write_page(connection: Any, page: Row) -> None:
    number, source, ids, still_open, forget_at = page
    still = None if still_open == ids else json.dumps(still_open)
    known = [(source, id_, number) for id_ in sorted(set(ids))]
    connection.executemany("INSERT INTO known (source, id, page) VALUES (?, ?, ?)", known)
    sql = "INSERT INTO pages (page, source, size, forget_at) VALUES (?, ?, ?, ?)"
    rows(connection, sql, (number, source, len(ids), forget_at))
    sql = "INSERT INTO page_ids (page, ids, open) VALUES (?, ?, ?)"
    rows(connection, sql, (number, json.dumps(ids), still))


def remove(path: Path) -> None:
    """A store's file, and those beside it."""
    for suffix in ("", "-wal", "-shm", ".lock"):
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")
