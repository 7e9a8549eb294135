"""Several serving processes on one port, and the parent that starts and restarts them.

The parent listens on the port. Each worker is this program once more, with the same arguments: a
fresh process and not a fork, so threads that the application starts exist in it. Four sockets are
inherited, whose descriptors stand in the environment: the listening one, a line to the parent, and
two on which other workers reach it (``worker_link``). On the line the worker reports ``ready``, and
``alive`` at intervals if a service manager watches us. When the line breaks, the parent is dead,
and the worker stops.

Workers have process groups of their own: Ctrl-C reaches the parent, which passes it on once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from statecast.server import sockets
from statecast.server.service_manager import ServiceManager
from statecast.server.shutdown import ShutdownSignals
from statecast.server.signal_wakeup import SignalWakeup
from statecast.server.worker_link import WorkerFolder, WorkerLink
from statecast.server.worker_sockets import VARIABLE
from statecast.settings import Settings

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
STEADY = 30.0
"""Seconds after which a process counts as healthy: the next pause is short again."""
GRACE = 5.5
"""Seconds beyond the drain after which a process that does not stop is killed."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Worker:
    """One of the N workers, and the process that is it now. Times are those of time.monotonic."""

    process: subprocess.Popen[bytes] | None = None
    """None between the end of one process and the start of the next."""
    line: socket.socket | None = None
    """To the process."""
    worker_id: str | None = None
    """By which other workers reach it."""
    ready: bool = False
    """The process accepts connections."""
    started_at: float = 0.0
    heard_at: float = 0.0
    """When the process last reported."""
    pause: float = FIRST_PAUSE
    """Seconds between its end and the start of the next one."""
    due: float = 0.0
    """When the next one is started."""


