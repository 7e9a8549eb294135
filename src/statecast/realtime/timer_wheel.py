"""One timer for all viewers: it pings them, and it ends those that exceed a time limit.

A wheel of buckets, one per tick (https://en.wikipedia.org/wiki/Timing_wheel). A target stands in
the bucket of its next deadline; a tick asks only the targets in its bucket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

BUCKETS = 256


class TimerTarget(Protocol):
    """Something with deadlines."""

    bucket: int
    """Where it stands in the wheel; -1: nowhere. Only the wheel writes it."""

    def on_timeout(self, now: float) -> float | None:
        """Do what is due and return the next deadline; None when there is none."""


def tick_for(times: Iterable[float]) -> float:
    """Seconds between two ticks that are short enough for time limits of these lengths."""
    return min(max(min(times) / 20, 0.01), 0.25)


class TimerWheel:
    """The deadlines of many. It ticks only while a target stands in it."""

    def __init__(self, tick: float) -> None:
        self.tick = tick
        """Seconds between two ticks; no target is asked later than that."""
        self._loop: asyncio.AbstractEventLoop
        self._buckets: list[dict[TimerTarget, None]] = [{} for _ in range(BUCKETS)]
        self._current = 0
        """The bucket of the next tick."""
        self._next = 0.0
        """The time of the next tick."""
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Before anything else is called."""
        self._loop = loop

    def now(self) -> float:
        return self._loop.time()

    def __len__(self) -> int:
        return self._count

    def schedule(self, target: TimerTarget, when: float) -> None:
        """Have ``target`` asked at ``when``, or earlier if it stands in an earlier bucket already.

        A deadline that moved back costs nothing here: when the target is asked too early, it
        returns the new one. A far deadline is asked early, again and again.
        """
        if self._timer is None:
            self._next = self._loop.time() + self.tick
            self._timer = self._loop.call_at(self._next, self._on_tick)
        # The first tick that is not before the deadline.
        ticks = min(max(-int((self._next - when) // self.tick), 0), BUCKETS - 1)
        if target.bucket >= 0:
            if (target.bucket - self._current) % BUCKETS <= ticks:
                return
            self.remove(target)
        target.bucket = (self._current + ticks) % BUCKETS
        self._buckets[target.bucket][target] = None
        self._count += 1

    def remove(self, target: TimerTarget) -> None:
        if target.bucket >= 0:
            del self._buckets[target.bucket][target]
            target.bucket = -1
            self._count -= 1

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_tick(self) -> None:
        now = self._loop.time()
        # A loop that was busy for longer makes up for the ticks it missed, but for one whole
        # revolution at most.
        for _ in range(BUCKETS):
            due, self._buckets[self._current] = self._buckets[self._current], {}
            self._current = (self._current + 1) % BUCKETS
            self._next += self.tick
            self._ask(due, now)
            if self._next > now:
                break
        else:
            self._next = now + self.tick
        self._timer = self._loop.call_at(self._next, self._on_tick) if self._count else None

    def _ask(self, due: dict[TimerTarget, None], now: float) -> None:
        self._count -= len(due)
        for target in due:
            target.bucket = -1
        for target in due:
            when = target.on_timeout(now)
            if when is not None and target.bucket < 0:
                self.schedule(target, when)
