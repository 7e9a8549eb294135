"""How often something may happen: a token bucket whose state is one number."""

from __future__ import annotations

BURST = 50
"""Messages that a viewer may send at once before its rate applies."""
ROUNDING = 1e-9


class TokenBucket:
    """The rate and the burst that many buckets have in common.

    The state of each bucket stays with its owner: the time at which the bucket will be full again,
    0.0 for a full one. A viewer thus costs one float.
    """

    __slots__ = ("_burst", "_interval")

    def __init__(self, per_minute: float, burst: int = BURST) -> None:
        self._interval = 60.0 / per_minute
        self._burst = burst

    def try_acquire(self, full_at: float, now: float) -> float | None:
        """Take a token of the bucket that is full at ``full_at``: its new state, None if empty."""
        start = max(full_at, now)
        if start - now > self._interval * (self._burst - 1) + ROUNDING:
            return None
        return start + self._interval

    def empty(self, now: float) -> float:
        """The state of a bucket that has just been emptied."""
        return now + self._interval * self._burst
