"""How threads wait for commits: a number that rises, and a condition that says so.

What only polling can see, the commits of other processes, one waiting thread looks for; the others sleep until it
goes. Each then looks for itself: what is new to one may be known to another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

POLL = 0.02
"""Seconds between two looks at what only polling can see: the commits of other processes."""


class CommitNotifier:
    """Every waiting thread is woken by every ring; a ring between a look and the wait is not lost."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0
        self._polled = False
        """Whether a waiting thread polls."""
        self._turns = 0
        """How many have ceased to."""

    @property
    def rings(self) -> int:
        """Remember it before you look; ``wait`` returns at once if it has risen since."""
        return self._rings

    def notify(self) -> None:
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, rings: int, timeout: float, changed: Callable[[], bool] | None = None) -> None:
        """Return once it rang after ``rings``, ``changed`` (polled) says so, or the time is over."""
        deadline = time.monotonic() + timeout
        while True:
            with self._condition:
                polls = changed is not None and not self._polled
                self._polled = self._polled or polls
                turns = self._turns
            if polls and changed is not None:
                self._poll(rings, deadline, changed)
                return
            # Looked at after somebody else was found polling: he has begun before, so whatever comes now is new to him.
            if changed is not None and changed():
                return
            with self._condition:
                left = deadline - time.monotonic()
                if self._rings != rings or left <= 0:
                    return
                if self._turns == turns:
                    self._condition.wait(left)

    def _poll(self, rings: int, deadline: float, changed: Callable[[], bool]) -> None:
        try:
            while not changed():
                with self._condition:
                    left = deadline - time.monotonic()
                    if self._rings != rings or left <= 0:
                        return
                    self._condition.wait(min(left, POLL))
        finally:
            with self._condition:
                self._polled = False
                self._turns += 1
                self._condition.notify_all()
