"""The one timer for all viewers: it pings them, and it cuts those whose time is up.

A wheel of buckets, one per beat. A viewer stands in the bucket of its next deadline; a beat asks only those in its
bucket. Nobody has a timer of its own.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

BUCKETS = 256


class Timed(Protocol):
    """Something with deadlines."""

    bucket: int
    """Where it stands in the wheel; -1: nowhere. The wheel writes it."""

    def turn(self, now: float) -> float | None:
        """Do what is due and tell the next deadline; None when there is none left."""


class Wheel:
    """The deadlines of many. It beats only while somebody stands in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, beat: float) -> None:
        self.loop = loop
        self.beat = beat
        """Seconds; nothing is late by more."""
        self._buckets: list[dict[Timed, None]] = [{} for _ in range(BUCKETS)]
        self._at = 0
        self._next = 0.0
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._count

    def put(self, timed: Timed, when: float) -> None:
        """Have ``timed`` asked at ``when``, instead of at the time before. A far deadline is asked early and again."""
        self.remove(timed)
        if self._timer is None:
            self._next = self.loop.time() + self.beat
            self._timer = self.loop.call_at(self._next, self._turn)
        # The bucket of the first beat that is not before the deadline.
        beats = min(max(-int((self._next - when) // self.beat), 0), BUCKETS - 1)
        timed.bucket = (self._at + beats) % BUCKETS
        self._buckets[timed.bucket][timed] = None
        self._count += 1

    def remove(self, timed: Timed) -> None:
        if timed.bucket >= 0:
            del self._buckets[timed.bucket][timed]
            timed.bucket = -1
            self._count -= 1

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        now = self.loop.time()
        # A loop that was busy for longer than a beat owes the beats it missed, but no more than one whole turn.
        for _ in range(BUCKETS):
            due, self._buckets[self._at] = self._buckets[self._at], {}
            self._at = (self._at + 1) % BUCKETS
            self._next += self.beat
            self._ask(due, now)
            if self._next > now:
                break
        else:
            self._next = now + self.beat
        self._timer = self.loop.call_at(self._next, self._turn) if self._count else None

    def _ask(self, due: dict[Timed, None], now: float) -> None:
        self._count -= len(due)
        for timed in due:
            timed.bucket = -1
        for timed in due:
            when = timed.turn(now)
            if when is not None and timed.bucket < 0:
                self.put(timed, when)
