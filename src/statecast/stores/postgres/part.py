"""What the parts of the store in PostgreSQL have in common; ``store`` puts them together."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from statecast.stores.clock_watch import ClockWatch
from statecast.stores.counters import Counters
from statecast.stores.limits import Limits
from statecast.stores.postgres import counters as counter_row
from statecast.stores.postgres import epochs
from statecast.stores.postgres.clock import ServerClock
from statecast.stores.postgres.counters import StoredCounters
from statecast.stores.postgres.database import PostgresDatabase
from statecast.stores.postgres.driver import Connection, OutcomeUnknown

HOLD_DEVICE = "SELECT FROM devices WHERE device = %s FOR UPDATE"


class StorePart:
    """The methods of the store about one subject."""

    database: PostgresDatabase
    limits: Limits
    _watch: ClockWatch
    _server_clock: ServerClock | None
    """None: the store was given a clock, as in tests."""

    @contextmanager
    def _counted(
        self, *, durable: bool = True, notify: bool = True, device: str | None = None
    ) -> Iterator[tuple[Connection, StoredCounters, int]]:
        """A transaction that holds the counters' row, which it saves; and the time in ms.

        With ``device`` it holds the row of that device too. If the connection breaks during the
        commit, it is looked up what became of it: it has ended when this does.
        """
        request = uuid.uuid4().hex if durable else None
        try:
            with self.database.write(durable, notify) as connection:
                if device is not None:
                    connection.execute(HOLD_DEVICE, (device,))
                counters = counter_row.ask(connection, self._server_clock, lock=True).answer()
                now = self._watch.check(counters)
                yield connection, counters, now
                if counters.is_new_server:
                    epochs.begin(connection, unless_begun=True)
                counter_row.save(connection, counters, request)
        except OutcomeUnknown as error:
            self.database.look_up(request, error)

    def _watch_clock(self, counters: Counters) -> None:
        """Notice a step of the clock, although nothing is committed."""
        doubted = counters.doubted_at, counters.doubted_by
        self._watch.check(counters)
        if (counters.doubted_at, counters.doubted_by) != doubted:
            with self.database.write(durable=False, notify=False) as connection:
                counter_row.save_step(connection, counters)

    def shared_time(self) -> int:
        """Milliseconds by a clock that all hosts share, for what lives only seconds."""
        return self._watch.uptime() if self._server_clock is None else self._server_clock()
