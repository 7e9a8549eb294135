"""How long a thread pauses between two polls for the commits of other processes.

The longer nothing has happened, the longer the pauses. After a hint they grow with the time since
the hint, so a commit is found late by at most half of the time that it took. Once a commit was
found, few polls follow: an idle server writes its own report every few seconds. Pure, except for
``TimedPause``.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PollPace:
    """The pause as a share of the quiet time, within limits; all in seconds."""

    shortest: float
    longest: float
    share: float

    def pause(self, quiet: float) -> float:
        """The pause after ``quiet`` seconds in which nothing happened."""
        return min(max(quiet * self.share, self.shortest), self.longest)


HINTED = PollPace(shortest=0.0005, longest=1.0, share=0.5)
"""Where a hint comes with every write. The longest pause is for a hint that does not come."""
ANSWERED = PollPace(shortest=0.001, longest=1.0, share=2)
"""After a hint whose commit was found. Only a commit that began in the moment between the one that
was found and the read of the hint has no hint of its own. It is late by twice the time it took."""
UNHINTED = PollPace(shortest=0.02, longest=0.1, share=1 / 20)
"""Where polling is all there is: 20 ms while news are read, 100 ms after 2 quiet seconds."""


class Pause(Protocol):
    """How the polling thread pauses. One thread at a time pauses; any thread may call ``wake``."""

    has_hints: bool
    """Whether writes of other processes end a pause."""

    def wait(self, seconds: float) -> bool:
        """Pause until something is written, or ``wake``; whether something was written."""

    def sleep(self, seconds: float) -> None:
        """Pause for a moment, whatever happens."""

    def wake(self) -> None:
        """End the present pause; without one, the next."""


class TimedPause:
    """A pause without hints."""

    has_hints = False

    def __init__(self) -> None:
        self._woken = threading.Event()

    def wait(self, seconds: float) -> bool:
        self._woken.wait(seconds)
        self._woken.clear()
        return False

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wake(self) -> None:
        self._woken.set()
