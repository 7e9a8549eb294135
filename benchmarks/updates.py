"""Many devices that change all the time. The updates of one tick share a frame and a write."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

from benchmarks import servers
from benchmarks.latency import sending
from benchmarks.processes import BenchmarkError
from benchmarks.report import Bound, Row
from statecast.sources.embedded_queue import EmbeddedQueue

VIEWERS = 100
DEVICES = 100
SHARED = Bound(aim=10)
"""Updates per write."""


def rows(quick: bool) -> list[Row]:
    seconds = 2 if quick else 10
    with ExitStack() as stack:
        folder = stack.enter_context(servers.scratch())
        server = stack.enter_context(servers.serving(servers.OURS, folder))
        queue = stack.enter_context(sending(folder))
        generator = stack.enter_context(servers.generator())
        generator.ask(do="connect", group="viewers", port=server.port, viewers=VIEWERS)
        generator.ask(do="watch", group="viewers", patterns=["*"])
        generator.ask(do="count", group="viewers", what="updates")
        begin, used = time.monotonic(), server.process.cpu()
        sent = flood(queue, seconds)
        counts = generator.ask(do="counts", group="viewers")
        took, used = counts["at"] - begin, server.process.cpu() - used
    if not counts["writes"] or counts["lost"]:
        raise BenchmarkError(
            f"{counts['lost']} of {VIEWERS} viewers were lost, {counts['writes']} writes heard"
        )
    shared = f"{counts['writes'] / took:,.0f} writes/s, {sent / took:,.0f} messages/s in".replace(
        ",", " "
    )
    cost = f"{used / counts['updates'] * 1e6:.2f} µs of CPU each, ingest included"
    return [
        Row(
            f"updates, {DEVICES} devices to {VIEWERS} viewers, burst",
            counts["updates"] / took,
            "updates/s",
            note=shared,
        ),
        Row("updates per write", counts["updates"] / counts["writes"], "", SHARED, cost),
    ]


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
