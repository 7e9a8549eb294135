"""Starts the servers to be measured, Statecast among them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import client_frames, processes
from benchmarks.processes import ROOT, BenchmarkError, Process
from benchmarks.report import Row
from tools import javascript

OURS = "Statecast"
PYTHON_SOCKETIO = "python-socketio on uvicorn"
FLASK_SOCKETIO = "Flask-SocketIO with gevent"
FLASK_THREADING = "Flask-SocketIO with threads"
OURS_SOCKETIO = "statecast.socketio"
NODE = "Socket.IO on Node"
LOOP = "a loop of send()"
NCHAN = "nchan in nginx"
NATS = "nats-server"
PEERS = ROOT / "benchmarks" / "peers"
HEAD_BYTES = 4
"""Of a frame of this size."""
BUSY = 0.9
"""Share of its time from which a process with viewers is called the bottleneck."""
FRAME_BYTES = client_frames.PACKET_BYTES + HEAD_BYTES


busiest: list[float] = []
"""What each generator said at its end: its busiest half second, as a share of it."""


@dataclass
class Server:
    """A running server. ``raw``: it accepts connections without a handshake."""

    process: Process
    port: int
    raw: bool = False
    opening: list[list[str]] | None = None
    """What a viewer sends and waits for, where it does not speak Socket.IO."""
    packet_bytes: int = client_frames.PACKET_BYTES
    """Of an event, in a frame with a head of four bytes."""
    merges: bool = False
    """Several events of a burst may share a frame."""


def ours(folder: Path) -> Process:
    return processes.python("benchmarks.peers.ours", f"sqlite:///{folder}/benchmark.db")


def python_socketio(folder: Path) -> Process:
    return processes.python("benchmarks.peers.python_socketio")


def flask_socketio(folder: Path) -> Process:
    return processes.python("benchmarks.peers.flask_socketio_gevent")


def flask_threading(folder: Path) -> Process:
    return processes.python("benchmarks.peers.flask_socketio_threading")


def ours_socketio(folder: Path) -> Process:
    return processes.python("benchmarks.peers.ours_socketio", f"sqlite:///{folder}/benchmark.db")


def node(folder: Path) -> Process:
    program = javascript.find(ROOT, javascript.BENCHMARKS)
    if program is None:
        raise BenchmarkError(
            "Node or its package socket.io is not here; `make bench` installs them"
        )
    modules = {"NODE_PATH": str(javascript.modules(ROOT, javascript.BENCHMARKS))}
    return Process(NODE, [program, str(PEERS / "node.js")], modules)


def nchan(folder: Path) -> Process:
    return processes.python("benchmarks.peers.nchan", str(folder))


def nats(folder: Path) -> Process:
    return processes.python("benchmarks.peers.nats", str(folder))


def loop(folder: Path) -> Process:
    """The theoretical limit: in C if there is a compiler, else in Python, slightly slower."""
    found = compiler()
    if found is None:
        return processes.python("benchmarks.peers.loop", str(FRAME_BYTES))
    program = folder / "loop"
    subprocess.run([found, "-O2", "-o", program, PEERS / "loop.c"], check=True)
    return Process(LOOP, [str(program), str(FRAME_BYTES)])


def compiler() -> str | None:
    return shutil.which("cc")


def loop_language() -> str:
    return "C" if compiler() else "Python: there is no C compiler"


STARTERS: dict[str, Callable[[Path], Process]] = {
    OURS: ours,
    LOOP: loop,
    NODE: node,
    PYTHON_SOCKETIO: python_socketio,
    FLASK_SOCKETIO: flask_socketio,
    FLASK_THREADING: flask_threading,
    OURS_SOCKETIO: ours_socketio,
    NCHAN: nchan,
    NATS: nats,
}
FANNING_OUT = (OURS, LOOP, NODE, PYTHON_SOCKETIO, FLASK_SOCKETIO, NCHAN, NATS)
EMITTING = (OURS, OURS_SOCKETIO, FLASK_SOCKETIO, FLASK_THREADING)
"""The servers of two benchmarks."""


@contextmanager
def serving(name: str, folder: Path) -> Iterator[Server]:
    """Start a server. Raises BenchmarkError."""
    with STARTERS[name](folder) as process:
        said = process.receive(30)
        process.counted = said.get("pids", process.counted)
        yield Server(
            process,
            said["port"],
            name == LOOP,
            said.get("opening"),
            said.get("packet_bytes", client_frames.PACKET_BYTES),
            name == NATS,
        )


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the disk of the clone. /tmp may be in memory, where an fsync costs nothing."""
    (ROOT / ".tools").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".tools", prefix="bench-") as folder:
        yield Path(folder)


@contextmanager
def generator() -> Iterator[Process]:
    """Viewers in a process of their own, which notes how busy it was."""
    with processes.python("benchmarks.generator") as process:
        yield process
        busiest.append(process.ask(do="busiest")["share"])


def generator_load(part: str) -> list[Row]:
    """How busy the generators were since the last call, where there were some."""
    if not busiest:
        return []
    share = max(busiest)
    busiest.clear()
    note = "they were the bottleneck" if share > BUSY else ""
    return [Row(f"{part}: the viewers' busiest half second", share * 100, "% of it", note=note)]
