"""Times: the clock of the machine, in milliseconds since 1970."""

from __future__ import annotations

import time


def now() -> int:
    """The current time by the machine's clock, in ms."""
    return time.time_ns() // 1_000_000
