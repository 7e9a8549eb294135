"""How long one turn of the event loop takes what clients send; what exceeds it waits for the next.

Thousands of clients that come back at once would hold the loop for a second: their requests, joins
and first states all come in one turn. In slices, changes go out to the other viewers in between.

What waits is in order, and its connection is not read meanwhile, so it is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

SLICE = 0.005
"""Seconds of each turn."""


class TurnBudget:
    """One for all connections of a loop."""

    def __init__(
        self, clock: Callable[[], float], call_soon: Callable[[Callable[[], None]], object]
    ) -> None:
        """``clock`` and ``call_soon`` are the loop's."""
        self._clock = clock
        self._call_soon = call_soon
        self._began: float | None = None
        """When the slice of this turn began; None before its first call."""
        self._waiting: deque[Callable[[], None]] = deque()

    def is_spent(self) -> bool:
        """Whether a connection has to ``wait``. If not, it may go on now."""
        if self._began is None:
            self._began = self._clock()
            self._call_soon(self._next_turn)
            return False
        return bool(self._waiting) or self._clock() - self._began >= SLICE

    def wait(self, call: Callable[[], None]) -> None:
        """Make a call in a later turn, after those that wait already."""
        self._waiting.append(call)

    def _next_turn(self) -> None:
        self._began = None
        if not self._waiting:
            return
        self._began = self._clock()
        self._call_soon(self._next_turn)
        while self._waiting:
            self._waiting.popleft()()
            if self._clock() - self._began >= SLICE:
                return
