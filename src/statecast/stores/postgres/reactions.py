"""How far reactions have come: a row for each reaction, and one for each of its devices."""

from __future__ import annotations

import json

from statecast import names
from statecast.model import Update
from statecast.stores.leases import reaction_lease
from statecast.stores.postgres import sources
from statecast.stores.postgres.database import PostgresDatabase
from statecast.stores.postgres.driver import Connection

HANDLED = "coalesce((SELECT handled FROM reactions WHERE name = %(name)s), 0)"
"""The offset up to which nothing is left to be handled."""
LATER = f"""
    devices AS one LEFT JOIN LATERAL (
        SELECT "offset", state FROM reacted
        WHERE reaction = %(name)s AND device = one.device OFFSET 0) AS last ON true
    WHERE one."offset" > {HANDLED}"""
"""The devices that changed later, in the index of offsets, with their last call."""
UNHANDLED = f"""
    SELECT one.device FROM {LATER} AND last."offset" IS DISTINCT FROM one."offset"
    AND (one.state IS NOT NULL OR last."offset" IS NOT NULL)
    ORDER BY one."offset"
"""
GONE = f"""
    SELECT device FROM reacted WHERE reaction = %(name)s
    AND (SELECT forgotten FROM counters) >= {HANDLED}
    AND NOT EXISTS (SELECT 1 FROM devices WHERE devices.device = reacted.device)
"""
"""Devices with a last call of which the store has forgotten even the removal: none, if all removals
that it has forgotten are handled."""
ADVANCE = f"""
    UPDATE reactions SET handled = greatest(handled, reached.up_to) FROM (
        SELECT coalesce(
            (
                SELECT one."offset" - 1 FROM {LATER}
                AND last."offset" IS DISTINCT FROM one."offset"
                AND last.state IS DISTINCT FROM one.state
                AND (one.device = ANY(%(devices)s) OR EXISTS (
                    SELECT 1 FROM unnest(%(beginnings)s::text[]) AS its (beginning)
                    WHERE starts_with(one.device, its.beginning)))
                ORDER BY one."offset" LIMIT 1
            ),
            (SELECT "offset" FROM counters)
        ) AS up_to
    ) AS reached
    WHERE name = %(name)s AND NOT EXISTS ({GONE})"""
PRESENT = 'SELECT device FROM devices WHERE state IS NOT NULL AND "offset" > 0'
BEGIN = """
    INSERT INTO reacted (reaction, device, "offset", state)
    SELECT %(name)s, device, "offset", state FROM devices
    WHERE device = ANY(%(devices)s) AND state IS NOT NULL
    ON CONFLICT (reaction, device) DO UPDATE SET
        "offset" = excluded."offset", state = excluded.state"""
SAVE = """
    INSERT INTO reacted (reaction, device, "offset", state) VALUES (%s, %s, %s, %s)
    ON CONFLICT (reaction, device) DO UPDATE SET
        "offset" = excluded."offset", state = excluded.state"""
SAVE_PATTERNS = """
    INSERT INTO reactions (name, patterns) VALUES (%s, %s)
    ON CONFLICT (name) DO UPDATE SET patterns = excluded.patterns"""
FORGET = "DELETE FROM reacted WHERE reaction = %s AND device = ANY(%s)"


class PostgresReaction:
    """One reaction inside the store."""

    def __init__(self, database: PostgresDatabase, name: str, patterns: tuple[str, ...]) -> None:
        self.name = name
        self.patterns = patterns
        self._database = database

    def begin(self, term: int) -> bool:
        """Begin with the present states, or continue; True if it begins. Raises LeaseLost."""
        with self._database.write(notify=False) as connection:
            self._check(connection, term)
            before = self._before(connection)
            if before != self.patterns:
                self._watch(connection, before)
            self._advance(connection)
        return before is None

    def _watch(self, connection: Connection, before: tuple[str, ...] | None) -> None:
        """Watch other patterns than before: begin with the present for what is new to them."""
        self._forget_others(connection)
        present = [device for (device,) in connection.execute(PRESENT)]
        new = [
            one for one in present if self._matches(one) and not names.match_any(before or (), one)
        ]
        connection.execute(BEGIN, {"name": self.name, "devices": new})
        connection.execute(SAVE_PATTERNS, (self.name, json.dumps(self.patterns)))

    def _advance(self, connection: Connection) -> None:
        """Note up to where all is handled, so that no take-over looks at it again.

        Only a take-over does it. Then no call runs: a note of the former holder has been committed,
        or fails with its term. So no call can end afterwards whose state is older than that.
        """
        values = {
            "name": self.name,
            "devices": list(self.patterns),
            "beginnings": [one[:-1] for one in self.patterns if one.endswith("*")],
        }
        connection.execute(ADVANCE, values)

    def unhandled(self) -> list[str]:
        """Names of devices that may have changed since their last call."""
        with self._database.read() as connection:
            found = [
                device
                for sql in (UNHANDLED, GONE)
                for (device,) in connection.execute(sql, {"name": self.name})
            ]
        return [device for device in found if self._matches(device)]

    def last(self, device: str) -> bytes | None:
        """The state of the last successful call; None: none."""
        sql = "SELECT state FROM reacted WHERE reaction = %s AND device = %s"
        with self._database.read() as connection:
            found = connection.execute(sql, (self.name, device)).fetchone()
        return found[0] if found else None

    def note(self, device: str, update: Update | None, term: int) -> None:
        """Note a successful call. Raises LeaseLost."""
        with self._database.write(durable=False, notify=False) as connection:
            self._check(connection, term)
            if update is None or update.state is None:
                connection.execute(FORGET, (self.name, [device]))
            else:
                connection.execute(SAVE, (self.name, device, update.offset, update.state))

    def _check(self, connection: Connection, term: int) -> None:
        sources.find(connection, reaction_lease(self.name), term)

    def _before(self, connection: Connection) -> tuple[str, ...] | None:
        """The patterns that it watched before; None: it is new."""
        sql = "SELECT patterns FROM reactions WHERE name = %s"
        found = connection.execute(sql, (self.name,)).fetchone()
        return tuple(json.loads(found[0])) if found else None

    def _forget_others(self, connection: Connection) -> None:
        """Delete the rows of devices that it does not watch any more."""
        sql = "SELECT device FROM reacted WHERE reaction = %s"
        others = [one for (one,) in connection.execute(sql, (self.name,)) if not self._matches(one)]
        connection.execute(FORGET, (self.name, others))

    def _matches(self, device: str) -> bool:
        return names.match_any(self.patterns, device)
