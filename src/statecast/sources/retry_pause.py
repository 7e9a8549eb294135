"""The pause before a queue or a store that failed is tried again."""

from __future__ import annotations

import random

MAX_PAUSE = 5.0
"""Seconds between two attempts after failures."""


def pause_after(failures: int) -> float:
    """Seconds; random, so that many who wait do not try again at the same moment."""
    return random.uniform(0.05, min(MAX_PAUSE, 0.1 * 2 ** min(failures, 10)))  # noqa: S311
