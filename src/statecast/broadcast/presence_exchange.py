"""Passes what the viewers of this process watch to the other serving processes, and looks which of
those have ended.

What others watch comes back with the changes of the store. The thread waits for the store, so the
loop never does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from statecast.broadcast.presence import PartsToWrite
from statecast.errors import StatecastError
from statecast.problems import Problems
from statecast.stores.contract import Store

INTERVAL = 0.5
"""Seconds between two looks at the locks of the other processes."""
ALONE_INTERVAL = 2.0
"""The same while none is known. Each announces itself every 2 s."""
KIND, SUBJECT = "presence-partial", "viewers"

log = logging.getLogger(__name__)


class PresenceExchange:
    """The thread of one serving process."""

    def __init__(
        self,
        store: Callable[[], Store],
        process: str,
        to_write: PartsToWrite,
        on_ended: Callable[[str], None],
        problems: Problems,
        has_others: Callable[[], bool] = lambda: True,
    ) -> None:
        """``store`` opens the store. ``on_ended`` is called when a process has ended, maybe more
        than once. ``has_others``: whether other processes are known.
        """
        self._store = store
        self._process = process
        self._to_write = to_write
        self._on_ended = on_ended
        self._problems = problems
        self._has_others = has_others
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._to_write.wake()
        if self._thread is not None:
            self._thread.join(5)

    def exchange(self) -> None:
        """Write what has changed, and look for processes that have ended.

        A store that fails is the problem of ``ProcessReports``; here it is tried again.
        """
        parts = self._to_write.take()
        try:
            if parts:
                self._store().count_watching(self._process, parts)
        except StatecastError:
            self._to_write.put_back(parts)
        try:
            self._remove_ended(self._store())
        except StatecastError as error:
            log.debug("what an ended process left was not removed yet: %s", error)
        self._report_left_out()

    def _remove_ended(self, store: Store) -> None:
        for process in store.ended_processes():
            self._on_ended(process)  # first, because a full disk may keep its rows
            store.withdraw(process)

    def _report_left_out(self) -> None:
        left_out = sum(self._to_write.left_out.values())
        if not left_out:
            self._problems.clear(KIND, SUBJECT)
            return
        self._problems.report(
            KIND,
            SUBJECT,
            "The numbers of viewers are too low: one process has more different devices and rooms "
            "that are watched than it can tell the others.",
            severity="notice",
            detail=f"{left_out} with the fewest viewers are left out",
        )

    def _run(self) -> None:
        while True:
            try:
                self.exchange()
            except Exception:  # a defect of ours; without this thread ghosts would stay
                log.exception("the counts of viewers could not be exchanged; trying again")
            self._to_write.wait(INTERVAL if self._has_others() else ALONE_INTERVAL)
            if self._stopped:  # asked after each wait, which a stop ends
                return
