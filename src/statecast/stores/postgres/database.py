"""One schema in a PostgreSQL database: connections, transactions, and the driver's errors as ours.

Rule 1: each transaction runs in pipeline mode. No statement waits until its rows are
fetched, so BEGIN travels with the first fetch, and COMMIT with the last statements.
Rule 2: writers are READ COMMITTED, and lock in one order: source, devices by name, other rows, and
the row of the counters last. A reader is one REPEATABLE READ, READ ONLY snapshot: two statements of
a READ COMMITTED transaction can pass an update that neither has seen.
Rule 3: behind a pooler settings are those of the transaction (``set_config(..., true)``), because
it may give the session to another program. Elsewhere they are set once for each connection: in each
transaction they would cost the server more than a query does.
Rule 4: no connection is used in a forked child, and no error names a password.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

import psycopg
from psycopg import sql

from statecast.errors import StoreUnavailable
from statecast.problems import Problems
from statecast.stores.notifier import CommitNotifier
from statecast.stores.postgres import migration, schema, server, texts
from statecast.stores.postgres.address import Password, StoreAddress
from statecast.stores.postgres.clock import CLOCK
from statecast.stores.postgres.driver import (
    BUSY_SECONDS,
    NOT_THE_PRIMARY,
    REPEATABLE,
    Connection,
    Cursor,
    OutcomeUnknown,
    is_broken,
    not_done,
    only_row,
    outcome_unknown,
    translate,
    unreachable,
)
from statecast.stores.postgres.pool import ConnectionPool

Result = TypeVar("Result")
RememberedWork = Callable[[Connection, str], tuple[Result, Cursor]]
"""Gets the id of its transaction; returns its result, and a cursor with the offset after it."""

WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
SETTINGS = """
    SELECT set_config('search_path', %(schema)s, %(local)s),
        set_config('lock_timeout', %(lock_timeout)s, %(local)s),
        set_config('idle_in_transaction_session_timeout', %(idle_timeout)s, %(local)s),
        set_config('enable_seqscan', 'off', %(local)s), set_config('jit', 'off', %(local)s)"""
"""Every query has its index. A plan that was made while a table was small must not read it whole
when it has become large. To compile such a plan would take longer than to run it."""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename"
NOT_DURABLE = "SET LOCAL synchronous_commit = off"
CLAIMED = -1
CLAIM = f"""
    INSERT INTO requests (id, at, "offset") VALUES (%s, {CLOCK}, {CLAIMED})
    ON CONFLICT (id) DO NOTHING"""
"""It waits for a transaction with the same id, and keeps one that comes later from its end."""
FIND = 'SELECT "offset" FROM requests WHERE id = %s'
IDLE_SECONDS = 30.0
"""A process that stands still in a transaction for so long loses it, and its locks."""
LASTING: dict[str, str | int] = {
    "keepalives_idle": 2,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 6_000,
}
"""A server that vanishes is noticed within 6 s by the connection that holds locks."""
KEEPALIVE = "SELECT " + ", ".join(
    f"set_config('tcp_{name.removeprefix('tcp_')}', '{value}', false)"
    for name, value in LASTING.items()
)
"""So the server notices as early that a host has vanished, and releases what that had locked."""
RESOLVE_SECONDS = 10.0
"""For how long an unknown outcome is looked up, while the server is away."""
TRIES = 5
"""How often a transaction is done that others came before."""


class ReadMarks(threading.local):
    """What one thread has read."""

    commits: int | None = None
    """The notifier's number before this thread's last read for changes; None: no such read yet."""


class PostgresDatabase:
    """The schema, from open to close. Every method may be called from any thread."""

    def __init__(
        self,
        address: StoreAddress,
        problems: Problems,
        steps: Sequence[schema.SchemaStep] = schema.STEPS,
    ) -> None:
        self.address = address
        self.shown = address.shown
        self.notifier = CommitNotifier()
        self.on_commit: Callable[[], None] = self.notifier.notify
        """Called after each commit of something that readers read."""
        self.marks = ReadMarks()
        self.created = False
        """Whether this process made the tables."""
        self._problems = problems
        self._risks: list[str] = []
        """What was said of the server's settings last."""
        self._steps = steps
        self._settings = {
            "schema": address.schema,
            "lock_timeout": str(round(BUSY_SECONDS * 1000)),
            "idle_timeout": str(round(IDLE_SECONDS * 1000)),
        }
        self.pool = ConnectionPool(self.connect, address.pool_size, self.shown)
        try:
            self._prepare()
        except BaseException:
            self.pool.close()
            raise

    # -- connections

    def connect(self) -> Connection:
        """A new connection to a server that fits. Raises StoreUnavailable and StoreUnusable."""
        return self._connect(self.address.conninfo)

    def connect_directly(self) -> Connection:
        """A connection that lasts, if no pooler is in between. Raises like ``connect``."""
        return self._connect(self.address.direct_conninfo | LASTING)

    def send_hint(self, what: str) -> None:
        """Wake the readers of other processes. Raises StoreUnavailable."""
        connection = self.pool.take()
        try:
            with self.translated():
                connection.execute("SELECT pg_notify(%s, %s)", (self.address.schema, what))
        finally:
            self.pool.give_back(connection)

    def _connect(self, conninfo: Mapping[str, str | int]) -> Connection:
        try:
            connection = psycopg.connect(
                **conninfo,  # type: ignore[arg-type]
                autocommit=True,
                context=texts.CONTEXT,
            )
        except psycopg.Error as error:
            hidden = Password(str(self.address.conninfo.get("password") or ""))
            reason = psycopg.OperationalError(hidden.hide(str(error)))
            raise unreachable(self.shown, reason) from None
        try:
            with self.translated():
                facts = server.read_facts(connection)
            facts.check(self.shown)
            if facts.session != connection.info.backend_pid:
                connection.prepare_threshold = None  # a pooler gives sessions to others
            if keeps_session(connection):
                with self.translated(), connection.pipeline():  # one round trip
                    connection.execute(SETTINGS, self._settings | {"local": False})
                    connection.execute(KEEPALIVE.encode())
        except BaseException:
            connection.close()
            raise
        if facts.risks() != self._risks:
            self._risks = facts.risks()
            server.report_risks(facts, self.shown, self._problems)
        return connection

    def _prepare(self) -> None:
        """Check the tables, and take missing steps if this user may."""
        connection = self.pool.take()
        try:
            with self.translated():
                found = migration.version(connection, self.address.schema)
                missing = found.number < len(self._steps) and found.runs_from <= len(self._steps)
                if missing and migration.may_migrate(connection, self.address.schema):
                    before = migration.migrate(
                        connection, self.address.schema, self.shown, self._steps
                    )
                    self.created = before == 0
                else:
                    migration.check(found, self.shown, self._steps)
        finally:
            self.pool.give_back(connection)

    # -- transactions

    @contextmanager
    def read(self, mark_read: bool = False) -> Iterator[Connection]:
        """A snapshot.

        With ``mark_read``, this thread's next ``wait`` returns for every commit after the snapshot.
        Only a read for changes may set it.
        """
        commits = self.notifier.commits
        with self._transaction(READ) as connection:
            yield connection
        if mark_read:
            self.marks.commits = commits

    @contextmanager
    def write(self, durable: bool = True, notify: bool = True) -> Iterator[Connection]:
        """A transaction, committed when the block ends; then on disk if ``durable``.

        Without ``notify`` it ends no ``wait``: it is nothing that readers read. Raises
        OutcomeUnknown, a StoreUnavailable, if the connection breaks during the commit.
        """
        with self._transaction(WRITE) as connection:
            if not durable:
                connection.execute(NOT_DURABLE)
            yield connection
        if notify:
            self.on_commit()

    def run(
        self,
        work: Callable[[Connection], Result],
        *,
        durable: bool = True,
        notify: bool = True,
    ) -> Result:
        """Do ``work`` in a transaction, and again if others came before it.

        It is repeated only if nothing of it was committed. Raises OutcomeUnknown where that is not
        known.
        """
        for attempt in range(1, TRIES + 1):
            try:
                with self.write(durable, notify) as connection:
                    return work(connection)
            except StoreUnavailable as error:
                if attempt == TRIES or not isinstance(error.__cause__, REPEATABLE):
                    raise
            time.sleep(random.uniform(0.0, 0.01) * 2**attempt)  # noqa: S311
        raise AssertionError("the last attempt returns or raises")

    def run_remembered(self, work: RememberedWork[Result]) -> tuple[Result, int]:
        """Do ``work`` once, whatever happens to the connection; its result, and the offset after.

        ``work`` gets the id of its transaction, which it must keep with ``counters.save``. If the
        connection breaks during the commit, the outcome is looked up, and work that was not
        committed is done again. Raises OutcomeUnknown if the server stays away.
        """
        results: list[Result] = []
        """Of each attempt."""

        def noted(connection: Connection, request: str) -> Cursor:
            result, offset = work(connection, request)
            results.append(result)
            return offset

        for _ in range(TRIES):
            request = uuid.uuid4().hex
            try:
                (offset,) = only_row(self.run(partial(noted, request=request)))
                return results[-1], int(offset)
            except OutcomeUnknown:
                committed = self.outcome(request)
                if committed is not None:
                    self.on_commit()
                    return results[-1], committed
        raise StoreUnavailable(
            f"The connection to PostgreSQL at {self.shown} broke in each of {TRIES} commits. "
            "Nothing was written; try again."
        )

    def look_up(self, request: str | None, error: OutcomeUnknown) -> None:
        """Return if the transaction with this id was committed.

        Raises StoreUnavailable if it was not, and OutcomeUnknown if the server stays away, or if
        the transaction kept no id.
        """
        if request is None:
            raise error
        if self.outcome(request) is None:
            raise not_done(self.shown, error) from error
        self.on_commit()

    def outcome(self, request: str) -> int | None:
        """The offset after a transaction whose outcome is not known; None: it was not committed.

        A transaction that is still under way is waited for, and cannot be committed after this.
        Raises OutcomeUnknown if the server stays away.
        """
        deadline = time.monotonic() + RESOLVE_SECONDS
        while True:
            try:
                with self.write(notify=False) as connection:
                    connection.execute(CLAIM.encode(), (request,))
                    found = connection.execute(FIND, (request,)).fetchone()
                return None if found is None or found[0] == CLAIMED else int(found[0])
            except StoreUnavailable as error:
                if time.monotonic() > deadline:
                    raise outcome_unknown(self.shown, error) from error
            time.sleep(random.uniform(0.02, 0.1))  # noqa: S311

    @contextmanager
    def whatever_became_of_it(self) -> Iterator[None]:
        """Let a commit with an unknown outcome fail as one that was not done: it is done again."""
        try:
            yield
        except OutcomeUnknown as error:
            assert isinstance(error.__cause__, psycopg.Error)
            raise translate(self.shown, error.__cause__) from error

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        connection = self.pool.take()
        committing = False
        try:
            with connection.pipeline() as pipeline:
                try:
                    connection.execute(begin)
                    if not keeps_session(connection):
                        connection.execute(SETTINGS, self._settings | {"local": True})
                    yield connection
                    committing = begin is WRITE
                    connection.execute("COMMIT")  # the end of the pipeline waits for it
                except BaseException:
                    with suppress(psycopg.Error):  # what follows the first error says nothing
                        pipeline.sync()
                    raise
        except psycopg.Error as error:
            if connection.broken or is_broken(error):
                self.pool.suspect()
                if committing:  # also if the server has ended it: perhaps after the commit
                    raise outcome_unknown(self.shown, error) from error
            elif isinstance(error, NOT_THE_PRIMARY):
                self.pool.suspect()  # a new connection may find the primary
            raise translate(self.shown, error) from error
        finally:
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        """Roll back what was not committed, and return the connection."""
        try:
            if not connection.closed:
                status = connection.info.transaction_status
                if status == psycopg.pq.TransactionStatus.ACTIVE:  # interrupted: it is in doubt
                    connection.close()
                elif status != psycopg.pq.TransactionStatus.IDLE:
                    connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()
        finally:
            self.pool.give_back(connection)

    def scrub(self) -> None:
        """Write all tables again. Raises StoreUnavailable without the rights of their owner."""
        connection = self.pool.take()
        try:
            with self.translated():
                connection.execute("SET lock_timeout = 0")
                for (name,) in connection.execute(TABLES, (self.address.schema,)).fetchall():
                    table = sql.Identifier(self.address.schema, name)
                    connection.execute(sql.SQL("VACUUM (FULL) {}").format(table))
        finally:
            connection.close()  # its setting is none of the others' business
            self.pool.give_back(connection)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the driver's errors into ours."""
        try:
            yield
        except psycopg.Error as error:
            raise translate(self.shown, error) from error

    # -- closing

    def close(self) -> None:
        """Close the connections, and end every ``wait``; a second call does nothing."""
        self.pool.close()
        self.notifier.notify()


def keeps_session(connection: Connection) -> bool:
    """Whether the server's session is this connection's own: no pooler stands in between."""
    return connection.prepare_threshold is not None
