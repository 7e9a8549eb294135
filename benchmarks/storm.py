"""A storm: thousands of viewers are cut at once, and all of them come back at once.

Two numbers: how long it takes until each of them has everything again, and how late changes reach
viewers that were not cut meanwhile. The viewers that come back are a process of their own, and so
are the healthy ones, so that neither waits for the other. The changes come in through the queue.
"""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack

from benchmarks import processes, servers
from benchmarks.latency import monotonic, send, sending
from benchmarks.processes import BenchmarkError, Process
from benchmarks.report import NO_BOUND, Bound, Row
from statecast.sources.embedded_queue import EmbeddedQueue

VIEWERS = 8_000
HEALTHY = 20
"""Viewers that are not cut."""
DEVICES = 100
BACK_WITHIN = Bound(11.5, 5, less=True)
LATE = Bound(415, 100, less=True)
"""At load 12 on 2 cores it was 17.9 s and 731 ms when it was first measured."""


PAUSE = 0.08
"""Seconds to twice as many between two changes. Each goes to all viewers: with more of them there
are fewer changes, or these would be a load of their own."""
MOST = 20_000
"""Viewers of the larger storm, where the descriptors of a process allow so many."""
OTHER_FILES = 500
"""Descriptors that a server needs beside those of its viewers, at most."""


def rows(quick: bool) -> list[Row]:
    if quick:
        return one_size(1_000, 1)
    many = as_many_as(processes.raise_file_limit())
    return one_size(VIEWERS, 5, BACK_WITHIN, LATE) + one_size(many, 3)


def as_many_as(descriptors: int) -> int:
    """The viewers of the larger storm, in whole hundreds."""
    return min(MOST, (descriptors - OTHER_FILES) // 100 * 100)


def one_size(
    viewers: int, turns: int, within: Bound = NO_BOUND, late: Bound = NO_BOUND
) -> list[Row]:
    times, latencies, costs, busy = [], [], [], []
    with ExitStack() as stack:
        folder = stack.enter_context(servers.scratch())
        server = stack.enter_context(servers.serving(servers.OURS, folder))
        queue = stack.enter_context(sending(folder))
        queue.send_many([message(number) for number in range(DEVICES)])
        send(queue, 1, monotonic)
        stormy, calm = (stack.enter_context(servers.generator()) for _ in range(2))
        for generator, number in ((calm, HEALTHY), (stormy, viewers)):
            generator.ask(180, do="connect", group="all", port=server.port, viewers=number)
            generator.ask(180, do="watch", group="all", patterns=["*"])
        for _ in range(turns):
            used, own = server.process.cpu(), stormy.cpu()
            took, p99 = storm(stormy, calm, queue, server.port, PAUSE * viewers / VIEWERS)
            times.append(took)
            latencies.append(p99)
            costs.append((server.process.cpu() - used) / viewers * 1e6)
            busy.append((stormy.cpu() - own) / took)
    note = "the generator was the bottleneck" if max(busy) > servers.BUSY else ""
    what = f"storm: {viewers} viewers cut and back"
    return [
        Row.of(f"{what}, all have everything", times, "s", within, note),
        Row.of(f"{what}, meanwhile p99 of a healthy viewer", latencies, "ms", late),
        Row.of(f"{what}, each", costs, "µs of CPU"),
    ]


def storm(
    stormy: Process, calm: Process, queue: EmbeddedQueue, port: int, pause: float
) -> tuple[float, float]:
    """Seconds until all were back, and the p99 in ms of those who were there all the time."""
    calm.ask(do="count", group="all", what="latencies")
    over = threading.Event()
    changing = threading.Thread(target=change, args=(queue, over, pause))
    changing.start()
    try:
        took = stormy.ask(130, do="storm", group="all", port=port, patterns=["*"])["seconds"]
    finally:
        over.set()
        changing.join()
    calm.ask(do="quiet", group="all")
    found, lost = calm.ask(do="latencies", group="all"), calm.ask(do="counts", group="all")["lost"]
    if not found["count"] or lost:
        raise BenchmarkError(f"{lost} of {HEALTHY} healthy viewers were lost in the storm")
    return took, found["p99"]


def change(queue: EmbeddedQueue, over: threading.Event, pause: float) -> None:
    """Changes at random intervals, from before the storm until after it."""
    while not over.is_set():
        send(queue, 1, monotonic, pause=pause)


def message(number: int) -> bytes:
    state = {"count": number, "mood": "happy", "note": "x" * 100}
    return json.dumps({"device": f"pillow{number}", "state": state}).encode()
