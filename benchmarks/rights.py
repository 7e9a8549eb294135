"""What a delivery costs where viewers have different rights.

All viewers watch everything, and one device that all may read changes. Beside it each may read a
device of its own, or shares that one with others: as many sets of rights as there are such devices.
The servers take turns, so that a machine that slows down slows down all of them.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from benchmarks import deliveries, processes, servers
from benchmarks.processes import Process
from benchmarks.report import Bound, Row

VIEWERS = 1_000
SETS = (0, 1, 10, VIEWERS)
"""Different sets of rights among the viewers; 0: no one asks for rights."""
PAUSE = 0.1
"""Seconds between two changes."""
SHARED = Bound(1.15, 1.0, less=True)
"""Viewers with the same rights, against viewers of a server without any. Below the floor is more
than two runs of the same server differ."""


def rows(quick: bool) -> list[Row]:
    changes, turns = (10, 1) if quick else (30, 5)
    costs: dict[int, list[float]] = {sets: [] for sets in SETS}
    with ExitStack() as stack:
        generator = stack.enter_context(servers.generator())
        running: dict[int, Process] = {}
        for sets in SETS:
            folder = stack.enter_context(servers.scratch())
            running[sets] = stack.enter_context(ours(folder, sets))
            connect(generator, running[sets], sets)
        for _ in range(turns):
            for sets, server in running.items():
                costs[sets].append(measure(generator, server, sets, changes))
    shown = [
        Row.of(f"rights: {describe(sets)}", costs[sets], "\u00b5s of CPU per delivery")
        for sets in SETS
    ]
    ratios = [one / none for one, none in zip(costs[1], costs[0], strict=True)]
    return [*shown, Row.of("rights: one set against none, by CPU", ratios, "x", SHARED)]


def describe(sets: int) -> str:
    if not sets:
        return f"a state to {VIEWERS} viewers without rights"
    return f"a state to {VIEWERS} viewers with {sets} different set{'s'[: sets != 1]} of rights"


def ours(folder: Path, sets: int) -> Process:
    url = f"sqlite:///{folder}/benchmark.db"
    return processes.python("benchmarks.peers.ours", url, *(["rights"] if sets else []))


def connect(generator: Process, server: Process, sets: int) -> None:
    port, group = server.receive(30)["port"], str(sets)
    server.ask(30, do="set", changes=1, pause=PAUSE)
    each = VIEWERS // max(1, sets)
    for number in range(max(1, sets)):
        query = f"&own={number}"
        generator.ask(120, do="connect", group=group, port=port, viewers=each, query=query)
    generator.ask(120, do="watch", group=group, patterns=["*"])


def measure(generator: Process, server: Process, sets: int, changes: int) -> float:
    """Microseconds of CPU per delivery, commit included."""
    return deliveries.of_changes(
        generator, server, str(sets), VIEWERS, changes,
        lambda: server.ask(60, do="set", changes=changes, pause=PAUSE),
    ).cost  # fmt: skip
