"""The version of a store's tables: how it is checked, and how an older schema takes missing steps.

Rule 1: the table ``schema_version`` has one row: the version, and the oldest program that runs on
it. So an older program that still runs after a step goes on during a rolling update.
Rule 2: steps are taken in one transaction under an advisory lock: of many processes that start at
once, one migrates and the others find it done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from psycopg import sql

from statecast.errors import StoreUnusable
from statecast.stores.postgres import schema
from statecast.stores.postgres.driver import Connection

LOCK = 0x53744361
"""``StCa``: the key of the advisory lock."""

MIGRATE = "run `statecast store migrate` as the owner of the schema"


class SchemaVersion(NamedTuple):
    """The version of a schema's tables; 0: it has none."""

    number: int
    runs_from: int
    """The oldest program that runs on it, as the number of steps that it knows."""


def version(connection: Connection, name: str) -> SchemaVersion:
    """The version of the schema of that name."""
    found = connection.execute(
        "SELECT to_regclass(%s) IS NOT NULL", (f"{name}.schema_version",)
    ).fetchone()
    if found is None or not found[0]:
        return SchemaVersion(0, 0)
    query = sql.SQL("SELECT version, runs_from FROM {}.schema_version").format(sql.Identifier(name))
    row = connection.execute(query).fetchone()
    return SchemaVersion(*row) if row is not None else SchemaVersion(0, 0)


def check(
    found: SchemaVersion,
    shown: str,
    steps: Sequence[schema.SchemaStep] = schema.STEPS,
    runs_on: int = schema.RUNS_ON,
) -> None:
    """Raises StoreUnusable if this program does not run on tables of that version."""
    store = f"The store in PostgreSQL at {shown}"
    if found.runs_from > len(steps):
        raise StoreUnusable(
            f"{store} is of version {found.number} and needs a newer Statecast "
            f"(this one knows up to {len(steps)}); install that one."
        )
    if found.number == 0:
        raise StoreUnusable(f"{store} has no tables of Statecast yet; {MIGRATE}.")
    if found.number < runs_on:
        raise StoreUnusable(
            f"{store} is of version {found.number}, and this program needs at least {runs_on}; "
            f"{MIGRATE}."
        )


def may_migrate(connection: Connection, name: str) -> bool:
    """Whether this user may make the schema, or change its tables."""
    row = connection.execute(
        "SELECT coalesce("
        "(SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = %s), "
        "has_database_privilege(current_database(), 'CREATE'))",
        (name,),
    ).fetchone()
    return bool(row and row[0])


def migrate(
    connection: Connection,
    name: str,
    shown: str,
    steps: Sequence[schema.SchemaStep] = schema.STEPS,
) -> int:
    """Take the missing steps; the version before. Needs no transaction around it.

    Raises StoreUnusable for tables of a newer program on which this one does not run.
    """
    identifier = sql.Identifier(name)
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = 0")  # another process may need long for it
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        before = version(connection, name)
        if before.number:
            check(before, shown, steps, 0)
        if before.number >= len(steps):
            return before.number
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(identifier))
        connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(identifier))
        for step in steps[before.number :]:
            connection.execute(step.sql.encode())
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version "
            "(version int NOT NULL, runs_from int NOT NULL)"
        )
        connection.execute("DELETE FROM schema_version")
        connection.execute(
            "INSERT INTO schema_version VALUES (%s, %s)", (len(steps), steps[-1].runs_from)
        )
    return before.number
