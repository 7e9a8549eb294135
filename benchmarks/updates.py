"""Many devices that change all the time. The updates of one tick share a frame and a write."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import report, servers
from benchmarks.latency import sending
from benchmarks.processes import BenchmarkError, Process
from benchmarks.report import Bound, Row
from statecast.sources.embedded_queue import EmbeddedQueue

VIEWERS = 100
DEVICES = 100
SHARED = Bound(aim=10)
"""Updates per write."""


def rows(quick: bool) -> list[Row]:
    seconds, turns = (2, 1) if quick else (5, 5)
    with ExitStack() as stack:
        folder = stack.enter_context(servers.scratch())
        server = stack.enter_context(servers.serving(servers.OURS, folder))
        queue = stack.enter_context(sending(folder))
        generator = stack.enter_context(servers.generator())
        generator.ask(do="connect", group="viewers", port=server.port, viewers=VIEWERS)
        generator.ask(do="watch", group="viewers", patterns=["*"])
        found = [measure(server.process, generator, queue, seconds) for _ in range(turns)]
    shared = (
        f"{report.median([turn.writes for turn in found]):,.0f} writes/s, "
        f"{report.median([turn.messages for turn in found]):,.0f} messages/s in"
    ).replace(",", " ")
    cost = f"{report.median([turn.cost for turn in found]):.2f} µs of CPU each, ingest included"
    return [
        Row.of(
            f"updates, {DEVICES} devices to {VIEWERS} viewers, burst",
            [turn.updates for turn in found],
            "updates/s",
            note=shared,
        ),
        Row.of(
            "updates per write",
            [turn.updates / turn.writes for turn in found],
            "",
            SHARED,
            cost,
        ),
    ]


@dataclass
class Measured:
    """A turn. All but the cost are numbers per second."""

    updates: float
    writes: float
    messages: float
    cost: float
    """Microseconds of the server's CPU time for an update."""


def measure(server: Process, generator: Process, queue: EmbeddedQueue, seconds: float) -> Measured:
    generator.ask(do="count", group="viewers", what="updates")
    begin, used = time.monotonic(), server.cpu()
    sent = flood(queue, seconds)
    counts = generator.ask(do="counts", group="viewers")
    took, used = counts["at"] - begin, server.cpu() - used
    if not counts["writes"] or counts["lost"]:
        raise BenchmarkError(
            f"{counts['lost']} of {VIEWERS} viewers were lost, {counts['writes']} writes heard"
        )
    generator.ask(30, do="quiet", group="viewers")
    return Measured(
        counts["updates"] / took,
        counts["writes"] / took,
        sent / took,
        used / counts["updates"] * 1e6,
    )


def flood(queue: EmbeddedQueue, seconds: float) -> int:
    """Send as fast as the disk allows, a few pages ahead of the consumer; the number sent."""
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        if queue.waiting() > 2_000:
            time.sleep(0.01)
            continue
        queue.send_many([message(number + step) for step in range(DEVICES)])
        number += DEVICES
    return number


def message(number: int) -> bytes:
    return json.dumps(
        {"device": f"pillow{number % DEVICES}", "state": {"count": number, "mood": "happy"}}
    ).encode()
