"""How quickly viewers connect, and how much memory an idle one needs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import report, servers
from benchmarks.processes import BenchmarkError, Process
from benchmarks.report import Bound, Row

PEERS = (servers.NODE, servers.PYTHON_SOCKETIO)
CONNECTS = {servers.NODE: Bound(2, 3)}
COSTS = {servers.NODE: Bound(3)}
MEMORY = Bound(4, 2.5, less=True)
WARM = 200
"""Viewers that connect before the measurement, so that one-time memory is not counted."""


@dataclass(frozen=True)
class Measured:
    """One turn of one server."""

    rate: float
    """Connects per second of wall time."""
    cost: float
    """Microseconds of the server's CPU time per connect."""
    size: float
    """KB per idle viewer."""


def rows(quick: bool) -> list[Row]:
    viewers, turns = (1_000, 1) if quick else (4_000, 5)
    measured: dict[str, list[Measured]] = {}
    missing: dict[str, Row] = {}
    with servers.scratch() as folder, servers.generator() as generator:
        for _ in range(turns):
            for name in (servers.OURS, *PEERS):
                try:
                    turn = measure(generator, name, folder, viewers)
                except BenchmarkError as reason:
                    if name == servers.OURS:
                        raise
                    missing[name] = report.unmeasured(f"connects: {name}", reason)
                    continue
                measured.setdefault(name, []).append(turn)
    return [*summary(measured, viewers), *missing.values()]


def measure(generator: Process, name: str, folder: Path, viewers: int) -> Measured:
    """Connects, then idle viewers. Those of Statecast have received the states before."""
    with servers.serving(name, folder) as server:
        try:
            generator.ask(120, do="connect", group="warm", port=server.port, viewers=WARM)
            if name == servers.OURS:
                generator.ask(do="watch", group="warm", patterns=["*"])
            time.sleep(0.5)
            before, used = server.process.memory(), server.process.cpu()
            took = generator.ask(
                180, do="connect", group="many", port=server.port, viewers=viewers
            )["seconds"]
            used = server.process.cpu() - used
            if name == servers.OURS:
                generator.ask(do="watch", group="many", patterns=["*"])
            time.sleep(0.5)
            size = (server.process.memory() - before) / viewers / 1024
        finally:
            generator.ask(do="close", group="many")
            generator.ask(do="close", group="warm")
    return Measured(viewers / took, used / viewers * 1e6, size)


def summary(measured: dict[str, list[Measured]], viewers: int) -> list[Row]:
    rows = []
    for name, turns in measured.items():
        note = f"{report.median([turn.cost for turn in turns]):.0f} µs of CPU each"
        what = f"connects over WebSocket, {viewers} viewers, burst: {name}"
        rows.append(Row.of(what, [turn.rate for turn in turns], "connects/s", note=note))
    for name in PEERS:
        if name in measured:
            pairs = list(zip(measured[servers.OURS], measured[name]))
            rates = [ours.rate / theirs.rate for ours, theirs in pairs]
            costs = [theirs.cost / ours.cost for ours, theirs in pairs]
            bound, cost_bound = (each.get(name, report.NO_BOUND) for each in (CONNECTS, COSTS))
            rows.append(Row.of(f"connects, of {name}, by rate", rates, "x", bound))
            rows.append(Row.of(f"connects, of {name}, by CPU", costs, "x", cost_bound))
    for name, turns in measured.items():
        bound = MEMORY if name == servers.OURS else report.NO_BOUND
        sizes = [turn.size for turn in turns]
        rows.append(Row.of(f"memory per idle viewer: {name}", sizes, "KB", bound))
    return rows
