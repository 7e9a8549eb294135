"""How long a thread pauses between two polls for the commits of other processes.

Where each commit is announced by a hint, a poll follows each hint, and otherwise there are few.
Without hints, the longer nothing has happened, the longer the pauses. Pure, except for
``TimedPause``.
"""

from __future__ import annotations

import threading
from typing import Protocol

HINTED = 1.0
"""The pause in seconds where hints announce commits, for a commit whose hint does not come."""
SHORTEST, LONGEST = 0.02, 0.1
"""The pauses where polling is all there is: 20 ms while there are news, 100 ms later."""
SHARE = 1 / 20
"""Of the quiet time, between these two: the longest pause is reached after 2 seconds."""


def unhinted(quiet: float) -> float:
    """The pause without hints, after ``quiet`` seconds without news."""
    return min(max(quiet * SHARE, SHORTEST), LONGEST)


class Pause(Protocol):
    """How the polling thread pauses. One thread at a time pauses; any thread may call ``wake``."""

    has_hints: bool
    """Whether commits of other processes end a pause."""

    def wait(self, seconds: float) -> bool:
        """Pause until a commit is announced, or ``wake``; whether one was announced."""

    def wake(self) -> None:
        """End the present pause; without one, the next."""

    def expect_messages(self) -> None:
        """From now on, let commits that only brought messages for queues end a pause too."""


class TimedPause:
    """A pause without hints."""

    has_hints = False

    def __init__(self) -> None:
        self._woken = threading.Event()

    def wait(self, seconds: float) -> bool:
        self._woken.wait(seconds)
        self._woken.clear()
        return False

    def wake(self) -> None:
        self._woken.set()

    def expect_messages(self) -> None:
        """Every pause ends with its time."""
