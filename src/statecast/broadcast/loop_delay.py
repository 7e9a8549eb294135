"""How late the event loop runs what is due: the delay that every viewer of the process has."""

from __future__ import annotations

import asyncio
from collections import deque

INTERVAL = 0.25
"""Seconds between two measurements."""
WINDOW = 60
"""Measurements that are kept: those of the last 15 s, the usual time between two scrapes."""


class LoopDelay:
    """Sets a timer again and again, and notes how late it comes."""

    def __init__(self) -> None:
        self._delays: deque[float] = deque(maxlen=WINDOW)
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._schedule()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def longest(self) -> float:
        """Seconds, of the last 15 s. Any thread."""
        return max(list(self._delays), default=0.0)

    def _schedule(self) -> None:
        self._due = self._loop.time() + INTERVAL
        self._timer = self._loop.call_at(self._due, self._measure)

    def _measure(self) -> None:
        self._delays.append(max(0.0, self._loop.time() - self._due))
        self._schedule()
