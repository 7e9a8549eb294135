"""What a store in PostgreSQL costs: messages to a durable commit, a slow network, idle followers.

The server is a real one with a durable disk. It gets one core and its clients the other, as if they
were two hosts.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks import ingest, processes, report
from benchmarks.processes import BenchmarkError, answer
from benchmarks.report import Bound, Row

INGEST = Bound(floor=3_000, aim=5_000)
IDLE = Bound(floor=5, less=True)
ROUND_TRIP = 0.001
"""Seconds of the slow network."""
FOLLOWERS = 50


def rows(quick: bool) -> list[Row]:
    messages, sends, seconds, turns = (5_000, 100, 1.0, 1) if quick else (30_000, 500, 5.0, 3)
    with server() as own:
        return [
            *ingest_rows(own, messages, sends, turns),
            *slow_network(own, seconds, turns),
            idle_followers(own, 4 * seconds),
        ]


@contextmanager
def server() -> Iterator[Any]:
    """A PostgreSQL of our own, on the last core."""
    sys.path.append(str(processes.ROOT / "tests"))
    from postgres_server import PostgresServer
    from tools import system_parts

    program = system_parts.POSTGRESQL.find()
    if program is None:
        raise BenchmarkError("PostgreSQL is not installed (make system-deps)")
    own = PostgresServer(program, within="/tmp", shared_buffers="128MB")
    try:
        own.start()
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
        before = cpu_of(own.pid)
        with processes.python(
            "benchmarks.postgres", "ingest", url, str(messages), str(sends)
        ) as process:
            answers.append(process.receive(300))
        answers[-1]["server"] = (cpu_of(own.pid) - before) / messages * 1e6
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
    from statecast.stores.contract import Limits
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


def idle_followers(own: Any, seconds: float) -> Row:
    """What serving processes cost the server while nothing happens."""
    from statecast.stores import open_store
    from statecast.stores.contract import Limits, ReadCursor

    url = own.url(own.create())
    stop = threading.Event()
    with ExitStack() as stack:
        stores = [open_store(f"{url}&pool_size=2", Limits()) for _ in range(FOLLOWERS)]
        for store in stores:
            stack.callback(store.close)

        def follow(number: int) -> None:
            store, cursor, told = stores[number], ReadCursor(), 0.0
            while not stop.is_set():
                cursor = store.read(cursor).cursor
                if time.monotonic() - told > 2:
                    store.announce(f"process{number}", {"viewers": 0})
                    told = time.monotonic()
                store.wait(1.0)

        threads = [threading.Thread(target=follow, args=(one,)) for one in range(FOLLOWERS)]
        for thread in threads:
            thread.start()
        time.sleep(3)
        before = cpu_of(own.pid)
        time.sleep(seconds)
        used = cpu_of(own.pid) - before
        stop.set()
        for store in stores:
            store.wake()
        for thread in threads:
            thread.join()
    what = f"PostgreSQL: server, {FOLLOWERS} idle serving processes"
    return Row.of(what, [used / seconds * 100], "% of a core", IDLE)


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a server and of all that it has started, ended ones too."""
    import psutil

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
