"""An audience of one: every viewer watches a device of its own, and each changes once a second.

A third of the viewers name their device, a third a prefix, and a third everything, of which their
rights leave their own device. Beside it the shared audience: all viewers watch one device that
changes once a second, so that as many updates are delivered. The messages come in through the
queue; another serving process consumes and commits them, so that what is measured is reading,
encoding and delivering. The two take turns.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import processes, servers
from benchmarks.latency import sending
from benchmarks.processes import BenchmarkError, Process
from benchmarks.report import Bound, Row
from statecast.sources.embedded_queue import EmbeddedQueue

PATTERNS = (["own/{}/state"], ["own/{}/*"], ["*"])
"""What a third of the viewers watches each; the number is the viewer's."""
STEPS = 20
"""Parts of a second: in each, so many of the devices change."""
AGAINST_SHARED = Bound(3, 2, less=True)
"""It was 4.0 when it was first measured."""


def rows(quick: bool) -> list[Row]:
    found = one_size(1_000, 3 if quick else 10, 1 if quick else 5)
    return found if quick else found + one_size(8_000, 10, 5)


def one_size(viewers: int, seconds: int, turns: int) -> list[Row]:
    costs: dict[str, list[float]] = {"own": [], "shared": []}
    with ExitStack() as stack:
        generator = stack.enter_context(servers.generator())
        running = {}
        for case in costs:
            server, queue = stack.enter_context(serving())
            port = server.receive(30)["port"]
            running[case] = server, queue
            send(queue, case, range(viewers), 0)
            connect(generator, case, port, viewers)
        for turn in range(turns):
            for case, (server, queue) in running.items():
                costs[case].append(measure(generator, case, server, queue, viewers, seconds, turn))
    ratios = [own / shared for own, shared in zip(costs["own"], costs["shared"], strict=True)]
    what = f"{viewers} viewers, one change a second"
    unit = "µs of CPU per update"
    return [
        Row.of(f"{what} of a device that all watch", costs["shared"], unit),
        Row.of(f"{what} of each one's own device", costs["own"], unit),
        Row.of(
            f"{viewers} viewers, own devices against a shared one, by CPU",
            ratios,
            "x",
            AGAINST_SHARED,
        ),
    ]


@contextmanager
def serving() -> Iterator[tuple[Process, EmbeddedQueue]]:
    """A server with viewers, beside another one that consumes the queue; and the queue."""
    with servers.scratch() as folder, consuming(folder), sending(folder) as queue:
        url = f"sqlite:///{folder}/benchmark.db"
        with processes.python("benchmarks.peers.ours", url, "rights") as server:
            yield server, queue


@contextmanager
def consuming(folder: Path) -> Iterator[None]:
    with processes.python("benchmarks.peers.ours", f"sqlite:///{folder}/benchmark.db") as server:
        server.receive(30)
        yield


def connect(generator: Process, case: str, port: int, viewers: int) -> None:
    for third, patterns in enumerate(PATTERNS if case == "own" else [["pillow"]]):
        group = f"{case}{third}"
        numbers = range(third, viewers, len(PATTERNS)) if case == "own" else range(viewers)
        generator.ask(
            180,
            do="connect",
            group=group,
            port=port,
            viewers=len(numbers),
            query="&own={}",
            numbers=list(numbers),
        )
        generator.ask(180, do="watch", group=group, patterns=patterns, numbers=list(numbers))


def measure(
    generator: Process,
    case: str,
    server: Process,
    queue: EmbeddedQueue,
    viewers: int,
    seconds: int,
    turn: int,
) -> float:
    """Microseconds of CPU per delivered update, in a turn."""
    groups = [f"{case}{third}" for third in range(len(PATTERNS) if case == "own" else 1)]
    for group in groups:
        generator.ask(do="count", group=group, what="updates")
    used, due = server.cpu(), time.monotonic()
    for second in range(seconds):
        for step in range(STEPS):
            send(queue, case, range(step, viewers, STEPS), 1 + turn * seconds + second)
            due += 1 / STEPS
            time.sleep(max(0.0, due - time.monotonic()))
    counts = [generator.ask(30, do="quiet", group=group) for group in groups]
    used = server.cpu() - used
    updates = sum(count["updates"] for count in counts)
    if updates < 0.9 * viewers * seconds or any(count["lost"] for count in counts):
        raise BenchmarkError(f"{case}: {updates} of {viewers * seconds} updates were delivered")
    return used / updates * 1e6


def send(queue: EmbeddedQueue, case: str, numbers: range, count: int) -> None:
    """Change the devices of these viewers; of a shared one, with the first viewer's."""
    devices = [f"own/{number}/state" for number in numbers]
    if case == "shared":
        devices = ["pillow"] if numbers.start == 0 else []
    state = {"count": count, "mood": "happy", "note": "x" * 100}
    if devices:
        queue.send_many([json.dumps({"device": one, "state": state}).encode() for one in devices])
