"""A drill: several hosts that are one Statecast, devices that talk, viewers, and something that
breaks every few seconds. At the end nothing is lost, and every viewer shows what the store holds.

Three hosts with two serving processes each are network namespaces that the drill makes, and so is
that of the one PostgreSQL. The third host reaches it through a proxy that can be slow. Viewers
reach the hosts by nginx in turn, with the file that the documents show.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from server_process import HERE, PROGRAM

import namespaces
import nginx_server
from child_process import started
from namespaces import Host
from postgres_server import PostgresServer
from statecast import strict_json, timestamps
from statecast.errors import StatecastError
from statecast.sources.embedded_queue import EmbeddedQueue
from statecast.stores import open_store
from statecast.stores.contract import Store
from statecast.stores.limits import Limits
from statecast.testing import oracle
from waiting import wait_for

STATECAST_JS = HERE.parent.parent / "src/statecast/web/static/statecast.js"
HOSTS = ("one", "two", "three")
PORT, DATABASE_PORT, PROXY_PORT = 8000, 5432, 5433
GROUPS = 5
FIELDS = 40
"""Messages about one device. Each sets a field of its own, so whichever is lost is missed."""
ACTIVE = 25
"""Devices that talk at the same time, so that each group of viewers always sees something move."""
BATCH = 10
VANISHED = 20.0
"""Seconds; a connection to a host that has vanished ends after 11 (address.DEFAULTS)."""
KEEPALIVES = {"time": "5", "intvl": "2", "probes": "3"}
"""Of the proxy's host, as docs/how-to/several-hosts.md sets them."""
LOOK = 0.05
"""Seconds between two looks for a commit."""
SETTLE = 60.0
"""Seconds after which viewers that do not show the store are a failure."""


@dataclass(frozen=True)
class Plan:
    """How much, how fast, how often."""

    messages: int
    per_second: int
    viewers: int
    every: float
    """Seconds from one fault to the next."""
    lasts: float
    """Seconds after which it is over."""
    faults: Sequence[str]
    """Their names, in this order and again."""


class Devices:
    """What the devices say: partial, late, out of order, now and then twice. All is remembered."""

    def __init__(self, url: str, plan: Plan, seed: int) -> None:
        self.url = url
        self.plan = plan
        self.random = random.Random(seed)
        self.sent: list[tuple[int, dict[str, Any]]] = []
        self.repeated = 0
        """Messages whose send failed, so that they were sent again: they may be there twice."""
        self._times = self.random.sample(range(1, 36_000_000), plan.messages)
        self._began = timestamps.now()

    def message(self, number: int) -> dict[str, Any]:
        """Its time is its own, and long past: no clock can make two orders of them."""
        part, place = divmod(number, ACTIVE * FIELDS)
        device = part * ACTIVE + place % ACTIVE
        at = self._began - self._times[number]
        shared = {self.random.choice("abc"): self.random.choice([None, 1, "x", {"deep": number}])}
        message: dict[str, Any] = {
            "device": f"group{device % GROUPS}/device{device}",
            "state": {f"own{place // ACTIVE}": number, **shared},
            "id": f"message {number}",
            "time": timestamps.iso(at),
        }
        self.sent.append((at, message))
        return message

    def run(self) -> None:
        """Say all of it, at an even pace."""
        store = open_store(self.url, Limits(), begin_epoch=False)
        queue = EmbeddedQueue(store)
        began = time.monotonic()
        for first in range(0, self.plan.messages, BATCH):
            numbers = range(first, min(first + BATCH, self.plan.messages))
            bodies = [strict_json.encode(self.message(number)) for number in numbers]
            if self.random.random() < 0.05:
                bodies.append(bodies[0])
            self.random.shuffle(bodies)
            self._send(queue, bodies)
            due = began + first / self.plan.per_second
            time.sleep(max(0.0, due - time.monotonic()))
        store.close()

    def _send(self, queue: EmbeddedQueue, bodies: list[bytes]) -> None:
        """As a device does it: until it was told that its message is durable."""
        while True:
            try:
                queue.send_many(bodies)
                return
            except StatecastError:
                self.repeated += len(bodies)
                time.sleep(0.1)

    def folded(self) -> dict[str, Any]:
        """The oracle: all messages by their time, merged by RFC 7396."""
        states: dict[str, Any] = {}
        for _, message in sorted(self.sent, key=lambda one: one[0]):
            before = states.get(message["device"])
            states[message["device"]] = oracle.merged(before, message["state"])
        return states


