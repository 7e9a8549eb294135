"""The cost of an emit, beside Flask-SocketIO: CPU time (user and system) per delivery.

Every server is called as its users call it, by its own ``emit``, in one thread. Two cases:

* paced: one event every ``PAUSE`` seconds, so that each is delivered by itself;
* burst: ``GROUP`` events in a loop that does not yield, then a wait until all have arrived.

Statecast also passes each event to a SQLite store, for other processes; Flask-SocketIO does not.
A burst is where a server can write several events together. ``fanout`` lets gevent's peer yield
after each event of its burst; here it does not. Servers take turns, see ``fanout``.
"""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks import fanout, servers
from benchmarks.fanout import Race
from benchmarks.report import Bound, Row

VIEWERS = 150
"""As many as Flask-SocketIO with threads serves well: a viewer is a thread there."""
GROUP = 100
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
    return [*summary(left), *race.missing]


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
