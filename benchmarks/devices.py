"""100 000 devices with states of 500 bytes: the start, the memory, and answers for all of them.

While viewers get all states, somebody asks ``/healthz`` all the time: the longest answer shows for
how long the loop was held. It includes the time in which the machine ran something else.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from pathlib import Path

from benchmarks import servers
from benchmarks.latency import sending
from benchmarks.processes import BenchmarkError, Process
from benchmarks.report import Bound, Row

STATE_BYTES = 500
VIEWERS = 4
"""Viewers that ask for all devices at once."""
PAGE = 1_000
"""Devices of one page of REST."""
START = Bound(floor=4, aim=3, less=True)
MEMORY = Bound(floor=1.7, aim=1.2, less=True)
HELD = Bound(floor=40, aim=20, less=True)


def rows(quick: bool) -> list[Row]:
    devices, turns = (10_000, 1) if quick else (100_000, 5)
    with servers.scratch() as folder:
        empty, scrape_of_empty = of_empty(folder)
        fill(folder, devices)
        starts, memory, after, held, pages, scrapes = [], [], [], [], [], []
        for _ in range(turns):
            begin = time.monotonic()
            with servers.serving(servers.OURS, folder) as server:
                starts.append(time.monotonic() - begin)
                memory.append(beside_state(server.process, empty, devices))
                held.append(longest_answer(server.port))
                after.append(beside_state(server.process, empty, devices))
                pages.append(seconds_of(server.port, f"/api/devices?limit={PAGE}") * 1000)
                scrapes.append(scrape(server.port))
    what = f"{devices} devices of {STATE_BYTES} bytes"
    return [
        Row.of(f"{what}, start", starts, "s", START),
        Row.of(f"{what}, memory beside the state", memory, "KB each", MEMORY),
        Row.of(f"{what}, the same when all were sent", after, "KB each", MEMORY),
        Row.of(f"{what}, to {VIEWERS} viewers at once, longest /healthz", held, "ms", HELD),
        Row.of(f"{what}, a page of {PAGE} by REST", pages, "ms"),
        Row.of(f"{what}, /metrics", scrapes, "ms", note=f"{scrape_of_empty:.1f} without devices"),
    ]


def of_empty(folder: Path) -> tuple[int, float]:
    """The memory of a server without devices, and the ms of its ``/metrics``."""
    (folder / "empty").mkdir()
    with servers.serving(servers.OURS, folder / "empty") as server:
        return server.process.memory(), scrape(server.port)


def scrape(port: int) -> float:
    """The ms of ``/metrics``; the first scrape of a process imports what it needs."""
    seconds_of(port, "/metrics")
    return seconds_of(port, "/metrics") * 1000


def beside_state(process: Process, empty: int, devices: int) -> float:
    """KB of each device, without its state."""
    return ((process.memory() - empty) / devices - STATE_BYTES) / 1024


def fill(folder: Path, devices: int) -> None:
    """Send one message of each device, and wait until all are applied."""
    with servers.serving(servers.OURS, folder), sending(folder) as queue:
        for first in range(0, devices, 500):
            queue.send_many([message(one) for one in range(first, min(first + 500, devices))])
        end = time.monotonic() + 300
        while queue.waiting():
            if time.monotonic() > end:
                raise BenchmarkError(f"{queue.waiting()} messages were not consumed in 5 minutes")
            time.sleep(0.1)


def message(number: int) -> bytes:
    state = {"mood": "happy", "temperature": number % 30, "number": number, "text": ""}
    state["text"] = "x" * (STATE_BYTES - len(json.dumps(state, separators=(",", ":"))))
    return json.dumps({"device": f"site{number % 100}/device{number}", "state": state}).encode()


def seconds_of(port: int, path: str) -> float:
    """How long a request takes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    begin = time.monotonic()
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    took = time.monotonic() - begin
    connection.close()
    if response.status != 200:
        raise BenchmarkError(f"{path} was answered by {response.status}")
    return took


def longest_answer(port: int) -> float:
    """The longest answer of ``/healthz``, in ms, while viewers get all devices."""
    answers: list[float] = []
    sent = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not sent.is_set():
            begin = time.monotonic()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            answers.append((time.monotonic() - begin) * 1000)
            time.sleep(0.001)
        connection.close()

    with servers.generator() as generator:
        generator.ask(do="connect", group="wide", port=port, viewers=VIEWERS)
        asking = threading.Thread(target=ask)
        asking.start()
        try:
            generator.ask(do="watch", group="wide", patterns=["*"], timeout=180)
        finally:
            sent.set()
            asking.join()
    return max(answers)
