"""How quickly messages become durable states: a full embedded queue, and single sends.

The queue is emptied twice: by the consumer alone, which is what other parts of the product cannot
disturb, and by ``statecast run``, as users call it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks import processes, report, servers, small
from benchmarks.processes import BenchmarkError, Process, answer
from benchmarks.report import Bound, Row
from statecast import settings
from statecast.runtime import Runtime
from statecast.server.server import collect_rarely
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from statecast.stores.contract import Store

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
    as_run, run_costs = zip(*(by_command(messages) for _ in range(turns)), strict=True)
    run_note = f"{report.median(run_costs):.0f} µs of CPU each, {DEVICES} devices for viewers"
    return [
        Row.of("ingest: queue to durable commit, burst", rates, "messages/s", RATE, note),
        Row.of("ingest: the same by `statecast run`", as_run, "messages/s", note=run_note),
        Row.of("send, one durable message after the other", sent, "messages/s"),
        Row.of(f"send_many, {PAGE} messages a call", filled, "messages/s"),
    ]


def measuring(folder: Path, messages: int, sends: int) -> Process:
    return processes.python("benchmarks.ingest", str(folder), str(messages), str(sends))


def by_command(messages: int) -> tuple[float, float]:
    """Messages per second of ``statecast run``, and microseconds of its CPU for each.

    It starts beside a full queue. The first tenth is left out, with what the start costs.
    """
    with servers.scratch() as folder:
        store = open_store(f"sqlite:///{folder}/small.db", begin_epoch=False)
        try:
            fill(EmbeddedQueue(store), messages)
            with small.running(folder, small.COMMAND) as (process, _):
                first, began = applied(store, messages // 10)
                used = processes.cpu_of(process.pid)
                last, ended = applied(store, messages)
                used = processes.cpu_of(process.pid) - used
        finally:
            store.close()
    return (last - first) / (ended - began), used / (last - first) * 1e6


def applied(store: Store, least: int) -> tuple[int, float]:
    """Wait until so many messages are applied; how many are, and when that was."""
    end = time.monotonic() + 120
    while (offset := store.read_position().offset) < least:
        if time.monotonic() > end:
            raise BenchmarkError(f"only {offset} of {least} messages in two minutes")
        time.sleep(0.005)
    return offset, time.monotonic()


def fill(queue: EmbeddedQueue, messages: int) -> None:
    for first in range(0, messages, PAGE):
        queue.send_many([message(number) for number in range(first, min(first + PAGE, messages))])


def measure(store: str, messages: int, sends: int) -> dict[str, float]:
    """``store`` is a URL."""
    runtime = Runtime(settings.Settings(store=store))
    begin = time.monotonic()
    fill(runtime.queue, messages)
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
