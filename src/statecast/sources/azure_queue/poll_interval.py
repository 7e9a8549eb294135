"""When to ask an idle queue next. Storage queues cannot push, and every question costs.

Fast while messages come, slower when they stay away: a message of a live device is there within a tenth of a second,
and an idle queue costs about a dollar a month. Pure: times are handed in.
"""

from __future__ import annotations

import random

KEPT_WARM = 5.0
"""Seconds after the last message for which the next one is expected any moment."""
GROWTH = 1.5
SPREAD = 0.1
PRICE = 0.004 / 10_000
"""Dollars for one request (general purpose v2, locally redundant; stored prices of 2026, not a promise)."""
MONTH = 30 * 24


class PollInterval:
    """``after`` each answer says how many seconds to wait for the next question."""

    def __init__(self, warm: float = 0.1, idle: float = 1.0) -> None:
        self.warm = warm
        self.idle = max(idle, warm)
        self.pause = warm
        self._last: float | None = None

    def after(self, found: int, asked: int, now: float) -> float:
        """Seconds until the next question, after one for ``asked`` messages brought ``found`` of them."""
        if found:
            self._last, self.pause = now, self.warm
            return 0.0 if found >= asked else self.warm
        if self._last is not None and now - self._last < KEPT_WARM:
            self.pause = self.warm
            return self.warm
        self.pause = min(self.idle, self.pause * GROWTH)
        return self.pause * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311

    def requests_per_hour(self) -> int:
        return round(3600 / self.pause)


def cost_per_month(requests_per_hour: float) -> float:
    """Dollars."""
    return requests_per_hour * MONTH * PRICE
