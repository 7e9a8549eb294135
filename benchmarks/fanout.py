"""The cost of one delivery: events to 1 000 viewers, sent by Statecast and its peers.

Every server is called as its users call it: Statecast by ``live.emit`` in a thread, the peers by
their own ``emit``. Two cases:

* burst: ``GROUP`` events as fast as the server takes them, then a wait until all of them have
  arrived, so that no server has to drop or to buffer without bound;
* paced: one event every ``INTERVAL`` seconds, so that each is written by itself.

A second measurement is Statecast alone: committed states, one ``live.set`` every ``PAUSE`` seconds.

The ratios are of CPU time (user and system) per delivery, because other processes on the machine
disturb it least. All servers run at the same time and take turns, so that a machine that slows down
slows down all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks import client_frames, deliveries, report, servers
from benchmarks.processes import BenchmarkError, Process
from benchmarks.report import Bound, Row
from benchmarks.servers import HEAD_BYTES, Server

GROUP = 100
"""Events of one burst. They fit into the sockets' buffers of a viewer."""
INTERVAL = 0.02
"""Seconds between two paced events."""
PAUSE = 0.025
"""Seconds between two committed states: longer than a tick, so that each change is delivered."""

BURST, PACED = "burst", "paced"
FLOORS = {
    servers.LOOP: Bound(0.7, 0.85),
    servers.NODE: Bound(1.5, 2),
    servers.PYTHON_SOCKETIO: Bound(8, 10),
    servers.FLASK_SOCKETIO: Bound(4, 5),
    servers.NCHAN: Bound(1, 1),
    servers.NATS: Bound(1, 1),
}
"""In bursts. The two that only spread messages are in C and Go: not to be behind them is the aim.
"""
PACED_FLOORS = {
    servers.LOOP: Bound(0.78, 0.85),
    servers.NODE: Bound(2, 2),
    servers.PYTHON_SOCKETIO: Bound(10, 10),
    servers.FLASK_SOCKETIO: Bound(5, 5),
    servers.NCHAN: Bound(1, 1),
    servers.NATS: Bound(1, 1),
}
"""Before the bare loop over a group it was 0.70, 2.5, 10.9 and 5.3."""

CALLS = {
    servers.OURS: f"{servers.OURS}, live.emit",
    servers.LOOP: f"{servers.LOOP} ({servers.loop_language()})",
}
"""What is called, where the name does not say it."""


@dataclass
class Measured:
    """The turns of one server."""

    rates: list[float] = field(default_factory=list)
    """Deliveries per second."""
    costs: list[float] = field(default_factory=list)
    """Microseconds of CPU per delivery."""
    paced: list[float] = field(default_factory=list)
    """The same for paced events."""


def rows(quick: bool) -> list[Row]:
    viewers, seconds, turns = (1_000, 0.5, 1) if quick else (1_000, 2.0, 5)
    with ExitStack() as stack:
        folder = stack.enter_context(servers.scratch())
        race = Race(stack.enter_context(servers.generator()), viewers, 25 if quick else 100)
        for name in servers.FANNING_OUT:
            with race.without_who_breaks(name):
                race.running[name] = stack.enter_context(servers.serving(name, folder))
        for name, server in tuple(race.running.items()):
            with race.without_who_breaks(name):
                connect(race.generator, name, server, viewers)
                race.rounds[name] = calibrate(race.generator, name, server, viewers, seconds)
        for _ in range(turns):
            race.turn()
    return [*summary(race.measured, viewers), *race.missing, committed(viewers, turns, seconds)]


class Race:
    """The servers that take turns. A peer that fails is left out; Statecast must not fail."""

    def __init__(self, generator: Process, viewers: int, events: int = 100) -> None:
        """``events``: of a turn, paced."""
        self.generator = generator
        self.events = events
        self.viewers = viewers
        self.running: dict[str, Server] = {}
        self.rounds: dict[str, int] = {}
        self.measured: dict[str, Measured] = {}
        self.missing: list[Row] = []

    @contextmanager
    def without_who_breaks(self, name: str) -> Iterator[None]:
        try:
            yield
        except BenchmarkError as reason:
            if name == servers.OURS:
                raise
            self.running.pop(name, None)
            self.measured.pop(name, None)
            self.missing.append(report.unmeasured(f"fan-out: {name}", reason))

    def turn(self) -> None:
        for name, server in tuple(self.running.items()):
            with self.without_who_breaks(name):
                rate, cost = measure(self.generator, name, server, self.viewers, self.rounds[name])
                measured = self.measured.setdefault(name, Measured())
                measured.rates.append(rate)
                measured.costs.append(cost)
                measured.paced.append(
                    measure_paced(self.generator, name, server, self.viewers, self.events)
                )


