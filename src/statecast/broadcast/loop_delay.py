"""How late the event loop runs what is due: the delay that every viewer of the process has.

A process that was stopped, or slept with its machine, finds everything overdue when it goes on,
also the answers that came meanwhile. So the loop notes when it goes on, and what is
asked counts from then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from statecast.logs import LimitedLog

INTERVAL = 0.5
"""Seconds between two measurements."""
WINDOW = 30
"""Measurements that are kept: those of the last 15 s, the usual time between two scrapes."""
PAUSED = 1.0
"""Seconds of a delay after which the process counts as one that did not run."""
SAID = 3.0
"""Seconds of a delay that is worth a line in the log."""

log = logging.getLogger(__name__)


class LoopDelay:
    """Sets a timer again and again, and notes how late it comes."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._delays: deque[float] = deque(maxlen=WINDOW)
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        """When the timer is due, by ``monotonic``; None: it does not run."""
        self._resumed_at = float("-inf")
        self._log = LimitedLog(log)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._schedule()

    def stop(self) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()

    @property
    def longest(self) -> float:
        """Seconds, of the last 15 s. Any thread."""
        return max(list(self._delays), default=0.0)

    @property
    def resumed_at(self) -> float:
        """When the process last went on after it did not run, by ``monotonic``. Any thread.

        Another thread may be the first to go on: then the timer is still overdue.
        """
        due, now = self._due, self._monotonic()
        return now if due is not None and now - due > PAUSED else self._resumed_at

    def _schedule(self) -> None:
        self._due = self._monotonic() + INTERVAL
        self._timer = self._loop.call_later(INTERVAL, self._measure)

    def _measure(self) -> None:
        now = self._monotonic()
        delay = max(0.0, now - (now if self._due is None else self._due))
        self._delays.append(delay)
        if delay > PAUSED:
            self._resumed_at = now
        if delay > SAID:
            self._log.warning(
                "paused",
                f"this process did not run for {delay:.0f} s: it was stopped, its machine slept, "
                "or a call blocked its event loop",
            )
        self._schedule()
