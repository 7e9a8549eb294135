"""What the serving processes of one store say of each other, exchanged every few seconds.

The exchange is a write into the store, so it is also the proof that the store can be written. It
has a thread of its own: a store that hangs must delay neither changes nor the ``health`` event.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from statecast.errors import STORE_FAILURES, StatecastError
from statecast.problems import STORE, Problems
from statecast.stores.contract import Store
from statecast.stores.limits import Sizes
from statecast.stores.open_commands import OpenCommands
from statecast.stores.totals import Totals

INTERVAL = 2.0
"""Seconds between two exchanges."""

log = logging.getLogger(__name__)


class ProcessReports:
    """Announces the report of this process, and keeps the newest of the others."""

    def __init__(
        self,
        store: Callable[[], Store],
        report: Callable[[], Mapping[str, Any]],
        problems: Problems,
        exchanged: Callable[[], None] = lambda: None,
        resumed_at: Callable[[], float] = lambda: float("-inf"),
    ) -> None:
        """``store`` opens the store; ``report`` gives what this process announces.

        ``exchanged`` is called after each exchange that succeeded. ``resumed_at`` says when this
        process last went on after it did not run (monotonic).
        """
        self.process = uuid.uuid4().hex
        """The id of this process among those of the store."""
        self.reports: dict[str, dict[str, Any]] = {}
        """The newest report of each process, by its id."""
        self.totals: Mapping[str, Totals] = {}
        self.sizes = Sizes()
        self.quarantined = 0
        """Messages in quarantine."""
        self.open_commands = OpenCommands()
        self._store = store
        self._report = report
        self._problems = problems
        self._exchanged = exchanged
        self._resumed_at = resumed_at
        self._began: float | None = None
        """When the exchange that runs began, by ``time.monotonic``."""
        self._stopped = False
        self._soon = threading.Event()
        """Ends the pause between two exchanges."""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="process-reports", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, and take the report back: a process that has stopped is not shown as serving."""
        self._stopped = True
        self._soon.set()
        if self._thread is not None:
            self._thread.join(5)
            with suppress(StatecastError):
                self._store().withdraw(self.process)

    def exchange_soon(self) -> None:
        """Do not wait for the next exchange: what this process announces has changed."""
        self._soon.set()

    def forget(self, process: str) -> None:
        """A process has ended: do not wait until its report is old."""
        self.reports = {name: one for name, one in self.reports.items() if name != process}

    @property
    def others(self) -> dict[str, dict[str, Any]]:
        """The reports of the other processes."""
        return {name: one for name, one in self.reports.items() if name != self.process}

    @property
    def store_waits(self) -> float:
        """For how many seconds the store has not answered the exchange that runs; 0: none runs."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - max(began, self._resumed_at())

    def exchange(self) -> None:
        """Announce and read once. A failure is a problem of the store, until a write succeeds."""
        self._began = time.monotonic()
        try:
            self._exchange(self._store())
            self._exchanged()
        except StatecastError as error:
            self._problems.store_failed(error)
        finally:
            self._began = None

    def _exchange(self, store: Store) -> None:
        (
            self.reports,
            self.totals,
            self.quarantined,
            self.open_commands,
            self.sizes,
        ) = store.exchange(self.process, self._report())
        if self.open_commands.number and store.pass_deadlines():
            self.open_commands = store.open_commands(limit=1)
        failed = {one.kind for one in self._problems.current() if one.subject == STORE}
        if failed.intersection(STORE_FAILURES):
            # The announcement is small, and not forced to disk. It may succeed on a full disk.
            store.probe()
            self._problems.store_works()

    def _run(self) -> None:
        while True:
            try:
                self.exchange()
            except Exception:  # a defect of ours; without reports every process would look dead
                log.exception("the report of this process could not be announced; trying again")
            self._soon.wait(INTERVAL)
            self._soon.clear()
            if self._stopped:
                return
