"""How large the tables are, with their indexes: measured at most once a minute."""

from __future__ import annotations

import time

from statecast.stores.counters import Counters
from statecast.stores.limits import Sizes
from statecast.stores.postgres.database import PostgresDatabase
from statecast.stores.postgres.driver import row

MEASURE_SECONDS = 60.0
"""To measure the tables costs the server as much as a hundred commits."""
SIZE = """
    SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = %s AND relkind = 'r'"""


class TableSizes:
    """Those of one store."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._measured_at = float("-inf")
        self._bytes: int | None = None

    def beside(self, counters: Counters) -> Sizes:
        """With what the counters say. The server's own log and disk are not ours to see."""
        now = time.monotonic()
        if now - self._measured_at >= MEASURE_SECONDS:
            with self._database.read() as connection:
                found = row(connection, SIZE, (self._database.address.schema,))
            self._bytes = None if found is None else int(found[0])
            self._measured_at = now
        return Sizes(counters.history_rows, counters.history_bytes, self._bytes)
