"""What a process does in vain because nothing serves its store: said once each, in log and page.

Under another WSGI server than ours the extension only reads and sends. Polled functions never run
there, events reach no viewer, and messages wait, unless another process serves the same store.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from statecast.errors import StatecastError
from statecast.stores.contract import Store

HOW = "`statecast run` or `live.run`"

log = logging.getLogger(__name__)


class Unserved:
    """What this process has done or registered that needs a serving process."""

    def __init__(
        self,
        store: Callable[[], Store],
        polls: Callable[[], list[str]],
        reactions: Callable[[], list[str]] = list,
    ) -> None:
        """``polls`` and ``reactions`` give the names of the functions that were registered.

        ``store`` is called when needed.
        """
        self.serving = False
        """This process serves, or is about to."""
        self._store = store
        self._polls = polls
        self._reactions = reactions
        self._queue: str | None = None
        """The embedded queue that this process has sent to."""
        self._emitted = False
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def note_request(self) -> None:
        """This process answers requests under a server that is not ours."""
        if self._first("request") and (self._polls() or self._reactions()):
            self._log()

    def note_sent(self, queue: str) -> None:
        if self._first("sent"):
            self._queue = queue
            self._log()

    def note_emitted(self) -> None:
        if self._first("emitted"):
            self._emitted = True
            self._log()

    def _first(self, use: str) -> bool:
        if self.serving or use in self._told:  # the usual case takes no lock
            return False
        with self._lock:
            first = use not in self._told
            self._told.add(use)
        return first

    def _log(self) -> None:
        if sentence := self.sentence():
            log.warning("%s", sentence)

    def sentence(self) -> str:
        """What is missing; empty if nothing is."""
        reports = self._reports()
        missing = self._missing(reports)
        if not missing:
            return ""
        who = "nothing serves this store yet"
        if reports:
            who = "the process that serves this store does not do that"
        return f"{', '.join(missing)}; {who}."

    def page_sentence(self) -> str:
        """What a page says that this process answers without a live endpoint."""
        reports = self._reports()
        if reports:
            first = (
                "This page does not change by itself: open the pages of the serving process, or "
                "name its address in the setting live_url"
            )
        else:
            first = f"This page does not change by itself: nothing serves this store ({HOW} does)"
        return f"{'. '.join([first, *self._missing(reports)])}."

    def _reports(self) -> Mapping[str, Mapping[str, Any]]:
        try:
            return self._store().reports()
        except StatecastError:  # the next reader of the store says what is wrong
            return {}

    def _missing(self, reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
        consumed = {name for report in reports.values() for name in report.get("sources", ())}
        called = {name for report in reports.values() for name in report.get("reactions", ())}
        missing = []
        if idle := [name for name in self._polls() if name not in consumed]:
            one = len(idle) == 1
            runs = "poll runs" if one else "polls run"
            missing.append(f"{len(idle)} {runs} only under {HOW}")
        if idle := [name for name in self._reactions() if name not in called]:
            calls = "reaction is" if len(idle) == 1 else "reactions are"
            missing.append(f"{len(idle)} {calls} called only under {HOW}")
        if self._queue is not None and self._queue not in consumed:
            missing.append(f"Messages of live.send wait in the queue {self._queue!r}")
        if self._emitted and not reports:
            missing.append("Events of live.emit reach no viewer")
        return missing
