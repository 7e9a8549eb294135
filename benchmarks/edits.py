"""How many durable edits and messages threads and processes write, and how long each call takes.

Each process has an application with the Flask extension, whose threads call ``live.set``,
``live.send`` or, over REST, ``PATCH``, one call after the other without a pause.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

from benchmarks import processes, report, servers
from benchmarks.processes import Process, answer
from benchmarks.report import Bound, Row

RATE = Bound(floor=7_000, aim=10_000)
SOON = Bound(floor=40, aim=20, less=True)
DEVICES = 60
"""Of each thread."""
FULL_HISTORY = 1_000
"""Rows of a history that is at its bound nearly from the start."""


def rows(quick: bool) -> list[Row]:
    seconds, turns = (1.0, 1) if quick else (4.0, 5)
    found: list[Row] = []
    for kind, what in (("set", "live.set"), ("send", "live.send")):
        found += measured(f"{what}, one after the other", kind, 1, 1, seconds, turns)
        found += measured(f"{what} from 16 threads", kind, 1, 16, seconds, turns, RATE, SOON)
        found += measured(f"{what} from 4 processes of 4 threads", kind, 4, 4, seconds, turns)
    what = "live.set from 16 threads, history at its bound"
    found += measured(what, "full", 1, 16, seconds, turns, soon=SOON)
    return [*found, *over_rest(1, 16, seconds, turns), *over_rest(4, 4, seconds, turns)]


def measured(
    what: str,
    kind: str,
    number: int,
    threads: int,
    seconds: float,
    turns: int,
    rate: Bound = report.NO_BOUND,
    soon: Bound = report.NO_BOUND,
) -> list[Row]:
    answers = [turn(kind, number, threads, seconds) for _ in range(turns)]
    rates, per_core, halves, lates, slowest = zip(*answers, strict=True)
    note = f"{1e6 / report.median(per_core):.0f} µs of CPU each"
    found = [
        Row.of(what, rates, "calls/s", note=note),
        Row.of(f"{what}, per second of CPU", per_core, "calls", rate),
        Row.of(f"{what}, median", halves, "ms"),
        Row.of(f"{what}, p99", lates, "ms", soon),
    ]
    if number > 1:
        found.append(Row.of(f"{what}, p99 of the slowest process", slowest, "ms"))
    return found


def turn(kind: str, number: int, threads: int, seconds: float) -> tuple[float, ...]:
    """Calls per second, and per second of CPU; median and p99 of all; the largest p99."""
    with servers.scratch() as folder, ExitStack() as stack:
        writers = []
        for one in range(number):
            writers.append(stack.enter_context(writer(folder, kind, one, threads, seconds)))
            writers[-1].receive(30)
        for process in writers:
            process.send(do="go")
        answers = [process.receive(seconds + 60) for process in writers]
    times = sorted(took for one in answers for took in one["times"])
    return (
        len(times) / max(one["took"] for one in answers),
        len(times) / sum(one["cpu"] for one in answers),
        share(times, 0.5),
        share(times, 0.99),
        max(share(sorted(one["times"]), 0.99) for one in answers),
    )


def share(times: list[float], part: float) -> float:
    return times[min(len(times) - 1, int(len(times) * part))] * 1e3


def writer(folder: Path, kind: str, number: int, threads: int, seconds: float) -> Process:
    return processes.python(
        "benchmarks.edits", str(folder), kind, str(number), str(threads), str(seconds)
    )


def write(folder: str, kind: str, process: int, threads: int, seconds: float) -> None:
    """Call from each thread until the time is over, then say how long each call took."""
    from flask import Flask

    from statecast import Statecast

    app = Flask("benchmark")
    app.config["STATECAST_STORE"] = f"sqlite:///{folder}/edits.db"
    if kind == "full":
        app.config["STATECAST_HISTORY_ROWS"] = FULL_HISTORY
    live = Statecast(app)
    live.set(f"floor{process}/first", count=0)
    answer(ready=True)
    sys.stdin.readline()
    times: list[list[float]] = [[] for _ in range(threads)]
    end = time.monotonic() + seconds

    def run(thread: int) -> None:
        before = time.monotonic()
        number = 0
        while before < end:
            device = f"floor{process}.{thread}/pillow{number % DEVICES}"
            state = {"battery": number % 101, "mood": "happy", "count": number}
            if kind == "send":
                live.send({"device": device, "state": state})
            else:
                live.set(device, state)
            number += 1
            after = time.monotonic()
            times[thread].append(after - before)
            before = after

    began, used = time.monotonic(), time.process_time()
    in_threads(run, threads)
    took, used = time.monotonic() - began, time.process_time() - used
    answer(took=took, cpu=used, times=[one for own in times for one in own])


def in_threads(run: Callable[[int], None], threads: int) -> None:
    started = [threading.Thread(target=run, args=(one,)) for one in range(threads)]
    for one in started:
        one.start()
    for one in started:
        one.join()


def over_rest(number: int, connections: int, seconds: float, turns: int) -> list[Row]:
    """``PATCH`` over connections that are kept open, so many to each server of one store."""
    rates, costs, lates, slowest = [], [], [], []
    for _ in range(turns):
        with ExitStack() as stack:
            folder = stack.enter_context(servers.scratch())
            serving = [
                stack.enter_context(servers.serving(servers.OURS, folder)) for _ in range(number)
            ]
            ports = [server.port for server in serving for _ in range(connections)]
            patch_for(ports, 0.3)
            used = sum(server.process.cpu() for server in serving)
            times = patch_for(ports, seconds)
            used = sum(server.process.cpu() for server in serving) - used
        rates.append(sum(map(len, times)) / seconds)
        costs.append(used / sum(map(len, times)) * 1e6)
        lates.append(share(sorted(chain(*times)), 0.99))
        own = (times[first : first + connections] for first in range(0, len(ports), connections))
        slowest.append(max(share(sorted(chain(*each)), 0.99) for each in own))
    note = f"{report.median(costs):.0f} µs of CPU each, HTTP included"
    to = "" if number == 1 else f" to {number} processes"
    what = f"PATCH over REST from {number * connections} connections{to}"
    found = [Row.of(what, rates, "calls/s", note=note), Row.of(f"{what}, p99", lates, "ms")]
    if number > 1:
        found.append(Row.of(f"{what}, p99 of the slowest process", slowest, "ms"))
    return found


def patch_for(ports: list[int], seconds: float) -> list[list[float]]:
    """How long each request took, for a connection to each of the ports."""
    times: list[list[float]] = [[] for _ in ports]
    end = time.monotonic() + seconds

    def run(thread: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", ports[thread])
        headers = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
        number = 0
        while (before := time.monotonic()) < end:
            body = json.dumps({"count": number})
            connection.request("PATCH", f"/api/devices/floor{thread}", body, headers)
            answered = connection.getresponse()
            answered.read()
            if answered.status != 200:
                raise processes.BenchmarkError(f"PATCH was answered by {answered.status}")
            times[thread].append(time.monotonic() - before)
            number += 1
        connection.close()

    in_threads(run, len(ports))
    return times


if __name__ == "__main__":
    folder, kind, process, threads, seconds = sys.argv[1:]
    write(folder, kind, int(process), int(threads), float(seconds))