class CommitWatch:
    """How long the hosts together committed no state, asked beside the database.

    Viewers pause longer: those of a host that vanished wait until their client or proxy notices.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.head = 0
        self._moved = time.monotonic()
        self._pause = 0.0
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commits")

    def begin(self) -> None:
        """From now on the longest pause is measured."""
        with self._lock:
            self._moved, self._pause = time.monotonic(), 0.0

    @property
    def pause(self) -> float:
        """Seconds, the one that still lasts included."""
        with self._lock:
            return max(self._pause, time.monotonic() - self._moved)

    def _run(self) -> None:
        store = open_store(self.url, Limits(), begin_epoch=False)
        while not self._ending.wait(LOOK):
            try:
                head = store.read_position().offset
            except StatecastError:
                continue
            if head != self.head:
                self.head = head
                self._note(time.monotonic())
        store.close()

    def _note(self, now: float) -> None:
        with self._lock:
            self._pause = max(self._pause, now - self._moved)
            self._moved = now

    def __enter__(self) -> CommitWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()


class ServingHost:
    """``statecast run --workers 2`` on one host."""

    def __init__(self, host: Host, proxy: Host, store: str, folder: Path) -> None:
        self.host = host
        self.folder = folder / host.name
        self.folder.mkdir()
        self.log = self.folder / "log"
        self.command = [
            *(*host.prefix, str(PROGRAM), "run", "--store", store, "--workers", "2"),
            *("--host", host.address, "--port", str(PORT), "--allow-public"),
            *("--allow-hosts", proxy.address, "--trusted-proxy", proxy.address),
            *("--no-long-polling", "--connections-per-address", "100000"),
            *("--connect-rate-limit", "100000"),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def workers(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children()

    def kill(self) -> None:
        """All its processes at once, as when the host loses its power."""
        if self.process is not None:
            workers = self.workers
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            psutil.wait_procs(workers, SETTLE)
            self.process = None

    def stop(self) -> None:
        """As an update does it."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(40) == 143, self.log.read_text()[-3000:]
        self.process = None

    def is_ready(self) -> bool:
        """Whether it serves: asked on its own host."""
        asked = (
            "import urllib.request; "
            f"urllib.request.urlopen('http://{self.host.address}:{PORT}/readyz', timeout=5)"
        )
        command = [*self.host.prefix, sys.executable, "-c", asked]
        return subprocess.run(command, capture_output=True).returncode == 0


