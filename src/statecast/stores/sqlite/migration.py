"""The version of a store's file: how it is checked, and how an older file takes the missing steps.

Rule: ``user_version`` is the number of steps that the file has taken; see ``schema``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import apsw

from statecast.stores.sqlite import schema
from statecast.stores.sqlite.driver import row, rows
from statecast.stores.sqlite.file_errors import RESTORE, unusable


def version(connection: apsw.Connection, path: Path, steps: Sequence[str]) -> int:
    """The version of the tables; 0 for a new file.

    Raises StoreUnusable for a file of another program, or of a newer version of ours.
    """
    application = row(connection, "PRAGMA application_id")[0]
    found: int = row(connection, "PRAGMA user_version")[0]
    tables = row(connection, "SELECT count(*) FROM sqlite_master")[0]
    if application != schema.APPLICATION_ID and (application or found or tables):
        raise unusable(path, "{store} belongs to another program; name another file as the store.")
    if found > len(steps):
        raise unusable(
            path,
            f"{{store}} is of version {found}, written by a newer Statecast "
            f"(this one knows up to {len(steps)}); install that one.",
        )
    return found


def check(connection: apsw.Connection, path: Path) -> None:
    """Raises StoreUnusable for a file with damaged pages. Damaged values stop nothing."""
    lines = [line for (line,) in rows(connection, f"PRAGMA quick_check({MAX_LINES})")]
    found = page_faults(lines)
    if found:
        raise unusable(path, f"{{store}} is damaged ({found[0]}); {RESTORE}.")


def page_faults(lines: Sequence[str]) -> list[str]:
    """What SQLite's own check says of pages: not of indexes, and not of single values."""
    return [line for line in lines if line != "ok" and not VALUES(line) and not INDEXES(line)]


MAX_LINES = 100
"""Lines of SQLite's own check. One damaged page gives many."""
INDEXES = re.compile("missing from index|entries in index|non-unique entry in index").search
VALUES = re.compile("^(NULL value in|CHECK constraint failed)").search


def migrate(connection: apsw.Connection, path: Path, steps: Sequence[str]) -> int:
    """Take the missing steps in one transaction; the version before. Needs the lock alone."""
    rows(connection, "BEGIN IMMEDIATE")
    try:
        before = version(connection, path, steps)
        for step in steps[before:]:
            rows(connection, step)
        rows(connection, f"PRAGMA application_id = {schema.APPLICATION_ID}")
        rows(connection, f"PRAGMA user_version = {len(steps)}")
        rows(connection, "COMMIT")
    except BaseException:
        if connection.in_transaction:
            rows(connection, "ROLLBACK")
        raise
    return before
