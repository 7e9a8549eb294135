"""The connections of one process: how many, how new ones are tried, and what a fork does to them.

Not ``psycopg_pool``: its back-off doubles without bound, so that a returned server is found minutes
later; the reason of a failed connect reaches no caller; and its threads do not survive a fork.

Rule 1: a connection is used by one thread at a time, and never by a forked child. What a child
inherits is replaced by /dev/null: so a transaction, and its locks, end with its own process.
Rule 2: while the server is away, one thread at a time tries to connect, at growing and uneven
times. All others fail at once with the reason of the last attempt.
Rule 3: one broken connection makes the idle ones suspect, so they are closed.
"""

from __future__ import annotations

import os
import random
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

from statecast.errors import StatecastError, StoreUnavailable
from statecast.program.unix import in_children
from statecast.stores.postgres.driver import Connection

FIRST_DELAY = 0.1
LAST_DELAY = 2.0
"""Seconds between two attempts to connect: they double up to this, and each is cut at random."""
POOL_SECONDS = 5.0
"""For how long a thread waits for a connection that another thread uses."""


class ConnectBackoff:
    """When the next attempt to connect is due, and why the last one failed."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._delay = 0.0
        self._due = 0.0
        self._reason: StatecastError | None = None

    def refusal(self) -> StatecastError | None:
        """Why no attempt may be made now; None: one may."""
        return self._reason if self._monotonic() < self._due else None

    def failed(self, reason: StatecastError) -> None:
        self._delay = min(self._delay * 2 or FIRST_DELAY, LAST_DELAY)
        self._reason = reason
        # Uneven, so that many processes do not come at the same moment to a server that returns.
        self._due = self._monotonic() + self._delay * random.uniform(0.5, 1.0)  # noqa: S311

    def succeeded(self) -> None:
        self._delay, self._due, self._reason = 0.0, 0.0, None


class ConnectionPool:
    """Every method may be called from any thread."""

    def __init__(self, connect: Callable[[], Connection], size: int, shown: str) -> None:
        """``connect`` raises a StatecastError; ``shown`` is the address in sentences."""
        self._connect = connect
        self._size = size
        self._shown = shown
        self._closed = False
        self._inherited: list[Connection] = []
        """Of the process before a fork."""
        self._begin_process()
        in_children(self, ConnectionPool.after_fork)

    def _begin_process(self) -> None:
        self._condition = threading.Condition()
        self._connections: set[Connection] = set()
        """All that are open."""
        self._idle: list[Connection] = []
        self._open = 0
        """Idle ones, and those in use."""
        self._generation = 0
        """Rises when all connections become suspect."""
        self._connecting = threading.Lock()
        self._backoff = ConnectBackoff()
        self._used: dict[Connection, int] = {}
        """The connections in use, with the generation in which they were taken."""

    def take(self) -> Connection:
        """A connection for this thread. Raises StoreUnavailable; see ``give_back``."""
        while (connection := self._idle_or_room()) is not None:
            if is_whole(connection):
                return self._lend(connection)
            self._drop(connection)
            self._release_room()
        try:
            return self._lend(self._connect_in_turn())
        except BaseException:
            self._release_room()
            raise

    def give_back(self, connection: Connection) -> None:
        """Return a connection, whatever state it is in."""
        generation = self._used.pop(connection, None)
        if generation is None:
            return  # it is of the process before a fork
        idle = psycopg.pq.TransactionStatus.IDLE
        whole = not connection.closed and connection.info.transaction_status == idle
        with self._condition:
            keep = whole and not self._closed and generation == self._generation
            if keep:
                self._idle.append(connection)
                self._condition.notify()
        if not keep:
            self._drop(connection)
            self._release_room()

    def suspect(self) -> None:
        """Close the idle connections, and those in use when they come back: one was broken."""
        with self._condition:
            self._generation += 1
            idle, self._idle = self._idle, []
            self._open -= len(idle)
            self._condition.notify_all()
        for connection in idle:
            self._drop(connection)

    def close(self) -> None:
        self._closed = True
        self.suspect()

    def after_fork(self) -> None:
        """In a child: leave the connections to their own process."""
        for connection in self._connections:
            leave_to_parent(connection)
        self._inherited += self._connections
        self._begin_process()

    def _idle_or_room(self) -> Connection | None:
        """An idle connection; None: there is room for a new one, which the caller must fill."""
        deadline = time.monotonic() + POOL_SECONDS
        with self._condition:
            while True:
                if self._closed:
                    raise StoreUnavailable(
                        f"The store in PostgreSQL at {self._shown} was closed by this process."
                    )
                if self._idle:
                    return self._idle.pop()
                if self._open < self._size:
                    self._open += 1
                    return None
                left = deadline - time.monotonic()
                if left <= 0:
                    raise StoreUnavailable(
                        f"All {self._size} connections of this process to PostgreSQL at "
                        f"{self._shown} have been in use for {POOL_SECONDS:g} seconds; raise "
                        "pool_size in the URL, or find out what is slow."
                    )
                self._condition.wait(left)

    def _connect_in_turn(self) -> Connection:
        if (refusal := self._backoff.refusal()) is not None:
            raise again(refusal)
        with self._connecting:
            if (refusal := self._backoff.refusal()) is not None:  # another thread has tried
                raise again(refusal)
            try:
                connection = self._connect()
            except StatecastError as error:
                self._backoff.failed(error)
                raise
            self._connections.add(connection)
            self._backoff.succeeded()
            return connection

    def _lend(self, connection: Connection) -> Connection:
        self._used[connection] = self._generation
        return connection

    def _release_room(self) -> None:
        with self._condition:
            self._open -= 1
            self._condition.notify()

    def _drop(self, connection: Connection) -> None:
        self._connections.discard(connection)
        with suppress(psycopg.Error):
            connection.close()


def leave_to_parent(connection: Connection) -> None:
    """In a forked child: replace the connection's socket by /dev/null.

    To close it would end the session of the parent; to keep it open would let the session, with its
    transaction and its locks, go on after the parent's end.
    """
    with suppress(OSError, psycopg.Error):
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(nothing, connection.fileno(), inheritable=False)
        os.close(nothing)


def again(error: StatecastError) -> StatecastError:
    """The same error to raise in another thread, without the traceback of the first."""
    copy = type(error)(str(error))
    copy.__cause__ = error.__cause__
    return copy


def is_whole(connection: Connection) -> bool:
    """Whether an idle connection can be used: the server sends nothing unless it ends it."""
    if connection.closed:
        return False
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return not poll.poll(0)
    except (OSError, psycopg.Error):
        return False
