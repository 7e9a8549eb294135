"""Which devices of a reaction are to be called for. Pure: times are arguments.

Rule 1: at most one call per device runs, so the calls for a device are in order.
Rule 2: a device that fails waits for its next attempt, and holds up no other.
"""

from __future__ import annotations

import heapq
from collections import deque
from enum import IntEnum

FIRST_PAUSE = 1.0
MAX_PAUSE = 60.0
"""Seconds between two attempts for a device: they double from the first pause to this one."""


class CallState(IntEnum):
    """What is to be done for a device. One that is not on the agenda has nothing to do."""

    READY = 1
    """It may have changed, and waits for a thread."""
    RUNNING = 2
    """Its call runs."""
    CHANGED = 3
    """Its call runs, and it may have changed meanwhile."""
    FAILED = 4
    """Its call has failed, and waits for the next attempt."""


AFTER_CHANGE = {
    None: CallState.READY,
    CallState.READY: CallState.READY,
    CallState.RUNNING: CallState.CHANGED,
    CallState.CHANGED: CallState.CHANGED,
    CallState.FAILED: CallState.FAILED,
}
AFTER_CALL = {CallState.RUNNING: None, CallState.CHANGED: CallState.READY}


class Agenda:
    """The devices of one reaction that have something to do."""

    def __init__(self) -> None:
        self._states: dict[str, CallState] = {}
        self._ready: deque[str] = deque()
        """Those in state READY, in the order in which they came."""
        self._due: list[tuple[float, str]] = []
        """A heap of those in state FAILED, by the time of the next attempt."""
        self._failures: dict[str, int] = {}
        """By device, how often its call has failed since its last success."""

    @property
    def failing(self) -> list[str]:
        """Devices whose newest call has failed, the first one first."""
        return list(self._failures)

    def change(self, device: str) -> None:
        """Note that a device may have changed."""
        self._set(device, AFTER_CHANGE[self._states.get(device)])

    def take(self, now: float) -> str | None:
        """The device for which to call next; it counts as running."""
        while self._due and self._due[0][0] <= now:
            self._set(heapq.heappop(self._due)[1], CallState.READY)
        if not self._ready:
            return None
        device = self._ready.popleft()
        self._states[device] = CallState.RUNNING
        return device

    def succeed(self, device: str) -> None:
        """Note that the call of a running device has succeeded, or was not needed."""
        self._failures.pop(device, None)
        self._set(device, AFTER_CALL[self._states[device]])

    def fail(self, device: str, now: float) -> None:
        """Note that the call of a running device has failed."""
        failures = self._failures[device] = self._failures.get(device, 0) + 1
        self._states[device] = CallState.FAILED
        heapq.heappush(self._due, (now + pause_after(failures), device))

    def ready(self, now: float) -> int:
        """How many devices could be taken now, at most."""
        due = len(self._due) if self._due and self._due[0][0] <= now else 0
        return len(self._ready) + due

    def due_in(self, now: float) -> float | None:
        """Seconds until the next attempt for a device that has failed; None: there is none."""
        return max(0.0, self._due[0][0] - now) if self._due else None

    def _set(self, device: str, state: CallState | None) -> None:
        before = self._states.get(device)
        if state is None:
            self._states.pop(device, None)
            return
        self._states[device] = state
        if state is CallState.READY and before is not CallState.READY:
            self._ready.append(device)


def pause_after(failures: int) -> float:
    """Seconds until the next attempt."""
    return float(min(MAX_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 30)))