def connect(generator: Process, name: str, server: Server, viewers: int) -> None:
    how = {"raw": server.raw, "opening": server.opening}
    generator.ask(120, do="connect", group=name, port=server.port, viewers=viewers, **how)
    generator.ask(do="count", group=name, what="bytes")
    least, most = expected(server, 2 * viewers)
    server.process.send(do="emit", rounds=2, data=client_frames.state_message())
    generator.ask(do="wait", group=name, size=least, seconds=30)
    got = generator.ask(do="quiet", group=name)["bytes"]
    if not least <= got <= most:
        raise BenchmarkError(
            f"{name} delivers {got / 2 / viewers:g} bytes per message, not {most / 2 / viewers:g}"
        )


def expected(server: Server, deliveries: int) -> tuple[int, int]:
    """The least and the most bytes of so many deliveries."""
    most = deliveries * (server.packet_bytes + HEAD_BYTES)
    return deliveries * server.packet_bytes if server.merges else most, most


def calibrate(generator: Process, name: str, server: Server, viewers: int, seconds: float) -> int:
    """How many rounds take about ``seconds``."""
    rate, _ = measure(generator, name, server, viewers, 10)
    return max(5, min(1_000, int(rate * seconds / viewers)))


def measure(
    generator: Process, name: str, server: Server, viewers: int, rounds: int
) -> tuple[float, float]:
    """Deliveries per second, and microseconds of CPU per delivery."""
    begin = generator.ask(do="counts", group=name)["at"]
    used = server.process.cpu()
    for first in range(0, rounds, GROUP):
        end = burst(generator, name, server, viewers, min(GROUP, rounds - first))
    used = server.process.cpu() - used
    deliveries = rounds * viewers
    return deliveries / (end - begin), used / deliveries * 1e6


def measure_paced(
    generator: Process, name: str, server: Server, viewers: int, events: int
) -> float:
    """Microseconds of CPU per delivery."""
    used = server.process.cpu()
    burst(generator, name, server, viewers, events, pause=INTERVAL, yields=False)
    return (server.process.cpu() - used) / (events * viewers) * 1e6


def burst(
    generator: Process, name: str, server: Server, viewers: int, rounds: int, **how: Any
) -> float:
    """Emit ``rounds`` events and wait until every viewer has them; when that was.

    ``how`` is for the server: ``pause`` between two events, ``yields`` after each.
    """
    least, most = expected(server, rounds * viewers)
    before = generator.ask(do="counts", group=name)
    server.process.send(do="emit", rounds=rounds, data=client_frames.state_message(), **how)
    after = generator.ask(90, do="wait", group=name, size=before["bytes"] + least, seconds=60)
    if server.merges:  # the last bytes may be on their way
        at, after = after["at"], generator.ask(do="quiet", group=name)
        after["at"] = at
    got, lost = after["bytes"] - before["bytes"], after["lost"]
    if not least <= got <= most:
        raise BenchmarkError(
            f"{name} delivered {got} bytes instead of {most}; it has closed {lost} connections"
        )
    return float(after["at"])


def committed(viewers: int, turns: int, seconds: float) -> Row:
    """One device changes, and all viewers watch it: the cost of a delivery with its commit."""
    costs = []
    changes = max(5, int(seconds / PAUSE))
    with (
        servers.scratch() as folder,
        servers.generator() as generator,
        servers.serving(servers.OURS, folder) as server,
    ):
        server.process.ask(do="set", changes=1, pause=PAUSE)
        generator.ask(120, do="connect", group="watching", port=server.port, viewers=viewers)
        generator.ask(do="watch", group="watching", patterns=["pillow"])
        own = server.process
        for _ in range(turns):
            found = deliveries.of_changes(
                generator, own, "watching", viewers, changes,
                lambda: own.ask(60 + changes, do="set", changes=changes, pause=PAUSE),
            )  # fmt: skip
            costs.append(found.cost)
    what = f"committed states to {viewers} viewers, paced at {1 / PAUSE:g} changes/s"
    return Row.of(what, costs, "µs of CPU per delivery", note="live.set, commit included")


def summary(measured: dict[str, Measured], viewers: int) -> list[Row]:
    rows = []
    for name, numbers in measured.items():
        cost = f"{report.median(numbers.costs):.2f} µs of CPU each"
        what = f"fan-out to {viewers} viewers, burst: {CALLS.get(name, name)}"
        rows.append(Row.of(what, numbers.rates, "deliveries/s", note=cost))
    rows += ratios(BURST, {name: one.costs for name, one in measured.items()}, FLOORS)
    for name, numbers in measured.items():
        what = f"fan-out to {viewers} viewers, paced: {CALLS.get(name, name)}"
        rows.append(Row.of(what, numbers.paced, "µs of CPU per delivery"))
    return rows + ratios(PACED, {name: one.paced for name, one in measured.items()}, PACED_FLOORS)


def ratios(case: str, costs: dict[str, list[float]], floors: dict[str, Bound]) -> list[Row]:
    """How much less a delivery of ours costs, turn by turn."""
    own = costs[servers.OURS]
    return [
        Row.of(
            f"fan-out, {case}, of {name}, by CPU",
            [theirs / ours for ours, theirs in zip(own, costs[name]) if ours],
            "x",
            bound,
        )
        for name, bound in floors.items()
        if name in costs
    ]
