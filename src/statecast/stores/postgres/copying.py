"""A store in PostgreSQL as the source and as the target of a copy; see ``stores.copying``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from statecast.errors import BadSetting
from statecast.problems import Problems
from statecast.stores.copying import PAGES, QUEUES, CopiedTable, Row
from statecast.stores.counters import Counters
from statecast.stores.limits import Limits
from statecast.stores.postgres import counters as counter_row
from statecast.stores.postgres import migration
from statecast.stores.postgres.address import StoreAddress, parse
from statecast.stores.postgres.database import PostgresDatabase
from statecast.stores.postgres.driver import Connection, row, rows
from statecast.stores.postgres.store import PostgresStore
from statecast.timestamps import now

SUFFIX = "_copying"
SEQUENCES = {"arrival": "arrivals", "page": "page_numbers", "receipt": "receipt_numbers"}
IDENTITIES = {"sources": "number", "devices": "id", "quarantine": "number", "queues": "number"}
"""Tables whose keys are given by PostgreSQL, and that column."""
PROGRESS = "CREATE TABLE IF NOT EXISTS copy_progress (signature text NOT NULL)"
KNOWN = """
    INSERT INTO known (source, id, page)
    SELECT %s, id, %s FROM (SELECT DISTINCT unnest(%s::text[]) AS id) AS new"""


class PostgresCopySource:
    """A store that is copied."""

    def __init__(self, url: str) -> None:
        self._store = PostgresStore(parse(url), Limits(), now, begin_epoch=False)
        self.shown = self._store.database.shown

    def faults(self) -> list[str]:
        return self._store.check()

    def users(self) -> list[str]:
        return list(self._store.reports())

    def size(self, of: CopiedTable) -> int:
        with self._store.database.read() as connection:
            return number(connection, f"SELECT count(*) FROM {of.name}")

    def page(self, of: CopiedTable, after: Row | None, limit: int) -> list[Row]:
        keys = ", ".join(f'"{name}"' for name in of.columns[: of.keys])
        marks = ", ".join(["%s"] * of.keys)
        where = "" if after is None else f"WHERE ({keys}) > ({marks})"
        sql = f"SELECT {columns_of(of)} FROM {of.name} {where} ORDER BY {keys} LIMIT %s"
        with self._store.database.read() as connection:
            return rows(connection, sql, (*(after or ()), limit))

    def counters(self) -> Counters:
        with self._store.database.read() as connection:
            found = counter_row.load(connection)
            for name, sequence in SEQUENCES.items():
                sql = f"SELECT last_value - (NOT is_called)::int FROM {sequence}"
                setattr(found, name, number(connection, sql))
        return found

    def close(self) -> None:
        self._store.close()


class PostgresCopyTarget:
    """A store that comes to be, in a schema of another name."""

    def __init__(self, url: str) -> None:
        """Raises BadSetting."""
        address = parse(url)
        self.shown = address.shown
        self._address = address
        self._partial = dataclasses.replace(address, schema=f"{address.schema}{SUFFIX}"[:63])
        self._database = PostgresDatabase(self._partial, Problems(now))
        with self._database.read() as connection:
            taken = migration.version(connection, address.schema).number
        if taken:
            self._database.close()
            raise BadSetting(
                f"{self.shown} has a store already, in the schema {address.schema}; name another "
                "database, or another schema by ?schema=NAME."
            )

    def begun_with(self) -> str | None:
        with self._database.write(notify=False) as connection:
            connection.execute(PROGRESS)
            found = row(connection, "SELECT signature FROM copy_progress")
        return found[0] if found else None

    def begin(self, signature: str) -> None:
        self._database.close()
        drop_schema(self._partial)
        self._database = PostgresDatabase(self._partial, Problems(now))
        with self._database.write(notify=False) as connection:
            connection.execute(PROGRESS)
            connection.execute("INSERT INTO copy_progress VALUES (%s)", (signature,))

    def last_key(self, of: CopiedTable) -> tuple[Row | None, int]:
        names = [f'"{name}"' for name in of.columns[: of.keys]]
        order = ", ".join(f"{name} DESC" for name in names)
        sql = f"SELECT {', '.join(names)} FROM {of.name} ORDER BY {order} LIMIT 1"
        with self._database.read() as connection:
            there = number(connection, f"SELECT count(*) FROM {of.name}")
            return row(connection, sql), there

    def write(self, of: CopiedTable, found: Sequence[Row]) -> None:
        names = columns_of(of)
        marks = ", ".join(["%s"] * len(of.columns))
        sql = f"INSERT INTO {of.name} ({names}) OVERRIDING SYSTEM VALUE VALUES ({marks})"
        with self._database.write(notify=False) as connection, connection.cursor() as cursor:
            cursor.executemany(sql.encode(), [row_of(of, one) for one in found])
            if of is PAGES:
                cursor.executemany(KNOWN, [(page[1], page[0], page[2]) for page in found])

    def finish(self, counters: Counters) -> None:
        store = PostgresStore(self._partial, Limits(), now)  # it begins the first epoch
        store.close()
        with self._database.write(notify=False) as connection:
            settings = ", ".join(f'"{name}" = %({name})s' for name in counter_row.NAMES)
            values = dataclasses.asdict(counters)
            connection.execute(f"UPDATE counters SET {settings}".encode(), values)
            for name, sequence in SEQUENCES.items():
                set_sequence(connection, sequence, getattr(counters, name))
            for name, column in IDENTITIES.items():
                newest = number(connection, f"SELECT max({column}) FROM {name}")
                serial = f"SELECT pg_get_serial_sequence('{name}', '{column}')"
                set_sequence(connection, (row(connection, serial) or ("",))[0], newest)
            connection.execute("DROP TABLE copy_progress")
            rename = f"ALTER SCHEMA {self._partial.schema} RENAME TO {self._address.schema}"
            connection.execute(rename.encode())

    def close(self) -> None:
        self._database.close()


def columns_of(of: CopiedTable) -> str:
    return ", ".join(f'"{name}"' for name in of.columns)


def row_of(of: CopiedTable, one: Row) -> Row:
    """A row as it is in a store in which nothing is in flight."""
    return (*one[:-1], 0) if of is QUEUES else one


def set_sequence(connection: Connection, sequence: str, last: int) -> None:
    """Let a sequence go on after a number."""
    connection.execute("SELECT setval(%s::regclass, %s, %s)", (sequence, max(last, 1), last > 0))


def drop_schema(address: StoreAddress) -> None:
    """Delete the tables of a copy that was begun with another source."""
    database = PostgresDatabase(address, Problems(now))
    try:
        with database.write(notify=False) as connection:
            connection.execute(f"DROP SCHEMA {address.schema} CASCADE".encode())
    finally:
        database.close()


def number(connection: Connection, sql: str) -> int:
    found = row(connection, sql)
    return int(found[0] or 0) if found is not None else 0
