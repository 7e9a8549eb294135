"""How long the change feed pauses after a delivery. Pure: times are arguments, in seconds.

A change that comes after a quiet moment is delivered at once. Only while changes come faster than
ticks do pauses grow, so that changes share a message: many viewers cost as many writes for one
change as for a hundred.
"""

from __future__ import annotations

LONGEST = 0.02
"""The tick under load."""
SHORTEST = 0.001


class Tick:
    """The pause after each delivery."""

    def __init__(self) -> None:
        self.pause = 0.0
        self._ready_at = float("-inf")
        """When the pause after the last delivery was over."""

    def delivered(self, read_at: float, now: float) -> float:
        """The pause after a delivery of now, of changes that were read at ``read_at``."""
        if read_at - self._ready_at < LONGEST:
            self.pause = min(max(2 * self.pause, SHORTEST), LONGEST)
        else:
            self.pause = 0.0
        self._ready_at = now + self.pause
        return self.pause
