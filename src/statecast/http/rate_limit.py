"""How often something may happen: a token bucket that needs one number of state."""

from __future__ import annotations

BURST = 50
"""Messages a viewer may send at once, before its rate counts."""


def spend(balance: float, now: float, per_minute: float, burst: int = BURST) -> float | None:
    """Pay for one message: the new balance, or None when there is nothing left to spend.

    A token bucket in one number, the time at which the bucket will be full again; 0.0 is a full one.
    """
    price = 60.0 / per_minute
    begin = max(balance, now)
    if begin - now > price * (burst - 1) + 1e-9:
        return None
    return begin + price
