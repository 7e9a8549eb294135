"""Messages of an Azure queue: throughput, latency and cost, measured with Azurite, the emulator.

The peers use the same Azurite: a plain loop with the SDK's defaults, and kombu's transport. They
store nothing. What Azurite itself can do is measured by a client that does nothing else. A deletion
in Azurite takes longer in a longer queue, and its clean-up once a minute takes longer with every
message that it ever held. The queues are therefore short, and each turn has an Azurite of its own.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks import ingest, latency, report, servers
from benchmarks.processes import ROOT, BenchmarkError, Process, answer
from benchmarks.report import Bound, Row
from statecast.runtime import Runtime
from statecast.settings import Settings
from statecast.sources.azure_queue import AzureQueue
from statecast.sources.azure_queue.poll_interval import cost_per_month
from statecast.testing.azure import FakeAzure
from tests.azurite_server import Azurite
from tools import javascript

RATE = Bound(floor=700, aim=1_000)
SOON = Bound(floor=150, less=True)
VARIABLE = "AZURE_STORAGE_CONNECTION_STRING"
SENDERS = 8
PAUSE = 0.15
"""Minimum seconds between two messages. Viewers see only the last one of a receive."""
PEERS = {"a plain loop with the SDK's defaults": "plain", "kombu": "kombu"}


def rows(quick: bool) -> list[Row]:
    messages, turns, sends, idle = (300, 1, 20, 5) if quick else (600, 5, 100, 30)
    found = [rated("azure: queue to durable commit", "benchmarks.azure", messages, turns, RATE)]
    for name, peer in PEERS.items():
        found.append(
            rated(f"azure: {name}", "benchmarks.peers.azure", messages, turns, option=peer)
        )
    found.append(
        rated(
            "azure: Azurite itself, a bare client", "benchmarks.peers.azure_bare", messages, turns
        )
    )
    with azurite() as connection:
        found += soon(connection, sends)
    return [*found, waiting(idle)]


@contextmanager
def azurite() -> Iterator[str]:
    """Start an Azurite; yields its connection string."""
    node = javascript.find(ROOT, javascript.AZURITE)
    if node is None:
        raise BenchmarkError("Node or Azurite is not here; `make bench` installs them")
    main = javascript.modules(ROOT, javascript.AZURITE) / "azurite/dist/src/queue/main.js"
    server = Azurite([node, main])
    server.start()
    try:
        yield server.connection
    finally:
        server.stop()


def rated(
    what: str,
    module: str,
    messages: int,
    turns: int,
    bound: Bound = report.NO_BOUND,
    option: str = "",
) -> Row:
    answers = []
    for _ in range(turns):
        with (
            azurite() as connection,
            servers.scratch() as folder,
            running(module, connection, folder, "rate", messages, option) as process,
        ):
            answers.append(process.receive(180))
    rates, costs = ([result[name] for result in answers] for name in ("rate", "cost"))
    note = f"{report.median(costs):.1f} ms of CPU each"
    return Row.of(what, rates, "messages/s", bound, note)


def running(
    module: str, connection: str, folder: Path, queue: str, messages: int, option: str
) -> Process:
    command = [sys.executable, "-m", module, str(folder), queue, str(messages), option]
    return Process(module, command, {VARIABLE: connection})


def measure(folder: str, queue: str, messages: int) -> dict[str, float]:
    """Fill the queue, then measure until it is empty, in a process of its own."""
    runtime = Runtime(
        Settings(store=f"sqlite:///{folder}/azure.db", source=(f"azure-queue:{queue}-ours",))
    )
    fill(runtime, messages)
    took, used = ingest.consume(runtime, messages)
    runtime.stop()
    return {"rate": messages / took, "cost": used / messages * 1e3}


def fill(runtime: Runtime, messages: int) -> None:
    target = runtime.queue
    target.send(ingest.message(0))  # creates the queue
    with ThreadPoolExecutor(SENDERS) as senders:
        list(senders.map(lambda number: target.send(ingest.message(number)), range(1, messages)))


def soon(connection: str, sends: int) -> list[Row]:
    """From another process's send to a viewer's socket and to the DOM, at the default interval."""
    variables = {VARIABLE: connection, "STATECAST_SOURCE": "azure-queue:latency"}
    with servers.scratch() as folder:
        command = [
            sys.executable,
            "-m",
            "benchmarks.peers.ours",
            f"sqlite:///{folder}/benchmark.db",
        ]
        with Process("Statecast on Azure", command, variables) as server:
            port = server.receive(30)["port"]
            queue = sender(connection, "latency")
            with servers.generator() as generator:
                latency.send(queue, 3, latency.monotonic)
                generator.ask(do="connect", group="viewers", port=port, viewers=1)
                generator.ask(do="watch", group="viewers", patterns=["*"])
                generator.ask(do="count", group="viewers", what="latencies")
                latency.send(queue, sends, latency.monotonic, PAUSE)
                generator.ask(do="quiet", group="viewers")
                result = generator.ask(do="latencies", group="viewers")
            browser = latency.in_browser(port, queue, sends, pause=PAUSE)
            queue.close()
    return [
        Row("azure: latency, send to a viewer's socket, median", result["p50"], "ms", SOON),
        Row("azure: latency, send to a viewer's socket, p99", result["p99"], "ms"),
        Row(
            "azure: latency, send to the DOM of headless Chromium, median",
            browser.value,
            browser.unit,
            SOON,
            browser.note,
        ),
    ]


def sender(connection: str, queue: str) -> AzureQueue:
    from statecast.sources import open_source
    from statecast.sources.contract import SourceContext
    from statecast.timestamps import now

    context = SourceContext(lambda: _no_store(), Settings(), {VARIABLE: connection}, now)
    opened = open_source(f"azure-queue:{queue}", context)
    assert isinstance(opened, AzureQueue)
    return opened


def _no_store() -> None:
    raise BenchmarkError("an Azure queue asked for a store")


def waiting(seconds: float) -> Row:
    """The requests to an idle queue, counted by a fake service."""
    azure = FakeAzure()
    azure.start()
    queue = sender(azure.connection, "idle")
    stop = threading.Event()

    def receive() -> None:
        while not stop.is_set():
            queue.receive(32, 0.5)

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    time.sleep(6)  # then the poll interval is at its maximum
    before = len(azure.asked)
    time.sleep(seconds)
    asked = (len(azure.asked) - before) / seconds * 3600
    stop.set()
    thread.join(5)
    queue.close()
    azure.stop()
    return Row(
        "azure: requests to an idle queue",
        asked,
        "per hour",
        note=f"about ${cost_per_month(asked):.2f} a month",
    )


if __name__ == "__main__":
    answer(**measure(sys.argv[1], sys.argv[2], int(sys.argv[3])))
