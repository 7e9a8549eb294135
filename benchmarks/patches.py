"""What one number of a state costs each viewer: the whole state, or a patch.

One server, and four devices that take turns: a large state and a small one, each with viewers of
its own for either protocol. So a machine that slows down slows down all of them.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack

from benchmarks import deliveries, processes, servers
from benchmarks.processes import Process
from benchmarks.report import Bound, Row

VIEWERS = 300
FIELDS = {"large": 170, "small": 0}
"""Further fields of each state, of about 108 bytes each."""
PAUSE = 0.05
"""Seconds between two changes."""
BYTES = Bound(300, 300, less=True)
"""Of one number of the large state, on the connection of each viewer."""


def rows(quick: bool) -> list[Row]:
    changes, turns = (20, 1) if quick else (100, 5)
    groups = [(size, protocol) for size in FIELDS for protocol in (1, 2)]
    costs: dict[tuple[str, int], list[float]] = {group: [] for group in groups}
    sizes: dict[tuple[str, int], list[float]] = {group: [] for group in groups}
    with ExitStack() as stack:
        folder = stack.enter_context(servers.scratch())
        url = f"sqlite:///{folder}/benchmark.db"
        server = stack.enter_context(processes.python("benchmarks.peers.ours", url))
        generator = stack.enter_context(servers.generator())
        port = server.receive(30)["port"]
        for size, protocol in groups:
            connect(generator, server, port, size, protocol)
        for _ in range(turns):
            for group in groups:
                cost, bytes_ = measure(generator, server, *group, changes)
                costs[group].append(cost)
                sizes[group].append(bytes_)
    shown = []
    for group in groups:
        size, protocol = group
        what = f"one number of a {size} state to {VIEWERS} viewers, protocol {protocol}"
        bound = BYTES if group == ("large", 2) else Bound()
        note = f"{statistics.median(costs[group]):.1f} µs of CPU per delivery, commit included"
        shown.append(Row.of(what, sizes[group], "bytes", bound, note))
    for size in FIELDS:
        pairs = zip(costs[size, 2], costs[size, 1], strict=True)
        ratios = [patch / full for patch, full in pairs]
        shown.append(Row.of(f"a patch against a {size} state, by CPU", ratios, "x"))
    return shown


def device_of(size: str, protocol: int) -> str:
    return f"{size}/{protocol}"


def connect(generator: Process, server: Process, port: int, size: str, protocol: int) -> None:
    device = device_of(size, protocol)
    server.ask(30, do="set", changes=0, pause=0, device=device, fields=FIELDS[size])
    generator.ask(120, do="connect", group=device, port=port, viewers=VIEWERS)
    generator.ask(120, do="watch", group=device, patterns=[device], protocol=protocol)


def measure(
    generator: Process, server: Process, size: str, protocol: int, changes: int
) -> tuple[float, float]:
    """Microseconds of CPU and bytes per delivery."""
    device = device_of(size, protocol)
    found = deliveries.of_changes(
        generator, server, device, VIEWERS, changes,
        lambda: server.ask(60, do="set", changes=changes, pause=PAUSE, device=device),
    )  # fmt: skip
    return found.cost, found.bytes / found.updates
