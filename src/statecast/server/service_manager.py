"""Reports to the service manager: ready, alive, stopping. The protocol is systemd's sd_notify(3).

With ``Type=notify`` systemd starts what depends on us only when we are ready, and restarts us when
we are silent for longer than ``WatchdogSec``. Without ``$NOTIFY_SOCKET`` nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, MutableMapping

from statecast.model import value_class

SEND_TIMEOUT = 0.2
"""Seconds. The loop sends; a manager that does not read must not hold it."""


@value_class
class Watchdog:
    """Expects a call of ``feed`` every ``interval`` seconds; two that are missed are too many."""

    interval: float
    feed: Callable[[], None]


@value_class
class ServiceManager:
    """The process that started us, if it takes reports. An error in sending one is ignored."""

    address: str = ""
    """The path of a Unix datagram socket; ``@`` stands for a name in Linux's abstract namespace."""
    watchdog_seconds: float = 0.0
    """Silence for so long means that we hang; 0: no watchdog."""

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1\nSTATUS=Stopping")

    @property
    def watchdog(self) -> Watchdog | None:
        """The manager's manual advises half of the time that it allows."""
        return Watchdog(self.watchdog_seconds / 2, self.alive) if self.watchdog_seconds else None

    def _send(self, message: str) -> None:
        if not self.address:
            return
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.settimeout(SEND_TIMEOUT)
            sender.sendto(message.encode(), address)


def from_environment(environ: MutableMapping[str, str] = os.environ) -> ServiceManager:
    """Our manager. Takes its variables away: what we start does not report in our name."""
    address = environ.pop("NOTIFY_SOCKET", "")
    microseconds = environ.pop("WATCHDOG_USEC", "")
    process = environ.pop("WATCHDOG_PID", "") or str(os.getpid())
    if not address.startswith(("/", "@")):
        return ServiceManager()
    watched = microseconds.isdecimal() and process == str(os.getpid())
    return ServiceManager(address, int(microseconds) / 1e6 if watched else 0.0)
