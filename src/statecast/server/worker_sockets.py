"""What a serving process inherits from its parent, where there are several; see ``supervisor``."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from statecast.model import value_class
from statecast.server.service_manager import Watchdog

if TYPE_CHECKING:
    from statecast.server.worker_link import WorkerLink

VARIABLE = "_STATECAST_WORKER"


@value_class
class WorkerSockets:
    """What a worker inherits from its parent."""

    listening: socket.socket
    line: socket.socket
    """To the parent."""
    watchdog_interval: float = 0.0
    """Seconds between two reports on the line; 0: none are expected."""
    link: WorkerLink | None = None
    """To the other workers; None where no folder for their sockets could be made."""

    def ready(self) -> None:
        self.line.sendall(b"ready\n")

    def alive(self) -> None:
        with contextlib.suppress(OSError):  # a parent that does not read stops nothing here
            self.line.send(b"alive\n", socket.MSG_DONTWAIT)

    @property
    def watchdog(self) -> Watchdog | None:
        return Watchdog(self.watchdog_interval, self.alive) if self.watchdog_interval else None

    def stop_with_parent(self) -> None:
        threading.Thread(target=self._watch, name="parent", daemon=True).start()

    def _watch(self) -> None:
        try:
            while self.line.recv(64):
                pass
        except OSError:
            pass
        os.kill(os.getpid(), signal.SIGTERM)


def from_environment() -> WorkerSockets | None:
    """Our sockets, if a parent started us."""
    value = os.environ.pop(VARIABLE, None)  # what we start has no parent of that kind
    if value is None:
        return None
    interval, listening, line, *more = value.split(":", 5)
    link = None
    if more:
        from statecast.server.worker_link import WorkerLink  # most servers are one process

        requests, connections, path = more
        link = WorkerLink(Path(path), _inherited(requests), _inherited(connections))
    return WorkerSockets(_inherited(listening), _inherited(line), float(interval), link)


def _inherited(descriptor: str) -> socket.socket:
    """The socket; what this process starts does not inherit it."""
    os.set_inheritable(int(descriptor), False)
    return socket.socket(fileno=int(descriptor))