@dataclass
class Supervisor:
    """The parent of the workers."""

    settings: Settings
    announce: Callable[[str], None]
    command: list[str] = field(default_factory=lambda: [sys.executable, *sys.orig_argv[1:]])
    manager: ServiceManager = field(default_factory=ServiceManager)

    def run(self) -> int:
        self.listening = sockets.listen(self.settings)
        self.folder = make_folder()
        self.workers = [Worker() for _ in range(self.settings.workers)]
        self.announced = False
        self.failure: int | None = None
        self.watchdog = self.manager.watchdog
        self.fed_at = 0.0
        limit = self.settings.shutdown_timeout + GRACE
        try:
            with (
                SignalWakeup() as self.signalled,
                ShutdownSignals(self.manager.stopping, limit, self._end) as signals,
            ):
                while signals.status is None and self.failure is None:
                    self.look()
                    if self.failure is None:
                        self.wait()
                self._stop((signals.status or 128 + signal.SIGTERM) - 128, limit)
                return signals.status or self.failure or 0
        finally:
            self._end()
            self.listening.close()

    def look(self) -> None:
        """Start what is due, notice what has ended, feed the watchdog."""
        now = time.monotonic()
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is not None:
                self.on_exit(worker, worker.process.returncode)
            elif worker.process is None and now >= worker.due:
                self._start(worker)
        self._feed(time.monotonic())

    def _feed(self, now: float) -> None:
        """Feed the watchdog unless a worker hangs. One that has ended is no worker that hangs."""
        if (
            self.watchdog is None
            or not self.announced
            or now < self.fed_at + self.watchdog.interval
        ):
            return
        serving = [worker for worker in self.workers if worker.process and worker.ready]
        if all(now - worker.heard_at <= self.watchdog.interval for worker in serving):
            self.fed_at = now
            self.watchdog.feed()

    def _start(self, worker: Worker) -> None:
        ours, theirs = socket.socketpair()
        # Twice as often as the manager expects us: one that is late is no alarm yet.
        interval = 0.0 if self.watchdog is None else self.watchdog.interval / 2
        with contextlib.ExitStack() as inherited:
            shared = [self.listening, inherited.enter_context(theirs)]
            link = self._link(worker)
            if link is not None:
                shared += map(inherited.enter_context, (link.requests, link.connections))
            descriptors = [one.fileno() for one in shared]
            value = (interval, *descriptors, *([link.path] if link is not None else []))
            worker.process = subprocess.Popen(  # noqa: S603 - this program itself
                self.command,
                env=os.environ | {VARIABLE: ":".join(map(str, value))},
                pass_fds=descriptors,
                process_group=0,
            )
        worker.line, worker.ready, worker.started_at = ours, False, time.monotonic()

    def _link(self, worker: Worker) -> WorkerLink | None:
        """The sockets on which other workers reach it; without them, it refuses long polling."""
        if self.folder is None:
            return None
        try:
            link = self.folder.add()
        except OSError as error:
            log.warning("a serving process refuses long polling: %s", error.strerror or error)
            return None
        worker.worker_id = link.worker_id
        return link

    def on_exit(self, worker: Worker, code: int) -> None:
        """Schedule the next process, unless none was ever ready: it would fail as this one did."""
        status = 128 - code if code < 0 else code
        self._forget(worker)
        if not self.announced and not worker.ready:
            self.failure = status or 1
            return
        lasted = time.monotonic() - worker.started_at
        worker.pause = FIRST_PAUSE if lasted > STEADY else min(worker.pause * 2, LONGEST_PAUSE)
        worker.due = time.monotonic() + worker.pause
        log.warning(
            "a serving process ended with status %d; another starts in %.1f s", status, worker.pause
        )

    def _forget(self, worker: Worker) -> None:
        worker.process = None
        if worker.line is not None:
            worker.line.close()
            worker.line = None
        if self.folder is not None and worker.worker_id is not None:
            self.folder.forget(worker.worker_id)
            worker.worker_id = None

    def wait(self) -> None:
        """Return at a signal, that of a worker's end among them, at a report, or when one is due.

        Reads what the workers report.
        """
        lines = {worker.line: worker for worker in self.workers if worker.line is not None}
        readable, _, _ = select.select([self.signalled.socket, *lines], [], [], self._until_due())
        self.signalled.clear()
        for line in readable:
            if line is self.signalled.socket:
                continue
            if line.recv(64):
                lines[line].ready = True
                lines[line].heard_at = time.monotonic()
            else:  # it ends, which is a signal of its own
                line.close()
                lines[line].line = None
        if not self.announced and all(worker.ready for worker in self.workers):
            self.announced = True
            address = sockets.address_of(self.listening, bool(self.settings.tls_cert))
            self.manager.ready(f"Serving at {address}")
            sockets.announce(self.listening, self.announce, self.settings)

    def _until_due(self) -> float | None:
        """Seconds until something is to be done; None: only a worker or a signal calls for it."""
        now = time.monotonic()
        waits = [max(0.0, one.due - now) for one in self.workers if one.process is None]
        if self.watchdog is not None:
            waits.append(self.watchdog.interval / 4)
        return min(waits, default=None)

    def _stop(self, number: int, limit: float) -> None:
        """Pass the signal on and wait. Workers that do not stop in time are killed.

        They close their copies of the socket. Ours too, else clients would wait for an accept.
        """
        self.listening.close()
        running = [worker.process for worker in self.workers if worker.process is not None]
        for process in running:
            if process.poll() is None:
                process.send_signal(number)
        deadline = time.monotonic() + limit - 0.5
        while time.monotonic() < deadline and any(process.poll() is None for process in running):
            time.sleep(0.02)

    def _end(self) -> None:
        """Leave nothing behind. Also called by the second signal, after which the process exits."""
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
        if self.folder is not None:
            self.folder.close()


def make_folder() -> WorkerFolder | None:
    """The folder for the sockets between the workers; None, with a warning, if it cannot be."""
    try:
        return WorkerFolder()
    except OSError as error:
        log.warning(
            "long polling is off: the folder for the sockets between the serving processes cannot "
            "be made (%s); name one that can be written in TMPDIR, with a short path",
            error.strerror or error,
        )
        return None


def supervise(settings: Settings, announce: Callable[[str], None], manager: ServiceManager) -> int:
    """Serve with ``settings.workers`` processes until a signal; the exit status."""
    return Supervisor(settings, announce, manager=manager).run()
