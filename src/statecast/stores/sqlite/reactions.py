"""How far reactions have come: a row for each reaction, and one for each of its devices.

A damaged row counts as a call that never was: the next call for its device gets no state before,
and writes the row again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import apsw

from statecast import names
from statecast.model import Update
from statecast.stores import errors
from statecast.stores.leases import reaction_lease
from statecast.stores.sqlite import devices, sources
from statecast.stores.sqlite.database import Database
from statecast.stores.sqlite.driver import row as first
from statecast.stores.sqlite.driver import rows
from statecast.stores.sqlite.row_reader import RowReader
from statecast.stores.sqlite.tables import sealed, table

REACTIONS, REACTED = table("reactions"), table("reacted")
PAGE = 1_000
"""Devices read at once."""

UNHANDLED = """
SELECT CAST(device AS BLOB) FROM devices AS one WHERE offset > 0
AND NOT EXISTS (SELECT 1 FROM reacted
    WHERE reaction = :name AND device = one.device AND offset = one.offset)
AND (state IS NOT NULL OR EXISTS (SELECT 1 FROM reacted
    WHERE reaction = :name AND device = one.device))
ORDER BY offset
"""
GONE = """
SELECT CAST(device AS BLOB) FROM reacted
WHERE reaction = :name AND device NOT IN (SELECT device FROM devices)
"""
"""Devices with a last call of which the store has forgotten even the removal."""


class SqliteReaction:
    """One reaction inside the store's file."""

    def __init__(
        self, database: Database, reader: RowReader, name: str, patterns: tuple[str, ...]
    ) -> None:
        self.name = name
        self.patterns = patterns
        self._database = database
        self._rows = reader

    def begin(self, term: int) -> bool:
        """Begin with the present states, or continue; True if it begins. Raises LeaseLost."""
        with self._database.write(notify=False) as connection:
            self._check(connection, term)
            before = self._before(connection)
            if before == self.patterns:
                return False
            self._forget_others(connection)
            for device, offset, state in self._present(connection):
                if not names.match_any(before or (), device):
                    self._save(connection, device, offset, state)
            self._save_patterns(connection)
        return before is None

    def unhandled(self) -> list[str]:
        """Names of devices that may have changed since their last call."""
        with self._database.read() as connection:
            found = [
                raw
                for sql in (UNHANDLED, GONE)
                for (raw,) in rows(connection, sql, {"name": self.name})
            ]
        named = [(raw or b"").decode("utf-8", "replace") for raw in found]
        return [device for device in named if names.match_any(self.patterns, device)]

    def last(self, device: str) -> bytes | None:
        """The state of the last successful call; None: none, or its row is damaged."""
        with self._database.read() as connection:
            found = self._rows.rows(
                connection, REACTED, "WHERE reaction = ? AND device = ?", (self.name, device)
            )
        return found[0][3] if found else None

    def note(self, device: str, update: Update | None, term: int) -> None:
        """Note a successful call. Raises LeaseLost."""
        with self._database.write(durable=False, notify=False, keeps_devices=True) as connection:
            self._check(connection, term)
            if update is None or update.state is None:
                self._forget(connection, device)
            else:
                self._save(connection, device, update.offset, update.state)

    def _check(self, connection: apsw.Connection, term: int) -> None:
        source = reaction_lease(self.name)
        if sources.find(connection, self._rows, source)[1] != term:
            raise errors.lease_lost(source)

    def _before(self, connection: apsw.Connection) -> tuple[str, ...] | None:
        """The patterns that it watched before; None: it is new."""
        found = self._rows.rows(connection, REACTIONS, "WHERE name = ?", (self.name,))
        if found:
            return tuple(json.loads(found[0][1]))
        begun = "SELECT EXISTS (SELECT 1 FROM {} WHERE {} = ?)"
        for place in (("reactions", "name"), ("reacted", "reaction")):
            if first(connection, begun.format(*place), (self.name,))[0]:
                self._save_patterns(connection)  # the row is damaged, or a repair has removed it
                return self.patterns
        return None

    def _save_patterns(self, connection: apsw.Connection) -> None:
        rows(connection, REACTIONS.replace, sealed((self.name, json.dumps(self.patterns))))
        self._rows.clear(REACTIONS, (self.name,))

    def _forget_others(self, connection: apsw.Connection) -> None:
        """Delete the rows of devices that it does not watch any more."""
        sql = "SELECT CAST(device AS BLOB) FROM reacted WHERE reaction = ?"
        for (raw,) in rows(connection, sql, (self.name,)):
            device = (raw or b"").decode("utf-8", "replace")
            if not names.match_any(self.patterns, device):
                self._forget(connection, device)

    def _present(self, connection: apsw.Connection) -> Iterator[tuple[str, int, bytes]]:
        """Name, offset and state of the devices that it watches; a damaged row is left out."""
        present = "SELECT id FROM devices WHERE state IS NOT NULL AND offset > 0"
        keys = [key for (key,) in rows(connection, present)]
        for at in range(0, len(keys), PAGE):
            page = (json.dumps(keys[at : at + PAGE]),)
            rest = "WHERE id IN (SELECT value FROM json_each(?))"
            for _, device, _, offset, _, state, *_ in devices.read(
                connection, self._rows, rest, page
            ):
                if names.match_any(self.patterns, device):
                    yield device, offset, state

    def _save(self, connection: apsw.Connection, device: str, offset: int, state: bytes) -> None:
        rows(connection, REACTED.replace, sealed((self.name, device, offset, state)))
        self._rows.clear(REACTED, (self.name, device))

    def _forget(self, connection: apsw.Connection, device: str) -> None:
        key = (self.name, device)
        rows(connection, "DELETE FROM reacted WHERE reaction = ? AND device = ?", key)
        self._rows.clear(REACTED, key)
