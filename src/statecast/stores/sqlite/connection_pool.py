"""The open connections of one process: which are in use, and by which thread.

Only one thread at a time uses a connection. So a process has as many as threads that used the store
at once, and not as it has threads; and the next user finds prepared statements and cached pages.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from enum import Enum

import apsw

from statecast.stores.sqlite.driver import StoreConnection


class Purpose(Enum):
    """What a connection is for. The value is how many of them stay open without a user."""

    READ = 8
    WRITE = 1
    WAIT = 0
    """It belongs to one thread: ``data_version`` compares with what the same connection saw."""


class OpenConnections:
    """Every method may be called from any thread."""

    def __init__(self) -> None:
        self._users: dict[StoreConnection, int] = {}
        """The connections in use, and the threads that use them."""
        self._idle: dict[Purpose, list[StoreConnection]] = {purpose: [] for purpose in Purpose}
        self._lock = threading.Lock()

    def take(self, purpose: Purpose) -> StoreConnection | None:
        """The one that was used last, because of what is in its cache; None: all are in use."""
        with self._lock:
            if not (idle := self._idle[purpose]):
                return None
            connection = idle.pop()
            self._users[connection] = threading.get_ident()
            return connection

    def note_use(self, connection: StoreConnection) -> None:
        """The calling thread uses a connection that it did not take from here."""
        with self._lock:
            self._users[connection] = threading.get_ident()

    def give_back(self, connection: StoreConnection, purpose: Purpose) -> bool:
        """Keep it for the next user. False: it is of no use, or there are enough; close it."""
        with self._lock:
            self._users.pop(connection, None)
            if purpose is Purpose.WAIT:
                return True
            idle = self._idle[purpose]
            with suppress(apsw.ConnectionClosedError):
                if len(idle) < purpose.value and not connection.in_transaction:
                    idle.append(connection)
                    return True
        return False

    @property
    def in_use(self) -> set[StoreConnection]:
        with self._lock:
            return set(self._users)

    def others_use(self) -> bool:
        """Whether threads other than the calling one use connections."""
        with self._lock:
            return any(user != threading.get_ident() for user in self._users.values())

    def empty(self) -> list[StoreConnection]:
        """Keep none of those without a user; the caller closes them."""
        with self._lock:
            found = [connection for idle in self._idle.values() for connection in idle]
            for idle in self._idle.values():
                idle.clear()
            return found
