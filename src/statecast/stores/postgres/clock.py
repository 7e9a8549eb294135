"""The server's clock, which is the only one: hosts may differ, and their times meet in one store.

Between two transactions the time is what the server's clock was ahead of this host's uptime, plus
the uptime. Each transaction reads the server's clock, and corrects that by as little as the reading
allows: the reading was made at an unknown moment between the question and the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from statecast import timestamps
from statecast.stores.postgres.driver import Connection, only_row

CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
"""SQL for the server's clock, in ms."""


class ServerClock:
    """Call it for the time in ms. Every method may be called from any thread."""

    def __init__(self, uptime: Callable[[], int] = timestamps.uptime) -> None:
        self._uptime = uptime
        self._lock = threading.Lock()
        self._ahead: int | None = None

    def __call__(self) -> int:
        ahead = self._ahead
        return timestamps.now() if ahead is None else self._uptime() + ahead

    def asked(self) -> int:
        """The moment before a question, for ``note``."""
        return self._uptime()

    def note(self, reading: int, asked: int) -> None:
        """Note a reading of the server's clock, whose answer has just arrived."""
        earliest, latest = reading - self._uptime(), reading - asked
        with self._lock:
            ahead = self._ahead
            self._ahead = latest if ahead is None else max(earliest, min(ahead, latest))

    def read(self, connection: Connection) -> None:
        """Read the server's clock now."""
        asked = self.asked()
        (reading,) = only_row(connection.execute(f"SELECT {CLOCK}".encode()))
        self.note(reading, asked)

    def ahead_of_host(self) -> int | None:
        """By how many ms it is ahead of this host's clock; None: it was not read yet."""
        return None if self._ahead is None else self() - timestamps.now()
