"""What each serving process says of itself, and the row that a probe of the store writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from statecast.stores.postgres.driver import Connection
from statecast.stores.retention import REPORT_MS

PROBE = "probe"
PROBE_BYTES = 65_536
LONG_AGO = -(2**50)
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
    """Write a row of the size of a usual commit. Its time makes it no report."""
    connection.execute(PUT, (PROBE, LONG_AGO, " " * PROBE_BYTES))


def remove_probe(connection: Connection) -> None:
    withdraw(connection, PROBE)


def newest(connection: Connection, uptime: int) -> dict[str, dict[str, Any]]:
    """The reports of the serving processes."""
    found = connection.execute(
        "SELECT process, report FROM reports WHERE at BETWEEN %s AND %s",
        (uptime - REPORT_MS, uptime + REPORT_MS),
    )
    return {process: json.loads(report) for process, report in found}
