"""How threads wait for commits: a number that rises, and a condition that says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

POLL = 0.02
"""Seconds between two looks at what only polling can see: the commits of other processes."""


class Bell:
    """Every waiting thread is woken by every ring; a ring between a look and the wait is not lost."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        """Remember it before you look; ``wait`` returns at once if it has risen since."""
        return self._rings

    def ring(self) -> None:
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, rings: int, timeout: float, changed: Callable[[], bool] | None = None) -> None:
        """Return once it rang after ``rings``, ``changed`` (polled) says so, or the time is over."""
        deadline = time.monotonic() + timeout
        while True:
            if changed is not None and changed():
                return
            left = deadline - time.monotonic()
            with self._condition:
                if self._rings != rings or left <= 0:
                    return
                self._condition.wait(left if changed is None else min(left, POLL))
