"""What a store in PostgreSQL costs: messages to a durable commit, a slow network, idle processes.
Beside it SQLite, where a change goes from one process to the sockets of another.

The server is a real one with a durable disk. It gets one core and its clients the other, as if they
were two hosts.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil

from benchmarks import ingest, latency, processes, report, servers, small
from benchmarks.processes import BenchmarkError, answer, cpu_of
from benchmarks.report import Bound, Row

INGEST = Bound(floor=3_000, aim=5_000)
IDLE = Bound(floor=5, less=True)
LATENCY = Bound(aim=25, less=True)
ROUND_TRIP = 0.001
"""Seconds of the slow network."""
PROCESSES = 50
SETTLE = 10.0
"""Seconds after the start of many processes that are its own."""
VIEWERS = 20


def rows(quick: bool) -> list[Row]:
    messages, sends, seconds, turns = (5_000, 100, 1.0, 1) if quick else (30_000, 500, 5.0, 3)
    with server() as own:
        return [
            *ingest_rows(own, messages, sends, turns),
            *slow_network(own, seconds, turns),
            *latency_rows(own, sends // 4, turns),
            idle_processes(own, *((10, 5.0) if quick else (PROCESSES, 30.0))),
        ]


@contextmanager
def server(pinned: bool = True) -> Iterator[Any]:
    """A PostgreSQL of our own; ``pinned``: on the last core."""
    sys.path.append(str(processes.ROOT / "tests"))
    from postgres_server import PostgresServer
    from tools import system_parts

    program = system_parts.POSTGRESQL.find()
    if program is None:
        raise BenchmarkError("PostgreSQL is not installed (make system-deps)")
    own = PostgresServer(program, within="/tmp", shared_buffers="128MB")
    try:
        own.start()
        if pinned:
            pin(own.pid, -1)
        yield own
    finally:
        own.remove()


def pin(pid: int, core: int) -> None:
    """Keep a process, and those it starts, on one core."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(pid, {cores[core]})


def ingest_rows(own: Any, messages: int, sends: int, turns: int) -> list[Row]:
    answers = []
    for _ in range(turns):
        url = own.url(own.create())
        before = cpu_of_server(own.pid)
        with processes.python(
            "benchmarks.postgres", "ingest", url, str(messages), str(sends)
        ) as process:
            answers.append(process.receive(300))
        answers[-1]["server"] = (cpu_of_server(own.pid) - before) / messages * 1e6
    rates, costs, server_costs, sent = (
        [one[name] for one in answers] for name in ("rate", "cost", "server", "sent")
    )
    note = f"{report.median(costs):.0f} µs of CPU each, and {report.median(server_costs):.0f} µs "
    what = "PostgreSQL"
    return [
        Row.of(f"{what}: queue to durable commit", rates, "messages/s", INGEST, f"{note}there"),
        Row.of(f"{what}: send, one after the other", sent, "messages/s"),
    ]


def slow_network(own: Any, seconds: float, turns: int) -> list[Row]:
    """Single commits of many hosts, each in a transaction of its own, over a network of 1 ms."""
    from postgres_proxy import PostgresProxy

    found = []
    for hosts in (1, 8, 32):
        rates = []
        for _ in range(turns):
            name = own.create()
            proxy = PostgresProxy(f"{own.folder}/.s.PGSQL.5432", delay=ROUND_TRIP / 2)
            try:
                rates.append(commits(proxy.url(name), hosts, seconds) / seconds)
            finally:
                proxy.close()
        found.append(
            Row.of(f"PostgreSQL: commits of {hosts} hosts together, 1 ms away", rates, "commits/s")
        )
    return found


