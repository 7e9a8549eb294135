"""Azurite, Microsoft's stand-in for the storage service, as a process of a test's own.

No telemetry, no files.
"""

from __future__ import annotations

import queue
import socket
import subprocess
import threading
from pathlib import Path

KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
CLOCK = Path(__file__).resolve().parent / "azurite" / "clock.js"
SHORT = 30.0
"""Seconds after which a test gives up; nothing takes that long."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Azurite:
    """With a folder it keeps its queues there over ``stop`` and ``start``; else in memory.

    With a certificate it speaks TLS and takes tokens, whose signature it does not check.
    """

    def __init__(
        self,
        program: list[str | Path],
        folder: Path | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.program = program
        self.folder = folder
        self.certificate = certificate
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None
        self._said: queue.Queue[str] = queue.Queue()

    @property
    def address(self) -> str:
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{self.port}/devstoreaccount1"

    @property
    def connection(self) -> str:
        return (
            "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
            f"AccountKey={KEY};QueueEndpoint={self.address};"
        )

    def start(self) -> None:
        """Returns when it accepts connections."""
        node, main = self.program
        where = ["--location", str(self.folder)] if self.folder else ["--inMemoryPersistence"]
        options = ["--queueHost", "127.0.0.1", "--queuePort", str(self.port), "--disableTelemetry"]
        if self.certificate is not None:
            options += [
                "--cert",
                str(self.certificate[0]),
                "--key",
                str(self.certificate[1]),
                "--oauth",
                "basic",
            ]
        self.process = subprocess.Popen(
            [node, "--require", CLOCK, main, *options, "--skipApiVersionCheck", *where],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        while "successfully listen" not in self._said.get(timeout=SHORT):
            pass

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        while line := process.stdout.readline():
            if "GET /" not in line and "POST /" not in line:  # its log of requests
                self._said.put(line.strip())

    def advance(self, seconds: float) -> None:
        """Let its time pass."""
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        while self._said.get(timeout=SHORT) != "moved":
            pass

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            assert process.stdin is not None and process.stdout is not None
            process.terminate()
            process.stdin.close()  # which the clock reads
            process.wait(SHORT)
            self._reader.join(SHORT)
            process.stdout.close()
