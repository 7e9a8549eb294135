"""The pause before a queue or a store that failed is tried again."""

from __future__ import annotations

import random

from statecast.errors import STORE_ERRORS

MAX_PAUSE = 5.0
"""Seconds between two attempts after failures of a queue."""
MAX_STORE_PAUSE = 1.0
"""Of the store: what holds a lease meanwhile keeps others from working, and connections to a server
that is away have pauses of their own."""


def pause_after(failures: int, error: Exception) -> float:
    """Seconds; random, so that many who wait do not try again at the same moment."""
    longest = MAX_STORE_PAUSE if isinstance(error, STORE_ERRORS) else MAX_PAUSE
    return random.uniform(0.05, min(longest, 0.1 * 2 ** min(failures, 10)))  # noqa: S311
