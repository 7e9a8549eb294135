"""Forgets a device or a person for good, in batches: what is left names and shows neither.

The caller has removed the device or the user before, so that pages and processes know of it.
"""

from __future__ import annotations

import json
from typing import Any

from statecast.stores.counters import Counters
from statecast.stores.forgotten_names import (
    FORGOTTEN,
    Changes,
    changes_of_person,
    without_name,
    without_same,
)
from statecast.stores.postgres.driver import Connection

OF_DEVICE = ("commands", "quarantine")
"""Tables of which rows are deleted that are about a device, in parts."""
KEYED = ("known_events", "reacted")
"""Tables of which all such rows are deleted."""


def device(connection: Connection, counters: Counters, name: str, most: int) -> int:
    """Delete up to ``most`` rows of each kind that are about a device; how many.

    The row of the device stays as a mark of its removal, without its former state. The caller has
    locked it.
    """
    deleted = _history(connection, counters, name, most)
    gone = {of: _delete(connection, of, name, most) for of in OF_DEVICE}
    counters.quarantine_rows -= gone["quarantine"]
    keyed = {of: _delete(connection, of, name, None) for of in KEYED}
    counters.known_events -= keyed["known_events"]
    changes = {"target": {name: FORGOTTEN}, "detail": _details(connection, name)}
    renamed = _rename(connection, "audit", changes, most)
    return deleted + sum(gone.values()) + sum(keyed.values()) + renamed


def _history(connection: Connection, counters: Counters, name: str, most: int) -> int:
    sql = """
        DELETE FROM history WHERE "offset" IN (
            SELECT "offset" FROM history
            WHERE device = (SELECT id FROM devices WHERE device = %s) LIMIT %s
        ) RETURNING size"""
    sizes = [size for (size,) in connection.execute(sql, (name, most))]
    counters.history_rows -= len(sizes)
    counters.history_bytes -= sum(sizes)
    return len(sizes)


def _delete(connection: Connection, of: str, name: str, most: int | None) -> int:
    which = f"SELECT ctid FROM {of} WHERE device = %s LIMIT %s"
    sql = f"DELETE FROM {of} WHERE ctid = ANY(ARRAY({which})) RETURNING 1"
    return len(connection.execute(sql, (name, most)).fetchall())


def _details(connection: Connection, name: str) -> dict[str, str]:
    """What the audit says of rights that name a device, and the same without the name."""
    sql = "SELECT DISTINCT detail FROM audit WHERE strpos(detail, %s) > 0"
    found = [detail for (detail,) in connection.execute(sql, (name,))]
    return {text: new for text in found if (new := without_name(text, name)) != text}


def person(connection: Connection, name: str, most: int) -> int:
    """Leave out the name of a person in up to ``most`` rows of each table; in how many."""
    changes = changes_of_person(name)
    return sum(_rename(connection, of, columns, most) for of, columns in changes.items())


def _rename(connection: Connection, of: str, columns: Changes, most: int) -> int:
    """Replace texts of columns in up to ``most`` rows of a table; in how many."""
    changes = without_same(columns)
    which = " OR ".join(f"{name} = ANY(%({name}_texts)s)" for name in changes)
    new = ", ".join(f"{name} = coalesce(%({name})s::jsonb ->> {name}, {name})" for name in changes)
    order = "ORDER BY device" if of == "devices" else ""
    values: dict[str, Any] = {name: json.dumps(texts) for name, texts in changes.items()}
    values |= {f"{name}_texts": list(texts) for name, texts in changes.items()}
    locked = f"SELECT ctid FROM {of} WHERE {which} {order} LIMIT %(most)s FOR NO KEY UPDATE"
    sql = f"UPDATE {of} SET {new} WHERE ctid = ANY(ARRAY({locked})) RETURNING 1"
    return len(connection.execute(sql, values | {"most": most}).fetchall())
