"""What each serving process says of itself, and the row that a probe of the store writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from statecast.stores import probe_row
from statecast.stores.postgres.driver import Connection
from statecast.stores.retention import REPORT_MS

OLD = "DELETE FROM reports WHERE at < %s OR at > %s"
PUT = """
    INSERT INTO reports (process, at, report) VALUES (%s, %s, %s)
    ON CONFLICT (process) DO UPDATE SET at = excluded.at, report = excluded.report"""


def announce(connection: Connection, uptime: int, process: str, report: Mapping[str, Any]) -> None:
    """Write a process's report, and delete those of processes that have stopped announcing."""
    connection.execute(OLD, (uptime - REPORT_MS, uptime + REPORT_MS))
    connection.execute(PUT, (process, uptime, json.dumps(report)))


def withdraw(connection: Connection, process: str) -> None:
    connection.execute("DELETE FROM reports WHERE process = %s", (process,))


def write_probe(connection: Connection) -> None:
    connection.execute(PUT, probe_row.VALUES)


def remove_probe(connection: Connection) -> None:
    withdraw(connection, probe_row.NAME)


def newest(connection: Connection, uptime: int) -> dict[str, dict[str, Any]]:
    """The reports of the serving processes."""
    found = connection.execute(
        "SELECT process, report FROM reports WHERE at BETWEEN %s AND %s",
        (uptime - REPORT_MS, uptime + REPORT_MS),
    )
    return {process: json.loads(report) for process, report in found}
