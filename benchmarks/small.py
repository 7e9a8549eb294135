"""What a server needs that has nothing to do: its start, its memory, its CPU time.

It is the command as its users call it, in a folder of its own, with an empty store. What it needs
in its first minute and later are two numbers, because some waits grow while nothing happens.
"""

from __future__ import annotations

import http.client
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks import servers
from benchmarks.processes import BenchmarkError, cpu_of
from benchmarks.report import Bound, Row

COMMAND = ("-m", "statecast")
WITHOUT_INOTIFY = ("-m", "benchmarks.peers.without_inotify")
START = Bound(floor=1, aim=0.7, less=True)
MEMORY = Bound(floor=43, aim=40, less=True)
IDLE = Bound(floor=0.8, aim=0.3, less=True)
SETTLE = 3.0
"""Seconds after the start that are its own."""


def rows(quick: bool) -> list[Row]:
    starts, seconds = (1, 5.0) if quick else (5, 57.0)
    with servers.scratch() as folder:
        took = [start(folder) for _ in range(starts)]
        own, resident = zip(*(memory(folder) for _ in range(starts)), strict=True)
        first, later = idle(folder, COMMAND, seconds)
        _, unhinted = idle(folder, WITHOUT_INOTIFY, seconds)
    minute = "its first minute" if not quick else f"{seconds:g} s"
    return [
        Row.of("small: from the command to the first answer", took, "s", START),
        Row.of("small: memory of an idle server, not shared", own, "MB", MEMORY),
        Row.of("small: memory of an idle server, resident", resident, "MB"),
        Row(f"small: idle server, {minute}", first, "% of a core", IDLE),
        Row("small: idle server, after that", later, "% of a core", IDLE),
        Row("small: idle server without inotify, after that", unhinted, "% of a core", IDLE),
    ]


def start(folder: Path) -> float:
    """Seconds until it answers."""
    begin = time.monotonic()
    with running(folder, COMMAND) as (_, address):
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
        took = time.monotonic() - begin
        connection.close()
    if status != 200:
        raise BenchmarkError(f"the server answered {status}")
    return took


def idle(folder: Path, command: tuple[str, ...], seconds: float) -> tuple[float, float]:
    """Percents of a core, at first and later."""
    with running(folder, command) as (process, _):
        time.sleep(SETTLE)
        return share(process.pid, seconds), share(process.pid, seconds)


def memory(folder: Path) -> tuple[float, float]:
    """MB of a server that has started: its own (0 where it is not known), and resident."""
    with running(folder, COMMAND) as (process, _):
        time.sleep(SETTLE)
        if sys.platform != "linux":
            return 0.0, process.memory_info().rss / 1e6
        used = process.memory_full_info()
        return used.uss / 1e6, used.rss / 1e6


def share(pid: int, seconds: float) -> float:
    begin, used = time.monotonic(), cpu_of(pid)
    time.sleep(seconds)
    return (cpu_of(pid) - used) / (time.monotonic() - begin) * 100


@contextmanager
def running(folder: Path, command: tuple[str, ...]) -> Iterator[tuple[psutil.Process, str]]:
    """A server with a store in a file, and its address."""
    with serving(f"sqlite:///{folder}/small.db", command) as found:
        yield found


@contextmanager
def serving(store: str, command: tuple[str, ...] = COMMAND) -> Iterator[tuple[psutil.Process, str]]:
    """A server and its address."""
    options = ["run", "--port", "0", "--store", store]
    server = subprocess.Popen(
        [sys.executable, *command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert server.stdout is not None
    try:
        yield psutil.Process(server.pid), address_in(server)
    finally:
        server.terminate()
        server.wait(20)
        server.stdout.close()


def address_in(server: subprocess.Popen[bytes]) -> str:
    """What it says when it is live."""
    assert server.stdout is not None
    if not select.select([server.stdout], [], [], 30)[0]:
        raise BenchmarkError("the server was not live within 30 seconds")
    line = server.stdout.readline().decode()
    if "http://" not in line:
        raise BenchmarkError(f"the server said: {line}")
    return line.split()[-1]
