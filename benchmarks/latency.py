"""The time from another process's ``send`` to the sockets of 1 000 viewers, and into a page.

The state contains the time of sending, so each viewer measures each message. Pauses are random, so
that sending is not synchronous to the ticks of the server.
"""

from __future__ import annotations

import importlib.util
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import report, servers
from benchmarks.processes import BenchmarkError, Process
from benchmarks.report import Bound, Row
from statecast.sources.contract import Sender
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from tools import browser

MEDIAN = Bound(floor=18, aim=10, less=True)
P99 = Bound(floor=62, aim=30, less=True)
DOM = Bound(floor=14, aim=12, less=True)


def rows(quick: bool) -> list[Row]:
    viewers, messages, turns = (1_000, 40, 1) if quick else (1_000, 100, 5)
    with (
        servers.scratch() as folder,
        servers.serving(servers.OURS, folder) as server,
        sending(folder) as queue,
    ):
        with servers.generator() as generator:
            send(queue, 1, monotonic)
            generator.ask(do="connect", group="viewers", port=server.port, viewers=viewers)
            generator.ask(do="watch", group="viewers", patterns=["*"])
            heard = [at_sockets(generator, queue, viewers, messages) for _ in range(turns)]
        what = f"latency, send to {viewers} viewers' sockets, paced"
        return [
            Row.of(f"{what}, median", [turn["p50"] for turn in heard], "ms", MEDIAN),
            Row.of(f"{what}, p99", [turn["p99"] for turn in heard], "ms", P99),
            in_browser(server.port, queue, messages, turns),
        ]


def at_sockets(generator: Process, queue: Sender, viewers: int, messages: int) -> dict[str, Any]:
    generator.ask(do="count", group="viewers", what="latencies")
    send(queue, messages, monotonic)
    generator.ask(do="quiet", group="viewers")
    result = generator.ask(do="latencies", group="viewers")
    if result["count"] < 0.5 * viewers * messages:
        raise BenchmarkError(
            f"of {messages} messages to {viewers} viewers only {result['count']} were heard"
        )
    return result


@contextmanager
def sending(folder: Path) -> Iterator[EmbeddedQueue]:
    """The queue, opened like ``statecast send`` does beside a running server."""
    store = open_store(f"sqlite:///{folder}/benchmark.db", begin_epoch=False)
    try:
        yield EmbeddedQueue(store)
    finally:
        store.close()


def monotonic() -> int:
    """Microseconds, comparable between the processes of this machine."""
    return time.monotonic_ns() // 1000


def wall() -> int:
    """Microseconds of the clock that a browser has too."""
    return time.time_ns() // 1000


def send(queue: Sender, messages: int, clock: Callable[[], int], pause: float = 0.03) -> None:
    """Send messages with random pauses of ``pause`` to twice ``pause`` seconds."""
    for _ in range(messages):
        time.sleep(random.uniform(pause, 2 * pause))
        now = clock()
        queue.send(
            json.dumps({"device": "pillow", "state": {"sent": now, "at": f"t{now}"}}).encode()
        )


def in_browser(port: int, queue: Sender, messages: int, turns: int = 1, pause: float = 0.03) -> Row:
    """Into the DOM of headless Chromium. The page records when its field changes."""
    what = "latency, send to the DOM of headless Chromium, paced, median"
    program = browser.find()
    if program is None or importlib.util.find_spec("playwright") is None:
        return report.unmeasured(what, "there is no Chromium here")
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=browser.options(), headless=True
        )
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{port}/latency")
        page.wait_for_function("document.getElementById('at').textContent.length > 9")
        send(queue, 3, wall)  # warm-up
        time.sleep(0.3)
        for _ in range(turns):
            page.evaluate("latencies.length = 0")
            send(queue, messages, wall, pause)
            time.sleep(0.5)
            latencies = page.evaluate("latencies")
            if len(latencies) < 0.5 * messages:
                raise BenchmarkError(f"the page saw only {len(latencies)} of {messages} messages")
            found.append(report.median(latencies))
        chromium.close()
    return Row.of(what, found, "ms", DOM)
