"""Timeouts of many, all equally long, with one timer of the loop.

Since all have the same length, the first added is due first: a dictionary in its own order is the
whole schedule, and a connection costs an entry in it instead of a timer.

The viewers' ``realtime.timer_wheel`` is something else. There each viewer has one deadline that
moves all the time, and a tick of precision is enough. Here a connection can be in several queues
at once (for its head, for its reader), each of them is exact, and few entries ever become due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Entry = TypeVar("Entry")
EARLY = 0.005
"""Seconds by which a loop's timer may fire too early."""


class TimeoutQueue(Generic[Entry]):
    """Calls ``on_timeout(entry)`` once ``seconds`` after ``add(entry)``, unless it is discarded."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        on_timeout: Callable[[Entry], None],
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._on_timeout = on_timeout
        self._deadlines: dict[Entry, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, entry: Entry) -> None:
        """Start its time; an entry that is here already keeps its deadline."""
        if entry not in self._deadlines:
            self._deadlines[entry] = self._loop.time() + self._seconds
            if self._timer is None:
                self._schedule()

    def discard(self, entry: Entry) -> None:
        self._deadlines.pop(entry, None)

    def _schedule(self) -> None:
        first = next(iter(self._deadlines.values()), None)
        self._timer = None if first is None else self._loop.call_at(first, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time() + EARLY
        due = []
        for entry, deadline in self._deadlines.items():
            if deadline > now:
                break
            due.append(entry)
        for entry in due:
            self.discard(entry)
        self._schedule()
        for entry in due:
            self._on_timeout(entry)