class Viewers:
    """The process with all viewers."""

    def __init__(self, process: subprocess.Popen[str], count: int) -> None:
        self.process = process
        self.count = count

    def ask(self, **wanted: Any) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        print(json.dumps(wanted), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def wait_for(self, states: dict[str, bytes]) -> tuple[float, dict[str, Any]]:
        """Until all show these states; after how many seconds, and their report."""
        began = time.monotonic()
        # The order of the fields says nothing.
        texts = {
            name: json.dumps(json.loads(state), sort_keys=True, separators=(",", ":"))
            for name, state in states.items()
        }
        while True:
            report = self.ask(report=True, states=texts)
            took = time.monotonic() - began
            if report["behind"] == 0 or took > SETTLE:
                return took, report
            time.sleep(0.2)


@dataclass
class Outcome:
    """What a fault did: seconds without a commit, and without movement over all viewers."""

    fault: str
    commits: float
    median: float
    longest: float

    def __str__(self) -> str:
        seconds = (self.commits, self.median, self.longest)
        return f"{self.fault:32}" + "".join(f"{one:8.2f} s" for one in seconds)


@dataclass
class Drill:
    """All that takes part."""

    plan: Plan
    servers: list[ServingHost]
    hosts: dict[str, Host]
    postgres: PostgresServer
    proxy: subprocess.Popen[str]
    viewers: Viewers
    devices: Devices
    commits: CommitWatch
    store_url: str
    random: random.Random
    outcomes: list[Outcome] = field(default_factory=list)

    def delay(self, host: Host, seconds: float) -> None:
        assert self.proxy.stdin and self.proxy.stdout
        wanted = {"peer": host.address, "delay": seconds}
        print(json.dumps(wanted), file=self.proxy.stdin, flush=True)
        self.proxy.stdout.readline()

    @property
    def workers(self) -> list[psutil.Process]:
        """Of all hosts: one that starts has none yet."""
        return [worker for server in self.servers for worker in server.workers]

    # The faults. Each begins at once, and ends when its function goes on after ``yield``.

    def worker_killed(self) -> Iterator[None]:
        self.random.choice(self.workers).kill()
        yield

    def worker_stands_still(self) -> Iterator[None]:
        chosen = self.random.choice(self.workers)
        chosen.suspend()
        yield
        chosen.resume()

    def host_killed(self) -> Iterator[None]:
        server = self.random.choice(self.servers)
        server.kill()
        yield
        server.start()

    def host_updated(self) -> Iterator[None]:
        server = self.random.choice(self.servers)
        server.stop()
        server.start()
        yield

    def database_crashes(self) -> Iterator[None]:
        self.postgres.kill()
        with self.hosts["database"].entered():
            self.postgres.start()
        yield

    def host_without_database(self) -> Iterator[None]:
        host = self.random.choice(self.servers).host
        host.cut_off(self.hosts["database"])
        yield
        host.heal()

    def host_without_network(self) -> Iterator[None]:
        host = self.random.choice(self.servers).host
        host.cut_off()
        yield
        host.heal()

    def host_vanished(self) -> Iterator[None]:
        """For longer than it takes the others to notice: they must not need it."""
        host = self.random.choice(self.servers).host
        host.cut_off()
        time.sleep(VANISHED)
        yield
        host.heal()

    def database_far_away(self) -> Iterator[None]:
        """Of the one host that reaches it through the proxy."""
        host = self.servers[-1].host
        self.delay(host, 0.1)
        yield
        self.delay(host, 0.0)

    # The run

    def run(self) -> None:
        talking = threading.Thread(target=self.devices.run, name="devices")
        talking.start()
        names = self.plan.faults
        turn = 0
        self._pass("nothing", iter([None]))
        while talking.is_alive():
            name = names[turn % len(names)]
            turn += 1
            self._pass(name, getattr(self, name)())
        talking.join()

    def _pass(self, name: str, fault: Iterator[None]) -> None:
        began = time.monotonic()
        self.viewers.ask(begin=True)
        self.commits.begin()
        next(fault)
        time.sleep(max(0.0, began + self.plan.lasts - time.monotonic()))
        next(fault, None)
        time.sleep(max(0.0, began + self.plan.every - time.monotonic()))
        report = self.viewers.ask(report=True)
        pauses = report["pauses"]
        outcome = Outcome(name, self.commits.pause, pauses[len(pauses) // 2], pauses[-1])
        self.outcomes.append(outcome)
        assert report["wrong"] == [], f"after {name}"

    def check(self) -> str:
        """What holds at the end; a report."""
        store = open_store(self.store_url, Limits(), begin_epoch=False)
        try:
            waited = drained(store)
            states = {one.device: one.state for one in store.devices() if one.state}
            assert {name: strict_json.decode(state) for name, state in states.items()} == (
                self.devices.folded()
            )
            assert list(store.quarantined(limit=10)) == []
        finally:
            store.close()
        took, report = self.viewers.wait_for(states)
        assert (report["differences"], report["wrong"]) == ([], [])
        assert report["joined"] == self.viewers.count
        heads = f"{'fault':32}{'commits':>8}  {'median':>8}  {'longest':>8}"
        lines = [f"{heads}  without a commit; of viewers, without movement"]
        lines += map(str, self.outcomes)
        lines.append(
            f"{len(self.devices.sent):,} messages of {len(states):,} devices, "
            f"{self.devices.repeated:,} sent again; the queue was empty after {waited:.1f} s, "
            f"{self.viewers.count} viewers equal {took:.1f} s later, {report['resets']} resets"
        )
        return "\n".join(lines)


FAST_FAULTS = (
    "worker_killed",
    "database_crashes",
    "host_killed",
    "host_without_database",
    "worker_stands_still",
    "host_updated",
    "database_far_away",
    "host_without_network",
)
FAULTS = (*FAST_FAULTS, "host_vanished")


def drained(store: Store) -> float:
    """Wait until the queue is empty; for how many seconds. The test's time limit ends it."""
    queue = EmbeddedQueue(store)
    began = time.monotonic()
    while queue.waiting():
        store.wait(0.2)
    return time.monotonic() - began


def site(hosts: Sequence[ServingHost], address: str) -> str:
    """The file of ``contrib`` for several hosts, for these."""
    text = nginx_server.SEVERAL_HOSTS.read_text()
    lines = "\n".join(f"    server {one.host.address}:{PORT} max_fails=0;" for one in hosts)
    first, _, rest = text.partition("    server statecast-1:8000 max_fails=0;\n")
    assert rest
    text = first + lines + rest.partition("    server statecast-2:8000 max_fails=0;")[2]
    assert "listen 80;" in text and "statecast-" not in text
    return text.replace("listen 80;", f"listen {address}:80;")


@contextmanager
def prepared(
    plan: Plan, folder: Path, nginx: str, node: Any, postgres: PostgresServer, seed: int
) -> Iterator[Drill]:
    """Everything is up, and all viewers have joined."""
    with ExitStack() as stack:
        names = ("database", "proxy", "clients", *HOSTS)
        made = stack.enter_context(namespaces.made(names))
        hosts = dict(zip(names, made))
        database, front = hosts["database"], hosts["proxy"]
        with database.entered():
            postgres.start()
        stack.callback(postgres.kill)
        name = postgres.create()
        url = postgres.url(name)
        open_store(url, Limits()).close()
        socket = postgres.folder / f".s.PGSQL.{DATABASE_PORT}"
        command = [sys.executable, str(HERE / "latency_proxy.py"), database.address]
        proxy = stack.enter_context(
            started(
                [*database.prefix, *command, str(PROXY_PORT), str(socket)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert proxy.stdout and proxy.stdout.readline() == "\n"
        ports = (DATABASE_PORT, DATABASE_PORT, PROXY_PORT)
        servers = [
            ServingHost(
                hosts[one],
                front,
                f"postgresql://statecast@{database.address}:{port}/{name}",
                folder,
            )
            for one, port in zip(HOSTS, ports)
        ]
        for server in servers:
            stack.callback(server.kill)
            server.start()
        wait_to_begin(lambda: all(server.is_ready() for server in servers), servers)
        for name, value in KEEPALIVES.items():
            front.run(f"tee /proc/sys/net/ipv4/tcp_keepalive_{name}", value)
        (folder / "nginx").mkdir()
        stack.enter_context(
            nginx_server.serving(
                nginx, folder / "nginx", site(servers, front.address), front.prefix, 4096
            )
        )
        viewers = stack.enter_context(
            started(
                [
                    *(*hosts["clients"].prefix, node.program, HERE / "drill_viewers.mjs"),
                    *(f"http://{front.address}", str(plan.viewers), STATECAST_JS.as_uri()),
                ],
                env=node.variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        watching = Viewers(viewers, plan.viewers)
        wait_to_begin(lambda: watching.ask(report=True)["joined"] == plan.viewers, servers)
        yield Drill(
            plan,
            servers,
            hosts,
            postgres,
            proxy,
            watching,
            Devices(url, plan, seed),
            stack.enter_context(CommitWatch(url)),
            url,
            random.Random(seed),
        )


def wait_to_begin(holds: Callable[[], bool], servers: Sequence[ServingHost]) -> None:
    def why() -> str:
        logs = "\n".join(server.log.read_text()[-2000:] for server in servers)
        return f"the drill could not begin:\n{logs}"

    wait_for(holds, why, seconds=SETTLE)
