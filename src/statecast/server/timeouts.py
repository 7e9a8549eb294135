"""Waits for many, all of them equally long, with one timer.

Since all wait the same time, who came first is due first: a dictionary in its own order is the whole schedule, and a
connection costs an entry in it instead of a timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Who = TypeVar("Who")
EARLY = 0.005
"""Seconds by which a loop's timer may ring too early."""


class Patience(Generic[Who]):
    """Calls ``due(who)`` once ``seconds`` after ``put(who)``, unless ``drop(who)`` comes before."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, due: Callable[[Who], None]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._due = due
        self._deadlines: dict[Who, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def put(self, who: Who) -> None:
        """Begin to wait; who waits already keeps its deadline."""
        if who not in self._deadlines:
            self._deadlines[who] = self._loop.time() + self._seconds
            if self._timer is None:
                self._arm()

    def drop(self, who: Who) -> None:
        self._deadlines.pop(who, None)

    def _arm(self) -> None:
        first = next(iter(self._deadlines.values()), None)
        self._timer = None if first is None else self._loop.call_at(first, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time() + EARLY
        due = []
        for who, deadline in self._deadlines.items():
            if deadline > now:
                break
            due.append(who)
        for who in due:
            self.drop(who)
        self._arm()
        for who in due:
            self._due(who)
