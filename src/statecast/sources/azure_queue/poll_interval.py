"""When to send the next request to a queue. Azure cannot push, and each request costs money.

Polling is fast while messages arrive and slows down when none do. A message of an active device
is received within a tenth of a second, and an idle queue costs about a dollar a month. Pure: times
are arguments.
"""

from __future__ import annotations

import random

KEPT_WARM = 5.0
"""Seconds after the last message, or since one is expected, during which polling stays fast."""
GROWTH = 1.5
SPREAD = 0.1
PRICE = 0.004 / 10_000
"""US dollars for one request: general purpose v2, locally redundant, in 2026. An estimate."""
MONTH = 30 * 24
"""Hours."""


class PollInterval:
    """The interval between requests, in seconds: ``warm`` while messages arrive, at most ``idle``.

    Call ``after`` with each response.
    """

    def __init__(self, warm: float = 0.1, idle: float = 1.0) -> None:
        self.warm = warm
        self.idle = max(idle, warm)
        self.pause = warm
        self._last: float | None = None

    def after(self, found: int, asked: int, now: float) -> float:
        """Seconds until the next request. The last one got ``found`` of ``asked`` messages."""
        if found:
            self._last, self.pause = now, self.warm
            return 0.0 if found >= asked else self.warm
        if self._last is not None and now - self._last < KEPT_WARM:
            self.pause = self.warm
            return self.warm
        self.pause = min(self.idle, self.pause * GROWTH)
        return self.pause * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311

    def expect(self, now: float) -> None:
        """A message is expected soon, like the answer to a command: polling is fast for a while."""
        self._last, self.pause = now, self.warm

    def requests_per_hour(self) -> int:
        """The rate at the current interval."""
        return round(3600 / self.pause)


def cost_per_month(requests_per_hour: float) -> float:
    """In US dollars."""
    return requests_per_hour * MONTH * PRICE
