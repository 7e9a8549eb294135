"""How quickly messages become durable states: a full embedded queue, and single sends."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks import processes, report, servers
from benchmarks.processes import BenchmarkError, Process, answer
from benchmarks.report import Bound, Row
from statecast import settings
from statecast.runtime import Runtime
from statecast.server.server import collect_rarely

DEVICES = 1_000
PAGE = 500
RATE = Bound(floor=15_000, aim=20_000)


def message(number: int) -> bytes:
    """A partial message of one of a few devices. Each is a visible change."""
    state = {
        "battery": number % 101,
        "mood": ("happy", "calm", "sleepy")[number % 3],
        "count": number,
    }
    return json.dumps(
        {"device": f"floor{number % 10}/pillow{number % DEVICES}", "state": state}
    ).encode()


def rows(quick: bool) -> list[Row]:
    messages, sends, turns = (10_000, 300, 1) if quick else (50_000, 2_000, 5)
    answers = []
    for _ in range(turns):
        with servers.scratch() as folder, measuring(folder, messages, sends) as process:
            answers.append(process.receive(180))
    rates, costs, sent, filled = (
        [result[name] for result in answers] for name in ("rate", "cost", "sent", "filled")
    )
    note = f"{report.median(costs):.0f} µs of CPU each"
    return [
        Row.of("ingest: queue to durable commit, burst", rates, "messages/s", RATE, note),
        Row.of("send, one durable message after the other", sent, "messages/s"),
        Row.of(f"send_many, {PAGE} messages a call", filled, "messages/s"),
    ]


def measuring(folder: Path, messages: int, sends: int) -> Process:
    return processes.python("benchmarks.ingest", str(folder), str(messages), str(sends))


def measure(store: str, messages: int, sends: int) -> dict[str, float]:
    """``store`` is a URL."""
    runtime = Runtime(settings.Settings(store=store))
    begin = time.monotonic()
    for first in range(0, messages, PAGE):
        runtime.queue.send_many(
            [message(number) for number in range(first, min(first + PAGE, messages))]
        )
    filled = messages / (time.monotonic() - begin)

    took, used = consume(runtime, messages)
    runtime.drain()
    for ended in runtime.consumers:
        ended.join(5)
    if runtime.store.read_position().offset < messages:
        raise BenchmarkError("not every message became a version")

    begin = time.monotonic()
    for number in range(sends):
        runtime.queue.send(message(number))
    sent = sends / (time.monotonic() - begin)
    runtime.stop()
    return {"rate": messages / took, "cost": used / messages * 1e6, "sent": sent, "filled": filled}


def consume(runtime: Runtime, messages: int) -> tuple[float, float]:
    """Start it, and wait until so many are applied: seconds, and seconds of CPU time."""
    collect_rarely()  # as ``statecast run`` does
    begin, used = time.monotonic(), time.process_time()
    runtime.start()
    (consumer,) = runtime.consumers
    while consumer.total.applied < messages:
        if time.monotonic() - begin > 120:
            raise BenchmarkError(f"only {consumer.total} of {messages} messages in two minutes")
        time.sleep(0.002)
    return time.monotonic() - begin, time.process_time() - used


if __name__ == "__main__":
    store = f"sqlite:///{sys.argv[1]}/ingest.db"
    answer(**measure(store, int(sys.argv[2]), int(sys.argv[3])))
