"""What the sources and viewers did in the last hour, for the operator's small charts.

Each serving process keeps its own, in memory: one sample every 10 s, an hour of them, then the
oldest is dropped. What happened before the process began is not known.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

INTERVAL = 10_000
"""Milliseconds between two samples."""
MINUTE = 60_000
MINUTES = 60


class Sample(NamedTuple):
    at: int
    """In ms."""
    messages: Mapping[str, int]
    """Per source, how many messages were ever committed; it only rises."""
    lag: float
    """The longest lag of a source, in seconds."""
    viewers: int


class LastHour:
    """Samples of the last hour. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=MINUTES * MINUTE // INTERVAL + 1)
        self._lock = threading.Lock()

    def is_due(self, now: int) -> bool:
        with self._lock:
            newest = self._samples[-1].at if self._samples else None
        # A clock that was set back makes a sample due as well.
        return newest is None or not 0 <= now - newest < INTERVAL

    def add(self, sample: Sample) -> None:
        """Keep a sample. Samples that are later than it are of a clock that was wrong."""
        with self._lock:
            while self._samples and self._samples[-1].at > sample.at:
                self._samples.pop()
            self._samples.append(sample)

    def received_in_last_minute(self, source: str, total: int, now: int) -> int | None:
        """Messages of a source since a minute ago, of which there are ``total`` now."""
        before = [one for one in self._kept() if one.at <= now - MINUTE]
        return None if not before else max(0, total - before[-1].messages.get(source, 0))

    # What charts show: the samples and the present, because the newest sample may be 10 s old.

    def messages_per_minute(self, present: Sample) -> list[int | None]:
        """All messages of each of the last 60 minutes, the oldest first; None: not known."""
        counts: list[int | None] = [None] * MINUTES
        for before, after in itertools.pairwise(self._until(present)):
            place = self._place(after.at, present.at)
            if place is None or after.at - before.at > 2 * MINUTE:
                continue  # the process slept meanwhile: in which minute they came is not known
            rise = sum(after.messages.values()) - sum(before.messages.values())
            counts[place] = (counts[place] or 0) + max(0, rise)
        return counts

    def longest_lag(self, present: Sample) -> list[float | None]:
        """Per minute, in seconds."""
        return self._highest(present.at, [(one.at, one.lag) for one in self._until(present)])

    def most_viewers(self, present: Sample) -> list[float | None]:
        """Per minute."""
        return self._highest(present.at, [(one.at, one.viewers) for one in self._until(present)])

    def _until(self, present: Sample) -> list[Sample]:
        return [*(one for one in self._kept() if one.at <= present.at), present]

    def _kept(self) -> list[Sample]:
        with self._lock:
            return list(self._samples)

    def _highest(self, now: int, values: list[tuple[int, float]]) -> list[float | None]:
        found: list[float | None] = [None] * MINUTES
        for at, value in values:
            place = self._place(at, now)
            if place is not None:
                found[place] = max(value, found[place] or 0)
        return found

    def _place(self, at: int, now: int) -> int | None:
        minutes_ago = (now - at) // MINUTE
        return MINUTES - 1 - minutes_ago if 0 <= minutes_ago < MINUTES else None
