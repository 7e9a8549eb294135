"""The driver's errors as ours, each as a sentence that says what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import errors as postgres

from statecast.errors import (
    DiskFull,
    StatecastError,
    StoreDamaged,
    StoreReadOnly,
    StoreUnavailable,
    StoreUnusable,
)

Connection = psycopg.Connection[tuple[Any, ...]]
Cursor = psycopg.Cursor[tuple[Any, ...]]

BUSY_SECONDS = 5.0
"""For how long a statement waits for the locks of other transactions."""

REPEATABLE = (
    postgres.SerializationFailure,
    postgres.DeadlockDetected,
    postgres.UniqueViolation,
    postgres.DivisionByZero,  # of counters.WITHIN: others added devices first
)
"""After one of these the same transaction can succeed: another one came first."""


def rows(
    connection: Connection, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()
) -> list[tuple[Any, ...]]:
    """All rows of a query; it waits for them."""
    return connection.execute(sql.encode(), values).fetchall()


def row(
    connection: Connection, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()
) -> tuple[Any, ...] | None:
    """The first row or None; it waits for it."""
    return connection.execute(sql.encode(), values).fetchone()


def only_row(asked: Cursor) -> tuple[Any, ...]:
    """The row of a query that always has one, like that of a table with one row."""
    found = asked.fetchone()
    assert found is not None
    return found


class WhileCleaning(logging.Filter):
    """Makes what the driver says while it ends a pipeline or a transaction a matter of debugging.

    The error that it follows is raised, and becomes one of ours. Beside that, a second line in the
    words of the driver would stand on the standard error of a command.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith("error ignored"):
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger(record.name).isEnabledFor(record.levelno)


logging.getLogger("psycopg").addFilter(WhileCleaning())


class OutcomeUnknown(StoreUnavailable):
    """The connection broke while a commit was under way."""

    may_have_arrived = True


def is_broken(error: psycopg.Error) -> bool:
    """Whether the connection, or the server's process behind it, is gone."""
    return isinstance(
        error,
        (postgres.AdminShutdown, postgres.CrashShutdown, postgres.CannotConnectNow),
    ) or (isinstance(error, psycopg.OperationalError) and error.sqlstate is None)


def reason_of(error: BaseException) -> str:
    """The first line of an error, without a full stop. It never has parameters or passwords."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".")


AUTHORITY = (
    "name the file of the authority that signed the server's certificate (sslrootcert=FILE in the "
    "URL); renew a certificate that has expired"
)
ADVICE = (
    ("certificate verify failed", AUTHORITY),
    ("root certificate file", AUTHORITY),
    ("does not match host name", "put a name that the certificate has into the URL"),
    (
        "no encryption",
        "if it takes only TLS, add sslmode=verify-full to the URL; else its pg_hba.conf lacks an "
        "entry for this user, database and host",
    ),
    (
        "no pg_hba.conf entry",
        "add an entry for this user, database and host to its pg_hba.conf",
    ),
    ("does not support SSL", "turn on ssl in its postgresql.conf, or ask for no sslmode"),
    ("password authentication failed", "check user and password"),
    ("invalid sslmode value", "correct the URL or PGSSLMODE"),
    ("weak sslmode", "correct the URL or PGSSLMODE"),
    ("definition of service", "correct the URL or the service file (PGSERVICEFILE)"),
)
"""What to do when no connection can be made, by words of libpq's reason."""
CHECK_ALL = "check that it runs, and user, password and network"


def unreachable(shown: str, error: psycopg.Error) -> StoreUnavailable:
    """No connection could be made."""
    reason = reason_of(error)
    advice = next((advice for words, advice in ADVICE if words in reason), CHECK_ALL)
    return StoreUnavailable(
        f"PostgreSQL at {shown} cannot be used ({reason}); {advice}. Nothing was lost; it is "
        "tried again."
    )


def outcome_unknown(shown: str, error: BaseException) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"The connection to PostgreSQL at {shown} broke during a commit ({reason_of(error)}), so "
        "it is not known whether that was done; look, before you do it again."
    )


