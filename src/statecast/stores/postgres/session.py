"""The one connection of a process that lasts: it holds locks, and receives and sends wake-ups.

Rule 1: wake-ups (NOTIFY) are hints. Once a second this connection asks for the numbers that rise
with each commit, and which locks have become free that this process wants. So a hint that is lost
costs a second and no more. That is one statement for all threads of the process, which need not ask
while nothing happens. Many commits at once are one hint.
Rule 2: a connection that breaks is made again, and what it had locked is locked again. Until then
another process may have the lock: then the term of its lease stops this one.
Rule 3: behind a pooler nothing lasts. So there leases are rows, which are renewed each second, and
commits of other processes are polled for four times a second.
Rule 4: a forked child has none of it. What it inherits is replaced by /dev/null, so that the
connection ends with its own process.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import psycopg

from statecast.errors import StatecastError
from statecast.program.unix import in_children
from statecast.stores.postgres import leases, server, sources
from statecast.stores.postgres.database import PostgresDatabase
from statecast.stores.postgres.driver import Connection, row, translate
from statecast.stores.postgres.pool import ConnectBackoff, leave_to_parent

Result = TypeVar("Result")

LOOK_SECONDS = 1.0
"""Between two looks for commits whose hint was lost."""
POLL_SECONDS = 0.25
"""The same where there are no hints."""
RENEW_SECONDS = 1.0
"""Between two renewals of the rows of leases, and two attempts to get lost locks back."""
HINT_SECONDS = 0.005
"""Between two hints of this process: many commits are one hint."""
TRY_SECONDS = 1.0
"""Between two attempts to take a lease that another process has, where no look finds it free."""
REFUSED_SECONDS = 3.0
"""For how long what another process has held counts as still held by it, and what this one has
asked for as still wanted."""
JOIN_SECONDS = 2.0
"""For how long a reader of events waits until the only other one knows of it."""

CARETAKER = "caretaker"
"""The lock of the one process that looks for others which have ended: that is not cheap."""
EVENTS = "events"
"""The lock of the processes that read application events."""
RELEASED = "released"
"""The hint that a lease was given back."""
COMMIT = "commit"
"""The hint that something was committed."""
JOINING = "joining"
"""The hint that a process wants to read events."""

NOTIFY = "SELECT pg_notify(%s, %s)"
NUMBERS = """
    counters::text, (SELECT last_value FROM arrivals), (SELECT max(number) FROM epochs)"""
"""What changes with each commit that a reader or a consumer waits for."""
STATE = f"SELECT {NUMBERS} FROM counters"
STATE_AND_LOCKS = f"SELECT {NUMBERS}, {leases.ARE_FREE} FROM counters"

log = logging.getLogger(__name__)


class ProcessSession:
    """What one process holds at the server. Every method may be called from any thread."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._schema = database.address.schema
        self._closed = False
        self._inherited: list[Connection] = []
        """Of the process before a fork."""
        self._begin_process()
        database.on_commit = self.note_commit
        in_children(self, ProcessSession.after_fork)

    def _begin_process(self) -> None:
        self._process = os.getpid()
        self.holder = uuid.uuid4().hex
        """The name of this process in rows of leases."""
        self.is_pooled = False
        """A pooler stands before the server. Known when there was a connection."""
        self._turn = threading.RLock()
        self._connection: Connection | None = None
        self._backoff = ConnectBackoff()
        self._held: dict[str, bool] = {}
        """What this process wants to hold, and whether it does now."""
        self._refused: dict[str, float] = {}
        """When another process had a lease that this one wants."""
        self.terms: dict[str, int] = {}
        """Under which this process consumes the sources whose leases it has, or has lost."""
        self._asked: dict[str, float] = {}
        """When this process asked for it last."""
        self._reads_events = False
        self._is_alone = False
        """No other process reads events: this one has their lock alone."""
        self._has_hint = False
        """This process has committed, and the others do not know it yet."""
        self._hinted_at = self._renewed_at = self._looked_at = 0.0
        self._state: object = None
        """What the last look for commits found."""
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    # -- what the store asks for

    def take(self, name: str) -> bool:
        """Take a lease; False if it is taken, also by this process. Raises StoreUnavailable."""
        with self._turn:
            self.start()
            asked_at = self._asked[name] = time.monotonic()
            pause = TRY_SECONDS if self.is_pooled else REFUSED_SECONDS
            if name in self._held or asked_at - self._refused.get(name, float("-inf")) < pause:
                return False
            taken = self._do(lambda connection: self._try(connection, name))
            if taken:
                self._held[name] = True
                self._refused.pop(name, None)
            else:
                self._refused[name] = asked_at
            return taken

    def takes_care(self) -> bool:
        """Whether this is the process that looks for others which have ended."""
        return self._held.get(CARETAKER, False) or self.take(CARETAKER)

    def give_up(self, name: str) -> None:
        """Give a lease back. What the server does not learn now, it learns with the connection."""
        with self._turn:
            self.terms.pop(name, None)
            if not self._held.pop(name, False) or self._process != os.getpid():
                return
            with suppress(StatecastError):
                self._release(name)

    def read_events(self) -> None:
        """Let other processes know that this one reads events. Raises StoreUnavailable."""
        deadline = time.monotonic() + JOIN_SECONDS
        with self._turn:
            self.start()
            while (
                not self._reads_events and not self._do(self._join) and time.monotonic() < deadline
            ):
                time.sleep(0.005)  # the only other reader gives its lock up meanwhile
            self._reads_events = True

    @property
    def others_read_events(self) -> bool:
        """Whether another process reads events, or that is not known."""
        return not self._is_alone

    def is_held_elsewhere(self, name: str) -> bool:
        """Whether another process has a lease, as far as this one has just seen."""
        return time.monotonic() - self._refused.get(name, float("-inf")) < REFUSED_SECONDS

    def wait(self, timeout: float) -> None:
        """Return when any process has committed since this thread's last read for changes.

        Returns after ``timeout`` seconds in any case.
        """
        self.start()
        marks, notifier = self._database.marks, self._database.notifier
        since = notifier.commits if marks.commits is None else marks.commits
        notifier.wait(since, timeout)
        marks.commits = notifier.commits

    def note_commit(self) -> None:
        """Wake the readers of this process, and soon those of the others. It does not fail."""
        self._database.notifier.notify()
        if self.is_running:
            self._has_hint = True
            self._wake()
        else:
            with suppress(StatecastError):
                self._database.send_hint(COMMIT)

    def wants(self, name: str) -> bool:
        """Whether this process has a lease, or is about to get it back."""
        return name in self._held

    @property
    def is_running(self) -> bool:
        return self._thread is not None

    def start(self) -> None:
        """Begin to receive wake-ups; a second call does nothing."""
        with self._turn:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=run, args=(weakref.ref(self), self._wake_read), daemon=True
                )
                self._thread.name = "postgres-session"
                self._thread.start()

    def close(self) -> None:
        """End the connection, and so all that it holds."""
        if self._closed or self._process != os.getpid():
            return
        for name in list(self._held):
            if self.is_pooled:
                self.give_up(name)
        self._closed = True
        self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5)
        with self._turn:
            self._drop()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # -- the thread

    def attend(self) -> float:
        """Do what is due; for how many seconds nothing more is."""
        if self._closed:
            return 0.0
        with self._turn:
            try:
                return self._attend()
            except StatecastError as error:
                log.debug("the session with PostgreSQL is away: %s", error)
                return RENEW_SECONDS
            except Exception:  # a defect of ours; without this thread nothing wakes readers
                log.exception("the session with PostgreSQL failed; trying again")
                return RENEW_SECONDS

    def _attend(self) -> float:
        self._do(self._receive)
        now = time.monotonic()
        if now - self._renewed_at >= RENEW_SECONDS:
            self._renewed_at = now
            self._hold_again(now)
        every = POLL_SECONDS if self.is_pooled else LOOK_SECONDS
        if now - self._looked_at >= every:
            self._looked_at = now
            self._look(now)
        wait = max(0.0, self._looked_at + every - now)
        if not all(self._held.values()):
            wait = min(wait, RENEW_SECONDS)
        if self._has_hint:
            left = HINT_SECONDS - (now - self._hinted_at)
            if left > 0:
                return left
            self._has_hint, self._hinted_at = False, now
            self._send(COMMIT)
        return wait

    def _receive(self, connection: Connection) -> None:
        own = connection.info.backend_pid
        for one in [] if self.is_pooled else list(connection.notifies(timeout=0)):
            if one.pid == own:
                continue
            if one.payload == JOINING:
                self._share(connection)
            elif one.payload == RELEASED:
                self._refused.clear()
            else:
                self._database.notifier.notify()

    def _send(self, what: str) -> None:
        if self.is_pooled:
            self._database.send_hint(what)
        else:
            self._do(lambda one: one.execute(NOTIFY, (self._schema, what)))

    def _look(self, now: float) -> None:
        """Find a commit that no hint told of, and a lease that has become free."""
        if self.is_pooled:
            state = self._ask(lambda one: row(one, STATE))
        else:
            state = self._do(lambda one: self._look_for_free(one, now))
        if state != self._state:
            self._state = state
            self._database.notifier.notify()

    def _look_for_free(self, connection: Connection, now: float) -> tuple[Any, ...]:
        wanted = [
            name
            for name, asked_at in self._asked.items()
            if name in self._refused and now - asked_at < REFUSED_SECONDS
        ]
        may_be_alone = [EVENTS] if self._reads_events and not self._is_alone else []
        keys = [leases.key_of(self._schema, name) for name in (*wanted, *may_be_alone)]
        *state, free = row(connection, STATE_AND_LOCKS, (keys,)) or (None, [])
        for name, is_free in zip(wanted, free):
            if is_free:
                del self._refused[name]  # the next ``take`` tries
            else:
                self._refused[name] = now
        if may_be_alone and free[-1]:
            self._join(connection)
        return tuple(state)

    def _hold_again(self, now: float) -> None:
        """Renew what is held, and try to get back what was lost."""
        if self.is_pooled and self._held:
            held = self._write(lambda one: leases.renew(one, list(self._held), self.holder))
            self._held = {name: name in held for name in self._held}
        for name in [name for name, is_held in self._held.items() if not is_held]:
            self._held[name] = self._do(partial(self._try, name=name))
            if self._held[name] and self._was_taken_over(name):
                # Its consumer learns it from its next commit; until then others would wait.
                del self._held[name]
                self._release(name)

    # -- locks

    def _try(self, connection: Connection, name: str) -> bool:
        if self.is_pooled:
            return self._write(lambda one: leases.take_row(one, self._schema, name, self.holder))
        return leases.try_lock(connection, self._schema, name)

    def _was_taken_over(self, name: str) -> bool:
        """Whether another process has had this lease since this one lost it."""
        term = self.terms.get(name)
        return term is not None and term != self._ask(lambda one: sources.term_of(one, name))

    def _release(self, name: str) -> None:
        if self.is_pooled:
            self._write(lambda one: leases.give_up_row(one, name, self.holder))
        else:
            self._do(lambda one: leases.unlock(one, self._schema, name))
        self._send(RELEASED)

    def _join(self, connection: Connection) -> bool:
        """Become a reader of events: the only one, or one of several."""
        if self.is_pooled:
            return True
        if leases.try_lock_alone(connection, self._schema, EVENTS):
            self._is_alone = True
            if self._reads_events:
                leases.unshare(connection, self._schema, EVENTS)
            return True
        if self._reads_events or leases.try_share(connection, self._schema, EVENTS):
            return True
        connection.execute(NOTIFY, (self._schema, JOINING))
        return False

    def _share(self, connection: Connection) -> None:
        """Let another process read events too."""
        if self._is_alone:
            self._is_alone = False
            leases.try_share(connection, self._schema, EVENTS)
            leases.unlock(connection, self._schema, EVENTS)

    # -- the connection

    def _do(self, work: Callable[[Connection], Result]) -> Result:
        """Work with the connection, in its turn. Raises StoreUnavailable."""
        with self._turn, self._translated():
            if self._connection is None or self._connection.closed:
                self._connection = self._connect()
            result = work(self._connection)
            self._wake_for_backlog()
            return result

    def _ask(self, work: Callable[[Connection], Result]) -> Result:
        """Read, with a connection of the store where a pooler gives this one to others."""
        if not self.is_pooled:
            return self._do(work)
        with self._database.read() as connection:
            return work(connection)

    def _write(self, work: Callable[[Connection], Result]) -> Result:
        """Work in a transaction of the store, which a pooler leaves whole."""
        with self._database.write(durable=False, notify=False) as connection:
            return work(connection)

    def _connect(self) -> Connection:
        if (refusal := self._backoff.refusal()) is not None:
            raise type(refusal)(str(refusal))
        try:
            connection = self._database.connect_directly()
            self.is_pooled = server.is_pooled(connection)
            if not self.is_pooled:
                connection.execute(f"LISTEN {self._schema}".encode())
        except (StatecastError, psycopg.Error) as error:
            self._backoff.failed(
                error
                if isinstance(error, StatecastError)
                else translate(self._database.shown, error)
            )
            raise
        self._backoff.succeeded()
        self._lose_all()
        self._renewed_at = 0.0
        if self._reads_events:
            self._reads_events = self._join_again(connection)
        self._database.notifier.notify()  # hints may have been missed
        return connection

    def _join_again(self, connection: Connection) -> bool:
        self._reads_events = False
        self._join(connection)
        return True

    def _lose_all(self) -> None:
        self._held = dict.fromkeys(self._held, False)
        self._is_alone = False

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._lose_all()
        self._refused.clear()  # the next ``take`` finds out why nothing can be had
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            self._drop()
            self._database.notifier.notify()  # readers find out themselves what is away
            raise translate(self._database.shown, error) from error

    # -- waking the thread

    def _wake(self) -> None:
        with suppress(OSError):  # full: it will wake anyway; closed: the session was
            os.write(self._wake_write, b"w")

    def _wake_for_backlog(self) -> None:
        """Another thread's work may have received hints, which the thread must look at."""
        if threading.current_thread() is not self._thread and not self.is_pooled:
            self._wake()

    def descriptors(self) -> list[int]:
        """What the thread waits for."""
        connection = self._connection
        if connection is None or connection.closed or self.is_pooled:
            return [self._wake_read]
        with suppress(psycopg.Error, OSError):
            return [self._wake_read, connection.fileno()]
        return [self._wake_read]

    def after_fork(self) -> None:
        """In a child: leave the connection to its own process."""
        if self._closed:
            return
        connection = self._connection
        if connection is not None and not connection.closed:
            self._inherited.append(connection)
            leave_to_parent(connection)
        for descriptor in (self._wake_read, self._wake_write):
            with suppress(OSError):
                os.close(descriptor)
        self._begin_process()


def run(reference: weakref.ref[ProcessSession], wake_read: int) -> None:
    """The thread of a session. It must not keep the session alive."""
    while (session := reference()) is not None and not session._closed:
        seconds = session.attend()
        descriptors = session.descriptors()
        del session
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        poll.poll(seconds * 1000)
        with suppress(OSError):
            os.read(wake_read, 4096)
