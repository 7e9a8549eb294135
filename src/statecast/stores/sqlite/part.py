"""What the parts of the store in SQLite have in common; ``store`` puts them together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from statecast.access.records import AuditEntry
from statecast.stores import errors
from statecast.stores.clock_watch import ClockWatch
from statecast.stores.counters import Counters
from statecast.stores.limits import Limits
from statecast.stores.sqlite import access, sources
from statecast.stores.sqlite import counters as counter_row
from statecast.stores.sqlite.database import Database
from statecast.stores.sqlite.row_reader import RowReader


class SqlitePart:
    """The methods of the store about one subject."""

    path: Path
    limits: Limits
    clock: Callable[[], int]
    database: Database
    rows: RowReader
    _watch: ClockWatch

    @contextmanager
    def _counted(self) -> Iterator[tuple[apsw.Connection, Counters, int]]:
        """A transaction with the counters, which it saves; and the time in ms."""
        with self.database.write() as connection:
            counters = counter_row.load(connection, self.rows)
            now = self._watch.check(counters)
            yield connection, counters, now
            counter_row.save(connection, self.rows, counters)

    def _source(self, connection: apsw.Connection, name: str, term: int | None) -> int:
        """The key of a source in the tables. Raises LeaseLost if ``term`` is not its newest."""
        number, newest = sources.find(connection, self.rows, name)
        if term is not None and term != newest:
            raise errors.lease_lost(name)
        return number

    def _note(
        self,
        connection: apsw.Connection,
        counters: Counters,
        audit: AuditEntry | None,
        now: int,
    ) -> None:
        access.note(connection, counters, audit, now, self.limits.audit_rows)
