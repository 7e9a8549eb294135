"""Watches the clock for a store: whether it was set, and what that means for stored times.

A clock that was ahead and one that is behind look the same: stored times are later than now. So a
step is noted and said, and nothing that is stored is rewritten for it.

Rule 1: the clock is compared with the uptime, which cannot be set, and with the reading at the
newest commit of any process, which is in the store.
Rule 2: nothing is deleted for its age unless the clock has run evenly for an hour, so that a clock
that jumps ahead deletes nothing.
Rule 3: no time that a reader gets is later than the reader's now, and none of a row that was
written before a step is later than the step, also when the clock has come that far.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from statecast import timestamps
from statecast.merge.stamps import DOUBT_MS
from statecast.problems import Problems
from statecast.stores.counters import Counters
from statecast.stores.retention import DAY_MS, HOUR_MS

STEADY_MS = HOUR_MS
"""How long the clock must run evenly before anything is deleted for its age."""
SAID_MS = DAY_MS
"""How long a step of the clock is shown."""
SLEWED = 1_000
"""A clock that is put right little by little is off by at most one part in so many."""
NOISE_MS = 100
"""A thread may stop between reading the clock and the uptime; above this both are read again."""


class Reading(NamedTuple):
    """One reading of the clock, and since when later times in the store are doubtful."""

    now: int
    doubted_at: int
    offset: int = -1
    """Rows up to this offset, and up to ``seen``, were written before ``doubted_at``."""
    seen: int = -1

    @classmethod
    def of(cls, now: int, counters: Counters) -> Reading:
        if 0 < counters.doubted_at <= now and counters.clock <= now + DOUBT_MS:
            return cls(now, counters.doubted_at, counters.doubted_offset, counters.doubted_seen)
        return cls(now, now)

    def latest(self, offset: int, seen: int = 0) -> int:
        """No time of a row with this offset can be later; ``seen`` counts for ``seen_at``."""
        return self.doubted_at if offset <= self.offset and seen <= self.seen else self.now

    def past(self, time: int, offset: int, seen: int = 0) -> int:
        """A stored time as readers get it, in ms: not later than now, nor than ``latest``.

        A time that the clock has not reached was written before the clock was set back. So it is
        shown as the moment when that was noticed.
        """
        latest = self.latest(offset, seen)
        if time <= latest:
            return time
        return latest if time <= latest + DOUBT_MS else self.doubted_at


class ClockWatch:
    """The clock of one process, for its store. Every method may be called from any thread."""

    def __init__(self, clock: Callable[[], int], problems: Problems) -> None:
        self.clock = clock
        self._problems = problems
        self._uptime = clock.uptime if isinstance(clock, timestamps.Steady) else timestamps.uptime
        self._lock = threading.Lock()
        now, uptime = self._read()
        self._offset = now - uptime
        """What the clock is ahead of the uptime."""
        self._read_at = uptime
        self._even_since = uptime
        self._said = 0

    def check(self, counters: Counters) -> int:
        """Read the clock inside a transaction, in ms. A step is noted in the counters, and said."""
        with self._lock:
            now, uptime = self._read()
            step, elapsed = now - uptime - self._offset, uptime - self._read_at
            self._offset, self._read_at = now - uptime, uptime
            if abs(step) <= DOUBT_MS + elapsed // SLEWED:
                step = 0
            if now < counters.clock - DOUBT_MS:
                step = now - counters.clock
            if step:
                counters.doubted_at, counters.doubted_by = now, step
                counters.doubted_offset, counters.doubted_seen = counters.offset, counters.seen
                self._even_since = uptime
            counters.clock = now
        self.say(counters, now)
        return now

    def uptime(self) -> int:
        """Milliseconds by a clock that cannot be set, the same in all processes of the host."""
        return self._uptime()

    def age_from(self, now: int) -> int:
        """The time from which ages count: now, or 0 (nothing is old) if the clock is in doubt."""
        return now if self._read_at - self._even_since >= STEADY_MS else 0

    def reading(self, counters: Counters) -> Reading:
        """A reading for a reader, which notes nothing."""
        return Reading.of(self.clock(), counters)

    def say(self, counters: Counters, now: int) -> None:
        """Report a step of the clock, or that the clock is behind what is stored."""
        at, by = counters.doubted_at, counters.doubted_by
        if now < counters.clock - DOUBT_MS:
            at, by = now, now - counters.clock
        if 0 < at <= now < at + SAID_MS:
            if at != self._said:
                self._said = at
                self._problems.report("clock", "clock", sentence(by), severity="notice")
        elif self._said:
            self._said = 0
            self._problems.clear("clock", "clock")

    def _read(self) -> tuple[int, int]:
        """The clock and the uptime of one moment, in ms."""
        for _ in range(10):
            before = self._uptime()
            now = self.clock()
            uptime = self._uptime()
            if uptime - before <= NOISE_MS:
                break
        return now, uptime


def sentence(by: int) -> str:
    """What a step of the clock means, for people; ``by`` is below 0 for one back."""
    size = timestamps.duration(abs(by), "days")
    if by < 0:
        return (
            f"The server's clock went back by {size}, or two processes have different clocks. "
            "Times from before may be wrong, and what arrives later counts as newer; check that "
            "the clock is right now."
        )
    return (
        f"The server's clock was set forward by {size}, or the machine stood still for so long. "
        "Nothing is deleted for its age within the next hour; check that the clock is right now."
    )