def commits(url: str, hosts: int, seconds: float) -> int:
    """How many commits so many stores do, each of one message of a device of its own."""
    from statecast.stores import open_store
    from statecast.stores.limits import Limits
    from statecast.testing import change, message
    from statecast.timestamps import now

    done = [0] * hosts
    with ExitStack() as stack:
        stores = [open_store(f"{url}&pool_size=2", Limits()) for _ in range(hosts)]
        for store in stores:
            stack.callback(store.close)
        begin = threading.Barrier(hosts)

        def run(host: int) -> None:
            begin.wait()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                one = change(f"host{host}", {"n": done[host]})
                sent = message(f"m{done[host]}", one, sent_at=now())
                stores[host].commit(f"queue{host}", 1, [sent])
                done[host] += 1

        threads = [threading.Thread(target=run, args=(host,)) for host in range(hosts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(done)


def latency_rows(own: Any, messages: int, turns: int) -> list[Row]:
    """From a sender to sockets of another process than the one that consumes, on both stores."""
    with servers.scratch() as folder:
        stores = {
            "PostgreSQL": own.url(own.create()),
            "SQLite, beside it": f"sqlite:///{folder}/benchmark.db",
        }
        return [
            row
            for name, url in stores.items()
            for row in at_another_process(name, url, messages, turns)
        ]


def at_another_process(name: str, url: str, messages: int, turns: int) -> list[Row]:
    from statecast.sources.embedded_queue import EmbeddedQueue
    from statecast.stores import open_store

    with ExitStack() as stack:
        stack.enter_context(peer(url))  # the first one consumes
        server = stack.enter_context(peer(url))
        generator = stack.enter_context(servers.generator())
        store = open_store(url, begin_epoch=False)
        stack.callback(store.close)
        ways = {"send": EmbeddedQueue(store), "live.set": Edits(url)}
        generator.ask(do="connect", group="viewers", port=server, viewers=VIEWERS)
        generator.ask(do="watch", group="viewers", patterns=["*"])
        rows = []
        for way, sender in ways.items():
            latency.send(sender, 3, latency.monotonic)  # warm-up
            found = [latency.at_sockets(generator, sender, VIEWERS, messages) for _ in range(turns)]
            rows += [
                Row.of(
                    f"{name}: {way} to sockets of another process, paced, {label}",
                    [turn[key] for turn in found],
                    "ms",
                    LATENCY,
                )
                for key, label in (("p50", "median"), ("p99", "p99"))
            ]
        return rows


@contextmanager
def peer(url: str) -> Iterator[int]:
    """A serving process, and its port."""
    with processes.python("benchmarks.peers.ours", url) as process:
        yield process.receive(30)["port"]


class Edits:
    """Sends what a message of the latency says by ``live.set``, from a process that serves none."""

    def __init__(self, url: str) -> None:
        from flask import Flask

        from statecast.flask import Statecast

        self._app = Flask(__name__)  # the extension does not keep it
        self._live = Statecast(self._app, store=url)

    def send(self, body: bytes) -> str:
        message = json.loads(body)
        self._live.set(message["device"], **message["state"])
        return ""


def idle_processes(own: Any, number: int, seconds: float) -> Row:
    """What serving processes cost the server while nothing happens; few are scaled to many."""
    url = own.url(own.create())
    with ExitStack() as stack:
        started = [stack.enter_context(small.serving(url))[0] for _ in range(number)]
        stack.callback(lambda: [one.terminate() for one in started])
        time.sleep(SETTLE)
        before = cpu_of_server(own.pid), [cpu_of(one.pid) for one in started]
        began = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        server = (cpu_of_server(own.pid) - before[0]) / took * 100
        each = sum(cpu_of(one.pid) for one in started) - sum(before[1])
    what = f"PostgreSQL: server, {PROCESSES} idle serving processes"
    note = f"and each of them {each / took / number * 100:.2f} %"
    if number != PROCESSES:
        note = f"{number} processes, scaled; {note}"
    return Row.of(what, [server * PROCESSES / number], "% of a core", IDLE, note)


def cpu_of_server(pid: int) -> float:
    """Seconds of CPU of a server and of all that it has started, ended ones too."""
    postmaster = psutil.Process(pid)
    times = postmaster.cpu_times()
    used = times.user + times.system + times.children_user + times.children_system
    for child in postmaster.children():
        try:
            used += sum(child.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return float(used)


if __name__ == "__main__":
    _, _, url, messages, sends = sys.argv
    pin(0, 0)
    answer(**ingest.measure(url, int(messages), int(sends)))
