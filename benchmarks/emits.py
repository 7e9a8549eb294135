"""The cost of an emit, beside Flask-SocketIO: CPU time (user and system) per delivery.

Every server is called as its users call it, by its own ``emit``, in one thread. Two cases:

* paced: one event every ``PAUSE`` seconds, so that each is delivered by itself;
* burst: ``GROUP`` events in a loop that does not yield, then a wait until all have arrived.

One process serves, so Statecast asks whether another one reads its store, and writes nothing there.
A burst is where a server can write several events together. ``fanout`` lets gevent's peer yield
after each event of its burst; here it does not. Servers take turns, see ``fanout``.

One viewer alone shows what a conversation is like: how many events a second a loop emits to it, and
how long one takes.
"""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks import fanout, servers
from benchmarks.fanout import Race
from benchmarks.processes import BenchmarkError, Process
from benchmarks.report import Bound, Row

VIEWERS = 150
"""As many as Flask-SocketIO with threads serves well: a viewer is a thread there."""
GROUP = 100
LOOP = 20_000
"""Events in a loop to one viewer."""
PAUSE = 0.02
"""Seconds; Flask-SocketIO with threads needs half of it for an event."""
PACED, BURST = "paced", "burst"
CALLS = {
    servers.OURS: "Statecast, live.emit",
    servers.OURS_SOCKETIO: "Statecast, statecast.socketio",
}
"""What is called, where the name does not say it."""
FLOORS = {
    (PACED, servers.FLASK_SOCKETIO): Bound(1, 2),
    (PACED, servers.FLASK_THREADING): Bound(3, 5),
    (BURST, servers.FLASK_SOCKETIO): Bound(2, 4),
    (BURST, servers.FLASK_THREADING): Bound(4, 8),
}
"""Of ``statecast.socketio``, which runs the same program."""
RATE, LATENCY = Bound(aim=50_000), Bound(floor=1, aim=0.5, less=True)


def rows(quick: bool) -> list[Row]:
    turns, events = (1, 25) if quick else (5, 150)
    with ExitStack() as stack:
        race = Race(stack.enter_context(servers.generator()), VIEWERS)
        for name in servers.EMITTING:
            with race.without_who_breaks(name):
                folder = stack.enter_context(servers.scratch())
                server = stack.enter_context(servers.serving(name, folder))
                fanout.connect(race.generator, name, server, VIEWERS)
                race.running[name] = server
        costs: dict[tuple[str, str], list[float]] = {}
        for _ in range(turns):
            for name, server in tuple(race.running.items()):
                with race.without_who_breaks(name):
                    for case in (PACED, BURST):
                        cost = measure(race, name, server, case, events)
                        costs.setdefault((case, name), []).append(cost)
    left = {key: turns for key, turns in costs.items() if key[1] in race.running}
    return [*summary(left), *race.missing, *to_one_viewer(turns, 2 * events)]


def to_one_viewer(turns: int, events: int) -> list[Row]:
    rates, latencies = [], []
    name = servers.OURS_SOCKETIO
    with (
        servers.generator() as generator,
        servers.scratch() as folder,
        servers.serving(name, folder) as server,
    ):
        fanout.connect(generator, name, server, 1)
        for _ in range(turns):
            begin = generator.ask(do="counts", group=name)["at"]
            end = fanout.burst(generator, name, server, 1, LOOP, yields=False)
            rates.append(LOOP / (end - begin))
            latencies.append(latency(generator, name, server, events))
    return [
        Row.of("emits to one viewer, in a loop: statecast.socketio", rates, "events/s", RATE),
        Row.of("latency, emit to one viewer, paced, median", latencies, "ms", LATENCY),
    ]


def latency(generator: Process, name: str, server: servers.Server, events: int) -> float:
    """The median in ms, from the call of ``emit`` to the viewer's socket."""
    generator.ask(do="count", group=name, what="latencies")
    server.process.send(do="emit", rounds=events, data=None, pause=PAUSE, timed=True)
    found: dict[str, float] = {"count": 0}
    while found["count"] < events:
        if not generator.ask(do="quiet", group=name)["bytes"]:
            raise BenchmarkError(f"{name} delivers no event to one viewer")
        found = generator.ask(do="latencies", group=name)
    generator.ask(do="count", group=name, what="bytes")
    return found["p50"]


def measure(race: Race, name: str, server: servers.Server, case: str, events: int) -> float:
    """Microseconds of CPU per delivery."""
    rounds, pause = (GROUP, 0.0) if case == BURST else (events, PAUSE)
    bursts = 5 if case == BURST else 1
    used = server.process.cpu()
    for _ in range(bursts):
        fanout.burst(race.generator, name, server, VIEWERS, rounds, pause=pause, yields=False)
    return (server.process.cpu() - used) / (bursts * rounds * VIEWERS) * 1e6


def summary(costs: dict[tuple[str, str], list[float]]) -> list[Row]:
    found = [
        Row.of(
            f"emits to {VIEWERS} viewers, {case}: {CALLS.get(name, name)}",
            costs[case, name],
            "µs of CPU per delivery",
        )
        for case in (PACED, BURST)
        for name in servers.EMITTING
        if (case, name) in costs
    ]
    for (case, name), bound in FLOORS.items():
        if (case, name) in costs:
            ours = costs[case, servers.OURS_SOCKETIO]
            ratios = [theirs / own for own, theirs in zip(ours, costs[case, name]) if own]
            found.append(Row.of(f"emits, {case}, of {name}, by CPU", ratios, "x", bound))
    return found
