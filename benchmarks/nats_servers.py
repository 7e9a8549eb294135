"""Three NATS servers with JetStream, and a leaf node with a JetStream of its own, on loopback.

Each server is a process with a folder of its own, so it can be killed and started again.
"""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.processes import BenchmarkError, cpu_of

HUB, EDGE = "hub", "edge"
"""The domains of JetStream: streams of one are seen from the other by this name."""
NODES = 3
START_SECONDS = 10.0

HUB_FILE = """
server_name: {name}
listen: "127.0.0.1:{client}"
http: "127.0.0.1:{monitor}"
jetstream {{ store_dir: "{folder}", domain: {domain}, max_mem: 256M, max_file: 4G }}
cluster {{ name: {domain}, listen: "127.0.0.1:{cluster}", routes: [{routes}] }}
leafnodes {{ listen: "127.0.0.1:{leaf}" }}
"""
LEAF_FILE = """
server_name: {name}
listen: "127.0.0.1:{client}"
http: "127.0.0.1:{monitor}"
jetstream {{ store_dir: "{folder}", domain: {domain}, max_mem: 256M, max_file: 4G }}
leafnodes {{ reconnect: 1, remotes: [{{ urls: [{remotes}] }}] }}
"""


class NatsServer:
    """One server: its addresses, and its process while it runs."""

    def __init__(self, program: str, name: str, domain: str, folder: Path) -> None:
        self.program = program
        self.name = name
        self.domain = domain
        self.folder = folder / name
        self.folder.mkdir()
        self.client, self.monitor, self.cluster, self.leaf = free_ports(4)
        self.process: psutil.Popen | None = None
        self._cpu_before = 0.0
        """Seconds of CPU of the processes that were killed."""

    @property
    def address(self) -> str:
        return f"nats://127.0.0.1:{self.client}"

    def configure(self, template: str, **more: str) -> None:
        text = template.format(**vars(self), **more)
        (self.folder / "nats.conf").write_text(text)

    def start(self) -> None:
        """Returns when it accepts clients."""
        with (self.folder / "log").open("ab") as log:
            self.process = psutil.Popen(
                [self.program, "-c", str(self.folder / "nats.conf")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.client), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise BenchmarkError(f"{self.name} did not start; its log is in {self.folder}/log.")

    def kill(self) -> None:
        """As a crash would: it writes nothing more."""
        if self.process is not None:
            self._cpu_before = self.cpu_seconds()
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def cpu_seconds(self) -> float:
        if self.process is None:
            return self._cpu_before
        return self._cpu_before + cpu_of(self.process.pid)

    def resident_megabytes(self) -> float:
        return 0.0 if self.process is None else self.process.memory_info().rss / 1e6


class NatsNetwork:
    """The three servers of the hub, and the leaf node at the edge."""

    def __init__(self, program: str, folder: Path) -> None:
        self.hub = [NatsServer(program, f"hub{n}", HUB, folder) for n in range(NODES)]
        self.edge = NatsServer(program, "edge", EDGE, folder)
        routes = addresses("nats-route", (one.cluster for one in self.hub))
        for one in self.hub:
            one.configure(HUB_FILE, routes=routes)
        remotes = addresses("nats-leaf", (one.leaf for one in self.hub))
        self.edge.configure(LEAF_FILE, remotes=remotes)

    @property
    def servers(self) -> list[NatsServer]:
        return [*self.hub, self.edge]

    def named(self, name: str) -> NatsServer:
        return next(one for one in self.servers if one.name == name)


def addresses(scheme: str, ports: Iterator[int]) -> str:
    return ", ".join(f'"{scheme}://127.0.0.1:{port}"' for port in ports)


def free_ports(count: int) -> Sequence[int]:
    probes = [socket.socket() for _ in range(count)]
    for one in probes:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in probes]
    for one in probes:
        one.close()
    return ports


@contextmanager
def running() -> Iterator[NatsNetwork]:
    """All four, until the end of the block. Raises BenchmarkError."""
    program = shutil.which("nats-server") or shutil.which("/usr/sbin/nats-server")
    if program is None:
        raise BenchmarkError("It needs nats-server: `apt-get install nats-server` on Debian.")
    with tempfile.TemporaryDirectory(prefix="statecast-feed-") as folder:
        network = NatsNetwork(program, Path(folder))
        try:
            for one in network.servers:
                one.start()
            yield network
        finally:
            for one in network.servers:
                one.kill()
