"""How quickly viewers get in, and what one costs that only waits."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks import report, servers
from benchmarks.processes import Broken, Process
from benchmarks.report import Bound, Row

PEERS = (servers.NODE, servers.PYTHON_SOCKETIO)
CONNECTS = {servers.NODE: Bound(2, 4)}
MEMORY = Bound(4, 2.5, less=True)
WARM = 200
"""Viewers that connect first: what a server loads for its first ones is no part of a viewer."""


def rows(quick: bool) -> list[Row]:
    viewers, turns = (1_000, 1) if quick else (4_000, 3)
    rates: dict[str, list[float]] = {}
    sizes: dict[str, list[float]] = {}
    missing: dict[str, Row] = {}
    with servers.scratch() as folder, servers.generator() as generator:
        for _ in range(turns):
            for name in (servers.OURS, *PEERS):
                try:
                    rate, size = measure(generator, name, folder, viewers)
                except Broken as reason:
                    if name == servers.OURS:
                        raise
                    missing[name] = report.unmeasured(f"connects: {name}", reason)
                    continue
                rates.setdefault(name, []).append(rate)
                sizes.setdefault(name, []).append(size)
    return [*summary(rates, sizes, viewers), *missing.values()]


def measure(generator: Process, name: str, folder: Path, viewers: int) -> tuple[float, float]:
    """Connects per second, and KB per idle viewer; ours have watched and got the states."""
    with servers.serving(name, folder) as server:
        generator.ask(120, do="connect", group="warm", port=server.port, viewers=WARM)
        if name == servers.OURS:
            generator.ask(do="watch", group="warm", patterns=["*"])
        time.sleep(0.5)
        before = server.process.memory()
        took = generator.ask(180, do="connect", group="many", port=server.port, viewers=viewers)["seconds"]
        if name == servers.OURS:
            generator.ask(do="watch", group="many", patterns=["*"])
        time.sleep(0.5)
        size = (server.process.memory() - before) / viewers / 1024
        generator.ask(do="close", group="many")
        generator.ask(do="close", group="warm")
    return viewers / took, size


def summary(rates: dict[str, list[float]], sizes: dict[str, list[float]], viewers: int) -> list[Row]:
    rows = []
    for name, values in rates.items():
        rows.append(Row(f"connects over WebSocket, {viewers} viewers: {name}", report.median(values), "connects/s"))
    for name in PEERS:
        if name in rates:
            ratio = report.median([ours / theirs for ours, theirs in zip(rates[servers.OURS], rates[name])])
            rows.append(Row(f"connects, of {name}", ratio, "x", CONNECTS.get(name, report.NO_BOUND)))
    for name, values in sizes.items():
        bound = MEMORY if name == servers.OURS else report.NO_BOUND
        rows.append(Row(f"memory per idle viewer: {name}", report.median(values), "KB", bound))
    return rows
