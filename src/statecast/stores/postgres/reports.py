"""What each serving process says of itself, and the row that a probe of the store writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from statecast.stores import probe_row
from statecast.stores.postgres.driver import Connection, Cursor
from statecast.stores.retention import REPORT_MS

OLD = "DELETE FROM reports WHERE at < %s OR at > %s"
PUT = """
    INSERT INTO reports (process, at, report) VALUES (%s, %s, %s)
    ON CONFLICT (process) DO UPDATE SET at = excluded.at, report = excluded.report"""

CHANGED = """
    SELECT process, hash, CASE WHEN hash <> ALL (%s::bigint[]) THEN report END
    FROM reports, LATERAL (SELECT hashtextextended(report, 0) AS hash) AS one
    WHERE at BETWEEN %s AND %s"""


def announce(connection: Connection, uptime: int, process: str, report: Mapping[str, Any]) -> None:
    """Write a process's report."""
    connection.execute(PUT, (process, uptime, json.dumps(report)))


def forget_old(connection: Connection, uptime: int) -> None:
    """Delete the reports of processes that have stopped announcing."""
    connection.execute(OLD, (uptime - REPORT_MS, uptime + REPORT_MS))


def withdraw(connection: Connection, process: str) -> None:
    connection.execute("DELETE FROM reports WHERE process = %s", (process,))


def write_probe(connection: Connection) -> None:
    connection.execute(PUT, probe_row.values())


def remove_probe(connection: Connection) -> None:
    withdraw(connection, probe_row.NAME)


def newest(connection: Connection, uptime: int) -> dict[str, dict[str, Any]]:
    """The reports of the serving processes."""
    found = connection.execute(
        "SELECT process, report FROM reports WHERE at BETWEEN %s AND %s",
        (uptime - REPORT_MS, uptime + REPORT_MS),
    )
    return {process: json.loads(report) for process, report in found}


class KnownReports:
    """The reports that this process has read: one that is as before does not travel again.

    Most are: fifty idle processes that read all reports of each other would read 1,250 a second.
    """

    def __init__(self) -> None:
        self._known: dict[int, dict[str, Any]] = {}
        """By the hash of their texts."""

    def ask(self, connection: Connection, uptime: int) -> AskedReports:
        values = (list(self._known), uptime - REPORT_MS, uptime + REPORT_MS)
        return AskedReports(connection.execute(CHANGED, values), self._known)

    def read(self, asked: AskedReports) -> dict[str, dict[str, Any]]:
        """The reports of the serving processes."""
        found = {
            process: (hash_, asked.known[hash_] if report is None else json.loads(report))
            for process, hash_, report in asked.cursor.fetchall()
        }
        self._known = dict(found.values())
        return {process: report for process, (_, report) in found.items()}


class AskedReports(NamedTuple):
    """A question whose answer is on its way, and what was known when it was asked."""

    cursor: Cursor
    known: dict[int, dict[str, Any]]