def not_done(shown: str, error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(
        f"The connection to PostgreSQL at {shown} broke during a commit, and nothing of it was "
        f"written ({reason_of(error.__cause__ or error)}); try again."
    )


NOT_THE_PRIMARY = (postgres.ReadOnlySqlTransaction, postgres.FeatureNotSupported)
"""What a standby says to a writer: the second one when the transaction begins."""

SENTENCES: list[tuple[type[psycopg.Error], type[StatecastError], str]] = [
    (
        postgres.DiskFull,
        DiskFull,
        "The disk of {store} is full; free some space. Nothing was lost.",
    ),
    (
        postgres.ReadOnlySqlTransaction,
        StoreReadOnly,
        "{store} is read-only: it is a standby, or its default_transaction_read_only is on. Name "
        "the primary, or add target_session_attrs=read-write to the URL.",
    ),
    (
        postgres.FeatureNotSupported,
        StoreReadOnly,
        "{store} is read-only: it is a standby ({reason}). Name the primary, or add "
        "target_session_attrs=read-write to the URL.",
    ),
    (
        postgres.InsufficientPrivilege,
        StoreUnavailable,
        "The user of {store} lacks a right ({reason}); see the GRANTs in "
        "docs/how-to/postgresql.md.",
    ),
    (
        postgres.DeadlockDetected,
        StoreUnavailable,
        "Transactions of {store} waited for each other ({reason}); try again.",
    ),
    (
        postgres.SerializationFailure,
        StoreUnavailable,
        "Other transactions of {store} came first each time ({reason}); try again.",
    ),
    (
        postgres.LockNotAvailable,
        StoreUnavailable,
        f"Another transaction of {{store}} has held a lock for {BUSY_SECONDS:g} seconds; try "
        "again.",
    ),
    (
        postgres.IdleInTransactionSessionTimeout,
        StoreUnavailable,
        "This process stood still in a transaction of {store}, which was rolled back; try again.",
    ),
    (
        postgres.TooManyConnections,
        StoreUnavailable,
        "{store} has no room for another connection; raise its max_connections, or lower "
        "pool_size in the URLs.",
    ),
    (
        postgres.QueryCanceled,
        StoreUnavailable,
        "{store} ended a statement ({reason}); try again.",
    ),
    (
        postgres.DataCorrupted,
        StoreDamaged,
        "{store} is damaged ({reason}); restore a backup of the database.",
    ),
    (
        postgres.IndexCorrupted,
        StoreDamaged,
        "An index of {store} is damaged ({reason}); REINDEX it, or restore a backup.",
    ),
    (
        postgres.IoError,
        StoreUnavailable,
        "The disk of {store} failed ({reason}); the write was not confirmed.",
    ),
    (
        postgres.InvalidSchemaName,
        StoreUnusable,
        "{store} has no tables of Statecast ({reason}); run `statecast store migrate`.",
    ),
    (
        postgres.UndefinedTable,
        StoreUnusable,
        "Tables of {store} are missing ({reason}); run `statecast store migrate`, or restore a "
        "backup.",
    ),
    (
        postgres.UndefinedColumn,
        StoreUnusable,
        "Another program changed the tables of {store} ({reason}); restore a backup.",
    ),
]
"""From the special to the general. ``{reason}`` is the server's own sentence."""


def translate(shown: str, error: psycopg.Error) -> StatecastError:
    """The driver's error as one of ours."""
    store = f"the store in PostgreSQL at {shown}"
    for kind, ours, sentence in SENTENCES:
        if isinstance(error, kind):
            text = sentence.format(store=store, reason=reason_of(error))
            return ours(text[0].upper() + text[1:])
    if is_broken(error):
        return StoreUnavailable(
            f"The connection to PostgreSQL at {shown} broke ({reason_of(error)}). Nothing was "
            "lost; it is tried again."
        )
    return StoreUnavailable(f"The store in PostgreSQL at {shown} failed: {reason_of(error)}.")
