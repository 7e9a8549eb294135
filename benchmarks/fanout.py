"""How much one delivery costs: one event to 1 000 viewers, over and over, by us and by our peers.

The ratios are of processor time (user and system) per delivery, which other processes on the machine disturb least.
All servers run at the same time and take turns, so that a machine that slows down slows down everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from benchmarks import report, servers, speech
from benchmarks.processes import Broken, Process
from benchmarks.report import Bound, Row
from benchmarks.servers import FRAME_BYTES, Server

FLOORS = {
    servers.LOOP: Bound(0.7, 0.85),
    servers.NODE: Bound(1.5, 2),
    servers.PYTHON_SOCKETIO: Bound(8, 10),
    servers.FLASK_SOCKETIO: Bound(4, 5),
}


@dataclass
class Measured:
    """Of one server, one entry per turn."""

    rates: list[float] = field(default_factory=list)
    """Deliveries per second of the clock."""
    costs: list[float] = field(default_factory=list)
    """Microseconds of processor per delivery."""


def rows(quick: bool) -> list[Row]:
    viewers, seconds, turns = (1_000, 0.5, 1) if quick else (1_000, 2.0, 5)
    with ExitStack() as stack:
        folder = stack.enter_context(servers.scratch())
        race = Race(stack.enter_context(servers.generator()), viewers)
        for name in servers.STARTERS:
            with race.without_who_breaks(name):
                race.running[name] = stack.enter_context(servers.serving(name, folder))
        for name, server in tuple(race.running.items()):
            with race.without_who_breaks(name):
                connect(race.generator, name, server, viewers)
                race.rounds[name] = calibrate(race.generator, name, server, viewers, seconds)
        for _ in range(turns):
            race.turn()
    return [*summary(race.measured, viewers), *race.missing]


class Race:
    """The servers that take turns. A peer that breaks is out and the others go on; without ours there is no race."""

    def __init__(self, generator: Process, viewers: int) -> None:
        self.generator = generator
        self.viewers = viewers
        self.running: dict[str, Server] = {}
        self.rounds: dict[str, int] = {}
        self.measured: dict[str, Measured] = {}
        self.missing: list[Row] = []

    @contextmanager
    def without_who_breaks(self, name: str) -> Iterator[None]:
        try:
            yield
        except Broken as reason:
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


def connect(generator: Process, name: str, server: Server, viewers: int) -> None:
    generator.ask(120, do="connect", group=name, port=server.port, viewers=viewers, raw=server.raw)
    generator.ask(do="hear", group=name, what="bytes")
    server.process.tell(do="emit", rounds=2, data=speech.state_message())
    generator.ask(do="wait", group=name, size=2 * viewers * FRAME_BYTES, seconds=30)
    got = generator.ask(do="quiet", group=name)["bytes"]
    if got != 2 * viewers * FRAME_BYTES:
        raise Broken(f"{name} delivers {got / 2 / viewers:g} bytes per message, not {FRAME_BYTES}")


def calibrate(generator: Process, name: str, server: Server, viewers: int, seconds: float) -> int:
    """How many rounds take about so many seconds. As many fit into the sockets' buffers, if need be."""
    rate, _ = measure(generator, name, server, viewers, 10)
    return max(5, min(1_000, int(rate * seconds / viewers)))


def measure(
    generator: Process, name: str, server: Server, viewers: int, rounds: int
) -> tuple[float, float]:
    """Deliveries per second, and microseconds of processor per delivery."""
    size = rounds * viewers * FRAME_BYTES
    before = generator.ask(do="counts", group=name)
    used = server.process.cpu()
    server.process.tell(do="emit", rounds=rounds, data=speech.state_message())
    after = generator.ask(90, do="wait", group=name, size=before["bytes"] + size, seconds=60)
    used = server.process.cpu() - used
    if after["bytes"] - before["bytes"] != size:
        got, lost = after["bytes"] - before["bytes"], after["lost"]
        raise Broken(
            f"{name} delivered {got} bytes instead of {size}; it has closed {lost} connections"
        )
    deliveries = rounds * viewers
    return deliveries / (after["at"] - before["at"]), used / deliveries * 1e6


def summary(measured: dict[str, Measured], viewers: int) -> list[Row]:
    own = measured[servers.OURS]
    rows = []
    for name, numbers in measured.items():
        cost = f"{report.median(numbers.costs):.2f} µs of CPU each"
        label = f"{name} ({servers.loop_language()})" if name == servers.LOOP else name
        rows.append(
            Row(
                f"fan-out to {viewers} viewers: {label}",
                report.median(numbers.rates),
                "deliveries/s",
                note=cost,
            )
        )
    for name, bound in FLOORS.items():
        if name in measured:
            ratios = [
                theirs / ours for ours, theirs in zip(own.costs, measured[name].costs) if ours
            ]
            rows.append(Row(f"fan-out, of {name}, by CPU", report.median(ratios), "x", bound))
    return rows
