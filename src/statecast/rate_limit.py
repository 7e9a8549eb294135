"""How often something may happen: token buckets whose state is one number each."""

from __future__ import annotations

from collections import OrderedDict

BURST = 200
"""Messages that a viewer may send at once before its rate applies: more than one payload holds."""
WATCH_BURST = 50
"""The same for its ``watch`` requests, by their prices."""
PATTERNS_PER_TOKEN = 20
"""A ``watch`` costs one token, and one more for so many patterns: its work grows with them."""
MAX_KEYS = 10_000
"""Buckets remembered; beyond it the one that was quiet for longest is forgotten."""
ROUNDING = 1e-9


def watch_price(patterns: int) -> int:
    """The tokens that a ``watch`` costs. A full bucket is enough for the largest one."""
    return min(1 + patterns // PATTERNS_PER_TOKEN, WATCH_BURST)


class TokenBucket:
    """The rate and the burst that many buckets have in common.

    The state of each bucket stays with its owner: the time at which the bucket will be full again,
    0.0 for a full one. A viewer thus costs one float.
    """

    __slots__ = ("_burst", "_interval")

    def __init__(self, per_minute: float, burst: int = BURST) -> None:
        self._interval = 60.0 / per_minute
        self._burst = burst

    def try_acquire(self, full_at: float, now: float, price: float = 1) -> float | None:
        """Take tokens of the bucket that is full at ``full_at``: its new state, None if too few."""
        start = max(full_at, now)
        if start - now > self._interval * (self._burst - price) + ROUNDING:
            return None
        return start + self._interval * price

    def charge(self, full_at: float, now: float) -> float:
        """Take a token, also of an empty bucket: its new state."""
        return max(full_at, now) + self._interval

    def owe(self, full_at: float, now: float, tokens: int, most: float) -> float:
        """Take so many tokens, also of an empty bucket, which owes at most so many seconds then."""
        after = max(full_at, now) + self._interval * tokens
        return min(after, max(full_at, self.empty(now) + most))

    def delay(self, full_at: float, now: float, price: float = 1) -> float:
        """Seconds until the bucket that is full at ``full_at`` has the tokens; 0.0: it has them."""
        delay = full_at - now - self._interval * (self._burst - price)
        return delay if delay > ROUNDING else 0.0

    def given_back(self, full_at: float) -> float:
        """Put a token back: the new state."""
        return full_at - self._interval

    def empty(self, now: float) -> float:
        """The state of a bucket that has just been emptied."""
        return now + self._interval * self._burst


class RateByKey:
    """A bucket for each key, for example for each address."""

    def __init__(self, bucket: TokenBucket) -> None:
        self._bucket = bucket
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """The state of each bucket; the one used last is at the end."""

    def try_acquire(self, key: str, now: float, price: float = 1) -> bool:
        """Take tokens of this key; whether there were as many."""
        before = self._full_at.pop(key, 0.0)
        after = self._bucket.try_acquire(before, now, price)
        self._put(key, before if after is None else after)
        return after is not None

    def delay(self, key: str, now: float, price: float = 1) -> float:
        """Seconds until this key has the tokens; 0.0: it has them."""
        return self._bucket.delay(self._full_at.get(key, 0.0), now, price)

    def give_back(self, key: str) -> None:
        """Put a token of this key back: what it was taken for does not count."""
        if key in self._full_at:
            self._full_at[key] = self._bucket.given_back(self._full_at[key])

    def owe(self, key: str, now: float, tokens: int, most: float) -> None:
        """Take so many tokens of this key, see ``TokenBucket.owe``."""
        self._put(key, self._bucket.owe(self._full_at.pop(key, 0.0), now, tokens, most))

    def _put(self, key: str, full_at: float) -> None:
        self._full_at[key] = full_at
        if len(self._full_at) > MAX_KEYS:
            self._full_at.popitem(last=False)

    def forget(self, key: str) -> None:
        """The bucket of this key is full again."""
        self._full_at.pop(key, None)
