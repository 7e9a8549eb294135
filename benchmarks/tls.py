"""What TLS costs: connects, deliveries and memory, with and without it.

One certificate of its own (ECDSA, P-256), and each connection with a whole handshake. The viewers
shake hands one after the other, so a rate of connects says as much of them as of the server: what
counts is the CPU time of the server.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import deliveries, processes, servers
from benchmarks.processes import BenchmarkError, Process
from benchmarks.report import Row

PLAIN, TLS = "without TLS", "with TLS"
EVENTS, PAUSE = 50, 0.02


@dataclass
class Measured:
    """The turns of one server."""

    connects: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    deliveries: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def rows(quick: bool) -> list[Row]:
    viewers, turns = (100, 1) if quick else (500, 5)
    found = {name: Measured() for name in (PLAIN, TLS)}
    with ExitStack() as stack:
        generator = stack.enter_context(servers.generator())
        folder = stack.enter_context(servers.scratch())
        files = certificate(folder)
        for _ in range(turns):
            for name, measured in found.items():
                measure(generator, folder, files if name == TLS else (), viewers, measured)
    return summary(found, viewers)


def certificate(folder: Path) -> tuple[str, ...]:
    """The files of a certificate for 127.0.0.1 and its key."""
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError("openssl makes the certificate, and it is not here") from error
    return cert, key


def measure(
    generator: Process, folder: Path, files: tuple[str, ...], viewers: int, measured: Measured
) -> None:
    url = f"sqlite:///{folder}/benchmark.db"
    options = ("tls", *files) if files else ()
    with processes.python("benchmarks.peers.ours", url, *options) as server:
        port, trusted = server.receive(30)["port"], files[0] if files else ""
        given = {"port": port, "certificate": trusted}
        try:
            generator.ask(120, do="connect", group="warm", viewers=50, **given)
            time.sleep(0.5)
            before, used = server.memory(), server.cpu()
            took = generator.ask(120, do="connect", group="many", viewers=viewers, **given)
            measured.connects.append((server.cpu() - used) / viewers * 1e6)
            measured.rates.append(viewers / took["seconds"])
            time.sleep(0.5)
            measured.memory.append((server.memory() - before) / viewers / 1024)
            measured.deliveries.append(delivery(generator, server, viewers))
        finally:
            generator.ask(do="close", group="many")
            generator.ask(do="close", group="warm")


def delivery(generator: Process, server: Process, viewers: int) -> float:
    """Microseconds of the server's CPU time per delivery of a paced event."""

    def emit() -> None:
        event = {"device": "pillow", "mood": "calm"}
        server.send(do="emit", rounds=EVENTS, pause=PAUSE, data=event)
        time.sleep(EVENTS * PAUSE)

    found = deliveries.of_changes(generator, server, "many", viewers, EVENTS, emit, least=1.0)
    return found.cpu / EVENTS / (viewers + 50) * 1e6


def summary(found: dict[str, Measured], viewers: int) -> list[Row]:
    rows = []
    for name, one in found.items():
        what = f"TLS: connects, {viewers} viewers one after the other, {name}"
        note = f"{sum(one.rates) / len(one.rates):.0f} a second"
        rows.append(Row.of(what, one.connects, "µs of CPU each", note=note))
    for name, one in found.items():
        what = f"TLS: an event to {viewers} viewers, paced, {name}"
        rows.append(Row.of(what, one.deliveries, "µs of CPU per delivery"))
    for name, one in found.items():
        rows.append(Row.of(f"TLS: memory per idle viewer, {name}", one.memory, "KB"))
    return rows
